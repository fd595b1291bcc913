//! What the methods of `BitsdJob` are called with, and what a Create or Put
//! gives, as the engine's values.

use super::base::bad;
use super::base::changes;
use super::base::failed;
use super::base::not_among;
use super::base::number;
use super::base::optional_number;
use super::base::optional_text;
use super::base::text;
use crate::bits::Declined;
use crate::bits::Hresult;
use crate::bits::JobOptions;
use crate::bits::JobType;
use crate::bits::NumberedProperty;
use crate::bits::OptionChange;
use crate::bits::OptionRefused;
use crate::bits::ReplyFile;
use crate::bits::Secret;
use crate::bits::Stage;
use crate::bits::Timestamp;
use crate::bits::check_headers;
use crate::bits::read_ranges;
use crate::bits::read_sha256;
use crate::cim::Value;
use crate::cim::Values;
use crate::engine::Wish;
use crate::engine::WishedFile;
use crate::engine::WishedOptions;
use crate::provider::About;
use crate::provider::Error;
use crate::provider::Wrong;

/// `CreateJob`: the one file of the inherited method, those behind it, and all
/// that a job can have from its beginning.
pub(super) fn wish(arguments: &mut Values) -> Result<Wish, Error> {
    if let Some(account @ 3..) = optional_number(arguments, "ServiceAccount")? {
        let code = Hresult::E_INVALIDARG;
        return Err(not_among(code, "ServiceAccount", account, ACCOUNTS));
    }
    let mut files = Vec::new();
    let one_file = ["RemoteUrl", "LocalFile", "Ranges", "ExpectedSha256"];
    if one_file.iter().any(|name| arguments.value(name).is_some()) {
        files.push(WishedFile {
            remote_url: address(arguments, "RemoteUrl")?,
            local_file: text(arguments, "LocalFile")?,
            ..parts(arguments)?
        });
    }
    if let Some(more) = arguments.take("Files") {
        files.extend(self::files(Some(more))?);
    }
    if files.is_empty() {
        return Err(bad("RemoteUrl", Wrong::Missing));
    }
    let is_set = |arguments: &Values, name| match arguments.value(name) {
        None => Ok(false),
        Some(Value::Boolean(is_set)) => Ok(*is_set),
        Some(_) => Err(bad(name, Wrong::Type)),
    };
    let (display_name, description) = (
        text(arguments, "DisplayName")?,
        optional_text(arguments, "Description")?,
    );
    let suspended = is_set(arguments, "Suspend")?;
    let write_only = is_set(arguments, "HeadersWriteOnly")?;
    let kind = kind(arguments)?;
    let mut given = options(arguments)?;
    if write_only {
        given.changes.push(OptionChange::HeadersWriteOnly);
    }
    let mut rest = Values::new();
    for name in ["Priority", "MinimumRetryDelay", "NoProgressTimeout"] {
        if let Some(value) = arguments.take(name) {
            rest.insert(name, Some(value));
        }
    }
    new(
        Wish {
            kind,
            display_name,
            description: description.unwrap_or_default(),
            files,
            suspended,
            changes: changes(&rest)?,
            ..Wish::default()
        },
        given,
    )
}

/// Create: the writable properties, the type, and files. The job waits for its
/// Resume.
pub(super) fn creation(mut values: Values) -> Result<Wish, Error> {
    let kind = kind(&values)?;
    let _ = values.take("Type");
    let options = options(&mut values)?;
    let wish = super::base::creation(values)?;
    new(Wish { kind, ..wish }, options)
}

/// The wish with these options, which must fit a job that was never resumed.
fn new(mut wish: Wish, given: WishedOptions) -> Result<Wish, Error> {
    let stage = Stage {
        kind: wish.kind,
        was_resumed: false,
    };
    let mut options = JobOptions::default();
    for change in given.changes {
        options.set(change, stage)?;
    }
    wish.options = options;
    wish.headers = given.headers.filter(|headers| !headers.reveal().is_empty());
    Ok(wish)
}

/// Takes the options out of what a client gave; null is what a job has that
/// nobody has set anything of, but for the custom headers: who is not shown
/// them puts back null.
pub(super) fn options(values: &mut Values) -> Result<WishedOptions, Error> {
    let mut wished = WishedOptions::default();
    let names: Vec<String> = values.iter().map(|(name, _)| name.to_owned()).collect();
    for name in names {
        let value = values.value(&name);
        let change = match name.as_str() {
            "CustomHeaders" => {
                wished.headers = match value {
                    None => None,
                    Some(Value::String(text)) => Some(headers(text)?),
                    Some(_) => return Err(bad(&name, Wrong::Type)),
                };
                None
            }
            _ => match option(&name, value)? {
                Some(change) => Some(change),
                None => continue,
            },
        };
        wished.changes.extend(change);
        let _ = values.take(&name);
    }
    Ok(wished)
}

/// The option with this name; none when it is none.
fn option(name: &str, value: Option<&Value>) -> Result<Option<OptionChange>, Error> {
    let wrong = || Err(bad(name, Wrong::Type));
    Ok(Some(match (name, value) {
        ("HttpMethod", None) => OptionChange::Method(None),
        ("HttpMethod", Some(Value::String(method))) => OptionChange::Method(Some(method.clone())),
        ("SecurityFlags", None) => OptionChange::SecurityFlags(0),
        ("SecurityFlags", Some(Value::Uint32(flags))) => OptionChange::SecurityFlags(*flags),
        ("ServerThumbprints", value) => OptionChange::Thumbprints(texts(name, value)?),
        ("MaximumDownloadTime", None) => OptionChange::MaximumDownloadTime(None),
        ("MaximumDownloadTime", Some(Value::Uint32(seconds))) => {
            OptionChange::MaximumDownloadTime(Some((*seconds).into()))
        }
        ("MaxDownloadSize", None) => OptionChange::MaxDownloadSize(None),
        ("MaxDownloadSize", Some(Value::Uint64(octets))) => {
            OptionChange::MaxDownloadSize(Some(*octets))
        }
        ("DynamicContent", None) => OptionChange::DynamicContent(false),
        ("DynamicContent", Some(Value::Boolean(is_set))) => OptionChange::DynamicContent(*is_set),
        ("RequireRanges", None) => OptionChange::RequireRanges(false),
        ("RequireRanges", Some(Value::Boolean(is_set))) => OptionChange::RequireRanges(*is_set),
        ("ReplyFileName", None) => OptionChange::Reply(None),
        ("ReplyFileName", Some(Value::String(local_file))) => {
            OptionChange::Reply(Some(ReplyFile {
                local_file: local_file.clone(),
                path: std::path::PathBuf::new(),
            }))
        }
        ("Labels", value) => OptionChange::Labels(texts(name, value)?),
        ("StartAfter", None | Some(Value::Uint64(0))) => OptionChange::StartAfter(None),
        ("StartAfter", Some(Value::Uint64(ticks))) => {
            OptionChange::StartAfter(Some(Timestamp::from_ticks(*ticks)))
        }
        (
            "HttpMethod"
            | "SecurityFlags"
            | "MaximumDownloadTime"
            | "MaxDownloadSize"
            | "DynamicContent"
            | "RequireRanges"
            | "ReplyFileName"
            | "StartAfter",
            Some(_),
        ) => return wrong(),
        (_, _) => return Ok(None),
    }))
}

/// `SetProperty`: a property by its number, its value as text.
pub(super) fn numbered_property(arguments: &Values) -> Result<OptionChange, Error> {
    let id = match arguments.value("PropertyId") {
        Some(Value::Uint32(id)) => *id,
        Some(_) => return Err(bad("PropertyId", Wrong::Type)),
        None => return Err(bad("PropertyId", Wrong::Missing)),
    };
    let not_settable = || failed(Hresult::E_INVALIDARG, "Value", Wrong::NotSettable);
    let value = || text(arguments, "Value").map(|value| value.trim().to_ascii_lowercase());
    match NumberedProperty::from_number(id) {
        Some(NumberedProperty::DynamicContent) => match value()?.as_str() {
            "true" | "1" => Ok(OptionChange::DynamicContent(true)),
            "false" | "0" => Ok(OptionChange::DynamicContent(false)),
            _ => Err(not_settable()),
        },
        Some(NumberedProperty::MaxDownloadSize) => match value()?.parse() {
            Ok(octets) => Ok(OptionChange::MaxDownloadSize(Some(octets))),
            Err(_) => Err(not_settable()),
        },
        Some(NumberedProperty::Declined(declined)) => Err(declined.into()),
        None => Err(Error::Failed {
            code: Hresult::BG_E_UNKNOWN_PROPERTY_ID,
            about: About::Nothing,
        }),
    }
}

/// `AddFile`.
pub(super) fn file(arguments: &Values) -> Result<WishedFile, Error> {
    Ok(WishedFile {
        remote_url: address(arguments, "remoteUrl")?,
        local_file: text(arguments, "localFile")?,
        ..parts(arguments)?
    })
}

/// `AddFileSet`: instances of `BitsdFileSpec`.
pub(super) fn files(files: Option<Value>) -> Result<Vec<WishedFile>, Error> {
    let Some(Value::Array(files)) = files else {
        return Err(bad("Files", Wrong::Missing));
    };
    let given = files.iter().map(|file| {
        let Value::Instance(file) = file else {
            return Err(bad("Files", Wrong::Type));
        };
        let mut values = Values::new();
        for name in ["RemoteUrl", "LocalFile", "Ranges", "ExpectedSha256"] {
            values.insert(name, file.value(name).cloned());
        }
        Ok(WishedFile {
            remote_url: address(&values, "RemoteUrl")?,
            local_file: text(&values, "LocalFile")?,
            ..parts(&values)?
        })
    });
    given.collect()
}

/// A remote address, unless it is of a kind that is declined.
pub(in crate::provider) fn address(arguments: &Values, name: &str) -> Result<String, Error> {
    let url = text(arguments, name)?;
    match Declined::remote_address(&url) {
        Some(declined) => Err(declined.into()),
        None => Ok(url),
    }
}

/// `Ranges` and `ExpectedSha256` of a file.
fn parts(arguments: &Values) -> Result<WishedFile, Error> {
    // An empty text is none: a script has no other way to leave one out.
    let given = |name| {
        let text = optional_text(arguments, name)?;
        Ok::<_, Error>(text.filter(|text| !text.trim().is_empty()))
    };
    let ranges = match given("Ranges")? {
        None => Vec::new(),
        Some(text) => {
            read_ranges(&text).map_err(|code| failed(code, "Ranges", Wrong::NotRanges))?
        }
    };
    let sha256 = match given("ExpectedSha256")? {
        None => None,
        Some(text) => Some(
            read_sha256(&text)
                .ok_or_else(|| failed(Hresult::E_INVALIDARG, "ExpectedSha256", Wrong::NotSha256))?,
        ),
    };
    Ok(WishedFile {
        ranges,
        sha256,
        ..WishedFile::default()
    })
}

/// Custom headers, checked. No error repeats what was given.
fn headers(text: &str) -> Result<Secret, Error> {
    let checked = check_headers(text).map_err(|code| {
        let wrong = if code == Hresult::BG_E_STRING_TOO_LONG {
            Wrong::TooLong(MAX_HEADERS)
        } else {
            Wrong::NotHeaders
        };
        failed(code, "CustomHeaders", wrong)
    })?;
    Ok(Secret::new(checked))
}

fn kind(values: &Values) -> Result<JobType, Error> {
    if values.value("Type").is_none() {
        return Ok(JobType::default());
    }
    let kind = number(values, "Type")?;
    JobType::from_number(kind).ok_or_else(|| not_among(Hresult::E_NOTIMPL, "Type", kind, TYPES))
}

/// An array of texts; an empty text in it is none.
fn texts(name: &str, value: Option<&Value>) -> Result<Vec<String>, Error> {
    let wrong = || bad(name, Wrong::Type);
    match value {
        None => Ok(Vec::new()),
        Some(Value::Array(values)) => {
            let texts = values.iter().map(|value| match value {
                Value::String(text) => Ok(text.clone()),
                _ => Err(wrong()),
            });
            let texts: Vec<String> = texts.collect::<Result<_, _>>()?;
            Ok(texts.into_iter().filter(|text| !text.is_empty()).collect())
        }
        Some(_) => Err(wrong()),
    }
}

impl From<OptionRefused> for Error {
    fn from(OptionRefused { option, code }: OptionRefused) -> Self {
        failed(code, option, Wrong::NotSettable)
    }
}

const TYPES: &str = "0 (Download), 1 (Upload), 2 (UploadReply)";
const ACCOUNTS: &str = "0 (LocalSystem), 1 (LocalService), 2 (NetworkService)";

/// 16,384 with the NUL at its end.
const MAX_HEADERS: usize = 16_383;
