//! Routes of the host as the kernel tells them (rtnetlink(7)): is there one
//! that leads anywhere else?
//!
//! Only decodes; [`super::network`] asks.

/// What a piece of the kernel's answer says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Said {
    /// There is a route that leads to another host.
    Usable,
    /// None so far; more may come.
    More,
    /// That was all.
    End,
}

/// The question for all routes.
pub(super) fn question() -> Vec<u8> {
    let length: u32 = 16 + 12;
    let mut octets = Vec::new();
    octets.extend_from_slice(&length.to_ne_bytes());
    octets.extend_from_slice(&RTM_GETROUTE.to_ne_bytes());
    octets.extend_from_slice(&NLM_F_REQUEST_DUMP.to_ne_bytes());
    // Sequence, port, and a `struct rtmsg` that names no route.
    octets.resize(length as usize, 0);
    octets
}

/// Reads a piece of the answer.
pub(super) fn read(mut octets: &[u8]) -> Said {
    while let Some((length, kind)) = header(octets) {
        let Some(message) = octets.get(16..length) else {
            return Said::End;
        };
        match kind {
            NLMSG_DONE | NLMSG_ERROR => return Said::End,
            RTM_NEWROUTE if is_usable(message) => return Said::Usable,
            _ => {}
        }
        octets = octets.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Said::More
}

/// Length and type of the message at the start.
fn header(octets: &[u8]) -> Option<(usize, u16)> {
    let length = usize::try_from(u32::from_ne_bytes(*octets.first_chunk()?)).ok()?;
    let kind = u16::from_ne_bytes(*octets.get(4..)?.first_chunk()?);
    (length >= 16).then_some((length, kind))
}

/// A route to other hosts over a link that is up, and not only to those on the
/// link itself by addresses that nobody was given.
fn is_usable(message: &[u8]) -> bool {
    let Some(((family, kind), flags)) = message
        .first()
        .zip(message.get(7))
        .zip(message.get(8..).and_then(<[u8]>::first_chunk))
    else {
        return false;
    };
    let flags = u32::from_ne_bytes(*flags);
    if *kind != RTN_UNICAST || flags & (RTNH_F_DEAD | RTNH_F_LINKDOWN) != 0 {
        return false;
    }
    let mut has_way = false;
    for (kind, value) in Attributes(message.get(12..).unwrap_or_default()) {
        match kind {
            RTA_DST if is_link_local(*family, value) => return false,
            RTA_OIF if value.first_chunk() == Some(&LOOPBACK.to_ne_bytes()) => return false,
            RTA_OIF | RTA_MULTIPATH | RTA_NH_ID => has_way = true,
            _ => {}
        }
    }
    has_way
}

fn is_link_local(family: u8, destination: &[u8]) -> bool {
    match (family, destination) {
        (AF_INET, [169, 254, ..]) | (AF_INET6, [0xFF, ..]) => true,
        (AF_INET6, [0xFE, second, ..]) => second & 0xC0 == 0x80,
        _ => false,
    }
}

/// The attributes of a message, type and value.
struct Attributes<'a>(&'a [u8]);

impl<'a> Iterator for Attributes<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let length = usize::from(u16::from_ne_bytes(*self.0.first_chunk()?));
        let kind = u16::from_ne_bytes(*self.0.get(2..)?.first_chunk()?);
        let value = self.0.get(4..length)?;
        self.0 = self.0.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind & 0x3FFF, value))
    }
}

const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const RTM_NEWROUTE: u16 = 24;
const RTM_GETROUTE: u16 = 26;
const NLM_F_REQUEST_DUMP: u16 = 0x301;
const RTN_UNICAST: u8 = 1;
const RTNH_F_DEAD: u32 = 1;
const RTNH_F_LINKDOWN: u32 = 16;
const RTA_DST: u16 = 1;
const RTA_OIF: u16 = 4;
const RTA_MULTIPATH: u16 = 9;
const RTA_NH_ID: u16 = 30;
const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;

/// The loopback link is the first in every network namespace.
const LOOPBACK: u32 = 1;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn message(kind: u16, body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(16 + body.len()).expect("short");
        let mut octets = length.to_ne_bytes().to_vec();
        octets.extend_from_slice(&kind.to_ne_bytes());
        octets.resize(16, 0);
        octets.extend_from_slice(body);
        octets.resize(octets.len().next_multiple_of(4), 0);
        octets
    }

    fn route(family: u8, kind: u8, flags: u32, attributes: &[(u16, &[u8])]) -> Vec<u8> {
        let mut body = vec![family, 0, 0, 0, 254, 0, 0, kind];
        body.extend_from_slice(&flags.to_ne_bytes());
        for (kind, value) in attributes {
            let length = u16::try_from(4 + value.len()).expect("short");
            body.extend_from_slice(&length.to_ne_bytes());
            body.extend_from_slice(&kind.to_ne_bytes());
            body.extend_from_slice(value);
            body.resize(body.len().next_multiple_of(4), 0);
        }
        message(RTM_NEWROUTE, &body)
    }

    #[test]
    fn a_route_over_a_link_that_is_up_is_one() {
        let (lo, eth) = (1_u32.to_ne_bytes(), 2_u32.to_ne_bytes());
        let over = |link| route(AF_INET, RTN_UNICAST, 0, &[(RTA_OIF, link)]);
        let local: &[u8] = &[0xFE, 0x80, 0, 0];
        for (octets, said) in [
            (over(&eth), Said::Usable),
            (over(&lo), Said::More),
            (
                route(AF_INET, RTN_UNICAST, RTNH_F_LINKDOWN, &[(RTA_OIF, &eth)]),
                Said::More,
            ),
            (route(AF_INET, 2, 0, &[(RTA_OIF, &eth)]), Said::More),
            (
                route(
                    AF_INET6,
                    RTN_UNICAST,
                    0,
                    &[(RTA_DST, local), (RTA_OIF, &eth)],
                ),
                Said::More,
            ),
            (message(NLMSG_DONE, &[0; 4]), Said::End),
            ([over(&lo), over(&eth)].concat(), Said::Usable),
            (
                [over(&lo), message(NLMSG_DONE, &[0; 4])].concat(),
                Said::End,
            ),
        ] {
            assert_eq!(read(&octets), said);
        }
    }

    proptest! {
        #[test]
        fn arbitrary_octets_are_read_to_an_end(octets in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(&octets);
            let _ = read(&route(AF_INET, RTN_UNICAST, 0, &[(RTA_OIF, &octets)]));
        }
    }
}
