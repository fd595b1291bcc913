use std::fs;
use std::path::PathBuf;
use std::time::Duration;
use std::time::SystemTime;

use rcgen::BasicConstraints;
use rcgen::CertificateParams;
use rcgen::CertificateRevocationListParams;
use rcgen::IsCa;
use rcgen::Issuer;
use rcgen::KeyIdMethod;
use rcgen::KeyPair;

use super::*;

/// An authority and a list of nothing, both PEM.
fn authority_and_list() -> (String, String, Vec<u8>) {
    let mut parameters = CertificateParams::default();
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().expect("a key");
    let certificate = parameters.self_signed(&key).expect("signed");
    let now = SystemTime::now();
    let list = CertificateRevocationListParams {
        this_update: now.into(),
        next_update: (now + Duration::from_hours(1)).into(),
        crl_number: 1.into(),
        issuing_distribution_point: None,
        revoked_certs: Vec::new(),
        key_identifier_method: KeyIdMethod::Sha256,
    };
    let list = list.signed_by(&Issuer::new(parameters, key));
    let list = list.expect("signed");
    let pem = list.pem().expect("PEM");
    (certificate.pem(), pem, list.der().to_vec())
}

fn sources(folder: &tempfile::TempDir, list: Option<&[u8]>) -> Sources {
    let path = folder.path().join("list");
    if let Some(list) = list {
        fs::write(&path, list).expect("written");
    }
    Sources {
        authorities: None,
        revocation_lists: vec![path],
    }
}

#[test]
fn a_file_has_one_list_in_der_or_several_in_pem() {
    let folder = tempfile::tempdir().expect("a folder");
    let (_, one, der) = authority_and_list();
    let (_, two, _) = authority_and_list();
    for (octets, lists) in [
        (der.clone(), 1),
        (one.clone().into_bytes(), 1),
        ([one.as_str(), &two].concat().into_bytes(), 2),
        (["Lists:\n", &one, &two].concat().into_bytes(), 2),
    ] {
        let sources = sources(&folder, Some(&octets));
        assert_eq!(
            revocation_lists(&sources.revocation_lists[0])
                .expect("lists")
                .len(),
            lists
        );
        let trust = load(sources).expect("lists");
        assert!(trust.lists_end_at().is_some());
    }
}

#[test]
fn a_file_that_is_no_list_is_refused_by_its_name() {
    let folder = tempfile::tempdir().expect("a folder");
    let (certificate, list, der) = authority_and_list();
    let half = &der[..der.len() - 9];
    let broken = list.replacen("MII", "MI!", 1).replacen("MIG", "M!G", 1);
    assert_ne!(broken, list);
    for octets in [
        b"".as_slice(),
        certificate.as_bytes(),
        half,
        broken.as_bytes(),
    ] {
        let refused = load(sources(&folder, Some(octets))).expect_err("no list");
        let name = folder.path().join("list").display().to_string();
        assert!(refused.to_string().contains(&name), "{refused}");
        assert!(
            matches!(
                refused,
                TlsError::NoPem { .. } | TlsError::RevocationList { .. }
            ),
            "{refused}"
        );
    }
    let nowhere = tempfile::tempdir().expect("a folder");
    let refused = load(sources(&nowhere, None)).expect_err("no file");
    assert!(matches!(refused, TlsError::Read { .. }), "{refused}");
}

#[test]
fn a_file_without_authorities_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("authorities.pem");
    let load = |path: PathBuf| {
        load(Sources {
            authorities: Some(path),
            revocation_lists: Vec::new(),
        })
    };
    fs::write(&path, "").expect("written");
    let refused = load(path.clone());
    assert!(matches!(refused, Err(TlsError::NoPem { .. })));
    let refused = load("/nonexistent/authorities.pem".into());
    assert!(matches!(refused, Err(TlsError::Read { .. })));
    let (certificate, ..) = authority_and_list();
    fs::write(&path, certificate).expect("written");
    assert_eq!(load(path).expect("one").authorities().count(), 1);
}

#[test]
fn a_file_has_an_end() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("file");
    fs::write(&path, [0; 100]).expect("written");
    assert_eq!(read(&path, 100).expect("read").len(), 100);
    let refused = read(&path, 99).expect_err("too long");
    assert!(matches!(refused, TlsError::Read { .. }), "{refused}");
}
