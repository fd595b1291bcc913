//! Asks an HTTP server for a file: connections, proxies, log-on, redirects.
//! What the answer means for the file is not known here.

use std::time::Duration;

use hyper::HeaderMap;
use hyper::Method;
use hyper::Request;
use hyper::Response;
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
use super::connection::Dialled;
use super::connection::Offer;
use super::connection::Way;
use super::credentials::Realm;
use super::fault;
use super::outgoing::Outgoing;
use super::pool::Load;
use super::pool::Place;
use super::pool::Pool;
use super::pool::Turn;
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

/// The head of an answer, and the way to its body.
#[derive(Debug)]
pub(super) struct Answer<'a> {
    /// Its status.
    pub(super) status: StatusCode,
    /// Its headers.
    pub(super) headers: HeaderMap,
    /// What was asked for and where it led, for people.
    pub(super) shown: String,
    #[cfg(test)]
    version: Version,
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
        let server: Realm = (AuthTarget::Server, url.origin().ascii_serialization());
        let proxy: Option<Realm> = way
            .proxy
            .as_ref()
            .filter(|_| absolute)
            .map(|proxy| (AuthTarget::Proxy, format!("{}:{}", proxy.host, proxy.port)));
        let wallet = &self.dialer.wallet;
        let mut answered_server = false;
        let mut answered_proxy = false;
        loop {
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
            let headers = request.headers_mut();
            self.fill(headers, url, ask);
            if trusted && let Some(answer) = wallet.answer(&server, ask.method.as_str(), &target) {
                add_secret(headers, header::AUTHORIZATION, &answer);
            }
            if let Some(realm) = &proxy
                && let Some(answer) = wallet.answer(realm, ask.method.as_str(), &target)
            {
                add_secret(headers, header::PROXY_AUTHORIZATION, &answer);
            }
            let answer = self.exchange(way, url, request).await?;
            let challenges = |name: HeaderName| {
                let all = answer.headers.get_all(name).iter();
                all.filter_map(|value| value.to_str().ok())
            };
            let again = match answer.status {
                StatusCode::UNAUTHORIZED if trusted && !answered_server => {
                    answered_server = true;
                    wallet.challenge(&server, challenges(header::WWW_AUTHENTICATE))
                }
                StatusCode::PROXY_AUTHENTICATION_REQUIRED if !answered_proxy => {
                    answered_proxy = true;
                    proxy.as_ref().is_some_and(|realm| {
                        wallet.challenge(realm, challenges(header::PROXY_AUTHENTICATE))
                    })
                }
                _ => false,
            };
            if !again {
                return Ok(answer);
            }
            answer.discard().await;
        }
    }

    /// One request and the head of its answer.
    async fn exchange(
        &self,
        way: &Way,
        url: &Url,
        request: Request<Outgoing>,
    ) -> Result<Answer<'_>, Failure> {
        let shown = remote::redact(url);
        let doing = format!("asking for {shown}");
        // One connection to itself is faster for many octets, and a shared one
        // for many requests.
        let is_long = request.headers().contains_key(header::RANGE)
            || !request.body().is_end_stream()
            || !request.method().is_safe();
        let mut load = if is_long { Load::Long } else { Load::Unknown };
        let (mut connection, mut was_pooled) = self.connection(way, load).await?;
        loop {
            let sent = tokio::time::timeout(self.idle_timeout, connection.send(request.clone()));
            match sent.await {
                Ok(Ok(response))
                    if load == Load::Unknown && wants_its_own(&connection, &response) =>
                {
                    // Or it would wait for itself where there is one place only.
                    drop((response, connection));
                    load = Load::Long;
                    (connection, was_pooled) = self.connection(way, load).await?;
                }
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
                    return Ok(Answer {
                        status: head.status,
                        headers: head.headers,
                        shown,
                        #[cfg(test)]
                        version: head.version,
                        origin: self,
                        way: way.clone(),
                        connection,
                        ended: body.is_end_stream(),
                        body,
                    });
                }
                // The server may have closed an idle connection just now: that
                // says nothing about the request.
                Ok(Err(error)) if was_pooled && !error.is_parse() => {
                    was_pooled = false;
                    if let Some(place) = connection.take_place() {
                        connection = self.dial(way, place).await?;
                    } else {
                        // A shared one: a request that a server refuses, or has
                        // not begun when it says good-bye, is not done (RFC 9113
                        // 6.8, 8.7); only what is safe is sent that way at all.
                        drop(connection);
                        load = Load::Long;
                        (connection, _) = self.connection(way, load).await?;
                    }
                }
                Ok(Err(error)) => return Err(fault::classify(&error, &doing)),
                Err(_) => {
                    return Err(Failure::transport(
                        Hresult::WININET_E_TIMEOUT,
                        format!("{doing}: no answer in time"),
                    ));
                }
            }
        }
    }

    /// A connection, and whether it served before.
    async fn connection(&self, way: &Way, load: Load) -> Result<(Connection, bool), Failure> {
        match self.pool.take(way, load).await {
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

impl<'a> Answer<'a> {
    /// Who gave it.
    pub(super) fn origin(&self) -> &'a HttpOrigin {
        self.origin
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

    /// Of HTTP, in which it came.
    #[cfg(test)]
    pub(super) fn version(&self) -> Version {
        self.version
    }

    /// Was all of the body handed out?
    pub(super) fn is_at_its_end(&mut self) -> bool {
        self.ended |= self.body.is_end_stream();
        self.ended
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
    pub(super) async fn discard(mut self) {
        let mut octets = 0;
        let read = async {
            while let Some(Ok(data)) = self.data().await {
                octets += data.len();
                if octets > MAX_DISCARD {
                    return false;
                }
            }
            true
        };
        if let Ok(true) = tokio::time::timeout(DISCARD_TIME, read).await {
            self.finish();
        }
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

fn add_secret(headers: &mut HeaderMap, name: HeaderName, text: &str) {
    if let Ok(mut value) = HeaderValue::from_str(text) {
        value.set_sensitive(true);
        headers.insert(name, value);
    }
}

/// Octets of a body that gets a connection to itself.
const LONG: u64 = 8 * 1_024 * 1_024;

/// Octets of a body that is read only to keep the connection.
const MAX_DISCARD: usize = 64 * 1_024;

/// How long that may take.
const DISCARD_TIME: Duration = Duration::from_secs(2);
