"""The walk-through and all operations by pypsrp's WSMan class."""

from __future__ import annotations

import time
import xml.etree.ElementTree as ET

from clients.base import WithDaemon, selectors
from harness.wsman import CIM_JOB, JOB, N, W, A, X, XSI, parse_job
from pypsrp.exceptions import WSManFaultError
from pypsrp.wsman import OptionSet


def method_input(method: str, values: dict[str, object], uri: str = JOB) -> ET.Element:
    """The body of a method call."""
    root = ET.Element(f"{{{uri}}}{method}_INPUT")
    for name, value in values.items():
        ET.SubElement(root, f"{{{uri}}}{name}").text = str(value)
    return root


class Pypsrp(WithDaemon):
    """pypsrp over TLS with Basic."""

    def setUp(self) -> None:
        super().setUp()
        self.wsman = self.pypsrp()

    def invoke(self, method: str, values: dict[str, object], job: str | None = None, uri: str = JOB) -> ET.Element:
        chosen = selectors(JobId=job) if job else None
        return self.wsman.invoke(f"{uri}/{method}", uri, method_input(method, values, uri), selector_set=chosen)

    def create(self, name: str = "file", **more: object) -> str:
        url, _ = self.source(name)
        values = {"DisplayName": name, "RemoteUrl": url, "LocalFile": self.target(name), "Type": 0}
        answer = self.invoke("CreateJob", {"Suspend": "true", **values, **more})
        job = answer.findtext(f".//{{{JOB}}}JobId")
        assert job
        return job

    def enumerate(self, *inner: tuple[str, str | None]) -> list[ET.Element]:
        """All items, by Enumerate and as many Pulls as it takes."""
        body = ET.Element(f"{{{N}}}Enumerate")
        for name, text in inner:
            ET.SubElement(body, name).text = text
        answer = self.wsman.enumerate(JOB, body)[0]
        found = list(answer.find(f"{{{W}}}Items") or ())
        context = answer.findtext(f"{{{N}}}EnumerationContext")
        while context:
            pull = ET.Element(f"{{{N}}}Pull")
            ET.SubElement(pull, f"{{{N}}}EnumerationContext").text = context
            ET.SubElement(pull, f"{{{N}}}MaxElements").text = "2"
            answer = self.wsman.pull(JOB, pull)[0]
            items = list(answer.find(f"{{{N}}}Items") or ())
            self.assertLessEqual(len(items), 2)
            found += items
            context = answer.findtext(f"{{{N}}}EnumerationContext")
            ended = answer.find(f"{{{N}}}EndOfSequence") is not None
            self.assertNotEqual(ended, bool(context), "either a context or an end")
        return found

    def test_the_documented_walk_through_delivers_the_file(self) -> None:
        url, source = self.source(size=6_000_000)
        values = {"DisplayName": "walk", "RemoteUrl": url, "LocalFile": self.target(), "Type": 0}
        answer = self.invoke("CreateJob", {**values, "Suspend": "True"})
        output = answer.find(f".//{{{JOB}}}CreateJob_OUTPUT")
        assert output is not None
        self.assertEqual(output.findtext(f"{{{JOB}}}ReturnValue"), "0")
        job_element = output.find(f"{{{JOB}}}JobId")
        assert job_element is not None and job_element.text
        self.assertEqual(job_element.attrib, {}, "a leaf with attributes is no string in PowerShell")
        key = selectors(JobId=job_element.text)

        instance = self.wsman.get(JOB, selector_set=key)[0]
        priority = instance.find(f"{{{JOB}}}Priority")
        assert priority is not None
        self.assertEqual(priority.text, "2")
        priority.text = "0"
        changed = self.wsman.put(JOB, instance, selector_set=key)
        self.assertEqual(parse_job(changed[0]).number("Priority"), 0)
        self.assertEqual(parse_job(changed[0]).state, 3)

        self.invoke("SetJobState", {"JobState": 2}, job_element.text)
        deadline = time.monotonic() + 30
        while (seen := parse_job(self.wsman.get(JOB, selector_set=key)[0])).state != 6:
            self.assertLess(time.monotonic(), deadline, seen.values)
            self.assertNotIn(seen.state, (4, 5))
            time.sleep(0.05)
        self.assertEqual(seen.number("BytesTransferred"), 6_000_000)
        self.assertFalse(self.target().exists(), "nothing appears before Complete")
        self.invoke("SetJobState", {"JobState": 1}, job_element.text)
        self.assert_same(self.target(), source.data)
        self.assert_no_temporary_files()
        with self.assertRaises(WSManFaultError) as gone:
            self.wsman.get(JOB, selector_set=key)
        self.assertEqual(gone.exception.code, 2150858752)

    def test_a_job_that_is_not_created_suspended_starts_at_once(self) -> None:
        job = self.create(Suspend="0")
        self.client.wait_for(job, 6)
        self.invoke("SetJobState", {"JobState": 2}, job)
        self.invoke("SetJobState", {"JobState": 1}, job)
        self.assertTrue(self.target().is_file())

    def test_method_input_is_taken_in_any_order_and_case(self) -> None:
        url, _ = self.source()
        values = {"suspend": "TRUE", "TYPE": "0", "localfile": self.target(), "REMOTEURL": url}
        answer = self.invoke("CreateJob", {**values, "displayName": "case"})
        job = answer.findtext(f".//{{{JOB}}}JobId")
        assert job
        self.assertEqual(self.client.get(job).state, 3)

    def test_the_dmtf_resource_uri_works_with_its_namespace_selector(self) -> None:
        job = self.create()
        chosen = selectors(JobId=job, __cimnamespace="root/microsoft/bits")
        instance = self.wsman.get(CIM_JOB, selector_set=chosen)[0]
        self.assertEqual(instance.tag, f"{{{CIM_JOB}}}BitsClientJob")
        self.assertEqual(instance.findtext(f"{{{CIM_JOB}}}JobId"), self.client.get(job).id)
        answer = self.wsman.invoke(
            f"{CIM_JOB}/SetJobState", CIM_JOB, method_input("SetJobState", {"JobState": 0}, CIM_JOB), selector_set=chosen
        )
        self.assertEqual(answer.findtext(f".//{{{CIM_JOB}}}ReturnValue"), "0")

    def test_the_key_is_found_in_any_case_with_and_without_braces(self) -> None:
        job = self.create()
        bare = job.strip("{}")
        for text in (bare.lower(), bare.upper(), "{" + bare.lower() + "}", "{" + bare.upper() + "}"):
            for name in ("JobId", "jobid"):
                found = self.wsman.get(JOB, selector_set=selectors(**{name: text}))[0]
                self.assertEqual(parse_job(found).id, job)

    def test_resource_uris_are_compared_without_regard_to_case(self) -> None:
        job = self.create()
        for uri in (JOB.lower(), JOB.upper().replace("HTTP://", "http://"), JOB.replace("root/microsoft/bits", "root\\microsoft\\bits")):
            found = self.wsman.get(uri, selector_set=selectors(JobId=job))[0]
            self.assertTrue(found.tag.endswith("}BitsClientJob"), found.tag)

    def test_enumeration_pages_through_objects(self) -> None:
        jobs = {self.create(f"file-{n}") for n in range(5)}
        found = {parse_job(item).id for item in self.enumerate()}
        self.assertLessEqual(jobs, found)
        optimised = self.enumerate((f"{{{W}}}OptimizeEnumeration", None), (f"{{{W}}}MaxElements", "3"))
        self.assertEqual({parse_job(item).id for item in optimised}, found)

    def test_enumeration_gives_references_that_can_be_used(self) -> None:
        job = self.create()
        references = self.enumerate((f"{{{W}}}EnumerationMode", "EnumerateEPR"))
        keys = []
        for item in references:
            self.assertEqual(item.tag, f"{{{A}}}EndpointReference")
            parameters = item.find(f"{{{A}}}ReferenceParameters")
            assert parameters is not None
            self.assertEqual(parameters.findtext(f"{{{W}}}ResourceURI"), JOB)
            chosen = parameters.findall(f"{{{W}}}SelectorSet/{{{W}}}Selector")
            self.assertEqual([one.get("Name") for one in chosen], ["JobId"])
            keys.append(chosen[0].text or "")
        self.assertIn(job, keys)
        self.assertEqual(parse_job(self.wsman.get(JOB, selector_set=selectors(JobId=keys[0]))[0]).id, keys[0])

    def test_enumeration_gives_objects_with_references(self) -> None:
        job = self.create()
        pairs = self.enumerate((f"{{{W}}}EnumerationMode", "EnumerateObjectAndEPR"))
        for item in pairs:
            self.assertEqual(item.tag, f"{{{W}}}Item")
            self.assertEqual([child.tag.rsplit("}", 1)[1] for child in item], ["BitsClientJob", "EndpointReference"])
        self.assertIn(job, [parse_job(item[0]).id for item in pairs])

    def test_a_released_enumeration_is_gone(self) -> None:
        for n in range(3):
            self.create(f"file-{n}")
        answer = self.wsman.enumerate(JOB, ET.Element(f"{{{N}}}Enumerate"))[0]
        context = answer.findtext(f"{{{N}}}EnumerationContext")
        self.assertTrue(context)
        release = ET.Element(f"{{{N}}}Release")
        ET.SubElement(release, f"{{{N}}}EnumerationContext").text = context
        self.wsman.invoke(f"{N}/Release", JOB, release)
        pull = ET.Element(f"{{{N}}}Pull")
        ET.SubElement(pull, f"{{{N}}}EnumerationContext").text = context
        with self.assertRaises(WSManFaultError) as fault:
            self.wsman.pull(JOB, pull)
        self.assertEqual(fault.exception.code, 2150858779)

    def test_pages_stay_below_the_envelope_that_the_client_can_take(self) -> None:
        jobs = {self.create(f"file-{n}") for n in range(24)}
        self.wsman.max_envelope_size = 8_192
        sizes: list[int] = []
        transport = self.wsman.transport
        plain = transport.send

        def measured(*given: object, **named: object) -> bytes:
            answer = plain(*given, **named)
            sizes.append(len(answer))
            return answer

        transport.send = measured
        found = self.enumerate((f"{{{W}}}OptimizeEnumeration", None), (f"{{{W}}}MaxElements", "1000"))
        self.assertLessEqual(jobs, {parse_job(item).id for item in found})
        self.assertGreater(len(sizes), 2)
        self.assertLessEqual(max(sizes), 8_192)

    def test_delete_cancels_the_job(self) -> None:
        job = self.create()
        answer = self.wsman.delete(JOB, selector_set=selectors(JobId=job))
        self.assertEqual(len(answer), 0)
        with self.assertRaises(WSManFaultError) as fault:
            self.wsman.get(JOB, selector_set=selectors(JobId=job))
        self.assertEqual(fault.exception.code, 2150858752)
        self.assert_no_temporary_files()

    def test_one_property_can_be_read_and_written_alone(self) -> None:
        job = self.create()
        self.client.put(job, {"Description": "half <of> & more"})
        seen = self.client.get(job)
        self.assertEqual(seen.values["Description"], "half <of> & more")
        self.assertEqual(seen.values["DisplayName"], "file")
        header = '<w:FragmentTransfer s:mustUnderstand="true">State</w:FragmentTransfer>'
        body = self.client.call(f"{X}/Get", selectors={"JobId": job}, header=header)
        self.assertEqual(body[0].tag, f"{{{W}}}XmlFragment")
        self.assertEqual([(c.tag.rsplit("}", 1)[-1], c.text) for c in body[0]], [("State", "3")])
        header = '<w:FragmentTransfer s:mustUnderstand="true">DisplayName/text()</w:FragmentTransfer>'
        body = self.client.call(f"{X}/Get", selectors={"JobId": job}, header=header)
        self.assertEqual((body[0].text, len(body[0])), ("file", 0))

    def test_get_names_every_property_once(self) -> None:
        instance = self.wsman.get(JOB, selector_set=selectors(JobId=self.create()))[0]
        names = [child.tag.rsplit("}", 1)[1] for child in instance]
        self.assertEqual(
            sorted(names),
            sorted(
                "JobId DisplayName Description Priority MinimumRetryDelay NoProgressTimeout Files JobCreationTime "
                "JobLastModificationTime JobCompletionTime BytesTotal BytesTransferred FilesTotal FilesTransferred "
                "TransientErrorCount State Owner".split()
            ),
        )
        for child in instance.iter():
            if len(child) == 0:
                self.assertLessEqual(set(child.attrib), {f"{{{XSI}}}nil"}, child.tag)
        seen = parse_job(instance)
        self.assertEqual(seen.number("MinimumRetryDelay"), 600)
        self.assertEqual(seen.number("NoProgressTimeout"), 1_209_600)
        self.assertEqual(seen.number("BytesTotal"), 2**64 - 1)
        self.assertEqual(seen.files[0]["BytesTotal"], str(2**64 - 1))
        self.assertEqual(seen.values["Owner"], self.daemon.alice.name)
        ticks = seen.number("JobCreationTime")
        seconds = ticks / 10_000_000 - 11_644_473_600
        self.assertLess(abs(seconds - time.time()), 60, "a FILETIME of now")

    def test_put_refuses_what_is_no_property(self) -> None:
        job = self.create()
        for values in ({"Colour": "red"}, {"Priority": "high"}, {"Priority": 4}, {"Description": "x" * 1_025}):
            with self.subTest(values=list(values)), self.assertRaises(Exception) as fault:
                self.client.put(job, values)
            self.assertIn(type(fault.exception).__name__, ("Fault",))
        self.assertEqual(self.client.get(job).number("Priority"), 2)

    def test_faults_carry_the_codes_that_windows_gives(self) -> None:
        job = self.create()
        unknown = "{00000000-1111-2222-3333-444444444444}"

        def code(act: object) -> int:
            with self.assertRaises(WSManFaultError) as fault:
                act()  # type: ignore[operator]
            self.assertTrue(fault.exception.reason)
            return int(fault.exception.code)

        key = selectors(JobId=job)
        self.assertEqual(code(lambda: self.wsman.get(JOB, selector_set=selectors(JobId=unknown))), 2150858752)
        self.assertEqual(code(lambda: self.wsman.get(JOB)), 2150859002)
        self.assertEqual(code(lambda: self.wsman.get(JOB, selector_set=selectors(JobId=job, Colour="red"))), 2150858843)
        self.assertIn(code(lambda: self.invoke("Explode", {}, job)), (2150858921, 2150858771))
        self.assertEqual(code(lambda: self.invoke("SetJobState", {"JobState": "two"}, job)), 2150858836)
        self.assertEqual(code(lambda: self.invoke("SetJobState", {"Speed": 2}, job)), 2150858837)
        self.assertEqual(code(lambda: self.wsman.enumerate(JOB)), 2150858817)
        wrong = JOB.replace("BitsClientJob", "BitsClientTrain")
        self.assertIn(code(lambda: self.wsman.get(wrong, selector_set=key)), (2150858752, 2150858811))
        self.wsman.max_envelope_size = 8_191
        self.assertEqual(code(lambda: self.wsman.get(JOB, selector_set=key)), 2150858878)

    def test_a_shell_is_refused_with_a_fault(self) -> None:
        shell = ET.Element("{http://schemas.microsoft.com/wbem/wsman/1/windows/shell}Shell")
        with self.assertRaises(WSManFaultError):
            self.wsman.create("http://schemas.microsoft.com/wbem/wsman/1/windows/shell/cmd", shell)

    def test_unknown_options_are_no_obstacle(self) -> None:
        job = self.create()
        options = OptionSet()
        options.add_option("wmi:__MI_OPERATIONOPTIONS_WRITEERRORMODE", "1")
        found = self.wsman.get(JOB, option_set=options, selector_set=selectors(JobId=job))
        self.assertEqual(parse_job(found[0]).id, job)

    def test_a_method_that_fails_is_a_fault_with_its_hresult(self) -> None:
        url, _ = self.source()
        cases = {
            "an upload from outside": ({"Type": 1}, None),
            "a destination outside": ({"LocalFile": "/etc/bitsd-was-here"}, None),
            "an address that is none": ({"RemoteUrl": "gopher:nowhere"}, None),
            "a name too long": ({"DisplayName": "x" * 257}, 0x80070057),
        }
        for what, (change, hresult) in cases.items():
            values = {"DisplayName": "j", "RemoteUrl": url, "LocalFile": self.target(), "Type": 0, **change}
            with self.subTest(what), self.assertRaises(WSManFaultError) as fault:
                self.invoke("CreateJob", values)
            code = int(fault.exception.code)
            self.assertGreaterEqual(code, 0x80000000)
            if hresult:
                self.assertEqual(code, hresult)

    def test_set_job_state_on_an_unfinished_job_keeps_what_is_finished(self) -> None:
        job = self.create("first")
        url, held = self.source("second", size=900_000, hold_at=64_000)
        self.client.add_file(job, url, self.target("second"))
        self.invoke("SetJobState", {"JobState": 2}, job)
        self.client.wait_for(job, lambda seen: seen.number("FilesTransferred") == 1)
        self.invoke("SetJobState", {"JobState": 1}, job)
        held.gate.set()
        self.assertTrue(self.target("first").is_file())
        self.assertFalse(self.target("second").exists())
        self.assert_no_temporary_files()
