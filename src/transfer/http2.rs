//! A connection that several files of a job share (RFC 9113).
//!
//! Unlike one of HTTP/1.1 it has a task: none of those who share it is there
//! all the time. Its windows follow the line (hyper measures it by pings).

use std::fmt;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use hyper::Request;
use hyper::Response;
use hyper::Uri;
use hyper::Version;
use hyper::body::Incoming;
use hyper::client::conn::http2;
use hyper::header;
use hyper::rt::Read;
use hyper::rt::Write;
use hyper_util::rt::TokioExecutor;
use hyper_util::rt::TokioTimer;
use tokio::task::AbortHandle;

use super::connection::Way;
use super::outgoing::Outgoing;
use super::pool::Connections;
use super::pool::Place;

/// The connection. A clone is another of those who share it.
#[derive(Clone)]
pub(super) struct Shared {
    sender: http2::SendRequest<Outgoing>,
    life: Arc<Life>,
}

struct Life {
    driver: AbortHandle,
    /// Given back once the connection is closed.
    place: Mutex<Option<Place>>,
}

/// The right to send one request at a time over a shared connection.
pub(super) struct Lease {
    /// None at the very end.
    shared: Option<Shared>,
    of: Connections,
    way: Way,
}

impl Shared {
    /// Makes a connection of a stream on which HTTP/2 was agreed.
    ///
    /// # Errors
    ///
    /// Of hyper.
    pub(super) async fn begin<S>(stream: S) -> hyper::Result<Self>
    where
        S: Read + Write + Send + Unpin + 'static,
    {
        let (sender, driver) = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .adaptive_window(true)
            .max_header_list_size(MAX_HEADERS)
            .keep_alive_interval(PING)
            .keep_alive_timeout(PONG)
            .handshake(stream)
            .await?;
        // How it ends is seen by those who wait for answers.
        let driver = tokio::spawn(async move {
            let _ = driver.await;
        });
        Ok(Self {
            sender,
            life: Arc::new(Life {
                driver: driver.abort_handle(),
                place: Mutex::default(),
            }),
        })
    }

    /// Gives it its place.
    pub(super) fn give_place(&self, place: Place) {
        *self.place() = Some(place);
    }

    /// Takes the place of a connection that is closed next.
    pub(super) fn take_place(&self) -> Option<Place> {
        self.place().take()
    }

    /// Can a request be sent?
    pub(super) fn is_open(&self) -> bool {
        !self.sender.is_closed()
    }

    /// Is this the only one that is left of those who share it?
    pub(super) fn is_idle(&self) -> bool {
        Arc::strong_count(&self.life) == 1
    }

    fn place(&self) -> std::sync::MutexGuard<'_, Option<Place>> {
        self.life
            .place
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lease {
    /// Shares `shared`, one of `of` along `way`.
    pub(super) fn new(shared: Shared, of: Connections, way: Way) -> Self {
        Self {
            shared: Some(shared),
            of,
            way,
        }
    }

    /// Sends a request and waits for the head of the answer; waits before
    /// while the server has as many streams as it takes.
    ///
    /// # Errors
    ///
    /// Of hyper.
    pub(super) async fn send(
        &mut self,
        request: Request<Outgoing>,
    ) -> hyper::Result<Response<Incoming>> {
        let shared = self.shared.as_mut().expect("there until it is dropped");
        shared.sender.ready().await?;
        shared
            .sender
            .send_request(adapted(request, &self.way))
            .await
    }

    /// Can a request be sent?
    pub(super) fn is_open(&self) -> bool {
        self.shared.as_ref().is_some_and(Shared::is_open)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        drop(self.shared.take());
        self.of.lease_ended(&self.way);
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Shared(…)")
    }
}

/// The request with the whole address in its target and without `Host`
/// (RFC 9113 8.3.1).
fn adapted(mut request: Request<Outgoing>, way: &Way) -> Request<Outgoing> {
    let authority = request
        .headers_mut()
        .remove(header::HOST)
        .and_then(|host| host.to_str().map(str::to_owned).ok())
        .unwrap_or_else(|| way.authority());
    let path = request
        .uri()
        .path_and_query()
        .map_or("/", |path| path.as_str())
        .to_owned();
    let whole = Uri::builder()
        .scheme("https")
        .authority(authority)
        .path_and_query(path)
        .build();
    if let Ok(whole) = whole {
        *request.uri_mut() = whole;
    }
    *request.version_mut() = Version::HTTP_2;
    request
}

/// Octets of the headers of an answer, by the count of RFC 9113 6.5.2.
const MAX_HEADERS: u32 = 64 * 1_024;

/// A connection on which nothing comes is asked whether it still stands.
const PING: Duration = Duration::from_secs(20);
const PONG: Duration = Duration::from_secs(20);

#[cfg(test)]
mod tests;
