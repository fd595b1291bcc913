"""The file server of the benchmarks, and running a command with its costs."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from harness.daemon import free_port
from harness.processes import end

PACKAGES = {
    "nginx": "nginx-light",
    "curl": "curl",
    "wget": "wget",
    "wget2": "wget2",
    "aria2c": "aria2",
    "rclone": "rclone",
    "axel": "axel",
    "lftp": "lftp",
    "wrk": "wrk",
    "valgrind": "valgrind",
    "openssl": "openssl",
}


class PeerFailed(Exception):
    """A peer could not do it."""


@dataclass(frozen=True)
class Cost:
    """What a run took."""

    seconds: float
    cpu_seconds: float
    # Peak of resident memory.
    resident_octets: int = 0


def require(*tools: str) -> None:
    """Installs what is missing; a tool that cannot be had ends the benchmark."""
    missing = [tool for tool in tools if not _found(tool)]
    if not missing:
        return
    command = [] if os.geteuid() == 0 else ["sudo"]
    packages = [PACKAGES[tool] for tool in missing]
    subprocess.run([*command, "apt-get", "update"], check=True, stdout=subprocess.DEVNULL)
    install = ["apt-get", "install", "--yes", "--no-install-recommends", *packages]
    subprocess.run([*command, *install], check=True, stdout=subprocess.DEVNULL)
    still = [tool for tool in missing if not _found(tool)]
    if still:
        raise SystemExit(f"not to be had: {' '.join(still)}")


def available(*tools: str) -> set[str]:
    """Those that are here or could be installed; says which are missing."""
    for tool in tools:
        with contextlib.suppress(SystemExit, subprocess.CalledProcessError):
            require(tool)
    found = {tool for tool in tools if _found(tool)}
    for tool in sorted(set(tools) - found):
        print(f"missing: {tool} (package {PACKAGES[tool]})", flush=True)
    return found


def run(*commands: list[str]) -> Cost:
    """Runs commands one after the other; wall time and CPU of them all."""
    cpu, resident = 0.0, 0
    began = time.monotonic()
    for command in commands:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise PeerFailed(f"{command[0]} ended with {process.returncode}")
        cpu += usage.ru_utime + usage.ru_stime
        resident = max(resident, usage.ru_maxrss * 1024)
    return Cost(time.monotonic() - began, cpu, resident)


class Nginx:
    """Two workers, plain, TLS with HTTP/1.1 and TLS with HTTP/2, from a folder.

    What is PUT below `/put/` lies in `folder/put`.
    """

    def __init__(
        self, folder: Path, root: Path, address: str = "127.0.0.1", before: list[str] | None = None
    ) -> None:
        self.folder, self.address = folder, address
        self.ports = (free_port(), free_port(), free_port())
        self.ca = folder / "ca.pem"
        self.put = folder / "put"
        self.put.mkdir(parents=True, exist_ok=True)
        self._certificates()
        configuration = folder / "nginx.conf"
        user = "user root;" if os.geteuid() == 0 else ""
        # No cache of open files: with many files the descriptors run out.
        configuration.write_text(
            f"""{user} worker_processes 2; pid {folder}/nginx.pid; error_log {folder}/error.log; daemon off;
            events {{ worker_connections 4096; }}
            http {{
              access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000; autoindex on;
              client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
              fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
              ssl_certificate {folder}/server.pem; ssl_certificate_key {folder}/server.key;
              ssl_protocols TLSv1.3; client_max_body_size 0;
              server {{ listen {address}:{self.ports[0]} backlog=4096; root {root};
                location /put/ {{ root {folder}; dav_methods PUT; }} }}
              server {{ listen {address}:{self.ports[1]} ssl; root {root}; }}
              server {{ listen {address}:{self.ports[2]} ssl http2; root {root}; }}
            }}"""
        )
        self.process = subprocess.Popen([*(before or []), "nginx", "-p", str(folder), "-c", str(configuration)])
        self._wait()

    def url(self, path: str, tls: bool = False, http2: bool = False) -> str:
        """The address of a file."""
        if tls:
            return f"https://{self.address}:{self.ports[2 if http2 else 1]}/{path}"
        return f"http://{self.address}:{self.ports[0]}/{path}"

    def close(self) -> None:
        """Stops it."""
        end(self.process)

    def _wait(self) -> None:
        for _ in range(200):
            if self.process.poll() is not None:
                raise RuntimeError(f"nginx ended: {(self.folder / 'error.log').read_text()[-500:]}")
            done = subprocess.run(["curl", "-s", "-o", "/dev/null", self.url("")], check=False)
            if done.returncode == 0:
                return
            time.sleep(0.05)
        self.close()
        raise RuntimeError("nginx does not answer")

    def _certificates(self) -> None:
        def openssl(*words: str) -> None:
            subprocess.run(["openssl", *words], cwd=self.folder, check=True, capture_output=True)

        curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "7")
        openssl("req", "-x509", *curve, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=bench authority")
        openssl(
            "req", "-x509", *curve, "-keyout", "server.key", "-out", "server.pem", "-subj", "/CN=bench origin",
            "-CA", "ca.pem", "-CAkey", "ca.key", "-addext", f"subjectAltName=IP:{self.address}",
            "-addext", "basicConstraints=critical,CA:FALSE",
        )


def _found(tool: str) -> bool:
    paths = [*os.environ.get("PATH", "").split(":"), "/usr/sbin"]
    return any(os.access(os.path.join(path, tool), os.X_OK) for path in paths if path)
