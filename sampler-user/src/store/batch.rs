//! Journal rows as series, a bounded number of rows at a time: the sealer runs when memory is short.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use crate::journal::index::{Count, Part};
use crate::journal::reader::Segment;
use crate::model::fields::Table;
use crate::model::recording::{Series, Subject};
use crate::model::sample::Mask;

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
    /// With the rows that have none of these slots; else they are there at the ends of a subject's life only, as far as a
    /// segment knows them apart.
    pub bare: bool,
    /// How much of it is held at once.
    pub room: Room,
}

/// The room of a batch.
#[derive(Clone, Copy, Debug)]
pub enum Room {
    /// About [`ROWS`], for a row group: the subjects of a segment come in order, each once but for the largest.
    Rows,
    /// About as many times and values as fit in 4 MiB: a subject comes again with its later rows.
    Values,
}

/// Times and values of a batch that is read.
const VALUES: usize = 256 << 10;
/// Slow intervals that a batch is long at least, where it can be.
const SLOW_INTERVALS: u64 = 2;

/// The rows of a subject.
#[derive(Clone)]
struct Found {
    rows: usize,
    first_ns: u64,
    last_ns: u64,
    /// Two numbers may stand for one subject: a process that was forgotten and came back.
    numbers: Vec<u32>,
}

/// A subject, its numbers, and about how many rows it has.
type Member = (Arc<Subject>, Vec<u32>, usize);

/// A part of a segment: some subjects, in order, from a time up to a time.
#[derive(Debug)]
struct Batch {
    subjects: Arc<[Member]>,
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
    let found = find(segment, &wanted);
    let plan = match choice.room {
        Room::Rows => by_subject(found),
        Room::Values => {
            let mut plan = Vec::new();
            let least_ns = SLOW_INTERVALS * segment.origin.slow_interval_us.saturating_mul(1000);
            by_time(segment, &wanted, &found.into_iter().collect::<Vec<_>>(), least_ns, &mut plan);
            plan
        }
    };
    for batch in plan {
        let time = batch.from_ns.max(from_ns)..batch.to_ns.min(to_ns);
        let mut place = vec![NONE; index.numbers.len()];
        for (at, (_, numbers, _)) in batch.subjects.iter().enumerate() {
            numbers.iter().for_each(|&number| place[number as usize] = at as u32);
        }
        // Made at its first row: of many cgroups few may have any in a short time.
        let mut series: Vec<Option<Series>> = vec![None; batch.subjects.len()];
        let mut now = (0, anchor.wall_us(0));
        segment.choose(
            &mut decoder,
            |part, counts| {
                part.last_ns >= time.start
                    && part.first_ns < time.end
                    && wanted.needs(part, counts)
                    && counts.iter().any(|count| place[count.number as usize] != NONE)
            },
            |head, row, number| {
                let at = place.get(number as usize).copied().unwrap_or(NONE) as usize;
                let Some(one) = series.get_mut(at).filter(|_| time.contains(&head.mono_ns)) else { return };
                let one = one.get_or_insert_with(|| {
                    let (subject, _, rows) = &batch.subjects[at];
                    let mut one = Series::new(subject.clone(), choice.table);
                    one.reserve(*rows);
                    one
                });
                if now.0 != head.mono_ns {
                    now = (head.mono_ns, anchor.wall_us(head.mono_ns));
                }
                one.push_slots(now.1, row, choice.slots);
            },
        );
        let mut series: Vec<Series> = series.into_iter().flatten().collect();
        series.iter_mut().for_each(Series::sort);
        each(series)?;
    }
    Ok(())
}

/// Which parts of a segment are read.
struct Wanted {
    table: Table,
    slots: Mask,
    bare: bool,
    /// `CLOCK_MONOTONIC` nanoseconds.
    time: Range<u64>,
    /// When the first part with rows of a chosen subject begins and the last one ends, by its number.
    spans: Vec<(u64, u64)>,
}

impl Wanted {
    fn of(segment: &Segment, choice: &Choice<'_>, time: Range<u64>) -> Wanted {
        let index = segment.index();
        let mut wanted =
            Wanted { table: choice.table, slots: choice.slots, bare: choice.bare, time, spans: Vec::new() };
        let mut spans = vec![(u64::MAX, 0); index.numbers.len()];
        let mut is_chosen = vec![false; index.numbers.len()];
        for (subject, &number) in &index.numbers {
            is_chosen[number as usize] = segment.subjects().get(subject).is_some_and(|subject| (choice.wants)(subject));
        }
        for (part, counts) in index.parts().filter(|(part, _)| wanted.holds(part)) {
            for count in counts.iter().filter(|count| is_chosen[count.number as usize]) {
                let (first, last) = &mut spans[count.number as usize];
                (*first, *last) = ((*first).min(part.first_ns), (*last).max(part.last_ns));
            }
        }
        wanted.spans = spans;
        wanted
    }

    fn holds(&self, part: &Part) -> bool {
        part.kind.table() == self.table && part.last_ns >= self.time.start && part.first_ns < self.time.end
    }

    /// Whether a part is read: it has some of the slots, or the first or last rows of a subject. What is between only shows that
    /// the cgroup exists, which those two show as well.
    fn needs(&self, part: &Part, counts: &[Count]) -> bool {
        let is_edge = |count: &Count| {
            let (first, last) = self.spans[count.number as usize];
            part.first_ns == first || part.last_ns == last
        };
        self.holds(part) && (self.bare || part.slots & self.slots != 0 || counts.iter().any(is_edge))
    }
}

/// The subjects that are chosen, and how much there is of each.
fn find(segment: &Segment, wanted: &Wanted) -> BTreeMap<Arc<Subject>, Found> {
    let (index, time) = (segment.index(), &wanted.time);
    let mut counts = vec![0; index.numbers.len()];
    for (_, of) in index.parts().filter(|(part, of)| wanted.needs(part, of)) {
        of.iter().for_each(|count| counts[count.number as usize] += count.rows as usize);
    }
    let mut found: BTreeMap<Arc<Subject>, Found> = BTreeMap::new();
    for (subject, &number) in &index.numbers {
        let (rows, (first_ns, last_ns)) = (counts[number as usize], wanted.spans[number as usize]);
        let Some(subject) = segment.subjects().get(subject).filter(|_| rows > 0 && first_ns <= last_ns) else {
            continue;
        };
        let (first_ns, last_ns) = (first_ns.max(time.start), last_ns.min(time.end));
        let of = found.entry(subject.clone()).or_insert(Found { rows: 0, first_ns, last_ns, numbers: Vec::new() });
        of.rows += rows;
        (of.first_ns, of.last_ns) = (of.first_ns.min(first_ns), of.last_ns.max(last_ns));
        of.numbers.push(number);
    }
    found
}

/// Batches of about [`ROWS`] rows, in the order of their subjects over all of them.
fn by_subject(found: BTreeMap<Arc<Subject>, Found>) -> Vec<Batch> {
    let mut plan = Vec::new();
    let (mut together, mut taken) = (Vec::new(), 0);
    let close = |together: &mut Vec<Member>, plan: &mut Vec<Batch>| {
        if !together.is_empty() {
            plan.push(Batch { subjects: std::mem::take(together).into(), from_ns: 0, to_ns: u64::MAX });
        }
    };
    for (subject, Found { rows, first_ns: first, last_ns: last, numbers }) in found {
        if taken + rows > ROWS {
            close(&mut together, &mut plan);
            taken = 0;
        }
        if rows > ROWS {
            // One subject alone is too much (1 kHz for minutes): cut its time in equal parts.
            let parts = rows.div_ceil(ROWS) as u64;
            let step = last.saturating_sub(first) / parts + 1;
            let subjects: Arc<[_]> = [(subject, numbers, rows / parts as usize)].into();
            plan.extend((0..parts).map(|part| Batch {
                subjects: subjects.clone(),
                from_ns: first.saturating_add(part * step),
                to_ns: first.saturating_add((part + 1).saturating_mul(step)),
            }));
            continue;
        }
        together.push((subject, numbers, rows));
        taken += rows;
    }
    close(&mut together, &mut plan);
    plan
}

/// Batches of about [`VALUES`], one time after the other, so that the journal is decoded once. Half the subjects at a time where a
/// batch of all would be shorter than `least_ns`: what is read slowly would be missing in it.
fn by_time(segment: &Segment, wanted: &Wanted, found: &[(Arc<Subject>, Found)], least_ns: u64, plan: &mut Vec<Batch>) {
    let index = segment.index();
    let mut is_chosen = vec![false; index.numbers.len()];
    found.iter().flat_map(|(_, found)| &found.numbers).for_each(|&number| is_chosen[number as usize] = true);
    let mut sizes = Vec::new();
    for (part, counts) in index.parts().filter(|(part, counts)| wanted.needs(part, counts)) {
        let rows = counts.iter().filter(|count| is_chosen[count.number as usize]).map(|count| count.rows as usize);
        match rows.sum::<usize>() {
            0 => {}
            rows => sizes.push((part.first_ns, rows * (1 + (part.slots & wanted.slots).count_ones() as usize))),
        }
    }
    sizes.sort_unstable();
    let Some(&(first_ns, _)) = sizes.first() else { return };
    let (mut begins, mut taken) = (vec![0], 0);
    let mut is_short = false;
    for (at_ns, size) in sizes {
        let begin = begins.last().copied().unwrap_or(0).max(first_ns);
        if taken + size > VALUES && at_ns > begin {
            is_short |= at_ns - begin < least_ns;
            begins.push(at_ns);
            taken = 0;
        }
        taken += size;
    }
    if is_short && found.len() > 1 {
        let (one, other) = found.split_at(found.len() / 2);
        by_time(segment, wanted, one, least_ns, plan);
        by_time(segment, wanted, other, least_ns, plan);
        return;
    }
    let room = |found: &Found| found.rows / begins.len() + 1;
    let subjects: Arc<[_]> =
        found.iter().map(|(subject, found)| (subject.clone(), found.numbers.clone(), room(found))).collect();
    let ends = begins[1..].iter().copied().chain([u64::MAX]);
    let batch = |(from_ns, to_ns)| Batch { subjects: subjects.clone(), from_ns, to_ns };
    plan.extend(begins.iter().copied().zip(ends).map(batch));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::writer::{NoOwner, Rotation, Writer};
    use crate::model::recording::Origin;
    use crate::model::sample::{PassHead, PassKind, Row};
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
            let choice = Choice { table: Table::Samples, wants, time, slots: 1, bare: true, room: Room::Rows };
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

    #[test]
    fn what_is_read_comes_one_time_after_the_other_and_each_row_once() {
        let dir = tempfile::tempdir().unwrap();
        let segment = segment(&dir);
        let wants = &|_: &Subject| true;
        let choice =
            Choice { table: Table::Samples, wants, time: i64::MIN..i64::MAX, slots: 3, bare: true, room: Room::Values };
        let mut rows: BTreeMap<String, Vec<i64>> = BTreeMap::new();
        let mut sizes = Vec::new();
        batches(&segment, &choice, |batch| {
            sizes.push(batch.iter().map(|one| 3 * one.len()).sum::<usize>());
            for one in &batch {
                rows.entry(one.subject.cgroup.clone()).or_default().extend(&one.time_us);
            }
            Ok::<(), ()>(())
        })
        .unwrap();
        assert!(sizes.len() > 1 && sizes.iter().all(|size| *size <= VALUES), "{sizes:?}");
        assert_eq!(sizes.iter().sum::<usize>(), 3 * (12 * 2000 + 9 * 18_000));
        assert!(rows.values().all(|times| times.is_sorted()));
    }

    #[test]
    fn rows_without_a_wanted_value_are_read_at_the_ends_of_a_cgroup_only() {
        let dir = tempfile::tempdir().unwrap();
        let clock = || Anchor { mono_ns: 0, wall_ns: 0 };
        let (rotation, owner) = (Rotation::default(), Box::new(NoOwner));
        let mut writer = Writer::create_at(dir.path(), Origin::example(clock()), rotation, owner, clock).unwrap();
        for n in 1..4u32 {
            writer.subject(n, &Subject { cgroup: format!("/{n}"), id: n.into(), process: None });
        }
        for tick in 0..2000u64 {
            // The third lives for a fifth of a second, in which nothing slow is read of it.
            let of = if (1003..1005).contains(&tick) { 1..4u32 } else { 1..3 };
            for (kind, slot) in [(PassKind::Fast, 0), (PassKind::Slow, 1)] {
                if kind == PassKind::Slow && tick % 10 != 5 {
                    continue;
                }
                let head = PassHead { kind, mono_ns: tick * 100_000_000, rows: of.len() as u32 };
                writer.pass(head);
                for n in of.clone() {
                    let mut row = Row::new(n);
                    row.set(slot, tick);
                    writer.row(head, &row);
                }
            }
            writer.flush(false);
        }
        let path = writer.segment().unwrap().to_owned();
        drop(writer);
        let segment = Segment::open(&path).unwrap();
        let wants = &|_: &Subject| true;
        let choice = Choice {
            table: Table::Samples,
            wants,
            time: i64::MIN..i64::MAX,
            slots: 2,
            bare: false,
            room: Room::Values,
        };
        let mut found: BTreeMap<String, (usize, usize, i64, i64)> = BTreeMap::new();
        batches(&segment, &choice, |batch| {
            for one in batch {
                let values = one.columns[1].as_ref().map_or(0, |column| column.values.len());
                let of = found.entry(one.subject.cgroup.clone()).or_insert((0, 0, one.time_us[0], 0));
                *of = (of.0 + one.len(), of.1 + values, of.2, *one.time_us.last().unwrap());
            }
            Ok::<(), ()>(())
        })
        .unwrap();
        for cgroup in ["/1", "/2"] {
            let (rows, values, from, to) = found[cgroup];
            assert_eq!((values, from, to), (200, 0, 199_900_000), "{cgroup}");
            assert!(rows < 210, "{rows} rows of {cgroup}");
        }
        assert_eq!(found["/3"], (2, 0, 100_300_000, 100_400_000));
    }
}
