"""Octets of unknown origin: each meets a limit, and gets the right answer."""

from __future__ import annotations

import re
import socket
import ssl
import time

from clients.base import WithDaemon
from harness.wsman import (
    CONTENT_TYPE, IDENTIFY, JOB, N, S, W, Account, Answer, Client, Fault, X, envelope,
)


class Limits(WithDaemon):
    """Malformed and oversized requests, after log-on."""

    def refused(self, body: str | bytes, subcode: str, detail: str | None = None, **headers: str) -> Fault:
        """Posts and wants a fault of this subcode; the connection lives on."""
        octets = body.encode() if isinstance(body, str) else body
        answer = self.client.post(octets, {name.replace("_", "-"): value for name, value in headers.items()})
        self.assertEqual(answer.status, 500, answer.body[:400])
        fault = Fault(500, answer.root())
        self.assertEqual(fault.subcode or fault.code, subcode, fault)
        if detail is not None:
            self.assertEqual(fault.detail, detail, fault)
        self.assertTrue(fault.codes, "every fault has its WSManFault code")
        self.assertEqual(self.client.post(IDENTIFY.encode()).status, 200)
        return fault

    def test_a_document_type_declaration_is_refused(self) -> None:
        for declaration in (
            "<!DOCTYPE s:Envelope>",
            '<!DOCTYPE x [<!ENTITY a "b">]>',
            '<!DOCTYPE x SYSTEM "file:///etc/passwd">',
            '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;">]>',
        ):
            self.refused(declaration + IDENTIFY, "SchemaValidationError")

    def test_an_entity_that_nobody_declared_is_refused(self) -> None:
        self.refused(envelope(f"{N}/Enumerate", "<n:Enumerate>&bomb;</n:Enumerate>"), "SchemaValidationError")

    def test_depth_is_bounded(self) -> None:
        deep = "<x>" * 20_000 + "</x>" * 20_000
        began = time.monotonic()
        self.refused(envelope(f"{N}/Enumerate", f"<n:Enumerate>{deep}</n:Enumerate>"), "EncodingLimit")
        self.assertLess(time.monotonic() - began, 5)

    def test_attributes_are_bounded(self) -> None:
        many = " ".join(f'a{n}="1"' for n in range(20_000))
        self.refused(envelope(f"{N}/Enumerate", f"<n:Enumerate {many}/>"), "EncodingLimit")

    def test_elements_are_bounded(self) -> None:
        many = "<x/>" * 110_000
        self.refused(envelope(f"{N}/Enumerate", f"<n:Enumerate>{many}</n:Enumerate>"), "EncodingLimit")

    def test_what_is_not_well_formed_is_a_fault(self) -> None:
        for text in ("", "   ", "nonsense", "<a>", "<a></b>", IDENTIFY[:-5], IDENTIFY + IDENTIFY):
            with self.subTest(text=text[:20]):
                answer = self.client.post(text.encode())
                if not text.strip():
                    # The empty body of a log-on that is done.
                    self.assertIn(answer.status, (200, 400, 500))
                else:
                    self.refused(text, "SchemaValidationError")

    def test_a_prefix_that_is_not_declared_is_a_fault(self) -> None:
        # Windows calls this one an internal error.
        fault = self.refused("<s:Envelope/>", "InternalError", "Invalid")
        self.assertIn(2150858819, fault.codes)

    def test_another_soap_version_is_a_version_mismatch(self) -> None:
        self.refused(IDENTIFY.replace(S, "http://schemas.xmlsoap.org/soap/envelope/"), "VersionMismatch")

    def test_a_header_that_must_be_understood_and_is_not_is_a_fault(self) -> None:
        header = '<x:Y xmlns:x="urn:x" s:mustUnderstand="1"/>'
        fault = self.refused(envelope(f"{N}/Enumerate", "<n:Enumerate/>", header=header), "MustUnderstand")
        self.assertIn(2150858768, fault.codes)

    def test_missing_addressing_headers_are_named(self) -> None:
        text = envelope(f"{N}/Enumerate", "<n:Enumerate/>")
        without_action = re.sub(r"<a:Action.*?</a:Action>", "", text)
        self.refused(without_action, "MessageInformationHeaderRequired")
        without_resource = re.sub(r"<w:ResourceURI.*?</w:ResourceURI>", "", text)
        answer = self.client.post(without_resource.encode())
        self.assertEqual(answer.status, 500)

    def test_an_unknown_action_is_not_supported(self) -> None:
        self.refused(envelope("urn:dance"), "ActionNotSupported")

    def test_reply_to_must_be_anonymous(self) -> None:
        text = envelope(f"{N}/Enumerate", "<n:Enumerate/>").replace("role/anonymous", "role/elsewhere")
        self.refused(text, "UnsupportedFeature", "AddressingMode")

    def test_a_locale_that_must_be_understood_is_refused(self) -> None:
        text = envelope(f"{N}/Enumerate", "<n:Enumerate/>")
        text = text.replace('<w:Locale xml:lang="en-US" s:mustUnderstand="false"/>', '<w:Locale xml:lang="de-DE" s:mustUnderstand="true"/>')
        self.refused(text, "UnsupportedFeature", "Locale")

    def test_max_envelope_size_has_a_floor(self) -> None:
        text = envelope(f"{N}/Enumerate", "<n:Enumerate/>", max_envelope_size=8_191)
        fault = self.refused(text, "EncodingLimit", "MinimumEnvelopeLimit")
        self.assertIn(2150858878, fault.codes)
        text = envelope(f"{N}/Enumerate", "<n:Enumerate/>", max_envelope_size=8_192)
        self.assertEqual(self.client.post(text.encode()).status, 200)

    def test_a_bad_timeout_is_a_fault_and_a_good_one_is_not(self) -> None:
        text = envelope(f"{N}/Enumerate", "<n:Enumerate/>")
        for bad in ("soon", "-PT5S", "PT", "60"):
            self.refused(text.replace("PT60.000S", bad), "InvalidMessageInformationHeader")
        for good in ("PT20S", "PT60.0S", "PT1M30S", "P0DT0H1M0S", "PT3759670629.777S", " PT60S\n"):
            self.assertEqual(self.client.post(text.replace("PT60.000S", good).encode()).status, 200, good)

    def test_duplicate_selectors_are_refused(self) -> None:
        text = envelope(f"{X}/Get", "", {"JobId": "a"})
        twice = text.replace("</w:SelectorSet>", '<w:Selector Name="jobid">b</w:Selector></w:SelectorSet>')
        self.refused(twice, "InvalidSelectors", "DuplicateSelectors")

    def test_a_charset_that_is_none_is_an_encoding_limit(self) -> None:
        self.refused(IDENTIFY, "EncodingLimit", "CharacterSet", Content_Type="application/soap+xml;charset=KOI8-R")

    def test_octets_that_are_no_utf_8_are_refused(self) -> None:
        self.refused(IDENTIFY.encode().replace(b"<s:Header/>", b"<s:Header>\xff\xfe</s:Header>"), "EncodingLimit")

    def test_half_a_character_of_utf_16_is_refused(self) -> None:
        body = b"\xff\xfe" + IDENTIFY.encode("utf-16-le") + b"\x00"
        answer = self.client.post(body, {"Content-Type": "application/soap+xml;charset=UTF-16"})
        self.assertEqual(answer.status, 500)

    def test_an_unknown_filter_dialect_is_refused(self) -> None:
        body = '<n:Enumerate><n:Filter Dialect="urn:guess">x</n:Filter></n:Enumerate>'
        answer = self.client.post(envelope(f"{N}/Enumerate", body).encode())
        fault = Fault(500, answer.root())
        self.assertIn(fault.subcode, ("FilterDialectRequestedUnavailable", "FilteringNotSupported"))

    def test_an_unknown_context_is_refused(self) -> None:
        body = "<n:Pull><n:EnumerationContext>uuid:0</n:EnumerationContext></n:Pull>"
        self.refused(envelope(f"{N}/Pull", body), "InvalidEnumerationContext")

    def test_control_characters_never_reach_an_answer(self) -> None:
        url, _ = self.source()
        job = self.client.create_job("tab\there", url, self.target())
        self.assertEqual(self.client.get(job).values["DisplayName"], "tab\there")
        body = f'<p:BitsClientJob xmlns:p="{JOB}"><p:DisplayName>a&#1;b</p:DisplayName></p:BitsClientJob>'
        answer = self.client.post(envelope(f"{X}/Put", body, {"JobId": job}).encode())
        self.assertEqual(answer.status, 500)
        self.client.get(job)

    def test_an_envelope_above_the_limit_is_413(self) -> None:
        big = IDENTIFY.replace("<s:Header/>", f"<s:Header><!--{'x' * 600_000}--></s:Header>")
        answer = self.client.post(big.encode())
        self.assertEqual(answer.status, 413)
        self.client.close()
        just_below = IDENTIFY.replace("<s:Header/>", f"<s:Header><!--{'x' * 500_000}--></s:Header>")
        self.assertEqual(self.client.post(just_below.encode()).status, 200)

    def test_other_verbs_are_405(self) -> None:
        for method in ("GET", "PUT", "DELETE"):
            answer = self.client.post(b"", {"Content-Type": ""}, method=method)
            self.assertEqual(answer.status, 405, method)


class BeforeLogOn(WithDaemon):
    """What a stranger gets."""

    def stranger(self) -> Client:
        client = Client(self.daemon.port, None, self.daemon.certificate)
        self.addCleanup(client.close)
        return client

    def test_no_route_but_the_anonymous_identify_answers_a_stranger(self) -> None:
        client = self.stranger()
        enumerate_jobs = envelope(f"{N}/Enumerate", "<n:Enumerate/>").encode()
        for path in ("/wsman", "/wsman/", "/wsman?x=1"):
            for body in (enumerate_jobs, IDENTIFY.encode(), b""):
                answer = client.post(body, path=path)
                self.assertEqual(answer.status, 401, (path, body[:40]))
                self.assertIn("basic", answer.headers.get("www-authenticate", "").lower())
        header = {"WSMANIDENTIFY": "unauthenticated"}
        self.assertEqual(client.post(enumerate_jobs, header).status, 401)
        self.assertEqual(client.post(IDENTIFY.encode(), header).status, 200)
        for path in ("/", "/metrics", "/wsmanx", "/wsman/../wsman/x", "/health/../wsman", "//wsman"):
            answer = client.post(enumerate_jobs, path=path)
            self.assertIn(answer.status, (401, 404, 405), path)

    def test_a_401_reads_the_body_and_keeps_the_connection(self) -> None:
        client = self.stranger()
        connection = client.connection()
        connection.connect()
        first = connection.sock
        body = envelope(f"{N}/Enumerate", f"<n:Enumerate><!--{'x' * 300_000}--></n:Enumerate>").encode()
        connection.request("POST", "/wsman", body, {"Content-Type": CONTENT_TYPE})
        answer = connection.getresponse()
        answer.read()
        self.assertEqual(answer.status, 401)
        account = self.daemon.alice
        connection.request("POST", "/wsman", body, {"Content-Type": CONTENT_TYPE, "Authorization": account.basic})
        answer = connection.getresponse()
        answer.read()
        self.assertEqual(answer.status, 200)
        self.assertIs(connection.sock, first, "the same connection")

    def test_wrong_passwords_and_unknown_names_are_told_apart_by_nothing(self) -> None:
        answers: list[Answer] = []
        for account in (
            Account(self.daemon.alice.name, "wrong"),
            Account("nobody", "wrong"),
            Account(self.daemon.alice.name, ""),
            Account("", ""),
        ):
            client = Client(self.daemon.port, account, self.daemon.certificate)
            answers.append(client.post(IDENTIFY.encode()))
            client.close()
        self.assertEqual([answer.status for answer in answers], [401] * 4)
        self.assertEqual(len({answer.body for answer in answers}), 1)

    def test_malformed_credentials_are_401(self) -> None:
        client = self.stranger()
        for value in ("Basic", "Basic !!!", "Basic " + "A" * 9_000, "Bearer x", "Basic Og==", "basic \xe9"):
            answer = client.post(IDENTIFY.encode(), {"Authorization": value})
            self.assertIn(answer.status, (400, 401, 431), value[:20])
            client.close()

    def test_an_account_that_is_on_no_list_gets_access_denied(self) -> None:
        carol = Account("carol", "a password that is long enough")
        self.daemon.add_user(carol)
        self.daemon.restart()
        client = Client(self.daemon.port, carol, self.daemon.certificate)
        self.addCleanup(client.close)
        answer = client.post(envelope(f"{N}/Enumerate", "<n:Enumerate/>").encode())
        if answer.status == 500:
            self.assertEqual(Fault(500, answer.root()).subcode, "AccessDenied")
        else:
            self.assertIn(answer.status, (401, 403))

    def test_a_slow_request_is_dropped_before_log_on(self) -> None:
        context = ssl.create_default_context(cafile=str(self.daemon.certificate))
        with socket.create_connection(("127.0.0.1", self.daemon.port), 10) as raw:
            with context.wrap_socket(raw, server_hostname="localhost") as stream:
                stream.settimeout(45)
                stream.sendall(b"POST /wsman HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n")
                began = time.monotonic()
                got = stream.recv(1_000)
                self.assertLess(time.monotonic() - began, 40)
                self.assertTrue(got == b"" or got.startswith((b"HTTP/1.1 408", b"HTTP/1.1 401", b"HTTP/1.1 500")), got)

    def test_a_cap_by_address_holds_strangers_off_but_not_friends(self) -> None:
        friend = self.daemon.client()
        self.addCleanup(friend.close)
        self.assertEqual(friend.post(IDENTIFY.encode()).status, 200)
        held = []
        try:
            for _ in range(60):
                held.append(socket.create_connection(("127.0.0.1", self.daemon.port), 5))
            self.assertEqual(friend.post(IDENTIFY.encode()).status, 200, "a connection with a principal is not counted")
        finally:
            for one in held:
                one.close()
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            try:
                if self.daemon.client().post(IDENTIFY.encode()).status == 200:
                    return
            except OSError:
                time.sleep(0.2)
        self.fail("no log-on any more after strangers went")

    def test_plain_http_on_the_tls_port_gets_nothing(self) -> None:
        with socket.create_connection(("127.0.0.1", self.daemon.port), 10) as raw:
            raw.settimeout(30)
            raw.sendall(b"POST /wsman HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
            try:
                got = raw.recv(1_000)
            except ConnectionResetError:
                got = b""
            self.assertNotIn(b"HTTP/1.1 2", got)


class Namespaces(WithDaemon):
    """Addresses of resources that are not ours."""

    def test_a_contradicting_namespace_is_refused(self) -> None:
        url, _ = self.source()
        job = self.client.create_job("ns", url, self.target())
        for namespace, good in (("root/microsoft/bits", True), ("ROOT\\Microsoft\\BITS", True), ("root/cimv2", False)):
            text = envelope(f"{X}/Get", "", {"JobId": job, "__cimnamespace": namespace})
            self.assertEqual(self.client.post(text.encode()).status, 200 if good else 500, namespace)

    def test_items_and_end_are_in_the_namespaces_that_windows_uses(self) -> None:
        text = envelope(f"{N}/Enumerate", "<n:Enumerate><w:OptimizeEnumeration/><w:MaxElements>9</w:MaxElements></n:Enumerate>")
        root = self.client.send(text)
        self.assertIsNotNone(root.find(f".//{{{W}}}EndOfSequence"))
        self.assertIsNone(root.find(f".//{{{N}}}EndOfSequence"))
        self.assertFalse(root.findtext(f".//{{{N}}}EnumerationContext"))
