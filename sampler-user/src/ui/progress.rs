//! Work that takes over a second shows so, in one line of a terminal that is gone when there is something to print.

use std::io::{IsTerminal, Write};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Nothing is shown before.
const PATIENCE: Duration = Duration::from_secs(1);
/// The line is written anew after this time.
const AGAIN: Duration = Duration::from_millis(250);

/// Whether the work goes on.
static WORKS: AtomicBool = AtomicBool::new(false);
/// Rows that were read.
static ROWS: AtomicU64 = AtomicU64::new(0);
/// Held while the line is written; whether it is there.
static SHOWN: Mutex<bool> = Mutex::new(false);

/// Begins to show the progress of a command, on a terminal only.
pub fn begin(what: &'static str) {
    if !std::io::stderr().is_terminal() {
        return;
    }
    WORKS.store(true, Ordering::Relaxed);
    let begun = Instant::now();
    thread::spawn(move || {
        thread::sleep(PATIENCE);
        while show(what, begun.elapsed()) {
            thread::sleep(AGAIN);
        }
    });
}

/// Counts rows that were read.
pub fn rows(count: u64) {
    ROWS.fetch_add(count, Ordering::Relaxed);
}

/// Shows no more.
pub fn end() {
    WORKS.store(false, Ordering::Relaxed);
    clear();
}

/// Takes the line away: there is something to print. While the work goes on it comes back.
pub fn clear() {
    let mut shown = SHOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if std::mem::take(&mut *shown) {
        let _ = write!(std::io::stderr(), "\r\x1b[K");
    }
}

fn show(what: &str, elapsed: Duration) -> bool {
    let mut shown = SHOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if !WORKS.load(Ordering::Relaxed) {
        return false;
    }
    *shown = true;
    let line = words(what, elapsed, ROWS.load(Ordering::Relaxed));
    let _ = write!(std::io::stderr(), "\r\x1b[K{line}");
    true
}

fn words(what: &str, elapsed: Duration, rows: u64) -> String {
    let rows = if rows > 0 { format!(", {:.1} million rows", rows as f64 / 1e6) } else { String::new() };
    format!("{what} … {} s{rows}", elapsed.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_says_what_is_done_and_how_far_it_is() {
        assert_eq!(words("analyze", Duration::from_millis(1900), 0), "analyze … 1 s");
        assert_eq!(words("analyze", Duration::from_secs(12), 3_260_000), "analyze … 12 s, 3.3 million rows");
    }
}
