"""The walk-through by curl and XML files, as an administrator would script it."""

from __future__ import annotations

import subprocess
import time
import xml.etree.ElementTree as ET
from pathlib import Path

from clients.base import WithDaemon
from harness.wsman import IDENTIFY, JOB, S, WSMID, X, envelope, method_input, parse_job


class Curl(WithDaemon):
    """curl with --cacert, --netrc-file and --data-binary."""

    def post(self, text: str, *options: str, log_on: bool = True) -> tuple[int, str, ET.Element | None]:
        """Posts a file; status, content type and body."""
        request = self.folder / "request.xml"
        request.write_text(text)
        answer = self.folder / "answer.xml"
        answer.unlink(missing_ok=True)
        command = ["curl", "--silent", "--show-error", "--max-time", "60", "--cacert", str(self.daemon.certificate)]
        if log_on:
            command += ["--netrc-file", str(self._netrc())]
        command += ["--header", "Content-Type: application/soap+xml;charset=UTF-8", *options]
        command += ["--data-binary", f"@{request}", "--output", str(answer)]
        command += ["--write-out", "%{http_code} %{content_type}", self.daemon.endpoint]
        done = subprocess.run(command, capture_output=True, text=True, timeout=90, check=True)
        status, _, kind = done.stdout.partition(" ")
        body = answer.read_bytes() if answer.exists() else b""
        return int(status), kind, ET.fromstring(body) if body else None

    def call(self, text: str) -> ET.Element:
        status, kind, root = self.post(text)
        self.assertEqual(status, 200, ET.tostring(root) if root is not None else "")
        self.assertIn("application/soap+xml", kind)
        assert root is not None
        return root

    def _netrc(self) -> Path:
        account = self.daemon.alice
        path = self.folder / "netrc"
        path.write_text(f"machine 127.0.0.1 login {account.name} password {account.password}\n")
        path.chmod(0o600)
        return path

    def test_the_walk_through_delivers_the_file(self) -> None:
        url, source = self.source(size=5_000_000)
        values = {"DisplayName": "curl & co", "RemoteUrl": url, "LocalFile": self.target(), "Type": 0, "Suspend": "true"}
        root = self.call(envelope(f"{JOB}/CreateJob", method_input("CreateJob", values)))
        job = root.findtext(f".//{{{JOB}}}JobId")
        assert job
        key = {"JobId": job}
        second, other = self.source("second")
        added = {"remoteUrl": second, "localFile": self.target("second")}
        self.call(envelope(f"{JOB}/AddFile", method_input("AddFile", added), key))
        put = f'<p:BitsClientJob xmlns:p="{JOB}"><p:Priority>0</p:Priority></p:BitsClientJob>'
        answer = self.call(envelope(f"{X}/Put", put, key))
        self.assertEqual(answer.findtext(f".//{{{JOB}}}Priority"), "0")
        self.call(envelope(f"{JOB}/SetJobState", method_input("SetJobState", {"JobState": 2}), key))
        deadline = time.monotonic() + 30
        while True:
            answer = self.call(envelope(f"{X}/Get", "", key))
            body = answer.find(f"{{{S}}}Body")
            assert body is not None
            seen = parse_job(body[0])
            if seen.state == 6:
                break
            self.assertLess(time.monotonic(), deadline, seen.values)
            time.sleep(0.1)
        self.assertEqual(seen.values["DisplayName"], "curl & co")
        self.call(envelope(f"{JOB}/SetJobState", method_input("SetJobState", {"JobState": 1}), key))
        self.assert_same(self.target(), source.data)
        self.assert_same(self.target("second"), other.data)
        status, _, root2 = self.post(envelope(f"{X}/Get", "", key))
        self.assertEqual(status, 500)
        assert root2 is not None
        self.assertIsNotNone(root2.find(f"{{{S}}}Body/{{{S}}}Fault"))

    def test_identify_without_log_on_masks_the_version(self) -> None:
        status, _, root = self.post(IDENTIFY, "--header", "WSMANIDENTIFY: unauthenticated", log_on=False)
        self.assertEqual(status, 200)
        assert root is not None
        version = root.findtext(f".//{{{WSMID}}}ProductVersion", "")
        self.assertRegex(version, r"^OS: 0\.0\.0 SP: 0\.0 Stack: \d\.\d$")
        self.assertIsNone(root.find(f".//{{{WSMID}}}SecurityProfiles"))

    def test_identify_with_log_on_says_the_version(self) -> None:
        _, _, root = self.post(IDENTIFY)
        assert root is not None
        self.assertNotIn("OS: 0.0.0", root.findtext(f".//{{{WSMID}}}ProductVersion", ""))
        protocol = root.findtext(f".//{{{WSMID}}}ProtocolVersion")
        self.assertEqual(protocol, "http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd")

    def test_a_password_asked_for_by_the_server_is_sent_on_the_same_connection(self) -> None:
        account = self.daemon.alice
        status, _, _ = self.post(
            envelope(f"{X}/Get", "", {"JobId": "{00000000-1111-2222-3333-444444444444}"}),
            "--anyauth", "--user", f"{account.name}:{account.password}", log_on=False,
        )
        self.assertEqual(status, 500, "logged on, and the job is not there")

    def test_expect_100_continue_is_answered(self) -> None:
        status, _, _ = self.post(IDENTIFY, "--header", "Expect: 100-continue")
        self.assertEqual(status, 200)
