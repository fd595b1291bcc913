"""Uploads to a scripted BITS server, and to nginx."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
import unittest
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

from clients.base import WithDaemon
from harness.bits_server import PROTOCOL, SESSION_NOT_FOUND, BitsServer, Fault
from harness.daemon import free_port
from harness.origin import content
from harness.wsman import CANCEL, COMPLETE, ERROR, RESUME, SUSPEND, SUSPENDED, TRANSFERRED, TRANSIENT_ERROR, Job
from harness.wsman import Fault as SoapFault

HTTP_ERROR = 0x80190000
LOCAL_FILE_CHANGED = 0x8020001D
TOO_LARGE = 0x80200020
MIB = 1 << 20


def moved(octets: int) -> Callable[[Job], bool]:
    """A condition: so many octets are there."""
    return lambda job: job.number("BytesTransferred") >= octets


class Uploading(WithDaemon):
    """What the tests of uploads share."""

    sources: ClassVar[Path]

    @classmethod
    def setUpClass(cls) -> None:
        cls.sources = Path(tempfile.mkdtemp(prefix="bitsd-sources-"))
        cls.addClassCleanup(shutil.rmtree, cls.sources, ignore_errors=True)
        cls.settings = {
            "files": {"read_roots": [str(cls.sources)]},
            "transfer": {"checkpoint_octets": MIB, "upload_fragment_octets": 2 * MIB},
        }
        super().setUpClass()

    def setUp(self) -> None:
        super().setUp()
        self.server = BitsServer()
        self.addCleanup(self.server.close)

    def file(self, size: int = 300_000, name: str = "file.bin") -> tuple[Path, bytes]:
        """A source of this test."""
        path = self.sources / self.name / name
        path.parent.mkdir(exist_ok=True)
        data = content(f"{self.id()}/{name}", size)
        path.write_bytes(data)
        return path, data

    def start(self, path: Path, to: str = "/up/file.bin", suspended: bool = False) -> str:
        """An upload of the file to the server."""
        return self.client.create_job(self.name, self.server.url(to), path, suspended, Type=1)

    def fails(self, job: str, state: int, code: int, context: int = 5) -> dict[str, str]:
        """The job fails like this."""
        self.client.wait_for(job, state)
        error = self.client.error(job)
        self.assertEqual((int(error["ErrorCode"]), int(error["ErrorContext"])), (code, context), error)
        return error

    def arrives(self, job: str, data: bytes, to: str = "/up/file.bin", within: float = 60) -> None:
        """The server has the file, and the job is let go."""
        done = self.client.wait_for(job, TRANSFERRED, within)
        self.assertEqual((done.number("BytesTransferred"), done.number("BytesTotal")), (len(data), len(data)))
        self.assertEqual(self.server.uploads.get(to), data)
        self.client.set_state(job, COMPLETE)
        self.gone(job)

    def ends(self, job: str) -> None:
        """The job is transferred, be it at a second try."""
        if self.client.wait_for(job, lambda seen: seen.state in (TRANSIENT_ERROR, TRANSFERRED)).state == TRANSIENT_ERROR:
            self.client.set_state(job, RESUME)
            self.client.wait_for(job, TRANSFERRED)

    def gone(self, job: str) -> None:
        """Nobody sees the job any more."""
        with self.assertRaises(SoapFault):
            self.client.get(job)
        self.assertNotIn(job, [one.id for one in self.client.jobs()])


class Packets(Uploading):
    """The BITS upload protocol ([MC-BUP])."""

    def test_a_file_goes_as_windows_sends_it(self) -> None:
        path, data = self.file(4_892, "x.txt")
        job = self.start(path, "/upload/x.txt")
        self.arrives(job, data, "/upload/x.txt")
        self.assertEqual(self.server.kinds("/upload/x.txt"), ["create-session", "fragment", "close-session"])
        create, fragment, close = self.server.packets
        session = fragment.headers["bits-session-id"]
        for packet, expected in (
            (create, {"bits-packet-type": "Create-Session", "bits-supported-protocols": PROTOCOL, "content-name": "x.txt", "content-length": "0"}),
            (fragment, {"bits-packet-type": "Fragment", "bits-session-id": session, "content-range": "bytes 0-4891/4892", "content-length": "4892"}),
            (close, {"bits-packet-type": "Close-Session", "bits-session-id": session, "content-name": "x.txt", "content-length": "0"}),
        ):
            self.assertLessEqual(expected.items(), packet.headers.items())
            self.assertLessEqual({name for name in packet.headers if name.startswith(("bits-", "content-"))}, set(expected))
            self.assertEqual(packet.headers["accept"], "*/*")
            self.assertNotIn("transfer-encoding", packet.headers)

    def test_fragments_follow_each_other_and_stay_within_the_setting(self) -> None:
        path, data = self.file(9 * MIB + 17)
        self.arrives(self.start(path), data)
        ranges = [packet.range for packet in self.server.fragments("/up/file.bin")]
        self.assertGreater(len(ranges), 4)
        at = 0
        for range in ranges:
            assert range
            first, last, total = range
            self.assertEqual((first, total), (at, len(data)))
            self.assertLessEqual(last - first + 1, 2 * MIB)
            at = last + 1
        self.assertEqual(at, len(data))

    def test_an_empty_file_arrives(self) -> None:
        path, data = self.file(0)
        self.arrives(self.start(path), data)

    def test_smaller_fragments_are_sent_when_the_server_wants_them(self) -> None:
        self.server.most_fragment = 40_000
        path, data = self.file(300_000)
        self.arrives(self.start(path), data)
        taken = [packet.range for packet in self.server.fragments("/up/file.bin") if int(packet.headers["content-length"]) <= 40_000]
        self.assertEqual(sum(last - first + 1 for first, last, _ in filter(None, taken)), len(data))

    def test_a_server_that_takes_no_fragment_fails_the_job(self) -> None:
        self.server.most_fragment = 1_000
        path, _ = self.file(300_000)
        self.fails(self.start(path), ERROR, HTTP_ERROR + 413)

    def test_the_offset_of_the_server_rules(self) -> None:
        path, data = self.file(3 * MIB)
        # It says less than it has: what is sent again is refused with what it has.
        self.server.faults = [Fault("fragment", offset=MIB // 2)]
        self.arrives(self.start(path), data)
        first, again, *_ = self.server.fragments("/up/file.bin")
        assert first.range and again.range
        self.assertEqual((first.range[0], again.range[0]), (0, MIB // 2))

    def test_an_offset_beyond_the_file_is_an_error(self) -> None:
        path, _ = self.file()
        self.server.faults = [Fault("fragment", offset=10**12)]
        self.fails(self.start(path), TRANSIENT_ERROR, 0x8020001B)

    def test_a_lost_ack_costs_one_fragment(self) -> None:
        for packet in ("create-session", "fragment", "close-session"):
            with self.subTest(packet=packet):
                path, data = self.file(3 * MIB, packet)
                to = f"/up/{packet}"
                self.server.faults = [Fault(packet, cut="after")]
                job = self.start(path, to)
                self.ends(job)
                self.assertEqual(self.server.uploads[to], data)
                sessions = self.server.kinds(to).count("create-session")
                self.assertEqual(sessions, 2 if packet == "create-session" else 1)
                self.client.set_state(job, COMPLETE)

    def test_the_last_ack_may_be_lost(self) -> None:
        path, data = self.file(100_000)
        self.server.faults = [Fault("fragment", cut="after")]
        job = self.start(path)
        self.arrives(job, data)
        self.assertEqual(self.server.kinds("/up/file.bin"), ["create-session", "fragment", "fragment", "close-session"])

    def test_a_lost_session_is_begun_anew(self) -> None:
        for packet, header in (("fragment", "BITS-Error"), ("close-session", "BITS-Error-Code")):
            with self.subTest(packet=packet):
                self.server.error_header = header
                path, data = self.file(3 * MIB, packet)
                to = f"/up/{packet}"
                self.server.faults = [Fault(packet, lose=True)]
                self.arrives(self.start(path, to), data, to)
                self.assertEqual(self.server.kinds(to).count("create-session"), 2)

    def test_a_server_that_loses_each_session_is_given_up_for_now(self) -> None:
        path, _ = self.file()
        self.server.faults = [Fault("fragment", lose=True) for _ in range(50)]
        self.fails(self.start(path), TRANSIENT_ERROR, SESSION_NOT_FOUND)
        self.assertLess(len(self.server.packets), 20)

    def test_errors_are_fatal_or_not_by_the_table(self) -> None:
        rows = [
            (403, 0x80070005, 5, ERROR, 0x80070005),
            (404, None, 5, ERROR, HTTP_ERROR + 404),
            (501, 0x80070005, 5, ERROR, 0x80070005),
            (500, TOO_LARGE, 5, ERROR, TOO_LARGE),
            (500, 0x80070070, 5, TRANSIENT_ERROR, 0x80070070),
            (503, None, 5, TRANSIENT_ERROR, HTTP_ERROR + 503),
            (408, 0x80070102, 7, TRANSIENT_ERROR, 0x80070102),
            (409, 0x80070005, 7, TRANSIENT_ERROR, 0x80070005),
        ]
        for at, (status, error, context, state, code) in enumerate(rows):
            for kind in ("create-session", "fragment"):
                with self.subTest(status=status, error=error, kind=kind):
                    path, _ = self.file(20_000, f"{kind}-{at}")
                    self.server.faults = [Fault(kind, status, error, context)]
                    job = self.start(path, f"/up/{kind}-{at}")
                    self.fails(job, state, code, context)
                    self.client.set_state(job, CANCEL)

    def test_a_server_without_the_protocol_is_told_apart(self) -> None:
        url, _ = self.source()
        path, _ = self.file()
        job = self.client.create_job(self.name, url, path, False, Type=1)
        self.client.wait_for(job, ERROR)
        self.assertEqual(self.client.error(job)["ErrorContext"], "5")

    def test_a_job_logs_on_and_sends_no_octet_twice_for_it(self) -> None:
        self.server.basic = ("carol", "secret 1")
        path, data = self.file(100_000)
        job = self.start(path, suspended=True)
        self.client.invoke("SetCredentials", {"Target": 0, "Scheme": 0, "UserName": "carol", "Password": "secret 1"}, job)
        self.client.set_state(job, RESUME)
        self.arrives(job, data)
        self.assertEqual(len(self.server.fragments("/up/file.bin")), 1)

    def test_suspend_and_resume_go_on_in_the_same_session(self) -> None:
        self.server.rate = 4 * MIB
        path, data = self.file(10 * MIB)
        job = self.start(path)
        self.client.wait_for(job, moved(3 * MIB))
        self.client.set_state(job, SUSPEND)
        self.client.wait_for(job, SUSPENDED)
        self.server.rate = None
        self.client.set_state(job, RESUME)
        self.arrives(job, data)
        kinds = self.server.kinds("/up/file.bin")
        self.assertEqual((kinds.count("create-session"), kinds.count("ping")), (1, 1))
        taken = sum(packet.taken for packet in self.server.fragments("/up/file.bin"))
        self.assertLess(taken, len(data) + 3 * MIB)

    def test_a_killed_service_goes_on_in_the_same_session(self) -> None:
        self.server.rate = 4 * MIB
        path, data = self.file(12 * MIB)
        job = self.start(path)
        for octets in (2 * MIB, 6 * MIB):
            self.client.wait_for(job, moved(octets))
            self.daemon.kill()
            self.daemon.start()
            self.client.close()
        self.server.rate = None
        self.arrives(job, data)
        kinds = self.server.kinds("/up/file.bin")
        self.assertEqual(kinds.count("create-session"), 1, kinds)
        self.assertGreaterEqual(kinds.count("ping"), 2)
        taken = sum(packet.taken for packet in self.server.fragments("/up/file.bin"))
        self.assertLess(taken, len(data) + 10 * MIB)

    def test_a_source_that_changes_fails_the_job(self) -> None:
        self.server.rate = 2 * MIB
        path, _ = self.file(8 * MIB)
        job = self.start(path)
        self.client.wait_for(job, moved(2 * MIB))
        with path.open("ab") as file:
            file.write(b"more")
        self.fails(job, ERROR, LOCAL_FILE_CHANGED, 4)

    def test_a_source_that_changed_while_nothing_ran_fails_the_job(self) -> None:
        self.server.rate = 2 * MIB
        path, data = self.file(8 * MIB)
        job = self.start(path)
        self.client.wait_for(job, moved(2 * MIB))
        self.client.set_state(job, SUSPEND)
        path.write_bytes(data[::-1])
        self.client.set_state(job, RESUME)
        self.fails(job, ERROR, LOCAL_FILE_CHANGED, 4)

    def test_the_session_goes_on_at_the_host_that_the_server_names(self) -> None:
        with BitsServer() as second:
            second.sessions = self.server.sessions
            self.server.host_id = (f"127.0.0.2:{second.port}", 110)
            # It listens on 127.0.0.1 only; loopback is one host under many names.
            self.server.host_id = (f"localhost:{second.port}", 110)
            path, data = self.file(100_000)
            job = self.start(path)
            self.client.wait_for(job, TRANSFERRED)
            self.assertEqual(self.server.kinds("/up/file.bin"), ["create-session"])
            self.assertEqual(second.kinds("/up/file.bin"), ["ping", "fragment", "close-session"])
            self.assertEqual(second.packets[0].headers["host"], f"localhost:{second.port}")
            self.assertEqual(second.uploads["/up/file.bin"], data)

    def test_no_credentials_go_to_a_host_that_the_server_names(self) -> None:
        with BitsServer() as second:
            second.sessions = self.server.sessions
            self.server.basic = second.basic = ("carol", "secret")
            self.server.host_id = (f"localhost:{second.port}", 110)
            path, data = self.file(100_000)
            job = self.start(path, suspended=True)
            self.client.invoke("SetCredentials", {"Target": 0, "Scheme": 0, "UserName": "carol", "Password": "secret"}, job)
            self.client.set_state(job, RESUME)
            # It asks who the job is, so the upload stays at home.
            self.arrives(job, data)
            self.assertTrue(second.packets)
            self.assertTrue(all("authorization" not in packet.headers for packet in second.packets))

    def test_a_host_that_cannot_be_reached_is_given_up_after_its_time(self) -> None:
        second = BitsServer()
        self.server.host_id = (f"localhost:{second.port}", 1)
        second.close()
        path, data = self.file(100_000)
        job = self.start(path)
        self.client.wait_for(job, TRANSIENT_ERROR)
        time.sleep(1.1)
        self.client.set_state(job, RESUME)
        self.arrives(job, data)

    def test_cancel_gives_the_session_up(self) -> None:
        self.server.rate = 2 * MIB
        path, _ = self.file(8 * MIB)
        job = self.start(path)
        self.client.wait_for(job, moved(2 * MIB))
        self.client.set_state(job, CANCEL)
        self.gone(job)
        self.assertEqual(self.server.cancelled, ["/up/file.bin"])
        self.assertEqual(self.server.sessions, {})

    def test_a_server_that_cannot_be_told_is_told_later_and_after_a_kill(self) -> None:
        self.server.rate = 2 * MIB
        path, _ = self.file(8 * MIB)
        job = self.start(path)
        self.client.wait_for(job, moved(2 * MIB))
        self.client.set_state(job, SUSPEND)
        self.server.faults = [Fault("cancel-session", 503), Fault("cancel-session", 503)]
        began = time.monotonic()
        self.client.set_state(job, CANCEL)
        self.assertLess(time.monotonic() - began, 8)
        self.gone(job)
        self.assertEqual(self.server.cancelled, [])
        self.daemon.kill()
        self.daemon.start()
        self.client.close()
        self.gone(job)
        deadline = time.monotonic() + 40
        while not self.server.cancelled and time.monotonic() < deadline:
            time.sleep(0.1)
        self.assertEqual(self.server.cancelled, ["/up/file.bin"])

    def test_an_upload_that_is_not_whole_is_not_completed(self) -> None:
        path, _ = self.file()
        job = self.start(path, suspended=True)
        with self.assertRaises(SoapFault) as caught:
            self.client.set_state(job, COMPLETE)
        self.assertIn(0x80200002, caught.exception.codes)
        self.client.set_state(job, CANCEL)

    def test_an_upload_has_one_file(self) -> None:
        path, _ = self.file()
        job = self.start(path, suspended=True)
        with self.assertRaises(SoapFault) as caught:
            self.client.add_file(job, self.server.url("/up/second"), path)
        self.assertIn(0x8020001C, caught.exception.codes)

    def test_what_may_not_be_read_is_refused_when_it_is_asked_for(self) -> None:
        inside, _ = self.file()
        link = inside.with_name("link")
        link.symlink_to("/etc/passwd")
        for path in (self.daemon.config, Path("/etc/passwd"), link, inside.parent, inside.with_name("none")):
            with self.subTest(path=path), self.assertRaises(SoapFault):
                self.start(path, suspended=True)


class Whole(Uploading):
    """PUT and POST, to servers without the protocol."""

    def start_by(self, method: str, path: Path, url: str) -> str:
        """An upload by this method."""
        job = self.client.create_bitsd_job(self.name, url, path, Type=1, HttpMethod=method)
        self.client.set_state(job, RESUME)
        return job

    def test_a_file_goes_in_one_request(self) -> None:
        for method in ("PUT", "POST"):
            for size in (0, 3 * MIB + 5):
                with self.subTest(method=method, size=size):
                    path, data = self.file(size, f"{method}-{size}")
                    to = f"/up/{method}-{size}"
                    job = self.start_by(method, path, self.server.url(to))
                    self.arrives(job, data, to)
                    (packet,) = [packet for packet in self.server.packets if packet.path == to]
                    self.assertEqual((packet.kind, packet.headers["content-length"]), (method.lower(), str(size)))

    def test_a_put_begins_anew_when_it_broke(self) -> None:
        path, data = self.file(3 * MIB)
        self.server.whole = ["silent", 503]
        job = self.start_by("PUT", path, self.server.url("/up/file.bin"))
        for _ in range(2):
            self.client.wait_for(job, TRANSIENT_ERROR)
            self.client.set_state(job, RESUME)
        self.arrives(job, data)
        self.assertEqual(self.server.kinds("/up/file.bin"), ["put"] * 3)

    def test_a_post_that_may_have_been_taken_is_not_sent_again_by_itself(self) -> None:
        path, data = self.file(300_000)
        self.server.whole = ["silent"]
        job = self.start_by("POST", path, self.server.url("/up/file.bin"))
        self.client.wait_for(job, ERROR)
        self.assertIn("Resume sends it again", self.client.error(job)["ErrorDescription"])
        self.assertEqual(self.server.kinds("/up/file.bin"), ["post"])
        self.client.set_state(job, RESUME)
        self.arrives(job, data)

    @unittest.skipUnless(shutil.which("nginx"), "nginx is not installed")
    def test_nginx_takes_a_file_by_put(self) -> None:
        folder = Path(tempfile.mkdtemp(prefix="bitsd-nginx-"))
        self.addCleanup(shutil.rmtree, folder, ignore_errors=True)
        port = free_port()
        (folder / "up").mkdir()
        (folder / "nginx.conf").write_text(
            f"""
            daemon off; worker_processes 1; pid {folder}/pid; error_log {folder}/error.log;
            events {{}}
            http {{
                access_log off; client_max_body_size 8m; client_body_temp_path {folder}/body;
                proxy_temp_path {folder}/a; fastcgi_temp_path {folder}/b;
                uwsgi_temp_path {folder}/c; scgi_temp_path {folder}/d;
                server {{
                    listen 127.0.0.1:{port};
                    location / {{ root {folder}/up; dav_methods PUT; create_full_put_path on; dav_access user:rw; }}
                }}
            }}
            """
        )
        folder.chmod(0o755)
        server = subprocess.Popen(["nginx", "-p", str(folder), "-c", str(folder / "nginx.conf"), "-g", "user root;"])
        self.addCleanup(server.wait)
        self.addCleanup(server.terminate)
        path, data = self.file(5 * MIB)
        job = self.start_by("PUT", path, f"http://127.0.0.1:{port}/deep/file.bin")
        self.client.wait_for(job, TRANSFERRED)
        self.client.set_state(job, COMPLETE)
        self.assertEqual((folder / "up/deep/file.bin").read_bytes(), data)
        # It refuses before it has read: what it says is still heard.
        path, _ = self.file(30 * MIB, "big")
        job = self.start_by("PUT", path, f"http://127.0.0.1:{port}/big")
        self.fails(job, ERROR, HTTP_ERROR + 413)


class Replies(Uploading):
    """Upload-reply."""

    def start_for_reply(self, path: Path, reply: Path) -> str:
        """An upload whose answer lands in `reply`."""
        to = self.server.url("/up/file.bin")
        job = self.client.create_bitsd_job(self.name, to, path, Type=2, ReplyFileName=str(reply))
        self.client.set_state(job, RESUME)
        return job

    def test_the_reply_lands_at_complete(self) -> None:
        answer = content("answer", 3 * MIB)
        self.server.reply = lambda data: answer
        path, data = self.file()
        job = self.start_for_reply(path, self.target("reply"))
        self.client.wait_for(job, TRANSFERRED)
        self.assertFalse(self.target("reply").exists())
        self.assertEqual(self.server.uploads["/up/file.bin"], data)
        self.assertEqual([packet.kind for packet in self.server.packets], ["create-session", "fragment", "get", "close-session"])
        self.client.set_state(job, COMPLETE)
        self.assert_same(self.target("reply"), answer)
        self.assert_no_temporary_files()

    def test_the_reply_goes_on_after_a_kill(self) -> None:
        self.server.reply = lambda data: b"answer"
        path, data = self.file(100_000)
        self.server.faults = [Fault("close-session", 503)]
        job = self.start_for_reply(path, self.target("reply"))
        self.client.wait_for(job, TRANSIENT_ERROR)
        self.daemon.kill()
        self.daemon.start()
        self.client.close()
        self.client.set_state(job, RESUME)
        self.client.wait_for(job, TRANSFERRED)
        self.client.set_state(job, COMPLETE)
        self.assert_same(self.target("reply"), b"answer")
        kinds = [packet.kind for packet in self.server.packets]
        self.assertEqual((kinds.count("get"), kinds.count("fragment")), (1, 1), kinds)

    def test_no_address_of_a_reply_is_an_error(self) -> None:
        path, _ = self.file()
        job = self.start_for_reply(path, self.target("reply"))
        self.fails(job, ERROR, 0x8020001B)

    def test_cancel_drops_the_reply(self) -> None:
        self.server.reply = lambda data: content("answer", 3 * MIB)
        path, _ = self.file()
        job = self.start_for_reply(path, self.target("reply"))
        self.client.wait_for(job, TRANSFERRED)
        self.assertTrue([path for path in self.daemon.temporary_files() if self.name in str(path)])
        self.client.set_state(job, CANCEL)
        self.gone(job)
        self.assert_no_temporary_files()
        self.assertFalse(self.target("reply").exists())
