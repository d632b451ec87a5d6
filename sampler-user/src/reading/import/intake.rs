//! What every reader is given: options, notes on what was guessed, and where rows go.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use jiff::tz::TimeZone;
use serde::Serialize;

use crate::model::fields::{Field, Kind, UNLIMITED, Unit};
use crate::model::identity::Identity;
use crate::model::time::format_us;
use crate::model::units::printable;

/// What the caller decided, so that it is not guessed.
#[derive(Clone, Debug)]
pub struct Options {
    /// Name of a cgroup where the data names none: the file's.
    pub stem: String,
    /// THEIRS and OURS: a field, `cgroup`, or a time such as `ts_ms`.
    pub maps: Vec<(String, String)>,
    /// Units of values that have none, bytes: of one column, or of all.
    pub units: Vec<(Option<String>, f64)>,
    /// Zone of times that name none.
    pub zone: Option<TimeZone>,
    /// Whether the day comes first in 02/03/2026.
    pub day_first: Option<bool>,
    /// Whether a comma is the decimal mark.
    pub decimal_comma: Option<bool>,
    /// Time of the first sample where the data has none, microseconds since 1970.
    pub start_us: Option<i64>,
    /// Time between samples where the data has none, microseconds.
    pub interval_us: Option<i64>,
    /// When the file was written last, microseconds since 1970: dates a log that has only times of day.
    pub modified_us: Option<i64>,
}

impl Options {
    /// Nothing decided, for a file of this name.
    pub fn new(stem: impl Into<String>) -> Options {
        Options {
            stem: stem.into(),
            maps: Vec::new(),
            units: Vec::new(),
            zone: None,
            day_first: None,
            decimal_comma: None,
            start_us: None,
            interval_us: None,
            modified_us: None,
        }
    }

    /// What a name of theirs was mapped to.
    pub fn mapped(&self, theirs: &str) -> Option<&str> {
        let same = |name: &str| name == theirs || name.eq_ignore_ascii_case(theirs.trim());
        self.maps.iter().find(|(name, _)| same(name)).map(|(_, ours)| ours.as_str())
    }

    /// The unit that was given for a column, bytes.
    pub fn unit_of(&self, column: &str) -> Option<f64> {
        let own = self.units.iter().find(|(name, _)| name.as_deref().is_some_and(|n| n.eq_ignore_ascii_case(column)));
        own.or_else(|| self.units.iter().find(|(name, _)| name.is_none())).map(|(_, unit)| *unit)
    }
}

/// Why a file is not imported.
#[derive(Debug, thiserror::Error)]
pub enum Stop {
    /// Something has to be decided, or is no data.
    #[error("{what}")]
    Needs {
        /// What is wrong.
        what: String,
        /// The arguments that decide it, empty where none can.
        args: Vec<String>,
    },
    /// The bytes could not be read.
    #[error("{0}")]
    Io(#[from] io::Error),
}

impl Stop {
    /// No argument would help.
    pub fn new(what: impl Into<String>) -> Stop {
        Stop::Needs { what: what.into(), args: Vec::new() }
    }

    /// These arguments would.
    pub fn needs<'a>(what: impl Into<String>, args: impl IntoIterator<Item = &'a str>) -> Stop {
        Stop::Needs { what: what.into(), args: args.into_iter().map(str::to_owned).collect() }
    }
}

/// What a value of theirs is.
#[derive(Clone, Copy, Debug)]
pub enum Target {
    /// A field of the table.
    Field(&'static Field),
    /// Memory in use without inactive page cache: it stands for `current` where the same cgroup has no `current`.
    WorkingSet,
}

impl Target {
    /// Column it is written to.
    pub fn column(&self) -> &'static str {
        match self {
            Target::Field(field) => field.column,
            Target::WorkingSet => "current",
        }
    }

    /// Whether its values are sizes.
    pub fn is_size(&self) -> bool {
        matches!(self, Target::WorkingSet) || matches!(self, Target::Field(field) if field.unit == Unit::Bytes)
    }

    fn is_limit(&self) -> bool {
        matches!(self, Target::Field(field) if field.kind == Kind::Limit)
    }
}

/// Where a value belongs.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// The cgroup, or what stands for one.
    pub who: &'a str,
    /// Distinguishes lives of the same name, 0 where that is not known.
    pub life: u64,
    /// Microseconds since 1970.
    pub time_us: i64,
}

/// Takes what the readers yield.
pub trait Sink {
    /// Takes a value in the unit of its field.
    fn point(&mut self, place: &Place<'_>, target: Target, value: u64) -> Result<(), Stop>;
    /// What was put down for `from` belongs to `to`.
    fn rename(&mut self, from: &str, to: &str);
    /// Takes what a cgroup is called beside its path.
    fn named(&mut self, _who: &str, _identity: Identity) {}
}

/// How a column or series of theirs was taken.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Taken {
    /// Our field.
    pub field: String,
    /// The unit it was read in.
    pub unit: String,
    /// Whether that is a guess.
    pub guessed: bool,
}

/// What was understood of a file, what was guessed and what was left out.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Notes {
    /// Programs whose form it has.
    pub formats: BTreeSet<&'static str>,
    /// Columns or series and what they were taken for.
    pub columns: BTreeMap<String, Taken>,
    /// How times were read.
    pub times: BTreeSet<String>,
    /// What else was guessed or decided, in sentences.
    pub remarks: BTreeSet<String>,
    /// What was left out, with the reason.
    pub left_out: BTreeMap<String, String>,
    /// Values that were no numbers, negative or too large.
    pub refused_values: u64,
    /// Lines that were not understood.
    pub unread_lines: u64,
}

/// Most names and sentences kept: what comes is not trusted.
pub(super) const MOST_NOTES: usize = 1000;

/// A name or sentence as it is noted: the begin of it says enough.
pub(super) fn short(text: &str) -> &str {
    let end = text.char_indices().nth(400).map_or(text.len(), |(at, _)| at);
    &text[..end]
}

impl Notes {
    /// Notes how a column was taken, the first time.
    pub fn took(&mut self, column: &str, target: Target, unit: &str, guessed: bool) {
        let column = short(column);
        if self.columns.len() < MOST_NOTES && !self.columns.contains_key(column) {
            let taken = Taken { field: target.column().to_owned(), unit: unit.to_owned(), guessed };
            self.columns.insert(column.to_owned(), taken);
        }
    }

    /// Notes a sentence once.
    pub fn remark(&mut self, sentence: impl Into<String>) {
        if self.remarks.len() < MOST_NOTES {
            self.remarks.insert(short(&sentence.into()).to_owned());
        }
    }

    /// Notes how times are read.
    pub fn time(&mut self, sentence: impl Into<String>) {
        if self.times.len() < MOST_NOTES {
            self.times.insert(short(&sentence.into()).to_owned());
        }
    }

    /// Notes what is left out.
    pub fn leave_out(&mut self, name: &str, why: impl Into<String>) {
        let name = short(name);
        if self.left_out.len() < MOST_NOTES && !self.left_out.contains_key(name) {
            self.left_out.insert(name.to_owned(), short(&why.into()).to_owned());
        }
    }
}

/// What a reader works with.
pub struct Intake<'a> {
    /// What the caller decided.
    pub options: &'a Options,
    /// What is found out.
    pub notes: &'a mut Notes,
    /// Where values go.
    pub sink: &'a mut dyn Sink,
}

/// Times outside of these years are a wrong unit, not a time.
pub(super) const YEARS_US: std::ops::Range<i64> = 631_152_000_000_000..4_102_444_800_000_000;

/// Whether a time lies from 1990 to 2100.
pub fn is_plausible(time_us: i64) -> bool {
    YEARS_US.contains(&time_us)
}

impl Intake<'_> {
    /// Takes a value in the unit of its field. What is no number is absent; infinity is a limit that is not set.
    pub fn put(&mut self, place: &Place<'_>, target: Target, value: f64) -> Result<(), Stop> {
        let value = match value {
            v if v.is_nan() => return Ok(()),
            // cgroup v1 prints almost 2⁶³ for none, others the largest number there is.
            v if v >= 9.2e18 && target.is_limit() => UNLIMITED,
            v if !(0.0..9.2e18).contains(&v) => {
                self.notes.refused_values += 1;
                return Ok(());
            }
            v => v as u64,
        };
        if !is_plausible(place.time_us) {
            let time = format_us(place.time_us);
            return Err(Stop::needs(
                format!(
                    "a row of {} is of {time}, which is not between 1990 and 2100: the unit of the time is another \
                     (map its column to ts_s, ts_ms, ts_us or ts_ns), or it counts from a start that --start names",
                    printable(place.who)
                ),
                ["--start", "2026-01-01T00:00:00Z"],
            ));
        }
        self.sink.point(place, target, value)
    }
}
