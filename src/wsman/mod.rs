//! The WS-Management operations (DSP0226, DSP0227, [MS-WSMV]), for whatever
//! classes the catalog holds, and for the documents of `winrm/config`. Nothing
//! here knows a class by name.
//!
//! One file an operation; [`dispatch`] chooses it, [`request`] has checked the
//! header blocks before, [`reply`] writes the envelope around what comes out,
//! and [`fault`] is the one table from errors to faults. What is listed is
//! instances ([`enumerate`]), classes ([`schema`]) or documents ([`config`]);
//! [`listing`] and [`batch`] have what is the same for all.

mod batch;
mod config;
mod contexts;
mod count;
mod create;
mod delete;
mod dispatch;
mod duration;
mod enumerate;
mod error;
mod fault;
mod filter;
mod fragment;
#[cfg(fuzzing)]
pub(crate) mod fuzzing;
mod get;
mod identify;
mod invoke;
mod limits;
mod listing;
mod pull;
mod put;
mod release;
mod renew;
mod reply;
mod request;
mod resource;
mod rights;
mod schema;
mod scope;
mod selector;
mod target;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use crate::auth;
use crate::auth::Caller;
#[cfg(test)]
use crate::auth::Principal;
use crate::cim::Catalog;
use crate::config::Current;
use crate::provider::Provider;
use crate::provider::WinrmConfig;
use crate::soap::Addressing;
use crate::soap::Envelope;
use crate::telemetry::counters::Counter;
use crate::telemetry::counters::Operation;

use dispatch::Service;
use error::Error;
use request::Origin;
use request::Request;

/// The endpoint: takes an envelope as text, answers with one.
pub(crate) struct Endpoint {
    service: Service,
    /// Do Kerberos or NTLM log anybody on? Identify says so.
    negotiates: Box<dyn Fn() -> bool + Send + Sync>,
}

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
    /// An endpoint for `providers`, whose classes must be exactly those of
    /// `catalog` that have instances of their own.
    ///
    /// # Errors
    ///
    /// A sentence that names the class without provider, or the reverse.
    pub(crate) fn new(
        settings: &Arc<Current>,
        catalog: Catalog,
        providers: Vec<Arc<dyn Provider>>,
    ) -> Result<Self, String> {
        let service = Service::new(settings, catalog, providers)?;
        Ok(Self {
            service,
            negotiates: Box::new(|| false),
        })
    }

    /// The same with `winrm/config`.
    pub(crate) fn with_config(mut self, config: WinrmConfig) -> Self {
        self.service.config = Some(Arc::new(config));
        self
    }

    /// The same where `negotiates` says whether Kerberos or NTLM log anybody on
    /// at the moment.
    pub(crate) fn with_negotiation(
        mut self,
        negotiates: impl Fn() -> bool + Send + Sync + 'static,
    ) -> Self {
        self.negotiates = Box::new(negotiates);
        self
    }

    /// Answers a request of somebody who is the same at every resource.
    #[cfg(test)]
    pub(crate) async fn answer(
        &self,
        by: &Principal,
        envelope: &str,
        encoding: Encoding,
    ) -> Answer {
        let caller = Caller::for_test(by);
        self.answer_caller(&caller, envelope, encoding).await
    }

    /// Answers a request of somebody who has logged on. Runs to its end though
    /// the future is dropped: what changes something is a task of its own.
    pub(crate) async fn answer_caller(
        &self,
        caller: &Caller,
        envelope: &str,
        encoding: Encoding,
    ) -> Answer {
        let settings = self.service.settings();
        let limits = dispatch::xml_limits(&settings.wsman);
        let envelope = match Envelope::parse(envelope, &limits) {
            Ok(envelope) => envelope,
            Err(error) => return refuse(&Error::Envelope(error), &Origin::default(), None),
        };
        if identify::is_asked(&envelope) {
            Counter::Request(Operation::Identify).bump();
            let profiles = auth::security_profiles(&settings, (self.negotiates)());
            return identify::answer(identify::To::Known(&profiles));
        }
        let addressing = match Addressing::read(&envelope) {
            Ok(addressing) => addressing,
            Err(duplicate) => {
                let origin = Origin::read(&envelope, &Addressing::default());
                return refuse(&duplicate.into(), &origin, Some(&envelope));
            }
        };
        let origin = Origin::read(&envelope, &addressing);
        if dispatch::is_end_of_duplex(addressing.action) {
            return Answer {
                status: 204,
                envelope: None,
            };
        }
        let answer = match Request::read(&envelope, &addressing, origin, &settings.wsman, encoding)
        {
            Ok(request) => {
                count::request(request.action);
                self.answer_request(caller, &request).await
            }
            Err(error) => Err(error),
        };
        answer.unwrap_or_else(|error| refuse(&error, &origin, Some(&envelope)))
    }

    /// Finds out who asks, which may depend on the resource, and does what he
    /// asks for.
    async fn answer_request(
        &self,
        caller: &Caller,
        request: &Request<'_>,
    ) -> Result<Answer, Error> {
        let by = caller
            .principal_at(|| resource::canonical(request.resource_uri))
            .ok_or(Error::Denied)?;
        tracing::debug!(
            user = by.name(),
            action = request.action,
            resource = request.resource_uri,
            activity = request.activity_id,
            "Request"
        );
        self.service.answer(by, request).await
    }

    /// Answers an Identify of somebody who has not logged on, with the version
    /// masked ([MS-WSMV] 3.1.4.1.23); anything else gets no answer.
    #[expect(clippy::unused_self, reason = "it is the endpoint that answers")]
    pub(crate) fn answer_anonymous(&self, envelope: &str) -> Option<Answer> {
        let envelope = Envelope::parse(envelope, &identify::LIMITS).ok()?;
        if !identify::is_asked(&envelope) {
            return None;
        }
        Counter::Request(Operation::Identify).bump();
        Some(identify::answer(identify::To::Anybody))
    }

    /// The fault for somebody who has logged on, but whom no list in the
    /// settings allows anything: `wsman:AccessDenied` in answer to `envelope`.
    pub(crate) fn denied(&self, envelope: &str) -> Answer {
        self.refused(&Error::Denied, envelope)
    }

    /// The fault for an `envelope` that came over HTTP and was not sealed.
    pub(crate) fn unsealed(&self, envelope: &str) -> Answer {
        self.refused(&Error::Unsealed, envelope)
    }

    /// A fault in answer to an `envelope` that is not looked into further.
    fn refused(&self, error: &Error, envelope: &str) -> Answer {
        let limits = dispatch::xml_limits(&self.service.settings().wsman);
        let Ok(envelope) = Envelope::parse(envelope, &limits) else {
            return refuse(error, &Origin::default(), None);
        };
        let addressing = Addressing::read(&envelope).unwrap_or_default();
        let origin = Origin::read(&envelope, &addressing);
        refuse(error, &origin, Some(&envelope))
    }

    /// The fault for a body that is no text in a supported encoding.
    #[expect(clippy::unused_self, reason = "it is the endpoint that answers")]
    pub(crate) fn undecodable(&self) -> Answer {
        refuse(&Error::Undecodable, &Origin::default(), None)
    }
}

/// A fault, noted.
fn refuse(error: &Error, origin: &Origin<'_>, envelope: Option<&Envelope<'_>>) -> Answer {
    // As text, which is escaped: it may repeat what the client wrote.
    tracing::debug!(error = error.to_string(), "Request refused");
    count::refusal(error);
    reply::fault_answer(error, origin, envelope)
}
