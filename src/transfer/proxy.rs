//! Which proxy a request goes through (BITS reference, "Proxy"). Pure.

use url::Url;

/// The proxies of a job and the hosts that it reaches without them.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Proxies {
    list: Vec<Entry>,
    bypass: Vec<Pattern>,
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
}

impl Proxies {
    /// Reads both lists: `[protocol=][protocol://]server[:port]`, and host
    /// patterns with `*` at the left end only, or `<local>`.
    ///
    /// # Errors
    ///
    /// What is wrong with which entry.
    pub(super) fn parse(list: &str, bypass: &str) -> Result<Self, String> {
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
                .map(|entry| parse_pattern(entry))
                .collect::<Result<_, _>>()?,
        })
    }

    /// These, unless there are none: a job that is to go through a proxy does
    /// not go without.
    ///
    /// # Errors
    ///
    /// That there are none.
    pub(super) fn if_any(self) -> Result<Self, String> {
        if self.list.is_empty() {
            return Err("the list is empty".to_owned());
        }
        Ok(self)
    }

    /// The proxies to try for `url`, in order; none: go direct.
    pub(super) fn for_url(&self, url: &Url) -> Vec<ProxyEndpoint> {
        let host = url.host_str().unwrap_or("").to_ascii_lowercase();
        if self.bypass.iter().any(|pattern| pattern.matches(&host)) {
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

impl Pattern {
    fn matches(&self, host: &str) -> bool {
        match self {
            Self::Local => !host.contains(['.', ':']),
            Self::Any => true,
            Self::End(end) => host.ends_with(end),
            Self::Whole(name) => host == name,
        }
    }
}

fn parse_entry(text: &str) -> Result<Entry, String> {
    let wrong = || format!("`{text}` is no [protocol=][protocol://]server[:port]");
    let (scheme, rest) = match text.split_once('=') {
        Some((scheme, rest)) => (Some(scheme.to_ascii_lowercase()), rest),
        None => (None, text),
    };
    if scheme
        .as_deref()
        .is_some_and(|scheme| !matches!(scheme, "http" | "https"))
    {
        return Err(format!("`{text}`: only http= and https= are supported"));
    }
    let address = match rest.split_once("://") {
        Some((protocol, address)) if protocol.eq_ignore_ascii_case("http") => address,
        Some(_) => {
            return Err(format!(
                "`{text}`: only proxies that speak http:// are supported"
            ));
        }
        None => rest,
    };
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
    Ok(Entry {
        scheme,
        endpoint: ProxyEndpoint {
            host: host.trim_matches(['[', ']']).to_owned(),
            port: url.port().unwrap_or(80),
        },
    })
}

fn parse_pattern(text: &str) -> Result<Pattern, String> {
    let text = text.to_ascii_lowercase();
    if text == "<local>" {
        return Ok(Pattern::Local);
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
    Ok(if is_end {
        Pattern::End(end.to_owned())
    } else {
        Pattern::Whole(end.to_owned())
    })
}

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

    proptest! {
        #[test]
        fn any_lists_are_read_or_refused(list in ".*", bypass in ".*") {
            let _ = Proxies::parse(&list, &bypass);
        }
    }
}
