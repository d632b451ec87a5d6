//! Kernel logs of any form and of any bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sampler::kernel::oom::textlog::read;

fuzz_target!(|bytes: &[u8]| {
    let Ok(log) = read(bytes, &mut |_| {}) else { return };
    // A kill is a line of its own, and nothing is made up.
    let lines = bytes.split(|b| b"\n\r>".contains(b)).count() + bytes.len() / 32;
    assert!(log.kills.len() as u64 + log.more <= lines as u64);
    for at in 0..log.kills.len() {
        let facts = log.facts(at);
        assert!(facts.line <= log.coverage.lines + 1);
        assert!(log.kills[at].head.is_none_or(|head| head < at));
    }
    assert_eq!(log.coverage.bytes, bytes.len() as u64);
});
