//! What goes to the terminal or to the next program; addresses of object storage stand in place of their local copies.

use std::io::{self, Write};

use anyhow::Context;
use sampler::model::problem::Problem;
use sampler::ui::{progress, terminal};

use crate::cli::remote::display::with_addresses;

/// A line for the person, not for the next program. A closed standard error is no reason to stop.
pub fn say(line: &str) {
    terminal::say(&with_addresses(line));
}

/// Writes a whole text to standard output.
pub fn print(text: &str) -> anyhow::Result<()> {
    progress::end();
    let mut out = io::stdout().lock();
    out.write_all(with_addresses(text).as_bytes()).and_then(|()| out.flush()).context("write to standard output")
}

/// What could not be read, for the person who reads what the next program gets.
pub fn say_problems(problems: &[Problem]) {
    problems.iter().for_each(|problem| say(&format!("sampler: {problem}")));
}
