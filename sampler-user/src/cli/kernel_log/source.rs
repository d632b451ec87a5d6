//! Where a log comes from: a file, standard input, or the kernel itself. Whether a file is one is known by what it holds.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, BufReader, IsTerminal, Read};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context;
use sampler::journal::format;
use sampler::kernel::oom::textlog::{self, TextLog};
use sampler::model::units::bytes;

use crate::cli::output;

/// What a Parquet file begins with.
const PARQUET: &[u8] = b"PAR1";
/// Progress is shown after this long, on a terminal.
const SILENT: Duration = Duration::from_secs(1);

/// Whether a path is a log and no recording, by what it holds.
pub fn is_log(path: &Path) -> bool {
    if path.as_os_str() == "-" {
        return true;
    }
    let Ok(meta) = path.metadata() else { return false };
    if meta.is_dir() || is_device(&meta) {
        return !meta.is_dir();
    }
    let mut head = Vec::new();
    let read = File::open(path).and_then(|file| file.take(4096).read_to_end(&mut head));
    if read.is_err() {
        // What cannot be read as a log gets the error of a log, unless its name says that it is a recording.
        return !is_named_like_a_recording(path);
    }
    let is_recording = head.starts_with(PARQUET) || head.starts_with(&format::MAGIC);
    let marks: [&[u8]; 3] = [b"\xff\xfe", b"\xfe\xff", b"\x1f\x8b"];
    let is_text = !head.contains(&0) || marks.iter().any(|mark| head.starts_with(mark));
    // A recording that is damaged has its name still.
    !is_recording && (!is_named_like_a_recording(path) || (is_text && looks_like_a_log(&head)))
}

fn looks_like_a_log(head: &[u8]) -> bool {
    textlog::read(head, &mut |_| {}).is_ok_and(|log| log.coverage.has_kernel || log.coverage.first.is_some())
}

fn is_named_like_a_recording(path: &Path) -> bool {
    path.extension().is_some_and(|ext| ext == "journal" || ext == "parquet")
}

/// `/dev/kmsg`, which gives a record at each read and waits at its end.
struct Device(File);

impl Read for Device {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.0.read(to) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(0),
                // Overwritten before it was read: the next record follows.
                Err(error) if error.raw_os_error() == Some(rustix::io::Errno::PIPE.raw_os_error()) => {}
                // A record that is too long for the kernel's own buffer comes without its end.
                Ok(count) if count > 0 && count < to.len() && to[count - 1] != b'\n' => {
                    to[count] = b'\n';
                    return Ok(count + 1);
                }
                other => return other,
            }
        }
    }
}

fn is_device(meta: &Metadata) -> bool {
    meta.file_type().is_char_device()
}

fn open(path: &Path) -> io::Result<Box<dyn Read>> {
    let flags = rustix::fs::OFlags::NONBLOCK.bits() as i32;
    if is_device(&path.metadata()?) {
        let device = Device(OpenOptions::new().read(true).custom_flags(flags).open(path)?);
        // No record is read in part.
        return Ok(Box::new(BufReader::with_capacity(64 << 10, device)));
    }
    Ok(Box::new(File::open(path)?))
}

/// Reads a file or standard input.
pub fn read(path: &Path) -> anyhow::Result<(String, TextLog)> {
    let begin = Instant::now();
    let shows = io::stderr().is_terminal();
    let mut shown = begin;
    let mut progress = |read: u64| {
        if shows && begin.elapsed() > SILENT && shown.elapsed() > SILENT / 5 {
            shown = Instant::now();
            let second = begin.elapsed().as_secs_f64();
            eprint_line(&format!("{} read, {}/s", bytes(read), bytes((read as f64 / second) as u64)));
        }
    };
    let (source, log) = if path.as_os_str() == "-" {
        if io::stdin().is_terminal() {
            output::say("reading a kernel's log from the terminal: paste it and end with Ctrl-D");
        }
        ("standard input".to_owned(), textlog::read(io::stdin().lock(), &mut progress).context("read standard input")?)
    } else {
        let operation = || format!("read {}", path.display());
        let file = open(path).with_context(operation)?;
        (path.display().to_string(), textlog::read(file, &mut progress).with_context(operation)?)
    };
    if shown != begin {
        eprint_line("");
    }
    Ok((source, log))
}

/// A line that the next one overwrites.
fn eprint_line(text: &str) {
    use std::io::Write;
    let _ = write!(io::stderr().lock(), "\r\x1b[K{text}");
}
