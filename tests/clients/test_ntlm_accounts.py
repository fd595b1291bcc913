"""`bitsd user add --ntlm`: what it keeps, under which key, and what takes it away."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

from harness.daemon import Daemon, Failed


class NtlmAccounts(unittest.TestCase):
    """The command beside a service that may not have been started yet."""

    def setUp(self) -> None:
        folder = Path(tempfile.mkdtemp(prefix="bitsd-test-"))
        self.addCleanup(shutil.rmtree, folder, ignore_errors=True)
        self.daemon = Daemon(folder)
        self.addCleanup(self.daemon.kill)
        self.key = self.daemon.state / "secret.key"

    def user(self, *words: str, expect: int = 0, **environment: str) -> str:
        command = [str(self.daemon.program), "user", *words, "--config", str(self.daemon.config)]
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=60, check=False, env={**os.environ, **environment}
        )
        self.assertEqual(done.returncode, expect, f"{words}: {done.stdout}{done.stderr}")
        return done.stdout + done.stderr

    def add(self, *words: str, expect: int = 0, **environment: str) -> str:
        password = str(self.daemon.password_file(self.daemon.alice))
        return self.user("add", "alice", "--password-file", password, *words, expect=expect, **environment)

    def line(self) -> str:
        lines = (self.daemon.state / "users").read_text().splitlines()
        (line,) = (line for line in lines if line.startswith("alice:"))
        return line

    def test_the_key_is_made_as_the_start_would_and_the_start_takes_it(self) -> None:
        self.assertFalse(self.key.exists())
        self.add("--ntlm")
        made = self.key.stat()
        self.assertEqual((made.st_mode & 0o777, made.st_size), (0o600, 32))
        self.assertEqual(made.st_uid, self.daemon.state.stat().st_uid)
        self.assertEqual(self.line().count(":"), 2)
        self.daemon.start()
        self.assertNotIn("cannot be decrypted", self.daemon.tail())
        self.daemon.stop()

    def test_a_new_password_without_the_option_takes_the_hash_away(self) -> None:
        self.add("--ntlm")
        self.assertEqual(self.user("list"), "admin\nalice\nbob\n")
        self.assertIn("alice\tBasic, NTLM\nbob\tBasic\n", self.user("list", "--long"))
        self.assertIn("cannot log on by NTLM any more", self.add())
        self.assertEqual(self.line().count(":"), 1)
        self.assertNotIn("NTLM", self.add())
        self.assertNotIn("NTLM", self.user("list", "--long"))

    def test_a_lost_key_is_not_replaced(self) -> None:
        self.add("--ntlm")
        self.key.unlink()
        self.assertIn("secret.key", self.add("--ntlm", expect=1))
        with self.assertRaisesRegex(Failed, "secret.key"):
            self.daemon.start()
        self.add()
        self.add("--ntlm")
        self.assertTrue(self.key.exists())

    def test_a_credential_of_systemd_is_the_key(self) -> None:
        folder = self.daemon.folder / "credentials"
        folder.mkdir()
        (folder / "bitsd.key").write_bytes(bytes(range(32)))
        (folder / "bitsd.key").chmod(0o400)
        self.add("--ntlm", CREDENTIALS_DIRECTORY=str(folder))
        self.assertFalse(self.key.exists())
        self.user("add", "bob", "--password-file", str(self.daemon.password_file(self.daemon.bob)))
        (folder / "bitsd.key").chmod(0o600)
        (folder / "bitsd.key").write_bytes(bytes(32))
        self.user("remove", "admin")
        password = str(self.daemon.password_file(self.daemon.bob))
        words = ("add", "bob", "--ntlm", "--password-file", password)
        said = self.user(*words, expect=1, CREDENTIALS_DIRECTORY=str(folder))
        self.assertIn("the NT hash of alice cannot be decrypted", said)
