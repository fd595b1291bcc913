//! Files that nobody but the service may read.

use std::fs::File;
use std::fs::Metadata;
use std::fs::OpenOptions;
use std::io;
use std::io::Read as _;
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::path::PathBuf;

/// Why a secret is not read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SecretFileError {
    /// The system does not let us.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What it says.
        #[source]
        source: io::Error,
    },
    /// Others may read it, or write to it.
    #[error(
        "{path} has mode {mode:04o}: no more than 0640 is allowed, because it holds a secret \
         (chmod 0600 {path})"
    )]
    Open {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// It is a folder, a pipe or the like.
    #[error("{path} is no regular file")]
    NoFile {
        /// What was named.
        path: PathBuf,
    },
    /// It cannot be what it should be.
    #[error("{path} has more than {limit} octets")]
    TooLong {
        /// The file.
        path: PathBuf,
        /// Octets that are allowed.
        limit: u64,
    },
}

/// Reads a file of at most `limit` octets whose mode is 0640 or stricter. The
/// mode is that of the file that was opened, not of the name.
///
/// # Errors
///
/// [`SecretFileError`].
pub(crate) fn read_secret(path: &Path, limit: u64) -> Result<(Vec<u8>, Metadata), SecretFileError> {
    let failed = |source| SecretFileError::Read {
        path: path.to_owned(),
        source,
    };
    let file = File::open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    if !metadata.is_file() {
        return Err(SecretFileError::NoFile {
            path: path.to_owned(),
        });
    }
    let mode = metadata.permissions().mode() & 0o777;
    if mode & !0o640 & 0o077 != 0 {
        return Err(SecretFileError::Open {
            path: path.to_owned(),
            mode,
        });
    }
    let mut octets = Vec::new();
    file.take(limit + 1)
        .read_to_end(&mut octets)
        .map_err(failed)?;
    if u64::try_from(octets.len()).unwrap_or(u64::MAX) > limit {
        return Err(SecretFileError::TooLong {
            path: path.to_owned(),
            limit,
        });
    }
    Ok((octets, metadata))
}

/// What a new file gets: permission bits, and user and group.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ownership {
    /// Permission bits.
    pub(crate) mode: u32,
    /// User and group; none: those of the process.
    pub(crate) owner: Option<(u32, u32)>,
}

/// Puts `octets` at `path`, whole or not at all and durable, in place of what
/// is there. The folder must exist.
///
/// # Errors
///
/// What the system says; the old file is then still there.
pub(crate) fn replace_file(path: &Path, octets: &[u8], ownership: Ownership) -> io::Result<()> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        Some(_) | None => Path::new("."),
    };
    let new = folder.join(format!(".new.{}", uuid::Uuid::new_v4().simple()));
    let written = (|| {
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&new)?;
        let own = file.metadata()?;
        if let Some((user, group)) = ownership.owner
            && (own.uid(), own.gid()) != (user, group)
        {
            std::os::unix::fs::fchown(&file, Some(user), Some(group))?;
        }
        file.set_permissions(std::fs::Permissions::from_mode(ownership.mode))?;
        file.write_all(octets)?;
        file.sync_all()?;
        std::fs::rename(&new, path)?;
        File::open(folder)?.sync_all()
    })();
    if written.is_err() {
        // It may be gone already; the first error is the one to report.
        let _ = std::fs::remove_file(&new);
    }
    written
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;

    use super::*;

    #[test]
    fn a_secret_that_others_may_read_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("secret");
        std::fs::write(&path, b"x").expect("a file");
        for (mode, is_fine) in [
            (0o600, true),
            (0o640, true),
            (0o400, true),
            (0o644, false),
            (0o660, false),
            (0o601, false),
        ] {
            std::fs::set_permissions(&path, Permissions::from_mode(mode)).expect("a mode");
            assert_eq!(read_secret(&path, 9).is_ok(), is_fine, "{mode:o}");
        }
    }

    #[test]
    fn a_folder_or_a_long_file_is_no_secret() {
        let folder = tempfile::tempdir().expect("a folder");
        let error = read_secret(folder.path(), 9).expect_err("a folder");
        assert!(matches!(error, SecretFileError::NoFile { .. }), "{error}");
        let path = folder.path().join("secret");
        std::fs::write(&path, b"0123456789").expect("a file");
        std::fs::set_permissions(&path, Permissions::from_mode(0o600)).expect("a mode");
        let error = read_secret(&path, 9).expect_err("too long");
        assert!(matches!(error, SecretFileError::TooLong { .. }), "{error}");
    }
}
