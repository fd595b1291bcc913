//! An XSD becomes [`Declaration`]s: the subset that documents of settings need.

use crate::xml;
use crate::xml::Element;
use crate::xml::Limits;

use super::pattern::Pattern;
use super::simple::Simple;
use super::simple::TextType;

/// The elements that a document may begin with.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Schema {
    elements: Vec<Declaration>,
}

/// What an element may be.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Declaration {
    /// Its name.
    pub(crate) name: String,
    /// What a client may do with it.
    pub(crate) access: Access,
    /// It may stand more than once.
    pub(crate) is_many: bool,
    /// Its attributes.
    pub(crate) attributes: Vec<Attribute>,
    /// What lies between its tags.
    pub(crate) kind: Kind,
}

/// What lies between the tags of an element.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    /// A value.
    Simple(Simple),
    /// Elements in this order.
    Sequence(Vec<Declaration>),
}

/// An attribute of an element.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Attribute {
    /// Its name.
    pub(crate) name: String,
    /// What it may be.
    pub(crate) simple: Simple,
    /// It must be there.
    pub(crate) is_required: bool,
}

/// What a client may do with an element.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum Access {
    /// Read and change it.
    #[default]
    Changeable,
    /// Read it: it says how the service is.
    ReadOnly,
    /// Read it: there is but one value for it.
    Fixed,
    /// Read it: a quota that nobody may change any more.
    Frozen,
    /// Write it; it is never shown.
    WriteOnly,
}

impl Schema {
    /// Reads an XSD.
    ///
    /// # Errors
    ///
    /// A sentence that names the element: the schema uses what is not
    /// understood here, or is no schema.
    pub(crate) fn parse(xsd: &str) -> Result<Self, String> {
        let root = xml::parse(xsd, &LIMITS).map_err(|error| error.to_string())?;
        if !root.is(XS, "schema") {
            return Err("the schema has no xs:schema".to_owned());
        }
        let types = named_types(&root)?;
        let mut elements = Vec::new();
        for child in root.children() {
            match (child.ns(), child.local()) {
                (XS, "simpleType") => {}
                (XS, "element") => elements.push(declaration(child, &types)?),
                _ => return Err(not_understood(child)),
            }
        }
        Ok(Self { elements })
    }

    /// The element with this name, with which a document may begin.
    pub(crate) fn element(&self, name: &str) -> Option<&Declaration> {
        self.elements.iter().find(|element| element.name == name)
    }
}

impl Declaration {
    /// The elements in it; none in one with a value.
    pub(crate) fn children(&self) -> &[Declaration] {
        match &self.kind {
            Kind::Sequence(children) => children,
            Kind::Simple(_) => &[],
        }
    }

    /// The element in it with this name, in any case.
    pub(crate) fn child(&self, name: &str) -> Option<&Declaration> {
        self.children()
            .iter()
            .find(|child| child.name.eq_ignore_ascii_case(name))
    }
}

/// The simple types with a name, each after those that it is made of.
fn named_types(root: &Element<'_>) -> Result<Vec<(String, Simple)>, String> {
    let mut types = Vec::new();
    for child in root.children() {
        if child.is(XS, "simpleType") {
            let simple = simple_type(child, &types)?;
            types.push((required(child, "name")?.to_owned(), simple));
        }
    }
    Ok(types)
}

fn declaration(element: &Element<'_>, types: &[(String, Simple)]) -> Result<Declaration, String> {
    let name = required(element, "name")?.to_owned();
    let access = match element.attribute(OWN, "access") {
        None => Access::Changeable,
        Some("read-only") => Access::ReadOnly,
        Some("fixed") => Access::Fixed,
        Some("frozen") => Access::Frozen,
        Some("write-only") => Access::WriteOnly,
        Some(other) => return Err(format!("{name}: access {other} is not known")),
    };
    let is_many = match element.attribute("", "maxOccurs") {
        None | Some("1") => false,
        Some("unbounded") => true,
        Some(other) => return Err(format!("{name}: maxOccurs {other} is not understood")),
    };
    let mut attributes = Vec::new();
    let kind = match (element.attribute("", "type"), element.children()) {
        (Some(named), []) => Kind::Simple(type_of(named, types)?),
        (None, [inner]) if inner.is(XS, "simpleType") => Kind::Simple(simple_type(inner, types)?),
        (None, [inner]) if inner.is(XS, "complexType") => {
            let mut sequence = Vec::new();
            for part in inner.children() {
                if part.is(XS, "sequence") {
                    for child in part.children() {
                        if !child.is(XS, "element") {
                            return Err(not_understood(child));
                        }
                        sequence.push(declaration(child, types)?);
                    }
                } else if part.is(XS, "attribute") {
                    attributes.push(attribute(part, types)?);
                } else {
                    return Err(not_understood(part));
                }
            }
            Kind::Sequence(sequence)
        }
        _ => return Err(format!("{name}: it needs one type")),
    };
    Ok(Declaration {
        name,
        access,
        is_many,
        attributes,
        kind,
    })
}

fn attribute(element: &Element<'_>, types: &[(String, Simple)]) -> Result<Attribute, String> {
    let name = required(element, "name")?.to_owned();
    let simple = match (element.attribute("", "type"), element.children()) {
        (Some(named), []) => type_of(named, types)?,
        (None, [inner]) if inner.is(XS, "simpleType") => simple_type(inner, types)?,
        _ => return Err(format!("{name}: it needs one type")),
    };
    Ok(Attribute {
        name,
        simple,
        is_required: element.attribute("", "use") == Some("required"),
    })
}

/// A restriction of a type.
fn simple_type(element: &Element<'_>, types: &[(String, Simple)]) -> Result<Simple, String> {
    let [restriction] = element.children() else {
        return Err("a simple type must be one restriction".to_owned());
    };
    if !restriction.is(XS, "restriction") {
        return Err(not_understood(restriction));
    }
    let mut simple = type_of(required(restriction, "base")?, types)?;
    for facet in restriction.children() {
        let value = required(facet, "value")?;
        let number = || value.parse::<u32>().map_err(|_| not_understood(facet));
        let count = || value.parse::<usize>().map_err(|_| not_understood(facet));
        match (&mut simple, facet.local()) {
            (Simple::UnsignedInt { least, .. }, "minInclusive") => *least = number()?,
            (Simple::UnsignedInt { most, .. }, "maxInclusive") => *most = number()?,
            (Simple::Text(text), "minLength") => text.least = count()?,
            (Simple::Text(text), "maxLength") => text.most = Some(count()?),
            (Simple::Text(text), "pattern") => {
                let pattern = Pattern::parse(value);
                text.pattern = Some(pattern.ok_or_else(|| not_understood(facet))?);
            }
            (Simple::Text(text), "enumeration") => text.values.push(value.to_owned()),
            _ => return Err(not_understood(facet)),
        }
    }
    Ok(simple)
}

/// A type by its name: one of XSD itself has a prefix.
fn type_of(name: &str, types: &[(String, Simple)]) -> Result<Simple, String> {
    let simple = match name {
        "xs:boolean" => Some(Simple::Boolean),
        "xs:unsignedInt" => Some(Simple::UnsignedInt {
            least: 0,
            most: u32::MAX,
        }),
        "xs:string" => Some(Simple::Text(TextType::default())),
        _ => types
            .iter()
            .find(|(own, _)| own == name)
            .map(|(_, simple)| simple.clone()),
    };
    simple.ok_or_else(|| format!("the type {name} is not known"))
}

fn required<'e>(element: &'e Element<'_>, name: &str) -> Result<&'e str, String> {
    element
        .attribute("", name)
        .ok_or_else(|| format!("xs:{} has no attribute {name}", element.local()))
}

fn not_understood(element: &Element<'_>) -> String {
    let name = element.attribute("", "name").unwrap_or_default();
    format!("xs:{} {name} is not understood", element.local())
}

/// XML Schema.
const XS: &str = "http://www.w3.org/2001/XMLSchema";

/// Our own attributes in it.
const OWN: &str = "urn:bitsd:config-document";

/// Schemas are part of the program.
const LIMITS: Limits = Limits {
    octets: 256 * 1_024,
    depth: 32,
    elements: 4_096,
    attributes: 16,
};
