//! `render?format=json` of Graphite: the name of a series says what it is.

use std::io::Read;

use serde::Deserialize;

use crate::model::units::printable;
use crate::reading::import::columns::{Meaning, meaning, ours};
use crate::reading::import::forms::document::{documents, has};
use crate::reading::import::intake::{Intake, Place, Stop};
use crate::reading::import::size::{Prefix, name};

#[derive(Deserialize)]
struct Series {
    target: String,
    /// Value and seconds since 1970.
    datapoints: Vec<(Option<f64>, f64)>,
}

pub fn is(head: &str) -> bool {
    head.starts_with('[') && has(head, &["target", "datapoints"])
}

pub fn read(bytes: &mut dyn Read, intake: &mut Intake<'_>) -> Result<(), Stop> {
    intake.notes.formats.insert("graphite");
    documents(bytes, intake, |all: Vec<Series>, intake| {
        for Series { target, datapoints } in all {
            // All series together may be mapped by `value`, one by its name.
            let mapped = intake.options.mapped(&target).or_else(|| intake.options.mapped("value")).and_then(ours);
            let is_mapped = mapped.is_some();
            let Some(Meaning::Field { target: field, unit, .. }) =
                mapped.or_else(|| meaning(&target, Prefix::Binary).ok())
            else {
                let shown = printable(&target);
                intake.notes.leave_out(&target, format!("no field has this name (--map {shown}=FIELD)"));
                continue;
            };
            let unit = intake.options.unit_of("value").or(unit).unwrap_or(1.0);
            intake.notes.took(&target, field, &name(unit), !is_mapped);
            for (value, seconds) in datapoints {
                let Some(value) = value.filter(|_| seconds.abs() < 9e12) else { continue };
                let time_us = (seconds * 1e6).round() as i64;
                intake.put(&Place { who: &target, life: 0, time_us }, field, value * unit)?;
            }
        }
        Ok(())
    })
}
