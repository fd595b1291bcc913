"""Listings of a million jobs: `python -m bench.enumeration`.

A store of a million jobs is written while the daemon stands; then one client
lists them over HTTPS: all of them, as an administrator and as a user, and
those that WQL filters ask for. Beside the times stands the memory of the
daemon: it must not grow with what it lists.
"""

from __future__ import annotations

import argparse
import re
import shutil
import signal
import statistics
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from xml.sax.saxutils import escape

from bench import million
from harness.daemon import Daemon
from harness.wsman import JOB, N, TRANSFERRED, Account, Client, Fault, envelope

JOBS = 1_000_000
MOST_FIRST_BATCH_S = 0.100
MOST_FILTERED_S = 0.050
# A scan of all jobs; OperationTimeout is 60 s.
MOST_SCAN_S = 20.0
MOST_GROWTH = 32 << 20

ALL = "http://schemas.microsoft.com/wbem/wsman/1/wmi/root/microsoft/bits/*"
WQL = "http://schemas.microsoft.com/wbem/wsman/1/WQL"

ITEM = re.compile(rb"<(?:\w+:)?BitsClientJob[ >]")
CONTEXT = re.compile(rb"<(?:\w+:)?EnumerationContext[^>]*>([^<]*)</")
END = re.compile(rb"<(?:\w+:)?EndOfSequence")


@dataclass
class Listing:
    """What one enumeration gave."""

    items: int = 0
    batches: int = 0
    octets: int = 0
    first_s: float = 0.0
    longest_s: float = 0.0
    total_s: float = 0.0


class Memory:
    """Watches the resident memory of a daemon."""

    def __init__(self, daemon: Daemon) -> None:
        self.daemon = daemon
        self.before = self.peak = daemon.resident_octets()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> Memory:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        self._thread.join()

    @property
    def growth(self) -> int:
        """Octets between the start and the peak."""
        return self.peak - self.before

    def _watch(self) -> None:
        while not self._done.wait(0.02):
            self.peak = max(self.peak, self.daemon.resident_octets())


class Bench:
    """A daemon over many jobs, and what was measured."""

    def __init__(self, folder: Path, jobs: int, runs: int) -> None:
        self.daemon = Daemon(folder)
        self.jobs = jobs
        self.runs = runs
        self.missed: list[str] = []

    def fill(self) -> None:
        """Writes the jobs."""
        self.daemon.start()
        self.daemon.stop()
        began = time.monotonic()
        database = self.daemon.state / "jobs" / "jobs.sqlite"
        million.fill(database, self.daemon.files, self.jobs)
        size = database.stat().st_size >> 20
        print(f"{self.jobs} jobs written in {time.monotonic() - began:.0f} s, {size} MiB", flush=True)

    def starts(self) -> None:
        """How long a start takes, after a clean stop and after none."""
        for after in ("a clean stop", "a kill", "another kill"):
            began = time.monotonic()
            self.daemon.start()
            print(f"start after {after}: {time.monotonic() - began:.2f} s", flush=True)
            self.daemon.kill()
        self.daemon.start()

    def whole(self, account: Account, expected: int) -> None:
        """Lists everything that the account may see."""
        client = self.daemon.client(account)
        # Log-on and TLS are not what is measured.
        self._list(client, "<w:MaxElements>1</w:MaxElements>", most_batches=1)
        firsts = []
        for _ in range(self.runs):
            firsts.append(self._list(client, FULL, most_batches=1).first_s)
        with Memory(self.daemon) as memory:
            listing = self._list(client, FULL)
        client.close()
        firsts.append(listing.first_s)
        first = statistics.median(firsts)
        rate = listing.items / listing.total_s
        print(f"\nall that {account.name} may see: {listing.items} jobs, {listing.batches} batches, "
              f"{listing.octets >> 20} MiB in {listing.total_s:.1f} s ({rate:.0f} jobs/s)")  # fmt: skip
        print(f"  first batch {first * 1e3:.1f} ms (bar {MOST_FIRST_BATCH_S * 1e3:.0f}), "
              f"longest {listing.longest_s * 1e3:.0f} ms")  # fmt: skip
        self._memory(f"all of {account.name}", memory)
        self._hold(listing.items == expected, f"{account.name}: {listing.items} jobs, not {expected}")
        self._hold(first < MOST_FIRST_BATCH_S, f"{account.name}: first batch after {first * 1e3:.0f} ms")

    def filtered(self, title: str, account: Account, where: str, expected: int, most_s: float, runs: int) -> None:
        """Lists what a WQL filter asks for."""
        client = self.daemon.client(account)
        self._list(client, "<w:MaxElements>1</w:MaxElements>", most_batches=1)
        query = escape(f"SELECT * FROM BitsClientJob WHERE {where}")
        wish = f'{BATCH}<w:Filter Dialect="{WQL}">{query}</w:Filter>'
        listings = []
        try:
            with Memory(self.daemon) as memory:
                for _ in range(runs):
                    listings.append(self._list(client, wish, resource=ALL))
        except Fault as fault:
            self._hold(False, f"{title}: {fault}")
            return
        finally:
            client.close()
        seconds = statistics.median(listing.total_s for listing in listings)
        worst = max(listing.total_s for listing in listings)
        items = listings[-1].items
        print(f"\n{title}, as {account.name}: {items} jobs in {seconds * 1e3:.1f} ms "
              f"(bar {most_s * 1e3:.0f}; worst of {runs}: {worst * 1e3:.1f})")  # fmt: skip
        self._memory(title, memory)
        self._hold(items == expected, f"{title}: {items} jobs, not {expected}")
        self._hold(seconds < most_s, f"{title}: {seconds * 1e3:.0f} ms")

    def gets(self) -> None:
        """What was written is what the service reads, job by job."""
        client = self.daemon.client(self.daemon.admin)
        for number in range(0, self.jobs, max(1, self.jobs // 50)):
            job = client.get(million.job_id(number))
            self._hold(
                (job.values["Owner"], job.state) == million.owner_and_state(number) and len(job.files) == 1,
                f"Get of job {number}: {job.values}",
            )
        client.close()

    def _list(
        self, client: Client, wish: str, resource: str = JOB, most_batches: int | None = None
    ) -> Listing:
        listing = Listing()
        began = time.monotonic()
        body = self._send(client, f"{N}/Enumerate", f"<n:Enumerate>{wish}</n:Enumerate>", resource)
        while True:
            now = time.monotonic() - began
            listing.longest_s = max(listing.longest_s, now - listing.total_s)
            listing.total_s = now
            found = len(ITEM.findall(body))
            listing.items += found
            listing.octets += len(body)
            listing.batches += 1
            if not listing.first_s and found:
                listing.first_s = now
            if END.search(body):
                return listing
            context = CONTEXT.search(body)
            assert context, body[:2_000]
            if listing.batches == most_batches:
                inner = f"<n:EnumerationContext>{context[1].decode()}</n:EnumerationContext>"
                self._send(client, f"{N}/Release", f"<n:Release>{inner}</n:Release>", resource)
                return listing
            inner = f"<n:EnumerationContext>{context[1].decode()}</n:EnumerationContext>"
            inner += "<n:MaxElements>32000</n:MaxElements>"
            body = self._send(client, f"{N}/Pull", f"<n:Pull>{inner}</n:Pull>", resource)

    def _send(self, client: Client, action: str, body: str, resource: str) -> bytes:
        answer = client.post(envelope(action, body, resource=resource).encode())
        if answer.status == 500:
            raise Fault(answer.status, answer.root())
        if answer.status != 200:
            raise AssertionError(f"HTTP {answer.status}: {answer.body[:300]!r}")
        return answer.body

    def _memory(self, title: str, memory: Memory) -> None:
        after = self.daemon.resident_octets()
        print(f"  memory: {_mib(memory.before)} MiB before, {_mib(memory.peak)} at most, {_mib(after)} after "
              f"(bar: {_mib(MOST_GROWTH)} more)", flush=True)  # fmt: skip
        self._hold(memory.growth < MOST_GROWTH, f"{title}: memory grew by {_mib(memory.growth)} MiB")

    def _hold(self, reached: bool, what: str) -> None:
        if not reached:
            self.missed.append(what)
            print(f"MISSED {what}", flush=True)


def main() -> int:
    """The exit status."""
    parser = argparse.ArgumentParser(prog="bench.enumeration", description=__doc__)
    parser.add_argument("--jobs", type=int, default=JOBS)
    parser.add_argument("--runs", type=int, default=9, help="of what is measured more than once")
    parser.add_argument("--report-only", action="store_true", help="a missed bar is no failure")
    given = parser.parse_args()
    # A stop from outside takes the server and its folder along.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    folder = Path(tempfile.mkdtemp(prefix="bitsd-bench-", dir="/var/tmp"))
    bench = Bench(folder, given.jobs, given.runs)
    try:
        bench.fill()
        bench.starts()
        measure(bench)
        print(f"\nstop: {bench.daemon.stop().seconds:.2f} s")
    finally:
        bench.daemon.kill()
        shutil.rmtree(folder, ignore_errors=True)
    print("\n" + ("\n".join(f"MISSED {line}" for line in bench.missed) or "all bars reached"))
    return 1 if bench.missed and not given.report_only else 0


def measure(bench: Bench) -> None:
    """Everything that is listed."""
    admin, alice = bench.daemon.admin, bench.daemon.alice
    traits = [million.owner_and_state(number) for number in range(bench.jobs)]
    rare = len(range(million.FAILED, bench.jobs, million.RARE))
    bench.gets()
    bench.whole(alice, sum(owner == "alice" for owner, _ in traits))
    bench.whole(admin, bench.jobs)
    owned = "State = 4 AND Owner = 'alice'"
    first = bench.jobs // 2
    between = (f"JobCreationTime >= {million.created_at(first)} "
               f"AND JobCreationTime < {million.created_at(first + 100)}")  # fmt: skip
    in_time = traits[first : first + 100]
    urgent = traits[million.URGENT :: million.RARE].count(("user07", TRANSFERRED))
    for title, account, where, expected in (
        ("state and owner", admin, owned, rare),
        ("state", alice, "State = 4", rare),
        ("a span of time", admin, between, len(in_time)),
        ("a span of time", alice, between, sum(owner == "alice" for owner, _ in in_time)),
        ("state and priority", admin, "State = 6 AND Priority = 0", urgent),
        ("a key", admin, f"JobId = '{million.job_id(first)}'", 1),
        ("nothing", admin, "State = 4 AND State = 6", 0),
    ):
        bench.filtered(title, account, where, expected, MOST_FILTERED_S, bench.runs)
    needles = len(range(million.NEEDLE, bench.jobs, million.RARE))
    bench.filtered("LIKE over all jobs", admin, "DisplayName LIKE '%needle%'", needles, MOST_SCAN_S, 3)
    bench.filtered("LIKE that nothing fits", admin, "DisplayName LIKE '%no such%'", 0, MOST_SCAN_S, 1)


def _mib(octets: int) -> int:
    return round(octets / (1 << 20))


BATCH = "<w:OptimizeEnumeration/><w:MaxElements>32000</w:MaxElements>"
FULL = BATCH + "<w:EnumerationMode>EnumerateObjectAndEPR</w:EnumerationMode>"


if __name__ == "__main__":
    sys.exit(main())
