//! Who the server is: the certificate that it shows, and its key.

use std::sync::Arc;
use std::sync::PoisonError;
use std::sync::RwLock;

use rustls::sign::CertifiedKey;

use super::ChannelBinding;

/// A certificate with its key, and what binds a log-on to it.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    /// The chain, the server's own certificate first, and its key.
    pub(crate) key: Arc<CertifiedKey>,
    /// What clients name when they are shown this certificate.
    pub(crate) end_point: ChannelBinding,
}

/// The identity that new connections are shown; it changes when the files do.
#[derive(Debug)]
pub(crate) struct CurrentIdentity(RwLock<Arc<Identity>>);

impl CurrentIdentity {
    /// `identity` is shown.
    pub(crate) fn new(identity: Identity) -> Self {
        Self(RwLock::new(Arc::new(identity)))
    }

    /// The one that is shown now.
    pub(crate) fn get(&self) -> Arc<Identity> {
        // A pointer is swapped whole: there is nothing half-done to find.
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// One for tests, with a certificate for `localhost`.
    #[cfg(test)]
    pub(crate) fn for_test() -> Arc<Self> {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("made");
        let end_point = ChannelBinding::of_end_point(made.cert.der());
        let key = rustls::pki_types::PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
        let key = CertifiedKey::from_der(
            vec![made.cert.der().clone()],
            key.into(),
            &rustls::crypto::aws_lc_rs::default_provider(),
        );
        let key = Arc::new(key.expect("they go together"));
        Arc::new(Self::new(Identity { key, end_point }))
    }

    /// Shows another one from the next connection on.
    pub(crate) fn set(&self, identity: Identity) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(identity);
    }
}
