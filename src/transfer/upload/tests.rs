//! Uploads against the scripted origin.

use std::fs;
use std::pin::Pin;
use std::sync::Mutex;

use tokio_util::sync::CancellationToken;

use super::*;
use crate::bits::AuthScheme;
use crate::bits::AuthTarget;
use crate::bits::Credentials;
use crate::bits::JobId;
use crate::bits::JobOptions;
use crate::bits::JobType;
use crate::bits::NewFile;
use crate::bits::Secret;
use crate::config::FilesSettings;
use crate::config::Network;
use crate::config::TransferSettings;
use crate::transfer::Access;
use crate::transfer::Mover;
use crate::transfer::Stopped;
use crate::transfer::faulty_origin::Asked;
use crate::transfer::faulty_origin::FaultyOrigin;
use crate::transfer::faulty_origin::Reply;
use crate::transfer::faulty_origin::Then;
use crate::transfer::upload_packet::FragmentRange;

const CREATED: &str = "BITS-Packet-Type: Ack\r\n\
    BITS-Protocol: {7df0354d-249b-430f-820d-3d2a9bef4931}\r\nBITS-Session-Id: {ONE}\r\n";

/// One job with one source.
struct Bench {
    folder: tempfile::TempDir,
    access: Access,
    job: JobId,
    file: Mutex<File>,
    told: Mutex<Vec<FileReport>>,
    stop: CancellationToken,
}

impl Bench {
    fn new(url: &str, octets: usize) -> Self {
        let folder = tempfile::tempdir().expect("folder");
        for name in ["read", "write", "state"] {
            fs::create_dir(folder.path().join(name)).expect("made");
        }
        let path = folder.path().join("read/x.txt");
        let content: Vec<u8> = (0..octets)
            .map(|at| u8::try_from(at % 251).expect("small"))
            .collect();
        fs::write(&path, content).expect("written");
        let new = NewFile {
            remote_url: url.to_owned(),
            local_file: path.display().to_string(),
            path,
            ..NewFile::default()
        };
        Self {
            folder,
            access: Access {
                kind: JobType::Upload,
                ..Access::default()
            },
            job: JobId::new(),
            file: Mutex::new(File::new(0, new)),
            told: Mutex::default(),
            stop: CancellationToken::new(),
        }
    }

    fn for_reply(mut self) -> Self {
        let path = self.folder.path().join("write/reply");
        self.access.kind = JobType::UploadReply;
        self.access.options.reply = Some(ReplyFile {
            local_file: path.display().to_string(),
            path,
        });
        self
    }

    fn by(mut self, method: &str) -> Self {
        self.access.options = JobOptions {
            method: Some(method.to_owned()),
            ..JobOptions::default()
        };
        self
    }

    fn session(&self) -> Session {
        let transfer = TransferSettings {
            allow_addresses: vec![Network::try_from("127.0.0.0/8".to_owned()).expect("network")],
            idle_timeout_s: 2,
            ..TransferSettings::default()
        };
        let at = |name: &str| self.folder.path().join(name);
        let files = FilesSettings {
            read_roots: vec![at("read")],
            write_roots: vec![at("write")],
            ..FilesSettings::default()
        };
        let mover = Mover::new(&transfer, &files, &at("state"), &[]).expect("usable");
        mover.session(self.access.clone()).expect("usable")
    }

    async fn attempt(&self) -> Result<(), Failure> {
        let order = Order {
            job: self.job,
            file: self.file(),
            written: Arc::default(),
            stop: self.stop.clone(),
        };
        self.session().transfer(order, self).await
    }

    fn file(&self) -> File {
        self.file.lock().expect("lock").clone()
    }

    fn upload(&self) -> Upload {
        *self.file().upload.expect("an upload")
    }
}

impl Reports for Bench {
    fn report(
        &self,
        report: FileReport,
    ) -> Pin<Box<dyn Future<Output = Result<(), Stopped>> + Send + '_>> {
        let mut file = self.file.lock().expect("lock");
        match &report {
            FileReport::WithoutRanges | FileReport::Moved(_) => {}
            FileReport::Began {
                size, restarted, ..
            } => {
                file.size = *size;
                if *restarted {
                    file.durable = 0;
                }
            }
            FileReport::Durable(octets) => file.durable = *octets,
            FileReport::Done(octets) => {
                file.durable = *octets;
                file.transferred = true;
            }
            FileReport::Upload(upload) => file.upload = Some(upload.clone()),
        }
        self.told.lock().expect("lock").push(report);
        Box::pin(std::future::ready(Ok(())))
    }
}

fn kind(asked: &Asked) -> &str {
    asked.header("bits-packet-type").unwrap_or(&asked.method)
}

fn ack(headers: &str) -> Reply {
    let headers = format!("BITS-Packet-Type: Ack\r\n{headers}");
    Reply::new("200 OK", &headers, b"")
}

fn taken(octets: u64) -> Reply {
    ack(&format!("BITS-Received-Content-Range: {octets}\r\n"))
}

/// A right answer of a server that has no memory.
fn right(asked: &Asked) -> Reply {
    match kind(asked) {
        "Create-Session" => Reply::new("200 OK", CREATED, b""),
        "Fragment" => taken(range(asked).end()),
        _ => ack(""),
    }
}

fn range(asked: &Asked) -> FragmentRange {
    let text = asked.header("content-range").expect("a range");
    FragmentRange::parse(text).expect("a range")
}

fn kinds(origin: &FaultyOrigin) -> Vec<String> {
    let asked = origin.asked();
    asked.iter().map(|asked| kind(asked).to_owned()).collect()
}

#[tokio::test]
async fn the_session_is_kept_before_the_first_octet_goes() {
    let origin = FaultyOrigin::new(right).await;
    let bench = Bench::new(&origin.url(), 4_892);
    bench.attempt().await.expect("sent");
    assert_eq!(
        kinds(&origin),
        ["Create-Session", "Fragment", "Close-Session"]
    );
    let source = fs::read(bench.file().path).expect("there");
    assert_eq!(origin.asked()[1].body, source);
    let told = bench.told.lock().expect("lock");
    let place = |wanted: fn(&FileReport) -> bool| told.iter().position(wanted);
    let session = place(|told| matches!(told, FileReport::Upload(told) if told.session.is_some()));
    let octets = place(|told| matches!(told, FileReport::Durable(4_892)));
    let closing = place(|told| matches!(told, FileReport::Upload(told) if told.is_closing));
    let done = place(|told| matches!(told, FileReport::Done(4_892)));
    assert!(session.is_some() && session < octets && octets < closing && closing < done);
    assert_eq!(done, Some(told.len() - 1));
}

#[tokio::test]
async fn a_later_attempt_goes_on_in_the_session_from_where_the_server_is() {
    let origin = FaultyOrigin::new(|asked| match (kind(asked), asked.number) {
        // The connection ends within the second fragment.
        // On the new connection too: it was sent again.
        ("Fragment", 2 | 3) => Reply::raw("", b"", Then::Cut),
        // It has more than was acknowledged.
        ("Fragment", _) if range(asked).first == 1 << 20 => Reply::new(
            "416 Range Not Satisfiable",
            "BITS-Packet-Type: Ack\r\nBITS-Error: 0x0\r\nBITS-Received-Content-Range: 2000000\r\n",
            b"",
        ),
        _ => right(asked),
    })
    .await;
    let bench = Bench::new(&origin.url(), 3_000_000);
    let failure = bench.attempt().await.expect_err("cut");
    assert!(matches!(failure.kind, FailureKind::ForNow(_)), "{failure}");
    assert_eq!(bench.file().durable, 1 << 20);
    assert_eq!(bench.upload().session.as_deref(), Some("{ONE}"));
    bench.attempt().await.expect("sent");
    let last: Vec<_> = kinds(&origin).split_off(4);
    assert_eq!(last, ["Ping", "Fragment", "Fragment", "Close-Session"]);
    assert_eq!(range(&origin.asked()[6]).first, 2_000_000);
}

#[tokio::test]
async fn who_stops_an_upload_keeps_what_the_server_has() {
    let origin = FaultyOrigin::new(|asked| match (kind(asked), asked.number) {
        ("Fragment", 2) => Reply::raw("", b"", Then::Stall),
        _ => right(asked),
    })
    .await;
    let bench = Bench::new(&origin.url(), 3_000_000);
    let stop = bench.stop.clone();
    let (ended, ()) = tokio::join!(bench.attempt(), async {
        while origin.asked().len() < 3 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        stop.cancel();
    });
    assert_eq!(ended.expect_err("stopped").kind, FailureKind::Stopped);
    assert_eq!(bench.file().durable, 1 << 20);
}

#[tokio::test]
async fn another_source_under_the_same_name_is_not_mixed_in() {
    let origin = FaultyOrigin::new(|asked| match kind(asked) {
        "Fragment" => Reply::new("503 Busy", "", b""),
        _ => right(asked),
    })
    .await;
    let bench = Bench::new(&origin.url(), 1_000);
    bench.attempt().await.expect_err("busy");
    fs::write(bench.file().path, vec![7; 1_000]).expect("written");
    let failure = bench.attempt().await.expect_err("changed");
    assert_eq!(failure.code, Hresult::BG_E_LOCAL_FILE_CHANGED);
    assert_eq!(failure.kind, FailureKind::Fatal);
    assert_eq!(failure.context, ErrorContext::LocalFile);
}

#[tokio::test]
async fn a_source_that_is_cut_while_it_is_read_is_a_changed_one() {
    let origin = FaultyOrigin::new(right).await;
    let bench = Bench::new(&origin.url(), 500);
    let path = bench.file().path;
    let cut = path.clone();
    let origin_that_cuts = FaultyOrigin::new(move |asked| {
        if kind(asked) == "Create-Session" {
            fs::write(&cut, "short").expect("written");
        }
        right(asked)
    })
    .await;
    bench.file.lock().expect("lock").remote_url = origin_that_cuts.url();
    let failure = bench.attempt().await.expect_err("changed");
    assert_eq!(failure.code, Hresult::BG_E_LOCAL_FILE_CHANGED);
    assert_eq!(origin_that_cuts.asked().len(), 1);
}

#[tokio::test]
async fn a_reply_with_a_secret_in_its_address_is_asked_for_again() {
    let origin = FaultyOrigin::new(|asked| match kind(asked) {
        "Fragment" => ack("BITS-Received-Content-Range: 9\r\nBITS-Reply-URL: r?key=hush\r\n"),
        "GET" if asked.number < 4 => Reply::new("503 Busy", "", b""),
        "GET" => Reply::new("200 OK", "ETag: \"a\"\r\n", b"answer"),
        _ => right(asked),
    })
    .await;
    let bench = Bench::new(&origin.url(), 9).for_reply();
    bench.attempt().await.expect_err("busy");
    assert_eq!(bench.upload().reply_url, None);
    assert!(!format!("{:?}", bench.told).contains("hush"));
    bench.attempt().await.expect("sent");
    let last = kinds(&origin).split_off(3);
    assert_eq!(last, ["Ping", "Fragment", "GET", "Close-Session"]);
    assert_eq!(origin.asked()[5].target, "/r?key=hush");
    let reply = bench.upload().reply.expect("a reply");
    assert!(reply.transferred && reply.durable == 6);
    let session = bench.session();
    let named = session.options.reply.clone().expect("named");
    let data = session
        .mover
        .reply_data(bench.job, &named, &crate::config::Bounds::default());
    assert_eq!(data.expect("there"), b"answer");
    assert!(!named.path.exists(), "there before Complete");
}

#[tokio::test]
async fn what_a_server_names_gets_no_credentials() {
    let second = FaultyOrigin::new(|asked| match kind(asked) {
        "GET" => Reply::new("200 OK", "", b"answer"),
        _ => right(asked),
    })
    .await;
    let reply = second.url();
    let wants = "WWW-Authenticate: Basic realm=\"x\"\r\n";
    let first = FaultyOrigin::new(move |asked| {
        if asked.header("authorization").is_none() {
            return Reply::new("401 Unauthorized", wants, b"");
        }
        match kind(asked) {
            "Fragment" => ack(&format!(
                "BITS-Received-Content-Range: 9\r\nBITS-Reply-URL: {reply}\r\n"
            )),
            _ => right(asked),
        }
    })
    .await;
    let mut bench = Bench::new(&first.url(), 9).for_reply();
    bench.access.credentials = vec![Credentials {
        target: AuthTarget::Server,
        scheme: AuthScheme::Basic,
        user: Secret::new("carol".to_owned()),
        password: Secret::new("hush".to_owned()),
    }];
    bench.attempt().await.expect("sent");
    assert!(
        first
            .asked()
            .iter()
            .any(|asked| asked.header("authorization").is_some())
    );
    let asked = second.asked();
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].header("authorization"), None);
}

#[tokio::test]
async fn a_cancelled_session_is_told_to_the_host_that_has_it() {
    let origin = FaultyOrigin::new(|asked| match (kind(asked), asked.number) {
        ("Fragment", _) => Reply::new("503 Busy", "", b""),
        ("Cancel-Session", 2) => Reply::new("500 Oops", "", b""),
        ("Cancel-Session", 3) => Reply::new("500 Oops", "BITS-Error: 0x8020001F\r\n", b""),
        ("Cancel-Session", 4) => Reply::new("404 Not Found", "", b""),
        _ => right(asked),
    })
    .await;
    let bench = Bench::new(&origin.url(), 9);
    bench.attempt().await.expect_err("busy");
    let session = bench.session();
    assert!(session.cancel_upload(&bench.file()).await.is_err(), "later");
    for _ in 0..3 {
        assert!(session.cancel_upload(&bench.file()).await.is_ok());
    }
    let asked = origin.asked();
    assert_eq!(asked[2].header("bits-session-id"), Some("{ONE}"));
    bench.file.lock().expect("lock").transferred = true;
    assert!(session.cancel_upload(&bench.file()).await.is_ok());
    assert_eq!(origin.asked().len(), asked.len(), "nothing to tell");
}

#[tokio::test]
async fn a_post_whose_answer_is_lost_is_not_tried_again() {
    for (method, expected) in [
        ("PUT", FailureKind::ForNow(None)),
        ("POST", FailureKind::Fatal),
    ] {
        let origin = FaultyOrigin::new(|_| Reply::raw("", b"", Then::Cut)).await;
        let bench = Bench::new(&origin.url(), 1_000).by(method);
        let failure = bench.attempt().await.expect_err("cut");
        assert_eq!(failure.kind, expected, "{method}: {failure}");
    }
}

#[tokio::test]
async fn what_is_posted_may_lie_elsewhere_then() {
    let origin =
        FaultyOrigin::new(|_| Reply::new("303 See Other", "Location: /there\r\n", b"")).await;
    let bench = Bench::new(&origin.url(), 1_000).by("POST");
    bench.attempt().await.expect("taken");
    assert_eq!(origin.asked().len(), 1);
    assert!(bench.file().transferred);
}

#[tokio::test]
async fn another_method_is_refused() {
    let bench = Bench::new("http://127.0.0.1:9/", 1_000).by("DELETE");
    let failure = bench.attempt().await.expect_err("refused");
    assert_eq!(failure.code, Hresult::E_NOTIMPL);
}

#[tokio::test]
async fn a_server_that_goes_back_and_forth_is_not_sent_octets_without_end() {
    let origin = FaultyOrigin::new(|asked| match kind(asked) {
        "Fragment" if range(asked).first == 0 => taken(1_048_576),
        "Fragment" => taken(0),
        _ => right(asked),
    })
    .await;
    let bench = Bench::new(&origin.url(), 3_000_000);
    let failure = bench.attempt().await.expect_err("no end");
    assert_eq!(failure.code, Hresult::BG_E_INVALID_SERVER_RESPONSE);
    assert!(origin.asked().len() < 20);
}
