"""A plain client of the BITS upload protocol: one connection, packets as they are told, no cleverness."""

from __future__ import annotations

import http.client
import ssl
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from .wsman import Account

PROTOCOL = "{7df0354d-249b-430f-820d-3d2a9bef4931}"


@dataclass(frozen=True)
class Ack:
    """What the server said; names of headers in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes = b""

    @property
    def next(self) -> int:
        """The octet that the server expects."""
        return int(self.headers["bits-received-content-range"])

    @property
    def error(self) -> int:
        """The HRESULT, which stands under both names."""
        both = {self.headers["bits-error"], self.headers["bits-error-code"]}
        assert len(both) == 1, both
        return int(both.pop(), 16)

    @property
    def context(self) -> int:
        """Where the error is."""
        return int(self.headers["bits-error-context"], 16)

    @property
    def session(self) -> str:
        """The session."""
        return self.headers["bits-session-id"]


class Uploader:
    """Sends packets over one connection; `certificate` none: over HTTP."""

    def __init__(self, port: int, account: Account | None, certificate: Path | None, timeout: float = 60.0) -> None:
        self.authorization = {"Authorization": account.basic} if account else {}
        self.connection: http.client.HTTPConnection
        if certificate is None:
            self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
        else:
            context = ssl.create_default_context(cafile=str(certificate))
            self.connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=timeout, context=context)

    def close(self) -> None:
        """Ends the connection."""
        self.connection.close()

    def send(
        self,
        path: str,
        headers: Mapping[str, str],
        body: bytes | Iterable[bytes] = b"",
        method: str = "BITS_POST",
    ) -> Ack:
        """Sends a request with exactly these headers, the log-on apart."""
        self.connection.putrequest(method, path, skip_accept_encoding=True)
        for name, value in {**self.authorization, **headers}.items():
            self.connection.putheader(name, value)
        self.connection.endheaders()
        for piece in [body] if isinstance(body, bytes) else body:
            if piece:
                self.connection.send(piece)
        return self.read()

    def read(self) -> Ack:
        """Reads an answer."""
        got = self.connection.getresponse()
        body = got.read()
        return Ack(got.status, {name.lower(): value for name, value in got.getheaders()}, body)

    def packet(
        self, path: str, kind: str, headers: Mapping[str, str] | None = None, body: bytes | Iterable[bytes] = b""
    ) -> Ack:
        """A packet; `Content-Length` is that of the body unless it is given."""
        length = {"Content-Length": str(len(body))} if isinstance(body, bytes) else {}
        return self.send(path, {"BITS-Packet-Type": kind, **length, **(headers or {})}, body)

    def create(self, path: str, **headers: str) -> Ack:
        """Create-Session."""
        return self.packet(path, "Create-Session", {"BITS-Supported-Protocols": PROTOCOL, **headers})

    def begin(self, path: str) -> str:
        """The session that a Create-Session begins."""
        ack = self.create(path)
        assert ack.status == 200, ack
        return ack.session

    def fragment(self, path: str, session: str, data: bytes, first: int, last: int, total: int | None = None) -> Ack:
        """Octets `first` to `last` of `data`."""
        total = len(data) if total is None else total
        headers = {"BITS-Session-Id": session, "Content-Range": f"bytes {first}-{last}/{total}"}
        return self.packet(path, "Fragment", headers, data[first : last + 1])

    def ping(self, path: str) -> Ack:
        """Ping."""
        return self.packet(path, "Ping")

    def finish(self, path: str, session: str) -> Ack:
        """Close-Session."""
        return self.packet(path, "Close-Session", {"BITS-Session-Id": session})

    def cancel(self, path: str, session: str) -> Ack:
        """Cancel-Session."""
        return self.packet(path, "Cancel-Session", {"BITS-Session-Id": session})

    def upload(self, path: str, data: bytes, size: int = 100_000) -> Ack:
        """The whole exchange; the Ack of the last fragment."""
        session = self.begin(path)
        ack = None
        for first in range(0, len(data), size):
            ack = self.fragment(path, session, data, first, min(first + size, len(data)) - 1)
            assert ack.status == 200, ack
        assert ack is not None
        closed = self.finish(path, session)
        assert closed.status == 200, closed
        return ack
