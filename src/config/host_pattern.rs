//! Patterns of hosts in the settings.

use std::net::IpAddr;

use serde::Deserialize;
use url::Host;

/// A host, or all hosts below a domain: `files.example.org`, `*.example.org`,
/// `192.0.2.1`, `2001:db8::1`.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(try_from = "String")]
pub struct HostPattern(Kind);

#[derive(Clone, Debug, Eq, PartialEq)]
enum Kind {
    /// This address, as a URL names it.
    Address(IpAddr),
    /// This name.
    Name(String),
    /// The names that end with this, its dot included.
    Below(String),
}

impl HostPattern {
    /// Does it name `host`, the host of a URL: in the form that `url` gives it,
    /// with or without the dot at the end of a full name and brackets?
    pub fn matches(&self, host: &str) -> bool {
        let host = host.trim_matches(['[', ']']);
        let host = host.strip_suffix('.').unwrap_or(host);
        match &self.0 {
            Kind::Address(address) => host
                .parse::<IpAddr>()
                .is_ok_and(|host| host.to_canonical() == *address),
            Kind::Name(name) => host.eq_ignore_ascii_case(name),
            Kind::Below(end) => {
                host.len() > end.len()
                    && host
                        .get(host.len() - end.len()..)
                        .is_some_and(|own| own.eq_ignore_ascii_case(end))
            }
        }
    }
}

impl TryFrom<String> for HostPattern {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let wrong = || {
            format!(
                "`{text}` is no host such as `files.example.org`, `*.example.org` or `192.0.2.1`"
            )
        };
        let (below, name) = match text.strip_prefix("*.") {
            Some(name) => (true, name),
            None => (false, text.as_str()),
        };
        if name.contains(['*', '/', '@', ' ']) {
            return Err(wrong());
        }
        if let Ok(address) = name.trim_matches(['[', ']']).parse::<IpAddr>() {
            let whole = Self(Kind::Address(address.to_canonical()));
            return if below { Err(wrong()) } else { Ok(whole) };
        }
        let name = name.strip_suffix('.').unwrap_or(name);
        match Host::parse(name) {
            Ok(Host::Domain(name)) if !name.is_empty() => Ok(Self(if below {
                Kind::Below(format!(".{name}"))
            } else {
                Kind::Name(name)
            })),
            Ok(_) | Err(_) => Err(wrong()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> Result<HostPattern, String> {
        HostPattern::try_from(text.to_owned())
    }

    #[test]
    fn a_pattern_names_a_host_in_all_its_forms_and_no_other() {
        for (text, host, is_named) in [
            ("files.example.org", "files.example.org", true),
            ("Files.Example.ORG", "files.example.org.", true),
            ("files.example.org.", "files.example.org", true),
            ("files.example.org", "example.org", false),
            ("files.example.org", "xfiles.example.org", false),
            ("*.example.org", "a.b.example.org", true),
            ("*.example.org", "a.example.org.", true),
            ("*.example.org", "example.org", false),
            ("*.example.org", "badexample.org", false),
            ("*.example.org", ".example.org", false),
            ("bücher.example", "xn--bcher-kva.example", true),
            ("*.bücher.example", "a.xn--bcher-kva.example", true),
            ("192.0.2.1", "192.0.2.1", true),
            ("192.0.2.1", "[::ffff:192.0.2.1]", true),
            ("2001:db8::1", "[2001:db8::1]", true),
            ("[2001:DB8:0::1]", "[2001:db8::1]", true),
            ("192.0.2.1", "192.0.2.10", false),
        ] {
            let read = pattern(text).expect(text);
            assert_eq!(read.matches(host), is_named, "{text} {host}");
        }
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        for text in [
            "",
            "*",
            "*.",
            "a*.example",
            "*.*.example",
            "http://host",
            "10.0.0.0/8",
            "*.192.0.2.1",
            "a b",
            "user@host",
            "host:80",
        ] {
            assert!(pattern(text).is_err(), "{text}");
        }
    }
}
