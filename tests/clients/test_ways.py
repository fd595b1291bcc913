"""The ways to a server: real proxies, real TLS servers, rules for sources."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

from clients.base import WithDaemon
from harness.authority import Authority, Certificate, signed_by_itself, thumbprint
from harness.daemon import free_port
from harness.origin import Source, content
from harness.processes import end, wait_until_open
from harness.squid import Squid
from harness.wsman import ERROR, TRANSFERRED, TRANSIENT_ERROR
from harness.wsman import Fault as SoapFault

BLOCKED = 0x8020003E
BAD_PROXY = 0x8020003F
BAD_CERTIFICATE = 0x80072F8F
NOT_RESOLVED = 0x80072EE7
NOT_IMPLEMENTED = 0x80004001
INVALID_ARGUMENT = 0x80070057


@contextlib.contextmanager
def tls_server(folder: Path, shown: Certificate, *words: str) -> Iterator[str]:
    """`openssl s_server` that serves the files of a folder; its address."""
    port = free_port()
    command = ["openssl", "s_server", "-WWW", "-quiet", "-accept", f"127.0.0.1:{port}"]
    command += ["-cert", str(shown.certificate), "-key", str(shown.key), *words]
    nothing = subprocess.DEVNULL
    process = subprocess.Popen(command, cwd=folder, stdin=subprocess.PIPE, stdout=nothing, stderr=nothing)
    try:
        wait_until_open(port, process)
        yield f"https://127.0.0.1:{port}/file"
    finally:
        end(process)


class Ways(WithDaemon):
    """What the classes below have in common."""

    def run_job(self, url: str, name: str = "file", proxy: dict[str, object] | None = None) -> str:
        job = self.client.create_job(self.name, url, self.target(name))
        if proxy is not None:
            self.client.invoke("SetProxySettings", proxy, job)
        self.client.set_state(job, 2)
        return job

    def arrives(self, job: str, data: bytes, name: str = "file") -> None:
        self.client.wait_for(job, lambda seen: seen.state in (TRANSFERRED, ERROR, TRANSIENT_ERROR))
        if self.client.get(job).state != TRANSFERRED:
            self.fail(str(self.client.error(job)))
        self.client.set_state(job, 1)
        self.assert_same(self.target(name), data)

    def fails(self, job: str, code: int, *words: str, state: int = ERROR) -> str:
        self.client.wait_for(job, state)
        error = self.client.error(job)
        self.assertEqual(int(error["ErrorCode"]), code, error)
        for word in words:
            self.assertIn(word, error["ErrorDescription"])
        self.client.set_state(job, 0)
        return error["ErrorDescription"]

    def refused(self, code: int, method: str, values: dict[str, object], job: str) -> None:
        with self.assertRaises(SoapFault) as fault:
            self.client.invoke(method, values, job)
        self.assertIn(code, fault.exception.codes)


class Proxies(Ways):
    """squid between the daemon and the origin."""

    squid: ClassVar[Squid]

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        cls.squid = Squid(cls.folder / "squid")
        cls.addClassCleanup(cls.squid.close)

    def through(self, *more: str, bypass: str = "") -> dict[str, object]:
        listed = " ".join([*more, f"127.0.0.1:{self.squid.port}"])
        values: dict[str, object] = {"ProxyUsage": 2, "ProxyList": listed}
        if bypass:
            values["ProxyBypassList"] = bypass
        return values

    def test_a_file_comes_through_the_proxy_of_its_job(self) -> None:
        url, source = self.source()
        self.arrives(self.run_job(url, proxy=self.through()), source.data)
        self.assertIn(f"GET {url}", self.squid.seen())

    def test_a_proxy_that_is_down_is_passed_over(self) -> None:
        url, source = self.source()
        down = f"127.0.0.1:{free_port()}"
        self.arrives(self.run_job(url, proxy=self.through(down)), source.data)
        job = self.run_job(url, "alone", {"ProxyUsage": 2, "ProxyList": down})
        self.client.wait_for(job, TRANSIENT_ERROR)
        self.assertIn(down, self.client.error(job)["ErrorDescription"])

    def test_hosts_of_the_bypass_list_and_usage_one_go_direct(self) -> None:
        url, source = self.source()
        for number, proxy in enumerate((self.through(bypass="127.0.0.0/8"), self.through(bypass="*"), {"ProxyUsage": 1})):
            self.arrives(self.run_job(url, str(number), proxy), source.data, str(number))
        self.assertNotIn(url, self.squid.seen())

    def test_scripts_and_other_kinds_of_proxy_are_refused_at_once(self) -> None:
        url, _ = self.source()
        job = self.client.create_job(self.name, url, self.target())
        for listed, code in (
            ("http://intranet/proxy.pac", NOT_IMPLEMENTED),
            ("http://wpad/wpad.dat", NOT_IMPLEMENTED),
            ("autoconfig", NOT_IMPLEMENTED),
            ("socks=127.0.0.1:1080", NOT_IMPLEMENTED),
            ("socks5://127.0.0.1:1080", NOT_IMPLEMENTED),
            ("127.0.0.1:99999", INVALID_ARGUMENT),
        ):
            with self.subTest(listed):
                self.refused(code, "SetProxySettings", {"ProxyUsage": 2, "ProxyList": listed}, job)

    def test_a_literal_behind_the_proxy_is_checked_too(self) -> None:
        url, _ = self.source()
        job = self.client.create_job(self.name, url, self.target())
        with self.assertRaises(SoapFault) as fault:
            self.client.add_file(job, "http://169.254.169.254/latest", self.target("meta"))
        self.assertIn(BLOCKED, fault.exception.codes)

    def test_what_the_proxy_cannot_reach_is_its_answer(self) -> None:
        job = self.run_job("http://no-such-name.invalid/file", proxy=self.through())
        self.client.wait_for(job, TRANSIENT_ERROR)
        self.assertEqual(int(self.client.error(job)["ErrorCode"]) >> 16, 0x8019)


class Environment(Ways):
    """Proxy usage 3: the environment of the service."""

    port: ClassVar[int]

    @classmethod
    def setUpClass(cls) -> None:
        cls.port = free_port()
        proxy = f"http://ann:s3cret@127.0.0.1:{cls.port}/"
        cls.environment = {"http_proxy": proxy, "NO_PROXY": "127.0.0.2,.invalid"}
        super().setUpClass()

    def test_the_environment_counts_for_usage_three_alone(self) -> None:
        url, source = self.source()
        # Nobody listens at the proxy.
        job = self.run_job(url, "auto", {"ProxyUsage": 3})
        self.client.wait_for(job, TRANSIENT_ERROR)
        words = self.client.error(job)["ErrorDescription"]
        self.assertIn(f"127.0.0.1:{self.port}", words)
        self.assertNotIn("s3cret", words)
        self.client.set_state(job, 0)
        for usage in (0, 1):
            self.arrives(self.run_job(url, str(usage), {"ProxyUsage": usage}), source.data, str(usage))
        job = self.run_job("http://name.invalid/x", "direct", {"ProxyUsage": 3})
        self.fails(job, NOT_RESOLVED, "name.invalid", state=TRANSIENT_ERROR)


class BadEnvironment(Ways):
    """An environment that names what is not supported."""

    environment = {"all_proxy": "socks5://ann:s3cret@127.0.0.1:1080"}

    def test_it_is_an_error_of_the_job_that_wants_it(self) -> None:
        url, source = self.source()
        words = self.fails(self.run_job(url, "auto", {"ProxyUsage": 3}), BAD_PROXY, "all_proxy", "SOCKS")
        self.assertNotIn("s3cret", words)
        self.arrives(self.run_job(url), source.data)


class Certificates(Ways):
    """openssl's server with certificates of every kind."""

    authority: ClassVar[Authority]
    shown: ClassVar[dict[str, Certificate]]
    made: ClassVar[Path]
    data: ClassVar[bytes]

    @classmethod
    def setUpClass(cls) -> None:
        made = Path(tempfile.mkdtemp(prefix="bitsd-test-"))
        cls.addClassCleanup(shutil.rmtree, made, ignore_errors=True)
        cls.authority = Authority(made / "authority")
        stranger = Authority(made / "stranger", "stranger")
        here = "IP:127.0.0.1"
        cls.shown = {
            "good": cls.authority.issue("good", here, "serverAuth"),
            "expired": cls.authority.issue("expired", here, "serverAuth", expired=True),
            "other name": cls.authority.issue("other", "DNS:other.example", "serverAuth"),
            "for clients": cls.authority.issue("client", here, "clientAuth"),
            "unknown": stranger.issue("unknown", here, "serverAuth"),
            "own": signed_by_itself(made / "own", "own", here),
            "pinned": signed_by_itself(made / "pinned", "whoever"),
            "known": signed_by_itself(made / "known", "known", here),
        }
        both = made / "trusted.pem"
        known = cls.shown["known"].certificate.read_text()
        both.write_text(cls.authority.certificate.read_text() + known)
        pin = thumbprint(cls.shown["pinned"].certificate).upper()
        pin = " ".join(pin[at : at + 2] for at in range(0, 40, 2))
        cls.settings = {"transfer": {"ca_certificates": str(both), "server_thumbprints": [pin]}}
        super().setUpClass()
        cls.data = content("certificates", 100_000)
        (made / "file").write_bytes(cls.data)
        cls.made = made

    def test_each_kind_has_its_words(self) -> None:
        for kind, words in (
            ("expired", ("is not valid now", "flags 0x4 ")),
            ("other name", ("is not for the name 127.0.0.1", "flags 0x2 ")),
            ("for clients", ("is not for servers", "flags 0x10 ")),
            ("unknown", ("from no authority", "flags 0x8 ", "transfer.server_thumbprints")),
            ("own", ("from no authority", "flags 0x8 ")),
        ):
            with self.subTest(kind):
                shown = self.shown[kind]
                for version in ("-tls1_2", "-tls1_3"):
                    with tls_server(self.made, shown, version) as url:
                        self.fails(self.run_job(url, kind), BAD_CERTIFICATE, thumbprint(shown.certificate, "sha256"), *words)

    def test_what_is_trusted_is_fetched_with_both_versions_of_tls(self) -> None:
        for kind in ("good", "pinned", "known"):
            for version in ("-tls1_2", "-tls1_3"):
                with self.subTest(kind, version=version), tls_server(self.made, self.shown[kind], version) as url:
                    name = kind + version
                    self.arrives(self.run_job(url, name), self.data, name)

    def test_https_comes_through_connect(self) -> None:
        squid = Squid(self.folder / "squid")
        self.addCleanup(squid.close)
        proxy = {"ProxyUsage": 2, "ProxyList": f"127.0.0.1:{squid.port}"}
        with tls_server(self.made, self.shown["good"]) as url:
            self.arrives(self.run_job(url, "good", proxy), self.data, "good")
            at = url.split("/")[2]
            self.assertIn(f"CONNECT {at}", squid.seen())
        with tls_server(self.made, self.shown["unknown"]) as url:
            self.fails(self.run_job(url, "unknown", proxy), BAD_CERTIFICATE, "from no authority")
        # Nobody listens there any more: what the proxy says is not an end.
        self.client.wait_for(self.run_job(url, "gone", proxy), TRANSIENT_ERROR)

    def test_an_older_tls_is_refused_for_good(self) -> None:
        with tls_server(self.made, self.shown["good"], "-tls1_1", "-cipher", "DEFAULT:@SECLEVEL=0") as url:
            self.client.wait_for(self.run_job(url), ERROR)

    def test_a_server_that_wants_a_certificate_says_so(self) -> None:
        words = ("-Verify", "1", "-verify_return_error", "-CAfile", str(self.authority.certificate))
        with tls_server(self.made, self.shown["good"], *words) as url:
            self.fails(self.run_job(url), 0x80072F0C, "client certificate")


class Rules(Ways):
    """Rules for sources: schemes, hosts, ports."""

    settings = {"transfer": {"allow_hosts": ["127.0.0.1", "*.allowed.invalid"], "deny_hosts": ["bad.allowed.invalid"]}}

    def test_rules_hold_when_given_and_behind_redirects(self) -> None:
        url, source = self.source()
        self.arrives(self.run_job(url), source.data)
        port = url.split(":")[2].split("/")[0]
        job = self.client.create_job(self.name, url, self.target("more"))
        for number, away in enumerate(("http://localhost:PORT/x", "http://bad.allowed.invalid/x", "http://BAD.allowed.invalid./x")):
            away = away.replace("PORT", port)
            with self.subTest(away):
                with self.assertRaises(SoapFault) as fault:
                    self.client.add_file(job, away, self.target(f"f{number}"))
                self.assertIn(BLOCKED, fault.exception.codes)
                self.origin.add(self.path("away"), Source(b"", redirect=away))
                started = self.run_job(self.origin.url(self.path("away")), f"away{number}")
                self.fails(started, BLOCKED, "hosts")
        self.client.add_file(job, "http://a.allowed.invalid/x", self.target("allowed"))
        self.refused(BLOCKED, "SetProxySettings", {"ProxyUsage": 2, "ProxyList": "proxy.example:3128"}, job)
        # Shorter and longer ways to write an address.
        for written in ("127.1", "0x7f.1", "2130706433", "017700000001"):
            self.arrives(self.run_job(url.replace("127.0.0.1", written), written), source.data, written)
