//! One upload on disk: its octets, its record, its way to its place. All calls
//! block.

use std::fs;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Bytes;
use tokio::time::Instant;
use tracing::warn;

use super::clock;
use super::folder::Folder;
use super::ledger::Keeping;
use super::ledger::Ledger;
use super::ledger::Mark;
use super::ledger::Phase;
use super::ledger::Record;
use super::ledger::Reply;
use super::refused::Refused;
use crate::bits::Hresult;
use crate::bits::JobId;
use crate::config::Notification;
use crate::transfer::Failure;
use crate::transfer::Hidden;
use crate::transfer::InboxSpot;
use crate::transfer::Put;
use crate::transfer::Standing;

/// One upload on disk.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) id: JobId,
    pub(super) record: Record,
    /// Octets that are here, from the start.
    pub(super) octets: u64,
    folder: Arc<Folder>,
    ledger: Arc<Ledger>,
    open: Option<Open>,
}

/// What is open while octets come.
#[derive(Debug)]
struct Open {
    file: fs::File,
    mark: Mark,
    synced_at: Instant,
}

impl Session {
    /// Begins an upload: its file is there, and it outlives a power cut.
    ///
    /// # Errors
    ///
    /// [`Refused`]; nothing is left then.
    pub(super) fn begin(
        id: JobId,
        mut record: Record,
        folder: Arc<Folder>,
        ledger: Arc<Ledger>,
    ) -> Result<Self, Refused> {
        let spot = folder.inbox.spot(&record.target, id);
        let spot = spot.map_err(|failure| refused(id, &failure))?;
        match spot
            .destination()
            .map_err(|failure| refused(id, &failure))?
        {
            Some(Standing::Other) => return Err(Refused::INVALID),
            Some(Standing::File { .. }) if !folder.settings.allow_overwrites => {
                return Err(Refused::DENIED);
            }
            Some(Standing::File { .. }) | None => {}
        }
        // First the record: a file that no record names would stay for ever.
        let named = kept(ledger.keep(id, &record, Keeping::Likely));
        let made = named.and_then(|()| {
            record.inode = inode(&spot.create(Hidden::Data)?)?;
            kept(ledger.keep(id, &record, Keeping::Durable))
        });
        if let Err(failure) = made {
            let _ = spot.remove(Hidden::Data);
            ledger.forget(id);
            return Err(refused(id, &failure));
        }
        Ok(Self {
            id,
            record,
            octets: 0,
            folder,
            ledger,
            open: None,
        })
    }

    /// Takes an upload up again after a start of the service.
    pub(super) fn recover(
        id: JobId,
        record: Record,
        folder: Arc<Folder>,
        ledger: Arc<Ledger>,
    ) -> Self {
        let octets = match record.phase {
            Phase::Receiving => {
                let written = ledger.written(id, record.inode);
                written.unwrap_or(0).max(record.synced)
            }
            Phase::Received | Phase::Wanted | Phase::Done | Phase::Lost | Phase::Closed => {
                record.total.unwrap_or(0)
            }
        };
        let mut session = Self {
            id,
            record,
            octets,
            folder,
            ledger,
            open: None,
        };
        if let Err(failure) = session.look() {
            warn!(session = %id, %failure, "Upload cannot be looked at");
        }
        session
    }

    /// Looks whether the upload had got to its place before the service ended.
    fn look(&mut self) -> Result<(), Failure> {
        let is_to_be_put = match self.record.phase {
            Phase::Receiving | Phase::Received | Phase::Wanted => true,
            Phase::Done | Phase::Lost | Phase::Closed => false,
        };
        if !is_to_be_put {
            return Ok(());
        }
        let spot = self.spot()?;
        if spot.hidden(Hidden::Data)?.is_some() {
            return Ok(());
        }
        if let Some(Standing::File { inode, octets }) = spot.destination()?
            && inode == self.record.inode
        {
            self.record.total = Some(octets);
            self.octets = octets;
            self.record.phase = Phase::Done;
            self.keep(Keeping::Durable)?;
        }
        Ok(())
    }

    /// Makes ready for octets. Where the file is not what it was, the upload
    /// begins anew: the client is told from where.
    ///
    /// # Errors
    ///
    /// [`Failure`] of the file system.
    pub(super) fn ready(&mut self) -> Result<(), Failure> {
        if self.open.is_some() {
            return Ok(());
        }
        let spot = self.spot()?;
        let same = |file: &fs::File| -> Result<bool, Failure> {
            let there = file.metadata();
            let there = there.map_err(|error| failed("reading the temporary file", &error))?;
            Ok(there.ino() == self.record.inode && there.len() >= self.octets)
        };
        let found = match spot.open_data()? {
            Some(file) if same(&file)? => Some(file),
            Some(_) | None => None,
        };
        let file = if let Some(file) = found {
            file
        } else {
            if self.octets > 0 {
                warn!(session = %self.id, "What was uploaded is gone: it begins anew");
            }
            let file = spot.create(Hidden::Data)?;
            self.octets = 0;
            self.record.synced = 0;
            self.record.inode = inode(&file)?;
            self.keep(Keeping::Durable)?;
            file
        };
        // What lies beyond was never said to be here.
        file.set_len(self.octets)
            .map_err(|error| failed("cutting the temporary file", &error))?;
        let mark = self.ledger.mark(self.id, self.record.inode);
        let mark = mark.map_err(|error| failed("opening the mark of an upload", &error))?;
        mark.advance(self.octets);
        self.open = Some(Open {
            file,
            mark,
            synced_at: clock::instant(),
        });
        Ok(())
    }

    /// Writes what comes next.
    ///
    /// # Errors
    ///
    /// [`Failure`] of the file system; what is written by then counts.
    pub(super) fn write(&mut self, pieces: &[Bytes]) -> Result<(), Failure> {
        for piece in pieces {
            let mut rest: &[u8] = piece;
            while !rest.is_empty() {
                let at = self.octets;
                let wrote = match self.opened()?.file.write_at(rest, at) {
                    Ok(0) => return Err(failed("writing", &io::ErrorKind::WriteZero.into())),
                    Ok(wrote) => wrote,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                    Err(error) => return Err(failed("writing", &error)),
                };
                rest = rest.get(wrote..).unwrap_or_default();
                self.octets += u64::try_from(wrote).unwrap_or(0);
            }
        }
        let octets = self.octets;
        let open = self.opened()?;
        open.mark.advance(octets);
        let is_due = open.synced_at.elapsed() >= SYNC_EVERY;
        if is_due || octets.saturating_sub(self.record.synced) >= SYNC_OCTETS {
            self.sync()?;
            self.keep(Keeping::Durable)?;
        }
        Ok(())
    }

    /// All octets are here: they are synced.
    ///
    /// # Errors
    ///
    /// [`Failure`] of the file system.
    pub(super) fn receive_all(&mut self) -> Result<(), Failure> {
        if self.record.phase != Phase::Receiving {
            return Ok(());
        }
        self.sync()?;
        if self.notifies() {
            self.record.phase = Phase::Received;
            self.keep(Keeping::Durable)?;
        } else {
            self.record.phase = Phase::Wanted;
        }
        Ok(())
    }

    /// Is the application behind told of uploads?
    fn notifies(&self) -> bool {
        self.folder.settings.notification != Notification::None
    }

    /// Gives the octets the looks of finished files, so that the application
    /// behind can read them; says where they are, and where its reply may be.
    ///
    /// # Errors
    ///
    /// [`Failure`] of the file system.
    pub(super) fn show(&mut self) -> Result<(PathBuf, PathBuf), Failure> {
        let spot = self.spot()?;
        // What is not ours any more was given away by an earlier try.
        if let Some(file) = spot.open_data()? {
            spot.dress(&file)?;
        }
        // An earlier try may have left half of one.
        spot.remove(Hidden::Reply)?;
        Ok((spot.path(Hidden::Data)?, spot.path(Hidden::Reply)?))
    }

    /// Opens the octets to be sent, and makes a file for the reply.
    ///
    /// # Errors
    ///
    /// [`Failure`] of the file system, or when the octets are gone.
    pub(super) fn hand_over(&mut self) -> Result<(fs::File, fs::File), Failure> {
        let spot = self.spot()?;
        let data = spot.read(Hidden::Data)?;
        let data = data.filter(|file| inode(file).is_ok_and(|own| own == self.record.inode));
        let gone = io::Error::from(rustix::io::Errno::NOENT);
        let data = data.ok_or_else(|| failed("opening the upload", &gone))?;
        Ok((data, spot.create(Hidden::Reply)?))
    }

    /// The application behind was told, and has answered. Where it has left no
    /// reply there is an empty one.
    ///
    /// # Errors
    ///
    /// [`Failure`] of the file system.
    pub(super) fn answered(
        &mut self,
        elsewhere: Option<String>,
        wants_file: bool,
    ) -> Result<(), Failure> {
        let spot = self.spot()?;
        self.record.reply = Some(if let Some(url) = elsewhere {
            Reply::Elsewhere(url)
        } else {
            if spot.hidden(Hidden::Reply)?.is_none() {
                spot.create(Hidden::Reply)?;
            }
            Reply::File
        });
        self.record.phase = if wants_file {
            Phase::Wanted
        } else {
            Phase::Done
        };
        self.keep(Keeping::Durable)
    }

    /// Puts the file in its place.
    ///
    /// # Errors
    ///
    /// [`Refused`] when something is there that may not be replaced, or when the
    /// octets are gone.
    pub(super) fn put(&mut self) -> Result<(), Refused> {
        let put = self.try_put();
        match put.map_err(|failure| refused(self.id, &failure))? {
            Put::Done => Ok(()),
            Put::Taken => Err(Refused::DENIED),
            Put::Gone => Err(Refused::GONE),
        }
    }

    fn try_put(&mut self) -> Result<Put, Failure> {
        let spot = self.spot()?;
        let ours = match spot.hidden(Hidden::Data)? {
            Some(Standing::File { inode, .. }) => inode == self.record.inode,
            Some(Standing::Other) | None => false,
        };
        let put = if ours {
            if let Some(file) = spot.open_data()? {
                spot.dress(&file)?;
            }
            spot.put(self.folder.settings.allow_overwrites)?
        } else {
            Put::Gone
        };
        self.record.phase = match put {
            Put::Done => Phase::Done,
            Put::Gone => Phase::Lost,
            Put::Taken => return Ok(put),
        };
        self.keep(Keeping::Durable)?;
        Ok(put)
    }

    /// Opens the reply to be read.
    ///
    /// # Errors
    ///
    /// [`Failure`] of the file system.
    pub(super) fn reply(&self) -> Result<Option<fs::File>, Failure> {
        match (self.record.phase, &self.record.reply) {
            (Phase::Done, Some(Reply::File)) => self.spot()?.read(Hidden::Reply),
            (_, _) => Ok(None),
        }
    }

    /// Removes what is left of an upload beside its destination.
    ///
    /// # Errors
    ///
    /// [`Failure`] of the file system.
    pub(super) fn discard(&mut self) -> Result<(), Failure> {
        self.open = None;
        let spot = match self.spot() {
            Ok(spot) => spot,
            // With its folder it is gone itself.
            Err(failure) if failure.code == Hresult::ERROR_PATH_NOT_FOUND => return Ok(()),
            Err(failure) => return Err(failure),
        };
        spot.remove(Hidden::Data)?;
        spot.remove(Hidden::Reply)
    }

    /// Closes what is open until the next packet.
    pub(super) fn rest(&mut self) {
        self.open = None;
    }

    /// Keeps the record.
    ///
    /// # Errors
    ///
    /// [`Failure`] of the file system.
    pub(super) fn keep(&self, how: Keeping) -> Result<(), Failure> {
        kept(self.ledger.keep(self.id, &self.record, how))
    }

    fn sync(&mut self) -> Result<(), Failure> {
        let octets = self.octets;
        let open = self.opened()?;
        open.file
            .sync_data()
            .map_err(|error| failed("syncing", &error))?;
        open.synced_at = clock::instant();
        self.record.synced = octets;
        Ok(())
    }

    fn opened(&mut self) -> Result<&mut Open, Failure> {
        // INVARIANT: made ready by the packet that brings the octets. To do so
        // here could begin anew in the middle of a fragment.
        let none = io::Error::from(io::ErrorKind::NotFound);
        self.open.as_mut().ok_or_else(|| failed("writing", &none))
    }

    fn spot(&self) -> Result<InboxSpot, Failure> {
        self.folder.inbox.spot(&self.record.target, self.id)
    }
}

/// The refusal that a failure is; the log has the failure where somebody must
/// see to it.
pub(super) fn refused(id: JobId, failure: &Failure) -> Refused {
    let refused = Refused::from(failure);
    if refused.status.is_server_error() {
        warn!(session = %id, %failure, "Upload failed");
    }
    refused
}

fn inode(file: &fs::File) -> Result<u64, Failure> {
    let there = file.metadata();
    there
        .map(|there| there.ino())
        .map_err(|error| failed("reading the temporary file", &error))
}

fn kept(done: io::Result<()>) -> Result<(), Failure> {
    done.map_err(|error| failed("keeping the record of an upload", &error))
}

fn failed(doing: &str, error: &io::Error) -> Failure {
    Failure::from_local_error(doing, error)
}

/// How much may be lost with the power.
const SYNC_OCTETS: u64 = 64 * 1_024 * 1_024;
const SYNC_EVERY: Duration = Duration::from_secs(2);
