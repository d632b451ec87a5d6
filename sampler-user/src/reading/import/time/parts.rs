//! The parts of a time, a token each: dates of numbers or with a month's name, times of day, offsets, names of zones.

use jiff::civil::{Date, Time};
use jiff::tz::Offset;

/// Whether the day comes first where only numbers are given; `None` where that is to be seen by the numbers.
pub type DayFirst = Option<bool>;

/// Hours of zones by their short names, east of Greenwich; of those that mean several the one that is meant most.
pub const ZONES: [(&str, f64); 40] = [
    ("utc", 0.0),
    ("gmt", 0.0),
    ("z", 0.0),
    ("wet", 0.0),
    ("west", 1.0),
    ("bst", 1.0),
    ("cet", 1.0),
    ("mez", 1.0),
    ("cest", 2.0),
    ("mesz", 2.0),
    ("eet", 2.0),
    ("eest", 3.0),
    ("msk", 3.0),
    ("sast", 2.0),
    ("trt", 3.0),
    ("gst", 4.0),
    ("pkt", 5.0),
    ("ist", 5.5),
    ("wib", 7.0),
    ("ict", 7.0),
    ("hkt", 8.0),
    ("sgt", 8.0),
    ("awst", 8.0),
    ("pht", 8.0),
    ("jst", 9.0),
    ("kst", 9.0),
    ("acst", 9.5),
    ("aest", 10.0),
    ("aedt", 11.0),
    ("nzst", 12.0),
    ("nzdt", 13.0),
    ("brt", -3.0),
    ("est", -5.0),
    ("edt", -4.0),
    ("cst", -6.0),
    ("cdt", -5.0),
    ("mst", -7.0),
    ("mdt", -6.0),
    ("pst", -8.0),
    ("pdt", -7.0),
];

/// Months by the letters that English and German share, or have.
pub fn month(token: &str) -> Option<i8> {
    let lower = token.trim_end_matches(['.', ',']).to_lowercase();
    const FULL: [&str; 12] = [
        "january",
        "february",
        "march",
        "april",
        "may",
        "june",
        "july",
        "august",
        "september",
        "october",
        "november",
        "december",
    ];
    let german = match lower.as_str() {
        "mär" | "mrz" | "märz" => Some(3),
        "mai" => Some(5),
        "okt" | "oktober" => Some(10),
        "dez" | "dezember" => Some(12),
        "sept" => Some(9),
        _ => None,
    };
    let english = || FULL.iter().position(|name| lower == *name || lower.len() == 3 && name.starts_with(&lower));
    german.or_else(|| english().map(|at| at as i8 + 1))
}

/// Whether it is a day of the week, in English or German.
pub fn is_weekday(token: &str) -> bool {
    let lower = token.trim_end_matches(['.', ',']).to_lowercase();
    let english = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];
    matches!(lower.as_str(), "mo" | "di" | "mi" | "do" | "fr" | "sa" | "so")
        || lower.len() >= 3 && english.iter().any(|name| name.starts_with(&lower))
}

/// Numbers of a date, which may be separated by any of these, and where the date ends.
pub fn numbers(token: &str) -> Option<([i64; 3], char, usize)> {
    let mut parts = [0i64; 3];
    let mut mark = None;
    let (mut at, mut digits) = (0, 0);
    // The last is a year or a day of two digits: 6.1.0 is a version.
    let is_whole = |parts: [i64; 3], digits: u8| digits == 2 || digits == 4 || digits == 1 && parts[0] > 31;
    for (place, c) in token.char_indices() {
        match c {
            '0'..='9' if digits < 4 => {
                parts[at] = parts[at] * 10 + i64::from(c as u8 - b'0');
                digits += 1;
            }
            '-' | '/' | '.' if digits > 0 && at < 2 && mark.is_none_or(|m| m == c) => {
                (at, digits, mark) = (at + 1, 0, Some(c));
            }
            _ if at == 2 && is_whole(parts, digits) => return Some((parts, mark?, place)),
            _ => return None,
        }
    }
    (at == 2 && is_whole(parts, digits)).then(|| Some((parts, mark?, token.len())))?
}

/// `13-Oct-2024` or `13/Oct/2024`, and where it ends.
pub fn named_date(token: &str) -> Option<(Date, usize)> {
    let (day, rest) = token.split_once(['-', '/'])?;
    let (name, rest) = rest.split_once(['-', '/'])?;
    let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    let year: i16 = rest[..digits].parse().ok().filter(|_| matches!(digits, 2 | 4))?;
    let year = if digits == 2 { 2000 + year } else { year };
    Some((Date::new(year, month(name)?, day.parse().ok()?).ok()?, token.len() - rest.len() + digits))
}

/// `20241013`, where a time of day follows it; or `20241013070506` with it.
pub fn compact_date(token: &str, next: &str) -> Option<(Date, Option<Time>, usize)> {
    let number = |from: usize, to: usize| {
        token.get(from..to).filter(|d| d.bytes().all(|b| b.is_ascii_digit()))?.parse::<i16>().ok()
    };
    let date =
        Date::new(number(0, 4).filter(|y| (1990..2100).contains(y))?, number(4, 6)? as i8, number(6, 8)? as i8).ok()?;
    let time = |from: usize| {
        Time::new(
            number(from, from + 2)? as i8,
            number(from + 2, from + 4)? as i8,
            number(from + 4, from + 6)? as i8,
            0,
        )
        .ok()
    };
    match token.as_bytes().get(8) {
        None if clock(next.trim_start().split([' ', '\t', ',']).next().unwrap_or("")).is_some() => {
            Some((date, None, 8))
        }
        Some(b'T') => Some((date, Some(time(9)?), 15)),
        Some(b'0'..=b'9') if token.len() == 14 => Some((date, Some(time(8)?), 14)),
        _ => None,
    }
}

/// The date of three numbers in an order that they or the caller decide.
pub fn date(parts: [i64; 3], mark: char, day_first: DayFirst) -> Option<Date> {
    let [a, b, c] = parts;
    let (year, month, day) = if a > 31 {
        (a, b, c)
    } else {
        let is_day_first = mark == '.' || a > 12 || day_first == Some(true) && b <= 12;
        let year = if c < 100 { 2000 + c } else { c };
        if is_day_first { (year, b, a) } else { (year, a, b) }
    };
    Date::new(i16::try_from(year).ok()?, i8::try_from(month).ok()?, i8::try_from(day).ok()?).ok()
}

/// `12:34`, `12:34:56`, `12:34:56.789` or `12:34:56,789`, and what follows it.
pub fn clock(token: &str) -> Option<(Time, &str)> {
    let mut parts = [0i64; 3];
    let (mut at, mut digits, mut end) = (0, 0, token.len());
    for (place, c) in token.char_indices() {
        match c {
            '0'..='9' if digits < 2 => {
                parts[at] = parts[at] * 10 + i64::from(c as u8 - b'0');
                digits += 1;
            }
            ':' if at < 2 && digits > 0 => (at, digits) = (at + 1, 0),
            _ => {
                end = place;
                break;
            }
        }
    }
    if at == 0 || digits == 0 {
        return None;
    }
    let mut rest = &token[end..];
    let mut nanos = 0i64;
    if let Some(fraction) = rest.strip_prefix(['.', ',']).filter(|_| at == 2) {
        let length = fraction.find(|c: char| !c.is_ascii_digit()).unwrap_or(fraction.len());
        let kept = &fraction[..length.min(9)];
        nanos = kept.parse::<i64>().ok()? * 10i64.pow(9 - kept.len() as u32);
        rest = &fraction[length..];
    }
    // 24:00 and leap seconds are rare enough to be no times.
    let [h, m, s] = parts.map(|part| part as i8);
    Some((Time::new(h, m, s, i32::try_from(nanos).ok()?).ok()?, rest))
}

/// `+02:00`, `-0530`, `+02`.
pub fn offset(token: &str) -> Option<Offset> {
    let sign = if token.starts_with('-') { -1 } else { 1 };
    let digits: String = token.strip_prefix(['+', '-', '\u{2212}'])?.chars().filter(|c| *c != ':').collect();
    if !matches!(digits.len(), 2 | 4) || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let hours: i32 = digits[..2].parse().ok()?;
    let minutes: i32 = digits.get(2..).filter(|m| !m.is_empty()).map_or(Some(0), |m| m.parse().ok())?;
    Offset::from_seconds(sign * (hours * 3600 + minutes * 60)).ok()
}
