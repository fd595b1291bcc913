//! What a file `tests/fixtures/THEME.toml` says.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::path::PathBuf;

use serde::Deserialize;

/// A part of the protocol, and what clients ask of it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Theme {
    /// Settings of the service besides those that every theme has.
    #[serde(default)]
    pub(super) settings: toml::Table,
    pub(super) story: Vec<Story>,
}

/// Requests of one client to one service, in order.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Story {
    /// The account that logs on, which sees only its own jobs. No two stories
    /// of a theme have the same.
    pub(super) account: String,
    /// Which client sends this.
    pub(super) client: String,
    /// Where the shape of its requests is known from.
    pub(super) source: String,
    /// Header lines that it sends with every request, in this order.
    #[serde(default)]
    pub(super) headers: Vec<String>,
    #[serde(default = "usual_type")]
    pub(super) content_type: String,
    pub(super) step: Vec<Step>,
}

/// A request, and what its answer must be like.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Step {
    /// What the user did.
    pub(super) shows: String,
    /// `FOLDER/NAME`: the request stands in `FOLDER/NAME.xml`.
    pub(super) request: String,
    /// The same for `FOLDER/NAME.answer.xml`, where it is another name.
    answer: Option<String>,

    /// 200 unless given, 500 for a fault.
    status: Option<u16>,
    /// Subcode (or the code itself), number and, after it, the last part of
    /// `wsman:FaultDetail`.
    pub(super) fault: Option<String>,
    /// What the answer contains, once masked.
    #[serde(default)]
    pub(super) contains: Vec<String>,
    /// And what it must not contain.
    #[serde(default)]
    pub(super) lacks: Vec<String>,
    /// Header lines that come with it.
    #[serde(default)]
    pub(super) answers: Vec<String>,
    /// `Content-Type` of the answer, where it is not that of the request.
    pub(super) answer_type: Option<String>,

    #[serde(default)]
    pub(super) encoding: Encoding,
    /// Instead of the story's; empty for none at all.
    pub(super) content_type: Option<String>,
    #[serde(default = "usual_path")]
    pub(super) path: String,
    #[serde(default = "usual_method")]
    pub(super) method: String,
    /// Header lines besides the story's.
    #[serde(default)]
    pub(super) headers: Vec<String>,
    /// Sent without log-on.
    #[serde(default)]
    pub(super) anonymous: bool,
    /// The request is meant to be no XML.
    #[serde(default)]
    pub(super) malformed: bool,
    /// How long to wait before the request is sent.
    #[serde(default)]
    pub(super) pause_ms: u64,
    /// Blanks behind the envelope.
    #[serde(default)]
    pub(super) pad: usize,
    /// What the names in braces stand for, in this request only.
    #[serde(default)]
    pub(super) set: BTreeMap<String, String>,
    /// Elements of the answer whose text later requests name: `Element`, or
    /// `Element as Name`.
    #[serde(default)]
    pub(super) keeps: Vec<String>,
    /// `Name=Value` in the instance that the last Get gave, which then is
    /// `{Instance}`.
    pub(super) edits: Option<String>,
    /// The state of `{JobId}` to wait for afterwards.
    pub(super) waits: Option<u16>,
}

/// How a request is written, and its answer with it.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Encoding {
    #[default]
    #[serde(rename = "utf-8")]
    Utf8,
    /// Little-endian with byte order mark.
    #[serde(rename = "utf-16")]
    Utf16,
    /// The same without the mark; the answer has it.
    #[serde(rename = "utf-16-without-mark")]
    Utf16WithoutMark,
    /// One octet a character; the answer is in UTF-8.
    Latin1,
}

impl Theme {
    pub(super) fn read(name: &str) -> Self {
        let path = fixtures().join(name).with_extension("toml");
        let text = fs::read_to_string(&path).expect("the theme has a file");
        toml::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }
}

impl Step {
    /// The file with the request.
    pub(super) fn request_file(&self) -> PathBuf {
        fixtures().join(format!("{}.xml", self.request))
    }

    /// The file with the expected answer.
    pub(super) fn answer_file(&self) -> PathBuf {
        let name = self.answer.as_ref().unwrap_or(&self.request);
        fixtures().join(format!("{name}.answer.xml"))
    }

    /// The expected HTTP status.
    pub(super) fn status(&self) -> u16 {
        let usual = if self.fault.is_some() { 500 } else { 200 };
        self.status.unwrap_or(usual)
    }
}

/// The folder of the requests and answers.
pub(super) fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

fn usual_type() -> String {
    "application/soap+xml;charset=UTF-8".to_owned()
}

fn usual_path() -> String {
    "/wsman".to_owned()
}

fn usual_method() -> String {
    "POST".to_owned()
}
