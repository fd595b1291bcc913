//! The C declarations of GSS-API, as far as they are used: RFC 2744 annex A,
//! and MIT's `gssapi_ext.h` for credential stores, passwords and message
//! pieces.

use std::ffi::CStr;
use std::ffi::OsStr;
use std::ffi::c_char;
use std::ffi::c_int;
use std::ffi::c_void;
use std::ptr;

/// `OM_uint32`.
pub(super) type Status = u32;

/// `gss_cred_id_t`.
pub(super) type CredentialHandle = *mut c_void;

/// `gss_ctx_id_t`.
pub(super) type ContextHandle = *mut c_void;

/// `gss_name_t`.
pub(super) type NameHandle = *mut c_void;

/// `gss_buffer_desc`.
#[repr(C)]
pub(super) struct Buffer {
    pub(super) length: usize,
    pub(super) value: *mut c_void,
}

impl Buffer {
    /// `GSS_C_EMPTY_BUFFER`.
    pub(super) const EMPTY: Self = Self {
        length: 0,
        value: ptr::null_mut(),
    };

    /// One that the library only reads, though C has no word for it.
    pub(super) fn of(octets: &[u8]) -> Self {
        Self {
            length: octets.len(),
            value: octets.as_ptr().cast_mut().cast(),
        }
    }

    /// One that the library writes to.
    pub(super) fn of_mut(octets: &mut [u8]) -> Self {
        Self {
            length: octets.len(),
            value: octets.as_mut_ptr().cast(),
        }
    }
}

/// `gss_OID_desc`.
#[repr(C)]
pub(super) struct Oid {
    pub(super) length: u32,
    pub(super) elements: *mut c_void,
}

/// `gss_OID_set_desc`.
#[repr(C)]
pub(super) struct OidSet {
    count: usize,
    elements: *mut Oid,
}

impl OidSet {
    /// A set of one, which must outlive it.
    pub(super) fn of(one: &mut Oid) -> Self {
        Self {
            count: 1,
            elements: one,
        }
    }
}

/// `struct gss_channel_bindings_struct`.
#[repr(C)]
pub(super) struct ChannelBindings {
    pub(super) initiator_addrtype: u32,
    pub(super) initiator_address: Buffer,
    pub(super) acceptor_addrtype: u32,
    pub(super) acceptor_address: Buffer,
    pub(super) application_data: Buffer,
}

/// `gss_iov_buffer_desc`.
#[repr(C)]
pub(super) struct Piece {
    pub(super) kind: u32,
    pub(super) buffer: Buffer,
}

/// `gss_key_value_element_desc`.
#[repr(C)]
pub(super) struct KeyValue {
    pub(super) key: *const c_char,
    pub(super) value: *const c_char,
}

/// `gss_key_value_set_desc`.
#[repr(C)]
pub(super) struct KeyValueSet {
    pub(super) count: u32,
    pub(super) elements: *mut KeyValue,
}

/// `GSS_C_INITIATE`.
pub(super) const INITIATE: c_int = 1;
/// `GSS_C_ACCEPT`.
pub(super) const ACCEPT: c_int = 2;
/// `GSS_C_INDEFINITE`.
pub(super) const INDEFINITE: u32 = u32::MAX;
/// `GSS_C_QOP_DEFAULT`.
pub(super) const DEFAULT_QOP: u32 = 0;
/// `GSS_C_AF_UNSPEC`.
pub(super) const UNSPECIFIED: u32 = 0;
/// `GSS_C_GSS_CODE`.
pub(super) const GSS_CODE: c_int = 1;
/// `GSS_C_MECH_CODE`.
pub(super) const MECH_CODE: c_int = 2;
/// `GSS_IOV_BUFFER_TYPE_DATA`.
pub(super) const DATA: u32 = 1;
/// `GSS_IOV_BUFFER_TYPE_HEADER`.
pub(super) const HEADER: u32 = 2;
/// `GSS_IOV_BUFFER_TYPE_PADDING`.
pub(super) const PADDING: u32 = 9;

/// The functions, found in the library.
pub(super) struct Functions {
    pub(super) acquire_cred_from: unsafe extern "C" fn(
        minor: *mut Status,
        desired_name: NameHandle,
        time: u32,
        desired_mechanisms: *mut OidSet,
        usage: c_int,
        store: *const KeyValueSet,
        credential: *mut CredentialHandle,
        actual_mechanisms: *mut *mut OidSet,
        actual_time: *mut u32,
    ) -> Status,
    pub(super) acquire_cred_with_password: unsafe extern "C" fn(
        minor: *mut Status,
        desired_name: NameHandle,
        password: *mut Buffer,
        time: u32,
        desired_mechanisms: *mut OidSet,
        usage: c_int,
        credential: *mut CredentialHandle,
        actual_mechanisms: *mut *mut OidSet,
        actual_time: *mut u32,
    ) -> Status,
    pub(super) release_cred:
        unsafe extern "C" fn(minor: *mut Status, credential: *mut CredentialHandle) -> Status,
    pub(super) accept_sec_context: unsafe extern "C" fn(
        minor: *mut Status,
        context: *mut ContextHandle,
        credential: CredentialHandle,
        token: *mut Buffer,
        bindings: *mut ChannelBindings,
        source: *mut NameHandle,
        mechanism: *mut *mut Oid,
        answer: *mut Buffer,
        flags: *mut u32,
        time: *mut u32,
        delegated: *mut CredentialHandle,
    ) -> Status,
    pub(super) init_sec_context: unsafe extern "C" fn(
        minor: *mut Status,
        credential: CredentialHandle,
        context: *mut ContextHandle,
        target: NameHandle,
        mechanism: *mut Oid,
        wanted: u32,
        time: u32,
        bindings: *mut ChannelBindings,
        token: *mut Buffer,
        actual_mechanism: *mut *mut Oid,
        answer: *mut Buffer,
        flags: *mut u32,
        actual_time: *mut u32,
    ) -> Status,
    pub(super) delete_sec_context: unsafe extern "C" fn(
        minor: *mut Status,
        context: *mut ContextHandle,
        token: *mut Buffer,
    ) -> Status,
    pub(super) inquire_context: unsafe extern "C" fn(
        minor: *mut Status,
        context: ContextHandle,
        source: *mut NameHandle,
        target: *mut NameHandle,
        time: *mut u32,
        mechanism: *mut *mut Oid,
        flags: *mut u32,
        is_ours: *mut c_int,
        is_open: *mut c_int,
    ) -> Status,
    pub(super) import_name: unsafe extern "C" fn(
        minor: *mut Status,
        text: *mut Buffer,
        kind: *mut Oid,
        name: *mut NameHandle,
    ) -> Status,
    pub(super) canonicalize_name: unsafe extern "C" fn(
        minor: *mut Status,
        name: NameHandle,
        mechanism: *mut Oid,
        canonical: *mut NameHandle,
    ) -> Status,
    pub(super) display_name: unsafe extern "C" fn(
        minor: *mut Status,
        name: NameHandle,
        text: *mut Buffer,
        kind: *mut *mut Oid,
    ) -> Status,
    pub(super) release_name:
        unsafe extern "C" fn(minor: *mut Status, name: *mut NameHandle) -> Status,
    pub(super) wrap_iov_length: unsafe extern "C" fn(
        minor: *mut Status,
        context: ContextHandle,
        wants_encryption: c_int,
        qop: u32,
        is_encrypted: *mut c_int,
        pieces: *mut Piece,
        count: c_int,
    ) -> Status,
    pub(super) wrap_iov: unsafe extern "C" fn(
        minor: *mut Status,
        context: ContextHandle,
        wants_encryption: c_int,
        qop: u32,
        is_encrypted: *mut c_int,
        pieces: *mut Piece,
        count: c_int,
    ) -> Status,
    pub(super) unwrap: unsafe extern "C" fn(
        minor: *mut Status,
        context: ContextHandle,
        message: *mut Buffer,
        plain: *mut Buffer,
        is_encrypted: *mut c_int,
        qop: *mut u32,
    ) -> Status,
    pub(super) get_mic: unsafe extern "C" fn(
        minor: *mut Status,
        context: ContextHandle,
        qop: u32,
        data: *mut Buffer,
        signature: *mut Buffer,
    ) -> Status,
    pub(super) verify_mic: unsafe extern "C" fn(
        minor: *mut Status,
        context: ContextHandle,
        data: *mut Buffer,
        signature: *mut Buffer,
        qop: *mut u32,
    ) -> Status,
    pub(super) display_status: unsafe extern "C" fn(
        minor: *mut Status,
        status: Status,
        kind: c_int,
        mechanism: *mut Oid,
        place: *mut u32,
        text: *mut Buffer,
    ) -> Status,
    pub(super) release_buffer:
        unsafe extern "C" fn(minor: *mut Status, buffer: *mut Buffer) -> Status,
}

impl Functions {
    /// Loads the library for as long as the process lives.
    ///
    /// # Errors
    ///
    /// It is not there, or lacks a function.
    pub(super) fn load(name: &OsStr) -> Result<Self, libloading::Error> {
        // SAFETY: loading runs the initialisers of the library and of those
        // that it needs. It is the system's own, as any program that is linked
        // with it has it; they have no conditions for the caller.
        let library = unsafe { libloading::Library::new(name) }?;
        let functions = Self {
            acquire_cred_from: symbol(&library, c"gss_acquire_cred_from")?,
            acquire_cred_with_password: symbol(&library, c"gss_acquire_cred_with_password")?,
            release_cred: symbol(&library, c"gss_release_cred")?,
            accept_sec_context: symbol(&library, c"gss_accept_sec_context")?,
            init_sec_context: symbol(&library, c"gss_init_sec_context")?,
            delete_sec_context: symbol(&library, c"gss_delete_sec_context")?,
            inquire_context: symbol(&library, c"gss_inquire_context")?,
            import_name: symbol(&library, c"gss_import_name")?,
            canonicalize_name: symbol(&library, c"gss_canonicalize_name")?,
            display_name: symbol(&library, c"gss_display_name")?,
            release_name: symbol(&library, c"gss_release_name")?,
            wrap_iov_length: symbol(&library, c"gss_wrap_iov_length")?,
            wrap_iov: symbol(&library, c"gss_wrap_iov")?,
            unwrap: symbol(&library, c"gss_unwrap")?,
            get_mic: symbol(&library, c"gss_get_mic")?,
            verify_mic: symbol(&library, c"gss_verify_mic")?,
            display_status: symbol(&library, c"gss_display_status")?,
            release_buffer: symbol(&library, c"gss_release_buffer")?,
        };
        // The pointers above hold only while the library is there, and it has
        // data of its own per thread: it is never unloaded.
        std::mem::forget(library);
        Ok(functions)
    }
}

/// A function of the library, as a pointer of type `F`: that of the field it is
/// put into.
fn symbol<F: Copy>(library: &libloading::Library, name: &CStr) -> Result<F, libloading::Error> {
    // SAFETY: `F` is one of the types above, each of which is the function's
    // declaration in the headers of the library. The pointer is copied out of
    // the symbol; `load` never unloads the library once all are found, and
    // drops the pointers with it otherwise.
    unsafe { library.get::<F>(name) }.map(|symbol| *symbol)
}
