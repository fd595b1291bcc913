//! The WS-Management operations (DSP0226, DSP0227, [MS-WSMV]), for whatever
//! classes the catalog holds. Nothing here knows a class by name.

use std::sync::Arc;

use crate::auth::Principal;
use crate::config::WsmanSettings;
use crate::provider::Provider;

/// The endpoint: takes an envelope as text, answers with one.
pub(crate) struct Endpoint;

/// How the envelope goes over the wire: its octets count against
/// `MaxEnvelopeSize`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Encoding {
    /// One to four octets a character.
    Utf8,
    /// Little-endian with byte order mark.
    Utf16,
}

/// What goes back: the HTTP status, and the envelope if there is one.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Answer {
    /// 200, 204, or 500 for every fault.
    pub(crate) status: u16,
    /// Text of the envelope.
    pub(crate) envelope: Option<String>,
}

impl Endpoint {
    /// An endpoint for `providers`, whose classes must be exactly those of the
    /// schema.
    ///
    /// # Errors
    ///
    /// A sentence that names the class without provider, or the reverse.
    pub(crate) fn new(
        settings: &WsmanSettings,
        providers: Vec<Arc<dyn Provider>>,
    ) -> Result<Self, String> {
        let _ = (settings, providers);
        todo!()
    }

    /// Answers a request of somebody who has logged on. Runs to its end though
    /// the future is dropped.
    pub(crate) async fn answer(
        &self,
        by: &Principal,
        envelope: &str,
        encoding: Encoding,
    ) -> Answer {
        let _ = (by, envelope, encoding);
        todo!()
    }

    /// Answers an Identify of somebody who has not logged on, with the version
    /// masked ([MS-WSMV] 3.1.4.1.23); anything else gets no answer.
    pub(crate) fn answer_anonymous(&self, envelope: &str) -> Option<Answer> {
        let _ = envelope;
        todo!()
    }

    /// The fault for somebody who has logged on, but whom no list in the
    /// settings allows anything: `wsman:AccessDenied` in answer to `envelope`.
    pub(crate) fn denied(&self, envelope: &str) -> Answer {
        let _ = envelope;
        todo!()
    }

    /// The fault for a body that is no text in a supported encoding.
    pub(crate) fn undecodable(&self) -> Answer {
        todo!()
    }
}
