use std::net::Ipv4Addr;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::atomic::Ordering;
use std::task::Context;
use std::task::Poll;
use std::task::Waker;

use der::asn1::ObjectIdentifier;

use super::super::Bound;
use super::super::Channel;
use super::*;
use crate::config::Settings;
use crate::mechanism::spnego::tests::init;
use crate::mechanism::spnego::tests::initial;
use crate::mechanism::spnego::tests::list;

mod any_messages;
mod recorded;
mod scripted;

use scripted::CONSTANT;
use scripted::Keys;
use scripted::Said;
use scripted::Scripted;
use scripted::theirs;

/// What a leg came to, to be compared.
#[derive(Debug, Eq, PartialEq)]
enum Answer {
    More(Vec<u8>),
    In(Option<Vec<u8>>),
    No(AuthError),
}

fn step(exchange: &mut dyn Exchange, token: &[u8]) -> Answer {
    match now(exchange.step(token)) {
        Ok(Leg::Continue(token)) => Answer::More(token),
        Ok(Leg::Done(proven)) => {
            assert_eq!(&*proven.account, "alice");
            assert_eq!(proven.bound, Bound::Yes);
            Answer::In(proven.token)
        }
        Err(error) => Answer::No(error),
    }
}

/// What comes of a future that waits for nothing.
fn now<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("it waits"),
    }
}

fn peer() -> Peer {
    Peer {
        address: SocketAddr::from((Ipv4Addr::LOCALHOST, 1)),
        channel: Channel::Plain,
        certificate: None,
    }
}

fn negotiate(ntlm: Option<Scripted>, kerberos: Option<Scripted>) -> Negotiate {
    let start = |scripted| -> Arc<dyn Start> { Arc::new(scripted) };
    Negotiate {
        ntlm: ntlm.map(start),
        kerberos: kerberos.map(start),
        settings: Arc::new(Current::new(Settings::default())),
    }
}

/// A log-on where both mechanisms are there.
fn both() -> Box<dyn Exchange> {
    negotiate(Some(Scripted::ntlm()), Some(Scripted::kerberos())).start(&peer())
}

fn ntlm_only() -> Box<dyn Exchange> {
    negotiate(Some(Scripted::ntlm()), None).start(&peer())
}

fn kerberos_only() -> Box<dyn Exchange> {
    negotiate(None, Some(Scripted::kerberos())).start(&peer())
}

/// A message of the client.
fn resp(token: Option<&[u8]>, mic: Option<&[u8]>) -> Vec<u8> {
    let message = NegTokenResp {
        neg_state: Some(NegState::AcceptIncomplete),
        response_token: token,
        mech_list_mic: mic,
        ..NegTokenResp::default()
    };
    message.encode()
}

fn more(
    state: NegState,
    mech: Option<MechType>,
    token: Option<&[u8]>,
    mic: Option<&[u8]>,
) -> Answer {
    Answer::More(answer(state, mech, token, mic))
}

/// The last message.
fn complete(mech: Option<MechType>, token: Option<&[u8]>, mic: Option<&[u8]>) -> Answer {
    Answer::In(Some(answer(NegState::AcceptCompleted, mech, token, mic)))
}

fn answer(
    state: NegState,
    mech: Option<MechType>,
    token: Option<&[u8]>,
    mic: Option<&[u8]>,
) -> Vec<u8> {
    let message = NegTokenResp {
        neg_state: Some(state),
        supported_mech: mech,
        response_token: token,
        mech_list_mic: mic,
    };
    message.encode()
}

fn ours(types: &[ObjectIdentifier]) -> Vec<u8> {
    [b"ours".to_vec(), list(types)].concat()
}

const REFUSED: Answer = Answer::No(AuthError::Refused);
const MALFORMED: Answer = Answer::No(AuthError::Malformed);

const KERBEROS: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113554.1.2.2");
const MS_KERBEROS: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.48018.1.2.2");
const NEGOEX: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.311.2.2.30");
const NTLM: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.311.2.2.10");

/// What Windows lists.
const WINDOWS: [ObjectIdentifier; 4] = [MS_KERBEROS, KERBEROS, NEGOEX, NTLM];

/// The way of NTLM up to its last message, when it is the first of a list.
fn ntlm_first(exchange: &mut dyn Exchange) {
    let first = init(&[NTLM], Some(b"NTLMSSP\0negotiate"), None);
    let ntlm = Some(MechType::Ntlm);
    let challenge = more(NegState::AcceptIncomplete, ntlm, Some(b"challenge"), None);
    assert_eq!(step(exchange, &first), challenge);
}

/// The same, when it is not the first.
fn ntlm_second(exchange: &mut dyn Exchange, types: &[ObjectIdentifier]) {
    let first = init(types, Some(b"ticket"), None);
    let request = more(NegState::RequestMic, Some(MechType::Ntlm), None, None);
    assert_eq!(step(exchange, &first), request);
    let challenge = more(NegState::AcceptIncomplete, None, Some(b"challenge"), None);
    let second = resp(Some(b"NTLMSSP\0negotiate"), None);
    assert_eq!(step(exchange, &second), challenge);
}

#[test]
fn the_first_choice_needs_no_signature() {
    let mut exchange = both();
    ntlm_first(&mut *exchange);
    let last = resp(Some(b"authenticate"), None);
    assert_eq!(step(&mut *exchange, &last), complete(None, None, None));
}

#[test]
fn a_signature_is_answered_by_ours() {
    let mut exchange = both();
    ntlm_first(&mut *exchange);
    let last = resp(Some(b"authenticate"), Some(&theirs(&list(&[NTLM]))));
    let answer = complete(None, None, Some(&ours(&[NTLM])));
    assert_eq!(step(&mut *exchange, &last), answer);
}

#[test]
fn a_signature_that_is_sent_must_be_right() {
    for wrong in [&b""[..], b"theirs", &ours(&[NTLM])] {
        let mut exchange = both();
        ntlm_first(&mut *exchange);
        let last = resp(Some(b"authenticate"), Some(wrong));
        assert_eq!(step(&mut *exchange, &last), REFUSED);
        assert_eq!(exchange.claimed(), Some("alice"));
        let right = resp(Some(b"authenticate"), Some(&theirs(&list(&[NTLM]))));
        assert_eq!(step(&mut *exchange, &right), MALFORMED);
    }
}

#[test]
fn a_ticket_logs_on_in_one_leg() {
    let mechs = [
        (KERBEROS, MechType::Kerberos),
        (MS_KERBEROS, MechType::MicrosoftKerberos),
    ];
    for (first, named) in mechs {
        let ticket = initial(KERBEROS, b"\x01\x00ticket");
        let token = init(&[first, KERBEROS, NTLM], Some(&ticket), None);
        let answer = complete(Some(named), Some(b"reply"), None);
        assert_eq!(step(&mut *both(), &token), answer);
    }
    // Without an answer by Kerberos, the client has keys before he sends it,
    // and may sign.
    let types = [MS_KERBEROS, KERBEROS];
    let mic = theirs(&list(&types));
    let signed = init(&types, Some(b"quiet ticket"), Some(&mic));
    let mech = Some(MechType::MicrosoftKerberos);
    let answer = complete(mech, None, Some(&ours(&types)));
    assert_eq!(step(&mut *both(), &signed), answer);
    let wrong = init(&types, Some(b"quiet ticket"), Some(b"theirs"));
    assert_eq!(step(&mut *both(), &wrong), REFUSED);
}

#[test]
fn a_ticket_may_need_three_legs() {
    for (mic, answered) in [
        (None, None),
        (Some(theirs(&list(&WINDOWS))), Some(ours(&WINDOWS))),
    ] {
        let mut exchange = both();
        let first = init(&WINDOWS, Some(b"ticket of three"), None);
        let mech = Some(MechType::MicrosoftKerberos);
        let reply = more(NegState::AcceptIncomplete, mech, Some(b"reply"), None);
        assert_eq!(step(&mut *exchange, &first), reply);
        let last = resp(Some(b"third"), mic.as_deref());
        let answer = complete(None, None, answered.as_deref());
        assert_eq!(step(&mut *exchange, &last), answer);
    }
}

#[test]
fn without_a_token_the_first_choice_is_told_and_waited_for() {
    let mut exchange = both();
    let ntlm = Some(MechType::Ntlm);
    let told = more(NegState::AcceptIncomplete, ntlm, None, None);
    assert_eq!(step(&mut *exchange, &init(&[NTLM], None, None)), told);
    let challenge = more(NegState::AcceptIncomplete, None, Some(b"challenge"), None);
    let second = resp(Some(b"NTLMSSP\0negotiate"), None);
    assert_eq!(step(&mut *exchange, &second), challenge);
    let last = resp(Some(b"authenticate"), None);
    assert_eq!(step(&mut *exchange, &last), complete(None, None, None));
    // There are no keys to sign with.
    let signed = init(&[NTLM], None, Some(&theirs(&list(&[NTLM]))));
    assert_eq!(step(&mut *both(), &signed), MALFORMED);
}

#[test]
fn the_second_choice_needs_a_signature() {
    for types in [&WINDOWS[..], &[KERBEROS, NTLM], &[NEGOEX, NTLM]] {
        let mut exchange = ntlm_only();
        ntlm_second(&mut *exchange, types);
        let last = resp(Some(b"authenticate"), Some(&theirs(&list(types))));
        let answer = complete(None, None, Some(&ours(types)));
        assert_eq!(step(&mut *exchange, &last), answer);

        for missing in [None, Some(&b"theirs"[..])] {
            let mut exchange = ntlm_only();
            ntlm_second(&mut *exchange, types);
            let last = resp(Some(b"authenticate"), missing);
            assert_eq!(step(&mut *exchange, &last), REFUSED);
            assert_eq!(exchange.claimed(), Some("alice"));
        }
    }
}

#[test]
fn a_signature_that_everybody_has_is_none() {
    let ntlm = || Scripted::ntlm().with(Keys::Constant);
    let last = resp(Some(b"authenticate"), Some(CONSTANT));
    let mut exchange = negotiate(Some(ntlm()), None).start(&peer());
    ntlm_second(&mut *exchange, &WINDOWS);
    assert_eq!(step(&mut *exchange, &last), REFUSED);
    assert_eq!(exchange.claimed(), Some("alice"));
    // Where none is needed, clients that do not sign send it all the same.
    let mut exchange = negotiate(Some(ntlm()), None).start(&peer());
    ntlm_first(&mut *exchange);
    let answer = complete(None, None, Some(CONSTANT));
    assert_eq!(step(&mut *exchange, &last), answer);
}

#[test]
fn a_list_that_somebody_has_changed_is_found_out() {
    // The client has listed Kerberos first; it was struck on the way.
    let mut exchange = both();
    ntlm_first(&mut *exchange);
    let last = resp(Some(b"authenticate"), Some(&theirs(&list(&WINDOWS))));
    assert_eq!(step(&mut *exchange, &last), REFUSED);
    // It was made one that nobody has.
    let mut exchange = both();
    ntlm_second(&mut *exchange, &[NEGOEX, NTLM]);
    let last = resp(Some(b"authenticate"), Some(&theirs(&list(&WINDOWS))));
    assert_eq!(step(&mut *exchange, &last), REFUSED);
}

/// The way of Kerberos up to our signature, when it is not the first.
fn kerberos_second() -> Box<dyn Exchange> {
    let mut exchange = kerberos_only();
    let types = [NTLM, KERBEROS];
    let first = init(&types, Some(b"NTLMSSP\0negotiate"), Some(b"of NTLM"));
    let request = more(NegState::RequestMic, Some(MechType::Kerberos), None, None);
    assert_eq!(step(&mut *exchange, &first), request);
    exchange
}

#[test]
fn where_our_token_is_the_last_one_the_client_signs_after_us() {
    let types = [NTLM, KERBEROS];
    let (state, ours) = (NegState::AcceptIncomplete, ours(&types));
    let signed = more(state, None, Some(b"reply"), Some(&ours));
    let right = theirs(&list(&types));
    for (token, mic, expected) in [
        (None, Some(&*right), Answer::In(None)),
        (None, Some(&b"theirs"[..]), REFUSED),
        (None, None, REFUSED),
        (Some(&b"ticket"[..]), Some(&*right), MALFORMED),
    ] {
        let mut exchange = kerberos_second();
        assert_eq!(step(&mut *exchange, &resp(Some(b"ticket"), None)), signed);
        assert_eq!(step(&mut *exchange, &resp(token, mic)), expected);
        if expected == REFUSED {
            assert_eq!(exchange.claimed(), Some("alice"));
        }
        assert_eq!(step(&mut *exchange, &resp(None, Some(&right))), MALFORMED);
    }
}

#[test]
fn where_his_token_is_the_last_one_the_client_signs_with_it() {
    let types = [NTLM, KERBEROS];
    let right = theirs(&list(&types));
    let last = complete(None, None, Some(&ours(&types)));
    for (mic, expected) in [
        (Some(&*right), last),
        (Some(&b"theirs"[..]), REFUSED),
        (None, REFUSED),
    ] {
        let mut exchange = kerberos_second();
        let quiet = resp(Some(b"quiet ticket"), mic);
        assert_eq!(step(&mut *exchange, &quiet), expected);
    }
}

#[test]
fn what_cannot_sign_is_good_only_for_the_first_choice() {
    let ntlm = || Some(Scripted::ntlm().with(Keys::None));
    let types = [KERBEROS, NTLM];
    let mut exchange = negotiate(ntlm(), None).start(&peer());
    ntlm_first(&mut *exchange);
    let last = resp(Some(b"authenticate"), None);
    assert_eq!(step(&mut *exchange, &last), complete(None, None, None));

    let mut exchange = negotiate(ntlm(), None).start(&peer());
    ntlm_second(&mut *exchange, &types);
    let last = resp(Some(b"authenticate"), Some(&theirs(&list(&types))));
    assert_eq!(step(&mut *exchange, &last), REFUSED);

    let kerberos = Some(Scripted::kerberos().with(Keys::None));
    let mut exchange = negotiate(None, kerberos).start(&peer());
    let first = init(&[NTLM, KERBEROS], None, None);
    assert!(matches!(step(&mut *exchange, &first), Answer::More(_)));
    let last = resp(Some(b"ticket"), None);
    assert_eq!(step(&mut *exchange, &last), REFUSED);
}

#[test]
fn without_a_mechanism_that_is_there_nobody_has_tried_to_log_on() {
    let ticket = initial(KERBEROS, b"\x01\x00ticket");
    assert_eq!(step(&mut *both(), &init(&[NEGOEX], None, None)), MALFORMED);
    let kerberos = init(&[KERBEROS], Some(&ticket), None);
    assert_eq!(step(&mut *ntlm_only(), &kerberos), MALFORMED);
    assert_eq!(step(&mut *ntlm_only(), &ticket), MALFORMED);
    let ntlm = init(&[NTLM], Some(b"NTLMSSP\0negotiate"), None);
    assert_eq!(step(&mut *kerberos_only(), &ntlm), MALFORMED);
    let bare = b"NTLMSSP\0negotiate";
    assert_eq!(step(&mut *kerberos_only(), bare), MALFORMED);
}

#[test]
fn bare_tokens_are_those_of_the_mechanism() {
    let mut exchange = both();
    let challenge = Answer::More(b"challenge".to_vec());
    assert_eq!(step(&mut *exchange, b"NTLMSSP\0negotiate"), challenge);
    assert_eq!(step(&mut *exchange, b"authenticate"), Answer::In(None));
    assert_eq!(step(&mut *exchange, b"authenticate"), MALFORMED);

    for mech in [KERBEROS, MS_KERBEROS] {
        let ticket = initial(mech, b"\x01\x00ticket");
        let reply = Answer::In(Some(b"reply".to_vec()));
        assert_eq!(step(&mut *both(), &ticket), reply);
        let mut exchange = both();
        let ticket = initial(mech, b"\x01\x00ticket of three");
        let reply = Answer::More(b"reply".to_vec());
        assert_eq!(step(&mut *exchange, &ticket), reply);
        assert_eq!(step(&mut *exchange, b"third"), Answer::In(None));
    }
}

#[test]
fn what_the_mechanism_refuses_is_refused_so() {
    for (token, error) in [
        (&b"wrong password"[..], AuthError::Refused),
        (b"no binding", AuthError::Unbound),
    ] {
        let mut exchange = both();
        assert_eq!(exchange.claimed(), None);
        ntlm_first(&mut *exchange);
        assert_eq!(exchange.claimed(), None);
        let last = resp(Some(token), Some(b"theirs"));
        assert_eq!(step(&mut *exchange, &last), Answer::No(error));
        assert_eq!(exchange.claimed(), Some("bob"));

        let mut exchange = both();
        step(&mut *exchange, b"NTLMSSP\0negotiate");
        assert_eq!(step(&mut *exchange, token), Answer::No(error));
        assert_eq!(exchange.claimed(), Some("bob"));
    }
    let mut exchange = both();
    let token = init(&[KERBEROS], Some(b"bad ticket"), None);
    assert_eq!(step(&mut *exchange, &token), REFUSED);
    assert_eq!(exchange.claimed(), Some("bob"));
}

#[test]
fn messages_out_of_order_end_the_log_on() {
    let first = init(&[NTLM], Some(b"NTLMSSP\0negotiate"), None);
    let last = resp(Some(b"authenticate"), None);
    assert_eq!(step(&mut *both(), &last), MALFORMED);
    for second in [
        // A second beginning, negotiated or not.
        first,
        b"NTLMSSP\0negotiate".to_vec(),
        b"authenticate".to_vec(),
        // Nothing for the mechanism.
        resp(None, None),
        resp(None, Some(&theirs(&list(&[NTLM])))),
        Vec::new(),
    ] {
        let mut exchange = both();
        ntlm_first(&mut *exchange);
        assert_eq!(step(&mut *exchange, &second), MALFORMED, "{second:x?}");
        assert_eq!(step(&mut *exchange, &last), MALFORMED);
    }
    // A signature while the mechanism goes on.
    let mut exchange = ntlm_only();
    let types = [KERBEROS, NTLM];
    assert!(matches!(
        step(&mut *exchange, &init(&types, None, None)),
        Answer::More(_)
    ));
    let early = resp(Some(b"NTLMSSP\0negotiate"), Some(&theirs(&list(&types))));
    assert_eq!(step(&mut *exchange, &early), MALFORMED);
    // Negotiated after bare.
    let mut exchange = both();
    step(&mut *exchange, b"NTLMSSP\0negotiate");
    assert_eq!(step(&mut *exchange, &last), MALFORMED);
}

#[test]
fn a_client_that_gives_up_is_refused() {
    let mut exchange = both();
    ntlm_first(&mut *exchange);
    let reject = NegTokenResp {
        neg_state: Some(NegState::Reject),
        response_token: Some(b"authenticate"),
        ..NegTokenResp::default()
    };
    assert_eq!(step(&mut *exchange, &reject.encode()), REFUSED);
    assert_eq!(exchange.claimed(), None);
}

#[test]
fn a_log_on_has_no_more_legs_than_it_needs() {
    let mut exchange = both();
    let first = init(&[KERBEROS], Some(b"again"), None);
    let next = resp(Some(b"again"), None);
    for leg in 0..MAX_LEGS {
        let token = if leg == 0 { &first } else { &next };
        let answer = step(&mut *exchange, token);
        assert!(matches!(answer, Answer::More(_)), "{leg}");
    }
    assert_eq!(step(&mut *exchange, &next), MALFORMED);
}

#[test]
fn what_is_switched_off_is_neither_offered_nor_begun_nor_ended() {
    let (ntlm, kerberos) = (Scripted::ntlm(), Scripted::kerberos());
    let settings = Arc::new(Current::new(Settings::default()));
    let negotiate = Negotiate::new(
        Arc::new(ntlm.clone()),
        Some(Arc::new(kerberos.clone())),
        Arc::clone(&settings),
    );
    let set = |change: fn(&mut AccessSettings)| {
        let mut settings = Settings::default();
        change(&mut settings.access);
        negotiate.settings.set(settings);
    };
    let offered = || {
        let access = negotiate.settings.get().access.clone();
        let mechanisms = negotiate.mechanisms();
        let offered = mechanisms.iter().filter(|it| (it.is_in_force)(&access));
        let offered: Vec<_> = offered.map(|it| (it.scheme, it.challenge)).collect();
        assert!(offered.iter().all(|(name, says)| *says == Some(name)));
        offered.iter().map(|(name, _)| *name).collect::<Vec<_>>()
    };
    assert_eq!(offered(), ["Negotiate", "Kerberos", "NTLM"]);
    set(|access| access.negotiate = false);
    assert_eq!(offered(), ["Kerberos"]);
    set(|access| access.kerberos = false);
    assert_eq!(offered(), ["Negotiate", "NTLM"]);
    let ticket = initial(KERBEROS, b"\x01\x00ticket");
    assert_eq!(step(&mut *negotiate.start(&peer()), &ticket), MALFORMED);
    ntlm_second(&mut *negotiate.start(&peer()), &[KERBEROS, NTLM]);
    set(|_| ());
    kerberos.is_available.store(false, Ordering::SeqCst);
    assert_eq!(offered(), ["Negotiate", "NTLM"]);
    ntlm_second(&mut *negotiate.start(&peer()), &[KERBEROS, NTLM]);
    kerberos.is_available.store(true, Ordering::SeqCst);

    let mut underway = [negotiate.start(&peer()), negotiate.start(&peer())];
    ntlm_first(&mut *underway[0]);
    step(&mut *underway[1], b"NTLMSSP\0negotiate");
    ntlm.is_available.store(false, Ordering::SeqCst);
    assert_eq!(offered(), ["Negotiate", "Kerberos"]);
    let last = resp(Some(b"authenticate"), None);
    assert_eq!(step(&mut *underway[0], &last), REFUSED);
    assert_eq!(step(&mut *underway[1], b"authenticate"), REFUSED);
    kerberos.is_available.store(false, Ordering::SeqCst);
    assert_eq!(offered(), [""; 0]);
}

#[test]
fn each_scheme_takes_its_own_mechanisms() {
    let negotiate = negotiate(Some(Scripted::ntlm()), Some(Scripted::kerberos()));
    let ticket = initial(KERBEROS, b"\x01\x00ticket");
    let in_spnego = init(&[KERBEROS, NTLM], Some(&ticket), None);
    let ntlm = b"NTLMSSP\0negotiate";
    let ntlm_in_spnego = init(&[NTLM], Some(ntlm), None);
    let takes: Vec<_> = negotiate
        .mechanisms()
        .into_iter()
        .map(|mechanism| {
            assert_eq!(mechanism.offered, Offered::Always);
            [&ticket[..], &in_spnego, ntlm, &ntlm_in_spnego].map(|token| {
                let token = base64::engine::Engine::encode(
                    &base64::engine::general_purpose::STANDARD,
                    token,
                );
                now((mechanism.start)(&peer()).step(&token)).is_ok()
            })
        })
        .collect();
    assert_eq!(takes[0], [true; 4]);
    assert_eq!(takes[1], [true, true, false, false]);
    // Of the list, only NTLM is there.
    assert_eq!(takes[2], [false, true, true, true]);
}
