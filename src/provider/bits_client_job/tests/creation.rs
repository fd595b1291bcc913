//! Create: a suspended job from properties and files, all of it or nothing.

use super::*;

fn values(all: &[(&str, Value)]) -> Values {
    let mut values = Values::new();
    for (name, value) in all {
        values.insert(name, Some(value.clone()));
    }
    values
}

fn file(url: &str, local_file: String) -> Value {
    let mut file = Instance::new(&file_class());
    for (name, value) in [
        ("RemoteUrl", Value::from(url)),
        ("LocalFile", Value::String(local_file)),
    ] {
        file.set(name, value).expect("in the schema");
    }
    Value::Instance(Box::new(file))
}

#[tokio::test]
async fn a_created_job_waits_with_all_that_was_given() {
    let bench = Bench::new().await;
    let files = Value::Array(vec![
        file("http://origin.test/a", bench.local_file("a")),
        file("http://anna:secret@origin.test/b", bench.local_file("b")),
    ]);
    let given = values(&[
        ("DisplayName", "new".into()),
        ("Description", "words".into()),
        ("Priority", Value::Uint32(0)),
        // The least is five seconds.
        ("MinimumRetryDelay", Value::Uint32(1)),
        ("NoProgressTimeout", Value::Uint32(7)),
        ("Files", files),
    ]);
    let keys = bench.provider.create(&ann(), given).await.expect("created");
    let [(name, id)] = keys.as_slice() else {
        panic!("{keys:?}");
    };
    assert_eq!(name, "JobId");
    assert!(id.starts_with('{') && *id == id.to_uppercase(), "{id}");
    let job = bench.provider.get(&ann(), &keys, WHOLE).await;
    let job = job.expect("read");
    for (name, wanted) in [
        ("JobId", Value::String(id.clone())),
        ("DisplayName", "new".into()),
        ("Description", "words".into()),
        ("Priority", Value::Uint32(0)),
        ("MinimumRetryDelay", Value::Uint32(5)),
        ("NoProgressTimeout", Value::Uint32(7)),
        ("FilesTotal", Value::Uint32(2)),
        ("State", Value::Uint16(3)),
        ("Owner", "ann".into()),
    ] {
        assert_eq!(job.value(name), Some(&wanted), "{name}");
    }
    assert!(!format!("{job:?}").contains("secret"));
}

#[tokio::test]
async fn a_job_of_many_files_gives_way_to_others_while_it_is_read() {
    let bench = Bench::new().await;
    let files = (0..=FILES_PAGE).map(|number| {
        let name = number.to_string();
        file("http://origin.test/a", bench.local_file(&name))
    });
    let given = values(&[
        ("DisplayName", "large".into()),
        ("Files", Value::Array(files.collect())),
    ]);
    let (ann, mut turns) = (ann(), 0);
    let keys = bench.provider.create(&ann, given).await.expect("created");
    let mut get = bench.provider.get(&ann, &keys, WHOLE);
    let job = std::future::poll_fn(|context| {
        turns += 1;
        get.as_mut().poll(context)
    });
    let job = job.await.expect("read");
    let Some(Value::Array(files)) = job.value("Files") else {
        panic!("{job:?}");
    };
    assert_eq!((files.len(), turns), (FILES_PAGE + 1, 2));
}

#[tokio::test]
async fn a_job_may_be_created_without_files() {
    let bench = Bench::new().await;
    let given = values(&[("DisplayName", "empty".into())]);
    let keys = bench.provider.create(&ann(), given).await.expect("created");
    let job = bench
        .provider
        .get(&ann(), &keys, WHOLE)
        .await
        .expect("read");
    assert_eq!(job.value("FilesTotal"), Some(&Value::Uint32(0)));
    assert_eq!(job.value("Priority"), Some(&Value::Uint32(2)));
    let file = [
        ("remoteUrl", "http://origin.test/b".into()),
        ("localFile", Value::String(bench.local_file("b"))),
    ];
    let added = bench.invoke(&ann(), &keys, "AddFile", &file).await;
    added.expect("added later");
    bench.provider.delete(&ann(), &keys).await.expect("deleted");
}

#[tokio::test]
async fn a_job_that_cannot_be_created_leaves_nothing() {
    let bench = Bench::new().await;
    let name = ("DisplayName", Value::from("n"));
    let good = file("http://origin.test/a", bench.local_file("a"));
    for (given, code) in [
        (
            vec![("DisplayName", Value::String("x".repeat(257)))],
            Hresult::E_INVALIDARG,
        ),
        (vec![("DisplayName", "".into())], Hresult::E_INVALIDARG),
        (
            vec![name.clone(), ("Priority", Value::Uint32(4))],
            Hresult::E_NOTIMPL,
        ),
        (
            vec![
                name.clone(),
                ("Description", Value::String("x".repeat(1_025))),
            ],
            Hresult::BG_E_STRING_TOO_LONG,
        ),
        (
            vec![
                name.clone(),
                ("Files", Value::Array(vec![good.clone(), good.clone()])),
            ],
            Hresult::ERROR_FILE_EXISTS,
        ),
    ] {
        let outcome = bench.provider.create(&ann(), values(&given)).await;
        assert!(
            matches!(&outcome, Err(Error::Failed { code: other, .. }) if *other == code),
            "{given:?}: {outcome:?}"
        );
    }
    let outside = file("http://origin.test/a", "/elsewhere/a".to_owned());
    let given = values(&[name, ("Files", Value::Array(vec![good, outside]))]);
    let outcome = bench.provider.create(&ann(), given).await;
    assert!(matches!(outcome, Err(Error::Failed { .. })), "{outcome:?}");
    let outcome = bench.provider.create(&ann(), Values::new()).await;
    assert!(
        matches!(outcome, Err(Error::BadValue { .. })),
        "{outcome:?}"
    );
    assert_eq!(bench.provider.count(&ann()).await.expect("counted"), 0);
}
