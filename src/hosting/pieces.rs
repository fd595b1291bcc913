//! A part of a file as a body, read while it is sent: a client that does not
//! read holds no thread.

use std::fs;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Context;
use std::task::Poll;
use std::task::ready;

use hyper::body::Body;
use hyper::body::Bytes;
use hyper::body::Frame;
use hyper::body::SizeHint;
use tokio::task::JoinHandle;
use tokio::task::spawn_blocking;

/// A part of a file as a body.
#[derive(Debug)]
pub(crate) struct FilePieces {
    file: Option<Arc<fs::File>>,
    at: u64,
    left: u64,
    reading: Option<JoinHandle<io::Result<Bytes>>>,
}

impl FilePieces {
    /// `octets` of `file` from the octet `first` on.
    pub(crate) fn new(file: fs::File, first: u64, octets: u64) -> Self {
        Self {
            file: Some(Arc::new(file)),
            at: first,
            left: octets,
            reading: None,
        }
    }

    /// No octets.
    pub(super) fn none() -> Self {
        Self {
            file: None,
            at: 0,
            left: 0,
            reading: None,
        }
    }
}

impl Body for FilePieces {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let Some(file) = self.file.clone().filter(|_| self.left > 0) else {
            return Poll::Ready(None);
        };
        let (at, octets) = (self.at, self.left.min(PIECE));
        let begin = || spawn_blocking(move || read(&file, at, octets));
        let reading = self.reading.get_or_insert_with(begin);
        let read = ready!(Pin::new(reading).poll(context));
        self.reading = None;
        let piece = read.map_err(io::Error::other).flatten();
        if let Ok(piece) = &piece {
            let octets = u64::try_from(piece.len()).unwrap_or(u64::MAX);
            self.at += octets;
            self.left -= octets;
        }
        Poll::Ready(Some(piece.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

/// Reads exactly so many octets: a file that has become shorter is an error,
/// as its size has been said.
fn read(file: &fs::File, at: u64, octets: u64) -> io::Result<Bytes> {
    let mut piece = vec![0; usize::try_from(octets).map_err(io::Error::other)?];
    file.read_exact_at(&mut piece, at)?;
    Ok(piece.into())
}

/// Octets that are read at a time.
const PIECE: u64 = 128 * 1_024;

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    #[tokio::test]
    async fn a_part_comes_whole_and_a_shorter_file_is_an_error() {
        let file = tempfile::NamedTempFile::new().expect("file");
        let octets: Vec<u8> = (0..300_000_u32).map(|at| at.to_le_bytes()[0]).collect();
        fs::write(file.path(), &octets).expect("written");
        let open = || fs::File::open(file.path()).expect("open");
        let part = FilePieces::new(open(), 10, 299_000).collect().await;
        assert_eq!(part.expect("read").to_bytes(), &octets[10..299_010]);
        assert!(
            FilePieces::new(open(), 10, 300_000)
                .collect()
                .await
                .is_err()
        );
        let none = FilePieces::none().collect().await.expect("read");
        assert!(none.to_bytes().is_empty());
    }
}
