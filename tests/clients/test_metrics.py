"""What monitoring reads."""

from __future__ import annotations

import re
import socket
import ssl
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing

from clients.base import WithDaemon
from harness.wsman import N, W, X, Account, Client, Fault, envelope

SAMPLE = re.compile(r'^(?P<name>bitsd_[a-z_]+)(\{[a-z]+="[^"\\]*"\})? (?P<value>\d+)$')

REFUSAL = re.compile(r'^bitsd_refusals_total\{limit="([a-z_]+)"\} (\d+)$', re.MULTILINE)


class Metrics(WithDaemon):
    """`GET /metrics`."""

    settings = {"wsman": {"max_envelope_size_kb": 32}}

    def setUp(self) -> None:
        super().setUp()
        self.admin: Client = self.daemon.client(self.daemon.admin)
        self.addCleanup(self.admin.close)

    def read(self) -> dict[str, int]:
        """Every sample."""
        answer = self.admin.post(b"", {"Content-Type": ""}, "/metrics", "GET")
        self.assertEqual(answer.status, 200)
        self.assertEqual(answer.headers["content-type"], "text/plain; version=0.0.4; charset=utf-8")
        samples: dict[str, int] = {}
        kinds: dict[str, str] = {}
        helped: set[str] = set()
        for line in answer.body.decode().splitlines():
            if line.startswith("# HELP "):
                helped.add(line.split()[2])
            elif line.startswith("# TYPE "):
                kinds[line.split()[2]] = line.split()[3]
            else:
                found = SAMPLE.match(line)
                self.assertIsNotNone(found, line)
                assert found
                name = found["name"]
                self.assertIn(name, helped)
                self.assertEqual(kinds[name], "counter" if name.endswith("_total") else "gauge")
                samples[line.rsplit(" ", 1)[0]] = int(found["value"])
        return samples

    def test_requests_faults_and_refusals_are_counted(self) -> None:
        before = self.read()
        url, _ = self.source()
        job = self.client.create_job("counted", url, self.target())
        for _ in range(3):
            self.client.get(job)
        with self.assertRaises(Fault):
            self.client.call(f"{X}/Nothing", selectors={"JobId": job})
        self.assertEqual(self.client.post(b"x" * 40_000).status, 413)
        self.client.call(f"{N}/Enumerate", "<n:Enumerate/>")
        wrong = Client(self.daemon.port, Account("alice", "wrong"), self.daemon.certificate)
        self.addCleanup(wrong.close)
        self.assertEqual(wrong.post(envelope(f"{N}/Enumerate", "<n:Enumerate/>").encode()).status, 401)
        after = self.read()
        for sample, more in {
            'bitsd_requests_total{operation="get"}': 3,
            'bitsd_requests_total{operation="enumerate"}': 1,
            'bitsd_requests_total{operation="invoke"}': 2,
            'bitsd_faults_total{code="a:ActionNotSupported"}': 1,
            'bitsd_refusals_total{limit="request_size"}': 1,
            'bitsd_log_ons_refused_total{scheme="Basic"}': 1,
            "bitsd_jobs": 1,
        }.items():
            self.assertEqual(after[sample] - before.get(sample, 0), more, sample)
        self.assertEqual(after["bitsd_operations"], 0)
        self.assertEqual(after["bitsd_connections"], 3)

    def test_they_are_for_administrators_who_have_logged_on(self) -> None:
        nobody = Client(self.daemon.port, None, self.daemon.certificate)
        self.addCleanup(nobody.close)
        answer = nobody.post(b"", {"Content-Type": ""}, "/metrics", "GET")
        self.assertEqual((answer.status, answer.body), (401, b""))
        self.assertEqual(answer.headers["www-authenticate"], 'Basic realm="WSMAN"')
        answer = self.client.post(b"", {"Content-Type": ""}, "/metrics", "GET")
        self.assertEqual((answer.status, answer.body), (403, b""))
        answer = self.admin.post(b"", {"Content-Type": ""}, "/metrics", "POST")
        self.assertEqual((answer.status, answer.headers["allow"]), (405, "GET, HEAD"))


class EveryLimit(WithDaemon):
    """What each limit does to a client, and that it is counted."""

    settings = {
        "wsman": {
            "max_envelope_size_kb": 32,
            "max_batch_items": 1,
            "max_enumerations_per_user": 1,
            "max_concurrent_operations_per_user": 1,
            "max_connections": 8,
            "max_anonymous_connections": 8,
            "max_anonymous_connections_per_address": 8,
            "max_packet_retrieval_time_s": 1,
            "logon_timeout_s": 2,
            "max_waiting_logons": 1,
        }
    }

    def setUp(self) -> None:
        super().setUp()
        self.admin: Client = self.daemon.client(self.daemon.admin)
        self.addCleanup(self.admin.close)

    def counts(self) -> dict[str, int]:
        """What was refused, by limit."""
        text = self.admin.post(b"", {"Content-Type": ""}, "/metrics", "GET").body.decode()
        return {name: int(value) for name, value in REFUSAL.findall(text)}

    def test_every_limit_has_its_answer_and_its_counter(self) -> None:
        steps = {
            "request_size": self.too_large,
            "packet_retrieval_time": self.too_slow,
            "waiting_log_ons": self.too_many_checks,
            "connections": self.too_many_connections,
            "anonymous_connections": self.too_many_strangers,
            "log_on_time": self.too_long_a_stranger,
            "operations_per_user": self.too_much_at_once,
            "enumerations": self.too_many_enumerations,
            "answer_size": self.too_large_an_answer,
            "batch": self.too_many_items,
        }
        self.assertEqual(set(self.counts()), set(steps))
        for limit, step in steps.items():
            with self.subTest(limit):
                before = self.counts()[limit]
                step()
                self.assertGreater(self.counts()[limit], before)

    def fault(self, subcode: str, *call: str, **more: object) -> None:
        """The operation is refused."""
        with self.assertRaises(Fault) as refused:
            self.client.call(*call, **more)  # type: ignore[arg-type]
        self.assertEqual(refused.exception.subcode, subcode)

    def too_large(self) -> None:
        self.assertEqual(self.client.post(b"x" * 40_000).status, 413)

    def too_slow(self) -> None:
        with self.stranger() as stream:
            assert self.client.account
            head = f"POST /wsman HTTP/1.1\r\nHost: x\r\nAuthorization: {self.client.account.basic}\r\n"
            stream.sendall(head.encode() + b"Content-Length: 9\r\n\r\nx")
            self.assertEqual(stream.recv(12), b"HTTP/1.1 500")

    def too_many_checks(self) -> None:
        clients = [
            Client(self.daemon.port, Account("alice", f"wrong {number}"), self.daemon.certificate)
            for number in range(8)
        ]
        with ExitStack() as held:
            for client in clients:
                held.callback(client.close)
                client.connection().connect()
            # All at once, so that no check ends before the others come.
            with ThreadPoolExecutor(8) as threads:
                answers = threads.map(lambda client: client.post(b"").status, clients)
            self.assertEqual(set(answers), {401, 503})

    def too_many_connections(self) -> None:
        clients = [self.daemon.client() for _ in range(9)]
        try:
            answers = [client.post(b"").status for client in clients]
        finally:
            for client in clients:
                client.close()
        self.assertIn(503, answers)

    def too_many_strangers(self) -> None:
        # Eight have places, four times as many wait for them.
        address = ("127.0.0.1", self.daemon.port)
        with ExitStack() as held:
            for _ in range(40):
                held.enter_context(socket.create_connection(address, 10))
            with socket.create_connection(address, 10) as last:
                self.assertEqual(last.recv(1), b"")

    def too_long_a_stranger(self) -> None:
        with self.stranger() as stream:
            self.assertEqual(stream.recv(1), b"")

    def stranger(self) -> ssl.SSLSocket:
        """A connection without log-on; those before it may have to go first."""
        context = ssl.create_default_context(cafile=str(self.daemon.certificate))
        for _ in range(50):
            raw = socket.create_connection(("127.0.0.1", self.daemon.port), 10)
            try:
                return context.wrap_socket(raw, server_hostname="localhost")
            except OSError:
                raw.close()
                time.sleep(0.1)
        raise AssertionError("no connection any more")

    def too_much_at_once(self) -> None:
        def create(number: int) -> str:
            with closing(self.daemon.client()) as client:
                try:
                    client.create_job(f"at once {number}", "http://127.0.0.1:9/f", self.target(str(number)))
                except Fault as fault:
                    return fault.subcode
            return ""

        found: set[str] = set()
        with ThreadPoolExecutor(4) as threads:
            for first in range(0, 200, 4):
                found.update(threads.map(create, range(first, first + 4)))
                if "QuotaLimit" in found:
                    break
        self.assertEqual(found - {""}, {"QuotaLimit"})

    def too_many_enumerations(self) -> None:
        self.client.call(f"{N}/Enumerate", "<n:Enumerate/>")
        self.fault("QuotaLimit", f"{N}/Enumerate", "<n:Enumerate/>")

    def too_large_an_answer(self) -> None:
        job = self.client.create_job("large", "http://127.0.0.1:9/f", self.target("large"))
        self.client.put(job, {"Description": "x" * 900})
        fragment = '<w:FragmentTransfer s:mustUnderstand="true">Files</w:FragmentTransfer>'
        for number in range(40):
            self.client.add_file(job, "http://127.0.0.1:9/f", self.target(f"large-{number}"))
        self.fault(
            "EncodingLimit",
            f"{X}/Get",
            selectors={"JobId": job},
            header=fragment,
            max_envelope_size=8_192,
        )

    def too_many_items(self) -> None:
        wish = "<w:OptimizeEnumeration/><w:MaxElements>2</w:MaxElements>"
        admin = self.admin.call(f"{N}/Enumerate", f"<n:Enumerate>{wish}</n:Enumerate>")
        items = admin.find(f".//{{{W}}}Items")
        assert items is not None
        self.assertEqual(len(items), 1)
