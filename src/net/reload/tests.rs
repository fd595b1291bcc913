use std::fs;
use std::os::unix::fs::symlink;

use super::*;
use crate::config::ServiceSettings;
use crate::config::Settings;

/// A service whose certificate lies as Kubernetes has it: `current` is a link to
/// a folder, and replaced as a whole.
struct Bench {
    folder: tempfile::TempDir,
    tls: Tls,
    reload: Reload,
    now: SystemTime,
}

/// Certificate and key for the folder `name`.
fn pair(folder: &Path, name: &str) {
    let service = ServiceSettings {
        state_directory: folder.join("made").join(name),
        ..ServiceSettings::default()
    };
    Tls::load(&service).expect("made");
    fs::rename(service.state_directory.join("tls"), folder.join(name)).expect("moved");
}

/// Has `link` point to `target` from one moment to the next.
fn swap(folder: &Path, target: &str) {
    let new = folder.join("new");
    symlink(target, &new).expect("a link");
    fs::rename(new, folder.join("current")).expect("swapped");
}

fn bench(service: impl FnOnce(&Path) -> ServiceSettings) -> Bench {
    let folder = tempfile::tempdir().expect("a folder");
    pair(folder.path(), "one");
    pair(folder.path(), "two");
    swap(folder.path(), "one");
    let service = service(folder.path());
    let tls = Tls::load(&service).expect("read");
    let settings = Arc::new(Current::new(Settings {
        service,
        ..Settings::default()
    }));
    let acceptors = Acceptors::new(&tls, &settings.get()).expect("no authorities");
    let reload = Reload::new(&tls, &Arc::new(acceptors), &settings);
    let bench = Bench {
        folder,
        tls,
        reload,
        // What is there now is old by then.
        now: SystemTime::now() + Duration::from_mins(1),
    };
    bench.look();
    bench
}

impl Bench {
    fn with_links() -> Self {
        bench(|folder| ServiceSettings {
            certificate: Some(folder.join("current/certificate.pem")),
            private_key: Some(folder.join("current/private_key.pem")),
            state_directory: folder.join("state"),
            ..ServiceSettings::default()
        })
    }

    fn look(&self) {
        self.reload.look(Why::Time, self.now);
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn copy(&self, from: &str, to: &str) {
        fs::copy(self.path(from), self.path(to)).expect("a copy");
    }

    fn trouble(&self) -> Option<String> {
        self.reload.lock().identity.trouble.clone()
    }
}

#[test]
fn a_swapped_link_is_seen() {
    let bench = Bench::with_links();
    let first = bench.tls.fingerprint();
    bench.look();
    assert_eq!(bench.tls.fingerprint(), first);
    swap(bench.folder.path(), "two");
    bench.look();
    let second = bench.tls.fingerprint();
    assert_ne!(second, first);
    assert_eq!(bench.trouble(), None);
    swap(bench.folder.path(), "one");
    bench.look();
    assert_eq!(bench.tls.fingerprint(), first);
}

#[test]
fn a_pair_that_does_not_go_together_leaves_the_old_one_and_is_tried_again() {
    let bench = Bench::with_links();
    let first = bench.tls.fingerprint();
    // The order in which certbot and others write is not known.
    bench.copy("two/certificate.pem", "one/certificate.pem");
    bench.look();
    assert_eq!(bench.tls.fingerprint(), first);
    let trouble = bench.trouble().expect("they do not go together");
    assert!(trouble.contains("cannot be used"), "{trouble}");
    bench.copy("two/private_key.pem", "one/private_key.pem");
    bench.look();
    assert_ne!(bench.tls.fingerprint(), first);
    assert_eq!(bench.trouble(), None);
}

#[test]
fn half_a_certificate_leaves_the_old_one() {
    let bench = Bench::with_links();
    let first = bench.tls.fingerprint();
    let whole = fs::read(bench.path("one/certificate.pem")).expect("PEM");
    for part in [&whole[..whole.len() / 2], b"", b"no certificate"] {
        fs::write(bench.path("one/certificate.pem"), part).expect("written");
        bench.look();
        assert_eq!(bench.tls.fingerprint(), first);
        assert!(
            bench
                .trouble()
                .is_some_and(|text| text.contains("certificate.pem"))
        );
    }
    fs::remove_file(bench.path("one/certificate.pem")).expect("removed");
    bench.look();
    assert!(
        bench
            .trouble()
            .is_some_and(|text| text.contains("cannot read"))
    );
    fs::write(bench.path("one/certificate.pem"), whole).expect("written");
    bench.look();
    assert_eq!(bench.trouble(), None);
    assert_eq!(bench.tls.fingerprint(), first);
}

#[test]
fn what_was_written_a_moment_ago_is_looked_at_again() {
    let mut files = Files::default();
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("file");
    fs::write(&path, "one").expect("written");
    let (paths, now) = ([path], SystemTime::now());
    let later = now + Duration::from_mins(1);
    assert!(files.have_changed(&paths, now), "the first time");
    assert!(files.have_changed(&paths, now), "within the same second");
    assert!(files.have_changed(&paths, later), "and once more");
    assert!(!files.have_changed(&paths, later));
    fs::write(&paths[0], "three").expect("written");
    assert!(files.have_changed(&paths, later), "it has another length");
    fs::remove_file(&paths[0]).expect("removed");
    assert!(files.have_changed(&paths, later), "it has gone");
    assert!(!files.have_changed(&paths, later));
}

#[test]
fn a_made_certificate_is_made_again_when_it_is_lost_or_has_ended() {
    let bench = bench(|folder| ServiceSettings {
        state_directory: folder.join("state"),
        ..ServiceSettings::default()
    });
    let key = fs::read(bench.path("state/tls/private_key.pem")).expect("a key");
    let first = bench.tls.fingerprint();
    fs::remove_file(bench.tls.certificate()).expect("removed");
    bench.look();
    let second = bench.tls.fingerprint();
    assert_ne!(second, first);
    // One that has ended, for the same key.
    let pair = rcgen::KeyPair::from_pem(&String::from_utf8(key.clone()).expect("PEM"));
    let mut ended = rcgen::CertificateParams::default();
    ended.not_after = (SystemTime::now() - Duration::from_hours(1)).into();
    let ended = ended.self_signed(&pair.expect("a key")).expect("signed");
    fs::write(bench.tls.certificate(), ended.pem()).expect("written");
    bench.look();
    let third = bench.tls.fingerprint();
    assert_ne!(third, second);
    let ends_at = certificate::ends_at(&bench.tls.end_entity());
    assert!(ends_at.is_some_and(|end| end > bench.now + WARNING));
    let now = fs::read(bench.path("state/tls/private_key.pem")).expect("a key");
    assert_eq!(now, key);
}

#[test]
fn an_end_is_warned_of_once_a_day_within_its_last_month() {
    let (end, day) = (SystemTime::now(), Duration::from_hours(24));
    let mut warned = None;
    let mut warns = |end, now| is_due(&mut warned, end, WARNING, now);
    assert!(!warns(end, end - 31 * day));
    assert!(warns(end, end - 30 * day));
    assert!(!warns(end, end - 30 * day + day / 2));
    assert!(warns(end, end - 29 * day));
    assert!(warns(end + day, end - 29 * day), "another certificate");
    assert!(!warns(end + 60 * day, end - 28 * day));
    assert!(warns(end, end + 3 * day), "it has ended");
}

#[test]
fn days_are_whole_and_negative_when_they_are_over() {
    let (now, hour) = (SystemTime::now(), Duration::from_hours(1));
    for (hours, days) in [(0, 0), (23, 0), (24, 1), (49, 2)] {
        assert_eq!(whole_days(now + hours * hour, now), days);
    }
    assert_eq!(whole_days(now - hour, now), -1);
    assert_eq!(whole_days(now - 25 * hour, now), -2);
}
