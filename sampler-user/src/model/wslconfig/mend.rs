//! The line to write in place of one that does nothing.

use crate::model::wslconfig::keys::{Key, table};
use crate::model::wslconfig::kind::Kind;
use crate::model::wslconfig::scan::Why;
use crate::model::wslconfig::value::Takes;

/// What people write for a key of WSL.
const MEANT: [(&str, &str); 13] = [
    ("cpu", "processors"),
    ("cpus", "processors"),
    ("cores", "processors"),
    ("cpucount", "processors"),
    ("ram", "memory"),
    ("mem", "memory"),
    ("memorylimit", "memory"),
    ("maxmemory", "memory"),
    ("swapsize", "swap"),
    ("memoryreclaim", "autoMemoryReclaim"),
    ("cmdline", "kernelCommandLine"),
    ("idletimeout", "vmIdleTimeout"),
    ("gui", "guiApplications"),
];

/// The key that was meant by a name which is none in its section.
pub fn meant(section: &str, name: &str, kind: Kind) -> Option<&'static Key> {
    let lower = name.to_ascii_lowercase();
    let synonym = MEANT.iter().find(|(word, _)| *word == lower).map(|(_, key)| *key);
    let named = |name: &str| {
        let mut keys = table(kind).iter().filter(|key| key.name.eq_ignore_ascii_case(name));
        let first = keys.clone().next();
        // Of several sections with such a key, the one that is spelt most like it.
        keys.find(|key| distance(key.section(), section) <= 2).or(first)
    };
    let near = || {
        let keys = table(kind).iter().filter(|key| key.is_under(section) || distance(key.section(), section) <= 2);
        let most = if name.len() < 5 { 1 } else { 2 };
        keys.map(|key| (distance(key.name, name), key)).filter(|(far, _)| *far <= most).min_by_key(|(far, _)| *far)
    };
    named(name).or_else(|| synonym.and_then(named)).or_else(|| near().map(|(_, key)| key))
}

/// The section of WSL that a name is a slip of.
pub fn section(name: &str, kind: Kind) -> Option<&'static str> {
    let sections = table(kind).iter().flat_map(|key| key.sections).copied();
    let far = sections.map(|section| (distance(section, name), section)).filter(|(far, _)| *far <= 2);
    far.min_by_key(|(far, _)| *far).map(|(_, section)| section)
}

/// A value that WSL takes in place of one that it does not.
pub fn value(takes: Takes, text: &str, kind: Kind) -> Option<String> {
    let text = text.trim();
    let made = match takes {
        Takes::Size => size(text)?,
        Takes::Truth => match text.to_ascii_lowercase().as_str() {
            "yes" | "on" | "enabled" | "enable" | "y" | "t" => "true".into(),
            "no" | "off" | "disabled" | "disable" | "n" | "f" | "none" => "false".into(),
            _ => return None,
        },
        Takes::Whole => {
            let digits = text.trim_start_matches('0');
            let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
            let rest = digits[end..].trim();
            let is_number = end > 0 && (rest.is_empty() || rest.chars().all(|c| c.is_ascii_alphabetic()));
            is_number.then(|| digits[..end].to_owned())?
        }
        Takes::Word(words) => (*words.iter().find(|word| distance(word, text) <= 2)?).to_owned(),
        _ => return None,
    };
    takes.read(&made, kind).map(|_| made)
}

/// `8gb`, `8 GB`, `8GiB` and `1.5GB` as WSL takes them.
fn size(text: &str) -> Option<String> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.' && c != ',').unwrap_or(text.len());
    let number: f64 = text[..end].replace(',', ".").parse().ok()?;
    let unit = text[end..].trim().to_ascii_uppercase().replace("IB", "B");
    let unit = match unit.as_str() {
        "K" | "KB" | "M" | "MB" | "G" | "GB" | "T" | "TB" | "B" | "" => unit,
        "GIG" | "GIGS" | "GIGABYTE" | "GIGABYTES" => "GB".into(),
        "MEGS" | "MEGABYTE" | "MEGABYTES" => "MB".into(),
        _ => return None,
    };
    if number.fract() == 0.0 && number < 1e15 {
        return Some(format!("{number}{unit}"));
    }
    let (times, smaller) = match unit.as_str() {
        "T" | "TB" => (1024.0, "GB"),
        "G" | "GB" => (1024.0, "MB"),
        "M" | "MB" => (1024.0, "KB"),
        _ => return None,
    };
    (number < 1e9).then(|| format!("{}{smaller}", (number * times).round()))
}

/// A line that is invalid as a whole, mended.
pub fn line(text: &str, why: Why, section: &str, kind: Kind) -> Option<String> {
    let text = text.trim();
    match why {
        Why::Section => {
            let inner = text.trim_start_matches('[').split(']').next()?.trim();
            let inner = inner.split('#').next().unwrap_or(inner).trim();
            self::section(inner, kind).map(|section| format!("[{section}]"))
        }
        Why::Behind => {
            let (header, rest) = text.split_once(']')?;
            let rest = rest.trim().trim_start_matches(';').trim();
            Some(format!("{header}] # {rest}"))
        }
        Why::Escape(_) => {
            let (key, value) = text.split_once('=')?;
            Some(format!("{}={}", key.trim(), double(value.trim())))
        }
        Why::Quote => Some(format!("{text}\"")),
        Why::Start | Why::Equals => {
            let at = text.find(['=', ':', ' ', '\t'])?;
            let key = text[..at].trim_matches(|c: char| !c.is_ascii_alphanumeric());
            let value = text[at + 1..].trim_start_matches([' ', '\t', '=', ':']);
            let (prefix, key) = key.split_once('.').unwrap_or((section, key));
            let known = meant(prefix, key, kind).filter(|_| !text.starts_with([';', '/']))?;
            let value = match known.takes.read(value, kind) {
                Some(_) => value.to_owned(),
                None => self::value(known.takes, value, kind)?,
            };
            Some(setting(known, &value, section))
        }
    }
}

/// `key=value`, with its section above where it stands in another.
pub fn setting(key: &Key, value: &str, section: &str) -> String {
    let line = format!("{}={value}", key.name);
    if key.is_under(section) { line } else { format!("[{}] {line}", key.section()) }
}

/// Each backslash twice, but where it is twice already or stands before a quote.
fn double(value: &str) -> String {
    let mut out = String::with_capacity(value.len() + 8);
    let mut chars = value.chars().peekable();
    while let Some(c) = chars.next() {
        out.push(c);
        if c == '\\' {
            match chars.peek() {
                Some(next @ ('\\' | '"')) => {
                    out.push(*next);
                    chars.next();
                }
                _ => out.push('\\'),
            }
        }
    }
    out
}

/// How many letters have to be changed, put in or taken out, at most 3.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.to_lowercase().chars().collect(), b.to_lowercase().chars().collect());
    if a.len().abs_diff(b.len()) > 2 || b.len() > 64 {
        return 3;
    }
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (at, x) in a.iter().enumerate() {
        let mut corner = std::mem::replace(&mut row[0], at + 1);
        for (to, y) in b.iter().enumerate() {
            let changed = corner + usize::from(x != y);
            corner = row[to + 1];
            row[to + 1] = changed.min(corner + 1).min(row[to] + 1);
        }
    }
    row[b.len()].min(3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_mended_where_it_is_plain_what_was_meant() {
        let mend = |takes, text: &str| value(takes, text, Kind::Wslconfig);
        let sizes = [
            ("8gb", "8GB"),
            ("8 GB", "8GB"),
            ("8GiB", "8GB"),
            ("1.5GB", "1536MB"),
            ("0.5 gb", "512MB"),
            ("6 Gigs", "6GB"),
        ];
        for (text, wanted) in sizes {
            assert_eq!(mend(Takes::Size, text).as_deref(), Some(wanted), "{text}");
        }
        assert_eq!((mend(Takes::Size, "50%"), mend(Takes::Size, "half")), (None, None));
        assert_eq!(mend(Takes::Truth, "Yes").as_deref(), Some("true"));
        assert_eq!(mend(Takes::Whole, "08").as_deref(), Some("8"));
        assert_eq!(mend(Takes::Word(&["Gradual", "DropCache"]), "drop-cache").as_deref(), Some("DropCache"));
    }

    #[test]
    fn lines_are_mended_by_why_they_are_invalid() {
        let mend = |text: &str, why| line(text, why, "wsl2", Kind::Wslconfig);
        let table = [
            (r"swapFile=C:\Temp\x.vhdx", Why::Escape(Some('T')), Some(r"swapFile=C:\\Temp\\x.vhdx")),
            (r#"kernel="C:\\a\b\\c""#, Why::Escape(Some('a')), Some(r#"kernel="C:\\a\\b\\c""#)),
            ("[ wsl2 ]", Why::Section, Some("[wsl2]")),
            ("[wsl-2", Why::Section, Some("[wsl2]")),
            ("[wsl2] ; mine", Why::Behind, Some("[wsl2] # mine")),
            ("memory: 8GB", Why::Equals, Some("memory=8GB")),
            ("memory 8gb", Why::Equals, Some("memory=8GB")),
            ("wsl2.memory=4GB", Why::Equals, Some("memory=4GB")),
            ("wsl2.memory=50%", Why::Equals, None),
            ("experimental.sparseVhd=true", Why::Equals, Some("[experimental] sparseVhd=true")),
            ("- memory=8GB", Why::Start, None),
            ("; memory=8GB", Why::Start, None),
            ("swap=\"8GB", Why::Quote, Some("swap=\"8GB\"")),
        ];
        for (text, why, wanted) in table {
            assert_eq!(mend(text, why).as_deref(), wanted, "{text}");
        }
    }

    #[test]
    fn keys_that_were_meant_are_found() {
        let of = |section, name| meant(section, name, Kind::Wslconfig).map(|key| (key.section(), key.name));
        assert_eq!(of("wsl2", "cpus"), Some(("wsl2", "processors")));
        assert_eq!(of("wsl2", "sparseVhd"), Some(("experimental", "sparseVhd")));
        assert_eq!(of("wsl2", "memmory"), Some(("wsl2", "memory")));
        assert_eq!(of("wsl2", "frobnicate"), None);
        assert_eq!(section("ws12", Kind::Wslconfig), Some("wsl2"));
        assert_eq!(section("interop", Kind::Wslconfig), None);
    }
}
