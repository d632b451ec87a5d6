//! The lines of a file as WSL takes them apart: a step-by-step reading of `ParseConfigFile` of WSL's `configfile.cpp`, with what it
//! does after a broken section header.

use std::ops::Range;

use crate::model::wslconfig::kind::Kind;

/// A line, or several that a backslash at the end of one joins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Number of the first line, from 1.
    pub line: usize,
    /// Where the line begins, chars.
    pub start: usize,
    /// What it is.
    pub what: LineKind,
}

/// What a line is to WSL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LineKind {
    /// `[name]`.
    Section(String),
    /// `key=value`.
    Setting(Setting),
    /// Neither; the line does nothing.
    Invalid(Why),
}

/// A `key=value`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// What WSL holds for the section.
    pub section: String,
    /// The key.
    pub key: String,
    /// The name by which WSL looks the key up: `section.key`.
    pub name: String,
    /// The value without its quotes and escapes.
    pub value: String,
    /// Where the value is, chars; empty where it would stand.
    pub span: Range<usize>,
    /// Whether an escape made a control character of it: `\t` in `C:\temp`.
    pub is_escaped: bool,
}

/// Why a line is invalid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// It begins with something else than a letter, `[` or `#`.
    Start,
    /// A section that is not letters and digits between brackets.
    Section,
    /// Something behind the bracket of a section.
    Behind,
    /// A key that is not letters and digits, or no `=` behind it.
    Equals,
    /// A backslash before this character.
    Escape(Option<char>),
    /// A quote that is not closed.
    Quote,
}

/// Takes a text apart.
pub fn scan(text: &[char], kind: Kind) -> Vec<Entry> {
    Scanner { text, at: 0, kind, starts: line_starts(text), buffer: Vec::new(), section: 0, entries: Vec::new() }.run()
}

/// Where lines begin.
fn line_starts(text: &[char]) -> Vec<usize> {
    let ends = |at: &usize| text[*at] == '\n' || text[*at] == '\r' && text.get(at + 1) != Some(&'\n');
    std::iter::once(0).chain((0..text.len()).filter(ends).map(|at| at + 1)).collect()
}

struct Scanner<'a> {
    text: &'a [char],
    at: usize,
    kind: Kind,
    starts: Vec<usize>,
    /// WSL has one buffer for the section and the key, and how much of it is the section.
    buffer: Vec<char>,
    section: usize,
    entries: Vec<Entry>,
}

impl Scanner<'_> {
    /// The next character and how many it is. Windows reads `\r\n` as one.
    fn look(&self) -> Option<(char, usize)> {
        match (self.text.get(self.at)?, self.text.get(self.at + 1)) {
            ('\r', Some('\n')) if self.kind == Kind::Wslconfig => Some(('\n', 2)),
            (c, _) => Some((*c, 1)),
        }
    }

    fn peek(&self) -> Option<char> {
        self.look().map(|(c, _)| c)
    }

    fn next(&mut self) -> Option<char> {
        let (c, width) = self.look()?;
        self.at += width;
        Some(c)
    }

    fn skip_spaces(&mut self) {
        while matches!(self.peek(), Some(' ' | '\t')) {
            self.at += 1;
        }
    }

    fn skip_line(&mut self) {
        while self.next().is_some_and(|c| c != '\n') {}
    }

    /// Letters and digits.
    fn word(&mut self) -> Vec<char> {
        let mut word = Vec::new();
        while let Some(c) = self.peek().filter(char::is_ascii_alphanumeric) {
            word.push(c);
            self.at += 1;
        }
        word
    }

    fn run(mut self) -> Vec<Entry> {
        loop {
            self.skip_spaces();
            let from = self.at;
            let Some(first) = self.next() else { return self.entries };
            let what = match first {
                '\n' | '\r' => continue,
                '#' => {
                    self.skip_line();
                    continue;
                }
                '[' => self.header(),
                c if c.is_ascii_alphabetic() => {
                    self.at = from;
                    self.setting()
                }
                _ => {
                    self.at = from;
                    Err(Why::Start)
                }
            };
            let what = what.unwrap_or_else(|why| {
                self.skip_line();
                LineKind::Invalid(why)
            });
            let line = self.starts.partition_point(|start| *start <= from);
            let start = self.starts.get(line - 1).copied().unwrap_or(0);
            self.entries.push(Entry { line, start, what });
        }
    }

    /// Behind a `[`.
    fn header(&mut self) -> Result<LineKind, Why> {
        if !self.peek().is_some_and(|c| c.is_ascii_alphabetic()) {
            return Err(Why::Section);
        }
        self.buffer = self.word();
        if self.peek() != Some(']') {
            return Err(Why::Section);
        }
        self.at += 1;
        self.skip_spaces();
        if !matches!(self.peek(), None | Some('\n' | '\r' | '#')) {
            return Err(Why::Behind);
        }
        self.section = self.buffer.len();
        Ok(LineKind::Section(self.buffer.iter().collect()))
    }

    fn setting(&mut self) -> Result<LineKind, Why> {
        // After a broken header the buffer holds something else than the section: WSL cuts or fills it.
        self.buffer.resize(self.section, '\0');
        let section: String = self.buffer.iter().take_while(|c| **c != '\0').collect();
        if self.section > 0 {
            self.buffer.push('.');
        }
        let key = self.word();
        self.buffer.extend(&key);
        let name: String = self.buffer.iter().take_while(|c| **c != '\0').collect();
        self.skip_spaces();
        if self.peek() != Some('=') {
            return Err(Why::Equals);
        }
        self.at += 1;
        self.skip_spaces();
        let (value, span, is_escaped) = self.value()?;
        Ok(LineKind::Setting(Setting { section, key: key.iter().collect(), name, value, span, is_escaped }))
    }

    /// A value up to the end of the line or a comment: without quotes, with escapes resolved, without spaces at its end.
    fn value(&mut self) -> Result<(String, Range<usize>, bool), Why> {
        let mut value = String::new();
        let (mut kept, mut is_quoted, mut is_escaped) = (0, false, false);
        let mut span = self.at..self.at;
        loop {
            let c = match self.peek() {
                None | Some('\n' | '\r') => break,
                Some('#') if !is_quoted => break,
                Some(c) => c,
            };
            self.next();
            match c {
                '"' => is_quoted = !is_quoted,
                '\\' => match self.next() {
                    Some(c @ ('\\' | '"')) => value.push(c),
                    Some(c @ ('b' | 'n' | 't')) => {
                        is_escaped = true;
                        value.push(match c {
                            'b' => '\u{8}',
                            'n' => '\n',
                            _ => '\t',
                        });
                    }
                    // The value goes on in the next line.
                    Some('\n') => {}
                    other => return Err(Why::Escape(other)),
                },
                c => value.push(c),
            }
            if !matches!(c, ' ' | '\t') {
                kept = value.len();
                span.end = self.at;
            }
        }
        if is_quoted {
            return Err(Why::Quote);
        }
        value.truncate(kept);
        // WSL hands it on as a string of C.
        value.truncate(value.find('\0').unwrap_or(value.len()));
        Ok((value, span, is_escaped))
    }
}
