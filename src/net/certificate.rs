//! The certificate that the service makes for itself.
//!
//! ECDSA on P-256 rather than RSA: rustls has no RSA suite for TLS 1.2 that
//! Schannel before Windows 8.1 offers, but both have
//! `ECDHE_ECDSA_WITH_AES_128_GCM_SHA256`; curl, OpenSSL, Go and Java take it
//! as well, and a handshake costs us a twentieth, which counts for clients
//! that have not logged on.

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;
use std::time::SystemTime;

use rcgen::CertificateParams;
use rcgen::DnType;
use rcgen::ExtendedKeyUsagePurpose;
use rcgen::IsCa;
use rcgen::KeyPair;
use rcgen::KeyUsagePurpose;
use tracing::info;

use super::tls::MAX_KEY;
use super::tls::TlsError;
use super::tls::read_chain;
use crate::auth::Ownership;
use crate::auth::SecretFileError;
pub(super) use crate::auth::ends_at;
use crate::auth::read_secret;
use crate::auth::replace_file;
use crate::config::ServiceSettings;

/// Where certificate and key are kept.
pub(super) fn places(service: &ServiceSettings) -> [PathBuf; 2] {
    let folder = service.state_directory.join("tls");
    [
        folder.join("certificate.pem"),
        folder.join("private_key.pem"),
    ]
}

/// Certificate and key below the state folder. They are made when there are
/// none; a certificate that is lost or has expired is made again for the same
/// key, so that there is no moment at which the two do not go together.
///
/// # Errors
///
/// [`TlsError`]; a certificate whose key is lost is one.
pub(super) fn made(service: &ServiceSettings) -> Result<(PathBuf, PathBuf), TlsError> {
    let [certificate, key] = places(service);
    let is_there = match std::fs::metadata(&certificate) {
        Ok(_) => true,
        Err(error) if error.kind() == io::ErrorKind::NotFound => false,
        Err(source) => {
            return Err(TlsError::Read {
                path: certificate,
                source,
            });
        }
    };
    let now = SystemTime::now();
    if is_there && ends_at(&read_chain(&certificate)?[0]).is_none_or(|end| now <= end) {
        return Ok((certificate, key));
    }
    let folder = service.state_directory.join("tls");
    let created = DirBuilder::new()
        .recursive(true)
        .mode(0o750)
        .create(&folder);
    created.map_err(|source| TlsError::Write {
        path: folder,
        source,
    })?;
    let pair = match read_secret(&key, MAX_KEY) {
        Ok((pem, _)) => {
            let pem = zeroize::Zeroizing::new(pem);
            let text = std::str::from_utf8(&pem).unwrap_or_default();
            KeyPair::from_pem(text).map_err(|_| TlsError::NoPem {
                path: key.clone(),
                what: "private key",
            })?
        }
        Err(SecretFileError::Read { source, .. })
            if source.kind() == io::ErrorKind::NotFound && !is_there =>
        {
            let pair =
                KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).map_err(TlsError::Make)?;
            let pem = zeroize::Zeroizing::new(pair.serialize_pem());
            write(&key, pem.as_bytes(), 0o600)?;
            pair
        }
        Err(error) => return Err(error.into()),
    };
    let names = names(service);
    let pem = parameters(&names, now)?
        .self_signed(&pair)
        .map_err(TlsError::Make)?
        .pem();
    write(&certificate, pem.as_bytes(), 0o644)?;
    info!(certificate = %certificate.display(), names = ?names, "Certificate made");
    Ok((certificate, key))
}

/// What the certificate is for: the loopback names, the host, and what is
/// configured.
fn names(service: &ServiceSettings) -> Vec<String> {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host = host.trim();
    let is_name = !host.is_empty()
        && host.len() <= 64
        && host
            .bytes()
            .all(|octet| octet.is_ascii_alphanumeric() || b".-".contains(&octet));
    let mut names = Vec::new();
    let own = is_name.then(|| host.to_owned());
    let fixed = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
    for name in service
        .certificate_names
        .iter()
        .cloned()
        .chain(own)
        .chain(fixed)
    {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

fn parameters(names: &[String], now: SystemTime) -> Result<CertificateParams, TlsError> {
    let mut parameters = CertificateParams::new(names).map_err(TlsError::Make)?;
    let common_name = names.first().map_or("bitsd", String::as_str);
    parameters.distinguished_name.remove(DnType::CommonName);
    parameters
        .distinguished_name
        .push(DnType::CommonName, common_name);
    parameters.not_before = (now - Duration::from_hours(24)).into();
    parameters.not_after = (now + VALID_FOR).into();
    // CA:FALSE has to stand there: rustls clients refuse to pin a CA.
    parameters.is_ca = IsCa::ExplicitNoCa;
    parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    Ok(parameters)
}

fn write(path: &Path, octets: &[u8], mode: u32) -> Result<(), TlsError> {
    let ownership = Ownership { mode, owner: None };
    replace_file(path, octets, ownership).map_err(|source| TlsError::Write {
        path: path.to_owned(),
        source,
    })
}

/// Two years and a quarter: Apple's clients refuse more than 825 days.
const VALID_FOR: Duration = Duration::from_hours(820 * 24);
