//! Octets that look random, and are the same every time.

/// The content of a generated file: what stands at an offset follows from the
/// offset and the seed alone, so that any range is made without what is before.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Content {
    /// What tells one file from another.
    pub(super) seed: u64,
    /// Its size in octets.
    pub(super) octets: u64,
}

impl Content {
    /// The octets from `from` on, at most `most` of them; none at the end.
    pub(super) fn read(self, from: u64, most: usize) -> Vec<u8> {
        let left = usize::try_from(self.octets.saturating_sub(from)).unwrap_or(usize::MAX);
        let len = most.min(left);
        // Less than eight.
        let skip = usize::try_from(from % WORD).unwrap_or(0);
        let mut octets = Vec::with_capacity(len + 16);
        let mut word = from / WORD;
        while octets.len() < len + skip {
            octets.extend_from_slice(&mix(self.seed.wrapping_add(word)).to_le_bytes());
            word = word.wrapping_add(1);
        }
        octets.truncate(len + skip);
        octets.drain(..skip);
        octets
    }
}

/// `SplitMix64`'s output function (Steele, Lea and Flood, 2014).
fn mix(state: u64) -> u64 {
    let mut z = state.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// Octets that one step gives.
const WORD: u64 = 8;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_range_is_a_part_of_the_whole(octets in 0_u64..500, from in 0_u64..600, most in 0_usize..600) {
            let content = Content { seed: 7, octets };
            let whole = content.read(0, usize::MAX);
            prop_assert_eq!(whole.len() as u64, octets);
            let start = usize::try_from(from.min(octets)).expect("small");
            let end = start.saturating_add(most).min(whole.len());
            prop_assert_eq!(&content.read(from, most), &whole[start..end]);
        }
    }
}
