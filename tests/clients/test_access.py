"""Whose job it is decides who sees and touches it."""

from __future__ import annotations

import subprocess
from collections.abc import Callable

from clients.base import WithDaemon
from harness.daemon import binary
from harness.wsman import IDENTIFY, N, W, Fault, Job, envelope


class Access(WithDaemon):
    """Two users and an administrator."""

    def setUp(self) -> None:
        super().setUp()
        self.bob = self.daemon.client(self.daemon.bob)
        self.admin = self.daemon.client(self.daemon.admin)
        self.addCleanup(self.bob.close)
        self.addCleanup(self.admin.close)
        url, self.served = self.source()
        self.url = url
        self.job = self.client.create_job("hers", url, self.target())

    def test_another_user_cannot_tell_the_job_from_none(self) -> None:
        nowhere = "{00000000-1111-2222-3333-444444444444}"
        acts: dict[str, Callable[[str], object]] = {
            "Get": lambda job: self.bob.get(job),
            "Put": lambda job: self.bob.put(job, {"Priority": 0}),
            "Delete": lambda job: self.bob.delete(job),
            "SetJobState": lambda job: self.bob.set_state(job, 0),
            "AddFile": lambda job: self.bob.add_file(job, self.url, self.target("his")),
            "GetError": lambda job: self.bob.error(job),
            "SetCredentials": lambda job: self.bob.invoke(
                "SetCredentials", {"Target": 0, "Scheme": 0, "UserName": "u", "Password": "p"}, job
            ),
            "SetProxySettings": lambda job: self.bob.invoke("SetProxySettings", {"ProxyUsage": 1}, job),
        }
        for name, act in acts.items():
            with self.subTest(name):
                with self.assertRaises(Fault) as hers:
                    act(self.job)
                with self.assertRaises(Fault) as none:
                    act(nowhere)
                self.assertEqual(hers.exception.subcode, none.exception.subcode)
                self.assertEqual(hers.exception.codes, none.exception.codes)
        seen = self.client.get(self.job)
        self.assertEqual((seen.state, seen.number("Priority"), seen.number("FilesTotal")), (3, 2, 1))

    def test_enumeration_shows_each_user_his_own(self) -> None:
        his = self.bob.create_job("his", self.url, self.target("his"))

        def keys(jobs: list[Job]) -> set[str]:
            return {job.id for job in jobs}

        self.assertIn(self.job, keys(list(self.client.jobs())))
        self.assertNotIn(his, keys(list(self.client.jobs())))
        self.assertNotIn(self.job, keys(list(self.bob.jobs())))
        self.assertLessEqual({self.job, his}, keys(list(self.admin.jobs())))

    def test_an_enumeration_belongs_to_its_user(self) -> None:
        self.client.create_job("more", self.url, self.target("more"))
        answer = self.client.call(f"{N}/Enumerate", "<n:Enumerate/>")[0]
        context = answer.findtext(f"{{{N}}}EnumerationContext")
        pull = f"<n:Pull><n:EnumerationContext>{context}</n:EnumerationContext></n:Pull>"
        with self.assertRaises(Fault) as fault:
            self.bob.call(f"{N}/Pull", pull)
        self.assertEqual(fault.exception.subcode, "InvalidEnumerationContext")
        other = self.daemon.client()
        self.addCleanup(other.close)
        again = other.call(f"{N}/Pull", pull)[0]
        self.assertIsNotNone(again.find(f"{{{N}}}Items"), "another connection of the same user may pull")

    def test_an_administrator_sees_and_touches_every_job(self) -> None:
        self.assertEqual(self.admin.get(self.job).values["Owner"], self.daemon.alice.name)
        self.admin.put(self.job, {"Priority": 1})
        self.admin.set_state(self.job, 2)
        self.admin.wait_for(self.job, 6)
        self.admin.set_state(self.job, 1)
        self.assert_same(self.target(), self.served.data)

    def test_a_user_who_was_removed_is_out_at_once_after_restart(self) -> None:
        self.assertEqual(self.bob.post(IDENTIFY.encode()).status, 200)
        command = [str(binary()), "user", "remove", "bob", "--config", str(self.daemon.config)]
        subprocess.run(command, check=True, capture_output=True, timeout=30)
        self.addCleanup(self.daemon.restart)
        self.addCleanup(self.daemon.add_user, self.daemon.bob)
        self.daemon.restart()
        self.bob.close()
        self.assertEqual(self.bob.post(IDENTIFY.encode()).status, 401)

    def test_total_estimates_count_only_what_is_seen(self) -> None:
        text = envelope(f"{N}/Enumerate", "<n:Enumerate/>", header="<w:RequestTotalItemsCountEstimate/>")
        root = self.bob.send(text)
        self.assertEqual(int(root.findtext(f".//{{{W}}}TotalItemsCountEstimate", "0")), len(list(self.bob.jobs())))
