use std::path::PathBuf;
use std::time::Duration;

use proptest::prelude::*;
use rcgen::BasicConstraints;
use rcgen::Certificate;
use rcgen::CertificateParams;
use rcgen::DnType;
use rcgen::ExtendedKeyUsagePurpose;
use rcgen::IsCa;
use rcgen::Issuer;
use rcgen::KeyPair;
use rcgen::KeyUsagePurpose;

use super::*;

type Signer = Issuer<'static, KeyPair>;

fn parameters(name: &str) -> CertificateParams {
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name.remove(DnType::CommonName);
    parameters.distinguished_name.push(DnType::CommonName, name);
    parameters
}

fn authority_parameters(name: &str) -> CertificateParams {
    let mut parameters = parameters(name);
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    parameters
}

fn authority(name: &str) -> (Certificate, Signer) {
    let (parameters, key) = (
        authority_parameters(name),
        KeyPair::generate().expect("a key"),
    );
    let certificate = parameters.self_signed(&key).expect("signed");
    (certificate, Issuer::new(parameters, key))
}

fn below(name: &str, by: &Signer) -> (Certificate, Signer) {
    let (parameters, key) = (
        authority_parameters(name),
        KeyPair::generate().expect("a key"),
    );
    let certificate = parameters.signed_by(&key, by).expect("signed");
    (certificate, Issuer::new(parameters, key))
}

fn holder(change: impl FnOnce(&mut CertificateParams), by: &Signer) -> Certificate {
    let mut parameters = parameters("alice");
    parameters.is_ca = IsCa::ExplicitNoCa;
    parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    change(&mut parameters);
    let key = KeyPair::generate().expect("a key");
    parameters.signed_by(&key, by).expect("signed")
}

fn load(certificates: &[&Certificate]) -> Result<Authorities, TlsError> {
    let folder = tempfile::tempdir().expect("a folder");
    let path: PathBuf = folder.path().join("authorities.pem");
    let pem: String = certificates.iter().map(|one| one.pem()).collect();
    std::fs::write(&path, pem).expect("written");
    Authorities::load(&path)
}

fn verify(
    authorities: &Authorities,
    chain: &[&Certificate],
) -> Result<ClientCertificate, Unverified> {
    let chain: Vec<_> = chain.iter().map(|one| one.der().clone()).collect();
    authorities.verify(&chain, UnixTime::now())
}

/// What a verified certificate says when it was signed by `issuer`.
fn facts(own: &Certificate, issuer: &Certificate, authorities: &Authorities) -> ClientCertificate {
    ClientCertificate::read(own.der(), &[issuer.der()], authorities.path()).expect("X.509")
}

#[test]
fn a_certificate_of_an_authority_is_good_and_knows_its_issuer() {
    let (root, root_key) = authority("root");
    let (middle, middle_key) = below("middle", &root_key);
    let (direct, indirect) = (holder(|_| {}, &root_key), holder(|_| {}, &middle_key));
    let authorities = load(&[&root]).expect("loaded");
    let found = verify(&authorities, &[&direct]).expect("good");
    assert_eq!(found, facts(&direct, &root, &authorities));
    let found = verify(&authorities, &[&indirect, &middle]).expect("good");
    assert_eq!(found, facts(&indirect, &middle, &authorities));
    assert!(
        verify(&authorities, &[&indirect]).is_err(),
        "a link is missing"
    );
    let (last, last_key) = below("last", &middle_key);
    let far = holder(|_| {}, &last_key);
    let found = verify(&authorities, &[&far, &middle, &last]).expect("good");
    assert_eq!(found, facts(&far, &last, &authorities), "the nearest");
    let both = load(&[&root, &middle]).expect("loaded");
    let found = verify(&both, &[&indirect]).expect("good");
    assert_eq!(found, facts(&indirect, &middle, &both));
}

#[test]
fn a_certificate_that_is_not_good_is_refused() {
    let (root, root_key) = authority("root");
    // The same name, another key.
    let (_, wrong_key) = authority("root");
    let authorities = load(&[&root]).expect("loaded");
    let now = std::time::SystemTime::now();
    let (day, past) = (Duration::from_hours(24), now - Duration::from_hours(1));
    let other_use = vec![ExtendedKeyUsagePurpose::ServerAuth];
    for (name, certificate) in [
        ("another authority", holder(|_| {}, &wrong_key)),
        (
            "expired",
            holder(|own| own.not_after = past.into(), &root_key),
        ),
        (
            "too early",
            holder(|own| own.not_before = (now + day).into(), &root_key),
        ),
        (
            "for servers",
            holder(|own| own.extended_key_usages = other_use, &root_key),
        ),
        (
            "an authority itself",
            holder(
                |own| own.is_ca = IsCa::Ca(BasicConstraints::Unconstrained),
                &root_key,
            ),
        ),
    ] {
        let refused = verify(&authorities, &[&certificate]);
        assert!(refused.is_err(), "{name}");
    }
    let good = holder(|_| {}, &root_key);
    let refused = verify(&authorities, &[&good; MAX_INTERMEDIATES + 2]);
    assert!(matches!(refused, Err(Unverified::TooLong)));
    assert!(verify(&authorities, &[&good; MAX_INTERMEDIATES + 1]).is_ok());
    let refused = authorities.verify(&[], UnixTime::now());
    assert!(matches!(refused, Err(Unverified::Unreadable)));
    let any = holder(|own| own.extended_key_usages = Vec::new(), &root_key);
    assert!(verify(&authorities, &[&any]).is_ok(), "for any use");
}

#[test]
fn a_refusal_is_told_in_few_words() {
    let (root, key) = authority("root");
    let uses = (0..500).map(|last| ExtendedKeyUsagePurpose::Other(vec![1, 3, 6, 1, last]));
    let odd = holder(|own| own.extended_key_usages = uses.collect(), &key);
    let refused = verify(&load(&[&root]).expect("loaded"), &[&odd]);
    let reason = refused.expect_err("no use of a client").to_string();
    assert!(reason.starts_with("RequiredEkuNotFound"), "{reason}");
    assert_eq!(reason.chars().count(), MAX_REASON);
}

#[test]
fn a_certificate_that_is_trusted_for_itself_signs_no_other() {
    let key = KeyPair::generate().expect("a key");
    let mut own = parameters("alice");
    own.is_ca = IsCa::ExplicitNoCa;
    let certificate = own.self_signed(&key).expect("signed");
    let authorities = load(&[&certificate]).expect("loaded");
    let found = verify(&authorities, &[&certificate]).expect("good");
    assert_eq!(found, facts(&certificate, &certificate, &authorities));
    let forged = holder(|_| {}, &Issuer::new(own, key));
    let refused = verify(&authorities, &[&forged]);
    assert!(
        matches!(
            refused,
            Err(Unverified::Path(webpki::Error::EndEntityUsedAsCa))
        ),
        "{refused:?}"
    );
}

#[test]
fn every_certificate_of_a_renewed_authority_counts_as_the_issuer() {
    let (old, key) = authority("root");
    let mut parameters = authority_parameters("root");
    parameters.serial_number = Some(7.into());
    let renewed = parameters.self_signed(key.key()).expect("signed");
    let authorities = load(&[&old, &renewed]).expect("loaded");
    let own = holder(|_| {}, &key);
    let issuers: [&[u8]; 2] = [old.der(), renewed.der()];
    let both = ClientCertificate::read(own.der(), &issuers, authorities.path());
    assert_eq!(verify(&authorities, &[&own]).ok(), both);
}

#[test]
fn a_file_without_authorities_is_refused() {
    assert!(matches!(load(&[]), Err(TlsError::NoPem { .. })));
    let nowhere = Authorities::load(Path::new("/nonexistent/authorities.pem"));
    assert!(matches!(nowhere, Err(TlsError::Read { .. })));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn arbitrary_chains_are_refused(
        octets in proptest::collection::vec(any::<u8>(), 0..200),
        at in any::<proptest::sample::Index>(),
        octet in 1_u8..,
    ) {
        let (root, key) = authority("root");
        let authorities = load(&[&root]).expect("loaded");
        let chain = [CertificateDer::from(octets.clone())];
        prop_assert!(authorities.verify(&chain, UnixTime::now()).is_err());
        let mut near = holder(|_| {}, &key).der().to_vec();
        let at = at.index(near.len());
        near[at] ^= octet;
        let chain = [CertificateDer::from(near), CertificateDer::from(octets)];
        prop_assert!(authorities.verify(&chain, UnixTime::now()).is_err());
    }
}
