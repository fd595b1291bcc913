//! The table on disk: JSON, since an administrator may want to read it.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;

use serde::Deserialize;
use serde::Serialize;

use super::Account;
use super::Failure;
use super::Known;
use super::Lockout;
use super::MAX_ACCOUNTS;
use super::MAX_KNOWN;
use super::MAX_SOURCES;
use super::Moment;
use super::Policy;
use super::Source;
use super::Strikes;

/// What was kept is no table.
#[derive(Debug, thiserror::Error)]
#[error("no table of failed log-ons")]
pub(in super::super) struct Damaged(#[source] serde_json::Error);

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

/// A text that is no source.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is no address")]
pub(in super::super) struct NoSource(String);

impl FromStr for Source {
    type Err = NoSource;

    /// As it is displayed; any address stands for its source.
    fn from_str(text: &str) -> Result<Self, NoSource> {
        if text == "console" {
            return Ok(Self::Console);
        }
        let address = text.strip_suffix("/64").unwrap_or(text);
        let address: IpAddr = address.parse().map_err(|_| NoSource(text.to_owned()))?;
        Ok(Self::of(address))
    }
}

impl Serialize for Source {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Source {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Failures of one entry: the most that the settings can ask for.
const MAX_FAILURES: usize = 100;
