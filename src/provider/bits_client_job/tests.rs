use std::path::PathBuf;

use super::*;
use crate::bits::ErrorContext;
use crate::bits::File;
use crate::bits::Input;
use crate::bits::JobError;
use crate::bits::NewFile;
use crate::bits::NewJob;
use crate::bits::Timestamp;
use crate::cim::Property;
use crate::cim::Type;

/// A class with these properties, as the schema would have it.
fn class(name: &str, properties: &[(&str, Type)]) -> Arc<Class> {
    let property = |(name, kind): &(&str, Type)| Property {
        name: (*name).to_owned(),
        kind: kind.clone(),
        is_array: *name == "Files",
        is_key: *name == "JobId",
        is_writable: false,
        is_bulk: *name == "Files",
        qualifiers: Vec::new(),
    };
    Arc::new(Class {
        name: name.to_owned(),
        namespace: "root/microsoft/bits".to_owned(),
        qualifiers: Vec::new(),
        properties: properties.iter().map(property).collect(),
        methods: Vec::new(),
    })
}

fn job_class() -> Arc<Class> {
    class(
        "BitsClientJob",
        &[
            ("JobId", Type::String),
            ("DisplayName", Type::String),
            ("Description", Type::String),
            ("Priority", Type::Uint32),
            ("MinimumRetryDelay", Type::Uint32),
            ("NoProgressTimeout", Type::Uint32),
            ("Files", Type::Instance("BitsClientFile".to_owned())),
            ("JobCreationTime", Type::Uint64),
            ("JobLastModificationTime", Type::Uint64),
            ("JobCompletionTime", Type::Uint64),
            ("BytesTotal", Type::Uint64),
            ("BytesTransferred", Type::Uint64),
            ("FilesTotal", Type::Uint32),
            ("FilesTransferred", Type::Uint32),
            ("TransientErrorCount", Type::Uint32),
            ("State", Type::Uint16),
            ("Owner", Type::String),
        ],
    )
}

fn file_class() -> Arc<Class> {
    class(
        "BitsClientFile",
        &[
            ("RemoteUrl", Type::String),
            ("LocalFile", Type::String),
            ("BytesTotal", Type::Uint64),
            ("BytesTransferred", Type::Uint64),
            ("Completed", Type::Boolean),
        ],
    )
}

fn new_file() -> NewFile {
    NewFile {
        remote_url: "http://h/a?sig=secret".to_owned(),
        local_file: "C:\\a".to_owned(),
        path: PathBuf::from("/data/a"),
        userinfo: None,
    }
}

fn job() -> Job {
    let new = NewJob {
        display_name: "a".to_owned(),
        description: String::new(),
        files: vec![new_file()],
        suspended: false,
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
            error_of(job),
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
        detail: "GET http://h/a: HTTP 404".to_owned(),
    };
    job.apply(Input::Start, now).expect("started");
    job.apply(Input::Failed(error), now).expect("failed");
    let out = error_of(&job).expect("an error");
    assert_eq!(out.value("ErrorContext"), Some(&Value::Uint32(5)));
    assert_eq!(out.value("ErrorCode"), Some(&Value::Uint32(0x8019_0194)));
    let Some(Value::String(description)) = out.value("ErrorDescription") else {
        panic!("no text");
    };
    assert!(description.starts_with(|first: char| first.is_ascii_uppercase()));
    assert!(
        description.ends_with(". GET http://h/a: HTTP 404"),
        "{description}"
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
fn a_cursor_is_the_key_of_the_last_job() {
    let id = JobId::new();
    let cursor = Cursor(id.to_octets().to_vec());
    assert_eq!(read_cursor(&cursor).expect("a cursor"), id);
    assert!(read_cursor(&Cursor(vec![1])).is_err());
}
