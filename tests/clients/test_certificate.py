"""Client certificates: pypsrp, curl, and clients that send no header at all."""

from __future__ import annotations

import hashlib
import http.client
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import threading
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

from clients.base import WithDaemon
from harness.authority import Authority, Certificate, openssl, signed_by_itself, thumbprint
from harness.daemon import Daemon
from harness.wsman import (
    CIM_JOB, CONTENT_TYPE, IDENTIFY, JOB, N, WSMID, Answer, Client, Fault, X, envelope,
)
from pypsrp.exceptions import AuthenticationError, WSManFaultError
from pypsrp.wsman import WSMan

MUTUAL = "http://schemas.dmtf.org/wbem/wsman/1/wsman/secprofile/https/mutual"
HTTPS_BASIC = "http://schemas.dmtf.org/wbem/wsman/1/wsman/secprofile/https/basic"
CONFIG = "http://schemas.microsoft.com/wbem/wsman/1/config"
ENUMERATE = envelope(f"{N}/Enumerate", "<n:Enumerate/>")


class Certified(Client):
    """A client that shows a certificate, and sends no header unless told to."""

    def __init__(self, daemon: Daemon, shown: Certificate | None) -> None:
        super().__init__(daemon.port, None, daemon.certificate)
        self.shown = shown

    def connection(self) -> http.client.HTTPSConnection:
        """The connection, made on first use."""
        if self._connection is None:
            context = ssl.create_default_context(cafile=str(self.certificate))
            if self.shown:
                context.load_cert_chain(self.shown.certificate, self.shown.key)
            self._connection = http.client.HTTPSConnection("127.0.0.1", self.port, timeout=90, context=context)
        return self._connection


def profiles(answer: Answer) -> list[str]:
    """The security profiles that Identify lists."""
    return [name.text or "" for name in answer.root().iter(f"{{{WSMID}}}SecurityProfileName")]


class WithClients(WithDaemon):
    """Clients that show certificates."""

    def certified(self, shown: Certificate | None) -> Certified:
        client = Certified(self.daemon, shown)
        self.addCleanup(client.close)
        return client

    def by_pypsrp(self, shown: Certificate) -> WSMan:
        client = WSMan(
            "localhost", port=self.daemon.port, ssl=True, auth="certificate",
            certificate_pem=str(shown.certificate), certificate_key_pem=str(shown.key),
            cert_validation=str(self.daemon.certificate),
        )
        self.addCleanup(client.close)
        return client

    def curl(self, text: str, *more: str) -> tuple[int, str]:
        command = ["curl", "-sS", "--cacert", str(self.daemon.certificate), "--write-out", "\n%{http_code}"]
        command += ["--header", f"Content-Type: {CONTENT_TYPE}", "--data-binary", text, *more, self.daemon.endpoint]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        body, _, status = done.stdout.rpartition("\n")
        return int(status), body


class WithCertificates(WithClients):
    """A daemon that takes the certificates of an authority."""

    authority: ClassVar[Authority]
    other: ClassVar[Authority]
    access: ClassVar[dict[str, object]] = {}

    @classmethod
    def setUpClass(cls) -> None:
        kept = tempfile.TemporaryDirectory(prefix="bitsd-authority-")
        cls.addClassCleanup(kept.cleanup)
        cls.authority = Authority(Path(kept.name) / "own")
        cls.other = Authority(Path(kept.name) / "other")
        own = cls.authority
        access: dict[str, object] = {
            "certificate": True,
            "client_ca_certificates": str(own.certificate),
            "certificate_mappings": [
                own.mapping("*@example.org", "alice"),
                own.mapping("BOB@example.org", "bob"),
                own.mapping("admin", "admin"),
                own.mapping("tied", "alice"),
                own.mapping("*tied", "alice"),
                own.mapping("off", "alice", enabled=False),
                own.mapping("stranger", "stranger"),
                own.mapping("split", "alice", uri=f"{JOB}*"),
                own.mapping("split", "bob", uri=f"{CIM_JOB}*"),
            ],
        }
        cls.settings = {"access": {**access, **cls.access}}
        super().setUpClass()

    def denied(self, client: Client, text: str = ENUMERATE) -> None:
        """AccessDenied, as a fault."""
        answer = client.post(text.encode())
        self.assertEqual(answer.status, 500, answer.body)
        fault = Fault(500, answer.root())
        self.assertEqual((fault.subcode, fault.codes[0]), ("AccessDenied", 5))

    def owner(self, client: Client, resource: str = JOB) -> str:
        """Whose job it is that this client makes."""
        url, _ = self.source()
        values = f"<p:DisplayName>x</p:DisplayName><p:RemoteUrl>{url}</p:RemoteUrl>"
        values += f"<p:LocalFile>{self.target()}</p:LocalFile><p:Type>0</p:Type><p:Suspend>true</p:Suspend>"
        body = f'<p:CreateJob_INPUT xmlns:p="{resource}">{values}</p:CreateJob_INPUT>'
        made = client.call(f"{resource}/CreateJob", body, resource=resource)
        job = made.findtext(f".//{{{resource}}}JobId")
        assert job
        admin = self.daemon.client(self.daemon.admin)
        self.addCleanup(admin.close)
        return str(admin.get(job).values["Owner"])


class Certificates(WithCertificates):
    """Mapped and unmapped, good and bad."""

    def test_pypsrp_logs_on_by_its_certificate(self) -> None:
        alice = self.by_pypsrp(self.authority.issue("alice@example.org"))
        body = ET.Element(f"{{{N}}}Enumerate")
        answer = alice.enumerate(JOB, body)
        self.assertIsNotNone(answer.find(f".//{{{N}}}EnumerationContext"))
        unmapped = self.by_pypsrp(self.authority.issue("nobody"))
        with self.assertRaises(WSManFaultError) as fault:
            unmapped.enumerate(JOB, body)
        self.assertEqual(fault.exception.code, 5)
        with self.assertRaises(AuthenticationError):
            self.by_pypsrp(self.other.issue("alice@example.org")).enumerate(JOB, body)

    def test_curl_logs_on_with_and_without_the_scheme(self) -> None:
        shown = self.authority.issue("alice@example.org")
        pair = ["--cert", str(shown.certificate), "--key", str(shown.key)]
        scheme = ["--header", f"Authorization: {MUTUAL}"]
        for version in ("1.2", "1.3"):
            tls = ["--tlsv" + version, "--tls-max", version]
            for more in ([], scheme):
                status, body = self.curl(ENUMERATE, *pair, *tls, *more)
                self.assertEqual(status, 200, body)
        self.assertEqual(self.curl(ENUMERATE, *scheme)[0], 401)
        self.assertEqual(self.curl(ENUMERATE)[0], 401)

    def test_the_mapping_says_whose_jobs_they_are(self) -> None:
        san = "email:carol@example.org,otherName:1.3.6.1.4.1.311.20.2.3;UTF8:Bob@Example.org"
        for name, alternative, owner in (
            ("alice@example.org", None, "alice"),
            ("Alice@EXAMPLE.org", None, "alice"),
            ("carol", "email:carol@example.org", "alice"),
            ("bob", san, "bob"),
            ("admin", None, "admin"),
        ):
            with self.subTest(name):
                client = self.certified(self.authority.issue(name, alternative))
                self.assertEqual(self.owner(client), owner)

    def test_the_resource_can_say_who_somebody_is(self) -> None:
        client = self.certified(self.authority.issue("split"))
        self.assertEqual(self.owner(client), "alice")
        self.assertEqual(self.owner(client, CIM_JOB), "bob")
        other = JOB.replace("BitsClientJob", "BitsClientFile")
        self.denied(client, envelope(f"{N}/Enumerate", "<n:Enumerate/>", resource=other))

    def test_who_is_not_mapped_is_denied_and_may_log_on_otherwise(self) -> None:
        for name in ("nobody", "tied", "off", "stranger", "alice@example.org.uk"):
            with self.subTest(name):
                client = self.certified(self.authority.issue(name))
                self.denied(client)
                self.denied(client, IDENTIFY)
                basic = {"Authorization": self.daemon.bob.basic}
                self.assertEqual(client.post(ENUMERATE.encode(), basic).status, 200)
                self.denied(client)

    def test_a_certificate_that_is_not_good_is_as_none(self) -> None:
        bad = {
            "another authority": self.other.issue("alice@example.org"),
            "expired": self.authority.issue("alice@example.org", expired=True),
            "for servers": self.authority.issue("alice@example.org", usage="serverAuth"),
            "none": None,
        }
        for name, shown in bad.items():
            with self.subTest(name):
                client = self.certified(shown)
                for headers in ({}, {"Authorization": MUTUAL}):
                    answer = client.post(ENUMERATE.encode(), headers)
                    self.assertEqual(answer.status, 401)
                    self.assertEqual(answer.headers["www-authenticate"], 'Basic realm="WSMAN"')
                basic = {"Authorization": self.daemon.alice.basic}
                self.assertEqual(client.post(ENUMERATE.encode(), basic).status, 200)
        self.assertIn("Client certificate refused", self.daemon.log.read_text())

    def test_the_log_says_who_came_in(self) -> None:
        client = self.certified(self.authority.issue("bob@example.org"))
        self.assertEqual(client.post(ENUMERATE.encode()).status, 200)
        lines = [line for line in self.daemon.log.read_text().splitlines() if "Logged on" in line]
        self.assertTrue(any('scheme="Certificate"' in line and "account=bob" in line for line in lines), lines)

    def test_identify_lists_both_profiles(self) -> None:
        self.assertEqual(profiles(self.client.post(IDENTIFY.encode())), [HTTPS_BASIC, MUTUAL])
        client = self.certified(self.authority.issue("alice@example.org"))
        self.assertEqual(profiles(client.post(IDENTIFY.encode())), [HTTPS_BASIC, MUTUAL])
        anonymous = client.post(IDENTIFY.encode(), {"WSMANIDENTIFY": "unauthenticated"})
        self.assertEqual(profiles(anonymous), [])


class CertificatesOnly(WithCertificates):
    """Basic is switched off."""

    access: ClassVar[dict[str, object]] = {"basic": False}

    def test_basic_is_neither_offered_nor_taken(self) -> None:
        answer = self.client.post(IDENTIFY.encode())
        self.assertEqual(answer.status, 401)
        self.assertNotIn("www-authenticate", answer.headers)
        client = self.certified(self.authority.issue("alice@example.org"))
        self.assertEqual(profiles(client.post(IDENTIFY.encode())), [MUTUAL])


class CertificatesOff(WithCertificates):
    """Certificates are switched off."""

    access: ClassVar[dict[str, object]] = {"certificate": False}

    def test_none_is_asked_for_and_none_is_taken(self) -> None:
        client = self.certified(self.authority.issue("alice@example.org"))
        for headers in ({}, {"Authorization": MUTUAL}):
            self.assertEqual(client.post(ENUMERATE.encode(), headers).status, 401)
        basic = {"Authorization": self.daemon.alice.basic}
        self.assertEqual(profiles(client.post(IDENTIFY.encode(), basic)), [HTTPS_BASIC])
        self.assertNotIn("Client certificate refused", self.daemon.log.read_text())


class SignedByThemselves(WithClients):
    """No authority at all: a mapping names the certificate itself."""

    own: ClassVar[dict[str, Certificate]]

    @classmethod
    def setUpClass(cls) -> None:
        kept = tempfile.TemporaryDirectory(prefix="bitsd-certificates-")
        cls.addClassCleanup(kept.cleanup)
        names = ("sha1", "sha256", "stranger")
        cls.own = {name: signed_by_itself(Path(kept.name) / name, name) for name in names}
        mappings = [
            {"issuer": thumbprint(cls.own[name].certificate, name).upper(), "subject": name, "user": "alice"}
            for name in ("sha1", "sha256")
        ]
        cls.settings = {"access": {"certificate": True, "certificate_mappings": mappings}}
        super().setUpClass()

    def test_clients_log_on_by_a_certificate_that_a_mapping_names(self) -> None:
        for name in ("sha1", "sha256"):
            shown = self.own[name]
            answer = self.by_pypsrp(shown).enumerate(JOB, ET.Element(f"{{{N}}}Enumerate"))
            self.assertIsNotNone(answer.find(f".//{{{N}}}EnumerationContext"))
            pair = ["--cert", str(shown.certificate), "--key", str(shown.key)]
            for version in ("1.2", "1.3"):
                tls = ["--tlsv" + version, "--tls-max", version]
                status, body = self.curl(ENUMERATE, *pair, *tls)
                self.assertEqual(status, 200, body)

    def test_one_that_none_names_is_as_none(self) -> None:
        shown = self.own["stranger"]
        self.assertEqual(self.certified(shown).post(ENUMERATE.encode()).status, 401)
        with self.assertRaises(AuthenticationError):
            self.by_pypsrp(shown).enumerate(JOB, ET.Element(f"{{{N}}}Enumerate"))
        self.assertIn("Client certificate refused", self.daemon.log.read_text())

    def test_no_authority_is_asked_for(self) -> None:
        talk = subprocess.run(
            ["openssl", "s_client", "-connect", f"127.0.0.1:{self.daemon.port}", "-tls1_2"],
            input="", capture_output=True, text=True, timeout=30, check=False,
        ).stdout
        self.assertIn("No client certificate CA names sent", talk)
        self.assertIn("Client Certificate Types", talk)


class Revoked(WithClients):
    """An authority that revokes what it has issued."""

    authority: ClassVar[Authority]
    lists: ClassVar[Path]

    @classmethod
    def setUpClass(cls) -> None:
        kept = tempfile.TemporaryDirectory(prefix="bitsd-authority-")
        cls.addClassCleanup(kept.cleanup)
        cls.authority = Authority(Path(kept.name) / "own")
        cls.lists = Path(kept.name) / "revoked"
        cls.lists.write_bytes(cls.authority.revocation_list())
        cls.settings = {
            "access": {
                "certificate": True,
                "client_ca_certificates": str(cls.authority.certificate),
                "client_revocation_lists": [str(cls.lists)],
                "certificate_mappings": [cls.authority.mapping("*", "alice")],
            }
        }
        super().setUpClass()

    def write(self, octets: bytes) -> None:
        """Puts the list in place of the old one, from one moment to the next."""
        new = self.lists.with_suffix(".new")
        new.write_bytes(octets)
        new.rename(self.lists)

    def becomes(self, client: Certified, status: int) -> None:
        """The client is answered so within seconds, and no connection was closed for it."""
        sock = client.connection().sock
        self.assertTrue(soon(lambda: client.post(ENUMERATE.encode()).status == status))
        self.assertIs(client.connection().sock, sock)

    def test_a_list_counts_at_once_and_for_connections_that_live(self) -> None:
        good, bad = self.authority.issue("good"), self.authority.issue("bad")
        kept, client = self.certified(good), self.certified(bad)
        for one in (kept, client):
            self.assertEqual(one.post(ENUMERATE.encode()).status, 200)
        self.authority.revoke(bad)
        for form in ("PEM", "DER"):
            self.write(self.authority.revocation_list(form))
            self.becomes(client, 401)
            self.assertEqual(kept.post(ENUMERATE.encode()).status, 200)
            with self.assertRaises(AuthenticationError):
                self.by_pypsrp(bad).enumerate(JOB, ET.Element(f"{{{N}}}Enumerate"))
        self.write(self.authority.revocation_list(expired=True))
        self.becomes(kept, 401)
        self.assertTrue(soon(lambda: "has ended" in self.daemon.log.read_text()))
        self.write(self.authority.revocation_list())
        self.becomes(kept, 200)
        self.write(b"no list")
        self.assertTrue(soon(lambda: "stay as they were" in self.daemon.log.read_text()))
        self.assertEqual(kept.post(ENUMERATE.encode()).status, 200)
        self.assertEqual(client.post(ENUMERATE.encode()).status, 401)


class Reloads(WithDaemon):
    """The server's own certificate changes while clients are served."""

    pairs: ClassVar[Path]
    trusted: ClassVar[Path]
    names = ("one", "two")

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        # As Kubernetes has secrets: the files are links through a link that is
        # swapped.
        cls.pairs = cls.daemon.state / "pairs"
        own = cls.daemon.state / "tls"
        bundle = [own / "certificate.pem"]
        for name in cls.names:
            made = signed_by_itself(cls.pairs / name, name, "IP:127.0.0.1,DNS:localhost")
            bundle.append(made.certificate)
        cls.trusted = cls.folder / "trusted.pem"
        cls.trusted.write_text("".join(path.read_text() for path in bundle))
        cls.swap("one")
        for name in ("certificate.pem", "private_key.pem"):
            (own / "new").symlink_to(cls.pairs / "current" / name)
            (own / "new").rename(own / name)

    @classmethod
    def swap(cls, name: str) -> None:
        """Has the link point to another pair, from one moment to the next."""
        (cls.pairs / "new").symlink_to(name)
        (cls.pairs / "new").rename(cls.pairs / "current")

    def thumbprint(self, name: str) -> str:
        return thumbprint(self.pairs / name / "certificate.pem", "sha256")

    def shown(self) -> str:
        """What a new connection is shown."""
        context = ssl.create_default_context(cafile=str(self.trusted))
        with (
            socket.create_connection(("127.0.0.1", self.daemon.port), timeout=30) as plain,
            context.wrap_socket(plain, server_hostname="localhost") as tls,
        ):
            der = tls.getpeercert(binary_form=True)
        assert der
        return hashlib.sha256(der).hexdigest()

    def trusting(self) -> Client:
        client = Client(self.daemon.port, self.daemon.admin, self.trusted)
        self.addCleanup(client.close)
        return client

    def becomes(self, name: str) -> None:
        self.assertTrue(soon(lambda: self.shown() == self.thumbprint(name)), self.daemon.tail())

    def test_swaps_under_load_lose_no_request(self) -> None:
        self.becomes("one")
        kept = self.trusting()
        self.assertEqual(kept.post(ENUMERATE.encode()).status, 200)
        sock = kept.connection().sock
        stop, failures, seen = threading.Event(), [], set()

        def poll() -> None:
            lasting = self.trusting()
            while not stop.is_set():
                try:
                    seen.add(self.shown())
                    for client in (lasting, fresh := self.trusting()):
                        status = client.post(IDENTIFY.encode()).status
                        if status != 200:
                            failures.append(status)
                    fresh.close()
                except OSError as error:
                    failures.append(error)

        pollers = [threading.Thread(target=poll) for _ in range(3)]
        for poller in pollers:
            poller.start()
        try:
            for name in ("two", "one", "two"):
                self.swap(name)
                self.becomes(name)
        finally:
            stop.set()
            for poller in pollers:
                poller.join()
        self.assertEqual(failures, [])
        self.assertEqual(seen, {self.thumbprint(name) for name in self.names})
        self.assertEqual(kept.post(ENUMERATE.encode()).status, 200)
        self.assertIs(kept.connection().sock, sock)
        self.swap("one")
        self.becomes("one")

    def test_what_is_shown_of_it_follows(self) -> None:
        self.swap("two")
        self.becomes("two")
        own = self.pairs / "two" / "certificate.pem"
        client = self.trusting()
        config = client.send(envelope(f"{X}/Get", "", resource=CONFIG)).iter()
        shown = {element.text for element in config if element.tag.endswith("CertificateThumbprint")}
        self.assertEqual(shown, {thumbprint(own).upper()})
        end = openssl(own.parent, "x509", "-noout", "-enddate", "-in", own.name)
        ends_at = ssl.cert_time_to_seconds(end.strip().removeprefix("notAfter="))
        metrics = client.post(b"", {"Content-Type": ""}, "/metrics", "GET").body.decode()
        self.assertIn(f"bitsd_certificate_expiry_timestamp_seconds {ends_at}\n", metrics)
        self.assertIn(f"sha256={self.thumbprint('two')}".encode(), self.daemon.log.read_bytes().replace(b'"', b""))
        self.swap("one")
        self.becomes("one")

    def test_a_pair_that_does_not_go_together_leaves_the_old_one(self) -> None:
        self.becomes("one")
        broken = self.pairs / "broken"
        shutil.copytree(self.pairs / "one", broken)
        shutil.copy(self.pairs / "two" / "certificate.pem", broken)

        def told() -> int:
            return self.daemon.log.read_text().count("The certificate stays as it was")

        before = told()
        self.swap("broken")
        self.assertTrue(soon(lambda: told() == before + 1))
        # The next looks find what they know.
        time.sleep(6)
        self.assertEqual(told(), before + 1)
        self.assertEqual(self.shown(), self.thumbprint("one"))
        process = self.daemon.process
        assert process
        process.send_signal(signal.SIGHUP)
        self.assertTrue(soon(lambda: told() == before + 2), "who asks is told again")
        self.assertEqual(self.shown(), self.thumbprint("one"))
        # The key comes late.
        shutil.copy(self.pairs / "two" / "private_key.pem", broken)
        process.send_signal(signal.SIGHUP)
        self.becomes("two")
        self.swap("one")
        self.becomes("one")


def soon(holds: Callable[[], bool], within_s: float = 20) -> bool:
    """Waits until it does."""
    deadline = time.monotonic() + within_s
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True
