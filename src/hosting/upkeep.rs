//! Sessions over time: taken up again at the start, cleared away once nothing
//! has come for too long.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::sleep;
use tracing::info;
use tracing::warn;

use super::Uploads;
use super::clock;
use super::ledger::Phase;
use super::receive::work;
use super::session::Session;
use super::sessions::Entry;

impl Uploads {
    /// Takes sessions up again, as they were before the start. Blocking.
    ///
    /// # Errors
    ///
    /// Of the folder of the records.
    pub(super) fn take_up(&self) -> io::Result<()> {
        let parts = &self.0;
        let now_s = clock::now_s();
        for (id, record) in parts.ledger.load()? {
            let mut folders = parts.folders.iter();
            let folder = folders.find(|folder| folder.settings.path == record.folder);
            let Some(folder) = folder else {
                // Nothing is known of its files; another start may know more.
                warn!(session = %id, folder = record.folder, target = record.target,
                    "Upload of a folder that is not configured any more");
                if now_s.saturating_sub(record.touched_at) > FORGOTTEN_AFTER_S {
                    parts.ledger.forget(id);
                }
                continue;
            };
            let entry = Entry::new(
                id,
                record.owner.clone(),
                record.folder.clone(),
                record.target.clone(),
                record.touched_at,
            );
            let session = (record.phase != Phase::Closed).then(|| {
                let (folder, ledger) = (Arc::clone(folder), Arc::clone(&parts.ledger));
                Session::recover(id, record, folder, ledger)
            });
            parts.sessions.take_up(entry, session);
        }
        Ok(())
    }

    /// Clears away sessions that have ended, now and every so often.
    pub(super) fn begin_upkeep(&self, interval: Duration) {
        let uploads = self.clone();
        self.0.tasks.spawn(async move {
            let stop = uploads.0.stop.clone();
            loop {
                uploads.clear_away(clock::now_s()).await;
                if stop.run_until_cancelled(sleep(interval)).await.is_none() {
                    return;
                }
            }
        });
    }

    /// Clears away what has ended by now.
    pub(super) async fn clear_away(&self, now_s: u64) {
        for entry in self.0.sessions.all() {
            let silent_for_s = entry.silent_for_s(now_s);
            if entry.is_closed() {
                if silent_for_s > CLOSED_KEPT_S {
                    self.forget(&entry).await;
                }
                continue;
            }
            let mut folders = self.0.folders.iter();
            let folder = folders.find(|folder| folder.settings.path == entry.folder);
            let is_over =
                folder.is_none_or(|folder| silent_for_s > folder.settings.session_timeout_s);
            if is_over && let Some(held) = entry.try_hold() {
                let Some((mut held, discarded)) = work(held, Session::discard).await else {
                    continue;
                };
                if let Err(failure) = discarded {
                    warn!(session = %entry.id, %failure, "Upload not cleared away");
                    continue;
                }
                *held = None;
                self.forget(&entry).await;
                info!(session = %entry.id, account = entry.owner.as_deref().unwrap_or("anonymous"),
                    folder = entry.folder, target = entry.target,
                    "Upload cleared away: nothing has come for too long");
            }
        }
    }

    async fn forget(&self, entry: &Entry) {
        self.0.sessions.remove(entry);
        let (ledger, id) = (Arc::clone(&self.0.ledger), entry.id);
        // A panic is in the log; a later start finds the record.
        let _ = spawn_blocking(move || ledger.forget(id)).await;
    }
}

/// How long a closed session is kept for a client that has lost the answer.
const CLOSED_KEPT_S: u64 = 3_600;

/// Seconds after which the record of a folder that is gone goes too.
const FORGOTTEN_AFTER_S: u64 = 1_209_600;
