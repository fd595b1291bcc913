//! The verbs against an endpoint that gives canned answers.

use clap::Parser as _;

use super::*;
use crate::cli::bits_client_job as class;
use crate::cli::bits_client_job::Polling;
use crate::cli::bits_client_job::Standing;
use crate::client::canned::Endpoint;
use crate::client::canned::endpoint;
use crate::client::canned::envelope;
use crate::client::canned::pinned;

#[derive(Debug, clap::Parser)]
struct Line {
    #[command(subcommand)]
    verb: Verb,
}

fn verb(line: &str) -> Verb {
    let words = std::iter::once("job").chain(line.split(' '));
    Line::try_parse_from(words).expect("a command line").verb
}

async fn answering(bodies: &[&str]) -> Endpoint {
    let answers = bodies.iter().map(|body| {
        let status = if body.contains("Fault") { 500 } else { 200 };
        (status, envelope(body))
    });
    endpoint(answers.collect(), true).await
}

fn seen(endpoint: &Endpoint) -> Vec<String> {
    endpoint.seen.lock().expect("lock").clone()
}

const DONE: &str = "<p:X_OUTPUT xmlns:p='urn:x'><p:ReturnValue>0</p:ReturnValue></p:X_OUTPUT>";
const LIMIT: &str = "<s:Fault><s:Code><s:Value>s:Sender</s:Value><s:Subcode><s:Value>\
    w:EncodingLimit</s:Value></s:Subcode></s:Code></s:Fault>";
const ABSENT: &str = "<s:Fault><s:Code><s:Value>s:Sender</s:Value><s:Subcode><s:Value>\
    a:DestinationUnreachable</s:Value></s:Subcode></s:Code></s:Fault>";
const GUID: &str = "{00000000-0000-0000-0000-000000000001}";

#[tokio::test]
async fn a_job_of_several_files_is_started_when_it_is_whole() {
    let created =
        "<p:X xmlns:p='urn:x'><p:JobId>{1}</p:JobId><p:ReturnValue>0</p:ReturnValue></p:X>";
    let endpoint = answering(&[created, DONE, DONE]).await;
    let Verb::Create(args) = verb("create n http://h/a C:\\a http://h/b C:\\b") else {
        panic!("another verb");
    };
    let made = verbs::create(&pinned(&endpoint), &args, Form::Words).await;
    assert!(made.is_ok(), "{made:?}");
    let seen = seen(&endpoint);
    assert!(seen[0].contains("CreateJob_INPUT") && seen[0].contains(">true</p:Suspend>"));
    assert!(seen[1].contains("AddFile_INPUT") && seen[1].contains(">C:\\b<"));
    assert!(seen[2].contains("<p:JobState>2</p:JobState>") && seen[2].contains(">{1}<"));
}

#[tokio::test]
async fn a_return_value_that_means_failure_is_one() {
    let failed = "<p:X xmlns:p='urn:x'><p:ReturnValue>2149580801</p:ReturnValue></p:X>";
    let endpoint = answering(&[failed]).await;
    let failure = verbs::resume(&pinned(&endpoint), GUID, Form::Words).await;
    let failure = failure.expect_err("a failure").line();
    assert!(failure.contains("0x80200001"), "{failure}");
}

#[tokio::test]
async fn a_name_that_two_jobs_have_is_refused() {
    let job = |n, name| {
        format!(
            "<p:J xmlns:p='urn:x'><p:JobId>{{{n}}}</p:JobId><p:DisplayName>{name}</p:DisplayName></p:J>"
        )
    };
    let page = format!(
        "<n:EnumerateResponse><w:Items>{}{}{}</w:Items><w:EndOfSequence/></n:EnumerateResponse>",
        job(1, "a"),
        job(2, "b"),
        job(3, "a")
    );
    let endpoint = answering(&[&page, &page, &page]).await;
    let client = pinned(&endpoint);
    assert_eq!(class::find(&client, "b").await.ok().as_deref(), Some("{2}"));
    let failure = class::find(&client, "a").await.expect_err("ambiguous");
    assert!(failure.line().ends_with("{1}, {3}"), "{failure:?}");
    assert!(class::find(&client, "c").await.is_err());
    assert!(class::find(&client, GUID).await.is_ok());
}

#[tokio::test]
async fn polling_falls_back_to_fragments_for_good() {
    let fragment = |name: &str, value: &str| {
        format!("<w:XmlFragment><p:{name} xmlns:p='urn:x'>{value}</p:{name}></w:XmlFragment>")
    };
    let fragments = [
        fragment("State", "2"),
        fragment("BytesTransferred", "5"),
        fragment("BytesTotal", "18446744073709551615"),
        fragment("FilesTransferred", "1"),
        fragment("FilesTotal", "100000"),
    ];
    let mut bodies = vec![LIMIT];
    bodies.extend(fragments.iter().chain(&fragments).map(String::as_str));
    let endpoint = answering(&bodies).await;
    let client = pinned(&endpoint);
    let mut polling = Polling::SmallGet;
    for _ in 0..2 {
        let standing = Standing::ask(&client, &class::instance(GUID), &mut polling).await;
        let standing = standing.expect("a standing");
        assert_eq!((standing.state, standing.transferred), (2, 5));
        assert_eq!((standing.total, standing.files_total), (None, 100_000));
    }
    assert_eq!(polling, Polling::Fragments);
}

#[tokio::test]
async fn files_that_do_not_fit_are_asked_for_one_by_one() {
    let job = "<p:J xmlns:p='urn:x'><p:FilesTotal>3</p:FilesTotal><p:Files xsi:nil='true'/></p:J>";
    let file = "<w:XmlFragment><p:Files xmlns:p='urn:x'><p:RemoteUrl>u</p:RemoteUrl></p:Files></w:XmlFragment>";
    // The host is not ours: it does not know the class of files.
    let endpoint = answering(&[job, ABSENT, file]).await;
    let Verb::Files(args) = verb(&format!("files {GUID} --first 2 --most 1")) else {
        panic!("another verb");
    };
    let listed = show::files(&pinned(&endpoint), &args, Form::Json).await;
    assert!(listed.is_ok(), "{listed:?}");
    let seen = seen(&endpoint);
    assert!(seen[1].contains("BitsdFile WHERE JobId = ") && seen[1].contains("Index &gt;= 1<"));
    assert!(seen[2].contains(">Files[2]<"));
}

#[tokio::test]
async fn a_host_of_ours_pages_the_files_of_a_job() {
    let job = "<p:J xmlns:p='urn:x'><p:FilesTotal>3</p:FilesTotal><p:Files xsi:nil='true'/></p:J>";
    let file = "<p:F xmlns:p='urn:x'><p:RemoteUrl>u</p:RemoteUrl></p:F>";
    let first = format!(
        "<n:EnumerateResponse><n:EnumerationContext>c</n:EnumerationContext>\
         <w:Items>{file}{file}</w:Items></n:EnumerateResponse>"
    );
    let last =
        format!("<n:PullResponse><n:Items>{file}</n:Items><n:EndOfSequence/></n:PullResponse>");
    let endpoint = answering(&[job, &first, &last]).await;
    let Verb::Files(args) = verb(&format!("files {GUID}")) else {
        panic!("another verb");
    };
    let listed = show::files(&pinned(&endpoint), &args, Form::Json).await;
    assert!(listed.is_ok(), "{listed:?}");
    assert_eq!(seen(&endpoint).len(), 3);
}

#[tokio::test]
async fn a_job_of_a_host_that_is_not_ours_is_shown_all_the_same() {
    let job = "<p:J xmlns:p='urn:x'><p:State>3</p:State><p:FilesTotal>0</p:FilesTotal></p:J>";
    let endpoint = answering(&[ABSENT, job]).await;
    let shown = show::show(&pinned(&endpoint), GUID, Form::Words).await;
    assert!(shown.is_ok(), "{shown:?}");
    let seen = seen(&endpoint);
    assert!(seen[0].contains("/root/bitsd/BitsdJob<"));
    assert!(seen[1].contains("/root/microsoft/bits/BitsClientJob<"));
}

#[tokio::test]
async fn a_job_with_options_is_created_in_one_call() {
    let created =
        "<p:X xmlns:p='urn:x'><p:JobId>{1}</p:JobId><p:ReturnValue>0</p:ReturnValue></p:X>";
    let endpoint = answering(&[created]).await;
    let line = "create n http://h/a /a http://h/b /b --sha256 00 --sha256 11 --header X:1 \
                --header Y:2 --label a --label b --max-size 9 --priority high --dynamic";
    let Verb::Create(args) = verb(line) else {
        panic!("another verb");
    };
    let made = verbs::create(&pinned(&endpoint), &args, Form::Words).await;
    assert!(made.is_ok(), "{made:?}");
    let seen = seen(&endpoint);
    assert_eq!(seen.len(), 1);
    for part in [
        "/root/bitsd/BitsdJob/CreateJob<",
        "<p:Files><p:RemoteUrl>http://h/a</p:RemoteUrl><p:LocalFile>/a</p:LocalFile>\
         <p:ExpectedSha256>00</p:ExpectedSha256></p:Files>",
        "<p:CustomHeaders>X:1&#13;\nY:2</p:CustomHeaders>",
        "<p:Labels>a</p:Labels><p:Labels>b</p:Labels>",
        "<p:Suspend>false</p:Suspend>",
        "<p:Priority>1</p:Priority>",
    ] {
        assert!(seen[0].contains(part), "{part} in {}", seen[0]);
    }
}

#[tokio::test]
async fn a_watched_job_is_completed_when_it_is_transferred() {
    let state = |n| format!("<p:J xmlns:p='urn:x'><p:State>{n}</p:State></p:J>");
    let endpoint = answering(&[&state(2), &state(6), DONE]).await;
    let Verb::Watch(args) = verb(&format!("watch {GUID} --complete")) else {
        panic!("another verb");
    };
    let code = watch::watch(&pinned(&endpoint), &args, Form::Json).await;
    assert_eq!(code.ok(), Some(ExitCode::SUCCESS));
    let seen = seen(&endpoint);
    assert!(seen[0].contains(">8192<"));
    assert!(seen[2].contains("<p:JobState>1</p:JobState>"));
}
