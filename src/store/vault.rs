//! Keeps secrets unreadable in whatever the store writes.
//!
//! AES-256-GCM with a random nonce for each sealing; what is sealed is bound
//! to its job and its purpose, so that it opens nowhere else. The key lies in
//! a file of its own, never beside the data it protects in a backup.

use std::fmt;
use std::fs;
use std::io;
use std::io::Read;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use aws_lc_rs::aead::AES_256_GCM;
use aws_lc_rs::aead::Aad;
use aws_lc_rs::aead::NONCE_LEN;
use aws_lc_rs::aead::Nonce;
use aws_lc_rs::aead::RandomizedNonceKey;
use zeroize::Zeroizing;

use super::Error;
use crate::bits::JobId;

/// The key under which secrets lie in the store.
pub(crate) struct Vault {
    key: RandomizedNonceKey,
}

/// What a sealed secret is; it opens as nothing else.
#[derive(Clone, Copy, Debug)]
pub(super) enum Purpose {
    /// A user name and password: target and scheme by their numbers.
    Credentials { target: u8, scheme: u8 },
    /// The query of a file's remote URL: the file's place.
    Query(u32),
    /// The value by which a store knows its key.
    KeyCheck,
}

impl Vault {
    /// Reads the key file at `path`: 32 octets that nobody else can read.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] when there is no such file, others may read it or
    /// write to it, or it holds anything else than a key.
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        let refused = |what: &str| Error::Refused(format!("key file {}: {what}", path.display()));
        let mut file = fs::File::open(path).map_err(|error| refused(&error.to_string()))?;
        let metadata = file
            .metadata()
            .map_err(|error| refused(&error.to_string()))?;
        if !metadata.is_file() {
            return Err(refused("not a regular file"));
        }
        let mode = metadata.permissions().mode() & 0o7777;
        if mode & FORBIDDEN_MODE != 0 {
            return Err(refused(&format!(
                "mode {mode:04o} lets others read or change it; set it to 0600"
            )));
        }
        // One octet of room more than a key: a longer file must not pass.
        let mut octets = Zeroizing::new([0; KEY_LEN + 1]);
        let mut filled = 0;
        while filled < octets.len() {
            match file.read(&mut octets[filled..]) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(refused(&error.to_string())),
            }
        }
        if filled != KEY_LEN {
            return Err(refused("a key has exactly 32 octets"));
        }
        Self::from_key(&octets[..KEY_LEN]).ok_or_else(|| refused("not a key"))
    }

    /// Reads the key file at `path`, after making one if there is none and
    /// the store that is to lie in the folder `store` does not exist yet: a
    /// lost key is never replaced in silence.
    ///
    /// # Errors
    ///
    /// As for [`Vault::open`], and [`Error::Refused`] when the file cannot be
    /// made.
    pub(crate) fn create_or_open(path: &Path, store: &Path) -> Result<Self, Error> {
        if !super::Sqlite::exists(store) && !path.exists() {
            create(path)
                .map_err(|error| Error::Refused(format!("key file {}: {error}", path.display())))?;
        }
        Self::open(path)
    }

    /// The vault with this key of 32 octets.
    fn from_key(octets: &[u8]) -> Option<Self> {
        RandomizedNonceKey::new(&AES_256_GCM, octets)
            .ok()
            .map(|key| Self { key })
    }

    /// A vault for tests.
    #[cfg(test)]
    pub(crate) fn for_test(octet: u8) -> Self {
        Self::from_key(&[octet; KEY_LEN]).expect("a key has 32 octets")
    }

    /// Seals `secret` for `job`: nonce, then ciphertext, then tag.
    pub(super) fn seal(
        &self,
        job: JobId,
        purpose: Purpose,
        secret: &[u8],
    ) -> Result<Vec<u8>, Error> {
        let mut sealed = Zeroizing::new(Vec::with_capacity(secret.len() + NONCE_LEN + TAG_LEN));
        sealed.extend_from_slice(secret);
        let nonce = self
            .key
            .seal_in_place_append_tag(Aad::from(bound_to(job, purpose)), &mut *sealed)
            .map_err(|_| Error::Unavailable("a secret could not be encrypted".to_owned()))?;
        let mut out = Vec::with_capacity(sealed.len() + NONCE_LEN);
        out.extend_from_slice(nonce.as_ref());
        out.extend_from_slice(&sealed);
        Ok(out)
    }

    /// Opens what was sealed for the same job and purpose.
    ///
    /// # Errors
    ///
    /// [`Error::Damaged`] when it was not sealed so under this key.
    pub(super) fn unseal(
        &self,
        job: JobId,
        purpose: Purpose,
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, Error> {
        let damaged = || Error::Damaged(format!("a secret of job {job} cannot be decrypted"));
        let (nonce, rest) = sealed.split_at_checked(NONCE_LEN).ok_or_else(damaged)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| damaged())?;
        let mut secret = Zeroizing::new(rest.to_vec());
        let length = self
            .key
            .open_in_place(nonce, Aad::from(bound_to(job, purpose)), &mut secret)
            .map_err(|_| damaged())?
            .len();
        secret.truncate(length);
        Ok(secret)
    }
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Vault(…)")
    }
}

/// The associated data: job, kind of secret, and its place.
fn bound_to(job: JobId, purpose: Purpose) -> [u8; 21] {
    let mut data = [0; 21];
    data[..16].copy_from_slice(&job.to_octets());
    match purpose {
        Purpose::Credentials { target, scheme } => {
            data[16] = 1;
            data[17] = target;
            data[18] = scheme;
        }
        Purpose::Query(index) => {
            data[16] = 2;
            data[17..].copy_from_slice(&index.to_be_bytes());
        }
        Purpose::KeyCheck => data[16] = 3,
    }
    data
}

/// Makes a key file that is whole when it appears.
fn create(path: &Path) -> io::Result<()> {
    let mut key = Zeroizing::new([0; KEY_LEN]);
    aws_lc_rs::rand::fill(&mut *key).map_err(|_| io::Error::other("no random octets"))?;
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let new = folder.join(name);
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&new)?;
    file.write_all(&*key)?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    fs::File::open(folder)?.sync_all()
}

const KEY_LEN: usize = 32;

const TAG_LEN: usize = 16;

/// Nobody else may have any right, the group no more than to read: a systemd
/// credential shows its access list there.
const FORBIDDEN_MODE: u32 = 0o037;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_opens_for_its_job_and_purpose_only() {
        let vault = Vault::for_test(1);
        let (job, other) = (JobId::new(), JobId::new());
        let sealed = vault
            .seal(job, Purpose::Query(7), b"sig=abc")
            .expect("sealed");
        assert_eq!(
            vault
                .unseal(job, Purpose::Query(7), &sealed)
                .expect("opens")
                .as_slice(),
            b"sig=abc"
        );
        assert!(vault.unseal(other, Purpose::Query(7), &sealed).is_err());
        assert!(vault.unseal(job, Purpose::Query(8), &sealed).is_err());
        assert!(vault.unseal(job, Purpose::KeyCheck, &sealed).is_err());
        assert!(
            Vault::for_test(2)
                .unseal(job, Purpose::Query(7), &sealed)
                .is_err()
        );
        assert!(vault.unseal(job, Purpose::Query(7), &sealed[..5]).is_err());
    }

    #[test]
    fn a_key_file_that_others_can_read_is_refused_with_its_mode() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("key");
        let store = folder.path().join("store");
        Vault::create_or_open(&path, &store).expect("made");
        let mode = fs::metadata(&path).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("set");
        let error = Vault::open(&path).expect_err("refused").to_string();
        assert!(error.contains("0644") && error.contains("0600"), "{error}");
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("key");
        assert!(matches!(Vault::open(&path), Err(Error::Refused(_))));
        for length in [0, 31, 33, 4_096] {
            let _ = fs::remove_file(&path);
            fs::OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(&path)
                .and_then(|mut file| file.write_all(&vec![7; length]))
                .expect("written");
            assert!(
                matches!(Vault::open(&path), Err(Error::Refused(_))),
                "{length}"
            );
        }
    }
}
