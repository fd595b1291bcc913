//! What native BITS does and this service does not: the one table of it.
//!
//! Whoever is asked for one of these looks here for the fault; nothing of them
//! is ever stored.

use super::Hresult;

/// Something of native BITS that is declined.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Declined {
    /// `SetPeerCachingFlags`: a cache that peers share (dead since BITS 4.0),
    /// and `BranchCache` with it.
    PeerCaching,
    /// `IBitsTokenOptions`.
    HelperTokens,
    /// `\\\\server\\share` and `file:` as a remote address.
    Smb,
    /// `RequestFileRanges`, `UpdateDownloadPosition`, `ON_DEMAND_MODE`.
    OnDemand,
    /// `SetNotifyInterface`, `SetNotifyFlags`, `NOTIFICATION_CLSID`.
    Notifications,
    /// `SetNotifyCmdLine`.
    NotifyCommandLine,
    /// `SetFileACLFlags`.
    FileAcl,
    /// `HIGH_PERFORMANCE`.
    HighPerformance,
    /// `COST_FLAGS`: transfer policies of metered networks.
    CostFlags,
    /// `SetServerCertificateValidationInterface`.
    CertificateCallback,
    /// `USE_STORED_CREDENTIALS`.
    StoredCredentials,
}

impl Declined {
    /// All of it, in the order of the README.
    #[cfg(test)]
    pub(crate) const ALL: [Self; 11] = [
        Self::PeerCaching,
        Self::HelperTokens,
        Self::Smb,
        Self::OnDemand,
        Self::Notifications,
        Self::NotifyCommandLine,
        Self::FileAcl,
        Self::HighPerformance,
        Self::CostFlags,
        Self::CertificateCallback,
        Self::StoredCredentials,
    ];

    /// What is answered.
    pub(crate) const fn fault(self) -> Hresult {
        match self {
            Self::Smb => Hresult::E_INVALIDARG,
            Self::OnDemand => Hresult::BG_E_RANDOM_ACCESS_NOT_SUPPORTED,
            Self::StoredCredentials => Hresult::BG_E_USE_STORED_CREDENTIALS_NOT_SUPPORTED,
            Self::PeerCaching
            | Self::HelperTokens
            | Self::Notifications
            | Self::NotifyCommandLine
            | Self::FileAcl
            | Self::HighPerformance
            | Self::CostFlags
            | Self::CertificateCallback => Hresult::E_NOTIMPL,
        }
    }

    /// Why, and what to do instead.
    pub(crate) const fn sentence(self) -> &'static str {
        match self {
            Self::PeerCaching => "peers are neither asked nor served; a caching proxy does that",
            Self::HelperTokens => "there are no tokens: transfers run as the service's account",
            Self::Smb => "remote addresses are http and https; mount a share and name a path",
            Self::OnDemand => {
                "files come from their beginning to their end; Ranges asks for parts of one"
            }
            Self::Notifications => "there is nobody to call: ask for State, or read the events",
            Self::NotifyCommandLine => "the service starts no programs: ask for State",
            Self::FileAcl => "access lists belong to SMB",
            Self::HighPerformance => {
                "a file appears whole and verified, or not at all; priority 0 is the fast way"
            }
            Self::CostFlags => "the cost of networks is not known here; limits are in the settings",
            Self::CertificateCallback => "ServerThumbprints and SecurityFlags decide instead",
            Self::StoredCredentials => "credentials are set of the job, by SetCredentials",
        }
    }

    /// What declines a remote address.
    pub(crate) fn remote_address(url: &str) -> Option<Self> {
        let is_file = url
            .get(..5)
            .is_some_and(|scheme| scheme.eq_ignore_ascii_case("file:"));
        (is_file || url.starts_with("\\\\")).then_some(Self::Smb)
    }
}

/// A property by its number in `BITS_JOB_PROPERTY_ID`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum NumberedProperty {
    /// 3
    DynamicContent,
    /// 5
    MaxDownloadSize,
    /// One that is not to be had.
    Declined(Declined),
}

impl NumberedProperty {
    /// The property with this number.
    pub(crate) const fn from_number(number: u32) -> Option<Self> {
        Some(match number {
            1 => Self::Declined(Declined::CostFlags),
            // The last one is the least time between two notifications.
            2 | 9 => Self::Declined(Declined::Notifications),
            3 => Self::DynamicContent,
            4 => Self::Declined(Declined::HighPerformance),
            5 => Self::MaxDownloadSize,
            7 => Self::Declined(Declined::StoredCredentials),
            10 => Self::Declined(Declined::OnDemand),
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_declined_has_a_fault_with_a_name_and_a_sentence() {
        for declined in Declined::ALL {
            assert!(declined.fault().name().is_some(), "{declined:?}");
            let sentence = declined.sentence();
            assert!(
                sentence.len() > 20 && !sentence.ends_with('.'),
                "{declined:?}"
            );
        }
    }

    #[test]
    fn shares_are_no_remote_addresses() {
        for url in ["\\\\server\\share\\f", "file:///srv/f", "FILE:/f"] {
            assert_eq!(Declined::remote_address(url), Some(Declined::Smb), "{url}");
        }
        for url in ["http://h/file:", "", "files", "é"] {
            assert_eq!(Declined::remote_address(url), None, "{url}");
        }
    }
}
