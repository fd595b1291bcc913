//! The addresses that are listened to, which can change while connections are
//! served.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;

use axum::Router;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::error;
use tracing::info;
use tracing::warn;

use super::Tls;
use super::bind::Error;
use super::bind::listen;
use super::budget::Budget;
use super::serving;
use super::serving::Shared;
use super::tls::Acceptors;
use crate::config::Current;
use crate::telemetry::line_budget::LineBudget;

/// Sockets that are bound, and what is needed to serve them. Clients can
/// connect from here on; they are answered once [`Listener::serve`] runs.
#[derive(Debug)]
pub(crate) struct Listener {
    sockets: Sockets,
    acceptors: Arc<Acceptors>,
    settings: Arc<Current>,
    stop_timeout: Duration,
}

/// The addresses that are listened to: a handle, to show and to change them.
#[derive(Clone, Debug)]
pub(crate) struct Sockets(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    state: Mutex<State>,
    /// One change at a time.
    turn: Semaphore,
}

#[derive(Debug)]
struct State {
    open: Vec<Open>,
    phase: Phase,
}

enum Phase {
    /// Bound, not served yet.
    Bound,
    Serving(Arc<Shared>),
    /// Nothing is served any more.
    Ended,
}

/// One address.
#[derive(Debug)]
struct Open {
    /// As the settings have it; the port may be 0.
    asked: SocketAddr,
    /// As it is.
    bound: SocketAddr,
    socket: Socket,
}

#[derive(Debug)]
enum Socket {
    /// Nobody accepts yet.
    Waiting(TcpListener),
    Accepting {
        close: CancellationToken,
        /// Ends when the socket is closed.
        closed: JoinHandle<()>,
    },
}

/// Binds every address of the settings. Needs a runtime around it.
///
/// # Errors
///
/// [`Error`], and then none is bound.
pub(crate) fn bind(settings: &Arc<Current>, tls: &Tls) -> Result<Listener, Error> {
    let now = settings.get();
    let acceptors = Acceptors::new(tls, &now.access).map_err(Error::Authorities)?;
    let open = bind_all(&now.service.listen)?;
    Ok(Listener {
        sockets: Sockets(Arc::new(Inner {
            state: Mutex::new(State {
                open,
                phase: Phase::Bound,
            }),
            turn: Semaphore::new(1),
        })),
        acceptors: Arc::new(acceptors),
        settings: Arc::clone(settings),
        stop_timeout: Duration::from_secs(now.service.stop_timeout_s),
    })
}

impl Listener {
    /// What shows and changes the addresses.
    pub(crate) fn sockets(&self) -> Sockets {
        self.sockets.clone()
    }

    /// What takes connections, to prepare it for other settings.
    pub(crate) fn acceptors(&self) -> Arc<Acceptors> {
        Arc::clone(&self.acceptors)
    }

    /// See [`Sockets::addresses`].
    pub(crate) fn addresses(&self) -> Vec<SocketAddr> {
        self.sockets.addresses()
    }

    /// Serves `router` until `stop`, then lets requests end, but not beyond
    /// the stop timeout. Each request has its `Arc<Connection>` among its
    /// extensions. All tasks have ended when it returns; dropping the future
    /// cuts all connections off.
    pub(crate) async fn serve(self, router: Router, stop: CancellationToken) {
        let tasks = TaskTracker::new();
        let end = CancellationToken::new();
        let shared = Arc::new(Shared {
            router,
            acceptors: Arc::clone(&self.acceptors),
            budget: Arc::new(Budget::new(&self.settings)),
            settings: Arc::clone(&self.settings),
            lines: LineBudget::default(),
            tasks: tasks.clone(),
            stop: stop.clone(),
            end: end.clone(),
        });
        let _end_with_us = end.clone().drop_guard();
        let sockets = Ending(self.sockets.clone());
        sockets.0.0.begin(shared);
        stop.cancelled().await;
        // No address is added any more, and the router is let go.
        drop(sockets);
        tasks.close();
        if timeout(self.stop_timeout, tasks.wait()).await.is_err() {
            warn!(connections = tasks.len(), "Connections cut off");
            end.cancel();
            tasks.wait().await;
        }
    }
}

/// Ends the sockets when it is dropped.
struct Ending(Sockets);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.0.end();
    }
}

impl Sockets {
    /// The addresses, with the port that the system chose where the settings
    /// say 0.
    pub(crate) fn addresses(&self) -> Vec<SocketAddr> {
        self.0.lock().open.iter().map(|open| open.bound).collect()
    }

    /// Listens on `wanted` and nowhere else. What is new is bound first; then
    /// what is gone is closed, but connections that came over it live on. An
    /// address that is listened to stays as it is, also one that was asked for
    /// with port 0 and is asked for so again.
    ///
    /// Where an old address stands in the way of a new one on the same port
    /// (`127.0.0.1` of `0.0.0.0`), the old one is closed first: for a moment
    /// nobody is listening there.
    ///
    /// The change runs to its end though the future is dropped.
    ///
    /// # Errors
    ///
    /// [`Error`], and then everything is as it was.
    pub(crate) async fn listen_on(&self, wanted: Vec<SocketAddr>) -> Result<(), Error> {
        let inner = Arc::clone(&self.0);
        let change = tokio::spawn(async move { inner.change(wanted).await });
        change.await.unwrap_or(Err(Error::Stopping))
    }
}

impl Inner {
    /// Accepts from what is bound.
    fn begin(&self, shared: Arc<Shared>) {
        let mut state = self.lock();
        state.phase = Phase::Serving(shared);
        let bound = std::mem::take(&mut state.open);
        state.add(bound);
    }

    /// Lets go of everything.
    fn end(&self) {
        let mut state = self.lock();
        let open = std::mem::take(&mut state.open);
        let phase = std::mem::replace(&mut state.phase, Phase::Ended);
        drop(state);
        for one in &open {
            if let Socket::Accepting { close, .. } = &one.socket {
                close.cancel();
            }
        }
        drop((open, phase));
    }

    async fn change(&self, wanted: Vec<SocketAddr>) -> Result<(), Error> {
        if wanted.is_empty() {
            return Err(Error::Nowhere);
        }
        let _turn = self.turn.acquire().await.map_err(|_| Error::Stopping)?;
        let (new, gone) = self.lock().compare(&wanted)?;
        let stands_in_the_way =
            |old: &SocketAddr| new.iter().any(|address| overlap(*address, *old));
        let (clear, blocked): (Vec<SocketAddr>, Vec<SocketAddr>) = new
            .iter()
            .partition(|address| !gone.iter().any(|old| overlap(**address, *old)));
        let mut bound = bind_all(&clear)?;
        if !blocked.is_empty() {
            let in_the_way: Vec<SocketAddr> =
                gone.iter().copied().filter(stands_in_the_way).collect();
            let asked = self.close(&in_the_way).await;
            match bind_all(&blocked) {
                Ok(more) => bound.extend(more),
                Err(error) => {
                    drop(bound);
                    self.open_again(asked);
                    return Err(error);
                }
            }
        }
        {
            let mut state = self.lock();
            if matches!(state.phase, Phase::Ended) {
                return Err(Error::Stopping);
            }
            state.name(&wanted);
            for open in &bound {
                info!(address = %open.bound, "Listening for WS-Management over HTTPS");
            }
            state.add(bound);
        }
        for (_, address) in self.close(&gone).await {
            info!(%address, "No longer listening");
        }
        Ok(())
    }

    /// Closes those that are bound to `addresses`, and waits until they are.
    /// What was asked for, and where it was bound.
    async fn close(&self, addresses: &[SocketAddr]) -> Vec<(SocketAddr, SocketAddr)> {
        let closing = self.lock().take(addresses);
        let mut closed = Vec::with_capacity(closing.len());
        for open in closing {
            closed.push((open.asked, open.bound));
            match open.socket {
                Socket::Waiting(socket) => drop(socket),
                Socket::Accepting {
                    close,
                    closed: ended,
                } => {
                    close.cancel();
                    // It ends by a panic too.
                    let _ = ended.await;
                }
            }
        }
        closed
    }

    /// Opens what was closed a moment ago.
    fn open_again(&self, closed: Vec<(SocketAddr, SocketAddr)>) {
        for (asked, address) in closed {
            match listen(address) {
                Ok((socket, bound)) => self.lock().add(vec![Open {
                    asked,
                    bound,
                    socket: Socket::Waiting(socket),
                }]),
                Err(cause) => error!(
                    %address,
                    cause = &cause as &dyn std::error::Error,
                    "No longer listening: somebody else took the address"
                ),
            }
        }
    }

    /// A panic leaves the list whole: each change is one call.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// What of `wanted` is not there yet, and what is there and not wanted.
    fn compare(&self, wanted: &[SocketAddr]) -> Result<(Vec<SocketAddr>, Vec<SocketAddr>), Error> {
        if matches!(self.phase, Phase::Ended) {
            return Err(Error::Stopping);
        }
        let pairs = self.pair(wanted);
        let new = pairs.iter().filter(|(_, open)| open.is_none());
        let new = new.map(|(address, _)| *address).collect();
        let kept: Vec<usize> = pairs.iter().filter_map(|(_, open)| *open).collect();
        let gone = self.open.iter().enumerate();
        let gone = gone.filter(|(place, _)| !kept.contains(place));
        Ok((new, gone.map(|(_, open)| open.bound).collect()))
    }

    /// Each of `wanted`, with the place of the one that is it already.
    fn pair(&self, wanted: &[SocketAddr]) -> Vec<(SocketAddr, Option<usize>)> {
        let mut free: Vec<bool> = vec![true; self.open.len()];
        let mut take = |fits: &dyn Fn(&Open) -> bool| {
            let place = self
                .open
                .iter()
                .zip(&free)
                .position(|(open, free)| *free && fits(open))?;
            free[place] = false;
            Some(place)
        };
        // First those that name their port, so that none with port 0 takes the
        // socket of another one away.
        let mut pairs: Vec<_> = wanted.iter().map(|address| (*address, None)).collect();
        for (address, place) in pairs.iter_mut().filter(|(address, _)| address.port() != 0) {
            *place = take(&|open| open.bound == *address);
        }
        for (address, place) in pairs.iter_mut().filter(|(address, _)| address.port() == 0) {
            *place = take(&|open| open.asked == *address);
        }
        pairs
    }

    /// Remembers how those that stay are asked for now.
    fn name(&mut self, wanted: &[SocketAddr]) {
        for (address, place) in self.pair(wanted) {
            if let Some(open) = place.and_then(|place| self.open.get_mut(place)) {
                open.asked = address;
            }
        }
    }

    /// Adds what is bound, and accepts from it if connections are served.
    fn add(&mut self, bound: Vec<Open>) {
        let Phase::Serving(shared) = &self.phase else {
            if matches!(self.phase, Phase::Bound) {
                self.open.extend(bound);
            }
            return;
        };
        for open in bound {
            let socket = match open.socket {
                Socket::Waiting(socket) => {
                    let close = CancellationToken::new();
                    let accepting = serving::accept(socket, Arc::clone(shared), close.clone());
                    Socket::Accepting {
                        close,
                        closed: shared.tasks.spawn(accepting),
                    }
                }
                accepting @ Socket::Accepting { .. } => accepting,
            };
            self.open.push(Open { socket, ..open });
        }
    }

    /// Takes out those that are bound to `addresses`.
    fn take(&mut self, addresses: &[SocketAddr]) -> Vec<Open> {
        self.open
            .extract_if(.., |open| addresses.contains(&open.bound))
            .collect()
    }
}

/// Binds all, or none.
fn bind_all(addresses: &[SocketAddr]) -> Result<Vec<Open>, Error> {
    let open = |address: &SocketAddr| {
        let (socket, bound) = listen(*address)?;
        Ok(Open {
            asked: *address,
            bound,
            socket: Socket::Waiting(socket),
        })
    };
    addresses.iter().map(open).collect()
}

/// Holds when both cannot be listened to at the same time, though they are not
/// the same.
fn overlap(one: SocketAddr, other: SocketAddr) -> bool {
    one.port() == other.port()
        && one.is_ipv4() == other.is_ipv4()
        && (one.ip().is_unspecified() || other.ip().is_unspecified() || one.ip() == other.ip())
}

impl std::fmt::Debug for Phase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Bound => "Bound",
            Self::Serving(_) => "Serving",
            Self::Ended => "Ended",
        })
    }
}

#[cfg(test)]
mod tests;
