//! Which right an operation needs ([MS-WSMV] 3.1.4.1.28): `GR` of Windows is
//! read, `GW` write, `GX` invoke.

use crate::auth::Principal;
use crate::config::Right;

use super::contexts::Listing;
use super::dispatch::ENUMERATION;
use super::dispatch::TRANSFER;
use super::error::Error;
use super::resource::Resource;

/// `by` may ask for `action` on such a resource: classes describe themselves to
/// whoever has any right.
///
/// # Errors
///
/// [`Error::Denied`].
pub(super) fn check(by: &Principal, resource: &Resource, action: &str) -> Result<(), Error> {
    permit(match resource {
        Resource::Schema => by.has_any_right(),
        Resource::Class(_) | Resource::Config(_) | Resource::Shell => by.has(needed(action)),
    })
}

/// The same for an open enumeration, which is found by its context and not by a
/// resource. He may have begun it from an address from which he may do more.
///
/// # Errors
///
/// [`Error::Denied`].
pub(super) fn check_pull(by: &Principal, listing: &Listing) -> Result<(), Error> {
    permit(match listing {
        Listing::Classes(_) => by.has_any_right(),
        Listing::Instances(_) | Listing::Documents(_) => by.has(Right::Read),
    })
}

fn permit(is_permitted: bool) -> Result<(), Error> {
    if is_permitted {
        Ok(())
    } else {
        Err(Error::Denied)
    }
}

/// What is not known is taken for a method.
fn needed(action: &str) -> Right {
    if action.starts_with(ENUMERATION) {
        return Right::Read;
    }
    match action.strip_prefix(TRANSFER) {
        Some("Get") => Right::Read,
        Some("Put" | "Create" | "Delete") => Right::Write,
        Some(_) | None => Right::Invoke,
    }
}
