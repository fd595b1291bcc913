"""A Kerberos realm of the tests: a KDC on a free port of loopback.

Everything of it lies in one folder; nothing of the host's own configuration is
read or changed. Who is to be part of it gets its `environment`.
"""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from unittest import mock

from .daemon import free_port

READY_WITHIN_S = 20.0
SERVICES = ("HTTP/localhost", "http/localhost", "WSMAN/localhost", "host/localhost")

CLIENT = """
[libdefaults]
    default_realm = {realm}
    dns_lookup_kdc = false
    dns_lookup_realm = false
    dns_canonicalize_hostname = false
    rdns = false
    udp_preference_limit = 1
    clockskew = {skew_s}
[realms]
    {realm} = {{
        kdc = 127.0.0.1:{port}
    }}
[domain_realm]
    localhost = {realm}
[logging]
    kdc = FILE:{folder}/kdc.log
"""

KDC = """
[realms]
    {realm} = {{
        database_name = {folder}/principals
        key_stash_file = {folder}/stash
        kdc_listen = 127.0.0.1:{port}
        kdc_tcp_listen = 127.0.0.1:{port}
        supported_enctypes = aes256-cts-hmac-sha1-96:normal aes128-cts-hmac-sha1-96:normal
    }}
"""


class Failed(Exception):
    """A program of the realm did not do what it was told."""


class Realm:
    """A realm with its KDC: `with Realm(folder) as realm`."""

    def __init__(self, folder: Path, name: str = "EXAMPLE.TEST") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.name = name
        self.port = free_port()
        self._kdc: subprocess.Popen[bytes] | None = None
        self._principals: set[str] = set()
        self._files = 0
        self.environment = {**self.configured(), "KRB5_KDC_PROFILE": str(folder / "kdc.conf")}
        (folder / "kdc.conf").write_text(KDC.format(realm=name, folder=folder, port=self.port))
        self._run("kdb5_util", "create", "-s", "-r", name, "-P", "of the database")

    def __enter__(self) -> Realm:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def configured(self, skew_s: int = 300) -> dict[str, str]:
        """The environment of a program whose clock may be wrong by so much."""
        path = self.folder / f"krb5-{skew_s}.conf"
        path.write_text(CLIENT.format(realm=self.name, folder=self.folder, port=self.port, skew_s=skew_s))
        # Where programs keep what they have seen, unless they say otherwise.
        seen = self.folder / "seen"
        seen.mkdir(exist_ok=True)
        # No tickets but those that somebody is given.
        nothing = f"FILE:{self.folder / 'nobody.cache'}"
        return {"KRB5_CONFIG": str(path), "KRB5RCACHEDIR": str(seen), "KRB5CCNAME": nothing}

    def start(self) -> None:
        """Starts the KDC and waits until it answers."""
        # It stays in the foreground, so that its end is ours to see.
        self._kdc = subprocess.Popen(
            [_program("krb5kdc"), "-n", "-r", self.name],
            env={**os.environ, **self.environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + READY_WITHIN_S
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                pass
            if self._kdc.poll() is not None or time.monotonic() > deadline:
                self.close()
                raise Failed(f"the KDC does not answer: {self._log()}")
            time.sleep(0.02)

    def close(self) -> None:
        """Ends the KDC."""
        if self._kdc is not None:
            self._kdc.kill()
            self._kdc.wait()
            self._kdc = None

    def full(self, name: str) -> str:
        """The principal as the service has it: `alice@EXAMPLE.TEST`."""
        return f"{name}@{self.name}"

    def principal(self, name: str, password: str | None = None, *more: str) -> str:
        """Makes a principal, with a random key unless it has a password; its full name."""
        secret = ["-pw", password] if password else ["-randkey"]
        self._admin("addprinc", *secret, *more, name)
        self._principals.add(name)
        return self.full(name)

    def keytab(self, names: Iterable[str] = SERVICES, rotate: bool = True) -> Path:
        """A new keytab with keys of these services, which are made if they are new.

        They get new keys, so that an older keytab is of no more use, unless
        `rotate` is false.
        """
        self._files += 1
        path = self.folder / f"{self._files}.keytab"
        for name in names:
            if name not in self._principals:
                self.principal(name)
            self._admin("ktadd", "-k", str(path), *([] if rotate else ["-norandkey"]), name)
        path.chmod(0o600)
        return path

    def ticket(self, name: str, password: str, lifetime_s: int | None = None) -> dict[str, str]:
        """Logs somebody on; the environment in which a program is him."""
        self._files += 1
        tickets = f"FILE:{self.folder / f'{self._files}.cache'}"
        more = ["-l", f"{lifetime_s}s"] if lifetime_s else []
        self._run("kinit", "-c", tickets, *more, name, text=password + "\n")
        return {**self.environment, "KRB5CCNAME": tickets}

    def _admin(self, *words: str) -> None:
        self._run("kadmin.local", "-r", self.name, *words)

    def _run(self, *words: str, text: str = "") -> None:
        done = subprocess.run(
            [_program(words[0]), *words[1:]],
            env={**os.environ, **self.environment},
            input=text,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        if done.returncode:
            raise Failed(f"{words[0]} {words[1]}: {done.stdout}{done.stderr}{self._log()}")

    def _log(self) -> str:
        path = self.folder / "kdc.log"
        return path.read_text(errors="replace")[-2_000:] if path.exists() else ""


@contextmanager
def acting(environment: Mapping[str, str]) -> Iterator[None]:
    """This process is whom `environment` says: for clients that are libraries."""
    with mock.patch.dict(os.environ, environment):
        yield


def _program(name: str) -> str:
    # Those of the KDC are not in everybody's PATH.
    path = Path("/usr/sbin") / name
    return str(path) if path.exists() else name

