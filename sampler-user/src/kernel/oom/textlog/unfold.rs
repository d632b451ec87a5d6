//! Lines that came as one, or one that came as several: a paste without line ends, a text in JSON, what a terminal wrapped.

use std::borrow::Cow;

use crate::kernel::oom::textlog::envelope::open;
use crate::kernel::oom::textlog::stamp::{Bracket, bracket, leading};

/// Lines in a text of JSON from which on it is a log and no message.
const LEAST: usize = 3;
/// Chars in which a time is looked for.
const MOST_STAMP: usize = 64;
/// Columns that terminals have unless somebody chose others, and the least that anybody chooses.
const USUAL: [usize; 2] = [80, 120];
const LEAST_COLUMNS: usize = 60;
/// Longest line that is put together, chars.
const MOST_WRAPPED: usize = 4096;

/// The lines of a log that stands in a text of JSON, `"stdout": "[ 1.0] a\\n[ 1.1] b"`: none where that is one message.
pub fn escaped(text: &str) -> Option<String> {
    let is_stamped = |rest: &str| {
        let end = rest.char_indices().nth(MOST_STAMP).map_or(rest.len(), |(end, _)| end);
        let rest = &rest[..end];
        leading(rest).is_some()
            || bracket(rest).is_some_and(|(inside, _)| matches!(inside, Bracket::Uptime(_) | Bracket::Wall(_)))
    };
    let lines = text.match_indices("\\n").filter(|(at, _)| is_stamped(&text[at + 2..])).take(LEAST).count();
    if lines < LEAST {
        return None;
    }
    // Before the first line stands the name of the value.
    let begins = text.match_indices(['[', '"']).map(|(at, mark)| at + usize::from(mark == "\""));
    let begin = begins.into_iter().find(|at| is_stamped(&text[*at..]));
    let text = &text[begin.unwrap_or(0)..];
    const ESCAPES: [(&str, &str); 7] = [
        ("\\r", ""),
        ("\\n", "\n"),
        ("\\t", " "),
        ("\\\"", "\""),
        ("\\u003c", "<"),
        ("\\u003e", ">"),
        ("\\u0026", "&"),
    ];
    Some(ESCAPES.iter().fold(text.to_owned(), |text, (from, to)| text.replace(from, to)))
}

/// Where a paste that lost its line ends is to be cut: before each time since boot, where it has several.
pub fn stamps(text: &str) -> Vec<usize> {
    if text.len() < 64 || !text.contains("] ") {
        return Vec::new();
    }
    let bytes = text.as_bytes();
    let is_stamp = |at: usize| {
        let inside =
            text.get(at + 1..).and_then(|rest| rest.split_once(']')).map_or("", |(inside, _)| inside.trim_start());
        let digits = |part: &str, least: usize| part.len() >= least && part.bytes().all(|b| b.is_ascii_digit());
        inside.len() <= 20
            && inside.split_once('.').is_some_and(|(s, us)| digits(s, 1) && digits(us, 6) && us.len() == 6)
    };
    let all: Vec<usize> = memchr::memchr_iter(b'[', bytes).filter(|at| is_stamp(*at)).collect();
    if all.len() < 3 {
        return Vec::new();
    }
    all.into_iter()
        .filter(|at| *at > 0 && bytes[at - 1] == b' ')
        .skip_while(|at| text[..*at].trim().is_empty())
        .collect()
}

/// Puts together the lines that a terminal wrapped: one that is as long as any and has a time, and the next, which has none.
#[derive(Debug, Default)]
pub struct Wrapped {
    /// The longest line so far, chars, and how many there were.
    widest: usize,
    count: u32,
    held: Option<(String, usize)>,
}

impl Wrapped {
    /// Whether a line waits for the next.
    pub fn is_open(&self) -> bool {
        self.held.is_some()
    }

    /// What waits, at the end.
    pub fn finish(&mut self) -> Option<String> {
        self.held.take().map(|(text, _)| text)
    }

    /// Takes a line: yields the one before it, if that waited, and this one, if it does not wait.
    pub fn take<'a>(&mut self, line: Cow<'a, str>) -> [Option<Cow<'a, str>>; 2] {
        let length = line.chars().count();
        let may_be_wrapped = self.widens(length);
        let Some((before, whole)) = self.held.take() else {
            if !(may_be_wrapped && is_timed(&line)) {
                return [None, Some(line)];
            }
            self.held = Some((line.into_owned(), length));
            return [None, None];
        };
        // A record of several lines goes on with spaces, and so do the fields of an entry.
        let is_next = line.starts_with("  ") && (self.count < 2 || before.contains("[s="));
        if is_timed(&line) || is_own(&line) || is_next || whole + length > MOST_WRAPPED {
            let held = Some(Cow::Owned(before));
            if may_be_wrapped && is_timed(&line) {
                self.held = Some((line.into_owned(), length));
                return [held, None];
            }
            return [held, Some(line)];
        }
        let joined = before + &line;
        if length == self.widest {
            self.held = Some((joined, whole + length));
            return [None, None];
        }
        [None, Some(Cow::Owned(joined))]
    }

    /// Notes the length of a line; whether it ends where a terminal does.
    fn widens(&mut self, length: usize) -> bool {
        match length.cmp(&self.widest) {
            std::cmp::Ordering::Greater => (self.widest, self.count) = (length, 1),
            std::cmp::Ordering::Equal => self.count = self.count.saturating_add(1),
            std::cmp::Ordering::Less => return false,
        }
        length >= LEAST_COLUMNS && (self.count > 1 || USUAL.contains(&length))
    }
}

/// Whether a line has a time.
fn is_timed(line: &str) -> bool {
    let all = open(line);
    all.uptime_us.is_some() || all.wall.is_some()
}

/// Whether a line without a time is one of its own.
fn is_own(line: &str) -> bool {
    const BEGINS: [&str; 7] =
        ["Killed process ", "Memory cgroup ", "Out of memory", "oom-kill:", "Task in ", "Tasks ", "-- "];
    let line = line.trim_start();
    line.is_empty() || BEGINS.iter().any(|begin| line.starts_with(begin))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(all: &[&str]) -> Vec<String> {
        let mut wrapped = Wrapped::default();
        let mut out: Vec<String> = Vec::new();
        for line in all {
            out.extend(wrapped.take(Cow::Borrowed(line)).into_iter().flatten().map(Cow::into_owned));
        }
        out.extend(wrapped.finish());
        out
    }

    #[test]
    fn what_a_terminal_wrapped_is_one_line_again() {
        let long = format!("[ 12.000001] {}", "a".repeat(147));
        let (first, second) = long.split_at(80);
        assert_eq!(lines(&[first, second, "[ 12.000002] b"]), [&long, "[ 12.000002] b"]);
        // Lines without times may be as long as each other.
        let same = "Killed process 7 (a) total-vm:10kB, anon-rss:5kB, file-rss:0kB, shmem-rss:0kB, xx";
        assert_eq!(lines(&[same, same, same]), [same, same, same]);
        assert_eq!(lines(&[first, same]), [first, same]);
        assert_eq!(lines(&[first]), [first]);
    }

    #[test]
    fn a_log_in_a_text_of_json_is_lines_and_a_message_is_none() {
        let text = r#""stdout": "[ 1.000001] a \"x\"\n[ 1.000002] b\r\n[ 1.000003] c\n[ 1.000004] d","#;
        assert_eq!(escaped(text).unwrap().lines().next(), Some("[ 1.000001] a \"x\""));
        assert_eq!(escaped(r#""MESSAGE": "anon 1\nfile 2\nslab 3\nsock 4""#), None);
    }
}
