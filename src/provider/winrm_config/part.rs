//! The resources below `winrm/config` ([MS-WSMV] 3.1.4.1).

/// One of the resources.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Part {
    /// The document `Config`, or the element of it at the end of this path.
    Config(&'static [&'static str]),
    /// Addresses that requests are taken at.
    Listener,
    /// Certificates that stand for accounts.
    CertMapping,
    /// What answers for resources.
    PlugIn,
    /// Security descriptors of resources.
    Security,
}

impl Part {
    /// The resource at a path in lower case.
    pub(crate) fn at(path: &str) -> Option<Self> {
        PARTS
            .iter()
            .find(|(own, _)| *own == path)
            .map(|(_, part)| *part)
    }

    /// The path: `service/auth`, empty for the whole.
    pub(crate) fn path(self) -> &'static str {
        let found = PARTS.iter().find(|(_, part)| *part == self);
        found.map_or("", |(path, _)| *path)
    }

    /// What tells its documents apart, in the order of an address.
    pub(crate) fn keys(self) -> &'static [&'static str] {
        match self {
            Self::Config(_) => &[],
            Self::Listener => &["Address", "Transport"],
            Self::CertMapping => &["Issuer", "Subject", "URI"],
            Self::PlugIn => &["Name"],
            Self::Security => &["Uri"],
        }
    }
}

const PARTS: &[(&str, Part)] = &[
    ("", Part::Config(&[])),
    ("client", Part::Config(&["Client"])),
    ("client/auth", Part::Config(&["Client", "Auth"])),
    (
        "client/defaultports",
        Part::Config(&["Client", "DefaultPorts"]),
    ),
    ("service", Part::Config(&["Service"])),
    ("service/auth", Part::Config(&["Service", "Auth"])),
    (
        "service/defaultports",
        Part::Config(&["Service", "DefaultPorts"]),
    ),
    ("service/security", Part::Security),
    ("service/certmapping", Part::CertMapping),
    ("winrs", Part::Config(&["Winrs"])),
    ("listener", Part::Listener),
    ("plugin", Part::PlugIn),
];
