"""Jobs that log on: at Apache, at Squid, at an acceptor of pyspnego."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import ClassVar

from clients.base import WithDaemon
from harness.apache import Apache
from harness.ntlm_origin import NtlmOrigin
from harness.origin import content
from harness.realm import Realm
from harness.squid import Squid, asking
from harness.wsman import ERROR, TRANSFERRED
from harness.wsman import Fault as SoapFault
from spnego.channel_bindings import GssChannelBindings

BASIC, DIGEST, NTLM, NEGOTIATE, PASSPORT = range(5)
SERVER, PROXY = range(2)
UNAUTHORIZED = 0x80190191
PROXY_AUTHENTICATION = 0x80190197
NO_CREDENTIALS = 0x8009030E
PASSWORD = "correct horse, battery"
WRONG = "wrong staple"
SERVICES = ("HTTP/localhost", "HTTP/127.0.0.1")


class LogsOn(WithDaemon):
    """A realm, and a daemon whose own principal is `mover`."""

    realm: ClassVar[Realm]
    base: ClassVar[Path]
    keytab: ClassVar[Path]
    own: ClassVar[bool] = True
    more: ClassVar[dict[str, object]] = {}

    @classmethod
    def setUpClass(cls) -> None:
        cls.base = Path(tempfile.mkdtemp(prefix="bitsd-logs-on-"))
        cls.base.chmod(0o755)
        cls.addClassCleanup(shutil.rmtree, cls.base, ignore_errors=True)
        cls.realm = Realm(cls.base / "realm")
        (cls.base / "realm").chmod(0o755)
        (cls.base / "realm" / "seen").chmod(0o777)
        cls.realm.start()
        cls.addClassCleanup(cls.realm.close)
        cls.realm.principal("ann", PASSWORD)
        cls.keytab = cls.realm.keytab(SERVICES)
        transfer: dict[str, object] = {"allow_addresses": ["127.0.0.0/8", "::1"], **cls.more}
        if cls.own:
            transfer["keytab"] = str(cls.realm.keytab(["mover"]))
        (cls.base / "sources").mkdir()
        cls.settings = {"transfer": transfer, "files": {"read_roots": [str(cls.base / "sources")]}}
        cls.environment = cls.realm.configured()
        super().setUpClass()

    def job(self, url: str, *files: str) -> str:
        """A suspended job of these files."""
        job = self.client.create_job(self.name, url, self.target("0"))
        for number, more in enumerate(files, 1):
            self.client.add_file(job, more, self.target(str(number)))
        return job

    def give(
        self, job: str, scheme: int, user: str | None, password: str | None = PASSWORD, target: int = SERVER
    ) -> None:
        """Sets credentials; none: those of the service itself."""
        if user is None:
            password = None
        given = {"Target": target, "Scheme": scheme, "UserName": user, "Password": password}
        self.client.invoke("SetCredentials", given, job)

    def through(self, job: str, port: int) -> None:
        """Sends the job through a proxy of loopback."""
        self.client.invoke("SetProxySettings", {"ProxyUsage": 2, "ProxyList": f"localhost:{port}"}, job)

    def lands(self, job: str, *files: bytes) -> None:
        """The job ends well, with these."""
        self.client.set_state(job, 2)
        self.client.wait_for(job, lambda job: job.state in (ERROR, TRANSFERRED))
        state = self.client.get(job).state
        self.assertEqual(state, TRANSFERRED, self.client.error(job) if state == ERROR else "")
        self.client.set_state(job, 1)
        for number, data in enumerate(files):
            self.assert_same(self.target(str(number)), data)

    def fails(self, job: str, code: int) -> None:
        """The job ends in an error, which does not show the password."""
        self.client.set_state(job, 2)
        self.client.wait_for(job, ERROR)
        error = self.client.error(job)
        self.assertEqual(int(error["ErrorCode"]), code, error)
        for secret in (PASSWORD, WRONG):
            self.assertNotIn(secret, str(error))

    def tearDown(self) -> None:
        super().tearDown()
        log = self.daemon.log.read_text(errors="replace")
        for secret in (PASSWORD, WRONG):
            self.assertNotIn(secret, log)


class AtApache(LogsOn):
    """Basic, Digest and Negotiate as Apache asks for them."""

    apache: ClassVar[Apache]

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        cls.apache = Apache(cls.base / "apache", "ann", PASSWORD, cls.keytab, cls.realm.configured())
        cls.addClassCleanup(cls.apache.close)

    def files(self, guard: str, count: int = 1) -> tuple[list[str], list[bytes]]:
        """So many files behind a guard."""
        datas = [content(f"{self.name}/{number}", 150_000) for number in range(count)]
        urls = [self.apache.add(guard, f"{self.name}-{number}", data) for number, data in enumerate(datas)]
        return urls, datas

    def asked(self, number: int = 0) -> list[list[str]]:
        return self.apache.requests(f"{self.name}-{number}")

    def test_basic(self) -> None:
        urls, datas = self.files("basic", 3)
        job = self.job(*urls)
        self.give(job, BASIC, "ann")
        self.lands(job, *datas)

    def test_digest_with_nonces_that_grow_old(self) -> None:
        # Those of this server last a second.
        for attempt in range(2):
            urls, datas = self.files("digest", 6)
            job = self.job(*urls)
            self.give(job, DIGEST, "ann")
            self.lands(job, *datas)
            self.assertTrue(any("Digest" in one[4] for one in self.asked()), attempt)

    def test_a_wrong_password_is_shown_once_by_sixteen_files(self) -> None:
        for guard, scheme in (("basic", BASIC), ("digest", DIGEST)):
            with self.subTest(guard=guard):
                urls, _ = self.files(guard, 16)
                job = self.job(*urls)
                self.give(job, scheme, "ann", WRONG)
                self.fails(job, UNAUTHORIZED)
                shown = [one for number in range(16) for one in self.asked(number) if one[4] != "-"]
                self.assertEqual(len([one for one in shown if f"/{guard}/" in one[0]]), 1, shown)
                self.client.set_state(job, 0)

    def test_a_job_goes_on_once_its_password_is_right(self) -> None:
        urls, datas = self.files("basic")
        job = self.job(*urls)
        self.give(job, BASIC, "ann", WRONG)
        self.fails(job, UNAUTHORIZED)
        self.give(job, BASIC, "ann")
        self.lands(job, *datas)

    def test_kerberos_by_password_in_every_form_of_the_user(self) -> None:
        for user in ("ann", f"ann@{self.realm.name}", f"ann@{self.realm.name.lower()}", "EXAMPLE\\ann"):
            with self.subTest(user=user):
                urls, datas = self.files("negotiate", 4)
                job = self.job(*urls)
                self.give(job, NEGOTIATE, user)
                self.lands(job, *datas)
                users = {one[3] for one in self.asked() if one[1] == "200"}
                self.assertEqual(users, {self.realm.full("ann")})

    def test_kerberos_as_the_service_itself(self) -> None:
        for user, password in ((None, None), ("", "")):
            urls, datas = self.files("negotiate", 2)
            job = self.job(*urls)
            self.give(job, NEGOTIATE, user, password)
            self.lands(job, *datas)
            self.assertEqual(self.asked()[-1][3], self.realm.full("mover"))

    def test_credentials_of_the_service_for_the_proxy_cover_the_server(self) -> None:
        urls, datas = self.files("negotiate")
        job = self.job(*urls)
        self.give(job, NEGOTIATE, None, target=PROXY)
        self.lands(job, *datas)

    def test_a_connection_that_is_logged_on_is_used_again(self) -> None:
        urls, datas = self.files("connection", 40)
        job = self.job(*urls)
        self.give(job, NEGOTIATE, "ann")
        self.lands(job, *datas)
        asked = [one for number in range(40) for one in self.asked(number)]
        served_without = [one for one in asked if one[1] == "200" and one[4] == "-"]
        self.assertTrue(served_without, asked)

    def test_a_wrong_password_for_kerberos_is_final(self) -> None:
        urls, _ = self.files("negotiate", 4)
        job = self.job(*urls)
        self.give(job, NEGOTIATE, "ann", WRONG)
        self.fails(job, UNAUTHORIZED)
        # The KDC has said so: the server was shown nothing.
        self.assertFalse([one for number in range(4) for one in self.asked(number) if one[4] != "-"])

    def test_nobody_logs_on_where_only_a_server_sends_us(self) -> None:
        urls, _ = self.files("basic")
        url, _ = self.source(redirect=urls[0])
        job = self.job(url)
        self.give(job, BASIC, "ann")
        self.fails(job, UNAUTHORIZED)
        self.assertFalse([one for one in self.asked() if one[4] != "-"])

    def test_an_upload_by_kerberos(self) -> None:
        """A plain PUT, which mod_dav takes from ann alone."""
        source = self.base / "sources" / self.name
        data = content(self.name, 3_000_000)
        source.write_bytes(data)
        url = self.apache.add("connection", self.name, b"")
        job = self.client.create_bitsd_job(self.name, url, source, Type=1, HttpMethod="PUT")
        self.give(job, NEGOTIATE, "ann")
        self.lands(job)
        landed = self.apache.folder / "files" / "connection" / self.name
        self.assert_same(landed, data)

    def test_what_cannot_be_in_force_is_refused(self) -> None:
        urls, _ = self.files("basic")
        job = self.job(*urls)
        for scheme, user in ((PASSPORT, "ann"), (BASIC, None), (DIGEST, None), (NTLM, None)):
            with self.assertRaises(SoapFault):
                self.give(job, scheme, user)
        self.client.set_state(job, 0)


class AtSquid(LogsOn):
    """Proxies that ask, for plain HTTP and for CONNECT."""

    proxies: ClassVar[dict[int, Squid]]
    apache: ClassVar[Apache]
    secure: ClassVar[NtlmOrigin]

    @classmethod
    def setUpClass(cls) -> None:
        certificate = _certificate(Path(tempfile.mkdtemp(prefix="bitsd-tls-")))
        cls.addClassCleanup(shutil.rmtree, certificate[0].parent, ignore_errors=True)
        cls.more = {"ca_certificates": str(certificate[0])}
        super().setUpClass()
        environment = cls.realm.configured()
        cls.apache = Apache(cls.base / "apache", "bob", PASSWORD, cls.keytab, environment)
        cls.addClassCleanup(cls.apache.close)
        cls.secure = NtlmOrigin(cls.base / "secure", [f"EXAMPLE:bob:{PASSWORD}"], certificate=certificate)
        cls.addClassCleanup(cls.secure.close)
        cls.proxies = {}
        for scheme, name in ((BASIC, "basic"), (DIGEST, "digest"), (NEGOTIATE, "negotiate")):
            squid = asking(cls.base / name, name, "ann", PASSWORD, cls.keytab, environment)
            cls.addClassCleanup(squid.close)
            cls.proxies[scheme] = squid

    def test_plain_http_through_a_proxy_that_asks(self) -> None:
        for scheme, squid in self.proxies.items():
            with self.subTest(scheme=scheme):
                datas = [content(f"{scheme}/{number}", 120_000) for number in range(4)]
                urls = [self.apache.add("basic", f"{self.name}-{scheme}-{n}", data) for n, data in enumerate(datas)]
                job = self.job(*urls)
                self.through(job, squid.port)
                self.give(job, scheme, "ann", target=PROXY)
                self.give(job, BASIC, "bob")
                self.lands(job, *datas)

    def test_tunnels_through_a_proxy_that_asks(self) -> None:
        for scheme, squid in self.proxies.items():
            with self.subTest(scheme=scheme):
                datas = [content(f"{scheme}/{number}", 120_000) for number in range(4)]
                urls = [self.secure.add(f"{self.name}-{scheme}-{n}", data) for n, data in enumerate(datas)]
                job = self.job(*urls)
                self.through(job, squid.port)
                self.give(job, scheme, "ann", target=PROXY)
                self.give(job, NTLM, "EXAMPLE\\bob")
                self.lands(job, *datas)

    def test_a_wrong_password_for_a_proxy_is_shown_once(self) -> None:
        squid = self.proxies[BASIC]
        for kind in ("http", "https"):
            with self.subTest(kind=kind):
                data = content(self.name, 1_000)
                names = [f"{self.name}-{kind}-{number}" for number in range(8)]
                if kind == "http":
                    urls = [self.apache.add("basic", name, data) for name in names]
                else:
                    urls = [self.secure.add(name, data) for name in names]
                job = self.job(*urls)
                self.through(job, squid.port)
                self.give(job, BASIC, "ann", WRONG, target=PROXY)
                # Not for the server's credentials, either.
                self.give(job, BASIC, "bob")
                before = squid.refused()
                self.fails(job, PROXY_AUTHENTICATION)
                self.client.set_state(job, 0)
                # Each file asks once without a password, and one with it.
                self.assertLessEqual(squid.refused() - before, len(urls) + 1)


class AtPyspnego(LogsOn):
    """NTLM, bare and within Negotiate, as pyspnego accepts it."""

    own = False
    certificate: ClassVar[tuple[Path, Path]]

    @classmethod
    def setUpClass(cls) -> None:
        cls.certificate = _certificate(Path(tempfile.mkdtemp(prefix="bitsd-tls-")))
        cls.addClassCleanup(shutil.rmtree, cls.certificate[0].parent, ignore_errors=True)
        cls.more = {"ca_certificates": str(cls.certificate[0])}
        super().setUpClass()

    def at(self, scheme: str = "NTLM", **more: object) -> NtlmOrigin:
        origin = NtlmOrigin(self.base / "users", [f"EXAMPLE:bob:{PASSWORD}"], scheme, **more)
        self.addCleanup(origin.close)
        return origin

    def fetch(self, origin: NtlmOrigin, scheme: int = NTLM, count: int = 6) -> None:
        datas = [content(f"{self.id()}/{number}", 100_000) for number in range(count)]
        urls = [origin.add(f"{self.name}-{number}", data) for number, data in enumerate(datas)]
        job = self.job(*urls)
        self.give(job, scheme, "EXAMPLE\\bob")
        self.lands(job, *datas)
        self.assertEqual(origin.refused, 0)

    def test_ntlm(self) -> None:
        origin = self.at()
        self.fetch(origin, count=40)
        served = [one for one in origin.requests if one[3] == 200]
        # A connection that is logged on serves more than one file.
        self.assertLess(len({one[4] for one in served}), len(served))
        self.assertTrue([one for one in served if not one[5]])

    def test_ntlm_bound_to_tls(self) -> None:
        self.fetch(self.at(certificate=self.certificate))

    def test_a_log_on_is_for_the_certificate_that_was_shown(self) -> None:
        for scheme, name in ((NTLM, "NTLM"), (NEGOTIATE, "Negotiate")):
            origin = self.at(name, certificate=self.certificate)
            # As if somebody passed the log-on on to another server.
            origin.binding = GssChannelBindings(application_data=b"tls-server-end-point:" + bytes(32))
            job = self.job(origin.add(self.name, b"x"))
            self.give(job, scheme, "EXAMPLE\\bob")
            self.fails(job, UNAUTHORIZED)
            self.assertEqual(origin.refused, 1)
            self.client.set_state(job, 0)

    def test_a_server_that_closes_after_its_first_401(self) -> None:
        self.fetch(self.at(closes=True))

    def test_a_server_of_http_1_0_that_keeps_connections(self) -> None:
        self.fetch(self.at(old=True))

    def test_negotiate_without_a_ticket_falls_back_to_ntlm(self) -> None:
        # Nobody of this name is in the realm.
        self.fetch(self.at("Negotiate"), NEGOTIATE)

    def test_negotiate_bound_to_tls_falls_back_too(self) -> None:
        self.fetch(self.at("Negotiate", certificate=self.certificate), NEGOTIATE)

    def test_a_wrong_password_is_shown_once(self) -> None:
        for scheme, name in ((NTLM, "NTLM"), (NEGOTIATE, "Negotiate")):
            with self.subTest(scheme=name):
                origin = self.at(name)
                urls = [origin.add(f"{self.name}-{number}", b"x" * 100) for number in range(16)]
                job = self.job(*urls)
                self.give(job, scheme, "EXAMPLE\\bob", WRONG)
                self.fails(job, UNAUTHORIZED)
                self.assertEqual(origin.refused, 1)
                self.client.set_state(job, 0)

    def test_the_service_has_no_account_without_a_keytab(self) -> None:
        origin = self.at()
        job = self.job(origin.add(self.name, b"x"))
        for target in (SERVER, PROXY):
            with self.assertRaises(SoapFault) as fault:
                self.give(job, NEGOTIATE, None, target=target)
            self.assertIn(NO_CREDENTIALS, fault.exception.codes)
        self.client.set_state(job, 0)


def _certificate(folder: Path) -> tuple[Path, Path]:
    """One for localhost, signed by itself, and its key."""
    certificate, key = folder / "server.pem", folder / "server.key"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-sha256"]
        + ["-keyout", str(key), "-out", str(certificate), "-subj", "/CN=localhost"]
        + ["-addext", "subjectAltName=DNS:localhost", "-addext", "basicConstraints=critical,CA:FALSE"],
        check=True,
        capture_output=True,
    )
    return certificate, key
