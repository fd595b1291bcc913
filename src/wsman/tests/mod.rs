//! The endpoint as clients see it, with a class whose instances are in memory.

mod config;
mod decoders;
mod enumeration;
mod faults;
mod queries;
mod rights;
mod rows;
mod schema;
mod searches;
mod shapes;
mod transfer;

use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use crate::auth::Principal;
use crate::auth::Scope;
use crate::bits::Hresult;
use crate::cim::Catalog;
use crate::cim::Instance;
use crate::cim::Value;
use crate::cim::Values;
use crate::config::Current;
use crate::config::Settings;
use crate::config::WsmanSettings;
use crate::provider;
use crate::provider::About;
use crate::provider::BadValue;
use crate::provider::Cursor;
use crate::provider::Error;
use crate::provider::Keys;
use crate::provider::Page;
use crate::provider::Provider;
use crate::provider::Query;
use crate::provider::View;
use crate::provider::Wrong;
use crate::soap::Envelope;
use crate::soap::Fault;
use crate::xml::Element;
use crate::xml::Limits;
use crate::xml::ns;

use super::Answer;
use super::Encoding;
use super::Endpoint;

const WMI: &str = "http://schemas.microsoft.com/wbem/wsman/1/wmi/root/microsoft/bits/BitsClientJob";
const DMTF: &str = "http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/BitsClientJob";
const TRANSFER: &str = "http://schemas.xmlsoap.org/ws/2004/09/transfer";
const ENUMERATION: &str = "http://schemas.xmlsoap.org/ws/2004/09/enumeration";
pub(super) const ID: &str = "{11111111-2222-3333-4444-555555555555}";

const LIMITS: Limits = Limits {
    octets: 10_000_000,
    depth: 40,
    elements: 200_000,
    attributes: 40,
};

/// Jobs in memory.
struct Jobs {
    catalog: Catalog,
    all: Mutex<Vec<Instance>>,
    /// How long a method or a page takes.
    pause: Duration,
    /// How long a page takes.
    page_pause: Duration,
    /// Most jobs that a page looks at.
    most_looked_at: usize,
}

impl Jobs {
    fn new() -> Self {
        Self {
            catalog: Catalog::of_bits().expect("schemas are correct"),
            all: Mutex::default(),
            pause: Duration::ZERO,
            page_pause: Duration::ZERO,
            most_looked_at: usize::MAX,
        }
    }

    /// A job with so many files.
    fn add(&self, id: &str, files: usize) {
        let class = |name| self.catalog.class("root/microsoft/bits", name);
        let mut job = Instance::new(class("BitsClientJob").expect("defined"));
        let file = |number: usize| {
            let mut file = Instance::new(class("BitsClientFile").expect("defined"));
            for (name, value) in [
                (
                    "RemoteUrl",
                    Value::from(format!("https://h/{number}?a&b").as_str()),
                ),
                ("LocalFile", Value::from(format!("/srv/{number}").as_str())),
                ("BytesTotal", Value::Uint64(u64::MAX)),
                ("BytesTransferred", Value::Uint64(0)),
                ("Completed", Value::Boolean(false)),
            ] {
                file.set(name, value).expect("in the schema");
            }
            Value::Instance(Box::new(file))
        };
        for (name, value) in [
            ("JobId", Value::from(id)),
            ("DisplayName", Value::from("a <job>\u{1}")),
            ("Priority", Value::Uint32(2)),
            ("BytesTotal", Value::Uint64(u64::MAX)),
            (
                "FilesTotal",
                Value::Uint32(u32::try_from(files).expect("few")),
            ),
            ("State", Value::Uint16(3)),
            ("Owner", Value::from("anna")),
            ("Files", Value::Array((0..files).map(file).collect())),
        ] {
            job.set(name, value).expect("in the schema");
        }
        self.all.lock().expect("no panic").push(job);
    }

    fn find(&self, keys: &Keys) -> Result<usize, Error> {
        let [(name, value)] = keys.as_slice() else {
            return Err(Error::NotFound);
        };
        assert_eq!(name, "JobId");
        if value == "bad" {
            return Err(Error::BadKey {
                name: name.clone(),
                value: value.clone(),
            });
        }
        let id = format!("{{{}}}", value.trim_matches(['{', '}'])).to_uppercase();
        self.all
            .lock()
            .expect("no panic")
            .iter()
            .position(|job| job.value("JobId") == Some(&Value::String(id.clone())))
            .ok_or(Error::NotFound)
    }
}

impl Provider for Arc<Jobs> {
    fn class(&self) -> &'static str {
        "BitsClientJob"
    }

    fn get<'a>(
        &'a self,
        _: &'a Principal,
        keys: &'a Keys,
        _: View<'a>,
    ) -> provider::Answer<'a, Instance> {
        Box::pin(async move {
            let at = self.find(keys)?;
            Ok(self.all.lock().expect("no panic")[at].clone())
        })
    }

    fn create<'a>(&'a self, _: &'a Principal, values: Values) -> provider::Answer<'a, Keys> {
        Box::pin(async move {
            tokio::time::sleep(self.pause).await;
            if values.value("Priority") == Some(&Value::Uint32(9)) {
                return Err(Error::BadValue(BadValue {
                    name: "Priority".to_owned(),
                    wrong: Wrong::NotAmong {
                        value: 9,
                        allowed: "0 to 3",
                    },
                }));
            }
            self.add(ID, 0);
            let mut jobs = self.all.lock().expect("no panic");
            let job = jobs.last_mut().expect("just added");
            for (name, value) in values {
                job.set(&name, value.expect("null is not given"))
                    .expect("checked");
            }
            Ok(vec![("JobId".to_owned(), ID.to_owned())])
        })
    }

    fn put<'a>(
        &'a self,
        _: &'a Principal,
        keys: &'a Keys,
        values: Values,
    ) -> provider::Answer<'a, ()> {
        Box::pin(async move {
            let at = self.find(keys)?;
            if values.value("Priority") == Some(&Value::Uint32(9)) {
                return Err(Error::BadValue(BadValue {
                    name: "Priority".to_owned(),
                    wrong: Wrong::NotAmong {
                        value: 9,
                        allowed: "0 to 3",
                    },
                }));
            }
            let job = &mut self.all.lock().expect("no panic")[at];
            for (name, value) in values.iter() {
                match value {
                    Some(value) => job.set(name, value.clone()).expect("checked"),
                    None => job.clear(name),
                }
            }
            Ok(())
        })
    }

    fn delete<'a>(&'a self, by: &'a Principal, keys: &'a Keys) -> provider::Answer<'a, ()> {
        Box::pin(async move {
            let at = self.find(keys)?;
            if by.name() != "anna" {
                return Err(Error::Denied);
            }
            self.all.lock().expect("no panic").remove(at);
            Ok(())
        })
    }

    fn invoke<'a>(
        &'a self,
        _: &'a Principal,
        keys: &'a Keys,
        method: &'a str,
        arguments: Values,
    ) -> provider::Answer<'a, Values> {
        Box::pin(async move {
            tokio::time::sleep(self.pause).await;
            let mut output = Values::new();
            match method {
                "CreateJob" => {
                    assert!(keys.is_empty(), "static");
                    assert!(matches!(
                        arguments.value("Suspend"),
                        None | Some(Value::Boolean(true))
                    ));
                    self.add(ID, 1);
                    output.insert("JobId", Some(Value::from(ID)));
                }
                "SetClientCertificateById" => {
                    assert_eq!(
                        arguments.value("CertHash"),
                        Some(&Value::Array(vec![Value::Uint8(1), Value::Uint8(255)]))
                    );
                }
                "SetCredentials" => {
                    assert!(arguments.contains("UserName"));
                    assert_eq!(arguments.value("UserName"), None);
                }
                "SetJobState" => {
                    self.find(keys)?;
                    return Err(Error::Failed {
                        code: match arguments.value("JobState") {
                            Some(Value::Uint16(1)) => Hresult::E_ACCESSDENIED,
                            Some(Value::Uint16(3)) => Hresult::E_INVALIDARG,
                            _ => Hresult::BG_E_INSUFFICIENT_RANGE_SUPPORT,
                        },
                        about: About::Detail("http://h/1 & more: no ranges".to_owned()),
                    });
                }
                "GetError" => {
                    return Err(Error::BadValue(BadValue {
                        name: "LanguageId".to_owned(),
                        wrong: Wrong::Missing,
                    }));
                }
                _ => return Err(Error::Unavailable),
            }
            Ok(output)
        })
    }

    fn page<'a>(&'a self, _: &'a Principal, query: Query<'a>) -> provider::Answer<'a, Page> {
        Box::pin(async move {
            if !self.page_pause.is_zero() {
                tokio::time::sleep(self.page_pause).await;
            }
            let jobs = self.all.lock().expect("no panic");
            let from = query.after.map_or(0, |cursor| {
                usize::from_be_bytes(cursor.0.as_slice().try_into().expect("ours"))
            });
            let cursor = |at: usize| Cursor((at + 1).to_be_bytes().to_vec());
            let mut page = Page {
                items: Vec::new(),
                reached: None,
                is_last: true,
            };
            for (looked_at, (at, job)) in jobs.iter().enumerate().skip(from).enumerate() {
                if page.items.len() == query.limit || looked_at == self.most_looked_at {
                    page.is_last = false;
                    break;
                }
                if query.condition.is_none_or(|asked| asked.matches(job)) {
                    page.items.push((viewed(job, query.view), cursor(at)));
                    page.reached = None;
                } else {
                    page.reached = Some(cursor(at));
                }
            }
            Ok(page)
        })
    }

    fn count<'a>(&'a self, _: &'a Principal) -> provider::Answer<'a, u64> {
        Box::pin(async move {
            let jobs = self.all.lock().expect("no panic");
            Ok(u64::try_from(jobs.len()).expect("few"))
        })
    }
}

/// What a view leaves of a job.
fn viewed(job: &Instance, view: View<'_>) -> Instance {
    let Some(only) = view.only else {
        return job.clone();
    };
    let mut viewed = Instance::new(job.class());
    for name in only {
        let (_, property) = job.class().property(name).expect("canonical");
        assert_eq!(property.name, *name, "canonical");
        if let Some(value) = job.value(name) {
            viewed.set(name, value.clone()).expect("in the schema");
        }
    }
    viewed
}

/// An endpoint and its jobs.
pub(super) struct Bench {
    jobs: Arc<Jobs>,
    pub(super) endpoint: Endpoint,
    pub(super) by: Principal,
}

impl Bench {
    fn new() -> Self {
        Self::with(Jobs::new(), WsmanSettings::default())
    }

    fn with(jobs: Jobs, settings: WsmanSettings) -> Self {
        let jobs = Arc::new(jobs);
        let catalog = jobs.catalog.clone();
        let endpoint = Endpoint::new(
            &current(settings),
            catalog,
            vec![Arc::new(Arc::clone(&jobs))],
        )
        .expect("the class has its provider");
        Self {
            jobs,
            endpoint,
            by: Principal::for_test("anna", Scope::Own),
        }
    }

    /// With one job of one file.
    pub(super) fn with_job() -> Self {
        let bench = Self::new();
        bench.jobs.add(ID, 1);
        bench
    }

    /// One more job of one file.
    fn add_job(&self) {
        self.jobs.add(ID, 1);
    }

    async fn post(&self, envelope: &str) -> Answer {
        let answer = self.endpoint.answer(&self.by, envelope, Encoding::Utf8);
        sendable(answer).await
    }

    /// Sends a request that must succeed, and gives its answer.
    async fn ok(&self, envelope: &str) -> String {
        let answer = self.post(envelope).await;
        let text = answer.envelope.expect("an envelope");
        assert_eq!(answer.status, 200, "{text}");
        text
    }

    /// Sends a request that must fail, and gives its fault.
    async fn fault(&self, envelope: &str) -> Fault {
        let answer = self.post(envelope).await;
        fault_of(&answer)
    }
}

fn current(wsman: WsmanSettings) -> Arc<Current> {
    Arc::new(Current::new(Settings {
        wsman,
        ..Settings::default()
    }))
}

/// The HTTP server moves requests between threads.
fn sendable<T: Send>(value: T) -> T {
    value
}

fn fault_of(answer: &Answer) -> Fault {
    let text = answer.envelope.as_deref().expect("an envelope");
    assert_eq!(answer.status, 500, "{text}");
    let envelope = Envelope::parse(text, &LIMITS).expect("our own envelope");
    let fault = Fault::parse(&envelope).expect("a fault");
    assert!(fault.wsman_code.is_some(), "{text}");
    fault
}

/// `wsman:InvalidSelectors/UnexpectedSelectors 2150858843`, to compare.
fn gist(fault: &Fault) -> String {
    let subcode = fault.subcode.as_ref().map_or(String::new(), |subcode| {
        format!("{}:{}", subcode.prefix, subcode.local)
    });
    let detail = fault
        .detail
        .as_deref()
        .and_then(|detail| detail.rsplit_once('/'))
        .map_or(String::new(), |(_, last)| format!("/{last}"));
    format!("{subcode}{detail} {}", fault.wsman_code.unwrap_or(0))
}

/// A request as the `WinRM` cmdlets write it; `more` are further header blocks.
fn request(action: &str, uri: &str, more: &str, body: &str) -> String {
    format!(
        "<s:Envelope xmlns:s=\"{}\" xmlns:a=\"{}\" xmlns:n=\"{ENUMERATION}\" xmlns:w=\"{}\" \
         xmlns:p=\"{}\" xmlns:b=\"{}\"><s:Header><a:To>http://host:5985/wsman</a:To>\
         <w:ResourceURI s:mustUnderstand=\"true\">{uri}</w:ResourceURI>\
         <a:ReplyTo><a:Address s:mustUnderstand=\"true\">{}</a:Address></a:ReplyTo>\
         <a:Action s:mustUnderstand=\"true\">{action}</a:Action>\
         <a:MessageID>uuid:ABC</a:MessageID>\
         <w:Locale xml:lang=\"en-US\" s:mustUnderstand=\"false\"/>\
         <p:DataLocale xml:lang=\"en-US\" s:mustUnderstand=\"false\"/>\
         <p:SessionId s:mustUnderstand=\"false\">uuid:S</p:SessionId>\
         <p:OperationID s:mustUnderstand=\"false\">uuid:O</p:OperationID>\
         <p:SequenceId s:mustUnderstand=\"false\">1</p:SequenceId>{more}</s:Header>\
         <s:Body>{body}</s:Body></s:Envelope>",
        ns::SOAP,
        ns::ADDRESSING,
        ns::WSMAN,
        ns::MS,
        ns::CIMBINDING,
        ns::ANONYMOUS,
    )
}

fn selectors(all: &[(&str, &str)]) -> String {
    let all: Vec<String> = all
        .iter()
        .map(|(name, value)| format!("<w:Selector Name=\"{name}\">{value}</w:Selector>"))
        .collect();
    format!("<w:SelectorSet>{}</w:SelectorSet>", all.concat())
}

fn get(uri: &str, all: &[(&str, &str)], more: &str) -> String {
    let more = format!("{}{more}", selectors(all));
    request(&format!("{TRANSFER}/Get"), uri, &more, "")
}

fn parsed(text: &str) -> Envelope<'_> {
    Envelope::parse(text, &LIMITS).expect("our own envelope")
}

fn named<'e>(elements: &'e [Element<'e>], local: &str) -> Vec<&'e Element<'e>> {
    elements
        .iter()
        .filter(|element| element.local() == local)
        .collect()
}
