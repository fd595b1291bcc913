//! NTLM: a NEGOTIATE, whose length stands before it, and an AUTHENTICATE.

#![no_main]

libfuzzer_sys::fuzz_target!(|octets: &[u8]| bitsd::fuzzing::ntlm(octets));
