"""winrm/config: what the WSMan: drive, winrm.cmd and pypsrp do with it."""

from __future__ import annotations

import hashlib
import re
import shutil
import ssl
import subprocess
import tempfile
import unittest
import xml.etree.ElementTree as ET
from http.client import HTTPConnection
from pathlib import Path

from clients.base import WithDaemon
from harness.daemon import Daemon, Failed, free_port
from harness.wsman import IDENTIFY, N, W, X, Client, Fault, envelope
from lxml import etree

CONFIG = "http://schemas.microsoft.com/wbem/wsman/1/config"
PLUGIN = f"{CONFIG}/PluginConfiguration"
SCHEMA = Path(__file__).parents[2] / "schemas" / "winrm-config.xsd"
ISSUER = "0123456789ABCDEF0123456789ABCDEF01234567"
INVALID_VALUES, READ_ONLY, FROZEN = 2150858838, 2150859071, 2150859182


class Config:
    """winrm.cmd and the WSMan: drive, over one session."""

    def __init__(self, client: Client) -> None:
        self.client = client

    def get(self, path: str = "", selectors: dict[str, str] | None = None) -> ET.Element:
        """`winrm get winrm/config/PATH`."""
        return self.client.call(f"{X}/Get", "", selectors, CONFIG + path)[0]

    def put(self, document: ET.Element, path: str = "", selectors: dict[str, str] | None = None) -> ET.Element:
        """A Put of this document."""
        text = ET.tostring(document, encoding="unicode")
        return self.client.call(f"{X}/Put", text, selectors, CONFIG + path)[0]

    def set(self, path: str, values: dict[str, str], selectors: dict[str, str] | None = None) -> ET.Element:
        """`winrm set winrm/config/PATH @{…}`: gets the document, changes elements by name, puts all of it."""
        document = self.get(path, selectors)
        for name, value in values.items():
            found = [child for child in document.iter() if local(child) == name]
            assert len(found) == 1, f"{len(found)} elements {name}"
            found[0].text = value
        return self.put(document, path, selectors)

    def enumerate(self, path: str, *inner: str) -> list[ET.Element]:
        """`dir WSMan:\\host\\PATH`: an optimized enumeration."""
        wish = "<w:OptimizeEnumeration/><w:MaxElements>20</w:MaxElements>" + "".join(inner)
        answer = self.client.call(f"{N}/Enumerate", f"<n:Enumerate>{wish}</n:Enumerate>", None, CONFIG + path)[0]
        assert answer.find(f"{{{W}}}EndOfSequence") is not None
        return list(answer.find(f"{{{W}}}Items") or ())

    def create(self, path: str, selectors: dict[str, str], body: str) -> ET.Element:
        """`New-Item WSMan:\\host\\PATH`."""
        return self.client.call(f"{X}/Create", body, selectors, CONFIG + path)[0]

    def delete(self, path: str, selectors: dict[str, str]) -> None:
        """`Remove-Item WSMan:\\host\\PATH`."""
        self.client.call(f"{X}/Delete", "", selectors, CONFIG + path)

    def restore(self) -> None:
        """`winrm invoke Restore winrm/config @{}`."""
        self.client.call(f"{CONFIG}/Restore", f'<p:Restore_INPUT xmlns:p="{CONFIG}"/>', None, CONFIG)


def local(element: ET.Element) -> str:
    """The name without its namespace."""
    return element.tag.rsplit("}", 1)[-1]


def value(document: ET.Element, path: str) -> str:
    """The text at `Service/Auth/Basic`."""
    for name in path.split("/"):
        document = next(child for child in document if local(child) == name)
    return document.text or ""


class WinrmConfig(WithDaemon):
    """One daemon; every test puts it back as it was."""

    def setUp(self) -> None:
        super().setUp()
        admin = self.daemon.client(self.daemon.admin)
        self.addCleanup(admin.close)
        self.config = Config(admin)
        self.addCleanup(self.config.restore)

    @property
    def file(self) -> Path:
        return self.daemon.state / "winrm-config.toml"

    def test_pypsrp_finds_how_large_its_messages_may_be(self) -> None:
        wsman = self.pypsrp()
        found = wsman.get_server_config().find(f"{{{CONFIG}}}Config/{{{CONFIG}}}MaxEnvelopeSizekb")
        assert found is not None
        self.assertEqual(found.text, "500")
        wsman.update_max_payload_size()
        self.assertEqual(wsman.max_envelope_size, 500 * 1024)
        self.config.set("", {"MaxEnvelopeSizekb": "200"})
        wsman.update_max_payload_size()
        self.assertEqual(wsman.max_envelope_size, 200 * 1024)
        service = wsman.get_server_config("config/service")
        self.assertEqual(value(service[0], "Auth/Basic"), "true")

    def test_every_document_fits_the_schema(self) -> None:
        schema = etree.XMLSchema(etree.parse(str(SCHEMA)))
        self.config.create(
            "/service/certmapping", self.mapping(), "<CertMapping><UserName>alice</UserName></CertMapping>"
        )
        documents = [self.config.get()]
        for path in ("/listener", "/service/certmapping", "/plugin"):
            found = self.config.enumerate(path)
            self.assertEqual(len(found), 1, path)
            documents += found
        for document in documents:
            # Each document's namespace is its own, the schema is for all of them.
            text = re.sub(r' xmlns(:\w+)?="[^"]*"', "", ET.tostring(document, encoding="unicode"))
            text = re.sub(r"(</?)\w+:", r"\1", text).replace('xml:lang="en-US"', "")
            text = re.sub(r" \w+:lang=\"en-US\"", "", text)
            schema.assertValid(etree.fromstring(text))

    def mapping(self, subject: str = "*@example.org") -> dict[str, str]:
        return {"Issuer": ISSUER, "Subject": subject, "URI": "*"}

    def test_the_drive_connects_and_lists(self) -> None:
        self.assertEqual(self.config.client.post(IDENTIFY.encode()).status, 200)
        root = self.config.get()
        self.assertEqual(root.tag, f"{{{CONFIG}}}Config")
        self.assertEqual([local(child) for child in root][4:], ["Client", "Service", "Winrs"])
        for path in ("/client", "/client/auth", "/service", "/service/auth", "/service/defaultports", "/winrs"):
            part = self.config.get(path)
            self.assertEqual(part.tag.split("}")[0], f"{{{CONFIG}{path}")
        listener = self.config.enumerate("/listener")[0]
        self.assertEqual(listener.tag, f"{{{CONFIG}/listener}}Listener")
        shown = {name: value(listener, name) for name in ("Address", "Transport", "Port", "ListeningOn")}
        port = str(self.daemon.port)
        self.assertEqual(
            shown, {"Address": "IP:127.0.0.1", "Transport": "HTTPS", "Port": port, "ListeningOn": "127.0.0.1"}
        )
        pem = self.daemon.certificate.read_text()
        thumbprint = hashlib.sha1(ssl.PEM_cert_to_DER_cert(pem)).hexdigest().upper()
        self.assertEqual(value(listener, "CertificateThumbprint"), thumbprint)
        keys = {"Address": "ip:127.0.0.1", "Transport": "https"}
        self.assertEqual(ET.tostring(self.config.get("/listener", keys)), ET.tostring(listener))
        self.assertEqual(self.config.enumerate("/service/certmapping"), [])
        plug_in = self.config.enumerate("/plugin")[0]
        self.assertEqual((plug_in.tag, plug_in.get("Name")), (f"{{{PLUGIN}}}PlugInConfiguration", "bitsd"))
        uris = [found.get("ResourceUri") for found in plug_in.iter(f"{{{PLUGIN}}}Resource")]
        self.assertIn("http://schemas.microsoft.com/wbem/wsman/1/wmi/root/microsoft/bits", uris)
        pairs = self.config.enumerate("/listener", "<w:EnumerationMode>EnumerateObjectAndEPR</w:EnumerationMode>")
        self.assertEqual([local(part) for part in pairs[0]], ["Listener", "EndpointReference"])

    def test_a_smaller_envelope_is_in_force_at_once_and_after_a_restart(self) -> None:
        large = b" " * 200_000 + IDENTIFY.encode()
        self.assertEqual(self.client.post(large).status, 200)
        answer = self.config.set("", {"MaxEnvelopeSizekb": "100"})
        self.assertEqual(value(answer, "MaxEnvelopeSizekb"), "100")
        self.assertEqual(self.client.post(large).status, 413)
        kept = self.file.read_text()
        self.assertIn("[wsman]\nmax_envelope_size_kb = 100\n", kept)
        self.assertEqual(self.file.stat().st_mode & 0o777, 0o600)
        self.daemon.restart()
        self.client.close()
        self.config.client.close()
        self.assertIn("wsman.max_envelope_size_kb", self.daemon.tail())
        self.assertEqual(self.client.post(large).status, 413)
        self.config.restore()
        self.assertFalse(self.file.exists())
        self.client.close()
        self.assertEqual(self.client.post(large).status, 200)

    def test_set_item_changes_one_value_of_a_part(self) -> None:
        self.config.set("/service", {"MaxPacketRetrievalTimeSeconds": "60", "EnumerationTimeoutms": "70000"})
        service = self.config.get("/service")
        self.assertEqual(value(service, "MaxPacketRetrievalTimeSeconds"), "60")
        self.assertEqual(value(self.config.get(), "Service/EnumerationTimeoutms"), "70000")
        log = self.daemon.tail()
        for part in ("Setting changed over WS-Management", "admin", "wsman.enumeration_timeout_ms", "240000", "70000"):
            self.assertIn(part, log)

    def test_every_document_may_be_put_back_as_it_is(self) -> None:
        keys = self.mapping()
        self.config.create("/service/certmapping", keys, "<CertMapping><UserName>alice</UserName></CertMapping>")
        kept = self.file.read_text()
        listener = {"Address": "IP:127.0.0.1", "Transport": "HTTPS"}
        parts = ("", "/client", "/client/auth", "/client/defaultports", "/service", "/service/auth", "/winrs")
        selected = [(path, None) for path in parts] + [("/listener", listener), ("/service/certmapping", keys)]
        for path, selectors in selected:
            with self.subTest(path=path):
                document = self.config.get(path, selectors)
                answer = self.config.put(document, path, selectors)
                self.assertEqual(ET.tostring(answer), ET.tostring(document))
        self.assertEqual(self.file.read_text(), kept)
        for path, selectors in (("/service/defaultports", None), ("/plugin", {"Name": "bitsd"})):
            with self.subTest(path=path), self.assertRaises(Fault) as fault:
                self.config.put(self.config.get(path, selectors), path, selectors)
            self.assertEqual(fault.exception.subcode, "ActionNotSupported")

    def test_what_is_wrong_is_named_in_the_language_of_the_client(self) -> None:
        for inner, subcode, english, portuguese in (
            ("<Service><Colour/></Service>", "SchemaValidationError", "Service/Colour is not known here", "Service/Colour não é conhecido"),
            (
                "<Service><Auth><Basic>maybe</Basic></Auth></Service>", "InvalidRepresentation",
                "Service/Auth/Basic: must be true or false", "Service/Auth/Basic: deve ser true ou false",
            ),
            (
                "<Service><MaxConnections>0</MaxConnections></Service>", "InvalidRepresentation",
                "Service/MaxConnections: must be a number from 1 to 1000000", "deve ser um número de 1 a 1000000",
            ),
            (
                "<Service><Auth><Basic>0</Basic></Auth></Service>", "InvalidRepresentation",
                "Service/Auth/Basic must be true as long as", "Service/Auth/Basic deve ser true enquanto",
            ),
        ):
            text = envelope(f"{X}/Put", f"<Config>{inner}</Config>", None, CONFIG)
            for language, wanted in (("en-US", english), ("pt-BR", portuguese)):
                with self.subTest(inner=inner, language=language), self.assertRaises(Fault) as fault:
                    self.config.client.send(text.replace('"en-US"', f'"{language}"'))
                self.assertEqual(fault.exception.subcode, subcode)
                self.assertIn(wanted, fault.exception.reason)

    def test_what_cannot_be_changed_is_refused_and_nothing_changes(self) -> None:
        before = ET.tostring(self.config.get())
        for path, values, code in (
            ("", {"MaxEnvelopeSizekb": "31"}, INVALID_VALUES),
            ("", {"MaxEnvelopeSizekb": "60", "MaxProviderRequests": "1"}, FROZEN),
            ("/service", {"EnableCompatibilityHttpListener": "true", "MaxConnections": "9"}, READ_ONLY),
            ("/service/auth", {"Basic": "false"}, INVALID_VALUES),
            ("/client/auth", {"Kerberos": "true"}, READ_ONLY),
            ("/winrs", {"AllowRemoteShellAccess": "true"}, READ_ONLY),
        ):
            with self.subTest(path=path, values=values), self.assertRaises(Fault) as fault:
                self.config.set(path, values)
            self.assertEqual(fault.exception.codes, [code])
        self.assertEqual(ET.tostring(self.config.get()), before)
        self.assertFalse(self.file.exists())

    def test_a_user_looks_but_changes_nothing(self) -> None:
        user = Config(self.client)
        self.assertEqual(value(user.get(), "MaxBatchItems"), "32000")
        self.assertEqual(len(user.enumerate("/listener")), 1)
        for act in (
            lambda: user.set("", {"MaxBatchItems": "7"}),
            lambda: user.create("/service/certmapping", self.mapping(), "<CertMapping><UserName>a</UserName></CertMapping>"),
            lambda: user.delete("/listener", {"Address": "IP:127.0.0.1", "Transport": "HTTPS"}),
            user.restore,
        ):
            with self.assertRaises(Fault) as fault:
                act()
            self.assertEqual((fault.exception.subcode, fault.exception.codes), ("AccessDenied", [5]))

    def test_new_item_makes_a_certificate_mapping(self) -> None:
        uri = f"{CONFIG}/service/certmapping"
        body = (
            f'<cfg:certmapping xmlns:cfg="{uri}.xsd"><cfg:Password>secret</cfg:Password>'
            "<cfg:UserName>alice</cfg:UserName></cfg:certmapping>"
        )
        made = self.config.create("/service/certmapping", self.mapping(), body)
        self.assertEqual(made.tag, f"{{{X}}}ResourceCreated")
        self.assertEqual({found.get("Name"): found.text for found in made.iter(f"{{{W}}}Selector")}, self.mapping())
        self.daemon.restart()
        self.config.client.close()
        found = self.config.enumerate("/service/certmapping")[0]
        self.assertEqual((value(found, "UserName"), value(found, "Enabled")), ("alice", "true"))
        self.assertEqual([local(child) for child in found], ["URI", "Subject", "Issuer", "UserName", "Enabled"])
        self.assertNotIn("secret", self.file.read_text() + self.daemon.tail())
        changed = self.config.set("/service/certmapping", {"Enabled": "false"}, self.mapping())
        self.assertEqual(value(changed, "Enabled"), "false")
        with self.assertRaises(Fault) as again:
            self.config.create("/service/certmapping", self.mapping(), body)
        self.assertEqual(again.exception.subcode, "AlreadyExists")
        self.config.delete("/service/certmapping", self.mapping())
        self.assertEqual(self.config.enumerate("/service/certmapping"), [])
        self.assertFalse(self.file.exists())

    def test_a_listener_for_http_takes_no_password(self) -> None:
        port, keys = free_port(), {"Address": "IP:127.0.0.1", "Transport": "HTTP"}
        body = f'<cfg:Listener xmlns:cfg="{CONFIG}/listener"><cfg:Port>{port}</cfg:Port></cfg:Listener>'
        self.config.create("/listener", keys, body)
        self.addCleanup(self.config.delete, "/listener", keys)
        self.assertEqual(value(self.config.get("/listener", keys), "CertificateThumbprint"), "")
        connection = HTTPConnection("127.0.0.1", port, timeout=10)
        self.addCleanup(connection.close)
        basic = self.daemon.admin.basic
        connection.request("POST", "/wsman", b"", {"Authorization": basic})
        answer = connection.getresponse()
        answer.read()
        self.assertEqual(answer.status, 401)
        self.assertNotIn("Basic", answer.headers.get_all("WWW-Authenticate", []))
        identify = IDENTIFY.encode()
        headers = {"WSMANIDENTIFY": "unauthenticated", "Content-Type": "application/soap+xml;charset=UTF-8"}
        connection.request("POST", "/wsman", identify, headers)
        answer = connection.getresponse()
        self.assertIn(b"IdentifyResponse", answer.read())

    def test_the_url_alias_and_an_option_that_must_be_heeded(self) -> None:
        answer = self.client.call(f"{X}/Get", "", None, "winrm/config/winrs")
        self.assertEqual(local(answer[0]), "Winrs")
        header = '<w:OptionSet><w:Option Name="a" MustComply="true">1</w:Option></w:OptionSet>'
        with self.assertRaises(Fault) as fault:
            self.client.send(envelope(f"{X}/Get", "", None, CONFIG, header))
        self.assertEqual((fault.exception.subcode, fault.exception.detail), ("InvalidOptions", "NotSupported"))


class FileOfChanges(unittest.TestCase):
    """What was changed, as the administrator at the console and transfers find it."""

    def setUp(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="bitsd-test-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        # Everything lies below the write root, the state too.
        self.daemon = Daemon(self.folder, {"files": {"write_roots": [str(self.folder)]}})
        self.addCleanup(self.daemon.kill)
        self.file = self.daemon.state / "winrm-config.toml"

    def test_one_that_does_not_fit_stops_the_start_and_is_named(self) -> None:
        for text, wanted in (
            ("[wsman]\nmax_batch_items = 0\n", f"{self.file}: wsman.max_batch_items: 0 is not from 1"),
            ("[files]\nmode = \"0666\"\n", f"{self.file}, line 1: "),
            ("[access]\ncertificate = true\n", f"{self.file}: access.client_ca_certificates: must be given"),
            ("nonsense", f"{self.file}, line 1: "),
        ):
            self.file.write_text(text)
            self.daemon.log.unlink(missing_ok=True)
            with self.assertRaises(Failed) as failed:
                self.daemon.start()
            self.assertIn(wanted, str(failed.exception))
            # At the console accounts are managed all the same.
            self.daemon.add_user(self.daemon.alice)
        self.file.unlink()
        self.daemon.start()
        self.assertEqual(self.daemon.stop().status, 0)

    def test_without_it_the_settings_file_counts_again(self) -> None:
        self.daemon.start()
        config = Config(self.daemon.client(self.daemon.admin))
        self.addCleanup(config.client.close)
        config.set("", {"MaxBatchItems": "7"})
        self.daemon.stop()
        self.file.unlink()
        self.daemon.start()
        config.client.close()
        self.assertEqual(value(config.get(), "MaxBatchItems"), "32000")
        self.assertNotIn("wsman.max_batch_items", self.daemon.tail().rsplit("Stopped", 1)[-1])

    def test_who_adds_a_user_hears_that_passwords_are_of_no_use(self) -> None:
        text = self.daemon.config.read_text()
        authorities = f'[access]\nclient_ca_certificates = "{self.folder}/authorities.pem"'
        self.daemon.config.write_text(text.replace("[access]", authorities))
        command = [self.daemon.program, "user", "add", "alice", "--config", self.daemon.config]
        command += ["--password-file", self.daemon.password_file(self.daemon.alice)]
        said = [subprocess.run(command, capture_output=True, text=True, check=True).stdout]
        self.file.write_text(
            "[access]\nbasic = false\ncertificate = true\n"
            f'certificate_mappings = [{{ issuer = "{ISSUER}", subject = "*", user = "alice" }}]\n'
        )
        said.append(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
        self.assertEqual(["Auth/Basic" in one for one in said], [False, True], said)

    def test_no_transfer_lands_there(self) -> None:
        self.daemon.start()
        alice = self.daemon.client()
        self.addCleanup(alice.close)
        for path in (self.file, self.daemon.state / "new"):
            with self.assertRaises(Fault) as fault:
                alice.create_job("x", "http://127.0.0.1:9/x", path)
            self.assertIn(2147942405, fault.exception.codes, "access denied")
        alice.delete(alice.create_job("x", "http://127.0.0.1:9/x", self.folder / "new"))
