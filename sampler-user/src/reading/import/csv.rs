//! Tables of text: CSV with commas, semicolons, tabs or bars, or columns apart by spaces.

use std::borrow::Cow;
use std::io::Read;

use crate::reading::import::clock::day_first;
use crate::reading::import::intake::{Intake, Stop};
use crate::reading::import::records::{Columns, Dialect};
use crate::reading::import::size::{Decimal, Prefix, comma_is_decimal, parse};
use crate::reading::import::text::Lines;
use crate::reading::import::time::{prefix, whole};

/// Rows that are looked at before anything is decided.
const SAMPLE: usize = 400;
/// Bytes of them at most.
const SAMPLE_BYTES: usize = 2 << 20;
/// Most columns.
const MOST_COLUMNS: usize = 4096;

/// What separates cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Separator {
    /// One char.
    Char(char),
    /// Any number of spaces.
    Spaces,
}

/// Reads a table.
pub fn read(lines: &mut Lines<impl Read>, intake: &mut Intake<'_>) -> Result<(), Stop> {
    let mut head: Vec<String> = Vec::new();
    let mut comment = None;
    let mut given = None;
    let mut bytes = 0;
    while head.len() < SAMPLE
        && bytes < SAMPLE_BYTES
        && let Some(line) = lines.next_line()?
    {
        bytes += line.len();
        // Excel's own way to name the separator.
        if let Some(separator) = line.trim_matches('"').strip_prefix("sep=").filter(|_| head.is_empty()) {
            given = separator.chars().next().map(Separator::Char);
        } else if let Some(text) = line.trim_start().strip_prefix('#') {
            if head.is_empty() {
                comment = Some(text.trim().to_owned());
            }
        } else if !is_rule(line) {
            head.push(line.to_owned());
        }
    }
    preamble(&mut head, intake);
    let Some(first) = head.first() else { return Err(Stop::new("the file is empty")) };
    let separator = given.unwrap_or_else(|| separator(first, head.get(1..3).unwrap_or_default()));
    intake.notes.formats.insert("csv");
    let cells = |line: &str| -> Vec<String> { split(line, separator).into_iter().map(Cow::into_owned).collect() };
    let mut rows: Vec<Vec<String>> = head.iter().map(|line| cells(line)).collect();
    // `# hostname;interval;timestamp` of sadf: the head of the table is a comment.
    let commented = comment.map(|text| cells(&text)).filter(|names| names.len() > 1 && names.len() == rows[0].len());
    let names = match commented {
        Some(names) if !is_head(&rows[0]) => names,
        _ if is_head(&rows[0]) => rows.remove(0),
        _ => headless(&rows, intake),
    };
    if names.len() > MOST_COLUMNS {
        return Err(Stop::new(format!("a table of {} columns: more than {MOST_COLUMNS} are not read", names.len())));
    }
    let dialect = dialect(&rows, separator, intake)?;
    let has_time = |name: &String| {
        let mapped = intake.options.mapped(name).and_then(crate::reading::import::columns::ours);
        matches!(
            mapped.ok_or(()).or_else(|()| crate::reading::import::columns::meaning(name, dialect.prefix)),
            Ok(crate::reading::import::columns::Meaning::Time(_))
        )
    };
    let paced = match (intake.options.start_us, intake.options.interval_us) {
        (Some(start), Some(interval)) if !names.iter().any(has_time) => Some((start, interval)),
        _ => None,
    };
    let columns = Columns::of(&names, &rows, dialect, paced.is_some(), intake)?;
    let mut number = 0i64;
    let mut put = |cells: &[Cow<'_, str>], intake: &mut Intake<'_>| -> Result<(), Stop> {
        let extra = cells.get(names.len()..).unwrap_or_default();
        if extra.iter().any(|cell| !cell.trim().is_empty()) {
            intake.notes.unread_lines += 1;
            return Ok(());
        }
        // Loops that write the head again and again.
        if cells.iter().map(|cell| cell.trim()).eq(names.iter().map(|name| name.trim())) {
            return Ok(());
        }
        let now = paced.map(|(start, interval)| start.saturating_add(interval.saturating_mul(number)));
        number += 1;
        columns.row(cells, now, intake).map(drop)
    };
    for row in rows {
        let row: Vec<Cow<'_, str>> = row.into_iter().map(Cow::Owned).collect();
        put(&row, intake)?;
    }
    while let Some(line) = lines.next_line()? {
        if !is_rule(line) && !line.trim_start().starts_with('#') {
            put(&split(line, separator), intake)?;
        }
    }
    Ok(())
}

/// Takes off lines above a table that are no part of it, such as the title of a report.
fn preamble(head: &mut Vec<String>, intake: &mut Intake<'_>) {
    for _ in 0..10 {
        let [first, _, third, fourth, ..] = head.as_slice() else { return };
        let separators = [',', ';', '\t'];
        let is_table = |c: &char| {
            let count = |line: &str| line.matches(*c).count();
            count(third) > 0 && count(third) == count(fourth)
        };
        if first.contains(separators) || !separators.iter().any(is_table) {
            return;
        }
        head.remove(0);
        intake.notes.unread_lines += 1;
    }
}

/// Nothing, or what is drawn below the head of a table.
fn is_rule(line: &str) -> bool {
    line.chars().all(|c| matches!(c, ' ' | '\t' | '-' | '+' | '|' | '=' | ':'))
}

/// What separates the cells of the first lines.
fn separator(first: &str, others: &[String]) -> Separator {
    let candidates = ['\t', ';', ',', '|'];
    let count = |line: &str, c: char| split(line, Separator::Char(c)).len() - 1;
    let score = |c: &char| {
        let n = count(first, *c);
        let same = others.iter().filter(|line| count(line, *c) == n).count();
        (n > 0).then_some((same, n))
    };
    let best = candidates.iter().filter_map(|c| Some((score(c)?, *c))).max_by_key(|(score, c)| (*score, *c != ','));
    match best {
        Some((_, c)) => Separator::Char(c),
        None => Separator::Spaces,
    }
}

/// The cells of a line. Quotes around a cell are taken off; a quote that is not closed ends with the line.
pub fn split(line: &str, separator: Separator) -> Vec<Cow<'_, str>> {
    let Separator::Char(mark) = separator else {
        // A date and its time are one cell.
        let start = line.len() - line.trim_start().len();
        let used = prefix(&line[start..], None).map_or(0, |(_, used)| used);
        let (time, rest) = line[start..].split_at(used);
        let time = (!time.is_empty()).then_some(Cow::Borrowed(time));
        return time.into_iter().chain(rest.split_whitespace().map(Cow::Borrowed)).collect();
    };
    let line = if mark == '|' { line.trim().trim_matches('|') } else { line };
    let mut cells = Vec::new();
    let mut rest = line;
    loop {
        let quoted = rest.trim_start_matches(' ').strip_prefix('"');
        let (cell, after) = match quoted {
            Some(inside) => unquote(inside),
            None => {
                let end = rest.find(mark).unwrap_or(rest.len());
                (Cow::Borrowed(&rest[..end]), &rest[end..])
            }
        };
        cells.push(cell);
        // What stands between a closing quote and the mark is no cell.
        match after.find(mark) {
            Some(at) => rest = &after[at + mark.len_utf8()..],
            None => return cells,
        }
    }
}

/// A quoted cell without its quotes, and what follows it.
fn unquote(inside: &str) -> (Cow<'_, str>, &str) {
    let mut cell = String::new();
    let mut rest = inside;
    while let Some(at) = rest.find('"') {
        let after = &rest[at + 1..];
        match after.strip_prefix('"') {
            Some(more) => {
                cell.push_str(&rest[..=at]);
                rest = more;
            }
            None if cell.is_empty() => return (Cow::Borrowed(&rest[..at]), after),
            None => {
                cell.push_str(&rest[..at]);
                return (Cow::Owned(cell), after);
            }
        }
    }
    cell.push_str(rest);
    (Cow::Owned(cell), "")
}

/// Whether a row is the head: no cell is a time or a number.
fn is_head(row: &[String]) -> bool {
    let is_data = |cell: &String| whole(cell, None).is_some() || parse(cell, Decimal::Auto, Prefix::Binary).is_some();
    row.iter().any(|cell| !cell.trim().is_empty()) && !row.iter().any(is_data)
}

/// Names for a table without a head, by what the columns hold; where that is only numbers, the number of the column.
fn headless(rows: &[Vec<String>], intake: &mut Intake<'_>) -> Vec<String> {
    let width = rows.iter().map(Vec::len).max().unwrap_or(0);
    intake.notes.remark("the table has no head: its columns are called 1, 2, 3");
    let mut named = [false; 2];
    let name = |at: usize| {
        let mut cells = rows
            .iter()
            .filter_map(|row| row.get(at))
            .map(|cell| cell.trim())
            .filter(|cell| !cell.is_empty())
            .take(20)
            .peekable();
        let number = (at + 1).to_string();
        if intake.options.mapped(&number).is_some() {
            return number;
        }
        let first = cells.peek().copied().unwrap_or("");
        let size = parse(first, Decimal::Auto, Prefix::Binary);
        if !named[0] && cells.clone().all(|cell| whole(cell, None).is_some()) {
            named[0] = true;
            "time".into()
        } else if crate::reading::import::docker_stats::is_usage_and_limit(first) {
            "mem usage / limit".into()
        } else if size.is_some_and(|size| size.unit.is_some()) {
            "memory".into()
        } else if first.ends_with('%') {
            format!("{number} %")
        } else if !named[1] && size.is_none() && !first.is_empty() {
            named[1] = true;
            "name".into()
        } else {
            number
        }
    };
    (0..width).map(name).collect()
}

/// How dates and numbers of the table are written. Stops where the same cells could mean two things.
fn dialect(rows: &[Vec<String>], separator: Separator, intake: &mut Intake<'_>) -> Result<Dialect, Stop> {
    let cells = || rows.iter().flatten().map(|cell| cell.trim());
    let dated = cells().filter(|cell| cell.contains(['/', '-']) && cell.starts_with(|c: char| c.is_ascii_digit()));
    let day_first = day_first(intake.options, dated)?;
    let numbers = || cells().filter(|cell| cell.contains(',') && parse(cell, Decimal::Comma, Prefix::Binary).is_some());
    let decimal = match intake.options.decimal_comma {
        Some(true) => Decimal::Comma,
        Some(false) => Decimal::Point,
        None if numbers().next().is_none() => Decimal::Point,
        None => {
            let shown: Vec<bool> = numbers().filter_map(comma_is_decimal).collect();
            match (shown.first(), numbers().next()) {
                (Some(first), _) if shown.iter().all(|one| one == first) => {
                    if *first {
                        intake.notes.remark("a comma is taken as the decimal mark (--decimal point if it is not)");
                    }
                    if *first { Decimal::Comma } else { Decimal::Point }
                }
                // In a file of commas whoever quotes `1,234` means a thousand.
                (None, Some(_)) if separator == Separator::Char(',') => Decimal::Point,
                (_, Some(cell)) => {
                    return Err(Stop::needs(
                        format!(
                            "`{}` may have a decimal comma or be in thousands",
                            crate::model::units::printable(cell)
                        ),
                        ["--decimal", "comma"],
                    ));
                }
                (_, None) => Decimal::Point,
            }
        }
    };
    Ok(Dialect { day_first, decimal, prefix: Prefix::Binary })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn cells_are_split_as_they_are_quoted() {
        let comma = Separator::Char(',');
        assert_eq!(split("a,\"b,c\",\"d\"\"e\"\"\",,f", comma), ["a", "b,c", "d\"e\"", "", "f"]);
        assert_eq!(split(" \"a\" , \"b\"", comma), ["a", "b"]);
        assert_eq!(split("\"never closed, a", comma), ["never closed, a"]);
        assert_eq!(split("", comma), [""]);
        assert_eq!(split("| a | b |", Separator::Char('|')), [" a ", " b "]);
        assert_eq!(split("2026-02-03 08:00:00 12 web", Separator::Spaces), ["2026-02-03 08:00:00", "12", "web"]);
    }

    #[test]
    fn the_separator_is_the_one_that_all_lines_have() {
        let of = |first: &str, second: &str| separator(first, &[second.to_owned()]);
        assert_eq!(of("zeit;rss", "13.10.2024 00:00;103,5"), Separator::Char(';'));
        assert_eq!(of("time,rss", "2026-01-01T00:00:00Z,5"), Separator::Char(','));
        assert_eq!(of("time\trss, all", "1\t5"), Separator::Char('\t'));
        assert_eq!(of("1749800000 122880", "1749800060 122990"), Separator::Spaces);
        assert_eq!(of("13.10.2024 00:00;103,5", "13.10.2024 00:01;104,5"), Separator::Char(';'));
    }

    proptest! {
        #[test]
        fn any_line_is_split(line in "\\PC{0,60}", mark in "[,;|\t]") {
            let mark = mark.chars().next().unwrap();
            prop_assert!(!split(&line, Separator::Char(mark)).is_empty());
            let _ = split(&line, Separator::Spaces);
        }
    }
}
