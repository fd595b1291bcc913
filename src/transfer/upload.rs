//! Sends one file to a server: by the BITS upload protocol ([MC-BUP] 3.1), or in
//! one request where the job names the method.
//!
//! ```text
//! Create-Session ─► Fragment … Fragment ─► reply ─► Close-Session
//!      ▲  Ping (resume, BITS-Host-Id) ─┘▲ └ the server's offset rules
//!      └── the server does not know the session
//! ```
//!
//! What a server names (a host, the address of a reply) is inside the same fence
//! as what the job names, but as with redirects neither credentials nor a client
//! certificate goes there.

mod fragments;
mod host;
mod reply;
mod whole;

use std::future::Future;
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::Ordering;
use std::time::Duration;

use hyper::HeaderMap;
use hyper::Method;
use hyper::StatusCode;
use hyper::header;
use hyper::header::HeaderValue;
use url::Url;

use super::Failure;
use super::FailureKind;
use super::Order;
use super::Reports;
use super::Session;
use super::answer::Answer;
use super::clock;
use super::http_origin::Ask;
use super::http_origin::HttpOrigin;
use super::outgoing::Outgoing;
use super::outgoing::Sent;
use super::source::Source;
use super::upload_packet;
use super::upload_packet::Ack;
use super::upload_packet::Packet;
use super::upload_packet::SessionId;
use crate::bits::ErrorContext;
use crate::bits::File;
use crate::bits::FileReport;
use crate::bits::Hresult;
use crate::bits::Phase;
use crate::bits::ReplyFile;
use crate::bits::Upload;
use crate::bits::Validator;

pub(super) use reply::as_file;
pub(super) use reply::reply_data;

/// One file on its way to a server.
pub(super) struct Uploading<'a> {
    /// The way there.
    pub(super) session: &'a Session,
    /// What is sent.
    pub(super) source: Source,
    /// What is wanted.
    pub(super) order: Order,
    /// Who is told.
    pub(super) reports: &'a dyn Reports,
    /// Where the answer lands, if the job wants one.
    pub(super) reply: Option<ReplyFile>,
    /// Where it goes.
    url: Url,
    /// How it stands, as it was told last.
    upload: Upload,
    /// Octets that the server has.
    confirmed: u64,
    /// Of these are told.
    told: u64,
    told_at: tokio::time::Instant,
    /// The address of the reply in full; a secret in it is not told.
    reply_url: Option<Url>,
    /// What a server names as its host is not followed any more.
    stays_home: bool,
}

/// Why a session does not go on.
enum Broken {
    /// The server does not know it (any more).
    SessionLost,
    /// The host that has it cannot be used; the one of the URL may be.
    HostLost,
    /// The upload has failed.
    Failed(Failure),
}

impl From<Failure> for Broken {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// What a server said to a packet.
struct Said {
    status: StatusCode,
    ack: Option<Ack>,
    /// Why it is no success.
    refusal: Option<Failure>,
    /// It may have heard it twice.
    was_repeated: bool,
}

impl<'a> Uploading<'a> {
    /// An upload that goes on from where `order` stands.
    ///
    /// # Errors
    ///
    /// [`Failure`] when the address cannot be read, or the source is not as it was
    /// when the upload began.
    pub(super) fn new(
        session: &'a Session,
        source: Source,
        order: Order,
        reports: &'a dyn Reports,
        reply: Option<ReplyFile>,
    ) -> Result<Self, Failure> {
        let url = address(&order.file)?;
        session.origin.home.get_or_init(|| url.origin());
        let mut upload = order.file.upload.as_deref().cloned().unwrap_or_default();
        source.check(*upload.source.get_or_insert(source.stamp))?;
        let reply_url = upload.reply_url.as_deref();
        let reply_url = reply_url.and_then(|text| Url::parse(text).ok());
        Ok(Self {
            confirmed: order.file.durable.min(source.stamp.size),
            told: order.file.durable,
            told_at: clock::instant(),
            stays_home: false,
            session,
            source,
            order,
            reports,
            reply,
            url,
            upload,
            reply_url,
        })
    }

    /// Runs to the end of the upload.
    ///
    /// # Errors
    ///
    /// [`Failure`]; what the server has confirmed by then is reported.
    pub(super) async fn run(mut self) -> Result<(), Failure> {
        let ended = match self.session.options.method.as_deref() {
            None | Some(upload_packet::METHOD) => self.by_packets().await,
            Some(method @ ("PUT" | "POST")) => self.in_one_request(method).await,
            Some(method) => Err(Failure::fatal(
                ErrorContext::GeneralQueueManager,
                Hresult::E_NOTIMPL,
                format!("{method} is no method of uploads: BITS_POST, PUT and POST are"),
            )),
        };
        let Err(failure) = ended else {
            return Ok(());
        };
        let confirmed = self.confirmed;
        self.order.written.store(confirmed, Ordering::Relaxed);
        if self.told != confirmed {
            // The failure says more than that nobody listens.
            let _ = self.reports.report(FileReport::Durable(confirmed)).await;
        }
        Err(failure)
    }

    /// By the BITS upload protocol.
    async fn by_packets(&mut self) -> Result<(), Failure> {
        for _ in 0..MAX_SESSIONS {
            match self.one_session().await {
                Ok(()) => return Ok(()),
                Err(Broken::Failed(failure)) => return Err(failure),
                Err(Broken::SessionLost) => self.forget_session(),
                Err(Broken::HostLost) => {
                    self.stays_home = true;
                    self.upload.host = None;
                    self.upload.fall_back_at = None;
                }
            }
        }
        Err(Failure::for_now(
            ErrorContext::RemoteFile,
            Hresult::BG_E_SESSION_NOT_FOUND,
            format!(
                "sending to {}: the server does not know the sessions that it gave",
                self.shown()
            ),
        ))
    }

    async fn one_session(&mut self) -> Result<(), Broken> {
        let id = self.upload.session.as_deref().and_then(SessionId::parse);
        let id = match id {
            Some(id) => {
                self.ping().await?;
                self.begin(false).await?;
                id
            }
            None => self.create().await?,
        };
        self.send_fragments(&id).await?;
        self.fetch_reply().await?;
        self.close(&id).await
    }

    fn forget_session(&mut self) {
        self.upload = Upload {
            source: self.upload.source,
            ..Upload::default()
        };
        self.reply_url = None;
        self.confirmed = 0;
        self.order.written.store(0, Ordering::Relaxed);
    }

    async fn create(&mut self) -> Result<SessionId, Broken> {
        self.forget_session();
        let packet = Packet::CreateSession {
            content_name: self.content_name(),
        };
        let said = self.send(&packet, self.nothing()).await?;
        if let Some(refusal) = said.refusal {
            return Err(refusal.into());
        }
        let doing = format!("asking {} for an upload session", self.shown());
        let ack = said.ack.ok_or_else(|| no_ack(&doing))?;
        if !ack.has_chosen_protocol {
            return Err(Failure::fatal(
                ErrorContext::RemoteFile,
                Hresult::BG_E_CLIENT_SERVER_PROTOCOL_MISMATCH,
                format!("{doing}: the server chose no protocol that is known"),
            )
            .into());
        }
        let id = ack.session.ok_or_else(|| no_ack(&doing))?;
        self.upload.session = Some(id.to_string());
        if let Some(named) = ack.host
            && !self.stays_home
        {
            self.move_to(named, clock::date().into());
        }
        self.begin(self.told > 0 || self.order.file.upload.is_some())
            .await?;
        self.tell().await?;
        if self.upload.host.is_some() {
            self.ping().await?;
        }
        Ok(id)
    }

    /// Opens a connection, so that what keeps it from opening costs no octets of
    /// the file.
    async fn ping(&mut self) -> Result<(), Broken> {
        let said = self.send(&Packet::Ping, self.nothing()).await?;
        match said.refusal {
            None => Ok(()),
            Some(refusal) => Err(self.lost_or(refusal)),
        }
    }

    /// The server has the file; from here on it is its own.
    async fn close(&mut self, id: &SessionId) -> Result<(), Broken> {
        let was_closing = self.upload.is_closing;
        if !was_closing {
            self.upload.is_closing = true;
            self.tell().await?;
        }
        let packet = Packet::CloseSession {
            session: id.clone(),
            content_name: self.content_name(),
        };
        let said = self.send(&packet, self.nothing()).await?;
        match said.refusal {
            None => {}
            // The Ack of an earlier try was lost.
            Some(refusal) if is_session_lost(&refusal) && (was_closing || said.was_repeated) => {}
            Some(refusal) => return Err(self.lost_or(refusal)),
        }
        let size = self.source.stamp.size;
        self.order.written.store(size, Ordering::Relaxed);
        self.told = size;
        Ok(self.report(FileReport::Done(size)).await?)
    }

    /// Sends a packet to the host that has the session.
    async fn send(&self, packet: &Packet, body: Outgoing) -> Result<Said, Broken> {
        let url = self.host_url();
        let mut headers = packet.write();
        if matches!(&body, Outgoing::Part { left: 0, .. }) {
            headers.insert(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
        }
        let asked = self.ask(&url, upload_packet::METHOD, headers, body).await;
        let answer = match asked {
            Ok(answer) => answer,
            Err(failure) if self.may_fall_back(&failure) => return Err(Broken::HostLost),
            Err(failure) => return Err(failure.into()),
        };
        let ack = Ack::read(&answer.headers).map_err(|malformed| {
            Failure::fatal(
                ErrorContext::RemoteFile,
                Hresult::BG_E_INVALID_SERVER_RESPONSE,
                format!("asking for {}: {malformed}", answer.shown),
            )
        })?;
        let said = Said {
            status: answer.status,
            was_repeated: answer.was_repeated,
            refusal: refusal(&answer, ack.as_ref(), packet),
            ack,
        };
        answer.discard().await;
        Ok(said)
    }

    /// Asks, until somebody stops it.
    async fn ask(
        &self,
        url: &Url,
        method: &str,
        headers: HeaderMap,
        body: Outgoing,
    ) -> Result<Answer<'a>, Failure> {
        let ask = Ask {
            method: Method::from_bytes(method.as_bytes()).map_err(|_| {
                Failure::fatal(
                    ErrorContext::GeneralQueueManager,
                    Hresult::E_INVALIDARG,
                    format!("{method} is no HTTP method"),
                )
            })?,
            headers,
            body,
            ..Ask::default()
        };
        let asked = self.session.origin.ask(url, &ask);
        let asked = self.unless_stopped(asked).await;
        // A source that cannot be read, or that somebody writes, looks like a
        // connection that broke.
        if asked.is_err()
            && let Outgoing::Part { sent, .. } = &ask.body
        {
            self.check_source()?;
            if let Some(error) = sent.broken.get() {
                let failure = Failure::from_local_error("reading the source", error);
                return Err(failure.at(Phase::LocalFile));
            }
        }
        asked
    }

    async fn unless_stopped<T>(
        &self,
        work: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        tokio::select! {
            biased;
            () = self.order.stop.cancelled() => Err(Failure::stopped()),
            done = work => done,
        }
    }

    /// A body without octets, whose sender has the patience that an upload needs.
    fn nothing(&self) -> Outgoing {
        self.part(0, 0, Arc::default())
    }

    fn part(&self, at: u64, left: u64, sent: Arc<Sent>) -> Outgoing {
        Outgoing::Part {
            file: Arc::clone(&self.source.file),
            at,
            left,
            sent,
        }
    }

    /// A body that shows how far it has gone.
    fn shown_part(&self, at: u64, left: u64) -> Outgoing {
        let octets = Arc::clone(&self.order.written);
        octets.store(at, Ordering::Relaxed);
        let broken = OnceLock::new();
        self.part(at, left, Arc::new(Sent { octets, broken }))
    }

    fn check_source(&self) -> Result<(), Failure> {
        self.source
            .check(self.upload.source.unwrap_or(self.source.stamp))
    }

    fn lost_or(&self, refusal: Failure) -> Broken {
        if is_session_lost(&refusal) {
            Broken::SessionLost
        } else if self.wants_log_on(&refusal) {
            Broken::HostLost
        } else {
            Broken::Failed(refusal)
        }
    }

    /// The size is known, and data flows.
    async fn begin(&mut self, restarted: bool) -> Result<(), Failure> {
        if restarted {
            self.told = 0;
        }
        self.report(FileReport::Began {
            size: Some(self.source.stamp.size),
            validator: Validator::default(),
            restarted,
        })
        .await
    }

    /// Has it kept how the upload stands.
    async fn tell(&self) -> Result<(), Failure> {
        let upload = Box::new(self.upload.clone());
        self.report(FileReport::Upload(upload)).await
    }

    async fn report(&self, report: FileReport) -> Result<(), Failure> {
        let told = self.reports.report(report).await;
        told.map_err(|_| Failure::stopped())
    }

    fn content_name(&self) -> Option<String> {
        let name = self.order.file.path.file_name()?;
        Some(upload_packet::content_name(&name.to_string_lossy()))
    }

    fn shown(&self) -> String {
        super::remote::redact(&self.host_url())
    }
}

/// Gives the server's part of an upload up ([MC-BUP] 3.1.4.6). A refusal is final:
/// the server has nothing that it would still drop.
///
/// # Errors
///
/// [`Failure`], for now, when the server was not heard or could not.
pub(super) async fn cancel(origin: &HttpOrigin, file: &File) -> Result<(), Failure> {
    let Some(upload) = file.upload.as_deref().filter(|_| !file.transferred) else {
        return Ok(());
    };
    let Some(session) = upload.session.as_deref().and_then(SessionId::parse) else {
        return Ok(());
    };
    let url = address(file)?;
    origin.home.get_or_init(|| url.origin());
    let mut headers = Packet::CancelSession { session }.write();
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
    let ask = Ask {
        method: Method::from_bytes(upload_packet::METHOD.as_bytes())
            .map_err(|_| Failure::stopped())?,
        headers,
        ..Ask::default()
    };
    let named = upload.host.as_deref();
    let host = named.and_then(|host| host::at_host(&url, host));
    let at = host.as_ref().unwrap_or(&url);
    let answer = match origin.ask(at, &ask).await {
        Err(failure) if failure.kind == FailureKind::Fatal => return Ok(()),
        other => other?,
    };
    let ack = Ack::read(&answer.headers).unwrap_or_default();
    let error = ack.and_then(|ack| ack.error);
    let is_lost = error.is_some_and(|error| error.code == Hresult::BG_E_SESSION_NOT_FOUND);
    let failed = answer.status.is_server_error() && !is_lost;
    let failure = answer.to_failure();
    answer.discard().await;
    if failed && failure.kind != FailureKind::Fatal {
        return Err(failure);
    }
    Ok(())
}

fn address(file: &File) -> Result<Url, Failure> {
    Url::parse(&file.remote_url).map_err(|error| {
        Failure::fatal(
            ErrorContext::RemoteFile,
            Hresult::E_INVALIDARG,
            format!("the remote address cannot be read: {error}"),
        )
    })
}

/// What an answer that is no success is to the job: the status says whether to try
/// again ("Handling Server Application Errors"), the Ack says what it is.
fn refusal(answer: &Answer<'_>, ack: Option<&Ack>, packet: &Packet) -> Option<Failure> {
    let error = ack.and_then(|ack| ack.error);
    if answer.status.is_success() && error.is_none() {
        return None;
    }
    let mut failure = answer.to_failure();
    failure.detail = format!("{} to {}", failure.detail, packet.name());
    if let Some(error) = error {
        failure.code = error.code;
        failure.context = error.context;
        // The server will not have room for it later either.
        if error.code == Hresult::BG_E_TOO_LARGE {
            failure.kind = FailureKind::Fatal;
        }
    }
    Some(failure.at(Phase::Asking).of(&answer.shown))
}

fn is_session_lost(refusal: &Failure) -> bool {
    refusal.code == Hresult::BG_E_SESSION_NOT_FOUND
}

fn no_ack(doing: &str) -> Failure {
    Failure::fatal(
        ErrorContext::RemoteFile,
        Hresult::BG_E_INVALID_SERVER_RESPONSE,
        format!("{doing}: the answer is none of the BITS upload protocol"),
    )
}

/// Sessions that are begun in one attempt; a server that loses each one is broken.
const MAX_SESSIONS: u32 = 4;

/// [`super::Order::written`] is told for good at least this often, when data
/// flows.
const TELL_TIME: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests;
