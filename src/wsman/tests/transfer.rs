//! Create, Put to the letter, and header blocks that Get, Put and Create heed.

use super::*;

fn create(uri: &str, more: &str, body: &str) -> String {
    request(&format!("{TRANSFER}/Create"), uri, more, body)
}

fn put(more: &str, body: &str) -> String {
    let more = format!("{}{more}", selectors(&[("JobId", ID)]));
    request(&format!("{TRANSFER}/Put"), WMI, &more, body)
}

/// The body of an answer.
fn body(answer: &str) -> &str {
    let (_, body) = answer.split_once("<s:Body>").expect("a body");
    body.split_once("</s:Body>").expect("its end").0
}

/// The value of a header block.
fn header<'a>(answer: &'a str, name: &str) -> Option<&'a str> {
    let (_, block) = answer.split_once(&format!("<wsman:{name}>"))?;
    Some(block.split_once(&format!("</wsman:{name}>"))?.0)
}

fn reference(uri: &str, more: &str) -> String {
    format!(
        "<a:Address>{}</a:Address><a:ReferenceParameters><wsman:ResourceURI>{uri}\
         </wsman:ResourceURI><wsman:SelectorSet><wsman:Selector Name=\"JobId\">{ID}\
         </wsman:Selector>{more}</wsman:SelectorSet></a:ReferenceParameters>",
        ns::ANONYMOUS
    )
}

const NAMESPACE: &str =
    "<wsman:Selector Name=\"__cimnamespace\">root/microsoft/bits</wsman:Selector>";

#[tokio::test]
async fn create_as_the_winrm_cmdlets_send_it_answers_the_address() {
    let bench = Bench::new();
    // The element has the name of the URI's last segment as it was typed.
    let uri = WMI.to_lowercase();
    let text = format!(
        "<p:bitsclientjob xmlns:p=\"{uri}\"><p:priority>1</p:priority>\
         <p:DisplayName>new &amp; shiny</p:DisplayName></p:bitsclientjob>"
    );
    let answer = bench.ok(&create(&uri, "", &text)).await;
    assert_eq!(
        body(&answer),
        format!(
            "<x:ResourceCreated>{}</x:ResourceCreated>",
            reference(WMI, "")
        )
    );
    assert!(answer.contains(&format!("<a:Action>{TRANSFER}/CreateResponse</a:Action>")));
    assert_eq!(header(&answer, "RequestedEPR"), None);
    let job = bench.ok(&get(WMI, &[("JobId", ID)], "")).await;
    assert!(job.contains("<p:DisplayName>new &amp; shiny</p:DisplayName>"));
    assert!(job.contains("<p:Priority>1</p:Priority>"));
}

#[tokio::test]
async fn create_as_the_cim_cmdlets_send_it_takes_files_and_types() {
    let bench = Bench::new();
    let text = format!(
        "<p:BitsClientJob xmlns:p=\"{DMTF}\" xmlns:p1=\"urn:any\" xmlns:xsi=\"{}\">\
         <p:DisplayName xsi:type=\"cim:cimString\">n</p:DisplayName>\
         <p:Priority xsi:type=\"cim:cimUnsignedInt\">0</p:Priority>\
         <p:JobId xsi:nil=\"true\"/><p:State xsi:nil=\"true\"/>\
         <p:Files xsi:type=\"p1:BitsClientFile_Type\"><p1:RemoteUrl>http://h/a</p1:RemoteUrl>\
         <p1:LocalFile>C:\\a</p1:LocalFile></p:Files>\
         <p:Files><RemoteUrl>http://h/b</RemoteUrl><LocalFile>C:\\b</LocalFile></p:Files>\
         </p:BitsClientJob>",
        ns::XSI
    );
    let more = selectors(&[("__cimnamespace", "root\\microsoft\\bits")])
        + "<w:RequestEPR s:mustUnderstand=\"true\"/>";
    let answer = bench.ok(&create(DMTF, &more, &text)).await;
    let wanted = reference(DMTF, NAMESPACE);
    assert_eq!(
        body(&answer),
        format!("<x:ResourceCreated>{wanted}</x:ResourceCreated>")
    );
    assert_eq!(
        header(&answer, "RequestedEPR"),
        Some(format!("<a:EndpointReference>{wanted}</a:EndpointReference>").as_str())
    );
    let job = bench.ok(&get(DMTF, &[("JobId", ID)], "")).await;
    assert_eq!(job.matches("<p1:LocalFile>C:\\").count(), 2);
}

#[tokio::test]
async fn create_of_what_the_class_does_not_take_is_refused() {
    let bench = Bench::new();
    let job = |inner: &str| format!("<p:BitsClientJob xmlns:p=\"{WMI}\">{inner}</p:BitsClientJob>");
    let name = "<p:DisplayName>n</p:DisplayName>";
    for (more, text, wanted) in [
        ("", String::new(), "wsman:SchemaValidationError 2150858817"),
        (
            "",
            "<p:BitsClientFile xmlns:p=\"urn:x\"/>".to_owned(),
            "wsman:SchemaValidationError 2150858817",
        ),
        (
            "",
            job(&format!("{name}<p:Colour>1</p:Colour>")),
            "wsman:SchemaValidationError 2150858817",
        ),
        (
            "",
            job("<p:Priority>1</p:Priority>"),
            "x:InvalidRepresentation/MissingValues 2150858839",
        ),
        (
            "",
            job(&format!("{name}<p:JobId>{ID}</p:JobId>")),
            "x:InvalidRepresentation/InvalidValues 2150858838",
        ),
        (
            "",
            job(&format!("{name}<p:State>3</p:State>")),
            "x:InvalidRepresentation/InvalidValues 2150858838",
        ),
        (
            "",
            job(&format!("{name}<p:Priority>high</p:Priority>")),
            "x:InvalidRepresentation/InvalidValues 2150858838",
        ),
        (
            "",
            job(&format!("{name}<p:Priority>9</p:Priority>")),
            "x:InvalidRepresentation/InvalidValues 2150858838",
        ),
        (
            "",
            job(&format!(
                "{name}<p:Files><p:RemoteUrl>u</p:RemoteUrl></p:Files>"
            )),
            "x:InvalidRepresentation/MissingValues 2150858839",
        ),
        (
            "<w:SelectorSet><w:Selector Name=\"JobId\">{1}</w:Selector></w:SelectorSet>",
            job(name),
            "wsman:InvalidSelectors/UnexpectedSelectors 2150858843",
        ),
        (
            "<w:FragmentTransfer s:mustUnderstand=\"1\">Priority</w:FragmentTransfer>",
            job(name),
            "wsman:UnsupportedFeature/FragmentLevelAccess 2150858871",
        ),
    ] {
        let fault = bench.fault(&create(WMI, more, &text)).await;
        assert_eq!(gist(&fault), wanted, "{text}");
    }
    assert!(bench.jobs.all.lock().expect("no panic").is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_create_runs_to_its_end() {
    let mut jobs = Jobs::new();
    jobs.pause = Duration::from_secs(5);
    let bench = Bench::with(jobs, WsmanSettings::default());
    let text = "<BitsClientJob><DisplayName>n</DisplayName></BitsClientJob>";
    let more = "<w:OperationTimeout>PT1S</w:OperationTimeout>";
    let fault = bench.fault(&create(WMI, more, text)).await;
    assert_eq!(gist(&fault), "wsman:TimedOut 2150858793");
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(bench.jobs.all.lock().expect("no panic").len(), 1);
}

#[tokio::test]
async fn get_and_put_give_the_address_where_it_is_asked_for() {
    let bench = Bench::with_job();
    let bare = ID.trim_matches(['{', '}']).to_lowercase();
    let wanted = |uri: &str, more: &str| {
        format!(
            "<a:EndpointReference>{}</a:EndpointReference>",
            reference(uri, more)
        )
    };
    let ask = "<w:RequestEPR/>";
    let answer = bench.ok(&get(WMI, &[("jobid", &bare)], ask)).await;
    assert_eq!(
        header(&answer, "RequestedEPR"),
        Some(wanted(WMI, "").as_str())
    );
    let answer = bench.ok(&get(DMTF, &[("JobId", ID)], ask)).await;
    assert_eq!(
        header(&answer, "RequestedEPR"),
        Some(wanted(DMTF, NAMESPACE).as_str())
    );
    let fragment = "<w:FragmentTransfer s:mustUnderstand=\"1\">State</w:FragmentTransfer>";
    let answer = bench
        .ok(&get(WMI, &[("JobId", ID)], &format!("{ask}{fragment}")))
        .await;
    assert_eq!(
        header(&answer, "RequestedEPR"),
        Some(wanted(WMI, "").as_str())
    );
    assert_eq!(header(&answer, "FragmentTransfer"), Some("State"));
    let text = "<BitsClientJob><Priority>1</Priority></BitsClientJob>";
    let answer = bench.ok(&put(ask, text)).await;
    assert_eq!(
        header(&answer, "RequestedEPR"),
        Some(wanted(WMI, "").as_str())
    );
    assert!(body(&answer).starts_with("<p:BitsClientJob "));
    let answer = bench.ok(&get(WMI, &[("JobId", ID)], "")).await;
    assert_eq!(header(&answer, "RequestedEPR"), None);
}

#[tokio::test]
async fn precise_arrays_tell_null_from_empty() {
    let bench = Bench::with_job();
    let option = "<w:OptionSet><w:Option Name=\"msftwinrm:UsePreciseArrays\" Type=\"xs:boolean\">\
         true</w:Option></w:OptionSet>";
    let all = [("JobId", ID)];
    let marked = format!(
        "<p:Files xsi:nil=\"true\" xmlns:m=\"{}\" m:IsNullArray=\"true\"/>",
        ns::MS
    );
    let plain = "<p:Files xsi:nil=\"true\"/>";
    let set = |value: Option<Value>| {
        let mut jobs = bench.jobs.all.lock().expect("no panic");
        match value {
            Some(value) => jobs[0].set("Files", value).expect("in the schema"),
            None => jobs[0].clear("Files"),
        }
    };
    set(None);
    let answer = bench.ok(&get(WMI, &all, option)).await;
    assert!(answer.contains(&marked), "{answer}");
    let null = parsed(&answer);
    let file = named(null.payload().expect("an instance").children(), "Files")[0];
    assert_eq!(file.attribute(ns::MS, "IsNullArray"), Some("true"));
    assert!(bench.ok(&get(WMI, &all, "")).await.contains(plain));
    let wish = "<w:OptimizeEnumeration/>";
    let listed = bench.ok(&enumeration::enumerate(WMI, option, wish)).await;
    assert!(listed.contains(&marked), "{listed}");
    set(Some(Value::Array(Vec::new())));
    let answer = bench.ok(&get(WMI, &all, option)).await;
    assert!(!answer.contains("p:Files ") && !answer.contains("p:Files>"));
    assert!(bench.ok(&get(WMI, &all, "")).await.contains(plain));
    let off = option.replace("true", "false");
    assert!(bench.ok(&get(WMI, &all, &off)).await.contains(plain));
}

#[tokio::test]
async fn put_takes_what_clients_send_back() {
    let bench = Bench::with_job();
    for (text, wanted) in [
        // Keys as they are, in another form, empty or nil.
        (
            format!("<JobId>{ID}</JobId><Priority>1</Priority>"),
            "<p:Priority>1<",
        ),
        (
            format!(
                "<JobId>{}</JobId><Priority>2</Priority>",
                ID.trim_matches(['{', '}'])
            ),
            "<p:Priority>2<",
        ),
        (
            "<JobId/><Priority>3</Priority>".to_owned(),
            "<p:Priority>3<",
        ),
        (
            "<JobId xsi:nil=\"true\"/><Priority>0</Priority>".to_owned(),
            "<p:Priority>0<",
        ),
        // What is not there stays.
        ("<DisplayName>d</DisplayName>".to_owned(), "<p:Priority>0<"),
        // Read-only properties that have moved.
        (
            "<State>6</State><Files>x</Files><Owner xsi:nil=\"1\"/>".to_owned(),
            "<p:State>3<",
        ),
        (
            "<c:Location>http://x/</c:Location><c:Location/>".to_owned(),
            "<p:DisplayName>d<",
        ),
        // Nothing at all.
        (String::new(), "<p:DisplayName>d<"),
    ] {
        let text = format!(
            "<x:BITSCLIENTJOB xmlns:x=\"urn:any\" xmlns:c=\"{}\" xmlns:xsi=\"{}\">{text}\
             </x:BITSCLIENTJOB>",
            ns::CIM,
            ns::XSI
        );
        let answer = bench.ok(&put("", &text)).await;
        assert!(body(&answer).starts_with("<p:BitsClientJob "));
        assert!(answer.contains(wanted), "{text}: {answer}");
    }
}

#[tokio::test]
async fn put_of_listed_properties_changes_those_and_no_others() {
    let bench = Bench::with_job();
    let listed = |names: &[&str]| {
        let options: Vec<String> = names
            .iter()
            .map(|name| {
                format!(
                    "<w:Option Name=\"wmiarray:__MIInstanceModifiedPropertiesList\">{name}</w:Option>"
                )
            })
            .collect();
        format!("<w:OptionSet>{}</w:OptionSet>", options.concat())
    };
    let text = "<BitsClientJob><Priority>1</Priority><Description>d</Description>\
         <DisplayName>n</DisplayName><State>6</State></BitsClientJob>";
    // In any case; a name that the body has not has no effect.
    let more = listed(&["priority", "Description", "Colour", "MinimumRetryDelay"]);
    let answer = bench.ok(&put(&more, text)).await;
    for wanted in [
        "<p:Priority>1<",
        "<p:Description>d<",
        "<p:DisplayName>a ",
        "<p:State>3<",
        "<p:MinimumRetryDelay xsi:nil=\"true\"/>",
    ] {
        assert!(answer.contains(wanted), "{wanted}: {answer}");
    }
    // The key is listed by clients that made the instance themselves.
    let keyed = text.replace("<State>6</State>", &format!("<JobId>{ID}</JobId>"));
    bench
        .ok(&put(&listed(&["JobId", "Priority"]), &keyed))
        .await;
    // Who lists a read-only property means to change it.
    let fault = bench
        .fault(&put(&listed(&["Priority", "State"]), text))
        .await;
    assert_eq!(
        gist(&fault),
        "x:InvalidRepresentation/InvalidValues 2150858838"
    );
    let text = text.replace("State", "Colour");
    bench.ok(&put(&listed(&["Priority"]), &text)).await;
    let fault = bench.fault(&put(&listed(&["Colour"]), &text)).await;
    assert_eq!(gist(&fault), "wsman:SchemaValidationError 2150858817");
}
