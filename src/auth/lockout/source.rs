//! Where log-ons come from.

use std::fmt;
use std::net::IpAddr;
use std::net::Ipv6Addr;
use std::str::FromStr;

use serde::Deserialize;
use serde::Serialize;

/// Where log-ons come from, as far as they are told apart.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(in super::super) enum Source {
    /// The host itself: any loopback address.
    Console,
    /// An IPv4 address, or the first one of an IPv6 /64, which belongs to one
    /// host.
    Host(IpAddr),
}

impl Source {
    /// That of an address.
    pub(in super::super) fn of(address: IpAddr) -> Self {
        if address.to_canonical().is_loopback() {
            return Self::Console;
        }
        Self::Host(network(address))
    }
}

/// What counts as one address: an IPv6 /64 belongs to one host.
pub(crate) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64)))
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Console => f.write_str("console"),
            Self::Host(IpAddr::V4(address)) => write!(f, "{address}"),
            Self::Host(IpAddr::V6(address)) => write!(f, "{address}/64"),
        }
    }
}

/// A text that is no source.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is no address")]
pub(in super::super) struct NoSource(String);

impl FromStr for Source {
    type Err = NoSource;

    /// As it is displayed; any address stands for its source.
    fn from_str(text: &str) -> Result<Self, NoSource> {
        if text == "console" {
            return Ok(Self::Console);
        }
        let address = text.strip_suffix("/64").unwrap_or(text);
        let address: IpAddr = address.parse().map_err(|_| NoSource(text.to_owned()))?;
        Ok(Self::of(address))
    }
}

impl Serialize for Source {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Source {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}
