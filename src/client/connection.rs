//! One connection to one endpoint: TCP, TLS, HTTP/1.1, kept alive.

use std::fmt;
use std::io;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http_body_util::BodyExt as _;
use http_body_util::Full;
use http_body_util::Limited;
use hyper::Request;
use hyper::body::Bytes;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::client::conn::http1::SendRequest;
use hyper::header;
use hyper::header::HeaderValue;
use hyper_util::rt::TokioIo;
use rustls::CertificateError;
use rustls::OtherError;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio_rustls::TlsConnector;

use super::Error;
use super::Settings;
use super::TrustError;

/// A host and a port; `host`, `host:port`, `[::1]:port` and `::1` are read.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Address {
    host: String,
    port: u16,
}

/// The text names no host and port.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("not a host, or host:port")]
pub(crate) struct NotAnAddress;

impl FromStr for Address {
    type Err = NotAnAddress;

    fn from_str(text: &str) -> Result<Self, NotAnAddress> {
        let text = text.trim();
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (host, port) = rest.split_once(']').ok_or(NotAnAddress)?;
                if port.is_empty() {
                    (host, None)
                } else {
                    (host, Some(port.strip_prefix(':').ok_or(NotAnAddress)?))
                }
            }
            // Two colons and no brackets are an IPv6 address without a port.
            None if text.matches(':').count() > 1 => (text, None),
            None => match text.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (text, None),
            },
        };
        let port = match port {
            Some(port) => port.parse().map_err(|_| NotAnAddress)?,
            None => HTTPS_PORT,
        };
        if ServerName::try_from(host).is_err() {
            return Err(NotAnAddress);
        }
        Ok(Self {
            host: host.to_owned(),
            port,
        })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// Opens the connection when one is needed, and sends requests over it.
pub(super) struct Connector {
    address: Address,
    url: String,
    tls: TlsConnector,
    authorization: HeaderValue,
    host: HeaderValue,
    timeout: Duration,
    /// The connection while nobody uses it. A request takes it out, so that
    /// one given up half-way leaves none behind.
    idle: Mutex<Option<SendRequest<Full<Bytes>>>>,
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Connector").field(&self.address).finish()
    }
}

impl Connector {
    /// A connector that has not connected yet.
    ///
    /// # Errors
    ///
    /// [`TrustError`].
    pub(super) fn new(settings: Settings) -> Result<Self, TrustError> {
        let config = settings.trust.config()?;
        let (user, password) = &settings.account;
        let token = STANDARD.encode(format!("{user}:{}", password.reveal()));
        let unusable = |e: header::InvalidHeaderValue| TrustError::Unusable(e.into());
        let mut authorization =
            HeaderValue::try_from(format!("Basic {token}")).map_err(unusable)?;
        authorization.set_sensitive(true);
        let host = HeaderValue::try_from(settings.address.to_string()).map_err(unusable)?;
        Ok(Self {
            url: format!("https://{}{PATH}", settings.address),
            address: settings.address,
            tls: TlsConnector::from(Arc::new(config)),
            authorization,
            host,
            timeout: settings.timeout,
            idle: Mutex::new(None),
        })
    }

    /// The URL of the endpoint.
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// Posts a message, and gives the status and the text of the answer.
    pub(super) async fn post(&self, message: String) -> Result<(u16, String), Error> {
        tokio::time::timeout(self.timeout, self.send(message))
            .await
            .map_err(|_| Error::TimedOut(self.timeout))?
    }

    async fn send(&self, message: String) -> Result<(u16, String), Error> {
        let mut request = Request::post(PATH)
            .body(Full::new(Bytes::from(message)))
            .map_err(|_| Error::Lacks("a usable request"))?;
        let headers = request.headers_mut();
        headers.insert(header::HOST, self.host.clone());
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(SOAP_XML));
        headers.insert(header::USER_AGENT, HeaderValue::from_static(USER_AGENT));
        headers.insert(header::AUTHORIZATION, self.authorization.clone());
        let kept = self.idle.lock().await.take();
        let (sender, answer) = match kept {
            None => self.send_anew(request).await?,
            Some(mut sender) => {
                let sent = match sender.ready().await {
                    Ok(()) => sender.try_send_request(request).await,
                    // Closed since: nothing of the request has been sent.
                    Err(_) => return self.finish(self.send_anew(request).await?).await,
                };
                match sent {
                    Ok(answer) => (sender, answer),
                    Err(mut failed) => match failed.take_message() {
                        Some(request) => self.send_anew(request).await?,
                        None => return Err(Error::Broken(failed.into_error())),
                    },
                }
            }
        };
        self.finish((sender, answer)).await
    }

    /// Connects, and sends the request.
    async fn send_anew(&self, request: Request<Full<Bytes>>) -> Result<Exchange, Error> {
        let mut sender = self.connect().await?;
        let answer = sender.send_request(request).await.map_err(Error::Broken)?;
        Ok((sender, answer))
    }

    /// Reads the answer to its end, and keeps the connection for the next.
    async fn finish(&self, (sender, answer): Exchange) -> Result<(u16, String), Error> {
        let status = answer.status().as_u16();
        let body = Limited::new(answer.into_body(), MAX_ANSWER).collect().await;
        let body = body.map_err(|e| match e.downcast::<hyper::Error>() {
            Ok(e) => Error::Broken(*e),
            Err(_) => Error::Lacks("an end within its limit"),
        })?;
        let text = String::from_utf8(Vec::from(body.to_bytes()))
            .map_err(|_| Error::Lacks("text in UTF-8"))?;
        if !sender.is_closed() {
            *self.idle.lock().await = Some(sender);
        }
        Ok((status, text))
    }

    async fn connect(&self) -> Result<SendRequest<Full<Bytes>>, Error> {
        let address = || self.address.to_string();
        let unreachable = |source| Error::Connect {
            address: address(),
            source,
        };
        let socket = TcpStream::connect((self.address.host.as_str(), self.address.port))
            .await
            .map_err(unreachable)?;
        // Requests are small and each is waited for.
        socket.set_nodelay(true).map_err(unreachable)?;
        let name = ServerName::try_from(self.address.host.clone())
            .map_err(|e| unreachable(io::Error::new(io::ErrorKind::InvalidInput, e)))?;
        let stream = self.tls.connect(name, socket).await.map_err(|e| {
            // The certificate's fault, or the network's.
            let tls = e.get_ref().and_then(|e| e.downcast_ref::<rustls::Error>());
            match tls {
                Some(tls @ rustls::Error::InvalidCertificate(reason)) => Error::Trust {
                    address: address(),
                    source: match reason {
                        CertificateError::Other(OtherError(own)) => Arc::clone(own) as _,
                        _ => Arc::new(tls.clone()),
                    },
                },
                _ => unreachable(e),
            }
        })?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(Error::Broken)?;
        // Ends when the sender is dropped; what went wrong on the connection
        // is told to the request that was under way.
        tokio::spawn(connection);
        Ok(sender)
    }
}

type Exchange = (SendRequest<Full<Bytes>>, hyper::Response<Incoming>);

/// The most octets that are taken of an answer.
pub(super) const MAX_ANSWER: usize = 16 * 1_024 * 1_024;

const HTTPS_PORT: u16 = 5986;
const PATH: &str = "/wsman";
const SOAP_XML: &str = "application/soap+xml;charset=UTF-8";
const USER_AGENT: &str = concat!("bitsd/", env!("CARGO_PKG_VERSION"));

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_in_every_form() {
        for (text, shown) in [
            ("h", "h:5986"),
            ("h.example:1", "h.example:1"),
            ("127.0.0.1", "127.0.0.1:5986"),
            ("::1", "[::1]:5986"),
            ("[::1]", "[::1]:5986"),
            ("[::1]:7", "[::1]:7"),
        ] {
            assert_eq!(
                text.parse::<Address>().map(|a| a.to_string()),
                Ok(shown.to_owned())
            );
        }
        for text in [
            "",
            ":1",
            "h:",
            "h:x",
            "h:99999",
            "[::1",
            "[::1]7",
            "a b",
            "https://h",
        ] {
            assert_eq!(text.parse::<Address>(), Err(NotAnAddress), "{text}");
        }
    }
}
