//! Data to import, of any form.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sampler::reading::import::{Intake, Notes, Options, Place, Sink, Stop, Target, is_plausible, read};

/// Checks each value as it comes.
struct Checked;

impl Sink for Checked {
    fn point(&mut self, place: &Place<'_>, target: Target, _: u64) -> Result<(), Stop> {
        assert!(is_plausible(place.time_us) && !target.column().is_empty());
        Ok(())
    }

    fn rename(&mut self, from: &str, to: &str) {
        assert_ne!(from, to);
    }
}

fuzz_target!(|bytes: &[u8]| {
    let mut options = Options::new("fuzz");
    // The first byte decides what a caller would.
    let (choice, bytes) = bytes.split_first().unwrap_or((&0, bytes));
    if choice & 1 == 1 {
        options.start_us = Some(1_750_000_000_000_000);
        options.interval_us = Some(1_000_000);
    }
    if choice & 2 == 2 {
        options.modified_us = Some(1_750_000_000_000_000);
        options.maps.push(("value".into(), "current".into()));
    }
    if choice & 4 == 4 {
        options.decimal_comma = Some(true);
        options.day_first = Some(true);
    }
    // The seeds are files as they are, which begin with a letter, a digit or a bracket.
    for input in [bytes, &[&[*choice], bytes].concat()] {
        let mut notes = Notes::default();
        let _ = read(input, &mut Intake { options: &options, notes: &mut notes, sink: &mut Checked });
    }
});
