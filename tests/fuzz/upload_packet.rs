//! The headers of a packet of an upload or of its Ack, one a line.

#![no_main]

libfuzzer_sys::fuzz_target!(|octets: &[u8]| bitsd::fuzzing::upload_packet(octets));
