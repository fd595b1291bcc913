//! Puts whole files in their places, or removes what there is of them. Both
//! may be repeated after a crash. Blocking.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::FileType;
use rustix::fs::Timespec;
use rustix::fs::Timestamps;
use rustix::io::Errno;

use super::Failure;
use super::landing::Landing;
use super::landing::Missing;
use super::landing::temporary_name;
use super::spot;
use super::spot::Spot;
use super::written::Written;
use crate::bits::File;
use crate::bits::Hresult;
use crate::bits::JobId;
use crate::bits::Validator;

/// Folders whose names have changed, by their numbers; each is synced once.
#[derive(Default)]
struct Changed(HashMap<(u64, u64), Spot>);

impl Landing {
    /// Puts whole files in their places, in order.
    ///
    /// # Errors
    ///
    /// The place in `files` of the first that could not be put; those before
    /// it are in their places, synced.
    pub(super) fn place(
        &self,
        job: JobId,
        files: &[File],
        record: &Written,
    ) -> Result<(), (usize, Failure)> {
        let mut changed = Changed::default();
        let mut failure = None;
        // The way to a folder begins at the root.
        let roots = self.within(None);
        for (at, file) in files.iter().enumerate() {
            match self.place_one(job, file, record) {
                Ok(spot) => {
                    record.forget(job, file.index);
                    if changed.add(spot) {
                        let added = roots.add_way(&file.path, &mut changed);
                        added.map_err(|why| (0, why))?;
                    }
                }
                Err(why) => {
                    failure = Some((at, why));
                    break;
                }
            }
        }
        // Nothing is known to be in its place before this.
        changed.sync().map_err(|why| (0, why))?;
        failure.map_or(Ok(()), Err)
    }

    /// Removes the temporary files of `files`, and forgets them.
    ///
    /// # Errors
    ///
    /// The first that could not be removed; the others are gone.
    pub(super) fn discard(
        &self,
        job: JobId,
        files: &[File],
        record: &Written,
    ) -> Result<(), (usize, Failure)> {
        let mut changed = Changed::default();
        let mut failure = None;
        for (at, file) in files.iter().enumerate() {
            record.forget(job, file.index);
            match self.discard_one(job, file) {
                Ok(Some(spot)) => {
                    changed.add(spot);
                    if let Err(why) = changed.sync_if_many() {
                        failure = failure.or(Some((at, why)));
                    }
                }
                Ok(None) => {}
                Err(why) => failure = failure.or(Some((at, why))),
            }
        }
        changed.sync().map_err(|why| (0, why))?;
        failure.map_or(Ok(()), Err)
    }

    /// Adds the folders in which the folder of `path` and those above it stand,
    /// up to the write root. They are synced when they are made, but a crash
    /// just then leaves some that are there and not synced.
    fn add_way(&self, path: &Path, changed: &mut Changed) -> Result<(), Failure> {
        for folder in path.ancestors().skip(1) {
            changed.sync_if_many()?;
            // The write root itself stands in none.
            let Ok(above) = self.spot(folder, Missing::Report) else {
                break;
            };
            if !changed.add(above) {
                break;
            }
        }
        Ok(())
    }

    /// The size is all that is compared: the hash was, before the file counted as
    /// transferred, and since then it has lain under a name that only the service
    /// may write, with its octets synced. Who can change it there can change it at
    /// its destination too.
    fn place_one(&self, job: JobId, file: &File, record: &Written) -> Result<Spot, Failure> {
        if let Some(entry) = record.find(job, file.index) {
            let temporary = temporary_name(job, file.index);
            spot::check_volume(&file.path.with_file_name(temporary), entry.device)?;
        }
        let spot = self.spot(&file.path, Missing::Report)?;
        let temporary = temporary_name(job, file.index);
        let unwritten = |error: &io::Error| {
            let doing = format!("{}: putting the file in its place", file.path.display());
            Failure::from_local_error(&doing, error)
        };
        let failed = |error: Errno| unwritten(&error.into());
        if self
            .is_given_away(&spot, &temporary, file)
            .map_err(failed)?
        {
            spot.check_replaceable()?;
            rename(&spot, &temporary).map_err(failed)?;
            return Ok(spot);
        }
        let Some(whole) = spot.open_temporary(&temporary).map_err(failed)? else {
            return if Self::is_placed(&spot, file).map_err(failed)? {
                Ok(spot)
            } else {
                Err(Failure::local(
                    Hresult::ERROR_FILE_NOT_FOUND,
                    format!("{}: the transferred file is gone", file.path.display()),
                ))
            };
        };
        spot.check_replaceable()?;
        let size = whole
            .metadata()
            .map_err(|error| Failure::from_local_error("reading the temporary file", &error))?;
        if file.size.is_some_and(|wanted| wanted != size.len()) {
            return Err(Failure::local(
                Hresult::BG_E_VALIDATION_FAILED,
                format!(
                    "{}: the transferred file has {} octets",
                    file.path.display(),
                    size.len()
                ),
            ));
        }
        rustix::fs::fchmod(&whole, self.mode).map_err(failed)?;
        // It was given when the file became whole, but not by every build.
        if let Some(times) = times(&file.validator)
            && times.last_modification.tv_sec != size.mtime()
        {
            sync_whole(&whole, Some(&times)).map_err(|error| unwritten(&error))?;
        }
        // INVARIANT: the owner comes last. A file that is not ours any more
        // needs nothing but its name.
        if self.owner.is_some() || self.group.is_some() {
            rustix::fs::fchown(&whole, self.owner, self.group).map_err(failed)?;
        }
        rename(&spot, &temporary).map_err(failed)?;
        Ok(spot)
    }

    /// Did an earlier try get as far as giving the file to its owner? We may
    /// not be able to open it any more.
    fn is_given_away(&self, spot: &Spot, temporary: &OsStr, file: &File) -> Result<bool, Errno> {
        let Some(owner) = self.owner else {
            return Ok(false);
        };
        let stat = spot.stat(temporary)?;
        Ok(owner != rustix::process::geteuid()
            && stat.is_some_and(|stat| {
                FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile
                    && stat.st_uid == owner.as_raw()
                    && stat.st_nlink == 1
                    && file
                        .size
                        .is_none_or(|size| u64::try_from(stat.st_size) == Ok(size))
            }))
    }

    /// Was this file put in its place before a crash?
    fn is_placed(spot: &Spot, file: &File) -> Result<bool, Errno> {
        let stat = spot.stat(&spot.name)?;
        Ok(stat.is_some_and(|stat| {
            FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile
                && file
                    .size
                    .is_none_or(|size| u64::try_from(stat.st_size) == Ok(size))
                && times(&file.validator)
                    .is_none_or(|times| stat.st_mtime == times.last_modification.tv_sec)
        }))
    }

    fn discard_one(&self, job: JobId, file: &File) -> Result<Option<Spot>, Failure> {
        let spot = match self.spot(&file.path, Missing::Report) {
            Ok(spot) => spot,
            // Without its folder (or with a file in its place) it is gone too.
            Err(failure)
                if [Hresult::ERROR_PATH_NOT_FOUND, Hresult::ERROR_INVALID_NAME]
                    .contains(&failure.code) =>
            {
                return Ok(None);
            }
            Err(failure) => return Err(failure),
        };
        let removed = spot
            .remove(&temporary_name(job, file.index))
            .map_err(|error| {
                let doing = format!("{}: removing the temporary file", file.path.display());
                Failure::from_local_error(&doing, &error.into())
            })?;
        Ok(removed.then_some(spot))
    }
}

impl Changed {
    /// Holds when the folder was not among them.
    fn add(&mut self, spot: Spot) -> bool {
        let Ok(stat) = rustix::fs::fstat(&spot.folder) else {
            return false;
        };
        let Entry::Vacant(free) = self.0.entry((stat.st_dev, stat.st_ino)) else {
            return false;
        };
        free.insert(spot);
        true
    }

    /// Each holds a file descriptor, of which a process has some thousand.
    fn sync_if_many(&mut self) -> Result<(), Failure> {
        if self.0.len() < MAX_FOLDERS {
            return Ok(());
        }
        std::mem::take(self).sync()
    }

    fn sync(self) -> Result<(), Failure> {
        for spot in self.0.values() {
            spot.sync()
                .map_err(|error| Failure::from_local_error("syncing the folder", &error.into()))?;
        }
        Ok(())
    }
}

/// Gives a whole file its time, and makes it last with all that is in the file.
/// A Complete that a power loss broke off knows the file by its time.
pub(super) fn sync_whole(file: &fs::File, times: Option<&Timestamps>) -> io::Result<()> {
    stamp(file, times)?;
    file.sync_all()
}

/// Gives a file its time, if it has one.
pub(super) fn stamp(file: &fs::File, times: Option<&Timestamps>) -> io::Result<()> {
    times.map_or(Ok(()), |times| Ok(rustix::fs::futimens(file, times)?))
}

/// `Last-Modified` becomes the time of the file ("`IBackgroundCopyFile`").
pub(super) fn times(validator: &Validator) -> Option<Timestamps> {
    let text = validator.last_modified.as_deref()?;
    let modified = httpdate::parse_http_date(text).ok()?;
    let since = modified.duration_since(std::time::UNIX_EPOCH).ok()?;
    let time = Timespec {
        tv_sec: i64::try_from(since.as_secs()).ok()?,
        tv_nsec: 0,
    };
    Some(Timestamps {
        last_access: time,
        last_modification: time,
    })
}

fn rename(spot: &Spot, temporary: &OsStr) -> Result<(), Errno> {
    rustix::fs::renameat(&spot.folder, temporary, &spot.folder, &spot.name)
}

/// Folders that are open at a time.
const MAX_FOLDERS: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::FilesSettings;

    #[test]
    fn the_whole_way_below_the_write_root_is_synced_once() {
        let folder = tempfile::tempdir().expect("folder");
        fs::create_dir_all(folder.path().join("a/b/c")).expect("made");
        let settings = FilesSettings {
            write_roots: vec![folder.path().to_owned()],
            ..FilesSettings::default()
        };
        let landing = Landing::new(&settings, &[]).expect("usable");
        let mut changed = Changed::default();
        for name in ["a/b/c/one", "a/b/c/two", "a/b/three"] {
            let path = folder.path().join(name);
            let spot = landing.spot(&path, Missing::Report).expect("inside");
            if changed.add(spot) {
                landing.add_way(&path, &mut changed).expect("synced");
            }
        }
        // The root, a, b, c.
        assert_eq!(changed.0.len(), 4);
        changed.sync().expect("synced");
    }
}
