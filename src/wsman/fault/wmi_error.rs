//! `MSFT_WmiError`: a fault as the CIM cmdlets want it, and the codes of WMI
//! and of CIM that stand for an error.
//!
//! The shape is that of recorded answers of Windows. The names of the instance
//! are the protocol's, not those of a class in the schema.

use crate::bits::Hresult;
use crate::cim::xml::ReadError;
use crate::provider;
use crate::xml::Writer;
use crate::xml::ns;

use super::super::error::During;
use super::super::error::Error;
use super::super::error::Unfound;
use super::super::error::WBEM_E_INVALID_NAMESPACE;
use super::super::filter::FilterError;

/// An error as WMI has it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct WmiError {
    /// Its kind.
    pub(super) result: MiResult,
    /// What WMI's own provider fails with, where the error is one that it would
    /// raise: `WBEM_E_…`, or the HRESULT of a method.
    pub(super) status: Option<u32>,
}

/// `MI_Result`, as far as errors here have it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum MiResult {
    /// `MI_RESULT_FAILED`
    Failed = 1,
    /// `MI_RESULT_ACCESS_DENIED`
    AccessDenied = 2,
    /// `MI_RESULT_INVALID_NAMESPACE`
    InvalidNamespace = 3,
    /// `MI_RESULT_INVALID_PARAMETER`
    InvalidParameter = 4,
    /// `MI_RESULT_INVALID_CLASS`
    InvalidClass = 5,
    /// `MI_RESULT_NOT_FOUND`
    NotFound = 6,
    /// `MI_RESULT_NOT_SUPPORTED`
    NotSupported = 7,
    /// `MI_RESULT_NO_SUCH_PROPERTY`
    NoSuchProperty = 12,
    /// `MI_RESULT_TYPE_MISMATCH`
    TypeMismatch = 13,
    /// `MI_RESULT_QUERY_LANGUAGE_NOT_SUPPORTED`
    QueryLanguageNotSupported = 14,
    /// `MI_RESULT_INVALID_QUERY`
    InvalidQuery = 15,
    /// `MI_RESULT_METHOD_NOT_FOUND`
    MethodNotFound = 17,
    /// `MI_RESULT_INVALID_ENUMERATION_CONTEXT`
    InvalidEnumerationContext = 21,
    /// `MI_RESULT_INVALID_OPERATION_TIMEOUT`
    InvalidOperationTimeout = 22,
    /// `MI_RESULT_FILTERED_ENUMERATION_NOT_SUPPORTED`
    FilteredEnumerationNotSupported = 25,
    /// `MI_RESULT_SERVER_LIMITS_EXCEEDED`
    ServerLimitsExceeded = 27,
}

impl MiResult {
    /// `MI_ErrorCategory`, as the CIM cmdlets derive it from a result.
    fn category(self) -> u32 {
        match self {
            Self::Failed => 0,
            Self::AccessDenied => 18,
            Self::InvalidNamespace
            | Self::InvalidClass
            | Self::NoSuchProperty
            | Self::MethodNotFound
            | Self::InvalidEnumerationContext => 10,
            Self::InvalidParameter | Self::InvalidQuery | Self::InvalidOperationTimeout => 5,
            Self::NotFound => 13,
            Self::NotSupported
            | Self::QueryLanguageNotSupported
            | Self::FilteredEnumerationNotSupported => 11,
            Self::TypeMismatch => 9,
            // As recorded.
            Self::ServerLimitsExceeded => 30,
        }
    }
}

/// What `error` is to WMI.
pub(super) fn wmi_error(error: &Error) -> WmiError {
    let plain = |result| WmiError {
        result,
        status: None,
    };
    match error {
        Error::Denied | Error::Unsealed => plain(MiResult::AccessDenied),
        Error::Undecodable
        | Error::Envelope(_)
        | Error::EncodingStyle
        | Error::HeaderTwice(_)
        | Error::HeaderRequired(_)
        | Error::HeaderInvalid(_)
        | Error::EnvelopeTooSmall
        | Error::NoAction(_)
        | Error::Body(_)
        | Error::UriTooLong(_)
        | Error::NamelessOption
        | Error::OptionInvalid(_)
        | Error::OptionNotSupported(_)
        | Error::NoKeySelector(_)
        | Error::MissingSelector(_)
        | Error::UnexpectedSelector(_)
        | Error::DuplicateSelector(_)
        | Error::EnumerateWithKeys
        | Error::KeyChanged(_)
        | Error::ReadOnly(_)
        | Error::Fragment(_)
        | Error::FragmentPath(_)
        | Error::Expires
        | Error::ExpiresAt => plain(MiResult::InvalidParameter),
        Error::TimeoutInvalid => plain(MiResult::InvalidOperationTimeout),
        Error::NotUnderstood { .. }
        | Error::NotAnonymous(_)
        | Error::Locale
        | Error::DataLocale
        | Error::NoResource
        | Error::NoSuchResource(_)
        | Error::NoShell
        | Error::ActionNotSupported(_)
        | Error::FragmentDialect
        | Error::FragmentNotSupported
        | Error::EnumerationMode
        | Error::PolymorphismMode
        | Error::EndTo => plain(MiResult::NotSupported),

        Error::NoSuchClass(_) => WmiError {
            result: MiResult::InvalidClass,
            status: Some(WBEM_E_INVALID_CLASS),
        },
        Error::NoSuchNamespace(_) => WmiError {
            result: MiResult::InvalidNamespace,
            status: Some(WBEM_E_INVALID_NAMESPACE),
        },
        Error::NamespacesDiffer => plain(MiResult::InvalidNamespace),
        Error::ReferenceSelector(_) => plain(MiResult::TypeMismatch),
        Error::TooManySelectors
        | Error::TooManyOptions
        | Error::AnswerTooLarge
        | Error::Unreportable
        | Error::TooManyOperations
        | Error::TooManyEnumerations
        | Error::NoRoomForEnumerations => plain(MiResult::ServerLimitsExceeded),
        Error::NoSuchMethod(_) => plain(MiResult::MethodNotFound),
        Error::Representation(error) | Error::Arguments(error) => plain(match error {
            ReadError::Unknown(_) => MiResult::NoSuchProperty,
            ReadError::Type { .. } => MiResult::TypeMismatch,
            ReadError::Twice(_) | ReadError::Missing(_) | ReadError::Fixed(_) => {
                MiResult::InvalidParameter
            }
        }),

        Error::Filter(FilterError::Invalid { status, .. }) => WmiError {
            result: MiResult::InvalidQuery,
            status: Some(*status),
        },
        Error::FilterUnfound(what) => WmiError {
            result: match what {
                Unfound::Namespace(_) => MiResult::InvalidNamespace,
                Unfound::Class(_) => MiResult::InvalidClass,
                Unfound::Object(_) => MiResult::NotFound,
                Unfound::Keys(_) => MiResult::InvalidParameter,
            },
            status: Some(what.status()),
        },
        Error::TwoFilters
        | Error::FilterNeedsClass
        | Error::FilterWithSelectors
        | Error::FilteringRequired => plain(MiResult::InvalidQuery),
        Error::FilteringNotSupported => plain(MiResult::FilteredEnumerationNotSupported),
        Error::Filter(FilterError::Dialect) => plain(MiResult::QueryLanguageNotSupported),
        Error::NoContext => plain(MiResult::InvalidEnumerationContext),
        // The configuration is no class: WMI has nothing to say of it.
        Error::Config(_) | Error::ContextBusy | Error::PullTimedOut | Error::TimedOut => {
            plain(MiResult::Failed)
        }

        Error::Provider { during, source } => of_provider(*during, source),
    }
}

fn of_provider(during: During, error: &provider::Error) -> WmiError {
    match error {
        provider::Error::NotFound => WmiError {
            result: MiResult::NotFound,
            status: Some(WBEM_E_NOT_FOUND),
        },
        provider::Error::BadKey { .. } => WmiError {
            result: MiResult::InvalidParameter,
            status: Some(WBEM_E_INVALID_OBJECT_PATH),
        },
        provider::Error::Denied => WmiError {
            result: MiResult::AccessDenied,
            status: Some(WBEM_E_ACCESS_DENIED),
        },
        provider::Error::NotSupported => WmiError {
            result: MiResult::NotSupported,
            status: Some(WBEM_E_PROVIDER_NOT_CAPABLE),
        },
        provider::Error::BadValue(_) => WmiError {
            result: MiResult::InvalidParameter,
            status: Some(match during {
                During::Invoke => WBEM_E_INVALID_METHOD_PARAMETERS,
                During::Access | During::Create | During::Put => WBEM_E_INVALID_PARAMETER,
            }),
        },
        provider::Error::Failed { code, .. } => WmiError {
            result: match *code {
                Hresult::E_ACCESSDENIED => MiResult::AccessDenied,
                Hresult::E_INVALIDARG => MiResult::InvalidParameter,
                Hresult::E_NOTIMPL => MiResult::NotSupported,
                _ => MiResult::Failed,
            },
            status: Some(code.number()),
        },
        provider::Error::Unavailable => WmiError {
            result: MiResult::Failed,
            status: None,
        },
    }
}

/// The instance, for an error with this number and sentence.
pub(super) fn instance(error: WmiError, number: u32, sentence: &str) -> String {
    let hresult = match error.status.unwrap_or(number) {
        // HRESULT_FROM_WIN32
        win32 @ 0..0x1_0000 => 0x8007_0000 | win32,
        hresult => hresult,
    };
    let (text, short, long) = ("cimString", "cimUnsignedShort", "cimUnsignedInt");
    let result = (error.result as u32).to_string();
    let message_id = format!("HRESULT 0x{hresult:08x}");
    let category = error.result.category().to_string();
    let code = hresult.to_string();
    let mut writer = Writer::with_capacity(2_048);
    writer.start("p:MSFT_WmiError");
    writer.attribute("b:IsCIM_Error", "true");
    writer.attribute("xmlns:xsi", ns::XSI);
    writer.attribute("xmlns:b", ns::CIMBINDING);
    writer.attribute("xmlns:p", WMI_ERROR);
    writer.attribute("xmlns:cim", ns::CIM);
    writer.attribute("xsi:type", "p:MSFT_WmiError_Type");
    for (name, kind, value) in [
        ("CIMStatusCode", long, Some(&*result)),
        ("CIMStatusCodeDescription", text, None),
        ("ErrorSource", text, None),
        ("ErrorSourceFormat", short, Some("0")),
        ("ErrorType", short, Some("0")),
        ("Message", text, Some(sentence)),
        ("MessageID", text, Some(&*message_id)),
        ("OtherErrorSourceFormat", text, None),
        ("OtherErrorType", text, None),
        ("OwningEntity", text, None),
        ("PerceivedSeverity", short, Some("0")),
        ("ProbableCause", short, Some("0")),
        ("ProbableCauseDescription", text, None),
        ("error_Category", long, Some(&*category)),
        ("error_Code", long, Some(&*code)),
        ("error_Type", text, Some("HRESULT")),
        ("error_WindowsErrorMessage", text, Some(sentence)),
    ] {
        writer.start_in("p", name);
        writer.attribute("xsi:type", &["cim:", kind].concat());
        match value {
            Some(value) => writer.text(value),
            None => writer.attribute("xsi:nil", "true"),
        }
        writer.end();
    }
    writer.finish()
}

const WMI_ERROR: &str = "http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/MSFT_WmiError";

const WBEM_E_NOT_FOUND: u32 = 0x8004_1002;
const WBEM_E_ACCESS_DENIED: u32 = 0x8004_1003;
const WBEM_E_INVALID_PARAMETER: u32 = 0x8004_1008;
const WBEM_E_INVALID_CLASS: u32 = 0x8004_1010;
const WBEM_E_PROVIDER_NOT_CAPABLE: u32 = 0x8004_1024;
const WBEM_E_INVALID_METHOD_PARAMETERS: u32 = 0x8004_102F;
const WBEM_E_INVALID_OBJECT_PATH: u32 = 0x8004_103A;
