//! A message of `CredSSP`.

#![no_main]

libfuzzer_sys::fuzz_target!(|octets: &[u8]| bitsd::fuzzing::ts_request(octets));
