//! Moves octets: one file at a time from a server into a temporary file, and
//! from there to its place.
//!
//! Knows nothing of a job's state or of the store. What must be remembered is
//! told to the caller through [`Reports`], in the order in which it became
//! true on disk.

mod account;
mod answer;
mod asking;
mod attempt;
mod challenge;
mod claim;
mod client_certificate;
mod clock;
mod connection;
mod credentials;
mod custom;
mod digest;
mod disk_writer;
mod download;
mod failure;
mod fault;
#[cfg(test)]
mod faulty_origin;
mod feed;
mod fence;
mod following;
#[cfg(fuzzing)]
pub(crate) mod fuzzing;
mod hashing;
mod held;
mod http2;
mod http_origin;
mod inbox;
mod kerberos;
mod landing;
mod lanes;
mod last_folder;
mod log_on;
mod memory;
mod out_of_order;
mod outgoing;
mod pieces;
mod pool;
mod proxy;
mod quota;
mod race;
mod range;
mod receive;
mod receive_parts;
mod remote;
mod resolver;
mod rest;
mod settle;
mod sink;
mod source;
mod splice;
mod spot;
mod stream;
mod stretch;
mod tcp;
mod terms;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tls_server;
mod trust;
mod tunnel;
mod upload;
pub(crate) mod upload_packet;
mod validator;
mod verdict;
mod window;
mod windows_path;
mod written;

use std::future::Future;
use std::path::Path;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::bits::AuthScheme;
use crate::bits::AuthTarget;
use crate::bits::Circumstances;
use crate::bits::ClientCertificate;
use crate::bits::Credentials;
use crate::bits::ErrorContext;
use crate::bits::File;
use crate::bits::FileReport;
use crate::bits::Hresult;
use crate::bits::JobId;
use crate::bits::JobOptions;
use crate::bits::JobType;
use crate::bits::Phase;
use crate::bits::Proxy;
use crate::bits::ReplyFile;
use crate::bits::Secret;
use crate::bits::SecurityFlags;
use crate::bits::Upload;
use crate::config::Bounds;
use crate::config::FilesSettings;
use crate::config::TransferSettings;
use claim::Claims;
use connection::Dialer;
use credentials::Wallet;
use download::Download;
use fence::Fence;
use http_origin::HttpOrigin;
pub(crate) use inbox::Hidden;
pub(crate) use inbox::Inbox;
pub(crate) use inbox::InboxSpot;
pub(crate) use inbox::Put;
pub(crate) use inbox::Standing;
use kerberos::Kerberos;
use landing::Landing;
use last_folder::LastFolder;
use memory::Memory;
use out_of_order::OutOfOrder;
use pieces::Pieces;
use pool::Connections;
use proxy::Proxies;
use proxy::ProxyError;
use quota::Quota;
use resolver::Resolver;
use source::Sources;
use terms::Terms;
use terms::Turns;
use trust::Trust;
use upload::Uploading;
use written::Written;

/// The one mover of the service: fences, trust, folders, the record of what
/// was written. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Mover(Arc<Parts>);

#[derive(Debug)]
struct Parts {
    settings: TransferSettings,
    landing: Landing,
    sources: Sources,
    record: Written,
    fence: Fence,
    trust: Trust,
    /// For jobs with proxy usage 0.
    proxies: Proxies,
    /// For jobs with proxy usage 3, which go by the environment first; or why it
    /// cannot be used.
    automatic: Result<(Proxies, Option<Credentials>), String>,
    out_of_order: Arc<OutOfOrder>,
    resolver: Resolver,
    claims: Claims,
    kerberos: Arc<Kerberos>,
    connections: Connections,
}

/// A remote address that a client gave, checked and taken apart.
#[derive(Clone, Debug)]
pub(crate) struct RemoteUrl {
    /// Without userinfo and fragment.
    pub(crate) url: String,
    /// What stood as userinfo, for the server, scheme Basic.
    pub(crate) userinfo: Option<Credentials>,
}

/// How the requests of one job identify themselves and travel.
#[derive(Clone, Debug, Default)]
pub(crate) struct Access {
    /// Which way its octets go.
    pub(crate) kind: JobType,
    /// What else its client has set.
    pub(crate) options: JobOptions,
    /// Custom headers: `Name: value` lines, separated by CR LF.
    pub(crate) headers: Option<Secret>,
    /// For servers and proxies.
    pub(crate) credentials: Vec<Credentials>,
    /// From the configured folder.
    pub(crate) client_certificate: Option<ClientCertificate>,
    /// Which proxy.
    pub(crate) proxy: Proxy,
    /// What its owner's jobs may not go beyond.
    pub(crate) bounds: Bounds,
    /// Octets of its files that are here, for `max_download_size`.
    pub(crate) octets: u64,
}

/// The connections of one running job.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    mover: Mover,
    kind: JobType,
    origin: Arc<HttpOrigin>,
    folder: Arc<LastFolder>,
    landing: Arc<Landing>,
    sources: Arc<Sources>,
    options: Arc<JobOptions>,
    terms: Arc<Terms>,
    quota: Arc<Quota>,
}

/// A file to fetch.
#[derive(Clone, Debug)]
pub(crate) struct Order {
    /// Whose file it is.
    pub(crate) job: JobId,
    /// The file as the store knows it.
    pub(crate) file: File,
    /// Octets from the start that are in the temporary file now; kept up to
    /// date for those who watch.
    pub(crate) written: Arc<AtomicU64>,
    /// Ends the transfer at the next chance; what is written then is synced
    /// and reported first.
    pub(crate) stop: CancellationToken,
}

/// Who is told what became true on disk.
pub(crate) trait Reports: Send + Sync {
    /// Takes a report in. For [`FileReport::Began`] the future resolves when
    /// it is kept for good: until then no octet of that version may replace
    /// octets of another. The rest resolves as soon as there is room.
    fn report(
        &self,
        report: FileReport,
    ) -> Pin<Box<dyn Future<Output = Result<(), Stopped>> + Send + '_>>;
}

/// Nobody listens any more.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Stopped;

/// A transfer ended without the whole file.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    /// Try again?
    pub(crate) kind: FailureKind,
    /// In which part.
    pub(crate) context: ErrorContext,
    /// Which error.
    pub(crate) code: Hresult,
    /// For people: phase, address without query, HTTP status. No secrets.
    pub(crate) detail: String,
    /// The same, for programs.
    pub(crate) circumstances: Circumstances,
}

/// What to do about a failure.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum FailureKind {
    /// Another attempt would fail too.
    Fatal,
    /// Another attempt may do it, but not before this, if the server says so.
    ForNow(Option<Duration>),
    /// [`Order::stop`] was called; nothing is wrong.
    Stopped,
}

impl Mover {
    /// Reads trust, opens the write roots and the record of what was written
    /// (a file below `state_directory`). `protected` are files and folders of
    /// the service itself: nothing lands in them even inside a root.
    ///
    /// # Errors
    ///
    /// [`Failure`] that names the setting that cannot be used.
    pub(crate) fn new(
        transfer: &TransferSettings,
        files: &FilesSettings,
        state_directory: &Path,
        protected: &[PathBuf],
    ) -> Result<Self, Failure> {
        let landing = Landing::new(files, protected)?;
        let sources = Sources::new(files, protected)?;
        let record = Written::open(&state_directory.join("written"))
            .map_err(|error| Failure::setting("service.state_directory", error))?;
        let proxies = Proxies::parse(&transfer.proxy_list, &transfer.proxy_bypass_list)
            .map_err(|why| Failure::setting("transfer.proxy_list", why))?;
        let automatic = proxies
            .clone()
            .behind_environment(|name| std::env::var(name).ok());
        Ok(Self(Arc::new(Parts {
            automatic,
            out_of_order: Arc::default(),
            resolver: Resolver::default(),
            landing,
            sources,
            record,
            fence: Fence::new(transfer),
            trust: Trust::new(transfer)?,
            proxies,
            claims: Claims::default(),
            kerberos: Arc::new(Kerberos::new(transfer.keytab.as_deref())),
            connections: Connections::new(
                transfer.connections_per_origin,
                transfer.ranges_per_origin,
                transfer.http2,
                Memory::new(transfer.buffer_memory_mb * 1_024 * 1_024),
            ),
            settings: transfer.clone(),
        })))
    }

    /// Checks an address that a client gave.
    ///
    /// # Errors
    ///
    /// [`Failure`] when it is no absolute `http` or `https` URL or too long, or
    /// the settings do not let transfers go there.
    pub(crate) fn remote(&self, url: &str) -> Result<RemoteUrl, Failure> {
        let remote = remote::parse(url)?;
        let parsed = remote::read(&remote.url)?;
        self.0.fence.check_url(&parsed).map_err(|why| {
            let shown = remote::redact(&parsed);
            let detail = format!("asking for {shown}: {why}");
            let code = Hresult::BG_E_BLOCKED_BY_POLICY;
            Failure::fatal(ErrorContext::RemoteFile, code, detail).of(&shown)
        })?;
        Ok(remote)
    }

    /// Maps a destination that a client gave (`C:\dir\file`, `/srv/data/file`)
    /// to the native path below a write root, and checks it. Where one of
    /// `bounds` is given, it must lie below one of its folders too.
    ///
    /// # Errors
    ///
    /// [`Failure`] when it lies outside the write roots, names a device, a
    /// stream, a folder and so on.
    pub(crate) fn destination(
        &self,
        local_file: &str,
        bounds: &[Option<&Arc<[PathBuf]>>],
    ) -> Result<PathBuf, Failure> {
        let (last, narrowed) = narrowings(bounds);
        for roots in narrowed {
            self.0.landing.within(Some(roots)).destination(local_file)?;
        }
        self.0.landing.within(last).destination(local_file)
    }

    /// The same for the source of an upload, below a read root.
    ///
    /// # Errors
    ///
    /// [`Failure`] when it lies outside the read roots, is no regular file and
    /// so on.
    pub(crate) fn source(
        &self,
        local_file: &str,
        bounds: &[Option<&Arc<[PathBuf]>>],
    ) -> Result<PathBuf, Failure> {
        let (last, narrowed) = narrowings(bounds);
        for roots in narrowed {
            self.0.sources.within(Some(roots)).path(local_file)?;
        }
        self.0.sources.within(last).path(local_file)
    }

    /// Holds a client certificate with this choice in its folder?
    ///
    /// # Errors
    ///
    /// [`Failure`] with `ERROR_FILE_NOT_FOUND` (no such store),
    /// `CRYPT_E_NOT_FOUND` (no such certificate).
    pub(crate) fn check_client_certificate(
        &self,
        certificate: &ClientCertificate,
    ) -> Result<(), Failure> {
        let folder = self.0.settings.client_certificates.as_deref();
        client_certificate::find(folder, certificate).map(|_| ())
    }

    /// Checks the proxies that a client gave.
    ///
    /// # Errors
    ///
    /// [`Failure`] with `E_NOTIMPL` for scripts, their discovery and proxies of
    /// other kinds, `E_INVALIDARG` for what is no list,
    /// `BG_E_BLOCKED_BY_POLICY` where the settings do not let transfers go.
    pub(crate) fn check_proxy(&self, proxy: &Proxy) -> Result<(), Failure> {
        let Proxy::Override { list, bypass } = proxy else {
            return Ok(());
        };
        let read = Proxies::parse(list, bypass).and_then(Proxies::if_any);
        let proxies = read.map_err(|error| {
            let code = match error {
                ProxyError::Unsupported(_) => Hresult::E_NOTIMPL,
                ProxyError::Malformed(_) => Hresult::E_INVALIDARG,
            };
            let detail = format!("reading the proxy list: {error}");
            Failure::fatal(ErrorContext::GeneralTransport, code, detail)
        })?;
        self.0.check_proxies(&proxies)
    }

    /// Can a job log on with these credentials?
    ///
    /// # Errors
    ///
    /// [`Failure`] with `SEC_E_NO_CREDENTIALS`: as the service itself only by
    /// Kerberos, with the keytab of the settings.
    pub(crate) fn check_credentials(&self, credentials: &Credentials) -> Result<(), Failure> {
        if !credentials.is_implicit() {
            return Ok(());
        }
        let why = match credentials.scheme {
            AuthScheme::Negotiate if self.0.kerberos.has_keytab() => return Ok(()),
            AuthScheme::Negotiate => {
                "to log on as the service itself, transfer.keytab must name a keytab"
            }
            AuthScheme::Ntlm => "the service itself has no password for NTLM",
            AuthScheme::Basic | AuthScheme::Digest | AuthScheme::Passport => return Ok(()),
        };
        Err(Failure::fatal(
            ErrorContext::GeneralTransport,
            Hresult::SEC_E_NO_CREDENTIALS,
            why,
        ))
    }

    /// Opens the way for one job.
    ///
    /// # Errors
    ///
    /// [`Failure`] when the certificate or the proxy list cannot be used.
    pub(crate) fn session(&self, access: Access) -> Result<Session, Failure> {
        let parts = &self.0;
        let settings = &parts.settings;
        let mut credentials = access.credentials;
        let unusable = |why: String| {
            Failure::fatal(
                ErrorContext::GeneralTransport,
                Hresult::BG_E_INVALID_PROXY_INFO,
                why,
            )
            .at(Phase::Connecting)
        };
        let proxies = match &access.proxy {
            Proxy::Preconfig => parts.proxies.clone(),
            Proxy::None => Proxies::default(),
            Proxy::Override { list, bypass } => {
                let proxies = Proxies::parse(list, bypass)
                    .and_then(Proxies::if_any)
                    .map_err(|why| unusable(format!("reading the proxy list: {why}")))?;
                parts.check_proxies(&proxies)?;
                proxies
            }
            Proxy::Automatic => {
                let (proxies, userinfo) = parts.automatic.clone().map_err(unusable)?;
                let has_own = credentials
                    .iter()
                    .any(|own| own.target == AuthTarget::Proxy);
                if let Some(basic) = userinfo.filter(|_| !has_own) {
                    let scheme = AuthScheme::Digest;
                    let digest = Credentials {
                        scheme,
                        ..basic.clone()
                    };
                    credentials.extend([basic, digest]);
                }
                proxies
            }
        };
        let flags =
            SecurityFlags::from_number(access.options.security_flags).map_err(|refused| {
                let why = "the job has security flags that are unknown";
                Failure::fatal(ErrorContext::GeneralTransport, refused.0, why)
            })?;
        let trust = parts.trust.of(flags, &access.options.thumbprints)?;
        let tls = match &access.client_certificate {
            None => trust.plain(),
            Some(wanted) => {
                let folder = settings.client_certificates.as_deref();
                let (chain, key) = client_certificate::find(folder, wanted)?;
                trust.with_certificate(chain, key)?
            }
        };
        let dialer = Dialer {
            fence: Arc::new(parts.fence.within(access.bounds.reach)),
            timeout: Duration::from_secs(settings.connect_timeout_s),
            tls,
            anonymous_tls: trust.plain(),
            wallet: Arc::new(Wallet::new(credentials, Arc::clone(&parts.kerberos))),
            user_agent: settings.user_agent.clone(),
            resolver: parts.resolver.clone(),
            memory: parts.connections.memory().clone(),
        };
        let terms = if access.kind == JobType::Download {
            Terms::new(&access.options, settings.require_ranges)?
        } else {
            Terms::default()
        };
        let custom = custom::read(access.headers.as_ref())?;
        Ok(Session {
            mover: self.clone(),
            kind: access.kind,
            terms: Arc::new(terms),
            quota: Arc::new(Quota::new(access.options.max_download_size, access.octets)),
            folder: Arc::default(),
            landing: Arc::new(parts.landing.within(access.bounds.write_roots)),
            sources: Arc::new(parts.sources.within(access.bounds.read_roots)),
            options: Arc::new(access.options),
            origin: Arc::new(HttpOrigin {
                dialer,
                custom,
                proxies,
                out_of_order: Arc::clone(&parts.out_of_order),
                redirects: flags.redirects(),
                may_downgrade: flags.allows_downgrade(),
                pool: parts.connections.session(),
                idle_timeout: Duration::from_secs(settings.idle_timeout_s),
                max_redirects: settings.max_redirects,
                home: OnceLock::new(),
            }),
        })
    }

    /// Puts transferred files in their places, in order: renames, sets owner,
    /// mode and time, syncs the folders. May be repeated after a crash.
    /// Blocking. Nothing is put beyond `bounds`.
    ///
    /// # Errors
    ///
    /// The place in `files` of the first that could not be put; those before
    /// it are in their places, synced.
    pub(crate) fn place(
        &self,
        job: JobId,
        files: &[File],
        bounds: &Bounds,
    ) -> Result<(), (usize, Failure)> {
        let landing = self.0.landing.within(bounds.write_roots.clone());
        let placed = landing.place(job, files, &self.0.record);
        placed.map_err(|(at, failure)| (at, failure.in_phase(Phase::Completing)))
    }

    /// The octets of a reply that lies whole in its temporary place, at most a MiB
    /// (`GetReplyData`). Blocking.
    ///
    /// # Errors
    ///
    /// [`Failure`]: `BG_E_TOO_LARGE` when there are more, `ERROR_FILE_NOT_FOUND`
    /// when it is not there.
    pub(crate) fn reply_data(
        &self,
        job: JobId,
        reply: &ReplyFile,
        bounds: &Bounds,
    ) -> Result<Vec<u8>, Failure> {
        let landing = self.0.landing.within(bounds.write_roots.clone());
        upload::reply_data(&landing, job, reply)
    }

    /// Removes the temporary files of `files` and forgets what was written.
    /// May be repeated after a crash. Blocking.
    ///
    /// # Errors
    ///
    /// The first that could not be removed; the others are gone.
    pub(crate) fn discard(&self, job: JobId, files: &[File]) -> Result<(), (usize, Failure)> {
        self.0.landing.discard(job, files, &self.0.record)
    }
}

impl Parts {
    /// A proxy that a job names is a place to go like any other.
    fn check_proxies(&self, proxies: &Proxies) -> Result<(), Failure> {
        for proxy in proxies.endpoints() {
            let check = self.fence.check_host(&proxy.host, proxy.port);
            check.map_err(|why| {
                Failure::fatal(
                    ErrorContext::GeneralTransport,
                    Hresult::BG_E_BLOCKED_BY_POLICY,
                    format!("reading the proxy list: {why}"),
                )
                .at(Phase::Connecting)
            })?;
        }
        Ok(())
    }
}

impl Session {
    /// Moves one file, whichever way the job's octets go.
    ///
    /// # Errors
    ///
    /// As those of [`Session::download`].
    pub(crate) async fn transfer(
        &self,
        order: Order,
        reports: &dyn Reports,
    ) -> Result<(), Failure> {
        let url = order.file.remote_url.clone();
        let moved = match self.kind {
            JobType::Download => self.download(order, reports).await,
            // Rare, and large: downloads need not carry them.
            JobType::Upload => Box::pin(self.upload(order, reports, None)).await,
            JobType::UploadReply => {
                let reply = self.options.reply.clone().ok_or_else(|| {
                    Failure::local(Hresult::E_INVALIDARG, "the job names no reply file")
                })?;
                Box::pin(self.upload(order, reports, Some(reply))).await
            }
        };
        // A failure on the way knows the address better: it may be another.
        moved.map_err(|failure| failure.of(&remote::shown(&url)))
    }

    /// Sends one file, from where the server says that an earlier attempt left
    /// off; the answer comes into its temporary place.
    ///
    /// Dropping the future half-way costs nothing but what the server had not
    /// confirmed.
    ///
    /// # Errors
    ///
    /// [`Failure`]; what the server has confirmed by then is reported.
    async fn upload(
        &self,
        order: Order,
        reports: &dyn Reports,
        reply: Option<ReplyFile>,
    ) -> Result<(), Failure> {
        let source = self.sources.open(&order.file.path)?;
        Uploading::new(self, source, order, reports, reply)?
            .run()
            .await
    }

    /// Tells the server that an upload is given up, if it holds something of it.
    ///
    /// # Errors
    ///
    /// [`Failure`], for now, when the server does not know it yet.
    pub(crate) async fn cancel_upload(&self, file: &File) -> Result<(), Failure> {
        upload::cancel(&self.origin, file).await
    }

    /// Octets of the biggest fragment of an upload.
    fn most_fragment(&self) -> u64 {
        self.transfer_settings().upload_fragment_octets
    }

    fn transfer_settings(&self) -> &TransferSettings {
        &self.mover.0.settings
    }

    /// Fetches one file into its temporary place, from where an earlier
    /// attempt left off if the server still has that version.
    ///
    /// Dropping the future half-way costs what was not synced, as a crash does;
    /// the next attempt waits until the last write has ended.
    ///
    /// # Errors
    ///
    /// [`Failure`]; what is here by then is synced and reported, so that a
    /// later attempt goes on from it.
    pub(crate) async fn download(
        &self,
        order: Order,
        reports: &dyn Reports,
    ) -> Result<(), Failure> {
        let parts = &self.mover.0;
        let download = Download {
            origin: &self.origin,
            landing: &self.landing,
            folder: &self.folder,
            record: &parts.record,
            quota: &self.quota,
            terms: &self.terms,
            claim: parts.claims.claim(order.job, order.file.index).await?,
            checkpoint_interval: Duration::from_millis(parts.settings.checkpoint_interval_ms),
            checkpoint_octets: parts.settings.checkpoint_octets,
            pieces: Pieces::of(&order.file.ranges),
            turns: Turns::new(order.file.ranges.len()),
            order,
            reports,
            hashing: None,
            is_without_ranges: false,
            moved: None,
        };
        download.run().await
    }
}

/// The answer to an upload-reply as a file of its job, for [`Mover::place`] and
/// [`Mover::discard`].
pub(crate) fn reply_as_file(reply: &ReplyFile, upload: Option<&Upload>) -> File {
    upload::as_file(reply, upload.and_then(|upload| upload.reply.as_ref()))
}

/// Folders of which a path lies below one.
type Folders = Arc<[PathBuf]>;

/// The folders of which a path must lie below each: those that are looked at last,
/// and the others.
fn narrowings(bounds: &[Option<&Folders>]) -> (Option<Folders>, Vec<Folders>) {
    let mut narrowed: Vec<_> = bounds
        .iter()
        .flatten()
        .map(|roots| Arc::clone(roots))
        .collect();
    narrowed.dedup();
    (narrowed.pop(), narrowed)
}
