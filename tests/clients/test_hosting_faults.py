"""Uploads of others when something goes wrong on the way: kills, stalls, full disks, silence."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

from clients.test_hosting import E_NO_SESSION, WithFolders
from harness.daemon import Daemon, Failed
from harness.uploader import Uploader

E_DISK_FULL = 0x80070070
WAIT_S = 20.0


class Faults(WithFolders):
    """A service that is patient for two seconds, and clears away every second."""

    folders = {"upload": {}, "brief": {"session_timeout_s": 3}}
    hosting = {"cleanup_interval_s": 1}
    more = {"wsman": {"max_packet_retrieval_time_s": 2}}

    def head(self, client: Uploader, path: str, session: str, first: int, total: int, sent: bytes) -> None:
        """The begin of a fragment that brings all from `first` on, and so many of its octets."""
        client.connection.putrequest("BITS_POST", path, skip_accept_encoding=True)
        for name, value in {
            **client.authorization,
            "BITS-Packet-Type": "Fragment",
            "BITS-Session-Id": session,
            "Content-Range": f"bytes {first}-{total - 1}/{total}",
            "Content-Length": str(total - first),
        }.items():
            client.connection.putheader(name, value)
        client.connection.endheaders()
        client.connection.send(sent)

    def wait_written(self, octets: int) -> None:
        """Until so many octets of the one upload of this test are written."""
        deadline = time.monotonic() + WAIT_S
        while not any(path.stat().st_size >= octets for path in self.hidden()):
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.02)

    def expected(self, path: str, session: str, total: int) -> int:
        """The octet that the service expects: what a fragment from beyond is told."""
        ack = self.uploader().fragment(path, session, bytes(total), total - 1, total - 1)
        self.assertEqual(ack.status, 416, ack)
        return ack.next

    def test_a_kill_in_the_middle_of_a_fragment_costs_little(self) -> None:
        path, data, client = self.url(), self.data(20_000_000), self.uploader()
        session = client.begin(path)
        client.fragment(path, session, data, 0, 999_999)
        self.head(client, path, session, 1_000_000, len(data), data[1_000_000:12_000_000])
        self.wait_written(11_000_000)
        self.daemon.kill()
        self.daemon.start()
        self.assertFalse(self.landed().exists())
        at = self.expected(path, session, len(data))
        self.assertGreaterEqual(at, 10_000_000)
        again = self.uploader()
        self.assertEqual(again.ping(path).status, 200)
        ack = again.fragment(path, session, data, at, len(data) - 1)
        self.assertEqual((ack.status, ack.next), (200, len(data)))
        self.assert_same(self.landed(), data)
        # And after the end: the session is there, and so is the file.
        self.daemon.kill()
        self.daemon.start()
        ack = self.uploader().fragment(path, session, data, at, len(data) - 1)
        self.assertEqual((ack.status, ack.next), (200, len(data)))
        self.assertEqual(self.uploader().finish(path, session).status, 200)
        self.daemon.kill()
        self.daemon.start()
        self.assertEqual(self.uploader().finish(path, session).status, 200)
        self.assertEqual(self.hidden(session=session), [])

    def test_of_another_boot_only_what_is_synced_counts(self) -> None:
        path, data, client = self.url(), self.data(3_000_000), self.uploader()
        session = client.begin(path)
        client.fragment(path, session, data, 0, 999_999)
        time.sleep(2.1)
        client.fragment(path, session, data, 1_000_000, 1_499_999)
        client.fragment(path, session, data, 1_500_000, 1_999_999)
        (record,) = self.records(path)
        synced = json.loads(record.read_text())["synced"]
        self.daemon.kill()
        mark = record.with_suffix(".mark")
        octets = bytearray(mark.read_bytes())
        octets[0] ^= 1
        mark.write_bytes(octets)
        self.daemon.start()
        at = self.expected(path, session, len(data))
        self.assertEqual(at, synced)
        self.assertLess(at, 2_000_000)
        self.uploader().fragment(path, session, data, at, len(data) - 1)
        self.assert_same(self.landed(), data)

    def test_a_kill_between_the_rename_and_the_record_is_seen(self) -> None:
        path, data, client = self.url(), self.data(1_000), self.uploader()
        session = client.begin(path)
        (record,) = self.records(path)
        before = record.read_text()
        client.fragment(path, session, data, 0, 999)
        self.daemon.kill()
        record.write_text(before)
        self.daemon.start()
        ack = self.uploader().fragment(path, session, data, 0, 999)
        self.assertEqual((ack.status, ack.next), (200, 1_000))
        self.assertEqual(self.uploader().finish(path, session).status, 200)
        self.assert_same(self.landed(), data)

    def test_a_stall_is_408_and_what_came_counts(self) -> None:
        path, data, client = self.url(), self.data(2_000_000), self.uploader()
        session = client.begin(path)
        self.head(client, path, session, 0, len(data), data[:1_000_001])
        began = time.monotonic()
        ack = client.read()
        self.assertLess(time.monotonic() - began, 10)
        self.assertEqual((ack.status, ack.next, ack.headers["connection"]), (408, 1_000_001, "close"))
        ack = self.uploader().fragment(path, session, data, 1_000_001, len(data) - 1)
        self.assertEqual(ack.next, len(data))
        self.assert_same(self.landed(), data)

    def test_a_client_that_goes_away_goes_on_from_what_came(self) -> None:
        path, data, client = self.url(), self.data(2_000_000), self.uploader()
        session = client.begin(path)
        self.head(client, path, session, 0, len(data), data[:1_500_000])
        client.close()
        # A request would end the one that is still being read.
        self.wait_written(1_500_000)
        at = self.expected(path, session, len(data))
        self.assertEqual(at, 1_500_000)
        self.uploader().fragment(path, session, data, at, len(data) - 1)
        self.assert_same(self.landed(), data)

    def test_a_client_that_begins_anew_does_not_wait_for_its_dead_connection(self) -> None:
        path, data, client = self.url(), self.data(2_000_000), self.uploader()
        session = client.begin(path)
        self.head(client, path, session, 0, len(data), data[:1_000_000])
        self.wait_written(500_000)
        began = time.monotonic()
        at = self.expected(path, session, len(data))
        self.assertLess(time.monotonic() - began, 1.5)
        ack = self.uploader().fragment(path, session, data, at, len(data) - 1)
        self.assertEqual(ack.next, len(data))
        self.assertEqual(client.read().status, 503)
        self.assert_same(self.landed(), data)

    def test_a_stop_does_not_wait_for_a_fragment(self) -> None:
        path, data, client = self.url(), self.data(2_000_000), self.uploader()
        session = client.begin(path)
        self.head(client, path, session, 0, len(data), data[:1_000_000])
        self.wait_written(500_000)
        self.assertLess(self.daemon.stop().seconds, 1.9)
        self.daemon.start()
        at = self.expected(path, session, len(data))
        self.assertGreaterEqual(at, 500_000)
        self.uploader().fragment(path, session, data, at, len(data) - 1)
        self.assert_same(self.landed(), data)

    def test_a_session_that_is_silent_for_too_long_is_cleared_away(self) -> None:
        path, data, client = self.url("brief"), self.data(1_000), self.uploader()
        session = client.begin(path)
        for _ in range(4):
            time.sleep(1)
            ack = client.fragment(path, session, data, 0, 99)
            self.assertIn(ack.status, (200, 416))
        self.assertEqual(len(self.hidden("brief")), 1)
        deadline = time.monotonic() + WAIT_S
        while self.hidden("brief"):
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.2)
        self.assert_refused(client.fragment(path, session, data, 100, 999), 500, E_NO_SESSION)
        self.assertEqual(self.records(path), [])
        # The same over a start.
        client = self.uploader()
        session = client.begin(path)
        self.daemon.kill()
        time.sleep(4)
        self.daemon.start()
        self.assert_refused(self.uploader().fragment(path, session, data, 0, 999), 500, E_NO_SESSION)
        self.assertEqual(self.hidden("brief"), [])

    def records(self, path: str) -> list[Path]:
        """The records of sessions that upload to `path`."""
        _, folder, target = path.split("/", 2)
        found = []
        for record in (self.daemon.state / "uploads").glob("*.json"):
            read = json.loads(record.read_text())
            if (read["folder"], read["target"], read["phase"]) == (f"/{folder}", target, "receiving"):
                found.append(record)
        return found


class FullDisk(WithFolders):
    """A folder on a disk of a megabyte."""

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        cls.daemon.stop()
        mount = f'mount -t tmpfs -o size=1m,mode=0777 none {cls.root / "upload"} && exec "$@"'
        # In a changed root not even root may make a user namespace, nor need it.
        as_root = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
        cls.daemon.start(["unshare", *as_root, "--mount", "sh", "-c", mount, "sh"])

    def test_a_full_disk_is_500_and_the_upload_goes_on_when_there_is_room(self) -> None:
        path, data, client = self.url(), self.data(3_000_000), self.uploader()
        session = client.begin(path)
        self.assert_refused(client.fragment(path, session, data, 0, len(data) - 1), 500, E_DISK_FULL)
        assert self.daemon.process
        folder = Path(f"/proc/{self.daemon.process.pid}/root{self.root / 'upload'}")
        ack = client.fragment(path, session, data, len(data) - 1, len(data) - 1)
        self.assertEqual(ack.status, 416)
        self.assertGreater(ack.next, 500_000)
        self.assertFalse((folder / self.name).exists())
        # Of what is given up nothing is left, and there is room again.
        self.assertEqual(client.cancel(path, session).status, 200)
        self.assertEqual([entry for entry in os.listdir(folder) if entry.startswith(".bitsd")], [])
        client.upload(path, data[:900_000])
        self.assertEqual((folder / self.name).read_bytes(), data[:900_000])


class Refusals(WithFolders):
    """Folders with which the service does not start."""

    def test_a_folder_that_overlaps_with_the_service_is_refused(self) -> None:
        for number, folder in enumerate(["state", "state/uploads", "."]):
            with self.subTest(folder=folder):
                home = self.folder / f"refused-{number}"
                row = {"path": "/upload", "folder": str(home / folder).rstrip("/."), "users": ["alice"]}
                daemon = Daemon(home, {"hosting": {"upload_folders": [row]}})
                self.addCleanup(daemon.kill)
                (home / "state" / "uploads").mkdir(exist_ok=True)
                with self.assertRaisesRegex(Failed, "hosting.upload_folders.*belongs to the service itself"):
                    daemon.start()
