//! Somebody who has been let in, before it is known what he asks for.

use std::fmt;
use std::sync::Arc;

use tracing::debug;

use super::AUDIT;
use super::Principal;
use super::Scope;
use super::mapping;
use super::mapping::Candidate;
use crate::trust::Thumbprint;

/// Somebody who has been let in. Who he is may depend on the resource: a
/// client certificate can stand for different accounts at different ones.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Caller(Kind);

#[derive(Clone, Debug, Eq, PartialEq)]
enum Kind {
    /// The same everywhere.
    Everywhere(Principal),
    /// The holder of a certificate.
    Mapped {
        /// Which one, for the audit log.
        certificate: Thumbprint,
        /// Nobody in place of accounts that no list of the settings has.
        candidates: Arc<[Candidate<Option<Principal>>]>,
    },
}

impl Caller {
    /// Somebody who is the same everywhere.
    pub(super) fn everywhere(principal: Principal) -> Self {
        Self(Kind::Everywhere(principal))
    }

    /// The holder of a certificate.
    pub(super) fn mapped(
        certificate: Thumbprint,
        candidates: Vec<Candidate<Option<Principal>>>,
    ) -> Self {
        Self(Kind::Mapped {
            certificate,
            candidates: candidates.into(),
        })
    }

    /// Who he is at a resource, whose URI is empty where there is none; nobody
    /// if he may not use it. The URI is asked for only if it decides, and must
    /// be the same however a client writes it: else he would choose who he is.
    pub(crate) fn principal_at(&self, resource_uri: impl FnOnce() -> String) -> Option<&Principal> {
        match &self.0 {
            Kind::Everywhere(principal) => Some(principal),
            Kind::Mapped {
                certificate,
                candidates,
            } => {
                let chosen = mapping::choose(candidates, &resource_uri());
                let principal = chosen.and_then(|chosen| chosen.user.as_ref());
                if principal.is_none() {
                    debug!(target: AUDIT, %certificate, "Client certificate not mapped there");
                }
                principal
            }
        }
    }

    /// Holds when there is a resource at which he is somebody.
    pub(super) fn is_anybody(&self) -> bool {
        match &self.0 {
            Kind::Everywhere(_) => true,
            Kind::Mapped { candidates, .. } => {
                candidates.iter().flat_map(Candidate::resources).any(|uri| {
                    let chosen = mapping::choose(candidates, &uri);
                    chosen.is_some_and(|chosen| chosen.user.is_some())
                })
            }
        }
    }

    /// Whose jobs he may do anything to, at the most.
    pub(super) fn scope(&self) -> Scope {
        match &self.0 {
            Kind::Everywhere(principal) => principal.widest_scope(),
            Kind::Mapped { candidates, .. } => {
                let is_for_all = accounts(candidates).any(|one| one.widest_scope() == Scope::All);
                if is_for_all { Scope::All } else { Scope::Own }
            }
        }
    }

    /// Somebody, for tests of what lies behind the door.
    #[cfg(test)]
    pub(crate) fn for_test(principal: &Principal) -> Self {
        Self::everywhere(principal.clone())
    }

    /// The holder of a certificate, who is somebody at each of these URIs.
    #[cfg(test)]
    pub(crate) fn for_test_at(uris: &[(&str, &Principal)]) -> Self {
        let at = uris.iter().map(|(uri, principal)| {
            let principal = Some((*principal).clone());
            Candidate::new("*", uri, principal)
        });
        let certificate = Thumbprint::parse(&"0".repeat(40)).expect("a thumbprint");
        Self::mapped(certificate, mapping::by_weight(at))
    }
}

/// The accounts that a list of the settings has.
fn accounts(candidates: &[Candidate<Option<Principal>>]) -> impl Iterator<Item = &Principal> {
    candidates.iter().filter_map(|one| one.user.as_ref())
}

/// The accounts that he is, or can be.
impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Everywhere(principal) => f.write_str(principal.name()),
            Kind::Mapped { candidates, .. } => {
                for (number, principal) in accounts(candidates).enumerate() {
                    let before = if number == 0 { "" } else { ", " };
                    write!(f, "{before}{}", principal.name())?;
                }
                Ok(())
            }
        }
    }
}
