//! What the fuzz targets of `tests/fuzz/` feed: octets of unknown origin into
//! the decoders, which are private. Only built with `--cfg fuzzing`.
//!
//! Each function takes anything and returns; a panic, a hang or a broken
//! answer is a finding. The next decoder gets a function here and in
//! `wsman::fuzzing`, `tests/fuzz/NAME.rs`, a `[[bin]]` beside the others, and
//! seeds in `tests/fuzz/corpus/NAME/`, by which `tests/fuzz/run` finds it.

use crate::auth;
use crate::cim;
use crate::hosting;
use crate::http;
use crate::mechanism;
use crate::transfer::fuzzing as transfer;
use crate::wsman::fuzzing as wsman;

/// The body of a request: charset, envelope, header blocks, and what the
/// operations read of the body. The fault that comes of it must be XML again.
pub fn envelope(octets: &[u8]) {
    if let Some((text, encoding)) = http::decoded(octets) {
        wsman::envelope(&text, encoding);
    }
}

/// A token of SPNEGO: the first one of a log-on, or a later one.
pub fn spnego(octets: &[u8]) {
    mechanism::fuzz_spnego(octets);
}

/// A query in WQL.
pub fn wql(octets: &[u8]) {
    if let Ok(text) = std::str::from_utf8(octets) {
        wsman::wql(text);
    }
}

/// `wsman:Filter` in any dialect, the element itself.
pub fn filter(octets: &[u8]) {
    if let Ok(text) = std::str::from_utf8(octets) {
        wsman::filter(text);
    }
}

/// Classes in MOF.
pub fn mof(octets: &[u8]) {
    if let Ok(text) = std::str::from_utf8(octets) {
        // What is wrong is an error; what is right needs no more than that.
        let _ = cim::parse_mof(text);
    }
}

/// `wsman:SelectorSet`, the element itself.
pub fn selectors(octets: &[u8]) {
    if let Ok(text) = std::str::from_utf8(octets) {
        wsman::selectors(text);
    }
}

/// The expression of `wsman:FragmentTransfer`.
pub fn fragment(octets: &[u8]) {
    if let Ok(text) = std::str::from_utf8(octets) {
        wsman::fragment(text);
    }
}

/// A document of `winrm/config`.
pub fn document(octets: &[u8]) {
    if let Ok(text) = std::str::from_utf8(octets) {
        wsman::document(text);
    }
}

/// A message of `CredSSP`, and the credentials that it may carry.
pub fn ts_request(octets: &[u8]) {
    auth::fuzz_ts_request(octets);
}

/// The two messages of an `NTLM` client, and what they lead to.
pub fn ntlm(octets: &[u8]) {
    mechanism::fuzz_ntlm(octets);
}

/// A sealed body behind its `Content-Type` and a line feed.
pub fn sealed(octets: &[u8]) {
    auth::fuzz_sealed(octets);
}

/// The headers of a packet of the BITS upload protocol, or of its Ack.
pub fn upload_packet(octets: &[u8]) {
    transfer::upload_packet(octets);
}

/// What an answer to a request for a part of a file says.
pub fn content_range(octets: &[u8]) {
    transfer::content_range(octets);
}

/// The challenges of an HTTP server, and the answer by Digest.
pub fn digest(octets: &[u8]) {
    transfer::digest(octets);
}

/// Custom headers of a job.
pub fn custom_headers(octets: &[u8]) {
    transfer::custom_headers(octets);
}

/// What a URL below an upload folder names.
pub fn upload_target(octets: &[u8]) {
    hosting::fuzz_target(octets);
}
