//! Asks an HTTP server for a file: connections, proxies, log-on, redirects.
//! What the answer means for the file is not known here.

use std::sync::Arc;
use std::sync::OnceLock;
use std::time::Duration;

use hyper::HeaderMap;
use hyper::Method;
use hyper::Request;
use hyper::Response;
use hyper::StatusCode;
use hyper::Version;
use hyper::body::Body as _;
use hyper::body::Incoming;
use hyper::header;
use hyper::header::HeaderValue;
use tracing::debug;
use url::Url;

use super::Failure;
use super::answer::Answer;
use super::clock;
use super::connection::Connection;
use super::connection::Dialer;
use super::connection::Dialled;
use super::connection::Offer;
use super::connection::Way;
use super::custom;
use super::fault;
use super::log_on::LogOn;
use super::log_on::Verdict;
use super::out_of_order::OutOfOrder;
use super::outgoing::Outgoing;
use super::pool::Load;
use super::pool::Place;
use super::pool::Pool;
use super::pool::Turn;
use super::proxy::Proxies;
use super::remote;
use super::rest;
use crate::bits::AuthTarget;
use crate::bits::ErrorContext;
use crate::bits::Hresult;
use crate::bits::Phase;
use crate::bits::RedirectPolicy;

/// The way to the servers of one job.
#[derive(Debug)]
pub(super) struct HttpOrigin {
    /// Makes connections.
    pub(super) dialer: Dialer,
    /// Headers that the client wants sent.
    pub(super) custom: HeaderMap,
    /// Which proxies they go through.
    pub(super) proxies: Proxies,
    /// Which of them go last.
    pub(super) out_of_order: Arc<OutOfOrder>,
    /// What becomes of redirects.
    pub(super) redirects: RedirectPolicy,
    /// A redirect may lead from `https` to `http`.
    pub(super) may_downgrade: bool,
    /// Connections that wait for the next file.
    pub(super) pool: Pool,
    /// Until an answer begins, or goes on.
    pub(super) idle_timeout: Duration,
    /// How often an answer may redirect.
    pub(super) max_redirects: u32,
    /// The origin that the job names, where an address that is asked for may come
    /// from a server. Unset: it is that of the address.
    pub(super) home: OnceLock<url::Origin>,
}

/// What is asked of a server, beside its address.
#[derive(Clone, Debug, Default)]
pub(super) struct Ask {
    /// The method.
    pub(super) method: Method,
    /// The part of a file; none: all of it.
    pub(super) part: Option<Part>,
    /// Headers beside those that every request has: `BITS-…`, `Content-…`. They
    /// follow a redirect to another host too.
    pub(super) headers: HeaderMap,
    /// The body.
    pub(super) body: Outgoing,
}

/// A part of a file.
#[derive(Clone, Debug)]
pub(super) struct Part {
    /// The first octet.
    pub(super) first: u64,
    /// The last octet; none: to the end.
    pub(super) last: Option<u64>,
    /// The header `If-Range`.
    pub(super) if_range: Option<String>,
}

impl Ask {
    /// A part of a file, or all of it.
    pub(super) fn get(part: Option<Part>) -> Self {
        Self {
            part,
            ..Self::default()
        }
    }
}

/// What became of a request.
enum Sent<'a> {
    /// The answer begins.
    Answered(Box<Answer<'a>>),
    /// The connection was cut before.
    Lost(Failure),
    /// It is better asked for over a connection of its own.
    Misplaced,
}

impl HttpOrigin {
    /// Asks something of `url`, follows where the server sends us,
    /// and logs on where it asks. A redirect never changes the method, nor does
    /// it lose the body: an upload that became a GET would seem to be done.
    ///
    /// Dropping the future half-way closes the connection.
    ///
    /// # Errors
    ///
    /// [`Failure`]. Statuses other than redirects and challenges are answers.
    pub(super) async fn ask(&self, url: &Url, ask: &Ask) -> Result<Answer<'_>, Failure> {
        let mut visited = Vec::new();
        let mut at = url.clone();
        loop {
            let about = |failure: Failure| failure.of(&remote::redact(&at));
            self.check(&at).map_err(about)?;
            // INVARIANT: credentials go to the origin that the job names, never
            // to one that a server names.
            let trusted = match self.home.get() {
                Some(home) => at.origin() == *home,
                None => visited.is_empty() || at.origin() == url.origin(),
            };
            let asked = self.hop(&at, ask, trusted).await;
            let mut answer = asked.map_err(about)?;
            // What was sent has arrived; what to look at now is elsewhere
            // (RFC 9110 15.4.4).
            let was_taken = answer.status == StatusCode::SEE_OTHER && !ask.method.is_safe();
            let Some(location) = answer.redirect().filter(|_| !was_taken) else {
                if self.redirects == RedirectPolicy::Report && !visited.is_empty() {
                    answer.moved = Some(at);
                }
                return Ok(answer);
            };
            visited.push(at);
            let next = self
                .next(&visited, location)
                .map_err(|refused| refused.as_failure(&answer))?;
            debug!(from = %answer.shown, to = %remote::redact(&next), "Redirected");
            answer.discard().await;
            at = next;
        }
    }

    /// May the settings' rules be asked for this URL? They may have changed
    /// since the job was made, and servers know nothing of them.
    fn check(&self, url: &Url) -> Result<(), Failure> {
        self.dialer.fence.check_url(url).map_err(|why| {
            Failure::fatal(
                ErrorContext::RemoteFile,
                Hresult::BG_E_BLOCKED_BY_POLICY,
                format!("asking for {}: {why}", remote::redact(url)),
            )
            .at(Phase::Connecting)
        })
    }

    /// Where a redirect leads after the URLs in `visited`.
    fn next(&self, visited: &[Url], location: &HeaderValue) -> Result<Url, Refused> {
        let at = visited.last().ok_or(Refused::NoUrl)?;
        let next = location
            .to_str()
            .ok()
            .and_then(|location| at.join(location).ok())
            .and_then(|next| remote::parse(next.as_str()).ok())
            .and_then(|next| Url::parse(&next.url).ok())
            .ok_or(Refused::NoUrl)?;
        if self.redirects == RedirectPolicy::Disallow {
            return Err(Refused::Policy(next));
        }
        if at.scheme() == "https" && next.scheme() != "https" && !self.may_downgrade {
            return Err(Refused::Downgrade(next));
        }
        if visited.contains(&next) {
            return Err(Refused::Circle(next));
        }
        if visited.len() > usize::try_from(self.max_redirects).unwrap_or(usize::MAX) {
            return Err(Refused::TooMany);
        }
        Ok(next)
    }

    /// One URL, through the first proxy that can be reached.
    async fn hop(&self, url: &Url, ask: &Ask, trusted: bool) -> Result<Answer<'_>, Failure> {
        let direct = Way {
            tls: url.scheme() == "https",
            host: url
                .host_str()
                .unwrap_or("")
                .trim_matches(['[', ']'])
                .to_owned(),
            port: url.port_or_known_default().unwrap_or(80),
            proxy: None,
            trusted,
        };
        let proxies = self.proxies.for_url(url);
        if proxies.is_empty() {
            return self.hop_along(&direct, url, ask, trusted).await;
        }
        let mut last = None;
        for proxy in self.out_of_order.sort(proxies, clock::instant()) {
            let way = Way {
                proxy: Some(proxy.clone()),
                ..direct.clone()
            };
            match self.hop_along(&way, url, ask, trusted).await {
                Err(failure) if failure.is_of_reaching() => {
                    debug!(%proxy, %failure, "Proxy out of order");
                    self.out_of_order.add(proxy, clock::instant());
                    last = Some(failure);
                }
                other => {
                    self.out_of_order.remove(&proxy);
                    return other;
                }
            }
        }
        Err(last.unwrap_or_else(Failure::stopped))
    }

    /// One URL along one way; answers challenges.
    async fn hop_along(
        &self,
        way: &Way,
        url: &Url,
        ask: &Ask,
        trusted: bool,
    ) -> Result<Answer<'_>, Failure> {
        // Through a proxy, plain HTTP names the whole URL (RFC 9112 3.2.2).
        let absolute = way.proxy.is_some() && !way.tls;
        let target = request_target(url, absolute);
        let wallet = &self.dialer.wallet;
        let realm = (AuthTarget::Server, url.origin().ascii_serialization());
        // One connection to itself is faster for many octets, and a shared one
        // for many requests; some log-ons need one to themselves.
        let is_long = ask.part.is_some()
            || !ask.body.is_end_stream()
            || !ask.method.is_safe()
            || trusted && wallet.binds_connections(&realm);
        let mut load = if is_long { Load::Long } else { Load::Unknown };
        let mut server = trusted.then(|| LogOn::new(wallet, realm, &way.host));
        // A tunnel is logged on where it is made.
        let mut proxy = way.proxy.as_ref().filter(|_| absolute).map(|proxy| {
            let realm = (AuthTarget::Proxy, format!("{}:{}", proxy.host, proxy.port));
            LogOn::new(wallet, realm, &proxy.host)
        });
        let mut kept: Option<Connection> = None;
        let mut was_lost = false;
        for _ in 0..MAX_ASKS {
            let is_kept = kept.is_some();
            let (connection, was_pooled) = match kept.take() {
                Some(connection) => (connection, false),
                None => self.connection(way, load, was_lost).await?,
            };
            let mut request = self.request(url, ask, &target, trusted)?;
            let line = connection.log_ons.server(connection.end_point.as_ref());
            if let Some(log_on) = &mut server {
                let answer = log_on.answer(ask.method.as_str(), &target, line).await?;
                answer.map(|answer| request.headers_mut().insert(header::AUTHORIZATION, answer));
            }
            if let Some(log_on) = &mut proxy {
                let line = connection.log_ons.proxy();
                let answer = log_on.answer(ask.method.as_str(), &target, line).await?;
                let name = header::PROXY_AUTHORIZATION;
                answer.map(|answer| request.headers_mut().insert(name, answer));
            }
            let asks_only =
                |log_on: &Option<LogOn<'_>>| log_on.as_ref().is_some_and(LogOn::holds_back_body);
            let holds_back = asks_only(&server) || asks_only(&proxy);
            if holds_back {
                hold_back(&mut request);
            }
            let mut answer = match self.exchange(way, url, request, load, connection).await? {
                Sent::Answered(answer) => *answer,
                Sent::Misplaced => {
                    load = Load::Long;
                    continue;
                }
                // The server may have closed an idle connection just now: that
                // says nothing about the request.
                Sent::Lost(failure) => {
                    let has_shown = |log_on: &Option<LogOn<'_>>| {
                        log_on.as_ref().is_some_and(LogOn::has_shown_proof)
                    };
                    let is_harmless = is_kept && !has_shown(&server) && !has_shown(&proxy);
                    if was_lost || !(was_pooled || is_harmless) {
                        return Err(failure);
                    }
                    was_lost = true;
                    load = Load::Long;
                    let log_ons = [&mut server, &mut proxy].into_iter().flatten();
                    log_ons.for_each(LogOn::lost_connection);
                    continue;
                }
            };
            let is_challenge = [
                StatusCode::UNAUTHORIZED,
                StatusCode::PROXY_AUTHENTICATION_REQUIRED,
            ]
            .contains(&answer.status);
            let mut again = holds_back && !is_challenge;
            if again {
                // Nobody asks who we are any more: now with the body.
                let log_ons = [&mut server, &mut proxy];
                log_ons.into_iter().flatten().for_each(LogOn::give_up);
            } else {
                again = self.judge(&mut answer, &mut proxy, &mut server).await?;
            }
            if !again {
                answer.was_repeated = was_lost;
                return Ok(answer);
            }
            // A log-on may need a connection to itself.
            load = Load::Long;
            kept = answer.keep().await.filter(|kept| !kept.is_leased());
            if kept.is_none() {
                let log_ons = [&mut server, &mut proxy];
                log_ons
                    .into_iter()
                    .flatten()
                    .for_each(LogOn::lost_connection);
            }
        }
        Err(Failure::fatal(
            ErrorContext::RemoteFile,
            Hresult::WININET_E_INVALID_SERVER_RESPONSE,
            format!("asking for {}: the log-on has no end", remote::redact(url)),
        ))
    }

    /// Holds when the same is to be asked again.
    async fn judge(
        &self,
        answer: &mut Answer<'_>,
        proxy: &mut Option<LogOn<'_>>,
        server: &mut Option<LogOn<'_>>,
    ) -> Result<bool, Failure> {
        let connection = &mut answer.connection;
        if let Some(log_on) = proxy {
            let line = connection.log_ons.proxy();
            match log_on.hear(answer.status, &answer.headers, line).await? {
                Verdict::Again => return Ok(true),
                Verdict::Final { logs_on } => connection.log_ons.proxy |= logs_on,
            }
        }
        // The server has not seen what the proxy has refused.
        if let Some(log_on) = server
            && answer.status != StatusCode::PROXY_AUTHENTICATION_REQUIRED
        {
            let line = connection.log_ons.server(connection.end_point.as_ref());
            match log_on.hear(answer.status, &answer.headers, line).await? {
                Verdict::Again => return Ok(true),
                Verdict::Final { logs_on } => connection.log_ons.server |= logs_on,
            }
        }
        Ok(false)
    }

    /// A connection along `way`, and whether it has waited for this; `anew`
    /// makes one.
    async fn connection(
        &self,
        way: &Way,
        load: Load,
        anew: bool,
    ) -> Result<(Connection, bool), Failure> {
        loop {
            return match self.pool.take(way, load).await {
                // What has waited may have been closed as well.
                Turn::Use(connection) if anew && !connection.is_leased() => continue,
                Turn::Use(connection) => Ok((*connection, true)),
                Turn::Dial(place) => Ok((self.dial(way, place).await?, false)),
                Turn::Offer(place, agreeing) => {
                    match self.dialer.dial(way, place, Offer::Both).await? {
                        Dialled::Own(connection) => {
                            agreeing.refused(way);
                            Ok((connection, false))
                        }
                        // It counts as one that served: another may be tried.
                        Dialled::Shared(shared) => Ok((agreeing.agreed(way, shared), true)),
                    }
                }
            };
        }
    }

    fn request(
        &self,
        url: &Url,
        ask: &Ask,
        target: &str,
        trusted: bool,
    ) -> Result<Request<Outgoing>, Failure> {
        let mut request = Request::new(ask.body.clone());
        *request.method_mut() = ask.method.clone();
        *request.uri_mut() = target.parse().map_err(|_| {
            Failure::fatal(
                ErrorContext::RemoteFile,
                Hresult::E_INVALIDARG,
                format!(
                    "{} is no address that can be asked for",
                    remote::redact(url)
                ),
            )
        })?;
        self.fill(request.headers_mut(), url, ask, trusted);
        Ok(request)
    }

    /// One request and the head of its answer.
    async fn exchange(
        &self,
        way: &Way,
        url: &Url,
        request: Request<Outgoing>,
        load: Load,
        mut connection: Connection,
    ) -> Result<Sent<'_>, Failure> {
        let shown = remote::redact(url);
        let doing = || format!("asking for {shown}");
        // Of all else the answer is short, or comes while something is sent.
        let may_be_long = request.method() == Method::GET && request.body().is_end_stream();
        let is_once = request.method() == Method::POST || request.method() == Method::PATCH;
        let body = request.body().clone();
        let asked_at = clock::instant();
        let answer = connection.send(request);
        match body.in_time(self.idle_timeout, answer).await {
            Ok(Ok(response)) if load == Load::Unknown && wants_its_own(&connection, &response) => {
                Ok(Sent::Misplaced)
            }
            Ok(Ok(response)) => {
                let (head, mut body) = response.into_parts();
                if head.version < Version::HTTP_10 {
                    return Err(Failure::fatal(
                        ErrorContext::RemoteFile,
                        Hresult::BG_E_INSUFFICIENT_HTTP_SUPPORT,
                        format!("{}: the server speaks no HTTP/1.1", doing()),
                    )
                    .at(Phase::Asking));
                }
                debug!(url = %shown, status = head.status.as_u16(), "Answer begins");
                if may_be_long && head.status.is_success() {
                    connection.take_rest(&mut body, rest::keeps(head.version, &head.headers));
                }
                Ok(Sent::Answered(Box::new(Answer {
                    status: head.status,
                    headers: head.headers,
                    shown,
                    was_repeated: false,
                    trip: clock::instant() - asked_at,
                    moved: None,
                    #[cfg(test)]
                    version: head.version,
                    origin: self,
                    way: way.clone(),
                    ended: body.is_end_stream() && connection.rest().is_none(),
                    connection,
                    body,
                })))
            }
            Ok(Err(error)) => {
                let failure = fault::classify(&error, &doing()).at(Phase::Asking);
                if may_repeat(is_once, &error) {
                    Ok(Sent::Lost(failure))
                } else {
                    Err(failure)
                }
            }
            Err(_) => Err(Failure::transport(
                Hresult::WININET_E_TIMEOUT,
                format!("{}: no answer in time", doing()),
            )
            .at(Phase::Asking)),
        }
    }

    /// A connection of HTTP/1.1.
    async fn dial(&self, way: &Way, place: Place) -> Result<Connection, Failure> {
        match self.dialer.dial(way, place, Offer::One).await? {
            Dialled::Own(connection) => Ok(connection),
            Dialled::Shared(_) => Err(Failure::transport(
                Hresult::WININET_E_INVALID_SERVER_RESPONSE,
                format!("connecting to {way}: the server chose what was not offered"),
            )),
        }
    }

    /// Sets the headers of a request. Custom ones replace ours, but not those by
    /// which the transfer itself works.
    fn fill(&self, headers: &mut HeaderMap, url: &Url, ask: &Ask, trusted: bool) {
        let host = match (url.host_str(), url.port()) {
            (Some(host), Some(port)) => format!("{host}:{port}"),
            (host, _) => host.unwrap_or("").to_owned(),
        };
        let mut add = |name, text: &str| {
            // A value that cannot be sent came from the server or the
            // settings; without it the request is still right: a range without
            // `If-Range` is not sent below.
            if let Ok(value) = HeaderValue::from_str(text) {
                headers.insert(name, value);
                return true;
            }
            false
        };
        add(header::HOST, &host);
        add(header::USER_AGENT, &self.dialer.user_agent);
        headers.insert(header::ACCEPT, HeaderValue::from_static("*/*"));
        let identity = HeaderValue::from_static("identity");
        headers.insert(header::ACCEPT_ENCODING, identity);
        // INVARIANT: as with credentials, what the client wants to tell its server
        // is not told to one that only another server names.
        if trusted {
            custom::add(headers, &self.custom);
        }
        let mut add = |name, text: &str| {
            HeaderValue::from_str(text).is_ok_and(|value| {
                headers.insert(name, value);
                true
            })
        };
        if let Some(part) = &ask.part
            && part
                .if_range
                .as_deref()
                .is_none_or(|version| add(header::IF_RANGE, version))
        {
            let last = part.last.map_or(String::new(), |last| last.to_string());
            add(header::RANGE, &format!("bytes={}-{last}", part.first));
        }
        for (name, value) in &ask.headers {
            headers.insert(name, value.clone());
        }
    }
}

/// Why a redirect is not followed.
#[derive(Debug)]
enum Refused {
    /// It leads to nothing that can be asked for.
    NoUrl,
    /// The job follows none.
    Policy(Url),
    /// It leads out of TLS.
    Downgrade(Url),
    /// It leads where we come from.
    Circle(Url),
    /// There are more than the settings allow.
    TooMany,
}

impl Refused {
    fn as_failure(&self, answer: &Answer<'_>) -> Failure {
        let status = answer.status.as_u16();
        let why = match self {
            Self::NoUrl => "the server redirects to no http or https URL".to_owned(),
            Self::Policy(to) => format!(
                "HTTP status {status}: the server redirects to {}, and the job follows no \
                 redirects (security flag 0x200)",
                remote::redact(to)
            ),
            Self::Downgrade(to) => format!(
                "the server redirects from https to http, to {}; security flag 0x800 of the job \
                 would allow it",
                remote::redact(to)
            ),
            Self::Circle(to) => {
                format!(
                    "the server redirects in a circle, to {}",
                    remote::redact(to)
                )
            }
            Self::TooMany => {
                "the server redirects too often (setting transfer.max_redirects)".to_owned()
            }
        };
        let code = match self {
            // As an answer that nobody has followed.
            Self::Policy(_) => Hresult::from_http_status(status),
            Self::NoUrl | Self::Downgrade(_) | Self::Circle(_) | Self::TooMany => {
                Hresult::WININET_E_REDIRECT_FAILED
            }
        };
        let detail = format!("asking for {}: {why}", answer.shown);
        Failure::fatal(ErrorContext::RemoteFile, code, detail)
            .at(Phase::Asking)
            .of(&answer.shown)
            .with_status(status)
    }
}

/// Can a request whose connection broke be sent again? One that is taken twice
/// must not be, unless it was not sent at all (RFC 9110 9.2.2).
fn may_repeat(is_once: bool, error: &hyper::Error) -> bool {
    !error.is_parse() && (!is_once || error.is_canceled())
}

/// Is this answer, over a shared connection, better asked for over another? A
/// big body is, and what the server takes for misdirected (RFC 9110 15.5.20).
fn wants_its_own(connection: &Connection, response: &Response<Incoming>) -> bool {
    let is_big = response
        .body()
        .size_hint()
        .exact()
        .is_some_and(|length| length >= LONG);
    connection.is_leased() && (is_big || response.status() == StatusCode::MISDIRECTED_REQUEST)
}

fn request_target(url: &Url, absolute: bool) -> String {
    if absolute {
        return url.as_str().to_owned();
    }
    match url.query() {
        Some(query) => format!("{}?{query}", url.path()),
        None => url.path().to_owned(),
    }
}

/// Takes the body off a request that only asks who may send it.
fn hold_back(request: &mut Request<Outgoing>) {
    let had_body = !request.body().is_end_stream();
    *request.body_mut() = Outgoing::Empty;
    let headers = request.headers_mut();
    if had_body || headers.contains_key(header::CONTENT_LENGTH) {
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
    }
    headers.insert(header::CONNECTION, HeaderValue::from_static("keep-alive"));
}

/// How often one thing is asked of one server: the legs of two log-ons, a nonce
/// that was too old, and a connection that was lost.
const MAX_ASKS: usize = 16;
/// Octets of a body that gets a connection to itself.
const LONG: u64 = 8 * 1_024 * 1_024;
