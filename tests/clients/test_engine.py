"""Transfers against an origin that misbehaves."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

from clients.base import WithDaemon
from harness.origin import Fault, Origin, Source, content
from harness.wsman import ERROR, SUSPENDED, TRANSFERRED, TRANSIENT_ERROR, Job
from harness.wsman import Fault as SoapFault

HTTP_ERROR = 0x80190000
FILE_NOT_FOUND = 2_149_122_452  # 0x80190194


def moved(octets: int) -> Callable[[Job], bool]:
    """A condition: so many octets are here."""

    def holds(job: Job) -> bool:
        return job.number("BytesTransferred") >= octets

    return holds


class Transfers(WithDaemon):
    """Downloads to their end, or to their error."""

    settings = {"transfer": {"checkpoint_interval_ms": 200}}

    def start(self, url: str, name: str = "file", **more: object) -> str:
        return self.client.create_job(self.name, url, self.target(name), suspended=False, **more)

    def complete(self, job: str, data: bytes, name: str = "file") -> None:
        self.client.wait_for(job, TRANSFERRED)
        self.client.set_state(job, 1)
        self.assert_same(self.target(name), data)
        self.assert_no_temporary_files()

    def fails(self, job: str, state: int, code: int) -> dict[str, str]:
        self.client.wait_for(job, state)
        error = self.client.error(job)
        self.assertEqual(int(error["ErrorCode"]), code, error)
        return error

    def test_a_missing_file_is_an_error_with_code_and_words(self) -> None:
        job = self.start(self.origin.url("/nowhere/file?token=hush"))
        error = self.fails(job, ERROR, FILE_NOT_FOUND)
        self.assertEqual(error["ErrorContext"], "5")
        self.assertTrue(error["ErrorDescription"])
        self.assertTrue(error["ContextDescription"])
        self.assertNotIn("hush", str(error))
        self.assertEqual(list(self.target().parent.glob("*")) if self.target().parent.exists() else [], [])
        self.client.set_state(job, 0)

    def test_get_error_without_an_error_says_so(self) -> None:
        url, _ = self.source()
        job = self.client.create_job(self.name, url, self.target())
        try:
            error = self.client.error(job)
        except SoapFault as fault:
            # BG_E_ERROR_INFORMATION_UNAVAILABLE, as the native call answers.
            self.assertIn(0x8020000F, fault.codes)
        else:
            self.assertEqual((int(error["ErrorCode"]), error["ErrorContext"]), (0, "0"))

    def test_fatal_and_transient_answers_are_told_apart(self) -> None:
        for status, state in ((403, ERROR), (410, ERROR), (501, ERROR), (408, TRANSIENT_ERROR), (500, TRANSIENT_ERROR), (502, TRANSIENT_ERROR), (504, TRANSIENT_ERROR)):
            with self.subTest(status=status):
                url, _ = self.source(str(status), always=Fault(status))
                job = self.start(url, str(status))
                self.fails(job, state, HTTP_ERROR + status)
                self.client.set_state(job, 0)

    def test_a_busy_server_is_asked_again_and_a_retry_counts(self) -> None:
        url, source = self.source(faults=[Fault(503, {"Retry-After": "2"})])
        job = self.start(url)
        self.fails(job, TRANSIENT_ERROR, HTTP_ERROR + 503)
        began = time.monotonic()
        self.assertEqual(self.client.get(job).number("TransientErrorCount"), 1)
        # Resume does not wait.
        self.client.set_state(job, 2)
        self.complete(job, source.data)
        self.assertLess(time.monotonic() - began, 20)

    def test_a_transient_error_is_retried_after_the_minimum_delay(self) -> None:
        url, source = self.source(faults=[Fault(503)])
        job = self.client.create_job(self.name, url, self.target())
        self.client.put(job, {"MinimumRetryDelay": 5})
        self.client.set_state(job, 2)
        self.client.wait_for(job, TRANSIENT_ERROR)
        began = time.monotonic()
        self.client.wait_for(job, TRANSFERRED, 30)
        self.assertGreater(time.monotonic() - began, 3)
        self.complete(job, source.data)

    def test_no_progress_makes_every_error_fatal_when_the_timeout_is_zero(self) -> None:
        url, _ = self.source(always=Fault(500))
        job = self.client.create_job(self.name, url, self.target())
        self.client.put(job, {"NoProgressTimeout": 0})
        self.client.set_state(job, 2)
        self.client.wait_for(job, ERROR, 30)

    def test_a_refused_connection_is_transient(self) -> None:
        closed = Origin()
        url = closed.url("/file")
        closed.close()
        job = self.start(url)
        self.client.wait_for(job, TRANSIENT_ERROR)
        self.assertNotEqual(self.client.error(job)["ErrorCode"], "0")

    def test_suspend_and_resume_go_on_where_they_stopped(self) -> None:
        size = 40_000_000
        url, source = self.source(size=size, rate=40_000_000)
        job = self.start(url)
        self.client.wait_for(job, moved(8_000_000))
        self.client.set_state(job, 3)
        self.client.wait_for(job, SUSPENDED)
        # What was on its way is still written.
        time.sleep(0.5)
        held = self.client.get(job).number("BytesTransferred")
        self.assertGreaterEqual(held, 8_000_000)
        time.sleep(0.5)
        self.assertEqual(self.client.get(job).number("BytesTransferred"), held, "nothing moves while suspended")
        self.client.set_state(job, 2)
        self.complete(job, source.data)
        (book,) = self.origin.coverage(self.path())
        self.assertLess(book.again, 4_000_000, "what was here is not fetched again")
        ranged = [one for one in self.origin.requested(self.path()) if "range" in one.headers]
        self.assertTrue(ranged)
        self.assertEqual(ranged[-1].headers.get("if-range"), source.etag)

    def test_a_stop_of_the_service_loses_nothing(self) -> None:
        url, source = self.source(size=40_000_000, rate=40_000_000)
        job = self.start(url)
        self.client.wait_for(job, moved(10_000_000))
        self.daemon.restart()
        self.complete(job, source.data)
        (book,) = self.origin.coverage(self.path())
        self.assertLess(book.again, 2_000_000)

    def test_cancel_in_the_middle_leaves_nothing(self) -> None:
        url, _ = self.source(size=40_000_000, rate=20_000_000)
        job = self.start(url)
        self.client.wait_for(job, moved(2_000_000))
        self.assertTrue([p for p in self.daemon.temporary_files() if self.name in str(p)], "a temporary file is there")
        self.client.set_state(job, 0)
        self.assert_no_temporary_files()
        self.assertFalse(self.target().exists())
        with self.assertRaises(SoapFault):
            self.client.get(job)

    def test_a_source_that_changed_meanwhile_is_fetched_anew(self) -> None:
        for how in ("etag", "date", "both", "size"):
            with self.subTest(how):
                size = 20_000_000
                url, source = self.source(how, size=size, rate=40_000_000)
                if how == "date":
                    source.etag = None
                job = self.start(url, how)
                self.client.wait_for(job, moved(4_000_000))
                self.client.set_state(job, 3)
                self.client.wait_for(job, SUSPENDED)
                after = content(f"new {how}", size + (4_096 if how == "size" else 0))
                etag = None if how == "date" else '"second"'
                date = source.last_modified if how == "etag" else 1_650_000_000.0
                source.change(after, etag, date)
                self.client.set_state(job, 2)
                self.complete(job, after, how)

    def test_a_weak_etag_is_no_ground_to_go_on(self) -> None:
        size = 20_000_000
        url, source = self.source(size=size, rate=40_000_000)
        source.etag, source.last_modified = 'W/"v"', None
        job = self.start(url)
        self.client.wait_for(job, moved(4_000_000))
        self.client.set_state(job, 3)
        self.client.wait_for(job, SUSPENDED)
        after = content("other", size)
        source.change(after, 'W/"v"', None)
        self.client.set_state(job, 2)
        self.complete(job, after)

    def test_a_server_without_ranges_is_asked_for_all(self) -> None:
        url, source = self.source(size=10_000_000, rate=20_000_000, ranges=False)
        job = self.start(url)
        self.client.wait_for(job, moved(2_000_000))
        self.client.set_state(job, 3)
        self.client.wait_for(job, SUSPENDED)
        self.client.set_state(job, 2)
        self.complete(job, source.data)

    def test_a_body_without_length_is_taken_to_its_end(self) -> None:
        url, source = self.source(size=3_000_000, sized=False)
        job = self.start(url)
        self.complete(job, source.data)

    def test_a_connection_that_is_cut_is_no_end(self) -> None:
        url, source = self.source(size=5_000_000, cut_after=1_500_000)
        job = self.start(url)
        self.client.wait_for(job, lambda seen: seen.state in (TRANSIENT_ERROR, TRANSFERRED))
        self.client.set_state(job, 2)
        self.complete(job, source.data)

    def test_a_cut_chunked_body_is_no_end_either(self) -> None:
        url, source = self.source(size=3_000_000, sized=False, cut_after=900_000)
        job = self.start(url)
        self.client.wait_for(job, lambda seen: seen.state in (TRANSIENT_ERROR, TRANSFERRED))
        self.client.set_state(job, 2)
        self.complete(job, source.data)

    def test_an_empty_file_lands(self) -> None:
        url, _ = self.source(size=0)
        job = self.start(url)
        self.complete(job, b"")

    def test_redirects_are_followed_up_to_ten(self) -> None:
        url, source = self.source("end")
        for n in range(10, 0, -1):
            after = url if n == 10 else self.path(f"hop-{n + 1}")
            self.origin.add(self.path(f"hop-{n}"), Source(b"", redirect=after))
        job = self.start(self.origin.url(self.path("hop-1")))
        self.complete(job, source.data)
        self.origin.add(self.path("hop-0"), Source(b"", redirect=self.path("hop-1")))
        job = self.start(self.origin.url(self.path("hop-0")), "eleven")
        self.client.wait_for(job, ERROR)
        loop = self.path("loop")
        self.origin.add(loop, Source(b"", redirect=loop))
        job = self.start(self.origin.url(loop), "loop")
        self.client.wait_for(job, ERROR)

    def test_a_redirect_to_a_forbidden_address_is_refused(self) -> None:
        for target in ("http://169.254.169.254/latest", "http://[::1]:1/x", "http://0.0.0.0:1/x", "file:///etc/passwd"):
            with self.subTest(target):
                self.origin.add(self.path("away"), Source(b"", redirect=target))
                job = self.start(self.origin.url(self.path("away")), "away")
                self.client.wait_for(job, lambda seen: seen.state in (ERROR, TRANSIENT_ERROR))
                self.assertEqual(self.client.get(job).state, ERROR)
                self.client.set_state(job, 0)

    def test_credentials_are_used_and_not_carried_to_another_origin(self) -> None:
        with Origin() as other:
            inner, guarded = self.source("guarded", basic=("ann", "s3cret"))
            other_url = other.add("/open", Source(content("open", 10_000), etag='"o"'))
            job = self.client.create_job(self.name, inner, self.target("guarded"))
            self.origin.add(self.path("away"), Source(b"", redirect=other_url, basic=("ann", "s3cret")))
            self.client.add_file(job, self.origin.url(self.path("away")), self.target("away"))
            given = {"Target": 0, "Scheme": 0, "UserName": "ann", "Password": "s3cret"}
            self.client.invoke("SetCredentials", given, job)
            self.client.set_state(job, 2)
            self.client.wait_for(job, TRANSFERRED)
            self.client.set_state(job, 1)
            self.assert_same(self.target("guarded"), guarded.data)
            self.assertTrue(other.requests)
            self.assertFalse([one for one in other.requests if "authorization" in one.headers])

    def test_digest_credentials_are_used(self) -> None:
        url, source = self.source(digest=("ann", "s3cret"))
        job = self.client.create_job(self.name, url, self.target())
        given = {"Target": 0, "Scheme": 1, "UserName": "ann", "Password": "s3cret"}
        self.client.invoke("SetCredentials", given, job)
        self.client.set_state(job, 2)
        self.complete(job, source.data)
        sent = [one.headers.get("authorization", "") for one in self.origin.requested(self.path())]
        self.assertFalse([value for value in sent if value.startswith("Basic")])

    def test_wrong_credentials_are_a_fatal_error(self) -> None:
        url, _ = self.source(basic=("ann", "s3cret"))
        job = self.client.create_job(self.name, url, self.target())
        given = {"Target": 0, "Scheme": 0, "UserName": "ann", "Password": "wrong"}
        self.client.invoke("SetCredentials", given, job)
        self.client.set_state(job, 2)
        self.fails(job, ERROR, HTTP_ERROR + 401)
        given["Password"] = "s3cret"
        self.client.invoke("SetCredentials", given, job)
        self.client.set_state(job, 2)
        self.client.wait_for(job, TRANSFERRED)
        self.client.invoke("RemoveCredentials", {"Target": 0, "Scheme": 0}, job)

    def test_schemes_and_usages_not_in_force_are_refused(self) -> None:
        url, _ = self.source()
        job = self.client.create_job(self.name, url, self.target())
        for scheme in (4, 5):
            with self.assertRaises(SoapFault) as fault:
                self.client.invoke("SetCredentials", {"Target": 0, "Scheme": scheme, "UserName": "u", "Password": "p"}, job)
            self.assertTrue(any(code >= 0x80000000 for code in fault.exception.codes))
        with self.assertRaises(SoapFault):
            self.client.invoke("SetProxySettings", {"ProxyUsage": 9}, job)
        with self.assertRaises(SoapFault):
            self.client.invoke("SetProxySettings", {"ProxyUsage": 1, "ProxyList": "http://p:1"}, job)

    def test_a_proxy_of_the_job_is_used(self) -> None:
        # The origin takes an absolute request target as a proxy would.
        data = content("proxied", 50_000)
        with Origin() as proxy:
            proxy.sources["http://files.invalid/thing"] = Source(data, etag='"p"')
            job = self.client.create_job(self.name, "http://files.invalid/thing", self.target())
            proxy_list = f"http://127.0.0.1:{proxy.port}"
            self.client.invoke("SetProxySettings", {"ProxyUsage": 2, "ProxyList": proxy_list}, job)
            self.client.set_state(job, 2)
            self.complete(job, data)

    def test_priorities_decide_who_runs_first(self) -> None:
        blockers = []
        held = []
        for n in range(4):
            url, source = self.source(f"blocker-{n}", size=500_000, hold_at=64_000)
            held.append(source)
            blockers.append(self.client.create_job(f"blocker-{n}", url, self.target(f"blocker-{n}")))
            # High, so that nothing that comes later goes before; foreground jobs
            # have slots of their own.
            self.client.put(blockers[-1], {"Priority": 1})
            self.client.set_state(blockers[-1], 2)
        for job in blockers:
            self.client.wait_for(job, moved(1))
        waiting = {}
        for priority in (3, 2, 1):
            url, _ = self.source(f"p{priority}", rate=2_000_000, size=600_000)
            job = self.client.create_job(f"p{priority}", url, self.target(f"p{priority}"))
            self.client.put(job, {"Priority": priority})
            waiting[priority] = job
        for priority in (3, 2, 1):
            self.client.set_state(waiting[priority], 2)
        time.sleep(0.3)
        self.assertEqual({self.client.get(job).state for job in waiting.values()}, {0}, "all slots are taken")
        held[0].gate.set()
        self.client.wait_for(blockers[0], TRANSFERRED)
        self.client.wait_for(waiting[1], TRANSFERRED)
        order = sorted(waiting, key=lambda p: -self.client.get(waiting[p]).number("BytesTransferred"))
        self.assertEqual(order[0], 1)
        for source in held:
            source.gate.set()
        for job in waiting.values():
            self.client.wait_for(job, TRANSFERRED)
        finished = {p: self.client.get(job).number("JobCompletionTime") for p, job in waiting.items()}
        self.assertLess(finished[1], finished[2])
        self.assertLess(finished[2], finished[3])

    def test_an_existing_target_is_replaced_only_by_the_whole_file(self) -> None:
        self.target().parent.mkdir(parents=True)
        self.target().write_bytes(b"old")
        url, source = self.source(size=3_000_000, hold_at=1_000_000)
        job = self.start(url)
        self.client.wait_for(job, moved(500_000))
        self.assertEqual(self.target().read_bytes(), b"old")
        source.gate.set()
        self.complete(job, source.data)

    def test_files_have_the_configured_mode_and_the_date_of_the_source(self) -> None:
        url, source = self.source()
        job = self.start(url)
        self.complete(job, source.data)
        seen = self.target().stat()
        self.assertEqual(oct(seen.st_mode & 0o777), oct(0o644))
        self.assertEqual(oct(self.target().parent.stat().st_mode & 0o777), oct(0o755))
        self.assertEqual(int(seen.st_mtime), int(source.last_modified or 0))

    def test_one_running_job_uses_several_connections(self) -> None:
        url, _ = self.source("f0", size=2_000_000, rate=4_000_000)
        job = self.client.create_job(self.name, url, self.target("f0"))
        for n in range(1, 8):
            more, _ = self.source(f"f{n}", size=2_000_000, rate=4_000_000)
            self.client.add_file(job, more, self.target(f"f{n}"))
        began = time.monotonic()
        self.client.set_state(job, 2)
        self.client.wait_for(job, TRANSFERRED)
        self.assertLess(time.monotonic() - began, 3.0, "one after the other takes four seconds")

    def test_progress_moves_while_a_file_is_on_its_way(self) -> None:
        url, source = self.source(size=4_000_000, hold_at=2_000_000)
        job = self.start(url)
        seen = self.client.wait_for(job, moved(1_000_000))
        self.assertEqual(seen.number("BytesTotal"), 4_000_000)
        self.assertEqual((seen.state, seen.number("FilesTransferred")), (2, 0))
        self.assertEqual(seen.files[0]["Completed"], "false")
        source.gate.set()
        self.complete(job, source.data)


class Destination(WithDaemon):
    """Where files may land."""

    def refused(self, path: str | Path) -> None:
        url, _ = self.source()
        with self.assertRaises(SoapFault, msg=str(path)) as fault:
            self.client.create_job("out", url, path)
        self.assertTrue(any(code >= 0x80000000 for code in fault.exception.codes))

    def lands(self, local: str | Path, native: Path) -> None:
        url, source = self.source(native.name)
        job = self.client.create_job("in", url, local, suspended=False)
        self.client.wait_for(job, TRANSFERRED)
        self.client.set_state(job, 1)
        self.assert_same(native, source.data)

    def test_windows_paths_are_mapped_to_their_drive(self) -> None:
        c = self.daemon.files / "c"
        self.lands(r"C:\in\deep\one.bin", c / "in/deep/one.bin")
        self.lands("c:/in/two.bin", c / "in/two.bin")
        self.lands(str(self.daemon.files / "native" / "three.bin"), self.daemon.files / "native/three.bin")

    def test_paths_that_lead_out_are_refused(self) -> None:
        for path in (
            "/etc/passwd", "relative/file", "", "/", r"C:\..\..\etc\passwd", "C:/a/../../../../etc/x",
            f"{self.daemon.files}/../outside", f"{self.daemon.files}/a/../../outside",
            r"\\server\share\file", r"\\?\C:\file", r"\\.\PhysicalDrive0", "//server/share/file",
            r"D:\file", r"C:file", r"C:\file:stream", r"C:\file::$DATA", r"C:\CON", r"C:\dir\nul.txt", r"C:\COM1",
            "C:\\", str(self.daemon.files), f"{self.daemon.files}/",
            str(self.daemon.state / "users"), str(self.daemon.config),
        ):
            with self.subTest(path=path):
                self.refused(path)

    def test_a_symbolic_link_leads_nowhere(self) -> None:
        outside = self.folder / "outside"
        outside.mkdir(exist_ok=True)
        os.symlink(outside, self.daemon.files / "link")
        url, _ = self.source()
        try:
            job = self.client.create_job("link", url, self.daemon.files / "link" / "file", suspended=False)
        except SoapFault:
            pass
        else:
            self.client.wait_for(job, ERROR)
        self.assertEqual(list(outside.iterdir()), [])

    def test_a_link_that_appears_before_complete_is_not_followed(self) -> None:
        outside = self.folder / "later"
        outside.mkdir(exist_ok=True)
        folder = self.daemon.files / "swap"
        url, _ = self.source()
        job = self.client.create_job("swap", url, folder / "file", suspended=False)
        self.client.wait_for(job, TRANSFERRED)
        folder.rename(self.daemon.files / "swapped")
        os.symlink(outside, folder)
        try:
            self.client.set_state(job, 1)
        except SoapFault:
            pass
        self.assertEqual(list(outside.iterdir()), [])

    def test_a_target_that_is_a_link_is_replaced_not_written_through(self) -> None:
        precious = self.folder / "precious"
        precious.write_bytes(b"keep")
        target = self.daemon.files / "alias"
        os.symlink(precious, target)
        url, source = self.source()
        try:
            job = self.client.create_job("alias", url, target, suspended=False)
            self.client.wait_for(job, lambda seen: seen.state in (ERROR, TRANSFERRED))
            self.client.set_state(job, 1)
        except SoapFault:
            pass
        self.assertEqual(precious.read_bytes(), b"keep")
        self.assertIn(target.read_bytes(), (b"keep", source.data))

    def test_names_that_differ_only_in_case_are_refused_in_one_job(self) -> None:
        url, _ = self.source()
        job = self.client.create_job("case", url, r"C:\case\File.bin")
        with self.assertRaises(SoapFault):
            self.client.add_file(job, url, r"C:\case\FILE.BIN")

    def test_addresses_that_are_none_are_refused(self) -> None:
        for url in ("", "ftp://h/x", "file:///etc/passwd", "http://", "//h/x", "http://h/" + "x" * 70_000):
            with self.subTest(url=url[:20]), self.assertRaises(SoapFault):
                self.client.create_job("url", url, self.target())

    def test_forbidden_addresses_are_a_fatal_error(self) -> None:
        for url in ("http://169.254.169.254/x", "http://[::1]:9/x", "http://[::ffff:169.254.169.254]:9/x", "http://0.0.0.0/x"):
            with self.subTest(url):
                try:
                    job = self.client.create_job("fence", url, self.target(), suspended=False)
                except SoapFault:
                    continue
                self.client.wait_for(job, lambda seen: seen.state in (ERROR, TRANSIENT_ERROR, TRANSFERRED), 10)
                self.assertEqual(self.client.get(job).state, ERROR)
