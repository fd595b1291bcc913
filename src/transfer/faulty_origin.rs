//! A scripted origin on loopback for tests: answers as it is told, rightly or
//! wrongly, and remembers what it was asked.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::Mutex;

use tokio::io::AsyncRead;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWrite;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// A request as it came.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    /// `GET` or `CONNECT`.
    pub(super) method: String,
    /// Path and query, or the whole URL when asked as a proxy.
    pub(super) target: String,
    /// By lower-case name.
    pub(super) headers: HashMap<String, String>,
    /// The body, as long as `Content-Length` says.
    pub(super) body: Vec<u8>,
    /// Which connection, from 0.
    pub(super) connection: usize,
    /// Which request, from 0.
    pub(super) number: usize,
}

impl Asked {
    /// A header.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    /// The first octet of the `Range`.
    pub(super) fn from(&self) -> Option<usize> {
        self.range().map(|(first, _)| first)
    }

    /// The first octet of the `Range`, and the last if it is there.
    pub(super) fn range(&self) -> Option<(usize, Option<usize>)> {
        let range = self.header("range")?.strip_prefix("bytes=")?;
        let (first, last) = range.split_once('-')?;
        Some((first.parse().ok()?, last.parse().ok()))
    }
}

/// What the origin does about a request.
#[derive(Clone, Debug)]
pub(super) struct Reply {
    /// All that is sent, head and body.
    pub(super) octets: Vec<u8>,
    /// What comes then.
    pub(super) then: Then,
}

/// What comes after an answer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Then {
    /// The next request.
    Next,
    /// A clean end.
    Close,
    /// An end without the `close_notify` of TLS.
    Cut,
    /// Nothing, for ever.
    Stall,
    /// Octets go to and from this address: a tunnel.
    Tunnel(SocketAddr),
}

impl Reply {
    /// An answer with this status line and headers, and `Content-Length`.
    pub(super) fn new(status: &str, headers: &str, body: &[u8]) -> Self {
        let mut octets = format!(
            "HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\n\r\n",
            body.len()
        )
        .into_bytes();
        octets.extend_from_slice(body);
        Self {
            octets,
            then: Then::Next,
        }
    }

    /// Exactly these octets.
    pub(super) fn raw(head: &str, body: &[u8], then: Then) -> Self {
        let mut octets = head.as_bytes().to_vec();
        octets.extend_from_slice(body);
        Self { octets, then }
    }

    /// Ends `less` octets before its time.
    pub(super) fn cut_by(mut self, less: usize, then: Then) -> Self {
        self.octets.truncate(self.octets.len() - less);
        self.then = then;
        self
    }

    /// The octets of `body` from `first` to `last`.
    pub(super) fn part(headers: &str, body: &[u8], first: usize, last: usize) -> Self {
        Self::new(
            "206 Partial Content",
            &format!(
                "{headers}Content-Range: bytes {first}-{last}/{}\r\n",
                body.len()
            ),
            &body[first..=last],
        )
    }

    /// The whole `body` in chunks, as HTTP/1.1 frames them.
    pub(super) fn chunked(headers: &str, body: &[u8]) -> Self {
        let head = format!("HTTP/1.1 200 OK\r\n{headers}Transfer-Encoding: chunked\r\n\r\n");
        let mut octets = head.into_bytes();
        for chunk in body.chunks(70_000) {
            octets.extend(format!("{:x}\r\n", chunk.len()).bytes());
            octets.extend_from_slice(chunk);
            octets.extend(b"\r\n");
        }
        octets.extend(b"0\r\n\r\n");
        Self {
            octets,
            then: Then::Next,
        }
    }

    /// A right answer with ranges and the validators in `headers`.
    pub(super) fn right(asked: &Asked, headers: &str, body: &[u8]) -> Self {
        match asked.range() {
            None => Self::new("200 OK", headers, body),
            Some((from, last)) if from < body.len() => {
                let last = last.unwrap_or(usize::MAX).min(body.len() - 1);
                Self::part(headers, body, from, last)
            }
            Some(_) => Self::new(
                "416 Range Not Satisfiable",
                &format!("{headers}Content-Range: bytes */{}\r\n", body.len()),
                b"",
            ),
        }
    }
}

/// The origin; ends when dropped.
pub(super) struct FaultyOrigin {
    /// Where it listens.
    pub(super) address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
    task: tokio::task::JoinHandle<()>,
}

impl FaultyOrigin {
    /// Answers by `script`.
    pub(super) async fn new(script: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> Self {
        Self::with_tls(None, script).await
    }

    /// The same, over TLS.
    pub(super) async fn with_tls(
        tls: Option<Arc<rustls::ServerConfig>>,
        script: impl Fn(&Asked) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
        let address = listener.local_addr().expect("address");
        let asked: Arc<Mutex<Vec<Asked>>> = Arc::default();
        let remembered = Arc::clone(&asked);
        let script = Arc::new(script);
        let task = tokio::spawn(async move {
            for connection in 0.. {
                let (stream, _) = listener.accept().await.expect("accept");
                let script = Arc::clone(&script);
                let asked = Arc::clone(&remembered);
                let tls = tls.clone();
                tokio::spawn(async move {
                    let script = move |asked: &Asked| script(asked);
                    match tls {
                        None => serve(stream, connection, &asked, &script).await,
                        Some(tls) => {
                            let acceptor = TlsAcceptor::from(tls);
                            if let Ok(stream) = acceptor.accept(stream).await {
                                serve(stream, connection, &asked, &script).await;
                            }
                        }
                    }
                });
            }
        });
        Self {
            address,
            asked,
            task,
        }
    }

    /// `http://…/file` here.
    pub(super) fn url(&self) -> String {
        format!("http://{}/file", self.address)
    }

    /// What was asked until now.
    pub(super) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().expect("lock").clone()
    }
}

impl Drop for FaultyOrigin {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    connection: usize,
    log: &Mutex<Vec<Asked>>,
    script: &(dyn Fn(&Asked) -> Reply + Send + Sync),
) {
    loop {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            match stream.read_u8().await {
                Ok(octet) => head.push(octet),
                Err(_) => return,
            }
        }
        let head = String::from_utf8(head).expect("text");
        let mut lines = head.lines();
        let mut first = lines.next().expect("request line").split(' ');
        let mut asked = Asked {
            method: first.next().expect("method").to_owned(),
            target: first.next().expect("target").to_owned(),
            headers: lines
                .filter_map(|line| line.split_once(':'))
                .map(|(name, value)| (name.to_lowercase(), value.trim().to_owned()))
                .collect(),
            body: Vec::new(),
            connection,
            number: 0,
        };
        let length = asked.header("content-length").map(str::parse);
        asked.body = vec![0; length.transpose().expect("a length").unwrap_or(0)];
        if stream.read_exact(&mut asked.body).await.is_err() {
            return;
        }
        {
            let mut log = log.lock().expect("lock");
            asked.number = log.len();
            log.push(asked.clone());
        }
        let reply = script(&asked);
        if stream.write_all(&reply.octets).await.is_err() {
            return;
        }
        stream.flush().await.ok();
        match reply.then {
            Then::Next => {}
            Then::Close => {
                stream.shutdown().await.ok();
                return;
            }
            Then::Cut => return,
            Then::Stall => std::future::pending().await,
            Then::Tunnel(to) => {
                let mut onward = tokio::net::TcpStream::connect(to).await.expect("onward");
                tokio::io::copy_bidirectional(&mut stream, &mut onward)
                    .await
                    .ok();
                return;
            }
        }
    }
}
