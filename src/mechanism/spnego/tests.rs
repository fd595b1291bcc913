use proptest::prelude::*;
use serde::Deserialize;

use super::*;

/// Tokens of other implementations.
#[derive(Deserialize)]
pub(crate) struct Exchanges {
    exchange: Vec<Recorded>,
}

/// One log-on.
#[derive(Deserialize)]
pub(crate) struct Recorded {
    pub(crate) name: String,
    #[serde(rename = "token")]
    pub(crate) tokens: Vec<Token>,
}

/// A token, and what pyspnego reads in it.
#[derive(Deserialize)]
pub(crate) struct Token {
    pub(crate) by: Side,
    pub(crate) octets: Hex,
    mech_types: Option<Vec<Mech>>,
    pub(crate) mech_list: Option<Hex>,
    neg_state: Option<String>,
    supported_mech: Option<Mech>,
    pub(crate) inner: Option<Hex>,
    pub(crate) mech_list_mic: Option<Hex>,
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Side {
    Client,
    Server,
}

/// A mechanism, as a dotted number.
#[derive(Clone, Copy, Deserialize)]
#[serde(try_from = "String")]
struct Mech(ObjectIdentifier);

impl TryFrom<String> for Mech {
    type Error = der::oid::Error;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        ObjectIdentifier::new(&text).map(Self)
    }
}

#[derive(Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Hex(pub(crate) Vec<u8>);

impl TryFrom<String> for Hex {
    type Error = std::num::ParseIntError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let octets = (0..text.len()).step_by(2);
        let octets = octets.map(|at| u8::from_str_radix(&text[at..at + 2], 16));
        octets.collect::<Result<_, _>>().map(Self)
    }
}

pub(crate) fn recorded() -> Vec<Recorded> {
    let exchanges: Exchanges = toml::from_str(include_str!("exchanges.toml")).expect("readable");
    exchanges.exchange
}

impl Token {
    fn inner(&self) -> Option<&[u8]> {
        self.inner.as_ref().map(|token| &*token.0)
    }

    fn mic(&self) -> Option<&[u8]> {
        self.mech_list_mic.as_ref().map(|mic| &*mic.0)
    }

    /// As what pyspnego reads it, if it is no first token.
    fn response(&self) -> Option<NegTokenResp<'_>> {
        if self.mech_types.is_some() {
            return None;
        }
        let neg_state = self.neg_state.as_deref().map(|state| match state {
            "accept-completed" => NegState::AcceptCompleted,
            "accept-incomplete" => NegState::AcceptIncomplete,
            "request-mic" => NegState::RequestMic,
            state => panic!("{state}"),
        });
        Some(NegTokenResp {
            neg_state,
            supported_mech: self
                .supported_mech
                .and_then(|mech| MechType::of(mech.0.as_bytes())),
            response_token: self.inner(),
            mech_list_mic: self.mic(),
        })
    }
}

/// Writes a first token, as a client does.
pub(crate) fn init(
    mech_types: &[ObjectIdentifier],
    mech_token: Option<&[u8]>,
    mech_list_mic: Option<&[u8]>,
) -> Vec<u8> {
    let octet_string = |octets: Option<&[u8]>| Some(encoded(Tag::OctetString, octets?));
    framed(&[
        (0, Some(list(mech_types))),
        (2, octet_string(mech_token)),
        (3, octet_string(mech_list_mic)),
    ])
}

/// `MechTypeList`.
pub(crate) fn list(mech_types: &[ObjectIdentifier]) -> Vec<u8> {
    let mut types = Vec::new();
    for mech_type in mech_types {
        types.extend(encoded(Tag::ObjectIdentifier, mech_type.as_bytes()));
    }
    encoded(Tag::Sequence, &types)
}

/// A token of `mech` in the framing of GSS-API.
pub(crate) fn initial(mech: ObjectIdentifier, token: &[u8]) -> Vec<u8> {
    let mut framed = encoded(Tag::ObjectIdentifier, mech.as_bytes());
    framed.extend(token);
    encoded(INITIAL_CONTEXT_TOKEN, &framed)
}

fn framed(elements: &[(u32, Option<Vec<u8>>)]) -> Vec<u8> {
    initial(SPNEGO, &tagged(0, elements))
}

fn tagged(choice: u32, elements: &[(u32, Option<Vec<u8>>)]) -> Vec<u8> {
    let mut body = Vec::new();
    for (number, element) in elements {
        if let Some(element) = element {
            body.extend(encoded(context(*number), element));
        }
    }
    encoded(context(choice), &encoded(Tag::Sequence, &body))
}

fn read(octets: &[u8]) -> Option<NegTokenInit<'_>> {
    match FirstToken::decode(octets) {
        Ok(FirstToken::Spnego(init)) => Some(init),
        Ok(FirstToken::Ntlm | FirstToken::Kerberos) | Err(_) => None,
    }
}

#[test]
fn tokens_are_read_as_pyspnego_reads_them() {
    let mut kinds = [0, 0];
    for exchange in recorded() {
        for token in &exchange.tokens {
            if let Some(expected) = token.response() {
                kinds[0] += 1;
                assert_eq!(NegTokenResp::decode(&token.octets.0), Ok(expected));
                continue;
            }
            kinds[1] += 1;
            let init = read(&token.octets.0).expect("it begins a negotiation");
            let types = token.mech_types.as_deref().expect("a list");
            let types: Vec<_> = types
                .iter()
                .map(|mech| MechType::of(mech.0.as_bytes()))
                .collect();
            assert!(types.iter().all(Option::is_some), "{}", exchange.name);
            assert_eq!(init.mech_types.types, types);
            let list = token.mech_list.as_ref().expect("a list");
            assert_eq!(init.mech_types.octets, list.0);
            assert_eq!(init.mech_token, token.inner());
            assert_eq!(init.mech_list_mic, token.mic());
        }
    }
    assert_eq!(kinds, [14, 6]);
}

#[test]
fn tokens_are_written_as_pyspnego_writes_them() {
    for exchange in recorded() {
        for token in &exchange.tokens {
            let written = match (token.response(), &token.mech_types) {
                (Some(response), _) => response.encode(),
                // The hints are nothing that we write.
                (None, Some(_)) if exchange.name == "hints" => continue,
                (None, types) => {
                    let types = types.as_deref().expect("a first token has a list");
                    let types: Vec<_> = types.iter().map(|mech| mech.0).collect();
                    init(&types, token.inner(), token.mic())
                }
            };
            assert_eq!(written, token.octets.0, "{}", exchange.name);
        }
    }
}

#[test]
fn our_first_token_is_that_of_any_client() {
    let ours = [MechType::Kerberos, MechType::Ntlm];
    let (octets, token) = first_token(&ours, b"ticket");
    assert_eq!(octets, list(&[KERBEROS, NTLM]));
    assert_eq!(token, init(&[KERBEROS, NTLM], Some(b"ticket"), None));
}

#[test]
fn the_framing_says_what_a_first_token_is() {
    assert_eq!(
        FirstToken::decode(b"NTLMSSP\0\x01\0\0\0"),
        Ok(FirstToken::Ntlm)
    );
    // What Kerberos has in its framing is no DER (RFC 4121 4.1).
    for mech in [KERBEROS, MICROSOFT_KERBEROS] {
        let token = initial(mech, b"\x01\x00ticket");
        assert_eq!(FirstToken::decode(&token), Ok(FirstToken::Kerberos));
    }
    // NTLM has no framing, and Kerberos needs one; a negotiation is begun by
    // its first message.
    let response = NegTokenResp::default().encode();
    for wrong in [
        initial(NTLM, b"NTLMSSP\0"),
        initial(SPNEGO, b""),
        initial(SPNEGO, &response),
        initial(ObjectIdentifier::new_unwrap("1.3.6.1.5.2.5"), b"iakerb"),
        response,
        tagged(0, &[(0, Some(list(&[NTLM])))]),
        b"NTLMSSP".to_vec(),
        b"n\x03ap".to_vec(),
        Vec::new(),
    ] {
        assert!(FirstToken::decode(&wrong).is_err(), "{wrong:x?}");
    }
}

#[test]
fn a_list_has_mechanisms_and_not_too_many() {
    let strange = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.311.2.2.30");
    let token = init(&[strange, MICROSOFT_KERBEROS, NTLM], None, None);
    let types = read(&token).expect("good").mech_types.types;
    assert_eq!(
        types,
        [
            None,
            Some(MechType::MicrosoftKerberos),
            Some(MechType::Ntlm)
        ]
    );
    let most = vec![strange; MAX_MECH_TYPES];
    assert!(read(&init(&most, None, None)).is_some());
    let too_many = init(&vec![NTLM; MAX_MECH_TYPES + 1], None, None);
    assert_eq!(
        FirstToken::decode(&too_many),
        Err(DecodeError::TooManyMechTypes)
    );
    let element = |tag, octets: &[u8]| Some(encoded(Tag::Sequence, &encoded(tag, octets)));
    for wrong in [
        None,
        Some(list(&[])),
        element(Tag::ObjectIdentifier, b""),
        element(Tag::OctetString, NTLM.as_bytes()),
        Some(encoded(Tag::ObjectIdentifier, NTLM.as_bytes())),
    ] {
        assert_eq!(read(&framed(&[(0, wrong)])), None);
    }
}

#[test]
fn a_token_longer_than_a_ticket_can_be_is_not_read() {
    let fits = vec![0; MAX_TOKEN - 64];
    let long = vec![0; MAX_TOKEN];
    assert!(read(&init(&[NTLM], Some(&fits), None)).is_some());
    let first = FirstToken::decode(&init(&[NTLM], Some(&long), None)).err();
    let later = NegTokenResp {
        response_token: Some(&long),
        ..NegTokenResp::default()
    };
    assert_eq!(first, Some(DecodeError::TooLong));
    assert_eq!(
        NegTokenResp::decode(&later.encode()),
        Err(DecodeError::TooLong)
    );
}

#[test]
fn only_der_is_read() {
    // Each but the first is the same value in another form, or less of it.
    let resp = |octets: &[u8]| NegTokenResp::decode(octets).is_ok();
    assert!(resp(b"\xa1\x07\x30\x05\xa0\x03\x0a\x01\x00"));
    for wrong in [
        // Indefinite lengths, of each level.
        &b"\xa1\x80\x30\x05\xa0\x03\x0a\x01\x00\x00\x00"[..],
        b"\xa1\x09\x30\x80\xa0\x03\x0a\x01\x00\x00\x00",
        // Lengths longer than they need be.
        b"\xa1\x81\x07\x30\x05\xa0\x03\x0a\x01\x00",
        b"\xa1\x82\x00\x07\x30\x05\xa0\x03\x0a\x01\x00",
        b"\xa1\x08\x30\x81\x05\xa0\x03\x0a\x01\x00",
        b"\xa1\x08\x30\x06\xa0\x81\x03\x0a\x01\x00",
        // Inner lengths that reach beyond the outer ones, or to the end of
        // what can be counted.
        b"\xa1\x07\x30\x06\xa0\x03\x0a\x01\x00",
        b"\xa1\x07\x30\x05\xa0\x04\x0a\x01\x00",
        b"\xa1\x07\x30\x05\xa0\x03\x0a\x02\x00",
        b"\xa1\x84\xff\xff\xff\xff\x30\x05\xa0\x03\x0a\x01\x00",
        b"\xa1\x89\x01\x01\x01\x01\x01\x01\x01\x01\x01\x30",
        b"\xa1\xff",
        // Something behind the end, of each level.
        b"\xa1\x07\x30\x05\xa0\x03\x0a\x01\x00\x00",
        b"\xa1\x08\x30\x05\xa0\x03\x0a\x01\x00\x00",
        b"\xa1\x08\x30\x06\xa0\x03\x0a\x01\x00\x00",
        b"\xa1\x08\x30\x06\xa0\x04\x0a\x01\x00\x00",
        // Other types, other states.
        b"\xa1\x07\x30\x05\xa0\x03\x02\x01\x00",
        b"\xa1\x07\x31\x05\xa0\x03\x0a\x01\x00",
        b"\xa1\x07\x30\x05\x80\x03\x0a\x01\x00",
        b"\xa1\x07\x30\x05\x60\x03\x0a\x01\x00",
        b"\x81\x07\x30\x05\xa0\x03\x0a\x01\x00",
        b"\xa1\x07\x30\x05\xa0\x03\x0a\x01\x04",
        b"\xa1\x08\x30\x06\xa0\x04\x0a\x02\x00\x00",
        b"\xa1\x06\x30\x04\xa0\x02\x0a\x00",
    ] {
        assert!(!resp(wrong), "{wrong:x?}");
    }
}

#[test]
fn elements_come_once_and_in_order_and_unknown_ones_are_passed_over() {
    let state = |state| Some(encoded(Tag::Enumerated, &[state]));
    let octets = |octets: &[u8]| Some(encoded(Tag::OctetString, octets));
    let resp = |elements: &[_]| NegTokenResp::decode(&tagged(1, elements)).is_ok();
    assert!(resp(&[]));
    assert!(resp(&[(0, state(0)), (2, octets(b"token"))]));
    assert!(resp(&[(0, state(0)), (5, Some(vec![])), (6, state(0))]));
    assert!(resp(&[(0, state(0)), (1_000_000, Some(b"\xff".to_vec()))]));
    assert!(!resp(&[(2, octets(b"token")), (0, state(0))]));
    assert!(!resp(&[(0, state(0)), (0, state(0))]));
    assert!(!resp(&[(6, state(0)), (5, state(0))]));
    assert!(!resp(&[(0, state(0)), (2, state(0))]));
}

#[test]
fn hints_of_microsoft_do_not_hide_the_signature() {
    let octets = |octets: &[u8]| Some(encoded(Tag::OctetString, octets));
    let hints = Some(encoded(Tag::Sequence, &encoded(context(0), b"\x1b\x01x")));
    let types = (0, Some(list(&[NTLM])));
    let mic = |elements: &[(u32, Option<Vec<u8>>)]| {
        let mut all = vec![types.clone()];
        all.extend_from_slice(elements);
        let token = framed(&all);
        read(&token).map(|init| init.mech_list_mic.map(<[u8]>::to_vec))
    };
    assert_eq!(mic(&[]), Some(None));
    assert_eq!(mic(&[(3, hints.clone())]), Some(None));
    let both = [(3, hints.clone()), (4, octets(b"mic"))];
    assert_eq!(mic(&both), Some(Some(b"mic".to_vec())));
    assert_eq!(mic(&[(3, octets(b"mic"))]), Some(Some(b"mic".to_vec())));
    assert_eq!(mic(&[(4, octets(b"mic"))]), Some(Some(b"mic".to_vec())));
    assert_eq!(mic(&[(3, octets(b"one")), (4, octets(b"other"))]), None);
    assert_eq!(mic(&[(3, octets(b"one")), (4, hints)]), None);
}

#[test]
fn what_is_cut_off_is_no_token() {
    for exchange in recorded() {
        for token in &exchange.tokens {
            for end in 0..token.octets.0.len() {
                let cut = &token.octets.0[..end];
                assert_eq!(read(cut), None);
                assert!(NegTokenResp::decode(cut).is_err());
            }
        }
    }
}

proptest! {
    #[test]
    fn any_octets_are_read_or_refused(octets: Vec<u8>, prefix in 0..20_usize, place: usize) {
        let _ = FirstToken::decode(&octets);
        let _ = NegTokenResp::decode(&octets);
        // Good tokens with something strange in them.
        for token in recorded().iter().flat_map(|exchange| &exchange.tokens) {
            let mut token = token.octets.0.clone();
            let place = place % token.len();
            let end = (place + prefix).min(token.len());
            token.splice(place..end, octets.iter().copied());
            let _ = FirstToken::decode(&token);
            let _ = NegTokenResp::decode(&token);
        }
    }

    #[test]
    fn what_is_written_is_read_back(
        state in prop::option::of(0..4_u8),
        mech in prop::option::of(0..3_usize),
        token: Option<Vec<u8>>,
        mic: Option<Vec<u8>>,
    ) {
        let states = [
            NegState::AcceptCompleted,
            NegState::AcceptIncomplete,
            NegState::Reject,
            NegState::RequestMic,
        ];
        let mechs = [MechType::Kerberos, MechType::MicrosoftKerberos, MechType::Ntlm];
        let message = NegTokenResp {
            neg_state: state.map(|state| states[usize::from(state)]),
            supported_mech: mech.map(|mech| mechs[mech]),
            response_token: token.as_deref(),
            mech_list_mic: mic.as_deref(),
        };
        let written = message.encode();
        prop_assert_eq!(NegTokenResp::decode(&written), Ok(message));
        let types: Vec<_> = mechs[..=mech.unwrap_or(0)].iter().map(|mech| mech.oid()).collect();
        let first = init(&types, token.as_deref(), mic.as_deref());
        let first = read(&first).expect("readable");
        prop_assert_eq!(first.mech_token, token.as_deref());
        prop_assert_eq!(first.mech_list_mic, mic.as_deref());
        prop_assert_eq!(first.mech_types.types.len(), types.len());
        prop_assert_eq!(first.mech_types.octets, list(&types));
    }
}
