//! What the processes of a cgroup said of the memory that they manage by themselves, and whether that explains a growth.

use std::collections::BTreeMap;

use crate::model::own_memory::{JavaHeap, Manager, OwnMemory};

/// Processes that are kept of a cgroup; the newest displace the oldest.
const MOST: usize = 32;
/// Times between collections that are kept of a process.
const FLOORS: usize = 32;

/// The time between two collections of the old generation.
#[derive(Clone, Copy, Debug)]
struct Floor {
    collections: u64,
    from_us: i64,
    /// Least in the old generation meanwhile, bytes.
    old: u64,
}

/// One process: what was first and last seen of it, and when, microseconds.
#[derive(Clone, Debug)]
struct Owner {
    first: (i64, OwnMemory),
    last: (i64, OwnMemory),
    floors: Vec<Floor>,
}

impl Owner {
    fn new(time_us: i64, own: &OwnMemory) -> Owner {
        let mut owner = Owner { first: (time_us, own.clone()), last: (time_us, own.clone()), floors: Vec::new() };
        owner.note(time_us, own);
        owner
    }

    fn note(&mut self, time_us: i64, own: &OwnMemory) {
        self.last = (time_us, own.clone());
        let Some(heap) = &own.heap else { return };
        // Counters that begin to be readable are the first word of them.
        if self.first.1.heap.is_none() {
            self.first = (time_us, own.clone());
        }
        match self.floors.last_mut() {
            Some(floor) if floor.collections == heap.old_collections => floor.old = floor.old.min(heap.old_used),
            _ => self.floors.push(Floor { collections: heap.old_collections, from_us: time_us, old: heap.old_used }),
        }
        if self.floors.len() > FLOORS {
            // The first time is not one after a collection that was seen; of the others every second boundary goes.
            let kept = self.floors[1..].chunks(2).map(|pair| Floor {
                old: pair.iter().map(|floor| floor.old).min().unwrap_or(0),
                collections: pair[pair.len() - 1].collections,
                ..pair[0]
            });
            self.floors = std::iter::once(self.floors[0]).chain(kept).collect();
        }
    }

    /// Least in the old generation after the collections that were seen, and when they were.
    fn alive(&self) -> Vec<(i64, u64)> {
        self.floors.iter().skip(1).map(|floor| (floor.from_us, floor.old)).collect()
    }

    fn heaps(&self) -> Option<(&JavaHeap, &JavaHeap)> {
        Some((self.first.1.heap.as_ref()?, self.last.1.heap.as_ref()?))
    }

    /// How much more of the system's memory its heap may have come to use since the first word, bytes.
    fn room(&self) -> Option<u64> {
        let (first, last) = self.heaps()?;
        // After a few collections of the young generation all of it has been used.
        let untouched = if first.young_collections >= TOUCHED {
            last.old_used.saturating_sub(first.old_used)
        } else {
            first.committed.saturating_sub(first.used)
        };
        Some(last.committed.saturating_sub(first.committed).saturating_add(untouched))
    }
}

const TOUCHED: u64 = 3;

/// What is known of the processes of a cgroup.
#[derive(Clone, Debug, Default)]
pub struct OwnMemories {
    owners: BTreeMap<(i32, Manager), Owner>,
}

/// What Java's heaps say of a growth.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum JavaGrowth {
    /// What is alive after collections rises with it, bytes at first and at last.
    Alive(u64, u64),
    /// It is garbage, or room: what is alive after collections is this, bytes.
    Garbage(u64),
    /// No collection of the old generation was seen, and that does not grow by much: this is in it, bytes.
    Young(u64),
    /// The old generation was not collected: what of it is alive is not known. How long it was watched, microseconds, and whether it was
    /// collected once.
    NotCollected(i64, bool),
}

/// A growth beyond what the heap may have taken is none of the heap's.
const BESIDE: f64 = 1.15;
const SLACK: f64 = 8.0 * 1024.0 * 1024.0;
/// What is alive has this part in a growth that is a leak.
const PART: f64 = 0.3;
/// An owner explains a growth of which its process has this part.
const OWN_PART: f64 = 0.6;
/// V8's young generation: two halves of 16 MiB each by default (`--max-semi-space-size`), which fill with garbage.
const V8_YOUNG: f64 = 32.0 * 1024.0 * 1024.0;
/// Words must begin within this part of the time that they explain.
const SEEN: f64 = 0.25;

impl OwnMemories {
    /// Takes what was seen of one process.
    pub fn note(&mut self, time_us: i64, own: &OwnMemory) {
        let key = (own.pid, own.manager);
        match self.owners.get_mut(&key) {
            // Another program of the same pid is another process.
            Some(owner) if owner.last.1.comm == own.comm => owner.note(time_us, own),
            _ => {
                self.owners.insert(key, Owner::new(time_us, own));
            }
        }
        if self.owners.len() > MOST
            && let Some(oldest) = self.owners.iter().min_by_key(|(_, owner)| owner.last.0).map(|(key, _)| *key)
        {
            self.owners.remove(&oldest);
        }
    }

    /// Those of a kind that were seen from near the begin of a time on.
    fn of(&self, manager: Manager, from_us: i64, to_us: i64) -> Vec<&Owner> {
        let latest = from_us + ((to_us - from_us) as f64 * SEEN) as i64;
        let is_seen = |owner: &&Owner| owner.first.0 <= latest && owner.last.0 > from_us;
        let of_kind = self.owners.iter().filter(|((_, of), _)| *of == manager).map(|(_, owner)| owner);
        of_kind.filter(is_seen).collect()
    }

    /// Whether these processes have most of a growth. Where that was not read, they do as far as is known.
    fn have(owners: &[&Owner], growth: f64) -> bool {
        let grew = |owner: &&Owner| Some(owner.last.1.resident?.saturating_sub(owner.first.1.resident?) as f64);
        // What grew before the first word is not in it.
        owners.iter().map(grew).sum::<Option<f64>>().is_none_or(|own| own >= OWN_PART * growth)
    }

    /// What Java's heaps say of a growth in a time; `None` where there are none, or where something beside them grew.
    pub fn java(&self, growth: f64, from_us: i64, to_us: i64) -> Option<JavaGrowth> {
        let owners: Vec<&Owner> =
            self.of(Manager::Jvm, from_us, to_us).into_iter().filter(|owner| owner.heaps().is_some()).collect();
        let room = owners.iter().map(|owner| owner.room()).sum::<Option<u64>>().filter(|_| !owners.is_empty())?;
        if growth > BESIDE * room as f64 + SLACK || !OwnMemories::have(&owners, growth) {
            return None;
        }
        let sum = |of: &dyn Fn(&Owner) -> u64| owners.iter().map(|owner| of(owner)).sum::<u64>();
        let pace = growth / (to_us - from_us).max(1) as f64;
        let alive: Vec<Vec<(i64, u64)>> = owners.iter().map(|owner| owner.alive()).collect();
        // The pace at which what is alive rises, as far as it was seen twice.
        let rise = |alive: &Vec<(i64, u64)>| {
            let (first, last) = (alive.first()?, alive.last()?);
            (alive.len() >= 2).then(|| last.1.saturating_sub(first.1) as f64 / (last.0 - first.0).max(1) as f64)
        };
        if alive.iter().filter_map(rise).sum::<f64>() >= PART * pace {
            let first = alive.iter().filter_map(|alive| Some(alive.first()?.1)).sum();
            let last = alive.iter().filter_map(|alive| Some(alive.last()?.1)).sum();
            return Some(JavaGrowth::Alive(first, last));
        }
        if alive.iter().all(|alive| alive.len() >= 2) {
            return Some(JavaGrowth::Garbage(alive.iter().filter_map(|alive| Some(alive.last()?.1)).sum()));
        }
        let old = sum(&|owner| owner.heaps().map_or(0, |(first, last)| last.old_used.saturating_sub(first.old_used)));
        let held = sum(&|owner| owner.last.1.heap.map_or(0, |heap| heap.old_used));
        if (old as f64) < PART * growth {
            return Some(JavaGrowth::Young(held));
        }
        let watched = owners.iter().map(|owner| owner.last.0 - owner.first.0).max().unwrap_or(0);
        Some(JavaGrowth::NotCollected(watched, alive.iter().any(|alive| !alive.is_empty())))
    }

    /// A Go program of this growth that collects nothing below a ceiling which it has not reached with `level` bytes.
    pub fn uncollected(&self, growth: f64, level: f64, from_us: i64, to_us: i64) -> Option<&OwnMemory> {
        let owners: Vec<&Owner> =
            self.of(Manager::Go, from_us, to_us).into_iter().filter(|owner| owner.last.1.uncollected).collect();
        let ceiling: f64 = owners.iter().filter_map(|owner| owner.last.1.ceiling).map(|bytes| bytes as f64).sum();
        let explains = level <= BESIDE * ceiling && OwnMemories::have(&owners, growth);
        owners.first().filter(|_| explains).map(|owner| &owner.last.1)
    }

    /// A Node program whose growth is so small that V8 need not have collected any of it.
    pub fn young(&self, growth: f64, from_us: i64, to_us: i64) -> Option<&OwnMemory> {
        let owners = self.of(Manager::Node, from_us, to_us);
        let explains = growth <= V8_YOUNG * owners.len() as f64 && OwnMemories::have(&owners, growth);
        owners.first().filter(|_| explains).map(|owner| &owner.last.1)
    }

    /// Shared mappings that were made before the growth and do not become more, if `level` bytes of shared memory are within them: one of
    /// them, and their size.
    pub fn mapping(&self, level: f64, from_us: i64, to_us: i64) -> Option<(&OwnMemory, u64)> {
        let owners = self.of(Manager::SharedMapping, from_us, to_us);
        let all = self.owners.values().filter(|owner| owner.last.1.manager == Manager::SharedMapping).count();
        let size = |owner: &&Owner| owner.first.1.ceiling.filter(|size| owner.last.1.ceiling == Some(*size));
        let sum = owners.iter().map(size).sum::<Option<u64>>()?;
        let first = owners.first().filter(|_| level <= sum as f64 && all == owners.len())?;
        Some((&first.last.1, sum))
    }

    /// A server that fills its cache, if the growth is its own and `level` bytes are within what it may hold.
    pub fn cache(&self, growth: f64, level: f64, base: f64, from_us: i64, to_us: i64) -> Option<&OwnMemory> {
        let owners = self.of(Manager::Cache, from_us, to_us);
        let ceiling: f64 = owners.iter().filter_map(|owner| owner.last.1.ceiling).map(|bytes| bytes as f64).sum();
        let explains = level - base <= BESIDE * ceiling && OwnMemories::have(&owners, growth);
        owners.first().filter(|_| explains).map(|owner| &owner.last.1)
    }

    /// What a runtime may hold at most, where that is known: the largest ceiling of those alive at the end.
    pub fn ceiling(&self, from_us: i64) -> Option<&OwnMemory> {
        let alive = self.owners.values().filter(|owner| owner.last.0 >= from_us).map(|owner| &owner.last.1);
        alive.filter(|own| own.manager != Manager::SharedMapping).max_by_key(|own| own.ceiling)
    }
}
