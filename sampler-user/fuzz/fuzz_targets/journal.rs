//! A segment of any bytes: frames, head, events, subjects, rows.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use sampler::journal::reader::Segment;

fuzz_target!(|bytes: &[u8]| {
    let Ok(segment) = Segment::parse(Path::new("fuzz"), bytes.to_vec()) else { return };
    assert!(segment.torn_bytes + segment.corrupt_bytes <= bytes.len() as u64);
    let mut rows = 0usize;
    let left = segment.rows(|_, _| rows += 1);
    assert!(rows as u64 + left <= bytes.len() as u64, "a row takes a byte at least");
    let index = segment.index();
    assert_eq!(index.bad_bytes, left);
    let mut found = 0usize;
    segment.choose(&mut index.decoder(), |_, _| true, |_, _, _| found += 1);
    assert_eq!(found, rows, "the index leads to every row");
    segment.events().for_each(drop);
    drop((segment.subjects(), segment.problems()));
});
