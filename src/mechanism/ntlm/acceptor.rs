//! The server's side of an exchange ([MS-NLMP] 3.2.5).

use std::time::Duration;
use std::time::SystemTime;

use subtle::ConstantTimeEq as _;

use super::av_pairs;
use super::av_pairs::AvPairs;
use super::flags::Flags;
use super::keys;
use super::keys::Key;
use super::keys::NtHash;
use super::keys::Sender;
use super::message::Authenticate;
use super::message::Challenge;
use super::message::MessageError;
use super::message::Negotiate;
use super::message::utf16;
use super::seal::Context;
use crate::mechanism::ChannelBinding;
use crate::mechanism::Named;
use crate::mechanism::SecurityContext;

/// One exchange: NEGOTIATE, then AUTHENTICATE, each once.
#[derive(Debug, Default)]
pub(crate) struct Acceptor {
    /// The first two messages, and the challenge in the second.
    challenged: Option<Challenged>,
    is_over: bool,
}

#[derive(Debug)]
struct Challenged {
    negotiate: Vec<u8>,
    challenge: Vec<u8>,
    nonce: [u8; 8],
}

/// The names of the server that clients are told.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Host {
    net_bios: Vec<u8>,
    dns: Vec<u8>,
}

/// An instant, in units of 100 ns since 1601.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct FileTime(pub(super) u64);

/// Somebody says who he is.
pub(crate) struct Claim {
    challenged: Challenged,
    message: Vec<u8>,
    authenticate: Authenticate,
}

/// Must there be a message integrity code?
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum IntegrityCode {
    Needed,
    Optional,
}

/// Why somebody has not proved who he is.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum Refusal {
    /// The password is another one, or the challenge is.
    #[error("the password is wrong")]
    WrongProof,
    /// The client sends no message integrity code.
    #[error("there is no message integrity code (access.require_ntlm_mic)")]
    NoIntegrityCode,
    /// One of the three messages was changed on its way.
    #[error("the message integrity code is wrong")]
    WrongIntegrityCode,
    /// The two clocks differ by more than 36 hours.
    #[error("the client's clock is off by more than 36 hours")]
    Clock,
}

impl Acceptor {
    /// Takes a NEGOTIATE, and challenges the client with `nonce`.
    ///
    /// # Errors
    ///
    /// [`MessageError`]; the exchange is over then.
    pub(crate) fn challenge(
        &mut self,
        token: &[u8],
        host: &Host,
        nonce: [u8; 8],
        now: FileTime,
    ) -> Result<Vec<u8>, MessageError> {
        if std::mem::replace(&mut self.is_over, true) {
            return Err(MessageError::OutOfTurn);
        }
        let wanted = Negotiate::decode(token)?.flags;
        if !wanted.has(Flags::EXTENDED_SESSION_SECURITY) {
            return Err(MessageError::Weak);
        }
        let challenge = Challenge {
            flags: wanted.common(OFFERED) | ALWAYS,
            nonce,
            target_name: host.net_bios.clone(),
            target_info: host.target_info(now),
        };
        let challenge = challenge.encode();
        self.challenged = Some(Challenged {
            negotiate: token.to_vec(),
            challenge: challenge.clone(),
            nonce,
        });
        Ok(challenge)
    }

    /// Holds when the client must now send an AUTHENTICATE.
    pub(crate) fn has_challenged(&self) -> bool {
        self.challenged.is_some()
    }

    /// Takes an AUTHENTICATE. The exchange is over then.
    ///
    /// # Errors
    ///
    /// [`MessageError`].
    pub(crate) fn claim(&mut self, token: &[u8]) -> Result<Claim, MessageError> {
        let challenged = self.challenged.take().ok_or(MessageError::OutOfTurn)?;
        Ok(Claim {
            challenged,
            authenticate: Authenticate::decode(token)?,
            message: token.to_vec(),
        })
    }
}

impl Host {
    /// The names of the host that calls itself `name`.
    pub(crate) fn new(name: &str) -> Self {
        let name = match name.trim() {
            "" => "localhost",
            name => name,
        };
        let name: String = name.chars().take(MAX_DNS).collect();
        let first = name.split('.').next().unwrap_or(&name);
        let net_bios: String = first.to_uppercase().chars().take(MAX_NET_BIOS).collect();
        Self {
            net_bios: utf16(&net_bios),
            dns: utf16(&name),
        }
    }

    /// What a CHALLENGE says of the host. It is in no domain: it takes its own
    /// place. With a time, clients send a message integrity code.
    fn target_info(&self, now: FileTime) -> AvPairs {
        let mut pairs = AvPairs::default();
        pairs.push(av_pairs::DOMAIN, self.net_bios.clone());
        pairs.push(av_pairs::COMPUTER, self.net_bios.clone());
        pairs.push(av_pairs::DNS_COMPUTER, self.dns.clone());
        pairs.push(av_pairs::TIMESTAMP, now.0.to_le_bytes().to_vec());
        pairs
    }
}

impl FileTime {
    /// That of `time`; one before 1601 is the beginning.
    pub(crate) fn of(time: SystemTime) -> Self {
        let since_1601 = match time.duration_since(SystemTime::UNIX_EPOCH) {
            Ok(since_1970) => FROM_1601_TO_1970.saturating_add(since_1970),
            Err(before) => FROM_1601_TO_1970.saturating_sub(before.duration()),
        };
        Self(u64::try_from(since_1601.as_nanos() / 100).unwrap_or(u64::MAX))
    }
}

impl Claim {
    /// The accounts that may be meant, the likeliest first. All accounts are
    /// local, so a domain only tells two of them apart.
    pub(crate) fn accounts(&self) -> Vec<String> {
        let Authenticate { domain, user, .. } = &self.authenticate;
        let mut names = Vec::new();
        if !domain.is_empty() {
            names.push(format!("{domain}\\{user}"));
        }
        names.push(user.clone());
        if let Some((before, _)) = user.split_once('@') {
            names.push(before.to_owned());
        }
        names
    }

    /// Checks the proof by the hash of the account's password, and then all
    /// that only a right proof makes credible.
    ///
    /// # Errors
    ///
    /// [`Refusal`]. A wrong password is [`Refusal::WrongProof`] whatever else
    /// is wrong.
    pub(crate) fn check(
        &self,
        nt_hash: &NtHash,
        needed: IntegrityCode,
        now: FileTime,
    ) -> Result<Box<dyn SecurityContext>, Refusal> {
        let session_key = self.session_key(nt_hash).ok_or(Refusal::WrongProof)?;
        self.check_integrity(&session_key, needed)?;
        if self.authenticate.response.time.abs_diff(now.0) > MAX_LIFETIME {
            return Err(Refusal::Clock);
        }
        let flags = self.authenticate.flags;
        Ok(Box::new(Context::new(flags, &session_key, Sender::Server)))
    }

    /// What the client has named as its channel, over that of `binding`. It
    /// stands in what is proved, so nobody else can have put it there.
    pub(crate) fn named(&self, binding: &ChannelBinding) -> Named {
        match self.authenticate.response.channel {
            None => Named::Nothing,
            Some(hash) if hash == [0; 16] => Named::Nothing,
            Some(hash) if hash == keys::channel_hash(binding.octets()) => Named::This,
            Some(_) => Named::Other,
        }
    }

    /// The session key, if the proof is right. Each reading of the name takes
    /// the same work, be it right or wrong.
    fn session_key(&self, nt_hash: &NtHash) -> Option<Key> {
        let Authenticate {
            user,
            domain,
            response,
            session_key,
            ..
        } = &self.authenticate;
        let mut right = None;
        for upper in keys::upper_case(user) {
            let response_key = keys::response_key(nt_hash, &upper, domain);
            let proof = keys::proof(&response_key, self.challenged.nonce, &response.proved);
            if bool::from(proof.ct_eq(&response.proof)) {
                right = Some(keys::session_base_key(&response_key, &response.proof));
            }
        }
        let base = right?;
        Some(match session_key {
            Some(encrypted) => keys::exchanged(&base, encrypted),
            None => base,
        })
    }

    fn check_integrity(&self, session_key: &Key, needed: IntegrityCode) -> Result<(), Refusal> {
        if !self.authenticate.response.announces_mic {
            return match needed {
                IntegrityCode::Needed => Err(Refusal::NoIntegrityCode),
                IntegrityCode::Optional => Ok(()),
            };
        }
        let at = self
            .authenticate
            .mic_at
            .ok_or(Refusal::WrongIntegrityCode)?;
        let mut message = self.message.clone();
        let place = &mut message[at..at + 16];
        let sent: [u8; 16] = (&*place).try_into().expect("so long is the place");
        place.fill(0);
        let Challenged {
            negotiate,
            challenge,
            ..
        } = &self.challenged;
        let expected = keys::integrity_code(session_key, [negotiate, challenge, &message]);
        if bool::from(expected.ct_eq(&sent)) {
            return Ok(());
        }
        Err(Refusal::WrongIntegrityCode)
    }
}

/// All that a token of unknown origin goes through, with the password that the
/// seeds are made with.
#[cfg(fuzzing)]
pub(crate) fn fuzz(octets: &[u8]) {
    let Some((length, rest)) = octets.split_first_chunk::<2>() else {
        return;
    };
    let length = usize::from(u16::from_le_bytes(*length)).min(rest.len());
    let (negotiate, authenticate) = rest.split_at(length);
    let (mut acceptor, host) = (Acceptor::default(), Host::new("host.example.org"));
    let now = FileTime(0);
    if let Ok(challenge) =
        acceptor.challenge(negotiate, &host, *b"\x01\x23\x45\x67\x89\xab\xcd\xef", now)
    {
        assert!(challenge.len() < 1_024);
    }
    let Ok(claim) = acceptor.claim(authenticate) else {
        return;
    };
    assert!(claim.accounts().len() <= 3);
    claim.named(&ChannelBinding::of_end_point(b""));
    let hash = keys::nt_hash("Password");
    if let Ok(mut context) = claim.check(&hash, IntegrityCode::Optional, now) {
        let _ = context.verify(octets, &authenticate[..authenticate.len().min(16)]);
        let _ = context.open(authenticate);
        let _ = context.seal(negotiate);
    }
    // Whatever was proved, it was not with another password.
    let other = keys::nt_hash("other");
    assert!(claim.check(&other, IntegrityCode::Optional, now).is_err());
}

/// What is granted when the client asks for it.
const OFFERED: Flags = Flags(
    Flags::REQUEST_TARGET.0
        | Flags::SIGN.0
        | Flags::SEAL.0
        | Flags::ALWAYS_SIGN.0
        | Flags::VERSION.0
        | Flags::KEY_128.0
        | Flags::KEY_EXCHANGE.0
        | Flags::KEY_56.0,
);

/// What a CHALLENGE says in any case. A client that has offered only names in
/// its own code page (curl) follows.
const ALWAYS: Flags = Flags(
    Flags::UNICODE.0
        | Flags::NTLM.0
        | Flags::TARGET_TYPE_SERVER.0
        | Flags::EXTENDED_SESSION_SECURITY.0
        | Flags::TARGET_INFO.0,
);

/// Characters of a `NetBIOS` name.
const MAX_NET_BIOS: usize = 15;

/// Characters of a DNS name.
const MAX_DNS: usize = 255;

const FROM_1601_TO_1970: Duration = Duration::from_hours(3_234_576);

/// `MaxLifetime` (3.1.1.1): 36 hours, in units of 100 ns.
const MAX_LIFETIME: u64 = 36 * 3_600 * 10_000_000;
