//! The security context: messages are signed and sealed with extended session
//! security ([MS-NLMP] 3.4).

use rc4::Rc4;
use rc4::StreamCipher as _;
use subtle::ConstantTimeEq as _;

use super::flags::Flags;
use super::keys::Key;
use super::keys::Sender;
use super::keys::cipher;
use super::keys::hmac_md5;
use super::keys::seal_key;
use super::keys::sign_key;
use crate::mechanism::Parts;
use crate::mechanism::Seal;
use crate::mechanism::SealError;
use crate::mechanism::Sealed;
use crate::mechanism::SecurityContext;
use crate::mechanism::Within;

/// The keys of one log-on.
pub(super) struct Context {
    outgoing: Direction,
    incoming: Direction,
    may_seal: bool,
    signing: Signing,
}

/// What a signature without a message is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Signing {
    /// One by the keys.
    ByKey,
    /// Always the same: who did not ask for signatures sends that, and expects
    /// it (Windows, gss-ntlmssp, pyspnego). It proves nothing, as with any
    /// mechanism that does not sign.
    Constant,
    /// There is none.
    None,
}

/// One way.
struct Direction {
    sign_key: Key,
    seal_key: Key,
    cipher: Rc4,
    /// Does the cipher go over the checksum as well?
    seals_checksum: bool,
    /// Of the next message; none after the last possible one, or an error.
    sequence: Option<u32>,
}

impl Context {
    /// That of the server, or of a client in tests. Nothing is sealed but with
    /// 128 bit, and what both sides agreed to seal.
    pub(super) fn new(flags: Flags, session_key: &Key, own: Sender) -> Self {
        let other = match own {
            Sender::Client => Sender::Server,
            Sender::Server => Sender::Client,
        };
        let signing = if flags.has(Flags::SIGN) || flags.has(Flags::SEAL) {
            Signing::ByKey
        } else if flags.has(Flags::ALWAYS_SIGN) {
            Signing::Constant
        } else {
            Signing::None
        };
        Self {
            outgoing: Direction::new(flags, session_key, own),
            incoming: Direction::new(flags, session_key, other),
            may_seal: flags.has(Flags::SEAL | Flags::KEY_128),
            signing,
        }
    }

    fn check_may_seal(&self) -> Result<(), SealError> {
        if self.may_seal {
            Ok(())
        } else {
            Err(SealError)
        }
    }
}

impl Direction {
    fn new(flags: Flags, session_key: &Key, sender: Sender) -> Self {
        let seal_key = seal_key(flags, session_key, sender);
        Self {
            sign_key: sign_key(session_key, sender),
            cipher: cipher(&seal_key),
            seal_key,
            seals_checksum: flags.has(Flags::KEY_EXCHANGE),
            sequence: Some(0),
        }
    }

    /// The number of the next message. There is no other until
    /// [`Direction::go_on`] says that all went well.
    fn take_sequence(&mut self) -> Result<u32, SealError> {
        self.sequence.take().ok_or(SealError)
    }

    fn go_on(&mut self, sequence: u32) {
        self.sequence = sequence.checked_add(1);
    }

    /// Signs what was negotiated: with the first number, and with a stream of
    /// its own, since that of the messages begins after it as if new ([MS-SPNG]
    /// 3.3.5.1). Later the stream would repeat what has been sent.
    fn sign_alone(&mut self, data: &[u8]) -> Result<[u8; 16], SealError> {
        let sequence = self.take_sequence()?;
        if sequence != 0 {
            return Err(SealError);
        }
        let mut alone = cipher(&self.seal_key);
        let checksum = checksum(&self.sign_key, sequence, data);
        let signature = signature(
            checksum,
            self.seals_checksum.then_some(&mut alone),
            sequence,
        );
        self.go_on(sequence);
        Ok(signature)
    }

    /// The signature of the message that the cipher has just gone over.
    fn sign(&mut self, plain: &[u8], sequence: u32) -> [u8; 16] {
        let checksum = checksum(&self.sign_key, sequence, plain);
        let cipher = self.seals_checksum.then_some(&mut self.cipher);
        signature(checksum, cipher, sequence)
    }
}

impl Seal for Context {
    fn mechanism(&self) -> Option<Within> {
        Some(Within::Ntlm)
    }

    fn seal(&mut self, plain: &[u8]) -> Result<Sealed, SealError> {
        self.check_may_seal()?;
        let sequence = self.outgoing.take_sequence()?;
        let mut octets = vec![0; SIGNATURE + plain.len()];
        octets[SIGNATURE..].copy_from_slice(plain);
        self.outgoing
            .cipher
            .apply_keystream(&mut octets[SIGNATURE..]);
        let signature = self.outgoing.sign(plain, sequence);
        octets[..SIGNATURE].copy_from_slice(&signature);
        self.outgoing.go_on(sequence);
        Ok(Sealed {
            signature: 16,
            octets,
        })
    }

    fn open(&mut self, message: &[u8]) -> Result<Vec<u8>, SealError> {
        self.check_may_seal()?;
        let sequence = self.incoming.take_sequence()?;
        let (signature, sealed) = message.split_at_checked(SIGNATURE).ok_or(SealError)?;
        let mut plain = sealed.to_vec();
        self.incoming.cipher.apply_keystream(&mut plain);
        let expected = self.incoming.sign(&plain, sequence);
        if !bool::from(expected.ct_eq(signature)) {
            return Err(SealError);
        }
        self.incoming.go_on(sequence);
        Ok(plain)
    }

    fn parts(&self) -> Parts {
        Parts::Whole
    }
}

impl SecurityContext for Context {
    fn sign(&mut self, data: &[u8]) -> Result<Vec<u8>, SealError> {
        match self.signing {
            Signing::ByKey => Ok(self.outgoing.sign_alone(data)?.to_vec()),
            Signing::Constant => Ok(CONSTANT.to_vec()),
            Signing::None => Err(SealError),
        }
    }

    fn verify(&mut self, data: &[u8], signature: &[u8]) -> Result<(), SealError> {
        let expected = match self.signing {
            Signing::ByKey => self.incoming.sign_alone(data)?,
            Signing::Constant => CONSTANT,
            Signing::None => return Err(SealError),
        };
        if bool::from(expected.ct_eq(signature)) {
            return Ok(());
        }
        self.incoming.sequence = None;
        Err(SealError)
    }

    fn signs_by_key(&self) -> bool {
        self.signing == Signing::ByKey
    }
}

/// The checksum of a message.
fn checksum(sign_key: &Key, sequence: u32, plain: &[u8]) -> [u8; 8] {
    let mac = hmac_md5(sign_key, &[&sequence.to_le_bytes(), plain]);
    *mac.first_chunk().expect("a MAC has 16 octets")
}

/// `NTLMSSP_MESSAGE_SIGNATURE` (2.2.2.9.2).
fn signature(mut checksum: [u8; 8], cipher: Option<&mut Rc4>, sequence: u32) -> [u8; 16] {
    if let Some(cipher) = cipher {
        cipher.apply_keystream(&mut checksum);
    }
    let mut signature = CONSTANT;
    signature[4..12].copy_from_slice(&checksum);
    signature[12..].copy_from_slice(&sequence.to_le_bytes());
    signature
}

/// Octets of a signature.
const SIGNATURE: usize = 16;

/// The version, and nothing.
const CONSTANT: [u8; 16] = [1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
