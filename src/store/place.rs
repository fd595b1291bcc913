//! Places in a listing of jobs.

use crate::bits::Job;
use crate::bits::JobId;
use crate::bits::Timestamp;

/// A place in a listing: the job that it lies behind, and on which way the
/// store came there. It says all that is needed to go on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Place {
    way: Way,
    at: Timestamp,
    id: JobId,
}

/// How a store walks through jobs. The first ones come in the order of the
/// keys, the last three in that of a time, then of the key.
///
/// A job that changes while it is listed by its last modification moves on in
/// that order, and may come again, as it is then.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Way {
    /// One after the other.
    All = 0,
    /// From key to key of a selection.
    Keys = 1,
    /// Those of some owners.
    Owner = 2,
    /// Those in some states.
    State = 3,
    /// Those of some owners in some states.
    OwnerState = 4,
    /// Those of some priorities.
    Priority = 5,
    /// By creation.
    CreatedAt = 6,
    /// By last modification.
    ModifiedAt = 7,
    /// By when they entered TRANSFERRED; the others are not there.
    TransferredAt = 8,
}

impl Place {
    /// The place behind `job`.
    pub(super) fn behind(way: Way, job: &Job) -> Self {
        Self {
            way,
            at: way.time(job).unwrap_or_default(),
            id: job.id,
        }
    }

    /// The place behind where a job with this key is or would be.
    pub(super) fn behind_key(way: Way, id: JobId) -> Self {
        Self {
            way,
            at: Timestamp::default(),
            id,
        }
    }

    /// On which way it lies.
    pub(super) fn way(self) -> Way {
        self.way
    }

    /// The time by which the job in front of it is listed, if it is by one.
    pub(super) fn at(self) -> Timestamp {
        self.at
    }

    /// The key of the job in front of it.
    pub(super) fn id(self) -> JobId {
        self.id
    }

    /// As octets: the way, the time, the key.
    pub(crate) fn encode(self) -> [u8; LENGTH] {
        let mut octets = [0; LENGTH];
        octets[0] = self.way as u8;
        octets[1..9].copy_from_slice(&self.at.ticks().to_be_bytes());
        octets[9..].copy_from_slice(&self.id.to_octets());
        octets
    }

    /// Reads what [`encode`](Self::encode) made. Other octets give nothing, or
    /// a place that is as harmless as any: it selects no job.
    pub(crate) fn decode(octets: &[u8]) -> Option<Self> {
        let octets: &[u8; LENGTH] = octets.try_into().ok()?;
        let (way, rest) = octets.split_first()?;
        let (at, id) = rest.split_first_chunk::<8>()?;
        Some(Self {
            way: Way::BY_NUMBER.get(usize::from(*way)).copied()?,
            at: Timestamp::from_ticks(u64::from_be_bytes(*at)),
            id: JobId::from_octets(id.try_into().ok()?),
        })
    }
}

impl Way {
    const BY_NUMBER: [Self; 9] = [
        Self::All,
        Self::Keys,
        Self::Owner,
        Self::State,
        Self::OwnerState,
        Self::Priority,
        Self::CreatedAt,
        Self::ModifiedAt,
        Self::TransferredAt,
    ];

    /// The time by which it lists `job`; none when it lists by key.
    fn time(self, job: &Job) -> Option<Timestamp> {
        match self {
            Self::CreatedAt => Some(job.created_at),
            Self::ModifiedAt => Some(job.modified_at),
            Self::TransferredAt => job.transferred_at,
            Self::All
            | Self::Keys
            | Self::Owner
            | Self::State
            | Self::OwnerState
            | Self::Priority => None,
        }
    }
}

/// Octets of a place.
const LENGTH: usize = 25;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_numbers_of_the_ways_are_their_places() {
        for (number, way) in (0..).zip(Way::BY_NUMBER) {
            assert_eq!(way as u8, number);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn what_was_encoded_is_decoded(way in 0..9_usize, at: u64, id: [u8; 16]) {
            let place = Place {
                way: Way::BY_NUMBER[way],
                at: Timestamp::from_ticks(at),
                id: JobId::from_octets(id),
            };
            prop_assert_eq!(Place::decode(&place.encode()), Some(place));
        }

        #[test]
        fn other_octets_are_no_place_or_that_of_their_encoding(
            octets in prop::collection::vec(any::<u8>(), 0..64),
        ) {
            if let Some(place) = Place::decode(&octets) {
                prop_assert_eq!(place.encode().to_vec(), octets);
            }
        }
    }
}
