//! The rest of a long body, read from the stream itself: hyper has read the head
//! and what came with it. That saves a hop for each piece, and memory: the
//! buffer is one, and as large as its share.

use std::collections::VecDeque;
use std::fs;
use std::future::Future;
use std::io;
use std::pin::pin;
use std::task::Poll;

use bytes::BufMut;
use bytes::BytesMut;
use hyper::HeaderMap;
use hyper::Version;
use hyper::body::Bytes;
use hyper::header;
use tokio::io::AsyncReadExt;

use super::memory::Memory;
use super::memory::Reserved;
use super::splice;
use super::splice::Moved;
use super::splice::Pipe;
use super::stream::Stream;

/// A body of known length that nobody but this reads any more.
pub(super) struct Rest {
    stream: Stream,
    /// What hyper has read of it, in order.
    first: VecDeque<Bytes>,
    /// Octets that were not handed out yet, those in `first` included.
    left: u64,
    buffer: BytesMut,
    reserved: Reserved,
    /// Another request may follow.
    keeps: bool,
    /// How the stream ended behind octets that were handed out first.
    ended: Option<io::Error>,
    /// Made when first needed.
    pipe: Option<Pipe>,
    /// May octets pass by [`Pipe`]?
    passes: bool,
}

impl Rest {
    /// `length` octets, which begin with those in `first`.
    pub(super) fn new(
        stream: Stream,
        mut first: VecDeque<Bytes>,
        length: u64,
        keeps: bool,
        memory: &Memory,
    ) -> Self {
        let came: u64 = first.iter().map(|piece| piece.len() as u64).sum();
        first.retain(|piece| !piece.is_empty());
        let passes = stream.tcp().is_some();
        Self {
            stream,
            first,
            left: length,
            buffer: BytesMut::new(),
            reserved: memory.grant(BUFFER, LEAST_BUFFER),
            // What comes unasked belongs to no answer.
            keeps: keeps && came <= length,
            ended: None,
            pipe: None,
            passes,
        }
    }

    /// Octets that were not handed out yet.
    pub(super) fn left(&self) -> u64 {
        self.left
    }

    /// The next octets; `None` at the end.
    ///
    /// Dropping the future half-way loses nothing.
    ///
    /// # Errors
    ///
    /// Of the stream, and when it ends before the body.
    pub(super) async fn data(&mut self) -> Option<io::Result<Bytes>> {
        if self.left == 0 {
            return None;
        }
        let mut data = match self.first.pop_front() {
            Some(piece) => piece,
            None => match self.read().await {
                Ok(data) => data,
                Err(error) => return Some(Err(error)),
            },
        };
        data.truncate(usize::try_from(self.left).unwrap_or(usize::MAX));
        self.left -= data.len() as u64;
        Some(Ok(data))
    }

    /// Moves what comes next into `file` at `at`, at most `most` octets, and says
    /// how many; none of them means that [`Rest::data`] is to be used.
    ///
    /// Dropping the future half-way loses nothing.
    ///
    /// # Errors
    ///
    /// Of the stream or the file, and when the stream ends before the body.
    pub(super) async fn pass(
        &mut self,
        file: &fs::File,
        at: u64,
        most: u64,
    ) -> Result<u64, splice::Broken> {
        let most = most.min(self.left);
        let Some(tcp) = self.stream.tcp().filter(|_| self.passes) else {
            return Ok(0);
        };
        if most == 0 || !self.first.is_empty() || self.ended.is_some() {
            return Ok(0);
        }
        if self.pipe.is_none() {
            self.pipe = Pipe::new();
        }
        let Some(pipe) = &self.pipe else {
            self.passes = false;
            return Ok(0);
        };
        match pipe.pass(tcp, file, at, most).await? {
            Moved::Octets(0) => Err(splice::Broken::Stream(cut_off())),
            Moved::Octets(octets) => {
                self.left -= octets;
                Ok(octets)
            }
            Moved::NotSo(octets) => {
                self.passes = false;
                self.pipe = None;
                if !octets.is_empty() {
                    self.first.push_back(octets.into());
                }
                Ok(0)
            }
        }
    }

    /// Waits for octets, and takes as many as are there.
    async fn read(&mut self) -> io::Result<Bytes> {
        if self.reserved.is_unfit(BUFFER, LEAST_BUFFER) {
            let memory = self.reserved.memory().clone();
            self.buffer = BytesMut::new();
            self.reserved = memory.grant(BUFFER, LEAST_BUFFER);
        }
        if let Some(error) = self.ended.take() {
            return Err(error);
        }
        let share = self.reserved.octets();
        // Who took the last piece may still have it.
        if !self.buffer.try_reclaim(share) && self.buffer.capacity() < LEAST_BUFFER {
            self.buffer.reserve(share);
        }
        let most = self
            .buffer
            .capacity()
            .min(share)
            .min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let (stream, buffer) = (&mut self.stream, &mut self.buffer);
        let ended = std::future::poll_fn(|context| {
            // TLS gives a record at a time.
            while buffer.len() < most {
                let room = most - buffer.len();
                let mut space = (&mut *buffer).limit(room);
                let read = match pin!(stream.read_buf(&mut space)).poll(context) {
                    Poll::Ready(read) => read,
                    Poll::Pending if buffer.is_empty() => return Poll::Pending,
                    Poll::Pending => break,
                };
                match read {
                    Ok(0) => return Poll::Ready(Some(cut_off())),
                    Ok(_) if stream.tcp().is_some() => break,
                    Ok(_) => {}
                    Err(error) => return Poll::Ready(Some(error)),
                }
            }
            Poll::Ready(None)
        })
        .await;
        if self.buffer.is_empty() {
            return Err(ended.unwrap_or_else(cut_off));
        }
        self.ended = ended;
        Ok(self.buffer.split().freeze())
    }

    /// The memory that its buffer is of.
    pub(super) fn memory(&self) -> &Memory {
        self.reserved.memory()
    }

    /// The stream, for another request; none if it serves no more.
    pub(super) fn into_stream(self) -> Option<Stream> {
        (self.keeps && self.left == 0).then_some(self.stream)
    }
}

fn cut_off() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the body was cut off")
}

/// May another request follow an answer with this head (RFC 9112 9.3)?
pub(super) fn keeps(version: Version, headers: &HeaderMap) -> bool {
    let mut options = headers
        .get_all(header::CONNECTION)
        .iter()
        .flat_map(|value| value.as_bytes().split(|octet| *octet == b','));
    version == Version::HTTP_11
        && !options.any(|option| option.trim_ascii().eq_ignore_ascii_case(b"close"))
}

/// Bodies of fewer octets are left to hyper.
pub(super) const LEAST: u64 = 256 * 1_024;

/// Octets that are read at once, at most and at least.
const BUFFER: usize = 1_024 * 1_024;
const LEAST_BUFFER: usize = 64 * 1_024;

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::fs::FileExt;

    use super::super::splice::tests::pair;
    use super::*;

    /// A body of ten octets, of which these came with the head, and the server.
    async fn rest(first: &[&'static str], keeps: bool) -> (std::net::TcpStream, Rest) {
        let (server, ours) = pair().await;
        let first = first.iter().map(|piece| Bytes::from(*piece)).collect();
        let memory = Memory::new(1 << 20);
        let rest = Rest::new(Stream::plain(ours), first, 10, keeps, &memory);
        (server, rest)
    }

    /// All of it, or the error behind what came.
    async fn read(rest: &mut Rest) -> (Vec<u8>, Option<io::ErrorKind>) {
        let mut read = Vec::new();
        while let Some(data) = rest.data().await {
            match data {
                Ok(data) => read.extend(data),
                Err(error) => return (read, Some(error.kind())),
            }
        }
        (read, None)
    }

    #[tokio::test]
    async fn what_came_with_the_head_is_first_and_the_next_answer_is_left_alone() {
        let (mut server, mut rest) = rest(&["abc", "", "def"], true).await;
        server.write_all(b"ghijHTTP/1.1").expect("sent");
        assert_eq!(read(&mut rest).await, (b"abcdefghij".to_vec(), None));
        let mut stream = rest.into_stream().expect("it serves again");
        let mut next = [0; 8];
        stream.read_exact(&mut next).await.expect("read");
        assert_eq!(&next, b"HTTP/1.1");
    }

    #[tokio::test]
    async fn what_nobody_asked_for_ends_the_connection() {
        let (_server, mut too_much) = rest(&["abcdef", "ghijkl"], true).await;
        assert_eq!(read(&mut too_much).await, (b"abcdefghij".to_vec(), None));
        assert!(too_much.into_stream().is_none());
        let (_server, mut closes) = rest(&["abcdefghij"], false).await;
        assert_eq!(read(&mut closes).await, (b"abcdefghij".to_vec(), None));
        assert!(closes.into_stream().is_none());
        let (_server, unread) = rest(&["abcdefghij"], true).await;
        assert!(unread.into_stream().is_none());
    }

    #[tokio::test]
    async fn a_body_that_is_cut_off_gives_what_came_and_says_so() {
        let (mut server, mut cut) = rest(&["abc"], true).await;
        server.write_all(b"de").expect("sent");
        drop(server);
        let kind = io::ErrorKind::UnexpectedEof;
        assert_eq!(read(&mut cut).await, (b"abcde".to_vec(), Some(kind)));
        assert_eq!(cut.left(), 5);
        assert!(cut.into_stream().is_none());
        let (server, mut passed) = rest(&[], true).await;
        drop(server);
        let file = tempfile::tempfile().expect("file");
        let broken = passed.pass(&file, 0, 10).await.expect_err("cut");
        assert!(matches!(broken, splice::Broken::Stream(error) if error.kind() == kind));
    }

    #[tokio::test]
    async fn octets_pass_to_a_file_behind_those_that_came_with_the_head() {
        let (mut server, mut rest) = rest(&["abc"], true).await;
        server.write_all(b"defghijHTTP/1.1").expect("sent");
        let file = tempfile::tempfile().expect("file");
        assert_eq!(rest.pass(&file, 0, 10).await.expect("not yet"), 0);
        let first = rest.data().await.expect("some").expect("read");
        assert_eq!(first, "abc");
        let mut at = 3;
        while rest.left() > 0 {
            at += rest.pass(&file, at, 4).await.expect("passed");
        }
        let mut found = [0; 7];
        file.read_exact_at(&mut found, 3).expect("read");
        assert_eq!((at, &found), (10, b"defghij"));
        assert!(rest.into_stream().is_some());
    }

    #[tokio::test]
    async fn what_a_file_cannot_take_from_a_pipe_is_read() {
        let (mut server, mut rest) = rest(&[], true).await;
        server.write_all(b"abcdefghij").expect("sent");
        let folder = tempfile::tempdir().expect("folder");
        let mut options = fs::OpenOptions::new();
        let file = options.append(true).create(true);
        let file = file.open(folder.path().join("f")).expect("file");
        assert_eq!(rest.pass(&file, 0, 10).await.expect("given back"), 0);
        assert_eq!(read(&mut rest).await, (b"abcdefghij".to_vec(), None));
    }

    #[test]
    fn a_connection_is_kept_as_http_1_1_keeps_it() {
        let with = |values: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(header::CONNECTION, value.parse().expect("a value"));
            }
            headers
        };
        assert!(keeps(Version::HTTP_11, &with(&[])));
        assert!(keeps(Version::HTTP_11, &with(&["keep-alive, closed"])));
        assert!(!keeps(
            Version::HTTP_11,
            &with(&["keep-alive", "x, CLOSE "])
        ));
        assert!(!keeps(Version::HTTP_10, &with(&["keep-alive"])));
    }
}
