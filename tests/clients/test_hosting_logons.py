"""Who uploads: every way to log on, over TLS and without, and nobody at all."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import ClassVar

import requests
from clients.test_hosting import E_ACCESSDENIED, WithFolders
from clients.with_realm import WithRealm
from harness.daemon import free_port
from harness.origin import content
from harness.realm import acting
from harness.uploader import PROTOCOL, Uploader
from harness.wsman import Account, Fault
from pypsrp.negotiate import HTTPNegotiateAuth


class LogOns(WithFolders):
    """A folder for accounts, one for anybody, and a listener without TLS."""

    folders = {
        "upload": {"users": ["alice", "carol", "@crew"]},
        "open": {"users": [], "anonymous": True},
    }
    http_port: ClassVar[int]
    carol: ClassVar[Account]

    @classmethod
    def setUpClass(cls) -> None:
        cls.http_port = free_port()
        cls.more = {
            "service": {"listen_http": [f"127.0.0.1:{cls.http_port}"]},
            "access": {"groups": {"crew": ["bob"]}, "lockout_failures": 0},
        }
        super().setUpClass()
        cls.carol = Account("carol", secrets.token_urlsafe(18))
        cls.daemon.add_user(cls.carol)

    def test_without_a_log_on_it_is_401_with_the_ways_to_log_on(self) -> None:
        client = Uploader(self.daemon.port, None, self.daemon.certificate)
        self.addCleanup(client.close)
        before = self.hidden()
        ack = client.create(self.url())
        self.assertEqual(ack.status, 401)
        self.assertIn("Basic", ack.headers["www-authenticate"])
        self.assertEqual(self.hidden(), before)

    def test_a_wrong_password_is_401(self) -> None:
        client = self.uploader(Account("alice", "wrong"))
        self.assertEqual(client.create(self.url()).status, 401)

    def test_a_small_body_that_is_refused_leaves_the_connection_and_a_large_one_does_not(self) -> None:
        client = Uploader(self.daemon.port, None, self.daemon.certificate)
        self.addCleanup(client.close)
        path, headers = self.url(), {"BITS-Session-Id": "{0}", "Content-Range": "bytes 0-99999/100000"}
        ack = client.packet(path, "Fragment", headers, bytes(100_000))
        self.assertEqual((ack.status, ack.headers.get("connection")), (401, None))
        client.authorization = {"Authorization": self.daemon.alice.basic}
        self.assertEqual(client.create(path).status, 200)
        client.authorization = {"Authorization": Account("alice", "wrong").basic}
        headers["Content-Range"] = "bytes 0-9999999/10000000"
        ack = client.packet(path, "Fragment", headers, bytes(10_000_000))
        self.assertEqual((ack.status, ack.headers.get("connection")), (401, "close"))

    def test_a_member_of_a_group_uploads(self) -> None:
        self.uploader(self.daemon.bob).upload(self.url(), b"octets")
        self.assert_same(self.landed(), b"octets")

    def test_an_account_of_uploads_alone_uploads_and_does_nothing_else(self) -> None:
        self.uploader(self.carol).upload(self.url(), b"octets")
        self.assert_same(self.landed(), b"octets")
        client = self.daemon.client(self.carol)
        self.addCleanup(client.close)
        with self.assertRaises(Fault) as caught:
            client.get("{00000000-0000-0000-0000-000000000000}")
        self.assertIn("AccessDenied", str(caught.exception))
        self.assertEqual(client.post(b"", {}, "/metrics", "GET").status, 403)

    def test_anybody_uploads_only_where_the_folder_says_so(self) -> None:
        client = Uploader(self.daemon.port, None, self.daemon.certificate)
        self.addCleanup(client.close)
        client.upload(self.url("open"), b"octets")
        self.assert_same(self.landed("open"), b"octets")
        self.assertEqual(client.create(self.url()).status, 401)
        # A log-on that is sent is judged, and its session is its own.
        self.assertEqual(self.uploader(Account("alice", "wrong")).create(self.url("open")).status, 401)
        path = self.url("open", f"{self.name}-2")
        session = self.uploader().begin(path)
        self.assertEqual(client.fragment(path, session, b"x", 0, 0).status, 500)
        self.assertEqual(self.uploader().fragment(path, session, b"x", 0, 0).status, 200)

    def test_without_tls_it_is_403_before_any_log_on(self) -> None:
        for account in (None, self.daemon.alice):
            for folder in self.folders:
                client = Uploader(self.http_port, account, None)
                self.addCleanup(client.close)
                self.assert_refused(client.create(self.url(folder)), 403, E_ACCESSDENIED)



class Unencrypted(WithFolders):
    """A service that takes uploads without TLS, as the settings say."""

    hosting = {"allow_unencrypted": True}
    http_port: ClassVar[int]

    @classmethod
    def setUpClass(cls) -> None:
        cls.http_port = free_port()
        cls.more = {
            "service": {"listen_http": [f"127.0.0.1:{cls.http_port}"]},
            "access": {"allow_unencrypted": True},
        }
        super().setUpClass()

    def test_uploads_come_without_tls(self) -> None:
        client = Uploader(self.http_port, self.daemon.alice, None)
        self.addCleanup(client.close)
        client.upload(self.url(), self.data())
        self.assert_same(self.landed(), self.data())


class Ways(WithRealm):
    """Real clients log on by every way, with the body of a fragment in their hands."""

    inbox: ClassVar[Path]

    @classmethod
    def setUpClass(cls) -> None:
        cls.inbox = Path(tempfile.mkdtemp(prefix="bitsd-in-"))
        cls.addClassCleanup(shutil.rmtree, cls.inbox, ignore_errors=True)
        row = {"path": "/upload", "folder": str(cls.inbox), "users": ["alice", "@all"]}
        cls.settings = {
            "access": {"channel_binding": "Relaxed", "groups": {"all": ["*@EXAMPLE.TEST"]}},
            "hosting": {"upload_folders": [row]},
        }
        super().setUpClass()

    def url(self, name: str) -> str:
        return f"https://localhost:{self.daemon.port}/upload/{name}"

    def curl(self, url: str, headers: dict[str, str], *options: str, body: Path | None = None) -> tuple[int, str]:
        """A packet by curl: status and the session, if there is one."""
        command = ["curl", "--silent", "--show-error", "--max-time", "60", "--cacert", str(self.daemon.certificate)]
        command += ["--request", "BITS_POST", "--output", "/dev/null"]
        command += ["--write-out", "%{http_code} %header{bits-session-id}", *options]
        for name, value in headers.items():
            command += ["--header", f"{name}: {value}"]
        command += ["--data-binary", f"@{body}"] if body else ["--data", ""]
        environment = {**os.environ, **self.people["ticket"].ticket}
        done = subprocess.run(
            [*command, url], capture_output=True, text=True, timeout=90, check=True, env=environment
        )
        status, _, session = done.stdout.partition(" ")
        return int(status), session

    def test_curl_uploads_by_every_way(self) -> None:
        pair = ("--user", f"alice:{self.daemon.alice.password}")
        shown = self.people["certificate"].shown
        body = self.folder / "body"
        # More than is thrown away of whoever has not logged on.
        body.write_bytes(content(self.id(), 3_000_000))
        for name, options in {
            "basic": ("--basic", *pair),
            "ntlm": ("--ntlm", *pair),
            "negotiate": ("--negotiate", "--user", ":"),
            "certificate": ("--cert", str(shown.certificate), "--key", str(shown.key)),
        }.items():
            with self.subTest(name=name):
                url = self.url(name)
                create = {"BITS-Packet-Type": "Create-Session", "BITS-Supported-Protocols": PROTOCOL}
                status, session = self.curl(url, create, *options)
                self.assertEqual(status, 200)
                own = {"BITS-Session-Id": session}
                fragment = {"BITS-Packet-Type": "Fragment", "Content-Range": "bytes 0-2999999/3000000", **own}
                self.assertEqual(self.curl(url, fragment, *options, body=body)[0], 200)
                self.assertEqual(self.curl(url, {"BITS-Packet-Type": "Close-Session", **own}, *options)[0], 200)
                self.assertEqual((self.inbox / name).read_bytes(), body.read_bytes())
        url = self.url("wrong")
        status, _ = self.curl(url, {"BITS-Packet-Type": "Ping"}, "--ntlm", "--user", "alice:wrong")
        self.assertEqual(status, 401)

    def test_requests_upload_by_negotiate(self) -> None:
        """pypsrp's own log-on, which binds it to the TLS connection."""
        data = content(self.id(), 100_000)
        account = self.daemon.alice
        for name, auth in {
            "ntlm": HTTPNegotiateAuth(account.name, account.password, auth_provider="ntlm"),
            "kerberos": HTTPNegotiateAuth(auth_provider="kerberos"),
        }.items():
            with self.subTest(name=name), acting(self.people["ticket"].ticket), requests.Session() as session:
                session.auth = auth
                url = self.url(f"requests-{name}")

                def packet(kind: str, body: bytes = b"", **headers: str) -> requests.Response:
                    more = {key.replace("_", "-"): value for key, value in headers.items()}
                    all_ = {"BITS-Packet-Type": kind, "Content-Length": str(len(body)), **more}
                    return session.request("BITS_POST", url, data=body, headers=all_, verify=str(self.daemon.certificate))

                created = packet("Create-Session", BITS_Supported_Protocols=PROTOCOL)
                self.assertEqual(created.status_code, 200)
                own = created.headers["BITS-Session-Id"]
                # On a connection of its own: the log-on comes with the fragment.
                session.close()
                answer = packet("Fragment", data, BITS_Session_Id=own, Content_Range="bytes 0-99999/100000")
                self.assertEqual((answer.status_code, answer.headers["BITS-Received-Content-Range"]), (200, "100000"))
                self.assertEqual(packet("Close-Session", BITS_Session_Id=own).status_code, 200)
                self.assertEqual((self.inbox / f"requests-{name}").read_bytes(), data)
