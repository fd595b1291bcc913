//! Puts the parts together: the order of start and of shutdown.
//!
//! Start: settings → accounts → TLS → sockets → store → mover → engine →
//! endpoint → requests. What can be refused is refused before the first
//! transfer runs. Shutdown goes the other way: no more requests, then no more
//! transfers, then the store.

use std::error::Error;
use std::fmt;
use std::fmt::Write as _;
use std::fs;
use std::fs::DirBuilder;
use std::io;
use std::io::BufRead as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use std::time::SystemTime;

use sd_notify::NotifyState;
use tokio::signal::unix::SignalKind;
use tokio::signal::unix::signal;
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::info;
use tracing::warn;
use zeroize::Zeroizing;

use crate::auth;
use crate::auth::Access;
use crate::auth::Attempts;
use crate::auth::Door;
use crate::auth::Kerberos;
use crate::auth::Means;
use crate::auth::Pam;
use crate::auth::Unlock;
use crate::auth::Users;
use crate::bits::Owner;
use crate::cim::Catalog;
use crate::cli;
use crate::cli::Command;
use crate::cli::UserCommand;
use crate::config;
use crate::config::AccessSettings;
use crate::config::BasicAccounts;
use crate::config::Current;
use crate::config::Listening;
use crate::config::Overlay;
use crate::config::Role;
use crate::config::Settings;
use crate::engine::Engine;
use crate::hosting;
use crate::hosting::Uploads;
use crate::http;
use crate::net;
use crate::net::Acceptors;
use crate::net::Reload;
use crate::net::Sockets;
use crate::net::Tls;
use crate::net::Why;
use crate::provider::BitsClientJob;
use crate::provider::BitsdFile;
use crate::provider::BitsdJob;
use crate::provider::Prepare;
use crate::provider::Rebind;
use crate::provider::Unready;
use crate::provider::WinrmConfig;
use crate::store::Sqlite;
use crate::store::Store;
use crate::telemetry;
use crate::transfer::Mover;
use crate::vault::Vault;
use crate::wsman::Endpoint;

/// Does what the command line says.
pub fn run() -> ExitCode {
    let command = cli::parse();
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return refuse(&error),
    };
    let done = match command {
        Command::Serve(args) => runtime.block_on(serve(args.config.as_deref())),
        Command::User(command) => user(command),
        Command::Job(args) => return runtime.block_on(cli::job::run(*args)),
        Command::Demo(args) => return runtime.block_on(cli::demo::run(args)),
    };
    // Blocking work that nobody waits for does not hold up the end.
    runtime.shutdown_background();
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => refuse(error.as_ref()),
    }
}

/// Runs the service until it is told to stop.
async fn serve(config: Option<&Path>) -> Result<(), Box<dyn Error>> {
    let base = Settings::load(config)?;
    telemetry::start(base.service.log_format)?;
    make_private_folder(&base.service.state_directory)?;
    let settings = overlaid(&base)?;
    let places = Places::of(&settings);
    let users = Users::open(&places.users)?;
    let pam = match settings.access.basic_accounts {
        BasicAccounts::File => None,
        BasicAccounts::Pam => Some(Arc::new(Pam::load(&settings.access)?)),
    };
    let tls = Tls::load(&settings.service)?;
    let current = Arc::new(Current::new(settings.clone()));
    let kerberos = Kerberos::load(&current)?;
    let listener = net::bind(&current, &tls)?;

    let vault = open_vault(&settings, &places, &users)?;
    let users = Arc::new(users.with_vault(Arc::clone(&vault))?);
    let store: Arc<dyn Store> = Arc::new(Sqlite::open(&store_folder(&settings), vault)?);
    let protected = places.protected(&settings, config);
    let mover = Mover::new(
        &settings.transfer,
        &settings.files,
        &settings.service.state_directory,
        &protected,
    )
    .map_err(|failure| Refusal(failure.detail))?;
    let stop = CancellationToken::new();
    let uploads = Uploads::start(
        &settings.hosting,
        &hosting::Places {
            groups: &settings.access.groups,
            files: &settings.files,
            state_directory: &settings.service.state_directory,
            protected: &protected,
        },
        stop.clone(),
    )
    .map_err(|failure| Refusal(failure.detail))?;
    let access = Arc::new(Access::new(&with_uploaders(&settings)));
    let bounds = {
        let access = Arc::clone(&access);
        Box::new(move |owner: &Owner| access.bounds(owner.as_str()))
    };
    let engine = Engine::start(settings.engine.clone(), Arc::clone(&store), mover, bounds).await?;

    let attempts = Attempts::load(&settings.service.state_directory, &current);
    let keeper = attempts.keep();
    let door = Arc::new(Door::new(Means {
        users,
        access,
        pam,
        kerberos,
        attempts,
        settings: Arc::clone(&current),
        identity: tls.identity(),
    }));
    let catalog = Catalog::bundled()?;
    let jobs = BitsClientJob::new(engine.clone(), &catalog)?;
    let own_jobs = BitsdJob::new(engine.clone(), &catalog)?;
    let files = BitsdFile::new(engine.clone(), &catalog)?;
    let identity = tls.clone();
    let thumbprint = Box::new(move || identity.thumbprint());
    let winrm_config = WinrmConfig::new(
        &current,
        base,
        &catalog,
        thumbprint,
        prepare(listener.acceptors(), Arc::clone(&door)),
        rebind(listener.sockets()),
    );
    let negotiates = {
        let door = Arc::clone(&door);
        move || door.negotiates()
    };
    let endpoint = Endpoint::new(
        &current,
        catalog,
        vec![Arc::new(jobs), Arc::new(own_jobs), Arc::new(files)],
    )
    .map_err(Refusal)?
    .with_config(winrm_config.map_err(Refusal)?)
    .with_negotiation(negotiates);
    let stop_timeout = Duration::from_secs(settings.service.stop_timeout_s);
    let jobs = move || store.count(None).ok();
    let router = http::router(Arc::new(endpoint), door, &current, uploads.clone(), jobs);

    warn_of_nobody(&settings);
    for Listening { address, transport } in listener.listening() {
        info!(%address, %transport, sha256 = tls.fingerprint(), "Listening for WS-Management");
    }
    let signals = tokio::spawn(stop_on_signal(stop.clone())?);
    let reloads = tokio::spawn(reload_on_signal(listener.reload())?);
    tell_manager(NotifyState::Ready);
    listener.serve(router, stop).await;
    signals.abort();
    reloads.abort();
    keeper.stop().await;
    if timeout(stop_timeout, uploads.stop()).await.is_err() {
        warn!("Uploads of others cut off");
    }
    // What is cut off here is as after a crash, and so is finished or taken up
    // again by the next start.
    if timeout(stop_timeout, engine.stop()).await.is_err() {
        warn!("Transfers or files on their way to their places cut off");
    }
    info!("Stopped");
    Ok(())
}

/// Manages the accounts.
fn user(command: UserCommand) -> Result<(), Box<dyn Error>> {
    let open = |config: Option<PathBuf>| -> Result<(Users, Settings), Box<dyn Error>> {
        let settings = Settings::load(config.as_deref())?;
        make_private_folder(&settings.service.state_directory)?;
        Ok((Users::open(&Places::of(&settings).users)?, settings))
    };
    match command {
        UserCommand::Add {
            name,
            password_file,
            ntlm,
            config,
        } => {
            let (mut users, settings) = open(config)?;
            if ntlm {
                let vault = open_vault(&settings, &Places::of(&settings), &users)?;
                users = users.with_vault(vault)?;
            }
            let password = match password_file {
                Some(path) => first_line(&path)?,
                None => ask_password(&name)?,
            };
            let change = if ntlm {
                users.add_for_ntlm(&name, &password)?
            } else {
                users.add(&name, &password)?
            };
            match change {
                auth::Change::Added => println!("Added {name}."),
                auth::Change::Replaced => println!("Changed the password of {name}."),
                auth::Change::WithoutNtlm => println!(
                    "Changed the password of {name}, who cannot log on by NTLM any more: that needs --ntlm."
                ),
            }
            let access = &settings.access;
            if !Access::new(&with_uploaders(&settings)).has(&name) {
                println!(
                    "{name} may do nothing yet: add the name to access.users in the configuration."
                );
            }
            // A file of changes that does not fit is for the start to refuse.
            let now = overlaid(&settings).map_or_else(|_| access.clone(), |now| now.access);
            if !now.basic {
                println!("Log-on by name and password is switched off (Auth/Basic).");
            }
            if ntlm && !(now.negotiate && now.ntlm) {
                println!("Log-on by NTLM is switched off (Auth/Negotiate, access.ntlm).");
            }
        }
        UserCommand::List { long, config } => {
            for (name, has_nt_hash) in open(config)?.0.names_and_ntlm()? {
                match (long, has_nt_hash) {
                    (true, true) => println!("{name}\tBasic, NTLM"),
                    (true, false) => println!("{name}\tBasic"),
                    (false, _) => println!("{name}"),
                }
            }
        }
        UserCommand::Locked { config } => {
            let (state, access) = in_force(config.as_deref())?;
            for line in auth::locked(&state, &access)? {
                println!("{line}");
            }
        }
        UserCommand::Unlock {
            name,
            address,
            config,
        } => {
            let (state, access) = in_force(config.as_deref())?;
            let account = name.as_deref().map(Unlock::Account);
            for what in account.into_iter().chain(address.map(Unlock::Address)) {
                let lines = auth::unlock(&state, &access, what)?;
                for line in &lines {
                    println!("Unlocked: {line}.");
                }
                if lines.is_empty() {
                    println!("{what} was not locked out; its failed log-ons are forgotten.");
                }
            }
        }
        UserCommand::Remove { name, config } => {
            open(config)?.0.remove(&name)?;
            println!("Removed {name}.");
        }
    }
    Ok(())
}

/// The state folder, and what is in force for log-ons. A file of changes that
/// does not fit is for the start to refuse: whoever is locked out must get in.
fn in_force(config: Option<&Path>) -> Result<(PathBuf, AccessSettings), Box<dyn Error>> {
    let settings = Settings::load(config)?;
    let settings = overlaid(&settings).unwrap_or(settings);
    Ok((settings.service.state_directory, settings.access))
}

/// Files of the service that the settings name or leave to it.
struct Places {
    users: PathBuf,
    /// Where the key of the secrets lies; made there if it is our own folder.
    key: Key,
}

enum Key {
    /// Somebody else puts it there.
    Given(PathBuf),
    /// Made on first start.
    Ours(PathBuf),
}

impl Places {
    fn of(settings: &Settings) -> Self {
        let state = &settings.service.state_directory;
        let credential = std::env::var_os("CREDENTIALS_DIRECTORY")
            .map(|folder| Path::new(&folder).join(KEY_CREDENTIAL))
            .filter(|path| path.exists());
        let key = match settings.service.secret_key_file.clone().or(credential) {
            Some(path) => Key::Given(path),
            None => Key::Ours(state.join(KEY_FILE)),
        };
        Self {
            users: settings.service.accounts(),
            key,
        }
    }

    fn key_path(&self) -> &Path {
        match &self.key {
            Key::Given(path) | Key::Ours(path) => path,
        }
    }

    /// What no transfer may touch.
    fn protected(&self, settings: &Settings, config: Option<&Path>) -> Vec<PathBuf> {
        let service = &settings.service;
        let mut paths = vec![
            service.state_directory.clone(),
            self.users.clone(),
            self.key_path().to_owned(),
            config.unwrap_or(Path::new(config::DEFAULT_PATH)).to_owned(),
        ];
        paths.extend(service.certificate.clone());
        paths.extend(service.private_key.clone());
        paths.extend(settings.access.client_ca_certificates.clone());
        paths.extend(settings.access.keytab.clone());
        paths.extend(settings.access.client_revocation_lists.clone());
        paths.extend(settings.transfer.client_certificates.clone());
        paths.extend(settings.transfer.ca_certificates.clone());
        paths.extend(settings.transfer.keytab.clone());
        paths
    }
}

/// The folder of the jobs.
fn store_folder(settings: &Settings) -> PathBuf {
    settings.service.state_directory.join(STORE_FOLDER)
}

/// The key of the secrets; made when nothing was kept under one yet.
fn open_vault(
    settings: &Settings,
    places: &Places,
    users: &Users,
) -> Result<Arc<Vault>, Box<dyn Error>> {
    let vault = match &places.key {
        Key::Given(path) => Vault::open(path)?,
        Key::Ours(path) => {
            let is_kept = Sqlite::exists(&store_folder(settings)) || users.have_nt_hashes()?;
            Vault::create_or_open(path, is_kept)?
        }
    };
    Ok(Arc::new(vault))
}

/// The settings with what was changed over WS-Management.
fn overlaid(base: &Settings) -> Result<Settings, config::Error> {
    let path = Overlay::path(&base.service);
    let overlay = Overlay::load(&path)?;
    let settings = overlay.over(base, &path)?;
    if !overlay.is_empty() {
        info!(
            keys = overlay.keys().join(" "),
            path = %path.display(),
            "Settings were changed over WS-Management; without that file they are those of the settings file again"
        );
    }
    Ok(settings)
}

/// Reads the files that settings name, and looks whether anybody is left who
/// can log on.
fn prepare(acceptors: Arc<Acceptors>, door: Arc<Door>) -> Prepare {
    Arc::new(move |settings| {
        let access = &settings.access;
        if !door.lets_somebody_in(access) {
            return Err(Unready::NobodyLogsOn);
        }
        let done = acceptors.prepare(access);
        done.map_err(|error| Unready::Authorities(in_one_sentence(&error)))
    })
}

/// Changes the listeners.
fn rebind(sockets: Sockets) -> Rebind {
    Box::new(move |addresses| {
        let sockets = sockets.clone();
        Box::pin(async move {
            let done = sockets.listen_on(addresses).await;
            done.map_err(|error| in_one_sentence(&error))
        })
    })
}

fn make_private_folder(path: &Path) -> Result<(), Refusal> {
    let is_new = !path.exists();
    let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|error| {
        Refusal(format!(
            "service.state_directory: cannot make {}: {error}",
            path.display()
        ))
    })?;
    // The store syncs the names in this folder, but not its own. A folder that
    // we may not read was not made by us.
    for parent in path.ancestors().skip(1).take_while(|_| is_new) {
        if let Ok(parent) = fs::File::open(parent) {
            let _ = parent.sync_all();
        }
    }
    Ok(())
}

/// The lists of accounts, with those that are only in lists of upload folders:
/// they log on like others, without any right on jobs.
fn with_uploaders(settings: &Settings) -> AccessSettings {
    let mut lists = settings.access.clone();
    let access = Access::new(&lists);
    let folders = settings.hosting.upload_folders.iter();
    let members = folders.flat_map(|folder| hosting::members(folder, &lists.groups));
    let only_here: Vec<String> = members
        .filter(|member| !access.has(member))
        .map(str::to_owned)
        .collect();
    lists.roles.push(Role {
        members: only_here,
        rights: Vec::new(),
        ..Role::default()
    });
    lists
}

fn warn_of_nobody(settings: &Settings) {
    let access = &settings.access;
    if access.users.is_empty() && access.administrators.is_empty() && access.roles.is_empty() {
        warn!(
            "Nobody may do anything: access.users, access.administrators and access.roles are empty"
        );
    }
    if settings.files.write_roots.is_empty() {
        warn!("No download can land: files.write_roots is empty");
    }
}

/// Waits for SIGTERM or SIGINT, then says stop.
fn stop_on_signal(stop: CancellationToken) -> io::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        info!("Stopping");
        tell_manager(NotifyState::Stopping);
        stop.cancel();
    })
}

/// Has certificates read again on SIGHUP, and when their files have changed.
fn reload_on_signal(reload: Arc<Reload>) -> io::Result<impl Future<Output = ()>> {
    let mut hangup = signal(SignalKind::hangup())?;
    Ok(async move {
        let mut why = Why::Time;
        loop {
            if why == Why::Asked {
                tell_manager(NotifyState::Reloading);
            }
            let reload = Arc::clone(&reload);
            // A panic is in the log, and the next look is another try.
            let _ = spawn_blocking(move || reload.look(why, SystemTime::now())).await;
            if why == Why::Asked {
                tell_manager(NotifyState::Ready);
            }
            why = match timeout(LOOK_EVERY, hangup.recv()).await {
                Ok(_) => Why::Asked,
                Err(_) => Why::Time,
            };
        }
    })
}

fn tell_manager(state: NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        warn!(%error, "Service manager could not be told");
    }
}

fn first_line(path: &Path) -> Result<Zeroizing<String>, Refusal> {
    let refused = |error: io::Error| Refusal(format!("cannot read {}: {error}", path.display()));
    let mut line = Zeroizing::new(String::new());
    io::BufReader::new(fs::File::open(path).map_err(refused)?)
        .read_line(&mut line)
        .map_err(refused)?;
    let end = line.trim_end_matches(['\r', '\n']).len();
    line.truncate(end);
    Ok(line)
}

fn ask_password(name: &str) -> Result<Zeroizing<String>, Box<dyn Error>> {
    let first = Zeroizing::new(rpassword::prompt_password(format!("Password of {name}: "))?);
    let again = Zeroizing::new(rpassword::prompt_password("Once more: ")?);
    if first != again {
        return Err(Box::new(Refusal("the two passwords differ".to_owned())));
    }
    Ok(first)
}

/// One sentence with its causes, on standard error.
fn refuse(error: &dyn Error) -> ExitCode {
    eprintln!("bitsd: {}", in_one_sentence(error));
    ExitCode::FAILURE
}

fn in_one_sentence(error: &dyn Error) -> String {
    let mut sentence = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        // Writing to a string does not fail.
        let _ = write!(sentence, ": {inner}");
        cause = inner.source();
    }
    sentence
}

/// A start that was refused, in one sentence.
#[derive(Debug)]
struct Refusal(String);

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for Refusal {}

/// How often the files of certificates are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(2);

const STORE_FOLDER: &str = "jobs";

const KEY_FILE: &str = "secret.key";

/// Name of the systemd credential that holds the key.
const KEY_CREDENTIAL: &str = "bitsd.key";
