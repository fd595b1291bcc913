//! TLS servers for tests.

use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::PrivateKeyDer;

/// A server with a certificate for `names` that is signed by itself, once
/// `change` has seen to it.
pub(super) fn signed_by_itself(
    names: &[&str],
    change: impl FnOnce(&mut rcgen::CertificateParams),
) -> (ServerConfig, rcgen::Certificate) {
    let key = rcgen::KeyPair::generate().expect("key");
    let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut parameters = rcgen::CertificateParams::new(names).expect("names");
    change(&mut parameters);
    let certificate = parameters.self_signed(&key).expect("certificate");
    let key = PrivateKeyDer::try_from(key.serialize_der()).expect("key");
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .expect("config");
    (config, certificate)
}
