//! The checks of settings that a type cannot make.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::AccessSettings;
use super::CertificateMapping;
use super::FilesSettings;
use super::Settings;
use super::TransferSettings;

impl Settings {
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
