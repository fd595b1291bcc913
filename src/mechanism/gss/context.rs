//! What the library keeps of a log-on.

use std::ffi::c_int;
use std::ptr;
use std::sync::Arc;

use zeroize::Zeroize as _;

use super::Failure;
use super::Library;
use super::ffi;
use super::held::Name;
use super::held::octets;
use super::status::is_complete;
use crate::mechanism::Sealed;

/// Keys that both sides of a log-on have.
pub(crate) struct Context {
    pub(super) library: Arc<Library>,
    /// From `gss_accept_sec_context` or `gss_init_sec_context`, not null but while
    /// that takes it back; given back once, by `drop`.
    pub(super) handle: ffi::ContextHandle,
}

// SAFETY: the library ties a context to no thread; it only asks that no two
// calls use it at the same time. Every function that calls it takes
// `&mut self`, and the type is not `Sync`.
unsafe impl Send for Context {}

/// Who has logged on where.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Parties {
    /// The client's principal, in octets: `alice@EXAMPLE.TEST`.
    pub(crate) client: Vec<u8>,
    /// The principal whose key opened the ticket: `HTTP/host@EXAMPLE.TEST`.
    pub(crate) service: Vec<u8>,
    /// The object identifier of the mechanism.
    pub(crate) mechanism: Vec<u8>,
}

/// The bits of `ret_flags` (RFC 2744 5.1) that count here.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Flags(pub(super) u32);

impl Context {
    /// Who has logged on where.
    ///
    /// # Errors
    ///
    /// [`Failure`]; also when the ticket has expired.
    pub(crate) fn parties(&mut self) -> Result<Parties, Failure> {
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
    pub(crate) fn wrap(&mut self, plain: &[u8]) -> Result<Sealed, Failure> {
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
    pub(crate) fn unwrap(&mut self, message: &[u8]) -> Result<Vec<u8>, Failure> {
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
    pub(crate) fn get_mic(&mut self, data: &[u8]) -> Result<Vec<u8>, Failure> {
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
    pub(crate) fn verify_mic(&mut self, data: &[u8], signature: &[u8]) -> Result<(), Failure> {
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

impl Flags {
    /// Messages can be encrypted, and signed.
    pub(crate) fn protects_messages(self) -> bool {
        const CONFIDENTIAL: u32 = 16;
        const INTEGRITY: u32 = 32;
        self.0 & (CONFIDENTIAL | INTEGRITY) == CONFIDENTIAL | INTEGRITY
    }

    /// The client hides who he is.
    pub(crate) fn is_anonymous(self) -> bool {
        self.0 & 64 != 0
    }

    /// The client has named the channel, and it is this one
    /// (`GSS_C_CHANNEL_BOUND_FLAG`, MIT krb5 1.19).
    pub(crate) fn is_channel_bound(self) -> bool {
        self.0 & 0x800 != 0
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

/// Header, message, padding.
const PIECES: c_int = 3;

/// Octets of a header; with AES it has 60 (RFC 4121 4.2.4).
const MAX_HEADER: usize = 1_024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_read_by_their_bits() {
        for (flags, protects) in [(0, false), (16, false), (32, false), (48, true), (54, true)] {
            assert_eq!(Flags(flags).protects_messages(), protects, "{flags}");
        }
        assert!(Flags(64).is_anonymous() && !Flags(63).is_anonymous());
        assert!(Flags(0x800).is_channel_bound() && !Flags(0x7ff).is_channel_bound());
    }
}
