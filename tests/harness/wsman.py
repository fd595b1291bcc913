"""A plain WS-Management client: one connection, one account, no cleverness.

It sends what it is told and takes answers apart; real clients are driven by
the programs in `clients`.
"""

from __future__ import annotations

import base64
import http.client
import ssl
import time
import uuid
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

S = "http://www.w3.org/2003/05/soap-envelope"
A = "http://schemas.xmlsoap.org/ws/2004/08/addressing"
X = "http://schemas.xmlsoap.org/ws/2004/09/transfer"
N = "http://schemas.xmlsoap.org/ws/2004/09/enumeration"
W = "http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd"
P = "http://schemas.microsoft.com/wbem/wsman/1/wsman.xsd"
F = "http://schemas.microsoft.com/wbem/wsman/1/wsmanfault"
WSMID = "http://schemas.dmtf.org/wbem/wsman/identity/1/wsmanidentity.xsd"
XSI = "http://www.w3.org/2001/XMLSchema-instance"
ANONYMOUS = f"{A}/role/anonymous"
SELECTOR_FILTER = "http://schemas.dmtf.org/wbem/wsman/1/wsman/SelectorFilter"
WQL = "http://schemas.microsoft.com/wbem/wsman/1/WQL"

JOB = "http://schemas.microsoft.com/wbem/wsman/1/wmi/root/microsoft/bits/BitsClientJob"
BITSD_JOB = "http://schemas.microsoft.com/wbem/wsman/1/wmi/root/bitsd/BitsdJob"
CIM_JOB = "http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/BitsClientJob"

CANCEL, COMPLETE, RESUME, SUSPEND = 0, 1, 2, 3
QUEUED, CONNECTING, TRANSFERRING, SUSPENDED, ERROR, TRANSIENT_ERROR, TRANSFERRED = range(7)
FAULT_PREFIX = "http://schemas.dmtf.org/wbem/wsman/1/wsman/faultDetail/"

CONTENT_TYPE = "application/soap+xml;charset=UTF-8"
IDENTIFY = (
    f'<s:Envelope xmlns:s="{S}" xmlns:wsmid="{WSMID}"><s:Header/>'
    "<s:Body><wsmid:Identify/></s:Body></s:Envelope>"
)


@dataclass(frozen=True)
class Account:
    """A name and its password."""

    name: str
    password: str

    @property
    def basic(self) -> str:
        """The value of the header `Authorization`."""
        return "Basic " + base64.b64encode(f"{self.name}:{self.password}".encode()).decode()


@dataclass
class Answer:
    """What came back over HTTP."""

    status: int
    headers: dict[str, str]
    body: bytes

    def root(self) -> ET.Element:
        """The envelope."""
        return ET.fromstring(self.body)


class Fault(Exception):
    """A SOAP fault."""

    def __init__(self, status: int, root: ET.Element) -> None:
        fault = root.find(f"{{{S}}}Body/{{{S}}}Fault")
        assert fault is not None, "an answer of status 500 without a fault"
        self.status = status
        self.action = root.findtext(f"{{{S}}}Header/{{{A}}}Action", "")
        self.code = _local(fault.findtext(f"{{{S}}}Code/{{{S}}}Value", ""))
        self.subcode = _local(fault.findtext(f"{{{S}}}Code/{{{S}}}Subcode/{{{S}}}Value", ""))
        self.reason = fault.findtext(f"{{{S}}}Reason/{{{S}}}Text", "")
        detail = fault.findtext(f"{{{S}}}Detail/{{{W}}}FaultDetail", "").strip()
        self.detail = detail.rsplit("/", 1)[-1]
        self.codes = [int(found.get("Code", "0")) for found in fault.iter(f"{{{F}}}WSManFault")]
        self.text = "".join(fault.itertext())
        super().__init__(f"{self.subcode} {self.detail} {self.codes}: {self.reason}")


@dataclass
class Job:
    """A job as Get shows it."""

    values: dict[str, str | None]
    files: list[dict[str, str | None]] = field(default_factory=list)
    files_nil: bool = False

    def number(self, name: str) -> int:
        """A numeric property."""
        text = self.values[name]
        assert text is not None, f"{name} is nil"
        return int(text)

    @property
    def id(self) -> str:
        """The key."""
        text = self.values["JobId"]
        assert text
        return text

    @property
    def state(self) -> int:
        """The state."""
        return self.number("State")


class Client:
    """A keep-alive connection with preemptive Basic."""

    def __init__(self, port: int, account: Account | None, certificate: Path) -> None:
        self.port = port
        self.account = account
        self.certificate = certificate
        self._connection: http.client.HTTPSConnection | None = None

    def close(self) -> None:
        """Drops the connection."""
        if self._connection:
            self._connection.close()
            self._connection = None

    def post(
        self,
        body: bytes,
        headers: dict[str, str] | None = None,
        path: str = "/wsman",
        method: str = "POST",
    ) -> Answer:
        """One exchange. A connection that was closed meanwhile is made anew once."""
        wanted = {"Content-Type": CONTENT_TYPE}
        if self.account:
            wanted["Authorization"] = self.account.basic
        wanted.update(headers or {})
        wanted = {name: value for name, value in wanted.items() if value}
        fresh = self._connection is None
        try:
            return self._exchange(method, path, body, wanted)
        except (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError, ssl.SSLEOFError):
            self.close()
            if fresh:
                raise
            return self._exchange(method, path, body, wanted)
        except (OSError, http.client.HTTPException):
            self.close()
            raise

    def connection(self) -> http.client.HTTPSConnection:
        """The connection, made on first use."""
        if self._connection is None:
            context = ssl.create_default_context(cafile=str(self.certificate))
            self._connection = http.client.HTTPSConnection(
                "127.0.0.1", self.port, timeout=90, context=context
            )
        return self._connection

    def send(self, envelope: str) -> ET.Element:
        """Posts an envelope; a fault is raised."""
        answer = self.post(envelope.encode())
        if answer.status not in (200, 500):
            raise AssertionError(f"HTTP {answer.status}: {answer.body[:300]!r}")
        root = answer.root()
        if answer.status == 500:
            raise Fault(answer.status, root)
        return root

    def call(
        self,
        action: str,
        body: str = "",
        selectors: dict[str, str] | None = None,
        resource: str = JOB,
        header: str = "",
        max_envelope_size: int | None = 512_000,
    ) -> ET.Element:
        """One operation; the body's element that came back."""
        root = self.send(envelope(action, body, selectors, resource, header, max_envelope_size))
        inner = root.find(f"{{{S}}}Body")
        assert inner is not None, "an answer without body"
        return inner

    def invoke(self, method: str, values: Mapping[str, object], job: str | None = None) -> dict[str, str]:
        """Calls a method; its out parameters."""
        selectors = {"JobId": job} if job else None
        found = self.call(f"{JOB}/{method}", method_input(method, values), selectors)
        output = found[0]
        assert output.tag == f"{{{JOB}}}{method}_OUTPUT", output.tag
        return {_local(child.tag): child.text or "" for child in output}

    def create_job(
        self, name: str, url: str, path: str | Path, suspended: bool = True, **more: object
    ) -> str:
        """CreateJob; the key."""
        values = {"DisplayName": name, "RemoteUrl": url, "LocalFile": str(path), "Type": 0}
        output = self.invoke("CreateJob", {**values, "Suspend": suspended, **more})
        assert output["ReturnValue"] == "0", output
        return output["JobId"]

    def create_bitsd_job(self, name: str, url: str, path: str | Path, **more: object) -> str:
        """CreateJob of our own class, suspended; the key."""
        values = {"DisplayName": name, "RemoteUrl": url, "LocalFile": str(path), "Suspend": True, **more}
        body = method_input("CreateJob", values, BITSD_JOB)
        answer = self.call(f"{BITSD_JOB}/CreateJob", body, resource=BITSD_JOB)
        job = answer.findtext(f".//{{{BITSD_JOB}}}JobId")
        assert job, "a job without a key"
        return job

    def add_file(self, job: str, url: str, path: str | Path) -> None:
        """AddFile."""
        output = self.invoke("AddFile", {"remoteUrl": url, "localFile": str(path)}, job)
        assert output["ReturnValue"] == "0", output

    def set_state(self, job: str, command: int) -> None:
        """SetJobState."""
        output = self.invoke("SetJobState", {"JobState": command}, job)
        assert output["ReturnValue"] == "0", output

    def error(self, job: str) -> dict[str, str]:
        """GetError."""
        return self.invoke("GetError", {"LanguageId": 1033}, job)

    def get(self, job: str, max_envelope_size: int | None = 512_000) -> Job:
        """Get."""
        body = self.call(f"{X}/Get", selectors={"JobId": job}, max_envelope_size=max_envelope_size)
        return parse_job(body[0])

    def put(self, job: str, values: Mapping[str, object]) -> Job:
        """Put of a partial instance."""
        inner = "".join(f"<p:{k}>{escape(str(v))}</p:{k}>" for k, v in values.items())
        text = f'<p:BitsClientJob xmlns:p="{JOB}">{inner}</p:BitsClientJob>'
        return parse_job(self.call(f"{X}/Put", text, {"JobId": job})[0])

    def delete(self, job: str) -> None:
        """Delete."""
        self.call(f"{X}/Delete", selectors={"JobId": job})

    def jobs(self, most: int = 100) -> Iterator[Job]:
        """Enumerates objects, page by page."""
        inner = f"<w:OptimizeEnumeration/><w:MaxElements>{most}</w:MaxElements>"
        answer = self.call(f"{N}/Enumerate", f"<n:Enumerate>{inner}</n:Enumerate>")[0]
        items = answer.find(f"{{{W}}}Items")
        while True:
            yield from (parse_job(item) for item in (items if items is not None else ()))
            context = answer.findtext(f"{{{N}}}EnumerationContext", "")
            if not context:
                return
            pull = (
                f"<n:Pull><n:EnumerationContext>{context}</n:EnumerationContext>"
                f"<n:MaxElements>{most}</n:MaxElements></n:Pull>"
            )
            answer = self.call(f"{N}/Pull", pull)[0]
            items = answer.find(f"{{{N}}}Items")

    def wait_for(self, job: str, wanted: int | Callable[[Job], bool], within: float = 60.0) -> Job:
        """Polls until the job is in the state `wanted` or `wanted` holds."""
        deadline = time.monotonic() + within
        while True:
            seen = self.get(job)
            if seen.state == wanted if isinstance(wanted, int) else wanted(seen):
                return seen
            if time.monotonic() > deadline or (wanted == TRANSFERRED and seen.state == ERROR):
                raise AssertionError(f"waited for {wanted}, job is {seen.values}: {self.error(job)}")
            time.sleep(0.02)

    def _exchange(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> Answer:
        connection = self.connection()
        connection.request(method, path, body=body, headers=headers)
        got = connection.getresponse()
        return Answer(got.status, {k.lower(): v for k, v in got.getheaders()}, got.read())


def envelope(
    action: str,
    body: str = "",
    selectors: dict[str, str] | None = None,
    resource: str = JOB,
    header: str = "",
    max_envelope_size: int | None = 512_000,
) -> str:
    """A request in the order and with the prefixes of a Windows client."""
    chosen = "".join(
        f"<w:Selector Name={quoteattr(name)}>{escape(value)}</w:Selector>"
        for name, value in (selectors or {}).items()
    )
    size = (
        f'<w:MaxEnvelopeSize s:mustUnderstand="true">{max_envelope_size}</w:MaxEnvelopeSize>'
        if max_envelope_size is not None
        else ""
    )
    return (
        f'<s:Envelope xmlns:s="{S}" xmlns:a="{A}" xmlns:n="{N}" xmlns:w="{W}" xmlns:p="{P}"><s:Header>'
        f'<a:To>https://127.0.0.1/wsman</a:To><w:ResourceURI s:mustUnderstand="true">{resource}</w:ResourceURI>'
        f'<a:ReplyTo><a:Address s:mustUnderstand="true">{ANONYMOUS}</a:Address></a:ReplyTo>'
        f'<a:Action s:mustUnderstand="true">{action}</a:Action>{size}'
        f"<a:MessageID>uuid:{str(uuid.uuid4()).upper()}</a:MessageID>"
        f'<w:Locale xml:lang="en-US" s:mustUnderstand="false"/>{header}'
        + (f"<w:SelectorSet>{chosen}</w:SelectorSet>" if chosen else "")
        + f"<w:OperationTimeout>PT60.000S</w:OperationTimeout></s:Header><s:Body>{body}</s:Body></s:Envelope>"
    )


def method_input(method: str, values: Mapping[str, object], resource: str = JOB) -> str:
    """The body of a method call; a list is repeated, None is nil."""
    children = []
    for name, value in values.items():
        for one in value if isinstance(value, list) else [value]:
            if one is None:
                children.append(f'<p:{name} xmlns:xsi="{XSI}" xsi:nil="true"/>')
            else:
                children.append(f"<p:{name}>{escape(str(one))}</p:{name}>")
    return f'<p:{method}_INPUT xmlns:p="{resource}">{"".join(children)}</p:{method}_INPUT>'


def parse_job(element: ET.Element) -> Job:
    """An instance of BitsClientJob."""
    assert _local(element.tag) == "BitsClientJob", element.tag
    job = Job({})
    for child in element:
        name = _local(child.tag)
        nil = child.get(f"{{{XSI}}}nil") == "true"
        if name == "Files":
            job.files_nil = nil
            if not nil:
                job.files.append({_local(part.tag): part.text for part in child})
        else:
            assert name not in job.values, f"{name} twice"
            job.values[name] = None if nil else child.text or ""
    return job


def identify_anonymously(port: int, certificate: Path) -> int:
    """The status of an Identify without log-on."""
    client = Client(port, None, certificate)
    try:
        return client.post(IDENTIFY.encode(), {"WSMANIDENTIFY": "unauthenticated"}).status
    finally:
        client.close()


def _local(name: str) -> str:
    return name.rsplit("}", 1)[-1].rsplit(":", 1)[-1]
