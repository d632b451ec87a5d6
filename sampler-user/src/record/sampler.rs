//! One pass over cgroups on kept descriptors. The sacred loop: no allocation, no lock, no wait.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::kernel::cgroupfs::handle::{BUFFER, Handle, Outcome};
use crate::kernel::cgroupfs::plan::Plan;
use crate::kernel::probe::walk::Walker;
use crate::model::fields::UNLIMITED;
use crate::model::sample::{Mask, PassBuilder, PassKind, Row, SubjectRef};
use crate::model::time::mono_ns;
use crate::record::burst::{Activity, BurstTrigger, Cache};

/// What the two sampling threads share about a cgroup, without a lock.
#[derive(Debug)]
pub struct SharedState {
    limit: AtomicU64,
    cache: AtomicU64,
    cache_ns: AtomicU64,
    activity: AtomicU64,
}

impl Default for SharedState {
    fn default() -> Self {
        SharedState {
            limit: AtomicU64::new(UNLIMITED),
            cache: AtomicU64::new(0),
            cache_ns: AtomicU64::new(0),
            activity: AtomicU64::new(0),
        }
    }
}

impl SharedState {
    /// The limit that the slow pass read last, bytes.
    pub fn limit(&self) -> u64 {
        self.limit.load(Ordering::Acquire)
    }

    /// Set by the slow pass.
    pub fn set_limit(&self, bytes: u64) {
        self.limit.store(bytes, Ordering::Release);
    }

    /// The page cache that the slow pass read last, if it reads it.
    pub fn cache(&self) -> Option<Cache> {
        let at_ns = self.cache_ns.load(Ordering::Acquire);
        (at_ns != 0).then(|| Cache { bytes: self.cache.load(Ordering::Relaxed), at_ns })
    }

    /// Set by the slow pass, before the limit: usage near a limit means nothing without it.
    pub fn set_cache(&self, cache: Cache) {
        self.cache.store(cache.bytes, Ordering::Relaxed);
        self.cache_ns.store(cache.at_ns, Ordering::Release);
    }

    /// Whether the fast pass has a reason to watch the cgroup closely.
    pub fn is_active(&self) -> bool {
        self.activity.load(Ordering::Relaxed) != Activity::Calm as u64
    }

    /// Set by the fast pass.
    pub fn set_activity(&self, activity: Activity) {
        self.activity.store(activity as u64, Ordering::Relaxed);
    }
}

/// A cgroup that is sampled, as one thread sees it.
#[derive(Debug)]
pub struct Target {
    /// Its number.
    pub subject: SubjectRef,
    /// Its path, for the processes and the limits of the slow pass.
    pub cgroup: Arc<str>,
    /// Its kernfs id.
    pub id: u64,
    /// Its descriptors.
    pub handle: Handle,
    /// Shared with the other thread.
    pub state: Arc<SharedState>,
    /// Decides how closely it is watched.
    pub trigger: BurstTrigger,
    /// Whether its files are gone.
    pub gone: bool,
}

/// Passes over a set of cgroups by one plan.
#[derive(Debug)]
pub struct Sampler {
    /// The cgroups.
    pub targets: Vec<Box<Target>>,
    /// The pass that was taken last.
    pub pass: PassBuilder,
    plan: Plan,
    buffer: Box<[u8]>,
    row: Row,
    walk: Option<Walk>,
    walk_failed: bool,
    /// Words of a pass at most, and whose turn it is where the cgroups are too many for that.
    room: usize,
    turn: Turn,
    /// cgroups whose files are opened for each reading, and whose turn it is of them.
    unkept: usize,
    unkept_turn: Turn,
}

/// The kernel probe's walk, and what it gave for each target.
#[derive(Debug)]
struct Walk {
    walker: Walker,
    /// Targets by kernfs id.
    index: Vec<(u64, usize)>,
    /// For each target the time of its row (0 is none), which values there are, and the values.
    times: Vec<u64>,
    there: Vec<u64>,
    values: Vec<u64>,
    /// Slots a target takes from the walk.
    only: Vec<Mask>,
    /// cgroups of the last walk, with those that are not sampled.
    rows: u64,
    passes: u64,
}

/// A walk also reads cgroups that are not sampled. Above this many for each target, files are cheaper.
const MOST_STRANGERS: u64 = 12;
/// Whether a walk pays is looked at again after this many passes.
const LOOK_AGAIN: u64 = 256;

impl Walk {
    fn new(walker: Walker) -> Walk {
        Walk {
            walker,
            index: Vec::new(),
            times: Vec::new(),
            there: Vec::new(),
            values: Vec::new(),
            only: Vec::new(),
            rows: 0,
            passes: 0,
        }
    }

    fn index(&mut self, targets: &[Box<Target>], plan: &Plan) {
        self.index.clear();
        self.index.extend(targets.iter().enumerate().map(|(n, target)| (target.id, n)));
        self.index.sort_unstable();
        self.times.resize(targets.len(), 0);
        self.there.resize(targets.len(), 0);
        self.values.resize(targets.len() * self.walker.width(), 0);
        self.only.clear();
        self.only.extend(targets.iter().map(|target| target.handle.covered(plan)));
    }

    /// Walks, where it pays. `false` when the kernel refused.
    fn take(&mut self) -> bool {
        self.times.fill(0);
        self.passes += 1;
        if self.rows > MOST_STRANGERS * self.index.len() as u64 && !self.passes.is_multiple_of(LOOK_AGAIN) {
            return true;
        }
        let Walk { walker, index, times, there, values, .. } = self;
        let taken = walker.take(|walker, seen| {
            if let Ok(at) = index.binary_search_by_key(&seen.id(), |(id, _)| *id) {
                let target = index[at].1;
                let width = walker.width();
                times[target] = seen.time_ns();
                there[target] = walker.values(seen, &mut values[target * width..][..width]);
            }
        });
        self.rows = taken.as_ref().map_or(0, |taken| taken.rows);
        taken.is_ok()
    }
}

/// cgroups whose files are opened for each reading, in one pass: some ten milliseconds of it.
pub const IN_TURNS: usize = 200;

/// Which of many have their turn: so many after the other, then the next so many.
#[derive(Clone, Copy, Debug, Default)]
struct Turn {
    from: usize,
}

impl Turn {
    /// Whether the turn of one has come, by its place among all.
    #[inline]
    fn is_of(self, place: usize, all: usize, at_once: usize) -> bool {
        all <= at_once || (place + all - self.from % all) % all < at_once
    }

    fn next(&mut self, all: usize, at_once: usize) {
        self.from = if all <= at_once { 0 } else { (self.from + at_once) % all };
    }
}

impl Sampler {
    /// A sampler without cgroups, which reads files.
    pub fn new(plan: Plan) -> Sampler {
        Sampler {
            targets: Vec::new(),
            pass: PassBuilder::with_capacity(64 << 10),
            plan,
            buffer: vec![0; BUFFER].into(),
            row: Row::new(0),
            walk: None,
            walk_failed: false,
            room: usize::MAX,
            turn: Turn::default(),
            unkept: 0,
            unkept_turn: Turn::default(),
        }
    }

    /// A pass takes so many words at most: where the cgroups are too many for one, they have their turns.
    pub fn within(self, words: usize) -> Sampler {
        Sampler { room: words, ..self }
    }

    /// From now on takes what a walk of the kernel probe can give from it, and only the rest from files.
    pub fn walk_with(&mut self, mut walker: Walker) {
        self.plan.cover(walker.covers());
        let files = &self.plan.files;
        walker.keep(|slot| files.iter().any(|file| file.covered && file.parser.slots().any(|s| s == slot)));
        // What found no room among those that are kept is read from its file.
        self.plan.cover(walker.covers());
        self.walk = (walker.width() > 0).then(|| Walk::new(walker));
        self.reindex();
    }

    /// Whether the kernel refused a walk, since when files are read. Reported once.
    pub fn walk_failed(&mut self) -> bool {
        std::mem::take(&mut self.walk_failed)
    }

    /// Adds a cgroup at its place: they are read in the order of their paths, which is the order of the sealed rows.
    pub fn add(&mut self, target: Box<Target>) {
        let at = self.targets.partition_point(|other| other.cgroup <= target.cgroup);
        self.targets.insert(at, target);
        self.reindex();
    }

    /// Takes out a cgroup.
    pub fn remove(&mut self, subject: SubjectRef) -> Option<Box<Target>> {
        let at = self.targets.iter().position(|target| target.subject == subject)?;
        let target = self.targets.remove(at);
        self.reindex();
        Some(target)
    }

    fn reindex(&mut self) {
        self.unkept = self.targets.iter().filter(|target| !target.handle.is_kept()).count();
        if let Some(walk) = &mut self.walk {
            walk.index(&self.targets, &self.plan);
        }
    }

    /// What its passes are.
    pub fn kind(&self) -> PassKind {
        self.plan.kind
    }

    /// Most words a pass over the present cgroups can take.
    pub fn most_words(&self) -> usize {
        2 + self.targets.len().min(self.at_once()) * (3 + self.plan.width())
    }

    /// Rows that a pass has room for.
    fn at_once(&self) -> usize {
        (self.room.saturating_sub(2) / (3 + self.plan.width())).max(1)
    }

    /// Reads each cgroup that `wants` is true for, and shows each row to `each`. The rows are in [`Sampler::pass`] after.
    #[inline]
    pub fn take(
        &mut self,
        kind: PassKind,
        start_ns: u64,
        wants: impl Fn(&Target) -> bool,
        mut each: impl FnMut(&mut Target, &Row),
    ) {
        self.pass.begin(kind, start_ns);
        // A burst is of few.
        let walks = kind != PassKind::Burst;
        if walks && self.walk.as_mut().is_some_and(|walk| !walk.take()) {
            self.walk = None;
            self.walk_failed = true;
        }
        let walk = self.walk.as_ref().filter(|_| walks);
        let (all, at_once, mut place) = (self.targets.len(), self.at_once(), 0);
        for (n, target) in self.targets.iter_mut().enumerate() {
            let mut opens = true;
            if !target.handle.is_kept() {
                opens = !walks || self.unkept_turn.is_of(place, self.unkept, IN_TURNS);
                place += 1;
            }
            if target.gone || walks && !self.turn.is_of(n, all, at_once) || !wants(target) {
                continue;
            }
            self.row.subject = target.subject;
            self.row.mask = 0;
            let walked = walk.filter(|walk| walk.times[n] != 0);
            let time = walked.map_or_else(mono_ns, |walk| walk.times[n]);
            self.row.lag_us = (time.saturating_sub(start_ns) / 1000).min(u64::from(u32::MAX)) as u32;
            let outcome = match walked {
                Some(walk) => {
                    let width = walk.walker.width();
                    let values = &walk.values[n * width..][..width];
                    walk.walker.put(values, walk.there[n], walk.only[n], &mut self.row);
                    match opens {
                        true => target.handle.read_rest(&mut self.plan, &mut self.buffer, &mut self.row),
                        false => Outcome::Read,
                    }
                }
                None if !opens => continue,
                None => target.handle.read(&mut self.plan, &mut self.buffer, &mut self.row),
            };
            match outcome {
                Outcome::Read => {
                    each(target, &self.row);
                    self.pass.push(&self.row);
                }
                Outcome::Gone => target.gone = true,
            }
        }
        if walks {
            self.turn.next(all, at_once);
            self.unkept_turn.next(self.unkept, IN_TURNS);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_its_turn_as_often_as_the_others() {
        for (all, at_once) in [(1, 1), (5, 2), (7, 7), (3, 200), (10_000, 200), (10_001, 760)] {
            let (mut turn, mut count) = (Turn::default(), vec![0_usize; all]);
            for _ in 0..all * 2 {
                let now: Vec<usize> = (0..all).filter(|place| turn.is_of(*place, all, at_once)).collect();
                assert_eq!(now.len(), all.min(at_once));
                now.iter().for_each(|place| count[*place] += 1);
                turn.next(all, at_once);
            }
            let (least, most) = (count.iter().min().unwrap(), count.iter().max().unwrap());
            assert!(most - least <= 1, "{all} {at_once}: {least} to {most}");
            // One that went away while it was somebody's turn.
            assert!((0..all.max(2) - 1).any(|place| turn.is_of(place, all.max(2) - 1, at_once)));
        }
    }
}
