"""SPNEGO where the first choice is not to be had, and CredSSP by both versions of TLS within."""

from __future__ import annotations

import base64
import ssl
from collections.abc import Callable
from typing import ClassVar
from unittest import mock

import spnego
import spnego.channel_bindings
import spnego.tls
from clients.drivers import end_point
from clients.test_attacks import CREDSSP, Attacked
from clients.with_realm import BOUNDED
from harness.realm import acting
from harness.wsman import CONTENT_TYPE, IDENTIFY
from pypsrp.wsman import WSMan
from requests_credssp.exceptions import NTStatusException
from spnego._context import GSSMech
from spnego._negotiate import NegotiateProxy
from spnego._spnego import InitialContextToken, NegState, NegTokenInit, NegTokenResp, unpack_token

STATUS_LOGON_FAILURE = 0xC000006D
CONFIG = "http://schemas.microsoft.com/wbem/wsman/1/config"
REBUILD = NegotiateProxy._rebuild_context_list


class Ticket:
    """A Kerberos of which a server that has none sees the name and a token only."""

    complete = False
    client_principal = None
    negotiated_protocol = "kerberos"
    context_attr = 0
    _requires_mech_list_mic = False

    def step(self, *_: object, **__: object) -> bytes:
        return InitialContextToken(GSSMech.kerberos, b"\x01\x00ticket").pack()


def kerberos_ahead(self: NegotiateProxy, mech_types: object = None, channel_bindings: object = None) -> list[str]:
    """A client that likes Kerberos better, by both of its names, as Windows does."""
    mechanisms = REBUILD(self, mech_types, channel_bindings)
    self._context_list = {GSSMech.kerberos: (Ticket(), Ticket().step()), **self._context_list}
    return [GSSMech._ms_kerberos.value, GSSMech.kerberos.value, *mechanisms]


def backwards(self: NegotiateProxy, mech_types: object = None, channel_bindings: object = None) -> list[str]:
    """A client that likes NTLM better than Kerberos."""
    mechanisms = REBUILD(self, mech_types, channel_bindings)
    self._context_list = dict(reversed(self._context_list.items()))
    return mechanisms[::-1]


class Spnego(Attacked):
    """pyspnego's NegotiateProxy, whose tokens are looked at on their way."""

    mechanisms: ClassVar[list[str]] = ["ntlm"]

    def negotiate(
        self,
        tls: bool,
        person: str = "password",
        change: Callable[[bytes], bytes] = lambda token: token,
        change_back: Callable[[bytes], bytes] = lambda token: token,
    ) -> tuple[int, list[bytes]]:
        """A log-on; the last status, and the tokens that came back."""
        who = self.people[person]
        connection = self.secure() if tls else self.plain()
        connection.connect()
        binding = None
        if isinstance(connection.sock, ssl.SSLSocket):
            data = end_point(connection.sock.getpeercert(True) or b"")
            binding = spnego.channel_bindings.GssChannelBindings(application_data=data)
        self.connection = connection
        available = mock.patch.object(
            NegotiateProxy, "available_protocols", classmethod(lambda *_, **__: [*self.mechanisms, "negotiate"])
        )
        back: list[bytes] = []
        with acting(who.ticket or self.realm.environment), available:
            self.context = NegotiateProxy(
                who.account.name, who.account.password, hostname="localhost", service="HTTP", channel_bindings=binding,
                options=spnego.NegotiateOptions.none if tls else spnego.NegotiateOptions.wrapping_winrm,
            )
            token = self.context.step()
            while True:
                proof = "Negotiate " + base64.b64encode(change(token or b"")).decode()
                connection.request("POST", "/wsman", b"", {"Authorization": proof})
                answer = connection.getresponse()
                answer.read()
                offered = answer.headers.get_all("WWW-Authenticate") or []
                tokens = [one.split(" ", 1)[1] for one in offered if one.startswith("Negotiate ")]
                if tokens:
                    back.append(base64.b64decode(tokens[0]))
                    token = self.context.step(change_back(back[-1]))
                if answer.status == 200:
                    self.assertTrue(self.context.complete)
                if answer.status == 200 or not tokens:
                    return answer.status, back

    def assert_served(self) -> None:
        """Whoever has just logged on over TLS is served."""
        self.connection.request("POST", "/wsman", IDENTIFY.encode(), {"Content-Type": CONTENT_TYPE})
        answer = self.connection.getresponse()
        self.assertEqual(answer.status, 200)
        self.assertIn(b"IdentifyResponse", answer.read())


class WithoutKerberos(Spnego):
    """The service has NTLM alone."""

    settings = {"access": {**BOUNDED["access"], "kerberos": False}}

    def test_ntlm_as_the_second_choice_is_taken_with_a_signed_list(self) -> None:
        with mock.patch.object(NegotiateProxy, "_rebuild_context_list", kerberos_ahead):
            status, back = self.negotiate(True)
        self.assertEqual(status, 200)
        first, last = unpack_token(back[0]), unpack_token(back[-1])
        assert isinstance(first, NegTokenResp) and isinstance(last, NegTokenResp)
        self.assertEqual((first.neg_state, first.supported_mech), (NegState.request_mic, GSSMech.ntlm.value))
        self.assertEqual(last.neg_state, NegState.accept_complete)
        self.assertEqual(len(last.mech_list_mic or b""), 16)
        self.assert_served()

    def test_keys_of_a_second_choice_seal(self) -> None:
        # The list's signature has used a number of the key stream, which begins anew after it.
        with mock.patch.object(NegotiateProxy, "_rebuild_context_list", kerberos_ahead):
            session = self.session(False, "Negotiate", "negotiate", "application/HTTP-SPNEGO-session-encrypted")
        for _ in range(3):
            self.assertIn(b"IdentifyResponse", session.send(IDENTIFY))

    def test_a_list_without_a_signature_is_refused(self) -> None:
        def unsigned(token: bytes) -> bytes:
            read = unpack_token(token)
            if isinstance(read, NegTokenResp):
                read = NegTokenResp(neg_state=read.neg_state, response_token=read.response_token)
                return read.pack()
            return token

        with mock.patch.object(NegotiateProxy, "_rebuild_context_list", kerberos_ahead):
            status, _ = self.negotiate(True, change=unsigned)
        self.assertEqual(status, 401)
        self.assert_nobody(self.connection)

    def test_kerberos_cannot_be_taken_from_the_head_of_the_list_on_its_way(self) -> None:
        seen = []

        def downgraded(token: bytes) -> bytes:
            read = unpack_token(token)
            seen.append(read)
            if isinstance(read, NegTokenInit):
                # As if NTLM were the client's first choice, so that nobody must sign the list.
                return NegTokenInit([GSSMech.ntlm.value, *read.mech_types[:-1]]).pack()
            return token

        with mock.patch.object(NegotiateProxy, "_rebuild_context_list", kerberos_ahead):
            status, back = self.negotiate(True, change=downgraded)
        self.assertEqual(status, 401)
        # It came as far as the signature of the list.
        first = unpack_token(back[0])
        self.assertEqual((first.neg_state, first.supported_mech), (NegState.accept_incomplete, GSSMech.ntlm.value))
        self.assertTrue(seen[-1].mech_list_mic)
        self.assert_nobody(self.connection)

    def test_pypsrp_with_a_ticket_takes_ntlm(self) -> None:
        alice = self.people["password"].account
        with acting(self.people["ticket"].ticket):
            wsman = WSMan(
                "localhost", port=self.daemon.port, ssl=True, auth="negotiate", username=alice.name,
                password=alice.password, cert_validation=str(self.daemon.certificate),
            )
            self.addCleanup(wsman.close)
            wsman.get(CONFIG)
        self.assertRegex(self.daemon.log.read_text(), r'Logged on .*mechanism="NTLM" account=alice')


class WithBoth(Spnego):
    """The service has both."""

    def test_a_list_that_was_changed_on_its_way_is_refused(self) -> None:
        for tls in (False, True):
            with self.subTest(tls=tls):
                def changed(token: bytes) -> bytes:
                    read = unpack_token(token)
                    if isinstance(read, NegTokenInit):
                        return NegTokenInit([GSSMech.ntlm.value, "1.2.3.4"], mech_token=read.mech_token).pack()
                    return token

                status, _ = self.negotiate(tls, change=changed)
                self.assertEqual(status, 401)
                self.assert_nobody(self.connection)
        refused = r'Log-on refused .*scheme="Negotiate" account="alice" why=not proved'
        self.assertRegex(self.daemon.log.read_text(), refused)

    def test_the_signature_of_the_list_must_be_right(self) -> None:
        def changed(token: bytes) -> bytes:
            read = unpack_token(token)
            if isinstance(read, NegTokenResp) and read.mech_list_mic:
                code = read.mech_list_mic
                read.mech_list_mic = code[:-5] + bytes([code[-5] ^ 1]) + code[-4:]
                return read.pack()
            return token

        self.assertEqual(self.negotiate(True)[0], 200)
        self.assertEqual(self.negotiate(True, change=changed)[0], 401)
        self.assert_nobody(self.connection)


class WithoutNtlm(Spnego):
    """The service has Kerberos alone."""

    settings = {"access": {**BOUNDED["access"], "ntlm": False}}
    mechanisms = ["kerberos", "ntlm"]

    def test_kerberos_as_the_second_choice_is_taken_with_a_signed_list(self) -> None:
        with mock.patch.object(NegotiateProxy, "_rebuild_context_list", backwards):
            status, back = self.negotiate(True, "principal_with_ticket")
        self.assertEqual(status, 200)
        first = unpack_token(back[0])
        assert isinstance(first, NegTokenResp)
        self.assertEqual((first.neg_state, first.supported_mech), (NegState.request_mic, GSSMech.kerberos.value))
        self.assertTrue(any(getattr(unpack_token(token), "mech_list_mic", None) for token in back))
        self.assert_served()

    def setUp(self) -> None:
        super().setUp()
        # pyspnego makes both mechanisms of one name and password.
        self.people["principal_with_ticket"] = self.people["ticket"]


class CredSsp(Attacked):
    """TLS within, its versions and what a client hears."""

    def wsman(self, password: str = "", **more: object) -> WSMan:
        alice = self.people["password"].account
        made = WSMan(
            "localhost", port=self.daemon.port, ssl=True, auth="credssp", username=alice.name,
            password=password or alice.password, cert_validation=str(self.daemon.certificate), **more,
        )
        self.addCleanup(made.close)
        return made

    def by_each(self, work: Callable[[ssl.TLSVersion], None]) -> None:
        """With no other version of TLS within than this."""
        default = spnego.tls.default_tls_context
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            def only(usage: str = "initiate", version: ssl.TLSVersion = version) -> object:
                made = default(usage)
                made.context.minimum_version = made.context.maximum_version = version
                return made

            with self.subTest(version=version.name), mock.patch("spnego._credssp.default_tls_context", only):
                work(version)

    def test_tls_within_is_1_2_or_1_3(self) -> None:
        def work(version: ssl.TLSVersion) -> None:
            for sealed in ("never", "always"):
                for mechanism in ("auto", "ntlm"):
                    wsman = self.wsman(encryption=sealed, credssp_auth_mechanism=mechanism, credssp_minimum_version=5)
                    for _ in range(2):
                        self.assertIsNotNone(wsman.get(CONFIG).find(f".//{{{CONFIG}}}Config"))
            session = self.session(False, "CredSSP", "credssp", CREDSSP)
            self.assertIn(b"IdentifyResponse", session.send(IDENTIFY))
            self.assertEqual(session.context.get_extra_info("ssl_object").version(), version.name.replace("_", ".", 1))
            self.assertEqual(session.context.get_extra_info("protocol_version"), 6)

        self.by_each(work)

    def test_older_tls_within_is_refused(self) -> None:
        default = spnego.tls.default_tls_context

        def old(usage: str = "initiate") -> object:
            made = default(usage)
            made.context.minimum_version = made.context.maximum_version = ssl.TLSVersion.TLSv1_1
            made.context.set_ciphers("ALL:@SECLEVEL=0")
            return made

        with mock.patch("spnego._credssp.default_tls_context", old), self.assertRaises(Exception) as refused:
            self.session(False, "CredSSP", "credssp", CREDSSP)
        self.assertNotIsInstance(refused.exception, AssertionError)

    def test_a_wrong_password_is_named_to_the_client(self) -> None:
        def work(_: ssl.TLSVersion) -> None:
            for mechanism in ("auto", "ntlm"):
                with self.assertRaises(NTStatusException) as refused:
                    self.wsman("wrong", credssp_auth_mechanism=mechanism).get(CONFIG)
                self.assertEqual(refused.exception.status, STATUS_LOGON_FAILURE)

        self.by_each(work)
        refused = r'Log-on refused .*scheme="CredSSP" account="alice" why=not proved'
        self.assertRegex(self.daemon.log.read_text(), refused)
