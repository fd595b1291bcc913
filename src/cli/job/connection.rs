//! Which endpoint is meant, how it is trusted, and who asks.
#![expect(
    clippy::doc_markdown,
    reason = "the documentation of arguments is their help text, and shows as it stands"
)]

use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

use crate::bits::Secret;
use crate::client::Address;
use crate::client::Pin;
use crate::client::Settings;
use crate::client::Trust;

use super::Failure;

/// Arguments that every verb takes.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Connection")]
pub(super) struct ConnectionArgs {
    /// The endpoint; the port is 5986 unless given.
    #[arg(
        long,
        global = true,
        env = "BITSD_HOST",
        value_name = "HOST[:PORT]",
        default_value = "127.0.0.1:5986"
    )]
    host: Address,
    /// The account. Its password is read from --password-file, from
    /// $BITSD_PASSWORD or from the terminal.
    #[arg(long, global = true, env = "BITSD_USER", value_name = "NAME")]
    user: Option<String>,
    /// Read the password from the first line of this file.
    #[arg(long, global = true, env = "BITSD_PASSWORD_FILE", value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// Trust the authorities and certificates in this PEM file, instead of the
    /// system's.
    #[arg(
        long,
        global = true,
        env = "BITSD_CA",
        value_name = "FILE",
        conflicts_with = "pin"
    )]
    ca: Option<PathBuf>,
    /// Trust the one certificate that has this SHA-256, and no other.
    #[arg(long, global = true, env = "BITSD_PIN", value_name = "SHA256")]
    pin: Option<Pin>,
    /// Seconds that a request may take.
    #[arg(long, global = true, value_name = "SECONDS", default_value_t = 90, value_parser = clap::value_parser!(u64).range(1..=3600))]
    timeout: u64,
}

impl ConnectionArgs {
    /// What a client needs to know; asks for what is missing.
    ///
    /// # Errors
    ///
    /// [`Failure::Usage`] without an account, [`Failure::File`] when the
    /// password cannot be read.
    pub(super) fn settings(&self) -> Result<Settings, Failure> {
        let Some(user) = self.user.clone() else {
            return Err(Failure::Usage(
                "who are you? give --user NAME or set BITSD_USER".to_owned(),
            ));
        };
        let password = match (&self.password_file, std::env::var("BITSD_PASSWORD")) {
            (Some(path), _) => password_in(path)?,
            (None, Ok(password)) => Secret::new(password),
            (None, Err(_)) => ask(&format!("Password of {user} at {}: ", self.host))?,
        };
        Ok(Settings {
            address: self.host.clone(),
            trust: match (&self.ca, self.pin) {
                (_, Some(pin)) => Trust::Pinned(pin),
                (Some(path), None) => Trust::File(path.clone()),
                (None, None) => Trust::System,
            },
            account: (user, password),
            timeout: Duration::from_secs(self.timeout),
        })
    }
}

/// The password on the first line of a file.
///
/// # Errors
///
/// [`Failure::File`].
pub(super) fn password_in(path: &Path) -> Result<Secret, Failure> {
    let text = std::fs::read_to_string(path)
        .map_err(|e| Failure::File(format!("cannot read {}", path.display()), e))?;
    let text = zeroize::Zeroizing::new(text);
    Ok(Secret::new(
        text.lines().next().unwrap_or_default().to_owned(),
    ))
}

/// A password from the terminal.
///
/// # Errors
///
/// [`Failure::File`] where there is no terminal.
pub(super) fn ask(prompt: &str) -> Result<Secret, Failure> {
    rpassword::prompt_password(prompt)
        .map(Secret::new)
        .map_err(|e| Failure::File("cannot ask for the password".to_owned(), e))
}
