//! Reading certificates, keys and lists again, while connections are served:
//! when somebody asks for it, and when a file is another one than before.
//!
//! A file is looked at by its name, through whatever links lead to it, as
//! certbot and Kubernetes swap them; what counts is which file that is now, its
//! size and its times. Certificate and key that do not go together, because one
//! of them is still to come, leave the old ones in force, and so does whatever
//! cannot be read; the log has it once, and the next change is another try.

use std::error::Error;
use std::fmt::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;
use std::time::SystemTime;

use tracing::error;
use tracing::info;
use tracing::warn;

use super::acceptor::Acceptors;
use super::certificate;
use super::tls::Tls;
use super::tls::TlsError;
use crate::config::Current;
use crate::telemetry::counters::Gauge;

/// What is read again.
#[derive(Debug)]
pub(crate) struct Reload {
    tls: Tls,
    acceptors: Arc<Acceptors>,
    settings: Arc<Current>,
    seen: Mutex<Seen>,
}

/// Why files are looked at.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Why {
    /// The administrator wants it: all are read.
    Asked,
    /// Time has passed: those are read that have changed.
    Time,
}

/// What was found the last time.
#[derive(Debug, Default)]
struct Seen {
    identity: Files,
    trust: Files,
    /// The end that was warned of, and when.
    warned: Option<(SystemTime, SystemTime)>,
    /// The same for lists of revoked certificates.
    warned_of_lists: Option<(SystemTime, SystemTime)>,
}

/// Files that are read together.
#[derive(Debug, Default)]
struct Files {
    stamps: Vec<Option<Stamp>>,
    /// One has changed so lately that another change need not show.
    is_young: bool,
    /// What was wrong with them.
    trouble: Option<String>,
}

/// By what a change of a file shows.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    /// Seconds and nanoseconds since 1970.
    modified_at: (i64, i64),
    /// The same, of its contents, its name or its mode.
    changed_at: (i64, i64),
}

impl Reload {
    pub(super) fn new(tls: &Tls, acceptors: &Arc<Acceptors>, settings: &Arc<Current>) -> Self {
        Self {
            tls: tls.clone(),
            acceptors: Arc::clone(acceptors),
            settings: Arc::clone(settings),
            seen: Mutex::default(),
        }
    }

    /// Looks at the files, reads them if need be, and says how long what is in
    /// force lasts. Connections live on. It blocks.
    pub(crate) fn look(&self, why: Why, now: SystemTime) {
        let mut seen = self.lock();
        self.look_at_identity(&mut seen, why, now);
        self.look_at_trust(&mut seen.trust, why, now);
        self.warn_of_lists(&mut seen.warned_of_lists, now);
    }

    fn look_at_identity(&self, seen: &mut Seen, why: Why, now: SystemTime) {
        let ends_at = || certificate::ends_at(&self.tls.end_entity());
        let is_to_be_made = || self.tls.is_made() && ends_at().is_some_and(|ends_at| ends_at < now);
        if seen.identity.have_changed(&self.tls.files(), now)
            || why == Why::Asked
            || is_to_be_made()
        {
            let done = self.tls.reload();
            seen.identity
                .note(done, why, "The certificate stays as it was");
        }
        let Some(ends_at) = ends_at() else { return };
        Gauge::CertificateExpiry.set_to(ends_at);
        let [path, _] = self.tls.files();
        if is_due(&mut seen.warned, ends_at, WARNING, now) {
            let days = whole_days(ends_at, now);
            let renewal = if self.tls.is_made() {
                "it is made again then"
            } else {
                "it must be replaced"
            };
            warn!(certificate = %path.display(), days, renewal, "Certificate expires");
        }
    }

    fn look_at_trust(&self, files: &mut Files, why: Why, now: SystemTime) {
        let settings = self.settings.get();
        let access = &settings.access;
        let lists = access.client_revocation_lists.iter();
        let paths: Vec<PathBuf> = access
            .client_ca_certificates
            .iter()
            .chain(lists)
            .cloned()
            .collect();
        if files.have_changed(&paths, now) || why == Why::Asked {
            let done = self.acceptors.reload(access);
            files.note(
                done,
                why,
                "The authorities of client certificates stay as they were",
            );
        }
    }

    /// A list that has ended refuses all certificates of its issuer.
    fn warn_of_lists(&self, warned: &mut Option<(SystemTime, SystemTime)>, now: SystemTime) {
        let trust = self.acceptors.trust();
        let Some(ends_at) = trust.lists_end_at() else {
            Gauge::RevocationListsExpiry.set_to(SystemTime::UNIX_EPOCH);
            return;
        };
        Gauge::RevocationListsExpiry.set_to(ends_at);
        if is_due(warned, ends_at, Duration::ZERO, now) {
            let files = &trust.sources().revocation_lists;
            warn!(
                ?files,
                "A list of revoked certificates has ended: the client certificates of its issuer \
                 are refused"
            );
        }
    }

    /// A look that panicked has noted too little, and so is repeated.
    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Files {
    /// Notes what the files are now, and says whether they were others before.
    /// A file that cannot be looked at is one that is not there.
    fn have_changed(&mut self, paths: &[PathBuf], now: SystemTime) -> bool {
        let stamps: Vec<_> = paths.iter().map(|path| Stamp::of(path)).collect();
        let have_changed = stamps != self.stamps || self.is_young;
        // INVARIANT: what is read is read after this, so that a change between
        // shows the next time.
        self.is_young = stamps.iter().flatten().any(|stamp| stamp.is_young(now));
        self.stamps = stamps;
        have_changed
    }

    /// Tells the log how reading them went; of the same trouble only once,
    /// unless somebody asked.
    fn note(&mut self, done: Result<(), TlsError>, why: Why, consequence: &'static str) {
        let Err(trouble) = done else {
            if self.trouble.take().is_some() {
                info!("The files are in order again");
            }
            return;
        };
        let trouble = in_one_sentence(&trouble);
        if why == Why::Asked || self.trouble.as_ref() != Some(&trouble) {
            error!(cause = %trouble, "{consequence}");
        }
        self.trouble = Some(trouble);
    }
}

impl Stamp {
    fn of(path: &Path) -> Option<Self> {
        let file = std::fs::metadata(path).ok()?;
        Some(Self {
            device: file.dev(),
            inode: file.ino(),
            size: file.size(),
            modified_at: (file.mtime(), file.mtime_nsec()),
            changed_at: (file.ctime(), file.ctime_nsec()),
        })
    }

    /// It may be written to within the same tick of the file system's clock.
    fn is_young(&self, now: SystemTime) -> bool {
        let since = now.duration_since(SystemTime::UNIX_EPOCH);
        let now = since.unwrap_or_default().as_secs();
        u64::try_from(self.changed_at.0).is_ok_and(|changed_at| changed_at + YOUNG_S >= now)
    }
}

/// Says whether it is time to warn of an end: it is near, and nobody was warned
/// of it for a day.
fn is_due(
    warned: &mut Option<(SystemTime, SystemTime)>,
    ends_at: SystemTime,
    before: Duration,
    now: SystemTime,
) -> bool {
    let is_near = now + before >= ends_at;
    let is_told = warned.is_some_and(|(end, told_at)| {
        let since = now.duration_since(told_at);
        end == ends_at && since.is_ok_and(|since| since < AGAIN)
    });
    if is_near && !is_told {
        *warned = Some((ends_at, now));
    }
    is_near && !is_told
}

/// Whole days from `now` to `end`, negative when it is past.
fn whole_days(end: SystemTime, now: SystemTime) -> i64 {
    let days = |span: Duration| i64::try_from(span.as_secs() / 86_400).unwrap_or(i64::MAX);
    match end.duration_since(now) {
        Ok(left) => days(left),
        Err(past) => -1 - days(past.duration()),
    }
}

fn in_one_sentence(error: &dyn Error) -> String {
    let mut sentence = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        // Writing to a string does not fail.
        let _ = write!(sentence, ": {inner}");
        cause = inner.source();
    }
    sentence
}

/// How long before its end the certificate is warned of.
const WARNING: Duration = Duration::from_hours(30 * 24);

/// How often it is.
const AGAIN: Duration = Duration::from_hours(24);

/// Seconds: more than a file system's clock takes for a tick.
const YOUNG_S: u64 = 2;

#[cfg(test)]
mod tests;
