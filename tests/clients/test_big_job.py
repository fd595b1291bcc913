"""A job of 5,000 files works for a client with a small envelope."""

from __future__ import annotations

import time

from clients.base import WithDaemon
from harness.origin import Source, content
from harness.wsman import JOB, N, W, X, parse_job

FILES = 5_000


class BigJob(WithDaemon):
    """One job too big for any envelope, and small ones around it."""

    def test_the_documented_polling_script_works_and_enumeration_goes_past(self) -> None:
        url, _ = self.source("first", 700)
        job = self.client.create_job("big", url, self.target("first"))
        sources = {}
        for n in range(1, FILES):
            name = f"file-{n:05}"
            sources[name] = Source(content(name, 700), etag=f'"{n}"')
            added = self.origin.add(self.path(name), sources[name])
            self.client.add_file(job, added, self.target(name))
        small = [self.client.create_job(f"small {n}", url, self.target(f"small-{n}")) for n in range(6)]

        for size in (None, 153_600, 512_000):
            seen = self.client.get(job, size)
            self.assertTrue(seen.files_nil, "Files is nil where the instance would not fit")
            self.assertEqual(seen.number("FilesTotal"), FILES)
            self.assertEqual(seen.files, [])
        few = self.client.get(small[0])
        self.assertEqual(len(few.files), 1)

        self.assertTrue(self.client.put(job, {"Priority": 0}).files_nil, "and so does PutResponse")
        self.assertLessEqual({job, *small}, {seen.id for seen in self.client.jobs()})
        one_by_one = {seen.id for seen in self.client.jobs(1)}
        self.assertLessEqual({job, *small}, one_by_one)
        pairs = "<n:Enumerate><w:OptimizeEnumeration/><w:MaxElements>100</w:MaxElements><w:EnumerationMode>EnumerateObjectAndEPR</w:EnumerationMode></n:Enumerate>"
        answer = self.client.call(f"{N}/Enumerate", pairs)[0]
        items = answer.findall(f"{{{W}}}Items/{{{W}}}Item")
        self.assertIn(job, {parse_job(item[0]).id for item in items})

        header = '<w:FragmentTransfer s:mustUnderstand="true">State</w:FragmentTransfer>'
        body = self.client.call(f"{X}/Get", selectors={"JobId": job}, header=header)
        self.assertEqual(body[0].findtext("*"), "3")

        self.client.set_state(job, 2)
        deadline = time.monotonic() + 120
        while True:
            seen = self.client.get(job, 153_600)
            if seen.state == 6:
                break
            self.assertNotIn(seen.state, (4, 5), seen.values)
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.2)
        self.assertEqual(seen.number("FilesTransferred"), FILES)
        self.client.set_state(job, 1)
        for name, source in sources.items():
            self.assertEqual(self.target(name).read_bytes(), source.data)
        self.assert_no_temporary_files()
        self.assertNotIn(job, {seen.id for seen in self.client.jobs()})

    def test_a_page_of_the_files_can_be_asked_for_by_position(self) -> None:
        url, _ = self.source("a", 100)
        job = self.client.create_job("two", url, self.target("a"))
        second, _ = self.source("b", 100)
        self.client.add_file(job, second, self.target("b"))
        header = '<w:FragmentTransfer s:mustUnderstand="true">Files[2]</w:FragmentTransfer>'
        body = self.client.call(f"{X}/Get", selectors={"JobId": job}, header=header)
        texts = [element.text for element in body.iter()]
        self.assertIn(second, texts)
        self.assertNotIn(url, texts)
        self.assertEqual(body[0].tag, f"{{{W}}}XmlFragment")
        self.assertIn(JOB.rsplit("/", 1)[0], body[0][0].tag)
