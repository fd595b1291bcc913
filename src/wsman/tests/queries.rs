//! Filters as clients write them, from the text to the items.

use super::enumeration::ALL_DMTF;
use super::enumeration::ALL_WMI;
use super::enumeration::enumerate;
use super::enumeration::id;
use super::enumeration::pull;
use super::enumeration::take_apart;
use super::enumeration::with_jobs;
use super::*;
use crate::wsman::error::Unfound;
use crate::wsman::fault::fault;
use crate::wsman::request::Origin;

const WQL: &str = "http://schemas.microsoft.com/wbem/wsman/1/WQL";
const SELECTOR_FILTER: &str = "http://schemas.dmtf.org/wbem/wsman/1/wsman/SelectorFilter";
const ASSOCIATION: &str = "http://schemas.dmtf.org/wbem/wsman/1/cimbinding/associationFilter";

fn filter(dialect: &str, content: &str) -> String {
    format!(
        "<w:OptimizeEnumeration/><w:MaxElements>9</w:MaxElements>\
         <w:Filter Dialect=\"{dialect}\">{content}</w:Filter>"
    )
}

/// The filter of one selector.
fn selector_filter(name: &str, value: &str) -> String {
    filter(SELECTOR_FILTER, &selectors(&[(name, value)]))
}

/// All that is around this job, as CIM clients ask for it.
fn around(job: &str) -> String {
    filter(
        ASSOCIATION,
        &format!(
            "<b:AssociatedInstances><b:Object><a:Address>{}</a:Address>\
             <a:ReferenceParameters><w:ResourceURI>{DMTF}</w:ResourceURI>{}\
             </a:ReferenceParameters></b:Object></b:AssociatedInstances>",
            ns::ANONYMOUS,
            selectors(&[("JobId", job), ("__cimnamespace", "root/microsoft/bits")])
        ),
    )
}

fn bits() -> String {
    selectors(&[("__cimnamespace", "root/microsoft/bits")])
}

#[test]
fn what_a_query_does_not_find_has_the_status_of_wmi() {
    let job = || "Job".to_owned();
    for (source, message) in [
        (Unfound::Namespace(job()), "There is no namespace Job."),
        (
            Unfound::Class(job()),
            "There is no class Job in that namespace.",
        ),
        (Unfound::Object(job()), "There is no such instance of Job."),
        (
            Unfound::Keys(job()),
            "The keys do not name an instance of Job.",
        ),
    ] {
        let error = crate::wsman::Error::FilterUnfound(source);
        let fault = fault(&error, &Origin::default(), None);
        assert_eq!(gist(&fault), "n:CannotProcessFilter 2150858778");
        let provider = fault.provider.expect("WMI speaks");
        assert_eq!(provider.code, 2_150_858_778);
        assert_eq!(provider.message, message);
    }
}

#[tokio::test]
async fn a_query_finds_jobs_on_every_uri_that_may_bear_it() {
    let bench = with_jobs(5);
    let query = format!("select * from bitsclientjob where JobId = '{}'", id(3));
    let query = filter(WQL, &query);
    for (uri, more, class) in [
        (ALL_WMI, String::new(), WMI),
        // As libmi sends it.
        (ALL_WMI, bits(), WMI),
        (ALL_DMTF, bits(), DMTF),
        (ALL_DMTF, String::new(), DMTF),
        (WMI, String::new(), WMI),
        (DMTF, bits(), DMTF),
    ] {
        let answer = bench.ok(&enumerate(uri, &more, &query)).await;
        assert_eq!(take_apart(&answer, ns::WSMAN), (String::new(), 1, true));
        assert!(answer.contains(&format!("<p:JobId>{}</p:JobId>", id(3))));
        assert!(answer.contains(&format!("xmlns:p=\"{class}\"")), "{uri}");
    }
}

#[tokio::test]
async fn a_projection_gives_rows_and_goes_on_in_pulls() {
    let bench = with_jobs(3);
    let query = "<w:Filter Dialect=\"http://schemas.microsoft.com/wbem/wsman/1/WQL\">\
        SELECT State, displayname FROM BitsClientJob</w:Filter>";
    let more = "<w:RequestTotalItemsCountEstimate/>";
    let answer = bench.ok(&enumerate(ALL_WMI, more, query)).await;
    assert!(answer.contains("<wsman:TotalItemsCountEstimate xmlns:xsi="));
    let (context, _, _) = take_apart(&answer, ns::WSMAN);
    let wish = "<n:MaxElements>9</n:MaxElements>";
    let answer = bench.ok(&pull(&context, "", wish)).await;
    let row = "<wsman:XmlFragment xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\">\
        <DisplayName>a &lt;job&gt;?</DisplayName><State>3</State></wsman:XmlFragment>";
    assert!(answer.ends_with(&format!(
        "<n:PullResponse><n:Items>{}</n:Items><n:EndOfSequence/></n:PullResponse>\
         </s:Body></s:Envelope>",
        row.repeat(3)
    )));
}

#[tokio::test]
async fn selectors_filter_the_class_of_the_uri() {
    let bench = with_jobs(3);
    let wish = selector_filter("jobid", &id(1));
    let answer = bench.ok(&enumerate(WMI, "", &wish)).await;
    assert_eq!(take_apart(&answer, ns::WSMAN), (String::new(), 1, true));
    assert_eq!(
        gist(&bench.fault(&enumerate(ALL_WMI, "", &wish)).await),
        "n:CannotProcessFilter 2150858778"
    );
    let wish = "<w:EnumerationMode>EnumerateEPR</w:EnumerationMode>".to_owned() + &wish;
    let answer = bench.ok(&enumerate(DMTF, "", &wish)).await;
    assert_eq!(answer.matches("<a:EndpointReference>").count(), 1);
}

#[tokio::test]
async fn nothing_is_associated_with_a_job() {
    let bench = Bench::with_job();
    for (uri, wish) in [
        (ALL_DMTF, around(ID)),
        (
            ALL_WMI,
            filter(
                WQL,
                &format!("ASSOCIATORS OF {{BitsClientJob.JobId='{ID}'}}"),
            ),
        ),
        (
            ALL_WMI,
            filter(
                WQL,
                &format!("REFERENCES OF {{BitsClientJob.JobId='{ID}'}}"),
            ),
        ),
    ] {
        let answer = bench.ok(&enumerate(uri, &bits(), &wish)).await;
        assert_eq!(take_apart(&answer, ns::WSMAN), (String::new(), 0, true));
    }
}

#[tokio::test]
async fn queries_that_are_not_right_have_the_status_of_wmi() {
    let bench = Bench::with_job();
    let cannot = "n:CannotProcessFilter 2150858778";
    for (wish, status) in [
        (
            filter(WQL, "select * from Win32_Process"),
            "<p:StatusCode>2147749904<",
        ),
        (
            filter(WQL, "select * from BitsClientJob where"),
            "<p:StatusCode>2147749911<",
        ),
        (
            filter(WQL, "select * from BitsClientJob where Nothing = 1"),
            "<p:StatusCode>2147749911<",
        ),
        (around(&id(7)), "<p:StatusCode>2147749890<"),
        (
            filter(WQL, "associators of {Win32_Process.Handle='1'}"),
            "<p:StatusCode>2147749904<",
        ),
    ] {
        let answer = bench.post(&enumerate(ALL_WMI, &bits(), &wish)).await;
        let fault = fault_of(&answer);
        assert_eq!(gist(&fault), cannot, "{wish}");
        let provider = fault.provider.expect("WMI speaks");
        assert_eq!(provider.code, 2_150_858_778);
        let text = answer.envelope.expect("an envelope");
        assert!(text.contains(status), "{text}");
    }
    let query = filter(WQL, "select * from BitsClientJob");
    let key = selectors(&[("JobId", ID)]);
    assert_eq!(
        gist(&bench.fault(&enumerate(WMI, &key, &query)).await),
        "wsman:InvalidSelectors 2150859003"
    );
    let other = ALL_WMI.replace("microsoft/bits", "cimv2");
    let answer = bench.post(&enumerate(&other, "", &query)).await;
    assert_eq!(
        gist(&fault_of(&answer)),
        "a:DestinationUnreachable/InvalidResourceURI 2150858752"
    );
    assert!(
        answer
            .envelope
            .is_some_and(|text| text.contains("<p:StatusCode>2147749902<"))
    );
}

#[tokio::test]
async fn a_query_for_a_class_without_instances_finds_none() {
    let bench = Bench::with_job();
    let query = filter(
        WQL,
        "select LocalFile from BitsClientFile where Completed = true",
    );
    let answer = bench.ok(&enumerate(ALL_DMTF, &bits(), &query)).await;
    assert_eq!(take_apart(&answer, ns::WSMAN), (String::new(), 0, true));
}
