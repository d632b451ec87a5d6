//! The board: what is known of each cgroup now, and a short history. `top`, the alerts and the metrics look at it.
//!
//! It is a [`Sink`]: the recorder fills it directly, the tail of a journal and a recording fill it with the same calls.

mod account;
mod cgroup;
mod document;
mod killed;
mod line;

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

use crate::analysis::limits::{Bounds, Headroom, MACHINE, nearest};
use crate::analysis::lives::{Lives, Loop};
use crate::containers::runtimes::identify;
use crate::model::details::MemoryDetails;
use crate::model::event::{Event, EventKind};
use crate::model::fields::{FieldId, Table, UNLIMITED};
use crate::model::identity::{Identity, Names};
use crate::model::paths::is_below;
use crate::model::recording::{Origin, Subject};
use crate::model::sample::{HOST, PassHead, Row, SubjectRef};
use crate::model::shrink::shrink;
use crate::model::sink::Sink;
use crate::model::time::Anchor;

pub use self::cgroup::{Cgroup, Depth, Point};
pub use self::document::{Document, FORMAT};
pub use self::killed::Killed;
pub use self::line::{Line, Machine};

/// All of it.
#[derive(Debug)]
pub struct Board {
    depth: Depth,
    anchor: Anchor,
    subjects: HashMap<SubjectRef, (String, Table)>,
    /// cgroups by path.
    pub cgroups: BTreeMap<String, Cgroup>,
    /// The host.
    pub host: Cgroup,
    /// Names from events.
    pub names: Names,
    /// Host name and WSL version.
    pub origin: (String, Option<String>),
    /// Size of a page, bytes.
    pub page_size: u64,
    /// What holds memory by name, as it was looked for last.
    pub details: Option<MemoryDetails>,
    /// Newest time.
    pub now_us: i64,
    time_us: i64,
    kills: VecDeque<Killed>,
    next_kill: u64,
    /// The lives of each workload, by what it is called.
    lives: BTreeMap<String, Lives>,
}

/// Removed cgroups stay for this time.
const GONE_US: i64 = 5 * 60 * 1_000_000;
/// The last of them: jobs that come and go many times a second leave no more.
const GONE: usize = 64;
/// The lives of a workload that is gone are kept for this time after its last kill.
const LOOP_US: i64 = 60 * 60 * 1_000_000;
/// Events of a cgroup that are kept.
const REPORTED: usize = 64;
/// Size of a page where nobody says it, bytes.
const PAGE: u64 = 4096;
/// Kills that are kept: each is looked at within a moment.
const KILLS: usize = 256;

impl Board {
    /// An empty board. `origin` is the host's name and its WSL version.
    pub fn new(depth: Depth, anchor: Anchor, origin: (String, Option<String>)) -> Board {
        Board {
            depth,
            anchor,
            subjects: HashMap::new(),
            cgroups: BTreeMap::new(),
            host: Cgroup::new(0),
            names: Names::default(),
            origin,
            page_size: PAGE,
            details: None,
            now_us: i64::MIN,
            time_us: 0,
            kills: VecDeque::new(),
            next_kill: 0,
            lives: BTreeMap::new(),
        }
    }

    /// Begins a segment: its clocks, and the machine that the rows are of.
    pub fn begin(&mut self, origin: &Origin) {
        (self.anchor, self.page_size) = (origin.anchor, origin.page_size);
        self.origin = (origin.host.clone(), origin.wsl.clone());
    }

    /// Takes a row of a cgroup, or of the host when there is no path.
    pub fn feed(&mut self, cgroup: Option<(&str, u64)>, time_us: i64, row: &Row) {
        self.now_us = self.now_us.max(time_us);
        let depth = self.depth;
        let Some((path, id)) = cgroup else { return self.host.take(time_us, row, depth, true) };
        let known = match self.cgroups.get_mut(path) {
            Some(known) => known,
            None => self.cgroups.entry(path.to_owned()).or_insert_with(|| Cgroup::new(id)),
        };
        known.become_one(id);
        known.take(time_us, row, depth, false);
        if row.get(FieldId::Anon.field()).is_some()
            && let Some(held) = known.point(time_us).unreclaimable
        {
            let limit = known.get(FieldId::Max).filter(|limit| *limit != UNLIMITED);
            self.lives_of(path).level(time_us, held, limit);
        }
    }

    fn lives_of(&mut self, path: &str) -> &mut Lives {
        let known = self.cgroups.get(path).and_then(|cgroup| cgroup.title.clone());
        let title = known.unwrap_or_else(|| {
            let title = self.title(path);
            if let Some(cgroup) = self.cgroups.get_mut(path) {
                cgroup.title = Some(title.clone());
            }
            title
        });
        self.lives.entry(title).or_default()
    }

    /// The restart loop of what is called so, from its second OOM kill on.
    pub fn restart_loop(&self, title: &str) -> Option<Loop> {
        self.lives.get(title)?.restart_loop()
    }

    /// Takes an event at a wall-clock time.
    pub fn hear(&mut self, time_us: i64, event: &Event) {
        match &event.what {
            EventKind::OomKill(kill) => {
                if let Some(path) = &event.cgroup {
                    let own = kill.limit_cgroup.as_ref() == Some(path);
                    let limit = kill.limit().filter(|_| own);
                    self.lives_of(path).kill(time_us, limit);
                }
                let comm = kill.victim.as_ref().map(|victim| victim.comm.clone());
                self.kill(time_us, event.cgroup.as_deref(), 1, comm);
            }
            EventKind::MoreOomKills(more) => self.kill(time_us, event.cgroup.as_deref(), more.count, None),
            EventKind::MemoryDetails(details) => self.details = Some((**details).clone()),
            _ => {}
        }
        let Some(path) = &event.cgroup else { return };
        match &event.what {
            EventKind::Named(identity) => {
                self.names.learn(path, identity);
                let before = self.cgroups.get_mut(path).and_then(|cgroup| cgroup.title.take());
                if let Some(lives) = before.and_then(|title| self.lives.remove(&title)) {
                    self.lives.entry(self.title(path)).or_insert(lives);
                }
            }
            EventKind::Leak { leaks, .. } => {
                if let Some(cgroup) = self.cgroups.get_mut(path) {
                    cgroup.leaks = Some(*leaks);
                }
            }
            EventKind::OwnMemory(own) => {
                if let Some(cgroup) = self.cgroups.get_mut(path) {
                    cgroup.own.note(time_us, own);
                }
            }
            EventKind::CgroupRemoved => {
                if let Some(cgroup) = self.cgroups.get_mut(path) {
                    cgroup.gone = true;
                    self.lives_of(path).end(time_us);
                }
            }
            EventKind::OomKill(_) | EventKind::MoreOomKills(_) | EventKind::Stalls { .. } => {
                let (kills, stall) = match &event.what {
                    EventKind::MoreOomKills(more) => (more.count, 0),
                    EventKind::Stalls { time_us, .. } => (0, *time_us),
                    _ => (1, 0),
                };
                let cgroup = self.cgroups.entry(path.clone()).or_insert_with(|| Cgroup::new(0));
                cgroup.reported.push_back((time_us, kills, stall));
                cgroup.time_us = cgroup.time_us.max(time_us);
                if cgroup.reported.len() > REPORTED {
                    cgroup.reported.pop_front();
                }
            }
            _ => {}
        }
    }

    fn kill(&mut self, time_us: i64, cgroup: Option<&str>, count: u64, comm: Option<String>) {
        let cgroup = cgroup.unwrap_or_default().to_owned();
        self.kills.push_back(Killed { number: self.next_kill, time_us, cgroup, count, comm });
        self.next_kill += 1;
        if self.kills.len() > KILLS {
            self.kills.pop_front();
        }
    }

    /// The last kills that events have shown.
    pub fn kills(&self) -> impl Iterator<Item = &Killed> {
        self.kills.iter()
    }

    /// The number that the next kill will have.
    pub fn next_kill(&self) -> u64 {
        self.next_kill
    }

    /// Forgets cgroups that went away some time ago.
    pub fn tidy(&mut self) {
        let now = self.now_us;
        let mut gone: Vec<i64> = self.cgroups.values().filter(|one| one.gone).map(|one| one.time_us).collect();
        gone.sort_unstable();
        let since = gone.len().checked_sub(GONE).map_or(i64::MIN, |at| gone[at]).max(now.saturating_sub(GONE_US));
        self.cgroups.retain(|_, cgroup| !(cgroup.gone && cgroup.time_us < since));
        let cgroups = &self.cgroups;
        let holds = |path: &str| cgroups.range(format!("{path}/")..).next().is_some_and(|(at, _)| is_below(at, path));
        let is_there = |path: &str| cgroups.contains_key(path) || holds(path);
        self.names.retain(is_there);
        let there: HashSet<&str> = self.cgroups.values().filter_map(|cgroup| cgroup.title.as_deref()).collect();
        self.lives
            .retain(|title, lives| there.contains(&**title) || now.saturating_sub(lives.last_kill_us()) < LOOP_US);
    }

    /// Who a cgroup is.
    pub fn who(&self, path: &str) -> Option<Identity> {
        self.names.of(path, identify)
    }

    /// What people call it, else its path; untrusted.
    pub fn title(&self, path: &str) -> String {
        self.who(path).as_ref().and_then(Identity::title).unwrap_or_else(|| path.to_owned())
    }

    /// All cgroups as they were at a time, by path.
    pub fn lines(&self, at_us: i64) -> Vec<Line> {
        let size = |value: u64| if value == UNLIMITED { f64::INFINITY } else { value as f64 };
        let past = at_us < self.now_us;
        let state = |cgroup: &Cgroup| {
            if past { cgroup.until(at_us).next_back().copied() } else { Some(cgroup.point(cgroup.time_us)) }
        };
        let rooms: BTreeMap<String, Headroom> = self
            .cgroups
            .iter()
            .filter_map(|(path, cgroup)| {
                let point = state(cgroup)?;
                let limit = point.max.map_or(f64::INFINITY, size);
                Some((path.clone(), Headroom { current: point.current? as f64, limit }))
            })
            .collect();
        let available = self.available(at_us);
        let line = |(path, cgroup): (&String, &Cgroup)| {
            let point = state(cgroup)?;
            let who = self.who(path);
            let limits = Bounds { cgroup: nearest(path, &rooms), available };
            let limit = limits.cgroup.map(|(_, limit)| limit as u64);
            let first = limits.tightest(point.unreclaimable.map(|unreclaimable| unreclaimable as f64));
            let part = |value: Option<u64>| value.zip(limit).map(|(value, limit)| value as f64 / limit.max(1) as f64);
            let growth = cgroup.growth(at_us);
            let left = first
                .zip(point.unreclaimable)
                .map(|((_, limit), unreclaimable)| (limit - unreclaimable as f64).max(0.0));
            let begun = cgroup.history.iter().find_map(|point| point.kills);
            let counted = point.kills.zip(begun).map_or(0, |(last, first)| last.saturating_sub(first));
            let reported = || cgroup.reported.iter().filter(|(time, _, _)| *time <= at_us);
            let minute = reported().filter(|(time, _, _)| at_us - time <= 60_000_000).map(|(_, _, stall)| *stall).sum();
            Some(Line {
                name: who.as_ref().and_then(Identity::title).unwrap_or_else(|| path.clone()),
                container: who.as_ref().is_some_and(Identity::is_container),
                runtime: who.map(|who| who.runtime),
                path: path.clone(),
                current: point.current,
                unreclaimable: point.unreclaimable,
                limit,
                own_limit: point.max.map(|max| max != UNLIMITED),
                max: point.max.filter(|max| *max != UNLIMITED),
                used: part(point.current),
                unreclaimable_used: part(point.unreclaimable),
                anon: point.anon,
                file: point.file,
                swap: point.swap,
                growth_per_min: growth,
                time_to_limit_s: growth
                    .zip(left)
                    .filter(|(growth, _)| *growth > 65536.0)
                    .map(|(growth, left)| 60.0 * left / growth),
                machine_first: first.is_some_and(|(owner, _)| owner == MACHINE),
                pressure: cgroup.pressure(at_us),
                stall_us: if cgroup.reported.is_empty() { None } else { Some(minute) },
                leaks: cgroup.leaks,
                oom_kills: counted.max(reported().map(|(_, kills, _)| kills).sum()),
                gone: cgroup.gone,
            })
        };
        self.cgroups.iter().filter_map(line).collect()
    }

    /// What was available on the machine at a time.
    fn available(&self, at_us: i64) -> Option<u64> {
        if at_us >= self.now_us {
            return self.host.get(FieldId::MemAvailable);
        }
        let used = self.host.until(at_us).next_back()?.current?;
        Some(self.host.get(FieldId::MemTotal)?.saturating_sub(used))
    }

    /// The machine as it was at a time.
    pub fn machine(&self, at_us: i64, lines: &[Line]) -> Machine {
        let get = |id: FieldId| self.host.get(id);
        let past = self.host.until(at_us).next_back();
        let own = |line: &&Line| line.container && !line.gone;
        Machine {
            host: self.origin.0.clone(),
            wsl: self.origin.1.clone(),
            total: get(FieldId::MemTotal),
            used: past.and_then(|point| point.current),
            cache: past.and_then(|point| point.file),
            swap_used: past.and_then(|point| point.swap),
            swap_total: get(FieldId::SwapTotal),
            pressure: self.host.pressure(at_us),
            limits: lines.iter().filter(own).filter_map(|line| line.max).sum(),
            unlimited: lines.iter().filter(own).filter(|line| line.own_limit == Some(false)).count(),
            account: if at_us < self.now_us { None } else { self.account() },
        }
    }

    /// Which field of the table is needed to fill a board.
    pub fn fields() -> Vec<FieldId> {
        use FieldId::*;
        vec![Current, SwapCurrent, PressureSome, Max, Anon, File, Shmem, LocalOomKill]
    }
}

impl Sink for Board {
    fn subject(&mut self, number: SubjectRef, subject: &Subject) {
        let table = if subject.process.is_some() { Table::Processes } else { Table::Samples };
        self.subjects.insert(number, (subject.cgroup.clone(), table));
        if table == Table::Samples {
            let known = self.cgroups.entry(subject.cgroup.clone()).or_insert_with(|| Cgroup::new(subject.id));
            known.become_one(subject.id);
        }
    }

    fn forget(&mut self, number: SubjectRef) {
        self.subjects.remove(&number);
        shrink(&mut self.subjects);
    }

    fn pass(&mut self, head: PassHead) {
        self.time_us = self.anchor.wall_us(head.mono_ns);
    }

    fn row(&mut self, _: PassHead, row: &Row) {
        let time_us = self.time_us;
        if row.subject == HOST {
            return self.feed(None, time_us, row);
        }
        let Some((path, Table::Samples)) = self.subjects.get(&row.subject) else { return };
        let Some(cgroup) = self.cgroups.get_mut(path) else { return };
        cgroup.take(time_us, row, self.depth, false);
        self.now_us = self.now_us.max(time_us);
    }

    fn event(&mut self, event: &Event) {
        let time_us = self.anchor.wall_us(event.mono_ns);
        self.hear(time_us, event);
    }

    fn flush(&mut self, _: bool) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: i64 = 1_000_000;

    fn board() -> Board {
        Board::new(Depth { step_us: S, points: 600 }, Anchor { mono_ns: 0, wall_ns: 0 }, ("h".into(), None))
    }

    fn row(values: &[(FieldId, u64)]) -> Row {
        let mut row = Row::new(1);
        values.iter().for_each(|(id, value)| row.put(id.field(), *value));
        row
    }

    fn grow(board: &mut Board, size: impl Fn(i64) -> (u64, u64)) {
        for t in 0..300 {
            let (anon, file) = size(t);
            let values = [
                (FieldId::Current, anon + file),
                (FieldId::Anon, anon),
                (FieldId::File, file),
                (FieldId::Shmem, 0),
                (FieldId::Max, 1 << 30),
                (FieldId::PressureSome, t as u64 * 250_000),
            ];
            board.feed(Some(("/a", 1)), t * S, &row(&values));
        }
    }

    #[test]
    fn growth_is_of_what_cannot_be_reclaimed_and_leads_to_the_limit() {
        let mut leak = board();
        grow(&mut leak, |t| ((100 + t as u64) << 20, 5 << 20));
        let line = &leak.lines(leak.now_us)[0];
        let growth = line.growth_per_min.unwrap();
        assert!((growth / f64::from(60 << 20) - 1.0).abs() < 0.05, "{growth}");
        assert!(line.time_to_limit_s.unwrap() > 600.0 && line.time_to_limit_s.unwrap() < 700.0, "{line:?}");
        assert!((line.pressure.unwrap() - 0.25).abs() < 0.01);
        let mut cache = board();
        grow(&mut cache, |t| (100 << 20, (t as u64) << 20));
        assert_eq!(cache.lines(cache.now_us)[0].time_to_limit_s, None);
        let mut warm = board();
        grow(&mut warm, |t| ((t as u64).min(60) << 22, 0));
        assert_eq!(warm.lines(warm.now_us)[0].time_to_limit_s, None, "it does not grow any more");
    }

    #[test]
    fn what_has_no_limit_grows_until_the_machine_is_full() {
        let mut board = board();
        for t in 0..300 {
            let held = (100 + t as u64) << 20;
            let host = [(FieldId::MemTotal, 2000 << 20), (FieldId::MemAvailable, (1500 << 20) - held)];
            board.feed(None, t * S, &row(&host));
            let own = [(FieldId::Current, held + (50 << 20)), (FieldId::File, 50 << 20), (FieldId::Max, UNLIMITED)];
            board.feed(Some(("/a", 1)), t * S, &row(&own));
            board.feed(Some(("/b", 2)), t * S, &row(&[own[0], own[1], (FieldId::Max, 450 << 20)]));
        }
        let of = |at: i64| {
            let lines = board.lines(at);
            let room = |line: &Line| line.time_to_limit_s.unwrap() * line.growth_per_min.unwrap() / 60.0;
            let of = |line: &Line| (room(line).round() as u64 >> 20, line.limit, line.machine_first);
            (of(&lines[0]), of(&lines[1]))
        };
        // 1101 MiB are left, and none of that is its limit; the other one ends earlier.
        assert_eq!(of(299 * S), ((1101, None, true), (51, Some(450 << 20), false)));
        assert_eq!(of(200 * S), ((1200, None, true), (150, Some(450 << 20), false)), "of then");
    }

    #[test]
    fn the_past_can_be_looked_at_and_another_cgroup_of_the_path_begins_anew() {
        let mut board = board();
        grow(&mut board, |t| ((t as u64) << 20, 0));
        assert_eq!(board.lines(100 * S)[0].current, Some(100 << 20));
        board.feed(Some(("/a", 2)), 300 * S, &row(&[(FieldId::Current, 7)]));
        let line = &board.lines(board.now_us)[0];
        assert_eq!((line.current, line.anon, line.limit, line.own_limit), (Some(7), None, None, None));
    }

    #[test]
    fn a_limit_of_the_past_is_the_one_of_then() {
        let mut board = board();
        for t in 0..10 {
            let max = if t < 5 { UNLIMITED } else { 64 };
            board.feed(
                Some(("/a", 1)),
                t * S,
                &row(&[(FieldId::Current, 32), (FieldId::Anon, 9), (FieldId::Max, max)]),
            );
        }
        let limit = |t: i64| (board.lines(t * S)[0].limit, board.lines(t * S)[0].own_limit);
        assert_eq!((limit(3), limit(7)), ((None, Some(false)), (Some(64), Some(true))));
    }

    #[test]
    fn a_kill_counts_once_whether_the_counter_or_the_event_reports_it() {
        let mut board = board();
        board.feed(Some(("/a", 1)), 0, &row(&[(FieldId::LocalOomKill, 5)]));
        board.feed(Some(("/a", 1)), S, &row(&[(FieldId::LocalOomKill, 6)]));
        assert_eq!(board.lines(S)[0].oom_kills, 1);
        let kill = EventKind::Stalls { count: 1, time_us: 9, longest_us: 9, pages: 1, histogram: vec![1] };
        board.hear(S, &Event { mono_ns: 0, cgroup: Some("/a".into()), what: kill });
        assert_eq!((board.lines(S)[0].oom_kills, board.lines(S)[0].stall_us), (1, Some(9)));
    }

    #[test]
    fn jobs_that_come_and_go_leave_the_last_of_them_and_no_names() {
        let mut board = board();
        for n in 0..2000 {
            let path = format!("/job{n}");
            board.feed(Some((&path, n)), n as i64 * S / 10, &row(&[(FieldId::Current, 1)]));
            let at = |what| Event { mono_ns: n * 100_000_000, cgroup: Some(path.clone()), what };
            board.event(&at(EventKind::Named(Box::new(Identity::container("docker", "x")))));
            if n > 0 {
                board.event(&at(EventKind::CgroupRemoved));
            }
            board.tidy();
        }
        assert_eq!(board.cgroups.len(), 1 + GONE);
        assert!(board.cgroups.contains_key("/job0") && board.cgroups.contains_key("/job1999"));
        let named = (0..2000).filter(|n| board.who(&format!("/job{n}")).is_some_and(|who| who.container.is_some()));
        assert_eq!(named.count(), 1 + GONE);
    }
}
