//! The messages that go through the inner TLS, as DER: `TSRequest`
//! ([MS-CSSP] 2.2.1), and the credentials that the last one delegates.
//!
//! Nothing is copied: a message is read where it lies, so that there is one
//! place to wipe.

use der::Decode as _;
use der::Encode as _;
use der::Sequence;
use der::asn1::OctetStringRef;

/// A message of either side ([MS-CSSP] 2.2.1).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct TsRequest<'a> {
    /// The highest version that the sender understands.
    pub(super) version: u32,
    /// `negoTokens`: a token of the log-on within.
    pub(super) nego_token: Option<&'a [u8]>,
    /// `authInfo`: sealed [`check_credentials`].
    pub(super) auth_info: Option<&'a [u8]>,
    /// `pubKeyAuth`: a sealed hash of the server's key.
    pub(super) pub_key_auth: Option<&'a [u8]>,
    /// `errorCode`: an `NTSTATUS` ([MS-ERREF] 2.3), which is negative if it is
    /// an error.
    pub(super) error_code: Option<i32>,
    /// `clientNonce`: what the hashes begin with.
    pub(super) client_nonce: Option<&'a Nonce>,
}

/// What makes the hashes of two log-ons differ.
pub(super) type Nonce = [u8; 32];

/// Why octets are no message.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(super) enum TsRequestError {
    /// More than [`MAX_TS_REQUEST`] octets.
    #[error("the TSRequest is too long")]
    TooLong,
    /// They are not of the form.
    #[error("the TSRequest is malformed")]
    Malformed(#[from] der::Error),
    /// `NegoData` that is empty, or has several tokens.
    #[error("the TSRequest has {0} tokens in its negoTokens")]
    NegoTokens(usize),
    /// A nonce that has not 32 octets.
    #[error("the nonce in the TSRequest has {0} octets")]
    Nonce(usize),
}

impl<'a> TsRequest<'a> {
    /// Reads a message that fills `octets`.
    ///
    /// # Errors
    ///
    /// [`TsRequestError`].
    pub(super) fn decode(octets: &'a [u8]) -> Result<Self, TsRequestError> {
        if octets.len() > MAX_TS_REQUEST {
            return Err(TsRequestError::TooLong);
        }
        let wire = Wire::from_der(octets)?;
        let nego_token = match wire.nego_tokens.as_deref() {
            None => None,
            Some([NegoToken { token }]) => Some(token.as_bytes()),
            Some(tokens) => return Err(TsRequestError::NegoTokens(tokens.len())),
        };
        let client_nonce = wire.client_nonce.map(nonce).transpose()?;
        Ok(Self {
            version: wire.version,
            nego_token,
            auth_info: wire.auth_info.map(OctetStringRef::as_bytes),
            pub_key_auth: wire.pub_key_auth.map(OctetStringRef::as_bytes),
            error_code: wire.error_code,
            client_nonce,
        })
    }

    /// Writes the message.
    ///
    /// # Errors
    ///
    /// [`TsRequestError::Malformed`] where a part is longer than DER can say.
    pub(super) fn encode(&self) -> Result<Vec<u8>, TsRequestError> {
        let text = |octets: Option<&'a [u8]>| octets.map(OctetStringRef::new).transpose();
        let nego_tokens = text(self.nego_token)?.map(|token| vec![NegoToken { token }]);
        let wire = Wire {
            version: self.version,
            nego_tokens,
            auth_info: text(self.auth_info)?,
            pub_key_auth: text(self.pub_key_auth)?,
            error_code: self.error_code,
            client_nonce: text(self.client_nonce.map(Nonce::as_slice))?,
        };
        Ok(wire.to_der()?)
    }
}

fn nonce(text: &OctetStringRef) -> Result<&Nonce, TsRequestError> {
    let octets = text.as_bytes();
    let nonce = octets.try_into();
    nonce.map_err(|_| TsRequestError::Nonce(octets.len()))
}

/// Why octets are no password that somebody delegates.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(super) enum CredentialsError {
    /// They are not of the form.
    #[error("the delegated credentials are malformed")]
    Malformed,
    /// A smart card (2), or those of Remote Credential Guard (6).
    #[error("the delegated credentials are of type {0}, and no password")]
    Kind(u32),
}

/// For the fuzz target: what is read is written the same.
#[cfg(fuzzing)]
pub(crate) fn fuzz(octets: &[u8]) {
    if let Ok(request) = TsRequest::decode(octets) {
        assert_eq!(request.encode().as_deref(), Ok(octets));
        // A client's sealed part may hold anything once it is opened.
        let _ = request.auth_info.map(check_credentials);
    }
    let _ = check_credentials(octets);
}

/// Checks that `octets` are `TSCredentials` ([MS-CSSP] 2.2.1.2) with a
/// password. They are borrowed, and nothing of them is given back.
///
/// # Errors
///
/// [`CredentialsError`].
pub(super) fn check_credentials(octets: &[u8]) -> Result<(), CredentialsError> {
    let malformed = |_| CredentialsError::Malformed;
    let credentials = TsCredentials::from_der(octets).map_err(malformed)?;
    if credentials.kind != PASSWORD {
        return Err(CredentialsError::Kind(credentials.kind));
    }
    let octets = credentials.credentials.as_bytes();
    let password = TsPasswordCreds::from_der(octets).map_err(malformed)?;
    let texts = [password.domain_name, password.user_name, password.password];
    if texts.iter().any(|text| text.as_bytes().len() % 2 != 0) {
        return Err(CredentialsError::Malformed);
    }
    Ok(())
}

#[derive(Sequence)]
struct Wire<'a> {
    #[asn1(context_specific = "0")]
    version: u32,
    #[asn1(context_specific = "1", optional = "true")]
    nego_tokens: Option<Vec<NegoToken<'a>>>,
    #[asn1(context_specific = "2", optional = "true")]
    auth_info: Option<&'a OctetStringRef>,
    #[asn1(context_specific = "3", optional = "true")]
    pub_key_auth: Option<&'a OctetStringRef>,
    #[asn1(context_specific = "4", optional = "true")]
    error_code: Option<i32>,
    #[asn1(context_specific = "5", optional = "true")]
    client_nonce: Option<&'a OctetStringRef>,
}

/// One of `NegoData` ([MS-CSSP] 2.2.1.1).
#[derive(Sequence)]
struct NegoToken<'a> {
    #[asn1(context_specific = "0")]
    token: &'a OctetStringRef,
}

#[derive(Sequence)]
struct TsCredentials<'a> {
    #[asn1(context_specific = "0")]
    kind: u32,
    #[asn1(context_specific = "1")]
    credentials: &'a OctetStringRef,
}

/// [MS-CSSP] 2.2.1.2.1. Each is UTF-16.
#[derive(Sequence)]
struct TsPasswordCreds<'a> {
    #[asn1(context_specific = "0")]
    domain_name: &'a OctetStringRef,
    #[asn1(context_specific = "1")]
    user_name: &'a OctetStringRef,
    #[asn1(context_specific = "2")]
    password: &'a OctetStringRef,
}

/// `credType` of `TSPasswordCreds`.
const PASSWORD: u32 = 1;

/// Octets of a message: Kerberos tickets with many groups come to 48 KiB.
pub(super) const MAX_TS_REQUEST: usize = 64 * 1_024;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn octets(hex: &str) -> Vec<u8> {
        let digits: Vec<u32> = hex.chars().filter_map(|digit| digit.to_digit(16)).collect();
        digits
            .chunks(2)
            .map(|pair| u8::try_from(pair[0] * 16 + pair[1]).expect("an octet"))
            .collect()
    }

    /// As pyspnego 0.12.4 packs them.
    #[test]
    fn messages_are_read_and_written_as_pyspnego_writes_them() {
        let nonce: Nonce = std::array::from_fn(|at| u8::try_from(at).expect("small"));
        let request = TsRequest {
            version: 6,
            ..TsRequest::default()
        };
        let long = [0x60; 300];
        let long_hex = format!(
            "30820145a003020106a182013c3082013830820134a08201300482012c{}",
            "60".repeat(300)
        );
        let cases = [
            (
                "3018a003020106a111300f300da00b04094e544c4d5353500001",
                TsRequest {
                    nego_token: Some(b"NTLMSSP\x00\x01"),
                    ..request
                },
            ),
            (
                &long_hex,
                TsRequest {
                    nego_token: Some(&long),
                    ..request
                },
            ),
            (
                "303fa003020106a10a30083006a0040402a103a30804067365616c6564a5220420\
                 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
                TsRequest {
                    nego_token: Some(b"\xa1\x03"),
                    pub_key_auth: Some(b"sealed"),
                    client_nonce: Some(&nonce),
                    ..request
                },
            ),
            (
                "300fa003020105a20804067365616c6564",
                TsRequest {
                    version: 5,
                    auth_info: Some(b"sealed"),
                    ..request
                },
            ),
            (
                "300fa003020106a10830063004a0020400",
                TsRequest {
                    nego_token: Some(b""),
                    ..request
                },
            ),
            (
                "300da003020106a4060204c000006d",
                TsRequest {
                    error_code: Some(-1_073_741_715),
                    ..request
                },
            ),
            (
                "3005a003020102",
                TsRequest {
                    version: 2,
                    ..request
                },
            ),
        ];
        for (hex, request) in cases {
            assert_eq!(request.encode(), Ok(octets(hex)), "{request:?}");
            assert_eq!(TsRequest::decode(&octets(hex)), Ok(request), "{hex}");
        }
    }

    #[test]
    fn what_is_no_message_is_refused() {
        let two = octets("3017a003020106a110300e3005a0030401613005a003040162");
        assert_eq!(TsRequest::decode(&two), Err(TsRequestError::NegoTokens(2)));
        let none = octets("3009a003020106a1023000");
        assert_eq!(TsRequest::decode(&none), Err(TsRequestError::NegoTokens(0)));
        let short = octets("300da003020106a303040178a5020400");
        assert!(TsRequest::decode(&short).is_err(), "a length is wrong");
        let short = octets("300ea003020106a303040178a5020400");
        assert_eq!(TsRequest::decode(&short), Err(TsRequestError::Nonce(0)));
        for hex in [
            "",
            "30",
            "3005a003020106ff",
            "3005a0030201",
            "3000",
            "3005a0030201ff",
            "3006a004020206",
            "3080a0030201060000",
            "3009a003020106a6020400",
        ] {
            let read = octets(hex);
            let read = TsRequest::decode(&read);
            assert!(matches!(read, Err(TsRequestError::Malformed(_))), "{hex}");
        }
        let long = vec![0x30; MAX_TS_REQUEST + 1];
        assert_eq!(TsRequest::decode(&long), Err(TsRequestError::TooLong));
    }

    /// As pyspnego 0.12.4 packs them.
    #[test]
    fn only_passwords_are_taken_as_credentials() {
        let right = "3041a003020101a13a04383036a010040e4500580041004d0050004c004500a10c040a\
                     61006c00690063006500a21404125000e4007300730077003000720064002100";
        let empty = "3021a003020101a11a04183016a0020400a10c040a61006c00690063006500a2020400";
        assert_eq!(check_credentials(&octets(right)), Ok(()));
        assert_eq!(check_credentials(&octets(empty)), Ok(()));
        let card = "3038a003020102a131042f302da00a04083100320033003400a11f301da003020101a104\
                    04026300a20404027200a30404026e00a40404027000";
        let guard = "3028a003020106a121041f301da01b3019a01204104b00650072006200650072006f00\
                     7300a103040178";
        for (hex, kind) in [(card, 2), (guard, 6)] {
            let checked = check_credentials(&octets(hex));
            assert_eq!(checked, Err(CredentialsError::Kind(kind)));
        }
        let odd = "3020a003020101a11904173015a0020400a10c040a61006c00690063006500a2010400";
        let cut = &octets(right)[..60];
        let mut longer = octets(right);
        longer.push(0);
        for wrong in [&octets(odd)[..], cut, &longer, b"", b"0"] {
            assert_eq!(check_credentials(wrong), Err(CredentialsError::Malformed));
        }
        let odd = octets("3020a003020101a11904173015a0020400a10b040961006c006900630065a2020400");
        assert_eq!(check_credentials(&odd), Err(CredentialsError::Malformed));
    }

    proptest! {
        #[test]
        fn a_message_that_is_written_is_read_again(
            version: u32,
            nego_token: Option<Vec<u8>>,
            auth_info: Option<Vec<u8>>,
            pub_key_auth: Option<Vec<u8>>,
            error_code: Option<i32>,
            client_nonce: Option<Nonce>,
        ) {
            let request = TsRequest {
                version,
                nego_token: nego_token.as_deref(),
                auth_info: auth_info.as_deref(),
                pub_key_auth: pub_key_auth.as_deref(),
                error_code,
                client_nonce: client_nonce.as_ref(),
            };
            let octets = request.encode().expect("written");
            prop_assert_eq!(TsRequest::decode(&octets), Ok(request));
            prop_assert!(TsRequest::decode(&octets[..octets.len() - 1]).is_err());
        }

        #[test]
        fn what_is_read_is_written_the_same(octets: Vec<u8>) {
            if let Ok(request) = TsRequest::decode(&octets) {
                prop_assert_eq!(request.encode(), Ok(octets.clone()));
            }
            let _ = check_credentials(&octets);
        }

        #[test]
        fn a_changed_message_is_another_or_none(at in 0_usize..65, bit in 0_u8..8) {
            let mut octets = octets(
                "303fa003020106a10a30083006a0040402a103a30804067365616c6564a5220420\
                 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
            );
            let before = octets.clone();
            octets[at] ^= 1 << bit;
            if let Ok(request) = TsRequest::decode(&octets) {
                prop_assert_ne!(TsRequest::decode(&before), Ok(request));
                prop_assert_eq!(request.encode(), Ok(octets.clone()));
            }
        }
    }
}
