//! Columns that are coded by a dictionary.

use parquet::basic::Encoding;
use parquet::column::page::{Page, PageReader};
use parquet::errors::ParquetError;

use crate::store::scan::encoding::{Run, bad, run, short};

/// Reads the first entry of a dictionary, and returns what follows it.
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

/// Gives each of `count` indices of a dictionary, with how often it comes.
pub(super) fn indices(bytes: &[u8], count: usize, mut each: impl FnMut(u32, usize)) -> Result<(), ParquetError> {
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
