//! Kerberos by the system's MIT library, `libgssapi_krb5.so.2` (RFC 2743, RFC
//! 4121): the one place that calls it.
//!
//! The library is loaded at run time, so that the program builds and runs where
//! there is none. What it hands out is owned by the types below and given back
//! by their `Drop`. Whether a log-on is good is decided by who uses it.

#![allow(
    unsafe_code,
    reason = "the library is C; each block says why its call is sound"
)]

use std::ffi::CString;
use std::ffi::OsStr;
use std::ffi::c_int;
use std::ptr;
use std::sync::Arc;

mod context;
mod ffi;
mod held;
mod initiator;
mod keys;
mod status;

pub(crate) use context::Context;
pub(crate) use context::Flags;
pub(crate) use context::Parties;
use ffi::Functions;
use held::Filled;
pub(crate) use initiator::Initiation;
pub(crate) use initiator::Key;
pub(crate) use initiator::Principal;
use keys::Keys;
pub(crate) use status::Fault;
pub(crate) use status::Reason;
use status::is_complete;

/// The object identifier of Kerberos, 1.2.840.113554.1.2.2 (RFC 4121 4.1).
pub(crate) const KERBEROS: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x12, 0x01, 0x02, 0x02];

/// `libgssapi_krb5.so.2`, loaded.
pub(crate) struct Library {
    functions: Functions,
}

/// From where the library takes the service's keys.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    /// The keytab: `FILE:/etc/bitsd/bitsd.keytab`.
    pub(crate) keytab: CString,
    /// Where it keeps the authenticators it has seen; none: where it always
    /// does.
    pub(crate) replay_cache: Option<CString>,
}

/// The keys of the service. It stays on its thread, where the library keeps the
/// text of its errors.
pub(crate) struct Credential(Keys);

/// A log-on that the library has accepted.
pub(crate) struct Accepted {
    /// The keys of both sides.
    pub(crate) context: Context,
    /// What the client needs to trust us; empty if it did not ask.
    pub(crate) answer: Vec<u8>,
    /// What the context can do.
    pub(crate) flags: Flags,
}

/// What the library says when it fails.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{text}")]
pub(crate) struct Failure {
    /// What it means for the log-on.
    pub(crate) reason: Reason,
    /// What it means for us, when it is we who log on.
    pub(crate) fault: Fault,
    /// Its own words, for the administrator alone: names in it may come from
    /// whoever sent the token. At most [`MAX_TEXT`] characters, none of them a
    /// control character.
    pub(crate) text: String,
}

impl Library {
    /// Loads it, for as long as the process lives.
    ///
    /// # Errors
    ///
    /// It is not there, or too old: MIT krb5 1.11 has all that is needed.
    pub(crate) fn load(name: &OsStr) -> Result<Arc<Self>, libloading::Error> {
        let functions = Functions::load(name)?;
        Ok(Arc::new(Self { functions }))
    }

    /// The keys of `store`, whatever services they are for. Reads files.
    ///
    /// # Errors
    ///
    /// [`Failure`]: there are none, or they cannot be read.
    pub(crate) fn credential(self: &Arc<Self>, store: &Store) -> Result<Credential, Failure> {
        let mut elements = vec![(c"keytab", store.keytab.as_c_str())];
        if let Some(replay_cache) = &store.replay_cache {
            elements.push((c"rcache", replay_cache));
        }
        Keys::from_store(self, &elements, ffi::ACCEPT).map(Credential)
    }

    /// What a status means, and the library's words for it. To be called on the
    /// thread that got the status.
    fn failure(&self, major: u32, minor: u32) -> Failure {
        let mut text = self.text(major, ffi::GSS_CODE);
        let detail = self.text(minor, ffi::MECH_CODE);
        if !detail.is_empty() {
            text.push_str(": ");
            text.push_str(&detail);
        }
        Failure {
            reason: Reason::of(major, minor),
            fault: Fault::of(minor),
            text: text.chars().take(MAX_TEXT).collect(),
        }
    }

    /// The library's words for one half of a status.
    fn text(&self, status: u32, kind: c_int) -> String {
        let mut kerberos = kerberos();
        let mut place = 0;
        let mut words = Vec::new();
        // A status can have several messages.
        for _ in 0..MAX_MESSAGES {
            let mut text = self.buffer();
            let mut minor = 0;
            // SAFETY: `kerberos` lives through the call. `place` is 0 at first
            // and then as the library left it. `text` is empty, is written, and
            // goes back by its `Drop`.
            let major = unsafe {
                (self.functions.display_status)(
                    &raw mut minor,
                    status,
                    kind,
                    &raw mut kerberos,
                    &raw mut place,
                    &raw mut text.inner,
                )
            };
            if !is_complete(major) {
                break;
            }
            words.push(printable(text.octets()));
            if place == 0 {
                break;
            }
        }
        words.join(", ")
    }

    /// A buffer for the library to fill.
    fn buffer(&self) -> Filled<'_> {
        Filled {
            functions: &self.functions,
            inner: ffi::Buffer::EMPTY,
        }
    }
}

impl Credential {
    /// Accepts a client's token, which must name `binding` if it names any
    /// channel; without one, what it names is not looked at. Writes to the
    /// replay cache.
    ///
    /// # Errors
    ///
    /// [`Failure`]: it is no ticket for one of our keys, not valid now, seen
    /// before, bound to another channel, or asks for more legs (DCE).
    pub(crate) fn accept(&self, token: &[u8], binding: Option<&[u8]>) -> Result<Accepted, Failure> {
        let Self(Keys { library, handle }) = self;
        let (credential, functions) = (*handle, &library.functions);
        let mut token = ffi::Buffer::of(token);
        let mut bindings = binding.map(|data| ffi::ChannelBindings {
            initiator_addrtype: ffi::UNSPECIFIED,
            initiator_address: ffi::Buffer::EMPTY,
            acceptor_addrtype: ffi::UNSPECIFIED,
            acceptor_address: ffi::Buffer::EMPTY,
            application_data: ffi::Buffer::of(data),
        });
        let bindings = bindings.as_mut().map_or(ptr::null_mut(), ptr::from_mut);
        let (mut minor, mut handle, mut flags) = (0, ptr::null_mut(), 0);
        let mut answer = library.buffer();
        // SAFETY: `handle` begins as null, which asks for a new context, and is
        // written. The credential is ours until `drop`. `token` and `bindings`
        // (null: none) describe slices that outlive the call and are only read.
        // `answer` is empty, is written, and goes back by its `Drop`. Results
        // that nobody wants may be null; so no delegated credential is made.
        let major = unsafe {
            (functions.accept_sec_context)(
                &raw mut minor,
                &raw mut handle,
                credential,
                &raw mut token,
                bindings,
                ptr::null_mut(),
                ptr::null_mut(),
                &raw mut answer.inner,
                &raw mut flags,
                ptr::null_mut(),
                ptr::null_mut(),
            )
        };
        // Asked for first: what follows may call the library again.
        let failure = (!is_complete(major)).then(|| library.failure(major, minor));
        let context = (!handle.is_null()).then(|| Context {
            library: Arc::clone(library),
            handle,
        });
        match (failure, context) {
            (None, Some(context)) => Ok(Accepted {
                context,
                answer: answer.octets().to_vec(),
                flags: Flags(flags),
            }),
            (Some(failure), _) => Err(failure),
            (None, None) => Err(library.failure(major, minor)),
        }
    }
}

/// The mechanism that is asked for.
fn kerberos() -> ffi::Oid {
    ffi::Oid {
        length: u32::try_from(KERBEROS.len()).expect("nine"),
        elements: KERBEROS.as_ptr().cast_mut().cast(),
    }
}

/// Text for a line of the log.
fn printable(octets: &[u8]) -> String {
    let text = String::from_utf8_lossy(octets);
    text.chars().filter(|c| !c.is_control()).collect()
}

/// Messages of one status that are put together.
const MAX_MESSAGES: usize = 4;

/// Characters of the library's words that are kept.
const MAX_TEXT: usize = 400;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_library_that_is_not_there_is_an_error() {
        let loaded = Library::load(OsStr::new("libgssapi_krb5.so.none"));
        assert!(loaded.is_err());
    }

    #[test]
    fn a_library_without_the_functions_is_an_error() {
        assert!(Library::load(OsStr::new("libc.so.6")).is_err());
    }

    #[test]
    fn the_words_of_the_library_fit_into_a_line() {
        assert_eq!(printable(b"a\nb\x1b[31m\xff\0"), "ab[31m\u{fffd}");
    }
}
