"""A queue of a million: `python -m bench.queue`.

1,000,000 jobs lie in the store and 10,000 of them can run, of twenty accounts,
against an origin that takes its time with each answer. Bars: the first answers
(Identify, and a Get with log-on) within 2 s of the start, less than 256 MiB of
resident memory, the slots busy while jobs remain, a Get as fast as with ten
jobs. The exit code tells whether all of them are kept.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import sqlite3
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path

from bench import million
from harness.daemon import Daemon
from harness.wsman import Client

JOBS = 1_000_000
RUNNABLE = 10_000
SLOTS = 32
HOLD_S = 0.5
OCTETS = 16_384

MOST_FIRST_ANSWER_S = 2.0
MOST_RESIDENT = 256 << 20
LEAST_BUSY = 0.95
# Beside the noise of two daemons on one machine.
MOST_GET_RATIO = 1.5


class SlowOrigin:
    """Answers every request with the same octets, after a while."""

    def __init__(self, hold_s: float) -> None:
        self.hold_s = hold_s
        self._loop = asyncio.new_event_loop()
        started = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(started,), daemon=True)
        self._thread.start()
        started.wait()

    def _run(self, started: threading.Event) -> None:
        self._server = self._loop.run_until_complete(
            asyncio.start_server(self._serve, "127.0.0.1", 0, backlog=1_024)
        )
        self.port = self._server.sockets[0].getsockname()[1]
        started.set()
        self._loop.run_forever()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = f"HTTP/1.1 200 OK\r\nContent-Length: {OCTETS}\r\n\r\n".encode()
        try:
            while True:
                await reader.readuntil(b"\r\n\r\n")
                await asyncio.sleep(self.hold_s)
                writer.write(head + bytes(OCTETS))
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    def close(self) -> None:
        """Stops to serve."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()


def make_runnable(database: Path, port: int, numbers: list[int]) -> None:
    """Puts these jobs of `million` into the line."""
    connection = sqlite3.connect(database, isolation_level=None)
    try:
        connection.execute("BEGIN EXCLUSIVE")
        for number in numbers:
            key = million.key(number)
            connection.execute(
                "UPDATE job SET state = 0, wake_at = NULL, transferred_at = NULL, files_transferred = 0, "
                "files_sized = 0, bytes_known = 0, bytes_transferred = 0, error_context = NULL, "
                "error_code = NULL, error_file = NULL, error_detail = NULL, host = '127.0.0.1' WHERE id = ?",
                (key,),
            )
            connection.execute(
                "UPDATE file SET remote_url = ? WHERE job = ?", (f"http://127.0.0.1:{port}/{number}", key)
            )
            connection.execute(
                "UPDATE progress SET size = NULL, durable = 0, transferred = 0 WHERE job = ?", (key,)
            )
        connection.execute("COMMIT")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    finally:
        connection.close()


def settings() -> dict[str, dict[str, object]]:
    """Those of both daemons."""
    return {"engine": {"running_jobs": SLOTS}, "transfer": {"allow_addresses": ["127.0.0.0/8"]}}


def get_latencies(client: Client, jobs: list[str], count: int) -> list[float]:
    """Seconds of so many Gets."""
    taken = []
    for number in range(count):
        began = time.perf_counter()
        client.get(jobs[number % len(jobs)])
        taken.append(time.perf_counter() - began)
    return taken


class Bench:
    """What was measured, and what was missed."""

    def __init__(self, folder: Path, jobs: int, runnable: int) -> None:
        self.folder, self.jobs = folder, jobs
        self.numbers = [number * (jobs // runnable) for number in range(runnable)]
        self.missed: list[str] = []

    def hold(self, kept: bool, words: str) -> None:
        """Books a bar."""
        print(("kept: " if kept else "MISSED: ") + words, flush=True)
        if not kept:
            self.missed.append(words)

    def ten(self) -> float:
        """The median of a Get with ten jobs, of which none runs."""
        origin = SlowOrigin(HOLD_S)
        daemon = Daemon(self.folder / "ten", settings())
        with daemon:
            client = daemon.client()
            ids = [
                client.create_job(str(n), f"http://127.0.0.1:{origin.port}/{n}", daemon.files / str(n))
                for n in range(10)
            ]
            get_latencies(client, ids, 50)
            taken = statistics.median(get_latencies(client, ids, 500))
            client.close()
        origin.close()
        print(f"Get with ten jobs: {taken * 1e3:.2f} ms", flush=True)
        return taken

    def million(self, ten: float) -> None:
        """All the rest."""
        origin = SlowOrigin(HOLD_S)
        daemon = Daemon(self.folder / "million", settings())
        daemon.start()
        daemon.stop()
        database = daemon.state / "jobs" / "jobs.sqlite"
        began = time.monotonic()
        million.fill(database, daemon.files, self.jobs)
        make_runnable(database, origin.port, self.numbers)
        print(f"{self.jobs} jobs written in {time.monotonic() - began:.0f} s, {database.stat().st_size >> 20} MiB")
        # As a host has it that was just started: nothing is in memory.
        began = time.monotonic()
        daemon.start()
        identified = time.monotonic() - began
        client = daemon.client(daemon.admin)
        client.get(million.job_id(self.numbers[-1]))
        first = time.monotonic() - began
        self.hold(first < MOST_FIRST_ANSWER_S, f"Identify after {identified:.2f} s, first Get after {first:.2f} s")
        self.drain(daemon, client, database, ten)
        client.close()
        stopped = daemon.stop()
        self.hold(stopped.status == 0, f"stopped within {stopped.seconds:.1f} s")
        origin.close()

    def drain(self, daemon: Daemon, client: Client, database: Path, ten: float) -> None:
        """Watches while the runnable jobs run."""
        ids = [million.job_id(number) for number in range(1, self.jobs, self.jobs // 10)]
        connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
        running = "SELECT count(*) FROM job INDEXED BY job_interrupted WHERE state = 1 OR state = 2 OR intent IS NOT NULL"
        waiting = "SELECT count(*) FROM job WHERE state = 0"
        busy, latencies, peak = [], [], 0
        began = last = time.monotonic()
        left = len(self.numbers)
        deadline = began + 60 + 4 * left * HOLD_S / SLOTS
        while left >= SLOTS and time.monotonic() < deadline:
            latencies += get_latencies(client, ids, 5)
            busy.append(connection.execute(running).fetchone()[0])
            peak = max(peak, daemon.resident_octets())
            (left,) = connection.execute(waiting).fetchone()
            if time.monotonic() - last > 15:
                last = time.monotonic()
                print(f"  {left} wait, {busy[-1]} run, {peak >> 20} MiB", flush=True)
            time.sleep(0.05)
        took = time.monotonic() - began
        connection.close()
        done = len(self.numbers) - left
        ideal = HOLD_S / SLOTS
        print(f"{done} jobs in {took:.1f} s: {done / took:.0f} jobs/s (at most {1 / ideal:.0f} with these slots)")
        share = statistics.mean(busy[1:]) / SLOTS
        # The store shows a slot between two jobs as free for as long as two commits take.
        self.hold(share >= LEAST_BUSY, f"slots busy {share:.1%} of {len(busy)} looks, {left} jobs left")
        self.hold(left < SLOTS, f"{left} jobs left")
        self.hold(peak < MOST_RESIDENT, f"{peak >> 20} MiB resident at most")
        print(f"Get while they ran: {statistics.median(latencies) * 1e3:.2f} ms")
        time.sleep(2)
        get = statistics.median(get_latencies(client, ids, 500))
        self.hold(get <= ten * MOST_GET_RATIO, f"Get {get * 1e3:.2f} ms beside {ten * 1e3:.2f} ms with ten jobs")


def main() -> int:
    """Runs it."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--jobs", type=int, default=JOBS)
    arguments.add_argument("--runnable", type=int, default=RUNNABLE)
    arguments.add_argument("--folder", type=Path, help="where the store is to lie")
    options = arguments.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="bitsd-bench-", dir=options.folder))
    try:
        bench = Bench(folder, options.jobs, options.runnable)
        bench.million(bench.ten())
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return 1 if bench.missed else 0


if __name__ == "__main__":
    sys.exit(main())
