//! Logs on by Kerberos, with the system's library: from a password that a job
//! has, or as the service itself from a keytab (`transfer.keytab`).
//!
//! The library is loaded when it is first needed. Tickets stay in memory.

use std::ffi::CString;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::OnceLock;
use std::sync::PoisonError;

use tokio::sync::Semaphore;

use crate::bits::Credentials;
use crate::mechanism::ChannelBinding;
use crate::mechanism::Initiate;
use crate::mechanism::Next;
use crate::mechanism::SealError;
use crate::mechanism::Told;
use crate::mechanism::Unproven;
use crate::mechanism::gss;
use crate::mechanism::gss::Fault;
use crate::mechanism::gss::Initiation;
use crate::mechanism::gss::Key;
use crate::mechanism::gss::Library;
use crate::mechanism::gss::Principal;

/// The library, and the service's own keytab.
#[derive(Debug)]
pub(super) struct Kerberos {
    library: OnceLock<Option<Loaded>>,
    keytab: Option<CString>,
    /// Log-ons that may use a thread at a time.
    pub(super) turns: Arc<Semaphore>,
}

#[derive(Clone)]
struct Loaded(Arc<Library>);

/// Credentials of a job, and the principal that they are, once he is known.
pub(super) struct Held {
    /// As the job has them.
    pub(super) credentials: Credentials,
    principal: Mutex<Option<Arc<Mutex<Principal>>>>,
}

/// One log-on.
pub(super) struct KerberosLogOn {
    kerberos: Arc<Kerberos>,
    held: Arc<Held>,
    host: String,
    channel: Option<ChannelBinding>,
    initiation: Option<Initiation>,
    is_complete: bool,
}

impl Kerberos {
    /// With this keytab for jobs that log on as the service.
    pub(super) fn new(keytab: Option<&Path>) -> Self {
        let keytab = keytab.and_then(|path| {
            let name = [b"FILE:", path.as_os_str().as_bytes()].concat();
            CString::new(name).ok()
        });
        Self {
            library: OnceLock::new(),
            keytab,
            turns: Arc::new(Semaphore::new(TURNS)),
        }
    }

    /// Can a job log on as the service?
    pub(super) fn has_keytab(&self) -> bool {
        self.keytab.is_some()
    }

    fn library(&self) -> Result<&Arc<Library>, Unproven> {
        let loaded = self.library.get_or_init(|| {
            let library = Library::load(OsStr::new(LIBRARY));
            library.ok().map(Loaded)
        });
        let loaded = loaded.as_ref().map(|Loaded(library)| library);
        loaded.ok_or_else(|| unable("the library of Kerberos is not there (libgssapi-krb5-2)"))
    }

    fn principal(&self, credentials: &Credentials) -> Result<Principal, Unproven> {
        let library = self.library()?;
        if credentials.is_implicit() {
            let keytab = self.keytab.as_ref();
            let keytab = keytab.ok_or_else(|| unable("transfer.keytab names no keytab"))?;
            let key = Key::Keytab {
                keytab,
                tickets: TICKETS,
            };
            return library
                .principal(&key)
                .map_err(|failure| unproven(&failure, credentials));
        }
        let user = principal_name(credentials.user.reveal(), |user| {
            let full = library.full_name(user).ok()?;
            String::from_utf8(full).ok()
        });
        let user = user.ok_or_else(|| unable("the user is in no realm that is known here"))?;
        let key = Key::Password {
            user: &user,
            password: credentials.password.reveal(),
        };
        library
            .principal(&key)
            .map_err(|failure| unproven(&failure, credentials))
    }
}

impl Held {
    /// These.
    pub(super) fn new(credentials: Credentials) -> Self {
        Self {
            credentials,
            principal: Mutex::default(),
        }
    }

    fn principal(&self, kerberos: &Kerberos) -> Result<Arc<Mutex<Principal>>, Unproven> {
        let mut principal = self.lock();
        if let Some(principal) = &*principal {
            return Ok(Arc::clone(principal));
        }
        let made = Arc::new(Mutex::new(kerberos.principal(&self.credentials)?));
        *principal = Some(Arc::clone(&made));
        Ok(made)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Arc<Mutex<Principal>>>> {
        self.principal
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl KerberosLogOn {
    /// With these credentials, to the service `HTTP` of `host`.
    pub(super) fn new(
        kerberos: Arc<Kerberos>,
        held: Arc<Held>,
        host: String,
        channel: Option<ChannelBinding>,
    ) -> Self {
        Self {
            kerberos,
            held,
            host,
            channel,
            initiation: None,
            is_complete: false,
        }
    }

    fn begin(&mut self) -> Result<Told, Unproven> {
        let principal = self.held.principal(&self.kerberos)?;
        let channel = self.channel.as_ref().map(ChannelBinding::octets);
        let initiation = Initiation::new(principal, &self.host, channel);
        let mut initiation = initiation.ok_or_else(|| unable("the host has no good name"))?;
        let stepped = initiation.step(None).map_err(|failure| {
            // Whatever it was, the next log-on begins with a new one.
            *self.held.lock() = None;
            unproven(&failure, &self.held.credentials)
        })?;
        self.is_complete = !stepped.needs_more;
        self.initiation = Some(initiation);
        Ok(Told {
            token: Some(stepped.token),
            // The ticket is all that the server needs.
            next: Next::Nothing,
        })
    }

    fn context(&mut self) -> Result<&mut gss::Context, SealError> {
        let context = self.initiation.as_mut().and_then(Initiation::context);
        context.ok_or(SealError)
    }
}

impl Initiate for KerberosLogOn {
    fn step(&mut self, token: Option<&[u8]>) -> Result<Told, Unproven> {
        let Some(token) = token else {
            return self.begin();
        };
        let initiation = self.initiation.as_mut().filter(|_| !self.is_complete);
        let initiation = initiation.ok_or_else(|| wrong("a token too many"))?;
        let stepped = initiation
            .step(Some(token))
            .map_err(|failure| wrong(&shown(&failure.text, &self.held.credentials)))?;
        self.is_complete = !stepped.needs_more;
        Ok(Told {
            token: (!stepped.token.is_empty()).then_some(stepped.token),
            next: Next::Nothing,
        })
    }

    fn sign(&mut self, data: &[u8]) -> Result<Vec<u8>, SealError> {
        self.context()?.get_mic(data).map_err(|_| SealError)
    }

    fn verify(&mut self, data: &[u8], signature: &[u8]) -> Result<(), SealError> {
        let context = self.context()?;
        context.verify_mic(data, signature).map_err(|_| SealError)
    }
}

/// The principal of a user: `user@REALM` is one, `DOMAIN\user` is one of the
/// realm of that name, or of the default realm if its first part is that name
/// (`EXAMPLE` of `EXAMPLE.TEST`), `user` is one of the default realm. `complete`
/// adds the default realm.
fn principal_name(user: &str, complete: impl Fn(&str) -> Option<String>) -> Option<String> {
    if let Some((domain, name)) = user.split_once('\\') {
        // What else has a meaning to the library is no account of a domain.
        if name.contains(['\\', '@', '/']) {
            return None;
        }
        let full = complete(name);
        let realm = full.as_deref().and_then(|full| full.rsplit_once('@'));
        if let Some((_, realm)) = realm {
            let first = realm.split('.').next().unwrap_or(realm);
            if domain.eq_ignore_ascii_case(realm) || domain.eq_ignore_ascii_case(first) {
                return full;
            }
        }
        let is_realm = domain.contains('.');
        return is_realm.then(|| format!("{name}@{}", domain.to_uppercase()));
    }
    match user.rsplit_once('@') {
        Some((name, realm)) => Some(format!("{name}@{}", realm.to_uppercase())),
        None => complete(user),
    }
}

fn unproven(failure: &gss::Failure, credentials: &Credentials) -> Unproven {
    let text = shown(&failure.text, credentials);
    match failure.fault {
        Fault::Credentials => Unproven::Rejected(text),
        Fault::Kdc => Unproven::Later(text),
        Fault::Other => Unproven::Unable(text),
    }
}

/// The library's words without the user's name.
fn shown(text: &str, credentials: &Credentials) -> String {
    let user = credentials.user.reveal();
    let name = user.rsplit_once('\\').map_or(user, |(_, name)| name);
    let name = name.split_once('@').map_or(name, |(name, _)| name);
    if name.is_empty() {
        return text.to_owned();
    }
    text.replace(name, "…")
}

fn unable(why: &str) -> Unproven {
    Unproven::Unable(why.to_owned())
}

fn wrong(what: &str) -> Unproven {
    Unproven::WrongAnswer(what.to_owned())
}

impl std::fmt::Debug for Loaded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Library")
    }
}

/// By this name every MIT krb5 is found.
const LIBRARY: &str = "libgssapi_krb5.so.2";

/// Where the tickets of the service itself are kept, for all jobs.
const TICKETS: &std::ffi::CStr = c"MEMORY:bitsd-transfer";

/// Threads that may wait for a KDC.
const TURNS: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bits::AuthScheme;
    use crate::bits::AuthTarget;
    use crate::bits::Secret;

    #[test]
    fn the_forms_of_a_user_are_principals() {
        let complete = |user: &str| Some(format!("{user}@EXAMPLE.TEST"));
        for (user, principal) in [
            ("alice", Some("alice@EXAMPLE.TEST")),
            ("alice@other.test", Some("alice@OTHER.TEST")),
            ("EXAMPLE\\alice", Some("alice@EXAMPLE.TEST")),
            ("example.test\\alice", Some("alice@EXAMPLE.TEST")),
            ("other.test\\alice", Some("alice@OTHER.TEST")),
            ("OTHER\\alice", None),
            ("EXAMPLE\\alice@OTHER.TEST", None),
            ("EXAMPLE\\a\\b", None),
        ] {
            let found = principal_name(user, complete);
            assert_eq!(found.as_deref(), principal, "{user}");
        }
        assert_eq!(principal_name("alice", |_| None), None);
    }

    #[test]
    fn the_words_of_the_library_do_not_name_the_user() {
        let credentials = Credentials {
            target: AuthTarget::Server,
            scheme: AuthScheme::Negotiate,
            user: Secret::new("EXAMPLE\\alice".to_owned()),
            password: Secret::new("secret".to_owned()),
        };
        let text = "Client 'alice@EXAMPLE.TEST' not found in Kerberos database";
        assert_eq!(
            shown(text, &credentials),
            "Client '…@EXAMPLE.TEST' not found in Kerberos database"
        );
    }
}
