//! Bytes of a kernel file to values. No IO, no allocation after the first reading, no panic on any bytes.

use crate::kernel::cgroupfs::number::number;
use crate::kernel::cgroupfs::shapes::{blocks, column, pair, sum};
use crate::model::fields::{Key, UNLIMITED};
use crate::model::sample::Row;

/// A wanted value of a file: where it stands, and the slot it goes to.
#[derive(Clone, Copy, Debug)]
pub struct Wanted {
    /// Place in the file.
    pub key: Key,
    /// Slot in the row.
    pub slot: usize,
    /// Factor to the base unit.
    pub mul: u64,
    /// Divisor to the base unit.
    pub div: u64,
}

impl Wanted {
    #[inline]
    fn set(&self, row: &mut Row, value: u64) {
        let value = if value == UNLIMITED { value } else { value.saturating_mul(self.mul) / self.div };
        row.set(self.slot, value);
    }
}

/// A line of a flat keyed file as it was last time: the kernel prints the same keys in the same order every time, so the next
/// reading compares instead of searching.
#[derive(Clone, Debug)]
struct Line {
    key: Box<[u8]>,
    /// Range in `wanted`; most keys are wanted once, some never, a few twice.
    wanted: (usize, usize),
}

/// Parses one file into the slots of a row.
#[derive(Clone, Debug)]
pub struct Parser {
    wanted: Vec<Wanted>,
    lines: Vec<Line>,
}

impl Parser {
    /// A parser for the wanted values of one file.
    pub fn new(mut wanted: Vec<Wanted>) -> Parser {
        wanted.sort_by_key(|w| match w.key {
            Key::Whole => ("", ""),
            Key::Flat(key) => (key, ""),
            Key::Nested(row, key) | Key::Pairs(row, key) => (row, key),
            Key::Column(row, _) => (row, ""),
            Key::Sum(key) => (key, ""),
            Key::Blocks(_) => ("", ""),
        });
        Parser { wanted, lines: Vec::new() }
    }

    /// Most values it can set.
    pub fn width(&self) -> usize {
        self.wanted.len()
    }

    /// The slots it sets.
    pub fn slots(&self) -> impl Iterator<Item = usize> {
        self.wanted.iter().map(|wanted| wanted.slot)
    }

    /// Sets what `bytes` holds. What is not there or not a number stays absent.
    #[inline]
    pub fn parse(&mut self, bytes: &[u8], row: &mut Row) {
        match self.wanted.first().map(|w| w.key) {
            Some(Key::Whole) => {
                if let Some(value) = number(bytes) {
                    self.wanted.iter().for_each(|w| w.set(row, value));
                }
            }
            Some(Key::Flat(_)) => self.flat(bytes, row),
            Some(Key::Nested(..)) => self.nested(bytes, row),
            Some(_) => self.each(bytes, row),
            None => {}
        }
    }

    /// The rarer shapes, each value looked for by itself.
    fn each(&self, bytes: &[u8], row: &mut Row) {
        for wanted in &self.wanted {
            let value = match wanted.key {
                Key::Pairs(line, key) => pair(bytes, line.as_bytes(), key.as_bytes()),
                Key::Column(line, at) => column(bytes, line.as_bytes(), at),
                Key::Sum(key) => sum(bytes, key.as_bytes()),
                Key::Blocks(order) => blocks(bytes, order),
                Key::Whole | Key::Flat(_) | Key::Nested(..) => None,
            };
            if let Some(value) = value {
                wanted.set(row, value);
            }
        }
    }

    fn flat(&mut self, bytes: &[u8], row: &mut Row) {
        let (mut at, mut n) = (0, 0);
        while at < bytes.len() {
            let rest = &bytes[at..];
            let known = self.lines.get(n).is_some_and(|line| {
                rest.len() > line.key.len() && rest[line.key.len()] == b' ' && rest.starts_with(&line.key)
            });
            if !known && !self.learn(n, rest) {
                // Not `KEY VALUE`: step over the line.
                at += rest.iter().position(|&b| b == b'\n').map_or(rest.len(), |end| end + 1);
                continue;
            }
            let line = &self.lines[n];
            let mut from = at + line.key.len() + 1;
            while bytes.get(from) == Some(&b' ') {
                from += 1;
            }
            let value = &bytes[from.min(bytes.len())..];
            if line.wanted.0 < line.wanted.1
                && let Some(value) = number(value)
            {
                for wanted in &self.wanted[line.wanted.0..line.wanted.1] {
                    wanted.set(row, value);
                }
            }
            at = from + value.iter().position(|&b| b == b'\n').map_or(value.len(), |end| end + 1);
            n += 1;
        }
    }

    /// Learns the key of line `n`; `false` when the line has none.
    #[cold]
    fn learn(&mut self, n: usize, rest: &[u8]) -> bool {
        let end = rest.iter().position(|&b| b == b' ' || b == b'\n').unwrap_or(rest.len());
        if rest.get(end) != Some(&b' ') {
            return false;
        }
        let key = &rest[..end];
        let is = |w: &Wanted| matches!(w.key, Key::Flat(k) if k.as_bytes() == key);
        let from = self.wanted.iter().position(is).unwrap_or(0);
        let to = from + self.wanted[from..].iter().take_while(|w| is(w)).count();
        self.lines.truncate(n);
        self.lines.push(Line { key: key.into(), wanted: (from, to) });
        true
    }

    fn nested(&self, bytes: &[u8], row: &mut Row) {
        for line in bytes.split(|&b| b == b'\n') {
            let mut words = line.split(|&b| b == b' ');
            let name = words.next().unwrap_or_default();
            for wanted in &self.wanted {
                let Key::Nested(wanted_row, key) = wanted.key else { continue };
                if wanted_row.as_bytes() != name {
                    continue;
                }
                let value = words.clone().find_map(|word| word.strip_prefix(key.as_bytes())?.strip_prefix(b"="));
                if let Some(value) = value.and_then(number) {
                    wanted.set(row, value);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn wanted(key: Key, slot: usize) -> Wanted {
        Wanted { key, slot, mul: 1, div: 1 }
    }

    fn parsed(parser: &mut Parser, text: &str) -> Vec<(usize, u64)> {
        let mut row = Row::new(0);
        parser.parse(text.as_bytes(), &mut row);
        crate::model::sample::slots(row.mask).map(|slot| (slot, row.values[slot])).collect()
    }

    #[test]
    fn single_values_limits_and_the_unlimited() {
        let mut parser = Parser::new(vec![wanted(Key::Whole, 3)]);
        for (text, value) in [
            ("4096\n", Some(4096)),
            ("max\n", Some(UNLIMITED)),
            ("9223372036854771712\n", Some(UNLIMITED)),
            ("0", Some(0)),
            ("", None),
            ("-1\n", None),
            ("99999999999999999999999\n", None),
        ] {
            assert_eq!(parsed(&mut parser, text), value.map(|v| (3, v)).into_iter().collect::<Vec<_>>(), "{text}");
        }
    }

    #[test]
    fn flat_keys_in_any_order_and_with_any_neighbours() {
        let keys = [wanted(Key::Flat("anon"), 0), wanted(Key::Flat("file"), 1), wanted(Key::Flat("anon_thp"), 2)];
        let mut parser = Parser::new(keys.to_vec());
        assert_eq!(parsed(&mut parser, "anon 1\nfile 2\nkernel 9\nanon_thp 3\n"), [(0, 1), (1, 2), (2, 3)]);
        assert_eq!(parsed(&mut parser, "anon 4\nfile 5\nkernel 9\nanon_thp 6\n"), [(0, 4), (1, 5), (2, 6)], "learned");
        assert_eq!(parsed(&mut parser, "file 7\nanon_thp 8\nanon 9\n"), [(0, 9), (1, 7), (2, 8)], "another order");
        assert_eq!(parsed(&mut parser, "anon\nfile x\n\nanon_thp 12"), [(2, 12)], "what is no number is absent");
    }

    #[test]
    fn one_key_may_fill_two_slots_and_meminfo_is_kib() {
        let mut parser = Parser::new(vec![
            wanted(Key::Flat("oom_kill"), 0),
            wanted(Key::Flat("x"), 9),
            wanted(Key::Flat("oom_kill"), 1),
        ]);
        assert_eq!(parsed(&mut parser, "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n"), [(0, 2), (1, 2)]);
        let mut parser = Parser::new(vec![Wanted { mul: 1024, ..wanted(Key::Flat("MemFree:"), 0) }]);
        assert_eq!(parsed(&mut parser, "MemTotal:  9 kB\nMemFree:         3 kB\n"), [(0, 3072)]);
    }

    #[test]
    fn pressure_totals() {
        let mut parser =
            Parser::new(vec![wanted(Key::Nested("some", "total"), 0), wanted(Key::Nested("full", "total"), 1)]);
        let text =
            "some avg10=0.00 avg60=1.50 avg300=0.00 total=12345\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=7\n";
        assert_eq!(parsed(&mut parser, text), [(0, 12345), (1, 7)]);
        assert_eq!(parsed(&mut parser, "some"), []);
    }

    proptest! {
        /// The learned order never changes what is read: a parser that has seen anything reads as a new one does.
        #[test]
        fn learning_changes_nothing(texts in prop::collection::vec("(([abc]{1,2}|max) ?[0-9x]{0,3}\n?){0,6}", 1..6)) {
            let keys = vec![wanted(Key::Flat("a"), 0), wanted(Key::Flat("ab"), 1), wanted(Key::Flat("c"), 2)];
            let mut learned = Parser::new(keys.clone());
            for text in &texts {
                prop_assert_eq!(parsed(&mut learned, text), parsed(&mut Parser::new(keys.clone()), text));
            }
        }

        #[test]
        fn no_bytes_make_it_panic(texts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..80), 1..5)) {
            for keys in [vec![wanted(Key::Whole, 0)], vec![wanted(Key::Flat("a"), 0)], vec![wanted(Key::Nested("a", "b"), 0)]] {
                let mut parser = Parser::new(keys);
                for text in &texts {
                    parser.parse(text, &mut Row::new(0));
                }
            }
        }
    }
}
