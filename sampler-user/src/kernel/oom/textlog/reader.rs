//! A stream of bytes as lines. Of a long log only the lines that may matter are looked at.

use std::io::{self, Read};

use aho_corasick::packed::Searcher;
use flate2::read::MultiGzDecoder;
use memchr::{memchr, memchr_iter, memrchr};

use crate::kernel::oom::textlog::collect::Collector;
use crate::kernel::oom::textlog::log::TextLog;

/// Bytes that are read at once.
const CHUNK: usize = 256 << 10;
/// A line is cut at so many bytes: a whole log may stand in one value of JSON.
const MOST_LINE: usize = 256 << 10;
/// Lines at the beginning that are looked at for a time.
const FIRST_LINES: u32 = 64;

/// One of these is in each line that matters while no report is open.
const NEEDLES: [&str; 29] = [
    "oom",
    "OOM",
    "ill process",
    "illed process",
    "emory cgroup",
    "emory limit reached",
    "ut of memory",
    "memory: usage",
    "killed as a result",
    "total_vm",
    "Tasks state",
    "Linux version",
    "-- Boot ",
    "-- Reboot",
    "lowmemorykiller",
    "lmkd",
    "to the victim",
    "badness",
    "low on resource: memory",
    "for killing due to",
    "eviction manager",
    "deadlocked on memory",
    "MESSAGE",
    "__REALTIME",
    "__MONOTONIC",
    "_TRANSPORT",
    "_BOOT_ID",
    "[s=",
    "_HOSTNAME",
];

/// Reads a log to its end. `progress` gets the bytes that were read.
pub fn read(input: impl Read, progress: &mut dyn FnMut(u64)) -> io::Result<TextLog> {
    let needles = Searcher::new(NEEDLES);
    let mut input = Decoder::new(unpacked(input)?);
    let mut collector = Collector::default();
    let mut buffer: Vec<u8> = Vec::with_capacity(2 * CHUNK);
    // The rest of a line that was too long.
    let mut skips = false;
    let mut first = FIRST_LINES;
    loop {
        let count = match input.fill(&mut buffer) {
            Ok(count) => count,
            // Of a compressed log that was cut, what could be read counts.
            Err(error) if is_cut(&error) && input.bytes > 0 => {
                collector.coverage().cut = true;
                0
            }
            Err(error) => return Err(error),
        };
        progress(input.bytes);
        let end = match memrchr(b'\n', &buffer) {
            _ if count == 0 => buffer.len(),
            Some(at) => at + 1,
            None => 0,
        };
        let block = &buffer[..end];
        let begin = if skips { memchr(b'\n', block).map_or(block.len(), |at| at + 1) } else { 0 };
        skips &= begin == block.len() && count > 0;
        take_block(&block[begin..], needles.as_ref(), &mut collector, &mut first);
        if count == 0 {
            collector.coverage().open_end = end > 0 && block.last() != Some(&b'\n');
            break;
        }
        buffer.drain(..end);
        if buffer.len() > MOST_LINE {
            if !skips {
                take_line(&buffer[..MOST_LINE], &mut collector, 1);
            }
            skips = true;
            buffer.clear();
        }
    }
    collector.coverage().bytes = input.bytes;
    Ok(collector.finish())
}

/// The input, unpacked where it is gzip: logs are rotated into that.
fn unpacked(mut input: impl Read) -> io::Result<impl Read> {
    let mut head = Vec::with_capacity(2);
    input.by_ref().take(2).read_to_end(&mut head)?;
    let is_gzip = head == [0x1f, 0x8b];
    let input = io::Cursor::new(head).chain(input);
    Ok(if is_gzip { Either::Gzip(Box::new(MultiGzDecoder::new(input))) } else { Either::Plain(input) })
}

enum Either<R: Read> {
    Plain(R),
    Gzip(Box<MultiGzDecoder<R>>),
}

impl<R: Read> Read for Either<R> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        match self {
            Either::Plain(input) => input.read(to),
            Either::Gzip(input) => input.read(to),
        }
    }
}

fn is_cut(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput)
}

fn take_block(block: &[u8], needles: Option<&Searcher>, collector: &mut Collector, first: &mut u32) {
    let lines = memchr_iter(b'\n', block).count() as u64 + u64::from(block.last().is_some_and(|last| *last != b'\n'));
    let before = collector.lines();
    let (mut at, mut passed) = (0, 0);
    while at < block.len() {
        let from = match needles {
            Some(needles) if *first == 0 && !collector.is_busy() => {
                let Some(found) = needles.find(&block[at..]) else { break };
                memrchr(b'\n', &block[at..at + found.start()]).map_or(at, |newline| at + newline + 1)
            }
            // Each line is looked at, where it matters or the processor cannot search for many texts at once.
            _ => at,
        };
        *first = first.saturating_sub(1);
        let end = memchr(b'\n', &block[from..]).map_or(block.len(), |newline| from + newline);
        let number = memchr_iter(b'\n', &block[passed..from]).count() as u64 + 1;
        take_line(&block[from..end], collector, number);
        at = (end + 1).min(block.len());
        passed = at;
    }
    // What was not looked at has a time as well.
    let last = block.strip_suffix(b"\n").unwrap_or(block);
    let begin = memrchr(b'\n', last).map_or(0, |at| at + 1);
    collector.note_time(&last[begin..][..(last.len() - begin).min(400)]);
    collector.set_lines(before + lines);
}

/// Takes a line that comes so many lines after the one before.
fn take_line(line: &[u8], collector: &mut Collector, after: u64) {
    collector.set_lines(collector.lines() + after);
    collector.line(&line[..line.len().min(MOST_LINE)]);
}

/// A pair of bytes as a unit of UTF-16.
type Order = fn([u8; 2]) -> u16;

/// Bytes of a file as UTF-8: PowerShell writes UTF-16 where other shells do not.
struct Decoder<R> {
    input: R,
    bytes: u64,
    /// Of UTF-16 the order of its bytes.
    wide: Option<Order>,
    raw: Vec<u8>,
}

impl<R: Read> Decoder<R> {
    fn new(input: R) -> Decoder<R> {
        Decoder { input, bytes: 0, wide: None, raw: vec![0; CHUNK] }
    }

    /// Adds what comes next; 0 at the end.
    fn fill(&mut self, to: &mut Vec<u8>) -> io::Result<usize> {
        let mut count = self.read()?;
        let mut bytes = &self.raw[..count];
        if self.bytes == 0 {
            let marks: [(&[u8], Order); 2] = [(b"\xff\xfe", u16::from_le_bytes), (b"\xfe\xff", u16::from_be_bytes)];
            for (mark, order) in marks {
                if let Some(rest) = bytes.strip_prefix(mark) {
                    (self.wide, bytes) = (Some(order), rest);
                }
            }
            bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        }
        self.bytes += count as u64;
        match self.wide {
            None => to.extend_from_slice(bytes),
            Some(order) => {
                let units = bytes.chunks_exact(2).map(|pair| order([pair[0], pair[1]]));
                let text: String =
                    char::decode_utf16(units).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)).collect();
                to.extend_from_slice(text.as_bytes());
                count = count.max(usize::from(count > 0));
            }
        }
        Ok(count)
    }

    /// Reads a whole piece, or the rest: pairs of bytes are not torn.
    fn read(&mut self) -> io::Result<usize> {
        let mut count = 0;
        while count < self.raw.len() {
            match self.input.read(&mut self.raw[count..]) {
                Ok(0) => break,
                Ok(more) => count += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // What came before it is read, and the error comes again.
                Err(_) if count > 0 => break,
                Err(error) => return Err(error),
            }
        }
        Ok(count)
    }
}
