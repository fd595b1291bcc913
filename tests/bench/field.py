"""Where transfers are measured: sources, destinations, the daemon, the peers."""

from __future__ import annotations

import shutil
import subprocess
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from xml.sax.saxutils import escape

from bench.peers import Cost, Nginx, PeerFailed, run
from harness.daemon import Daemon, free_port
from harness.wsman import COMPLETE, ERROR, JOB, RESUME, TRANSFERRED, TRANSIENT_ERROR, X, method_input

MIB = 1024 * 1024

# Between two looks at a job's state; more when it takes long. On average half of
# it counts as ours.
LEAST_POLL_S = 0.003

# The part of the best time in which nobody looks.
UNWATCHED = 0.85

# Octets of files in one Create; the rest is added one by one.
ENVELOPE = 7 * MIB

OWN_JOB = "http://schemas.microsoft.com/wbem/wsman/1/wmi/root/bitsd/BitsdJob"

# Files in one call of AddFileSet.
FILE_SET = 1_000


class Field:
    """Two servers and where they read and write."""

    def __init__(
        self,
        disk: Path,
        memory: Path,
        address: str = "127.0.0.1",
        far: list[str] | None = None,
        settings: dict[str, dict[str, object]] | None = None,
    ) -> None:
        self.disk, self.memory = disk, memory
        self.root = memory / "root"
        self.root.mkdir(parents=True, exist_ok=True)
        self.nginx = Nginx(memory / "nginx", self.root, address, far)
        self.completes: list[float] = []
        # When a job of each kind has been done at the earliest.
        self._quickest: dict[tuple[int, int, bool], float] = {}
        self.hosting: Daemon | None = None
        self.hosting_port = 0
        for place in (disk, memory):
            (place / "out").mkdir(exist_ok=True)
        more: dict[str, dict[str, object]] = {
            "files": {
                "write_roots": [str(disk / "out"), str(memory / "out")],
                "read_roots": [str(self.root)],
                "drives": {},
            },
            "transfer": {
                "ca_certificates": str(self.nginx.ca),
                "allow_addresses": ["127.0.0.0/8", f"{address}/32"],
            },
            "wsman": {"max_envelope_size_kb": 8192},
        }
        for section, keys in (settings or {}).items():
            more.setdefault(section, {}).update(keys)
        self.daemon = Daemon(disk / "daemon", more)
        self.daemon.start()
        self.client = self.daemon.client()

    def close(self) -> None:
        """Ends both servers."""
        self.client.close()
        self.daemon.kill()
        if self.hosting:
            self.hosting.kill()
        self.nginx.close()

    def restart(self) -> None:
        """A daemon that has done nothing yet."""
        self.client.close()
        self.daemon.restart()
        self.client = self.daemon.client()

    def make(self, name: str, octets: int) -> Path:
        """A source of so many octets that nothing can compress away."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            _make(path, octets)
        return path

    def make_many(self, name: str, count: int, octets: int) -> list[str]:
        """The names of `count` sources of so many octets each."""
        folder = self.root / name
        if not folder.exists():
            folder.mkdir()
            whole = self.make("seed", 64 * MIB).read_bytes()
            for number in range(count):
                at = number * 977 % (len(whole) - octets)
                (folder / f"{number:05}").write_bytes(whole[at : at + octets])
        return sorted(path.name for path in folder.iterdir())

    def job(self, files: list[tuple[str, Path]]) -> str:
        """A suspended foreground job; built before any clock runs."""
        first = list(_fitting(files))
        inner = "".join(first)
        body = f'<p:BitsClientJob xmlns:p="{JOB}"><p:DisplayName>bench</p:DisplayName>{inner}</p:BitsClientJob>'
        made = self.client.call(f"{X}/Create", body)
        job = next(one.text or "" for one in made.iter() if one.get("Name") == "JobId")
        for url, path in files[len(first) :]:
            self.client.add_file(job, url, path)
        self.client.put(job, {"Priority": 0})
        return job

    def own_job(
        self, files: list[tuple[str, Path]], digests: list[str] | None = None, kind: int = 0, method: str = ""
    ) -> str:
        """The same by the class of our own: with expected digests, a direction, a method."""
        values: dict[str, object] = {"DisplayName": "bench", "Suspend": "true", "Type": kind, "Priority": 0}
        if method:
            values["HttpMethod"] = method
        url, path = files[0]
        values |= {"RemoteUrl": url, "LocalFile": path}
        if digests:
            values["ExpectedSha256"] = digests[0]
        made = self._invoke("CreateJob", method_input("CreateJob", values, OWN_JOB))
        job = next(one.text or "" for one in made.iter() if one.tag.endswith("}JobId"))
        for start in range(1, len(files), FILE_SET):
            inner = []
            for number, (url, path) in enumerate(files[start : start + FILE_SET], start):
                digest = f"<p:ExpectedSha256>{digests[number]}</p:ExpectedSha256>" if digests else ""
                address = f"<p:RemoteUrl>{escape(url)}</p:RemoteUrl><p:LocalFile>{escape(str(path))}</p:LocalFile>"
                inner.append(f"<p:Files>{address}{digest}</p:Files>")
            body = f'<p:AddFileSet_INPUT xmlns:p="{OWN_JOB}">{"".join(inner)}</p:AddFileSet_INPUT>'
            self._invoke("AddFileSet", body, job)
        return job

    def ours(
        self, files: list[tuple[str, Path]], octets: int, make: Callable[[], str] | None = None, is_upload: bool = False
    ) -> Cost:
        """Our run of the job that `make` makes: from Resume to State 6; Complete apart."""
        job = make() if make else self.job(files)
        self._forget_peak()
        cpu = self.daemon.cpu_seconds()
        began = time.monotonic()
        self.client.set_state(job, RESUME)
        # Whoever looks takes time of both. What has ended before the first look
        # counts until then, and the next such job is looked at earlier.
        alike = (len(files), octets, is_upload)
        time.sleep(self._quickest.get(alike, 0.0) * UNWATCHED)
        looks = self.wait([job])
        taken = time.monotonic() - began
        ended = taken if looks > 1 else taken / 2
        self._quickest[alike] = min(ended, self._quickest.get(alike, ended))
        cost = Cost(taken, self.daemon.cpu_seconds() - cpu, self._peak())
        self.complete(job)
        if not is_upload:
            check_and_clear(files[0][1].parent, len(files), octets)
        return cost

    def side_by_side(self, jobs: list[list[tuple[str, Path]]]) -> tuple[float, int]:
        """Runs jobs at once; seconds, and the peak of resident memory."""
        made = [self.job(files) for files in jobs]
        self._forget_peak()
        began = time.monotonic()
        for job in made:
            self.client.set_state(job, RESUME)
        self.wait(made)
        seconds, peak = time.monotonic() - began, self._peak()
        for job in made:
            self.complete(job)
        return seconds, peak

    def wait(self, jobs: Iterable[str]) -> int:
        """Until all are transferred; says how often it looked."""
        began = time.monotonic()
        looks = 1
        for job in jobs:
            while (state := self._state(job)) != TRANSFERRED:
                if state in (ERROR, TRANSIENT_ERROR):
                    raise RuntimeError(str(self.client.error(job)))
                time.sleep(max(LEAST_POLL_S, (time.monotonic() - began) / 50))
                looks += 1
        return looks

    def complete(self, job: str) -> None:
        """Completes, and notes how long that took."""
        began = time.monotonic()
        self.client.set_state(job, COMPLETE)
        self.completes.append(time.monotonic() - began)

    def theirs(self, folder: Path, count: int, octets: int, *commands: list[str]) -> Cost:
        """A peer's run into `folder`."""
        folder.mkdir(exist_ok=True)
        try:
            cost = run(*commands)
        except PeerFailed:
            shutil.rmtree(folder)
            raise
        check_and_clear(folder, count, octets)
        return cost

    def host(self) -> tuple[Path, Callable[[str], str]]:
        """A second daemon, to which anybody may upload: the folder, and addresses in it."""
        folder = self.memory / "hosted"
        if self.hosting is None:
            folder.mkdir()
            port = free_port()
            row = {"path": "/in", "folder": str(folder), "anonymous": True, "allow_overwrites": True}
            self.hosting = Daemon(
                self.disk / "hosting",
                {
                    "service": {"listen_http": [f"127.0.0.1:{port}"]},
                    "hosting": {"allow_unencrypted": True, "upload_folders": [row]},
                },
            )
            self.hosting.start()
            self.hosting_port = port
        return folder, lambda name: f"http://127.0.0.1:{self.hosting_port}/in/{name}"

    def _invoke(self, method: str, body: str, job: str | None = None) -> ET.Element:
        selectors = {"JobId": job} if job else None
        return self.client.call(f"{OWN_JOB}/{method}", body, selectors, OWN_JOB)

    def _state(self, job: str) -> int:
        """The state alone: a whole Get of many files costs both sides what is to be measured."""
        header = '<w:FragmentTransfer s:mustUnderstand="true">State/text()</w:FragmentTransfer>'
        answer = self.client.call(f"{X}/Get", selectors={"JobId": job}, header=header)
        return int("".join(answer.itertext()))

    def _forget_peak(self) -> None:
        process = self.daemon.process
        assert process
        with suppress(OSError):
            Path(f"/proc/{process.pid}/clear_refs").write_text("5")

    def _peak(self) -> int:
        process = self.daemon.process
        assert process
        for line in Path(f"/proc/{process.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
        return 0


def check_and_clear(folder: Path, count: int, octets: int) -> None:
    """Holds what has come against what was wanted, and removes it."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    found = sum(path.stat().st_size for path in files)
    if len(files) != count or found != octets:
        raise RuntimeError(f"{len(files)} files of {count}, {found} octets of {octets}")
    shutil.rmtree(folder)
    folder.mkdir()


def _fitting(files: list[tuple[str, Path]]) -> Iterable[str]:
    room = ENVELOPE
    for url, path in files:
        one = f"<p:Files><p:RemoteUrl>{escape(url)}</p:RemoteUrl><p:LocalFile>{escape(str(path))}</p:LocalFile></p:Files>"
        room -= len(one)
        if room < 0:
            return
        yield one


def _make(path: Path, octets: int) -> None:
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
