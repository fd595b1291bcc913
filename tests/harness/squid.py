"""Squid as a proxy, from a folder and on a port of its own."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from .daemon import free_port
from .processes import end, give, wait_until_open

USER = "proxy"
HELPERS = "/usr/lib/squid"
ANYBODY = "http_access allow all"

CONFIG = """
http_port 127.0.0.1:{port}
pid_filename {folder}/pid
cache_log {folder}/cache.log
access_log stdio:{folder}/access.log
coredump_dir {folder}
cache deny all
shutdown_lifetime 0 seconds
visible_hostname localhost
pinger_enable off
netdb_filename none
hosts_file {folder}/hosts
acl SSL_ports port 1-65535
{user}
{rules}
"""


class Squid:
    """A proxy for whom the rules let in; `folder` is made if it is not there."""

    def __init__(self, folder: Path, rules: str = ANYBODY, environment: Mapping[str, str] | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.port = free_port()
        as_root = os.geteuid() == 0
        # The servers of the tests listen here; the host's own file may say ::1.
        (folder / "hosts").write_text("127.0.0.1 localhost\n")
        path = folder / "squid.conf"
        path.write_text(
            CONFIG.format(
                folder=folder,
                port=self.port,
                rules=rules,
                user=f"cache_effective_user {USER}\ncache_effective_group {USER}" if as_root else "",
            )
        )
        give(folder, USER)
        if as_root:
            # It gives root up, and must still find its way.
            for parent in folder.parents:
                if str(parent).startswith("/tmp/"):
                    parent.chmod(parent.stat().st_mode | 0o011)
        self._process = subprocess.Popen(
            ["/usr/sbin/squid", "-N", "-f", str(path)],
            env={**os.environ, **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wait_until_open(self.port, self._process, folder / "cache.log")

    def close(self) -> None:
        """Ends it, and its helpers with it."""
        end(self._process)

    def seen(self) -> str:
        """What it has logged."""
        log = self.folder / "access.log"
        return log.read_text() if log.exists() else ""

    def refused(self) -> int:
        """How many requests it has answered by 407."""
        return self.seen().count("/407 ")


def asking(
    folder: Path, scheme: str, user: str, password: str, keytab: Path, environment: Mapping[str, str]
) -> Squid:
    """One that asks who comes, by `basic`, `digest` or `negotiate`."""
    folder.mkdir(parents=True)
    hashed = subprocess.run(
        ["openssl", "passwd", "-apr1", "-stdin"], input=password, capture_output=True, text=True, check=True
    )
    (folder / "basic.users").write_text(f"{user}:{hashed.stdout}")
    secret = hashlib.md5(f"{user}:proxy:{password}".encode()).hexdigest()
    (folder / "digest.users").write_text(f"{user}:proxy:{secret}\n")
    shutil.copy(keytab, folder / "http.keytab")
    # With a service of its own the helper does not look the host's name up.
    programs = {
        "basic": f"basic program {HELPERS}/basic_ncsa_auth {folder}/basic.users\nauth_param basic realm proxy",
        "digest": f"digest program {HELPERS}/digest_file_auth -c {folder}/digest.users\nauth_param digest realm proxy",
        "negotiate": f"negotiate program {HELPERS}/negotiate_kerberos_auth -k {folder}/http.keytab -s HTTP/localhost",
    }
    rules = [
        f"auth_param {programs[scheme]}",
        "acl known proxy_auth REQUIRED",
        "http_access allow known",
        "http_access deny all",
    ]
    return Squid(folder, "\n".join(rules), environment)
