"""An origin server whose every answer the tests decide.

HTTP/1.1 with ranges, conditional ranges, validators, faults by script, a rate
for each connection and small send buffers, so that an octet that was counted
has nearly reached the client. Each octet sent is booked by path and offset:
what goes out twice shows.
"""

from __future__ import annotations

import base64
import hashlib
import http.server
import random
import re
import socket
import socketserver
import ssl
import threading
import time
from dataclasses import dataclass, field
from email.utils import formatdate, parsedate_to_datetime
from pathlib import Path
from types import TracebackType

PIECE = 64 * 1024
SEND_BUFFER = 64 * 1024
# Long ago, so that a Last-Modified counts as a strong validator.
LONG_AGO = 1_600_000_000.0


@dataclass
class Fault:
    """A canned answer that replaces the real one."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass
class Source:
    """One file of the origin, in its present version."""

    data: bytes
    etag: str | None = None
    last_modified: float | None = LONG_AGO
    ranges: bool = True
    sized: bool = True
    rate: int | None = None
    redirect: str | None = None
    # Answers before the real one, used up one a request.
    faults: list[Fault] = field(default_factory=list)
    # An answer for ever.
    always: Fault | None = None
    basic: tuple[str, str] | None = None
    digest: tuple[str, str] | None = None
    # The connection is cut once, after so many octets of a body.
    cut_after: int | None = None
    # The body stops at this offset until the gate opens.
    hold_at: int | None = None
    gate: threading.Event = field(default_factory=threading.Event)
    versions: list[bytes] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.versions.append(self.data)

    def change(self, data: bytes, etag: str | None, last_modified: float | None) -> None:
        """Puts another version in the place of this one."""
        self.data, self.etag, self.last_modified = data, etag, last_modified
        self.versions.append(data)


@dataclass
class Request:
    """A request as it came, and what was answered."""

    method: str
    path: str
    headers: dict[str, str]
    status: int = 0


class Coverage:
    """Which octets of one version of a path went out, and how many again."""

    def __init__(self) -> None:
        self.sent = 0
        self.again = 0
        self._spans: list[tuple[int, int]] = []

    def book(self, start: int, end: int) -> None:
        """Books the octets from `start` up to `end`."""
        self.sent += end - start
        merged: list[tuple[int, int]] = []
        low, high = start, end
        for first, last in self._spans:
            self.again += max(0, min(end, last) - max(start, first))
            if last < low or first > high:
                merged.append((first, last))
            else:
                low, high = min(low, first), max(high, last)
        merged.append((low, high))
        self._spans = sorted(merged)


class _Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    request_queue_size = 512
    origin: Origin

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that goes away is no event here."""


class Origin:
    """The server, its sources and its books."""

    def __init__(self, certificate: tuple[Path, Path] | None = None, port: int = 0) -> None:
        self.sources: dict[str, Source] = {}
        self.requests: list[Request] = []
        self.rate: int | None = None
        self._books: dict[tuple[str, int], Coverage] = {}
        self._last_sent: dict[int, float] = {}
        self.lock = threading.Lock()
        self._server = _Server(("127.0.0.1", port), _Handler, bind_and_activate=False)
        self._server.origin = self
        self._server.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Inherited by what is accepted.
        self._server.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
        self._server.server_bind()
        self._server.server_activate()
        self.scheme = "http"
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*map(str, certificate))
            self._server.socket = context.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
            self.scheme = "https"
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def __enter__(self) -> Origin:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stops to serve; open answers end with the process."""
        for source in self.sources.values():
            source.gate.set()
        self._server.shutdown()
        self._server.server_close()

    def url(self, path: str) -> str:
        """The address of `path`."""
        return f"{self.scheme}://127.0.0.1:{self.port}{path}"

    def add(self, path: str, source: Source) -> str:
        """Serves `source` at `path`; says the address."""
        self.sources[path] = source
        return self.url(path)

    def coverage(self, path: str) -> list[Coverage]:
        """What went out of `path`, version by version."""
        with self.lock:
            return [book for (name, _), book in sorted(self._books.items()) if name == path]

    def forget(self) -> None:
        """Clears the books."""
        with self.lock:
            self.requests.clear()
            self._books.clear()

    def again(self) -> int:
        """Octets that went out although they had gone out before."""
        with self.lock:
            return sum(book.again for book in self._books.values())

    def sent(self) -> int:
        """Octets of bodies that went out."""
        with self.lock:
            return sum(book.sent for book in self._books.values())

    def running(self, within: float = 0.25) -> int:
        """Connections that carried octets of a body a moment ago."""
        since = time.monotonic() - within
        with self.lock:
            return sum(1 for at in self._last_sent.values() if at >= since)

    def requested(self, path: str) -> list[Request]:
        """The requests for `path` so far."""
        with self.lock:
            return [request for request in self.requests if request.path.split("?")[0] == path]

    def book(self, path: str, version: int) -> Coverage:
        """The book of one version."""
        with self.lock:
            return self._books.setdefault((path, version), Coverage())

    def carried(self, connection: int, book: Coverage, start: int, end: int) -> None:
        """Books what one connection carried just now."""
        with self.lock:
            self._last_sent[connection] = time.monotonic()
            book.book(start, end)


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # A head and a small body leave in one segment.
    wbufsize = PIECE
    server: _Server

    def setup(self) -> None:
        super().setup()
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def log_message(self, format: str, *args: object) -> None:
        """Quiet: the requests are in the books."""

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, body: bool) -> None:
        origin = self.server.origin
        request = Request(self.command, self.path, {k.lower(): v for k, v in self.headers.items()})
        with origin.lock:
            origin.requests.append(request)
        path = self.path.split("?")[0]
        source = origin.sources.get(path)
        fault = self._fault(source, request)
        if fault:
            request.status = fault.status
            self._send_fault(fault, body)
            return
        assert source is not None
        # One look at the version: a change during the answer leaves it whole.
        data, etag = source.data, source.etag
        version = len(source.versions)
        modified = source.last_modified
        start, end, partial = self._range(request, source, len(data), etag, modified)
        if start is None:
            request.status = 416
            self._send_fault(Fault(416, {"Content-Range": f"bytes */{len(data)}"}), body)
            return
        request.status = 206 if partial else 200
        self.send_response(request.status)
        if etag:
            self.send_header("ETag", etag)
        if modified:
            self.send_header("Last-Modified", formatdate(modified, usegmt=True))
        if source.ranges:
            self.send_header("Accept-Ranges", "bytes")
        if partial:
            self.send_header("Content-Range", f"bytes {start}-{end - 1}/{len(data)}")
        if source.sized:
            self.send_header("Content-Length", str(end - start))
        else:
            self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        if body:
            self._send_body(source, data, start, end, origin.book(path, version))

    def _fault(self, source: Source | None, request: Request) -> Fault | None:
        if source is None:
            return Fault(404, body=b"no such file")
        if source.faults:
            return source.faults.pop(0)
        if source.always:
            return source.always
        if source.redirect:
            return Fault(302, {"Location": source.redirect})
        given = request.headers.get("authorization", "")
        if source.basic:
            pair = ":".join(source.basic).encode()
            if given != "Basic " + base64.b64encode(pair).decode():
                return Fault(401, {"WWW-Authenticate": 'Basic realm="files"'})
        if source.digest and not _digest_right(given, self.command, *source.digest):
            challenge = 'Digest realm="files", qop="auth", algorithm=SHA-256, nonce="4f1c", opaque="77"'
            return Fault(401, {"WWW-Authenticate": challenge})
        return None

    def _range(
        self, request: Request, source: Source, size: int, etag: str | None, modified: float | None
    ) -> tuple[int | None, int, bool]:
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", request.headers.get("range", ""))
        condition = request.headers.get("if-range")
        if not wanted or not source.ranges:
            return 0, size, False
        if condition is not None:
            if condition.startswith(('"', "W/")):
                holds = condition == etag and not condition.startswith("W/")
            else:
                asked = parsedate_to_datetime(condition).timestamp()
                holds = modified is not None and int(modified) == int(asked)
            if not holds:
                return 0, size, False
        start = int(wanted[1])
        end = min(size, int(wanted[2]) + 1) if wanted[2] else size
        if start >= size:
            return None, 0, False
        return start, end, True

    def _send_fault(self, fault: Fault, body: bool) -> None:
        self.send_response(fault.status)
        for name, value in fault.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(fault.body)))
        self.end_headers()
        if body:
            self.wfile.write(fault.body)

    def _send_body(self, source: Source, data: bytes, start: int, end: int, book: Coverage) -> None:
        self.wfile.flush()
        origin = self.server.origin
        rate = source.rate or origin.rate
        view = memoryview(data)
        at = start
        began = time.monotonic()
        while at < end:
            if source.hold_at is not None and at >= source.hold_at and not source.gate.is_set():
                source.gate.wait(60)
            if source.cut_after is not None and at - start >= source.cut_after:
                source.cut_after = None
                self.connection.shutdown(socket.SHUT_RDWR)
                self.close_connection = True
                return
            stop = min(end, at + PIECE)
            if source.hold_at is not None and not source.gate.is_set() and at < source.hold_at:
                stop = min(stop, source.hold_at)
            if source.cut_after is not None:
                stop = min(stop, start + source.cut_after)
            if not source.sized:
                self.connection.sendall(f"{stop - at:x}\r\n".encode())
            while at < stop:
                sent = self.connection.send(view[at:stop])
                origin.carried(id(self), book, at, at + sent)
                at += sent
            if not source.sized:
                self.connection.sendall(b"\r\n")
            if rate:
                due = began + (at - start) / rate
                pause = due - time.monotonic()
                if pause > 0:
                    time.sleep(pause)
        if not source.sized:
            self.connection.sendall(b"0\r\n\r\n")


def _digest_right(given: str, method: str, user: str, password: str) -> bool:
    if not given.startswith("Digest "):
        return False
    fields = dict(re.findall(r'(\w+)="?([^",]+)"?', given[7:]))
    algorithm = "md5" if fields.get("algorithm", "MD5").upper() == "MD5" else "sha256"

    def digest(text: str) -> str:
        return hashlib.new(algorithm, text.encode()).hexdigest()

    secret = digest(f"{user}:files:{password}")
    request = digest(f"{method}:{fields.get('uri')}")
    middle = f"{fields.get('nonce')}:{fields.get('nc')}:{fields.get('cnonce')}:{fields.get('qop')}"
    return fields.get("response") == digest(f"{secret}:{middle}:{request}")


def content(seed: str, size: int) -> bytes:
    """The same `size` octets for the same seed; other octets for another."""
    return random.Random(seed).randbytes(size)
