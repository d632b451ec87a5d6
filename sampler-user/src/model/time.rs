//! Time: `CLOCK_MONOTONIC` orders, an anchor turns it into wall-clock time, a boot id says which boot it counts from.
//!
//! WSL2's wall clock jumps by hours after the host slept, so no order and no duration may rest on it. A journal segment and
//! the Parquet files made of it use one anchor: within a file times never step, and a step begins a new segment.

use std::fs;

use rustix::time::{ClockId, Timespec, clock_gettime};
use serde::{Deserialize, Serialize};

fn nanos(time: Timespec) -> u64 {
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// `CLOCK_MONOTONIC`, nanoseconds.
#[inline]
pub fn mono_ns() -> u64 {
    nanos(clock_gettime(ClockId::Monotonic))
}

/// Wall clock, nanoseconds since the Unix epoch.
pub fn wall_ns() -> u64 {
    nanos(clock_gettime(ClockId::Realtime))
}

/// CPU time of this thread, nanoseconds.
#[inline]
pub fn thread_cpu_ns() -> u64 {
    nanos(clock_gettime(ClockId::ThreadCPUTime))
}

/// CPU time of this process, nanoseconds.
pub fn process_cpu_ns() -> u64 {
    nanos(clock_gettime(ClockId::ProcessCPUTime))
}

/// The same instant on both clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Anchor {
    /// `CLOCK_MONOTONIC`, nanoseconds.
    pub mono_ns: u64,
    /// Wall clock, nanoseconds since the Unix epoch.
    pub wall_ns: u64,
}

impl Anchor {
    /// Reads both clocks; the wall clock between two readings of the monotonic one.
    pub fn now() -> Anchor {
        let before = mono_ns();
        let wall_ns = wall_ns();
        Anchor { mono_ns: before.midpoint(mono_ns()), wall_ns }
    }

    /// Wall-clock microseconds of a monotonic time.
    pub fn wall_us(&self, mono_ns: u64) -> i64 {
        ((i128::from(mono_ns) - i128::from(self.mono_ns) + i128::from(self.wall_ns)).div_euclid(1000)) as i64
    }

    /// Monotonic nanoseconds of wall-clock microseconds; the inverse of [`Anchor::wall_us`] to the microsecond.
    pub fn mono_ns(&self, wall_us: i64) -> u64 {
        let ns = i128::from(wall_us) * 1000 - i128::from(self.wall_ns) + i128::from(self.mono_ns);
        u64::try_from(ns.max(0)).unwrap_or(u64::MAX)
    }

    /// How far the wall clock ran ahead of the monotonic one since this anchor, nanoseconds.
    pub fn step_to(&self, later: &Anchor) -> i64 {
        let (mono, wall) = (later.mono_ns as i64 - self.mono_ns as i64, later.wall_ns as i64 - self.wall_ns as i64);
        wall - mono
    }
}

/// Identity of this boot.
pub fn boot_id() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").map_or_else(|_| "unknown".into(), |id| id.trim().into())
}

/// A wall-clock time as `2026-11-24T14:03:22.123Z`.
pub fn format_us(wall_us: i64) -> String {
    match jiff::Timestamp::from_microsecond(wall_us) {
        Ok(time) => format!("{time:.3}"),
        Err(_) => format!("{wall_us}us"),
    }
}

/// The day of a wall-clock time as `2026-11-24`, in UTC.
pub fn date_of_us(wall_us: i64) -> String {
    format_us(wall_us).split('T').next().unwrap_or("unknown").to_owned()
}

/// Reads a time as a person writes it: RFC 3339, `2026-11-24 14:03` (local), `14:03:22` (today, local), `-10m` (ago), or
/// Unix seconds. Returns wall-clock microseconds.
///
/// # Errors
///
/// What a time looks like, for anything else.
///
/// ```
/// use sampler::model::time::{format_us, parse_time};
///
/// let time = parse_time("2026-11-24T14:03:22Z")?;
/// assert_eq!((time, format_us(time).as_str()), (1_795_529_002_000_000, "2026-11-24T14:03:22.000Z"));
/// assert!(parse_time("soon").is_err());
/// # Ok::<(), String>(())
/// ```
pub fn parse_time(text: &str) -> Result<i64, String> {
    let text = text.trim();
    let wanted = || format!("`{text}` is not a time: try 2026-11-24T14:03:22Z, 14:03:22, -10m or Unix seconds");
    if let Some(ago) = text.strip_prefix('-') {
        let ago = crate::model::units::parse_duration(ago).map_err(|_| wanted())?;
        return Ok((wall_ns() / 1000) as i64 - ago.as_micros() as i64);
    }
    if let Ok(time) = text.parse::<jiff::Timestamp>() {
        return Ok(time.as_microsecond());
    }
    if let Ok(seconds) = text.parse::<f64>() {
        return Ok((seconds * 1e6) as i64);
    }
    let zone = jiff::tz::TimeZone::system();
    let local = text
        .parse::<jiff::civil::DateTime>()
        .or_else(|_| text.parse::<jiff::civil::Time>().map(|time| jiff::ZonedDateTime::now().date().to_datetime(time)));
    local
        .ok()
        .and_then(|t| zone.to_ambiguous_timestamp(t).compatible().ok())
        .map(|t| t.as_microsecond())
        .ok_or_else(wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_anchor_converts_both_ways() {
        let anchor = Anchor { mono_ns: 5_000_000_000, wall_ns: 1_790_000_000_000_000_000 };
        assert_eq!(anchor.wall_us(5_000_001_999), 1_790_000_000_000_001);
        assert_eq!(anchor.wall_us(4_999_999_000), 1_789_999_999_999_999, "before the anchor");
        assert_eq!(anchor.mono_ns(anchor.wall_us(7_000_001_000)), 7_000_001_000);
        let later = Anchor { mono_ns: 6_000_000_000, wall_ns: anchor.wall_ns + 3_000_000_000 };
        assert_eq!(anchor.step_to(&later), 2_000_000_000);
    }

    #[test]
    fn times_are_read_as_people_write_them() {
        assert_eq!(parse_time("2026-11-24T00:00:00Z"), Ok(1_795_478_400_000_000));
        assert_eq!(parse_time("1795478400"), Ok(1_795_478_400_000_000));
        assert!(parse_time("14:03").is_ok() && parse_time("2026-11-24 14:03:22").is_ok() && parse_time("-10m").is_ok());
        assert!(parse_time("tomorrow-ish").unwrap_err().contains("tomorrow-ish"));
        assert_eq!(format_us(1_795_478_400_123_456), "2026-11-24T00:00:00.123Z");
        assert_eq!(date_of_us(1_795_478_400_123_456), "2026-11-24");
    }
}
