//! `psrecord`: seconds since its start, CPU, real and virtual memory in MiB.

use std::io::Read;

use crate::model::fields::FieldId;
use crate::reading::import::intake::{Intake, Place, Stop, Target};
use crate::reading::import::text::Lines;

/// Whether a line is the head of such a log.
pub fn is_head(line: &str) -> bool {
    line.trim_start().starts_with('#') && line.contains("Elapsed time") && line.contains("Real (MB)")
}

/// Reads such a log.
pub fn read(lines: &mut Lines<impl Read>, intake: &mut Intake<'_>) -> Result<(), Stop> {
    intake.notes.formats.insert("psrecord");
    let target = Target::Field(FieldId::Current.field());
    intake.notes.took("Real (MB)", target, "MiB", false);
    let who = intake.options.stem.clone();
    while let Some(line) = lines.next_line()? {
        let mut words = line.split_whitespace().map(str::parse::<f64>);
        match (words.next(), words.next(), words.next()) {
            (Some(Ok(seconds)), Some(Ok(_)), Some(Ok(real))) => {
                let time_us = start(intake)?.saturating_add((seconds * 1e6).clamp(0.0, 1e17) as i64);
                // psrecord divides by 1024 twice.
                intake.put(&Place { who: &who, life: 0, time_us }, target, real * 1_048_576.0)?;
            }
            (None, ..) => {}
            _ if line.trim_start().starts_with('#') => {}
            _ => intake.notes.unread_lines += 1,
        }
    }
    Ok(())
}

/// When a log that counts from its start began.
pub fn start(intake: &mut Intake<'_>) -> Result<i64, Stop> {
    if let Some(start) = intake.options.start_us {
        return Ok(start);
    }
    let Some(modified) = intake.options.modified_us else {
        return Err(Stop::needs(
            "times count from a start that is not in the file",
            ["--start", "2026-01-01T00:00:00Z"],
        ));
    };
    // Whole seconds, so that a copy of the file reads the same in its parts.
    let start = modified.div_euclid(1_000_000) * 1_000_000;
    intake.notes.remark(format!(
        "times count from a start that is not in the file: it is taken as {}, when the file was written (--start TIME if not)",
        crate::model::time::format_us(start)
    ));
    Ok(start)
}
