//! Which jobs are wanted, as far as a store can find them by itself.

use std::borrow::Cow;
use std::collections::BTreeSet;

use crate::bits::Job;
use crate::bits::JobId;
use crate::bits::Owner;
use crate::bits::Priority;
use crate::bits::State;
use crate::bits::Timestamp;

/// A box around the jobs that are wanted: for each property the values that it
/// may have. A job is in it when all of its properties are.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Selection {
    /// The key.
    pub(crate) keys: Among<JobId>,
    /// Whose job it is.
    pub(crate) owners: Among<Owner>,
    /// Where it stands.
    pub(crate) states: Among<State>,
    /// Which job goes first.
    pub(crate) priorities: Among<Priority>,
    /// When it was created.
    pub(crate) created_at: Span,
    /// When it last changed.
    pub(crate) modified_at: Span,
    /// When it entered TRANSFERRED; the first instant of all while it has not.
    pub(crate) transferred_at: Span,
}

/// The values that a property may have.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Among<T: Ord> {
    /// Any value.
    Any,
    /// One of these.
    Only(BTreeSet<T>),
}

/// The instants between two, both included.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Span {
    /// The first.
    pub(crate) from: Timestamp,
    /// The last; none is in the span when it lies before the first.
    pub(crate) to: Timestamp,
}

impl Selection {
    /// All jobs.
    pub(crate) const fn all() -> Self {
        Self {
            keys: Among::Any,
            owners: Among::Any,
            states: Among::Any,
            priorities: Among::Any,
            created_at: Span::EVER,
            modified_at: Span::EVER,
            transferred_at: Span::EVER,
        }
    }

    /// No job.
    pub(crate) fn none() -> Self {
        Self {
            keys: Among::Only(BTreeSet::new()),
            ..Self::all()
        }
    }

    /// No job can be in it.
    pub(crate) fn is_empty(&self) -> bool {
        self.keys.is_empty()
            || self.owners.is_empty()
            || self.states.is_empty()
            || self.priorities.is_empty()
            || self.created_at.is_empty()
            || self.modified_at.is_empty()
            || self.transferred_at.is_empty()
    }

    /// The jobs that are in both.
    pub(crate) fn intersect(self, other: Self) -> Self {
        Self {
            keys: self.keys.intersect(other.keys),
            owners: self.owners.intersect(other.owners),
            states: self.states.intersect(other.states),
            priorities: self.priorities.intersect(other.priorities),
            created_at: self.created_at.intersect(other.created_at),
            modified_at: self.modified_at.intersect(other.modified_at),
            transferred_at: self.transferred_at.intersect(other.transferred_at),
        }
    }

    /// The smallest box around both: it may hold jobs that are in neither.
    pub(crate) fn cover(self, other: Self) -> Self {
        if self.is_empty() {
            return other;
        }
        if other.is_empty() {
            return self;
        }
        Self {
            keys: self.keys.unite(other.keys),
            owners: self.owners.unite(other.owners),
            states: self.states.unite(other.states),
            priorities: self.priorities.unite(other.priorities),
            created_at: self.created_at.cover(other.created_at),
            modified_at: self.modified_at.cover(other.modified_at),
            transferred_at: self.transferred_at.cover(other.transferred_at),
        }
    }

    /// The jobs of `owner` that are in it; all that are when there is none.
    pub(crate) fn of(&self, owner: Option<&Owner>) -> Cow<'_, Self> {
        let Some(owner) = owner else {
            return Cow::Borrowed(self);
        };
        let mut own = self.clone();
        own.owners = own.owners.intersect(Among::one(owner.clone()));
        Cow::Owned(own)
    }

    /// The job is in it.
    pub(crate) fn admits(&self, job: &Job) -> bool {
        self.states.admits(&job.state)
            && self.priorities.admits(&job.priority)
            && self.owners.admits(&job.owner)
            && self.keys.admits(&job.id)
            && self.created_at.admits(job.created_at)
            && self.modified_at.admits(job.modified_at)
            && self
                .transferred_at
                .admits(job.transferred_at.unwrap_or_default())
    }
}

impl<T: Ord> Among<T> {
    /// This value only.
    pub(crate) fn one(value: T) -> Self {
        Self::Only(BTreeSet::from([value]))
    }

    /// The values, unless it may be any.
    pub(crate) const fn values(&self) -> Option<&BTreeSet<T>> {
        match self {
            Self::Any => None,
            Self::Only(values) => Some(values),
        }
    }

    fn is_empty(&self) -> bool {
        self.values().is_some_and(BTreeSet::is_empty)
    }

    fn admits(&self, value: &T) -> bool {
        self.values().is_none_or(|values| values.contains(value))
    }

    fn intersect(self, other: Self) -> Self {
        match (self, other) {
            (Self::Any, other) | (other, Self::Any) => other,
            (Self::Only(mut values), Self::Only(other)) => {
                values.retain(|value| other.contains(value));
                Self::Only(values)
            }
        }
    }

    fn unite(self, other: Self) -> Self {
        match (self, other) {
            (Self::Only(mut values), Self::Only(mut other)) => {
                values.append(&mut other);
                Self::Only(values)
            }
            (Self::Any, _) | (_, Self::Any) => Self::Any,
        }
    }
}

impl Span {
    /// Every instant.
    pub(crate) const EVER: Self = Self {
        from: Timestamp::from_ticks(0),
        to: Timestamp::from_ticks(u64::MAX),
    };

    /// No instant.
    pub(crate) const NEVER: Self = Self {
        from: Timestamp::from_ticks(1),
        to: Timestamp::from_ticks(0),
    };

    /// It has a beginning or an end.
    pub(crate) fn is_bounded(self) -> bool {
        self != Self::EVER
    }

    /// It has both.
    pub(crate) fn is_closed(self) -> bool {
        self.from != Self::EVER.from && self.to != Self::EVER.to
    }

    fn is_empty(self) -> bool {
        self.to < self.from
    }

    fn admits(self, at: Timestamp) -> bool {
        self.from <= at && at <= self.to
    }

    fn intersect(self, other: Self) -> Self {
        Self {
            from: self.from.max(other.from),
            to: self.to.min(other.to),
        }
    }

    fn cover(self, other: Self) -> Self {
        Self {
            from: self.from.min(other.from),
            to: self.to.max(other.to),
        }
    }
}
