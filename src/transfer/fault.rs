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
            | Alert::UnrecognizedName
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
            Wrong::OtherPinned => return "its thumbprint stands not in Thumbprints".to_owned(),
            Wrong::Revoked => return "nothing makes it good".to_owned(),
            Wrong::Revocation(_) => {
                return "transfer.revocation_lists must have a list of each issuer that is in \
                        time, or the job security flag 0x1 no more"
                    .to_owned();
            }
            Wrong::Unreadable(_) => return "nothing makes it good".to_owned(),
        };
    }
    let pin = match refused.wrong.as_slice() {
        [Wrong::Date(_)] => "",
        _ => ", or the SHA-256 in transfer.server_thumbprints or the Thumbprints of the job",
    };
    let authority = match refused.wrong.as_slice() {
        [Wrong::Authority(_)] => ", or its authority in transfer.ca_certificates",
        _ => "",
    };
    format!("security flags {flags:#x} of the job would take it{pin}{authority}")
}

/// The failure that an HTTP status is.
pub(super) fn from_status(status: u16, retry_after: Option<Duration>, doing: &str) -> Failure {
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
    if fatal {
        Failure::fatal(context, code, detail)
    } else {
        Failure::for_now(context, code, detail).after(retry_after)
    }
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

    #[test]
    fn the_table_of_statuses() {
        for status in [
            300, 301, 305, 307, 400, 401, 403, 404, 407, 410, 416, 501, 505,
        ] {
            assert_eq!(
                from_status(status, None, "x").kind,
                FailureKind::Fatal,
                "{status}"
            );
        }
        let soon = Some(Duration::from_secs(7));
        for status in [306, 408, 409, 429, 500, 502, 503, 504, 599] {
            assert_eq!(
                from_status(status, soon, "x").kind,
                FailureKind::ForNow(soon),
                "{status}"
            );
        }
        assert_eq!(from_status(404, None, "x").code.number(), 0x8019_0194);
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
