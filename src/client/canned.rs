//! An endpoint for tests, which gives canned answers over TLS.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::Mutex;

use http_body_util::BodyExt as _;
use http_body_util::Full;
use hyper::Request;
use hyper::Response;
use hyper::body::Bytes;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::PrivatePkcs8KeyDer;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::bits::Secret;
use crate::xml::ns;

use super::Address;
use super::Client;
use super::Pin;
use super::Settings;
use super::Trust;

/// An endpoint, and what it was sent.
pub(crate) struct Endpoint {
    pub(crate) address: Address,
    pub(crate) certificate: CertificateDer<'static>,
    /// The same in PEM.
    pub(crate) pem: String,
    /// Log-on and body of every request.
    pub(crate) seen: Arc<Mutex<Vec<String>>>,
    /// How many connections there were.
    pub(crate) connections: Arc<Mutex<u32>>,
}

/// Starts an endpoint that gives these answers in turn.
pub(crate) async fn endpoint(answers: Vec<(u16, String)>, keep_alive: bool) -> Endpoint {
    let mut params = rcgen::CertificateParams::new(["localhost".to_owned()]).expect("a name");
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let key = rcgen::KeyPair::generate().expect("a key");
    let certificate = params.self_signed(&key).expect("a certificate");
    let der = certificate.der().clone();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(
            vec![der.clone()],
            PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der())),
        )
        .expect("certificate and key");
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let connections = Arc::new(Mutex::new(0));
    let answers = Arc::new(Mutex::new(VecDeque::from(answers)));
    let (log, count) = (Arc::clone(&seen), Arc::clone(&connections));
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let Ok(stream) = acceptor.accept(socket).await else {
                continue;
            };
            *count.lock().expect("lock") += 1;
            let (log, answers) = (Arc::clone(&log), Arc::clone(&answers));
            let service = service_fn(move |request: Request<Incoming>| {
                let (log, answers) = (Arc::clone(&log), Arc::clone(&answers));
                async move {
                    let authorization = request.headers().get("authorization").cloned();
                    let body = request.into_body().collect().await?.to_bytes();
                    let line = format!("{authorization:?} {}", String::from_utf8_lossy(&body));
                    log.lock().expect("lock").push(line);
                    let (status, text) = answers
                        .lock()
                        .expect("lock")
                        .pop_front()
                        .unwrap_or((503, String::new()));
                    let mut answer = Response::new(Full::new(Bytes::from(text)));
                    *answer.status_mut() = hyper::StatusCode::from_u16(status).expect("status");
                    Ok::<_, hyper::Error>(answer)
                }
            });
            tokio::spawn(
                hyper::server::conn::http1::Builder::new()
                    .keep_alive(keep_alive)
                    .serve_connection(TokioIo::new(stream), service),
            );
        }
    });
    Endpoint {
        address: format!("localhost:{port}").parse().expect("an address"),
        certificate: der,
        pem: certificate.pem(),
        seen,
        connections,
    }
}

/// A client of it.
pub(crate) fn client(endpoint: &Endpoint, trust: Trust) -> Client {
    Client::new(Settings {
        address: endpoint.address.clone(),
        trust,
        account: ("u".to_owned(), Secret::new("p".to_owned())),
        timeout: std::time::Duration::from_secs(10),
    })
    .expect("settings")
}

/// A client that trusts its certificate.
pub(crate) fn pinned(endpoint: &Endpoint) -> Client {
    client(endpoint, Trust::Pinned(Pin::of(&endpoint.certificate)))
}

/// A message with this body.
pub(crate) fn envelope(body: &str) -> String {
    format!(
        "<s:Envelope xmlns:s='{}' xmlns:w='{}' xmlns:n='{}' xmlns:xsi='{}'><s:Header/>\
         <s:Body>{body}</s:Body></s:Envelope>",
        ns::SOAP,
        ns::WSMAN,
        ns::ENUMERATION,
        ns::XSI
    )
}
