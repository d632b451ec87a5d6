//! A file with some keys changed, and nothing else: comments, order, unknown keys, line ends and encoding stay.

use crate::model::wslconfig::Config;
use crate::model::wslconfig::change::Change;
use crate::model::wslconfig::encoding::encode;
use crate::model::wslconfig::scan::{Entry, LineKind, Why};

/// The first words of a comment of ours, which is written anew with its line.
const OURS: &str = "# sampler advise: ";

impl Config {
    /// The text with changes. A key that is there keeps its line, with the comment behind it.
    pub fn with(&self, changes: &[Change]) -> String {
        let end = self.line_end();
        let mut text = self.text.clone();
        // From the end, so that what is in front stays where it is.
        let mut edits: Vec<(usize, usize, Vec<char>)> = Vec::new();
        let mut lines: Vec<(usize, usize, Vec<char>)> = Vec::new();
        let mut added: Vec<(&'static str, String)> = Vec::new();
        for change in changes {
            let comment = format!("{OURS}{}{end}", change.because.replace(['\n', '\r'], " "));
            match self.place(change) {
                Some((start, span)) => {
                    edits.push((self.comment_start(start), start, comment.chars().collect()));
                    edits.push((span.start, span.end, change.value.chars().collect()));
                }
                None => {
                    let line = format!("{comment}{}={}{end}", change.key, change.value);
                    match self.header_end(change.section) {
                        Some(at) => lines.push((at, at, line.chars().collect())),
                        None => match added.iter_mut().find(|(section, _)| *section == change.section) {
                            Some((_, lines)) => lines.push_str(&line),
                            None => added.push((change.section, format!("[{}]{end}{line}", change.section))),
                        },
                    }
                }
            }
        }
        // New lines stand before the comment of a line that was there, in the order of the changes.
        lines.append(&mut edits);
        let mut edits = lines;
        edits.sort_by_key(|(from, to, _)| (*from, *to));
        for (from, to, chars) in edits.into_iter().rev() {
            text.splice(from..to, chars);
        }
        let mut text: String = text.into_iter().collect();
        for (_, lines) in added {
            // A backslash at the very end must not join the next line to the last one.
            if matches!(self.entries.last(), Some(Entry { what: LineKind::Invalid(Why::Escape(None)), .. }))
                && text.ends_with('\\')
            {
                text.push(' ');
            }
            if !text.is_empty() {
                text.push_str(match text.chars().last() {
                    Some('\n') => "",
                    Some('\r') => "\n",
                    _ => end,
                });
                text.push_str(end);
            }
            text.push_str(&lines);
        }
        text
    }

    /// The bytes of a text in the encoding of this file.
    pub fn encode(&self, text: &str) -> Vec<u8> {
        encode(text, self.encoding)
    }

    /// Where the line of a key begins that counts for WSL, and its value.
    fn place(&self, change: &Change) -> Option<(usize, std::ops::Range<usize>)> {
        let known = crate::model::wslconfig::table(self.kind)
            .iter()
            .find(|key| key.name == change.key && key.is_under(change.section))?;
        self.entries.iter().find_map(|entry| match &entry.what {
            LineKind::Setting(setting) if known.is(&setting.name) => Some((entry.start, setting.span.clone())),
            _ => None,
        })
    }

    /// Where a comment of ours begins that stands above a line.
    fn comment_start(&self, line: usize) -> usize {
        let before = &self.text[..line];
        let is_end = |c: &char| matches!(c, '\n' | '\r');
        let Some(end) = before.iter().rposition(|c| !is_end(c)).map(|at| at + 1).filter(|end| line - end <= 2) else {
            return line;
        };
        let start = before[..end].iter().rposition(is_end).map_or(0, |at| at + 1);
        let above: String = before[start..end].iter().collect();
        if above.starts_with(OURS) { start } else { line }
    }

    /// Behind the last header of a section that WSL takes; `None` where there is none, or no line end behind it.
    fn header_end(&self, section: &str) -> Option<usize> {
        let is = |what: &LineKind| matches!(what, LineKind::Section(name) if name.eq_ignore_ascii_case(section));
        let header = self.entries.iter().rev().find(|entry| is(&entry.what))?;
        let rest = self.text.get(header.start..)?;
        // Of a comment only a newline is the end.
        let comment = rest.iter().position(|c| *c == '#').unwrap_or(rest.len());
        let is_end = |at: &usize| rest[*at] == '\n' || rest[*at] == '\r' && *at < comment;
        let end = (0..rest.len()).find(is_end)?;
        Some(header.start + end + if rest[end..].starts_with(&['\r', '\n']) { 2 } else { 1 })
    }

    /// The end of the file's first line.
    fn line_end(&self) -> &'static str {
        match self.text.iter().position(|c| *c == '\n') {
            Some(at) if at > 0 && self.text[at - 1] == '\r' => "\r\n",
            None if self.text.ends_with(&['\r']) => "\r\n",
            _ => "\n",
        }
    }
}
