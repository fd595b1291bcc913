"""What log-ons and sealed messages cost: `python -m bench.log_ons`.

Each way to log on is done many times on connections of their own, by one
client after the other; then one connection sends Gets. Printed are the
processor time that the service needs for one, and what one core could do of
them in a second; the client's own pace is shown beside it, since it is the
client that is slow.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

from clients.drivers import Endpoint, Person, SchemeSession, Session
from clients.test_logons import KERBEROS, SPNEGO, Way, WithRealm, pypsrp, scheme
from harness.realm import acting
from harness.wsman import IDENTIFY, JOB, Client, X, envelope, method_input


@dataclass(frozen=True)
class Cost:
    """Of one operation."""

    cpu_us: float
    wall_us: float

    def row(self, name: str) -> str:
        """A line of the table."""
        return f"| {name} | {self.cpu_us:.0f} | {1e6 / self.cpu_us:,.0f} | {1e6 / self.wall_us:,.0f} |"


LOG_ONS: list[tuple[str, Way, bool]] = [
    ("NTLM over HTTP", scheme("ntlm", "Negotiate", "ntlm", SPNEGO), False),
    ("SPNEGO with NTLM over HTTP", scheme("spnego-ntlm", "Negotiate", "negotiate", SPNEGO), False),
    ("Kerberos over HTTP", scheme("kerberos", "Kerberos", "kerberos", KERBEROS, by="ticket"), False),
    ("NTLM over HTTPS, bound", scheme("ntlm", "Negotiate", "ntlm"), True),
    ("Kerberos over HTTPS, bound", scheme("kerberos", "Kerberos", "kerberos", by="ticket"), True),
    ("CredSSP with NTLM over HTTP", pypsrp("credssp", "credssp"), False),
]
GETS: list[tuple[str, Way, bool]] = [
    ("sealed by NTLM, HTTP", scheme("ntlm", "Negotiate", "ntlm", SPNEGO), False),
    ("sealed by Kerberos, HTTP", scheme("kerberos", "Kerberos", "kerberos", KERBEROS, by="ticket"), False),
    ("sealed by CredSSP, HTTP", pypsrp("credssp", "credssp"), False),
    ("not sealed, HTTPS, NTLM", scheme("ntlm", "Negotiate", "ntlm"), True),
    ("not sealed, HTTPS, Kerberos", scheme("kerberos", "Kerberos", "kerberos", by="ticket"), True),
]


class Service(WithRealm):
    """The service of the log-on tests."""

    settings = {"access": {"channel_binding": "Strict"}}

    def runTest(self) -> None:
        """It is no test, only built like one."""

    def open(self, way: Way, tls: bool) -> Session:
        """A session that has logged on."""
        who: Person = self.people[way.by]
        to: Endpoint = self.endpoint(tls)
        with acting(who.ticket or self.realm.environment):
            session = way.open(to, who, self.folder)
            if not isinstance(session, SchemeSession):
                session.send(IDENTIFY)
            return session

    def cost(self, count: int, once: Callable[[], None]) -> Cost:
        """Of one of `count`."""
        cpu, wall = self.daemon.cpu_seconds(), time.monotonic()
        for _ in range(count):
            once()
        wall = time.monotonic() - wall
        # What is done behind the last answer.
        time.sleep(0.2)
        return Cost((self.daemon.cpu_seconds() - cpu) / count * 1e6, wall / count * 1e6)

    def log_on(self, way: Way, tls: bool, count: int) -> Cost:
        """Of a log-on, its connection included."""
        return self.cost(count, lambda: self.open(way, tls).close())

    def get(self, way: Way, tls: bool, count: int) -> Cost:
        """Of a Get."""
        session = self.open(way, tls)
        values = {"DisplayName": "x", "RemoteUrl": "http://127.0.0.1:9/x", "LocalFile": self.daemon.files / "x", "Type": 0}
        made = session.send(envelope(f"{JOB}/CreateJob", method_input("CreateJob", {**values, "Suspend": "true"})))
        key = made.decode().partition("JobId>")[2].partition("<")[0]
        text = envelope(f"{X}/Get", "", {"JobId": key})
        cost = self.cost(count, lambda: bool(session.send(text)) or None)
        session.send(envelope(f"{X}/Delete", "", {"JobId": key}))
        session.close()
        return cost

    def basic(self, count: int) -> Cost:
        """Of a Get with remembered Basic over TLS."""
        client: Client = self.daemon.client()
        url = "http://127.0.0.1:9/x"
        key = client.create_job("x", url, self.daemon.files / "x")
        text = envelope(f"{X}/Get", "", {"JobId": key})
        cost = self.cost(count, lambda: bool(client.send(text)) or None)
        client.delete(key)
        client.close()
        return cost


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--log-ons", type=int, default=300)
    parser.add_argument("--gets", type=int, default=2_000)
    arguments = parser.parse_args()
    Service.setUpClass()
    try:
        service = Service()
        heads = "CPU µs of the service | a second and core | a second by this client"
        print(f"| log-on | {heads} |\n|---|---|---|---|")
        for name, way, tls in LOG_ONS:
            print(service.log_on(way, tls, arguments.log_ons).row(name), flush=True)
        print(f"\n| Get | {heads} |\n|---|---|---|---|")
        for name, way, tls in GETS:
            print(service.get(way, tls, arguments.gets).row(name), flush=True)
        print(service.basic(arguments.gets).row("not sealed, HTTPS, Basic"), flush=True)
    finally:
        Service.doClassCleanups()
    return 0


if __name__ == "__main__":
    sys.exit(main())
