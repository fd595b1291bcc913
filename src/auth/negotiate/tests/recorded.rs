//! Exchanges of another implementation.

use super::*;
use crate::mechanism::spnego::tests::Side;
use crate::mechanism::spnego::tests::Token;
use crate::mechanism::spnego::tests::recorded;

/// What the mechanism said to a token of a recorded exchange.
fn said(at: usize, tokens: &[Token]) -> Option<(Vec<u8>, Said)> {
    let asked = tokens[at].inner.as_ref()?.0.clone();
    let answer = tokens.get(at + 1);
    let token = answer.and_then(|answer| answer.inner.as_ref());
    let token = token.map(|token| token.0.clone());
    let goes_on = tokens[at + 1..].iter().any(|token| {
        let is_his = token.by == Side::Client;
        is_his && token.inner.is_some()
    });
    let said = match token {
        Some(token) if goes_on => Said::More(token),
        token => Said::In(token),
    };
    Some((asked, said))
}

#[test]
fn exchanges_of_pyspnego_go_octet_for_octet() {
    let mut names = Vec::new();
    for exchange in recorded() {
        if exchange.name == "hints" {
            continue;
        }
        let tokens = &exchange.tokens;
        let is_second = exchange.name.ends_with("second");
        // What comes first is not for the mechanism, where it is the second.
        let script: Vec<_> = (0..tokens.len())
            .filter(|at| tokens[*at].by == Side::Client && !(is_second && *at == 0))
            .filter_map(|at| said(at, tokens))
            .collect();
        let mic = |side| {
            let mut mics = tokens.iter().filter(|token| token.by == side);
            let mic = mics.find_map(|token| token.mech_list_mic.as_ref());
            mic.map(|mic| mic.0.clone()).unwrap_or_default()
        };
        let keys = Keys::Recorded {
            list: tokens[0].mech_list.as_ref().expect("a list").0.clone(),
            theirs: mic(Side::Client),
            ours: mic(Side::Server),
        };
        let scripted = Scripted::new(move |leg, token| match script.get(leg) {
            Some((asked, said)) if asked == token => said.clone(),
            Some(_) | None => Said::No(AuthError::Malformed),
        });
        let scripted = Some(scripted.with(keys));
        let negotiate = if exchange.name.starts_with("NTLM") {
            negotiate(scripted, None)
        } else {
            negotiate(None, scripted)
        };
        let mut attempt = negotiate.start(&peer());
        for (at, token) in tokens.iter().enumerate() {
            if token.by == Side::Server {
                continue;
            }
            let answer = tokens.get(at + 1).map(|answer| answer.octets.0.clone());
            let expected = match answer {
                Some(answer) if at + 2 < tokens.len() => Answer::More(answer),
                answer => Answer::In(answer),
            };
            let answered = step(&mut *attempt, &token.octets.0);
            assert_eq!(answered, expected, "{} {at}", exchange.name);
        }
        names.push(exchange.name);
    }
    assert_eq!(names.len(), 5, "{names:?}");
}
