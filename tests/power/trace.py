"""Reads what strace recorded of a program's dealings with files.

A call that strace shows in two halves takes effect at its end; `entered` says
how many calls had taken effect when it began: that is what a sync covers.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

# Everything that can change a file system, and what tells descriptors apart.
# What the model does not know is recorded all the same, and refused.
CALLS = (
    "open,openat,openat2,creat,close,close_range,dup,dup2,dup3,fcntl,lseek,write,pwrite64,writev,pwritev,pwritev2,"
    "fsync,fdatasync,syncfs,sync,rename,renameat,renameat2,unlink,unlinkat,rmdir,mkdir,mkdirat,link,linkat,"
    "symlink,symlinkat,truncate,ftruncate,fallocate,mmap,msync,copy_file_range,sendfile,splice,io_uring_setup,"
    "utime,utimes,futimesat,utimensat,chdir,fchdir"
)
MOST_OCTETS_OF_A_WRITE = 64 * 1024 * 1024


def command(log: Path) -> list[str]:
    """What goes before the command to record. The traced process keeps its own id."""
    return [
        "strace", "-D", "-f", "-q", "-ttt", "-xx", "-y", "--seccomp-bpf",
        "-s", str(MOST_OCTETS_OF_A_WRITE), "-e", f"trace={CALLS}", "-e", "signal=none", "-o", str(log),
    ]


@dataclass(frozen=True)
class Call:
    """One system call that has ended."""

    name: str
    arguments: list[str]
    result: int
    entered_at: float
    entered: int


class Unreadable(Exception):
    """A line that is not as strace writes it."""


def calls(log: Path) -> Iterator[Call]:
    """The calls that succeeded, in the order in which they ended.

    `close` is given where it began: its number may be in use again before
    strace says that it has ended.
    """
    begun: dict[str, tuple[str, float, int, str]] = {}
    ended = 0
    with log.open() as lines:
        for line in lines:
            thread, at, rest = line.rstrip("\n").split(None, 2)
            if rest.startswith(("+++", "---")):
                continue
            resumed = re.match(r"<\.\.\. (\w+) resumed>", rest)
            if resumed:
                if thread not in begun:
                    raise Unreadable(line[:200])
                name, entered_at, entered, head = begun.pop(thread)
                text = head + rest[resumed.end() :]
                is_close = name == "close"
            else:
                found = re.match(r"(\w+)\(", rest)
                if not found:
                    raise Unreadable(line[:200])
                name, entered_at, entered = found[1], float(at), ended
                text = rest[found.end() :]
                is_close = False
                if text.endswith("<unfinished ...>"):
                    text = text.removesuffix("<unfinished ...>")
                    begun[thread] = (name, entered_at, entered, text)
                    if name == "close":
                        yield Call(name, split(text.rstrip(" )")), 0, entered_at, entered)
                        ended += 1
                    continue
            if is_close:
                continue
            arguments, _, tail = text.rpartition(") = ")
            result = re.match(r"-?(?:0x[0-9a-f]+|\d+)", tail.strip())
            if not result or result[0].startswith("-"):
                # It failed, or the process ended in it.
                continue
            value = int(result[0], 0)
            yield Call(name, split(arguments), value, entered_at, entered)
            ended += 1


def wait_for_end(log: Path, within: float = 30.0) -> None:
    """The tracer is no child of ours: waits until it has written the end."""
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        with log.open("rb") as file:
            first = file.readline().split(None, 1)[0].decode()
            file.seek(max(0, log.stat().st_size - 4_000))
            if re.search(rf"(?m)^{first} +\S+ \+\+\+ ", file.read().decode(errors="replace")):
                return
        time.sleep(0.05)
    raise Unreadable(f"{log} has no end")


def split(text: str) -> list[str]:
    """Arguments at the top level. With -xx no comma stands inside a string."""
    parts, depth, start = [], 0, 0
    for at, letter in enumerate(text) if len(text) < 4_096 else _structure(text):
        if letter in "[{":
            depth += 1
        elif letter in "]}":
            depth -= 1
        elif letter == "," and depth == 0:
            parts.append(text[start:at].strip())
            start = at + 1
    parts.append(text[start:].strip())
    return parts


def octets(text: str) -> bytes:
    """The octets of a string that strace printed in full."""
    if not text.startswith('"') or not text.endswith('"'):
        raise Unreadable(f"a string is cut short: {text[:40]} {text[-10:]}")
    return bytes.fromhex(text[1:-1].replace("\\x", ""))


def vectors(text: str) -> bytes:
    """The octets of a list of buffers."""
    return b"".join(octets(found) for found in re.findall(r'iov_base=("[^"]*")', text))


def modified(text: str) -> int:
    """The second of the two times of `utimensat`, in nanoseconds."""
    found = re.findall(r"\{tv_sec=(-?\d+), tv_nsec=(\d+)\}", text)
    if len(found) != 2:
        raise Unreadable(text[:80])
    return int(found[1][0]) * 1_000_000_000 + int(found[1][1])


def number(text: str) -> int:
    """A descriptor or a plain number."""
    found = re.match(r"-?\d+", text)
    if not found:
        raise Unreadable(text[:80])
    return int(found[0])


def folder_of(text: str) -> str:
    """The path that strace shows behind a descriptor: `5<\\x2f...>`."""
    found = re.search(r"<((?:\\x[0-9a-f]{2})*)>", text)
    return bytes.fromhex(found[1].replace("\\x", "")).decode() if found else ""


def _structure(text: str) -> Iterator[tuple[int, str]]:
    return ((found.start(), found[0]) for found in re.finditer(r"[\[\]{},]", text))

