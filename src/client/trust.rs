//! How an endpoint proves that it is the one meant.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use aws_lc_rs::digest;
use rustls::ClientConfig;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::trust::Authorities;
use crate::trust::Leniency;
use crate::trust::Pins;
use crate::trust::Thumbprint;
use crate::trust::Verifier;

/// Which certificates are taken for the endpoint's.
#[derive(Clone, Debug)]
pub(crate) enum Trust {
    /// Those that the system's authorities vouch for.
    System,
    /// Those that the authorities in this PEM file vouch for, and the very
    /// certificates in it.
    File(PathBuf),
    /// This one alone, whatever names and dates it bears.
    Pinned(Pin),
}

/// The SHA-256 of a certificate's DER.
#[derive(Clone, Copy, Eq, PartialEq)]
pub(crate) struct Pin([u8; 32]);

/// Why certificates to trust could not be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TrustError {
    /// The file could not be read, or is no PEM.
    #[error("cannot read the certificates in {path}")]
    File {
        /// The file.
        path: PathBuf,
        /// What was wrong.
        #[source]
        source: rustls::pki_types::pem::Error,
    },
    /// There is none, in the file or in the system.
    #[error("there is no certificate to trust")]
    Empty,
    /// The certificates cannot be used.
    #[error("the certificates to trust cannot be used")]
    Unusable(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// The text is no SHA-256 in hexadecimal.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("not a SHA-256 of 64 hexadecimal digits")]
pub(crate) struct NotAPin;

impl Pin {
    /// The pin of a certificate.
    pub(crate) fn of(certificate: &[u8]) -> Self {
        let mut pin = [0; 32];
        for (to, from) in pin
            .iter_mut()
            .zip(digest::digest(&digest::SHA256, certificate).as_ref())
        {
            *to = *from;
        }
        Self(pin)
    }
}

impl FromStr for Pin {
    type Err = NotAPin;

    /// Reads 64 digits, in any case, with or without colons as `openssl x509
    /// -fingerprint` prints them, and with or without `sha256:` before them.
    fn from_str(text: &str) -> Result<Self, NotAPin> {
        let text = text.trim();
        let text = match text.get(..7) {
            Some(prefix) if prefix.eq_ignore_ascii_case("sha256:") => {
                text.get(7..).unwrap_or_default()
            }
            _ => text,
        };
        let mut digits = text.chars().filter(|c| *c != ':');
        let mut pin = [0; 32];
        for octet in &mut pin {
            let mut digit = || digits.next().and_then(|c| c.to_digit(16)).ok_or(NotAPin);
            let value = digit()? * 16 + digit()?;
            *octet = u8::try_from(value).map_err(|_| NotAPin)?;
        }
        match digits.next() {
            Some(_) => Err(NotAPin),
            None => Ok(Self(pin)),
        }
    }
}

impl fmt::Display for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|octet| write!(f, "{octet:02x}"))
    }
}

impl fmt::Debug for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Trust {
    /// The settings of TLS that hold to it.
    ///
    /// # Errors
    ///
    /// [`TrustError`].
    pub(super) fn config(&self) -> Result<ClientConfig, TrustError> {
        let mut authorities = Authorities::default();
        let mut pins = Pins::default();
        // A pinned certificate is trusted whatever dates it bears.
        let mut leniency = Leniency::default();
        match self {
            Self::System => {
                for certificate in rustls_native_certs::load_native_certs().certs {
                    authorities.add_if_usable(&certificate);
                }
            }
            Self::File(path) => {
                let unreadable = |source| TrustError::File {
                    path: path.clone(),
                    source,
                };
                let certificates = CertificateDer::pem_file_iter(path)
                    .and_then(Iterator::collect::<Result<Vec<_>, _>>)
                    .map_err(unreadable)?;
                for certificate in certificates {
                    // One that cannot be read trusts nobody.
                    let _ = authorities.add_known(certificate);
                }
            }
            Self::Pinned(pin) => {
                pins.thumbprints.push(Thumbprint::Sha256(pin.0));
                pins.is_exclusive = true;
                leniency.date = true;
            }
        }
        if authorities.is_empty() && pins.thumbprints.is_empty() {
            return Err(TrustError::Empty);
        }
        let verifier = Verifier::new(Arc::new(authorities), pins, leniency);
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|e| TrustError::Unusable(e.into()))?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_no_client_auth();
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pin_is_read_as_tools_print_it() {
        let pin = Pin::of(b"x");
        let plain = pin.to_string();
        assert_eq!(plain.len(), 64);
        let coloned: Vec<String> = plain
            .to_uppercase()
            .as_bytes()
            .chunks(2)
            .map(|c| String::from_utf8_lossy(c).into_owned())
            .collect();
        for text in [plain.clone(), coloned.join(":"), format!(" SHA256:{plain}")] {
            assert_eq!(text.parse(), Ok(pin));
        }
        for text in ["", "sha256:", "ab", &plain[..63], &format!("{plain}0")] {
            assert_eq!(text.parse::<Pin>(), Err(NotAPin));
        }
    }
}
