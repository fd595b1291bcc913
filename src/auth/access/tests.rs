use std::path::PathBuf;

use proptest::prelude::*;

use super::super::Scope;
use super::super::mapping::Candidate;
use super::super::mapping::by_weight;
use super::*;

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

fn networks(texts: &[&str]) -> Vec<Network> {
    let network = |text: &&str| Network::try_from((*text).to_owned()).expect("a network");
    texts.iter().map(network).collect()
}

fn role(members: &[&str]) -> Role {
    Role {
        members: texts(members),
        ..Role::default()
    }
}

fn roles(roles: Vec<Role>) -> Access {
    Access::new(&AccessSettings {
        roles,
        groups: BTreeMap::from([
            ("operators".to_owned(), texts(&["carol", "*@OPS.TEST"])),
            ("empty".to_owned(), Vec::new()),
        ]),
        ..AccessSettings::default()
    })
}

const INSIDE: &str = "10.1.2.3";

fn find(access: &Access, name: &str, address: &str) -> Result<Principal, Denial> {
    access.principal(name, address.parse().expect("an address"))
}

fn found(access: &Access, name: &str) -> Principal {
    find(access, name, INSIDE).expect("listed")
}

#[test]
fn empty_lists_allow_nobody() {
    for access in [
        Access::new(&AccessSettings::default()),
        roles(vec![role(&[]), role(&["@empty"])]),
    ] {
        for name in ["alice", "", "@empty", "empty", "*@", "@"] {
            assert_eq!(find(&access, name, INSIDE), Err(Denial::Unlisted), "{name}");
        }
    }
}

#[test]
fn the_two_lists_are_roles() {
    let access = Access::new(&AccessSettings {
        users: texts(&["alice", "carol", "*@EXAMPLE.TEST"]),
        administrators: texts(&["bob", "carol", "@admins"]),
        groups: BTreeMap::from([("admins".to_owned(), texts(&["dora"]))]),
        ..AccessSettings::default()
    });
    for (name, scope, is_administrator) in [
        ("alice", Scope::Own, false),
        ("eve@EXAMPLE.TEST", Scope::Own, false),
        ("bob", Scope::All, true),
        ("carol", Scope::All, true),
        ("dora", Scope::All, true),
    ] {
        let principal = found(&access, name);
        assert_eq!(principal.name(), name);
        for right in ALL {
            assert!(principal.has(*right), "{name}");
            assert_eq!(principal.scope(*right), scope, "{name}");
        }
        assert_eq!(principal.is_administrator(), is_administrator, "{name}");
    }
    for name in ["Alice", "@admins", "admins", "*@EXAMPLE.TEST@"] {
        assert_eq!(find(&access, name, INSIDE), Err(Denial::Unlisted), "{name}");
    }
}

#[test]
fn a_realm_is_meant_exactly() {
    let access = roles(vec![role(&["*@EXAMPLE.TEST", "@operators"])]);
    for name in [
        "alice@EXAMPLE.TEST",
        "host/web.example.test@EXAMPLE.TEST",
        "a@b@EXAMPLE.TEST",
        "x@OPS.TEST",
        "carol",
        "*@EXAMPLE.TEST",
    ] {
        assert!(access.has(name), "{name}");
    }
    for name in [
        "alice",
        "EXAMPLE.TEST",
        "@EXAMPLE.TEST",
        "alice@example.test",
        "alice@EXAMPLE.TEST.EVIL.TEST",
        "alice@SUB.EXAMPLE.TEST",
        "alice@EXAMPLE.TEST ",
        "alice@EXAMPLE.TES",
        "alice@EXAMPLE.TEST@OTHER.TEST",
        "alice@",
        "carol@EXAMPLE",
    ] {
        assert!(!access.has(name), "{name}");
    }
}

#[test]
fn a_right_is_for_the_jobs_that_its_role_names() {
    let reader = Role {
        rights: vec![Right::Read],
        jobs: RoleJobs::All,
        ..role(&["alice", "monitor"])
    };
    let access = roles(vec![role(&["alice"]), reader]);
    let alice = found(&access, "alice");
    assert_eq!(alice.scope(Right::Read), Scope::All);
    assert_eq!(alice.scope(Right::Write), Scope::Own);
    assert!(alice.has(Right::Write) && alice.has(Right::Invoke));
    let monitor = found(&access, "monitor");
    assert_eq!(monitor.scope(Right::Read), Scope::All);
    assert!(!monitor.has(Right::Write) && !monitor.has(Right::Invoke));
    assert!(!monitor.is_administrator() && !alice.is_administrator());
}

#[test]
fn an_administrator_has_all_rights_whatever_else_his_role_says() {
    let access = roles(vec![Role {
        rights: vec![Right::Read],
        administrator: true,
        ..role(&["bob"])
    }]);
    let bob = found(&access, "bob");
    assert!(bob.is_administrator());
    assert!(
        ALL.iter()
            .all(|right| bob.scope(*right) == Scope::All && bob.has(*right))
    );
    assert_eq!(bob.max_jobs(), Some(0), "no limit");
}

#[test]
fn a_role_without_rights_lets_in_and_no_further() {
    let access = roles(vec![Role {
        rights: Vec::new(),
        ..role(&["probe"])
    }]);
    let probe = found(&access, "probe");
    assert!(!probe.has_any_right());
    assert!(ALL.iter().all(|right| !probe.has(*right)));
}

#[test]
fn a_role_counts_only_from_its_addresses() {
    let inside = Role {
        from: Some(networks(&["10.0.0.0/8", "fd00::/8"])),
        ..role(&["alice"])
    };
    let reader = Role {
        rights: vec![Right::Read],
        ..role(&["alice", "bob"])
    };
    let nowhere = Role {
        from: Some(networks(&[])),
        ..role(&["carol"])
    };
    let access = roles(vec![inside.clone(), reader, nowhere.clone()]);
    for (address, may_write) in [
        ("10.1.2.3", true),
        ("::ffff:10.1.2.3", true),
        ("fd00::1", true),
        ("11.1.2.3", false),
        ("::ffff:11.1.2.3", false),
        ("::1", false),
    ] {
        let alice = find(&access, "alice", address).expect("a reader from anywhere");
        assert_eq!(alice.has(Right::Write), may_write, "{address}");
    }
    let access = roles(vec![inside, nowhere]);
    assert!(find(&access, "alice", "10.1.2.3").is_ok());
    assert_eq!(find(&access, "alice", "11.1.2.3"), Err(Denial::From));
    assert_eq!(find(&access, "eve", "10.1.2.3"), Err(Denial::Unlisted));
    assert_eq!(find(&access, "carol", "10.1.2.3"), Err(Denial::From));
}

#[test]
fn the_holder_of_a_certificate_is_who_his_roles_say_from_there() {
    let access = roles(vec![Role {
        from: Some(networks(&["10.0.0.0/8"])),
        ..role(&["alice"])
    }]);
    let caller = |user: &str, address: &str| {
        let candidate = Candidate::new("*", "*", user.to_owned());
        let who = Proved::Certificate {
            certificate: crate::trust::Thumbprint::parse(&"0".repeat(40)).expect("a thumbprint"),
            candidates: by_weight([candidate].into_iter()),
        };
        access.caller(who, address.parse().expect("an address"))
    };
    assert!(caller("alice", "10.1.1.1").is_ok());
    assert_eq!(caller("alice", "11.1.1.1"), Err(Denial::From));
    assert_eq!(caller("eve", "10.1.1.1"), Err(Denial::Unlisted));
}

#[test]
fn roots_and_addresses_of_several_roles_add_up() {
    let narrow = |root: &str, network: &str| Role {
        write_roots: Some(vec![PathBuf::from(root)]),
        read_roots: Some(vec![PathBuf::from(root).join("out")]),
        reach: Some(networks(&[network])),
        ..role(&["alice", "bob"])
    };
    let reader = Role {
        rights: vec![Right::Read],
        jobs: RoleJobs::All,
        ..role(&["alice"])
    };
    let mut all = vec![
        narrow("/a", "10.0.0.0/8"),
        narrow("/b", "11.0.0.0/8"),
        reader,
    ];
    let access = roles(all.clone());
    let bounds = Bounds {
        write_roots: Some(Arc::from([PathBuf::from("/a"), PathBuf::from("/b")])),
        read_roots: Some(Arc::from([
            PathBuf::from("/a/out"),
            PathBuf::from("/b/out"),
        ])),
        reach: Some(networks(&["10.0.0.0/8", "11.0.0.0/8"]).into()),
    };
    // What a reader may see says nothing of where files may land.
    assert_eq!(access.bounds("alice"), bounds);
    assert_eq!(access.bounds("bob"), bounds);
    assert_eq!(
        found(&access, "alice").write_roots(),
        bounds.write_roots.as_ref()
    );
    all.push(role(&["alice"]));
    let access = roles(all);
    assert_eq!(access.bounds("alice"), Bounds::default());
    assert_eq!(found(&access, "alice").write_roots(), None);
    assert_eq!(access.bounds("bob"), bounds);
}

#[test]
fn whoever_may_make_no_jobs_has_none_that_do_anything() {
    let reader = Role {
        rights: vec![Right::Read],
        ..role(&["alice"])
    };
    let nothing = Bounds {
        write_roots: Some(Arc::from([])),
        read_roots: Some(Arc::from([])),
        reach: Some(Arc::from([])),
    };
    let access = roles(vec![reader]);
    assert_eq!(access.bounds("alice"), nothing);
    assert_eq!(access.bounds("eve"), nothing);
}

#[test]
fn the_largest_number_counts() {
    let limited = |jobs, operations| Role {
        max_jobs: jobs,
        max_concurrent_operations: operations,
        ..role(&["alice"])
    };
    let limits = |all: Vec<Role>| {
        let alice = found(&roles(all), "alice");
        (alice.max_jobs(), alice.max_concurrent_operations())
    };
    assert_eq!(limits(vec![role(&["alice"])]), (None, None));
    let five = limited(Some(5), Some(2));
    assert_eq!(
        limits(vec![five.clone(), role(&["alice"])]),
        (Some(5), Some(2))
    );
    let seven = limited(Some(7), Some(1));
    assert_eq!(limits(vec![five.clone(), seven]), (Some(7), Some(2)));
    assert_eq!(
        limits(vec![limited(Some(0), None), five.clone()]),
        (Some(0), Some(2))
    );
    let administrator = Role {
        administrator: true,
        ..role(&["alice"])
    };
    assert_eq!(limits(vec![five, administrator]), (Some(5), Some(2)));
}

#[test]
fn an_account_of_a_list_and_a_realm_has_each_role_once() {
    let access = roles(vec![role(&[
        "a@OPS.TEST",
        "@operators",
        "*@OPS.TEST",
        "a@OPS.TEST",
    ])]);
    assert_eq!(access.roles("a@OPS.TEST").count(), 1);
    assert_eq!(access.roles("carol").count(), 1);
    assert!(access.names("a@OPS.TEST") && access.names("carol"));
    assert!(!access.names("b@OPS.TEST"), "it may not exist");
    assert!(access.has("b@OPS.TEST"));
}

proptest! {
    #[test]
    fn nobody_is_found_who_is_not_meant(name in "[a-zA-Z@*.]{0,12}") {
        let access = roles(vec![role(&["alice", "*@A.B", "@operators"])]);
        let is_meant = ["alice", "carol"].contains(&name.as_str())
            || ["@A.B", "@OPS.TEST"].iter().any(|realm| {
                name.strip_suffix(realm).is_some_and(|rest| !rest.is_empty())
            });
        prop_assert_eq!(access.has(&name), is_meant);
    }
}
