"""Transfers against public downloaders: `python -m bench.speed`.

nginx on loopback serves; each round runs every contender once, in an order
that rotates. The daemon's job is built suspended; its clock runs from Resume
to State 6, with store and checkpoints as always. A ratio is the peer's time
by ours within one round; what is held against a bar is the median ratio.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from bench.peers import Cost, Nginx, require, run
from harness.daemon import Daemon
from harness.wsman import COMPLETE, ERROR, RESUME, TRANSFERRED, TRANSIENT_ERROR, X

MIB = 1024 * 1024

# Between two looks at a job's state; on average half of it counts as ours.
POLL_S = 0.01
OURS = "bitsd"


@dataclass
class Row:
    """One comparison and its bar."""

    title: str
    peer: str
    bar: float
    octets: int
    contenders: dict[str, Callable[[], Cost]]
    cpu_bar: bool
    costs: dict[str, list[Cost]] = field(default_factory=dict)

    def run(self, rounds: int) -> None:
        """All rounds; the first one, which warms up, does not count."""
        names = list(self.contenders)
        for number in range(rounds + 1):
            turn = number % len(names)
            for name in names[turn:] + names[:turn]:
                os.sync()
                cost = self.contenders[name]()
                if number:
                    self.costs.setdefault(name, []).append(cost)

    def ratio(self, to: str) -> float:
        """How much faster we are, by the median of rounds."""
        pairs = zip(self.costs[to], self.costs[OURS], strict=True)
        return statistics.median(peer.seconds / ours.seconds for peer, ours in pairs)

    def cpu_ratio(self) -> float:
        """Our CPU seconds by the peer's, by the median of rounds."""
        pairs = zip(self.costs[self.peer], self.costs[OURS], strict=True)
        return statistics.median(ours.cpu_seconds / peer.cpu_seconds for peer, ours in pairs)

    def table(self) -> str:
        """The row's own table, in Markdown."""
        lines = [f"\n**{self.title}** (bar: {self.bar} x {self.peer})\n", "| | MB/s | s | CPU s | ratio to it |", "|---|---|---|---|---|"]
        for name, costs in self.costs.items():
            seconds = statistics.median(cost.seconds for cost in costs)
            cpu = statistics.median(cost.cpu_seconds for cost in costs)
            mark = "" if name == OURS else f"{self.ratio(name):.2f}"
            lines.append(f"| {name} | {self.octets / seconds / 1e6:.0f} | {seconds:.3f} | {cpu:.2f} | {mark} |")
        return "\n".join(lines)

    def missed(self) -> list[str]:
        """The bars that were not reached."""
        missed = []
        if self.ratio(self.peer) < self.bar:
            missed.append(f"{self.title}: {self.ratio(self.peer):.2f} x {self.peer}, wanted {self.bar}")
        if self.cpu_bar and self.cpu_ratio() > 1.0:
            missed.append(f"{self.title}: {self.cpu_ratio():.2f} x the CPU seconds of {self.peer}, wanted at most 1.0")
        return missed


class Field:
    """Where it all happens: sources, destinations, the daemon."""

    def __init__(self, disk: Path, memory: Path, small: int, large: int, many: int) -> None:
        self.disk, self.memory = disk, memory
        self.sizes = {"small": small * MIB, "large": large * MIB}
        self.many = many
        self.root = memory / "root"
        (self.root / "many").mkdir(parents=True)
        _make(self.root / "large", self.sizes["large"])
        with (self.root / "large").open("rb") as whole:
            left = self.sizes["small"]
            with (self.root / "small").open("wb") as part:
                while left > 0:
                    left -= part.write(whole.read(min(left, MIB)))
            for n in range(many):
                (self.root / "many" / f"{n:05}").write_bytes(whole.read(100 * 1024))
                if whole.tell() + 100 * 1024 > self.sizes["large"]:
                    whole.seek(0)
        self.nginx = Nginx(memory / "nginx", self.root)
        settings = {
            "files": {"write_roots": [str(disk / "out"), str(memory / "out")], "drives": {}},
            "transfer": {"ca_certificates": str(self.nginx.ca)},
        }
        for place in (disk, memory):
            (place / "out").mkdir()
        self.daemon = Daemon(disk / "daemon", settings)
        self.daemon.start()
        self.client = self.daemon.client()
        self.completes: list[float] = []

    def close(self) -> None:
        """Ends both servers."""
        self.client.close()
        self.daemon.kill()
        self.nginx.close()

    def ours(self, files: list[tuple[str, Path]], octets: int) -> Cost:
        """Our run: from Resume to State 6; Complete apart."""
        job = self.client.create_job("bench", files[0][0], files[0][1], suspended=True)
        for url, path in files[1:]:
            self.client.add_file(job, url, path)
        self.client.put(job, {"Priority": 0})
        cpu = self.daemon.cpu_seconds()
        began = time.monotonic()
        self.client.set_state(job, RESUME)
        while (state := self._state(job)) != TRANSFERRED:
            if state in (ERROR, TRANSIENT_ERROR):
                raise RuntimeError(str(self.client.error(job)))
            time.sleep(POLL_S)
        cost = Cost(time.monotonic() - began, self.daemon.cpu_seconds() - cpu)
        began = time.monotonic()
        self.client.set_state(job, COMPLETE)
        self.completes.append(time.monotonic() - began)
        _check_and_clear(files[0][1].parent, len(files), octets)
        return cost

    def _state(self, job: str) -> int:
        """The state alone: a whole Get of many files costs both sides what is to be measured."""
        header = '<w:FragmentTransfer s:mustUnderstand="true">State/text()</w:FragmentTransfer>'
        answer = self.client.call(f"{X}/Get", selectors={"JobId": job}, header=header)
        return int("".join(answer.itertext()))

    def theirs(self, folder: Path, count: int, octets: int, *commands: list[str]) -> Cost:
        """A peer's run into `folder`."""
        folder.mkdir(exist_ok=True)
        cost = run(*commands)
        _check_and_clear(folder, count, octets)
        return cost

    def one_file(self, title: str, size: str, place: Path, bar: float, durable: bool, tls: bool) -> Row:
        """A row of one file."""
        octets = self.sizes[size]
        url = self.nginx.url(size, tls)
        folder = place / "out" / "one"
        target = folder / "f"
        sync = [["sync", str(target)]] if durable else []
        trust = ["--cacert", str(self.nginx.ca)] if tls else []
        wget_trust = [f"--ca-certificate={self.nginx.ca}"] if tls else []
        aria_trust = [f"--ca-certificate={self.nginx.ca}"] if tls else []
        curl = ["curl", "-sS", *trust, "-o", str(target), url]
        wget = ["wget2", "-q", *wget_trust, "-O", str(target), url]
        aria = ["aria2c", "-q", "--file-allocation=none", "-x1", "-s1", *aria_trust, "-d", str(folder), "-o", "f", url]
        return Row(
            title=title,
            peer="curl",
            bar=bar,
            octets=octets,
            contenders={
                OURS: lambda: self.ours([(url, target)], octets),
                "curl": lambda: self.theirs(folder, 1, octets, curl, *sync),
                "wget2": lambda: self.theirs(folder, 1, octets, wget, *sync),
                "aria2c": lambda: self.theirs(folder, 1, octets, aria, *sync),
            },
            cpu_bar=True,
        )

    def many_files(self, title: str, place: Path, bar: float) -> Row:
        """A row of many small files in one job."""
        names = sorted(path.name for path in (self.root / "many").iterdir())
        urls = [self.nginx.url(f"many/{name}") for name in names]
        octets = len(names) * 100 * 1024
        folder = place / "out" / "many"
        listing = self.memory / "list"
        listing.write_text("\n".join(urls) + "\n")
        configuration = place / "curlrc"
        configuration.write_text("\n".join(f'url="{u}"\noutput="{folder}/{n}"' for u, n in zip(urls, names, strict=True)))
        files = [(url, folder / name) for url, name in zip(urls, names, strict=True)]
        aria = ["aria2c", "-q", "-j16", "-d", str(folder), "-i", str(listing)]
        wget = ["wget2", "-q", "-nd", "--max-threads=16", "-P", str(folder), "-i", str(listing)]
        curl = ["curl", "-sS", "-f", "-Z", "--no-progress-meter", "--parallel-max", "50", "-K", str(configuration)]
        return Row(
            title=title,
            peer="aria2c",
            bar=bar,
            octets=octets,
            contenders={
                OURS: lambda: self.ours(files, octets),
                "aria2c": lambda: self.theirs(folder, len(names), octets, aria),
                "wget2": lambda: self.theirs(folder, len(names), octets, wget),
                "curl -Z": lambda: self.theirs(folder, len(names), octets, curl),
            },
            cpu_bar=False,
        )


def main() -> int:
    """The exit status."""
    parser = argparse.ArgumentParser(prog="bench.speed", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--small-mib", type=int, default=1024)
    parser.add_argument("--large-mib", type=int, default=4096)
    parser.add_argument("--many", type=int, default=2000)
    parser.add_argument("--disk", type=Path, default=Path("/var/tmp"), help="folder on the disk")
    parser.add_argument("--memory", type=Path, default=Path("/dev/shm"), help="folder in memory")
    parser.add_argument("--only", choices=("disk", "memory", "tls", "many"), action="append")
    parser.add_argument("--report-only", action="store_true", help="a missed bar is no failure")
    given = parser.parse_args()
    # A stop from outside takes the servers and folders along.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    require("nginx", "curl", "wget2", "aria2c", "openssl")
    os.environ["PATH"] += ":/usr/sbin"
    disk = Path(tempfile.mkdtemp(prefix="bitsd-bench-", dir=given.disk))
    memory = Path(tempfile.mkdtemp(prefix="bitsd-bench-", dir=given.memory))
    # The server's workers read as another user where it drops root.
    memory.chmod(0o755)
    rows: list[Row] = []
    field_: Field | None = None
    try:
        field_ = Field(disk, memory, given.small_mib, given.large_mib, given.many)
        wanted = given.only or ["disk", "memory", "tls", "many"]
        small, large = given.small_mib, given.large_mib
        if "disk" in wanted:
            rows.append(field_.one_file(f"{small} MiB to disk, durable", "small", disk, 1.5, True, False))
        if "memory" in wanted:
            rows.append(field_.one_file(f"{large} MiB to tmpfs", "large", memory, 1.0, False, False))
        if "tls" in wanted:
            rows.append(field_.one_file(f"{small} MiB over HTTPS to tmpfs", "small", memory, 1.0, False, True))
        if "many" in wanted:
            rows.append(field_.many_files(f"{given.many} files of 100 KiB to tmpfs", memory, 2.0))
            rows.append(field_.many_files(f"{given.many} files of 100 KiB to disk", disk, 2.0))
        for row in rows:
            field_.completes.clear()
            row.run(given.rounds)
            print(row.table(), flush=True)
            print(f"\nComplete, apart: {statistics.median(field_.completes) * 1000:.1f} ms")
    finally:
        if field_:
            field_.close()
        shutil.rmtree(disk, ignore_errors=True)
        shutil.rmtree(memory, ignore_errors=True)
    missed = [line for row in rows for line in row.missed()]
    print("\n" + ("\n".join(f"MISSED {line}" for line in missed) or "all bars reached"))
    return 1 if missed and not given.report_only else 0


def _make(path: Path, octets: int) -> None:
    """Octets that nothing can compress away."""
    key = ["-K", "00112233445566778899aabbccddeeff", "-iv", "0" * 32]
    with path.open("wb") as out:
        source = subprocess.Popen(
            ["openssl", "enc", "-aes-128-ctr", *key, "-in", "/dev/zero"],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )
        assert source.stdout
        left = octets
        while left > 0:
            left -= out.write(source.stdout.read(min(left, MIB)))
        source.kill()
        source.wait()


def _check_and_clear(folder: Path, count: int, octets: int) -> None:
    files = [path for path in folder.rglob("*") if path.is_file()]
    found = sum(path.stat().st_size for path in files)
    if len(files) != count or found != octets:
        raise RuntimeError(f"{len(files)} files of {count}, {found} octets of {octets}")
    shutil.rmtree(folder)
    folder.mkdir()


if __name__ == "__main__":
    sys.exit(main())
