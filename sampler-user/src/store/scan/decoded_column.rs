//! Pages of numbers as the sealer writes them, read without a detour: a bit a row for what is there, and the values packed.
//!
//! The library's readers give 16 bits a row for what is there and a value at a time; a day of a hundred cgroups has 10¹⁰ of
//! them. What is encoded in another way (by another writer) is left to the library.

use std::ops::Range;

use parquet::basic::{Encoding, Type as Physical};
use parquet::column::page::{Page, PageReader};
use parquet::errors::ParquetError;

use crate::store::scan::dictionary::indices;
use crate::store::scan::encoding::{Run, bad, run, short, unzigzag, varint, word_of};
use crate::store::scan::row_filter::{RowFilter, ones};

/// A column of one row group.
#[derive(Debug, Default)]
pub struct DecodedColumn {
    /// Which rows have a value, lowest bit first; bits behind the last row are 0.
    pub present: Vec<u64>,
    /// The values that are there, of the rows that are wanted.
    pub values: Vec<u64>,
    rows: usize,
    wanted: Vec<Range<usize>>,
    dictionary: Vec<u64>,
    slack: Vec<u8>,
    known: Vec<LevelCache>,
}

/// Which rows of a whole column have a value, as it was written and as it was read: columns of one kernel file have the same.
#[derive(Debug, Default)]
struct LevelCache {
    bytes: Vec<u8>,
    present: Vec<u64>,
    rows: usize,
    there: usize,
}

/// So many are remembered: fast files, memory.stat, limits, and what else comes at a pace of its own.
const LEVEL_CACHES: usize = 4;

/// How a value is stored, and what it becomes.
#[derive(Clone, Copy, Debug)]
pub struct ColumnEncoding {
    /// Type in the file.
    pub physical: Physical,
    /// Whether a row may have none.
    pub nullable: bool,
    /// From the bits in the file to the value.
    pub value: fn(u64) -> u64,
}

impl DecodedColumn {
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
    pub fn read(
        &mut self,
        pages: &mut dyn PageReader,
        stored: ColumnEncoding,
        rows: usize,
    ) -> Result<bool, ParquetError> {
        self.clear();
        while let Some(page) = pages.get_next_page()? {
            match page {
                Page::DictionaryPage { buf, num_values, .. } => {
                    let words = buf.chunks_exact(8).take(num_values as usize);
                    self.dictionary.extend(words.map(|word| (stored.value)(word_of(word))));
                }
                Page::DataPage { buf, num_values, encoding, def_level_encoding, .. } => {
                    let how = (encoding, def_level_encoding == Encoding::RLE);
                    if !self.page(&buf, num_values as usize, how, stored, rows)? {
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
        stored: ColumnEncoding,
        rows: usize,
    ) -> Result<bool, ParquetError> {
        if count > rows - self.rows {
            return Err(bad("a column is longer than its row group"));
        }
        let mut rest = bytes;
        let first_row = self.rows;
        let there = if stored.nullable {
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
        let mut filter = self.filter(first_row);
        match (how.0, stored.physical) {
            (Encoding::DELTA_BINARY_PACKED, Physical::INT64) => self.deltas(rest, there, stored.value, filter)?,
            (Encoding::PLAIN, Physical::INT64 | Physical::DOUBLE) => {
                let bytes = rest.get(..there * 8).ok_or_else(short)?;
                for kept in &filter.kept {
                    let words = bytes[kept.start * 8..kept.end * 8].chunks_exact(8);
                    self.values.extend(words.map(|word| (stored.value)(word_of(word))));
                }
            }
            (Encoding::RLE_DICTIONARY | Encoding::PLAIN_DICTIONARY, _) => {
                let (dictionary, values) = (&self.dictionary, &mut self.values);
                let mut known = true;
                indices(rest, filter.end(), |index, count| {
                    match (filter.pass(count), dictionary.get(index as usize)) {
                        (0, _) => {}
                        (kept, Some(value)) => values.extend(std::iter::repeat_n(*value, kept)),
                        (_, None) => known = false,
                    }
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
        let mut filter = self.filter(0);
        self.values.extend(values.filter(|_| filter.pass(1) > 0));
    }

    /// Which values are kept of a page that begins with a row and was read up to the last.
    fn filter(&self, first_row: usize) -> RowFilter {
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
        RowFilter { kept, at: 0, next: 0 }
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
        let mut known = if self.known.len() < LEVEL_CACHES { LevelCache::default() } else { self.known.remove(0) };
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
        mut filter: RowFilter,
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
        let total = filter.end();
        if total == 0 {
            return Ok(());
        }
        self.values.reserve(filter.kept.iter().map(Range::len).sum::<usize>() + mini);
        self.values.push(value(first));
        filter.sift(&mut self.values, 1);
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
                    filter.sift(&mut self.values, count);
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
                filter.sift(&mut self.values, count);
                rest = tail;
            }
        }
        Ok(())
    }
}
