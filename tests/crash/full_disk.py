"""A disk that is too small for its jobs, and a daemon that is killed beside it.

The write root is a small file system of its own, half of it taken by somebody else's
file. Jobs that find it full wait with the right code, without asking again and again;
when that file goes they go on where they were, and everything arrives.
"""

from __future__ import annotations

import random
import subprocess
import tempfile
import time
from pathlib import Path

from harness.checks import Checks
from harness.daemon import Daemon
from harness.origin import content
from harness.scripted import Case, ScriptedOrigin
from harness.wsman import COMPLETE, ERROR, RESUME, TRANSFERRED, TRANSIENT_ERROR, Client, Fault

MIB = 1024 * 1024
DISK = 128 * MIB
BALLAST = 64 * MIB
FILE = 22 * MIB
JOBS = 5
DISK_FULL = 0x80070070
ENDS_WITHIN_S = 150.0
ALLOWED_AGAIN = 2 * MIB
# One attempt in five seconds, and one for each kill, and none besides.
RETRY_DELAY_S = 5


def campaign(checks: Checks, seed: int, kills: int) -> None:
    """Runs it all, and says what held."""
    rng = random.Random(seed)
    with tempfile.TemporaryDirectory(prefix="bitsd-crash-") as name:
        folder = Path(name)
        daemon = Daemon(folder, {"engine": {"running_jobs": JOBS}})
        script = 'mount -t tmpfs -o "size=$1" bitsd-crash "$2" && mkdir "$2/c" && echo ready && exec cat'
        command = ["unshare", "--mount", "sh", "-ec", script, "sh", str(DISK), str(daemon.files)]
        # Keeps the file system while the daemon is dead.
        holder = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        origin = ScriptedOrigin()
        try:
            assert holder.stdout and holder.stdout.readline() == b"ready\n", "no file system"
            inside = Path(f"/proc/{holder.pid}/root")
            before = ["nsenter", "--mount", "--root", "--target", str(holder.pid)]
            _run(checks, daemon, origin, rng, kills, inside, before)
        except Exception:
            print(daemon.tail())
            raise
        finally:
            daemon.kill()
            origin.close()
            holder.kill()
            holder.wait()


def _run(
    checks: Checks,
    daemon: Daemon,
    origin: ScriptedOrigin,
    rng: random.Random,
    kills: int,
    inside: Path,
    before: list[str],
) -> None:
    files = inside / str(daemon.files).lstrip("/")
    ballast = files / "ballast"
    ballast.write_bytes(bytes(BALLAST))
    daemon.start(before)
    client = daemon.client()
    cases: dict[str, Case] = {}
    for number in range(JOBS):
        case = Case(f"file{number}", "download", [], {1: content(str(number), FILE)}, rate=40_000_000)
        job = client.create_job(case.key, origin.add(case), daemon.files / case.key)
        client.put(job, {"MinimumRetryDelay": RETRY_DELAY_S})
        client.set_state(job, RESUME)
        cases[job] = case
    client.close()
    codes: set[int] = set()
    wrong: list[str] = []
    began = time.monotonic()
    deadline = began + ENDS_WITHIN_S
    killed = 0
    waiting = dict(cases)
    while waiting and time.monotonic() < deadline:
        time.sleep(rng.uniform(0.2, 1.0))
        if killed < kills:
            daemon.kill()
            killed += 1
            daemon.start(before)
        client = daemon.client()
        for job, case in list(waiting.items()):
            _look(client, job, case, codes, wrong)
        if DISK_FULL in codes and killed >= kills:
            ballast.unlink(missing_ok=True)
        for job, case in list(waiting.items()):
            if client.get(job).state == TRANSFERRED:
                client.set_state(job, COMPLETE)
                if (files / case.key).read_bytes() != case.versions[1]:
                    wrong.append(f"{case.key} is not what the server has")
                del waiting[job]
        client.close()
    seconds = time.monotonic() - began
    attempts = max(len(case.times) for case in cases.values())
    most = killed + 2 + seconds / RETRY_DELAY_S
    left = list(files.rglob("*.tmp"))
    again = sum(case.octets for case in cases.values()) - JOBS * FILE
    checks.that(DISK_FULL in codes and len(codes) == 1, "full disk: it is called by its name", codes)
    checks.that(not wrong, f"full disk: {killed} kills, no job fails and none is wrong", wrong)
    checks.that(not waiting, "full disk: everything arrives once there is room", sorted(waiting))
    checks.that(attempts <= most, f"full disk: {attempts} attempts at most in {seconds:.0f} s", most)
    # What was not synced when the disk was full comes again, and what a kill cost.
    allowed = (killed + 1) * JOBS * ALLOWED_AGAIN
    checks.that(again <= allowed, f"full disk: {again / MIB:.1f} MiB sent again, {allowed / MIB:.0f} allowed", again)
    checks.that(not left, "full disk: no temporary file is left", left)


def _look(client: Client, job: str, case: Case, codes: set[int], wrong: list[str]) -> None:
    seen = client.get(job)
    if seen.state in (ERROR, TRANSIENT_ERROR):
        try:
            codes.add(int(client.error(job)["ErrorCode"]))
        except Fault:
            # It goes on already.
            return
    if seen.state == ERROR:
        wrong.append(f"{case.key} failed: {client.error(job)}")
