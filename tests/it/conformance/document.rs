//! An answer taken apart by quick-xml, which shares no line with our own
//! reader and writer.

use std::ops::Range;

use quick_xml::NsReader;
use quick_xml::XmlVersion;
use quick_xml::events::BytesStart;
use quick_xml::events::Event;
use quick_xml::name::ResolveResult;

/// An element, and where it stands in the text.
#[derive(Debug)]
pub(super) struct Element {
    /// Without prefix.
    pub(super) local: String,
    /// Name and value of each attribute, as written.
    attributes: Vec<(String, String)>,
    /// Its own text, references resolved.
    pub(super) text: String,
    pub(super) children: Vec<Element>,
    /// What stands between its tags.
    pub(super) inner: Range<usize>,
    /// From the first octet of its start tag to the last of its end tag.
    pub(super) outer: Range<usize>,
    /// Prefixes that are declared here: its text may be a qualified name.
    prefixes: Vec<String>,
}

impl Element {
    /// The value of an attribute, by its name with prefix.
    pub(super) fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    /// This element and all below it, in order.
    pub(super) fn all(&self) -> Vec<&Element> {
        let mut all = vec![self];
        for child in &self.children {
            all.extend(child.all());
        }
        all
    }

    /// The first element of that name, this one included.
    pub(super) fn find(&self, local: &str) -> Option<&Element> {
        self.all()
            .into_iter()
            .find(|element| element.local == local)
    }
}

/// Reads a document: one root, well-formed, every prefix declared, also that
/// of a fault's code.
pub(super) fn read(text: &str) -> Result<Element, String> {
    let mut reader = NsReader::from_str(text);
    reader.config_mut().check_comments = true;
    let mut open: Vec<Element> = Vec::new();
    let mut root = None;
    loop {
        let before = position(&reader)?;
        let event = reader.read_event().map_err(|error| error.to_string())?;
        let after = position(&reader)?;
        match event {
            Event::Start(tag) => open.push(element(&reader, &tag, before, after, &open)?),
            Event::Empty(tag) => {
                let mut whole = element(&reader, &tag, before, after, &open)?;
                whole.outer = before..after;
                close(whole, &mut open, &mut root)?;
            }
            Event::End(_) => {
                let mut whole = open.pop().ok_or("an end tag too many")?;
                whole.inner.end = before;
                whole.outer.end = after;
                close(whole, &mut open, &mut root)?;
            }
            Event::Text(piece) => match open.last_mut() {
                Some(element) => element.text.push_str(&piece),
                None if piece.trim().is_empty() => {}
                None => return Err("text outside the root".to_owned()),
            },
            Event::CData(piece) => {
                let element = open.last_mut().ok_or("text outside the root")?;
                element.text.push_str(&piece);
            }
            Event::GeneralRef(name) => {
                let element = open.last_mut().ok_or("text outside the root")?;
                let written = format!("&{};", &*name);
                let meant = quick_xml::escape::unescape(&written).map_err(|e| e.to_string())?;
                element.text.push_str(&meant);
            }
            Event::DocType(_) => return Err("a document type".to_owned()),
            Event::Decl(_) | Event::PI(_) | Event::Comment(_) => {}
            Event::Eof => break,
        }
    }
    if let Some(element) = open.last() {
        return Err(format!("{} has no end", element.local));
    }
    root.ok_or_else(|| "no root".to_owned())
}

fn element(
    reader: &NsReader<&[u8]>,
    tag: &BytesStart<'_>,
    before: usize,
    after: usize,
    open: &[Element],
) -> Result<Element, String> {
    let known = |resolved: ResolveResult<'_>, name: &str| match resolved {
        ResolveResult::Unknown(_) => Err(format!("{name} has a prefix that is not declared")),
        ResolveResult::Bound(_) | ResolveResult::Unbound => Ok(()),
    };
    let (resolved, local) = reader.resolver().resolve_element(tag.name());
    known(resolved, tag.name().as_ref())?;
    let mut found = Element {
        local: local.as_ref().to_owned(),
        attributes: Vec::new(),
        text: String::new(),
        children: Vec::new(),
        inner: after..after,
        outer: before..after,
        prefixes: open
            .last()
            .map_or_else(Vec::new, |parent| parent.prefixes.clone()),
    };
    for attribute in tag.attributes() {
        let attribute = attribute.map_err(|error| error.to_string())?;
        let name = attribute.key.as_ref();
        if let Some(prefix) = name.strip_prefix("xmlns:") {
            found.prefixes.push(prefix.to_owned());
        } else {
            let (resolved, _) = reader.resolver().resolve_attribute(attribute.key);
            known(resolved, attribute.key.as_ref())?;
        }
        let value = attribute
            .normalized_value(XmlVersion::Implicit1_0)
            .map_err(|error| error.to_string())?;
        found.attributes.push((name.to_owned(), value.into_owned()));
    }
    Ok(found)
}

fn close(element: Element, open: &mut [Element], root: &mut Option<Element>) -> Result<(), String> {
    if element.local == "Value"
        && let Some((prefix, _)) = element.text.split_once(':')
        && !element.prefixes.iter().any(|known| known == prefix)
    {
        return Err(format!(
            "{} has a prefix that is not declared",
            element.text
        ));
    }
    match (open.last_mut(), root.as_ref()) {
        (Some(parent), _) => parent.children.push(element),
        (None, None) => *root = Some(element),
        (None, Some(_)) => return Err("a second root".to_owned()),
    }
    Ok(())
}

fn position(reader: &NsReader<&[u8]>) -> Result<usize, String> {
    usize::try_from(reader.buffer_position()).map_err(|error| error.to_string())
}

#[test]
fn what_is_not_well_formed_is_told() {
    let root = read("<a:x xmlns:a='u' b='&lt;1'>t&amp;<y/>u</a:x>").expect("well-formed");
    assert_eq!(root.local, "x");
    assert_eq!(root.attribute("b"), Some("<1"));
    assert_eq!(root.text, "t&u");
    assert_eq!(root.find("y").map(|y| y.outer.clone()), Some(33..37));
    assert_eq!(root.inner, 27..38);
    for wrong in [
        "",
        "x",
        "<a>",
        "<a></b>",
        "<a/><b/>",
        "<a:x/>",
        "<x a:b='c'/>",
        "<x a='1' a='2'/>",
        "<x>&y;</x>",
        "<!DOCTYPE x><x/>",
        "<Value>s:Sender</Value>",
    ] {
        assert!(read(wrong).is_err(), "{wrong}");
    }
}
