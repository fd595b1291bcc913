"""The clients of the log-on matrix, each as one session that sends envelopes.

What a client can only do by its own API it does so; the rest send the same
envelopes. A session keeps its connection, as the client keeps it.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import http.client
import os
import ssl
import subprocess
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Protocol
from urllib.parse import quote

import awinrm
import spnego
import spnego.channel_bindings
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from harness.authority import Certificate
from harness.wsman import CONTENT_TYPE, Account
from pypsrp.exceptions import AuthenticationError, WinRMTransportError
from pypsrp.wsman import WSMan
from requests_credssp.exceptions import NTStatusException as CredSSPError
from spnego.exceptions import SpnegoError
from winrm.exceptions import InvalidCredentialsError, WinRMError, WinRMTransportError as PywinrmTransportError
from winrm.protocol import Protocol as Pywinrm


class Refused(Exception):
    """The client was not let in, or got a fault: what it says."""


@dataclass(frozen=True)
class Endpoint:
    """Where a session goes."""

    port: int
    tls: bool
    certificate: Path

    @property
    def url(self) -> str:
        """Its address."""
        return f"{'https' if self.tls else 'http'}://localhost:{self.port}/wsman"


@dataclass(frozen=True)
class Person:
    """Who logs on, and by what."""

    account: Account
    # The environment with his Kerberos ticket.
    ticket: Mapping[str, str] = field(default_factory=dict)
    shown: Certificate | None = None


class Session(Protocol):
    """One client with one connection."""

    def send(self, envelope: str) -> bytes:
        """Sends an envelope; the envelope that came back. `Refused` for any other outcome."""

    def close(self) -> None:
        """Lets go of it."""


class PypsrpSession:
    """pypsrp's WSMan; its own transport seals and opens."""

    def __init__(self, to: Endpoint, who: Person, auth: str, sealed: str, **more: object) -> None:
        if who.shown:
            more |= {"certificate_pem": str(who.shown.certificate), "certificate_key_pem": str(who.shown.key)}
        named = {} if who.shown or who.ticket else {"username": who.account.name, "password": who.account.password}
        self.wsman = WSMan(
            "localhost", port=to.port, ssl=to.tls, auth=auth, encryption=sealed,
            cert_validation=str(to.certificate), **named, **more,
        )

    def send(self, envelope: str) -> bytes:
        try:
            return bytes(self.wsman.transport.send(envelope.encode()))
        except (AuthenticationError, WinRMTransportError) as error:
            raise Refused(str(getattr(error, "response_text", "") or error)) from error
        except (SpnegoError, CredSSPError) as error:
            raise Refused(f"cannot authenticate: {error}") from error

    def close(self) -> None:
        self.wsman.close()


class PywinrmSession:
    """pywinrm's Protocol, which sends any message."""

    def __init__(self, to: Endpoint, who: Person, transport: str, sealed: str, **more: object) -> None:
        if who.shown:
            more |= {"cert_pem": str(who.shown.certificate), "cert_key_pem": str(who.shown.key)}
        self.protocol = Pywinrm(
            to.url, transport=transport, message_encryption=sealed, ca_trust_path=str(to.certificate),
            username=who.account.name, password=who.account.password, **more,
        )

    def send(self, envelope: str) -> bytes:
        try:
            answer = self.protocol.send_message(envelope)
            # What it has opened itself is octets, what it was sent in clear is text.
            return answer if isinstance(answer, bytes) else answer.encode()
        except PywinrmTransportError as error:
            raise Refused(error.response_text or str(error)) from error
        except (InvalidCredentialsError, WinRMError) as error:
            raise Refused(str(error)) from error
        except (SpnegoError, CredSSPError) as error:
            raise Refused(f"the credentials were rejected: {error}") from error

    def close(self) -> None:
        session = self.protocol.transport.session
        if session:
            session.close()


class CurlSession:
    """curl, a process for each envelope: it logs on every time."""

    def __init__(self, to: Endpoint, who: Person, folder: Path, *options: str) -> None:
        self.to, self.who, self.folder = to, who, folder
        self.options = list(options)
        if who.shown:
            self.options += ["--cert", str(who.shown.certificate), "--key", str(who.shown.key)]
        elif who.ticket:
            self.options += ["--user", ":"]
        else:
            netrc = folder / "netrc"
            netrc.touch(0o600)
            netrc.write_text(f"machine localhost login {who.account.name} password {who.account.password}\n")
            self.options += ["--netrc-file", str(netrc)]

    def send(self, envelope: str) -> bytes:
        request, answer = self.folder / "request.xml", self.folder / "answer.xml"
        request.write_text(envelope)
        answer.unlink(missing_ok=True)
        done = subprocess.run(
            [
                "curl", "--silent", "--show-error", "--max-time", "60", "--cacert", str(self.to.certificate),
                *self.options, "--header", f"Content-Type: {CONTENT_TYPE}", "--data-binary", f"@{request}",
                "--output", str(answer), "--write-out", "%{http_code}", self.to.url,
            ],
            capture_output=True, text=True, timeout=90, check=False,
        )
        body = answer.read_bytes() if answer.exists() else b""
        if done.returncode or done.stdout != "200":
            raise Refused(f"{done.stdout} {done.stderr}{body.decode(errors='replace')}")
        return body

    def close(self) -> None:
        """Nothing is kept."""


class AwinrmSession:
    """awinrm, whose log-ons and ciphers are all its own."""

    def __init__(self, to: Endpoint, who: Person, kind: str) -> None:
        name, password = (quote(part, safe="") for part in (who.account.name, who.account.password))
        url = f"{'https' if to.tls else 'http'}+{kind}-password://{name}:{password}@localhost:{to.port}/"
        context = ssl.create_default_context(cafile=str(to.certificate)) if to.tls else None
        self.loop = asyncio.Runner()
        self.session = awinrm.Session(url, ssl_ctx=context)

    def send(self, envelope: str) -> bytes:
        try:
            return bytes(self.loop.run(self.session.protocol.transport.send_message(envelope.encode())))
        except awinrm.WinRMTransportError as error:
            text = error.response_text
            raise Refused(text.decode(errors="replace") if isinstance(text, bytes) else str(text)) from error
        except (awinrm.WinRMError, awinrm.AuthenticationError) as error:
            raise Refused(str(error)) from error
        except binascii.Error as error:
            # It takes the first scheme of a 401 for a token.
            raise Refused("401") from error

    def close(self) -> None:
        self.loop.run(self.session.protocol.close())
        self.loop.close()


class GoSession:
    """masterzen/winrm, which knows shells only: what it says of ours."""

    program: ClassVar[Path]

    def __init__(self, to: Endpoint, who: Person, by: str) -> None:
        shown = [str(who.shown.certificate), str(who.shown.key)] if who.shown else ["", ""]
        named = [who.account.name, who.account.password]
        transport = "https" if to.tls else "http"
        self.words = ["localhost", str(to.port), transport, by, *named, str(to.certificate) if to.tls else "", *shown]

    @classmethod
    def build(cls, folder: Path) -> None:
        """Compiles it against Debian's package."""
        cls.program = folder / "masterzen"
        source = Path(__file__).parent / "masterzen" / "main.go"
        environment = {"GO111MODULE": "off", "GOPATH": "/usr/share/gocode", "GOCACHE": str(folder / "go")}
        subprocess.run(
            ["go", "build", "-o", str(cls.program), str(source)], env={**os.environ, **environment}, check=True,
            capture_output=True, timeout=300,
        )

    def open_shell(self) -> str:
        """What it says to the answer."""
        done = subprocess.run([str(self.program), *self.words], capture_output=True, text=True, timeout=60, check=True)
        return done.stdout

    def close(self) -> None:
        """Nothing is kept."""


class SchemeSession:
    """A client on pyspnego's initiator: any scheme, any token, sealed or not."""

    def __init__(
        self, to: Endpoint, who: Person, scheme: str, protocol: str, sealed: str = "", service: str = "HTTP",
        binding: bytes | None = None,
    ) -> None:
        """`sealed` is the protocol string of sealed bodies; without, bodies are plain.

        `binding` replaces that of the connection; empty means none.
        """
        self.scheme, self.sealed = scheme, sealed
        context = ssl.create_default_context(cafile=str(to.certificate)) if to.tls else None
        self.connection: http.client.HTTPConnection = (
            http.client.HTTPSConnection("localhost", to.port, timeout=60, context=context)
            if context
            else http.client.HTTPConnection("localhost", to.port, timeout=60)
        )
        self.connection.connect()
        bindings = None
        if isinstance(self.connection.sock, ssl.SSLSocket):
            data = end_point(self.connection.sock.getpeercert(True) or b"") if binding is None else binding
            if data:
                bindings = spnego.channel_bindings.GssChannelBindings(application_data=data)
        named = {} if who.ticket else {"username": who.account.name, "password": who.account.password}
        self.context = spnego.client(
            **named, hostname="localhost", service=service, protocol=protocol, channel_bindings=bindings,
            options=spnego.NegotiateOptions.wrapping_winrm if sealed else spnego.NegotiateOptions.none,
        )
        self._log_on()

    def exchange(self, headers: Mapping[str, str], body: bytes = b"") -> tuple[int, http.client.HTTPMessage, bytes]:
        """One request on the connection."""
        self.connection.request("POST", "/wsman", body, dict(headers))
        answer = self.connection.getresponse()
        return answer.status, answer.headers, answer.read()

    def send(self, envelope: str) -> bytes:
        kind, body = self.wrap(envelope.encode()) if self.sealed else (CONTENT_TYPE, envelope.encode())
        status, headers, answer = self.exchange({"Content-Type": kind}, body)
        if self.sealed and answer:
            answer = self.unwrap(headers["Content-Type"] or "", answer)
        if status != 200:
            raise Refused(f"{status} {answer.decode(errors='replace')}")
        return answer

    def wrap(self, plain: bytes) -> tuple[str, bytes]:
        """A sealed body and its type."""
        header, sealed, _ = self.context.wrap_winrm(plain)
        kind = f'multipart/encrypted;protocol="{self.sealed}";boundary="Encrypted Boundary"'
        return kind, b"".join([
            b"--Encrypted Boundary\r\n\tContent-Type: ", self.sealed.encode(),
            b"\r\n\tOriginalContent: type=application/soap+xml;charset=UTF-8;Length=%d\r\n" % len(plain),
            b"--Encrypted Boundary\r\n\tContent-Type: application/octet-stream\r\n",
            len(header).to_bytes(4, "little"), header, sealed, b"--Encrypted Boundary--\r\n",
        ])

    def unwrap(self, kind: str, body: bytes) -> bytes:
        """What a sealed body says."""
        assert kind.startswith("multipart/encrypted") and self.sealed in kind, (kind, body[:200])
        octets = body.split(b"\tContent-Type: application/octet-stream\r\n", 1)[1]
        octets = octets.removesuffix(b"--Encrypted Boundary--\r\n")
        length = int.from_bytes(octets[:4], "little")
        return bytes(self.context.unwrap_winrm(octets[4 : 4 + length], octets[4 + length :]))

    def close(self) -> None:
        self.connection.close()

    def _log_on(self) -> None:
        token = self.context.step()
        for _ in range(8):
            proof = f"{self.scheme} {base64.b64encode(token or b'').decode()}"
            status, headers, body = self.exchange({"Authorization": proof, "Content-Type": CONTENT_TYPE})
            offered = headers.get_all("WWW-Authenticate") or []
            answers = [one.split(" ", 1)[1] for one in offered if one.startswith(f"{self.scheme} ")]
            if status not in (200, 401) or (status == 401 and not answers):
                raise Refused(f"{status} {offered} {body.decode(errors='replace')}")
            if answers:
                token = self.context.step(base64.b64decode(answers[0]))
            if status == 200:
                assert self.context.complete, "the server has let in whom the client has not finished with"
                return
        raise Refused("no end of legs")


def end_point(certificate: bytes) -> bytes:
    """tls-server-end-point of RFC 5929."""
    parsed = x509.load_der_x509_certificate(certificate)
    chosen = parsed.signature_hash_algorithm
    if chosen is None or chosen.name in ("md5", "sha1"):
        chosen = hashes.SHA256()
    digest = hashes.Hash(chosen)
    digest.update(certificate)
    return b"tls-server-end-point:" + digest.finalize()


def body_of(envelope: bytes) -> ET.Element:
    """The body of an answer."""
    root = ET.fromstring(envelope)
    return next(child for child in root if child.tag.endswith("}Body"))
