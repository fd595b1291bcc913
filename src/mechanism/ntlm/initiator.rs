//! The client's side of an exchange ([MS-NLMP] 3.1.5).
//!
//! The response is that of version 2, whatever the server says; in place of an
//! `LM` response there are zeros (3.1.5.1.2).

use zeroize::Zeroizing;

use super::FileTime;
use super::av_pairs;
use super::av_pairs::AvPairs;
use super::flags::Flags;
use super::keys;
use super::keys::Key;
use super::keys::NtHash;
use super::keys::Sender;
use super::message::AUTHENTICATE;
use super::message::Challenge;
use super::message::HAS_MIC;
use super::message::MessageError;
use super::message::NEGOTIATE;
use super::message::VERSION;
use super::message::head;
use super::message::push_field;
use super::message::utf16;
use super::seal::Context;
use crate::mechanism::ChannelBinding;
use crate::mechanism::SecurityContext;

/// Somebody who logs on. Of his password only the hash is kept.
pub(crate) struct Initiator {
    domain: String,
    user: String,
    nt_hash: NtHash,
}

/// Where he logs on to.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    /// The name of the service: `HTTP/host`.
    pub(crate) service: String,
    /// The TLS connection, if there is one.
    pub(crate) channel: Option<ChannelBinding>,
}

/// What must be new for each exchange.
pub(crate) struct Fresh {
    /// `ClientChallenge`, at random.
    pub(crate) nonce: [u8; 8],
    /// `ExportedSessionKey`, at random.
    pub(crate) session_key: Zeroizing<[u8; 16]>,
    /// The time, for servers that do not tell theirs.
    pub(crate) now: FileTime,
}

impl Initiator {
    /// `user` of `domain`, which may be empty.
    pub(crate) fn new(domain: &str, user: &str, password: &str) -> Self {
        Self {
            domain: domain.to_owned(),
            user: user.to_owned(),
            nt_hash: keys::nt_hash(password),
        }
    }

    /// NEGOTIATE. It names nobody.
    pub(crate) fn negotiate() -> Vec<u8> {
        let mut octets = head(NEGOTIATE);
        octets.extend_from_slice(&ASKED.0.to_le_bytes());
        for _ in ["domain", "workstation"] {
            push_field(&mut octets, &mut { NEGOTIATE_PAYLOAD }, &[]);
        }
        octets.extend_from_slice(&VERSION);
        octets
    }

    /// AUTHENTICATE, in answer to a CHALLENGE, and the keys.
    ///
    /// # Errors
    ///
    /// [`MessageError`]: that is no CHALLENGE, or one of a server that is too
    /// weak.
    pub(crate) fn authenticate(
        &self,
        challenge: &[u8],
        target: &Target,
        fresh: &Fresh,
    ) -> Result<(Vec<u8>, Box<dyn SecurityContext>), MessageError> {
        let told = Challenge::decode(challenge)?;
        if !told.flags.has(NEEDED) {
            return Err(MessageError::WeakServer);
        }
        let flags = told.flags.common(ASKED);
        // Who tells his time gets a message integrity code (3.1.5.1.2).
        let time = told.target_info.value(av_pairs::TIMESTAMP);
        let time = time.and_then(|time| Some(u64::from_le_bytes(time.try_into().ok()?)));
        let proved = proved(
            time.unwrap_or(fresh.now.0),
            fresh.nonce,
            &pairs(&told.target_info, target, time.is_some()),
        );

        let [upper, _] = keys::upper_case(&self.user);
        let response_key = keys::response_key(&self.nt_hash, &upper, &self.domain);
        let proof = keys::proof(&response_key, told.nonce, &proved);
        let base = keys::session_base_key(&response_key, &proof);
        let (session_key, encrypted): (Key, Vec<u8>) = if flags.exchanges_key() {
            let encrypted = keys::exchanged(&base, &fresh.session_key);
            (fresh.session_key.clone(), encrypted.to_vec())
        } else {
            (base, Vec::new())
        };
        let parts = [
            vec![0; LM_RESPONSE],
            [proof.as_slice(), &proved].concat(),
            utf16(&self.domain),
            utf16(&self.user),
            // The name of this host is nobody's business.
            Vec::new(),
            encrypted,
        ];
        let mut message = message(flags, &parts, time.is_some());
        if time.is_some() {
            let messages = [&*Self::negotiate(), challenge, &message];
            let code = keys::integrity_code(&session_key, messages);
            message[MIC_AT..MIC_AT + code.len()].copy_from_slice(&*code);
        }
        let context = Context::new(flags, &session_key, Sender::Client);
        Ok((message, Box::new(context)))
    }
}

/// What the server has said about itself, and what we add to it.
fn pairs(told: &AvPairs, target: &Target, has_mic: bool) -> AvPairs {
    let mut pairs = told.clone();
    if has_mic {
        let flags = pairs.value(av_pairs::FLAGS);
        let flags = flags.and_then(|flags| Some(u32::from_le_bytes(flags.try_into().ok()?)));
        let flags = flags.unwrap_or(0) | HAS_MIC;
        pairs.set(av_pairs::FLAGS, flags.to_le_bytes().to_vec());
    }
    let channel = target.channel.as_ref();
    let channel = channel.map_or([0; 16], |channel| keys::channel_hash(channel.octets()));
    pairs.set(av_pairs::CHANNEL_BINDINGS, channel.to_vec());
    pairs.set(av_pairs::TARGET_NAME, utf16(&target.service));
    pairs
}

/// `NTLMv2_CLIENT_CHALLENGE` (2.2.2.7), with the four octets behind it.
fn proved(time: u64, nonce: [u8; 8], pairs: &AvPairs) -> Vec<u8> {
    let mut octets = vec![1, 1, 0, 0, 0, 0, 0, 0];
    octets.extend_from_slice(&time.to_le_bytes());
    octets.extend_from_slice(&nonce);
    octets.extend_from_slice(&[0; 4]);
    octets.extend_from_slice(&pairs.encode());
    octets.extend_from_slice(&[0; 4]);
    octets
}

/// An AUTHENTICATE of these parts: `LM` and `NT` response, domain, user,
/// workstation, session key.
pub(super) fn message(flags: Flags, parts: &[Vec<u8>; 6], has_room: bool) -> Vec<u8> {
    let mut octets = head(AUTHENTICATE);
    let mut payload_at = if has_room { MIC_AT + 16 } else { MIC_AT };
    for part in parts {
        push_field(&mut octets, &mut payload_at, part);
    }
    octets.extend_from_slice(&flags.0.to_le_bytes());
    octets.extend_from_slice(&VERSION);
    if has_room {
        octets.extend_from_slice(&[0; 16]);
    }
    octets.extend(parts.iter().flatten());
    octets
}

/// What we ask for: all that version 2 needs, and signatures, for the list of
/// mechanisms. Names go in UTF-16 alone.
const ASKED: Flags = Flags(
    Flags::UNICODE.0
        | Flags::REQUEST_TARGET.0
        | Flags::SIGN.0
        | Flags::NTLM.0
        | Flags::ALWAYS_SIGN.0
        | Flags::EXTENDED_SESSION_SECURITY.0
        | Flags::TARGET_INFO.0
        | Flags::VERSION.0
        | Flags::KEY_128.0
        | Flags::KEY_EXCHANGE.0
        | Flags::KEY_56.0,
);

/// What a server must have of it.
const NEEDED: Flags =
    Flags(Flags::UNICODE.0 | Flags::EXTENDED_SESSION_SECURITY.0 | Flags::TARGET_INFO.0);

/// Where the payload of a NEGOTIATE begins, with its version.
const NEGOTIATE_PAYLOAD: usize = 40;

/// Where the message integrity code stands.
const MIC_AT: usize = 72;

/// Octets of an `LM` response.
const LM_RESPONSE: usize = 24;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::Acceptor;
    use super::super::Host;
    use super::super::IntegrityCode;
    use super::super::Refusal;
    use super::super::nt_hash;
    use super::*;
    use crate::mechanism::Named;

    fn fresh() -> Fresh {
        Fresh {
            nonce: [0xaa; 8],
            session_key: Zeroizing::new([0x55; 16]),
            now: FileTime(7),
        }
    }

    fn target(channel: Option<&[u8]>) -> Target {
        Target {
            service: "HTTP/files.example.org".to_owned(),
            channel: channel.map(ChannelBinding::of_end_point),
        }
    }

    const NOW: FileTime = FileTime(132_000_000_000_000_000);

    /// A whole exchange with the acceptor.
    fn exchange(password: &str, channel: Option<&[u8]>) -> Result<Named, Refusal> {
        let host = Host::new("files.example.org");
        let mut acceptor = Acceptor::default();
        let challenge = acceptor
            .challenge(&Initiator::negotiate(), &host, *b"01234567", NOW)
            .expect("a good NEGOTIATE");
        let initiator = Initiator::new("EXAMPLE", "Jürgen", "Grüße");
        let (message, mut context) = initiator
            .authenticate(&challenge, &target(channel), &fresh())
            .expect("a good CHALLENGE");
        let claim = acceptor.claim(&message).expect("a good AUTHENTICATE");
        assert_eq!(claim.accounts()[0], "EXAMPLE\\Jürgen");
        let hash = nt_hash(password);
        let mut other = claim.check(&hash, IntegrityCode::Needed, NOW)?;
        let signature = context.sign(b"list").expect("signed");
        other.verify(b"list", &signature).expect("signed by key");
        let signature = other.sign(b"list").expect("signed");
        context.verify(b"list", &signature).expect("signed by key");
        assert!(context.signs_by_key() && other.signs_by_key());
        Ok(claim.named(&ChannelBinding::of_end_point(b"ours")))
    }

    #[test]
    fn the_acceptor_takes_it_with_the_right_password_only() {
        assert_eq!(exchange("Grüße", None), Ok(Named::Nothing));
        assert_eq!(exchange("Grüße", Some(b"ours")), Ok(Named::This));
        assert_eq!(exchange("Grüße", Some(b"another")), Ok(Named::Other));
        assert_eq!(exchange("Gruesse", None), Err(Refusal::WrongProof));
    }

    fn challenge(flags: Flags, target_info: AvPairs) -> Vec<u8> {
        let challenge = Challenge {
            flags,
            nonce: [1; 8],
            target_name: Vec::new(),
            target_info,
        };
        challenge.encode()
    }

    #[test]
    fn no_response_of_version_1_is_ever_sent() {
        let initiator = Initiator::new("", "u", "p");
        for weak in [
            Flags::UNICODE | Flags::TARGET_INFO,
            Flags::UNICODE | Flags::EXTENDED_SESSION_SECURITY,
            Flags::TARGET_INFO | Flags::EXTENDED_SESSION_SECURITY,
        ] {
            let answer = challenge(weak, AvPairs::default());
            let answer = initiator.authenticate(&answer, &target(None), &fresh());
            assert_eq!(answer.err(), Some(MessageError::WeakServer));
        }
        let answer = challenge(ASKED, AvPairs::default());
        let (message, _) = initiator
            .authenticate(&answer, &target(None), &fresh())
            .expect("good");
        // Behind its head there is the LM response; without a time no code.
        assert_eq!(message[MIC_AT..MIC_AT + LM_RESPONSE], [0; LM_RESPONSE]);
        let time = 7_u64.to_le_bytes();
        assert!(message.windows(8).any(|octets| octets == time));
    }

    #[test]
    fn the_name_of_the_service_is_told_once_whatever_the_server_says() {
        let mut told = AvPairs::default();
        told.push(av_pairs::TARGET_NAME, utf16("HTTP/else"));
        told.push(av_pairs::FLAGS, 1_u32.to_le_bytes().to_vec());
        let pairs = pairs(&told, &target(None), true);
        let name = pairs.value(av_pairs::TARGET_NAME);
        assert_eq!(name, Some(&*utf16("HTTP/files.example.org")));
        assert_eq!(pairs.value(av_pairs::FLAGS), Some(&[3, 0, 0, 0][..]));
    }

    proptest! {
        #[test]
        fn any_challenge_is_answered_or_refused(octets in proptest::collection::vec(any::<u8>(), 0..256)) {
            let initiator = Initiator::new("d", "u", "p");
            let _ = initiator.authenticate(&octets, &target(None), &fresh());
            let mut good = challenge(ASKED, AvPairs::default());
            for (at, octet) in octets.iter().enumerate().skip(12) {
                if let Some(place) = good.get_mut(at) {
                    *place ^= octet;
                }
            }
            let _ = initiator.authenticate(&good, &target(None), &fresh());
        }
    }
}
