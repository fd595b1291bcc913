//! What follows the path of an upload folder in a URL.

#![no_main]

libfuzzer_sys::fuzz_target!(|octets: &[u8]| bitsd::fuzzing::upload_target(octets));
