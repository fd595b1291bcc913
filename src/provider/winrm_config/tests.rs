//! The configuration without a wire.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Mutex;

use tempfile::TempDir;

use super::*;
use crate::auth::Scope;
use crate::config::Overlay;
use crate::config::Transport;

const SHA1: &str = "0123456789ABCDEF0123456789ABCDEF01234567";

/// A configuration, and who listens where.
struct Bench {
    config: WinrmConfig,
    current: Arc<Current>,
    /// What was asked for, in order.
    bound: Arc<Mutex<Vec<Vec<Listening>>>>,
    folder: TempDir,
    admin: Principal,
}

impl Bench {
    fn new() -> Self {
        Self::with(|_| {})
    }

    fn with(prepare: impl Fn(&mut Settings)) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut settings = Settings::default();
        folder
            .path()
            .clone_into(&mut settings.service.state_directory);
        prepare(&mut settings);
        let current = Arc::new(Current::new(settings.clone()));
        let bound: Arc<Mutex<Vec<Vec<Listening>>>> = Arc::default();
        let rebind = {
            let bound = Arc::clone(&bound);
            move |listen: Vec<Listening>| -> Pin<Box<dyn Future<Output = Result<(), String>> + Send>> {
                let is_taken = listen.iter().any(|at| at.address.port() == 9);
                let has_ipv6 = listen
                    .iter()
                    .any(|at| at.address.ip().is_unspecified() && at.address.is_ipv6());
                bound.lock().expect("no panic").push(listen);
                Box::pin(async move {
                    match (is_taken, has_ipv6) {
                        (true, _) => Err("it is taken".to_owned()),
                        (_, true) => Err("no IPv6".to_owned()),
                        _ => Ok(()),
                    }
                })
            }
        };
        let catalog = Catalog::bundled().expect("schemas are correct");
        let thumbprint = Box::new(|| SHA1.to_owned());
        let prepare: Prepare = Arc::new(|new: &Settings| {
            let access = &new.access;
            let is_mapped = access.certificate_mappings.iter().any(|one| one.enabled);
            let by_certificate = access.certificate && is_mapped;
            if !(access.basic || by_certificate) {
                return Err(Unready::NobodyLogsOn);
            }
            let authorities = access.client_ca_certificates.as_deref();
            match authorities.filter(|_| access.certificate) {
                Some(path) if path.ends_with("none") => {
                    Err(Unready::Authorities("there is no such file".to_owned()))
                }
                Some(_) | None => Ok(()),
            }
        });
        let config = WinrmConfig::new(
            &current,
            settings,
            &catalog,
            thumbprint,
            prepare,
            Box::new(rebind),
        )
        .expect("the schema is understood");
        Self {
            config,
            current,
            bound,
            folder,
            admin: Principal::for_test("root", Scope::All),
        }
    }

    async fn put(
        &self,
        path: &str,
        keys: &[(&str, &str)],
        given: Node,
    ) -> Result<Node, ConfigError> {
        let part = Part::at(path).expect("a part");
        self.config.put(&self.admin, part, &own(keys), &given).await
    }

    async fn create(
        &self,
        part: Part,
        all: &[(&str, &str)],
        given: Node,
    ) -> Result<Keys, ConfigError> {
        self.config
            .create(&self.admin, part, &own(all), &given)
            .await
    }

    fn file(&self) -> std::path::PathBuf {
        Overlay::path(&self.current.get().service)
    }

    /// The settings after a new start.
    fn started_again(&self) -> Settings {
        let overlay = Overlay::load(&self.file()).expect("our own");
        overlay
            .over(&self.config.base, Path::new("x"))
            .expect("fits")
    }
}

fn own(keys: &[(&str, &str)]) -> Keys {
    let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    keys.iter().map(own).collect()
}

fn https(address: SocketAddr) -> Listening {
    Listening {
        address,
        transport: Transport::Https,
    }
}

fn config(children: Vec<Node>) -> Node {
    Node::branch("Config", children)
}

const ANY: &[(&str, &str)] = &[("Address", "*"), ("Transport", "HTTPS")];
const LOCAL: &[(&str, &str)] = &[("Address", "IP:127.0.0.1"), ("Transport", "HTTPS")];

#[tokio::test]
async fn a_change_is_in_force_kept_and_undone_by_restore() {
    let bench = Bench::new();
    let given = config(vec![
        Node::leaf("MaxEnvelopeSizekb", "200"),
        Node::branch("Service", vec![Node::leaf("MaxConnections", "5")]),
    ]);
    let shown = bench.put("", &[], given).await.expect("legal");
    assert_eq!(shown.value("MaxEnvelopeSizekb"), Some("200"));
    let now = bench.current.get();
    assert_eq!(
        (now.wsman.max_envelope_size_kb, now.wsman.max_connections),
        (200, 5)
    );
    assert_eq!(bench.started_again(), *now);
    let text = std::fs::read_to_string(bench.file()).expect("kept");
    assert!(
        text.ends_with("[wsman]\nmax_envelope_size_kb = 200\nmax_connections = 5\n"),
        "{text}"
    );
    bench.config.restore(&bench.admin).await.expect("restored");
    assert!(!bench.file().exists());
    assert_eq!(*bench.current.get(), bench.config.base);
    bench
        .config
        .restore(&bench.admin)
        .await
        .expect("nothing to do");
}

#[tokio::test]
async fn a_whole_document_may_be_written_back() {
    let bench = Bench::new();
    for path in [
        "",
        "client",
        "client/auth",
        "client/defaultports",
        "service",
        "service/auth",
        "winrs",
    ] {
        let part = Part::at(path).expect("a part");
        let document = bench.config.get(part, &Keys::new()).expect("shown");
        assert_eq!(
            bench.put(path, &[], document.clone()).await,
            Ok(document),
            "{path}"
        );
    }
    let part = Part::Listener;
    let document = bench.config.get(part, &own(LOCAL)).expect("shown");
    assert_eq!(
        bench.put("listener", LOCAL, document.clone()).await,
        Ok(document)
    );
    assert!(!bench.file().exists());
    assert!(bench.bound.lock().expect("no panic").is_empty());
}

#[tokio::test]
async fn a_document_with_one_wrong_value_changes_nothing() {
    let bench = Bench::new();
    let before = bench.current.get();
    let service = |children| Node::branch("Service", children);
    let value = |name: &str, reason: &str| ConfigError::Value {
        name: name.to_owned(),
        reason: reason.to_owned(),
    };
    for (wrong, wanted) in [
        (
            Node::leaf("MaxEnvelopeSizekb", "9000"),
            value("MaxEnvelopeSizekb", "9000 is not from 32 to 8192"),
        ),
        (
            service(vec![Node::branch(
                "Auth",
                vec![Node::leaf("Basic", "false")],
            )]),
            ConfigError::LastLogOn,
        ),
        (
            service(vec![Node::branch(
                "Auth",
                vec![Node::leaf("Certificate", "true")],
            )]),
            ConfigError::NoAuthorities,
        ),
        (
            service(vec![Node::leaf("EnableCompatibilityHttpListener", "true")]),
            ConfigError::Fixed {
                name: "Service/EnableCompatibilityHttpListener".to_owned(),
                value: "false".to_owned(),
            },
        ),
        (
            Node::leaf("MaxProviderRequests", "1"),
            ConfigError::Frozen("MaxProviderRequests".to_owned()),
        ),
        (
            service(vec![Node::branch(
                "DefaultPorts",
                vec![Node::leaf("HTTP", "80")],
            )]),
            ConfigError::ReadOnly("Service/DefaultPorts/HTTP".to_owned()),
        ),
    ] {
        let given = config(vec![Node::leaf("MaxBatchItems", "7"), wrong]);
        assert_eq!(bench.put("", &[], given).await, Err(wanted));
    }
    assert_eq!(bench.current.get(), before);
    assert!(!bench.file().exists());
}

#[tokio::test]
async fn a_change_that_cannot_be_kept_is_not_made() {
    let bench = Bench::new();
    let before = bench.current.get();
    std::fs::remove_dir(bench.folder.path()).expect("empty");
    let given = Node::branch("Listener", vec![Node::leaf("Port", "6000")]);
    let done = bench.put("listener", LOCAL, given).await;
    assert_eq!(done, Err(ConfigError::Unavailable));
    assert_eq!(bench.current.get(), before);
    let bound = bench.bound.lock().expect("no panic").clone();
    let at = |port| vec![https(SocketAddr::from(([127, 0, 0, 1], port)))];
    assert_eq!(
        bound,
        [at(6000), at(5986)],
        "and the listeners are where they were"
    );
}

#[tokio::test]
async fn only_an_administrator_changes_anything() {
    let bench = Bench::new();
    let anna = Principal::for_test("anna", Scope::Own);
    let (part, keys) = (Part::Config(&[]), Keys::new());
    let config = &bench.config;
    let denied = ConfigError::Denied;
    let given = Node::branch("Config", Vec::new());
    assert_eq!(
        config.put(&anna, part, &keys, &given).await,
        Err(denied.clone())
    );
    assert_eq!(
        config.create(&anna, part, &keys, &given).await,
        Err(denied.clone())
    );
    assert_eq!(config.delete(&anna, part, &keys).await, Err(denied.clone()));
    assert_eq!(config.restore(&anna).await, Err(denied));
    assert!(config.get(part, &keys).is_ok());
}

#[tokio::test]
async fn listeners_come_move_and_go_with_their_sockets() {
    let bench = Bench::new();
    let none = || Node::branch("Listener", Vec::new());
    let other = &[("Address", "IP:127.0.0.2"), ("Transport", "HTTPS")];
    let given = Node::branch(
        "Listener",
        vec![Node::leaf("Port", "7000"), Node::leaf("Enabled", "true")],
    );
    let keys = bench
        .create(Part::Listener, other, given)
        .await
        .expect("made");
    assert_eq!(keys, own(other));
    assert!(matches!(
        bench.create(Part::Listener, other, none()).await,
        Err(ConfigError::Exists(_))
    ));
    let given = Node::branch("Listener", vec![Node::leaf("Port", "9")]);
    let taken = bench.put("listener", other, given).await;
    assert_eq!(taken, Err(ConfigError::Listen("it is taken".to_owned())));
    let given = Node::branch("Listener", vec![Node::leaf("Port", "7001")]);
    let moved = bench.put("listener", other, given).await.expect("moved");
    assert_eq!(moved.value("Port"), Some("7001"));
    assert_eq!(moved.value("ListeningOn"), Some("127.0.0.2"));
    bench
        .config
        .delete(&bench.admin, Part::Listener, &own(LOCAL))
        .await
        .expect("gone");
    let last = bench
        .config
        .delete(&bench.admin, Part::Listener, &own(other))
        .await;
    assert_eq!(last, Err(ConfigError::LastListener));
    let at = |ip, port| SocketAddr::from(([127, 0, 0, ip], port));
    let bound = bench.bound.lock().expect("no panic").clone();
    assert_eq!(
        bound,
        [
            vec![https(at(1, 5986)), https(at(2, 7000))],
            vec![https(at(1, 5986)), https(at(2, 9))],
            vec![https(at(1, 5986)), https(at(2, 7001))],
            vec![https(at(2, 7001))],
        ]
    );
    assert_eq!(bench.started_again().service.listen, [at(2, 7001)]);
}

#[tokio::test]
async fn a_listener_everywhere_does_without_ipv6_where_there_is_none() {
    let bench = Bench::new();
    let given = Node::branch("Listener", vec![Node::leaf("Port", "7000")]);
    bench
        .create(Part::Listener, ANY, given)
        .await
        .expect("made");
    let listen = bench.current.get().service.listen.clone();
    assert_eq!(listen.last(), Some(&SocketAddr::from(([0, 0, 0, 0], 7000))));
    assert_eq!(listen.len(), 2);
    let bench = Bench::new();
    let given = Node::branch("Listener", vec![Node::leaf("Port", "9")]);
    let taken = bench.create(Part::Listener, ANY, given).await;
    assert_eq!(taken, Err(ConfigError::Listen("it is taken".to_owned())));
}

#[tokio::test]
async fn a_listener_is_what_this_service_can_be() {
    let bench = Bench::new();
    let fixed = |name: &str, value: &str| ConfigError::Fixed {
        name: name.to_owned(),
        value: value.to_owned(),
    };
    for (child, wanted) in [
        (Node::leaf("Hostname", "h"), fixed("Hostname", "")),
        (Node::leaf("Enabled", "false"), fixed("Enabled", "true")),
        (Node::leaf("URLPrefix", "x"), fixed("URLPrefix", "wsman")),
        (
            Node::leaf("CertificateThumbprint", "00"),
            fixed("CertificateThumbprint", SHA1),
        ),
        (
            Node::leaf("ListeningOn", "10.0.0.1"),
            ConfigError::ReadOnly("ListeningOn".to_owned()),
        ),
        (
            Node::leaf("Address", "*"),
            ConfigError::KeyChanged("Address"),
        ),
        (
            Node::leaf("Transport", "HTTP"),
            ConfigError::KeyChanged("Transport"),
        ),
    ] {
        let given = Node::branch("Listener", vec![child]);
        assert_eq!(
            bench.put("listener", LOCAL, given.clone()).await,
            Err(wanted.clone())
        );
        let other = &[("Address", "IP:127.0.0.2"), ("Transport", "HTTPS")];
        assert_eq!(
            bench.create(Part::Listener, other, given).await,
            Err(wanted)
        );
    }
    let plain = &[("Address", "*"), ("Transport", "HTTP")];
    let given = Node::branch("Listener", Vec::new());
    let made = bench.create(Part::Listener, plain, given).await;
    assert!(made.is_ok(), "{made:?}");
    let listener = bench.config.get(Part::Listener, &own(plain));
    let listener = listener.expect("there");
    assert_eq!(listener.value("Port"), Some("5985"));
    assert_eq!(listener.value("CertificateThumbprint"), Some(""));
    let service = bench.current.get().service.clone();
    let everywhere = SocketAddr::from(([0, 0, 0, 0], 5985));
    assert_eq!(service.listen_http, [everywhere]);
}

#[tokio::test]
async fn mappings_come_change_and_go() {
    let bench = Bench::new();
    let keys = &[("Issuer", SHA1), ("Subject", "*@example.org"), ("URI", "*")];
    let part = Part::CertMapping;
    let mapping = |children| Node::branch("CertMapping", children);
    assert_eq!(
        bench.create(part, keys, mapping(Vec::new())).await,
        Err(ConfigError::Missing("UserName"))
    );
    let given = mapping(vec![
        Node::leaf("UserName", "alice"),
        Node::leaf("Password", "secret"),
    ]);
    bench.create(part, keys, given.clone()).await.expect("made");
    assert!(matches!(
        bench.create(part, keys, given).await,
        Err(ConfigError::Exists(_))
    ));
    let lower = SHA1.to_lowercase();
    let other_case = &[
        ("Issuer", lower.as_str()),
        ("Subject", "*@EXAMPLE.org"),
        ("URI", "*"),
    ];
    let given = mapping(vec![Node::leaf("Enabled", "false"), Node::leaf("URI", "*")]);
    let shown = bench
        .put("service/certmapping", other_case, given)
        .await
        .expect("set");
    let values = ["URI", "Subject", "Issuer", "UserName", "Enabled"].map(|name| shown.value(name));
    assert_eq!(
        values,
        ["*", "*@example.org", SHA1, "alice", "false"].map(Some)
    );
    let given = mapping(vec![Node::leaf("Subject", "other")]);
    assert_eq!(
        bench.put("service/certmapping", keys, given).await,
        Err(ConfigError::KeyChanged("Subject"))
    );
    let text = std::fs::read_to_string(bench.file()).expect("kept");
    assert!(!text.contains("secret") && text.contains("alice"), "{text}");
    assert_eq!(bench.started_again(), *bench.current.get());
    bench
        .config
        .delete(&bench.admin, part, &own(keys))
        .await
        .expect("gone");
    assert_eq!(
        bench.config.get(part, &own(keys)),
        Err(ConfigError::NotFound)
    );
    assert!(!bench.file().exists(), "nothing is left that differs");
}

#[tokio::test]
async fn a_certificate_that_is_mapped_by_its_own_thumbprint_needs_no_authority() {
    let bench = Bench::new();
    let part = Part::CertMapping;
    let on = || {
        let auth = Node::branch("Auth", vec![Node::leaf("Certificate", "true")]);
        Node::branch("Config", vec![Node::branch("Service", vec![auth])])
    };
    let user = || Node::branch("CertMapping", vec![Node::leaf("UserName", "alice")]);
    let sha256 = "ab ".repeat(32);
    let keys = &[
        ("Issuer", sha256.trim_end()),
        ("Subject", "*"),
        ("URI", "*"),
    ];
    let (short, long) = ("ab".repeat(24), "ab".repeat(33));
    for wrong in [short, long] {
        let keys = &[("Issuer", wrong.as_str()), keys[1], keys[2]];
        let refused = bench.create(part, keys, user()).await;
        assert!(
            matches!(refused, Err(ConfigError::Value { .. })),
            "{refused:?}"
        );
    }
    let refused = bench.put("", &[], on()).await;
    assert_eq!(refused, Err(ConfigError::NoAuthorities));
    bench.create(part, keys, user()).await.expect("made");
    bench.put("", &[], on()).await.expect("it names somebody");
    let gone = bench.config.delete(&bench.admin, part, &own(keys)).await;
    assert_eq!(
        gone,
        Err(ConfigError::NoAuthorities),
        "nobody would be left"
    );
}

#[tokio::test]
async fn the_last_way_to_log_on_stays() {
    let bench = Bench::with(|settings| {
        settings.access.client_ca_certificates = Some("/ca".into());
    });
    let keys = &[("Issuer", SHA1), ("Subject", "*"), ("URI", "*")];
    let given = Node::branch("CertMapping", vec![Node::leaf("UserName", "alice")]);
    bench
        .create(Part::CertMapping, keys, given)
        .await
        .expect("made");
    let auth = |basic, certificate| {
        let children = vec![
            Node::leaf("Basic", basic),
            Node::leaf("Certificate", certificate),
        ];
        Node::branch("Auth", children)
    };
    bench
        .put("service/auth", &[], auth("false", "true"))
        .await
        .expect("by certificate");
    let refused = Err(ConfigError::LastLogOn);
    let none = bench.put("service/auth", &[], auth("false", "false")).await;
    assert_eq!(none, refused);
    let given = Node::branch("CertMapping", vec![Node::leaf("Enabled", "false")]);
    let off = bench.put("service/certmapping", keys, given).await;
    assert_eq!(off, refused);
    let (config, keys) = (&bench.config, own(keys));
    let gone = config.delete(&bench.admin, Part::CertMapping, &keys).await;
    assert_eq!(gone, Err(ConfigError::LastLogOn));
}

#[tokio::test]
async fn authorities_that_cannot_be_used_are_refused_before_anything_changes() {
    let bench = Bench::with(|settings| {
        settings.access.client_ca_certificates = Some("/none".into());
    });
    let before = bench.current.get();
    let given = config(vec![
        Node::leaf("MaxBatchItems", "7"),
        Node::branch(
            "Service",
            vec![Node::branch(
                "Auth",
                vec![Node::leaf("Certificate", "true")],
            )],
        ),
    ]);
    let refused = ConfigError::Value {
        name: "Service/Auth/Certificate".to_owned(),
        reason: "there is no such file".to_owned(),
    };
    assert_eq!(bench.put("", &[], given).await, Err(refused));
    assert_eq!(bench.current.get(), before);
    assert!(!bench.file().exists());
}

#[tokio::test]
async fn what_was_kept_before_stays_when_a_change_cannot_be_kept() {
    let bench = Bench::new();
    let given = |items: &str| config(vec![Node::leaf("MaxBatchItems", items)]);
    bench.put("", &[], given("7")).await.expect("kept");
    let kept = bench.current.get();
    let aside = bench.folder.path().join("aside");
    std::fs::rename(bench.file(), &aside).expect("moved");
    std::fs::create_dir_all(bench.file().join("in the way")).expect("a folder");
    let done = bench.put("", &[], given("8")).await;
    assert_eq!(done, Err(ConfigError::Unavailable));
    assert_eq!(
        bench.config.restore(&bench.admin).await,
        Err(ConfigError::Unavailable)
    );
    assert_eq!(bench.current.get(), kept);
    let left = std::fs::read_dir(bench.folder.path()).expect("a folder");
    assert_eq!(left.count(), 2, "no half-written file is left");
}

#[tokio::test]
async fn what_there_is_one_of_is_neither_made_nor_removed() {
    let bench = Bench::new();
    let given = || Node::branch("Config", Vec::new());
    for (_, part) in [
        ("", Part::Config(&[])),
        ("", Part::PlugIn),
        ("", Part::Security),
    ] {
        let keys = Keys::new();
        let made = bench.create(part, &[], given()).await;
        assert!(
            matches!(made, Err(ConfigError::NotSupported(_))),
            "{part:?}"
        );
        let gone = bench.config.delete(&bench.admin, part, &keys).await;
        assert!(
            matches!(gone, Err(ConfigError::NotSupported(_))),
            "{part:?}"
        );
    }
    let refused = bench.config.get(Part::Security, &Keys::new());
    assert!(matches!(refused, Err(ConfigError::NotSupported(_))));
    let refused = bench.put("service/defaultports", &[], given()).await;
    assert!(matches!(refused, Err(ConfigError::NotSupported(_))));
    assert!(matches!(
        bench.config.list(Part::Config(&[])),
        Err(ConfigError::NotSupported(_))
    ));
}
