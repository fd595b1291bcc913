//! Where the octets of uploads come from: regular files below a read root.
//!
//! The fence is that of [`super::landing`]: every path is resolved when it is used.
//! The last part of a path is no link. All calls block, but never on a pipe or a
//! device.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;

use rustix::fs::FileType;
use rustix::fs::Mode;
use rustix::fs::OFlags;
use rustix::io::Errno;

use super::Failure;
use super::landing::Landing;
use super::landing::Missing;
use crate::bits::Hresult;
use crate::bits::Phase;
use crate::bits::SourceStamp;
use crate::config::FilesSettings;

/// The fence around the sources of uploads. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Sources(Landing);

/// An open source.
#[derive(Clone, Debug)]
pub(super) struct Source {
    /// The file.
    pub(super) file: Arc<fs::File>,
    /// As it was when it was opened.
    pub(super) stamp: SourceStamp,
}

impl Sources {
    /// Checks the settings; `protected` is never read.
    ///
    /// # Errors
    ///
    /// [`Failure`] that names the setting that cannot be used.
    pub(super) fn new(settings: &FilesSettings, protected: &[PathBuf]) -> Result<Self, Failure> {
        Landing::for_sources(settings, protected).map(Self)
    }

    /// The same below these folders only; none: everywhere below the roots.
    pub(super) fn within(&self, narrowed: Option<Arc<[PathBuf]>>) -> Self {
        Self(self.0.within(narrowed))
    }

    /// The native source for what a client wrote. It must be there.
    ///
    /// # Errors
    ///
    /// [`Failure`] with the reason.
    pub(super) fn path(&self, text: &str) -> Result<PathBuf, Failure> {
        let path = self.0.path(text)?;
        self.open(&path)?;
        Ok(path)
    }

    /// Opens the file at `path`.
    ///
    /// # Errors
    ///
    /// [`Failure`]: `ERROR_FILE_NOT_FOUND`, `ERROR_PATH_NOT_FOUND` when it is not
    /// there; `E_ACCESSDENIED` when it is no regular file, lies outside the roots
    /// or in what is protected.
    pub(super) fn open(&self, path: &Path) -> Result<Source, Failure> {
        self.open_unmarked(path)
            .map_err(|failure| failure.at(Phase::LocalFile))
    }

    fn open_unmarked(&self, path: &Path) -> Result<Source, Failure> {
        let spot = self.0.spot(path, Missing::Report)?;
        let shown = path.display();
        let denied = |what: &str| {
            Failure::local(
                Hresult::E_ACCESSDENIED,
                format!("the source {shown} is {what}"),
            )
        };
        let failed = |error: Errno| {
            Failure::from_local_error(&format!("opening the source {shown}"), &error.into())
        };
        // A pipe without a writer, or a device, would hold the open up.
        let flags =
            OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let opened = match rustix::fs::openat(&spot.folder, &spot.name, flags, Mode::empty()) {
            Ok(opened) => opened,
            Err(Errno::NOENT) => {
                return Err(Failure::local(
                    Hresult::ERROR_FILE_NOT_FOUND,
                    format!("the source {shown} is not there"),
                ));
            }
            Err(Errno::LOOP) => return Err(denied("a link")),
            Err(Errno::NXIO | Errno::NODEV) => return Err(denied("neither a file nor a folder")),
            Err(error) => return Err(failed(error)),
        };
        let stat = rustix::fs::fstat(&opened).map_err(failed)?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => {}
            FileType::Directory => return Err(denied("a folder")),
            _ => return Err(denied("neither a file nor a folder")),
        }
        let file = fs::File::from(opened);
        let stamp = stamp(&file)?;
        Ok(Source {
            file: Arc::new(file),
            stamp,
        })
    }
}

impl Source {
    /// Is the file still as it was at `stamp`?
    ///
    /// # Errors
    ///
    /// [`Failure`] with `BG_E_LOCAL_FILE_CHANGED` when it is not.
    pub(super) fn check(&self, stamp: SourceStamp) -> Result<(), Failure> {
        if self::stamp(&self.file)? == stamp {
            return Ok(());
        }
        Err(Failure::local(
            Hresult::BG_E_LOCAL_FILE_CHANGED,
            "the source has another size or time than when the upload began",
        )
        .at(Phase::LocalFile))
    }
}

fn stamp(file: &fs::File) -> Result<SourceStamp, Failure> {
    let metadata = file.metadata().map_err(|error| {
        Failure::from_local_error("reading the source", &error).at(Phase::LocalFile)
    })?;
    Ok(SourceStamp {
        size: metadata.len(),
        modified_ns: metadata
            .mtime()
            .saturating_mul(1_000_000_000)
            .saturating_add(metadata.mtime_nsec()),
        inode: metadata.ino(),
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::os::unix::fs::symlink;

    use super::*;

    struct Ground {
        folder: tempfile::TempDir,
        sources: Sources,
    }

    impl Ground {
        fn new() -> Self {
            let folder = tempfile::tempdir().expect("folder");
            let at = |name: &str| folder.path().join(name);
            for name in ["read", "read/own", "read/other", "read/state", "outside"] {
                fs::create_dir(at(name)).expect("made");
            }
            for name in ["read/own/a", "read/other/b", "read/state/jobs", "outside/c"] {
                fs::write(at(name), "octets").expect("written");
            }
            fs::write(at("read/key"), "secret").expect("written");
            let settings = FilesSettings {
                read_roots: vec![at("read")],
                drives: BTreeMap::from([('D', at("read/own"))]),
                ..FilesSettings::default()
            };
            let protected = [at("read/state"), at("read/key")];
            let sources = Sources::new(&settings, &protected).expect("usable");
            Self { folder, sources }
        }

        fn at(&self, name: &str) -> PathBuf {
            self.folder.path().join(name)
        }

        fn refused(&self, sources: &Sources, name: &str) -> Failure {
            let path = self.at(name);
            let by_text = sources.path(&path.display().to_string()).expect_err(name);
            let by_path = sources.open(&path).expect_err(name);
            assert_eq!(by_text.code, by_path.code, "{name}");
            by_path
        }
    }

    #[test]
    fn sources_are_regular_files_below_a_read_root() {
        let ground = Ground::new();
        assert_eq!(
            ground.sources.path("d:\\a").expect("inside"),
            ground.at("read/own/a")
        );
        let source = ground
            .sources
            .open(&ground.at("read/own/a"))
            .expect("there");
        assert_eq!(source.stamp.size, 6);
        symlink("a", ground.at("read/own/link")).expect("linked");
        symlink("../outside", ground.at("read/out")).expect("linked");
        let (pipe, mode) = (ground.at("read/pipe"), Mode::RUSR | Mode::WUSR);
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, FileType::Fifo, mode, 0).expect("made");
        for (name, words) in [
            (
                "outside/c",
                "lies below no read root (setting files.read_roots)",
            ),
            ("read", "is a read root itself"),
            ("read/own", "is a folder"),
            ("read/own/link", "is a link"),
            ("read/out/c", "leads out of its read root"),
            ("read/pipe", "neither a file nor a folder"),
            ("read/state/jobs", "belongs to the service itself"),
            ("read/key", "belongs to the service itself"),
        ] {
            let failure = ground.refused(&ground.sources, name);
            assert_eq!(failure.code, Hresult::E_ACCESSDENIED, "{name}: {failure}");
            assert!(failure.detail.contains(words), "{failure}");
        }
        let missing = ground.refused(&ground.sources, "read/own/none");
        assert_eq!(missing.code, Hresult::ERROR_FILE_NOT_FOUND);
        let missing = ground.refused(&ground.sources, "read/none/none");
        assert_eq!(missing.code, Hresult::ERROR_PATH_NOT_FOUND);
    }

    #[test]
    fn without_a_read_root_nothing_is_read() {
        let ground = Ground::new();
        let settings = FilesSettings {
            write_roots: vec![ground.at("read")],
            ..FilesSettings::default()
        };
        let none = Sources::new(&settings, &[]).expect("usable");
        let failure = ground.refused(&none, "read/own/a");
        assert_eq!(failure.code, Hresult::E_ACCESSDENIED);
    }

    #[test]
    fn who_has_folders_of_his_own_reads_nothing_else() {
        let ground = Ground::new();
        symlink("../other", ground.at("read/own/more")).expect("linked");
        let own = ground.sources.within(Some([ground.at("read/own")].into()));
        assert!(own.open(&ground.at("read/own/a")).is_ok());
        for name in ["read/other/b", "read/own/more/b"] {
            let failure = ground.refused(&own, name);
            assert_eq!(failure.code, Hresult::E_ACCESSDENIED, "{failure}");
        }
    }

    #[test]
    fn a_source_that_changed_is_seen() {
        let ground = Ground::new();
        let path = ground.at("read/own/a");
        let before = ground.sources.open(&path).expect("there");
        assert!(before.check(before.stamp).is_ok());
        fs::write(&path, "more octets").expect("written");
        let failure = before.check(before.stamp).expect_err("changed");
        assert_eq!(failure.code, Hresult::BG_E_LOCAL_FILE_CHANGED);
        let now = ground.sources.open(&path).expect("there");
        assert!(now.check(before.stamp).is_err());
        // The same octets in another file are another source.
        let copy = ground.at("read/own/copy");
        fs::copy(&path, &copy).expect("copied");
        fs::rename(&copy, &path).expect("renamed");
        let replaced = ground.sources.open(&path).expect("there");
        assert!(replaced.check(now.stamp).is_err());
    }
}
