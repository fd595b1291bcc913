//! What is done at each packet, and what is said to it ([MC-BUP] 3.2.5).

use std::fs;
use std::sync::Arc;
use std::time::Duration;
use std::time::SystemTime;

use hyper::StatusCode;
use hyper::body::Body;
use hyper::body::Bytes;
use tokio::sync::oneshot;
use tokio::task::spawn_blocking;
use tracing::debug;
use tracing::info;

use super::Uploads;
use super::clock;
use super::folder::Folder;
use super::folder::Uploader;
use super::ledger::Keeping;
use super::ledger::Phase;
use super::ledger::Record;
use super::ledger::Reply;
use super::notify;
use super::notify::By;
use super::notify::Notice;
use super::receive;
use super::receive::End;
use super::receive::Held;
use super::receive::Patience;
use super::receive::work;
use super::refused::Refused;
use super::rules::Take;
use super::session::Session;
use super::session::refused;
use super::sessions::Entry;
use super::target::reply_url;
use crate::bits::JobId;
use crate::config::Notification;
use crate::telemetry::counters::Counter;
use crate::transfer::Failure;
use crate::transfer::upload_packet::Ack;
use crate::transfer::upload_packet::FragmentRange;
use crate::transfer::upload_packet::HostId;
use crate::transfer::upload_packet::Packet;
use crate::transfer::upload_packet::SessionId;

/// Who asks for what.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    /// The folder.
    pub(crate) folder: Arc<Folder>,
    /// Who may upload into it.
    pub(crate) by: Uploader,
    /// The destination below it.
    pub(crate) target: String,
    /// The URL, as the client wrote it.
    pub(crate) original_url: String,
    /// Its query.
    pub(crate) query: Option<String>,
    /// How long the next octets of a fragment may take.
    pub(crate) stall: Duration,
}

/// What is said to a packet.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Answer {
    /// The HTTP status.
    pub(crate) status: StatusCode,
    /// The headers.
    pub(crate) ack: Ack,
    /// Can the connection go on?
    pub(crate) connection: Afterwards,
}

/// What becomes of the connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Afterwards {
    /// It goes on.
    Keep,
    /// What it still brings is not read.
    Close,
}

/// The reply to an upload, open.
#[derive(Debug)]
pub(crate) struct ReplyFile {
    /// The octets.
    pub(crate) file: fs::File,
    /// So many.
    pub(crate) octets: u64,
    /// Since when.
    pub(crate) modified_at: SystemTime,
}

impl From<Refused> for Answer {
    fn from(refused: Refused) -> Self {
        let is_over = refused == Refused::GIVEN_WAY || refused.status == Refused::LATE.status;
        Self {
            status: refused.status,
            ack: refused.ack(),
            connection: if is_over {
                Afterwards::Close
            } else {
                Afterwards::Keep
            },
        }
    }
}

impl From<Ack> for Answer {
    fn from(ack: Ack) -> Self {
        Self {
            status: StatusCode::OK,
            ack,
            connection: Afterwards::Keep,
        }
    }
}

impl Uploads {
    /// Answers a packet. It runs to its end though the future is dropped; what
    /// is left of a body is read after the answer.
    pub(crate) async fn answer<B>(&self, asked: Asked, packet: Packet, body: B) -> Answer
    where
        B: Body<Data = Bytes> + Unpin + Send + 'static,
    {
        let (tell, told) = oneshot::channel();
        let uploads = self.clone();
        let mut body = body;
        self.0.tasks.spawn(async move {
            let stall = asked.stall;
            let answer = uploads.packet(&asked, packet, &mut body).await;
            let answer = answer.map_or_else(Answer::from, Answer::from);
            let goes_on = answer.connection == Afterwards::Keep;
            // Who has gone does not hear it.
            let _ = tell.send(answer);
            if goes_on {
                let rest = receive::drain(&mut body, stall);
                uploads.0.stop.run_until_cancelled(rest).await;
            }
        });
        told.await.unwrap_or_else(|_| Refused::BROKEN.into())
    }

    /// The reply to an upload of `by`, if there is one.
    pub(crate) async fn reply(
        &self,
        folder: &Folder,
        by: &Uploader,
        id: JobId,
    ) -> Option<ReplyFile> {
        let entry = self.0.sessions.find(id)?;
        let is_his = entry.owner.as_deref() == by.name() && entry.folder == folder.settings.path;
        if !is_his || entry.is_closed() {
            return None;
        }
        let (held, _) = entry.hold().await?;
        let (_, found) = work(held, |session| session.reply()).await?;
        let file = found.ok()??;
        let there = file.metadata().ok()?;
        entry.touch(clock::now_s());
        Some(ReplyFile {
            octets: there.len(),
            modified_at: there.modified().ok()?,
            file,
        })
    }

    async fn packet<B>(&self, asked: &Asked, packet: Packet, body: &mut B) -> Result<Ack, Refused>
    where
        B: Body<Data = Bytes> + Unpin,
    {
        match packet {
            Packet::Ping => Ok(Ack::default()),
            Packet::CreateSession { .. } => self.create(asked).await,
            Packet::Fragment { session, range } => {
                self.fragment(asked, &session, range, body).await
            }
            Packet::CloseSession { session, .. } => self.end(asked, &session, "closed").await,
            Packet::CancelSession { session } => self.end(asked, &session, "cancelled").await,
        }
    }

    /// [MC-BUP] 3.2.5.1: a session, and a place for its octets.
    async fn create(&self, asked: &Asked) -> Result<Ack, Refused> {
        let settings = &asked.folder.settings;
        let id = JobId::from_octets(uuid::Uuid::new_v4().into_bytes());
        let now_s = clock::now_s();
        let owner = asked.by.name().map(str::to_owned);
        let record = Record {
            owner: owner.clone(),
            folder: settings.path.clone(),
            target: asked.target.clone(),
            inode: 0,
            total: None,
            synced: 0,
            phase: Phase::Receiving,
            reply: None,
            touched_at: now_s,
        };
        let entry = Entry::new(
            id,
            owner,
            settings.path.clone(),
            asked.target.clone(),
            now_s,
        );
        let (mut held, _) = entry.hold().await.ok_or(Refused::BROKEN)?;
        let most = settings.max_sessions_per_user;
        let entry = self.0.sessions.add(entry, most);
        let entry = entry.map_err(|_| Refused::TOO_MANY)?;
        let (folder, ledger) = (Arc::clone(&asked.folder), Arc::clone(&self.0.ledger));
        let begun = spawn_blocking(move || Session::begin(id, record, folder, ledger)).await;
        match begun.unwrap_or(Err(Refused::BROKEN)) {
            Ok(session) => *held = Some(session),
            Err(refused) => {
                self.0.sessions.remove(&entry);
                return Err(refused);
            }
        }
        let account = asked.by.name().unwrap_or("anonymous");
        debug!(session = %id, account, folder = settings.path, target = asked.target, "Upload begun");
        Ok(Ack {
            has_chosen_protocol: true,
            session: SessionId::parse(&id.to_string()),
            host: settings.host_id.as_ref().map(|host| HostId {
                host: host.clone(),
                fall_back_after_s: Some(settings.host_id_fallback_timeout_s),
            }),
            ..Ack::default()
        })
    }

    /// [MC-BUP] 3.2.5.3: octets; with the last of them the file gets to its
    /// place.
    async fn fragment<B>(
        &self,
        asked: &Asked,
        session: &SessionId,
        range: FragmentRange,
        body: &mut B,
    ) -> Result<Ack, Refused>
    where
        B: Body<Data = Bytes> + Unpin,
    {
        let entry = self.find(asked, session).filter(|entry| !entry.is_closed());
        let entry = entry.ok_or(Refused::NO_SESSION)?;
        let most = asked.folder.settings.max_upload_size;
        if most > 0 && range.total > most {
            return Err(Refused::TOO_LARGE);
        }
        let (held, give_way) = entry.hold().await.ok_or(Refused::GIVEN_WAY)?;
        let id = entry.id;
        let (held, begun) = work(held, move |session| begin(session, range))
            .await
            .ok_or(Refused::NO_SESSION)?;
        let (take, next) = begun?;
        entry.touch(clock::now_s());
        match take {
            Take::OtherTotal => Err(Refused::INVALID),
            Take::OutOfStep => {
                rest(held);
                Err(Refused::out_of_step(next))
            }
            Take::Repeated => self.finish(asked, held, id).await,
            Take::Store { skip } => {
                let patience = Patience {
                    stall: asked.stall,
                    give_way: &give_way,
                    stop: &self.0.stop,
                };
                let received = receive::receive(held, body, skip, range.length, patience).await;
                let (held, end) = received.ok_or(Refused::NO_SESSION)?;
                let here = held.as_ref().map_or(0, |session| session.octets);
                Counter::UploadOctets.add(here.saturating_sub(next));
                entry.touch(clock::now_s());
                match end {
                    End::Whole if here == range.total => self.finish(asked, held, id).await,
                    End::Whole => {
                        rest(held);
                        Ok(Ack {
                            session: SessionId::parse(session.as_str()),
                            next_octet: Some(here),
                            ..Ack::default()
                        })
                    }
                    End::Late => {
                        rest(held);
                        Err(Refused {
                            next: Some(here),
                            ..Refused::LATE
                        })
                    }
                    End::Broken | End::GivenWay => {
                        rest(held);
                        Err(Refused::GIVEN_WAY)
                    }
                    End::Failed(failure) => {
                        rest(held);
                        Err(refused(id, &failure))
                    }
                }
            }
        }
    }

    /// All octets are here: the application behind is told, if there is one, and
    /// the file gets to its place. What was done before a failure is not done
    /// again by a repeat of the last fragment.
    async fn finish(&self, asked: &Asked, held: Held, id: JobId) -> Result<Ack, Refused> {
        let (mut held, received) = work(held, move |session| {
            let received = session.receive_all();
            session.rest();
            received.map(|()| session.record.phase)
        })
        .await
        .ok_or(Refused::NO_SESSION)?;
        let before = received.map_err(|failure| refused(id, &failure))?;
        if before == Phase::Received {
            held = self.tell(asked, held, id).await?;
        }
        let (held, put) = work(held, |session| match session.record.phase {
            Phase::Wanted => session.put(),
            Phase::Lost => Err(Refused::GONE),
            Phase::Receiving | Phase::Received | Phase::Done | Phase::Closed => Ok(()),
        })
        .await
        .ok_or(Refused::NO_SESSION)?;
        put?;
        let session = held.as_ref().ok_or(Refused::NO_SESSION)?;
        if before != Phase::Done {
            Counter::UploadCompleted.bump();
            let account = asked.by.name().unwrap_or("anonymous");
            let (folder, target) = (&asked.folder.settings.path, &asked.target);
            info!(session = %id, account, folder, target, octets = session.octets, "Upload complete");
        }
        Ok(Ack {
            session: SessionId::parse(&id.to_string()),
            next_octet: Some(session.octets),
            reply_url: session.record.reply.as_ref().map(|reply| match reply {
                Reply::File => reply_url(id),
                Reply::Elsewhere(url) => url.clone(),
            }),
            ..Ack::default()
        })
    }

    /// Tells the application behind.
    async fn tell(&self, asked: &Asked, held: Held, id: JobId) -> Result<Held, Refused> {
        let by_value = asked.folder.settings.notification == Notification::Value;
        let (held, by) = work(held, move |session| -> Result<By, Failure> {
            Ok(if by_value {
                let (data, reply) = session.hand_over()?;
                By::Value { data, reply }
            } else {
                let (data, reply) = session.show()?;
                By::Reference { data, reply }
            })
        })
        .await
        .ok_or(Refused::NO_SESSION)?;
        let notice = Notice {
            url: asked
                .folder
                .notification_url
                .clone()
                .ok_or(Refused::BROKEN)?,
            session: id,
            original_url: asked.original_url.clone(),
            query: asked.query.clone(),
            by: by.map_err(|failure| refused(id, &failure))?,
        };
        let told = self.0.stop.run_until_cancelled(notify::tell(notice)).await;
        let heard = told.unwrap_or(Err(Refused::GIVEN_WAY))?;
        let (held, kept) = work(held, move |session| {
            session.answered(heard.elsewhere, heard.wants_file)
        })
        .await
        .ok_or(Refused::NO_SESSION)?;
        kept.map_err(|failure| refused(id, &failure))?;
        Ok(held)
    }

    /// [MC-BUP] 3.2.5.4, 3.2.5.5: the session ends, and what is beside the
    /// destination goes. Of a session that has ended that way this is true
    /// already.
    async fn end(
        &self,
        asked: &Asked,
        session: &SessionId,
        how: &'static str,
    ) -> Result<Ack, Refused> {
        let entry = self.find(asked, session).ok_or(Refused::NO_SESSION)?;
        let ack = Ack {
            session: SessionId::parse(session.as_str()),
            ..Ack::default()
        };
        if entry.is_closed() {
            return Ok(ack);
        }
        let (held, _) = entry.hold().await.ok_or(Refused::GIVEN_WAY)?;
        let now_s = clock::now_s();
        let Some((mut held, discarded)) = work(held, move |session| {
            session.discard()?;
            let phase = session.record.phase;
            session.record.phase = Phase::Closed;
            session.record.touched_at = now_s;
            session.keep(Keeping::Likely)?;
            Ok(phase)
        })
        .await
        else {
            // Another packet has ended it meanwhile.
            return Ok(ack);
        };
        let phase = discarded.map_err(|failure: Failure| refused(entry.id, &failure))?;
        *held = None;
        entry.touch(now_s);
        if let Some(oldest) = self.0.sessions.close(&entry) {
            let ledger = Arc::clone(&self.0.ledger);
            spawn_blocking(move || ledger.forget(oldest));
        }
        let account = asked.by.name().unwrap_or("anonymous");
        debug!(session = %entry.id, account, ?phase, how, "Upload session ended");
        match phase {
            Phase::Lost => Err(Refused::GONE),
            Phase::Receiving | Phase::Received | Phase::Wanted | Phase::Done | Phase::Closed => {
                Ok(ack)
            }
        }
    }

    /// The session, if it is his who asks, at this destination.
    fn find(&self, asked: &Asked, session: &SessionId) -> Option<Arc<Entry>> {
        let id = session.as_str().parse().ok()?;
        let settings = &asked.folder.settings;
        let entry = self.0.sessions.find(id)?;
        let is_his = entry.owner.as_deref() == asked.by.name()
            && entry.folder == settings.path
            && entry.target == asked.target
            && entry.silent_for_s(clock::now_s()) <= settings.session_timeout_s;
        is_his.then_some(entry)
    }
}

/// What is done with a fragment, and the octet that is expected.
fn begin(session: &mut Session, range: FragmentRange) -> Result<(Take, u64), Refused> {
    match session.record.phase {
        Phase::Receiving => {
            let ready = session.ready();
            ready.map_err(|failure| refused(session.id, &failure))?;
        }
        Phase::Lost => return Err(Refused::GONE),
        Phase::Received | Phase::Wanted | Phase::Done | Phase::Closed => {}
    }
    let next = session.octets;
    let take = Take::of(range, next, session.record.total);
    match take {
        Take::Store { .. } | Take::Repeated => session.record.total = Some(range.total),
        Take::OutOfStep | Take::OtherTotal => {}
    }
    Ok((take, next))
}

/// Closes what is open until the next packet, which waits for that.
fn rest(mut held: Held) {
    if let Some(session) = held.as_mut() {
        session.rest();
    }
}
