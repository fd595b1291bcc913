//! A destination in its open folder, and the temporary file beside it.
//!
//! Everything here goes by one name in a folder that is already open: no path
//! is resolved any more. All calls block.

use std::ffi::OsStr;
use std::ffi::OsString;
use std::fs;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::AtFlags;
use rustix::fs::FileType;
use rustix::fs::Mode;
use rustix::fs::OFlags;
use rustix::fs::Stat;
use rustix::io::Errno;

use super::Failure;
use crate::bits::ErrorContext;
use crate::bits::Hresult;
use crate::bits::Phase;

/// A name in an open folder below a write root.
#[derive(Debug)]
pub(super) struct Spot {
    /// The folder.
    pub(super) folder: Arc<OwnedFd>,
    /// The destination's name in it.
    pub(super) name: OsString,
    /// The folder lies in memory (tmpfs, ramfs): there a write is a copy, and
    /// nothing is ever synced.
    pub(super) in_memory: bool,
}

impl Spot {
    /// `name` in `folder`.
    pub(super) fn new(folder: OwnedFd, name: &OsStr) -> Self {
        let stat = rustix::fs::fstatfs(&folder);
        Self {
            folder: Arc::new(folder),
            name: name.to_owned(),
            in_memory: stat.is_ok_and(|stat| IN_MEMORY.contains(&stat.f_type)),
        }
    }

    /// A mark of the device of the folder: that of a file may differ from it
    /// where file systems lie over one another.
    ///
    /// # Errors
    ///
    /// Of the operating system.
    pub(super) fn device(&self) -> Result<u32, Errno> {
        rustix::fs::fstat(&self.folder).map(|stat| device_mark(stat.st_dev))
    }

    /// The state of the destination; `None` when nothing is there. A link is
    /// not followed.
    pub(super) fn stat(&self, name: &OsStr) -> Result<Option<Stat>, Errno> {
        match rustix::fs::statat(&self.folder, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(stat)),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Checks that what is at the destination may be replaced: nothing, a
    /// regular file, or a link (which is replaced, not followed).
    ///
    /// # Errors
    ///
    /// [`Failure`] with `E_ACCESSDENIED` for anything else.
    pub(super) fn check_replaceable(&self) -> Result<(), Failure> {
        let refused = |what: &str| {
            Err(Failure::local(
                Hresult::E_ACCESSDENIED,
                format!("the destination {} is {what}", self.name.display()),
            ))
        };
        let stat = self
            .stat(&self.name)
            .map_err(|error| Failure::from_local_error("reading the destination", &error.into()))?;
        match stat.map(|stat| FileType::from_raw_mode(stat.st_mode)) {
            None | Some(FileType::RegularFile | FileType::Symlink) => Ok(()),
            Some(FileType::Directory) => refused("a folder"),
            Some(_) => refused("neither a file nor a folder"),
        }
    }

    /// Opens the temporary file `name` if it is there and is ours: a regular
    /// file of this account with this one name.
    ///
    /// # Errors
    ///
    /// Of the operating system.
    pub(super) fn open_temporary(&self, name: &OsStr) -> Result<Option<fs::File>, Errno> {
        let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let opened = match rustix::fs::openat(&self.folder, name, flags, Mode::empty()) {
            Ok(opened) => opened,
            Err(Errno::NOENT | Errno::LOOP | Errno::ISDIR | Errno::NXIO) => return Ok(None),
            Err(error) => return Err(error),
        };
        let stat = rustix::fs::fstat(&opened)?;
        let ours = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile
            && stat.st_uid == rustix::process::geteuid().as_raw()
            && stat.st_nlink == 1;
        Ok(ours.then(|| opened.into()))
    }

    /// Makes the temporary file `name` anew.
    ///
    /// # Errors
    ///
    /// Of the operating system.
    pub(super) fn create_temporary(&self, name: &OsStr) -> Result<fs::File, Errno> {
        let flags =
            OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let create = || rustix::fs::openat(&self.folder, name, flags, Mode::RUSR | Mode::WUSR);
        match create() {
            Err(Errno::EXIST) => {
                self.remove(name)?;
                create()
            }
            other => other,
        }
        .map(fs::File::from)
    }

    /// Opens the temporary file again, past the page cache; `None` where the
    /// file system has no such way.
    pub(super) fn open_direct(&self, name: &OsStr, same_as: &fs::File) -> Option<fs::File> {
        let flags = OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::DIRECT | OFlags::CLOEXEC;
        let direct = rustix::fs::openat(&self.folder, name, flags, Mode::empty()).ok()?;
        let (own, other) = (
            rustix::fs::fstat(&direct).ok()?,
            rustix::fs::fstat(same_as).ok()?,
        );
        let same = own.st_ino == other.st_ino && own.st_dev == other.st_dev;
        same.then(|| direct.into())
    }

    /// Removes `name`, if it is there; says whether it was.
    ///
    /// # Errors
    ///
    /// Of the operating system.
    pub(super) fn remove(&self, name: &OsStr) -> Result<bool, Errno> {
        match rustix::fs::unlinkat(&self.folder, name, AtFlags::empty()) {
            Ok(()) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Makes names in the folder outlive a power cut.
    ///
    /// # Errors
    ///
    /// Of the operating system.
    pub(super) fn sync(&self) -> Result<(), Errno> {
        if self.in_memory {
            return Ok(());
        }
        rustix::fs::fsync(&self.folder)
    }
}

/// Checks that the file system in which `temporary` was written is still there,
/// by the mark of its device: a volume that is not mounted, or another in its
/// place, shows an empty folder. A file that is there is what it is, whichever
/// number its device has now.
///
/// # Errors
///
/// [`Failure`] with `BG_E_VOLUME_CHANGED`, for now.
pub(super) fn check_volume(temporary: &Path, device: u32) -> Result<(), Failure> {
    if rustix::fs::lstat(temporary).err() != Some(Errno::NOENT) {
        return Ok(());
    }
    let mut folders = temporary.ancestors().skip(1);
    let now = folders.find_map(|folder| rustix::fs::stat(folder).ok());
    if now.is_none_or(|now| device_mark(now.st_dev) == device) {
        return Ok(());
    }
    Err(Failure::for_now(
        ErrorContext::LocalFile,
        Hresult::BG_E_VOLUME_CHANGED,
        format!(
            "{}: the file system that holds the temporary file is not mounted",
            temporary.display()
        ),
    )
    .at(Phase::LocalFile))
}

/// A mark of the number of a device.
fn device_mark(device: u64) -> u32 {
    let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
    (major << 20) ^ minor
}

/// `statfs` types of tmpfs and ramfs.
const IN_MEMORY: [i64; 2] = [0x0102_1994, 0x8584_58F6];
