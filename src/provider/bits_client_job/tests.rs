mod creation;

use std::path::PathBuf;

use super::*;
use crate::bits::Circumstances;
use crate::bits::ErrorContext;
use crate::bits::File;
use crate::bits::Input;
use crate::bits::JobError;
use crate::bits::NewFile;
use crate::bits::NewJob;
use crate::cim::Catalog;
use crate::config::Bounds;
use crate::config::EngineSettings;
use crate::config::FilesSettings;
use crate::config::TransferSettings;
use crate::store::Sqlite;
use crate::transfer::Mover;
use crate::vault::Vault;

fn job_class() -> Arc<Class> {
    class("BitsClientJob")
}

fn file_class() -> Arc<Class> {
    class("BitsClientFile")
}

fn class(name: &str) -> Arc<Class> {
    let catalog = Catalog::bundled().expect("the schemas fit");
    Arc::clone(catalog.class("root/microsoft/bits", name).expect("a class"))
}

fn new_file() -> NewFile {
    NewFile {
        remote_url: "http://h/a?sig=secret".to_owned(),
        local_file: "C:\\a".to_owned(),
        path: PathBuf::from("/data/a"),
        ..NewFile::default()
    }
}

fn job() -> Job {
    let new = NewJob {
        display_name: "a".to_owned(),
        files: vec![new_file()],
        ..NewJob::default()
    };
    let (job, _) = Job::create(
        JobId::new(),
        Owner::new("ann"),
        new,
        Timestamp::from_ticks(9),
    )
    .expect("a job");
    job
}

#[test]
fn every_property_but_files_has_a_value() {
    let job = job();
    let instance = without_files(&job_class(), &job).expect("in the schema");
    for property in &instance.class().properties {
        let is_null = instance.value(&property.name).is_none();
        assert_eq!(is_null, property.name == "Files", "{}", property.name);
    }
    assert_eq!(
        instance.value("JobId"),
        Some(&Value::String(job.id.to_string()))
    );
    assert_eq!(instance.value("Description"), Some(&"".into()));
    assert_eq!(instance.value("BytesTotal"), Some(&Value::Uint64(u64::MAX)));
    assert_eq!(instance.value("JobCompletionTime"), Some(&Value::Uint64(0)));
    assert_eq!(instance.value("JobCreationTime"), Some(&Value::Uint64(9)));
    assert_eq!(instance.value("State"), Some(&Value::Uint16(0)));
    assert_eq!(instance.value("Owner"), Some(&"ann".into()));
    assert_eq!(
        instance.value("MinimumRetryDelay"),
        Some(&Value::Uint32(600))
    );
}

#[test]
fn only_the_owner_sees_the_query_of_an_address() {
    let url = |onlooker| {
        let file = File::new(0, new_file());
        let instance =
            bits_client_file::instance(&file_class(), file, onlooker).expect("in the schema");
        instance.value("RemoteUrl").cloned()
    };
    assert_eq!(url(Onlooker::Owner), Some("http://h/a?sig=secret".into()));
    assert_eq!(url(Onlooker::Other), Some("http://h/a".into()));
}

#[test]
fn a_file_is_completed_once_it_was_transferred() {
    let mut file = File::new(0, new_file());
    let completed = |file: &File| {
        bits_client_file::instance(&file_class(), file.clone(), Onlooker::Owner)
            .expect("in the schema")
            .value("Completed")
            .cloned()
    };
    assert_eq!(completed(&file), Some(Value::Boolean(false)));
    file.transferred = true;
    assert_eq!(completed(&file), Some(Value::Boolean(true)));
}

#[test]
fn an_error_is_told_in_error_and_transient_error_only() {
    let mut job = job();
    let unavailable = |job: &Job| {
        matches!(
            error_of(job, Language::English),
            Err(Error::Failed {
                code: Hresult::BG_E_ERROR_INFORMATION_UNAVAILABLE,
                ..
            })
        )
    };
    assert!(unavailable(&job));
    let now = Timestamp::from_ticks(10);
    let error = JobError {
        context: ErrorContext::RemoteFile,
        code: Hresult::from_http_status(404),
        file: Some(0),
        detail: "asking for http://h/a: HTTP status 404".to_owned(),
        circumstances: Circumstances::default(),
    };
    job.apply(Input::Start, now).expect("started");
    job.apply(Input::Failed(error), now).expect("failed");
    let out = error_of(&job, Language::English).expect("an error");
    assert_eq!(out.value("ErrorContext"), Some(&Value::Uint32(5)));
    assert_eq!(out.value("ErrorCode"), Some(&Value::Uint32(0x8019_0194)));
    let text = |out: &Values, name| match out.value(name) {
        Some(Value::String(text)) => text.clone(),
        other => panic!("{name}: {other:?}"),
    };
    assert_eq!(
        text(&out, "ErrorDescription"),
        "The file does not exist on the server: asking for http://h/a: HTTP status 404."
    );
    let portuguese = error_of(&job, Language::Portuguese).expect("an error");
    assert_eq!(portuguese.value("ErrorContext"), out.value("ErrorContext"));
    assert_eq!(portuguese.value("ErrorCode"), out.value("ErrorCode"));
    assert_eq!(
        text(&portuguese, "ErrorDescription"),
        "O arquivo não existe no servidor: http://h/a."
    );
    assert_eq!(
        text(&portuguese, "ContextDescription"),
        "O erro ocorreu enquanto o arquivo remoto era processado."
    );
    job.apply(Input::Resume, now).expect("resumed");
    assert!(unavailable(&job));
}

#[test]
fn a_key_that_is_no_guid_is_a_bad_key() {
    let keys = |value: &str| vec![("JobId".to_owned(), value.to_owned())];
    let id = JobId::new();
    assert_eq!(job_id(&keys(&id.to_string())).expect("a key"), id);
    assert_eq!(
        job_id(&keys(&id.to_string().to_lowercase())).expect("a key"),
        id
    );
    assert!(matches!(job_id(&keys("7")), Err(Error::BadKey { .. })));
    assert!(matches!(job_id(&Keys::new()), Err(Error::BadKey { .. })));
}

#[test]
fn a_cursor_of_another_form_is_refused() {
    for octets in [vec![], vec![1], vec![9; 25], vec![0; 26]] {
        assert!(read_cursor(&Cursor(octets)).is_err());
    }
    let cursor = Cursor(vec![0; 25]);
    let place = read_cursor(&cursor).expect("a cursor");
    assert_eq!(write_cursor(place), cursor);
}

/// A provider over an engine of its own.
struct Bench {
    provider: BitsClientJob,
    folder: tempfile::TempDir,
}

impl Bench {
    async fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let (root, state) = (folder.path().join("root"), folder.path().join("state"));
        std::fs::create_dir(&root).expect("made");
        std::fs::create_dir(&state).expect("made");
        let files = FilesSettings {
            write_roots: vec![root],
            ..FilesSettings::default()
        };
        let mover = Mover::new(&TransferSettings::default(), &files, &state, &[])
            .unwrap_or_else(|failure| panic!("{}", failure.detail));
        let store =
            Sqlite::open(&state.join("jobs"), Arc::new(Vault::for_test(1))).expect("a store");
        let engine = Engine::start(
            EngineSettings::default(),
            Arc::new(store),
            mover,
            Box::new(|_: &Owner| Bounds::default()),
        )
        .await
        .expect("an engine");
        Self {
            provider: BitsClientJob::new(engine, &Catalog::bundled().expect("valid"))
                .expect("defined"),
            folder,
        }
    }

    /// Creates a suspended job with one file; gives its key.
    async fn create(&self, by: &Principal, name: &str) -> Keys {
        let mut arguments = Values::new();
        let local_file = self.local_file(name);
        arguments.insert("DisplayName", Some(name.into()));
        arguments.insert("RemoteUrl", Some("http://origin.test/a?sig=secret".into()));
        arguments.insert("LocalFile", Some(Value::String(local_file)));
        arguments.insert("Suspend", Some(Value::Boolean(true)));
        let out = self
            .provider
            .invoke(by, &Keys::new(), "CreateJob", arguments)
            .await
            .expect("created");
        match out.value("JobId") {
            Some(Value::String(id)) => vec![("JobId".to_owned(), id.clone())],
            other => panic!("{other:?}"),
        }
    }

    fn local_file(&self, name: &str) -> String {
        let path = self.folder.path().join("root").join(name);
        path.to_string_lossy().into_owned()
    }

    async fn invoke(
        &self,
        by: &Principal,
        keys: &Keys,
        method: &str,
        arguments: &[(&str, Value)],
    ) -> Result<Values, Error> {
        let mut values = Values::new();
        for (name, value) in arguments {
            values.insert(name, Some(value.clone()));
        }
        self.provider.invoke(by, keys, method, values).await
    }
}

fn ann() -> Principal {
    Principal::for_test("ann", Scope::Own)
}

fn bob() -> Principal {
    Principal::for_test("bob", Scope::Own)
}

fn administrator() -> Principal {
    Principal::for_test("root", Scope::All)
}

const WHOLE: View<'_> = View {
    only: None,
    room: 100_000,
};

fn first_url(job: &Instance) -> Option<Value> {
    match job.value("Files") {
        Some(Value::Array(files)) => match files.first() {
            Some(Value::Instance(file)) => file.value("RemoteUrl").cloned(),
            _ => None,
        },
        _ => None,
    }
}

#[tokio::test]
async fn a_job_is_made_read_changed_listed_and_deleted() {
    let bench = Bench::new().await;
    let (ann, provider) = (ann(), &bench.provider);
    let keys = bench.create(&ann, "one").await;
    let job = provider.get(&ann, &keys, WHOLE).await.expect("read");
    assert_eq!(job.value("State"), Some(&Value::Uint16(3)));
    assert_eq!(job.value("FilesTotal"), Some(&Value::Uint32(1)));
    assert_eq!(
        first_url(&job),
        Some("http://origin.test/a?sig=secret".into())
    );
    let arguments = [
        ("remoteUrl", "http://origin.test/b".into()),
        ("localFile", Value::String(bench.local_file("two"))),
    ];
    bench
        .invoke(&ann, &keys, "AddFile", &arguments)
        .await
        .expect("added");
    let mut put = Values::new();
    put.insert("Priority", Some(Value::Uint32(0)));
    provider.put(&ann, &keys, put).await.expect("set");
    let job = provider.get(&ann, &keys, WHOLE).await.expect("read");
    assert_eq!(job.value("Priority"), Some(&Value::Uint32(0)));
    assert_eq!(job.value("FilesTotal"), Some(&Value::Uint32(2)));
    assert_eq!(provider.count(&ann).await.expect("counted"), 1);
    provider.delete(&ann, &keys).await.expect("deleted");
    assert!(matches!(
        provider.get(&ann, &keys, WHOLE).await,
        Err(Error::NotFound)
    ));
    assert_eq!(provider.count(&ann).await.expect("counted"), 0);
}

#[tokio::test]
async fn others_see_nothing_and_an_administrator_no_secrets() {
    let bench = Bench::new().await;
    let keys = bench.create(&ann(), "one").await;
    let seen = bench.provider.get(&bob(), &keys, WHOLE).await;
    assert!(matches!(seen, Err(Error::NotFound)));
    assert_eq!(bench.provider.count(&bob()).await.expect("counted"), 0);
    let job = bench
        .provider
        .get(&administrator(), &keys, WHOLE)
        .await
        .expect("read");
    assert_eq!(first_url(&job), Some("http://origin.test/a".into()));
}

#[tokio::test]
async fn files_that_do_not_fit_stay_null() {
    let bench = Bench::new().await;
    let (ann, keys) = (ann(), bench.create(&ann(), "one").await);
    let files = |only, room| {
        let (provider, ann, keys) = (&bench.provider, &ann, &keys);
        async move {
            let job = provider.get(ann, keys, View { only, room }).await;
            job.expect("read").value("Files").cloned()
        }
    };
    let (wanted, other) = (["Files".to_owned()], ["State".to_owned()]);
    assert!(files(None, 100_000).await.is_some());
    assert!(files(Some(&wanted), 100_000).await.is_some());
    assert!(files(None, 100).await.is_none());
    // It passes the first look by count, not the second by length.
    assert!(files(None, 210).await.is_none());
    assert!(files(Some(&other), 100_000).await.is_none());
}

#[tokio::test]
async fn pages_follow_each_other_and_end_where_the_room_does() {
    let bench = Bench::new().await;
    let ann = ann();
    let mut made = Vec::new();
    for name in ["a", "b", "c"] {
        made.push(bench.create(&ann, name).await[0].1.clone());
    }
    for (limit, room) in [(2, 100_000), (10, 100_000), (10, 500), (1, 0)] {
        let (mut seen, mut after) = (Vec::new(), None);
        loop {
            let query = Query {
                after: after.as_ref(),
                limit,
                view: View { only: None, room },
                condition: None,
            };
            let page = bench.provider.page(&ann, query).await.expect("a page");
            assert!(!page.items.is_empty() && page.items.len() <= limit);
            for (job, cursor) in page.items {
                seen.push(job.value("JobId").cloned());
                after = Some(cursor);
            }
            if page.is_last {
                break;
            }
        }
        let expected: Vec<_> = made.iter().map(|id| Some(id.as_str().into())).collect();
        assert_eq!(seen, expected, "limit {limit}, room {room}");
    }
}

#[tokio::test]
async fn every_method_of_the_schema_is_in_force_and_no_other() {
    let bench = Bench::new().await;
    let keys = bench.create(&ann(), "one").await;
    for method in &job_class().methods {
        let outcome = bench.invoke(&ann(), &keys, &method.name, &[]).await;
        assert!(
            !matches!(outcome, Err(Error::NotSupported)),
            "{}",
            method.name
        );
    }
    let outcome = bench.invoke(&ann(), &keys, "TakeOwnership", &[]).await;
    assert!(matches!(outcome, Err(Error::NotSupported)));
}

#[tokio::test]
async fn settings_of_a_job_are_kept_and_nothing_secret_is_shown() {
    let bench = Bench::new().await;
    let (ann, keys) = (ann(), bench.create(&ann(), "one").await);
    let number = Value::Uint16;
    for (method, arguments) in [
        (
            "SetCredentials",
            vec![
                ("Target", number(0)),
                ("Scheme", number(0)),
                ("UserName", "u".into()),
                ("Password", "hunter2hunter2".into()),
            ],
        ),
        (
            "RemoveCredentials",
            vec![("Target", number(0)), ("Scheme", number(0))],
        ),
        ("SetProxySettings", vec![("ProxyUsage", number(1))]),
        ("RemoveClientCertificate", vec![]),
        ("SetJobState", vec![("JobState", number(3))]),
    ] {
        bench
            .invoke(&ann, &keys, method, &arguments)
            .await
            .unwrap_or_else(|error| panic!("{method}: {error}"));
    }
    let job = bench.provider.get(&ann, &keys, WHOLE).await.expect("read");
    assert!(!format!("{job:?}").contains("hunter2"));
    let certificate = [
        ("CertStoreLocation", number(1)),
        ("StoreName", "MY".into()),
        ("SubjectName", "host".into()),
    ];
    // There is no folder of certificates.
    let outcome = bench
        .invoke(&ann, &keys, "SetClientCertificateByName", &certificate)
        .await;
    assert!(matches!(outcome, Err(Error::Failed { .. })), "{outcome:?}");
    // Who may not see the job is not told.
    let outcome = bench
        .invoke(&bob(), &keys, "SetClientCertificateByName", &certificate)
        .await;
    assert!(matches!(outcome, Err(Error::NotFound)), "{outcome:?}");
}

#[tokio::test]
async fn a_right_on_ones_own_jobs_is_none_on_those_of_others() {
    let bench = Bench::new().await;
    let (ann, provider) = (ann(), &bench.provider);
    let keys = bench.create(&ann, "one").await;
    let all = [Right::Read, Right::Write, Right::Invoke];
    for right in all {
        // He may do one thing to everybody's jobs, and all to his own.
        let eve = Principal::with_rights_for_test("eve", &all, &[right]);
        let outcomes = [
            (Right::Read, provider.get(&eve, &keys, WHOLE).await.err()),
            (
                Right::Write,
                provider.put(&eve, &keys, Values::new()).await.err(),
            ),
            (
                Right::Invoke,
                bench
                    .invoke(
                        &eve,
                        &keys,
                        "SetJobState",
                        &[("JobState", Value::Uint16(3))],
                    )
                    .await
                    .err(),
            ),
        ];
        for (needed, error) in outcomes {
            match error {
                None => assert_eq!(needed, right),
                Some(Error::Denied) => assert_ne!(needed, right),
                Some(other) => panic!("{needed:?} with {right:?}: {other}"),
            }
        }
        let is_listed = provider.count(&eve).await.expect("counted") == 1;
        assert_eq!(is_listed, right == Right::Read);
    }
    // He who may do nothing to them does not know of them.
    let eve = Principal::with_rights_for_test("eve", &all, &[]);
    assert!(matches!(
        provider.get(&eve, &keys, WHOLE).await,
        Err(Error::NotFound)
    ));
    assert!(matches!(
        provider.delete(&eve, &keys).await,
        Err(Error::NotFound)
    ));
}

#[tokio::test]
async fn the_number_of_jobs_is_that_of_the_account() {
    let bench = Bench::new().await;
    let ann = ann().limited_for_test(None, Some(1), None);
    bench.create(&ann, "one").await;
    let again = bench.provider.create(&ann, creation(&bench, "two"));
    assert!(matches!(
        again.await,
        Err(Error::Failed {
            code: Hresult::BG_E_TOO_MANY_JOBS_PER_USER,
            ..
        })
    ));
    let administrator = administrator().limited_for_test(None, Some(1), None);
    bench.create(&administrator, "three").await;
    let again = bench
        .provider
        .create(&administrator, creation(&bench, "four"));
    assert!(
        again.await.is_err(),
        "a limit of his own counts for him too"
    );
    let free = ann.limited_for_test(None, Some(0), None);
    let free = bench.provider.create(&free, creation(&bench, "five"));
    assert!(free.await.is_ok());
}

#[tokio::test]
async fn files_land_where_whoever_adds_them_may() {
    let bench = Bench::new().await;
    let own = [bench.folder.path().join("root/own")];
    let ann = ann().limited_for_test(Some(&own), None, None);
    let refused = |result: Result<Keys, Error>| {
        matches!(
            result,
            Err(Error::Failed {
                code: Hresult::E_ACCESSDENIED,
                ..
            })
        )
    };
    let provider = &bench.provider;
    assert!(refused(
        provider.create(&ann, creation(&bench, "other/f")).await
    ));
    assert!(refused(
        provider.create(&ann, creation(&bench, "own")).await
    ));
    let keys = provider.create(&ann, creation(&bench, "own/f")).await;
    let keys = keys.expect("below her folder, which is not there yet");
    let add = |name: &str| {
        [
            ("remoteUrl", "http://origin.test/b".into()),
            ("localFile", Value::String(bench.local_file(name))),
        ]
    };
    let added = bench
        .invoke(&ann, &keys, "AddFile", &add("ownother/f"))
        .await;
    assert!(refused(added.map(|_| Keys::new())));
    let added = bench.invoke(&ann, &keys, "AddFile", &add("own/g")).await;
    added.expect("below her folder");
    let nowhere = ann.limited_for_test(Some(&[]), None, None);
    assert!(refused(
        provider.create(&nowhere, creation(&bench, "own/h")).await
    ));
}

/// What a Create of a job with one file gives.
fn creation(bench: &Bench, name: &str) -> Values {
    let class = &bench.provider.file_class;
    let mut file = Instance::new(class);
    for (property, value) in [
        ("RemoteUrl", "http://origin.test/a".to_owned()),
        ("LocalFile", bench.local_file(name)),
    ] {
        file.set(property, Value::String(value)).expect("defined");
    }
    let mut values = Values::new();
    values.insert("DisplayName", Some(name.into()));
    let files = Value::Array(vec![Value::Instance(Box::new(file))]);
    values.insert("Files", Some(files));
    values
}
