//! Text in, a tree of elements out, within [`Limits`].

use std::borrow::Cow;

use super::element::Attribute;
use super::element::Element;
use super::escape;
use super::ns;
use super::scan::InTag;
use super::scan::Piece;
use super::scan::Scanner;

/// What a document may cost before it is refused.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Limits {
    /// Octets of text.
    pub(crate) octets: usize,
    /// Elements within one another.
    pub(crate) depth: usize,
    /// Elements in all.
    pub(crate) elements: usize,
    /// Attributes of one element, declarations of namespaces included.
    pub(crate) attributes: usize,
}

/// Why a text was not taken as a document.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum Error {
    /// The text is no XML; what was expected, or wrong.
    #[error("not well-formed: {0}")]
    NotWellFormed(Cow<'static, str>),
    /// It has a document type declaration.
    #[error("a document type declaration is not accepted")]
    Doctype,
    /// Elements lie deeper than [`Limits::depth`].
    #[error("elements are nested too deeply")]
    TooDeep,
    /// There are more elements than [`Limits::elements`].
    #[error("too many elements")]
    TooManyElements,
    /// An element has more attributes than [`Limits::attributes`].
    #[error("too many attributes")]
    TooManyAttributes,
    /// The text is longer than [`Limits::octets`].
    #[error("too large")]
    TooLarge,
    /// The name of an element uses this prefix, which nothing declares.
    #[error("the prefix {0} is not declared")]
    UndeclaredPrefix(String),
}

/// Reads a document. A byte order mark and an XML declaration may precede it;
/// comments and processing instructions are passed over.
///
/// # Errors
///
/// [`Error`]; nothing of the document is then of use.
pub(crate) fn parse<'a>(text: &'a str, limits: &Limits) -> Result<Element<'a>, Error> {
    if text.len() > limits.octets {
        return Err(Error::TooLarge);
    }
    let text = text.strip_prefix('\u{FEFF}').unwrap_or(text);
    if !escape::all_chars(text) {
        return Err(malformed("a character that XML does not allow"));
    }
    // Most documents have no carriage return anywhere.
    let has_returns = memchr::memchr(b'\r', text.as_bytes()).is_some();
    let line_ends = |chunk: &'a str| {
        if has_returns {
            line_ends(chunk)
        } else {
            Cow::Borrowed(chunk)
        }
    };
    let mut scanner = Scanner::new(text);
    let mut tree = Tree {
        limits,
        scope: Vec::with_capacity(16),
        open: Vec::with_capacity(8),
        root: None,
        elements: 0,
    };
    while let Some(piece) = scanner.piece()? {
        match piece {
            Piece::Start(qname) => tree.start(qname, &mut scanner)?,
            Piece::End(qname) => {
                let open = tree.open.last();
                if open.is_none_or(|open| open.qname != qname) {
                    return Err(malformed("an end without its start"));
                }
                tree.close()?;
            }
            Piece::Text(chunk) => tree.text(line_ends(chunk))?,
            Piece::CData(chunk) => append(tree.innermost_text()?, line_ends(chunk)),
            Piece::Reference(reference) => {
                let c = escape::resolve(reference)
                    .ok_or_else(|| malformed("a reference to nothing known"))?;
                tree.innermost_text()?.to_mut().push(c);
            }
            Piece::Remark => {}
            Piece::Declaration if tree.elements == 0 => {}
            Piece::Declaration => return Err(malformed("an XML declaration after the start")),
        }
    }
    if !tree.open.is_empty() {
        return Err(malformed("an element is not closed"));
    }
    tree.root.ok_or_else(|| malformed("no element"))
}

/// The tree while it grows.
struct Tree<'a, 'l> {
    limits: &'l Limits,
    /// The prefixes in force, innermost last; the default one is `""`.
    scope: Vec<(&'a str, Cow<'a, str>)>,
    open: Vec<Open<'a>>,
    root: Option<Element<'a>>,
    elements: usize,
}

/// An element that has begun.
struct Open<'a> {
    element: Element<'a>,
    /// Its name with the prefix, for its end.
    qname: &'a str,
    /// How many prefixes are in force around it; those beyond are its own.
    outer: usize,
}

impl<'a> Tree<'a, '_> {
    /// Begins an element whose name was just read, and reads its attributes.
    fn start(&mut self, qname: &'a str, scanner: &mut Scanner<'a>) -> Result<(), Error> {
        if self.root.is_some() {
            return Err(malformed("a second root element"));
        }
        if self.open.len() >= self.limits.depth {
            return Err(Error::TooDeep);
        }
        if self.elements >= self.limits.elements {
            return Err(Error::TooManyElements);
        }
        self.elements += 1;
        let local_at = local_at(qname)?;
        let outer = self.scope.len();
        let mut attributes = Vec::new();
        let is_empty = self.attributes(scanner, outer, &mut attributes)?;
        let prefix = qname.get(..local_at.saturating_sub(1)).unwrap_or_default();
        let ns = match self.resolve(prefix) {
            Some(uri) => uri,
            None if prefix.is_empty() => Cow::Borrowed(""),
            None => return Err(Error::UndeclaredPrefix(prefix.to_owned())),
        };
        let element = Element {
            ns,
            local: qname.get(local_at..).unwrap_or_default(),
            attributes,
            declared: Box::default(),
            children: Vec::new(),
            text: Cow::Borrowed(""),
        };
        self.open.push(Open {
            element,
            qname,
            outer,
        });
        if is_empty {
            return self.close();
        }
        Ok(())
    }

    /// Reads the rest of a start tag, declarations into the scope first: they
    /// hold for the attributes before them too. Says whether the element ends
    /// with the tag.
    fn attributes(
        &mut self,
        scanner: &mut Scanner<'a>,
        outer: usize,
        attributes: &mut Vec<Attribute<'a>>,
    ) -> Result<bool, Error> {
        let mut seen = 0;
        let is_empty = loop {
            let (qname, value) = match scanner.attribute()? {
                InTag::Attribute(qname, value) => (qname, value),
                InTag::Open => break false,
                InTag::Empty => break true,
            };
            if seen >= self.limits.attributes {
                return Err(Error::TooManyAttributes);
            }
            seen += 1;
            let value = escape::attribute_value(value)
                .ok_or_else(|| malformed("the value of an attribute"))?;
            if qname == "xmlns" || qname.starts_with("xmlns:") {
                self.declare(outer, qname.get(6..).unwrap_or_default(), value)?;
                continue;
            }
            local_at(qname)?;
            if attributes.iter().any(|a| a.local == qname) {
                return Err(malformed("an attribute is there twice"));
            }
            attributes.push(Attribute {
                ns: Cow::Borrowed(""),
                local: qname,
                value,
            });
        };
        for attribute in attributes {
            if let Some((prefix, local)) = attribute.local.split_once(':')
                && let Some(uri) = self.resolve(prefix)
            {
                attribute.ns = uri;
                attribute.local = local;
            }
        }
        Ok(is_empty)
    }

    /// Adds a declaration to those of its element, which are the ones from
    /// `outer` on.
    fn declare(&mut self, outer: usize, prefix: &'a str, uri: Cow<'a, str>) -> Result<(), Error> {
        // The name is copied into every element that uses it when it had
        // references in it, so that it must not be long.
        if matches!(&uri, Cow::Owned(uri) if uri.len() > MAX_REFERENCED_NS) {
            return Err(malformed("a long namespace with references in it"));
        }
        if self.scope.iter().skip(outer).any(|(p, _)| *p == prefix) {
            return Err(malformed("a prefix is declared twice"));
        }
        if prefix == "xmlns" || (prefix == "xml") != (uri == ns::XML) || prefix.contains(':') {
            return Err(malformed("a reserved prefix"));
        }
        self.scope.push((prefix, uri));
        Ok(())
    }

    /// What `prefix` stands for here. An empty name undoes a declaration.
    fn resolve(&self, prefix: &str) -> Option<Cow<'a, str>> {
        if prefix == "xml" {
            return Some(Cow::Borrowed(ns::XML));
        }
        // Most prefixes are one letter: it is compared without a call.
        let first = prefix.as_bytes().first();
        let (_, uri) = self
            .scope
            .iter()
            .rev()
            .find(|(p, _)| p.as_bytes().first() == first && *p == prefix)?;
        (!uri.is_empty()).then(|| uri.clone())
    }

    /// Ends the innermost open element.
    fn close(&mut self) -> Result<(), Error> {
        let Some(Open {
            mut element, outer, ..
        }) = self.open.pop()
        else {
            return Err(malformed("an end without its start"));
        };
        if self.scope.len() > outer {
            element.declared = self.scope.split_off(outer).into_boxed_slice();
        }
        match self.open.last_mut() {
            Some(parent) => parent.element.children.push(element),
            None => self.root = Some(element),
        }
        Ok(())
    }

    /// Where text goes.
    fn innermost_text(&mut self) -> Result<&mut Cow<'a, str>, Error> {
        let open = self.open.last_mut();
        open.map(|open| &mut open.element.text)
            .ok_or_else(|| malformed("text outside the root element"))
    }

    /// Takes a run of text without references.
    fn text(&mut self, chunk: Cow<'a, str>) -> Result<(), Error> {
        let Some(Open { element, .. }) = self.open.last_mut() else {
            return if is_space(&chunk) {
                Ok(())
            } else {
                Err(malformed("text outside the root element"))
            };
        };
        if element.children.is_empty() || !is_space(&chunk) {
            append(&mut element.text, chunk);
        }
        Ok(())
    }
}

/// A line feed for each end of line (XML 1.0, 2.11).
fn line_ends(chunk: &str) -> Cow<'_, str> {
    if !chunk.contains('\r') {
        return Cow::Borrowed(chunk);
    }
    Cow::Owned(chunk.replace("\r\n", "\n").replace('\r', "\n"))
}

/// Where the local part of a qualified name begins, after checking the name.
///
/// Letters beyond ASCII are all taken: which of them are letters decides
/// nothing here.
fn local_at(qname: &str) -> Result<usize, Error> {
    let mut local_at = 0;
    let mut first = true;
    for (at, octet) in qname.bytes().enumerate() {
        match octet {
            b'a'..=b'z' | b'A'..=b'Z' | b'_' | 0x80.. => first = false,
            b'0'..=b'9' | b'-' | b'.' if !first => {}
            b':' if !first && local_at == 0 => {
                local_at = at + 1;
                first = true;
            }
            _ => return Err(malformed("a name")),
        }
    }
    if first {
        return Err(malformed("a name"));
    }
    Ok(local_at)
}

fn append<'a>(text: &mut Cow<'a, str>, chunk: Cow<'a, str>) {
    if text.is_empty() {
        *text = chunk;
    } else {
        text.to_mut().push_str(&chunk);
    }
}

fn is_space(text: &str) -> bool {
    text.bytes()
        .all(|b| matches!(b, b' ' | b'\t' | b'\n' | b'\r'))
}

pub(super) fn malformed(what: &'static str) -> Error {
    Error::NotWellFormed(Cow::Borrowed(what))
}

/// The longest namespace that may be written with references, in octets.
const MAX_REFERENCED_NS: usize = 1024;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::xml::Writer;

    const LIMITS: Limits = Limits {
        octets: 100_000,
        depth: 20,
        elements: 200,
        attributes: 10,
    };

    fn read(text: &str) -> Result<Element<'_>, Error> {
        parse(text, &LIMITS)
    }

    #[test]
    fn prefixes_resolve_in_names_and_stay_text_in_values() {
        let root = read(
            "\u{FEFF}<?xml version=\"1.0\" encoding=\"utf-8\"?>\r\n<!-- hi -->\
             <s:a xmlns:s='urn:s' xmlns='urn:d' s:x='1' y='2' z:t='3'>\
             <b xmlns:i='urn:i' i:type='cim:cimString'>v</b><s:c xmlns=''><d/></s:c></s:a>\n",
        )
        .expect("well-formed");
        assert!(root.is("urn:s", "a"));
        assert_eq!(root.attribute("urn:s", "x"), Some("1"));
        assert_eq!(root.attribute("", "y"), Some("2"));
        assert_eq!(root.attribute("", "z:t"), Some("3"));
        let b = root.child("urn:d", "b").expect("is there");
        assert_eq!(b.attribute("urn:i", "type"), Some("cim:cimString"));
        assert_eq!(b.text(), "v");
        let c = root.child("urn:s", "c").expect("is there");
        assert_eq!(c.children()[0].ns(), "");
        assert_eq!(root.declaration("s"), Some("urn:s"));
    }

    #[test]
    fn text_and_values_are_decoded() {
        let root = read("<a v='1&amp;&#x41;\t2'> x &lt;<![CDATA[<&]]>&#65;\r\ny </a>");
        let root = root.expect("well-formed");
        assert_eq!(root.attribute("", "v"), Some("1&A 2"));
        assert_eq!(root.text(), " x <<&A\ny ");
    }

    #[test]
    fn what_is_no_document_is_refused() {
        for text in [
            "",
            " ",
            "x",
            "<a>",
            "<a></b>",
            "</a>",
            "<a/><b/>",
            "<a/>x",
            "<a b=c/>",
            "<a b/>",
            "<a b='1' b='2'/>",
            "<a>&b;</a>",
            "<a>&#0;</a>",
            "<a>&#xD800;</a>",
            "<a>&#1;</a>",
            "<a>& </a>",
            "<a>\u{1}</a>",
            "<a>\u{FFFF}</a>",
            "<a b='&x;'/>",
            "<a b='<'/>",
            "<1/>",
            "<a:/>",
            "<:a/>",
            "<a:b:c/>",
            "< a/>",
            "<a",
            "<a><!-- ",
            "<a><![CDATA[x</a>",
            "<a xmlns:xml='urn:x'/>",
            "<a>&#+65;</a>",
            "<a/><?xml version='1.0'?>",
        ] {
            assert!(
                matches!(read(text), Err(Error::NotWellFormed(_))),
                "{text}: {:?}",
                read(text)
            );
        }
        assert_eq!(read("<!DOCTYPE a><a/>"), Err(Error::Doctype));
        assert_eq!(read("<x:a/>"), Err(Error::UndeclaredPrefix("x".to_owned())));
    }

    #[test]
    fn limits_hold() {
        assert_eq!(read(&"<a>".repeat(21)), Err(Error::TooDeep));
        let wide = format!("<a>{}</a>", "<b/>".repeat(200));
        assert_eq!(read(&wide), Err(Error::TooManyElements));
        let many: Vec<_> = (0..11).map(|n| format!(" a{n}=''")).collect();
        let many = many.concat();
        assert_eq!(read(&format!("<a{many}/>")), Err(Error::TooManyAttributes));
        assert_eq!(read(&" ".repeat(100_001)), Err(Error::TooLarge));
    }

    #[test]
    fn a_writer_can_take_back_what_did_not_fit() {
        let mut writer = Writer::with_capacity(64);
        writer.start("a");
        writer.leaf("b", "1");
        let mark = writer.mark();
        writer.start("c");
        writer.text("much");
        writer.rollback(mark);
        let len = writer.len();
        writer.end();
        assert_eq!(len, "<a><b>1</b>".len());
        assert_eq!(writer.finish(), "<a><b>1</b></a>");
    }

    /// A tree of names, attribute values and texts.
    #[derive(Clone, Debug)]
    enum Node {
        Text(String),
        Element(String, Vec<Node>),
    }

    fn node() -> impl Strategy<Value = Node> {
        let leaf = any::<String>().prop_map(Node::Text);
        leaf.prop_recursive(4, 32, 4, |inner| {
            (any::<String>(), prop::collection::vec(inner, 0..4))
                .prop_map(|(value, children)| Node::Element(value, children))
        })
    }

    fn write(writer: &mut Writer, node: &Node) {
        match node {
            Node::Text(text) => writer.leaf("p:t", text),
            Node::Element(value, children) => {
                writer.start("e");
                writer.attribute("v", value);
                for child in children {
                    write(writer, child);
                }
                writer.end();
            }
        }
    }

    fn legal(text: &str) -> String {
        let legal = |c| if escape::is_char(c) { c } else { '?' };
        text.chars().map(legal).collect()
    }

    fn check(element: &Element<'_>, node: &Node) {
        match node {
            Node::Text(text) => {
                assert!(element.is("urn:p", "t"));
                assert_eq!(element.text(), legal(text));
            }
            Node::Element(value, children) => {
                assert!(element.is("", "e"));
                assert_eq!(element.attribute("", "v"), Some(legal(value).as_str()));
                assert_eq!(element.children().len(), children.len());
                for (element, node) in element.children().iter().zip(children) {
                    check(element, node);
                }
            }
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_the_reader_panic(text in any::<String>()) {
            let _ = read(&text);
        }

        #[test]
        fn nothing_like_xml_makes_the_reader_panic(
            text in "(<|>|</|/>|&|;|#|x|a|b|:|=|'|\"| |<!--|-->|<!\\[CDATA\\[|\\]\\]>|<\\?|\\?>|xmlns|\u{FEFF}|é){0,60}"
        ) {
            let _ = read(&text);
        }

        #[test]
        fn what_is_written_is_read_back(node in node()) {
            let mut writer = Writer::with_capacity(0);
            writer.start("root");
            writer.attribute("xmlns:p", "urn:p");
            write(&mut writer, &node);
            let text = writer.finish();
            let limits = Limits { octets: usize::MAX, depth: 50, elements: 1000, attributes: 5 };
            let root = parse(&text, &limits).expect("own output");
            check(&root.children()[0], &node);
        }
    }
}
