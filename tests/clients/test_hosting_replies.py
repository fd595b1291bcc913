"""The application behind an upload folder: how it is told, and how its reply gets to the client."""

from __future__ import annotations

import http.server
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from clients.test_hosting import E_ACCESSDENIED, WithFolders
from harness.daemon import free_port
from harness.uploader import Ack, Uploader

APPLICATION = 7


@dataclass
class Told:
    """A request that the application got."""

    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Plan:
    """What the application does."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    # Put where the reply belongs, by reference.
    reply: bytes | None = None


class Application:
    """An application behind upload folders."""

    def __init__(self) -> None:
        self.told: list[Told] = []
        self.plan = Plan()
        application = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                headers = {name.lower(): value for name, value in self.headers.items()}
                body = self.rfile.read(int(headers["content-length"]))
                if "bits-request-datafile-name" in headers:
                    body = Path(headers["bits-request-datafile-name"]).read_bytes()
                    if application.plan.reply is not None:
                        Path(headers["bits-response-datafile-name"]).write_bytes(application.plan.reply)
                application.told.append(Told(self.path, headers, body))
                plan = application.plan
                self.send_response(plan.status)
                for name, value in {**plan.headers, "Content-Length": str(len(plan.body))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(plan.body)

            def log_message(self, *_: object) -> None:
                """Says nothing."""

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    @property
    def url(self) -> str:
        """Where it is told."""
        return f"http://127.0.0.1:{self.server.server_port}/done"

    def close(self) -> None:
        """Stops it."""
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


class Replies(WithFolders):
    """Folders with an application, by reference and by value."""

    application: ClassVar[Application]

    @classmethod
    def setUpClass(cls) -> None:
        cls.application = Application()
        cls.addClassCleanup(cls.application.close)
        url = cls.application.url
        cls.folders = {
            "reference": {"notification": "reference", "notification_url": url},
            "value": {"notification": "value", "notification_url": f"{url}?x=y"},
            "dead": {"notification": "value", "notification_url": f"http://127.0.0.1:{free_port()}/"},
        }
        super().setUpClass()

    def setUp(self) -> None:
        super().setUp()
        self.application.told.clear()
        self.application.plan = Plan()

    def plan(self, **more: Any) -> None:
        """What the application does from now on."""
        self.application.plan = Plan(**more)

    def upload(self, folder: str, data: bytes, query: str = "") -> tuple[Uploader, str, Ack]:
        """All but Close."""
        client, path = self.uploader(), self.url(folder) + query
        session = client.begin(path)
        half = len(data) // 2
        client.fragment(path, session, data, 0, half - 1)
        return client, session, client.fragment(path, session, data, half, len(data) - 1)

    def get(self, ack: Ack, folder: str, method: str = "GET", who: Uploader | None = None, **headers: str) -> Ack:
        """The reply, as Windows asks for it."""
        path = ack.headers["bits-reply-url"].replace("\\", "/").replace("{", "%7B").replace("}", "%7D")
        more = {name.replace("_", "-"): value for name, value in headers.items()}
        return (who or self.uploader()).send(f"/{folder}/{path}", more, method=method)

    def test_by_reference_the_application_gets_the_path_and_leaves_a_reply(self) -> None:
        data, reply = self.data(), self.data(9_977)
        self.plan(reply=reply)
        client, session, ack = self.upload("reference", data, "?a=b")
        self.assertEqual((ack.status, ack.next), (200, len(data)))
        self.assertEqual(
            ack.headers["bits-reply-url"], f"BITS-Sessions\\Replies\\{session}\\responsefile.bin"
        )
        (told,) = self.application.told
        self.assertEqual((told.path, told.body), ("/done?a=b", data))
        self.assertEqual(told.headers["user-agent"], "BITSExts 1.5")
        self.assertEqual(told.headers["content-length"], "0")
        original = f"https://127.0.0.1:{self.daemon.port}{self.url('reference')}?a=b"
        self.assertEqual(told.headers["bits-original-request-url"], original)
        for name in ("request", "response"):
            both = {told.headers[f"bits-{name}-datafile-name"], told.headers[f"bits-{name}-dataentity-name"]}
            self.assertEqual(len(both), 1)
        # The file is the application's affair: it is not stored.
        self.assertFalse(self.landed("reference").exists())
        got = self.get(ack, "reference", Range="bytes=0-9976")
        self.assertEqual((got.status, got.body), (206, reply))
        self.assertEqual(got.headers["content-range"], "bytes 0-9976/9977")
        self.assertEqual(client.finish(self.url("reference"), session).status, 200)
        self.assertEqual(self.hidden("reference", session), [])
        self.assertEqual(self.get(ack, "reference").status, 404)

    def test_by_value_the_application_gets_the_file_and_its_answer_is_the_reply(self) -> None:
        data, reply = self.data(3_000_000), self.data(1_000_000)
        self.plan(body=reply)
        client, session, ack = self.upload("value", data, "?a=b")
        (told,) = self.application.told
        self.assertEqual((told.path, told.body), ("/done?x=y&a=b", data))
        self.assertEqual(told.headers["bits-session-id"], session)
        self.assertNotIn("bits-request-datafile-name", told.headers)
        self.assertEqual(self.get(ack, "value").body, reply)
        self.assertFalse(self.landed("value").exists())
        self.assertEqual(client.finish(self.url("value"), session).status, 200)
        self.assertEqual(self.hidden("value", session), [])

    def test_a_file_that_is_wanted_is_stored(self) -> None:
        for folder in ("reference", "value"):
            with self.subTest(folder=folder):
                self.plan(headers={"BITS-Copy-File-To-Destination": "1"})
                client, session, ack = self.upload(folder, self.data())
                self.assert_same(self.landed(folder), self.data())
                # No reply is an empty one.
                self.assertEqual((self.get(ack, folder).status, self.get(ack, folder).body), (200, b""))
                client.finish(self.url(folder), session)
                self.assertEqual(self.hidden(folder, session), [])

    def test_a_reply_elsewhere_is_passed_on(self) -> None:
        url = "http://other.example.org/reply?x=y"
        self.plan(headers={"BITS-Static-Response-URL": url})
        for folder in ("reference", "value"):
            with self.subTest(folder=folder):
                self.assertEqual(self.upload(folder, self.data())[2].headers["bits-reply-url"], url)
        self.plan(headers={"BITS-Static-Response-URL": "http://h/" + "a" * 2_200})
        self.assert_refused(self.upload("value", self.data())[2], 400, 0x80070057, APPLICATION)

    def test_the_reply_is_its_owners_with_ranges_and_versions(self) -> None:
        reply = self.data(10_000)
        self.plan(body=reply)
        _, _, ack = self.upload("value", self.data())
        whole = self.get(ack, "value")
        self.assertEqual((whole.status, whole.body, whole.headers["accept-ranges"]), (200, reply, "bytes"))
        tag, date = whole.headers["etag"], whole.headers["last-modified"]
        head = self.get(ack, "value", "HEAD")
        self.assertEqual((head.status, head.body, head.headers["content-length"]), (200, b"", "10000"))
        for headers, status, body in [
            ({"Range": "bytes=9990-"}, 206, reply[9_990:]),
            ({"Range": "bytes=-10", "If_Range": tag}, 206, reply[-10:]),
            ({"Range": "bytes=5-9", "If_Range": date}, 206, reply[5:10]),
            ({"Range": "bytes=5-9", "If_Range": '"other"'}, 200, reply),
            ({"Range": "bytes=5-9", "If_Unmodified_Since": date}, 206, reply[5:10]),
            ({"Range": "bytes=10000-"}, 416, b""),
            ({"If_Unmodified_Since": "Sun, 06 Nov 1994 08:49:37 GMT"}, 412, b""),
        ]:
            with self.subTest(headers=headers):
                got = self.get(ack, "value", **headers)
                self.assertEqual((got.status, got.body), (status, body))
        self.assertEqual(self.get(ack, "value", who=self.uploader(self.daemon.bob)).status, 404)
        nobody = Uploader(self.daemon.port, None, self.daemon.certificate)
        self.addCleanup(nobody.close)
        self.assertEqual(self.get(ack, "value", who=nobody).status, 401)
        self.assertEqual(self.get(ack, "reference").status, 404)
        # A client that takes the URL as relative to that of its upload.
        self.assertEqual(self.get(ack, "value/somewhere").body, reply)

    def test_an_application_that_fails_is_told_again_by_the_last_fragment(self) -> None:
        data = self.data()
        for folder in ("reference", "value"):
            with self.subTest(folder=folder):
                self.application.told.clear()
                self.plan(status=503)
                client, session, ack = self.upload(folder, data)
                self.assert_refused(ack, 503, 0x801901F7, APPLICATION)
                # The service may have been killed meanwhile.
                self.daemon.kill()
                self.daemon.start()
                client = self.uploader()
                self.plan(body=b"reply", reply=b"reply")
                path = self.url(folder)
                for _ in range(2):
                    ack = client.fragment(path, session, data, len(data) // 2, len(data) - 1)
                    self.assertEqual((ack.status, ack.next), (200, len(data)))
                self.assertEqual([told.body for told in self.application.told], [data, data])
                self.assertEqual(self.get(ack, folder).body, b"reply")
                self.assertEqual(client.finish(path, session).status, 200)

    def test_an_application_that_is_not_there_is_502(self) -> None:
        client, session, ack = self.upload("dead", self.data())
        self.assert_refused(ack, 502, 0x80072EFD, APPLICATION)
        self.assertEqual(client.cancel(self.url("dead"), session).status, 200)
        self.assertEqual(self.hidden("dead", session), [])

    def test_a_destination_that_is_taken_is_403_and_the_application_not_told_twice(self) -> None:
        self.plan(headers={"BITS-Copy-File-To-Destination": "1"})
        client, path, data = self.uploader(), self.url("value"), self.data(1_000)
        session = client.begin(path)
        self.landed("value").write_bytes(b"other")
        for _ in range(2):
            self.assert_refused(client.fragment(path, session, data, 0, 999), 403, E_ACCESSDENIED)
        self.landed("value").unlink()
        self.assertEqual(client.fragment(path, session, data, 0, 999).status, 200)
        self.assertEqual(len(self.application.told), 1)
        self.assert_same(self.landed("value"), data)
