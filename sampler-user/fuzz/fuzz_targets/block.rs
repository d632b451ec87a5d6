//! A block whose checksum holds and whose bytes are any.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sampler::journal::decoder::decode;

fuzz_target!(|bytes: &[u8]| {
    let mut rows = 0usize;
    let left = decode(bytes, |_, _| rows += 1);
    assert!(left <= bytes.len());
    assert!(rows <= bytes.len(), "a row takes a byte at least");
});
