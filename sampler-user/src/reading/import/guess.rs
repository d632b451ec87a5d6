//! What a file is, by its first bytes; its name does not count.

use crate::reading::import::text::Lines;
use crate::reading::import::{atop, labels, line_protocol, log, mprof, psrecord};

/// The forms that are distinguished.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Documents of JSON, one or many.
    Json,
    /// What programs print to a terminal, with times between or before.
    Log,
    /// Series of Prometheus as text.
    Exposition,
    /// `atop -P`.
    Atop,
    /// `psrecord`.
    Psrecord,
    /// `mprof` of memory_profiler.
    Mprof,
    /// The line protocol of InfluxDB.
    LineProtocol,
    /// A table of text.
    Csv,
}

/// Whether a file is Parquet, by its first bytes.
pub fn is_parquet(head: &[u8]) -> bool {
    head.starts_with(b"PAR1")
}

/// What a text is.
pub fn format(head: &[u8]) -> Format {
    let first = head.iter().find(|b| !b.is_ascii_whitespace());
    let is_dated = |line: &str| log::is_line(line) && line.trim_start().starts_with('[') && line.trim().len() > 2;
    let first_line = || Lines::new(head).next_line().ok().flatten().map(str::to_owned).unwrap_or_default();
    if matches!(first, Some(b'{' | b'[')) && !is_dated(&first_line()) && !log::is_time(&first_line()) && is_json(head) {
        return Format::Json;
    }
    let mut lines = Lines::new(head);
    let mut seen = 0;
    let mut before = String::new();
    let mut commas = None;
    while let Ok(Some(line)) = lines.next_line() {
        if line.trim().is_empty() {
            continue;
        }
        seen += 1;
        // Rows below a head of as many cells are a table, whatever their cells look like.
        let count = line.matches(',').count();
        let is_cells = count > 0 && commas == Some(count);
        if commas.is_none() && !log::is_line(line) {
            commas = Some(count);
        }
        let found = match line {
            line if psrecord::is_head(line) => Some(Format::Psrecord),
            line if atop::is_line(line) => Some(Format::Atop),
            line if mprof::is_line(line) => Some(Format::Mprof),
            line if line_protocol::is_line(line) => Some(Format::LineProtocol),
            line if is_exposition(line) => Some(Format::Exposition),
            line if log::is_line(line) && !is_cells => Some(Format::Log),
            line if log::is_time_and_number(&before, line) => Some(Format::Log),
            _ => None,
        };
        before = line.to_owned();
        if let Some(format) = found {
            return format;
        }
        if seen > 200 {
            break;
        }
    }
    Format::Csv
}

/// Whether text that begins as JSON goes on as JSON: between the lines of a log there are dates.
fn is_json(head: &[u8]) -> bool {
    let (mut depth, mut in_string, mut escaped) = (0i64, false, false);
    for byte in head {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth -= 1,
            byte if depth == 0 && !byte.is_ascii_whitespace() && *byte != b',' => return false,
            _ => {}
        }
    }
    true
}

fn is_exposition(line: &str) -> bool {
    let line = line.trim();
    if line.starts_with("# HELP ") || line.starts_with("# TYPE ") {
        return true;
    }
    let Some((labels, rest)) = labels::parse(line) else { return false };
    let rest = rest.trim();
    if rest.starts_with("=>") {
        return true;
    }
    let name = labels.get("__name__").map_or("", String::as_str);
    if labels.len() == 1 && name.contains('_') && crate::reading::import::prometheus::metric(name).is_some() {
        return rest.split_whitespace().next().is_some_and(|word| word.parse::<f64>().is_ok());
    }
    // Without labels any other word and number would do.
    let has_labels = labels.len() > usize::from(labels.contains_key("__name__"));
    has_labels && line.contains('{') && rest.split_whitespace().next().is_some_and(|word| word.parse::<f64>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_are_distinguished() {
        for (text, want) in [
            ("{\"status\":\"success\"}", Format::Json),
            ("[{\"a\":1},\n{\"a\":2}]\n", Format::Json),
            ("{\"Name\":\"a\"}\nSun Oct 13 00:00:00 UTC 2024\n{\"Name\":\"a\"}\n", Format::Log),
            ("Sun Oct 13 00:00:00 UTC 2024\n{\"Name\":\"a\"}\n", Format::Log),
            ("CONTAINER ID   NAME      CPU %     MEM USAGE / LIMIT   MEM %\n", Format::Log),
            ("container_memory_rss{id=\"/a\"} 5 1749800000829\n", Format::Exposition),
            ("docker_container_mem,container_name=web usage=5i 1749800000000000000\n", Format::LineProtocol),
            ("CMDLINE python a.py\nMEM 12.5 1749800000.5000\n", Format::Mprof),
            ("Sun Oct 13 00:00:00 UTC 2024\nanon 5\nfile 6\n", Format::Log),
            ("container_memory_rss{id=\"/a\"} =>\n5 @[1]\n", Format::Exposition),
            ("# HELP x y\n", Format::Exposition),
            ("RESET\nPRM vm 1795906632 2026/11/28 22:57:12 10 1 (a) S 4096 1 2\n", Format::Atop),
            ("# Elapsed time   CPU (%)     Real (MB)   Virtual (MB)\n", Format::Psrecord),
            ("Sun Oct 13 00:00:00 UTC 2024\nweb,0.1%,60MiB / 2GiB\n", Format::Log),
            ("time,name,cpu,mem\n2026-03-01,web,0.1%,60MiB / 2GiB\n", Format::Csv),
            ("[2026-03-01 10:00:00] {\"Name\":\"a\"}\n", Format::Log),
            ("[2026-03-01 10:00:00]\n{\"Name\":\"a\"}\n", Format::Log),
            ("Sun Oct 13 00:00:00 UTC 2024\n120000\n", Format::Log),
            ("Sun Oct 13 00:00:00 UTC 2024\nVmRSS:   120000 kB\n", Format::Log),
            ("1749800000\n1749800060\n", Format::Csv),
            ("time,rss\n1749800000,5\n", Format::Csv),
            ("epoch,pid,rss_kb,comm\n", Format::Csv),
            ("1749800000 122880\n", Format::Csv),
            ("", Format::Csv),
        ] {
            assert_eq!(format(text.as_bytes()), want, "{text}");
        }
    }
}
