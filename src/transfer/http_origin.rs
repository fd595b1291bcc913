//! Asks an HTTP server for a file: connections, proxies, log-on, redirects.
//! What the answer means for the file is not known here.

use std::time::Duration;

use hyper::HeaderMap;
use hyper::Method;
use hyper::Request;
use hyper::StatusCode;
use hyper::Version;
use hyper::body::Body as _;
use hyper::body::Bytes;
use hyper::body::Incoming;
use hyper::header;
use hyper::header::HeaderName;
use hyper::header::HeaderValue;
use tracing::debug;
use url::Url;

use super::Failure;
use super::clock;
use super::connection::Connection;
use super::connection::Dialer;
use super::connection::Way;
use super::fault;
use super::log_on::LogOn;
use super::log_on::Verdict;
use super::outgoing::Outgoing;
use super::pool::Pool;
use super::proxy::Proxies;
use super::remote;
use crate::bits::AuthTarget;
use crate::bits::ErrorContext;
use crate::bits::Hresult;

/// The way to the servers of one job.
#[derive(Debug)]
pub(super) struct HttpOrigin {
    /// Makes connections.
    pub(super) dialer: Dialer,
    /// Which proxies they go through.
    pub(super) proxies: Proxies,
    /// Connections that wait for the next file.
    pub(super) pool: Pool,
    /// Until an answer begins, or goes on.
    pub(super) idle_timeout: Duration,
    /// How often an answer may redirect.
    pub(super) max_redirects: u32,
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
    Answered(Answer<'a>),
    /// The connection was cut before.
    Lost(Failure),
}

/// The head of an answer, and the way to its body.
#[derive(Debug)]
pub(super) struct Answer<'a> {
    /// Its status.
    pub(super) status: StatusCode,
    /// Its headers.
    pub(super) headers: HeaderMap,
    /// What was asked for and where it led, for people.
    pub(super) shown: String,
    origin: &'a HttpOrigin,
    way: Way,
    connection: Connection,
    body: Incoming,
    /// The body was read to its end.
    ended: bool,
}

impl HttpOrigin {
    /// Asks something of `url`, follows where the server sends us,
    /// and logs on where it asks.
    ///
    /// Dropping the future half-way closes the connection.
    ///
    /// # Errors
    ///
    /// [`Failure`]. Statuses other than redirects and challenges are answers.
    pub(super) async fn ask(&self, url: &Url, ask: &Ask) -> Result<Answer<'_>, Failure> {
        let mut at = url.clone();
        let mut redirects = 0;
        loop {
            // INVARIANT: credentials go to the origin that the job names, never
            // to one that a server names.
            let trusted = at.origin() == url.origin();
            let answer = self.hop(&at, ask, trusted).await?;
            if !matches!(answer.status.as_u16(), 300..=303 | 307 | 308) {
                return Ok(answer);
            }
            let Some(location) = answer.headers.get(header::LOCATION) else {
                return Ok(answer);
            };
            redirects += 1;
            let refused = |why: &str| {
                Failure::fatal(
                    ErrorContext::RemoteFile,
                    Hresult::WININET_E_REDIRECT_FAILED,
                    format!("asking for {}: {why}", answer.shown),
                )
            };
            if redirects > self.max_redirects {
                return Err(refused("the server redirects too often"));
            }
            let next = location
                .to_str()
                .ok()
                .and_then(|location| at.join(location).ok())
                .and_then(|next| remote::parse(next.as_str()).ok())
                .and_then(|next| Url::parse(&next.url).ok())
                .ok_or_else(|| refused("the server redirects to no http or https URL"))?;
            if at.scheme() == "https" && next.scheme() != "https" {
                return Err(refused("the server redirects from https to http"));
            }
            answer.discard().await;
            at = next;
        }
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
        for proxy in proxies {
            let way = Way {
                proxy: Some(proxy),
                ..direct.clone()
            };
            match self.hop_along(&way, url, ask, trusted).await {
                Err(failure)
                    if [
                        Hresult::WININET_E_CANNOT_CONNECT,
                        Hresult::WININET_E_NAME_NOT_RESOLVED,
                        Hresult::WININET_E_TIMEOUT,
                    ]
                    .contains(&failure.code) =>
                {
                    last = Some(failure);
                }
                other => return other,
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
        let mut server = trusted.then(|| {
            let realm = (AuthTarget::Server, url.origin().ascii_serialization());
            LogOn::new(wallet, realm, &way.host)
        });
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
                None => self.connection(way, was_lost).await?,
            };
            let mut request = self.request(url, ask, &target)?;
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
            let mut answer = match self.exchange(way, url, request, connection).await? {
                Sent::Answered(answer) => answer,
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
                return Ok(answer);
            }
            kept = answer.keep().await;
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
    async fn connection(&self, way: &Way, anew: bool) -> Result<(Connection, bool), Failure> {
        if !anew && let Some(connection) = self.pool.take(way).await {
            return Ok((connection, true));
        }
        Ok((self.dialer.dial(way).await?, false))
    }

    fn request(&self, url: &Url, ask: &Ask, target: &str) -> Result<Request<Outgoing>, Failure> {
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
        self.fill(request.headers_mut(), url, ask);
        Ok(request)
    }

    /// One request and the head of its answer.
    async fn exchange(
        &self,
        way: &Way,
        url: &Url,
        request: Request<Outgoing>,
        mut connection: Connection,
    ) -> Result<Sent<'_>, Failure> {
        let shown = remote::redact(url);
        let doing = format!("asking for {shown}");
        let sent = tokio::time::timeout(self.idle_timeout, connection.send(request));
        match sent.await {
            Ok(Ok(response)) => {
                let (head, body) = response.into_parts();
                if head.version < Version::HTTP_10 {
                    return Err(Failure::fatal(
                        ErrorContext::RemoteFile,
                        Hresult::BG_E_INSUFFICIENT_HTTP_SUPPORT,
                        format!("{doing}: the server speaks no HTTP/1.1"),
                    ));
                }
                debug!(url = %shown, status = head.status.as_u16(), "Answer begins");
                Ok(Sent::Answered(Answer {
                    status: head.status,
                    headers: head.headers,
                    shown,
                    origin: self,
                    way: way.clone(),
                    connection,
                    ended: body.is_end_stream(),
                    body,
                }))
            }
            Ok(Err(error)) if !error.is_parse() => Ok(Sent::Lost(fault::classify(&error, &doing))),
            Ok(Err(error)) => Err(fault::classify(&error, &doing)),
            Err(_) => Err(Failure::transport(
                Hresult::WININET_E_TIMEOUT,
                format!("{doing}: no answer in time"),
            )),
        }
    }

    fn fill(&self, headers: &mut HeaderMap, url: &Url, ask: &Ask) {
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
        add(header::ACCEPT, "*/*");
        add(header::ACCEPT_ENCODING, "identity");
        add(header::USER_AGENT, &self.dialer.user_agent);
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

impl Answer<'_> {
    /// The value of a header, if it is there and is text.
    pub(super) fn header(&self, name: HeaderName) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Octets of the body, if they are known beforehand.
    pub(super) fn length(&self) -> Option<u64> {
        self.body.size_hint().exact()
    }

    /// The next octets of the body; `None` at its end.
    ///
    /// Dropping the future half-way loses nothing.
    ///
    /// # Errors
    ///
    /// [`Failure`] when the body is cut off.
    pub(super) async fn data(&mut self) -> Option<Result<Bytes, Failure>> {
        let Some(data) = self.connection.data(&mut self.body).await else {
            self.ended = true;
            return None;
        };
        Some(data.map_err(|error| fault::classify(&error, &format!("reading {}", self.shown))))
    }

    /// Ends an answer whose body was read to its end; the connection serves
    /// others.
    pub(super) fn finish(self) {
        if self.ended {
            self.origin.pool.put(self.way, self.connection);
        }
    }

    /// Ends an answer whose body nobody wants. A short one is read, to keep
    /// the connection.
    pub(super) async fn discard(self) {
        let (origin, way) = (self.origin, self.way.clone());
        if let Some(connection) = self.keep().await {
            origin.pool.put(way, connection);
        }
    }

    /// The same, for the next request of the same log-on: the connection, if
    /// it still stands.
    async fn keep(mut self) -> Option<Connection> {
        let mut octets = 0;
        let read = async {
            while let Some(Ok(data)) = self.data().await {
                octets += data.len();
                if octets > MAX_DISCARD {
                    return false;
                }
            }
            self.ended
        };
        if !tokio::time::timeout(DISCARD_TIME, read)
            .await
            .unwrap_or(false)
        {
            return None;
        }
        self.connection.is_usable().await.then_some(self.connection)
    }

    /// The failure that the status of this answer is.
    pub(super) fn to_failure(&self) -> Failure {
        let retry_after = self
            .header(header::RETRY_AFTER)
            .and_then(|text| fault::retry_after(text, clock::date()));
        let doing = format!("asking for {}", self.shown);
        fault::from_status(self.status.as_u16(), retry_after, &doing)
    }
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

/// Octets of a body that is read only to keep the connection.
const MAX_DISCARD: usize = 64 * 1_024;

/// How long that may take.
const DISCARD_TIME: Duration = Duration::from_secs(2);
