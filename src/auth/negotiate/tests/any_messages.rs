//! Messages as a client, or somebody in between, might choose them.

use proptest::prelude::*;

use super::*;

/// Messages from which a client, or somebody in between, may choose.
fn messages(types: &[ObjectIdentifier]) -> Vec<Vec<u8>> {
    let mut messages = Vec::new();
    let mics = [None, Some(theirs(&list(types))), Some(b"theirs".to_vec())];
    let tokens = [
        None,
        Some(&b"NTLMSSP\0negotiate"[..]),
        Some(b"authenticate"),
        Some(b"ticket"),
        Some(b"quiet ticket"),
        Some(b"ticket of three"),
        Some(b"third"),
    ];
    for token in tokens {
        for mic in &mics {
            messages.push(init(types, token, mic.as_deref()));
            messages.push(resp(token, mic.as_deref()));
        }
        messages.extend(token.map(<[u8]>::to_vec));
    }
    messages
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_096))]

    #[test]
    fn nobody_gets_in_by_another_choice_without_a_signature(
        types in prop::sample::subsequence(vec![NEGOEX, NTLM, KERBEROS], 1..4).prop_shuffle(),
        which in 0..3_usize,
        picks in prop::collection::vec((any::<prop::sample::Index>(), any::<bool>()), 1..6),
    ) {
        let mut exchange = [both, ntlm_only, kerberos_only][which]();
        let has = |mech: ObjectIdentifier| match which {
            0 => mech != NEGOEX,
            1 => mech == NTLM,
            _ => mech == KERBEROS,
        };
        let is_first_choice = has(types[0]);
        let right = theirs(&list(&types));
        // Those that fit the leg come more often than any of them.
        let (all, begin) = (messages(&types), init(&types, Some(b"ticket"), None));
        let (mut is_signed, mut is_over) = (false, false);
        for (leg, (pick, is_usual)) in picks.into_iter().enumerate() {
            let message = if leg == 0 && is_usual { &begin } else { pick.get(&all) };
            let mic = NegTokenResp::decode(message).ok().and_then(|it| it.mech_list_mic);
            is_signed |= mic == Some(&*right);
            let answer = step(&mut *exchange, message);
            if is_over {
                prop_assert_eq!(answer, MALFORMED);
                continue;
            }
            let is_bare = leg == 0 && !message.starts_with(b"\x60");
            if is_bare {
                break;
            }
            is_over = !matches!(answer, Answer::More(_));
            if let Answer::In(_) = answer {
                prop_assert!(is_first_choice || is_signed);
            }
        }
    }

    #[test]
    fn any_tokens_are_answered_or_refused(tokens: Vec<Vec<u8>>, begins: bool) {
        let mut exchange = both();
        if begins {
            ntlm_first(&mut *exchange);
        }
        for token in tokens {
            prop_assert!(!matches!(step(&mut *exchange, &token), Answer::In(_)));
        }
    }
}
