//! Kerberos by the system's MIT library, `libgssapi_krb5.so.2` (RFC 2743, RFC
//! 4121): the one place that calls it.
//!
//! The library is loaded at run time, so that the program builds and runs where
//! there is none. What it hands out is owned by the types below and given back
//! by their `Drop`. Whether a log-on is good is decided in `kerberos`.

#![allow(
    unsafe_code,
    reason = "the library is C; each block says why its call is sound"
)]

use std::ffi::CStr;
use std::ffi::CString;
use std::ffi::OsStr;
use std::ffi::c_int;
use std::ptr;
use std::slice;
use std::sync::Arc;

use zeroize::Zeroize as _;

use super::Sealed;

mod ffi;
mod status;

use ffi::Functions;
pub(super) use status::Reason;
use status::is_complete;

/// The object identifier of Kerberos, 1.2.840.113554.1.2.2 (RFC 4121 4.1).
pub(super) const KERBEROS: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x12, 0x01, 0x02, 0x02];

/// `libgssapi_krb5.so.2`, loaded.
pub(super) struct Library {
    functions: Functions,
}

/// From where the library takes the service's keys.
#[derive(Clone, Debug)]
pub(super) struct Store {
    /// The keytab: `FILE:/etc/bitsd/bitsd.keytab`.
    pub(super) keytab: CString,
    /// Where it keeps the authenticators it has seen; none: where it always
    /// does.
    pub(super) replay_cache: Option<CString>,
}

/// The keys of the service. It stays on its thread, where the library keeps the
/// text of its errors.
pub(super) struct Credential {
    library: Arc<Library>,
    /// From `gss_acquire_cred_from`; given back once, by `drop`.
    handle: ffi::CredentialHandle,
}

/// A log-on that the library has accepted.
pub(super) struct Accepted {
    /// The keys of both sides.
    pub(super) context: Context,
    /// What the client needs to trust us; empty if it did not ask.
    pub(super) answer: Vec<u8>,
    /// What the context can do.
    pub(super) flags: Flags,
}

/// The bits of `ret_flags` (RFC 2744 5.1) that count here.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Flags(u32);

/// Keys that both sides of a log-on have.
pub(super) struct Context {
    library: Arc<Library>,
    /// From `gss_accept_sec_context`, never null; given back once, by `drop`.
    handle: ffi::ContextHandle,
}

// SAFETY: the library binds a context to no thread; it only asks that no two
// calls use it at the same time (MIT krb5, "Thread safety"). Every function
// that calls it takes `&mut self`, and the type is not `Sync`.
unsafe impl Send for Context {}

/// Who has logged on where.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Parties {
    /// The client's principal, in octets: `alice@EXAMPLE.TEST`.
    pub(super) client: Vec<u8>,
    /// The principal whose key opened the ticket: `HTTP/host@EXAMPLE.TEST`.
    pub(super) service: Vec<u8>,
    /// The object identifier of the mechanism.
    pub(super) mechanism: Vec<u8>,
}

/// What the library says when it fails.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{text}")]
pub(super) struct Failure {
    /// What it means for the log-on.
    pub(super) reason: Reason,
    /// Its own words, for the administrator alone: names in it may come from
    /// whoever sent the token. At most [`MAX_TEXT`] characters, none of them a
    /// control character.
    pub(super) text: String,
}

impl Library {
    /// Loads it, for as long as the process lives.
    ///
    /// # Errors
    ///
    /// It is not there, or too old: MIT krb5 1.11 has all that is needed.
    pub(super) fn load(name: &OsStr) -> Result<Arc<Self>, libloading::Error> {
        let functions = Functions::load(name)?;
        Ok(Arc::new(Self { functions }))
    }

    /// The keys of `store`, whatever services they are for. Reads files.
    ///
    /// # Errors
    ///
    /// [`Failure`]: there are none, or they cannot be read.
    pub(super) fn credential(self: &Arc<Self>, store: &Store) -> Result<Credential, Failure> {
        let keytab = (c"keytab", Some(&store.keytab));
        let replay_cache = (c"rcache", store.replay_cache.as_ref());
        let mut elements: Vec<ffi::KeyValue> = [keytab, replay_cache]
            .into_iter()
            .filter_map(|(key, value): (&CStr, _)| {
                Some(ffi::KeyValue {
                    key: key.as_ptr(),
                    value: value?.as_ptr(),
                })
            })
            .collect();
        let values = ffi::KeyValueSet {
            count: u32::try_from(elements.len()).expect("two at most"),
            elements: elements.as_mut_ptr(),
        };
        let mut kerberos = kerberos();
        let mut mechanisms = ffi::OidSet {
            count: 1,
            elements: &raw mut kerberos,
        };
        let (mut minor, mut handle) = (0, ptr::null_mut());
        // SAFETY: the name may be null (any of the keytab's). `mechanisms` and
        // `values` describe arrays of the lengths they state, of which the
        // library copies what it keeps; texts end in NUL and live as long as
        // `store`. `handle` begins as null and is written. The two results that
        // nobody wants may be null.
        let major = unsafe {
            (self.functions.acquire_cred_from)(
                &raw mut minor,
                ptr::null_mut(),
                ffi::INDEFINITE,
                &raw mut mechanisms,
                ffi::ACCEPT,
                &raw const values,
                &raw mut handle,
                ptr::null_mut(),
                ptr::null_mut(),
            )
        };
        // Made before the status is looked at: whatever came back goes back.
        let credential = Credential {
            library: Arc::clone(self),
            handle,
        };
        if !is_complete(major) || handle.is_null() {
            return Err(self.failure(major, minor));
        }
        Ok(credential)
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
    pub(super) fn accept(&self, token: &[u8], binding: Option<&[u8]>) -> Result<Accepted, Failure> {
        let functions = &self.library.functions;
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
        let mut answer = self.library.buffer();
        // SAFETY: `handle` begins as null, which asks for a new context, and is
        // written. The credential is ours until `drop`. `token` and `bindings`
        // (null: none) describe slices that outlive the call and are only read.
        // `answer` is empty, is written, and goes back by its `Drop`. Results
        // that nobody wants may be null; so no delegated credential is made.
        let major = unsafe {
            (functions.accept_sec_context)(
                &raw mut minor,
                &raw mut handle,
                self.handle,
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
        let failure = (!is_complete(major)).then(|| self.library.failure(major, minor));
        let context = (!handle.is_null()).then(|| Context {
            library: Arc::clone(&self.library),
            handle,
        });
        match (failure, context) {
            (None, Some(context)) => Ok(Accepted {
                context,
                answer: answer.octets().to_vec(),
                flags: Flags(flags),
            }),
            (Some(failure), _) => Err(failure),
            (None, None) => Err(self.library.failure(major, minor)),
        }
    }
}

impl Flags {
    /// Messages can be encrypted, and signed.
    pub(super) fn protects_messages(self) -> bool {
        const CONFIDENTIAL: u32 = 16;
        const INTEGRITY: u32 = 32;
        self.0 & (CONFIDENTIAL | INTEGRITY) == CONFIDENTIAL | INTEGRITY
    }

    /// The client hides who he is.
    pub(super) fn is_anonymous(self) -> bool {
        self.0 & 64 != 0
    }

    /// The client has named the channel, and it is this one
    /// (`GSS_C_CHANNEL_BOUND_FLAG`, MIT krb5 1.19).
    pub(super) fn is_channel_bound(self) -> bool {
        self.0 & 0x800 != 0
    }
}

impl Context {
    /// Who has logged on where.
    ///
    /// # Errors
    ///
    /// [`Failure`]; also when the ticket has expired.
    pub(super) fn parties(&mut self) -> Result<Parties, Failure> {
        let functions = &self.library.functions;
        let name = || Name {
            library: &self.library,
            handle: ptr::null_mut(),
        };
        let (mut client, mut service) = (name(), name());
        let (mut minor, mut mechanism) = (0, ptr::null_mut());
        // SAFETY: the context is ours until `drop`. Both names are written, and
        // go back by their `Drop`. `mechanism` is written with a pointer to the
        // library's own constant. Results that nobody wants may be null.
        let major = unsafe {
            (functions.inquire_context)(
                &raw mut minor,
                self.handle,
                &raw mut client.handle,
                &raw mut service.handle,
                ptr::null_mut(),
                &raw mut mechanism,
                ptr::null_mut(),
                ptr::null_mut(),
                ptr::null_mut(),
            )
        };
        if !is_complete(major) {
            return Err(self.library.failure(major, minor));
        }
        // SAFETY: null, or an object identifier that is never freed and whose
        // elements are as many octets as it says.
        let mechanism = unsafe { mechanism.as_ref() }
            .map(|oid| unsafe { octets(oid.elements.cast(), oid.length as usize) }.to_vec())
            .unwrap_or_default();
        Ok(Parties {
            client: client.display()?,
            service: service.display()?,
            mechanism,
        })
    }

    /// Encrypts and signs: header and message, with nothing behind it, as
    /// [MS-WSMV] 2.2.9.1.2.2.1.2 has it.
    ///
    /// # Errors
    ///
    /// [`Failure`]; also when the keys are of a kind that needs padding (DES,
    /// RC4).
    pub(super) fn wrap(&mut self, plain: &[u8]) -> Result<Sealed, Failure> {
        let functions = &self.library.functions;
        let (mut minor, mut is_encrypted) = (0, 0);
        let mut pieces = [
            ffi::Piece {
                kind: ffi::HEADER,
                buffer: ffi::Buffer::EMPTY,
            },
            ffi::Piece {
                kind: ffi::DATA,
                buffer: ffi::Buffer::of(plain),
            },
            ffi::Piece {
                kind: ffi::PADDING,
                buffer: ffi::Buffer::EMPTY,
            },
        ];
        // SAFETY: the context is ours until `drop`. Of the three pieces the
        // library reads kinds and the length of the message, and writes the
        // lengths of header and padding; it touches no contents.
        let major = unsafe {
            (functions.wrap_iov_length)(
                &raw mut minor,
                self.handle,
                1,
                ffi::DEFAULT_QOP,
                &raw mut is_encrypted,
                pieces.as_mut_ptr(),
                PIECES,
            )
        };
        let header = pieces[0].buffer.length;
        let is_possible = pieces[2].buffer.length == 0 && header <= MAX_HEADER;
        if !is_complete(major) || is_encrypted == 0 || !is_possible {
            return Err(self.library.failure(major, minor));
        }
        let mut octets = vec![0; header];
        octets.reserve_exact(plain.len());
        octets.extend_from_slice(plain);
        let (front, back) = octets.split_at_mut(header);
        pieces[0].buffer = ffi::Buffer::of_mut(front);
        pieces[1].buffer = ffi::Buffer::of_mut(back);
        is_encrypted = 0;
        // SAFETY: as above. Header and message are slices that do not overlap,
        // and outlive the call; the library writes no more than their lengths,
        // the header's being the one that it has just asked for. The padding
        // has none.
        let major = unsafe {
            (functions.wrap_iov)(
                &raw mut minor,
                self.handle,
                1,
                ffi::DEFAULT_QOP,
                &raw mut is_encrypted,
                pieces.as_mut_ptr(),
                PIECES,
            )
        };
        let is_whole = pieces[0].buffer.length == header && pieces[1].buffer.length == plain.len();
        if !is_complete(major) || is_encrypted == 0 || !is_whole {
            octets.zeroize();
            return Err(self.library.failure(major, minor));
        }
        Ok(Sealed {
            signature: u32::try_from(header).expect("checked against the limit above"),
            octets,
        })
    }

    /// Decrypts header and message, and checks them.
    ///
    /// # Errors
    ///
    /// [`Failure`]; also when it was not encrypted, came twice, late or out of
    /// order.
    pub(super) fn unwrap(&mut self, message: &[u8]) -> Result<Vec<u8>, Failure> {
        let mut message = ffi::Buffer::of(message);
        let mut plain = self.library.buffer();
        let (mut minor, mut is_encrypted) = (0, 0);
        // SAFETY: the context is ours until `drop`. `message` describes a slice
        // that outlives the call and is only read: the library decrypts a copy.
        // `plain` is empty, is written, and goes back by its `Drop`. The
        // quality of protection may be null.
        let major = unsafe {
            (self.library.functions.unwrap)(
                &raw mut minor,
                self.handle,
                &raw mut message,
                &raw mut plain.inner,
                &raw mut is_encrypted,
                ptr::null_mut(),
            )
        };
        if !is_complete(major) || is_encrypted == 0 {
            return Err(self.library.failure(major, minor));
        }
        Ok(plain.octets().to_vec())
    }

    /// Signs.
    ///
    /// # Errors
    ///
    /// [`Failure`].
    pub(super) fn get_mic(&mut self, data: &[u8]) -> Result<Vec<u8>, Failure> {
        let mut data = ffi::Buffer::of(data);
        let mut signature = self.library.buffer();
        let mut minor = 0;
        // SAFETY: the context is ours until `drop`. `data` describes a slice
        // that outlives the call and is only read. `signature` is empty, is
        // written, and goes back by its `Drop`.
        let major = unsafe {
            (self.library.functions.get_mic)(
                &raw mut minor,
                self.handle,
                ffi::DEFAULT_QOP,
                &raw mut data,
                &raw mut signature.inner,
            )
        };
        if !is_complete(major) {
            return Err(self.library.failure(major, minor));
        }
        Ok(signature.octets().to_vec())
    }

    /// Checks a signature.
    ///
    /// # Errors
    ///
    /// [`Failure`]; also when it came twice, late or out of order.
    pub(super) fn verify_mic(&mut self, data: &[u8], signature: &[u8]) -> Result<(), Failure> {
        let mut data = ffi::Buffer::of(data);
        let mut signature = ffi::Buffer::of(signature);
        let mut minor = 0;
        // SAFETY: the context is ours until `drop`. Both buffers describe
        // slices that outlive the call and are only read. The quality of
        // protection may be null.
        let major = unsafe {
            (self.library.functions.verify_mic)(
                &raw mut minor,
                self.handle,
                &raw mut data,
                &raw mut signature,
                ptr::null_mut(),
            )
        };
        if !is_complete(major) {
            return Err(self.library.failure(major, minor));
        }
        Ok(())
    }
}

impl Drop for Credential {
    fn drop(&mut self) {
        let mut minor = 0;
        // SAFETY: null, or a credential that nobody else has; the library sets
        // the handle to null. No context refers to it once it is accepted.
        unsafe {
            (self.library.functions.release_cred)(&raw mut minor, &raw mut self.handle);
        }
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        let mut minor = 0;
        // SAFETY: a context that nobody else has; the library sets the handle
        // to null. A null buffer says that the peer is told nothing.
        unsafe {
            (self.library.functions.delete_sec_context)(
                &raw mut minor,
                &raw mut self.handle,
                ptr::null_mut(),
            );
        }
    }
}

/// A name of the library's.
struct Name<'a> {
    library: &'a Library,
    /// Null, or from the library; given back once, by `drop`.
    handle: ffi::NameHandle,
}

impl Name<'_> {
    fn display(&self) -> Result<Vec<u8>, Failure> {
        if self.handle.is_null() {
            return Ok(Vec::new());
        }
        let mut text = self.library.buffer();
        let mut minor = 0;
        // SAFETY: the name is ours until `drop`, and not null. `text` is empty,
        // is written, and goes back by its `Drop`. The type of the name may be
        // null.
        let major = unsafe {
            (self.library.functions.display_name)(
                &raw mut minor,
                self.handle,
                &raw mut text.inner,
                ptr::null_mut(),
            )
        };
        if !is_complete(major) {
            return Err(self.library.failure(major, minor));
        }
        Ok(text.octets().to_vec())
    }
}

impl Drop for Name<'_> {
    fn drop(&mut self) {
        if self.handle.is_null() {
            return;
        }
        let mut minor = 0;
        // SAFETY: a name that nobody else has; the library sets the handle to
        // null.
        unsafe {
            (self.library.functions.release_name)(&raw mut minor, &raw mut self.handle);
        }
    }
}

/// A buffer that the library fills, and takes back.
struct Filled<'a> {
    functions: &'a Functions,
    inner: ffi::Buffer,
}

impl Filled<'_> {
    fn octets(&self) -> &[u8] {
        // SAFETY: empty, or filled by the library, which states how many octets
        // it has written there; they stay until `drop`.
        unsafe { octets(self.inner.value.cast(), self.inner.length) }
    }
}

impl Drop for Filled<'_> {
    fn drop(&mut self) {
        if !self.inner.value.is_null() {
            // SAFETY: as in `octets`, and nobody else refers to them. The
            // library has made them for the caller to keep.
            unsafe { slice::from_raw_parts_mut(self.inner.value.cast::<u8>(), self.inner.length) }
                // What was decrypted may hold a password.
                .zeroize();
        }
        let mut minor = 0;
        // SAFETY: an empty buffer, or one that the library has allocated; it
        // frees it and makes it empty.
        unsafe {
            (self.functions.release_buffer)(&raw mut minor, &raw mut self.inner);
        }
    }
}

/// The octets at a pointer of the library.
///
/// # Safety
///
/// `at` is null, or points to `length` octets that stay as they are as long as
/// `'a`.
unsafe fn octets<'a>(at: *const u8, length: usize) -> &'a [u8] {
    if at.is_null() || length == 0 {
        return &[];
    }
    // SAFETY: the caller says so.
    unsafe { slice::from_raw_parts(at, length) }
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

/// Header, message, padding.
const PIECES: c_int = 3;

/// Octets of a header; with AES it has 60 (RFC 4121 4.2.4).
const MAX_HEADER: usize = 1_024;

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

    #[test]
    fn flags_are_read_by_their_bits() {
        for (flags, protects) in [(0, false), (16, false), (32, false), (48, true), (54, true)] {
            assert_eq!(Flags(flags).protects_messages(), protects, "{flags}");
        }
        assert!(Flags(64).is_anonymous() && !Flags(63).is_anonymous());
        assert!(Flags(0x800).is_channel_bound() && !Flags(0x7ff).is_channel_bound());
    }
}
