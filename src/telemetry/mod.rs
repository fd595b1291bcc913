//! What the administrator sees: log lines on standard error, and counters.

use std::io;
use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

use crate::config::LogFormat;

pub(crate) mod counters;
pub(crate) mod line_budget;

/// Why there is no log.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The variable holds no filter.
    #[error("{variable} holds no log filter such as `info` or `bitsd::net=debug`")]
    Filter {
        /// `BITSD_LOG` or `RUST_LOG`.
        variable: &'static str,
        /// What is wrong with it.
        #[source]
        source: tracing_subscriber::filter::ParseError,
    },
    /// Somebody has set up a log already.
    #[error("the log is set up already")]
    Twice,
}

/// Sets up the log of the process. What is logged stands in `BITSD_LOG`, else
/// in `RUST_LOG`, else it is `info`.
///
/// # Errors
///
/// [`Error`].
pub(crate) fn start(format: LogFormat) -> Result<(), Error> {
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter()?)
        .with_ansi(format == LogFormat::Text && io::stderr().is_terminal())
        .with_writer(io::stderr);
    let started = match format {
        LogFormat::Text => lines.try_init(),
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
    };
    started.map_err(|_| Error::Twice)
}

/// The filter of the environment.
fn filter() -> Result<EnvFilter, Error> {
    for variable in ["BITSD_LOG", "RUST_LOG"] {
        let Some(text) = std::env::var(variable).ok().filter(|text| !text.is_empty()) else {
            continue;
        };
        return EnvFilter::try_new(text).map_err(|source| Error::Filter { variable, source });
    }
    Ok(EnvFilter::new("info"))
}
