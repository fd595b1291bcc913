//! Custom headers of a job, as a client sets them.

#![no_main]

libfuzzer_sys::fuzz_target!(|octets: &[u8]| bitsd::fuzzing::custom_headers(octets));
