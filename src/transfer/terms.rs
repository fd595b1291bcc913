//! How the files of a job are asked for, and how often. Pure.

use hyper::Method;
use hyper::header;
use hyper::header::HeaderValue;

use super::Failure;
use super::http_origin::Ask;
use super::http_origin::Part;
use crate::bits::ErrorContext;
use crate::bits::Hresult;
use crate::bits::JobOptions;
use crate::bits::is_token;

/// How the files of a job are asked for.
#[derive(Clone, Debug, Default)]
pub(super) struct Terms {
    /// Another method than `GET`.
    pub(super) method: Option<Method>,
    /// Each answer is its own file (`BITS_JOB_PROPERTY_DYNAMIC_CONTENT`).
    pub(super) dynamic_content: bool,
    /// A server without ranges is an error.
    pub(super) require_ranges: bool,
}

impl Terms {
    /// Those of a job with these options, on a host that wants servers with
    /// ranges or not.
    ///
    /// # Errors
    ///
    /// [`Failure`] with `E_INVALIDARG` for a method that brings no file.
    pub(super) fn new(options: &JobOptions, require_ranges: bool) -> Result<Self, Failure> {
        let method = match options.method.as_deref() {
            None | Some("GET") => None,
            Some(name) => Some(method(name).ok_or_else(|| {
                Failure::fatal(
                    ErrorContext::RemoteFile,
                    Hresult::E_INVALIDARG,
                    format!("the method {name:?} brings no file"),
                )
            })?),
        };
        Ok(Self {
            method,
            dynamic_content: options.dynamic_content,
            require_ranges: require_ranges || options.require_ranges,
        })
    }

    /// May parts of a file be asked for?
    pub(super) fn has_ranges(&self) -> bool {
        self.method.is_none() && !self.dynamic_content
    }

    /// The request for this part of a file; none: for all of it.
    pub(super) fn ask(&self, part: Option<Part>) -> Ask {
        let mut ask = Ask::get(part);
        if let Some(method) = &self.method {
            ask.method = method.clone();
            // RFC 9110 8.6: servers wait for a body otherwise, or refuse.
            if !method.is_safe() {
                let none = HeaderValue::from_static("0");
                ask.headers.insert(header::CONTENT_LENGTH, none);
            }
        }
        ask
    }
}

/// How often one attempt has asked in vain.
#[derive(Debug)]
pub(super) struct Turns {
    again: u32,
    short: u32,
}

impl Turns {
    /// Of an attempt at a file of so many parts.
    pub(super) fn new(parts: usize) -> Self {
        Self {
            again: MAX_AGAIN,
            short: u32::try_from(parts)
                .unwrap_or(u32::MAX)
                .saturating_add(MAX_SHORT),
        }
    }

    /// An answer was of no use: may the file be begun again?
    pub(super) fn may_begin_again(&mut self) -> bool {
        spend(&mut self.again)
    }

    /// An answer brought so many octets, and more are wanted: may they be asked
    /// for? A server that brings much may cut its ranges as often as it likes.
    pub(super) fn may_go_on(&mut self, octets: u64) -> bool {
        octets >= MUCH || spend(&mut self.short)
    }
}

fn spend(left: &mut u32) -> bool {
    let some = *left > 0;
    *left = left.saturating_sub(1);
    some
}

fn method(name: &str) -> Option<Method> {
    if !is_token(name) || ["CONNECT", "HEAD", "TRACE"].contains(&name) {
        return None;
    }
    Method::from_bytes(name.as_bytes()).ok()
}

/// A file that changes while it is fetched is begun again so often.
const MAX_AGAIN: u32 = 2;

/// Ranges that may be cut short to less than [`MUCH`].
const MAX_SHORT: u32 = 16;

/// Octets, for which a request is no waste.
const MUCH: u64 = 256 * 1_024;

#[cfg(test)]
mod tests {
    use super::*;

    fn terms(method: &str) -> Result<Terms, Failure> {
        let options = JobOptions {
            method: Some(method.to_owned()),
            ..JobOptions::default()
        };
        Terms::new(&options, false)
    }

    #[test]
    fn methods_that_bring_a_file_are_taken() {
        assert!(terms("GET").expect("usable").has_ranges());
        for name in ["POST", "REPORT", "get"] {
            let terms = terms(name).expect("usable");
            assert!(!terms.has_ranges(), "{name}");
            assert_eq!(terms.ask(None).method.as_str(), name);
        }
        for name in ["HEAD", "CONNECT", "TRACE", "", "A B", "A\r\n"] {
            let failure = terms(name).expect_err(name);
            assert_eq!(failure.code, Hresult::E_INVALIDARG);
        }
    }

    #[test]
    fn a_server_that_goes_wrong_is_asked_a_few_times_only() {
        let mut turns = Turns::new(1);
        assert!((0..1_000).all(|_| turns.may_go_on(MUCH)));
        assert_eq!((0..100).filter(|_| turns.may_go_on(1)).count(), 17);
        assert_eq!((0..100).filter(|_| turns.may_begin_again()).count(), 2);
    }
}
