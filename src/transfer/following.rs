//! A part of a file behind the head of a request: from file to socket by the kernel
//! alone, without a copy of ours; on this host by one buffer, which is faster there.
//!
//! hyper writes the head of a request without a body and flushes it. Behind that
//! flush the stream sends the part, while hyper waits for the answer already.
//! [`super::splice`] is the other direction.

use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::task::Context;
use std::task::Poll;
use std::task::ready;

use hyper::Request;
use hyper::header;
use rustix::io::Errno;
use tokio::io::Interest;
use tokio::net::TcpStream;

use super::outgoing::Outgoing;
use super::outgoing::Sent;

/// What follows the head that is written next, if anything does. The stream and
/// whoever sends over it have the same.
#[derive(Clone, Default)]
pub(super) struct Following(Arc<Mutex<Option<Part>>>);

/// Octets that were not sent yet.
struct Part {
    file: Arc<fs::File>,
    at: u64,
    left: u64,
    sent: Arc<Sent>,
    /// The head was written: now, or once it is flushed, it is its turn.
    is_due: bool,
    /// None before the first of it goes.
    way: Option<Way>,
}

/// How octets get from the file to the socket.
enum Way {
    /// By `sendfile`.
    Kernel,
    /// Read and written, by a buffer of which so many octets are sent already.
    Copy(Vec<u8>, usize),
}

impl Way {
    const COPY: Self = Self::Copy(Vec::new(), 0);

    /// The better one to this socket. Octets that no processor has touched are slow
    /// for a receiver on this host; a network card does not mind.
    fn to(tcp: &TcpStream) -> Self {
        match tcp.peer_addr() {
            Ok(peer) if peer.ip().to_canonical().is_loopback() => Self::COPY,
            _ => Self::Kernel,
        }
    }
}

impl Following {
    /// Takes a long body off a request; it will follow its head.
    pub(super) fn take_body(&self, request: &mut Request<Outgoing>) {
        let Outgoing::Part {
            file,
            at,
            left,
            sent,
        } = request.body()
        else {
            return;
        };
        if *left < LEAST {
            return;
        }
        let part = Part {
            file: Arc::clone(file),
            at: *at,
            left: *left,
            sent: Arc::clone(sent),
            is_due: false,
            way: None,
        };
        *request.body_mut() = Outgoing::Empty;
        // INVARIANT: hyper leaves the length of a body that it knows nothing of
        // as it is, and waits for the answer behind the head.
        let headers = request.headers_mut();
        headers.insert(header::CONTENT_LENGTH, part.left.into());
        *self.part() = Some(part);
    }

    /// Has all gone? Else the connection serves no other request.
    pub(super) fn is_over(&self) -> bool {
        self.part().is_none()
    }

    /// Something of the head was written.
    pub(super) fn head_goes(&self) {
        if let Some(part) = self.part().as_mut() {
            part.is_due = true;
        }
    }

    /// Sends what follows the head, all of which was written.
    ///
    /// # Errors
    ///
    /// Of the socket or the file; [`Sent::broken`] tells of the file's.
    pub(super) fn poll(&self, to: &TcpStream, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut following = self.part();
        let Some(part) = following.as_mut().filter(|part| part.is_due) else {
            return Poll::Ready(Ok(()));
        };
        while part.left > 0 {
            ready!(to.poll_write_ready(context))?;
            match to.try_io(Interest::WRITABLE, || part.send(to)) {
                Ok(octets) => {
                    part.at += octets;
                    part.left -= octets;
                    part.sent.octets.store(part.at, Ordering::Relaxed);
                }
                // Asked again, the socket says when.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        *following = None;
        Poll::Ready(Ok(()))
    }

    fn part(&self) -> MutexGuard<'_, Option<Part>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Part {
    /// Sends as much as the socket takes.
    fn send(&mut self, to: &TcpStream) -> io::Result<u64> {
        let most = |piece| usize::try_from(self.left).map_or(piece, |left| left.min(piece));
        let way = self.way.get_or_insert_with(|| Way::to(to));
        loop {
            match way {
                Way::Kernel => {
                    let octets = most(PIECE);
                    match rustix::fs::sendfile(to, &self.file, Some(&mut self.at.clone()), octets) {
                        Ok(0) => return Err(self.sent.blame(io::ErrorKind::UnexpectedEof.into())),
                        Ok(octets) => return Ok(octets as u64),
                        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => *way = Way::COPY,
                        // What no socket says.
                        Err(Errno::IO) => return Err(self.sent.blame(Errno::IO.into())),
                        Err(errno) => return Err(errno.into()),
                    }
                }
                Way::Copy(buffer, sent) => {
                    if *sent == buffer.len() {
                        buffer.resize(most(COPY), 0);
                        *sent = 0;
                        if let Err(error) = self.file.read_exact_at(buffer, self.at) {
                            buffer.clear();
                            return Err(self.sent.blame(error));
                        }
                    }
                    let octets = rustix::io::write(to, &buffer[*sent..])?;
                    *sent += octets;
                    return Ok(octets as u64);
                }
            }
        }
    }
}

impl fmt::Debug for Following {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Following(…)")
    }
}

/// Shorter bodies go in one write with the head.
const LEAST: u64 = 64 * 1_024;

/// Octets that the kernel is asked to send at once: what a disk reads in a few
/// milliseconds.
const PIECE: usize = 512 * 1_024;

/// The same where we copy.
const COPY: usize = 64 * 1_024;

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::io::Write;

    use super::super::splice::tests::pair;
    use super::*;

    const OCTETS: usize = 300_000;

    fn content() -> Vec<u8> {
        (0..OCTETS)
            .map(|at| u8::try_from(at % 251).expect("small"))
            .collect()
    }

    /// A request whose body is `left` octets of a file from the tenth on.
    fn request(left: u64) -> (Request<Outgoing>, Arc<Sent>) {
        let mut file = tempfile::tempfile().expect("file");
        file.write_all(&content()).expect("written");
        let sent: Arc<Sent> = Arc::default();
        let body = Outgoing::Part {
            file: Arc::new(file),
            at: 10,
            left,
            sent: Arc::clone(&sent),
        };
        (Request::new(body), sent)
    }

    /// What arrives when all of it goes, but for what the connection ends in.
    async fn send(following: &Following) -> (io::Result<()>, Vec<u8>) {
        let (mut server, ours) = pair().await;
        let reading = tokio::task::spawn_blocking(move || {
            let mut arrived = Vec::new();
            server.read_to_end(&mut arrived).expect("read");
            arrived
        });
        following.head_goes();
        let done = std::future::poll_fn(|context| following.poll(&ours, context)).await;
        drop(ours);
        (done, reading.await.expect("read"))
    }

    #[tokio::test]
    async fn a_long_body_follows_its_head() {
        let following = Following::default();
        let left = OCTETS as u64 - 20;
        for way in [Way::Kernel, Way::COPY] {
            let (mut request, sent) = request(left);
            following.take_body(&mut request);
            assert!(matches!(request.body(), Outgoing::Empty));
            assert_eq!(request.headers()[header::CONTENT_LENGTH], "299980");
            following.part().as_mut().expect("a part").way = Some(way);
            let (_server, ours) = pair().await;
            let early = std::future::poll_fn(|context| following.poll(&ours, context)).await;
            early.expect("nothing goes before the head");
            assert!(!following.is_over());
            let (done, arrived) = send(&following).await;
            done.expect("sent");
            assert!(following.is_over());
            assert!(arrived == content()[10..OCTETS - 10]);
            assert_eq!(sent.octets.load(Ordering::Relaxed), 10 + left);
        }
    }

    #[tokio::test]
    async fn a_file_that_became_shorter_is_broken_and_no_octet_takes_its_place() {
        for way in [Way::Kernel, Way::COPY] {
            let following = Following::default();
            let (mut request, sent) = request(OCTETS as u64);
            following.take_body(&mut request);
            following.part().as_mut().expect("a part").way = Some(way);
            let (done, arrived) = send(&following).await;
            done.expect_err("ten octets lack");
            assert!(arrived.len() <= OCTETS - 10 && content()[10..].starts_with(&arrived));
            let broken = sent.broken.get().expect("noted");
            assert_eq!(broken.kind(), io::ErrorKind::UnexpectedEof);
            assert!(!following.is_over(), "another request must not follow");
        }
    }

    #[tokio::test]
    async fn a_short_body_goes_with_its_head() {
        let following = Following::default();
        let (mut request, _) = request(LEAST - 1);
        following.take_body(&mut request);
        assert!(matches!(request.body(), Outgoing::Part { .. }));
        assert!(following.is_over() && request.headers().is_empty());
    }

    #[tokio::test]
    async fn a_server_that_hung_up_is_no_fault_of_the_file() {
        let following = Following::default();
        let (mut request, sent) = request(OCTETS as u64 - 10);
        following.take_body(&mut request);
        following.head_goes();
        let (server, ours) = pair().await;
        drop(server);
        let mut polled = 0;
        while polled < 100 && !following.is_over() {
            let done = std::future::poll_fn(|context| following.poll(&ours, context)).await;
            if done.is_err() {
                break;
            }
            polled += 1;
        }
        assert!(sent.broken.get().is_none());
        assert!(!following.is_over());
    }
}
