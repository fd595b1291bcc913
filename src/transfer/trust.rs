//! Whom transfers over TLS trust.

use std::path::Path;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;

use super::Failure;
use crate::bits::ErrorContext;
use crate::bits::Hresult;

/// The authorities of the system and those of the settings.
#[derive(Clone, Debug)]
pub(super) struct Trust {
    roots: Arc<RootCertStore>,
    plain: Arc<ClientConfig>,
}

impl Trust {
    /// Reads the authorities.
    ///
    /// # Errors
    ///
    /// [`Failure`] when the file of the settings cannot be used. A system
    /// without authorities is none: such a host reaches no HTTPS server.
    pub(super) fn new(file: Option<&Path>) -> Result<Self, Failure> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if let Some(file) = file {
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
                roots
                    .add(certificate)
                    .map_err(|error| wrong(error.to_string()))?;
            }
        }
        let roots = Arc::new(roots);
        let plain = Arc::new(builder(&roots)?.with_no_client_auth());
        Ok(Self { roots, plain })
    }

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
        builder(&self.roots)?
            .with_client_auth_cert(chain, key)
            .map(Arc::new)
            .map_err(|error| {
                Failure::fatal(
                    ErrorContext::GeneralTransport,
                    Hresult::WININET_E_CLIENT_AUTH_CERT_NEEDED,
                    format!("the client certificate cannot be used: {error}"),
                )
            })
    }
}

fn builder(
    roots: &Arc<RootCertStore>,
) -> Result<rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert>, Failure> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    Ok(ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| Failure::setting("transfer", error))?
        .with_root_certificates(Arc::clone(roots)))
}
