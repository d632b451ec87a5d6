//! What the guard sees: the guarded cgroups, read on kept descriptors at each look, so that it decides on what is there now.

use std::collections::HashMap;
use std::fs;
use std::iter::successors;
use std::os::unix::fs::MetadataExt;

use crate::agent::live_board::LiveBoard;
use crate::containers::runtimes::identify;
use crate::guard::{Above, Guard, Limits, Reading};
use crate::kernel::cgroupfs::handle::{BUFFER, Handle, Outcome};
use crate::kernel::cgroupfs::layout::{Layout, Version, at};
use crate::kernel::cgroupfs::limits::{both, can_reclaim};
use crate::kernel::cgroupfs::plan::Plan;
use crate::kernel::cgroupfs::tree::Selection;
use crate::model::fields::{FieldId, UNLIMITED};
use crate::model::memory;
use crate::model::paths::parent;
use crate::model::sample::{PassKind, Row};

/// Which cgroups are guarded.
pub struct Wanted {
    /// By their paths.
    pub selection: Selection,
    /// And only containers.
    pub containers: bool,
}

impl Wanted {
    fn wants(&self, path: &str) -> bool {
        let container = || identify(path).is_some_and(|who| who.is_container());
        self.selection.wants(path) && (!self.containers || container())
    }
}

/// A cgroup of the board: its number, and its descriptors when it is guarded.
struct Followed {
    id: u64,
    files: Option<Files>,
}

struct Files {
    near: Handle,
    stat: Handle,
    can_reclaim: bool,
}

/// A cgroup that an earlier raise was of.
#[derive(Clone, Copy, Debug)]
pub struct Present {
    /// Inode number.
    pub id: u64,
    /// Memory that cannot be reclaimed, bytes.
    pub unreclaimable: u64,
    /// Its own limits.
    pub limits: Limits,
    /// On v1 the limit of memory and swap together, bytes.
    pub both: Option<u64>,
}

/// Below this part of the limit neither memory.stat nor what is above is read: both cost more than the rest together.
const FAR: u64 = 2;

/// Reads the guarded cgroups.
pub struct Observer {
    layout: Layout,
    wanted: Wanted,
    near: Plan,
    stat: Plan,
    buffer: Box<[u8]>,
    known: HashMap<String, Followed>,
}

impl Observer {
    /// Observer that have seen nothing yet.
    pub fn new(layout: Layout, wanted: Wanted) -> Observer {
        use FieldId::*;
        let hits = if layout.version == Version::V2 { LocalMax } else { EventsMax };
        let near = Plan::cgroups(PassKind::Full, &layout, &[Current, Max, High, hits]);
        let stat = Plan::cgroups(PassKind::Full, &layout, &[ActiveFile, InactiveFile]);
        Observer { layout, wanted, near, stat, buffer: vec![0; BUFFER].into(), known: HashMap::new() }
    }

    /// All guarded cgroups that have a limit. `settling` knows whose limit is being written by its runtime.
    pub fn look(&mut self, board: &LiveBoard, guard: &Guard, settling: impl Fn(&str) -> bool) -> Vec<Reading> {
        let guarded = self.guarded(board);
        guarded.into_iter().filter_map(|(path, leaks)| self.read(path, leaks, guard, &settling)).collect()
    }

    /// The guarded cgroups of the board, and whether they leak.
    fn guarded(&mut self, board: &LiveBoard) -> Vec<(String, Option<bool>)> {
        let board = board.lock();
        self.known.retain(|path, known| board.cgroups.get(path).is_some_and(|c| !c.gone && c.id == known.id));
        let mut guarded = Vec::new();
        for (path, cgroup) in board.cgroups.iter().filter(|(_, cgroup)| !cgroup.gone && cgroup.id != 0) {
            if !self.known.contains_key(path) {
                let files = self.wanted.wants(path).then(|| Files {
                    near: Handle::cgroup(&self.near, &self.layout, path),
                    stat: Handle::cgroup(&self.stat, &self.layout, path),
                    can_reclaim: can_reclaim(&self.layout, path),
                });
                self.known.insert(path.clone(), Followed { id: cgroup.id, files });
            }
            if self.known.get(path).is_some_and(|known| known.files.is_some()) {
                guarded.push((path.clone(), cgroup.leaks));
            }
        }
        guarded
    }

    fn read(
        &mut self,
        path: String,
        leaks: Option<bool>,
        guard: &Guard,
        settling: &impl Fn(&str) -> bool,
    ) -> Option<Reading> {
        let known = self.known.get_mut(&path)?;
        let files = known.files.as_mut()?;
        let mut row = Row::new(1);
        if files.near.read(&mut self.near, &mut self.buffer, &mut row) == Outcome::Gone {
            return None;
        }
        let current = row.get(FieldId::Current.field())?;
        let limits = limits(&row, self.layout.version)?;
        let mut reading = Reading {
            id: known.id,
            current,
            cache: None,
            limits,
            hits: row.get(FieldId::LocalMax.field()).or(row.get(FieldId::EventsMax.field())).unwrap_or(0),
            leaks,
            above: None,
            settling: settling(&path),
            can_reclaim: files.can_reclaim,
            path,
        };
        if current < limits.first() / FAR && !guard.holds(&reading.path) {
            return Some(reading);
        }
        files.stat.read(&mut self.stat, &mut self.buffer, &mut row);
        reading.cache = memory::page_cache(|id| row.get(id.field()));
        reading.above = self.above(&reading.path);
        Some(reading)
    }

    /// A cgroup as it stands now, guarded or not; `None` where it is gone.
    pub fn present(&mut self, path: &str) -> Option<Present> {
        let id = fs::metadata(at(&self.layout.memory, path)).ok()?.ino();
        let mut row = Row::new(1);
        for plan in [&mut self.near, &mut self.stat] {
            if Handle::cgroup(plan, &self.layout, path).read(plan, &mut self.buffer, &mut row) == Outcome::Gone {
                return None;
            }
        }
        let cache = memory::page_cache(|id| row.get(id.field())).unwrap_or(0);
        Some(Present {
            id,
            unreclaimable: row.get(FieldId::Current.field())?.saturating_sub(cache),
            limits: limits(&row, self.layout.version)?,
            both: both(&self.layout, path),
        })
    }

    /// The limit above that leaves least.
    fn above(&mut self, path: &str) -> Option<Above> {
        let ancestors = successors(parent(path), |path| parent(path)).filter(|path| *path != "/");
        let room = |path: &str| {
            let mut row = Row::new(1);
            Handle::cgroup(&self.near, &self.layout, path).read(&mut self.near, &mut self.buffer, &mut row);
            let limit = limits(&row, self.layout.version)?.first();
            let room = limit.saturating_sub(row.get(FieldId::Current.field())?);
            (limit != UNLIMITED).then(|| Above { path: path.to_owned(), room })
        };
        ancestors.filter_map(room).min_by_key(|above| above.room)
    }
}

fn limits(row: &Row, version: Version) -> Option<Limits> {
    // The soft limit of v1 neither throttles nor kills.
    let high = if version == Version::V2 { row.get(FieldId::High.field()) } else { None };
    Some(Limits { high: high.unwrap_or(UNLIMITED), max: row.get(FieldId::Max.field())? })
}

/// A line of `/proc/meminfo`, bytes.
pub fn meminfo(key: &str) -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let kib: u64 = text.lines().find_map(|line| line.strip_prefix(key))?.split_whitespace().next()?.parse().ok()?;
    Some(kib << 10)
}
