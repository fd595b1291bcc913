"""The network goes and comes back; `test_network` runs this in a network
namespace of its own, with a link to a second one that has a server."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
import unittest
from collections.abc import Callable
from pathlib import Path

from harness.daemon import Daemon
from harness.origin import Origin, Source, content
from harness.wsman import ERROR, TRANSFERRED, TRANSFERRING, TRANSIENT_ERROR, Job

HERE, FAR = "10.99.0.1", "10.99.0.2"
PORT = 8_080
NETWORK_DISCONNECTED = 0x80200010
SIZE = 4_000_000

# /slow comes at 1 MB/s, /busy answers 503 once and then the file.
SERVER = f"""
import http.server, subprocess, sys, time
sys.stdin.readline()
for command in ("link set lo up", "addr add {FAR}/24 dev far", "link set far up"):
    subprocess.run(["ip", *command.split()], check=True)
busy = [503]
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        if self.path == "/busy" and busy:
            self.send_response(busy.pop())
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        first = 0
        asked = self.headers.get("Range")
        if asked:
            first = int(asked.removeprefix("bytes=").split("-")[0])
        self.send_response(206 if asked else 200)
        self.send_header("ETag", '"1"')
        if asked:
            self.send_header("Content-Range", f"bytes {{first}}-{SIZE - 1}/{SIZE}")
        self.send_header("Content-Length", str({SIZE} - first))
        self.end_headers()
        if self.command == "HEAD":
            return
        for at in range(first, {SIZE}, 100_000):
            end = min(at + 100_000, {SIZE})
            self.wfile.write(bytes(n & 255 for n in range(at, end)))
            time.sleep(0.1 if self.path == "/slow" else 0)
    do_HEAD = do_GET
    def log_message(self, *_):
        pass
server = http.server.ThreadingHTTPServer(("{FAR}", {PORT}), Handler)
print("ready", flush=True)
server.serve_forever()
"""


def ip(command: str) -> None:
    """Changes the namespace's devices."""
    subprocess.run(["ip", *command.split()], check=True)


class NetworkGoing(unittest.TestCase):
    """What becomes of jobs meanwhile."""

    def setUp(self) -> None:
        folder = Path(tempfile.mkdtemp(prefix="bitsd-test-"))
        self.addCleanup(shutil.rmtree, folder, ignore_errors=True)
        ip("link set lo up")
        self.far = subprocess.Popen(
            ["unshare", "--net", sys.executable, "-c", SERVER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.addCleanup(self.end_server)
        time.sleep(0.5)
        ip("link add near type veth peer name far")
        self.addCleanup(subprocess.run, ["ip", "link", "del", "near"], check=False)
        ip(f"link set far netns {self.far.pid}")
        ip(f"addr add {HERE}/24 dev near")
        ip("link set near up")
        assert self.far.stdin and self.far.stdout
        self.far.stdin.write("go\n")
        self.far.stdin.flush()
        self.assertEqual(self.far.stdout.readline(), "ready\n")
        settings = {
            "transfer": {"allow_addresses": ["127.0.0.0/8", "10.99.0.0/24"], "checkpoint_interval_ms": 200},
            "engine": {"running_jobs": 8},
        }
        self.daemon = Daemon(folder, settings)
        self.addCleanup(self.daemon.kill)
        self.daemon.start()
        self.client = self.daemon.client()
        self.addCleanup(self.client.close)
        self.wanted = bytes(n & 255 for n in range(SIZE))

    def end_server(self) -> None:
        """Ends the server, and with it its namespace."""
        self.far.kill()
        self.far.communicate()

    def start(self, url: str, name: str) -> str:
        """A job of one file that runs at once."""
        return self.client.create_job(name, url, self.daemon.files / name, suspended=False)

    def far_job(self, path: str, name: str) -> str:
        """The same, from the other side."""
        return self.start(f"http://{FAR}:{PORT}/{path}", name)

    def waits_for_network(self) -> Callable[[Job], bool]:
        """A condition: the job has lost the network."""

        def holds(job: Job) -> bool:
            return job.state == TRANSIENT_ERROR and int(self.client.error(job.id)["ErrorCode"]) == NETWORK_DISCONNECTED

        return holds

    def arrives(self, job: str, name: str, data: bytes) -> None:
        """The job ends well, soon."""
        self.client.wait_for(job, TRANSFERRED, 30)
        self.client.set_state(job, 1)
        self.assertEqual((self.daemon.files / name).read_bytes(), data)

    def test_jobs_wait_for_the_network_and_go_on_at_once(self) -> None:
        with Origin() as origin:
            here = Source(content("here", 12_000_000), etag='"here"', rate=2_000_000)
            local = self.start(origin.add("/here", here), "local")
            busy = self.far_job("busy", "busy")
            self.client.wait_for(busy, TRANSIENT_ERROR)
            slow = self.far_job("slow", "slow")
            self.client.wait_for(slow, lambda job: job.number("BytesTransferred") > 500_000)
            self.client.wait_for(local, TRANSFERRING)

            ip("link set near down")
            self.client.wait_for(slow, self.waits_for_network(), 10)
            late = self.far_job("late", "late")
            self.client.wait_for(late, self.waits_for_network(), 10)
            for job in (slow, late):
                self.assertEqual(self.client.get(job).number("TransientErrorCount"), 0)
            # What comes from this host itself goes on.
            self.assertNotEqual(self.client.get(local).state, TRANSIENT_ERROR)
            self.assertEqual(self.client.get(busy).state, TRANSIENT_ERROR)
            before = self.client.get(slow).number("BytesTransferred")
            self.assertGreater(before, 0)
            # Nobody tries again and again meanwhile.
            began = self.daemon.cpu_seconds()
            self.client.wait_for(local, TRANSFERRED, 30)
            time.sleep(2)
            self.assertLess(self.daemon.cpu_seconds() - began, 1.5)
            self.assertEqual(self.client.get(late).state, TRANSIENT_ERROR)

            ip("link set near up")
            # Ten minutes are the usual delay.
            self.arrives(slow, "slow", self.wanted)
            self.arrives(late, "late", self.wanted)
            # Whatever it had failed with, and though it has a delay of its own.
            self.arrives(busy, "busy", self.wanted)
            self.arrives(local, "local", here.data)

    def test_a_network_that_comes_back_while_the_service_is_down_is_noticed(self) -> None:
        ip("link set near down")
        job = self.far_job("late", "late")
        self.client.wait_for(job, self.waits_for_network(), 20)
        self.client.close()
        self.daemon.stop()
        ip("link set near up")
        self.daemon.start()
        self.client = self.daemon.client()
        self.arrives(job, "late", self.wanted)

    def test_a_refused_connection_here_is_no_lost_network(self) -> None:
        ip("link set near down")
        with Origin() as origin:
            url = origin.url("/gone")
        job = self.start(url, "gone")
        self.client.wait_for(job, TRANSIENT_ERROR)
        self.assertNotEqual(int(self.client.error(job)["ErrorCode"]), NETWORK_DISCONNECTED)
        self.assertEqual(self.client.get(job).number("TransientErrorCount"), 1)

    def test_without_progress_for_too_long_a_lost_network_is_an_error(self) -> None:
        ip("link set near down")
        job = self.client.create_job("end", f"http://{FAR}:{PORT}/end", self.daemon.files / "end")
        self.client.put(job, {"NoProgressTimeout": 5, "MinimumRetryDelay": 60})
        self.client.set_state(job, 2)
        self.client.wait_for(job, self.waits_for_network(), 10)
        self.client.wait_for(job, ERROR, 20)
        self.assertEqual(int(self.client.error(job)["ErrorCode"]), NETWORK_DISCONNECTED)
