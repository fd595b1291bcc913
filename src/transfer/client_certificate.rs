//! Finds client certificates: a folder a store, in it PEM files that each
//! hold a certificate (with its chain) and the key.

use std::fs;
use std::io;
use std::path::Path;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use x509_parser::prelude::FromDer;
use x509_parser::prelude::X509Certificate;

use super::Failure;
use crate::bits::CertificateChoice;
use crate::bits::ClientCertificate;
use crate::bits::ErrorContext;
use crate::bits::Hresult;

/// A certificate with its chain, and its key.
pub(super) type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

/// Finds what `wanted` names below `folder`.
///
/// # Errors
///
/// [`Failure`] with `ERROR_FILE_NOT_FOUND` when there is no such store,
/// `CRYPT_E_NOT_FOUND` when there is no such certificate with a key in it.
pub(super) fn find(folder: Option<&Path>, wanted: &ClientCertificate) -> Result<Identity, Failure> {
    let failed = |code, why: String| Failure::fatal(ErrorContext::GeneralTransport, code, why);
    let no_store = || {
        failed(
            Hresult::ERROR_FILE_NOT_FOUND,
            "there is no certificate store of this name".to_owned(),
        )
    };
    let folder = folder.ok_or_else(no_store)?;
    let store = store(folder, &wanted.store_name).ok_or_else(no_store)?;
    let entries = fs::read_dir(store).map_err(|error| {
        failed(
            Hresult::ERROR_FILE_NOT_FOUND,
            format!("the certificate store cannot be read: {error}"),
        )
    })?;
    let mut files: Vec<_> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|end| end == "pem"))
        .collect();
    files.sort();
    files
        .iter()
        .filter_map(|path| read(path).ok())
        .find(|(chain, _)| {
            chain
                .first()
                .is_some_and(|own| matches(own, &wanted.choice))
        })
        .ok_or_else(|| {
            failed(
                Hresult::CRYPT_E_NOT_FOUND,
                "the certificate store holds no such certificate with a key".to_owned(),
            )
        })
}

/// The folder of a store. The name comes from a client: it picks one of the
/// names that are there, in any case, and is never a path.
fn store(folder: &Path, name: &str) -> Option<std::path::PathBuf> {
    fs::read_dir(folder)
        .ok()?
        .filter_map(Result::ok)
        .find(|entry| {
            entry
                .file_name()
                .to_str()
                .is_some_and(|own| own.eq_ignore_ascii_case(name))
        })
        .map(|entry| entry.path())
        .filter(|path| path.is_dir())
}

fn read(path: &Path) -> io::Result<Identity> {
    if fs::metadata(path)?.len() > MAX_FILE {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    let text = zeroize::Zeroizing::new(fs::read(path)?);
    let chain = CertificateDer::pem_slice_iter(&text)
        .collect::<Result<Vec<_>, _>>()
        .map_err(io::Error::other)?;
    let key = PrivateKeyDer::from_pem_slice(&text).map_err(io::Error::other)?;
    Ok((chain, key))
}

fn matches(certificate: &CertificateDer<'_>, choice: &CertificateChoice) -> bool {
    match choice {
        CertificateChoice::Hash(hash) => {
            use aws_lc_rs::digest;
            let own = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, certificate);
            own.as_ref() == hash
        }
        CertificateChoice::Subject(name) => {
            X509Certificate::from_der(certificate).is_ok_and(|(_, parsed)| {
                parsed
                    .subject()
                    .iter_common_name()
                    .filter_map(|own| own.as_str().ok())
                    .any(|own| own.eq_ignore_ascii_case(name))
            })
        }
    }
}

/// Octets; a chain and a key take a few thousand.
const MAX_FILE: u64 = 256 * 1_024;

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(store: &str, choice: CertificateChoice) -> ClientCertificate {
        ClientCertificate {
            store_name: store.to_owned(),
            choice,
        }
    }

    #[test]
    fn a_certificate_is_found_by_hash_and_by_name() {
        let folder = tempfile::tempdir().expect("folder");
        fs::create_dir(folder.path().join("MY")).expect("store");
        let key = rcgen::KeyPair::generate().expect("key");
        let mut parameters = rcgen::CertificateParams::default();
        parameters
            .distinguished_name
            .push(rcgen::DnType::CommonName, "Client One");
        let certificate = parameters.self_signed(&key).expect("certificate");
        let text = certificate.pem() + &key.serialize_pem();
        fs::write(folder.path().join("MY/one.pem"), text).expect("file");
        let sha1 = aws_lc_rs::digest::digest(
            &aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY,
            certificate.der(),
        );
        let hash: [u8; 20] = sha1.as_ref().try_into().expect("twenty");
        let subject = |name: &str| CertificateChoice::Subject(name.to_owned());
        for choice in [CertificateChoice::Hash(hash), subject("client one")] {
            assert!(find(Some(folder.path()), &wanted("my", choice)).is_ok());
        }
        for (store, choice, code) in [
            (
                "MY",
                CertificateChoice::Hash([0; 20]),
                Hresult::CRYPT_E_NOT_FOUND,
            ),
            ("MY", subject("two"), Hresult::CRYPT_E_NOT_FOUND),
            ("ROOT", subject("client one"), Hresult::ERROR_FILE_NOT_FOUND),
            (
                "../MY",
                subject("client one"),
                Hresult::ERROR_FILE_NOT_FOUND,
            ),
            (".", subject("client one"), Hresult::ERROR_FILE_NOT_FOUND),
        ] {
            let failure = find(Some(folder.path()), &wanted(store, choice)).expect_err(store);
            assert_eq!(failure.code, code, "{store}");
        }
        assert!(find(None, &wanted("MY", subject("client one"))).is_err());
    }
}
