"""Squid as a proxy that asks who comes: by Basic, Digest or Negotiate."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from .apache import wait_until_open
from .daemon import free_port

USER = "proxy"
HELPERS = "/usr/lib/squid"

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
{user}
auth_param {scheme}
acl known proxy_auth REQUIRED
http_access allow known
http_access deny all
"""


class Squid:
    """The proxy, with one scheme; `folder` is made."""

    def __init__(
        self, folder: Path, scheme: str, user: str, password: str, keytab: Path, environment: Mapping[str, str]
    ) -> None:
        folder.mkdir(parents=True)
        self.folder = folder
        self.port = free_port()
        hashed = subprocess.run(
            ["openssl", "passwd", "-apr1", "-stdin"], input=password, capture_output=True, text=True, check=True
        )
        (folder / "basic.users").write_text(f"{user}:{hashed.stdout}")
        secret = hashlib.md5(f"{user}:proxy:{password}".encode()).hexdigest()
        (folder / "digest.users").write_text(f"{user}:proxy:{secret}\n")
        shutil.copy(keytab, folder / "http.keytab")
        # The servers of the tests listen here; the host's own file may say ::1.
        (folder / "hosts").write_text("127.0.0.1 localhost\n")
        # With a service of its own the helper does not look the host's name up.
        programs = {
            "basic": f"basic program {HELPERS}/basic_ncsa_auth {folder}/basic.users\nauth_param basic realm proxy",
            "digest": f"digest program {HELPERS}/digest_file_auth -c {folder}/digest.users\nauth_param digest realm proxy",
            "negotiate": f"negotiate program {HELPERS}/negotiate_kerberos_auth -k {folder}/http.keytab -s HTTP/localhost",
        }
        as_root = os.geteuid() == 0
        path = folder / "squid.conf"
        path.write_text(
            CONFIG.format(
                folder=folder,
                port=self.port,
                scheme=programs[scheme],
                user=f"cache_effective_user {USER}\ncache_effective_group {USER}" if as_root else "",
            )
        )
        if as_root:
            for each in [folder, *folder.rglob("*")]:
                shutil.chown(each, USER, USER)
        self._process = subprocess.Popen(
            ["/usr/sbin/squid", "-N", "-f", str(path)],
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wait_until_open(self.port, self._process, folder / "cache.log")

    def close(self) -> None:
        """Ends it, and its helpers with it."""
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def refused(self) -> int:
        """How many requests it has answered by 407."""
        log = self.folder / "access.log"
        return log.read_text().count("/407 ") if log.exists() else 0
