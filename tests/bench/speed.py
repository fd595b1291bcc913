"""Transfers against public downloaders: `python -m bench.speed`.

nginx on loopback serves; each round runs every contender once, in an order
that rotates. The daemon's job is built suspended; its clock runs from Resume
to State 6, with store and checkpoints as always. A ratio is the peer's time
by ours within one round; what is held against a bar is the median ratio.

The row `line` runs over 20 ms and 1 % loss between two namespaces
(`bench.line`) and needs root.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import signal
import statistics
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from bench.field import MIB, Field
from bench.line import FAR_ADDRESS, Line, Unavailable
from bench.peers import Cost, PeerFailed, available, require

OURS = "bitsd"
HASHED = "bitsd, SHA-256"
BITS = "bitsd, BITS_POST to bitsd"
ROWS = ("memory", "disk", "tls", "many", "tiny", "line", "upload", "resident")
PEERS = ("curl", "wget", "wget2", "aria2c", "rclone", "axel", "lftp")


@dataclass
class Row:
    """One comparison and its bars."""

    title: str
    # The least ratio to each of these.
    bars: dict[str, float]
    octets: int
    contenders: dict[str, Callable[[], Cost]]
    # Our CPU seconds by this peer's are at most one.
    cpu_peer: str | None = None
    costs: dict[str, list[Cost]] = field(default_factory=dict)

    def run(self, rounds: int) -> None:
        """All rounds; the first one, which warms up, does not count."""
        names = list(self.contenders)
        for number in range(rounds + 1):
            turn = number % len(names)
            for name in names[turn:] + names[:turn]:
                if name not in self.contenders:
                    continue
                os.sync()
                try:
                    cost = self.contenders[name]()
                except PeerFailed as why:
                    print(f"\n{self.title}: without {name}, which failed: {why}", flush=True)
                    del self.contenders[name]
                    self.costs.pop(name, None)
                    continue
                if number:
                    self.costs.setdefault(name, []).append(cost)

    def ratio(self, to: str) -> float:
        """How much faster we are, by the median of rounds."""
        return self._median(OURS, to, lambda ours, peer: peer.seconds / ours.seconds)

    def cpu_ratio(self, to: str) -> float:
        """Our CPU seconds by the peer's, by the median of rounds."""
        return self._median(OURS, to, lambda ours, peer: ours.cpu_seconds / max(peer.cpu_seconds, 0.01))

    def table(self) -> str:
        """The row's own table, in Markdown."""
        bars = ", ".join(f"{bar} x {peer}" for peer, bar in self.bars.items())
        lines = [
            f"\n**{self.title}** (bars: {bars})\n",
            "| | MB/s | s (least to most) | CPU s | RSS MiB | ratio to it |",
            "|---|---|---|---|---|---|",
        ]
        for name, costs in self.costs.items():
            times = [cost.seconds for cost in costs]
            seconds = statistics.median(times)
            cpu = statistics.median(cost.cpu_seconds for cost in costs)
            resident = max(cost.resident_octets for cost in costs) / MIB
            mark = "" if name == OURS or OURS not in self.costs else f"{self.ratio(name):.2f}"
            spread = f"{seconds:.3f} ({min(times):.3f} to {max(times):.3f})"
            lines.append(
                f"| {name} | {self.octets / seconds / 1e6:.0f} | {spread} | {cpu:.2f} | {resident:.0f} | {mark} |"
            )
        return "\n".join(lines)

    def missed(self) -> list[str]:
        """The bars that were not reached."""
        if OURS not in self.costs:
            return []
        missed = []
        for peer, bar in self.bars.items():
            if peer not in self.costs:
                missed.append(f"{self.title}: no {peer} to compare with")
            elif self.ratio(peer) < bar:
                missed.append(f"{self.title}: {self.ratio(peer):.2f} x {peer}, wanted {bar}")
        if self.cpu_peer in self.costs and self.cpu_ratio(self.cpu_peer) > 1.0:
            ratio = self.cpu_ratio(self.cpu_peer)
            missed.append(f"{self.title}: {ratio:.2f} x the CPU seconds of {self.cpu_peer}, wanted at most 1.0")
        return missed

    def _median(self, ours: str, to: str, ratio: Callable[[Cost, Cost], float]) -> float:
        pairs = zip(self.costs[ours], self.costs[to], strict=True)
        return statistics.median(ratio(own, peer) for own, peer in pairs)


class Rows:
    """The rows that can be had of a field and the peers that are here."""

    def __init__(self, ground: Field, peers: set[str]) -> None:
        self.ground, self.peers = ground, peers

    def one_file(
        self, title: str, octets: int, place: Path, bars: dict[str, float], *, durable: bool = False, tls: bool = False
    ) -> Row:
        """A row of one file."""
        ground = self.ground
        name = f"one-{octets}"
        source = ground.make(name, octets)
        url = ground.nginx.url(name, tls)
        folder = place / "out" / "one"
        target = folder / "f"
        sync = [["sync", str(target)]] if durable else []
        digest = _digest(source)
        commands = _one_file_commands(url, folder, ground.nginx.ca if tls else None)
        contenders: dict[str, Callable[[], Cost]] = {
            OURS: lambda: ground.ours([(url, target)], octets),
            HASHED: lambda: ground.ours(
                [(url, target)], octets, lambda: ground.own_job([(url, target)], [digest])
            ),
        }
        for peer, command in commands.items():
            if command[0] in self.peers:
                contenders[peer] = lambda command=command: ground.theirs(folder, 1, octets, command, *sync)  # type: ignore[misc]
        return Row(title, bars, octets, contenders, cpu_peer="curl")

    def many_files(self, title: str, count: int, size: int, place: Path, bars: dict[str, float]) -> Row:
        """A row of many small files in one job."""
        ground = self.ground
        source = f"many-{size}"
        names = ground.make_many(source, count, size)
        urls = [ground.nginx.url(f"{source}/{name}") for name in names]
        octets = count * size
        folder = place / "out" / "many"
        listing = ground.memory / f"list-{size}"
        listing.write_text("\n".join(urls) + "\n")
        configuration = place / f"curlrc-{size}"
        pairs = zip(urls, names, strict=True)
        configuration.write_text("\n".join(f'url="{url}"\noutput="{folder}/{name}"' for url, name in pairs))
        files = [(url, folder / name) for url, name in zip(urls, names, strict=True)]
        base = ground.nginx.url("").rstrip("/")
        commands = {
            "aria2c": ["aria2c", "-q", "-j16", "-d", str(folder), "-i", str(listing)],
            "wget2": ["wget2", "-q", "-nd", "--max-threads=16", "-P", str(folder), "-i", str(listing)],
            "curl -Z": ["curl", "-sS", "-f", "-Z", "--no-progress-meter", "--parallel-max", "50", "-K", str(configuration)],
            "wget": ["wget", "-q", "-nd", "-P", str(folder), "-i", str(listing)],
            "rclone": [
                "rclone", "copy", "--transfers", "16", "--http-no-head", "--http-url", base,
                f":http:{source}/", str(folder), "--files-from", str(ground.memory / f"names-{size}"),
            ],
        }
        (ground.memory / f"names-{size}").write_text("\n".join(names) + "\n")
        digests = [_digest(ground.root / source / name) for name in names]
        contenders: dict[str, Callable[[], Cost]] = {
            OURS: lambda: ground.ours(files, octets),
            HASHED: lambda: ground.ours(files, octets, lambda: ground.own_job(files, digests)),
        }
        for peer, command in commands.items():
            if command[0] in self.peers:
                contenders[peer] = lambda command=command: ground.theirs(folder, count, octets, command)  # type: ignore[misc]
        return Row(title, bars, octets, contenders)

    def upload(self, octets: int) -> Row:
        """A row of one upload: by PUT, and by the BITS protocol to a daemon of ours."""
        ground = self.ground
        source = ground.make(f"one-{octets}", octets)
        arrived = ground.nginx.put / "f"
        url = ground.nginx.url("put/f")
        folder, hosted = ground.host()

        def put_ours(url: str, method: str, arrived: Path) -> Cost:
            arrived.unlink(missing_ok=True)
            files = [(url, source)]
            cost = ground.ours(files, octets, lambda: ground.own_job(files, None, 1, method), is_upload=True)
            _check_upload(arrived, octets)
            return cost

        def put_theirs(command: list[str]) -> Cost:
            arrived.unlink(missing_ok=True)
            cost = ground.theirs(ground.memory / "out" / "none", 0, 0, command)
            _check_upload(arrived, octets)
            return cost

        commands = {
            "curl": ["curl", "-sS", "-f", "-T", str(source), url],
            "wget": ["wget", "-q", "-O", "/dev/null", "--method=PUT", f"--body-file={source}", url],
        }
        contenders: dict[str, Callable[[], Cost]] = {
            OURS: lambda: put_ours(url, "PUT", arrived),
            BITS: lambda: put_ours(hosted("f"), "", folder / "f"),
        }
        for peer, command in commands.items():
            if command[0] in self.peers:
                contenders[peer] = lambda command=command: put_theirs(command)  # type: ignore[misc]
        return Row(f"upload of {octets // MIB} MiB by PUT", {"curl": 0.95}, octets, contenders, cpu_peer="curl")


def line_rows(given: argparse.Namespace, disk: Path, memory: Path, peers: set[str], rounds: int) -> list[Row]:
    """The rows of the long line: the host's own congestion control, and Reno."""
    rows: list[Row] = []
    try:
        with Line(delay_ms=20, loss=0.01, rate_mbit=1000) as line, line.near():
            for control in (None, "reno"):
                size = given.line_mib if control is None else given.reno_mib
                if not size:
                    continue
                if control and not line.congestion_control(control):
                    print(f"\nSKIPPED the line with {control}: not to be had", flush=True)
                    continue
                place = Path(tempfile.mkdtemp(dir=memory))
                place.chmod(0o755)
                ground = Field(Path(tempfile.mkdtemp(dir=disk)), place, FAR_ADDRESS, line.far)
                try:
                    trip = line.round_trip_ms(ground.nginx.ports[0])
                    title = f"{size} MiB over {trip:.1f} ms, 1 % loss, {control or 'congestion control of the host'}"
                    if not 19.0 <= trip <= 30.0:
                        raise Unavailable(f"round trip of {trip:.1f} ms")
                    row = Rows(ground, peers).one_file(title, size * MIB, place, {})
                    row.cpu_peer = None
                    del row.contenders[HASHED]
                    row.run(rounds)
                    # The best peer is known only now.
                    best = min(
                        (name for name in row.costs if name != OURS),
                        key=lambda name: statistics.median(cost.seconds for cost in row.costs[name]),
                    )
                    row.bars = {best: 0.95}
                    rows.append(row)
                    print(row.table(), flush=True)
                finally:
                    ground.close()
                    shutil.rmtree(place, ignore_errors=True)
    except Unavailable as why:
        print(f"\nSKIPPED the long line: {why}", flush=True)
    return rows


def resident(ground: Field, megabytes: int) -> list[str]:
    """Sixteen big files at once, in one job and in four: the peak of resident memory."""
    missed = []
    octets = megabytes * MIB
    name = f"one-{octets}"
    ground.make(name, octets)
    for place in ("disk", "memory"):
        base = (ground.disk if place == "disk" else ground.memory) / "out" / "sixteen"
        for jobs, tls in ((1, False), (4, False), (4, True)):
            url = ground.nginx.url(name, tls)
            files = [[(url, base / f"{job}-{number}") for number in range(16 // jobs)] for job in range(jobs)]
            # What earlier rows left behind in the heap is no part of this.
            ground.restart()
            seconds, peak = ground.side_by_side(files)
            shutil.rmtree(base)
            words = f"16 x {megabytes} MiB to {place} in {jobs} jobs{', TLS' if tls else ''}"
            print(f"\n{words}: {peak / MIB:.0f} MiB resident at most, {16 * octets / seconds / 1e6:.0f} MB/s", flush=True)
            if peak > 160 * MIB:
                missed.append(f"{words}: {peak / MIB:.0f} MiB resident, wanted at most 160")
    return missed


def main() -> int:
    """The exit status."""
    parser = argparse.ArgumentParser(prog="bench.speed", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--small-mib", type=int, default=1024)
    parser.add_argument("--large-mib", type=int, default=4096)
    parser.add_argument("--line-mib", type=int, default=256, help="over the long line; 0: not")
    parser.add_argument("--reno-mib", type=int, default=64, help="the same with a loss-based sender; 0: not")
    parser.add_argument("--many", type=int, default=2_000, help="files of 100 KiB")
    parser.add_argument("--tiny", type=int, default=20_000, help="files of 4 KiB")
    parser.add_argument("--disk", type=Path, default=Path("/var/tmp"), help="folder on the disk")
    parser.add_argument("--memory", type=Path, default=Path("/dev/shm"), help="folder in memory")
    parser.add_argument("--only", choices=ROWS, action="append")
    parser.add_argument("--peers", nargs="*", default=list(PEERS), choices=PEERS)
    parser.add_argument("--report-only", action="store_true", help="a missed bar is no failure")
    given = parser.parse_args()
    # A stop from outside takes the servers and folders along.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    require("nginx", "openssl")
    peers = available(*given.peers)
    os.environ["PATH"] += ":/usr/sbin"
    os.environ["RCLONE_CONFIG"] = "/dev/null"
    disk = Path(tempfile.mkdtemp(prefix="bitsd-bench-", dir=given.disk))
    memory = Path(tempfile.mkdtemp(prefix="bitsd-bench-", dir=given.memory))
    # The server's workers read as another user where it drops root.
    memory.chmod(0o755)
    wanted = given.only or list(ROWS)
    done: list[Row] = []
    missed: list[str] = []
    ground: Field | None = None
    try:
        ground = Field(disk, memory)
        for make in _plan(Rows(ground, peers), given, wanted):
            row = make()
            ground.completes.clear()
            row.run(given.rounds)
            print(row.table(), flush=True)
            if ground.completes:
                print(f"\nComplete, apart: {statistics.median(ground.completes) * 1000:.1f} ms", flush=True)
            done.append(row)
        if "resident" in wanted:
            missed += resident(ground, given.small_mib // 4)
        if "line" in wanted:
            done += line_rows(given, disk, memory, peers, given.rounds)
    finally:
        if ground:
            ground.close()
        shutil.rmtree(disk, ignore_errors=True)
        shutil.rmtree(memory, ignore_errors=True)
    missed += [line for row in done for line in row.missed()]
    print("\n" + ("\n".join(f"MISSED {line}" for line in missed) or "all bars reached"))
    return 1 if missed and not given.report_only else 0


def _plan(rows: Rows, given: argparse.Namespace, wanted: list[str]) -> list[Callable[[], Row]]:
    ground = rows.ground
    small, large = given.small_mib, given.large_mib
    plan: list[tuple[str, Callable[[], Row]]] = [
        (
            "memory",
            lambda: rows.one_file(f"{large} MiB to tmpfs", large * MIB, ground.memory, {"curl": 1.1, "wget2": 0.95}),
        ),
        (
            "disk",
            lambda: rows.one_file(
                f"{small} MiB to disk, durable", small * MIB, ground.disk, {"wget2": 1.1, "curl": 1.8}, durable=True
            ),
        ),
        (
            "tls",
            lambda: rows.one_file(f"{small} MiB over HTTPS to tmpfs", small * MIB, ground.memory, {"curl": 1.1}, tls=True),
        ),
        (
            "many",
            lambda: rows.many_files(
                f"{given.many} files of 100 KiB to tmpfs", given.many, 100 * 1024, ground.memory,
                {"aria2c": 2.5, "wget2": 0.95},
            ),
        ),
        (
            "tiny",
            lambda: rows.many_files(
                f"{given.tiny} files of 4 KiB to tmpfs", given.tiny, 4 * 1024, ground.memory,
                {"aria2c": 2.5, "curl -Z": 0.8},
            ),
        ),
        ("upload", lambda: rows.upload(small * MIB)),
    ]
    return [make for name, make in plan if name in wanted]


def _one_file_commands(url: str, folder: Path, ca: Path | None) -> dict[str, list[str]]:
    target = str(folder / "f")
    aria = ["aria2c", "-q", "--file-allocation=none", *([f"--ca-certificate={ca}"] if ca else [])]
    where = ["-d", str(folder), "-o", "f", url]
    commands = {
        "curl": ["curl", "-sS", *(["--cacert", str(ca)] if ca else []), "-o", target, url],
        "wget": ["wget", "-q", *([f"--ca-certificate={ca}"] if ca else []), "-O", target, url],
        "wget2": ["wget2", "-q", *([f"--ca-certificate={ca}"] if ca else []), "-O", target, url],
        "aria2c": [*aria, "-x1", "-s1", *where],
        "aria2c -x4": [*aria, "-x4", "-s4", "-k1M", *where],
        "rclone": ["rclone", "copyurl", *(["--ca-cert", str(ca)] if ca else []), url, target],
    }
    if not ca:
        # Neither takes an authority of its own from the command line.
        commands["axel -n4"] = ["axel", "-q", "-k", "-n4", "-o", target, url]
        commands["lftp -n4"] = ["lftp", "-c", f"pget -n 4 {url} -o {target}"]
    return commands


def _check_upload(arrived: Path, octets: int) -> None:
    if not arrived.exists() or arrived.stat().st_size != octets:
        raise RuntimeError("the upload is not there, or not whole")


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


if __name__ == "__main__":
    sys.exit(main())
