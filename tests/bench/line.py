"""A long line: two namespaces joined by a program that delays and loses.

Kernels without the `netem` queue have no other way. Two TUN devices, one in
each namespace; this program hands packets from one to the other after half
the round trip, drops some by chance, and sends no faster than the rate.

    with Line(delay_ms=20, loss=0.01, rate_mbit=1000) as line:
        server = subprocess.Popen([*line.far, "nginx", …])
        with line.near():
            …  # this process and its children are at the near end

It needs root, `/dev/net/tun` and iproute2.
"""

from __future__ import annotations

import collections
import contextlib
import ctypes
import fcntl
import os
import random
import select
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from types import TracebackType

NEAR_ADDRESS = "10.213.77.1"
FAR_ADDRESS = "10.213.77.2"
NETWORK = "10.213.77.0/24"

MTU = 1500
# Packets that wait at most, each way: the line's buffer, some 30 MB.
QUEUE = 20_000

_TUNSETIFF = 0x400454CA
_IFF_TUN, _IFF_NO_PI = 0x0001, 0x1000
_CLONE_NEWNET = 0x40000000


class Unavailable(Exception):
    """This host cannot have such a line."""


class Line:
    """Two namespaces and the line between them."""

    def __init__(self, delay_ms: float, loss: float, rate_mbit: float) -> None:
        self.delay_s = delay_ms / 1000
        self.loss, self.rate = loss, rate_mbit * 1e6 / 8
        tag = f"bitsd{os.getpid()}"
        self.names = (f"{tag}n", f"{tag}f")
        self._process: int | None = None

    @property
    def far(self) -> list[str]:
        """What puts a command at the far end."""
        return ["ip", "netns", "exec", self.names[1]]

    def __enter__(self) -> Line:
        if os.geteuid() != 0 or not os.path.exists("/dev/net/tun"):
            raise Unavailable("the delay line needs root and /dev/net/tun")
        try:
            ends = [self._end(name, address) for name, address in zip(self.names, (NEAR_ADDRESS, FAR_ADDRESS), strict=True)]
        except (OSError, subprocess.CalledProcessError) as error:
            self._clear()
            raise Unavailable(f"the delay line cannot be had: {error}") from error
        self._process = os.fork()
        if self._process == 0:
            with contextlib.suppress(KeyboardInterrupt, OSError):
                _carry(ends[0], ends[1], self.delay_s / 2, self.loss, self.rate)
            os._exit(0)
        for end in ends:
            os.close(end)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._clear()

    @contextlib.contextmanager
    def near(self) -> Iterator[None]:
        """Within, this thread is at the near end, and so is what it starts."""
        home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        try:
            _enter(f"/run/netns/{self.names[0]}")
            yield
        finally:
            _set_namespace(home)
            os.close(home)

    def congestion_control(self, name: str) -> bool:
        """Sets how the far end sends; says whether it could."""
        setting = f"net.ipv4.tcp_congestion_control={name}"
        return subprocess.run([*self.far, "sysctl", "-qw", setting], check=False, capture_output=True).returncode == 0

    def round_trip_ms(self, port: int, times: int = 5) -> float:
        """The least time to connect to a port of the far end, from the near one."""
        best = float("inf")
        for _ in range(times):
            began = time.monotonic()
            with socket.create_connection((FAR_ADDRESS, port), timeout=10):
                best = min(best, time.monotonic() - began)
        return best * 1000

    def _end(self, name: str, address: str) -> int:
        _ip("netns", "add", name)
        home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        try:
            _enter(f"/run/netns/{name}")
            # It belongs to the namespace in which it is made.
            device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
            fcntl.ioctl(device, _TUNSETIFF, struct.pack("16sH22x", b"line", _IFF_TUN | _IFF_NO_PI))
        finally:
            _set_namespace(home)
            os.close(home)
        for words in (
            ("link", "set", "lo", "up"),
            ("link", "set", "line", "mtu", str(MTU), "txqueuelen", "2000"),
            ("addr", "add", f"{address}/24", "dev", "line"),
            ("link", "set", "line", "up"),
        ):
            _ip("-n", name, *words)
        return device

    def _clear(self) -> None:
        if self._process:
            os.kill(self._process, 9)
            os.waitpid(self._process, 0)
            self._process = None
        for name in self.names:
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)


def _carry(near: int, far: int, delay_s: float, loss: float, rate: float) -> None:
    """Hands packets over until it is killed."""
    ways = [_Way(near, far), _Way(far, near)]
    chance, now = random.Random(1).random, time.monotonic
    poll = select.poll()
    for way in ways:
        poll.register(way.source, select.POLLIN)
    while True:
        due = min((way.queue[0][0] for way in ways if way.queue), default=None)
        pause = None if due is None else max(0.0, (due - now()) * 1000)
        poll.poll(pause)
        for way in ways:
            for _ in range(64):
                try:
                    packet = os.read(way.source, 2048)
                except BlockingIOError:
                    break
                if chance() < loss or len(way.queue) >= QUEUE:
                    continue
                at = now()
                # It leaves once those before it have left.
                way.free_at = max(way.free_at, at) + len(packet) / rate
                way.queue.append((way.free_at + delay_s, packet))
            at = now()
            while way.queue and way.queue[0][0] <= at:
                with contextlib.suppress(BlockingIOError):
                    os.write(way.target, way.queue.popleft()[1])


class _Way:
    """One direction."""

    def __init__(self, source: int, target: int) -> None:
        self.source, self.target = source, target
        self.queue: collections.deque[tuple[float, bytes]] = collections.deque()
        self.free_at = 0.0


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


def _enter(path: str) -> None:
    namespace = os.open(path, os.O_RDONLY)
    try:
        _set_namespace(namespace)
    finally:
        os.close(namespace)


def _set_namespace(descriptor: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(descriptor, _CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")


def main() -> int:
    """Tries the line: its round trip, and what one connection carries."""
    with Line(delay_ms=20, loss=0.01, rate_mbit=1000) as line:
        program = "import socket,sys;s=socket.create_server(('0.0.0.0',int(sys.argv[1])));\nwhile True:\n c=s.accept()[0]\n try: c.sendall(bytes(64<<20))\n except OSError: pass\n c.close()"
        server = subprocess.Popen([*line.far, sys.executable, "-c", program, "8000"])
        try:
            time.sleep(0.5)
            with line.near():
                print(f"round trip {line.round_trip_ms(8000):.1f} ms")
                began, octets = time.monotonic(), 0
                with socket.create_connection((FAR_ADDRESS, 8000)) as connection:
                    while data := connection.recv(1 << 20):
                        octets += len(data)
                print(f"{octets / (time.monotonic() - began) / 1e6:.1f} MB/s")
        finally:
            server.kill()
            server.wait()
    return 0


if __name__ == "__main__":
    sys.exit(main())
