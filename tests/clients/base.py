"""A daemon and an origin for the tests of one class."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path
from typing import ClassVar

from harness.daemon import Daemon, Settings, binary
from harness.origin import Origin, Source, content
from harness.wsman import Account, Client
from pypsrp.wsman import SelectorSet, WSMan

SMALL = 300_000


def selectors(**values: str) -> SelectorSet:
    """pypsrp's SelectorSet of these."""
    chosen = SelectorSet()
    for name, value in values.items():
        chosen.add_option(name, value)
    return chosen


class WithDaemon(unittest.TestCase):
    """Starts both before the first test of the class, stops both after the last."""

    settings: ClassVar[Settings] = {}
    environment: ClassVar[dict[str, str]] = {}
    folder: ClassVar[Path]
    origin: ClassVar[Origin]
    daemon: ClassVar[Daemon]

    @classmethod
    def setUpClass(cls) -> None:
        cls.folder = Path(tempfile.mkdtemp(prefix="bitsd-test-"))
        cls.addClassCleanup(shutil.rmtree, cls.folder, ignore_errors=True)
        cls.origin = Origin()
        cls.addClassCleanup(cls.origin.close)
        cls.daemon = Daemon(cls.folder, cls.settings, environment=cls.environment)
        cls.addClassCleanup(cls.daemon.kill)
        cls.daemon.start()

    @classmethod
    def tearDownClass(cls) -> None:
        stopped = cls.daemon.stop()
        assert stopped.status == 0, f"ended with {stopped.status}: {cls.daemon.tail()}"

    def setUp(self) -> None:
        self.client: Client = self.daemon.client()
        self.addCleanup(self.client.close)
        # Unique for each test: paths, jobs and destinations never meet.
        self.name = self.id().rsplit(".", 1)[-1]

    def pypsrp(self, account: Account | None = None, **more: object) -> WSMan:
        """pypsrp over TLS with Basic."""
        account = account or self.daemon.alice
        wsman = WSMan(
            "localhost",
            port=self.daemon.port,
            ssl=True,
            auth="basic",
            username=account.name,
            password=account.password,
            cert_validation=str(self.daemon.certificate),
            **more,
        )
        self.addCleanup(wsman.close)
        return wsman

    def source(self, name: str = "file", size: int = SMALL, **more: object) -> tuple[str, Source]:
        """A source of this test; its address."""
        source = Source(content(f"{self.id()}/{name}", size), etag=f'"{name}-1"')
        for key, value in more.items():
            assert hasattr(source, key), key
            setattr(source, key, value)
        return self.origin.add(self.path(name), source), source

    def path(self, name: str = "file") -> str:
        """Where the origin serves it."""
        return f"/{type(self).__name__}/{self.name}/{name}"

    def target(self, name: str = "file") -> Path:
        """Where it is to land."""
        return self.daemon.files / type(self).__name__ / self.name / name

    def assert_same(self, path: Path, data: bytes) -> None:
        """The file is there, whole and right."""
        self.assertTrue(path.is_file(), f"{path} is not there")
        found = path.read_bytes()
        self.assertEqual(len(found), len(data))
        self.assertEqual(hashlib.sha256(found).digest(), hashlib.sha256(data).digest())

    def assert_no_temporary_files(self) -> None:
        """Nothing is left of this test's transfers."""
        left = [path for path in self.daemon.temporary_files() if self.name in str(path)]
        self.assertEqual(left, [])


class InNamespace(unittest.TestCase):
    """Runs the tests of another module in a network namespace of their own."""

    def run_there(self, module: str, at_least: int) -> None:
        """All of `clients.<module>`: none may fail or be skipped."""
        user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
        command = ["unshare", *user, "--net", sys.executable, "-m", "unittest", "-v", f"clients.{module}"]
        done = subprocess.run(
            command,
            cwd=Path(__file__).parent.parent,
            env={**os.environ, "BITSD": str(binary())},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=600,
            check=False,
        )
        print(done.stdout)
        self.assertEqual(done.returncode, 0, done.stdout)
        ran = re.search(r"^Ran (\d+) tests", done.stdout, re.MULTILINE)
        assert ran
        self.assertGreaterEqual(int(ran[1]), at_least)
        self.assertNotIn("skipped", done.stdout)
