"""Debian's wsl: identify, get, enumerate and SetJobState."""

from __future__ import annotations

import os
import shutil
import subprocess
import xml.etree.ElementTree as ET
from pathlib import Path

from clients.base import WithDaemon
from harness.wsman import JOB, SELECTOR_FILTER, WQL, WSMID


class Wsl(WithDaemon):
    """wsl reads answers with grep and sed: the shape must be one it can read."""

    def wsl(self, program: str, *words: str, expect: int = 0) -> ET.Element:
        """Runs one of wsl's programs; the last answer, as it saved it."""
        home = self.folder / "wsl"
        home.mkdir(exist_ok=True)
        account = self.daemon.alice
        endpoint = f"127.0.0.1:{self.daemon.port}"
        # It takes this file, and only then looks at the certificate.
        shutil.copy(self.daemon.certificate, home / f"{endpoint}.crt")
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "WSAUTOMATED": "1",
            "WSENDPOINT": endpoint,
            "WSUSER": account.name,
            "WSPASS": account.password,
            "OUTLEVEL": "1",
            "KEEPHISTORY": "0",
        }
        saved = home / "response.xml"
        saved.unlink(missing_ok=True)
        done = subprocess.run(
            [program, *words], cwd=home, env=environment, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=120, check=False,
        )
        self.assertEqual(done.returncode, expect, done.stdout + done.stderr + _log(home))
        self.output = done.stdout
        return ET.fromstring(saved.read_bytes())

    def test_identify(self) -> None:
        root = self.wsl("wslid", "check")
        self.assertIsNotNone(root.find(f".//{{{WSMID}}}ProductVendor"))

    def test_a_job_is_shown_listed_and_started(self) -> None:
        url, source = self.source()
        job = self.client.create_job("by wsl", url, self.target())
        root = self.wsl("wslget", JOB, f"JobId={job}")
        self.assertEqual(root.findtext(f".//{{{JOB}}}DisplayName"), "by wsl")
        self.wsl("wslenum", JOB)
        self.assertIn(job, self.output)
        self.wsl("wslenum", JOB, "-mode", "epr")
        self.assertIn(job, self.output)
        self.wsl("wslenum", JOB, "-mode", "objepr", "-opti", "20")
        self.assertIn(job, self.output)
        # It asks for references and takes the first job: ours is the only one.
        root = self.wsl("wslinvoke", JOB, "SetJobState", "JobState=2")
        self.assertEqual(root.findtext(f".//{{{JOB}}}ReturnValue"), "0")
        self.client.wait_for(job, 6)
        self.wsl("wslinvoke", JOB, "SetJobState", "JobState=1")
        self.assert_same(self.target(), source.data)

    def test_filters_narrow_what_it_lists(self) -> None:
        url, _ = self.source()
        jobs = [self.client.create_job(name, url, self.target(name)) for name in ("narrow", "wide")]
        self.wsl("wslenum", JOB, "-dialect", SELECTOR_FILTER, "-filter", "DisplayName=narrow")
        self.assertIn(jobs[0], self.output)
        self.assertNotIn(jobs[1], self.output)
        query = "SELECT * FROM BitsClientJob WHERE DisplayName='wide'"
        self.wsl("wslenum", JOB, "-dialect", WQL, "-filter", query)
        self.assertIn(jobs[1], self.output)
        self.assertNotIn(jobs[0], self.output)

    def test_a_filter_that_is_wrong_is_a_fault_that_it_shows(self) -> None:
        query = "SELECT * FROM BitsClientJob WHERE Colour='red'"
        self.wsl("wslenum", JOB, "-dialect", WQL, "-filter", query, expect=1)
        self.assertIn("CannotProcessFilter", self.output)


def _log(home: Path) -> str:
    path = home / "log.txt"
    return path.read_text(errors="replace") if path.exists() else ""
