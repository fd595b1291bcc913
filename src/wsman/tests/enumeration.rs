//! Enumerate, Pull, Release.

use super::*;

/// All jobs of the namespace, in either family.
pub(super) const ALL_WMI: &str =
    "http://schemas.microsoft.com/wbem/wsman/1/wmi/root/microsoft/bits/*";
pub(super) const ALL_DMTF: &str = "http://schemas.dmtf.org/wbem/wscim/1/*";

pub(super) fn enumerate(uri: &str, more: &str, wish: &str) -> String {
    request(
        &format!("{ENUMERATION}/Enumerate"),
        uri,
        more,
        &format!("<n:Enumerate>{wish}</n:Enumerate>"),
    )
}

pub(super) fn pull(context: &str, more: &str, wish: &str) -> String {
    // winrm-rs names this resource whatever it enumerates.
    request(
        &format!("{ENUMERATION}/Pull"),
        "http://schemas.microsoft.com/wbem/wsman/1/wmi/root/cimv2/*",
        more,
        &format!("<n:Pull><n:EnumerationContext>{context}</n:EnumerationContext>{wish}</n:Pull>"),
    )
}

pub(super) fn id(number: usize) -> String {
    format!("{{00000000-0000-0000-0000-{number:012}}}")
}

pub(super) fn with_jobs(count: usize) -> Bench {
    let bench = Bench::new();
    for number in 0..count {
        bench.jobs.add(&id(number), 1);
    }
    bench
}

/// Context, items, whether it was the end.
pub(super) fn take_apart(answer: &str, items_ns: &str) -> (String, usize, bool) {
    let envelope = parsed(answer);
    let body = envelope.payload().expect("a response");
    let context = body.child(ns::ENUMERATION, "EnumerationContext");
    let items = body.child(items_ns, "Items");
    (
        context.map_or(String::new(), |context| context.text().to_owned()),
        items.map_or(0, |items| items.children().len()),
        body.child(items_ns, "EndOfSequence").is_some(),
    )
}

#[tokio::test]
async fn an_optimized_enumeration_that_fits_needs_no_pull() {
    let bench = with_jobs(3);
    let wish = "<w:MaxElements>32000</w:MaxElements><w:OptimizeEnumeration/>";
    let answer = bench.ok(&enumerate(WMI, "", wish)).await;
    assert_eq!(take_apart(&answer, ns::WSMAN), (String::new(), 3, true));
    let empty = with_jobs(0).ok(&enumerate(WMI, "", wish)).await;
    assert_eq!(take_apart(&empty, ns::WSMAN), (String::new(), 0, true));
    assert!(empty.contains("<n:EnumerationContext></n:EnumerationContext>"));
}

#[tokio::test]
async fn a_plain_enumeration_gives_one_item_a_pull() {
    let bench = with_jobs(2);
    let answer = bench.ok(&enumerate(WMI, "", "")).await;
    let (context, items, is_last) = take_apart(&answer, ns::WSMAN);
    assert!(context.starts_with("uuid:") && items == 0 && !is_last);
    let first = bench.ok(&pull(&context, "", "")).await;
    assert_eq!(
        take_apart(&first, ns::ENUMERATION),
        (context.clone(), 1, false)
    );
    let last = bench.ok(&pull(&context, "", "")).await;
    assert_eq!(take_apart(&last, ns::ENUMERATION), (String::new(), 1, true));
    assert_eq!(
        gist(&bench.fault(&pull(&context, "", "")).await),
        "n:InvalidEnumerationContext 2150858779"
    );
}

#[tokio::test]
async fn every_job_comes_once_whatever_the_sizes() {
    let bench = with_jobs(100);
    for (more, wish) in [
        ("", "<n:MaxElements>7</n:MaxElements>"),
        (
            "<w:MaxEnvelopeSize>8192</w:MaxEnvelopeSize>",
            "<n:MaxElements>99</n:MaxElements>",
        ),
        (
            "",
            "<n:MaxCharacters>3000</n:MaxCharacters><n:MaxElements>1000</n:MaxElements>",
        ),
    ] {
        let mode = "<w:OptimizeEnumeration/><w:MaxElements>3</w:MaxElements>\
            <w:EnumerationMode>EnumerateObjectAndEPR</w:EnumerationMode>";
        let answer = bench.ok(&enumerate(DMTF, more, mode)).await;
        let mut seen = answer.matches("Name=\"JobId\"").count();
        let (mut context, items, mut is_last) = take_apart(&answer, ns::WSMAN);
        assert_eq!(items, 3);
        while !is_last {
            let answer = bench.ok(&pull(&context, more, wish)).await;
            if more.contains("8192") {
                assert!(answer.len() <= 8_192);
            }
            seen += answer.matches("Name=\"JobId\"").count();
            let items;
            (context, items, is_last) = take_apart(&answer, ns::ENUMERATION);
            assert!(items > 0);
        }
        assert_eq!(seen, 100);
    }
}

#[tokio::test]
async fn addresses_carry_the_namespace_for_dmtf_requests_only() {
    let bench = with_jobs(1);
    let wish = "<w:OptimizeEnumeration/><w:EnumerationMode>EnumerateEPR</w:EnumerationMode>";
    let wmi = bench.ok(&enumerate(WMI, "", wish)).await;
    assert!(wmi.contains(&format!("<wsman:ResourceURI>{WMI}</wsman:ResourceURI>")));
    assert!(wmi.contains(&format!(
        "<wsman:SelectorSet><wsman:Selector Name=\"JobId\">{}</wsman:Selector></wsman:SelectorSet>",
        id(0)
    )));
    let dmtf = bench.ok(&enumerate(DMTF, "", wish)).await;
    assert!(
        dmtf.contains(
            "<wsman:Selector Name=\"__cimnamespace\">root/microsoft/bits</wsman:Selector>"
        )
    );
}

#[tokio::test]
async fn a_large_job_does_not_block_those_after_it() {
    let bench = Bench::new();
    bench.jobs.add(&id(0), 1);
    bench.jobs.add(&id(1), 1_000);
    bench.jobs.add(&id(2), 1);
    let more = "<w:MaxEnvelopeSize>10000</w:MaxEnvelopeSize>";
    let wish = "<w:OptimizeEnumeration/><w:MaxElements>10</w:MaxElements>";
    let answer = bench.ok(&enumerate(WMI, more, wish)).await;
    assert_eq!(take_apart(&answer, ns::WSMAN), (String::new(), 3, true));
    assert_eq!(answer.matches("<p:Files xsi:nil=\"true\"/>").count(), 1);
    assert!(answer.len() <= 10_000);
}

#[tokio::test]
async fn an_item_that_never_fits_is_refused_and_the_context_stays() {
    let bench = with_jobs(1);
    let long = "x".repeat(9_000);
    bench.jobs.all.lock().expect("no panic")[0]
        .set("Description", Value::from(long.as_str()))
        .expect("in the schema");
    let small = "<w:MaxEnvelopeSize>8192</w:MaxEnvelopeSize>";
    let wish = "<w:OptimizeEnumeration/><w:MaxElements>10</w:MaxElements>";
    let answer = bench.ok(&enumerate(WMI, small, wish)).await;
    let (context, items, is_last) = take_apart(&answer, ns::WSMAN);
    assert!(items == 0 && !is_last);
    assert_eq!(
        gist(&bench.fault(&pull(&context, small, "")).await),
        "wsman:EncodingLimit/MaxEnvelopeSizeExceeded 2150858824"
    );
    let answer = bench.ok(&pull(&context, "", "")).await;
    assert_eq!(
        take_apart(&answer, ns::ENUMERATION),
        (String::new(), 1, true)
    );
    assert_eq!(
        gist(&bench.fault(&get(WMI, &[("JobId", &id(0))], small)).await),
        "wsman:EncodingLimit/MaxEnvelopeSizeExceeded 2150858824"
    );
}

#[tokio::test]
async fn the_number_of_items_is_told_on_request() {
    let bench = with_jobs(5);
    let more = "<w:RequestTotalItemsCountEstimate/>";
    let answer = bench.ok(&enumerate(WMI, more, "")).await;
    assert!(answer.contains("<wsman:TotalItemsCountEstimate>5<"));
    let (context, _, _) = take_apart(&answer, ns::WSMAN);
    let answer = bench.ok(&pull(&context, more, "")).await;
    assert!(answer.contains("<wsman:TotalItemsCountEstimate>5<"));
}

#[tokio::test]
async fn a_context_is_released_renewed_and_bound_to_its_user() {
    let mut bench = with_jobs(2);
    let answer = bench
        .ok(&enumerate(WMI, "", "<n:Expires>PT10M</n:Expires>"))
        .await;
    assert!(answer.contains("<n:Expires>PT600.000S</n:Expires>"));
    let (context, _, _) = take_apart(&answer, ns::WSMAN);
    let about = |operation: &str, more: &str| {
        request(
            &format!("{ENUMERATION}/{operation}"),
            WMI,
            "",
            &format!(
                "<n:{operation}><n:EnumerationContext>{context}</n:EnumerationContext>{more}</n:{operation}>"
            ),
        )
    };
    let answer = bench
        .ok(&about("Renew", "<n:Expires>PT1M</n:Expires>"))
        .await;
    assert!(
        answer.contains("<n:Expires>PT60.000S</n:Expires>"),
        "{answer}"
    );
    let answer = bench.ok(&about("GetStatus", "")).await;
    assert!(
        answer.contains("<n:GetStatusResponse><n:Expires>PT59."),
        "{answer}"
    );
    bench.by = Principal::for_test("otto", Scope::All);
    let invalid = "n:InvalidEnumerationContext 2150858779";
    assert_eq!(gist(&bench.fault(&about("Release", "")).await), invalid);
    bench.by = Principal::for_test("anna", Scope::Own);
    let answer = bench.ok(&about("Release", "")).await;
    assert!(parsed(&answer).payload().is_none());
    assert_eq!(gist(&bench.fault(&about("Release", "")).await), invalid);
}

#[tokio::test]
async fn wishes_that_are_not_granted_have_their_faults() {
    let bench = with_jobs(1);
    let dialect = |name: &str| format!("<w:Filter Dialect=\"{name}\">x</w:Filter>");
    let wql = dialect("http://schemas.microsoft.com/wbem/wsman/1/WQL");
    for (wish, wanted) in [
        (
            dialect("urn:other").as_str(),
            "n:FilterDialectRequestedUnavailable 2150858777",
        ),
        (
            "<n:Filter Dialect=\"urn:other\">x</n:Filter>",
            "n:FilterDialectRequestedUnavailable 2150858777",
        ),
        (
            format!("{wql}<n:Filter>x</n:Filter>").as_str(),
            "n:CannotProcessFilter 2150858778",
        ),
        (
            "<w:EnumerationMode>All</w:EnumerationMode>",
            "wsman:UnsupportedFeature/EnumerationMode 2150858886",
        ),
        (
            "<b:PolymorphismMode>Deep</b:PolymorphismMode>",
            "b:PolymorphismModeNotSupported 2150859063",
        ),
        (
            "<n:EndTo/>",
            "wsman:UnsupportedFeature/AddressingMode 2150858870",
        ),
        (
            "<n:Expires>PT0S</n:Expires>",
            "n:InvalidExpirationTime 2150858774",
        ),
        (
            "<n:Expires>-PT5S</n:Expires>",
            "n:InvalidExpirationTime 2150858774",
        ),
        (
            "<n:Expires>2030-01-01T00:00:00Z</n:Expires>",
            "n:UnsupportedExpirationType 2150858775",
        ),
        (
            "<w:MaxElements>0</w:MaxElements>",
            "wsman:SchemaValidationError 2150858817",
        ),
    ] {
        let fault = bench.fault(&enumerate(WMI, "", wish)).await;
        assert_eq!(gist(&fault), wanted, "{wish}");
    }
    for all in [ALL_DMTF, ALL_WMI] {
        assert_eq!(
            gist(&bench.fault(&enumerate(all, "", "")).await),
            "e:FilteringRequestedUnavailable/FilteringRequired 2150858831"
        );
    }
    let keys = selectors(&[("JobId", ID)]);
    assert_eq!(
        gist(&bench.fault(&enumerate(WMI, &keys, "")).await),
        "wsman:InvalidSelectors/UnexpectedSelectors 2150859016"
    );
    let bare = request(&format!("{ENUMERATION}/Enumerate"), WMI, "", "");
    assert_eq!(
        gist(&bench.fault(&bare).await),
        "wsman:SchemaValidationError 2150858817"
    );
}

#[tokio::test]
async fn all_modes_of_polymorphism_give_the_same() {
    let bench = with_jobs(2);
    let mut answers = Vec::new();
    for mode in [
        "",
        "<b:PolymorphismMode>IncludeSubClassProperties</b:PolymorphismMode>",
        "<b:PolymorphismMode>ExcludeSubClassProperties</b:PolymorphismMode>",
        "<b:PolymorphismMode> None </b:PolymorphismMode>",
    ] {
        let wish = format!("{mode}<w:OptimizeEnumeration/><w:MaxElements>9</w:MaxElements>");
        let answer = bench.ok(&enumerate(WMI, "", &wish)).await;
        assert_eq!(take_apart(&answer, ns::WSMAN), (String::new(), 2, true));
        let body = answer.split_once("<s:Body>").expect("a body").1;
        answers.push(body.to_owned());
    }
    answers.dedup();
    assert_eq!(answers.len(), 1);
}

#[tokio::test]
async fn a_class_without_instances_of_its_own_has_none() {
    let bench = with_jobs(1);
    let more = "<w:RequestTotalItemsCountEstimate/>";
    for uri in [WMI, DMTF] {
        let uri = uri.replace("BitsClientJob", "bitsclientfile");
        let answer = bench
            .ok(&enumerate(&uri, more, "<w:OptimizeEnumeration/>"))
            .await;
        assert_eq!(take_apart(&answer, ns::WSMAN), (String::new(), 0, true));
        assert!(answer.contains("<wsman:TotalItemsCountEstimate>0<"));
        let answer = bench.ok(&enumerate(&uri, "", "")).await;
        let (context, _, is_last) = take_apart(&answer, ns::WSMAN);
        assert!(!is_last);
        let answer = bench.ok(&pull(&context, "", "")).await;
        assert_eq!(
            take_apart(&answer, ns::ENUMERATION),
            (String::new(), 0, true)
        );
        let key = selectors(&[("LocalFile", "/srv/0")]);
        assert_eq!(
            gist(&bench.fault(&enumerate(&uri, &key, "")).await),
            "wsman:InvalidSelectors/UnexpectedSelectors 2150858843"
        );
    }
}

#[tokio::test]
async fn classes_and_namespaces_that_are_not_there_are_told_apart() {
    let bench = with_jobs(1);
    let wmi = "http://schemas.microsoft.com/wbem/wsman/1/wmi";
    let unknown = "a:DestinationUnreachable/InvalidResourceURI 2150858752";
    for (uri, namespace, status) in [
        (format!("{wmi}/root/microsoft/bits/Other"), None, ""),
        (
            format!("{wmi}/root/cimv2/BitsClientJob"),
            None,
            ">2147749902<",
        ),
        (DMTF.to_owned(), Some("root/cimv2"), ">2147749902<"),
    ] {
        let namespace =
            namespace.map_or(String::new(), |name| selectors(&[("__cimnamespace", name)]));
        let answer = bench.post(&enumerate(&uri, &namespace, "")).await;
        assert_eq!(gist(&fault_of(&answer)), unknown, "{uri}");
        let text = answer.envelope.expect("an envelope");
        assert!(text.contains(status), "{text}");
    }
    let differ = selectors(&[("__cimnamespace", "root/cimv2")]);
    for uri in [WMI, ALL_WMI] {
        let filter = "<w:Filter Dialect=\"urn:other\">x</w:Filter>";
        assert_eq!(
            gist(&bench.fault(&enumerate(uri, &differ, filter)).await),
            "wsman:InternalError 2150859067",
            "{uri}"
        );
    }
}

#[tokio::test]
async fn a_dialect_that_is_not_read_is_answered_with_those_that_are() {
    let bench = with_jobs(1);
    let filter = "<w:Filter Dialect=\"urn:other\">x</w:Filter>";
    let answer = bench.post(&enumerate(WMI, "", filter)).await;
    let text = answer.envelope.expect("an envelope");
    let detail = text.split_once("</f:WSManFault>").expect("a detail").1;
    assert_eq!(
        detail,
        "<n:SupportedDialect>http://schemas.microsoft.com/wbem/wsman/1/WQL</n:SupportedDialect>\
         <n:SupportedDialect>http://schemas.dmtf.org/wbem/wsman/1/wsman/SelectorFilter\
         </n:SupportedDialect><n:SupportedDialect>\
         http://schemas.dmtf.org/wbem/wsman/1/cimbinding/associationFilter</n:SupportedDialect>\
         <n:SupportedDialect>http://www.w3.org/TR/1999/REC-xpath-19991116</n:SupportedDialect>\
         </s:Detail></s:Fault></s:Body></s:Envelope>"
    );
}

#[tokio::test]
async fn the_configuration_and_the_classes_have_no_filters() {
    let bench = with_jobs(1);
    let filter = "<w:Filter Dialect=\"urn:other\">x</w:Filter>";
    for uri in [
        "http://schemas.microsoft.com/wbem/wsman/1/config/listener",
        "http://schemas.dmtf.org/wbem/cim-xml/2/cim-schema/2/*",
    ] {
        assert_eq!(
            gist(&bench.fault(&enumerate(uri, "", filter)).await),
            "n:FilteringNotSupported 2150858776"
        );
    }
}

#[tokio::test]
async fn the_limits_in_force_are_those_that_were_set_last() {
    let wsman = WsmanSettings {
        max_enumerations_per_user: 1,
        max_enumerations: 1,
        max_batch_items: 2,
        ..WsmanSettings::default()
    };
    let current = current(wsman.clone());
    let mut bench = with_jobs(5);
    let jobs: Arc<dyn Provider> = Arc::new(Arc::clone(&bench.jobs));
    bench.endpoint = Endpoint::new(&current, bench.jobs.catalog.clone(), vec![jobs])
        .expect("the class has its provider");
    let wish = "<w:OptimizeEnumeration/><w:MaxElements>9</w:MaxElements>";
    let answer = bench.ok(&enumerate(WMI, "", wish)).await;
    let (context, items, _) = take_apart(&answer, ns::WSMAN);
    assert_eq!(items, 2);
    let many = "wsman:QuotaLimit 2150858815";
    assert_eq!(gist(&bench.fault(&enumerate(WMI, "", "")).await), many);
    let set = |wsman| {
        current.set(Settings {
            wsman,
            ..Settings::default()
        });
    };
    set(WsmanSettings {
        max_enumerations_per_user: 2,
        max_enumerations: 2,
        max_batch_items: 3,
        ..wsman.clone()
    });
    bench.ok(&enumerate(WMI, "", "")).await;
    bench.by = Principal::for_test("otto", Scope::Own);
    let fault = bench.fault(&enumerate(WMI, "", "")).await;
    assert_eq!(gist(&fault), many);
    assert_eq!(
        fault.reason,
        "The service has reached the limit of open enumerations."
    );
    bench.by = Principal::for_test("anna", Scope::Own);
    let wish = "<n:MaxElements>9</n:MaxElements>";
    let answer = bench.ok(&pull(&context, "", wish)).await;
    assert_eq!(
        take_apart(&answer, ns::ENUMERATION),
        (String::new(), 3, true)
    );
}
