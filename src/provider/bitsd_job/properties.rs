//! The properties that `BitsdJob` adds, of one job.

use crate::bits::Hresult;
use crate::bits::Job;
use crate::bits::JobError;
use crate::bits::JobType;
use crate::bits::Language;
use crate::bits::Phase;
use crate::bits::Proxy;
use crate::bits::Timestamp;
use crate::cim::Instance;
use crate::cim::Value;
use crate::engine::Caller;
use crate::engine::Engine;
use crate::engine::Standing;
use crate::provider::Error;
use crate::provider::bits_client_file::UNKNOWN;
use crate::provider::bits_client_job::sentence;

/// Sets those that are wanted; gives about how many octets they take.
pub(super) fn fill(
    engine: &Engine,
    by: &Caller,
    job: &Job,
    instance: &mut Instance,
    is_wanted: &dyn Fn(&str) -> bool,
) -> Result<usize, Error> {
    let mut filled = Filled {
        instance,
        is_wanted,
        size: LEAST_SIZE,
    };
    filled.options(engine, by, job)?;
    filled.reply(engine, job)?;
    filled.proxy(by, job)?;
    if let Some(error) = &job.error {
        filled.error(error)?;
    }
    if STANDING.iter().any(|name| is_wanted(name)) {
        filled.standing(&engine.standing(by, job.id)?)?;
    }
    Ok(filled.size)
}

struct Filled<'i> {
    instance: &'i mut Instance,
    is_wanted: &'i dyn Fn(&str) -> bool,
    size: usize,
}

impl Filled<'_> {
    fn set(&mut self, name: &str, value: Option<Value>) -> Result<(), Error> {
        let Some(value) = value.filter(|_| (self.is_wanted)(name)) else {
            return Ok(());
        };
        self.size += octets(&value);
        Ok(self.instance.set(name, value)?)
    }

    fn options(&mut self, engine: &Engine, by: &Caller, job: &Job) -> Result<(), Error> {
        let options = &job.options;
        self.set("Type", Some(Value::Uint16(job.kind as u16)))?;
        let method = options
            .method
            .as_deref()
            .unwrap_or(if job.kind.is_upload() {
                "BITS_POST"
            } else {
                "GET"
            });
        self.set("HttpMethod", Some(method.into()))?;
        if (self.is_wanted)("CustomHeaders") {
            let headers = engine.headers(by, job)?;
            let headers = headers.map(|headers| headers.reveal().into());
            self.set("CustomHeaders", headers)?;
        }
        self.set(
            "HeadersWriteOnly",
            Some(Value::Boolean(options.headers_are_write_only)),
        )?;
        self.set("SecurityFlags", Some(Value::Uint32(options.security_flags)))?;
        self.set("ServerThumbprints", texts(&options.thumbprints))?;
        let seconds = options.maximum_download_time_s;
        let seconds = seconds.map(|s| Value::Uint32(u32::try_from(s).unwrap_or(u32::MAX)));
        self.set("MaximumDownloadTime", seconds)?;
        self.set(
            "MaxDownloadSize",
            options.max_download_size.map(Value::Uint64),
        )?;
        self.set(
            "DynamicContent",
            Some(Value::Boolean(options.dynamic_content)),
        )?;
        self.set(
            "RequireRanges",
            Some(Value::Boolean(options.require_ranges)),
        )?;
        let reply = options.reply.as_ref();
        let reply = reply.map(|reply| reply.local_file.as_str().into());
        self.set("ReplyFileName", reply)?;
        self.set("Labels", texts(&options.labels))?;
        self.set("StartAfter", options.start_after.map(instant))
    }

    fn reply(&mut self, engine: &Engine, job: &Job) -> Result<(), Error> {
        let names = ["ReplyBytesTotal", "ReplyBytesTransferred"];
        if job.kind != JobType::UploadReply || !names.iter().any(|name| (self.is_wanted)(name)) {
            return Ok(());
        }
        let file = engine.files(job, 0, 1)?.into_iter().next();
        let reply = file
            .and_then(|file| file.upload)
            .and_then(|upload| upload.reply)
            .unwrap_or_default();
        let total = reply.size.unwrap_or(UNKNOWN);
        self.set(names[0], Some(Value::Uint64(total)))?;
        self.set(names[1], Some(Value::Uint64(reply.durable)))
    }

    fn proxy(&mut self, by: &Caller, job: &Job) -> Result<(), Error> {
        let (usage, lists) = match &job.proxy {
            Proxy::Preconfig => (0, None),
            Proxy::None => (1, None),
            Proxy::Override { list, bypass } => (2, Some((list, bypass))),
            Proxy::Automatic => (3, None),
        };
        self.set("ProxyUsage", Some(Value::Uint32(usage)))?;
        // The owner wrote them; they may name what others need not know.
        if let Some((list, bypass)) = lists.filter(|_| job.owner == by.owner) {
            self.set("ProxyList", Some(list.as_str().into()))?;
            let bypass = Some(bypass.as_str()).filter(|bypass| !bypass.is_empty());
            self.set("ProxyBypassList", bypass.map(Value::from))?;
        }
        Ok(())
    }

    fn error(&mut self, error: &JobError) -> Result<(), Error> {
        let about = &error.circumstances;
        self.set("ErrorCode", Some(Value::Uint32(error.code.number())))?;
        self.set("ErrorContext", Some(Value::Uint32(error.context as u32)))?;
        let words = described(error.code, &error.detail);
        self.set("ErrorDescription", Some(Value::String(words)))?;
        self.set(
            "ErrorPhase",
            about.phase.map(|phase| phase_name(phase).into()),
        )?;
        self.set("ErrorUrl", about.url.as_deref().map(Value::from))?;
        self.set("ErrorHttpStatus", about.status.map(Value::Uint16))?;
        self.set("ErrorFileIndex", error.file.map(Value::Uint32))
    }

    fn standing(&mut self, standing: &Standing) -> Result<(), Error> {
        let waits_for = standing.waits_for.map(|what| what.as_str().into());
        self.set("WaitingFor", waits_for)?;
        let place = standing.place;
        let position = place.map(|place| Value::Uint64(place.ahead.saturating_add(1)));
        self.set("QueuePosition", position)?;
        self.set(
            "QueueAccounts",
            place.map(|place| Value::Uint64(place.accounts)),
        )?;
        self.set("RetryAt", standing.until.map(instant))?;
        self.set("ServerRetryAt", standing.server_retry_at.map(instant))?;
        self.set("EndsAt", standing.ends_at.map(instant))?;
        self.set("BytesPerSecond", standing.octets_per_s.map(Value::Uint64))
    }
}

fn described(code: Hresult, detail: &str) -> String {
    let message = code.message(Language::English);
    if detail.is_empty() {
        sentence(message)
    } else {
        sentence(&[message, ": ", detail].concat())
    }
}

const fn phase_name(phase: Phase) -> &'static str {
    match phase {
        Phase::Resolving => "Resolving",
        Phase::Connecting => "Connecting",
        Phase::Securing => "Securing",
        Phase::Asking => "Asking",
        Phase::Receiving => "Receiving",
        Phase::Sending => "Sending",
        Phase::LocalFile => "LocalFile",
        Phase::Verifying => "Verifying",
        Phase::Completing => "Completing",
    }
}

fn instant(at: Timestamp) -> Value {
    Value::Uint64(at.ticks())
}

fn texts(texts: &[String]) -> Option<Value> {
    let values = texts.iter().map(|text| text.as_str().into()).collect();
    (!texts.is_empty()).then_some(Value::Array(values))
}

/// About how many octets the text in a value takes.
fn octets(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len(),
        Value::Array(values) => values.iter().map(|value| 48 + octets(value)).sum(),
        _ => 0,
    }
}

/// What the engine's standing is asked for.
const STANDING: [&str; 7] = [
    "WaitingFor",
    "QueuePosition",
    "QueueAccounts",
    "RetryAt",
    "ServerRetryAt",
    "EndsAt",
    "BytesPerSecond",
];

/// Octets that these properties at least take in an answer.
const LEAST_SIZE: usize = 1_500;
