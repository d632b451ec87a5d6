//! One pass over cgroups on kept descriptors. The sacred loop: no allocation, no lock, no wait.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::schedule::{Activity, Watch};
use crate::cgroupfs::handle::{BUFFER, Handle, Outcome};
use crate::cgroupfs::plan::Plan;
use crate::fields::UNLIMITED;
use crate::sample::{PassBuilder, PassKind, Row, SubjectRef};
use crate::time::mono_ns;

/// What the two sampling threads tell each other about a cgroup, without a lock.
#[derive(Debug)]
pub struct Vitals {
    limit: AtomicU64,
    activity: AtomicU64,
}

impl Default for Vitals {
    fn default() -> Self {
        Vitals { limit: AtomicU64::new(UNLIMITED), activity: AtomicU64::new(0) }
    }
}

impl Vitals {
    /// The limit that the slow pass read last, bytes.
    pub fn limit(&self) -> u64 {
        self.limit.load(Ordering::Relaxed)
    }

    /// Told by the slow pass.
    pub fn set_limit(&self, bytes: u64) {
        self.limit.store(bytes, Ordering::Relaxed);
    }

    /// Whether the fast pass has a reason to watch the cgroup closely.
    pub fn is_active(&self) -> bool {
        self.activity.load(Ordering::Relaxed) != Activity::Calm as u64
    }

    /// Told by the fast pass.
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
    /// Its descriptors.
    pub handle: Handle,
    /// Shared with the other thread.
    pub vitals: Arc<Vitals>,
    /// How closely it is watched.
    pub watch: Watch,
    /// Whether the kernel said that it is gone.
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
}

impl Sampler {
    /// A sampler without cgroups.
    pub fn new(plan: Plan) -> Sampler {
        Sampler {
            targets: Vec::new(),
            pass: PassBuilder::with_capacity(64 << 10),
            plan,
            buffer: vec![0; BUFFER].into(),
            row: Row::new(0),
        }
    }

    /// Adds a cgroup at its place: they are read in the order of their paths, which is the order of the sealed rows.
    pub fn add(&mut self, target: Box<Target>) {
        let at = self.targets.partition_point(|other| other.cgroup <= target.cgroup);
        self.targets.insert(at, target);
    }

    /// What its passes are.
    pub fn kind(&self) -> PassKind {
        self.plan.kind
    }

    /// Most words a pass over the present cgroups can take.
    pub fn most_words(&self) -> usize {
        2 + self.targets.len() * (3 + self.plan.width())
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
        for target in &mut self.targets {
            if target.gone || !wants(target) {
                continue;
            }
            self.row.subject = target.subject;
            self.row.mask = 0;
            self.row.lag_us = (mono_ns().saturating_sub(start_ns) / 1000).min(u64::from(u32::MAX)) as u32;
            match target.handle.read(&mut self.plan, &mut self.buffer, &mut self.row) {
                Outcome::Read => {
                    each(target, &self.row);
                    self.pass.push(&self.row);
                }
                Outcome::Gone => target.gone = true,
            }
        }
    }
}
