//! The command line: what is asked for, and the part of it that is a client.
//!
//! `serve` and `user` are parsed here and done elsewhere. `job` and `demo` are
//! done here, and speak WS-Management to an endpoint like any other client;
//! nothing in here reaches into the service.
//!
//! Exit codes of `job` and `demo`: 0 done, 1 a job or a request failed, 2 the
//! command line is wrong, 3 the endpoint cannot be reached or is not trusted,
//! 4 the log-on was refused ([`Failure::exit_code`]).

pub(crate) mod demo;
pub(crate) mod job;

mod bits_client_job;
mod bitsd_job;
mod failure;
mod output;
mod progress;

use std::net::IpAddr;
use std::path::PathBuf;

use clap::Parser;
use clap::Subcommand;

pub(crate) use failure::Failure;

/// Reads the command line. A wrong one, `--help` and `--version` end the
/// process here, with 2 or 0.
pub(crate) fn parse() -> Command {
    CommandLine::parse().command
}

/// Background file transfers, managed over WS-Management.
#[derive(Debug, Parser)]
#[command(name = "bitsd", version, max_term_width = 100)]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

/// What the process is to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the service.
    Serve(ServeArgs),
    /// Manage the accounts that may log on.
    #[command(subcommand)]
    User(UserCommand),
    /// Show the whole of it on this machine: an endpoint, an origin, one job.
    Demo(demo::Args),
    /// Manage jobs of this or another machine.
    Job(Box<job::Args>),
}

/// Arguments of `serve`.
#[derive(Debug, clap::Args)]
pub(crate) struct ServeArgs {
    /// Configuration file.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
}

/// What is to be done with accounts.
#[derive(Debug, Subcommand)]
pub(crate) enum UserCommand {
    /// Add an account, or give it a new password.
    Add {
        /// Name of the account.
        name: String,
        /// Read the password from the first line of this file, not from the
        /// terminal.
        #[arg(long, value_name = "FILE")]
        password_file: Option<PathBuf>,
        /// Let the account log on by NTLM as well.
        ///
        /// This keeps a hash that is worth as much as the password, encrypted
        /// under the service's key. Where that comes as a systemd credential,
        /// run this as root while the service runs, with
        /// `CREDENTIALS_DIRECTORY=/run/credentials/bitsd.service`.
        #[arg(long)]
        ntlm: bool,
        /// Configuration file.
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
    /// List the accounts.
    List {
        /// Show how each can log on, too.
        #[arg(long)]
        long: bool,
        /// Configuration file.
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
    /// Show the accounts and addresses that are locked out after too many
    /// failed log-ons.
    Locked {
        /// Configuration file.
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
    /// Let an account, or an address, log on again that is locked out; the
    /// service need not run.
    #[command(group(clap::ArgGroup::new("what").required(true).multiple(true)))]
    Unlock {
        /// Name of the account.
        #[arg(group = "what")]
        name: Option<String>,
        /// The address; of an IPv6 address, its /64.
        #[arg(long, value_name = "ADDRESS", group = "what")]
        address: Option<IpAddr>,
        /// Configuration file.
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
    /// Remove an account; its jobs stay.
    Remove {
        /// Name of the account.
        name: String,
        /// Configuration file.
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        CommandLine::command().debug_assert();
    }

    #[test]
    fn the_documented_forms_are_read() {
        for line in [
            "serve --config f",
            "user add n --password-file f --config c",
            "user add n --ntlm",
            "user list",
            "user list --long",
            "user remove n",
            "user locked --config c",
            "user unlock n --config c",
            "user unlock --address ::1",
            "user unlock n --address 10.0.0.1",
            "demo --exit --size 10",
            "demo --url http://h/f --to /tmp/f",
            "job --host h:1 --user u list --json",
            "job list --host h --user u --pin 00",
            "job create n http://h/f C:\\f --user u --suspended --priority high",
            "job create n http://h/f C:\\f --user u --sha256 00 --header X:1 --label a=b --max-size 9",
            "job create n http://h/f C:\\f --user u --type upload --method PUT --start-after 2h",
            "job create n --from list --user u --thumbprint 00 --range 0:9 --dynamic",
            "job add n --from list --user u",
            "job take n --user u",
            "job reply n --user u",
            "job replace-prefix n http://h/ http://i/ --user u",
            "job set n --label a --label b --headers-write-only --user u",
            "job add n http://h/f C:\\f http://h/g C:\\g --user u",
            "job set n --priority foreground --retry-delay 60 --user u",
            "job credentials n server basic --account a --account-password-file f --user u",
            "job credentials n server basic --remove --user u",
            "job proxy n override --list h:1 --bypass local --user u",
            "job certificate n --hash 00 --user u",
            "job certificate n --remove --user u",
            "job watch n --complete --user u",
        ] {
            let words = std::iter::once("bitsd").chain(line.split(' '));
            let parsed = CommandLine::try_parse_from(words);
            // A pin of two digits is the one mistake.
            assert_eq!(
                parsed.is_ok(),
                !line.contains("--pin"),
                "{line}: {parsed:?}"
            );
        }
        for line in [
            "",
            "user unlock",
            "user unlock --address host",
            "job list --ca f --pin 00",
            "job certificate n --user u",
            "job create n --user u",
            "job create n http://h/f C:\\f --user u --type sideways",
            "job create n http://h/f C:\\f --user u --start-after never",
            "job credentials n server basic --user u",
            "job set n --user u",
            "job proxy n no_proxy --list h --user u",
            "demo --to /tmp/f",
        ] {
            let words = std::iter::once("bitsd").chain(line.split(' '));
            let parsed = CommandLine::try_parse_from(words);
            assert!(parsed.is_err(), "{line}: {parsed:?}");
        }
    }
}
