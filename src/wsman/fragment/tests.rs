use proptest::prelude::*;

use super::*;
use crate::cim::Catalog;
use crate::wsman::error::Error;
use crate::xml::Limits;
use crate::xml::parse;

const MOF: &str = "
    #pragma namespace(\"root/x\")
    class Part { string Name; uint8 Octets[]; };
    class Whole { [key] string Id; [write] uint8 Size; [write] string Texts[]; string Note;
        [EmbeddedInstance(\"Part\")] string One; [EmbeddedInstance(\"Part\")] string Parts[]; };";

struct Bench {
    class: Arc<Class>,
    parts: Vec<Arc<Class>>,
}

impl Bench {
    fn new() -> Self {
        let catalog = Catalog::of_mof(MOF).expect("correct MOF");
        let class = Arc::clone(catalog.class("root/x", "Whole").expect("defined"));
        let parts = catalog.parts(&class);
        Self { class, parts }
    }

    fn parse(&self, expression: &str) -> Result<Fragment<'_>, Error> {
        Fragment::parse(&self.class, &self.parts, expression)
    }

    fn instance(&self) -> Instance {
        let part = |name: &str, octets: Vec<Value>| {
            let mut part = Instance::new(&self.parts[0]);
            part.set("Name", Value::from(name)).expect("in the schema");
            part.set("Octets", Value::Array(octets))
                .expect("in the schema");
            Value::Instance(Box::new(part))
        };
        let mut whole = Instance::new(&self.class);
        for (name, value) in [
            ("Id", Value::from("i")),
            ("Size", Value::Uint8(7)),
            ("Texts", Value::Array(vec!["a&".into(), "b".into()])),
            (
                "Parts",
                Value::Array(vec![
                    part("p", vec![Value::Uint8(1), Value::Uint8(2)]),
                    part("q", Vec::new()),
                ]),
            ),
        ] {
            whole.set(name, value).expect("in the schema");
        }
        whole
    }

    fn written(&self, expression: &str) -> String {
        let fragment = self.parse(expression).expect(expression);
        let mut writer = Writer::with_capacity(1_024);
        fragment.write(&mut writer, &self.instance(), "urn:x/");
        let text = writer.finish();
        let (_, inner) = text.split_once('>').expect("a tag");
        let inner = inner.strip_suffix("</wsman:XmlFragment>");
        inner.expect("an end").to_owned()
    }

    fn read(&self, expression: &str, body: &str) -> Result<Values, Error> {
        let text = format!(
            "<w:XmlFragment xmlns:w='{}' xmlns:xsi='{}'>{body}</w:XmlFragment>",
            ns::WSMAN,
            ns::XSI
        );
        let limits = Limits {
            octets: 10_000,
            depth: 10,
            elements: 100,
            attributes: 10,
        };
        let root = parse(&text, &limits).expect("correct XML");
        self.parse(expression).expect(expression).read(&root)
    }
}

#[test]
fn a_path_leads_to_elements_text_and_nil() {
    let bench = Bench::new();
    for (expression, wanted) in [
        ("Size", "<p:Size>7</p:Size>"),
        ("./Size", "<p:Size>7</p:Size>"),
        ("Whole/Size", "<p:Size>7</p:Size>"),
        (" x-1:Whole[1] / x:Size [ 1 ] / text ( ) ", "7"),
        ("Size[2]", ""),
        ("Size/@xsi:nil", ""),
        ("Note", "<p:Note xsi:nil=\"true\"/>"),
        ("Note[1]", "<p:Note xsi:nil=\"true\"/>"),
        ("Note/text()", ""),
        ("Note/@xsi:nil", "true"),
        ("Note/@nil", "true"),
        ("Texts", "<p:Texts>a&amp;</p:Texts><p:Texts>b</p:Texts>"),
        ("Texts[2]", "<p:Texts>b</p:Texts>"),
        ("Texts[1]/text()", "a&amp;"),
        ("Texts[3]", ""),
        ("Texts[18446744073709551615]", ""),
        ("One", "<p:One xsi:nil=\"true\"/>"),
        ("One/Name", ""),
        ("Parts/Name", "<p1:Name>p</p1:Name><p1:Name>q</p1:Name>"),
        ("Parts[2]/Name[1]/text()", "q"),
        ("Parts[2]/Name[2]", ""),
        ("Parts[3]/Name", ""),
        (
            "Parts[1]/Octets",
            "<p1:Octets>1</p1:Octets><p1:Octets>2</p1:Octets>",
        ),
        ("Parts[1]/Octets[2]/text()", "2"),
        ("Parts[2]/Octets", "<p1:Octets xsi:nil=\"true\"/>"),
        ("Parts[2]/Octets/@xsi:nil", "true"),
        ("Parts[2]/text()", ""),
    ] {
        assert_eq!(bench.written(expression), wanted, "{expression}");
    }
}

#[test]
fn what_leads_nowhere_is_refused() {
    let bench = Bench::new();
    let long = format!("Size{}", " ".repeat(2_000));
    for expression in [
        "",
        ".",
        "/",
        "/Size",
        "//Size",
        "Size/",
        "Size//text()",
        "Whole",
        "Whole/Whole/Size",
        "Whole[2]/Size",
        "text()",
        "@xsi:nil",
        "size",
        "Colour",
        "Size/Colour",
        "Size/text()/x",
        "Size/@xsi:nil/text()",
        "Size/@xsi:type",
        "Size/@nil[1]",
        "Size/@",
        "Parts/Colour",
        "Parts/name",
        "Parts/Octets/Name",
        "Size[0]",
        "Size[+1]",
        "Size[-1]",
        "Size[]",
        "Size[x]",
        "Size[1",
        "Size[1][1]",
        "Size[18446744073709551616]",
        "Size[position()=1]",
        "*",
        "..",
        "../Size",
        "Size | Note",
        "1:Size",
        "a:b:Size",
        "child::Size",
        long.as_str(),
    ] {
        assert!(
            matches!(bench.parse(expression), Err(Error::FragmentPath(_))),
            "{expression}"
        );
    }
}

#[test]
fn what_is_writable_is_set_as_a_whole() {
    let bench = Bench::new();
    let texts = Value::Array(vec!["a".into(), "b".into()]);
    for (expression, body, name, wanted) in [
        ("Size", "<Size> 9 </Size>", "Size", Some(Value::Uint8(9))),
        (
            "Whole/Size[1]",
            "<p:Size xmlns:p='urn:p'>9</p:Size>",
            "Size",
            Some(Value::Uint8(9)),
        ),
        ("Size", "<Size xsi:nil='true'/>", "Size", None),
        ("Size/text()", " 9 ", "Size", Some(Value::Uint8(9))),
        (
            "Texts",
            "<Texts>a</Texts><Texts>b</Texts>",
            "Texts",
            Some(texts),
        ),
        ("Texts", "<Texts xsi:nil='1'/>", "Texts", None),
    ] {
        let values = bench.read(expression, body).expect(expression);
        assert!(values.contains(name), "{expression}");
        assert_eq!(values.value(name), wanted.as_ref(), "{expression}");
    }
}

#[test]
fn what_cannot_be_set_by_itself_is_refused() {
    let bench = Bench::new();
    assert!(matches!(
        bench.read("Id", "<Id>x</Id>"),
        Err(Error::KeyChanged(_))
    ));
    assert!(matches!(
        bench.read("Note", "<Note>x</Note>"),
        Err(Error::ReadOnly(_))
    ));
    assert!(matches!(
        bench.read("Size", "<Size>256</Size>"),
        Err(Error::Representation(_))
    ));
    for (expression, body) in [
        ("Size[2]", "<Size>1</Size>"),
        ("Size", ""),
        ("Size", "1"),
        ("Size", "<size>1</size>"),
        ("Size", "<Size>1</Size><Size>2</Size>"),
        ("Size/text()", "<Size>1</Size>"),
        ("Size/@xsi:nil", "true"),
        ("Texts[1]", "<Texts>a</Texts>"),
        ("Texts/text()", "a"),
        ("Texts", ""),
        ("Texts", "<Texts>a</Texts><Note>b</Note>"),
    ] {
        let refused = bench.read(expression, body);
        assert!(
            matches!(refused, Err(Error::Fragment(_))),
            "{expression} {body}: {refused:?}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn arbitrary_text_is_read_or_refused(
        text in "\\PC*",
        steps in proptest::collection::vec(
            prop::sample::select(vec![
                "Parts", "Name", "Size", "Whole", ".", "text()", "@xsi:nil", "[1]", "[", "]", " ",
                "/", "/", "/", "x:", "2",
            ]),
            0..12,
        ),
    ) {
        let bench = Bench::new();
        let _ = bench.parse(&text);
        if let Ok(fragment) = bench.parse(&steps.concat()) {
            let mut writer = Writer::with_capacity(1_024);
            fragment.write(&mut writer, &bench.instance(), "urn:x/");
            let _ = writer.finish();
        }
    }
}
