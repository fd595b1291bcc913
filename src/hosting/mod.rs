//! Takes uploads in by the BITS upload protocol ([MC-BUP]): sessions, their
//! octets on disk, the application that is told of them, and its replies.
//!
//! Who asks, and over which connection, is settled before: nothing is done
//! here without an [`Uploader`]. A session is another account's secret: to
//! everybody else it is not there.
//!
//! The octets lie in a hidden file beside the destination and get there by a
//! rename once they are whole and synced, at the last fragment. What is
//! remembered of a session lies in the service's state (`ledger`), with two
//! records of its progress. A power cut costs at most what was not synced; the
//! client is told from where to go on (416).
//!
//! A packet runs to its end though its client has gone. One packet of a session
//! is worked on at a time: a later one ends the fragment before it, whose client
//! has begun anew on another connection.

mod clock;
mod folder;
mod ledger;
mod notify;
mod packets;
mod pieces;
mod receive;
mod refused;
mod rules;
mod session;
mod sessions;
mod target;
#[cfg(test)]
mod tests;
mod upkeep;

use std::collections::BTreeMap;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub(crate) use crate::bits::Owner;
use crate::config::FilesSettings;
use crate::config::HostingSettings;
use crate::transfer::Failure;
pub(crate) use folder::Folder;
pub(crate) use folder::Uploader;
pub(crate) use folder::members;
use ledger::Ledger;
pub(crate) use packets::Afterwards;
pub(crate) use packets::Asked;
pub(crate) use pieces::FilePieces;
pub(crate) use refused::Refused;
use sessions::Sessions;
pub(crate) use target::NoTarget;
pub(crate) use target::Target;
#[cfg(fuzzing)]
pub(crate) use target::fuzz as fuzz_target;

/// The upload folders, and what is under way into them. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Uploads(Arc<Parts>);

#[derive(Debug)]
struct Parts {
    folders: Vec<Arc<Folder>>,
    allow_unencrypted: bool,
    ledger: Arc<Ledger>,
    sessions: Sessions,
    tasks: TaskTracker,
    stop: CancellationToken,
}

/// Where uploads lie, and what they may not touch.
pub(crate) struct Places<'a> {
    /// The groups of the settings.
    pub(crate) groups: &'a BTreeMap<String, Vec<String>>,
    /// The looks of finished files.
    pub(crate) files: &'a FilesSettings,
    /// The service's state.
    pub(crate) state_directory: &'a Path,
    /// Files and folders of the service itself.
    pub(crate) protected: &'a [PathBuf],
}

impl Uploads {
    /// Opens the upload folders, takes sessions up again, and clears away those
    /// that have ended, now and then. Fragments that come end with `stop`.
    /// Blocking, but in a runtime.
    ///
    /// # Errors
    ///
    /// [`Failure`] that names the setting that cannot be used.
    pub(crate) fn start(
        settings: &HostingSettings,
        places: &Places<'_>,
        stop: CancellationToken,
    ) -> Result<Self, Failure> {
        let open = |folder| {
            let Places {
                groups,
                files,
                protected,
                ..
            } = places;
            Folder::open(folder, groups, files, protected).map(Arc::new)
        };
        let folders: Result<Vec<_>, _> = settings.upload_folders.iter().map(open).collect();
        let ledger = Ledger::open(places.state_directory)
            .map_err(|error| Failure::from_local_error("service.state_directory", &error))?;
        let uploads = Self(Arc::new(Parts {
            folders: folders?,
            allow_unencrypted: settings.allow_unencrypted,
            ledger: Arc::new(ledger),
            sessions: Sessions::default(),
            tasks: TaskTracker::new(),
            stop,
        }));
        uploads
            .take_up()
            .map_err(|error| Failure::from_local_error("reading the uploads under way", &error))?;
        uploads.begin_upkeep(Duration::from_secs(settings.cleanup_interval_s));
        Ok(uploads)
    }

    /// The folder that the path of a URL is in, with what follows the folder's
    /// own path.
    pub(crate) fn folder<'a>(&self, path: &'a str) -> Option<(&Arc<Folder>, &'a str)> {
        let mut folders = self.0.folders.iter();
        folders.find_map(|folder| Some((folder, folder.rest(path)?)))
    }

    /// Are uploads taken where everybody on the way can read and change them?
    pub(crate) fn allows_unencrypted(&self) -> bool {
        self.0.allow_unencrypted
    }

    /// Waits until what is under way has come to a point from where it can go
    /// on; `stop` has been called.
    pub(crate) async fn stop(&self) {
        self.0.stop.cancel();
        self.0.tasks.close();
        self.0.tasks.wait().await;
    }
}
