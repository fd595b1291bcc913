//! Name and password as `Basic` carries them (RFC 7617).

use base64::Engine as _;
use base64::engine::DecodePaddingMode;
use base64::engine::GeneralPurpose;
use base64::engine::GeneralPurposeConfig;
use zeroize::Zeroizing;

use super::users::MAX_PASSWORD;
use super::users::is_name;

/// Name and password, in each way that the octets can be read.
pub(super) struct Credentials {
    /// The likeliest first; never empty.
    pub(super) readings: Vec<(String, Zeroizing<String>)>,
}

impl Credentials {
    /// Reads the token: UTF-8 first, as RFC 7617 advises; then ISO 8859-1,
    /// which clients without the `charset` parameter send (iDRAC and others).
    ///
    /// None: these are no credentials.
    pub(super) fn decode(token: &str) -> Option<Self> {
        let octets = Zeroizing::new(BASE64.decode(token).ok()?);
        let mut readings = Vec::new();
        if let Ok(text) = std::str::from_utf8(&octets) {
            readings.extend(Self::split(text));
        }
        if !octets.is_ascii() {
            let text: Zeroizing<String> =
                Zeroizing::new(octets.iter().copied().map(char::from).collect());
            readings.extend(Self::split(&text));
        }
        (!readings.is_empty()).then_some(Self { readings })
    }

    /// Name and password; a name that no account can have is read all the
    /// same, since the answer must not tell.
    fn split(text: &str) -> Option<(String, Zeroizing<String>)> {
        let (name, password) = text.split_once(':')?;
        let fits = (1..=MAX_PASSWORD).contains(&password.len());
        let name = if is_name(name) { name } else { "" };
        fits.then(|| (name.to_owned(), Zeroizing::new(password.to_owned())))
    }
}

/// With padding or without: both are sent.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

#[cfg(test)]
mod tests {
    use super::*;

    fn readings(octets: &[u8]) -> Vec<(String, String)> {
        let token = base64::engine::general_purpose::STANDARD.encode(octets);
        Credentials::decode(&token)
            .map(|credentials| credentials.readings)
            .unwrap_or_default()
            .into_iter()
            .map(|(name, password)| (name, password.to_string()))
            .collect()
    }

    fn reading(name: &str, password: &str) -> (String, String) {
        (name.to_owned(), password.to_owned())
    }

    #[test]
    fn utf8_comes_before_latin1_and_ascii_is_read_once() {
        assert_eq!(readings(b"alice:a:b"), [reading("alice", "a:b")]);
        assert_eq!(readings(b"alice:\xe4"), [reading("alice", "ä")]);
        let both = [reading("alice", "ä"), reading("alice", "Ã¤")];
        assert_eq!(readings("alice:ä".as_bytes()), both);
    }

    #[test]
    fn what_no_account_can_have_is_not_read() {
        assert_eq!(readings(b"alice"), []);
        assert_eq!(readings(b"alice:"), []);
        assert_eq!(readings(b"a b:x"), [reading("", "x")]);
        assert!(
            Credentials::decode("YWxpY2U6eA").is_some(),
            "padding is not needed"
        );
        assert!(Credentials::decode("YWxpY2U6eA= =").is_none());
    }

    proptest::proptest! {
        #[test]
        fn any_token_is_credentials_or_not(token in ".{0,80}", octets: Vec<u8>) {
            let _ = Credentials::decode(&token);
            let _ = readings(&octets);
        }
    }
}
