use proptest::prelude::*;

use super::*;
use crate::bits::Secret;

fn credentials(target: AuthTarget, scheme: AuthScheme, user: &str) -> Credentials {
    let password = if user.is_empty() { "" } else { "open sesame" };
    Credentials {
        target,
        scheme,
        user: Secret::new(user.to_owned()),
        password: Secret::new(password.to_owned()),
    }
}

fn wallet(credentials: Vec<Credentials>) -> Wallet {
    Wallet::new(credentials, Arc::new(Kerberos::new(None)))
}

fn realm(target: AuthTarget) -> Realm {
    (target, "http://h:80".to_owned())
}

fn schemes(wallet: &Wallet, target: AuthTarget, headers: &[&str]) -> Vec<AuthScheme> {
    let challenges = Challenge::all(headers.iter().copied());
    let choices = wallet.choices(&realm(target), &challenges);
    choices.iter().map(|own| own.method.scheme()).collect()
}

const ALL: [&str; 3] = [
    "Basic realm=\"a, b\", Digest realm=\"x\", nonce=\"n\", qop=\"auth\"",
    "NTLM",
    "Negotiate",
];

#[test]
fn the_strongest_goes_first_wherever_it_stands() {
    use AuthScheme::*;
    let held =
        [Basic, Digest, Ntlm, Negotiate].map(|own| credentials(AuthTarget::Server, own, "u"));
    let all = wallet(held.to_vec());
    let found = schemes(&all, AuthTarget::Server, &ALL);
    assert_eq!(found, [Negotiate, Ntlm, Digest, Basic]);
    // Those of the server are nothing for a proxy.
    assert_eq!(schemes(&all, AuthTarget::Proxy, &ALL), []);
    let some = wallet(held[..1].to_vec());
    assert_eq!(schemes(&some, AuthTarget::Server, &ALL), [Basic]);
    assert_eq!(schemes(&some, AuthTarget::Server, &ALL[1..]), []);
}

#[test]
fn the_better_hash_is_taken() {
    let headers = [
        "Digest realm=\"r\", nonce=\"1\", qop=\"auth\", algorithm=MD5",
        "Digest realm=\"r\", nonce=\"2\", qop=\"auth\", algorithm=SHA-256",
        "Digest realm=\"r\", nonce=\"3\", qop=\"auth\", algorithm=SHA-256",
        "Digest realm=\"r\", nonce=\"4\", qop=\"auth\", algorithm=nobody",
    ];
    let of = |text: &str| {
        let challenge = &Challenge::all([text].into_iter())[0];
        Prompt::read(&challenge.parameters())
    };
    let challenges = Challenge::all(headers.into_iter());
    assert_eq!(best_prompt(&challenges), of(headers[1]));
    assert_eq!(best_prompt(&challenges[3..]), None);
}

#[test]
fn what_was_rejected_is_shown_to_nobody_by_any_scheme() {
    let held = [AuthScheme::Basic, AuthScheme::Digest];
    let held = held.map(|own| credentials(AuthTarget::Server, own, "u"));
    let other = credentials(AuthTarget::Server, AuthScheme::Ntlm, "another");
    let wallet = wallet([held.to_vec(), vec![other]].concat());
    let server = realm(AuthTarget::Server);
    let challenges = Challenge::all(ALL.into_iter());
    let choices = wallet.choices(&server, &challenges);
    let digest = choices
        .iter()
        .find(|own| own.method.scheme() == AuthScheme::Digest);
    wallet.reject(&server, &digest.expect("a choice").held);
    assert_eq!(schemes(&wallet, AuthTarget::Server, &ALL), []);
    // Another server, another account.
    let elsewhere = (AuthTarget::Server, "http://other:80".to_owned());
    let choices = wallet.choices(&elsewhere, &challenges);
    let left: Vec<_> = choices.iter().map(|own| own.method.scheme()).collect();
    assert_eq!(left, [AuthScheme::Ntlm]);
}

#[test]
fn the_services_own_for_the_proxy_cover_the_server_unless_it_has_others() {
    use AuthScheme::*;
    let own = credentials(AuthTarget::Proxy, Negotiate, "");
    let alone = wallet(vec![own.clone()]);
    assert_eq!(schemes(&alone, AuthTarget::Server, &ALL), [Negotiate]);
    assert_eq!(schemes(&alone, AuthTarget::Proxy, &ALL), [Negotiate]);
    let explicit = credentials(AuthTarget::Server, Basic, "u");
    let both = wallet(vec![own, explicit]);
    assert_eq!(schemes(&both, AuthTarget::Server, &ALL), [Basic]);
    // Those that somebody gave for the proxy are for the proxy alone.
    let given = wallet(vec![credentials(AuthTarget::Proxy, Negotiate, "u")]);
    assert_eq!(schemes(&given, AuthTarget::Server, &ALL), []);
}

#[test]
fn a_wallet_shows_nothing() {
    let wallet = wallet(vec![credentials(
        AuthTarget::Server,
        AuthScheme::Basic,
        "u",
    )]);
    assert_eq!(format!("{wallet:?}"), "Wallet(…)");
}

proptest! {
    #[test]
    fn any_header_is_answered_or_not(header in ".*") {
        let wallet = wallet(vec![credentials(AuthTarget::Server, AuthScheme::Digest, "u")]);
        let headers = [header.as_str(), &format!("Digest {header}")].map(str::to_owned);
        let challenges = Challenge::all(headers.iter().map(String::as_str));
        let _ = wallet.choices(&realm(AuthTarget::Server), &challenges);
    }
}
