//! A document and its schema.

use proptest::prelude::*;

use super::schema::Attribute;
use super::*;
use crate::xml;
use crate::xml::Limits;
use crate::xml::Writer;

const XSD: &str = r#"
<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" xmlns:c="urn:bitsd:config-document">
  <xs:simpleType name="Percent">
    <xs:restriction base="xs:unsignedInt"><xs:maxInclusive value="100"/></xs:restriction>
  </xs:simpleType>
  <xs:simpleType name="Colour">
    <xs:restriction base="xs:string">
      <xs:enumeration value="Red"/><xs:enumeration value="Blue"/>
    </xs:restriction>
  </xs:simpleType>
  <xs:element name="Lamp">
    <xs:complexType>
      <xs:sequence>
        <xs:element name="Level" type="Percent" minOccurs="0"/>
        <xs:element name="On" type="xs:boolean" minOccurs="0" c:access="read-only"/>
        <xs:element name="Secret" type="xs:string" minOccurs="0" c:access="write-only"/>
        <xs:element name="Label" minOccurs="0" maxOccurs="unbounded">
          <xs:simpleType>
            <xs:restriction base="xs:string">
              <xs:maxLength value="4"/><xs:pattern value="[a-z]*"/>
            </xs:restriction>
          </xs:simpleType>
        </xs:element>
        <xs:element name="Shade" minOccurs="0">
          <xs:complexType>
            <xs:sequence><xs:element name="Colour" type="Colour" minOccurs="0"/></xs:sequence>
            <xs:attribute name="Size" type="xs:unsignedInt" use="required"/>
            <xs:attribute name="Note" type="xs:string"/>
          </xs:complexType>
        </xs:element>
      </xs:sequence>
    </xs:complexType>
  </xs:element>
</xs:schema>"#;

const LIMITS: Limits = Limits {
    octets: 100_000,
    depth: 20,
    elements: 1_000,
    attributes: 20,
};

const ROOT: Root<'_> = Root {
    prefix: "l",
    namespace: "urn:lamp",
    language: "en-US",
};

fn schema() -> Schema {
    Schema::parse(XSD).expect("understood")
}

fn lamp(xml: &str) -> Result<Node, ReadError> {
    let element = xml::parse(xml, &LIMITS).expect("well-formed");
    read(schema().element("Lamp").expect("declared"), &element)
}

#[test]
fn a_part_in_any_order_and_case_with_white_space_is_read() {
    let node = lamp(
        "<x:lamp xmlns:x='urn:any'> <x:label>b</x:label><LEVEL> 007 </LEVEL><on>1</on>\n\
         <shade Size=' 3 '><Colour>red</Colour></shade><label/></x:lamp>",
    );
    let wanted = Node::branch(
        "Lamp",
        vec![
            Node::leaf("Level", "7"),
            Node::leaf("On", "true"),
            Node::leaf("Label", "b"),
            Node::leaf("Label", ""),
            Node::branch("Shade", vec![Node::leaf("Colour", "Red")]).with(&[("Size", "3")]),
        ],
    );
    assert_eq!(node, Ok(wanted));
}

#[test]
fn what_is_not_as_declared_is_refused() {
    let value = |name: &str, wanted| ReadError::Value {
        name: name.to_owned(),
        wanted,
    };
    let percent = Wanted::Number {
        least: 0,
        most: 100,
    };
    for (xml, wanted) in [
        ("<Bulb/>", ReadError::Root("Lamp".to_owned())),
        (
            "<Lamp><Foot/></Lamp>",
            ReadError::Unknown("Foot".to_owned()),
        ),
        (
            "<Lamp><On>1</On><on>1</on></Lamp>",
            ReadError::Twice("On".to_owned()),
        ),
        (
            "<Lamp><On><x/></On></Lamp>",
            ReadError::NoValue("On".to_owned()),
        ),
        (
            "<Lamp><Shade/></Lamp>",
            ReadError::Missing("Shade/Size".to_owned()),
        ),
        ("<Lamp><On>yes</On></Lamp>", value("On", Wanted::Boolean)),
        (
            "<Lamp><Level>101</Level></Lamp>",
            value("Level", percent.clone()),
        ),
        (
            "<Lamp><Level>-1</Level></Lamp>",
            value("Level", percent.clone()),
        ),
        (
            "<Lamp><Label>abcde</Label></Lamp>",
            value("Label", Wanted::Length { least: 0, most: 4 }),
        ),
        (
            "<Lamp><Label>A</Label></Lamp>",
            value("Label", Wanted::Form),
        ),
        (
            "<Lamp><Shade Size='1'><Colour>x</Colour></Shade></Lamp>",
            value("Shade/Colour", Wanted::OneOf("Red, Blue".to_owned())),
        ),
        (
            "<Lamp><Shade Size='1'><Foot/></Shade></Lamp>",
            ReadError::Unknown("Shade/Foot".to_owned()),
        ),
        ("<Lamp>on</Lamp>", value("Lamp", Wanted::Elements)),
    ] {
        assert_eq!(lamp(xml), Err(wanted), "{xml}");
    }
}

#[test]
fn a_document_is_written_as_declared_and_without_what_is_write_only() {
    let node = Node::branch(
        "Lamp",
        vec![
            Node::leaf("Secret", "s"),
            Node::branch("Shade", Vec::new()).with(&[("Note", "a<b"), ("Size", "3")]),
            Node::leaf("Level", "7"),
            Node::leaf("Unknown", "7"),
        ],
    );
    let schema = schema();
    let mut writer = Writer::with_capacity(0);
    write(
        &mut writer,
        schema.element("Lamp").expect("declared"),
        &node,
        ROOT,
    );
    assert_eq!(
        writer.finish(),
        "<l:Lamp xmlns:l=\"urn:lamp\" xml:lang=\"en-US\"><l:Level>7</l:Level>\
         <l:Shade Size=\"3\" Note=\"a&lt;b\"/></l:Lamp>"
    );
}

#[test]
fn a_schema_that_is_not_understood_is_refused() {
    let wrap = |inner: &str| {
        format!(
            "<xs:schema xmlns:xs='http://www.w3.org/2001/XMLSchema' xmlns:c='urn:bitsd:config-document'>{inner}</xs:schema>"
        )
    };
    for inner in [
        "<xs:import/>",
        "<xs:element/>",
        "<xs:element name='a'/>",
        "<xs:element name='a' type='b'/>",
        "<xs:element name='a' type='xs:string' maxOccurs='7'/>",
        "<xs:element name='a' type='xs:string' c:access='no'/>",
        "<xs:element name='a'><xs:complexType><xs:choice/></xs:complexType></xs:element>",
        "<xs:simpleType name='a'><xs:list/></xs:simpleType>",
        "<xs:simpleType name='a'><xs:restriction base='xs:boolean'><xs:maxLength value='1'/></xs:restriction></xs:simpleType>",
        "<xs:simpleType name='a'><xs:restriction base='xs:string'><xs:pattern value='(a|b)'/></xs:restriction></xs:simpleType>",
    ] {
        let schema = Schema::parse(&wrap(inner));
        assert!(schema.is_err(), "{inner}: {schema:?}");
    }
    assert!(Schema::parse("<x/>").is_err());
    assert!(Schema::parse(&wrap("")).is_ok());
}

/// Any value of a type.
fn value(kind: &Kind) -> BoxedStrategy<Content> {
    match kind {
        Kind::Simple(simple) => text(simple).prop_map(Content::Text).boxed(),
        Kind::Sequence(declared) => {
            let children: Vec<_> = declared
                .iter()
                .filter(|child| child.access != Access::WriteOnly)
                .map(|child| {
                    let most = if child.is_many { 3 } else { 1 };
                    prop::collection::vec(node(child), 0..=most)
                })
                .collect();
            children
                .prop_map(|groups| Content::Children(groups.concat()))
                .boxed()
        }
    }
}

fn text(simple: &simple::Simple) -> BoxedStrategy<String> {
    let simple = simple.clone();
    let wild = prop_oneof![
        "[a-z]{0,6}",
        "true|false|Red|Blue",
        "[0-9]{1,3}",
        any::<String>()
    ];
    let legal = move |text: String| {
        let text: String = text
            .chars()
            .filter(|c| !c.is_control() && *c < '\u{fffe}')
            .collect();
        simple.normal(&text).ok()
    };
    wild.prop_filter_map("not a value of the type", legal)
        .boxed()
}

fn node(declaration: &Declaration) -> BoxedStrategy<Node> {
    let name = declaration.name.clone();
    let attributes: Vec<_> = declaration.attributes.iter().map(attribute).collect();
    (attributes, value(&declaration.kind))
        .prop_map(move |(attributes, content)| Node {
            name: name.clone(),
            attributes: attributes.into_iter().flatten().collect(),
            content,
        })
        .boxed()
}

fn attribute(attribute: &Attribute) -> BoxedStrategy<Option<(String, String)>> {
    let name = attribute.name.clone();
    let value = text(&attribute.simple).prop_map(move |value| Some((name.clone(), value)));
    if attribute.is_required {
        return value.boxed();
    }
    prop_oneof![value, Just(None)].boxed()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_written_is_read_back(node in node(schema().element("Lamp").expect("declared"))) {
        let schema = schema();
        let declaration = schema.element("Lamp").expect("declared");
        let mut writer = Writer::with_capacity(0);
        write(&mut writer, declaration, &node, ROOT);
        let text = writer.finish();
        let element = xml::parse(&text, &LIMITS).expect("our own");
        prop_assert_eq!(read(declaration, &element), Ok(node));
    }

    #[test]
    fn no_document_makes_the_reader_panic(
        text in "<Lamp>(<On>|</On>|<Shade Size='[0-9]{0,12}'>|</Shade>|<Level>[ 0-9+-]{0,12}</Level>|<Label>\\PC{0,6}</Label>|<l/>){0,8}</Lamp>"
    ) {
        if let Ok(element) = xml::parse(&text, &LIMITS) {
            let _ = read(schema().element("Lamp").expect("declared"), &element);
        }
    }

    #[test]
    fn no_text_makes_the_schema_reader_panic(text in any::<String>(), at in 0..2_000_usize) {
        let _ = Schema::parse(&text);
        let at = (0..=at).rev().find(|at| XSD.is_char_boundary(*at)).unwrap_or(0);
        let (before, after) = XSD.split_at(at.min(XSD.len()));
        let _ = Schema::parse(&[before, &text, after].concat());
    }
}
