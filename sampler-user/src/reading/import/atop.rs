//! The parseable output of atop: `atop -P PRM,MEM` (its manual, "parseable output").

use std::io::Read;

use crate::model::fields::FieldId;
use crate::reading::import::intake::{Intake, Place, Stop, Target};
use crate::reading::import::text::Lines;

/// Whether a line is of this form: a label, host, seconds since 1970, date, time, interval.
pub fn is_line(line: &str) -> bool {
    let words: Vec<&str> = line.split_whitespace().take(6).collect();
    let is_label = |word: &str| {
        (2..=4).contains(&word.len()) && word.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
    };
    words.len() == 6
        && is_label(words[0])
        && words[2].parse::<u64>().is_ok()
        && words[3].matches('/').count() == 2
        && words[4].contains(':')
}

/// Reads lines of processes, or where there are none, of the machine.
pub fn read(lines: &mut Lines<impl Read>, intake: &mut Intake<'_>) -> Result<(), Stop> {
    intake.notes.formats.insert("atop");
    let current = Target::Field(FieldId::Current.field());
    while let Some(line) = lines.next_line()? {
        if line.trim().is_empty() || matches!(line.trim(), "SEP" | "RESET") {
            continue;
        }
        let mut words = line.split_whitespace();
        let label = words.next().unwrap_or("");
        let Some(seconds) = words.nth(1).and_then(|word| word.parse::<i64>().ok()) else {
            intake.notes.unread_lines += 1;
            continue;
        };
        let time_us = seconds.saturating_mul(1_000_000);
        match label {
            "PRM" => {
                let Some((who, rss, swap)) = process(line) else {
                    intake.notes.unread_lines += 1;
                    continue;
                };
                let Some(rss) = rss else { continue };
                let place = Place { who: &who, life: 0, time_us };
                intake.notes.took("PRM resident memory", current, "KiB", false);
                intake.put(&place, current, rss * 1024.0)?;
                if let Some(swap) = swap {
                    intake.put(&place, Target::Field(FieldId::SwapCurrent.field()), swap * 1024.0)?;
                }
            }
            "MEM" => {
                let numbers: Vec<f64> = line.split_whitespace().skip(6).map_while(|word| word.parse().ok()).collect();
                let [page, total, free, cache, buffers, slab, ..] = numbers.as_slice() else {
                    intake.notes.unread_lines += 1;
                    continue;
                };
                let place = Place { who: crate::reading::import::free::MACHINE, life: 0, time_us };
                intake.notes.took("MEM", current, "pages", false);
                intake.put(&place, current, (total - free - cache - buffers - slab).max(0.0) * page)?;
                intake.put(&place, Target::Field(FieldId::File.field()), cache * page)?;
            }
            _ => intake.notes.leave_out(label, "it is not about memory of processes or of the machine"),
        }
    }
    Ok(())
}

/// Name and pid, resident and swapped KiB; no sizes of a thread, whose memory is that of its process.
fn process(line: &str) -> Option<(String, Option<f64>, Option<f64>)> {
    // The name stands in parentheses and may have spaces; with -Z it has neither.
    let mut rest = line;
    for _ in 0..6 {
        rest = rest.trim_start().split_once(' ')?.1;
    }
    let (pid, rest) = rest.trim_start().split_once(' ')?;
    let rest = rest.trim_start();
    let (name, rest) = match rest.strip_prefix('(') {
        // Names may have parentheses: the state, one capital, follows the last.
        Some(inside) => {
            let is_end = |(at, _): &(usize, &str)| {
                inside[at + 2..].trim_start().split(' ').next().is_some_and(|state| state.len() == 1)
            };
            let (at, _) = inside.match_indices(") ").find(is_end)?;
            (&inside[..at], &inside[at + 2..])
        }
        None => rest.split_once(' ')?,
    };
    let pid: u32 = pid.parse().ok()?;
    let cells: Vec<&str> = rest.split_whitespace().collect();
    // state, page size, virtual, resident, text, growths, faults, library, data, stack, swap, tgid, is_process
    let rss: f64 = cells.get(3)?.parse().ok()?;
    let swap = cells.get(12).and_then(|cell| cell.parse().ok());
    let is_thread = cells.get(14) == Some(&"n");
    Some((format!("{name} ({pid})"), (!is_thread).then_some(rss), swap.filter(|_| !is_thread)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processes_are_read_and_threads_are_not() {
        let line = |name: &str, kind: &str| {
            format!(
                "PRM vm 1795906632 2026/11/28 22:57:12 14293 59 ({name}) S 4096 38356 11720 5308 38356 11720 627 0 8 30880 132 7 1 {kind} 0 38324"
            )
        };
        assert!(is_line(&line("a", "y")) && !is_line("SEP") && !is_line("PID RSS COMMAND a b c"));
        assert_eq!(process(&line("my (odd) app", "y")), Some(("my (odd) app (59)".into(), Some(11720.0), Some(7.0))));
        assert_eq!(process(&line("app", "n")).unwrap().1, None);
        assert_eq!(process("PRM vm 1 2 3"), None);
    }
}
