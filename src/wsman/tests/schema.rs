//! Class metadata, as `Get-CimClass` and typed reads ask for it.

use super::*;

const URI: &str = "http://schemas.dmtf.org/wbem/cim-xml/2/cim-schema/2/*";

/// The options of the CIM cmdlets, in their captured shape.
const ALL: &str = "<w:OptionSet>\
    <w:Option Name=\"IncludeInheritanceHierarchy\" Type=\"xs:boolean\">true</w:Option>\
    <w:Option Name=\"IncludeInheritedElements\" Type=\"xs:boolean\">true</w:Option>\
    <w:Option Name=\"IncludeQualifiers\" Type=\"xs:boolean\">true</w:Option>\
    <w:Option Name=\"__MI_CallbackRegistration\" Type=\"xs:int\">11</w:Option>\
    <w:Option Name=\"wmiarray:__MI_OPERATIONOPTIONS_CHANNELVALUE\" MustComply=\"true\">0</w:Option>\
    <w:Option Name=\"msftwinrm:UsePreciseArrays\" Type=\"xs:boolean\">true</w:Option>\
    </w:OptionSet>";

fn options(all: &[(&str, &str)]) -> String {
    let all: Vec<String> = all
        .iter()
        .map(|(name, value)| format!("<w:Option Name=\"{name}\">{value}</w:Option>"))
        .collect();
    format!("<w:OptionSet>{}</w:OptionSet>", all.concat())
}

fn enumerate(more: &str, wish: &str) -> String {
    let body = format!("<n:Enumerate>{wish}</n:Enumerate>");
    request(&format!("{ENUMERATION}/Enumerate"), URI, more, &body)
}

fn pull(context: &str, more: &str, wish: &str) -> String {
    let body =
        format!("<n:Pull><n:EnumerationContext>{context}</n:EnumerationContext>{wish}</n:Pull>");
    request(&format!("{ENUMERATION}/Pull"), URI, more, &body)
}

const OPTIMIZED: &str = "<w:OptimizeEnumeration/><w:MaxElements>32000</w:MaxElements>";

/// An endpoint whose catalog has derived classes beside those of BITS.
fn with_derived() -> Bench {
    let mut jobs = Jobs::new();
    jobs.catalog = Catalog::of_mof(concat!(
        include_str!("../../../schemas/bits.mof"),
        "#pragma namespace(\"root/x\")
         [abstract] class Base { string Id; };
         class Middle : Base { uint8 N; };
         class Leaf : Middle { uint8 M; };"
    ))
    .expect("correct MOF");
    Bench::with(jobs, WsmanSettings::default())
}

fn names(items: &[Element<'_>]) -> Vec<String> {
    items
        .iter()
        .map(|item| item.attribute("", "NAME").unwrap_or_default().to_owned())
        .collect()
}

/// The names of the classes in an optimized answer that holds them all.
async fn listed(bench: &Bench, all: &[(&str, &str)], more: &str) -> Vec<String> {
    let more = format!("{}{more}", selectors(all));
    let answer = bench.ok(&enumerate(&more, OPTIMIZED)).await;
    let envelope = parsed(&answer);
    let response = envelope.payload().expect("a response");
    assert!(response.child(ns::WSMAN, "EndOfSequence").is_some());
    names(
        response
            .child(ns::WSMAN, "Items")
            .expect("items")
            .children(),
    )
}

/// What clients cast instances by must be what instances are.
#[tokio::test]
async fn the_document_of_a_class_and_its_instances_are_in_lock_step() {
    let bench = Bench::with_job();
    let all = [
        ("__cimnamespace", "root/microsoft/bits"),
        ("ClassName", "bitsclientjob"),
    ];
    let class = bench.ok(&get(URI, &all, ALL)).await;
    let class = parsed(&class);
    let class = class.payload().expect("a class");
    assert!(class.is("", "CLASS"), "no namespace");
    assert_eq!(class.attribute("", "NAME"), Some("BitsClientJob"));
    let answer = bench
        .ok(&get(WMI, &[("JobId", ID)], "<w:RequestEPR/>"))
        .await;
    let envelope = parsed(&answer);
    let instance = envelope.payload().expect("an instance");
    hold_together(class, instance, 17);

    let epr = envelope
        .header(ns::WSMAN, "RequestedEPR")
        .expect("asked for");
    let set = epr.children()[0]
        .child(ns::ADDRESSING, "ReferenceParameters")
        .and_then(|parameters| parameters.child(ns::WSMAN, "SelectorSet"));
    let selected: Vec<_> = set
        .expect("selectors")
        .children()
        .iter()
        .filter_map(|selector| selector.attribute("", "Name"))
        .collect();
    let keys: Vec<_> = class
        .children()
        .iter()
        .filter(|property| qualifier(property, "key").is_some())
        .filter_map(|property| property.attribute("", "NAME"))
        .collect();
    assert_eq!(keys, selected);

    let files = named(class.children(), "PROPERTY.ARRAY");
    let part = qualifier(files[0], "EmbeddedInstance").expect("embedded");
    let all = [("ClassName", part)];
    let part = bench.ok(&get(URI, &all, ALL)).await;
    let part = parsed(&part);
    let file = named(instance.children(), "Files")[0];
    hold_together(part.payload().expect("a class"), file, 5);
}

/// Every property has its element, of its type, and every element its property.
fn hold_together(class: &Element<'_>, instance: &Element<'_>, count: usize) {
    let properties: Vec<_> = class
        .children()
        .iter()
        .filter(|child| child.local().starts_with("PROPERTY"))
        .collect();
    assert_eq!(properties.len(), count);
    for element in instance.children() {
        assert!(
            properties
                .iter()
                .any(|property| property.attribute("", "NAME") == Some(element.local())),
            "{}",
            element.local()
        );
    }
    for property in properties {
        let name = property.attribute("", "NAME").expect("a name");
        let elements = named(instance.children(), name);
        let is_array = property.local() == "PROPERTY.ARRAY";
        assert!(is_array || elements.len() == 1, "{name}");
        for element in elements {
            if element.attribute(ns::XSI, "nil").is_some() {
                continue;
            }
            let text = element.text();
            let is_embedded = qualifier(property, "EmbeddedInstance").is_some();
            assert_eq!(is_embedded, !element.children().is_empty(), "{name}");
            let is_of_type = match property.attribute("", "TYPE").expect("a type") {
                "boolean" => matches!(text, "true" | "false"),
                "uint16" => text.parse::<u16>().is_ok(),
                "uint32" => text.parse::<u32>().is_ok(),
                "uint64" => text.parse::<u64>().is_ok(),
                "string" => true,
                _ => false,
            };
            assert!(is_of_type, "{name}: {text}");
        }
    }
}

fn qualifier<'e>(of: &'e Element<'_>, name: &str) -> Option<&'e str> {
    of.children()
        .iter()
        .find(|child| {
            child
                .attribute("", "NAME")
                .is_some_and(|own| own.eq_ignore_ascii_case(name))
        })
        .and_then(|qualifier| qualifier.child("", "VALUE"))
        .map(Element::text)
}

#[tokio::test]
async fn a_class_is_as_much_as_is_asked_for() {
    let bench = with_derived();
    let all = [("__cimnamespace", "ROOT\\x"), ("classname", "leaf")];
    let whole = "<CLASS NAME=\"Leaf\" SUPERCLASS=\"Middle\" DERIVATION=\"Middle,Base\">\
         <PROPERTY NAME=\"Id\" CLASSORIGIN=\"Base\" PROPAGATED=\"true\" TYPE=\"string\"/>\
         <PROPERTY NAME=\"N\" CLASSORIGIN=\"Middle\" PROPAGATED=\"true\" TYPE=\"uint8\"/>\
         <PROPERTY NAME=\"M\" CLASSORIGIN=\"Leaf\" TYPE=\"uint8\"/></CLASS>";
    let own =
        "<CLASS NAME=\"Leaf\" SUPERCLASS=\"Middle\"><PROPERTY NAME=\"M\" TYPE=\"uint8\"/></CLASS>";
    for (more, wanted) in [
        (ALL.to_owned(), whole.to_owned()),
        (String::new(), own.to_owned()),
        (
            options(&[
                ("IncludeQualifiers", "FALSE"),
                ("wmi:IncludeInheritedElements", "0"),
            ]),
            own.to_owned(),
        ),
        (
            options(&[("IncludeClassOrigin", "1")]),
            own.replace(" TYPE", " CLASSORIGIN=\"Leaf\" TYPE"),
        ),
        (
            options(&[
                ("IncludeInheritanceHierarchy", "true"),
                ("wmi:IncludeInheritedElements", ""),
                ("IncludeClassOrigin", "false"),
            ]),
            whole
                .replace(" CLASSORIGIN=\"Base\"", "")
                .replace(" CLASSORIGIN=\"Middle\"", "")
                .replace(" CLASSORIGIN=\"Leaf\"", ""),
        ),
    ] {
        let answer = bench.ok(&get(URI, &all, &more)).await;
        let (_, body) = answer.split_once("<s:Body>").expect("a body");
        assert_eq!(body, format!("{wanted}</s:Body></s:Envelope>"), "{more}");
    }
}

#[tokio::test]
async fn all_classes_of_a_namespace_are_listed() {
    let bench = with_derived();
    let bits = ["BitsClientFile", "BitsClientJob"];
    let x = ["Base", "Middle", "Leaf"];
    for all in [
        vec![("__cimnamespace", "root/microsoft/bits"), ("ClassName", "")],
        vec![("__cimnamespace", "root\\Microsoft\\bits")],
    ] {
        assert_eq!(listed(&bench, &all, ALL).await, bits);
    }
    assert_eq!(listed(&bench, &[], "").await, [&bits[..], &x[..]].concat());
    let derived = |name| [("__cimnamespace", "root/x"), ("ClassName", name)];
    let flat = options(&[("IncludeSubClasses", "false")]);
    assert_eq!(listed(&bench, &derived(""), &flat).await, ["Base"]);
    assert_eq!(
        listed(&bench, &derived("base"), "").await,
        ["Middle", "Leaf"]
    );
    assert_eq!(listed(&bench, &derived("Base"), &flat).await, ["Middle"]);
    assert!(listed(&bench, &derived("Leaf"), "").await.is_empty());
}

#[tokio::test]
async fn names_and_paths_may_stand_for_classes() {
    let bench = with_derived();
    let path = |name: &str| {
        format!(
            "<LOCALCLASSPATH><LOCALNAMESPACEPATH><NAMESPACE NAME=\"root\"/><NAMESPACE NAME=\"x\"/>\
             </LOCALNAMESPACEPATH><CLASSNAME NAME=\"{name}\"/></LOCALCLASSPATH>"
        )
    };
    let class =
        "<CLASS NAME=\"Middle\" SUPERCLASS=\"Base\"><PROPERTY NAME=\"N\" TYPE=\"uint8\"/></CLASS>";
    for (all, wanted) in [
        (
            vec![("ExcludeClassSpecification", "true")],
            "<CLASSNAME NAME=\"Middle\"/>".to_owned(),
        ),
        (
            vec![
                ("ExcludeClassSpecification", "true"),
                ("IncludePath", "true"),
            ],
            path("Middle"),
        ),
        (
            vec![("IncludePath", "true")],
            format!(
                "<VALUE.OBJECTWITHLOCALPATH>{}{class}</VALUE.OBJECTWITHLOCALPATH>",
                path("Middle")
            ),
        ),
        (vec![], class.to_owned()),
    ] {
        let flat = [("IncludeSubClasses", "false")];
        let more = selectors(&[("__cimnamespace", "root/x"), ("ClassName", "Base")])
            + &options(&[&all[..], &flat[..]].concat());
        let answer = bench.ok(&enumerate(&more, OPTIMIZED)).await;
        let items = format!("<wsman:Items>{wanted}</wsman:Items>");
        assert!(answer.contains(&items), "{answer}");
    }
}

#[tokio::test]
async fn classes_are_pulled_one_after_the_other() {
    let bench = with_derived();
    let count = "<w:RequestTotalItemsCountEstimate/>";
    let more = selectors(&[("__cimnamespace", "root/x")]) + count;
    let answer = bench
        .ok(&enumerate(&more, "<n:Expires>PT1H</n:Expires>"))
        .await;
    assert!(answer.contains("<wsman:TotalItemsCountEstimate>3<"));
    assert!(
        answer.contains("<n:Expires>PT3600") && !answer.contains("Items>"),
        "{answer}"
    );
    let context = |answer: &str| {
        let envelope = parsed(answer);
        let response = envelope.payload().expect("a response");
        let context = response.child(ns::ENUMERATION, "EnumerationContext");
        context.map_or(String::new(), |context| context.text().to_owned())
    };
    let name = context(&answer);
    let first = bench.ok(&pull(&name, count, "")).await;
    assert!(first.contains("<n:Items><CLASS NAME=\"Base\">"), "{first}");
    assert!(first.contains("<wsman:TotalItemsCountEstimate>3<"));
    let name = context(&first);
    // What does not fit by itself is refused, and the context goes on.
    let characters = "<n:MaxElements>9</n:MaxElements><n:MaxCharacters>20</n:MaxCharacters>";
    assert_eq!(
        gist(&bench.fault(&pull(&name, "", characters)).await),
        "wsman:EncodingLimit/MaxEnvelopeSizeExceeded 2150858824"
    );
    let rest = bench
        .ok(&pull(&name, "", "<n:MaxElements>9</n:MaxElements>"))
        .await;
    assert!(rest.contains("NAME=\"Middle\"") && rest.contains("NAME=\"Leaf\""));
    assert!(rest.contains("<n:EndOfSequence/>") && context(&rest).is_empty());
    assert_eq!(
        gist(&bench.fault(&pull(&name, "", "")).await),
        "n:InvalidEnumerationContext 2150858779"
    );
    // One by one from the start, and by octets.
    let more = selectors(&[("__cimnamespace", "root/x")]);
    let answer = bench
        .ok(&enumerate(&more, "<w:OptimizeEnumeration/>"))
        .await;
    assert!(
        answer.contains("<wsman:Items><CLASS NAME=\"Base\">"),
        "{answer}"
    );
    let second = bench.ok(&pull(&context(&answer), "", "")).await;
    assert!(second.contains("<n:Items><CLASS NAME=\"Middle\""));
    let small = "<w:MaxEnvelopeSize>8192</w:MaxEnvelopeSize>";
    let more = selectors(&[("__cimnamespace", "root/microsoft/bits")]) + ALL + small;
    let answer = bench.ok(&enumerate(&more, OPTIMIZED)).await;
    assert!(answer.len() <= 8_192 && answer.contains("NAME=\"BitsClientFile\""));
    assert!(!answer.contains("EndOfSequence"));
    let name = context(&answer);
    let stuck = pull(&name, small, "");
    assert_eq!(
        gist(&bench.fault(&stuck).await),
        "wsman:EncodingLimit/MaxEnvelopeSizeExceeded 2150858824"
    );
    let last = bench.ok(&pull(&name, "", "")).await;
    assert!(last.contains("NAME=\"BitsClientJob\"") && last.contains("EndOfSequence"));
}

#[tokio::test]
async fn requests_for_classes_that_are_wrong_are_refused() {
    let bench = with_derived();
    let job = [("ClassName", "BitsClientJob")];
    let small = format!("{ALL}<w:MaxEnvelopeSize>8192</w:MaxEnvelopeSize>");
    let fragment = "<w:FragmentTransfer s:mustUnderstand=\"1\">x</w:FragmentTransfer>";
    let unknown = "a:DestinationUnreachable/InvalidResourceURI 2150858752";
    for (text, wanted) in [
        (get(URI, &[("ClassName", "Nothing")], ""), unknown),
        (
            get(URI, &[("__cimnamespace", "root/cimv2"), job[0]], ""),
            unknown,
        ),
        (
            enumerate(&selectors(&[("__cimnamespace", "root/cimv2")]), OPTIMIZED),
            unknown,
        ),
        (
            enumerate(&selectors(&[("ClassName", "Nothing")]), OPTIMIZED),
            unknown,
        ),
        (
            get(URI, &[("ClassName", "")], ""),
            "wsman:InvalidSelectors/InsufficientSelectors 2150858842",
        ),
        (
            get(URI, &[("JobId", ID), job[0]], ""),
            "wsman:InvalidSelectors/UnexpectedSelectors 2150858843",
        ),
        (
            get(URI, &job, &options(&[("IncludeQualifiers", "perhaps")])),
            "wsman:InvalidOptions/InvalidValue 2150858835",
        ),
        (
            get(URI, &job, &small),
            "wsman:EncodingLimit/MaxEnvelopeSizeExceeded 2150858824",
        ),
        (
            get(URI, &job, fragment),
            "wsman:UnsupportedFeature/FragmentLevelAccess 2150858871",
        ),
        (
            get(URI, &job, "").replace("/Get<", "/Put<"),
            "a:ActionNotSupported 2150858771",
        ),
        (
            enumerate("", "<w:EnumerationMode>EnumerateEPR</w:EnumerationMode>"),
            "wsman:UnsupportedFeature/EnumerationMode 2150858886",
        ),
        (
            enumerate("", "<w:Filter>select * from meta_class</w:Filter>"),
            "n:FilteringNotSupported 2150858776",
        ),
        (
            enumerate("", "<n:EndTo/>"),
            "wsman:UnsupportedFeature/AddressingMode 2150858870",
        ),
        (
            enumerate("", "<w:MaxElements>0</w:MaxElements>"),
            "wsman:SchemaValidationError 2150858817",
        ),
        (
            enumerate("", "").replace("n:Enumerate>", "n:Enumerated>"),
            "wsman:SchemaValidationError 2150858817",
        ),
    ] {
        assert_eq!(gist(&bench.fault(&text).await), wanted, "{text}");
    }
}
