//! What is remembered of one cgroup while its rows pass by: a bounded number of blocks for each signal, per life.

use crate::analysis::leak::blocks::Blocks;
use crate::analysis::leak::columns::{all_parts, rises};
use crate::analysis::leak::own_memory::OwnMemories;
use crate::analysis::leak::signal::{PARTS, SIGNALS, Signal};
use crate::analysis::limits::Headroom;
use crate::model::event::EventKind;
use crate::model::fields::{FieldId, UNLIMITED};
use crate::model::memory::Parts;
use crate::model::recording::{Column, Series};

/// Columns it reads.
pub const FIELDS: [FieldId; 17] = [
    FieldId::Current,
    FieldId::SwapCurrent,
    FieldId::Max,
    FieldId::Anon,
    FieldId::File,
    FieldId::Shmem,
    FieldId::Kernel,
    FieldId::KernelStack,
    FieldId::Pagetables,
    FieldId::Sock,
    FieldId::Slab,
    FieldId::SlabReclaimable,
    FieldId::SlabUnreclaimable,
    FieldId::Pgfault,
    FieldId::CpuUsage,
    FieldId::PidsCurrent,
    FieldId::EventsOomKill,
];

/// One life of a cgroup: from its first row to its end, or to a kill that emptied it.
#[derive(Clone, Debug, Default)]
pub struct Life {
    /// Inode number of its cgroup; 0 where the rows came without.
    pub cgroup_id: u64,
    /// The signals.
    pub blocks: Blocks<SIGNALS>,
    /// First and last row, microseconds since 1970.
    pub from_us: i64,
    /// Last row.
    pub to_us: i64,
    /// Rows.
    pub rows: u64,
    /// The limit at the end; `None` when it was not read, infinity when there is none.
    pub limit: Option<f64>,
    /// OOM kills in it.
    pub kills: u64,
}

impl Life {
    /// How large it was, block by block: memory.current, or what cannot be reclaimed where that alone was recorded.
    pub fn sizes(&self) -> impl DoubleEndedIterator<Item = f64> + '_ {
        let is_read = !self.blocks.signal(Signal::Current as usize).is_empty();
        self.blocks.means(if is_read { Signal::Current } else { Signal::Footprint } as usize)
    }
}

/// All lives of a path.
#[derive(Clone, Debug, Default)]
pub struct Track {
    /// Lives, oldest first.
    pub lives: Vec<Life>,
    /// What its processes said of the memory that they manage by themselves.
    pub own: OwnMemories,
    id: u64,
    state: State,
    /// Blocks of a signal at most, where it is not the usual number.
    blocks: Option<usize>,
}

/// The last value of each column, because slow ones come less often.
#[derive(Clone, Copy, Debug, Default)]
struct State {
    counters: [Option<f64>; 3],
    limit: Option<f64>,
    /// memory.swap.current, which is read more often than what it belongs to.
    swap: Option<u64>,
    /// Highest since the life began, and whether a kill was counted lately.
    highest: f64,
    killed_us: Option<i64>,
}

/// A kill empties a cgroup within this time, or what died was not what filled it.
const EMPTIED_US: i64 = 10_000_000;

impl Track {
    /// A track that keeps at most this many blocks of a signal; even.
    pub fn of(blocks: usize) -> Track {
        Track { blocks: Some(blocks), ..Track::default() }
    }

    /// Takes rows, which follow those taken before.
    pub fn feed(&mut self, series: &Series) {
        let before = std::mem::replace(&mut self.id, series.subject.id);
        if before != self.id && !self.lives.is_empty() {
            // Another cgroup of the same name.
            self.begin();
        }
        if self.state.killed_us.is_none() && !self.sees_kill(series) {
            self.feed_columns(series);
        } else {
            self.feed_rows(series);
        }
    }

    /// Whether a kill is counted in these rows.
    fn sees_kill(&self, series: &Series) -> bool {
        let Some(kills) = series.column(FieldId::EventsOomKill.field()) else { return false };
        let first = kills.values.first().copied().unwrap_or(0);
        self.state.counters[2].is_some_and(|before| first as f64 > before)
            || kills.values.windows(2).any(|pair| pair[1] > pair[0])
    }

    /// Rows of one life, a column at a time: all that is needed but for those around a kill.
    fn feed_columns(&mut self, series: &Series) {
        let (Some(&from_us), Some(&to_us)) = (series.time_us.first(), series.time_us.last()) else { return };
        let column = |id: FieldId| series.column(id.field());
        let time = |row: u32| series.time_us[row as usize];
        let current = column(FieldId::Current);
        let parts = column(FieldId::Anon).map(|anon| all_parts(series, anon, &mut self.state.swap));
        if let Some(&swap) = column(FieldId::SwapCurrent).and_then(|swap| swap.values.last()) {
            self.state.swap = Some(swap);
        }
        let cpu = rises(column(FieldId::CpuUsage), &mut self.state.counters[0]);
        let faults = rises(column(FieldId::Pgfault), &mut self.state.counters[1]);
        let pids = column(FieldId::PidsCurrent);
        if let Some(kills) = column(FieldId::EventsOomKill).and_then(|kills| kills.values.last()) {
            self.state.counters[2] = Some(*kills as f64);
        }
        let highest = current.into_iter().flat_map(|c| &c.values).copied().max().map_or(0.0, |v| v as f64);
        let alone = |row: u32| current.is_none_or(|current| current.rows.binary_search(&row).is_err());
        let more = parts
            .iter()
            .flatten()
            .map(|(row, p)| (row, p.footprint() as f64))
            .filter(|(row, held)| *held > highest && alone(**row));
        self.state.highest = more.fold(self.state.highest.max(highest), |most, (_, held)| most.max(held));
        if let Some(&limit) = column(FieldId::Max).and_then(|max| max.values.last()) {
            self.state.limit = Some(if limit == UNLIMITED { f64::INFINITY } else { limit as f64 });
        }
        let limit = self.state.limit;
        let life = self.life(from_us);
        life.to_us = to_us;
        life.rows += series.len() as u64;
        life.limit = limit.or(life.limit);

        let first = |column: Option<&Column>| column.and_then(|column| column.rows.first().copied());
        let begins = [first(current), first(pids), parts.iter().flatten().map(|(row, _)| *row).next()];
        let rose = [cpu.first().map(|(row, _)| *row), faults.first().map(|(row, _)| *row)];
        let Some(begin) = begins.into_iter().chain(rose).flatten().min() else { return };
        let blocks = &mut life.blocks;
        blocks.begin(time(begin));
        for (signal, column) in [(Signal::Current, current), (Signal::Pids, pids)] {
            if let Some(column) = column {
                blocks.extend(signal as usize, &series.time_us, column);
            }
        }
        match (&parts, current) {
            (None, Some(current)) => blocks.extend(Signal::Footprint as usize, &series.time_us, current),
            (None, None) => {}
            (Some(parts), _) => {
                for (row, parts) in parts {
                    let at = blocks.place(time(*row));
                    blocks.add(Signal::Footprint as usize, at, parts.footprint() as f64);
                    let reclaimable = [(Signal::Cache, parts.reclaimable)];
                    for (signal, value) in PARTS.into_iter().zip(parts.held()).chain(reclaimable) {
                        if let Some(value) = value {
                            blocks.add(signal as usize, at, value as f64);
                        }
                    }
                }
            }
        }
        for (signal, rises) in [(Signal::Cpu, cpu), (Signal::Faults, faults)] {
            for (row, rise) in rises {
                blocks.push(signal as usize, time(row), rise);
            }
        }
    }

    /// Row after row: any may begin another life.
    fn feed_rows(&mut self, series: &Series) {
        let has_parts = series.column(FieldId::Anon.field()).is_some();
        for (row, &time_us) in series.time_us.iter().enumerate() {
            self.row(time_us, has_parts, |id| series.column(id.field())?.get(row));
        }
    }

    /// Takes a row, whose fields `value` gives. `has_parts`: whether what the memory is made of is read, in this row or others.
    pub fn row(&mut self, time_us: i64, has_parts: bool, value: impl Fn(FieldId) -> Option<u64>) {
        let get = |id| value(id).map(|v| if v == UNLIMITED { f64::INFINITY } else { v as f64 });
        let current = get(FieldId::Current);
        self.state.swap = value(FieldId::SwapCurrent).or(self.state.swap);
        let with_swap = |id| if id == FieldId::SwapCurrent { self.state.swap } else { value(id) };
        let parts = has_parts.then(|| Parts::of(with_swap)).flatten();
        let footprint = parts.map(|p| p.footprint() as f64).or(if has_parts { None } else { current });

        if let Some(kills) = get(FieldId::EventsOomKill) {
            let before = self.state.counters[2].replace(kills).unwrap_or(kills);
            if kills > before {
                self.life(time_us).kills += (kills - before) as u64;
                self.state.killed_us = Some(time_us);
            }
        }
        if let (Some(killed), Some(now)) = (self.state.killed_us, current.or(footprint)) {
            if time_us - killed > EMPTIED_US {
                self.state.killed_us = None;
            } else if now < 0.5 * self.state.highest {
                self.begin();
            }
        }
        if let Some(now) = current.or(footprint) {
            self.state.highest = self.state.highest.max(now);
        }
        if let Some(limit) = get(FieldId::Max) {
            self.state.limit = Some(limit);
            self.life(time_us).limit = Some(limit);
        }
        let rise = |state: &mut Option<f64>, value: Option<f64>| {
            let before = value.and_then(|v| state.replace(v).map(|before| v - before));
            before.filter(|rise| *rise >= 0.0)
        };
        let cpu = rise(&mut self.state.counters[0], get(FieldId::CpuUsage));
        let faults = rise(&mut self.state.counters[1], get(FieldId::Pgfault));
        let limit = self.state.limit;
        let life = self.life(time_us);
        life.to_us = time_us;
        life.rows += 1;
        life.limit = life.limit.or(limit);
        let mut push = |signal: Signal, value: Option<f64>| {
            if let Some(value) = value {
                life.blocks.push(signal as usize, time_us, value);
            }
        };
        push(Signal::Current, current);
        push(Signal::Footprint, footprint);
        if let Some(parts) = parts {
            push(Signal::Cache, parts.reclaimable.map(|bytes| bytes as f64));
            for (signal, value) in PARTS.into_iter().zip(parts.held().map(|part| part.map(|bytes| bytes as f64))) {
                push(signal, value);
            }
        }
        push(Signal::Cpu, cpu);
        push(Signal::Faults, faults);
        push(Signal::Pids, get(FieldId::PidsCurrent));
    }

    /// Takes what an event of this cgroup says of its memory.
    pub fn event(&mut self, time_us: i64, what: &EventKind) {
        if let EventKind::OwnMemory(own) = what {
            self.own.note(time_us, own);
        }
    }

    /// An OOM kill that no counter of the rows shows: it ends the life if memory falls after it.
    pub fn killed(&mut self, time_us: i64) {
        if !self.lives.is_empty() {
            self.life(time_us).kills += 1;
            self.state.killed_us = Some(time_us);
        }
    }

    /// Takes a kill by its own limit: the limit where none was read, and its size where no row was; bytes.
    pub fn limit_hit(&mut self, time_us: i64, limit: u64, usage: Option<u64>) {
        let is_unread = self.lives.is_empty();
        let life = match self.lives.iter_mut().rev().find(|life| life.from_us <= time_us) {
            Some(life) => life,
            None => self.life(time_us),
        };
        if life.limit.is_none_or(f64::is_infinite) {
            life.limit = Some(limit as f64);
        }
        if let (true, Some(usage)) = (is_unread, usage) {
            (life.rows, life.kills) = (1, 1);
            for signal in [Signal::Current, Signal::Footprint] {
                life.blocks.push(signal as usize, time_us, usage as f64);
            }
        }
    }

    /// Keeps the last lives only.
    pub fn keep(&mut self, lives: usize) {
        let old = self.lives.len().saturating_sub(lives);
        self.lives.drain(..old);
    }

    /// What it held at the end, and its limit.
    pub fn room(&self) -> Option<Headroom> {
        let life = self.lives.last()?;
        let current = life.sizes().next_back()?;
        Some(Headroom { current, limit: life.limit.unwrap_or(f64::INFINITY) })
    }

    fn begin(&mut self) {
        self.lives.push(self.fresh());
        self.state = State { limit: self.state.limit, counters: self.state.counters, ..State::default() };
    }

    fn fresh(&self) -> Life {
        Life { cgroup_id: self.id, blocks: self.blocks.map_or_else(Blocks::default, Blocks::of), ..Life::default() }
    }

    fn life(&mut self, time_us: i64) -> &mut Life {
        if self.lives.is_empty() {
            self.lives.push(self.fresh());
        }
        let last = self.lives.len() - 1;
        let life = &mut self.lives[last];
        if life.rows == 0 {
            (life.from_us, life.to_us) = (time_us, time_us);
        }
        life
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::model::fields::Table;
    use crate::model::recording::Subject;
    use crate::model::sample::Row;

    fn series(id: u64, from_s: i64, rows: &[&[(FieldId, u64)]]) -> Series {
        let subject = Subject { cgroup: "/a".into(), id, process: None };
        let mut series = Series::new(Arc::new(subject), Table::Samples);
        for (i, fields) in rows.iter().enumerate() {
            let mut row = Row::new(1);
            fields.iter().for_each(|(field, value)| row.put(field.field(), *value));
            series.push((from_s + i as i64) * 1_000_000, &row);
        }
        series
    }

    #[test]
    fn the_footprint_is_what_cannot_be_reclaimed() {
        use FieldId::*;
        let mut track = Track::default();
        track.feed(&series(
            1,
            0,
            &[&[
                (Current, 1000),
                (Anon, 100),
                (SwapCurrent, 10),
                (Shmem, 20),
                (File, 320),
                (Kernel, 90),
                (Slab, 60),
                (SlabReclaimable, 40),
                (SlabUnreclaimable, 20),
                (Pagetables, 8),
                (Sock, 5),
                (Max, UNLIMITED),
            ]],
        ));
        let life = &track.lives[0];
        let sum = |signal: Signal| life.blocks.signal(signal as usize)[0].sum;
        assert_eq!((sum(Signal::Anon), sum(Signal::Slab), sum(Signal::Kernel)), (110.0, 20.0, 22.0));
        assert_eq!(sum(Signal::Footprint), 110.0 + 20.0 + 22.0 + 20.0 + 5.0 + 8.0);
        assert_eq!(sum(Signal::Cache), 340.0);
        assert_eq!(life.limit, Some(f64::INFINITY));
        assert!(life.blocks.signal(Signal::Pids as usize).is_empty(), "absent is absent");
    }

    #[test]
    fn what_is_swapped_counts_although_it_is_read_in_other_rows() {
        use FieldId::*;
        let rows: [&[(FieldId, u64)]; 4] =
            [&[(Current, 500), (SwapCurrent, 30)], &[(Anon, 100)], &[(SwapCurrent, 70)], &[(Anon, 100)]];
        let mut track = Track::default();
        track.feed(&series(1, 0, &rows));
        let anon: Vec<f64> = track.lives[0].blocks.means(Signal::Anon as usize).collect();
        assert_eq!(anon, [130.0, 170.0]);
    }

    #[test]
    fn a_kill_that_empties_begins_a_life_and_so_does_another_cgroup_of_the_name() {
        use FieldId::*;
        let mut track = Track::default();
        let row = |current, kills| vec![(Current, current), (EventsOomKill, kills)];
        let rows = [row(100, 0), row(900, 0), row(950, 1), row(50, 1), row(400, 1), row(100, 1)];
        let rows: Vec<&[(FieldId, u64)]> = rows.iter().map(Vec::as_slice).collect();
        track.feed(&series(1, 0, &rows));
        assert_eq!(track.lives.iter().map(|l| (l.rows, l.kills)).collect::<Vec<_>>(), [(3, 1), (3, 0)]);
        track.feed(&series(2, 10, &[&[(Current, 5)]]));
        assert_eq!(track.lives.len(), 3);
    }

    #[test]
    fn counters_that_are_reset_do_not_fall() {
        let mut track = Track::default();
        let values = [10u64, 15, 3, 4].map(|v| vec![(FieldId::Pgfault, v), (FieldId::Current, 1)]);
        let rows: Vec<&[(FieldId, u64)]> = values.iter().map(Vec::as_slice).collect();
        track.feed(&series(1, 0, &rows));
        let rises: Vec<f64> =
            track.lives[0].blocks.signal(Signal::Faults as usize).iter().filter(|b| b.n > 0).map(|b| b.sum).collect();
        assert_eq!(rises, [5.0, 1.0]);
    }

    proptest! {
        #[test]
        fn a_column_at_a_time_is_as_row_after_row(
            rows in prop::collection::vec((0u64..500, 0u8..8, 0u64..90, 0u64..50, 0u8..60, 1i64..40), 1..400),
            cut in 1usize..400,
            parts in any::<bool>(),
        ) {
            let (mut columns, mut by_row) = (Track::of(16), Track::of(16));
            let (mut time_us, mut kills, mut faults) = (0, 0, 0);
            for part in rows.chunks(cut) {
                let mut series = series(1, 0, &[]);
                for &(current, which, anon, rise, rare, step) in part {
                    let mut row = Row::new(1);
                    let mut put = |id: FieldId, value| row.put(id.field(), value);
                    faults = if rare == 1 { 0 } else { faults + rise };
                    kills += u64::from(rare == 2);
                    if which & 1 == 1 {
                        put(FieldId::Current, current);
                        put(FieldId::EventsOomKill, kills);
                    }
                    if which & 2 == 2 && parts {
                        put(FieldId::Anon, anon);
                        put(FieldId::File, current);
                        put(FieldId::Pgfault, faults);
                    }
                    if which & 4 == 4 {
                        put(FieldId::SwapCurrent, rise);
                        put(FieldId::PidsCurrent, 3);
                        put(FieldId::Max, if rise == 7 { UNLIMITED } else { 1000 });
                    }
                    time_us += step * 100_000;
                    series.push(time_us, &row);
                }
                columns.feed(&series);
                by_row.id = 1;
                by_row.feed_rows(&series);
            }
            for (a, b) in columns.lives.iter().zip(&by_row.lives) {
                prop_assert_eq!((a.from_us, a.to_us, a.rows, a.limit, a.kills), (b.from_us, b.to_us, b.rows, b.limit, b.kills));
                prop_assert_eq!((a.blocks.begin_us, a.blocks.width_us), (b.blocks.begin_us, b.blocks.width_us));
                for signal in 0..SIGNALS {
                    prop_assert_eq!(a.blocks.signal(signal), b.blocks.signal(signal), "signal {}", signal);
                }
            }
            prop_assert_eq!(columns.lives.len(), by_row.lives.len());
        }
    }

    fn lives(rows: &[(i64, &[(FieldId, u64)])]) -> Vec<Life> {
        let mut track = Track::default();
        for (second, values) in rows {
            track.feed(&series(1, *second, &[values]));
        }
        track.lives
    }

    #[test]
    fn a_kill_that_does_not_empty_is_no_end() {
        use FieldId::*;
        let kill = |after: &'static [(i64, u64)]| {
            let mut rows: Vec<(i64, Vec<(FieldId, u64)>)> = vec![
                (0, vec![(Current, 900), (EventsOomKill, 0), (Max, 1000)]),
                (1, vec![(Current, 950), (EventsOomKill, 1)]),
            ];
            rows.extend(after.iter().map(|(second, current)| (*second, vec![(Current, *current), (EventsOomKill, 1)])));
            lives(&rows.iter().map(|(second, values)| (*second, &values[..])).collect::<Vec<_>>())
        };
        let count = |lives: &[Life]| (lives.len(), lives[0].kills);
        assert_eq!(count(&kill(&[(2, 700), (3, 700)])), (1, 1), "a helper was killed");
        assert_eq!(count(&kill(&[(2, 900), (60, 100)])), (1, 1), "it fell a minute later, by itself");
        let ended = kill(&[(2, 100), (3, 120)]);
        assert_eq!((count(&ended), ended[1].limit), ((2, 1), Some(1000.0)), "the limit stays");
    }

    #[test]
    fn the_limit_of_the_end_counts_and_slab_that_the_kernel_does_not_split_is_held() {
        use FieldId::*;
        let rows: [&[(FieldId, u64)]; 3] =
            [&[(Current, 9), (Max, UNLIMITED)], &[(Current, 9), (Max, 500)], &[(Anon, 5), (Slab, 40)]];
        let mut track = Track::default();
        track.feed(&series(1, 0, &rows));
        assert_eq!(track.room().unwrap(), Headroom { current: 9.0, limit: 500.0 });
        assert_eq!(track.lives[0].blocks.means(Signal::Footprint as usize).next_back(), Some(45.0));
        track.feed(&series(1, 9, &[&[(Max, UNLIMITED)]]));
        assert_eq!(track.room().unwrap().limit, f64::INFINITY);
    }
}
