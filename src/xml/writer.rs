//! Elements and text in, a document out.

use super::escape;
use super::escape::Place;

/// Writes a document into a string, tag by tag.
///
/// Names are written as they are given: they and the prefixes that they need
/// are the caller's. Text and values are escaped here, and a character that XML
/// cannot hold becomes `?`.
#[derive(Debug, Default)]
pub(crate) struct Writer {
    out: String,
    /// Where the names of the open elements stand in `out`.
    open: Vec<(usize, usize)>,
    /// Whether the last start tag still takes attributes.
    in_tag: bool,
}

impl Writer {
    /// An empty document with room for that many octets.
    pub(crate) fn with_capacity(octets: usize) -> Self {
        Self {
            out: String::with_capacity(octets),
            open: Vec::with_capacity(8),
            in_tag: false,
        }
    }

    /// Begins an element.
    pub(crate) fn start(&mut self, qname: &str) {
        self.close_tag();
        self.out.push('<');
        self.open.push((self.out.len(), qname.len()));
        self.out.push_str(qname);
        self.in_tag = true;
    }

    /// Begins the element `local` with this prefix.
    pub(crate) fn start_in(&mut self, prefix: &str, local: &str) {
        self.close_tag();
        self.out.push('<');
        self.open
            .push((self.out.len(), prefix.len() + 1 + local.len()));
        self.out.push_str(prefix);
        self.out.push(':');
        self.out.push_str(local);
        self.in_tag = true;
    }

    /// Adds an attribute to the element just begun. Once it has content this
    /// is a mistake of the caller's, and without effect.
    pub(crate) fn attribute(&mut self, name: &str, value: &str) {
        debug_assert!(self.in_tag, "attribute {name} after content");
        if !self.in_tag {
            return;
        }
        self.out.push(' ');
        self.out.push_str(name);
        self.out.push_str("=\"");
        escape::push_escaped(&mut self.out, value, Place::Attribute);
        self.out.push('"');
    }

    /// Adds text. An empty one too makes that the element ends in a tag of
    /// its own, as Windows writes empty strings.
    pub(crate) fn text(&mut self, text: &str) {
        self.close_tag();
        escape::push_escaped(&mut self.out, text, Place::Content);
    }

    /// Ends the element begun last.
    pub(crate) fn end(&mut self) {
        let Some((at, len)) = self.open.pop() else {
            debug_assert!(false, "an end without a start");
            return;
        };
        if self.in_tag {
            self.in_tag = false;
            self.out.push_str("/>");
            return;
        }
        self.out.push_str("</");
        self.out.extend_from_within(at..at + len);
        self.out.push('>');
    }

    /// Writes an element that has nothing but text.
    pub(crate) fn leaf(&mut self, qname: &str, text: &str) {
        self.close_tag();
        self.out.push('<');
        self.out.push_str(qname);
        self.out.push('>');
        escape::push_escaped(&mut self.out, text, Place::Content);
        self.out.push_str("</");
        self.out.push_str(qname);
        self.out.push('>');
    }

    /// Writes an element that has nothing but a text which is XML already.
    pub(crate) fn raw_leaf(&mut self, qname: &str, xml: &str) {
        self.close_tag();
        for part in ["<", qname, ">", xml, "</", qname, ">"] {
            self.out.push_str(part);
        }
    }

    /// Writes what is XML already.
    pub(crate) fn raw(&mut self, xml: &str) {
        self.close_tag();
        self.out.push_str(xml);
    }

    /// The octets written so far.
    pub(crate) fn len(&self) -> usize {
        self.out.len() + usize::from(self.in_tag)
    }

    /// Remembers this place, to come back by [`Writer::rollback`].
    pub(crate) fn mark(&self) -> Mark {
        Mark {
            len: self.out.len(),
            open: self.open.len(),
            in_tag: self.in_tag,
        }
    }

    /// What was written since `mark`.
    pub(crate) fn since(&self, mark: Mark) -> &str {
        self.out.get(mark.len..).unwrap_or_default()
    }

    /// Takes back everything written since `mark`. The elements that were open
    /// then must still be open.
    pub(crate) fn rollback(&mut self, mark: Mark) {
        debug_assert!(
            self.open.len() >= mark.open && self.out.len() >= mark.len,
            "an element has ended since the mark"
        );
        self.out.truncate(mark.len);
        self.open.truncate(mark.open);
        self.in_tag = mark.in_tag;
    }

    /// Ends what is still open, and gives the document.
    pub(crate) fn finish(mut self) -> String {
        while !self.open.is_empty() {
            self.end();
        }
        self.out
    }

    fn close_tag(&mut self) {
        if self.in_tag {
            self.in_tag = false;
            self.out.push('>');
        }
    }
}

/// A place in a document being written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mark {
    len: usize,
    open: usize,
    in_tag: bool,
}
