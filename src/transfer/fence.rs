//! Which addresses a transfer may go to.
//!
//! Asked for the address that a connection really goes to, on every hop; names
//! are never trusted. Pure.

use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::net::Ipv6Addr;
use std::sync::Arc;

use crate::config::Network;

/// The fence around this host and its surroundings.
#[derive(Clone, Debug, Default)]
pub(super) struct Fence {
    allow: Arc<[Network]>,
    deny: Arc<[Network]>,
    /// Only these, of those that are left; none: all of them.
    reach: Option<Arc<[Network]>>,
}

impl Fence {
    /// With what the administrator allows and denies.
    pub(super) fn new(allow: &[Network], deny: &[Network]) -> Self {
        Self {
            allow: allow.into(),
            deny: deny.into(),
            reach: None,
        }
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
        let fence = Fence::new(
            &[network("127.0.0.0/8")],
            &[network("127.0.0.2"), network("10.0.0.0/8")],
        );
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
        let fence = Fence::new(
            &[],
            &[Network::try_from("10.9.0.0/16".to_owned()).expect("one")],
        );
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
}
