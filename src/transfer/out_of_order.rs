//! Proxies that could not be reached a short while ago: others go first.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;

use tokio::time::Instant;

use super::proxy::ProxyEndpoint;

/// Proxies out of order, of all jobs together.
#[derive(Debug, Default)]
pub(super) struct OutOfOrder(Mutex<HashMap<ProxyEndpoint, Instant>>);

impl OutOfOrder {
    /// `proxies` in the order in which they are to be tried: those out of order
    /// last. When there is no other they are tried still.
    pub(super) fn sort(&self, mut proxies: Vec<ProxyEndpoint>, now: Instant) -> Vec<ProxyEndpoint> {
        let failed = self.failed();
        proxies.sort_by_key(|proxy| failed.get(proxy).is_some_and(|at| now - *at < PASSED_OVER));
        proxies
    }

    /// `proxy` could not be reached.
    pub(super) fn add(&self, proxy: ProxyEndpoint, now: Instant) {
        let mut failed = self.failed();
        failed.retain(|_, at| now - *at < PASSED_OVER);
        if failed.len() < MAX_PROXIES {
            failed.insert(proxy, now);
        }
    }

    /// `proxy` could be reached.
    pub(super) fn remove(&self, proxy: &ProxyEndpoint) {
        self.failed().remove(proxy);
    }

    fn failed(&self) -> MutexGuard<'_, HashMap<ProxyEndpoint, Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How long a proxy is passed over.
const PASSED_OVER: Duration = Duration::from_mins(5);

/// Jobs may name any proxy; one more than these is only tried in its turn.
const MAX_PROXIES: usize = 1_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_that_failed_goes_last_for_a_while() {
        let [one, two, three] = ["one", "two", "three"].map(|host| ProxyEndpoint {
            host: host.to_owned(),
            port: 80,
        });
        let all = || vec![one.clone(), two.clone(), three.clone()];
        let now = Instant::now();
        let table = OutOfOrder::default();
        table.add(one.clone(), now);
        let later = now + Duration::from_mins(4);
        let others_first = [two.clone(), three.clone(), one.clone()];
        assert_eq!(table.sort(all(), later), others_first);
        assert_eq!(table.sort(all(), now + PASSED_OVER), all());
        table.remove(&one);
        assert_eq!(table.sort(all(), later), all());
    }
}
