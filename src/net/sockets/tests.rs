//! Addresses that come and go, with real sockets. That a connection outlives
//! its address is shown where requests are answered, in `http`.

use std::net::SocketAddr;
use std::net::TcpListener as StdListener;

use tokio::io::AsyncReadExt as _;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use super::*;
use crate::config::ServiceSettings;
use crate::config::Settings;
use crate::config::Transport;

struct Bench {
    _folder: tempfile::TempDir,
    sockets: Sockets,
    stop: CancellationToken,
    serving: JoinHandle<()>,
}

impl Bench {
    fn addresses(&self) -> Vec<SocketAddr> {
        addresses(&self.sockets)
    }

    /// Listens with TLS.
    async fn listen_on(&self, addresses: Vec<SocketAddr>) -> Result<(), Error> {
        self.sockets.listen_on(https(&addresses)).await
    }
}

fn addresses(sockets: &Sockets) -> Vec<SocketAddr> {
    let listening = sockets.listening().into_iter();
    listening.map(|one| one.address).collect()
}

fn https(addresses: &[SocketAddr]) -> Vec<Listening> {
    let over = |address: &SocketAddr| Listening {
        address: *address,
        transport: Transport::Https,
    };
    addresses.iter().map(over).collect()
}

fn listener(listen: Vec<SocketAddr>) -> (tempfile::TempDir, Listener) {
    let folder = tempfile::tempdir().expect("a folder");
    let service = ServiceSettings {
        listen,
        state_directory: folder.path().to_owned(),
        ..ServiceSettings::default()
    };
    let tls = Tls::load(&service).expect("a certificate");
    let current = Arc::new(Current::new(Settings {
        service,
        ..Settings::default()
    }));
    let listener = bind(&current, &tls).expect("bound");
    (folder, listener)
}

fn serve(listen: Vec<SocketAddr>) -> Bench {
    let (folder, listener) = listener(listen);
    let sockets = listener.sockets();
    let stop = CancellationToken::new();
    let serving = tokio::spawn(listener.serve(Router::new(), stop.clone()));
    Bench {
        _folder: folder,
        sockets,
        stop,
        serving,
    }
}

fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

/// Loopback, any port.
fn any() -> SocketAddr {
    address("127.0.0.1:0")
}

/// Loopback with a port that was free a moment ago.
fn free() -> SocketAddr {
    let socket = StdListener::bind(any()).expect("bound");
    socket.local_addr().expect("an address")
}

async fn is_open(address: SocketAddr) -> bool {
    TcpStream::connect(address).await.is_ok()
}

#[tokio::test]
async fn addresses_are_added_and_removed() {
    let bench = serve(vec![any()]);
    let first = bench.addresses()[0];
    assert!(is_open(first).await);
    let second = free();
    bench.listen_on(vec![first, second]).await.expect("both");
    assert_eq!(bench.addresses(), [first, second]);
    assert!(is_open(first).await && is_open(second).await);
    bench.listen_on(vec![second]).await.expect("one");
    assert_eq!(bench.addresses(), [second]);
    assert!(!is_open(first).await && is_open(second).await);
    bench.stop.cancel();
    bench.serving.await.expect("no panic");
    assert!(!is_open(second).await);
    assert!(bench.sockets.listening().is_empty());
    let late = bench.sockets.listen_on(https(&[first])).await;
    assert!(matches!(late, Err(Error::Stopping)), "{late:?}");
}

#[tokio::test]
async fn a_change_that_fails_leaves_everything_as_it_was() {
    let bench = serve(vec![any()]);
    let first = bench.addresses()[0];
    let held = StdListener::bind(any()).expect("bound");
    let taken = held.local_addr().expect("an address");
    let fine = free();
    for wanted in [
        vec![fine, taken],
        vec![first, fine, taken],
        vec![fine, fine],
        vec![address("192.0.2.1:5986")],
        Vec::new(),
    ] {
        let failed = bench.listen_on(wanted.clone()).await;
        assert!(failed.is_err(), "{wanted:?}");
        assert_eq!(bench.addresses(), [first]);
        assert!(is_open(first).await && !is_open(fine).await, "{wanted:?}");
    }
    let failed = bench.listen_on(vec![taken]).await;
    assert!(matches!(failed, Err(Error::InUse(at)) if at.address == taken));
    drop(held);
    bench.listen_on(vec![taken]).await.expect("free now");
    assert_eq!(bench.addresses(), [taken]);
}

#[tokio::test]
async fn a_stop_during_a_change_leaves_nothing_open() {
    // An address of its own, where no other test listens.
    let own = address("127.0.0.3:0");
    for pauses in 0..16 {
        let bench = serve(vec![own]);
        let first = bench.addresses()[0];
        let held = StdListener::bind(own).expect("bound");
        let second = held.local_addr().expect("an address");
        drop(held);
        let world = SocketAddr::new(address("0.0.0.0:0").ip(), first.port());
        let wanted = if pauses % 2 == 0 { second } else { world };
        let sockets = bench.sockets.clone();
        let change = tokio::spawn(async move { sockets.listen_on(https(&[wanted])).await });
        for _ in 0..pauses {
            tokio::task::yield_now().await;
        }
        bench.stop.cancel();
        bench.serving.await.expect("no panic");
        let changed = change.await.expect("no panic");
        // Another test may have the port on its own address of the host.
        let is_expected = matches!(changed, Ok(()) | Err(Error::Stopping | Error::InUse(_)));
        assert!(is_expected, "{changed:?}");
        assert!(bench.sockets.listening().is_empty());
        assert!(!is_open(first).await && !is_open(second).await);
    }
}

#[tokio::test]
async fn loopback_opens_to_the_world_on_the_same_port_and_back() {
    let bench = serve(vec![any()]);
    let own = bench.addresses()[0];
    let world = SocketAddr::new(address("0.0.0.0:0").ip(), own.port());
    bench.listen_on(vec![world]).await.expect("wider");
    assert_eq!(bench.addresses(), [world]);
    assert!(is_open(SocketAddr::new(address("127.0.0.2:0").ip(), own.port())).await);
    bench.listen_on(vec![own]).await.expect("narrower");
    assert_eq!(bench.addresses(), [own]);
    assert!(is_open(own).await);
    // What cannot be had gives the old one back.
    let held = StdListener::bind(SocketAddr::new(address("127.0.0.2:0").ip(), own.port()));
    let held = held.expect("another address of the port");
    let failed = bench.listen_on(vec![world]).await;
    assert!(matches!(failed, Err(Error::InUse(_))), "{failed:?}");
    assert_eq!(bench.addresses(), [own]);
    assert!(is_open(own).await);
    drop(held);
}

#[tokio::test]
async fn port_0_keeps_the_port_that_it_has() {
    let bench = serve(vec![any(), any()]);
    let both = bench.addresses();
    assert_ne!(both[0].port(), both[1].port());
    bench.listen_on(vec![any(), any()]).await.expect("the same");
    assert_eq!(bench.addresses(), both);
    bench
        .listen_on(vec![any(), both[0]])
        .await
        .expect("one by its port");
    assert_eq!(bench.addresses(), both);
    bench.listen_on(vec![any()]).await.expect("one");
    assert_eq!(bench.addresses(), [both[1]]);
    let more = bench.listen_on(vec![both[1], any()]).await;
    more.expect("another");
    assert_eq!(bench.addresses()[0], both[1]);
    assert_eq!(bench.addresses().len(), 2);
}

#[tokio::test]
async fn addresses_can_change_before_they_are_served() {
    let (_folder, listener) = listener(vec![any()]);
    let (sockets, other) = (listener.sockets(), free());
    sockets.listen_on(https(&[other])).await.expect("bound");
    assert_eq!(addresses(&sockets), [other]);
    let stop = CancellationToken::new();
    let serving = tokio::spawn(listener.serve(Router::new(), stop.clone()));
    assert!(is_open(other).await);
    serving.abort();
    let _ = serving.await;
    for _ in 0..100 {
        if !is_open(other).await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the port is still listened to");
}

#[tokio::test]
async fn an_address_goes_over_to_another_transport() {
    let bench = serve(vec![any()]);
    let own = bench.addresses()[0];
    let plain = Listening {
        address: own,
        transport: Transport::Http,
    };
    bench.sockets.listen_on(vec![plain]).await.expect("plain");
    assert_eq!(bench.sockets.listening(), [plain]);
    let mut stream = TcpStream::connect(own).await.expect("connected");
    stream
        .write_all(b"GET / HTTP/1.0\r\n\r\n")
        .await
        .expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("an answer");
    assert!(answer.starts_with("HTTP/1.0 404"), "{answer}");
    bench.listen_on(vec![own]).await.expect("with TLS again");
    assert_eq!(bench.sockets.listening(), https(&[own]));
}
