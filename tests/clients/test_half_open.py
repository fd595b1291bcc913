"""Log-ons that are begun and not ended, by the thousand or slowly."""

from __future__ import annotations

import base64
import concurrent.futures
import contextlib
import http.client
import resource
import shutil
import socket
import ssl
import tempfile
import time
import unittest
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import spnego
from clients.drivers import Endpoint, Person, Refused, SchemeSession
from clients.test_attacks import leg
from harness.daemon import Daemon, Settings, free_port
from harness.wsman import IDENTIFY

MANY = 10_000
# What the test and the service have open besides.
SPARE = 500


class WithListeners(unittest.TestCase):
    """A service over HTTP and HTTPS with NTLM and CredSSP."""

    wsman: ClassVar[dict[str, int]] = {}
    daemon: ClassVar[Daemon]
    http_port: ClassVar[int]

    @classmethod
    def setUpClass(cls) -> None:
        folder = Path(tempfile.mkdtemp(prefix="bitsd-test-"))
        cls.addClassCleanup(shutil.rmtree, folder, ignore_errors=True)
        cls.http_port = free_port()
        settings: Settings = {
            "service": {"listen_http": [f"127.0.0.1:{cls.http_port}"]},
            "access": {"credssp": True},
            "wsman": cls.wsman,
        }
        cls.daemon = Daemon(folder, settings)
        cls.addClassCleanup(cls.daemon.kill)
        cls.daemon.add_user(cls.daemon.alice, "--ntlm")
        cls.daemon.start()

    @classmethod
    def tearDownClass(cls) -> None:
        stopped = cls.daemon.stop()
        assert stopped.status == 0, f"ended with {stopped.status}: {cls.daemon.tail()}"

    def log_on(self) -> float:
        """Somebody logs on and is served; the seconds that it took."""
        began = time.monotonic()
        for port, tls, scheme in ((self.daemon.port, True, "NTLM"), (self.http_port, False, "Negotiate")):
            to = Endpoint(port, tls, self.daemon.certificate)
            sealed = "" if tls else "application/HTTP-SPNEGO-session-encrypted"
            session = SchemeSession(to, Person(self.daemon.alice), scheme, "ntlm", sealed)
            self.assertIn(b"IdentifyResponse", session.send(IDENTIFY))
            session.close()
        return time.monotonic() - began

    def first(self, protocol: str) -> bytes:
        """The first token of a log-on."""
        alice = self.daemon.alice
        return spnego.client(alice.name, alice.password, hostname="localhost", protocol=protocol).step() or b""


class HalfOpen(WithListeners):
    """Ten thousand at once, by whoever has raised the limits so far."""

    wsman = {
        "max_anonymous_connections": MANY + SPARE,
        "max_anonymous_connections_per_address": MANY + SPARE,
        "logon_timeout_s": 300,
    }

    @classmethod
    def setUpClass(cls) -> None:
        # For this process, and for the service, which inherits it.
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = MANY + SPARE
        allowed = hard if hard == resource.RLIM_INFINITY else max(hard, wanted)
        try:
            # Root may raise the hard limit too.
            resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), allowed))
        except ValueError as refused:
            raise AssertionError(f"RLIMIT_NOFILE: {wanted} files are needed, and {hard} allowed") from refused
        cls.addClassCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        super().setUpClass()

    def setUp(self) -> None:
        # Memory that others have used before is no measure.
        self.daemon.restart()

    def hold(self, scheme: str, token: bytes) -> list[socket.socket]:
        """As many connections, on each of which a leg has been answered."""
        proof = base64.b64encode(token).decode()
        request = f"POST /wsman HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nAuthorization: {scheme} {proof}\r\n\r\n"
        held: list[socket.socket] = []
        self.addCleanup(lambda: [one.close() for one in held])
        while len(held) < MANY:
            some = []
            for _ in range(min(100, MANY - len(held))):
                one = socket.create_connection(("127.0.0.1", self.http_port), 60)
                held.append(one)
                some.append(one)
                one.sendall(request.encode())
            for one in some:
                answer = b""
                while b"\r\n\r\n" not in answer:
                    octets = one.recv(8_192)
                    self.assertTrue(octets, f"closed after {len(held)}: {answer!r}")
                    answer += octets
                self.assertTrue(answer.startswith(b"HTTP/1.1 401 "), answer)
                self.assertIn(f"\r\nwww-authenticate: {scheme} ".encode().lower(), answer.lower())
        return held

    def assert_bounded(self, scheme: str, token: bytes, most: int) -> None:
        """Each costs so many octets at most, and nobody else is kept out."""
        before = self.daemon.resident_octets()
        began = time.monotonic()
        held = self.hold(scheme, token)
        took = time.monotonic() - began
        grown = self.daemon.resident_octets() - before
        print(f"{scheme}: {grown / MANY / 1_024:.1f} KiB each, {took:.1f} s, ", end="")
        self.assertLess(grown / MANY, most)
        # They are all there still, and others log on beside them.
        print(f"log-on beside them: {self.log_on():.2f} s ", end="", flush=True)
        for one in held:
            one.setblocking(False)
            with self.assertRaises(BlockingIOError):
                one.recv(1)

    def test_half_open_log_ons_by_ntlm_cost_bounded_memory(self) -> None:
        # A task, hyper's buffer of 8 KiB and the head that it holds: 19 KiB as measured. NTLM has some 200 octets.
        self.assert_bounded("Negotiate", self.first("ntlm"), 32 * 1_024)

    def test_half_open_log_ons_by_credssp_cost_bounded_memory(self) -> None:
        # The same, and a handshake of TLS half-way: 32 KiB as measured.
        self.assert_bounded("CredSSP", self.first("credssp"), 48 * 1_024)


class Flood(WithListeners):
    """The limits as they come, and more log-ons than they allow, from many addresses."""

    TIME = 3
    wsman = {"logon_timeout_s": TIME}

    def test_a_flood_of_half_open_log_ons_keeps_nobody_out_for_long(self) -> None:
        self.log_on()
        before = self.daemon.resident_octets()
        proof = base64.b64encode(self.first("ntlm")).decode()
        request = f"POST /wsman HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nAuthorization: NTLM {proof}\r\n\r\n"
        held: list[socket.socket] = []
        self.addCleanup(lambda: [one.close() for one in held])
        for number in range(3_000):
            one = socket.socket()
            # The oldest go, as this process may have no more than a thousand files.
            held.append(one)
            if len(held) > 500:
                held.pop(0).close()
            one.settimeout(5)
            one.bind((f"127.{number % 200 + 1}.0.9", 0))
            with contextlib.suppress(OSError):
                one.connect(("127.0.0.1", self.http_port))
                one.sendall(request.encode())
        grown = self.daemon.resident_octets() - before
        # No more than 100 have a place, and some hundreds wait for one.
        self.assertLess(grown, 16 * 1_024 * 1_024)
        began = time.monotonic()
        while True:
            try:
                self.log_on()
                break
            except (Refused, OSError, http.client.HTTPException):
                self.assertLess(time.monotonic() - began, self.TIME * 4, "nobody can log on any more")
                time.sleep(0.1)
        print(f"{grown / 1_024:.0f} KiB, log-on after {time.monotonic() - began:.1f} s ", end="")


class Slow(WithListeners):
    """Whoever does not get on is out when his time is up."""

    TIME = 2
    wsman = {"logon_timeout_s": TIME}

    def test_whoever_is_slow_is_out_in_time(self) -> None:
        head = b"POST /wsman HTTP/1.1\r\nHost: x\r\n"
        ways: dict[str, Callable[[], None]] = {
            "a header, over HTTP": lambda: self.drip(self.plain(), head + b"Authorization: Negotiate ", b"A"),
            "a header, over HTTPS": lambda: self.drip(self.secure(), head + b"Authorization: Negotiate ", b"A"),
            "many headers": lambda: self.drip(self.plain(), head, b"A: b\r\n"),
            "a body": lambda: self.drip(self.plain(), head + b"Content-Length: 10000\r\n\r\n", b"A"),
            "a handshake": lambda: self.drip(self.raw(self.daemon.port), b"\x16\x03\x01\x02\x00", b"\0"),
            "nothing": lambda: self.drip(self.plain(), b"", b""),
            "legs of NTLM": lambda: self.legs(False, "NTLM", "ntlm"),
            "legs of NTLM, over HTTPS": lambda: self.legs(True, "Negotiate", "ntlm"),
            "legs of CredSSP": lambda: self.legs(False, "CredSSP", "credssp"),
            "requests without a log-on": lambda: self.drip(self.plain(), b"", head + b"Content-Length: 0\r\n\r\n"),
            "the last leg": self.last_leg_too_late,
        }

        def timed(way: Callable[[], None]) -> float:
            began = time.monotonic()
            way()
            return time.monotonic() - began

        with concurrent.futures.ThreadPoolExecutor(len(ways)) as pool:
            running = {name: pool.submit(timed, way) for name, way in ways.items()}
            beside = pool.submit(self.log_on)
        self.assertLess(beside.result(), 5)
        for name, future in running.items():
            with self.subTest(slow=name):
                self.assertGreater(future.result(), self.TIME - 0.5)
                # A request that is being answered is looked at every two seconds; TLS says goodbye for one.
                self.assertLess(future.result(), self.TIME + 4)

    def raw(self, port: int) -> socket.socket:
        one = socket.create_connection(("127.0.0.1", port), 20)
        self.addCleanup(one.close)
        return one

    def plain(self) -> socket.socket:
        return self.raw(self.http_port)

    def secure(self) -> socket.socket:
        context = ssl.create_default_context(cafile=str(self.daemon.certificate))
        return context.wrap_socket(self.raw(self.daemon.port), server_hostname="localhost")

    def drip(self, one: socket.socket, begin: bytes, more: bytes) -> None:
        """Sends some octets again and again until the other end has closed."""
        one.settimeout(0.1)
        began = time.monotonic()
        try:
            one.sendall(begin)
            while time.monotonic() - began < 20:
                one.sendall(more)
                try:
                    if not one.recv(8_192):
                        return
                except TimeoutError:
                    pass
        except OSError:
            pass

    def legs(self, tls: bool, scheme: str, protocol: str) -> None:
        """Begins a log-on again and again on one connection."""
        connection = self.connection(tls)
        token, began = self.first(protocol), time.monotonic()
        try:
            while time.monotonic() - began < 20:
                leg(connection, scheme, token)
                # A connection of its own would be made anew.
                if connection.sock is None:
                    return
                time.sleep(0.2)
        except (OSError, http.client.HTTPException):
            pass

    def last_leg_too_late(self) -> None:
        """The right answer to a challenge, after the time."""
        alice = self.daemon.alice
        context = spnego.client(alice.name, alice.password, hostname="localhost", protocol="ntlm")
        connection = self.connection(False)
        last = context.step(leg(connection, "NTLM", context.step() or b"")) or b""
        one = connection.sock
        time.sleep(self.TIME + 1.2)
        proof = base64.b64encode(last).decode()
        request = f"POST /wsman HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nAuthorization: NTLM {proof}\r\n\r\n"
        try:
            one.sendall(request.encode())
            answer = one.recv(100)
        except OSError:
            return
        self.assertEqual(answer, b"")

    def connection(self, tls: bool) -> http.client.HTTPConnection:
        context = ssl.create_default_context(cafile=str(self.daemon.certificate))
        made: http.client.HTTPConnection = (
            http.client.HTTPSConnection("localhost", self.daemon.port, timeout=20, context=context)
            if tls
            else http.client.HTTPConnection("localhost", self.http_port, timeout=20)
        )
        self.addCleanup(made.close)
        return made
