//! Where files land: from a temporary file beside the destination to the
//! destination itself.
//!
//! Every path is resolved when it is used, below its write root, with
//! `openat2(RESOLVE_BENEATH)`: neither `..` nor a symbolic link nor a race
//! leads out of the root. A relative link that stays inside is followed for
//! folders; absolute ones are refused even when they point inside, as the
//! kernel does. The last part of a path is never followed: a link there is
//! replaced. All calls block.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::ffi::OsString;
use std::fs;
use std::os::fd::AsRawFd;
use std::os::fd::OwnedFd;
use std::path::Component;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;

use rustix::fs::Gid;
use rustix::fs::Mode;
use rustix::fs::OFlags;
use rustix::fs::ResolveFlags;
use rustix::fs::Uid;
use rustix::io::Errno;

use super::Failure;
use super::account;
use super::spot::Spot;
use super::windows_path;
use crate::bits::ErrorContext;
use crate::bits::Hresult;
use crate::bits::JobId;
use crate::config::FilesSettings;

/// The fences for files and the looks of finished ones. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Landing {
    roots: Arc<[PathBuf]>,
    /// Only below these, of what lies below the roots; none: everywhere there.
    narrowed: Option<Arc<[PathBuf]>>,
    drives: Arc<BTreeMap<char, PathBuf>>,
    protected: Arc<[PathBuf]>,
    /// How the roots are spoken of.
    words: &'static RootWords,
    pub(super) owner: Option<Uid>,
    pub(super) group: Option<Gid>,
    pub(super) mode: Mode,
    directory_mode: Mode,
}

/// How people know the roots: the same fence stands around destinations and
/// around the sources of uploads.
#[derive(Debug)]
struct RootWords {
    root: &'static str,
    setting: &'static str,
}

const WRITE: RootWords = RootWords {
    root: "write root",
    setting: "files.write_roots",
};

const READ: RootWords = RootWords {
    root: "read root",
    setting: "files.read_roots",
};

/// What to do about folders that are not there.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Missing {
    /// Make them.
    Create,
    /// Say so.
    Report,
}

impl Landing {
    /// Checks the settings.
    ///
    /// # Errors
    ///
    /// [`Failure`] that names the setting that cannot be used.
    pub(super) fn new(settings: &FilesSettings, protected: &[PathBuf]) -> Result<Self, Failure> {
        Self::below(&settings.write_roots, &WRITE, settings, protected)
    }

    /// The same for files that are read: below the read roots.
    ///
    /// # Errors
    ///
    /// [`Failure`] that names the setting that cannot be used.
    pub(super) fn for_sources(
        settings: &FilesSettings,
        protected: &[PathBuf],
    ) -> Result<Self, Failure> {
        Self::below(&settings.read_roots, &READ, settings, protected)
    }

    fn below(
        all_roots: &[PathBuf],
        words: &'static RootWords,
        settings: &FilesSettings,
        protected: &[PathBuf],
    ) -> Result<Self, Failure> {
        let mut roots = Vec::new();
        for root in all_roots {
            let key = words.setting;
            let root = plain(root).map_err(|why| Failure::setting(key, why))?;
            open_root(&root)
                .map_err(|error| Failure::setting(key, format!("{}: {error}", root.display())))?;
            roots.push(root);
        }
        // The innermost root is the one that counts.
        roots.sort_by_key(|root| std::cmp::Reverse(root.components().count()));
        let mut drives = BTreeMap::new();
        for (letter, folder) in &settings.drives {
            let key = format!("files.drives.{letter}");
            if !letter.is_ascii_alphabetic() {
                return Err(Failure::setting(&key, "a drive is one letter from A to Z"));
            }
            let folder = plain(folder).map_err(|why| Failure::setting(&key, why))?;
            let mut any = settings.write_roots.iter().chain(&settings.read_roots);
            if !any.any(|root| folder.starts_with(root)) {
                return Err(Failure::setting(
                    &key,
                    format!("{} lies below no write root or read root", folder.display()),
                ));
            }
            if drives.insert(letter.to_ascii_uppercase(), folder).is_some() {
                return Err(Failure::setting(&key, "the drive is there twice"));
            }
        }
        let mut all_protected = Vec::new();
        for path in protected {
            all_protected.extend(fs::canonicalize(path).ok());
            all_protected.extend(std::path::absolute(path).ok());
        }
        Ok(Self {
            roots: roots.into(),
            narrowed: None,
            drives: Arc::new(drives),
            protected: all_protected.into(),
            words,
            owner: account::user(settings.owner.as_deref())
                .map_err(|why| Failure::setting("files.owner", why))?,
            group: account::group(settings.group.as_deref())
                .map_err(|why| Failure::setting("files.group", why))?,
            mode: mode("files.mode", &settings.mode)?,
            directory_mode: mode("files.directory_mode", &settings.directory_mode)?,
        })
    }

    /// The same below these folders only, each of which is or lies below a root;
    /// none: everywhere below the roots.
    pub(super) fn within(&self, narrowed: Option<Arc<[PathBuf]>>) -> Self {
        Self {
            narrowed,
            ..self.clone()
        }
    }

    /// The native destination for what a client wrote, checked as far as it
    /// can be now; it is checked again at each use.
    ///
    /// # Errors
    ///
    /// [`Failure`] with the reason.
    pub(super) fn destination(&self, text: &str) -> Result<PathBuf, Failure> {
        let path = self.path(text)?;
        match self.spot(&path, Missing::Report) {
            Ok(spot) => spot.check_replaceable()?,
            Err(failure)
                if [
                    Hresult::ERROR_PATH_NOT_FOUND,
                    Hresult::BG_E_DESTINATION_LOCKED,
                ]
                .contains(&failure.code) => {}
            Err(failure) => return Err(failure),
        }
        Ok(path)
    }

    /// The native path that what a client wrote maps to.
    ///
    /// # Errors
    ///
    /// [`Failure`] when it is no absolute path of a file.
    pub(super) fn path(&self, text: &str) -> Result<PathBuf, Failure> {
        let invalid = |why: String| Failure::local(Hresult::ERROR_INVALID_NAME, why);
        if windows_path::is_windows_form(text) {
            windows_path::map(text, &self.drives).map_err(invalid)
        } else if text.starts_with('/') {
            native(text).map_err(|why| invalid(why.to_owned()))
        } else {
            Err(Failure::local(
                Hresult::E_INVALIDARG,
                "the local name is not an absolute path",
            ))
        }
    }

    /// Opens the folder of `path`.
    ///
    /// # Errors
    ///
    /// [`Failure`]: `ERROR_PATH_NOT_FOUND` when a folder is not there (and
    /// shall not be made), `E_ACCESSDENIED` when the path leads out of its
    /// root or into what is protected.
    pub(super) fn spot(&self, path: &Path, missing: Missing) -> Result<Spot, Failure> {
        let denied = |why: &str| {
            Failure::local(
                Hresult::E_ACCESSDENIED,
                format!("{}: {why}", path.display()),
            )
        };
        let RootWords {
            root: word,
            setting,
        } = self.words;
        let is_above = |root: &&PathBuf| path.starts_with(root);
        let root = self
            .roots
            .iter()
            .find(is_above)
            .ok_or_else(|| denied(&format!("lies below no {word} (setting {setting})")))?;
        let start = match &self.narrowed {
            None => root,
            Some(narrowed) => {
                // The outermost: whatever is below it is allowed.
                let above = narrowed.iter().filter(is_above);
                let own = above.min_by_key(|own| own.components().count());
                let own = own.ok_or_else(|| {
                    denied(&format!(
                        "lies below no {word} of the account (setting access.roles)"
                    ))
                })?;
                if root.starts_with(own) { root } else { own }
            }
        };
        let below = path.strip_prefix(start).unwrap_or(Path::new(""));
        let name = below
            .file_name()
            .ok_or_else(|| denied(&format!("is a {word} itself")))?;
        check_lengths(path)?;
        if is_temporary_name(name) {
            return Err(denied("the name is kept for temporary files"));
        }
        if self.is_protected(path) {
            return Err(denied("belongs to the service itself"));
        }
        let parent = below.parent().unwrap_or(Path::new(""));
        let failed = |doing: &str, error: Errno| {
            if matches!(error, Errno::XDEV | Errno::LOOP) {
                return denied(&format!("leads out of its {word}"));
            }
            Failure::from_local_error(&format!("{}: {doing}", path.display()), &error.into())
        };
        let open = |from: &OwnedFd, below: &Path| match beneath(from, below) {
            Ok(folder) => Ok(folder),
            Err(Errno::NOENT) if missing == Missing::Create => self
                .create(from, below, &failed)?
                .ok_or_else(|| denied("belongs to the service itself")),
            Err(Errno::NOENT) if self.would_be_protected(from, below) => {
                Err(denied("belongs to the service itself"))
            }
            Err(error) => Err(failed("opening the folder", error)),
        };
        let mut opened = open_root(root).map_err(|error| match error {
            // It was there at the start: what was mounted may come back.
            Errno::NOENT | Errno::NOTDIR => Failure::for_now(
                ErrorContext::LocalFile,
                Hresult::BG_E_DESTINATION_LOCKED,
                format!("{}: the {word} has gone: {error}", root.display()),
            ),
            error => failed(&format!("opening the {word}"), error),
        })?;
        // INVARIANT: a folder of the account's is opened by itself, so that no
        // link below it leads to another place below the same root.
        if start != root {
            let own = start.strip_prefix(root).unwrap_or(Path::new(""));
            opened = open(&opened, own)?;
        }
        let folder = open(&opened, parent)?;
        if self.holds_protected(&folder, name) {
            return Err(denied("belongs to the service itself"));
        }
        Ok(Spot::new(folder, name))
    }

    /// Makes the folders of `parent` that are missing below `root`; `None`
    /// when they would lie in what is protected.
    fn create(
        &self,
        root: &OwnedFd,
        parent: &Path,
        failed: &dyn Fn(&str, Errno) -> Failure,
    ) -> Result<Option<OwnedFd>, Failure> {
        let mut at = PathBuf::new();
        let mut folder = beneath(root, Path::new(""))
            .map_err(|error| failed("opening the write root", error))?;
        for component in parent.components() {
            let Component::Normal(name) = component else {
                return Err(failed("opening the folder", Errno::XDEV));
            };
            if self.holds_protected(&folder, name) {
                return Ok(None);
            }
            at.push(name);
            let next = match beneath(root, &at) {
                Err(Errno::NOENT) => {
                    match rustix::fs::mkdirat(&folder, name, Mode::RWXU) {
                        Ok(()) => {
                            let made = open_folder_at(&folder, name)
                                .map_err(|error| failed("opening the new folder", error))?;
                            self.dress(&made)
                                .map_err(|error| failed("setting up the new folder", error))?;
                            // The name must outlive a power cut, or the file in
                            // it would not.
                            rustix::fs::fsync(&folder)
                                .map_err(|error| failed("syncing the folder", error))?;
                        }
                        Err(Errno::EXIST) => {}
                        Err(error) => return Err(failed("making the folder", error)),
                    }
                    beneath(root, &at)
                }
                other => other,
            };
            folder = next.map_err(|error| failed("opening the folder", error))?;
        }
        Ok(Some(folder))
    }

    /// Would folders of `below` that are missing lie in what is protected?
    fn would_be_protected(&self, root: &OwnedFd, below: &Path) -> bool {
        below
            .ancestors()
            .zip(below.ancestors().skip(1))
            .find_map(|(missing, parent)| Some((missing, beneath(root, parent).ok()?)))
            .is_some_and(|(missing, folder)| {
                let name = missing.file_name().unwrap_or_default();
                self.holds_protected(&folder, name)
            })
    }

    /// Gives a new folder its owner and mode.
    fn dress(&self, folder: &OwnedFd) -> Result<(), Errno> {
        if self.owner.is_some() || self.group.is_some() {
            rustix::fs::fchown(folder, self.owner, self.group)?;
        }
        rustix::fs::fchmod(folder, self.directory_mode)
    }

    fn is_protected(&self, path: &Path) -> bool {
        self.protected.iter().any(|own| path.starts_with(own))
    }

    /// Is `name` in `folder` protected, whichever way led there? Also when it
    /// cannot be said.
    fn holds_protected(&self, folder: &OwnedFd, name: &OsStr) -> bool {
        if self.protected.is_empty() {
            return false;
        }
        fs::read_link(format!("/proc/self/fd/{}", folder.as_raw_fd()))
            .map_or(true, |real| self.is_protected(&real.join(name)))
    }

    /// May something in `folder`, or below, be protected?
    pub(super) fn has_protected_below(&self, folder: &OwnedFd, path: &Path) -> bool {
        if self.protected.is_empty() {
            return false;
        }
        let Ok(real) = fs::read_link(format!("/proc/self/fd/{}", folder.as_raw_fd())) else {
            return true;
        };
        let is_below = |own: &PathBuf| own.starts_with(&real) || own.starts_with(path);
        self.protected.iter().any(is_below)
    }
}

/// Can `name`, the last part of `path`, be a destination in any folder that
/// holds nothing protected?
pub(super) fn is_plain_name(path: &Path, name: &OsStr) -> bool {
    path.as_os_str().len() <= MAX_PATH && name.len() <= MAX_NAME && !is_temporary_name(name)
}

/// The name of the temporary file of a job's file; depends on nothing else,
/// so that it is found again after a crash.
pub(super) fn temporary_name(job: JobId, index: u32) -> OsString {
    let number = u128::from_be_bytes(job.to_octets());
    OsString::from(format!("{PREFIX}{number:032x}-{index}{SUFFIX}"))
}

fn is_temporary_name(name: &OsStr) -> bool {
    let name = name.as_encoded_bytes();
    name.starts_with(PREFIX.as_bytes()) && name.ends_with(SUFFIX.as_bytes())
}

fn native(text: &str) -> Result<PathBuf, &'static str> {
    if text.chars().any(char::is_control) {
        return Err("the local name contains a control character");
    }
    if text.ends_with('/') {
        return Err("the local name ends in /: it names a folder");
    }
    if text.split('/').any(|part| part == "." || part == "..") {
        return Err("the local name contains . or ..");
    }
    Ok(PathBuf::from(text).components().collect())
}

/// An absolute path of the settings without `.` and `..`.
fn plain(path: &Path) -> Result<PathBuf, String> {
    let odd = |part| matches!(part, Component::ParentDir | Component::CurDir);
    if !path.is_absolute() || path.components().any(odd) {
        return Err(format!(
            "{} must be an absolute path without . and ..",
            path.display()
        ));
    }
    Ok(path.components().collect())
}

fn check_lengths(path: &Path) -> Result<(), Failure> {
    let too_long = path.as_os_str().len() > MAX_PATH
        || path
            .components()
            .any(|part| part.as_os_str().len() > MAX_NAME);
    if too_long {
        return Err(Failure::local(
            Hresult::ERROR_INVALID_NAME,
            "the local name is too long: at most 4,000 octets, 255 for each part",
        ));
    }
    Ok(())
}

fn open_root(root: &Path) -> Result<OwnedFd, Errno> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(root, flags, Mode::empty())
}

fn open_folder_at(folder: &OwnedFd, name: &OsStr) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(folder, name, flags, Mode::empty())
}

/// Opens the folder `below` of `root`, wherever its links lead as long as
/// that is inside.
fn beneath(root: &OwnedFd, below: &Path) -> Result<OwnedFd, Errno> {
    let below = if below.as_os_str().is_empty() {
        Path::new(".")
    } else {
        below
    };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    for _ in 1..RACES {
        // The kernel asks for another try when a rename came in between.
        match rustix::fs::openat2(root, below, flags, Mode::empty(), resolve) {
            Err(Errno::AGAIN | Errno::INTR) => {}
            other => return other,
        }
    }
    Err(Errno::AGAIN)
}

fn mode(key: &str, text: &str) -> Result<Mode, Failure> {
    u32::from_str_radix(text, 8)
        .ok()
        .filter(|bits| *bits <= 0o777)
        .map(Mode::from_raw_mode)
        .ok_or_else(|| Failure::setting(key, "must be an octal mode from 0000 to 0777"))
}

const PREFIX: &str = ".bitsd-";
const SUFFIX: &str = ".tmp";

/// Octets; leaves room for the temporary name below `PATH_MAX`.
const MAX_PATH: usize = 4_000;
/// Octets; `NAME_MAX` of the common file systems.
const MAX_NAME: usize = 255;

/// Tries at a path under which others rename.
const RACES: u32 = 32;

#[cfg(test)]
mod tests;
