//! Lines for the person at the terminal.

use std::io::{self, Write};

use crate::ui::progress;

/// A line for the person, not for the next program. A closed standard error is no reason to stop.
pub fn say(line: &str) {
    progress::clear();
    let _ = writeln!(io::stderr().lock(), "{line}");
}
