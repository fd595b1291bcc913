"""Two hosts of ours exchange files: one uploads, the other takes it in."""

from __future__ import annotations

import http.server
import shutil
import tempfile
import threading
import time
import unittest
from pathlib import Path
from typing import ClassVar

from harness.daemon import Daemon
from harness.origin import content
from harness.wsman import COMPLETE, ERROR, RESUME, TRANSFERRED, TRANSIENT_ERROR, Client

MIB = 1024 * 1024
SERVER, BASIC = 0, 0


class Application(http.server.BaseHTTPRequestHandler):
    """What stands behind an upload folder: answers each upload with its octets turned round."""

    def do_POST(self) -> None:
        size = int(self.headers.get("Content-Length", "0"))
        body = self.rfile.read(size)[::-1]
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


class TwoHosts(unittest.TestCase):
    """`east` has files, `west` takes them in."""

    folder: ClassVar[Path]
    east: ClassVar[Daemon]
    west: ClassVar[Daemon]

    @classmethod
    def setUpClass(cls) -> None:
        cls.folder = Path(tempfile.mkdtemp(prefix="bitsd-test-"))
        cls.addClassCleanup(shutil.rmtree, cls.folder, ignore_errors=True)
        application = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Application)
        threading.Thread(target=application.serve_forever, daemon=True).start()
        cls.addClassCleanup(application.shutdown)
        incoming = cls.folder / "incoming"
        incoming.mkdir()
        plain = {"path": "/upload", "folder": str(incoming), "users": ["alice"], "allow_overwrites": True}
        asks = {
            "path": "/ask",
            "folder": str(incoming),
            "users": ["alice"],
            "notification": "value",
            "notification_url": f"http://127.0.0.1:{application.server_address[1]}/",
        }
        cls.west = Daemon(cls.folder / "west", {"hosting": {"upload_folders": [plain, asks]}})
        cls.addClassCleanup(cls.west.kill)
        cls.west.start()
        files = cls.folder / "east" / "files"
        cls.east = Daemon(
            cls.folder / "east",
            {
                "files": {"read_roots": [str(files)]},
                "transfer": {"ca_certificates": str(cls.west.certificate), "upload_fragment_octets": MIB},
            },
        )
        cls.addClassCleanup(cls.east.kill)
        cls.east.start()

    def setUp(self) -> None:
        self.client: Client = self.east.client()
        self.addCleanup(self.client.close)
        self.name = self.id().rsplit(".", 1)[-1]

    def source(self, size: int) -> Path:
        """A file of this test to be uploaded."""
        path = self.east.files / self.name
        path.write_bytes(content(self.name, size))
        return path

    def url(self, folder: str = "upload") -> str:
        """Where it goes."""
        return f"https://127.0.0.1:{self.west.port}/{folder}/{self.name}"

    def arrived(self) -> Path:
        """Where it is then."""
        return self.folder / "incoming" / self.name

    def log_on(self, job: str, password: str | None = None) -> None:
        """The job may say who it is."""
        alice = self.west.alice
        given = {"Target": SERVER, "Scheme": BASIC, "UserName": alice.name, "Password": password or alice.password}
        self.client.invoke("SetCredentials", given, job)

    def upload(self, path: Path) -> str:
        """An upload that has been resumed."""
        job = self.client.create_job(self.name, self.url(), path, Type=1)
        self.client.put(job, {"MinimumRetryDelay": 5})
        self.log_on(job)
        self.client.set_state(job, RESUME)
        return job

    def test_a_file_goes_from_one_host_to_the_other(self) -> None:
        path = self.source(5 * MIB + 3)
        job = self.upload(path)
        self.client.wait_for(job, TRANSFERRED)
        self.assertEqual(self.arrived().read_bytes(), path.read_bytes())
        self.client.set_state(job, COMPLETE)

    def test_an_empty_file_arrives(self) -> None:
        job = self.upload(self.source(0))
        self.client.wait_for(job, TRANSFERRED)
        self.assertEqual(self.arrived().read_bytes(), b"")

    def test_both_hosts_may_be_killed_on_the_way(self) -> None:
        path = self.source(150 * MIB)
        job = self.upload(path)
        for host in (self.east, self.west, self.east):
            time.sleep(0.3)
            host.kill()
            host.start()
        self.client.close()
        self.client = self.east.client()
        deadline = time.monotonic() + 90
        while (seen := self.client.get(job)).state != TRANSFERRED:
            self.assertNotEqual(seen.state, ERROR, self.east.tail())
            self.assertLess(time.monotonic(), deadline)
            if seen.state == TRANSIENT_ERROR:
                self.client.set_state(job, RESUME)
            time.sleep(0.1)
        self.assertTrue(self.arrived().read_bytes() == path.read_bytes())

    def test_a_wrong_password_is_the_end(self) -> None:
        job = self.client.create_job(self.name, self.url(), self.source(10), Type=1)
        self.log_on(job, "wrong")
        self.client.set_state(job, RESUME)
        self.client.wait_for(job, ERROR)
        self.assertEqual(int(self.client.error(job)["ErrorCode"]), 0x80190191)
        self.assertFalse(self.arrived().exists())

    def test_what_the_other_host_answers_comes_back(self) -> None:
        path = self.source(2 * MIB + 1)
        reply = self.east.files / f"{self.name}.reply"
        more = {"Type": 2, "ReplyFileName": str(reply)}
        job = self.client.create_bitsd_job(self.name, self.url("ask"), path, **more)
        self.log_on(job)
        self.client.set_state(job, RESUME)
        self.client.wait_for(job, TRANSFERRED)
        self.assertFalse(reply.exists())
        self.client.set_state(job, COMPLETE)
        self.assertTrue(reply.read_bytes() == path.read_bytes()[::-1])
