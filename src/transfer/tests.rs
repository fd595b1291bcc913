//! Transfers against the scripted origin.

use std::os::unix::fs::PermissionsExt;
use std::sync::Mutex;
use std::sync::atomic::Ordering;

use super::faulty_origin::Asked;
use super::faulty_origin::FaultyOrigin;
use super::faulty_origin::Reply;
use super::faulty_origin::Then;
use super::*;
use crate::bits::AuthScheme;
use crate::bits::AuthTarget;
use crate::bits::NewFile;
use crate::bits::Secret;
use crate::config::Network;

mod disk;
mod options;
mod parts;
mod resume;
mod servers;
mod versions;
mod ways;

const TAG: &str = "ETag: \"one\"\r\n";
const OTHER_TAG: &str = "ETag: \"two\"\r\n";
const OLD: &str =
    "Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r\nDate: Sun, 06 Nov 1994 08:50:00 GMT\r\n";
const YOUNG: &str =
    "Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n";

/// What the first attempt leaves: the head of a right answer with these
/// validators, cut off.
fn cut(headers: &str, body: &[u8]) -> Reply {
    Reply::new("200 OK", headers, body).cut_by(1_000_000, Then::Cut)
}

/// Some `octets` that differ by place and by `seed`.
fn content(octets: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    (0..octets)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()[3]
        })
        .collect()
}

/// A mover with one write root, and one job with one file.
struct Bench {
    folder: tempfile::TempDir,
    transfer: TransferSettings,
    job: JobId,
    file: Mutex<File>,
    told: Mutex<Vec<FileReport>>,
    access: Access,
    written: Arc<AtomicU64>,
    stop: CancellationToken,
}

impl Bench {
    fn new(url: &str) -> Self {
        Self::below(tempfile::tempdir().expect("folder"), url)
    }

    fn below(folder: tempfile::TempDir, url: &str) -> Self {
        std::fs::create_dir(folder.path().join("root")).expect("root");
        std::fs::create_dir(folder.path().join("state")).expect("state");
        let path = folder.path().join("root/new/file.bin");
        let new = NewFile {
            remote_url: url.to_owned(),
            local_file: path.display().to_string(),
            path,
            ..NewFile::default()
        };
        Self {
            folder,
            transfer: TransferSettings {
                allow_addresses: vec![Network::try_from("127.0.0.1".to_owned()).expect("address")],
                connect_timeout_s: 5,
                idle_timeout_s: 1,
                checkpoint_interval_ms: 100,
                checkpoint_octets: 1 << 20,
                ..TransferSettings::default()
            },
            job: JobId::new(),
            file: Mutex::new(File::new(0, new)),
            told: Mutex::default(),
            access: Access::default(),
            written: Arc::default(),
            stop: CancellationToken::new(),
        }
    }

    fn root(&self) -> PathBuf {
        self.folder.path().join("root")
    }

    fn mover(&self) -> Mover {
        let files = FilesSettings {
            write_roots: vec![self.root()],
            ..FilesSettings::default()
        };
        let state = self.folder.path().join("state");
        Mover::new(&self.transfer, &files, &state, std::slice::from_ref(&state)).expect("usable")
    }

    fn file(&self) -> File {
        self.file.lock().expect("lock").clone()
    }

    /// One attempt, with everything opened anew as after a crash.
    async fn attempt(&self) -> Result<(), Failure> {
        self.attempt_with(&self.mover()).await
    }

    async fn attempt_with(&self, mover: &Mover) -> Result<(), Failure> {
        let session = mover.session(self.access.clone())?;
        let order = Order {
            job: self.job,
            file: self.file(),
            written: Arc::clone(&self.written),
            stop: self.stop.clone(),
        };
        session.download(order, self).await
    }

    /// Nothing of the file counts, and nothing is left of it.
    fn assert_nothing_lies_here(&self) {
        let file = self.file();
        assert!(!file.transferred);
        assert_eq!(file.durable, 0);
        assert_eq!(self.written.load(Ordering::Relaxed), 0);
        let folder = std::fs::read_dir(file.path.parent().expect("folder"));
        assert_eq!(folder.map_or(0, Iterator::count), 0);
    }

    /// The attempt is whole, and lands as `expected`.
    fn assert_lands(&self, expected: &[u8]) {
        let file = self.file();
        assert!(file.transferred, "{:?}", self.told.lock().expect("lock"));
        assert!(!file.path.exists(), "there before Complete");
        let mover = self.mover();
        mover
            .place(self.job, std::slice::from_ref(&file), &Bounds::default())
            .expect("placed");
        mover
            .place(self.job, std::slice::from_ref(&file), &Bounds::default())
            .expect("placed again");
        let landed = std::fs::read(&file.path).expect("landed");
        assert_eq!(landed.len(), expected.len());
        assert!(landed == expected, "octets differ");
        let names: Vec<_> = std::fs::read_dir(file.path.parent().expect("folder"))
            .expect("folder")
            .map(|entry| entry.expect("entry").file_name())
            .collect();
        assert_eq!(names, ["file.bin"]);
    }
}

fn sha256(octets: &[u8]) -> [u8; 32] {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, octets);
    digest.as_ref().try_into().expect("32 octets")
}

impl Reports for Bench {
    fn report(
        &self,
        report: FileReport,
    ) -> Pin<Box<dyn Future<Output = Result<(), Stopped>> + Send + '_>> {
        let mut file = self.file.lock().expect("lock");
        match &report {
            FileReport::Began {
                size,
                validator,
                restarted,
            } => {
                if *restarted {
                    file.durable = 0;
                }
                file.size = *size;
                file.validator = validator.clone();
            }
            FileReport::Durable(octets) => {
                assert!(*octets > file.durable, "progress goes forward");
                file.durable = *octets;
            }
            FileReport::Done(octets) => {
                file.transferred = true;
                file.size = Some(*octets);
                file.durable = *octets;
            }
            FileReport::WithoutRanges => {}
            FileReport::Upload(upload) => file.upload = Some(upload.clone()),
            FileReport::Moved(url) => file.remote_url.clone_from(url),
        }
        self.told.lock().expect("lock").push(report);
        Box::pin(std::future::ready(Ok(())))
    }
}

#[tokio::test]
async fn files_of_any_size_arrive_whole() {
    for octets in [0, 1, 100_000, 1 << 20, (1 << 20) + 1, 9_999_999] {
        let body = content(octets, 1);
        let sent = body.clone();
        let origin = FaultyOrigin::new(move |asked| Reply::right(asked, TAG, &sent)).await;
        let bench = Bench::new(&origin.url());
        bench.attempt().await.expect("fetched");
        assert_eq!(bench.written.load(Ordering::Relaxed), body.len() as u64);
        bench.assert_lands(&body);
        assert_eq!(origin.asked().len(), 1, "{octets}");
        let asked = &origin.asked()[0];
        assert_eq!(asked.header("range"), None);
        assert_eq!(asked.header("accept-encoding"), Some("identity"));
    }
}

/// The engine runs transfers as tasks.
#[test]
fn a_transfer_can_move_between_threads() {
    fn is_send<T: Send>(_: &T) {}
    let bench = Bench::new("http://127.0.0.1:9/");
    is_send(&bench.attempt());
}

type Answers = fn(&Asked) -> Reply;

/// One request that fails: code, fatal or not.
#[tokio::test]
async fn failures_are_told_apart() {
    let rows: &[(&str, Answers, u32, bool)] = &[
        (
            "404",
            |_| Reply::new("404 Not Found", "", b"no"),
            0x8019_0194,
            true,
        ),
        (
            "403",
            |_| Reply::new("403 Forbidden", "", b"no"),
            0x8019_0193,
            true,
        ),
        (
            "401",
            |_| Reply::new("401 Who", "WWW-Authenticate: Basic realm=\"x\"\r\n", b""),
            0x8019_0191,
            true,
        ),
        (
            "500",
            |_| Reply::new("500 Oops", "", b""),
            0x8019_01F4,
            false,
        ),
        ("501", |_| Reply::new("501 No", "", b""), 0x8019_01F5, true),
        (
            "204",
            |_| Reply::raw("HTTP/1.1 204 No Content\r\n\r\n", b"", Then::Next),
            0x8020_001B,
            true,
        ),
        (
            "206 unasked",
            |_| {
                Reply::new(
                    "206 Partial Content",
                    "Content-Range: bytes 0-1/2\r\n",
                    b"ab",
                )
            },
            0x8007_2F78,
            false,
        ),
        (
            "gzip",
            |_| Reply::new("200 OK", "Content-Encoding: gzip\r\n", b"ab"),
            0x8020_001B,
            true,
        ),
        (
            "no HTTP",
            |_| Reply::raw("220 mail ready\r\n\r\n", b"", Then::Close),
            0x8007_2F78,
            false,
        ),
        (
            "closes at once",
            |_| Reply::raw("", b"", Then::Close),
            0x8007_2EFE,
            false,
        ),
        (
            "says nothing",
            |_| Reply::raw("", b"", Then::Stall),
            0x8007_2EE2,
            false,
        ),
        (
            "redirects for ever",
            |_| Reply::new("302 Found", "Location: /again\r\n", b""),
            0x8007_2F7C,
            true,
        ),
        (
            "redirects nowhere",
            |_| Reply::new("302 Found", "", b""),
            0x8019_012E,
            true,
        ),
        (
            "redirects to a file",
            |_| Reply::new("302 Found", "Location: file:///etc/passwd\r\n", b""),
            0x8007_2F7C,
            true,
        ),
        (
            "redirects to metadata",
            |_| {
                Reply::new(
                    "302 Found",
                    "Location: http://169.254.169.254/latest\r\n",
                    b"",
                )
            },
            0x8020_003E,
            true,
        ),
        (
            "redirects to a mapped address",
            |_| Reply::new("302 Found", "Location: http://[::ffff:127.0.0.2]/\r\n", b""),
            0x8020_003E,
            true,
        ),
        (
            "redirects to a name of this host",
            |_| Reply::new("302 Found", "Location: http://127.1.1.1:1/\r\n", b""),
            0x8020_003E,
            true,
        ),
        (
            "too many headers",
            |_| Reply::new("200 OK", &"X: y\r\n".repeat(200), b""),
            0x8007_2F78,
            false,
        ),
    ];
    for (name, script, code, fatal) in rows {
        let origin = FaultyOrigin::new(*script).await;
        let bench = Bench::new(&origin.url());
        let failure = bench.attempt().await.expect_err(name);
        assert_eq!(failure.code.number(), *code, "{name}: {failure}");
        assert_eq!(
            failure.kind == FailureKind::Fatal,
            *fatal,
            "{name}: {failure}"
        );
        assert!(!bench.file().transferred, "{name}");
    }
}

#[tokio::test]
async fn retry_after_is_passed_on() {
    let origin = FaultyOrigin::new(|_| Reply::new("503 Busy", "Retry-After: 17\r\n", b"")).await;
    let failure = Bench::new(&origin.url()).attempt().await.expect_err("busy");
    assert_eq!(
        failure.kind,
        FailureKind::ForNow(Some(Duration::from_secs(17)))
    );
}

#[tokio::test]
async fn an_address_inside_the_fence_is_denied() {
    let origin = FaultyOrigin::new(|asked| Reply::right(asked, TAG, b"x")).await;
    let mut bench = Bench::new(&origin.url());
    bench.transfer.allow_addresses.clear();
    let failure = bench.attempt().await.expect_err("denied");
    assert_eq!(failure.code, Hresult::BG_E_BLOCKED_BY_POLICY);
    assert_eq!(failure.kind, FailureKind::Fatal);
    assert!(failure.detail.contains("loopback"), "{failure}");
    assert!(origin.asked().is_empty());
}

#[tokio::test]
async fn nobody_listens_and_nobody_is_called_so() {
    let bench = Bench::new("http://127.0.0.1:1/");
    let failure = bench.attempt().await.expect_err("refused");
    assert_eq!(failure.code, Hresult::WININET_E_CANNOT_CONNECT);
    assert!(matches!(failure.kind, FailureKind::ForNow(None)));
    let bench = Bench::new("http://no-such-host.invalid/");
    let failure = bench.attempt().await.expect_err("unknown");
    assert_eq!(failure.code, Hresult::WININET_E_NAME_NOT_RESOLVED);
}

#[tokio::test]
async fn a_stop_keeps_what_has_come() {
    let body = content(5_000_000, 1);
    let sent = body.clone();
    let origin = FaultyOrigin::new(move |asked| match asked.number {
        0 => Reply::new("200 OK", TAG, &sent).cut_by(1_000_000, Then::Stall),
        _ => Reply::right(asked, TAG, &sent),
    })
    .await;
    let mut bench = Bench::new(&origin.url());
    let stop = bench.stop.clone();
    let (ended, ()) = tokio::join!(bench.attempt(), async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        stop.cancel();
    });
    assert_eq!(ended.expect_err("stopped").kind, FailureKind::Stopped);
    assert_eq!(bench.file().durable, 4_000_000);
    bench.stop = CancellationToken::new();
    bench.attempt().await.expect("fetched");
    assert_eq!(origin.asked()[1].from(), Some(4_000_000 / 4_096 * 4_096));
    bench.assert_lands(&body);
}

#[tokio::test]
async fn a_killed_process_goes_on_from_what_was_written() {
    let body = content(5_000_000, 1);
    let sent = body.clone();
    let origin = FaultyOrigin::new(move |asked| match asked.number {
        0 => Reply::new("200 OK", TAG, &sent).cut_by(500_000, Then::Stall),
        _ => Reply::right(asked, TAG, &sent),
    })
    .await;
    let mut bench = Bench::new(&origin.url());
    bench.transfer.checkpoint_interval_ms = 60_000;
    bench.transfer.idle_timeout_s = 60;
    bench.transfer.checkpoint_octets = 1 << 30;
    // Dropped in the middle, as by a kill: nothing is synced or reported.
    tokio::time::timeout(Duration::from_millis(400), bench.attempt())
        .await
        .expect_err("stalls");
    assert_eq!(bench.file().durable, 0);
    bench.attempt().await.expect("fetched");
    let from = origin.asked()[1].from().expect("resumed");
    assert!(from >= 4_000_000, "{from}");
    bench.assert_lands(&body);
}

#[tokio::test]
async fn a_small_file_that_trickles_in_shows_and_outlives_a_kill() {
    let body = content(200_000, 1);
    let sent = body.clone();
    let origin = FaultyOrigin::new(move |asked| match asked.number {
        0 => Reply::new("200 OK", TAG, &sent).cut_by(100_000, Then::Stall),
        _ => Reply::right(asked, TAG, &sent),
    })
    .await;
    let mut bench = Bench::new(&origin.url());
    bench.transfer.idle_timeout_s = 60;
    bench.transfer.checkpoint_interval_ms = 2_000;
    // Dropped in the middle, as by a kill.
    tokio::time::timeout(Duration::from_millis(1_200), bench.attempt())
        .await
        .expect_err("stalls");
    assert!(bench.written.load(Ordering::Relaxed) >= 98_304);
    bench.attempt().await.expect("fetched");
    assert_eq!(origin.asked()[1].from(), Some(98_304));
    bench.assert_lands(&body);
}

#[tokio::test]
async fn the_length_of_the_temporary_file_counts_for_nothing() {
    let body = content(3_000_000, 1);
    let sent = body.clone();
    let origin = FaultyOrigin::new(move |asked| Reply::right(asked, TAG, &sent)).await;
    let bench = Bench::new(&origin.url());
    {
        let mut file = bench.file.lock().expect("lock");
        std::fs::create_dir_all(file.path.parent().expect("folder")).expect("made");
        let name = landing::temporary_name(bench.job, 0);
        std::fs::write(file.path.with_file_name(name), vec![7; 2_500_000]).expect("written");
        file.validator = bits_validator("\"one\"");
        file.size = Some(3_000_000);
    }
    bench.attempt().await.expect("fetched");
    assert_eq!(origin.asked()[0].from(), None);
    bench.assert_lands(&body);
}

fn bits_validator(etag: &str) -> crate::bits::Validator {
    crate::bits::Validator {
        etag: Some(etag.to_owned()),
        ..crate::bits::Validator::default()
    }
}

#[tokio::test]
async fn another_version_is_announced_before_it_is_written() {
    let (one, two) = (content(3_000_000, 1), content(3_000_000, 2));
    let origin = FaultyOrigin::new(move |asked| match asked.number {
        0 => cut(TAG, &one),
        _ => Reply::right(asked, OTHER_TAG, &two),
    })
    .await;
    let bench = Bench::new(&origin.url());
    bench.attempt().await.expect_err("cut");
    bench.attempt().await.expect("fetched");
    let told = bench.told.lock().expect("lock").clone();
    let restarts: Vec<_> = told
        .iter()
        .filter_map(|report| match report {
            FileReport::Began { restarted, .. } => Some(*restarted),
            _ => None,
        })
        .collect();
    assert_eq!(restarts, [false, true], "{told:?}");
}

#[tokio::test]
async fn a_file_does_not_take_the_time_of_a_version_that_never_came() {
    let origin = FaultyOrigin::new(|asked| Reply::right(asked, TAG, b"new")).await;
    let bench = Bench::new(&origin.url());
    {
        let mut file = bench.file.lock().expect("lock");
        file.size = Some(9_000_000);
        file.validator.last_modified = Some("Sun, 06 Nov 1994 08:49:37 GMT".to_owned());
    }
    bench.attempt().await.expect("fetched");
    let file = bench.file();
    bench
        .mover()
        .place(bench.job, std::slice::from_ref(&file), &Bounds::default())
        .expect("placed");
    let metadata = std::fs::metadata(&file.path).expect("there");
    let age = metadata.modified().expect("time").elapsed();
    assert!(
        age.is_ok_and(|age| age < Duration::from_hours(1)),
        "{metadata:?}"
    );
}

#[tokio::test]
async fn a_finished_file_takes_its_time_and_replaces_what_was_there() {
    let origin = FaultyOrigin::new(|asked| Reply::right(asked, OLD, b"new")).await;
    let bench = Bench::new(&origin.url());
    bench.attempt().await.expect("fetched");
    let path = bench.file().path;
    std::fs::write(&path, "old, and longer").expect("written");
    bench
        .mover()
        .place(bench.job, &[bench.file()], &Bounds::default())
        .expect("placed");
    assert_eq!(std::fs::read(&path).expect("there"), b"new");
    let metadata = std::fs::metadata(&path).expect("there");
    let modified = httpdate::fmt_http_date(metadata.modified().expect("time"));
    assert_eq!(modified, "Sun, 06 Nov 1994 08:49:37 GMT");
    assert_eq!(metadata.permissions().mode() & 0o7777, 0o640);
}

#[tokio::test]
async fn a_crash_after_a_file_got_its_owner_does_not_lose_it() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let origin = FaultyOrigin::new(|asked| Reply::right(asked, TAG, b"new")).await;
    let bench = Bench::new(&origin.url());
    bench.attempt().await.expect("fetched");
    let file = bench.file();
    let temporary = std::fs::read_dir(file.path.parent().expect("folder"))
        .expect("folder")
        .map(|entry| entry.expect("entry").path())
        .next()
        .expect("a temporary file");
    std::os::unix::fs::chown(&temporary, Some(4_711), None).expect("given away");
    let files = FilesSettings {
        write_roots: vec![bench.root()],
        owner: Some("4711".to_owned()),
        ..FilesSettings::default()
    };
    let state = bench.folder.path().join("state");
    let mover = Mover::new(&bench.transfer, &files, &state, &[]).expect("usable");
    for _ in 0..2 {
        let placed = mover.place(bench.job, std::slice::from_ref(&file), &Bounds::default());
        placed.expect("placed, and placed again");
    }
    assert_eq!(std::fs::read(&file.path).expect("there"), b"new");
    assert!(!temporary.exists());
}

#[tokio::test]
async fn a_discarded_file_leaves_nothing_behind() {
    let body = content(3_000_000, 1);
    let origin = FaultyOrigin::new(move |_| cut(TAG, &body)).await;
    let bench = Bench::new(&origin.url());
    bench.attempt().await.expect_err("cut");
    let (mover, file) = (bench.mover(), bench.file());
    let folder = file.path.parent().expect("folder").to_owned();
    assert_eq!(std::fs::read_dir(&folder).expect("there").count(), 1);
    mover
        .discard(bench.job, std::slice::from_ref(&file))
        .expect("gone");
    assert_eq!(std::fs::read_dir(&folder).expect("there").count(), 0);
    mover
        .discard(bench.job, std::slice::from_ref(&file))
        .expect("still gone");
    let (at, failure) = mover
        .place(bench.job, &[file], &Bounds::default())
        .expect_err("nothing there");
    assert_eq!((at, failure.code), (0, Hresult::ERROR_FILE_NOT_FOUND));
}
