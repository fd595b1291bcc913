"""Kerberos over TLS: pywinrm, pypsrp, and tokens that no real client sends."""

from __future__ import annotations

import base64
import concurrent.futures
import hashlib
import random
import shutil
import ssl
import tempfile
import time
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import ClassVar

import spnego
from clients.base import WithDaemon
from harness.daemon import Daemon, Failed
from harness.realm import SERVICES, Realm, acting
from harness.wsman import CONTENT_TYPE, JOB, N, Answer, Client, Fault, envelope
from pypsrp.wsman import WSMan
from spnego.channel_bindings import GssChannelBindings
from winrm.protocol import Protocol

ENUMERATE = envelope(f"{N}/Enumerate", "<n:Enumerate/>")
PASSWORD = "correct horse"
# After so long the log takes lines about strangers again.
LINES_AGAIN_S = 1.1
RIGHT, NONE, WRONG = "right", "none", "wrong"


class Tokens(Client):
    """A client that sends what tokens it is given."""

    def __init__(self, daemon: Daemon) -> None:
        super().__init__(daemon.port, None, daemon.certificate)

    def log_on(self, token: bytes, scheme: str = "Kerberos") -> Answer:
        """A request with a token, on the same connection."""
        value = f"{scheme} {base64.b64encode(token).decode()}"
        return self.post(ENUMERATE.encode(), {"Authorization": value})

    def offers(self) -> set[str]:
        """The schemes that a 401 lists."""
        connection = self.connection()
        connection.request("POST", "/wsman", b"", {"Content-Type": CONTENT_TYPE})
        got = connection.getresponse()
        got.read()
        return {value.partition(" ")[0] for name, value in got.getheaders() if name.lower() == "www-authenticate"}


class WithRealm(WithDaemon):
    """A realm with alice and mallory, whom no list has, and a daemon of it."""

    realm: ClassVar[Realm]
    keytab: ClassVar[Path]
    alice: ClassVar[dict[str, str]]
    mallory: ClassVar[dict[str, str]]
    access: ClassVar[dict[str, object]] = {}
    names: ClassVar[tuple[str, ...]] = (*SERVICES, "cifs/localhost")
    skew_s: ClassVar[int] = 300
    more: ClassVar[dict[str, str]] = {}

    @classmethod
    def setUpClass(cls) -> None:
        folder = Path(tempfile.mkdtemp(prefix="bitsd-realm-"))
        cls.addClassCleanup(shutil.rmtree, folder, ignore_errors=True)
        cls.realm = Realm(folder)
        cls.realm.start()
        cls.addClassCleanup(cls.realm.close)
        cls.realm.principal("alice", PASSWORD)
        cls.realm.principal("mallory", PASSWORD)
        cls.keytab = folder / "service.keytab"
        cls.prepare()
        cls.alice = cls.realm.ticket("alice", PASSWORD)
        cls.mallory = cls.realm.ticket("mallory", PASSWORD)
        users = ["alice", cls.realm.full("alice")]
        # Hundreds of log-ons fail here.
        access = {"users": users, "keytab": str(cls.keytab), "lockout_failures": 0}
        cls.settings = {"access": {**access, **cls.access}}
        cls.environment = {**cls.realm.configured(cls.skew_s), **cls.more}
        super().setUpClass()

    @classmethod
    def prepare(cls) -> None:
        """Makes the keytab of the service."""
        cls.realm.keytab(cls.names).rename(cls.keytab)

    def setUp(self) -> None:
        super().setUp()
        self.logged = len(self.log())

    def log(self) -> str:
        return self.daemon.log.read_text(errors="replace")

    def assert_logged(self, text: str) -> None:
        """The log has said it since the test began."""
        self.assertIn(text, self.log()[self.logged :])

    def tokens(self) -> Tokens:
        """A new connection."""
        client = Tokens(self.daemon)
        self.addCleanup(client.close)
        return client

    def binding(self, which: str = RIGHT) -> GssChannelBindings | None:
        """What names the TLS connection, or another one."""
        if which == NONE:
            return None
        certificate = ssl.PEM_cert_to_DER_cert(self.daemon.certificate.read_text())
        shown = certificate if which == RIGHT else certificate + b"another"
        return GssChannelBindings(application_data=b"tls-server-end-point:" + hashlib.sha256(shown).digest())

    def initiator(
        self, binding: str = RIGHT, service: str = "HTTP", who: dict[str, str] | None = None
    ) -> tuple[spnego.ContextProxy, bytes]:
        """pyspnego's side of a log-on, and its token."""
        with acting(who or self.alice):
            context = spnego.client(
                hostname="localhost",
                service=service,
                protocol="kerberos",
                channel_bindings=self.binding(binding),
                options=spnego.NegotiateOptions.use_gssapi,
            )
            token = context.step()
        assert token
        return context, token

    def token(self, binding: str = RIGHT, service: str = "HTTP", who: dict[str, str] | None = None) -> bytes:
        """A client's token."""
        return self.initiator(binding, service, who)[1]

    def refused(self, token: bytes, scheme: str = "Kerberos") -> None:
        """401, nothing of why, and nobody is logged on then."""
        client = self.tokens()
        answer = client.log_on(token, scheme)
        self.assertEqual(answer.status, 401)
        self.assertFalse(answer.headers["www-authenticate"].startswith(("Kerberos ", "Negotiate ")))
        self.assertEqual(client.post(ENUMERATE.encode()).status, 401)


class Strict(WithRealm):
    """A log-on must be bound to its TLS connection."""

    def test_a_bound_log_on_proves_both_sides(self) -> None:
        for scheme in ("Kerberos", "kerberos", "Negotiate"):
            with self.subTest(scheme):
                context, token = self.initiator()
                client = self.tokens()
                answer = client.log_on(token, scheme)
                self.assertEqual(answer.status, 200, answer.body)
                name, _, back = answer.headers["www-authenticate"].partition(" ")
                self.assertEqual(name.lower(), scheme.lower())
                with acting(self.alice):
                    self.assertFalse(context.step(base64.b64decode(back)))
                self.assertTrue(context.complete)
        self.assert_logged("account=alice@EXAMPLE.TEST")

    def test_both_schemes_are_offered(self) -> None:
        self.assertLessEqual({"Negotiate", "Kerberos"}, self.tokens().offers())

    def test_a_log_on_holds_for_its_connection_alone(self) -> None:
        client, other = self.tokens(), self.tokens()
        self.assertEqual(other.post(ENUMERATE.encode()).status, 401)
        self.assertEqual(client.log_on(self.token()).status, 200)
        self.assertEqual(client.post(ENUMERATE.encode()).status, 200)
        self.assertEqual(other.post(ENUMERATE.encode()).status, 401)

    def test_jobs_belong_to_the_principal(self) -> None:
        client = self.tokens()
        self.assertEqual(client.log_on(self.token()).status, 200)
        job = client.create_job("x", self.source()[0], self.target())
        self.assertEqual(client.get(job).values["Owner"], "alice@EXAMPLE.TEST")
        # The local account of the same name is another one.
        with self.assertRaises(Fault):
            self.client.get(job)

    def test_a_ticket_for_any_name_of_the_service_is_good(self) -> None:
        for name in SERVICES:
            with self.subTest(name):
                token = self.token(service=name.partition("/")[0])
                self.assertEqual(self.tokens().log_on(token).status, 200)

    def test_a_log_on_without_binding_or_with_a_wrong_one_is_refused(self) -> None:
        self.refused(self.token(NONE))
        self.refused(self.token(WRONG))
        # The connection is as good as new.
        client = self.tokens()
        self.assertEqual(client.log_on(self.token(NONE)).status, 401)
        self.assertEqual(client.log_on(self.token(WRONG)).status, 401)
        self.assertEqual(client.log_on(self.token()).status, 200)

    def test_a_token_that_was_seen_before_is_refused(self) -> None:
        token = self.token()
        self.assertEqual(self.tokens().log_on(token).status, 200)
        self.refused(token)
        self.assert_logged("Request is a replay")

    def test_a_ticket_for_another_service_is_refused(self) -> None:
        token = self.token(service="cifs")
        self.refused(token)
        self.assert_logged("Kerberos ticket is for another service")
        # The name in the ticket is a claim that anybody can change.
        self.assertEqual(token.count(b"cifs"), 1)
        self.refused(token.replace(b"cifs", b"HTTP"))
        self.assert_logged("the key is that of another service")

    def test_who_is_in_no_list_may_do_nothing(self) -> None:
        answer = self.tokens().log_on(self.token(who=self.mallory))
        self.assertEqual(answer.status, 500)
        self.assertEqual(Fault(500, answer.root()).subcode, "AccessDenied")

    def test_what_is_no_token_is_refused(self) -> None:
        self.addCleanup(time.sleep, LINES_AGAIN_S)
        token = self.token()
        with acting(self.alice):
            wrapped = spnego.client(hostname="localhost", service="HTTP", protocol="negotiate").step()
        assert wrapped
        wrong = [
            b"\0", b"NTLMSSP\0\1\0\0\0\x97\x82\x08\xe2" + bytes(24), token[:-1], token + b"\0", token[:40],
            b"\x60\x84\xff\xff\xff\xff" + token[4:], bytes(60_000),
        ]
        for octets in wrong:
            with self.subTest(octets[:12].hex()):
                self.refused(octets)
        self.refused(wrapped)
        # A ticket whose encryption does not hold.
        for at in (300, 400, len(token) - 1):
            with self.subTest(at):
                self.refused(token[:at] + bytes([token[at] ^ 1]) + token[at + 1 :])
        self.assertEqual(self.tokens().log_on(token).status, 200)

    def test_a_token_is_good_once_however_it_is_changed(self) -> None:
        self.addCleanup(time.sleep, LINES_AGAIN_S)
        choose = random.Random(4)
        token = self.token()
        good = 0
        for _ in range(300):
            changed = bytearray(token)
            for _ in range(choose.randint(1, 4)):
                changed[choose.randrange(len(changed))] = choose.randrange(256)
            # What stands around the encrypted parts is a claim, and may differ.
            client = self.tokens()
            status = client.log_on(bytes(changed)).status
            client.close()
            self.assertIn(status, (200, 401))
            good += status == 200
        self.assertLessEqual(good, 1)
        self.assertEqual(self.tokens().log_on(token).status, 401 if good else 200)

    def test_refusals_do_not_fill_the_log(self) -> None:
        self.addCleanup(time.sleep, LINES_AGAIN_S)
        token = self.token(service="cifs")
        client = self.tokens()
        for _ in range(100):
            self.assertEqual(client.log_on(token).status, 401)
        lines = self.log()[self.logged :].count("is for another service")
        self.assertLess(lines, 60)

    def test_many_log_on_at_the_same_time(self) -> None:
        tokens = [self.token() for _ in range(24)]

        def log_on(token: bytes) -> int:
            client = Tokens(self.daemon)
            try:
                return client.log_on(token).status
            finally:
                client.close()

        with concurrent.futures.ThreadPoolExecutor(len(tokens)) as pool:
            self.assertEqual(set(pool.map(log_on, tokens)), {200})

    def test_pywinrm_logs_on(self) -> None:
        with acting(self.alice):
            client = Protocol(
                f"https://localhost:{self.daemon.port}/wsman",
                transport="kerberos",
                ca_trust_path=str(self.daemon.certificate),
            )
            for _ in range(3):
                self.assertIn(b"EnumerationContext", client.send_message(ENUMERATE))

    def test_pypsrp_logs_on(self) -> None:
        with acting(self.alice):
            client = WSMan(
                "localhost", port=self.daemon.port, ssl=True, auth="kerberos",
                cert_validation=str(self.daemon.certificate),
            )
            self.addCleanup(client.close)
            for _ in range(3):
                answer = client.enumerate(JOB, ET.Element(f"{{{N}}}Enumerate"))
                self.assertIsNotNone(answer.find(f".//{{{N}}}EnumerationContext"))


class Relaxed(WithRealm):
    """A binding that is sent must be right."""

    access: ClassVar[dict[str, object]] = {"channel_binding": "Relaxed"}

    def test_only_a_wrong_binding_is_refused(self) -> None:
        for binding in (RIGHT, NONE):
            with self.subTest(binding):
                self.assertEqual(self.tokens().log_on(self.token(binding)).status, 200)
        self.refused(self.token(WRONG))


class NotBound(WithRealm):
    """Bindings are not looked at."""

    access: ClassVar[dict[str, object]] = {"channel_binding": "None"}

    def test_any_binding_is_taken(self) -> None:
        for binding in (RIGHT, NONE, WRONG):
            with self.subTest(binding):
                self.assertEqual(self.tokens().log_on(self.token(binding)).status, 200)


class SwitchedOff(WithRealm):
    """There is a keytab, but no Kerberos."""

    access: ClassVar[dict[str, object]] = {"kerberos": False}

    def test_it_is_neither_offered_nor_taken(self) -> None:
        self.refused(self.token())
        self.assertNotIn("Kerberos", self.tokens().offers())


class WithoutLibrary(WithRealm):
    """There is a keytab, but what should be the library is none."""

    @classmethod
    def prepare(cls) -> None:
        super().prepare()
        folder = cls.keytab.parent / "libraries"
        folder.mkdir()
        (folder / "libgssapi_krb5.so.2").touch()
        cls.more = {"LD_LIBRARY_PATH": str(folder)}

    def test_kerberos_is_not_offered_and_the_rest_works(self) -> None:
        self.refused(self.token())
        self.assertNotIn("Kerberos", self.tokens().offers())
        self.assertEqual(self.log().count("Kerberos not offered"), 1)
        self.assertEqual(self.client.post(ENUMERATE.encode()).status, 200)


class SharedKey(WithRealm):
    """One key for all names, listed first under that of the account, as in Active Directory."""

    @classmethod
    def prepare(cls) -> None:
        salt = ("-e", "aes256-cts-hmac-sha1-96:onlyrealm")
        names = ("LOCALHOST$", "HTTP/localhost", "cifs/localhost")
        for name in names:
            cls.realm.principal(name, "of the machine", *salt)
        cls.realm.keytab(names, rotate=False).rename(cls.keytab)

    def test_the_name_in_the_ticket_tells_the_services_apart(self) -> None:
        self.assertEqual(self.tokens().log_on(self.token()).status, 200)
        self.refused(self.token(service="cifs"))
        self.assert_logged("Kerberos ticket is for another service")


class WrongClock(WithRealm):
    """The service's clock may differ by two seconds from a client's."""

    skew_s: ClassVar[int] = 2

    def test_an_old_token_is_refused_and_the_log_says_why(self) -> None:
        token = self.token()
        time.sleep(4)
        self.refused(token)
        self.assert_logged("Clock skew too great")
        self.assertEqual(self.tokens().log_on(self.token()).status, 200)


class KeytabInUse(WithRealm):
    """What happens to the keytab while the service runs."""

    def setUp(self) -> None:
        super().setUp()
        self.alice_now = self.realm.ticket("alice", PASSWORD)

    def test_new_keys_count_at_once(self) -> None:
        old = self.token(who=self.alice_now)
        self.realm.keytab(self.names).replace(self.keytab)
        new = self.token(who=self.realm.ticket("alice", PASSWORD))
        self.assertEqual(self.tokens().log_on(new).status, 200)
        self.refused(old)

    def test_a_keytab_that_others_may_read_is_not_used(self) -> None:
        self.keytab.chmod(0o644)
        self.addCleanup(self.keytab.chmod, 0o600)
        self.assertEqual(self.tokens().log_on(self.token(who=self.alice_now)).status, 503)
        self.assert_logged("has mode 0644")
        self.keytab.chmod(0o600)
        self.assertEqual(self.tokens().log_on(self.token(who=self.alice_now)).status, 200)

    def test_a_keytab_that_is_gone_is_no_fault_of_the_client(self) -> None:
        away = self.keytab.with_suffix(".away")
        self.keytab.rename(away)
        try:
            self.assertEqual(self.tokens().log_on(self.token(who=self.alice_now)).status, 503)
        finally:
            away.rename(self.keytab)

    def test_a_token_is_remembered_beyond_a_restart(self) -> None:
        token = self.token(who=self.alice_now)
        self.assertEqual(self.tokens().log_on(token).status, 200)
        self.daemon.restart()
        self.refused(token)
        self.assert_logged("Request is a replay")

    def test_a_keytab_that_cannot_be_used_refuses_the_start(self) -> None:
        good = self.keytab.read_bytes()
        self.daemon.stop()
        try:
            for octets, mode, said in (
                (None, 0o600, "cannot read"),
                (good, 0o640 | 0o004, "has mode 0644"),
                (b"no keytab", 0o600, "no keys in"),
                (good[:2], 0o600, "no keys in"),
            ):
                with self.subTest(said):
                    self.keytab.unlink(missing_ok=True)
                    if octets is not None:
                        self.keytab.write_bytes(octets)
                        self.keytab.chmod(mode)
                    with self.assertRaises(Failed) as refused:
                        self.daemon.start()
                    self.assertIn(said, str(refused.exception))
        finally:
            self.keytab.write_bytes(good)
            self.keytab.chmod(0o600)
            self.daemon.start()


class WithoutKeytab(WithDaemon):
    """No keytab is named."""

    def test_kerberos_is_not_offered_and_the_log_says_so_once(self) -> None:
        client = Tokens(self.daemon)
        self.addCleanup(client.close)
        self.assertEqual(client.log_on(b"x").status, 401)
        self.assertNotIn("Kerberos", client.offers())
        self.assertEqual(self.daemon.log.read_text().count("Kerberos not offered"), 1)
