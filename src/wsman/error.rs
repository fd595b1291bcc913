//! Why a request is not done. What each becomes on the wire stands in
//! [`super::fault`].

use crate::cim::xml::ReadError;
use crate::provider;
use crate::provider::ConfigError;
use crate::soap;

use super::filter::FilterError;

/// Why a request is not done.
#[derive(Clone, Debug, thiserror::Error)]
pub(super) enum Error {
    /// Somebody has logged on whom no list in the settings allows anything.
    #[error("access is denied")]
    Denied,
    /// The message came over HTTP, and nothing protects it.
    #[error(
        "access is denied: messages over HTTP must be sealed (Negotiate, Kerberos or CredSSP with message encryption), or be sent over HTTPS"
    )]
    Unsealed,
    /// The octets are no text in an encoding that is understood.
    #[error("the message is no text in UTF-8 or UTF-16")]
    Undecodable,
    /// The text is no envelope.
    #[error("{0}{cause}", cause = cause(.0))]
    Envelope(soap::Error),
    /// The message claims an encoding style.
    #[error("the encoding style of the message is not understood")]
    EncodingStyle,

    /// A header block that may be there once is there twice.
    #[error("the header block {0} is there twice")]
    HeaderTwice(&'static str),
    /// A header block that must be there is not.
    #[error("the header block {0} is required")]
    HeaderRequired(&'static str),
    /// A header block has a content that it cannot have.
    #[error("the header block {0} is not valid")]
    HeaderInvalid(&'static str),
    /// `OperationTimeout` is no duration, or a negative one.
    #[error("the timeout header block is not valid: it must hold a duration")]
    TimeoutInvalid,
    /// A header block that must be understood is not.
    #[error("the header block {local} must be understood, and is not")]
    NotUnderstood {
        /// Its namespace.
        namespace: String,
        /// Its name.
        local: String,
    },
    /// An answer is to go elsewhere.
    #[error("the address in {0} is not supported: it must be the anonymous one")]
    NotAnonymous(&'static str),
    /// A language is insisted on.
    #[error(
        "the service cannot promise the language of its answers: Locale must not be marked mustUnderstand"
    )]
    Locale,
    /// A language of data is insisted on.
    #[error(
        "the service cannot promise the language of its data: DataLocale must not be marked mustUnderstand"
    )]
    DataLocale,
    /// `MaxEnvelopeSize` leaves no room for an answer.
    #[error("MaxEnvelopeSize must be at least 8192")]
    EnvelopeTooSmall,

    /// There is no resource URI.
    #[error("the request names no resource")]
    NoResource,
    /// The resource URI is of a family that is not served.
    #[error("the resource URI is not served here: {0}")]
    NoSuchResource(String),
    /// A command or PowerShell shell.
    #[error("this endpoint manages background transfer jobs; it has no shells")]
    NoShell,
    /// The URI in this header block is longer than any that is served.
    #[error("the URI in {0} is too long")]
    UriTooLong(&'static str),
    /// There is no such class.
    #[error("there is no class {0} in that namespace")]
    NoSuchClass(String),
    /// There is no such namespace.
    #[error("there is no namespace {0}")]
    NoSuchNamespace(String),
    /// `__cimnamespace` contradicts the URI.
    #[error("the selector __cimnamespace and the resource URI name different namespaces")]
    NamespacesDiffer,
    /// The class has keys, and no selector names one.
    #[error("the selectors must name an instance of {0}")]
    NoKeySelector(String),
    /// Some keys have a selector, this one has none.
    #[error("the selector {0} is missing")]
    MissingSelector(String),
    /// The selector is no key of the class.
    #[error("the selector {0} is not a key of the resource")]
    UnexpectedSelector(String),
    /// The selector stands twice.
    #[error("the selector {0} stands more than once")]
    DuplicateSelector(String),
    /// The selector holds an endpoint reference.
    #[error("the selector {0} must hold text")]
    ReferenceSelector(String),
    /// More selectors than any class has keys, or longer ones.
    #[error("there are too many selectors, or too long ones")]
    TooManySelectors,
    /// More options than any client has.
    #[error("there are too many options")]
    TooManyOptions,
    /// An option has no name.
    #[error("an option has no name")]
    NamelessOption,
    /// An option has a value that it cannot have.
    #[error("the option {0} must be true or false")]
    OptionInvalid(&'static str),
    /// An option that must be complied with is not known.
    #[error("the option {0} is not supported by the resource")]
    OptionNotSupported(String),
    /// An enumeration of one instance.
    #[error("an enumeration takes no key as a selector")]
    EnumerateWithKeys,

    /// The action is no URI.
    #[error("the action is not valid: {0}")]
    NoAction(String),
    /// The resource does not do that.
    #[error("the action is not supported by the resource: {0}")]
    ActionNotSupported(String),
    /// The class has no such method.
    #[error("the class has no method {0}")]
    NoSuchMethod(String),

    /// The body is not what the action asks for.
    #[error("the body is not valid: {0}")]
    Body(BodyError),
    /// The body of a Put or Create does not fit the class.
    #[error("the representation is not valid: {0}")]
    Representation(ReadError),
    /// A Put would give the instance another key.
    #[error("the key {0} cannot be changed")]
    KeyChanged(String),
    /// A fragment Put names a property that nobody may set.
    #[error("the property {0} cannot be set")]
    ReadOnly(String),
    /// The body of a fragment Put does not hold the fragment.
    #[error("the fragment is not valid: {0}")]
    Fragment(FragmentError),
    /// The arguments do not fit the method.
    #[error("the parameters are not valid: {0}")]
    Arguments(ReadError),

    /// The fragment is addressed in another language than `XPath`.
    #[error("fragments are addressed by XPath 1.0 only")]
    FragmentDialect,
    /// The expression is more than names and positions.
    #[error("the fragment expression cannot be processed: {0}")]
    FragmentPath(String),
    /// The operation has no fragments.
    #[error("the operation does not support fragments")]
    FragmentNotSupported,

    /// Two filters.
    #[error("the enumeration has more than one filter")]
    TwoFilters,
    /// A filter on what has none: the configuration, the classes themselves.
    #[error("filters are not supported")]
    FilteringNotSupported,
    /// A filter in another language, one that cannot be read, or that asks for
    /// what the class does not have.
    #[error("{0}")]
    Filter(#[from] FilterError),
    /// A filter that names what is not there.
    #[error("{0}")]
    FilterUnfound(Unfound),
    /// A filter on one class comes with a URI of all classes.
    #[error("a filter of that dialect needs the resource URI of a class")]
    FilterNeedsClass,
    /// A query comes with selectors of an instance.
    #[error("a query takes no selector but __cimnamespace")]
    FilterWithSelectors,
    /// All classes are asked for, without a filter.
    #[error("all classes can be enumerated through a filter only")]
    FilteringRequired,
    /// A mode that nobody knows.
    #[error("the enumeration mode is not supported")]
    EnumerationMode,
    /// A treatment of subclasses that nobody knows.
    #[error("the polymorphism mode is not supported")]
    PolymorphismMode,
    /// `EndTo` wants to be told.
    #[error("EndTo is not supported")]
    EndTo,
    /// `Expires` or `MaxTime` is zero, negative or no duration.
    #[error("the expiration time is not valid")]
    Expires,
    /// `Expires` is a point in time.
    #[error("the expiration time must be a duration")]
    ExpiresAt,
    /// The context is unknown, has expired, was released, or is another's.
    #[error("the enumeration context is not valid")]
    NoContext,
    /// The context is being pulled by another request.
    #[error("the enumeration is in use by another request")]
    ContextBusy,
    /// `MaxTime` passed.
    #[error("nothing was found within the time for the pull")]
    PullTimedOut,

    /// `OperationTimeout` passed.
    #[error("the operation did not end within its timeout; it goes on by itself")]
    TimedOut,
    /// The answer does not fit into the client's envelope.
    #[error("the answer is larger than MaxEnvelopeSize allows")]
    AnswerTooLarge,
    /// The same, of an answer to something that has been done.
    #[error("it is done, but the answer is larger than MaxEnvelopeSize allows")]
    Unreportable,
    /// The user has too many requests at once.
    #[error("the user has reached the limit of concurrent operations")]
    TooManyOperations,
    /// The user has too many enumerations open.
    #[error("the user has reached the limit of open enumerations")]
    TooManyEnumerations,
    /// All users together have.
    #[error("the service has reached the limit of open enumerations")]
    NoRoomForEnumerations,

    /// The configuration is not shown or changed.
    #[error("{0}")]
    Config(#[from] ConfigError),
    /// The provider did not do it.
    #[error("{source}")]
    Provider {
        /// What was asked of it.
        during: During,
        /// Why.
        source: provider::Error,
    },
}

/// What is wrong with a body.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(super) enum BodyError {
    /// There is no representation.
    #[error("a representation is required")]
    Empty,
    /// The representation is of something else.
    #[error("its element is not named after the class")]
    NotOfClass,
    /// It is not the element of this name, which goes with the action.
    #[error("the action asks for {0}")]
    NotOfAction(&'static str),
    /// The element of this name holds no positive number.
    #[error("{0} must be a positive number")]
    NotPositive(&'static str),
}

/// What is wrong with the body of a fragment Put.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(super) enum FragmentError {
    /// The expression leads into an embedded instance.
    #[error("an embedded instance is set as a whole")]
    Embedded,
    /// The expression names one value of an array.
    #[error("an array is set as a whole")]
    Array,
    /// The expression names a second value of what has one.
    #[error("there is no value at that position")]
    Position,
    /// The expression names an attribute.
    #[error("an attribute cannot be set")]
    Attribute,
    /// There is no `wsman:XmlFragment`.
    #[error("XmlFragment is missing")]
    Missing,
    /// `wsman:XmlFragment` holds something else than the expression names.
    #[error("it must hold what the expression names")]
    Other,
}

/// What a filter names, and is not there.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub(super) enum Unfound {
    /// A namespace.
    #[error("there is no namespace {0}")]
    Namespace(String),
    /// A class.
    #[error("there is no class {0} in that namespace")]
    Class(String),
    /// An instance of this class, or the caller may not know of it.
    #[error("there is no such instance of {0}")]
    Object(String),
    /// The keys are not those of this class.
    #[error("the keys do not name an instance of {0}")]
    Keys(String),
}

impl Unfound {
    /// What WMI says: `WBEM_E_…`.
    pub(super) fn status(&self) -> u32 {
        match self {
            Self::Namespace(_) => WBEM_E_INVALID_NAMESPACE,
            Self::Class(_) => 0x8004_1010,
            Self::Object(_) => 0x8004_1002,
            Self::Keys(_) => 0x8004_103A,
        }
    }
}

/// What was asked of a provider: the same error means different faults.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum During {
    /// Get, enumerate, delete.
    Access,
    /// Create.
    Create,
    /// Put.
    Put,
    /// A method.
    Invoke,
}

impl During {
    /// The provider's error with its circumstances.
    pub(super) fn error(self, source: provider::Error) -> Error {
        Error::Provider {
            during: self,
            source,
        }
    }
}

impl Error {
    /// The error of an answer to something that has been done.
    pub(super) fn once_done(self) -> Self {
        if matches!(self, Self::AnswerTooLarge) {
            return Self::Unreportable;
        }
        self
    }
}

impl From<soap::Duplicate> for Error {
    fn from(duplicate: soap::Duplicate) -> Self {
        Self::HeaderTwice(duplicate.0)
    }
}

/// A client's word, cut to what fits into a sentence.
pub(super) fn shorten(text: &str) -> String {
    let mut shortened: String = text.chars().take(MAX_WORD).collect();
    if shortened.len() < text.len() {
        shortened.push('…');
    }
    shortened
}

/// What exactly is wrong with the XML.
fn cause(error: &soap::Error) -> String {
    match error {
        soap::Error::Xml(error) => format!(": {error}"),
        soap::Error::VersionMismatch(_)
        | soap::Error::NotAnEnvelope
        | soap::Error::NoBody
        | soap::Error::Malformed => String::new(),
    }
}

/// `WBEM_E_INVALID_NAMESPACE`.
pub(super) const WBEM_E_INVALID_NAMESPACE: u32 = 0x8004_100E;

/// Characters of a client's word that an error repeats.
const MAX_WORD: usize = 200;
