use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;

use super::*;

fn users() -> (tempfile::TempDir, Users) {
    let folder = tempfile::tempdir().expect("a folder");
    let users = Users::open(&folder.path().join("state/users")).expect("no file is no error");
    (folder, users)
}

#[test]
fn an_account_is_added_replaced_and_removed() {
    let (_folder, users) = users();
    assert_eq!(users.add("bob", "one").expect("added"), Change::Added);
    assert_eq!(users.add("alice", "x").expect("added"), Change::Added);
    let before = users.accounts().expect("read").hash("bob").cloned();
    assert_eq!(users.add("bob", "two").expect("replaced"), Change::Replaced);
    assert_ne!(users.accounts().expect("read").hash("bob").cloned(), before);
    assert_eq!(users.names().expect("read"), ["alice", "bob"]);
    users.remove("bob").expect("removed");
    assert_eq!(users.names().expect("read"), ["alice"]);
    assert!(matches!(users.remove("bob"), Err(UsersError::NoAccount(_))));
    let mode = std::fs::metadata(&users.path)
        .expect("a file")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
}

fn with_vault(users: &Users, octet: u8) -> Users {
    let users = Users::open(&users.path).expect("opened");
    let vault = Arc::new(Vault::for_test(octet));
    users.with_vault(vault).expect("with a vault")
}

fn hash_of(users: &Users, name: &str) -> NtHash {
    let accounts = users.accounts().expect("read");
    users.nt_hash(&accounts, Some(name)).expect("a vault")
}

#[test]
fn an_nt_hash_is_sealed_and_goes_with_its_password() {
    let (_folder, plain) = users();
    let users = with_vault(&plain, 1);
    assert!(!users.can_use_ntlm());
    users.add_for_ntlm("alice", "Password").expect("added");
    assert_eq!(hash_of(&users, "alice"), nt_hash("Password"));
    assert!(users.can_use_ntlm() && !plain.can_use_ntlm());
    let text = std::fs::read_to_string(&users.path).expect("read");
    let hash = STANDARD.encode(*nt_hash("Password"));
    assert!(
        !text.contains(&hash) && text.matches(':').count() == 2,
        "{text}"
    );
    users.add("bob", "x").expect("added");
    let long = users.names_and_ntlm().expect("read");
    assert_eq!(
        long,
        [("alice".to_owned(), true), ("bob".to_owned(), false)]
    );
    assert_eq!(users.names().expect("read"), ["alice", "bob"]);
    assert_ne!(hash_of(&users, "bob"), nt_hash("x"));

    let other = users.add_for_ntlm("alice", "other").expect("replaced");
    assert_eq!(other, Change::Replaced);
    assert_eq!(hash_of(&users, "alice"), nt_hash("other"));
    let gone = users.add("alice", "third").expect("replaced");
    assert_eq!(gone, Change::WithoutNtlm);
    for password in ["Password", "other", "third"] {
        assert_ne!(hash_of(&users, "alice"), nt_hash(password));
    }
    assert!(!users.have_nt_hashes().expect("read"));
    let again = users.add("alice", "third").expect("replaced");
    assert_eq!(again, Change::Replaced);
}

#[test]
fn an_nt_hash_opens_under_its_key_and_for_its_account_only() {
    let (_folder, plain) = users();
    let users = with_vault(&plain, 1);
    users.add_for_ntlm("alice", "Password").expect("added");
    let other = with_vault(&plain, 2);
    assert_ne!(hash_of(&other, "alice"), nt_hash("Password"));
    let error = other.add_for_ntlm("bob", "x").expect_err("another key");
    assert!(matches!(&error, UsersError::OtherKey(name) if name == "alice"));
    other.add_for_ntlm("alice", "Password").expect("mended");
    assert_eq!(hash_of(&other, "alice"), nt_hash("Password"));
    assert!(plain.add_for_ntlm("bob", "x").is_err(), "no vault");

    let text = std::fs::read_to_string(&plain.path).expect("read");
    std::fs::write(&plain.path, text.replace("alice", "bob")).expect("written");
    assert_ne!(hash_of(&other, "bob"), nt_hash("Password"));
    std::fs::write(&plain.path, text.replace('\n', "?\n")).expect("written");
    assert!(other.accounts().is_err(), "no base64");
}

#[test]
fn comments_stay_and_no_second_file_is_left() {
    let (_folder, users) = users();
    users.add("bob", "one").expect("added");
    let text = std::fs::read_to_string(&users.path).expect("read");
    std::fs::write(&users.path, format!("# ours\n\n{text}")).expect("written");
    users.add("alice", "x").expect("added");
    let text = std::fs::read_to_string(&users.path).expect("read");
    assert!(text.starts_with("# ours\n\nbob:$argon2id$"), "{text}");
    let folder = users.path.parent().expect("a folder");
    assert_eq!(std::fs::read_dir(folder).expect("read").count(), 1);
}

#[test]
fn a_world_readable_file_is_refused() {
    let (_folder, users) = users();
    users.add("bob", "one").expect("added");
    std::fs::set_permissions(&users.path, Permissions::from_mode(0o644)).expect("a mode");
    let error = Users::open(&users.path).expect_err("open to all");
    assert!(error.to_string().contains("mode 0644"), "{error}");
    assert!(users.accounts().is_err(), "the change of mode is seen");
    assert!(users.add("eve", "x").is_err());
}

#[test]
fn a_line_that_is_no_account_is_named() {
    let (_folder, users) = users();
    users.add("bob", "one").expect("added");
    std::fs::write(&users.path, "# x\nbob\n").expect("written");
    let error = Users::open(&users.path).expect_err("no account");
    assert!(
        error.to_string().contains("users, line 2: an account is"),
        "{error}"
    );
}

#[test]
fn names_and_passwords_are_held_to_their_form() {
    let (_folder, users) = users();
    for name in ["", "a:b", "a b", "-x", "a\nb", "#a", &"x".repeat(65)] {
        assert!(
            matches!(users.add(name, "x"), Err(UsersError::Name(_))),
            "{name:?}"
        );
    }
    for password in ["", &"x".repeat(1_025)] {
        assert!(matches!(
            users.add("bob", password),
            Err(UsersError::Password)
        ));
    }
    assert!(is_name("DOMAIN\\jürgen.k@example.org"));
}
