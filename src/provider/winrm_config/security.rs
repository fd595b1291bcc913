//! `RootSDDL`: who may do what, on paper ([MS-DTYP] 2.5.1).
//!
//! Accounts of this service have no security identifiers, so the text says what
//! the lists and roles of the settings come to: `BA` stands for its
//! administrators, `BU` for everybody else whom they name, with all rights that
//! one of these has at all. Who nobody is stands not there.

use crate::config::AccessSettings;
use crate::config::Right;

/// The security descriptor, owned and kept by the system.
pub(super) fn descriptor(access: &AccessSettings) -> String {
    let mut text = "O:SYG:SYD:P".to_owned();
    let mut roles = access.roles.iter();
    if !access.administrators.is_empty() || roles.any(|role| role.administrator) {
        text.push_str("(A;;GA;;;BA)");
    }
    let words = [
        (Right::Read, "GR"),
        (Right::Write, "GW"),
        (Right::Invoke, "GX"),
    ];
    let is_given = |right: Right| {
        let mut others = access.roles.iter().filter(|role| !role.administrator);
        !access.users.is_empty() || others.any(|role| role.rights.contains(&right))
    };
    let given = words.iter().filter(|(right, _)| is_given(*right));
    let given: String = given.map(|(_, word)| *word).collect();
    if !given.is_empty() {
        text.extend(["(A;;", &given, ";;;BU)"]);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Role;

    fn access(users: &[&str], administrators: &[&str], roles: Vec<Role>) -> AccessSettings {
        let own = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        AccessSettings {
            users: own(users),
            administrators: own(administrators),
            roles,
            ..AccessSettings::default()
        }
    }

    #[test]
    fn only_what_somebody_may_do_stands_there() {
        let role = |rights: &[Right], administrator| Role {
            members: vec!["carol".to_owned()],
            rights: rights.to_vec(),
            administrator,
            ..Role::default()
        };
        for (settings, expected) in [
            (access(&[], &[], Vec::new()), "O:SYG:SYD:P"),
            (
                access(&["alice"], &["bob"], Vec::new()),
                "O:SYG:SYD:P(A;;GA;;;BA)(A;;GRGWGX;;;BU)",
            ),
            (
                access(&[], &[], vec![role(&[Right::Read], false)]),
                "O:SYG:SYD:P(A;;GR;;;BU)",
            ),
            (
                access(
                    &[],
                    &[],
                    vec![role(&[Right::Invoke], false), role(&[Right::Write], false)],
                ),
                "O:SYG:SYD:P(A;;GWGX;;;BU)",
            ),
            (
                access(&[], &[], vec![role(&[Right::Read], true)]),
                "O:SYG:SYD:P(A;;GA;;;BA)",
            ),
            (access(&[], &[], vec![role(&[], false)]), "O:SYG:SYD:P"),
        ] {
            assert_eq!(descriptor(&settings), expected);
        }
    }
}
