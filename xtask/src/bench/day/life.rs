//! The lives of a hundred cgroups: what each would show of itself at a time. Made up, but with the shapes that are met.

use std::f64::consts::TAU;

use sampler::model::fields::{FieldId, UNLIMITED};
use sampler::model::sample::Row;

const MIB: f64 = 1024.0 * 1024.0;
const PAGE: f64 = 4096.0;

/// What a cgroup does with its memory.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Habit {
    /// Grows for ever, at bytes a second.
    Leak {
        pace: f64,
    },
    /// The same in tmpfs.
    Tmpfs {
        pace: f64,
    },
    /// Grows until it is killed, and begins again.
    Killed {
        pace: f64,
    },
    /// Collects garbage after so many seconds.
    Garbage {
        period: f64,
    },
    /// Reads files until its limit, then reclaims.
    Files {
        pace: f64,
    },
    /// Grows to a bound of its own.
    Bounded {
        pace: f64,
        bound: f64,
    },
    /// Follows the hour of the day.
    Load,
    /// Grows ever slower.
    WarmUp {
        tau: f64,
    },
    /// Rises with others, for some seconds of each period.
    Together {
        period: f64,
        length: f64,
    },
    Steady,
}

/// One cgroup.
pub struct Life {
    pub path: String,
    pub id: u64,
    habit: Habit,
    dice: fastrand::Rng,
    level: f64,
    limit: f64,
    /// Part of the ticks at which something changes.
    busy: f64,
    noise: f64,
    begun_s: f64,
    anon: f64,
    file: f64,
    shmem: f64,
    current: u64,
    peak: u64,
    kills: u64,
    hits: u64,
    stall_us: f64,
    refaults: f64,
    faults: f64,
    cpu_us: f64,
}

impl Life {
    /// The `n`th of a day of `hours`.
    pub fn new(n: usize, hours: f64) -> Life {
        let mut dice = fastrand::Rng::with_seed(n as u64 + 1);
        let mut between = |low: f64, high: f64| (low.ln() + dice.f64() * (high.ln() - low.ln())).exp();
        let level = between(20.0, 600.0) * MIB;
        let day = hours * 3600.0;
        let habit = match n % 20 {
            0 | 1 => Habit::Leak { pace: level * between(0.3, 3.0) / day },
            2 => Habit::Killed { pace: level / between(1200.0, 5400.0) },
            3..=5 => Habit::Garbage { period: between(20.0, 300.0) },
            6..=8 => Habit::Files { pace: level * between(2.0, 40.0) / day },
            9 => Habit::Bounded { pace: level * between(3.0, 9.0) / day, bound: level * between(0.5, 1.5) },
            14 | 15 => Habit::Load,
            16 => Habit::WarmUp { tau: day * between(0.03, 0.15) },
            17 => Habit::Tmpfs { pace: level * between(0.3, 1.0) / day },
            18 => Habit::Together { period: 60.0, length: 8.0 },
            19 => Habit::Together { period: 900.0, length: 45.0 },
            _ => Habit::Steady,
        };
        let limit = match habit {
            Habit::Killed { .. } | Habit::Files { .. } => 2.0 * level,
            Habit::Steady if n.is_multiple_of(2) => f64::INFINITY,
            _ => 8.0 * level,
        };
        let busy = between(0.02, 0.9);
        let hex: String = (0..64).map(|_| char::from(b"0123456789abcdef"[dice.usize(0..16)])).collect();
        Life {
            path: format!("/system.slice/docker-{hex}.scope"),
            id: 4000 + 37 * n as u64,
            habit,
            level,
            limit: (limit / PAGE).floor() * PAGE,
            busy,
            noise: 0.0,
            begun_s: 0.0,
            anon: level,
            file: 0.2 * level,
            shmem: 0.0,
            current: 0,
            peak: 0,
            kills: 0,
            hits: 0,
            stall_us: 0.0,
            refaults: 0.0,
            faults: 0.0,
            cpu_us: 0.0,
            dice,
        }
    }

    /// Lives a tenth of a second. Returns whether it was killed.
    pub fn tick(&mut self, time_s: f64) -> bool {
        if self.current != 0 && self.dice.f64() > self.busy {
            return false;
        }
        let age = time_s - self.begun_s;
        let spread = 0.002 * self.level;
        self.noise = 0.98 * self.noise + spread * (self.dice.f64() - 0.5);
        let (mut work, mut file) = (1.0, 0.2 * self.level);
        let anon = match self.habit {
            Habit::Leak { pace } | Habit::Killed { pace } => self.level + pace * age,
            Habit::Tmpfs { pace } => {
                self.shmem = pace * age;
                self.level
            }
            Habit::Garbage { period } => self.level * (1.0 + 0.6 * (age / period).fract()),
            Habit::Files { pace } => {
                file += pace * age;
                self.level
            }
            Habit::Bounded { pace, bound } => self.level + (pace * age).min(bound),
            Habit::Load => {
                work = 1.0 + 0.8 * (TAU * time_s / 86400.0).sin();
                self.level * (0.5 + 0.5 * work)
            }
            Habit::WarmUp { tau } => self.level * (1.5 - 0.5 * (-age / tau).exp()),
            Habit::Together { period, length } => {
                let rises = time_s % period < length;
                work = if rises { 5.0 } else { 1.0 };
                self.level * if rises { 1.25 } else { 1.0 }
            }
            Habit::Steady => self.level,
        };
        self.anon = (anon + self.noise).max(0.0);
        self.file = file.max(0.0);
        self.cpu_us += work * 4000.0 * (0.5 + self.dice.f64());
        self.faults += (work * 40.0 * self.dice.f64()).floor();
        let mut size = self.anon + self.file + self.shmem + 0.01 * self.level;
        let mut killed = false;
        if size > self.limit {
            let over = size - self.limit;
            self.hits += 1 + self.dice.u64(0..4);
            if self.file > 0.1 * self.level || over < self.file {
                self.file -= over.min(self.file);
                self.refaults += (over / PAGE * 0.1).min(300.0).floor();
                self.stall_us += 500.0 * self.dice.f64();
            } else {
                killed = true;
                self.kills += 1;
                self.stall_us += 60_000.0;
                self.begun_s = time_s;
                self.anon = 0.3 * self.level;
            }
            size = self.anon + self.file + self.shmem + 0.01 * self.level;
        }
        self.current = ((size / PAGE).floor() * PAGE) as u64;
        self.peak = self.peak.max(self.current);
        killed
    }

    /// The fast files.
    pub fn fast(&self, row: &mut Row) {
        let mut put = |id: FieldId, value: u64| row.put(id.field(), value);
        put(FieldId::Current, self.current);
        put(FieldId::SwapCurrent, 0);
        for id in [FieldId::EventsLow, FieldId::EventsHigh, FieldId::LocalHigh] {
            put(id, 0);
        }
        for id in [FieldId::EventsMax, FieldId::LocalMax] {
            put(id, self.hits);
        }
        for id in [FieldId::EventsOom, FieldId::EventsOomKill, FieldId::LocalOom, FieldId::LocalOomKill] {
            put(id, self.kills);
        }
        put(FieldId::EventsOomGroupKill, 0);
        put(FieldId::LocalOomGroupKill, 0);
        put(FieldId::PressureSome, self.stall_us as u64);
        put(FieldId::PressureFull, (0.7 * self.stall_us) as u64);
    }

    /// The slow files: all that Linux 6.12 prints.
    pub fn slow(&self, row: &mut Row) {
        let pages = |bytes: f64| ((bytes / PAGE).floor() * PAGE) as u64;
        let limit = if self.limit.is_finite() { self.limit as u64 } else { UNLIMITED };
        let kernel = 0.01 * self.level;
        let mut put = |id: FieldId, value: u64| row.put(id.field(), value);
        put(FieldId::Max, limit);
        for id in [FieldId::High, FieldId::SwapMax, FieldId::SwapHigh, FieldId::PidsMax] {
            put(id, UNLIMITED);
        }
        put(FieldId::Populated, 1);
        put(FieldId::Peak, self.peak);
        put(FieldId::CpuUsage, self.cpu_us as u64);
        put(FieldId::PidsCurrent, 4 + self.id % 9);
        put(FieldId::Anon, pages(self.anon));
        put(FieldId::File, pages(self.file + self.shmem));
        put(FieldId::Shmem, pages(self.shmem));
        put(FieldId::Kernel, pages(kernel + 0.002 * self.anon));
        put(FieldId::KernelStack, 16384 * (4 + self.id % 9));
        put(FieldId::Pagetables, pages(0.002 * self.anon));
        put(FieldId::Percpu, 9600);
        put(FieldId::Sock, 0);
        put(FieldId::FileMapped, pages(0.3 * self.file));
        put(FieldId::FileDirty, pages(0.01 * self.file));
        put(FieldId::InactiveAnon, pages(0.9 * self.anon));
        put(FieldId::ActiveAnon, pages(0.1 * self.anon));
        put(FieldId::InactiveFile, pages(0.6 * self.file));
        put(FieldId::ActiveFile, pages(0.4 * self.file));
        put(FieldId::SlabReclaimable, pages(0.4 * kernel));
        put(FieldId::SlabUnreclaimable, pages(0.3 * kernel));
        put(FieldId::Slab, pages(0.4 * kernel) + pages(0.3 * kernel));
        put(FieldId::RefaultFile, self.refaults as u64);
        put(FieldId::ActivateFile, (0.5 * self.refaults) as u64);
        put(FieldId::Pgscan, (3.0 * self.refaults) as u64);
        put(FieldId::Pgsteal, (2.0 * self.refaults) as u64);
        put(FieldId::Pgfault, self.faults as u64);
        put(FieldId::Pgmajfault, (0.1 * self.refaults) as u64);
        for id in [
            FieldId::Low,
            FieldId::Min,
            FieldId::OomGroup,
            FieldId::SwapPeak,
            FieldId::ZswapCurrent,
            FieldId::SwapEventsFail,
            FieldId::SwapEventsMax,
            FieldId::CpuThrottled,
            FieldId::DyingDescendants,
            FieldId::SecPagetables,
            FieldId::Vmalloc,
            FieldId::Zswap,
            FieldId::Zswapped,
            FieldId::FileWriteback,
            FieldId::Swapcached,
            FieldId::AnonThp,
            FieldId::FileThp,
            FieldId::ShmemThp,
            FieldId::Unevictable,
            FieldId::RefaultAnon,
            FieldId::ActivateAnon,
            FieldId::RestoreAnon,
            FieldId::RestoreFile,
            FieldId::Nodereclaim,
            FieldId::PgscanKswapd,
            FieldId::PgscanDirect,
            FieldId::PgstealKswapd,
            FieldId::PgstealDirect,
            FieldId::Pgrefill,
            FieldId::Pgactivate,
            FieldId::Pgdeactivate,
            FieldId::Pglazyfree,
            FieldId::Pglazyfreed,
            FieldId::Zswpin,
            FieldId::Zswpout,
            FieldId::Zswpwb,
            FieldId::ThpFaultAlloc,
            FieldId::ThpCollapseAlloc,
            FieldId::PgscanKhugepaged,
            FieldId::PgstealKhugepaged,
        ] {
            put(id, 0);
        }
    }
}
