"""What somebody may try who is not let in, or sits on the wire."""

from __future__ import annotations

import base64
import hashlib
import http.client
import os
import socket
import ssl
import time

import spnego
from clients.drivers import Endpoint, Person, SchemeSession, Refused, end_point
from clients.test_logons import BOUNDED, KERBEROS, SPNEGO, WithRealm
from harness.daemon import Daemon
from harness.realm import acting
from harness.wsman import CONTENT_TYPE, IDENTIFY, JOB, Account, X, envelope

LIST = envelope(f"{X}/Get", "", {"JobId": "{00000000-0000-0000-0000-000000000000}"})


class Attacks(WithRealm):
    """Each is refused, and costs nobody else anything."""

    settings = BOUNDED

    def session(self, tls: bool, scheme: str, protocol: str, sealed: str = "", **more: object) -> SchemeSession:
        who = self.people["ticket" if protocol == "kerberos" else "password"]
        with acting(who.ticket or self.realm.environment):
            session = SchemeSession(self.endpoint(tls), who, scheme, protocol, sealed, **more)
        self.addCleanup(session.close)
        return session

    def seals(self) -> list[tuple[str, str, str]]:
        return [
            ("Negotiate", "ntlm", SPNEGO),
            ("Negotiate", "negotiate", SPNEGO),
            ("Kerberos", "kerberos", KERBEROS),
        ]

    def test_a_tampered_body_ends_the_context(self) -> None:
        for scheme, protocol, sealed in self.seals():
            with self.subTest(protocol=protocol):
                session = self.session(False, scheme, protocol, sealed)
                kind, body = session.wrap(IDENTIFY.encode())
                at = body.rindex(b"--Encrypted Boundary--") - 5
                changed = body[:at] + bytes([body[at] ^ 1]) + body[at + 1 :]
                status, headers, answer = session.exchange({"Content-Type": kind}, changed)
                self.assertEqual((status, answer), (401, b""))
                self.assertIn("Negotiate", headers.get_all("WWW-Authenticate") or [])
                # Even the right body is of no use on that connection now.
                kind, body = session.wrap(IDENTIFY.encode())
                self.assertEqual(session.exchange({"Content-Type": kind}, body)[0], 401)

    def test_a_replayed_body_ends_the_context(self) -> None:
        for scheme, protocol, sealed in self.seals():
            with self.subTest(protocol=protocol):
                session = self.session(False, scheme, protocol, sealed)
                kind, body = session.wrap(IDENTIFY.encode())
                self.assertEqual(session.exchange({"Content-Type": kind}, body)[0], 200)
                self.assertEqual(session.exchange({"Content-Type": kind}, body)[0], 401)
                self.assertEqual(session.exchange({"Content-Type": CONTENT_TYPE}, LIST.encode())[0], 401)

    def test_a_sealed_body_of_another_connection_is_refused(self) -> None:
        one, other = (self.session(False, "Negotiate", "ntlm", SPNEGO) for _ in range(2))
        kind, body = one.wrap(IDENTIFY.encode())
        self.assertEqual(other.exchange({"Content-Type": kind}, body)[0], 401)
        fresh = http.client.HTTPConnection("localhost", self.http_port, timeout=30)
        self.addCleanup(fresh.close)
        fresh.request("POST", "/wsman", body, {"Content-Type": kind})
        self.assertEqual(fresh.getresponse().status, 401)

    def test_a_log_on_does_not_carry_to_another_connection(self) -> None:
        for tls in (False, True):
            session = self.session(tls, "Negotiate", "ntlm", "" if tls else SPNEGO)
            session.send(IDENTIFY)
            session.connection.close()
            status, headers, _ = session.exchange({"Content-Type": CONTENT_TYPE}, IDENTIFY.encode())
            self.assertEqual(status, 401)
            self.assertIn("Negotiate", headers.get_all("WWW-Authenticate") or [])

    def test_half_a_log_on_does_not_carry_to_another_connection(self) -> None:
        alice = self.daemon.alice
        context = spnego.client(alice.name, alice.password, hostname="localhost", protocol="ntlm")
        one, other = (http.client.HTTPConnection("localhost", self.http_port, timeout=30) for _ in range(2))
        self.addCleanup(one.close)
        self.addCleanup(other.close)
        first = leg(one, "Negotiate", context.step() or b"")
        second = context.step(first) or b""
        self.assertEqual(leg(other, "Negotiate", second), b"")

    def test_an_authenticator_is_of_use_once(self) -> None:
        who = self.people["ticket"]
        with acting(who.ticket):
            context = spnego.client(hostname="localhost", service="HTTP", protocol="kerberos")
            token = context.step() or b""
        statuses = []
        for _ in range(2):
            connection = http.client.HTTPConnection("localhost", self.http_port, timeout=30)
            self.addCleanup(connection.close)
            connection.request("POST", "/wsman", b"", {"Authorization": "Kerberos " + base64.b64encode(token).decode()})
            answer = connection.getresponse()
            answer.read()
            statuses.append(answer.status)
        self.assertEqual(statuses, [200, 401])

    def test_a_wrong_password_is_refused_with_and_without_integrity_code(self) -> None:
        wrong = Person(Account(self.daemon.alice.name, "not " + self.daemon.alice.password))
        for mic in (True, False):
            with self.subTest(mic=mic), self.assertRaises(Refused):
                NtlmSession(self.endpoint(False), wrong, mic)
            right = NtlmSession(self.endpoint(False), self.people["password"], mic)
            self.addCleanup(right.connection.close)

    def test_a_binding_to_another_server_is_refused(self) -> None:
        for scheme, protocol in (("Negotiate", "ntlm"), ("Negotiate", "negotiate"), ("Kerberos", "kerberos")):
            other = b"tls-server-end-point:" + hashlib.sha256(b"another certificate").digest()
            for binding in (other, b""):
                with self.subTest(protocol=protocol, binding=binding), self.assertRaises(Refused):
                    self.session(True, scheme, protocol, binding=binding)

    def test_a_relay_over_https_is_refused(self) -> None:
        # The victim logs on to the relay's own server, and is bound to its certificate, or to nothing over HTTP.
        alice = self.daemon.alice
        for data in (b"tls-server-end-point:" + hashlib.sha256(b"the relay").digest(), None):
            bindings = spnego.channel_bindings.GssChannelBindings(application_data=data) if data else None
            victim = spnego.client(
                alice.name, alice.password, hostname="relay", protocol="ntlm", channel_bindings=bindings
            )
            relay = http.client.HTTPSConnection(
                "localhost", self.daemon.port, timeout=30,
                context=ssl.create_default_context(cafile=str(self.daemon.certificate)),
            )
            self.addCleanup(relay.close)
            challenge = leg(relay, "Negotiate", victim.step() or b"")
            self.assertTrue(challenge)
            relay.request("POST", "/wsman", b"", {
                "Authorization": "Negotiate " + base64.b64encode(victim.step(challenge) or b"").decode()
            })
            answer = relay.getresponse()
            answer.read()
            self.assertEqual(answer.status, 401)
            relay.request("POST", "/wsman", IDENTIFY.encode(), {"Content-Type": CONTENT_TYPE})
            self.assertEqual(relay.getresponse().status, 401)

    def test_no_route_answers_without_a_log_on(self) -> None:
        for tls in (False, True):
            for method, path in (
                ("POST", "/wsman"), ("POST", "/wsman/"), ("POST", "/wsman?x=y"), ("GET", "/metrics"), ("POST", "/wsman/x"),
                ("GET", "/wsman"), ("PUT", "/wsman"), ("POST", "/WSMAN"), ("POST", "//wsman"), ("POST", "/"),
            ):
                for headers in (
                    {}, {"Authorization": ""}, {"Authorization": "Negotiate"}, {"Authorization": "Kerberos"},
                    {"Authorization": "Basic"}, {"Authorization": "Bearer x"}, {"Authorization": "NTLM "},
                    {"Authorization": "CredSSP"}, {"WSMANIDENTIFY": "unauthenticated"},
                ):
                    with self.subTest(tls=tls, method=method, path=path, headers=headers):
                        status, body = self.ask(tls, method, path, headers, LIST.encode())
                        self.assertIn(status, (401, 404, 405))
                        self.assertEqual(body, b"")

    def test_tokens_that_are_none_or_too_large_are_refused(self) -> None:
        big = base64.b64encode(b"NTLMSSP\0\1\0\0\0" + bytes(60_000)).decode()
        for scheme in ("Negotiate", "Kerberos", "NTLM", "CredSSP"):
            for token in ("%%%", "AAAA", base64.b64encode(os.urandom(3_000)).decode(), big, "YIIB" * 20_000, "A" * 200_000):
                with self.subTest(scheme=scheme, length=len(token)):
                    try:
                        status, _ = self.ask(False, "POST", "/wsman", {"Authorization": f"{scheme} {token}"}, b"")
                    except (ConnectionError, http.client.HTTPException):
                        status = 431
                    self.assertIn(status, (400, 401, 431))
        self.session(False, "Negotiate", "ntlm", SPNEGO).send(IDENTIFY)

    def ask(self, tls: bool, method: str, path: str, headers: dict[str, str], body: bytes) -> tuple[int, bytes]:
        endpoint: Endpoint = self.endpoint(tls)
        context = ssl.create_default_context(cafile=str(endpoint.certificate))
        connection: http.client.HTTPConnection = (
            http.client.HTTPSConnection("localhost", endpoint.port, timeout=30, context=context)
            if tls
            else http.client.HTTPConnection("localhost", endpoint.port, timeout=30)
        )
        try:
            connection.request(method, path, body, {"Content-Type": CONTENT_TYPE, **headers})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()


class Slow(WithRealm):
    """Log-ons that do not get on."""

    settings = BOUNDED

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()

    def test_half_open_log_ons_cost_bounded_memory(self) -> None:
        daemon: Daemon = self.daemon
        before = daemon.resident_octets()
        held: list[socket.socket] = []
        token = base64.b64encode(spnego.client("x", "y", hostname="localhost", protocol="ntlm").step() or b"").decode()
        request = f"POST /wsman HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nAuthorization: Negotiate {token}\r\n\r\n"
        answered = 0
        for number in range(10_000):
            # From many addresses, as the bound by address is a narrow one.
            one = socket.socket()
            one.settimeout(0.5)
            one.bind((f"127.{number % 200 + 1}.0.9", 0))
            try:
                one.connect(("127.0.0.1", self.http_port))
                one.sendall(request.encode())
            except OSError:
                one.close()
                continue
            held.append(one)
            if len(held) > 4_000:
                held.pop(0).close()
        for one in held[-200:]:
            try:
                answered += one.recv(20).startswith(b"HTTP/1.1 401")
            except OSError:
                pass
        grown = daemon.resident_octets() - before
        for one in held:
            one.close()
        self.assertLess(grown, 64 * 1_024 * 1_024)
        deadline = time.monotonic() + 60
        while True:
            try:
                with acting(self.realm.environment):
                    session = SchemeSession(self.endpoint(True), self.people["password"], "NTLM", "ntlm")
                session.close()
                break
            except (Refused, OSError, http.client.HTTPException):
                self.assertLess(time.monotonic(), deadline, "nobody can log on any more")
                time.sleep(0.5)


class NtlmSession:
    """NTLM with or without the message integrity code."""

    def __init__(self, to: Endpoint, who: Person, mic: bool) -> None:
        self.connection = http.client.HTTPConnection("localhost", to.port, timeout=30)
        # A client that sends no integrity code: curl's messages, as curl makes them.
        context = spnego.client(
            who.account.name, who.account.password, hostname="localhost", protocol="ntlm",
            options=spnego.NegotiateOptions.use_ntlm,
        )
        challenge = leg(self.connection, "NTLM", context.step() or b"")
        if not mic:
            challenge = without_timestamp(challenge)
            context = spnego.client(
                who.account.name, who.account.password, hostname="localhost", protocol="ntlm",
                options=spnego.NegotiateOptions.use_ntlm,
            )
            context.step()
        token = context.step(challenge) or b""
        self.connection.request("POST", "/wsman", b"", {"Authorization": "NTLM " + base64.b64encode(token).decode()})
        answer = self.connection.getresponse()
        answer.read()
        if answer.status != 200:
            self.connection.close()
            raise Refused(str(answer.status))


def without_timestamp(challenge: bytes) -> bytes:
    """The challenge without MsvAvTimestamp: then clients send no integrity code."""
    length, _, offset = (
        int.from_bytes(challenge[40:42], "little"), 0, int.from_bytes(challenge[44:48], "little"),
    )
    info, kept, at = challenge[offset : offset + length], b"", 0
    while at < len(info):
        kind, size = int.from_bytes(info[at : at + 2], "little"), int.from_bytes(info[at + 2 : at + 4], "little")
        if kind != 7:
            kept += info[at : at + 4 + size]
        at += 4 + size
    field = len(kept).to_bytes(2, "little") * 2 + offset.to_bytes(4, "little")
    return challenge[:40] + field + challenge[48:offset] + kept + challenge[offset + length :]


def leg(connection: http.client.HTTPConnection, scheme: str, token: bytes) -> bytes:
    """One leg of a log-on; the server's token."""
    connection.request("POST", "/wsman", b"", {"Authorization": f"{scheme} {base64.b64encode(token).decode()}"})
    answer = connection.getresponse()
    answer.read()
    offered = answer.headers.get_all("WWW-Authenticate") or []
    found = [one.split(" ", 1)[1] for one in offered if one.startswith(f"{scheme} ")]
    return base64.b64decode(found[0]) if found else b""
