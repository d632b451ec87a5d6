//! Times of a log, which may know the date, the zone, the time since boot, or none of them.

use sampler::analysis::incident::context::Logged;
use sampler::kernel::oom::textlog::{Wall, When};

/// Microseconds by a clock that all lines of one kind share: for distances alone.
pub fn order_us(when: &When) -> Option<i64> {
    let uptime = when.uptime_us.and_then(|us| i64::try_from(us).ok());
    uptime.or_else(|| when.wall.map(|wall| wall.us))
}

/// A time as a page shows it.
pub fn logged(when: &When) -> Logged {
    let uptime = when.uptime_us.map(|us| us as f64 / 1e6);
    match (when.wall, uptime) {
        (Some(wall), _) => {
            let time = text(&wall);
            let clock = if wall.zoned { "" } else { " (the log's clock)" };
            let missing = match (wall.dated, wall.zoned) {
                (true, true) => None,
                (true, false) => Some("the zone of the log's clock: its times may be local or UTC"),
                (false, _) => Some("the year, and the zone of the log's clock: its lines do not have them"),
            };
            Logged {
                words: format!(" at {time}{clock}"),
                time_us: (wall.dated && wall.zoned).then_some(wall.us),
                unknown: missing.map(str::to_owned),
                time,
            }
        }
        (None, Some(uptime)) => Logged {
            time: format!("{uptime:.6} s after boot"),
            words: format!(" {uptime:.1} s after boot"),
            time_us: None,
            unknown: Some("the date and the time of day: the log counts from the boot (`dmesg -T` has them)".into()),
        },
        (None, None) => Logged { unknown: Some("when it was: the lines have no times".into()), ..Logged::default() },
    }
}

/// `2024-05-03T02:11:47Z`, without the `Z` where the zone is not known, `May  3 02:11:47` where the year is not.
fn text(wall: &Wall) -> String {
    let Ok(time) = jiff::Timestamp::from_microsecond(wall.us) else { return String::new() };
    let time = jiff::tz::TimeZone::UTC.to_datetime(time);
    let digits = match wall.exact_us {
        1_000_000.. => 0,
        _ => 3,
    };
    let fraction = if digits == 0 { String::new() } else { format!(".{:03}", time.millisecond()) };
    let (day, clock) = (time.date(), format!("{:02}:{:02}:{:02}{fraction}", time.hour(), time.minute(), time.second()));
    match (wall.dated, wall.zoned) {
        (true, true) => format!("{day}T{clock}Z"),
        (true, false) => format!("{day}T{clock}"),
        (false, _) => {
            const MONTHS: [&str; 12] =
                ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
            let month = MONTHS.get(usize::try_from(day.month() - 1).unwrap_or(0)).copied().unwrap_or_default();
            format!("{month} {:2} {clock}", day.day())
        }
    }
}

/// How far a time of the log is from a time, microseconds: where its zone is not known as a clock on this machine's wall would
/// show it, where its year is not known within any year.
pub fn distance_us(when: &When, at: i64) -> Option<u64> {
    let wall = when.wall?;
    if wall.zoned && wall.dated {
        return Some(wall.us.abs_diff(at));
    }
    let stamp = jiff::Timestamp::from_microsecond(at).ok()?;
    let local = jiff::tz::TimeZone::system().to_datetime(stamp);
    let civil = if wall.dated { local } else { in_year(local, wall)? };
    let us = jiff::tz::TimeZone::UTC.to_ambiguous_timestamp(civil).compatible().ok()?.as_microsecond();
    Some(wall.us.abs_diff(us))
}

/// The same day of the year that stands for none.
fn in_year(time: jiff::civil::DateTime, wall: Wall) -> Option<jiff::civil::DateTime> {
    let year = jiff::tz::TimeZone::UTC.to_datetime(jiff::Timestamp::from_microsecond(wall.us).ok()?).year();
    time.with().year(year).build().ok()
}
