"""Uploads and downloads of every priority, killed again and again.

Uploads go on in the session that the server has; what was cancelled is cancelled
there too; a job that was transferred stays so.
"""

from __future__ import annotations

import random
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from harness.checks import Checks
from harness.daemon import Daemon
from harness.origin import content
from harness.scripted import Case, ScriptedOrigin
from harness.wsman import CANCEL, COMPLETE, ERROR, RESUME, TRANSFERRED, TRANSIENT_ERROR, Client, Fault

MIB = 1024 * 1024
RATE = 60_000_000
# What lies between the last confirmed octet and the kill: a fragment at most.
ALLOWED_AGAIN = 14 * MIB
ENDS_WITHIN_S = 120.0


@dataclass
class Transfer:
    """A job and the server behind it."""

    case: Case
    url: str
    local: Path
    priority: int
    job: str = ""
    was_transferred: bool = False


def campaign(checks: Checks, seed: int, kills: int) -> None:
    """Runs it all, and says what held."""
    rng = random.Random(seed)
    with tempfile.TemporaryDirectory(prefix="bitsd-crash-") as name:
        folder = Path(name)
        files = folder / "files"
        settings = {
            "engine": {"running_jobs": 3},
            "files": {"read_roots": [str(files)]},
            "transfer": {"upload_fragment_octets": 4 * MIB},
        }
        origin = ScriptedOrigin()
        daemon = Daemon(folder, settings)
        try:
            Campaign(checks, daemon, origin, rng, kills).run()
        except Exception:
            print(daemon.tail())
            raise
        finally:
            daemon.kill()
            origin.close()


class Campaign:
    """One daemon, one server, many kills."""

    def __init__(self, checks: Checks, daemon: Daemon, origin: ScriptedOrigin, rng: random.Random, kills: int) -> None:
        self._checks = checks
        self._daemon = daemon
        self._origin = origin
        self._rng = rng
        self._kills = kills
        self._broken: list[str] = []

    def run(self) -> None:
        """Makes the jobs, kills the daemon, waits for the ends."""
        self._daemon.start()
        sizes = [48 * MIB + 5, 20 * MIB, 4 * MIB, 70_000, 1, 0]
        uploads = [self._plan(f"up{n}", "upload", size, n % 4) for n, size in enumerate(sizes)]
        downloads = [self._plan(f"down{n}", "download", 24 * MIB + n, n) for n in range(4)]
        doomed = self._plan("doomed", "upload", 200 * MIB, 0)
        client = self._daemon.client()
        for transfer in [*uploads, *downloads, doomed]:
            kind = {"upload": 1, "download": 0}[transfer.case.kind]
            transfer.job = client.create_job(transfer.case.key, transfer.url, transfer.local, Type=kind)
            client.put(transfer.job, {"Priority": transfer.priority, "MinimumRetryDelay": 5})
            client.set_state(transfer.job, RESUME)
        client.close()
        sessions: set[str] = set()
        for number in range(self._kills):
            time.sleep(self._rng.uniform(0.05, 0.7))
            self._daemon.kill()
            self._daemon.start()
            sessions |= {transfer.case.session or "" for transfer in uploads[:1]}
            if number == self._kills // 2:
                self._cancel(doomed)
            self._look([*uploads, *downloads])
        self._wait([*uploads, *downloads])
        self._judge(uploads, downloads, doomed, sessions)

    def _plan(self, key: str, kind: str, size: int, priority: int) -> Transfer:
        case = Case(key, kind, [], {1: content(key, size)}, rate=RATE)
        local = self._daemon.files / key
        if kind == "upload":
            local.write_bytes(case.versions[1])
        return Transfer(case, self._origin.add(case), local, priority)

    def _cancel(self, transfer: Transfer) -> None:
        client = self._daemon.client()
        client.set_state(transfer.job, CANCEL)
        client.close()

    def _look(self, transfers: list[Transfer]) -> None:
        """No job is lost, and none that was transferred falls back."""
        client = self._daemon.client()
        seen = {job.id: job for job in client.jobs(most=1_000)}
        for transfer in transfers:
            job = seen.get(transfer.job)
            if job is None:
                self._broken.append(f"{transfer.case.key} is gone")
                continue
            if transfer.was_transferred and job.state != TRANSFERRED:
                self._broken.append(f"{transfer.case.key} was transferred and is in {job.state}")
            transfer.was_transferred |= job.state == TRANSFERRED
            if job.state == TRANSIENT_ERROR:
                # A connection that the kill cut; do not wait for the retry.
                client.set_state(transfer.job, RESUME)
            if job.state == ERROR:
                self._broken.append(f"{transfer.case.key} failed: {client.error(transfer.job)}")
        client.close()

    def _wait(self, transfers: list[Transfer]) -> None:
        deadline = time.monotonic() + ENDS_WITHIN_S
        while not all(transfer.was_transferred for transfer in transfers):
            if time.monotonic() > deadline or self._broken:
                late = [transfer.case.key for transfer in transfers if not transfer.was_transferred]
                self._broken.append(f"not transferred: {late}")
                return
            self._look(transfers)
            time.sleep(0.2)

    def _judge(
        self, uploads: list[Transfer], downloads: list[Transfer], doomed: Transfer, sessions: set[str]
    ) -> None:
        client = self._daemon.client()
        for transfer in [*uploads, *downloads]:
            if transfer.was_transferred:
                client.set_state(transfer.job, COMPLETE)
        wrong = [one.case.key for one in uploads if one.case.uploaded != one.case.versions[1]]
        wrong += [one.case.key for one in downloads if not _is_whole(one)]
        left = self._left(client)
        client.close()
        that = self._checks.that
        that(not self._broken, f"uploads: {self._kills} kills, no job is lost or falls back", self._broken[:5])
        that(not wrong, "uploads: every file arrived whole", wrong)
        sent = sum(one.case.octets for one in uploads)
        size = sum(len(one.case.versions[1]) for one in uploads)
        most = size + self._kills * ALLOWED_AGAIN
        that(sent <= most, f"uploads: {sent / MIB:.0f} MiB sent for {size / MIB:.0f}, {most / MIB:.0f} allowed", sent)
        that(len(sessions - {""}) == 1, "uploads: the large one stayed in its session", sessions)
        cancelled = "cancel-session" in doomed.case.packets and doomed.case.uploaded is None
        that(cancelled, "uploads: the cancelled one is cancelled at the server", doomed.case.packets[-3:])
        that(not left, "uploads: no job and no temporary file is left", left)

    def _left(self, client: Client) -> list[str]:
        deadline = time.monotonic() + 10
        while True:
            try:
                left = [str(job.values["DisplayName"]) for job in client.jobs()]
            except Fault as fault:
                left = [str(fault)]
            left += [str(path) for path in self._daemon.temporary_files()]
            if not left or time.monotonic() > deadline:
                return left
            time.sleep(0.2)


def _is_whole(transfer: Transfer) -> bool:
    return transfer.local.is_file() and transfer.local.read_bytes() == transfer.case.versions[1]
