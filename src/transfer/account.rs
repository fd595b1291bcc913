//! Numbers of accounts and groups that settings name.
//!
//! Reads `/etc/passwd` and `/etc/group`; accounts of other sources are given
//! by number.

use std::fs;

use rustix::fs::Gid;
use rustix::fs::Uid;

/// The number of the account `name`, or the number that it is.
///
/// # Errors
///
/// What is wrong.
pub(super) fn user(name: Option<&str>) -> Result<Option<Uid>, String> {
    find(name, "/etc/passwd").map(|number| number.map(Uid::from_raw))
}

/// The number of the group `name`, or the number that it is.
///
/// # Errors
///
/// What is wrong.
pub(super) fn group(name: Option<&str>) -> Result<Option<Gid>, String> {
    find(name, "/etc/group").map(|number| number.map(Gid::from_raw))
}

fn find(name: Option<&str>, list: &str) -> Result<Option<u32>, String> {
    let Some(name) = name else {
        return Ok(None);
    };
    // All ones means "leave it" to the kernel.
    if let Some(number) = name.parse().ok().filter(|number| *number != u32::MAX) {
        return Ok(Some(number));
    }
    let text = fs::read_to_string(list).map_err(|error| format!("{list}: {error}"))?;
    text.lines()
        .find_map(|line| {
            let mut fields = line.split(':');
            (fields.next() == Some(name)).then(|| fields.nth(1))?
        })
        .and_then(|number| number.parse().ok())
        .map(Some)
        .ok_or_else(|| format!("`{name}` is not in {list}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_are_found() {
        assert_eq!(user(None), Ok(None));
        assert_eq!(user(Some("root")), Ok(Some(Uid::ROOT)));
        assert_eq!(group(Some("root")), Ok(Some(Gid::ROOT)));
        assert_eq!(user(Some("12345")), Ok(Some(Uid::from_raw(12_345))));
        assert!(user(Some("no such account")).is_err());
        assert!(user(Some("4294967295")).is_err());
    }
}
