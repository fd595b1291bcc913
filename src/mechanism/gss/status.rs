//! What a status of the library means (RFC 2744 3.9.1).

/// What a failure means for the log-on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Reason {
    /// What was sent is no token of Kerberos.
    Defective,
    /// It is bound to another channel.
    WrongBinding,
    /// Keytab, replay cache or configuration cannot be used: not the client's
    /// fault.
    Unusable,
    /// Everything else: no ticket for us, not valid now, seen before.
    Refused,
}

/// What a failure means for who logs on himself.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Fault {
    /// The KDC says that the password or key is wrong, has expired, or that the
    /// account is locked.
    Credentials,
    /// The KDC cannot be reached, or not at this moment.
    Kdc,
    /// Everything else: no such principal, no such service, no such realm.
    Other,
}

impl Fault {
    /// That of a status from Kerberos.
    pub(super) fn of(minor: u32) -> Self {
        let minor = minor.cast_signed();
        if OF_CREDENTIALS.contains(&minor) {
            Self::Credentials
        } else if OF_THE_KDC.contains(&minor) {
            Self::Kdc
        } else {
            Self::Other
        }
    }
}

impl Reason {
    /// That of a status: `major` from GSS-API, `minor` from Kerberos.
    pub(super) fn of(major: u32, minor: u32) -> Self {
        match routine_error(major) {
            BAD_BINDINGS => Self::WrongBinding,
            // The OID is that of another mechanism, or what follows it does not
            // begin as it must.
            BAD_MECHANISM | DEFECTIVE_TOKEN => Self::Defective,
            _ if is_of_the_host(minor) => Self::Unusable,
            _ => Self::Refused,
        }
    }
}

/// Holds for a status without error and without a remark (`CONTINUE_NEEDED`,
/// `DUPLICATE_TOKEN`, `OLD_TOKEN`, `UNSEQ_TOKEN`, `GAP_TOKEN`).
pub(super) fn is_complete(major: u32) -> bool {
    major == 0
}

/// Holds when the peer must answer (`GSS_S_CONTINUE_NEEDED`), and nothing is
/// wrong.
pub(super) fn needs_more(major: u32) -> bool {
    major & 0xffff_0001 == 1
}

fn routine_error(major: u32) -> u32 {
    major >> 16 & 0xff
}

/// Holds for errors of the system, such as those of a file, and for those of
/// Kerberos' own replay cache, keytab and configuration.
fn is_of_the_host(minor: u32) -> bool {
    const LAST_ERRNO: u32 = 133;
    let of_kerberos = minor.cast_signed();
    (1..=LAST_ERRNO).contains(&minor)
        || OF_THE_HOST.iter().any(|codes| codes.contains(&of_kerberos))
}

/// Codes of `krb5.h`.
const OF_THE_HOST: &[std::ops::RangeInclusive<i32>] = &[
    // KRB5_CONFIG_CANTOPEN, KRB5_CONFIG_BADFORMAT.
    -1_765_328_249..=-1_765_328_248,
    // KRB5_RC_TYPE_EXISTS to KRB5_RC_UNKNOWN. KRB5_RC_REPLAY is the next one.
    -1_765_328_225..=-1_765_328_222,
    // KRB5_RC_IO to KRB5_RC_IO_SPACE.
    -1_765_328_220..=-1_765_328_212,
    // KRB5_KT_BADNAME, KRB5_KT_UNKNOWN_TYPE.
    -1_765_328_205..=-1_765_328_204,
    // KRB5_KT_IOERR.
    -1_765_328_200..=-1_765_328_200,
    // KRB5_KT_FORMAT.
    -1_765_328_149..=-1_765_328_149,
];

/// Codes of `krb5.h`.
const OF_CREDENTIALS: &[i32] = &[
    // KRB5KDC_ERR_NAME_EXP.
    -1_765_328_383,
    // KRB5KDC_ERR_CLIENT_REVOKED.
    -1_765_328_366,
    // KRB5KDC_ERR_KEY_EXP.
    -1_765_328_361,
    // KRB5KDC_ERR_PREAUTH_FAILED.
    -1_765_328_360,
    // KRB5KRB_AP_ERR_BAD_INTEGRITY.
    -1_765_328_353,
];

/// Codes of `krb5.h`.
const OF_THE_KDC: &[i32] = &[
    // KRB5KDC_ERR_SVC_UNAVAILABLE.
    -1_765_328_355,
    // KRB5_REALM_CANT_RESOLVE.
    -1_765_328_230,
    // KRB5_KDC_UNREACH.
    -1_765_328_228,
];

/// `GSS_S_BAD_MECH`.
const BAD_MECHANISM: u32 = 1;
/// `GSS_S_BAD_BINDINGS`.
const BAD_BINDINGS: u32 = 4;
/// `GSS_S_DEFECTIVE_TOKEN`.
const DEFECTIVE_TOKEN: u32 = 9;

#[cfg(test)]
mod tests {
    use super::*;

    const FAILURE: u32 = 13 << 16;

    #[test]
    fn the_major_status_tells_what_the_client_did_wrong() {
        assert_eq!(Reason::of(4 << 16, 0), Reason::WrongBinding);
        assert_eq!(Reason::of(9 << 16, 0), Reason::Defective);
        assert_eq!(Reason::of(1 << 16, 0), Reason::Defective);
        assert_eq!(Reason::of(FAILURE, 0), Reason::Refused);
        // CONTINUE_NEEDED, DUPLICATE_TOKEN.
        assert_eq!(Reason::of(1, 0), Reason::Refused);
        assert_eq!(Reason::of(2, 0), Reason::Refused);
    }

    #[test]
    fn what_the_host_lacks_is_not_held_against_the_client() {
        // EACCES, KRB5_RC_IO_PERM, KRB5_KT_IOERR.
        for code in [13, -1_765_328_215, -1_765_328_200] {
            let minor = i32::cast_unsigned(code);
            assert_eq!(Reason::of(FAILURE, minor), Reason::Unusable, "{code}");
        }
        // KRB5_RC_REPLAY, KRB5KRB_AP_ERR_REPEAT, KRB5KRB_AP_ERR_SKEW,
        // KRB5_KT_NOTFOUND, ASN1_OVERRUN.
        for code in [
            -1_765_328_221,
            -1_765_328_350,
            -1_765_328_347,
            -1_765_328_203,
            1_859_794_437,
        ] {
            let minor = i32::cast_unsigned(code);
            assert_eq!(Reason::of(FAILURE, minor), Reason::Refused, "{code}");
        }
    }

    #[test]
    fn a_wrong_password_is_told_from_a_kdc_that_is_away() {
        for (code, fault) in [
            (-1_765_328_360, Fault::Credentials),
            (-1_765_328_366, Fault::Credentials),
            (-1_765_328_228, Fault::Kdc),
            // KRB5KDC_ERR_C_PRINCIPAL_UNKNOWN, KRB5KDC_ERR_S_PRINCIPAL_UNKNOWN.
            (-1_765_328_378, Fault::Other),
            (-1_765_328_377, Fault::Other),
        ] {
            assert_eq!(Fault::of(i32::cast_unsigned(code)), fault, "{code}");
        }
        assert!(needs_more(1) && needs_more(1 | 2));
        assert!(!needs_more(0) && !needs_more(FAILURE | 1));
    }

    #[test]
    fn a_remark_is_no_success() {
        assert!(is_complete(0));
        for major in [1, 2, 4, 8, 16, FAILURE] {
            assert!(!is_complete(major), "{major}");
        }
    }
}
