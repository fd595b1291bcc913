//! The client, and the log-on within.

use std::io::Read as _;
use std::io::Write as _;
use std::sync::LazyLock;
use std::sync::Mutex;

use rustls::ClientConfig;
use rustls::ClientConnection;
use rustls::DigitallySignedStruct;
use rustls::SignatureScheme;
use rustls::SupportedProtocolVersion;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::client::danger::ServerCertVerified;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::ServerName;
use rustls::pki_types::UnixTime;
use rustls::sign::CertifiedKey;
use rustls::version::TLS13;

use super::super::*;
use super::PASSWORD;
use crate::auth::ChannelBinding;
use crate::auth::Identity;
use crate::auth::Parts;
use crate::auth::Seal;
use crate::auth::Sealed;
use crate::mechanism::SecurityContext;

/// Keys of the log-on within: a tag with direction and number, and the text
/// turned over.
pub(super) struct Keys {
    sends: u8,
    opens: u8,
    sent: u8,
    opened: u8,
}

impl Keys {
    fn of_server() -> Self {
        Self {
            sends: b's',
            opens: b'c',
            sent: 0,
            opened: 0,
        }
    }

    fn of_client() -> Self {
        Self {
            sends: b'c',
            opens: b's',
            ..Self::of_server()
        }
    }

    fn tag(side: u8, number: u8, plain: &[u8]) -> digest::Digest {
        let mut hash = digest::Context::new(&digest::SHA256);
        hash.update(&[side, number]);
        hash.update(plain);
        hash.finish()
    }
}

impl Seal for Keys {
    fn seal(&mut self, plain: &[u8]) -> Result<Sealed, SealError> {
        let mut octets = Self::tag(self.sends, self.sent, plain).as_ref().to_vec();
        octets.extend(plain.iter().map(|octet| !octet));
        self.sent += 1;
        Ok(Sealed {
            signature: 32,
            octets,
        })
    }

    fn open(&mut self, message: &[u8]) -> Result<Vec<u8>, SealError> {
        let (tag, sealed) = message.split_at_checked(32).ok_or(SealError)?;
        let plain: Vec<u8> = sealed.iter().map(|octet| !octet).collect();
        if Self::tag(self.opens, self.opened, &plain).as_ref() != tag {
            return Err(SealError);
        }
        self.opened += 1;
        Ok(plain)
    }

    fn parts(&self) -> Parts {
        Parts::Whole
    }
}

impl SecurityContext for Keys {
    fn sign(&mut self, _data: &[u8]) -> Result<Vec<u8>, SealError> {
        Err(SealError)
    }

    fn verify(&mut self, _data: &[u8], _signature: &[u8]) -> Result<(), SealError> {
        Err(SealError)
    }
}

/// The log-on within.
#[derive(Default)]
pub(super) struct Script {
    /// Who has begun.
    pub(super) peers: Arc<Mutex<Vec<Peer>>>,
}

struct Play;

impl Start for Script {
    fn start(&self, peer: &Peer) -> Box<dyn Exchange> {
        self.peers.lock().expect("no panic").push(peer.clone());
        Box::new(Play)
    }

    fn is_available(&self, access: &AccessSettings) -> bool {
        access.negotiate
    }
}

impl Exchange for Play {
    fn step<'a>(&'a mut self, token: &'a [u8]) -> Legs<'a> {
        let proven = |token: Option<&[u8]>| {
            Ok(Leg::Done(Proven {
                account: Arc::from("alice"),
                token: token.map(<[u8]>::to_vec),
                bound: Bound::NotApplicable,
                context: Box::new(Keys::of_server()),
            }))
        };
        let leg = match token {
            b"hello" => Ok(Leg::Continue(b"challenge".to_vec())),
            b"proof" => proven(Some(b"mic")),
            b"raw proof" => proven(None),
            b"ticket" => proven(Some(b"reply")),
            b"later" => Err(AuthError::Busy),
            _ => Err(AuthError::Refused),
        };
        Box::pin(async move { leg })
    }

    fn claimed(&self) -> Option<&str> {
        Some("alice")
    }
}

/// A client that asks no certificate for its name.
#[derive(Debug)]
struct AnyCertificate;

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = default_provider().signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, dss, &algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = default_provider().signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, dss, &algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        default_provider()
            .signature_verification_algorithms
            .supported_schemes()
    }
}

/// Making one takes its time.
pub(super) static RSA: LazyLock<Arc<CertifiedKey>> =
    LazyLock::new(|| certificate::make().expect("made"));

pub(super) fn identity(key: &Arc<CertifiedKey>) -> Identity {
    Identity {
        key: Arc::clone(key),
        end_point: ChannelBinding::of_end_point(&key.cert[0]),
    }
}

pub(super) fn credssp() -> CredSsp {
    let identity = CurrentIdentity::new(identity(&RSA));
    CredSsp::new(
        Arc::new(Script::default()),
        Arc::new(identity),
        Arc::new(|_, _| false),
    )
}

pub(super) fn peer() -> Peer {
    Peer {
        address: ([127, 0, 0, 1], 1).into(),
        channel: Channel::Tls(ChannelBinding::of_end_point(b"outer")),
        certificate: None,
    }
}

/// A client, and the attempt that it makes.
pub(super) struct Client {
    pub(super) tls: ClientConnection,
    pub(super) attempt: Box<dyn Exchange>,
    /// Those of the log-on within.
    pub(super) keys: Keys,
    pub(super) version: u32,
}

pub(super) const NONCE: Nonce = [7; 32];

impl Client {
    /// Before the first octet.
    pub(super) fn new(credssp: &CredSsp, protocol: &'static SupportedProtocolVersion) -> Self {
        let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_protocol_versions(&[protocol])
            .expect("a version that there is")
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AnyCertificate))
            .with_no_client_auth();
        let name = ServerName::try_from("elsewhere").expect("a name");
        Self {
            tls: ClientConnection::new(Arc::new(config), name).expect("a connection"),
            attempt: credssp.start(&peer()),
            keys: Keys::of_client(),
            version: 6,
        }
    }

    /// With a TLS connection within.
    pub(super) async fn connected(
        credssp: &CredSsp,
        protocol: &'static SupportedProtocolVersion,
    ) -> Self {
        let mut client = Self::new(credssp, protocol);
        while client.tls.is_handshaking() || client.tls.wants_write() {
            let token = client.records();
            match client.attempt.step(&token).await.expect("a handshake") {
                Leg::Continue(token) => client.feed(&token),
                Leg::Done(_) => panic!("nobody has logged on"),
            }
        }
        client
    }

    /// With a log-on within that is over.
    pub(super) async fn at_key(credssp: &CredSsp) -> Self {
        let mut client = Self::connected(credssp, &TLS13).await;
        client
            .ask(&client.nego(b"ticket"))
            .await
            .expect("an answer");
        client
    }

    /// With keys that both have seen.
    pub(super) async fn at_password(credssp: &CredSsp) -> Self {
        let mut client = Self::at_key(credssp).await;
        let seen = client.seen();
        let message = TsRequest {
            pub_key_auth: Some(&seen),
            client_nonce: Some(&NONCE),
            ..client.nothing()
        };
        client.ask(&message).await.expect("an answer");
        client.keys.opened += 1;
        client
    }

    /// Who has logged on.
    pub(super) async fn through(
        credssp: &CredSsp,
        protocol: &'static SupportedProtocolVersion,
    ) -> (ClientConnection, Proven) {
        let mut client = Self::connected(credssp, protocol).await;
        client.ask(&client.nego(b"hello")).await.expect("an answer");
        let answer = client.show(Some(b"proof")).await.expect("an answer");
        assert_eq!(answer, b"mic");
        let proven = client.delegate(PASSWORD).await;
        (client.tls, proven.expect("logged on"))
    }

    pub(super) fn nothing<'a>(&self) -> TsRequest<'a> {
        TsRequest {
            version: self.version,
            ..TsRequest::default()
        }
    }

    pub(super) fn nego<'a>(&self, token: &'a [u8]) -> TsRequest<'a> {
        TsRequest {
            nego_token: Some(token),
            ..self.nothing()
        }
    }

    pub(super) fn public_key(&self) -> Vec<u8> {
        let chain = self.tls.peer_certificates().expect("a certificate");
        let (_, parsed) = x509_parser::parse_x509_certificate(&chain[0]).expect("X.509");
        parsed.public_key().subject_public_key.data.to_vec()
    }

    /// `pubKeyAuth` for the key that this client has seen.
    pub(super) fn seen(&mut self) -> Vec<u8> {
        let hash = binding(CLIENT_TO_SERVER, &NONCE, &self.public_key());
        self.keys.seal(hash.as_ref()).expect("sealed").octets
    }

    /// Shows the key, with the last token of the log-on within; checks the
    /// server's and gives its token.
    pub(super) async fn show(&mut self, token: Option<&[u8]>) -> Result<Vec<u8>, AuthError> {
        let seen = self.seen();
        let message = TsRequest {
            nego_token: token,
            pub_key_auth: Some(&seen),
            client_nonce: Some(&NONCE),
            ..self.nothing()
        };
        let answer = self.ask(&message).await?;
        let answer = TsRequest::decode(&answer).expect("a message");
        assert_eq!(answer.version, 6);
        let sealed = answer.pub_key_auth.expect("the server's");
        let known = self.keys.open(sealed).expect("sealed by the log-on");
        let expected = binding(SERVER_TO_CLIENT, &NONCE, &self.public_key());
        assert_eq!(known, expected.as_ref());
        Ok(answer.nego_token.unwrap_or_default().to_vec())
    }

    pub(super) async fn delegate(&mut self, credentials: &[u8]) -> Result<Proven, AuthError> {
        let sealed = self.keys.seal(credentials).expect("sealed").octets;
        let token = self.token(&TsRequest {
            auth_info: Some(&sealed),
            ..self.nothing()
        });
        match self.attempt.step(&token).await? {
            Leg::Continue(_) => panic!("the log-on is over"),
            Leg::Done(proven) => Ok(proven),
        }
    }

    fn token(&mut self, message: &TsRequest<'_>) -> Vec<u8> {
        self.token_of(&message.encode().expect("written"))
    }

    pub(super) fn token_of(&mut self, octets: &[u8]) -> Vec<u8> {
        send(&mut self.tls, octets)
    }

    /// Sends a message, and gives the answer to it.
    pub(super) async fn ask(&mut self, message: &TsRequest<'_>) -> Result<Vec<u8>, AuthError> {
        let token = self.token(message);
        match self.attempt.step(&token).await? {
            Leg::Continue(token) => Ok(receive(&mut self.tls, &token).expect("records")),
            Leg::Done(_) => panic!("nobody has logged on"),
        }
    }

    /// Sends a message that is refused; gives the reason that comes with it.
    pub(super) async fn refused(&mut self, message: &TsRequest<'_>) -> (AuthError, Option<u32>) {
        let token = self.token(message);
        self.refused_token(&token).await
    }

    pub(super) async fn refused_token(&mut self, token: &[u8]) -> (AuthError, Option<u32>) {
        let Err(error) = self.attempt.step(token).await else {
            panic!("taken");
        };
        let status = self.attempt.farewell().map(|token| {
            let answer = receive(&mut self.tls, &token).expect("records");
            let answer = TsRequest::decode(&answer).expect("a message");
            let status = answer.error_code.expect("a reason");
            assert_eq!(
                answer,
                TsRequest {
                    version: 6,
                    error_code: Some(status),
                    ..TsRequest::default()
                }
            );
            status.cast_unsigned()
        });
        assert_eq!(self.attempt.farewell(), None);
        let again = self.attempt.step(token).await;
        assert!(again.is_err(), "what has failed goes on");
        (error, status)
    }

    pub(super) fn records(&mut self) -> Vec<u8> {
        records(&mut self.tls)
    }

    pub(super) fn feed(&mut self, token: &[u8]) {
        assert_eq!(receive(&mut self.tls, token).expect("records"), b"");
    }
}

pub(super) fn records(tls: &mut ClientConnection) -> Vec<u8> {
    let mut records = Vec::new();
    while tls.wants_write() {
        tls.write_tls(&mut records).expect("written");
    }
    records
}

pub(super) fn send(tls: &mut ClientConnection, octets: &[u8]) -> Vec<u8> {
    tls.writer().write_all(octets).expect("written");
    records(tls)
}

pub(super) fn receive(tls: &mut ClientConnection, token: &[u8]) -> Result<Vec<u8>, rustls::Error> {
    let (mut unread, mut plain) = (token, Vec::new());
    while !unread.is_empty() {
        tls.read_tls(&mut unread).expect("read");
        let octets = tls.process_new_packets()?.plaintext_bytes_to_read();
        let begin = plain.len();
        plain.resize(begin + octets, 0);
        tls.reader().read_exact(&mut plain[begin..]).expect("read");
    }
    Ok(plain)
}
