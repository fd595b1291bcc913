"""What log-ons and Gets cost, by the way to log on: `python -m bench.log_ons`.

Clients in processes of their own log on again and again, each time on a new
connection; then they log on once and send Gets, which are sealed before the
clock starts, so that the clients have little to do but to send and receive.
Printed are the processor time of the service for one operation, how many of
them one core could do in a second if it did nothing else, and how many a second
the clients got done, who share the machine with the service.
"""

from __future__ import annotations

import argparse
import base64
import http.client
import multiprocessing
import os
import signal
import ssl
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.synchronize import Barrier
from typing import ClassVar, Protocol

from clients.drivers import Endpoint, Person, SchemeSession
from clients.with_realm import KERBEROS, SPNEGO, WithRealm
from harness.daemon import Settings
from harness.realm import acting
from harness.wsman import CONTENT_TYPE, IDENTIFY, JOB, X, envelope, method_input

CREDSSP = "application/HTTP-CredSSP-session-encrypted"
PATIENCE_S = 300.0


@dataclass(frozen=True)
class Cost:
    """Of one operation."""

    cpu_us: float
    per_second: float

    def row(self, name: str) -> str:
        """A line of the table."""
        return f"| {name} | {self.cpu_us:,.0f} | {1e6 / self.cpu_us:,.0f} | {self.per_second:,.0f} |"


class Line(Protocol):
    """A connection on which somebody has logged on."""

    connection: http.client.HTTPConnection

    def send(self, envelope: str) -> bytes:
        """Sends an envelope; the one that came back."""

    def wrap(self, plain: bytes) -> tuple[str, bytes]:
        """The type and the octets of a body that says this."""

    def close(self) -> None:
        """Lets go of it."""


@dataclass(frozen=True)
class Way:
    """How somebody logs on."""

    name: str
    tls: bool
    by: str
    open: Callable[[Endpoint, Person], Line]


class Sealing(SchemeSession):
    """A session of one of the schemes with tokens; its bodies may be plain."""

    def wrap(self, plain: bytes) -> tuple[str, bytes]:
        return super().wrap(plain) if self.sealed else (CONTENT_TYPE, plain)


class Plain:
    """Basic, a client certificate, or nobody: nothing but a header."""

    def __init__(self, to: Endpoint, who: Person, authorization: str | None) -> None:
        context = ssl.create_default_context(cafile=str(to.certificate))
        if who.shown:
            context.load_cert_chain(who.shown.certificate, who.shown.key)
        self.headers = {"Content-Type": CONTENT_TYPE}
        self.headers |= {"Authorization": authorization} if authorization else {"WSMANIDENTIFY": "unauthenticated"}
        self.connection: http.client.HTTPConnection = http.client.HTTPSConnection(
            "localhost", to.port, timeout=60, context=context
        )
        # Schemes with tokens have logged on when they are there.
        self.send(IDENTIFY)

    def send(self, envelope: str) -> bytes:
        self.connection.request("POST", "/wsman", envelope.encode(), self.headers)
        answer = self.connection.getresponse()
        body = answer.read()
        assert answer.status == 200, (answer.status, body)
        return body

    def wrap(self, plain: bytes) -> tuple[str, bytes]:
        return CONTENT_TYPE, plain

    def close(self) -> None:
        self.connection.close()


def scheme(name: str, header: str, protocol: str, sealed: str = "", by: str = "password") -> Way:
    """A scheme with tokens: over HTTP if it seals."""
    return Way(name, not sealed, by, lambda to, who: Sealing(to, who, header, protocol, sealed))


BASIC = Way("Basic, remembered", True, "password", lambda to, who: Plain(to, who, who.account.basic))
CERTIFICATE = Way(
    "client certificate", True, "certificate",
    lambda to, who: Plain(to, who, "http://schemas.dmtf.org/wbem/wsman/1/wsman/secprofile/https/mutual"),
)
NOBODY = Way("Identify of nobody, for comparison", True, "password", lambda to, who: Plain(to, who, None))
WAYS = [
    scheme("NTLM", "Negotiate", "ntlm", SPNEGO),
    scheme("SPNEGO with NTLM", "Negotiate", "negotiate", SPNEGO),
    scheme("Kerberos", "Kerberos", "kerberos", KERBEROS, by="ticket"),
    scheme("SPNEGO with Kerberos", "Negotiate", "negotiate", SPNEGO, by="ticket"),
    scheme("CredSSP with NTLM", "CredSSP", "credssp", CREDSSP),
    scheme("NTLM", "Negotiate", "ntlm"),
    scheme("Kerberos", "Kerberos", "kerberos", by="ticket"),
    CERTIFICATE,
    BASIC,
]


class Service(WithRealm):
    """The service of the log-on tests."""

    settings: ClassVar[Settings] = {"access": {"channel_binding": "Strict"}}

    def runTest(self) -> None:
        """It is no test, only built like one."""

    @contextmanager
    def session(self, way: Way) -> Iterator[Line]:
        """Somebody who has logged on."""
        who = self.people[way.by]
        with acting(who.ticket or self.realm.environment):
            line = way.open(self.endpoint(way.tls), who)
            try:
                yield line
            finally:
                line.close()

    def cpu_s(self) -> float:
        """The processor time of the service so far, to the nanosecond."""
        process = self.daemon.process
        assert process is not None
        # As `clock_getcpuclockid` makes it of a process.
        return time.clock_gettime((~process.pid << 3) | 2)

    def cost(self, crowd: int, count: int, client: Callable[[], Iterable[None]]) -> Cost:
        """Of one of `count` operations, in all, of so many clients.

        A client prepares itself until it yields; then it works.
        """
        own = multiprocessing.get_context("fork")
        ready = own.Barrier(crowd + 1)
        clients = [own.Process(target=_run, args=(client, ready), daemon=True) for _ in range(crowd)]
        for one in clients:
            one.start()
        ready.wait(PATIENCE_S)
        cpu, wall = self.cpu_s(), time.monotonic()
        ready.wait(PATIENCE_S)
        ready.wait(PATIENCE_S)
        wall = time.monotonic() - wall
        for one in clients:
            one.join(PATIENCE_S)
        # What is done behind the last answer.
        time.sleep(0.1)
        cpu = self.cpu_s() - cpu
        if any(one.exitcode for one in clients):
            raise RuntimeError(f"a client failed: {self.daemon.tail()}")
        return Cost(cpu / count * 1e6, count / wall)

    def log_on(self, way: Way, crowd: int, count: int) -> Cost:
        """Of a log-on, its connection included."""
        each = max(1, count // crowd)

        def client() -> Iterator[None]:
            with self.session(way):
                yield
            for _ in range(each):
                with self.session(way):
                    pass

        return self.cost(crowd, each * crowd, client)

    def get(self, way: Way, crowd: int, count: int) -> Cost:
        """Of a Get."""
        each = max(1, count // crowd)

        def client() -> Iterator[None]:
            with self.session(way) as line:
                values = {
                    "DisplayName": "x", "RemoteUrl": "http://127.0.0.1:9/x", "LocalFile": self.daemon.files / "x",
                    "Type": 0, "Suspend": "true",
                }
                made = line.send(envelope(f"{JOB}/CreateJob", method_input("CreateJob", values)))
                key = {"JobId": made.decode().partition("JobId>")[2].partition("<")[0]}
                text = envelope(f"{X}/Get", "", key).encode()
                headers = getattr(line, "headers", {})
                requests = [_request(*line.wrap(text), headers) for _ in range(each)]
                yield
                for request in requests:
                    _exchange(line.connection, request)

        return self.cost(crowd, each * crowd, client)

    def fresh_basic(self, count: int) -> Cost:
        """Of Basic whose password is not remembered: it has changed."""
        bob = self.daemon.bob
        to = self.endpoint(True)
        cpu = wall = 0.0
        for _ in range(count):
            self.daemon.add_user(bob)
            began = self.cpu_s(), time.monotonic()
            Plain(to, Person(bob), bob.basic).close()
            cpu, wall = cpu + self.cpu_s() - began[0], wall + time.monotonic() - began[1]
        return Cost(cpu / count * 1e6, count / wall)


def main() -> int:
    """The exit status."""
    parser = argparse.ArgumentParser(prog="bench.log_ons", description=__doc__)
    parser.add_argument("--clients", type=int, default=4, help="processes that log on or send at once")
    parser.add_argument("--log-ons", type=int, default=800, help="of each way")
    parser.add_argument("--gets", type=int, default=12_000, help="of each way")
    given = parser.parse_args()
    # A stop from outside takes the service and the realm along.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        Service.setUpClass()
        service = Service()
        heads = f"CPU µs of the service | a second and core | a second with {given.clients} clients here"
        print(f"{os.cpu_count()} cores, {os.getloadavg()[0]:.1f} processes at work before")
        print(f"\n| log-on, with its connection | {heads} |\n|---|---|---|---|")
        print(service.fresh_basic(max(1, given.log_ons // 40)).row("HTTPS, Basic, not remembered (one client)"), flush=True)
        for way in [*WAYS, NOBODY]:
            print(service.log_on(way, given.clients, given.log_ons).row(_title(way)), flush=True)
        print(f"\n| Get | {heads} |\n|---|---|---|---|")
        for way in WAYS:
            print(service.get(way, given.clients, given.gets).row(_title(way)), flush=True)
    finally:
        Service.doClassCleanups()
    return 0


def _title(way: Way) -> str:
    return f"HTTPS, {way.name}" if way.tls else f"HTTP, sealed, {way.name}"


def _run(client: Callable[[], Iterable[None]], ready: Barrier) -> None:
    """A process of a client: ready, at work, done."""
    try:
        for _ in client():
            ready.wait(PATIENCE_S)
            ready.wait(PATIENCE_S)
        ready.wait(PATIENCE_S)
    except BaseException:
        # The others must not wait for it.
        ready.abort()
        raise


def _request(kind: str, body: bytes, headers: dict[str, str]) -> bytes:
    """The octets of a request."""
    lines = {"Host": "localhost", **headers, "Content-Type": kind, "Content-Length": str(len(body))}
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"POST /wsman HTTP/1.1\r\n{head}\r\n".encode() + body


def _exchange(connection: http.client.HTTPConnection, request: bytes) -> None:
    """Sends a request, and reads its answer without a look at what it says."""
    connection.sock.sendall(request)
    answer = connection.sock.recv(65_536)
    head, end, _ = answer.partition(b"\r\n\r\n")
    assert end and head.startswith(b"HTTP/1.1 200 "), answer
    length = int(head.lower().partition(b"\r\ncontent-length:")[2].partition(b"\r\n")[0])
    missing = len(head) + len(end) + length - len(answer)
    while missing > 0:
        more = connection.sock.recv(65_536)
        assert more, "the answer ends early"
        missing -= len(more)


if __name__ == "__main__":
    sys.exit(main())
