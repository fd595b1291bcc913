//! The one table from errors to faults (DSP0226 14, [MS-WSMV] 2.2.4.43, codes
//! as Windows sends them). Its matches have no `_` arm: a new error does not
//! compile until someone has chosen its fault.
//!
//! A fault is told in the language of the request's `wsman:Locale`; the errors
//! have their English themselves, `pt_br` has the Portuguese. What WMI's own
//! provider would raise has a `f:ProviderFault` with the same code and the
//! extended status of WMI. Whoever speaks the DMTF's family of URIs is a CIM
//! client, and gets `MSFT_WmiError` behind the `f:WSManFault`.
//!
//! # Codes that no answer has
//!
//! By their last digits, after 0x80338. Those of the client's side are left out.
//!
//! | codes | why |
//! |---|---|
//! | 002, 012, 015, 03D, 039, 042 | general forms of codes that say more |
//! | 00C, 066, 06D, 06E, 11D | every timeout, `MaxTime`, envelope size and `MaxElements` is honoured or cut to the settings |
//! | 01D | what can be renewed is renewed: only an unknown context is not, by 01B |
//! | 01E to 025, 030, 034, 038, 050, 065, 068 to 06B, 06F, 071, 095, 0A0 to 0A4, 0A8, 15D to 15F, 1D9 | subscriptions: there are none |
//! | 027 | Windows answers a body that does not go with the action by 041 |
//! | 02C | an unknown charset is 04C, as its octets cannot be read |
//! | 031 | the HTTP header `SOAPAction` is ignored: clients write anything there |
//! | 047 | 048 says the same |
//! | 04E | white space around header values is passed over |
//! | 058 | clients take the namespace of a representation from the URI as they typed it |
//! | 064, 072, 073 | authorization and tokens are HTTP's |
//! | 067 | English is the answer to an unknown language |
//! | 081 | 00F with the detail `InvalidTimeout`, as Windows has it |
//! | 0A6 | every resource takes options |
//! | 102, 104, 105, 11E | 013, 014, 5 and 87, which are not for WMI alone |
//! | 119, 11A | nothing here has an encoding type or such a value |
//! | 122 | there is no filter outside of enumerations |
//! | 138, 139 | no URI is for the host itself, and versions of classes do not matter |
//! | 1A5 | there are no shells |
//! | 1AD | a Pull may have other limits than its Enumerate |

mod pt_br;
mod subject;
mod wmi_error;

use crate::bits::Hresult;
use crate::bits::Language;
use crate::cim::xml::ReadError;
use crate::document;
use crate::provider;
use crate::provider::ConfigError;
use crate::soap;
use crate::soap::Code;
use crate::soap::Envelope;
use crate::soap::Fault;
use crate::soap::ProviderFault;
use crate::soap::Subcode;
use crate::telemetry::counters;
use crate::xml;
use crate::xml::ns;

use super::error::During;
use super::error::Error;
use super::filter;
use super::filter::FilterError;
use super::request::Origin;
use super::resource::Form;
use subject::Subject;

/// The fault of `error` in answer to `envelope`, as far as that could be read.
pub(super) fn fault(error: &Error, origin: &Origin<'_>, envelope: Option<&Envelope<'_>>) -> Fault {
    let row = row(error);
    let sentence = sentence(&match origin.language {
        Language::English => error.to_string(),
        Language::Portuguese => pt_br::words(error),
    });
    let subject = envelope.and_then(Subject::read);
    let wmi = wmi_error::wmi_error(error);
    let (prefix, namespace, action) = row.family.names();
    match prefix {
        Some(prefix) => counters::fault(prefix, row.subcode),
        None => counters::fault("", row.code.qname()),
    }
    let subcode = prefix.map(|prefix| Subcode::new(prefix, namespace, row.subcode));
    let mut fault = Fault::new(row.code, subcode, sentence);
    origin.language.tag().clone_into(&mut fault.lang);
    action.clone_into(&mut fault.action);
    fault.detail = row.detail.map(|detail| [DETAIL, detail].concat());
    fault.wsman_code = Some(row.number);
    origin.machine.clone_into(&mut fault.machine);
    // INVARIANT: the inner code is the outer one. The inner host too: a client
    // knows this one by the name that it has asked for.
    fault.provider = wmi.status.map(|status| ProviderFault {
        provider: PROVIDER.to_owned(),
        path: String::new(),
        code: row.number,
        message: fault.reason.clone(),
        machine: fault.machine.clone(),
        extended_error: subject
            .as_ref()
            .map(|subject| subject.extended_status(PROVIDER, status)),
    });
    let mut extra = String::new();
    match error {
        Error::FragmentDialect => extra.push_str(FRAGMENT_DIALECT),
        Error::Filter(FilterError::Dialect) => {
            for dialect in filter::DIALECTS {
                extra
                    .push_str(&["<n:SupportedDialect>", dialect, "</n:SupportedDialect>"].concat());
            }
        }
        _ => {}
    }
    if subject.is_some_and(|subject| subject.form == Form::Dmtf) {
        extra.push_str(&wmi_error::instance(wmi, row.number, &fault.reason));
    }
    fault.extra = (!extra.is_empty()).then_some(extra);
    fault
}

/// What a fault is made of.
struct Row {
    code: Code,
    family: Family,
    subcode: &'static str,
    detail: Option<&'static str>,
    number: u32,
}

/// Whose subcode it is; decides the fault's action too.
#[derive(Clone, Copy)]
enum Family {
    /// SOAP itself: no subcode.
    Soap,
    Addressing,
    Transfer,
    Enumeration,
    Eventing,
    Wsman,
    CimBinding,
}

impl Family {
    /// Prefix, namespace, action.
    fn names(self) -> (Option<&'static str>, &'static str, &'static str) {
        match self {
            Self::Soap => (None, ns::SOAP, ADDRESSING_ACTION),
            Self::Addressing => (Some("a"), ns::ADDRESSING, ADDRESSING_ACTION),
            Self::Transfer => (
                Some("x"),
                ns::TRANSFER,
                "http://schemas.xmlsoap.org/ws/2004/09/transfer/fault",
            ),
            Self::Enumeration => (
                Some("n"),
                ns::ENUMERATION,
                "http://schemas.xmlsoap.org/ws/2004/09/enumeration/fault",
            ),
            Self::Eventing => (
                Some("e"),
                ns::EVENTING,
                "http://schemas.xmlsoap.org/ws/2004/08/eventing/fault",
            ),
            Self::Wsman => (
                Some("wsman"),
                ns::WSMAN,
                "http://schemas.dmtf.org/wbem/wsman/1/wsman/fault",
            ),
            Self::CimBinding => (
                Some("b"),
                ns::CIMBINDING,
                "http://schemas.dmtf.org/wbem/wsman/1/cimbinding/fault",
            ),
        }
    }

    fn sender(self, subcode: &'static str, number: u32) -> Row {
        Row {
            code: Code::Sender,
            family: self,
            subcode,
            detail: None,
            number,
        }
    }

    fn receiver(self, subcode: &'static str, number: u32) -> Row {
        Row {
            code: Code::Receiver,
            ..self.sender(subcode, number)
        }
    }
}

impl Row {
    fn detail(self, detail: &'static str) -> Self {
        Self {
            detail: Some(detail),
            ..self
        }
    }

    fn soap(code: Code, number: u32) -> Self {
        Self {
            code,
            ..Family::Soap.sender("", number)
        }
    }
}

fn row(error: &Error) -> Row {
    use Family::Addressing;
    use Family::CimBinding;
    use Family::Enumeration;
    use Family::Eventing;
    use Family::Transfer;
    use Family::Wsman;

    match error {
        Error::Denied | Error::Unsealed => Wsman.sender("AccessDenied", WIN32_ACCESS_DENIED),
        Error::Undecodable => Wsman
            .sender("EncodingLimit", 2_150_858_828)
            .detail("CharacterSet"),
        Error::Envelope(error) => envelope_row(error),
        Error::EncodingStyle => Row::soap(Code::DataEncodingUnknown, 2_150_858_766),

        Error::HeaderRequired(_) => {
            Addressing.sender("MessageInformationHeaderRequired", 2_150_858_769)
        }
        Error::HeaderTwice(_) | Error::HeaderInvalid(_) => {
            Addressing.sender("InvalidMessageInformationHeader", 2_150_858_767)
        }
        Error::TimeoutInvalid => Addressing
            .sender("InvalidMessageInformationHeader", 2_150_858_767)
            .detail("InvalidTimeout"),
        Error::NotUnderstood { .. } => Row::soap(Code::MustUnderstand, 2_150_858_768),
        Error::NotAnonymous(_) | Error::EndTo => Wsman
            .sender("UnsupportedFeature", 2_150_858_870)
            .detail("AddressingMode"),
        Error::Locale => Wsman
            .sender("UnsupportedFeature", 2_150_858_887)
            .detail("Locale"),
        Error::DataLocale => Wsman
            .sender("UnsupportedFeature", 2_150_858_887)
            .detail("DataLocale"),
        Error::EnvelopeTooSmall => Wsman
            .sender("EncodingLimit", 2_150_858_878)
            .detail("MinimumEnvelopeLimit"),

        Error::NoResource | Error::NoSuchResource(_) | Error::NoShell => Addressing
            .sender("DestinationUnreachable", 2_150_858_811)
            .detail("InvalidResourceURI"),
        Error::UriTooLong(_) => Wsman
            .sender("EncodingLimit", 2_150_858_797)
            .detail("URILimitExceeded"),
        Error::NoSuchClass(_) | Error::NoSuchNamespace(_) => Addressing
            .sender("DestinationUnreachable", RESOURCE_NOT_FOUND)
            .detail("InvalidResourceURI"),
        Error::NamespacesDiffer => Wsman.receiver("InternalError", 2_150_859_067),
        Error::NoKeySelector(_) => Wsman
            .sender("InvalidSelectors", 2_150_859_002)
            .detail("InsufficientSelectors"),
        Error::MissingSelector(_) => Wsman
            .sender("InvalidSelectors", 2_150_858_842)
            .detail("InsufficientSelectors"),
        Error::UnexpectedSelector(_) => Wsman
            .sender("InvalidSelectors", 2_150_858_843)
            .detail("UnexpectedSelectors"),
        Error::DuplicateSelector(_) => Wsman
            .sender("InvalidSelectors", 2_150_858_847)
            .detail("DuplicateSelectors"),
        Error::ReferenceSelector(_) => Wsman
            .sender("InvalidSelectors", 2_150_858_844)
            .detail("TypeMismatch"),
        Error::TooManySelectors => Wsman
            .sender("EncodingLimit", 2_150_858_826)
            .detail("SelectorLimit"),
        Error::TooManyOptions => Wsman
            .sender("EncodingLimit", 2_150_858_827)
            .detail("OptionLimit"),
        Error::NamelessOption => Wsman
            .sender("InvalidOptions", 2_150_858_834)
            .detail("InvalidName"),
        Error::OptionInvalid(_) => Wsman
            .sender("InvalidOptions", 2_150_858_835)
            .detail("InvalidValue"),
        Error::OptionNotSupported(_) => Wsman
            .sender("InvalidOptions", 2_150_858_833)
            .detail("NotSupported"),
        Error::EnumerateWithKeys => Wsman
            .sender("InvalidSelectors", 2_150_859_016)
            .detail("UnexpectedSelectors"),

        Error::NoAction(_) => Addressing.sender("ActionNotSupported", 2_150_858_753),
        Error::ActionNotSupported(_) => {
            Addressing.sender("ActionNotSupported", ACTION_NOT_SUPPORTED)
        }
        Error::NoSuchMethod(_) => Addressing.sender("ActionNotSupported", 2_150_858_921),

        Error::Body(_) => Wsman.sender("SchemaValidationError", 2_150_858_817),
        Error::Representation(ReadError::Unknown(_)) => {
            Wsman.sender("SchemaValidationError", 2_150_858_817)
        }
        Error::Representation(ReadError::Missing(_)) => Transfer
            .sender("InvalidRepresentation", 2_150_858_839)
            .detail("MissingValues"),
        Error::Representation(
            ReadError::Type { .. } | ReadError::Twice(_) | ReadError::Fixed(_),
        )
        | Error::ReadOnly(_) => invalid_values(),
        Error::KeyChanged(_) => Transfer
            .sender("InvalidRepresentation", 2_150_858_989)
            .detail("InvalidValues"),
        Error::Fragment(_) => Transfer
            .sender("InvalidRepresentation", 2_150_858_841)
            .detail("InvalidFragment"),
        Error::Arguments(ReadError::Unknown(_)) => Wsman
            .sender("InvalidParameter", 2_150_858_837)
            .detail("InvalidName"),
        Error::Arguments(ReadError::Type { .. }) => Wsman
            .sender("InvalidParameter", 2_150_858_836)
            .detail("TypeMismatch"),
        Error::Arguments(ReadError::Twice(_) | ReadError::Missing(_) | ReadError::Fixed(_)) => {
            Wsman.sender("InvalidParameter", 2_150_858_810)
        }

        Error::FragmentDialect => Wsman.receiver("FragmentDialectNotSupported", 2_150_858_896),
        Error::FragmentPath(_) => Wsman.sender("CannotProcessFilter", 2_150_858_899),
        Error::FragmentNotSupported => Wsman
            .sender("UnsupportedFeature", 2_150_858_871)
            .detail("FragmentLevelAccess"),

        Error::TwoFilters
        | Error::Filter(FilterError::Invalid { .. })
        | Error::FilterUnfound(_)
        | Error::FilterNeedsClass => Enumeration.sender("CannotProcessFilter", 2_150_858_778),
        Error::FilteringNotSupported => Enumeration.sender("FilteringNotSupported", 2_150_858_776),
        Error::Filter(FilterError::Dialect) => {
            Enumeration.sender("FilterDialectRequestedUnavailable", 2_150_858_777)
        }
        Error::FilterWithSelectors => Wsman.sender("InvalidSelectors", 2_150_859_003),
        Error::FilteringRequired => Eventing
            .sender("FilteringRequestedUnavailable", 2_150_858_831)
            .detail("FilteringRequired"),
        Error::EnumerationMode => Wsman
            .sender("UnsupportedFeature", 2_150_858_886)
            .detail("EnumerationMode"),
        Error::PolymorphismMode => CimBinding.sender("PolymorphismModeNotSupported", 2_150_859_063),
        Error::Expires => Enumeration.sender("InvalidExpirationTime", 2_150_858_774),
        Error::ExpiresAt => Enumeration.sender("UnsupportedExpirationType", 2_150_858_775),
        Error::NoContext => Enumeration.receiver("InvalidEnumerationContext", 2_150_858_779),
        Error::ContextBusy => Wsman.sender("Concurrency", 2_150_858_802),
        Error::PullTimedOut => Enumeration.receiver("TimedOut", 2_150_858_780),

        Error::TimedOut => Wsman.receiver("TimedOut", 2_150_858_793),
        Error::AnswerTooLarge => Wsman
            .sender("EncodingLimit", 2_150_858_824)
            .detail("MaxEnvelopeSizeExceeded"),
        Error::Unreportable => Wsman
            .sender("EncodingLimit", 2_150_858_829)
            .detail("UnreportableSuccess"),
        Error::TooManyOperations => Wsman.sender("QuotaLimit", 2_150_859_174),
        Error::TooManyEnumerations | Error::NoRoomForEnumerations => {
            Wsman.sender("QuotaLimit", 2_150_858_815)
        }

        Error::Config(error) => config_row(error),
        Error::Provider { during, source } => provider_row(*during, source),
    }
}

fn envelope_row(error: &soap::Error) -> Row {
    match error {
        soap::Error::Xml(error) => match error {
            xml::Error::NotWellFormed(_) | xml::Error::Doctype => {
                Family::Wsman.sender("SchemaValidationError", 2_150_858_819)
            }
            xml::Error::UndeclaredPrefix(_) => Family::Wsman
                .sender("InternalError", 2_150_858_819)
                .detail("Invalid"),
            xml::Error::TooLarge => Family::Wsman
                .sender("EncodingLimit", 2_150_858_825)
                .detail("ServiceEnvelopeLimit"),
            xml::Error::TooDeep | xml::Error::TooManyElements | xml::Error::TooManyAttributes => {
                Family::Wsman.sender("EncodingLimit", 2_150_858_805)
            }
        },
        soap::Error::VersionMismatch(_) => Row::soap(Code::VersionMismatch, 2_150_858_765),
        soap::Error::NotAnEnvelope | soap::Error::NoBody | soap::Error::Malformed => {
            Family::Wsman.sender("SchemaValidationError", 2_150_858_817)
        }
    }
}

/// Of `winrm/config`.
fn config_row(error: &ConfigError) -> Row {
    use Family::Addressing;
    use Family::Transfer;
    use Family::Wsman;

    match error {
        ConfigError::Denied => Wsman.sender("AccessDenied", WIN32_ACCESS_DENIED),
        ConfigError::NotFound => Addressing
            .sender("DestinationUnreachable", RESOURCE_NOT_FOUND)
            .detail("InvalidResourceURI"),
        ConfigError::Ambiguous(_) => Wsman
            .sender("InvalidSelectors", 2_150_858_846)
            .detail("AmbiguousSelectors"),
        ConfigError::Exists(_) => Wsman.sender("AlreadyExists", 2_150_858_803),
        ConfigError::NotSupported(_) => {
            Addressing.sender("ActionNotSupported", ACTION_NOT_SUPPORTED)
        }
        ConfigError::Address(_) | ConfigError::Transport(_) => Wsman
            .sender("InvalidSelectors", 2_150_858_845)
            .detail("InvalidValue"),
        ConfigError::Document(error) => match error {
            document::ReadError::Root(_)
            | document::ReadError::Unknown(_)
            | document::ReadError::Twice(_)
            | document::ReadError::NoValue(_) => {
                Wsman.sender("SchemaValidationError", 2_150_858_817)
            }
            document::ReadError::Missing(_) => missing_values(),
            document::ReadError::Value { .. } => invalid_values(),
        },
        ConfigError::Missing(_) => missing_values(),
        ConfigError::KeyChanged(_) => Transfer
            .sender("InvalidRepresentation", 2_150_858_989)
            .detail("InvalidValues"),
        ConfigError::ReadOnly(_) | ConfigError::Fixed { .. } => Transfer
            .sender("InvalidRepresentation", 2_150_859_071)
            .detail("InvalidValues"),
        ConfigError::Frozen(_) => Transfer
            .sender("InvalidRepresentation", 2_150_859_182)
            .detail("InvalidValues"),
        ConfigError::Value { .. }
        | ConfigError::LastLogOn
        | ConfigError::NoAuthorities
        | ConfigError::LastListener
        | ConfigError::Listen(_) => invalid_values(),
        ConfigError::Unavailable => Addressing.receiver("EndpointUnavailable", 2_150_858_772),
    }
}

fn provider_row(during: During, error: &provider::Error) -> Row {
    match error {
        provider::Error::NotFound => Family::Addressing
            .sender("DestinationUnreachable", RESOURCE_NOT_FOUND)
            .detail("InvalidResourceURI"),
        provider::Error::BadKey { .. } => Family::Wsman
            .sender("InvalidSelectors", 2_150_858_845)
            .detail("InvalidValue"),
        provider::Error::Denied => Family::Wsman.sender("AccessDenied", WIN32_ACCESS_DENIED),
        provider::Error::NotSupported => {
            Family::Addressing.sender("ActionNotSupported", ACTION_NOT_SUPPORTED)
        }
        provider::Error::BadValue(_) => match during {
            During::Create | During::Put => invalid_values(),
            During::Invoke | During::Access => Family::Wsman
                .sender("InvalidParameter", WIN32_INVALID_PARAMETER)
                .detail("InvalidValue"),
        },
        provider::Error::Failed { code, .. } => match *code {
            Hresult::E_ACCESSDENIED => Family::Wsman.sender("AccessDenied", code.number()),
            Hresult::E_INVALIDARG => Family::Wsman
                .sender("InvalidParameter", code.number())
                .detail("InvalidValue"),
            other => Family::Wsman.receiver("InternalError", other.number()),
        },
        provider::Error::Unavailable => {
            Family::Addressing.receiver("EndpointUnavailable", 2_150_858_772)
        }
    }
}

fn missing_values() -> Row {
    Family::Transfer
        .sender("InvalidRepresentation", 2_150_858_839)
        .detail("MissingValues")
}

fn invalid_values() -> Row {
    Family::Transfer
        .sender("InvalidRepresentation", 2_150_858_838)
        .detail("InvalidValues")
}

/// A fragment as a sentence: capital letter, full stop. What begins with a path
/// or an address begins as that does. Cut to what fits into the smallest
/// envelope as often as a fault has it.
fn sentence(fragment: &str) -> String {
    let mut sentence = String::with_capacity(fragment.len() + 1);
    let mut octets = 0;
    for (at, c) in fragment.chars().enumerate() {
        octets += match c {
            '&' | '<' | '>' => "&amp;".len(),
            c => c.len_utf8(),
        };
        if octets > MAX_SENTENCE {
            sentence.push('…');
            return sentence;
        }
        if at == 0 {
            sentence.extend(c.to_uppercase());
        } else {
            sentence.push(c);
        }
    }
    if !sentence.ends_with(['.', '!', '?']) {
        sentence.push('.');
    }
    sentence
}

/// `ERROR_WSMAN_RESOURCE_NOT_FOUND`: the class or the instance.
const RESOURCE_NOT_FOUND: u32 = 2_150_858_752;

/// `ERROR_WSMAN_ACTION_NOT_SUPPORTED`.
const ACTION_NOT_SUPPORTED: u32 = 2_150_858_771;

/// `ERROR_ACCESS_DENIED`.
const WIN32_ACCESS_DENIED: u32 = 5;

/// `ERROR_INVALID_PARAMETER`.
const WIN32_INVALID_PARAMETER: u32 = 87;

/// The dialects that fragments may be addressed in.
const FRAGMENT_DIALECT: &str = "<wsman:FragmentDialect>\
    http://www.w3.org/TR/1999/REC-xpath-19991116</wsman:FragmentDialect>";

/// Octets of a sentence in XML.
const MAX_SENTENCE: usize = 600;

/// What `f:ProviderFault` names.
const PROVIDER: &str = "bitsd";

const ADDRESSING_ACTION: &str = "http://schemas.xmlsoap.org/ws/2004/08/addressing/fault";

/// Before every fault detail.
const DETAIL: &str = "http://schemas.dmtf.org/wbem/wsman/1/wsman/faultDetail/";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_sentence_begins_and_ends_as_one_and_is_cut() {
        assert_eq!(sentence("it is so"), "It is so.");
        assert_eq!(sentence("é assim: \"x\"?"), "É assim: \"x\"?");
        assert_eq!(sentence("/srv/x is a folder"), "/srv/x is a folder.");
        let long = sentence(&"x".repeat(MAX_SENTENCE + 1));
        assert_eq!(long.chars().count(), MAX_SENTENCE + 1);
        assert!(long.ends_with('…'));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn a_sentence_is_short_in_xml(text in "[&<>a-zé…]{0,900}") {
            let mut writer = xml::Writer::with_capacity(0);
            writer.text(&sentence(&text));
            prop_assert!(writer.finish().len() <= MAX_SENTENCE + "…".len());
        }
    }
}
