//! What is computed from a password ([MS-NLMP] 3.3.2 and 3.4.5).

use hmac::Hmac;
use hmac::KeyInit as _;
use hmac::Mac as _;
use md4::Md4;
use md5::Digest as _;
use md5::Md5;
use rc4::Rc4;
use rc4::StreamCipher as _;
use zeroize::Zeroize as _;
use zeroize::Zeroizing;

use super::flags::Flags;

/// `NTOWFv1` of a password: as good as the password itself, to `NTLM`.
pub(crate) type NtHash = Zeroizing<[u8; 16]>;

/// A key or a secret hash.
pub(super) type Key = Zeroizing<[u8; 16]>;

/// Who sends what a key protects.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Sender {
    Client,
    Server,
}

/// The hash of a password.
pub(crate) fn nt_hash(password: &str) -> NtHash {
    let mut hash = Md4::new();
    for unit in password.encode_utf16() {
        let mut octets = unit.to_le_bytes();
        hash.update(octets);
        octets.zeroize();
    }
    Zeroizing::new(hash.finalize().into())
}

/// `NTOWFv2`, of a name in upper case.
pub(super) fn response_key(nt_hash: &NtHash, upper_user: &str, domain: &str) -> Key {
    let units = upper_user.encode_utf16().chain(domain.encode_utf16());
    let octets: Vec<u8> = units.flat_map(u16::to_le_bytes).collect();
    hmac_md5(nt_hash, &[&octets])
}

/// The user in upper case, in two readings: Windows maps a character to one
/// character, Python `ß` to `SS`.
pub(super) fn upper_case(user: &str) -> [String; 2] {
    let one_to_one = user.chars().map(|char| {
        let mut upper = char.to_uppercase();
        match (upper.next(), upper.next()) {
            (Some(upper), None) => upper,
            (Some(_), Some(_)) | (None, _) => char,
        }
    });
    [one_to_one.collect(), user.to_uppercase()]
}

/// `NTProofStr`.
pub(super) fn proof(response_key: &Key, nonce: [u8; 8], proved: &[u8]) -> Key {
    hmac_md5(response_key, &[&nonce, proved])
}

/// `SessionBaseKey`, which with `NTLMv2` is `KeyExchangeKey` too (3.4.5.1).
pub(super) fn session_base_key(response_key: &Key, proof: &[u8; 16]) -> Key {
    hmac_md5(response_key, &[proof])
}

/// Encrypts or decrypts a session key (`RC4K`).
pub(super) fn exchanged(key_exchange_key: &Key, session_key: &[u8; 16]) -> Key {
    let mut key = Zeroizing::new(*session_key);
    cipher(key_exchange_key).apply_keystream(&mut *key);
    key
}

/// The message integrity code of an exchange; that in the last message is zero.
pub(super) fn integrity_code(session_key: &Key, messages: [&[u8]; 3]) -> Key {
    hmac_md5(session_key, &messages)
}

/// `SIGNKEY`, with extended session security.
pub(super) fn sign_key(session_key: &Key, sender: Sender) -> Key {
    let purpose: &[u8] = match sender {
        Sender::Client => b"session key to client-to-server signing key magic constant\0",
        Sender::Server => b"session key to server-to-client signing key magic constant\0",
    };
    md5(&[&**session_key, purpose])
}

/// `SEALKEY`, with extended session security.
pub(super) fn seal_key(flags: Flags, session_key: &Key, sender: Sender) -> Key {
    let strength = if flags.has(Flags::KEY_128) {
        16
    } else if flags.has(Flags::KEY_56) {
        7
    } else {
        5
    };
    let purpose: &[u8] = match sender {
        Sender::Client => b"session key to client-to-server sealing key magic constant\0",
        Sender::Server => b"session key to server-to-client sealing key magic constant\0",
    };
    md5(&[&session_key[..strength], purpose])
}

/// The hash by which a client names a channel: MD5 of a
/// `gss_channel_bindings_struct` without addresses (2.2.2.1, RFC 4121 4.1.1.2).
pub(super) fn channel_hash(application_data: &[u8]) -> [u8; 16] {
    let length = u32::try_from(application_data.len()).expect("a prefix and a hash");
    *md5(&[&[0; 16], &length.to_le_bytes(), application_data])
}

/// The stream of a key.
pub(super) fn cipher(key: &Key) -> Rc4 {
    Rc4::new_from_slice(&**key).expect("a stream takes keys of 16 octets")
}

/// Of all parts, one behind another.
pub(super) fn hmac_md5(key: &Key, parts: &[&[u8]]) -> Key {
    let mut mac = Hmac::<Md5>::new_from_slice(&**key).expect("a MAC takes keys of any length");
    for part in parts {
        mac.update(part);
    }
    Zeroizing::new(mac.finalize().into_bytes().into())
}

fn md5(parts: &[&[u8]]) -> Key {
    let mut hash = Md5::new();
    for part in parts {
        hash.update(part);
    }
    Zeroizing::new(hash.finalize().into())
}
