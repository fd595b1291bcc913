//! The built binary in a folder of its own.

use std::fs;
use std::fs::File;
use std::io;
use std::net::Ipv4Addr;
use std::net::TcpListener;
use std::net::TcpStream;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::path::PathBuf;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use tempfile::TempDir;

/// A service that runs until it is dropped.
pub(super) struct Daemon {
    folder: TempDir,
    process: Child,
    pub(super) port: u16,
}

impl Daemon {
    /// Starts the service with these accounts, all with [`PASSWORD`], and
    /// `settings` besides those that every test needs.
    pub(super) fn start(accounts: &[&str], settings: &toml::Table) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        fs::create_dir_all(folder.path().join("files/c")).expect("a folder");
        // Another process may take the port before the service has it.
        for _ in 0..ATTEMPTS {
            let port = free_port();
            write_settings(folder.path(), port, accounts, settings);
            add_accounts(folder.path(), accounts);
            let mut process = Command::new(binary())
                .arg("serve")
                .arg("--config")
                .arg(folder.path().join(CONFIG))
                .stdin(Stdio::null())
                .stderr(File::create(folder.path().join(LOG)).expect("a log"))
                .spawn()
                .expect("the binary is built");
            if is_ready(&mut process, port) {
                return Self {
                    folder,
                    process,
                    port,
                };
            }
        }
        panic!("the service does not start:\n{}", log(folder.path()));
    }

    /// The certificate that it has made for itself.
    pub(super) fn certificate(&self) -> PathBuf {
        self.folder.path().join("state/tls/certificate.pem")
    }

    /// The folder below which files may land.
    pub(super) fn files(&self) -> PathBuf {
        self.folder.path().join("files")
    }

    /// Nothing in the log that must not be there.
    pub(super) fn assert_calm(&self) {
        let log = log(self.folder.path());
        for word in ["panicked", " ERROR "] {
            assert!(!log.contains(word), "{log}");
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may have ended by itself; what matters was checked before.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The binary under test: `BITSD` may name another one than cargo has built.
fn binary() -> PathBuf {
    std::env::var_os("BITSD").map_or_else(|| env!("CARGO_BIN_EXE_bitsd").into(), PathBuf::from)
}

fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|probe| probe.local_addr())
        .expect("a port of loopback")
        .port()
}

fn write_settings(folder: &Path, port: u16, accounts: &[&str], settings: &toml::Table) {
    let path = |name: &str| folder.join(name).to_string_lossy().into_owned();
    let mut whole: toml::Table = toml::toml! {
        [transfer]
        allow_addresses = ["127.0.0.0/8"]
        [files]
        mode = "0644"
        directory_mode = "0755"
    };
    for (section, name, value) in [
        (
            "service",
            "listen",
            toml::Value::from(vec![format!("127.0.0.1:{port}")]),
        ),
        ("service", "state_directory", path("state").into()),
        ("files", "write_roots", vec![path("files")].into()),
        (
            "files",
            "drives",
            toml::Table::from_iter([("C".to_owned(), path("files/c").into())]).into(),
        ),
        ("access", "users", accounts.to_vec().into()),
    ] {
        set(&mut whole, section, name, value);
    }
    for (section, keys) in settings {
        let keys = keys.as_table().expect("a section of settings");
        for (name, value) in keys {
            set(&mut whole, section, name, value.clone());
        }
    }
    fs::write(folder.join(CONFIG), whole.to_string()).expect("settings");
}

fn set(whole: &mut toml::Table, section: &str, name: &str, value: toml::Value) {
    whole
        .entry(section)
        .or_insert_with(|| toml::Table::new().into())
        .as_table_mut()
        .expect("a section")
        .insert(name.to_owned(), value);
}

fn add_accounts(folder: &Path, accounts: &[&str]) {
    let password = folder.join("password");
    let mut file = File::options()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&password)
        .expect("a file");
    io::Write::write_all(&mut file, PASSWORD.as_bytes()).expect("written");
    for account in accounts {
        let done = Command::new(binary())
            .args(["user", "add", account, "--password-file"])
            .arg(&password)
            .arg("--config")
            .arg(folder.join(CONFIG))
            .output()
            .expect("the binary is built");
        assert!(done.status.success(), "user add: {done:?}");
    }
}

/// Waits until the service takes connections; false when it has ended.
fn is_ready(process: &mut Child, port: u16) -> bool {
    let deadline = Instant::now() + READY_WITHIN;
    while Instant::now() < deadline {
        if process.try_wait().expect("our child").is_some() {
            return false;
        }
        if TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return true;
        }
        thread::sleep(Duration::from_millis(10));
    }
    false
}

fn log(folder: &Path) -> String {
    fs::read_to_string(folder.join(LOG)).unwrap_or_default()
}

/// Of every account.
pub(super) const PASSWORD: &str = "correct horse battery";

const CONFIG: &str = "bitsd.toml";
const LOG: &str = "bitsd.log";
const ATTEMPTS: usize = 3;
const READY_WITHIN: Duration = Duration::from_mins(1);
