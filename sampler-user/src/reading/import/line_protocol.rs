//! The line protocol of InfluxDB, as Telegraf writes it into files: `measurement,tag=x field=1i,other=2 TIME`.

use std::io::Read;

use crate::reading::import::forms::influx_name;
use crate::reading::import::intake::{Intake, Stop};
use crate::reading::import::json::Documents;
use crate::reading::import::text::Lines;

/// Cells of a line, and whether any field is a number.
fn cells(line: &str) -> Option<Vec<(String, String)>> {
    let [head, fields, time] = parts(line.trim())?;
    let is_time = (10..=19).contains(&time.len()) && time.bytes().all(|b| b.is_ascii_digit());
    let mut tags = split(head, ',').into_iter();
    let measurement = tags.next().filter(|name| !name.is_empty() && !name.contains('='))?;
    let mut cells: Vec<(String, String)> = tags.map(pair).collect::<Option<_>>()?;
    for field in split(fields, ',') {
        let (name, value) = pair(field)?;
        // Whole numbers end with an i or u.
        let value = value.strip_suffix(['i', 'u']).filter(|digits| digits.parse::<f64>().is_ok()).unwrap_or(&value);
        cells.push((influx_name(&plain(measurement), &name), value.to_owned()));
    }
    cells.push(("time".into(), time.to_owned()));
    is_time.then_some(cells)
}

/// Measurement and tags, fields, and time; spaces in quotes or behind a backslash are none between.
fn parts(line: &str) -> Option<[&str; 3]> {
    let all = split(line, ' ');
    <[&str; 3]>::try_from(all).ok()
}

fn split(text: &str, mark: char) -> Vec<&str> {
    let (mut all, mut from, mut quoted, mut escaped) = (Vec::new(), 0, false, false);
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => quoted = !quoted,
            c if c == mark && !quoted => {
                all.push(&text[from..at]);
                from = at + c.len_utf8();
            }
            _ => {}
        }
    }
    all.push(&text[from..]);
    all
}

fn plain(text: &str) -> String {
    text.replace("\\ ", " ").replace("\\,", ",").replace("\\=", "=")
}

fn pair(text: &str) -> Option<(String, String)> {
    let (name, value) = text.split_once('=').filter(|(name, value)| !name.is_empty() && !value.is_empty())?;
    Some((plain(name), plain(value).trim_matches('"').to_owned()))
}

/// Whether a line is of such a file.
pub fn is_line(line: &str) -> bool {
    line.contains('=') && line.len() < 64 << 10 && cells(line).is_some()
}

/// Reads such a file.
pub fn read(lines: &mut Lines<impl Read>, intake: &mut Intake<'_>) -> Result<(), Stop> {
    intake.notes.formats.insert("line protocol");
    let mut rows = Documents::default();
    while let Some(line) = lines.next_line()? {
        match cells(line) {
            Some(cells) => rows.record(&cells, intake)?,
            None if line.trim().is_empty() || line.starts_with('#') => {}
            None => intake.notes.unread_lines += 1,
        }
    }
    rows.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_taken_apart_as_they_are_escaped() {
        let of =
            |line: &str| cells(line).map(|cells| cells.iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>());
        assert_eq!(
            of("docker_container_mem,container_name=my\\ web usage=5i,limit=7 1749800000000000000").unwrap(),
            [
                "container_name=my web",
                "docker_container_mem_usage=5",
                "docker_container_mem_limit=7",
                "time=1749800000000000000"
            ]
        );
        assert!(of("a b c").is_none() && of("a=1 b=2 1749800000").is_none() && of("m,t=x f=1 12").is_none());
    }
}
