//! The shapes of requests and answers of real clients.

use super::*;

#[tokio::test]
async fn identify_needs_no_header_and_hides_the_version_from_strangers() {
    let bench = Bench::new();
    let request = format!(
        "<s:Envelope xmlns:s=\"{}\" xmlns:i=\"{}\"><s:Header/><s:Body><i:Identify/></s:Body></s:Envelope>",
        ns::SOAP,
        ns::WSMID
    );
    let known = bench.ok(&request).await;
    assert!(known.contains(concat!(
        "<wsmid:ProductVersion>OS: ",
        env!("CARGO_PKG_VERSION"),
        " SP: 0.0 Stack: 3.0<"
    )));
    assert!(known.contains("secprofile/https/basic</wsmid:SecurityProfileName>"));
    let stranger = bench.endpoint.answer_anonymous(&request).expect("answered");
    let stranger = stranger.envelope.expect("an envelope");
    assert!(stranger.contains("OS: 0.0.0 SP: 0.0 Stack: 3.0"));
    assert!(!stranger.contains("SecurityProfile"));
    assert_eq!(bench.endpoint.answer_anonymous(&get(WMI, &[], "")), None);
    assert_eq!(bench.endpoint.answer_anonymous("no XML"), None);
}

#[tokio::test]
async fn get_answers_every_property_in_order_with_bare_leaves() {
    let bench = Bench::with_job();
    let answer = bench.ok(&get(WMI, &[("JobId", ID)], "")).await;
    let envelope = parsed(&answer);
    let relates = envelope.header(ns::ADDRESSING, "RelatesTo");
    assert_eq!(relates.map(Element::text), Some("uuid:ABC"));
    let action = envelope.header(ns::ADDRESSING, "Action");
    assert_eq!(
        action.map(Element::text),
        Some(format!("{TRANSFER}/GetResponse").as_str())
    );
    let job = envelope.payload().expect("an instance");
    assert!(job.is(WMI, "BitsClientJob"));
    assert_eq!(job.attribute(ns::XSI, "type"), Some("p:BitsClientJob_Type"));
    let names: Vec<&str> = job.children().iter().map(Element::local).collect();
    assert_eq!(
        names,
        [
            "BytesTotal",
            "BytesTransferred",
            "Description",
            "DisplayName",
            "Files",
            "FilesTotal",
            "FilesTransferred",
            "JobCompletionTime",
            "JobCreationTime",
            "JobId",
            "JobLastModificationTime",
            "MinimumRetryDelay",
            "NoProgressTimeout",
            "Owner",
            "Priority",
            "State",
            "TransientErrorCount"
        ]
    );
    assert!(answer.contains("<p:BytesTotal>18446744073709551615</p:BytesTotal>"));
    assert!(answer.contains("<p:Description xsi:nil=\"true\"/>"));
    assert!(answer.contains("<p:DisplayName>a &lt;job&gt;?</p:DisplayName>"));
    assert!(answer.contains(
        "<p:Files xsi:type=\"p1:BitsClientFile_Type\"><p1:BytesTotal>18446744073709551615\
         </p1:BytesTotal><p1:BytesTransferred>0</p1:BytesTransferred>\
         <p1:Completed>false</p1:Completed>"
    ));
    assert!(!answer.contains("OperationID"), "we are not robust");
}

#[tokio::test]
async fn answers_speak_the_family_of_uris_of_their_request() {
    let bench = Bench::with_job();
    let bare = ID.trim_matches(['{', '}']);
    for (uri, all, wanted) in [
        (WMI.to_lowercase(), vec![("jobid", ID)], WMI),
        (
            WMI.replace("root/microsoft/", "root\\microsoft\\"),
            vec![("JobId", bare)],
            WMI,
        ),
        (
            format!("{WMI}/"),
            vec![("JobId", ID), ("__cimnamespace", "root\\Microsoft\\bits")],
            WMI,
        ),
        (
            "wmi/root/microsoft/bits/BitsClientJob".to_owned(),
            vec![("JobId", ID)],
            WMI,
        ),
        (
            DMTF.to_owned(),
            vec![("JobId", ID), ("__cimnamespace", "root/microsoft/bits")],
            DMTF,
        ),
        (DMTF.to_lowercase(), vec![("JobId", ID)], DMTF),
    ] {
        let answer = bench.ok(&get(&uri, &all, "")).await;
        let envelope = parsed(&answer);
        let job = envelope.payload().expect("an instance");
        assert!(job.is(wanted, "BitsClientJob"), "{uri}: {answer}");
        let file = named(job.children(), "Files")[0];
        let inner = wanted.replace("ClientJob", "ClientFile");
        assert!(file.children()[0].is(&inner, "BytesTotal"), "{answer}");
    }
}

#[tokio::test]
async fn create_job_takes_arguments_as_powershell_writes_them() {
    let bench = Bench::new();
    let body = format!(
        "<p:CreateJob_INPUT xmlns:p=\"{WMI}\"><p:type> 0 </p:type><p:LOCALFILE>C:\\x</p:LOCALFILE>\
         <p:Suspend>True</p:Suspend><p:remoteurl>http://h/?a&amp;b</p:remoteurl>\
         <p:DisplayName>n</p:DisplayName></p:CreateJob_INPUT>"
    );
    let action = format!("{WMI}/createjob");
    let answer = bench.ok(&request(&action, WMI, "", &body)).await;
    let envelope = parsed(&answer);
    let answered = envelope.header(ns::ADDRESSING, "Action");
    assert_eq!(
        answered.map(Element::text),
        Some(format!("{action}Response").as_str())
    );
    let output = envelope.payload().expect("an output");
    assert!(output.is(WMI, "CreateJob_OUTPUT"));
    let parts: Vec<(&str, &str)> = output
        .children()
        .iter()
        .map(|part| (part.local(), part.text()))
        .collect();
    assert_eq!(parts, [("JobId", ID), ("ReturnValue", "0")]);
}

#[tokio::test]
async fn create_job_takes_arguments_as_the_cim_cmdlets_write_them() {
    let bench = Bench::with_job();
    let body = format!(
        "<p0:CreateJob_INPUT xmlns:p0=\"{DMTF}\" xmlns:xsi=\"{}\" xsi:type=\"CreateJob_INPUT_Type\">\
         <DisplayName xsi:type=\"cim:cimString\">n</DisplayName>\
         <RemoteUrl xsi:type=\"cim:cimString\">http://h/</RemoteUrl>\
         <LocalFile xsi:type=\"cim:cimString\">C:\\x</LocalFile>\
         <Suspend xsi:type=\"cim:cimBoolean\">1</Suspend>\
         <Description xsi:nil=\"true\"/></p0:CreateJob_INPUT>",
        ns::XSI
    );
    let options = "<w:OptionSet xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\">\
        <w:Option Name=\"__MI_CallbackRegistration\" Type=\"xs:int\">11</w:Option>\
        <w:Option Name=\"wmiarray:__MI_OPERATIONOPTIONS_CHANNELVALUE\" MustComply=\"true\">0</w:Option>\
        <w:Option Name=\"wmiarray:__MI_OPERATIONOPTIONS_CHANNELVALUE\">1</w:Option></w:OptionSet>";
    // A selector for an instance is borne: wsl always sends one.
    for all in [
        vec![("__cimnamespace", "root/microsoft/bits")],
        vec![("JobId", ID), ("__cimnamespace", "root/microsoft/bits")],
    ] {
        let more = format!("{}{options}", selectors(&all));
        let answer = bench
            .ok(&request(&format!("{DMTF}/CreateJob"), DMTF, &more, &body))
            .await;
        assert!(answer.contains(&format!("xmlns:p=\"{DMTF}\"")), "{answer}");
    }
}

#[tokio::test]
async fn arrays_are_given_by_repetition_and_null_by_nil() {
    let bench = Bench::with_job();
    let by_id = format!(
        "<p:M xmlns:p=\"{WMI}\"><p:CertStoreLocation>1</p:CertStoreLocation>\
         <p:CertHash>1</p:CertHash><p:StoreName>MY</p:StoreName><p:CertHash>255</p:CertHash></p:M>"
    );
    let credentials = format!(
        "<p:M xmlns:p=\"{WMI}\" xmlns:xsi=\"{}\"><p:Target>0</p:Target><p:Scheme>2</p:Scheme>\
         <p:UserName xsi:nil=\"true\"/><p:Password xsi:nil=\"1\"/></p:M>",
        ns::XSI
    );
    for (method, body) in [
        ("SetClientCertificateById", by_id),
        ("SetCredentials", credentials),
    ] {
        let more = selectors(&[("JobId", ID)]);
        bench
            .ok(&request(&format!("{WMI}/{method}"), WMI, &more, &body))
            .await;
    }
}

#[tokio::test]
async fn put_takes_the_whole_document_back() {
    let bench = Bench::with_job();
    let answer = bench.ok(&get(WMI, &[("JobId", ID)], "")).await;
    let start = answer.find("<p:BitsClientJob").expect("an instance");
    let end = answer.find("</s:Body>").expect("a body");
    let document = answer[start..end]
        .replace("<p:Priority>2<", "<p:Priority>0<")
        .replace("<p:State>3<", "<p:State>6<");
    let put = request(
        &format!("{TRANSFER}/Put"),
        WMI,
        &selectors(&[("JobId", &ID.to_lowercase().replace('{', ""))]),
        &document,
    );
    let answer = bench.ok(&put).await;
    assert!(answer.contains("<p:Priority>0<"), "{answer}");
    assert!(answer.contains("<p:State>3<"), "read-only is passed over");
}

#[tokio::test]
async fn put_of_a_part_leaves_the_rest() {
    let bench = Bench::with_job();
    let body = format!(
        "<p:bitsclientjob xmlns:p=\"{WMI}\" xmlns:xsi=\"{}\"><p:DisplayName xsi:nil=\"true\"/>\
         <c:Location xmlns:c=\"{}\">x</c:Location></p:bitsclientjob>",
        ns::XSI,
        ns::CIM
    );
    let more = selectors(&[("JobId", ID)]);
    let answer = bench
        .ok(&request(&format!("{TRANSFER}/Put"), WMI, &more, &body))
        .await;
    assert!(answer.contains("<p:DisplayName xsi:nil=\"true\"/>"));
    assert!(answer.contains("<p:Priority>2<"));
}

#[tokio::test]
async fn put_of_the_cim_cmdlets_changes_the_listed_properties_only() {
    let bench = Bench::with_job();
    let body = format!(
        "<p:BitsClientJob xmlns:p=\"{DMTF}\" xmlns:xsi=\"{}\">\
         <p:Priority xsi:type=\"cim:cimUnsignedInt\">1</p:Priority>\
         <p:DisplayName xsi:type=\"cim:cimString\">other</p:DisplayName>\
         <p:PSComputerName>h</p:PSComputerName></p:BitsClientJob>",
        ns::XSI
    );
    let more = selectors(&[("JobId", ID), ("__cimnamespace", "root/microsoft/bits")])
        + "<w:OptionSet><w:Option Name=\"wmiarray:__MIInstanceModifiedPropertiesList\" \
           Type=\"xs:string\">Priority</w:Option></w:OptionSet>";
    let answer = bench
        .ok(&request(&format!("{TRANSFER}/Put"), DMTF, &more, &body))
        .await;
    assert!(answer.contains("<p:Priority>1<"));
    assert!(answer.contains("<p:DisplayName>a "), "not listed: {answer}");
}

#[tokio::test]
async fn fragments_are_read_by_path() {
    let bench = Bench::new();
    bench.jobs.add(ID, 2);
    for (expression, wanted) in [
        ("State", "<p:State>3</p:State>"),
        ("State/text()", "3"),
        ("p:State[1]", "<p:State>3</p:State>"),
        ("State[2]", ""),
        ("Description", "<p:Description xsi:nil=\"true\"/>"),
        ("Description/text()", ""),
        ("Files[2]/LocalFile", "<p1:LocalFile>/srv/1</p1:LocalFile>"),
        ("Files/LocalFile/text()", "/srv/0/srv/1"),
        ("Files[3]", ""),
    ] {
        let more = format!(
            "<w:FragmentTransfer s:mustUnderstand=\"true\">{expression}</w:FragmentTransfer>"
        );
        let answer = bench.ok(&get(WMI, &[("JobId", ID)], &more)).await;
        let envelope = parsed(&answer);
        let repeated = envelope.header(ns::WSMAN, "FragmentTransfer");
        assert_eq!(repeated.map(Element::text), Some(expression));
        let (_, inner) = answer.split_once("<wsman:XmlFragment").expect("wrapped");
        let inner = match inner.split_once("</wsman:XmlFragment>") {
            Some((inner, _)) => inner.split_once('>').expect("a tag").1,
            None => "",
        };
        assert_eq!(inner, wanted, "{expression}");
    }
}

#[tokio::test]
async fn one_property_is_set_by_a_fragment() {
    let bench = Bench::with_job();
    // wsl and Windows leave the child without a namespace.
    for (expression, body, wanted) in [
        (
            "DisplayName",
            "<DisplayName>one</DisplayName>",
            "<p:DisplayName>one<",
        ),
        ("DisplayName/text()", "two", ">two</wsman:XmlFragment>"),
    ] {
        let more = selectors(&[("JobId", ID)])
            + &format!(
                "<w:FragmentTransfer s:mustUnderstand=\"true\" \
                 Dialect=\"http://www.w3.org/TR/1999/REC-xpath-19991116\">{expression}</w:FragmentTransfer>"
            );
        let body = format!("<w:XmlFragment>{body}</w:XmlFragment>");
        let answer = bench
            .ok(&request(&format!("{TRANSFER}/Put"), WMI, &more, &body))
            .await;
        assert!(answer.contains(wanted), "{answer}");
    }
}

#[tokio::test]
async fn delete_answers_an_empty_body() {
    let bench = Bench::with_job();
    let delete = request(
        &format!("{TRANSFER}/Delete"),
        WMI,
        &selectors(&[("JobId", ID)]),
        "",
    );
    let answer = bench.ok(&delete).await;
    assert!(parsed(&answer).payload().is_none());
    assert_eq!(
        gist(&bench.fault(&delete).await),
        "a:DestinationUnreachable/InvalidResourceURI 2150858752"
    );
}

#[tokio::test]
async fn the_end_of_a_duplex_operation_is_204() {
    let bench = Bench::new();
    let end = format!(
        "<s:Envelope xmlns:s=\"{}\" xmlns:a=\"{}\"><s:Header><a:To>{}</a:To><a:Action>\
         http://schemas.microsoft.com/wbem/wsman/1/wsman/End</a:Action></s:Header><s:Body/></s:Envelope>",
        ns::SOAP,
        ns::ADDRESSING,
        ns::ANONYMOUS
    );
    let answer = bench.post(&end).await;
    assert_eq!((answer.status, answer.envelope), (204, None));
}

#[tokio::test]
async fn a_client_with_other_prefixes_and_bare_must_understand_is_served() {
    let bench = Bench::with_job();
    // As pywinrm writes it: an attribute without a namespace, its own host.
    let text = format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?><env:Envelope xmlns:env=\"{}\" xmlns:w=\"{}\" \
         xmlns:x=\"urn:x\" xmlns:wa=\"{}\"><env:Header><x:Odd mustUnderstand=\"true\"/>\
         <wa:To>http://windows-host:5985/wsman</wa:To><wa:MessageID>17</wa:MessageID>\
         <w:OperationTimeout>PT60S</w:OperationTimeout><w:MaxEnvelopeSize mustUnderstand=\"true\">\
         153600</w:MaxEnvelopeSize><w:ResourceURI mustUnderstand=\"true\">\n {WMI} </w:ResourceURI>\
         <wa:Action mustUnderstand=\"true\"> {TRANSFER}/Get </wa:Action><w:SelectorSet>\
         <w:Selector Name=\"JobId\"> {ID} </w:Selector></w:SelectorSet></env:Header><env:Body/>\
         </env:Envelope>",
        ns::SOAP,
        ns::WSMAN,
        ns::ADDRESSING
    );
    let answer = bench.ok(&text).await;
    assert!(answer.contains("<a:RelatesTo>17</a:RelatesTo>"), "{answer}");
    // The addressing of the W3C is answered in kind.
    let text = text.replace(ns::ADDRESSING, ns::ADDRESSING10);
    let answer = bench.ok(&text).await;
    assert!(answer.contains(&format!("xmlns:a=\"{}\"", ns::ADDRESSING10)));
}

#[tokio::test]
async fn an_instance_that_is_too_large_goes_without_its_bulk() {
    let bench = Bench::new();
    bench.jobs.add(ID, 200);
    let small = "<w:MaxEnvelopeSize s:mustUnderstand=\"true\">8192</w:MaxEnvelopeSize>";
    let whole = bench.ok(&get(WMI, &[("JobId", ID)], "")).await;
    assert_eq!(whole.matches("<p:Files ").count(), 200);
    let cut = bench.ok(&get(WMI, &[("JobId", ID)], small)).await;
    assert!(cut.len() <= 8_192);
    assert!(cut.contains("<p:Files xsi:nil=\"true\"/>"));
    assert!(cut.contains("<p:FilesTotal>200<"));
    // Octets count as they are sent.
    let size = whole.len() + 100;
    let exact = format!("<w:MaxEnvelopeSize>{size}</w:MaxEnvelopeSize>");
    let request = get(WMI, &[("JobId", ID)], &exact);
    let utf8 = bench.endpoint.answer(&bench.by, &request, Encoding::Utf8);
    let utf16 = bench.endpoint.answer(&bench.by, &request, Encoding::Utf16);
    assert!(
        !utf8
            .await
            .envelope
            .expect("text")
            .contains("<p:Files xsi:nil")
    );
    assert!(
        utf16
            .await
            .envelope
            .expect("text")
            .contains("<p:Files xsi:nil")
    );
    // Asked for alone, null would be a lie.
    let more =
        format!("{small}<w:FragmentTransfer s:mustUnderstand=\"true\">Files</w:FragmentTransfer>");
    assert_eq!(
        gist(&bench.fault(&get(WMI, &[("JobId", ID)], &more)).await),
        "wsman:EncodingLimit/MaxEnvelopeSizeExceeded 2150858824"
    );
}

#[tokio::test(start_paused = true)]
async fn a_timeout_ends_the_wait_but_not_the_work() {
    let mut jobs = Jobs::new();
    jobs.pause = Duration::from_secs(5);
    let bench = Bench::with(jobs, WsmanSettings::default());
    let body = format!(
        "<p:CreateJob_INPUT xmlns:p=\"{WMI}\"><p:DisplayName>n</p:DisplayName>\
         <p:RemoteUrl>u</p:RemoteUrl><p:LocalFile>f</p:LocalFile></p:CreateJob_INPUT>"
    );
    let more = "<w:OperationTimeout>PT0.5S</w:OperationTimeout>";
    let create = request(&format!("{WMI}/CreateJob"), WMI, more, &body);
    assert_eq!(
        gist(&bench.fault(&create).await),
        "wsman:TimedOut 2150858793"
    );
    let create = create.replace("PT0.5S", "PT50S");
    // A client that goes away.
    let gone = tokio::time::timeout(Duration::from_secs(1), bench.post(&create)).await;
    assert!(gone.is_err());
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(bench.jobs.all.lock().expect("no panic").len(), 2);
}

#[tokio::test]
async fn the_prefixes_of_answers_are_declared_once() {
    let bench = Bench::with_job();
    let answer = bench.ok(&get(WMI, &[("JobId", ID)], "")).await;
    let envelope = parsed(&answer);
    for (prefix, uri) in [
        ("s", ns::SOAP),
        ("a", ns::ADDRESSING),
        ("x", ns::TRANSFER),
        ("n", ns::ENUMERATION),
        ("wsman", ns::WSMAN),
    ] {
        assert_eq!(envelope.root().declaration(prefix), Some(uri));
    }
    let job = envelope.payload().expect("an instance");
    for (prefix, uri) in [("xsi", ns::XSI), ("cim", ns::CIM), ("p", WMI)] {
        assert_eq!(job.declaration(prefix), Some(uri));
    }
    assert!(
        job.children()
            .iter()
            .all(|leaf| leaf.declaration("p").is_none())
    );
}
