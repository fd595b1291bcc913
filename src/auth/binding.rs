//! Channel binding: is the client's log-on meant for this very TLS connection?
//!
//! The binding is `tls-server-end-point` (RFC 5929 4): a hash of the
//! certificate that the server has shown. A log-on that somebody passes on from
//! a connection of his own bears the hash of his certificate, or none.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::digest;
use x509_parser::certificate::X509Certificate;
use x509_parser::oid_registry::OID_NIST_HASH_SHA384;
use x509_parser::oid_registry::OID_NIST_HASH_SHA512;
use x509_parser::oid_registry::OID_PKCS1_RSASSAPSS;
use x509_parser::oid_registry::OID_PKCS1_SHA384WITHRSA;
use x509_parser::oid_registry::OID_PKCS1_SHA512WITHRSA;
use x509_parser::oid_registry::OID_SIG_ECDSA_WITH_SHA384;
use x509_parser::oid_registry::OID_SIG_ECDSA_WITH_SHA512;
use x509_parser::prelude::FromDer as _;
use x509_parser::signature_algorithm::RsaSsaPssParams;

use super::AuthError;
use super::Channel;
use crate::config::ChannelBindingLevel;

/// What a client must name to bind its log-on to a TLS connection: the
/// application data of `gss_channel_bindings_struct` (RFC 2744 3.11).
#[derive(Clone, Eq, PartialEq)]
pub(crate) struct ChannelBinding(Arc<[u8]>);

/// What a client has named.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Named {
    /// No channel.
    Nothing,
    /// This one.
    This,
    /// Another one.
    Other,
}

/// How a log-on is tied to its connection, for the audit log.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Bound {
    /// The client named this TLS connection.
    Yes,
    /// It named none, and need not.
    No,
    /// There is nothing to bind, or the mechanism does not.
    NotApplicable,
}

impl ChannelBinding {
    /// That of a server with this certificate (DER): the hash is the one of the
    /// certificate's own signature, SHA-256 in place of MD5 and SHA-1 (RFC 5929
    /// 4.1), and where the signature names none.
    pub(crate) fn of_end_point(certificate: &[u8]) -> Self {
        let mut data = b"tls-server-end-point:".to_vec();
        data.extend_from_slice(digest::digest(signature_hash(certificate), certificate).as_ref());
        Self(data.into())
    }

    /// The application data.
    pub(super) fn octets(&self) -> &[u8] {
        &self.0
    }
}

/// Says whether a log-on over `channel`, for which the client has `named`
/// something, is bound well enough.
///
/// # Errors
///
/// [`AuthError::Unbound`] and [`AuthError::WrongBinding`].
pub(super) fn judge(
    level: ChannelBindingLevel,
    channel: &Channel,
    named: Named,
) -> Result<Bound, AuthError> {
    if *channel == Channel::Plain {
        return Ok(Bound::NotApplicable);
    }
    match (level, named) {
        (_, Named::This) => Ok(Bound::Yes),
        (ChannelBindingLevel::None, Named::Nothing | Named::Other)
        | (ChannelBindingLevel::Relaxed, Named::Nothing) => Ok(Bound::No),
        (ChannelBindingLevel::Strict, Named::Nothing) => Err(AuthError::Unbound),
        (ChannelBindingLevel::Relaxed | ChannelBindingLevel::Strict, Named::Other) => {
            Err(AuthError::WrongBinding)
        }
    }
}

/// The hash of a certificate's signature.
fn signature_hash(certificate: &[u8]) -> &'static digest::Algorithm {
    let Ok((_, parsed)) = X509Certificate::from_der(certificate) else {
        return &digest::SHA256;
    };
    let algorithm = &parsed.signature_algorithm;
    let is = |oids: &[&x509_parser::oid_registry::Oid<'_>]| oids.contains(&&algorithm.algorithm);
    if is(&[&OID_PKCS1_SHA384WITHRSA, &OID_SIG_ECDSA_WITH_SHA384]) {
        return &digest::SHA384;
    }
    if is(&[&OID_PKCS1_SHA512WITHRSA, &OID_SIG_ECDSA_WITH_SHA512]) {
        return &digest::SHA512;
    }
    if is(&[&OID_PKCS1_RSASSAPSS]) {
        let parameters = algorithm.parameters.as_ref();
        let parsed = parameters.and_then(|any| RsaSsaPssParams::try_from(any).ok());
        let hash = parsed.as_ref().map(RsaSsaPssParams::hash_algorithm_oid);
        if hash == Some(&OID_NIST_HASH_SHA384) {
            return &digest::SHA384;
        }
        if hash == Some(&OID_NIST_HASH_SHA512) {
            return &digest::SHA512;
        }
    }
    &digest::SHA256
}

impl fmt::Debug for ChannelBinding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ChannelBinding(…)")
    }
}
