//! The audit log: who came in, who did not, and why. No line has anything that
//! a client sent but the name of an account that exists.
//!
//! What strangers can cause is written so many times a second for each kind of
//! line; the next line of the kind says how many were left out.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::Instant;
use tracing::info;
use tracing::warn;

use super::AUDIT;
use super::Bound;
use super::Caller;
use super::Within;
use super::access::Denial;
use crate::telemetry::counters;
use crate::telemetry::counters::Counter;
use crate::telemetry::counters::LogOn;
use crate::telemetry::line_budget::LineBudget;

/// Lines of the audit log, by kind.
#[derive(Debug, Default)]
pub(super) struct Audit {
    /// Refused, with the name of an account: those without, which cost nothing
    /// to make up, must not crowd them out.
    named: LineBudget,
    /// Refused, without a name.
    nameless: LineBudget,
    /// Refused unseen.
    barred: LineBudget,
    /// Locked from now on.
    locked: LineBudget,
    unbound: LineBudget,
    misbound: LineBudget,
}

/// A log-on, as lines tell of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Attempted<'a> {
    /// Where it comes from.
    pub(super) address: SocketAddr,
    /// How.
    pub(super) scheme: &'static str,
    /// Which account, if it exists.
    pub(super) account: Option<&'a str>,
}

/// Why a log-on is refused.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Why {
    /// What was sent proves nobody.
    NotProved,
    /// Nobody may log on with the account from there for a while.
    AccountLocked,
    /// Nobody may log on from there for a while.
    AddressLocked,
}

impl Audit {
    /// Somebody has logged on.
    pub(super) fn logged_on(
        by: Attempted<'_>,
        mechanism: Option<Within>,
        caller: &Caller,
        who: &str,
        bound: Bound,
    ) {
        counters::log_on(LogOn::Proved, label(by.scheme));
        let (address, scheme, scope) = (by.address, label(by.scheme), caller.scope());
        let binding = binding(bound);
        info!(
            target: AUDIT,
            %address,
            scheme,
            mechanism = mechanism.map(Within::name),
            account = %caller,
            who,
            ?scope,
            binding,
            "Logged on"
        );
    }

    /// Somebody has logged on who may do nothing.
    pub(super) fn forbidden(by: Attempted<'_>, who: &str, denial: Denial) {
        let (address, scheme) = (by.address, label(by.scheme));
        warn!(target: AUDIT, %address, scheme, who, %denial, "Logged on, but may do nothing");
    }

    /// Somebody has not logged on.
    pub(super) fn refused(&self, by: Attempted<'_>, why: Why) {
        counters::log_on(LogOn::Refused, label(by.scheme));
        let budget = match (why, by.account) {
            (Why::AddressLocked, _) => &self.barred,
            (Why::NotProved | Why::AccountLocked, Some(_)) => &self.named,
            (Why::NotProved | Why::AccountLocked, None) => &self.nameless,
        };
        if why != Why::NotProved {
            Counter::LogOnLockedOut.bump();
        }
        let (address, scheme, account) = (by.address, label(by.scheme), by.account);
        write(budget, "Log-on refused", || {
            warn!(target: AUDIT, %address, scheme, account, %why, "Log-on refused");
        });
    }

    /// An account is locked from now on.
    pub(super) fn account_locked(&self, by: Attempted<'_>, duration: Duration) {
        Counter::AccountLocked.bump();
        let (address, account, duration_s) = (by.address, by.account, duration.as_secs());
        write(&self.locked, "Locked out", || {
            warn!(
                target: AUDIT,
                %address,
                account,
                duration_s,
                "Account locked out, but for loopback and the addresses that it is known to use"
            );
        });
    }

    /// An address is locked from now on.
    pub(super) fn address_locked(&self, by: Attempted<'_>, duration: Duration) {
        Counter::AddressLocked.bump();
        let (address, duration_s) = (by.address, duration.as_secs());
        write(&self.locked, "Locked out", || {
            warn!(target: AUDIT, %address, duration_s, "Address locked out");
        });
    }

    /// A log-on is bound to no TLS connection, and must be.
    pub(super) fn unbound(&self, by: Attempted<'_>) {
        Counter::LogOnUnbound.bump();
        let (address, scheme, account) = (by.address, label(by.scheme), by.account);
        write(&self.unbound, "Log-on without channel binding", || {
            info!(
                target: AUDIT,
                %address,
                scheme,
                account,
                "Log-on without channel binding: the client may try again with one; for clients \
                 that have none set access.channel_binding = \"Relaxed\""
            );
        });
    }

    /// A log-on is bound to another TLS connection.
    pub(super) fn misbound(&self, by: Attempted<'_>) {
        Counter::LogOnMisbound.bump();
        let (address, scheme, account) = (by.address, label(by.scheme), by.account);
        write(
            &self.misbound,
            "Log-on bound to another TLS connection",
            || {
                warn!(
                    target: AUDIT,
                    %address,
                    scheme,
                    account,
                    "Log-on bound to another TLS connection: somebody passes it on, or a proxy that \
                     you trust ends TLS; only then set access.channel_binding = \"None\""
                );
            },
        );
    }
}

/// Writes a line, and how many of its kind were left out before it, unless the
/// second has had enough.
fn write(budget: &LineBudget, kind: &'static str, line: impl FnOnce()) {
    if !budget.take(Instant::now()) {
        return;
    }
    let left_out = budget.left_out();
    if left_out > 0 {
        warn!(target: AUDIT, kind, left_out, "Lines left out");
    }
    line();
}

/// A scheme in one word.
fn label(scheme: &'static str) -> &'static str {
    match scheme {
        super::certificate::SCHEME => "Certificate",
        scheme => scheme,
    }
}

fn binding(bound: Bound) -> &'static str {
    match bound {
        Bound::Yes => "bound",
        Bound::No => "not bound",
        Bound::NotApplicable => "none to make",
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotProved => "not proved",
            Self::AccountLocked => "account locked out",
            Self::AddressLocked => "address locked out",
        })
    }
}
