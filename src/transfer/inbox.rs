//! A folder that takes in what others upload: the fences of downloads around a
//! place of its own.
//!
//! The octets of an upload lie in a hidden file beside the destination until
//! they are whole, as those of a download do. Folders that are missing are not
//! made. All calls block.

use std::ffi::OsString;
use std::fs;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::path::PathBuf;

use rustix::fs::AtFlags;
use rustix::fs::FileType;
use rustix::fs::Mode;
use rustix::fs::OFlags;
use rustix::fs::RenameFlags;
use rustix::io::Errno;

use super::Failure;
use super::landing::Landing;
use super::landing::Missing;
use super::landing::temporary_name;
use super::spot::Spot;
use crate::bits::JobId;
use crate::config::FilesSettings;

/// A folder that takes uploads in.
#[derive(Clone, Debug)]
pub(crate) struct Inbox {
    folder: PathBuf,
    landing: Landing,
}

/// A destination in an inbox, with the hidden files of one upload beside it.
#[derive(Debug)]
pub(crate) struct InboxSpot {
    spot: Spot,
    landing: Landing,
    data: OsString,
    reply: OsString,
}

/// One of the hidden files of an upload.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Hidden {
    /// The octets of the upload.
    Data,
    /// What answers it.
    Reply,
}

/// What stands at a name.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Standing {
    /// A regular file, or a link, which is never followed.
    File {
        /// Which one.
        inode: u64,
        /// Its octets.
        octets: u64,
    },
    /// A folder, a device and the like: never replaced.
    Other,
}

/// What came of putting an upload in its place.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Put {
    /// It is there.
    Done,
    /// Something else is, which may not be replaced.
    Taken,
    /// The octets are gone.
    Gone,
}

impl Inbox {
    /// A folder that takes uploads in, whose files get the looks of finished
    /// downloads. `protected` are files and folders of the service itself.
    ///
    /// # Errors
    ///
    /// [`Failure`] when the folder is not there, or when it holds something of
    /// the service or lies in it.
    pub(crate) fn new(
        folder: &Path,
        files: &FilesSettings,
        protected: &[PathBuf],
    ) -> Result<Self, Failure> {
        let refused = |why: String| {
            Failure::setting(
                "hosting.upload_folders",
                format!("{}: {why}", folder.display()),
            )
        };
        let real = fs::canonicalize(folder).map_err(|error| refused(error.to_string()))?;
        for own in protected {
            let both = [fs::canonicalize(own).ok(), std::path::absolute(own).ok()];
            for own in both.iter().flatten() {
                let overlaps = |folder: &Path| own.starts_with(folder) || folder.starts_with(own);
                if overlaps(&real) || overlaps(folder) {
                    return Err(refused(format!(
                        "overlaps with {}, which belongs to the service itself",
                        own.display()
                    )));
                }
            }
        }
        let settings = FilesSettings {
            write_roots: vec![folder.to_owned()],
            drives: std::collections::BTreeMap::new(),
            ..files.clone()
        };
        Ok(Self {
            folder: folder.to_owned(),
            landing: Landing::new(&settings, protected)?,
        })
    }

    /// Opens the folder of a destination: `target` is its path below the inbox,
    /// without `.` and `..`.
    ///
    /// # Errors
    ///
    /// [`Failure`]: `ERROR_PATH_NOT_FOUND` when a folder is not there,
    /// `ERROR_INVALID_NAME` when it is none, `E_ACCESSDENIED` when the path
    /// leads out or to what is kept for the service.
    pub(crate) fn spot(&self, target: &str, upload: JobId) -> Result<InboxSpot, Failure> {
        let spot = self
            .landing
            .spot(&self.folder.join(target), Missing::Report)?;
        Ok(InboxSpot {
            spot,
            landing: self.landing.clone(),
            data: temporary_name(upload, 0),
            reply: temporary_name(upload, 1),
        })
    }
}

impl InboxSpot {
    /// What stands at the destination.
    ///
    /// # Errors
    ///
    /// [`Failure`] of the file system.
    pub(crate) fn destination(&self) -> Result<Option<Standing>, Failure> {
        self.standing(&self.spot.name)
    }

    /// What stands where a hidden file should.
    ///
    /// # Errors
    ///
    /// [`Failure`] of the file system.
    pub(crate) fn hidden(&self, which: Hidden) -> Result<Option<Standing>, Failure> {
        self.standing(self.name(which))
    }

    /// Makes a hidden file anew, and its name outlive a power cut.
    ///
    /// # Errors
    ///
    /// [`Failure`] of the file system.
    pub(crate) fn create(&self, which: Hidden) -> Result<fs::File, Failure> {
        let made = self.spot.create_temporary(self.name(which));
        let made = made.map_err(failed("making the temporary file"))?;
        self.sync()?;
        Ok(made)
    }

    /// Opens the octets of the upload, to go on writing.
    ///
    /// # Errors
    ///
    /// [`Failure`] of the file system.
    pub(crate) fn open_data(&self) -> Result<Option<fs::File>, Failure> {
        let opened = self.spot.open_temporary(&self.data);
        opened.map_err(failed("opening the temporary file"))
    }

    /// Opens a hidden file to be read. The reply may be another account's, who
    /// made it as the application behind: a file with one name.
    ///
    /// # Errors
    ///
    /// [`Failure`] of the file system.
    pub(crate) fn read(&self, which: Hidden) -> Result<Option<fs::File>, Failure> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let name = self.name(which);
        let opened = match rustix::fs::openat(&self.spot.folder, name, flags, Mode::empty()) {
            Ok(opened) => opened,
            Err(Errno::NOENT | Errno::LOOP | Errno::NXIO) => return Ok(None),
            Err(error) => return Err(failed("opening a file of the upload")(error)),
        };
        let stat = rustix::fs::fstat(&opened).map_err(failed("reading a file of the upload"))?;
        let is_plain =
            FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile && stat.st_nlink == 1;
        Ok(is_plain.then(|| opened.into()))
    }

    /// Where a hidden file is, for the application behind.
    ///
    /// # Errors
    ///
    /// [`Failure`] of the file system.
    pub(crate) fn path(&self, which: Hidden) -> Result<PathBuf, Failure> {
        let link = format!("/proc/self/fd/{}", self.spot.folder.as_raw_fd());
        let folder = fs::read_link(link)
            .map_err(|error| Failure::from_local_error("reading the folder's name", &error))?;
        Ok(folder.join(self.name(which)))
    }

    /// Gives a whole file the owner and the mode of finished ones.
    ///
    /// # Errors
    ///
    /// [`Failure`] of the file system.
    pub(crate) fn dress(&self, file: &fs::File) -> Result<(), Failure> {
        let landing = &self.landing;
        rustix::fs::fchmod(file, landing.mode).map_err(failed("setting the mode"))?;
        // INVARIANT: the owner comes last; a file that is not ours any more is
        // not opened again.
        if landing.owner.is_some() || landing.group.is_some() {
            rustix::fs::fchown(file, landing.owner, landing.group)
                .map_err(failed("setting the owner"))?;
        }
        Ok(())
    }

    /// Puts the octets in their place; what is there is replaced if it
    /// `may_replace`.
    ///
    /// # Errors
    ///
    /// [`Failure`] of the file system.
    pub(crate) fn put(&self, may_replace: bool) -> Result<Put, Failure> {
        match (self.destination()?, may_replace) {
            (Some(Standing::Other), _) | (Some(Standing::File { .. }), false) => {
                return Ok(Put::Taken);
            }
            (Some(Standing::File { .. }) | None, _) => {}
        }
        match self.rename(may_replace) {
            Ok(()) => {}
            Err(Errno::EXIST | Errno::ISDIR) => return Ok(Put::Taken),
            Err(Errno::NOENT) => return Ok(Put::Gone),
            Err(error) => return Err(failed("putting the file in its place")(error)),
        }
        self.sync()?;
        Ok(Put::Done)
    }

    /// Removes a hidden file, if it is there.
    ///
    /// # Errors
    ///
    /// [`Failure`] of the file system.
    pub(crate) fn remove(&self, which: Hidden) -> Result<(), Failure> {
        let removed = self.spot.remove(self.name(which));
        removed.map_err(failed("removing a file of the upload"))?;
        Ok(())
    }

    fn rename(&self, may_replace: bool) -> Result<(), Errno> {
        let (folder, data, name) = (&self.spot.folder, &self.data, &self.spot.name);
        if may_replace {
            return rustix::fs::renameat(folder, data, folder, name);
        }
        match rustix::fs::renameat_with(folder, data, folder, name, RenameFlags::NOREPLACE) {
            // The file system knows no such rename; a second name never
            // replaces anything either.
            Err(Errno::INVAL | Errno::NOSYS) => {
                rustix::fs::linkat(folder, data, folder, name, AtFlags::empty())?;
                rustix::fs::unlinkat(folder, data, AtFlags::empty())
            }
            other => other,
        }
    }

    fn standing(&self, name: &std::ffi::OsStr) -> Result<Option<Standing>, Failure> {
        let stat = self.spot.stat(name).map_err(failed("reading a name"))?;
        Ok(
            stat.map(|stat| match FileType::from_raw_mode(stat.st_mode) {
                FileType::RegularFile | FileType::Symlink => Standing::File {
                    inode: stat.st_ino,
                    octets: u64::try_from(stat.st_size).unwrap_or(0),
                },
                FileType::Directory
                | FileType::Fifo
                | FileType::Socket
                | FileType::CharacterDevice
                | FileType::BlockDevice
                | FileType::Unknown => Standing::Other,
            }),
        )
    }

    fn sync(&self) -> Result<(), Failure> {
        self.spot.sync().map_err(failed("syncing the folder"))
    }

    fn name(&self, which: Hidden) -> &std::ffi::OsStr {
        match which {
            Hidden::Data => &self.data,
            Hidden::Reply => &self.reply,
        }
    }
}

fn failed(doing: &'static str) -> impl Fn(Errno) -> Failure {
    move |error| Failure::from_local_error(doing, &error.into())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::bits::Hresult;

    struct Ground {
        folder: tempfile::TempDir,
        inbox: Inbox,
    }

    fn ground() -> Ground {
        let folder = tempfile::tempdir().expect("folder");
        for name in ["in", "in/sub", "outside", "state"] {
            fs::create_dir(folder.path().join(name)).expect("made");
        }
        let protected = [folder.path().join("state")];
        let inbox = Inbox::new(
            &folder.path().join("in"),
            &FilesSettings::default(),
            &protected,
        );
        Ground {
            inbox: inbox.expect("usable"),
            folder,
        }
    }

    impl Ground {
        fn spot(&self, target: &str, upload: JobId) -> Result<InboxSpot, Failure> {
            self.inbox.spot(target, upload)
        }
    }

    #[test]
    fn a_folder_that_holds_or_is_held_by_the_service_is_refused() {
        let ground = ground();
        let at = |name: &str| ground.folder.path().join(name);
        fs::create_dir(at("state/below")).expect("made");
        symlink("state", at("alias")).expect("linked");
        let protected = [at("state")];
        for name in ["state", "state/below", "", "alias", "absent"] {
            let made = Inbox::new(&at(name), &FilesSettings::default(), &protected);
            assert!(made.is_err(), "{name}");
        }
    }

    #[test]
    fn targets_stay_inside_and_folders_are_not_made() {
        let ground = ground();
        symlink("../outside", ground.folder.path().join("in/out")).expect("linked");
        let code = |target: &str| ground.spot(target, JobId::new()).expect_err(target).code;
        assert!(ground.spot("sub/file", JobId::new()).is_ok());
        assert_eq!(code("absent/file"), Hresult::ERROR_PATH_NOT_FOUND);
        assert_eq!(code("out/file"), Hresult::E_ACCESSDENIED);
        assert_eq!(code("../state/file"), Hresult::E_ACCESSDENIED);
        assert_eq!(code(".bitsd-1-0.tmp"), Hresult::E_ACCESSDENIED);
        assert!(!ground.folder.path().join("in/absent").exists());
    }

    #[test]
    fn a_file_is_put_once_and_replaced_only_where_it_may_be() {
        let ground = ground();
        let put = |may_replace| {
            let spot = ground.spot("file", JobId::new()).expect("a spot");
            let file = spot.create(Hidden::Data).expect("made");
            spot.dress(&file).expect("dressed");
            (spot.put(may_replace).expect("tried"), spot)
        };
        assert_eq!(put(false).0, Put::Done);
        let (taken, spot) = put(false);
        assert_eq!(taken, Put::Taken);
        assert!(spot.hidden(Hidden::Data).expect("read").is_some());
        spot.remove(Hidden::Data).expect("removed");
        assert_eq!(spot.put(true).expect("tried"), Put::Gone);
        assert_eq!(put(true).0, Put::Done);
        fs::create_dir(ground.folder.path().join("in/folder")).expect("made");
        let spot = ground.spot("folder", JobId::new()).expect("a spot");
        let _data = spot.create(Hidden::Data).expect("made");
        assert_eq!(spot.put(true).expect("tried"), Put::Taken);
    }

    #[test]
    fn what_another_has_put_where_a_reply_belongs_is_not_read_through_links() {
        let ground = ground();
        let spot = ground.spot("file", JobId::new()).expect("a spot");
        assert!(spot.read(Hidden::Reply).expect("read").is_none());
        let path = spot.path(Hidden::Reply).expect("a path");
        symlink("/etc/passwd", &path).expect("linked");
        assert!(spot.read(Hidden::Reply).expect("read").is_none());
        fs::remove_file(&path).expect("removed");
        fs::write(&path, "x").expect("written");
        assert!(spot.read(Hidden::Reply).expect("read").is_some());
        fs::hard_link(&path, ground.folder.path().join("in/second")).expect("linked");
        assert!(spot.read(Hidden::Reply).expect("read").is_none());
    }
}
