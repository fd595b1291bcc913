//! Reads destinations as Windows writes them: `C:\dir\file`. Pure.
//!
//! Outcomes ("Naming Files, Paths, and Namespaces"): a drive without a
//! mapping, UNC, `\\?\`, `\\.\`, relative and drive-relative names, streams,
//! devices, wildcards, trailing dots and blanks are refused. Letters keep
//! their case: names that differ only in case are two files here.

use std::collections::BTreeMap;
use std::path::PathBuf;

/// Is this a destination in the form of Windows, rather than a native one?
pub(super) fn is_windows_form(text: &str) -> bool {
    let mut letters = text.chars();
    let drive = letters
        .next()
        .is_some_and(|first| first.is_ascii_alphabetic())
        && letters.next() == Some(':');
    drive || text.starts_with('\\') || text.starts_with("//")
}

/// The native path that `text` stands for, with the folders of `drives`.
///
/// # Errors
///
/// What is wrong with it.
pub(super) fn map(text: &str, drives: &BTreeMap<char, PathBuf>) -> Result<PathBuf, String> {
    let unified = text.replace('\\', "/");
    if unified.starts_with("//?/") || unified.starts_with("//./") || unified.starts_with("/??/") {
        return Err("device and verbatim paths (\\\\?\\, \\\\.\\) are not supported".to_owned());
    }
    if unified.starts_with("//") {
        return Err("network shares (\\\\server\\share) are not supported".to_owned());
    }
    let mut letters = unified.chars();
    let (Some(drive), Some(':')) = (letters.next(), letters.next()) else {
        return Err("the local name has no drive letter".to_owned());
    };
    let Some(rest) = letters.as_str().strip_prefix('/') else {
        return Err("the local name is relative to the current folder of a drive".to_owned());
    };
    let folder = drives
        .iter()
        .find(|(letter, _)| letter.eq_ignore_ascii_case(&drive))
        .map(|(_, folder)| folder)
        .ok_or_else(|| {
            format!(
                "drive {}: has no folder on this host (setting files.drives)",
                drive.to_ascii_uppercase()
            )
        })?;
    let mut path = folder.clone();
    for component in rest.split('/') {
        check_component(component)?;
        path.push(component);
    }
    Ok(path)
}

fn check_component(name: &str) -> Result<(), String> {
    if name.is_empty() {
        return Err("the local name has an empty part".to_owned());
    }
    if name == "." || name == ".." {
        return Err("the local name contains . or ..".to_owned());
    }
    if name.contains(':') {
        return Err("alternate data streams (name:stream) are not supported".to_owned());
    }
    if let Some(wrong) = name
        .chars()
        .find(|c| "*?\"<>|".contains(*c) || c.is_control())
    {
        return Err(format!(
            "the local name contains a character that is not allowed: {wrong:?}"
        ));
    }
    if name.ends_with(['.', ' ']) {
        return Err("a part of the local name ends in a dot or a blank".to_owned());
    }
    if is_device(name) {
        return Err("the local name is reserved for a device".to_owned());
    }
    Ok(())
}

/// `CON`, `NUL.txt`, `COM¹`: with any extension, in any case.
fn is_device(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or(name).trim_end();
    let stem = stem.to_ascii_uppercase();
    if DEVICES.contains(&stem.as_str()) {
        return true;
    }
    let Some(number) = stem
        .strip_prefix("COM")
        .or_else(|| stem.strip_prefix("LPT"))
    else {
        return false;
    };
    let mut digits = number.chars();
    matches!(
        (digits.next(), digits.next()),
        (Some('0'..='9' | '¹' | '²' | '³'), None)
    )
}

const DEVICES: [&str; 7] = ["CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$", "CLOCK$"];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn drives() -> BTreeMap<char, PathBuf> {
        BTreeMap::from([
            ('C', PathBuf::from("/srv/c")),
            ('d', PathBuf::from("/srv/d")),
        ])
    }

    #[test]
    fn a_drive_stands_for_its_folder() {
        for (text, path) in [
            ("C:\\dir\\file.bin", "/srv/c/dir/file.bin"),
            ("c:/dir/file.bin", "/srv/c/dir/file.bin"),
            ("D:\\x", "/srv/d/x"),
            ("C:\\dir/Käse 1.txt", "/srv/c/dir/Käse 1.txt"),
            ("C:\\common", "/srv/c/common"),
            ("C:\\com10.txt", "/srv/c/com10.txt"),
        ] {
            assert!(is_windows_form(text), "{text}");
            assert_eq!(map(text, &drives()), Ok(PathBuf::from(path)), "{text}");
        }
    }

    #[test]
    fn what_windows_would_not_take_for_a_plain_file_is_refused() {
        for text in [
            "E:\\x",
            "C:x",
            "C:",
            "C:\\",
            "C:\\dir\\",
            "\\x",
            "\\\\server\\share\\x",
            "//server/share/x",
            "\\\\?\\C:\\x",
            "\\\\.\\C:\\x",
            "\\??\\C:\\x",
            "C:\\a\\..\\b",
            "C:\\.\\a",
            "C:\\a:b",
            "C:\\a::$DATA",
            "C:\\con",
            "C:\\NUL.txt",
            "C:\\aux .c",
            "C:\\com1",
            "C:\\LPT9.log",
            "C:\\com¹",
            "C:\\a*",
            "C:\\a?",
            "C:\\a\"b",
            "C:\\a<b",
            "C:\\a>b",
            "C:\\a|b",
            "C:\\a.",
            "C:\\a \\b",
            "C:\\a\0b",
            "C:\\a\nb",
            "C:\\a\\\\b",
            "",
            "x",
            "1:\\x",
        ] {
            assert!(map(text, &drives()).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn nothing_maps_outside_the_folder_of_its_drive(text in "([Cc]:)?[\\\\/.A-Za-z:* ]{0,20}") {
            if let Ok(path) = map(&text, &drives()) {
                prop_assert!(path.starts_with("/srv/c") || path.starts_with("/srv/d"));
                prop_assert!(path.components().all(|part| part != std::path::Component::ParentDir));
            }
        }

        #[test]
        fn any_text_is_read_or_refused(text in ".*") {
            let _ = is_windows_form(&text);
            let _ = map(&text, &drives());
        }
    }
}
