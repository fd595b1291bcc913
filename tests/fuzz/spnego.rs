//! A token of SPNEGO.

#![no_main]

libfuzzer_sys::fuzz_target!(|octets: &[u8]| bitsd::fuzzing::spnego(octets));
