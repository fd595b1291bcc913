"""The crash test: `python -m crash [--seed N] [--kills N] [--changed-kills N]`.

Rounds of jobs (large and small files, several hundred MiB) run against an
origin of 100 MB/s a connection. The daemon is killed by SIGKILL at random
moments: while jobs are built, while they run, in the middle of Complete and
of Cancel. After each kill and each restart the promises are checked. The
second campaign changes sources between kills; the third uploads, the fourth has a
disk that is too small.
"""

from __future__ import annotations

import argparse
import http.client
import random
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from crash import full_disk, uploads
from harness.checks import Checks
from harness.daemon import Daemon, Failed
from harness.origin import Origin, Source, content
from harness.wsman import (
    CANCEL,
    COMPLETE,
    ERROR,
    RESUME,
    SUSPENDED,
    TRANSFERRED,
    TRANSIENT_ERROR,
    Client,
    Fault,
)

MIB = 1024 * 1024
RATE = 100_000_000
ALLOWED_AGAIN = 8 * MIB
ROUND_WITHIN_S = 120.0


@dataclass
class Planned:
    """A job that we build, and how far we have got."""

    name: str
    files: list[tuple[str, Path]]
    fate: int
    id: str | None = None
    acknowledged_files: int = 0
    asked_to_end: bool = False
    ended: bool = False


@dataclass
class Campaign:
    """One daemon, one origin, many kills."""

    checks: Checks
    daemon: Daemon
    origin: Origin
    rng: random.Random
    changing: bool
    kills: int = 0
    allowed_again: int = 0
    jobs: list[Planned] = field(default_factory=list)
    kills_in: dict[str, int] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)
    seen_whole: set[Path] = field(default_factory=set)
    _watching: threading.Event = field(default_factory=threading.Event)

    def run(self, kills: int) -> None:
        """Rounds until there were enough kills."""
        watcher = threading.Thread(target=self._watch, daemon=True)
        watcher.start()
        round_number = 0
        try:
            while self.kills < kills:
                self._round(round_number)
                round_number += 1
        finally:
            self._watching.set()
            watcher.join()

    def _round(self, number: int) -> None:
        deadline = time.monotonic() + ROUND_WITHIN_S
        self.jobs = [self._plan(number, "large", COMPLETE), self._plan(number, "mixed", COMPLETE)]
        self.jobs.append(self._plan(number, "doomed", CANCEL))
        interrupted = self.rng.choice(self.jobs)
        for job in self.jobs:
            self._build(job, interrupt=job is interrupted)
        client = self.daemon.client()
        for job in self.jobs:
            client.set_state(_id(job), RESUME)
        client.close()
        # While they run. The doomed one is cancelled somewhere on its way.
        doomed = self.jobs[2]
        for turn in range(5):
            time.sleep(self.rng.uniform(0.02, 0.6))
            self._kill_and_restart("running")
            self._change_sources(number)
            if turn == 2:
                self._end(doomed, deadline)
        for job in self.jobs:
            if job is not doomed:
                self._wait_transferred(job, deadline)
                self._end(job, deadline)
        for job in self.jobs:
            for path, target in job.files:
                if job.fate == COMPLETE:
                    if not target.is_file() or not self._is_a_version(path, target.read_bytes()):
                        self.broken.append(f"{target} is not whole after Complete")
                elif target.exists():
                    self.broken.append(f"{target} is there after Cancel")
        left = self._temporary_files_after(5.0)
        if left:
            self.broken.append(f"temporary files left after round {number}: {left[:3]}")
        for job in self.jobs:
            for path, target in job.files:
                target.unlink(missing_ok=True)
                self.origin.sources.pop(path)
        print(
            f"     round {number}: {self.kills} kills so far {self.kills_in}, "
            f"sent {self.origin.sent() / MIB:.0f} MiB, again {self.origin.again() / MIB:.1f} MiB "
            f"of {self.allowed_again / MIB:.0f} allowed",
            flush=True,
        )

    def _plan(self, number: int, kind: str, fate: int) -> Planned:
        sizes = {
            "large": [160 * MIB, 96 * MIB + 12_345, 33 * MIB],
            "mixed": [6 * MIB + n for n in range(8)] + [100_000 + 7 * n for n in range(70)] + [0, 1],
            "doomed": [64 * MIB, 24 * MIB] + [50_000] * 12,
        }[kind]
        files = []
        for n, size in enumerate(sizes):
            path = f"/r{number}/{kind}/{n}"
            source = Source(content(f"{kind}/{n}", size), etag=f'"{kind}-{n}-1"')
            if n % 3 == 2:
                source.etag = None
            self.origin.add(path, source)
            files.append((path, self.daemon.files / f"r{number}" / kind / f"{n}.bin"))
        return Planned(f"{kind} {number}", files, fate)

    def _build(self, job: Planned, interrupt: bool) -> None:
        if interrupt:
            self._interrupted("building", lambda client: self._add_files(client, job), 0.08)
            self._look_for(job)
        client = self.daemon.client()
        self._add_files(client, job)
        client.close()

    def _add_files(self, client: Client, job: Planned) -> None:
        if job.id is None:
            path, target = job.files[0]
            job.id = client.create_job(job.name, self.origin.url(path), target)
            job.acknowledged_files = 1
        while job.acknowledged_files < len(job.files):
            path, target = job.files[job.acknowledged_files]
            client.add_file(job.id, self.origin.url(path), target)
            job.acknowledged_files += 1

    def _look_for(self, job: Planned) -> None:
        """After a kill: what was done though nobody heard of it counts too."""
        client = self.daemon.client()
        for seen in client.jobs():
            if seen.values["DisplayName"] == job.name:
                job.id = seen.id
                total = seen.number("FilesTotal")
                if total not in (job.acknowledged_files, job.acknowledged_files + 1):
                    self.broken.append(f"{job.name}: {total} files, {job.acknowledged_files} acknowledged")
                job.acknowledged_files = total
        client.close()

    def _end(self, job: Planned, deadline: float) -> None:
        """Complete or Cancel, killed in the middle as often as luck has it."""
        word = "completing" if job.fate == COMPLETE else "cancelling"
        for _ in range(3):
            job.asked_to_end = True
            heard = self._interrupted(word, lambda client: client.set_state(_id(job), job.fate), 0.12)
            if heard:
                job.ended = True
            if not self._is_there(job):
                job.ended = True
            if job.ended:
                if self._is_there(job):
                    self.broken.append(f"{job.name} is there after {word} was acknowledged")
                return
        client = self.daemon.client()
        while True:
            try:
                client.set_state(_id(job), job.fate)
            except Fault as fault:
                if not self._is_there(job):
                    break
                if time.monotonic() > deadline:
                    self.broken.append(f"{job.name}: {word} is refused: {fault}")
                    break
                time.sleep(0.1)
            else:
                break
        job.ended = True
        client.close()

    def _is_there(self, job: Planned) -> bool:
        client = self.daemon.client()
        try:
            # A job whose end was asked for may be finishing it just now.
            for _ in range(100):
                client.get(_id(job))
                if not job.asked_to_end:
                    return True
                time.sleep(0.02)
            return True
        except Fault:
            return False
        finally:
            client.close()

    def _wait_transferred(self, job: Planned, deadline: float) -> None:
        client = self.daemon.client()
        while (seen := client.get(_id(job))).state != TRANSFERRED:
            if seen.state == ERROR or time.monotonic() > deadline:
                self.broken.append(f"{job.name} does not end: {seen.values} {client.error(_id(job))}")
                break
            if seen.state == SUSPENDED:
                self.broken.append(f"{job.name} was resumed and is suspended")
                client.set_state(_id(job), RESUME)
            if seen.state == TRANSIENT_ERROR:
                # A cut connection of the kill before; do not wait ten minutes.
                client.set_state(_id(job), RESUME)
            time.sleep(0.02)
        client.close()

    def _interrupted(self, word: str, act: Callable[[Client], None], spread: float) -> bool:
        """Kills while `act` is under way; whether its answer had come."""
        heard: list[bool] = []
        client = self.daemon.client()
        # The connection stands: the moment falls into the work, not the handshake.
        list(client.jobs())

        def attempt() -> None:
            try:
                act(client)
                heard.append(True)
            except (OSError, http.client.HTTPException, Fault):
                pass
            finally:
                client.close()

        thread = threading.Thread(target=attempt)
        thread.start()
        time.sleep(self.rng.uniform(0, spread))
        self._kill_and_restart(word, thread)
        return bool(heard)

    def _kill_and_restart(self, word: str, acting: threading.Thread | None = None) -> None:
        self.allowed_again += ALLOWED_AGAIN * self.origin.running()
        self.daemon.kill()
        if acting:
            acting.join(90)
        self.kills += 1
        self.kills_in[word] = self.kills_in.get(word, 0) + 1
        self._look_at_targets()
        self.daemon.start()
        wanted = {job.id: job for job in self.jobs if job.id and not job.asked_to_end}
        client = self.daemon.client()
        there = {seen.id: seen for seen in client.jobs()}
        client.close()
        for key, job in wanted.items():
            if key not in there:
                self.broken.append(f"kill {self.kills}: {job.name} was acknowledged and is gone")
            elif there[key].number("FilesTotal") < job.acknowledged_files:
                self.broken.append(f"kill {self.kills}: {job.name} has lost files")

    def _change_sources(self, number: int) -> None:
        if not self.changing:
            return
        for path, source in list(self.origin.sources.items()):
            if self.rng.random() < 0.2:
                version = len(source.versions) + 1
                data = content(f"{path} version {version}", len(source.data))
                etag = None if source.etag is None else f'"{path}-{version}"'
                source.change(data, etag, (source.last_modified or 0) + 1_000)

    def _is_a_version(self, path: str, data: bytes) -> bool:
        return any(data == version for version in self.origin.sources[path].versions)

    def _look_at_targets(self) -> None:
        for job in list(self.jobs):
            for path, target in job.files:
                if target in self.seen_whole or not target.exists():
                    continue
                if not job.asked_to_end or job.fate != COMPLETE:
                    self.broken.append(f"{target} appeared before Complete")
                try:
                    data = target.read_bytes()
                    whole = self._is_a_version(path, data)
                except (FileNotFoundError, KeyError):
                    continue
                if not whole:
                    self.broken.append(f"{target} is half or mixed ({len(data)} octets)")
                self.seen_whole.add(target)

    def _watch(self) -> None:
        while not self._watching.wait(0.004):
            self._look_at_targets()

    def _temporary_files_after(self, within: float) -> list[Path]:
        deadline = time.monotonic() + within
        while (left := self.daemon.temporary_files()) and time.monotonic() < deadline:
            time.sleep(0.1)
        return left


def _id(job: Planned) -> str:
    assert job.id
    return job.id


def campaign(checks: Checks, name: str, seed: int, kills: int, changing: bool) -> None:
    """One campaign and its checks."""
    folder = Path(tempfile.mkdtemp(prefix="bitsd-crash-"))
    settings = {"engine": {"running_jobs": 3, "files_per_job": 4}}
    try:
        with Origin() as origin:
            origin.rate = RATE
            daemon = Daemon(folder, settings)
            daemon.start()
            test = Campaign(checks, daemon, origin, random.Random(seed), changing)
            try:
                test.run(kills)
                client = daemon.client()
                left = [job.values["DisplayName"] for job in client.jobs()]
                client.close()
                stopped = daemon.stop()
            finally:
                daemon.kill()
            for line in test.broken[:20]:
                print(f"     {line}")
            checks.that(test.kills >= kills, f"{name}: {test.kills} kills {test.kills_in}", test.kills)
            for word in ("running", "completing", "cancelling", "building"):
                checks.that(test.kills_in.get(word, 0) > 0, f"{name}: kills while {word}", test.kills_in)
            checks.that(
                not test.broken,
                f"{name}: acknowledged jobs are there, files are whole, none is half, no temporary file is left",
                test.broken[:5],
            )
            checks.that(not left, f"{name}: no job is left", left)
            checks.that(
                origin.again() <= test.allowed_again,
                f"{name}: {origin.again() / MIB:.1f} MiB sent again, {test.allowed_again / MIB:.0f} MiB allowed",
            )
            checks.that(stopped.status == 0, f"{name}: clean stop at the end", stopped.status)
    except Exception:
        print((folder / "bitsd.log").read_text(errors="replace")[-4_000:])
        raise
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def main() -> int:
    """The exit status."""
    parser = argparse.ArgumentParser(prog="crash", description=__doc__)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32))
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--changed-kills", type=int, default=20)
    parser.add_argument("--upload-kills", type=int, default=12)
    parser.add_argument("--full-disk-kills", type=int, default=4)
    parser.add_argument("--only", metavar="CAMPAIGN", default="", help="one of them")
    given = parser.parse_args()
    print(f"crash: seed {given.seed}", flush=True)
    checks = Checks("crash")
    campaigns: dict[str, Callable[[], None]] = {
        "same source": lambda: campaign(checks, "same source", given.seed, given.kills, changing=False),
        "changed source": lambda: campaign(checks, "changed source", given.seed, given.changed_kills, changing=True),
        "uploads": lambda: uploads.campaign(checks, given.seed, given.upload_kills),
        "full disk": lambda: full_disk.campaign(checks, given.seed, given.full_disk_kills),
    }
    for name, run in campaigns.items():
        if given.only not in ("", name):
            continue
        try:
            run()
        except (Failed, Fault, AssertionError, OSError, http.client.HTTPException) as error:
            checks.that(False, f"{name}: ran to its end (seed {given.seed})", repr(error))
    return checks.finish()


sys.exit(main())
