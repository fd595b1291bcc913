use std::time::Duration;

use proptest::prelude::*;
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

use super::super::client_certificate::ClientCertificate;
use super::*;
use crate::config::Settings;

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
    parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
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

fn trust(authorities: &[&Certificate], lists: Vec<RevocationList>) -> ClientTrust {
    let authorities = authorities.iter().map(|one| one.der().clone());
    let authorities = authorities.map(|one| Authority::decode(one).expect("an anchor"));
    ClientTrust::new(Sources::default(), authorities.collect(), lists)
}

fn of(authorities: &[&Certificate]) -> ClientTrust {
    trust(authorities, Vec::new())
}

fn judge_at(
    trust: &ClientTrust,
    chain: &[&Certificate],
    now: SystemTime,
) -> Result<Holder, Unverified> {
    let chain: Vec<_> = chain.iter().map(|one| one.der().clone()).collect();
    trust.judge(&chain, now)
}

/// The holder of a certificate that an authority vouches for.
fn verify(trust: &ClientTrust, chain: &[&Certificate]) -> Result<Holder, Unverified> {
    let holder = judge_at(trust, chain, SystemTime::now())?;
    match holder.standing() {
        Standing::Issued(_) => Ok(holder),
        Standing::Alone(why) => Err(why.clone()),
    }
}

/// The holder of a certificate that nobody vouches for.
fn alone(trust: &ClientTrust, chain: &[&Certificate]) -> Result<Holder, Unverified> {
    let holder = judge_at(trust, chain, SystemTime::now())?;
    assert!(matches!(holder.standing(), Standing::Alone(_)));
    Ok(holder)
}

/// The holder of `own`, which these have signed.
fn facts(own: &Certificate, issuers: &[&Certificate]) -> Holder {
    let issuers = issuers.iter().map(|one| Thumbprint::sha1_of(one.der()));
    Holder::read(own.der(), Standing::Issued(issuers.collect())).expect("X.509")
}

#[test]
fn a_certificate_of_an_authority_is_good_and_knows_its_issuer() {
    let (root, root_key) = authority("root");
    let (middle, middle_key) = below("middle", &root_key);
    let (direct, indirect) = (holder(|_| {}, &root_key), holder(|_| {}, &middle_key));
    let authorities = of(&[&root]);
    let found = verify(&authorities, &[&direct]).expect("good");
    assert_eq!(found, facts(&direct, &[&root]));
    let found = verify(&authorities, &[&indirect, &middle]).expect("good");
    assert_eq!(found, facts(&indirect, &[&middle]));
    assert!(
        verify(&authorities, &[&indirect]).is_err(),
        "a link is missing"
    );
    let (last, last_key) = below("last", &middle_key);
    let far = holder(|_| {}, &last_key);
    let found = verify(&authorities, &[&far, &middle, &last]).expect("good");
    assert_eq!(found, facts(&far, &[&last]), "the nearest");
    let both = of(&[&root, &middle]);
    let found = verify(&both, &[&indirect]).expect("good");
    assert_eq!(found, facts(&indirect, &[&middle]));
}

#[test]
fn a_certificate_that_is_not_good_is_refused() {
    let (root, root_key) = authority("root");
    // The same name, another key.
    let (_, wrong_key) = authority("root");
    let authorities = of(&[&root]);
    let now = SystemTime::now();
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
    let refused = authorities.judge(&[], SystemTime::now());
    assert!(matches!(refused, Err(Unverified::Unreadable)));
    let any = holder(|own| own.extended_key_usages = Vec::new(), &root_key);
    assert!(verify(&authorities, &[&any]).is_ok(), "for any use");
}

#[test]
fn a_refusal_is_told_in_few_words() {
    let (root, key) = authority("root");
    let uses = (0..500).map(|last| ExtendedKeyUsagePurpose::Other(vec![1, 3, 6, 1, last]));
    let odd = holder(|own| own.extended_key_usages = uses.collect(), &key);
    let refused = verify(&of(&[&root]), &[&odd]);
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
    let authorities = of(&[&certificate]);
    let found = verify(&authorities, &[&certificate]).expect("good");
    assert_eq!(found, facts(&certificate, &[&certificate]));
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
    let authorities = of(&[&old, &renewed]);
    let own = holder(|_| {}, &key);
    let both = facts(&own, &[&old, &renewed]);
    assert_eq!(verify(&authorities, &[&own]), Ok(both));
}

/// A certificate as `openssl req -x509` makes it: an authority, with no word on
/// what it is for.
fn signed_by_itself(change: impl FnOnce(&mut CertificateParams)) -> Certificate {
    let mut own = parameters("alice");
    own.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    change(&mut own);
    let key = KeyPair::generate().expect("a key");
    own.self_signed(&key).expect("signed")
}

#[test]
fn a_certificate_that_nobody_vouches_for_stands_alone() {
    let (root, root_key) = authority("root");
    let (_, other_key) = authority("other");
    let nobody = of(&[]);
    let own = signed_by_itself(|_| {});
    let issued = holder(|_| {}, &other_key);
    for trust in [&nobody, &of(&[&root])] {
        for certificate in [&own, &issued] {
            let found = alone(trust, &[certificate]).expect("within its dates");
            assert!(found.is_named_by(Thumbprint::sha256_of(certificate.der())));
            assert!(!found.is_issued_by(Thumbprint::sha1_of(certificate.der())));
        }
    }
    let long = [&own; MAX_INTERMEDIATES + 2];
    assert_eq!(alone(&nobody, &long), Err(Unverified::TooLong));
    let (now, hour) = (SystemTime::now(), Duration::from_hours(1));
    let bad = [
        signed_by_itself(|own| own.not_after = (now - hour).into()),
        signed_by_itself(|own| own.not_before = (now + hour).into()),
        signed_by_itself(|own| {
            own.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        }),
        holder(|own| own.not_after = (now - hour).into(), &root_key),
    ];
    for (number, certificate) in bad.iter().enumerate() {
        for trust in [&nobody, &of(&[&root])] {
            let refused = judge_at(trust, &[certificate], now);
            assert!(matches!(refused, Err(Unverified::Path(_))), "{number}");
        }
    }
}

/// How a list is made: what is in it, and from when to when it is good.
struct Listed<'c> {
    revoked: &'c [&'c Certificate],
    by: &'c Signer,
    hours: (i64, i64),
}

fn serial(certificate: &Certificate) -> SerialNumber {
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate.der()).expect("X.509");
    SerialNumber::from_slice(parsed.raw_serial())
}

fn list(listed: &Listed<'_>) -> RevocationList {
    let now = SystemTime::now();
    let at = |hours: i64| {
        let span = Duration::from_hours(hours.unsigned_abs());
        if hours < 0 { now - span } else { now + span }
    };
    let revoked = |certificate: &&Certificate| RevokedCertParams {
        serial_number: serial(certificate),
        revocation_time: at(-1).into(),
        reason_code: None,
        invalidity_date: None,
    };
    let list = CertificateRevocationListParams {
        this_update: at(listed.hours.0).into(),
        next_update: at(listed.hours.1).into(),
        crl_number: 1.into(),
        issuing_distribution_point: None,
        revoked_certs: listed.revoked.iter().map(revoked).collect(),
        key_identifier_method: KeyIdMethod::Sha256,
    };
    let list = list.signed_by(listed.by).expect("signed");
    RevocationList::decode(list.der()).expect("a list")
}

#[test]
fn what_a_list_names_is_refused_and_nothing_else_of_its_issuer() {
    let (root, key) = authority("root");
    let (bad, good) = (holder(|_| {}, &key), holder(|_| {}, &key));
    let (of_both, hours) = (of(&[&root]), (-1, 1));
    assert!(
        verify(&of_both, &[&bad]).is_ok(),
        "an issuer without a list"
    );
    let revoked = &[&bad];
    let trust = trust(
        &[&root],
        vec![list(&Listed {
            revoked,
            by: &key,
            hours,
        })],
    );
    let refused = verify(&trust, &[&bad]);
    assert_eq!(
        refused,
        Err(Unverified::Revoked(webpki::Error::CertRevoked))
    );
    assert!(verify(&trust, &[&good]).is_ok());
}

#[test]
fn a_list_that_has_ended_refuses_the_certificates_of_its_issuer_alone() {
    let (root, key) = authority("root");
    let (other, other_key) = authority("other");
    let (own, others) = (holder(|_| {}, &key), holder(|_| {}, &other_key));
    let ended = || {
        list(&Listed {
            revoked: &[],
            by: &key,
            hours: (-2, -1),
        })
    };
    let late = trust(&[&root, &other], vec![ended()]);
    let refused = verify(&late, &[&own]);
    assert!(
        matches!(
            refused,
            Err(Unverified::Revoked(webpki::Error::CrlExpired { .. }))
        ),
        "{refused:?}"
    );
    assert!(verify(&late, &[&others]).is_ok());
    assert!(
        late.lists_end_at()
            .is_some_and(|end| end < SystemTime::now())
    );
    assert_eq!(late.holds_until(SystemTime::now()), None);
    let newer = list(&Listed {
        revoked: &[],
        by: &key,
        hours: (-1, 1),
    });
    let (now, end) = (SystemTime::now(), newer.next_update);
    let renewed = trust(&[&root], vec![ended(), newer]);
    assert!(verify(&renewed, &[&own]).is_ok(), "the newest counts");
    assert_eq!(renewed.holds_until(now), Some(end));
    let then = judge_at(&renewed, &[&own], end);
    assert!(matches!(then, Err(Unverified::Revoked(_))), "{then:?}");
}

#[test]
fn lists_are_held_against_the_whole_chain() {
    let (root, root_key) = authority("root");
    let (middle, middle_key) = below("middle", &root_key);
    let own = holder(|_| {}, &middle_key);
    let revoked = &[&middle];
    let lists = vec![list(&Listed {
        revoked,
        by: &root_key,
        hours: (-1, 1),
    })];
    let trust = trust(&[&root], lists);
    let refused = verify(&trust, &[&own, &middle]);
    assert_eq!(
        refused,
        Err(Unverified::Revoked(webpki::Error::CertRevoked))
    );
}

#[test]
fn a_list_that_its_issuer_has_not_signed_refuses_rather_than_be_passed_over() {
    let (root, key) = authority("root");
    // The same name, another key.
    let (_, forger) = authority("root");
    let own = holder(|_| {}, &key);
    let lists = vec![list(&Listed {
        revoked: &[],
        by: &forger,
        hours: (-1, 1),
    })];
    let refused = verify(&trust(&[&root], lists), &[&own]);
    assert!(
        matches!(refused, Err(Unverified::Revoked(_))),
        "{refused:?}"
    );
}

#[test]
fn no_thumbprint_saves_what_a_list_names() {
    let (root, key) = authority("root");
    let own = holder(|_| {}, &key);
    let named = || {
        vec![list(&Listed {
            revoked: &[&own],
            by: &key,
            hours: (-1, 1),
        })]
    };
    let revoked = Err(Unverified::Revoked(webpki::Error::CertRevoked));
    let now = SystemTime::now();
    for authorities in [&[&root][..], &[]] {
        let trust = trust(authorities, named());
        assert_eq!(judge_at(&trust, &[&own], now), revoked);
    }
    let ended = list(&Listed {
        revoked: &[],
        by: &key,
        hours: (-2, -1),
    });
    let refused = judge_at(&trust(&[&root], vec![ended]), &[&own], now);
    assert!(
        matches!(refused, Err(Unverified::Revoked(_))),
        "{refused:?}"
    );
    assert!(alone(&of(&[]), &[&own]).is_ok());
}

#[test]
fn what_was_believed_is_judged_again_when_lists_end_or_change() {
    let (root, key) = authority("root");
    let own = holder(|_| {}, &key);
    let with = |revoked: &[&Certificate]| {
        let lists = vec![list(&Listed {
            revoked,
            by: &key,
            hours: (-1, 1),
        })];
        trust(&[&root], lists)
    };
    let current = Arc::new(CurrentTrust::new(with(&[])));
    let shown = ClientCertificate::new(&[own.der().clone()], Arc::clone(&current));
    let settings = Arc::new(Settings::default());
    let (now, later) = (
        SystemTime::now(),
        SystemTime::now() + Duration::from_hours(2),
    );
    let terms = shown.believe(&settings, now).expect("good").terms;
    assert!(terms.hold(&settings, now));
    assert!(!terms.hold(&settings, later), "the list has ended");
    assert!(!terms.hold(&Arc::new(Settings::default()), now));
    let refused = |at, is_news| {
        let refused = shown
            .believe(&settings, at)
            .expect_err("revoked, or unknown");
        assert!(matches!(refused.reason, Unverified::Revoked(_)));
        assert_eq!(refused.is_news, is_news);
    };
    refused(later, true);
    current.set(Arc::new(with(&[])));
    assert!(!terms.hold(&settings, now), "a new list");
    assert!(shown.believe(&settings, now).is_ok());
    current.set(Arc::new(with(&[&own])));
    refused(now, true);
    refused(now, false);
}

#[test]
fn what_was_believed_is_judged_again_when_an_authority_below_another_ends() {
    let (root, root_key) = authority("root");
    let now = SystemTime::now();
    let hours = |hours: u64| now + Duration::from_hours(hours);
    let (mut parameters, key) = (
        authority_parameters("middle"),
        KeyPair::generate().expect("a key"),
    );
    parameters.not_after = hours(1).into();
    let middle = parameters.signed_by(&key, &root_key).expect("signed");
    let key = Issuer::new(parameters, key);
    let own = holder(|own| own.not_after = hours(9).into(), &key);
    let chain = [own.der().clone(), middle.der().clone()];
    let shown = ClientCertificate::new(&chain, Arc::new(CurrentTrust::new(of(&[&root]))));
    let settings = Arc::new(Settings::default());
    let terms = shown.believe(&settings, now).expect("good").terms;
    assert!(terms.hold(&settings, now));
    assert!(!terms.hold(&settings, hours(2)), "it has ended");
    assert!(shown.believe(&settings, hours(2)).is_err());
}

#[test]
fn the_same_files_are_the_same_trust() {
    let (root, key) = authority("root");
    let (other, _) = authority("other");
    let own = holder(|_| {}, &key);
    let none = || {
        list(&Listed {
            revoked: &[],
            by: &key,
            hours: (-1, 1),
        })
    };
    let one = || {
        list(&Listed {
            revoked: &[&own],
            by: &key,
            hours: (-1, 1),
        })
    };
    let first = trust(&[&root], vec![none()]);
    assert!(first.is_same_as(&first));
    assert!(!first.is_same_as(&trust(&[&root], vec![one()])));
    assert!(!first.is_same_as(&trust(&[&root], vec![])));
    assert!(!first.is_same_as(&trust(&[&root, &other], vec![none()])));
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
        let authorities = of(&[&root]);
        let is_issued = |judged: Result<Holder, Unverified>| {
            judged.is_ok_and(|holder| matches!(holder.standing(), Standing::Issued(_)))
        };
        let chain = [CertificateDer::from(octets.clone())];
        prop_assert!(authorities.judge(&chain, SystemTime::now()).is_err());
        let _ = RevocationList::decode(&octets);
        let mut near = holder(|_| {}, &key).der().to_vec();
        let at = at.index(near.len());
        near[at] ^= octet;
        let chain = [CertificateDer::from(near), CertificateDer::from(octets)];
        prop_assert!(!is_issued(authorities.judge(&chain, SystemTime::now())));
    }
}
