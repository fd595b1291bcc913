//! A service of one's own: its folder, its process, its certificate.

use std::fs;
use std::io::Write as _;
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use aws_lc_rs::rand;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustix::process::Pid;
use rustix::process::Signal;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tokio::process::Child;
use tokio::process::Command;
use tokio::time::Instant;

use crate::bits::Secret;
use crate::cli::Failure;
use crate::cli::output;
use crate::client::Client;
use crate::client::Pin;
use crate::client::Settings;
use crate::client::Trust;

/// A fresh folder, with everything that the service needs.
#[derive(Debug)]
pub(super) struct Place {
    root: PathBuf,
    files: PathBuf,
    target: PathBuf,
}

impl Place {
    /// Makes the folder, for its owner alone; downloads go below it, or to
    /// `target`.
    ///
    /// # Errors
    ///
    /// [`Failure`].
    pub(super) fn new(target: Option<&Path>) -> Result<Self, Failure> {
        let mut name = [0; 8];
        rand::fill(&mut name)
            .map_err(|_| Failure::Demo("there are no random numbers".to_owned()))?;
        let name = u64::from_le_bytes(name);
        let root = std::env::temp_dir().join(format!("bitsd-demo-{name:016x}"));
        make(&root)?;
        let place = Self {
            files: root.join("files"),
            target: PathBuf::new(),
            root,
        };
        place.fill(target)
    }

    /// Fills the folder; removes it when that fails.
    fn fill(mut self, target: Option<&Path>) -> Result<Self, Failure> {
        let filled = self.try_fill(target);
        if filled.is_err() {
            self.remove();
        }
        filled.map(|()| self)
    }

    fn try_fill(&mut self, target: Option<&Path>) -> Result<(), Failure> {
        if let Some(target) = target {
            let target = std::path::absolute(target)
                .map_err(|e| Failure::File(format!("cannot use {}", target.display()), e))?;
            let (Some(folder), Some(name)) = (target.parent(), target.file_name()) else {
                return Err(Failure::Usage("--to names no file".to_owned()));
            };
            let folder = fs::canonicalize(folder)
                .map_err(|e| Failure::File(format!("cannot use {}", folder.display()), e))?;
            if target.exists() {
                return Err(Failure::Usage(format!(
                    "{} is there already",
                    target.display()
                )));
            }
            self.target = folder.join(name);
            self.files = folder;
        } else {
            make(&self.files)?;
        }
        make(&self.state())?;
        Ok(())
    }

    /// Where downloads may land.
    pub(super) fn files(&self) -> &Path {
        &self.files
    }

    /// Where the file of `--to` goes.
    pub(super) fn target(&self) -> &Path {
        &self.target
    }

    /// Removes the folder. What was fetched to `--to` is not in it.
    pub(super) fn remove(&self) {
        if let Err(e) = fs::remove_dir_all(&self.root) {
            output::complain(&format!("cannot remove {}: {e}", self.root.display()));
        }
    }

    /// Shows the end of the service's log.
    pub(super) fn tell_log(&self) {
        let text = fs::read(self.log()).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        let skip = lines.len().saturating_sub(LOG_LINES);
        for line in lines.iter().skip(skip) {
            output::note(&format!("  service: {line}"));
        }
    }

    fn state(&self) -> PathBuf {
        self.root.join("state")
    }

    fn config(&self) -> PathBuf {
        self.root.join("bitsd.toml")
    }

    fn password(&self) -> PathBuf {
        self.root.join("password")
    }

    fn log(&self) -> PathBuf {
        self.root.join("service.log")
    }
}

/// The service, as a child of this process.
#[derive(Debug)]
pub(super) struct Endpoint {
    /// Where it listens.
    pub(super) address: SocketAddr,
    /// The account made for it.
    pub(super) user: &'static str,
    /// The account's password.
    pub(super) password: Secret,
    /// The file with the password.
    pub(super) password_file: PathBuf,
    /// The file with its certificate.
    pub(super) certificate: PathBuf,
    child: Child,
}

impl Endpoint {
    /// Writes the configuration, makes the account, and starts the service.
    ///
    /// # Errors
    ///
    /// [`Failure`].
    pub(super) async fn start(place: &Place) -> Result<Self, Failure> {
        // Free a moment ago; should it be taken now, the service says so.
        let address = std::net::TcpListener::bind("127.0.0.1:0")
            .and_then(|listener| listener.local_addr())
            .map_err(|e| Failure::File("there is no free port".to_owned(), e))?;
        write(&place.config(), &config(address, place))?;
        let password = password()?;
        write(&place.password(), &format!("{}\n", password.reveal()))?;
        let program = std::env::current_exe()
            .map_err(|e| Failure::File("cannot find this program".to_owned(), e))?;
        let cannot_run = |e| Failure::File(format!("cannot run {}", program.display()), e);
        let added = Command::new(&program)
            .args(["user", "add", USER, "--password-file"])
            .arg(place.password())
            .arg("--config")
            .arg(place.config())
            .stdin(Stdio::null())
            .output()
            .await
            .map_err(cannot_run)?;
        if !added.status.success() {
            let said = String::from_utf8_lossy(&added.stderr);
            return Err(Failure::Demo(format!(
                "the account could not be made: {}",
                said.trim()
            )));
        }
        let log = open(&place.log())?;
        let log_too = log
            .try_clone()
            .map_err(|e| Failure::File("cannot write the log".to_owned(), e))?;
        let child = Command::new(&program)
            .args(["serve", "--config"])
            .arg(place.config())
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(log_too)
            // Ctrl-C is for this process, which ends the child in its turn.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(cannot_run)?;
        Ok(Self {
            address,
            user: USER,
            password,
            password_file: place.password(),
            certificate: place.state().join("tls").join("certificate.pem"),
            child,
        })
    }

    /// Waits until the service answers, and gives a client of it that trusts
    /// its certificate and no other.
    ///
    /// # Errors
    ///
    /// [`Failure`]; the last attempt's when it does not answer in time.
    pub(super) async fn client(&mut self) -> Result<Client, Failure> {
        let deadline = Instant::now() + START;
        loop {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Err(Failure::Demo(format!("the service ended: {status}")));
            }
            let failure = match self.try_client().await {
                Ok(client) => return Ok(client),
                Err(failure) => failure,
            };
            if Instant::now() >= deadline {
                return Err(failure);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn try_client(&self) -> Result<Client, Failure> {
        let pin = self.pin()?;
        let address = self.address.to_string();
        let client = Client::new(Settings {
            address: address
                .parse()
                .map_err(|e| Failure::Demo(format!("{address}: {e}")))?,
            trust: Trust::Pinned(pin),
            account: (self.user.to_owned(), self.password.clone()),
            timeout: Duration::from_secs(90),
        })?;
        let identity = client.identify().await?;
        output::line(&format!(
            "endpoint  https://{address}/wsman answers Identify: {} {}",
            identity.vendor, identity.version
        ));
        output::line(&format!("          certificate pinned, SHA-256 {pin}"));
        Ok(client)
    }

    /// The pin of the certificate that the service made for itself.
    ///
    /// # Errors
    ///
    /// [`Failure`] while there is none.
    pub(super) fn pin(&self) -> Result<Pin, Failure> {
        let certificate = CertificateDer::from_pem_file(&self.certificate).map_err(|e| {
            Failure::Demo(format!(
                "no certificate in {}: {e}",
                self.certificate.display()
            ))
        })?;
        Ok(Pin::of(&certificate))
    }

    /// Waits until the service ends by itself, which it should not.
    pub(super) async fn ended(&mut self) -> Failure {
        match self.child.wait().await {
            Ok(status) => Failure::Demo(format!("the service ended: {status}")),
            Err(e) => Failure::File("cannot wait for the service".to_owned(), e),
        }
    }

    /// Ends the service by SIGTERM, and by force when it does not heed it.
    pub(super) async fn stop(mut self) {
        let pid = self.child.id().and_then(|id| i32::try_from(id).ok());
        if let Some(pid) = pid.and_then(Pid::from_raw) {
            // Gone already: then there is nothing to wait for either.
            let _ = rustix::process::kill_process(pid, Signal::TERM);
        }
        if tokio::time::timeout(STOP, self.child.wait()).await.is_err() {
            output::complain("the service does not end, it is killed");
            // Fails only when it has ended after all.
            let _ = self.child.kill().await;
        }
    }
}

/// The configuration: loopback, one account, one folder, and as drive `C:` the
/// same folder.
fn config(address: SocketAddr, place: &Place) -> String {
    let files = place.files().display().to_string();
    let value = toml::toml! {
        [service]
        [access]
        [files]
        [transfer]
        allow_addresses = ["127.0.0.0/8"]
    };
    let mut value = value;
    let mut set = |table: &str, key: &str, entry: toml::Value| {
        if let Some(toml::Value::Table(table)) = value.get_mut(table) {
            table.insert(key.to_owned(), entry);
        }
    };
    let list = |text: String| toml::Value::Array(vec![text.into()]);
    set("service", "listen", list(address.to_string()));
    let state = place.state().display().to_string();
    set("service", "state_directory", state.into());
    set("access", "users", list(USER.to_owned()));
    set("files", "write_roots", list(files.clone()));
    let drives = toml::Table::from_iter([("C".to_owned(), files.into())]);
    set("files", "drives", drives.into());
    value.to_string()
}

/// A password that nobody has had before.
fn password() -> Result<Secret, Failure> {
    let mut octets = [0; 18];
    rand::fill(&mut octets).map_err(|_| Failure::Demo("there are no random numbers".to_owned()))?;
    Ok(Secret::new(URL_SAFE_NO_PAD.encode(octets)))
}

fn make(folder: &Path) -> Result<(), Failure> {
    fs::DirBuilder::new()
        .mode(0o700)
        .create(folder)
        .map_err(|e| Failure::File(format!("cannot make {}", folder.display()), e))
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    let mut file = open(path)?;
    file.write_all(text.as_bytes())
        .map_err(|e| Failure::File(format!("cannot write {}", path.display()), e))
}

fn open(path: &Path) -> Result<fs::File, Failure> {
    fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map_err(|e| Failure::File(format!("cannot write {}", path.display()), e))
}

const USER: &str = "demo";

/// How long the service may take until it answers: it makes a key and checks
/// a password, in a debug build too.
const START: Duration = Duration::from_mins(1);

/// How long it may take to end; a little more than it grants itself.
const STOP: Duration = Duration::from_secs(25);

/// Lines of the log that are shown when something went wrong.
const LOG_LINES: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_is_one_that_the_service_reads() {
        let place = Place::new(None).expect("a folder");
        let text = config(SocketAddr::from(([127, 0, 0, 1], 1)), &place);
        let settings: crate::config::Settings = toml::from_str(&text).expect("settings");
        assert_eq!(settings.access.users, [USER]);
        assert_eq!(settings.files.write_roots, [place.files()]);
        assert_eq!(settings.files.drives[&'C'], place.files());
        place.remove();
        assert!(!place.root.exists());
    }
}
