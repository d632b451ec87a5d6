//! Quantities as people read and write them: the only place that formats or parses one.

use std::time::Duration;

use crate::model::fields::{UNLIMITED, Unit};
use crate::model::paths::raw_byte;

/// Bytes with a binary prefix: `512 MiB`, `1.5 GiB`.
pub fn bytes(value: u64) -> String {
    const PREFIX: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if value == UNLIMITED {
        return "unlimited".into();
    }
    if value < 1024 {
        return format!("{value} B");
    }
    let (mut scaled, mut prefix) = (value as f64 / 1024.0, 0);
    while scaled >= 1023.95 && prefix + 1 < PREFIX.len() {
        scaled /= 1024.0;
        prefix += 1;
    }
    let text = format!("{scaled:.1}");
    format!("{} {}", text.strip_suffix(".0").unwrap_or(&text), PREFIX[prefix])
}

/// A duration in microseconds: `250 us`, `12.3 ms`, `4.5 s`, `3 min`, `2.1 h`, `5 d`.
pub fn micros(value: u64) -> String {
    let us = value as f64;
    let (scaled, unit) = match value {
        0..1_000 => (us, "us"),
        1_000..1_000_000 => (us / 1e3, "ms"),
        1_000_000..120_000_000 => (us / 1e6, "s"),
        120_000_000..7_200_000_000 => (us / 60e6, "min"),
        7_200_000_000..172_800_000_000 => (us / 3600e6, "h"),
        _ => (us / 86400e6, "d"),
    };
    let text = format!("{scaled:.1}");
    format!("{} {unit}", text.strip_suffix(".0").unwrap_or(&text))
}

/// The time of day of a wall-clock time in microseconds, in UTC: `14:03:22`.
pub fn time_of_day(wall_us: i64) -> String {
    let second = wall_us.div_euclid(1_000_000).rem_euclid(86_400);
    format!("{:02}:{:02}:{:02}", second / 3600, second / 60 % 60, second % 60)
}

/// A count with thin groups: `1 234 567`.
pub fn count(value: u64) -> String {
    let digits = value.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(' ');
        }
        out.push(digit);
    }
    out
}

/// A value of the field table in its unit.
pub fn value(unit: Unit, v: u64) -> String {
    match unit {
        Unit::Bytes => bytes(v),
        Unit::Micros => micros(v),
        Unit::Count | Unit::Pages if v == UNLIMITED => "unlimited".into(),
        Unit::Count => count(v),
        Unit::Pages => format!("{} pages", count(v)),
    }
}

/// Reads a size, in bytes: `256M`, `1.5GiB`, `1000000`, `max`. Prefixes are binary, as in Docker and systemd.
///
/// # Errors
///
/// What a size looks like, for anything else.
///
/// ```
/// use sampler::model::units::{bytes, parse_bytes};
///
/// assert_eq!(parse_bytes("1.5GiB"), Ok(1_610_612_736));
/// assert_eq!(bytes(1_610_612_736), "1.5 GiB");
/// assert!(parse_bytes("a lot").is_err());
/// ```
pub fn parse_bytes(text: &str) -> Result<u64, String> {
    let text = text.trim();
    if text == "max" {
        return Ok(UNLIMITED);
    }
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let wanted = || format!("`{text}` is not a size: try 256M, 1.5G or max");
    let number: f64 = text[..end].parse().map_err(|_| wanted())?;
    let shift = match text[end..].trim().to_ascii_lowercase().trim_end_matches('b').trim_end_matches('i') {
        "" => 0,
        "k" => 10,
        "m" => 20,
        "g" => 30,
        "t" => 40,
        _ => return Err(wanted()),
    };
    let value = number * (1u64 << shift) as f64;
    if value.is_finite() && value < 9.2e18 { Ok(value as u64) } else { Err(wanted()) }
}

/// Reads a duration: `100ms`, `1.5s`, `10m`, `2h`, `7d`, `500us`, `10Hz` (its period).
///
/// # Errors
///
/// What a duration looks like, for anything else, and for one that is too long.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let wanted = || format!("`{text}` is not a duration: try 100ms, 1s, 10m, 7d or 10Hz");
    let number: f64 = text[..end].parse().map_err(|_| wanted())?;
    let seconds = match text[end..].trim() {
        "ns" => number / 1e9,
        "us" | "µs" => number / 1e6,
        "ms" => number / 1e3,
        "s" | "sec" => number,
        "m" | "min" => number * 60.0,
        "h" => number * 3600.0,
        "d" => number * 86400.0,
        "Hz" | "hz" if number > 0.0 => 1.0 / number,
        "kHz" | "khz" if number > 0.0 => 1e-3 / number,
        _ => return Err(wanted()),
    };
    Duration::try_from_secs_f64(seconds).map_err(|_| wanted())
}

/// Makes text from outside (paths, names, kernel lines) safe for a terminal or a log line: control and formatting characters
/// are shown as escapes, and bytes that are not UTF-8 (see [`crate::model::paths::from_bytes`]) as `\xff`.
///
/// ```
/// use sampler::model::units::printable;
///
/// assert_eq!(printable("a\u{1b}[2J"), "a\\u{1b}[2J");
/// assert_eq!(printable("café"), "café");
/// ```
pub fn printable(text: &str) -> String {
    let hostile = |c: char| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
    };
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match raw_byte(c) {
            Some(byte) => out.push_str(&format!("\\x{byte:02x}")),
            None if hostile(c) => out.extend(c.escape_unicode()),
            None => out.push(c),
        }
    }
    out
}

/// Text from outside as a cell of CSV: nothing that steers a terminal, and nothing that a spreadsheet takes for a formula.
pub fn cell(text: &str) -> String {
    let shown = printable(text);
    if shown.starts_with(['=', '+', '-', '@']) { format!("'{shown}") } else { shown }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_printed_as_people_read_them() {
        let table = [(0, "0 B"), (1023, "1023 B"), (1024, "1 KiB"), (1536 << 20, "1.5 GiB"), (u64::MAX, "unlimited")];
        for (value, text) in table {
            assert_eq!(bytes(value), text);
        }
        assert_eq!(bytes((1 << 30) - 1), "1 GiB", "rounding carries into the next prefix");
        for (value, text) in [(0, "0 us"), (1500, "1.5 ms"), (90_000_000, "90 s"), (180_000_000, "3 min")] {
            assert_eq!(micros(value), text);
        }
        assert_eq!((&*time_of_day(86_399_999_999), &*time_of_day(-1)), ("23:59:59", "23:59:59"));
        assert_eq!((count(7), count(1234567)), ("7".into(), "1 234 567".into()));
    }

    #[test]
    fn quantities_are_read_as_people_write_them() {
        for (text, value) in
            [("256M", 256 << 20), ("1.5GiB", 1536 << 20), ("10", 10), ("4kb", 4096), ("max", UNLIMITED)]
        {
            assert_eq!(parse_bytes(text), Ok(value), "{text}");
        }
        for text in ["", "M", "-1", "12X", "1e3", "99999999999G", "1.2.3"] {
            assert!(parse_bytes(text).is_err(), "{text}");
        }
        assert_eq!(parse_duration("100ms"), Ok(Duration::from_millis(100)));
        assert_eq!(parse_duration("1kHz"), Ok(Duration::from_millis(1)));
        assert_eq!(parse_duration("7d"), Ok(Duration::from_secs(7 * 86400)));
        for text in ["", "5", "s", "0Hz", "-1s", "1 year"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn hostile_names_cannot_steer_a_terminal() {
        assert_eq!(printable("a\u{1b}[2Jb\n"), "a\\u{1b}[2Jb\\u{a}");
        assert_eq!(cell("=HYPERLINK(1)\t"), "'=HYPERLINK(1)\\u{9}");
        assert_eq!((cell("@a"), cell("/docker/=1")), ("'@a".into(), "/docker/=1".into()));
        assert_eq!(printable("café \u{202e}"), "café \\u{202e}");
        assert_eq!(printable(&crate::model::paths::from_bytes(b"/a\xff\xc3")), "/a\\xff\\xc3");
    }
}
