"""The built binary in a fresh folder: its settings, its accounts, its life."""

from __future__ import annotations

import json
import os
import secrets
import signal
import socket
import ssl
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from .wsman import Account, Client, identify_anonymously

READY_WITHIN_S = 60.0
STOP_WITHIN_S = 40.0

Settings = Mapping[str, Mapping[str, Any]]


class Failed(Exception):
    """The daemon did not do what it was started for."""


@dataclass(frozen=True)
class Stopped:
    """How a clean stop went."""

    status: int
    seconds: float


def binary() -> Path:
    """The binary under test: `BITSD` names it."""
    named = os.environ.get("BITSD")
    if not named:
        raise SystemExit("BITSD must name the bitsd binary to test")
    path = Path(named).resolve()
    if not os.access(path, os.X_OK):
        raise SystemExit(f"{path} is no executable file")
    return path


def free_port() -> int:
    """A port of loopback that nobody uses at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Daemon:
    """One installation: a folder with settings, state and files."""

    def __init__(
        self,
        folder: Path,
        settings: Settings | None = None,
        program: Path | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.program = program or binary()
        self.environment = dict(environment or {})
        self.folder = folder
        self.state = folder / "state"
        self.files = folder / "files"
        self.log = folder / "bitsd.log"
        self.config = folder / "bitsd.toml"
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None
        self.files.mkdir(parents=True, exist_ok=True)
        (self.files / "c").mkdir(exist_ok=True)
        self.alice = Account("alice", secrets.token_urlsafe(18))
        self.bob = Account("bob", secrets.token_urlsafe(18))
        self.admin = Account("admin", secrets.token_urlsafe(18))
        self.config.write_text(_toml(self._settings(settings or {})))
        for account in (self.alice, self.bob, self.admin):
            self.add_user(account)

    def __enter__(self) -> Daemon:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.kill()

    @property
    def certificate(self) -> Path:
        """What a client must trust."""
        return self.state / "tls" / "certificate.pem"

    @property
    def endpoint(self) -> str:
        """The address of the service."""
        return f"https://127.0.0.1:{self.port}/wsman"

    def client(self, account: Account | None = None) -> Client:
        """A WS-Man client of its own connection."""
        return Client(self.port, account or self.alice, self.certificate)

    def password_file(self, account: Account) -> Path:
        """A file that only we can read, with the password."""
        path = self.folder / f"{account.name}.password"
        if not path.exists():
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
            with os.fdopen(descriptor, "w") as file:
                file.write(account.password)
        return path

    def add_user(self, account: Account, *options: str) -> None:
        """Makes the account known to the service."""
        command = [str(self.program), "user", "add", account.name, *options]
        command += ["--password-file", str(self.password_file(account)), "--config", str(self.config)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        if done.returncode:
            raise Failed(f"user add: {done.stdout}{done.stderr}")

    def start(self, before: list[str] | None = None) -> None:
        """Starts the daemon, behind the command `before`, and waits until it answers."""
        command = [*(before or []), str(self.program), "serve", "--config", str(self.config)]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                umask=0o022,
                env={**os.environ, **self.environment},
            )
        deadline = time.monotonic() + READY_WITHIN_S
        while True:
            if self.process.poll() is not None:
                raise Failed(f"ended with {self.process.returncode} at its start: {self.tail()}")
            try:
                if identify_anonymously(self.port, self.certificate) == 200:
                    return
            except (OSError, ssl.SSLError):
                pass
            if time.monotonic() > deadline:
                self.kill()
                raise Failed(f"not ready after {READY_WITHIN_S:.0f} s: {self.tail()}")
            time.sleep(0.02)

    def stop(self) -> Stopped:
        """Asks it to stop; a daemon that does not is killed, and that is an error."""
        process = self._running()
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        try:
            status = process.wait(STOP_WITHIN_S)
        except subprocess.TimeoutExpired as late:
            self.kill()
            raise Failed(f"did not stop within {STOP_WITHIN_S:.0f} s: {self.tail()}") from late
        self.process = None
        return Stopped(status, time.monotonic() - began)

    def kill(self) -> None:
        """SIGKILL, if it runs."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def restart(self) -> None:
        """A stop and a start."""
        self.stop()
        self.start()

    def tail(self) -> str:
        """The end of its log."""
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        return text[-3_000:]

    def cpu_seconds(self) -> float:
        """User and system time so far."""
        fields = Path(f"/proc/{self._running().pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def resident_octets(self) -> int:
        """Resident memory."""
        pages = Path(f"/proc/{self._running().pid}/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")

    def temporary_files(self) -> list[Path]:
        """Temporary files below the write root."""
        return sorted(self.files.rglob(".bitsd-*.tmp"))

    def _running(self) -> subprocess.Popen[bytes]:
        if self.process is None:
            raise Failed("the daemon does not run")
        return self.process

    def _settings(self, more: Settings) -> Settings:
        settings: dict[str, dict[str, Any]] = {
            "service": {"listen": [f"127.0.0.1:{self.port}"], "state_directory": str(self.state)},
            "access": {"users": ["alice", "bob"], "administrators": ["admin"]},
            "files": {
                "write_roots": [str(self.files)],
                "drives": {"C": str(self.files / "c")},
                "mode": "0644",
                "directory_mode": "0755",
            },
            "transfer": {"allow_addresses": ["127.0.0.0/8"]},
        }
        for section, keys in more.items():
            settings.setdefault(section, {}).update(keys)
        return settings


def _toml(settings: Settings) -> str:
    lines = []
    for section, keys in settings.items():
        lines.append(f"[{section}]")
        lines += [f"{key} = {_toml_value(value)}" for key, value in keys.items()]
    return "\n".join(lines) + "\n"


def _toml_value(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {json.dumps(item)}" for key, item in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(_toml_value(item) for item in value) + "]"
    return json.dumps(value)
