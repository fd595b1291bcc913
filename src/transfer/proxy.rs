//! Which proxy a request goes through (BITS reference, "Proxy"). Pure.

use std::net::IpAddr;

use url::Url;

use super::remote;
use crate::bits::AuthTarget;
use crate::bits::Credentials;
use crate::config::Network;

/// The proxies of a job and the hosts that it reaches without them.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Proxies {
    list: Vec<Entry>,
    bypass: Vec<Pattern>,
    /// Asked before the list.
    environment: Environment,
}

/// The proxies that the environment names, as `curl` and its kin read it.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
struct Environment {
    http: Option<ProxyEndpoint>,
    https: Option<ProxyEndpoint>,
    direct: Vec<Direct>,
}

/// An entry of `no_proxy`.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Direct {
    /// `*`.
    Any,
    /// A domain, and all names below it.
    Domain(String, Option<u16>),
    /// An address or network.
    Network(Network),
}

/// Why a list cannot be used.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum ProxyError {
    /// It asks for what is known, and not done.
    Unsupported(String),
    /// It is no list of proxies.
    Malformed(String),
}

impl std::fmt::Display for ProxyError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unsupported(why) | Self::Malformed(why) => f.write_str(why),
        }
    }
}

#[derive(Clone, Debug, Eq, PartialEq)]
struct Entry {
    /// Only for URLs of this scheme.
    scheme: Option<String>,
    endpoint: ProxyEndpoint,
}

/// Where a proxy listens.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(super) struct ProxyEndpoint {
    /// Name or address, without the brackets of IPv6.
    pub(super) host: String,
    /// Port.
    pub(super) port: u16,
}

#[derive(Clone, Debug, Eq, PartialEq)]
enum Pattern {
    /// `<local>`: names without a dot.
    Local,
    /// `*`.
    Any,
    /// `*.example.com`: the end of the name.
    End(String),
    /// The whole name.
    Whole(String),
    /// An address or a network.
    Network(Network),
}

impl std::fmt::Display for ProxyEndpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl Proxies {
    /// Reads both lists: `[protocol=][protocol://]server[:port]`, and host
    /// patterns with `*` at the left end only, or `<local>`.
    ///
    /// # Errors
    ///
    /// What is wrong with which entry.
    pub(super) fn parse(list: &str, bypass: &str) -> Result<Self, ProxyError> {
        let separated = |text: &str| -> Vec<String> {
            text.split([' ', ';', ',', '\t'])
                .filter(|entry| !entry.is_empty())
                .map(str::to_owned)
                .collect()
        };
        Ok(Self {
            list: separated(list)
                .iter()
                .map(|entry| parse_entry(entry))
                .collect::<Result<_, _>>()?,
            bypass: separated(bypass)
                .iter()
                .map(|entry| parse_pattern(entry).map_err(ProxyError::Malformed))
                .collect::<Result<_, _>>()?,
            environment: Environment::default(),
        })
    }

    /// These, unless there are none: a job that is to go through a proxy does
    /// not go without.
    ///
    /// # Errors
    ///
    /// That there are none.
    pub(super) fn if_any(self) -> Result<Self, ProxyError> {
        if self.list.is_empty() {
            return Err(ProxyError::Malformed("the list is empty".to_owned()));
        }
        Ok(self)
    }

    /// The same, behind what the environment says: `http_proxy`, `https_proxy`,
    /// `all_proxy` and `no_proxy`, in small letters or in capitals. What stands
    /// there as user name and password is for the proxies.
    ///
    /// # Errors
    ///
    /// What is wrong with which variable.
    pub(super) fn behind_environment(
        self,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<(Self, Option<Credentials>), String> {
        let find = |name: &str| {
            // In a CGI program, a client chooses the variable in capitals: it is
            // his header `Proxy`.
            let in_capitals = name.to_ascii_uppercase();
            let is_safe = name != "http_proxy" || variable("REQUEST_METHOD").is_none();
            [Some(name), Some(in_capitals.as_str()).filter(|_| is_safe)]
                .into_iter()
                .flatten()
                .find_map(|name| {
                    let value = variable(name)?;
                    let value = value.trim();
                    (!value.is_empty()).then(|| (name.to_owned(), value.to_owned()))
                })
        };
        let mut userinfo: Option<Credentials> = None;
        let mut endpoint = |scheme: &str| {
            let Some((name, value)) = find(scheme).or_else(|| find("all_proxy")) else {
                return Ok(None);
            };
            let wrong = |why: String| format!("the environment variable {name}: {why}");
            let (endpoint, own) = parse_variable(&value).map_err(wrong)?;
            if let Some(own) = own {
                if userinfo.as_ref().is_some_and(|other| *other != own) {
                    let why = "another user name or password than for other proxies";
                    return Err(wrong(why.to_owned()));
                }
                userinfo = Some(own);
            }
            Ok(Some(endpoint))
        };
        let environment = Environment {
            http: endpoint("http_proxy")?,
            https: endpoint("https_proxy")?,
            direct: find("no_proxy").map_or_else(Vec::new, |(_, value)| {
                value
                    .split([',', ' ', '\t'])
                    .filter_map(parse_direct)
                    .collect()
            }),
        };
        let both = Self {
            environment,
            ..self
        };
        Ok((both, userinfo))
    }

    /// All proxies of the list.
    pub(super) fn endpoints(&self) -> impl Iterator<Item = &ProxyEndpoint> {
        self.list.iter().map(|entry| &entry.endpoint)
    }

    /// The proxies to try for `url`, in order; none: go direct.
    pub(super) fn for_url(&self, url: &Url) -> Vec<ProxyEndpoint> {
        let host = url.host_str().unwrap_or("").to_ascii_lowercase();
        let host = host.trim_matches(['[', ']']);
        let host = host.strip_suffix('.').unwrap_or(host);
        let port = url.port_or_known_default();
        let environment = &self.environment;
        if environment.direct.iter().any(|one| one.matches(host, port)) {
            return Vec::new();
        }
        let named = match url.scheme() {
            "https" => &environment.https,
            _ => &environment.http,
        };
        if let Some(endpoint) = named {
            return vec![endpoint.clone()];
        }
        if self.bypass.iter().any(|pattern| pattern.matches(host)) {
            return Vec::new();
        }
        self.list
            .iter()
            .filter(|entry| {
                entry
                    .scheme
                    .as_deref()
                    .is_none_or(|scheme| scheme == url.scheme())
            })
            .map(|entry| entry.endpoint.clone())
            .collect()
    }
}

impl Direct {
    fn matches(&self, host: &str, port: Option<u16>) -> bool {
        match self {
            Self::Any => true,
            Self::Domain(name, own_port) => {
                let is_below = || {
                    host.strip_suffix(name.as_str())
                        .is_some_and(|rest| rest.ends_with('.'))
                };
                own_port.is_none_or(|own| Some(own) == port) && (host == name || is_below())
            }
            Self::Network(network) => host
                .parse::<IpAddr>()
                .is_ok_and(|address| network.contains(address.to_canonical())),
        }
    }
}

impl Pattern {
    fn matches(&self, host: &str) -> bool {
        match self {
            Self::Local => !host.contains(['.', ':']),
            Self::Any => true,
            Self::End(end) => host.ends_with(end),
            Self::Whole(name) => host == name,
            Self::Network(network) => host
                .parse::<IpAddr>()
                .is_ok_and(|address| network.contains(address.to_canonical())),
        }
    }
}

fn parse_entry(text: &str) -> Result<Entry, ProxyError> {
    let (scheme, rest) = match text.split_once('=') {
        Some((scheme, rest)) => (Some(scheme.to_ascii_lowercase()), rest),
        None => (None, text),
    };
    let unsupported = |why: &str| Err(ProxyError::Unsupported(format!("`{text}`: {why}")));
    match scheme.as_deref() {
        None | Some("http" | "https") => {}
        Some("socks") => return unsupported(NO_SOCKS),
        Some(_) => return unsupported("only http= and https= are supported"),
    }
    let endpoint = parse_endpoint(rest).map_err(|error| match error {
        ProxyError::Unsupported(why) => ProxyError::Unsupported(format!("`{text}`: {why}")),
        ProxyError::Malformed(_) => ProxyError::Malformed(format!(
            "`{text}` is no [protocol=][protocol://]server[:port]"
        )),
    })?;
    Ok(Entry { scheme, endpoint })
}

/// `[protocol://]server[:port]`.
fn parse_endpoint(text: &str) -> Result<ProxyEndpoint, ProxyError> {
    let unsupported = |why: &str| Err(ProxyError::Unsupported(why.to_owned()));
    let lower = text.to_ascii_lowercase();
    if is_script(&lower) {
        return unsupported(
            "proxy scripts (PAC) and their discovery (WPAD) are not supported: name the proxy",
        );
    }
    let address = match lower.split_once("://") {
        Some(("http", address)) => address,
        Some((protocol, _)) if protocol.starts_with("socks") => return unsupported(NO_SOCKS),
        Some(_) => return unsupported("only proxies that speak http:// are supported"),
        None => lower.as_str(),
    };
    let wrong = || ProxyError::Malformed("no server and port".to_owned());
    let url = Url::parse(&format!("http://{address}")).map_err(|_| wrong())?;
    let bare = url.path() == "/"
        && url.query().is_none()
        && url.fragment().is_none()
        && url.username().is_empty()
        && url.password().is_none();
    let host = url
        .host_str()
        .filter(|host| bare && !host.is_empty())
        .ok_or_else(wrong)?;
    Ok(ProxyEndpoint {
        host: host.trim_matches(['[', ']']).to_owned(),
        port: url.port().unwrap_or(80),
    })
}

/// Is it the address of a script rather than of a proxy?
fn is_script(text: &str) -> bool {
    let path = text.split(['?', '#']).next().unwrap_or(text);
    let is_file = path.contains('/')
        && [".pac", ".dat", ".js"]
            .iter()
            .any(|extension| path.ends_with(extension));
    is_file || matches!(text, "wpad" | "autoconfig" | "autodetect") || text.starts_with("pac+")
}

/// A proxy as a variable of the environment names it, with user name and
/// password or without. The variable is never repeated: it may hold one.
fn parse_variable(value: &str) -> Result<(ProxyEndpoint, Option<Credentials>), String> {
    let whole = if value.contains("://") {
        value.to_owned()
    } else {
        format!("http://{value}")
    };
    let mut bare = whole.clone();
    let mut userinfo = None;
    if whole
        .get(..7)
        .is_some_and(|start| start.eq_ignore_ascii_case("http://"))
    {
        let read = remote::parse(&whole).map_err(|failure| failure.detail)?;
        userinfo = read.userinfo.map(|own| Credentials {
            target: AuthTarget::Proxy,
            ..own
        });
        bare = read.url;
    }
    // `curl` and others take a path, and leave it out.
    let bare = bare.strip_suffix('/').unwrap_or(&bare);
    match parse_endpoint(bare) {
        Ok(endpoint) => Ok((endpoint, userinfo)),
        Err(error) => Err(error.to_string()),
    }
}

/// One of `no_proxy`. What is none of them names no host.
fn parse_direct(text: &str) -> Option<Direct> {
    if text == "*" {
        return Some(Direct::Any);
    }
    let text = text.to_ascii_lowercase();
    if let Ok(network) = Network::try_from(text.replace(['[', ']'], "")) {
        return Some(Direct::Network(network));
    }
    let (name, port) = match text.rsplit_once(':') {
        Some((name, port)) => (name, Some(port.parse().ok()?)),
        None => (text.as_str(), None),
    };
    let name = name.strip_prefix('*').unwrap_or(name);
    let name = name.trim_matches('.');
    (!name.is_empty()).then(|| Direct::Domain(name.to_owned(), port))
}

fn parse_pattern(text: &str) -> Result<Pattern, String> {
    let text = text.to_ascii_lowercase();
    if text == "<local>" {
        return Ok(Pattern::Local);
    }
    if let Ok(network) = Network::try_from(text.replace(['[', ']'], "")) {
        return Ok(Pattern::Network(network));
    }
    let (end, is_end) = match text.strip_prefix('*') {
        Some("") => return Ok(Pattern::Any),
        Some(end) => (end, true),
        None => (text.as_str(), false),
    };
    if end.contains(['*', '<', '>', '/']) {
        return Err(format!(
            "`{text}` is no host pattern: * may stand at the left end only"
        ));
    }
    let end = end.strip_suffix('.').unwrap_or(end);
    Ok(if is_end {
        Pattern::End(end.to_owned())
    } else {
        Pattern::Whole(end.to_owned())
    })
}

const NO_SOCKS: &str = "SOCKS proxies are not supported";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn chosen(list: &str, bypass: &str, url: &str) -> Vec<String> {
        Proxies::parse(list, bypass)
            .expect("valid lists")
            .for_url(&Url::parse(url).expect("valid URL"))
            .into_iter()
            .map(|endpoint| format!("{}:{}", endpoint.host, endpoint.port))
            .collect()
    }

    #[test]
    fn proxies_come_in_the_order_of_the_list_by_protocol() {
        let list = "http=one https=http://two:8080 three:1 http://[2001:db8::1]:3";
        assert_eq!(
            chosen(list, "", "http://h/"),
            ["one:80", "three:1", "2001:db8::1:3"]
        );
        assert_eq!(
            chosen(list, "", "https://h/"),
            ["two:8080", "three:1", "2001:db8::1:3"]
        );
        assert!(chosen("", "", "http://h/").is_empty());
    }

    #[test]
    fn hosts_that_match_go_direct() {
        for (bypass, host, direct) in [
            ("<local>", "intranet", true),
            ("<local>", "intranet.example", false),
            ("*.example.com", "a.example.com", true),
            ("*.example.com", "example.com", false),
            ("*.Example.com", "A.eXample.com", true),
            ("example.com", "a.example.com", false),
            ("x <local> 10.*", "y", true),
            ("*", "anything.at.all", true),
            ("example.com", "example.com.", true),
            ("192.0.2.1", "0xC0000201", true),
            ("192.0.2.0/24", "192.0.2.77", true),
            ("192.0.2.0/24", "192.0.3.77", false),
            ("[2001:db8::1]", "[2001:db8:0::1]", true),
            ("2001:db8::/32", "[2001:db8:7::1]", true),
        ] {
            let Ok(proxies) = Proxies::parse("p", bypass) else {
                assert!(bypass.contains("10.*"));
                continue;
            };
            let url = Url::parse(&format!("http://{host}/")).expect("valid");
            assert_eq!(proxies.for_url(&url).is_empty(), direct, "{bypass} {host}");
        }
    }

    #[test]
    fn what_is_no_proxy_is_refused() {
        for text in [
            "socks=x",
            "ftp=x",
            "https://x",
            "x:99999",
            "http=",
            "u:p@x",
            "x/y",
            "http://",
        ] {
            assert!(Proxies::parse(text, "").is_err(), "{text}");
        }
    }

    #[test]
    fn scripts_and_other_kinds_of_proxy_are_told_from_mistakes() {
        for text in [
            "http://wpad.example/wpad.dat",
            "http://intranet/proxy.pac",
            "HTTP://Intranet/Proxy.PAC?x=1",
            "http=http://intranet/proxy.pac",
            "autoconfig",
            "wpad",
            "pac+http://x",
            "socks=x:1080",
            "socks5://x:1080",
            "socks5h://x",
            "https://x",
            "ftp=x",
        ] {
            assert!(
                matches!(Proxies::parse(text, ""), Err(ProxyError::Unsupported(_))),
                "{text}"
            );
        }
        for text in ["x:99999", "http=", "u:p@x", "x/y", "http://"] {
            assert!(
                matches!(Proxies::parse(text, ""), Err(ProxyError::Malformed(_))),
                "{text}"
            );
        }
    }

    fn automatic(
        variables: &[(&str, &str)],
        list: &str,
    ) -> Result<(Proxies, Option<Credentials>), String> {
        let find = |name: &str| {
            let found = variables.iter().find(|(own, _)| *own == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        Proxies::parse(list, "*.direct.example")
            .expect("valid lists")
            .behind_environment(find)
    }

    fn led(proxies: &Proxies, url: &str) -> String {
        let found = proxies.for_url(&Url::parse(url).expect("valid"));
        let found: Vec<_> = found
            .into_iter()
            .map(|one| format!("{}:{}", one.host, one.port))
            .collect();
        found.join(" ")
    }

    #[test]
    fn the_environment_goes_before_the_list() {
        let none = automatic(&[], "list:1").expect("usable").0;
        assert_eq!(led(&none, "http://h/"), "list:1");
        assert_eq!(led(&none, "http://a.direct.example/"), "");
        let one = automatic(&[("http_proxy", "http://env:2/")], "list:1");
        let one = one.expect("usable").0;
        assert_eq!(led(&one, "http://h/"), "env:2");
        assert_eq!(led(&one, "https://h/"), "list:1");
        let all = automatic(
            &[
                ("ALL_PROXY", "all:3"),
                ("HTTPS_PROXY", "big:4"),
                ("https_proxy", "small:5"),
                ("http_proxy", ""),
            ],
            "",
        );
        let all = all.expect("usable").0;
        assert_eq!(led(&all, "http://h/"), "all:3");
        assert_eq!(led(&all, "https://h/"), "small:5");
        // A client of a CGI program sets it.
        for (method, led_to) in [(None, "evil:1"), (Some("GET"), "")] {
            let mut variables = vec![("HTTP_PROXY", "evil:1")];
            variables.extend(method.map(|method| ("REQUEST_METHOD", method)));
            let proxies = automatic(&variables, "").expect("usable").0;
            assert_eq!(led(&proxies, "http://h/"), led_to);
        }
    }

    #[test]
    fn hosts_of_no_proxy_go_direct() {
        let proxies = automatic(
            &[
                ("all_proxy", "p:1"),
                (
                    "no_proxy",
                    "localhost, .a.example,*.b.example c.example:8080,192.0.2.0/24,::1,[2001:db8::1]",
                ),
            ],
            "",
        );
        let proxies = proxies.expect("usable").0;
        for (url, direct) in [
            ("http://localhost/", true),
            ("http://x.localhost/", true),
            ("http://a.example/", true),
            ("http://x.A.example./", true),
            ("http://xa.example/", false),
            ("https://x.b.example/", true),
            ("http://c.example/", false),
            ("http://c.example:8080/", true),
            ("http://192.0.2.9/", true),
            ("http://0xC0000209/", true),
            ("http://192.0.3.9/", false),
            ("http://[::1]/", true),
            ("http://[2001:db8::1]/", true),
            ("http://other.example/", false),
        ] {
            assert_eq!(led(&proxies, url).is_empty(), direct, "{url}");
        }
        let proxies = automatic(&[("all_proxy", "p:1"), ("NO_PROXY", "*")], "l:2");
        assert_eq!(led(&proxies.expect("usable").0, "http://h/"), "");
    }

    #[test]
    fn a_password_in_the_environment_is_for_the_proxies_and_never_shown() {
        let (proxies, userinfo) =
            automatic(&[("http_proxy", "http://us%40er:p%20w@p:3128")], "").expect("usable");
        assert_eq!(led(&proxies, "http://h/"), "p:3128");
        let userinfo = userinfo.expect("there");
        assert_eq!(userinfo.target, AuthTarget::Proxy);
        assert_eq!(userinfo.user.reveal(), "us@er");
        assert_eq!(userinfo.password.reveal(), "p w");
        for value in [
            "socks5://user:hidden@p:1",
            "http://user:hidden@p:99999",
            "http://user:hidden@/",
            "https://user:hidden@p",
            "http://user:hidden@p/x.pac",
        ] {
            let why = automatic(&[("all_proxy", value)], "").expect_err(value);
            assert!(
                why.contains("all_proxy") && !why.contains("hidden"),
                "{why}"
            );
        }
        let two = [
            ("http_proxy", "http://a:b@p"),
            ("https_proxy", "http://c:d@q"),
        ];
        assert!(automatic(&two, "").is_err());
    }

    proptest! {
        #[test]
        fn any_lists_are_read_or_refused(list in ".*", bypass in ".*") {
            let _ = Proxies::parse(&list, &bypass);
            let _ = Proxies::default().behind_environment(|name| {
                Some(if name == "no_proxy" { bypass.clone() } else { list.clone() })
            });
        }
    }
}
