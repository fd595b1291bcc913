//! What the library hands out for a moment, and gets back.

use std::ptr;
use std::slice;

use zeroize::Zeroize as _;

use super::Failure;
use super::Library;
use super::ffi;
use super::ffi::Functions;
use super::status::is_complete;

/// A name of the library's.
pub(super) struct Name<'a> {
    pub(super) library: &'a Library,
    /// Null, or from the library; given back once, by `drop`.
    pub(super) handle: ffi::NameHandle,
}

impl Name<'_> {
    pub(super) fn display(&self) -> Result<Vec<u8>, Failure> {
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
pub(super) struct Filled<'a> {
    pub(super) functions: &'a Functions,
    pub(super) inner: ffi::Buffer,
}

impl Filled<'_> {
    pub(super) fn octets(&self) -> &[u8] {
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
pub(super) unsafe fn octets<'a>(at: *const u8, length: usize) -> &'a [u8] {
    if at.is_null() || length == 0 {
        return &[];
    }
    // SAFETY: the caller says so.
    unsafe { slice::from_raw_parts(at, length) }
}
