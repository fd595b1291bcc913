//! Keeps secrets unreadable in whatever is written to disk.
//!
//! AES-256-GCM with a random nonce for each sealing; what is sealed is bound
//! to its owner and its purpose, so that it opens nowhere else. The key lies
//! in a file of its own, never beside the data it protects in a backup.

use std::fmt;
use std::fs;
use std::io;
use std::io::Read;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::fs::fchown;
use std::path::Path;
use std::path::PathBuf;

use aws_lc_rs::aead::AES_256_GCM;
use aws_lc_rs::aead::Aad;
use aws_lc_rs::aead::NONCE_LEN;
use aws_lc_rs::aead::Nonce;
use aws_lc_rs::aead::RandomizedNonceKey;
use zeroize::Zeroizing;

/// The key under which secrets lie on disk.
pub(crate) struct Vault {
    key: RandomizedNonceKey,
}

/// What a sealed secret belongs to and what it is for; it opens as nothing
/// else. No two purposes write the same octets.
pub(crate) trait Purpose {
    /// The associated data.
    fn octets(&self) -> Vec<u8>;
}

/// Why there is no key, or no secret.
#[derive(Debug, thiserror::Error)]
pub(crate) enum VaultError {
    /// The key file is missing, open to others, or no key.
    #[error("key file {path}: {reason}")]
    KeyFile {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// Nothing can be sealed.
    #[error("a secret could not be encrypted")]
    NotSealed,
    /// It was not sealed so under this key.
    #[error("the secret cannot be decrypted")]
    NotOurs,
}

impl Vault {
    /// Reads the key file at `path`: 32 octets that nobody else can read.
    ///
    /// # Errors
    ///
    /// [`VaultError::KeyFile`] when there is no such file, others may read it
    /// or write to it, or it holds anything else than a key.
    pub(crate) fn open(path: &Path) -> Result<Self, VaultError> {
        let refused = |what: &str| VaultError::KeyFile {
            path: path.to_owned(),
            reason: what.to_owned(),
        };
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
    /// nothing `is_kept` yet that was sealed: a lost key is never replaced in
    /// silence.
    ///
    /// # Errors
    ///
    /// As for [`Vault::open`], and when the file cannot be made.
    pub(crate) fn create_or_open(path: &Path, is_kept: bool) -> Result<Self, VaultError> {
        if !is_kept && !path.exists() {
            create(path).map_err(|error| VaultError::KeyFile {
                path: path.to_owned(),
                reason: error.to_string(),
            })?;
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

    /// Seals `secret`: nonce, then ciphertext, then tag.
    ///
    /// # Errors
    ///
    /// [`VaultError::NotSealed`].
    pub(crate) fn seal(
        &self,
        purpose: &impl Purpose,
        secret: &[u8],
    ) -> Result<Vec<u8>, VaultError> {
        let mut sealed = Zeroizing::new(Vec::with_capacity(secret.len() + NONCE_LEN + TAG_LEN));
        sealed.extend_from_slice(secret);
        let nonce = self
            .key
            .seal_in_place_append_tag(Aad::from(purpose.octets()), &mut *sealed)
            .map_err(|_| VaultError::NotSealed)?;
        let mut out = Vec::with_capacity(sealed.len() + NONCE_LEN);
        out.extend_from_slice(nonce.as_ref());
        out.extend_from_slice(&sealed);
        Ok(out)
    }

    /// Opens what was sealed for the same purpose.
    ///
    /// # Errors
    ///
    /// [`VaultError::NotOurs`] when it was not sealed so under this key.
    pub(crate) fn unseal(
        &self,
        purpose: &impl Purpose,
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, VaultError> {
        let (nonce, rest) = sealed
            .split_at_checked(NONCE_LEN)
            .ok_or(VaultError::NotOurs)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| VaultError::NotOurs)?;
        let mut secret = Zeroizing::new(rest.to_vec());
        let length = self
            .key
            .open_in_place(nonce, Aad::from(purpose.octets()), &mut secret)
            .map_err(|_| VaultError::NotOurs)?
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
    // Who makes it before the first start is not the account of the service.
    let (own, like) = (file.metadata()?, fs::metadata(folder)?);
    if (own.uid(), own.gid()) != (like.uid(), like.gid()) {
        fchown(&file, Some(like.uid()), Some(like.gid()))?;
    }
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

    struct Of(&'static str);

    impl Purpose for Of {
        fn octets(&self) -> Vec<u8> {
            self.0.as_bytes().to_vec()
        }
    }

    #[test]
    fn a_secret_opens_for_its_purpose_only() {
        let vault = Vault::for_test(1);
        let sealed = vault.seal(&Of("one"), b"sig=abc").expect("sealed");
        let opened = vault.unseal(&Of("one"), &sealed).expect("opens");
        assert_eq!(opened.as_slice(), b"sig=abc");
        assert!(vault.unseal(&Of("two"), &sealed).is_err());
        assert!(Vault::for_test(2).unseal(&Of("one"), &sealed).is_err());
        assert!(vault.unseal(&Of("one"), &sealed[..5]).is_err());
    }

    #[test]
    fn a_lost_key_is_not_replaced() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("key");
        assert!(Vault::create_or_open(&path, true).is_err());
        assert!(!path.exists());
        Vault::create_or_open(&path, false).expect("made");
        Vault::create_or_open(&path, true).expect("opened");
    }

    #[test]
    fn a_key_file_that_others_can_read_is_refused_with_its_mode() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("key");
        Vault::create_or_open(&path, false).expect("made");
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
        assert!(matches!(
            Vault::open(&path),
            Err(VaultError::KeyFile { .. })
        ));
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
                matches!(Vault::open(&path), Err(VaultError::KeyFile { .. })),
                "{length}"
            );
        }
    }
}
