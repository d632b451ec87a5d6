//! How text looks on a terminal, and in a pipe.

use std::fmt::Write;
use std::io::IsTerminal;

/// Columns where there is no terminal.
const PIPE: usize = 80;
/// Columns at least and at most.
const NARROW: usize = 40;
const WIDE: usize = 120;

/// How a text looks.
#[derive(Clone, Copy, Debug)]
pub struct Style {
    /// Columns of the terminal.
    pub width: usize,
    /// Whether there is colour.
    pub colour: bool,
}

impl Style {
    /// For standard output: as wide as the terminal up to 120 columns, or as `COLUMNS` says, else 80; colour on a terminal only, and
    /// not with `NO_COLOR`.
    pub fn of_terminal() -> Style {
        let is_terminal = std::io::stdout().is_terminal();
        let size = rustix::termios::tcgetwinsize(std::io::stdout()).ok().map(|size| usize::from(size.ws_col));
        let from_environment = || std::env::var("COLUMNS").ok()?.parse::<usize>().ok();
        let width = size.filter(|width| is_terminal && *width > 0).or_else(from_environment).filter(|width| *width > 0);
        let no_colour = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        Style { width: width.unwrap_or(PIPE).clamp(NARROW, WIDE), colour: is_terminal && !no_colour && !dumb }
    }

    /// The text in a colour, by the number of its escape sequence.
    pub fn paint(self, code: &str, text: &str) -> String {
        if self.colour && !code.is_empty() { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    /// A text below others, its lines wrapped and indented by `indent`.
    pub fn paragraph(self, text: &str, indent: usize) -> String {
        let lines = wrap(text, self.width.saturating_sub(indent), 0);
        lines.lines().fold(String::new(), |mut out, line| {
            let _ = writeln!(out, "{:indent$}{line}", "");
            out
        })
    }
}

/// Text in lines of at most this width, each after the first indented.
pub fn wrap(text: &str, width: usize, indent: usize) -> String {
    let mut out = String::new();
    let mut column = 0;
    for word in text.split(' ') {
        let length = word.chars().count();
        if column > indent && column + 1 + length > width {
            let _ = write!(out, "\n{:indent$}", "");
            column = indent;
        } else if column > 0 {
            out.push(' ');
            column += 1;
        }
        out.push_str(word);
        column += length;
    }
    out
}

/// The text within this many characters; what is cut out of its middle is marked.
pub fn shorten(text: &str, most: usize) -> String {
    let length = text.chars().count();
    if length <= most {
        return text.to_owned();
    }
    let kept = most.saturating_sub(1);
    let (head, tail) = (kept.div_ceil(2), kept / 2);
    let first: String = text.chars().take(head).collect();
    let last: String = text.chars().skip(length - tail).collect();
    format!("{first}…{last}")
}
