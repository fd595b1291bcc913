"""Power-loss replay: `python -m power [--seed N] [--cuts N]`.

The daemon runs a scripted evening under strace. The record is cut at every
sync point, or at an even sample of at least --cuts of them, just before the
sync takes effect. At each cut the disk that a power loss leaves is laid down
in the place of the recorded folder, and the daemon is started there under
another boot id. Every second cut also keeps, by the seed, some of what was not
synced, as real disks may. The promises then: what was acknowledged before the
cut is there; no file at its destination is half; every job can be driven to
its end, and all files are right.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import sys
import tempfile
import time
import unittest
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from harness.checks import Checks
from harness.daemon import Daemon, Failed
from harness.origin import Origin, Source, content
from harness.wsman import (
    CANCEL,
    COMPLETE,
    ERROR,
    RESUME,
    SUSPEND,
    SUSPENDED,
    TRANSFERRED,
    TRANSIENT_ERROR,
    Client,
    Fault,
)
from power.disk import Disk, Unmodelled
from power.trace import Unreadable, calls, command, wait_for_end

KIB = 1024
CREDENTIALS = {"Target": 0, "Scheme": 0, "UserName": "ann", "Password": "s3cret"}
Result = TypeVar("Result")


@dataclass
class Asked:
    """One request of the script, and when its answer came."""

    job: str
    what: str
    sent_at: float
    answered_at: float
    value: int = 0


@dataclass
class Evening:
    """The script: jobs, their files, and what was asked for when."""

    daemon: Daemon
    origin: Origin
    asked: list[Asked] = field(default_factory=list)
    keys: dict[str, str] = field(default_factory=dict)
    files: dict[str, list[tuple[str, Path]]] = field(default_factory=dict)

    def run(self) -> None:
        """Everything that a client may do, with transfers under way."""
        client = self.daemon.client()
        self._create(client, "completed", [900 * KIB, 3_000, 0, 400 * KIB])
        self._create(client, "large", [6_000 * KIB])
        self._create(client, "many", [20_000 + n for n in range(24)])
        self._create(client, "cancelled", [1_500 * KIB, 2_000])
        self._create(client, "idle", [5_000, 6_000])
        self._create(client, "guarded", [200 * KIB])
        key = self.keys["guarded"]
        self._ask("guarded", "credentials", lambda: client.invoke("SetCredentials", CREDENTIALS, key))
        self._ask("large", "priority", lambda: client.put(self.keys["large"], {"Priority": 1}), 1)
        for job in ("completed", "large", "cancelled"):
            self._command(client, job, RESUME)
        client.wait_for(self.keys["large"], lambda seen: seen.number("BytesTransferred") > 1_000 * KIB)
        self._command(client, "large", SUSPEND)
        self._command(client, "cancelled", CANCEL)
        client.wait_for(self.keys["completed"], TRANSFERRED)
        self._command(client, "completed", COMPLETE)
        self._command(client, "large", RESUME)
        self._command(client, "many", RESUME)
        self._command(client, "guarded", RESUME)
        client.wait_for(self.keys["many"], TRANSFERRED)
        self._command(client, "many", COMPLETE)
        client.wait_for(self.keys["guarded"], TRANSFERRED)
        client.wait_for(self.keys["large"], TRANSFERRED)
        self._ask("idle", "priority", lambda: client.put(self.keys["idle"], {"Priority": 3}), 3)
        client.close()

    def _create(self, client: Client, name: str, sizes: list[int]) -> None:
        self.files[name] = []
        for n, size in enumerate(sizes):
            path = f"/{name}/{n}"
            source = Source(content(path, size), etag=f'"{path}"', rate=4_000_000)
            if name == "guarded":
                source.basic = ("ann", "s3cret")
            url = self.origin.add(path, source)
            target = self.daemon.files / name / f"folder-{n % 3}" / f"{n}.bin"
            self.files[name].append((path, target))
            if n == 0:
                self.keys[name] = self._ask(name, "create", lambda: client.create_job(name, url, target))
            else:
                self._ask(name, "add", lambda: client.add_file(self.keys[name], url, target))

    def _command(self, client: Client, name: str, number: int) -> None:
        self._ask(name, "command", lambda: client.set_state(self.keys[name], number), number)

    def _ask(self, job: str, what: str, act: Callable[[], Result], value: int = 0) -> Result:
        sent_at = time.time()
        result = act()
        self.asked.append(Asked(job, what, sent_at, time.time(), value))
        return result


@dataclass(frozen=True)
class Known:
    """What must hold of one job after a cut."""

    exists: bool | None
    files: int
    priority: int | None
    command: int | None
    completed: bool


def known_at(evening: Evening, job: str, at: float) -> Known:
    """What had been acknowledged of a job by then; None where it is open."""
    mine = [one for one in evening.asked if one.job == job and one.sent_at < at]
    done = [one for one in mine if one.answered_at < at]
    ends = (CANCEL, COMPLETE)
    ended = [one for one in done if one.what == "command" and one.value in ends]
    ending = [one for one in mine if one.what == "command" and one.value in ends]
    created = any(one.what == "create" for one in done)
    exists = False if ended else None if ending or not created else True
    files = sum(1 for one in done if one.what in ("create", "add"))
    priorities = [one.value for one in done if one.what == "priority"]
    open_priority = len([one for one in mine if one.what == "priority"]) > len(priorities)
    commands = [one.value for one in done if one.what == "command"]
    open_command = len([one for one in mine if one.what == "command"]) > len(commands)
    return Known(
        exists=exists,
        files=files,
        priority=None if open_priority or not priorities else priorities[-1],
        command=None if open_command else commands[-1] if commands else SUSPEND,
        completed=any(one.value == COMPLETE for one in ended),
    )


class Replay:
    """Starts the daemon on the ruins, and holds it to its word."""

    def __init__(self, evening: Evening, checks: Checks, boot_ids: Path) -> None:
        self.evening = evening
        self.checks = checks
        self.boot_ids = boot_ids

    def look(self, number: int, at: float, torn: bool) -> None:
        """One cut, whose disk lies in place."""
        label = f"cut {number}{' (torn)' if torn else ''}"
        broken = self._half_files()
        daemon = self.evening.daemon
        try:
            daemon.start(self._another_boot())
            client = daemon.client()
            broken += self._promises(client, at)
            broken += self._drive(client, at)
            client.close()
            status = daemon.stop().status
            if status:
                broken.append(f"stop ended with {status}")
        except (Failed, AssertionError, OSError, Fault) as error:
            broken.append(f"{type(error).__name__}: {error}")
        finally:
            daemon.kill()
        self.checks.that(not broken, label, broken[:4])

    def _half_files(self) -> list[str]:
        broken = []
        for files in self.evening.files.values():
            for path, target in files:
                if target.exists() and target.read_bytes() != self.evening.origin.sources[path].data:
                    broken.append(f"{target} is half right after the cut")
        return broken

    def _promises(self, client: Client, at: float) -> list[str]:
        broken = []
        there = {job.id: job for job in client.jobs()}
        for name, key in self.evening.keys.items():
            known = known_at(self.evening, name, at)
            job = there.get(key)
            if known.exists is True and job is None:
                broken.append(f"{name} was acknowledged and is gone")
            if known.exists is False and job is not None:
                broken.append(f"{name} has ended and is there")
            if job is not None:
                if job.number("FilesTotal") < known.files:
                    broken.append(f"{name}: {job.number('FilesTotal')} files of {known.files}")
                if known.priority is not None and job.number("Priority") != known.priority:
                    broken.append(f"{name}: priority {job.number('Priority')}")
                if known.command == SUSPEND and job.state not in (SUSPENDED, TRANSFERRED):
                    broken.append(f"{name} was suspended and is in state {job.state}")
                if known.command == RESUME and job.state == SUSPENDED:
                    broken.append(f"{name} was resumed and is suspended")
            if known.completed:
                missing = [target for _, target in self.evening.files[name] if not target.is_file()]
                if missing:
                    broken.append(f"{name} was completed and misses {missing[:2]}")
        return broken

    def _drive(self, client: Client, at: float) -> list[str]:
        broken: list[str] = []
        given = [one for one in self.evening.asked if one.what == "credentials"]
        kept = all(one.answered_at < at for one in given)
        names = {key: name for name, key in self.evening.keys.items()}
        jobs = list(client.jobs())
        for job in jobs:
            if names.get(job.id) == "guarded" and not kept:
                client.invoke("SetCredentials", CREDENTIALS, job.id)
            if job.state != TRANSFERRED:
                client.set_state(job.id, RESUME)
        for job in jobs:
            deadline = time.monotonic() + 60
            while (seen := client.get(job.id)).state != TRANSFERRED:
                if seen.state == ERROR or time.monotonic() > deadline:
                    return [*broken, f"{job.values['DisplayName']} does not end: {client.error(job.id)}"]
                if seen.state == TRANSIENT_ERROR:
                    client.set_state(job.id, RESUME)
                time.sleep(0.01)
            client.set_state(job.id, COMPLETE)
            for path, target in self.evening.files[names[job.id]][: seen.number("FilesTotal")]:
                if not target.is_file() or target.read_bytes() != self.evening.origin.sources[path].data:
                    broken.append(f"{target} is wrong at the end")
        broken += self._half_files()
        left = self.evening.daemon.temporary_files()
        if left:
            broken.append(f"temporary files are left: {left[:3]}")
        return broken

    def _another_boot(self) -> list[str]:
        self.boot_ids.write_text(f"{uuid.uuid4()}\n")
        user = [] if os.geteuid() == 0 else ["--map-root-user"]
        script = 'mount --bind "$0" /proc/sys/kernel/random/boot_id && exec "$@"'
        return ["unshare", *user, "--mount", "sh", "-c", script, str(self.boot_ids)]


def record(checks: Checks, folder: Path, origin: Origin) -> tuple[Evening, Disk, Path, Path]:
    """Runs the evening under strace; what lay there before, and the record."""
    root = folder / "root"
    settings = {
        "engine": {"running_jobs": 4, "files_per_job": 4},
        "transfer": {"checkpoint_octets": 1_048_576, "checkpoint_interval_ms": 150},
    }
    daemon = Daemon(root, settings)
    # Not under the eyes of the model: the log is nothing that must last.
    daemon.log = folder / "bitsd.log"
    daemon.start()
    daemon.stop()
    before = Disk(root)
    log = folder / "trace"
    evening = Evening(daemon, origin)
    daemon.start(command(log))
    evening.run()
    stopped = daemon.stop()
    checks.that(stopped.status == 0, "the recorded run ends cleanly", stopped.status)
    wait_for_end(log)
    return evening, before, log, root


def main() -> int:
    """The exit status."""
    parser = argparse.ArgumentParser(prog="power", description=__doc__)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32))
    parser.add_argument("--cuts", type=int, default=100)
    parser.add_argument("--keep", action="store_true", help="leave the record and the last disk behind")
    given = parser.parse_args()
    print(f"power: seed {given.seed}", flush=True)
    checks = Checks("power")
    model = unittest.TestResult()
    unittest.defaultTestLoader.loadTestsFromName("power.test_model").run(model)
    checks.that(
        model.wasSuccessful() and model.testsRun == 2 and not model.skipped,
        "the model of the disk agrees with a real program",
        model.errors + model.failures,
    )
    folder = Path(tempfile.mkdtemp(prefix="bitsd-power-")).resolve()
    try:
        with Origin() as origin:
            _replay_all(checks, folder, origin, given.seed, given.cuts)
    except (Failed, AssertionError, OSError, Fault, Unmodelled, Unreadable) as error:
        checks.that(False, "ran to its end", repr(error))
    finally:
        if given.keep:
            print(f"     kept: {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)
    return checks.finish()


def _replay_all(checks: Checks, folder: Path, origin: Origin, seed: int, wanted: int) -> None:
    evening, disk, log, root = record(checks, folder, origin)
    for source in origin.sources.values():
        source.rate = None
    recorded = list(calls(log))
    points = [n for n, call in enumerate(recorded) if disk_sync(call.name)]
    # The state of the real folder at the end, for what was written through mappings.
    final = {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}
    shutil.copytree(root, folder / "end")
    sample = set(points if len(points) <= wanted else [points[n * len(points) // wanted] for n in range(wanted)])
    print(f"     {len(recorded)} calls, {len(points)} sync points, {len(sample)} cuts", flush=True)
    checks.that(len(sample) >= min(wanted, 100), f"{len(sample)} cuts", len(points))
    replay = Replay(evening, checks, folder / "boot_id")
    number = 0
    for n, call in enumerate(recorded):
        if n in sample and disk.is_sync(call):
            number += 1
            torn = number % 2 == 0
            _lay_down(disk, root, random.Random(f"{seed}/{n}") if torn else None, final)
            replay.look(number, call.entered_at, torn)
        disk.replay(call)
    _lay_down(disk, root, None, final)
    replay.look(number + 1, time.time(), False)
    differing = _differences(disk, folder / "end")
    checks.that(not differing, "the replay ends as the folder did", differing[:5])
    if disk.mapped_files():
        print(f"     written through mappings, and not trusted: {disk.mapped_files()}")


def disk_sync(name: str) -> bool:
    """Holds for calls that make something last."""
    return name in ("fsync", "fdatasync", "syncfs", "sync")


def _lay_down(disk: Disk, root: Path, rng: random.Random | None, final: dict[str, bytes]) -> None:
    shutil.rmtree(root, ignore_errors=True)
    disk.materialise(root, rng, final)


def _differences(disk: Disk, end: Path) -> list[str]:
    whole = Path(tempfile.mkdtemp(prefix="bitsd-power-"))
    try:
        disk.settle()
        disk.materialise(whole / "root", None, {})
        ours = {str(p.relative_to(whole / "root")): p for p in (whole / "root").rglob("*") if p.is_file()}
        theirs = {str(p.relative_to(end)): p for p in end.rglob("*") if p.is_file()}
        mapped = set(disk.mapped_files())
        differing = sorted((set(ours) ^ set(theirs)) - mapped)
        for name in sorted((set(ours) & set(theirs)) - mapped):
            if ours[name].read_bytes() != theirs[name].read_bytes():
                differing.append(name)
        return differing
    finally:
        shutil.rmtree(whole, ignore_errors=True)


sys.exit(main())
