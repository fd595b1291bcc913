"""The classes of our own, by pypsrp and by the command line."""

from __future__ import annotations

import hashlib
import json
import subprocess
import xml.etree.ElementTree as ET
from pathlib import Path

from clients.base import WithDaemon, selectors
from harness.daemon import binary
from harness.wsman import JOB, N, W, WQL, XSI
from pypsrp.exceptions import WSManFaultError

OWN = "http://schemas.microsoft.com/wbem/wsman/1/wmi/root/bitsd/"
BITSD_JOB, BITSD_FILE = OWN + "BitsdJob", OWN + "BitsdFile"
SECRET = "hush-4711"


def method_input(method: str, values: dict[str, object], uri: str = BITSD_JOB) -> ET.Element:
    """The body of a method call: a list is an array, a dictionary an embedded instance."""
    root = ET.Element(f"{{{uri}}}{method}_INPUT")
    for name, value in values.items():
        for one in value if isinstance(value, list) else [value]:
            element = ET.SubElement(root, f"{{{uri}}}{name}")
            if isinstance(one, dict):
                for inner, text in one.items():
                    ET.SubElement(element, f"{{{uri}}}{inner}").text = str(text)
            else:
                element.text = str(one)
    return root


class OwnClasses(WithDaemon):
    """Put, Invoke with arrays of embedded instances, listings of files."""

    def setUp(self) -> None:
        super().setUp()
        self.wsman = self.pypsrp()

    def invoke(self, method: str, values: dict[str, object], uri: str = BITSD_JOB, **keys: str) -> ET.Element:
        chosen = selectors(**keys) if keys else None
        return self.wsman.invoke(f"{uri}/{method}", uri, method_input(method, values, uri), selector_set=chosen)

    def create(self, **more: object) -> str:
        url, self.served = self.source()
        given = {"DisplayName": self.name, "RemoteUrl": url, "LocalFile": self.target(), "Suspend": "true"}
        answer = self.invoke("CreateJob", {**given, **more})
        job = answer.findtext(f".//{{{BITSD_JOB}}}JobId")
        assert job
        return job

    def get(self, job: str, wsman: object = None) -> ET.Element:
        return (wsman or self.wsman).get(BITSD_JOB, selector_set=selectors(JobId=job))[0]

    def files(self, job: str, where: str = "") -> list[ET.Element]:
        """The files of a job, by as many Pulls as it takes."""
        everything = OWN + "*"
        body = ET.Element(f"{{{N}}}Enumerate")
        ET.SubElement(body, f"{{{W}}}OptimizeEnumeration")
        ET.SubElement(body, f"{{{W}}}MaxElements").text = "200"
        condition = ET.SubElement(body, f"{{{W}}}Filter", Dialect=WQL)
        condition.text = f"SELECT * FROM BitsdFile WHERE JobId = '{job}' {where}"
        answer = self.wsman.enumerate(everything, body)[0]
        found = list(answer.find(f"{{{W}}}Items") or ())
        context = answer.findtext(f"{{{N}}}EnumerationContext")
        while context:
            pull = ET.Element(f"{{{N}}}Pull")
            ET.SubElement(pull, f"{{{N}}}EnumerationContext").text = context
            ET.SubElement(pull, f"{{{N}}}MaxElements").text = "200"
            answer = self.wsman.pull(everything, pull)[0]
            found += list(answer.find(f"{{{N}}}Items") or ())
            context = answer.findtext(f"{{{N}}}EnumerationContext")
        return found

    def job_command(self, *words: str, expect: int = 0) -> str:
        command = [str(binary()), "job", *words, "--host", f"127.0.0.1:{self.daemon.port}"]
        command += ["--user", self.daemon.alice.name, "--ca", str(self.daemon.certificate)]
        command += ["--password-file", str(self.daemon.password_file(self.daemon.alice))]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=90, check=False)
        self.assertEqual(done.returncode, expect, f"{words}: {done.stdout}{done.stderr}")
        return done.stdout

    def test_properties_are_put_and_shown(self) -> None:
        job = self.create(Labels=["site=a", "nightly"], MaxDownloadSize=10_000_000)
        body = ET.Element(f"{{{BITSD_JOB}}}BitsdJob")
        for name, text in [("SecurityFlags", "4"), ("Labels", "one"), ("Labels", "two"), ("RequireRanges", "TRUE")]:
            ET.SubElement(body, f"{{{BITSD_JOB}}}{name}").text = text
        changed = self.wsman.put(BITSD_JOB, body, selector_set=selectors(JobId=job))[0]
        self.assertEqual([one.text for one in changed.findall(f"{{{BITSD_JOB}}}Labels")], ["one", "two"])
        self.assertEqual(changed.findtext(f"{{{BITSD_JOB}}}SecurityFlags"), "4")
        self.assertEqual(changed.findtext(f"{{{BITSD_JOB}}}RequireRanges"), "true")
        # What a Get gave goes back as it is.
        again = self.wsman.put(BITSD_JOB, self.get(job), selector_set=selectors(JobId=job))[0]
        self.assertEqual(again.findtext(f"{{{BITSD_JOB}}}MaxDownloadSize"), "10000000")
        with self.assertRaises(WSManFaultError):
            ET.SubElement(body, f"{{{BITSD_JOB}}}MaxDownloadSize").text = "0"
            self.wsman.put(BITSD_JOB, body, selector_set=selectors(JobId=job))
        same = self.wsman.get(JOB, selector_set=selectors(JobId=job))[0]
        self.assertIsNone(same.find(f"{{{JOB}}}Labels"), "Microsoft's class is as it was")

    def test_thousands_of_files_come_in_one_call_and_are_listed_by_pages(self) -> None:
        job = self.create()
        folder = self.target().parent
        files = [{"RemoteUrl": f"http://origin.test/{n}", "LocalFile": folder / f"many-{n}"} for n in range(1_000)]
        for start in range(0, 1_000, 500):
            self.invoke("AddFileSet", {"Files": files[start : start + 500]}, JobId=job)
        with self.assertRaises(WSManFaultError):
            self.invoke("AddFileSet", {"Files": [{**files[0], "LocalFile": folder / "x"}, files[1]]}, JobId=job)
        found = self.files(job)
        self.assertEqual([int(one.findtext(f"{{{BITSD_FILE}}}Index") or -1) for one in found], list(range(1_001)))
        self.assertEqual(len(self.files(job, "AND Index >= 990")), 11)
        self.assertEqual(self.get(job).findtext(f"{{{BITSD_JOB}}}FilesTotal"), "1001")
        listed = json.loads(self.job_command("files", job, "--first", "999", "--json"))
        self.assertEqual([one["Index"] for one in listed], [998, 999, 1_000])

    def test_one_file_has_an_address_of_its_own(self) -> None:
        job = self.create(ExpectedSha256="0a" * 32)
        key = {"JobId": job, "Index": "0"}
        file = self.wsman.get(BITSD_FILE, selector_set=selectors(**key))[0]
        self.assertEqual(file.findtext(f"{{{BITSD_FILE}}}ExpectedSha256"), "0a" * 32)
        nil = file.find(f"{{{BITSD_FILE}}}Ranges")
        assert nil is not None
        self.assertEqual(nil.get(f"{{{XSI}}}nil"), "true")
        self.invoke("SetRemoteName", {"RemoteUrl": "http://other.test/f"}, BITSD_FILE, **key)
        file = self.wsman.get(BITSD_FILE, selector_set=selectors(**key))[0]
        self.assertEqual(file.findtext(f"{{{BITSD_FILE}}}RemoteUrl"), "http://other.test/f")
        answer = self.invoke("ReplaceRemotePrefix", {"OldPrefix": "http://other", "NewPrefix": "https://o"}, JobId=job)
        self.assertEqual(answer.findtext(f".//{{{BITSD_JOB}}}FilesChanged"), "1")

    def test_custom_headers_are_shown_to_nobody_else(self) -> None:
        job = self.create(CustomHeaders=f"X-Token: {SECRET}")
        self.assertIn(SECRET, self.get(job).findtext(f"{{{BITSD_JOB}}}CustomHeaders") or "")
        administrator = self.pypsrp(self.daemon.admin)
        for instance in (self.get(job, administrator), administrator.get(JOB, selector_set=selectors(JobId=job))[0]):
            self.assertNotIn(SECRET, ET.tostring(instance, encoding="unicode"))
        self.invoke("MakeCustomHeadersWriteOnly", {}, JobId=job)
        self.assertNotIn(SECRET, ET.tostring(self.get(job), encoding="unicode"))
        for path in [path for path in self.folder.rglob("*") if path.is_file()]:
            self.assertNotIn(SECRET.encode(), path.read_bytes(), path)
        self.assertNotIn(SECRET, self.daemon.tail())

    def test_an_administrator_takes_a_job(self) -> None:
        job = self.create(CustomHeaders=f"X-Token: {SECRET}")
        with self.assertRaises(WSManFaultError):
            self.invoke("TakeOwnership", {}, JobId=job)
        administrator = self.pypsrp(self.daemon.admin)
        administrator.invoke(
            f"{BITSD_JOB}/TakeOwnership", BITSD_JOB, method_input("TakeOwnership", {}), selector_set=selectors(JobId=job)
        )
        owner = self.get(job, administrator).findtext(f"{{{BITSD_JOB}}}Owner")
        self.assertEqual(owner, self.daemon.admin.name)
        with self.assertRaises(WSManFaultError):
            self.get(job)

    def test_the_command_line_sets_and_shows_it_all(self) -> None:
        url, served = self.source()
        second, _ = self.source("second")
        hashed = hashlib.sha256(served.data).hexdigest()
        listing = Path(self.folder) / f"{self.name}.list"
        listing.write_text(f"# two\n{url}\t{self.target()}\t{hashed}\n{second} {self.target('second')}\n")
        words = ["create", self.name, "--from", str(listing), "--label", "site=a", "--header", f"X: {SECRET}"]
        words += ["--headers-write-only", "--max-size", "10000000", "--start-after", "1h", "--json"]
        job = json.loads(self.job_command(*words))["JobId"]
        shown = self.job_command("show", job)
        self.assertIn("LABELS: site=a", shown)
        self.assertIn("STANDING: waiting: starts in", shown)
        self.assertNotIn(SECRET, shown)
        self.job_command("suspend", job)
        self.job_command("set", job, "--label", "b", "--security-flags", "0")
        shown = json.loads(self.job_command("show", job, "--json"))
        self.assertEqual((shown["Labels"], shown["WaitingFor"], shown["MaxDownloadSize"]), (["b"], "client", 10_000_000))
        more = Path(self.folder) / f"{self.name}.more"
        more.write_text("".join(f"http://origin.test/{n} {self.target(f'more-{n}')}\n" for n in range(3_000)))
        self.job_command("add", job, "--from", str(more))
        self.assertEqual(self.client.get(job).number("FilesTotal"), 3_002)
        self.assertIn("3000 URL(s)", self.job_command("replace-prefix", job, "http://origin.test/", "http://new.test/"))
        self.job_command("reply", job, expect=1)
        self.job_command("take", job, expect=1)
