//! The folder of the file before: the next file of a job often goes there too.
//!
//! A folder that is open stays what it is, but its path may come to lead
//! elsewhere: so it is resolved anew, with all fences, after a moment. Folders
//! that hold something of the service are never kept.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use tokio::time::Instant;

use super::Failure;
use super::clock;
use super::landing::Landing;
use super::landing::Missing;
use super::landing::is_plain_name;
use super::spot::Spot;

/// The folder that was opened last.
#[derive(Debug, Default)]
pub(super) struct LastFolder(Mutex<Option<Last>>);

#[derive(Debug)]
struct Last {
    path: PathBuf,
    folder: Arc<OwnedFd>,
    in_memory: bool,
    opened_at: Instant,
}

impl LastFolder {
    /// Opens the folder of `path`, or takes the one that is open; folders that
    /// are missing are made.
    ///
    /// # Errors
    ///
    /// As [`Landing::spot`].
    pub(super) fn spot(&self, landing: &Landing, path: &Path) -> Result<Spot, Failure> {
        let now = clock::instant();
        if let Some(spot) = self.near(path, now) {
            return Ok(spot);
        }
        let spot = landing.spot(path, Missing::Create)?;
        if let Some(parent) = path.parent()
            && !landing.has_protected_below(&spot.folder, parent)
        {
            let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            *last = Some(Last {
                path: parent.to_owned(),
                folder: Arc::clone(&spot.folder),
                in_memory: spot.in_memory,
                opened_at: now,
            });
        }
        Ok(spot)
    }

    fn near(&self, path: &Path, now: Instant) -> Option<Spot> {
        let (parent, name) = (path.parent()?, path.file_name()?);
        if !is_plain_name(path, name) {
            return None;
        }
        let last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let last = last.as_ref()?;
        if last.path.as_os_str() != parent.as_os_str() || now - last.opened_at >= MAX_AGE {
            return None;
        }
        Some(Spot {
            folder: Arc::clone(&last.folder),
            name: name.to_owned(),
            in_memory: last.in_memory,
        })
    }
}

/// Two thousand small files go into a folder within this time.
const MAX_AGE: Duration = Duration::from_secs(1);
