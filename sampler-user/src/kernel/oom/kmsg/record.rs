//! A record of `/dev/kmsg`.

use crate::model::paths::from_bytes;

/// One record of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KmsgRecord {
    /// Who wrote it: 0 is the kernel.
    pub facility: u32,
    /// Severity, 0 (worst) to 7.
    pub level: u32,
    /// Sequence number.
    pub seq: u64,
    /// Time by the log's own clock, microseconds since boot.
    pub time_us: u64,
    /// Whether it goes on where the record before ended.
    pub continues: bool,
    /// The text, unescaped.
    pub text: String,
}

impl KmsgRecord {
    /// Reads a record as one `read` of `/dev/kmsg` gives it: `prio,seq,time,flag[,…];text`, then ` KEY=value` lines.
    pub fn parse(bytes: &[u8]) -> Option<KmsgRecord> {
        let head_end = bytes.iter().position(|&b| b == b';')?;
        let head = std::str::from_utf8(&bytes[..head_end]).ok()?;
        let mut words = head.split(',');
        let prio: u32 = words.next()?.parse().ok()?;
        let seq = words.next()?.parse().ok()?;
        let time_us = words.next()?.parse().ok()?;
        let continues = words.next().is_some_and(|flag| flag.starts_with('c'));
        let text = bytes[head_end + 1..].split(|&b| b == b'\n').next()?;
        Some(KmsgRecord { facility: prio >> 3, level: prio & 7, seq, time_us, continues, text: unescape(text) })
    }
}

/// The kernel writes bytes that are not printable as `\xNN`.
pub fn unescape(text: &[u8]) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, tail)) = rest.split_first() {
        let hex = |at: usize| tail.get(at).and_then(|b| (*b as char).to_digit(16));
        if let (b'\\', Some(b'x'), Some(high), Some(low)) = (byte, tail.first(), hex(1), hex(2)) {
            out.push((high * 16 + low) as u8);
            rest = &tail[3..];
        } else {
            out.push(byte);
            rest = tail;
        }
    }
    from_bytes(&out)
}
