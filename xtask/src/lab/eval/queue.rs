//! Generator `queue`: programs that hold a queue of requests. It has other mechanisms and other noise than the generators that rules
//! are tuned on, and is only run.

use sampler::analysis::leak::detectors::Class;

use super::sim::{Dice, MIB, Mechanism, Sim, truth, with_rate};

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
pub const TABLE: &[Mechanism] = &[
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
