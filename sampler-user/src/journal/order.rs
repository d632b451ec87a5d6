//! The order in which segments were written. The wall clock that their names begin with may have been set back meanwhile, so
//! each has a number, which only grows in one folder: `20261124T140322123Z-bb2daa04-00000017`.

use std::path::Path;

/// Digits of a number that counts all segments of a folder; those that older versions wrote count from the start of an agent,
/// and have five.
const DIGITS: usize = 8;

/// What sorts segments, and the files made of them, in the order in which they were written.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The number; those without one come first.
    number: Option<u32>,
    stem: String,
}

impl Place {
    /// By the stem that a segment shares with the files made of it.
    pub fn of(stem: &str) -> Place {
        let digits = stem.rsplit('-').next().filter(|digits| digits.len() >= DIGITS);
        let all_digits = digits.filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()));
        Place { number: all_digits.and_then(|digits| digits.parse().ok()), stem: stem.to_owned() }
    }

    /// Of a file.
    pub fn of_file(path: &Path) -> Place {
        Place::of(&path.file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().into_owned()))
    }

    /// The stem.
    pub fn stem(&self) -> &str {
        &self.stem
    }

    /// The number of the segment after it.
    pub fn next(&self) -> u32 {
        self.number.map_or(0, |number| number.saturating_add(1))
    }
}

/// The stem of a segment.
pub(super) fn stem(stamp: &str, boot: &str, number: u32) -> String {
    format!("{stamp}-{boot}-{number:0DIGITS$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_orders_and_not_the_clock_and_older_names_come_first() {
        let written = [
            "20261124T110000000Z-bb2daa04-00000",
            "20261124T120000000Z-bb2daa04-00001",
            "20261124T130000000Z-bb2daa04-00000002",
            // The clock was set back by an hour, then the machine was booted with the clock of 1970.
            "20261124T120000000Z-bb2daa04-00000003",
            "19700101T000001000Z-00aa11bb-00000004",
            "20261124T140000000Z-00aa11bb-123456789",
        ];
        assert!(written.map(Place::of).is_sorted());
        assert_eq!(Place::of(&stem("x", "y", 7)).next(), 8);
        assert_eq!(Place::of("20261124T110000000Z-bb2daa04-00009").next(), 0, "it counts something else");
        assert_eq!(Place::of("import").next(), 0);
    }
}
