//! Reading the settings file, and the checks that a type cannot make.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::path::PathBuf;

use serde::de::DeserializeOwned;

use super::AccessSettings;
use super::CertificateMapping;
use super::FilesSettings;
use super::Settings;
use super::TransferSettings;

/// Why there are no settings. Every text names the file, and the key or the
/// line.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read.
    #[error("cannot read the configuration {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// The file is no TOML, or a key is unknown or of another type.
    #[error("{path}, line {line}: {reason}")]
    Parse {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// What is wrong, and what is allowed.
        reason: String,
    },
    /// A value does not fit.
    #[error("{path}: {key}: {reason}")]
    Value {
        /// The file.
        path: PathBuf,
        /// Section and key: `wsman.max_batch_items`.
        key: String,
        /// What is allowed.
        reason: String,
    },
}

/// Where the settings are read from when nobody says otherwise.
pub const DEFAULT_PATH: &str = "/etc/bitsd/bitsd.toml";

impl Settings {
    /// Reads the settings from `path`; from [`DEFAULT_PATH`] when there is
    /// none, and then it is no error that the file does not exist.
    ///
    /// # Errors
    ///
    /// [`Error`].
    pub fn load(path: Option<&Path>) -> Result<Self, Error> {
        let file = path.unwrap_or(Path::new(DEFAULT_PATH));
        match std::fs::read_to_string(file) {
            Ok(text) => Self::parse(file, &text),
            Err(error) if path.is_none() && error.kind() == io::ErrorKind::NotFound => {
                Ok(Self::default())
            }
            Err(source) => Err(Error::Read {
                path: file.to_owned(),
                source,
            }),
        }
    }

    /// Reads the settings from the text of `path`.
    fn parse(path: &Path, text: &str) -> Result<Self, Error> {
        let settings: Self = parse_toml(path, text)?;
        settings.check().map_err(|(key, reason)| Error::Value {
            path: path.to_owned(),
            key: key.to_owned(),
            reason,
        })?;
        Ok(settings)
    }

    /// Checks ranges, and what must go together.
    ///
    /// # Errors
    ///
    /// The key, and what is allowed.
    pub(crate) fn check(&self) -> Result<(), (&'static str, String)> {
        self.check_service()?;
        self.check_access()?;
        self.check_wsman()?;
        self.check_engine_and_transfer()?;
        check_files(&self.files)?;
        super::hosting::check(&self.hosting, &self.access.groups)
    }

    fn check_service(&self) -> Result<(), (&'static str, String)> {
        let service = &self.service;
        let listening = service.listening();
        if listening.is_empty() {
            return Err((
                "service.listen",
                "at least one address with port, such as \"127.0.0.1:5986\"".to_owned(),
            ));
        }
        for (index, one) in listening.iter().enumerate() {
            let (address, key) = (one.address, one.transport.key());
            let before = &listening[..index];
            let same = before.iter().find(|other| other.address == address);
            if let Some(other) = same.filter(|_| address.port() != 0) {
                let at = other.transport.key();
                return Err((key, format!("{address} stands in {at} already")));
            }
            let mut others = listening.iter();
            if let Some(all) = others.find(|all| includes(all.address, address)) {
                let (all, at) = (all.address, all.transport.key());
                let reason = format!("{all} in {at} includes {address}");
                return Err((key, reason));
            }
        }
        absolute("service.state_directory", Some(&service.state_directory))?;
        absolute("service.certificate", service.certificate.as_ref())?;
        absolute("service.private_key", service.private_key.as_ref())?;
        absolute("service.secret_key_file", service.secret_key_file.as_ref())?;
        absolute("service.user_file", service.user_file.as_ref())?;
        match (&service.certificate, &service.private_key) {
            (Some(_), None) => Err((
                "service.private_key",
                "must be given together with service.certificate".to_owned(),
            )),
            (None, Some(_)) => Err((
                "service.certificate",
                "must be given together with service.private_key".to_owned(),
            )),
            (Some(_), Some(_)) | (None, None) => Ok(()),
        }?;
        for name in &service.certificate_names {
            let fits = !name.is_empty()
                && name.len() <= 253
                && name
                    .bytes()
                    .all(|octet| octet.is_ascii_alphanumeric() || b".-:_*".contains(&octet));
            if !fits {
                return Err((
                    "service.certificate_names",
                    format!("{name:?} is no host name and no address"),
                ));
            }
        }
        within("service.stop_timeout_s", service.stop_timeout_s, 1, 3_600)
    }

    fn check_access(&self) -> Result<(), (&'static str, String)> {
        super::roles::check(&self.access, &self.files)?;
        absolute("access.pam_directory", self.access.pam_directory.as_ref())?;
        check_pam_service(&self.access.pam_service)?;
        if let Some(name) = self
            .access
            .users
            .iter()
            .find(|name| self.access.administrators.contains(name))
        {
            return Err((
                "access.users",
                format!("{name:?} stands in access.administrators already, which includes it"),
            ));
        }
        absolute("access.keytab", self.access.keytab.as_ref())?;
        let failures = self.access.lockout_failures;
        within("access.lockout_failures", failures.into(), 0, 100)?;
        let seconds = [
            (
                "access.lockout_window_s",
                self.access.lockout_window_s,
                86_400,
            ),
            (
                "access.lockout_duration_s",
                self.access.lockout_duration_s,
                604_800,
            ),
        ];
        for (key, value, most) in seconds {
            within(key, value, 1, most)?;
        }
        self.check_certificates()
    }

    fn check_certificates(&self) -> Result<(), (&'static str, String)> {
        let access = &self.access;
        let authorities = access.client_ca_certificates.as_ref();
        absolute("access.client_ca_certificates", authorities)?;
        for list in &access.client_revocation_lists {
            absolute("access.client_revocation_lists", Some(list))?;
        }
        let is_mapped = access.certificate_mappings.iter().any(|one| one.enabled);
        if access.certificate && authorities.is_none() && !is_mapped {
            return Err((
                "access.client_ca_certificates",
                "must be given when access.certificate is true and access.certificate_mappings \
                 names no certificate"
                    .to_owned(),
            ));
        }
        for mapping in &access.certificate_mappings {
            let wrong = |reason: String| Err(("access.certificate_mappings", reason));
            let digits = mapping.issuer.chars().filter(|c| *c != ' ');
            let is_hash = matches!(digits.clone().count(), 40 | 64);
            if !is_hash || !digits.clone().all(|c| c.is_ascii_hexdigit()) {
                let issuer = &mapping.issuer;
                return wrong(format!(
                    "issuer: {issuer:?} is not 40 or 64 hexadecimal digits"
                ));
            }
            let subject = &mapping.subject;
            if subject.is_empty() || subject.rfind('*').is_some_and(|at| at > 0) {
                return wrong(format!(
                    "subject: {subject:?} is no name with `*` at most at its start"
                ));
            }
            let uri = &mapping.uri;
            let star = uri.find('*');
            if uri.is_empty() || star.is_some_and(|at| at + 1 < uri.len()) {
                return wrong(format!(
                    "uri: {uri:?} is no resource URI with `*` at most at its end"
                ));
            }
            let user = &mapping.user;
            if user.is_empty() || user.trim() != user || user.chars().any(char::is_control) {
                return wrong(format!("user: {user:?} is no account name"));
            }
        }
        check_log_on(access)
    }

    fn check_wsman(&self) -> Result<(), (&'static str, String)> {
        let wsman = &self.wsman;
        let size = u64::from(wsman.max_envelope_size_kb);
        within("wsman.max_envelope_size_kb", size, 32, 8_192)?;
        within(
            "wsman.max_timeout_ms",
            wsman.max_timeout_ms,
            500,
            2_147_483_647,
        )?;
        within(
            "wsman.max_batch_items",
            wsman.max_batch_items.into(),
            1,
            1_000_000,
        )?;
        within(
            "wsman.enumeration_timeout_ms",
            wsman.enumeration_timeout_ms,
            500,
            2_147_483_647,
        )?;
        let some = [
            (
                "wsman.max_enumerations_per_user",
                wsman.max_enumerations_per_user,
            ),
            ("wsman.max_enumerations", wsman.max_enumerations),
            (
                "wsman.max_concurrent_operations_per_user",
                wsman.max_concurrent_operations_per_user,
            ),
            ("wsman.max_connections", wsman.max_connections),
            (
                "wsman.max_anonymous_connections",
                wsman.max_anonymous_connections,
            ),
            (
                "wsman.max_anonymous_connections_per_address",
                wsman.max_anonymous_connections_per_address,
            ),
            ("wsman.max_waiting_logons", wsman.max_waiting_logons),
        ];
        for (key, value) in some {
            within(key, value.into(), 1, 1_000_000)?;
        }
        if wsman.max_anonymous_connections_per_address > wsman.max_anonymous_connections {
            return Err((
                "wsman.max_anonymous_connections_per_address",
                format!(
                    "at most wsman.max_anonymous_connections, which is {}",
                    wsman.max_anonymous_connections
                ),
            ));
        }
        let times = [
            (
                "wsman.max_packet_retrieval_time_s",
                wsman.max_packet_retrieval_time_s,
            ),
            ("wsman.logon_timeout_s", wsman.logon_timeout_s),
            ("wsman.idle_timeout_s", wsman.idle_timeout_s),
        ];
        for (key, value) in times {
            within(key, value, 1, 86_400)?;
        }
        Ok(())
    }

    fn check_engine_and_transfer(&self) -> Result<(), (&'static str, String)> {
        let (engine, transfer) = (&self.engine, &self.transfer);
        let count = |value: usize| u64::try_from(value).unwrap_or(u64::MAX);
        let counts = [
            ("engine.running_jobs", engine.running_jobs, 1, 1_000),
            ("engine.foreground_jobs", engine.foreground_jobs, 1, 1_000),
            (
                "engine.running_jobs_per_user",
                engine.running_jobs_per_user,
                0,
                1_000,
            ),
            (
                "engine.running_jobs_per_host",
                engine.running_jobs_per_host,
                0,
                1_000,
            ),
            (
                "transfer.ranges_per_origin",
                transfer.ranges_per_origin,
                1,
                8,
            ),
            (
                "transfer.connections_per_origin",
                transfer.connections_per_origin,
                1,
                10_000,
            ),
            (
                "transfer.buffer_memory_mb",
                transfer.buffer_memory_mb,
                32,
                65_536,
            ),
        ];
        for (key, value, least, most) in counts {
            within(key, count(value), least, most)?;
        }
        within(
            "engine.max_download_time_s",
            engine.max_download_time_s,
            0,
            u64::from(u32::MAX),
        )?;
        // "Fragment sizes": Windows sends 5 KB to 13 MB.
        within(
            "transfer.upload_fragment_octets",
            transfer.upload_fragment_octets,
            5 * 1_024,
            1 << 30,
        )?;
        for list in &transfer.revocation_lists {
            absolute("transfer.revocation_lists", Some(list))?;
        }
        within(
            "engine.files_per_job",
            count(engine.files_per_job),
            1,
            1_000,
        )?;
        within("engine.time_slice_s", engine.time_slice_s, 1, 86_400)?;
        within(
            "transfer.connect_timeout_s",
            transfer.connect_timeout_s,
            1,
            3_600,
        )?;
        within("transfer.idle_timeout_s", transfer.idle_timeout_s, 1, 3_600)?;
        within(
            "transfer.checkpoint_interval_ms",
            transfer.checkpoint_interval_ms,
            50,
            60_000,
        )?;
        within(
            "transfer.checkpoint_octets",
            transfer.checkpoint_octets,
            64 * 1_024,
            1 << 40,
        )?;
        within(
            "transfer.max_redirects",
            transfer.max_redirects.into(),
            0,
            50,
        )?;
        absolute(
            "transfer.client_certificates",
            transfer.client_certificates.as_ref(),
        )?;
        absolute(
            "transfer.ca_certificates",
            transfer.ca_certificates.as_ref(),
        )?;
        check_ways(transfer)?;
        absolute("transfer.keytab", transfer.keytab.as_ref())?;
        let agent = &transfer.user_agent;
        if agent.is_empty() || !agent.bytes().all(|octet| (0x20..0x7f).contains(&octet)) {
            return Err((
                "transfer.user_agent",
                "one or more printable ASCII characters".to_owned(),
            ));
        }
        Ok(())
    }
}

/// Where transfers may go, and whom they trust.
fn check_ways(transfer: &TransferSettings) -> Result<(), (&'static str, String)> {
    if transfer.schemes.is_empty() {
        let reason = "at least one of \"http\" and \"https\"".to_owned();
        return Err(("transfer.schemes", reason));
    }
    if transfer.allow_ports.contains(&0) {
        let reason = "0 is not from 1 to 65535".to_owned();
        return Err(("transfer.allow_ports", reason));
    }
    for thumbprint in &transfer.server_thumbprints {
        let mut digits = thumbprint.chars().filter(|c| !matches!(c, ' ' | ':'));
        let is_hash = matches!(digits.clone().count(), 40 | 64);
        if !is_hash || !digits.all(|digit| digit.is_ascii_hexdigit()) {
            return Err((
                "transfer.server_thumbprints",
                format!("{thumbprint:?} is not 40 or 64 hexadecimal digits"),
            ));
        }
    }
    let lists = [
        ("transfer.proxy_list", &transfer.proxy_list),
        ("transfer.proxy_bypass_list", &transfer.proxy_bypass_list),
    ];
    for (key, list) in lists {
        if list.chars().count() > MAX_PROXY_LIST {
            return Err((key, format!("longer than {MAX_PROXY_LIST} characters")));
        }
    }
    Ok(())
}

/// Reads the text of `path`; an error names its line and its key.
pub(super) fn parse_toml<T: DeserializeOwned>(path: &Path, text: &str) -> Result<T, Error> {
    toml::from_str(text).map_err(|error| {
        let offset = error.span().map_or(0, |span| span.start).min(text.len());
        let before = text.get(..offset).unwrap_or_default();
        let line = before.matches('\n').count();
        let key = key_at(text, line).map_or(String::new(), |key| [&key, ": "].concat());
        let reason = error.message().trim().replace('\n', "; ");
        Error::Parse {
            path: path.to_owned(),
            line: 1 + line,
            reason: key + &in_words(&reason),
        }
    })
}

/// Each mapping has keys of its own, and some way to log on is left.
fn check_log_on(access: &AccessSettings) -> Result<(), (&'static str, String)> {
    let mappings = &access.certificate_mappings;
    let wrong = |reason: String| Err(("access.certificate_mappings", reason));
    if mappings.len() > MAX_MAPPINGS {
        return wrong(format!("more than {MAX_MAPPINGS}"));
    }
    for (index, mapping) in mappings.iter().enumerate() {
        let CertificateMapping {
            issuer,
            subject,
            uri,
            ..
        } = mapping;
        if mappings[..index]
            .iter()
            .any(|other| other.is_for_the_same(mapping))
        {
            return wrong(format!("{issuer}, {subject}, {uri} stand there twice"));
        }
    }
    let by_certificate = access.certificate && mappings.iter().any(|mapping| mapping.enabled);
    let by_kerberos = access.kerberos && access.keytab.is_some();
    let by_ntlm = (access.negotiate || access.credssp) && access.ntlm;
    if !access.basic && !by_certificate && !by_kerberos && !by_ntlm {
        let reason = "must be true as long as nobody can log on in another way".to_owned();
        return Err(("access.basic", reason));
    }
    Ok(())
}

/// The name of a file in PAM's folder.
fn check_pam_service(name: &str) -> Result<(), (&'static str, String)> {
    let is_plain = |octet: u8| octet.is_ascii_alphanumeric() || b"._-".contains(&octet);
    if name.is_empty() || name.len() > 64 || name.starts_with('.') || !name.bytes().all(is_plain) {
        return Err((
            "access.pam_service",
            format!("{name:?} is no name of a PAM service, such as \"bitsd\""),
        ));
    }
    Ok(())
}

fn check_files(files: &FilesSettings) -> Result<(), (&'static str, String)> {
    for root in &files.write_roots {
        absolute("files.write_roots", Some(root))?;
    }
    for root in &files.read_roots {
        absolute("files.read_roots", Some(root))?;
    }
    check_drives(files)?;
    mode("files.mode", &files.mode)?;
    mode("files.directory_mode", &files.directory_mode)?;
    let accounts = [("files.owner", &files.owner), ("files.group", &files.group)];
    for (key, name) in accounts {
        if name.as_ref().is_some_and(String::is_empty) {
            return Err((key, "an account name or a number".to_owned()));
        }
    }
    Ok(())
}

fn check_drives(files: &FilesSettings) -> Result<(), (&'static str, String)> {
    let drives = &files.drives;
    let roots = files.write_roots.iter().chain(&files.read_roots);
    for (letter, folder) in drives {
        if !letter.is_ascii_alphabetic() {
            return Err((
                "files.drives",
                format!("{letter:?} is no letter from A to Z"),
            ));
        }
        if letter.is_ascii_lowercase() && drives.contains_key(&letter.to_ascii_uppercase()) {
            return Err((
                "files.drives",
                format!("the drive {letter} stands there in both cases"),
            ));
        }
        absolute("files.drives", Some(folder))?;
        if !roots.clone().any(|root| folder.starts_with(root)) {
            return Err((
                "files.drives",
                format!(
                    "{} lies under no folder of files.write_roots or files.read_roots",
                    folder.display()
                ),
            ));
        }
    }
    Ok(())
}

/// Section and key whose value stands on a line (from 0) of a settings file;
/// none for the head of a section.
fn key_at(text: &str, line: usize) -> Option<String> {
    let mut section = "";
    let mut key = None;
    for line in text.lines().take(line + 1).map(str::trim) {
        if let Some(head) = line.strip_prefix('[')
            && let Some((name, _)) = head.split_once(']')
            && !name.contains(['"', '\''])
        {
            (section, key) = (name, None);
        } else if let Some((name, _)) = line.split_once('=') {
            let name = name.trim();
            let is_key = |octet: u8| octet.is_ascii_alphanumeric() || b"_-.".contains(&octet);
            if !name.is_empty() && name.bytes().all(is_key) {
                key = Some(name);
            }
        }
    }
    let key = key?;
    Some(if section.is_empty() {
        key.to_owned()
    } else {
        [section, ".", key].concat()
    })
}

/// What serde expects, in words of the settings rather than of Rust.
fn in_words(reason: &str) -> String {
    let Some((wrong, wanted)) = reason.rsplit_once("expected ") else {
        return reason.to_owned();
    };
    let wanted = match wanted {
        "usize" | "u64" | "u32" => "a whole number that is not negative",
        "a sequence" => "a list such as [\"…\"]",
        other => other,
    };
    [wrong, "expected ", wanted].concat()
}

/// An absolute path without `..`, or none.
fn absolute(key: &'static str, path: Option<&PathBuf>) -> Result<(), (&'static str, String)> {
    let Some(path) = path else { return Ok(()) };
    let climbs = path
        .components()
        .any(|part| matches!(part, std::path::Component::ParentDir));
    if path.is_absolute() && !climbs {
        return Ok(());
    }
    Err((
        key,
        format!(
            "{:?} is no absolute path without `..`",
            path.display().to_string()
        ),
    ))
}

/// An octal mode of permission bits only.
fn mode(key: &'static str, text: &str) -> Result<(), (&'static str, String)> {
    let digits = matches!(text.len(), 3..=4) && text.bytes().all(|octet| octet.is_ascii_digit());
    match u32::from_str_radix(text, 8) {
        Ok(bits) if digits && bits <= 0o777 && bits & 0o600 == 0o600 => Ok(()),
        Ok(_) | Err(_) => Err((
            key,
            format!(
                "{text:?} is no octal mode such as \"0640\" that lets the owner read and write"
            ),
        )),
    }
}

/// Whoever listens on `all` listens on `one`.
fn includes(all: SocketAddr, one: SocketAddr) -> bool {
    all.ip().is_unspecified()
        && !one.ip().is_unspecified()
        && all.is_ipv4() == one.is_ipv4()
        && all.port() == one.port()
        && one.port() != 0
}

/// A number from `least` to `most`.
fn within(
    key: &'static str,
    value: u64,
    least: u64,
    most: u64,
) -> Result<(), (&'static str, String)> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    Err((key, format!("{value} is not from {least} to {most}")))
}

/// As of a job's own lists.
const MAX_PROXY_LIST: usize = 4_000;

/// Each is tried at a log-on.
const MAX_MAPPINGS: usize = 1_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Settings, String> {
        Settings::parse(Path::new("bitsd.toml"), text).map_err(|error| error.to_string())
    }

    /// The keys of a section, from what serde allows there.
    fn keys(section: &str) -> Vec<String> {
        let error =
            parse(&format!("[{section}]\nno_such_key = 1\n")).expect_err("the key is unknown");
        let (_, expected) = error.split_once("expected one of ").unwrap_or(("", &error));
        let keys: Vec<String> = expected
            .split('`')
            .skip(1)
            .step_by(2)
            .map(str::to_owned)
            .filter(|key| key != "no_such_key")
            .collect();
        assert!(!keys.is_empty(), "{error}");
        keys
    }

    const SAMPLE: &str = include_str!("../../deploy/bitsd.toml");

    #[test]
    fn the_sample_holds_the_defaults() {
        assert_eq!(parse(SAMPLE), Ok(Settings::default()));
    }

    #[test]
    fn the_sample_parses_with_every_example_in_force() {
        let text: String = SAMPLE
            .lines()
            .map(|line| line.strip_prefix("#= ").unwrap_or(line))
            .collect::<Vec<_>>()
            .join("\n");
        let text = text
            .replace("\nwrite_roots = []\n", "\n")
            .replace("\nread_roots = []\n", "\n")
            .replace("\nupload_folders = []\n", "\n");
        parse(&text).expect("the examples are right");
    }

    #[test]
    fn every_key_stands_in_the_sample() {
        let mut section = String::new();
        let mut found = Vec::new();
        for line in SAMPLE.lines() {
            let line = line.strip_prefix("#= ").unwrap_or(line);
            if let Some(name) = line.strip_prefix('[') {
                section = name.trim_end_matches(']').to_owned();
            } else if let Some((key, _)) = line.split_once(" = ") {
                found.push(format!("{section}.{key}"));
            }
        }
        for section in [
            "service", "access", "wsman", "engine", "transfer", "files", "hosting",
        ] {
            for key in keys(section) {
                let table = found.iter().any(|key| key.starts_with("files.drives."));
                let name = format!("{section}.{key}");
                assert!(
                    found.contains(&name) || (name == "files.drives" && table),
                    "{name} is missing"
                );
            }
        }
    }

    #[test]
    fn an_unknown_key_names_file_line_and_what_is_allowed() {
        let error = parse("[service]\n\nlisten_on = []\n").expect_err("no such key");
        assert!(error.starts_with("bitsd.toml, line 3: "), "{error}");
        assert!(
            error.contains("listen_on") && error.contains("`listen`"),
            "{error}"
        );
    }

    #[test]
    fn a_pattern_of_hosts_or_a_scheme_that_is_none_names_line_and_key() {
        for (text, words) in [
            ("allow_hosts = [\"a*.b\"]", "allow_hosts: `a*.b` is no host"),
            (
                "deny_hosts = [\"10.0.0.0/8\"]",
                "deny_hosts: `10.0.0.0/8` is no host",
            ),
            ("schemes = [\"ftp\"]", "schemes: "),
            ("allow_ports = [65536]", "allow_ports: "),
        ] {
            let error = parse(&format!("[transfer]\n{text}\n")).expect_err(text);
            assert!(
                error.starts_with("bitsd.toml, line 2: transfer."),
                "{error}"
            );
            assert!(error.contains(words), "{error}");
        }
        let list = "x".repeat(4_001);
        let error = parse(&format!("[transfer]\nproxy_list = \"{list}\"\n")).expect_err("long");
        assert!(
            error.contains("transfer.proxy_list: longer than 4000"),
            "{error}"
        );
    }

    #[test]
    fn a_bad_value_names_its_key_and_the_range() {
        let cases = [
            (
                "[transfer]\nschemes = []\n",
                "transfer.schemes: at least one",
            ),
            (
                "[transfer]\nallow_ports = [443, 0]\n",
                "transfer.allow_ports: 0 is not from 1",
            ),
            (
                "[transfer]\nserver_thumbprints = [\"ab cd\"]\n",
                "transfer.server_thumbprints: \"ab cd\" is not 40 or 64",
            ),
            (
                "[transfer]\nrevocation_lists = [\"list.pem\"]\n",
                "transfer.revocation_lists: \"list.pem\" is no abs",
            ),
            (
                "[wsman]\nmax_envelope_size_kb = 1\n",
                "wsman.max_envelope_size_kb: 1 is not from 32",
            ),
            (
                "[service]\ncertificate = \"/a\"\n",
                "service.private_key: must be given",
            ),
            ("[service]\nlisten = []\n", "service.listen: at least one"),
            (
                "[service]\nlisten = [\"127.0.0.1:1\", \"0.0.0.0:1\"]\n",
                "service.listen: 0.0.0.0:1 in service.listen includes 127.0.0.1:1",
            ),
            (
                "[service]\nlisten = [\"127.0.0.1:1\"]\nlisten_http = [\"127.0.0.1:1\"]\n",
                "service.listen_http: 127.0.0.1:1 stands in service.listen already",
            ),
            (
                "[service]\nstate_directory = \"x\"\n",
                "service.state_directory: \"x\" is no abs",
            ),
            (
                "[files]\nmode = \"888\"\n",
                "files.mode: \"888\" is no octal",
            ),
            (
                "[files]\ndrives = { C = \"/srv\" }\n",
                "files.drives: /srv lies under no",
            ),
            (
                "[access]\nusers = [\"\"]\n",
                "access.users: \"\" is no account",
            ),
            (
                "[access]\ncertificate = true\n",
                "access.client_ca_certificates: must be given",
            ),
            (
                "[access]\nbasic = false\nntlm = false\ncertificate = true\nclient_ca_certificates = \"/ca\"\n",
                "access.basic: must be true",
            ),
            (
                "[access]\nclient_revocation_lists = [\"/a\", \"b\"]\n",
                "access.client_revocation_lists: \"b\" is no abs",
            ),
        ];
        for (text, part) in cases {
            let error = parse(text).expect_err(text);
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn a_value_of_another_type_names_its_key_and_what_is_allowed() {
        let number = "expected a whole number that is not negative";
        let cases = [
            (
                "# a comment\n[engine]\nrunning_jobs = \"four\"\n",
                "bitsd.toml, line 3: engine.running_jobs: ",
                number,
            ),
            (
                "[engine]\nrunning_jobs = -1\n",
                "bitsd.toml, line 2: engine.running_jobs: ",
                number,
            ),
            (
                "engine.running_jobs = 1.5\n",
                "bitsd.toml, line 1: engine.running_jobs: ",
                number,
            ),
            (
                "[wsman]\nmax_batch_items = 1\n[transfer]\ndeny_addresses = [\n  \"a = b\",\n]\n",
                "bitsd.toml, line ",
                "transfer.deny_addresses: `a = b` is no address or network",
            ),
            (
                "[access]\nusers = \"alice\"\n",
                "bitsd.toml, line 2: access.users: ",
                "expected a list",
            ),
            (
                "[service]\nlog_format = \"xml\"\n",
                "bitsd.toml, line 2: service.log_format: ",
                "`text` or `json`",
            ),
            (
                "[enigne]\nx = 1\n",
                "bitsd.toml, line 1: unknown",
                "`engine`",
            ),
        ];
        for (text, start, part) in cases {
            let error = parse(text).expect_err(text);
            assert!(error.starts_with(start) && error.contains(part), "{error}");
        }
    }

    #[test]
    fn a_mapping_of_certificates_is_checked() {
        let issuer = "00 11 22 33 44 55 66 77 88 99 aa BB cc DD ee FF 00 11 22 33";
        let cases = [
            ([issuer, "*", "*", "alice"], None),
            ([issuer, "*@example.org", "http://x/*", "alice"], None),
            ([&"aB".repeat(32), "*", "*", "alice"], None),
            ([&issuer[3..], "*", "*", "alice"], Some("issuer: \"11 22")),
            (
                [&"ab".repeat(24), "*", "*", "alice"],
                Some("issuer: \"abab"),
            ),
            (
                [&"xy".repeat(32), "*", "*", "alice"],
                Some("issuer: \"xyxy"),
            ),
            ([issuer, "a*", "*", "alice"], Some("subject: \"a*\"")),
            ([issuer, "**", "*", "alice"], Some("subject: \"**\"")),
            ([issuer, "", "*", "alice"], Some("subject: \"\"")),
            ([issuer, "*", "*x", "alice"], Some("uri: \"*x\"")),
            ([issuer, "*", "", "alice"], Some("uri: \"\"")),
            ([issuer, "*", "*", " "], Some("user: \" \"")),
        ];
        for ([issuer, subject, uri, user], wrong) in cases {
            let text = format!(
                "[[access.certificate_mappings]]\nissuer = \"{issuer}\"\n\
                 subject = \"{subject}\"\nuri = \"{uri}\"\nuser = \"{user}\"\n"
            );
            let error = parse(&text).err();
            assert_eq!(error.is_some(), wrong.is_some(), "{error:?}");
            let parts = error.as_deref().zip(wrong);
            assert!(
                parts.is_none_or(|(error, part)| error.contains(part)),
                "{error:?}"
            );
        }
    }

    #[test]
    fn certificates_need_an_authority_or_a_mapping() {
        let mapping = |enabled: bool| {
            format!(
                "[access]\nbasic = false\ncertificate = true\ncertificate_mappings = [{{ \
                 issuer = \"{}\", subject = \"*\", user = \"alice\", enabled = {enabled} }}]\n",
                "ab".repeat(32)
            )
        };
        parse(&mapping(true)).expect("a certificate that is trusted for itself");
        let error = parse(&mapping(false)).expect_err("nobody could log on");
        assert!(
            error.contains("access.client_ca_certificates: must be given"),
            "{error}"
        );
    }

    #[test]
    fn a_named_file_must_exist() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("none.toml");
        assert!(matches!(
            Settings::load(Some(&path)),
            Err(Error::Read { .. })
        ));
    }
}
