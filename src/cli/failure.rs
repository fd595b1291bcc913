//! Why a command did not do what it was asked for.

use std::error::Error as _;
use std::process::ExitCode;

use crate::client;

/// The end of a command that failed, by what its user can do about it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// A request failed.
    #[error(transparent)]
    Request(#[from] client::Error),
    /// The certificates to trust are not to be had.
    #[error(transparent)]
    Trust(#[from] client::TrustError),
    /// No job has that name, or several have.
    #[error("{0}")]
    Job(String),
    /// An argument is not what it must be.
    #[error("{0}")]
    Usage(String),
    /// A file could not be read or written.
    #[error("{0}")]
    File(String, #[source] std::io::Error),
    /// A step of the demonstration did not go as it must.
    #[error("{0}")]
    Demo(String),
}

impl Failure {
    /// The exit code that the command line documents for it.
    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Usage(_) => 2,
            Self::Trust(_)
            | Self::Request(
                client::Error::Connect { .. }
                | client::Error::Trust { .. }
                | client::Error::TimedOut(_)
                | client::Error::Broken(_),
            ) => 3,
            Self::Request(client::Error::LogOnRefused) => 4,
            Self::Request(_) | Self::Job(_) | Self::File(..) | Self::Demo(_) => 1,
        })
    }

    /// The whole chain of causes in one line.
    pub(crate) fn line(&self) -> String {
        let mut line = self.to_string();
        let mut cause = self.source();
        while let Some(error) = cause {
            let words = error.to_string();
            if !line.ends_with(&words) {
                line.push_str(": ");
                line.push_str(&words);
            }
            cause = error.source();
        }
        if matches!(self, Self::Request(client::Error::Trust { .. })) {
            line.push_str(" (--ca FILE or --pin SHA256 say which one to trust)");
        }
        line
    }

    /// Tells the user, and gives the exit code.
    pub(crate) fn report(&self) -> ExitCode {
        super::output::complain(&self.line());
        self.exit_code()
    }
}
