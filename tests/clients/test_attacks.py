"""What somebody may try who is not let in, or sits on the wire."""

from __future__ import annotations

import base64
import hashlib
import http.client
import os
import ssl
import time
from collections.abc import Callable
from unittest import mock

import spnego
import spnego.channel_bindings
from clients.drivers import Refused, SchemeSession
from clients.with_realm import BOUNDED, KERBEROS, SPNEGO, WithRealm
from harness.realm import acting
from harness.wsman import CONTENT_TYPE, IDENTIFY, X, envelope
from pypsrp.encryption import WinRMEncryption
from spnego._ntlm_raw.messages import Authenticate
from spnego.exceptions import BadBindingsError, SpnegoError

LIST = envelope(f"{X}/Get", "", {"JobId": "{00000000-0000-0000-0000-000000000000}"})
CREDSSP = WinRMEncryption.CREDSSP
# More than goes into one piece of CredSSP.
LONG = IDENTIFY.encode() + b" " * 40_000
OCTETS = b"\tContent-Type: application/octet-stream\r\n"
BOUNDARY = b"--Encrypted Boundary\r\n"
END = b"--Encrypted Boundary--\r\n"

# MsvAvFlags of [MS-NLMP] 2.2.2.1: there is an integrity code.
WITH_CODE = b"\6\0\4\0\2\0\0\0"


class Attacked(WithRealm):
    """A service that is attacked."""

    settings = BOUNDED

    def session(self, tls: bool, scheme: str, protocol: str, sealed: str = "", **more: object) -> SchemeSession:
        who = self.people["ticket" if protocol == "kerberos" else "password"]
        with acting(who.ticket or self.realm.environment):
            session = SchemeSession(self.endpoint(tls), who, scheme, protocol, sealed, **more)
        self.addCleanup(session.close)
        return session

    def plain(self) -> http.client.HTTPConnection:
        """A new connection over HTTP."""
        connection = http.client.HTTPConnection("localhost", self.http_port, timeout=30)
        self.addCleanup(connection.close)
        return connection

    def secure(self) -> http.client.HTTPSConnection:
        """A new connection over HTTPS."""
        context = ssl.create_default_context(cafile=str(self.daemon.certificate))
        connection = http.client.HTTPSConnection("localhost", self.daemon.port, timeout=30, context=context)
        self.addCleanup(connection.close)
        return connection

    def ntlm(self, password: str = "", name: str = "") -> spnego.ContextProxy:
        """Alice's side of NTLM."""
        alice = self.daemon.alice
        return spnego.client(
            name or alice.name, password or alice.password, hostname="localhost", protocol="ntlm",
            options=spnego.NegotiateOptions.use_ntlm,
        )

    def assert_nobody(self, connection: http.client.HTTPConnection) -> None:
        """Nobody is logged on to it."""
        connection.request("POST", "/wsman", IDENTIFY.encode(), {"Content-Type": CONTENT_TYPE})
        answer = connection.getresponse()
        self.assertEqual((answer.status, answer.read()), (401, b""))
        self.assertIn("Negotiate", answer.headers.get_all("WWW-Authenticate") or [])


class Sealed(Attacked):
    """What is done to sealed messages."""

    def each(self) -> list[SchemeSession]:
        """A session with each kind of keys, over HTTP."""
        return [
            self.session(False, scheme, protocol, sealed)
            for scheme, protocol, sealed in (
                ("Negotiate", "ntlm", SPNEGO),
                ("NTLM", "ntlm", SPNEGO),
                ("Negotiate", "negotiate", SPNEGO),
                ("Negotiate", "kerberos", SPNEGO),
                ("Kerberos", "kerberos", KERBEROS),
                ("CredSSP", "credssp", CREDSSP),
            )
        ]

    def send(self, session: SchemeSession, kind: str, body: bytes) -> tuple[int, bytes]:
        """Status and body of an answer."""
        status, _, answer = session.exchange({"Content-Type": kind}, body)
        return status, answer

    def assert_ended(self, session: SchemeSession) -> None:
        """Neither a sealed nor a plain message is of use on the connection."""
        kind, body = session.wrap(IDENTIFY.encode())
        self.assertEqual(self.send(session, kind, body), (401, b""))
        self.assertEqual(self.send(session, CONTENT_TYPE, LIST.encode()), (401, b""))

    def test_a_tampered_body_ends_the_context(self) -> None:
        changes: dict[str, Callable[[bytes], bytes]] = {
            "the last octet": lambda octets: octets[:-1] + bytes([octets[-1] ^ 1]),
            "an octet": lambda octets: octets[:-99] + bytes([octets[-99] ^ 0x80]) + octets[-98:],
            "the signature": lambda octets: octets[:5] + bytes([octets[5] ^ 1]) + octets[6:],
            "its number": lambda octets: octets[:16] + bytes([octets[16] ^ 1]) + octets[17:],
            "its length": lambda octets: octets[:-1],
            "nothing but a signature": lambda octets: octets[:20],
            "nothing": lambda _: b"",
        }
        for what, change in changes.items():
            for session in self.each():
                with self.subTest(scheme=session.scheme, protocol=session.context.protocol, changed=what):
                    kind, body = session.wrap(IDENTIFY.encode())
                    head, octets = body.split(OCTETS, 1)
                    changed = head + OCTETS + change(octets.removesuffix(END)) + END
                    status, headers, answer = session.exchange({"Content-Type": kind}, changed)
                    self.assertEqual((status, answer), (401, b""))
                    self.assertIn("Negotiate", headers.get_all("WWW-Authenticate") or [])
                    self.assert_ended(session)

    def test_a_replayed_body_ends_the_context(self) -> None:
        for session in self.each():
            with self.subTest(scheme=session.scheme, protocol=session.context.protocol):
                kind, body = session.wrap(IDENTIFY.encode())
                self.assertEqual(self.send(session, kind, body)[0], 200)
                self.assertEqual(self.send(session, kind, body), (401, b""))
                self.assert_ended(session)

    def test_a_body_that_was_kept_back_ends_the_context(self) -> None:
        for session in self.each():
            with self.subTest(scheme=session.scheme, protocol=session.context.protocol):
                session.wrap(LIST.encode())
                kind, later = session.wrap(IDENTIFY.encode())
                self.assertEqual(self.send(session, kind, later), (401, b""))
                self.assert_ended(session)

    def test_a_client_that_looks_for_no_replays_is_replayed_by_nobody(self) -> None:
        request = spnego.ContextReq
        flags = request.mutual_auth | request.confidentiality | request.integrity
        make = spnego.client

        def without(*values: object, **named: object) -> spnego.ContextProxy:
            return make(*values, **{**named, "context_req": flags})

        with mock.patch("spnego.client", without):
            session = self.session(False, "Kerberos", "kerberos", KERBEROS)
        kind, body = session.wrap(IDENTIFY.encode())
        self.assertEqual(self.send(session, kind, body)[0], 200)
        self.assertEqual(self.send(session, kind, body), (401, b""))
        self.assert_ended(session)

    def test_pieces_that_are_tampered_with_end_the_context(self) -> None:
        changes: dict[str, Callable[[list[bytes]], list[bytes]]] = {
            "none": lambda pieces: pieces,
            "one left out": lambda pieces: [pieces[0], pieces[2]],
            "the last one left out": lambda pieces: pieces[:2],
            "one twice": lambda pieces: [pieces[0], pieces[0], *pieces[1:]],
            "two swapped": lambda pieces: [pieces[1], pieces[0], pieces[2]],
            "an octet": lambda pieces: [pieces[0], pieces[1][:-1] + bytes([pieces[1][-1] ^ 1]), pieces[2]],
        }
        for what, change in changes.items():
            with self.subTest(changed=what):
                session = self.session(False, "CredSSP", "credssp", CREDSSP)
                media, body = WinRMEncryption(session.context, CREDSSP).wrap_message(LONG)
                self.assertEqual(media, "multipart/x-multi-encrypted")
                kind = f'{media};protocol="{CREDSSP}";boundary="Encrypted Boundary"'
                parts = body.removesuffix(END).split(BOUNDARY)[1:]
                pieces = [head + BOUNDARY + octets for head, octets in zip(parts[::2], parts[1::2], strict=True)]
                self.assertEqual(len(pieces), 3)
                changed = b"".join(BOUNDARY + piece for piece in change(pieces)) + END
                status, answer = self.send(session, kind, changed)
                if what == "none":
                    self.assertEqual((status, changed), (200, body))
                    continue
                if what == "the last one left out":
                    # Each piece stands for itself in [MS-WSMV]: what is left is a whole envelope. Its
                    # keys are out of step, so that the next message ends the context.
                    self.assertEqual(status, 200)
                else:
                    self.assertEqual((status, answer), (401, b""))
                self.assert_ended(session)

    def test_a_sealed_body_of_another_connection_is_refused(self) -> None:
        for one, other in zip(self.each(), self.each(), strict=True):
            with self.subTest(scheme=one.scheme, protocol=one.context.protocol):
                kind, body = one.wrap(IDENTIFY.encode())
                self.assertEqual(self.send(other, kind, body), (401, b""))
                fresh = self.plain()
                fresh.request("POST", "/wsman", body, {"Content-Type": kind})
                self.assertEqual(fresh.getresponse().status, 401)
                self.assertEqual(self.send(one, kind, body)[0], 200)

    def test_a_body_sealed_for_another_kind_of_keys_is_refused(self) -> None:
        session = self.session(False, "Negotiate", "ntlm", SPNEGO)
        kind, body = session.wrap(IDENTIFY.encode())
        kind, body = kind.replace(SPNEGO, CREDSSP), body.replace(SPNEGO.encode(), CREDSSP.encode())
        self.assertEqual(self.send(session, kind, body), (401, b""))
        self.assert_ended(session)


class Counted(Attacked):
    """What is a failure, and what is none."""

    settings = {"access": {**BOUNDED["access"], "lockout_failures": 3}}

    def test_fifty_log_ons_without_a_binding_are_no_failures(self) -> None:
        # Some clients find the binding at the second try only.
        began = time.monotonic()
        for _ in range(5):
            connection = self.secure()
            for _ in range(10):
                context = self.ntlm()
                last = context.step(leg(connection, "NTLM", context.step() or b"")) or b""
                self.assertEqual(proved(connection, "NTLM", last), 401)
        self.assertLess(time.monotonic() - began, 5)
        self.session(True, "NTLM", "ntlm").send(IDENTIFY)


class Attacks(Attacked):
    """Each is refused, and costs nobody else anything."""

    def test_a_log_on_does_not_carry_to_another_connection(self) -> None:
        for tls, scheme, protocol, sealed in (
            (False, "Negotiate", "ntlm", SPNEGO), (False, "Kerberos", "kerberos", KERBEROS),
            (False, "CredSSP", "credssp", CREDSSP), (True, "Negotiate", "ntlm", ""), (True, "Kerberos", "kerberos", ""),
        ):
            with self.subTest(tls=tls, scheme=scheme):
                session = self.session(tls, scheme, protocol, sealed)
                session.send(IDENTIFY)
                session.connection.close()
                self.assert_nobody(session.connection)
                if sealed:
                    kind, body = session.wrap(IDENTIFY.encode())
                    self.assertEqual(session.exchange({"Content-Type": kind}, body)[0], 401)

    def test_half_a_log_on_does_not_carry_to_another_connection(self) -> None:
        alice = self.daemon.alice
        for scheme, protocol in (("Negotiate", "ntlm"), ("NTLM", "ntlm"), ("CredSSP", "credssp")):
            with self.subTest(scheme=scheme):
                context = spnego.client(alice.name, alice.password, hostname="localhost", protocol=protocol)
                one, other = self.plain(), self.plain()
                first = leg(one, scheme, context.step() or b"")
                assert first
                # What finishes it is no beginning of one, also where another one has begun.
                second = context.step(first) or b""
                answer = leg(other, scheme, second)
                # An alert of TLS is all that CredSSP says.
                self.assertTrue(not answer or (scheme == "CredSSP" and answer[:1] == b"\x15"), answer)
                self.assert_nobody(other)
                fresh = spnego.client(alice.name, alice.password, hostname="localhost", protocol=protocol)
                self.assertTrue(leg(other, scheme, fresh.step() or b""))
                leg(other, scheme, second)
                self.assert_nobody(other)
                # Nor does what one scheme has begun go on in another.
                begun = spnego.client(alice.name, alice.password, hostname="localhost", protocol="ntlm")
                third = self.plain()
                last = begun.step(leg(third, "NTLM", begun.step() or b"")) or b""
                self.assertFalse(leg(third, "Negotiate", last))
                self.assert_nobody(third)

    def test_an_authenticator_is_of_use_once(self) -> None:
        for scheme in ("Kerberos", "Negotiate"):
            with acting(self.people["ticket"].ticket):
                token = spnego.client(hostname="localhost", service="HTTP", protocol="kerberos").step() or b""
            proof = {"Authorization": f"{scheme} {base64.b64encode(token).decode()}"}
            statuses = []
            for _ in range(2):
                connection = self.plain()
                connection.request("POST", "/wsman", b"", proof)
                answer = connection.getresponse()
                answer.read()
                statuses.append(answer.status)
            self.assertEqual(statuses, [200, 401], scheme)
            self.assert_nobody(connection)

    def test_an_answer_to_a_challenge_is_of_use_once(self) -> None:
        context, one, other = self.ntlm(), self.plain(), self.plain()
        first = context.step() or b""
        last = context.step(leg(one, "NTLM", first)) or b""
        self.assertEqual(proved(one, "NTLM", last), 200)
        self.assertTrue(leg(other, "NTLM", first))
        self.assertEqual(proved(other, "NTLM", last), 401)
        self.assert_nobody(other)

    def test_a_wrong_password_is_refused_with_and_without_integrity_code(self) -> None:
        right = self.daemon.alice.password
        for mic in (True, False):
            for password in (right, "not " + right, "x", right.swapcase()):
                with self.subTest(mic=mic, password=password):
                    connection = self.plain()
                    token = self.authenticate(connection, self.ntlm(password), mic)
                    self.assertEqual(proved(connection, "NTLM", token), 200 if password == right else 401)
                    if password != right:
                        self.assert_nobody(connection)

    def test_an_integrity_code_that_is_wrong_or_torn_off_is_refused(self) -> None:
        for what in ("wrong", "none", "torn off"):
            with self.subTest(code=what):
                connection = self.plain()
                token = self.authenticate(connection, self.ntlm(), True)
                code = Authenticate.unpack(token).mic or b""
                at = token.index(code)
                if what == "wrong":
                    token = token[:at] + bytes([code[0] ^ 1]) + token[at + 1 :]
                elif what == "none":
                    token = token[:at] + bytes(16) + token[at + 16 :]
                else:
                    # The flag that says that there is one is covered by the proof.
                    token = token.replace(WITH_CODE, WITH_CODE[:4] + bytes(4))
                self.assertEqual(proved(connection, "NTLM", token), 401)
                self.assert_nobody(connection)

    def test_old_and_anonymous_answers_are_refused(self) -> None:
        for level in ("0", "1", "2"):
            # NTLMv1 and LM, with the right password.
            with self.subTest(level=level), mock.patch.dict(os.environ, {"LM_COMPAT_LEVEL": level}):
                context, connection = self.ntlm(), self.plain()
                challenge = leg(connection, "NTLM", context.step() or b"")
                if challenge:
                    try:
                        last = context.step(challenge) or b""
                    except SpnegoError:
                        continue
                    self.assertEqual(proved(connection, "NTLM", last), 401)
                self.assert_nobody(connection)
        connection = self.plain()
        leg(connection, "NTLM", self.ntlm().step() or b"")
        nothing = b"NTLMSSP\0\3\0\0\0" + (b"\1\0\1\0" + b"\x40\0\0\0") + 4 * (b"\0\0\0\0" + b"\x40\0\0\0")
        anonymous = nothing + b"\0\0\0\0\x41\0\0\0" + (0xA2888A05).to_bytes(4, "little") + b"\0"
        self.assertEqual(proved(connection, "NTLM", anonymous), 401)
        self.assert_nobody(connection)

    def test_a_binding_to_another_server_is_refused(self) -> None:
        for scheme, protocol in (
            ("Negotiate", "ntlm"), ("NTLM", "ntlm"), ("Negotiate", "negotiate"), ("Kerberos", "kerberos"),
        ):
            other = b"tls-server-end-point:" + hashlib.sha256(b"another certificate").digest()
            for binding in (other, b""):
                with self.subTest(scheme=scheme, protocol=protocol, binding=binding), self.assertRaises(Refused):
                    self.session(True, scheme, protocol, binding=binding)
            self.session(True, scheme, protocol).send(IDENTIFY)
        log = self.daemon.log.read_text()
        self.assertIn("Log-on without channel binding", log)
        self.assertIn("Log-on bound to another TLS connection", log)

    def test_a_relay_over_https_is_refused(self) -> None:
        # The victim logs on to the relay's own server, and is bound to its certificate, or to nothing over HTTP.
        alice = self.daemon.alice
        for scheme, protocol in (("Negotiate", "ntlm"), ("NTLM", "ntlm"), ("Negotiate", "negotiate")):
            for data in (b"tls-server-end-point:" + hashlib.sha256(b"the relay").digest(), None):
                with self.subTest(scheme=scheme, protocol=protocol, bound=bool(data)):
                    bindings = spnego.channel_bindings.GssChannelBindings(application_data=data) if data else None
                    victim = spnego.client(
                        alice.name, alice.password, hostname="relay", protocol=protocol, channel_bindings=bindings
                    )
                    relay = self.secure()
                    challenge = leg(relay, scheme, victim.step() or b"")
                    self.assertTrue(challenge)
                    self.assertEqual(proved(relay, scheme, victim.step(challenge) or b""), 401)
                    self.assert_nobody(relay)

    def test_a_relay_over_http_can_do_nothing_without_the_keys(self) -> None:
        # There is no binding over HTTP: the log-on is taken, and is of no use to whoever cannot seal.
        context, relay = self.ntlm(), self.plain()
        last = context.step(leg(relay, "NTLM", context.step() or b"")) or b""
        self.assertEqual(proved(relay, "NTLM", last), 200)
        relay.request("POST", "/wsman", LIST.encode(), {"Content-Type": CONTENT_TYPE})
        answer = relay.getresponse()
        self.assertEqual(answer.status, 500)
        self.assertIn(b"AccessDenied", answer.read())

    def test_a_relay_of_credssp_is_refused(self) -> None:
        # Its victim has seen the relay's key, and says so under keys that the relay does not have.
        for tls in (False, True):
            with (
                self.subTest(tls=tls),
                mock.patch("spnego._credssp.get_certificate_public_key", return_value=b"the relay's"),
                self.assertRaises((Refused, SpnegoError)) as refused,
            ):
                self.session(tls, "CredSSP", "credssp", CREDSSP)
            # The client is told before it could find out by itself.
            self.assertNotIsInstance(refused.exception, BadBindingsError)
            self.session(tls, "CredSSP", "credssp", CREDSSP).send(IDENTIFY)

    def authenticate(self, connection: http.client.HTTPConnection, context: spnego.ContextProxy, mic: bool) -> bytes:
        """The last message of NTLM, with or without an integrity code."""
        challenge = leg(connection, "NTLM", context.step() or b"")
        if not mic:
            # As curl does, whatever the challenge says.
            challenge = without_timestamp(challenge)
        token = context.step(challenge) or b""
        self.assertEqual(WITH_CODE in token, mic)
        return token

    def test_no_route_answers_without_a_log_on(self) -> None:
        # Somebody else is there all the time.
        session = self.session(False, "Negotiate", "ntlm", SPNEGO)
        sealed = f'multipart/encrypted;protocol="{SPNEGO}";boundary="Encrypted Boundary"'
        mutual = "http://schemas.dmtf.org/wbem/wsman/1/wsman/secprofile/https/mutual"
        routes = [
            ("POST", "/wsman"), ("POST", "/wsman/"), ("POST", "/wsman?x=y"), ("POST", "/wsman/x"), ("GET", "/wsman"),
            ("PUT", "/wsman"), ("HEAD", "/wsman"), ("OPTIONS", "/wsman"), ("POST", "/WSMAN"), ("POST", "//wsman"),
            ("POST", "/./wsman"), ("POST", "/"), ("GET", "/metrics"), ("POST", "/wsman-anon/identify"),
        ]
        bare = ["", " ", "Negotiate", "Kerberos", "NTLM ", "Basic", "CredSSP", "Bearer x", mutual]
        given = [
            {}, *[{"Authorization": text} for text in bare], {"WSMANIDENTIFY": "unauthenticated"}, {"Content-Type": sealed},
            {"Remote-User": "alice", "X-Forwarded-User": "alice", "X-Remote-User": "alice"},
        ]
        for tls in (False, True):
            for method, path in routes:
                for headers in given:
                    with self.subTest(tls=tls, method=method, path=path, headers=headers):
                        status, body = self.ask(tls, method, path, headers, LIST.encode())
                        self.assertIn(status, (401, 404, 405))
                        self.assertEqual(body, b"")
        self.assertIn(b"IdentifyResponse", session.send(IDENTIFY))

    def test_tokens_that_are_none_or_too_large_are_refused(self) -> None:
        big = base64.b64encode(b"NTLMSSP\0\1\0\0\0" + bytes(60_000)).decode()
        noise = base64.b64encode(os.urandom(3_000)).decode()
        for scheme in ("Negotiate", "Kerberos", "NTLM", "CredSSP"):
            for token in ("%%%", "AAAA", noise, big, "YIIB" * 20_000, "A" * 200_000):
                with self.subTest(scheme=scheme, length=len(token)):
                    try:
                        status, _ = self.ask(False, "POST", "/wsman", {"Authorization": f"{scheme} {token}"}, b"")
                    except (ConnectionError, http.client.HTTPException):
                        # Closed before all of it was sent.
                        self.assertGreater(len(token), 70_000)
                        continue
                    self.assertIn(status, (400, 401, 431))
        for scheme in ("NTLM", "Negotiate"):
            connection = self.plain()
            self.assertTrue(leg(connection, scheme, self.ntlm().step() or b""))
            self.assertEqual(proved(connection, scheme, b"NTLMSSP\0\3\0\0\0" + b"\xff" * 50_000), 401)
            self.assert_nobody(connection)
        self.session(False, "Negotiate", "ntlm", SPNEGO).send(IDENTIFY)

    def ask(self, tls: bool, method: str, path: str, headers: dict[str, str], body: bytes) -> tuple[int, bytes]:
        """One request on a connection of its own."""
        connection = self.secure() if tls else self.plain()
        try:
            connection.request(method, path, body, {"Content-Type": CONTENT_TYPE, **headers})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()


def without_timestamp(challenge: bytes) -> bytes:
    """The challenge without MsvAvTimestamp: then clients send no integrity code."""
    length, offset = int.from_bytes(challenge[40:42], "little"), int.from_bytes(challenge[44:48], "little")
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


def proved(connection: http.client.HTTPConnection, scheme: str, token: bytes) -> int:
    """The status of the last leg."""
    connection.request("POST", "/wsman", b"", {"Authorization": f"{scheme} {base64.b64encode(token).decode()}"})
    answer = connection.getresponse()
    answer.read()
    return answer.status
