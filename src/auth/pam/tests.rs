//! With the host's library, and stacks of our own.

use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;
use std::time::Instant;

use super::*;

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7));

/// A folder of services, in which `bitsd` is this stack; `{}` stands for the
/// folder.
pub(in crate::auth) struct Stack(tempfile::TempDir);

impl Stack {
    pub(in crate::auth) fn new(lines: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let stack = Self(folder);
        let lines = lines.replace("{}", &stack.0.path().display().to_string());
        std::fs::write(stack.0.path().join("bitsd"), lines).expect("written");
        stack
    }

    /// A stack that asks a script, which has the password on its standard input.
    /// That it says no is a system error to PAM, so another module says so.
    pub(in crate::auth) fn of_script(script: &str) -> Self {
        let stack = Self::new(
            "auth [success=done default=ignore] pam_exec.so quiet expose_authtok {}/check\n\
             auth requisite pam_deny.so\n\
             account required pam_permit.so\n",
        );
        let path = stack.0.path().join("check");
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).expect("written");
        let all = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(&path, all).expect("set");
        stack
    }

    pub(in crate::auth) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(in crate::auth) fn load(&self) -> Result<Pam, PamError> {
        Pam::load(&AccessSettings {
            pam_directory: Some(self.path().to_owned()),
            ..AccessSettings::default()
        })
    }

    fn check(&self, name: &str, password: &str) -> Result<Option<String>, NoVerdict> {
        self.load().expect("a service").check(name, password, HERE)
    }
}

#[test]
fn the_stack_decides() {
    let permit = Stack::new("auth required pam_permit.so\naccount required pam_permit.so\n");
    assert_eq!(permit.check("alice", "x"), Ok(Some("alice".to_owned())));
    let deny = Stack::new("auth required pam_deny.so\naccount required pam_permit.so\n");
    assert_eq!(deny.check("alice", "x"), Ok(None));
    // The password is right, and the account may not be used.
    let closed = Stack::new("auth required pam_permit.so\naccount required pam_deny.so\n");
    assert_eq!(closed.check("alice", "x"), Ok(None));
    let none = Stack::new("auth required pam_permit.so\n");
    assert_eq!(
        none.check("alice", "x"),
        Ok(None),
        "nothing says that it may"
    );
}

#[test]
fn modules_are_asked_with_name_password_and_address() {
    let stack = Stack::of_script(
        "read -r password\n\
         test \"$PAM_USER/$password/$PAM_RHOST/$PAM_SERVICE/$PAM_TTY\" = 'alice/a ü:b/192.0.2.7/bitsd/'",
    );
    assert_eq!(stack.check("alice", "a ü:b"), Ok(Some("alice".to_owned())));
    assert_eq!(stack.check("alice", "a ü:c"), Ok(None));
    assert_eq!(stack.check("bob", "a ü:b"), Ok(None));
    let mapped = "::ffff:192.0.2.7".parse().expect("an address");
    let pam = stack.load().expect("a service");
    assert_eq!(
        pam.check("alice", "a ü:b", mapped),
        Ok(Some("alice".to_owned()))
    );
}

#[test]
fn a_zero_octet_is_refused_before_any_module_sees_it() {
    let stack = Stack::of_script("touch \"$(dirname \"$0\")/was-asked\"");
    for (name, password) in [("alice", "a\0b"), ("alice\0", "a")] {
        assert_eq!(stack.check(name, password), Ok(None));
    }
    assert!(!stack.path().join("was-asked").exists());
    assert_eq!(stack.check("alice", "a"), Ok(Some("alice".to_owned())));
    assert!(stack.path().join("was-asked").exists());
}

#[test]
fn the_name_that_the_modules_leave_behind_counts() {
    // It takes `anonymous` for `ftp`.
    let stack = Stack::new("auth required pam_ftp.so ignore\naccount required pam_permit.so\n");
    assert_eq!(stack.check("anonymous", "x"), Ok(Some("ftp".to_owned())));
    for no_name in ["", "a\nb", &"x".repeat(257)] {
        assert!(!is_account(no_name), "{no_name:?}");
    }
}

#[test]
fn a_failure_is_not_held_up() {
    let stack = Stack::new(
        "auth optional pam_faildelay.so delay=20000000\n\
         auth required pam_deny.so\naccount required pam_permit.so\n",
    );
    let start = Instant::now();
    assert_eq!(stack.check("alice", "x"), Ok(None));
    assert!(start.elapsed() < Duration::from_secs(5));
}

#[test]
fn what_pam_cannot_find_out_is_no_refusal() {
    let stack = Stack::new("auth required pam_of_nobody.so\naccount required pam_permit.so\n");
    assert!(stack.check("alice", "x").is_err());
    for (status, expected) in [(7, true), (10, true), (12, true), (13, true), (27, true)] {
        assert_eq!(is_refusal(Status(status)), expected, "{status}");
    }
    for status in [1, 2, 3, 4, 5, 9, 26, 28, 30, 99, -1] {
        assert!(!is_refusal(Status(status)), "{status}");
    }
}

#[test]
fn a_start_without_service_is_refused_and_says_where_it_was_looked_for() {
    let folder = tempfile::tempdir().expect("a folder");
    let refused = |settings: AccessSettings| Pam::load(&settings).expect_err("refused").to_string();
    let own = refused(AccessSettings {
        pam_directory: Some(folder.path().to_owned()),
        ..AccessSettings::default()
    });
    let place = folder.path().display().to_string();
    assert!(
        own.contains("access.pam_service") && own.contains(&place),
        "{own}"
    );
    // There is an `other` in the host's own folder, which is not meant.
    let host = refused(AccessSettings {
        pam_service: "bitsd-of-nobody".to_owned(),
        ..AccessSettings::default()
    });
    assert!(host.contains("/etc/pam.d"), "{host}");
}

#[test]
fn several_can_ask_at_the_same_time() {
    let stack = Stack::of_script("read -r password\ntest \"$password\" = \"secret-$PAM_USER\"");
    let pam = stack.load().expect("a service");
    std::thread::scope(|scope| {
        for number in 0..4 {
            let pam = &pam;
            scope.spawn(move || {
                let name = format!("user{number}");
                let right = pam.check(&name, &format!("secret-{name}"), HERE);
                assert_eq!(right, Ok(Some(name.clone())));
                assert_eq!(pam.check(&name, "secret-user9", HERE), Ok(None));
            });
        }
    });
}
