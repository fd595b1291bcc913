"""Uploads of others by the BITS upload protocol: the recorded exchange, every rule of the server."""

from __future__ import annotations

import concurrent.futures
import os
import shutil
import tempfile
import threading
from pathlib import Path
from typing import Any, ClassVar

from clients.base import WithDaemon
from harness.origin import content
from harness.uploader import PROTOCOL, Ack, Uploader
from harness.wsman import Account

E_INVALIDARG = 0x80070057
E_ACCESSDENIED = 0x80070005
E_NO_SESSION = 0x8020001F
E_TOO_LARGE = 0x80200020
SERVER = 5


class WithFolders(WithDaemon):
    """A daemon with upload folders, each below `in/NAME` and `/NAME`."""

    folders: ClassVar[dict[str, dict[str, Any]]] = {"upload": {}}
    hosting: ClassVar[dict[str, Any]] = {}
    more: ClassVar[dict[str, dict[str, Any]]] = {}
    root: ClassVar[Path]

    @classmethod
    def setUpClass(cls) -> None:
        cls.prepare()
        super().setUpClass()

    @classmethod
    def prepare(cls) -> None:
        """The settings, which name folders that the test makes."""
        cls.root = Path(tempfile.mkdtemp(prefix="bitsd-in-"))
        cls.addClassCleanup(shutil.rmtree, cls.root, ignore_errors=True)
        rows = []
        for name, more in cls.folders.items():
            (cls.root / name).mkdir()
            row = {"path": f"/{name}", "folder": str(cls.root / name), "users": ["alice", "bob"], **more}
            rows.append(row)
        cls.settings = {"hosting": {"upload_folders": rows, **cls.hosting}, **cls.more}

    def uploader(self, account: Account | None = None, timeout: float = 60.0) -> Uploader:
        """A client of its own connection, alice's unless said."""
        uploader = Uploader(self.daemon.port, account or self.daemon.alice, self.daemon.certificate, timeout)
        self.addCleanup(uploader.close)
        return uploader

    def landed(self, folder: str = "upload", name: str | None = None) -> Path:
        """Where the test's upload lands."""
        return self.root / folder / (name or self.name)

    def url(self, folder: str = "upload", name: str | None = None) -> str:
        """Where the test uploads to."""
        return f"/{folder}/{name or self.name}"

    def hidden(self, folder: str = "upload", session: str = "") -> list[Path]:
        """The hidden files of uploads that are under way, or of one."""
        number = session.strip("{}").replace("-", "").lower()
        return sorted((self.root / folder).rglob(f".bitsd-{number}*.tmp"))

    def assert_refused(self, ack: Ack, status: int, error: int, context: int = SERVER) -> None:
        """Status, code under both names, and context."""
        self.assertEqual((ack.status, hex(ack.error), ack.context), (status, hex(error), context), ack)
        self.assertEqual(ack.headers["bits-packet-type"], "Ack")

    def data(self, size: int = 300_000) -> bytes:
        """Octets of this test."""
        return content(self.id(), size)


class Recorded(WithFolders):
    """The exchange that [MC-BUP] 4.1 prints, and the state around it."""

    def test_the_recorded_exchange_is_answered_as_recorded(self) -> None:
        path, data = self.url(), self.data(4_892)
        client = self.uploader()
        common = {"Accept": "*/*", "User-Agent": "Microsoft BITS/6.7", "Connection": "Keep-Alive", "Pragma": "no-cache"}
        host = f"127.0.0.1:{self.daemon.port}"
        created = client.send(
            path,
            {
                "Content-Name": "x.txt",
                "Content-Length": "0",
                "BITS-Packet-Type": "Create-Session",
                "BITS-Supported-Protocols": PROTOCOL,
                **common,
            },
        )
        self.assertEqual(created.status, 200)
        self.assertEqual(created.headers["bits-packet-type"], "Ack")
        self.assertEqual(created.headers["bits-protocol"].lower(), PROTOCOL)
        self.assertEqual(created.headers["accept-encoding"], "identity")
        self.assertEqual(created.headers["content-length"], "0")
        self.assertRegex(created.session, r"^\{[0-9A-F]{8}(-[0-9A-F]{4}){3}-[0-9A-F]{12}\}$")
        self.assertNotIn("bits-error", created.headers)
        self.assertNotIn("bits-host-id", created.headers)
        self.assertFalse(self.landed().exists())
        fragment = client.send(
            path,
            {
                "BITS-Packet-Type": "Fragment",
                "BITS-Session-Id": created.session,
                "Content-Name": "x.txt",
                "Content-Length": "4892",
                "Content-Range": "bytes 0-4891/4892",
                **common,
            },
            data,
        )
        self.assertEqual((fragment.status, fragment.next), (200, 4_892), host)
        self.assertNotIn("bits-reply-url", fragment.headers)
        self.assert_same(self.landed(), data)
        ping = client.send(path, {"BITS-Packet-Type": "Ping", "Content-Length": "0", **common})
        self.assertEqual((ping.status, ping.headers["bits-packet-type"]), (200, "Ack"))
        closed = client.send(
            path,
            {
                "Content-Name": "x.txt",
                "Content-Length": "0",
                "BITS-Packet-Type": "Close-Session",
                "BITS-Session-Id": created.session,
                **common,
            },
        )
        self.assertEqual((closed.status, closed.headers["bits-packet-type"]), (200, "Ack"))
        self.assert_same(self.landed(), data)
        self.assertEqual(self.hidden(), [])

    def test_capitals_of_the_specification_are_taken_too(self) -> None:
        path, data, client = self.url(), self.data(10), self.uploader()
        headers = {"BITS-Supported-Protocols": f"{{0}}, {PROTOCOL.upper()}"}
        session = client.packet(path, "CREATE-SESSION", headers).session
        headers = {"BITS-Session-Id": session.lower(), "Content-Range": "Bytes 0-9/10"}
        self.assertEqual(client.packet(path, "FRAGMENT", headers, data).next, 10)
        self.assertEqual(client.packet(path, "CLOSE-SESSION", {"BITS-Session-Id": session}).status, 200)
        self.assert_same(self.landed(), data)

    def test_a_file_of_many_fragments_appears_whole_with_the_last(self) -> None:
        path, data, client = self.url(), self.data(3_000_001), self.uploader()
        session = client.begin(path)
        for first in range(0, len(data), 700_000):
            self.assertFalse(self.landed().exists())
            last = min(first + 700_000, len(data)) - 1
            ack = client.fragment(path, session, data, first, last)
            self.assertEqual((ack.status, ack.next), (200, last + 1))
        self.assert_same(self.landed(), data)
        self.assertEqual(self.landed().stat().st_mode & 0o777, 0o644)

    def test_a_large_fragment_is_not_held_in_memory(self) -> None:
        path, client = self.url(), self.uploader()
        size, piece = 256 * 1_024 * 1_024, bytes(1_024 * 1_024)
        session = client.begin(path)
        before = self.daemon.resident_octets()
        headers = {
            "BITS-Session-Id": session,
            "Content-Range": f"bytes 0-{size - 1}/{size}",
            "Content-Length": str(size),
        }
        ack = client.packet(path, "Fragment", headers, iter([piece] * 256))
        self.assertEqual((ack.status, ack.next), (200, size))
        self.assertLess(self.daemon.resident_octets() - before, 64 * 1_024 * 1_024)
        self.assertEqual(self.landed().stat().st_size, size)
        self.landed().unlink()

    def test_an_empty_file_is_a_fragment_without_octets(self) -> None:
        path, client = self.url(), self.uploader()
        session = client.begin(path)
        headers = {"BITS-Session-Id": session, "Content-Range": "bytes */0"}
        ack = client.packet(path, "Fragment", headers)
        self.assertEqual((ack.status, ack.next), (200, 0))
        self.assert_same(self.landed(), b"")

    def test_names_are_decoded_and_folders_not_made(self) -> None:
        (self.root / "upload" / "a folder").mkdir()
        self.uploader().upload("/upload/a%20folder/%C3%A4%20b", b"octets")
        self.assert_same(self.landed(name="a folder/ä b"), b"octets")
        self.assert_refused(self.uploader().create("/upload/none/x"), 404, 0x80070003)
        self.assertFalse(self.landed(name="none").exists())

    def test_counters_and_log_tell_of_it_without_secrets(self) -> None:
        data = self.data(1_000)
        self.uploader().upload(self.url() + "?secret=hidden", data)
        metrics = self.daemon.client(self.daemon.admin).post(b"", {}, "/metrics", "GET").body.decode()
        for name in ("bitsd_uploads_received_total", "bitsd_upload_octets_received_total", "bitsd_upload_sessions"):
            self.assertRegex(metrics, rf"(?m)^{name} \d+$")
        log = self.daemon.log.read_text()
        self.assertIn("Upload complete", log)
        self.assertNotIn("secret=hidden", log)
        self.assertNotIn(self.daemon.alice.password, log)


class Rules(WithFolders):
    """What a server answers to what does not fit, row by row."""

    folders = {
        "upload": {},
        "over": {"allow_overwrites": True},
        "small": {"max_upload_size": 1_000},
        "few": {"max_sessions_per_user": 2},
        "many": {"max_sessions_per_user": 0},
        "bobs": {"users": ["bob"]},
        "hosts": {"host_id": "other.example.org", "host_id_fallback_timeout_s": 110},
    }

    def test_what_is_no_packet_is_400(self) -> None:
        client, path = self.uploader(), self.url()
        session = client.begin(path)
        own = {"BITS-Session-Id": session}
        range_ = {"Content-Range": "bytes 0-9/10"}
        for kind, headers, body in [
            ("Nonsense", {}, b""),
            ("Ack", {}, b""),
            ("Fragment", own, bytes(10)),
            ("Fragment", {**own, "Content-Range": "bytes 9-0/10"}, bytes(10)),
            ("Fragment", {**own, "Content-Range": "bytes 0-10/10"}, bytes(11)),
            ("Fragment", {**own, "Content-Range": "bytes 0-9/*"}, bytes(10)),
            ("Fragment", {**own, "Content-Range": "0-9/10"}, bytes(10)),
            ("Fragment", {**own, "Content-Range": "bytes 0-8/10"}, bytes(10)),
            ("Fragment", {**own, "Content-Range": "bytes 0-99999999999999999999/100000000000000000000"}, bytes(10)),
            ("Fragment", {**own, **range_, "Content-Encoding": "gzip"}, bytes(10)),
            ("Fragment", range_, bytes(10)),
            ("Close-Session", {}, b""),
            ("Cancel-Session", {"BITS-Session-Id": "a" * 101}, b""),
            ("Create-Session", {}, b""),
            ("Create-Session", {"BITS-Supported-Protocols": "{00000000-0000-0000-0000-000000000000}"}, b""),
            ("Create-Session", {"BITS-Supported-Protocols": PROTOCOL + " " * 4_096 + "x"}, b""),
            ("Create-Session", {"BITS-Supported-Protocols": PROTOCOL, "Content-Name": "a" * 4_097}, b""),
            ("Ping", {}, b"x"),
        ]:
            with self.subTest(kind=kind, headers=headers):
                self.assert_refused(client.packet(path, kind, headers, body), 400, E_INVALIDARG)
        self.assert_refused(client.send(path, {"Content-Length": "0"}), 400, E_INVALIDARG)
        # None of it has done anything to the session, or to the connection.
        self.assertEqual(client.fragment(path, session, bytes(10), 0, 9).next, 10)

    def test_without_a_length_it_is_411(self) -> None:
        client, path = self.uploader(), self.url()
        session = client.begin(path)
        headers = {
            "BITS-Packet-Type": "Fragment",
            "BITS-Session-Id": session,
            "Content-Range": "bytes 0-4/5",
            "Transfer-Encoding": "chunked",
        }
        self.assert_refused(client.send(path, headers, b"5\r\nocte!\r\n0\r\n\r\n"), 411, E_INVALIDARG)
        self.assertFalse(self.landed().exists())

    def test_a_folder_is_no_target(self) -> None:
        (self.root / "upload" / "folder").mkdir()
        for path in ("/upload", "/upload/", "/upload/folder", "/upload/folder/"):
            with self.subTest(path=path):
                self.assert_refused(self.uploader().create(path), 400, E_INVALIDARG)

    def test_ways_out_and_names_of_the_service_are_refused(self) -> None:
        (self.root / "outside").mkdir()
        (self.root / "upload" / "link").symlink_to("../outside")
        (self.root / "upload" / "absolute").symlink_to(self.root / "outside")
        for path, status in [
            ("/upload/../outside/x", 400),
            ("/upload/%2e%2e/outside/x", 400),
            ("/upload/..%2Foutside%2Fx", 400),
            ("/upload/link/x", 403),
            ("/upload/absolute/x", 403),
            ("/upload/.bitsd-00000000000000000000000000000000-0.tmp", 403),
            ("/upload/BITS-Sessions/x", 400),
            ("/upload/a%00b", 400),
            ("/upload/a%0Ab", 400),
            ("/upload/" + "a" * 256, 400),
        ]:
            with self.subTest(path=path):
                self.assertEqual(self.uploader().create(path).status, status)
        self.assertEqual(list((self.root / "outside").iterdir()), [])

    def test_where_no_uploads_are_taken_it_is_404(self) -> None:
        self.assert_refused(self.uploader().create("/uploads/x"), 404, E_ACCESSDENIED)
        self.assert_refused(self.uploader().create("/"), 404, E_ACCESSDENIED)

    def test_who_may_not_is_403(self) -> None:
        self.assert_refused(self.uploader().create(self.url("bobs")), 403, E_ACCESSDENIED)
        self.assertEqual(self.uploader(self.daemon.bob).create(self.url("bobs")).status, 200)

    def test_an_existing_file_is_403_and_is_not_touched(self) -> None:
        client, path = self.uploader(), self.url()
        client.upload(path, b"first")
        self.assert_refused(client.create(path), 403, E_ACCESSDENIED)
        self.assert_same(self.landed(), b"first")
        # The same when it comes to be there while the upload is under way.
        path, later = f"{path}-2", self.landed(name=f"{self.name}-2")
        session = client.begin(path)
        later.write_bytes(b"other")
        self.assert_refused(client.fragment(path, session, b"second", 0, 5), 403, E_ACCESSDENIED)
        self.assertEqual(later.read_bytes(), b"other")
        later.unlink()
        self.assertEqual(client.fragment(path, session, b"second", 0, 5).status, 200)
        self.assert_same(later, b"second")

    def test_an_existing_file_is_replaced_where_that_is_allowed(self) -> None:
        client, path = self.uploader(), self.url("over")
        client.upload(path, b"first")
        client.upload(path, b"second")
        self.assert_same(self.landed("over"), b"second")
        (self.root / "target").write_bytes(b"elsewhere")
        self.landed("over", "link").symlink_to(self.root / "target")
        client.upload(self.url("over", "link"), b"third")
        self.assertEqual((self.root / "target").read_bytes(), b"elsewhere")
        self.assertFalse(self.landed("over", "link").is_symlink())

    def test_an_unknown_session_is_500_and_so_is_anothers(self) -> None:
        client, path = self.uploader(), self.url()
        session = client.begin(path)
        other = self.uploader(self.daemon.bob)
        nobody = "{00000000-0000-0000-0000-000000000000}"
        for who, name, at in [
            (client, nobody, path),
            (client, "no-guid", path),
            (other, session, path),
            (client, session, path + "-else"),
            (client, session, "/over/" + self.name),
        ]:
            with self.subTest(name=name, at=at):
                self.assert_refused(who.fragment(at, name, b"x", 0, 0), 500, E_NO_SESSION)
                self.assert_refused(who.finish(at, name), 500, E_NO_SESSION)
                self.assert_refused(who.cancel(at, name), 500, E_NO_SESSION)
        self.assertEqual(client.fragment(path, session, b"x", 0, 0).status, 200)

    def test_a_gap_is_416_with_the_octet_that_is_expected(self) -> None:
        client, path, data = self.uploader(), self.url(), self.data(1_000)
        session = client.begin(path)
        for first, last, expected in [(1, 9, 0), (500, 999, 0)]:
            ack = client.fragment(path, session, data, first, last)
            self.assertEqual((ack.status, ack.next, ack.error), (416, expected, 0))
        self.assertEqual(client.fragment(path, session, data, 0, 499).next, 500)
        for first, last in [(501, 999), (0, 499), (0, 99)]:
            ack = client.fragment(path, session, data, first, last)
            self.assertEqual((ack.status, ack.next, ack.error), (416, 500, 0))
        self.assertEqual(client.fragment(path, session, data, 500, 999).next, 1_000)
        self.assert_same(self.landed(), data)

    def test_a_refused_fragment_of_megabytes_leaves_the_connection_usable(self) -> None:
        client, path, data = self.uploader(), self.url(), self.data(13_000_000)
        session = client.begin(path)
        connection = client.connection.sock
        ack = client.fragment(path, session, data, 1, len(data) - 1)
        self.assertEqual((ack.status, ack.next), (416, 0))
        self.assertEqual(client.fragment(path, session, data, 0, len(data) - 1).next, len(data))
        self.assertIs(client.connection.sock, connection)
        self.assert_same(self.landed(), data)

    def test_of_an_overlap_the_new_part_is_stored(self) -> None:
        client, path, data = self.uploader(), self.url(), self.data(151)
        session = client.begin(path)
        client.fragment(path, session, data, 0, 100)
        wrong = bytes(51) + data[101:]
        headers = {"BITS-Session-Id": session, "Content-Range": "bytes 50-150/151"}
        self.assertEqual(client.packet(path, "Fragment", headers, wrong).next, 151)
        self.assert_same(self.landed(), data)

    def test_another_total_is_400(self) -> None:
        client, path, data = self.uploader(), self.url(), self.data(1_000)
        session = client.begin(path)
        client.fragment(path, session, data, 0, 499)
        self.assert_refused(client.fragment(path, session, data, 500, 999, 1_001), 400, E_INVALIDARG)
        self.assertEqual(client.fragment(path, session, data, 500, 999).next, 1_000)

    def test_more_than_the_limit_is_too_large(self) -> None:
        client, path, data = self.uploader(), self.url("small"), self.data(1_001)
        session = client.begin(path)
        self.assert_refused(client.fragment(path, session, data, 0, 99), 500, E_TOO_LARGE)
        self.assertEqual(client.fragment(path, session, data[:1_000], 0, 999).next, 1_000)

    def test_sessions_of_an_account_have_a_limit(self) -> None:
        client = self.uploader()
        first, _ = [client.begin(self.url("few", f"few-{number}")) for number in range(2)]
        ack = client.create(self.url("few"))
        self.assertEqual((ack.status, ack.error), (503, 0x80070045))
        self.assertEqual(self.uploader(self.daemon.bob).create(self.url("few")).status, 200)
        client.cancel(self.url("few", "few-0"), first)
        self.assertEqual(client.create(self.url("few")).status, 200)

    def test_the_last_fragment_may_be_repeated(self) -> None:
        client, path, data = self.uploader(), self.url(), self.data(1_000)
        session = client.begin(path)
        client.fragment(path, session, data, 0, 499)
        for _ in range(3):
            ack = client.fragment(path, session, data, 500, 999)
            self.assertEqual((ack.status, ack.next), (200, 1_000))
        self.assert_same(self.landed(), data)
        # So may Close, whose answer was lost.
        self.assertEqual([client.finish(path, session).status for _ in range(2)], [200, 200])
        self.assert_refused(client.fragment(path, session, data, 500, 999), 500, E_NO_SESSION)

    def test_close_before_all_is_there_discards(self) -> None:
        client, path, data = self.uploader(), self.url(), self.data(1_000)
        session = client.begin(path)
        client.fragment(path, session, data, 0, 499)
        before = len(self.hidden())
        self.assertEqual(client.finish(path, session).status, 200)
        self.assertEqual(len(self.hidden()), before - 1)
        self.assertFalse(self.landed().exists())

    def test_cancel_discards_and_leaves_what_is_in_its_place(self) -> None:
        client, path, data = self.uploader(), self.url(), self.data(1_000)
        session = client.begin(path)
        client.fragment(path, session, data, 0, 499)
        self.assertEqual(client.cancel(path, session).status, 200)
        self.assertFalse(self.landed().exists())
        session = client.begin(path)
        client.fragment(path, session, data, 0, 999)
        self.assertEqual(client.cancel(path, session).status, 200)
        self.assert_same(self.landed(), data)

    def test_octets_that_disappear_are_told_from_the_start_or_404(self) -> None:
        client, path, data = self.uploader(), self.url(), self.data(1_000)
        before = set(self.hidden())
        session = client.begin(path)
        client.fragment(path, session, data, 0, 499)
        (own,) = set(self.hidden()) - before
        own.unlink()
        ack = client.fragment(path, session, data, 500, 999)
        self.assertEqual((ack.status, ack.next), (416, 0))
        self.assertEqual(client.fragment(path, session, data, 0, 999).next, 1_000)
        self.assert_same(self.landed(), data)
        # All there, but its destination taken; then it is gone.
        path, later = f"{path}-2", self.landed(name=f"{self.name}-2")
        session = client.begin(path)
        (own,) = set(self.hidden()) - before
        later.write_bytes(b"other")
        self.assertEqual(client.fragment(path, session, data, 0, 999).status, 403)
        own.unlink()
        later.unlink()
        self.assert_refused(client.fragment(path, session, data, 0, 999), 404, 0x80070002)
        self.assert_refused(client.finish(path, session), 404, 0x80070002)

    def test_a_file_that_was_cut_behind_our_back_begins_anew(self) -> None:
        client, path, data = self.uploader(), self.url(), self.data(1_000)
        before = set(self.hidden())
        session = client.begin(path)
        client.fragment(path, session, data, 0, 499)
        (own,) = set(self.hidden()) - before
        os.truncate(own, 100)
        self.assertEqual(client.fragment(path, session, data, 500, 999).next, 0)
        # What somebody adds is not taken for what came.
        client.fragment(path, session, data, 0, 499)
        (own,) = set(self.hidden()) - before
        with own.open("ab") as file:
            file.write(bytes(10_000))
        self.assertEqual(client.fragment(path, session, data, 500, 999).next, 1_000)
        self.assert_same(self.landed(), data)

    def test_the_host_of_the_session_is_named(self) -> None:
        ack = self.uploader().create(self.url("hosts"))
        self.assertEqual(ack.headers["bits-host-id"], "other.example.org")
        self.assertEqual(ack.headers["bits-host-id-fallback-timeout"], "110")

    def test_other_methods_are_405(self) -> None:
        for method in ("PUT", "POST", "DELETE"):
            ack = self.uploader().send(self.url(), {"Content-Length": "3"}, b"abc", method)
            self.assertEqual((ack.status, ack.headers["allow"]), (405, "BITS_POST, GET, HEAD"))
        self.assertEqual(self.uploader().send(self.url(), {}, method="GET").status, 404)

    def test_a_hundred_sessions_at_once_come_whole(self) -> None:
        def one(number: int) -> None:
            client = Uploader(self.daemon.port, self.daemon.alice, self.daemon.certificate)
            data = content(f"{self.id()}/{number}", 200_000 + number)
            path = self.url("many", f"{self.name}-{number}")
            session = client.begin(path)
            barrier.wait(60)
            for first in range(0, len(data), 64_000):
                ack = client.fragment(path, session, data, first, min(first + 64_000, len(data)) - 1)
                assert ack.status == 200, ack
            assert client.finish(path, session).status == 200
            client.close()

        barrier = threading.Barrier(100)
        with concurrent.futures.ThreadPoolExecutor(100) as pool:
            for done in [pool.submit(one, number) for number in range(100)]:
                done.result(120)
        for number in range(100):
            name = f"{self.name}-{number}"
            self.assert_same(self.landed("many", name), content(f"{self.id()}/{number}", 200_000 + number))
        self.assertEqual(self.hidden("many"), [])
