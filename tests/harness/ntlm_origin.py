"""An origin that asks for NTLM or Negotiate, with pyspnego as acceptor.

A log-on belongs to its connection, as with IIS.
"""

from __future__ import annotations

import base64
import hashlib
import http.server
import os
import ssl
import threading
from pathlib import Path

import spnego
from spnego.channel_bindings import GssChannelBindings


class NtlmOrigin:
    """The origin. `accounts` are lines `DOMAIN:user:password`."""

    def __init__(
        self,
        folder: Path,
        accounts: list[str],
        scheme: str = "NTLM",
        certificate: tuple[Path, Path] | None = None,
        closes: bool = False,
        old: bool = False,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "ntlm.users"
        path.write_text("\n".join(accounts) + "\n")
        os.environ["NTLM_USER_FILE"] = str(path)
        self.files: dict[str, bytes] = {}
        self.scheme = scheme
        # The first 401 of a connection ends it.
        self.closes = closes
        self.binding: GssChannelBindings | None = None
        # (method, path, octets of the body, status, connection, had a token)
        self.requests: list[tuple[str, str, int, int, int, bool]] = []
        self.refused = 0
        self.received: dict[str, bytes] = {}
        self.lock = threading.Lock()
        self._server = _Server(("127.0.0.1", 0), _handler(self, old))
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
            shown = ssl.PEM_cert_to_DER_cert(certificate[0].read_text())
            data = b"tls-server-end-point:" + hashlib.sha256(shown).digest()
            self.binding = GssChannelBindings(application_data=data)
        self.root = f"{'https' if certificate else 'http'}://localhost:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Ends it."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def add(self, name: str, data: bytes) -> str:
        """A file; its address."""
        self.files[f"/{name}"] = data
        return f"{self.root}/{name}"


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """Clients hang up."""


def _handler(origin: NtlmOrigin, old: bool) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        """One connection."""

        protocol_version = "HTTP/1.0" if old else "HTTP/1.1"
        count = 0

        def setup(self) -> None:
            super().setup()
            self.who: str | None = None
            self.context: spnego.ContextProxy | None = None
            with origin.lock:
                Handler.count += 1
                self.number = Handler.count

        def do_GET(self) -> None:
            self._serve()

        def do_PUT(self) -> None:
            self._serve()

        def do_BITS_POST(self) -> None:
            self._serve()

        def _serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            scheme, _, text = (self.headers.get("Authorization") or "").partition(" ")
            token = self._step(base64.b64decode(text)) if scheme == origin.scheme else None
            if self.who is None:
                challenge = origin.scheme
                if token is not None:
                    challenge += " " + base64.b64encode(token).decode()
                closes = origin.closes and token is None and not text
                self._answer(401, b"who are you? " * 50, body, {"WWW-Authenticate": challenge}, closes, bool(text))
                return
            more = {"WWW-Authenticate": f"{origin.scheme} {base64.b64encode(token).decode()}"} if token else {}
            data = origin.files.get(self.path)
            if self.command != "GET":
                origin.received[self.path] = body
                self._answer(201, b"", body, more, False, bool(text))
            elif data is None:
                self._answer(404, b"", body, more, False, bool(text))
            else:
                self._answer(200, data, body, {**more, "ETag": '"one"'}, False, bool(text))

        def _step(self, token: bytes) -> bytes | None:
            if self.context is None or self.context.complete:
                protocol = "ntlm" if origin.scheme == "NTLM" else "negotiate"
                options = (
                    spnego.NegotiateOptions.use_ntlm
                    if origin.scheme == "NTLM"
                    else spnego.NegotiateOptions.use_negotiate
                )
                self.context = spnego.server(protocol=protocol, options=options, channel_bindings=origin.binding)
            try:
                answer = self.context.step(token)
            except Exception:
                self.context = None
                with origin.lock:
                    origin.refused += 1
                return None
            if self.context.complete:
                self.who = self.context.client_principal or "somebody"
            return answer

        def _answer(
            self, status: int, data: bytes, body: bytes, headers: dict[str, str], closes: bool, had_token: bool
        ) -> None:
            with origin.lock:
                origin.requests.append((self.command, self.path, len(body), status, self.number, had_token))
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(data)))
            if closes:
                self.send_header("Connection", "close")
                self.close_connection = True
            elif old:
                self.send_header("Connection", "keep-alive")
                self.close_connection = False
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            """Nothing."""

    return Handler
