//! Which of the columns of a table is the time, and which of several is the field.

use std::collections::HashMap;

use crate::model::fields::FieldId;
use crate::model::units::printable;
use crate::reading::import::columns::{Meaning, Unknown};
use crate::reading::import::intake::{Intake, Stop, Target};
use crate::reading::import::records::dialect::Dialect;
use crate::reading::import::time::{Epoch, Stamp, whole};

/// A column whose cells are times, where no name says time; and the unit of numbers where the name does not.
pub fn time_by_content<'a, I: Iterator<Item = &'a str> + Clone>(
    names: &[String],
    meanings: &mut [Result<Meaning, Unknown>],
    cells: &impl Fn(usize) -> I,
    dialect: Dialect,
    timed: bool,
    intake: &mut Intake<'_>,
) -> Result<(), Stop> {
    let is_time = |m: &Result<Meaning, Unknown>| matches!(m, Ok(Meaning::Time(_) | Meaning::Elapsed));
    if !timed && !meanings.iter().any(is_time) {
        let looks = |at: &usize| {
            let mut seen = cells(*at).take(20).peekable();
            seen.peek().is_some() && seen.all(|cell| whole(cell, dialect.day_first).is_some())
        };
        if let Some(at) = (0..names.len()).filter(|at| meanings[*at].is_err()).find(looks) {
            intake.notes.time(format!("`{}` is the time, by what it holds", printable(&names[at])));
            meanings[at] = Ok(Meaning::Time(None));
        }
    }
    for (at, meaning) in meanings.iter_mut().enumerate() {
        let Ok(Meaning::Time(unit)) = meaning else { continue };
        let number = cells(at).next().and_then(|cell| cell.parse::<f64>().ok());
        let shown = printable(&names[at]);
        match (number, &unit) {
            (Some(number), None) => {
                *unit = Some(Epoch::of(number).unwrap_or(Epoch::Seconds));
                if let Some(found) = Epoch::of(number) {
                    intake.notes.time(format!("`{shown}` is taken as {} since 1970", found.per_second().1));
                }
            }
            (Some(_), Some(unit)) => intake.notes.time(format!("`{shown}` has {} since 1970", unit.per_second().1)),
            (None, _) => intake.notes.time(format!("`{shown}` has dates and times")),
        }
    }
    // Of several times the first is taken, unless it is a date whose time of day stands in the next.
    let times: Vec<usize> = (0..meanings.len()).filter(|at| matches!(meanings[*at], Ok(Meaning::Time(_)))).collect();
    let is_day =
        |at: usize| cells(at).next().is_some_and(|c| matches!(whole(c, dialect.day_first), Some(Stamp::Day(_))));
    let is_number = |at: &usize| cells(*at).next().is_some_and(|cell| cell.parse::<f64>().is_ok());
    let keep = match times.as_slice() {
        // Numbers since 1970 need no zone.
        [_, _, ..] if times.iter().any(is_number) => times.iter().copied().filter(is_number).take(1).collect(),
        [first, second, ..] if is_day(*first) => vec![*first, *second],
        [first, ..] => vec![*first],
        [] => Vec::new(),
    };
    for at in times.into_iter().filter(|at| !keep.contains(at)) {
        intake.notes.leave_out(&names[at], format!("`{}` is the time", printable(&names[keep[0]])));
        meanings[at] = Err(Unknown::NotOurs);
    }
    Ok(())
}

/// Of several columns for one field one is taken: RSS beside usage is anonymous memory, and less than usage is left out.
pub fn settle(names: &[String], meanings: &mut [Result<Meaning, Unknown>], intake: &mut Intake<'_>) {
    let rank_of = |meanings: &[Result<Meaning, Unknown>], column: &str| {
        let ranked = meanings.iter().enumerate().filter_map(|(at, meaning)| match meaning {
            Ok(Meaning::Field { target, rank, .. }) if target.column() == column => Some((*rank, usize::MAX - at)),
            Ok(Meaning::UsageAndLimit) if column == "current" || column == "max" => Some((9, usize::MAX - at)),
            _ => None,
        });
        ranked.max().map(|(rank, at)| (rank, usize::MAX - at))
    };
    let Some((best, _)) = rank_of(meanings, "current") else { return };
    let has_anon = rank_of(meanings, "anon").is_some();
    for (at, meaning) in meanings.iter_mut().enumerate() {
        let Ok(Meaning::Field { target, rank, .. }) = meaning else { continue };
        let is_rss = *rank == 5 && names[at].to_ascii_lowercase().contains("rss");
        if target.column() == "current" && best > 6 && is_rss && !has_anon {
            *target = Target::Field(FieldId::Anon.field());
        }
    }
    let columns: HashMap<&'static str, usize> = meanings
        .iter()
        .filter_map(|meaning| match meaning {
            Ok(Meaning::Field { target, .. }) => Some(target.column()),
            _ => None,
        })
        .filter_map(|column| Some((column, rank_of(meanings, column)?.1)))
        .collect();
    for at in 0..meanings.len() {
        let Ok(Meaning::Field { target, .. }) = &meanings[at] else { continue };
        if let Some(&taken) = columns.get(target.column()).filter(|taken| **taken != at) {
            let (theirs, other) = (printable(&names[at]), printable(&names[taken]));
            intake.notes.leave_out(
                &names[at],
                format!("`{other}` is taken for {} (--map {theirs}=FIELD to have it too)", target.column()),
            );
            meanings[at] = Err(Unknown::NotOurs);
        }
    }
}
