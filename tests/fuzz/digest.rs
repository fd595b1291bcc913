//! `WWW-Authenticate`, a line each; the last is `Authentication-Info` too.

#![no_main]

libfuzzer_sys::fuzz_target!(|octets: &[u8]| bitsd::fuzzing::digest(octets));
