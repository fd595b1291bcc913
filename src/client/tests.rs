//! The client against an endpoint that gives canned answers over TLS.

use super::canned::client;
use super::canned::endpoint;
use super::canned::envelope;
use super::canned::pinned;
use super::*;

fn job() -> Resource {
    Resource::instance("urn:x/Job", "JobId", "{1}")
}

#[tokio::test]
async fn an_instance_is_read_over_one_kept_connection() {
    let body = "<p:Job xmlns:p='urn:x/Job'><p:State>6</p:State><p:Owner xsi:nil='true'/>\
                <p:File><p:Url>a</p:Url></p:File><p:File/></p:Job>";
    let answers = vec![(200, envelope(body)), (200, envelope(body))];
    let endpoint = endpoint(answers, true).await;
    let client = pinned(&endpoint);
    for _ in 0..2 {
        let item = client.get(&job(), SMALL).await.expect("an instance");
        assert_eq!(item.number::<u16>("State"), Some(6));
        assert_eq!(item.text("Owner"), None);
        assert_eq!(item.all("File").count(), 2);
    }
    assert_eq!(*endpoint.connections.lock().expect("lock"), 1);
    let seen = endpoint.seen.lock().expect("lock");
    assert!(seen[0].contains("Basic dTpw") || seen[0].contains("Sensitive"));
    assert!(seen[0].contains(">8192<"));
}

#[tokio::test]
async fn a_closed_connection_is_opened_again() {
    let answers = vec![(200, envelope("<a/>")), (200, envelope("<b/>"))];
    let endpoint = endpoint(answers, false).await;
    let client = pinned(&endpoint);
    assert_eq!(client.get(&job(), LARGE).await.expect("a").name, "a");
    assert_eq!(client.get(&job(), LARGE).await.expect("b").name, "b");
    assert_eq!(*endpoint.connections.lock().expect("lock"), 2);
}

#[tokio::test]
async fn a_fault_becomes_an_error_with_code_and_sentence() {
    let fault = format!(
        "<s:Fault><s:Code><s:Value>s:Receiver</s:Value><s:Subcode><s:Value>w:InternalError\
         </s:Value></s:Subcode></s:Code><s:Reason><s:Text>r</s:Text></s:Reason><s:Detail>\
         <f:WSManFault xmlns:f='{}' Code='2149580801' Machine=''><f:Message>no such job\
         </f:Message></f:WSManFault></s:Detail></s:Fault>",
        ns::WSMANFAULT
    );
    let answers = vec![
        (500, envelope(&fault)),
        (401, String::new()),
        (503, "x".to_owned()),
    ];
    let endpoint = endpoint(answers, true).await;
    let client = pinned(&endpoint);
    let error = client.delete(&job()).await.expect_err("a fault");
    assert_eq!(error.to_string(), "no such job (0x80200001, InternalError)");
    assert_eq!(error.code(), Some(0x8020_0001));
    assert!(error.is_fault("InternalError"));
    let error = client.identify().await.expect_err("refused");
    assert!(matches!(error, Error::LogOnRefused));
    let error = client.identify().await.expect_err("no service");
    assert!(matches!(error, Error::Status(503)));
}

#[tokio::test]
async fn pages_are_read_from_either_namespace() {
    let first = "<n:EnumerateResponse><n:EnumerationContext>c</n:EnumerationContext>\
                 <w:Items><a/></w:Items></n:EnumerateResponse>";
    let last = "<n:PullResponse><n:Items><b/><c/></n:Items><n:EndOfSequence/></n:PullResponse>";
    let neither = "<n:PullResponse><n:Items/></n:PullResponse>";
    let answers = [first, last, neither].map(|b| (200, envelope(b)));
    let endpoint = endpoint(answers.into(), true).await;
    let client = pinned(&endpoint);
    let class = Resource::class("urn:x/Job");
    let page = client.enumerate(&class, None, 5).await.expect("a page");
    assert_eq!((page.items.len(), page.context.as_deref()), (1, Some("c")));
    let page = client.pull(&class, "c", 5).await.expect("a page");
    assert_eq!((page.items.len(), page.context), (2, None));
    let error = client.pull(&class, "c", 5).await.expect_err("no end");
    assert!(matches!(error, Error::Lacks("EnumerationContext")));
}

#[tokio::test]
async fn only_the_pinned_or_known_certificate_is_trusted() {
    let answers = vec![(200, envelope("<a/>"))];
    let endpoint = endpoint(answers, true).await;
    let stranger = client(&endpoint, Trust::Pinned(Pin::of(b"another")));
    let error = stranger.get(&job(), LARGE).await.expect_err("not trusted");
    assert!(matches!(error, Error::Trust { .. }), "{error:?}");
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("ca.pem");
    std::fs::write(&path, &endpoint.pem).expect("written");
    let known = client(&endpoint, Trust::File(path));
    assert_eq!(known.get(&job(), LARGE).await.expect("trusted").name, "a");
}

#[tokio::test]
async fn one_property_is_put_by_itself() {
    let endpoint = endpoint(vec![(200, envelope(""))], true).await;
    let client = pinned(&endpoint);
    let put = client.put_fragment(&job(), "Priority", "0").await;
    assert!(put.is_ok(), "{put:?}");
    let seen = endpoint.seen.lock().expect("lock");
    assert!(seen[0].contains("XmlFragment") && seen[0].contains("<p:Priority>0<"));
}
