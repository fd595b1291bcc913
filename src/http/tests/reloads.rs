//! Files that change while connections live: certificate and key, authorities of
//! clients, and what they have revoked.

use std::fs;
use std::path::PathBuf;
use std::time::SystemTime;

use rcgen::BasicConstraints;
use rcgen::CertificateRevocationListParams;
use rcgen::IsCa;
use rcgen::KeyIdMethod;
use rcgen::KeyPair;
use rcgen::RevokedCertParams;
use rcgen::SerialNumber;
use rustls::HandshakeKind;
use rustls::SupportedProtocolVersion;
use rustls::pki_types::PrivateKeyDer;

use super::certificates::Authority;
use super::certificates::named;
use super::certificates::sha1;
use super::certificates::with_certificates;
use super::*;
use crate::config::CertificateMapping;

/// Looks at the files, some time after they were written.
fn look(server: &Server) {
    let now = SystemTime::now() + Duration::from_mins(1);
    server.reload.look(net::Why::Time, now);
}

/// Puts another certificate for `localhost`, with another key, in place of that
/// of `server`.
fn replace(server: &Server, key: &KeyPair) -> CertificateDer<'static> {
    let parameters = rcgen::CertificateParams::new(["localhost".to_owned()]).expect("a name");
    let certificate = parameters.self_signed(key).expect("signed");
    let folder = server.folder.path().join("tls");
    fs::write(folder.join("certificate.pem"), certificate.pem()).expect("written");
    fs::write(folder.join("private_key.pem"), key.serialize_pem()).expect("written");
    certificate.der().clone()
}

fn shown(client: &Client) -> CertificateDer<'static> {
    let chain = client.0.get_ref().1.peer_certificates();
    chain.expect("a chain")[0].clone().into_owned()
}

/// A client that speaks one version, remembers its sessions, and trusts `roots`.
fn client(version: &'static SupportedProtocolVersion, roots: &RootCertStore) -> TlsConnector {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .expect("a version")
        .with_root_certificates(roots.clone())
        .with_no_client_auth();
    TlsConnector::from(Arc::new(config))
}

#[tokio::test]
async fn new_connections_are_shown_the_new_certificate_and_old_ones_live_on() {
    for algorithm in [&rcgen::PKCS_ECDSA_P384_SHA384, &rcgen::PKCS_RSA_SHA256] {
        let server = Server::start(&WsmanSettings::default());
        let mut old = server.connect().await;
        assert_eq!(old.ask(ALICE, b"hi").await.text(), "alice: hi");
        let first = shown(&old);
        let key = KeyPair::generate_for(algorithm).expect("a key");
        let second = replace(&server, &key);
        look(&server);
        let mut roots = server.roots.clone();
        roots.add(second.clone()).expect("an anchor");
        for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
            let mut new = server.connect_by(&client(version, &roots)).await;
            assert_eq!(new.ask(ALICE, b"hi").await.text(), "alice: hi");
            assert_eq!(shown(&new), second);
        }
        assert_eq!(old.ask(ALICE, b"hi").await.text(), "alice: hi");
        assert_ne!(first, second);
    }
}

#[tokio::test]
async fn no_session_is_resumed_that_began_under_another_certificate() {
    let server = Server::start(&WsmanSettings::default());
    let key = KeyPair::generate().expect("a key");
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let first = replace(&server, &key);
        look(&server);
        let second = replace(&server, &key);
        let mut roots = RootCertStore::empty();
        roots.add(first.clone()).expect("an anchor");
        roots.add(second.clone()).expect("an anchor");
        let own = client(version, &roots);
        for (kind, certificate) in [
            (HandshakeKind::Full, &first),
            (HandshakeKind::Resumed, &first),
            (HandshakeKind::Full, &second),
            (HandshakeKind::Resumed, &second),
        ] {
            if certificate == &second && kind == HandshakeKind::Full {
                look(&server);
            }
            let mut client = server.connect_by(&own).await;
            assert_eq!(client.ask(ALICE, b"hi").await.text(), "alice: hi");
            assert_eq!(client.0.get_ref().1.handshake_kind(), Some(kind));
            assert_eq!(&shown(&client), certificate, "{version:?} {kind:?}");
        }
        look(&server);
        let client = server.connect_by(&own).await;
        let kind = client.0.get_ref().1.handshake_kind();
        assert_eq!(kind, Some(HandshakeKind::Resumed), "nothing has changed");
    }
}

/// A certificate that `by` has signed, and a client that shows it.
fn issued(server: &Server, by: &Authority, serial: u8) -> (SerialNumber, TlsConnector) {
    let key = KeyPair::generate().expect("a key");
    let mut parameters = named("bob@example.org");
    let serial = SerialNumber::from_slice(&[serial]);
    parameters.serial_number = Some(serial.clone());
    let certificate = parameters.signed_by(&key, &by.issuer).expect("signed");
    let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
    let config = client_config(&server.roots)
        .with_client_auth_cert(vec![certificate.der().clone()], key)
        .expect("they go together");
    (serial, TlsConnector::from(Arc::new(config)))
}

/// The list of `by`, which is good for some hours.
fn list(by: &Authority, revoked: &[&SerialNumber]) -> String {
    let (now, hour) = (SystemTime::now(), Duration::from_hours(1));
    let revoked = revoked.iter().map(|serial| RevokedCertParams {
        serial_number: (*serial).clone(),
        revocation_time: now.into(),
        reason_code: None,
        invalidity_date: None,
    });
    let list = CertificateRevocationListParams {
        this_update: (now - hour).into(),
        next_update: (now + 9 * hour).into(),
        crl_number: 1.into(),
        issuing_distribution_point: None,
        revoked_certs: revoked.collect(),
        key_identifier_method: KeyIdMethod::Sha256,
    };
    let list = list.signed_by(&by.issuer).expect("signed");
    list.pem().expect("PEM")
}

/// A server with a list of revoked certificates of `authority`.
fn with_list(authority: &Authority) -> (Server, PathBuf) {
    let server = with_certificates(authority);
    let path = server.folder.path().join("revoked.pem");
    fs::write(&path, list(authority, &[])).expect("written");
    let lists = vec![path.clone()];
    server.change(|settings| settings.access.client_revocation_lists = lists);
    (server, path)
}

#[tokio::test]
async fn a_revoked_certificate_is_refused_on_connections_that_live_and_others_are_not() {
    let authority = Authority::new();
    let (server, path) = with_list(&authority);
    let (serial, bad) = issued(&server, &authority, 7);
    let (_, good) = issued(&server, &authority, 8);
    let mut revoked = server.connect_by(&bad).await;
    let mut other = server.connect_by(&good).await;
    for client in [&mut revoked, &mut other] {
        assert_eq!(client.ask(NOBODY, b"hi").await.text(), "alice: hi");
    }
    fs::write(&path, list(&authority, &[&serial])).expect("written");
    look(&server);
    assert_eq!(revoked.ask(NOBODY, b"hi").await.status(), 401);
    assert_eq!(revoked.ask(ALICE, b"hi").await.text(), "alice: hi");
    assert_eq!(other.ask(NOBODY, b"hi").await.text(), "alice: hi");
    let mut again = server.connect_by(&bad).await;
    assert_eq!(again.ask(NOBODY, b"hi").await.status(), 401);
    // What cannot be read changes nothing.
    fs::write(&path, "no list").expect("written");
    look(&server);
    assert_eq!(revoked.ask(NOBODY, b"hi").await.status(), 401);
    assert_eq!(other.ask(NOBODY, b"hi").await.text(), "alice: hi");
    fs::write(&path, list(&authority, &[])).expect("written");
    look(&server);
    assert_eq!(revoked.ask(NOBODY, b"hi").await.text(), "alice: hi");
}

#[tokio::test]
async fn authorities_that_have_gone_vouch_for_nobody_on_connections_that_live() {
    let (first, second) = (Authority::new(), Authority::new());
    let server = with_certificates(&first);
    let path = server.folder.path().join("authorities.pem");
    let own = first.client(&server, "bob@example.org");
    let mut client = server.connect_by(&own).await;
    assert_eq!(client.ask(NOBODY, b"hi").await.text(), "alice: hi");
    fs::write(&path, [first.pem.as_str(), &second.pem].concat()).expect("written");
    look(&server);
    assert_eq!(client.ask(NOBODY, b"hi").await.text(), "alice: hi");
    fs::write(&path, &second.pem).expect("written");
    look(&server);
    assert_eq!(client.ask(NOBODY, b"hi").await.status(), 401);
    let mut client = server.connect_by(&own).await;
    assert_eq!(client.ask(NOBODY, b"hi").await.status(), 401);
}

#[tokio::test]
async fn a_certificate_signed_by_itself_counts_while_a_mapping_names_it() {
    let key = KeyPair::generate().expect("a key");
    let mut parameters = named("bob@example.org");
    // As openssl makes them.
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let certificate = parameters.self_signed(&key).expect("signed");
    let mapping = CertificateMapping {
        issuer: sha1(certificate.der()),
        subject: "*".to_owned(),
        uri: "*".to_owned(),
        user: "alice".to_owned(),
        enabled: true,
    };
    let server = Server::start(&WsmanSettings::default());
    server.change(|settings| {
        settings.access.certificate = true;
        settings.access.certificate_mappings = vec![mapping.clone()];
    });
    let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
    let config = client_config(&server.roots)
        .with_client_auth_cert(vec![certificate.der().clone()], key)
        .expect("they go together");
    let own = TlsConnector::from(Arc::new(config));
    let mut client = server.connect_by(&own).await;
    assert_eq!(client.ask(NOBODY, b"hi").await.text(), "alice: hi");
    let mut other = mapping.clone();
    other.issuer = "0".repeat(40);
    for (mappings, status) in [
        (vec![other.clone()], 401),
        (vec![other, mapping.clone()], 200),
        (
            vec![CertificateMapping {
                subject: "eve".to_owned(),
                ..mapping
            }],
            500,
        ),
    ] {
        server.change(|settings| settings.access.certificate_mappings = mappings);
        let reply = client.ask(&format!("{NOBODY}{SOAP}"), b"hi").await;
        assert_eq!(reply.status(), status);
        let mut new = server.connect_by(&own).await;
        let reply = new.ask(&format!("{NOBODY}{SOAP}"), b"hi").await;
        assert_eq!(reply.status(), status);
    }
}
