//! What an enumeration with a filter gives: instances or rows, and addresses.

use super::enumeration::id;
use super::enumeration::pull;
use super::enumeration::take_apart;
use super::*;
use crate::cim::Comparison;
use crate::cim::Condition;
use crate::cim::Literal;
use crate::cim::xml::Arrays;
use crate::wsman::contexts::Enumeration;
use crate::wsman::contexts::Mode;
use crate::wsman::filter::Bound;
use crate::wsman::resource::Form;
use crate::wsman::scope;
use crate::wsman::scope::Selection;

/// Opens an enumeration of jobs as a filter leaves it.
pub(super) fn open(
    bench: &Bench,
    form: Form,
    mode: Mode,
    condition: Option<Condition>,
    columns: Option<&[&str]>,
) -> String {
    let service = &bench.endpoint.service;
    let columns = columns.map(|columns| columns.iter().map(|&name| name.to_owned()).collect());
    let bound = Bound { condition, columns };
    let selection = Selection::new(bound, &service.served[0].class, mode, 100);
    let enumeration = Enumeration {
        scope: scope::Scope {
            served: Some(0),
            selection: Some(Arc::new(selection)),
        },
        form,
        mode,
        arrays: Arrays::Plain,
    };
    let name = service.contexts.open(&bench.by, enumeration, None, None);
    name.expect("below the limit")
}

/// `property = literal`.
pub(super) fn equal(property: &str, literal: &str) -> Condition {
    Condition::Compare {
        property: property.to_owned(),
        operator: Comparison::Equal,
        literal: Literal::String(literal.to_owned()),
    }
}

/// What stands in `n:Items`, as text.
fn items(answer: &str) -> &str {
    let (_, rest) = answer.split_once("<n:Items>").expect("items");
    let (items, _) = rest.rsplit_once("</n:Items>").expect("their end");
    items
}

fn address(uri: &str, key: &str, namespace: &str) -> String {
    format!(
        "<a:EndpointReference><a:Address>{}</a:Address><a:ReferenceParameters>\
         <wsman:ResourceURI>{uri}</wsman:ResourceURI><wsman:SelectorSet>\
         <wsman:Selector Name=\"JobId\">{key}</wsman:Selector>{namespace}</wsman:SelectorSet>\
         </a:ReferenceParameters></a:EndpointReference>",
        ns::ANONYMOUS
    )
}

const ALL: &str = "<n:MaxElements>9</n:MaxElements>";

const ROW: &str = "<wsman:XmlFragment xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\">";

#[tokio::test]
async fn a_row_has_its_columns_without_namespaces() {
    let bench = Bench::new();
    bench.jobs.add(&id(0), 2);
    bench.jobs.add(&id(1), 0);
    let columns = ["Description", "DisplayName", "Files", "State"];
    let context = open(&bench, Form::Wmi, Mode::Object, None, Some(&columns));
    let answer = bench.ok(&pull(&context, "", ALL)).await;
    let file = |number| {
        format!(
            "<Files><BytesTotal>18446744073709551615</BytesTotal>\
             <BytesTransferred>0</BytesTransferred><Completed>false</Completed>\
             <LocalFile>/srv/{number}</LocalFile>\
             <RemoteUrl>https://h/{number}?a&amp;b</RemoteUrl></Files>"
        )
    };
    let head = "<Description xsi:nil=\"true\"/><DisplayName>a &lt;job&gt;?</DisplayName>";
    assert_eq!(
        items(&answer),
        format!(
            "{ROW}{head}{}{}<State>3</State></wsman:XmlFragment>\
             {ROW}{head}<Files xsi:nil=\"true\"/><State>3</State></wsman:XmlFragment>",
            file(0),
            file(1)
        )
    );
}

#[tokio::test]
async fn the_mode_decides_what_stands_beside_a_row() {
    let bench = Bench::new();
    bench.jobs.add(&id(0), 1);
    let namespace = "<wsman:Selector Name=\"__cimnamespace\">root/microsoft/bits</wsman:Selector>";
    for (form, uri, namespace) in [(Form::Wmi, WMI, ""), (Form::Dmtf, DMTF, namespace)] {
        let address = address(uri, &id(0), namespace);
        let row = format!("{ROW}<State>3</State></wsman:XmlFragment>");
        for (mode, wanted) in [
            (Mode::Object, row.clone()),
            (Mode::Epr, address.clone()),
            (
                Mode::ObjectAndEpr,
                format!("<wsman:Item>{row}\n{address}</wsman:Item>"),
            ),
        ] {
            let context = open(&bench, form, mode, None, Some(&["State"]));
            let answer = bench.ok(&pull(&context, "", ALL)).await;
            assert_eq!(items(&answer), wanted);
        }
    }
}

#[tokio::test]
async fn whole_instances_bear_the_uri_of_their_class_in_the_family_asked_for() {
    let bench = Bench::new();
    for number in 0..3 {
        bench.jobs.add(&id(number), 1);
    }
    for (form, uri) in [(Form::Wmi, WMI), (Form::Dmtf, DMTF)] {
        let one = equal("JobId", &id(1));
        let context = open(&bench, form, Mode::ObjectAndEpr, Some(one), None);
        let answer = bench.ok(&pull(&context, "", ALL)).await;
        assert_eq!(
            take_apart(&answer, ns::ENUMERATION),
            (String::new(), 1, true)
        );
        assert!(answer.contains(&format!("<wsman:ResourceURI>{uri}</wsman:ResourceURI>")));
        let text = items(&answer);
        assert!(
            text.starts_with("<wsman:Item><p:BitsClientJob xmlns:xsi="),
            "{text}"
        );
        assert!(text.contains(&format!("xmlns:p=\"{uri}\"")), "{text}");
        assert!(text.contains(&format!("<p:JobId>{}</p:JobId>", id(1))));
        assert!(text.contains("<p1:LocalFile>/srv/0</p1:LocalFile>"));
    }
}

#[tokio::test]
async fn a_row_that_does_not_fit_goes_without_its_bulk() {
    let bench = Bench::new();
    bench.jobs.add(&id(0), 1_000);
    bench.jobs.add(&id(1), 1);
    let columns = ["Files", "State"];
    let context = open(&bench, Form::Wmi, Mode::Object, None, Some(&columns));
    let small = "<w:MaxEnvelopeSize>8192</w:MaxEnvelopeSize>";
    let answer = bench.ok(&pull(&context, small, ALL)).await;
    assert!(answer.len() <= 8_192);
    let text = items(&answer);
    assert!(text.starts_with(&format!("{ROW}<Files xsi:nil=\"true\"/><State>3</State>")));
    assert!(text.contains("<LocalFile>/srv/0</LocalFile>"), "{text}");
}

#[tokio::test]
async fn how_many_a_filter_leaves_is_not_told() {
    let bench = Bench::with_job();
    let context = open(&bench, Form::Wmi, Mode::Object, None, None);
    let more = "<w:RequestTotalItemsCountEstimate/>";
    let answer = bench.ok(&pull(&context, more, "")).await;
    assert!(answer.contains(
        "<wsman:TotalItemsCountEstimate xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" \
         xsi:nil=\"true\"/></s:Header>"
    ));
}

#[tokio::test]
async fn characters_are_counted_and_not_octets() {
    let bench = Bench::new();
    for number in 0..4 {
        bench.jobs.add(&id(number), 0);
        bench.jobs.all.lock().expect("no panic")[number]
            .set("DisplayName", Value::from("ä€😀".repeat(10).as_str()))
            .expect("in the schema");
    }
    let row = format!(
        "{ROW}<DisplayName>{}</DisplayName></wsman:XmlFragment>",
        "ä€😀".repeat(10)
    );
    let characters = row.chars().count();
    for (most, wanted) in [
        (characters, 1),
        (3 * characters - 1, 2),
        (3 * characters, 3),
    ] {
        let context = open(
            &bench,
            Form::Wmi,
            Mode::Object,
            None,
            Some(&["DisplayName"]),
        );
        let wish = format!("<n:MaxCharacters>{most}</n:MaxCharacters>{ALL}");
        let answer = bench.ok(&pull(&context, "", &wish)).await;
        assert_eq!(items(&answer), row.repeat(wanted));
    }
    let context = open(
        &bench,
        Form::Wmi,
        Mode::Object,
        None,
        Some(&["DisplayName"]),
    );
    let wish = format!("<n:MaxCharacters>{}</n:MaxCharacters>", characters - 1);
    assert_eq!(
        gist(&bench.fault(&pull(&context, "", &wish)).await),
        "wsman:EncodingLimit/MaxEnvelopeSizeExceeded 2150858824"
    );
}
