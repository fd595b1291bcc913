//! What is counted, and the text of it that monitoring reads.
//!
//! A counter is an atomic of the process: whoever refuses, answers or opens
//! something adds one, without lock or allocation. Counts begin at 0 with the
//! process and only grow; a gauge is what is there at the moment.

use std::fmt::Write as _;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::sync::atomic::AtomicI64;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::SystemTime;

/// Something that happens.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Counter {
    /// A limit refused something.
    Refused(Limit),
    /// A request was read.
    Request(Operation),
    /// A client certificate could not be verified.
    CertificateRefused,
    /// A log-on was refused because its account or address is locked out.
    LogOnLockedOut,
    /// The answer to a failed log-on was held back.
    LogOnDelayed,
    /// A log-on had no channel binding where there must be one.
    LogOnUnbound,
    /// A log-on was bound to another TLS connection.
    LogOnMisbound,
    /// A sealed message was refused, and the log-on that it belonged to ended.
    SealBroken,
    /// An account was locked out.
    AccountLocked,
    /// An address was locked out.
    AddressLocked,
    /// An upload of somebody is whole.
    UploadCompleted,
    /// Octets of such uploads came.
    UploadOctets,
}

/// What came of a log-on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum LogOn {
    /// Somebody proved who he is; remembered log-ons do not count.
    Proved,
    /// Somebody did not, or is locked out.
    Refused,
}

/// A limit that refuses, or cuts.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Limit {
    /// `MaxEnvelopeSizekb`, of a request: 413.
    RequestSize,
    /// `MaxPacketRetrievalTimeSeconds`, or the same before log-on: 500, 408.
    PacketRetrievalTime,
    /// Password checks that wait: 503.
    WaitingLogOns,
    /// `MaxConnections`: 503.
    Connections,
    /// Connections without log-on: closed.
    AnonymousConnections,
    /// Time to log on: closed.
    LogOnTime,
    /// `MaxConcurrentOperationsPerUser`: a fault.
    OperationsPerUser,
    /// Enumerations of one user, or of all: a fault.
    Enumerations,
    /// `MaxEnvelopeSize`, of an answer: a fault.
    AnswerSize,
    /// `MaxBatchItems`: fewer items at once than were asked for.
    Batch,
}

/// What a request asks for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Operation {
    /// Who answers here?
    Identify,
    /// An instance, or part of it.
    Get,
    /// Its values.
    Put,
    /// A new one.
    Create,
    /// None any more.
    Delete,
    /// A listing.
    Enumerate,
    /// More of it.
    Pull,
    /// No more of it.
    Release,
    /// A longer life for it.
    Renew,
    /// How long it lives.
    GetStatus,
    /// A method, or what is not known.
    Invoke,
}

/// Something that is there at the moment.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Gauge {
    /// Connections that have a place.
    Connections,
    /// Open enumerations.
    Enumerations,
    /// Requests at work.
    Operations,
    /// Uploads of others that are under way.
    UploadSessions,
    /// When the server's certificate ends.
    CertificateExpiry,
    /// When the first of the lists of revoked certificates ends.
    RevocationListsExpiry,
}

impl Counter {
    /// Counts it.
    pub(crate) fn bump(self) {
        self.cell().fetch_add(1, Ordering::Relaxed);
    }

    /// Counts so many.
    pub(crate) fn add(self, many: u64) {
        self.cell().fetch_add(many, Ordering::Relaxed);
    }

    /// How often it happened.
    #[cfg(test)]
    pub(crate) fn count(self) -> u64 {
        self.cell().load(Ordering::Relaxed)
    }

    fn cell(self) -> &'static AtomicU64 {
        match self {
            Self::Refused(limit) => &REFUSED[limit as usize],
            Self::Request(operation) => &REQUESTS[operation as usize],
            Self::CertificateRefused => &EVENTS[0],
            Self::LogOnLockedOut => &EVENTS[1],
            Self::LogOnDelayed => &EVENTS[2],
            Self::LogOnUnbound => &EVENTS[3],
            Self::LogOnMisbound => &EVENTS[4],
            Self::SealBroken => &EVENTS[5],
            Self::AccountLocked => &LOCK_OUTS[0],
            Self::AddressLocked => &LOCK_OUTS[1],
            Self::UploadCompleted => &EVENTS[6],
            Self::UploadOctets => &EVENTS[7],
        }
    }
}

impl Gauge {
    /// One more.
    pub(crate) fn up(self) {
        GAUGES[self as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// So many less.
    pub(crate) fn down(self) {
        GAUGES[self as usize].fetch_sub(1, Ordering::Relaxed);
    }

    /// So it is now: an instant, in seconds since 1970. What has no instant is
    /// set to 0, and not shown.
    pub(crate) fn set_to(self, instant: SystemTime) {
        let since = instant.duration_since(SystemTime::UNIX_EPOCH);
        let seconds = since.unwrap_or_default().as_secs();
        let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
        GAUGES[self as usize].store(seconds, Ordering::Relaxed);
    }
}

/// Counts a fault by the name of its subcode, `wsman:AccessDenied`. The names
/// are those of the program, so there is an end to them.
pub(crate) fn fault(prefix: &'static str, subcode: &'static str) {
    let mut faults = faults();
    match faults
        .iter_mut()
        .find(|(known, _)| *known == (prefix, subcode))
    {
        Some((_, count)) => *count += 1,
        None => faults.push(((prefix, subcode), 1)),
    }
}

/// Counts what came of a log-on by `scheme`, `Basic`. The schemes are those of
/// the program.
pub(crate) fn log_on(came_to: LogOn, scheme: &'static str) {
    let mut log_ons = log_ons();
    let at = log_ons.iter().position(|(known, _)| *known == scheme);
    let at = at.unwrap_or_else(|| {
        log_ons.push((scheme, [0; LOG_ON_NAMES.len()]));
        log_ons.len() - 1
    });
    log_ons[at].1[came_to as usize] += 1;
}

/// Everything, in the text format of Prometheus; `jobs` if they can be
/// counted.
pub(crate) fn text(jobs: Option<u64>) -> String {
    let mut text = String::with_capacity(4_096);
    let load = |cell: &AtomicU64| cell.load(Ordering::Relaxed);
    let out = &mut text;
    head(
        out,
        "bitsd_requests_total",
        "counter",
        "Requests by operation.",
    );
    for (name, cell) in OPERATIONS.iter().zip(&REQUESTS) {
        sample(out, "bitsd_requests_total", "operation", name, load(cell));
    }
    head(out, "bitsd_faults_total", "counter", "Faults by subcode.");
    for ((prefix, subcode), count) in &*faults() {
        let colon = if prefix.is_empty() { "" } else { ":" };
        let name = [prefix, colon, subcode].concat();
        sample(out, "bitsd_faults_total", "code", &name, *count);
    }
    head(
        out,
        "bitsd_refusals_total",
        "counter",
        "What a limit refused, cut short or turned away.",
    );
    for (name, cell) in LIMITS.iter().zip(&REFUSED) {
        sample(out, "bitsd_refusals_total", "limit", name, load(cell));
    }
    for (at, (name, help)) in LOG_ON_NAMES.iter().enumerate() {
        head(out, name, "counter", help);
        for (scheme, counts) in &*log_ons() {
            sample(out, name, "scheme", scheme, counts[at]);
        }
    }
    head(
        out,
        "bitsd_lock_outs_total",
        "counter",
        "Accounts and addresses that were locked out.",
    );
    for (name, cell) in LOCKED.iter().zip(&LOCK_OUTS) {
        sample(out, "bitsd_lock_outs_total", "of", name, load(cell));
    }
    for ((name, help), cell) in EVENT_NAMES.iter().zip(&EVENTS) {
        head(out, name, "counter", help);
        plain(out, name, load(cell));
    }
    for ((name, help), cell) in GAUGE_NAMES.iter().zip(&GAUGES) {
        let value = cell.load(Ordering::Relaxed);
        if value == 0 && name.ends_with("_timestamp_seconds") {
            continue;
        }
        head(out, name, "gauge", help);
        plain(out, name, u64::try_from(value).unwrap_or(0));
    }
    if let Some(jobs) = jobs {
        head(out, "bitsd_jobs", "gauge", "Jobs in the store.");
        plain(out, "bitsd_jobs", jobs);
    }
    text
}

// Writing to a string does not fail.

fn head(out: &mut String, name: &str, kind: &str, help: &str) {
    let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

fn plain(out: &mut String, name: &str, value: u64) {
    let _ = writeln!(out, "{name} {value}");
}

/// Labels are words of the program: nothing in them needs an escape.
fn sample(out: &mut String, name: &str, label: &str, word: &str, value: u64) {
    let _ = writeln!(out, "{name}{{{label}=\"{word}\"}} {value}");
}

/// As [`faults`].
fn log_ons() -> MutexGuard<'static, Vec<(&'static str, [u64; LOG_ON_NAMES.len()])>> {
    LOG_ONS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A count is one step: there is nothing half-done to find after a panic.
fn faults() -> MutexGuard<'static, Vec<((&'static str, &'static str), u64)>> {
    FAULTS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// In the order of [`Limit`].
const LIMITS: [&str; 10] = [
    "request_size",
    "packet_retrieval_time",
    "waiting_log_ons",
    "connections",
    "anonymous_connections",
    "log_on_time",
    "operations_per_user",
    "enumerations",
    "answer_size",
    "batch",
];

/// In the order of [`Operation`].
const OPERATIONS: [&str; 11] = [
    "identify",
    "get",
    "put",
    "create",
    "delete",
    "enumerate",
    "pull",
    "release",
    "renew",
    "get_status",
    "invoke",
];

/// In the order of [`LogOn`].
const LOG_ON_NAMES: [(&str, &str); 2] = [
    (
        "bitsd_log_ons_total",
        "Log-ons that were proved, but for those remembered.",
    ),
    ("bitsd_log_ons_refused_total", "Log-ons that failed."),
];

/// In the order of [`LOCK_OUTS`].
const LOCKED: [&str; 2] = ["account", "address"];

/// In the order of [`EVENTS`].
const EVENT_NAMES: [(&str, &str); 8] = [
    (
        "bitsd_client_certificates_refused_total",
        "Client certificates that could not be verified.",
    ),
    (
        "bitsd_log_ons_locked_out_total",
        "Log-ons refused because the account or the address is locked out.",
    ),
    (
        "bitsd_log_ons_delayed_total",
        "Failed log-ons whose answer was held back.",
    ),
    (
        "bitsd_log_ons_unbound_total",
        "Log-ons without the channel binding that they must have.",
    ),
    (
        "bitsd_log_ons_misbound_total",
        "Log-ons that were bound to another TLS connection.",
    ),
    (
        "bitsd_sealed_messages_refused_total",
        "Sealed messages that were refused, each with its log-on.",
    ),
    (
        "bitsd_uploads_received_total",
        "Uploads of others that came whole.",
    ),
    (
        "bitsd_upload_octets_received_total",
        "Octets of uploads of others.",
    ),
];

/// In the order of [`Gauge`].
const GAUGE_NAMES: [(&str, &str); 6] = [
    (
        "bitsd_connections",
        "Connections, those that wait for a place left out.",
    ),
    ("bitsd_enumerations", "Open enumerations."),
    ("bitsd_operations", "Requests at work."),
    (
        "bitsd_upload_sessions",
        "Uploads of others that are under way.",
    ),
    (
        "bitsd_certificate_expiry_timestamp_seconds",
        "When the certificate of the service ends, in seconds since 1970.",
    ),
    (
        "bitsd_client_revocation_lists_expiry_timestamp_seconds",
        "When the first list of revoked client certificates ends, in seconds since 1970.",
    ),
];

static REFUSED: [AtomicU64; LIMITS.len()] = [const { AtomicU64::new(0) }; LIMITS.len()];
static REQUESTS: [AtomicU64; OPERATIONS.len()] = [const { AtomicU64::new(0) }; OPERATIONS.len()];
static EVENTS: [AtomicU64; EVENT_NAMES.len()] = [const { AtomicU64::new(0) }; EVENT_NAMES.len()];
static LOCK_OUTS: [AtomicU64; LOCKED.len()] = [const { AtomicU64::new(0) }; LOCKED.len()];
static GAUGES: [AtomicI64; GAUGE_NAMES.len()] = [const { AtomicI64::new(0) }; GAUGE_NAMES.len()];

/// By scheme.
static LOG_ONS: Mutex<Vec<(&str, [u64; LOG_ON_NAMES.len()])>> = Mutex::new(Vec::new());

/// By prefix and subcode. Faults are rare, and the names some forty.
static FAULTS: Mutex<Vec<((&str, &str), u64)>> = Mutex::new(Vec::new());

#[cfg(test)]
mod tests {
    use super::*;

    // Other tests of this process count too: what is compared is what grew.

    fn value(text: &str, sample: &str) -> u64 {
        let mut lines = text.lines();
        let line = lines.find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
        line.map_or(0, |value| value.parse().expect("a number"))
    }

    #[test]
    fn what_happened_stands_in_the_text_under_its_name() {
        let cases = [
            (
                Counter::Refused(Limit::Batch),
                "bitsd_refusals_total{limit=\"batch\"}",
            ),
            (
                Counter::Request(Operation::Invoke),
                "bitsd_requests_total{operation=\"invoke\"}",
            ),
            (
                Counter::Request(Operation::Identify),
                "bitsd_requests_total{operation=\"identify\"}",
            ),
            (
                Counter::CertificateRefused,
                "bitsd_client_certificates_refused_total",
            ),
        ];
        for (counter, name) in cases {
            let before = value(&text(None), name);
            counter.bump();
            assert!(value(&text(None), name) > before, "{name}");
        }
    }

    #[test]
    fn faults_are_counted_by_their_subcode() {
        fault("x", "OnlyInThisTest");
        fault("", "OnlyInThisTest");
        fault("x", "OnlyInThisTest");
        let text = text(Some(7));
        let name = |name| format!("bitsd_faults_total{{code=\"{name}\"}}");
        assert_eq!(value(&text, &name("x:OnlyInThisTest")), 2);
        assert_eq!(value(&text, &name("OnlyInThisTest")), 1);
        assert_eq!(value(&text, "bitsd_jobs"), 7);
    }

    #[test]
    fn an_end_is_told_in_seconds_since_1970_once_there_is_one() {
        let name = "bitsd_client_revocation_lists_expiry_timestamp_seconds";
        let end = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_900_000_000);
        Gauge::RevocationListsExpiry.set_to(end);
        assert_eq!(value(&text(None), name), 1_900_000_000);
        Gauge::RevocationListsExpiry.set_to(SystemTime::UNIX_EPOCH);
        assert!(!text(None).contains(name));
    }

    #[test]
    fn every_sample_follows_help_and_type_of_its_family() {
        Gauge::Enumerations.up();
        Gauge::Enumerations.down();
        let text = text(Some(1));
        let mut family = "";
        for line in text.lines() {
            if let Some(help) = line.strip_prefix("# HELP ") {
                family = help.split(' ').next().unwrap_or_default();
                let kind = if family.ends_with("_total") {
                    "counter"
                } else {
                    "gauge"
                };
                assert!(text.contains(&format!("\n# TYPE {family} {kind}\n")));
            } else if !line.starts_with("# TYPE ") {
                let name = line.split(['{', ' ']).next();
                assert_eq!(name, Some(family), "{line}");
            }
        }
    }
}
