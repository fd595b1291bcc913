//! The three messages ([MS-NLMP] 2.2.1).

use super::av_pairs::AvPairs;
use super::av_pairs::CHANNEL_BINDINGS;
use super::av_pairs::FLAGS;
use super::flags::Flags;

/// What the client begins with; its names say nothing that counts.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Negotiate {
    pub(super) flags: Flags,
}

/// The server's answer.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Challenge {
    pub(super) flags: Flags,
    /// `ServerChallenge`.
    pub(super) nonce: [u8; 8],
    /// In UTF-16.
    pub(super) target_name: Vec<u8>,
    pub(super) target_info: AvPairs,
}

/// The client's proof.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Authenticate {
    pub(super) flags: Flags,
    pub(super) domain: String,
    pub(super) user: String,
    pub(super) response: Response,
    /// `EncryptedRandomSessionKey`, where one is agreed on.
    pub(super) session_key: Option<[u8; 16]>,
    /// Where the message integrity code stands, if there is room for one.
    pub(super) mic_at: Option<usize>,
}

/// `NTLMv2_RESPONSE` (2.2.2.8).
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Response {
    /// `NTProofStr`.
    pub(super) proof: [u8; 16],
    /// What it proves, as it came: `temp` of 3.3.2.
    pub(super) proved: Vec<u8>,
    /// When the client answered, in units of 100 ns since 1601.
    pub(super) time: u64,
    /// Does the client say that there is a message integrity code?
    pub(super) announces_mic: bool,
    /// The hash of the channel that it names.
    pub(super) channel: Option<[u8; 16]>,
}

/// Why a token is no message that we take.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum MessageError {
    /// It is something else.
    #[error("no NTLM message")]
    NotNtlm,
    /// It is another message than the one that is due.
    #[error("an NTLM message out of turn")]
    OutOfTurn,
    /// A part of it lies beyond its end.
    #[error("an NTLM message that is cut")]
    Cut,
    /// Nobody needs so much.
    #[error("the {0} of an NTLM message is too long")]
    TooLong(&'static str),
    /// A name is no UTF-16.
    #[error("a name in an NTLM message is no UTF-16")]
    Name,
    /// The client cannot do what is needed.
    #[error("the client has no extended session security")]
    Weak,
    /// The server cannot do what is needed.
    #[error("the server has no UTF-16, no AV pairs or no extended session security")]
    WeakServer,
    /// There is no response of version 2.
    #[error("the response of an NTLM message is not one of NTLMv2")]
    NotVersion2,
    /// Nobody logs on.
    #[error("an anonymous NTLM log-on")]
    Anonymous,
}

impl Negotiate {
    /// Reads one.
    ///
    /// # Errors
    ///
    /// [`MessageError`].
    pub(super) fn decode(octets: &[u8]) -> Result<Self, MessageError> {
        check_head(octets, NEGOTIATE, MAX_NEGOTIATE)?;
        let flags = Flags(u32::from_le_bytes(array_at(octets, 12)?));
        Ok(Self { flags })
    }
}

impl Challenge {
    /// The message.
    pub(super) fn encode(&self) -> Vec<u8> {
        let target_info = self.target_info.encode();
        let mut octets = head(CHALLENGE);
        let mut payload_at = CHALLENGE_PAYLOAD;
        push_field(&mut octets, &mut payload_at, &self.target_name);
        octets.extend_from_slice(&self.flags.0.to_le_bytes());
        octets.extend_from_slice(&self.nonce);
        octets.extend_from_slice(&[0; 8]);
        push_field(&mut octets, &mut payload_at, &target_info);
        octets.extend_from_slice(&VERSION);
        octets.extend_from_slice(&self.target_name);
        octets.extend_from_slice(&target_info);
        octets
    }
}

impl Challenge {
    /// Reads one.
    ///
    /// # Errors
    ///
    /// [`MessageError`].
    pub(super) fn decode(octets: &[u8]) -> Result<Self, MessageError> {
        check_head(octets, CHALLENGE, MAX_CHALLENGE)?;
        Ok(Self {
            flags: Flags(u32::from_le_bytes(array_at(octets, 20)?)),
            nonce: array_at(octets, 24)?,
            target_name: field(octets, 12)?.to_vec(),
            target_info: AvPairs::decode(field(octets, 40)?)?,
        })
    }
}

impl Authenticate {
    /// Reads one.
    ///
    /// # Errors
    ///
    /// [`MessageError`].
    pub(super) fn decode(octets: &[u8]) -> Result<Self, MessageError> {
        check_head(octets, AUTHENTICATE, MAX_AUTHENTICATE)?;
        let flags = Flags(u32::from_le_bytes(array_at(octets, 60)?));
        if !flags.has(Flags::EXTENDED_SESSION_SECURITY) {
            return Err(MessageError::Weak);
        }
        let user = name(octets, 36, flags)?;
        if user.is_empty() || flags.has(Flags::ANONYMOUS) {
            return Err(MessageError::Anonymous);
        }
        let session_key = if flags.exchanges_key() {
            let key = field(octets, 52)?;
            Some(key.try_into().map_err(|_| MessageError::Cut)?)
        } else {
            None
        };
        Ok(Self {
            flags,
            domain: name(octets, 28, flags)?,
            user,
            response: Response::decode(field(octets, 20)?)?,
            session_key,
            mic_at: mic_at(octets)?,
        })
    }
}

impl Response {
    fn decode(octets: &[u8]) -> Result<Self, MessageError> {
        let (proof, proved) = octets
            .split_first_chunk()
            .ok_or(MessageError::NotVersion2)?;
        // A response of version 1 has 24 octets.
        if proved.len() < RESPONSE_HEAD || proved[..2] != [1, 1] {
            return Err(MessageError::NotVersion2);
        }
        let pairs = AvPairs::decode(&proved[RESPONSE_HEAD..])?;
        let flags = pairs.value(FLAGS).map(|value| array_at(value, 0));
        let flags = flags.transpose()?.map_or(0, u32::from_le_bytes);
        let channel = pairs.value(CHANNEL_BINDINGS).map(<[u8; 16]>::try_from);
        Ok(Self {
            proof: *proof,
            proved: proved.to_vec(),
            time: u64::from_le_bytes(array_at(proved, 8)?),
            announces_mic: flags & HAS_MIC != 0,
            channel: channel.transpose().map_err(|_| MessageError::Cut)?,
        })
    }
}

/// Where the message integrity code stands: before the payload, behind a
/// version that some clients leave out.
fn mic_at(octets: &[u8]) -> Result<Option<usize>, MessageError> {
    let mut payload_at = usize::MAX;
    for at in AUTHENTICATE_FIELDS {
        let (length, offset) = extent(octets, at)?;
        if length > 0 {
            payload_at = payload_at.min(offset);
        }
    }
    let at = match payload_at {
        ..80 => return Ok(None),
        80..88 => 64,
        88.. => 72,
    };
    array_at::<16>(octets, at)?;
    Ok(Some(at))
}

/// Reads the name whose length and place stand at `at`.
fn name(octets: &[u8], at: usize, flags: Flags) -> Result<String, MessageError> {
    let octets = field(octets, at)?;
    if octets.len() > MAX_NAME {
        return Err(MessageError::TooLong("name"));
    }
    if !flags.has(Flags::UNICODE) {
        // Nobody says which code page; beyond ASCII it is a guess.
        return Ok(match std::str::from_utf8(octets) {
            Ok(text) => text.to_owned(),
            Err(_) => octets.iter().map(|octet| char::from(*octet)).collect(),
        });
    }
    let (units, []) = octets.as_chunks::<2>() else {
        return Err(MessageError::Name);
    };
    char::decode_utf16(units.iter().map(|unit| u16::from_le_bytes(*unit)))
        .collect::<Result<_, _>>()
        .map_err(|_| MessageError::Name)
}

/// The part of the payload whose length and place stand at `at`.
fn field(octets: &[u8], at: usize) -> Result<&[u8], MessageError> {
    let (length, offset) = extent(octets, at)?;
    if length == 0 {
        // Some clients leave any number in place of the offset then.
        return Ok(&[]);
    }
    let end = offset.checked_add(length).ok_or(MessageError::Cut)?;
    octets.get(offset..end).ok_or(MessageError::Cut)
}

/// Length and place of a part of the payload.
fn extent(octets: &[u8], at: usize) -> Result<(usize, usize), MessageError> {
    let length = u16::from_le_bytes(array_at(octets, at)?);
    let offset = u32::from_le_bytes(array_at(octets, at + 4)?);
    let offset = usize::try_from(offset).map_err(|_| MessageError::Cut)?;
    Ok((usize::from(length), offset))
}

fn array_at<const LENGTH: usize>(octets: &[u8], at: usize) -> Result<[u8; LENGTH], MessageError> {
    let octets = octets.get(at..).and_then(<[u8]>::first_chunk);
    octets.copied().ok_or(MessageError::Cut)
}

/// Holds a token to its length, its signature and its type.
fn check_head(octets: &[u8], kind: u32, limit: usize) -> Result<(), MessageError> {
    if octets.len() > limit {
        return Err(MessageError::TooLong("body"));
    }
    if !octets.starts_with(SIGNATURE) {
        return Err(MessageError::NotNtlm);
    }
    if u32::from_le_bytes(array_at(octets, 8)?) != kind {
        return Err(MessageError::OutOfTurn);
    }
    Ok(())
}

/// Signature and type.
pub(super) fn head(kind: u32) -> Vec<u8> {
    [SIGNATURE, &kind.to_le_bytes()].concat()
}

/// Adds length, length and place of `value`, and moves the place behind it.
pub(super) fn push_field(octets: &mut Vec<u8>, payload_at: &mut usize, value: &[u8]) {
    let length = u16::try_from(value.len()).expect("the parts of a message are short");
    let offset = u32::try_from(*payload_at).expect("and so is the message");
    octets.extend_from_slice(&length.to_le_bytes());
    octets.extend_from_slice(&length.to_le_bytes());
    octets.extend_from_slice(&offset.to_le_bytes());
    *payload_at += value.len();
}

/// A name as it stands in a message.
pub(super) fn utf16(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

const SIGNATURE: &[u8] = b"NTLMSSP\0";

/// `MessageType` of NEGOTIATE.
pub(super) const NEGOTIATE: u32 = 1;

/// `MessageType` of CHALLENGE.
pub(super) const CHALLENGE: u32 = 2;

/// `MessageType` of AUTHENTICATE.
pub(super) const AUTHENTICATE: u32 = 3;

/// Windows 6.1 and revision 15 of `NTLM` (2.2.2.10), as Samba says it: the
/// revision is the one that counts, and our own version is nobody's business.
pub(super) const VERSION: [u8; 8] = [6, 1, 0, 0, 0, 0, 0, 15];

/// Where the payload of a CHALLENGE begins.
const CHALLENGE_PAYLOAD: usize = 56;

/// Where lengths and places stand in an AUTHENTICATE.
const AUTHENTICATE_FIELDS: [usize; 6] = [12, 20, 28, 36, 44, 52];

/// Octets of a response before its AV pairs.
const RESPONSE_HEAD: usize = 28;

/// In `MsvAvFlags`: there is a message integrity code.
pub(super) const HAS_MIC: u32 = 2;

/// Octets of a NEGOTIATE, which is kept until the client answers: there are two
/// names in it, in the code page of the client.
const MAX_NEGOTIATE: usize = 1_024;

/// Octets of a CHALLENGE: names of server and domain.
const MAX_CHALLENGE: usize = 16 * 1_024;

/// Octets of an AUTHENTICATE: a response can name a service, and that is all
/// that is long in it.
const MAX_AUTHENTICATE: usize = 16 * 1_024;

/// Octets of a name: Windows takes 256 characters.
const MAX_NAME: usize = 512;
