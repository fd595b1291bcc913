//! Where a transfer may go.
//!
//! Asked for each address that a client gives or a server redirects to, and for
//! the address that a connection really goes to, on every hop: what a name says
//! today is never trusted. Pure.

use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::net::Ipv6Addr;
use std::sync::Arc;

use url::Host;
use url::Url;

use crate::config::HostPattern;
use crate::config::Network;
use crate::config::Scheme;
use crate::config::TransferSettings;

/// The fence around this host and its surroundings.
#[derive(Clone, Debug, Default)]
pub(super) struct Fence {
    sources: Arc<Sources>,
    allow: Arc<[Network]>,
    deny: Arc<[Network]>,
    /// Only these, of those that are left; none: all of them.
    reach: Option<Arc<[Network]>>,
}

/// Rules for what stands in a URL.
#[derive(Debug, Default)]
struct Sources {
    /// Empty: any.
    schemes: Vec<Scheme>,
    /// Empty: any.
    allow_hosts: Vec<HostPattern>,
    /// Goes before.
    deny_hosts: Vec<HostPattern>,
    /// Empty: any.
    allow_ports: Vec<u16>,
}

impl Fence {
    /// With what the administrator allows and denies.
    pub(super) fn new(settings: &TransferSettings) -> Self {
        Self {
            sources: Arc::new(Sources {
                schemes: settings.schemes.clone(),
                allow_hosts: settings.allow_hosts.clone(),
                deny_hosts: settings.deny_hosts.clone(),
                allow_ports: settings.allow_ports.clone(),
            }),
            allow: settings.allow_addresses.as_slice().into(),
            deny: settings.deny_addresses.as_slice().into(),
            reach: None,
        }
    }

    /// May a transfer ask for `url`, by what stands there? Its host may still
    /// lead to an address that is denied.
    ///
    /// # Errors
    ///
    /// Why not.
    pub(super) fn check_url(&self, url: &Url) -> Result<(), String> {
        let scheme = url.scheme();
        let is_scheme = |own: &Scheme| match own {
            Scheme::Http => scheme == "http",
            Scheme::Https => scheme == "https",
        };
        let schemes = &self.sources.schemes;
        if !schemes.is_empty() && !schemes.iter().any(is_scheme) {
            return Err(format!(
                "the scheme {scheme} is not allowed by setting transfer.schemes"
            ));
        }
        let host = url.host_str().unwrap_or("");
        self.check_host(host, url.port_or_known_default().unwrap_or(0))?;
        let address = match url.host() {
            Some(Host::Ipv4(address)) => IpAddr::V4(address),
            Some(Host::Ipv6(address)) => IpAddr::V6(address),
            Some(Host::Domain(_)) | None => return Ok(()),
        };
        self.check(address)
            .map_err(|why| format!("the address {address} is {why}"))
    }

    /// May a transfer name this host, a server or a proxy, and this port?
    ///
    /// # Errors
    ///
    /// Why not.
    pub(super) fn check_host(&self, host: &str, port: u16) -> Result<(), String> {
        let rules = &self.sources;
        let names = |patterns: &[HostPattern]| patterns.iter().any(|one| one.matches(host));
        if names(&rules.deny_hosts) {
            return Err(format!(
                "the host {host} is denied by setting transfer.deny_hosts"
            ));
        }
        if !rules.allow_hosts.is_empty() && !names(&rules.allow_hosts) {
            return Err(format!(
                "the host {host} is not allowed by setting transfer.allow_hosts"
            ));
        }
        if !rules.allow_ports.is_empty() && !rules.allow_ports.contains(&port) {
            return Err(format!(
                "the port {port} is not allowed by setting transfer.allow_ports"
            ));
        }
        Ok(())
    }

    /// The fence around those of its addresses that are in `reach`, for the
    /// jobs of one account.
    pub(super) fn within(&self, reach: Option<Arc<[Network]>>) -> Self {
        Self {
            reach,
            ..self.clone()
        }
    }

    /// May a transfer go to `address`?
    ///
    /// What is denied by setting stays denied; what is denied by kind may be
    /// allowed by setting. An IPv6 form of an IPv4 address is both. What is out
    /// of reach stays so: there only the form that the kernel takes for the
    /// IPv4 address itself is one, since the others lead through somebody else.
    ///
    /// # Errors
    ///
    /// Why not, to stand behind "the address is".
    pub(super) fn check(&self, address: IpAddr) -> Result<(), &'static str> {
        let inner = embedded(address).map(IpAddr::V4);
        let names = |networks: &[Network], address: IpAddr| {
            networks.iter().any(|network| network.contains(address))
        };
        if names(&self.deny, address) || inner.is_some_and(|inner| names(&self.deny, inner)) {
            return Err("denied by setting transfer.deny_addresses");
        }
        if let Some(reach) = &self.reach
            && !names(reach, address.to_canonical())
        {
            return Err("out of reach of its owner's jobs (setting access.roles)");
        }
        let Some(kind) = kind(address).or_else(|| inner.and_then(kind)) else {
            return Ok(());
        };
        if names(&self.allow, address) || inner.is_some_and(|inner| names(&self.allow, inner)) {
            return Ok(());
        }
        Err(kind)
    }
}

/// The IPv4 address inside an IPv6 one: mapped, compatible, translated
/// (RFC 6052, RFC 8215), 6to4, Teredo's client, ISATAP.
fn embedded(address: IpAddr) -> Option<Ipv4Addr> {
    let IpAddr::V6(address) = address else {
        return None;
    };
    let [s0, s1, s2, s3, s4, s5, s6, s7] = address.segments();
    let joined = |high: u16, low: u16| Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low));
    match (s0, s1, s2, s3, s4, s5) {
        // `::` and `::1` are IPv6 addresses of their own.
        (0, 0, 0, 0, 0, 0) if s6 == 0 && s7 <= 1 => None,
        (0, 0, 0, 0, 0, 0 | 0xFFFF)
        | (0, 0, 0, 0, 0xFFFF, 0)
        | (0x0064, 0xFF9B, 0 | 1, ..)
        | (_, _, _, _, 0 | 0x0200, 0x5EFE) => Some(joined(s6, s7)),
        (0x2002, high, low, ..) => Some(joined(high, low)),
        (0x2001, 0, ..) => Some(joined(!s6, !s7)),
        _ => None,
    }
}

/// Which kind of address it is that nothing outside needs.
fn kind(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(address) => kind_v4(address),
        IpAddr::V6(address) => kind_v6(address),
    }
}

fn kind_v4(address: Ipv4Addr) -> Option<&'static str> {
    if METADATA_V4.contains(&address) {
        Some("a metadata service")
    } else if address.octets()[0] == 0 {
        Some("unspecified")
    } else if address.is_loopback() {
        Some("loopback")
    } else if address.is_link_local() {
        Some("link-local")
    } else if address.is_multicast() {
        Some("multicast")
    } else if address.octets()[0] >= 240 {
        Some("broadcast or reserved")
    } else {
        None
    }
}

fn kind_v6(address: Ipv6Addr) -> Option<&'static str> {
    if address == METADATA_V6 {
        Some("a metadata service")
    } else if address.is_unspecified() {
        Some("unspecified")
    } else if address.is_loopback() {
        Some("loopback")
    } else if address.is_unicast_link_local() {
        Some("link-local")
    } else if address.segments()[0] & 0xFFC0 == 0xFEC0 {
        Some("site-local")
    } else if address.is_multicast() {
        Some("multicast")
    } else {
        None
    }
}

/// Of the clouds: most use the first.
const METADATA_V4: [Ipv4Addr; 3] = [
    Ipv4Addr::new(169, 254, 169, 254),
    Ipv4Addr::new(100, 100, 100, 200),
    Ipv4Addr::new(192, 0, 0, 192),
];

const METADATA_V6: Ipv6Addr = Ipv6Addr::new(0xFD00, 0x0EC2, 0, 0, 0, 0, 0, 0x0254);

#[cfg(test)]
mod tests {
    use super::*;

    fn network(text: &str) -> Network {
        Network::try_from(text.to_owned()).expect("valid")
    }

    fn address(text: &str) -> IpAddr {
        text.parse().expect("valid")
    }

    #[test]
    fn this_host_and_its_surroundings_are_denied_in_every_form() {
        let fence = Fence::default();
        for text in [
            "127.0.0.1",
            "127.8.8.8",
            "0.0.0.0",
            "0.1.2.3",
            "169.254.169.254",
            "169.254.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "240.0.0.1",
            "100.100.100.200",
            "::",
            "::1",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "fd00:ec2::254",
            "::ffff:127.0.0.1",
            "::127.0.0.1",
            "::ffff:0:127.0.0.1",
            "64:ff9b::127.0.0.1",
            "64:ff9b:1::169.254.169.254",
            "2002:7f00:0001::1",
            "2001:0:4136:e378:8000:63bf:80ff:fffe",
            "2001:db8::5efe:127.0.0.1",
        ] {
            assert!(fence.check(address(text)).is_err(), "{text}");
        }
        for text in [
            "192.0.2.1",
            "10.0.0.1",
            "2001:db8::1",
            "fd00::1",
            "64:ff9b::192.0.2.1",
        ] {
            assert_eq!(fence.check(address(text)), Ok(()), "{text}");
        }
    }

    #[test]
    fn a_rule_allows_what_it_names_and_denial_wins() {
        let fence = Fence::new(&TransferSettings {
            allow_addresses: vec![network("127.0.0.0/8")],
            deny_addresses: vec![network("127.0.0.2"), network("10.0.0.0/8")],
            ..TransferSettings::default()
        });
        assert_eq!(fence.check(address("127.0.0.1")), Ok(()));
        assert_eq!(fence.check(address("::ffff:127.0.0.1")), Ok(()));
        assert!(fence.check(address("127.0.0.2")).is_err());
        assert!(fence.check(address("::ffff:127.0.0.2")).is_err());
        assert!(fence.check(address("10.1.1.1")).is_err());
        assert!(fence.check(address("::1")).is_err());
        assert!(fence.check(address("169.254.169.254")).is_err());
    }

    #[test]
    fn who_has_a_reach_gets_no_further_and_through_no_gate() {
        let reach: Option<Arc<[Network]>> = Some(Arc::from([
            Network::try_from("10.0.0.0/8".to_owned()).expect("a network"),
            Network::try_from("127.0.0.1".to_owned()).expect("an address"),
            Network::try_from("2001:db8::/32".to_owned()).expect("a network"),
        ]));
        let fence = Fence::new(&TransferSettings {
            deny_addresses: vec![network("10.9.0.0/16")],
            ..TransferSettings::default()
        });
        let within = fence.within(reach);
        for text in ["10.1.1.1", "::ffff:10.1.1.1", "2001:db8::1"] {
            assert_eq!(within.check(address(text)), Ok(()), "{text}");
        }
        for text in [
            "11.1.1.1",
            "::ffff:11.1.1.1",
            "2001:db9::1",
            // Denied, or of a kind that only a setting for all jobs allows.
            "10.9.1.1",
            "127.0.0.1",
            "169.254.169.254",
            // 6to4, Teredo and NAT64 of an address in reach.
            "2002:a01:101::1",
            "2001:0:1:1:0:0:f5fe:fefe",
            "64:ff9b::a01:101",
        ] {
            assert!(within.check(address(text)).is_err(), "{text}");
        }
        assert!(
            fence
                .within(Some(Arc::from([])))
                .check(address("10.1.1.1"))
                .is_err()
        );
        assert_eq!(fence.within(None).check(address("11.1.1.1")), Ok(()));
    }

    fn pattern(text: &str) -> HostPattern {
        HostPattern::try_from(text.to_owned()).expect("valid")
    }

    fn is_allowed(fence: &Fence, text: &str) -> bool {
        let remote = crate::transfer::remote::parse(text).expect(text);
        let url = Url::parse(&remote.url).expect("valid");
        fence.check_url(&url).is_ok()
    }

    #[test]
    fn an_address_is_seen_in_every_notation_of_a_url() {
        let fence = Fence::default();
        for text in [
            "http://127.0.0.1/",
            "http://127.1/",
            "http://0x7f.1/",
            "http://0X7F000001/",
            "http://2130706433/",
            "http://017700000001/",
            "http://0177.0.0.01/",
            "http://127.0.0.1./",
            "http://%31%32%37.0.0.1/",
            "http://\u{ff11}\u{ff12}\u{ff17}.0.0.1/",
            "http://127\u{3002}0\u{3002}0\u{3002}1/",
            "http://good.example@127.0.0.1/",
            "http://good.example:80@127.0.0.1:80/",
            "http://127.0.0.1#@good.example/",
            "http://127.0.0.1?@good.example/",
            "http://127.0.0.1\\@good.example/",
            "http:127.0.0.1/",
            "http:////127.0.0.1/",
            "http://[::1]/",
            "http://[0:0::0001]/",
            "http://[::ffff:7f00:1]/",
            "http://[::ffff:127.0.0.1]/",
            "http://[fe80::1]/",
            "http://[fd00:ec2::254]/",
            "http://169.254.169.254/latest",
            "http://0xA9FEA9FE/",
            "http://0/",
            "https://[::]/",
        ] {
            assert!(!is_allowed(&fence, text), "{text}");
        }
        for text in [
            "http://good.example\\@127.0.0.1/",
            "http://127.0.0.1@good.example/",
            "http://good.example#@127.0.0.1",
            "http://127.0.0.1.good.example/",
            "http://192.0.2.1/",
        ] {
            assert!(is_allowed(&fence, text), "{text}");
        }
        // With a zone, an address means something on this host only.
        for text in ["http://[fe80::1%25eth0]/", "http://[fe80::1%eth0]/"] {
            assert!(crate::transfer::remote::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn schemes_hosts_and_ports_have_rules_and_denial_wins() {
        let fence = Fence::new(&TransferSettings {
            schemes: vec![Scheme::Https],
            allow_hosts: vec![pattern("*.example.org"), pattern("192.0.2.1")],
            deny_hosts: vec![pattern("bad.example.org")],
            allow_ports: vec![443, 8_443],
            ..TransferSettings::default()
        });
        for (text, allowed) in [
            ("https://a.example.org/x", true),
            ("https://A.Example.Org./x", true),
            ("https://a.example.org:8443/x", true),
            ("https://192.0.2.1/", true),
            ("https://0xC0000201/", true),
            ("http://a.example.org/x", false),
            ("https://a.example.org:444/x", false),
            ("https://bad.example.org/", false),
            ("https://BAD.example.org./", false),
            ("https://example.org/", false),
            ("https://a.example.org.evil.example/", false),
            ("https://a.example.org@evil.example/", false),
        ] {
            assert_eq!(is_allowed(&fence, text), allowed, "{text}");
        }
        assert!(fence.check_host("proxy.example.org", 443).is_ok());
        assert!(fence.check_host("proxy.example.org", 3_128).is_err());
    }
}
