//! Journal rows as series, a bounded number of rows at a time: the sealer runs when memory is short.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::fields::Table;
use crate::journal::reader::Segment;
use crate::recording::{Series, Subject};

/// Rows of a batch, and so of a Parquet row group. DuckDB wants at least 122880 to read in parallel.
pub const ROWS: usize = 128 << 10;

/// A part of a segment: some subjects, from a time up to a time.
#[derive(Debug)]
struct Batch {
    subjects: Vec<Arc<Subject>>,
    from_ns: u64,
    to_ns: u64,
}

/// Gives the rows of a table to `each` in batches of about [`ROWS`], sorted by subject, then by time. The journal is decoded
/// once a batch.
pub fn batches<E>(
    segment: &Segment,
    table: Table,
    wants: impl Fn(&Subject) -> bool,
    mut each: impl FnMut(Vec<Series>) -> Result<(), E>,
) -> Result<(), E> {
    let subjects = segment.subjects();
    // Two numbers may stand for one subject (a process that was forgotten and came back): keyed by the subject itself.
    let mut counts: BTreeMap<Arc<Subject>, (usize, u64, u64)> = BTreeMap::new();
    segment.rows(|head, row| {
        if head.kind.table() == table
            && let Some(subject) = subjects.get(&row.subject)
            && wants(subject)
        {
            let count = counts.entry(subject.clone()).or_insert((0, u64::MAX, 0));
            *count = (count.0 + 1, count.1.min(head.mono_ns), count.2.max(head.mono_ns));
        }
    });
    for batch in plan(counts) {
        let mut series: HashMap<&Arc<Subject>, Series> =
            batch.subjects.iter().map(|subject| (subject, Series::new(subject.clone(), table))).collect();
        segment.rows(|head, row| {
            if head.kind.table() == table
                && (batch.from_ns..batch.to_ns).contains(&head.mono_ns)
                && let Some(series) = subjects.get(&row.subject).and_then(|subject| series.get_mut(subject))
            {
                series.push(segment.origin.anchor.wall_us(head.mono_ns), row);
            }
        });
        let mut ordered: Vec<Series> = batch.subjects.iter().filter_map(|subject| series.remove(subject)).collect();
        ordered.iter_mut().for_each(Series::sort);
        ordered.retain(|series| !series.is_empty());
        each(ordered)?;
    }
    Ok(())
}

fn plan(counts: BTreeMap<Arc<Subject>, (usize, u64, u64)>) -> Vec<Batch> {
    let mut plan = Vec::new();
    let (mut together, mut rows) = (Vec::new(), 0);
    let close = |together: &mut Vec<Arc<Subject>>, plan: &mut Vec<Batch>| {
        if !together.is_empty() {
            plan.push(Batch { subjects: std::mem::take(together), from_ns: 0, to_ns: u64::MAX });
        }
    };
    for (subject, (count, first, last)) in counts {
        if rows + count > ROWS {
            close(&mut together, &mut plan);
            rows = 0;
        }
        if count > ROWS {
            // One subject alone is too much (1 kHz for minutes): cut its time in equal parts.
            let parts = count.div_ceil(ROWS) as u64;
            let step = (last - first) / parts + 1;
            plan.extend((0..parts).map(|part| Batch {
                subjects: vec![subject.clone()],
                from_ns: first + part * step,
                to_ns: first + (part + 1) * step,
            }));
            continue;
        }
        together.push(subject);
        rows += count;
    }
    close(&mut together, &mut plan);
    plan
}
