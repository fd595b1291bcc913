"""Filters, Create, fragments, class metadata and the usual mistakes by clients
that we did not write: pypsrp, pywinrm, python-wsmanclient."""

from __future__ import annotations

import uuid
import xml.etree.ElementTree as ET

import requests
import winrm.exceptions
from clients.base import WithDaemon, selectors
from harness.wsman import A, CIM_JOB, JOB, N, S, SELECTOR_FILTER, W, WQL, X, XSI, parse_job
from pypsrp.exceptions import WSManFaultError
from pypsrp.wsman import OptionSet
from winrm.protocol import Protocol
from wsmanclient.client import Client as WsmanClient
from wsmanclient.exceptions import InvalidResponse

ALL = JOB.replace("BitsClientJob", "*")
CIM_ALL = "http://schemas.dmtf.org/wbem/wscim/1/*"
SCHEMA = "http://schemas.dmtf.org/wbem/cim-xml/2/cim-schema/2/*"
XPATH = "http://www.w3.org/TR/1999/REC-xpath-19991116"
ASSOCIATION = "http://schemas.dmtf.org/wbem/wsman/1/cimbinding/associationFilter"
B = "http://schemas.dmtf.org/wbem/wsman/1/cimbinding.xsd"
NAMESPACE = "root/microsoft/bits"

CANNOT_PROCESS_FILTER = 2150858778


class WithJobs(WithDaemon):
    """Ten suspended jobs of alice: a-0 to a-9, every third with priority 0."""

    jobs: dict[str, str]

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        client = cls.daemon.client()
        cls.jobs = {}
        for n in range(10):
            url = cls.origin.url("/never")
            job = client.create_job(f"a-{n}", url, cls.daemon.files / f"{cls.__name__}-{n}")
            client.put(job, {"Priority": 0 if n % 3 == 0 else 2, "Description": f"the {n}th one"})
            cls.jobs[f"a-{n}"] = job
        client.close()


class Pypsrp(WithJobs):
    """pypsrp's WSMan class."""

    def setUp(self) -> None:
        super().setUp()
        self.wsman = self.pypsrp()

    def enumerate(
        self, uri: str, filter_: ET.Element | None = None, mode: str | None = None, most: int = 3, **chosen: str
    ) -> list[ET.Element]:
        """All items, by an optimised Enumerate and as many Pulls as it takes."""
        body = ET.Element(f"{{{N}}}Enumerate")
        ET.SubElement(body, f"{{{W}}}OptimizeEnumeration")
        ET.SubElement(body, f"{{{W}}}MaxElements").text = str(most)
        if mode:
            ET.SubElement(body, f"{{{W}}}EnumerationMode").text = mode
        if filter_ is not None:
            body.append(filter_)
        key = selectors(**chosen) if chosen else None
        answer = self.wsman.enumerate(uri, body, selector_set=key)[0]
        items = list(answer.find(f"{{{W}}}Items") or ())
        self.assertLessEqual(len(items), most)
        while context := answer.findtext(f"{{{N}}}EnumerationContext"):
            pull = ET.Element(f"{{{N}}}Pull")
            ET.SubElement(pull, f"{{{N}}}EnumerationContext").text = context
            ET.SubElement(pull, f"{{{N}}}MaxElements").text = str(most)
            answer = self.wsman.pull(uri, pull, selector_set=key)[0]
            page = list(answer.find(f"{{{N}}}Items") or ())
            self.assertLessEqual(len(page), most)
            items += page
        return items

    def query(self, text: str, uri: str = ALL, mode: str | None = None, **chosen: str) -> list[ET.Element]:
        return self.enumerate(uri, dialect(WQL, text), mode, **chosen)

    def names(self, text: str, **more: str) -> list[str]:
        """DisplayNames of what a WHERE finds, sorted."""
        items = self.query(f"SELECT * FROM BitsClientJob WHERE {text}", **more)
        return sorted(parse_job(item).values["DisplayName"] or "" for item in items)

    def test_wql_finds_what_it_asks_for(self) -> None:
        every = sorted(self.jobs)
        for text, wanted in {
            "Priority=0": ["a-0", "a-3", "a-6", "a-9"],
            "Priority = 0 AND DisplayName <> 'a-3'": ["a-0", "a-6", "a-9"],
            "displayname = 'A-4' OR DISPLAYNAME=\"a-5\"": ["a-4", "a-5"],
            "NOT (Priority = 0)": ["a-1", "a-2", "a-4", "a-5", "a-7", "a-8"],
            "DisplayName LIKE 'a-[2-4]'": ["a-2", "a-3", "a-4"],
            "DisplayName LIKE 'a-[^2-9]'": ["a-0", "a-1"],
            "Description LIKE '%5TH%'": ["a-5"],
            "State = 3 AND Owner = 'ALICE'": every,
            "Owner = 'bob'": [],
            "JobCompletionTime = 0 AND JobCreationTime > 0": every,
            "Description IS NULL": [],
            "Description IS NOT NULL": every,
            "BytesTotal = 18446744073709551615": every,
            "BytesTotal > 18446744073709551615": [],
            "Priority >= 2 AND (DisplayName > 'a-4' AND DisplayName <= 'a-7')": ["a-5", "a-7"],
            f"JobId = '{self.jobs['a-7']}'": ["a-7"],
            "FilesTotal = '1' AND __CLASS = 'BitsClientJob'": every,
        }.items():
            with self.subTest(text):
                self.assertEqual(self.names(text), wanted)

    def test_wql_works_on_every_uri_that_clients_use(self) -> None:
        where = "Priority=0"
        wanted = ["a-0", "a-3", "a-6", "a-9"]
        self.assertEqual(self.names(where, uri=JOB), wanted)
        self.assertEqual(self.names(where, uri=ALL, __cimnamespace=NAMESPACE), wanted)
        items = self.query(f"select * from bitsclientjob where {where}", CIM_ALL, __cimnamespace=NAMESPACE)
        self.assertEqual({item.tag for item in items}, {f"{{{CIM_JOB}}}BitsClientJob"})
        self.assertEqual(len(items), len(wanted))

    def test_a_projection_gives_plain_fragments(self) -> None:
        items = self.query("SELECT State, DisplayName FROM BitsClientJob WHERE DisplayName LIKE 'a-[01]'")
        rows = [(item.tag, [(child.tag, child.text) for child in item]) for item in items]
        self.assertEqual(
            sorted(rows, key=str),
            [(f"{{{W}}}XmlFragment", [("DisplayName", f"a-{n}"), ("State", "3")]) for n in (0, 1)],
        )

    def test_every_mode_goes_with_a_filter(self) -> None:
        where = "SELECT * FROM BitsClientJob WHERE Priority=0"
        wanted = {self.jobs[f"a-{n}"] for n in (0, 3, 6, 9)}
        references = self.query(where, mode="EnumerateEPR")
        self.assertEqual({key(item) for item in references}, wanted)
        both = self.query(where, mode="EnumerateObjectAndEPR")
        self.assertEqual({parse_job(item[0]).id for item in both}, wanted)
        self.assertEqual({key(item[1]) for item in both}, wanted)

    def test_selector_and_xpath_filters(self) -> None:
        chosen = ET.Element(f"{{{W}}}SelectorSet")
        for name, value in {"Priority": "0", "DisplayName": "a-6"}.items():
            ET.SubElement(chosen, f"{{{W}}}Selector", Name=name).text = value
        filter_ = dialect(SELECTOR_FILTER, "")
        filter_.append(chosen)
        found = self.enumerate(JOB, filter_)
        self.assertEqual([parse_job(item).id for item in found], [self.jobs["a-6"]])
        for text in ("DisplayName='a-6'", "*[DisplayName='a-6']", ".[Priority=0 and DisplayName='a-6']"):
            with self.subTest(text):
                found = self.enumerate(JOB, dialect(XPATH, text))
                self.assertEqual([parse_job(item).id for item in found], [self.jobs["a-6"]])

    def test_a_job_has_no_associations(self) -> None:
        def around(job: str) -> ET.Element:
            filter_ = dialect(ASSOCIATION, "")
            associated = ET.SubElement(filter_, f"{{{B}}}AssociatedInstances")
            thing = ET.SubElement(associated, f"{{{B}}}Object")
            ET.SubElement(thing, f"{{{A}}}Address").text = f"{A}/role/anonymous"
            parameters = ET.SubElement(thing, f"{{{A}}}ReferenceParameters")
            ET.SubElement(parameters, f"{{{W}}}ResourceURI").text = CIM_JOB
            chosen = ET.SubElement(parameters, f"{{{W}}}SelectorSet")
            ET.SubElement(chosen, f"{{{W}}}Selector", Name="JobId").text = job
            ET.SubElement(chosen, f"{{{W}}}Selector", Name="__cimnamespace").text = NAMESPACE
            return filter_

        self.assertEqual(self.enumerate(CIM_ALL, around(self.jobs["a-1"]), __cimnamespace=NAMESPACE), [])
        path = f"{{BitsClientJob.JobId='{self.jobs['a-1']}'}}"
        self.assertEqual(self.query(f"ASSOCIATORS OF {path}"), [])
        self.assertEqual(self.query(f"REFERENCES OF {path}"), [])
        nobody = "{00000000-0000-0000-0000-000000000000}"
        for act in (
            lambda: self.enumerate(CIM_ALL, around(nobody), __cimnamespace=NAMESPACE),
            lambda: self.query(f"ASSOCIATORS OF {{BitsClientJob.JobId='{nobody}'}}"),
        ):
            self.assertEqual(self.code(act), CANNOT_PROCESS_FILTER)

    def code(self, act: object) -> int:
        """The number of the fault that it ends with."""
        with self.assertRaises(WSManFaultError) as fault:
            act()  # type: ignore[operator]
        self.assertTrue(fault.exception.reason)
        return int(fault.exception.code)

    def test_filters_that_are_wrong_are_faults(self) -> None:
        for text in (
            "",
            "SELECT",
            "SELECT * FROM",
            "SELECT * FROM BitsClientTrain",
            "SELECT * FROM BitsClientJob WHERE",
            "SELECT * FROM BitsClientJob WHERE Colour = 'red'",
            "SELECT Colour FROM BitsClientJob",
            "SELECT * FROM BitsClientJob WHERE Files = 'x'",
            "SELECT * FROM BitsClientJob WHERE State = 'three'",
            "SELECT * FROM BitsClientJob WHERE (State = 3",
            "SELECT * FROM BitsClientJob WHERE State = 3 GARBAGE",
            "SELECT * FROM BitsClientJob WITHIN 5 WHERE State = 3",
        ):
            with self.subTest(text):
                self.assertEqual(self.code(lambda text=text: self.query(text)), CANNOT_PROCESS_FILTER)
        unknown = dialect("http://example.com/my-own", "x")
        self.assertEqual(self.code(lambda: self.enumerate(JOB, unknown)), 2150858777)
        self.assertEqual(self.code(lambda: self.enumerate(ALL)), 2150858831)
        self.assertEqual(self.code(lambda: self.enumerate(JOB, JobId=self.jobs["a-1"])), 2150859016)

    def test_create_makes_a_suspended_job(self) -> None:
        url, source = self.source()
        body = ET.Element(f"{{{JOB}}}BitsClientJob")
        for name, text in {"DisplayName": "made", "Priority": "1", "MinimumRetryDelay": "60"}.items():
            ET.SubElement(body, f"{{{JOB}}}{name}").text = text
        file = ET.SubElement(body, f"{{{JOB}}}Files")
        ET.SubElement(file, f"{{{JOB}}}RemoteUrl").text = url
        ET.SubElement(file, f"{{{JOB}}}LocalFile").text = str(self.target())
        created = self.wsman.create(JOB, body)
        self.assertEqual(created[0].tag, f"{{{X}}}ResourceCreated")
        parameters = created[0].find(f"{{{A}}}ReferenceParameters")
        assert parameters is not None
        self.assertEqual(parameters.findtext(f"{{{W}}}ResourceURI"), JOB)
        job = key(created[0])
        seen = self.client.get(job)
        self.assertEqual((seen.state, seen.number("Priority"), seen.number("MinimumRetryDelay")), (3, 1, 60))
        self.assertEqual(seen.files[0]["RemoteUrl"], url)
        self.client.set_state(job, 2)
        self.client.wait_for(job, 6)
        self.client.set_state(job, 1)
        self.assert_same(self.target(), source.data)

    def test_create_refuses_what_it_cannot_make(self) -> None:
        before = len(list(self.client.jobs()))
        for values, wanted in (
            ({"DisplayName": "x", "Colour": "red"}, 2150858817),
            ({"DisplayName": "x", "State": "6"}, 2150858838),
            ({"DisplayName": "x", "Priority": "high"}, 2150858838),
            ({"Priority": "1"}, 2150858839),
        ):
            body = ET.Element(f"{{{JOB}}}BitsClientJob")
            for name, text in values.items():
                ET.SubElement(body, f"{{{JOB}}}{name}").text = text
            with self.subTest(values=values):
                self.assertEqual(self.code(lambda body=body: self.wsman.create(JOB, body)), wanted)
        self.assertEqual(len(list(self.client.jobs())), before)

    def test_fragments_are_read_and_written(self) -> None:
        job = self.client.create_job("parts", self.origin.url("/never"), self.target())

        def fragment(action: str, path: str, body: str = "") -> ET.Element:
            header = f'<w:FragmentTransfer s:mustUnderstand="true">{path}</w:FragmentTransfer>'
            return self.client.call(f"{X}/{action}", body, {"JobId": job}, header=header)[0]

        self.assertEqual(fragment("Get", "Files[1]/LocalFile/text()").text, str(self.target()))
        self.assertEqual(len(fragment("Get", "Files[2]")), 0)
        # wsl and Windows send the child without a namespace.
        fragment("Put", "DisplayName", "<w:XmlFragment><DisplayName>parted</DisplayName></w:XmlFragment>")
        fragment("Put", "Priority/text()", "<w:XmlFragment>1</w:XmlFragment>")
        seen = self.client.get(job)
        self.assertEqual((seen.values["DisplayName"], seen.number("Priority")), ("parted", 1))
        self.client.delete(job)

    def test_class_metadata_is_what_instances_are(self) -> None:
        options = OptionSet()
        for name in ("IncludeInheritanceHierarchy", "IncludeInheritedElements", "IncludeQualifiers", "IncludeClassOrigin"):
            options.add_option(name, "true")
        chosen = selectors(__cimnamespace=NAMESPACE, ClassName="bitsclientjob")
        body = self.wsman.get(SCHEMA, selector_set=chosen, option_set=options)
        declared = body[0]
        self.assertEqual((declared.tag, declared.get("NAME")), ("CLASS", "BitsClientJob"))
        names = {p.get("NAME") for p in declared if p.tag.startswith("PROPERTY")}
        instance = self.wsman.get(JOB, selector_set=selectors(JobId=self.jobs["a-0"]))[0]
        self.assertEqual(names, {child.tag.rsplit("}", 1)[1] for child in instance})
        kinds = {p.get("NAME"): p.get("TYPE") for p in declared if p.tag == "PROPERTY"}
        self.assertEqual((kinds["BytesTotal"], kinds["State"], kinds["JobId"]), ("uint64", "uint16", "string"))
        keyed = [
            p.get("NAME") for p in declared
            if any(q.get("NAME", "").lower() == "key" and q.findtext("VALUE") == "TRUE" for q in p.findall("QUALIFIER"))
        ]
        self.assertEqual(keyed, ["JobId"])
        methods = {m.get("NAME") for m in declared.findall("METHOD")}
        self.assertLessEqual({"CreateJob", "AddFile", "SetJobState", "GetError"}, methods)
        listed = self.enumerate(SCHEMA, __cimnamespace=NAMESPACE, ClassName="")
        self.assertLessEqual({"BitsClientJob", "BitsClientFile"}, {item.get("NAME") for item in listed})
        wrong = selectors(__cimnamespace=NAMESPACE, ClassName="BitsClientTrain")
        self.assertEqual(self.code(lambda: self.wsman.get(SCHEMA, selector_set=wrong)), 2150858752)

    def test_a_sentence_comes_in_portuguese_to_who_asks_for_it(self) -> None:
        self.wsman.locale = "pt-BR"
        missing = selectors(JobId="{00000000-0000-0000-0000-000000000000}")
        with self.assertRaises(WSManFaultError) as fault:
            self.wsman.get(JOB, selector_set=missing)
        portuguese = fault.exception.reason
        self.wsman.locale = "de-DE"
        with self.assertRaises(WSManFaultError) as fault:
            self.wsman.get(JOB, selector_set=missing)
        self.assertNotEqual(portuguese, fault.exception.reason)
        self.assertRegex(portuguese, "[ãçáéíóúêõ]|não|instância")


class Pywinrm(WithJobs):
    """pywinrm's Protocol: messages by hand, shells refused."""

    def protocol(self) -> Protocol:
        return Protocol(
            self.daemon.endpoint, transport="ssl", username=self.daemon.alice.name,
            password=self.daemon.alice.password, ca_trust_path=str(self.daemon.certificate),
        )

    def message(self, action: str, uri: str, body: str, more: str = "") -> str:
        """As pywinrm writes them: a host of its own, mustUnderstand without a prefix."""
        return (
            f'<?xml version="1.0" encoding="utf-8"?><env:Envelope xmlns:xsi="{XSI}" xmlns:env="{S}" xmlns:a="{A}" '
            f'xmlns:n="{N}" xmlns:w="{W}" xmlns:cfg="http://schemas.microsoft.com/wbem/wsman/1/config"><env:Header>'
            f'<a:To>http://windows-host:5985/wsman</a:To><a:ReplyTo><a:Address mustUnderstand="true">{A}/role/anonymous'
            f'</a:Address></a:ReplyTo><w:MaxEnvelopeSize mustUnderstand="true">153600</w:MaxEnvelopeSize>'
            f"<a:MessageID>uuid:{uuid.uuid4()}</a:MessageID>"
            f'<w:Locale mustUnderstand="false" xml:lang="en-US"/><w:OperationTimeout>PT20S</w:OperationTimeout>'
            f'<w:ResourceURI mustUnderstand="true">{uri}</w:ResourceURI><a:Action mustUnderstand="true">{action}</a:Action>'
            f"{more}</env:Header><env:Body>{body}</env:Body></env:Envelope>"
        )

    def test_messages_are_answered(self) -> None:
        body = (
            f'<n:Enumerate><w:OptimizeEnumeration/><w:MaxElements>32000</w:MaxElements><w:Filter Dialect="{WQL}">'
            "SELECT DisplayName FROM BitsClientJob WHERE Priority=0</w:Filter></n:Enumerate>"
        )
        answer = ET.fromstring(self.protocol().send_message(self.message(f"{N}/Enumerate", ALL, body)))
        names = [item.findtext("DisplayName") for item in answer.iter(f"{{{W}}}XmlFragment")]
        self.assertEqual(sorted(name or "" for name in names), ["a-0", "a-3", "a-6", "a-9"])
        chosen = f'<w:SelectorSet><w:Selector Name="JobId">{self.jobs["a-2"]}</w:Selector></w:SelectorSet>'
        answer = ET.fromstring(self.protocol().send_message(self.message(f"{X}/Get", JOB, "", chosen)))
        self.assertEqual(answer.findtext(f".//{{{JOB}}}DisplayName"), "a-2")

    def test_a_shell_is_refused_in_words(self) -> None:
        with self.assertRaises(winrm.exceptions.WSManFaultError) as fault:
            self.protocol().open_shell()
        self.assertEqual(fault.exception.wsman_fault_code, 2150858811)
        self.assertIn("shell", fault.exception.reason)


class PythonWsmanClient(WithJobs):
    """python-wsmanclient sends no Content-Type and pulls by itself."""

    def setUp(self) -> None:
        super().setUp()
        requests.packages.urllib3.disable_warnings()  # type: ignore[attr-defined]
        alice = self.daemon.alice
        self.theirs = WsmanClient("127.0.0.1", alice.name, alice.password, self.daemon.port)

    def test_a_query_is_pulled_to_its_end(self) -> None:
        query = "SELECT * FROM BitsClientJob WHERE Priority=2"
        root = self.theirs.enumerate(ALL, optimization=False, max_elems=2, filter_query=query, filter_dialect="wql")
        names = [element.text for element in root.iter(f"{{{JOB}}}DisplayName")]
        self.assertEqual(sorted(names), ["a-1", "a-2", "a-4", "a-5", "a-7", "a-8"])

    def test_a_dialect_that_is_not_spoken_is_refused(self) -> None:
        with self.assertRaises(InvalidResponse):
            self.theirs.enumerate(ALL, filter_query="SELECT * FROM BitsClientJob", filter_dialect="cql")


def dialect(uri: str, text: str) -> ET.Element:
    """A filter."""
    filter_ = ET.Element(f"{{{W}}}Filter", Dialect=uri)
    filter_.text = text
    return filter_


def key(reference: ET.Element) -> str:
    """The JobId in an endpoint reference."""
    chosen = reference.findall(f"{{{A}}}ReferenceParameters/{{{W}}}SelectorSet/{{{W}}}Selector")
    return next(one.text or "" for one in chosen if one.get("Name") == "JobId")
