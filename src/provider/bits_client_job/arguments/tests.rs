use super::*;

fn values(pairs: &[(&str, Value)]) -> Values {
    let mut values = Values::new();
    for (name, value) in pairs {
        values.insert(name, Some(value.clone()));
    }
    values
}

/// The HRESULT of a refusal; none for another error.
fn code<T>(outcome: Result<T, Error>) -> Option<Hresult> {
    match outcome.err() {
        Some(Error::Failed { code, .. }) => Some(code),
        _ => None,
    }
}

fn number(value: u16) -> Value {
    Value::Uint16(value)
}

fn create() -> Values {
    values(&[
        ("DisplayName", "a".into()),
        ("RemoteUrl", "http://h/a".into()),
        ("LocalFile", "C:\\a".into()),
    ])
}

#[test]
fn a_job_is_created_running_unless_suspend_is_true() {
    let mut arguments = create();
    assert!(!wish(&arguments).expect("a wish").suspended);
    arguments.insert("Suspend", Some(Value::Boolean(true)));
    let made = wish(&arguments).expect("a wish");
    assert!(made.suspended);
    assert_eq!(made.description, "");
    let file = WishedFile {
        remote_url: "http://h/a".to_owned(),
        local_file: "C:\\a".to_owned(),
        ..WishedFile::default()
    };
    assert_eq!(made.files, [file]);
}

#[test]
fn an_upload_reply_is_refused_and_so_is_an_unknown_account() {
    for (name, value, expected) in [
        ("Type", 0, None),
        ("Type", 1, None),
        ("Type", 2, Some(Hresult::E_NOTIMPL)),
        ("ServiceAccount", 0, None),
        ("ServiceAccount", 2, None),
        ("ServiceAccount", 3, Some(Hresult::E_INVALIDARG)),
    ] {
        let mut arguments = create();
        arguments.insert(name, Some(number(value)));
        assert_eq!(code(wish(&arguments)), expected, "{name} {value}");
    }
}

#[test]
fn what_a_method_needs_is_named_when_it_is_missing() {
    for missing in ["DisplayName", "RemoteUrl", "LocalFile"] {
        let mut arguments = create();
        arguments.insert(missing, None);
        match wish(&arguments) {
            Err(Error::BadValue(value)) => {
                assert_eq!((&*value.name, value.wrong), (missing, Wrong::Missing));
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn job_states_are_commands() {
    let of = |state| command(&values(&[("JobState", number(state))]));
    assert_eq!(of(0).expect("a command"), Command::Cancel);
    assert_eq!(of(1).expect("a command"), Command::Complete);
    assert_eq!(of(2).expect("a command"), Command::Resume);
    assert_eq!(of(3).expect("a command"), Command::Suspend);
    assert_eq!(code(of(4)), Some(Hresult::E_INVALIDARG));
}

#[test]
fn credentials_are_checked_before_anything_keeps_them() {
    let of = |target, scheme, user: Option<&str>, password: Option<&str>| {
        let mut arguments = values(&[("Target", number(target)), ("Scheme", number(scheme))]);
        arguments.insert("UserName", user.map(Into::into));
        arguments.insert("Password", password.map(Into::into));
        credentials(&arguments)
    };
    let (user, password) = (Some("u"), Some(""));
    assert!(of(0, 0, user, password).is_ok());
    assert!(of(1, 1, Some("a:b"), password).is_ok());
    assert!(of(0, 0, Some(&"ü".repeat(300)), Some(&"p".repeat(65_535))).is_ok());
    for user in ["u", "DOMAIN\\u", "u@REALM"] {
        assert!(of(0, 2, Some(user), Some("p")).is_ok());
        assert!(of(1, 3, Some(user), Some("p")).is_ok());
    }
    // A script that cannot send null sends nothing else.
    for (user, password) in [(None, None), (Some(""), Some(""))] {
        let own = of(1, 3, user, password).expect("the service's own");
        assert!(own.is_implicit());
    }
    for (outcome, expected) in [
        (of(2, 0, user, password), Hresult::BG_E_INVALID_AUTH_TARGET),
        (of(0, 5, user, password), Hresult::BG_E_INVALID_AUTH_SCHEME),
        (of(0, 2, None, password), Hresult::E_INVALIDARG),
        (of(0, 2, user, None), Hresult::E_INVALIDARG),
        (of(0, 3, Some(""), Some("p")), Hresult::E_INVALIDARG),
        (of(0, 4, None, None), Hresult::E_NOTIMPL),
        (of(0, 4, user, password), Hresult::E_NOTIMPL),
        (of(0, 0, None, None), Hresult::E_INVALIDARG),
        (of(0, 1, None, password), Hresult::E_INVALIDARG),
        (of(0, 0, user, None), Hresult::E_INVALIDARG),
        (of(0, 0, Some("a:b"), password), Hresult::E_INVALIDARG),
        (of(0, 1, Some("a\r\nX: y"), password), Hresult::E_INVALIDARG),
        (
            of(0, 0, Some(&"u".repeat(301)), password),
            Hresult::BG_E_USERNAME_TOO_LARGE,
        ),
        (
            of(0, 0, user, Some(&"p".repeat(65_536))),
            Hresult::BG_E_PASSWORD_TOO_LARGE,
        ),
    ] {
        assert_eq!(code(outcome), Some(expected));
    }
}

#[test]
fn a_certificate_is_named_by_store_and_hash_or_subject() {
    let of = |location, store: &str, octets: usize| {
        certificate_by_hash(&values(&[
            ("CertStoreLocation", number(location)),
            ("StoreName", store.into()),
            ("CertHash", Value::Array(vec![Value::Uint8(7); octets])),
        ]))
    };
    assert_eq!(
        of(1, "MY", 20).expect("a certificate").choice,
        CertificateChoice::Hash([7; 20])
    );
    for (outcome, expected) in [
        (of(0, "MY", 20), Hresult::E_NOTIMPL),
        (of(8, "MY", 20), Hresult::E_NOTIMPL),
        (of(1, "MY", 19), Hresult::E_INVALIDARG),
        (of(1, "MY", 21), Hresult::E_INVALIDARG),
        (of(1, "", 20), Hresult::E_INVALIDARG),
        (of(1, "..", 20), Hresult::E_INVALIDARG),
        (of(1, "a/b", 20), Hresult::E_INVALIDARG),
    ] {
        assert_eq!(code(outcome), Some(expected));
    }
    let by_name = certificate_by_name(&values(&[
        ("CertStoreLocation", number(1)),
        ("StoreName", "MY".into()),
        ("SubjectName", "host".into()),
    ]));
    assert_eq!(
        by_name.expect("a certificate").choice,
        CertificateChoice::Subject("host".to_owned())
    );
}

#[test]
fn proxy_lists_go_with_override_only() {
    let of = |usage, list: Option<&str>, bypass: Option<&str>| {
        let mut arguments = values(&[("ProxyUsage", number(usage))]);
        arguments.insert("ProxyList", list.map(Into::into));
        arguments.insert("ProxyBypassList", bypass.map(Into::into));
        proxy(&arguments)
    };
    assert_eq!(of(0, None, None).expect("a proxy"), Proxy::Preconfig);
    assert_eq!(of(1, None, Some("")).expect("a proxy"), Proxy::None);
    assert_eq!(of(3, None, None).expect("a proxy"), Proxy::Automatic);
    assert_eq!(
        of(2, Some("p:1"), None).expect("a proxy"),
        Proxy::Override {
            list: "p:1".to_owned(),
            bypass: String::new()
        }
    );
    let long = "p".repeat(4_001);
    for (outcome, expected) in [
        (of(0, Some("p:1"), None), Hresult::E_INVALIDARG),
        (of(1, None, Some("h")), Hresult::E_INVALIDARG),
        (of(2, None, None), Hresult::E_INVALIDARG),
        (of(2, None, Some("h")), Hresult::E_INVALIDARG),
        (of(3, Some("p:1"), None), Hresult::E_INVALIDARG),
        (of(4, None, None), Hresult::E_NOTIMPL),
        (of(2, Some(&long), None), Hresult::BG_E_PROXY_LIST_TOO_LARGE),
        (
            of(2, Some("p"), Some(&long)),
            Hresult::BG_E_PROXY_BYPASS_LIST_TOO_LARGE,
        ),
    ] {
        assert_eq!(code(outcome), Some(expected));
    }
}

#[test]
fn a_put_changes_what_it_names_and_takes_no_null() {
    let put = values(&[("Priority", Value::Uint32(0)), ("Description", "".into())]);
    let expected = Changes {
        priority: Some(0),
        description: Some(String::new()),
        ..Changes::default()
    };
    assert_eq!(changes(&put).expect("changes"), expected);
    let mut null = Values::new();
    null.insert("DisplayName", None);
    assert!(matches!(changes(&null), Err(Error::BadValue(_))));
}

#[test]
fn sentences_come_in_the_language_that_is_asked_for_or_in_english() {
    let asked = |value: Option<Value>| {
        let mut arguments = Values::new();
        arguments.insert("LanguageId", value);
        language(&arguments)
    };
    for (langid, wanted) in [
        (0x0416, Language::Portuguese),
        (0x0409, Language::English),
        (0x0407, Language::English),
        (u32::MAX, Language::English),
    ] {
        let found = asked(Some(Value::Uint32(langid)));
        assert_eq!(found.expect("a language"), wanted, "{langid}");
    }
    assert_eq!(asked(None).expect("a language"), Language::English);
    assert!(asked(Some(Value::Boolean(true))).is_err());
}
