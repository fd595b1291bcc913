//! The answer of an HTTP server: its head, and the way to its body.

use std::fs;
use std::time::Duration;

use hyper::HeaderMap;
use hyper::StatusCode;
#[cfg(test)]
use hyper::Version;
use hyper::body::Body as _;
use hyper::body::Bytes;
use hyper::body::Incoming;
use hyper::header;
use hyper::header::HeaderName;
use hyper::header::HeaderValue;
use url::Url;

use super::Failure;
use super::clock;
use super::connection::Connection;
use super::connection::Way;
use super::fault;
use super::http_origin::HttpOrigin;
use super::sink::WRITING;
use super::splice;
use crate::bits::Phase;

/// The head of an answer, and the way to its body.
#[derive(Debug)]
pub(super) struct Answer<'a> {
    /// Its status.
    pub(super) status: StatusCode,
    /// Its headers.
    pub(super) headers: HeaderMap,
    /// What was asked for and where it led, for people.
    pub(super) shown: String,
    /// The request was sent twice: the first may have been taken too.
    pub(super) was_repeated: bool,
    /// From the request to this head.
    pub(super) trip: Duration,
    /// Where redirects led, if the job wants to know.
    pub(super) moved: Option<Url>,
    /// Of HTTP, in which it came.
    #[cfg(test)]
    pub(super) version: Version,
    /// Who gave it.
    pub(super) origin: &'a HttpOrigin,
    /// Where its connection leads.
    pub(super) way: Way,
    /// What it comes over.
    pub(super) connection: Connection,
    /// What follows the head, as far as hyper reads it.
    pub(super) body: Incoming,
    /// The body was read to its end.
    pub(super) ended: bool,
}

impl Answer<'_> {
    /// The value of a header, if it is there and is text.
    pub(super) fn header(&self, name: HeaderName) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Octets of the body, if they are known beforehand.
    pub(super) fn length(&self) -> Option<u64> {
        self.connection
            .rest()
            .or_else(|| self.body.size_hint().exact())
    }

    /// The next octets of the body; `None` at its end.
    ///
    /// Dropping the future half-way loses nothing.
    ///
    /// # Errors
    ///
    /// [`Failure`] when the body is cut off.
    pub(super) async fn data(&mut self) -> Option<Result<Bytes, Failure>> {
        if self.ended {
            return None;
        }
        let is_rest = self.connection.rest().is_some();
        let data = self.connection.data(&mut self.body).await;
        // Behind the rest the connection waits for the next request.
        self.ended = match &data {
            None => true,
            Some(data) => {
                is_rest && data.is_ok() && self.connection.rest().is_none_or(|left| left == 0)
            }
        };
        let data = data?;
        Some(data.map_err(|error| self.broken(&*error)))
    }

    /// Moves what comes next of the body into `file` at `at`, at most `most`
    /// octets, and says how many; none means that [`Answer::data`] is to be used.
    ///
    /// Dropping the future half-way loses nothing.
    ///
    /// # Errors
    ///
    /// [`Failure`] when the body is cut off, or of the file.
    pub(super) async fn pass(
        &mut self,
        file: &fs::File,
        at: u64,
        most: u64,
    ) -> Result<u64, Failure> {
        let passed = self.connection.pass(file, at, most).await;
        let octets = passed.map_err(|broken| match broken {
            splice::Broken::Stream(error) => self.broken(&error),
            splice::Broken::File(error) => Failure::from_local_error(WRITING, &error),
        })?;
        self.ended |= octets > 0 && self.connection.rest().is_none_or(|left| left == 0);
        Ok(octets)
    }

    /// The failure of a body that does not come.
    fn broken(&self, error: &(dyn std::error::Error + 'static)) -> Failure {
        fault::classify(error, &format!("reading {}", self.shown))
            .at(Phase::Receiving)
            .of(&self.shown)
    }

    /// Was all of the body handed out?
    pub(super) fn is_at_its_end(&mut self) -> bool {
        self.ended |= self.connection.rest().is_none() && self.body.is_end_stream();
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
    pub(super) async fn discard(self) {
        let (origin, way) = (self.origin, self.way.clone());
        if let Some(connection) = self.keep().await {
            origin.pool.put(way, connection);
        }
    }

    /// The same, for the next request of the same log-on: the connection, if
    /// it still stands.
    pub(super) async fn keep(mut self) -> Option<Connection> {
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
        let now = clock::date();
        let retry_after = self
            .header(header::RETRY_AFTER)
            .and_then(|text| fault::retry_after(text, now));
        let doing = format!("asking for {}", self.shown);
        fault::from_status(self.status.as_u16(), retry_after, now, &doing).of(&self.shown)
    }

    /// Where the answer sends us.
    pub(super) fn redirect(&self) -> Option<&HeaderValue> {
        let status = self.status.as_u16();
        let location = self.headers.get(header::LOCATION);
        location.filter(|_| matches!(status, 300..=303 | 307 | 308))
    }
}

/// Octets of a body that is read only to keep the connection.
const MAX_DISCARD: usize = 64 * 1_024;

/// How long that may take.
const DISCARD_TIME: Duration = Duration::from_secs(2);
