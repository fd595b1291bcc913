//! Why the configuration is not shown or changed.

use crate::document::ReadError;

/// Why the configuration is not shown or changed.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum ConfigError {
    /// The caller is no administrator.
    #[error("only administrators may change the configuration")]
    Denied,
    /// No document has these keys.
    #[error("there is no such part of the configuration")]
    NotFound,
    /// Several documents have these keys.
    #[error("the selectors {0} mean more than one part of the configuration")]
    Ambiguous(String),
    /// A document with these keys is there already.
    #[error("{0} is there already")]
    Exists(String),
    /// The resource does not do that.
    #[error("{0}")]
    NotSupported(#[from] Unsupported),
    /// The key `Address` of a listener is none.
    #[error("Address: {0} is neither * nor IP: and an address")]
    Address(String),
    /// The key `Transport` of a listener is none.
    #[error("Transport: {0} is neither HTTP nor HTTPS")]
    Transport(String),
    /// The document is not as its schema says.
    #[error("{0}")]
    Document(#[from] ReadError),
    /// A document that is to be made lacks this element.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// A key in the document differs from the selector.
    #[error("the key {0} cannot be changed")]
    KeyChanged(&'static str),
    /// The element says how the service is.
    #[error("{0} cannot be changed: it is read-only")]
    ReadOnly(String),
    /// The element has one value here.
    #[error("{name} cannot be changed: this service knows no other value than {value:?}")]
    Fixed {
        /// The element.
        name: String,
        /// Its value.
        value: String,
    },
    /// A quota that `WinRM` has given up.
    #[error("{0} cannot be changed: the quota is no longer in use")]
    Frozen(String),
    /// A value that does not fit.
    #[error("{name}: {reason}")]
    Value {
        /// The element.
        name: String,
        /// What is allowed.
        reason: String,
    },
    /// Nobody could log on any more.
    #[error("Service/Auth/Basic must be true as long as nobody can log on in another way")]
    LastLogOn,
    /// Certificates without anybody to issue them, and none that is named.
    #[error(
        "Service/Auth/Certificate cannot be true: the settings file names no authorities \
         (access.client_ca_certificates), and no CertMapping that is enabled a certificate"
    )]
    NoAuthorities,
    /// Nothing would be listened to any more.
    #[error("the last Listener cannot be removed")]
    LastListener,
    /// The new addresses cannot be listened to.
    #[error("the listeners cannot be changed: {0}")]
    Listen(String),
    /// The change cannot be written down; the log has the cause.
    #[error("the change cannot be written down, and is not made")]
    Unavailable,
}

/// What a resource does not do, and why.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum Unsupported {
    /// Security descriptors of resources.
    #[error(
        "who may do what stands in access.users, access.administrators and access.roles of the \
         settings file, not in security descriptors"
    )]
    Security,
    /// A Put of `service/defaultports`.
    #[error("the default ports cannot be set; a listener has its own port")]
    DefaultPorts,
    /// A change of the plug-in.
    #[error("the one plug-in is the service itself: it cannot be changed")]
    PlugIn,
    /// To make, remove or list what there is one of.
    #[error("there is one such document: it can be read and set")]
    One,
}
