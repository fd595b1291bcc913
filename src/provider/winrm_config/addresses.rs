//! The addresses of this host, as the kernel lists them.

use std::io::Read as _;
use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::net::Ipv6Addr;
use std::net::SocketAddr;

/// The addresses at which sockets bound to `*` are reached. None where the
/// kernel does not say.
pub(super) fn of_this_host(sockets: &[SocketAddr]) -> Vec<IpAddr> {
    let mut all = Vec::new();
    if sockets.iter().any(SocketAddr::is_ipv4) {
        all.extend(
            ipv4(&read("/proc/net/fib_trie"))
                .into_iter()
                .map(IpAddr::V4),
        );
    }
    if sockets.iter().any(SocketAddr::is_ipv6) {
        all.extend(
            ipv6(&read("/proc/net/if_inet6"))
                .into_iter()
                .map(IpAddr::V6),
        );
    }
    all.truncate(MAX_ADDRESSES);
    all
}

/// The beginning of a list, empty where there is none.
fn read(path: &str) -> String {
    let mut text = String::new();
    if let Ok(file) = std::fs::File::open(path) {
        // What was read before an error counts.
        let _ = file.take(MAX_OCTETS).read_to_string(&mut text);
    }
    text
}

/// Routes of `/proc/net/fib_trie`: an address, and in the next line whose it
/// is. Each is there once for every table.
fn ipv4(text: &str) -> Vec<Ipv4Addr> {
    let mut found = Vec::new();
    let mut last = None;
    for line in text.lines() {
        if let Some((_, address)) = line.split_once("|-- ") {
            last = address.trim().parse().ok();
        } else if line.contains("/32 host LOCAL")
            && let Some(address) = last.take()
        {
            found.push(address);
        }
    }
    found.sort_unstable();
    found.dedup();
    found
}

/// Lines of `/proc/net/if_inet6`: 32 digits, then what is not of interest.
fn ipv6(text: &str) -> Vec<Ipv6Addr> {
    let mut found: Vec<_> = text
        .lines()
        .filter_map(|line| line.split_ascii_whitespace().next())
        .filter(|digits| digits.len() == 32)
        .filter_map(|digits| u128::from_str_radix(digits, 16).ok())
        .map(Ipv6Addr::from_bits)
        .collect();
    found.sort_unstable();
    found.dedup();
    found
}

/// A router has more routes than are worth a look at.
const MAX_OCTETS: u64 = 1_024 * 1_024;

/// Lines of one document.
const MAX_ADDRESSES: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_lists_are_read() {
        let trie = "Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 0.0.0.0\n        /0 universe UNICAST\n     \
            |-- 10.1.2.3\n        /32 host LOCAL\n     |-- 127.0.0.0\n        /8 host LOCAL\n     \
            |-- 127.0.0.1\n        /32 host LOCAL\nLocal:\n     |-- 10.1.2.3\n        /32 host LOCAL\n";
        assert_eq!(
            ipv4(trie),
            [Ipv4Addr::new(10, 1, 2, 3), Ipv4Addr::LOCALHOST]
        );
        let list = "00000000000000000000000000000001 01 80 10 80       lo\n\
            fe80000000000000021122fffe334455 02 40 20 80     eth0\nnonsense\n";
        let wanted: [Ipv6Addr; 2] =
            ["::1", "fe80::211:22ff:fe33:4455"].map(|a| a.parse().expect("an address"));
        assert_eq!(ipv6(list), wanted);
        assert!(ipv4("").is_empty() && ipv6("").is_empty());
    }
}
