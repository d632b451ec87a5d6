//! Generator `tune`, which may be looked at while rules are written.

use std::f64::consts::TAU;

use sampler::analysis::leak::detectors::Class;

use super::sim::{Dice, MIB, Mechanism, Sim, truth, with_rate};

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
pub const TABLE: &[Mechanism] = &[
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
