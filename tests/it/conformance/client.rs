//! A client of HTTP/1.1 over TLS that sends what it is given, octet by octet.

use std::fs;
use std::io;
use std::io::BufRead as _;
use std::io::BufReader;
use std::io::Read as _;
use std::io::Write as _;
use std::net::Ipv4Addr;
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls::ClientConnection;
use rustls::RootCertStore;
use rustls::StreamOwned;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::ServerName;
use rustls::pki_types::pem::PemObject as _;

/// A connection, made when it is first used and again when it was closed.
pub(super) struct Client {
    port: u16,
    tls: Arc<ClientConfig>,
    connection: Option<BufReader<StreamOwned<ClientConnection, TcpStream>>>,
}

/// What came back.
pub(super) struct Answer {
    pub(super) status: u16,
    /// `Name: value`, as it came.
    pub(super) headers: Vec<String>,
    pub(super) body: Vec<u8>,
}

impl Answer {
    /// The value of the first header of that name.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
}

impl Client {
    /// A client that trusts the certificate in that file and no other.
    pub(super) fn new(port: u16, certificate: &Path) -> Self {
        let pem = fs::read(certificate).expect("the service has made its certificate");
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(&pem) {
            let certificate = certificate.expect("PEM");
            roots.add(certificate).expect("a certificate");
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions that the provider has")
            .with_root_certificates(roots)
            .with_no_client_auth();
        Self {
            port,
            tls: Arc::new(tls),
            connection: None,
        }
    }

    /// Sends a request. `Host` and `Content-Length` come after `headers`.
    ///
    /// # Errors
    ///
    /// Whatever the socket says. A kept connection that was closed meanwhile
    /// is made anew once.
    pub(super) fn send(
        &mut self,
        method: &str,
        path: &str,
        headers: &[String],
        body: &[u8],
    ) -> io::Result<Answer> {
        let mut head = format!("{method} {path} HTTP/1.1\r\n");
        for header in headers {
            head.push_str(header);
            head.push_str("\r\n");
        }
        let (port, length) = (self.port, body.len());
        for rest in [
            format!("Host: 127.0.0.1:{port}\r\n"),
            format!("Content-Length: {length}\r\n\r\n"),
        ] {
            head.push_str(&rest);
        }
        let is_kept = self.connection.is_some();
        match self.exchange(&head, body) {
            Err(_) if is_kept => self.exchange(&head, body),
            answer => answer,
        }
    }

    fn exchange(&mut self, head: &str, body: &[u8]) -> io::Result<Answer> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.connect()?,
        };
        let stream = connection.get_mut();
        stream.write_all(head.as_bytes())?;
        stream.write_all(body)?;
        stream.flush()?;
        let answer = read(&mut connection)?;
        let closes = answer.header("Connection") == Some("close");
        if !closes {
            self.connection = Some(connection);
        }
        Ok(answer)
    }

    fn connect(&self) -> io::Result<BufReader<StreamOwned<ClientConnection, TcpStream>>> {
        let socket = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port))?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.set_nodelay(true)?;
        let name = ServerName::from(std::net::IpAddr::from(Ipv4Addr::LOCALHOST));
        let tls = ClientConnection::new(Arc::clone(&self.tls), name).map_err(io::Error::other)?;
        Ok(BufReader::new(StreamOwned::new(tls, socket)))
    }
}

fn read(
    connection: &mut BufReader<StreamOwned<ClientConnection, TcpStream>>,
) -> io::Result<Answer> {
    let line = |connection: &mut BufReader<_>| {
        let mut line = String::new();
        match connection.read_line(&mut line)? {
            0 => Err(io::Error::from(io::ErrorKind::UnexpectedEof)),
            _ => Ok(line.trim_end().to_owned()),
        }
    };
    let first = line(connection)?;
    let status = first
        .strip_prefix("HTTP/1.1 ")
        .and_then(|rest| rest.get(..3))
        .and_then(|digits| digits.parse().ok())
        .ok_or_else(|| io::Error::other(format!("no status in {first:?}")))?;
    let mut answer = Answer {
        status,
        headers: Vec::new(),
        body: Vec::new(),
    };
    loop {
        let header = line(connection)?;
        if header.is_empty() {
            break;
        }
        answer.headers.push(header);
    }
    // Every answer but a 204 says how long it is.
    let length = match answer.header("Content-Length") {
        Some(length) => length.parse().map_err(io::Error::other)?,
        None if status == 204 => 0,
        None => return Err(io::Error::other("an answer without Content-Length")),
    };
    answer.body = vec![0; length];
    connection.read_exact(&mut answer.body)?;
    Ok(answer)
}

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_mins(1);
