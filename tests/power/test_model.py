"""The model of the disk against a real program: SQLite and files."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

from power.disk import Disk, File
from power.trace import calls, command, wait_for_end

WRITER = """
import os, sqlite3, sys, threading
root = sys.argv[1]
db = sqlite3.connect(root + "/a.db", isolation_level=None)
db.execute("pragma journal_mode=wal")
db.execute("pragma synchronous=full")
db.execute("create table if not exists t(n)")

def files():
    for n in range(20):
        name = f"{root}/f{n}"
        fd = os.open(name + ".tmp", os.O_CREAT | os.O_RDWR | os.O_TRUNC, 0o600)
        os.posix_fallocate(fd, 0, 10000)
        os.write(fd, b"a" * 5000)
        os.pwrite(fd, b"b" * 5000, 5000)
        os.pwritev(fd, [b"c" * 10, b'"<,>'], 300)
        os.ftruncate(fd, 9000)
        os.utime(fd, (1_000_000, 1_000_000 + n))
        (os.fsync if n % 4 == 2 else os.fdatasync)(fd)
        os.close(fd)
        os.rename(name + ".tmp", name)
        if n % 2 == 0:
            folder = os.open(root, os.O_DIRECTORY)
            os.fsync(folder)
            os.close(folder)

worker = threading.Thread(target=files)
worker.start()
for n in range(40):
    db.execute("insert into t values (?)", (n,))
    print(n, flush=True)
worker.join()
os.mkdir(root + "/sub")
os.unlink(root + "/f0")
os._exit(0)
"""


class Model(unittest.TestCase):
    """What was committed survives each cut; what was not synced does not."""

    def setUp(self) -> None:
        holder = tempfile.TemporaryDirectory()
        self.addCleanup(holder.cleanup)
        self.folder = Path(holder.name).resolve()
        self.root = self.folder / "root"
        self.root.mkdir()
        script = self.folder / "writer.py"
        script.write_text(WRITER)
        self.log = self.folder / "log"
        started = Disk(self.root)
        run = [*command(self.log), sys.executable, str(script), str(self.root)]
        subprocess.run(run, check=True, stdout=subprocess.PIPE, timeout=60)
        wait_for_end(self.log)
        self.disk = started

    def test_the_replay_ends_as_the_folder_did(self) -> None:
        for call in calls(self.log):
            self.disk.replay(call)
        self.assertGreater(self.disk.syncs, 40)
        names = {path.name for path in self.root.iterdir()}
        self.assertEqual(set(self.disk.top.names), names)
        for name, node in self.disk.top.names.items():
            path = self.root / name
            if isinstance(node, File) and not name.endswith("-shm"):
                self.assertEqual(bytes(node.data), path.read_bytes(), name)

    def test_each_cut_keeps_a_database_that_opens_and_files_that_are_whole(self) -> None:
        most = -1
        for n, call in enumerate(calls(self.log)):
            if self.disk.is_sync(call) and n % 3 == 0:
                place = self.folder / f"cut-{n}"
                self.disk.materialise(place, None, {})
                if (place / "a.db").exists() and (place / "a.db").stat().st_size:
                    db = sqlite3.connect(place / "a.db")
                    self.assertEqual(db.execute("pragma integrity_check").fetchone(), ("ok",))
                    tables = db.execute("select count(*) from sqlite_master").fetchone()[0]
                    rows = [row[0] for row in db.execute("select n from t order by n")] if tables else []
                    self.assertEqual(rows, list(range(len(rows))))
                    self.assertGreaterEqual(len(rows) - 1, most, "what was durable stays so")
                    most = len(rows) - 1
                    db.close()
                for path in place.glob("f*"):
                    if path.suffix != ".tmp":
                        self.assertEqual(path.stat().st_size, 9_000, path)
            self.disk.replay(call)
        self.assertGreater(most, 30)
        place = self.folder / "end"
        self.disk.materialise(place, None, {})
        self.assertFalse((place / "sub").exists(), "its folder was never synced")
        self.assertTrue((place / "f0").exists(), "its removal was never synced")
        self.assertFalse((place / "f19").exists(), "its rename was never synced")
        self.assertTrue((place / "f18").exists())
        self.assertEqual((place / "f18").stat().st_mtime, 1_000_018)
        self.assertGreater((place / "f16").stat().st_mtime, 2_000_000, "its time was never synced")

