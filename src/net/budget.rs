//! How many connections there may be, and from where.
//!
//! A connection on which nobody has logged on costs little, but must not keep
//! others out: there is a number for all of them and one for each address. A
//! burst waits for its turn (a client that opens sixty connections at once is
//! served), but no longer than a log-on may take, and not without bound.

use std::collections::HashMap;
use std::net::IpAddr;
use std::net::Ipv6Addr;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;

use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::Semaphore;

use crate::config::WsmanSettings;

/// The places of all listeners together.
#[derive(Debug)]
pub(super) struct Budget {
    /// Connections with a principal.
    named: Arc<Semaphore>,
    /// Connections without.
    anonymous: Arc<Semaphore>,
    /// Those, and the ones that wait to be one.
    present: Arc<Semaphore>,
    /// The same for one address.
    per_address: usize,
    addresses: Mutex<HashMap<IpAddr, Address>>,
}

/// Connections without principal from one address.
#[derive(Debug)]
struct Address {
    turns: Arc<Semaphore>,
    present: usize,
}

/// A connection that is there, without a place yet.
#[derive(Debug)]
pub(super) struct Visitor {
    presence: Presence,
    turns: Arc<Semaphore>,
}

/// The place of a connection without principal.
#[derive(Debug)]
pub(super) struct AnonymousPlace {
    // Given back in this order, the presence last.
    _turn: OwnedSemaphorePermit,
    _place: OwnedSemaphorePermit,
    presence: Presence,
}

/// The place of a connection with a principal.
#[derive(Debug)]
pub(super) struct NamedPlace {
    _place: OwnedSemaphorePermit,
}

/// Counts a connection, until it is dropped.
#[derive(Debug)]
struct Presence {
    budget: Arc<Budget>,
    address: IpAddr,
    _permit: OwnedSemaphorePermit,
}

impl Budget {
    /// The numbers of the settings.
    pub(super) fn new(settings: &WsmanSettings) -> Self {
        let count = |number: u32| {
            usize::try_from(number)
                .unwrap_or(usize::MAX)
                .min(Semaphore::MAX_PERMITS / (WAITING + 1))
        };
        let anonymous = count(settings.max_anonymous_connections);
        Self {
            named: Arc::new(Semaphore::new(count(settings.max_connections))),
            anonymous: Arc::new(Semaphore::new(anonymous)),
            present: Arc::new(Semaphore::new(anonymous * (WAITING + 1))),
            per_address: count(settings.max_anonymous_connections_per_address),
            addresses: Mutex::default(),
        }
    }

    /// Lets a connection wait for a place, unless too many do.
    pub(super) fn visit(self: &Arc<Self>, address: IpAddr) -> Option<Visitor> {
        let address = network(address);
        let permit = Arc::clone(&self.present).try_acquire_owned().ok()?;
        let mut addresses = self.lock();
        let own = addresses.entry(address).or_insert_with(|| Address {
            turns: Arc::new(Semaphore::new(self.per_address)),
            present: 0,
        });
        if own.present >= self.per_address * (WAITING + 1) {
            return None;
        }
        own.present += 1;
        Some(Visitor {
            turns: Arc::clone(&own.turns),
            presence: Presence {
                budget: Arc::clone(self),
                address,
                _permit: permit,
            },
        })
    }

    /// No count can be wrong after a panic: nothing here panics half-way.
    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, Address>> {
        self.addresses
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Visitor {
    /// Waits for a place; dropping the future gives the turn up.
    pub(super) async fn place(self) -> Option<AnonymousPlace> {
        let turn = self.turns.acquire_owned().await.ok()?;
        let anonymous = Arc::clone(&self.presence.budget.anonymous);
        let place = anonymous.acquire_owned().await.ok()?;
        Some(AnonymousPlace {
            _turn: turn,
            _place: place,
            presence: self.presence,
        })
    }
}

impl AnonymousPlace {
    /// A place among the connections with a principal, if there is one.
    pub(super) fn promote(&self) -> Option<NamedPlace> {
        let named = Arc::clone(&self.presence.budget.named);
        let place = named.try_acquire_owned().ok()?;
        Some(NamedPlace { _place: place })
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        let mut addresses = self.budget.lock();
        if let Some(own) = addresses.get_mut(&self.address) {
            own.present -= 1;
            if own.present == 0 {
                addresses.remove(&self.address);
            }
        }
    }
}

/// What counts as one address: an IPv6 /64 belongs to one host.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64)))
        }
    }
}

/// How many wait for each place.
const WAITING: usize = 4;

#[cfg(test)]
mod tests {
    use std::future::Future as _;
    use std::pin::pin;
    use std::task::Context;
    use std::task::Poll;
    use std::task::Waker;

    use super::*;

    fn budget(all: u32, per_address: u32, named: u32) -> Arc<Budget> {
        Arc::new(Budget::new(&WsmanSettings {
            max_connections: named,
            max_anonymous_connections: all,
            max_anonymous_connections_per_address: per_address,
            ..WsmanSettings::default()
        }))
    }

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    /// The place that `address` gets without waiting.
    fn place(budget: &Arc<Budget>, from: &str) -> Option<AnonymousPlace> {
        let visitor = budget.visit(address(from))?;
        let place = pin!(visitor.place());
        match place.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(place) => place,
            Poll::Pending => None,
        }
    }

    #[test]
    fn an_address_has_its_own_limit() {
        let budget = budget(10, 2, 1);
        let held = [
            place(&budget, "10.0.0.1"),
            place(&budget, "::ffff:10.0.0.1"),
        ];
        assert!(held.iter().all(Option::is_some));
        assert!(place(&budget, "10.0.0.1").is_none());
        assert!(place(&budget, "10.0.0.2").is_some());
        drop(held);
        assert!(place(&budget, "10.0.0.1").is_some());
        assert!(budget.lock().is_empty());
    }

    #[test]
    fn an_ipv6_network_counts_as_one_address() {
        let budget = budget(10, 1, 1);
        let _held = place(&budget, "2001:db8::1").expect("the first");
        assert!(place(&budget, "2001:db8::2").is_none());
        assert!(place(&budget, "2001:db8:0:1::1").is_some());
    }

    #[test]
    fn those_who_wait_are_bounded() {
        let budget = budget(10, 2, 1);
        let visitors: Vec<_> = (0..20).map(|_| budget.visit(address("10.0.0.1"))).collect();
        assert_eq!(visitors.iter().flatten().count(), 10);
        let others: Vec<_> = (0_u8..60)
            .map(|last| budget.visit(IpAddr::from([10, 0, 1, last])))
            .collect();
        assert_eq!(others.iter().flatten().count(), 40);
    }

    #[test]
    fn a_principal_has_a_place_of_another_budget() {
        let budget = budget(1, 1, 1);
        let first = place(&budget, "10.0.0.1").expect("a place");
        let named = first.promote().expect("a place");
        drop(first);
        let second = place(&budget, "10.0.0.1").expect("the place is free again");
        assert!(second.promote().is_none());
        drop(named);
        assert!(second.promote().is_some());
    }
}
