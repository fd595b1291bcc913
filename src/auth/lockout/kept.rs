//! The table on disk: JSON, since an administrator may want to read it.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;
use serde::Serialize;

use super::Account;
use super::Known;
use super::Lockout;
use super::MAX_ACCOUNTS;
use super::MAX_KNOWN;
use super::MAX_SOURCES;
use super::Moment;
use super::Policy;
use super::Source;
use super::strikes::Failure;
use super::strikes::Strikes;

/// What was kept is no table.
#[derive(Debug, thiserror::Error)]
#[error("no table of failed log-ons")]
pub(crate) struct Damaged(#[source] serde_json::Error);

/// The whole of it.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    accounts: BTreeMap<String, KeptAccount>,
    sources: BTreeMap<Source, KeptStrikes<Option<String>>>,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct KeptAccount {
    elsewhere: KeptStrikes<Source>,
    known: Vec<KeptKnown>,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct KeptKnown {
    source: Source,
    last_at: Moment,
    strikes: KeptStrikes<Source>,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct KeptStrikes<W> {
    failures: Vec<(Moment, W)>,
    locked_at: Option<Moment>,
}

impl Lockout {
    /// The octets of a file.
    pub(in super::super) fn encode(&self) -> Vec<u8> {
        let accounts = self.accounts.iter().map(|(name, own)| {
            let known = own.known.iter().map(|known| KeptKnown {
                source: known.source,
                last_at: known.last_at,
                strikes: KeptStrikes::of(&known.strikes, |source| *source),
            });
            let kept = KeptAccount {
                elsewhere: KeptStrikes::of(&own.elsewhere, |source| *source),
                known: known.collect(),
            };
            (name.to_string(), kept)
        });
        let sources = self.sources.iter();
        let kept = Kept {
            accounts: accounts.collect(),
            sources: sources
                .map(|(source, own)| {
                    let text = |account: &Option<Arc<str>>| account.as_deref().map(str::to_owned);
                    (*source, KeptStrikes::of(own, text))
                })
                .collect(),
        };
        serde_json::to_vec(&kept).expect("names of accounts and sources are the keys")
    }

    /// What such a file held; what is over by `now` is left out, and so is
    /// what is more than there may be.
    ///
    /// # Errors
    ///
    /// [`Damaged`].
    pub(in super::super) fn decode(
        octets: &[u8],
        policy: &Policy,
        now: Moment,
    ) -> Result<Self, Damaged> {
        let kept: Kept = serde_json::from_slice(octets).map_err(Damaged)?;
        let accounts = kept.accounts.into_iter().take(MAX_ACCOUNTS);
        let accounts = accounts.map(|(name, own)| {
            let known = own.known.into_iter().take(MAX_KNOWN).map(|known| Known {
                source: known.source,
                last_at: known.last_at,
                strikes: known.strikes.strikes(|source| source),
            });
            let account = Account {
                elsewhere: own.elsewhere.strikes(|source| source),
                known: known.collect(),
            };
            (Arc::from(name), account)
        });
        let sources = kept.sources.into_iter().take(MAX_SOURCES);
        let mut lockout = Self {
            accounts: accounts.collect(),
            sources: sources
                .map(|(source, own)| (source, own.strikes(|account| account.map(Arc::from))))
                .collect(),
        };
        lockout.tidy(policy, now);
        Ok(lockout)
    }
}

impl<K> KeptStrikes<K> {
    fn of<W>(strikes: &Strikes<W>, keep: impl Fn(&W) -> K) -> Self {
        let failures = strikes.failures.iter();
        Self {
            failures: failures
                .map(|failure| (failure.at, keep(&failure.with)))
                .collect(),
            locked_at: strikes.locked_at,
        }
    }

    fn strikes<W>(self, read: impl Fn(K) -> W) -> Strikes<W> {
        let mut failures = self.failures;
        failures.sort_by_key(|(at, _)| *at);
        let surplus = failures.len().saturating_sub(MAX_FAILURES);
        let failures = failures.into_iter().skip(surplus);
        Strikes {
            failures: failures
                .map(|(at, with)| Failure {
                    at,
                    with: read(with),
                })
                .collect(),
            locked_at: self.locked_at,
        }
    }
}

/// Failures of one entry: the most that the settings can ask for.
const MAX_FAILURES: usize = 100;
