//! Credentials of the library: the keys of a service, or who logs on.

use std::ffi::CStr;
use std::ffi::c_int;
use std::ptr;
use std::sync::Arc;

use super::Failure;
use super::Library;
use super::ffi;
use super::kerberos;
use super::status::is_complete;

/// A credential that the library has made for us.
pub(super) struct Keys {
    pub(super) library: Arc<Library>,
    /// From `gss_acquire_cred_…`; given back once, by `drop`.
    pub(super) handle: ffi::CredentialHandle,
}

impl Keys {
    /// Those of a store for `usage`: any of a keytab's to accept with, those of
    /// its first principal to log on with. Reads files.
    ///
    /// # Errors
    ///
    /// [`Failure`]: there are none, or they cannot be read.
    pub(super) fn from_store(
        library: &Arc<Library>,
        store: &[(&CStr, &CStr)],
        usage: c_int,
    ) -> Result<Self, Failure> {
        let mut elements: Vec<ffi::KeyValue> = store
            .iter()
            .map(|(key, value)| ffi::KeyValue {
                key: key.as_ptr(),
                value: value.as_ptr(),
            })
            .collect();
        let values = ffi::KeyValueSet {
            count: u32::try_from(elements.len()).expect("two at most"),
            elements: elements.as_mut_ptr(),
        };
        let mut kerberos = kerberos();
        let mut mechanisms = ffi::OidSet::of(&mut kerberos);
        let (mut minor, mut handle) = (0, ptr::null_mut());
        // SAFETY: the name may be null. `mechanisms` and `values` describe arrays
        // of the lengths that they state, of which the library copies what it
        // keeps; texts end in NUL and outlive the call. `handle` begins as null
        // and is written. The two results that nobody wants may be null.
        let major = unsafe {
            (library.functions.acquire_cred_from)(
                &raw mut minor,
                ptr::null_mut(),
                ffi::INDEFINITE,
                &raw mut mechanisms,
                usage,
                &raw const values,
                &raw mut handle,
                ptr::null_mut(),
                ptr::null_mut(),
            )
        };
        Self::acquired(library, handle, major, minor)
    }

    /// What a call that acquires has come to. To be called on its thread.
    pub(super) fn acquired(
        library: &Arc<Library>,
        handle: ffi::CredentialHandle,
        major: u32,
        minor: u32,
    ) -> Result<Self, Failure> {
        // Made before the status is looked at: whatever came back goes back.
        let keys = Self {
            library: Arc::clone(library),
            handle,
        };
        if !is_complete(major) || handle.is_null() {
            return Err(library.failure(major, minor));
        }
        Ok(keys)
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        let mut minor = 0;
        // SAFETY: null, or a credential that nobody else has; the library sets
        // the handle to null. No context refers to it.
        unsafe {
            (self.library.functions.release_cred)(&raw mut minor, &raw mut self.handle);
        }
    }
}
