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

use super::connection::Stream;
use super::memory::Memory;
use super::memory::Reserved;
use super::splice;
use super::splice::Moved;
use super::splice::Pipe;

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
