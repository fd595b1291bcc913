"""How the service starts, refuses to start, and stops."""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
import unittest
from pathlib import Path

from clients.base import WithDaemon
from harness.daemon import Daemon, binary
from harness.wsman import IDENTIFY


class RefusedStarts(unittest.TestCase):
    """A precise message instead of a service that half works."""

    def setUp(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="bitsd-test-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.daemon = Daemon(self.folder)
        self.text = self.daemon.config.read_text()

    def refused(self, *words: str) -> None:
        done = subprocess.run(
            [str(binary()), "serve", "--config", str(self.daemon.config)],
            capture_output=True, text=True, timeout=30, check=False,
        )
        self.assertNotEqual(done.returncode, 0)
        said = done.stdout + done.stderr
        for word in words:
            self.assertIn(word, said)
        self.assertNotIn("panicked", said)

    def test_an_unknown_key(self) -> None:
        self.daemon.config.write_text(self.text + "\n[engine]\nrunning_trains = 3\n")
        self.refused("running_trains", str(self.daemon.config))

    def test_a_bad_value(self) -> None:
        self.daemon.config.write_text(self.text + '\n[engine]\nrunning_jobs = "many"\n')
        self.refused("running_jobs")

    def test_a_missing_configuration(self) -> None:
        self.daemon.config.unlink()
        self.refused(str(self.daemon.config))

    def test_a_port_that_is_taken(self) -> None:
        with socket.socket() as holder:
            holder.bind(("127.0.0.1", self.daemon.port))
            holder.listen()
            self.refused(str(self.daemon.port))

    def test_a_secret_that_others_can_read(self) -> None:
        self.daemon.start()
        self.daemon.stop()
        (self.daemon.state / "secret.key").chmod(0o644)
        self.refused("secret.key")

    def test_a_write_root_that_is_not_there(self) -> None:
        shutil.rmtree(self.daemon.files)
        self.refused(str(self.daemon.files))

    def test_a_second_service_on_one_state_folder(self) -> None:
        self.daemon.start()
        self.addCleanup(self.daemon.kill)
        text = self.text.replace(f":{self.daemon.port}", ":0")
        other = self.folder / "other.toml"
        other.write_text(text)
        done = subprocess.run(
            [str(binary()), "serve", "--config", str(other)], capture_output=True, timeout=30, check=False
        )
        self.assertNotEqual(done.returncode, 0)


class Users(unittest.TestCase):
    """`bitsd user`."""

    def test_accounts_are_added_listed_and_removed(self) -> None:
        folder = Path(tempfile.mkdtemp(prefix="bitsd-test-"))
        self.addCleanup(shutil.rmtree, folder, ignore_errors=True)
        daemon = Daemon(folder)

        def user(*words: str) -> subprocess.CompletedProcess[str]:
            command = [str(binary()), "user", *words, "--config", str(daemon.config)]
            return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

        listed = user("list")
        self.assertEqual(listed.returncode, 0, listed.stderr)
        for name in ("alice", "bob", "admin"):
            self.assertIn(name, listed.stdout)
        self.assertEqual(user("remove", "bob").returncode, 0)
        self.assertNotIn("bob", user("list").stdout)
        self.assertNotEqual(user("remove", "bob").returncode, 0)
        empty = folder / "empty"
        empty.write_text("")
        empty.chmod(0o600)
        self.assertNotEqual(user("add", "eve", "--password-file", str(empty)).returncode, 0)


class Stops(WithDaemon):
    """A clean stop."""

    def test_a_stop_is_quick_though_a_transfer_runs_and_a_client_is_connected(self) -> None:
        url, source = self.source(size=5_000_000, hold_at=1_000_000)
        job = self.client.create_job("held", url, self.target(), suspended=False)
        self.client.wait_for(job, lambda seen: seen.number("BytesTransferred") > 500_000)
        stopped = self.daemon.stop()
        self.assertEqual(stopped.status, 0)
        self.assertLess(stopped.seconds, 15)
        source.gate.set()
        self.daemon.start()
        self.client.wait_for(job, 6)
        self.client.set_state(job, 1)
        self.assert_same(self.target(), source.data)

    def test_the_certificate_is_made_once_and_kept(self) -> None:
        before = self.daemon.certificate.read_bytes()
        self.daemon.restart()
        self.assertEqual(self.daemon.certificate.read_bytes(), before)
        self.assertEqual(self.client.post(IDENTIFY.encode()).status, 200)
        text = subprocess.run(
            ["openssl", "x509", "-in", str(self.daemon.certificate), "-noout", "-ext", "subjectAltName"],
            capture_output=True, text=True, check=True, timeout=10,
        ).stdout
        self.assertIn("localhost", text)
        self.assertIn("127.0.0.1", text)
