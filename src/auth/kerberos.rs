//! Kerberos (RFC 4120, RFC 4121) by the system's library and a keytab.
//!
//! A log-on is one token each way. The library opens the ticket with a key of
//! the keytab, checks the times and whether it has seen the authenticator
//! before; here it is decided whether the ticket is for a service of ours,
//! whether it is bound to the connection, and which account it stands for. The
//! keytab is read for each log-on, so that new keys count at once. All of it
//! reads and writes files: it runs on threads for that, so many at a time.
//!
//! Which kinds of keys are strong enough is left to the library
//! (`permitted_enctypes` in `krb5.conf`), but messages are sealed with those of
//! RFC 4121 only, which are AES.

use std::ffi::CString;
use std::ffi::OsStr;
use std::fmt;
use std::net::SocketAddr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::time::Instant;
use tracing::debug;
use tracing::error;
use tracing::info;
use tracing::warn;
use zeroize::Zeroizing;

use super::AUDIT;
use super::AuthError;
use super::Channel;
use super::ChannelBinding;
use super::Parts;
use super::Peer;
use super::Seal;
use super::SealError;
use super::Sealed;
use super::SecretFileError;
use super::Within;
use super::binding;
use super::exchange::Exchange;
use super::exchange::Leg;
use super::exchange::Legs;
use super::exchange::Proven;
use super::exchange::Start;
use super::read_secret;
use crate::config::AccessSettings;
use crate::config::ChannelBindingLevel;
use crate::config::Current;
use crate::mechanism::Named;
use crate::mechanism::SecurityContext;
use crate::mechanism::gss;
use crate::mechanism::gss::Reason;
use crate::telemetry::line_budget::LineBudget;

mod keytab;
mod ticket;
mod turns;

use turns::Turns;

/// Logs on by Kerberos with the keys of a keytab.
pub(crate) struct Kerberos {
    shared: Arc<Shared>,
}

/// Why the service does not start.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KerberosError {
    /// The keytab cannot be read, or others can read it.
    #[error("access.keytab cannot be used")]
    Keytab(#[source] SecretFileError),
    /// The library finds no keys in it, or its own configuration is wrong.
    #[error("access.keytab: no keys in {path}: {reason}")]
    NoKeys {
        /// The keytab.
        path: PathBuf,
        /// In the library's words.
        reason: String,
    },
}

/// What every log-on needs.
struct Shared {
    library: Arc<gss::Library>,
    keytab: PathBuf,
    store: gss::Store,
    settings: Arc<Current>,
    turns: Turns,
    /// Lines that clients can have written to the log.
    lines: LineBudget,
}

impl Kerberos {
    /// Loads the library, and sees whether the keytab that the settings name
    /// has keys. Without a keytab or a library there is no Kerberos, and the
    /// log says so.
    ///
    /// # Errors
    ///
    /// [`KerberosError`]: a keytab is named, and cannot be used.
    pub(crate) fn load(settings: &Arc<Current>) -> Result<Option<Arc<Self>>, KerberosError> {
        Self::load_from(OsStr::new(LIBRARY), settings)
    }

    fn load_from(
        library: &OsStr,
        settings: &Arc<Current>,
    ) -> Result<Option<Arc<Self>>, KerberosError> {
        let now = settings.get();
        let Some(path) = &now.access.keytab else {
            if now.access.kerberos {
                info!("Kerberos not offered: access.keytab names no keytab");
            }
            return Ok(None);
        };
        let keys = read_keytab(path).map_err(KerberosError::Keytab)?;
        let library = match gss::Library::load(library) {
            Ok(library) => library,
            Err(cause) => {
                let cause = &cause as &dyn std::error::Error;
                warn!(
                    cause,
                    "Kerberos not offered: the library is not there (Debian: libgssapi-krb5-2)"
                );
                return Ok(None);
            }
        };
        let replay_cache = now.service.state_directory.join(REPLAY_CACHE);
        let store = find_keys(&library, path, &replay_cache)?;
        say_whose(path, &keys, store.replay_cache.is_some());
        let shared = Arc::new(Shared {
            library,
            keytab: path.clone(),
            store,
            settings: Arc::clone(settings),
            turns: Turns::new(RUNNING, now.wsman.max_waiting_logons),
            lines: LineBudget::default(),
        });
        Ok(Some(Arc::new(Self { shared })))
    }
}

impl fmt::Debug for Kerberos {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kerberos")
            .field("keytab", &self.shared.keytab)
            .finish_non_exhaustive()
    }
}

impl Start for Kerberos {
    fn start(&self, peer: &Peer) -> Box<dyn Exchange> {
        Box::new(Attempt {
            shared: Arc::clone(&self.shared),
            peer: Some(peer.clone()),
        })
    }

    fn is_available(&self, access: &AccessSettings) -> bool {
        access.kerberos
    }
}

/// One client's log-on.
struct Attempt {
    shared: Arc<Shared>,
    /// Until his token has come: there is only one.
    peer: Option<Peer>,
}

impl Exchange for Attempt {
    /// When the future is dropped, a check that has begun runs on.
    fn step<'a>(&'a mut self, token: &'a [u8]) -> Legs<'a> {
        Box::pin(async move {
            let peer = self.peer.take().ok_or(AuthError::Malformed)?;
            let proven = self.shared.log_on(peer, token).await?;
            Ok(Leg::Done(proven))
        })
    }

    fn claimed(&self) -> Option<&str> {
        // The name is known only once the ticket is open.
        None
    }
}

impl Shared {
    /// Finds a thread for it.
    async fn log_on(self: &Arc<Self>, peer: Peer, token: &[u8]) -> Result<Proven, AuthError> {
        self.is_for_us(peer.address, token)?;
        let turn = self.turns.take().await?;
        let (shared, token) = (Arc::clone(self), token.to_vec());
        let accepted = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            shared.accept(&peer, &token)
        });
        // A panic of the task is reported by the runtime.
        accepted.await.unwrap_or(Err(AuthError::Unavailable))
    }

    /// Looks at what the token says in clear, before anything is read for it.
    fn is_for_us(&self, address: SocketAddr, token: &[u8]) -> Result<(), AuthError> {
        let service = ticket::service(token).ok_or(AuthError::Malformed)?;
        if is_service(service) {
            return Ok(());
        }
        if self.may_log() {
            let service: String = service.chars().take(MAX_SHOWN).collect();
            warn!(target: AUDIT, %address, service, "Kerberos ticket is for another service");
        }
        Err(AuthError::Refused)
    }

    /// Opens the ticket, and decides.
    fn accept(&self, peer: &Peer, token: &[u8]) -> Result<Proven, AuthError> {
        read_keytab(&self.keytab).map_err(|cause| self.unusable(&cause))?;
        let keys = self.library.credential(&self.store);
        let keys = keys.map_err(|cause| self.unusable(&cause))?;
        let level = self.settings.get().access.channel_binding;
        let expected = expected_binding(level, &peer.channel);
        let accepted = keys.accept(token, expected.map(ChannelBinding::octets));
        let mut accepted = match accepted {
            Ok(accepted) => accepted,
            Err(failure) => return Err(self.failed(peer, level, &failure)),
        };
        let parties = accepted.context.parties();
        let parties = parties.map_err(|failure| self.failed(peer, level, &failure))?;
        let account = account(&parties, accepted.flags).map_err(|refusal| {
            if self.may_log() {
                let (address, reason) = (peer.address, refusal.0);
                warn!(target: AUDIT, %address, reason, "Kerberos log-on refused");
            }
            AuthError::Refused
        })?;
        let named = if accepted.flags.is_channel_bound() {
            Named::This
        } else {
            Named::Nothing
        };
        let bound = binding::judge(level, &peer.channel, named)?;
        let token = (!accepted.answer.is_empty()).then_some(accepted.answer);
        Ok(Proven {
            account,
            token,
            bound,
            context: Box::new(Keys {
                context: accepted.context,
                protects_messages: accepted.flags.protects_messages(),
                last: None,
            }),
        })
    }

    /// What a failure of the library is to the client; the log has its words.
    fn failed(&self, peer: &Peer, level: ChannelBindingLevel, failure: &gss::Failure) -> AuthError {
        let (address, reason) = (peer.address, failure.text.as_str());
        match failure.reason {
            Reason::WrongBinding => match binding::judge(level, &peer.channel, Named::Other) {
                Err(error) => error,
                // No binding was asked for, so the library knows none to be wrong.
                Ok(_) => AuthError::Refused,
            },
            Reason::Defective => {
                debug!(%address, reason, "No Kerberos token");
                AuthError::Malformed
            }
            Reason::Unusable => self.unusable(failure),
            Reason::Refused => {
                if self.may_log() {
                    warn!(target: AUDIT, %address, reason, "Kerberos log-on refused");
                }
                AuthError::Refused
            }
        }
    }

    /// The host is not as it must be.
    fn unusable(&self, cause: &(dyn std::error::Error + 'static)) -> AuthError {
        if self.may_log() {
            let keytab = self.keytab.display();
            error!(%keytab, cause, "Kerberos cannot be used");
        }
        AuthError::Unavailable
    }

    fn may_log(&self) -> bool {
        self.lines.take(Instant::now())
    }
}

/// Keys of a Kerberos session.
struct Keys {
    context: gss::Context,
    /// The client wants to encrypt, and sign.
    protects_messages: bool,
    /// Number of the last message.
    last: Option<u64>,
}

impl Seal for Keys {
    fn mechanism(&self) -> Option<Within> {
        Some(Within::Kerberos)
    }

    fn seal(&mut self, plain: &[u8]) -> Result<Sealed, SealError> {
        if !self.protects_messages {
            return Err(SealError);
        }
        let sealed = self.context.wrap(plain).map_err(|cause| lost(&cause))?;
        // INVARIANT: what goes out is as strong as what may come in.
        number(&sealed.octets).map_or(Err(SealError), |_| Ok(sealed))
    }

    fn open(&mut self, message: &[u8]) -> Result<Vec<u8>, SealError> {
        // The library looks for repeated messages only if the client has asked
        // for it at log-on; here they are never taken. The number is not yet
        // proved: it is by `unwrap`.
        let number = number(message).ok_or(SealError)?;
        if !self.protects_messages || self.last.is_some_and(|last| number <= last) {
            return Err(SealError);
        }
        let plain = self.context.unwrap(message).map_err(|cause| lost(&cause))?;
        self.last = Some(number);
        Ok(plain)
    }

    fn parts(&self) -> Parts {
        Parts::Whole
    }
}

impl SecurityContext for Keys {
    fn sign(&mut self, data: &[u8]) -> Result<Vec<u8>, SealError> {
        self.context.get_mic(data).map_err(|cause| lost(&cause))
    }

    fn verify(&mut self, data: &[u8], signature: &[u8]) -> Result<(), SealError> {
        let verified = self.context.verify_mic(data, signature);
        verified.map_err(|cause| lost(&cause))
    }
}

/// The context is of no more use; the log says why, if somebody wants to know.
fn lost(cause: &gss::Failure) -> SealError {
    debug!(%cause, "Kerberos message refused");
    SealError
}

/// The number of an encrypted message of RFC 4121 4.2.6.2. Older kinds of
/// messages (DES, RC4) begin otherwise.
fn number(message: &[u8]) -> Option<u64> {
    const TOKEN: [u8; 2] = [5, 4];
    const SEALED: u8 = 2;
    let header = message.first_chunk::<16>()?;
    let number = header.last_chunk::<8>()?;
    (header.starts_with(&TOKEN) && header[2] & SEALED != 0).then(|| u64::from_be_bytes(*number))
}

/// What a client must name, if it names any channel.
fn expected_binding(level: ChannelBindingLevel, channel: &Channel) -> Option<&ChannelBinding> {
    match (level, channel) {
        (ChannelBindingLevel::None, _) | (_, Channel::Plain) => None,
        (ChannelBindingLevel::Relaxed | ChannelBindingLevel::Strict, Channel::Tls(binding)) => {
            Some(binding)
        }
    }
}

/// Why a good ticket lets nobody in.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Refusal(&'static str);

/// The account that a good ticket stands for.
fn account(parties: &gss::Parties, flags: gss::Flags) -> Result<Arc<str>, Refusal> {
    if parties.mechanism != gss::KERBEROS {
        return Err(Refusal("the mechanism is not Kerberos"));
    }
    if !str::from_utf8(&parties.service).is_ok_and(is_key_of_a_service) {
        return Err(Refusal("the key is that of another service"));
    }
    if flags.is_anonymous() {
        return Err(Refusal("the client is anonymous"));
    }
    account_name(&parties.client)
}

/// The name of an account out of that of a principal, `alice@EXAMPLE.TEST`.
fn account_name(principal: &[u8]) -> Result<Arc<str>, Refusal> {
    let name = str::from_utf8(principal).map_err(|_| Refusal("the client's name is no text"))?;
    // Some versions of the library count the NUL at the end.
    let name = name.strip_suffix('\0').unwrap_or(name);
    let parts = name.rsplit_once('@');
    let is_whole = parts.is_some_and(|(name, realm)| !name.is_empty() && !realm.is_empty());
    // A sign behind `\` is part of what it stands in: the realm `X@R` of
    // somebody else is written `X\@R`, and must not end in one of the lists.
    let has_own_realm = parts.is_some_and(|(name, realm)| {
        let quotes = name.len() - name.trim_end_matches('\\').len();
        quotes % 2 == 0 && !realm.contains('\\')
    });
    if !is_whole || !has_own_realm || name.len() > MAX_ACCOUNT || name.chars().any(char::is_control)
    {
        return Err(Refusal("the client's name is no account"));
    }
    // RFC 6111: names that everybody may have, WELLKNOWN/ANONYMOUS above all.
    if name.starts_with("WELLKNOWN/") || name.contains("@WELLKNOWN:") {
        return Err(Refusal("the client is anonymous"));
    }
    Ok(Arc::from(name))
}

/// Holds for the services whose tickets are for us: clients write the first
/// part of the name in any case.
fn is_service(name: &str) -> bool {
    SERVICES
        .iter()
        .any(|service| service.eq_ignore_ascii_case(name))
}

/// Holds when a ticket for us may be under the key of this principal: one of
/// our services, or an account itself, whose services share its key (`HOST$` of
/// a machine in Active Directory). The claim in the ticket counts then.
fn is_key_of_a_service(principal: &str) -> bool {
    let name = principal
        .rsplit_once('@')
        .map_or(principal, |(name, _)| name);
    match name.split_once('/') {
        Some((service, _)) => is_service(service) || service == RESTRICTED,
        None => !name.is_empty(),
    }
}

/// The keytab, if the service can read it, and nobody else.
fn read_keytab(path: &Path) -> Result<Zeroizing<Vec<u8>>, SecretFileError> {
    let (keys, _) = read_secret(path, MAX_KEYTAB)?;
    Ok(Zeroizing::new(keys))
}

/// Sees whether there are keys in the keytab, and whether the library takes a
/// replay cache at a place of ours (MIT krb5 1.18): the folder for temporary
/// files, where it keeps its own, need not be there, nor outlive a restart.
fn find_keys(
    library: &Arc<gss::Library>,
    keytab: &Path,
    replay_cache: &Path,
) -> Result<gss::Store, KerberosError> {
    let unusable = |reason: String| KerberosError::NoKeys {
        path: keytab.to_owned(),
        reason,
    };
    let path = located("FILE:", keytab);
    let mut store = gss::Store {
        keytab: path.ok_or_else(|| unusable("NUL in its name".to_owned()))?,
        replay_cache: located("file2:", replay_cache),
    };
    if library.credential(&store).is_err() {
        store.replay_cache = None;
        let keys = library.credential(&store);
        keys.map_err(|failure| unusable(failure.text))?;
    }
    Ok(store)
}

/// Says which services the keytab has keys of.
fn say_whose(keytab: &Path, keys: &[u8], has_own_replay_cache: bool) {
    let keytab = keytab.display();
    let principals = keytab::principals(keys);
    if !principals.is_empty() && !principals.iter().any(|name| is_key_of_a_service(name)) {
        warn!(%keytab, "The keytab has no keys of HTTP/host, HOST/host or WSMAN/host");
    }
    let shown: Vec<&str> = principals.iter().take(8).map(String::as_str).collect();
    let (count, principals) = (principals.len(), shown.join(" "));
    info!(%keytab, principals, count, has_own_replay_cache, "Kerberos ready");
}

/// A file as the library names it.
fn located(kind: &str, path: &Path) -> Option<CString> {
    CString::new([kind.as_bytes(), path.as_os_str().as_bytes()].concat()).ok()
}

/// MIT's library, by the name that its packages have had since 2004.
const LIBRARY: &str = "libgssapi_krb5.so.2";

/// Below the state folder.
const REPLAY_CACHE: &str = "krb5.rcache2";

/// First parts of the names that clients ask a ticket for.
const SERVICES: [&str; 3] = ["HTTP", "HOST", "WSMAN"];

/// The name under which Active Directory also lists the key of a machine. No
/// ticket for it is taken.
const RESTRICTED: &str = "RestrictedKrbHost";

/// Log-ons that run at a time: each is some milliseconds of work and files.
const RUNNING: usize = 4;

/// Octets of a keytab: thousands of keys.
const MAX_KEYTAB: u64 = 1 << 20;

/// Octets of an account's name: two host names.
const MAX_ACCOUNT: usize = 512;

/// Characters of a name that a stranger can have written to the log.
const MAX_SHOWN: usize = 64;

#[cfg(test)]
mod tests;
