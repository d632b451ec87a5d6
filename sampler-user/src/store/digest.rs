//! Checksums of a Parquet file. The library writes none, and a page has none for its own head, so the file's metadata has a
//! CRC-32 of each column chunk as it lies in the file, and one of the metadata themselves.
//!
//! The last one is written over eight zeros, which stand there while it is computed. Other readers see two texts more, and
//! files without them, of older versions and other writers, are read unchecked.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;

use memchr::memmem;
use parquet::file::metadata::{ColumnChunkMetaData, KeyValue, RowGroupMetaData};

/// Key of the checksums of the column chunks: eight hexadecimal digits each, row group by row group.
pub const CHUNKS: &str = "sampler.crc32_of_chunks";
/// Key of the checksum of the metadata.
const FOOTER: &str = "sampler.crc32_of_footer";
/// Digits of a checksum.
const DIGITS: usize = 8;
/// What stands between that key and its value: the value is the second field of the pair, a text, of eight bytes.
const BETWEEN: [u8; 2] = [0x18, DIGITS as u8];
/// Length of the metadata, and the magic.
const TAIL: u64 = 8;
/// Metadata are no larger: a day of ten thousand cgroups has a hundredth of it, bytes.
const LARGEST: u64 = 64 << 20;

/// The bytes of a chunk; `None` where its metadata contradict themselves.
pub fn bytes_of(chunk: &ColumnChunkMetaData) -> Option<Range<u64>> {
    let begin = chunk.dictionary_page_offset().filter(|at| *at > 0).unwrap_or_else(|| chunk.data_page_offset());
    let begin = u64::try_from(begin).ok()?;
    Some(begin..begin.checked_add(u64::try_from(chunk.compressed_size()).ok()?)?)
}

/// The checksums of the chunks of a file that is being written, and the place for that of its metadata.
pub fn pairs(file: &File, groups: &[RowGroupMetaData]) -> io::Result<[KeyValue; 2]> {
    let mut digits = String::new();
    let mut bytes = Vec::new();
    for chunk in groups.iter().flat_map(RowGroupMetaData::columns) {
        let range = bytes_of(chunk).ok_or_else(|| io::Error::other("a column chunk lies nowhere"))?;
        bytes.resize((range.end - range.start) as usize, 0);
        file.read_exact_at(&mut bytes, range.start)?;
        digits.push_str(&format!("{:08x}", crc32fast::hash(&bytes)));
    }
    Ok([KeyValue::new(CHUNKS.into(), digits), KeyValue::new(FOOTER.into(), "0".repeat(DIGITS))])
}

/// Writes the checksum of the metadata into a file that is written.
pub fn finish(file: &File) -> io::Result<()> {
    let length = file.metadata()?.len();
    let footer = footer(file, length)?.unwrap_or_default();
    let place = place(&footer).ok_or_else(|| io::Error::other("the metadata have no place for their checksum"))?;
    let digits = format!("{:08x}", crc32fast::hash(&footer));
    file.write_all_at(digits.as_bytes(), length - TAIL - (footer.len() - place.start) as u64)
}

/// Whether the metadata are as they were written; they are where they have no checksum. `None` where they are not even there.
pub fn is_footer_whole(file: &File, length: u64) -> io::Result<Option<bool>> {
    let Some(mut footer) = footer(file, length)? else { return Ok(None) };
    let Some(place) = place(&footer) else { return Ok(Some(true)) };
    let written = footer[place.clone()].to_vec();
    footer[place].fill(b'0');
    Ok(Some(parse(&written) == Some(crc32fast::hash(&footer))))
}

/// The checksums in a text of them.
pub fn checksums(digits: &str) -> Option<Vec<u32>> {
    digits.as_bytes().chunks(DIGITS).map(parse).collect()
}

fn parse(digits: &[u8]) -> Option<u32> {
    (digits.len() == DIGITS).then_some(())?;
    u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

fn footer(file: &File, length: u64) -> io::Result<Option<Vec<u8>>> {
    let Some(end) = length.checked_sub(TAIL) else { return Ok(None) };
    let mut size = [0; 4];
    file.read_exact_at(&mut size, end)?;
    let size = u64::from(u32::from_le_bytes(size));
    if size > end || size > LARGEST {
        return Ok(None);
    }
    let mut footer = vec![0; size as usize];
    file.read_exact_at(&mut footer, end - size)?;
    Ok(Some(footer))
}

/// Where the checksum is in the metadata; it is their last text but for the name of the writer.
fn place(footer: &[u8]) -> Option<Range<usize>> {
    let needle = [FOOTER.as_bytes(), &BETWEEN].concat();
    let begin = memmem::rfind(footer, &needle)? + needle.len();
    (begin + DIGITS <= footer.len()).then_some(begin..begin + DIGITS)
}
