//! The document `Config`: which setting each element shows and changes, and
//! the values of those that are no settings.

use crate::config::Settings;
use crate::document::Access;
use crate::document::Content;
use crate::document::Declaration;
use crate::document::Kind;
use crate::document::Node;

use super::ConfigError;
use super::is_same;
use super::security;

/// An element that is a setting.
struct Entry {
    /// Its path below `Config`.
    element: &'static str,
    /// Its key in the settings file.
    key: &'static str,
    show: fn(&Settings) -> String,
    /// Holds when the text could be a value of the setting.
    set: fn(&mut Settings, &str) -> bool,
}

macro_rules! entry {
    ($element:literal, $section:ident.$key:ident) => {
        Entry {
            element: $element,
            key: concat!(stringify!($section), ".", stringify!($key)),
            show: |settings| settings.$section.$key.to_string(),
            set: |settings, text| {
                let value = text.parse();
                value.map(|value| settings.$section.$key = value).is_ok()
            },
        }
    };
}

const ENTRIES: &[Entry] = &[
    entry!("MaxEnvelopeSizekb", wsman.max_envelope_size_kb),
    entry!("MaxTimeoutms", wsman.max_timeout_ms),
    entry!("MaxBatchItems", wsman.max_batch_items),
    entry!(
        "Service/MaxConcurrentOperationsPerUser",
        wsman.max_concurrent_operations_per_user
    ),
    entry!("Service/EnumerationTimeoutms", wsman.enumeration_timeout_ms),
    entry!("Service/MaxConnections", wsman.max_connections),
    entry!(
        "Service/MaxPacketRetrievalTimeSeconds",
        wsman.max_packet_retrieval_time_s
    ),
    entry!("Service/AllowUnencrypted", access.allow_unencrypted),
    entry!("Service/Auth/Basic", access.basic),
    entry!("Service/Auth/Kerberos", access.kerberos),
    entry!("Service/Auth/Negotiate", access.negotiate),
    entry!("Service/Auth/Certificate", access.certificate),
    entry!("Service/Auth/CredSSP", access.credssp),
    entry!("Service/Auth/CbtHardeningLevel", access.channel_binding),
];

/// Elements that are no settings. The client is our own command line; limits
/// of shells are those of Windows' schema, and without effect.
const CONSTANTS: &[(&str, &str)] = &[
    ("MaxProviderRequests", "4294967295"),
    ("Client/NetworkDelayms", "5000"),
    ("Client/URLPrefix", "wsman"),
    ("Client/AllowUnencrypted", "false"),
    ("Client/Auth/Basic", "true"),
    ("Client/Auth/Digest", "false"),
    ("Client/Auth/Kerberos", "false"),
    ("Client/Auth/Negotiate", "false"),
    ("Client/Auth/Certificate", "false"),
    ("Client/Auth/CredSSP", "false"),
    ("Client/DefaultPorts/HTTP", "5985"),
    ("Client/DefaultPorts/HTTPS", "5986"),
    ("Client/TrustedHosts", ""),
    ("Service/MaxConcurrentOperations", "4294967295"),
    ("Service/DefaultPorts/HTTP", "5985"),
    ("Service/DefaultPorts/HTTPS", "5986"),
    ("Service/IPv4Filter", "*"),
    ("Service/IPv6Filter", "*"),
    ("Service/EnableCompatibilityHttpListener", "false"),
    ("Service/EnableCompatibilityHttpsListener", "false"),
    ("Winrs/AllowRemoteShellAccess", "false"),
    ("Winrs/IdleTimeout", "7200000"),
    ("Winrs/MaxConcurrentUsers", "10"),
    ("Winrs/MaxShellRunTime", "2147483647"),
    ("Winrs/MaxProcessesPerShell", "25"),
    ("Winrs/MaxMemoryPerShellMB", "1024"),
    ("Winrs/MaxShellsPerUser", "30"),
];

/// The element at `path`, with everything in it.
pub(super) fn document(
    declaration: &Declaration,
    path: &str,
    settings: &Settings,
    thumbprint: &str,
) -> Node {
    match &declaration.kind {
        Kind::Simple(_) => {
            let value = value(path, settings, thumbprint);
            Node::leaf(&declaration.name, value.unwrap_or_default())
        }
        Kind::Sequence(declared) => {
            let child = |declared: &Declaration| {
                let path = below(path, &declared.name);
                document(declared, &path, settings, thumbprint)
            };
            Node::branch(&declaration.name, declared.iter().map(child).collect())
        }
    }
}

/// Puts what `given`, the element at `path`, has into `settings`, which still
/// show as `shown`.
///
/// # Errors
///
/// [`ConfigError`], by the first value that cannot be changed.
pub(super) fn apply(
    declaration: &Declaration,
    path: &str,
    shown: &Node,
    given: &Node,
    settings: &mut Settings,
) -> Result<(), ConfigError> {
    for child in given.children() {
        let path = below(path, &child.name);
        let (Some(declared), Some(shown)) =
            (declaration.child(&child.name), shown.child(&child.name))
        else {
            continue;
        };
        match &child.content {
            Content::Children(_) => apply(declared, &path, shown, child, settings)?,
            Content::Text(text) if is_same(shown.text(), Some(text)) => {}
            Content::Text(text) => match declared.access {
                Access::Changeable => set(&path, text, settings)?,
                Access::ReadOnly => return Err(ConfigError::ReadOnly(path)),
                Access::Frozen => return Err(ConfigError::Frozen(path)),
                Access::Fixed => {
                    return Err(ConfigError::Fixed {
                        name: path,
                        value: shown.text().unwrap_or_default().to_owned(),
                    });
                }
                Access::WriteOnly => {}
            },
        }
    }
    Ok(())
}

/// The element that shows a setting: what its fault should name.
pub(super) fn element(key: &str) -> &str {
    match key {
        "service.listen" | "service.listen_http" => "Listener",
        "access.certificate_mappings" => "CertMapping",
        "access.client_ca_certificates" => "Service/Auth/Certificate",
        _ => ENTRIES
            .iter()
            .find(|entry| entry.key == key)
            .map_or(key, |entry| entry.element),
    }
}

fn value(path: &str, settings: &Settings, thumbprint: &str) -> Option<String> {
    if let Some(entry) = entry(path) {
        return Some((entry.show)(settings));
    }
    match path {
        "Service/RootSDDL" => Some(security::descriptor(&settings.access)),
        "Service/CertificateThumbprint" => Some(thumbprint.to_owned()),
        "Service/AllowRemoteAccess" => {
            let listening = settings.service.listening();
            let is_remote = listening.iter().any(|one| !one.address.ip().is_loopback());
            Some(is_remote.to_string())
        }
        _ => CONSTANTS
            .iter()
            .find(|(own, _)| *own == path)
            .map(|(_, value)| (*value).to_owned()),
    }
}

fn set(path: &str, text: &str, settings: &mut Settings) -> Result<(), ConfigError> {
    match entry(path) {
        Some(entry) if (entry.set)(settings, text) => Ok(()),
        Some(_) | None => Err(ConfigError::Value {
            name: path.to_owned(),
            reason: "the value does not fit".to_owned(),
        }),
    }
}

fn entry(path: &str) -> Option<&'static Entry> {
    ENTRIES.iter().find(|entry| entry.element == path)
}

fn below(path: &str, name: &str) -> String {
    if path.is_empty() {
        name.to_owned()
    } else {
        [path, "/", name].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::super::SCHEMA;
    use super::*;
    use crate::config::Overlay;
    use crate::document::Schema;

    fn leaves(declaration: &Declaration, path: &str, found: &mut Vec<(String, Access)>) {
        for child in declaration.children() {
            let path = below(path, &child.name);
            match child.kind {
                Kind::Simple(_) => found.push((path, child.access)),
                Kind::Sequence(_) => leaves(child, &path, found),
            }
        }
    }

    #[test]
    fn every_element_has_a_value_and_every_changeable_one_its_setting() {
        let schema = Schema::parse(SCHEMA).expect("understood");
        let mut all = Vec::new();
        leaves(schema.element("Config").expect("declared"), "", &mut all);
        for (path, access) in &all {
            assert!(value(path, &Settings::default(), "").is_some(), "{path}");
            assert_eq!(
                entry(path).is_some(),
                *access == Access::Changeable,
                "{path}"
            );
        }
        let known = |path: &str| all.iter().any(|(own, _)| own == path);
        for path in CONSTANTS.iter().map(|(path, _)| *path) {
            assert!(known(path), "{path} is no element");
        }
        for entry in ENTRIES {
            assert!(known(entry.element), "{} is no element", entry.element);
        }
    }

    #[test]
    fn the_schema_allows_the_numbers_that_the_settings_allow() {
        let schema = Schema::parse(SCHEMA).expect("understood");
        let root = schema.element("Config").expect("declared");
        for entry in ENTRIES {
            let names = entry.element.split('/');
            let declared = names.fold(root, |at, name| at.child(name).expect("declared"));
            let Kind::Simple(simple) = &declared.kind else {
                panic!("{} has no value", entry.element);
            };
            if simple.normal("true").is_ok() || simple.normal("Strict").is_ok() {
                continue;
            }
            let mut allowed = 0;
            for number in [
                0,
                1,
                31,
                32,
                499,
                500,
                8_192,
                8_193,
                86_400,
                86_401,
                1_000_000,
                1_000_001,
                2_147_483_647,
                2_147_483_648,
                u32::MAX,
            ] {
                let text = number.to_string();
                let mut settings = Settings::default();
                let fits = (entry.set)(&mut settings, &text) && settings.check().is_ok();
                let is_declared = simple.normal(&text).is_ok();
                assert_eq!(is_declared, fits, "{}: {number}", entry.element);
                allowed += usize::from(fits);
            }
            // Its bounds are among those numbers.
            assert!((2..15).contains(&allowed), "{}", entry.element);
        }
    }

    #[test]
    fn every_setting_that_can_be_changed_is_kept() {
        for entry in ENTRIES {
            let is_kept = ["7", "true", "false", "None"].iter().any(|text| {
                let mut settings = Settings::default();
                (entry.set)(&mut settings, text)
                    && (entry.show)(&settings) == *text
                    && Overlay::between(&Settings::default(), &settings).keys() == [entry.key]
            });
            assert!(is_kept, "{}", entry.element);
            assert!(
                !(entry.set)(&mut Settings::default(), "-1"),
                "{}",
                entry.element
            );
        }
    }
}
