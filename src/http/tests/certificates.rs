//! Client certificates over real TLS.

use rcgen::BasicConstraints;
use rcgen::CertificateParams;
use rcgen::DnType;
use rcgen::IsCa;
use rcgen::Issuer;
use rcgen::KeyPair;
use rustls::HandshakeKind;
use rustls::SignatureScheme;
use rustls::client::ResolvesClientCert;
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::PrivateKeyDer;
use rustls::sign::CertifiedKey;

use super::*;
use crate::config::CertificateMapping;

/// Signs the certificates of clients.
pub(super) struct Authority {
    pub(super) pem: String,
    thumbprint: String,
    pub(super) issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    pub(super) fn new() -> Self {
        let mut parameters = named("authority");
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let certificate = parameters.self_signed(&key).expect("signed");
        Self {
            pem: certificate.pem(),
            thumbprint: sha1(certificate.der()),
            issuer: Issuer::new(parameters, key),
        }
    }

    /// A client that trusts `server` and shows a certificate of `name`.
    pub(super) fn client(&self, server: &Server, name: &str) -> TlsConnector {
        let key = KeyPair::generate().expect("a key");
        let certificate = named(name).signed_by(&key, &self.issuer).expect("signed");
        let chain = vec![certificate.der().clone()];
        let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
        let config = client_config(&server.roots)
            .with_client_auth_cert(chain, key)
            .expect("they go together");
        TlsConnector::from(Arc::new(config))
    }

    pub(super) fn mapping(&self, subject: &str, user: &str) -> CertificateMapping {
        CertificateMapping {
            issuer: self.thumbprint.clone(),
            subject: subject.to_owned(),
            uri: "*".to_owned(),
            user: user.to_owned(),
            enabled: true,
        }
    }
}

/// The thumbprint of a certificate, as Windows writes it.
pub(super) fn sha1(certificate: &[u8]) -> String {
    let sum = &aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY;
    let sum = aws_lc_rs::digest::digest(sum, certificate);
    let digits = sum.as_ref().iter().map(|octet| format!("{octet:02X}"));
    digits.collect::<Vec<_>>().concat()
}

pub(super) fn named(name: &str) -> CertificateParams {
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name.remove(DnType::CommonName);
    parameters.distinguished_name.push(DnType::CommonName, name);
    parameters
}

/// A server that takes the certificates of `authority`.
pub(super) fn with_certificates(authority: &Authority) -> Server {
    let server = Server::start(&WsmanSettings::default());
    let path = server.folder.path().join("authorities.pem");
    std::fs::write(&path, &authority.pem).expect("written");
    server.change(|settings| {
        settings.access.certificate = true;
        settings.access.client_ca_certificates = Some(path);
        settings.access.certificate_mappings = vec![
            authority.mapping("*@example.org", "alice"),
            authority.mapping("stranger", "nobody"),
        ];
    });
    server
}

#[tokio::test]
async fn a_certificate_logs_on_and_one_that_is_not_good_leaves_basic() {
    let (authority, other) = (Authority::new(), Authority::new());
    let server = with_certificates(&authority);
    let own = authority.client(&server, "bob@example.org");
    // The second connection resumes the session of the first one.
    for kind in [HandshakeKind::Full, HandshakeKind::Resumed] {
        let mut client = server.connect_by(&own).await;
        assert_eq!(client.0.get_ref().1.handshake_kind(), Some(kind));
        let mutual = "http://schemas.dmtf.org/wbem/wsman/1/wsman/secprofile/https/mutual";
        let announced = format!("{NOBODY}\r\nAuthorization: {mutual}{SOAP}");
        for head in [&format!("{NOBODY}{SOAP}"), &announced] {
            let reply = client.ask(head, b"hello").await;
            assert_eq!((reply.status(), reply.text()), (200, "alice: hello"));
        }
        let reply = client.ask(EVE, b"hello").await;
        assert_eq!((reply.status(), reply.text()), (500, "denied: hello"));
    }
    for name in ["stranger", "unmapped"] {
        let mut client = server.connect_by(&authority.client(&server, name)).await;
        let reply = client.ask(&format!("{NOBODY}{SOAP}"), b"hello").await;
        assert_eq!((reply.status(), reply.text()), (500, "denied: hello"));
        assert_eq!(client.ask(ALICE, b"hi").await.text(), "alice: hi");
    }
    let forged = other.client(&server, "bob@example.org");
    let mut client = server.connect_by(&forged).await;
    assert_eq!(client.ask(NOBODY, b"hello").await.status(), 401);
    assert_eq!(client.ask(ALICE, b"hi").await.text(), "alice: hi");
    assert_eq!(client.ask(NOBODY, b"hello").await.status(), 401);
}

#[tokio::test]
async fn a_resumed_session_is_worth_no_more_than_a_new_one() {
    let (first, second) = (Authority::new(), Authority::new());
    let server = with_certificates(&first);
    let own = first.client(&server, "bob@example.org");
    let mut client = server.connect_by(&own).await;
    assert_eq!(client.ask(NOBODY, b"hi").await.text(), "alice: hi");
    drop(client);
    let path = server.folder.path().join("others.pem");
    std::fs::write(&path, &second.pem).expect("written");
    server.change(|settings| settings.access.client_ca_certificates = Some(path));
    let mut client = server.connect_by(&own).await;
    let kind = client.0.get_ref().1.handshake_kind();
    assert_eq!(kind, Some(HandshakeKind::Full), "its session is forgotten");
    assert_eq!(client.ask(NOBODY, b"hi").await.status(), 401);
}

/// Shows a certificate, and signs with whatever key.
#[derive(Debug)]
struct Shown(Arc<CertifiedKey>);

impl ResolvesClientCert for Shown {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }

    fn has_certs(&self) -> bool {
        true
    }
}

#[tokio::test]
async fn whoever_has_not_the_key_of_his_certificate_gets_no_connection() {
    let authority = Authority::new();
    let server = with_certificates(&authority);
    let (own, other) = (
        KeyPair::generate().expect("a key"),
        KeyPair::generate().expect("a key"),
    );
    let certificate = named("bob@example.org").signed_by(&own, &authority.issuer);
    let chain = vec![certificate.expect("signed").der().clone()];
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        for (key, is_his) in [(&own, true), (&other, false)] {
            let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
            let key = any_supported_type(&key).expect("supported");
            let shown = Shown(Arc::new(CertifiedKey::new(chain.clone(), key)));
            let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
            let config = ClientConfig::builder_with_provider(provider)
                .with_protocol_versions(&[version])
                .expect("a version")
                .with_root_certificates(server.roots.clone())
                .with_client_cert_resolver(Arc::new(shown));
            let client = TlsConnector::from(Arc::new(config));
            let stream = TcpStream::connect(server.address).await.expect("connected");
            let name = ServerName::try_from("localhost").expect("a name");
            let status = async {
                let mut client = Client(client.connect(name, stream).await.ok()?);
                let asked = format!("{NOBODY}\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi");
                client.0.write_all(asked.as_bytes()).await.ok()?;
                Some(client.read().await?.status())
            };
            assert_eq!(status.await, is_his.then_some(200), "{version:?}");
        }
    }
}

#[tokio::test]
async fn metrics_are_for_administrators_by_certificate_too() {
    let authority = Authority::new();
    let server = with_certificates(&authority);
    let mut somewhere = authority.mapping("some@x", "root");
    somewhere.uri = "http://x/*".to_owned();
    let mappings = vec![
        authority.mapping("root@x", "root"),
        authority.mapping("alice@x", "alice"),
        somewhere,
    ];
    server.change(|settings| settings.access.certificate_mappings = mappings);
    for (name, status) in [
        ("root@x", 200),
        ("alice@x", 403),
        ("some@x", 403),
        ("eve@x", 403),
    ] {
        let mut client = server.connect_by(&authority.client(&server, name)).await;
        let reply = client.ask("GET /metrics HTTP/1.1", b"").await;
        assert_eq!(reply.status(), status, "{name}");
    }
}
