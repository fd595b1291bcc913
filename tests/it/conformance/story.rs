//! Plays the requests of one client and judges the answers.

use std::collections::BTreeMap;
use std::fs;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use uuid::Uuid;

use super::client::Answer;
use super::client::Client;
use super::daemon::Daemon;
use super::daemon::PASSWORD;
use super::document;
use super::document::Element;
use super::mask::mask;
use super::origin::Origin;
use super::theme::Encoding;
use super::theme::Step;
use super::theme::Story;

/// One client against a service that runs.
pub(super) struct Play<'a> {
    story: &'a Story,
    daemon: &'a Daemon,
    client: Client,
    /// What names in braces stand for.
    values: BTreeMap<String, String>,
    /// The body of the last Get of an instance.
    instance: String,
}

/// What to do with answers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Mode {
    /// Hold them against the files.
    Compare,
    /// Write the files.
    Record,
}

impl<'a> Play<'a> {
    pub(super) fn new(story: &'a Story, daemon: &'a Daemon, origin: &Origin) -> Self {
        let account = &story.account;
        let origin = format!("http://127.0.0.1:{}", origin.port);
        let file = daemon.files().join(account).join("file.bin");
        let values = [
            ("Host", format!("127.0.0.1:{}", daemon.port)),
            ("Port", daemon.port.to_string()),
            ("Account", account.clone()),
            ("RemoteUrl", format!("{origin}/{account}")),
            ("MissingUrl", format!("{origin}/missing/{account}")),
            ("Origin", origin),
            ("LocalFile", file.to_string_lossy().into_owned()),
            ("Files", daemon.files().to_string_lossy().into_owned()),
            ("SessionID", new_id()),
        ];
        Self {
            story,
            daemon,
            client: Client::new(daemon.port, &daemon.certificate()),
            values: values
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value))
                .collect(),
            instance: String::new(),
        }
    }

    /// Sends one request; what is wrong with the answer.
    pub(super) fn step(&mut self, step: &Step, mode: Mode) -> Vec<String> {
        let mut wrong = Vec::new();
        if let Err(error) = self.try_step(step, mode, &mut wrong) {
            wrong.push(error);
        }
        let name = format!("{} ({}: {})", step.request, self.story.client, step.shows);
        wrong
            .into_iter()
            .map(|what| format!("{name}: {what}"))
            .collect()
    }

    fn try_step(&mut self, step: &Step, mode: Mode, wrong: &mut Vec<String>) -> Result<(), String> {
        if let Some(edit) = &step.edits {
            let instance = edited(&self.instance, edit)?;
            self.set("Instance", instance);
        }
        let id = Uuid::new_v4();
        self.set("MessageID", id.to_string().to_uppercase());
        self.set("messageid", id.to_string());
        self.set("OperationID", new_id());
        let before = self.values.clone();
        for (name, value) in &step.set {
            let value = self.filled(value);
            self.set(name, value);
        }
        let template = fs::read_to_string(step.request_file()).map_err(|e| e.to_string())?;
        let text = self.filled(&template);
        thread::sleep(Duration::from_millis(step.pause_ms));
        let answer = self.send(step, &text)?;
        check_head(self.story, step, &answer, wrong);
        let answer = decoded(&answer.body, step.encoding)?;
        let masked = if answer.is_empty() {
            String::new()
        } else {
            let root = document::read(&answer).map_err(|error| format!("{error} in {answer}"))?;
            check_envelope(step, &root, &text, wrong);
            let masked = mask(&answer, &root, &self.masked_values(step, &root)?, &text);
            self.keep(&answer, &root);
            masked
        };
        for part in &step.contains {
            if !masked.contains(part) {
                wrong.push(format!("lacks {part:?} in {masked}"));
            }
        }
        for part in &step.lacks {
            if masked.contains(part) {
                wrong.push(format!("contains {part:?} in {masked}"));
            }
        }
        check_file(step, &masked, mode, wrong);
        for name in step.set.keys() {
            match before.get(name) {
                Some(value) => self.set(name, value.clone()),
                None => drop(self.values.remove(name)),
            }
        }
        match step.waits {
            Some(state) => self.wait_for(state),
            None => Ok(()),
        }
    }

    /// The values by which an answer is masked: with what it brings itself.
    fn masked_values(
        &mut self,
        step: &Step,
        root: &Element,
    ) -> Result<BTreeMap<String, String>, String> {
        for kept in &step.keeps {
            let (element, name) = kept.split_once(" as ").unwrap_or((kept, kept));
            let found = root
                .find(element)
                .filter(|found| !found.text.trim().is_empty())
                .ok_or_else(|| format!("has no {element}"))?;
            self.set(name, found.text.trim().to_owned());
        }
        let mut values = self.values.clone();
        // What a step sets stands in its file as it is.
        for name in step.set.keys() {
            values.remove(name);
        }
        for name in ["Instance", "messageid"] {
            values.remove(name);
        }
        // One spelling: that of the request is repeated.
        if root.find("RelatesTo").is_some_and(|id| {
            self.values
                .get("messageid")
                .is_some_and(|lower| id.text.contains(lower))
        }) {
            let id = values.get("MessageID").map(|id| id.to_lowercase());
            values.insert("MessageID".to_owned(), id.unwrap_or_default());
        }
        Ok(values)
    }

    fn keep(&mut self, answer: &str, root: &Element) {
        let is_get = root
            .find("Action")
            .is_some_and(|action| action.text.ends_with("/transfer/GetResponse"));
        let is_whole = root.find("XmlFragment").is_none();
        let body = root.find("Body").filter(|_| is_get && is_whole);
        if let Some(body) = body {
            answer[body.inner.clone()].clone_into(&mut self.instance);
        }
    }

    fn send(&mut self, step: &Step, text: &str) -> Result<Answer, String> {
        let mut headers = self.story.headers.clone();
        let kind = step
            .content_type
            .as_ref()
            .unwrap_or(&self.story.content_type);
        if !kind.is_empty() {
            headers.push(format!("Content-Type: {kind}"));
        }
        if !step.anonymous {
            let pair = format!("{}:{PASSWORD}", self.story.account);
            headers.push(format!("Authorization: Basic {}", STANDARD.encode(pair)));
        }
        headers.extend(step.headers.iter().cloned());
        let mut text = text.to_owned();
        text.extend(std::iter::repeat_n(' ', step.pad));
        let body = encoded(&text, step.encoding);
        let mut anonymous;
        let client = if step.anonymous {
            // A log-on belongs to its connection.
            anonymous = Client::new(self.daemon.port, &self.daemon.certificate());
            &mut anonymous
        } else {
            &mut self.client
        };
        client
            .send(&step.method, &step.path, &headers, &body)
            .map_err(|error| format!("no answer: {error}"))
    }

    fn wait_for(&mut self, state: u16) -> Result<(), String> {
        let pair = format!("{}:{PASSWORD}", self.story.account);
        let headers = [
            "Content-Type: application/soap+xml;charset=UTF-8".to_owned(),
            format!("Authorization: Basic {}", STANDARD.encode(pair)),
        ];
        let get = self.filled(GET);
        let deadline = Instant::now() + WITHIN;
        loop {
            let answer = self
                .client
                .send("POST", "/wsman", &headers, get.as_bytes())
                .map_err(|error| format!("no answer: {error}"))?;
            let text = decoded(&answer.body, Encoding::Utf8)?;
            let root = document::read(&text)?;
            let seen = root.find("State").map(|state| state.text.clone());
            if seen == Some(state.to_string()) {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(format!("waited for state {state}: {text}"));
            }
            thread::sleep(Duration::from_millis(10));
        }
    }

    fn set(&mut self, name: &str, value: String) {
        self.values.insert(name.to_owned(), value);
    }

    /// Puts values in the place of names in braces.
    fn filled(&self, template: &str) -> String {
        let mut text = template.to_owned();
        for (name, value) in &self.values {
            text = text.replace(&["{", name, "}"].concat(), value);
        }
        text
    }
}

/// Status and headers.
fn check_head(story: &Story, step: &Step, answer: &Answer, wrong: &mut Vec<String>) {
    let status = step.status();
    if answer.status != status {
        let body = String::from_utf8_lossy(&answer.body);
        wrong.push(format!("status {}, not {status}: {body}", answer.status));
    }
    for line in &step.answers {
        if !answer
            .headers
            .iter()
            .any(|header| header.eq_ignore_ascii_case(line))
        {
            wrong.push(format!("lacks the header {line:?} in {:?}", answer.headers));
        }
    }
    if answer.body.is_empty() {
        return;
    }
    let asked = step.content_type.as_ref().unwrap_or(&story.content_type);
    let wanted = step.answer_type.as_ref().unwrap_or(asked).replace(' ', "");
    let kind = answer.header("Content-Type").unwrap_or_default();
    if kind.replace(' ', "") != wanted {
        wrong.push(format!("Content-Type {kind:?}, not {wanted:?}"));
    }
}

/// What holds for every envelope, and what the step says of a fault.
fn check_envelope(step: &Step, root: &Element, sent: &str, wrong: &mut Vec<String>) {
    let text = |name: &str| root.find(name).map(|found| found.text.trim());
    // The id is repeated octet by octet.
    if let (Some(id), Ok(request)) = (text("RelatesTo"), document::read(sent)) {
        let sent = request.find("MessageID").map(|id| id.text.trim());
        if sent != Some(id) {
            wrong.push(format!("RelatesTo {id}, not {sent:?}"));
        }
    }
    let fault = root.find("Fault").map(|fault| {
        let code = fault.find("Subcode").or(Some(fault));
        let parts = [
            code.and_then(|code| code.find("Value"))
                .map(|value| value.text.clone()),
            fault
                .find("WSManFault")
                .and_then(|part| part.attribute("Code"))
                .map(str::to_owned),
            fault
                .find("FaultDetail")
                .and_then(|part| part.text.rsplit('/').next())
                .map(str::to_owned),
        ];
        parts.into_iter().flatten().collect::<Vec<_>>().join(" ")
    });
    if fault != step.fault {
        wrong.push(format!("fault {fault:?}, not {:?}", step.fault));
    }
}

/// The whole answer against its file.
fn check_file(step: &Step, masked: &str, mode: Mode, wrong: &mut Vec<String>) {
    let file = step.answer_file();
    let expected = fs::read_to_string(&file).ok();
    match (expected, mode) {
        // HTTP alone has answered: there is no envelope.
        _ if masked.is_empty() && !matches!(step.status(), 200 | 500) => {}
        (Some(expected), _) if expected == masked => {}
        (_, Mode::Record) if !wrong.is_empty() => {
            wrong.push("is not recorded, for it is not as it must be".to_owned());
        }
        (_, Mode::Record) => {
            if let Err(error) = fs::write(&file, masked) {
                wrong.push(format!("cannot be recorded: {error}"));
            }
        }
        (None, Mode::Compare) => wrong.push(format!(
            "has no {}: record it with BITSD_RECORD=1; the answer is {masked}",
            file.display()
        )),
        (Some(expected), Mode::Compare) => {
            wrong.push(format!(
                "is another answer:\n{}",
                difference(&expected, masked)
            ));
        }
    }
}

/// The lines that differ, a line an element.
fn difference(expected: &str, answered: &str) -> String {
    let lines = |text: &str| -> Vec<String> {
        text.replace("><", ">\n<")
            .lines()
            .map(str::to_owned)
            .collect()
    };
    let (expected, answered) = (lines(expected), lines(answered));
    let same = |pair: &(&String, &String)| pair.0 == pair.1;
    let head = expected.iter().zip(&answered).take_while(same).count();
    let tail = expected[head..]
        .iter()
        .rev()
        .zip(answered[head..].iter().rev())
        .take_while(same)
        .count();
    let marked = |mark: char, lines: &[String]| -> Vec<String> {
        lines[head..lines.len() - tail]
            .iter()
            .map(|line| format!("{mark} {line}"))
            .collect()
    };
    [marked('-', &expected), marked('+', &answered)]
        .concat()
        .join("\n")
}

/// The instance with one text changed, as `Set-WSManInstance` puts it back:
/// the element must be there once, and is not nil afterwards.
fn edited(instance: &str, edit: &str) -> Result<String, String> {
    let (name, value) = edit.split_once('=').ok_or("an edit is Name=Value")?;
    let root = document::read(instance)?;
    let found: Vec<_> = root
        .children
        .iter()
        .filter(|child| child.local == name)
        .collect();
    let [element] = found.as_slice() else {
        return Err(format!("{} elements {name} in the instance", found.len()));
    };
    let tag = instance[element.outer.start + 1..]
        .split([' ', '/', '>'])
        .next()
        .unwrap_or_default();
    Ok(format!(
        "{}<{tag}>{value}</{tag}>{}",
        &instance[..element.outer.start],
        &instance[element.outer.end..]
    ))
}

fn encoded(text: &str, encoding: Encoding) -> Vec<u8> {
    let units = text.encode_utf16().flat_map(u16::to_le_bytes);
    match encoding {
        Encoding::Utf8 => text.as_bytes().to_vec(),
        Encoding::Utf16 => MARK.into_iter().chain(units).collect(),
        Encoding::Utf16WithoutMark => units.collect(),
        Encoding::Latin1 => text
            .chars()
            .map(|c| u8::try_from(c).unwrap_or(b'?'))
            .collect(),
    }
}

fn decoded(body: &[u8], encoding: Encoding) -> Result<String, String> {
    match encoding {
        _ if body.is_empty() => Ok(String::new()),
        Encoding::Utf8 | Encoding::Latin1 => {
            String::from_utf8(body.to_vec()).map_err(|error| error.to_string())
        }
        Encoding::Utf16 | Encoding::Utf16WithoutMark => {
            let octets = body
                .strip_prefix(&MARK)
                .ok_or("an answer in UTF-16 begins with its byte order mark")?;
            let (pairs, rest) = octets.as_chunks::<2>();
            let units: Vec<u16> = pairs.iter().map(|pair| u16::from_le_bytes(*pair)).collect();
            match (String::from_utf16(&units), rest) {
                (Ok(text), []) => Ok(text),
                _ => Err("the answer is not UTF-16".to_owned()),
            }
        }
    }
}

fn new_id() -> String {
    Uuid::new_v4().to_string().to_uppercase()
}

/// The byte order mark of UTF-16, little-endian.
const MARK: [u8; 2] = [0xff, 0xfe];

/// How long a job may take to reach a state.
const WITHIN: Duration = Duration::from_mins(1);

/// How a story polls.
const GET: &str = "<s:Envelope xmlns:s=\"http://www.w3.org/2003/05/soap-envelope\" \
    xmlns:a=\"http://schemas.xmlsoap.org/ws/2004/08/addressing\" \
    xmlns:w=\"http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd\"><s:Header><a:To>/wsman</a:To>\
    <a:Action>http://schemas.xmlsoap.org/ws/2004/09/transfer/Get</a:Action>\
    <a:MessageID>1</a:MessageID><w:ResourceURI>http://schemas.microsoft.com/wbem/wsman/1/wmi/\
    root/microsoft/bits/BitsClientJob</w:ResourceURI><w:SelectorSet>\
    <w:Selector Name=\"JobId\">{JobId}</w:Selector></w:SelectorSet></s:Header><s:Body/>\
    </s:Envelope>";
