//! Rows in aligned columns that fit the width: no line is wrapped.

use crate::ui::text::style::{Style, shorten};

/// Space between columns.
const GAP: usize = 2;
/// The first remark is not cut below this width, with its gap.
const REMARK: usize = 28;
/// A name is not cut below this width.
const NAME: usize = 16;

/// One row: what it is, whose it is, figures, and what else there is to report.
#[derive(Clone, Debug, Default)]
pub struct Row {
    /// The first word, and its colour.
    pub state: (String, &'static str),
    /// A name: cut in its middle where the row is too long.
    pub name: String,
    /// Figures, aligned to the right.
    pub figures: Vec<String>,
    /// Remarks, what matters most first: those that fit are shown.
    pub remarks: Vec<String>,
}

fn length(text: &str) -> usize {
    text.chars().count()
}

/// The rows as lines.
pub fn table(rows: &[Row], style: Style) -> String {
    let widest = |text: &dyn Fn(&Row) -> usize| rows.iter().map(text).max().unwrap_or(0);
    let state = widest(&|row| length(&row.state.0));
    let columns = rows.iter().map(|row| row.figures.len()).max().unwrap_or(0);
    let figures: Vec<usize> =
        (0..columns).map(|at| widest(&|row| row.figures.get(at).map_or(0, |text| length(text)))).collect();
    let taken = if state > 0 { state + GAP } else { 0 } + figures.iter().map(|width| width + GAP).sum::<usize>();
    let first_remark = widest(&|row| row.remarks.first().map_or(0, |text| length(text) + GAP));
    let left = style.width.saturating_sub(taken);
    // A long remark takes half of what is left at most: a name that nobody knows again is worth nothing.
    let name = left.saturating_sub(first_remark.min((left / 2).max(REMARK))).max(NAME.min(left));
    let name = widest(&|row| length(&row.name)).min(name);
    let mut out = String::new();
    for row in rows {
        let mut line = String::new();
        let mut used = 0;
        if state > 0 {
            line += &style.paint(row.state.1, &row.state.0);
            line += &" ".repeat(state - length(&row.state.0) + GAP);
            used += state + GAP;
        }
        let shown = shorten(&row.name, name);
        line += &shown;
        line += &" ".repeat(name - length(&shown));
        used += name;
        for (at, width) in figures.iter().enumerate() {
            let text = row.figures.get(at).map_or("", String::as_str);
            line += &" ".repeat(GAP + width - length(text));
            line += text;
            used += GAP + width;
        }
        let room = style.width.saturating_sub(used + GAP);
        let mut remarks = row.remarks.first().map_or_else(String::new, |first| shorten(first, room));
        for remark in row.remarks.iter().skip(1) {
            if length(&remarks) + length(remark) + 2 <= room {
                remarks = format!("{remarks}; {remark}");
            }
        }
        line += &" ".repeat(GAP);
        line += &remarks;
        out += line.trim_end();
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str, size: &str, remarks: &[&str]) -> Row {
        let remarks = remarks.iter().map(|text| (*text).to_owned()).collect();
        Row { state: ("leak".into(), "31"), name: name.into(), figures: vec![size.into()], remarks }
    }

    #[test]
    fn columns_are_aligned_and_no_line_is_longer_than_the_width() {
        let rows =
            [row("shop/web", "8 MiB", &["full in 9 min", "killed twice"]), row(&"x".repeat(90), "120 MiB", &["brief"])];
        for width in [40, 60, 80, 120] {
            let text = table(&rows, Style { width, colour: false });
            let lines: Vec<&str> = text.lines().collect();
            assert!(lines.iter().all(|line| line.chars().count() <= width), "{text}");
            let end = |line: &str| line.split("MiB").next().map(|head| head.chars().count());
            assert_eq!(end(lines[0]), end(lines[1]), "{text}");
            assert_eq!(text.contains("killed twice"), width >= 60 && lines[0].contains("killed twice"), "{text}");
            assert!(width < 60 || text.contains("full in 9 min"), "{text}");
        }
        assert!(!table(&rows, Style { width: 80, colour: false }).contains('\x1b'));
        assert!(table(&rows, Style { width: 80, colour: true }).starts_with("\x1b[31mleak\x1b[0m  shop/web"));
    }

    #[test]
    fn a_name_keeps_its_begin_and_its_end() {
        assert_eq!(shorten("prod/web-7d4b9c68f5-x2x9z/app", 15), "prod/we…2x9z/ap".replace("2x9z/ap", "x9z/app"));
        assert_eq!(shorten("web", 3), "web");
    }
}
