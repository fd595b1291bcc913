"""A store with very many jobs: written straight into the database, as the
service writes them, because a million CreateJob requests take an hour.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from harness.wsman import ERROR, SUSPENDED, TRANSFERRED, TRANSIENT_ERROR

OWNERS = ("alice", "bob", *(f"user{number:02}" for number in range(18)))
# None that the engine would run.
STATES = (SUSPENDED, TRANSFERRED, TRANSFERRED, TRANSIENT_ERROR, ERROR)
# Every so many jobs one is Alice's in ERROR, one has the needle, and one, a
# TRANSFERRED one, is urgent: at these places.
RARE, FAILED, NEEDLE, URGENT = 10_000, 5, 7, 29

# 2025-01-01 in ticks of 100 ns since 1601-01-01; jobs are a second apart.
FIRST_AT = 133_801_632_000_000_000
SECOND = 10_000_000
NEVER = 2**62


def fill(database: Path, files: Path, jobs: int) -> None:
    """Adds so many jobs of one file to the store of a daemon that does not run."""
    connection = sqlite3.connect(database, isolation_level=None)
    try:
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("PRAGMA cache_size = -262144")
        connection.execute("BEGIN EXCLUSIVE")
        # Indexes are built faster at the end, and the tally is known.
        later = connection.execute(
            "SELECT type, name, sql FROM sqlite_master WHERE type IN ('index', 'trigger') AND sql IS NOT NULL"
        ).fetchall()
        for kind, name, _ in later:
            connection.execute(f"DROP {kind} {name}")
        _insert(connection, "job", (_job(number) for number in range(jobs)))
        _insert(connection, "file", (_file(number, files) for number in range(jobs)))
        _insert(connection, "progress", (_progress(number) for number in range(jobs)))
        connection.execute("INSERT INTO tally SELECT 1, owner, count(*) FROM job GROUP BY owner")
        connection.execute("INSERT INTO tally SELECT 0, '', count(*) FROM job")
        for _, _, statement in later:
            connection.execute(statement)
        connection.execute("COMMIT")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    finally:
        connection.close()


def job_id(number: int) -> str:
    """The key of a job as it is shown."""
    digits = key(number).hex().upper()
    parts = (digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:])
    return "{" + "-".join(parts) + "}"


def created_at(number: int) -> int:
    """The creation time of a job."""
    return FIRST_AT + number * SECOND


def owner_and_state(number: int) -> tuple[str, int]:
    """Whose job it is, and where it stands."""
    if number % RARE == FAILED:
        return OWNERS[0], ERROR
    owner = OWNERS[number % len(OWNERS)]
    state = STATES[number // len(OWNERS) % len(STATES)]
    return owner, TRANSFERRED if owner == OWNERS[0] and state == ERROR else state


def key(number: int) -> bytes:
    """The key of a job as it is stored."""
    # In the order of creation, as the service makes them (UUID version 7).
    milliseconds = 1_735_689_600_000 + number * 1_000
    tail = hashlib.sha256(number.to_bytes(8, "big")).digest()
    return milliseconds.to_bytes(6, "big") + bytes([0x70 | tail[0] & 15, tail[1], 0x80 | tail[2] & 63]) + tail[3:10]


def _job(number: int) -> dict[str, object]:
    owner, state = owner_and_state(number)
    at = created_at(number)
    failed = state in (ERROR, TRANSIENT_ERROR)
    arrived = state == TRANSFERRED
    return {
        "id": key(number),
        "owner": owner,
        "display_name": f"nightly needle {number}" if number % RARE == NEEDLE else f"nightly backup {number}",
        "description": "the files of one night",
        "priority": 0 if number % RARE == URGENT else 2,
        "minimum_retry_delay_s": 600,
        "no_progress_timeout_s": 1_209_600,
        "state": state,
        "transient_error_count": int(failed),
        "wake_at": NEVER if state == TRANSIENT_ERROR else None,
        "queued_at": at,
        "created_at": at,
        "modified_at": at + 90 * SECOND,
        "transferred_at": at + 90 * SECOND if arrived else None,
        "files_total": 1,
        "files_transferred": int(arrived),
        "files_sized": 1,
        "bytes_known": 65_536,
        "bytes_transferred": 65_536 if arrived else 0,
        "proxy_usage": 0,
        "error_context": 5 if failed else None,
        "error_code": 0x8019_01F7 if failed else None,
        "error_file": 0 if failed else None,
        "error_detail": "HTTP 503" if failed else None,
    }


def _file(number: int, files: Path) -> dict[str, object]:
    path = str(files / f"night-{number}")
    return {
        "job": key(number),
        "place": 0,
        "remote_url": f"http://127.0.0.1:9/nights/{number}",
        "local_file": path,
        "path": path.encode(),
        "folded": hashlib.sha256(path.lower().encode()).digest()[:16],
    }


def _progress(number: int) -> dict[str, object]:
    arrived = owner_and_state(number)[1] == TRANSFERRED
    return {
        "job": key(number),
        "place": 0,
        "size": 65_536,
        "durable": 65_536 if arrived else 0,
        "transferred": int(arrived),
        "placed": 0,
        "last_modified_is_strong": 0,
    }


def _insert(connection: sqlite3.Connection, table: str, rows: Iterator[dict[str, object]]) -> None:
    first = next(rows)
    statement = f"INSERT INTO {table} ({', '.join(first)}) VALUES ({', '.join('?' for _ in first)})"
    connection.execute(statement, tuple(first.values()))
    connection.executemany(statement, (tuple(row.values()) for row in rows))
