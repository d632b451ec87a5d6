//! Generator `allocator`: an allocator with arenas, populations of objects that are born and die, two seconds a step. Written from
//! the list of mechanisms alone, before any verdict on it was seen, and never tuned on.

use sampler::analysis::leak::detectors::Class;

use super::sim::{Dice, Mechanism, Sim, truth};

const MIB: f64 = 1024.0 * 1024.0;
const STEP_S: f64 = 2.0;

/// A program: what it holds at each step, by kind.
struct Process {
    dice: Dice,
    n: usize,
    start: f64,
    /// Objects that come and go.
    live: Vec<f64>,
    work: Vec<f64>,
}

/// Objects are born at a pace that `traffic` gives for each part of the span, and each is freed with the same chance a step.
fn process(seed: u64, traffic: impl Fn(f64) -> f64) -> Process {
    let mut dice = Dice::new(seed.wrapping_mul(0x2545_f491_4f6c_dd1d) ^ 0x7418);
    let n = dice.0.usize(650..1750);
    let start = dice.scale(15.0, 900.0) * MIB;
    let (death, each) = (dice.scale(0.01, 0.4), start * dice.scale(0.0002, 0.003));
    let (mut held, mut live, mut work) = (0.0, Vec::with_capacity(n), Vec::with_capacity(n));
    for t in 0..n {
        let requests = (20.0 * traffic(t as f64 / n as f64) * (1.0 + 0.25 * dice.normal())).max(0.0);
        held += requests * each * death * dice.between(0.6, 1.4);
        held -= held * death;
        live.push(held);
        work.push(requests * 40.0 + 15.0);
    }
    Process { dice, n, start, live, work }
}

impl Process {
    /// Bytes a step that are a growth worth a finding over the span.
    fn drip(&mut self) -> f64 {
        (self.start * self.dice.scale(0.12, 1.2)).max(10.0 * MIB) / self.n as f64
    }

    fn sim(mut self, class: Class, held: impl Fn(usize) -> f64) -> Sim {
        let n = self.n;
        // The allocator asks for arenas of 1 MiB and gives back one only when it is long empty.
        let mut arenas = 0f64;
        let anon: Vec<f64> = (0..n)
            .map(|t| {
                let wants = self.start + self.live[t] + held(t);
                let whole = (wants / MIB).ceil();
                arenas = if whole >= arenas { whole } else { arenas - ((arenas - whole) * 0.5).floor() };
                // Not all of an arena is touched.
                (arenas * MIB * 0.5 + wants * 0.5).max(0.0)
            })
            .collect();
        let top = anon.iter().copied().fold(0.0, f64::max);
        let wobble = self.dice.walk(n, 0.95);
        Sim {
            step_s: STEP_S,
            truth: truth(class, top * self.dice.between(1.2, 2.5)),
            anon,
            shmem: vec![0.0; n],
            slab: wobble.iter().map(|v| (6.0 * MIB + v * 20_000.0).max(0.0)).collect(),
            file: vec![self.dice.scale(5.0, 200.0) * MIB; n],
            faults: self.dice.0.bool().then_some(self.work),
        }
    }
}

/// With the time at which it is full; `a_step` is what it loses.
fn lost(mut sim: Sim, a_step: f64, onset: f64) -> Sim {
    let n = sim.anon.len();
    let last = |v: &[f64]| v[n - 15..].iter().sum::<f64>() / 15.0;
    let now = last(&sim.anon) + last(&sim.shmem) + last(&sim.slab) + 2.0 * MIB;
    let more = 0.6 * n as f64;
    sim.truth.limit = now + more * a_step;
    sim.truth.oom = Some(1.0 + more / n as f64);
    sim.truth.rate = Some(a_step / STEP_S);
    sim.truth.onset = onset;
    sim
}

fn steadily(seed: u64) -> Sim {
    let mut p = process(seed, |_| 1.0);
    let drip = p.drip();
    lost(p.sim(Class::Leak, |t| drip * t as f64), drip, 0.0)
}

fn every_cron_job(seed: u64) -> Sim {
    let mut p = process(seed, |_| 1.0);
    let (drip, every) = (p.drip(), p.dice.0.usize(20..60));
    lost(p.sim(Class::Leak, |t| drip * (t / every * every) as f64), drip, 0.0)
}

fn since_the_deployment(seed: u64) -> Sim {
    let mut p = process(seed, |_| 1.0);
    let (drip, from) = (2.0 * p.drip(), p.dice.between(0.25, 0.55));
    let begin = from * p.n as f64;
    lost(p.sim(Class::Leak, |t| drip * (t as f64 - begin).max(0.0)), drip, from)
}

fn files_in_tmpfs(seed: u64) -> Sim {
    let mut p = process(seed, |_| 1.0);
    let (drip, n) = (p.drip(), p.n);
    let mut sum = 0.0;
    let files: Vec<f64> = (0..n)
        .map(|_| {
            sum += if p.dice.0.f64() < 0.4 { drip / 0.4 * p.dice.between(0.2, 1.8) } else { 0.0 };
            sum
        })
        .collect();
    let mut sim = p.sim(Class::Leak, |_| 0.0);
    sim.shmem = files;
    lost(sim, drip, 0.0)
}

fn sockets(seed: u64) -> Sim {
    let mut p = process(seed, |_| 1.0);
    let drip = p.drip();
    let mut sim = p.sim(Class::Leak, |_| 0.0);
    sim.slab.iter_mut().enumerate().for_each(|(t, slab)| *slab += drip * t as f64);
    lost(sim, drip, 0.0)
}

/// Two generations: small teeth on large ones.
fn generations(p: &mut Process) -> Vec<f64> {
    let (young, old) = (p.start * p.dice.between(0.1, 0.3), p.start * p.dice.between(0.2, 0.6));
    let (minor, major) = (p.dice.between(4.0, 12.0), p.dice.between(40.0, 110.0));
    let (mut a, mut b) = (0.0, 0.0);
    (0..p.n)
        .map(|_| {
            a += young / minor * p.dice.between(0.6, 1.4);
            b += old / major * p.dice.between(0.6, 1.4);
            if a > young {
                a = 0.0;
            }
            if b > old {
                b = old * p.dice.between(0.0, 0.05);
            }
            a + b
        })
        .collect()
}

fn under_generations(seed: u64) -> Sim {
    let mut p = process(seed, |_| 1.0);
    let (drip, teeth) = (2.0 * p.drip(), generations(&mut p));
    let mut sim = lost(p.sim(Class::Leak, |t| teeth[t] + drip * t as f64), drip, 0.0);
    sim.truth.oom = None;
    sim
}

fn by_requests_of_a_day(seed: u64) -> Sim {
    let mut p = process(seed, |t| 1.0 + 0.7 * (18.0 * t).sin());
    let drip = p.drip();
    let mean = p.work.iter().sum::<f64>() / p.n as f64;
    let mut sum = 0.0;
    let all: Vec<f64> = p
        .work
        .iter()
        .map(|w| {
            sum += drip * w / mean;
            sum
        })
        .collect();
    let work = p.work.clone();
    let mut sim = lost(p.sim(Class::Leak, |t| all[t]), drip, 0.0);
    sim.faults = Some(work);
    sim
}

fn quiet(seed: u64) -> Sim {
    process(seed, |_| 1.0).sim(Class::Steady, |_| 0.0)
}

fn forks(seed: u64) -> Sim {
    let mut p = process(seed, |_| 1.0);
    let (chance, size) = (p.dice.between(0.02, 0.15), p.start * p.dice.between(0.1, 0.5));
    let spikes: Vec<f64> = (0..p.n).map(|_| if p.dice.0.f64() < chance { size } else { 0.0 }).collect();
    let mut sim = p.sim(Class::Steady, |_| 0.0);
    sim.anon.iter_mut().zip(spikes).for_each(|(anon, spike)| *anon += spike);
    sim.truth.also.push(Class::Sawtooth);
    sim
}

fn collector(seed: u64) -> Sim {
    let mut p = process(seed, |_| 1.0);
    let teeth = generations(&mut p);
    p.sim(Class::Sawtooth, |t| teeth[t])
}

fn nightly_batches(seed: u64) -> Sim {
    let mut p = process(seed, |_| 1.0);
    let (size, every) = (p.start * p.dice.between(0.4, 1.5), p.dice.0.usize(50..120));
    let long = every / p.dice.0.usize(2..5);
    p.sim(Class::Sawtooth, |t| if t % every < long { size * ((t % every) as f64 / 6.0).min(1.0) } else { 0.0 })
}

/// A cache whose entries end after a while: full when the first do.
fn entries_that_end(seed: u64) -> Sim {
    let mut p = process(seed, |_| 1.0);
    let stays = (p.n as f64 * p.dice.between(0.12, 0.5)) as usize;
    let size = p.start * p.dice.between(0.4, 2.0) / stays as f64;
    let each: Vec<f64> = (0..p.n).map(|_| size * p.dice.between(0.2, 1.8)).collect();
    let mut sim = p.sim(Class::BoundedCache, |t| each[t.saturating_sub(stays)..t].iter().sum());
    sim.truth.also.push(Class::WarmUp);
    sim
}

fn code_that_is_compiled(seed: u64) -> Sim {
    let mut p = process(seed, |_| 1.0);
    let (size, tau) = (p.start * p.dice.between(0.3, 2.0), p.n as f64 * p.dice.between(0.04, 0.2));
    p.sim(Class::WarmUp, |t| size * (1.0 - (-(t as f64) / tau).exp()))
}

fn known_by_heart(seed: u64) -> Sim {
    let mut p = process(seed, |_| 1.0);
    let keys = p.dice.0.usize(400..2000);
    let (size, skew) = (p.start * p.dice.between(0.5, 2.0) / keys as f64, p.dice.between(1.5, 3.0));
    let mut known = vec![false; keys];
    let mut count = 0.0;
    let values: Vec<f64> = (0..p.n)
        .map(|_| {
            for _ in 0..10 {
                let key = (p.dice.0.f64().powf(skew) * keys as f64) as usize;
                count += f64::from(u8::from(!std::mem::replace(&mut known[key], true)));
            }
            count * size
        })
        .collect();
    p.sim(Class::WarmUp, |t| values[t])
}

fn log_files(seed: u64) -> Sim {
    let mut p = process(seed, |_| 1.0);
    let (drip, top) = (4.0 * p.drip(), p.dice.between(0.5, 1.2));
    let n = p.n as f64;
    let mut sim = p.sim(Class::Cache, |_| 0.0);
    sim.file.iter_mut().enumerate().for_each(|(t, file)| *file += drip * (t as f64).min(top * n));
    sim
}

fn traffic_doubles(seed: u64) -> Sim {
    let mut p = process(seed, |t| 0.5 + 2.0 * (1.0 / (1.0 + (-12.0 * (t - 0.5)).exp())));
    let each = p.start * p.dice.between(0.005, 0.02);
    let work = p.work.clone();
    let held: Vec<f64> = work.iter().map(|w| w / 40.0 * each).collect();
    let mut sim = p.sim(Class::Load, |t| held[t]);
    sim.faults = Some(work);
    sim.truth.also.push(Class::Step);
    sim
}

fn day_and_night(seed: u64) -> Sim {
    let cycles = 2.0 + (seed % 5) as f64;
    let mut p = process(seed, move |t| 1.0 + 0.9 * (std::f64::consts::TAU * cycles * t).sin());
    let each = p.start * p.dice.between(0.005, 0.03);
    let work = p.work.clone();
    let held: Vec<f64> = work.iter().map(|w| w / 40.0 * each).collect();
    let mut sim = p.sim(Class::Load, |t| held[t]);
    sim.faults = Some(work);
    sim
}

fn reconfigured(seed: u64) -> Sim {
    let mut p = process(seed, |_| 1.0);
    let at = (p.n as f64 * p.dice.between(0.2, 0.8)) as usize;
    let size = p.start * p.dice.between(0.25, 1.0);
    p.sim(Class::Step, |t| if t >= at { size } else { 0.0 })
}

/// The mechanisms.
pub const TABLE: &[Mechanism] = &[
    Mechanism { name: "leak steadily", make: steadily },
    Mechanism { name: "leak every cron job", make: every_cron_job },
    Mechanism { name: "leak since deployment", make: since_the_deployment },
    Mechanism { name: "leak in tmpfs", make: files_in_tmpfs },
    Mechanism { name: "leak of sockets", make: sockets },
    Mechanism { name: "leak under generations", make: under_generations },
    Mechanism { name: "leak by requests", make: by_requests_of_a_day },
    Mechanism { name: "quiet", make: quiet },
    Mechanism { name: "forks", make: forks },
    Mechanism { name: "collector", make: collector },
    Mechanism { name: "nightly batches", make: nightly_batches },
    Mechanism { name: "entries that end", make: entries_that_end },
    Mechanism { name: "code that is compiled", make: code_that_is_compiled },
    Mechanism { name: "known by heart", make: known_by_heart },
    Mechanism { name: "log files", make: log_files },
    Mechanism { name: "traffic doubles", make: traffic_doubles },
    Mechanism { name: "day and night", make: day_and_night },
    Mechanism { name: "reconfigured", make: reconfigured },
];
