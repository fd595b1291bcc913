//! Who is this, and what may he do?

mod principal;

pub(crate) use principal::Principal;
pub(crate) use principal::Scope;
