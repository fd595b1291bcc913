"""Requests of small clients: what they leave out must not matter."""

from __future__ import annotations

import base64
import json
import ssl
import urllib.request
import xml.etree.ElementTree as ET

import requests

from clients.base import WithDaemon
from harness.wsman import ANONYMOUS, A, IDENTIFY, JOB, N, S, W, X, envelope, method_input, parse_job

ENUMERATE = f"""<?xml version="1.0"?>
<s:Envelope xmlns:s="{S}" xmlns:wsa="{A}" xmlns:wsen="{N}" xmlns:wsman="{W}">
  <s:Header>
    <wsa:Action s:mustUnderstand="true">{N}/Enumerate</wsa:Action>
    <wsa:To s:mustUnderstand="true">https://host/wsman</wsa:To>
    <wsman:ResourceURI s:mustUnderstand="true">{JOB}</wsman:ResourceURI>
    <wsa:MessageID s:mustUnderstand="true">uuid:5b1f1d8a-bfd3-1bd3-8002-1d2a1bd3bfd3</wsa:MessageID>
    <wsa:ReplyTo><wsa:Address>{ANONYMOUS}</wsa:Address></wsa:ReplyTo>
  </s:Header>
  <s:Body><wsen:Enumerate/></s:Body>
</s:Envelope>"""


class Minimal(WithDaemon):
    """python-wsmanclient, pywinrm and wsman-messages in outline."""

    def test_python_requests_without_a_content_type_enumerate_and_pull(self) -> None:
        url, _ = self.source()
        job = self.client.create_job("small", url, self.target())
        account = self.daemon.alice
        with requests.Session() as session:
            session.auth = (account.name, account.password)
            # Else a bundle that the environment names takes its place.
            session.trust_env = False
            session.verify = str(self.daemon.certificate)
            answer = session.post(self.daemon.endpoint, data=ENUMERATE.encode())
            self.assertEqual(answer.status_code, 200, answer.text)
            self.assertNotIn("Content-Type", answer.request.headers)
            found = []
            context = ET.fromstring(answer.content).findtext(f".//{{{N}}}EnumerationContext")
            while context:
                pull = ENUMERATE.replace(f"{N}/Enumerate", f"{N}/Pull").replace(
                    "<wsen:Enumerate/>",
                    f"<wsen:Pull><wsen:EnumerationContext>{context}</wsen:EnumerationContext></wsen:Pull>",
                )
                answer = session.post(self.daemon.endpoint, data=pull.encode())
                self.assertEqual(answer.status_code, 200, answer.text)
                root = ET.fromstring(answer.content)
                items = list(root.find(f".//{{{N}}}Items") or ())
                self.assertLessEqual(len(items), 1, "one item, for a Pull that asks for no number")
                found += [parse_job(item).id for item in items]
                context = root.findtext(f".//{{{N}}}EnumerationContext")
        self.assertIn(job, found)

    def test_the_path_may_end_in_a_slash_and_carry_a_query(self) -> None:
        for path in ("/wsman", "/wsman/", "/wsman?PSVersion=5.1.17763.1"):
            answer = self.client.post(IDENTIFY.encode(), path=path)
            self.assertEqual(answer.status, 200, path)

    def test_message_ids_of_every_shape_come_back_verbatim(self) -> None:
        for message in ("uuid:ABCDEF00-1111-2222-3333-444444444444", "urn:uuid:a", "0", "7F3A", " x y "):
            text = envelope(f"{N}/Enumerate", "<n:Enumerate/>")
            start, end = text.index("<a:MessageID>") + 13, text.index("</a:MessageID>")
            root = self.client.send(text[:start] + message + text[end:])
            self.assertEqual(root.findtext(f".//{{{A}}}RelatesTo", "").strip(), message.strip())

    def test_the_soap_namespace_may_be_the_default_one(self) -> None:
        text = envelope(f"{N}/Enumerate", "<n:Enumerate/>")
        for part in ("Envelope", "Header", "Body"):
            text = text.replace(f"<s:{part}", f"<{part}").replace(f"</s:{part}", f"</{part}")
        text = text.replace("<Envelope ", f'<Envelope xmlns="{S}" ', 1)
        self.assertEqual(self.client.post(text.encode()).status, 200)

    def test_an_unqualified_must_understand_is_ignored(self) -> None:
        text = envelope(f"{N}/Enumerate", "<n:Enumerate/>", header='<x:Y xmlns:x="urn:x" mustUnderstand="true"/>')
        self.assertEqual(self.client.post(text.encode()).status, 200)

    def test_undeclared_prefixes_in_type_attributes_are_plain_text(self) -> None:
        url, _ = self.source()
        job = self.client.create_job("types", url, self.target())
        body = (
            f'<p:SetJobState_INPUT xmlns:p="{JOB}" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'
            ' xsi:type="SetJobState_INPUT_Type"><p:JobState xsi:type="cim:cimUnsignedShort">0</p:JobState>'
            "</p:SetJobState_INPUT>"
        )
        answer = self.client.call(f"{JOB}/SetJobState", body, {"JobId": job})
        self.assertEqual(answer.findtext(f".//{{{JOB}}}ReturnValue"), "0")

    def test_urllib_closing_each_connection_works(self) -> None:
        account = self.daemon.alice
        context = ssl.create_default_context(cafile=str(self.daemon.certificate))
        token = base64.b64encode(f"{account.name}:{account.password}".encode()).decode()
        for _ in range(3):
            request = urllib.request.Request(
                self.daemon.endpoint,
                IDENTIFY.encode(),
                {"Authorization": f"Basic {token}", "Content-Type": "application/soap+xml"},
            )
            with urllib.request.urlopen(request, context=context, timeout=30) as answer:
                self.assertEqual(answer.status, 200)

    def test_utf_16_is_answered_in_utf_16(self) -> None:
        url, _ = self.source()
        job = self.client.create_job("Zürich ☃", url, self.target())
        text = envelope(f"{X}/Get", "", {"JobId": job})
        body = b"\xff\xfe" + text.encode("utf-16-le")
        answer = self.client.post(body, {"Content-Type": "application/soap+xml;charset=UTF-16"})
        self.assertEqual(answer.status, 200)
        self.assertRegex(answer.headers["content-type"].lower().replace(" ", ""), r"^application/soap\+xml;charset=utf-16$")
        self.assertTrue(answer.body.startswith(b"\xff\xfe"))
        root = ET.fromstring(answer.body[2:].decode("utf-16-le"))
        self.assertEqual(root.findtext(f".//{{{JOB}}}DisplayName"), "Zürich ☃")

    def test_full_duplex_end_is_answered_with_204(self) -> None:
        text = (
            f'<s:Envelope xmlns:s="{S}" xmlns:a="{A}" xmlns:w="{W}"><s:Header><a:To>{ANONYMOUS}</a:To>'
            "<w:ResourceURI>http://schemas.microsoft.com/wbem/wsman/1/wsman/FullDuplex</w:ResourceURI>"
            "<a:Action>http://schemas.microsoft.com/wbem/wsman/1/wsman/End</a:Action>"
            "<a:MessageID>uuid:1</a:MessageID></s:Header><s:Body/></s:Envelope>"
        )
        answer = self.client.post(text.encode())
        self.assertEqual((answer.status, answer.body), (204, b""))

    def test_a_method_without_parameters_may_have_an_empty_body(self) -> None:
        url, _ = self.source()
        job = self.client.create_job("bare", url, self.target())
        answer = self.client.call(f"{JOB}/RemoveClientCertificate", "", {"JobId": job})
        self.assertEqual(answer.findtext(f".//{{{JOB}}}ReturnValue"), "0")
        nothing = method_input("RemoveClientCertificate", {})
        answer = self.client.call(f"{JOB}/RemoveClientCertificate", nothing, {"JobId": job})
        self.assertEqual(answer.findtext(f".//{{{JOB}}}ReturnValue"), "0")

    def test_total_estimate_is_given_when_asked_for(self) -> None:
        url, _ = self.source()
        self.client.create_job("counted", url, self.target())
        text = envelope(f"{N}/Enumerate", "<n:Enumerate/>", header="<w:RequestTotalItemsCountEstimate/>")
        root = self.client.send(text)
        estimate = root.findtext(f".//{{{W}}}TotalItemsCountEstimate")
        self.assertEqual(int(estimate or 0), len(list(self.client.jobs())))


class Numbers(WithDaemon):
    """Answers that people parse by eye and by script."""

    def test_a_boolean_word_that_is_none_is_refused(self) -> None:
        url, _ = self.source()
        values = {"DisplayName": "b", "RemoteUrl": url, "LocalFile": str(self.target())}
        for word, good in (("True", True), ("false", True), ("1", True), ("0", True), ("yes", False), ("", False)):
            body = method_input("CreateJob", {**values, "Suspend": word})
            answer = self.client.post(envelope(f"{JOB}/CreateJob", body).encode())
            self.assertEqual(answer.status, 200 if good else 500, json.dumps(word))
