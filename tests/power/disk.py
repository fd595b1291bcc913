"""A disk that keeps only what was synced.

Strict: data of a file lasts when that file was synced after it was written, its
time when it was synced by more than `fdatasync`; a name lasts when its folder
was synced after it was made, changed or removed. Real file systems are kinder.
"""

from __future__ import annotations

import os
import random
from dataclasses import dataclass, field
from pathlib import Path

from power.trace import Call, folder_of, modified, number, octets, split, vectors

PAGE = 4_096


class Unmodelled(Exception):
    """The recorded program did what this model does not know."""


@dataclass
class File:
    """A file: what is in it, and what would be in it after a power loss."""

    mode: int = 0o644
    data: bytearray = field(default_factory=bytearray)
    durable: bytearray = field(default_factory=bytearray)
    # (when, offset, octets); no octets: a new length.
    pending: list[tuple[int, int, bytes | None]] = field(default_factory=list)
    mapped: bool = False
    # (when, nanoseconds); none: the time of a write.
    times: list[tuple[int, int | None]] = field(default_factory=list)
    durable_time: int | None = None

    def write(self, when: int, offset: int, octets_: bytes) -> None:
        """Writes, unsynced."""
        _apply(self.data, offset, octets_)
        self.pending.append((when, offset, octets_))
        self.stamp(when, None)

    def resize(self, when: int, length: int) -> None:
        """Cuts or grows, unsynced."""
        _apply(self.data, length, None)
        self.pending.append((when, length, None))
        self.stamp(when, None)

    def stamp(self, when: int, time: int | None) -> None:
        """Gives it a time, unsynced."""
        if time is not None or (self.times and self.times[-1][1] is not None) or self.durable_time is not None:
            self.times.append((when, time))

    def sync(self, before: int, data_only: bool = False) -> None:
        """Makes last what was written before the sync began."""
        for when, offset, octets_ in self.pending:
            if when < before:
                _apply(self.durable, offset, octets_)
        self.pending = [one for one in self.pending if one[0] >= before]
        if not data_only:
            for when, time in self.times:
                if when < before:
                    self.durable_time = time
            self.times = [one for one in self.times if one[0] >= before]

    def surviving_time(self, rng: random.Random | None) -> int | None:
        """The time that a power loss leaves; with `rng`, perhaps one that was not synced."""
        times = [self.durable_time, *(time for _, time in self.times)]
        return times[rng.randrange(len(times)) if rng else 0]

    def survivor(self, rng: random.Random | None) -> bytes:
        """What a power loss leaves; with `rng`, also some of what was not synced."""
        if rng is None or not self.pending:
            return bytes(self.durable)
        left = bytearray(self.durable)
        for _, offset, octets_ in self.pending:
            if octets_ is None:
                if rng.random() < 0.5:
                    _apply(left, offset, None)
                continue
            start = 0
            while start < len(octets_):
                end = min(len(octets_), start + PAGE - (offset + start) % PAGE)
                if rng.random() < 0.5:
                    _apply(left, offset + start, octets_[start:end])
                start = end
        return bytes(left)


@dataclass
class Folder:
    """A folder: names now, and names after a power loss."""

    mode: int = 0o755
    names: dict[str, File | Folder] = field(default_factory=dict)
    durable: dict[str, File | Folder] = field(default_factory=dict)
    # (when, names that go, names that come), each as one step.
    pending: list[tuple[int, list[str], dict[str, File | Folder]]] = field(default_factory=list)

    def change(self, when: int, gone: list[str], come: dict[str, File | Folder]) -> None:
        """Changes names, unsynced."""
        _rename(self.names, gone, come)
        self.pending.append((when, gone, come))

    def sync(self, before: int, _data_only: bool = False) -> None:
        """Makes last what was changed before the sync began."""
        for when, gone, come in self.pending:
            if when < before:
                _rename(self.durable, gone, come)
        self.pending = [one for one in self.pending if one[0] >= before]

    def survivor(self, rng: random.Random | None) -> dict[str, File | Folder]:
        """The names that a power loss leaves; with `rng`, also the first of the rest."""
        left = dict(self.durable)
        if rng is not None:
            for _, gone, come in self.pending[: rng.randint(0, len(self.pending))]:
                _rename(left, gone, come)
        return left


@dataclass
class _Open:
    node: File | Folder
    offset: int = 0
    append: bool = False


class Disk:
    """Everything below one folder, call by call."""

    def __init__(self, root: Path) -> None:
        self.root = str(root)
        self.top = _scan(root)
        self.syncs = 0
        self._open: dict[int, _Open] = {}
        self._when = 0

    def replay(self, call: Call) -> None:
        """Applies a call."""
        self._when += 1
        handler = getattr(self, f"_do_{call.name}", None)
        if handler is None:
            raise Unmodelled(call.name)
        handler(call)

    def is_sync(self, call: Call) -> bool:
        """Holds when the call makes something of ours last."""
        if call.name in ("fsync", "fdatasync", "syncfs"):
            return number(call.arguments[0]) in self._open
        return call.name == "sync"

    def materialise(self, root: Path, rng: random.Random | None, mapped: dict[str, bytes]) -> None:
        """Lays down what a power loss at this point leaves.

        What a program wrote through a mapping is not in the record; `mapped`
        has what such files held at the end.
        """
        _lay(self.top, root, "", rng, mapped)

    def settle(self) -> None:
        """Makes everything last, as after a long wait."""
        _sync_all(self.top, self._when + 1)

    def mapped_files(self) -> list[str]:
        """Files that were mapped for writing, from the root on."""
        return _mapped(self.top, "")

    def _node(self, path: str) -> File | Folder | None:
        parts = self._parts(path)
        node: File | Folder | None = self.top
        for part in parts or []:
            if not isinstance(node, Folder):
                return None
            node = node.names.get(part)
        return node if parts is not None else None

    def _parts(self, path: str) -> list[str] | None:
        path = os.path.normpath(path)
        if path == self.root:
            return []
        if not path.startswith(self.root + "/"):
            return None
        return path[len(self.root) + 1 :].split("/")

    def _parent(self, path: str) -> tuple[Folder, str] | None:
        parts = self._parts(path)
        if not parts:
            return None
        folder = self._node(os.path.dirname(os.path.normpath(path)))
        if not isinstance(folder, Folder):
            raise Unmodelled(f"no folder for {path}")
        return folder, parts[-1]

    def _at(self, folder: str, name: str) -> str:
        text = octets(name).decode()
        if text.startswith("/proc/self/fd"):
            raise Unmodelled(text)
        return text if text.startswith("/") else os.path.join(folder_of(folder), text)

    # Descriptors.

    def _opened(self, path: str, flags: str, mode: int, descriptor: int) -> None:
        self._open.pop(descriptor, None)
        node = self._node(path)
        if "O_TMPFILE" in flags and self._parts(path) is not None:
            raise Unmodelled("O_TMPFILE")
        if node is None:
            place = self._parent(path) if "O_CREAT" in flags else None
            if place is None:
                return
            node = File(mode & ~0o022)
            place[0].change(self._when, [], {place[1]: node})
        elif isinstance(node, File) and "O_TRUNC" in flags:
            node.resize(self._when, 0)
        self._open[descriptor] = _Open(node, append="O_APPEND" in flags)

    def _do_open(self, call: Call) -> None:
        path, flags, *rest = call.arguments
        self._opened(octets(path).decode(), flags, int(rest[0], 8) if rest else 0, call.result)

    def _do_creat(self, call: Call) -> None:
        path, mode = call.arguments
        self._opened(octets(path).decode(), "O_CREAT|O_TRUNC", int(mode, 8), call.result)

    def _do_openat(self, call: Call) -> None:
        folder, name, flags, *rest = call.arguments
        self._opened(self._at(folder, name), flags, int(rest[0], 8) if rest else 0, call.result)

    def _do_openat2(self, call: Call) -> None:
        folder, name, how = call.arguments[:3]
        fields = dict(part.split("=", 1) for part in split(how.strip("{}")) if "=" in part)
        self._opened(self._at(folder, name), fields.get("flags", ""), int(fields.get("mode", "0"), 8), call.result)

    def _do_close(self, call: Call) -> None:
        self._open.pop(number(call.arguments[0]), None)

    def _do_close_range(self, call: Call) -> None:
        raise Unmodelled("close_range")

    def _do_dup(self, call: Call) -> None:
        self._open.pop(call.result, None)
        if number(call.arguments[0]) in self._open:
            self._open[call.result] = self._open[number(call.arguments[0])]

    _do_dup2 = _do_dup
    _do_dup3 = _do_dup

    def _do_fcntl(self, call: Call) -> None:
        if "F_DUPFD" in call.arguments[1]:
            self._do_dup(call)
        elif call.arguments[1] == "F_SETFL" and number(call.arguments[0]) in self._open:
            self._open[number(call.arguments[0])].append = "O_APPEND" in call.arguments[2]

    def _do_lseek(self, call: Call) -> None:
        held = self._open.get(number(call.arguments[0]))
        if held:
            held.offset = call.result

    # Data.

    def _write(self, call: Call, data: bytes, offset: int | None) -> None:
        held = self._open.get(number(call.arguments[0]))
        if held is None:
            return
        if not isinstance(held.node, File):
            raise Unmodelled("a write to a folder")
        data = data[: call.result]
        if len(data) != call.result:
            raise Unmodelled("a write whose octets are not in the record")
        if held.append:
            held.node.write(self._when, len(held.node.data), data)
        elif offset is None:
            held.node.write(self._when, held.offset, data)
            held.offset += len(data)
        else:
            held.node.write(self._when, offset, data)

    def _is_ours(self, call: Call) -> bool:
        return number(call.arguments[0]) in self._open

    def _do_write(self, call: Call) -> None:
        if self._is_ours(call):
            self._write(call, octets(call.arguments[1]), None)

    def _do_pwrite64(self, call: Call) -> None:
        if self._is_ours(call):
            self._write(call, octets(call.arguments[1]), int(call.arguments[3]))

    def _do_writev(self, call: Call) -> None:
        if self._is_ours(call):
            self._write(call, vectors(call.arguments[1]), None)

    def _do_pwritev(self, call: Call) -> None:
        if self._is_ours(call):
            offset = int(call.arguments[3])
            self._write(call, vectors(call.arguments[1]), None if offset < 0 else offset)

    _do_pwritev2 = _do_pwritev

    def _do_ftruncate(self, call: Call) -> None:
        held = self._open.get(number(call.arguments[0]))
        if held and isinstance(held.node, File):
            held.node.resize(self._when, int(call.arguments[1]))

    def _do_truncate(self, call: Call) -> None:
        node = self._node(octets(call.arguments[0]).decode())
        if isinstance(node, File):
            node.resize(self._when, int(call.arguments[1]))

    def _do_fallocate(self, call: Call) -> None:
        held = self._open.get(number(call.arguments[0]))
        if held is None or not isinstance(held.node, File):
            return
        mode, offset, length = call.arguments[1:4]
        end = int(offset) + int(length)
        if mode == "0":
            if end > len(held.node.data):
                held.node.resize(self._when, end)
        elif "FALLOC_FL_PUNCH_HOLE" in mode or "FALLOC_FL_ZERO_RANGE" in mode:
            end = min(end, len(held.node.data)) if "KEEP_SIZE" in mode else end
            held.node.write(self._when, int(offset), bytes(max(0, end - int(offset))))
        elif mode != "FALLOC_FL_KEEP_SIZE":
            raise Unmodelled(f"fallocate {mode}")

    def _do_utimensat(self, call: Call) -> None:
        if call.arguments[1] != "NULL":
            if self._parts(self._at(*call.arguments[0:2])) is not None:
                raise Unmodelled("the time of a path")
            return
        held = self._open.get(number(call.arguments[0]))
        if held and isinstance(held.node, File):
            held.node.stamp(self._when, modified(call.arguments[2]))

    def _do_utime(self, call: Call) -> None:
        raise Unmodelled(call.name)

    _do_utimes = _do_utime
    _do_futimesat = _do_utime

    def _do_mmap(self, call: Call) -> None:
        protection, flags, descriptor = call.arguments[2:5]
        held = self._open.get(number(descriptor)) if not descriptor.startswith("-1") else None
        if held and "MAP_SHARED" in flags and "PROT_WRITE" in protection and isinstance(held.node, File):
            held.node.mapped = True

    def _do_copy_file_range(self, call: Call) -> None:
        if number(call.arguments[2]) in self._open:
            raise Unmodelled(call.name)

    def _do_splice(self, call: Call) -> None:
        if number(call.arguments[2]) in self._open:
            raise Unmodelled(call.name)

    def _do_sendfile(self, call: Call) -> None:
        if number(call.arguments[0]) in self._open:
            raise Unmodelled(call.name)

    def _do_io_uring_setup(self, call: Call) -> None:
        raise Unmodelled(call.name)

    # Syncs.

    def _do_fsync(self, call: Call) -> None:
        held = self._open.get(number(call.arguments[0]))
        if held:
            held.node.sync(call.entered + 1, call.name == "fdatasync")
            self.syncs += 1

    _do_fdatasync = _do_fsync

    def _do_sync(self, call: Call) -> None:
        _sync_all(self.top, call.entered + 1)
        self.syncs += 1

    def _do_syncfs(self, call: Call) -> None:
        if self._is_ours(call):
            self._do_sync(call)

    def _do_msync(self, call: Call) -> None:
        """A mapping: what it holds is never counted on."""

    # Names.

    def _moved(self, old: str, new: str) -> None:
        source, target = self._parent(old), self._parent(new)
        if source is None and target is None:
            return
        if source is None or target is None:
            raise Unmodelled(f"{old} moves across the border to {new}")
        node = source[0].names[source[1]]
        if source[0] is target[0]:
            source[0].change(self._when, [source[1]], {target[1]: node})
        else:
            target[0].change(self._when, [], {target[1]: node})
            source[0].change(self._when, [source[1]], {})

    def _do_rename(self, call: Call) -> None:
        self._moved(octets(call.arguments[0]).decode(), octets(call.arguments[1]).decode())

    def _do_renameat(self, call: Call) -> None:
        if len(call.arguments) > 4 and "EXCHANGE" in call.arguments[4]:
            raise Unmodelled("RENAME_EXCHANGE")
        self._moved(self._at(*call.arguments[0:2]), self._at(*call.arguments[2:4]))

    _do_renameat2 = _do_renameat

    def _removed(self, path: str) -> None:
        place = self._parent(path)
        if place:
            place[0].change(self._when, [place[1]], {})

    def _do_unlink(self, call: Call) -> None:
        self._removed(octets(call.arguments[0]).decode())

    _do_rmdir = _do_unlink

    def _do_unlinkat(self, call: Call) -> None:
        self._removed(self._at(*call.arguments[0:2]))

    def _made(self, path: str, mode: str) -> None:
        place = self._parent(path)
        if place:
            place[0].change(self._when, [], {place[1]: Folder(int(mode, 8) & ~0o022)})

    def _do_mkdir(self, call: Call) -> None:
        self._made(octets(call.arguments[0]).decode(), call.arguments[1])

    def _do_mkdirat(self, call: Call) -> None:
        self._made(self._at(*call.arguments[0:2]), call.arguments[2])

    def _linked(self, old: str, new: str) -> None:
        place, node = self._parent(new), self._node(old)
        if place and node is not None:
            place[0].change(self._when, [], {place[1]: node})
        elif place:
            raise Unmodelled(f"a link to {old}")

    def _do_link(self, call: Call) -> None:
        self._linked(octets(call.arguments[0]).decode(), octets(call.arguments[1]).decode())

    def _do_linkat(self, call: Call) -> None:
        self._linked(self._at(*call.arguments[0:2]), self._at(*call.arguments[2:4]))

    def _do_symlink(self, call: Call) -> None:
        if self._parts(octets(call.arguments[-1]).decode()):
            raise Unmodelled(call.name)

    def _do_symlinkat(self, call: Call) -> None:
        if self._parts(self._at(*call.arguments[1:3])):
            raise Unmodelled(call.name)

    def _do_chdir(self, call: Call) -> None:
        """strace shows the folder of each relative path."""

    _do_fchdir = _do_chdir


def _apply(data: bytearray, offset: int, octets_: bytes | None) -> None:
    if octets_ is None:
        if offset <= len(data):
            del data[offset:]
        else:
            data.extend(bytes(offset - len(data)))
        return
    if offset > len(data):
        data.extend(bytes(offset - len(data)))
    data[offset : offset + len(octets_)] = octets_


def _rename(names: dict[str, File | Folder], gone: list[str], come: dict[str, File | Folder]) -> None:
    for name in gone:
        names.pop(name, None)
    names.update(come)


def _scan(root: Path) -> Folder:
    folder = Folder(root.stat().st_mode & 0o777)
    for path in root.iterdir():
        node: File | Folder
        if path.is_symlink():
            raise Unmodelled(f"{path} is a link")
        if path.is_dir():
            node = _scan(path)
        else:
            data = path.read_bytes()
            node = File(path.stat().st_mode & 0o777, bytearray(data), bytearray(data))
        folder.names[path.name] = folder.durable[path.name] = node
    return folder


def _lay(folder: Folder, place: Path, path: str, rng: random.Random | None, mapped: dict[str, bytes]) -> None:
    place.mkdir(exist_ok=True)
    place.chmod(folder.mode)
    for name, node in folder.survivor(rng).items():
        below = f"{path}/{name}".lstrip("/")
        if isinstance(node, Folder):
            _lay(node, place / name, below, rng, mapped)
        elif not node.mapped:
            (place / name).write_bytes(node.survivor(rng))
            (place / name).chmod(node.mode)
            time = node.surviving_time(rng)
            if time is not None:
                os.utime(place / name, ns=(time, time))
        elif not name.endswith("-shm"):
            # SQLite rebuilds its -shm; of any other mapping anything may be there.
            (place / name).write_bytes(mapped[below] if rng else bytes(node.durable))
            (place / name).chmod(node.mode)


def _mapped(folder: Folder, path: str) -> list[str]:
    found = []
    for name, node in folder.names.items():
        below = f"{path}/{name}".lstrip("/")
        if isinstance(node, Folder):
            found += _mapped(node, below)
        elif node.mapped:
            found.append(below)
    return found


def _sync_all(folder: Folder, before: int) -> None:
    folder.sync(before)
    for node in folder.names.values():
        if isinstance(node, Folder):
            _sync_all(node, before)
        else:
            node.sync(before)
