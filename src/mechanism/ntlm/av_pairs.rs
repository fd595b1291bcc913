//! AV pairs: what the server says about itself, and what the client adds to it
//! ([MS-NLMP] 2.2.2.1).

use super::message::MessageError;

/// Pairs of a kind and a value, in order, without `MsvAvEOL`.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct AvPairs(Vec<(u16, Vec<u8>)>);

impl AvPairs {
    /// Reads pairs up to `MsvAvEOL` or the end of `octets`.
    ///
    /// # Errors
    ///
    /// [`MessageError`] when a length goes beyond the end, or there are more
    /// than anybody sends.
    pub(super) fn decode(mut octets: &[u8]) -> Result<Self, MessageError> {
        let mut pairs = Vec::new();
        while let Some((head, rest)) = octets.split_first_chunk::<4>() {
            let [kind, length] = halves(*head);
            if kind == END {
                break;
            }
            let (value, rest) = rest
                .split_at_checked(usize::from(length))
                .ok_or(MessageError::Cut)?;
            if pairs.len() == MAX_PAIRS {
                return Err(MessageError::TooLong("list of AV pairs"));
            }
            pairs.push((kind, value.to_vec()));
            octets = rest;
        }
        Ok(Self(pairs))
    }

    /// The pairs, and `MsvAvEOL`.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut octets = Vec::new();
        for (kind, value) in &self.0 {
            let length = u16::try_from(value.len()).expect("values are short names and numbers");
            octets.extend_from_slice(&kind.to_le_bytes());
            octets.extend_from_slice(&length.to_le_bytes());
            octets.extend_from_slice(value);
        }
        octets.extend_from_slice(&[0; 4]);
        octets
    }

    /// Adds a pair at the end.
    pub(super) fn push(&mut self, kind: u16, value: Vec<u8>) {
        self.0.push((kind, value));
    }

    /// Gives a kind this value alone.
    pub(super) fn set(&mut self, kind: u16, value: Vec<u8>) {
        self.0.retain(|(own, _)| *own != kind);
        self.push(kind, value);
    }

    /// The value of the first pair of a kind.
    pub(super) fn value(&self, kind: u16) -> Option<&[u8]> {
        let pair = self.0.iter().find(|(own, _)| *own == kind);
        pair.map(|(_, value)| value.as_slice())
    }
}

/// Two numbers of 16 bit.
fn halves([a, b, c, d]: [u8; 4]) -> [u16; 2] {
    [u16::from_le_bytes([a, b]), u16::from_le_bytes([c, d])]
}

const END: u16 = 0;

/// `MsvAvNbComputerName`.
pub(super) const COMPUTER: u16 = 1;

/// `MsvAvNbDomainName`.
pub(super) const DOMAIN: u16 = 2;

/// `MsvAvDnsComputerName`.
pub(super) const DNS_COMPUTER: u16 = 3;

/// `MsvAvFlags`.
pub(super) const FLAGS: u16 = 6;

/// `MsvAvTimestamp`.
pub(super) const TIMESTAMP: u16 = 7;

/// `MsvAvTargetName`.
pub(super) const TARGET_NAME: u16 = 9;

/// `MsvAvChannelBindings`.
pub(super) const CHANNEL_BINDINGS: u16 = 10;

/// There are eleven kinds; some clients copy ours and add their own.
const MAX_PAIRS: usize = 64;
