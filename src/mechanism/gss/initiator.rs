//! The client's side: credentials by password or keytab, and log-ons with them.

use std::ffi::CStr;
use std::ffi::CString;
use std::ptr;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;

use super::Context;
use super::Failure;
use super::Library;
use super::ffi;
use super::held::Name;
use super::kerberos;
use super::keys::Keys;
use super::status::is_complete;
use super::status::needs_more;

/// Who logs on. The library fetches his tickets when they are first needed, and
/// keeps them in memory.
pub(crate) struct Principal(Keys);

// SAFETY: the library ties a credential to no thread, and locks it by itself.
// The type is not `Sync`.
unsafe impl Send for Principal {}

/// From where a principal has his key.
pub(crate) enum Key<'a> {
    /// His password.
    Password {
        /// `user` of the default realm, or `user@REALM`.
        user: &'a str,
        /// In UTF-8.
        password: &'a str,
    },
    /// The first principal of a keytab.
    Keytab {
        /// `FILE:/etc/bitsd/client.keytab`.
        keytab: &'a CStr,
        /// Where his tickets are kept: `MEMORY:name`.
        tickets: &'a CStr,
    },
}

/// One log-on.
pub(crate) struct Initiation {
    principal: Arc<Mutex<Principal>>,
    /// `HTTP@host`.
    service: CString,
    /// What names the TLS connection.
    binding: Option<Vec<u8>>,
    context: Option<Context>,
}

/// What a step came to.
pub(crate) struct Stepped {
    /// For the server; empty: nothing.
    pub(crate) token: Vec<u8>,
    /// Is the server to answer?
    pub(crate) needs_more: bool,
}

impl Library {
    /// Makes a principal of a key. Asks nobody yet; reads files.
    ///
    /// # Errors
    ///
    /// [`Failure`]: the name is none, the keytab cannot be read.
    pub(crate) fn principal(self: &Arc<Self>, key: &Key<'_>) -> Result<Principal, Failure> {
        match key {
            Key::Password { user, password } => self.by_password(user, password),
            Key::Keytab { keytab, tickets } => {
                let elements = [(c"client_keytab", *keytab), (c"ccache", *tickets)];
                Keys::from_store(self, &elements, ffi::INITIATE).map(Principal)
            }
        }
    }

    /// The name of a user, as the library completes it: with the default realm.
    ///
    /// # Errors
    ///
    /// [`Failure`].
    pub(crate) fn full_name(&self, user: &str) -> Result<Vec<u8>, Failure> {
        let name = self.name(user.as_bytes(), USER_NAME)?;
        let mut full = Name {
            library: self,
            handle: ptr::null_mut(),
        };
        let mut kerberos = kerberos();
        let mut minor = 0;
        // SAFETY: the name is ours until `drop`, `kerberos` lives through the
        // call. `full` is written, and goes back by its `Drop`.
        let major = unsafe {
            (self.functions.canonicalize_name)(
                &raw mut minor,
                name.handle,
                &raw mut kerberos,
                &raw mut full.handle,
            )
        };
        if !is_complete(major) {
            return Err(self.failure(major, minor));
        }
        full.display()
    }

    fn by_password(self: &Arc<Self>, user: &str, password: &str) -> Result<Principal, Failure> {
        let name = self.name(user.as_bytes(), USER_NAME)?;
        let mut password = ffi::Buffer::of(password.as_bytes());
        let mut kerberos = kerberos();
        let mut mechanisms = ffi::OidSet::of(&mut kerberos);
        let (mut minor, mut handle) = (0, ptr::null_mut());
        // SAFETY: the name is ours until `drop`. `password` describes a slice
        // that outlives the call and is only read; the library keeps a copy
        // that it overwrites. `mechanisms` describes one element. `handle`
        // begins as null and is written. Results that nobody wants may be null.
        let major = unsafe {
            (self.functions.acquire_cred_with_password)(
                &raw mut minor,
                name.handle,
                &raw mut password,
                ffi::INDEFINITE,
                &raw mut mechanisms,
                ffi::INITIATE,
                &raw mut handle,
                ptr::null_mut(),
                ptr::null_mut(),
            )
        };
        Keys::acquired(self, handle, major, minor).map(Principal)
    }

    /// A name of this type.
    fn name(&self, text: &[u8], kind: &'static [u8]) -> Result<Name<'_>, Failure> {
        let mut text = ffi::Buffer::of(text);
        let mut kind = ffi::Oid {
            length: u32::try_from(kind.len()).expect("ten at most"),
            elements: kind.as_ptr().cast_mut().cast(),
        };
        let mut name = Name {
            library: self,
            handle: ptr::null_mut(),
        };
        let mut minor = 0;
        // SAFETY: `text` and `kind` describe slices that outlive the call and
        // are only read. `name` is written, and goes back by its `Drop`.
        let major = unsafe {
            (self.functions.import_name)(
                &raw mut minor,
                &raw mut text,
                &raw mut kind,
                &raw mut name.handle,
            )
        };
        if !is_complete(major) || name.handle.is_null() {
            return Err(self.failure(major, minor));
        }
        Ok(name)
    }
}

impl Initiation {
    /// To the service `HTTP` of `host`, over the TLS connection that `binding`
    /// names, if there is one. None: no host has this name.
    pub(crate) fn new(
        principal: Arc<Mutex<Principal>>,
        host: &str,
        binding: Option<&[u8]>,
    ) -> Option<Self> {
        Some(Self {
            principal,
            service: CString::new(format!("HTTP@{host}")).ok()?,
            binding: binding.map(<[u8]>::to_vec),
            context: None,
        })
    }

    /// Takes the server's token, none at the beginning. Asks the KDC for
    /// tickets, which takes as long as that lets us wait.
    ///
    /// # Errors
    ///
    /// [`Failure`]; the log-on is over.
    pub(crate) fn step(&mut self, token: Option<&[u8]>) -> Result<Stepped, Failure> {
        let principal = Arc::clone(&self.principal);
        let principal = principal.lock().unwrap_or_else(PoisonError::into_inner);
        let Principal(Keys {
            library,
            handle: us,
        }) = &*principal;
        let target = library.name(self.service.as_bytes(), SERVICE_NAME)?;
        let mut token = token.map(ffi::Buffer::of);
        let token = token.as_mut().map_or(ptr::null_mut(), ptr::from_mut);
        let mut bindings = self.binding.as_deref().map(|data| ffi::ChannelBindings {
            initiator_addrtype: ffi::UNSPECIFIED,
            initiator_address: ffi::Buffer::EMPTY,
            acceptor_addrtype: ffi::UNSPECIFIED,
            acceptor_address: ffi::Buffer::EMPTY,
            application_data: ffi::Buffer::of(data),
        });
        let flags = if bindings.is_some() {
            WANTED | CHANNEL_BOUND
        } else {
            WANTED
        };
        let bindings = bindings.as_mut().map_or(ptr::null_mut(), ptr::from_mut);
        let mut kerberos = kerberos();
        let mut answer = library.buffer();
        let mut minor = 0;
        // Null asks for a new context. It is taken out of its owner for the
        // call, since the library may give it back by itself.
        let mut handle = match self.context.take() {
            Some(mut context) => std::mem::replace(&mut context.handle, ptr::null_mut()),
            None => ptr::null_mut(),
        };
        // SAFETY: the credential is ours until `drop`, and locked. `handle` is
        // null or a context that nobody else has; it is written. The target is
        // ours until `drop`. `kerberos`, `token` and `bindings` (null: none)
        // describe what outlives the call and is only read. `answer` is empty,
        // is written, and goes back by its `Drop`. Results that nobody wants
        // may be null.
        let major = unsafe {
            (library.functions.init_sec_context)(
                &raw mut minor,
                *us,
                &raw mut handle,
                target.handle,
                &raw mut kerberos,
                flags,
                0,
                bindings,
                token,
                ptr::null_mut(),
                &raw mut answer.inner,
                ptr::null_mut(),
                ptr::null_mut(),
            )
        };
        // Asked for first: what follows may call the library again.
        let needs_more = needs_more(major);
        let failure = (!is_complete(major) && !needs_more).then(|| library.failure(major, minor));
        self.context = (!handle.is_null()).then(|| Context {
            library: Arc::clone(library),
            handle,
        });
        match failure {
            Some(failure) => Err(failure),
            None => Ok(Stepped {
                token: answer.octets().to_vec(),
                needs_more,
            }),
        }
    }

    /// The keys of both sides, as soon as there are any.
    pub(crate) fn context(&mut self) -> Option<&mut Context> {
        self.context.as_mut()
    }
}

/// `GSS_C_NT_USER_NAME`, 1.2.840.113554.1.2.1.1.
const USER_NAME: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x12, 0x01, 0x02, 0x01, 0x01];

/// `GSS_C_NT_HOSTBASED_SERVICE`, 1.2.840.113554.1.2.1.4.
const SERVICE_NAME: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x12, 0x01, 0x02, 0x01, 0x04];

/// The server proves who it is too; what is sent cannot be sent again; messages
/// can be signed. Nothing is delegated.
const WANTED: u32 = 2 | 4 | 8 | 32;

/// `GSS_C_CHANNEL_BOUND_FLAG`: the server may insist on the binding.
const CHANNEL_BOUND: u32 = 0x800;
