use proptest::prelude::*;

use super::*;
use crate::cim::Catalog;
use crate::cim::xml::Arrays;
use crate::cim::xml::Extent;
use crate::cim::xml::write_instance;
use crate::xml::Limits;
use crate::xml::Writer;
use crate::xml::parse;

const LIMITS: Limits = Limits {
    octets: 100_000,
    depth: 10,
    elements: 1_000,
    attributes: 10,
};

/// One property of every type, and arrays of some.
const MOF: &str = "
    #pragma namespace(\"root/x\")
    class Part { boolean B; uint8 U8; string S; sint64 Many[]; };
    class Whole { [key] string Id; boolean B; uint8 U8; uint16 U16; uint32 U32; uint64 U64;
        sint8 S8; sint16 S16; sint32 S32; sint64 S64; string S; string Texts[];
        uint8 Octets[]; [EmbeddedInstance(\"Part\")] string One;
        [EmbeddedInstance(\"Part\")] string Several[]; };";

fn job() -> (Arc<Class>, Vec<Arc<Class>>) {
    let catalog = Catalog::bundled().expect("schemas are correct");
    let class = catalog.class("root/microsoft/bits", "BitsClientJob");
    let class = Arc::clone(class.expect("defined"));
    let parts = catalog.parts(&class);
    (class, parts)
}

fn given(inner: &str) -> Result<Values, ReadError> {
    let (class, parts) = job();
    let text = format!(
        "<j xmlns:xsi='{}' xmlns:cim='{}'>{inner}</j>",
        ns::XSI,
        ns::CIM
    );
    let root = parse(&text, &LIMITS).expect("correct XML");
    read_creation(&class, &parts, &root)
}

#[test]
fn what_may_be_given_is_read_and_null_is_nothing() {
    let values = given(
        "<displayname xsi:type='cim:cimString'> n </displayname><Priority> 0 </Priority>\
         <Owner xsi:nil='true'/><JobId xsi:nil='1'/><Description xsi:nil='true'/>\
         <cim:Location>x</cim:Location>\
         <Files xsi:nil='true'/>\
         <Files><RemoteUrl>u</RemoteUrl><LocalFile>a</LocalFile><BytesTotal xsi:nil='true'/></Files>\
         <Files><p:LOCALFILE xmlns:p='urn:p'>b</p:LOCALFILE><RemoteUrl>v</RemoteUrl></Files>",
    )
    .expect("correct");
    assert_eq!(values.value("DisplayName"), Some(&Value::from(" n ")));
    assert_eq!(values.value("Priority"), Some(&Value::Uint32(0)));
    for name in ["Owner", "JobId", "Description"] {
        assert!(!values.contains(name), "{name}");
    }
    let Some(Value::Array(files)) = values.value("Files") else {
        panic!("an array");
    };
    let local = |value: &Value| match value {
        Value::Instance(file) => file.value("LocalFile").cloned(),
        _ => None,
    };
    let locals: Vec<_> = files.iter().map(local).collect();
    assert_eq!(locals, [Some("a".into()), Some("b".into())]);
}

#[test]
fn what_may_not_be_given_or_is_missing_is_named() {
    let name = |name: &str| name.to_owned();
    for (inner, wanted) in [
        (
            "<Priority>1</Priority>",
            ReadError::Missing(name("DisplayName")),
        ),
        (
            "<DisplayName xsi:nil='true'/>",
            ReadError::Missing(name("DisplayName")),
        ),
        ("<Colour>1</Colour>", ReadError::Unknown(name("Colour"))),
        (
            "<Colour xsi:nil='true'/>",
            ReadError::Unknown(name("Colour")),
        ),
        ("<JobId>{1}</JobId>", ReadError::Fixed(name("JobId"))),
        ("<state>3</state>", ReadError::Fixed(name("State"))),
        (
            "<DisplayName>a</DisplayName><displayname>b</displayname>",
            ReadError::Twice(name("DisplayName")),
        ),
        (
            "<DisplayName>a</DisplayName><Files><RemoteUrl>u</RemoteUrl></Files>",
            ReadError::Missing(name("LocalFile")),
        ),
        (
            "<Files><BytesTotal>1</BytesTotal></Files>",
            ReadError::Fixed(name("BytesTotal")),
        ),
        (
            "<Files><Size>1</Size></Files>",
            ReadError::Unknown(name("Size")),
        ),
        (
            "<Files>C:\\x</Files>",
            ReadError::Type {
                name: name("Files"),
                expected: Expected::Instance,
            },
        ),
        (
            "<DisplayName><a/></DisplayName>",
            ReadError::Type {
                name: name("DisplayName"),
                expected: Expected::Simple,
            },
        ),
    ] {
        assert_eq!(given(inner), Err(wanted), "{inner}");
    }
}

/// Text that XML can hold: what it cannot becomes a question mark.
fn text() -> impl Strategy<Value = Value> {
    "[\\t\\n\\r -\u{D7FF}\u{E000}-\u{FFFD}\u{10000}-\u{10FFFF}]{0,12}".prop_map(Value::String)
}

fn value(kind: &Type, parts: &[Arc<Class>]) -> BoxedStrategy<Value> {
    match kind {
        Type::Boolean => any::<bool>().prop_map(Value::Boolean).boxed(),
        Type::Uint8 => any::<u8>().prop_map(Value::Uint8).boxed(),
        Type::Uint16 => any::<u16>().prop_map(Value::Uint16).boxed(),
        Type::Uint32 => any::<u32>().prop_map(Value::Uint32).boxed(),
        Type::Uint64 => any::<u64>().prop_map(Value::Uint64).boxed(),
        Type::Sint8 => any::<i8>().prop_map(Value::Sint8).boxed(),
        Type::Sint16 => any::<i16>().prop_map(Value::Sint16).boxed(),
        Type::Sint32 => any::<i32>().prop_map(Value::Sint32).boxed(),
        Type::Sint64 => any::<i64>().prop_map(Value::Sint64).boxed(),
        Type::String => text().boxed(),
        Type::Instance(name) => {
            let part = parts.iter().find(|part| part.name == *name);
            instances(part.expect("embedded"), &[])
                .prop_map(|instance| Value::Instance(Box::new(instance)))
                .boxed()
        }
    }
}

fn instances(class: &Arc<Class>, parts: &[Arc<Class>]) -> BoxedStrategy<Instance> {
    let values: Vec<BoxedStrategy<Option<Value>>> = class
        .properties
        .iter()
        .map(|property| {
            let one = value(&property.kind, parts);
            if property.is_array {
                // An array without elements is written as null.
                let array = proptest::collection::vec(one, 1..4).prop_map(Value::Array);
                proptest::option::of(array).boxed()
            } else if property.is_required {
                one.prop_map(Some).boxed()
            } else {
                proptest::option::of(one).boxed()
            }
        })
        .collect();
    let class = Arc::clone(class);
    values
        .prop_map(move |values| {
            let mut instance = Instance::new(&class);
            for (property, value) in class.properties.iter().zip(values) {
                if let Some(value) = value {
                    instance.set(&property.name, value).expect("of the type");
                }
            }
            instance
        })
        .boxed()
}

fn of_mof() -> (Arc<Class>, Vec<Arc<Class>>) {
    let catalog = Catalog::of_mof(MOF).expect("correct MOF");
    let class = Arc::clone(catalog.class("root/x", "Whole").expect("defined"));
    let parts = catalog.parts(&class);
    (class, parts)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_written_is_read_as_it_was(
        (instance, parts, is_precise) in prop_oneof![Just(of_mof()), Just(job())]
            .prop_flat_map(|(class, parts)| {
                (instances(&class, &parts), Just(parts), any::<bool>())
            })
    ) {
        let mut writer = Writer::with_capacity(4_096);
        let arrays = if is_precise { Arrays::Precise } else { Arrays::Plain };
        write_instance(&mut writer, &instance, "urn:x/", Extent::Whole, arrays);
        let text = writer.finish();
        let root = parse(&text, &LIMITS).expect("our own XML");
        let read = read_instance(instance.class(), &parts, &root);
        prop_assert_eq!(read, Ok(instance));
    }

    #[test]
    fn arbitrary_text_is_read_or_refused(text in "\\PC*", name in "[A-Za-z]{1,12}") {
        let (class, parts) = job();
        let escaped = text.replace('&', "&amp;").replace('<', "&lt;");
        for property in [name.as_str(), "Priority", "Files", "DisplayName"] {
            let text = format!("<i><{property}>{escaped}</{property}><Files><{property}>{escaped}\
                </{property}></Files></i>");
            if let Ok(root) = parse(&text, &LIMITS) {
                let _ = read_creation(&class, &parts, &root);
            }
        }
    }
}
