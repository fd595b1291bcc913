//! Who has logged on.

use std::sync::Arc;

/// Somebody who has logged on and may use the endpoint. Only this module's
/// parents can make one, so a handler that takes a `Principal` cannot run
/// without a log-on.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Principal {
    name: Arc<str>,
    scope: Scope,
}

/// Whose jobs somebody may read, write and invoke.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Scope {
    /// Those that are his own.
    Own,
    /// All (an administrator).
    All,
}

impl Principal {
    /// Somebody who has proved to be `name`.
    pub(super) fn new(name: &str, scope: Scope) -> Self {
        Self {
            name: Arc::from(name),
            scope,
        }
    }

    /// The account name; what `Owner` of his jobs shows.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Whose jobs he may touch.
    pub(crate) fn scope(&self) -> Scope {
        self.scope
    }

    /// Somebody, for tests of what lies behind the door.
    #[cfg(test)]
    pub(crate) fn for_test(name: &str, scope: Scope) -> Self {
        Self::new(name, scope)
    }
}
