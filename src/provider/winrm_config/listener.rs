//! `winrm/config/listener`: the addresses of the settings. A listener at `*`
//! has a socket for IPv4 and one for IPv6.

use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::net::Ipv6Addr;
use std::net::SocketAddr;

use crate::config::Settings;
use crate::config::Transport;
use crate::document::Node;

use super::ConfigError;
use super::Keys;
use super::addresses;
use super::key;

/// One listener.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Listener {
    address: Address,
    transport: Transport,
    port: u16,
    /// As in the settings.
    sockets: Vec<SocketAddr>,
}

/// The key `Address`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Address {
    /// `*`
    Any,
    /// `IP:` and an address.
    Ip(IpAddr),
}

/// The listeners of the settings, in their order.
pub(super) fn all(settings: &Settings) -> Vec<Listener> {
    let mut all: Vec<Listener> = Vec::new();
    for one in settings.service.listening() {
        let (socket, transport) = (one.address, one.transport);
        let (address, port) = (Address::of(socket.ip()), socket.port());
        let same = all.iter_mut().find(|one| {
            address == Address::Any
                && (one.address, one.transport, one.port) == (address, transport, port)
        });
        match same {
            Some(listener) => listener.sockets.push(socket),
            None => all.push(Listener {
                address,
                transport,
                port,
                sockets: vec![socket],
            }),
        }
    }
    all
}

/// The listener with these keys.
///
/// # Errors
///
/// [`ConfigError::NotFound`], [`ConfigError::Ambiguous`] where the settings
/// listen at several ports of one address, [`ConfigError::Address`],
/// [`ConfigError::Transport`].
pub(super) fn find(settings: &Settings, keys: &Keys) -> Result<Listener, ConfigError> {
    let address = Address::parse(key(keys, ADDRESS))?;
    let transport = transport(key(keys, TRANSPORT))?;
    let mut found = all(settings)
        .into_iter()
        .filter(|listener| (listener.address, listener.transport) == (address, transport));
    let listener = found.next().ok_or(ConfigError::NotFound)?;
    if found.next().is_some() {
        return Err(ConfigError::Ambiguous(listener.words()));
    }
    Ok(listener)
}

/// A listener that is to be made.
///
/// # Errors
///
/// [`ConfigError`].
pub(super) fn create(
    settings: &Settings,
    keys: &Keys,
    given: &Node,
) -> Result<Listener, ConfigError> {
    let address = Address::parse(key(keys, ADDRESS))?;
    let transport = transport(key(keys, TRANSPORT))?;
    let port = port(given)?.unwrap_or(match transport {
        Transport::Http => HTTP,
        Transport::Https => HTTPS,
    });
    let ips: &[IpAddr] = match &address {
        Address::Any => &[
            IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        ],
        Address::Ip(ip) => std::slice::from_ref(ip),
    };
    let listener = Listener {
        address,
        transport,
        port,
        sockets: ips.iter().map(|ip| SocketAddr::new(*ip, port)).collect(),
    };
    if all(settings)
        .iter()
        .any(|other| (other.address, other.transport) == (address, transport))
    {
        return Err(ConfigError::Exists(listener.words()));
    }
    listener.check_keys(given)?;
    Ok(listener)
}

impl Listener {
    /// What a client sees of it.
    pub(super) fn document(&self, thumbprint: &str) -> Node {
        let mut children = vec![
            Node::leaf(ADDRESS, self.address.text()),
            Node::leaf(TRANSPORT, self.transport.to_string()),
            Node::leaf("Port", self.port.to_string()),
            Node::leaf("Hostname", ""),
            Node::leaf("Enabled", "true"),
            Node::leaf("URLPrefix", "wsman"),
            Node::leaf(
                "CertificateThumbprint",
                match self.transport {
                    Transport::Http => "",
                    Transport::Https => thumbprint,
                },
            ),
        ];
        let on = match self.address {
            Address::Ip(ip) => vec![ip],
            Address::Any => addresses::of_this_host(&self.sockets),
        };
        let on = on
            .iter()
            .map(|ip| Node::leaf("ListeningOn", ip.to_string()));
        children.extend(on);
        Node::branch("Listener", children)
    }

    /// Its keys.
    pub(super) fn keys(&self) -> Keys {
        vec![
            (ADDRESS.to_owned(), self.address.text()),
            (TRANSPORT.to_owned(), self.transport.to_string()),
        ]
    }

    /// Sets what `given` has.
    ///
    /// # Errors
    ///
    /// [`ConfigError`].
    pub(super) fn put(&self, given: &Node, settings: &mut Settings) -> Result<(), ConfigError> {
        self.check_keys(given)?;
        if let Some(port) = port(given)? {
            for socket in settings.service.addresses_mut(self.transport) {
                if self.sockets.contains(socket) {
                    socket.set_port(port);
                }
            }
        }
        Ok(())
    }

    /// The settings with it.
    pub(super) fn added_to(&self, settings: &Settings) -> Settings {
        let mut settings = settings.clone();
        let listen = settings.service.addresses_mut(self.transport);
        listen.extend(&self.sockets);
        settings
    }

    /// Takes it out of the settings.
    pub(super) fn remove_from(&self, settings: &mut Settings) {
        let listen = settings.service.addresses_mut(self.transport);
        listen.retain(|socket| !self.sockets.contains(socket));
    }

    /// The same for IPv4 only, if it is for both.
    pub(super) fn without_ipv6(&self) -> Option<Self> {
        let mut listener = self.clone();
        listener.sockets.retain(SocketAddr::is_ipv4);
        let is_other = !listener.sockets.is_empty() && listener.sockets != self.sockets;
        is_other.then_some(listener)
    }

    /// The keys in a document must be its own.
    fn check_keys(&self, given: &Node) -> Result<(), ConfigError> {
        if let Some(address) = given.value(ADDRESS)
            && Address::parse(address)? != self.address
        {
            return Err(ConfigError::KeyChanged(ADDRESS));
        }
        match given.value(TRANSPORT) {
            Some(text) if transport(text)? != self.transport => {
                Err(ConfigError::KeyChanged(TRANSPORT))
            }
            Some(_) | None => Ok(()),
        }
    }

    fn words(&self) -> String {
        format!(
            "Address={}, Transport={}",
            self.address.text(),
            self.transport
        )
    }
}

impl Address {
    fn of(ip: IpAddr) -> Self {
        if ip.is_unspecified() {
            Self::Any
        } else {
            Self::Ip(ip)
        }
    }

    fn parse(text: &str) -> Result<Self, ConfigError> {
        let text = text.trim();
        if text == "*" {
            return Ok(Self::Any);
        }
        let is_ip = text
            .get(..3)
            .is_some_and(|head| head.eq_ignore_ascii_case("IP:"));
        let ip = text.get(3..).filter(|_| is_ip);
        match ip.map(|ip| ip.trim_matches(['[', ']']).parse::<IpAddr>()) {
            Some(Ok(ip)) if !ip.is_unspecified() => Ok(Self::Ip(ip)),
            Some(Ok(_) | Err(_)) | None => {
                Err(ConfigError::Address(text.chars().take(MAX_WORD).collect()))
            }
        }
    }

    fn text(self) -> String {
        match self {
            Self::Any => "*".to_owned(),
            Self::Ip(ip) => format!("IP:{ip}"),
        }
    }
}

fn transport(text: &str) -> Result<Transport, ConfigError> {
    let text = text.trim();
    [Transport::Http, Transport::Https]
        .into_iter()
        .find(|transport| text.eq_ignore_ascii_case(&transport.to_string()))
        .ok_or_else(|| ConfigError::Transport(text.chars().take(MAX_WORD).collect()))
}

fn port(given: &Node) -> Result<Option<u16>, ConfigError> {
    let Some(text) = given.value("Port") else {
        return Ok(None);
    };
    text.parse().map(Some).map_err(|_| ConfigError::Value {
        name: "Port".to_owned(),
        reason: "must be a number from 1 to 65535".to_owned(),
    })
}

const ADDRESS: &str = "Address";
const TRANSPORT: &str = "Transport";

/// The port of a new listener that names none.
const HTTPS: u16 = 5986;
const HTTP: u16 = 5985;

/// Characters of a client's word that an error repeats.
const MAX_WORD: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(listen: &[&str]) -> Settings {
        let mut settings = Settings::default();
        settings.service.listen = listen
            .iter()
            .map(|address| address.parse().expect("an address"))
            .collect();
        settings
    }

    fn keys(address: &str, transport: &str) -> Keys {
        vec![
            (ADDRESS.to_owned(), address.to_owned()),
            (TRANSPORT.to_owned(), transport.to_owned()),
        ]
    }

    #[test]
    fn both_families_at_one_port_are_one_listener() {
        let settings = settings(&["0.0.0.0:5986", "127.0.0.1:7000", "[::]:5986", "[::]:7001"]);
        let all: Vec<_> = all(&settings)
            .iter()
            .map(|one| (one.address.text(), one.port, one.sockets.len()))
            .collect();
        let one = |address: &str, port, sockets| (address.to_owned(), port, sockets);
        assert_eq!(
            all,
            [
                one("*", 5986, 2),
                one("IP:127.0.0.1", 7000, 1),
                one("*", 7001, 1)
            ]
        );
    }

    #[test]
    fn a_listener_is_found_by_its_keys_in_any_way_to_write_them() {
        let settings = settings(&["[2001:db8::1]:5986", "127.0.0.1:1", "127.0.0.1:2"]);
        let found = find(&settings, &keys("ip:2001:DB8:0::1", "https"));
        assert_eq!(found.map(|one| one.port), Ok(5986));
        let found = |address, transport| find(&settings, &keys(address, transport));
        assert_eq!(found("*", "HTTPS"), Err(ConfigError::NotFound));
        assert_eq!(found("IP:2001:db8::1", "HTTP"), Err(ConfigError::NotFound));
        assert!(matches!(
            found("IP:127.0.0.1", "HTTPS"),
            Err(ConfigError::Ambiguous(_))
        ));
        for (address, transport) in [
            ("MAC:00-11-22-33-44-55", "HTTPS"),
            ("127.0.0.1", "HTTPS"),
            ("IP:0.0.0.0", "HTTPS"),
            ("é", "HTTPS"),
            ("*", "FTP"),
        ] {
            let refused = found(address, transport);
            assert!(
                matches!(
                    refused,
                    Err(ConfigError::Address(_) | ConfigError::Transport(_))
                ),
                "{address}"
            );
        }
    }

    #[test]
    fn a_new_port_is_that_of_every_socket_of_the_listener() {
        let mut new = settings(&["0.0.0.0:5986", "[::]:5986", "127.0.0.1:7000"]);
        let listener = find(&new, &keys("*", "HTTPS")).expect("there");
        let given = Node::branch("Listener", vec![Node::leaf("Port", "6000")]);
        listener.put(&given, &mut new).expect("set");
        assert_eq!(
            new,
            settings(&["0.0.0.0:6000", "[::]:6000", "127.0.0.1:7000"])
        );
    }
}
