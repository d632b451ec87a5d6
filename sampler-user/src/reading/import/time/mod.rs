//! Times as programs print them: ISO 8601, `date`, syslog, `05/23/26 12:00:01 AM`, seconds to nanoseconds since 1970.

mod parts;

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::{Offset, TimeZone};

use self::parts::{ZONES, clock, compact_date, date, is_weekday, month, named_date, numbers, offset};

pub use self::parts::DayFirst;

/// What a text says of a time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Stamp {
    /// Microseconds since 1970.
    Instant(i64),
    /// A date and a time of no zone.
    Local(DateTime),
    /// A time of day alone.
    OfDay(Time),
    /// A date alone.
    Day(Date),
    /// A date without its year, and a time: month and day.
    Yearless(i8, i8, Time),
}

/// Unit of a time since 1970 that is a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Epoch {
    /// Seconds.
    Seconds,
    /// Milliseconds.
    Millis,
    /// Microseconds.
    Micros,
    /// Nanoseconds.
    Nanos,
}

impl Epoch {
    /// The unit that puts a number into this century, about.
    pub fn of(number: f64) -> Option<Epoch> {
        let of = [
            (Epoch::Seconds, 6.3e8..4.2e9),
            (Epoch::Millis, 6.3e11..4.2e12),
            (Epoch::Micros, 6.3e14..4.2e15),
            (Epoch::Nanos, 6.3e17..4.2e18),
        ];
        of.into_iter().find(|(_, range)| range.contains(&number)).map(|(unit, _)| unit)
    }

    /// Units in a second, and its name.
    pub fn per_second(self) -> (i64, &'static str) {
        match self {
            Epoch::Seconds => (1, "seconds"),
            Epoch::Millis => (1_000, "milliseconds"),
            Epoch::Micros => (1_000_000, "microseconds"),
            Epoch::Nanos => (1_000_000_000, "nanoseconds"),
        }
    }

    /// Microseconds since 1970 of a number as text; all its digits count.
    pub fn micros(self, text: &str) -> Option<i64> {
        let per_second = self.per_second().0;
        let micros = match text.parse::<i64>() {
            Ok(whole) if per_second <= 1_000_000 => whole.checked_mul(1_000_000 / per_second)?,
            Ok(whole) => whole.div_euclid(per_second / 1_000_000),
            Err(_) => {
                let value: f64 = text.parse().ok()?;
                let micros = (value * (1e6 / per_second as f64)).round();
                (micros.abs() < 9e18).then_some(micros as i64)?
            }
        };
        Some(micros)
    }
}

/// A number that may be a time since 1970, by its length.
fn epoch(token: &str) -> Option<i64> {
    let whole = token.split('.').next().unwrap_or(token);
    if !matches!(whole.len(), 10 | 13 | 16 | 19) || !token.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
        return None;
    }
    Epoch::of(token.parse().ok()?)?.micros(token)
}

/// What was found so far in the tokens of a text.
#[derive(Default)]
struct Found {
    date: Option<Date>,
    month: Option<i8>,
    day: Option<i8>,
    year: Option<i16>,
    time: Option<Time>,
    afternoon: Option<bool>,
    offset: Option<Offset>,
    zone: Option<TimeZone>,
}

/// The time that a text begins with, and how many bytes of it that is.
pub fn prefix(text: &str, day_first: DayFirst) -> Option<(Stamp, usize)> {
    let mut found = Found::default();
    let mut used = 0;
    let mut at = 0;
    for _ in 0..8 {
        let rest = &text[at..];
        let skipped = rest.len() - rest.trim_start_matches([' ', '\t']).len();
        let rest = &rest[skipped..];
        let length = rest.find([' ', '\t', ',']).unwrap_or(rest.len());
        // A comma before milliseconds belongs to the time, as Python's logging writes it.
        let length = match rest[length..].strip_prefix(',') {
            Some(tail)
                if rest[..length].contains(':')
                    && tail.len() >= 3
                    && tail.as_bytes()[..3].iter().all(u8::is_ascii_digit) =>
            {
                length + 1 + tail.find(|c: char| !c.is_ascii_digit()).unwrap_or(tail.len())
            }
            _ => length,
        };
        let token = &rest[..length];
        if length == 0 {
            break;
        }
        if at == 0
            && let Some(micros) = epoch(token)
        {
            return Some((Stamp::Instant(micros), skipped + length));
        }
        if !found.take(token, &rest[length..], day_first) {
            // A time may be closed by a bracket or a colon.
            let bare = token.trim_end_matches([']', ')', ':', '|', ';', '"']);
            if bare.len() < token.len() && !bare.is_empty() && found.take(bare, "", day_first) {
                used = at + skipped + bare.len();
            }
            break;
        }
        at += skipped + length;
        used = at;
        if text[at..].starts_with(',') {
            at += 1;
        }
    }
    Some((found.stamp()?, used))
}

/// A text that is a time and nothing else.
pub fn whole(text: &str, day_first: DayFirst) -> Option<Stamp> {
    let text = text.trim();
    let (stamp, used) = prefix(text, day_first)?;
    text[used..].trim_matches([' ', ']', ')', ',', ';', '"']).is_empty().then_some(stamp)
}

/// Whether a date has the day first, `Some` only where the numbers show it.
pub fn shows_day_first(text: &str) -> Option<bool> {
    let token = text.trim().split([' ', ',', 'T']).next()?;
    let ([a, b, _], mark, _) = numbers(token)?;
    match (a, b, mark) {
        (32.., _, _) | (_, _, '.') => None,
        (13.., _, _) => Some(true),
        (_, 13.., _) => Some(false),
        _ => None,
    }
}

/// Whether it is a date whose order its numbers do not show.
pub fn is_ambiguous(text: &str) -> bool {
    let token = text.trim().split([' ', ',', 'T']).next().unwrap_or("");
    matches!(numbers(token), Some(([a, b, _], '/' | '-', _)) if a <= 12 && b <= 12 && a != b)
}

/// A zone by its short name, its offset, or its name in the database.
fn zone(token: &str, found: &mut Found) -> bool {
    let token = token.trim_matches(['(', ')', '[', ']']);
    let lower = token.to_ascii_lowercase();
    let number = lower.strip_prefix("utc").or(lower.strip_prefix("gmt")).filter(|rest| !rest.is_empty());
    if let Some(offset) = offset(number.unwrap_or(token)) {
        found.offset = Some(offset);
        return true;
    }
    if let Some((_, hours)) =
        ZONES.iter().find(|(name, _)| *name == lower && token != lower || *name == "z" && lower == "z")
    {
        // After an offset it is only its name.
        found.offset = found.offset.or(Offset::from_seconds((hours * 3600.0) as i32).ok());
        return true;
    }
    let is_name = token.contains('/') && token.starts_with(|c: char| c.is_ascii_uppercase());
    match is_name.then(|| TimeZone::get(token)) {
        Some(Ok(named)) => {
            found.zone = Some(named);
            true
        }
        _ => false,
    }
}

impl Found {
    /// Takes a token if it is a part of a time that is not known yet. `next`: what follows it.
    fn take(&mut self, token: &str, next: &str, day_first: DayFirst) -> bool {
        if self.time.is_none()
            && let Some((time, rest)) = clock(token)
        {
            if rest.is_empty() || self.suffix(rest) {
                self.time = Some(time);
                return true;
            }
            return false;
        }
        if self.date.is_none()
            && self.month.is_none()
            && let Some((parts, mark, end)) = numbers(token)
        {
            let Some(date) = date(parts, mark, day_first) else { return false };
            let rest = &token[end..];
            if rest.is_empty() {
                self.date = Some(date);
                return true;
            }
            if self.time.is_none()
                && let Some(rest) = rest.strip_prefix(['T', 't', '_', ':', ' '])
                && let Some((time, rest)) = clock(rest)
                && (rest.is_empty() || self.suffix(rest))
            {
                (self.date, self.time) = (Some(date), Some(time));
                return true;
            }
            return false;
        }
        if self.date.is_none() && self.month.is_none() && self.time.is_none() {
            let compact = compact_date(token, next);
            let named = || named_date(token).map(|(date, end)| (date, None, end));
            if let Some((date, time, end)) = compact.or_else(named) {
                let rest = &token[end..];
                if rest.is_empty() || time.is_some() && self.suffix(rest) {
                    (self.date, self.time) = (Some(date), time);
                    return true;
                }
                if let Some((time, rest)) = rest.strip_prefix([':', 'T', '_']).and_then(clock)
                    && (rest.is_empty() || self.suffix(rest))
                {
                    (self.date, self.time) = (Some(date), Some(time));
                    return true;
                }
                return false;
            }
        }
        if self.time.is_some() {
            if self.afternoon.is_none() && self.suffix_of_day(token) {
                return true;
            }
            if zone(token, self) {
                return true;
            }
        }
        if self.date.is_none() {
            if self.month.is_none()
                && let Some(month) = month(token)
            {
                self.month = Some(month);
                return true;
            }
            if self.month.is_none() && self.time.is_none() && self.day.is_none() && is_weekday(token) {
                return true;
            }
            let bare = token.trim_end_matches(['.', ',']);
            if let Ok(number) = bare.parse::<i16>() {
                let month_follows = || next.trim_start().split([' ', '\t']).next().is_some_and(|t| month(t).is_some());
                if self.day.is_none()
                    && (1..=31).contains(&number)
                    && bare.len() <= 2
                    && (self.month.is_some() || month_follows())
                {
                    self.day = Some(number as i8);
                    return true;
                }
                if self.day.is_some()
                    && self.year.is_none()
                    && self.month.is_some()
                    && (1990..2100).contains(&number)
                    && bare.len() == 4
                {
                    self.year = Some(number);
                    return true;
                }
            }
        }
        false
    }

    /// What stands right behind a time of day: `Z`, `+02:00`, `AM`, `[Europe/Berlin]`.
    fn suffix(&mut self, rest: &str) -> bool {
        if self.suffix_of_day(rest) {
            return true;
        }
        match rest.split_once('[') {
            Some((before, name)) => (before.is_empty() || zone(before, self)) && zone(name.trim_end_matches(']'), self),
            None => zone(rest, self),
        }
    }

    fn suffix_of_day(&mut self, token: &str) -> bool {
        self.afternoon = match token.trim_end_matches(',').to_ascii_lowercase().as_str() {
            "am" | "a.m." => Some(false),
            "pm" | "p.m." => Some(true),
            _ => return false,
        };
        true
    }

    fn stamp(self) -> Option<Stamp> {
        let time = match (self.time, self.afternoon) {
            (Some(time), Some(afternoon)) => {
                let hour = time.hour() % 12 + if afternoon { 12 } else { 0 };
                Some(Time::new(hour, time.minute(), time.second(), time.subsec_nanosecond()).ok()?)
            }
            (time, _) => time,
        };
        let named = || Date::new(self.year?, self.month?, self.day?).ok();
        match (self.date.or_else(named), time) {
            (Some(date), Some(time)) => {
                let local = date.to_datetime(time);
                let zone = self.offset.map(TimeZone::fixed).or(self.zone);
                match zone {
                    Some(zone) => Some(Stamp::Instant(instant(local, &zone)?)),
                    None => Some(Stamp::Local(local)),
                }
            }
            (Some(date), None) => Some(Stamp::Day(date)),
            (None, Some(time)) => match (self.month, self.day) {
                (Some(month), Some(day)) => Some(Stamp::Yearless(month, day, time)),
                (None, None) => Some(Stamp::OfDay(time)),
                _ => None,
            },
            (None, None) => None,
        }
    }
}

/// Microseconds since 1970 of a local time; of an hour that comes twice the first.
pub fn instant(local: DateTime, zone: &TimeZone) -> Option<i64> {
    Some(zone.to_ambiguous_timestamp(local).compatible().ok()?.as_microsecond())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::time::format_us;

    fn utc(text: &str) -> String {
        match whole(text, None) {
            Some(Stamp::Instant(us)) => format_us(us),
            Some(Stamp::Local(local)) => format!("{local} local"),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn times_are_read_as_programs_print_them() {
        for (text, want) in [
            ("2026-02-03T08:00:00Z", "2026-02-03T08:00:00.000Z"),
            ("2026-02-03T08:00:00.123456789+01:00", "2026-02-03T07:00:00.123Z"),
            ("2026-02-03 08:00:00.5 +0530", "2026-02-03T02:30:00.500Z"),
            ("2026-02-03 08:00:00,250", "2026-02-03T08:00:00.25 local"),
            ("2026-02-03 08:00", "2026-02-03T08:00:00 local"),
            ("2026/02/03 08:00:01", "2026-02-03T08:00:01 local"),
            ("2026-07-03T08:00:00+02:00[Europe/Berlin]", "2026-07-03T06:00:00.000Z"),
            ("2026-02-03 08:00:00 UTC", "2026-02-03T08:00:00.000Z"),
            ("Sun Oct 13 00:00:00 UTC 2024", "2024-10-13T00:00:00.000Z"),
            ("Sun Oct 13 12:00:05 AM UTC 2024", "2024-10-13T00:00:05.000Z"),
            ("Sun 13 Oct 2024 12:00:05 PM CEST", "2024-10-13T10:00:05.000Z"),
            ("Sun, 13 Oct 2024 00:00:00 +0200", "2024-10-12T22:00:00.000Z"),
            ("So 13. Okt 00:00:00 CEST 2024", "2024-10-12T22:00:00.000Z"),
            ("Sun Oct  6 00:00:00 2024", "2024-10-06T00:00:00 local"),
            ("Oct 13, 2024, 1:02:03 PM", "2024-10-13T13:02:03 local"),
            ("13.10.2024 07:05", "2024-10-13T07:05:00 local"),
            ("10/13/2024 07:05:06", "2024-10-13T07:05:06 local"),
            ("13/10/2024, 07:05:06", "2024-10-13T07:05:06 local"),
            ("10/13/24 7:05:06 PM", "2024-10-13T19:05:06 local"),
            ("20241013T070506Z", "2024-10-13T07:05:06.000Z"),
            ("20241013 07:05:06", "2024-10-13T07:05:06 local"),
            ("20241013070506", "2024-10-13T07:05:06 local"),
            ("13/Oct/2024:07:05:06 +0200", "2024-10-13T05:05:06.000Z"),
            ("13-Oct-2024 07:05:06", "2024-10-13T07:05:06 local"),
            ("2024-10-13 07:05:06 +0000 UTC", "2024-10-13T07:05:06.000Z"),
            ("1749800000", "2025-06-13T07:33:20.000Z"),
            ("1749800000.829", "2025-06-13T07:33:20.829Z"),
            ("1749800000829", "2025-06-13T07:33:20.829Z"),
            ("1749800000829123", "2025-06-13T07:33:20.829Z"),
            ("1749800000829123456", "2025-06-13T07:33:20.829Z"),
        ] {
            assert_eq!(utc(text), want, "{text}");
        }
        assert_eq!(whole("12:00:01 AM", None), Some(Stamp::OfDay(Time::new(0, 0, 1, 0).unwrap())));
        assert_eq!(whole("2026-02-03", None), Some(Stamp::Day(Date::new(2026, 2, 3).unwrap())));
        assert_eq!(whole("Oct 13 07:05:06", None), Some(Stamp::Yearless(10, 13, Time::new(7, 5, 6, 0).unwrap())));
        assert_eq!(utc("03/04/2026 00:00"), "2026-03-04T00:00:00 local", "the month first, unless it is decided");
        assert_eq!(whole("03/04/2026", Some(true)), Some(Stamp::Day(Date::new(2026, 4, 3).unwrap())));
    }

    #[test]
    fn what_is_no_time_is_none() {
        for text in [
            "",
            "hello",
            "web",
            "12",
            "4321",
            "0123456789ab",
            "123456789012",
            "25:00:00",
            "2026-13-01",
            "Oct",
            "May 5",
            "max",
            "1.5g",
            "6.1.0",
            "10.0.0.12",
            "20241013",
            "v1-May-x",
        ] {
            assert_eq!(whole(text, None), None, "{text}");
        }
    }

    #[test]
    fn a_time_before_a_row_ends_where_the_row_begins() {
        for (line, rest) in [
            ("22:57:08        0     12630      0.00", "        0     12630      0.00"),
            ("12:00:01 AM     0      4321      1.00", "     0      4321      1.00"),
            ("Sun Oct 13 00:00:00 UTC 2024", ""),
            ("2024-10-13T00:00:00Z 0123456789ab web", " 0123456789ab web"),
            ("Oct 13 00:00:00 host app", " host app"),
            ("1749800000 122880", " 122880"),
            ("2024-10-13 00:00:00] web", "] web"),
            ("2024-10-13 00:00:00,web,1.2%", ",web,1.2%"),
        ] {
            let (_, used) = prefix(line, None).unwrap();
            assert_eq!(&line[used..], rest, "{line}");
        }
    }

    #[test]
    fn units_since_1970_are_found_and_keep_their_digits() {
        assert_eq!(Epoch::of(1_749_800_000.0), Some(Epoch::Seconds));
        assert_eq!(Epoch::of(5.0), None);
        assert_eq!(Epoch::Nanos.micros("1749800000829123999"), Some(1_749_800_000_829_123));
        assert_eq!(Epoch::Millis.micros("1749800000829"), Some(1_749_800_000_829_000));
        assert_eq!(Epoch::Seconds.micros("1749800000.829"), Some(1_749_800_000_829_000));
        assert_eq!(Epoch::Seconds.micros("1e300"), None);
        assert_eq!((shows_day_first("13/10/2024"), shows_day_first("10/13/2024 x")), (Some(true), Some(false)));
        assert!(is_ambiguous("03/04/2026 07:00") && !is_ambiguous("2026-03-04") && !is_ambiguous("04/04/2026"));
    }

    proptest! {
        #[test]
        fn no_text_breaks_it(text in "[0-9A-Za-z:./, +\\[\\]\\-äö]{0,40}") {
            if let Some((_, used)) = prefix(&text, None) {
                prop_assert!(text.is_char_boundary(used));
            }
        }
    }
}
