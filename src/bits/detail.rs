//! What stands beside a code: the circumstances of a failure, as the part that
//! failed tells them, in English.

use std::net::IpAddr;

/// The parts of `detail` that have no language: addresses, paths, and hosts
/// with their ports, each once and in order, with commas between them. Empty
/// when there are none.
///
/// Whoever does not read English gets these behind the translated sentence of
/// the code. A path that begins a part of the detail goes to the next `: `, as
/// it may have spaces.
pub(crate) fn names(detail: &str) -> String {
    let mut names: Vec<&str> = Vec::new();
    for part in detail.split(": ") {
        let is_path = part.starts_with('/') && part.len() > 1;
        let found = if is_path {
            vec![part]
        } else {
            part.split_ascii_whitespace()
                .map(|word| word.trim_matches(['(', ')', '"', ',', ';', ':']))
                .filter(|word| is_name(word))
                .collect()
        };
        for name in found {
            if !names.contains(&name) && names.len() < MAX {
                names.push(name);
            }
        }
    }
    names.join(", ")
}

fn is_name(word: &str) -> bool {
    let is_drive = |word: &str| {
        let mut chars = word.chars();
        chars.next().is_some_and(|c| c.is_ascii_alphabetic()) && chars.as_str().starts_with(":\\")
    };
    let is_host = |word: &str| {
        word.rsplit_once(':')
            .is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
    };
    word.contains("://")
        || (word.starts_with('/') && word.len() > 1)
        || word.starts_with("\\\\")
        || is_drive(word)
        || is_host(word)
        || word.parse::<IpAddr>().is_ok()
}

/// Names of one detail: a failure is about one or two.
const MAX: usize = 4;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_has_no_language_is_kept() {
        for (detail, wanted) in [
            ("", ""),
            ("the transfer was stopped", ""),
            ("asking for http://h/a: HTTP status 404", "http://h/a"),
            (
                "/srv/my file: opening the write root: Permission denied (os error 13)",
                "/srv/my file",
            ),
            ("connecting to h.test:443: timed out", "h.test:443"),
            (
                "connecting to h: the address 10.0.0.1 is private",
                "10.0.0.1",
            ),
            (
                "reading http://h/a: nothing came from http://h/a in time",
                "http://h/a",
            ),
            ("the destination /srv/x is a folder", "/srv/x"),
            ("C:\\x\\y lies below no write root", "C:\\x\\y"),
            ("either this and/or that: 1 / 2", ""),
        ] {
            assert_eq!(names(detail), wanted, "{detail}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn arbitrary_details_have_names_or_none(detail in "\\PC*") {
            prop_assert!(names(&detail).len() <= detail.len() + 2 * MAX);
        }
    }
}
