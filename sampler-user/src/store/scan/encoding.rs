//! The small encodings of Parquet: variable-length numbers, and the hybrid of repeated and packed values.

use parquet::errors::ParquetError;

pub(super) fn bad(what: &str) -> ParquetError {
    ParquetError::General(what.into())
}

pub(super) fn short() -> ParquetError {
    bad("a page is shorter than its content")
}

pub(super) fn word_of(bytes: &[u8]) -> u64 {
    bytes.try_into().map_or(0, u64::from_le_bytes)
}

pub(super) fn unzigzag(value: u64) -> u64 {
    (value >> 1) ^ (value & 1).wrapping_neg()
}

pub(super) fn varint(bytes: &mut &[u8]) -> Result<u64, ParquetError> {
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
pub(super) enum Run<'a> {
    /// One value, so many times.
    Repeated { value: u32, count: usize },
    /// Values packed bit by bit.
    Packed { bytes: &'a [u8] },
}

/// Takes the next run.
pub(super) fn run<'a>(bytes: &mut &'a [u8], width: usize) -> Result<Run<'a>, ParquetError> {
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
