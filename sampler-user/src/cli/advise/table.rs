//! The table of limits before and after, which fits 80 columns whatever is in it.

use std::collections::BTreeMap;

use sampler::advise::Container;
use sampler::advise::limit::{Advice, State};
use sampler::model::units::bytes;
use sampler::model::word::word;

use crate::cli::advise::document::Document;
use crate::cli::advise::files::state;

/// Columns of the page.
const WIDTH: usize = 80;
/// A name is cut to no less.
const LEAST_NAME: usize = 12;
/// Rows that are shown, whatever they say; those beyond are folded where nothing is advised.
const ROWS: usize = 10;
/// Names in a line.
const NAMES: usize = 5;

/// What a row says: a name, and its cells; or a name, its limit, and a text instead of the other cells.
enum Row {
    Cells(String, [String; 5]),
    Text(String, String, String),
}

/// The table; `every` row of it, or the rest folded into a line.
pub fn table(all: &Document, every: bool) -> String {
    let is_advised =
        |c: &Container| c.is_advised() || matches!(c.advice.state, State::Leak | State::Growing | State::TooLow);
    let (mut rows, mut folded) = (Vec::new(), Vec::new());
    for container in &all.containers {
        if every || rows.len() < ROWS || is_advised(container) {
            rows.push(row(container));
        } else {
            folded.push(container);
        }
    }
    let heads = ["now", "after", "change", "limit is", "confidence"].map(str::to_owned);
    rows.insert(0, Row::Cells(String::new(), heads));
    let t = &all.totals;
    let of = all.machine.total.map_or_else(String::new, |total| format!("of {}", bytes(total)));
    rows.push(Row::Cells(
        "total".into(),
        [bytes(t.before), bytes(t.after), change(t.before, t.after_where_limited), of, String::new()],
    ));
    let mut out = aligned(&rows);
    if !folded.is_empty() {
        let mut of: BTreeMap<State, usize> = BTreeMap::new();
        folded.iter().for_each(|container| *of.entry(container.advice.state).or_default() += 1);
        let (others, them) = if folded.len() == 1 { ("other", "it") } else { ("others", "them") };
        let parts: Vec<String> = of.iter().map(|(of, count)| format!("{count} {}", folded_as(*of))).collect();
        out.push_str(&wrap(&format!("{} {others}: {}; --why shows {them}", folded.len(), parts.join(", ")), ""));
    }
    if t.unlimited > 0 {
        out.push_str(&wrap(&format!("{} of them without a limit now", t.unlimited), ""));
    }
    out
}

/// A state of what is folded.
fn folded_as(of: State) -> &'static str {
    match of {
        State::Watch => "to be watched for longer",
        other => state(other),
    }
}

fn row(container: &Container) -> Row {
    let advice = &container.advice;
    let now = advice.limit.map_or_else(|| "none".into(), bytes);
    let name = if container.nested { format!("  {}", container.title) } else { container.title.clone() };
    if let Some(until) = until(advice) {
        let cause = if advice.state == State::Growing { "growing, cause unknown: " } else { "" };
        return Row::Text(name, now, format!("{cause}watch until {until}"));
    }
    let after = container.after.map_or_else(|| "-".into(), bytes);
    let change = advice.limit.zip(container.after).map_or_else(String::new, |(before, after)| change(before, after));
    Row::Cells(name, [now, after, change, state(advice.state).to_owned(), word(&advice.confidence)])
}

/// Until when to watch, as a person writes it: `11-29 15:04`.
fn until(advice: &Advice) -> Option<String> {
    if !matches!(advice.state, State::Watch | State::Growing) {
        return None;
    }
    let time = advice.watch_until.as_deref().unwrap_or_default();
    Some(match (time.get(5..10), time.get(11..16)) {
        (Some(day), Some(clock)) => format!("{day} {clock}"),
        _ => "more is known".into(),
    })
}

/// What changes, with its sign.
fn change(before: u64, after: u64) -> String {
    match before.checked_sub(after) {
        Some(0) => "0".into(),
        Some(less) => format!("-{}", bytes(less)),
        None => format!("+{}", bytes(after - before)),
    }
}

/// Rows in columns; names are cut so that no row is wider than the page.
fn aligned(rows: &[Row]) -> String {
    let mut width = [0; 5];
    for row in rows {
        match row {
            Row::Cells(_, cells) => {
                width.iter_mut().zip(cells).for_each(|(width, cell)| *width = (*width).max(cell.chars().count()));
            }
            Row::Text(_, now, _) => width[0] = width[0].max(now.chars().count()),
        }
    }
    let cells = width.iter().map(|width| width + 2).sum::<usize>();
    let texts = rows.iter().filter_map(|row| match row {
        Row::Text(_, _, text) => Some(width[0] + 4 + text.chars().count()),
        Row::Cells(..) => None,
    });
    let rest = texts.max().unwrap_or(0).max(cells);
    let names = rows.iter().map(|(Row::Cells(name, _) | Row::Text(name, ..))| name.chars().count());
    let name = names.max().unwrap_or(0).min(WIDTH.saturating_sub(rest).max(LEAST_NAME));
    let line = |row: &Row| match row {
        Row::Cells(title, cells) => {
            let cells: Vec<String> = cells
                .iter()
                .zip(width)
                .enumerate()
                // Sizes to the right, words to the left.
                .map(|(at, (cell, width))| if at < 3 { format!("{cell:>width$}") } else { format!("{cell:width$}") })
                .collect();
            format!("{:name$}  {}", cut(title, name), cells.join("  "))
        }
        Row::Text(title, now, text) => {
            format!("{:name$}  {now:>width$}  {text}", cut(title, name), width = width[0])
        }
    };
    rows.iter().map(|row| line(row).trim_end().to_owned() + "\n").collect()
}

/// A name of at most so many characters; what is cut is shown by an ellipsis.
fn cut(name: &str, most: usize) -> String {
    if name.chars().count() <= most {
        return name.to_owned();
    }
    let kept: String = name.chars().take(most.saturating_sub(1)).collect();
    kept + "…"
}

/// At most five names, and how many more there are.
pub fn few(names: &[String]) -> String {
    let shown = names.iter().take(NAMES).cloned().collect::<Vec<_>>().join(", ");
    match names.len().checked_sub(NAMES) {
        Some(more) if more > 0 => format!("{shown} and {more} more"),
        _ => shown,
    }
}

/// A sentence in lines of at most 80 columns, with what each begins with; what goes on stands further in.
pub fn wrap(text: &str, indent: &str) -> String {
    let mut out = String::new();
    let mut line = indent.to_owned();
    let mut is_empty = true;
    for word in text.split_whitespace() {
        if !is_empty && line.chars().count() + 1 + word.chars().count() > WIDTH {
            out.push_str(&line);
            out.push('\n');
            line = format!("{indent}  ");
            is_empty = true;
        }
        if !is_empty {
            line.push(' ');
        }
        line.push_str(word);
        is_empty = false;
    }
    out + &line + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_row_is_wider_than_the_page() {
        let cells = ["1023.9 MiB", "1023.9 MiB", "-1023.9 MiB", "too high", "medium"].map(str::to_owned);
        let rows = [
            Row::Cells("x".repeat(70), cells),
            Row::Text("é".repeat(70), "none".into(), "growing, cause unknown: watch until 11-29 15:04".into()),
            Row::Cells("short".into(), Default::default()),
        ];
        let text = aligned(&rows);
        assert!(text.lines().all(|line| line.chars().count() <= WIDTH), "{text}");
        assert!(text.contains("…  1023.9 MiB") && text.contains("é…"), "{text}");
    }

    #[test]
    fn five_names_and_the_number_of_the_others() {
        let names: Vec<String> = (0..54).map(|n| format!("c{n}")).collect();
        assert_eq!(few(&names), "c0, c1, c2, c3, c4 and 49 more");
        assert_eq!(few(&names[..5]), "c0, c1, c2, c3, c4");
        assert_eq!(few(&[]), "");
    }

    #[test]
    fn sentences_are_broken_between_words() {
        let text = wrap(&"word ".repeat(40), "  ");
        assert!(text.lines().count() == 3 && text.lines().all(|line| line.len() <= WIDTH), "{text}");
        assert_eq!(wrap("", "  "), "  \n");
    }
}
