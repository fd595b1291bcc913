//! The client's side, for tests.

use super::av_pairs::CHANNEL_BINDINGS;
use super::av_pairs::FLAGS;
use super::flags::Flags;
use super::initiator::message;
use super::keys;
use super::keys::Sender;
use super::message::Challenge;
use super::message::HAS_MIC;
use super::message::NEGOTIATE;
use super::message::VERSION;
use super::message::head;
use super::message::push_field;
use super::message::utf16;
use super::seal::Context;
use crate::mechanism::SecurityContext;

/// Somebody who logs on.
#[derive(Clone)]
pub(crate) struct Client {
    pub(crate) domain: String,
    pub(crate) user: String,
    pub(crate) password: String,
    /// What it asks for.
    pub(crate) flags: u32,
    pub(crate) mic: Mic,
    /// The hash of the channel that it names.
    pub(crate) channel: Option<[u8; 16]>,
    /// Its own time, in place of the server's.
    pub(crate) time: Option<u64>,
}

/// What it does about the message integrity code.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Mic {
    Sent,
    /// Announced, and zero.
    Zero,
    /// Announced, and there is no room for it.
    Missing,
    /// Neither announced nor sent, as with curl.
    None,
}

impl Client {
    pub(crate) fn new(user: &str, password: &str) -> Self {
        Self {
            domain: "DOMAIN".to_owned(),
            user: user.to_owned(),
            password: password.to_owned(),
            flags: SEALING,
            mic: Mic::Sent,
            channel: None,
            time: None,
        }
    }

    pub(crate) fn without_mic(mut self) -> Self {
        self.mic = Mic::None;
        self
    }

    pub(crate) fn negotiate(&self) -> Vec<u8> {
        let mut octets = head(NEGOTIATE);
        octets.extend_from_slice(&self.flags.to_le_bytes());
        for _ in ["domain", "workstation"] {
            push_field(&mut octets, &mut 40, &[]);
        }
        octets.extend_from_slice(&VERSION);
        octets
    }

    /// The answer to a challenge, and the keys.
    pub(crate) fn authenticate(&self, challenge: &[u8]) -> (Vec<u8>, Box<dyn SecurityContext>) {
        let told = Challenge::decode(challenge).expect("a good challenge");
        let name = |text: &str| {
            if told.flags.has(Flags::UNICODE) {
                utf16(text)
            } else {
                text.as_bytes().to_vec()
            }
        };
        let mut pairs = told.target_info.clone();
        if self.mic != Mic::None {
            pairs.push(FLAGS, HAS_MIC.to_le_bytes().to_vec());
        }
        if let Some(channel) = self.channel {
            pairs.push(CHANNEL_BINDINGS, channel.to_vec());
        }
        let time = told.target_info.value(super::av_pairs::TIMESTAMP);
        let time = time.map(|time| u64::from_le_bytes(time.try_into().expect("a time")));
        let time = self.time.or(time).unwrap_or_default();
        let mut proved = vec![1, 1, 0, 0, 0, 0, 0, 0];
        proved.extend_from_slice(&time.to_le_bytes());
        proved.extend_from_slice(&[0xaa; 8]);
        proved.extend_from_slice(&[0; 4]);
        proved.extend_from_slice(&pairs.encode());
        proved.extend_from_slice(&[0; 4]);

        let hash = keys::nt_hash(&self.password);
        let [upper, _] = keys::upper_case(&self.user);
        let response_key = keys::response_key(&hash, &upper, &self.domain);
        let proof = keys::proof(&response_key, told.nonce, &proved);
        let base = keys::session_base_key(&response_key, &proof);
        let mut session_key = base.clone();
        let mut encrypted = Vec::new();
        if told.flags.exchanges_key() {
            session_key = zeroize::Zeroizing::new([0x55; 16]);
            encrypted = keys::exchanged(&base, &session_key).to_vec();
        }
        let parts = [
            vec![0; 24],
            [proof.as_slice(), &proved].concat(),
            name(&self.domain),
            name(&self.user),
            name("CLIENT"),
            encrypted,
        ];
        let has_room = matches!(self.mic, Mic::Sent | Mic::Zero);
        let mut message = message(told.flags, &parts, has_room);
        if self.mic == Mic::Sent {
            let code = keys::integrity_code(&session_key, [&self.negotiate(), challenge, &message]);
            message[72..88].copy_from_slice(&*code);
        }
        let context = Context::new(told.flags, &session_key, Sender::Client);
        (message, Box::new(context))
    }
}

/// What a client asks for that seals, as pyspnego does.
pub(crate) const SEALING: u32 = 0xe208_8237;

/// What curl asks for.
pub(crate) const CURL: u32 = 0x0008_8206;
