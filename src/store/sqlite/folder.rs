//! The folder of a store: private, local, and of one process at a time.

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::store::Error;

/// Makes the folder if it is not there, and takes it for this process for as
/// long as the file that is given back is open.
///
/// # Errors
///
/// [`Error::Refused`] when another process has it or it lies on a network
/// file system, [`Error::Unavailable`] when it cannot be made or read.
pub(super) fn claim(folder: &Path) -> Result<fs::File, Error> {
    let unavailable =
        |error: io::Error| Error::Unavailable(format!("{}: {error}", folder.display()));
    let refused = |what: &str| Error::Refused(format!("{}: {what}", folder.display()));
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(unavailable)?;
    let status = rustix::fs::statfs(folder).map_err(|error| unavailable(error.into()))?;
    // The width of the field differs by platform; the magic numbers have 32
    // bits.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "only the low 32 bits say which file system it is"
    )]
    let magic = status.f_type as u32;
    if let Some((_, name)) = NETWORK_FILE_SYSTEMS.iter().find(|row| row.0 == magic) {
        return Err(refused(&format!(
            "lies on a network file system ({name}); a local disk is needed"
        )));
    }
    make_private(folder, 0o700).map_err(unavailable)?;
    let lock = fs::OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(folder.join(LOCK))
        .map_err(unavailable)?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(fs::TryLockError::WouldBlock) => Err(refused("another process has it open")),
        Err(fs::TryLockError::Error(error)) => Err(unavailable(error)),
    }
}

/// Makes an empty file that only this account can read, or takes the rights of
/// others to the one that is there. `SQLite` gives its log the same mode.
pub(super) fn make_private_file(path: &Path) -> Result<(), Error> {
    fs::OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(path)
        .and_then(|_| make_private(path, 0o600))
        .and_then(|()| sync_names(path))
        .map_err(|error| Error::Unavailable(format!("{}: {error}", path.display())))
}

/// Makes the names of the file and of its folder survive a power loss; the
/// database syncs its content only.
fn sync_names(path: &Path) -> io::Result<()> {
    for folder in path.ancestors().skip(1).take(2) {
        let folder = if folder.as_os_str().is_empty() {
            Path::new(".")
        } else {
            folder
        };
        fs::File::open(folder)?.sync_all()?;
    }
    Ok(())
}

fn make_private(path: &Path, mode: u32) -> io::Result<()> {
    let rights_of_others = fs::metadata(path)?.permissions().mode() & 0o077;
    if rights_of_others != 0 {
        fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
    }
    Ok(())
}

const LOCK: &str = "lock";

/// `statfs(2)`. FUSE is not among them: container hosts put local disks behind
/// it.
const NETWORK_FILE_SYSTEMS: &[(u32, &str)] = &[
    (0x0000_517B, "SMB"),
    (0x0000_564C, "NCP"),
    (0x0000_6969, "NFS"),
    (0x00C3_6400, "Ceph"),
    (0x0102_1997, "9P"),
    (0x0116_1970, "GFS2"),
    (0x0BD0_0BD0, "Lustre"),
    (0x4750_4653, "GPFS"),
    (0x5346_414F, "AFS"),
    (0x6B41_4653, "AFS"),
    (0x7375_7245, "Coda"),
    (0x7461_636F, "OCFS2"),
    (0xFE53_4D42, "SMB2"),
    (0xFF53_4D42, "CIFS"),
];
