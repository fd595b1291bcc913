//! TLS of the listeners: versions, certificate and key, and whether clients are
//! asked for certificates.

use std::fmt;
use std::fmt::Write as _;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;

use aws_lc_rs::digest;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::sign::CertifiedKey;
use rustls::sign::SingleCertAndKey;
use tokio_rustls::TlsAcceptor;
use tracing::error;
use tracing::info;

use super::certificate;
use super::client_trust::Authorities;
use crate::auth::ChannelBinding;
use crate::auth::CurrentIdentity;
use crate::auth::Identity;
use crate::auth::SecretFileError;
use crate::auth::read_secret;
use crate::auth::takes_certificates;
use crate::config::AccessSettings;
use crate::config::ServiceSettings;

/// The server's identity, and how it speaks TLS.
#[derive(Clone, Debug)]
pub(crate) struct Tls {
    /// Asks no client for a certificate.
    plain: Arc<ServerConfig>,
    identity: Arc<CurrentIdentity>,
    fingerprint: String,
    #[cfg(test)]
    certificate: PathBuf,
    thumbprint: String,
}

/// What takes connections, as the settings want it.
#[derive(Debug)]
pub(crate) struct Acceptors {
    tls: Tls,
    known: Mutex<Known>,
}

#[derive(Debug)]
struct Known {
    /// For the settings that were in force last.
    latest: Arc<Acceptor>,
    /// For those that are about to be.
    prepared: Option<Arc<Acceptor>>,
}

/// What takes connections.
pub(super) struct Acceptor {
    pub(super) handshake: TlsAcceptor,
    /// What binds log-ons to its connections.
    pub(super) end_point: ChannelBinding,
    /// Whose client certificates are believed; without, none is asked for.
    pub(super) authorities: Option<Authorities>,
    /// What the settings name, though it may not be readable.
    wanted: Option<PathBuf>,
}

/// Why there is no TLS. Each text names the file.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsError {
    /// The key cannot be read, or others may read it.
    #[error(transparent)]
    KeyFile(#[from] SecretFileError),
    /// The certificate cannot be read.
    #[error("cannot read the certificate {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// A file is not what it should be.
    #[error("{path} holds no {what} in PEM form")]
    NoPem {
        /// The file.
        path: PathBuf,
        /// `certificate` or `private key`.
        what: &'static str,
    },
    /// Certificate and key do not go together, or are of a kind that is not
    /// supported.
    #[error("the certificate {certificate} and the key {key} cannot be used")]
    Unusable {
        /// The certificate.
        certificate: PathBuf,
        /// The key.
        key: PathBuf,
        /// What is wrong.
        #[source]
        source: rustls::Error,
    },
    /// Nothing can be made of the authorities of client certificates.
    #[error("the authorities in {path} cannot be used")]
    Authorities {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: rustls::Error,
    },
    /// A certificate cannot be made from `certificate_names`.
    #[error("no certificate can be made")]
    Make(#[source] rcgen::Error),
    /// The made certificate or key cannot be kept.
    #[error("cannot write {path}")]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
}

impl Tls {
    /// Reads certificate and key; makes them when none are configured and
    /// there are none yet, or the made ones have expired.
    ///
    /// # Errors
    ///
    /// [`TlsError`].
    pub(crate) fn load(service: &ServiceSettings) -> Result<Self, TlsError> {
        let (certificate, key) = match (&service.certificate, &service.private_key) {
            (Some(certificate), Some(key)) => (certificate.clone(), key.clone()),
            (None | Some(_), None) | (None, Some(_)) => certificate::made(service)?,
        };
        let chain = read_chain(&certificate)?;
        let fingerprint = fingerprint(&chain[0]);
        let thumbprint = thumbprint(&chain[0]);
        certificate::warn_of_end(&certificate, &chain[0]);
        let private_key = read_key(&key)?;
        let end_point = ChannelBinding::of_end_point(&chain[0]);
        let unusable = |source| TlsError::Unusable {
            certificate: certificate.clone(),
            key: key.clone(),
            source,
        };
        let certified = CertifiedKey::from_der(chain, private_key, &default_provider());
        let certified = Arc::new(certified.map_err(unusable)?);
        let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(unusable)?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(Arc::clone(&certified))));
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        info!(certificate = %certificate.display(), sha256 = %fingerprint, "Certificate loaded");
        Ok(Self {
            plain: Arc::new(config),
            identity: Arc::new(CurrentIdentity::new(Identity {
                key: certified,
                end_point,
            })),
            fingerprint,
            #[cfg(test)]
            certificate,
            thumbprint,
        })
    }

    /// The same, but it asks clients for certificates.
    fn asking(&self, authorities: &Authorities) -> Result<ServerConfig, rustls::Error> {
        let question = Arc::new(authorities.question());
        let builder = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()?;
        // Sessions are kept by each for itself: none is resumed that began
        // under another one.
        let mut config = builder
            .with_client_cert_verifier(question)
            .with_cert_resolver(Arc::clone(&self.plain.cert_resolver));
        config.alpn_protocols.clone_from(&self.plain.alpn_protocols);
        Ok(config)
    }

    /// What new connections are shown.
    pub(crate) fn identity(&self) -> Arc<CurrentIdentity> {
        Arc::clone(&self.identity)
    }

    /// SHA-256 of the certificate, in hexadecimal digits.
    pub(crate) fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// SHA-1 of the certificate, in hexadecimal digits as Windows writes them.
    pub(crate) fn thumbprint(&self) -> &str {
        &self.thumbprint
    }

    /// The PEM file with the certificate, for clients that pin it.
    #[cfg(test)]
    pub(crate) fn certificate(&self) -> &Path {
        &self.certificate
    }
}

impl Acceptors {
    /// What `access` asks for.
    ///
    /// # Errors
    ///
    /// [`TlsError`], of the authorities of client certificates.
    pub(super) fn new(tls: &Tls, access: &AccessSettings) -> Result<Self, TlsError> {
        let latest = Arc::new(Acceptor::new(tls, wanted(access))?);
        Ok(Self {
            tls: tls.clone(),
            known: Mutex::new(Known {
                latest,
                prepared: None,
            }),
        })
    }

    /// Reads what `access` asks for, before it is in force: what was read here
    /// is what [`Self::under`] gives then. Blocks while a file is read.
    ///
    /// # Errors
    ///
    /// [`TlsError`]: `access` must not be put in force.
    pub(crate) fn prepare(&self, access: &AccessSettings) -> Result<(), TlsError> {
        let wanted = wanted(access);
        if self.lock().latest.is_for(wanted) {
            return Ok(());
        }
        let prepared = Arc::new(Acceptor::new(&self.tls, wanted)?);
        self.lock().prepared = Some(prepared);
        Ok(())
    }

    /// What takes a connection under `access`. Authorities that nobody has
    /// prepared and that cannot be read are as none: an error goes to the log,
    /// and nobody is asked.
    pub(super) fn under(&self, access: &AccessSettings) -> Arc<Acceptor> {
        let mut known = self.lock();
        let wanted = wanted(access);
        if known.latest.wanted.as_deref() != wanted {
            let prepared = known.prepared.take();
            known.latest = prepared
                .filter(|prepared| prepared.is_for(wanted))
                .unwrap_or_else(|| Arc::new(self.read(wanted)));
            info!(
                authorities = ?known.latest.authorities.as_ref().map(Authorities::path),
                "Client certificates changed"
            );
        }
        Arc::clone(&known.latest)
    }

    fn read(&self, wanted: Option<&Path>) -> Acceptor {
        Acceptor::new(&self.tls, wanted).unwrap_or_else(|cause| {
            error!(
                cause = &cause as &dyn std::error::Error,
                "Client certificates are not taken"
            );
            Acceptor::plain(&self.tls, wanted)
        })
    }

    /// Each change is one assignment: a panic leaves it whole.
    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Acceptor {
    fn new(tls: &Tls, wanted: Option<&Path>) -> Result<Self, TlsError> {
        let Some(path) = wanted else {
            return Ok(Self::plain(tls, None));
        };
        let authorities = Authorities::load(path)?;
        let config = tls
            .asking(&authorities)
            .map_err(|source| TlsError::Authorities {
                path: path.to_owned(),
                source,
            })?;
        Ok(Self {
            handshake: TlsAcceptor::from(Arc::new(config)),
            end_point: tls.identity.get().end_point.clone(),
            authorities: Some(authorities),
            wanted: wanted.map(Path::to_owned),
        })
    }

    fn plain(tls: &Tls, wanted: Option<&Path>) -> Self {
        Self {
            handshake: TlsAcceptor::from(Arc::clone(&tls.plain)),
            end_point: tls.identity.get().end_point.clone(),
            authorities: None,
            wanted: wanted.map(Path::to_owned),
        }
    }

    /// It is what the settings want, and nothing of it is missing.
    fn is_for(&self, wanted: Option<&Path>) -> bool {
        self.wanted.as_deref() == wanted && self.authorities.is_some() == wanted.is_some()
    }
}

impl fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acceptor")
            .field("wanted", &self.wanted)
            .finish_non_exhaustive()
    }
}

/// The authorities of client certificates, if any are to be asked for.
fn wanted(access: &AccessSettings) -> Option<&Path> {
    access
        .client_ca_certificates
        .as_deref()
        .filter(|_| takes_certificates(access))
}

/// The certificates of a PEM file; the first one is the server's own.
pub(super) fn read_chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let pem = std::fs::read(path).map_err(|source| TlsError::Read {
        path: path.to_owned(),
        source,
    })?;
    CertificateDer::pem_slice_iter(&pem)
        .collect::<Result<Vec<_>, _>>()
        .ok()
        .filter(|chain| !chain.is_empty())
        .ok_or_else(|| TlsError::NoPem {
            path: path.to_owned(),
            what: "certificate",
        })
}

/// The key of a PEM file that nobody else may read.
fn read_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let (pem, _) = read_secret(path, MAX_KEY)?;
    let pem = zeroize::Zeroizing::new(pem);
    PrivateKeyDer::from_pem_slice(&pem).map_err(|_| TlsError::NoPem {
        path: path.to_owned(),
        what: "private key",
    })
}

fn fingerprint(certificate: &CertificateDer<'_>) -> String {
    let mut text = String::with_capacity(64);
    for octet in digest::digest(&digest::SHA256, certificate).as_ref() {
        let _ = write!(text, "{octet:02x}");
    }
    text
}

/// What Windows names certificates by; it proves nothing.
fn thumbprint(certificate: &CertificateDer<'_>) -> String {
    let mut text = String::with_capacity(40);
    for octet in digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, certificate).as_ref() {
        let _ = write!(text, "{octet:02X}");
    }
    text
}

/// Octets of a key file.
pub(super) const MAX_KEY: u64 = 64 * 1_024;

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn service() -> (tempfile::TempDir, ServiceSettings) {
        let folder = tempfile::tempdir().expect("a folder");
        let service = ServiceSettings {
            state_directory: folder.path().join("state"),
            certificate_names: vec!["bits.example.org".to_owned(), "192.0.2.7".to_owned()],
            ..ServiceSettings::default()
        };
        (folder, service)
    }

    #[test]
    fn a_made_certificate_is_kept_and_names_what_is_configured() {
        let (_folder, service) = service();
        let first = Tls::load(&service).expect("made");
        let second = Tls::load(&service).expect("read");
        assert_eq!(first.fingerprint(), second.fingerprint());
        let tls = service.state_directory.join("tls");
        let mode = |path: &Path| {
            let metadata = std::fs::metadata(path).expect("there");
            metadata.permissions().mode() & 0o777
        };
        assert_eq!(mode(&tls.join("private_key.pem")), 0o600);
        let chain = read_chain(first.certificate()).expect("a chain");
        let (_, parsed) = x509_parser::parse_x509_certificate(&chain[0]).expect("X.509");
        let names = parsed
            .subject_alternative_name()
            .expect("well-formed")
            .expect("there")
            .value
            .general_names
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(" ");
        for name in [
            "(localhost)",
            "(7f:00:00:01)",
            "(bits.example.org)",
            "(c0:00:02:07)",
        ] {
            assert!(names.contains(name), "{names}");
        }
        assert!(!parsed.is_ca());
        assert!(parsed.basic_constraints().expect("well-formed").is_some());
        assert!(
            parsed
                .extended_key_usage()
                .expect("fine")
                .expect("there")
                .value
                .server_auth
        );
        let validity = parsed.validity();
        let days = (validity.not_after.timestamp() - validity.not_before.timestamp()) / 86_400;
        assert!((730..=825).contains(&days), "{days}");
    }

    #[test]
    fn what_was_prepared_is_in_force_then_and_nothing_that_cannot_be_read() {
        let (folder, service) = service();
        let tls = Tls::load(&service).expect("made");
        let path = folder.path().join("authorities.pem");
        let on = AccessSettings {
            certificate: true,
            client_ca_certificates: Some(path.clone()),
            ..AccessSettings::default()
        };
        let off = AccessSettings::default();
        let acceptors = Acceptors::new(&tls, &off).expect("no authorities");
        assert!(acceptors.prepare(&on).is_err(), "there is no file");
        std::fs::write(&path, "no certificate").expect("a file");
        assert!(acceptors.prepare(&on).is_err(), "there is none in it");
        assert!(acceptors.under(&off).authorities.is_none());
        std::fs::copy(tls.certificate(), &path).expect("a copy");
        acceptors.prepare(&on).expect("a certificate");
        std::fs::remove_file(&path).expect("gone");
        assert!(acceptors.under(&off).authorities.is_none(), "not yet");
        assert!(acceptors.under(&on).authorities.is_some());
        acceptors.prepare(&on).expect("it is in force");
        assert!(acceptors.under(&off).authorities.is_none());
        assert!(acceptors.prepare(&on).is_err(), "it is read again");
    }

    #[test]
    fn a_key_that_others_may_read_stops_the_start() {
        let (_folder, service) = service();
        Tls::load(&service).expect("made");
        let key = service.state_directory.join("tls/private_key.pem");
        std::fs::set_permissions(&key, Permissions::from_mode(0o644)).expect("a mode");
        let error = Tls::load(&service).expect_err("open to all");
        assert!(
            error.to_string().contains("private_key.pem has mode 0644"),
            "{error}"
        );
    }

    #[test]
    fn a_lost_certificate_is_made_again_for_the_same_key() {
        let (_folder, service) = service();
        let first = Tls::load(&service).expect("made");
        let key = service.state_directory.join("tls/private_key.pem");
        let before = std::fs::read(&key).expect("a key");
        std::fs::remove_file(first.certificate()).expect("removed");
        Tls::load(&service).expect("made again");
        assert_eq!(std::fs::read(&key).expect("a key"), before);
        std::fs::remove_file(&key).expect("removed");
        let error = Tls::load(&service).expect_err("no key");
        assert!(matches!(error, TlsError::KeyFile(_)), "{error}");
    }

    #[test]
    fn certificate_and_key_must_go_together() {
        let ((_one, one), (_two, two)) = (service(), service());
        Tls::load(&one).expect("made");
        Tls::load(&two).expect("made");
        let mixed = ServiceSettings {
            certificate: Some(one.state_directory.join("tls/certificate.pem")),
            private_key: Some(two.state_directory.join("tls/private_key.pem")),
            ..ServiceSettings::default()
        };
        let error = Tls::load(&mixed).expect_err("they do not");
        assert!(matches!(error, TlsError::Unusable { .. }), "{error}");
        let swapped = ServiceSettings {
            certificate: mixed.private_key.clone(),
            ..mixed
        };
        let error = Tls::load(&swapped).expect_err("a key is no certificate");
        assert!(matches!(error, TlsError::NoPem { .. }), "{error}");
    }
}
