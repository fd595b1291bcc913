//! The settings of the service: one typed value, read from one TOML file.
//!
//! Defaults stand in `Default`; an unknown key or a bad value stops the start
//! and names the file, the key and what is allowed. Units stand in the keys.
//! Some can be changed while the service runs: [`Current`] has what is in force,
//! [`Overlay`] what is kept of it.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use serde::Deserialize;
use serde::Serialize;

mod bounds;
mod check;
mod current;
mod host_pattern;
mod hosting;
mod load;
mod overlay;
mod roles;

pub use bounds::Bounds;
pub use current::Current;
pub use host_pattern::HostPattern;
pub use hosting::HostingSettings;
pub use hosting::Notification;
pub use hosting::UploadFolder;
pub use load::DEFAULT_PATH;
pub use load::Error;
pub use overlay::Overlay;

/// Everything that the administrator decides.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Where the service listens and keeps its state.
    pub service: ServiceSettings,
    /// Who may do what.
    pub access: AccessSettings,
    /// Limits of the WS-Management endpoint, named as in `winrm/config`.
    pub wsman: WsmanSettings,
    /// How jobs run.
    pub engine: EngineSettings,
    /// How files move.
    pub transfer: TransferSettings,
    /// Where files may land, and where uploads may come from.
    pub files: FilesSettings,
    /// Which uploads of others are taken in.
    pub hosting: HostingSettings,
}

/// Where the service listens and keeps its state.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct ServiceSettings {
    /// Addresses of the HTTPS listeners. Loopback only until said otherwise.
    pub listen: Vec<SocketAddr>,
    /// Addresses of listeners without TLS: who logs on there must seal his
    /// messages.
    pub listen_http: Vec<SocketAddr>,
    /// Folder of the job store, the generated certificate and key, the user
    /// file.
    pub state_directory: PathBuf,
    /// PEM chain; absent: `tls/certificate.pem` below the state folder, made
    /// on first start.
    pub certificate: Option<PathBuf>,
    /// PEM key, mode 0600 or 0640 and stricter; goes with `certificate`.
    pub private_key: Option<PathBuf>,
    /// Names for a generated certificate, besides `localhost` and the
    /// loopback addresses.
    pub certificate_names: Vec<String>,
    /// Key under which secrets are encrypted, 32 octets; absent: the systemd
    /// credential `bitsd.key`, else `secret.key` below the state folder, made
    /// on first start.
    pub secret_key_file: Option<PathBuf>,
    /// Accounts; absent: `users` below the state folder.
    pub user_file: Option<PathBuf>,
    /// `text` or `json`.
    pub log_format: LogFormat,
    /// How long a stop waits for requests and transfers to end cleanly.
    pub stop_timeout_s: u64,
}

/// Where the service listens, and what the octets go through there.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Listening {
    /// Where.
    pub address: SocketAddr,
    /// What.
    pub transport: Transport,
}

/// What the octets of a connection go through: `Transport` of a listener.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Transport {
    /// Nothing: clients must seal their messages.
    Http,
    /// TLS.
    Https,
}

impl Transport {
    /// The key that has the addresses.
    pub fn key(self) -> &'static str {
        match self {
            Self::Http => "service.listen_http",
            Self::Https => "service.listen",
        }
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Http => "HTTP",
            Self::Https => "HTTPS",
        })
    }
}

impl ServiceSettings {
    /// The addresses of all listeners, those with TLS first.
    pub fn listening(&self) -> Vec<Listening> {
        let over = |transport| {
            move |address: &SocketAddr| Listening {
                address: *address,
                transport,
            }
        };
        let https = self.listen.iter().map(over(Transport::Https));
        https
            .chain(self.listen_http.iter().map(over(Transport::Http)))
            .collect()
    }

    /// The addresses of the listeners of one kind.
    pub fn addresses(&self, transport: Transport) -> &Vec<SocketAddr> {
        match transport {
            Transport::Http => &self.listen_http,
            Transport::Https => &self.listen,
        }
    }

    /// The same, to change them.
    pub fn addresses_mut(&mut self, transport: Transport) -> &mut Vec<SocketAddr> {
        match transport {
            Transport::Http => &mut self.listen_http,
            Transport::Https => &mut self.listen,
        }
    }

    /// Where the accounts are.
    pub fn accounts(&self) -> PathBuf {
        let default = || self.state_directory.join("users");
        self.user_file.clone().unwrap_or_else(default)
    }
}

/// The shape of log lines.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One object a line.
    Json,
}

/// Who may do what, and how he logs on. An empty list means nobody.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
pub struct AccessSettings {
    /// Accounts that may read, write and invoke, each on its own jobs. Groups
    /// and realms may stand here and in the next list as in a role.
    pub users: Vec<String>,
    /// Accounts that may do so on every job, and change the settings.
    pub administrators: Vec<String>,
    /// Groups of accounts: the lists and roles name one as `@NAME`.
    pub groups: BTreeMap<String, Vec<String>>,
    /// Rights beyond, or narrower than, those of the two lists.
    pub roles: Vec<Role>,
    /// `Auth/Basic`: log-on by name and password.
    pub basic: bool,
    /// Who checks the passwords of `Basic`.
    pub basic_accounts: BasicAccounts,
    /// The service under which PAM is asked.
    pub pam_service: String,
    /// Where PAM looks for that service; absent: where the host has it.
    pub pam_directory: Option<PathBuf>,
    /// `Auth/Negotiate`: Kerberos, and NTLM for the accounts that have a hash
    /// for it.
    pub negotiate: bool,
    /// `Auth/Kerberos`: Kerberos, also as a scheme of its own; needs a keytab.
    pub kerberos: bool,
    /// Keys of the service in the realm.
    pub keytab: Option<PathBuf>,
    /// `NTLMv2`, within Negotiate and as a scheme of its own.
    pub ntlm: bool,
    /// Refuses clients whose `NTLM` has no message integrity code.
    pub require_ntlm_mic: bool,
    /// `Auth/CredSSP`: the client hands over his password; nothing is done
    /// with it.
    pub credssp: bool,
    /// `Auth/CbtHardeningLevel`: must a log-on over TLS be bound to it?
    pub channel_binding: ChannelBindingLevel,
    /// `AllowUnencrypted`: over HTTP, messages need not be sealed and `Basic`
    /// is taken.
    pub allow_unencrypted: bool,
    /// `Auth/Certificate`: log-on by a client certificate.
    pub certificate: bool,
    /// PEM file with the authorities of client certificates; absent: only
    /// those count that a mapping names by their own thumbprint.
    pub client_ca_certificates: Option<PathBuf>,
    /// Files with lists of revoked client certificates, PEM or DER. A list that
    /// has ended refuses the certificates of its issuer; one that is not there
    /// revokes nothing.
    pub client_revocation_lists: Vec<PathBuf>,
    /// `CertMapping`: which account a client certificate stands for.
    pub certificate_mappings: Vec<CertificateMapping>,
    /// Failed log-ons of one account, or from one address, within
    /// `lockout_window_s`, after which it is locked out. 0: never, and wrong
    /// answers are not held back.
    pub lockout_failures: u32,
    /// How long failures count.
    pub lockout_window_s: u64,
    /// How long a lock-out lasts.
    pub lockout_duration_s: u64,
}

/// Who checks the passwords of `Basic`.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum BasicAccounts {
    /// The user file.
    #[default]
    File,
    /// The host, by PAM.
    Pam,
}

/// Must a log-on over TLS be bound to it (RFC 5929)?
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub enum ChannelBindingLevel {
    /// Bindings are not looked at.
    None,
    /// One that is there must be right.
    Relaxed,
    /// One must be there and be right.
    #[default]
    Strict,
}

impl fmt::Display for ChannelBindingLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::Relaxed => "Relaxed",
            Self::Strict => "Strict",
        })
    }
}

impl FromStr for ChannelBindingLevel {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let all = [Self::None, Self::Relaxed, Self::Strict];
        all.into_iter()
            .find(|level| level.to_string() == text)
            .ok_or_else(|| format!("{text:?} is not None, Relaxed or Strict"))
    }
}

/// What some accounts may do. How several roles of one account add up is told in
/// `auth/access.rs`.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct Role {
    /// Accounts; `@NAME` stands for a group, `*@REALM` for all of a realm,
    /// machines and services included.
    pub members: Vec<String>,
    /// What they may ask for.
    pub rights: Vec<Right>,
    /// Of whose jobs.
    pub jobs: RoleJobs,
    /// All rights on all jobs, and on the service's own settings.
    pub administrator: bool,
    /// Below which of `files.write_roots`; absent: all.
    pub write_roots: Option<Vec<PathBuf>>,
    /// Below which of `files.read_roots`; absent: all.
    pub read_roots: Option<Vec<PathBuf>>,
    /// From which addresses they may log on; absent: any.
    pub from: Option<Vec<Network>>,
    /// Which addresses their jobs may reach, of those that any job may;
    /// absent: all.
    pub reach: Option<Vec<Network>>,
    /// Jobs of one of them, 0: no limit; absent: `engine.max_jobs_per_user`, and
    /// no limit for administrators.
    pub max_jobs: Option<u64>,
    /// Requests of one of them at the same time; absent:
    /// `wsman.max_concurrent_operations_per_user`.
    pub max_concurrent_operations: Option<u32>,
}

/// What somebody may ask for.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Right {
    /// Get, Enumerate, Pull.
    Read,
    /// Put, Create, Delete.
    Write,
    /// Methods.
    Invoke,
}

/// Of whose jobs.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum RoleJobs {
    /// One's own.
    #[default]
    Own,
    /// Everybody's.
    All,
}

/// Which account a client certificate stands for.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct CertificateMapping {
    /// SHA-1 of the issuer's certificate, or SHA-1 or SHA-256 of the
    /// certificate itself: 40 or 64 hexadecimal digits.
    pub issuer: String,
    /// A name in the certificate; `*` at its start stands for anything.
    pub subject: String,
    /// A resource URI; `*` at its end stands for anything.
    #[serde(default = "any")]
    pub uri: String,
    /// The account.
    pub user: String,
    /// Does the mapping count?
    #[serde(default = "yes")]
    pub enabled: bool,
}

/// What a mapping is unless it says otherwise.
fn yes() -> bool {
    true
}

fn any() -> String {
    "*".to_owned()
}

impl CertificateMapping {
    /// Both have the same key: issuer, with or without blanks, subject and URI,
    /// in any case.
    pub fn is_for_the_same(&self, other: &Self) -> bool {
        let same = |one: &str, other: &str| one.eq_ignore_ascii_case(other);
        let digits = |text: &str| text.replace(' ', "");
        same(&digits(&self.issuer), &digits(&other.issuer))
            && same(&self.subject, &other.subject)
            && same(&self.uri, &other.uri)
    }
}

/// Limits of the WS-Management endpoint.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct WsmanSettings {
    /// `MaxEnvelopeSizekb`: a larger request is HTTP 413, a larger wish for an
    /// answer is cut to it.
    pub max_envelope_size_kb: u32,
    /// `MaxTimeoutms`.
    pub max_timeout_ms: u64,
    /// `MaxBatchItems`.
    pub max_batch_items: u32,
    /// `EnumerationTimeoutms`: an enumeration that nobody pulls is dropped.
    pub enumeration_timeout_ms: u64,
    /// Open enumerations of one user.
    pub max_enumerations_per_user: u32,
    /// Open enumerations of all users together.
    pub max_enumerations: u32,
    /// `MaxConcurrentOperationsPerUser`.
    pub max_concurrent_operations_per_user: u32,
    /// `MaxConnections`: connections with a principal.
    pub max_connections: u32,
    /// Connections on which nobody has logged on yet.
    pub max_anonymous_connections: u32,
    /// Such connections from one address (an IPv6 /64 counts as one).
    pub max_anonymous_connections_per_address: u32,
    /// `MaxPacketRetrievalTimeSeconds`: a request must have arrived by then.
    pub max_packet_retrieval_time_s: u64,
    /// The same before log-on, the TLS handshake included.
    pub logon_timeout_s: u64,
    /// A connection without a request is closed after this.
    pub idle_timeout_s: u64,
    /// Password checks that wait for a turn; more are answered 503.
    pub max_waiting_logons: u32,
}

/// How jobs run.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct EngineSettings {
    /// Background jobs (priority 1 to 3) that run at the same time. Foreground
    /// jobs run at once, beside them.
    pub running_jobs: usize,
    /// Foreground jobs that run at the same time.
    pub foreground_jobs: usize,
    /// Background jobs of one account that run at the same time. 0: as many as
    /// there are slots; while others wait, accounts take turns in any case.
    pub running_jobs_per_user: usize,
    /// Jobs that fetch from one host at the same time, background jobs only. 0:
    /// no limit.
    pub running_jobs_per_host: usize,
    /// Files of one job that are fetched at the same time.
    pub files_per_job: usize,
    /// A running job gives its slot to a waiting one of the same priority
    /// after this.
    pub time_slice_s: u64,
    /// `MaximumDownloadTime` of a job that sets none: longest time in CONNECTING
    /// and TRANSFERRING since its last Resume. 0: no limit.
    pub max_download_time_s: u64,
    /// Jobs of one account; administrators have no limit. 0: no limit.
    pub max_jobs_per_user: u64,
    /// Files of one job. 0: no limit.
    pub max_files_per_job: u32,
}

/// How files move.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct TransferSettings {
    /// Until a connection stands, TLS included.
    pub connect_timeout_s: u64,
    /// Until an answer begins, or goes on.
    pub idle_timeout_s: u64,
    /// Data is synced and its offset committed at least this often…
    pub checkpoint_interval_ms: u64,
    /// …and after so many octets.
    pub checkpoint_octets: u64,
    /// Addresses and networks (CIDR) that transfers may reach though they are
    /// loopback, link-local or the like.
    pub allow_addresses: Vec<Network>,
    /// Addresses and networks (CIDR) that transfers may not reach.
    pub deny_addresses: Vec<Network>,
    /// Folder of the client certificate stores: a folder a store, in it PEM
    /// files with certificate and key.
    pub client_certificates: Option<PathBuf>,
    /// PEM file with authorities to trust beside those of the system.
    pub ca_certificates: Option<PathBuf>,
    /// Keytab of the principal that jobs with implicit credentials log on as.
    pub keytab: Option<PathBuf>,
    /// Proxy for jobs with proxy usage 0: `[protocol=]server[:port]` list.
    pub proxy_list: String,
    /// Hosts that such jobs reach directly.
    pub proxy_bypass_list: String,
    /// Header `User-Agent`.
    pub user_agent: String,
    /// How often an answer may redirect.
    pub max_redirects: u32,
    /// A server without ranges is an error (0x80200013), as with Windows; else
    /// such a file is fetched whole.
    pub require_ranges: bool,
    /// Parallel ranges in which a big file may be fetched, from one origin;
    /// more than one only while that is faster. 1: none.
    pub ranges_per_origin: usize,
    /// Connections to one origin, of all jobs together.
    pub connections_per_origin: usize,
    /// Is HTTP/2 offered to servers over TLS?
    pub http2: bool,
    /// Memory for the buffers of all transfers together, MiB.
    pub buffer_memory_mb: usize,
    /// Schemes of addresses that jobs may name or be redirected to.
    pub schemes: Vec<Scheme>,
    /// Hosts that jobs may name or be redirected to: names, addresses, or `*`
    /// and the end of a name (`*.example.org`). Empty: any.
    pub allow_hosts: Vec<HostPattern>,
    /// Hosts that they may not; goes before.
    pub deny_hosts: Vec<HostPattern>,
    /// Ports that they may. Empty: any.
    pub allow_ports: Vec<u16>,
    /// SHA-256 (64 hexadecimal digits) or SHA-1 (40) of server certificates that
    /// are trusted by themselves, signed by anybody.
    pub server_thumbprints: Vec<String>,
    /// Files with lists of revoked server certificates, PEM or DER, for jobs that
    /// want them checked.
    pub revocation_lists: Vec<PathBuf>,
    /// Octets of a fragment of an upload at most.
    pub upload_fragment_octets: u64,
}

/// A scheme of addresses.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum Scheme {
    /// Without TLS.
    Http,
    /// With TLS.
    Https,
}

/// Where files may land, and where uploads may come from.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct FilesSettings {
    /// Folders below which downloads may land. None: no download at all.
    pub write_roots: Vec<PathBuf>,
    /// Folders below which the sources of uploads may lie. None: no upload at
    /// all.
    pub read_roots: Vec<PathBuf>,
    /// Windows drives and the folders, below a write or read root or equal to one,
    /// that stand for them: `C = "/srv/c"`.
    pub drives: BTreeMap<char, PathBuf>,
    /// Account or number that finished files belong to; absent: the service's.
    pub owner: Option<String>,
    /// Group or number; absent: the service's.
    pub group: Option<String>,
    /// Octal mode of finished files.
    pub mode: String,
    /// Octal mode of folders that the service creates.
    pub directory_mode: String,
}

/// An address or a range of addresses: `10.0.0.0/8`, `::1`.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(try_from = "String")]
pub struct Network {
    /// Any address in it.
    pub address: IpAddr,
    /// Leading bits that count.
    pub prefix: u8,
}

impl Network {
    /// Holds when `address` lies in the range.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                let shift = 32 - u32::from(self.prefix);
                own.to_bits().checked_shr(shift) == other.to_bits().checked_shr(shift)
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                let shift = 128 - u32::from(self.prefix);
                own.to_bits().checked_shr(shift) == other.to_bits().checked_shr(shift)
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }
}

impl TryFrom<String> for Network {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let wrong = || format!("`{text}` is no address or network such as 10.0.0.0/8");
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text.as_str(), None),
        };
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            Some(prefix) => prefix
                .parse()
                .ok()
                .filter(|bits| *bits <= most)
                .ok_or_else(wrong)?,
            None => most,
        };
        Ok(Self { address, prefix })
    }
}

impl Default for ServiceSettings {
    fn default() -> Self {
        Self {
            listen: vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 5986))],
            listen_http: Vec::new(),
            state_directory: PathBuf::from("/var/lib/bitsd"),
            certificate: None,
            private_key: None,
            certificate_names: Vec::new(),
            secret_key_file: None,
            user_file: None,
            log_format: LogFormat::default(),
            stop_timeout_s: 20,
        }
    }
}

impl Default for AccessSettings {
    fn default() -> Self {
        Self {
            users: Vec::new(),
            administrators: Vec::new(),
            groups: BTreeMap::new(),
            roles: Vec::new(),
            basic: true,
            basic_accounts: BasicAccounts::default(),
            pam_service: "bitsd".to_owned(),
            pam_directory: None,
            negotiate: true,
            kerberos: true,
            keytab: None,
            ntlm: true,
            require_ntlm_mic: false,
            credssp: false,
            channel_binding: ChannelBindingLevel::default(),
            allow_unencrypted: false,
            certificate: false,
            client_ca_certificates: None,
            client_revocation_lists: Vec::new(),
            certificate_mappings: Vec::new(),
            lockout_failures: 10,
            lockout_window_s: 900,
            lockout_duration_s: 900,
        }
    }
}

impl Default for Role {
    fn default() -> Self {
        Self {
            members: Vec::new(),
            rights: vec![Right::Read, Right::Write, Right::Invoke],
            jobs: RoleJobs::default(),
            administrator: false,
            write_roots: None,
            read_roots: None,
            from: None,
            reach: None,
            max_jobs: None,
            max_concurrent_operations: None,
        }
    }
}

impl Default for WsmanSettings {
    fn default() -> Self {
        Self {
            max_envelope_size_kb: 500,
            max_timeout_ms: 60_000,
            max_batch_items: 32_000,
            enumeration_timeout_ms: 240_000,
            max_enumerations_per_user: 100,
            max_enumerations: 1_000,
            max_concurrent_operations_per_user: 1_500,
            max_connections: 300,
            max_anonymous_connections: 100,
            max_anonymous_connections_per_address: 20,
            max_packet_retrieval_time_s: 120,
            logon_timeout_s: 20,
            idle_timeout_s: 120,
            max_waiting_logons: 64,
        }
    }
}

impl Default for EngineSettings {
    fn default() -> Self {
        Self {
            running_jobs: 4,
            foreground_jobs: 256,
            running_jobs_per_user: 0,
            running_jobs_per_host: 0,
            files_per_job: 16,
            time_slice_s: 300,
            max_download_time_s: 7_776_000,
            max_jobs_per_user: 0,
            max_files_per_job: 0,
        }
    }
}

impl Default for TransferSettings {
    fn default() -> Self {
        Self {
            connect_timeout_s: 30,
            idle_timeout_s: 60,
            checkpoint_interval_ms: 2_000,
            checkpoint_octets: 64 * 1_024 * 1_024,
            allow_addresses: Vec::new(),
            deny_addresses: Vec::new(),
            client_certificates: None,
            ca_certificates: None,
            keytab: None,
            proxy_list: String::new(),
            proxy_bypass_list: String::new(),
            user_agent: concat!("bitsd/", env!("CARGO_PKG_VERSION")).to_owned(),
            max_redirects: 10,
            require_ranges: false,
            ranges_per_origin: 8,
            connections_per_origin: 64,
            http2: true,
            buffer_memory_mb: 96,
            schemes: vec![Scheme::Http, Scheme::Https],
            allow_hosts: Vec::new(),
            deny_hosts: Vec::new(),
            allow_ports: Vec::new(),
            server_thumbprints: Vec::new(),
            revocation_lists: Vec::new(),
            upload_fragment_octets: 13 * 1_024 * 1_024,
        }
    }
}

impl Default for FilesSettings {
    fn default() -> Self {
        Self {
            write_roots: Vec::new(),
            read_roots: Vec::new(),
            drives: BTreeMap::new(),
            owner: None,
            group: None,
            mode: "0640".to_owned(),
            directory_mode: "0750".to_owned(),
        }
    }
}
