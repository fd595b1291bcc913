//! Checks of the lists, groups and roles of `access`.

use std::path::PathBuf;

use super::AccessSettings;
use super::FilesSettings;
use super::Role;

/// Checks who the lists, groups and roles name, and that roles narrow what the
/// service may and do not widen it.
///
/// # Errors
///
/// The key, and what is allowed.
pub(super) fn check(
    access: &AccessSettings,
    files: &FilesSettings,
) -> Result<(), (&'static str, String)> {
    for (name, members) in &access.groups {
        check_group(name, members)?;
    }
    let lists = [
        ("access.users", &access.users),
        ("access.administrators", &access.administrators),
    ];
    for (key, list) in lists {
        for member in list {
            check_member(access, member).map_err(|reason| (key, reason))?;
        }
    }
    for (place, role) in (1..).zip(&access.roles) {
        let checked = check_role(access, role, files);
        checked.map_err(|reason| ("access.roles", format!("role {place}: {reason}")))?;
    }
    Ok(())
}

fn check_group(name: &str, members: &[String]) -> Result<(), (&'static str, String)> {
    let wrong = |reason: String| Err(("access.groups", reason));
    if !is_name(name) {
        return wrong(format!("{name:?} is no name of a group"));
    }
    for member in members {
        if member.starts_with('@') {
            return wrong(format!("{name}: {member:?}: a group has no groups in it"));
        }
        if let Err(reason) = check_account(member) {
            return wrong(format!("{name}: {reason}"));
        }
    }
    Ok(())
}

fn check_role(access: &AccessSettings, role: &Role, files: &FilesSettings) -> Result<(), String> {
    if role.members.is_empty() {
        return Err("members: at least one account, \"@GROUP\" or \"*@REALM\"".to_owned());
    }
    for member in &role.members {
        check_member(access, member).map_err(|reason| format!("members: {reason}"))?;
    }
    let roots = [
        ("write_roots", &role.write_roots, &files.write_roots),
        ("read_roots", &role.read_roots, &files.read_roots),
    ];
    for (key, own, all) in roots {
        check_roots(key, own.iter().flatten(), all)?;
    }
    if role.max_concurrent_operations == Some(0) {
        return Err("max_concurrent_operations: 0 is not from 1 to 1000000".to_owned());
    }
    Ok(())
}

/// Each of a role's roots lies under one of those of the service.
fn check_roots<'a>(
    key: &str,
    own: impl Iterator<Item = &'a PathBuf>,
    all: &[PathBuf],
) -> Result<(), String> {
    for root in own {
        let climbs = root
            .components()
            .any(|part| matches!(part, std::path::Component::ParentDir));
        if climbs || !all.iter().any(|all| root.starts_with(all)) {
            let root = root.display();
            return Err(format!("{key}: {root} lies under no folder of files.{key}"));
        }
    }
    Ok(())
}

/// A group, all of a realm, or an account.
fn check_member(access: &AccessSettings, member: &str) -> Result<(), String> {
    match member.strip_prefix('@') {
        Some(group) if access.groups.contains_key(group) => Ok(()),
        Some(group) => Err(format!("there is no group {group:?} in access.groups")),
        None => check_account(member),
    }
}

/// All of a realm, or an account. A star elsewhere would be taken for a pattern
/// by whoever reads it.
fn check_account(account: &str) -> Result<(), String> {
    match account.strip_prefix("*@") {
        Some(realm) if is_name(realm) && !realm.contains(['*', '@']) => Ok(()),
        None if is_name(account) && !account.contains('*') => Ok(()),
        Some(_) => Err(format!(
            "{account:?} is no pattern for all of a realm, such as \"*@EXAMPLE.ORG\""
        )),
        None => Err(format!("{account:?} is no account name")),
    }
}

fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name.trim() == name
        && !name.starts_with('@')
        && !name.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is wrong with the settings in this text.
    fn wrong(text: &str) -> Option<(&'static str, String)> {
        #[derive(serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        struct File {
            access: AccessSettings,
        }
        let file: File = toml::from_str(text).expect(text);
        let files = FilesSettings {
            write_roots: vec!["/srv/a".into(), "/srv/b".into()],
            read_roots: vec!["/srv/c".into()],
            ..FilesSettings::default()
        };
        check(&file.access, &files).err()
    }

    #[test]
    fn lists_groups_and_roles_name_accounts() {
        for good in [
            "[access]\nusers = [\"alice\", \"alice@A.TEST\", \"*@A.TEST\", \"A\\\\alice\"]\n",
            "[access]\nusers = [\"@g\"]\ngroups = { g = [] }\n",
            "[access]\ngroups = { g = [\"a\", \"*@A.TEST\"] }\n[[access.roles]]\nmembers = [\"@g\"]\n",
            "[[access.roles]]\nmembers = [\"a\"]\nrights = []\nfrom = []\nreach = []\nwrite_roots = []\n",
            "[[access.roles]]\nmembers = [\"a\"]\nwrite_roots = [\"/srv/a\", \"/srv/b/c\"]\nmax_jobs = 0\n",
        ] {
            assert_eq!(wrong(good), None, "{good}");
        }
    }

    #[test]
    fn what_cannot_be_meant_is_named() {
        for (text, key, part) in [
            (
                "[access]\nusers = [\"\"]\n",
                "access.users",
                "\"\" is no account",
            ),
            (
                "[access]\nusers = [\" a\"]\n",
                "access.users",
                "\" a\" is no account",
            ),
            (
                "[access]\nusers = [\"*\"]\n",
                "access.users",
                "\"*\" is no account",
            ),
            (
                "[access]\nadministrators = [\"a*@A\"]\n",
                "access.administrators",
                "is no account",
            ),
            (
                "[access]\nadministrators = [\"@g\"]\n",
                "access.administrators",
                "no group \"g\"",
            ),
            (
                "[access]\nusers = [\"*@\"]\n",
                "access.users",
                "is no pattern",
            ),
            (
                "[access]\nusers = [\"*@*.TEST\"]\n",
                "access.users",
                "is no pattern",
            ),
            (
                "[access]\nusers = [\"*@A@B\"]\n",
                "access.users",
                "is no pattern",
            ),
            (
                "[access]\ngroups = { g = [\"@h\"], h = [] }\n",
                "access.groups",
                "has no groups",
            ),
            (
                "[access]\ngroups = { g = [\"\"] }\n",
                "access.groups",
                "g: \"\" is no account",
            ),
            (
                "[access]\ngroups = { \"@g\" = [] }\n",
                "access.groups",
                "no name of a group",
            ),
            (
                "[[access.roles]]\nrights = []\n",
                "access.roles",
                "role 1: members: at least",
            ),
            (
                "[[access.roles]]\nmembers = [\"a\"]\n[[access.roles]]\nmembers = [\"@x\"]\n",
                "access.roles",
                "role 2: members: there is no group \"x\"",
            ),
            (
                "[[access.roles]]\nmembers = [\"a\"]\nwrite_roots = [\"/srv/ab\"]\n",
                "access.roles",
                "role 1: write_roots: /srv/ab lies under no",
            ),
            (
                "[[access.roles]]\nmembers = [\"a\"]\nwrite_roots = [\"/srv/a/../b\"]\n",
                "access.roles",
                "lies under no",
            ),
            (
                "[[access.roles]]\nmembers = [\"a\"]\nread_roots = [\"/srv/a\"]\n",
                "access.roles",
                "role 1: read_roots: /srv/a lies under no folder of files.read_roots",
            ),
            (
                "[[access.roles]]\nmembers = [\"a\"]\nmax_concurrent_operations = 0\n",
                "access.roles",
                "0 is not from 1",
            ),
        ] {
            let (found, reason) = wrong(text).expect(text);
            assert_eq!(found, key, "{text}");
            assert!(reason.contains(part), "{reason}");
        }
    }
}
