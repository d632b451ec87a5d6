//! Two generators of series. TUNE may be looked at while rules are written; TEST has other mechanisms and other noise, and is
//! only run.

use std::f64::consts::TAU;
use std::sync::Arc;

use sampler::analysis::leak::detectors::Class;
use sampler::model::fields::{FieldId, Table};
use sampler::model::recording::{Series, Subject};
use sampler::model::sample::Row;

use super::case::{Case, Truth};

const MIB: f64 = 1024.0 * 1024.0;

/// A series: one value a step.
pub struct Sim {
    pub step_s: f64,
    pub truth: Truth,
    pub anon: Vec<f64>,
    pub shmem: Vec<f64>,
    pub slab: Vec<f64>,
    pub file: Vec<f64>,
    pub faults: Option<Vec<f64>>,
}

impl Sim {
    /// As a case, which is judged.
    pub fn case(&self, mechanism: &str, i: usize) -> Case {
        let span_us = (self.anon.len() as f64 * self.step_s * 1e6) as i64;
        Case {
            name: format!("{mechanism} {i}"),
            mechanism: mechanism.to_owned(),
            truth: self.truth.clone(),
            series: vec![self.series()],
            begin_us: 0,
            end_us: span_us,
        }
    }

    fn current(&self) -> Vec<f64> {
        (0..self.anon.len()).map(|t| self.anon[t] + self.shmem[t] + self.slab[t] + self.file[t]).collect()
    }

    /// As it would be recorded.
    fn series(&self) -> Series {
        let subject = Subject { cgroup: "/sim".into(), id: 1, process: None };
        let mut series = Series::new(Arc::new(subject), Table::Samples);
        let mut faults = 0.0;
        let current = self.current();
        for t in 0..current.len() {
            let mut row = Row::new(1);
            let mut put = |id: FieldId, value: f64| row.put(id.field(), value.max(0.0) as u64);
            // The kernel charges 64 pages at once.
            let quantum = 64.0 * 4096.0;
            put(FieldId::Current, (current[t] / quantum).ceil() * quantum);
            put(FieldId::Anon, self.anon[t]);
            put(FieldId::Shmem, self.shmem[t]);
            put(FieldId::File, self.file[t] + self.shmem[t]);
            put(FieldId::Slab, self.slab[t]);
            put(FieldId::Kernel, self.slab[t] + 2.0 * MIB);
            put(FieldId::Max, self.truth.limit);
            if let Some(work) = &self.faults {
                faults += work[t];
                put(FieldId::Pgfault, faults);
            }
            series.push((t as f64 * self.step_s * 1e6) as i64, &row);
        }
        series
    }
}

pub struct Mechanism {
    pub name: &'static str,
    pub make: fn(u64) -> Sim,
}

/// The truth of a series that does not end.
pub fn truth(class: Class, limit: f64) -> Truth {
    Truth { class, also: Vec::new(), components: Vec::new(), rate: None, onset: 0.0, oom: None, about: None, limit }
}

/// Randomness of one series.
pub struct Dice(pub fastrand::Rng);

impl Dice {
    pub fn new(seed: u64) -> Dice {
        Dice(fastrand::Rng::with_seed(seed))
    }

    pub fn between(&mut self, low: f64, high: f64) -> f64 {
        low + self.0.f64() * (high - low)
    }

    /// Evenly in the logarithm.
    pub fn scale(&mut self, low: f64, high: f64) -> f64 {
        (self.between(low.ln(), high.ln())).exp()
    }

    pub fn normal(&mut self) -> f64 {
        (-2.0 * (1.0 - self.0.f64()).ln()).sqrt() * (TAU * self.0.f64()).cos()
    }

    pub fn walk(&mut self, n: usize, root: f64) -> Vec<f64> {
        let mut state = 0.0;
        (0..n)
            .map(|_| {
                state = root * state + self.normal();
                state
            })
            .collect()
    }
}

/// Scaffold: 20 to 60 minutes, noise of some kind on a level.
struct Stage {
    dice: Dice,
    n: usize,
    level: f64,
    noise: Vec<f64>,
    size: f64,
}

fn stage(seed: u64) -> Stage {
    let mut dice = Dice::new(seed);
    let n = dice.between(1200.0, 3600.0) as usize;
    let level = dice.scale(20.0, 800.0) * MIB;
    let size = level * dice.scale(0.001, 0.02);
    let kind = dice.0.usize(0..5);
    let root = [0.0, 0.9, 0.99, 0.997, 1.0][kind];
    let noise = dice.walk(n, root);
    let spread = (noise.iter().map(|v| v * v).sum::<f64>() / n as f64).sqrt().max(1e-9);
    let noise = noise.iter().map(|v| v / spread * size).collect();
    Stage { dice, n, level, noise, size }
}

impl Stage {
    fn sim(self, class: Class, anon: Vec<f64>) -> Sim {
        let n = self.n;
        let top = anon.iter().copied().fold(0.0, f64::max);
        let anon = anon.iter().zip(&self.noise).map(|(a, b)| (a + b).max(0.0)).collect();
        Sim {
            step_s: 1.0,
            truth: truth(class, (1.5 * top).max(64.0 * MIB)),
            anon,
            shmem: vec![0.0; n],
            slab: vec![3.0 * MIB; n],
            file: vec![20.0 * MIB; n],
            faults: None,
        }
    }

    /// A rise that is clear against the noise, bytes a second.
    fn rate(&mut self) -> f64 {
        (self.level * self.dice.scale(0.1, 1.5)).max(8.0 * self.size).max(8.0 * MIB) / self.n as f64
    }
}

fn with_rate(mut sim: Sim, rate: f64, onset: f64) -> Sim {
    let last = sim.anon[sim.n() - 20..].iter().sum::<f64>() / 20.0
        + sim.shmem[sim.n() - 1]
        + sim.slab[sim.n() - 1]
        + 2.0 * MIB;
    let left = 0.7 * rate * sim.n() as f64;
    sim.truth.limit = last + left;
    sim.truth.rate = Some(rate);
    sim.truth.onset = onset;
    sim.truth.oom = Some(1.0 + left / rate / sim.n() as f64 / sim.step_s);
    sim
}

impl Sim {
    fn n(&self) -> usize {
        self.anon.len()
    }
}

fn steady_work(n: usize, dice: &mut Dice) -> Vec<f64> {
    (0..n).map(|_| (800.0 + 80.0 * dice.normal()).max(0.0)).collect()
}

fn linear(seed: u64) -> Sim {
    let mut s = stage(seed);
    let (rate, level) = (s.rate(), s.level);
    let work = steady_work(s.n, &mut s.dice);
    let anon = (0..s.n).map(|t| level + rate * t as f64).collect();
    let mut sim = s.sim(Class::Leak, anon);
    sim.faults = seed.is_multiple_of(2).then_some(work);
    with_rate(sim, rate, 0.0)
}

fn late(seed: u64) -> Sim {
    let mut s = stage(seed);
    let onset = s.dice.between(0.2, 0.6);
    let (rate, level, from) = (2.0 * s.rate(), s.level, onset * s.n as f64);
    let anon = (0..s.n).map(|t| level + rate * (t as f64 - from).max(0.0)).collect();
    with_rate(s.sim(Class::Leak, anon), rate, onset)
}

fn shmem(seed: u64) -> Sim {
    let mut s = stage(seed);
    let (rate, level, n) = (s.rate(), s.level, s.n);
    let mut sim = s.sim(Class::Leak, vec![level; n]);
    sim.shmem = (0..n).map(|t| rate * t as f64).collect();
    with_rate(sim, rate, 0.0)
}

fn slab(seed: u64) -> Sim {
    let mut s = stage(seed);
    let (rate, level, n) = (s.rate(), s.level, s.n);
    let mut sim = s.sim(Class::Leak, vec![level; n]);
    sim.slab = (0..n).map(|t| 3.0 * MIB + rate * t as f64).collect();
    with_rate(sim, rate, 0.0)
}

fn stairs(seed: u64) -> Sim {
    let mut s = stage(seed);
    let (rate, level) = (s.rate(), s.level);
    let every = s.dice.between(20.0, s.n as f64 / 14.0);
    let anon = (0..s.n).map(|t| level + rate * every * (t as f64 / every).floor()).collect();
    with_rate(s.sim(Class::Leak, anon), rate, 0.0)
}

fn leak_under_gc(seed: u64) -> Sim {
    let mut s = stage(seed);
    let (rate, level) = (s.rate(), s.level);
    let (period, high) = (s.dice.between(20.0, s.n as f64 / 25.0), level * s.dice.between(0.2, 0.8));
    let anon = (0..s.n).map(|t| level + rate * t as f64 + high * (t as f64 % period) / period).collect();
    let mut sim = with_rate(s.sim(Class::Leak, anon), rate, 0.0);
    // Its peaks reach the limit, at a time that depends on the phase.
    sim.truth.oom = None;
    sim
}

fn leak_after_warm_up(seed: u64) -> Sim {
    let mut s = stage(seed);
    let (rate, level, n) = (s.rate(), s.level, s.n as f64);
    let tau = n * s.dice.between(0.02, 0.08);
    let up = level * s.dice.between(0.3, 1.0);
    let anon = (0..s.n).map(|t| level + up * (1.0 - (-(t as f64) / tau).exp()) + rate * t as f64).collect();
    with_rate(s.sim(Class::Leak, anon), rate, 0.05)
}

fn leak_with_work(seed: u64) -> Sim {
    let mut s = stage(seed);
    let (rate, level, n) = (s.rate(), s.level, s.n as f64);
    let period = n / s.dice.between(3.0, 8.0);
    let work: Vec<f64> = (0..s.n).map(|t| 1000.0 * (1.0 + 0.8 * (TAU * t as f64 / period).sin())).collect();
    let anon = (0..s.n).map(|t| level + rate * t as f64 + 0.15 * level * work[t] / 1000.0).collect();
    let mut sim = s.sim(Class::Leak, anon);
    sim.faults = Some(work);
    with_rate(sim, rate, 0.0)
}

fn steady(seed: u64) -> Sim {
    let s = stage(seed);
    let anon = vec![s.level; s.n];
    s.sim(Class::Steady, anon)
}

fn gc(seed: u64) -> Sim {
    let mut s = stage(seed);
    let (period, high, level) = (s.dice.between(15.0, s.n as f64 / 10.0), s.level * s.dice.between(0.3, 2.0), s.level);
    let anon = (0..s.n).map(|t| level + high * (t as f64 % period) / period).collect();
    s.sim(Class::Sawtooth, anon)
}

fn warm_up(seed: u64) -> Sim {
    let mut s = stage(seed);
    let tau = s.n as f64 * s.dice.between(0.05, 0.25);
    let (level, up) = (s.level, s.level * s.dice.between(0.3, 3.0));
    let anon = (0..s.n).map(|t| level + up * (1.0 - (-(t as f64) / tau).exp())).collect();
    s.sim(Class::WarmUp, anon)
}

/// Ever rarer news, as of a cache of all that was ever asked for.
fn warm_up_log(seed: u64) -> Sim {
    let mut s = stage(seed);
    let t0 = s.n as f64 * s.dice.scale(0.003, 0.05);
    let (level, up) = (s.level, s.level * s.dice.between(0.1, 0.6));
    let anon = (0..s.n).map(|t| level + up * (1.0 + t as f64 / t0).ln()).collect();
    s.sim(Class::WarmUp, anon)
}

fn page_cache(seed: u64) -> Sim {
    let mut s = stage(seed);
    let (rate, level, n) = (2.0 * s.rate(), s.level, s.n);
    let mut sim = s.sim(Class::Cache, vec![level; n]);
    sim.file = (0..n).map(|t| 20.0 * MIB + rate * t as f64).collect();
    sim.slab = (0..n).map(|t| 3.0 * MIB + 0.02 * rate * t as f64).collect();
    sim
}

fn bounded(seed: u64) -> Sim {
    let mut s = stage(seed);
    let full = s.n as f64 * s.dice.between(0.2, 0.6);
    let (level, up) = (s.level, s.level * s.dice.between(0.3, 3.0));
    let anon = (0..s.n).map(|t| level + up * (t as f64 / full).min(1.0)).collect();
    s.sim(Class::BoundedCache, anon)
}

fn load(seed: u64) -> Sim {
    let mut s = stage(seed);
    let n = s.n as f64;
    let kind = s.dice.0.bool();
    let cycles = s.dice.between(2.0, 7.0);
    let work: Vec<f64> = (0..s.n)
        .map(|t| {
            let shape = if kind { t as f64 / n } else { 0.5 + 0.5 * (TAU * cycles * t as f64 / n).sin() };
            200.0 + 2000.0 * shape + 60.0 * s.dice.normal()
        })
        .collect();
    let (level, each) = (s.level, s.level * s.dice.between(0.2, 1.0) / 2000.0);
    let anon = (0..s.n).map(|t| level + each * work[t]).collect();
    let mut sim = s.sim(Class::Load, anon);
    sim.faults = Some(work);
    sim
}

fn step(seed: u64) -> Sim {
    let mut s = stage(seed);
    let at = s.n as f64 * s.dice.between(0.15, 0.85);
    let (level, up) = (s.level, s.level * s.dice.between(0.2, 1.5) + 10.0 * s.size);
    let anon = (0..s.n).map(|t| if (t as f64) < at { level } else { level + up }).collect();
    s.sim(Class::Step, anon)
}

/// Mechanisms that may be looked at.
pub const TUNE: &[Mechanism] = &[
    Mechanism { name: "leak linear", make: linear },
    Mechanism { name: "leak late", make: late },
    Mechanism { name: "leak shmem", make: shmem },
    Mechanism { name: "leak slab", make: slab },
    Mechanism { name: "leak stairs", make: stairs },
    Mechanism { name: "leak under gc", make: leak_under_gc },
    Mechanism { name: "leak after warm-up", make: leak_after_warm_up },
    Mechanism { name: "leak with work", make: leak_with_work },
    Mechanism { name: "steady", make: steady },
    Mechanism { name: "gc", make: gc },
    Mechanism { name: "warm-up", make: warm_up },
    Mechanism { name: "warm-up logarithmic", make: warm_up_log },
    Mechanism { name: "page cache", make: page_cache },
    Mechanism { name: "bounded cache", make: bounded },
    Mechanism { name: "load", make: load },
    Mechanism { name: "step", make: step },
];

/// A queue of requests: memory is what is held, and each mechanism is a program that holds it in its own way. Written on its
/// own: nothing of the stage above but the dice.
struct Program {
    dice: Dice,
    n: usize,
    base: f64,
    held: Vec<f64>,
    work: Vec<f64>,
}

fn program(seed: u64, rate: impl Fn(f64) -> f64) -> Program {
    let mut dice = Dice::new(seed ^ 0x5eed_7e57);
    let n = dice.0.usize(1300..3500);
    let base = dice.between(30.0, 600.0) * MIB;
    let size = base * dice.scale(0.0005, 0.004);
    let (mut live, mut held, mut work) = (Vec::<(f64, f64)>::new(), Vec::with_capacity(n), Vec::with_capacity(n));
    for t in 0..n {
        let mean = 6.0 * rate(t as f64 / n as f64);
        let arrivals = (mean + mean.sqrt() * dice.normal()).max(0.0).round() as usize;
        for _ in 0..arrivals {
            let stays = -dice.scale(2.0, 12.0) * (1.0 - dice.0.f64()).ln();
            live.push((t as f64 + stays, size * dice.scale(0.3, 3.0)));
        }
        live.retain(|(end, _)| *end > t as f64);
        held.push(live.iter().map(|(_, size)| size).sum());
        work.push(arrivals as f64 * 150.0);
    }
    Program { dice, n, base, held, work }
}

impl Program {
    fn sim(self, class: Class, more: impl Fn(usize) -> f64) -> Sim {
        let n = self.n;
        let anon: Vec<f64> = (0..n).map(|t| self.base + self.held[t] + more(t)).collect();
        let top = anon.iter().copied().fold(0.0, f64::max);
        Sim {
            step_s: 1.0,
            truth: truth(class, 1.3 * top),
            anon,
            shmem: vec![MIB; n],
            slab: (0..n).map(|t| 4.0 * MIB + 4096.0 * ((t * 31) % 7) as f64).collect(),
            file: vec![50.0 * MIB; n],
            faults: Some(self.work),
        }
    }

    fn leak(&mut self) -> f64 {
        (self.base * self.dice.between(0.15, 0.9) + 8.0 * MIB) / self.n as f64
    }
}

fn t_every_request(seed: u64) -> Sim {
    let mut p = program(seed, |_| 1.0);
    let total: f64 = p.work.iter().sum();
    let each = p.leak() * p.n as f64 / total;
    let mut sum = 0.0;
    let lost: Vec<f64> = p
        .work
        .iter()
        .map(|w| {
            sum += w * each;
            sum
        })
        .collect();
    let rate = lost[p.n - 1] / p.n as f64;
    with_rate(p.sim(Class::Leak, |t| lost[t]), rate, 0.0)
}

fn t_some_requests(seed: u64) -> Sim {
    let mut p = program(seed, |_| 1.0);
    let (rate, n) = (p.leak(), p.n);
    let chance = p.dice.between(0.02, 0.2);
    let mut sum = 0.0;
    let lost: Vec<f64> = (0..n)
        .map(|_| {
            if p.dice.0.f64() < chance {
                sum += rate / chance * p.dice.between(0.4, 1.6);
            }
            sum
        })
        .collect();
    let rate = lost[n - 1] / n as f64;
    with_rate(p.sim(Class::Leak, |t| lost[t]), rate, 0.0)
}

fn t_faster_and_faster(seed: u64) -> Sim {
    let mut p = program(seed, |_| 1.0);
    let (rate, n) = (p.leak(), p.n as f64);
    let mut sim = p.sim(Class::Leak, |t| rate * t as f64 * (0.3 + 0.7 * t as f64 / n));
    sim.truth.onset = 0.0;
    sim
}

fn t_jittered_gc(seed: u64, rate: f64) -> (Program, Vec<f64>) {
    let mut p = program(seed, |_| 1.0);
    let young = p.base * p.dice.between(0.2, 0.9);
    let fill = p.dice.between(15.0, 70.0);
    let lost = rate * p.leak();
    let (mut level, mut until) = (0.0, fill);
    let values = (0..p.n)
        .map(|t| {
            level += young / fill * p.dice.between(0.5, 1.5);
            until -= 1.0;
            if until < 0.0 {
                level = young * p.dice.between(0.0, 0.06);
                until = fill * p.dice.between(0.7, 1.3);
            }
            level + lost * t as f64
        })
        .collect();
    (p, values)
}

fn t_gc_leak(seed: u64) -> Sim {
    let (p, values) = t_jittered_gc(seed, 1.5);
    p.sim(Class::Leak, |t| values[t])
}

fn t_gc(seed: u64) -> Sim {
    let (p, values) = t_jittered_gc(seed, 0.0);
    p.sim(Class::Sawtooth, |t| values[t])
}

fn t_requests(seed: u64) -> Sim {
    program(seed, |_| 1.0).sim(Class::Steady, |_| 0.0)
}

fn t_more_requests(seed: u64) -> Sim {
    let mut p = program(seed, |t| 0.4 + 2.5 * t);
    p.held.iter_mut().for_each(|held| *held *= 6.0);
    p.sim(Class::Load, |_| 0.0)
}

fn t_day_of_requests(seed: u64) -> Sim {
    let mut p = program(seed, |t| 1.2 + (9.0 * t).sin());
    p.held.iter_mut().for_each(|held| *held *= 6.0);
    p.sim(Class::Load, |_| 0.0)
}

/// A cache of distinct keys: new ones become rare, which is no exponential.
fn t_distinct_keys(seed: u64) -> Sim {
    let mut p = program(seed, |_| 1.0);
    let keys = p.dice.0.usize(200..1500);
    let size = p.base * p.dice.between(0.4, 2.0) / keys as f64;
    let mut known = vec![false; keys];
    let mut count = 0.0;
    let values: Vec<f64> = (0..p.n)
        .map(|_| {
            for _ in 0..(keys / 150).max(1) {
                let key = (p.dice.0.f64() * keys as f64) as usize;
                if !std::mem::replace(&mut known[key], true) {
                    count += 1.0;
                }
            }
            count * size
        })
        .collect();
    p.sim(Class::WarmUp, |t| values[t])
}

/// An LRU of a fixed number of entries of different size.
fn t_lru(seed: u64) -> Sim {
    let mut p = program(seed, |_| 1.0);
    let room = (p.n as f64 * p.dice.between(0.15, 0.55)) as usize;
    let size = p.base * p.dice.between(0.4, 2.0) / room as f64;
    let mut entries = std::collections::VecDeque::new();
    let mut sum = 0.0;
    let values: Vec<f64> = (0..p.n)
        .map(|_| {
            let new = size * p.dice.between(0.3, 1.7);
            sum += new;
            entries.push_back(new);
            if entries.len() > room {
                sum -= entries.pop_front().unwrap_or(0.0);
            }
            sum
        })
        .collect();
    p.sim(Class::BoundedCache, |t| values[t])
}

fn t_files(seed: u64) -> Sim {
    let mut p = program(seed, |_| 1.0);
    let (rate, n) = (3.0 * p.leak(), p.n);
    let reads: Vec<bool> = (0..n).map(|_| p.dice.0.f64() < 0.3).collect();
    let mut sim = p.sim(Class::Cache, |_| 0.0);
    let mut sum = 50.0 * MIB;
    for (file, read) in sim.file.iter_mut().zip(reads) {
        sum += if read { rate / 0.3 } else { 0.0 };
        *file = sum;
    }
    sim
}

fn t_reload(seed: u64) -> Sim {
    let mut p = program(seed, |_| 1.0);
    let at = (p.n as f64 * p.dice.between(0.2, 0.8)) as usize;
    let up = p.base * p.dice.between(0.25, 1.2);
    p.sim(Class::Step, |t| if t < at { 0.0 } else { up * ((t - at) as f64 / 3.0).min(1.0) })
}

/// Mechanisms that are only run.
pub const TEST: &[Mechanism] = &[
    Mechanism { name: "leak every request", make: t_every_request },
    Mechanism { name: "leak some requests", make: t_some_requests },
    Mechanism { name: "leak accelerating", make: t_faster_and_faster },
    Mechanism { name: "leak under jittered gc", make: t_gc_leak },
    Mechanism { name: "jittered gc", make: t_gc },
    Mechanism { name: "requests", make: t_requests },
    Mechanism { name: "more requests", make: t_more_requests },
    Mechanism { name: "day of requests", make: t_day_of_requests },
    Mechanism { name: "distinct keys", make: t_distinct_keys },
    Mechanism { name: "lru", make: t_lru },
    Mechanism { name: "files", make: t_files },
    Mechanism { name: "reload", make: t_reload },
];
