//! Which uploads of others are taken in, and where they land.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;

/// Uploads by the BITS upload protocol ([MC-BUP]) that this host takes in, on the
/// listeners of the service.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct HostingSettings {
    /// Folders that take uploads in. None: the service takes none.
    pub upload_folders: Vec<UploadFolder>,
    /// Are uploads taken over HTTP listeners too, where everybody on the way can
    /// read and change them?
    pub allow_unencrypted: bool,
    /// How often sessions that have ended are cleared away.
    pub cleanup_interval_s: u64,
}

/// A folder that takes uploads in; named as the properties of the IIS extension.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct UploadFolder {
    /// Where it stands in URLs: `/upload`.
    pub path: String,
    /// The folder; uploads lie in it under the rest of their URL.
    pub folder: PathBuf,
    /// Accounts that may upload, as in `access.users`, and `@GROUP`.
    pub users: Vec<String>,
    /// May anybody, without log-on?
    pub anonymous: bool,
    /// Is a file that is there replaced? `BITSAllowOverwrites`.
    pub allow_overwrites: bool,
    /// Octets of an upload. 0: no limit. `BITSMaximumUploadSize`.
    pub max_upload_size: u64,
    /// A session ends when nothing has come for so long. `BITSSessionTimeout`.
    pub session_timeout_s: u64,
    /// Sessions of one account. 0: no limit. `BITSNumberOfSessionsLimit`.
    pub max_sessions_per_user: u32,
    /// How the application behind is told. `BITSServerNotificationType`.
    pub notification: Notification,
    /// Where it is told, by POST. `BITSServerNotificationURL`.
    pub notification_url: Option<String>,
    /// Host that clients go to for the rest of a session. `BITSHostId`.
    pub host_id: Option<String>,
    /// After which they may come back to this one. `BITSHostIdFallbackTimeout`.
    pub host_id_fallback_timeout_s: u64,
}

/// How the application behind an upload folder is told of an upload.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum Notification {
    /// Not at all.
    #[default]
    None,
    /// By the path of the file, in a header.
    Reference,
    /// By the file, as the body.
    Value,
}

impl Default for HostingSettings {
    fn default() -> Self {
        Self {
            upload_folders: Vec::new(),
            allow_unencrypted: false,
            cleanup_interval_s: 43_200,
        }
    }
}

impl Default for UploadFolder {
    fn default() -> Self {
        Self {
            path: String::new(),
            folder: PathBuf::new(),
            users: Vec::new(),
            anonymous: false,
            allow_overwrites: false,
            max_upload_size: 0,
            session_timeout_s: 1_209_600,
            max_sessions_per_user: 50,
            notification: Notification::default(),
            notification_url: None,
            host_id: None,
            host_id_fallback_timeout_s: 86_400,
        }
    }
}

/// Checks ranges, and what must go together.
///
/// # Errors
///
/// The key, and what is allowed.
pub(super) fn check(
    hosting: &HostingSettings,
    groups: &BTreeMap<String, Vec<String>>,
) -> Result<(), (&'static str, String)> {
    let seconds = hosting.cleanup_interval_s;
    if !(1..=31_104_000).contains(&seconds) {
        let reason = format!("{seconds} is not from 1 to 31104000");
        return Err(("hosting.cleanup_interval_s", reason));
    }
    for (place, folder) in (1..).zip(&hosting.upload_folders) {
        let others = &hosting.upload_folders[..place - 1];
        let checked = check_folder(folder, others, groups);
        checked.map_err(|reason| {
            let reason = format!("folder {place}: {reason}");
            ("hosting.upload_folders", reason)
        })?;
    }
    Ok(())
}

fn check_folder(
    own: &UploadFolder,
    others: &[UploadFolder],
    groups: &BTreeMap<String, Vec<String>>,
) -> Result<(), String> {
    let path = &own.path;
    let is_plain = |part: &str| {
        !part.is_empty()
            && part.bytes().any(|octet| octet != b'.')
            && part
                .bytes()
                .all(|octet| octet.is_ascii_alphanumeric() || b"-._~".contains(&octet))
    };
    let is_path = path
        .strip_prefix('/')
        .is_some_and(|rest| rest.split('/').all(is_plain));
    if !is_path {
        return Err(format!("path: {path:?} is no path such as \"/upload\""));
    }
    let first = path.split('/').nth(1).unwrap_or_default();
    if TAKEN.contains(&first) {
        return Err(format!("path: {path:?} is the service's own"));
    }
    let is_below = |one: &str, other: &str| {
        one.strip_prefix(other)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    for other in others {
        if is_below(path, &other.path) || is_below(&other.path, path) {
            return Err(format!("path: {path:?} and {:?} overlap", other.path));
        }
    }
    if !own.folder.is_absolute() {
        return Err("folder: must be an absolute path".to_owned());
    }
    if own.users.is_empty() && !own.anonymous {
        return Err("users: at least one account or group, unless anonymous is true".to_owned());
    }
    for user in &own.users {
        let is_known = user
            .strip_prefix('@')
            .is_none_or(|group| groups.contains_key(group));
        if user.is_empty() || user.trim() != user || !is_known {
            return Err(format!("users: {user:?} is no account and no group"));
        }
    }
    if own.session_timeout_s == 0 {
        return Err("session_timeout_s: must be at least 1".to_owned());
    }
    let is_http = |url: &String| url.starts_with("http://");
    match (own.notification, &own.notification_url) {
        (Notification::None, _) => {}
        (_, Some(url)) if is_http(url) => {}
        (_, _) => return Err("notification_url: must be given, as an http URL".to_owned()),
    }
    Ok(())
}

/// First parts of paths that are the service's own.
const TAKEN: &[&str] = &["wsman", "wsman-anon", "health", "metrics"];
