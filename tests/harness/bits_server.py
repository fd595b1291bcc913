"""A server of the BITS upload protocol whose every answer the tests decide.

It follows [MC-BUP] 3.2 as servers of Windows do: Acks to fragments carry no
session id, errors go by `BITS-Error-Code` or `BITS-Error`, the file appears at
Close-Session, the reply's address is relative and written with back-slashes.
"""

from __future__ import annotations

import base64
import http.server
import re
import socketserver
import threading
import time
import urllib.parse
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType

PROTOCOL = "{7df0354d-249b-430f-820d-3d2a9bef4931}"
SESSION_NOT_FOUND = 0x8020001F
PIECE = 64 * 1024


@dataclass
class Packet:
    """A request as it came."""

    kind: str
    path: str
    headers: dict[str, str]
    names: list[str]
    range: tuple[int, int, int] | None = None
    taken: int = 0


@dataclass
class Fault:
    """What is done about the next packet of a kind instead of what is right."""

    kind: str
    status: int | None = None
    error: int | None = None
    context: int = 5
    # The connection ends before the packet is looked at, or after it is done.
    cut: str | None = None
    # The session is forgotten before the packet is looked at.
    lose: bool = False
    # `BITS-Received-Content-Range` says this.
    offset: int | None = None
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class Session:
    """What is here of an upload."""

    path: str
    data: bytearray = field(default_factory=bytearray)
    total: int | None = None
    reply: bytes | None = None


class BitsServer:
    """Takes uploads in on a port of loopback."""

    def __init__(self) -> None:
        self.packets: list[Packet] = []
        self.faults: list[Fault] = []
        self.sessions: dict[str, Session] = {}
        self.uploads: dict[str, bytes] = {}
        self.cancelled: list[str] = []
        self.most_fragment: int | None = None
        self.rate: int | None = None
        self.host_id: tuple[str, int | None] | None = None
        self.basic: tuple[str, str] | None = None
        self.reply: Callable[[bytes], bytes] | None = None
        self.error_header = "BITS-Error-Code"
        # Statuses for PUT and POST, used up one a request.
        self.whole: list[int | str] = []
        self.lock = threading.Lock()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.bits = self
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def __enter__(self) -> BitsServer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._server.server_address[1])

    def url(self, path: str) -> str:
        """The address of an upload."""
        return f"http://127.0.0.1:{self.port}{path}"

    def close(self) -> None:
        """Ends it, and every connection."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def kinds(self, path: str) -> list[str]:
        """The packets that came for an upload, in order."""
        with self.lock:
            return [packet.kind for packet in self.packets if packet.path == path]

    def fragments(self, path: str) -> list[Packet]:
        """The fragments that came for an upload."""
        with self.lock:
            return [packet for packet in self.packets if packet.path == path and packet.kind == "fragment"]

    def fault(self, kind: str) -> Fault | None:
        """The next fault of this kind, used up."""
        with self.lock:
            for at, fault in enumerate(self.faults):
                if fault.kind == kind:
                    return self.faults.pop(at)
        return None


class _Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    block_on_close = False
    bits: BitsServer

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that has gone is no error."""


class _Cut(Exception):
    """The connection ends here."""


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""

    @property
    def bits(self) -> BitsServer:
        """Whose handler it is."""
        return self.server.bits

    def do_BITS_POST(self) -> None:
        """A packet."""
        kind = self.headers.get("BITS-Packet-Type", "").lower()
        path = urllib.parse.urlsplit(self.path).path
        headers = {name.lower(): value for name, value in self.headers.items()}
        packet = Packet(kind, path, headers, [name for name, _ in self.headers.items()])
        with self.bits.lock:
            self.bits.packets.append(packet)
        try:
            self._packet(packet)
        except _Cut:
            self.close_connection = True
            self.connection.close()

    def _packet(self, packet: Packet) -> None:
        if self.bits.basic and packet.headers.get("authorization") != _basic(self.bits.basic):
            self._read(packet)
            self._answer(401, {"WWW-Authenticate": 'Basic realm="bits"'})
            return
        fault = self.bits.fault(packet.kind)
        if fault and fault.cut == "before":
            raise _Cut
        if fault and fault.status:
            self._read(packet)
            error = {} if fault.error is None else self._error(fault.error, fault.context)
            self._answer(fault.status, {**error, **fault.headers})
            return
        if fault and fault.lose:
            self.bits.sessions.clear()
        status, headers = self._do(packet)
        if fault and fault.offset is not None:
            headers["BITS-Received-Content-Range"] = str(fault.offset)
        if fault and fault.cut == "after":
            raise _Cut
        self._answer(status, headers)

    def _do(self, packet: Packet) -> tuple[int, dict[str, str]]:
        if packet.kind == "ping":
            return 200, {}
        if packet.kind == "create-session":
            offered = re.split(r"[ ,]+", packet.headers.get("bits-supported-protocols", ""))
            if PROTOCOL not in [one.lower() for one in offered]:
                return 400, self._error(0x80070057)
            id = "{" + str(uuid.uuid4()).upper() + "}"
            self.bits.sessions[id] = Session(packet.path)
            headers = {"BITS-Protocol": PROTOCOL, "BITS-Session-Id": id, "Accept-encoding": "identity"}
            if self.bits.host_id:
                host, after = self.bits.host_id
                headers["BITS-Host-Id"] = host
                if after is not None:
                    headers["BITS-Host-Id-Fallback-Timeout"] = str(after)
            return 200, headers
        id = packet.headers.get("bits-session-id", "")
        session = self.bits.sessions.get(id)
        if packet.kind == "fragment":
            return self._fragment(packet, id, session)
        if session is None:
            return 500, self._error(SESSION_NOT_FOUND)
        del self.bits.sessions[id]
        if packet.kind == "close-session":
            if session.total == len(session.data):
                self.bits.uploads[session.path] = bytes(session.data)
            return 200, {}
        if packet.kind == "cancel-session":
            self.bits.cancelled.append(session.path)
            return 200, {}
        return 400, self._error(0x80070057)

    def _fragment(self, packet: Packet, id: str, session: Session | None) -> tuple[int, dict[str, str]]:
        length = int(packet.headers["content-length"])
        if session and self.bits.most_fragment and length > self.bits.most_fragment:
            self._read(packet)
            return 413, {}
        text = packet.headers.get("content-range", "")
        match = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+)", text)
        if match:
            packet.range = (int(match[1]), int(match[2]), int(match[3]))
        elif text == "bytes */0" and length == 0:
            packet.range = (0, -1, 0)
        if session is None or packet.range is None:
            self._read(packet)
            return (500, self._error(SESSION_NOT_FOUND)) if packet.range else (400, self._error(0x80070057))
        first, last, total = packet.range
        if session.total not in (None, total) or last - first + 1 != length:
            self._read(packet)
            return 400, self._error(0x80070057)
        session.total = total
        # Repeating the last fragment is answered with success again.
        again = last + 1 == total == len(session.data) and first < total
        if first != len(session.data) and not again:
            self._read(packet)
            received = {"BITS-Received-Content-Range": str(len(session.data))}
            return 416, {**received, self.bits.error_header: "0x0"}
        # A fragment counts when it is whole.
        data = bytearray()
        self._read(packet, data)
        if not again:
            if len(session.data) != first:
                return 416, {"BITS-Received-Content-Range": str(len(session.data))}
            session.data += data
        headers = {"BITS-Received-Content-Range": str(len(session.data))}
        if len(session.data) == total and self.bits.reply:
            session.reply = self.bits.reply(bytes(session.data))
            headers["BITS-Reply-URL"] = f"BITS-Sessions\\Replies\\{id}\\responsefile.bin"
        return 200, headers

    def _read(self, packet: Packet, into: bytearray | None = None) -> None:
        left = int(packet.headers.get("content-length", "0"))
        began, taken = time.monotonic(), 0
        while left:
            data = self.rfile.read1(min(left, PIECE))
            if not data:
                raise _Cut
            left -= len(data)
            taken += len(data)
            packet.taken = taken
            if into is not None:
                into += data
            if self.bits.rate:
                time.sleep(max(0.0, began + taken / self.bits.rate - time.monotonic()))

    def _error(self, code: int, context: int = 5) -> dict[str, str]:
        return {self.bits.error_header: f"0x{code:08X}", "BITS-Error-Context": f"0x{context:X}"}

    def _answer(self, status: int, headers: dict[str, str], body: bytes = b"") -> None:
        self.send_response(status)
        if self.command == "BITS_POST":
            self.send_header("BITS-Packet-Type", "Ack")
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        """The reply of a session, also a part of it."""
        path = urllib.parse.unquote(urllib.parse.urlsplit(self.path).path)
        headers = {name.lower(): value for name, value in self.headers.items()}
        with self.bits.lock:
            self.bits.packets.append(Packet("get", path, headers, list(self.headers.keys())))
        match = re.search(r"/BITS-Sessions/Replies/(\{[^}]+\})/responsefile\.bin$", path)
        session = self.bits.sessions.get(match[1]) if match else None
        if session is None or session.reply is None:
            self._answer(404, {})
            return
        data, tag = session.reply, {"ETag": '"reply"', "Accept-Ranges": "bytes"}
        part = re.fullmatch(r"bytes=(\d+)-(\d*)", headers.get("range", ""))
        if part and int(part[1]) < len(data):
            first = int(part[1])
            last = min(int(part[2] or len(data) - 1), len(data) - 1)
            tag["Content-Range"] = f"bytes {first}-{last}/{len(data)}"
            self._answer(206, tag, data[first : last + 1])
            return
        self._answer(200, tag, data)

    def do_PUT(self) -> None:
        """A whole file."""
        path = urllib.parse.urlsplit(self.path).path
        headers = {name.lower(): value for name, value in self.headers.items()}
        packet = Packet(self.command.lower(), path, headers, list(self.headers.keys()))
        with self.bits.lock:
            self.bits.packets.append(packet)
            wanted = self.bits.whole.pop(0) if self.bits.whole else 201
        data = bytearray()
        try:
            if wanted == "cut":
                raise _Cut
            self._read(packet, data)
            if wanted == "silent":
                raise _Cut
        except _Cut:
            self.close_connection = True
            self.connection.close()
            return
        if int(wanted) < 300:
            self.bits.uploads[path] = bytes(data)
        self._answer(int(wanted), {})

    do_POST = do_PUT


def _basic(account: tuple[str, str]) -> str:
    return "Basic " + base64.b64encode(":".join(account).encode()).decode()
