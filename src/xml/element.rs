//! An element of a document that has been read.

use std::borrow::Cow;

/// One element, with its children; it borrows from the document's text.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Element<'a> {
    pub(super) ns: Cow<'a, str>,
    pub(super) local: &'a str,
    pub(super) attributes: Vec<Attribute<'a>>,
    /// The prefixes that this very element declares, the default as `""`.
    pub(super) declared: Box<[(&'a str, Cow<'a, str>)]>,
    pub(super) children: Vec<Element<'a>>,
    pub(super) text: Cow<'a, str>,
}

impl<'a> Element<'a> {
    /// The namespace, empty when the element has none.
    pub(crate) fn ns(&self) -> &str {
        &self.ns
    }

    /// The name without its prefix.
    pub(crate) fn local(&self) -> &'a str {
        self.local
    }

    /// Whether this is the element `local` of the namespace `ns`.
    pub(crate) fn is(&self, ns: &str, local: &str) -> bool {
        // The local name is the shorter one, and differs more often.
        self.local() == local && self.ns == ns
    }

    /// The value of an attribute; `ns` is `""` for one without a prefix.
    pub(crate) fn attribute(&self, ns: &str, local: &str) -> Option<&str> {
        self.attributes
            .iter()
            .find(|a| a.local == local && a.ns == ns)
            .map(|a| a.value.as_ref())
    }

    /// What this element itself declares `prefix` to be (`""`: the default).
    pub(crate) fn declaration(&self, prefix: &str) -> Option<&str> {
        self.declared
            .iter()
            .find(|(p, _)| *p == prefix)
            .map(|(_, uri)| uri.as_ref())
    }

    /// The child elements in order.
    pub(crate) fn children(&self) -> &[Element<'a>] {
        &self.children
    }

    /// The first child element of that name.
    pub(crate) fn child(&self, ns: &str, local: &str) -> Option<&Element<'a>> {
        self.children.iter().find(|c| c.is(ns, local))
    }

    /// The text directly within, entities and CDATA decoded, untrimmed.
    ///
    /// In an element that has child elements the white space after the first
    /// child is left out: it is indentation.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }
}

/// One attribute of an [`Element`].
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Attribute<'a> {
    pub(super) ns: Cow<'a, str>,
    pub(super) local: &'a str,
    pub(super) value: Cow<'a, str>,
}
