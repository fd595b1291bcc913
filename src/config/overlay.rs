//! What was changed over WS-Management, laid over the settings file.
//!
//! The file in the state folder has the keys of the settings file, and of them
//! only those whose value is another one. Deleted, the settings file alone
//! counts again.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::path::PathBuf;

use serde::Deserialize;
use serde::Serialize;

use super::CertificateMapping;
use super::ChannelBindingLevel;
use super::Error;
use super::ServiceSettings;
use super::Settings;

/// The keys that can be changed over WS-Management, each in its section.
macro_rules! overlay {
    ($($section:ident as $part:ident { $($key:ident: $kind:ty,)+ })+) => {
        /// Values that stand in place of those of the settings file.
        #[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct Overlay {
            $(#[serde(skip_serializing_if = "is_default")] $section: $part,)+
        }

        $(
            #[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
            #[serde(default, deny_unknown_fields)]
            struct $part {
                $(#[serde(skip_serializing_if = "Option::is_none")] $key: Option<$kind>,)+
            }
        )+

        impl Overlay {
            /// What `settings` have that `base` has not.
            pub fn between(base: &Settings, settings: &Settings) -> Self {
                let mut overlay = Self::default();
                $($(
                    if base.$section.$key != settings.$section.$key {
                        overlay.$section.$key = Some(settings.$section.$key.clone());
                    }
                )+)+
                overlay
            }

            /// Puts its values into `settings`.
            pub fn apply(&self, settings: &mut Settings) {
                $($(
                    if let Some(value) = &self.$section.$key {
                        settings.$section.$key = value.clone();
                    }
                )+)+
            }

            /// The keys that it has: `wsman.max_batch_items`.
            pub fn keys(&self) -> Vec<&'static str> {
                let mut keys = Vec::new();
                $($(
                    if self.$section.$key.is_some() {
                        keys.push(concat!(stringify!($section), ".", stringify!($key)));
                    }
                )+)+
                keys
            }

            /// The values that differ between two settings: key, before, after.
            pub fn changes(old: &Settings, new: &Settings) -> Vec<(&'static str, String, String)> {
                let mut changes = Vec::new();
                $($(
                    let (before, after) = (&old.$section.$key, &new.$section.$key);
                    if before != after {
                        let key = concat!(stringify!($section), ".", stringify!($key));
                        changes.push((key, in_toml(before), in_toml(after)));
                    }
                )+)+
                changes
            }
        }
    };
}

overlay! {
    service as Service {
        listen: Vec<SocketAddr>,
        listen_http: Vec<SocketAddr>,
    }
    wsman as Wsman {
        max_envelope_size_kb: u32,
        max_timeout_ms: u64,
        max_batch_items: u32,
        enumeration_timeout_ms: u64,
        max_concurrent_operations_per_user: u32,
        max_connections: u32,
        max_packet_retrieval_time_s: u64,
    }
    access as Access {
        basic: bool,
        negotiate: bool,
        kerberos: bool,
        credssp: bool,
        channel_binding: ChannelBindingLevel,
        allow_unencrypted: bool,
        certificate: bool,
        certificate_mappings: Vec<CertificateMapping>,
    }
}

impl Overlay {
    /// Where it is kept.
    pub fn path(service: &ServiceSettings) -> PathBuf {
        service.state_directory.join(FILE)
    }

    /// Reads it; one that is not there has no values.
    ///
    /// # Errors
    ///
    /// [`Error`].
    pub fn load(path: &Path) -> Result<Self, Error> {
        match std::fs::read_to_string(path) {
            Ok(text) => super::load::parse_toml(path, &text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(source) => Err(Error::Read {
                path: path.to_owned(),
                source,
            }),
        }
    }

    /// `base` with its values, checked.
    ///
    /// # Errors
    ///
    /// [`Error::Value`]: the values do not fit, or no longer.
    pub fn over(&self, base: &Settings, path: &Path) -> Result<Settings, Error> {
        let mut settings = base.clone();
        self.apply(&mut settings);
        settings.check().map_err(|(key, reason)| Error::Value {
            path: path.to_owned(),
            key: key.to_owned(),
            // The key itself may be one of the settings file.
            reason: reason + "; without this file the settings file alone counts",
        })?;
        Ok(settings)
    }

    /// It has no values.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The text of its file.
    ///
    /// # Errors
    ///
    /// A value that TOML cannot hold.
    pub fn text(&self) -> Result<String, toml::ser::Error> {
        Ok([HEAD, &toml::to_string(self)?].concat())
    }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// A value for the log.
fn in_toml<T: Serialize>(value: &T) -> String {
    toml::Value::try_from(value).map_or_else(|error| error.to_string(), |value| value.to_string())
}

/// In the state folder.
const FILE: &str = "winrm-config.toml";

const HEAD: &str = "\
# Changed over WS-Management (winrm/config). What stands here is in force in
# place of the same key of the settings file. Written by the service: delete it
# and start the service again to go back to the settings file.

";

#[cfg(test)]
mod tests {
    use super::*;

    fn changed() -> Settings {
        let mut settings = Settings::default();
        settings.service.listen = vec!["[::1]:7000".parse().expect("an address")];
        settings.wsman.max_batch_items = 7;
        settings.access.certificate = true;
        settings.access.client_ca_certificates = Some("/ca".into());
        settings.access.certificate_mappings = vec![CertificateMapping {
            issuer: "0".repeat(40),
            subject: "*@\"example\".org".to_owned(),
            uri: "*".to_owned(),
            user: "alice".to_owned(),
            enabled: false,
        }];
        settings
    }

    #[test]
    fn only_what_differs_is_kept_and_comes_back_from_its_file() {
        let changed = changed();
        let mut base = Settings::default();
        base.access.client_ca_certificates = Some("/ca".into());
        let overlay = Overlay::between(&base, &changed);
        assert_eq!(
            overlay.keys(),
            [
                "service.listen",
                "wsman.max_batch_items",
                "access.certificate",
                "access.certificate_mappings"
            ]
        );
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join(FILE);
        assert!(Overlay::load(&path).expect("none").is_empty());
        let text = overlay.text().expect("TOML");
        assert!(!text.contains("max_timeout_ms"), "{text}");
        std::fs::write(&path, text).expect("written");
        let read = Overlay::load(&path).expect("our own");
        assert_eq!(read, overlay);
        assert_eq!(read.over(&base, &path).expect("fits"), changed);
        assert!(Overlay::between(&base, &base).is_empty());
    }

    #[test]
    fn a_file_that_does_not_fit_names_itself_and_its_key() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join(FILE);
        let name = path.display().to_string();
        for (text, wanted) in [
            (
                "[wsman]\nmax_batch_items = 0\n",
                "wsman.max_batch_items: 0 is not",
            ),
            ("[wsman]\nmax_waiting_logons = 1\n", "unknown field"),
            ("[files]\nmode = \"0600\"\n", "unknown field"),
            (
                "[access]\nbasic = false\nnegotiate = false\n",
                "access.basic: must be true",
            ),
        ] {
            std::fs::write(&path, text).expect("written");
            let error = Overlay::load(&path)
                .and_then(|overlay| overlay.over(&Settings::default(), &path))
                .expect_err(text)
                .to_string();
            assert!(
                error.starts_with(&name) && error.contains(wanted),
                "{error}"
            );
        }
    }

    #[test]
    fn changes_are_named_with_their_values() {
        let mut settings = Settings::default();
        settings.wsman.max_batch_items = 7;
        assert_eq!(
            Overlay::changes(&Settings::default(), &settings),
            [("wsman.max_batch_items", "32000".to_owned(), "7".to_owned())]
        );
    }
}
