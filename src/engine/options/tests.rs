use std::time::Duration;

use super::super::tests::Bench;
use super::*;
use crate::bits::AuthScheme;
use crate::bits::AuthTarget;
use crate::bits::Credentials;
use crate::bits::Proxy;
use crate::bits::ReplyProgress;
use crate::bits::State;
use crate::bits::Upload;
use crate::engine::Whose;

const EMPTY: &str = "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n";

fn file(bench: &Bench, url: &str, name: &str) -> WishedFile {
    let path = bench.folder.path().join("root").join(name);
    WishedFile {
        remote_url: url.to_owned(),
        local_file: path.display().to_string(),
        ..WishedFile::default()
    }
}

/// Somebody who may do everything to everybody's jobs.
fn manager() -> Caller {
    Caller::for_test("manager", Whose::All)
}

fn code<T: std::fmt::Debug>(refused: Result<T, Error>) -> Hresult {
    match refused.expect_err("refused") {
        Error::Refused { code, .. } => code,
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn a_set_of_one_file_has_its_reply_land_beside_it() {
    let bench = Bench::new(EMPTY).await;
    let wish = Wish {
        kind: JobType::UploadReply,
        display_name: "a".to_owned(),
        suspended: true,
        ..Wish::default()
    };
    let id = bench.engine.create(&bench.anna, wish).await.expect("made");
    let sent = file(&bench, &bench.url, "sent");
    std::fs::write(&sent.local_file, "octets").expect("written");
    let added = bench.engine.add_files(&bench.anna, id, vec![sent.clone()]);
    added.await.expect("added");
    let job = bench.engine.job(&bench.anna, id).expect("there");
    let reply = job.options.reply.as_ref().expect("there is a reply file");
    assert!(reply.local_file.starts_with(&sent.local_file));
}

#[tokio::test]
async fn a_reply_has_a_place_and_keeps_it_once_it_comes() {
    let bench = Bench::new(EMPTY).await;
    let (engine, anna) = (&bench.engine, &bench.anna);
    let sent = file(&bench, &bench.url, "sent");
    std::fs::write(&sent.local_file, "octets").expect("written");
    let wish = Wish {
        kind: JobType::UploadReply,
        display_name: "a".to_owned(),
        files: vec![sent],
        suspended: true,
        ..Wish::default()
    };
    let id = engine.create(anna, wish).await.expect("made");
    let reply = || {
        let job = engine.job(anna, id).expect("there");
        job.options.reply.clone().expect("there is a reply file")
    };
    let made_up = reply();
    let own = ReplyFile {
        local_file: file(&bench, "", "reply").local_file,
        path: PathBuf::new(),
    };
    let set = async |reply: Option<&ReplyFile>| {
        let options = WishedOptions {
            changes: vec![OptionChange::Reply(reply.cloned())],
            headers: None,
        };
        engine.set_all(anna, id, Changes::default(), options).await
    };
    set(Some(&own)).await.expect("set");
    assert_eq!(reply().path, PathBuf::from(&own.local_file));
    set(None).await.expect("set");
    assert_eq!(reply(), made_up);
    let store = &engine.core.store;
    let mut sent = store.files(id, 0, 1).expect("read").remove(0);
    sent.upload = Some(Box::new(Upload {
        reply: Some(ReplyProgress::default()),
        ..Upload::default()
    }));
    let kept = store.commit(vec![Change::Progress(id, sent)]);
    kept.await.expect("kept");
    assert_eq!(code(set(Some(&own)).await), Hresult::BG_E_INVALID_STATE);
    set(Some(&made_up)).await.expect("it is there already");
    set(None).await.expect("nothing else is asked for");
}

#[tokio::test]
async fn what_the_owner_logs_on_with_goes_nowhere_else_for_others() {
    let bench = Bench::new(EMPTY).await;
    let (anna, manager) = (&bench.anna, manager());
    let id = bench.job().await;
    let engine = &bench.engine;
    let elsewhere = "http://192.0.2.1/".to_owned();
    let all = async |by: &Caller, round: u32| {
        let more = |name: &str| file(&bench, &elsewhere, &format!("{name}{round}"));
        let proxy = Proxy::Override {
            list: "192.0.2.1:80".to_owned(),
            bypass: String::new(),
        };
        [
            engine.add_file(by, id, more("b")).await,
            engine.add_files(by, id, vec![more("c")]).await,
            engine.set_remote_name(by, id, 0, elsewhere.clone()).await,
            engine.set_proxy(by, id, proxy).await,
            engine
                .replace_remote_prefix(by, id, elsewhere.clone(), elsewhere.clone())
                .await
                .map(drop),
        ]
    };
    for done in all(&manager, 1).await {
        done.expect("there is no secret yet");
    }
    let credentials = Credentials {
        target: AuthTarget::Server,
        scheme: AuthScheme::Basic,
        user: Secret::new("anna".to_owned()),
        password: Secret::new("hush".to_owned()),
    };
    let set = engine.set_credentials(anna, id, credentials);
    set.await.expect("set");
    for done in all(&manager, 2).await {
        assert_eq!(code(done), Hresult::E_ACCESSDENIED);
    }
    for done in all(anna, 3).await {
        done.expect("they are hers");
    }
    let gone = engine.remove_credentials(anna, id, AuthTarget::Server, AuthScheme::Basic);
    gone.await.expect("removed");
    let options = WishedOptions {
        changes: Vec::new(),
        headers: Some(Secret::new("X-Key: hush\r\n".to_owned())),
    };
    let set = engine.set_all(anna, id, Changes::default(), options);
    set.await.expect("set");
    for done in all(&manager, 4).await {
        assert_eq!(code(done), Hresult::E_ACCESSDENIED);
    }
    engine.take_ownership(&manager, id).await.expect("taken");
    for done in all(&manager, 5).await {
        done.expect("the secrets are gone");
    }
}

#[tokio::test]
async fn the_query_of_another_owner_is_sent_nowhere_else() {
    let bench = Bench::new(EMPTY).await;
    let (anna, manager) = (&bench.anna, manager());
    let wish = Wish {
        display_name: "a".to_owned(),
        files: vec![file(&bench, "http://192.0.2.1/f?key=hush", "f")],
        suspended: true,
        ..Wish::default()
    };
    let id = bench.engine.create(anna, wish).await.expect("made");
    let to = |by: &Caller, old: &str, new: &str| {
        let (engine, by) = (bench.engine.clone(), by.clone());
        let (old, new) = (old.to_owned(), new.to_owned());
        async move { engine.replace_remote_prefix(&by, id, old, new).await }
    };
    let (one, two) = ("http://192.0.2.1/", "http://192.0.2.2/");
    assert_eq!(code(to(&manager, one, two).await), Hresult::E_ACCESSDENIED);
    assert_eq!(to(anna, one, two).await.expect("hers"), 1);
    let taken = bench.engine.take_ownership(&manager, id);
    taken.await.expect("taken");
    let job = bench.engine.job(&manager, id).expect("there");
    assert!(!job.shows_queries_to(&manager.owner), "she wrote it");
    assert_eq!(code(to(&manager, two, one).await), Hresult::E_ACCESSDENIED);
}

#[tokio::test]
async fn a_transfer_that_runs_begins_anew_at_its_new_address() {
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 9000000\r\n\r\nx";
    let (bench, other) = (Bench::new(head).await, Bench::new(head).await);
    let id = bench.job().await;
    bench.reaches(id, State::Transferring).await;
    let (old, new) = (bench.url.clone(), other.url.clone());
    let changed = bench
        .engine
        .replace_remote_prefix(&bench.anna, id, old, new.clone());
    assert_eq!(changed.await.expect("replaced"), 1);
    let job = bench.engine.job(&bench.anna, id).expect("there");
    let files = bench.engine.files(&job, 0, 9).expect("read");
    assert_eq!(files[0].remote_url, new);
    for _ in 0..1_000 {
        if other.asked.load(std::sync::atomic::Ordering::Relaxed) > 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the other server is never asked");
}
