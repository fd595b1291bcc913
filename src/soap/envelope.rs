//! A SOAP envelope that has been read.

use crate::xml;
use crate::xml::Element;
use crate::xml::Limits;
use crate::xml::ns;

/// A message: header blocks, and what the body holds.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Envelope<'a> {
    root: Element<'a>,
    header: Option<usize>,
    body: usize,
}

/// Why a text was not taken as a message.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum Error {
    /// It is no XML, or too much of it.
    #[error("the message is not XML within its limits")]
    Xml(#[from] xml::Error),
    /// It is an envelope of another version of SOAP, with this namespace.
    #[error("the envelope is not SOAP 1.2, but of the namespace {0}")]
    VersionMismatch(String),
    /// The document is something else.
    #[error("the document is no SOAP envelope")]
    NotAnEnvelope,
    /// The envelope has no body.
    #[error("the envelope has no body")]
    NoBody,
    /// The envelope has two bodies, two headers, or them in the wrong order.
    #[error("the envelope has more than a header and a body")]
    Malformed,
}

impl<'a> Envelope<'a> {
    /// Reads a message. A missing header is taken as an empty one: Identify
    /// comes that way.
    ///
    /// # Errors
    ///
    /// [`Error`]; an envelope in any namespace but SOAP 1.2's is told apart
    /// as [`Error::VersionMismatch`] (SOAP 1.2 part 1, 5.4.7).
    pub(crate) fn parse(text: &'a str, limits: &Limits) -> Result<Self, Error> {
        let root = xml::parse(text, limits)?;
        if root.local() != "Envelope" {
            return Err(Error::NotAnEnvelope);
        }
        if root.ns() != ns::SOAP {
            return Err(Error::VersionMismatch(root.ns().to_owned()));
        }
        let mut header = None;
        let mut body = None;
        for (at, child) in root.children().iter().enumerate() {
            if child.is(ns::SOAP, "Header") {
                if header.is_some() || body.is_some() {
                    return Err(Error::Malformed);
                }
                header = Some(at);
            } else if child.is(ns::SOAP, "Body") {
                if body.is_some() {
                    return Err(Error::Malformed);
                }
                body = Some(at);
            }
        }
        Ok(Self {
            header,
            body: body.ok_or(Error::NoBody)?,
            root,
        })
    }

    /// The header blocks in order.
    pub(crate) fn headers(&self) -> &[Element<'a>] {
        self.header
            .and_then(|at| self.root.children().get(at))
            .map_or(&[], Element::children)
    }

    /// The first header block of that name.
    pub(crate) fn header(&self, ns: &str, local: &str) -> Option<&Element<'a>> {
        self.headers().iter().find(|h| h.is(ns, local))
    }

    /// What the body holds; a document has one element there, or none.
    pub(crate) fn body(&self) -> &[Element<'a>] {
        self.body_element().map_or(&[], Element::children)
    }

    /// The first element in the body.
    pub(crate) fn payload(&self) -> Option<&Element<'a>> {
        self.body().first()
    }

    /// The name of the first encoding that the message claims to be in
    /// (`s:encodingStyle`), which literal messages never do.
    pub(crate) fn encoding_style(&self) -> Option<&str> {
        let style = |e: &'_ Element<'a>| e.attribute(ns::SOAP, "encodingStyle").is_some();
        let body = self.body_element();
        std::iter::once(&self.root)
            .chain(body)
            .chain(self.headers())
            .chain(self.body())
            .find(|e| style(e))
            .and_then(|e| e.attribute(ns::SOAP, "encodingStyle"))
    }

    /// The whole document.
    pub(crate) fn root(&self) -> &Element<'a> {
        &self.root
    }

    /// What `prefix` stands for in the body, for names that stand in text.
    pub(super) fn body_element(&self) -> Option<&Element<'a>> {
        self.root.children().get(self.body)
    }
}

/// Whether a header block must be understood: `true` or `1`, in the namespace
/// of SOAP. A client that writes the attribute without a prefix says nothing.
pub(crate) fn must_understand(block: &Element<'_>) -> bool {
    block
        .attribute(ns::SOAP, "mustUnderstand")
        .is_some_and(|v| matches!(v.trim(), "true" | "1"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        octets: 10_000,
        depth: 10,
        elements: 100,
        attributes: 10,
    };

    #[test]
    fn header_blocks_and_body_are_told_apart() {
        let text = format!(
            "<s:Envelope xmlns:s='{0}'><s:Header><h s:mustUnderstand='1'/><i mustUnderstand='true'/>\
             </s:Header><s:Body>\n<b/> </s:Body></s:Envelope>",
            ns::SOAP
        );
        let envelope = Envelope::parse(&text, &LIMITS).expect("an envelope");
        assert_eq!(envelope.headers().len(), 2);
        assert!(must_understand(&envelope.headers()[0]));
        assert!(!must_understand(&envelope.headers()[1]));
        assert!(envelope.header("", "h").is_some());
        assert_eq!(envelope.payload().map(Element::local), Some("b"));
        assert_eq!(envelope.encoding_style(), None);
    }

    #[test]
    fn another_version_of_soap_is_told_apart() {
        let text = format!(
            "<e:Envelope xmlns:e='{}'><e:Body/></e:Envelope>",
            ns::SOAP11
        );
        assert_eq!(
            Envelope::parse(&text, &LIMITS),
            Err(Error::VersionMismatch(ns::SOAP11.to_owned()))
        );
    }

    #[test]
    fn what_is_no_envelope_is_refused() {
        let parse = |text: &str| {
            Envelope::parse(text, &LIMITS)
                .map(|_| ())
                .expect_err("no envelope")
        };
        assert_eq!(parse("<a/>"), Error::NotAnEnvelope);
        assert!(matches!(parse("<a"), Error::Xml(_)));
        let soap = |inner: &str| format!("<Envelope xmlns='{}'>{inner}</Envelope>", ns::SOAP);
        assert_eq!(parse(&soap("<Header/>")), Error::NoBody);
        assert_eq!(parse(&soap("<Body/><Body/>")), Error::Malformed);
        assert_eq!(parse(&soap("<Body/><Header/>")), Error::Malformed);
    }
}
