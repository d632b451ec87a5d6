//! Width and colour of a page.

use std::fmt::Write;
use std::io::IsTerminal;

/// How a page looks.
#[derive(Clone, Copy, Debug)]
pub struct Style {
    /// Columns of the terminal.
    pub width: usize,
    /// Whether there is colour.
    pub colour: bool,
}

impl Style {
    /// For standard output: 100 columns and no colour where that is no terminal, no colour with `NO_COLOR`.
    pub fn of_terminal() -> Style {
        let is_terminal = std::io::stdout().is_terminal();
        let width = rustix::termios::tcgetwinsize(std::io::stdout()).map_or(0, |size| usize::from(size.ws_col));
        let no_colour = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        Style {
            width: if is_terminal && width >= 40 { width.min(140) } else { 100 },
            colour: is_terminal && !no_colour && !dumb,
        }
    }

    /// Text in a colour of the terminal, where there is colour.
    pub fn paint(self, code: &str, text: &str) -> String {
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
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
