"""Servers that tests start: until they listen, and how they end."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import time
from pathlib import Path

from .daemon import Failed

READY_WITHIN_S = 30.0
END_WITHIN_S = 20.0


def wait_until_open(port: int, process: subprocess.Popen[bytes], log: Path | None = None) -> None:
    """Waits until something listens; `log` says why nothing does."""
    deadline = time.monotonic() + READY_WITHIN_S
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        if process.poll() is not None or time.monotonic() > deadline:
            end(process)
            text = log.read_text(errors="replace")[-3_000:] if log and log.exists() else ""
            raise Failed(f"nothing listens at {port}: {text}")
        time.sleep(0.05)


def end(process: subprocess.Popen[bytes]) -> None:
    """Ends a process that we have started."""
    process.terminate()
    try:
        process.wait(END_WITHIN_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def give(folder: Path, user: str) -> None:
    """Gives a folder and all in it to the user that a server becomes, if it can be."""
    if os.geteuid() == 0:
        for path in [folder, *folder.rglob("*")]:
            shutil.chown(path, user, user)
