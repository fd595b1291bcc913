//! TCP that does not keep a sender on this host waiting.

use std::io;
use std::io::IoSlice;
use std::pin::Pin;
use std::task::Context;
use std::task::Poll;

use rustix::net::sockopt::set_tcp_quickack;
use tokio::io::AsyncRead;
use tokio::io::AsyncWrite;
use tokio::io::ReadBuf;
use tokio::net::TcpStream;

/// A connection. Over loopback one answer is a segment or two; a server that sends
/// with Nagle's algorithm keeps the last until the others are acknowledged, and the
/// kernel here would put that off by 40 ms.
pub(super) struct Tcp {
    stream: TcpStream,
    is_local: bool,
    /// Octets came since the kernel was told to acknowledge at once.
    has_read: bool,
}

impl Tcp {
    pub(super) fn new(stream: TcpStream) -> Self {
        let peer = stream.peer_addr();
        Self {
            is_local: peer.is_ok_and(|peer| peer.ip().to_canonical().is_loopback()),
            stream,
            has_read: false,
        }
    }

    /// The socket.
    pub(super) fn stream(&self) -> &TcpStream {
        &self.stream
    }
}

impl AsyncRead for Tcp {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let read = Pin::new(&mut this.stream).poll_read(context, buffer);
        if read.is_ready() {
            this.has_read = this.is_local;
        } else if std::mem::take(&mut this.has_read) {
            // Without it the answer comes, too.
            let _ = set_tcp_quickack(&this.stream, true);
        }
        read
    }
}

impl AsyncWrite for Tcp {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        octets: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(context, octets)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write_vectored(context, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::io::Write;
    use std::time::Duration;
    use std::time::Instant;

    use tokio::io::AsyncReadExt;
    use tokio::io::AsyncWriteExt;

    use super::super::splice::tests::pair;
    use super::*;

    /// The time in which a kernel puts off what it acknowledges.
    const PUT_OFF: Duration = Duration::from_millis(40);

    #[tokio::test]
    async fn a_server_with_nagles_algorithm_need_not_wait_for_us() {
        let (mut server, ours) = pair().await;
        ours.set_nodelay(true).expect("set");
        let mut ours = Tcp::new(ours);
        let exchanges = 20;
        let serving = tokio::task::spawn_blocking(move || {
            for _ in 0..exchanges {
                let mut request = [0; 3];
                server.read_exact(&mut request).expect("read");
                // The second waits until the first is acknowledged.
                server.write_all(b"first").expect("sent");
                server.write_all(b"last").expect("sent");
            }
        });
        let began = Instant::now();
        for _ in 0..exchanges {
            ours.write_all(b"GET").await.expect("sent");
            let mut answer = [0; 9];
            ours.read_exact(&mut answer).await.expect("read");
            assert_eq!(&answer, b"firstlast");
        }
        let taken = began.elapsed();
        serving.await.expect("served");
        assert!(taken < PUT_OFF * exchanges / 4, "{taken:?}");
    }
}
