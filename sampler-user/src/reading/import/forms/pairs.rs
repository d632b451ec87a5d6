//! `[[time, value], …]`, as libraries that draw charts take them: a series that has no name.

use std::io::Read;

use crate::reading::import::forms::document::documents;
use crate::reading::import::intake::{Intake, Stop};
use crate::reading::import::labels::Labels;
use crate::reading::import::prometheus::Reader;
use crate::reading::import::time::Epoch;

pub fn is(head: &str) -> bool {
    head.strip_prefix('[').is_some_and(|inside| inside.trim_start().starts_with('['))
}

pub fn read(bytes: &mut dyn Read, intake: &mut Intake<'_>) -> Result<(), Stop> {
    let mut reader = Reader::default();
    documents(bytes, intake, |all: Vec<(f64, Option<f64>)>, intake| {
        let micros = |time: f64| Some((time * (1e6 / Epoch::of(time)?.per_second().0 as f64)).round() as i64);
        let points: Vec<(i64, f64)> =
            all.into_iter().filter_map(|(time, value)| Some((micros(time)?, value?))).collect();
        reader.series(&Labels::new(), &points, intake)
    })
}
