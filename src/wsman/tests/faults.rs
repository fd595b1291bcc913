//! Every malformed request has its fault.

mod answers;
mod settings;
mod table;

use proptest::prelude::*;

use super::*;
use crate::soap::Code;

fn set_job_state(state: &str) -> String {
    request(
        &format!("{WMI}/SetJobState"),
        WMI,
        &selectors(&[("JobId", ID)]),
        &format!(
            "<p:SetJobState_INPUT xmlns:p=\"{WMI}\"><p:JobState>{state}</p:JobState></p:SetJobState_INPUT>"
        ),
    )
}

#[tokio::test]
async fn whoever_is_on_no_list_gets_a_fault_in_answer_to_anything() {
    let bench = Bench::with_job();
    let correct = get(WMI, &[("JobId", ID)], "");
    let answer = bench.endpoint.denied(&correct);
    assert_eq!(gist(&fault_of(&answer)), "wsman:AccessDenied 5");
    assert!(
        answer
            .envelope
            .is_some_and(|text| text.contains("<a:RelatesTo>"))
    );
    for text in ["", "<x/>", "no XML"] {
        let answer = bench.endpoint.denied(text);
        assert_eq!(answer.status, 500);
        assert_eq!(gist(&fault_of(&answer)), "wsman:AccessDenied 5");
    }
}

#[tokio::test]
async fn whoever_does_not_seal_is_told_what_to_do() {
    let bench = Bench::with_job();
    let answer = bench.endpoint.unsealed(&get(WMI, &[("JobId", ID)], ""));
    assert_eq!(answer.status, 500);
    assert_eq!(gist(&fault_of(&answer)), "wsman:AccessDenied 5");
    let text = answer.envelope.expect("a fault");
    assert!(text.contains("<a:RelatesTo>"));
    assert!(text.contains("messages over HTTP must be sealed"));
}

#[tokio::test]
async fn texts_that_are_no_request_are_refused() {
    let bench = Bench::with_job();
    let deep = format!("{}{}", "<a>".repeat(100), "</a>".repeat(100));
    let correct = get(WMI, &[("JobId", ID)], "");
    for (text, code, wanted) in [
        (
            String::new(),
            Code::Sender,
            "wsman:SchemaValidationError 2150858819",
        ),
        (
            correct.replace("</s:Body>", ""),
            Code::Sender,
            "wsman:SchemaValidationError 2150858819",
        ),
        (
            format!("<!DOCTYPE x [<!ENTITY a 'b'>]>{correct}"),
            Code::Sender,
            "wsman:SchemaValidationError 2150858819",
        ),
        (
            correct.replace("<s:Body>", "<s:Body><u:x/>"),
            Code::Sender,
            "wsman:InternalError/Invalid 2150858819",
        ),
        (
            correct.replace("<s:Body>", &format!("<s:Body>{deep}")),
            Code::Sender,
            "wsman:EncodingLimit 2150858805",
        ),
        (
            correct.replace("<s:Body>", &format!("<s:Body>{}", " ".repeat(512_001))),
            Code::Sender,
            "wsman:EncodingLimit/ServiceEnvelopeLimit 2150858825",
        ),
        (
            correct.replace(ns::SOAP, ns::SOAP11),
            Code::VersionMismatch,
            " 2150858765",
        ),
        (
            "<html/>".to_owned(),
            Code::Sender,
            "wsman:SchemaValidationError 2150858817",
        ),
        (
            correct.replace("<s:Body>", "<s:Body s:encodingStyle=\"urn:x\">"),
            Code::DataEncodingUnknown,
            " 2150858766",
        ),
    ] {
        let fault = bench.fault(&text).await;
        assert_eq!(gist(&fault), wanted);
        assert_eq!(fault.code, code);
    }
    // A fault fits into the smallest envelope whatever the request repeats.
    let long = "y".repeat(100_000);
    for text in [
        correct.replace("uuid:ABC", &long),
        get(&format!("wmi/{long}"), &[], ""),
        get(WMI, &[(&long, "x")], ""),
        get(WMI, &[("JobId", &long)], ""),
        get(
            WMI,
            &[],
            &format!("<o:{long} xmlns:o=\"urn:{long}\" s:mustUnderstand=\"1\"/>"),
        ),
        correct.replace("/Get<", &format!("/{long}<")),
        correct.replace("http://host", &format!("http://{long}")),
        get(DMTF, &[("JobId", &"&amp;".repeat(1_000))], ""),
        get(DMTF, &[], "").replace("/Get<", &format!("/{}<", "&amp;".repeat(9_000))),
        get(&DMTF.replace("BitsClientJob", &"&lt;".repeat(400)), &[], ""),
    ] {
        let answer = bench.post(&text).await;
        assert!(
            answer
                .envelope
                .is_some_and(|envelope| envelope.len() < 8_192)
        );
    }
    let fault = fault_of(&bench.endpoint.undecodable());
    assert_eq!(gist(&fault), "wsman:EncodingLimit/CharacterSet 2150858828");
}

#[tokio::test]
async fn header_blocks_that_are_wrong_are_refused() {
    let bench = Bench::with_job();
    let correct = get(WMI, &[("JobId", ID)], "");
    let with = |block: &str| get(WMI, &[("JobId", ID)], block);
    for (text, wanted) in [
        (
            correct.replace("<a:To>http://host:5985/wsman</a:To>", ""),
            "a:MessageInformationHeaderRequired 2150858769",
        ),
        (
            correct.replace("<a:MessageID>uuid:ABC</a:MessageID>", ""),
            "a:InvalidMessageInformationHeader 2150858767",
        ),
        (
            correct.replace("uuid:ABC", " "),
            "a:InvalidMessageInformationHeader 2150858767",
        ),
        (
            correct.replace("/Get<", "/Gets<"),
            "a:ActionNotSupported 2150858771",
        ),
        (
            correct.replace(&format!("{TRANSFER}/Get"), "Get"),
            "a:ActionNotSupported 2150858753",
        ),
        (
            correct.replace(ns::ANONYMOUS, "http://elsewhere/"),
            "wsman:UnsupportedFeature/AddressingMode 2150858870",
        ),
        (
            with("<a:FaultTo><a:Address>http://elsewhere/</a:Address></a:FaultTo>"),
            "wsman:UnsupportedFeature/AddressingMode 2150858870",
        ),
        (
            with("<w:MaxEnvelopeSize>8191</w:MaxEnvelopeSize>"),
            "wsman:EncodingLimit/MinimumEnvelopeLimit 2150858878",
        ),
        (
            with("<w:MaxEnvelopeSize>x</w:MaxEnvelopeSize>"),
            "a:InvalidMessageInformationHeader 2150858767",
        ),
        (
            with("<w:OperationTimeout>-PT1S</w:OperationTimeout>"),
            "a:InvalidMessageInformationHeader/InvalidTimeout 2150858767",
        ),
        (
            with("<w:Locale xml:lang=\"de\" s:mustUnderstand=\"1\"/>"),
            "wsman:UnsupportedFeature/Locale 2150858887",
        ),
        (
            with("<p:DataLocale xml:lang=\"de\" s:mustUnderstand=\"true\"/>"),
            "wsman:UnsupportedFeature/DataLocale 2150858887",
        ),
        (
            with("<w:FragmentTransfer>State</w:FragmentTransfer>"),
            "a:InvalidMessageInformationHeader 2150858767",
        ),
        (
            with(
                "<w:FragmentTransfer s:mustUnderstand=\"true\" Dialect=\"urn:x\">State</w:FragmentTransfer>",
            ),
            "wsman:FragmentDialectNotSupported 2150858896",
        ),
        (
            with(
                "<w:OperationTimeout>PT1S</w:OperationTimeout><w:OperationTimeout>PT1S</w:OperationTimeout>",
            ),
            "a:InvalidMessageInformationHeader 2150858767",
        ),
        (
            with("<a:MessageID>2</a:MessageID>"),
            "a:InvalidMessageInformationHeader 2150858767",
        ),
    ] {
        assert_eq!(gist(&bench.fault(&text).await), wanted, "{text}");
    }
}

#[tokio::test]
async fn an_unknown_block_that_must_be_understood_is_named() {
    let bench = Bench::with_job();
    let block = "<o:Odd xmlns:o=\"urn:odd\" s:mustUnderstand=\"true\"/>";
    let answer = bench.post(&get(WMI, &[("JobId", ID)], block)).await;
    let fault = fault_of(&answer);
    assert_eq!(fault.code, Code::MustUnderstand);
    assert_eq!(fault.wsman_code, Some(2_150_858_768));
    let text = answer.envelope.expect("an envelope");
    assert!(text.contains("<s:NotUnderstood qname=\"q:Odd\" xmlns:q=\"urn:odd\"/>"));
    assert!(text.contains("<a:RelatesTo>uuid:ABC</a:RelatesTo>"));
    bench
        .ok(&get(WMI, &[("JobId", ID)], &block.replace("true", "0")))
        .await;
}

#[tokio::test]
async fn resources_and_selectors_that_lead_nowhere_are_refused() {
    let bench = Bench::with_job();
    let class = |name: &str| WMI.replace("BitsClientJob", name);
    for (uri, all, wanted) in [
        (
            "",
            vec![],
            "a:DestinationUnreachable/InvalidResourceURI 2150858811",
        ),
        (
            "http://schemas.microsoft.com/wbem/wsman/1/config",
            vec![],
            "a:DestinationUnreachable/InvalidResourceURI 2150858811",
        ),
        (
            &class("Nothing"),
            vec![("JobId", ID)],
            "a:DestinationUnreachable/InvalidResourceURI 2150858752",
        ),
        (
            &class("BitsClientFile"),
            vec![],
            "a:DestinationUnreachable/InvalidResourceURI 2150858752",
        ),
        (
            &WMI.replace("bits/", "other/"),
            vec![("JobId", ID)],
            "a:DestinationUnreachable/InvalidResourceURI 2150858752",
        ),
        (
            WMI,
            vec![("JobId", ID), ("__cimnamespace", "root/cimv2")],
            "wsman:InternalError 2150859067",
        ),
        (
            DMTF,
            vec![("JobId", ID), ("__cimnamespace", "root/cimv2")],
            "a:DestinationUnreachable/InvalidResourceURI 2150858752",
        ),
        (
            WMI,
            vec![],
            "wsman:InvalidSelectors/InsufficientSelectors 2150859002",
        ),
        (
            WMI,
            vec![("JobId", ID), ("Owner", "x")],
            "wsman:InvalidSelectors/UnexpectedSelectors 2150858843",
        ),
        (
            WMI,
            vec![("JobId", ID), ("jobid", ID)],
            "wsman:InvalidSelectors/DuplicateSelectors 2150858847",
        ),
        (
            WMI,
            vec![("JobId", "<a:EndpointReference/>")],
            "wsman:InvalidSelectors/TypeMismatch 2150858844",
        ),
        (
            WMI,
            vec![("JobId", "bad")],
            "wsman:InvalidSelectors/InvalidValue 2150858845",
        ),
        (
            WMI,
            vec![("JobId", "{0}")],
            "a:DestinationUnreachable/InvalidResourceURI 2150858752",
        ),
        (&class("*"), vec![], "a:ActionNotSupported 2150858771"),
    ] {
        let fault = bench.fault(&get(uri, &all, "")).await;
        assert_eq!(gist(&fault), wanted, "{uri} {all:?}");
        assert_eq!(fault.machine, "host");
    }
}

#[tokio::test]
async fn bodies_that_do_not_fit_the_class_are_refused() {
    let bench = Bench::with_job();
    let put = |body: &str| {
        let body = format!("<p:BitsClientJob xmlns:p=\"{WMI}\">{body}</p:BitsClientJob>");
        request(
            &format!("{TRANSFER}/Put"),
            WMI,
            &selectors(&[("JobId", ID)]),
            &body,
        )
    };
    for (body, wanted) in [
        (
            "<p:Colour>red</p:Colour>",
            "wsman:SchemaValidationError 2150858817",
        ),
        (
            "<p:Priority>true</p:Priority>",
            "x:InvalidRepresentation/InvalidValues 2150858838",
        ),
        (
            "<p:Priority>1</p:Priority><p:priority>2</p:priority>",
            "x:InvalidRepresentation/InvalidValues 2150858838",
        ),
        (
            "<p:Priority>9</p:Priority>",
            "x:InvalidRepresentation/InvalidValues 2150858838",
        ),
        (
            "<p:JobId>{1}</p:JobId>",
            "x:InvalidRepresentation/InvalidValues 2150858989",
        ),
    ] {
        assert_eq!(gist(&bench.fault(&put(body)).await), wanted, "{body}");
    }
    let empty = request(
        &format!("{TRANSFER}/Put"),
        WMI,
        &selectors(&[("JobId", ID)]),
        "",
    );
    assert_eq!(
        gist(&bench.fault(&empty).await),
        "wsman:SchemaValidationError 2150858817"
    );
    let long = format!("<p:Description>{}</p:Description>", "x".repeat(9_000));
    let small = "<w:MaxEnvelopeSize>8192</w:MaxEnvelopeSize></s:Header>";
    let done = put(&long).replace("</s:Header>", small);
    assert_eq!(
        gist(&bench.fault(&done).await),
        "wsman:EncodingLimit/UnreportableSuccess 2150858829"
    );
}

#[tokio::test]
async fn fragments_that_cannot_be_processed_are_refused() {
    let bench = Bench::with_job();
    for (expression, wanted) in [
        ("/State", "wsman:CannotProcessFilter 2150858899"),
        ("state", "wsman:CannotProcessFilter 2150858899"),
        ("Colour", "wsman:CannotProcessFilter 2150858899"),
        ("State/Files", "wsman:CannotProcessFilter 2150858899"),
        ("State[0]", "wsman:CannotProcessFilter 2150858899"),
        ("@State", "wsman:CannotProcessFilter 2150858899"),
        ("Files/Colour", "wsman:CannotProcessFilter 2150858899"),
        ("", "wsman:CannotProcessFilter 2150858899"),
    ] {
        let more = format!(
            "<w:FragmentTransfer s:mustUnderstand=\"true\">{expression}</w:FragmentTransfer>"
        );
        let fault = bench.fault(&get(WMI, &[("JobId", ID)], &more)).await;
        assert_eq!(gist(&fault), wanted, "{expression}");
    }
    for (expression, body, wanted) in [
        (
            "State",
            "<w:XmlFragment><State>1</State></w:XmlFragment>",
            "x:InvalidRepresentation/InvalidValues 2150858838",
        ),
        (
            "JobId",
            "<w:XmlFragment><JobId>1</JobId></w:XmlFragment>",
            "x:InvalidRepresentation/InvalidValues 2150858989",
        ),
        (
            "Priority",
            "<w:XmlFragment><State>1</State></w:XmlFragment>",
            "x:InvalidRepresentation/InvalidFragment 2150858841",
        ),
        (
            "Priority",
            "<Priority>1</Priority>",
            "x:InvalidRepresentation/InvalidFragment 2150858841",
        ),
    ] {
        let more = selectors(&[("JobId", ID)])
            + &format!(
                "<w:FragmentTransfer s:mustUnderstand=\"true\">{expression}</w:FragmentTransfer>"
            );
        let put = request(&format!("{TRANSFER}/Put"), WMI, &more, body);
        assert_eq!(gist(&bench.fault(&put).await), wanted, "{body}");
    }
    let more = "<w:FragmentTransfer s:mustUnderstand=\"true\">State</w:FragmentTransfer>";
    let instance = get(WMI, &[("JobId", ID)], more);
    for (uri, operation) in [
        (WMI, "Delete"),
        (WMI, "Create"),
        ("http://schemas.microsoft.com/wbem/wsman/1/config", "Get"),
        (
            "http://schemas.microsoft.com/wbem/wsman/1/config/service",
            "Put",
        ),
        (
            "http://schemas.dmtf.org/wbem/cim-xml/2/cim-schema/2/*",
            "Get",
        ),
    ] {
        let request = instance.replace(WMI, uri);
        assert_eq!(
            gist(
                &bench
                    .fault(&request.replace("/Get<", &format!("/{operation}<")))
                    .await
            ),
            "wsman:UnsupportedFeature/FragmentLevelAccess 2150858871",
            "{uri} {operation}"
        );
    }
}

#[tokio::test]
async fn methods_and_parameters_that_do_not_fit_are_refused() {
    let bench = Bench::with_job();
    let call = |method: &str, body: &str| {
        let action = format!("{WMI}/{method}");
        request(&action, WMI, &selectors(&[("JobId", ID)]), body)
    };
    for (method, body, wanted) in [
        ("Explode", "", "a:ActionNotSupported 2150858921"),
        (
            "SetJobState",
            "<i><JobState>1</JobState><Colour>1</Colour></i>",
            "wsman:InvalidParameter/InvalidName 2150858837",
        ),
        (
            "SetJobState",
            "<i><JobState>70000</JobState></i>",
            "wsman:InvalidParameter/TypeMismatch 2150858836",
        ),
        (
            "SetJobState",
            "<i><JobState><x/></JobState></i>",
            "wsman:InvalidParameter/TypeMismatch 2150858836",
        ),
        (
            "SetJobState",
            "<i><JobState>1</JobState><jobstate>1</jobstate></i>",
            "wsman:InvalidParameter 2150858810",
        ),
        ("SetJobState", "", "wsman:InvalidParameter 2150858810"),
        (
            "GetError",
            "<i><LanguageId>1</LanguageId><ErrorCode>1</ErrorCode></i>",
            "wsman:InvalidParameter/InvalidName 2150858837",
        ),
        (
            "GetError",
            "<i><LanguageId>1</LanguageId></i>",
            "wsman:InvalidParameter/InvalidValue 87",
        ),
        (
            "RemoveClientCertificate",
            "",
            "a:EndpointUnavailable 2150858772",
        ),
    ] {
        let fault = bench.fault(&call(method, body)).await;
        assert_eq!(gist(&fault), wanted, "{method} {body}");
    }
    let bare = request(&format!("{WMI}/SetJobState"), WMI, "", "");
    assert_eq!(
        gist(&bench.fault(&bare).await),
        "wsman:InvalidSelectors/InsufficientSelectors 2150859002"
    );
}

#[tokio::test]
async fn a_failing_method_shows_its_code_and_sentence() {
    let bench = Bench::with_job();
    let fault = bench.fault(&set_job_state("2")).await;
    assert_eq!(gist(&fault), "wsman:InternalError 2149580819");
    assert_eq!(fault.code, Code::Receiver);
    assert_eq!(
        fault.action,
        "http://schemas.dmtf.org/wbem/wsman/1/wsman/fault"
    );
    let provider = fault.provider.expect("the provider's part");
    assert_eq!(provider.code, 0x8020_0013);
    assert_eq!(
        provider.message,
        "The server does not support the necessary HTTP protocol; ranges are required \
         (0x80200013): http://h/1 & more: no ranges."
    );
    assert_eq!(
        gist(&bench.fault(&set_job_state("1")).await),
        "wsman:AccessDenied 2147942405"
    );
    assert_eq!(
        gist(&bench.fault(&set_job_state("3")).await),
        "wsman:InvalidParameter/InvalidValue 2147942487"
    );
}

#[tokio::test]
async fn who_may_not_is_denied() {
    let mut bench = Bench::with_job();
    bench.by = Principal::for_test("otto", Scope::Own);
    let delete = get(WMI, &[("JobId", ID)], "").replace("/Get<", "/Delete<");
    assert_eq!(gist(&bench.fault(&delete).await), "wsman:AccessDenied 5");
}

#[tokio::test(start_paused = true)]
async fn too_many_operations_of_one_user_are_refused() {
    let mut jobs = Jobs::new();
    jobs.pause = Duration::from_secs(5);
    jobs.add(ID, 1);
    let settings = WsmanSettings {
        max_concurrent_operations_per_user: 1,
        ..WsmanSettings::default()
    };
    let bench = Bench::with(jobs, settings);
    let slow = set_job_state("2");
    let (first, second) = tokio::join!(bench.post(&slow), bench.post(&slow));
    let codes = [&first, &second].map(|answer| gist(&fault_of(answer)));
    assert_eq!(
        codes,
        [
            "wsman:InternalError 2149580819",
            "wsman:QuotaLimit 2150859174"
        ]
    );
}

#[test]
fn a_class_without_provider_stops_the_start() {
    let settings = current(WsmanSettings::default());
    let catalog = Catalog::of_bits().expect("schemas are correct");
    let error = Endpoint::new(&settings, catalog.clone(), Vec::new()).err();
    assert_eq!(
        error.as_deref(),
        Some("class BitsClientJob has no provider")
    );
    let jobs = Arc::new(Jobs::new());
    let twice: Vec<Arc<dyn Provider>> =
        vec![Arc::new(Arc::clone(&jobs)), Arc::new(Arc::clone(&jobs))];
    assert!(Endpoint::new(&settings, catalog, twice).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn arbitrary_values_anywhere_are_answered(
        text in "[ -~]{0,40}",
        name in "[A-Za-z_]{1,12}",
        at in 0..5_usize,
    ) {
        let text = text.replace(['<', '&'], "");
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        let body = format!("<{name}><{name}>{text}</{name}><JobState>{text}</JobState></{name}>");
        let fragment = format!(
            "<w:FragmentTransfer s:mustUnderstand=\"true\">{text}</w:FragmentTransfer>"
        );
        let request = match at {
            0 => get(&format!("wmi/{text}"), &[("JobId", ID)], ""),
            1 => get(WMI, &[(&name, &text)], ""),
            2 => get(WMI, &[("JobId", ID)], &fragment),
            3 => set_job_state("1").replace("<s:Body>", &format!("<s:Body>{body}")),
            _ => request(&format!("{WMI}/{name}"), WMI, &selectors(&[("JobId", &text)]), &body),
        };
        let bench = Bench::with_job();
        let answer = runtime.block_on(bench.post(&request));
        let envelope = answer.envelope.expect("an envelope");
        prop_assert!(Envelope::parse(&envelope, &LIMITS).is_ok());
    }
}
