//! Times as logs write them.

use jiff::civil::DateTime;

/// The year of a date without one: a leap year, so that each day is one.
const NO_YEAR: i16 = 1972;

/// A time of a clock on the wall.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wall {
    /// Microseconds since 1970, as if the clock were UTC's where its zone is not known, and in 1972 where the year is not.
    pub us: i64,
    /// Whether the zone is known: then it is UTC.
    pub zoned: bool,
    /// Whether the year is known.
    pub dated: bool,
    /// How exact it is, microseconds.
    pub exact_us: u64,
}

/// Digits up to so many, and what follows.
fn digits(text: &str, most: usize) -> Option<(u32, &str)> {
    let end = text.bytes().take(most).take_while(u8::is_ascii_digit).count();
    (end > 0).then(|| Some((text[..end].parse().ok()?, &text[end..])))?
}

fn after<'a>(text: &'a str, mark: &str) -> Option<&'a str> {
    text.strip_prefix(mark)
}

/// Hour, minute, second and nanosecond.
type Clock = (i8, i8, i8, i32);

/// `02:11:47`, `02:11:47.123456` or with a comma: nanoseconds of the day, how exact, and what follows.
fn time_of_day(text: &str) -> Option<(Clock, u64, &str)> {
    let (hour, rest) = digits(text, 2)?;
    let (minute, rest) = digits(after(rest, ":")?, 2)?;
    let (second, mut rest) = digits(after(rest, ":")?, 2)?;
    if hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let (mut nanos, mut exact_us) = (0, 1_000_000);
    if let Some(fraction) = rest.strip_prefix(['.', ',']) {
        let length = fraction.bytes().take_while(u8::is_ascii_digit).count();
        if length > 0 {
            let kept = &fraction[..length.min(9)];
            nanos = kept.parse::<i32>().ok()? * 10_i32.pow(9 - kept.len() as u32);
            exact_us = 10_u64.pow(6_u32.saturating_sub(kept.len() as u32)).max(1);
            rest = &fraction[length..];
        }
    }
    Some(((hour as i8, minute as i8, second.min(59) as i8, nanos), exact_us, rest))
}

fn wall(year: i16, month: u32, day: u32, (hour, minute, second, nanos): Clock, exact_us: u64) -> Option<Wall> {
    let time = DateTime::new(year, month as i8, day as i8, hour, minute, second, nanos).ok()?;
    let us = jiff::tz::TimeZone::UTC.to_ambiguous_timestamp(time).compatible().ok()?.as_microsecond();
    Some(Wall { us, zoned: false, dated: year != NO_YEAR, exact_us })
}

/// The number of a month by its name in English, or as other locales write it.
fn month(word: &str) -> Option<u32> {
    const NAMES: [&[&str]; 12] = [
        &["jan", "янв", "janv", "ene", "gen", "sty"],
        &["feb", "фев", "févr", "fév", "lut", "fev"],
        &["mar", "мар", "mär", "mars", "mrz", "maa"],
        &["apr", "апр", "avril", "avr", "abr", "kwi"],
        &["may", "мая", "май", "mai", "mag", "maj", "mei"],
        &["jun", "июн", "juin", "giu", "cze"],
        &["jul", "июл", "juil", "lug", "lip"],
        &["aug", "авг", "août", "ago", "sie"],
        &["sep", "сен", "sept", "set", "wrz"],
        &["oct", "окт", "okt", "ott", "paź", "out"],
        &["nov", "ноя", "lis"],
        &["dec", "дек", "dez", "déc", "dic", "gru"],
    ];
    if let Some(number) = word.strip_suffix('月') {
        return number.parse().ok().filter(|month| (1..=12).contains(month));
    }
    let word = word.trim_end_matches('.').to_lowercase();
    let at = NAMES.iter().position(|names| names.contains(&&*word))?;
    Some(at as u32 + 1)
}

/// A word and what follows the spaces behind it.
pub fn word(text: &str) -> Option<(&str, &str)> {
    let end = text.find(' ').unwrap_or(text.len());
    (end > 0).then(|| (&text[..end], text[end..].trim_start_matches(' ')))
}

/// Whether a word may be the short name of a day of the week: `dmesg -T` has it in the language of the shell.
fn is_weekday(word: &str) -> bool {
    word.chars().count() <= 5 && word.trim_end_matches(['.', ',']).chars().all(char::is_alphabetic)
}

/// A time at the beginning of a text, and what follows it.
pub fn leading(text: &str) -> Option<(Wall, &str)> {
    if text.starts_with(|c: char| c.is_ascii_digit())
        && let Some(found) = iso(text).or_else(|| unix(text)).or_else(|| logcat(text))
    {
        return Some(found);
    }
    let (first, rest) = word(text)?;
    if first.chars().count() <= 4
        && rest.starts_with(|c: char| c.is_ascii_digit())
        && let Some(found) = iso(rest)
    {
        // `Thu 2023-02-02 11:49:13 CET`, in any language.
        return Some(found);
    }
    named_month(first, rest).or_else(|| {
        let (name, rest) = word(rest).filter(|_| is_weekday(first))?;
        named_month(name, rest)
    })
}

/// `Aug 31 18:23:18`, `Aug 31 18:23:18 2015`, `Aug 31 18:23:18 UTC 2015`, `Aug 31 2015 18:23:18`
fn named_month<'a>(name: &str, rest: &'a str) -> Option<(Wall, &'a str)> {
    let month = month(name)?;
    let (day, rest) = digits(rest, 2)?;
    let mut rest = after(rest, " ")?.trim_start();
    let mut year = None;
    if let Some((number, next)) = digits(rest, 4).filter(|(number, _)| (1990..=2199).contains(number)) {
        (year, rest) = (Some(number), next.trim_start());
    }
    let (time, exact_us, mut rest) = time_of_day(rest)?;
    if year.is_none() {
        // The year may stand behind it, and the zone between.
        let next = rest.strip_prefix(' ').unwrap_or(rest);
        let next = match word(next) {
            Some((zone, behind)) if is_zone(zone) => behind,
            _ => next,
        };
        if let Some((number, behind)) = digits(next, 4)
            && (1990..=2199).contains(&number)
            && !behind.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '.' || c == ':')
        {
            (year, rest) = (Some(number), behind);
        }
    }
    let wall = wall(year.map_or(NO_YEAR, |year| year as i16), month, day, time, exact_us)?;
    Some((wall, rest.trim_start_matches(' ')))
}

fn is_zone(word: &str) -> bool {
    (2..=5).contains(&word.len()) && word.bytes().all(|b| b.is_ascii_uppercase())
}

/// `2023-12-04T10:49:30.127Z`, `2023-12-04 10:49:30,127+01:00`, `2023/12/04 10:49:30 CET`
fn iso(text: &str) -> Option<(Wall, &str)> {
    let (year, rest) = digits(text, 4).filter(|(year, _)| (1970..=2199).contains(year))?;
    let dash = rest.chars().next().filter(|c| matches!(c, '-' | '/'))?;
    let (month, rest) = digits(&rest[1..], 2)?;
    let (day, rest) = digits(rest.strip_prefix(dash)?, 2)?;
    let (time, exact_us, rest) = time_of_day(rest.strip_prefix(['T', ' ', '_'])?)?;
    let mut wall = wall(year as i16, month, day, time, exact_us)?;
    // Of the leap year alone the year would seem unknown.
    wall.dated = true;
    let (offset_s, rest) = offset(rest);
    if let Some(offset_s) = offset_s {
        (wall.us, wall.zoned) = (wall.us - offset_s * 1_000_000, true);
    }
    Some((wall, rest.trim_start_matches(' ')))
}

/// `Z`, `+0100`, `+01:00`, ` UTC`, ` CET`: seconds east of UTC as far as they are said.
fn offset(text: &str) -> (Option<i64>, &str) {
    if let Some(rest) = text.strip_prefix('Z') {
        return (Some(0), rest);
    }
    if let Some(sign) = text.chars().next().filter(|c| matches!(c, '+' | '-'))
        && let Some((hours, rest)) = digits(&text[1..], 2)
    {
        let rest = rest.strip_prefix(':').unwrap_or(rest);
        let (minutes, rest) = digits(rest, 2).unwrap_or((0, rest));
        let seconds = i64::from(hours) * 3600 + i64::from(minutes) * 60;
        return (Some(if sign == '-' { -seconds } else { seconds }), rest);
    }
    match word(text.trim_start()) {
        Some(("UTC" | "GMT", rest)) => (Some(0), rest),
        Some((zone, rest)) if text.starts_with(' ') && is_zone(zone) => (None, rest),
        _ => (None, text),
    }
}

/// `1675334953.015489`, as `journalctl -o short-unix` writes it.
fn unix(text: &str) -> Option<(Wall, &str)> {
    let (seconds, rest) = text.split_once('.')?;
    if !(9..=10).contains(&seconds.len()) || !seconds.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let length = rest.bytes().take_while(u8::is_ascii_digit).count();
    if length != 6 || !rest[length..].starts_with(' ') {
        return None;
    }
    let us = seconds.parse::<i64>().ok()?.checked_mul(1_000_000)?.checked_add(rest[..6].parse().ok()?)?;
    Some((Wall { us, zoned: true, dated: true, exact_us: 1 }, rest[length..].trim_start()))
}

/// `08-30 04:10:00.000`, of Android.
fn logcat(text: &str) -> Option<(Wall, &str)> {
    let (month, rest) = digits(text, 2)?;
    let (day, rest) = digits(after(rest, "-")?, 2)?;
    let (time, exact_us, rest) = time_of_day(after(rest, " ")?)?;
    let wall = wall(NO_YEAR, month, day, time, exact_us)?;
    // The user, with `-v uid`; process, thread and level.
    let rest = rest.trim_start();
    let rest = match word(rest) {
        Some((user, behind)) if user.starts_with(|c: char| c.is_ascii_alphabetic()) && user.len() > 1 => behind,
        _ => rest,
    };
    let numbers = word(rest).and_then(|(pid, rest)| Some((pid, word(rest)?)));
    let rest = match numbers {
        Some((pid, (tid, rest))) if digits(pid, 8).is_some() && digits(tid, 8).is_some() => {
            let text = rest.strip_prefix(['V', 'D', 'I', 'W', 'E', 'F']).map(str::trim_start).unwrap_or(rest);
            text.strip_prefix(": ").unwrap_or(text)
        }
        _ => rest.trim_start(),
    };
    Some((wall, rest))
}

/// What stands in brackets: a time since boot, a time of the wall, or who wrote the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bracket<'a> {
    /// Microseconds since boot.
    Uptime(u64),
    /// Of a clock on the wall.
    Wall(Wall),
    /// A task or a processor.
    Caller(&'a str),
    /// Processor, task and pid, as some vendors' kernels write them behind the time.
    Task(&'a str),
    /// A time since the line before.
    Nothing,
    /// Something else, which is left where it is but behind a time.
    Other,
}

/// What `[…]` at the beginning of a text holds, and what follows it.
pub fn bracket(text: &str) -> Option<(Bracket<'_>, &str)> {
    let (inside, rest) = text.strip_prefix('[')?.split_once(']')?;
    let trimmed = inside.trim();
    if let Some(us) = uptime(trimmed) {
        return Some((Bracket::Uptime(us), rest));
    }
    if trimmed.starts_with('+') && trimmed[1..].bytes().all(|b| b.is_ascii_digit() || b == b'.') {
        return Some((Bracket::Nothing, rest));
    }
    if is_caller(trimmed) {
        return Some((Bracket::Caller(trimmed), rest));
    }
    if is_task(trimmed) {
        return Some((Bracket::Task(trimmed), rest));
    }
    // The time since the line before may stand behind it.
    if let Some((wall, behind)) = leading(trimmed)
        && (behind.is_empty() || behind.starts_with('<'))
    {
        return Some((Bracket::Wall(wall), rest));
    }
    // `dmesg -H`: the day and the minute where they change.
    let is_minute = trimmed.len() <= 12 && trimmed.get(..3).and_then(month).is_some() && trimmed.contains(':');
    Some((if is_minute { Bracket::Nothing } else { Bracket::Other }, rest))
}

/// `T512`, `C3`, or `T512@C3` of Android's kernels.
fn is_caller(text: &str) -> bool {
    let is_one = |text: &str, mark: char| {
        text.strip_prefix(mark).is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_digit()))
    };
    match text.split_once('@') {
        Some((task, processor)) => is_one(task, 'T') && is_one(processor, 'C'),
        None => is_one(text, 'T') || is_one(text, 'C'),
    }
}

/// `3:        kswapd0:  512`
fn is_task(text: &str) -> bool {
    let is_number = |text: &str| !text.trim().is_empty() && text.trim().bytes().all(|b| b.is_ascii_digit());
    let named = text.split_once(':').and_then(|(processor, rest)| Some((processor, rest.rsplit_once(':')?)));
    named.is_some_and(|(processor, (_, pid))| processor.len() <= 4 && is_number(processor) && is_number(pid))
}

/// `12345.678901`, with the time since the line before (`<    0.000012>`) or a processor (`@2`) behind it.
fn uptime(text: &str) -> Option<u64> {
    let end = text.find(['<', '@', ' ']).unwrap_or(text.len());
    let (seconds, fraction) = text[..end].split_once('.')?;
    let all_digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    if !all_digits(seconds) || !all_digits(fraction) || fraction.len() > 9 || seconds.len() > 12 {
        return None;
    }
    let kept = &fraction[..fraction.len().min(6)];
    let us = kept.parse::<u64>().ok()? * 10_u64.pow(6 - kept.len() as u32);
    seconds.parse::<u64>().ok()?.checked_mul(1_000_000)?.checked_add(us)
}
