//! Generator `noise`: the same few shapes under many kinds of noise, paces, sizes and intervals, where `tune` is kind. It may be looked
//! at while rules are written.

use std::f64::consts::TAU;

use sampler::analysis::leak::detectors::Class;

use super::sim::{Dice, Mechanism, Sim, truth};

const MIB: f64 = 1024.0 * 1024.0;

struct Ground {
    dice: Dice,
    n: usize,
    step_s: f64,
    level: f64,
    noise: Vec<f64>,
    /// Its deviation.
    size: f64,
    /// The heap takes and gives whole pieces of this size; 0 when it does not.
    piece: f64,
}

fn ground(seed: u64) -> Ground {
    let mut dice = Dice::new(seed ^ 0x71de);
    let n = dice.0.usize(600..3000);
    let step_s = [1.0, 1.0, 2.0, 4.0][dice.0.usize(0..4)];
    let level = dice.scale(12.0, 1600.0) * MIB;
    let size = level * dice.scale(0.0005, 0.03);
    let kind = dice.0.usize(0..8);
    let noise = match kind {
        0..5 => dice.walk(n, [0.0, 0.9, 0.98, 0.995, 1.0][kind]),
        // A walk between walls.
        5 => {
            let (mut at, wall) = (0.0f64, (n as f64).sqrt() / 4.0);
            (0..n)
                .map(|_| {
                    at += dice.normal();
                    at = if at.abs() > wall { 2.0 * wall * at.signum() - at } else { at };
                    at
                })
                .collect()
        }
        // Objects of very different size that come and go.
        6 => {
            let ends = dice.between(0.005, 0.1);
            let mut held = 0.0;
            (0..n)
                .map(|_| {
                    held *= 1.0 - ends;
                    if dice.0.f64() < 0.3 {
                        held += dice.scale(0.1, 10.0);
                    }
                    held
                })
                .collect()
        }
        // Bursts over little noise.
        _ => (0..n)
            .map(|_| 0.3 * dice.normal() + if dice.0.f64() < 0.03 { dice.between(3.0, 12.0) } else { 0.0 })
            .collect(),
    };
    let middle = noise.iter().sum::<f64>() / n as f64;
    let spread = (noise.iter().map(|v| (v - middle).powi(2)).sum::<f64>() / n as f64).sqrt().max(1e-9);
    let noise = noise.iter().map(|v| (v - middle) / spread * size).collect();
    let piece = if dice.0.u8(0..3) == 0 { level * dice.scale(0.002, 0.03) } else { 0.0 };
    Ground { dice, n, step_s, level, noise, size, piece }
}

impl Ground {
    fn sim(mut self, class: Class, more: &[f64], work: Option<Vec<f64>>) -> Sim {
        let mut has = 0f64;
        let anon: Vec<f64> = (0..self.n)
            .map(|t| {
                let wants = (self.level + self.noise[t] + more[t]).max(0.0);
                if self.piece == 0.0 {
                    return wants;
                }
                // Pieces are given back late.
                let whole = (wants / self.piece).ceil();
                has = if whole > has || whole < has - 2.0 { whole } else { has };
                has * self.piece
            })
            .collect();
        let top = anon.iter().copied().fold(0.0, f64::max);
        let plain = (0..self.n).map(|_| (500.0 + 50.0 * self.dice.normal()).max(0.0)).collect();
        Sim {
            step_s: self.step_s,
            truth: truth(class, top * self.dice.between(1.1, 4.0)),
            anon,
            shmem: vec![0.0; self.n],
            slab: vec![2.0 * MIB; self.n],
            file: vec![self.dice.scale(1.0, 100.0) * MIB; self.n],
            faults: work.or_else(|| self.dice.0.bool().then_some(plain)),
        }
    }

    /// Bytes of a growth that can be distinguished from the noise.
    fn rise(&mut self) -> f64 {
        (self.level * self.dice.scale(0.06, 2.0)).max(8.0 * self.size).max(8.0 * MIB)
    }

    fn part(&self, t: usize) -> f64 {
        t as f64 / self.n as f64
    }

    fn leak(self, lost: &[f64], work: Option<Vec<f64>>, pace: Option<f64>, onset: f64) -> Sim {
        let mut sim = self.sim(Class::Leak, lost, work);
        leaks(&mut sim, pace, onset);
        sim
    }

    /// Teeth of random length and height.
    fn teeth(&mut self, longest: f64) -> Vec<f64> {
        let (period, high) = (self.dice.scale(10.0, longest), self.level * self.dice.between(0.15, 1.5));
        let (mut at, mut next) = (0.0, 0.0);
        (0..self.n)
            .map(|_| {
                at += 1.0;
                if at >= next {
                    (at, next) = (0.0, period * self.dice.between(0.7, 1.3));
                }
                high * at / period
            })
            .collect()
    }

    fn cycles(&mut self) -> Vec<f64> {
        let (times, phase) = (self.dice.between(1.5, 9.0), self.dice.between(0.0, TAU));
        let shape = self.dice.0.bool();
        (0..self.n)
            .map(|t| {
                let wave = (TAU * times * self.part(t) + phase).sin();
                if shape { 0.5 + 0.5 * wave } else { f64::from(u8::from(wave > 0.2)) }
            })
            .collect()
    }
}

fn leaks(sim: &mut Sim, pace: Option<f64>, onset: f64) {
    sim.truth.onset = onset;
    let (Some(pace), n) = (pace, sim.anon.len()) else { return };
    let last = |v: &[f64]| v[n - 20..].iter().sum::<f64>() / 20.0;
    let left = n as f64 * (0.2 + 0.1 * (n % 11) as f64);
    sim.truth.limit = last(&sim.anon) + last(&sim.shmem) + last(&sim.slab) + 2.0 * MIB + (left + 10.0) * pace;
    sim.truth.rate = Some(pace / sim.step_s);
    sim.truth.oom = Some(1.0 + left / n as f64);
}

fn even(seed: u64) -> Sim {
    let mut g = ground(seed);
    let rise = g.rise();
    let lost: Vec<f64> = (0..g.n).map(|t| rise * g.part(t)).collect();
    let pace = rise / g.n as f64;
    g.leak(&lost, None, Some(pace), 0.0)
}

fn late(seed: u64) -> Sim {
    let mut g = ground(seed);
    let (rise, from) = (g.rise(), g.dice.between(0.1, 0.65));
    let lost: Vec<f64> = (0..g.n).map(|t| rise * ((g.part(t) - from) / (1.0 - from)).max(0.0)).collect();
    let pace = rise / (1.0 - from) / g.n as f64;
    g.leak(&lost, None, Some(pace), from)
}

fn now_and_then(seed: u64) -> Sim {
    let mut g = ground(seed);
    let (rise, times) = (g.rise(), g.dice.scale(12.0, 200.0));
    let mut all = 0.0;
    let lost: Vec<f64> = (0..g.n)
        .map(|_| {
            if g.dice.0.f64() < times / g.n as f64 {
                all += rise / times * g.dice.between(0.3, 1.7);
            }
            all
        })
        .collect();
    let pace = all / g.n as f64;
    g.leak(&lost, None, Some(pace), 0.0)
}

fn beneath_teeth(seed: u64) -> Sim {
    let mut g = ground(seed);
    let (rise, longest) = (1.5 * g.rise(), g.n as f64 / 20.0);
    let teeth = g.teeth(longest);
    let lost: Vec<f64> = (0..g.n).map(|t| rise * g.part(t) + teeth[t]).collect();
    g.leak(&lost, None, None, 0.0)
}

fn after_a_start(seed: u64) -> Sim {
    let mut g = ground(seed);
    let (rise, up, tau) = (g.rise(), g.level * g.dice.between(0.1, 1.0), g.dice.between(0.01, 0.08));
    let lost: Vec<f64> = (0..g.n).map(|t| rise * g.part(t) + up * (1.0 - (-g.part(t) / tau).exp())).collect();
    let pace = rise / g.n as f64;
    g.leak(&lost, None, Some(pace), 0.05)
}

fn with_known_work(seed: u64) -> Sim {
    let mut g = ground(seed);
    let (rise, each, work) = (g.rise(), g.level * g.dice.between(0.05, 0.4), g.cycles());
    let lost: Vec<f64> = (0..g.n).map(|t| rise * g.part(t) + each * work[t]).collect();
    let work = work.iter().map(|w| 300.0 + 1500.0 * w + 50.0 * g.dice.normal()).collect();
    let pace = rise / g.n as f64;
    g.leak(&lost, Some(work), Some(pace), 0.0)
}

fn ever_faster(seed: u64) -> Sim {
    let mut g = ground(seed);
    let (rise, power) = (g.rise(), g.dice.between(1.2, 2.2));
    let lost: Vec<f64> = (0..g.n).map(|t| rise * g.part(t).powf(power)).collect();
    g.leak(&lost, None, None, 0.0)
}

fn in_the_kernel(seed: u64) -> Sim {
    let mut g = ground(seed);
    let (rise, shared) = (g.rise(), g.dice.0.bool());
    let n = g.n;
    let mut sim = g.sim(Class::Leak, &vec![0.0; n], None);
    let part = if shared { &mut sim.shmem } else { &mut sim.slab };
    part.iter_mut().enumerate().for_each(|(t, v)| *v += rise * t as f64 / n as f64);
    leaks(&mut sim, Some(rise / n as f64), 0.0);
    sim
}

fn level(seed: u64) -> Sim {
    let g = ground(seed);
    let more = vec![0.0; g.n];
    g.sim(Class::Steady, &more, None)
}

fn teeth(seed: u64) -> Sim {
    let mut g = ground(seed);
    let longest = g.n as f64 / 9.0;
    let teeth = g.teeth(longest);
    g.sim(Class::Sawtooth, &teeth, None)
}

fn teeth_on_teeth(seed: u64) -> Sim {
    let mut g = ground(seed);
    let (small, large) = (g.n as f64 / 60.0, g.n as f64 / 9.0);
    let (a, b) = (g.teeth(small.max(12.0)), g.teeth(large));
    let both: Vec<f64> = a.iter().zip(b).map(|(a, b)| 0.4 * a + b).collect();
    g.sim(Class::Sawtooth, &both, None)
}

fn flattens(seed: u64) -> Sim {
    let mut g = ground(seed);
    let (rise, tau, power) = (g.rise(), g.dice.scale(0.02, 0.28), g.dice.between(0.75, 1.25));
    let more: Vec<f64> = (0..g.n).map(|t| rise * (1.0 - (-(g.part(t) / tau).powf(power)).exp())).collect();
    let mut sim = g.sim(Class::WarmUp, &more, None);
    sim.truth.also.push(Class::BoundedCache);
    sim
}

fn ever_slower(seed: u64) -> Sim {
    let mut g = ground(seed);
    let (rise, from) = (g.rise(), g.dice.scale(0.003, 0.04));
    let more: Vec<f64> = (0..g.n).map(|t| rise * (1.0 + g.part(t) / from).ln() / (1.0 + 1.0 / from).ln()).collect();
    g.sim(Class::WarmUp, &more, None)
}

fn fills(seed: u64) -> Sim {
    let mut g = ground(seed);
    let (rise, full) = (g.rise(), g.dice.between(0.08, 0.65));
    let uneven = g.dice.0.bool();
    let mut all = 0.0;
    let more: Vec<f64> = (0..g.n)
        .map(|_| {
            all += rise / full / g.n as f64 * if uneven { g.dice.between(0.0, 2.0) } else { 1.0 };
            all = all.min(rise);
            all
        })
        .collect();
    let mut sim = g.sim(Class::BoundedCache, &more, None);
    sim.truth.also.push(Class::WarmUp);
    sim
}

fn changes(seed: u64) -> Sim {
    let mut g = ground(seed);
    let (rise, at) = (g.rise().max(0.1 * g.level), g.dice.between(0.1, 0.9));
    let down = g.dice.0.u8(0..4) == 0;
    let more: Vec<f64> = (0..g.n).map(|t| if (g.part(t) < at) == down { rise } else { 0.0 }).collect();
    g.sim(Class::Step, &more, None)
}

fn follows_known_work(seed: u64) -> Sim {
    let mut g = ground(seed);
    let (each, keep) = (g.level * g.dice.between(0.15, 1.2), g.dice.between(0.02, 1.0));
    let work: Vec<f64> = match g.dice.0.u8(0..3) {
        0 => (0..g.n).map(|t| g.part(t)).collect(),
        _ => g.cycles(),
    };
    let work: Vec<f64> = work.iter().map(|w| (200.0 + 1500.0 * w + 60.0 * g.dice.normal()).max(0.0)).collect();
    let mut state = work[0];
    let more: Vec<f64> = work
        .iter()
        .map(|w| {
            state += keep * (w - state);
            state / 1500.0 * each
        })
        .collect();
    let mut sim = g.sim(Class::Load, &more, Some(work));
    sim.truth.also.push(Class::Sawtooth);
    sim
}

/// What the heap keeps of what the work once needed: the most so far, of which it gives back a little.
fn kept(g: &mut Ground, work: &[f64]) -> Vec<f64> {
    let gives_back = [0.0, 1.0, 5.0][g.dice.0.usize(0..3)] / g.n as f64;
    let mut most = 0f64;
    work.iter()
        .map(|w| {
            most = w.max(most - most * gives_back);
            most
        })
        .collect()
}

fn keeps_what_work_needed(seed: u64) -> Sim {
    let mut g = ground(seed);
    let (each, work) = (g.level * g.dice.between(0.15, 1.0), g.cycles());
    let held: Vec<f64> = kept(&mut g, &work).iter().map(|w| w * each).collect();
    let work = work.iter().map(|w| (300.0 + 1500.0 * w + 40.0 * g.dice.normal()).max(0.0)).collect();
    let mut sim = g.sim(Class::Load, &held, Some(work));
    sim.truth.also.extend([Class::Steady, Class::Step, Class::WarmUp, Class::BoundedCache, Class::Sawtooth]);
    sim
}

fn beneath_what_work_needed(seed: u64) -> Sim {
    let mut g = ground(seed);
    let (rise, each, work) = (g.rise(), g.level * g.dice.between(0.1, 0.6), g.cycles());
    let held = kept(&mut g, &work);
    let lost: Vec<f64> = (0..g.n).map(|t| rise * g.part(t) + each * held[t]).collect();
    let work = work.iter().map(|w| (300.0 + 1500.0 * w + 40.0 * g.dice.normal()).max(0.0)).collect();
    let pace = rise / g.n as f64;
    g.leak(&lost, Some(work), Some(pace), 0.0)
}

/// Work that nothing records: no leak, whatever else.
fn follows_unknown_work(seed: u64) -> Sim {
    let mut g = ground(seed);
    let (each, cycles) = (g.level * g.dice.between(0.05, 0.6), g.cycles());
    let more: Vec<f64> = cycles.iter().map(|w| w * each).collect();
    let mut sim = g.sim(Class::Load, &more, None);
    sim.truth.also.extend([Class::Steady, Class::Sawtooth, Class::Step, Class::Undetermined]);
    sim
}

fn batches(seed: u64) -> Sim {
    let mut g = ground(seed);
    let (size, every, busy) =
        (g.level * g.dice.between(0.2, 1.5), g.n as f64 / g.dice.between(5.0, 25.0), g.dice.between(0.1, 0.6));
    let more: Vec<f64> = (0..g.n)
        .map(|t| {
            let at = (t as f64 / every).fract();
            if at < busy { size * (at / busy * 5.0).min(1.0) } else { 0.0 }
        })
        .collect();
    let mut sim = g.sim(Class::Sawtooth, &more, None);
    sim.truth.also.push(Class::Steady);
    sim
}

fn files(seed: u64) -> Sim {
    let mut g = ground(seed);
    let (rise, top) = (2.0 * g.rise(), g.dice.between(0.4, 1.5));
    let n = g.n;
    let mut sim = g.sim(Class::Cache, &vec![0.0; n], None);
    sim.file.iter_mut().enumerate().for_each(|(t, v)| *v += rise * (t as f64 / n as f64).min(top));
    sim
}

/// The mechanisms.
pub const TABLE: &[Mechanism] = &[
    Mechanism { name: "leak even", make: even },
    Mechanism { name: "leak late", make: late },
    Mechanism { name: "leak now and then", make: now_and_then },
    Mechanism { name: "leak beneath teeth", make: beneath_teeth },
    Mechanism { name: "leak after a start", make: after_a_start },
    Mechanism { name: "leak with known work", make: with_known_work },
    Mechanism { name: "leak ever faster", make: ever_faster },
    Mechanism { name: "leak in the kernel", make: in_the_kernel },
    Mechanism { name: "level", make: level },
    Mechanism { name: "teeth", make: teeth },
    Mechanism { name: "teeth on teeth", make: teeth_on_teeth },
    Mechanism { name: "flattens", make: flattens },
    Mechanism { name: "ever slower", make: ever_slower },
    Mechanism { name: "fills", make: fills },
    Mechanism { name: "changes", make: changes },
    Mechanism { name: "follows known work", make: follows_known_work },
    Mechanism { name: "keeps what work needed", make: keeps_what_work_needed },
    Mechanism { name: "leak beneath what work needed", make: beneath_what_work_needed },
    Mechanism { name: "follows unknown work", make: follows_unknown_work },
    Mechanism { name: "batches", make: batches },
    Mechanism { name: "files", make: files },
];
