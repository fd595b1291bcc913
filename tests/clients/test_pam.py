"""Basic against the accounts of the host: PAM with a stack of the test's own."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
import unittest
from pathlib import Path
from typing import Any, ClassVar

from clients.base import WithDaemon
from harness.daemon import Daemon, Failed, Settings
from harness.wsman import IDENTIFY, Account, Fault

# The helper has the password on its standard input, as pam_exec gives it.
HELPER = """#!/bin/sh
read -r password
echo "$PAM_USER $PAM_RHOST $(id -u)" >> {asked}
grep -qxF "$PAM_USER:$password" {accounts}
"""

STACK = """
auth [success=done default=ignore] pam_exec.so quiet expose_authtok {helper}
auth requisite pam_deny.so
account requisite pam_listfile.so item=user sense=deny onerr=fail file={locked}
account required pam_permit.so
"""

PASSWORD = "pâss:word 1"


class Stacked:
    """A folder with a stack, its accounts and those that are locked."""

    def __init__(self, folder: Path, stack: str = STACK) -> None:
        self.services = folder / "pam.d"
        self.services.mkdir()
        self.accounts = folder / "accounts"
        self.locked = folder / "locked"
        self.asked_file = folder / "asked"
        helper = folder / "check"
        helper.write_text(HELPER.format(asked=self.asked_file, accounts=self.accounts))
        helper.chmod(0o755)
        names = ("alice", "bob", "mallory", "eve@EXAMPLE.TEST", "dora@EXAMPLE.TEST")
        self.accounts.write_text("".join(f"{name}:{PASSWORD}\n" for name in names))
        self.locked.write_text("bob\n")
        self.asked_file.touch(0o666)
        self.asked_file.chmod(0o666)
        (self.services / "bitsd").write_text(stack.format(helper=helper, locked=self.locked))

    @property
    def settings(self) -> dict[str, Any]:
        """Of section `access`."""
        return {"basic_accounts": "pam", "pam_directory": str(self.services)}

    def asked(self) -> list[str]:
        """Who the helper was asked for."""
        return self.asked_file.read_text().splitlines()


class Pam(WithDaemon):
    """curl and pypsrp, whom the host knows."""

    stacked: ClassVar[Stacked]
    place: ClassVar[Path]

    @classmethod
    def setUpClass(cls) -> None:
        cls.place = Path(tempfile.mkdtemp(prefix="bitsd-pam-"))
        cls.addClassCleanup(shutil.rmtree, cls.place, ignore_errors=True)
        cls.stacked = Stacked(cls.place)
        roles = [{"members": ["*@EXAMPLE.TEST"], "rights": ["read"]}]
        cls.settings: Settings = {"access": {**cls.stacked.settings, "roles": roles}}
        super().setUpClass()

    def status(self, name: str, password: str) -> int:
        """What curl is answered to an Identify."""
        body = self.folder / "identify.xml"
        body.write_text(IDENTIFY)
        command = ["curl", "-sS", "--cacert", str(self.daemon.certificate), "-u", f"{name}:{password}"]
        command += ["-o", str(self.folder / "answer"), "-w", "%{http_code}", "--data-binary", f"@{body}"]
        command += ["-H", "Content-Type: application/soap+xml;charset=UTF-8", self.daemon.endpoint]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
        return int(done.stdout)

    def test_curl_logs_on_as_whom_the_stack_knows(self) -> None:
        before = len(self.stacked.asked())
        self.assertEqual(self.status("alice", PASSWORD), 200)
        # Nobody else logs on so: it is not remembered.
        self.assertEqual(self.status("dora@EXAMPLE.TEST", PASSWORD), 200)
        asked = self.stacked.asked()[before:]
        self.assertIn(f"dora@EXAMPLE.TEST 127.0.0.1 {os.getuid()}", asked)
        for name, password in (("alice", "wrong"), ("nobody-of-that-name", PASSWORD), ("alice", "")):
            with self.subTest(name, password=password):
                self.assertEqual(self.status(name, password), 401)

    def test_an_account_that_may_not_be_used_is_refused_though_its_password_is_right(self) -> None:
        self.assertEqual(self.status("bob", PASSWORD), 401)

    def test_an_account_in_no_list_is_denied_and_not_refused(self) -> None:
        # A fault, AccessDenied: 401 would have the client ask for a password.
        self.assertEqual(self.status("mallory", PASSWORD), 500)

    def test_accounts_of_the_user_file_are_no_accounts_here(self) -> None:
        # The harness has made one with another password.
        self.assertEqual(self.status("alice", self.daemon.alice.password), 401)

    def test_pypsrp_makes_a_job_that_is_the_accounts(self) -> None:
        alice = self.daemon.client(Account("alice", PASSWORD))
        self.addCleanup(alice.close)
        url, _ = self.source()
        job = alice.create_job("hers", url, self.target())
        self.assertEqual(alice.get(job).values["Owner"], "alice")
        wsman = self.pypsrp(Account("alice", PASSWORD))
        wsman.update_max_payload_size()

    def test_a_name_of_a_realm_has_the_rights_of_its_role(self) -> None:
        eve = self.daemon.client(Account("eve@EXAMPLE.TEST", PASSWORD))
        self.addCleanup(eve.close)
        self.assertEqual(list(eve.jobs()), [])
        url, _ = self.source()
        with self.assertRaises(Fault) as fault:
            eve.create_job("hers", url, self.target())
        self.assertEqual(fault.exception.subcode, "AccessDenied")

    def test_a_locked_account_is_out_within_the_time_that_is_remembered(self) -> None:
        self.assertEqual(self.status("alice", PASSWORD), 200)
        self.stacked.locked.write_text("bob\nalice\n")
        try:
            began = time.monotonic()
            while self.status("alice", PASSWORD) == 200:
                self.assertLess(time.monotonic() - began, 20)
                time.sleep(0.5)
        finally:
            self.stacked.locked.write_text("bob\n")
        self.assertEqual(self.status("alice", PASSWORD), 200)

    def test_no_log_has_a_password(self) -> None:
        self.status("alice", "a-wrong-secret")
        log = self.daemon.log.read_text()
        self.assertIn("Log-on refused", log)
        for secret in (PASSWORD, "a-wrong-secret"):
            self.assertNotIn(secret, log)


class PamStart(unittest.TestCase):
    """Starts with stacks of other kinds."""

    def setUp(self) -> None:
        self.place = Path(tempfile.mkdtemp(prefix="bitsd-pam-"))
        self.addCleanup(shutil.rmtree, self.place, ignore_errors=True)

    def daemon(self, **access: Any) -> Daemon:
        folder = self.place / "installation"
        folder.mkdir(mode=0o755)
        daemon = Daemon(folder, {"access": access})
        self.addCleanup(daemon.kill)
        return daemon

    def test_a_start_without_the_service_is_refused(self) -> None:
        (self.place / "pam.d").mkdir()
        daemon = self.daemon(basic_accounts="pam", pam_directory=str(self.place / "pam.d"))
        with self.assertRaises(Failed):
            daemon.start()
        self.assertIn("access.pam_service", daemon.tail())

    def test_a_stack_that_cannot_tell_is_answered_503(self) -> None:
        stacked = Stacked(self.place, "auth required pam_of_nobody.so\naccount required pam_permit.so\n")
        daemon = self.daemon(**stacked.settings)
        daemon.start()
        client = daemon.client(Account("alice", PASSWORD))
        self.addCleanup(client.close)
        self.assertEqual(client.post(IDENTIFY.encode()).status, 503)

    @unittest.skipUnless(os.getuid() == 0, "only root can become somebody else")
    def test_a_service_without_rights_checks_other_accounts(self) -> None:
        stacked = Stacked(self.place)
        daemon = self.daemon(**stacked.settings)
        self.place.chmod(0o755)
        nobody = 65_534
        program = shutil.copy(daemon.program, self.place / "bitsd")
        daemon.program = Path(program)
        for path in [self.place, *self.place.rglob("*")]:
            os.chown(path, nobody, nobody)
        daemon.start(["setpriv", f"--reuid={nobody}", f"--regid={nobody}", "--clear-groups", "--no-new-privs"])
        client = daemon.client(Account("alice", PASSWORD))
        self.addCleanup(client.close)
        self.assertEqual(client.post(IDENTIFY.encode()).status, 200)
        self.assertEqual(stacked.asked(), [f"alice 127.0.0.1 {nobody}"])
        wrong = daemon.client(Account("alice", "wrong"))
        self.addCleanup(wrong.close)
        self.assertEqual(wrong.post(IDENTIFY.encode()).status, 401)
        self.assertEqual(daemon.stop().status, 0)
