"""Client certificates: pypsrp, curl, and clients that send no header at all."""

from __future__ import annotations

import http.client
import ssl
import subprocess
import tempfile
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import ClassVar

from clients.base import WithDaemon
from harness.authority import Authority, Certificate
from harness.daemon import Daemon
from harness.wsman import (
    CIM_JOB, CONTENT_TYPE, IDENTIFY, JOB, N, WSMID, Answer, Client, Fault, envelope,
)
from pypsrp.exceptions import AuthenticationError, WSManFaultError
from pypsrp.wsman import WSMan

MUTUAL = "http://schemas.dmtf.org/wbem/wsman/1/wsman/secprofile/https/mutual"
HTTPS_BASIC = "http://schemas.dmtf.org/wbem/wsman/1/wsman/secprofile/https/basic"
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


class WithCertificates(WithDaemon):
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

    def certified(self, shown: Certificate | None) -> Certified:
        client = Certified(self.daemon, shown)
        self.addCleanup(client.close)
        return client

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

    def pypsrp(self, shown: Certificate) -> WSMan:
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

    def test_pypsrp_logs_on_by_its_certificate(self) -> None:
        alice = self.pypsrp(self.authority.issue("alice@example.org"))
        body = ET.Element(f"{{{N}}}Enumerate")
        answer = alice.enumerate(JOB, body)
        self.assertIsNotNone(answer.find(f".//{{{N}}}EnumerationContext"))
        unmapped = self.pypsrp(self.authority.issue("nobody"))
        with self.assertRaises(WSManFaultError) as fault:
            unmapped.enumerate(JOB, body)
        self.assertEqual(fault.exception.code, 5)
        with self.assertRaises(AuthenticationError):
            self.pypsrp(self.other.issue("alice@example.org")).enumerate(JOB, body)

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
        self.assertTrue(any(f'scheme="{MUTUAL}"' in line and "account=bob" in line for line in lines), lines)

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
