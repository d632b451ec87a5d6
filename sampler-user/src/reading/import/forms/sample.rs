//! Values of one thing at one time.

use crate::model::fields::FieldId;
use crate::reading::import::clock::local_us;
use crate::reading::import::intake::{Intake, Place, Stop, Target};
use crate::reading::import::time::{Epoch, Stamp, whole};

/// What a value of a document is.
#[derive(Clone, Copy)]
pub enum Is {
    /// A field.
    Field(FieldId),
    /// Memory in use without inactive page cache.
    WorkingSet,
}

/// Puts down values; what is absent or has no time is none. `names`: what the program calls them.
pub fn put(
    who: &str,
    life: u64,
    time: &str,
    values: &[(&str, Is, Option<f64>)],
    intake: &mut Intake<'_>,
) -> Result<(), Stop> {
    let Some(time_us) = instant(time, intake)? else {
        intake.notes.refused_values += 1;
        return Ok(());
    };
    for (name, is, value) in values {
        let Some(value) = value else { continue };
        let target = match is {
            Is::Field(id) => Target::Field(id.field()),
            Is::WorkingSet => Target::WorkingSet,
        };
        intake.notes.took(name, target, "bytes", false);
        intake.put(&Place { who, life, time_us }, target, *value)?;
    }
    Ok(())
}

/// Microseconds since 1970 of a date, or of a number in the unit that makes it a time of today.
pub fn instant(time: &str, intake: &mut Intake<'_>) -> Result<Option<i64>, Stop> {
    let number = time.parse::<f64>().ok();
    if let Some(unit) = number.and_then(Epoch::of) {
        return Ok(unit.micros(time));
    }
    match whole(time, intake.options.day_first) {
        Some(Stamp::Instant(us)) => Ok(Some(us)),
        Some(Stamp::Local(local)) => local_us(local, intake).map(Some),
        _ => Ok(None),
    }
}
