"""Apache as an origin that asks who comes: Basic, Digest, Negotiate.

It runs from a folder of its own, on a free port of loopback; nothing of the
host's own configuration is read.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from .daemon import free_port
from .processes import end, give, wait_until_open

MODULES = (
    "mpm_event auth_basic auth_digest authn_core authn_file authz_core authz_user auth_gssapi dav dav_fs setenvif"
).split()
# Where Debian has what it is given as root.
USER = "www-data"

CONFIG = """
ServerRoot {folder}
ServerName localhost
Listen 127.0.0.1:{port}
PidFile {folder}/pid
DefaultRuntimeDir {folder}
ErrorLog {folder}/error.log
LogFormat "%r|%>s|%k|%u|%{{Authorization}}i" plain
CustomLog {folder}/access.log plain
DocumentRoot {folder}/files
KeepAlive On
{user}
{modules}
<Directory {folder}/files>
    Require all denied
</Directory>
<Directory {folder}/files/basic>
    AuthType Basic
    AuthName "basic, and more"
    AuthUserFile {folder}/basic.users
    Require valid-user
</Directory>
<Directory {folder}/files/digest>
    AuthType Digest
    AuthName digest
    AuthDigestProvider file
    AuthUserFile {folder}/digest.users
    AuthDigestNonceLifetime 1
    Require valid-user
</Directory>
<Directory {folder}/files/negotiate>
    AuthType GSSAPI
    AuthName negotiate
    GssapiCredStore keytab:{folder}/http.keytab
    GssapiAllowedMech krb5
    Require valid-user
</Directory>
<Directory {folder}/files/connection>
    AuthType GSSAPI
    AuthName connection
    GssapiCredStore keytab:{folder}/http.keytab
    GssapiAllowedMech krb5
    GssapiConnectionBound On
    Dav On
    Require valid-user
</Directory>
DavLockDB {folder}/locks
"""


class Apache:
    """The server; `folder` is made."""

    def __init__(self, folder: Path, user: str, password: str, keytab: Path, environment: Mapping[str, str]) -> None:
        self.folder = folder
        self.port = free_port()
        for name in ("basic", "digest", "negotiate", "connection"):
            (folder / "files" / name).mkdir(parents=True)
        modules = []
        for name in MODULES:
            path = f"/usr/lib/apache2/modules/mod_{name}.so"
            modules.append(f"LoadModule {name}_module {path}")
        as_root = os.geteuid() == 0
        shutil.copy(keytab, folder / "http.keytab")
        hashed = subprocess.run(
            ["openssl", "passwd", "-apr1", "-stdin"], input=password, capture_output=True, text=True, check=True
        )
        (folder / "basic.users").write_text(f"{user}:{hashed.stdout}")
        secret = hashlib.md5(f"{user}:digest:{password}".encode()).hexdigest()
        (folder / "digest.users").write_text(f"{user}:digest:{secret}\n")
        (folder / "httpd.conf").write_text(
            CONFIG.format(
                folder=folder,
                port=self.port,
                user=f"User {USER}\nGroup {USER}" if as_root else "",
                modules="\n".join(modules),
            )
        )
        give(folder, USER)
        self._process = subprocess.Popen(
            ["/usr/sbin/apache2", "-f", str(folder / "httpd.conf"), "-D", "FOREGROUND"],
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wait_until_open(self.port, self._process, folder / "error.log")

    def close(self) -> None:
        """Ends it."""
        end(self._process)

    def add(self, guard: str, name: str, data: bytes) -> str:
        """A file behind a guard; its address."""
        (self.folder / "files" / guard / name).write_bytes(data)
        return f"http://localhost:{self.port}/{guard}/{name}"

    def requests(self, name: str) -> list[list[str]]:
        """The requests for a name: request line, status, place on its connection, user, Authorization."""
        lines = (self.folder / "access.log").read_text().splitlines()
        return [line.split("|", 4) for line in lines if f"/{name} " in line]
