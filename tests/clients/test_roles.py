"""Groups and roles: what real clients may do by them, from where, and where to."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from typing import Any, ClassVar

from clients.base import WithDaemon, selectors
from harness.daemon import Settings
from harness.wsman import ERROR, JOB, SUSPENDED, TRANSFERRED, Account, Client, Fault, X, method_input
from pypsrp.exceptions import WSManFaultError
from requests.adapters import HTTPAdapter

OTHER_LOOPBACK = "127.0.0.2"

NAMES = ("reader", "monitor", "oskar", "olga", "narrow", "near", "far", "few", "busy", "fool")


class From(Client):
    """A client that connects from another address of loopback."""

    def connection(self) -> Any:
        """The connection, made on first use."""
        connection = super().connection()
        connection.source_address = (OTHER_LOOPBACK, 0)
        return connection


class FromAdapter(HTTPAdapter):
    """The same for pypsrp."""

    def init_poolmanager(self, *args: Any, **more: Any) -> None:
        """Sets where connections come from."""
        super().init_poolmanager(*args, **more, source_address=(OTHER_LOOPBACK, 0))


class Roles(WithDaemon):
    """An account a role, and what each may do."""

    accounts: ClassVar[dict[str, Account]]

    @classmethod
    def setUpClass(cls) -> None:
        cls.settings: Settings = {
            "access": {
                "groups": {"operators": ["oskar", "olga"]},
                "roles": [],
            }
        }
        super().setUpClass()
        cls.accounts = {}
        for name in NAMES:
            account = Account(name, f"secret of {name}")
            cls.daemon.add_user(account)
            cls.accounts[name] = account
        files = cls.daemon.files
        (files / "own").mkdir()
        (files / "other").mkdir()
        (files / "own" / "link").symlink_to("../other")
        roles: list[dict[str, Any]] = [
            {"members": ["reader"], "rights": ["read"]},
            {"members": ["monitor"], "rights": ["read"], "jobs": "all"},
            {"members": ["@operators"], "jobs": "all"},
            {"members": ["narrow"], "write_roots": [str(files / "own")]},
            {"members": ["near"], "reach": ["127.0.0.1", "10.0.0.0/8"]},
            {"members": ["far"], "reach": ["10.0.0.0/8"]},
            {"members": ["near"], "from": ["127.0.0.1"], "rights": []},
            {"members": ["few"], "max_jobs": 2},
            {"members": ["busy"], "from": ["127.0.0.1"]},
            {"members": ["busy"], "from": [OTHER_LOOPBACK], "rights": ["read"]},
            {"members": ["fool"], "from": ["10.0.0.0/8"]},
        ]
        text = cls.daemon.config.read_text()
        assert "roles = []" in text
        inline = ", ".join(_inline(role) for role in roles)
        cls.daemon.config.write_text(text.replace("roles = []", f"roles = [{inline}]"))
        cls.daemon.restart()

    def of(self, name: str) -> Client:
        """A client of this account."""
        client = self.daemon.client(self.accounts[name])
        self.addCleanup(client.close)
        return client

    def denied(self, act: Any) -> None:
        """It is refused, and not for being unknown."""
        with self.assertRaises(Fault) as fault:
            act()
        self.assertEqual((fault.exception.subcode, fault.exception.codes[:1]), ("AccessDenied", [5]))

    def test_a_reader_reads_and_does_nothing_else(self) -> None:
        url, _ = self.source()
        hers = self.client.create_job("hers", url, self.target())
        wsman = self.pypsrp(self.accounts["reader"])
        with self.assertRaises(WSManFaultError) as fault:
            wsman.get(JOB, selector_set=selectors(JobId=hers))
        self.assertNotEqual(fault.exception.code, 5, "the job of another is not there")
        with self.assertRaises(WSManFaultError) as fault:
            wsman.invoke(f"{JOB}/CreateJob", JOB, ET.fromstring(method_input("CreateJob", {})))
        self.assertEqual(fault.exception.code, 5)
        reader = self.of("reader")
        self.assertEqual(list(reader.jobs()), [])
        self.denied(lambda: reader.put(hers, {"Priority": 0}))
        self.denied(lambda: reader.delete(hers))
        self.denied(lambda: reader.set_state(hers, 0))
        self.denied(lambda: reader.error(hers))
        self.denied(lambda: reader.create_job("his", url, self.target("his")))
        self.denied(
            lambda: reader.call(
                f"{X}/Create", f'<p:BitsClientJob xmlns:p="{JOB}"><p:DisplayName>x</p:DisplayName></p:BitsClientJob>'
            )
        )

    def test_a_monitor_sees_all_and_is_no_administrator(self) -> None:
        url, _ = self.source()
        hers = self.client.create_job("hers", url, self.target())
        monitor = self.of("monitor")
        self.assertEqual(monitor.get(hers).values["Owner"], "alice")
        self.assertIn(hers, {job.id for job in monitor.jobs()})
        self.denied(lambda: monitor.put(hers, {"Priority": 0}))
        self.denied(lambda: monitor.set_state(hers, 0))
        metrics = monitor.post(b"", path="/metrics", method="GET")
        self.assertEqual(metrics.status, 403)
        admin = self.daemon.client(self.daemon.admin)
        self.addCleanup(admin.close)
        self.assertEqual(admin.post(b"", path="/metrics", method="GET").status, 200)
        config = "http://schemas.microsoft.com/wbem/wsman/1/config"
        seen = monitor.call(f"{X}/Get", resource=config)
        sddl = seen.findtext(f".//{{{config}}}RootSDDL")
        self.assertEqual(sddl, "O:SYG:SYD:P(A;;GA;;;BA)(A;;GRGWGX;;;BU)")
        put = f'<cfg:Config xmlns:cfg="{config}"><cfg:MaxBatchItems>10</cfg:MaxBatchItems></cfg:Config>'
        self.denied(lambda: monitor.call(f"{X}/Put", put, resource=config))
        # All rights on all jobs are not enough for that.
        self.denied(lambda: self.of("olga").call(f"{X}/Put", put, resource=config))

    def test_a_group_acts_on_the_jobs_of_others(self) -> None:
        url, served = self.source()
        hers = self.client.create_job("hers", url, self.target())
        oskar = self.of("oskar")
        oskar.set_state(hers, 2)
        oskar.wait_for(hers, TRANSFERRED)
        self.of("olga").set_state(hers, 1)
        self.assert_same(self.target(), served.data)

    def test_files_land_below_the_folders_of_the_account(self) -> None:
        url, served = self.source()
        narrow, files = self.of("narrow"), self.daemon.files
        for path in (files / "other" / "f", files / "own" / "link" / "f", files / "owner" / "f", files / "own"):
            with self.subTest(path):
                with self.assertRaises(Fault) as fault:
                    narrow.create_job("his", url, path)
                self.assertIn(0x80070005, fault.exception.codes)
        job = narrow.create_job("his", url, files / "own" / "new" / "f", suspended=False)
        narrow.wait_for(job, TRANSFERRED)
        # Where the folder leads meanwhile must not matter.
        narrow.set_state(job, 1)
        self.assert_same(files / "own" / "new" / "f", served.data)
        # A helper adds to his job: it is his all the same.
        job = narrow.create_job("his", url, files / "own" / "g")
        with self.assertRaises(Fault):
            self.of("oskar").add_file(job, url, files / "other" / "g")

    def test_a_folder_that_comes_to_lead_elsewhere_is_noticed(self) -> None:
        url, _ = self.source()
        narrow, own = self.of("narrow"), self.daemon.files / "own"
        (own / "turn").mkdir()
        job = narrow.create_job("his", url, own / "turn" / "f")
        (own / "turn").rmdir()
        (own / "turn").symlink_to("../other")
        narrow.set_state(job, 2)
        seen = narrow.wait_for(job, ERROR)
        self.assertEqual(seen.state, ERROR)
        self.assertEqual(list((self.daemon.files / "other").iterdir()), [])

    def test_jobs_reach_what_their_owner_may_reach(self) -> None:
        url, _ = self.source()
        near, far = self.of("near"), self.of("far")
        job = near.create_job("his", url, self.target("near"), suspended=False)
        near.wait_for(job, TRANSFERRED)
        job = far.create_job("his", url, self.target("far"), suspended=False)
        far.wait_for(job, ERROR)
        error = far.error(job)
        self.assertEqual(int(error["ErrorCode"]), 0x8020003E)
        self.assertIn("access.roles", error["ErrorDescription"])
        # Whoever starts it: it is his job.
        self.of("oskar").set_state(job, 2)
        far.wait_for(job, ERROR)

    def test_where_he_is_decides_what_he_may(self) -> None:
        url, _ = self.source()
        here = self.of("busy")
        job = here.create_job("his", url, self.target())
        there = From(self.daemon.port, self.accounts["busy"], self.daemon.certificate)
        self.addCleanup(there.close)
        self.assertEqual(there.get(job).state, SUSPENDED)
        self.denied(lambda: there.set_state(job, 0))
        wsman = self.pypsrp(self.accounts["busy"])
        session = wsman.transport._build_session()
        session.mount("https://", FromAdapter())
        wsman.transport.session = session
        wsman.get(JOB, selector_set=selectors(JobId=job))
        with self.assertRaises(WSManFaultError) as fault:
            wsman.delete(JOB, selector_set=selectors(JobId=job))
        self.assertEqual(fault.exception.code, 5)
        # Nowhere near: he has the right password, and no role from here.
        fool = self.of("fool")
        self.denied(lambda: fool.get(job))
        self.denied(lambda: list(fool.jobs()))
        self.assertIn("no role of the account is for log-ons from this address", self.daemon.log.read_text())

    def test_the_number_of_jobs_is_that_of_the_role(self) -> None:
        url, _ = self.source()
        few = self.of("few")
        for number in range(2):
            few.create_job("his", url, self.target(str(number)))
        with self.assertRaises(Fault) as fault:
            few.create_job("his", url, self.target("more"))
        self.assertIn(0x80200049, fault.exception.codes)
        few.delete(next(iter(few.jobs())).id)
        few.create_job("his", url, self.target("more"))


def _inline(role: dict[str, Any]) -> str:
    return "{ " + ", ".join(f"{key} = {json.dumps(value)}" for key, value in role.items()) + " }"
