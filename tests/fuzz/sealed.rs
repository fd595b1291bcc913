//! A sealed body, behind its `Content-Type`.

#![no_main]

libfuzzer_sys::fuzz_target!(|octets: &[u8]| bitsd::fuzzing::sealed(octets));
