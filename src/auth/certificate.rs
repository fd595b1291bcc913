//! Log-on by a client certificate ([MS-WSMV] 3.1.4.1.35).
//!
//! TLS has verified that the client has the key of the certificate that he has
//! shown; here it is asked whether it is good, and for whom it stands. The proof
//! is the connection's: it needs no header, though some clients send one. It
//! holds as long as the settings, the authorities and the lists of revoked
//! certificates do under which it was found: a change of them counts from the
//! next request on.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::SystemTime;

use tracing::warn;

use super::AUDIT;
use super::Acceptor;
use super::AuthError;
use super::Bound;
use super::ClientCertificate;
use super::Holds;
use super::LoggedOn;
use super::Mechanism;
use super::Offered;
use super::Proof;
use super::Proved;
use super::Step;
use super::Stepping;
use super::client_certificate::Believed;
use super::mapping;
use crate::config::AccessSettings;
use crate::config::Current;
use crate::telemetry::counters::Counter;

/// The scheme, as clients announce it.
pub(super) const SCHEME: &str =
    "http://schemas.dmtf.org/wbem/wsman/1/wsman/secprofile/https/mutual";

/// Holds when certificates are asked for and log on: there are authorities, or
/// mappings, which can name a client's own certificate.
pub(crate) fn is_in_force(access: &AccessSettings) -> bool {
    let is_mapped = || access.certificate_mappings.iter().any(|one| one.enabled);
    access.certificate && (access.client_ca_certificates.is_some() || is_mapped())
}

/// The mechanism as the door knows it. It is not offered in a 401: its name is
/// no scheme that HTTP allows, and a client with a certificate needs no hint.
pub(super) fn mechanism(settings: Arc<Current>) -> Mechanism {
    Mechanism {
        scheme: SCHEME,
        challenge: None,
        offered: Offered::OverTls,
        is_in_force: Box::new(is_in_force),
        start: Box::new(move |peer| {
            Box::new(Attempt {
                address: peer.address,
                certificate: peer.certificate.clone(),
                settings: Arc::clone(&settings),
            })
        }),
    }
}

/// One log-on: one step.
struct Attempt {
    address: SocketAddr,
    certificate: Option<Arc<ClientCertificate>>,
    settings: Arc<Current>,
}

impl Acceptor for Attempt {
    fn step<'a>(&'a mut self, _: &'a str) -> Stepping<'a> {
        Box::pin(async move {
            let settings = self.settings.get();
            let certificate = self.certificate.clone().ok_or(AuthError::NoCertificate)?;
            if !is_in_force(&settings.access) {
                return Err(AuthError::NoCertificate);
            }
            let believed = certificate.believe(&settings, SystemTime::now());
            let Believed { holder, terms } = believed.map_err(|not| {
                if not.is_news {
                    let (address, error) = (self.address, not.reason);
                    Counter::CertificateRefused.bump();
                    warn!(target: AUDIT, %address, %error, "Client certificate no longer taken");
                }
                AuthError::NoCertificate
            })?;
            let mappings = &settings.access.certificate_mappings;
            Ok(Step::Done(LoggedOn {
                who: Proved::Certificate {
                    certificate: holder.thumbprint(),
                    candidates: mapping::candidates(mappings, &holder),
                },
                token: None,
                holds: Holds::Terms(terms),
                proof: Proof::Fresh,
                bound: Bound::NotApplicable,
            }))
        })
    }

    fn claimed(&self) -> Option<&str> {
        None
    }
}
