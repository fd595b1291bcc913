//! What an account may do: the lists of the settings.

use std::collections::HashMap;

use super::Principal;
use super::Scope;
use crate::config::AccessSettings;

/// The accounts that may do something. Empty lists allow nobody.
#[derive(Debug)]
pub(super) struct Access {
    /// One principal for each account: a log-on copies a pointer.
    allowed: HashMap<String, Principal>,
}

impl Access {
    /// The accounts that `settings` list; an administrator who stands among
    /// the users too is an administrator.
    pub(super) fn new(settings: &AccessSettings) -> Self {
        let users = settings.users.iter().map(|name| (name, Scope::Own));
        let administrators = settings
            .administrators
            .iter()
            .map(|name| (name, Scope::All));
        let allowed = users
            .chain(administrators)
            .map(|(name, scope)| (name.clone(), Principal::new(name, scope)))
            .collect();
        Self { allowed }
    }

    /// The principal of a proved account, if a list has it.
    pub(super) fn principal(&self, account: &str) -> Option<Principal> {
        self.allowed.get(account).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_lists_allow_nobody() {
        let access = Access::new(&AccessSettings::default());
        assert_eq!(access.principal("alice"), None);
        assert_eq!(access.principal(""), None);
    }

    #[test]
    fn the_list_decides_the_scope() {
        let access = Access::new(&AccessSettings {
            users: vec!["alice".to_owned(), "carol".to_owned()],
            administrators: vec!["bob".to_owned(), "carol".to_owned()],
            ..AccessSettings::default()
        });
        let scope = |name| access.principal(name).map(|principal| principal.scope());
        assert_eq!(scope("alice"), Some(Scope::Own));
        assert_eq!(scope("bob"), Some(Scope::All));
        assert_eq!(scope("carol"), Some(Scope::All));
        assert_eq!(scope("Alice"), None);
    }
}
