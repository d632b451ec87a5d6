//! `mprof run` of memory_profiler: `MEM MiB TIME`, and with `--multiprocess` `CHLD NUMBER MiB TIME`.

use std::io::Read;

use crate::model::fields::FieldId;
use crate::reading::import::intake::{Intake, Place, Stop, Target};
use crate::reading::import::text::Lines;

/// Number of a child, MiB, seconds since 1970.
fn sample(line: &str) -> Option<(Option<u32>, f64, f64)> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let (child, mib, seconds) = match words.as_slice() {
        ["MEM", mib, seconds] => (None, mib, seconds),
        ["CHLD", child, mib, seconds] => (Some(child.parse().ok()?), mib, seconds),
        _ => return None,
    };
    let seconds: f64 = seconds.parse().ok().filter(|seconds| (6.3e8..4.2e9).contains(seconds))?;
    Some((child, mib.parse().ok()?, seconds))
}

/// Whether a line is of such a file.
pub fn is_line(line: &str) -> bool {
    sample(line).is_some()
}

/// Reads such a file.
pub fn read(lines: &mut Lines<impl Read>, intake: &mut Intake<'_>) -> Result<(), Stop> {
    intake.notes.formats.insert("mprof");
    let target = Target::Field(FieldId::Current.field());
    intake.notes.took("MEM", target, "MiB", false);
    let stem = intake.options.stem.clone();
    while let Some(line) = lines.next_line()? {
        match sample(line) {
            Some((child, mib, seconds)) => {
                let who = child.map_or_else(|| stem.clone(), |child| format!("{stem} child {child}"));
                let time_us = (seconds * 1e6).round() as i64;
                intake.put(&Place { who: &who, life: 0, time_us }, target, mib * 1_048_576.0)?;
            }
            None if ["CMDLINE ", "FUNC "].iter().any(|word| line.starts_with(word)) || line.trim().is_empty() => {}
            None => intake.notes.unread_lines += 1,
        }
    }
    Ok(())
}
