//! Octets from a socket into a file that lies in memory, by the kernel alone: one
//! copy, where reading and writing make two.

use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::pipe::PipeFlags;
use rustix::pipe::SpliceFlags;
use tokio::io::Interest;
use tokio::net::TcpStream;

/// What octets go through. It is empty between two calls.
#[derive(Debug)]
pub(super) struct Pipe {
    reader: OwnedFd,
    writer: OwnedFd,
    octets: usize,
}

/// What became of octets.
#[derive(Debug)]
pub(super) enum Moved {
    /// So many are in the file; none: the stream has ended.
    Octets(u64),
    /// They cannot go this way. These have left the socket.
    NotSo(Vec<u8>),
}

impl Pipe {
    /// A pipe; none where the process or the account has too many.
    pub(super) fn new() -> Option<Self> {
        let flags = PipeFlags::CLOEXEC | PipeFlags::NONBLOCK;
        let (reader, writer) = rustix::pipe::pipe_with(flags).ok()?;
        // An account has so much for all its pipes.
        let octets = match rustix::pipe::fcntl_setpipe_size(&writer, OCTETS) {
            Ok(octets) => octets,
            Err(_) => rustix::pipe::fcntl_getpipe_size(&writer).ok()?,
        };
        Some(Self {
            reader,
            writer,
            octets,
        })
    }

    /// Waits for octets, and moves at most `most` of them into `file` at `at`.
    ///
    /// Dropping the future half-way loses nothing.
    ///
    /// # Errors
    ///
    /// [`Broken`].
    pub(super) async fn pass(
        &self,
        from: &TcpStream,
        file: &fs::File,
        at: u64,
        most: u64,
    ) -> Result<Moved, Broken> {
        let most = usize::try_from(most).map_or(self.octets, |most| most.min(self.octets));
        let flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
        let taken = from
            .async_io(Interest::READABLE, || {
                let socket = from.as_fd();
                rustix::pipe::splice(socket, None, &self.writer, None, most, flags)
                    .map_err(io::Error::from)
            })
            .await;
        let taken = match taken {
            Ok(taken) => taken,
            Err(error) if is_unable(&error) => return Ok(Moved::NotSo(Vec::new())),
            Err(error) => return Err(Broken::Stream(error)),
        };
        let mut at = at;
        let mut left = taken;
        while left > 0 {
            match rustix::pipe::splice(&self.reader, None, file, Some(&mut at), left, flags) {
                Ok(0) => return Err(Broken::File(io::ErrorKind::WriteZero.into())),
                Ok(moved) => left -= moved,
                Err(Errno::INTR) => {}
                Err(errno) if left == taken && is_unable(&errno.into()) => {
                    return self.read(taken).map(Moved::NotSo).map_err(Broken::File);
                }
                Err(errno) => return Err(Broken::File(errno.into())),
            }
        }
        Ok(Moved::Octets(taken as u64))
    }

    /// What is in it.
    fn read(&self, octets: usize) -> io::Result<Vec<u8>> {
        let mut read = vec![0; octets];
        let mut done = 0;
        while done < octets {
            match rustix::io::read(&self.reader, &mut read[done..])? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                more => done += more,
            }
        }
        Ok(read)
    }
}

/// Why octets do not pass.
#[derive(Debug)]
pub(super) enum Broken {
    /// The stream is.
    Stream(io::Error),
    /// The file takes none.
    File(io::Error),
}

/// Does the host or the file system have no such way?
fn is_unable(error: &io::Error) -> bool {
    [Errno::INVAL, Errno::NOSYS, Errno::OPNOTSUPP]
        .iter()
        .any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

/// Octets that a pipe holds: what an account may have without more rights.
const OCTETS: usize = 1_024 * 1_024;

#[cfg(test)]
pub(super) mod tests {
    use std::io::Write;
    use std::os::unix::fs::FileExt;

    use super::*;

    /// The server's end of a connection, and ours.
    pub(in crate::transfer) async fn pair() -> (std::net::TcpStream, TcpStream) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("bound");
        let address = listener.local_addr().expect("address");
        let (ours, theirs) = tokio::join!(TcpStream::connect(address), listener.accept());
        let theirs = theirs.expect("accepted").0.into_std().expect("unwrapped");
        theirs.set_nonblocking(false).expect("set");
        (theirs, ours.expect("connected"))
    }

    #[tokio::test]
    async fn octets_land_at_their_place_and_no_more_than_wanted() {
        let (mut server, stream) = pair().await;
        server.write_all(b"0123456789").expect("sent");
        let file = tempfile::tempfile().expect("file");
        file.write_all_at(b"........", 0).expect("written");
        let pipe = Pipe::new().expect("pipe");
        let moved = pipe.pass(&stream, &file, 2, 4).await.expect("moved");
        assert!(matches!(moved, Moved::Octets(4)));
        let mut found = [0; 8];
        file.read_exact_at(&mut found, 0).expect("read");
        assert_eq!(&found, b"..0123..");
        drop(server);
        let moved = pipe.pass(&stream, &file, 6, 9).await.expect("moved");
        assert!(matches!(moved, Moved::Octets(6)));
        let moved = pipe.pass(&stream, &file, 12, 9).await.expect("ended");
        assert!(matches!(moved, Moved::Octets(0)));
    }

    #[tokio::test]
    async fn what_a_file_cannot_take_so_is_given_back() {
        let (mut server, stream) = pair().await;
        server.write_all(b"0123456789").expect("sent");
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("f");
        // The kernel splices into no file that is open for appending.
        let mut options = fs::OpenOptions::new();
        let file = options.append(true).create(true).open(&path).expect("file");
        let pipe = Pipe::new().expect("pipe");
        let moved = pipe.pass(&stream, &file, 0, 100).await.expect("moved");
        assert!(matches!(moved, Moved::NotSo(octets) if octets == b"0123456789"));
    }
}
