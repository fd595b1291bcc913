//! Checks the address of a remote file and takes it apart.

use url::Url;

use super::Failure;
use super::RemoteUrl;
use crate::bits::AuthScheme;
use crate::bits::AuthTarget;
use crate::bits::Credentials;
use crate::bits::ErrorContext;
use crate::bits::Hresult;
use crate::bits::Secret;

/// Reads an address that a client gave: absolute, `http` or `https`, at most
/// 2,200 characters ("`IBackgroundCopyJob::AddFile`"). The fragment goes, a
/// non-ASCII host becomes its IDNA form, userinfo becomes credentials.
///
/// # Errors
///
/// [`Failure`] with `E_INVALIDARG` that says what is wrong, without the text
/// of the address: it may hold a password.
pub(super) fn parse(text: &str) -> Result<RemoteUrl, Failure> {
    if text.chars().count() > MAX_URL {
        return Err(refused(
            "the remote address is longer than 2,200 characters",
        ));
    }
    if text.chars().any(|c| c.is_control() || c == ' ') {
        return Err(refused(
            "the remote address contains a blank or a control character",
        ));
    }
    let mut url = Url::parse(text)
        .map_err(|error| refused(&format!("the remote address is no absolute URL: {error}")))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(refused(
            "the remote address is neither an http nor an https URL",
        ));
    }
    if url.host_str().is_none_or(str::is_empty) {
        return Err(refused("the remote address names no host"));
    }
    url.set_fragment(None);
    let userinfo = take_userinfo(&mut url)?;
    let url = String::from(url);
    // Escapes may have made it longer.
    if url.len() > MAX_URL {
        return Err(refused(
            "the remote address is longer than 2,200 characters when escaped",
        ));
    }
    Ok(RemoteUrl { url, userinfo })
}

/// The URL that was checked once.
///
/// # Errors
///
/// [`Failure`] when it is none.
pub(super) fn read(text: &str) -> Result<Url, Failure> {
    Url::parse(text)
        .map_err(|error| refused(&format!("the remote address cannot be read: {error}")))
}

/// `url` for people and logs: without userinfo, query and fragment.
pub(super) fn redact(url: &Url) -> String {
    let has_userinfo = !url.username().is_empty() || url.password().is_some();
    if !has_userinfo && url.query().is_none() && url.fragment().is_none() {
        return url.as_str().to_owned();
    }
    let mut shown = url.clone();
    // Both fail only for URLs without a host, which have no userinfo either.
    let _ = shown.set_username("");
    let _ = shown.set_password(None);
    shown.set_query(None);
    shown.set_fragment(None);
    shown.into()
}

/// The same of an address as the store has it.
pub(super) fn shown(url: &str) -> String {
    Url::parse(url).map_or_else(|_| String::new(), |url| redact(&url))
}

fn take_userinfo(url: &mut Url) -> Result<Option<Credentials>, Failure> {
    if url.username().is_empty() && url.password().is_none() {
        return Ok(None);
    }
    let credentials = Credentials {
        target: AuthTarget::Server,
        scheme: AuthScheme::Basic,
        user: Secret::new(percent_decoded(url.username())?),
        password: Secret::new(percent_decoded(url.password().unwrap_or(""))?),
    };
    let cut = url.set_username("").and_then(|()| url.set_password(None));
    cut.map_err(|()| refused("the user name in the remote address cannot be read"))?;
    Ok(Some(credentials))
}

fn percent_decoded(text: &str) -> Result<String, Failure> {
    let mut octets = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let escaped = match (first, tail) {
            (b'%', [high, low, ..]) => hex(*high).zip(hex(*low)),
            _ => None,
        };
        if let Some((high, low)) = escaped {
            octets.push(high << 4 | low);
            rest = &tail[2..];
        } else {
            octets.push(first);
            rest = tail;
        }
    }
    String::from_utf8(octets)
        .map_err(|_| refused("the user name or password in the remote address is not UTF-8"))
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit)
        .to_digit(16)
        .and_then(|value| u8::try_from(value).ok())
}

fn refused(why: &str) -> Failure {
    Failure::fatal(ErrorContext::RemoteFile, Hresult::E_INVALIDARG, why)
}

/// "`IBackgroundCopyJob::AddFile`", characters.
const MAX_URL: usize = 2_200;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn userinfo_becomes_credentials_and_leaves_the_address() {
        let remote = parse("https://us%65r:p%40ss@host/x?q=1#part").expect("valid");
        assert_eq!(remote.url, "https://host/x?q=1");
        let userinfo = remote.userinfo.expect("there");
        assert_eq!(userinfo.user.reveal(), "user");
        assert_eq!(userinfo.password.reveal(), "p@ss");
        assert_eq!(userinfo.scheme, AuthScheme::Basic);
    }

    #[test]
    fn a_host_beyond_ascii_becomes_its_idna_form() {
        let remote = parse("http://bücher.example/").expect("valid");
        assert_eq!(remote.url, "http://xn--bcher-kva.example/");
    }

    #[test]
    fn what_is_no_absolute_http_address_is_refused() {
        let long = format!("http://host/{}", "x".repeat(2_200));
        for text in [
            "",
            "file",
            "/x",
            "ftp://host/x",
            "file:///etc/passwd",
            "http://",
            "http:///x y",
            "http://ho st/",
            "https://host:99999/",
            "\\\\server\\share",
            &long,
        ] {
            let failure = parse(text).map(|remote| remote.url).expect_err(text);
            assert_eq!(failure.code, Hresult::E_INVALIDARG, "{text}");
        }
    }

    #[test]
    fn a_query_is_not_shown() {
        let url = Url::parse("https://a:b@host/x?sig=secret#f").expect("valid");
        assert_eq!(redact(&url), "https://host/x");
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in ".*") {
            if let Ok(remote) = parse(&text) {
                let url = Url::parse(&remote.url).expect("still valid");
                prop_assert!(url.username().is_empty() && url.password().is_none());
            }
        }
    }
}
