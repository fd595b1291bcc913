//! Text taken apart into tags, attributes and runs of text.
//!
//! Says what stands where, and that each piece ends; whether names, values and
//! nesting are right is the reader's to say. Every step takes something off
//! the text or fails, so that a loop over it ends.
//!
//! Why not quick-xml: it checks UTF-8 and keeps a stack of names once more for
//! each event. With it an authenticated Get takes 156,200 user-space
//! instructions (151,900 with fat LTO and one codegen unit) against 141,700, and
//! the bar is 150,000. It is the referee in the tests instead: every document
//! that is accepted here must come apart there in the same pieces.

use memchr::memchr;
use memchr::memchr2;

use super::reader::Error;
use super::reader::malformed;

/// What is left of a document.
pub(super) struct Scanner<'a> {
    rest: &'a str,
}

/// A piece of a document.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Piece<'a> {
    /// `<name`: [`Scanner::attribute`] reads on to the end of the tag.
    Start(&'a str),
    /// `</name>`, the name without white space behind it.
    End(&'a str),
    /// Text without markup and references, never empty.
    Text(&'a str),
    /// What a CDATA section holds.
    CData(&'a str),
    /// `&reference;`
    Reference(&'a str),
    /// `<?xml … ?>`
    Declaration,
    /// A comment, or another processing instruction.
    Remark,
}

/// What comes next in a start tag.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum InTag<'a> {
    /// A name, and the value as it is written.
    Attribute(&'a str, &'a str),
    /// `>`: content follows.
    Open,
    /// `/>`
    Empty,
}

impl<'a> Scanner<'a> {
    /// A scanner at the start of `text`.
    pub(super) fn new(text: &'a str) -> Self {
        Self { rest: text }
    }

    /// The next piece; none at the end.
    ///
    /// # Errors
    ///
    /// [`Error::NotWellFormed`], or [`Error::Doctype`].
    #[expect(
        clippy::inline_always,
        reason = "one loop calls it; apart from it a Get takes 2,000 instructions more"
    )]
    #[inline(always)]
    pub(super) fn piece(&mut self) -> Result<Option<Piece<'a>>, Error> {
        let piece = match self.rest.as_bytes() {
            [] => return Ok(None),
            [b'<', b'/', ..] => {
                self.skip(2);
                Piece::End(self.before(b'>')?.trim_end_matches(SPACE))
            }
            [b'<', b'?', ..] => {
                self.skip(2);
                let inside = self.until("?>")?;
                match inside.strip_prefix("xml") {
                    Some(rest) if rest.is_empty() || rest.starts_with(SPACE) => Piece::Declaration,
                    _ => Piece::Remark,
                }
            }
            [b'<', b'!', b'-', b'-', ..] => {
                self.skip(4);
                self.until("-->")?;
                Piece::Remark
            }
            [b'<', b'!', ..] => {
                self.skip(2);
                return self.section().map(Some);
            }
            [b'<', ..] => {
                self.skip(1);
                Piece::Start(self.run(|octet| is_space(octet) || matches!(octet, b'/' | b'>')))
            }
            [b'&', ..] => {
                self.skip(1);
                Piece::Reference(self.before(b';')?)
            }
            text => Piece::Text(self.take(memchr2(b'<', b'&', text))),
        };
        Ok(Some(piece))
    }

    /// What comes next in the start tag whose name was just read.
    ///
    /// # Errors
    ///
    /// [`Error::NotWellFormed`].
    #[expect(
        clippy::inline_always,
        reason = "one loop calls it; apart from it a Get takes 2,000 instructions more"
    )]
    #[inline(always)]
    pub(super) fn attribute(&mut self) -> Result<InTag<'a>, Error> {
        self.run(|octet| !is_space(octet));
        match self.rest.as_bytes() {
            [b'>', ..] => {
                self.skip(1);
                return Ok(InTag::Open);
            }
            [b'/', b'>', ..] => {
                self.skip(2);
                return Ok(InTag::Empty);
            }
            _ => {}
        }
        let name = self.run(|octet| is_space(octet) || matches!(octet, b'=' | b'/' | b'>'));
        self.run(|octet| !is_space(octet));
        if !self.rest.starts_with('=') {
            return Err(malformed("an attribute without a value"));
        }
        self.skip(1);
        self.run(|octet| !is_space(octet));
        let quote = match self.rest.as_bytes() {
            [b'"', ..] => b'"',
            [b'\'', ..] => b'\'',
            _ => return Err(malformed("a value without quotation marks")),
        };
        self.skip(1);
        Ok(InTag::Attribute(name, self.before(quote)?))
    }

    /// What begins with `<!` and is no comment.
    fn section(&mut self) -> Result<Piece<'a>, Error> {
        if let Some(inside) = self.rest.strip_prefix("[CDATA[") {
            self.rest = inside;
            return Ok(Piece::CData(self.until("]]>")?));
        }
        let word = self.rest.get(..DOCTYPE.len());
        if word.is_some_and(|word| word.eq_ignore_ascii_case(DOCTYPE)) {
            return Err(Error::Doctype);
        }
        Err(malformed("a declaration"))
    }

    /// The text before the first octet that is an `end`, all of it without
    /// one; it is taken off. An `end` is an ASCII character.
    fn run(&mut self, end: impl Fn(u8) -> bool) -> &'a str {
        self.take(self.rest.bytes().position(end))
    }

    /// The text before `end`, which is at an ASCII character, all of it
    /// without one; it is taken off.
    fn take(&mut self, end: Option<usize>) -> &'a str {
        let (run, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        self.rest = rest;
        run
    }

    /// The text before the ASCII character `end`; both are taken off.
    fn before(&mut self, end: u8) -> Result<&'a str, Error> {
        let inside = self.take(memchr(end, self.rest.as_bytes()));
        if self.rest.is_empty() {
            return Err(malformed("the end is missing"));
        }
        self.skip(1);
        Ok(inside)
    }

    /// The text before `end`; both are taken off.
    fn until(&mut self, end: &str) -> Result<&'a str, Error> {
        let (inside, rest) = self
            .rest
            .split_once(end)
            .ok_or_else(|| malformed("the end is missing"))?;
        self.rest = rest;
        Ok(inside)
    }

    /// Takes off ASCII characters that were seen to be there.
    fn skip(&mut self, octets: usize) {
        self.rest = self.rest.get(octets..).unwrap_or_default();
    }
}

fn is_space(octet: u8) -> bool {
    matches!(octet, b' ' | b'\t' | b'\n' | b'\r')
}

const SPACE: [char; 4] = [' ', '\t', '\n', '\r'];

const DOCTYPE: &str = "DOCTYPE";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use quick_xml::Reader;
    use quick_xml::events::Event;
    use quick_xml::events::attributes::Attributes;

    use super::*;
    use crate::xml::Limits;

    const LIMITS: Limits = Limits {
        octets: 10_000,
        depth: 50,
        elements: 1_000,
        attributes: 50,
    };

    /// The pieces in words.
    fn ours(text: &str) -> Result<Vec<String>, Error> {
        let mut scanner = Scanner::new(text);
        let mut words = Vec::new();
        while let Some(piece) = scanner.piece()? {
            let word = match piece {
                Piece::Start(name) => {
                    words.push(format!("start {name:?}"));
                    loop {
                        match scanner.attribute()? {
                            InTag::Attribute(name, value) => {
                                words.push(format!("attribute {name:?} {value:?}"));
                            }
                            InTag::Open => break,
                            InTag::Empty => {
                                words.push(format!("end {name:?}"));
                                break;
                            }
                        }
                    }
                    continue;
                }
                Piece::End(name) => format!("end {name:?}"),
                Piece::Text(text) => format!("text {text:?}"),
                Piece::CData(text) => format!("cdata {text:?}"),
                Piece::Reference(name) => format!("reference {name:?}"),
                Piece::Declaration => "declaration".to_owned(),
                Piece::Remark => "remark".to_owned(),
            };
            words.push(word);
        }
        Ok(words)
    }

    /// The same as another reader has it.
    fn theirs(text: &str) -> Result<Vec<String>, String> {
        let mut reader = Reader::from_str(text);
        let mut words = Vec::new();
        loop {
            let event = reader.read_event().map_err(|error| error.to_string())?;
            let is_empty = matches!(event, Event::Empty(_));
            let word = match event {
                Event::Start(tag) | Event::Empty(tag) => {
                    let name = tag.name().0.to_owned();
                    words.push(format!("start {name:?}"));
                    for attribute in Attributes::new(&tag, name.len()).with_checks(false) {
                        let attribute = attribute.map_err(|error| error.to_string())?;
                        let (name, value) = (attribute.key.0, &attribute.value);
                        words.push(format!("attribute {name:?} {value:?}"));
                    }
                    if !is_empty {
                        continue;
                    }
                    format!("end {name:?}")
                }
                Event::End(tag) => format!("end {:?}", tag.name().0),
                Event::Text(text) => format!("text {:?}", &*text),
                Event::CData(text) => format!("cdata {:?}", &*text),
                Event::GeneralRef(name) => format!("reference {:?}", &*name),
                Event::Decl(_) => "declaration".to_owned(),
                Event::Comment(_) | Event::PI(_) => "remark".to_owned(),
                Event::DocType(_) => return Err("a document type".to_owned()),
                Event::Eof => return Ok(words),
            };
            words.push(word);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn a_document_is_what_another_reader_takes_it_for(
            inside in "(<a>x</a>|<a >|</a >|<a b='1'>|</a>|<b/>|<b />|<é\tc = \"'>\"\nd='\"/'/>\
                |x|é| |\r\n|&amp;|&#65;|<!-- -> -->|<!-->-->|<\\?p > \\?>|<\\?xmlx\\?>\
                |<!\\[CDATA\\[ \\]>&<\\]\\]>|>|\"|'|/|=|<!|<|&|;){0,8}"
        ) {
            let text = format!("<?xml version='1.0'?>\n<r>{inside}</r>\n");
            if crate::xml::parse(&text, &LIMITS).is_ok() {
                prop_assert_eq!(ours(&text).ok(), theirs(&text).ok());
            }
        }
    }
}
