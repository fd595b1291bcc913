"""The table of outcomes: `python -m outcomes [-k PATTERN] [--record]`.

Every row of `table.toml` is a server that does one thing wrong (or right). Each is
tried against the built binary as a download, an upload and an upload-reply, all at
the same time; then once more with a SIGKILL of the daemon while every server is in
the middle of its first answer. What comes of it must be what the table says.

`--record` writes what came of it into the table, for a person to read.
"""

from __future__ import annotations

import argparse
import re
import shutil
import sys
import tempfile
import time
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.checks import Checks
from harness.daemon import Daemon
from harness.origin import content
from harness.scripted import Case, ScriptedOrigin
from harness.wsman import COMPLETE, ERROR, RESUME, TRANSFERRED, TRANSIENT_ERROR, Client, Fault
from outcomes.certificates import Certificates

TABLE = Path(__file__).parent / "table.toml"
KINDS = ("download", "upload", "reply")
STATES = {ERROR: "ERROR", TRANSIENT_ERROR: "TRANSIENT_ERROR", TRANSFERRED: "TRANSFERRED"}
# Nothing waits shorter: "SetMinimumRetryDelay".
RETRY_DELAY_S = 5
# Nothing comes for so long: the server stalls.
IDLE_TIMEOUT_S = 3
# No server that is held may stall before all are.
IDLE_TIMEOUT_WITH_KILL_S = 20
ENDS_WITHIN_S = 150.0
HELD_WITHIN_S = 30.0
# Held in the middle of an answer until what came is on disk.
HELD_FOR_S = 1.5


@dataclass
class Tried:
    """A row as one kind of job, and what has come of it so far."""

    row: dict[str, Any]
    kind: str
    case: Case
    url: str
    local: Path
    reply: Path
    job: str = ""
    refused: str = ""
    first: str = "-"
    seen: dict[str, int] = field(default_factory=dict)
    ended: bool = False
    wrong: str = ""

    @property
    def title(self) -> str:
        """What the checks call it."""
        return f"{self.row['name']} ({self.kind})"

    def most(self) -> int:
        """Octets of what is sent twice; the source of a reply goes out once."""
        return (3 if self.kind == "reply" else 2) * len(self.case.versions[1])

    def outcome(self) -> dict[str, Any]:
        """As the table has it."""
        if self.refused:
            return {"refused": self.refused}
        return {
            "first": self.first,
            "end": STATES.get(self.seen["State"], str(self.seen["State"])),
            "retries": self.seen["TransientErrorCount"],
            "requests": len(self.case.times),
            "octets": self.most() if self.row.get("loose") else self.case.octets,
        }


class Trial:
    """All rows, once."""

    def __init__(self, folder: Path, rows: list[dict[str, Any]], size: int, with_kill: bool) -> None:
        self._with_kill = with_kill
        certificates = Certificates(folder / "certificates")
        self._origins = {"plain": ScriptedOrigin()}
        self._origins |= {name: ScriptedOrigin(pair) for name, pair in certificates.pairs.items()}
        settings = {
            "engine": {"foreground_jobs": 1_000, "running_jobs": 1_000},
            "transfer": {
                "ca_certificates": str(certificates.authority),
                "idle_timeout_s": IDLE_TIMEOUT_WITH_KILL_S if with_kill else IDLE_TIMEOUT_S,
                "connections_per_origin": 10_000,
            },
            "files": {"read_roots": [str(folder / "daemon" / "files")]},
        }
        self._daemon = Daemon(folder / "daemon", settings)
        self.tried = [
            self._plan(number, row, kind, row.get("size", size))
            for number, row in enumerate(rows)
            for kind in KINDS
        ]

    def run(self) -> None:
        """Makes the jobs, starts them all, and watches them to their ends."""
        self._daemon.start()
        try:
            self._try_all()
        finally:
            self._daemon.kill()
            for origin in self._origins.values():
                origin.close()

    def _plan(self, number: int, row: dict[str, Any], kind: str, size: int) -> Tried:
        key = f"{kind}-{number}"
        versions = {version: content(f"{key} version {version}", size) for version in (1, 2)}
        case = Case(key, kind, row["script"], versions)
        url = self._origins[row.get("origin", "plain")].add(case)
        local = self._daemon.files / key
        if kind != "download":
            local.write_bytes(versions[1])
        return Tried(row, kind, case, url, local, self._daemon.files / f"{key}.reply")

    def _try_all(self) -> None:
        client = self._daemon.client()
        for tried in self.tried:
            try:
                tried.job = create(client, tried)
                client.put(tried.job, {"MinimumRetryDelay": RETRY_DELAY_S, "Priority": 0})
            except Fault as fault:
                tried.refused, tried.ended = f"{fault.codes}", True
        if self._with_kill:
            for tried in self.tried:
                tried.case.gate.clear()
        for tried in self.tried:
            if not tried.ended:
                client.set_state(tried.job, RESUME)
        if self._with_kill:
            self._kill_in_the_middle(client)
            client = self._daemon.client()
        deadline = time.monotonic() + ENDS_WITHIN_S
        while not all(tried.ended for tried in self.tried) and time.monotonic() < deadline:
            self._look(client)
            time.sleep(0.25)
        self._complete(client)
        client.close()

    def _kill_in_the_middle(self, client: Client) -> None:
        deadline = time.monotonic() + HELD_WITHIN_S
        waiting = [tried for tried in self.tried if not tried.ended]
        while waiting and time.monotonic() < deadline:
            self._look(client)
            waiting = [tried for tried in waiting if not (tried.ended or tried.case.at_gate.is_set())]
            time.sleep(0.1)
        time.sleep(HELD_FOR_S)
        client.close()
        self._daemon.kill()
        # Whoever asked is gone: what was held is not given.
        for tried in self.tried:
            tried.case.was_given = tried.ended
            tried.case.gate.set()
        time.sleep(0.5)
        self._daemon.start()

    def _look(self, client: Client) -> None:
        """Sees where the jobs stand, and why."""
        wanted = {tried.job: tried for tried in self.tried if not tried.ended}
        for seen in client.jobs(most=1_000):
            tried = wanted.get(seen.id)
            if tried is None:
                continue
            tried.seen = {name: seen.number(name) for name in ("State", "TransientErrorCount")}
            if seen.state in (ERROR, TRANSIENT_ERROR) and tried.first == "-":
                try:
                    code = int(client.error(tried.job)["ErrorCode"])
                except Fault:
                    continue
                tried.first = f"{STATES[seen.state]} 0x{code:08X}"
            tried.ended = seen.state in (ERROR, TRANSFERRED)

    def _complete(self, client: Client) -> None:
        """Puts what was transferred in its place, and looks at it."""
        for tried in self.tried:
            if tried.seen.get("State") == TRANSFERRED:
                client.set_state(tried.job, COMPLETE)
                tried.wrong = self._wrong(tried)
            elif tried.local.exists() and tried.kind == "download":
                tried.wrong = "the file is there, though the job failed"

    def _wrong(self, tried: Tried) -> str:
        """What is wrong with what arrived; nothing if it is right."""
        case = tried.case
        if tried.kind != "download" and case.uploaded != case.versions[1]:
            return "the server has something else"
        data = case.versions[case.version]
        # After the SIGKILL a range is asked for, which tells the whole size.
        shorter = 0 if self._with_kill else tried.row.get("shorter", 0)
        if tried.kind == "download":
            return _differs(tried.local, data[: len(data) - shorter])
        return _differs(tried.reply, data[::-1][: len(data) - shorter]) if tried.kind == "reply" else ""


def create(client: Client, tried: Tried) -> str:
    """The job of a row, suspended."""
    if tried.kind == "reply":
        reply = {"Type": 2, "ReplyFileName": str(tried.reply)}
        return client.create_bitsd_job(tried.title, tried.url, tried.local, **reply)
    kind = {"download": 0, "upload": 1}[tried.kind]
    return client.create_job(tried.title, tried.url, tried.local, Type=kind)


def _differs(path: Path, data: bytes) -> str:
    if not path.exists():
        return f"{path.name} is not there"
    return "" if path.read_bytes() == data else f"{path.name} is something else"


def compare(checks: Checks, tried: Tried, with_kill: bool) -> None:
    """Holds what came of a row against the table."""
    wanted = tried.row.get(tried.kind, {})
    if with_kill:
        wanted = tried.row.get(f"{tried.kind}_killed", wanted)
    others = [wanted, tried.row.get(f"{tried.kind}_or", wanted)]
    holds = any(fits(tried, one, with_kill) for one in others)
    about = f"{tried.title}, with a SIGKILL in the middle" if with_kill else tried.title
    found = f"{tried.outcome()}, {tried.case.octets} octets"
    checks.that(holds and not tried.wrong, about, f"{found}, wanted {wanted} {tried.wrong}")


def fits(tried: Tried, wanted: dict[str, Any], with_kill: bool) -> bool:
    """Is it what the table says?"""
    found = tried.outcome()
    found.pop("octets", None)
    octets, most = tried.case.octets, wanted.get("octets", 0)
    least = 0 if tried.row.get("loose") else most
    if with_kill and tried.kind == "upload":
        # Fragments begin elsewhere then, and are as many as it takes.
        found.pop("requests", None)
        wanted = {name: value for name, value in wanted.items() if name != "requests"}
        least = least if wanted.get("end") == "TRANSFERRED" else 0
    if with_kill and tried.row.get("loose_killed"):
        least = len(tried.case.versions[1]) * (2 if tried.kind == "reply" else 1)
    if with_kill:
        # What came of the first answer until the middle may have come in vain.
        most += len(tried.case.versions[1]) // 4
    holds = found == {name: value for name, value in wanted.items() if name != "octets"}
    holds = holds and least <= octets <= most
    early = tried.row.get("not_before")
    if early and len(tried.case.times) > 1 and tried.kind != "reply":
        holds = holds and tried.case.times[1] - tried.case.times[0] >= early
    return holds


def record(rows: list[dict[str, Any]], tried: list[Tried]) -> None:
    """Writes what came of each row into the table."""
    text = TABLE.read_text()
    for row in rows:
        kinds = [one for one in tried if one.row is row]
        lines = "".join(f"{one.kind} = {_inline(one.outcome())}\n" for one in kinds)
        name = re.escape(f'name = "{row["name"]}"\n')
        whole = re.search(name + r"(?:(?!\n\[\[row).)*", text, re.DOTALL)
        assert whole, row["name"]
        kept = [line for line in whole[0].splitlines() if not line.startswith(tuple(f"{kind} =" for kind in KINDS))]
        while kept and not kept[-1]:
            kept.pop()
        text = text.replace(whole[0], "\n".join(kept) + "\n" + lines, 1)
    TABLE.write_text(text)


def _inline(values: dict[str, Any]) -> str:
    shown = (f'{name} = "{value}"' if isinstance(value, str) else f"{name} = {value}" for name, value in values.items())
    return "{ " + ", ".join(shown) + " }"


def attempt(rows: list[dict[str, Any]], size: int, with_kill: bool) -> list[Tried]:
    """All rows once, in a folder of their own."""
    folder = Path(tempfile.mkdtemp(prefix="bitsd-outcomes-"))
    try:
        trial = Trial(folder, rows, size, with_kill)
        trial.run()
        return trial.tried
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def main() -> int:
    """The exit status."""
    parser = argparse.ArgumentParser(prog="outcomes", description=__doc__)
    parser.add_argument("-k", metavar="PATTERN", default="", help="only rows whose name contains it")
    parser.add_argument("--record", action="store_true")
    given = parser.parse_args()
    table = tomllib.loads(TABLE.read_text())
    rows = [row for row in table["row"] if given.k in row["name"]]
    if given.record:
        record(rows, attempt(rows, table["size"], with_kill=False))
        return 0
    checks = Checks("outcomes")
    for with_kill in (False, True):
        for tried in attempt(rows, table["size"], with_kill):
            compare(checks, tried, with_kill)
    return checks.finish()


sys.exit(main())
