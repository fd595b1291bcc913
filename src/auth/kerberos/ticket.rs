//! What a client's first token says in clear: that it is one of Kerberos, and
//! for which service its ticket is (RFC 4121 4.1, RFC 4120 5.3 and 5.5.1).
//!
//! The service is a claim: only the key that opens the ticket proves it. Where
//! one account has several services, as in Active Directory, they share a key,
//! and the claim is all that tells them apart.

use crate::mechanism::gss;

/// The service part of the name in the ticket of `token`, `HTTP` of
/// `HTTP/host`. Nothing if it is no `KRB_AP_REQ` in the framing of GSS-API.
pub(super) fn service(token: &[u8]) -> Option<&str> {
    let (token, after) = content(token, APPLICATION)?;
    let (mechanism, rest) = content(token, OBJECT_IDENTIFIER)?;
    if !after.is_empty() || mechanism != gss::KERBEROS {
        return None;
    }
    let request = rest.strip_prefix(AP_REQUEST_TOKEN)?;
    let (request, after) = content(request, AP_REQUEST)?;
    if !after.is_empty() {
        return None;
    }
    let ticket = field(sequence(request)?, 3)?;
    let ticket = sequence(content(ticket, TICKET)?.0)?;
    let name = sequence(field(ticket, 2)?)?;
    let parts = sequence(field(name, 1)?)?;
    let (first, _) = content(parts, GENERAL_STRING)?;
    str::from_utf8(first).ok()
}

/// The content of the element of DER at the start of `input`, which must bear
/// `tag`, and what stands behind it.
fn content(input: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (found, content, rest) = element(input)?;
    (found == tag).then_some((content, rest))
}

/// The content of a sequence that is all of `input`.
fn sequence(input: &[u8]) -> Option<&[u8]> {
    let (content, rest) = content(input, SEQUENCE)?;
    rest.is_empty().then_some(content)
}

/// The content of the field with this number among those of a sequence.
fn field(mut fields: &[u8], number: u8) -> Option<&[u8]> {
    // Each turn takes at least two octets.
    while !fields.is_empty() {
        let (tag, content, rest) = element(fields)?;
        if tag == FIELD | number {
            return Some(content);
        }
        fields = rest;
    }
    None
}

/// Tag, content and rest. Tags have one octet here, lengths are definite.
fn element(input: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = input.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81..=0x84 => {
            let (octets, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            let length = octets
                .iter()
                .fold(0_usize, |length, octet| length << 8 | usize::from(*octet));
            (length, rest)
        }
        0x80 | 0x85..=0xff => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}

/// `[APPLICATION 0]`: a first token of GSS-API (RFC 2743 3.1).
const APPLICATION: u8 = 0x60;
const OBJECT_IDENTIFIER: u8 = 0x06;
/// `TOK_ID` of a `KRB_AP_REQ`.
const AP_REQUEST_TOKEN: &[u8] = &[1, 0];
/// `[APPLICATION 14]`.
const AP_REQUEST: u8 = 0x6e;
/// `[APPLICATION 1]`.
const TICKET: u8 = 0x61;
const SEQUENCE: u8 = 0x30;
const GENERAL_STRING: u8 = 0x1b;
/// `[0]`, constructed.
const FIELD: u8 = 0xa0;

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::any;
    use proptest::proptest;

    use super::*;

    /// An element of DER.
    fn der(tag: u8, contents: &[&[u8]]) -> Vec<u8> {
        let content = contents.concat();
        let length = u16::try_from(content.len()).expect("short").to_be_bytes();
        [&[tag, 0x82], &length[..], &content].concat()
    }

    /// A token with a ticket for a service, signed and encrypted by nobody.
    pub(in crate::auth::kerberos) fn token(mechanism: &[u8], service: &str) -> Vec<u8> {
        let part = |text: &str| der(GENERAL_STRING, &[text.as_bytes()]);
        let parts = der(SEQUENCE, &[&part(service), &part("host")]);
        let name = der(
            SEQUENCE,
            &[&der(FIELD, &[&[2, 1, 2]]), &der(FIELD | 1, &[&parts])],
        );
        let ticket = der(
            SEQUENCE,
            &[
                &der(FIELD, &[&[2, 1, 5]]),
                &der(FIELD | 1, &[&part("R")]),
                &der(FIELD | 2, &[&name]),
            ],
        );
        let ticket = der(TICKET, &[&ticket]);
        let request = der(
            SEQUENCE,
            &[&der(FIELD, &[&[2, 1, 5]]), &der(FIELD | 3, &[&ticket])],
        );
        let request = der(AP_REQUEST, &[&request]);
        der(
            APPLICATION,
            &[&der(6, &[mechanism]), AP_REQUEST_TOKEN, &request],
        )
    }

    #[test]
    fn a_token_names_the_service_of_its_ticket() {
        for name in ["HTTP", "cifs", ""] {
            assert_eq!(service(&token(gss::KERBEROS, name)), Some(name));
        }
    }

    #[test]
    fn a_token_of_another_mechanism_is_none_of_kerberos() {
        // SPNEGO, Kerberos as Windows 2000 wrote it, IAKERB.
        for mechanism in [
            &[0x2b, 6, 1, 5, 5, 2][..],
            &[0x2a, 0x86, 0x48, 0x82, 0xf7, 0x12, 1, 2, 2],
            &[0x2b, 6, 1, 5, 2, 5],
        ] {
            assert_eq!(service(&token(mechanism, "HTTP")), None);
        }
        assert_eq!(service(b"NTLMSSP\0\x01\0\0\0"), None);
        // A KRB_AP_REQ without its framing, as DCE sends it.
        let whole = token(gss::KERBEROS, "HTTP");
        assert_eq!(service(&whole[4 + 4 + 9 + 2..]), None);
    }

    #[test]
    fn a_token_must_be_whole_and_nothing_more() {
        let whole = token(gss::KERBEROS, "HTTP");
        for end in 0..whole.len() {
            assert_eq!(service(&whole[..end]), None, "{end}");
        }
        assert_eq!(service(&[&whole[..], &[0]].concat()), None);
    }

    proptest! {
        #[test]
        fn arbitrary_octets_do_no_harm(octets: Vec<u8>, at: usize, octet in any::<u8>()) {
            let _ = service(&octets);
            let mut token = token(gss::KERBEROS, "HTTP");
            let at = at % token.len();
            token[at] = octet;
            let _ = service(&token);
        }
    }
}
