//! Three numbers of eight octets, two octets of choices, then `Content-Range`.

#![no_main]

libfuzzer_sys::fuzz_target!(|octets: &[u8]| bitsd::fuzzing::content_range(octets));
