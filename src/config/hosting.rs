//! Which uploads of others are taken in, and where they land.

use std::collections::BTreeMap;
use std::path::Component;
use std::path::PathBuf;

use serde::Deserialize;
use url::Url;

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
    let is_plain = |part| !matches!(part, Component::ParentDir | Component::CurDir);
    if !own.folder.is_absolute() || !own.folder.components().all(is_plain) {
        return Err("folder: must be an absolute path without . and ..".to_owned());
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
    if !(1..=MAX_S).contains(&own.session_timeout_s) {
        return Err(format!("session_timeout_s: must be from 1 to {MAX_S}"));
    }
    if own.host_id_fallback_timeout_s > MAX_S {
        return Err(format!("host_id_fallback_timeout_s: at most {MAX_S}"));
    }
    if let Some(host) = &own.host_id
        && !is_host(host)
    {
        return Err(format!("host_id: {host:?} is no host"));
    }
    match (own.notification, &own.notification_url) {
        (Notification::None, _) => Ok(()),
        (Notification::Reference | Notification::Value, Some(url)) if is_http(url) => Ok(()),
        (Notification::Reference | Notification::Value, _) => Err(format!(
            "notification_url: must be given, as an http URL without userinfo of at most {MAX_URL} characters"
        )),
    }
}

/// As Windows has it: no HTTPS, and no log-on.
fn is_http(text: &str) -> bool {
    text.len() <= MAX_URL
        && Url::parse(text).is_ok_and(|url| {
            url.scheme() == "http"
                && url.username().is_empty()
                && url.password().is_none()
                && url.fragment().is_none()
        })
}

/// A name or an address, perhaps with a port.
fn is_host(text: &str) -> bool {
    let url = Url::parse(&format!("http://{text}/"));
    let has_nothing_else = !text.contains(['/', '?', '#', '@', '\\', '\t', '\r', '\n']);
    has_nothing_else && url.is_ok_and(|url| url.has_host())
}

/// First parts of paths that are the service's own.
const TAKEN: &[&str] = &["wsman", "wsman-anon", "health", "metrics"];

/// Seconds: a year.
const MAX_S: u64 = 31_536_000;

/// Characters of `BITSServerNotificationURL`.
const MAX_URL: usize = 2_200;

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> UploadFolder {
        UploadFolder {
            path: "/upload".to_owned(),
            folder: PathBuf::from("/srv/in"),
            users: vec!["alice".to_owned()],
            ..UploadFolder::default()
        }
    }

    fn checked(folders: Vec<UploadFolder>) -> Result<(), (&'static str, String)> {
        let settings = HostingSettings {
            upload_folders: folders,
            ..HostingSettings::default()
        };
        let groups = BTreeMap::from([("crew".to_owned(), vec!["bob".to_owned()])]);
        check(&settings, &groups)
    }

    fn refused(change: impl Fn(&mut UploadFolder)) -> String {
        let mut folder = folder();
        change(&mut folder);
        let (key, reason) = checked(vec![folder]).expect_err("refused");
        assert_eq!(key, "hosting.upload_folders");
        reason
    }

    #[test]
    fn folders_that_can_be_used_pass() {
        let mut other = folder();
        other.path = "/uploads/more.of_it~1".to_owned();
        other.users = vec!["@crew".to_owned(), "*@EXAMPLE.ORG".to_owned()];
        other.notification = Notification::Value;
        other.notification_url = Some("http://localhost:8080/done?x=y".to_owned());
        other.host_id = Some("files.example.org:8443".to_owned());
        let mut open = folder();
        open.path = "/open".to_owned();
        open.users = Vec::new();
        open.anonymous = true;
        assert_eq!(checked(vec![folder(), other, open]), Ok(()));
    }

    #[test]
    fn paths_are_plain_and_do_not_meet() {
        for path in [
            "",
            "/",
            "upload",
            "/upload/",
            "/a//b",
            "/a b",
            "/%41",
            "/a/../b",
            "/./a",
            "/ä",
            "/wsman",
            "/wsman/x",
            "/wsman-anon/x",
            "/health",
            "/metrics",
        ] {
            let reason = refused(|folder| path.clone_into(&mut folder.path));
            assert!(reason.starts_with("folder 1: path: "), "{path}: {reason}");
        }
        for path in ["/upload", "/upload/sub"] {
            let mut below = folder();
            path.clone_into(&mut below.path);
            for both in [vec![folder(), below.clone()], vec![below.clone(), folder()]] {
                assert!(checked(both).expect_err("refused").1.contains("overlap"));
            }
        }
    }

    #[test]
    fn somebody_must_be_named_who_is_known() {
        assert!(refused(|folder| folder.users.clear()).contains("users"));
        for user in ["", " alice", "@nobody"] {
            assert!(refused(|folder| folder.users = vec![user.to_owned()]).contains("users"));
        }
    }

    #[test]
    fn an_application_has_an_http_address() {
        for url in [
            None,
            Some("https://h/"),
            Some("http://"),
            Some("http://u:p@h/"),
            Some("http://h/#x"),
            Some("done"),
        ] {
            let reason = refused(|folder| {
                folder.notification = Notification::Reference;
                folder.notification_url = url.map(str::to_owned);
            });
            assert!(reason.contains("notification_url"), "{url:?}");
        }
        let long = format!("http://h/{}", "a".repeat(MAX_URL));
        let reason = refused(|folder| {
            folder.notification = Notification::Value;
            folder.notification_url = Some(long.clone());
        });
        assert!(reason.contains("notification_url"));
    }

    #[test]
    fn times_hosts_and_folders_are_in_range() {
        assert!(refused(|folder| folder.session_timeout_s = 0).contains("session_timeout_s"));
        let long = MAX_S + 1;
        assert!(refused(|folder| folder.session_timeout_s = long).contains("session_timeout_s"));
        assert!(refused(|folder| folder.host_id_fallback_timeout_s = long).contains("fallback"));
        for host in ["", "a b", "h/x", "u@h", "h:port", "h?x"] {
            let reason = refused(|folder| folder.host_id = Some(host.to_owned()));
            assert!(reason.contains("host_id"), "{host}");
        }
        for path in ["in", "/srv/../etc"] {
            assert!(refused(|folder| folder.folder = PathBuf::from(path)).contains("absolute"));
        }
        for seconds in [0, 31_104_001] {
            let settings = HostingSettings {
                cleanup_interval_s: seconds,
                ..HostingSettings::default()
            };
            let (key, _) = check(&settings, &BTreeMap::new()).expect_err("refused");
            assert_eq!(key, "hosting.cleanup_interval_s");
        }
    }
}
