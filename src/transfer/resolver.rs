//! Finds the addresses of names, by the host's own resolver.
//!
//! That one blocks a thread, for minutes where a name server is silent. So
//! threads are bounded, nobody waits for one longer than he wants to, and those
//! who ask for the same name at the same time share one. Nothing is kept: each
//! new connection goes where the name leads then.

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::net::ToSocketAddrs;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::sync::watch;

use super::Failure;
use crate::bits::Hresult;
use crate::bits::Phase;

/// The one who finds addresses. Clones share their threads.
#[derive(Clone, Debug)]
pub(super) struct Resolver {
    threads: Arc<Semaphore>,
    asked: Arc<Mutex<HashMap<String, watch::Receiver<Found>>>>,
    /// The host's own, or that of a test.
    look: fn(&str) -> io::Result<Vec<IpAddr>>,
}

/// None until the resolver has said something.
type Found = Option<Result<Arc<[IpAddr]>, Arc<str>>>;

impl Default for Resolver {
    fn default() -> Self {
        Self::with(look_up)
    }
}

impl Resolver {
    fn with(look: fn(&str) -> io::Result<Vec<IpAddr>>) -> Self {
        Self {
            threads: Arc::new(Semaphore::new(MAX_THREADS)),
            asked: Arc::default(),
            look,
        }
    }

    /// The addresses of `host`, in the order in which they are to be tried: one
    /// family and the other in turn (RFC 8305 4).
    ///
    /// # Errors
    ///
    /// [`Failure`] for now: the name has no address, or none within `timeout`.
    pub(super) async fn resolve(
        &self,
        host: &str,
        timeout: Duration,
    ) -> Result<Vec<IpAddr>, Failure> {
        let failed = |why: &str| {
            let code = Hresult::WININET_E_NAME_NOT_RESOLVED;
            Failure::transport(code, format!("resolving {host}: {why}")).at(Phase::Resolving)
        };
        let found = tokio::time::timeout(timeout, self.ask(host)).await;
        match found {
            Err(_) => Err(failed("no name server answered in time")),
            Ok(Err(why)) => Err(failed(&why)),
            Ok(Ok(addresses)) if addresses.is_empty() => Err(failed("the name has no address")),
            Ok(Ok(addresses)) => Ok(in_turn(&addresses)),
        }
    }

    async fn ask(&self, host: &str) -> Result<Arc<[IpAddr]>, Arc<str>> {
        let ended = || Arc::from("the lookup was broken off");
        let permit = Arc::clone(&self.threads)
            .acquire_owned()
            .await
            .map_err(|_| ended())?;
        let mut answer = {
            let mut asked = self.asked();
            // A lookup without an end that has gone is over.
            let running = asked
                .get(host)
                .filter(|answer| answer.has_changed().is_ok());
            if let Some(answer) = running {
                drop(permit);
                answer.clone()
            } else {
                let (told, answer) = watch::channel(None);
                asked.insert(host.to_owned(), answer.clone());
                let (name, look) = (host.to_owned(), self.look);
                let own = Arc::clone(&self.asked);
                // It cannot be broken off: it ends by itself, and its thread is
                // counted until then.
                tokio::task::spawn_blocking(move || {
                    let found = look(&name).map_err(|error| Arc::from(error.to_string()));
                    own.lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .remove(&name);
                    told.send_replace(Some(found.map(Arc::from)));
                    drop(permit);
                });
                answer
            }
        };
        let found = answer.wait_for(Option::is_some).await;
        found
            .map_err(|_| ended())?
            .clone()
            .unwrap_or_else(|| Err(ended()))
    }

    fn asked(&self) -> MutexGuard<'_, HashMap<String, watch::Receiver<Found>>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn look_up(host: &str) -> io::Result<Vec<IpAddr>> {
    let found = (host, 0).to_socket_addrs()?;
    let mut addresses: Vec<IpAddr> = Vec::new();
    for address in found.map(|found| found.ip()) {
        if addresses.len() < MAX_ADDRESSES && !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    Ok(addresses)
}

/// The families in turn, beginning with that of the first address, which the
/// host prefers (RFC 6724).
fn in_turn(addresses: &[IpAddr]) -> Vec<IpAddr> {
    let first_is_v4 = addresses.first().is_some_and(IpAddr::is_ipv4);
    let (one, other): (Vec<IpAddr>, Vec<IpAddr>) = addresses
        .iter()
        .copied()
        .partition(|address| address.is_ipv4() == first_is_v4);
    let (mut one, mut other) = (one.into_iter(), other.into_iter());
    let mut all = Vec::with_capacity(addresses.len());
    loop {
        let pair = (one.next(), other.next());
        if pair == (None, None) {
            return all;
        }
        all.extend(pair.0.into_iter().chain(pair.1));
    }
}

/// Threads that look up names at the same time: far more than names are served
/// by jobs that run, few enough beside those that write files.
const MAX_THREADS: usize = 32;

/// Addresses of one name that are tried.
const MAX_ADDRESSES: usize = 16;

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;
    use std::sync::atomic::Ordering;

    use super::*;

    fn addresses(texts: &[&str]) -> Vec<IpAddr> {
        let read = texts.iter().map(|text| text.parse().expect("an address"));
        read.collect()
    }

    #[test]
    fn families_take_turns_and_the_preferred_one_begins() {
        for (found, wanted) in [
            (
                &["::1", "::2", "::3", "1.1.1.1"][..],
                &["::1", "1.1.1.1", "::2", "::3"][..],
            ),
            (&["1.1.1.1", "::1", "::2"], &["1.1.1.1", "::1", "::2"]),
            (&["1.1.1.1"], &["1.1.1.1"]),
            (&[], &[]),
        ] {
            assert_eq!(in_turn(&addresses(found)), addresses(wanted));
        }
    }

    static LOOKS: AtomicUsize = AtomicUsize::new(0);

    #[expect(clippy::unnecessary_wraps, reason = "a resolver like others")]
    fn slow(_: &str) -> io::Result<Vec<IpAddr>> {
        LOOKS.fetch_add(1, Ordering::SeqCst);
        std::thread::sleep(Duration::from_millis(300));
        Ok(addresses(&["192.0.2.1"]))
    }

    #[tokio::test]
    async fn who_asks_for_the_same_name_shares_a_thread_and_nobody_waits_for_ever() {
        let resolver = Resolver::with(slow);
        for _ in 0..50 {
            let brief = Duration::from_millis(2);
            let failure = resolver.resolve("a.example", brief).await;
            let failure = failure.expect_err("too early");
            assert_eq!(failure.code, Hresult::WININET_E_NAME_NOT_RESOLVED);
            assert_eq!(failure.circumstances.phase, Some(Phase::Resolving));
        }
        let long = Duration::from_secs(5);
        let found = resolver.resolve("a.example", long).await.expect("found");
        assert_eq!(found, addresses(&["192.0.2.1"]));
        assert_eq!(LOOKS.load(Ordering::SeqCst), 1);
        // What was found is not kept.
        resolver.resolve("a.example", long).await.expect("found");
        assert_eq!(LOOKS.load(Ordering::SeqCst), 2);
    }

    fn fails(_: &str) -> io::Result<Vec<IpAddr>> {
        Err(io::Error::other("no such name"))
    }

    #[tokio::test]
    async fn a_name_without_an_address_is_a_failure_for_now() {
        let resolver = Resolver::with(fails);
        let failure = resolver.resolve("b.example", Duration::from_secs(5)).await;
        let failure = failure.expect_err("no address");
        assert!(matches!(
            failure.kind,
            crate::transfer::FailureKind::ForNow(None)
        ));
        assert!(
            failure.detail.contains("b.example: no such name"),
            "{failure}"
        );
        let resolver = Resolver::with(|_| Ok(Vec::new()));
        assert!(
            resolver
                .resolve("c.example", Duration::from_secs(5))
                .await
                .is_err()
        );
    }

    #[tokio::test]
    async fn silent_name_servers_take_no_more_threads_than_there_are() {
        static RUNNING: AtomicUsize = AtomicUsize::new(0);
        static MOST: AtomicUsize = AtomicUsize::new(0);
        fn hangs(_: &str) -> io::Result<Vec<IpAddr>> {
            let running = RUNNING.fetch_add(1, Ordering::SeqCst) + 1;
            MOST.fetch_max(running, Ordering::SeqCst);
            std::thread::sleep(Duration::from_millis(200));
            RUNNING.fetch_sub(1, Ordering::SeqCst);
            Err(io::ErrorKind::TimedOut.into())
        }
        let resolver = Resolver::with(hangs);
        let all: Vec<_> = (0..MAX_THREADS * 2)
            .map(|number| {
                let resolver = resolver.clone();
                let name = format!("{number}.example");
                tokio::spawn(async move {
                    resolver
                        .resolve(&name, Duration::from_millis(50))
                        .await
                        .is_err()
                })
            })
            .collect();
        for one in all {
            assert!(one.await.expect("ended"));
        }
        assert_eq!(MOST.load(Ordering::SeqCst), MAX_THREADS);
    }
}
