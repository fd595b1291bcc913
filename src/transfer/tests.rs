//! Transfers against the scripted origin.

use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::Ordering;

use super::faulty_origin::Asked;
use super::faulty_origin::FaultyOrigin;
use super::faulty_origin::Reply;
use super::faulty_origin::Then;
use super::*;
use crate::bits::AuthScheme;
use crate::bits::AuthTarget;
use crate::bits::Job;
use crate::bits::NewFile;
use crate::bits::Secret;
use crate::bits::Timestamp;
use crate::config::Network;

const TAG: &str = "ETag: \"one\"\r\n";
const OTHER_TAG: &str = "ETag: \"two\"\r\n";

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
            userinfo: None,
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

    fn root(&self) -> std::path::PathBuf {
        self.folder.path().join("root")
    }

    fn mover(&self) -> Mover {
        let files = FilesSettings {
            write_roots: vec![self.root()],
            ..FilesSettings::default()
        };
        let state = self.folder.path().join("state");
        Mover::new(&self.transfer, &files, &state, &[state.clone()]).expect("usable")
    }

    fn file(&self) -> File {
        self.file.lock().expect("lock").clone()
    }

    /// One attempt, with everything opened anew as after a crash.
    async fn attempt(&self) -> Result<(), Failure> {
        let mover = self.mover();
        let session = mover.session(self.access.clone())?;
        let order = Order {
            job: self.job,
            file: self.file(),
            written: Arc::clone(&self.written),
            stop: self.stop.clone(),
        };
        session.download(order, self).await
    }

    /// The attempt is whole, and lands as `expected`.
    fn assert_lands(&self, expected: &[u8]) {
        let file = self.file();
        assert!(file.transferred, "{:?}", self.told.lock().expect("lock"));
        assert!(!file.path.exists(), "there before Complete");
        let mover = self.mover();
        mover.place(self.job, &[file.clone()]).expect("placed");
        mover
            .place(self.job, &[file.clone()])
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
