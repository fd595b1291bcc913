//! Reading the settings file.

use std::io;
use std::path::Path;
use std::path::PathBuf;

use serde::de::DeserializeOwned;

use super::Settings;

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
