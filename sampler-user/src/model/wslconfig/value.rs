//! What the values of WSL's keys are, read as WSL reads them (`ParseImpl` of `configfile.cpp`, `ParseMemorySize` and `ParseBool`
//! of `stringshared.h`).

use std::fmt;

use serde::Serialize;

use crate::model::wslconfig::kind::Kind;

/// A value that WSL takes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Value {
    /// A size, bytes.
    Size(u64),
    /// A whole number.
    Whole(i64),
    /// `true` or `false`.
    Truth(bool),
    /// A word of a list, as WSL spells it.
    Word(&'static str),
    /// Any text; hostile.
    Text(String),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Size(0) => f.write_str("0"),
            Value::Size(size) => {
                let units = [(40, "TB"), (30, "GB"), (20, "MB"), (10, "KB")];
                match units.iter().find(|(shift, _)| size.is_multiple_of(1 << shift)) {
                    Some((shift, unit)) => write!(f, "{}{unit}", size >> shift),
                    None => write!(f, "{size}"),
                }
            }
            Value::Whole(number) => write!(f, "{number}"),
            Value::Truth(truth) => write!(f, "{truth}"),
            Value::Word(word) => f.write_str(word),
            Value::Text(text) => f.write_str(text),
        }
    }
}

/// What a key takes.
#[derive(Clone, Copy, Debug)]
pub enum Takes {
    /// `6GB`, `512MB`; also 0 and plain bytes.
    Size,
    /// `true`, `false`, `1` or `0`.
    Truth,
    /// A whole number; hexadecimal behind `0x`, octal behind `0`.
    Whole,
    /// A path of Windows, with its backslashes doubled.
    Path,
    /// Any text.
    Text,
    /// One of these words, in any case.
    Word(&'static [&'static str]),
    /// `01:23:45:67:89:ab`, or with dashes.
    Mac,
    /// Ports with commas between them; a wrong one is left out alone.
    Ports,
    /// An IPv4 address.
    Address,
}

impl Takes {
    /// The value that WSL reads in a text; `None` where it skips the line.
    pub fn read(self, text: &str, kind: Kind) -> Option<Value> {
        match self {
            Takes::Size => size(text).map(Value::Size),
            Takes::Truth => match text {
                "1" => Some(Value::Truth(true)),
                "0" => Some(Value::Truth(false)),
                _ if text.eq_ignore_ascii_case("true") => Some(Value::Truth(true)),
                _ if text.eq_ignore_ascii_case("false") => Some(Value::Truth(false)),
                _ => None,
            },
            Takes::Whole => whole(text, kind).map(Value::Whole),
            Takes::Word(words) => {
                words.iter().find(|word| word.eq_ignore_ascii_case(text)).map(|word| Value::Word(word))
            }
            Takes::Mac => is_mac(text).then(|| Value::Text(text.to_owned())),
            Takes::Address => text.parse::<std::net::Ipv4Addr>().is_ok().then(|| Value::Text(text.to_owned())),
            Takes::Path | Takes::Text | Takes::Ports => Some(Value::Text(text.to_owned())),
        }
    }

    /// What it takes, in words.
    pub fn words(self) -> String {
        match self {
            Takes::Size => "a whole number with a unit in upper case (8GB, 512MB), or plain bytes".into(),
            Takes::Truth => "true or false".into(),
            Takes::Whole => "a whole number".into(),
            Takes::Path => "a path with doubled backslashes".into(),
            Takes::Text => "a text".into(),
            Takes::Word(words) => words.join(", "),
            Takes::Mac => "six hexadecimal numbers with : or - between them".into(),
            Takes::Ports => "ports with commas between them".into(),
            Takes::Address => "an IPv4 address".into(),
        }
    }
}

/// The digits of a text behind spaces and a sign, as strtol skips them: whether it is negative, and what is left.
fn signed(text: &str) -> (bool, &str) {
    let text = text.trim_start_matches([' ', '\t', '\n', '\x0b', '\x0c', '\r']);
    match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    }
}

/// Of several digits the number, as large as 64 bits hold, and what is behind them.
fn digits(text: &str, base: u32) -> (Option<u64>, &str) {
    let end = text.find(|c: char| !c.is_digit(base)).unwrap_or(text.len());
    let value = |text: &str| u64::from_str_radix(text, base).unwrap_or(u64::MAX);
    ((end > 0).then(|| value(&text[..end])), &text[end..])
}

/// A size, bytes. Units are of upper case and right behind the number.
fn size(text: &str) -> Option<u64> {
    let (negative, rest) = signed(text);
    let (number, unit) = digits(rest, 10);
    let number = number?;
    // A zero is written as one digit.
    if number == 0 && !(text.starts_with('0') && unit.len() + 1 == text.len()) {
        return None;
    }
    let number = if negative { number.wrapping_neg() } else { number };
    let shift = match unit {
        "" | "B" => 0,
        "K" | "KB" => 10,
        "M" | "MB" => 20,
        "G" | "GB" => 30,
        "T" | "TB" => 40,
        _ => return None,
    };
    Some(number.wrapping_mul(1 << shift))
}

/// A whole number of 32 bits. `long` has as many in Windows, where a larger one becomes the largest, and 64 in Linux.
fn whole(text: &str, kind: Kind) -> Option<i64> {
    let (negative, rest) = signed(text);
    let hex = rest.strip_prefix("0x").or_else(|| rest.strip_prefix("0X"));
    let (number, rest) = match hex {
        Some(hex) if hex.starts_with(|c: char| c.is_ascii_hexdigit()) => digits(hex, 16),
        _ if rest.starts_with('0') => digits(rest, 8),
        _ => digits(rest, 10),
    };
    let number = i64::try_from(number.filter(|_| rest.is_empty())?).unwrap_or(i64::MAX);
    let number = if negative { -number } else { number };
    let (least, most) = (i64::from(i32::MIN), i64::from(i32::MAX));
    match kind {
        Kind::Wslconfig => Some(number.clamp(least, most)),
        Kind::WslConf => (least..=most).contains(&number).then_some(number),
    }
}

fn is_mac(text: &str) -> bool {
    let bytes = text.as_bytes();
    let dash = bytes.get(2).copied().filter(|dash| matches!(dash, b'-' | b':'));
    bytes.len() == 17
        && bytes.iter().enumerate().all(|(at, byte)| match at % 3 {
            2 => Some(*byte) == dash,
            _ => byte.is_ascii_hexdigit(),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_wsl_reads_them() {
        let table = [
            ("8GB", Some(8 << 30)),
            ("8G", Some(8 << 30)),
            ("512MB", Some(512 << 20)),
            ("1TB", Some(1 << 40)),
            ("4194304KB", Some(4 << 30)),
            ("1024B", Some(1024)),
            ("8589934592", Some(8 << 30)),
            ("0", Some(0)),
            ("0GB", Some(0)),
            ("+8GB", Some(8 << 30)),
            ("-1", Some(u64::MAX)),
            ("00", None),
            ("0.5GB", None),
            ("1.5GB", None),
            ("8gb", None),
            ("8Gb", None),
            ("8 GB", None),
            ("8GiB", None),
            ("50%", None),
            ("", None),
            ("GB", None),
            ("0x10", None),
        ];
        for (text, wanted) in table {
            assert_eq!(size(text), wanted, "{text}");
        }
    }

    #[test]
    fn whole_numbers_have_the_bases_of_c() {
        let table = [
            ("4", Some(4)),
            ("-1", Some(-1)),
            ("0x10", Some(16)),
            ("022", Some(18)),
            (" 4", Some(4)),
            ("08", None),
            ("0x", None),
            ("4.0", None),
            ("four", None),
            ("", None),
            ("-", None),
        ];
        for (text, wanted) in table {
            assert_eq!(whole(text, Kind::Wslconfig), wanted, "{text}");
        }
        assert_eq!(whole("99999999999", Kind::Wslconfig), Some(i64::from(i32::MAX)));
        assert_eq!(whole("99999999999", Kind::WslConf), None);
    }

    #[test]
    fn words_truths_and_addresses() {
        let read = |takes: Takes, text: &str| takes.read(text, Kind::Wslconfig).map(|value| value.to_string());
        assert_eq!(read(Takes::Word(&["Nat", "Mirrored"]), "MIRRORED").as_deref(), Some("Mirrored"));
        assert_eq!(read(Takes::Truth, "TRUE").as_deref(), Some("true"));
        assert_eq!((read(Takes::Truth, "yes"), read(Takes::Truth, "00")), (None, None));
        assert!(read(Takes::Mac, "01:23:45:67:89:ab").is_some() && read(Takes::Mac, "01:23-45:67:89:ab").is_none());
        assert!(read(Takes::Address, "10.255.255.254").is_some() && read(Takes::Address, "10.255").is_none());
        assert_eq!(read(Takes::Size, "6144MB").as_deref(), Some("6GB"));
    }
}
