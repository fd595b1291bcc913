"""What monitoring reads."""

from __future__ import annotations

import re

from clients.base import WithDaemon
from harness.wsman import N, X, Account, Client, Fault, envelope

SAMPLE = re.compile(r'^(?P<name>bitsd_[a-z_]+)(\{[a-z]+="[^"\\]*"\})? (?P<value>\d+)$')


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
            "bitsd_log_ons_refused_total": 1,
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
