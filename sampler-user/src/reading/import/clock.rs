//! The time of the rows of a log: dates between the rows, times before them, or a start and an interval.

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::TimeZone;

use crate::reading::import::intake::{Intake, Options, Stop};
use crate::reading::import::time::{DayFirst, Stamp, instant};

/// Follows the times of a log from line to line.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    now_us: Option<i64>,
    date: Option<Date>,
    time: Option<Time>,
    /// Whether a whole time came and no row since: a time of day behind it, as that of `top`, adds nothing.
    fresh: bool,
    /// Number of samples so far, for logs without times.
    sample: i64,
}

/// A fall of the time of day by this much is the next day, hours.
const NEXT_DAY_H: i32 = 12;

impl Clock {
    /// Takes what a line says of the time.
    pub fn set(&mut self, stamp: Stamp, intake: &mut Intake<'_>) -> Result<(), Stop> {
        self.now_us = match stamp {
            Stamp::Instant(us) => {
                intake.notes.time("times with their zone, or since 1970");
                Some(us)
            }
            Stamp::Local(local) => Some(local_us(local, intake)?),
            Stamp::Day(date) => {
                self.date = Some(date);
                self.time = None;
                self.now_us
            }
            Stamp::OfDay(_) if self.fresh => self.now_us,
            Stamp::OfDay(time) => Some(self.of_day(time, intake)?),
            Stamp::Yearless(month, day, time) => Some(yearless(month, day, time, intake)?),
        };
        self.fresh |= matches!(stamp, Stamp::Instant(_) | Stamp::Local(_) | Stamp::Yearless(..));
        let zone = || intake.options.zone.clone().unwrap_or(TimeZone::UTC);
        let local = match stamp {
            Stamp::Local(local) => Some(local),
            Stamp::Instant(us) => jiff::Timestamp::from_microsecond(us).ok().map(|time| zone().to_datetime(time)),
            _ => None,
        };
        if let Some(local) = local {
            (self.date, self.time) = (Some(local.date()), Some(local.time()));
        }
        Ok(())
    }

    fn of_day(&mut self, time: Time, intake: &mut Intake<'_>) -> Result<i64, Stop> {
        let date = match (self.date, self.time) {
            (Some(date), Some(before)) if before.duration_since(time).as_hours() >= i64::from(NEXT_DAY_H) => {
                date.tomorrow().unwrap_or(date)
            }
            (Some(date), _) => date,
            (None, _) => first_date(intake)?,
        };
        (self.date, self.time) = (Some(date), Some(time));
        local_us(date.to_datetime(time), intake)
    }

    /// A sample begins: another head of a table, or a name that came already.
    pub fn next_sample(&mut self) {
        self.sample += 1;
    }

    /// Whether the lines have had a time.
    pub fn has_time(&self) -> bool {
        self.now_us.is_some()
    }

    /// The time of a row.
    pub fn now(&mut self, options: &Options) -> Result<i64, Stop> {
        self.fresh = false;
        if let Some(now) = self.now_us {
            return Ok(now);
        }
        let interval = options.interval_us.unwrap_or(0);
        match options.start_us {
            Some(start) if interval > 0 => Ok(start.saturating_add(interval.saturating_mul(self.sample.max(1) - 1))),
            _ => Err(Stop::needs(
                "the log has no times: say when it began and how far apart its samples are",
                ["--start", "2026-01-01T00:00:00Z", "--interval", "60s"],
            )),
        }
    }
}

/// Microseconds since 1970 of a time without a zone.
pub fn local_us(local: DateTime, intake: &mut Intake<'_>) -> Result<i64, Stop> {
    let zone = match &intake.options.zone {
        Some(zone) => {
            intake.notes.time(format!("times without a zone are of {}", zone.iana_name().unwrap_or("the zone given")));
            zone.clone()
        }
        None => {
            intake.notes.time("times without a zone are taken as UTC (--timezone NAME if they are not)");
            TimeZone::UTC
        }
    };
    instant(local, &zone).ok_or_else(|| Stop::new(format!("the time {local} cannot be placed in its zone")))
}

/// The date of a log that has only times of day.
fn first_date(intake: &mut Intake<'_>) -> Result<Date, Stop> {
    let zone = intake.options.zone.clone().unwrap_or(TimeZone::UTC);
    let of = |us: i64| jiff::Timestamp::from_microsecond(us).ok().map(|time| zone.to_datetime(time).date());
    if let Some(date) = intake.options.start_us.and_then(of) {
        return Ok(date);
    }
    let Some(date) = intake.options.modified_us.and_then(of) else {
        return Err(Stop::needs("the log has times of day and no date", ["--start", "2026-01-01"]));
    };
    intake.notes.remark(format!(
        "the log has times of day and no date: it is taken as of {date}, when the file was written (--start DATE if not)"
    ));
    Ok(date)
}

/// A time without a year is of the year in which the file was written, or of the year before.
fn yearless(month: i8, day: i8, time: Time, intake: &mut Intake<'_>) -> Result<i64, Stop> {
    let known = intake.options.start_us.or(intake.options.modified_us);
    let Some(known) = known.and_then(|us| jiff::Timestamp::from_microsecond(us).ok()) else {
        return Err(Stop::needs("the times have no year", ["--start", "2026-01-01"]));
    };
    let year = TimeZone::UTC.to_datetime(known).year();
    let of = |year: i16| Date::new(year, month, day).ok().map(|date| date.to_datetime(time));
    let is_start = intake.options.start_us.is_some();
    let mut local = of(year).or_else(|| of(year - 1));
    if !is_start
        && local
            .is_some_and(|l| instant(l, &TimeZone::UTC).is_some_and(|us| us > known.as_microsecond() + 86_400_000_000))
    {
        local = of(year - 1);
    }
    let local = local.ok_or_else(|| Stop::new("a day of the log is none of its month"))?;
    intake.notes.remark(format!("the times have no year: it is taken as {} (--start DATE if not)", local.year()));
    local_us(local, intake)
}

/// Whether the day comes first in the dates of a file, from some of them. Stops where that cannot be known.
pub fn day_first<'a>(options: &Options, times: impl Iterator<Item = &'a str> + Clone) -> Result<DayFirst, Stop> {
    if options.day_first.is_some() {
        return Ok(options.day_first);
    }
    if let Some(shown) = times.clone().find_map(crate::reading::import::time::shows_day_first) {
        return Ok(Some(shown));
    }
    let is_american = |time: &str| time.trim_end().to_ascii_lowercase().ends_with(['m']) && time.contains(':');
    if times.clone().any(is_american) {
        return Ok(Some(false));
    }
    let mut ambiguous = times.filter(|time| crate::reading::import::time::is_ambiguous(time));
    let Some(first) = ambiguous.next() else { return Ok(None) };
    Err(Stop::needs(
        format!("`{}` may be a day and a month or a month and a day", crate::model::units::printable(first)),
        ["--dates", "day-first"],
    ))
}
