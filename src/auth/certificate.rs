//! Log-on by a client certificate ([MS-WSMV] 3.1.4.1.35).
//!
//! TLS has verified the certificate, and that the client has its key; here it
//! is only asked for whom it stands. The proof is the connection's: it needs no
//! header, though some clients send one. It holds as long as the settings do
//! under which it was found, so that a changed mapping counts from the next
//! request on.

use std::sync::Arc;
use std::time::SystemTime;

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
use super::mapping;
use crate::config::AccessSettings;
use crate::config::Current;

/// The scheme, as clients announce it.
pub(super) const SCHEME: &str =
    "http://schemas.dmtf.org/wbem/wsman/1/wsman/secprofile/https/mutual";

/// Holds when certificates are asked for and log on.
pub(crate) fn is_in_force(access: &AccessSettings) -> bool {
    access.certificate && access.client_ca_certificates.is_some()
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
                certificate: peer.certificate.clone(),
                settings: Arc::clone(&settings),
            })
        }),
    }
}

/// One log-on: one step.
struct Attempt {
    certificate: Option<Arc<ClientCertificate>>,
    settings: Arc<Current>,
}

impl Acceptor for Attempt {
    fn step<'a>(&'a mut self, _: &'a str) -> Stepping<'a> {
        Box::pin(async move {
            let settings = self.settings.get();
            let certificate = self.certificate.clone().ok_or(AuthError::NoCertificate)?;
            let access = &settings.access;
            let authorities = access.client_ca_certificates.as_deref();
            let is_good = certificate.is_good(authorities, SystemTime::now());
            if !is_in_force(access) || !is_good {
                return Err(AuthError::NoCertificate);
            }
            let candidates = mapping::candidates(&access.certificate_mappings, &certificate);
            Ok(Step::Done(LoggedOn {
                who: Proved::Certificate {
                    certificate: certificate.thumbprint(),
                    candidates,
                },
                token: None,
                holds: Holds::Settings {
                    until: certificate.not_after(),
                    settings,
                },
                proof: Proof::Fresh,
                bound: Bound::NotApplicable,
            }))
        })
    }

    fn claimed(&self) -> Option<&str> {
        None
    }
}
