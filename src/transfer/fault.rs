//! Turns what went wrong on the way into [`Failure`]s: fatal or for now
//! (BITS reference, "Handling Server Application Errors"). Pure.

use std::error::Error;
use std::io;
use std::time::Duration;
use std::time::SystemTime;

use super::Failure;
use crate::bits::ErrorContext;
use crate::bits::Hresult;
use crate::bits::Phase;
use crate::bits::Timestamp;
use crate::trust::Refused;
use crate::trust::Wrong;

/// The failure of a connection while `doing` something.
pub(super) fn classify(error: &(dyn Error + 'static), doing: &str) -> Failure {
    let mut code = Hresult::WININET_E_CONNECTION_ABORTED;
    let mut at = Some(error);
    let mut words = Vec::new();
    while let Some(error) = at {
        let text = error.to_string();
        if words.last() != Some(&text) {
            words.push(text);
        }
        if let Some(hyper) = error.downcast_ref::<hyper::Error>()
            && hyper.is_parse()
        {
            code = Hresult::WININET_E_INVALID_SERVER_RESPONSE;
        }
        if let Some(io) = error.downcast_ref::<io::Error>() {
            match io.kind() {
                io::ErrorKind::TimedOut => code = Hresult::WININET_E_TIMEOUT,
                io::ErrorKind::ConnectionRefused => code = Hresult::WININET_E_CANNOT_CONNECT,
                _ => {}
            }
            // `source` of an `io::Error` goes past what it carries.
            if let Some(inner) = io.get_ref() {
                if let Some(tls) = inner.downcast_ref::<rustls::Error>() {
                    return from_tls(tls, doing);
                }
                at = Some(inner);
                continue;
            }
        }
        at = error.source();
    }
    Failure::transport(code, format!("{doing}: {}", words.join(": ")))
}

fn from_tls(error: &rustls::Error, doing: &str) -> Failure {
    use rustls::AlertDescription as Alert;
    use rustls::CertificateError;
    use rustls::Error as Tls;
    let fatal = |code, why: String| {
        Failure::fatal(
            ErrorContext::GeneralTransport,
            code,
            format!("{doing}: {why}"),
        )
    };
    let failure = match error {
        Tls::InvalidCertificate(CertificateError::Other(other))
            if let Some(refused) = other.0.downcast_ref::<Refused>() =>
        {
            let why = format!("{refused}; {}", remedy(refused));
            fatal(Hresult::WININET_E_DECODING_FAILED, why)
        }
        Tls::InvalidCertificate(_)
        | Tls::NoCertificatesPresented
        | Tls::UnsupportedNameType
        | Tls::InvalidCertRevocationList(_) => {
            fatal(Hresult::WININET_E_DECODING_FAILED, error.to_string())
        }
        // What a server says that wants a certificate, or another one.
        Tls::AlertReceived(
            Alert::CertificateRequired
            | Alert::BadCertificate
            | Alert::UnsupportedCertificate
            | Alert::UnknownCA
            | Alert::CertificateExpired
            | Alert::CertificateRevoked
            | Alert::CertificateUnknown
            | Alert::AccessDenied,
        ) => fatal(
            Hresult::WININET_E_CLIENT_AUTH_CERT_NEEDED,
            format!("the server wants a client certificate, or another one: {error}"),
        ),
        // No version or cipher in common: another attempt meets the same.
        Tls::PeerIncompatible(_)
        | Tls::AlertReceived(
            Alert::ProtocolVersion
            | Alert::InsufficientSecurity
            | Alert::UnrecognisedName
            | Alert::NoApplicationProtocol,
        ) => fatal(Hresult::WININET_E_DECODING_FAILED, error.to_string()),
        _ => Failure::transport(
            Hresult::WININET_E_CONNECTION_ABORTED,
            format!("{doing}: {error}"),
        ),
    };
    failure.at(Phase::Securing)
}

/// What would have the certificate taken, where anything would.
fn remedy(refused: &Refused) -> String {
    let mut flags = 0;
    for wrong in &refused.wrong {
        flags |= match wrong {
            Wrong::Name(_) => 0x2,
            Wrong::Date(_) => 0x4,
            Wrong::Authority(_) => 0x8,
            Wrong::Usage => 0x10,
            Wrong::OtherPinned => {
                return "its SHA-256 among the thumbprints of the job would take it".to_owned();
            }
            Wrong::Revoked | Wrong::Unreadable(_) => return "nothing makes it good".to_owned(),
            Wrong::Revocation(_) => {
                return "transfer.revocation_lists must have a list of each issuer that is in \
                        time, or the job security flag 0x1 no more"
                    .to_owned();
            }
        };
    }
    let pin = match refused.wrong.as_slice() {
        [Wrong::Date(_)] => "",
        _ => ", or the SHA-256 in transfer.server_thumbprints or among the thumbprints of the job",
    };
    let authority = match refused.wrong.as_slice() {
        [Wrong::Authority(_)] => ", or its authority in transfer.ca_certificates",
        _ => "",
    };
    format!("security flags {flags:#x} of the job would take it{pin}{authority}")
}

/// The failure that an HTTP status is, at `now`.
pub(super) fn from_status(
    status: u16,
    retry_after: Option<Duration>,
    now: SystemTime,
    doing: &str,
) -> Failure {
    let code = Hresult::from_http_status(status);
    let context = if status == 407 {
        ErrorContext::GeneralTransport
    } else {
        ErrorContext::RemoteFile
    };
    let detail = format!("{doing}: HTTP status {status}");
    // 429 is younger than the table, and says "later" by its name.
    let is_later = matches!(status, 408 | 409 | 429);
    let fatal = matches!(status, 300..=305 | 307 | 308 | 400..=499 | 501 | 505) && !is_later;
    let mut failure = if fatal {
        Failure::fatal(context, code, detail)
    } else {
        Failure::for_now(context, code, detail).after(retry_after)
    };
    failure.circumstances.server_retry_at = retry_after.map(|delay| Timestamp::from(now) + delay);
    failure.at(Phase::Asking).with_status(status)
}

/// The header `Retry-After`: seconds, or a date (RFC 9110 10.2.3).
pub(super) fn retry_after(text: &str, now: SystemTime) -> Option<Duration> {
    let text = text.trim();
    let delay = if text.bytes().all(|octet| octet.is_ascii_digit()) {
        Duration::from_secs(text.parse().ok()?)
    } else {
        httpdate::parse_http_date(text)
            .ok()?
            .duration_since(now)
            .unwrap_or_default()
    };
    Some(delay.min(MAX_RETRY_AFTER))
}

/// No server may put a job off for longer; `NoProgressTimeout` is the job's
/// own bound.
const MAX_RETRY_AFTER: Duration = Duration::from_hours(24);

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;
    use crate::transfer::FailureKind;

    /// BITS reference, "Handling Server Application Errors".
    #[test]
    fn the_table_of_statuses() {
        let now = UNIX_EPOCH + Duration::from_secs(784_111_770);
        let soon = Some(Duration::from_secs(7));
        let transient = [306, 408, 409, 429];
        for status in 300..600 {
            let is_fatal = match status {
                300..=305 | 307 | 308 | 501 | 505 => true,
                400..=499 => !transient.contains(&status),
                // What else there is below 400, nobody knows.
                _ => false,
            };
            let failure = from_status(status, soon, now, "x");
            let kind = if is_fatal {
                FailureKind::Fatal
            } else {
                FailureKind::ForNow(soon)
            };
            assert_eq!(failure.kind, kind, "{status}");
            assert_eq!(failure.code.number(), 0x8019_0000 + u32::from(status));
            let context = match status {
                407 => ErrorContext::GeneralTransport,
                _ => ErrorContext::RemoteFile,
            };
            assert_eq!(failure.context, context, "{status}");
            let at = failure.circumstances;
            assert_eq!(at.status, Some(status));
            assert_eq!(at.phase, Some(Phase::Asking));
            let retry_at = Timestamp::from(now + Duration::from_secs(7));
            assert_eq!(at.server_retry_at, Some(retry_at));
        }
        // Those that somebody meets, by name.
        for (status, is_fatal) in [
            (300, true),
            (301, true),
            (302, true),
            (303, true),
            (304, true),
            (305, true),
            (306, false),
            (307, true),
            (308, true),
            (400, true),
            (401, true),
            (403, true),
            (404, true),
            (405, true),
            (407, true),
            (408, false),
            (409, false),
            (410, true),
            (412, true),
            (413, true),
            (416, true),
            (429, false),
            (451, true),
            (500, false),
            (501, true),
            (502, false),
            (503, false),
            (504, false),
            (505, true),
            (507, false),
            (599, false),
        ] {
            let failure = from_status(status, None, now, "x");
            assert_eq!(failure.kind == FailureKind::Fatal, is_fatal, "{status}");
            assert_eq!(failure.circumstances.server_retry_at, None);
        }
    }

    #[test]
    fn what_is_wrong_with_a_certificate_is_told_with_what_would_take_it() {
        let shown = crate::trust::Thumbprint::sha256_of(b"x");
        let told = |wrong: Vec<Wrong>| {
            let refused = Refused { shown, wrong };
            let other = rustls::OtherError(std::sync::Arc::new(refused));
            let error = rustls::CertificateError::Other(other).into();
            let failure = from_tls(&error, "securing h:443");
            assert_eq!(failure.kind, FailureKind::Fatal);
            assert_eq!(failure.code, Hresult::WININET_E_DECODING_FAILED);
            assert_eq!(failure.circumstances.phase, Some(Phase::Securing));
            assert!(failure.detail.contains(&shown.to_string()), "{failure}");
            failure.detail
        };
        let authority = || Wrong::Authority("its issuer is unknown".to_owned());
        let unknown = told(vec![authority()]);
        for words in [
            "no authority that is trusted",
            "flags 0x8 ",
            "transfer.server_thumbprints",
            "transfer.ca_certificates",
        ] {
            assert!(unknown.contains(words), "{unknown}");
        }
        let both = told(vec![authority(), Wrong::Name("h".to_owned())]);
        assert!(both.contains("flags 0xa ") && both.contains("not for the name h"));
        let expired = told(vec![Wrong::Date("long ago".to_owned())]);
        assert!(expired.contains("flags 0x4 ") && !expired.contains("thumbprints"));
        let list = told(vec![Wrong::Revocation("no list".to_owned())]);
        assert!(list.contains("transfer.revocation_lists"), "{list}");
        assert!(!told(vec![Wrong::Revoked]).contains("flags"));
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = UNIX_EPOCH + Duration::from_secs(784_111_770);
        assert_eq!(retry_after(" 120 ", now), Some(Duration::from_mins(2)));
        assert_eq!(
            retry_after("Sun, 06 Nov 1994 08:49:37 GMT", now),
            Some(Duration::from_secs(7))
        );
        assert_eq!(
            retry_after("Sun, 06 Nov 1994 08:49:00 GMT", now),
            Some(Duration::ZERO)
        );
        assert_eq!(retry_after("99999999", now), Some(MAX_RETRY_AFTER));
        assert_eq!(retry_after("soon", now), None);
    }
}
