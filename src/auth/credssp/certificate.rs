//! What the TLS connection within the tokens shows: the service's certificate
//! if its key is RSA, else one of its own.
//!
//! Clients prove that they have seen its key and look for no name and no
//! authority ([MS-CSSP] 3.1.5, step 1); `pyspnego` can do that for RSA only.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;

use rcgen::CertificateParams;
use rcgen::KeyPair;
use rcgen::RsaKeySize;
use rustls::ServerConfig;
use rustls::SignatureAlgorithm;
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::server::NoServerSessionStorage;
use rustls::sign::CertifiedKey;
use rustls::sign::SingleCertAndKey;
use tokio::sync::OnceCell;
use x509_parser::parse_x509_certificate;

use crate::auth::CurrentIdentity;
use crate::auth::Identity;

/// What a client is shown.
pub(super) struct Shown {
    /// How we speak TLS.
    pub(super) config: Arc<ServerConfig>,
    /// The content of the bit string `subjectPublicKey`.
    pub(super) public_key: Box<[u8]>,
}

/// What new attempts show.
pub(super) struct Certificates {
    identity: Arc<CurrentIdentity>,
    /// The identity that was asked for last, if its key is RSA.
    latest: Mutex<Option<(Arc<Identity>, Arc<Shown>)>>,
    /// One of our own, made when it is first needed; it ends with the process.
    own: OnceCell<Arc<Shown>>,
}

/// Why there is nothing to show.
#[derive(Debug, thiserror::Error)]
pub(super) enum NothingToShow {
    /// The service's certificate is not one of X.509.
    #[error("the certificate cannot be parsed")]
    Parse,
    /// rustls does not take it.
    #[error("the certificate cannot be used")]
    Tls(#[from] rustls::Error),
    /// A key or certificate cannot be made.
    #[error("no certificate can be made")]
    Make(#[from] rcgen::Error),
    /// It was being made when the service stopped.
    #[error("the certificate was not made")]
    Stopped(#[from] tokio::task::JoinError),
}

impl Certificates {
    pub(super) fn new(identity: Arc<CurrentIdentity>) -> Self {
        Self {
            identity,
            latest: Mutex::default(),
            own: OnceCell::new(),
        }
    }

    /// What an attempt that begins now shows. When the future is dropped, a
    /// certificate that is being made is made again by the next one.
    ///
    /// # Errors
    ///
    /// [`NothingToShow`].
    pub(super) async fn current(&self) -> Result<Arc<Shown>, NothingToShow> {
        let identity = self.identity.get();
        if identity.key.key.algorithm() != SignatureAlgorithm::RSA {
            let own = self.own.get_or_try_init(|| async {
                let made = tokio::task::spawn_blocking(make).await??;
                Ok::<_, NothingToShow>(Arc::new(Shown::new(made)?))
            });
            return own.await.cloned();
        }
        // A panic leaves it whole: a change is one assignment.
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, shown)) = &*latest
            && Arc::ptr_eq(known, &identity)
        {
            return Ok(Arc::clone(shown));
        }
        let shown = Arc::new(Shown::new(Arc::clone(&identity.key))?);
        *latest = Some((identity, Arc::clone(&shown)));
        Ok(shown)
    }
}

impl Shown {
    fn new(key: Arc<CertifiedKey>) -> Result<Self, NothingToShow> {
        let own = key.cert.first().ok_or(NothingToShow::Parse)?;
        let (_, parsed) = parse_x509_certificate(own).map_err(|_| NothingToShow::Parse)?;
        let public_key = parsed.public_key().subject_public_key.data.as_ref().into();
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(key)));
        // [MS-CSSP] 3.1.5, step 1: no session is resumed. A ticket behind the
        // handshake would also be a record for which nobody has asked.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(Self {
            config: Arc::new(config),
            public_key,
        })
    }
}

/// Makes a key and its certificate; takes some tenths of a second.
pub(super) fn make() -> Result<Arc<CertifiedKey>, NothingToShow> {
    let pair = KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, RsaKeySize::_2048)?;
    let certificate = CertificateParams::new(["localhost".to_owned()])?.self_signed(&pair)?;
    let key = PrivatePkcs8KeyDer::from(pair.serialize_der());
    let chain = vec![certificate.der().clone()];
    let certified = CertifiedKey::from_der(chain, key.into(), &provider())?;
    Ok(Arc::new(certified))
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(default_provider())
}
