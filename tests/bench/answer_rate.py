"""Answers a second: `python -m bench.answer_rate`.

wrk posts an authenticated Get on one job over TLS and keep-alive, with 1, 8
and 64 connections, to two daemons in turn: one with 10 jobs in its store, one
with 100,000. callgrind counts the user-space instructions of an Identify, a Get,
and an Enumerate with a Pull of 20 jobs: those of a run with many requests less
those of a run with few. With `--against EARLIER_BINARY` an earlier build is
measured beside this one, in the same rounds.
"""

from __future__ import annotations

import argparse
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from bench.peers import require
from harness.daemon import Daemon, binary
from harness.wsman import CONTENT_TYPE, IDENTIFY, JOB, N, W, X, Client, envelope, method_input

MOST_INSTRUCTIONS = 150_000
MOST_SLOWER = 1.2
# An earlier build may be this much faster before it counts.
MOST_BEHIND = 1.03
PULLED = 20
FEW, MANY = 10, 100_000

GET = """
wrk.method = "POST"
wrk.headers["Content-Type"] = "{content_type}"
wrk.headers["Authorization"] = "{authorization}"
wrk.body = [==[{body}]==]
"""

# Each thread has its own numbers; a job is one file that is never fetched.
FILL = """
local threads = 0
function setup(thread) thread:set("id", threads); threads = threads + 1 end
function init(arguments) n = 0; run = arguments[1] end
function request()
  n = n + 1
  local name = run .. "-" .. id .. "-" .. n
  local body = string.gsub([==[{body}]==], "@NAME@", name)
  return wrk.format("POST", "/wsman", {{
    ["Content-Type"] = "{content_type}", ["Authorization"] = "{authorization}" }}, body)
end
"""


@dataclass(frozen=True)
class Rate:
    """What wrk measured."""

    requests_per_s: float
    p50_ms: float
    p99_ms: float


class Server:
    """A daemon with so many jobs in its store."""

    def __init__(self, folder: Path, jobs: int, program: Path | None = None) -> None:
        self.folder = folder
        self.daemon = Daemon(folder, program=program)
        self.daemon.start()
        self.jobs = jobs
        client = self.daemon.client()
        self.job = client.create_job("watched", "http://127.0.0.1:9/f", self.daemon.files / "watched")
        self.body = envelope(f"{X}/Get", "", {"JobId": self.job})
        run = 0
        while (there := self.count()) < jobs:
            if jobs - there < 1_000:
                for n in range(jobs - there):
                    client.create_job("fill", "http://127.0.0.1:9/f", self.daemon.files / f"last-{run}-{n}")
            else:
                self._fill(run)
                if self.count() == there:
                    raise RuntimeError(f"no job was made: {self.daemon.tail()}")
            run += 1
        client.close()

    def count(self) -> int:
        """How many jobs there are, as the service says."""
        client = self.daemon.client()
        text = envelope(f"{N}/Enumerate", "<n:Enumerate/>", header="<w:RequestTotalItemsCountEstimate/>")
        root = client.send(text)
        client.close()
        return int(root.findtext(f".//{{{W}}}TotalItemsCountEstimate", "0"))

    def rate(self, connections: int, seconds: int) -> Rate:
        """wrk with so many connections."""
        script = self.folder / "get.lua"
        script.write_text(
            GET.format(content_type=CONTENT_TYPE, authorization=self.daemon.alice.basic, body=self.body)
        )
        out = self._wrk(script, connections, seconds)
        bad = re.search(r"Non-2xx or 3xx responses: (\d+)", out)
        errors = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", out)
        if bad or (errors and any(int(n) for n in errors.groups())):
            raise RuntimeError(out)
        found = re.search(r"Requests/sec:\s+([\d.]+)", out)
        assert found, out
        return Rate(float(found[1]), _latency(out, "50"), _latency(out, "99"))

    def _fill(self, run: int) -> None:
        values = {
            "DisplayName": "fill",
            "RemoteUrl": "http://127.0.0.1:9/f",
            "LocalFile": f"{self.daemon.files}/@NAME@",
            "Suspend": "true",
        }
        body = envelope(f"{JOB}/CreateJob", method_input("CreateJob", values))
        script = self.folder / "fill.lua"
        script.write_text(FILL.format(content_type=CONTENT_TYPE, authorization=self.daemon.alice.basic, body=body))
        missing = self.jobs - self.count()
        # Short turns, so that the number is not overshot by much.
        self._wrk(script, 32, 5 if missing > 30_000 else 1, str(run))

    def _wrk(self, script: Path, connections: int, seconds: int, *arguments: str) -> str:
        command = ["wrk", f"-t{min(2, connections)}", f"-c{connections}", f"-d{seconds}s", "--latency"]
        command += ["-s", str(script), self.daemon.endpoint]
        command += ["--", *arguments] if arguments else []
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=seconds + 60).stdout


def identify(client: Client, job: str) -> None:
    """One authenticated Identify."""
    _ok(client, IDENTIFY)


def get(client: Client, job: str) -> None:
    """One Get."""
    _ok(client, envelope(f"{X}/Get", "", {"JobId": job}))


def pull(client: Client, job: str) -> None:
    """An Enumerate, and a Pull of 20 objects."""
    root = client.send(envelope(f"{N}/Enumerate", "<n:Enumerate/>"))
    context = root.findtext(f".//{{{N}}}EnumerationContext", "")
    inner = f"<n:EnumerationContext>{context}</n:EnumerationContext><n:MaxElements>{PULLED}</n:MaxElements>"
    items = client.send(envelope(f"{N}/Pull", f"<n:Pull>{inner}</n:Pull>")).find(f".//{{{N}}}Items")
    assert items is not None and len(items) == PULLED, items
    _ok(client, envelope(f"{N}/Release", f"<n:Release><n:EnumerationContext>{context}</n:EnumerationContext></n:Release>"))


KINDS = {"Identify": identify, "Get": get, f"Enumerate, Pull of {PULLED}, Release": pull}


def instructions(folder: Path, program: Path, kind: str, few: int = 100, many: int = 600) -> float:
    """User-space instructions of one request of this kind."""
    counted = []
    for number in (few, many):
        daemon = Daemon(folder / str(number), program=program)
        daemon.start()
        client = daemon.client()
        job = client.create_job("watched", "http://127.0.0.1:9/f", daemon.files / "watched")
        for n in range(PULLED):
            client.create_job("other", "http://127.0.0.1:9/f", daemon.files / f"other-{n}")
        client.close()
        daemon.stop()
        out = folder / f"callgrind.{number}"
        daemon.start(["valgrind", "--tool=callgrind", "--quiet", f"--callgrind-out-file={out}"])
        client = daemon.client()
        for _ in range(number):
            KINDS[kind](client, job)
        client.close()
        daemon.stop()
        found = re.search(r"^(?:summary|totals): (\d+)", out.read_text(), re.MULTILINE)
        assert found, f"no total in {out}"
        counted.append(int(found[1]))
    return (counted[1] - counted[0]) / (many - few)


def side_by_side(folder: Path, earlier: Path | None) -> list[str]:
    """Instructions of each kind of request, of an earlier build too; what was missed."""
    missed = []
    print("\n| request | instructions | earlier build | ratio |\n|---|---|---|---|", flush=True)
    for kind in KINDS:
        ours = instructions(folder / f"{kind[:3]}-ours", binary(), kind)
        theirs = instructions(folder / f"{kind[:3]}-theirs", earlier, kind) if earlier else None
        ratio = ours / theirs if theirs else None
        print(f"| {kind} | {ours:.0f} | {_number(theirs, '.0f')} | {_number(ratio, '.3f')} |", flush=True)
        if kind == "Get" and ours > MOST_INSTRUCTIONS:
            missed.append(f"{ours:.0f} instructions a Get (at most {MOST_INSTRUCTIONS})")
        if ratio and ratio > MOST_BEHIND:
            missed.append(f"{kind}: {ratio:.3f} times the instructions of the earlier build")
    return missed


def rates_side_by_side(folder: Path, earlier: Path, rounds: int, seconds: int) -> list[str]:
    """Gets a second of both builds, in turns; what was missed."""
    missed = []
    servers = [Server(folder / "rate-ours", FEW), Server(folder / "rate-theirs", FEW, earlier)]
    try:
        print("\n| connections | requests/s | earlier build | ratio |\n|---|---|---|---|", flush=True)
        for connections in (1, 8, 64):
            pairs = []
            for number in range(rounds):
                turn = [server.rate(connections, seconds) for server in (servers if number % 2 == 0 else servers[::-1])]
                pairs.append(turn if number % 2 == 0 else turn[::-1])
            ratio = statistics.median(ours.requests_per_s / theirs.requests_per_s for ours, theirs in pairs)
            ours, theirs = (statistics.median(pair[n].requests_per_s for pair in pairs) for n in (0, 1))
            print(f"| {connections} | {ours:.0f} | {theirs:.0f} | {ratio:.2f} |", flush=True)
            if ratio < 1 / MOST_SLOWER:
                missed.append(f"{connections} connections: {ratio:.2f} of the earlier build's rate")
    finally:
        for server in servers:
            server.daemon.kill()
    return missed


def by_size_of_store(servers: list[Server], rounds: int, seconds: int) -> list[str]:
    """Gets a second with few jobs and with many; what was missed."""
    missed = []
    few, many = servers
    print("\n| connections | jobs | requests/s | p50 ms | p99 ms | RSS MiB |\n|---|---|---|---|---|---|")
    for connections in (1, 8, 64):
        rates: dict[int, list[Rate]] = {server.jobs: [] for server in servers}
        for number in range(rounds):
            for server in servers if number % 2 == 0 else servers[::-1]:
                rates[server.jobs].append(server.rate(connections, seconds))
        for server in servers:
            mine = rates[server.jobs]
            print(
                f"| {connections} | {server.jobs} "
                f"| {statistics.median(rate.requests_per_s for rate in mine):.0f} "
                f"| {statistics.median(rate.p50_ms for rate in mine):.2f} "
                f"| {statistics.median(rate.p99_ms for rate in mine):.2f} "
                f"| {server.daemon.resident_octets() / 1048576:.0f} |",
                flush=True,
            )
        pairs = zip(rates[few.jobs], rates[many.jobs], strict=True)
        slower = statistics.median(one.requests_per_s / other.requests_per_s for one, other in pairs)
        if slower > MOST_SLOWER:
            missed.append(f"{connections} connections: {slower:.2f} times slower with {many.jobs} jobs")
    return missed


def main() -> int:
    """The exit status."""
    parser = argparse.ArgumentParser(prog="bench.answer_rate", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=4, help="of one measurement")
    parser.add_argument("--jobs", type=int, default=MANY, help="in the larger store")
    parser.add_argument("--against", type=Path, help="an earlier build, measured beside this one")
    parser.add_argument("--only", choices=("store", "instructions", "rates"), help="one part alone")
    parser.add_argument("--report-only", action="store_true", help="a missed bar is no failure")
    given = parser.parse_args()
    # A stop from outside takes the servers and folders along.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    require("wrk", "valgrind", "openssl")
    folder = Path(tempfile.mkdtemp(prefix="bitsd-bench-", dir="/var/tmp"))
    missed = []
    servers: list[Server] = []
    try:
        if given.only in (None, "store"):
            for jobs in (FEW, given.jobs):
                servers.append(Server(folder / str(jobs), jobs))
                print(f"{servers[-1].count()} jobs in the store", flush=True)
            missed += by_size_of_store(servers, given.rounds, given.seconds)
            for server in servers:
                server.daemon.kill()
        if given.only in (None, "instructions"):
            missed += side_by_side(folder / "callgrind", given.against)
        if given.against and given.only in (None, "rates"):
            missed += rates_side_by_side(folder, given.against, given.rounds, given.seconds)
    finally:
        for server in servers:
            server.daemon.kill()
        shutil.rmtree(folder, ignore_errors=True)
    print("\n" + ("\n".join(f"MISSED {line}" for line in missed) or "all bars reached"))
    return 1 if missed and not given.report_only else 0


def _ok(client: Client, text: str) -> None:
    answer = client.post(text.encode())
    if answer.status != 200:
        raise RuntimeError(f"HTTP {answer.status}")


def _number(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)


def _latency(out: str, percent: str) -> float:
    found = re.search(rf"^\s+{percent}%\s+([\d.]+)(us|ms|s)$", out, re.MULTILINE)
    assert found, out
    return float(found[1]) * {"us": 0.001, "ms": 1.0, "s": 1_000.0}[found[2]]


if __name__ == "__main__":
    sys.exit(main())
