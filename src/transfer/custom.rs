//! Custom headers of a job, on their way into its requests. Pure.

use hyper::HeaderMap;
use hyper::header::HeaderName;
use hyper::header::HeaderValue;

use super::Failure;
use crate::bits::ErrorContext;
use crate::bits::Hresult;
use crate::bits::Secret;
use crate::bits::read_headers;

/// Reads what a client has set.
///
/// # Errors
///
/// [`Failure`] when it is not well-formed.
pub(super) fn read(text: Option<&Secret>) -> Result<HeaderMap, Failure> {
    let mut headers = HeaderMap::new();
    let Some(text) = text else {
        return Ok(headers);
    };
    let invalid = |code| {
        // The headers themselves are a secret.
        Failure::fatal(
            ErrorContext::GeneralTransport,
            code,
            "the custom headers cannot be sent",
        )
    };
    for (name, value) in read_headers(text.reveal()).map_err(|refused| invalid(refused.0))? {
        let name = HeaderName::from_bytes(name.as_bytes());
        let value = HeaderValue::from_bytes(value.as_bytes());
        let (Ok(name), Ok(mut value)) = (name, value) else {
            return Err(invalid(Hresult::E_INVALIDARG));
        };
        value.set_sensitive(true);
        headers.append(name, value);
    }
    Ok(headers)
}

/// Puts `custom` headers into those of a request, in place of those of the same
/// names.
pub(super) fn add(headers: &mut HeaderMap, custom: &HeaderMap) {
    for name in custom.keys() {
        headers.remove(name);
        for value in custom.get_all(name) {
            headers.append(name, value.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bits::check_headers;

    #[test]
    fn what_a_client_may_set_can_be_sent() {
        let longest = format!("X: {}", "a".repeat(16_380));
        let grows = "X:\n".repeat(5_000);
        for text in [longest.as_str(), &grows, "X: a\tb\r\n"] {
            let kept = Secret::new(check_headers(text).expect("fits"));
            let sent = read(Some(&kept)).expect("sent").len();
            assert_eq!(sent, text.trim_end().split('\n').count());
        }
        for coding in ["Content-Encoding: gzip", "Trailer: x"] {
            assert!(check_headers(coding).is_err(), "{coding}");
        }
    }
}
