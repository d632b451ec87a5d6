//! The kernel's log as it is read: the OOM reports in it from now on. And its counts of kills.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use crate::kernel::oom::kmsg::{KmsgRecord, OomParser};
use crate::model::evidence::OomReport;

/// `/dev/kmsg`, from the moment it was opened.
#[derive(Debug)]
pub struct Log {
    file: File,
    parser: OomParser,
    buffer: Box<[u8]>,
    lost: bool,
}

impl Log {
    /// Opens it behind its last record. Needs CAP_SYSLOG on most machines.
    pub fn open() -> io::Result<Log> {
        use std::os::unix::fs::OpenOptionsExt;
        let flags = rustix::fs::OFlags::NONBLOCK.bits() as i32;
        let mut file = fs::OpenOptions::new().read(true).custom_flags(flags).open("/dev/kmsg")?;
        file.seek(SeekFrom::End(0))?;
        Ok(Log {
            file,
            parser: OomParser::with_page_size(rustix::param::page_size() as u64),
            buffer: vec![0; 16 << 10].into(),
            lost: false,
        })
    }

    /// Reads what was written since.
    pub fn read(&mut self) -> Vec<OomReport> {
        let mut reports = Vec::new();
        loop {
            match self.file.read(&mut self.buffer) {
                Ok(0) => break,
                Ok(length) => {
                    if let Some(record) = KmsgRecord::parse(&self.buffer[..length]) {
                        reports.extend(self.parser.push(&record));
                    }
                }
                // Overwritten before it was read: the next record follows.
                Err(error) if error.raw_os_error() == Some(rustix::io::Errno::PIPE.raw_os_error()) => self.lost = true,
                Err(error) => {
                    self.lost |= error.kind() != io::ErrorKind::WouldBlock;
                    break;
                }
            }
        }
        reports
    }

    /// Whether records were overwritten, or could not be read.
    pub fn lost(&self) -> bool {
        self.lost
    }
}

impl AsFd for Log {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// What a file counts under a key: `oom_kill` of /proc/vmstat, memory.events or memory.oom_control is the processes killed by the
/// OOM killer.
pub fn count(file: &Path, key: &str) -> Option<u64> {
    let text = fs::read_to_string(file).ok()?;
    text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' ')?.trim().parse().ok())
}
