"""The network goes and comes back."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import unittest
from pathlib import Path

from harness.daemon import binary


class Network(unittest.TestCase):
    """`network_going`, in a namespace of its own."""

    def test_network(self) -> None:
        user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
        command = ["unshare", *user, "--net", sys.executable]
        command += ["-m", "unittest", "-v", "clients.network_going"]
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
        self.assertGreaterEqual(int(ran[1]), 4)
        self.assertNotIn("skipped", done.stdout)
