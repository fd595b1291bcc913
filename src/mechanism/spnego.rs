//! The tokens of SPNEGO (RFC 4178 4.2, [MS-SPNG] 2.2), read and written. Which
//! mechanism is taken, and whether the list of them was tampered with, is
//! decided by who uses them.
//!
//! What comes in is DER, with lengths in their shortest form, as every client
//! sends it. More is taken than RFC 4178 has only where somebody needs it:
//! `negHints` ([MS-SPNG] 2.2.1), elements that a later edition adds (the `...`
//! of the syntax), and a `supportedMech` that a client repeats ([MS-SPNG] 3.3.5
//! has it ignored). `reqFlags` are not looked at: nothing protects them.

use der::Decode as _;
use der::Encode as _;
use der::Reader as _;
use der::SliceReader;
use der::Tag;
use der::TagNumber;
use der::Tagged as _;
use der::asn1::AnyRef;
use der::asn1::ObjectIdentifier;

/// The first token of a client: in which framing his log-on begins.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum FirstToken<'a> {
    /// A message of `NTLM` as it is ([MS-NLMP] 2.2).
    Ntlm,
    /// A token of Kerberos in the framing of GSS-API (RFC 4121 4.1).
    Kerberos,
    /// A negotiation.
    Spnego(NegTokenInit<'a>),
}

/// Mechanisms that we know. Two names of Kerberos, since the client must hear
/// the one that he has used.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum MechType {
    /// Kerberos (RFC 4121).
    Kerberos,
    /// Kerberos as Windows 2000 has named it ([MS-SPNG] 3.1.5, and Windows
    /// still names it first).
    MicrosoftKerberos,
    /// `NTLM` ([MS-NLMP]).
    Ntlm,
}

/// How a client begins to negotiate (RFC 4178 4.2.1).
#[expect(clippy::struct_field_names, reason = "they are RFC 4178's")]
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct NegTokenInit<'a> {
    /// `mechTypes`.
    pub(crate) mech_types: MechTypeList<'a>,
    /// `mechToken`: the first token of the mechanism that the client likes
    /// best.
    pub(crate) mech_token: Option<&'a [u8]>,
    /// `mechListMIC`.
    pub(crate) mech_list_mic: Option<&'a [u8]>,
}

/// The mechanisms of a client, the one that he likes best first.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct MechTypeList<'a> {
    /// As the client has encoded it: this is what `mechListMIC` signs.
    pub(crate) octets: &'a [u8],
    /// Which they are, as far as we know them; never empty.
    pub(crate) types: Vec<Option<MechType>>,
}

/// Every later message, of either side (RFC 4178 4.2.2).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct NegTokenResp<'a> {
    /// `negState`.
    pub(crate) neg_state: Option<NegState>,
    /// `supportedMech`: in the first message of the server; read, it is none
    /// where we do not know it.
    pub(crate) supported_mech: Option<MechType>,
    /// `responseToken`: the next token of the mechanism.
    pub(crate) response_token: Option<&'a [u8]>,
    /// `mechListMIC`.
    pub(crate) mech_list_mic: Option<&'a [u8]>,
}

/// How far a negotiation is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub(crate) enum NegState {
    /// It is over, and the mechanism is too.
    AcceptCompleted = 0,
    /// Another message is needed.
    AcceptIncomplete = 1,
    /// The sender gives up.
    Reject = 2,
    /// Another message is needed, and `mechListMIC` from both sides.
    RequestMic = 3,
}

/// Why a token is none.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum DecodeError {
    /// Longer than any client needs.
    #[error("the token is longer than {MAX_TOKEN} octets")]
    TooLong,
    /// It is not DER, or something stands behind its end.
    #[error("the token is not in DER")]
    NotDer(#[from] der::Error),
    /// Something else stands where this should.
    #[error("the token has no good {0}")]
    Without(&'static str),
    /// A list of more mechanisms than anybody has.
    #[error("the token names more than {MAX_MECH_TYPES} mechanisms")]
    TooManyMechTypes,
}

impl<'a> FirstToken<'a> {
    /// Reads the first token of a log-on.
    ///
    /// # Errors
    ///
    /// [`DecodeError`].
    pub(crate) fn decode(octets: &'a [u8]) -> Result<Self, DecodeError> {
        if octets.len() > MAX_TOKEN {
            return Err(DecodeError::TooLong);
        }
        if octets.starts_with(b"NTLMSSP\0") {
            return Ok(Self::Ntlm);
        }
        // RFC 2743 3.1: the mechanism, and what it defines.
        let framed = value(octets, INITIAL_CONTEXT_TOKEN, "framing of GSS-API")?;
        let (mech_type, token) = AnyRef::from_der_partial(framed)?;
        let oid = oid(mech_type)?;
        if oid == SPNEGO.as_bytes() {
            return NegTokenInit::decode(token).map(Self::Spnego);
        }
        match MechType::of(oid) {
            Some(MechType::Kerberos | MechType::MicrosoftKerberos) => Ok(Self::Kerberos),
            Some(MechType::Ntlm) | None => Err(DecodeError::Without("mechanism")),
        }
    }
}

impl MechType {
    /// The one with this identifier.
    fn of(oid: &[u8]) -> Option<Self> {
        [Self::Kerberos, Self::MicrosoftKerberos, Self::Ntlm]
            .into_iter()
            .find(|known| known.oid().as_bytes() == oid)
    }

    /// Its identifier.
    fn oid(self) -> ObjectIdentifier {
        match self {
            Self::Kerberos => KERBEROS,
            Self::MicrosoftKerberos => MICROSOFT_KERBEROS,
            Self::Ntlm => NTLM,
        }
    }
}

/// Writes the first token of a client who likes these mechanisms in this order:
/// the list, which is signed later, and the token.
pub(crate) fn first_token(mech_types: &[MechType], mech_token: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let types: Vec<u8> = mech_types
        .iter()
        .flat_map(|mech| encoded(Tag::ObjectIdentifier, mech.oid().as_bytes()))
        .collect();
    let list = encoded(Tag::Sequence, &types);
    let elements = [
        encoded(context(0), &list),
        encoded(context(2), &encoded(Tag::OctetString, mech_token)),
    ];
    let init = encoded(context(0), &encoded(Tag::Sequence, &elements.concat()));
    let mut framed = encoded(Tag::ObjectIdentifier, SPNEGO.as_bytes());
    framed.extend(init);
    (list, encoded(INITIAL_CONTEXT_TOKEN, &framed))
}

impl<'a> NegTokenInit<'a> {
    /// Reads what stands in the framing.
    fn decode(octets: &'a [u8]) -> Result<Self, DecodeError> {
        let body = value(octets, context(0), "NegTokenInit")?;
        let [mech_types, _, mech_token, third, fourth] = elements(body)?;
        // NegTokenInit2 has put its hints at the place of the mechListMIC, and
        // that behind them.
        let (hints, mic) = match third.map(AnyRef::from_der).transpose()? {
            Some(hints) if hints.tag() == Tag::Sequence => (true, fourth),
            Some(_) => (false, third),
            None => (false, fourth),
        };
        if third.is_some() && fourth.is_some() && !hints {
            return Err(DecodeError::Without("mechListMIC"));
        }
        let mech_types = mech_types.ok_or(DecodeError::Without("mechTypes"))?;
        Ok(Self {
            mech_types: MechTypeList::decode(mech_types)?,
            mech_token: octet_string(mech_token, "mechToken")?,
            mech_list_mic: octet_string(mic, "mechListMIC")?,
        })
    }
}

impl<'a> MechTypeList<'a> {
    fn decode(octets: &'a [u8]) -> Result<Self, DecodeError> {
        let mut list = SliceReader::new(value(octets, Tag::Sequence, "mechTypes")?)?;
        let mut types = Vec::new();
        while !list.is_finished() {
            if types.len() == MAX_MECH_TYPES {
                return Err(DecodeError::TooManyMechTypes);
            }
            types.push(MechType::of(oid(list.decode()?)?));
        }
        if types.is_empty() {
            return Err(DecodeError::Without("mechTypes"));
        }
        Ok(Self { octets, types })
    }
}

impl<'a> NegTokenResp<'a> {
    /// Reads a message.
    ///
    /// # Errors
    ///
    /// [`DecodeError`].
    pub(crate) fn decode(octets: &'a [u8]) -> Result<Self, DecodeError> {
        if octets.len() > MAX_TOKEN {
            return Err(DecodeError::TooLong);
        }
        let body = value(octets, context(1), "NegTokenResp")?;
        let [neg_state, mech, response_token, mech_list_mic, _] = elements(body)?;
        let mech = mech.map(AnyRef::from_der).transpose()?;
        Ok(Self {
            neg_state: neg_state.map(NegState::decode).transpose()?,
            supported_mech: mech.map(oid).transpose()?.and_then(MechType::of),
            response_token: octet_string(response_token, "responseToken")?,
            mech_list_mic: octet_string(mech_list_mic, "mechListMIC")?,
        })
    }

    /// Writes it.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let octet_string = |octets: &[u8]| encoded(Tag::OctetString, octets);
        let elements = [
            self.neg_state
                .map(|state| encoded(Tag::Enumerated, &[state as u8])),
            self.supported_mech
                .map(|mech| encoded(Tag::ObjectIdentifier, mech.oid().as_bytes())),
            self.response_token.map(octet_string),
            self.mech_list_mic.map(octet_string),
        ];
        let elements: Vec<u8> = (0..)
            .zip(elements)
            .filter_map(|(number, element)| Some(encoded(context(number), &element?)))
            .flatten()
            .collect();
        encoded(context(1), &encoded(Tag::Sequence, &elements))
    }
}

impl NegState {
    fn decode(octets: &[u8]) -> Result<Self, DecodeError> {
        match value(octets, Tag::Enumerated, "negState")? {
            [0] => Ok(Self::AcceptCompleted),
            [1] => Ok(Self::AcceptIncomplete),
            [2] => Ok(Self::Reject),
            [3] => Ok(Self::RequestMic),
            _ => Err(DecodeError::Without("negState")),
        }
    }
}

/// What stands in the one element that `octets` are, which must bear `tag`.
fn value<'a>(octets: &'a [u8], tag: Tag, what: &'static str) -> Result<&'a [u8], DecodeError> {
    let element = AnyRef::from_der(octets)?;
    if element.tag() != tag {
        return Err(DecodeError::Without(what));
    }
    Ok(element.value())
}

fn octet_string<'a>(
    octets: Option<&'a [u8]>,
    what: &'static str,
) -> Result<Option<&'a [u8]>, DecodeError> {
    octets
        .map(|octets| value(octets, Tag::OctetString, what))
        .transpose()
}

fn oid(element: AnyRef<'_>) -> Result<&[u8], DecodeError> {
    if element.tag() != Tag::ObjectIdentifier || element.value().is_empty() {
        return Err(DecodeError::Without("mechanism"));
    }
    Ok(element.value())
}

/// What the elements of a SEQUENCE bear that are tagged \[0\] to \[4\]: each at
/// most once, and in order. Those with higher numbers are passed over.
fn elements(octets: &[u8]) -> Result<[Option<&[u8]>; 5], DecodeError> {
    let mut elements = [None; 5];
    let mut body = SliceReader::new(value(octets, Tag::Sequence, "SEQUENCE")?)?;
    let mut next = 0;
    while !body.is_finished() {
        let element: AnyRef<'_> = body.decode()?;
        let Tag::ContextSpecific {
            constructed: true,
            number: TagNumber(number),
        } = element.tag()
        else {
            return Err(DecodeError::Without("element"));
        };
        if number < next {
            return Err(DecodeError::Without("order"));
        }
        next = number.saturating_add(1);
        let place = usize::try_from(number).ok();
        if let Some(place) = place.and_then(|number| elements.get_mut(number)) {
            *place = Some(element.value());
        }
    }
    Ok(elements)
}

fn encoded(tag: Tag, octets: &[u8]) -> Vec<u8> {
    AnyRef::new(tag, octets)
        .and_then(|element| element.to_der())
        .expect("a token is shorter than 4 GiB")
}

/// The tag of an element with a number.
const fn context(number: u32) -> Tag {
    Tag::ContextSpecific {
        constructed: true,
        number: TagNumber(number),
    }
}

/// The framing of a first token (RFC 2743 3.1).
const INITIAL_CONTEXT_TOKEN: Tag = Tag::Application {
    constructed: true,
    number: TagNumber(0),
};

const SPNEGO: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.2");
const KERBEROS: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113554.1.2.2");
const MICROSOFT_KERBEROS: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.48018.1.2.2");
const NTLM: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.311.2.2.10");

/// Octets of a token: a Kerberos ticket with many groups, and what is around
/// it.
const MAX_TOKEN: usize = 66 * 1_024;

/// Mechanisms in a list: Windows names four.
const MAX_MECH_TYPES: usize = 32;

/// Reads octets of unknown origin, and holds that an answer made of what they
/// bear is read back as it was.
#[cfg(fuzzing)]
pub(crate) fn fuzz(octets: &[u8]) {
    let mut answer = NegTokenResp::default();
    if let Ok(FirstToken::Spnego(init)) = FirstToken::decode(octets) {
        assert!(init.mech_types.types.len() <= MAX_MECH_TYPES);
        answer.response_token = init.mech_token;
        answer.mech_list_mic = init.mech_list_mic;
    } else if let Ok(token) = NegTokenResp::decode(octets) {
        answer = token;
    }
    let written = answer.encode();
    assert_eq!(NegTokenResp::decode(&written), Ok(answer));
}

#[cfg(test)]
pub(crate) mod tests;
