//! A WS-Management client: it speaks to this service and to Windows alike.
//!
//! One [`Client`] holds one connection to one endpoint, kept alive, and sends
//! one request at a time over it: log-on by Basic inside TLS, which the
//! endpoint must prove by a certificate ([`Trust`]). The messages are those of
//! DSP0226 as the Windows clients shape them; what comes back is cut loose
//! from its text as [`Item`]s. It knows neither a class nor a job.

mod connection;
mod item;
mod message;
mod trust;

use std::sync::Arc;
use std::time::Duration;

use crate::bits::Secret;
use crate::soap;
use crate::soap::Envelope;
use crate::soap::Fault;
use crate::xml::Element;
use crate::xml::Limits;
use crate::xml::ns;

use connection::Connector;

pub(crate) use connection::Address;
pub(crate) use item::Item;
pub(crate) use message::Argument;
pub(crate) use message::Resource;
pub(crate) use trust::Pin;
pub(crate) use trust::Trust;
pub(crate) use trust::TrustError;

/// What a [`Client`] must know before its first request.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// Where the endpoint is.
    pub(crate) address: Address,
    /// How the endpoint proves that it is the one meant.
    pub(crate) trust: Trust,
    /// The account and its password.
    pub(crate) account: (String, Secret),
    /// How long a request may take from its first octet to the last of the
    /// answer; a connection is given as long.
    pub(crate) timeout: Duration,
}

/// A client of one endpoint.
///
/// Dropping the future of a request half-way is safe: the connection is then
/// given up, and whether the request was carried out is not known.
#[derive(Debug)]
pub(crate) struct Client {
    connector: Connector,
}

/// Why a request brought no result.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The endpoint could not be reached.
    #[error("cannot connect to {address}")]
    Connect {
        /// The endpoint.
        address: String,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The endpoint is not proved to be the one meant.
    #[error("the certificate of {address} is not trusted")]
    Trust {
        /// The endpoint.
        address: String,
        /// What was wrong with it.
        #[source]
        source: Arc<dyn std::error::Error + Send + Sync>,
    },
    /// The connection broke after the request was sent.
    #[error("the connection broke")]
    Broken(#[source] hyper::Error),
    /// There was no answer in time.
    #[error("no answer within {} s", .0.as_secs())]
    TimedOut(Duration),
    /// HTTP 401: no account of that name and password.
    #[error("the endpoint refused the log-on")]
    LogOnRefused,
    /// Another HTTP status than 200, and no fault with it.
    #[error("the endpoint answered HTTP {0}")]
    Status(u16),
    /// The answer is no SOAP message.
    #[error("the answer is no SOAP message")]
    Answer(#[from] soap::Error),
    /// The answer is a SOAP message, but not one for the request.
    #[error("the answer lacks {0}")]
    Lacks(&'static str),
    /// The request was refused, or what it asked for failed.
    #[error("{}", sentence(.0))]
    Fault(Box<Fault>),
}

impl Error {
    /// The code of a fault: the provider's own where it has one, an HRESULT
    /// then; else the one of WS-Management.
    pub(crate) fn code(&self) -> Option<u32> {
        let Self::Fault(fault) = self else {
            return None;
        };
        match &fault.provider {
            Some(provider) => Some(provider.code),
            None => fault.wsman_code,
        }
    }

    /// Whether this is a fault with that subcode.
    pub(crate) fn is_fault(&self, local: &str) -> bool {
        matches!(self, Self::Fault(fault)
            if fault.subcode.as_ref().is_some_and(|s| s.local == local))
    }
}

/// What an endpoint says of itself.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Identity {
    /// `wsmid:ProductVendor`.
    pub(crate) vendor: String,
    /// `wsmid:ProductVersion`.
    pub(crate) version: String,
    /// `wsmid:ProtocolVersion`.
    pub(crate) protocol: String,
}

/// One answer of an enumeration.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Page {
    /// The instances.
    pub(crate) items: Vec<Item>,
    /// How to ask for the next page; nothing after the last.
    pub(crate) context: Option<String>,
}

impl Client {
    /// A client that has not connected yet.
    ///
    /// # Errors
    ///
    /// [`TrustError`] when the certificates to trust cannot be read.
    pub(crate) fn new(settings: Settings) -> Result<Self, TrustError> {
        Ok(Self {
            connector: Connector::new(settings)?,
        })
    }

    /// Asks the endpoint what it is (DSP0226, 11).
    ///
    /// # Errors
    ///
    /// [`Error`].
    pub(crate) async fn identify(&self) -> Result<Identity, Error> {
        let text = self.exchange(message::identify()).await?;
        let envelope = read(&text)?;
        let answer = payload(&envelope, ns::WSMID, "IdentifyResponse")?;
        let child = |local| {
            let child = answer.child(ns::WSMID, local);
            child.map_or("", Element::text).trim().to_owned()
        };
        Ok(Identity {
            vendor: child("ProductVendor"),
            version: child("ProductVersion"),
            protocol: child("ProtocolVersion"),
        })
    }

    /// Gets an instance whole, in at most so many octets: the service decides
    /// what it leaves out, or refuses.
    ///
    /// # Errors
    ///
    /// [`Error`].
    pub(crate) async fn get(&self, resource: &Resource, octets: u32) -> Result<Item, Error> {
        let text = self
            .exchange(message::get(self.to(), resource, octets))
            .await?;
        let envelope = read(&text)?;
        let item = envelope.payload().ok_or(Error::Lacks("an instance"))?;
        Ok(Item::of(item))
    }

    /// Gets what lies at `path` of an instance: a property, or one of several
    /// values as `Name[2]`. Nothing there gives nothing.
    ///
    /// # Errors
    ///
    /// [`Error`].
    pub(crate) async fn get_fragment(
        &self,
        resource: &Resource,
        path: &str,
    ) -> Result<Vec<Item>, Error> {
        let request = message::get_fragment(self.to(), resource, path);
        let text = self.exchange(request).await?;
        let envelope = read(&text)?;
        let fragment = payload(&envelope, ns::WSMAN, "XmlFragment")?;
        Ok(fragment.children().iter().map(Item::of).collect())
    }

    /// Sets some properties of an instance, and gives it as it is then.
    ///
    /// # Errors
    ///
    /// [`Error`].
    pub(crate) async fn put(
        &self,
        resource: &Resource,
        properties: &[(&str, String)],
    ) -> Result<Option<Item>, Error> {
        let request = message::put(self.to(), resource, properties);
        let text = self.exchange(request).await?;
        let envelope = read(&text)?;
        Ok(envelope.payload().map(Item::of))
    }

    /// Sets one property, and sends nothing of the others.
    ///
    /// # Errors
    ///
    /// [`Error`].
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "an operation that no command needs yet")
    )]
    pub(crate) async fn put_fragment(
        &self,
        resource: &Resource,
        property: &str,
        value: &str,
    ) -> Result<(), Error> {
        let request = message::put_fragment(self.to(), resource, property, value);
        let text = self.exchange(request).await?;
        read(&text).map(|_| ())
    }

    /// Begins to list the instances of a class, so many at a time at most;
    /// those that `query` (WQL) selects, if there is one, and then `class`
    /// means all classes of a namespace.
    ///
    /// # Errors
    ///
    /// [`Error`].
    pub(crate) async fn enumerate(
        &self,
        class: &Resource,
        query: Option<&str>,
        most: u32,
    ) -> Result<Page, Error> {
        let request = message::enumerate(self.to(), class, query, most);
        let text = self.exchange(request).await?;
        let envelope = read(&text)?;
        page(payload(&envelope, ns::ENUMERATION, "EnumerateResponse")?)
    }

    /// Goes on with a listing.
    ///
    /// # Errors
    ///
    /// [`Error`].
    pub(crate) async fn pull(
        &self,
        class: &Resource,
        context: &str,
        most: u32,
    ) -> Result<Page, Error> {
        let request = message::pull(self.to(), class, context, most);
        let text = self.exchange(request).await?;
        let envelope = read(&text)?;
        page(payload(&envelope, ns::ENUMERATION, "PullResponse")?)
    }

    /// Ends a listing before its end.
    ///
    /// # Errors
    ///
    /// [`Error`].
    pub(crate) async fn release(&self, class: &Resource, context: &str) -> Result<(), Error> {
        let request = message::release(self.to(), class, context);
        let text = self.exchange(request).await?;
        read(&text).map(|_| ())
    }

    /// Calls a method of a class or of an instance, and gives what it gave.
    ///
    /// # Errors
    ///
    /// [`Error`].
    pub(crate) async fn invoke(
        &self,
        resource: &Resource,
        method: &str,
        arguments: &[Argument<'_>],
    ) -> Result<Item, Error> {
        let request = message::invoke(self.to(), resource, method, arguments);
        let text = self.exchange(request).await?;
        let envelope = read(&text)?;
        let output = envelope.payload().ok_or(Error::Lacks("an output"))?;
        Ok(Item::of(output))
    }

    /// Deletes an instance.
    ///
    /// # Errors
    ///
    /// [`Error`].
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "an operation that no command needs yet")
    )]
    pub(crate) async fn delete(&self, resource: &Resource) -> Result<(), Error> {
        let text = self.exchange(message::delete(self.to(), resource)).await?;
        read(&text).map(|_| ())
    }

    /// The address in `wsa:To`.
    fn to(&self) -> &str {
        self.connector.url()
    }

    /// Sends a message, and gives the text of the answer to it.
    async fn exchange(&self, message: String) -> Result<String, Error> {
        let (status, text) = self.connector.post(message).await?;
        match status {
            200 => Ok(text),
            401 => Err(Error::LogOnRefused),
            // A fault comes as 500, and as 400 from some services.
            _ => match Envelope::parse(&text, &LIMITS) {
                Ok(envelope) => Err(Fault::parse(&envelope)
                    .map_or(Error::Status(status), |f| Error::Fault(Box::new(f)))),
                Err(_) => Err(Error::Status(status)),
            },
        }
    }
}

/// Reads an answer; one that carries a fault is an error.
fn read(text: &str) -> Result<Envelope<'_>, Error> {
    let envelope = Envelope::parse(text, &LIMITS)?;
    match Fault::parse(&envelope) {
        Some(fault) => Err(Error::Fault(Box::new(fault))),
        None => Ok(envelope),
    }
}

/// The element in the body, which must be this one.
fn payload<'e, 'a>(
    envelope: &'e Envelope<'a>,
    ns: &str,
    local: &'static str,
) -> Result<&'e Element<'a>, Error> {
    envelope
        .payload()
        .filter(|p| p.is(ns, local))
        .ok_or(Error::Lacks(local))
}

/// Reads the answer to Enumerate or Pull: `Items` and `EndOfSequence` are of
/// WS-Management's namespace in the first and of WS-Enumeration's in the
/// other; either is taken in both.
fn page(answer: &Element<'_>) -> Result<Page, Error> {
    let find = |local| {
        answer
            .child(ns::ENUMERATION, local)
            .or_else(|| answer.child(ns::WSMAN, local))
    };
    let items = find("Items").map_or(&[][..], Element::children);
    let end = find("EndOfSequence").is_some();
    let context = find("EnumerationContext").map_or("", Element::text).trim();
    if !end && context.is_empty() {
        return Err(Error::Lacks("EnumerationContext"));
    }
    Ok(Page {
        items: items.iter().map(Item::of).collect(),
        context: (!end).then(|| context.to_owned()),
    })
}

/// A fault in one sentence, with its code.
fn sentence(fault: &Fault) -> String {
    let provider = fault.provider.as_ref().filter(|p| !p.message.is_empty());
    let message = match (provider, &fault.message) {
        (Some(provider), _) => &provider.message,
        (None, Some(message)) if !message.is_empty() => message,
        (None, _) => &fault.reason,
    };
    let message = message.trim();
    let code = fault.provider.as_ref().map(|p| p.code).or(fault.wsman_code);
    let subcode = fault.subcode.as_ref().map_or("fault", |s| &s.local);
    match code {
        // Some services have it in their sentence already.
        Some(code) if message.contains(&format!("0x{code:08X}")) => message.to_owned(),
        Some(code) if code >= 0x8000_0000 => format!("{message} (0x{code:08X}, {subcode})"),
        Some(code) => format!("{message} ({code}, {subcode})"),
        None => format!("{message} ({subcode})"),
    }
}

/// What is taken of an answer: envelopes of Windows go up to some MiB.
const LIMITS: Limits = Limits {
    octets: connection::MAX_ANSWER,
    depth: 64,
    elements: 500_000,
    attributes: 64,
};

/// The octets of an answer that may be large.
pub(crate) const LARGE: u32 = 512_000;

/// The octets of an answer that is to be cheap; the least that WS-Management
/// lets a client ask for.
pub(crate) const SMALL: u32 = 8_192;

#[cfg(test)]
pub(crate) mod canned;
#[cfg(test)]
mod tests;
