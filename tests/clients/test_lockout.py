"""Failed log-ons: whom they lock out, and whom they must not.

Whoever comes from loopback is the console, which is never locked out. So the
tests of `lockout_from_afar` have a network namespace of their own, with
addresses that are not loopback; no packet leaves it.
"""

from __future__ import annotations

import socket
import ssl
import subprocess
import time

from clients.base import InNamespace, WithDaemon
from harness.wsman import Account, Client


class LockOutFromAfar(InNamespace):
    """`lockout_from_afar`."""

    def test_lock_out_from_afar(self) -> None:
        self.run_there("lockout_from_afar", at_least=7)


class FailuresAtTheConsole(WithDaemon):
    """From loopback: held back, never locked out."""

    settings = {"access": {"lockout_failures": 3}, "wsman": {"logon_timeout_s": 3}}

    def wrong(self, account: Account) -> Client:
        """A client with a wrong password."""
        client = Client(self.daemon.port, Account(account.name, "wrong"), self.daemon.certificate)
        self.addCleanup(client.close)
        return client

    def test_wrong_passwords_wait_and_right_ones_do_not(self) -> None:
        wrong = self.wrong(self.daemon.alice)
        times = []
        for _ in range(5):
            began = time.monotonic()
            self.assertEqual(wrong.post(b"").status, 401)
            times.append(time.monotonic() - began)
        self.assertGreater(times[2], 0.5)
        self.assertGreater(times[3], 1.0)
        self.assertGreater(times[4], 2.0)
        for account in (self.daemon.alice, self.daemon.bob):
            client = self.daemon.client(account)
            self.addCleanup(client.close)
            began = time.monotonic()
            self.assertEqual(client.post(b"").status, 200)
            self.assertLess(time.monotonic() - began, 0.5 + times[0])

    def test_a_connection_closes_after_twenty_failures(self) -> None:
        client = Client(self.daemon.port, None, self.daemon.certificate)
        self.addCleanup(client.close)
        # What is no log-on at all is answered at once.
        answers = [client.post(b"", {"Authorization": "Basic %"}) for _ in range(21)]
        self.assertEqual({answer.status for answer in answers}, {401})
        closing = [answer.headers.get("connection") == "close" for answer in answers]
        self.assertEqual(closing, [False] * 19 + [True, False])

    def test_requests_that_follow_closely_do_not_outlive_the_time_to_log_on(self) -> None:
        context = ssl.create_default_context(cafile=str(self.daemon.certificate))
        raw = socket.create_connection(("127.0.0.1", self.daemon.port), 10)
        began = time.monotonic()
        head = b"POST /wsman HTTP/1.1\r\nHost: x\r\nAuthorization: Basic %\r\nContent-Length: 2\r\n\r\n"
        with context.wrap_socket(raw, server_hostname="localhost") as stream:
            try:
                while time.monotonic() - began < 20:
                    # The next one is there before the last one is answered.
                    stream.sendall(head + b"x")
                    time.sleep(0.5)
                    stream.sendall(b"x")
            except OSError:
                pass
        self.assertLess(time.monotonic() - began, 8)

    def test_a_slow_header_does_not_outlive_the_time_to_log_on(self) -> None:
        context = ssl.create_default_context(cafile=str(self.daemon.certificate))
        raw = socket.create_connection(("127.0.0.1", self.daemon.port), 10)
        began = time.monotonic()
        with context.wrap_socket(raw, server_hostname="localhost") as stream:
            stream.sendall(b"POST /wsman HTTP/1.1\r\nHost: x\r\nAuthorization: Negotiate ")
            try:
                while time.monotonic() - began < 20:
                    stream.sendall(b"A")
                    time.sleep(0.3)
            except OSError:
                pass
        self.assertLess(time.monotonic() - began, 8)

    def test_loopback_is_not_there_to_be_unlocked(self) -> None:
        command = [str(self.daemon.program), "user", "unlock", "--address", "127.0.0.1"]
        done = subprocess.run(
            [*command, "--config", str(self.daemon.config)],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        self.assertIn("loopback addresses are never locked", done.stderr)
