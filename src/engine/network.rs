//! The network goes and comes back.
//!
//! Without a route to other hosts a failure on the way is nobody's fault: the
//! job waits with `BG_E_NETWORK_DISCONNECTED`, which is not counted and has no
//! timer (bits.md 2.5, 3.5). When a route is there again, every job in
//! `TRANSIENT_ERROR` goes on, whatever it failed with (bits.md 3.4). A job that
//! fetches from this host itself goes on all the time.

use std::io;
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::AddressFamily;
use rustix::net::RecvFlags;
use rustix::net::SendFlags;
use rustix::net::SocketFlags;
use rustix::net::SocketType;
use rustix::net::netlink;
use tokio::io::unix::AsyncFd;
use tokio::sync::Notify;
use tracing::info;
use tracing::warn;

use super::Error;
use super::core::Core;
use super::readable::readable;
use super::routes;
use super::routes::Said;
use crate::bits::Hresult;
use crate::bits::Input;
use crate::bits::JobError;
use crate::bits::JobId;

/// What is known of the network.
#[derive(Debug)]
pub(super) struct Network {
    is_up: AtomicBool,
    /// Somebody waits for it: whoever watches must look.
    look: Notify,
    /// What a test says of routes.
    #[cfg(test)]
    set: std::sync::Mutex<Option<bool>>,
}

impl Network {
    /// Looks for the first time.
    pub(super) fn new() -> Self {
        Self {
            is_up: AtomicBool::new(has_route()),
            look: Notify::new(),
            #[cfg(test)]
            set: std::sync::Mutex::default(),
        }
    }

    /// Some route leads to other hosts from now on, or none does.
    #[cfg(test)]
    pub(super) fn set(&self, has_route: bool) {
        *self.set.lock().expect("not poisoned") = Some(has_route);
    }

    #[cfg_attr(not(test), expect(clippy::unused_self, reason = "a test sets it"))]
    fn has_route(&self) -> bool {
        #[cfg(test)]
        if let Some(is_there) = *self.set.lock().expect("not poisoned") {
            return is_there;
        }
        has_route()
    }

    /// There is a way to other hosts, as far as is known.
    pub(super) fn is_up(&self) -> bool {
        self.is_up.load(Ordering::Relaxed)
    }

    /// What a failed attempt means: without a network it is not counted.
    pub(super) fn judge(&self, input: Input, host: &str) -> Input {
        match input {
            Input::FailedForNow { error, .. }
                if is_of_the_way(&error)
                    && !is_this_host(host)
                    && !(self.is_up() && self.has_route()) =>
            {
                self.look.notify_one();
                Input::FailedForNow {
                    error: JobError {
                        code: Hresult::BG_E_NETWORK_DISCONNECTED,
                        ..error
                    },
                    retry_after: None,
                }
            }
            other => other,
        }
    }
}

/// Watches routes until the service stops.
pub(super) async fn watch(core: Arc<Core>) {
    let changes = match changes() {
        Ok(changes) => Some(changes),
        Err(error) => {
            warn!(%error, "Changes of the network are not told; it is looked at now and then");
            None
        }
    };
    loop {
        if let Err(error) = look(&core).await {
            warn!(%error, "Jobs that wait for the network could not be looked at");
        }
        tokio::select! {
            () = core.stop.cancelled() => return,
            () = changed(changes.as_ref()) => {}
            () = core.network.look.notified() => {}
        }
        // Changes come in swarms.
        tokio::select! {
            () = core.stop.cancelled() => return,
            () = tokio::time::sleep(CALM) => {}
        }
    }
}

/// Compares with what was known, and lets the jobs know.
pub(super) async fn look(core: &Arc<Core>) -> Result<(), Error> {
    let is_up = core.network.has_route();
    let was_up = core.network.is_up.swap(is_up, Ordering::Relaxed);
    match (was_up, is_up) {
        (true, false) => {
            info!("No route leads to other hosts any more");
            put_back_running(core).await
        }
        (false, true) => {
            info!("A route leads to other hosts again");
            release_all(core).await
        }
        (true, true) => release_disconnected(core).await,
        (false, false) => Ok(()),
    }
}

/// Puts back the jobs whose transfers would stand still until they time out.
/// Those that can go on do so, the others fail at once.
async fn put_back_running(core: &Arc<Core>) -> Result<(), Error> {
    let stalled: Vec<JobId> = core
        .runs()
        .iter()
        .filter(|(_, slot)| !is_this_host(&slot.job.host))
        .map(|(id, _)| *id)
        .collect();
    core.advance_all(stalled, &Input::Preempt).await
}

/// Lets every job in `TRANSIENT_ERROR` go on, a page at a time.
async fn release_all(core: &Arc<Core>) -> Result<(), Error> {
    let mut after = None;
    while core.network.is_up() && !core.stop.is_cancelled() {
        let page = core.store.retrying(after, JOBS_PAGE)?;
        let Some(last) = page.last() else { break };
        // One that fails again meanwhile comes before this place.
        after = Some((last.wake_at.unwrap_or_default(), last.id));
        let ids = page.iter().map(|job| job.id).collect();
        core.advance_all(ids, &Input::Retry).await?;
        if !core.network.has_route() {
            core.network.look.notify_one();
            break;
        }
    }
    Ok(())
}

/// Lets those go on that lost the network in a moment which nobody saw.
async fn release_disconnected(core: &Arc<Core>) -> Result<(), Error> {
    let mut after = None;
    while !core.stop.is_cancelled() {
        let page = core.store.disconnected(after, JOBS_PAGE)?;
        let Some(last) = page.last() else { break };
        after = Some(*last);
        core.advance_all(page, &Input::Retry).await?;
    }
    Ok(())
}

/// The attempt failed between the hosts, not at one of them.
fn is_of_the_way(error: &JobError) -> bool {
    error.circumstances.status.is_none()
        && [
            Hresult::WININET_E_TIMEOUT,
            Hresult::WININET_E_NAME_NOT_RESOLVED,
            Hresult::WININET_E_CANNOT_CONNECT,
            Hresult::WININET_E_CONNECTION_ABORTED,
        ]
        .contains(&error.code)
}

/// The host is this one, whatever becomes of the network.
fn is_this_host(host: &str) -> bool {
    let is_local_name = |host: &str| host == "localhost" || host.ends_with(".localhost");
    match host.parse::<IpAddr>() {
        Ok(address) => address.to_canonical().is_loopback(),
        Err(_) => is_local_name(&host.to_ascii_lowercase()),
    }
}

/// Some route leads to other hosts; also when the kernel does not say.
fn has_route() -> bool {
    ask().unwrap_or(true)
}

fn ask() -> io::Result<bool> {
    let socket = socket(SocketFlags::CLOEXEC, 0)?;
    rustix::net::send(&socket, &routes::question(), SendFlags::empty())?;
    let mut piece = vec![0; PIECE];
    loop {
        let (count, _) = rustix::net::recv(&socket, &mut piece[..], RecvFlags::empty())?;
        match routes::read(&piece[..count]) {
            Said::Usable => return Ok(true),
            Said::End => return Ok(false),
            Said::More if count == 0 => return Ok(false),
            Said::More => {}
        }
    }
}

fn changes() -> io::Result<AsyncFd<OwnedFd>> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    readable(socket(flags, LINKS | IPV4_ROUTES | IPV6_ROUTES)?)
}

fn socket(flags: SocketFlags, groups: u32) -> io::Result<OwnedFd> {
    // The protocol with the number 0 is that of routes.
    let socket = rustix::net::socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, None)?;
    rustix::net::bind(&socket, &netlink::SocketAddrNetlink::new(0, groups))?;
    Ok(socket)
}

/// Resolves when something has changed, or may have.
async fn changed(changes: Option<&AsyncFd<OwnedFd>>) {
    let Some(changes) = changes else {
        return tokio::time::sleep(UNTOLD).await;
    };
    let Ok(mut ready) = changes.readable().await else {
        return tokio::time::sleep(UNTOLD).await;
    };
    // What changed does not matter: it is all looked at.
    let mut piece = [0; 4_096];
    // The kernel says `ENOBUFS` when more has changed than it would keep for us.
    while let Ok(_) | Err(Errno::NOBUFS | Errno::INTR) =
        rustix::net::recv(changes, &mut piece[..], RecvFlags::empty())
    {}
    ready.clear_ready();
}

/// Groups of changes (rtnetlink(7)).
const LINKS: u32 = 1;
const IPV4_ROUTES: u32 = 0x40;
const IPV6_ROUTES: u32 = 0x400;

/// The kernel's answers come in pieces of at most this.
const PIECE: usize = 32 * 1_024;

/// From a change until it is looked at.
const CALM: Duration = Duration::from_millis(200);

/// Between two looks where the kernel does not tell.
const UNTOLD: Duration = Duration::from_secs(30);

/// Jobs that are let go together.
const JOBS_PAGE: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_host_is_told_from_others() {
        for host in [
            "localhost",
            "LOCALHOST",
            "a.localhost",
            "127.0.0.9",
            "::1",
            "::ffff:127.0.0.1",
        ] {
            assert!(is_this_host(host), "{host}");
        }
        for host in ["", "h", "10.0.0.1", "localhost.test"] {
            assert!(!is_this_host(host), "{host}");
        }
    }

    #[test]
    fn the_kernel_says_whether_there_is_a_route() {
        ask().expect("routes may be asked for");
    }
}
