//! Who has logged on, and what he may do.

use std::path::PathBuf;
use std::sync::Arc;

use crate::config::Right;

/// Somebody who has logged on and may use the endpoint. Only this module's
/// parents can make one, so a handler that takes a `Principal` cannot run
/// without a log-on.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Principal {
    name: Arc<str>,
    grant: Arc<Grant>,
}

/// Whose jobs somebody may read, write and invoke.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Scope {
    /// Those that are his own.
    Own,
    /// All.
    All,
}

/// What an account may do, by all of its roles together.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Grant {
    /// On jobs of his own, and where there are no jobs. INVARIANT: it has every
    /// right that `others` has.
    pub(super) own: Rights,
    /// On everybody's jobs.
    pub(super) others: Rights,
    /// He may change the service's own settings, and read its figures.
    pub(super) is_administrator: bool,
    /// Where files of his jobs may land; none: wherever any may.
    pub(super) write_roots: Option<Arc<[PathBuf]>>,
    /// Below which folders the sources of his jobs lie; none: below any read root.
    pub(super) read_roots: Option<Arc<[PathBuf]>>,
    /// Jobs of his own; none: what the settings say for everybody.
    pub(super) max_jobs: Option<u64>,
    /// Requests at the same time; none: what the settings say for everybody.
    pub(super) max_concurrent_operations: Option<u32>,
}

/// Some of the rights.
#[derive(Clone, Copy, Default, Eq, PartialEq)]
pub(super) struct Rights(u8);

impl Principal {
    /// Somebody who has proved to be `name`.
    pub(super) fn new(name: &str, grant: Grant) -> Self {
        Self {
            name: Arc::from(name),
            grant: Arc::new(grant),
        }
    }

    /// The account name; what `Owner` of his jobs shows.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// May he do this to any job at all?
    pub(crate) fn has(&self, right: Right) -> bool {
        self.grant.own.has(right)
    }

    /// Has he any right?
    pub(crate) fn has_any_right(&self) -> bool {
        self.grant.own != Rights::default()
    }

    /// Whose jobs he may do this to, if to any.
    pub(crate) fn scope(&self, right: Right) -> Scope {
        if self.grant.others.has(right) {
            Scope::All
        } else {
            Scope::Own
        }
    }

    /// Whose jobs he may do anything to.
    pub(crate) fn widest_scope(&self) -> Scope {
        if self.grant.others == Rights::default() {
            Scope::Own
        } else {
            Scope::All
        }
    }

    /// May he change the service's own settings, and read its figures?
    pub(crate) fn is_administrator(&self) -> bool {
        self.grant.is_administrator
    }

    /// Below which folders the sources of uploads that he adds lie; none: below
    /// any read root.
    pub(crate) fn read_roots(&self) -> Option<&Arc<[PathBuf]>> {
        self.grant.read_roots.as_ref()
    }

    /// Below which folders files that he adds may land; none: wherever any may.
    pub(crate) fn write_roots(&self) -> Option<&Arc<[PathBuf]>> {
        self.grant.write_roots.as_ref()
    }

    /// How many jobs he may have, where his roles say so. 0: no limit.
    pub(crate) fn max_jobs(&self) -> Option<u64> {
        self.grant.max_jobs
    }

    /// How many of his requests may be at work, where his roles say so.
    pub(crate) fn max_concurrent_operations(&self) -> Option<u32> {
        self.grant.max_concurrent_operations
    }

    /// The same, who may also read what he may write: the answer to a Put shows
    /// the instance.
    pub(crate) fn reading_what_he_writes(&self) -> Self {
        let with_read = |rights: Rights| {
            if rights.has(Right::Write) {
                rights.and(Rights::of(&[Right::Read]))
            } else {
                rights
            }
        };
        let grant = Grant {
            own: with_read(self.grant.own),
            others: with_read(self.grant.others),
            ..Grant::clone(&self.grant)
        };
        Self {
            name: Arc::clone(&self.name),
            grant: Arc::new(grant),
        }
    }

    /// Somebody, for tests of what lies behind the door: with all rights, an
    /// administrator if on all jobs.
    #[cfg(test)]
    pub(crate) fn for_test(name: &str, scope: Scope) -> Self {
        match scope {
            Scope::Own => Self::with_rights_for_test(name, ALL, &[]),
            Scope::All => Self::with_rights_for_test(name, ALL, ALL).as_administrator_for_test(),
        }
    }

    /// Somebody with these rights on his own jobs, and these on everybody's.
    #[cfg(test)]
    pub(crate) fn with_rights_for_test(name: &str, own: &[Right], others: &[Right]) -> Self {
        let others = Rights::of(others);
        let grant = Grant {
            own: Rights::of(own).and(others),
            others,
            ..Grant::default()
        };
        Self::new(name, grant)
    }

    /// The same as an administrator.
    #[cfg(test)]
    pub(crate) fn as_administrator_for_test(&self) -> Self {
        let grant = Grant {
            is_administrator: true,
            ..Grant::clone(&self.grant)
        };
        Self::new(&self.name, grant)
    }

    /// The same, for whom these limits count.
    #[cfg(test)]
    pub(crate) fn limited_for_test(
        &self,
        write_roots: Option<&[PathBuf]>,
        max_jobs: Option<u64>,
        max_concurrent_operations: Option<u32>,
    ) -> Self {
        let grant = Grant {
            write_roots: write_roots.map(Arc::from),
            max_jobs,
            max_concurrent_operations,
            ..Grant::clone(&self.grant)
        };
        Self::new(&self.name, grant)
    }
}

impl Rights {
    /// These.
    pub(super) fn of(rights: &[Right]) -> Self {
        Self(rights.iter().fold(0, |all, right| all | bit(*right)))
    }

    /// Is it one of them?
    pub(super) fn has(self, right: Right) -> bool {
        self.0 & bit(right) != 0
    }

    /// These and those.
    pub(super) fn and(self, others: Self) -> Self {
        Self(self.0 | others.0)
    }
}

impl std::fmt::Debug for Rights {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let all = ALL.iter().filter(|right| self.has(**right));
        f.debug_set().entries(all).finish()
    }
}

fn bit(right: Right) -> u8 {
    match right {
        Right::Read => 1,
        Right::Write => 2,
        Right::Invoke => 4,
    }
}

/// Every right.
pub(super) const ALL: &[Right] = &[Right::Read, Right::Write, Right::Invoke];
