"""Every client by every way to log on, over HTTP and HTTPS."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from clients.drivers import (
    AwinrmSession, CurlSession, Endpoint, GoSession, Person, PypsrpSession, PywinrmSession, Refused, SchemeSession, Session,
    body_of,
)
from clients.with_realm import BOUNDED, KERBEROS, LENIENT, SPNEGO, WithRealm
from harness.realm import acting
from harness.wsman import JOB, Account, X, envelope, method_input, parse_job

# What clients say of a 401 that they cannot answer.
REFUSED = {"pypsrp": "authenticate", "pywinrm": "credentials", "curl": "401", "pyspnego": "401", "awinrm": "401"}


@dataclass(frozen=True)
class Way:
    """A client's way to log on."""

    client: str
    name: str
    open: Callable[[Endpoint, Person, Path], Session]
    # By a Kerberos ticket, a certificate, or a password of this account.
    by: str = "password"


def pypsrp(name: str, auth: str, sealed: str = "auto", by: str = "password", **more: object) -> Way:
    return Way("pypsrp", name, lambda to, who, _: PypsrpSession(to, who, auth, sealed, **more), by)


def pywinrm(name: str, transport: str, sealed: str = "auto", by: str = "password", **more: object) -> Way:
    return Way("pywinrm", name, lambda to, who, _: PywinrmSession(to, who, transport, sealed, **more), by)


def curl(name: str, *options: str, by: str = "password") -> Way:
    return Way("curl", name, lambda to, who, folder: CurlSession(to, who, folder, *options), by)


def awinrm(name: str, kind: str) -> Way:
    return Way("awinrm", name, lambda to, who, _: AwinrmSession(to, who, kind))


def scheme(name: str, header: str, protocol: str, sealed: str = "", by: str = "password", **more: object) -> Way:
    return Way("pyspnego", name, lambda to, who, _: SchemeSession(to, who, header, protocol, sealed, **more), by)


# Ways that seal: over HTTP with everything else at its strictest.
SEALED = [
    pypsrp("ntlm", "ntlm"),
    pypsrp("spnego-ntlm", "negotiate"),
    pypsrp("spnego-kerberos", "negotiate", by="ticket", negotiate_service="WSMAN"),
    pypsrp("kerberos", "kerberos", by="ticket", negotiate_service="HTTP"),
    pypsrp("kerberos-host", "kerberos", by="ticket"),
    pypsrp("credssp", "credssp"),
    pypsrp("credssp-ntlm", "credssp", credssp_auth_mechanism="ntlm"),
    pypsrp("credssp-kerberos", "credssp", credssp_auth_mechanism="kerberos", by="principal"),
    pywinrm("ntlm", "ntlm"),
    pywinrm("kerberos", "kerberos", by="ticket"),
    pywinrm("credssp", "credssp"),
    awinrm("spnego-ntlm", "ntlm"),
    scheme("kerberos-scheme", "Kerberos", "kerberos", KERBEROS, by="ticket"),
    scheme("kerberos-in-negotiate", "Negotiate", "kerberos", SPNEGO, by="ticket"),
    scheme("spnego-ntlm", "Negotiate", "negotiate", SPNEGO),
    scheme("ntlm-scheme", "NTLM", "ntlm", SPNEGO),
]
# Over HTTPS, bound to it.
BOUND = [
    pypsrp("basic", "basic"),
    pypsrp("ntlm", "ntlm"),
    pypsrp("ntlm-sealed", "ntlm", "always"),
    pypsrp("spnego-ntlm", "negotiate"),
    pypsrp("spnego-kerberos", "negotiate", by="ticket"),
    pypsrp("kerberos", "kerberos", by="ticket"),
    pypsrp("kerberos-sealed", "kerberos", "always", by="ticket"),
    pypsrp("credssp", "credssp"),
    pypsrp("credssp-ntlm", "credssp", credssp_auth_mechanism="ntlm"),
    pypsrp("credssp-kerberos", "credssp", credssp_auth_mechanism="kerberos", by="principal"),
    pypsrp("credssp-tls12-or-13-sealed", "credssp", "always"),
    pypsrp("certificate", "certificate", by="certificate"),
    pywinrm("basic", "ssl"),
    pywinrm("ntlm", "ntlm"),
    pywinrm("kerberos", "kerberos", by="ticket"),
    pywinrm("credssp", "credssp"),
    pywinrm("certificate", "certificate", by="certificate"),
    curl("basic", "--basic"),
    curl("certificate", by="certificate"),
    scheme("kerberos-scheme", "Kerberos", "kerberos", by="ticket"),
    scheme("kerberos-scheme-sealed", "Kerberos", "kerberos", KERBEROS, by="ticket"),
    scheme("kerberos-lower-case-service", "Kerberos", "kerberos", by="ticket", service="http"),
    scheme("ntlm-scheme", "NTLM", "ntlm"),
]
# What never seals or never binds: only where the administrator has allowed it.
PLAIN = [
    pypsrp("basic", "basic", "never"),
    pypsrp("ntlm", "ntlm", "never"),
    pywinrm("basic", "plaintext", "never"),
    pywinrm("ntlm", "ntlm", "never"),
    pywinrm("kerberos", "kerberos", "never", by="ticket"),
    curl("basic", "--basic"),
    curl("ntlm", "--ntlm"),
    curl("negotiate", "--negotiate", by="ticket"),
    curl("any", "--anyauth", by="ticket"),
]
UNBOUND = [
    curl("ntlm", "--ntlm"),
    curl("negotiate", "--negotiate", by="ticket"),
    pypsrp("ntlm-without-binding", "ntlm", negotiate_send_cbt=False),
    pypsrp("kerberos-without-binding", "kerberos", by="ticket", negotiate_send_cbt=False),
    pywinrm("ntlm-without-binding", "ntlm", send_cbt=False),
    scheme("kerberos-scheme-without-binding", "Kerberos", "kerberos", by="ticket", binding=b""),
]


class Matrix(WithRealm):
    """Runs ways to log on."""

    def run_each(self, ways: list[Way], tls: bool, check: Callable[[Session, Way], None]) -> None:
        """A session of its own for each way."""
        for way in ways:
            with self.subTest(client=way.client, way=way.name, tls=tls):
                self.run_one(way, tls, self.people[way.by], check)

    def run_one(self, way: Way, tls: bool, who: Person, check: Callable[[Session, Way], None]) -> None:
        """One session of somebody."""
        with acting(who.ticket or self.realm.environment):
            session = way.open(self.endpoint(tls), who, self.folder)
            try:
                check(session, way)
            finally:
                session.close()

    def refuses(self, way: Way, tls: bool, reason: str, who: Person | None = None) -> None:
        """The client is refused, and says why."""
        with self.subTest(client=way.client, way=way.name, tls=tls):
            with self.assertRaises(Refused) as refused:
                self.run_one(way, tls, who or self.people[way.by], self.walks_through)
            self.assertIn(reason, str(refused.exception))

    def walks_through(self, session: Session, way: Way) -> None:
        """The documented walk-through's first calls, and Gets what it has made."""
        target = self.daemon.files / f"{type(self).__name__}-{way.client}-{way.name}"
        url = "http://127.0.0.1:9/file"
        values = {"DisplayName": way.name, "RemoteUrl": url, "LocalFile": target, "Type": 0, "Suspend": "true"}
        made = body_of(session.send(envelope(f"{JOB}/CreateJob", method_input("CreateJob", values))))
        key = {"JobId": made.findtext(f".//{{{JOB}}}JobId") or ""}
        put = f'<p:BitsClientJob xmlns:p="{JOB}"><p:Priority>0</p:Priority></p:BitsClientJob>'
        changed = parse_job(body_of(session.send(envelope(f"{X}/Put", put, key)))[0])
        self.assertEqual(changed.number("Priority"), 0)
        command = method_input("SetJobState", {"JobState": 2})
        answer = body_of(session.send(envelope(f"{JOB}/SetJobState", command, key)))
        self.assertEqual(answer.findtext(f".//{{{JOB}}}ReturnValue"), "0")
        seen = parse_job(body_of(session.send(envelope(f"{X}/Get", "", key)))[0])
        owner = self.people[way.by].account.name
        self.assertEqual((seen.values["DisplayName"], seen.values["Owner"]), (way.name, owner))
        session.send(envelope(f"{X}/Delete", "", key))

    def carries(self, session: Session, way: Way) -> None:
        """More than 100 KiB in, more than 1 MiB out."""
        self.walks_through(session, way)
        files = "".join(
            f"<p:Files><p:RemoteUrl>http://127.0.0.1:9/{number}</p:RemoteUrl>"
            f"<p:LocalFile>{self.daemon.files}/{way.client}-{way.name}/{number}</p:LocalFile></p:Files>"
            for number in range(4_000)
        )
        body = f'<p:BitsClientJob xmlns:p="{JOB}"><p:DisplayName>large</p:DisplayName>{files}</p:BitsClientJob>'
        self.assertGreater(len(body), 100 * 1_024)
        made = body_of(session.send(envelope(f"{X}/Create", body, max_envelope_size=4_000_000)))
        chosen = [one for one in made.iter() if one.tag.endswith("}Selector") and one.get("Name") == "JobId"]
        key = {"JobId": chosen[0].text or ""}
        answer = session.send(envelope(f"{X}/Get", "", key, max_envelope_size=4_000_000))
        self.assertGreater(len(answer), 1_024 * 1_024)
        self.assertEqual(len(parse_job(body_of(answer)[0]).files), 4_000)
        session.send(envelope(f"{X}/Delete", "", key))


class Strict(Matrix):
    """Messages over HTTP are sealed, log-ons over HTTPS are bound to it."""

    settings = BOUNDED

    def test_who_seals_walks_through_over_http(self) -> None:
        self.run_each(SEALED, False, self.walks_through)

    def test_who_binds_walks_through_over_https(self) -> None:
        self.run_each(BOUND, True, self.walks_through)

    def test_who_does_not_seal_is_refused_over_http(self) -> None:
        for way in PLAIN:
            # The password must not go over the wire; any other log-on succeeds, and its first message does not.
            self.refuses(way, False, REFUSED[way.client] if way.name == "basic" else "AccessDenied")

    def test_who_does_not_bind_is_refused_over_https_and_the_log_says_how_to_relax(self) -> None:
        for way in UNBOUND:
            self.refuses(way, True, REFUSED[way.client])
        self.assertIn("access.channel_binding", self.daemon.log.read_text())

    def test_who_is_nobody_is_refused(self) -> None:
        alice, bob = self.daemon.alice, self.daemon.bob
        wrong = Person(Account(alice.name, "wrong"))
        unknown = Person(Account("mallory", "whatever"))
        # Bob has a password, and no hash for NTLM.
        without = Person(bob)
        for tls, ways in ((False, SEALED), (True, BOUND)):
            for way in ways:
                if way.by != "password":
                    continue
                self.refuses(way, tls, REFUSED[way.client], wrong)
                self.refuses(way, tls, REFUSED[way.client], unknown)
                if way.name != "basic":
                    self.refuses(way, tls, REFUSED[way.client], without)

    def test_a_principal_in_no_list_is_denied(self) -> None:
        self.realm.principal("eve", "her password")
        eve = Person(Account("eve", ""), ticket=self.realm.ticket("eve", "her password"))
        for tls, ways in ((False, SEALED), (True, BOUND)):
            for way in ways:
                if way.by == "ticket":
                    self.refuses(way, tls, "AccessDenied", eve)

    def test_large_bodies_go_both_ways(self) -> None:
        sealed = ["ntlm", "spnego-kerberos", "credssp", "kerberos", "kerberos-scheme"]
        self.run_each([way for way in SEALED if way.name in sealed], False, self.carries)
        self.run_each([way for way in BOUND if way.name.endswith("sealed")], True, self.carries)


class Lenient(Matrix):
    """The administrator allows messages that are not sealed, and log-ons that are not bound."""

    settings = LENIENT

    def test_who_does_not_seal_walks_through_over_http(self) -> None:
        self.run_each(PLAIN, False, self.walks_through)

    def test_who_does_not_bind_walks_through_over_https(self) -> None:
        self.run_each(UNBOUND, True, self.walks_through)

    def test_who_seals_and_binds_does_so_here_too(self) -> None:
        self.run_each(SEALED, False, self.walks_through)
        self.run_each(BOUND, True, self.walks_through)

    def test_a_client_of_shells_logs_on_and_hears_that_there_are_none(self) -> None:
        GoSession.build(self.folder)
        for tls, by, person in (
            (False, "basic", "password"), (True, "basic", "password"), (False, "ntlm", "password"),
            (True, "ntlm", "password"), (True, "certificate", "certificate"),
        ):
            with self.subTest(tls=tls, by=by):
                said = GoSession(self.endpoint(tls), self.people[person], by).open_shell()
                self.assertIn("2150858811", said)
                if by != "certificate":
                    wrong = Person(Account(self.daemon.alice.name, "wrong"))
                    self.assertIn("401", GoSession(self.endpoint(tls), wrong, by).open_shell())
