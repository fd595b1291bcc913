//! Uploads with bodies made by hand.

use std::convert::Infallible;
use std::fs;
use std::pin::Pin;
use std::task::Context;
use std::task::Poll;

use http_body_util::Full;
use hyper::StatusCode;
use hyper::body::Body;
use hyper::body::Bytes;
use hyper::body::Frame;

use super::packets::Answer;
use super::*;
use crate::config::Notification;
use crate::config::UploadFolder;
use crate::transfer::upload_packet::FragmentRange;
use crate::transfer::upload_packet::Packet;
use crate::transfer::upload_packet::SessionId;

/// A folder with its uploads.
struct Ground {
    folder: tempfile::TempDir,
    settings: HostingSettings,
    uploads: Uploads,
}

fn ground(settings: UploadFolder) -> Ground {
    let folder = tempfile::tempdir().expect("folder");
    for name in ["in", "state"] {
        fs::create_dir(folder.path().join(name)).expect("made");
    }
    let settings = HostingSettings {
        upload_folders: vec![UploadFolder {
            path: "/upload".to_owned(),
            folder: folder.path().join("in"),
            users: vec!["alice".to_owned()],
            ..settings
        }],
        ..HostingSettings::default()
    };
    let uploads = start(&folder, &settings);
    Ground {
        folder,
        settings,
        uploads,
    }
}

fn start(folder: &tempfile::TempDir, settings: &HostingSettings) -> Uploads {
    let state = folder.path().join("state");
    let places = Places {
        groups: &BTreeMap::new(),
        files: &FilesSettings::default(),
        state_directory: &state,
        protected: std::slice::from_ref(&state),
    };
    Uploads::start(settings, &places, CancellationToken::new()).expect("started")
}

impl Ground {
    fn asked(&self, who: &str, target: &str) -> Asked {
        let (folder, _) = self.uploads.folder("/upload/x").expect("there");
        Asked {
            folder: Arc::clone(folder),
            by: Uploader::Account(Owner::new(who)),
            target: target.to_owned(),
            original_url: format!("https://host/upload/{target}"),
            query: None,
            stall: Duration::from_secs(30),
        }
    }

    async fn say(&self, packet: Packet) -> Answer {
        let body = Full::<Bytes>::default();
        self.uploads
            .answer(self.asked("alice", "file"), packet, body)
            .await
    }

    async fn begin(&self) -> SessionId {
        let packet = Packet::CreateSession { content_name: None };
        let answer = self.say(packet).await;
        answer.ack.session.expect("a session")
    }

    async fn fragment<B>(&self, session: &SessionId, range: FragmentRange, body: B) -> Answer
    where
        B: Body<Data = Bytes> + Unpin + Send + 'static,
    {
        let session = session.clone();
        let packet = Packet::Fragment { session, range };
        let asked = self.asked("alice", "file");
        self.uploads.answer(asked, packet, body).await
    }

    /// The service as after a crash.
    async fn start_anew(&mut self) {
        self.uploads.stop().await;
        self.uploads = start(&self.folder, &self.settings);
    }

    fn files(&self) -> usize {
        let files = fs::read_dir(self.folder.path().join("in"));
        files.expect("there").count()
    }

    fn records(&self) -> usize {
        let records = fs::read_dir(self.folder.path().join("state/uploads"));
        records.expect("there").count()
    }
}

fn range(first: u64, length: u64, total: u64) -> FragmentRange {
    FragmentRange {
        first,
        length,
        total,
    }
}

/// A body that ends, or comes to a stop, before it is whole.
struct Cut {
    piece: Option<Bytes>,
    stalls: bool,
}

impl Body for Cut {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.piece.take() {
            Some(piece) => Poll::Ready(Some(Ok(Frame::data(piece)))),
            None if self.stalls => Poll::Pending,
            None => Poll::Ready(None),
        }
    }
}

fn cut(piece: &'static [u8], stalls: bool) -> Cut {
    Cut {
        piece: Some(Bytes::from_static(piece)),
        stalls,
    }
}

#[tokio::test]
async fn what_came_before_a_cut_counts_and_the_file_appears_when_it_is_whole() {
    let mut ground = ground(UploadFolder::default());
    let session = ground.begin().await;
    let answer = ground
        .fragment(&session, range(0, 10, 10), cut(b"octe", false))
        .await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    ground.start_anew().await;
    let probe = ground.fragment(&session, range(9, 1, 10), cut(b"x", false));
    let probe = probe.await;
    assert_eq!(
        (probe.status.as_u16(), probe.ack.next_octet),
        (416, Some(4))
    );
    assert_eq!(ground.files(), 1);
    let answer = ground
        .fragment(&session, range(4, 6, 10), cut(b"ts, te", false))
        .await;
    assert_eq!(
        (answer.status.as_u16(), answer.ack.next_octet),
        (200, Some(10))
    );
    let there = fs::read(ground.folder.path().join("in/file")).expect("there");
    assert_eq!(there, b"octets, te");
    let closed = ground
        .say(Packet::CloseSession {
            session,
            content_name: None,
        })
        .await;
    assert_eq!(closed.status, StatusCode::OK);
    assert_eq!(ground.files(), 1);
}

#[tokio::test]
async fn more_than_a_fragment_says_is_not_written() {
    let ground = ground(UploadFolder::default());
    let session = ground.begin().await;
    let answer = ground
        .fragment(&session, range(0, 4, 8), cut(b"octets", false))
        .await;
    assert_eq!(answer.ack.next_octet, Some(4));
}

#[tokio::test]
async fn a_stalled_fragment_ends_and_says_how_far_it_came() {
    let ground = ground(UploadFolder::default());
    let session = ground.begin().await;
    let packet = Packet::Fragment {
        session,
        range: range(0, 10, 10),
    };
    let asked = Asked {
        stall: Duration::from_millis(50),
        ..ground.asked("alice", "file")
    };
    let answer = ground.uploads.answer(asked, packet, cut(b"octe", true));
    let answer = answer.await;
    assert_eq!(
        (answer.status.as_u16(), answer.ack.next_octet),
        (408, Some(4))
    );
}

#[tokio::test]
async fn a_session_is_there_for_its_owner_at_its_destination() {
    let ground = ground(UploadFolder::default());
    let session = ground.begin().await;
    for (who, target) in [("bob", "file"), ("Alice", "file"), ("alice", "other")] {
        let packet = Packet::CancelSession {
            session: session.clone(),
        };
        let asked = ground.asked(who, target);
        let answer = ground.uploads.answer(asked, packet, Full::default()).await;
        assert_eq!(answer, Answer::from(Refused::NO_SESSION), "{who} {target}");
    }
    assert_eq!(ground.files(), 1);
}

#[tokio::test]
async fn silent_sessions_are_cleared_away_and_closed_ones_forgotten() {
    let mut ground = ground(UploadFolder {
        session_timeout_s: 100,
        ..UploadFolder::default()
    });
    let silent = ground.begin().await;
    let closed = ground.begin().await;
    let close = Packet::CloseSession {
        session: closed,
        content_name: None,
    };
    assert_eq!(ground.say(close.clone()).await.status, StatusCode::OK);
    assert_eq!(ground.files(), 1);
    ground.start_anew().await;
    // As a client would that has lost the answer.
    assert_eq!(ground.say(close.clone()).await.status, StatusCode::OK);
    ground.uploads.clear_away(clock::now_s() + 90).await;
    assert_eq!(ground.files(), 1);
    ground.uploads.clear_away(clock::now_s() + 110).await;
    assert_eq!(ground.files(), 0);
    let answer = ground
        .fragment(&silent, range(0, 1, 1), cut(b"x", false))
        .await;
    assert_eq!(answer, Answer::from(Refused::NO_SESSION));
    ground.uploads.clear_away(clock::now_s() + 4_000).await;
    assert_eq!(ground.records(), 0);
    assert_eq!(ground.say(close).await, Answer::from(Refused::NO_SESSION));
}

#[tokio::test]
async fn a_session_of_a_folder_that_is_not_configured_waits_for_it() {
    let mut ground = ground(UploadFolder::default());
    let session = ground.begin().await;
    let folders = std::mem::take(&mut ground.settings.upload_folders);
    ground.start_anew().await;
    assert!(ground.uploads.folder("/upload/file").is_none());
    ground.settings.upload_folders = folders;
    ground.start_anew().await;
    let answer = ground
        .fragment(&session, range(0, 1, 1), cut(b"x", false))
        .await;
    assert_eq!(answer.status, StatusCode::OK);
}

/// Of an application that takes the connection and says nothing.
#[tokio::test]
async fn an_application_that_does_not_answer_is_408_after_five_minutes() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await;
    let listener = listener.expect("bound");
    let port = listener.local_addr().expect("an address").port();
    let notice = notify::Notice {
        url: url::Url::parse(&format!("http://127.0.0.1:{port}/done")).expect("a URL"),
        session: crate::bits::JobId::new(),
        original_url: "https://host/upload/x".to_owned(),
        query: None,
        by: notify::By::Reference {
            data: PathBuf::from("/in/data"),
            reply: PathBuf::from("/in/reply"),
        },
    };
    let telling = tokio::spawn(notify::tell(notice));
    let _silent = listener.accept().await.expect("accepted");
    tokio::time::pause();
    let before = tokio::time::Instant::now();
    let refused = telling.await.expect("no panic").expect_err("refused");
    assert_eq!(refused.status, StatusCode::REQUEST_TIMEOUT);
    assert_eq!(
        refused.context,
        crate::bits::ErrorContext::RemoteApplication
    );
    assert!(before.elapsed() >= Duration::from_secs(290));
}

#[tokio::test]
async fn an_upload_is_not_done_before_its_application_is_told() {
    let ground = ground(UploadFolder {
        notification: Notification::Reference,
        notification_url: Some("http://127.0.0.1:1/".to_owned()),
        ..UploadFolder::default()
    });
    let session = ground.begin().await;
    for _ in 0..2 {
        let body = cut(b"octets", false);
        let answer = ground.fragment(&session, range(0, 6, 6), body).await;
        assert_eq!(answer.status, StatusCode::BAD_GATEWAY);
    }
    assert!(!ground.folder.path().join("in/file").exists());
}
