//! How strict the requests of a job are with servers (`SetSecurityFlags`).

use super::Hresult;
use super::Refused;

/// The security flags of a job, checked: `BG_SSL_…`, `BG_HTTP_REDIRECT_POLICY_…`.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct SecurityFlags(u32);

/// What a job does where a server sends it elsewhere.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum RedirectPolicy {
    /// It goes there.
    #[default]
    Allow,
    /// It goes there, and the file has that address from then on.
    Report,
    /// It fails.
    Disallow,
}

impl SecurityFlags {
    /// The flags with this number.
    ///
    /// # Errors
    ///
    /// [`Refused`] with `E_NOTIMPL` ("`IBackgroundCopyJobHttpOptions::
    /// SetSecurityFlags`") for a bit that is unknown.
    pub(crate) const fn from_number(number: u32) -> Result<Self, Refused> {
        let policy = number & REDIRECT_POLICY;
        if number & !ALL != 0 || policy == REDIRECT_POLICY_REPORT | REDIRECT_POLICY_DISALLOW {
            return Err(Refused(Hresult::E_NOTIMPL));
        }
        Ok(Self(number))
    }

    /// Certificates are held against lists of revoked ones.
    pub(crate) const fn checks_revocation(self) -> bool {
        self.0 & ENABLE_CRL_CHECK != 0
    }

    /// A certificate may be for another name.
    pub(crate) const fn ignores_name(self) -> bool {
        self.0 & IGNORE_CERT_CN_INVALID != 0
    }

    /// A certificate may be out of its dates.
    pub(crate) const fn ignores_date(self) -> bool {
        self.0 & IGNORE_CERT_DATE_INVALID != 0
    }

    /// A certificate may come from anybody.
    pub(crate) const fn ignores_authority(self) -> bool {
        self.0 & IGNORE_UNKNOWN_CA != 0
    }

    /// A certificate may be for something else than servers.
    pub(crate) const fn ignores_usage(self) -> bool {
        self.0 & IGNORE_CERT_WRONG_USAGE != 0
    }

    /// What becomes of redirects.
    pub(crate) const fn redirects(self) -> RedirectPolicy {
        match self.0 & REDIRECT_POLICY {
            0 => RedirectPolicy::Allow,
            REDIRECT_POLICY_REPORT => RedirectPolicy::Report,
            _ => RedirectPolicy::Disallow,
        }
    }

    /// A redirect may lead from `https` to `http`.
    pub(crate) const fn allows_downgrade(self) -> bool {
        self.0 & REDIRECT_ALLOW_HTTPS_TO_HTTP != 0
    }
}

const ENABLE_CRL_CHECK: u32 = 0x1;
const IGNORE_CERT_CN_INVALID: u32 = 0x2;
const IGNORE_CERT_DATE_INVALID: u32 = 0x4;
const IGNORE_UNKNOWN_CA: u32 = 0x8;
const IGNORE_CERT_WRONG_USAGE: u32 = 0x10;
const REDIRECT_POLICY: u32 = 0x700;
const REDIRECT_POLICY_REPORT: u32 = 0x100;
const REDIRECT_POLICY_DISALLOW: u32 = 0x200;
const REDIRECT_ALLOW_HTTPS_TO_HTTP: u32 = 0x800;

/// Of the policy, two of its three bits mean something.
const ALL: u32 = 0xB1F;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bit_that_is_unknown_is_refused() {
        for number in [0, 0x1F, 0x100, 0x200, 0x800, 0x91F, 0xA1F] {
            assert!(SecurityFlags::from_number(number).is_ok(), "{number:#x}");
        }
        for number in [0x20, 0x40, 0x80, 0x300, 0x400, 0x700, 0x1000, u32::MAX] {
            assert_eq!(
                SecurityFlags::from_number(number),
                Err(Refused(Hresult::E_NOTIMPL)),
                "{number:#x}"
            );
        }
    }

    #[test]
    fn each_bit_is_one_leniency() {
        let of = |number| SecurityFlags::from_number(number).expect("known");
        assert!(of(1).checks_revocation() && !of(0x1E).checks_revocation());
        assert!(of(2).ignores_name() && !of(0x1D).ignores_name());
        assert!(of(4).ignores_date() && !of(0x1B).ignores_date());
        assert!(of(8).ignores_authority() && !of(0x17).ignores_authority());
        assert!(of(0x10).ignores_usage() && !of(0xF).ignores_usage());
        assert!(of(0x800).allows_downgrade() && !of(0x100).allows_downgrade());
        assert_eq!(of(0x11F).redirects(), RedirectPolicy::Report);
        assert_eq!(of(0xA00).redirects(), RedirectPolicy::Disallow);
        assert_eq!(of(0x800).redirects(), RedirectPolicy::Allow);
    }
}
