//! Answers: the envelope around a body, and its size.
//!
//! The prefixes are those of Windows but for `wsman`, which is `w` there: the
//! shell client wsl copies parts of answers into requests that declare
//! `wsman` only.

use uuid::Uuid;

use crate::bits::Language;
use crate::soap;
use crate::soap::Envelope;
use crate::soap::Fault;
use crate::xml::Writer;
use crate::xml::ns;

use super::Answer;
use super::Encoding;
use super::error::Error;
use super::fault;
use super::request::Origin;
use super::request::Request;

/// An envelope that is being written, after its header.
pub(super) struct Reply {
    /// Inside `s:Body`.
    pub(super) writer: Writer,
    encoding: Encoding,
    max_octets: usize,
}

/// A header block of an answer.
pub(super) enum Block<'a> {
    /// `wsman:TotalItemsCountEstimate`; nil when nobody knows.
    Count(Option<u64>),
    /// `wsman:FragmentTransfer`, repeated from the request.
    Fragment(&'a str),
    /// `wsman:RequestedEPR`: an `EndpointReference`, written already.
    RequestedEpr(&'a str),
}

impl Reply {
    /// Begins the answer to `request`, with `…Response` for its action.
    pub(super) fn new(request: &Request<'_>, blocks: &[Block<'_>]) -> Self {
        let action = [request.action, "Response"].concat();
        let mut writer = Writer::with_capacity(CAPACITY);
        head(&mut writer, &action, &request.origin);
        for block in blocks {
            match block {
                Block::Count(Some(count)) => {
                    writer.leaf("wsman:TotalItemsCountEstimate", &count.to_string());
                }
                Block::Count(None) => {
                    writer.start("wsman:TotalItemsCountEstimate");
                    writer.attribute("xmlns:xsi", ns::XSI);
                    writer.attribute("xsi:nil", "true");
                    writer.end();
                }
                Block::Fragment(expression) => writer.leaf("wsman:FragmentTransfer", expression),
                Block::RequestedEpr(epr) => {
                    writer.start("wsman:RequestedEPR");
                    writer.raw(epr);
                    writer.end();
                }
            }
        }
        writer.raw(BODY);
        Self {
            writer,
            encoding: request.encoding,
            max_octets: request.max_octets,
        }
    }

    /// What is written so far fits into the client's envelope.
    pub(super) fn fits(&self) -> bool {
        self.encoding.octets(self.writer.len() + TAIL) <= self.max_octets
    }

    /// Octets of UTF-8 that still fit.
    pub(super) fn room(&self) -> usize {
        self.encoding
            .characters(self.max_octets)
            .saturating_sub(self.writer.len() + TAIL)
    }

    /// Ends the answer.
    ///
    /// # Errors
    ///
    /// [`Error::AnswerTooLarge`].
    pub(super) fn finish(mut self) -> Result<Answer, Error> {
        if !self.fits() {
            return Err(Error::AnswerTooLarge);
        }
        self.writer.raw(END);
        Ok(Answer {
            status: 200,
            envelope: Some(self.writer.finish()),
        })
    }
}

/// The answer that says why a request was not done.
///
/// `envelope` is the request, as far as it could be read.
pub(super) fn fault_answer(
    error: &Error,
    origin: &Origin<'_>,
    envelope: Option<&Envelope<'_>>,
) -> Answer {
    let fault: Fault = fault::fault(error, origin, envelope);
    let mut writer = Writer::with_capacity(CAPACITY);
    head(&mut writer, &fault.action, origin);
    if let Error::NotUnderstood { namespace, local } = error {
        writer.start("s:NotUnderstood");
        if namespace.is_empty() {
            writer.attribute("qname", local);
        } else {
            writer.attribute("qname", &["q:", local].concat());
            writer.attribute("xmlns:q", namespace);
        }
        writer.end();
    }
    // SOAP 1.2 part 1, 5.4.7.
    if matches!(error, Error::Envelope(soap::Error::VersionMismatch(_))) {
        writer.raw("<s:Upgrade><s:SupportedEnvelope qname=\"s:Envelope\"/></s:Upgrade>");
    }
    writer.raw(BODY);
    fault.write(&mut writer);
    writer.raw(END);
    Answer {
        status: 500,
        envelope: Some(writer.finish()),
    }
}

/// The envelope up to the end of the addressing; `s:Header` stays open. It is
/// the same for every answer, and so is written in one piece.
fn head(writer: &mut Writer, action: &str, origin: &Origin<'_>) {
    let (addressing, anonymous) = if origin.is_addressing10 {
        (ns::ADDRESSING10, ANONYMOUS10)
    } else {
        (ns::ADDRESSING, ns::ANONYMOUS)
    };
    writer.raw(match origin.language {
        Language::English => HEAD,
        Language::Portuguese => HEAD_PORTUGUESE,
    });
    writer.raw(addressing);
    writer.raw("\"><s:Header>");
    writer.leaf("a:Action", action);
    writer.raw("<a:MessageID>uuid:");
    let mut digits = Uuid::encode_buffer();
    writer.raw(Uuid::new_v4().hyphenated().encode_upper(&mut digits));
    writer.raw("</a:MessageID>");
    writer.leaf("a:To", anonymous);
    if let Some(id) = origin.message_id {
        writer.leaf("a:RelatesTo", id);
    }
}

impl Encoding {
    /// At most so many octets for this text: characters beyond ASCII take more
    /// in UTF-8 and no more than is counted here in UTF-16.
    fn octets(self, utf8: usize) -> usize {
        match self {
            Self::Utf8 => utf8,
            // Two octets of byte order mark.
            Self::Utf16 => utf8.saturating_mul(2).saturating_add(2),
        }
    }

    /// The reverse.
    fn characters(self, octets: usize) -> usize {
        match self {
            Self::Utf8 => octets,
            Self::Utf16 => octets.saturating_sub(2) / 2,
        }
    }
}

macro_rules! head {
    ($language:literal) => {
        concat!(
            "<s:Envelope xml:lang=\"",
            $language,
            "\" xmlns:s=\"http://www.w3.org/2003/05/soap-envelope\"",
            " xmlns:x=\"http://schemas.xmlsoap.org/ws/2004/09/transfer\"",
            " xmlns:n=\"http://schemas.xmlsoap.org/ws/2004/09/enumeration\"",
            " xmlns:wsman=\"http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd\" xmlns:a=\""
        )
    };
}

/// Up to the namespace of the addressing.
const HEAD: &str = head!("en-US");
const HEAD_PORTUGUESE: &str = head!("pt-BR");

/// Between header and body.
const BODY: &str = "</s:Header><s:Body>";

/// After the body.
const END: &str = "</s:Body></s:Envelope>";

/// [`END`] with the end of one more element, rounded up.
const TAIL: usize = 64;

/// More than most answers.
const CAPACITY: usize = 4_096;

const ANONYMOUS10: &str = "http://www.w3.org/2005/08/addressing/anonymous";
