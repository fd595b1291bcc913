"""`bitsd job` and `bitsd demo`, as a person types them."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import tempfile
from pathlib import Path

from clients.base import WithDaemon
from harness.daemon import binary


class CommandLine(WithDaemon):
    """Every verb, against the running service."""

    def job(self, *words: str, expect: int = 0, trust: list[str] | None = None) -> str:
        command = [str(binary()), "job", *words, "--host", f"127.0.0.1:{self.daemon.port}"]
        command += ["--user", self.daemon.alice.name]
        command += ["--password-file", str(self.daemon.password_file(self.daemon.alice))]
        command += trust if trust is not None else ["--ca", str(self.daemon.certificate)]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=90, check=False)
        if expect == 0:
            self.assertEqual(done.returncode, 0, f"{words}: {done.stdout}{done.stderr}")
        else:
            self.assertNotEqual(done.returncode, 0, f"{words}: {done.stdout}")
        self.assertNotIn(self.daemon.alice.password, done.stdout + done.stderr)
        self.errors = done.stderr
        return done.stdout

    def create(self, name: str = "file") -> str:
        url, self.served = self.source(name)
        out = self.job("create", "by hand", url, str(self.target(name)), "--suspended", "--json")
        found = re.search(r"\{?[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}\}?", out)
        assert found, out
        return found[0]

    def test_a_job_from_create_to_complete(self) -> None:
        job = self.create()
        url, second = self.source("second")
        self.job("add", job, url, str(self.target("second")))
        self.job("set", job, "--priority", "foreground", "--description", "two files")
        seen = self.client.get(job)
        self.assertEqual((seen.number("Priority"), seen.values["Description"]), (0, "two files"))
        self.assertIn(job.strip("{}").lower(), self.job("list").lower())
        self.assertIn(url, self.job("files", job))
        self.job("resume", job)
        self.job("watch", job)
        shown = json.loads(self.job("show", job, "--json"))
        self.assertIn("by hand", json.dumps(shown))
        self.job("complete", job)
        self.assert_same(self.target("file"), self.served.data)
        self.assert_same(self.target("second"), second.data)
        self.job("show", job, expect=1)
        self.assertTrue(self.errors.strip())

    def test_suspend_and_cancel(self) -> None:
        job = self.create()
        self.job("resume", job)
        self.client.wait_for(job, 6)
        self.job("cancel", job)
        self.job("show", job, expect=1)
        held, source = self.source("held", size=2_000_000, hold_at=200_000)
        job = self.client.create_job("held", held, self.target("held"), suspended=False)
        self.client.wait_for(job, lambda seen: seen.number("BytesTransferred") > 0)
        self.job("suspend", job)
        self.assertEqual(self.client.get(job).state, 3)
        source.gate.set()

    def test_an_error_is_said_in_words(self) -> None:
        job = self.client.create_job("gone", self.origin.url("/no/such"), self.target(), suspended=False)
        self.client.wait_for(job, 4)
        out = self.job("error", job)
        self.assertIn("404", out)
        self.assertIn("80190194", out.upper())
        self.job("watch", job, expect=1)

    def test_a_listing_is_narrowed_by_a_condition(self) -> None:
        job = self.create()
        found = json.loads(self.job("list", "--json", "--where", f"State = 3 AND JobId = '{job}'"))
        self.assertEqual([one["JobId"] for one in found], [job])
        self.assertEqual(json.loads(self.job("list", "--json", "--where", "State = 8")), [])
        self.job("list", "--where", "Colour = 'red'", expect=1)
        self.assertIn("Colour", self.errors)

    def test_listing_as_json_is_one_document(self) -> None:
        job = self.create()
        listed = json.loads(self.job("list", "--json"))
        self.assertIn(job.strip("{}").lower(), json.dumps(listed).lower())

    def test_a_pinned_certificate_is_trusted_and_another_is_not(self) -> None:
        fingerprint = hashlib.sha256(_der(self.daemon.certificate)).hexdigest()
        self.job("list", trust=["--pin", fingerprint])
        self.job("list", trust=["--pin", "00" * 32], expect=1)
        self.job("list", trust=[], expect=1)

    def test_demo_runs_the_walk_through_and_ends(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            done = subprocess.run(
                [str(binary()), "demo", "--exit", "--size", "16"], cwd=folder, stdin=subprocess.DEVNULL,
                capture_output=True, text=True, timeout=120, check=False, env={**os.environ, "TMPDIR": folder},
            )
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
            for word in ("CreateJob", "AddFile", "Put", "SetJobState", "Get", "SHA-256"):
                self.assertIn(word.lower(), done.stdout.lower())
            for word in ("Invoke-WSManAction", "curl", "bitsd job"):
                self.assertIn(word, done.stdout)
            self.assertEqual([str(left) for left in Path(folder).rglob("*.tmp")], [])


def _der(certificate: Path) -> bytes:
    command = ["openssl", "x509", "-in", str(certificate), "-outform", "DER"]
    return subprocess.run(command, capture_output=True, check=True, timeout=10).stdout
