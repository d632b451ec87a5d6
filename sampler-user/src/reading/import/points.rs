//! Values in the order of cgroup and time, in bounded memory: what does not fit is sorted and kept in a file without a name.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use crate::model::fields;
use crate::model::fields::{FieldId, Table};
use crate::model::sample::{Mask, Row};
use crate::model::time::format_us;
use crate::model::units::printable;
use crate::reading::import::intake::{Place, Sink, Stop, Target};

/// One value; the order is that of the fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Point {
    who: u32,
    time_us: i64,
    slot: u8,
    value: u64,
}

/// Longest name of a cgroup, bytes: that of a path.
const MOST_NAME: usize = 4096;
/// Bytes of a point in the file.
const BYTES: usize = 21;
/// Points in memory.
const RUN: usize = 512 << 10;
/// Points of a run that are read at once.
const PART: usize = 2048;

impl Point {
    fn to_bytes(self) -> [u8; BYTES] {
        let mut bytes = [0; BYTES];
        bytes[..4].copy_from_slice(&self.who.to_le_bytes());
        bytes[4..12].copy_from_slice(&self.time_us.to_le_bytes());
        bytes[12] = self.slot;
        bytes[13..].copy_from_slice(&self.value.to_le_bytes());
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Option<Point> {
        Some(Point {
            who: u32::from_le_bytes(bytes.get(..4)?.try_into().ok()?),
            time_us: i64::from_le_bytes(bytes.get(4..12)?.try_into().ok()?),
            slot: *bytes.get(12)?,
            value: u64::from_le_bytes(bytes.get(13..BYTES)?.try_into().ok()?),
        })
    }
}

/// A number of the host's table is put behind those of the samples.
const HOST: u8 = 128;
/// The working set, which stands for `current` where there is none.
const WORKING_SET: u8 = 255;
/// Whose the values of the host are: behind all cgroups.
const MACHINE: u32 = u32::MAX;

/// Values of cgroups.
pub struct Points {
    names: Vec<(String, u64)>,
    numbers: HashMap<(String, u64), u32>,
    /// Slots that a cgroup has.
    has: Vec<Mask>,
    last: Option<u32>,
    run: Vec<Point>,
    sorted: bool,
    /// A file without a name, and how many points each run in it has.
    spill: Option<File>,
    runs: Vec<u64>,
    most_names: usize,
    folder: std::path::PathBuf,
    /// Points taken.
    pub taken: u64,
}

/// Rows of one cgroup, or of the host.
#[derive(Clone, Debug, PartialEq)]
pub struct Whose<'a> {
    /// Table of the rows.
    pub table: Table,
    /// The cgroup.
    pub name: &'a str,
    /// Its life.
    pub life: u64,
}

/// What the values come to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Summary {
    /// Rows.
    pub rows: u64,
    /// Cgroups that have rows.
    pub cgroups: u64,
    /// First and last time, microseconds since 1970.
    pub span_us: Option<(i64, i64)>,
    /// The usual time between rows of a cgroup, microseconds.
    pub interval_us: i64,
    /// Values that came twice.
    pub doubled: u64,
    /// Whether any row is of the host.
    pub host: bool,
}

impl Points {
    /// None yet. What does not fit into memory goes into `folder`; more cgroups than `most_names` are refused.
    pub fn new(folder: &std::path::Path, most_names: usize) -> Points {
        Points {
            names: Vec::new(),
            numbers: HashMap::new(),
            has: Vec::new(),
            last: None,
            run: Vec::new(),
            sorted: false,
            spill: None,
            runs: Vec::new(),
            most_names,
            folder: folder.to_owned(),
            taken: 0,
        }
    }

    fn number(&mut self, place: &Place<'_>) -> Result<u32, Stop> {
        if let Some(last) = self.last
            && let Some((name, life)) = self.names.get(last as usize)
            && name == place.who
            && *life == place.life
        {
            return Ok(last);
        }
        if place.who.len() > MOST_NAME {
            return Err(Stop::new(format!("a cgroup has a name of {} bytes: that is no name", place.who.len())));
        }
        let key = (place.who.to_owned(), place.life);
        if let Some(number) = self.numbers.get(&key) {
            self.last = Some(*number);
            return Ok(*number);
        }
        if self.names.len() >= self.most_names {
            let more = (self.most_names * 10).to_string();
            return Err(Stop::needs(
                format!(
                    "there are more than {} cgroups; allow more if that is meant (about 200 bytes of memory each)",
                    self.most_names
                ),
                ["--max-cgroups", &more],
            ));
        }
        let number = self.names.len() as u32;
        self.names.push(key.clone());
        self.has.push(0);
        self.numbers.insert(key, number);
        self.last = Some(number);
        Ok(number)
    }

    fn sort(&mut self) {
        if !self.sorted {
            self.run.sort_unstable();
            self.sorted = true;
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.sort();
        let file = match &self.spill {
            Some(file) => file,
            None => self.spill.insert(unnamed_file(&self.folder)?),
        };
        let mut at = self.runs.iter().sum::<u64>() * BYTES as u64;
        for part in self.run.chunks(PART) {
            let bytes: Vec<u8> = part.iter().flat_map(|point| point.to_bytes()).collect();
            file.write_all_at(&bytes, at)?;
            at += bytes.len() as u64;
        }
        self.runs.push(self.run.len() as u64);
        self.run.clear();
        Ok(())
    }

    /// All points in order.
    fn each(&mut self, mut take: impl FnMut(Point) -> Result<(), Stop>) -> Result<(), Stop> {
        self.sort();
        let Some(file) = &self.spill else { return self.run.iter().try_for_each(|point| take(*point)) };
        let mut from = 0;
        let mut runs: Vec<Run> = Vec::new();
        for points in &self.runs {
            runs.push(Run { at: from, left: *points, ready: Vec::new() });
            from += points * BYTES as u64;
        }
        let mut heap = BinaryHeap::new();
        for (n, run) in runs.iter_mut().enumerate() {
            heap.extend(run.next(file)?.map(|point| Reverse((point, n))));
        }
        let mut memory = self.run.iter().copied();
        heap.extend(memory.next().map(|point| Reverse((point, usize::MAX))));
        while let Some(Reverse((point, n))) = heap.pop() {
            take(point)?;
            let next = match runs.get_mut(n) {
                Some(run) => run.next(file)?,
                None => memory.next(),
            };
            heap.extend(next.map(|point| Reverse((point, n))));
        }
        Ok(())
    }

    /// Looks at all values before any is written: what would merge stops here.
    pub fn summary(&mut self) -> Result<Summary, Stop> {
        let mut summary = Summary::default();
        let mut before: Option<Point> = None;
        let mut steps: Vec<i64> = Vec::new();
        let names = std::mem::take(&mut self.names);
        let result = self.each(|point| {
            let same_row = before.is_some_and(|b| b.who == point.who && b.time_us == point.time_us);
            if let Some(b) = before.filter(|b| same_row && b.slot == point.slot) {
                if b.value != point.value {
                    return Err(conflict(&names, b, point));
                }
                summary.doubled += 1;
                return Ok(());
            }
            if !same_row {
                summary.rows += 1;
                summary.host |= point.who == MACHINE;
                match before.filter(|b| b.who == point.who) {
                    Some(b) if steps.len() < 65536 => steps.push(point.time_us - b.time_us),
                    Some(_) => {}
                    None => summary.cgroups += u64::from(point.who != MACHINE),
                }
                let (first, last) = summary.span_us.unwrap_or((point.time_us, point.time_us));
                summary.span_us = Some((first.min(point.time_us), last.max(point.time_us)));
            }
            before = Some(point);
            Ok(())
        });
        self.names = names;
        result?;
        steps.sort_unstable();
        summary.interval_us = steps.get(steps.len() / 2).copied().unwrap_or(0);
        Ok(summary)
    }

    /// Gives the rows of a table, one cgroup after the other, each in the order of time.
    pub fn rows(
        &mut self,
        table: Table,
        mut each: impl FnMut(&Whose<'_>, i64, &Row) -> Result<(), Stop>,
    ) -> Result<(), Stop> {
        let names = std::mem::take(&mut self.names);
        let has = std::mem::take(&mut self.has);
        let mut row = Row::new(0);
        let mut open: Option<(u32, i64)> = None;
        let is_host = table == Table::Host;
        let mut give = |open: Option<(u32, i64)>, row: &mut Row| -> Result<(), Stop> {
            let Some((who, time_us)) = open else { return Ok(()) };
            // A working set of a time that has no usage says nothing beside usage.
            if row.mask == 0 {
                return Ok(());
            }
            let (name, life) = names.get(who as usize).map_or(("", 0), |(name, life)| (name.as_str(), *life));
            each(&Whose { table, name, life }, time_us, row)?;
            row.mask = 0;
            Ok(())
        };
        let current = FieldId::Current.field().slot;
        let result = self.each(|point| {
            if (point.who == MACHINE) != is_host {
                return Ok(());
            }
            if open != Some((point.who, point.time_us)) {
                give(open, &mut row)?;
                open = Some((point.who, point.time_us));
            }
            match point.slot {
                WORKING_SET => {
                    if has.get(point.who as usize).is_some_and(|has| has >> current & 1 == 0) {
                        row.set(current, point.value);
                    }
                }
                slot => row.set(usize::from(slot & (HOST - 1)), point.value),
            }
            Ok(())
        });
        let result = result.and_then(|()| give(open, &mut row));
        (self.names, self.has) = (names, has);
        result
    }
}

impl Sink for Points {
    fn point(&mut self, place: &Place<'_>, target: Target, value: u64) -> Result<(), Stop> {
        let (who, slot) = match target {
            Target::Field(field) if field.table == Table::Host => (MACHINE, HOST | field.slot as u8),
            Target::Field(field) => {
                let who = self.number(place)?;
                self.has[who as usize] |= 1 << field.slot;
                (who, field.slot as u8)
            }
            Target::WorkingSet => (self.number(place)?, WORKING_SET),
        };
        if self.run.len() >= RUN {
            self.flush()?;
        }
        self.run.push(Point { who, time_us: place.time_us, slot, value });
        self.sorted = false;
        self.taken += 1;
        Ok(())
    }

    fn rename(&mut self, from: &str, to: &str) {
        let (from, to) = ((from.to_owned(), 0), (to.to_owned(), 0));
        if self.numbers.contains_key(&to) {
            return;
        }
        if let Some(number) = self.numbers.remove(&from) {
            self.names[number as usize] = to.clone();
            self.numbers.insert(to, number);
        }
    }
}

fn conflict(names: &[(String, u64)], a: Point, b: Point) -> Stop {
    let who = names.get(a.who as usize).map_or("the machine", |(name, _)| name.as_str());
    let table = if a.who == MACHINE { Table::Host } else { Table::Samples };
    let slot =
        usize::from(if a.slot == WORKING_SET { FieldId::Current.field().slot as u8 } else { a.slot & (HOST - 1) });
    let field = fields::of(table).find(|field| field.slot == slot).map_or("?", |field| field.column);
    Stop::needs(
        format!(
            "`{}` has two values of {field} at {}, {} and {}: several things would become one. If a column or label distinguishes them \
             apart, map it to `cgroup`; if the samples of a log are closer than its times, give --start and --interval",
            printable(who),
            format_us(a.time_us),
            a.value,
            b.value
        ),
        ["--map", "COLUMN=cgroup"],
    )
}

/// A run in the file.
struct Run {
    at: u64,
    left: u64,
    /// Points that were read, the next one last.
    ready: Vec<Point>,
}

impl Run {
    fn next(&mut self, file: &File) -> io::Result<Option<Point>> {
        if self.ready.is_empty() && self.left > 0 {
            let points = self.left.min(PART as u64);
            let mut bytes = vec![0; points as usize * BYTES];
            file.read_exact_at(&mut bytes, self.at)?;
            self.at += bytes.len() as u64;
            self.left -= points;
            self.ready = bytes.chunks_exact(BYTES).rev().filter_map(Point::from_bytes).collect();
        }
        Ok(self.ready.pop())
    }
}

/// A file that is gone when it is closed, whatever happens.
fn unnamed_file(folder: &std::path::Path) -> io::Result<File> {
    let path = folder.join(format!(".import-{}.tmp", std::process::id()));
    let file = File::options().read(true).write(true).create_new(true).open(&path)?;
    std::fs::remove_file(&path)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn put(points: &mut Points, who: &str, time_us: i64, target: Target, value: u64) {
        points.point(&Place { who, life: 0, time_us }, target, value).unwrap();
    }

    fn field(id: FieldId) -> Target {
        Target::Field(id.field())
    }

    #[test]
    fn rows_come_in_order_whether_they_fit_or_not() {
        let dir = tempfile::tempdir().unwrap();
        let mut points = Points::new(dir.path(), 10);
        let mut want: BTreeMap<(String, i64), u64> = BTreeMap::new();
        // Pseudo-random order, three runs in the file and one in memory.
        let count = RUN as u64 * 3 + 1000;
        for n in 0..count {
            let at = n.wrapping_mul(2_654_435_761) % count;
            let who = ["/a", "/b"][(at % 2) as usize];
            put(&mut points, who, at as i64, field(FieldId::Anon), at * 7);
            want.insert((who.to_owned(), at as i64), at * 7);
        }
        assert!(points.spill.is_some() && points.runs.len() == 3);
        let summary = points.summary().unwrap();
        assert_eq!((summary.rows, summary.cgroups, summary.interval_us), (want.len() as u64, 2, 2));
        let mut got: BTreeMap<(String, i64), u64> = BTreeMap::new();
        let mut last = (String::new(), i64::MIN);
        points
            .rows(Table::Samples, |whose, time_us, row| {
                assert!(last.0 != whose.name || last.1 < time_us);
                last = (whose.name.to_owned(), time_us);
                got.insert(last.clone(), row.get(FieldId::Anon.field()).unwrap());
                Ok(())
            })
            .unwrap();
        assert!(got == want);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "the file has no name");
    }

    #[test]
    fn the_working_set_stands_for_current_only_where_there_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let mut points = Points::new(dir.path(), 10);
        for time in 0..3 {
            put(&mut points, "/a", time, field(FieldId::Current), 100);
            put(&mut points, "/a", time, Target::WorkingSet, 60);
            put(&mut points, "/b", time, Target::WorkingSet, 70);
        }
        put(&mut points, "", 5, field(FieldId::MemTotal), 9);
        let mut rows = Vec::new();
        let current = FieldId::Current.field();
        points
            .rows(Table::Samples, |whose, _, row| {
                rows.push((whose.name.to_owned(), row.get(current)));
                Ok(())
            })
            .unwrap();
        let want = [("/a", 100), ("/a", 100), ("/a", 100), ("/b", 70), ("/b", 70), ("/b", 70)];
        assert_eq!(rows, want.map(|(name, value)| (name.to_owned(), Some(value))));
        let mut host = Vec::new();
        points
            .rows(Table::Host, |whose, time, row| {
                host.push((whose.name.to_owned(), time, row.get(FieldId::MemTotal.field())));
                Ok(())
            })
            .unwrap();
        assert_eq!(host, [(String::new(), 5, Some(9))]);
        assert!(points.summary().unwrap().host);
    }

    #[test]
    fn what_would_merge_stops_and_what_came_twice_does_not() {
        let dir = tempfile::tempdir().unwrap();
        let mut points = Points::new(dir.path(), 2);
        put(&mut points, "/a", 1, field(FieldId::Anon), 5);
        put(&mut points, "/a", 1, field(FieldId::Anon), 5);
        assert_eq!(points.summary().unwrap().doubled, 1);
        put(&mut points, "/a", 1, field(FieldId::Anon), 6);
        let error = points.summary().unwrap_err().to_string();
        assert!(error.contains("two values of anon") && error.contains("5 and 6"), "{error}");
        put(&mut points, "/b", 1, field(FieldId::Anon), 6);
        let refused = points.point(&Place { who: "/c", life: 0, time_us: 1 }, field(FieldId::Anon), 6).unwrap_err();
        assert!(matches!(refused, Stop::Needs { args, .. } if args == ["--max-cgroups", "20"]));
        let long = "x".repeat(MOST_NAME + 1);
        assert!(points.point(&Place { who: &long, life: 0, time_us: 1 }, field(FieldId::Anon), 6).is_err());
    }

    #[test]
    fn what_was_put_down_for_a_pod_may_be_renamed_to_its_path() {
        let dir = tempfile::tempdir().unwrap();
        let mut points = Points::new(dir.path(), 10);
        put(&mut points, "/n/p/c", 1, field(FieldId::Max), 5);
        points.rename("/n/p/c", "/kubepods/x");
        put(&mut points, "/kubepods/x", 1, field(FieldId::Anon), 6);
        let mut rows = Vec::new();
        points
            .rows(Table::Samples, |whose, _, row| {
                rows.push((whose.name.to_owned(), row.get(FieldId::Max.field()), row.get(FieldId::Anon.field())));
                Ok(())
            })
            .unwrap();
        assert_eq!(rows, [("/kubepods/x".to_owned(), Some(5), Some(6))]);
    }
}
