//! The one table from errors to faults (DSP0226 14, [MS-WSMV] 2.2.4.43, codes
//! as Windows sends them). Its matches have no `_` arm: a new error does not
//! compile until someone has chosen its fault.

use crate::bits::Hresult;
use crate::cim::xml::ReadError;
use crate::document;
use crate::provider;
use crate::provider::ConfigError;
use crate::soap;
use crate::soap::Code;
use crate::soap::Fault;
use crate::soap::ProviderFault;
use crate::soap::Subcode;
use crate::xml;
use crate::xml::ns;

use super::error::During;
use super::error::Error;

/// The fault of `error`. `machine` is the host as the client addressed it.
pub(super) fn fault(error: &Error, machine: &str) -> Fault {
    let row = row(error);
    let reason = reason(error);
    let (prefix, namespace, action) = row.family.names();
    let subcode = prefix.map(|prefix| Subcode::new(prefix, namespace, row.subcode));
    let mut fault = Fault::new(row.code, subcode, reason);
    action.clone_into(&mut fault.action);
    fault.detail = row.detail.map(|detail| [DETAIL, detail].concat());
    fault.wsman_code = Some(row.number);
    machine.clone_into(&mut fault.machine);
    fault.provider = provider_part(error, row.number, machine);
    if matches!(error, Error::FragmentDialect) {
        fault.extra = Some(FRAGMENT_DIALECT.to_owned());
    }
    fault
}

/// The sentence of the fault.
fn reason(error: &Error) -> String {
    // Already a sentence, which may begin with a path or an address.
    if let Error::Provider {
        source: provider::Error::Failed { detail, .. },
        ..
    } = error
    {
        return detail.clone();
    }
    sentence(&error.to_string())
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
    use Family::Enumeration;
    use Family::Eventing;
    use Family::Transfer;
    use Family::Wsman;

    match error {
        Error::Denied => Wsman.sender("AccessDenied", WIN32_ACCESS_DENIED),
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

        Error::NoSuchResource(_) | Error::NoShell => Addressing
            .sender("DestinationUnreachable", 2_150_858_811)
            .detail("InvalidResourceURI"),
        Error::UriTooLong => Wsman
            .sender("EncodingLimit", 2_150_858_797)
            .detail("URILimitExceeded"),
        Error::NoSuchClass(_) => Addressing
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
        Error::Representation(
            ReadError::Type { .. } | ReadError::Twice(_) | ReadError::Missing(_),
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
        Error::Arguments(ReadError::Twice(_) | ReadError::Missing(_)) => {
            Wsman.sender("InvalidParameter", 2_150_858_810)
        }

        Error::FragmentDialect => Wsman.receiver("FragmentDialectNotSupported", 2_150_858_896),
        Error::FragmentPath(_) => Wsman.sender("CannotProcessFilter", 2_150_858_899),
        Error::FragmentNotSupported => Wsman
            .sender("UnsupportedFeature", 2_150_858_871)
            .detail("FragmentLevelAccess"),

        Error::TwoFilters => Enumeration.sender("CannotProcessFilter", 2_150_858_778),
        Error::FilteringNotSupported => Enumeration.sender("FilteringNotSupported", 2_150_858_776),
        Error::FilterDialect => {
            Enumeration.sender("FilterDialectRequestedUnavailable", 2_150_858_777)
        }
        Error::FilteringRequired => Eventing
            .sender("FilteringRequestedUnavailable", 2_150_858_831)
            .detail("FilteringRequired"),
        Error::EnumerationMode => Wsman
            .sender("UnsupportedFeature", 2_150_858_886)
            .detail("EnumerationMode"),
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
        Error::TooManyEnumerations => Wsman.sender("QuotaLimit", 2_150_858_815),

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
        ConfigError::Plain => Wsman
            .sender("UnsupportedFeature", 2_150_858_865)
            .detail("InsecureAddress"),
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
        ConfigError::Value { .. } | ConfigError::Listen(_) => invalid_values(),
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
        provider::Error::BadValue { .. } => match during {
            During::Put => invalid_values(),
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

/// What the provider itself had to say: an error of an instance or a method.
fn provider_part(error: &Error, number: u32, machine: &str) -> Option<ProviderFault> {
    let Error::Provider { source, .. } = error else {
        return None;
    };
    let (code, message) = match source {
        provider::Error::Failed { code, detail } => {
            let number = format!("0x{:08X}", code.number());
            let mut message = detail.clone();
            if !message.contains(&number) {
                let at = message.trim_end_matches('.').len();
                message.insert_str(at, &[" (", &number, ")"].concat());
            }
            (code.number(), message)
        }
        provider::Error::NotFound => (number, sentence(&source.to_string())),
        provider::Error::BadKey { .. }
        | provider::Error::Denied
        | provider::Error::NotSupported
        | provider::Error::BadValue { .. }
        | provider::Error::Unavailable => return None,
    };
    Some(ProviderFault {
        provider: PROVIDER.to_owned(),
        path: String::new(),
        code,
        message,
        machine: machine.to_owned(),
    })
}

/// A fragment as a sentence: capital letter, full stop.
fn sentence(fragment: &str) -> String {
    let mut chars = fragment.chars();
    let mut sentence = String::with_capacity(fragment.len() + 1);
    if let Some(first) = chars.next() {
        sentence.extend(first.to_uppercase());
    }
    sentence.push_str(chars.as_str());
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

/// What `f:ProviderFault` names.
const PROVIDER: &str = "bitsd";

const ADDRESSING_ACTION: &str = "http://schemas.xmlsoap.org/ws/2004/08/addressing/fault";

/// Before every fault detail.
const DETAIL: &str = "http://schemas.dmtf.org/wbem/wsman/1/wsman/faultDetail/";
