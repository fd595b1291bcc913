use std::fs;
use std::path::PathBuf;

use super::*;
use crate::config::CertificateMapping;
use crate::config::ServiceSettings;

struct Bench {
    folder: tempfile::TempDir,
    tls: Tls,
    path: PathBuf,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let service = ServiceSettings {
            state_directory: folder.path().join("state"),
            ..ServiceSettings::default()
        };
        Self {
            tls: Tls::load(&service).expect("made"),
            path: folder.path().join("authorities.pem"),
            folder,
        }
    }

    /// Settings with authorities.
    fn on(&self) -> Arc<Settings> {
        settings(|access| {
            access.certificate = true;
            access.client_ca_certificates = Some(self.path.clone());
        })
    }

    fn write(&self) {
        fs::copy(self.tls.certificate(), &self.path).expect("a copy");
    }
}

fn settings(change: impl FnOnce(&mut AccessSettings)) -> Arc<Settings> {
    let mut settings = Settings::default();
    change(&mut settings.access);
    Arc::new(settings)
}

fn mapping(issuer: &str) -> CertificateMapping {
    CertificateMapping {
        issuer: issuer.to_owned(),
        subject: "*".to_owned(),
        uri: "*".to_owned(),
        user: "alice".to_owned(),
        enabled: true,
    }
}

fn asks(acceptor: &Acceptor) -> Option<Hints> {
    acceptor.asks.as_ref().map(|asks| asks.hints)
}

#[test]
fn what_was_prepared_is_in_force_then_and_nothing_that_cannot_be_read() {
    let bench = Bench::new();
    let (on, off) = (bench.on(), settings(|_| {}));
    let acceptors = Acceptors::new(&bench.tls, &off).expect("no authorities");
    assert!(acceptors.prepare(&on.access).is_err(), "there is no file");
    fs::write(&bench.path, "no certificate").expect("a file");
    assert!(
        acceptors.prepare(&on.access).is_err(),
        "there is none in it"
    );
    assert_eq!(asks(&acceptors.under(&off)), None);
    bench.write();
    acceptors.prepare(&on.access).expect("a certificate");
    fs::remove_file(&bench.path).expect("gone");
    assert_eq!(asks(&acceptors.under(&off)), None, "not yet");
    assert_eq!(asks(&acceptors.under(&on)), Some(Hints::Authorities));
    acceptors.prepare(&on.access).expect("it is in force");
    assert_eq!(asks(&acceptors.under(&off)), None);
    assert!(acceptors.prepare(&on.access).is_err(), "it is read again");
    assert_eq!(asks(&acceptors.under(&on)), None, "nobody is asked");
    bench.write();
    assert_eq!(asks(&acceptors.under(&on)), None, "nor tried each time");
    acceptors.reload(&on.access).expect("a certificate");
    assert_eq!(asks(&acceptors.under(&on)), Some(Hints::Authorities));
}

#[test]
fn an_acceptor_lives_as_long_as_nothing_of_tls_changes() {
    let bench = Bench::new();
    bench.write();
    let on = bench.on();
    let acceptors = Acceptors::new(&bench.tls, &on).expect("authorities");
    let same = |one: &Acceptor, other: &Acceptor| {
        Arc::ptr_eq(one.handshake.config(), other.handshake.config())
    };
    let first = acceptors.under(&on);
    assert!(same(&first, &acceptors.under(&on)));
    let others = settings(|access| {
        access.clone_from(&on.access);
        access.users.push("alice".to_owned());
    });
    assert!(same(&first, &acceptors.under(&others)), "other accounts");
    acceptors.reload(&on.access).expect("the same file");
    assert!(same(&first, &acceptors.under(&on)), "the same authorities");
    let second = Bench::new();
    fs::copy(second.tls.certificate(), &bench.path).expect("a copy");
    acceptors.reload(&on.access).expect("another file");
    let other = acceptors.under(&on);
    assert!(!same(&first, &other), "other authorities");
    let key = bench.folder.path().join("state/tls");
    for name in ["certificate.pem", "private_key.pem"] {
        fs::copy(
            second.folder.path().join("state/tls").join(name),
            key.join(name),
        )
        .expect("a copy");
    }
    bench.tls.reload().expect("another pair");
    let last = acceptors.under(&on);
    assert!(!same(&other, &last), "another certificate");
    assert!(first.end_point != last.end_point);
    assert!(last.end_point == bench.tls.identity().get().end_point);
}

#[test]
fn names_of_authorities_are_told_when_nobody_is_trusted_for_himself() {
    let bench = Bench::new();
    bench.write();
    let own = bench.tls.thumbprint();
    for (mappings, hints) in [
        (vec![], Hints::Authorities),
        (vec![mapping(&own)], Hints::Authorities),
        (vec![mapping(&own), mapping(&"0".repeat(40))], Hints::Nobody),
        (vec![mapping(&"0".repeat(64))], Hints::Nobody),
    ] {
        let on = settings(|access| {
            access.certificate = true;
            access.client_ca_certificates = Some(bench.path.clone());
            access.certificate_mappings = mappings;
        });
        let acceptors = Acceptors::new(&bench.tls, &on).expect("authorities");
        assert_eq!(asks(&acceptors.under(&on)), Some(hints));
    }
}

#[test]
fn a_mapping_alone_has_clients_asked() {
    let bench = Bench::new();
    let on = settings(|access| {
        access.certificate = true;
        access.certificate_mappings = vec![mapping(&"0".repeat(64))];
    });
    let acceptors = Acceptors::new(&bench.tls, &on).expect("no file");
    assert_eq!(asks(&acceptors.under(&on)), Some(Hints::Nobody));
    let off = settings(|access| access.certificate = true);
    assert_eq!(asks(&acceptors.under(&off)), None);
}
