//! Putting sealed messages into a body.

use super::Media;
use super::Style;
use crate::auth::Sealed;

/// Writes a body, piece by piece.
pub(in crate::auth) struct Writer<'a> {
    style: &'a Style,
    content_type: &'a str,
    octets: Vec<u8>,
}

impl<'a> Writer<'a> {
    /// Begins a body for a message of this type and length.
    pub(in crate::auth) fn new(style: &'a Style, content_type: &'a str, length: usize) -> Self {
        Self {
            style,
            content_type,
            octets: Vec::with_capacity(length + FRAMING),
        }
    }

    /// Puts a piece behind the others that had `length` octets before it was
    /// sealed.
    pub(in crate::auth) fn push(&mut self, length: usize, sealed: &Sealed) {
        let indentation = &self.style.indentation;
        let protocol = self.style.protocol.name();
        let length = length.to_string();
        for text in [
            "--",
            &self.style.boundary,
            "\r\n",
            indentation,
            "Content-Type: ",
            protocol,
            "\r\n",
            indentation,
            "OriginalContent: type=",
            self.content_type,
            ";Length=",
            &length,
            "\r\n--",
            &self.style.boundary,
            "\r\n",
            indentation,
            "Content-Type: application/octet-stream\r\n",
        ] {
            self.octets.extend_from_slice(text.as_bytes());
        }
        self.octets
            .extend_from_slice(&sealed.signature.to_le_bytes());
        self.octets.extend_from_slice(&sealed.octets);
    }

    /// Ends the body.
    pub(in crate::auth) fn end(mut self) -> Vec<u8> {
        for text in ["--", &self.style.boundary, "--\r\n"] {
            self.octets.extend_from_slice(text.as_bytes());
        }
        self.octets
    }
}

impl Style {
    /// `Content-Type` of a body.
    pub(in crate::auth) fn content_type(&self, media: Media) -> String {
        let (media, protocol, boundary) = (media.name(), self.protocol.name(), &self.boundary);
        format!("{media};protocol=\"{protocol}\";boundary=\"{boundary}\"")
    }
}

/// Octets around a message, signature included; more where there are pieces.
const FRAMING: usize = 512;
