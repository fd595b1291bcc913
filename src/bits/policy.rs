//! How a job reaches its servers: credentials, client certificate, proxy.
//!
//! The numbers are those of the WMI provider ("`SetCredentials` method of the
//! `BitsClientJob` class"): zero-based, one less than the native enumerations.

use std::fmt;

use zeroize::Zeroizing;

/// Whom credentials are for.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) enum AuthTarget {
    /// The server that has the file.
    Server = 0,
    /// The proxy on the way to it.
    Proxy = 1,
}

impl AuthTarget {
    /// The target with this number.
    pub(crate) const fn from_number(number: u16) -> Option<Self> {
        match number {
            0 => Some(Self::Server),
            1 => Some(Self::Proxy),
            _ => None,
        }
    }
}

/// The way in which credentials are proved.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) enum AuthScheme {
    /// RFC 7617.
    Basic = 0,
    /// RFC 7616.
    Digest = 1,
    /// [MS-NLMP], version 2.
    Ntlm = 2,
    /// RFC 4559: Kerberos or `NTLM`.
    Negotiate = 3,
    /// Known, not in force.
    Passport = 4,
}

impl AuthScheme {
    /// The scheme with this number.
    pub(crate) const fn from_number(number: u16) -> Option<Self> {
        match number {
            0 => Some(Self::Basic),
            1 => Some(Self::Digest),
            2 => Some(Self::Ntlm),
            3 => Some(Self::Negotiate),
            4 => Some(Self::Passport),
            _ => None,
        }
    }
}

/// Text that no log, error or answer may show; overwritten when dropped.
#[derive(Clone, Eq, PartialEq)]
pub(crate) struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes the text in.
    pub(crate) fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The text, for the one place that must send it.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// A user name and password for one target and scheme; a job has at most one
/// for each pair.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Credentials {
    /// Whom they are for.
    pub(crate) target: AuthTarget,
    /// How they are proved.
    pub(crate) scheme: AuthScheme,
    /// The account, at most 300 characters.
    pub(crate) user: Secret,
    /// The password, at most 65,535 characters.
    pub(crate) password: Secret,
}

impl Credentials {
    /// Those of the service itself: neither user nor password is given, by a
    /// scheme that can do without ("`SetCredentials` method").
    pub(crate) fn is_implicit(&self) -> bool {
        matches!(self.scheme, AuthScheme::Ntlm | AuthScheme::Negotiate)
            && self.user.reveal().is_empty()
            && self.password.reveal().is_empty()
    }
}

/// The client certificate of a job: a pointer into the configured folder, not
/// the certificate.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct ClientCertificate {
    /// The store's name; the folder below the configured one.
    pub(crate) store_name: String,
    /// Which certificate of that store.
    pub(crate) choice: CertificateChoice,
}

/// How a certificate is found in its store.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum CertificateChoice {
    /// By the SHA-1 of its DER form.
    Hash([u8; 20]),
    /// By its simple subject name (the common name).
    Subject(String),
}

/// Which proxy a job goes through (`BG_JOB_PROXY_USAGE`).
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) enum Proxy {
    /// 0: what the administrator of this host has configured, which is no
    /// proxy unless the settings name one.
    #[default]
    Preconfig,
    /// 1: none.
    None,
    /// 2: these, tried in order; hosts that match the bypass list go direct.
    Override {
        /// `[protocol=][protocol://]server[:port]`, separated by blanks.
        list: String,
        /// Host patterns, `*` at the left end only, or `<local>`.
        bypass: String,
    },
    /// 3: what the environment of the service names, and where that says
    /// nothing, what the settings do. Scripts (PAC) are neither looked for nor
    /// run.
    Automatic,
}
