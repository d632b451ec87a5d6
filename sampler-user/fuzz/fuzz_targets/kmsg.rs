//! Records of the kernel's log of any bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sampler::kernel::oom::kmsg::{KmsgRecord, OomParser};
use sampler::kernel::oom::merge::Merge;
use sampler::kernel::oom::witness::Witness;

fuzz_target!(|bytes: &[u8]| {
    let (mut parser, mut merge) = (OomParser::default(), Merge::default());
    let mut reports = 0;
    for record in bytes.split(|&b| b == b'\n').filter_map(KmsgRecord::parse) {
        if let Some(report) = parser.push(&record) {
            reports += 1;
            merge.witness(Witness::Kmsg { time_ns: reports, report: Box::new(report) });
        }
    }
    let settled = merge.poll(u64::MAX);
    let more: u64 = settled.more.iter().map(|more| more.count).sum();
    assert!(settled.kills.len() as u64 + more <= reports);
});
