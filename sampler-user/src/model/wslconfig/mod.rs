//! The files that configure WSL, `.wslconfig` and `wsl.conf`, by WSL's own rules: what is in force of them, which lines do nothing
//! and what to write instead, and how a key is changed so that all else stays.

pub mod keys;
mod mend;
mod rewrite;
mod scan;
mod value;

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use self::keys::{GONE, Key, table};
use self::scan::{Entry, LineKind, Setting, Why, scan};
use crate::model::units::printable;

pub use self::change::Change;
pub use self::value::{Takes, Value};

/// What is wrong with a line, or with the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// Line, from 1; absent for the whole file.
    pub line: Option<usize>,
    /// What, and what to do.
    pub what: String,
    /// The line to write instead, where that is plain.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub write: Option<String>,
    /// Whether it does something all the same: then this is a remark.
    pub in_force: bool,
}

/// The problem as a person reads it.
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line {
            write!(f, "line {line}: ")?;
        }
        f.write_str(&self.what)?;
        match &self.write {
            Some(write) => write!(f, "; write {}", printable(write)),
            None => Ok(()),
        }
    }
}

/// A file as WSL reads it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Config {
    /// Which file.
    pub kind: Kind,
    /// How it is encoded.
    pub encoding: Encoding,
    /// What is in force: `section.key`, as the table of keys spells them.
    pub effective: BTreeMap<String, Value>,
    /// The lines that do nothing, from 1.
    pub ineffective: Vec<usize>,
    /// What is to be said, by line.
    pub problems: Vec<Problem>,
    #[serde(skip)]
    text: Vec<char>,
    #[serde(skip)]
    entries: Vec<Entry>,
}

impl Default for Config {
    fn default() -> Config {
        Config::read(b"", Kind::Wslconfig)
    }
}

impl Config {
    /// Reads any bytes; what WSL would not understand is a problem of the result, no error.
    ///
    /// ```
    /// use sampler::model::wslconfig::{Config, Kind};
    ///
    /// let config = Config::read(b"[wsl2]\nmemory=6GB\nswap\n", Kind::Wslconfig);
    /// assert_eq!(config.ineffective, [3]);
    /// assert!(config.get("wsl2", "memory").is_some() && config.get("wsl2", "swap").is_none());
    /// ```
    pub fn read(bytes: &[u8], kind: Kind) -> Config {
        let (encoding, text) = decode(bytes);
        let text: Vec<char> = text.chars().collect();
        let entries = scan(&text, kind);
        let mut reading = Reading::new(kind);
        reading.encoding(encoding);
        if reading.is_read(encoding) {
            entries.iter().for_each(|entry| reading.entry(entry, &text));
            reading.sections();
        }
        let Reading { effective, mut problems, .. } = reading;
        problems.sort_by_key(|problem| problem.line);
        let mut ineffective: Vec<usize> =
            problems.iter().filter(|problem| !problem.in_force).filter_map(|problem| problem.line).collect();
        ineffective.dedup();
        Config { kind, encoding, effective, ineffective, problems, text, entries }
    }

    /// The value of a key that is in force.
    pub fn get(&self, section: &str, key: &str) -> Option<&Value> {
        self.effective
            .iter()
            .find(|(name, _)| {
                name.split_once('.')
                    .is_some_and(|(s, k)| s.eq_ignore_ascii_case(section) && k.eq_ignore_ascii_case(key))
            })
            .map(|(_, value)| value)
    }

    /// Whether lines do nothing, or the whole file.
    pub fn is_faulty(&self) -> bool {
        self.problems.iter().any(|problem| !problem.in_force)
    }
}

/// A file while it is read.
struct Reading {
    kind: Kind,
    effective: BTreeMap<String, Value>,
    problems: Vec<Problem>,
    /// The line in which each key of the table is first.
    first: BTreeMap<&'static str, usize>,
    /// Line and name of the last section, and how many settings it has.
    section: Option<(usize, String, usize)>,
    /// The line at which WSL stops to read.
    stopped: Option<usize>,
}

impl Reading {
    fn new(kind: Kind) -> Reading {
        Reading {
            kind,
            effective: BTreeMap::new(),
            problems: Vec::new(),
            first: BTreeMap::new(),
            section: None,
            stopped: None,
        }
    }

    fn say(&mut self, line: usize, what: String, write: Option<String>, in_force: bool) {
        self.problems.push(Problem { line: Some(line), what, write, in_force });
    }

    /// Whether WSL sees lines at all. In Linux a mark makes the first line invalid, which ends it.
    fn is_read(&self, encoding: Encoding) -> bool {
        let is_marked = matches!(encoding, Encoding::Utf8Mark | Encoding::Utf16);
        encoding != Encoding::Utf16Unread && !(self.kind == Kind::WslConf && is_marked)
    }

    fn encoding(&mut self, encoding: Encoding) {
        let name = match encoding {
            Encoding::Plain => return,
            Encoding::Utf8Mark => "UTF-8 with a byte order mark",
            Encoding::Utf16 => "UTF-16 (as PowerShell 5 writes with > and Out-File)",
            Encoding::Utf16Unread => "UTF-16 without the mark that Windows knows it by",
            Encoding::Other => "no UTF-8",
        };
        let is_read = self.is_read(encoding);
        let what = match (is_read, encoding) {
            (false, _) => format!("it is {name}: WSL takes nothing of it; save it as UTF-8 without a mark"),
            (true, Encoding::Other) => {
                format!("it is {name}: WSL reads other characters than you wrote; save it as UTF-8 without a mark")
            }
            (true, _) => format!(
                "it is {name}: WSL of today reads it, old versions ignored such a file without a word; save it as UTF-8 without a mark"
            ),
        };
        self.problems.push(Problem { line: None, what, write: None, in_force: is_read });
    }

    fn entry(&mut self, entry: &Entry, text: &[char]) {
        if let Some(stopped) = self.stopped {
            if let LineKind::Setting(setting) = &entry.what {
                let what = format!(
                    "{}: WSL stops to read {} at line {stopped}, which is invalid",
                    printable(&setting.key),
                    self.kind.name()
                );
                self.say(entry.line, what, None, false);
            }
            return;
        }
        match &entry.what {
            LineKind::Section(name) => {
                self.sections();
                self.section = Some((entry.line, name.clone(), 0));
            }
            LineKind::Setting(setting) => {
                if let Some((_, _, settings)) = &mut self.section {
                    *settings += 1;
                }
                self.setting(entry.line, setting);
                self.joined(entry, setting, text);
            }
            LineKind::Invalid(why) => self.invalid(entry, *why, text),
        }
    }

    /// A section that WSL has no key for is the cause of what its lines say.
    fn sections(&mut self) {
        let Some((line, name, settings)) = self.section.take() else { return };
        let is_known = |kind| table(kind).iter().any(|key| key.is_under(&name));
        if settings == 0 || is_known(self.kind) {
            return;
        }
        let what = match is_known(self.kind.other()) {
            true => format!("[{}] is a section of {}", printable(&name), self.kind.other().name()),
            false => format!("WSL has no key in a section [{}]", printable(&name)),
        };
        let write = mend::section(&name, self.kind).map(|section| format!("[{section}]"));
        self.say(line, what, write, false);
    }

    fn setting(&mut self, line: usize, setting: &Setting) {
        let (key, value) = (printable(&setting.key), printable(&setting.value));
        let Some(known) = table(self.kind).iter().find(|known| known.is(&setting.name)) else {
            let (what, write) = self.unknown(setting);
            return self.say(line, what, write, false);
        };
        if let Some(first) = self.first.get(known.name) {
            let what = format!("{key} is in line {first} already, and the first counts, valid or not");
            return self.say(line, what, None, false);
        }
        self.first.insert(known.name, line);
        let section = known.sections.iter().find(|own| own.eq_ignore_ascii_case(&setting.section));
        match known.takes.read(&setting.value, self.kind) {
            Some(read) => {
                if let Some((what, write)) = remark(known, setting, &read, self.kind) {
                    self.say(line, what, write, true);
                }
                self.effective.insert(format!("{}.{}", section.unwrap_or(&known.section()), known.name), read);
            }
            None => {
                let written = mend::value(known.takes, &setting.value, self.kind);
                let write = written.map(|value| mend::setting(known, &value, &setting.section));
                let what = format!("{key} takes {}, not `{value}`: WSL skips the line", known.takes.words());
                self.say(line, what, write, false);
            }
        }
    }

    /// Lines that a backslash at the end of the one before makes a part of its value, although they look like their own.
    fn joined(&mut self, entry: &Entry, setting: &Setting, text: &[char]) {
        let value = text.get(setting.span.clone()).unwrap_or_default();
        for (at, line) in value.split(|c| *c == '\n').enumerate().skip(1) {
            let is_own = scan(line, self.kind).iter().any(|own| match &own.what {
                LineKind::Section(name) => mend::section(name, self.kind).is_some(),
                LineKind::Setting(own) => {
                    let name = format!("{}.{}", setting.section, own.key);
                    table(self.kind).iter().any(|known| known.is(&name))
                }
                LineKind::Invalid(_) => false,
            });
            if is_own {
                let shown = printable(line.iter().collect::<String>().trim());
                let what = format!(
                    "`{shown}` belongs to {} of line {}: the backslash before it joins them",
                    setting.key,
                    entry.line + at - 1
                );
                self.say(entry.line + at, what, Some(shown), false);
            }
        }
    }

    /// What a key is that WSL does not know where it stands.
    fn unknown(&self, setting: &Setting) -> (String, Option<String>) {
        let (key, section) = (printable(&setting.key), printable(&setting.section));
        let meant = mend::meant(&setting.section, &setting.key, self.kind);
        let write = meant.map(|known| {
            let read = known.takes.read(&setting.value, self.kind).map(|_| setting.value.clone());
            let value = read.or_else(|| mend::value(known.takes, &setting.value, self.kind));
            mend::setting(known, &value.unwrap_or_else(|| "…".into()), &setting.section)
        });
        let gone = GONE.iter().find(|(name, _)| name.eq_ignore_ascii_case(&setting.name));
        if let Some((_, why)) = gone.filter(|_| self.kind == Kind::Wslconfig) {
            return (format!("WSL reads {key} no longer: {why}"), None);
        }
        let elsewhere = table(self.kind.other()).iter().find(|known| known.is(&setting.name));
        if let Some(known) = elsewhere.filter(|_| meant.is_none()) {
            let place = match self.kind {
                Kind::WslConf => "%UserProfile%\\.wslconfig in Windows",
                Kind::Wslconfig => "/etc/wsl.conf of a distribution",
            };
            let what = format!("{key} is a key of {place}, not of {}", self.kind.name());
            return (what, Some(format!("[{}] {}={}", known.section(), known.name, setting.value)));
        }
        let named = meant.filter(|known| known.name.eq_ignore_ascii_case(&setting.key));
        let what = match (named, meant) {
            (Some(known), _) if setting.section.is_empty() => {
                format!("{} stands above any section: put [{}] above it", known.name, known.section())
            }
            (Some(known), _) => {
                format!("{} is read under [{}] only; under [{section}] it does nothing", known.name, known.section())
            }
            (None, Some(known)) => format!("`{key}` is no key of WSL: it does nothing; it is {}", known.name),
            (None, None) => format!("`{key}` is no key of WSL: it does nothing"),
        };
        (what, write)
    }

    fn invalid(&mut self, entry: &Entry, why: Why, text: &[char]) {
        let rest = text.get(entry.start..).unwrap_or_default();
        let line: String = rest.iter().take_while(|c| !matches!(c, '\n' | '\r')).take(400).collect();
        let section = self.section.as_ref().map_or("", |(_, name, _)| name);
        let write = mend::line(&line, why, section, self.kind);
        let reason = match why {
            Why::Start if line.trim_start().starts_with([';', '/']) => "only # begins a comment".to_owned(),
            Why::Start => "a line begins with a letter, [ or #".into(),
            Why::Section => "a section is letters and digits between [ and ]".into(),
            Why::Behind => "behind the ] of a section only a comment with # may stand".into(),
            Why::Equals => "a key is letters and digits, with = behind it".into(),
            Why::Escape(Some(c)) => {
                format!("`\\{}` is no escape that WSL knows; a backslash is written twice", printable(&c.to_string()))
            }
            Why::Escape(None) => "a backslash is written twice".into(),
            Why::Quote => "a quote is not closed".into(),
        };
        let effect = match self.kind {
            Kind::Wslconfig => "WSL skips the line",
            Kind::WslConf => "WSL stops to read the file here",
        };
        self.say(entry.line, format!("`{}`: {reason}: {effect}", printable(line.trim())), write, false);
        if self.kind == Kind::WslConf {
            self.stopped = Some(entry.line);
        }
    }
}

/// What is to be said of a line that is in force but says something else than it seems.
fn remark(known: &Key, setting: &Setting, value: &Value, kind: Kind) -> Option<(String, Option<String>)> {
    let name = known.name;
    if setting.is_escaped && matches!(known.takes, Takes::Path) {
        let what = format!("in {name} `\\t`, `\\n` or `\\b` is a control character: a backslash is written twice");
        return Some((what, None));
    }
    if kind == Kind::Wslconfig && !setting.value.is_ascii() {
        let what = format!("of characters that are not ASCII, WSL keeps half in {name}: it looks for another name");
        return Some((what, None));
    }
    if let (Takes::Ports, Value::Text(list)) = (known.takes, value) {
        let is_port = |port: &&str| port.trim().parse::<u16>().is_ok_and(|port| port > 0);
        let wrong: Vec<&str> = list.split(',').filter(|port| !port.is_empty() && !is_port(port)).collect();
        return (!wrong.is_empty()).then(|| (format!("{name}: {} is no port", printable(&wrong.join(", "))), None));
    }
    None
}

mod change;
mod encoding;
mod kind;
#[cfg(test)]
mod tests;

pub use self::encoding::{Encoding, decode};
pub use self::kind::Kind;
