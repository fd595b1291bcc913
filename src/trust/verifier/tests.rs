use std::time::Duration;

use rcgen::BasicConstraints;
use rcgen::Certificate;
use rcgen::CertificateParams;
use rcgen::CertificateRevocationListParams;
use rcgen::DnType;
use rcgen::ExtendedKeyUsagePurpose;
use rcgen::IsCa;
use rcgen::Issuer;
use rcgen::KeyIdMethod;
use rcgen::KeyPair;
use rcgen::KeyUsagePurpose;
use rcgen::RevokedCertParams;
use rcgen::SerialNumber;

use super::*;

type Signer = Issuer<'static, KeyPair>;

fn parameters(name: &str) -> CertificateParams {
    let mut parameters = CertificateParams::new(vec![name.to_owned()]).expect("a name");
    parameters.distinguished_name.push(DnType::CommonName, name);
    parameters.not_before = rcgen::date_time_ymd(2020, 1, 1);
    parameters.not_after = rcgen::date_time_ymd(2030, 1, 1);
    parameters
}

fn authority(name: &str) -> (Certificate, Signer) {
    let mut parameters = parameters(name);
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let key = KeyPair::generate().expect("a key");
    let certificate = parameters.self_signed(&key).expect("signed");
    (certificate, Issuer::new(parameters, key))
}

fn server(change: impl FnOnce(&mut CertificateParams), by: &Signer) -> Certificate {
    let mut parameters = parameters("server.example");
    parameters.is_ca = IsCa::ExplicitNoCa;
    parameters.serial_number = Some(SerialNumber::from(7_u64));
    parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    change(&mut parameters);
    let key = KeyPair::generate().expect("a key");
    parameters.signed_by(&key, by).expect("signed")
}

fn trusting(authorities: &[&Certificate], pins: Pins, leniency: Leniency) -> Verifier {
    let mut all = Authorities::default();
    for one in authorities {
        all.add_known(one.der().clone()).expect("readable");
    }
    Verifier::new(Arc::new(all), pins, leniency)
}

fn at(year: u64) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs((year - 1970) * 31_556_952 + 100_000))
}

fn name() -> ServerName<'static> {
    ServerName::try_from("server.example").expect("a name")
}

/// The kinds of what is wrong, in 2026.
fn wrong(verifier: &Verifier, chain: &[&Certificate]) -> Vec<&'static str> {
    let ders: Vec<_> = chain.iter().map(|one| one.der().clone()).collect();
    let (own, others) = ders.split_first().expect("one");
    match verifier.judge(own, others, &name(), at(2026)) {
        Ok(()) => Vec::new(),
        Err(refused) => {
            assert!(refused.shown.is_of(own));
            refused.wrong.iter().map(kind).collect()
        }
    }
}

fn kind(wrong: &Wrong) -> &'static str {
    match wrong {
        Wrong::OtherPinned => "pin",
        Wrong::Authority(_) => "authority",
        Wrong::Name(_) => "name",
        Wrong::Date(_) => "date",
        Wrong::Usage => "usage",
        Wrong::Revoked => "revoked",
        Wrong::Revocation(_) => "revocation",
        Wrong::Unreadable(_) => "unreadable",
    }
}

fn lenient(kinds: &[&str]) -> Leniency {
    Leniency {
        name: kinds.contains(&"name"),
        date: kinds.contains(&"date"),
        authority: kinds.contains(&"authority"),
        usage: kinds.contains(&"usage"),
    }
}

fn expire(parameters: &mut CertificateParams) {
    parameters.not_after = rcgen::date_time_ymd(2024, 1, 1);
}

fn for_clients(parameters: &mut CertificateParams) {
    parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
}

fn rename(parameters: &mut CertificateParams) {
    let other = CertificateParams::new(vec!["other.example".to_owned()]).expect("a name");
    parameters.subject_alt_names = other.subject_alt_names;
}

#[test]
fn all_that_is_wrong_is_named_and_each_flag_forgives_one_thing() {
    let (trusted, by) = authority("trusted");
    let (_, stranger) = authority("stranger");
    let all = |parameters: &mut CertificateParams| {
        expire(parameters);
        for_clients(parameters);
        rename(parameters);
    };
    for (certificate, expected) in [
        (server(|_| (), &by), &[][..]),
        (server(expire, &by), &["date"]),
        (server(for_clients, &by), &["usage"]),
        (server(rename, &by), &["name"]),
        (server(|_| (), &stranger), &["authority"]),
        (server(all, &by), &["date", "usage", "name"]),
        (
            server(all, &stranger),
            &["date", "authority", "usage", "name"],
        ),
    ] {
        let strict = trusting(&[&trusted], Pins::default(), Leniency::default());
        assert_eq!(wrong(&strict, &[&certificate]), expected);
        let just = trusting(&[&trusted], Pins::default(), lenient(expected));
        assert_eq!(wrong(&just, &[&certificate]), [""; 0]);
        for left in expected {
            let others: Vec<_> = expected.iter().copied().filter(|one| one != left).collect();
            let verifier = trusting(&[&trusted], Pins::default(), lenient(&others));
            assert_eq!(wrong(&verifier, &[&certificate]), [*left]);
        }
    }
}

#[test]
fn a_path_whose_certificates_were_never_valid_together_is_not_one() {
    let (trusted, by) = authority("trusted");
    let mut middle = parameters("middle");
    middle.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    middle.not_after = rcgen::date_time_ymd(2021, 1, 1);
    let key = KeyPair::generate().expect("a key");
    let between = middle.signed_by(&key, &by).expect("signed");
    let own = server(
        |parameters| parameters.not_before = rcgen::date_time_ymd(2022, 1, 1),
        &Issuer::new(middle, key),
    );
    let lenient = trusting(&[&trusted], Pins::default(), lenient(&["date"]));
    let strict = trusting(&[&trusted], Pins::default(), Leniency::default());
    assert_eq!(wrong(&strict, &[&own, &between]), ["date", "authority"]);
    assert_eq!(wrong(&lenient, &[&own, &between]), ["authority"]);
}

#[test]
fn a_certificate_signed_by_itself_is_trusted_when_it_is_known_or_pinned() {
    let (own, _) = authority("server.example");
    let nobody = trusting(&[], Pins::default(), Leniency::default());
    assert_eq!(wrong(&nobody, &[&own]), ["authority"]);
    let known = trusting(&[&own], Pins::default(), Leniency::default());
    assert_eq!(wrong(&known, &[&own]), [""; 0]);
    for pin in [
        Thumbprint::sha1_of(own.der()),
        Thumbprint::sha256_of(own.der()),
    ] {
        for is_exclusive in [false, true] {
            let pins = Pins {
                thumbprints: vec![Thumbprint::sha256_of(b"another"), pin],
                is_exclusive,
            };
            let pinned = trusting(&[], pins, Leniency::default());
            assert_eq!(wrong(&pinned, &[&own]), [""; 0]);
        }
    }
}

#[test]
fn a_pin_stands_for_chain_and_name_but_not_for_dates() {
    let (_, stranger) = authority("stranger");
    let expired = server(
        |parameters| {
            expire(parameters);
            rename(parameters);
        },
        &stranger,
    );
    let pins = Pins {
        thumbprints: vec![Thumbprint::sha256_of(expired.der())],
        is_exclusive: true,
    };
    let strict = trusting(&[], pins.clone(), Leniency::default());
    assert_eq!(wrong(&strict, &[&expired]), ["date"]);
    let lenient = trusting(&[], pins, lenient(&["date"]));
    assert_eq!(wrong(&lenient, &[&expired]), [""; 0]);
}

#[test]
fn where_the_pins_alone_count_an_authority_has_no_word() {
    let (trusted, by) = authority("trusted");
    let own = server(|_| (), &by);
    let mut pins = Pins {
        thumbprints: vec![Thumbprint::sha256_of(b"another")],
        is_exclusive: true,
    };
    let all = lenient(&["name", "date", "authority", "usage"]);
    let exclusive = trusting(&[&trusted], pins.clone(), all);
    assert_eq!(wrong(&exclusive, &[&own]), ["pin"]);
    pins.is_exclusive = false;
    let beside = trusting(&[&trusted], pins, Leniency::default());
    assert_eq!(wrong(&beside, &[&own]), [""; 0]);
}

fn list(by: &Signer, serials: &[u64], until: i32) -> Vec<u8> {
    let revoked = serials.iter().map(|serial| RevokedCertParams {
        serial_number: SerialNumber::from(*serial),
        revocation_time: rcgen::date_time_ymd(2021, 1, 1),
        reason_code: None,
        invalidity_date: None,
    });
    CertificateRevocationListParams {
        this_update: rcgen::date_time_ymd(2021, 1, 1),
        next_update: rcgen::date_time_ymd(until, 1, 1),
        crl_number: SerialNumber::from(1_u64),
        issuing_distribution_point: None,
        revoked_certs: revoked.collect(),
        key_identifier_method: KeyIdMethod::Sha256,
    }
    .signed_by(by)
    .expect("signed")
    .der()
    .to_vec()
}

#[test]
fn with_revocation_a_list_of_the_issuer_must_say_that_it_is_good() {
    let (trusted, by) = authority("trusted");
    let (_, stranger) = authority("stranger");
    let own = server(|_| (), &by);
    let strange = server(|_| (), &stranger);
    for (lists, certificate, expected) in [
        (vec![], &own, &["revocation"][..]),
        (vec![list(&stranger, &[], 2030)], &own, &["revocation"]),
        (vec![list(&by, &[], 2030)], &own, &[]),
        (vec![list(&by, &[7], 2030)], &own, &["revoked"]),
        (vec![list(&by, &[], 2022)], &own, &["revocation"]),
        (vec![list(&stranger, &[7], 2030)], &strange, &["revoked"]),
        (vec![list(&by, &[], 2030)], &strange, &["revocation"]),
    ] {
        let mut all = RevocationLists::default();
        for list in &lists {
            all.add(list).expect("readable");
        }
        let leniency = lenient(&["authority"]);
        let verifier = trusting(&[&trusted], Pins::default(), leniency);
        let verifier = verifier.with_revocation(Arc::new(all));
        assert_eq!(wrong(&verifier, &[certificate]), expected);
    }
    // An older list does not bring back what a newer one has.
    let mut all = RevocationLists::default();
    assert!(all.add(b"no list").is_err());
}
