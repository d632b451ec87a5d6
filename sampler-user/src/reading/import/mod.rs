//! Reading what was collected elsewhere: the JSON of Prometheus, logs of `docker stats`, `ps` and their kind, CSV.
//!
//! ```text
//! bytes ─▶ text (UTF-16, size of a line) ─▶ guess ─▶ one reader a format ─▶ Intake ─▶ Sink (points, and from there a recording)
//! ```
//!
//! A reader is pure: it takes text and yields values with their time and cgroup. What it guessed is kept in [`Notes`]; where a
//! guess would be a gamble, it stops with a sentence and the arguments that decide ([`Stop`]).

pub mod atop;
mod bounded;
pub mod cgtop;
pub mod clock;
pub mod columns;
pub mod csv;
pub mod docker_stats;
pub mod exposition;
mod forms;
pub mod free;
pub mod guess;
pub mod intake;
pub mod json;
pub mod kubectl_top;
pub mod labels;
pub mod line_protocol;
pub mod log;
pub mod mprof;
pub mod parquet;
pub mod points;
pub mod proc;
pub mod prometheus;
pub mod ps;
pub mod psrecord;
pub mod records;
pub mod size;
pub mod stat;
pub mod text;
pub mod time;

use std::io::{self, Read};

pub use self::intake::{Intake, Notes, Options, Place, Sink, Stop, Taken, Target, is_plausible};

/// Reads the text of a file, whatever it is. Parquet is no text: see [`parquet::read`].
pub fn read(bytes: impl Read, intake: &mut Intake<'_>) -> Result<(), Stop> {
    let mut bytes = text::Decoded::new(bytes)?;
    let head = text::head(&mut bytes)?;
    // Of old, lines ended with a carriage return alone.
    let returns = head.contains(&b'\r') && !head.contains(&b'\n');
    let head = if returns { text::with_newlines(head) } else { head };
    let format = guess::format(&head);
    let form = forms::of(&head).filter(|_| format == guess::Format::Json);
    let whole = text::Returns::new(io::Cursor::new(head).chain(bytes), returns);
    if let Some(form) = form {
        return form.read(whole, intake);
    }
    match format {
        guess::Format::Json => json::read(whole, intake),
        guess::Format::LineProtocol => line_protocol::read(&mut text::Lines::new(whole), intake),
        guess::Format::Mprof => mprof::read(&mut text::Lines::new(whole), intake),
        guess::Format::Log => log::read(&mut text::Lines::new(whole), intake),
        guess::Format::Exposition => exposition::read(&mut text::Lines::new(whole), intake),
        guess::Format::Atop => atop::read(&mut text::Lines::new(whole), intake),
        guess::Format::Psrecord => psrecord::read(&mut text::Lines::new(whole), intake),
        guess::Format::Csv => csv::read(&mut text::Lines::new(whole), intake),
    }
}
