//! Feeds of several lanes against the scripted origin.

use std::collections::HashSet;

use super::super::Access;
use super::super::Mover;
use super::super::Session;
use super::super::faulty_origin::Asked;
use super::super::faulty_origin::FaultyOrigin;
use super::super::faulty_origin::Reply;
use super::super::faulty_origin::Then;
use super::*;
use crate::config::FilesSettings;
use crate::config::Network;
use crate::config::TransferSettings;

const TAG: &str = "ETag: \"one\"\r\n";

/// 48 MiB that differ by place.
fn content() -> Arc<Vec<u8>> {
    let mut state = 7_u64;
    let blocks = (0..6 << 20).flat_map(|_| {
        state = state.wrapping_mul(0x5851_F42D_4C95_7F2D).wrapping_add(11);
        (state >> 3).to_le_bytes()
    });
    Arc::new(blocks.collect())
}

/// The part that was asked for.
fn part(asked: &Asked) -> Option<(usize, usize)> {
    let (first, last) = asked
        .header("range")?
        .strip_prefix("bytes=")?
        .split_once('-')?;
    Some((first.parse().ok()?, last.parse::<usize>().ok()? + 1))
}

fn right(asked: &Asked, body: &[u8], tag: &str) -> Reply {
    match part(asked) {
        None => Reply::new("200 OK", tag, body),
        Some((first, end)) => Reply::new(
            "206 Partial Content",
            &format!(
                "{tag}Content-Range: bytes {first}-{}/{}\r\n",
                end - 1,
                body.len()
            ),
            &body[first..end],
        ),
    }
}

fn session() -> (tempfile::TempDir, Session) {
    let folder = tempfile::tempdir().expect("folder");
    let transfer = TransferSettings {
        allow_addresses: vec![Network::try_from("127.0.0.1".to_owned()).expect("address")],
        ..TransferSettings::default()
    };
    let mover = Mover::new(&transfer, &FilesSettings::default(), folder.path(), &[]);
    let session = mover.expect("usable").session(Access::default());
    (folder, session.expect("usable"))
}

/// All octets, fetched by `lanes` lanes from the start.
async fn fetch(origin: &FaultyOrigin, lanes: usize) -> Result<Vec<u8>, Failure> {
    let (_folder, session) = session();
    let url = Url::parse(&format!("http://{}/a", origin.address)).expect("url");
    let answer = session.origin.ask(&url, &Ask::default()).await?;
    let whole = Whole {
        url,
        from: 0,
        size: answer.length().expect("known"),
        validator: Validator::read(answer.header(header::ETAG), None, None),
    };
    let mut feed = Feed::new(Stretch::whole(answer, 0), Some(whole));
    if let Some(plan) = &mut feed.plan {
        plan.lanes = Lanes::fixed(lanes);
    }
    let mut all = Vec::new();
    while let Some(data) = feed.data().await {
        all.extend_from_slice(&data?);
    }
    feed.finish().await;
    Ok(all)
}

#[tokio::test]
async fn parts_of_one_version_come_out_as_the_file() {
    let body = content();
    let sent = Arc::clone(&body);
    let origin = FaultyOrigin::new(move |asked| right(asked, &sent, TAG)).await;
    let all = fetch(&origin, 4).await.expect("whole");
    assert!(all == *body);
    let asked = origin.asked();
    let parts: Vec<_> = asked.iter().filter_map(part).collect();
    assert!(parts.len() >= 5, "{parts:?}");
    let own: HashSet<_> = asked.iter().map(|asked| asked.connection).collect();
    assert!((4..=6).contains(&own.len()), "{own:?}");
    for asked in asked.iter().filter(|asked| part(asked).is_some()) {
        assert_eq!(asked.header("if-range"), Some("\"one\""));
    }
}

#[tokio::test]
async fn a_server_that_gives_no_parts_gives_the_file_over_one_connection() {
    let body = content();
    for refusal in [
        "200 OK",
        "503 Service Unavailable",
        "429 Too Many Requests",
        "416 Range Not Satisfiable",
        "500 Internal Server Error",
        "404 Not Found",
    ] {
        let sent = Arc::clone(&body);
        let origin = FaultyOrigin::new(move |asked| match part(asked) {
            None => Reply::new("200 OK", TAG, &sent),
            Some(_) if refusal == "200 OK" => Reply::new(refusal, TAG, &sent),
            Some(_) => Reply::new(refusal, "Retry-After: 9\r\n", b""),
        })
        .await;
        let all = fetch(&origin, 4).await.expect(refusal);
        assert!(all == *body, "{refusal}");
        let parts = origin.asked().iter().filter_map(part).count();
        assert_eq!(parts, 1, "{refusal}: it was asked once");
    }
}

#[tokio::test]
async fn no_octet_of_another_version_or_place_is_taken() {
    let body = content();
    for wrong in 0..5 {
        let sent = Arc::clone(&body);
        let other: Vec<u8> = body.iter().map(|octet| !octet).collect();
        let origin = FaultyOrigin::new(move |asked| {
            let Some((first, end)) = part(asked) else {
                return Reply::new("200 OK", TAG, &sent);
            };
            let size = sent.len();
            let (tag, first_said, last_said, size) = match wrong {
                0 => ("ETag: \"two\"\r\n", first, end - 1, size),
                1 => ("", first, end - 1, size),
                2 => (TAG, first - 1, end - 2, size),
                3 => (TAG, first, end - 1, size + 1),
                _ => ("ETag: W/\"one\"\r\n", first, end - 1, size),
            };
            let head = format!("{tag}Content-Range: bytes {first_said}-{last_said}/{size}\r\n");
            Reply::new("206 Partial Content", &head, &other[first..end])
        })
        .await;
        let all = fetch(&origin, 4).await.expect("whole");
        assert!(all == *body, "{wrong}");
    }
}

#[tokio::test]
async fn a_lane_that_is_cut_costs_nothing_but_itself() {
    let body = content();
    let sent = Arc::clone(&body);
    let origin = FaultyOrigin::new(move |asked| {
        let reply = right(asked, &sent, TAG);
        match part(asked) {
            // The third lane breaks off in the middle of its first chunk.
            Some(_) if asked.connection == 2 => reply.cut_by(1 << 20, Then::Cut),
            _ => reply,
        }
    })
    .await;
    let all = fetch(&origin, 4).await.expect("whole");
    assert!(all == *body);
}

#[tokio::test]
async fn a_lane_that_stalls_is_overtaken() {
    let body = content();
    let sent = Arc::clone(&body);
    let origin = FaultyOrigin::new(move |asked| {
        let reply = right(asked, &sent, TAG);
        match part(asked) {
            // The third lane hears no more in the middle of its first chunk.
            Some(_) if asked.connection == 2 => reply.cut_by(1 << 20, Then::Stall),
            _ => reply,
        }
    })
    .await;
    let all = fetch(&origin, 4).await.expect("whole");
    assert!(all == *body);
    let asked = origin.asked();
    let end = |asked: &Asked| part(asked).map(|(_, end)| end);
    let stalled = asked.iter().find(|asked| asked.connection == 2);
    let stalled = stalled.and_then(end).expect("a part");
    let times = asked.iter().filter(|asked| end(asked) == Some(stalled));
    assert_eq!(times.count(), 2, "it was asked for again, once");
}

#[tokio::test]
async fn a_source_that_changes_meanwhile_is_a_failure_and_no_mixture() {
    let body = content();
    let sent = Arc::clone(&body);
    let origin = FaultyOrigin::new(move |asked| match part(asked) {
        Some(_) if asked.number > 3 => Reply::new("200 OK", "ETag: \"two\"\r\n", &sent),
        _ => right(asked, &sent, TAG),
    })
    .await;
    let fetched = fetch(&origin, 4).await.map(|all| all.len());
    let failure = fetched.expect_err("changed");
    assert!(matches!(
        failure.kind,
        super::super::FailureKind::ForNow(None)
    ));
}

#[tokio::test]
async fn small_weak_and_unwilling_sources_come_in_one_piece() {
    let body = content();
    for (headers, octets) in [
        (TAG, 1 << 20),
        ("", body.len()),
        ("ETag: W/\"one\"\r\n", body.len()),
        ("ETag: \"one\"\r\nAccept-Ranges: none\r\n", body.len()),
    ] {
        let sent = body[..octets].to_vec();
        let origin = FaultyOrigin::new(move |asked| right(asked, &sent, headers)).await;
        let all = fetch(&origin, 4).await.expect("whole");
        assert!(all == body[..octets]);
        assert_eq!(origin.asked().len(), 1, "{headers}");
    }
}
