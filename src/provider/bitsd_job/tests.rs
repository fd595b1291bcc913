//! Both classes of our own over an engine and a store of their own.

use std::sync::Arc;

use super::*;
use crate::auth::Scope;
use crate::bits::Owner;
use crate::cim::Comparison;
use crate::cim::Condition;
use crate::cim::Literal;
use crate::cim::Values;
use crate::config::Bounds;
use crate::config::EngineSettings;
use crate::config::FilesSettings;
use crate::config::TransferSettings;
use crate::provider::BitsdFile;
use crate::provider::Cursor;
use crate::store::Sqlite;
use crate::store::Store;
use crate::transfer::Mover;
use crate::vault::Vault;

struct Bench {
    jobs: BitsdJob,
    microsofts: BitsClientJob,
    files: BitsdFile,
    catalog: Catalog,
    folder: tempfile::TempDir,
    store: Arc<dyn Store>,
}

impl Bench {
    async fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        for name in ["root", "other", "state"] {
            std::fs::create_dir(at(name)).expect("made");
        }
        let files = FilesSettings {
            write_roots: vec![at("root"), at("other")],
            read_roots: vec![at("root")],
            ..FilesSettings::default()
        };
        let mover = Mover::new(&TransferSettings::default(), &files, &at("state"), &[])
            .unwrap_or_else(|failure| panic!("{}", failure.detail));
        let store = Sqlite::open(&at("state/jobs"), Arc::new(Vault::for_test(1)));
        let store: Arc<dyn Store> = Arc::new(store.expect("a store"));
        let other = at("other");
        // Rita may have files in one of the two roots only.
        let bounds = move |owner: &Owner| Bounds {
            write_roots: (owner.as_str() == "rita").then(|| Arc::from([other.clone()])),
            ..Bounds::default()
        };
        let settings = EngineSettings::default();
        let engine = Engine::start(settings, Arc::clone(&store), mover, Box::new(bounds));
        let engine = engine.await.expect("an engine");
        let catalog = Catalog::bundled().expect("valid");
        Self {
            jobs: BitsdJob::new(engine.clone(), &catalog).expect("defined"),
            microsofts: BitsClientJob::new(engine.clone(), &catalog).expect("defined"),
            files: BitsdFile::new(engine, &catalog).expect("defined"),
            catalog,
            folder,
            store,
        }
    }

    fn local_file(&self, name: &str) -> Value {
        let path = self.folder.path().join("root").join(name);
        Value::String(path.to_string_lossy().into_owned())
    }

    /// A suspended job with one file and what else is given.
    async fn create(&self, by: &Principal, more: &[(&str, Value)]) -> Result<Keys, Error> {
        let mut all = vec![
            ("DisplayName", "a".into()),
            ("RemoteUrl", "http://origin.test/dir/a?sig=query".into()),
            ("LocalFile", self.local_file("a")),
            ("Suspend", Value::Boolean(true)),
        ];
        all.extend_from_slice(more);
        let out = self.invoke(by, &Keys::new(), "CreateJob", &all).await?;
        match out.value("JobId") {
            Some(Value::String(id)) => Ok(vec![("JobId".to_owned(), id.clone())]),
            other => panic!("{other:?}"),
        }
    }

    async fn invoke(
        &self,
        by: &Principal,
        keys: &Keys,
        method: &str,
        arguments: &[(&str, Value)],
    ) -> Result<Values, Error> {
        self.jobs.invoke(by, keys, method, values(arguments)).await
    }

    async fn put(&self, by: &Principal, keys: &Keys, all: &[(&str, Value)]) -> Result<(), Error> {
        self.jobs.put(by, keys, values(all)).await
    }

    async fn get(&self, by: &Principal, keys: &Keys) -> Instance {
        self.jobs.get(by, keys, WHOLE).await.expect("visible")
    }

    fn specs(&self, from: u32, count: u32) -> Value {
        let class = self.catalog.class("root/bitsd", "BitsdFileSpec");
        let spec = |number: u32| {
            let mut spec = Instance::new(class.expect("defined"));
            let url = format!("http://origin.test/dir/{number}");
            spec.set("RemoteUrl", Value::String(url)).expect("there");
            let local_file = self.local_file(&number.to_string());
            spec.set("LocalFile", local_file).expect("there");
            Value::Instance(Box::new(spec))
        };
        Value::Array((from..from + count).map(spec).collect())
    }

    /// All files that the condition holds for, page by page.
    async fn listed(
        &self,
        by: &Principal,
        condition: Option<&Condition>,
        limit: usize,
    ) -> Vec<Instance> {
        let mut all = Vec::new();
        let mut after: Option<Cursor> = None;
        loop {
            let query = Query {
                after: after.as_ref(),
                limit,
                view: WHOLE,
                condition,
            };
            let page = self.files.page(by, query).await.expect("a page");
            assert!(page.items.len() <= limit);
            let last = page.items.last().map(|(_, cursor)| cursor.clone());
            all.extend(page.items.into_iter().map(|(file, _)| file));
            if page.is_last {
                return all;
            }
            let next = page.reached.or(last).expect("a page goes on somewhere");
            assert!(next.0.len() <= 64);
            assert_ne!(after.as_ref(), Some(&next), "it goes on");
            after = Some(next);
        }
    }
}

const WHOLE: View<'_> = View {
    only: None,
    room: 10_000_000,
};

fn values(all: &[(&str, Value)]) -> Values {
    let mut values = Values::new();
    for (name, value) in all {
        values.insert(name, Some(value.clone()));
    }
    values
}

fn ann() -> Principal {
    Principal::for_test("ann", Scope::Own)
}

fn root() -> Principal {
    Principal::for_test("root", Scope::All)
}

fn code(error: &Error) -> u32 {
    match error {
        Error::Failed { code, .. } => code.number(),
        other => panic!("{other:?}"),
    }
}

fn texts(all: &[&str]) -> Value {
    Value::Array(all.iter().map(|text| (*text).into()).collect())
}

fn of_job(keys: &Keys) -> Condition {
    Condition::Compare {
        property: "JobId".to_owned(),
        operator: Comparison::Equal,
        literal: Literal::String(keys[0].1.clone()),
    }
}

#[tokio::test]
async fn a_job_has_all_that_it_was_created_with() {
    let bench = Bench::new().await;
    let given = [
        ("HttpMethod", "POST".into()),
        ("CustomHeaders", "X-One: 1\r\nX-Two: 2".into()),
        ("SecurityFlags", Value::Uint32(0x204)),
        ("ServerThumbprints", texts(&["aa".repeat(20).as_str()])),
        ("MaximumDownloadTime", Value::Uint32(60)),
        ("MaxDownloadSize", Value::Uint64(1 << 40)),
        ("RequireRanges", Value::Boolean(true)),
        ("Labels", texts(&["site=a", "nightly"])),
        ("StartAfter", Value::Uint64(1 << 60)),
        ("ExpectedSha256", "00".repeat(32).as_str().into()),
        ("Files", bench.specs(0, 3)),
        ("MinimumRetryDelay", Value::Uint32(30)),
    ];
    let keys = bench.create(&ann(), &given).await.expect("created");
    let job = bench.get(&ann(), &keys).await;
    for (name, wanted) in [
        ("Type", Value::Uint16(0)),
        ("Priority", Value::Uint32(0)),
        ("MinimumRetryDelay", Value::Uint32(30)),
        ("HttpMethod", "POST".into()),
        ("CustomHeaders", "X-One: 1\r\nX-Two: 2\r\n".into()),
        ("HeadersWriteOnly", Value::Boolean(false)),
        ("SecurityFlags", Value::Uint32(0x204)),
        ("ServerThumbprints", texts(&["AA".repeat(20).as_str()])),
        ("MaximumDownloadTime", Value::Uint32(60)),
        ("MaxDownloadSize", Value::Uint64(1 << 40)),
        ("DynamicContent", Value::Boolean(false)),
        ("RequireRanges", Value::Boolean(true)),
        ("Labels", texts(&["site=a", "nightly"])),
        ("StartAfter", Value::Uint64(1 << 60)),
        ("FilesTotal", Value::Uint32(4)),
        ("WaitingFor", "client".into()),
    ] {
        assert_eq!(job.value(name), Some(&wanted), "{name}");
    }
    // Microsoft's class shows the same job, and nothing of this.
    let same = bench
        .microsofts
        .get(&ann(), &keys, WHOLE)
        .await
        .expect("there");
    assert_eq!(same.class().name, "BitsClientJob");
    assert_eq!(same.value("JobId"), job.value("JobId"));
    assert_eq!(same.value("HttpMethod"), None);
}

#[tokio::test]
async fn what_a_get_gave_can_be_put_back_at_any_time() {
    let bench = Bench::new().await;
    let given = [
        ("CustomHeaders", "Authorization: secret".into()),
        ("MaxDownloadSize", Value::Uint64(5)),
    ];
    let keys = bench.create(&ann(), &given).await.expect("created");
    let resume = [("JobState", Value::Uint16(2))];
    bench
        .invoke(&ann(), &keys, "SetJobState", &resume)
        .await
        .expect("resumed");
    bench
        .invoke(&ann(), &keys, "MakeCustomHeadersWriteOnly", &[])
        .await
        .expect("done");
    for by in [ann(), root()] {
        let job = bench.get(&by, &keys).await;
        assert_eq!(job.value("CustomHeaders"), None);
        let mut back = Values::new();
        for property in &job.class().properties {
            if property.is_writable {
                back.insert(&property.name, job.value(&property.name).cloned());
            }
        }
        bench.jobs.put(&by, &keys, back).await.expect("unchanged");
    }
    let id = keys[0].1.parse().expect("a key");
    let kept = bench.store.headers(id).expect("read").expect("still there");
    assert_eq!(kept.reveal(), "Authorization: secret\r\n");
}

#[tokio::test]
async fn a_put_says_which_property_cannot_be_set_now() {
    let bench = Bench::new().await;
    let keys = bench.create(&ann(), &[]).await.expect("created");
    let set = |name, value| [(name, value)];
    for (change, wanted) in [
        (set("MaxDownloadSize", Value::Uint64(0)), 0x8020_0063),
        (set("SecurityFlags", Value::Uint32(0x40)), 0x8000_4001),
        (set("ReplyFileName", bench.local_file("r")), 0x8000_4001),
        (set("HttpMethod", "B AD".into()), 0x8007_0057),
        (set("ServerThumbprints", texts(&["xx"])), 0x8007_0057),
        (set("CustomHeaders", "no header".into()), 0x8007_0057),
        (
            set(
                "CustomHeaders",
                format!("X: {}", "y".repeat(16_384)).as_str().into(),
            ),
            0x8020_0021,
        ),
    ] {
        let error = bench
            .put(&ann(), &keys, &change)
            .await
            .expect_err("refused");
        assert_eq!(code(&error), wanted, "{change:?}");
        assert!(!error.to_string().contains("no header"), "{error}");
        assert!(error.to_string().contains(change[0].0), "{error}");
    }
    let method = [("HttpMethod", "PUT".into())];
    bench
        .put(&ann(), &keys, &method)
        .await
        .expect("not resumed yet");
    let dynamic = [("DynamicContent", Value::Boolean(true))];
    let error = bench
        .put(&ann(), &keys, &dynamic)
        .await
        .expect_err("not both");
    assert_eq!(code(&error), 0x8020_0071);
    let resume = [("JobState", Value::Uint16(2))];
    bench
        .invoke(&ann(), &keys, "SetJobState", &resume)
        .await
        .expect("resumed");
    let method = [("HttpMethod", "GET".into())];
    let error = bench.put(&ann(), &keys, &method).await.expect_err("late");
    assert_eq!(code(&error), 0x8020_0062);
    let priority = [("Priority", Value::Uint32(2))];
    let error = bench
        .put(&ann(), &keys, &priority)
        .await
        .expect_err("fixed");
    assert_eq!(code(&error), 0x8020_0058);
    let upload = [
        ("Type", Value::Uint16(1)),
        ("MaxDownloadSize", Value::Uint64(1)),
    ];
    let error = bench
        .create(&ann(), &upload)
        .await
        .expect_err("a download's");
    assert_eq!(code(&error), 0x8020_0060);
}

#[tokio::test]
async fn custom_headers_are_their_owners_secret() {
    let bench = Bench::new().await;
    let headers = [("CustomHeaders", "X-Token: hush-9f2".into())];
    let keys = bench.create(&ann(), &headers).await.expect("created");
    let shown = |job: &Instance| job.value("CustomHeaders").cloned();
    assert_eq!(
        shown(&bench.get(&ann(), &keys).await),
        Some("X-Token: hush-9f2\r\n".into())
    );
    assert_eq!(shown(&bench.get(&root(), &keys).await), None);
    let condition = Condition::Not(Box::new(Condition::IsNull("CustomHeaders".to_owned())));
    for (by, count) in [(ann(), 1), (root(), 0)] {
        let query = Query {
            after: None,
            limit: 9,
            view: WHOLE,
            condition: Some(&condition),
        };
        let page = bench.jobs.page(&by, query).await.expect("a page");
        assert_eq!(page.items.len(), count, "no filter sees more than a Get");
    }
    let error = bench
        .put(&root(), &keys, &headers)
        .await
        .expect_err("not his");
    assert_eq!(code(&error), 0x8007_0005);
    bench
        .invoke(&ann(), &keys, "MakeCustomHeadersWriteOnly", &[])
        .await
        .expect("done");
    assert_eq!(shown(&bench.get(&ann(), &keys).await), None);
    bench
        .put(&ann(), &keys, &headers)
        .await
        .expect("still settable");
    assert_eq!(shown(&bench.get(&ann(), &keys).await), None);
    for event in bench.store.events(0, 100).expect("read") {
        assert!(!event.detail.contains("hush"), "{event:?}");
    }
    let folder = bench.folder.path().join("state/jobs");
    let mut looked_at = 0;
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let octets = std::fs::read(entry.expect("an entry").path()).unwrap_or_default();
        looked_at += octets.len();
        assert!(!octets.windows(8).any(|part| part == b"hush-9f2"));
    }
    assert!(looked_at > 4_096);
    let none = [("CustomHeaders", "".into())];
    bench.put(&ann(), &keys, &none).await.expect("taken away");
    let id = keys[0].1.parse().expect("a key");
    assert_eq!(bench.store.headers(id).expect("read"), None);
}

#[tokio::test]
async fn a_set_of_files_comes_whole_or_not_at_all() {
    let bench = Bench::new().await;
    let keys = bench.create(&ann(), &[]).await.expect("created");
    let set = [("Files", bench.specs(0, 2_000))];
    bench
        .invoke(&ann(), &keys, "AddFileSet", &set)
        .await
        .expect("added");
    let total = |job: &Instance| job.value("FilesTotal").cloned();
    assert_eq!(
        total(&bench.get(&ann(), &keys).await),
        Some(Value::Uint32(2_001))
    );
    // The last one lands where one lands already: looked up by itself, and
    // among all.
    for (from, count) in [(1_999, 2), (1_500, 1_000)] {
        let set = [("Files", bench.specs(from, count))];
        let error = bench.invoke(&ann(), &keys, "AddFileSet", &set).await;
        assert_eq!(code(&error.expect_err("taken")), 0x8007_0050);
    }
    assert_eq!(
        total(&bench.get(&ann(), &keys).await),
        Some(Value::Uint32(2_001))
    );
    let error = bench.invoke(&ann(), &keys, "AddFileSet", &[]).await;
    assert!(matches!(error, Err(Error::BadValue(_))));
}

#[tokio::test]
async fn files_have_ranges_hashes_and_addresses() {
    let bench = Bench::new().await;
    let keys = bench.create(&ann(), &[]).await.expect("created");
    let hash = "ab".repeat(32);
    let arguments = [
        ("remoteUrl", "http://origin.test/b".into()),
        ("localFile", bench.local_file("b")),
        ("Ranges", "10:5, 0:eof".into()),
        ("ExpectedSha256", hash.as_str().into()),
    ];
    let error = bench.invoke(&ann(), &keys, "AddFile", &arguments).await;
    assert_eq!(code(&error.expect_err("they overlap")), 0x8020_002C);
    let mut arguments = arguments;
    arguments[2].1 = "10:5,20:eof".into();
    bench
        .invoke(&ann(), &keys, "AddFile", &arguments)
        .await
        .expect("added");
    let file_keys = |index: &str| {
        let index = ("Index".to_owned(), index.to_owned());
        vec![keys[0].clone(), index]
    };
    let file = bench
        .files
        .get(&ann(), &file_keys("1"), WHOLE)
        .await
        .expect("there");
    for (name, wanted) in [
        ("Index", Value::Uint32(1)),
        ("RemoteUrl", "http://origin.test/b".into()),
        ("Ranges", "10:5,20:eof".into()),
        ("ExpectedSha256", hash.as_str().into()),
        ("Completed", Value::Boolean(false)),
    ] {
        assert_eq!(file.value(name), Some(&wanted), "{name}");
    }
    for index in ["2", "4294967295"] {
        let error = bench.files.get(&ann(), &file_keys(index), WHOLE).await;
        assert!(matches!(error, Err(Error::NotFound)));
    }
    let error = bench.files.get(&ann(), &file_keys("x"), WHOLE).await;
    assert!(matches!(error, Err(Error::BadKey { .. })));
    // A query is for the owner.
    let first = bench
        .files
        .get(&root(), &file_keys("0"), WHOLE)
        .await
        .expect("there");
    assert_eq!(
        first.value("RemoteUrl"),
        Some(&"http://origin.test/dir/a".into())
    );
    let url = values(&[("RemoteUrl", "http://other.test/x?q=1".into())]);
    let done = bench
        .files
        .invoke(&ann(), &file_keys("0"), "SetRemoteName", url)
        .await;
    done.expect("set");
    let first = bench
        .files
        .get(&ann(), &file_keys("0"), WHOLE)
        .await
        .expect("there");
    assert_eq!(
        first.value("RemoteUrl"),
        Some(&"http://other.test/x?q=1".into())
    );
    let dynamic = [("DynamicContent", Value::Boolean(true))];
    let error = bench
        .put(&ann(), &keys, &dynamic)
        .await
        .expect_err("has ranges");
    assert_eq!(code(&error), 0x8007_0057);
}

#[tokio::test]
async fn files_are_listed_page_by_page_in_the_order_of_their_keys() {
    let bench = Bench::new().await;
    let bob = Principal::for_test("bob", Scope::Own);
    let mut keys = Vec::new();
    for (by, count) in [(ann(), 700), (ann(), 3), (bob, 5)] {
        let job = bench.create(&by, &[]).await.expect("created");
        let set = [("Files", bench.specs(0, count - 1))];
        bench
            .invoke(&by, &job, "AddFileSet", &set)
            .await
            .expect("added");
        keys.push(job);
    }
    let key = |file: &Instance| {
        let (Some(Value::String(job)), Some(Value::Uint32(index))) =
            (file.value("JobId"), file.value("Index"))
        else {
            panic!("no key");
        };
        (job.clone(), *index)
    };
    for limit in [1, 7, 1_000] {
        let all: Vec<_> = bench
            .listed(&ann(), None, limit)
            .await
            .iter()
            .map(key)
            .collect();
        assert_eq!(all.len(), 703);
        assert!(
            all.windows(2).all(|pair| pair[0] < pair[1]),
            "in order, none twice"
        );
    }
    assert_eq!(bench.listed(&root(), None, 50).await.len(), 708);
    assert_eq!(bench.files.count(&root()).await.expect("counted"), 708);
    let one = of_job(&keys[0]);
    assert_eq!(bench.listed(&ann(), Some(&one), 64).await.len(), 700);
    let index = |operator, literal| Condition::Compare {
        property: "Index".to_owned(),
        operator,
        literal: Literal::Integer(literal),
    };
    for (condition, wanted) in [
        (index(Comparison::GreaterOrEqual, 690), 690..700),
        (index(Comparison::Equal, 3), 3..4),
        (index(Comparison::Less, 2), 0..2),
        (index(Comparison::Greater, 699), 0..0),
        (index(Comparison::Equal, -1), 0..0),
    ] {
        let both = Condition::And(vec![of_job(&keys[0]), condition.clone()]);
        let listed = bench.listed(&ann(), Some(&both), 4).await;
        let found: Vec<u32> = listed.iter().map(|file| key(file).1).collect();
        assert_eq!(found, wanted.collect::<Vec<u32>>(), "{condition:?}");
    }
    let nobodys = of_job(&keys[2]);
    assert!(bench.listed(&ann(), Some(&nobodys), 9).await.is_empty());
}

#[tokio::test]
async fn a_listing_of_files_outlives_the_job_it_stands_in() {
    let bench = Bench::new().await;
    for _ in 0..3 {
        let keys = bench.create(&ann(), &[]).await.expect("created");
        let set = [("Files", bench.specs(0, 9))];
        bench
            .invoke(&ann(), &keys, "AddFileSet", &set)
            .await
            .expect("added");
    }
    let query = Query {
        after: None,
        limit: 14,
        view: WHOLE,
        condition: None,
    };
    let page = bench.files.page(&ann(), query).await.expect("a page");
    let (last, cursor) = page.items.last().expect("some");
    let Some(Value::String(id)) = last.value("JobId") else {
        panic!("no key");
    };
    let keys = vec![("JobId".to_owned(), id.clone())];
    bench.jobs.delete(&ann(), &keys).await.expect("gone");
    let query = Query {
        after: Some(cursor),
        ..query
    };
    let rest = bench.files.page(&ann(), query).await.expect("a page");
    assert_eq!(rest.items.len(), 10);
    assert!(
        rest.items
            .iter()
            .all(|(file, _)| file.value("JobId") != last.value("JobId"))
    );
    let broken = Cursor(vec![0; 3]);
    let query = Query {
        after: Some(&broken),
        ..query
    };
    assert!(bench.files.page(&ann(), query).await.is_err());
}

#[tokio::test]
async fn the_beginning_of_addresses_is_replaced() {
    let bench = Bench::new().await;
    let more = [("Files", bench.specs(0, 600))];
    let keys = bench.create(&ann(), &more).await.expect("created");
    let replace = async |old: &str, new: &str| {
        let arguments = [("OldPrefix", old.into()), ("NewPrefix", new.into())];
        let out = bench
            .invoke(&ann(), &keys, "ReplaceRemotePrefix", &arguments)
            .await?;
        Ok::<_, Error>(out.value("FilesChanged").cloned())
    };
    assert_eq!(
        replace("http://origin.test/DIR/", "http://x/")
            .await
            .expect("done"),
        Some(Value::Uint32(0)),
        "capitals count"
    );
    for (old, new) in [
        ("", "http://x/"),
        ("http://origin.test/", ""),
        ("http://origin.test/", "ftp://x/"),
        ("http://origin.test/", "http://x/?"),
        ("http://origin.test/", "http://user@x/"),
        ("http://origin.test/", "http://x/a b/"),
    ] {
        let error = replace(old, new).await.expect_err("refused");
        assert_eq!(code(&error), 0x8007_0057, "{old} {new}");
    }
    assert_eq!(
        replace(
            "http://origin.test/dir/",
            "https://new.test/é/".replace('é', "%C3").as_str()
        )
        .await
        .expect("done"),
        Some(Value::Uint32(601))
    );
    let files = bench.listed(&ann(), None, 100).await;
    let url = |at: usize| files[at].value("RemoteUrl").cloned();
    assert_eq!(url(0), Some("https://new.test/%C3/a?sig=query".into()));
    assert_eq!(url(600), Some("https://new.test/%C3/599".into()));
}

#[tokio::test]
async fn an_administrator_takes_a_job_without_what_it_was_trusted_with() {
    let bench = Bench::new().await;
    let headers = [("CustomHeaders", "X-Token: t".into())];
    let keys = bench.create(&ann(), &headers).await.expect("created");
    let credentials = [
        ("Target", Value::Uint16(0)),
        ("Scheme", Value::Uint16(0)),
        ("UserName", "u".into()),
        ("Password", "p".into()),
    ];
    let set = bench
        .invoke(&ann(), &keys, "SetCredentials", &credentials)
        .await;
    set.expect("set");
    let take = async |by: &Principal| bench.invoke(by, &keys, "TakeOwnership", &[]).await;
    assert!(matches!(take(&ann()).await, Err(Error::Denied)));
    let rita = Principal::for_test("rita", Scope::All);
    let error = take(&rita).await.expect_err("not her root");
    assert_eq!(code(&error), 0x8020_0016);
    take(&root()).await.expect("taken");
    let job = bench.get(&root(), &keys).await;
    assert_eq!(job.value("Owner"), Some(&"root".into()));
    assert_eq!(job.value("CustomHeaders"), None);
    let files = bench.listed(&root(), None, 9).await;
    let url = files[0].value("RemoteUrl");
    assert_eq!(url, Some(&"http://origin.test/dir/a".into()), "no query");
    let id = keys[0].1.parse().expect("a key");
    assert!(bench.store.credentials(id).expect("read").is_empty());
    assert_eq!(bench.store.headers(id).expect("read"), None);
    assert!(bench.jobs.get(&ann(), &keys, WHOLE).await.is_err());
    let events = bench.store.events(0, 100).expect("read");
    let taken = events.iter().find(|event| event.kind == "taken_over");
    let taken = taken.expect("written down");
    assert_eq!(taken.by, Some(Owner::new("root")));
    assert_eq!(taken.detail, "from ann");
}

#[tokio::test]
async fn every_method_of_the_schema_is_in_force_or_declined_and_no_other() {
    let bench = Bench::new().await;
    let keys = bench.create(&ann(), &[]).await.expect("created");
    let class = bench
        .catalog
        .class("root/bitsd", "BitsdJob")
        .expect("defined");
    let mut refused = Vec::new();
    for method in &class.methods {
        match bench.invoke(&ann(), &keys, &method.name, &[]).await {
            Err(Error::NotSupported) => panic!("{} has no handler", method.name),
            Err(Error::Failed { code, about }) => {
                refused.push((method.name.as_str(), code, about));
            }
            Ok(_) | Err(_) => {}
        }
    }
    for (method, code, about) in refused {
        let Some(declined) = declined(method) else {
            continue;
        };
        assert_eq!(code, declined.fault(), "{method}");
        assert_eq!(about, About::Detail(declined.sentence().to_owned()));
    }
    let unknown = bench.invoke(&ann(), &keys, "Nothing", &[]).await;
    assert!(matches!(unknown, Err(Error::NotSupported)));
    let file = bench
        .catalog
        .class("root/bitsd", "BitsdFile")
        .expect("defined");
    let names: Vec<&str> = file.methods.iter().map(|m| m.name.as_str()).collect();
    assert_eq!(names, ["SetRemoteName"]);
}

#[tokio::test]
async fn all_that_is_declined_is_declined_where_it_is_asked_for() {
    let bench = Bench::new().await;
    let keys = bench.create(&ann(), &[]).await.expect("created");
    let class = bench
        .catalog
        .class("root/bitsd", "BitsdJob")
        .expect("defined");
    let mut seen = Vec::new();
    let mut note = |error: Error| {
        let Error::Failed {
            code,
            about: About::Detail(detail),
        } = error
        else {
            return;
        };
        let declined = Declined::ALL.into_iter();
        let declined = declined.filter(|one| one.fault() == code && one.sentence() == detail);
        seen.extend(declined);
    };
    for method in &class.methods {
        if let Err(error) = bench.invoke(&ann(), &keys, &method.name, &[]).await {
            note(error);
        }
    }
    for id in 0..12 {
        let arguments = [("PropertyId", Value::Uint32(id)), ("Value", "TRUE".into())];
        if let Err(error) = bench.invoke(&ann(), &keys, "SetProperty", &arguments).await {
            note(error);
        }
    }
    let share = [
        ("remoteUrl", "\\\\host\\share\\f".into()),
        ("localFile", bench.local_file("s")),
    ];
    note(
        bench
            .invoke(&ann(), &keys, "AddFile", &share)
            .await
            .expect_err("no share"),
    );
    for declined in Declined::ALL {
        assert!(seen.contains(&declined), "{declined:?} is declined nowhere");
    }
}

#[tokio::test]
async fn properties_have_numbers_too() {
    let bench = Bench::new().await;
    let keys = bench.create(&ann(), &[]).await.expect("created");
    let set = async |id, value: &str| {
        let arguments = [("PropertyId", Value::Uint32(id)), ("Value", value.into())];
        bench.invoke(&ann(), &keys, "SetProperty", &arguments).await
    };
    set(3, "TRUE").await.expect("set");
    set(5, "1024").await.expect("set");
    let job = bench.get(&ann(), &keys).await;
    assert_eq!(job.value("DynamicContent"), Some(&Value::Boolean(true)));
    assert_eq!(job.value("MaxDownloadSize"), Some(&Value::Uint64(1_024)));
    assert_eq!(code(&set(6, "1").await.expect_err("unknown")), 0x8020_0057);
    assert_eq!(
        code(&set(5, "much").await.expect_err("no number")),
        0x8007_0057
    );
}

#[tokio::test]
async fn a_job_may_be_created_by_create() {
    let bench = Bench::new().await;
    let class = bench.catalog.class("root/bitsd", "BitsClientFile");
    let mut file = Instance::new(class.expect("defined"));
    file.set("RemoteUrl", "http://origin.test/a".into())
        .expect("there");
    file.set("LocalFile", bench.local_file("a")).expect("there");
    let given = values(&[
        ("DisplayName", "a".into()),
        ("Files", Value::Array(vec![Value::Instance(Box::new(file))])),
        ("Labels", texts(&["x"])),
        ("Priority", Value::Uint32(1)),
        ("Type", Value::Uint16(0)),
    ]);
    let keys = bench.jobs.create(&ann(), given).await.expect("created");
    let job = bench.get(&ann(), &keys).await;
    assert_eq!(job.value("Labels"), Some(&texts(&["x"])));
    assert_eq!(job.value("Priority"), Some(&Value::Uint32(1)));
    assert_eq!(job.value("State"), Some(&Value::Uint16(3)));
}

#[tokio::test]
async fn a_reply_is_handed_out_once_it_is_here() {
    let bench = Bench::new().await;
    let ann = ann();
    let refused = |done: Result<Values, Error>| code(&done.expect_err("refused"));
    let download = bench.create(&ann, &[]).await.expect("made");
    let reply = async |keys: &Keys| bench.invoke(&ann, keys, "GetReplyData", &[]).await;
    assert_eq!(
        refused(reply(&download).await),
        crate::bits::Hresult::E_NOTIMPL.number()
    );
    let root = bench.folder.path().join("root");
    std::fs::write(root.join("a"), "sent").expect("written");
    let kind = [("Type", Value::Uint16(2))];
    let keys = bench.create(&ann, &kind).await.expect("made");
    assert_eq!(
        refused(reply(&keys).await),
        crate::bits::Hresult::BG_E_INVALID_STATE.number()
    );
    let id = job_id(&keys).expect("a job");
    let mut sent = bench.store.files(id, 0, 1).expect("read").remove(0);
    sent.upload = Some(Box::new(crate::bits::Upload {
        reply: Some(crate::bits::ReplyProgress {
            transferred: true,
            ..crate::bits::ReplyProgress::default()
        }),
        ..crate::bits::Upload::default()
    }));
    let kept = bench
        .store
        .commit(vec![crate::store::Change::Progress(id, sent)]);
    kept.await.expect("kept");
    let number = u128::from_be_bytes(id.to_octets());
    let name = format!(".bitsd-{number:032x}-{}.tmp", u32::MAX);
    std::fs::write(root.join(name), "answer").expect("written");
    let out = reply(&keys).await.expect("there");
    assert_eq!(out.value("Length"), Some(&Value::Uint64(6)));
    assert_eq!(out.value("ReplyData"), Some(&"YW5zd2Vy".into()));
}
