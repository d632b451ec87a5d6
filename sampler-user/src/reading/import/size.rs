//! Sizes as programs print them: `512 MiB`, `1.5g`, `1,234,567`, `103,5`.

/// How a comma and a point are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Decimal {
    /// As the number itself shows; where it does not, a comma separates thousands.
    #[default]
    Auto,
    /// A point is the decimal mark, a comma separates thousands.
    Point,
    /// A comma is the decimal mark, a point separates thousands.
    Comma,
}

/// What `MB` is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prefix {
    /// 1024², as most programs mean it.
    Binary,
    /// 1000², in programs that print `MiB` for the other.
    Decimal,
}

/// A number with the unit it came with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Size {
    /// The number.
    pub number: f64,
    /// Bytes in its unit; `None` without one.
    pub unit: Option<f64>,
}

/// What a decimal mark is by one number: `Some(true)` a comma, `None` where that is not known.
pub fn comma_is_decimal(text: &str) -> Option<bool> {
    let digits: &str = text.trim_start_matches(['+', '-']);
    let end = digits.find(|c: char| !c.is_ascii_digit() && c != ',' && c != '.').unwrap_or(digits.len());
    let number = &digits[..end];
    let (points, commas) = (number.matches('.').count(), number.matches(',').count());
    match (points, commas) {
        (0, 0) => None,
        (0, 1) => {
            let (whole, part) = number.split_once(',')?;
            (part.len() != 3 || whole.len() > 3 || whole == "0").then_some(true)
        }
        (0, _) => Some(false),
        (1, 0) => {
            let (whole, part) = number.split_once('.')?;
            (part.len() != 3 || whole.len() > 3 || whole == "0").then_some(false)
        }
        (_, 0) => Some(true),
        _ => Some(number.rfind(',') > number.rfind('.')),
    }
}

/// Reads a size; `None` of what is none, a percentage among it.
pub fn parse(text: &str, decimal: Decimal, prefix: Prefix) -> Option<Size> {
    let text = text.trim().trim_matches('"').trim();
    let (number, rest) = number(text, decimal)?;
    let unit = match rest.trim() {
        "" => None,
        suffix => Some(unit(suffix, prefix)?),
    };
    Some(Size { number, unit })
}

/// The number that a text begins with, and what follows it.
fn number(text: &str, decimal: Decimal) -> Option<(f64, &str)> {
    let lower = text.to_ascii_lowercase();
    if let "nan" | "inf" | "+inf" | "-inf" | "infinity" = lower.as_str() {
        return Some((lower.parse().ok()?, ""));
    }
    let is_mark = |c: char| matches!(c, '.' | ',' | '\'' | '_' | '\u{a0}' | '\u{202f}' | '\u{2009}' | ' ');
    let sign = text.len() - text.trim_start_matches(['+', '-']).len();
    if sign > 1 || !text[sign..].starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return None;
    }
    // A space belongs to the number only between digits.
    let bytes = text.as_bytes();
    let mut end = sign;
    for (at, c) in text.char_indices().skip(sign) {
        let digit_follows = bytes.get(at + c.len_utf8()).is_some_and(u8::is_ascii_digit);
        if c.is_ascii_digit() || is_mark(c) && (digit_follows || c == '.') {
            end = at + c.len_utf8();
        } else {
            break;
        }
    }
    let mut rest = &text[end..];
    let comma = match decimal {
        Decimal::Comma => true,
        Decimal::Point => false,
        Decimal::Auto => comma_is_decimal(&text[..end]).unwrap_or(false),
    };
    let mark = if comma { ',' } else { '.' };
    let mut plain: String = text[..end].chars().filter(|c| c.is_ascii_digit() || *c == mark || *c == '-').collect();
    if plain.matches(mark).count() > 1 {
        return None;
    }
    if comma {
        plain = plain.replace(',', ".");
    }
    // 1.2e+08
    if let Some(exponent) = rest.strip_prefix(['e', 'E']) {
        let sign = exponent.starts_with(['+', '-']) as usize;
        let digits = exponent[sign..].find(|c: char| !c.is_ascii_digit()).unwrap_or(exponent.len() - sign);
        if digits > 0 {
            plain.push('e');
            plain.push_str(&exponent[..sign + digits]);
            rest = &exponent[sign + digits..];
        }
    }
    Some((plain.parse().ok()?, rest))
}

/// Bytes in a unit of this name: `kB`, `KiB`, `Mi`, `g`, `bytes`.
pub fn unit(name: &str, prefix: Prefix) -> Option<f64> {
    let lower = name.trim().to_ascii_lowercase();
    let short = match lower.as_str() {
        "byte" | "bytes" | "b" => return Some(1.0),
        "kbyte" | "kbytes" | "kilobytes" => "kb",
        "mbyte" | "mbytes" | "megabytes" => "mb",
        "gbyte" | "gbytes" | "gigabytes" => "gb",
        "kibibytes" => "kib",
        "mebibytes" => "mib",
        "gibibytes" => "gib",
        other => other,
    };
    let mut letters = short.chars();
    let power = "kmgtp".find(letters.next()?)? as i32 + 1;
    let base = match letters.as_str() {
        // Without a B it is what `top`, `kubectl` or a shell prints.
        "i" | "ib" | "" => 1024.0f64,
        "b" if prefix == Prefix::Binary => 1024.0,
        "b" => 1000.0,
        _ => return None,
    };
    Some(base.powi(power))
}

/// The name of a unit, for notes.
pub fn name(unit: f64) -> String {
    const NAMES: [(f64, &str); 7] = [
        (1.0, "bytes"),
        (1024.0, "KiB"),
        (1_048_576.0, "MiB"),
        (1_073_741_824.0, "GiB"),
        (1e3, "kB (1000)"),
        (1e6, "MB (1000²)"),
        (1e9, "GB (1000³)"),
    ];
    let known = NAMES.iter().find(|(size, _)| *size == unit).map(|(_, name)| (*name).to_owned());
    known.unwrap_or_else(|| format!("{unit} bytes"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn sizes_are_read_as_programs_print_them() {
        let bytes = |text: &str| parse(text, Decimal::Auto, Prefix::Binary).map(|s| s.number * s.unit.unwrap_or(1.0));
        let mib = 1_048_576.0;
        for (text, want) in [
            ("60.0MiB", 60.0 * mib),
            ("7.628GiB", 7.628 * 1024.0 * mib),
            ("512 MiB", 512.0 * mib),
            ("1.5g", 1536.0 * mib),
            ("345m", 345.0 * mib),
            ("490Mi", 490.0 * mib),
            ("4kb", 4096.0),
            ("1,234,567", 1_234_567.0),
            ("1 234 567", 1_234_567.0),
            ("1.234.567,5", 1_234_567.5),
            ("103,5", 103.5),
            ("1.2e+08", 1.2e8),
            ("0B", 0.0),
            ("12345", 12345.0),
            ("-5", -5.0),
            ("+Inf", f64::INFINITY),
            ("\"512 MB\"", 512.0 * mib),
        ] {
            assert_eq!(bytes(text), Some(want), "{text}");
        }
        for text in ["3.10%", "--", "", "MiB", "12 apples", "1.2.3.4e", "0x10", "- 5", "12:30", "60MiB / 2GiB"] {
            assert_eq!(bytes(text), None, "{text}");
        }
        assert_eq!(unit("MB", Prefix::Decimal), Some(1e6));
        assert_eq!(unit("MiB", Prefix::Decimal), Some(mib));
        assert_eq!(parse("1.234", Decimal::Comma, Prefix::Binary).unwrap().number, 1234.0);
        assert_eq!(parse("1,234", Decimal::Comma, Prefix::Binary).unwrap().number, 1.234);
    }

    #[test]
    fn a_decimal_mark_is_known_only_where_the_number_shows_it() {
        for (text, want) in [
            ("1,5", Some(true)),
            ("1.5", Some(false)),
            ("1,234", None),
            ("1.234", None),
            ("1,234,567", Some(false)),
            ("1.234.567", Some(true)),
            ("1.234,5", Some(true)),
            ("0,125", Some(true)),
            ("17", None),
        ] {
            assert_eq!(comma_is_decimal(text), want, "{text}");
        }
    }

    proptest! {
        #[test]
        fn nothing_that_is_written_breaks_it(text in "\\PC{0,24}") {
            for decimal in [Decimal::Auto, Decimal::Point, Decimal::Comma] {
                let _ = parse(&text, decimal, Prefix::Binary);
            }
        }

        #[test]
        fn a_plain_number_is_itself(value in 0u64..1 << 52) {
            let size = parse(&value.to_string(), Decimal::Auto, Prefix::Binary).unwrap();
            prop_assert_eq!((size.number, size.unit), (value as f64, None));
        }
    }
}
