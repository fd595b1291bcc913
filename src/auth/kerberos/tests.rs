use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;

use super::*;
use crate::config::Settings;

/// Settings with a keytab of these octets and this mode.
fn settings(folder: &Path, octets: &[u8], mode: u32) -> Arc<Current> {
    let keytab = folder.join("keytab");
    std::fs::write(&keytab, octets).expect("a file");
    std::fs::set_permissions(&keytab, Permissions::from_mode(mode)).expect("a mode");
    let mut settings = Settings::default();
    settings.access.keytab = Some(keytab);
    settings.service.state_directory = folder.to_owned();
    Arc::new(Current::new(settings))
}

fn parties(client: &str, service: &str) -> gss::Parties {
    gss::Parties {
        client: client.into(),
        service: service.into(),
        mechanism: gss::KERBEROS.to_vec(),
    }
}

#[test]
fn without_a_keytab_or_a_library_kerberos_is_not_offered() {
    let none = Arc::new(Current::new(Settings::default()));
    assert!(Kerberos::load(&none).expect("no error").is_none());
    let folder = tempfile::tempdir().expect("a folder");
    let missing = OsStr::new("libgssapi_krb5.so.none");
    let settings = settings(folder.path(), b"\x05\x02", 0o600);
    let loaded = Kerberos::load_from(missing, &settings);
    assert!(loaded.expect("no error").is_none());
}

#[test]
fn a_keytab_that_is_not_there_or_open_to_others_refuses_the_start() {
    let folder = tempfile::tempdir().expect("a folder");
    let open = settings(folder.path(), b"\x05\x02", 0o644);
    let refused = Kerberos::load(&open).err();
    assert!(matches!(
        refused,
        Some(KerberosError::Keytab(SecretFileError::Open { .. }))
    ));
    std::fs::remove_file(folder.path().join("keytab")).expect("it was there");
    let refused = Kerberos::load(&open).err();
    assert!(matches!(
        refused,
        Some(KerberosError::Keytab(SecretFileError::Read { .. }))
    ));
}

#[test]
fn an_account_is_the_principal_with_its_realm() {
    for name in [
        "alice@EXAMPLE.TEST",
        "alice/admin@R",
        "a\\@b@R",
        "a\\\\@R",
        "größe@R",
    ] {
        assert_eq!(account_name(name.as_bytes()).as_deref(), Ok(name));
    }
    assert_eq!(account_name(b"alice@R\0").as_deref(), Ok("alice@R"));
    let long = format!("{}@R", "x".repeat(MAX_ACCOUNT - 1));
    for name in [
        "",
        "alice",
        "@R",
        "alice@",
        "a\nb@R",
        "a\0b@R",
        "a@R\0\0",
        "a@X\\@R",
        "a\\@R",
        "a\\\\\\@R",
        "a@R\\",
        "a@X\\/R",
        &long,
    ] {
        let refused = account_name(name.as_bytes());
        assert_eq!(refused, Err(Refusal("the client's name is no account")));
    }
    assert!(account_name(b"alic\xe9@R").is_err());
}

#[test]
fn names_that_everybody_may_have_are_no_accounts() {
    for name in [
        "WELLKNOWN/ANONYMOUS@WELLKNOWN:ANONYMOUS",
        "WELLKNOWN/ANONYMOUS@R",
        "alice@WELLKNOWN:ANONYMOUS",
    ] {
        let refused = account_name(name.as_bytes());
        assert_eq!(refused, Err(Refusal("the client is anonymous")), "{name}");
    }
}

#[test]
fn the_key_must_be_that_of_a_service_of_ours() {
    let none = gss::Flags::default();
    for service in [
        "HTTP/h@R",
        "http/h@R",
        "host/h@R",
        "WSMAN/h@R",
        "HOST$@R",
        "RestrictedKrbHost/h@R",
    ] {
        let account = account(&parties("alice@R", service), none);
        assert_eq!(account.as_deref(), Ok("alice@R"), "{service}");
    }
    for service in ["cifs/h@R", "HTTPS/h@R", "/h@R", "HTTP\\/h/x@R", "@R", ""] {
        let account = account(&parties("alice@R", service), none);
        assert!(account.is_err(), "{service}");
    }
    let mut other = parties("alice@R", "HTTP/h@R");
    other.mechanism = vec![0x2b, 6, 1, 5, 5, 2];
    assert!(account(&other, none).is_err());
}

#[test]
fn the_ticket_must_claim_a_service_of_ours() {
    for service in ["HTTP", "http", "Host", "WSMAN"] {
        assert!(is_service(service), "{service}");
    }
    for service in ["cifs", "HTTPS", "", "HTTP ", "RestrictedKrbHost"] {
        assert!(!is_service(service), "{service}");
    }
}

#[test]
fn a_binding_is_asked_for_over_tls_alone() {
    let tls = Channel::Tls(ChannelBinding::of_end_point(b"a certificate"));
    let is_asked = |level, channel| expected_binding(level, channel).is_some();
    for (level, is_expected) in [
        (ChannelBindingLevel::None, false),
        (ChannelBindingLevel::Relaxed, true),
        (ChannelBindingLevel::Strict, true),
    ] {
        assert_eq!(is_asked(level, &tls), is_expected, "{level:?}");
        assert!(!is_asked(level, &Channel::Plain), "{level:?}");
    }
}

#[test]
fn only_encrypted_messages_of_rfc_4121_have_a_number() {
    let message = |octets: [u8; 4], number: u64| {
        let mut message = octets.to_vec();
        message.extend_from_slice(&[0; 4]);
        message.extend_from_slice(&number.to_be_bytes());
        message
    };
    assert_eq!(number(&message([5, 4, 2, 0xff], 7)), Some(7));
    assert_eq!(number(&message([5, 4, 6, 0xff], u64::MAX)), Some(u64::MAX));
    // Signed only; a message of RC4; too short.
    assert_eq!(number(&message([5, 4, 4, 0xff], 7)), None);
    assert_eq!(number(&message([2, 1, 0x11, 0], 7)), None);
    assert_eq!(number(&message([5, 4, 2, 0xff], 7)[..15]), None);
    assert_eq!(number(b""), None);
}
