//! One request for each row of the fault table, and the whole answer to it,
//! which lies beside this file under the name of the case. Rows differ in
//! their code, or in what stands around it.
//!
//! With `BITSD_RECORD` set the answers are written anew, to be reviewed.

use std::fs;
use std::path::Path;

use super::*;

/// The table: the end of the code and what is wrong, and the request.
fn cases() -> Vec<(&'static str, String)> {
    let job = [("JobId", ID)];
    let other = [("JobId", "{0}")];
    let correct = get(WMI, &job, "");
    let with = |block: &str| get(WMI, &job, block);
    let class = |name: &str| WMI.replace("BitsClientJob", name);
    let fragment = |path: &str| {
        with(&format!(
            "<w:FragmentTransfer s:mustUnderstand=\"true\">{path}</w:FragmentTransfer>"
        ))
    };
    let put = |values: &str| {
        let body = format!("<p:BitsClientJob xmlns:p=\"{WMI}\">{values}</p:BitsClientJob>");
        request(&format!("{TRANSFER}/Put"), WMI, &selectors(&job), &body)
    };
    let put_fragment = |body: &str| {
        let header = "<w:FragmentTransfer s:mustUnderstand=\"true\">Priority</w:FragmentTransfer>";
        let more = selectors(&job) + header;
        request(&format!("{TRANSFER}/Put"), WMI, &more, body)
    };
    let call = |method: &str, body: &str| {
        let action = format!("{WMI}/{method}");
        request(&action, WMI, &selectors(&job), body)
    };
    let enumerate = |wish: &str| {
        let action = format!("{ENUMERATION}/Enumerate");
        request(
            &action,
            WMI,
            "",
            &format!("<n:Enumerate>{wish}</n:Enumerate>"),
        )
    };
    let wql = |query: &str| {
        let dialect = "http://schemas.microsoft.com/wbem/wsman/1/WQL";
        enumerate(&format!(
            "<w:Filter Dialect=\"{dialect}\">{query}</w:Filter>"
        ))
    };
    let job_key = selectors(&job);
    let long = "y".repeat(2_049);
    let options = "<w:Option Name=\"o\">1</w:Option>".repeat(257);
    let many: Vec<String> = (0..33).map(|at| format!("k{at}")).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|name| (name.as_str(), "1")).collect();
    vec![
        ("000-no-such-class", get(&class("Nothing"), &job, "")),
        (
            "000-no-such-namespace",
            get(&WMI.replace("root/microsoft/bits", "root/cimv2"), &job, ""),
        ),
        ("000-no-such-instance", get(WMI, &other, "")),
        (
            "000-no-such-instance-to-call",
            set_job_state("2").replace(ID, "{0}"),
        ),
        (
            "000-no-such-instance-to-delete",
            get(WMI, &other, "").replace("/Get<", "/Delete<"),
        ),
        (
            "001-action-is-no-uri",
            correct.replace(&format!("{TRANSFER}/Get"), "Get"),
        ),
        (
            "00d-another-version-of-soap",
            correct.replace(ns::SOAP, ns::SOAP11),
        ),
        (
            "00e-encoding-style",
            correct.replace("<s:Body>", "<s:Body s:encodingStyle=\"urn:x\">"),
        ),
        (
            "00f-no-message-id",
            correct.replace("<a:MessageID>uuid:ABC</a:MessageID>", ""),
        ),
        ("00f-long-message-id", correct.replace("uuid:ABC", &long)),
        ("00f-header-twice", with("<a:MessageID>2</a:MessageID>")),
        ("00f-option-set-twice", with("<w:OptionSet/><w:OptionSet/>")),
        (
            "00f-envelope-size-is-no-number",
            with("<w:MaxEnvelopeSize>-1</w:MaxEnvelopeSize>"),
        ),
        (
            "00f-fragment-need-not-be-understood",
            with("<w:FragmentTransfer>State</w:FragmentTransfer>"),
        ),
        (
            "00f-long-activity-id",
            with(&format!("<p:ActivityId>{long}</p:ActivityId>")),
        ),
        (
            "00f-timeout-is-no-duration",
            with("<w:OperationTimeout>-PT1S</w:OperationTimeout>"),
        ),
        (
            "010-not-understood",
            with("<o:Odd xmlns:o=\"urn:odd\" s:mustUnderstand=\"true\"/>"),
        ),
        (
            "011-no-action",
            correct.replace(&format!("{TRANSFER}/Get"), " "),
        ),
        (
            "011-no-to",
            correct.replace("<a:To>http://host:5985/wsman</a:To>", ""),
        ),
        (
            "013-action-not-supported",
            correct.replace("/Get<", "/Gets<"),
        ),
        (
            "057-property-that-is-required",
            request(&format!("{TRANSFER}/Create"), WMI, "", "<BitsClientJob/>"),
        ),
        ("014-unavailable", call("RemoveClientCertificate", "")),
        ("016-no-lifetime", enumerate("<n:Expires>PT0S</n:Expires>")),
        (
            "017-lifetime-is-a-date",
            enumerate("<n:Expires>2030-01-01T00:00:00Z</n:Expires>"),
        ),
        (
            "018-filter-on-the-configuration",
            request(
                &format!("{ENUMERATION}/Enumerate"),
                "http://schemas.microsoft.com/wbem/wsman/1/config/listener",
                "",
                "<n:Enumerate><w:Filter>x</w:Filter></n:Enumerate>",
            ),
        ),
        (
            "019-unknown-dialect",
            enumerate("<w:Filter Dialect=\"http://schemas.dmtf.org/wbem/cql/1/dsp0202.pdf\">x</w:Filter>"),
        ),
        (
            "01a-query-that-ends-early",
            wql("SELECT * FROM BitsClientJob WHERE State ="),
        ),
        (
            "01a-query-for-another-class",
            wql("SELECT * FROM Win32_Process"),
        ),
        (
            "01a-associators-of-nobody",
            wql("ASSOCIATORS OF {BitsClientJob.JobId='{00000000-0000-0000-0000-000000000000}'}"),
        ),
        (
            "053-option-is-no-boolean",
            request(
                &format!("{TRANSFER}/Get"),
                "http://schemas.dmtf.org/wbem/cim-xml/2/cim-schema/2/*",
                &[
                    selectors(&[("ClassName", "BitsClientJob")]),
                    "<w:OptionSet><w:Option Name=\"IncludeQualifiers\">perhaps</w:Option></w:OptionSet>"
                        .to_owned(),
                ]
                .concat(),
                "",
            ),
        ),
        (
            "0fb-query-with-a-key",
            wql("SELECT * FROM BitsClientJob").replace("<w:Locale", &[&*job_key, "<w:Locale"].concat()),
        ),
        (
            "137-unknown-polymorphism",
            enumerate("<b:PolymorphismMode>Some</b:PolymorphismMode>"),
        ),
        (
            "01a-two-filters",
            enumerate("<w:Filter>a</w:Filter><n:Filter>b</n:Filter>"),
        ),
        (
            "01b-no-such-context",
            request(
                &format!("{ENUMERATION}/Pull"),
                WMI,
                "",
                "<n:Pull><n:EnumerationContext>uuid:1</n:EnumerationContext></n:Pull>",
            ),
        ),
        (
            "02d-long-resource-uri",
            get(&format!("wmi/{long}"), &job, ""),
        ),
        (
            "02d-long-to",
            correct.replace("http://host:5985/wsman", &format!("http://host/{long}")),
        ),
        (
            "035-deep",
            correct.replace(
                "<s:Body>",
                &format!("<s:Body>{}{}", "<a>".repeat(100), "</a>".repeat(100)),
            ),
        ),
        ("03a-no-parameter", call("SetJobState", "")),
        ("03b-no-resource", get("", &[], "")),
        ("03b-unknown-resource", get("urn:x/y", &[], "")),
        (
            "03b-shell",
            get(
                "http://schemas.microsoft.com/wbem/wsman/1/windows/shell/cmd",
                &[],
                "",
            ),
        ),
        (
            "041-body-of-another-action",
            request(&format!("{ENUMERATION}/Enumerate"), WMI, "", "<n:Pull/>"),
        ),
        ("041-unknown-property", put("<p:Colour>red</p:Colour>")),
        ("041-no-envelope", "<html/>".to_owned()),
        ("043-no-xml", correct.replace("</s:Body>", "")),
        (
            "043-undeclared-prefix",
            correct.replace("<s:Body>", "<s:Body><u:x/>"),
        ),
        (
            "048-fragment-does-not-fit",
            get(
                WMI,
                &[("JobId", BIG)],
                "<w:MaxEnvelopeSize>8192</w:MaxEnvelopeSize>\
                 <w:FragmentTransfer s:mustUnderstand=\"1\">Files</w:FragmentTransfer>",
            ),
        ),
        (
            "049-request-is-too-large",
            correct.replace("<s:Body>", &format!("<s:Body>{}", " ".repeat(512_001))),
        ),
        ("04a-many-selectors", get(WMI, &many, "")),
        (
            "04b-many-options",
            with(&format!("<w:OptionSet>{options}</w:OptionSet>")),
        ),
        (
            "04d-answer-to-a-change-does-not-fit",
            put(&format!(
                "<p:Description>{}</p:Description>",
                "x".repeat(9_000)
            ))
            .replace(
                "</s:Header>",
                "<w:MaxEnvelopeSize>8192</w:MaxEnvelopeSize></s:Header>",
            ),
        ),
        (
            "04f-all-classes-without-a-filter",
            enumerate("").replace(WMI, &class("*")),
        ),
        (
            "052-nameless-option",
            with("<w:OptionSet><w:Option>1</w:Option></w:OptionSet>"),
        ),
        (
            "054-parameter-of-another-type",
            call("SetJobState", "<i><JobState>70000</JobState></i>"),
        ),
        (
            "055-unknown-parameter",
            call(
                "SetJobState",
                "<i><JobState>1</JobState><Colour>1</Colour></i>",
            ),
        ),
        (
            "056-property-of-another-type",
            put("<p:Priority>true</p:Priority>"),
        ),
        ("056-value-out-of-range", put("<p:Priority>9</p:Priority>")),
        (
            "059-fragment-is-missing",
            put_fragment("<Priority>1</Priority>"),
        ),
        (
            "05a-class-is-not-named",
            get(
                "http://schemas.dmtf.org/wbem/cim-xml/2/cim-schema/2/*",
                &[],
                "",
            ),
        ),
        (
            "05b-selector-is-no-key",
            get(WMI, &[("JobId", ID), ("Owner", "x")], ""),
        ),
        (
            "05c-selector-is-a-reference",
            get(WMI, &[("JobId", "<a:EndpointReference/>")], ""),
        ),
        (
            "05d-key-has-another-form",
            get(WMI, &[("JobId", "bad")], ""),
        ),
        (
            "05f-selector-twice",
            get(WMI, &[("JobId", ID), ("jobid", ID)], ""),
        ),
        (
            "076-reply-to-elsewhere",
            correct.replace(ns::ANONYMOUS, "http://elsewhere/"),
        ),
        (
            "076-fault-to-elsewhere",
            with("<a:FaultTo><a:Address>http://elsewhere/</a:Address></a:FaultTo>"),
        ),
        ("076-end-to", enumerate("<n:EndTo/>")),
        (
            "077-operation-without-fragments",
            fragment("State").replace("/Get<", "/Delete<"),
        ),
        (
            "07e-small-envelope",
            with("<w:MaxEnvelopeSize>8191</w:MaxEnvelopeSize>"),
        ),
        (
            "086-unknown-mode",
            enumerate("<w:EnumerationMode>Everything</w:EnumerationMode>"),
        ),
        (
            "087-locale-must-be-understood",
            correct.replacen("mustUnderstand=\"false\"", "mustUnderstand=\"true\"", 1),
        ),
        (
            "087-data-locale-must-be-understood",
            with("<p:DataLocale xml:lang=\"de\" s:mustUnderstand=\"true\"/>"),
        ),
        (
            "090-fragment-dialect",
            with(
                "<w:FragmentTransfer s:mustUnderstand=\"true\" Dialect=\"urn:x\">State\
                 </w:FragmentTransfer>",
            ),
        ),
        ("093-fragment-path", fragment("/State")),
        ("0a9-unknown-method", call("Explode", "")),
        ("0ed-key-changed", put("<p:JobId>{1}</p:JobId>")),
        ("0fa-no-key", get(WMI, &[], "")),
        (
            "108-enumeration-with-a-key",
            enumerate("").replace("</s:Header>", &(selectors(&job) + "</s:Header>")),
        ),
        (
            "13b-two-namespaces",
            get(WMI, &[("JobId", ID), ("__cimnamespace", "root/cimv2")], ""),
        ),
        (
            "win32-87-parameter-out-of-range",
            call("GetError", "<i><LanguageId>1</LanguageId></i>"),
        ),
        ("hresult-80070005-denied", set_job_state("1")),
        ("hresult-80070057-argument", set_job_state("3")),
        ("hresult-80200013-method-failed", set_job_state("2")),
    ]
}

#[tokio::test]
async fn every_row_has_its_answer() {
    let bench = bench();
    for (name, request) in cases() {
        check(name, &bench.post(&request).await);
    }
    check("04c-undecodable", &bench.endpoint.undecodable());
    check("win32-5-denied", &bench.endpoint.denied(&get(WMI, &[], "")));
}

#[tokio::test]
async fn every_row_is_told_in_portuguese() {
    let bench = bench();
    for (name, request) in cases() {
        let english = fault_of(&bench.post(&request).await);
        let answer = bench.post(&in_portuguese(&request)).await;
        let fault = fault_of(&answer);
        // Before the envelope is read there is no language.
        if ["00d", "035", "043", "049"].contains(&&name[..3]) || name == "041-no-envelope" {
            assert_eq!(fault.lang, "en-US", "{name}");
            continue;
        }
        assert_eq!(gist(&fault), gist(&english), "{name}");
        assert_eq!(fault.lang, "pt-BR", "{name}");
        assert_ne!(fault.reason, english.reason, "{name}");
        assert!(
            fault.reason.ends_with(['.', '…']),
            "{name}: {}",
            fault.reason
        );
        assert!(
            fault.reason.starts_with(|c: char| !c.is_lowercase()),
            "{name}: {}",
            fault.reason
        );
        let shown = fault.provider.map(|provider| provider.message);
        assert_eq!(
            shown.unwrap_or(fault.reason.clone()),
            fault.reason,
            "{name}"
        );
        if [
            "000-no-such-instance",
            "010-not-understood",
            "01a-query-that-ends-early",
            "041-body-of-another-action",
            "054-parameter-of-another-type",
            "056-value-out-of-range",
            "hresult-80200013-method-failed",
        ]
        .contains(&name)
        {
            check(&format!("{name}.pt-br"), &answer);
        }
    }
}

#[tokio::test]
async fn a_cim_client_gets_the_error_of_cim_too() {
    let bench = bench();
    let namespace = "<w:Selector Name=\"__cimnamespace\">root/microsoft/bits</w:Selector>";
    let base = |uri: &str| uri.replace("BitsClientJob", "");
    for (name, request) in cases() {
        if [
            "000-no-such-class",
            "000-no-such-instance",
            "013-action-not-supported",
            "01a-query-for-another-class",
            "055-unknown-parameter",
            "090-fragment-dialect",
            "hresult-80070005-denied",
            "hresult-80200013-method-failed",
        ]
        .contains(&name)
        {
            let request = request
                .replace(&base(WMI), &base(DMTF))
                .replace("<w:SelectorSet>", &["<w:SelectorSet>", namespace].concat());
            check(&format!("{name}.dmtf"), &bench.post(&request).await);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_takes_time_has_its_answer() {
    let mut jobs = Jobs::new();
    jobs.pause = Duration::from_secs(5);
    jobs.page_pause = jobs.pause;
    jobs.add(ID, 1);
    jobs.add(BIG, 1);
    let settings = WsmanSettings {
        max_concurrent_operations_per_user: 2,
        max_enumerations_per_user: 1,
        ..WsmanSettings::default()
    };
    let bench = Bench::with(jobs, settings);
    let slow = set_job_state("2");
    let hasty = slow.replace(
        "</s:Header>",
        "<w:OperationTimeout>PT1S</w:OperationTimeout></s:Header>",
    );
    check("029-operation-timed-out", &bench.post(&hasty).await);
    tokio::time::sleep(Duration::from_mins(1)).await;
    let (_, _, third) = tokio::join!(bench.post(&slow), bench.post(&slow), bench.post(&slow));
    check("1a6-many-operations", &third);

    let enumerate = request(
        &format!("{ENUMERATION}/Enumerate"),
        WMI,
        "",
        "<n:Enumerate/>",
    );
    let answer = bench.ok(&enumerate).await;
    check("03f-many-enumerations", &bench.post(&enumerate).await);
    let envelope = parsed(&answer);
    let context = envelope.payload().expect("a body").children()[0].text();
    let pull = |wish: &str| {
        let body = format!(
            "<n:Pull><n:EnumerationContext>{context}</n:EnumerationContext>{wish}</n:Pull>"
        );
        request(&format!("{ENUMERATION}/Pull"), WMI, "", &body)
    };
    let answer = bench.post(&pull("<n:MaxTime>PT1S</n:MaxTime>")).await;
    check("01c-pull-timed-out", &answer);
    let plain = pull("");
    let (first, second) = tokio::join!(bench.post(&plain), bench.post(&plain));
    assert_eq!(first.status, 200);
    check("032-enumeration-is-in-use", &second);
}

/// Two jobs, one of them with many files.
fn bench() -> Bench {
    let bench = Bench::with_job();
    bench.jobs.add(BIG, 60);
    bench
}

fn in_portuguese(request: &str) -> String {
    request.replace(
        "<w:Locale xml:lang=\"en-US\"",
        "<w:Locale xml:lang=\"pt-BR\"",
    )
}

/// Compares the whole answer, but for its `MessageID`; in the file each element
/// begins a line.
pub(super) fn check(name: &str, answer: &Answer) {
    let code = fault_of(answer).wsman_code.expect("a code");
    let (end, _) = name.split_once('-').expect("a name");
    if let Ok(end) = u32::from_str_radix(end, 16) {
        assert_eq!(code, 0x8033_8000 + end, "{name}");
    }
    let text = answer.envelope.as_deref().expect("an envelope");
    assert!(text.len() < 8_192, "{name}: {}", text.len());
    let (before, rest) = text.split_once("<a:MessageID>uuid:").expect("one");
    let (_, after) = rest.split_once("</a:MessageID>").expect("its end");
    let masked = format!("{before}<a:MessageID>uuid:*</a:MessageID>{after}");
    let lines = masked.replace("><", ">\n<") + "\n";
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("src/wsman/tests/faults")
        .join(format!("{name}.xml"));
    if std::env::var_os("BITSD_RECORD").is_some() {
        fs::write(&path, &lines).expect("written");
    }
    let wanted = fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(lines, wanted, "{name}");
}

/// A job whose files fit into no small envelope.
const BIG: &str = "{22222222-2222-3333-4444-555555555555}";
