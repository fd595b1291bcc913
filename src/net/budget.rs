//! How many connections there may be, and from where.
//!
//! A connection on which nobody has logged on costs little, but must not keep
//! others out: there is a number for all of them and one for each address. A
//! burst waits for its turn (a client that opens sixty connections at once is
//! served), but no longer than a log-on may take, and not without bound.
//!
//! The numbers are those of the settings in force whenever a connection comes,
//! goes or logs on. A smaller number closes nothing: no place is given until
//! enough have come free.

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;

use tokio::sync::Notify;

use crate::auth::network;
use crate::config::Current;
use crate::config::WsmanSettings;
use crate::telemetry::counters::Counter;
use crate::telemetry::counters::Gauge;
use crate::telemetry::counters::Limit;

/// The places of all listeners together.
#[derive(Debug)]
pub(super) struct Budget {
    settings: Arc<Current>,
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    /// Connections with a principal.
    named: u32,
    /// Connections without, that have a place.
    anonymous: u32,
    /// The same, by address; an entry lives while it has connections.
    addresses: HashMap<IpAddr, Address>,
    /// Those that wait for a place, in the order in which they came.
    waiting: BTreeMap<u64, Waiting>,
    next_ticket: u64,
}

/// Connections without principal from one address.
#[derive(Debug, Default)]
struct Address {
    placed: u32,
    waiting: u32,
}

#[derive(Debug)]
struct Waiting {
    address: IpAddr,
    /// Told when the entry is taken out, which is when it has its place.
    placed: Arc<Notify>,
}

/// A connection that is there, and may have to wait for a place.
#[derive(Debug)]
pub(super) struct Visitor {
    budget: Arc<Budget>,
    address: IpAddr,
    ticket: u64,
    placed: Arc<Notify>,
}

/// The place of a connection without principal; free when it is dropped.
#[derive(Debug)]
pub(super) struct AnonymousPlace {
    visitor: Visitor,
}

/// The place of a connection with a principal; free when it is dropped.
#[derive(Debug)]
pub(super) struct NamedPlace {
    budget: Arc<Budget>,
}

impl Budget {
    /// Nobody is there; the numbers are those of `settings`.
    pub(super) fn new(settings: &Arc<Current>) -> Self {
        Self {
            settings: Arc::clone(settings),
            counts: Mutex::default(),
        }
    }

    /// Lets a connection wait for a place, unless too many do.
    pub(super) fn visit(self: &Arc<Self>, address: IpAddr) -> Option<Visitor> {
        let address = network(address);
        let settings = self.settings.get();
        let (all, per_address) = anonymous(&settings.wsman);
        let mut counts = self.lock();
        let present = counts.waiting.len() + to_usize(counts.anonymous);
        let own = counts.addresses.get(&address);
        let own = own.map_or(0, |own| own.placed.saturating_add(own.waiting));
        if present >= with_waiting(all) || to_usize(own) >= with_waiting(per_address) {
            Counter::Refused(Limit::AnonymousConnections).bump();
            return None;
        }
        let ticket = counts.next_ticket;
        counts.next_ticket += 1;
        let placed = Arc::new(Notify::new());
        let waiting = Waiting {
            address,
            placed: Arc::clone(&placed),
        };
        counts.waiting.insert(ticket, waiting);
        counts.addresses.entry(address).or_default().waiting += 1;
        counts.give_places(&settings.wsman);
        Some(Visitor {
            budget: Arc::clone(self),
            address,
            ticket,
            placed,
        })
    }

    /// No count can be wrong after a panic: nothing here panics half-way.
    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counts {
    /// Gives what places there are to those who wait longest. One whose address
    /// has none does not hold up the others.
    fn give_places(&mut self, settings: &WsmanSettings) {
        let (all, per_address) = anonymous(settings);
        let mut free = all.saturating_sub(self.anonymous);
        let Self {
            addresses, waiting, ..
        } = self;
        if free == 0 || waiting.is_empty() {
            return;
        }
        let mut given = 0;
        waiting.retain(|_, one| {
            let Some(own) = addresses.get_mut(&one.address) else {
                return true;
            };
            if free == 0 || own.placed >= per_address {
                return true;
            }
            free -= 1;
            given += 1;
            own.placed += 1;
            own.waiting = own.waiting.saturating_sub(1);
            one.placed.notify_one();
            false
        });
        self.anonymous += given;
    }
}

impl Visitor {
    /// Waits for a place; dropping the future gives the turn up.
    pub(super) async fn place(self) -> AnonymousPlace {
        self.placed.notified().await;
        Gauge::Connections.up();
        AnonymousPlace { visitor: self }
    }
}

impl Drop for Visitor {
    fn drop(&mut self) {
        let settings = self.budget.settings.get();
        let mut counts = self.budget.lock();
        let is_waiting = counts.waiting.remove(&self.ticket).is_some();
        if !is_waiting {
            counts.anonymous = counts.anonymous.saturating_sub(1);
        }
        if let Some(own) = counts.addresses.get_mut(&self.address) {
            let count = if is_waiting {
                &mut own.waiting
            } else {
                &mut own.placed
            };
            *count = count.saturating_sub(1);
            if (own.placed, own.waiting) == (0, 0) {
                counts.addresses.remove(&self.address);
            }
        }
        counts.give_places(&settings.wsman);
    }
}

impl AnonymousPlace {
    /// A place among the connections with a principal, if there is one.
    pub(super) fn promote(&self) -> Option<NamedPlace> {
        let budget = &self.visitor.budget;
        let most = budget.settings.get().wsman.max_connections;
        let mut counts = budget.lock();
        if counts.named >= most {
            Counter::Refused(Limit::Connections).bump();
            return None;
        }
        counts.named += 1;
        Gauge::Connections.up();
        Some(NamedPlace {
            budget: Arc::clone(budget),
        })
    }
}

impl Drop for AnonymousPlace {
    fn drop(&mut self) {
        Gauge::Connections.down();
    }
}

impl Drop for NamedPlace {
    fn drop(&mut self) {
        Gauge::Connections.down();
        let mut counts = self.budget.lock();
        counts.named = counts.named.saturating_sub(1);
    }
}

/// Connections without principal: in all, and from one address.
fn anonymous(settings: &WsmanSettings) -> (u32, u32) {
    (
        settings.max_anonymous_connections,
        settings.max_anonymous_connections_per_address,
    )
}

/// As many places, and those who wait for them.
fn with_waiting(places: u32) -> usize {
    to_usize(places).saturating_mul(WAITING + 1)
}

fn to_usize(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// How many wait for each place.
const WAITING: usize = 4;

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::task::Context;
    use std::task::Poll;
    use std::task::Waker;

    use super::*;
    use crate::config::Settings;

    fn settings(all: u32, per_address: u32, named: u32) -> Settings {
        Settings {
            wsman: WsmanSettings {
                max_connections: named,
                max_anonymous_connections: all,
                max_anonymous_connections_per_address: per_address,
                ..WsmanSettings::default()
            },
            ..Settings::default()
        }
    }

    fn budget(all: u32, per_address: u32, named: u32) -> Arc<Budget> {
        let current = Arc::new(Current::new(settings(all, per_address, named)));
        Arc::new(Budget::new(&current))
    }

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    /// The place that `address` gets without waiting.
    fn place(budget: &Arc<Budget>, from: &str) -> Option<AnonymousPlace> {
        let visitor = budget.visit(address(from))?;
        let place = pin!(visitor.place());
        match place.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(place) => Some(place),
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
        let counts = budget.lock();
        assert!(counts.addresses.is_empty() && counts.waiting.is_empty());
        assert_eq!(counts.anonymous, 0);
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

    /// Asks once.
    fn has_place(place: std::pin::Pin<&mut impl Future<Output = AnonymousPlace>>) -> bool {
        let mut context = Context::from_waker(Waker::noop());
        place.poll(&mut context).is_ready()
    }

    #[test]
    fn the_first_who_waits_and_fits_is_next() {
        let budget = budget(2, 1, 1);
        let first = place(&budget, "10.0.0.1").expect("a place");
        let other = place(&budget, "10.0.0.2").expect("a place");
        let mut same = pin!(budget.visit(address("10.0.0.1")).expect("waits").place());
        let mut third = pin!(budget.visit(address("10.0.0.3")).expect("waits").place());
        assert!(!has_place(same.as_mut()) && !has_place(third.as_mut()));
        drop(other);
        assert!(!has_place(same.as_mut()), "his address has its one place");
        assert!(has_place(third.as_mut()));
        drop(first);
        assert!(has_place(same.as_mut()));
    }

    #[test]
    fn who_goes_while_he_waits_leaves_nothing_behind() {
        let budget = budget(1, 1, 1);
        let held = place(&budget, "10.0.0.1").expect("a place");
        drop(budget.visit(address("10.0.0.2")).expect("waits"));
        let given = budget.visit(address("10.0.0.3")).expect("waits");
        drop(held);
        // The place is his, though he never looked.
        assert_eq!(budget.lock().anonymous, 1);
        drop(given);
        let counts = budget.lock();
        assert!(counts.addresses.is_empty() && counts.waiting.is_empty());
        assert_eq!(counts.anonymous, 0);
    }

    #[test]
    fn other_numbers_count_from_the_next_connection_on() {
        let current = Arc::new(Current::new(settings(1, 1, 1)));
        let budget = Arc::new(Budget::new(&current));
        let first = place(&budget, "10.0.0.1").expect("a place");
        let mut second = pin!(budget.visit(address("10.0.0.1")).expect("waits").place());
        assert!(!has_place(second.as_mut()));
        current.set(settings(3, 3, 2));
        let third = place(&budget, "10.0.0.1").expect("a place");
        assert!(has_place(second.as_mut()), "who waits has one too");
        let named = [first.promote(), third.promote(), third.promote()];
        assert_eq!(named.iter().flatten().count(), 2);
        current.set(settings(1, 1, 1));
        drop(third);
        assert!(
            place(&budget, "10.0.0.1").is_none(),
            "one still has a place"
        );
        let [one, ..] = named;
        drop(one);
        assert!(first.promote().is_none(), "one is still there");
    }
}
