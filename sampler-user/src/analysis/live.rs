//! The detectors while it happens: the same track and the same verdict as offline, in a bounded memory for each cgroup.
//!
//! A cgroup is looked at whenever it has a twentieth more of life to show. What is announced has been seen in several looks in
//! a row, and what was announced is taken back only after as many that see something else: a verdict does not flap.

use std::collections::{BTreeMap, HashMap};
use std::iter::successors;

use crate::analysis::leak::detectors::Class;
use crate::analysis::leak::track::Track;
use crate::analysis::leak::verdict::{Verdict, judge};
use crate::analysis::limits::{Bounds, Headroom, nearest};
use crate::model::event::Event;
use crate::model::fields::FieldId;
use crate::model::paths::parent;
use crate::model::recording::Subject;
use crate::model::sample::{HOST, Row, SubjectRef};
use crate::model::shrink::shrink;

/// Blocks of a signal: 40 KiB a cgroup with all its signals. Offline has eight times as many, and so distinguishes finer teeth from
/// their mean; whether it leaks is the same.
pub const BLOCKS: usize = 128;
/// Lives kept of a cgroup that is killed again and again.
const LIVES: usize = 6;
/// Looks in a row that must agree.
const LOOKS: u32 = 3;
/// First look, and time between two at least, microseconds.
const FIRST_US: i64 = 120_000_000;
const NEXT_US: i64 = 30_000_000;
/// And the part of the life that has to be new.
const NEXT_PART: i64 = 20;
/// cgroups that are looked at in one turn: a look takes up to a millisecond.
const TURN: usize = 4;

/// What is announced.
#[derive(Clone, Debug)]
pub struct News {
    /// The cgroup.
    pub path: String,
    /// Whether it leaks, or does no longer.
    pub leaks: bool,
    /// The verdict of the last look.
    pub verdict: Verdict,
}

#[derive(Debug)]
struct Follow {
    path: String,
    track: Track,
    begun_us: i64,
    next_us: i64,
    /// Looks in a row that disagree with what is announced.
    against: u32,
    announced: bool,
}

/// Follows all cgroups of an agent.
#[derive(Debug)]
pub struct Live {
    cgroups: HashMap<SubjectRef, Follow>,
    numbers: BTreeMap<String, SubjectRef>,
    has_parts: bool,
    now_us: i64,
    turn: SubjectRef,
    /// What was available last on the machine, bytes.
    available: Option<u64>,
}

impl Live {
    /// `fields`: those that are recorded; none is all.
    pub fn new(fields: &[FieldId]) -> Live {
        let has_parts = fields.is_empty() || fields.contains(&FieldId::Anon);
        Live { cgroups: HashMap::new(), numbers: BTreeMap::new(), has_parts, now_us: 0, turn: 0, available: None }
    }

    /// A subject gets its number.
    pub fn subject(&mut self, number: SubjectRef, subject: &Subject) {
        if subject.process.is_none() && !subject.cgroup.is_empty() {
            let follow = Follow {
                path: subject.cgroup.clone(),
                track: Track::of(BLOCKS),
                begun_us: 0,
                next_us: 0,
                against: 0,
                announced: false,
            };
            self.cgroups.insert(number, follow);
            self.numbers.insert(subject.cgroup.clone(), number);
        }
    }

    /// A subject is gone.
    pub fn forget(&mut self, number: SubjectRef) {
        if let Some(gone) = self.cgroups.remove(&number)
            && self.numbers.get(&gone.path) == Some(&number)
        {
            self.numbers.remove(&gone.path);
        }
        shrink(&mut self.cgroups);
    }

    /// A row of a cgroup or of the host.
    pub fn row(&mut self, time_us: i64, row: &Row) {
        if row.subject == HOST {
            self.available = row.get(FieldId::MemAvailable.field()).or(self.available);
            return;
        }
        self.now_us = self.now_us.max(time_us);
        let Some(follow) = self.cgroups.get_mut(&row.subject) else { return };
        if follow.begun_us == 0 {
            (follow.begun_us, follow.next_us) = (time_us, time_us + FIRST_US);
        }
        follow.track.row(time_us, self.has_parts, |id| row.get(id.field()));
        follow.track.keep(LIVES);
    }

    /// An event of a cgroup.
    pub fn event(&mut self, event: &Event) {
        let number = event.cgroup.as_ref().and_then(|path| self.numbers.get(path));
        if let Some(follow) = number.and_then(|number| self.cgroups.get_mut(number)) {
            follow.track.event((event.mono_ns / 1000) as i64, &event.what);
        }
    }

    /// Looks at some of those whose turn it is.
    pub fn look(&mut self) -> Vec<News> {
        let now_us = self.now_us;
        let due = |follow: &Follow| follow.begun_us != 0 && follow.next_us <= now_us;
        let mut numbers: Vec<SubjectRef> =
            self.cgroups.iter().filter(|(_, follow)| due(follow)).map(|(number, _)| *number).collect();
        let turn = self.turn;
        numbers.sort_unstable_by_key(|number| (*number <= turn, *number));
        numbers.truncate(TURN);
        let mut news = Vec::new();
        for number in numbers {
            self.turn = number;
            news.extend(self.look_at(number));
        }
        news
    }

    fn look_at(&mut self, number: SubjectRef) -> Option<News> {
        let verdict = self.verdict(number)?;
        let follow = self.cgroups.get_mut(&number)?;
        follow.next_us = self.now_us + NEXT_US.max((self.now_us - follow.begun_us) / NEXT_PART);
        let leaks = verdict.verdict == Class::Leak;
        // Not enough to see speaks neither for nor against.
        if verdict.verdict == Class::Undetermined {
            return None;
        }
        follow.against = if leaks == follow.announced { 0 } else { follow.against + 1 };
        if follow.against < LOOKS {
            return None;
        }
        (follow.announced, follow.against) = (leaks, 0);
        Some(News { path: follow.path.clone(), leaks, verdict })
    }

    /// The verdict at this moment.
    pub fn verdict(&self, number: SubjectRef) -> Option<Verdict> {
        let follow = self.cgroups.get(&number)?;
        let mut rooms: BTreeMap<String, Headroom> = BTreeMap::new();
        for path in successors(Some(&*follow.path), |path| parent(path)) {
            let room = self.numbers.get(path).and_then(|number| self.cgroups.get(number)?.track.room());
            rooms.extend(room.map(|room| (path.to_owned(), room)));
        }
        // The verdict fits the blocks to the data, which goes on here.
        let limits = Bounds { cgroup: nearest(&follow.path, &rooms), available: self.available };
        judge(&mut follow.track.clone(), limits)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::model::fields::Table;
    use crate::model::recording::Series;

    const MIB: u64 = 1 << 20;

    fn subject(path: &str) -> Subject {
        Subject { cgroup: path.into(), id: 1, process: None }
    }

    fn row(number: SubjectRef, anon: u64, file: u64, max: u64) -> Row {
        let mut row = Row::new(number);
        for (id, value) in
            [(FieldId::Current, anon + file), (FieldId::Anon, anon), (FieldId::File, file), (FieldId::Max, max)]
        {
            row.put(id.field(), value);
        }
        row
    }

    fn noise(t: u64, n: u64) -> u64 {
        (t * 7919 + n * 104_729) % 101 * 4096
    }

    /// Anonymous memory and files at a second, and what that is.
    type Kind = (&'static str, fn(u64) -> (u64, u64), Class);

    const KINDS: [Kind; 7] = [
        ("/leak", |t| (100 * MIB + t * 60_000, 10 * MIB), Class::Leak),
        ("/late", |t| (100 * MIB + t.saturating_sub(1000) * 90_000, 10 * MIB), Class::Leak),
        ("/files", |t| (100 * MIB, 10 * MIB + t * 60_000), Class::Cache),
        ("/rest", |_| (100 * MIB, 10 * MIB), Class::Steady),
        ("/gc", |t| (100 * MIB + t % 400 * MIB / 5, 10 * MIB), Class::Sawtooth),
        ("/full", |t| (100 * MIB + t.min(1200) * 60_000, 10 * MIB), Class::BoundedCache),
        ("/step", |t| (if t < 1500 { 100 * MIB } else { 180 * MIB }, 10 * MIB), Class::Step),
    ];

    #[test]
    fn live_and_offline_say_the_same_of_the_same_rows() {
        for (path, at, class) in KINDS {
            let mut live = Live::new(&[]);
            live.subject(1, &subject(path));
            let mut series = Series::new(Arc::new(subject(path)), Table::Samples);
            for t in 0..3000 {
                let (anon, file) = at(t);
                let row = row(1, anon + noise(t, 1), file, 1024 * MIB);
                live.row(t as i64 * 1_000_000, &row);
                series.push(t as i64 * 1_000_000, &row);
            }
            let mut track = Track::default();
            track.feed(&series);
            let rooms = BTreeMap::from([(path.to_owned(), track.room().unwrap())]);
            let offline = judge(&mut track, nearest(path, &rooms)).unwrap();
            let live = live.verdict(1).unwrap();
            assert_eq!((offline.verdict, live.verdict), (class, class), "{path}: {offline:#?} {live:#?}");
            if class == Class::Leak {
                assert_eq!((offline.component, &offline.limit_owner), (live.component, &live.limit_owner));
                let near = |a: Option<f64>, b: Option<f64>| (a.unwrap() / b.unwrap() - 1.0).abs() < 0.05;
                assert!(near(offline.rate_bytes_per_s, live.rate_bytes_per_s), "{offline:#?} {live:#?}");
                assert!(near(offline.time_to_limit_s, live.time_to_limit_s), "{offline:#?} {live:#?}");
            }
        }
    }

    #[test]
    fn teeth_that_are_finer_than_the_blocks_are_no_leak_either() {
        let mut live = Live::new(&[]);
        live.subject(1, &subject("/gc"));
        for t in 0..3000 {
            live.row(t as i64 * 1_000_000, &row(1, 100 * MIB + t % 60 * MIB + noise(t, 1), 0, 1024 * MIB));
        }
        assert_eq!(live.verdict(1).unwrap().verdict, Class::Steady);
    }

    #[test]
    fn a_leak_is_announced_once_while_it_happens_and_taken_back_when_it_ends() {
        let mut live = Live::new(&[]);
        let mut news = Vec::new();
        for (n, path) in ["/rest", "/leak"].into_iter().enumerate() {
            live.subject(n as u32 + 1, &subject(path));
        }
        for t in 0..40_000u64 {
            let grown = t.min(2000) * 80_000;
            live.row(t as i64 * 1_000_000, &row(1, 100 * MIB + noise(t, 1), 0, 1024 * MIB));
            live.row(t as i64 * 1_000_000, &row(2, 100 * MIB + grown + noise(t, 2), 0, 1024 * MIB));
            news.extend(live.look().into_iter().map(|news| (t, news.path, news.leaks, news.verdict.time_to_limit_s)));
        }
        assert_eq!(
            news.iter().map(|(_, path, leaks, _)| (&**path, *leaks)).collect::<Vec<_>>(),
            [("/leak", true), ("/leak", false)]
        );
        // The limit is reached after 12000 s: long before half of that.
        assert!(news[0].0 < 1500 && news[0].3.is_some_and(|left| left > 8000.0), "{news:?}");
    }

    #[test]
    fn memory_is_bounded_and_what_is_gone_is_forgotten() {
        let mut live = Live::new(&[]);
        live.subject(1, &subject("/a"));
        for t in 0..50_000u64 {
            let mut row = row(1, (t % 100) * MIB, 0, 200 * MIB);
            row.put(FieldId::EventsOomKill.field(), t / 100);
            live.row(t as i64 * 100_000, &row);
        }
        let track = &live.cgroups[&1].track;
        assert!(track.lives.len() <= LIVES);
        assert!(track.lives.iter().all(|life| life.blocks.signal(0).len() <= BLOCKS));
        live.forget(1);
        assert!(live.cgroups.is_empty() && live.numbers.is_empty() && live.verdict(1).is_none());
    }

    #[test]
    fn the_new_cgroup_of_a_path_stays_when_the_old_one_is_forgotten() {
        let mut live = Live::new(&[]);
        live.subject(1, &subject("/a"));
        live.subject(2, &subject("/a"));
        live.subject(3, &subject("/a/b"));
        live.forget(1);
        for t in 0..400 {
            let held = 100 * MIB + t * 60_000 + noise(t, 1);
            live.row(t as i64 * 1_000_000, &row(2, held + 50 * MIB, 0, 900 * MIB));
            live.row(t as i64 * 1_000_000, &row(3, held, 0, crate::model::fields::UNLIMITED));
        }
        let verdict = live.verdict(3).unwrap();
        assert_eq!((verdict.limit_owner.as_deref(), verdict.limit_bytes), (Some("/a"), Some(850 * MIB)));
    }

    #[test]
    fn without_memory_stat_the_size_is_judged() {
        let mut live = Live::new(&[FieldId::Current]);
        live.subject(1, &subject("/a"));
        for t in 0..900 {
            let mut row = Row::new(1);
            row.put(FieldId::Current.field(), 100 * MIB + t * 100_000 + noise(t, 1));
            live.row(t as i64 * 1_000_000, &row);
        }
        assert_eq!(live.verdict(1).unwrap().verdict, Class::Leak);
    }

    #[test]
    fn a_turn_looks_at_a_few_and_the_next_at_others() {
        let mut live = Live::new(&[]);
        for n in 1..=10 {
            live.subject(n, &subject(&format!("/{n}")));
            (0..150).for_each(|t| live.row(t * 1_000_000, &row(n, 10 * MIB, 0, 900 * MIB)));
        }
        let seen = [4, 8, 10, 10].map(|_| {
            live.look();
            live.cgroups.values().filter(|follow| follow.next_us > live.now_us).count()
        });
        assert_eq!(seen, [4, 8, 10, 10]);
    }

    #[test]
    fn three_looks_announce_and_an_unknown_verdict_takes_nothing_back() {
        let mut live = Live::new(&[]);
        live.subject(1, &subject("/a"));
        let feed = |live: &mut Live, from: u64, to: u64| {
            (from..to).for_each(|t| {
                live.row(t as i64 * 1_000_000, &row(1, 100 * MIB + t * 60_000 + noise(t, 1), 0, 1024 * MIB))
            });
            live.look().iter().map(|news| news.leaks).collect::<Vec<_>>()
        };
        let announced = [(0, 900), (900, 1000), (1000, 1100)].map(|(from, to)| feed(&mut live, from, to));
        assert_eq!(announced, [vec![], vec![], vec![true]]);
        // Of three weeks nearly nothing was seen.
        for looks in 0..5 {
            let at = 2_000_000 + looks * 200_000;
            live.row(at * 1_000_000, &row(1, 100 * MIB, 0, 1024 * MIB));
            assert!(live.look().is_empty());
            assert_eq!(live.verdict(1).unwrap().verdict, Class::Undetermined);
        }
    }
}
