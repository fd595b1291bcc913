//! What an account may do: the lists and roles of the settings.
//!
//! `access.users` is a role with all rights on one's own jobs,
//! `access.administrators` one of administrators. An account can have several
//! roles, and so they add up:
//!
//! - Only roles count whose `from` has the address that he logs on from; no
//!   `from` has them all.
//! - He has every right that one of them gives, each on the jobs that this role
//!   gives it on: to read everybody's jobs and to write one's own is not to
//!   write everybody's.
//! - `write_roots` and `reach` are those of all his roles that let him make or
//!   change jobs (write, invoke) together; one of these without them leaves
//!   them open.
//! - Of `max_jobs`, and of `max_concurrent_operations`, the largest counts that
//!   one of them has; where none has one, what the settings say for everybody.
//!
//! Jobs run though nobody is logged on: [`Access::bounds`] is for them, by all
//! roles of the owner, wherever he logs on from. Whoever has no role that makes
//! jobs has none that reach or write anything.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use super::Caller;
use super::Principal;
use super::Proved;
use super::principal::ALL;
use super::principal::Grant;
use super::principal::Rights;
use crate::config::AccessSettings;
use crate::config::Bounds;
use crate::config::Network;
use crate::config::Right;
use crate::config::Role;
use crate::config::RoleJobs;

/// The accounts that may do something. Empty lists allow nobody.
#[derive(Debug)]
pub(crate) struct Access {
    roles: Vec<Role>,
    /// Places of roles, by the name of the account, in order.
    by_name: HashMap<String, BTreeSet<usize>>,
    /// Those for all of a realm, by the realm.
    by_realm: HashMap<String, BTreeSet<usize>>,
    /// The accounts that the settings name and that are the same wherever they
    /// log on from, by name: `Basic` asks with every request.
    everywhere: HashMap<String, Principal>,
}

/// Why somebody who has logged on may do nothing.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(super) enum Denial {
    /// Nothing in the settings names him.
    #[error("the account is in no list and no role of [access]")]
    Unlisted,
    /// Roles name him, but none from here.
    #[error("no role of the account is for log-ons from this address")]
    From,
}

impl Access {
    /// The accounts that `settings` list.
    pub(crate) fn new(settings: &AccessSettings) -> Self {
        let users = Role {
            members: settings.users.clone(),
            ..Role::default()
        };
        let administrators = Role {
            members: settings.administrators.clone(),
            administrator: true,
            ..Role::default()
        };
        let mut access = Self {
            roles: Vec::with_capacity(settings.roles.len() + 2),
            by_name: HashMap::new(),
            by_realm: HashMap::new(),
            everywhere: HashMap::new(),
        };
        for role in [users, administrators].iter().chain(&settings.roles) {
            let place = access.roles.len();
            for member in &role.members {
                access.add(member, &settings.groups, place);
            }
            access.roles.push(role.clone());
        }
        let names = access.by_name.keys();
        let everywhere = names.filter_map(|name| {
            let roles: Vec<&Role> = access.roles(name).collect();
            let is_everywhere = roles.iter().all(|role| role.from.is_none());
            is_everywhere.then(|| (name.clone(), Principal::new(name, grant(&roles))))
        });
        access.everywhere = everywhere.collect();
        access
    }

    /// Gives a member of a list its role: a group, a realm or an account.
    fn add(&mut self, member: &str, groups: &BTreeMap<String, Vec<String>>, place: usize) {
        if let Some(group) = member.strip_prefix('@') {
            // Groups have no groups in them: the settings are checked.
            for member in groups.get(group).into_iter().flatten() {
                if !member.starts_with('@') {
                    self.add(member, groups, place);
                }
            }
            return;
        }
        let (names, name) = match member.strip_prefix("*@") {
            Some(realm) => (&mut self.by_realm, realm),
            None => (&mut self.by_name, member),
        };
        names.entry(name.to_owned()).or_default().insert(place);
    }

    /// Somebody proved, who logs on from `address`; the holder of a
    /// certificate, if it stands for anybody at any resource.
    ///
    /// # Errors
    ///
    /// [`Denial`].
    pub(super) fn caller(&self, who: Proved, address: IpAddr) -> Result<Caller, Denial> {
        match who {
            Proved::Account(account) => self.principal(&account, address).map(Caller::everywhere),
            Proved::Certificate {
                certificate,
                candidates,
            } => {
                let mut denial = Denial::Unlisted;
                let candidates: Vec<_> = candidates
                    .into_iter()
                    .map(|candidate| {
                        candidate.with(|user| match self.principal(&user, address) {
                            Ok(principal) => Some(principal),
                            Err(why) => {
                                if why == Denial::From {
                                    denial = why;
                                }
                                None
                            }
                        })
                    })
                    .collect();
                let caller = Caller::mapped(certificate, candidates);
                caller.is_anybody().then_some(caller).ok_or(denial)
            }
        }
    }

    /// Does something in the settings name the account itself?
    pub(super) fn names(&self, account: &str) -> bool {
        self.by_name.contains_key(account)
    }

    /// Can the account do anything from anywhere?
    pub(crate) fn has(&self, account: &str) -> bool {
        self.roles(account).next().is_some()
    }

    /// What the jobs of an account may not go beyond: nowhere when no role lets
    /// him make any.
    pub(crate) fn bounds(&self, account: &str) -> Bounds {
        let roles: Vec<&Role> = self
            .roles(account)
            .filter(|role| makes_jobs(role))
            .collect();
        Bounds {
            write_roots: together(&roles, |role| role.write_roots.as_deref()),
            read_roots: together(&roles, |role| role.read_roots.as_deref()),
            reach: together(&roles, |role| role.reach.as_deref()),
        }
    }

    /// The principal of a proved account.
    fn principal(&self, account: &str, address: IpAddr) -> Result<Principal, Denial> {
        if let Some(principal) = self.everywhere.get(account) {
            return Ok(principal.clone());
        }
        if !self.has(account) {
            return Err(Denial::Unlisted);
        }
        let roles: Vec<&Role> = self
            .roles(account)
            .filter(|role| is_from(role, address))
            .collect();
        if roles.is_empty() {
            return Err(Denial::From);
        }
        Ok(Principal::new(account, grant(&roles)))
    }

    /// The roles of an account, each once.
    fn roles(&self, account: &str) -> impl Iterator<Item = &Role> {
        let realm = account
            .rsplit_once('@')
            .filter(|(name, _)| !name.is_empty())
            .and_then(|(_, realm)| self.by_realm.get(realm));
        let own = self.by_name.get(account);
        let by_realm = realm.into_iter().flatten();
        let more = by_realm.filter(move |place| !own.is_some_and(|own| own.contains(*place)));
        let places = own.into_iter().flatten().chain(more);
        places.filter_map(|place| self.roles.get(*place))
    }
}

/// Holds when its members may log on from `address`.
fn is_from(role: &Role, address: IpAddr) -> bool {
    // An IPv4 client of a socket for both.
    let address = address.to_canonical();
    let contains = |networks: &Vec<Network>| networks.iter().any(|one| one.contains(address));
    role.from.as_ref().is_none_or(contains)
}

/// All of these roles, as one.
fn grant(roles: &[&Role]) -> Grant {
    let rights = |are_wanted: fn(&Role) -> bool| {
        roles
            .iter()
            .filter(|role| are_wanted(role))
            .fold(Rights::default(), |all, role| all.and(rights_of(role)))
    };
    let makers: Vec<&Role> = roles
        .iter()
        .copied()
        .filter(|role| makes_jobs(role))
        .collect();
    let is_administrator = roles.iter().any(|role| role.administrator);
    let max_jobs = roles.iter().filter_map(|role| role.max_jobs);
    Grant {
        own: rights(|_| true),
        others: rights(|role| role.administrator || role.jobs == RoleJobs::All),
        is_administrator,
        write_roots: together(&makers, |role| role.write_roots.as_deref()),
        read_roots: together(&makers, |role| role.read_roots.as_deref()),
        // 0 is no limit, which is the largest.
        max_jobs: max_jobs
            .max_by_key(|jobs| jobs.checked_sub(1).unwrap_or(u64::MAX))
            .or(is_administrator.then_some(0)),
        max_concurrent_operations: roles
            .iter()
            .filter_map(|role| role.max_concurrent_operations)
            .max(),
    }
}

fn rights_of(role: &Role) -> Rights {
    Rights::of(if role.administrator {
        ALL
    } else {
        &role.rights
    })
}

/// Holds when its members make jobs, or change what they are.
fn makes_jobs(role: &Role) -> bool {
    let rights = rights_of(role);
    rights.has(Right::Write) || rights.has(Right::Invoke)
}

/// What these roles name together; none when one of them leaves it open.
fn together<T: Clone>(roles: &[&Role], named: impl Fn(&Role) -> Option<&[T]>) -> Option<Arc<[T]>> {
    let named: Option<Vec<&[T]>> = roles.iter().map(|role| named(role)).collect();
    named.map(|all| all.concat().into())
}

#[cfg(test)]
mod tests;
