//! Pages of numbers as the sealer writes them, read without a detour: a bit a row for what is there, and the values packed.
//!
//! The library's readers give 16 bits a row for what is there and a value at a time; a day of a hundred cgroups has 10¹⁰ of
//! them. What is encoded in another way (by another writer) is left to the library.

use std::ops::Range;

use parquet::basic::{Encoding, Type as Physical};
use parquet::column::page::{Page, PageReader};
use parquet::errors::ParquetError;

/// A column of one row group.
#[derive(Debug, Default)]
pub struct Chunk {
    /// Which rows have a value, lowest bit first; bits behind the last row are 0.
    pub present: Vec<u64>,
    /// The values that are there, of the rows that are wanted.
    pub values: Vec<u64>,
    rows: usize,
    wanted: Vec<Range<usize>>,
    dictionary: Vec<u64>,
    slack: Vec<u8>,
    known: Vec<Known>,
}

/// Which rows of a whole column have a value, as it was written and as it was read: columns of one kernel file have the same.
#[derive(Debug, Default)]
struct Known {
    bytes: Vec<u8>,
    present: Vec<u64>,
    rows: usize,
    there: usize,
}

/// So many are remembered: fast files, memory.stat, limits, and what else comes at a pace of its own.
const KNOWN: usize = 4;

fn bad(what: &str) -> ParquetError {
    ParquetError::General(what.into())
}

fn short() -> ParquetError {
    bad("a page is shorter than its content")
}

/// How a value is stored, and what it becomes.
#[derive(Clone, Copy, Debug)]
pub struct Form {
    /// Type in the file.
    pub physical: Physical,
    /// Whether a row may have none.
    pub nullable: bool,
    /// From the bits in the file to the value.
    pub value: fn(u64) -> u64,
}

impl Chunk {
    /// Wants the values of these rows alone, which are in order, in the columns that are read next.
    pub fn want(&mut self, rows: impl Iterator<Item = Range<usize>>) {
        self.wanted.clear();
        self.wanted.extend(rows.filter(|range| !range.is_empty()));
    }

    /// Begins a column.
    fn clear(&mut self) {
        self.present.clear();
        self.values.clear();
        self.dictionary.clear();
        self.rows = 0;
    }

    /// Reads a column of `rows` rows. `false` when it is encoded in a way that is left to the library.
    pub fn read(&mut self, pages: &mut dyn PageReader, form: Form, rows: usize) -> Result<bool, ParquetError> {
        self.clear();
        while let Some(page) = pages.get_next_page()? {
            match page {
                Page::DictionaryPage { buf, num_values, .. } => {
                    let words = buf.chunks_exact(8).take(num_values as usize);
                    self.dictionary.extend(words.map(|word| (form.value)(word_of(word))));
                }
                Page::DataPage { buf, num_values, encoding, def_level_encoding, .. } => {
                    let how = (encoding, def_level_encoding == Encoding::RLE);
                    if !self.page(&buf, num_values as usize, how, form, rows)? {
                        return Ok(false);
                    }
                }
                Page::DataPageV2 { .. } => return Ok(false),
            }
        }
        if self.rows < rows { Err(bad("a column is shorter than its row group")) } else { Ok(true) }
    }

    /// Reads a page of `count` rows. `how`: the encoding of its values, and whether which rows have one is run-length encoded.
    pub fn page(
        &mut self,
        bytes: &[u8],
        count: usize,
        how: (Encoding, bool),
        form: Form,
        rows: usize,
    ) -> Result<bool, ParquetError> {
        if count > rows - self.rows {
            return Err(bad("a column is longer than its row group"));
        }
        let mut rest = bytes;
        let first_row = self.rows;
        let there = if form.nullable {
            if !how.1 {
                return Ok(false);
            }
            let (length, tail) = rest.split_first_chunk::<4>().ok_or_else(short)?;
            let (levels, tail) = tail.split_at_checked(u32::from_le_bytes(*length) as usize).ok_or_else(short)?;
            rest = tail;
            self.known_levels(levels, count)?
        } else {
            self.push_run(true, count);
            count
        };
        let mut sieve = self.sieve(first_row);
        match (how.0, form.physical) {
            (Encoding::DELTA_BINARY_PACKED, Physical::INT64) => self.deltas(rest, there, form.value, sieve)?,
            (Encoding::PLAIN, Physical::INT64 | Physical::DOUBLE) => {
                let bytes = rest.get(..there * 8).ok_or_else(short)?;
                for kept in &sieve.kept {
                    let words = bytes[kept.start * 8..kept.end * 8].chunks_exact(8);
                    self.values.extend(words.map(|word| (form.value)(word_of(word))));
                }
            }
            (Encoding::RLE_DICTIONARY | Encoding::PLAIN_DICTIONARY, _) => {
                let (dictionary, values) = (&self.dictionary, &mut self.values);
                let mut known = true;
                indices(rest, sieve.end(), |index, count| match (sieve.pass(count), dictionary.get(index as usize)) {
                    (0, _) => {}
                    (kept, Some(value)) => values.extend(std::iter::repeat_n(*value, kept)),
                    (_, None) => known = false,
                })?;
                if !known {
                    return Err(bad("an index points behind the dictionary"));
                }
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Takes what a general reader read.
    pub fn take(&mut self, present: Option<&[i16]>, values: impl Iterator<Item = u64>, rows: usize) {
        self.clear();
        match present {
            Some(levels) => levels.iter().for_each(|level| self.push_run(*level > 0, 1)),
            None => self.push_run(true, rows),
        }
        let mut sieve = self.sieve(0);
        self.values.extend(values.filter(|_| sieve.pass(1) > 0));
    }

    /// Which values are kept of a page that begins with a row and was read up to the last.
    fn sieve(&self, first_row: usize) -> Sieve {
        let mut kept: Vec<Range<usize>> = Vec::new();
        let (mut row, mut value) = (first_row, 0);
        for wanted in &self.wanted {
            let (from, to) = (wanted.start.max(row), wanted.end.min(self.rows));
            if from >= to {
                continue;
            }
            value += ones(&self.present, row..from);
            let begin = value;
            value += ones(&self.present, from..to);
            row = to;
            match kept.last_mut() {
                Some(last) if last.end == begin => last.end = value,
                _ if value > begin => kept.push(begin..value),
                _ => {}
            }
        }
        Sieve { kept, at: 0, next: 0 }
    }

    /// Adds rows that all have a value, or none.
    fn push_run(&mut self, there: bool, mut count: usize) {
        while count > 0 {
            let room = (64 - self.rows % 64).min(count);
            self.push_bits(if there { u64::MAX >> (64 - room) } else { 0 }, room);
            count -= room;
        }
    }

    /// Adds up to 64 rows.
    fn push_bits(&mut self, bits: u64, count: usize) {
        let (at, shift) = (self.rows / 64, self.rows % 64);
        self.rows += count;
        if self.present.len() < self.rows.div_ceil(64) {
            self.present.resize(self.rows.div_ceil(64), 0);
        }
        self.present[at] |= bits << shift;
        if shift + count > 64 {
            self.present[at + 1] |= bits >> (64 - shift);
        }
    }

    /// Reads which of `count` rows have a value, and returns how many; what was read lately is not read again.
    fn known_levels(&mut self, bytes: &[u8], count: usize) -> Result<usize, ParquetError> {
        if self.rows > 0 {
            return self.levels(bytes, count);
        }
        if let Some(known) = self.known.iter().find(|known| known.rows == count && known.bytes == bytes) {
            self.present.clone_from(&known.present);
            self.rows = count;
            return Ok(known.there);
        }
        let there = self.levels(bytes, count)?;
        let mut known = if self.known.len() < KNOWN { Known::default() } else { self.known.remove(0) };
        known.bytes.clear();
        known.bytes.extend_from_slice(bytes);
        known.present.clone_from(&self.present);
        (known.rows, known.there) = (count, there);
        self.known.push(known);
        Ok(there)
    }

    /// Reads which of `count` rows have a value, and returns how many.
    fn levels(&mut self, mut bytes: &[u8], count: usize) -> Result<usize, ParquetError> {
        let (mut left, mut there) = (count, 0);
        while left > 0 {
            match run(&mut bytes, 1)? {
                Run::Repeated { value, count } => {
                    let count = count.min(left);
                    self.push_run(value == 1, count);
                    there += if value == 1 { count } else { 0 };
                    left -= count;
                }
                Run::Packed { bytes } => {
                    for part in bytes.chunks(8) {
                        let count = (part.len() * 8).min(left);
                        if count == 0 {
                            break;
                        }
                        let mut word = [0; 8];
                        word[..part.len()].copy_from_slice(part);
                        let bits = u64::from_le_bytes(word);
                        let bits = if count < 64 { bits & ((1 << count) - 1) } else { bits };
                        self.push_bits(bits, count);
                        there += bits.count_ones() as usize;
                        left -= count;
                    }
                }
            }
        }
        Ok(there)
    }

    /// Reads the kept ones of `there` values that are packed as differences: each rests on those before it, and on none behind.
    fn deltas(
        &mut self,
        bytes: &[u8],
        there: usize,
        value: fn(u64) -> u64,
        mut sieve: Sieve,
    ) -> Result<(), ParquetError> {
        if there == 0 {
            return Ok(());
        }
        let mut rest = bytes;
        let mut next = || varint(&mut rest);
        let (block, minis, total, first) = (next()? as usize, next()? as usize, next()? as usize, unzigzag(next()?));
        if minis == 0 || minis > 512 || block == 0 || !block.is_multiple_of(minis * 32) || block > 1 << 20 {
            return Err(bad("a block of differences has an impossible size"));
        }
        if total != there {
            return Err(bad("a page holds another number of values than its rows say"));
        }
        let mini = block / minis;
        let total = sieve.end();
        if total == 0 {
            return Ok(());
        }
        self.values.reserve(sieve.kept.iter().map(Range::len).sum::<usize>() + mini);
        self.values.push(value(first));
        sieve.sift(&mut self.values, 1);
        let (mut last, mut left) = (first, total - 1);
        while left > 0 {
            let least = unzigzag(varint(&mut rest)?);
            let (widths, tail) = rest.split_at_checked(minis).ok_or_else(short)?;
            rest = tail;
            for &width in widths {
                let (width, count) = (usize::from(width), mini.min(left));
                if count == 0 {
                    break;
                }
                left -= count;
                if width == 0 {
                    let step = |_| {
                        last = last.wrapping_add(least);
                        value(last)
                    };
                    self.values.extend((0..count).map(step));
                    sieve.sift(&mut self.values, count);
                    continue;
                }
                if width > 64 {
                    return Err(bad("a difference has more than 64 bits"));
                }
                let whole = mini * width / 8;
                // The last one may be cut behind its values.
                let (here, tail) = rest.split_at(whole.min(rest.len()));
                if here.len() * 8 < count * width {
                    return Err(short());
                }
                let source = if rest.len() >= here.len() + 16 {
                    &rest[..here.len() + 16]
                } else {
                    self.slack.clear();
                    self.slack.extend_from_slice(here);
                    self.slack.resize(here.len() + 16, 0);
                    &self.slack
                };
                let mask = u64::MAX >> (64 - width);
                let mut at = 0;
                let step = |_| {
                    let (byte, shift) = (at / 8, at % 8);
                    at += width;
                    let mut bits = word_of(&source[byte..byte + 8]) >> shift;
                    if shift + width > 64 {
                        bits |= u64::from(source[byte + 8]) << (64 - shift);
                    }
                    last = last.wrapping_add(least).wrapping_add(bits & mask);
                    value(last)
                };
                self.values.extend((0..count).map(step));
                sieve.sift(&mut self.values, count);
                rest = tail;
            }
        }
        Ok(())
    }
}

/// Lets the values through that are kept.
struct Sieve {
    /// Their numbers, in order.
    kept: Vec<Range<usize>>,
    /// Values that were seen.
    at: usize,
    /// The first range that does not end before.
    next: usize,
}

impl Sieve {
    /// One more than the number of the last.
    fn end(&self) -> usize {
        self.kept.last().map_or(0, |kept| kept.end)
    }

    /// How many of the next `count` values are kept.
    fn pass(&mut self, count: usize) -> usize {
        let seen = self.at..self.at + count;
        self.at = seen.end;
        let mut passed = 0;
        while let Some(kept) = self.kept.get(self.next).filter(|kept| kept.start < seen.end) {
            passed += kept.end.min(seen.end).saturating_sub(kept.start.max(seen.start));
            if kept.end > seen.end {
                break;
            }
            self.next += 1;
        }
        passed
    }

    /// Takes what is not kept out of the last `count` values.
    fn sift(&mut self, values: &mut Vec<u64>, count: usize) {
        let (first, from, next) = (self.at, values.len() - count, self.next);
        let passed = self.pass(count);
        if passed == count {
            return;
        }
        let mut to = from;
        for kept in &self.kept[next..] {
            let (begin, end) = (kept.start.max(first), kept.end.min(first + count));
            if begin >= end {
                break;
            }
            values.copy_within(from + begin - first..from + end - first, to);
            to += end - begin;
        }
        values.truncate(to);
    }
}

/// Number of ones among some bits.
pub fn ones(bits: &[u64], range: Range<usize>) -> usize {
    if range.is_empty() {
        return 0;
    }
    let words = bits.iter().enumerate().take(range.end.div_ceil(64)).skip(range.start / 64);
    words.map(|(at, word)| cut(*word, at, &range).count_ones() as usize).sum()
}

/// The bits of the word at `at` that are in a range.
pub fn cut(word: u64, at: usize, range: &Range<usize>) -> u64 {
    let from = range.start.saturating_sub(at * 64);
    let to = (range.end - at * 64).min(64);
    let high = if to < 64 { word & ((1 << to) - 1) } else { word };
    if from < 64 { high & (u64::MAX << from) } else { 0 }
}

/// Reads the first entry of a dictionary, and says what follows it.
pub type Entry<T> = fn(&[u8]) -> Option<(T, &[u8])>;

/// The first text of a dictionary, and what follows it.
pub fn text(bytes: &[u8]) -> Option<(String, &[u8])> {
    let (length, tail) = bytes.split_first_chunk::<4>()?;
    let (text, tail) = tail.split_at_checked(u32::from_le_bytes(*length) as usize)?;
    Some((String::from_utf8_lossy(text).into_owned(), tail))
}

/// The first number of a dictionary, and what follows it.
pub fn number(bytes: &[u8]) -> Option<(i64, &[u8])> {
    let (word, tail) = bytes.split_first_chunk::<8>()?;
    Some((i64::from_le_bytes(*word), tail))
}

/// Values of a column that is coded by a dictionary, with the rows each goes on for; `None` when it is coded otherwise.
pub fn labels<T: Clone>(
    pages: &mut dyn PageReader,
    rows: usize,
    entry: Entry<T>,
) -> Result<Option<Vec<(T, usize)>>, ParquetError> {
    let (mut dictionary, mut runs, mut seen) = (Vec::new(), Vec::new(), 0);
    while let Some(page) = pages.get_next_page()? {
        match page {
            Page::DictionaryPage { buf, num_values, .. } => {
                let mut rest: &[u8] = &buf;
                for _ in 0..num_values {
                    let (value, tail) = entry(rest).ok_or_else(short)?;
                    dictionary.push(value);
                    rest = tail;
                }
            }
            Page::DataPage { buf, num_values, encoding: Encoding::RLE_DICTIONARY, .. } => {
                let mut last = None;
                seen += num_values as usize;
                indices(&buf, num_values as usize, |index, count| match runs.last_mut() {
                    Some((_, length)) if last == Some(index) => *length += count,
                    _ => {
                        last = Some(index);
                        runs.push((index, count));
                    }
                })?;
            }
            _ => return Ok(None),
        }
    }
    if seen != rows {
        return Err(bad("a column has another length than its row group"));
    }
    let value = |(index, count): (u32, usize)| Some((dictionary.get(index as usize)?.clone(), count));
    let values: Option<Vec<_>> = runs.into_iter().map(value).collect();
    values.map(Some).ok_or_else(|| bad("an index points behind the dictionary"))
}

fn word_of(bytes: &[u8]) -> u64 {
    bytes.try_into().map_or(0, u64::from_le_bytes)
}

fn unzigzag(value: u64) -> u64 {
    (value >> 1) ^ (value & 1).wrapping_neg()
}

fn varint(bytes: &mut &[u8]) -> Result<u64, ParquetError> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, tail) = bytes.split_first().ok_or_else(short)?;
        *bytes = tail;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Ok(value);
        }
    }
    Err(bad("a number of more than 64 bits"))
}

/// A run of the hybrid of repeated and packed values.
enum Run<'a> {
    Repeated { value: u32, count: usize },
    Packed { bytes: &'a [u8] },
}

fn run<'a>(bytes: &mut &'a [u8], width: usize) -> Result<Run<'a>, ParquetError> {
    let head = varint(bytes)?;
    let count = usize::try_from(head >> 1).map_err(|_| short())?;
    if head & 1 == 0 {
        let (value, tail) = bytes.split_at_checked(width.div_ceil(8)).ok_or_else(short)?;
        *bytes = tail;
        let mut word = [0; 4];
        word.iter_mut().zip(value).for_each(|(to, from)| *to = *from);
        if count == 0 {
            return Err(bad("a run of no values"));
        }
        return Ok(Run::Repeated { value: u32::from_le_bytes(word), count });
    }
    // The last run may be cut behind its values.
    let length = count.checked_mul(width).ok_or_else(short)?.min(bytes.len());
    if length == 0 {
        return Err(short());
    }
    let (packed, tail) = bytes.split_at(length);
    *bytes = tail;
    Ok(Run::Packed { bytes: packed })
}

/// Gives each of `count` indices of a dictionary, with how often it comes.
fn indices(bytes: &[u8], count: usize, mut each: impl FnMut(u32, usize)) -> Result<(), ParquetError> {
    let mut left = count;
    if left == 0 {
        return Ok(());
    }
    let (&width, mut rest) = bytes.split_first().ok_or_else(short)?;
    let width = usize::from(width);
    if width > 32 {
        return Err(bad("an index of more than 32 bits"));
    }
    if width == 0 {
        each(0, left);
        return Ok(());
    }
    while left > 0 {
        match run(&mut rest, width)? {
            Run::Repeated { value, count } => {
                let count = count.min(left);
                each(value, count);
                left -= count;
            }
            Run::Packed { bytes } => {
                let fits = (bytes.len() * 8 / width).min(left);
                if fits == 0 {
                    return Err(short());
                }
                for n in 0..fits {
                    let (at, mut word) = (n * width, [0; 8]);
                    let part = &bytes[at / 8..(at / 8 + 5).min(bytes.len())];
                    word[..part.len()].copy_from_slice(part);
                    let bits = u64::from_le_bytes(word) >> (at % 8);
                    each((bits & ((1 << width) - 1)) as u32, 1);
                }
                left -= fits;
            }
        }
    }
    Ok(())
}
