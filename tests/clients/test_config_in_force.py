"""What is put into winrm/config while the service runs: is it heeded at once, and after a restart?"""

from __future__ import annotations

import os
import socket
import ssl
import threading
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

from clients.base import WithDaemon
from clients.test_certificate import Certified, WithCertificates
from clients.test_config import CONFIG, INVALID_VALUES, Config, local, value
from harness.authority import Authority
from harness.daemon import Settings, free_port
from harness.wsman import CONTENT_TYPE, IDENTIFY, JOB, N, W, X, Client, Fault, envelope
from pypsrp.exceptions import WSManFaultError

ENUMERATE = envelope(f"{N}/Enumerate", "<n:Enumerate/>")
QUOTA, TIMED_OUT, NO_CONTEXT = 2150859174, 2150858793, 2150858779


class Changing(WithDaemon):
    """Every test puts the settings back as they were."""

    def setUp(self) -> None:
        super().setUp()
        self.config = self.administrator()
        self.addCleanup(self.undo)

    def administrator(self, port: int | None = None) -> Config:
        """An administrator with a connection of his own."""
        client = Client(port or self.daemon.port, self.daemon.admin, self.daemon.certificate)
        self.addCleanup(client.close)
        return Config(client)

    def undo(self) -> None:
        self.config.client.close()
        self.config.restore()

    def restart(self) -> None:
        self.daemon.restart()
        self.client.close()
        self.config.client.close()

    @property
    def file(self) -> Path:
        return self.daemon.state / "winrm-config.toml"

    def fault(self, act: Callable[[], object], *codes: int) -> Fault:
        """The fault of a request."""
        with self.assertRaises(Fault) as fault:
            act()
        self.assertEqual(fault.exception.codes, list(codes), fault.exception)
        return fault.exception

    def enumerate(self, inner: str = "", client: Client | None = None) -> ET.Element:
        """An enumeration of jobs."""
        return (client or self.client).call(f"{N}/Enumerate", f"<n:Enumerate>{inner}</n:Enumerate>")[0]

    def pull(self, context: str, most: int = 100) -> ET.Element:
        wish = f"<n:EnumerationContext>{context}</n:EnumerationContext><n:MaxElements>{most}</n:MaxElements>"
        return self.client.call(f"{N}/Pull", f"<n:Pull>{wish}</n:Pull>")[0]

    def jobs(self, count: int) -> None:
        """So many jobs with a lot to say."""
        values = f"<p:DisplayName>x</p:DisplayName><p:Description>{'x' * 1_000}</p:Description>"
        body = f'<p:BitsClientJob xmlns:p="{JOB}">{values}</p:BitsClientJob>'
        for _ in range(count):
            made = self.client.call(f"{X}/Create", body)
            job = made.findtext(f".//{{{W}}}Selector")
            assert job
            self.addCleanup(self.client.delete, job)


class Quotas(Changing):
    """The quotas of the service."""

    def test_the_largest_envelope_bounds_answers_too(self) -> None:
        self.jobs(24)
        wish = "<w:OptimizeEnumeration/><w:MaxElements>100</w:MaxElements>"
        self.assertIsNotNone(self.enumerate(wish).find(f"{{{W}}}EndOfSequence"))
        self.config.set("", {"MaxEnvelopeSizekb": "32"})
        answer = self.client.post(envelope(f"{N}/Enumerate", f"<n:Enumerate>{wish}</n:Enumerate>").encode())
        self.assertEqual(answer.status, 200)
        self.assertLessEqual(len(answer.body), 32 * 1_024)
        items = answer.root().find(f".//{{{W}}}Items")
        assert items is not None
        self.assertIn(len(items), range(1, 24))
        padded = IDENTIFY + " " * 32 * 1_024
        self.assertEqual(self.client.post(padded.encode()).status, 413)
        self.restart()
        self.assertEqual(self.client.post(padded.encode()).status, 413)

    def test_an_answer_has_no_more_items_than_allowed(self) -> None:
        self.jobs(3)
        self.config.set("", {"MaxBatchItems": "2"})
        for _ in range(2):
            context = self.enumerate().findtext(f"{{{N}}}EnumerationContext", "")
            items = self.pull(context).find(f"{{{N}}}Items")
            assert items is not None
            self.assertEqual(len(items), 2)
            self.restart()

    def test_an_enumeration_ends_when_nobody_pulls(self) -> None:
        self.jobs(1)
        before = self.enumerate().findtext(f"{{{N}}}EnumerationContext", "")
        self.config.set("/service", {"EnumerationTimeoutms": "500"})
        context = self.enumerate().findtext(f"{{{N}}}EnumerationContext", "")
        time.sleep(0.8)
        for gone in (before, context):
            fault = self.fault(lambda gone=gone: self.pull(gone), NO_CONTEXT)
            self.assertEqual(fault.subcode, "InvalidEnumerationContext")
        context = self.enumerate().findtext(f"{{{N}}}EnumerationContext", "")
        self.assertIsNotNone(self.pull(context).find(f"{{{N}}}EndOfSequence"))

    def test_no_more_connections_than_allowed_log_on(self) -> None:
        self.config.set("/service", {"MaxConnections": "2"})
        self.assertEqual(self.client.post(ENUMERATE.encode()).status, 200)
        third = self.daemon.client(self.daemon.bob)
        self.addCleanup(third.close)
        self.assertEqual(third.post(ENUMERATE.encode()).status, 503)
        self.config.set("/service", {"MaxConnections": "3"})
        self.assertEqual(third.post(ENUMERATE.encode()).status, 200)

    def test_a_request_must_have_come_in_time(self) -> None:
        context = ssl.create_default_context(cafile=str(self.daemon.certificate))
        plain = socket.create_connection(("127.0.0.1", self.daemon.port), timeout=30)
        with context.wrap_socket(plain, server_hostname="127.0.0.1") as line:
            head = f"POST /wsman HTTP/1.1\r\nHost: x\r\nAuthorization: {self.daemon.alice.basic}\r\n"
            head += f"Content-Type: {CONTENT_TYPE}\r\nContent-Length: "
            body = IDENTIFY.encode()
            line.sendall(f"{head}{len(body)}\r\n\r\n".encode() + body)
            self.assertIn(b" 200 ", line.recv(65_536).split(b"\r\n")[0])
            self.config.set("/service", {"MaxPacketRetrievalTimeSeconds": "1"})
            began = time.monotonic()
            line.sendall(f"{head}100000\r\n\r\n".encode() + body)
            # [MS-WSMV] 3.1.5.2 wants a 500.
            self.assertIn(b" 500 ", line.recv(65_536).split(b"\r\n")[0])
            self.assertLess(time.monotonic() - began, 10)


class Slow(Changing):
    """A change that takes as long as its file of authorities: a pipe that nobody writes to."""

    pipe: ClassVar[Path]
    pem: ClassVar[bytes]

    @classmethod
    def setUpClass(cls) -> None:
        cls.settings = {"access": {"client_ca_certificates": "/nowhere"}}
        super().setUpClass()
        cls.daemon.stop()
        cls.pipe = cls.folder / "authorities.pem"
        os.mkfifo(cls.pipe)
        cls.pem = Authority(cls.folder / "authority").certificate.read_bytes()
        text = cls.daemon.config.read_text().replace("/nowhere", str(cls.pipe))
        cls.daemon.config.write_text(text)
        cls.daemon.start()

    def switch_on(self) -> None:
        self.administrator().set("/service/auth", {"Certificate": "true"})

    def written(self) -> None:
        """Lets the change go on."""
        self.pipe.write_bytes(self.pem)

    def certificate(self) -> bool:
        return value(self.config.get("/service/auth"), "Certificate") == "true"

    def test_the_longest_timeout_ends_the_wait_and_not_the_work(self) -> None:
        self.config.set("", {"MaxTimeoutms": "500"})
        began = time.monotonic()
        fault = self.fault(self.switch_on, TIMED_OUT)
        self.assertEqual(fault.subcode, "TimedOut")
        self.assertLess(time.monotonic() - began, 20, "the client would have waited for a minute")
        self.assertFalse(self.certificate())
        self.written()
        deadline = time.monotonic() + 20
        while not self.certificate():
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.02)

    def test_the_timeout_of_a_client_ends_its_wait(self) -> None:
        wsman = self.pypsrp(self.daemon.admin, operation_timeout=1)
        auth = self.config.get("/service/auth")
        next(child for child in auth if local(child) == "Certificate").text = "true"
        with self.assertRaises(WSManFaultError) as fault:
            wsman.put(f"{CONFIG}/service/auth", auth)
        self.assertEqual(fault.exception.code, TIMED_OUT)
        self.written()
        deadline = time.monotonic() + 20
        while not self.certificate():
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.02)

    def test_one_user_has_no_more_operations_than_allowed(self) -> None:
        self.config.set("/service", {"MaxConcurrentOperationsPerUser": "1"})
        change = threading.Thread(target=self.switch_on)
        change.start()
        try:
            deadline = time.monotonic() + 20
            while True:
                try:
                    self.config.get()
                except Fault as refused:
                    fault = refused
                    break
                self.assertLess(time.monotonic(), deadline)
                time.sleep(0.02)
            self.assertEqual((fault.subcode, fault.codes), ("QuotaLimit", [QUOTA]))
            self.enumerate()
        finally:
            self.written()
            change.join()
        self.assertTrue(self.certificate())


class LogOns(WithCertificates, Changing):
    """Ways to log on come and go."""

    access: ClassVar[dict[str, object]] = {"certificate": False, "certificate_mappings": []}

    def mapped(self, subject: str) -> dict[str, str]:
        return {"Issuer": self.authority.thumbprint, "Subject": subject, "URI": "*"}

    def user_name(self, name: str) -> str:
        return f'<c:CertMapping xmlns:c="{CONFIG}/service/certmapping"><c:UserName>{name}</c:UserName></c:CertMapping>'

    def new_line(self, name: str) -> Certified:
        return self.certified(self.authority.issue(name))

    def test_certificates_are_taken_and_mapped_as_it_stands_now(self) -> None:
        shown = "carol@example.org"
        early = self.new_line(shown)
        self.assertEqual(early.post(ENUMERATE.encode()).status, 401)
        self.config.set("/service/auth", {"Certificate": "true"})
        self.assertEqual(early.post(ENUMERATE.encode()).status, 401, "TLS did not ask then")
        line = self.new_line(shown)
        self.denied(line)
        keys = self.mapped(shown)
        self.config.create("/service/certmapping", keys, self.user_name("alice"))
        self.assertEqual(self.owner(line), "alice")
        self.config.set("/service/certmapping", {"UserName": "bob"}, keys)
        self.assertEqual(self.owner(line), "bob")
        self.config.set("/service/certmapping", {"Enabled": "false"}, keys)
        self.denied(line)
        self.config.set("/service/certmapping", {"Enabled": "true"}, keys)
        self.restart()
        line = self.new_line(shown)
        self.assertEqual(self.owner(line), "bob")
        self.config.delete("/service/certmapping", keys)
        self.denied(line)
        self.config.restore()
        self.assertEqual(self.new_line(shown).post(ENUMERATE.encode()).status, 401)
        self.restart()
        self.assertEqual(self.new_line(shown).post(ENUMERATE.encode()).status, 401)
        self.assertFalse(self.file.exists())

    def test_basic_is_switched_off_and_on(self) -> None:
        self.config.create("/service/certmapping", self.mapped("root"), self.user_name("admin"))
        self.config.set("/service/auth", {"Certificate": "true"})
        by_certificate = Config(self.new_line("root"))
        self.assertEqual(self.client.post(ENUMERATE.encode()).status, 200)
        self.config.set("/service/auth", {"Basic": "false"})
        answer = self.client.post(ENUMERATE.encode())
        self.assertEqual((answer.status, answer.headers.get("www-authenticate")), (401, None))
        self.restart()
        self.assertEqual(self.client.post(ENUMERATE.encode()).status, 401)
        by_certificate.client.close()
        fault = self.fault(lambda: by_certificate.set("/service/auth", {"Certificate": "false"}), INVALID_VALUES)
        self.assertIn("Service/Auth/Basic", fault.reason)
        fault = self.fault(lambda: by_certificate.delete("/service/certmapping", self.mapped("root")), INVALID_VALUES)
        self.assertIn("Service/Auth/Basic", fault.reason)
        by_certificate.set("/service/auth", {"Basic": "true"})
        self.assertEqual(self.client.post(ENUMERATE.encode()).status, 200)


class Listeners(Changing):
    """Addresses come and go."""

    KEYS: ClassVar[dict[str, str]] = {"Address": "IP:127.0.0.2", "Transport": "HTTPS"}
    OWN: ClassVar[dict[str, str]] = {"Address": "IP:127.0.0.1", "Transport": "HTTPS"}

    def port_of(self, port: int) -> str:
        return f'<c:Listener xmlns:c="{CONFIG}/listener"><c:Port>{port}</c:Port></c:Listener>'

    def answers(self, port: int, host: str = "127.0.0.1") -> bool:
        """Somebody speaks TLS there."""
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        try:
            with socket.create_connection((host, port), timeout=10) as plain, context.wrap_socket(plain):
                return True
        except ConnectionRefusedError:
            return False

    def test_a_new_listener_answers_moves_and_goes(self) -> None:
        first, second = free_port(), free_port()
        made = self.config.create("/listener", self.KEYS, self.port_of(first))
        self.assertEqual({found.get("Name"): found.text for found in made.iter(f"{{{W}}}Selector")}, self.KEYS)
        self.assertTrue(self.answers(first, "127.0.0.2"))
        self.fault(lambda: self.config.create("/listener", self.KEYS, self.port_of(first)), 2150858803)
        self.config.set("/listener", {"Port": str(second)}, self.KEYS)
        self.assertTrue(self.answers(second, "127.0.0.2"))
        self.assertFalse(self.answers(first, "127.0.0.2"))
        self.restart()
        self.assertTrue(self.answers(second, "127.0.0.2"))
        self.assertEqual([value(one, "Address") for one in self.config.enumerate("/listener")], ["IP:127.0.0.1", "IP:127.0.0.2"])
        self.config.delete("/listener", self.KEYS)
        self.assertFalse(self.answers(second, "127.0.0.2"))
        self.restart()
        self.assertFalse(self.answers(second, "127.0.0.2"))
        self.assertFalse(self.file.exists())

    def test_the_connection_that_moves_its_own_port_stays(self) -> None:
        port = free_port()
        shown = self.config.set("/listener", {"Port": str(port)}, self.OWN)
        self.assertEqual(value(shown, "Port"), str(port))
        self.addCleanup(Config.restore, self.config)
        held = self.config.client.connection().sock
        self.assertEqual(value(self.config.get("/listener", self.OWN), "Port"), str(port))
        self.assertIs(self.config.client.connection().sock, held)
        self.assertFalse(self.answers(self.daemon.port))
        self.assertTrue(self.answers(port))
        other = self.administrator(port)
        other.restore()
        self.assertTrue(self.answers(self.daemon.port))
        self.assertFalse(self.answers(port))
        self.assertEqual(value(other.get("/listener", self.OWN), "Port"), str(self.daemon.port))

    def test_a_port_that_is_taken_changes_nothing(self) -> None:
        before = ET.tostring(self.config.get("/listener", self.OWN))
        with socket.socket() as other:
            other.bind(("127.0.0.1", 0))
            other.listen()
            taken = other.getsockname()[1]
            fault = self.fault(lambda: self.config.set("/listener", {"Port": str(taken)}, self.OWN), INVALID_VALUES)
        self.assertIn(f"127.0.0.1:{taken} is in use", fault.reason)
        self.assertEqual(ET.tostring(self.config.get("/listener", self.OWN)), before)
        self.assertTrue(self.answers(self.daemon.port))
        self.assertFalse(self.file.exists())
        keys = {"Address": "*", "Transport": "HTTPS"}
        fault = self.fault(lambda: self.config.create("/listener", keys, self.port_of(self.daemon.port)), INVALID_VALUES)
        self.assertIn(f"includes 127.0.0.1:{self.daemon.port}", fault.reason)
        fault = self.fault(lambda: self.config.delete("/listener", self.OWN), INVALID_VALUES)
        self.assertIn("last Listener cannot be removed", fault.reason)

    def test_a_change_that_cannot_be_written_down_is_not_made(self) -> None:
        port = free_port()
        (self.file / "in the way").mkdir(parents=True)
        try:
            fault = self.fault(lambda: self.config.set("/listener", {"Port": str(port)}, self.OWN), 2150858772)
            self.assertIn("is not made", fault.reason)
            self.fault(lambda: self.config.set("", {"MaxBatchItems": "7"}), 2150858772)
        finally:
            (self.file / "in the way").rmdir()
            self.file.rmdir()
        self.assertTrue(self.answers(self.daemon.port))
        self.assertFalse(self.answers(port))
        self.assertEqual(value(self.config.get(), "MaxBatchItems"), "32000")
        self.assertIn("Configuration cannot be kept", self.daemon.tail())


class Authorities(Changing):
    """A file of authorities that cannot be used."""

    settings: ClassVar[Settings] = {"access": {"client_ca_certificates": "/nowhere/authorities.pem"}}

    def test_certificates_are_not_switched_on(self) -> None:
        before = ET.tostring(self.config.get())
        document = self.config.get()
        for name, text in (("MaxBatchItems", "7"), ("Certificate", "true")):
            found = [child for child in document.iter() if local(child) == name][-1]
            found.text = text
        fault = self.fault(lambda: self.config.put(document), INVALID_VALUES)
        for part in ("Service/Auth/Certificate", "/nowhere/authorities.pem"):
            self.assertIn(part, fault.reason)
        self.assertEqual(ET.tostring(self.config.get()), before)
        self.assertFalse(self.file.exists())
        self.restart()
        self.assertEqual(ET.tostring(self.config.get()), before)
