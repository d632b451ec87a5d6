//! Journal rows as series, a bounded number of rows at a time: the sealer runs when memory is short.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use crate::journal::index::Part;
use crate::journal::reader::Segment;
use crate::model::fields::Table;
use crate::model::recording::{Series, Subject};
use crate::model::sample::{Mask, PassKind};

/// Rows of a batch, and so of a Parquet row group. DuckDB wants at least 122880 to read in parallel.
pub const ROWS: usize = 128 << 10;

/// Which rows and values of a segment.
pub struct Choice<'a> {
    /// Of a table.
    pub table: Table,
    /// Of these subjects.
    pub wants: &'a dyn Fn(&Subject) -> bool,
    /// Of these passes, wall-clock microseconds.
    pub time: Range<i64>,
    /// Of these slots.
    pub slots: Mask,
    /// How much of it is held at once.
    pub room: Room,
}

/// The room of a batch.
#[derive(Clone, Copy, Debug)]
pub enum Room {
    /// About [`ROWS`], for a row group.
    Rows,
    /// About as many times and values as fit in 16 MiB: few batches of few columns, because each costs a look at the journal.
    Values,
}

impl Room {
    fn all(self) -> usize {
        match self {
            Room::Rows => ROWS,
            Room::Values => 1 << 20,
        }
    }

    /// What a row takes of it.
    fn of(self, slots: Mask) -> usize {
        match self {
            Room::Rows => 1,
            Room::Values => 1 + slots.count_ones() as usize,
        }
    }
}

/// The rows of a subject.
struct Found {
    rows: usize,
    /// Room that they take.
    size: usize,
    first_ns: u64,
    last_ns: u64,
    /// Two numbers may stand for one subject: a process that was forgotten and came back.
    numbers: Vec<u32>,
}

/// A part of a segment: some subjects, from a time up to a time.
#[derive(Debug)]
struct Batch {
    /// With their numbers, and about how many rows they have.
    subjects: Vec<(Arc<Subject>, Vec<u32>, usize)>,
    from_ns: u64,
    to_ns: u64,
}

/// No series of a batch.
const NONE: u32 = u32::MAX;

/// Gives the rows that are chosen to `each` in batches, sorted by subject, then by time. For each batch only those
/// parts of the journal are decoded that may hold some of it.
pub fn batches<E>(
    segment: &Segment,
    choice: &Choice<'_>,
    mut each: impl FnMut(Vec<Series>) -> Result<(), E>,
) -> Result<(), E> {
    let index = segment.index();
    let anchor = segment.origin.anchor;
    let (from_ns, to_ns) = (anchor.mono_ns(choice.time.start), anchor.mono_ns(choice.time.end));
    let mut decoder = index.decoder();
    let wanted = Wanted::of(segment, choice, from_ns..to_ns);
    for batch in plan(find(segment, choice, &wanted), choice.room.all()) {
        let time = batch.from_ns.max(from_ns)..batch.to_ns.min(to_ns);
        let mut place = vec![NONE; index.numbers.len()];
        let mut series = Vec::with_capacity(batch.subjects.len());
        for (subject, numbers, rows) in batch.subjects {
            numbers.iter().for_each(|&number| place[number as usize] = series.len() as u32);
            let mut one = Series::new(subject, choice.table);
            one.reserve(rows);
            series.push(one);
        }
        let mut now = (0, anchor.wall_us(0));
        segment.choose(
            &mut decoder,
            |part, counts| {
                wanted.holds(part)
                    && part.last_ns >= time.start
                    && part.first_ns < time.end
                    && counts.iter().any(|count| place[count.number as usize] != NONE)
            },
            |head, row, number| {
                let at = place.get(number as usize).copied().unwrap_or(NONE);
                if let (Some(series), true) = (series.get_mut(at as usize), time.contains(&head.mono_ns)) {
                    if now.0 != head.mono_ns {
                        now = (head.mono_ns, anchor.wall_us(head.mono_ns));
                    }
                    series.push_slots(now.1, row, choice.slots);
                }
            },
        );
        series.iter_mut().for_each(Series::sort);
        series.retain(|series| !series.is_empty());
        each(series)?;
    }
    Ok(())
}

/// Which parts of a segment are read.
struct Wanted {
    table: Table,
    slots: Mask,
    /// `CLOCK_MONOTONIC` nanoseconds.
    time: Range<u64>,
    /// Within this time, passes of a burst without any of the slots are left out: they only show that the cgroup exists, as the
    /// passes of all cgroups around them do.
    covered: Range<u64>,
}

impl Wanted {
    fn of(segment: &Segment, choice: &Choice<'_>, time: Range<u64>) -> Wanted {
        let mut wanted = Wanted { table: choice.table, slots: choice.slots, time, covered: 0..0 };
        let parts = segment.index().parts().map(|(part, _)| part);
        let others = parts.filter(|part| wanted.holds(part) && part.kind != PassKind::Burst);
        let ends = others.map(|part| part.first_ns..part.last_ns);
        wanted.covered = ends.reduce(|a, b| a.start.min(b.start)..a.end.max(b.end)).unwrap_or(0..0);
        wanted.covered.start = wanted.covered.start.max(wanted.time.start);
        wanted
    }

    fn holds(&self, part: &Part) -> bool {
        let is_bare = part.kind == PassKind::Burst && part.slots & self.slots == 0;
        part.kind.table() == self.table
            && part.last_ns >= self.time.start
            && part.first_ns < self.time.end
            && !(is_bare && part.first_ns > self.covered.start && part.last_ns < self.covered.end.min(self.time.end))
    }
}

/// The subjects that are chosen, and how much there is of each.
fn find(segment: &Segment, choice: &Choice<'_>, wanted: &Wanted) -> BTreeMap<Arc<Subject>, Found> {
    let (index, time) = (segment.index(), &wanted.time);
    let mut counts = vec![(0, 0, u64::MAX, 0); index.numbers.len()];
    for (part, of) in index.parts() {
        if wanted.holds(part) {
            let size = choice.room.of(part.slots & choice.slots);
            for count in of {
                let (rows, sum, first, last) = &mut counts[count.number as usize];
                *rows += count.rows as usize;
                *sum += count.rows as usize * size;
                (*first, *last) = ((*first).min(part.first_ns), (*last).max(part.last_ns));
            }
        }
    }
    let mut found: BTreeMap<Arc<Subject>, Found> = BTreeMap::new();
    for (subject, &number) in &index.numbers {
        let (rows, size, first_ns, last_ns) = counts[number as usize];
        let Some(subject) = segment.subjects().get(subject).filter(|subject| size > 0 && (choice.wants)(subject))
        else {
            continue;
        };
        let (first_ns, last_ns) = (first_ns.max(time.start), last_ns.min(time.end));
        let of =
            found.entry(subject.clone()).or_insert(Found { rows: 0, size: 0, first_ns, last_ns, numbers: Vec::new() });
        (of.rows, of.size) = (of.rows + rows, of.size + size);
        (of.first_ns, of.last_ns) = (of.first_ns.min(first_ns), of.last_ns.max(last_ns));
        of.numbers.push(number);
    }
    found
}

fn plan(found: BTreeMap<Arc<Subject>, Found>, room: usize) -> Vec<Batch> {
    let mut plan = Vec::new();
    let (mut together, mut taken) = (Vec::new(), 0);
    let close = |together: &mut Vec<(Arc<Subject>, Vec<u32>, usize)>, plan: &mut Vec<Batch>| {
        if !together.is_empty() {
            plan.push(Batch { subjects: std::mem::take(together), from_ns: 0, to_ns: u64::MAX });
        }
    };
    for (subject, Found { rows, size, first_ns: first, last_ns: last, numbers }) in found {
        if taken + size > room {
            close(&mut together, &mut plan);
            taken = 0;
        }
        if size > room {
            // One subject alone is too much (1 kHz for minutes): cut its time in equal parts.
            let parts = size.div_ceil(room) as u64;
            let step = last.saturating_sub(first) / parts + 1;
            plan.extend((0..parts).map(|part| Batch {
                subjects: vec![(subject.clone(), numbers.clone(), rows / parts as usize)],
                from_ns: first.saturating_add(part * step),
                to_ns: first.saturating_add((part + 1).saturating_mul(step)),
            }));
            continue;
        }
        together.push((subject, numbers, rows));
        taken += size;
    }
    close(&mut together, &mut plan);
    plan
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::writer::{NoOwner, Rotation, Writer};
    use crate::model::recording::Origin;
    use crate::model::sample::{PassHead, Row};
    use crate::model::sink::Sink;
    use crate::model::time::Anchor;

    const PASSES: u64 = 20_000;

    /// Twelve cgroups; two of them in bursts with more rows than a batch has, one seen again under another number.
    fn segment(dir: &tempfile::TempDir) -> Segment {
        let clock = || Anchor { mono_ns: 0, wall_ns: 0 };
        let (rotation, owner) = (Rotation::default(), Box::new(NoOwner));
        let mut writer = Writer::create_at(dir.path(), Origin::example(clock()), rotation, owner, clock).unwrap();
        for n in 1..14u32 {
            let name = if n == 13 { 12 } else { n };
            writer.subject(n, &Subject { cgroup: format!("/{name:02}"), id: name.into(), process: None });
        }
        for pass in 0..PASSES {
            let of: Vec<u32> = if pass % 10 == 0 {
                (1..13).map(|n| if n == 12 && pass > 9000 { 13 } else { n }).collect()
            } else {
                vec![3; 9]
            };
            let kind = if pass % 10 == 0 { PassKind::Fast } else { PassKind::Burst };
            let head = PassHead { kind, mono_ns: pass * 1_000_000, rows: of.len() as u32 };
            writer.pass(head);
            for n in of {
                let mut row = Row::new(n);
                row.set(0, pass);
                row.set(1, 7);
                writer.row(head, &row);
            }
            if pass % 100 == 0 {
                writer.flush(false);
            }
        }
        let path = writer.segment().unwrap().to_owned();
        drop(writer);
        Segment::open(&path).unwrap()
    }

    #[test]
    fn batches_hold_what_is_chosen_once_in_order_and_are_bounded() {
        let dir = tempfile::tempdir().unwrap();
        let segment = segment(&dir);
        for (time, wanted) in [(i64::MIN..i64::MAX, 0..PASSES), (3_000_500..8_000_000, 3001..8000)] {
            let wants = &|s: &Subject| s.cgroup != "/05";
            let choice = Choice { table: Table::Samples, wants, time, slots: 1, room: Room::Rows };
            let mut rows: BTreeMap<String, Vec<i64>> = BTreeMap::new();
            batches(&segment, &choice, |batch| {
                assert!(batch.iter().map(Series::len).sum::<usize>() <= ROWS);
                assert!(batch.is_sorted_by_key(|series| series.subject.cgroup.clone()));
                for series in batch {
                    let column = series.columns[0].as_ref().unwrap();
                    assert!(column.iter().all(|(row, value)| series.time_us[row] == value as i64 * 1000));
                    assert!(series.columns[1].is_none(), "a slot that was not asked for");
                    rows.entry(series.subject.cgroup.clone()).or_default().extend(&series.time_us);
                }
                Ok::<(), ()>(())
            })
            .unwrap();
            assert_eq!(rows.len(), 11);
            for (cgroup, times) in &rows {
                assert!(times.is_sorted(), "{cgroup}");
                let passes = wanted.clone().map(|pass| {
                    if pass % 10 == 0 {
                        1
                    } else if cgroup == "/03" {
                        9
                    } else {
                        0
                    }
                });
                assert_eq!(times.len(), passes.sum::<usize>(), "{cgroup}");
            }
        }
    }
}
