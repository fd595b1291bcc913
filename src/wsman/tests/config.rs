//! `winrm/config` as clients see it.

use std::path::PathBuf;

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::auth::Caller;
use crate::config::CertificateMapping;
use crate::config::Listening;
use crate::config::Overlay;
use crate::provider::Unready;
use crate::provider::WinrmConfig;

pub(super) const CONFIG: &str = "http://schemas.microsoft.com/wbem/wsman/1/config";
const SHA1: &str = "0123456789ABCDEF0123456789ABCDEF01234567";
const MICROSOFT: &str = "http://schemas.microsoft.com/wbem/wsman/1";

/// An endpoint whose settings are documents.
pub(super) struct Machine {
    pub(super) bench: Bench,
    current: Arc<Current>,
    file: PathBuf,
    _folder: TempDir,
}

impl Machine {
    pub(super) fn new() -> Self {
        Self::with(|_| {})
    }

    pub(super) fn with(prepare: impl Fn(&mut Settings)) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut settings = Settings::default();
        settings.access.users = vec!["anna".to_owned()];
        settings.access.administrators = vec!["root".to_owned()];
        folder
            .path()
            .clone_into(&mut settings.service.state_directory);
        prepare(&mut settings);
        let current = Arc::new(Current::new(settings.clone()));
        let mut bench = Bench::new();
        let catalog = bench.jobs.catalog.clone();
        let config = WinrmConfig::new(
            &current,
            settings,
            &catalog,
            Box::new(|| SHA1.to_owned()),
            Arc::new(|new: &Settings| {
                if new.access.basic {
                    Ok(())
                } else {
                    Err(Unready::NobodyLogsOn)
                }
            }),
            Box::new(|listen: Vec<Listening>| {
                Box::pin(async move {
                    let is_taken = listen.iter().any(|one| one.address.port() == 9);
                    if is_taken {
                        Err("it is taken".to_owned())
                    } else {
                        Ok(())
                    }
                })
            }),
        );
        let jobs = Arc::new(Arc::clone(&bench.jobs));
        bench.endpoint = Endpoint::new(&current, catalog, vec![jobs])
            .expect("the class has its provider")
            .with_config(config.expect("the schema is understood"));
        bench.by = Principal::for_test("root", Scope::All);
        Self {
            bench,
            file: Overlay::path(&current.get().service),
            current,
            _folder: folder,
        }
    }

    /// The body of the answer.
    async fn body(&self, envelope: &str) -> String {
        let text = self.bench.ok(envelope).await;
        let (_, rest) = text.split_once("<s:Body>").expect("a body");
        let (body, _) = rest.split_once("</s:Body>").expect("its end");
        body.to_owned()
    }

    async fn gist(&self, envelope: &str) -> String {
        gist(&self.bench.fault(envelope).await)
    }
}

fn uri(path: &str) -> String {
    format!("{CONFIG}{path}")
}

/// A request of WS-Transfer.
pub(super) fn transfer(operation: &str, path: &str, all: &[(&str, &str)], body: &str) -> String {
    let more = if all.is_empty() {
        String::new()
    } else {
        selectors(all)
    };
    request(&format!("{TRANSFER}/{operation}"), &uri(path), &more, body)
}

fn enumerate(path: &str, more: &str, wish: &str) -> String {
    request(
        &format!("{ENUMERATION}/Enumerate"),
        &uri(path),
        more,
        &format!("<n:Enumerate>{wish}</n:Enumerate>"),
    )
}

fn pull(context: &str, wish: &str) -> String {
    request(
        &format!("{ENUMERATION}/Pull"),
        &uri("/listener"),
        "",
        &format!("<n:Pull><n:EnumerationContext>{context}</n:EnumerationContext>{wish}</n:Pull>"),
    )
}

/// A document of the part with this path.
pub(super) fn document(name: &str, path: &str, inner: &str) -> String {
    format!("<cfg:{name} xmlns:cfg=\"{CONFIG}{path}\">{inner}</cfg:{name}>")
}

fn three_listeners(settings: &mut Settings) {
    settings.service.listen = ["127.0.0.1:5986", "[::1]:7000", "127.0.0.2:7001"]
        .map(|address| address.parse().expect("an address"))
        .to_vec();
}

pub(super) const LOCAL: &[(&str, &str)] = &[("Address", "IP:127.0.0.1"), ("Transport", "HTTPS")];
pub(super) const MAPPING: &[(&str, &str)] =
    &[("Issuer", SHA1), ("Subject", "*@example.org"), ("URI", "*")];

#[tokio::test]
async fn the_whole_document_is_that_of_windows_with_our_values() {
    let machine = Machine::new();
    let body = machine.body(&transfer("Get", "", &[], "")).await;
    let wanted = concat!(
        "<cfg:Config xmlns:cfg=\"http://schemas.microsoft.com/wbem/wsman/1/config\" xml:lang=\"en-US\">",
        "<cfg:MaxEnvelopeSizekb>500</cfg:MaxEnvelopeSizekb>",
        "<cfg:MaxTimeoutms>60000</cfg:MaxTimeoutms>",
        "<cfg:MaxBatchItems>32000</cfg:MaxBatchItems>",
        "<cfg:MaxProviderRequests>4294967295</cfg:MaxProviderRequests>",
        "<cfg:Client><cfg:NetworkDelayms>5000</cfg:NetworkDelayms>",
        "<cfg:URLPrefix>wsman</cfg:URLPrefix><cfg:AllowUnencrypted>false</cfg:AllowUnencrypted>",
        "<cfg:Auth><cfg:Basic>true</cfg:Basic><cfg:Digest>false</cfg:Digest>",
        "<cfg:Kerberos>false</cfg:Kerberos><cfg:Negotiate>false</cfg:Negotiate>",
        "<cfg:Certificate>false</cfg:Certificate><cfg:CredSSP>false</cfg:CredSSP></cfg:Auth>",
        "<cfg:DefaultPorts><cfg:HTTP>5985</cfg:HTTP><cfg:HTTPS>5986</cfg:HTTPS></cfg:DefaultPorts>",
        "<cfg:TrustedHosts></cfg:TrustedHosts></cfg:Client>",
        "<cfg:Service><cfg:RootSDDL>O:SYG:SYD:P(A;;GA;;;BA)(A;;GRGWGX;;;BU)</cfg:RootSDDL>",
        "<cfg:MaxConcurrentOperations>4294967295</cfg:MaxConcurrentOperations>",
        "<cfg:MaxConcurrentOperationsPerUser>1500</cfg:MaxConcurrentOperationsPerUser>",
        "<cfg:EnumerationTimeoutms>240000</cfg:EnumerationTimeoutms>",
        "<cfg:MaxConnections>300</cfg:MaxConnections>",
        "<cfg:MaxPacketRetrievalTimeSeconds>120</cfg:MaxPacketRetrievalTimeSeconds>",
        "<cfg:AllowUnencrypted>false</cfg:AllowUnencrypted>",
        "<cfg:Auth><cfg:Basic>true</cfg:Basic><cfg:Kerberos>true</cfg:Kerberos>",
        "<cfg:Negotiate>true</cfg:Negotiate><cfg:Certificate>false</cfg:Certificate>",
        "<cfg:CredSSP>false</cfg:CredSSP><cfg:CbtHardeningLevel>Strict</cfg:CbtHardeningLevel></cfg:Auth>",
        "<cfg:DefaultPorts><cfg:HTTP>5985</cfg:HTTP><cfg:HTTPS>5986</cfg:HTTPS></cfg:DefaultPorts>",
        "<cfg:IPv4Filter>*</cfg:IPv4Filter><cfg:IPv6Filter>*</cfg:IPv6Filter>",
        "<cfg:EnableCompatibilityHttpListener>false</cfg:EnableCompatibilityHttpListener>",
        "<cfg:EnableCompatibilityHttpsListener>false</cfg:EnableCompatibilityHttpsListener>",
        "<cfg:CertificateThumbprint>0123456789ABCDEF0123456789ABCDEF01234567</cfg:CertificateThumbprint>",
        "<cfg:AllowRemoteAccess>false</cfg:AllowRemoteAccess></cfg:Service>",
        "<cfg:Winrs><cfg:AllowRemoteShellAccess>false</cfg:AllowRemoteShellAccess>",
        "<cfg:IdleTimeout>7200000</cfg:IdleTimeout><cfg:MaxConcurrentUsers>10</cfg:MaxConcurrentUsers>",
        "<cfg:MaxShellRunTime>2147483647</cfg:MaxShellRunTime>",
        "<cfg:MaxProcessesPerShell>25</cfg:MaxProcessesPerShell>",
        "<cfg:MaxMemoryPerShellMB>1024</cfg:MaxMemoryPerShellMB>",
        "<cfg:MaxShellsPerUser>30</cfg:MaxShellsPerUser></cfg:Winrs></cfg:Config>",
    );
    assert_eq!(body, wanted);
    let alias = request(&format!("{TRANSFER}/Get"), "winrm/config", "", "");
    assert_eq!(machine.body(&alias).await, wanted);
}

#[tokio::test]
async fn each_part_is_the_same_document_in_its_own_namespace() {
    let machine = Machine::new();
    let whole = machine.body(&transfer("Get", "", &[], "")).await;
    for (path, name) in [
        ("/client", "Client"),
        ("/client/auth", "Auth"),
        ("/client/defaultports", "DefaultPorts"),
        ("/service", "Service"),
        ("/Service/DefaultPorts", "DefaultPorts"),
        ("/service/auth/", "Auth"),
        ("/winrs", "Winrs"),
    ] {
        let body = machine.body(&transfer("Get", path, &[], "")).await;
        let namespace = uri(path.trim_end_matches('/')).to_ascii_lowercase();
        let head = format!("<cfg:{name} xmlns:cfg=\"{namespace}\" xml:lang=\"en-US\">");
        let inner = body.strip_prefix(&head).expect(path);
        assert!(whole.contains(inner), "{path}: {inner}");
        assert!(inner.ends_with(&format!("</cfg:{name}>")), "{path}");
    }
}

#[tokio::test]
async fn listeners_are_got_and_enumerated_in_all_modes() {
    let machine = Machine::with(three_listeners);
    let one = |ip: &str, port: u16| {
        format!(
            "<cfg:Listener xmlns:cfg=\"{CONFIG}/listener\" xml:lang=\"en-US\">\
             <cfg:Address>IP:{ip}</cfg:Address><cfg:Transport>HTTPS</cfg:Transport>\
             <cfg:Port>{port}</cfg:Port><cfg:Hostname></cfg:Hostname><cfg:Enabled>true</cfg:Enabled>\
             <cfg:URLPrefix>wsman</cfg:URLPrefix>\
             <cfg:CertificateThumbprint>{SHA1}</cfg:CertificateThumbprint>\
             <cfg:ListeningOn>{ip}</cfg:ListeningOn></cfg:Listener>"
        )
    };
    let epr = |ip: &str| {
        format!(
            "<a:EndpointReference><a:Address>{}</a:Address><a:ReferenceParameters>\
             <wsman:ResourceURI>{CONFIG}/listener</wsman:ResourceURI><wsman:SelectorSet>\
             <wsman:Selector Name=\"Address\">IP:{ip}</wsman:Selector>\
             <wsman:Selector Name=\"Transport\">HTTPS</wsman:Selector></wsman:SelectorSet>\
             </a:ReferenceParameters></a:EndpointReference>",
            ns::ANONYMOUS
        )
    };
    let body = machine.body(&transfer("Get", "/listener", LOCAL, "")).await;
    assert_eq!(body, one("127.0.0.1", 5986));
    let all = [("127.0.0.1", 5986), ("::1", 7000), ("127.0.0.2", 7001)];
    for (mode, items) in [
        ("", all.map(|(ip, port)| one(ip, port)).concat()),
        (
            "<w:EnumerationMode>EnumerateEPR</w:EnumerationMode>",
            all.map(|(ip, _)| epr(ip)).concat(),
        ),
        (
            "<w:EnumerationMode>EnumerateObjectAndEPR</w:EnumerationMode>",
            all.map(|(ip, port)| format!("<wsman:Item>{}{}</wsman:Item>", one(ip, port), epr(ip)))
                .concat(),
        ),
    ] {
        let wish = format!("<w:OptimizeEnumeration/><w:MaxElements>20</w:MaxElements>{mode}");
        let body = machine.body(&enumerate("/listener", "", &wish)).await;
        assert_eq!(
            body,
            format!(
                "<n:EnumerateResponse><n:EnumerationContext></n:EnumerationContext>\
                 <wsman:Items>{items}</wsman:Items><wsman:EndOfSequence/></n:EnumerateResponse>"
            )
        );
    }
}

#[tokio::test]
async fn a_plain_enumeration_is_pulled_within_its_limits() {
    let machine = Machine::with(three_listeners);
    let count = "<w:RequestTotalItemsCountEstimate/>";
    let answer = machine
        .bench
        .ok(&enumerate(
            "/listener",
            count,
            "<n:Expires>PT5M</n:Expires>",
        ))
        .await;
    assert!(answer.contains("<wsman:TotalItemsCountEstimate>3</wsman:TotalItemsCountEstimate>"));
    let envelope = parsed(&answer);
    let response = envelope.payload().expect("a response");
    assert!(response.child(ns::WSMAN, "Items").is_none());
    assert!(response.child(ns::ENUMERATION, "Expires").is_some());
    let context = response
        .child(ns::ENUMERATION, "EnumerationContext")
        .expect("one")
        .text();
    let first = machine.body(&pull(context, "")).await;
    assert_eq!(first.matches("<cfg:Listener ").count(), 1);
    assert!(first.contains(context) && !first.contains("EndOfSequence"));
    let wish = "<n:MaxElements>9</n:MaxElements><n:MaxCharacters>100</n:MaxCharacters>";
    assert_eq!(
        machine.gist(&pull(context, wish)).await,
        "wsman:EncodingLimit/MaxEnvelopeSizeExceeded 2150858824"
    );
    let wish = "<n:MaxElements>9</n:MaxElements><n:MaxCharacters>700</n:MaxCharacters>";
    let second = machine.body(&pull(context, wish)).await;
    assert_eq!(second.matches("<cfg:Listener ").count(), 1, "{second}");
    let last = machine
        .body(&pull(context, "<n:MaxElements>9</n:MaxElements>"))
        .await;
    assert_eq!(last.matches("<cfg:Listener ").count(), 1);
    assert!(last.ends_with("<n:EndOfSequence/></n:PullResponse>"));
    let gone = "n:InvalidEnumerationContext 2150858779";
    assert_eq!(machine.gist(&pull(context, "")).await, gone);
    let wish = "<w:OptimizeEnumeration/><w:MaxElements>2</w:MaxElements>";
    let answer = machine.bench.ok(&enumerate("/listener", "", wish)).await;
    let envelope = parsed(&answer);
    let response = envelope.payload().expect("a response");
    assert_eq!(
        response
            .child(ns::WSMAN, "Items")
            .expect("items")
            .children()
            .len(),
        2
    );
    let context = response
        .child(ns::ENUMERATION, "EnumerationContext")
        .expect("one")
        .text();
    let release = request(
        &format!("{ENUMERATION}/Release"),
        &uri("/listener"),
        "",
        &format!("<n:Release><n:EnumerationContext>{context}</n:EnumerationContext></n:Release>"),
    );
    assert_eq!(machine.body(&release).await, "");
    assert_eq!(machine.gist(&pull(context, "")).await, gone);
}

#[tokio::test]
async fn a_put_of_the_whole_document_changes_what_differs() {
    let machine = Machine::new();
    let whole = machine.body(&transfer("Get", "", &[], "")).await;
    assert_eq!(machine.body(&transfer("Put", "", &[], &whole)).await, whole);
    assert!(!machine.file.exists(), "nothing was changed");
    let changed = whole.replace(
        "<cfg:MaxEnvelopeSizekb>500<",
        "<cfg:MaxEnvelopeSizekb> 200 <",
    );
    let shown = machine.body(&transfer("Put", "", &[], &changed)).await;
    assert_eq!(shown, changed.replace(" 200 ", "200"));
    assert_eq!(machine.current.get().wsman.max_envelope_size_kb, 200);
    assert!(machine.file.exists());
    let restore = request(
        &uri("/Restore"),
        CONFIG,
        "",
        &format!("<p:Restore_INPUT xmlns:p=\"{CONFIG}\"/>"),
    );
    assert_eq!(
        machine
            .bench
            .ok(&restore)
            .await
            .split_once("<s:Body>")
            .expect("a body")
            .1,
        format!("<cfg:Restore_OUTPUT xmlns:cfg=\"{CONFIG}\"/></s:Body></s:Envelope>")
    );
    assert_eq!(machine.body(&transfer("Get", "", &[], "")).await, whole);
    assert!(!machine.file.exists());
}

#[tokio::test]
async fn a_part_is_put_as_set_item_does() {
    let machine = Machine::new();
    let part = machine.body(&transfer("Get", "/service", &[], "")).await;
    let changed = part.replace(">300<", ">42<");
    assert_eq!(
        machine
            .body(&transfer("Put", "/service", &[], &changed))
            .await,
        changed
    );
    let wsman = &machine.current.get().wsman;
    assert_eq!(wsman.max_connections, 42);
    let given = document(
        "Service",
        "/service",
        "<cfg:EnumerationTimeoutms>60000</cfg:EnumerationTimeoutms>",
    );
    let shown = machine
        .body(&transfer("Put", "/service", &[], &given))
        .await;
    assert!(
        shown.contains("<cfg:EnumerationTimeoutms>60000</") && shown.contains(">42<"),
        "{shown}"
    );
}

#[tokio::test]
async fn a_mapping_is_made_as_new_item_does_shown_changed_and_removed() {
    let machine = Machine::new();
    let xsd = format!("{CONFIG}/service/certmapping.xsd");
    let given = format!(
        "<cfg:certmapping xmlns:cfg=\"{xsd}\"><cfg:password>secret</cfg:password>\
         <cfg:UserName> alice </cfg:UserName></cfg:certmapping>"
    );
    let path = "/service/certmapping";
    let made = machine
        .body(&transfer("Create", path, MAPPING, &given))
        .await;
    assert_eq!(
        made,
        format!(
            "<x:ResourceCreated><a:Address>{}</a:Address><a:ReferenceParameters>\
             <wsman:ResourceURI>{CONFIG}{path}</wsman:ResourceURI><wsman:SelectorSet>\
             <wsman:Selector Name=\"Issuer\">{SHA1}</wsman:Selector>\
             <wsman:Selector Name=\"Subject\">*@example.org</wsman:Selector>\
             <wsman:Selector Name=\"URI\">*</wsman:Selector></wsman:SelectorSet>\
             </a:ReferenceParameters></x:ResourceCreated>",
            ns::ANONYMOUS
        )
    );
    let again = machine
        .gist(&transfer("Create", path, MAPPING, &given))
        .await;
    assert_eq!(again, "wsman:AlreadyExists 2150858803");
    let shown = |enabled: &str| {
        format!(
            "<cfg:CertMapping xmlns:cfg=\"{CONFIG}{path}\" xml:lang=\"en-US\"><cfg:URI>*</cfg:URI>\
             <cfg:Subject>*@example.org</cfg:Subject><cfg:Issuer>{SHA1}</cfg:Issuer>\
             <cfg:UserName>alice</cfg:UserName><cfg:Enabled>{enabled}</cfg:Enabled></cfg:CertMapping>"
        )
    };
    let wish = "<w:OptimizeEnumeration/><w:MaxElements>20</w:MaxElements>";
    let list = machine.body(&enumerate(path, "", wish)).await;
    assert!(
        list.contains(&format!("<wsman:Items>{}</wsman:Items>", shown("true"))),
        "{list}"
    );
    let given = shown("true").replace("<cfg:Enabled>true<", "<cfg:Enabled>0<");
    assert_eq!(
        machine.body(&transfer("Put", path, MAPPING, &given)).await,
        shown("false")
    );
    assert_eq!(
        machine.current.get().access.certificate_mappings,
        [CertificateMapping {
            issuer: SHA1.to_owned(),
            subject: "*@example.org".to_owned(),
            uri: "*".to_owned(),
            user: "alice".to_owned(),
            enabled: false,
        }]
    );
    assert_eq!(
        machine.body(&transfer("Delete", path, MAPPING, "")).await,
        ""
    );
    assert_eq!(
        machine.gist(&transfer("Get", path, MAPPING, "")).await,
        "a:DestinationUnreachable/InvalidResourceURI 2150858752"
    );
}

#[tokio::test]
async fn a_listener_is_made_moved_and_removed() {
    let machine = Machine::new();
    let keys = &[("Address", "IP:127.0.0.2"), ("Transport", "HTTPS")];
    let given = |inner: &str| document("Listener", "/listener", inner);
    let port = |port: u16| given(&format!("<cfg:Port>{port}</cfg:Port>"));
    // As New-Item writes it, with what is not given left empty.
    let new = given(
        "<cfg:Port>7000</cfg:Port><cfg:Hostname></cfg:Hostname><cfg:Enabled>true</cfg:Enabled>\
         <cfg:URLPrefix>wsman</cfg:URLPrefix><cfg:CertificateThumbprint/>",
    );
    let made = machine
        .body(&transfer("Create", "/listener", keys, &new))
        .await;
    assert!(made.starts_with("<x:ResourceCreated><a:Address>") && made.contains(">IP:127.0.0.2<"));
    let moved = machine
        .body(&transfer("Put", "/listener", keys, &port(7001)))
        .await;
    assert!(moved.contains("<cfg:Port>7001</cfg:Port>"), "{moved}");
    let taken = machine
        .bench
        .fault(&transfer("Put", "/listener", keys, &port(9)))
        .await;
    assert_eq!(
        gist(&taken),
        "x:InvalidRepresentation/InvalidValues 2150858838"
    );
    assert!(taken.reason.contains("it is taken"), "{}", taken.reason);
    assert_eq!(
        machine
            .body(&transfer("Delete", "/listener", LOCAL, ""))
            .await,
        ""
    );
    let last = machine
        .bench
        .fault(&transfer("Delete", "/listener", keys, ""))
        .await;
    assert_eq!(
        gist(&last),
        "x:InvalidRepresentation/InvalidValues 2150858838"
    );
    assert!(
        last.reason.contains("last Listener cannot"),
        "{}",
        last.reason
    );
    let plain = &[("Address", "*"), ("Transport", "HTTP")];
    let made = machine
        .body(&transfer("Create", "/listener", plain, &given("")))
        .await;
    assert!(made.contains(">HTTP</wsman:Selector>"), "{made}");
    let shown = machine.body(&transfer("Get", "/listener", plain, "")).await;
    assert!(shown.contains("<cfg:Port>5985</cfg:Port>"), "{shown}");
    assert!(
        shown.contains("<cfg:CertificateThumbprint></cfg:CertificateThumbprint>"),
        "{shown}"
    );
}

#[tokio::test]
async fn the_plug_in_is_the_service_itself_and_stays() {
    let machine = Machine::new();
    let plug_in = machine
        .body(&transfer("Get", "/plugin", &[("Name", "BITSD")], ""))
        .await;
    let sddl = "O:SYG:SYD:P(A;;GA;;;BA)(A;;GRGWGX;;;BU)";
    let resource = |uri: &str, exact: &str, capabilities: &str| {
        format!(
            "<Resource ResourceUri=\"{uri}\" SupportsOptions=\"true\" ExactMatch=\"{exact}\">\
             <Security Uri=\"{uri}\" ExactMatch=\"{exact}\" Sddl=\"{sddl}\"/>{capabilities}</Resource>"
        )
    };
    let filtering = "<Capability Type=\"Enumerate\" SupportsFiltering=\"true\"/>";
    let all = format!(
        "<Capability Type=\"Get\" SupportsFragment=\"true\"/>\
         <Capability Type=\"Put\" SupportsFragment=\"true\"/><Capability Type=\"Create\"/>\
         <Capability Type=\"Delete\"/><Capability Type=\"Invoke\"/>{filtering}"
    );
    let dmtf = "http://schemas.dmtf.org/wbem";
    let wanted = format!(
        "<PlugInConfiguration xmlns=\"{CONFIG}/PluginConfiguration\" Name=\"bitsd\" \
         Filename=\"bitsd\" SDKVersion=\"1\" XmlRenderingType=\"text\" Architecture=\"64\" \
         UseSharedProcess=\"false\" AutoRestart=\"true\" ProcessIdleTimeoutSec=\"0\" RunAsUser=\"\" \
         RunAsPassword=\"\" OutputBufferingMode=\"Block\" Enabled=\"true\" xml:lang=\"en-US\">\
         <InitializationParameters/><Resources>{}{}{}{}</Resources>\
         <Quotas MaxConcurrentOperationsPerUser=\"1500\" MaxConcurrentOperations=\"4294967295\"/>\
         </PlugInConfiguration>",
        resource(
            &format!("{MICROSOFT}/wmi/root/microsoft/bits"),
            "false",
            &all
        ),
        resource(&format!("{dmtf}/wscim/1/cim-schema"), "false", &all),
        resource(&format!("{dmtf}/wscim/1/*"), "true", filtering),
        resource(
            &format!("{dmtf}/cim-xml/2/cim-schema/2/*"),
            "true",
            "<Capability Type=\"Get\"/><Capability Type=\"Enumerate\"/>"
        ),
    );
    assert_eq!(plug_in, wanted);
    let wish = "<w:OptimizeEnumeration/><w:MaxElements>20</w:MaxElements>";
    let list = machine.body(&enumerate("/plugin", "", wish)).await;
    assert!(list.contains(&format!("<wsman:Items>{wanted}</wsman:Items>")));
    let keys = &[("Name", "bitsd")];
    for operation in ["Put", "Create", "Delete"] {
        let body = if operation == "Delete" { "" } else { &plug_in };
        let gist = machine
            .gist(&transfer(operation, "/plugin", keys, body))
            .await;
        assert_eq!(gist, "a:ActionNotSupported 2150858771", "{operation}");
    }
    assert_eq!(
        machine
            .gist(&transfer("Get", "/plugin", &[("Name", "WMI Provider")], ""))
            .await,
        "a:DestinationUnreachable/InvalidResourceURI 2150858752"
    );
}

#[tokio::test]
async fn values_that_do_not_fit_have_their_faults() {
    let machine = Machine::new();
    let leaf = |name: &str, value: &str| format!("<cfg:{name}>{value}</cfg:{name}>");
    let service = |inner: &str| format!("<cfg:Service>{inner}</cfg:Service>");
    let invalid = "x:InvalidRepresentation/InvalidValues 2150858838";
    let schema = "wsman:SchemaValidationError 2150858817";
    let fixed = "x:InvalidRepresentation/InvalidValues 2150859071";
    let frozen = "x:InvalidRepresentation/InvalidValues 2150859182";
    for (inner, wanted, part) in [
        (leaf("NoSuchThing", "1"), schema, "NoSuchThing"),
        (
            leaf("MaxBatchItems", "1").repeat(2),
            schema,
            "MaxBatchItems is there twice",
        ),
        (
            leaf("MaxBatchItems", "<cfg:x/>"),
            schema,
            "MaxBatchItems must hold a value",
        ),
        (
            leaf("MaxBatchItems", "many"),
            invalid,
            "MaxBatchItems: must be a number",
        ),
        (
            leaf("MaxBatchItems", "0"),
            invalid,
            "MaxBatchItems: must be a number",
        ),
        (
            leaf("MaxBatchItems", "2000000"),
            invalid,
            "MaxBatchItems: must be a number from 1 to 1000000",
        ),
        (
            leaf("MaxEnvelopeSizekb", "9000"),
            invalid,
            "MaxEnvelopeSizekb: must be a number from 32 to 8192",
        ),
        (
            leaf("MaxProviderRequests", "7"),
            frozen,
            "MaxProviderRequests cannot be changed",
        ),
        (
            service(&leaf("MaxConcurrentOperations", "7")),
            frozen,
            "Service/MaxConcurrentOperations",
        ),
        (
            service(&leaf("EnableCompatibilityHttpListener", "true")),
            fixed,
            "Service/EnableCompatibilityHttpListener cannot",
        ),
        (
            service(&leaf("AllowRemoteAccess", "true")),
            fixed,
            "read-only",
        ),
        (
            service(&leaf("EnableCompatibilityHttpsListener", "1")),
            fixed,
            "Service/EnableCompatibilityHttpsListener cannot",
        ),
        (
            service(&format!("<cfg:Auth>{}</cfg:Auth>", leaf("Basic", "0"))),
            invalid,
            "Service/Auth/Basic must be true",
        ),
        (
            service(&format!(
                "<cfg:Auth>{}</cfg:Auth>",
                leaf("Certificate", "1")
            )),
            invalid,
            "Service/Auth/Certificate cannot be true: the settings file",
        ),
    ] {
        let fault = machine
            .bench
            .fault(&transfer("Put", "", &[], &document("Config", "", &inner)))
            .await;
        assert_eq!(gist(&fault), wanted, "{inner}");
        assert!(fault.reason.contains(part), "{}", fault.reason);
    }
    let other = document("Service", "", "");
    assert_eq!(
        machine.gist(&transfer("Put", "", &[], &other)).await,
        schema
    );
    assert_eq!(
        machine.gist(&transfer("Put", "", &[], "")).await,
        gist(
            &machine
                .bench
                .fault(&transfer("Put", "/winrs", &[], ""))
                .await
        ),
    );
    let listener = |inner: &str| document("Listener", "/listener", inner);
    let changed = transfer(
        "Put",
        "/listener",
        LOCAL,
        &listener("<cfg:Address>*</cfg:Address>"),
    );
    assert_eq!(
        machine.gist(&changed).await,
        "x:InvalidRepresentation/InvalidValues 2150858989"
    );
    let given = document("CertMapping", "/service/certmapping", "");
    assert_eq!(
        machine
            .gist(&transfer("Create", "/service/certmapping", MAPPING, &given))
            .await,
        "x:InvalidRepresentation/MissingValues 2150858839"
    );
    assert!(!machine.file.exists());
}

#[tokio::test]
async fn selectors_that_do_not_fit_have_their_faults() {
    let machine = Machine::with(|settings| {
        settings.service.listen = ["127.0.0.1:1", "127.0.0.1:2"]
            .map(|address| address.parse().expect("an address"))
            .to_vec();
    });
    for (path, all, wanted) in [
        ("", &[("Name", "x")][..], "UnexpectedSelectors 2150858843"),
        ("/listener", &[], "InsufficientSelectors 2150858842"),
        ("/listener", &LOCAL[..1], "InsufficientSelectors 2150858842"),
        ("/listener", LOCAL, "AmbiguousSelectors 2150858846"),
        (
            "/listener",
            &[("address", "lo"), ("transport", "HTTPS")],
            "InvalidValue 2150858845",
        ),
        (
            "/plugin",
            &[("Name", "bitsd"), ("x", "y")],
            "UnexpectedSelectors 2150858843",
        ),
    ] {
        let gist = machine.gist(&transfer("Get", path, all, "")).await;
        assert_eq!(
            gist,
            format!("wsman:InvalidSelectors/{wanted}"),
            "{path} {all:?}"
        );
    }
    let none = &[("Address", "IP:10.0.0.1"), ("Transport", "HTTPS")];
    assert_eq!(
        machine.gist(&transfer("Get", "/listener", none, "")).await,
        "a:DestinationUnreachable/InvalidResourceURI 2150858752"
    );
    assert_eq!(
        machine
            .gist(&enumerate("/listener", &selectors(LOCAL), ""))
            .await,
        "wsman:InvalidSelectors/UnexpectedSelectors 2150859016"
    );
}

#[tokio::test]
async fn what_the_resource_does_not_do_has_its_faults() {
    let machine = Machine::new();
    let unsupported = "a:ActionNotSupported 2150858771";
    let config = document("Config", "", "");
    for envelope in [
        transfer("Create", "", &[], &config),
        transfer("Delete", "", &[], ""),
        transfer("Patch", "", &[], ""),
        transfer(
            "Put",
            "/service/defaultports",
            &[],
            &document("DefaultPorts", "", ""),
        ),
        transfer("Get", "/service/security", &[("Uri", "x")], ""),
        transfer("Put", "/service/security", &[("Uri", "x")], &config),
        enumerate("", "", ""),
        enumerate("/service", "", ""),
        request(&uri("/listener/Restore"), &uri("/listener"), "", ""),
        request(&uri("/Reset"), CONFIG, "", ""),
    ] {
        assert_eq!(machine.gist(&envelope).await, unsupported, "{envelope}");
    }
    for path in ["/x", "/winrs/customremoteshell", "/service/auth/basic"] {
        assert_eq!(
            machine.gist(&transfer("Get", path, &[], "")).await,
            "a:DestinationUnreachable/InvalidResourceURI 2150858811"
        );
    }
    let filter = "<w:Filter Dialect=\"http://schemas.microsoft.com/wbem/wsman/1/WQL\">x</w:Filter>";
    assert_eq!(
        machine.gist(&enumerate("/listener", "", filter)).await,
        "n:FilteringNotSupported 2150858776"
    );
    let mode = "<w:EnumerationMode>Other</w:EnumerationMode>";
    assert_eq!(
        machine.gist(&enumerate("/listener", "", mode)).await,
        "wsman:UnsupportedFeature/EnumerationMode 2150858886"
    );
    let get = |more: &str| request(&format!("{TRANSFER}/Get"), CONFIG, more, "");
    let fragment =
        "<w:FragmentTransfer s:mustUnderstand=\"true\">MaxBatchItems</w:FragmentTransfer>";
    assert_eq!(
        machine.gist(&get(fragment)).await,
        "wsman:UnsupportedFeature/FragmentLevelAccess 2150858871"
    );
    let option = |must: &str| {
        get(&format!(
            "<w:OptionSet><w:Option Name=\"a:b\" MustComply=\"{must}\">1</w:Option></w:OptionSet>"
        ))
    };
    assert_eq!(
        machine.gist(&option("true")).await,
        "wsman:InvalidOptions/NotSupported 2150858833"
    );
    machine.bench.ok(&option("false")).await;
    let small = get("<w:MaxEnvelopeSize s:mustUnderstand=\"true\">8192</w:MaxEnvelopeSize>");
    machine.bench.ok(&small).await;
    let bench = Bench::new();
    assert_eq!(
        gist(&bench.fault(&transfer("Get", "", &[], "")).await),
        "a:DestinationUnreachable/InvalidResourceURI 2150858811",
        "an endpoint without a configuration"
    );
}

#[tokio::test]
async fn whoever_has_logged_on_may_look_and_only_administrators_may_change() {
    let mut machine = Machine::new();
    machine.bench.by = Principal::for_test("anna", Scope::Own);
    machine.bench.ok(&transfer("Get", "", &[], "")).await;
    machine.bench.ok(&enumerate("/listener", "", "")).await;
    let mapping = document(
        "CertMapping",
        "/service/certmapping",
        "<cfg:UserName>a</cfg:UserName>",
    );
    for envelope in [
        transfer("Put", "", &[], &document("Config", "", "")),
        transfer("Create", "/service/certmapping", MAPPING, &mapping),
        transfer("Delete", "/listener", LOCAL, ""),
        request(&uri("/Restore"), CONFIG, "", ""),
    ] {
        assert_eq!(machine.gist(&envelope).await, "wsman:AccessDenied 5");
    }
}

#[tokio::test]
async fn nobody_chooses_who_he_is_by_how_he_writes_a_uri() {
    let machine = Machine::new();
    let (anna, root) = (
        Principal::for_test("anna", Scope::Own),
        Principal::for_test("root", Scope::All),
    );
    let put = transfer("Put", "", &[], &document("Config", "", ""));
    let answer = async |caller: Caller, uri: &str| {
        let envelope = put.replace(&format!(">{CONFIG}<"), &format!(">{uri}<"));
        assert!(envelope.contains(uri), "{envelope}");
        let endpoint = &machine.bench.endpoint;
        let answer = endpoint.answer_caller(&caller, &envelope, Encoding::Utf8);
        answer.await
    };
    let all_but_this = format!("{CONFIG}*");
    let written = [
        CONFIG.to_owned(),
        CONFIG.to_uppercase(),
        CONFIG.replace("config", "%63onfig"),
        CONFIG.replace("/wsman", "//wsman"),
        CONFIG.replace("/wsman", "\\wsman"),
        "winrm/config".to_owned(),
        "WinRM//Config/".to_owned(),
    ];
    for uri in written {
        let caller = Caller::for_test_at(&[("*", &root), (&all_but_this, &anna)]);
        let refused = gist(&fault_of(&answer(caller, &uri).await));
        assert_eq!(refused, "wsman:AccessDenied 5", "{uri}");
        let caller = Caller::for_test_at(&[("*", &anna), (&all_but_this, &root)]);
        assert_eq!(answer(caller, &uri).await.status, 200, "{uri}");
    }
}

#[tokio::test]
async fn changes_that_meet_are_made_one_after_the_other() {
    let machine = Machine::new();
    let put = |name: &str, value: u32| {
        let inner = format!("<cfg:{name}>{value}</cfg:{name}>");
        transfer("Put", "", &[], &document("Config", "", &inner))
    };
    let puts = [
        put("MaxBatchItems", 7),
        put("MaxTimeoutms", 9_000),
        put("MaxEnvelopeSizekb", 99),
    ];
    let [one, two, three] = &puts;
    let bench = &machine.bench;
    tokio::join!(bench.ok(one), bench.ok(two), bench.ok(three));
    let now = machine.current.get();
    let wsman = &now.wsman;
    assert_eq!(
        (
            wsman.max_batch_items,
            wsman.max_timeout_ms,
            wsman.max_envelope_size_kb
        ),
        (7, 9_000, 99)
    );
    let kept = Overlay::load(&machine.file).expect("our own");
    assert_eq!(
        kept,
        Overlay::between(
            &Settings {
                wsman: WsmanSettings::default(),
                ..(*now).clone()
            },
            &now
        )
    );
}

#[tokio::test]
async fn a_put_of_nothing_changes_nothing() {
    let machine = Machine::new();
    let before = (*machine.current.get()).clone();
    for (path, root) in [
        ("", "Config"),
        ("/client", "Client"),
        ("/service", "Service"),
        ("/service/auth", "Auth"),
        ("/winrs", "Winrs"),
    ] {
        machine
            .bench
            .ok(&transfer("Put", path, &[], &format!("<{root}/>")))
            .await;
        assert_eq!(*machine.current.get(), before, "{path}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn no_body_makes_a_put_or_create_panic_or_the_settings_wrong(
        at in 0..6_usize,
        operation in "Put|Create",
        stranger in prop::option::weighted(0.1, "[A-Za-z]{1,8}"),
        inner in prop::collection::vec(
            "<(Port|Basic|Certificate|MaxBatchItems|UserName|Enabled|URI|Auth)>[ 0-9]{0,3}[a*]?</>",
            0..3,
        ),
    ) {
        let (path, root, keys) = [
            ("", "Config", &[][..]),
            ("/service", "Service", &[]),
            ("/service/auth", "Auth", &[]),
            ("/listener", "Listener", LOCAL),
            ("/service/certmapping", "certmapping", MAPPING),
            ("/plugin", "PlugInConfiguration", &[("Name", "bitsd")]),
        ][at];
        let root = stranger.as_deref().unwrap_or(root);
        let close = |text: &String| {
            let name = text.trim_start_matches('<').split('>').next().unwrap_or_default();
            text.replace("</>", &format!("</{name}>"))
        };
        let inner: String = inner.iter().map(close).collect();
        let envelope = transfer(&operation, path, keys, &format!("<{root}>{inner}</{root}>"));
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        let machine = Machine::new();
        let answer = runtime.block_on(machine.bench.post(&envelope));
        prop_assert!(matches!(answer.status, 200 | 500));
        prop_assert_eq!(machine.current.get().check(), Ok(()));
    }
}
