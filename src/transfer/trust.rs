//! Whom transfers over TLS trust.
//!
//! A job may ask for more (revocation lists, pinned certificates) or less
//! (security flags) than the settings do. Each such wish has a TLS configuration
//! of its own: sessions are resumed only under the one that they began under.

use std::fs::File;
use std::io;
use std::io::Read as _;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::CertificateRevocationListDer;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;

use super::Failure;
use crate::bits::ErrorContext;
use crate::bits::Hresult;
use crate::bits::Phase;
use crate::bits::SecurityFlags;
use crate::config::TransferSettings;
use crate::trust::Authorities;
use crate::trust::Leniency;
use crate::trust::Pins;
use crate::trust::RevocationLists;
use crate::trust::Thumbprint;
use crate::trust::Verifier;

/// The authorities of the system, and what the settings say.
#[derive(Clone, Debug)]
pub(super) struct Trust {
    authorities: Arc<Authorities>,
    /// Trusted for themselves by setting.
    pins: Vec<Thumbprint>,
    revocation_lists: Arc<[PathBuf]>,
    plain: Arc<ClientConfig>,
}

/// What one job wants of servers.
#[derive(Clone, Debug)]
pub(super) struct Demand {
    verifier: Arc<Verifier>,
    plain: Arc<ClientConfig>,
}

impl Trust {
    /// Reads the authorities.
    ///
    /// # Errors
    ///
    /// [`Failure`] when a setting cannot be used. A system without authorities
    /// is no failure: such a host reaches no HTTPS server that is not pinned.
    pub(super) fn new(settings: &TransferSettings) -> Result<Self, Failure> {
        let mut authorities = Authorities::default();
        for certificate in rustls_native_certs::load_native_certs().certs {
            authorities.add_if_usable(&certificate);
        }
        if let Some(file) = &settings.ca_certificates {
            let wrong = |why: String| {
                Failure::setting(
                    "transfer.ca_certificates",
                    format!("{}: {why}", file.display()),
                )
            };
            let certificates: Vec<_> = CertificateDer::pem_file_iter(file)
                .and_then(Iterator::collect)
                .map_err(|error| wrong(error.to_string()))?;
            if certificates.is_empty() {
                return Err(wrong("holds no certificate".to_owned()));
            }
            for certificate in certificates {
                authorities
                    .add_known(certificate)
                    .map_err(|error| wrong(error.to_string()))?;
            }
        }
        let authorities = Arc::new(authorities);
        let pins = thumbprints(&settings.server_thumbprints)
            .map_err(|why| Failure::setting("transfer.server_thumbprints", why))?;
        let verifier = Verifier::new(
            Arc::clone(&authorities),
            Pins {
                thumbprints: pins.clone(),
                is_exclusive: false,
            },
            Leniency::default(),
        );
        Ok(Self {
            plain: Arc::new(builder(Arc::new(verifier))?.with_no_client_auth()),
            authorities,
            pins,
            revocation_lists: settings.revocation_lists.clone().into(),
        })
    }

    /// For a job with these flags and thumbprints. Lists of revoked
    /// certificates are read anew for each job: they change while the service
    /// runs. Blocking.
    ///
    /// # Errors
    ///
    /// [`Failure`] when a thumbprint is none, or a list cannot be read.
    pub(super) fn of(&self, flags: SecurityFlags, pinned: &[String]) -> Result<Demand, Failure> {
        let pinned = thumbprints(pinned).map_err(|why| {
            Failure::fatal(ErrorContext::GeneralTransport, Hresult::E_INVALIDARG, why)
        })?;
        let is_exclusive = !pinned.is_empty();
        let pins = Pins {
            thumbprints: if is_exclusive {
                pinned
            } else {
                self.pins.clone()
            },
            is_exclusive,
        };
        let leniency = Leniency {
            name: flags.ignores_name(),
            date: flags.ignores_date(),
            authority: flags.ignores_authority(),
            usage: flags.ignores_usage(),
        };
        let mut verifier = Verifier::new(Arc::clone(&self.authorities), pins, leniency);
        if flags.checks_revocation() {
            verifier = verifier.with_revocation(Arc::new(self.read_lists()?));
        } else if leniency == Leniency::default() && !is_exclusive {
            return Ok(Demand {
                verifier: Arc::new(verifier),
                plain: Arc::clone(&self.plain),
            });
        }
        let verifier = Arc::new(verifier);
        Ok(Demand {
            plain: Arc::new(builder(Arc::clone(&verifier))?.with_no_client_auth()),
            verifier,
        })
    }

    fn read_lists(&self) -> Result<RevocationLists, Failure> {
        let mut lists = RevocationLists::default();
        for path in self.revocation_lists.iter() {
            add_lists(&mut lists, path).map_err(|why| {
                let detail = format!(
                    "setting transfer.revocation_lists: {}: {why}",
                    path.display()
                );
                let code = Hresult::WININET_E_DECODING_FAILED;
                Failure::fatal(ErrorContext::GeneralTransport, code, detail).at(Phase::Securing)
            })?;
        }
        Ok(lists)
    }
}

impl Demand {
    /// For connections without a client certificate.
    pub(super) fn plain(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.plain)
    }

    /// For connections with one.
    ///
    /// # Errors
    ///
    /// [`Failure`] when key and certificate do not go together.
    pub(super) fn with_certificate(
        &self,
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Result<Arc<ClientConfig>, Failure> {
        builder(Arc::clone(&self.verifier))?
            .with_client_auth_cert(chain, key)
            .map(Arc::new)
            .map_err(|error| {
                Failure::fatal(
                    ErrorContext::GeneralTransport,
                    Hresult::WININET_E_CLIENT_AUTH_CERT_NEEDED,
                    format!("the client certificate cannot be used: {error}"),
                )
                .at(Phase::Securing)
            })
    }
}

fn builder(
    verifier: Arc<Verifier>,
) -> Result<rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert>, Failure> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    Ok(ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| Failure::setting("transfer", error))?
        .dangerous()
        .with_custom_certificate_verifier(verifier))
}

fn thumbprints(texts: &[String]) -> Result<Vec<Thumbprint>, String> {
    let read = |text: &String| {
        Thumbprint::parse(text).ok_or_else(|| {
            format!("{text:?} is no thumbprint of 64 (SHA-256) or 40 (SHA-1) hexadecimal digits")
        })
    };
    texts.iter().map(read).collect()
}

/// Adds the lists of a file: one in DER, or any number in PEM.
fn add_lists(lists: &mut RevocationLists, path: &Path) -> Result<(), String> {
    let octets = read(path).map_err(|error| error.to_string())?;
    if octets.starts_with(&[DER_SEQUENCE]) {
        return lists.add(&octets).map_err(|error| error.to_string());
    }
    let found = CertificateRevocationListDer::pem_slice_iter(&octets)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| error.to_string())?;
    if found.is_empty() {
        return Err("holds no list of revoked certificates".to_owned());
    }
    let add = |list: &CertificateRevocationListDer<'_>| lists.add(list);
    found
        .iter()
        .try_for_each(add)
        .map_err(|error| error.to_string())
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut octets = Vec::new();
    File::open(path)?
        .take(MAX_LISTS + 1)
        .read_to_end(&mut octets)?;
    if octets.len() as u64 > MAX_LISTS {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    Ok(octets)
}

/// Octets of a file of revocation lists: a million entries.
const MAX_LISTS: u64 = 64 << 20;

/// How everything in DER begins, and nothing in PEM.
const DER_SEQUENCE: u8 = 0x30;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rustls::pki_types::ServerName;
    use rustls::pki_types::UnixTime;

    use super::*;

    type Signer = rcgen::Issuer<'static, rcgen::KeyPair>;

    fn authority() -> (String, Signer) {
        let mut parameters = rcgen::CertificateParams::default();
        parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let key = rcgen::KeyPair::generate().expect("a key");
        let certificate = parameters.self_signed(&key).expect("signed");
        (certificate.pem(), rcgen::Issuer::new(parameters, key))
    }

    fn list(by: &Signer, serials: &[u64]) -> rcgen::CertificateRevocationList {
        let revoked = serials.iter().map(|serial| rcgen::RevokedCertParams {
            serial_number: rcgen::SerialNumber::from(*serial),
            revocation_time: rcgen::date_time_ymd(2021, 1, 1),
            reason_code: None,
            invalidity_date: None,
        });
        rcgen::CertificateRevocationListParams {
            this_update: rcgen::date_time_ymd(2021, 1, 1),
            next_update: rcgen::date_time_ymd(2049, 1, 1),
            crl_number: rcgen::SerialNumber::from(1_u64),
            issuing_distribution_point: None,
            revoked_certs: revoked.collect(),
            key_identifier_method: rcgen::KeyIdMethod::Sha256,
        }
        .signed_by(by)
        .expect("signed")
    }

    #[test]
    fn lists_are_read_anew_for_each_job_in_either_form() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        let (pem, by) = authority();
        std::fs::write(at("ca.pem"), pem).expect("written");
        let names = vec!["server.example".to_owned()];
        let mut parameters = rcgen::CertificateParams::new(names).expect("a name");
        parameters.serial_number = Some(rcgen::SerialNumber::from(7_u64));
        let key = rcgen::KeyPair::generate().expect("a key");
        let own = parameters.signed_by(&key, &by).expect("signed");
        let trust = Trust::new(&TransferSettings {
            ca_certificates: Some(at("ca.pem")),
            revocation_lists: vec![at("list")],
            ..TransferSettings::default()
        })
        .expect("usable");
        let judge = |flags: u32| {
            let flags = SecurityFlags::from_number(flags).expect("known");
            let demand = trust.of(flags, &[])?;
            let name = ServerName::try_from("server.example").expect("a name");
            let now = UnixTime::since_unix_epoch(Duration::from_hours(500_000));
            let judged = demand.verifier.judge(own.der(), &[], &name, now);
            Ok::<_, Failure>(judged.is_ok())
        };
        assert!(judge(0).expect("usable"));
        let failure = judge(1).expect_err("no file");
        assert_eq!(failure.code, Hresult::WININET_E_DECODING_FAILED);
        assert!(
            failure.detail.contains("transfer.revocation_lists"),
            "{failure}"
        );
        for (octets, is_good) in [
            (list(&by, &[]).der().to_vec(), true),
            (list(&by, &[7]).der().to_vec(), false),
            (list(&by, &[8]).pem().expect("PEM").into_bytes(), true),
            (list(&by, &[7]).pem().expect("PEM").into_bytes(), false),
        ] {
            std::fs::write(at("list"), octets).expect("written");
            assert_eq!(judge(1).expect("usable"), is_good);
            assert!(judge(0).expect("usable"), "nobody has asked for it");
        }
        for octets in [&b"no list"[..], b"", &[DER_SEQUENCE, 0]] {
            std::fs::write(at("list"), octets).expect("written");
            assert!(judge(1).is_err());
        }
    }
}
