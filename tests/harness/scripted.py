"""A server that answers by a script: a real one, over TCP and TLS, octet by octet.

Each case has a list of answers. A request for its file (an upload: each fragment;
an upload-reply: each request for the reply) takes the next one; when they are used
up, the server does what it should. An answer can be held in its middle, for a
SIGKILL of whoever asked: it counts as not given then, and is given again.
"""

from __future__ import annotations

import gzip
import socket
import ssl
import struct
import threading
import time
import uuid
from dataclasses import dataclass, field
from email.utils import formatdate
from pathlib import Path
from typing import Any

LONG_AGO = 1_600_000_000.0
PIECE = 64 * 1024
PROTOCOL = "{7df0354d-249b-430f-820d-3d2a9bef4931}"
HEAD_LIMIT = 64 * 1024
# A connection without a request is closed after this.
IDLE_S = 60.0
# Longer than any client waits.
STALL_S = 120.0

# How an answer can end before its time, each at an offset of the file.
ENDS = ("cut", "reset", "stall")

Script = list[dict[str, Any]]


class Gone(Exception):
    """The connection is of no more use."""


@dataclass
class Case:
    """One job's server: what it has, what it was asked, what it said."""

    key: str
    kind: str
    script: Script
    versions: dict[int, bytes]
    base: str = ""
    version: int = 1
    # Octets a second on each connection.
    rate: int | None = None
    position: int = 0
    times: list[float] = field(default_factory=list)
    octets: int = 0
    # Held in the middle of the first answer, while the gate is shut.
    gate: threading.Event = field(default_factory=threading.Event)
    at_gate: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)
    session: str | None = None
    received: bytearray = field(default_factory=bytearray)
    # The connection whose octets are taken: the last that sent any.
    taker: object = None
    uploaded: bytes | None = None
    packets: list[str] = field(default_factory=list)
    # Whoever asked has got what he wanted of the answer that is held.
    was_given: bool = False

    def __post_init__(self) -> None:
        self.gate.set()

    def next(self) -> dict[str, Any]:
        """The answer that it is the turn of."""
        with self.lock:
            self.times.append(time.monotonic())
            step = self.script[self.position] if self.position < len(self.script) else {}
            self.position += 1
        if "version" in step:
            self.version = step["version"]
        return step

    def give_back(self) -> None:
        """The answer was not given: whoever asked is gone."""
        with self.lock:
            if not self.was_given:
                self.position -= 1
                self.times.pop()

    def hold(self) -> bool:
        """Waits while the gate is shut; whether it was."""
        if self.gate.is_set():
            return False
        self.at_gate.set()
        self.gate.wait(STALL_S)
        return True

    def begin(self, taker: object, first: int | None = None) -> int:
        """From now on octets are taken from this one only, if it begins where we are; says where that is."""
        with self.lock:
            if first is None:
                self.received.clear()
            expected = len(self.received)
            if first is None or first == expected:
                self.taker = taker
            return expected

    def take(self, taker: object, octets: bytes) -> None:
        """Appends octets: what still comes from somebody who was killed is not taken."""
        with self.lock:
            if self.taker is not taker:
                raise Gone
            self.received += octets

    def book(self, octets: int) -> None:
        """Octets of bodies that went over the wire, at the rate that is allowed."""
        with self.lock:
            self.octets += octets
        if self.rate:
            time.sleep(octets / self.rate)


class ScriptedOrigin:
    """One listening socket; `certificate` makes it one of TLS."""

    def __init__(self, certificate: tuple[Path, Path] | None = None, host: str = "127.0.0.1") -> None:
        self.cases: dict[str, Case] = {}
        self._context: ssl.SSLContext | None = None
        if certificate:
            self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._context.load_cert_chain(*map(str, certificate))
        self.scheme = "https" if certificate else "http"
        self._socket = socket.create_server((host, 0), backlog=512)
        self.port: int = self._socket.getsockname()[1]
        self._host = host
        self._closing = False
        threading.Thread(target=self._accept, daemon=True).start()

    def add(self, case: Case) -> str:
        """Serves the case; the address of its file."""
        self.cases[case.key] = case
        case.base = f"{self.scheme}://{self._host}:{self.port}"
        return f"{case.base}/{case.key}/file"

    def close(self) -> None:
        """Takes no more connections; those that stand end with the process."""
        self._closing = True
        self._socket.close()
        for case in self.cases.values():
            case.gate.set()

    def _accept(self) -> None:
        while not self._closing:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, raw: socket.socket) -> None:
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        raw.settimeout(IDLE_S)
        connection: socket.socket = raw
        try:
            if self._context:
                connection = self._context.wrap_socket(raw, server_side=True)
            exchange = Exchange(connection, self.cases)
            while exchange.serve():
                pass
        except (Gone, OSError, ValueError):
            pass
        finally:
            connection.close()


@dataclass
class Asked:
    """A request without its body."""

    method: str
    path: str
    headers: dict[str, str]

    @property
    def length(self) -> int:
        """Octets of its body."""
        return int(self.headers.get("content-length", "0"))


class Exchange:
    """One connection."""

    def __init__(self, connection: socket.socket, cases: dict[str, Case]) -> None:
        self._connection = connection
        self._cases = cases
        self._ahead = b""

    def serve(self) -> bool:
        """One request and its answer; whether another may follow."""
        asked = self._read_head()
        if asked is None:
            return False
        parts = asked.path.split("?")[0].split("/")
        case = self._cases.get(parts[1]) if len(parts) > 2 else None
        if case is None:
            self._skip(asked.length)
            return self._bare("404 Not Found")
        if asked.method == "BITS_POST":
            return self._packet(case, asked)
        if asked.method in ("PUT", "POST"):
            return self._put(case, asked)
        what = case.versions
        if parts[2].startswith("reply"):
            what = {version: data[::-1] for version, data in case.versions.items()}
        return self._file(case, asked, what)

    # Downloads, and the reply of an upload-reply.

    def _file(self, case: Case, asked: Asked, versions: dict[int, bytes]) -> bool:
        if asked.method == "HEAD":
            data = versions[case.version]
            return self._send_head("200 OK", {"Content-Length": str(len(data)), **_validators(case, {})})
        step = case.next()
        if _is_bare(step):
            if case.hold():
                case.give_back()
                raise Gone
            return self._status(case, asked, step)
        data = versions[case.version]
        whole = data
        headers = _validators(case, step)
        status, first, last = "200 OK", 0, len(data)
        wanted = asked.headers.get("range", "")
        if wanted.startswith("bytes=") and not step.get("whole") and self._same_version(case, asked, step):
            low, _, high = wanted[6:].partition("-")
            first, last = int(low), min(len(data), int(high) + 1) if high else len(data)
            if first >= len(data):
                return self._bare("416 Range Not Satisfiable", {"Content-Range": f"bytes */{len(data)}", **headers})
            shift = step.get("shift", 0)
            first = max(0, first + shift)
            if "short" in step:
                last = min(last, first + step["short"])
            status = "206 Partial Content"
            total = step.get("total", len(data))
            headers["Content-Range"] = step.get("content_range", f"bytes {first}-{last - 1}/{total}")
        data = data[first:last]
        if step.get("gzip"):
            data = gzip.compress(whole)[: len(data)]
            headers["Content-Encoding"] = "gzip"
        framing = step.get("framing", "length")
        if framing == "length":
            headers["Content-Length"] = str(len(data) + step.get("lie", 0))
        elif framing == "chunked":
            headers["Transfer-Encoding"] = "chunked"
        else:
            headers["Connection"] = "close"
        self._send_head(status, headers)
        # Places in the file, whatever part of it was asked for.
        end = max(0, min(step.get(name, last) for name in ENDS) - first)
        middle = min(end, max(0, len(whole) // 4 - first))
        self._body(case, data[:middle], framing, step)
        if case.hold():
            case.give_back()
            raise Gone
        self._body(case, data[middle:end], framing, step)
        if "stall" in step:
            time.sleep(STALL_S)
        if "reset" in step:
            self._connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            raise Gone
        if "cut" in step:
            self._hang_up(step)
        if framing == "chunked":
            self._connection.sendall(b"0\r\n\r\n")
        if framing == "close" or step.get("lie"):
            self._hang_up(step)
        return True

    def _same_version(self, case: Case, asked: Asked, step: dict[str, Any]) -> bool:
        condition = asked.headers.get("if-range")
        if condition is None or step.get("ignores_if_range"):
            return True
        headers = _validators(case, step)
        return condition in (headers.get("ETag"), headers.get("Last-Modified")) and not condition.startswith("W/")

    def _body(self, case: Case, data: bytes, framing: str, step: dict[str, Any]) -> None:
        piece = 1 if step.get("slow") else PIECE
        for at in range(0, len(data), piece):
            part = data[at : at + piece]
            if framing == "chunked":
                self._connection.sendall(f"{len(part):x}\r\n".encode() + part + b"\r\n")
            else:
                self._connection.sendall(part)
            case.book(len(part))
            if step.get("slow"):
                time.sleep(1.0)

    def _hang_up(self, step: dict[str, Any]) -> None:
        """Ends the connection: in order, or over TLS without a word (`abrupt`)."""
        if isinstance(self._connection, ssl.SSLSocket):
            if not step.get("abrupt"):
                self._connection.settimeout(2)
                try:
                    self._connection.unwrap()
                except OSError:
                    pass
            else:
                self._connection.shutdown(socket.SHUT_WR)
        raise Gone

    def _status(self, case: Case, asked: Asked, step: dict[str, Any]) -> bool:
        status = step["status"]
        headers = dict(step.get("headers", {}))
        if status == 416:
            headers.setdefault("Content-Range", f"bytes */{len(case.versions[case.version])}")
        if "redirect" in step:
            own = f"{case.base}/{case.key}/" + ("reply-" if case.kind == "reply" else "")
            headers["Location"] = step["redirect"].replace("SELF/", own)
        if status == 401:
            headers.setdefault("WWW-Authenticate", 'Basic realm="files"')
        return self._bare(f"{status} Scripted", headers)

    # Uploads.

    def _packet(self, case: Case, asked: Asked) -> bool:
        packet = asked.headers.get("bits-packet-type", "").lower()
        case.packets.append(packet)
        ack = {"BITS-Packet-Type": "Ack"}
        if packet == "create-session":
            self._skip(asked.length)
            case.session = "{" + str(uuid.uuid4()).upper() + "}"
            case.begin(self)
            ack |= {"BITS-Protocol": PROTOCOL, "BITS-Session-Id": case.session, "Accept-encoding": "identity"}
            return self._bare("200 OK", ack)
        if packet == "ping":
            self._skip(asked.length)
            return self._bare("200 OK", ack)
        if asked.headers.get("bits-session-id") != case.session or case.session is None:
            self._skip(asked.length)
            error = {"BITS-Error": "0x8020001f", "BITS-Error-Context": "0x5"}
            return self._bare("500 Internal Server Error", ack | error)
        if packet == "fragment":
            return self._fragment(case, asked, ack)
        self._skip(asked.length)
        if packet == "cancel-session":
            case.session = None
        return self._bare("200 OK", ack)

    def _fragment(self, case: Case, asked: Asked, ack: dict[str, str]) -> bool:
        span, _, total = asked.headers["content-range"].removeprefix("bytes ").partition("/")
        # An empty file: there is no other way to say it.
        first = 0 if span == "*" else int(span.partition("-")[0])
        step = case.next() if case.kind == "upload" else {}
        expected = case.begin(self, first)
        if first != expected:
            self._skip(asked.length)
            return self._bare("416 Range Not Satisfiable", ack | {"BITS-Received-Content-Range": str(expected)})
        if step.get("forgets"):
            self._skip(asked.length)
            case.session = None
            error = {"BITS-Error": "0x8020001f", "BITS-Error-Context": "0x5"}
            return self._bare("500 Internal Server Error", ack | error)
        if _is_bare(step):
            self._skip(asked.length)
            if case.hold():
                case.give_back()
                raise Gone
            return self._status(case, asked, step)
        most = max(0, min(step.get(name, first + asked.length) for name in ENDS) - first)
        middle = min(most, max(0, int(total) // 4 - first))
        self._take(case, middle)
        if case.kind == "upload" and case.hold():
            case.give_back()
            raise Gone
        self._take(case, most - middle)
        if "stall" in step:
            time.sleep(STALL_S)
        if "reset" in step:
            self._connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            raise Gone
        if "cut" in step:
            self._hang_up(step)
        done = len(case.received) == int(total)
        if done:
            case.uploaded = bytes(case.received)
        ack["BITS-Received-Content-Range"] = str(len(case.received) + step.get("shift", 0))
        if done and case.kind == "reply":
            ack["BITS-Reply-URL"] = f"{case.base}/{case.key}/reply"
        if step.get("no_ack"):
            self._hang_up(step)
        return self._ack(ack, step)

    def _ack(self, headers: dict[str, str], step: dict[str, Any]) -> bool:
        """An Ack in the framing of the step."""
        if step.get("gzip"):
            headers["Content-Encoding"] = "gzip"
        framing = step.get("framing", "length")
        if framing == "chunked":
            self._send_head("200 OK", headers | {"Transfer-Encoding": "chunked"})
            text = b"2\r\nok\r\n0\r\n\r\n"
        elif framing == "close":
            self._send_head("200 OK", headers | {"Connection": "close"})
            text = b"ok"
        else:
            length = 2 + step.get("lie", 0)
            self._send_head("200 OK", headers | {"Content-Length": str(length)})
            text = b"ok"
        pause = 1.0 if step.get("slow") else 0.0
        for octet in text:
            self._connection.sendall(bytes([octet]))
            time.sleep(pause)
        if framing == "close" or step.get("lie"):
            self._hang_up(step)
        return True

    def _put(self, case: Case, asked: Asked) -> bool:
        step = case.next()
        if asked.headers.get("expect"):
            self._connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        case.begin(self)
        self._take(case, asked.length)
        if _is_bare(step):
            return self._status(case, asked, step)
        case.uploaded = bytes(case.received)
        return self._bare("201 Created")

    # The wire.

    def _read_head(self) -> Asked | None:
        while b"\r\n\r\n" not in self._ahead:
            more = self._connection.recv(PIECE)
            if not more or len(self._ahead) > HEAD_LIMIT:
                return None
            self._ahead += more
        head, _, self._ahead = self._ahead.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        method, target, _ = first.split(" ")
        pairs = (line.partition(":") for line in lines)
        return Asked(method, target, {name.lower(): value.strip() for name, _, value in pairs})

    def _take(self, case: Case, count: int) -> None:
        while count:
            part = self._receive(count)
            case.take(self, part)
            case.book(len(part))
            count -= len(part)

    def _skip(self, count: int) -> None:
        while count:
            count -= len(self._receive(count))

    def _receive(self, most: int) -> bytes:
        if self._ahead:
            part, self._ahead = self._ahead[:most], self._ahead[most:]
            return part
        part = self._connection.recv(min(most, PIECE))
        if not part:
            raise Gone
        return part

    def _bare(self, status: str, headers: dict[str, str] | None = None) -> bool:
        return self._send_head(status, {"Content-Length": "0", **(headers or {})})

    def _send_head(self, status: str, headers: dict[str, str]) -> bool:
        lines = [f"HTTP/1.1 {status}", f"Date: {formatdate(usegmt=True)}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        self._connection.sendall(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"))
        return True


def _is_bare(step: dict[str, Any]) -> bool:
    return "status" in step


def _validators(case: Case, step: dict[str, Any]) -> dict[str, str]:
    """The headers that tell the version."""
    how = step.get("validator", "strong")
    tag = f'"{case.key}-{case.version}"'
    modified = formatdate(LONG_AGO + 1_000 * case.version, usegmt=True)
    return {
        "strong": {"ETag": tag, "Last-Modified": modified},
        "weak": {"ETag": "W/" + tag, "Last-Modified": modified},
        "date": {"Last-Modified": modified},
        "none": {},
    }[how]
