//! The server's identity: certificate and key, from their files, and read again
//! when those have changed.

use std::fmt::Write as _;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;

use aws_lc_rs::digest;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::sign::CertifiedKey;
use tracing::info;

use super::certificate;
use super::client_trust::MAX_AUTHORITIES;
use super::client_trust::read;
use crate::auth::ChannelBinding;
use crate::auth::CurrentIdentity;
use crate::auth::Identity;
use crate::auth::SecretFileError;
use crate::auth::read_secret;
use crate::config::ServiceSettings;

/// The server's identity, and where it comes from.
#[derive(Clone, Debug)]
pub(crate) struct Tls {
    service: Arc<ServiceSettings>,
    identity: Arc<CurrentIdentity>,
}

/// Why there is no TLS. Each text names the file.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsError {
    /// The key cannot be read, or others may read it.
    #[error(transparent)]
    KeyFile(#[from] SecretFileError),
    /// A file of certificates or lists cannot be read.
    #[error("cannot read {path}")]
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
    /// A list of revoked client certificates is none that can be used.
    #[error("the list of revoked certificates in {path} cannot be used")]
    RevocationList {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: webpki::Error,
    },
    /// TLS takes certificate and key, but not for a server.
    #[error("TLS cannot be set up")]
    Refused(#[source] rustls::Error),
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
        let tls = Self {
            identity: Arc::new(CurrentIdentity::new(identity(service)?)),
            service: Arc::new(service.clone()),
        };
        tls.tell();
        Ok(tls)
    }

    /// Does the same again; another certificate is shown from the next
    /// connection on. It blocks.
    ///
    /// # Errors
    ///
    /// [`TlsError`]; all is as it was then.
    pub(super) fn reload(&self) -> Result<(), TlsError> {
        let new = identity(&self.service)?;
        if new.key.cert != self.identity.get().key.cert {
            self.identity.set(new);
            self.tell();
        }
        Ok(())
    }

    fn tell(&self) {
        let [certificate, _] = self.files();
        let sha256 = self.fingerprint();
        info!(certificate = %certificate.display(), sha256, "Certificate loaded");
    }

    /// What new connections are shown.
    pub(crate) fn identity(&self) -> Arc<CurrentIdentity> {
        Arc::clone(&self.identity)
    }

    /// The files of certificate and key.
    pub(super) fn files(&self) -> [PathBuf; 2] {
        match (&self.service.certificate, &self.service.private_key) {
            (Some(certificate), Some(key)) => [certificate.clone(), key.clone()],
            (None | Some(_), None) | (None, Some(_)) => certificate::places(&self.service),
        }
    }

    /// The service makes its certificate itself.
    pub(super) fn is_made(&self) -> bool {
        self.service.certificate.is_none()
    }

    /// The server's own certificate.
    pub(super) fn end_entity(&self) -> CertificateDer<'static> {
        end_entity(&self.identity.get()).clone().into_owned()
    }

    /// SHA-256 of the certificate, in hexadecimal digits.
    pub(crate) fn fingerprint(&self) -> String {
        fingerprint(end_entity(&self.identity.get()))
    }

    /// SHA-1 of the certificate, in hexadecimal digits as Windows writes them.
    pub(crate) fn thumbprint(&self) -> String {
        thumbprint(end_entity(&self.identity.get()))
    }

    /// The PEM file with the certificate, for clients that pin it.
    #[cfg(test)]
    pub(crate) fn certificate(&self) -> PathBuf {
        let [certificate, _] = self.files();
        certificate
    }
}

/// Reads certificate and key, or makes them.
fn identity(service: &ServiceSettings) -> Result<Identity, TlsError> {
    let (certificate, key) = match (&service.certificate, &service.private_key) {
        (Some(certificate), Some(key)) => (certificate.clone(), key.clone()),
        (None | Some(_), None) | (None, Some(_)) => certificate::made(service)?,
    };
    let chain = read_chain(&certificate)?;
    let private_key = read_key(&key)?;
    let end_point = ChannelBinding::of_end_point(&chain[0]);
    let certified = CertifiedKey::from_der(chain, private_key, &default_provider());
    let certified = certified.map_err(|source| TlsError::Unusable {
        certificate,
        key,
        source,
    })?;
    Ok(Identity {
        key: Arc::new(certified),
        end_point,
    })
}

/// The first certificate of a chain, which is the server's own.
fn end_entity(identity: &Identity) -> &CertificateDer<'static> {
    identity
        .key
        .cert
        .first()
        .expect("a chain has at least one: `read_chain` refuses others")
}

/// The certificates of a PEM file; the first one is the server's own.
pub(super) fn read_chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let pem = read(path, MAX_AUTHORITIES)?;
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
        let chain = read_chain(&first.certificate()).expect("a chain");
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
