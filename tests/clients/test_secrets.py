"""Secrets go in, and never come out."""

from __future__ import annotations

import base64

from clients.base import WithDaemon
from harness.origin import Fault as OriginFault
from harness.wsman import ERROR, JOB, TRANSFERRED, X, Fault, envelope

PASSWORD = "Swordfish-0815-never-shown"
TOKEN = "query-token-4711-never-shown"


class Secrets(WithDaemon):
    """Passwords, userinfo and queries in answers, files and the log."""

    def forms(self, secret: str) -> list[bytes]:
        plain = secret.encode()
        return [plain, base64.b64encode(plain), secret.encode("utf-16-le"), plain.hex().encode()]

    def assert_nowhere(self, *secrets: str) -> None:
        files = [path for path in self.daemon.state.rglob("*") if path.is_file()] + [self.daemon.log]
        self.assertTrue(files)
        for path in files:
            octets = path.read_bytes()
            for secret in secrets:
                for form in self.forms(secret):
                    self.assertNotIn(form, octets, path)

    def test_credentials_of_a_job_are_neither_shown_nor_kept_in_clear(self) -> None:
        url, source = self.source(basic=("ann", PASSWORD))
        job = self.client.create_job(self.name, url, self.target())
        given = {"Target": 0, "Scheme": 0, "UserName": "ann", "Password": PASSWORD}
        self.client.invoke("SetCredentials", given, job)
        answers = [self.client.post(_get(job).encode()).body]
        self.daemon.restart()
        self.client.set_state(job, 2)
        self.client.wait_for(job, TRANSFERRED)
        answers.append(self.client.post(_get(job).encode()).body)
        self.client.set_state(job, 1)
        self.assert_same(self.target(), source.data)
        for answer in answers:
            self.assertNotIn(PASSWORD.encode(), answer)
        self.assert_nowhere(PASSWORD)

    def test_userinfo_of_an_address_becomes_credentials_and_is_not_shown(self) -> None:
        url, source = self.source(basic=("ann", PASSWORD))
        with_user = url.replace("http://", f"http://ann:{PASSWORD}@")
        job = self.client.create_job(self.name, with_user, self.target(), suspended=False)
        self.client.wait_for(job, TRANSFERRED)
        self.assertNotIn(PASSWORD.encode(), self.client.post(_get(job).encode()).body)
        self.client.set_state(job, 1)
        self.assert_same(self.target(), source.data)
        self.assert_nowhere(PASSWORD)

    def test_queries_are_cut_from_errors_and_log(self) -> None:
        url, _ = self.source(always=OriginFault(403))
        job = self.client.create_job(self.name, f"{url}?sig={TOKEN}", self.target(), suspended=False)
        self.client.wait_for(job, ERROR)
        self.assertNotIn(TOKEN, str(self.client.error(job)))
        self.assertIn(f"sig={TOKEN}", [one.path for one in self.origin.requested(self.path())][0])
        self.assertNotIn(TOKEN.encode(), self.daemon.log.read_bytes())
        self.assertIn(TOKEN, str(self.client.get(job).files), "the owner sees what he wrote")

    def test_faults_repeat_no_password(self) -> None:
        url, _ = self.source()
        job = self.client.create_job(self.name, url, self.target())
        for scheme in ("Basic", "99", "4"):
            with self.assertRaises(Fault) as fault:
                given = {"Target": 0, "Scheme": scheme, "UserName": "ann", "Password": PASSWORD}
                self.client.invoke("SetCredentials", given, job)
            self.assertNotIn(PASSWORD, fault.exception.text)
        self.assert_nowhere(PASSWORD)

    def test_passwords_of_accounts_are_kept_as_argon2id(self) -> None:
        users = (self.daemon.state / "users").read_text()
        self.assertIn("$argon2id$", users)
        self.assert_nowhere(self.daemon.alice.password, self.daemon.admin.password)

    def test_files_of_the_service_are_closed_to_others(self) -> None:
        for path in [self.daemon.state, *self.daemon.state.rglob("*")]:
            if path.name != "certificate.pem" and path.name != "tls":
                self.assertEqual(path.stat().st_mode & 0o007, 0, path)

    def test_a_lost_key_is_a_refused_start(self) -> None:
        url, _ = self.source()
        job = self.client.create_job(self.name, url, self.target())
        given = {"Target": 0, "Scheme": 0, "UserName": "ann", "Password": PASSWORD}
        self.client.invoke("SetCredentials", given, job)
        self.daemon.stop()
        key = self.daemon.state / "secret.key"
        kept = key.read_bytes()
        try:
            for wrong in (None, bytes(32)):
                key.unlink(missing_ok=True)
                if wrong is not None:
                    key.write_bytes(wrong)
                    key.chmod(0o600)
                with self.assertRaises(Exception) as refused:
                    self.daemon.start()
                self.assertIn("ended with", str(refused.exception))
        finally:
            self.daemon.kill()
            key.unlink(missing_ok=True)
            key.write_bytes(kept)
            key.chmod(0o600)
            self.daemon.start()
        self.assertEqual(self.client.get(job).id, job)


def _get(job: str) -> str:
    return envelope(f"{X}/Get", "", {"JobId": job}, JOB)
