//! A Parquet file whose bytes are compared with their checksums before the library sees them, and whose pages may only be of a
//! size that fits into memory, whatever they say of themselves.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use bytes::Bytes;
use bytes::buf::{Buf, Reader};
use parquet::errors::ParquetError;
use parquet::file::metadata::ParquetMetaData;
use parquet::file::reader::{ChunkReader, FileReader, Length};
use parquet::file::serialized_reader::SerializedFileReader;

use crate::store::digest;

/// No page is larger once it is unpacked, bytes; those of a recording have a few MiB at most.
pub const MOST_PAGE: u64 = 64 << 20;
/// What is read of a chunk without a checksum to find the head of a page, bytes.
const HEAD: u64 = 64 << 10;
/// A chunk with a checksum is read at once, and no larger, bytes.
const MOST_CHUNK: u64 = 256 << 20;

/// A file.
#[derive(Debug)]
pub struct VerifiedFile {
    file: File,
    length: u64,
    chunks: Arc<OnceLock<Vec<Chunk>>>,
    /// The chunk that was read last.
    held: Mutex<Option<(u64, Bytes)>>,
}

/// A column of a row group.
#[derive(Debug)]
struct Chunk {
    start: u64,
    end: u64,
    checksum: Option<u32>,
}

/// Gives a file its checksums, once its metadata are read.
#[derive(Debug)]
pub struct Checksums(Arc<OnceLock<Vec<Chunk>>>);

/// Opens a file of anybody's: without checksums, but no page of it is larger than what fits into memory.
pub fn open_bounded(file: File) -> Result<SerializedFileReader<VerifiedFile>, ParquetError> {
    let length = file.metadata()?.len();
    let (file, checksums) = VerifiedFile::new(file, length);
    let reader = SerializedFileReader::new(file)?;
    checksums.take(reader.metadata(), None)?;
    Ok(reader)
}

impl VerifiedFile {
    /// Of a file whose metadata are not read yet.
    pub fn new(file: File, length: u64) -> (VerifiedFile, Checksums) {
        let chunks = Arc::default();
        let checksums = Checksums(Arc::clone(&chunks));
        (VerifiedFile { file, length, chunks, held: Mutex::default() }, checksums)
    }

    fn chunk(&self, at: u64) -> Option<&Chunk> {
        let chunks = self.chunks.get()?;
        let behind = chunks.partition_point(|chunk| chunk.start <= at);
        chunks[..behind].last().filter(|chunk| at < chunk.end)
    }

    fn read(&self, start: u64, length: u64) -> Result<Bytes, ParquetError> {
        if start.checked_add(length).is_none_or(|end| end > self.length) {
            return Err(ParquetError::EOF("it points behind its end".into()));
        }
        let mut bytes = vec![0; length as usize];
        self.file.read_exact_at(&mut bytes, start)?;
        Ok(bytes.into())
    }

    /// The whole chunk, which is as it was written.
    fn verified(&self, chunk: &Chunk, checksum: u32) -> Result<Bytes, ParquetError> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, bytes)) = held.as_ref().filter(|(start, _)| *start == chunk.start) {
            return Ok(bytes.clone());
        }
        if chunk.end - chunk.start > MOST_CHUNK {
            return Err(too_large(chunk.end - chunk.start, MOST_CHUNK));
        }
        let bytes = self.read(chunk.start, chunk.end - chunk.start)?;
        if crc32fast::hash(&bytes) != checksum {
            return Err(ParquetError::General("its checksum does not match".into()));
        }
        *held = Some((chunk.start, bytes.clone()));
        Ok(bytes)
    }

    /// From a place in a chunk to its end, or as much as the head of a page may take.
    fn rest(&self, start: u64) -> Result<Bytes, ParquetError> {
        let Some(chunk) = self.chunk(start) else {
            return self.read(start, HEAD.min(self.length - start.min(self.length)));
        };
        match chunk.checksum {
            Some(checksum) => Ok(self.verified(chunk, checksum)?.slice((start - chunk.start) as usize..)),
            None => self.read(start, (chunk.end - start).min(HEAD)),
        }
    }
}

impl Checksums {
    /// Takes them from the metadata. An error where they are of other chunks than the metadata have.
    pub fn take(self, metadata: &ParquetMetaData, digits: Option<&str>) -> Result<(), ParquetError> {
        let bad = |what: &str| ParquetError::General(what.into());
        let columns = || metadata.row_groups().iter().flat_map(|group| group.columns());
        let checksums = match digits {
            Some(digits) => {
                let known = digest::checksums(digits).ok_or_else(|| bad("its checksums are damaged"))?;
                if known.len() != columns().count() {
                    return Err(bad("it has other chunks than checksums"));
                }
                known.into_iter().map(Some).collect()
            }
            None => vec![None; columns().count()],
        };
        let mut chunks = Vec::with_capacity(checksums.len());
        for (column, checksum) in columns().zip(checksums) {
            let range = digest::bytes_of(column).ok_or_else(|| bad("a column lies nowhere"))?;
            chunks.push(Chunk { start: range.start, end: range.end, checksum });
        }
        chunks.sort_by_key(|chunk| chunk.start);
        let _ = self.0.set(chunks);
        Ok(())
    }
}

impl Length for VerifiedFile {
    fn len(&self) -> u64 {
        self.length
    }
}

impl ChunkReader for VerifiedFile {
    type T = Reader<Bytes>;

    fn get_read(&self, start: u64) -> Result<Self::T, ParquetError> {
        let bytes = self.rest(start)?;
        if self.chunk(start).is_some() {
            // The library reads the head of a page from here, and gets memory as it says.
            match page_size(&bytes) {
                Some(size) if size <= MOST_PAGE => {}
                Some(size) => return Err(too_large(size, MOST_PAGE)),
                None => return Err(ParquetError::General("a page does not say how large it is".into())),
            }
        }
        Ok(bytes.reader())
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        match self.chunk(start) {
            Some(Chunk { start: first, end, checksum: Some(checksum) }) => {
                let chunk = Chunk { start: *first, end: *end, checksum: Some(*checksum) };
                let bytes = self.verified(&chunk, *checksum)?;
                let from = (start - first) as usize;
                let to = from.checked_add(length).filter(|to| *to <= bytes.len());
                to.map(|to| bytes.slice(from..to))
                    .ok_or_else(|| ParquetError::EOF("a page ends behind its column".into()))
            }
            Some(_) if length as u64 > MOST_PAGE => Err(too_large(length as u64, MOST_PAGE)),
            _ => self.read(start, length as u64),
        }
    }
}

fn too_large(size: u64, most: u64) -> ParquetError {
    use crate::model::units::bytes;
    ParquetError::General(format!("it holds {} in one piece, and no more than {} is read", bytes(size), bytes(most)))
}

/// The larger of the sizes that the head of a page begins with: its kind, its size, and its size as it is packed, each a number
/// of variable length behind one byte.
fn page_size(head: &[u8]) -> Option<u64> {
    const FIELD: u8 = 0x15;
    let mut rest = head;
    let mut next = || {
        rest = rest.strip_prefix(&[FIELD])?;
        let mut value = 0u64;
        for shift in (0..35).step_by(7) {
            let (&byte, tail) = rest.split_first()?;
            rest = tail;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                // Zigzag; a negative size is refused by the library.
                return Some(value >> 1);
            }
        }
        None
    };
    next()?;
    Some(next()?.max(next()?))
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::Arc;

    use parquet::basic::{Compression, ZstdLevel};
    use parquet::data_type::ByteArrayType;
    use parquet::file::properties::WriterProperties;
    use parquet::file::writer::SerializedFileWriter;
    use parquet::schema::parser::parse_message_type;

    use super::*;

    #[test]
    fn a_huge_cell_in_a_small_file_is_refused() {
        let schema = Arc::new(parse_message_type("message m { required binary cgroup (UTF8); }").unwrap());
        let codec = Compression::ZSTD(ZstdLevel::default());
        let properties = WriterProperties::builder().set_compression(codec).set_dictionary_enabled(false).build();
        let mut file = tempfile::tempfile().unwrap();
        let mut writer = SerializedFileWriter::new(file.try_clone().unwrap(), schema, properties.into()).unwrap();
        let mut group = writer.next_row_group().unwrap();
        let mut column = group.next_column().unwrap().unwrap();
        let cell = vec![b'a'; MOST_PAGE as usize + 1];
        column.typed::<ByteArrayType>().write_batch(&[cell.into()], None, None).unwrap();
        column.close().unwrap();
        group.close().unwrap();
        writer.close().unwrap();
        file.flush().unwrap();
        assert!(file.metadata().unwrap().len() < 100_000);
        let reader = open_bounded(file).unwrap();
        let error = reader.get_row_group(0).unwrap().get_column_page_reader(0).unwrap().get_next_page();
        let error = error.err().map(|error| error.to_string()).unwrap_or_default();
        assert!(error.contains("no more than 64 MiB is read"), "{error}");
    }

    #[test]
    fn a_page_says_its_size_first() {
        assert_eq!(page_size(&[0x15, 0x00, 0x15, 0x80, 0x01, 0x15, 0x02, 0x2c]), Some(64));
        assert_eq!(page_size(&[0x15, 0x00, 0x15, 0x02, 0x15, 0x80, 0x01]), Some(64), "the larger of the two");
        assert_eq!(page_size(&[0x15, 0x00, 0x25, 0x02]), None);
        assert_eq!(page_size(&[0x15, 0x00, 0x15, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]), None);
    }
}
