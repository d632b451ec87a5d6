//! Logs whose entries are more than a line: `journalctl -o verbose`, `export` and `json-pretty`. And a line that is JSON.

use serde_json::{Map, Value};

use crate::kernel::oom::textlog::stamp::{Wall, leading};

/// Bytes kept of a message.
const MOST: usize = 64 << 10;

/// An entry, as far as its fields came.
#[derive(Clone, Debug, Default)]
pub struct Entry {
    message: Option<String>,
    realtime_us: Option<i64>,
    /// When the line was read, and when the kernel wrote it.
    monotonic_us: Option<u64>,
    source_us: Option<u64>,
    boot: Option<String>,
    /// Who wrote it, and how it came.
    identifier: Option<String>,
    transport: Option<String>,
    host: Option<String>,
    /// Of a line before the fields.
    wall: Option<Wall>,
    /// Whether its fields are those of `json-pretty`, which end with a brace.
    braces: bool,
    /// Whether they are those of YAML, which ends with `---`.
    yaml: bool,
}

/// What programs call a message, a time, and the machine.
const TEXTS: [&str; 10] =
    ["message", "log", "msg", "textPayload", "@message", "text", "line", "content", "_raw", "MESSAGE"];
const TIMES: [&str; 6] = ["time", "timestamp", "@timestamp", "ts", "lastTimestamp", "_time"];
const HOSTS: [&str; 2] = ["host", "hostname"];
/// Objects in which programs put the fields of a line.
const INNER: [&str; 3] = ["jsonPayload", "_source", "result"];

/// A message of an entry, ready to be read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Message {
    /// The text; it may have several lines, and a time of its own before it.
    pub text: String,
    /// Whether it is the kernel's; `None` where the entry does not say.
    pub kernel: Option<bool>,
    /// The program, where it is one.
    pub program: Option<String>,
    /// The machine.
    pub host: Option<String>,
    /// When the kernel wrote it, microseconds since boot.
    pub uptime_us: Option<u64>,
    /// By the clock on the wall.
    pub wall: Option<Wall>,
    /// Identity of the boot.
    pub boot: Option<String>,
}

/// What a line was.
#[derive(Debug, PartialEq)]
pub enum Taken {
    /// A line of its own.
    No,
    /// A field of an entry that goes on.
    Field,
    /// A line of its own, and the entry before it is complete.
    Ends,
}

impl Entry {
    /// Whether an entry is begun: each line matters until it ends.
    pub fn is_open(&self) -> bool {
        self.message.is_some() || self.realtime_us.is_some() || self.wall.is_some() || self.identifier.is_some()
    }

    /// Takes a line, if it is of an entry.
    pub fn take(&mut self, line: &str) -> Taken {
        let trimmed = line.trim();
        let ends = trimmed.starts_with('}') && trimmed.bytes().all(|b| b"},]{".contains(&b));
        if trimmed.is_empty() || ends || trimmed == "{" || trimmed == "---" {
            return if self.is_open() { Taken::Ends } else { Taken::No };
        }
        if let Some((key, value)) = json_field(trimmed) {
            let is_known = self.set(&key, &value) || self.set_other(&key, &value);
            self.braces |= is_known;
            return if is_known || self.braces { Taken::Field } else { Taken::No };
        }
        if let Some((key, value)) = trimmed.split_once('=')
            && !key.is_empty()
            && key.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
        {
            // A cursor begins an entry where no empty line is left between two.
            if key == "__CURSOR" && self.message.is_some() {
                return Taken::Ends;
            }
            self.set(key, &Value::String(value.to_owned()));
            return if self.is_open() { Taken::Field } else { Taken::No };
        }
        if let Some((key, value)) = yaml_field(trimmed) {
            let value = Value::String(value);
            let is_known = (YAML.contains(&key) || self.yaml) && (self.set(key, &value) || self.set_other(key, &value));
            self.yaml |= is_known;
            if self.yaml && self.is_open() {
                return Taken::Field;
            }
        }
        // An object within, or its end.
        if self.braces && (trimmed.starts_with('"') || trimmed.bytes().all(|b| b"[],{}".contains(&b))) {
            return Taken::Field;
        }
        if self.is_open() { Taken::Ends } else { Taken::No }
    }

    /// The line before the fields of `verbose`: `Thu 2023-02-02 11:49:13.015489 CET [s=…;i=1;b=…;m=1f6726955fe3;t=5f3b550c118c1;x=…]`.
    pub fn begin(&mut self, line: &str) -> bool {
        let Some((wall, rest)) = leading(line.trim_start()) else { return false };
        let Some(cursor) = rest.strip_prefix("[s=").and_then(|rest| rest.trim_end().strip_suffix(']')) else {
            return false;
        };
        let hex = |key: &str| {
            let value = cursor.split(';').find_map(|part| part.strip_prefix(key)?.strip_prefix('='))?;
            u64::from_str_radix(value, 16).ok()
        };
        *self = Entry { wall: Some(wall), monotonic_us: hex("m"), ..Entry::default() };
        self.realtime_us = hex("t").and_then(|us| i64::try_from(us).ok()).filter(|us| *us > 0);
        let boot = cursor.split(';').find_map(|part| part.strip_prefix("b="));
        self.boot = boot.filter(|id| id.len() == 32).map(str::to_owned);
        true
    }

    /// The message, if there was one; the entry is empty then.
    pub fn finish(&mut self) -> Option<Message> {
        let entry = std::mem::take(self);
        let kernel = match (entry.transport.as_deref(), entry.identifier.as_deref()) {
            (Some("kmsg"), _) => Some(true),
            (Some("kernel"), Some("kernel") | None) | (None, Some("kernel")) => Some(true),
            (None, None) => None,
            _ => Some(false),
        };
        let zoned = |us| Wall { us, zoned: true, dated: true, exact_us: 1 };
        Some(Message {
            text: entry.message?,
            kernel,
            program: entry.identifier,
            host: entry.host,
            uptime_us: entry.source_us.or(entry.monotonic_us),
            wall: entry.realtime_us.map(zoned).or(entry.wall),
            boot: entry.boot,
        })
    }

    /// A field of an object that no journal wrote: `dmesg --json`, a cloud's, a search of logs.
    fn set_other(&mut self, key: &str, value: &Value) -> bool {
        let text = || text(value);
        match key {
            _ if TEXTS.contains(&key) => self.message = text().map(|text| cut(text, MOST)),
            _ if TIMES.contains(&key) => match value {
                // Seconds since boot.
                Value::Number(number) => self.set_seconds(number.as_f64()),
                _ => self.wall = text().and_then(|time| Some(leading(&time)?.0)).or(self.wall),
            },
            _ if HOSTS.contains(&key) => self.host = text(),
            // Of `dmesg --json`.
            "pri" => self.transport = self.transport.take().or_else(|| Some("kmsg".into())),
            "fac" => self.transport = text().map(|name| if name == "kern" { "kmsg".into() } else { name }),
            _ => return false,
        }
        true
    }

    /// Seconds since boot; larger ones are of another clock.
    fn set_seconds(&mut self, seconds: Option<f64>) {
        let seconds = seconds.filter(|seconds| (0.0..1e9).contains(seconds));
        self.source_us = seconds.map(|seconds| (seconds * 1e6).round() as u64).or(self.source_us);
    }

    fn set(&mut self, key: &str, value: &Value) -> bool {
        let number = || text(value)?.parse::<u64>().ok();
        match key {
            "MESSAGE" => self.message = text(value).map(|text| cut(text, MOST)),
            "__REALTIME_TIMESTAMP" => self.realtime_us = number().and_then(|us| i64::try_from(us).ok()),
            "__MONOTONIC_TIMESTAMP" => self.monotonic_us = number(),
            "_SOURCE_MONOTONIC_TIMESTAMP" | "_SOURCE_BOOTTIME_TIMESTAMP" => {
                self.source_us = self.source_us.or_else(number)
            }
            "_BOOT_ID" => self.boot = text(value),
            "SYSLOG_IDENTIFIER" => self.identifier = text(value),
            "_TRANSPORT" => self.transport = text(value),
            "_HOSTNAME" => self.host = text(value),
            _ => return false,
        }
        true
    }
}

fn cut(mut text: String, most: usize) -> String {
    if text.len() > most {
        let mut end = most;
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
    }
    text
}

/// A string, a number, or the bytes of what is not UTF-8.
fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Array(bytes) => {
            let bytes: Option<Vec<u8>> = bytes.iter().map(|b| u8::try_from(b.as_u64()?).ok()).collect();
            Some(crate::model::paths::from_bytes(&bytes?))
        }
        _ => None,
    }
}

/// `"KEY" : "value",` on a line of its own.
fn json_field(line: &str) -> Option<(String, Value)> {
    let rest = line.strip_prefix('"')?;
    let (key, value) = rest.split_once('"')?;
    let value = value.trim_start().strip_prefix(':')?.trim().trim_end_matches(',');
    Some((key.to_owned(), serde_json::from_str(value).ok()?))
}

/// Keys that begin an entry in YAML: the journal's, and the text of a cloud's log.
const YAML: [&str; 7] = [
    "MESSAGE",
    "textPayload",
    "SYSLOG_IDENTIFIER",
    "_TRANSPORT",
    "_HOSTNAME",
    "_SOURCE_MONOTONIC_TIMESTAMP",
    "_BOOT_ID",
];

/// `KEY: 'value'` on a line of its own.
fn yaml_field(line: &str) -> Option<(&str, String)> {
    let (key, value) = line.split_once(':')?;
    let is_key = !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    let value = value.strip_prefix(' ').or(value.is_empty().then_some(""))?.trim();
    let single = value.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\'')).map(|text| text.replace("''", "'"));
    let double = || serde_json::from_str(value).ok().filter(|_| value.starts_with('"'));
    is_key.then(|| (key, single.or_else(double).unwrap_or_else(|| value.to_owned())))
}

/// The object of JSON that a line is, or that a program prints in it in the form of Ruby.
fn object(line: &str) -> Option<Map<String, Value>> {
    if line.starts_with('{') {
        return serde_json::from_str(line.trim_end_matches(',')).ok();
    }
    // `[0] kmsg.0: [[1714702308.1, {}], {"priority"=>4, "msg"=>"…"}]` of Fluent Bit.
    let (from, to) = (line.find("{\"").filter(|_| line.contains("\"=>"))?, line.rfind('}')?);
    serde_json::from_str(&line.get(from..=to)?.replace("\"=>", "\":")).ok()
}

/// The message of a line that is one object of JSON: of the journal, of Docker's files, of a cloud's.
pub fn of_json(line: &str) -> Option<Message> {
    let line = line.trim();
    let object = object(line.strip_prefix("data: ").unwrap_or(line).trim_start_matches('\u{1e}'))?;
    let mut entry = Entry::default();
    for (key, value) in &object {
        entry.set(key, value);
    }
    if entry.message.is_some() {
        return entry.finish();
    }
    let inner = INNER.iter().filter_map(|name| object.get(*name)?.as_object());
    for object in [&object].into_iter().chain(inner) {
        for (key, value) in object {
            let _ = entry.set(key, value) || entry.set_other(key, value);
        }
        // Seconds since boot and what is left of them.
        let number = |key: &str| object.get(key).and_then(Value::as_u64);
        if let Some((seconds, micros)) = number("sec").zip(number("usec")).filter(|(_, micros)| *micros < 1_000_000) {
            entry.source_us = seconds.checked_mul(1_000_000).map(|us| us + micros);
        }
    }
    entry.finish()
}
