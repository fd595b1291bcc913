//! The body of a request over HTTP.

#![no_main]

libfuzzer_sys::fuzz_target!(|octets: &[u8]| bitsd::fuzzing::envelope(octets));
