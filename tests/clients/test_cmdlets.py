"""PowerShell's WSMan cmdlets, by their own rules.

The rules are those of the cmdlets' sources: Set-WSManInstance gets the
instance, looks for exactly one child whose local name equals the key
case-sensitively and which holds at most one text node, drops its xsi:nil, sets
the text and puts the whole document; Invoke-WSManAction concatenates its
values unescaped in the order of a hash table.
"""

from __future__ import annotations

import random
import time
import xml.etree.ElementTree as ET

from clients.base import WithDaemon
from harness.wsman import JOB, W, X, XSI, Client, Fault, envelope


class CmdletError(Exception):
    """What the cmdlet says before it sends anything."""


class PowerShell:
    """The cmdlets, over one session."""

    def __init__(self, client: Client, seed: str) -> None:
        self.client = client
        self.random = random.Random(seed)

    def invoke_action(self, action: str, values: dict[str, object], selectors: dict[str, str] | None = None) -> ET.Element:
        """Invoke-WSManAction: no escaping, any order."""
        order = list(values.items())
        self.random.shuffle(order)
        inner = "".join(f"<p:{key}>{value}</p:{key}>" for key, value in order)
        body = f'<p:{action}_INPUT xmlns:p="{JOB}">{inner}</p:{action}_INPUT>'
        answer = self.client.call(f"{JOB}/{action}", body, selectors)
        return answer[0]

    def new_instance(self, values: dict[str, object]) -> dict[str, str]:
        """New-WSManInstance: the element has the name of the URI's last segment; the selectors of what was made."""
        order = list(values.items())
        self.random.shuffle(order)
        inner = "".join(f"<p:{key}>{value}</p:{key}>" for key, value in order)
        name = JOB.rsplit("/", 1)[-1]
        answer = self.client.call(f"{X}/Create", f'<p:{name} xmlns:p="{JOB}">{inner}</p:{name}>')
        created = answer[0]
        if created.tag != f"{{{X}}}ResourceCreated":
            raise CmdletError("no ResourceCreated")
        found = created.iterfind(f".//{{{W}}}Selector")
        return {selector.attrib["Name"]: selector.text or "" for selector in found}

    def remove_instance(self, selectors: dict[str, str]) -> None:
        """Remove-WSManInstance."""
        self.client.call(f"{X}/Delete", "", selectors)

    def get_instance(self, selectors: dict[str, str]) -> ET.Element:
        """Get-WSManInstance."""
        return self.client.call(f"{X}/Get", "", selectors)[0]

    def set_instance(self, selectors: dict[str, str], values: dict[str, object]) -> ET.Element:
        """Set-WSManInstance."""
        document = self.get_instance(selectors)
        for key, value in values.items():
            found = [child for child in document if child.tag.rsplit("}", 1)[-1] == key]
            if len(found) != 1:
                raise CmdletError(f"{len(found)} elements {key}")
            if len(found[0]):
                raise CmdletError(f"{key} is structured")
            found[0].attrib.pop(f"{{{XSI}}}nil", None)
            found[0].text = str(value)
        answer = self.client.call(f"{X}/Put", ET.tostring(document, encoding="unicode"), selectors)
        if len(answer) == 0:
            raise CmdletError("PutResponse without a body")
        return answer[0]


def adapted(element: ET.Element, name: str) -> str:
    """`$result.Name`: PowerShell's XML adapter, which is blind to case."""
    for child in element:
        if child.tag.rsplit("}", 1)[-1].lower() == name.lower():
            assert not child.attrib and len(child) == 0, f"{name} is no plain string to the adapter"
            return child.text or ""
    raise AssertionError(f"no {name}")


class Cmdlets(WithDaemon):
    """The script of "Using WinRM Windows PowerShell Cmdlets to Manage BITS Transfer Jobs"."""

    def setUp(self) -> None:
        super().setUp()
        self.shell = PowerShell(self.client, self.id())

    def create(self) -> dict[str, str]:
        url, self.served = self.source(size=2_000_000)
        values = {"DisplayName": "TestJob", "RemoteUrl": url, "LocalFile": self.target(), "Type": 0, "Suspend": True}
        result = self.shell.invoke_action("CreateJob", values)
        return {"JobId": adapted(result, "JobId")}

    def test_the_documented_script_runs(self) -> None:
        key = self.create()
        self.shell.set_instance(key, {"Priority": 0})
        self.shell.invoke_action("SetJobState", {"JobState": 2}, key)
        deadline = time.monotonic() + 30
        while True:
            result = self.shell.get_instance(key)
            state = adapted(result, "State")
            if state == "6":
                # The script overwrites its variable: the key must be in here.
                self.shell.invoke_action("SetJobState", {"JobState": 1}, {"JobId": adapted(result, "JobId")})
                break
            self.assertNotIn(state, ("4", "5"))
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.05)
        self.assert_same(self.target(), self.served.data)

    def test_set_instance_finds_every_settable_property_though_it_is_empty(self) -> None:
        key = self.create()
        wanted = {
            "DisplayName": "renamed",
            "Description": "now with words",
            "Priority": 3,
            "MinimumRetryDelay": 30,
            "NoProgressTimeout": 7_200,
        }
        for name, value in wanted.items():
            self.assertEqual(adapted(self.shell.set_instance(key, {name: value}), name), str(value))
        result = self.shell.get_instance(key)
        self.assertEqual({name: adapted(result, name) for name in wanted}, {k: str(v) for k, v in wanted.items()})

    def test_new_instance_makes_a_suspended_job_and_remove_instance_cancels_it(self) -> None:
        wanted = {"DisplayName": "new", "Description": "by New-WSManInstance", "Priority": 1, "NoProgressTimeout": 60}
        key = self.shell.new_instance(wanted)
        result = self.shell.get_instance(key)
        self.assertEqual({name: adapted(result, name) for name in wanted}, {k: str(v) for k, v in wanted.items()})
        self.assertEqual(adapted(result, "State"), "3")
        self.assertEqual(adapted(result, "JobId"), key["JobId"])
        url, served = self.source(size=100_000)
        self.shell.invoke_action("AddFile", {"RemoteUrl": url, "LocalFile": self.target()}, key)
        self.shell.invoke_action("SetJobState", {"JobState": 2}, key)
        self.client.wait_for(key["JobId"], 6)
        self.shell.invoke_action("SetJobState", {"JobState": 1}, key)
        self.assert_same(self.target(), served.data)
        key = self.shell.new_instance({"DisplayName": "soon gone"})
        self.shell.remove_instance(key)
        with self.assertRaises(Fault):
            self.shell.get_instance(key)

    def test_new_instance_of_what_cannot_be_made_leaves_nothing(self) -> None:
        before = len(list(self.client.jobs()))
        for values in (
            {"Priority": 0},
            {"DisplayName": "n", "Priority": 9},
            {"DisplayName": "n", "State": 1},
            {"DisplayName": "n", "Colour": "red"},
        ):
            with self.assertRaises(Fault):
                self.shell.new_instance(values)
        self.assertEqual(len(list(self.client.jobs())), before)

    def test_set_instance_is_case_sensitive_on_the_client(self) -> None:
        key = self.create()
        with self.assertRaises(CmdletError):
            self.shell.set_instance(key, {"priority": 0})
        with self.assertRaises(CmdletError):
            self.shell.set_instance(key, {"Files": 0})

    def test_read_only_properties_may_come_back_though_they_moved(self) -> None:
        key = self.create()
        changed = self.shell.set_instance(
            key, {"BytesTransferred": 1, "State": 6, "Owner": "nobody", "FilesTotal": 9, "Priority": 1}
        )
        self.assertEqual(adapted(changed, "Priority"), "1")
        self.assertEqual(adapted(changed, "State"), "3")
        self.assertEqual(adapted(changed, "Owner"), self.daemon.alice.name)
        self.assertEqual(adapted(changed, "FilesTotal"), "1")

    def test_an_unescaped_ampersand_is_a_fault_and_makes_no_job(self) -> None:
        before = len(list(self.client.jobs()))
        body = f'<p:CreateJob_INPUT xmlns:p="{JOB}"><p:RemoteUrl>http://h/?a=1&b=2</p:RemoteUrl></p:CreateJob_INPUT>'
        answer = self.client.post(envelope(f"{JOB}/CreateJob", body).encode())
        self.assertEqual(answer.status, 500)
        self.assertIn(b"SchemaValidationError", answer.body)
        self.assertEqual(len(list(self.client.jobs())), before)

    def test_put_that_changes_the_key_is_refused(self) -> None:
        key = self.create()
        with self.assertRaises(Exception) as fault:
            self.shell.set_instance(key, {"JobId": "{00000000-1111-2222-3333-444444444444}"})
        self.assertEqual(type(fault.exception).__name__, "Fault")
