"""Lock-out by account and by address; `test_lockout` runs this in a network
namespace of its own, whose loopback device has these addresses too."""

from __future__ import annotations

import base64
import fcntl
import http.client
import shutil
import socket
import ssl
import statistics
import struct
import subprocess
import tempfile
import time
import unittest
from dataclasses import dataclass
from pathlib import Path

import spnego
import spnego.channel_bindings
from clients.drivers import end_point
from harness.daemon import Daemon
from harness.wsman import Account
from spnego.exceptions import SpnegoError

V6 = ["2001:db8:1::1", "2001:db8:1::2", "2001:db8:2::1"]


def afar(number: int) -> str:
    """An address that is not loopback."""
    return f"198.51.100.{number}"


def setUpModule() -> None:
    """Brings the device up, with its addresses."""
    name = b"lo".ljust(16, b"\0")
    with socket.socket() as control:
        fcntl.ioctl(control, 0x8914, name + struct.pack("H", 0x49).ljust(24, b"\0"))  # SIOCSIFFLAGS
        for number in range(1, 120):
            alias = f"lo:{number}".encode().ljust(16, b"\0")
            address = struct.pack("HH4s8x", socket.AF_INET, 0, socket.inet_aton(afar(number)))
            fcntl.ioctl(control, 0x8916, alias + address.ljust(24, b"\0"))  # SIOCSIFADDR
    with socket.socket(socket.AF_INET6) as control:
        for text in V6:
            address = socket.inet_pton(socket.AF_INET6, text) + struct.pack("Ii", 128, 1)
            fcntl.ioctl(control, 0x8916, address)
    # A fresh IPv6 address is tentative for a moment.
    time.sleep(2)


@dataclass
class Tried:
    """What an attempt came to."""

    status: int
    headers: dict[str, str]
    body: bytes
    seconds: float


class LockOut(unittest.TestCase):
    """A daemon for each test: what one locks must not be in another's way."""

    FAILURES = 5

    def setUp(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="bitsd-test-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        access = {"lockout_failures": self.FAILURES, "credssp": True}
        self.daemon = Daemon(self.folder, {"access": access})
        self.addCleanup(self.daemon.kill)
        port = self.daemon.port
        text = self.daemon.config.read_text()
        both = text.replace(f'"127.0.0.1:{port}"', f'"127.0.0.1:{port}", "[::1]:{port}"')
        self.daemon.config.write_text(both)
        self.daemon.start()

    def attempt(self, account: Account | str, source: str) -> Tried:
        """One log-on on a connection of its own."""
        context = ssl.create_default_context(cafile=str(self.daemon.certificate))
        host = "::1" if ":" in source else "127.0.0.1"
        connection = http.client.HTTPSConnection(
            host, self.daemon.port, timeout=60, context=context, source_address=(source, 0)
        )
        value = account if isinstance(account, str) else account.basic
        try:
            connection.connect()
            began = time.monotonic()
            connection.request("POST", "/wsman", b"", {"Authorization": value})
            answer = connection.getresponse()
            body = answer.read()
            headers = {name.lower(): text for name, text in answer.getheaders() if name != "date"}
            return Tried(answer.status, headers, body, time.monotonic() - began)
        finally:
            connection.close()

    def comes_in(self, account: Account, source: str) -> bool:
        """Is the log-on taken?"""
        status = self.attempt(account, source).status
        self.assertIn(status, (200, 401))
        return status == 200

    def fail(self, name: str, *sources: str) -> None:  # type: ignore[override]
        """A wrong password from each of these."""
        for source in sources:
            self.assertFalse(self.comes_in(Account(name, "wrong password"), source))

    def lock(self, account: Account) -> None:
        """Locks an account, and no address."""
        self.fail(account.name, *[afar(number) for number in range(1, self.FAILURES + 1)])

    def user(self, *words: str) -> str:
        """What `bitsd user` says."""
        command = [str(self.daemon.program), "user", *words, "--config", str(self.daemon.config)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
        return done.stdout

    def test_an_account_is_locked_for_strangers_alone(self) -> None:
        alice, bob = self.daemon.alice, self.daemon.bob
        self.assertTrue(self.comes_in(alice, afar(50)))
        self.lock(alice)
        self.assertFalse(self.comes_in(alice, afar(51)))
        for source in (afar(50), "127.0.0.1", "127.0.0.9", "::1"):
            self.assertTrue(self.comes_in(alice, source), source)
        self.assertTrue(self.comes_in(bob, afar(51)))
        # The address from which she is known to come has a count of its own.
        self.fail("alice", *[afar(50)] * self.FAILURES)
        self.assertFalse(self.comes_in(alice, afar(50)))
        self.assertTrue(self.comes_in(alice, "127.0.0.1"))

    def test_an_address_is_locked_whatever_the_name(self) -> None:
        bob = self.daemon.bob
        self.fail("nobody", afar(1), afar(1))
        self.fail("somebody", afar(1), afar(1))
        self.fail("bob", afar(1))
        before = self.daemon.cpu_seconds()
        refused = self.attempt(bob, afar(1))
        self.assertEqual(refused.status, 401)
        self.assertEqual(refused.headers["www-authenticate"], 'Basic realm="WSMAN"')
        for _ in range(20):
            self.assertFalse(self.comes_in(bob, afar(1)))
        # No password was looked at: twenty checks take two seconds.
        self.assertLess(self.daemon.cpu_seconds() - before, 1.0)
        self.assertTrue(self.comes_in(bob, afar(2)))
        self.fail("nobody", *[V6[0], V6[1]] * 3)
        self.assertFalse(self.comes_in(bob, V6[1]))
        self.assertTrue(self.comes_in(bob, V6[2]))
        time.sleep(1.2)
        listed = self.user("locked")
        self.assertIn(f"address {afar(1)}: ", listed)
        self.assertIn("address 2001:db8:1::/64: ", listed)
        self.assertIn(f"Unlocked: address {afar(1)}: ", self.user("unlock", "--address", afar(1)))
        self.assertTrue(self.comes_in(bob, afar(1)))
        self.assertFalse(self.comes_in(bob, V6[1]))
        self.user("unlock", "--address", V6[0])
        self.assertTrue(self.comes_in(bob, V6[1]))

    def test_a_lock_survives_a_restart_and_a_kill_until_it_is_taken_off(self) -> None:
        alice = self.daemon.alice
        self.assertTrue(self.comes_in(alice, afar(50)))
        self.lock(alice)
        self.daemon.restart()
        self.assertFalse(self.comes_in(alice, afar(60)))
        self.assertTrue(self.comes_in(alice, afar(50)))
        # What failed more than a second before a kill is known after it.
        self.fail("bob", *[afar(number) for number in range(11, 10 + self.FAILURES)])
        time.sleep(1.5)
        self.daemon.kill()
        self.daemon.start()
        self.assertFalse(self.comes_in(alice, afar(61)))
        self.fail("bob", afar(20))
        self.assertFalse(self.comes_in(self.daemon.bob, afar(62)))

        time.sleep(1.2)
        listed = self.user("locked")
        self.assertEqual(listed.count("from addresses that it is not known to use"), 2, listed)
        self.assertIn("Unlocked: account alice, ", self.user("unlock", "alice"))
        self.assertNotIn("account alice", self.user("locked"))
        self.assertTrue(self.comes_in(alice, afar(63)))
        self.assertFalse(self.comes_in(self.daemon.bob, afar(62)))
        self.daemon.stop()
        self.assertIn("Unlocked: account bob, ", self.user("unlock", "bob"))
        self.daemon.start()
        self.assertTrue(self.comes_in(self.daemon.bob, afar(62)))
        self.assertIn("alice was not locked out", self.user("unlock", "alice"))
        self.fail("alice", *[afar(number) for number in range(31, 31 + self.FAILURES)])
        self.assertFalse(self.comes_in(alice, afar(64)), "what comes after counts")

    def test_a_damaged_table_does_not_stop_the_start(self) -> None:
        self.lock(self.daemon.alice)
        self.daemon.stop()
        table = self.daemon.state / "lockout.json"
        self.assertEqual(table.stat().st_mode & 0o777, 0o600)
        table.write_bytes(table.read_bytes()[:-3])
        self.daemon.start()
        self.assertIn("Failed log-ons are forgotten", self.daemon.log.read_text())
        self.assertTrue(self.comes_in(self.daemon.alice, afar(60)))
        self.lock(self.daemon.bob)
        self.assertFalse(self.comes_in(self.daemon.bob, afar(61)))

    def test_no_answer_tells_who_exists_who_is_locked_or_what_was_right(self) -> None:
        alice = self.daemon.alice
        self.lock(alice)
        # Remembered, so that it could be answered without a check.
        self.assertTrue(self.comes_in(alice, "127.0.0.1"))
        cases = {
            "unknown": Account("nobody", "wrong"),
            "wrong": Account("bob", "wrong"),
            "locked, wrong": Account("alice", "wrong"),
            "locked, right": alice,
        }
        seen: dict[str, list[Tried]] = {name: [] for name in cases}
        source = 60
        # Fewer than lock bob, each from a fresh address.
        for _ in range(self.FAILURES - 1):
            for name, account in cases.items():
                seen[name].append(self.attempt(account, afar(source)))
                source += 1
        answers = {
            (one.status, tuple(sorted(one.headers.items())), one.body)
            for tried in seen.values()
            for one in tried
        }
        self.assertEqual(len(answers), 1, answers)
        times = {name: statistics.median(one.seconds for one in tried) for name, tried in seen.items()}
        print(", ".join(f"{name}: {seconds * 1000:.0f} ms" for name, seconds in times.items()))
        # A check that is left out takes a hundredth of one.
        self.assertLess(max(times.values()) / min(times.values()), 3.0, times)
        # A right one is no way to spare the address.
        for _ in range(self.FAILURES - 1):
            self.assertFalse(self.comes_in(alice, afar(source - 1)))
        self.assertFalse(self.comes_in(self.daemon.bob, afar(source - 1)))

    def test_whoever_is_locked_hears_of_a_wrong_password_by_every_scheme(self) -> None:
        alice, bob = self.daemon.alice, self.daemon.bob
        for account in (alice, bob):
            self.daemon.add_user(account, "--ntlm")
        self.lock(alice)
        source = 60
        for scheme, protocol in (
            ("NTLM", "ntlm"), ("Negotiate", "ntlm"), ("Negotiate", "negotiate"), ("CredSSP", "credssp"),
        ):
            # The log takes so many lines in a second.
            time.sleep(1.1)
            with self.subTest(scheme=scheme, protocol=protocol):
                self.assertEqual(self.by(scheme, protocol, alice, "127.0.0.1")[-1][0], 200)
                self.assertEqual(self.by(scheme, protocol, bob, afar(source))[-1][0], 200)
                wrong = [Account("bob", "wrong"), Account("alice", "wrong"), Account("nobody", "wrong"), alice]
                seen = [self.by(scheme, protocol, one, afar(source + at)) for at, one in enumerate(wrong, 1)]
                for answers in seen[1:]:
                    self.assertEqual(answers, seen[0])
                self.assertEqual(seen[0][-1][0], 401)
                if scheme == "CredSSP":
                    # STATUS_LOGON_FAILURE
                    self.assertEqual(seen[0][-1][3] & 0xFFFFFFFF, 0xC000006D)
            source += 10
        self.assertRegex(
            self.daemon.log.read_text(), r'Log-on refused .*scheme="CredSSP" account="alice" why=account locked out'
        )

    def by(self, scheme: str, protocol: str, account: Account, source: str) -> list[tuple[int, list[str], bytes, int]]:
        """A log-on of several legs: status, headers, body and status within of each answer."""
        context = ssl.create_default_context(cafile=str(self.daemon.certificate))
        connection = http.client.HTTPSConnection(
            "127.0.0.1", self.daemon.port, timeout=60, context=context, source_address=(source, 0)
        )
        self.addCleanup(connection.close)
        connection.connect()
        data = end_point(connection.sock.getpeercert(True) or b"")
        client = spnego.client(
            account.name, account.password, hostname="localhost", protocol=protocol,
            channel_bindings=spnego.channel_bindings.GssChannelBindings(application_data=data),
        )
        answers = []
        token = client.step()
        while True:
            proof = f"{scheme} {base64.b64encode(token or b'').decode()}"
            connection.request("POST", "/wsman", b"", {"Authorization": proof})
            answer = connection.getresponse()
            body, within = answer.read(), 0
            offered = answer.headers.get_all("WWW-Authenticate") or []
            tokens = [one.partition(" ")[2] for one in offered if one.startswith(f"{scheme} ")]
            if tokens:
                try:
                    token = client.step(base64.b64decode(tokens[0]))
                except SpnegoError as error:
                    within = error.nt_status
                    body = f"{len(tokens[0])} characters".encode()
            shown = [one.partition(" ")[0] for one in offered]
            answers.append((answer.status, shown, body, within))
            if answer.status == 200 or not tokens or within:
                return answers

    def test_the_log_tells_of_everything_but_secrets(self) -> None:
        alice = self.daemon.alice
        secrets = [alice.password, "guess-one", "typed-where-the-name-belongs", "no-colon-at-all"]
        tokens = [
            alice.basic,
            Account("alice", secrets[1]).basic,
            Account(secrets[2], "x").basic,
            "Basic " + base64.b64encode(secrets[3].encode()).decode(),
        ]
        for token in tokens:
            self.attempt(token, afar(70))
        self.lock(alice)
        self.attempt(alice, afar(71))
        self.fail("nobody", *[afar(70)] * self.FAILURES)
        self.attempt(alice, afar(70))
        text = self.daemon.log.read_text()
        for secret in [*secrets, *[token.split()[1] for token in tokens], "wrong password"]:
            self.assertNotIn(secret, text)
        for pattern in (
            rf'Logged on address={afar(70)}:\d+ scheme="Basic" account=alice .*binding="none to make"',
            rf'Log-on refused address={afar(70)}:\d+ scheme="Basic" account="alice" why=not proved',
            rf'Log-on refused address={afar(70)}:\d+ scheme="Basic" why=not proved',
            r"Account locked out, .* account=\"alice\" duration_s=900",
            rf'Log-on refused address={afar(71)}:\d+ scheme="Basic" account="alice" why=account locked out',
            rf"Address locked out address={afar(70)}:\d+ duration_s=900",
            rf"Log-on refused address={afar(70)}:\d+ scheme=\"Basic\" why=address locked out",
        ):
            self.assertRegex(text, pattern)
