//! Lines for people, and JSON for programs.

use std::io::Write as _;

/// Prints a line. That nobody reads it (a closed pipe) is no failure: what was
/// asked for is done all the same.
pub(super) fn line(text: &str) {
    let _ = writeln!(std::io::stdout().lock(), "{text}");
}

/// Prints a line for whoever watches, beside the output proper.
pub(super) fn note(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// Prints why it failed.
pub(super) fn complain(text: &str) {
    note(&format!("bitsd: {text}"));
}

/// Prints a value as indented JSON.
pub(super) fn json(value: &serde_json::Value) {
    line(&format!("{value:#}"));
}
