//! Where the jobs of the stories fetch their files: one file of a fixed size
//! at every path, but none below `/missing/`.

use std::io;
use std::io::BufRead as _;
use std::io::BufReader;
use std::io::Write as _;
use std::net::Ipv4Addr;
use std::net::TcpListener;
use std::net::TcpStream;
use std::thread;

/// A server that lives as long as the test.
pub(super) struct Origin {
    pub(super) port: u16,
}

impl Origin {
    pub(super) fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port of loopback");
        let port = listener.local_addr().expect("it is bound").port();
        thread::spawn(move || {
            for socket in listener.incoming().flatten() {
                // A connection that breaks off is no matter of ours.
                thread::spawn(move || serve(&socket));
            }
        });
        Self { port }
    }
}

fn serve(mut socket: &TcpStream) -> io::Result<()> {
    let mut reader = BufReader::new(socket);
    loop {
        let mut first = String::new();
        if reader.read_line(&mut first)? == 0 {
            return Ok(());
        }
        let mut line = String::new();
        while reader.read_line(&mut line)? > 2 {
            line.clear();
        }
        let is_missing = first.contains(" /missing/");
        let (status, length) = if is_missing {
            ("404 Not Found", 0)
        } else {
            ("200 OK", SIZE)
        };
        write!(
            socket,
            "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nETag: \"1\"\r\n\r\n"
        )?;
        if first.starts_with("GET ") {
            socket.write_all(&vec![b'x'; length])?;
        }
    }
}

/// Octets of every file.
const SIZE: usize = 100_000;
