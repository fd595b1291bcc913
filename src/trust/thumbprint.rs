//! What names a certificate: a hash of it.

use std::fmt;

use aws_lc_rs::digest;
use aws_lc_rs::digest::Algorithm;

/// Names one certificate. Windows knows the SHA-1 only; another certificate of
/// the same SHA-1 as a given one cannot be made to this day, but SHA-256 is what
/// to write where a certificate is trusted for nothing but its hash.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Thumbprint {
    /// As Windows writes it.
    Sha1([u8; 20]),
    /// For whom that is too little.
    Sha256([u8; 32]),
}

impl Thumbprint {
    /// The SHA-1 of a certificate in DER.
    pub(crate) fn sha1_of(certificate: &[u8]) -> Self {
        Self::Sha1(hash(&digest::SHA1_FOR_LEGACY_USE_ONLY, certificate))
    }

    /// Is it the hash of this certificate, in DER?
    pub(crate) fn is_of(&self, certificate: &[u8]) -> bool {
        match self {
            Self::Sha1(_) => *self == Self::sha1_of(certificate),
            Self::Sha256(_) => *self == Self::sha256_of(certificate),
        }
    }

    /// The SHA-256 of a certificate in DER.
    pub(crate) fn sha256_of(certificate: &[u8]) -> Self {
        Self::Sha256(hash(&digest::SHA256, certificate))
    }

    /// Reads 40 or 64 hexadecimal digits of any case; blanks and colons, with
    /// which tools part them, are ignored.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut octets = [0; 32];
        let mut count = 0;
        for digit in text.chars().filter(|digit| !matches!(digit, ' ' | ':')) {
            let digit = u8::try_from(digit.to_digit(16)?).ok()?;
            let octet = octets.get_mut(count / 2)?;
            *octet = (*octet << 4) | digit;
            count += 1;
        }
        match count {
            40 => octets.first_chunk().map(|octets| Self::Sha1(*octets)),
            64 => Some(Self::Sha256(octets)),
            _ => None,
        }
    }
}

impl fmt::Display for Thumbprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let octets: &[u8] = match self {
            Self::Sha1(octets) => octets,
            Self::Sha256(octets) => octets,
        };
        octets.iter().try_for_each(|octet| write!(f, "{octet:02x}"))
    }
}

fn hash<const LENGTH: usize>(algorithm: &'static Algorithm, certificate: &[u8]) -> [u8; LENGTH] {
    let mut octets = [0; LENGTH];
    octets.copy_from_slice(digest::digest(algorithm, certificate).as_ref());
    octets
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// SHA-1 and SHA-256 of `abc` (FIPS 180-2, appendices A and B).
    const SHA1: &str = "a9993e364706816aba3e25717850c26c9cd0d89d";
    const SHA256: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    #[test]
    fn a_thumbprint_is_forty_or_sixty_four_digits() {
        for (own, text) in [
            (Thumbprint::sha1_of(b"abc"), SHA1),
            (Thumbprint::sha256_of(b"abc"), SHA256),
        ] {
            assert_eq!(own.to_string(), text);
            let windows = text
                .to_uppercase()
                .replace("41", "4 1 ")
                .replace("3E", " 3E ");
            assert_ne!(windows.len(), text.len());
            let openssl = text
                .to_uppercase()
                .replace("A9", "A9:")
                .replace("BA", "BA:");
            for same in [text, &windows, &openssl] {
                assert_eq!(Thumbprint::parse(same), Some(own), "{same}");
            }
            for wrong in ["", &text[1..], &format!("{text}0"), &text.replace('a', "g")] {
                assert_eq!(Thumbprint::parse(wrong), None, "{wrong}");
            }
        }
    }

    proptest! {
        #[test]
        fn arbitrary_text_is_a_thumbprint_or_none(text in "[0-9a-fA-F :]{0,70}|.*") {
            let digits = text.replace([' ', ':'], "").to_lowercase();
            let read = Thumbprint::parse(&text).map(|read| read.to_string());
            prop_assert!(read.is_none_or(|read| read == digits));
        }
    }
}
