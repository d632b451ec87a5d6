//! Generator `services`: services of which each has its own way to hold memory, looked at every one to five seconds. Written from the
//! list of mechanisms before any verdict on it was seen, and never tuned on. Nothing but the dice is shared with the others.

use std::collections::VecDeque;
use std::f64::consts::TAU;

use sampler::analysis::leak::detectors::Class;

use super::sim::{Dice, Mechanism, Sim, truth};

const MIB: f64 = 1024.0 * 1024.0;

/// A service: its clock, how large it is, and how many requests come at each step.
struct Service {
    dice: Dice,
    n: usize,
    step_s: f64,
    size: f64,
    requests: Vec<f64>,
    /// Whether page faults are recorded.
    counted: bool,
}

/// `traffic` is the pace of the requests at a part of the span; `rough` how uneven it is.
fn service(seed: u64, traffic: impl Fn(f64) -> f64) -> Service {
    let mut dice = Dice::new(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x4f07);
    let step_s = [1.0, 1.0, 2.0, 5.0][dice.0.usize(0..4)];
    let n = dice.0.usize(700..2600);
    let size = dice.scale(25.0, 1500.0) * MIB;
    // Requests come in weather: some minutes are busy, others are not.
    let (rough, keep) = (dice.between(0.05, 0.3), dice.between(0.8, 0.995));
    let mut weather = 0.0;
    let requests = (0..n)
        .map(|t| {
            weather = keep * weather + (1.0 - keep * keep).sqrt() * dice.normal();
            let pace = 40.0 * traffic(t as f64 / n as f64) * (rough * weather).exp() * step_s;
            (pace + pace.sqrt() * dice.normal()).max(0.0)
        })
        .collect();
    let counted = dice.0.f64() < 0.6;
    Service { dice, n, step_s, size, requests, counted }
}

impl Service {
    /// What the requests in flight hold: each is answered after a while, slow ones much later.
    fn in_flight(&mut self) -> Vec<f64> {
        let each = self.size * self.dice.scale(0.0001, 0.001) / self.step_s;
        let (quick, slow) = (self.dice.between(0.3, 0.7), self.dice.between(0.01, 0.06));
        let (mut a, mut b) = (0.0, 0.0);
        self.requests
            .iter()
            .map(|r| {
                a += 0.95 * r - quick * a;
                b += 0.05 * r - slow * b;
                each * (a + b)
            })
            .collect()
    }

    /// What the heap keeps of what it was given back: holes between what still lives.
    fn sim(mut self, class: Class, held: &[f64]) -> Sim {
        let flight = self.in_flight();
        let (keeps, gives_back) = (self.dice.between(0.0, 0.8), self.dice.scale(0.002, 0.2));
        let mut holes = 0f64;
        let mut before = 0f64;
        let anon: Vec<f64> = (0..self.n)
            .map(|t| {
                holes = (holes + keeps * (before - flight[t])).max(0.0) * (1.0 - gives_back);
                before = flight[t];
                self.size + flight[t] + holes + held[t]
            })
            .collect();
        let top = anon.iter().copied().fold(0.0, f64::max);
        let code = self.dice.scale(4.0, 120.0) * MIB;
        let touched = self.requests.iter().map(|r| r * 25.0 + 30.0 * self.step_s).collect();
        Sim {
            step_s: self.step_s,
            truth: truth(class, top * self.dice.between(1.15, 3.0) + 2.0 * code),
            anon,
            shmem: vec![self.dice.scale(0.1, 8.0) * MIB; self.n],
            slab: self.requests.iter().map(|r| 5.0 * MIB + 900.0 * r / self.step_s).collect(),
            file: vec![code; self.n],
            faults: self.counted.then_some(touched),
        }
    }

    /// What a leak loses in all.
    fn loses(&mut self) -> f64 {
        (self.size * self.dice.scale(0.12, 2.0)).max(9.0 * MIB)
    }

    /// A plain service that loses `lost`; `pace` is what it loses a step at the end, when that goes on.
    fn leak(self, lost: &[f64], pace: Option<f64>, onset: f64) -> Sim {
        let mut sim = self.sim(Class::Leak, lost);
        end(&mut sim, pace, onset);
        sim
    }
}

/// Puts the limit where it is reached after half of the span once more.
fn end(sim: &mut Sim, pace: Option<f64>, onset: f64) {
    sim.truth.onset = onset;
    let (Some(pace), n) = (pace, sim.anon.len()) else { return };
    let last = |v: &[f64]| v[n - 25..].iter().sum::<f64>() / 25.0;
    let left = 0.5 * n as f64;
    sim.truth.limit = last(&sim.anon) + last(&sim.shmem) + last(&sim.slab) + 2.0 * MIB + (left + 12.5) * pace;
    sim.truth.rate = Some(pace / sim.step_s);
    sim.truth.oom = Some(1.0 + left / n as f64);
}

/// Running sum.
fn sum(parts: impl IntoIterator<Item = f64>) -> Vec<f64> {
    let mut all = 0.0;
    parts
        .into_iter()
        .map(|part| {
            all += part;
            all
        })
        .collect()
}

/// Listeners that nobody takes off: one for each session that ends badly.
fn listeners(seed: u64) -> Sim {
    let mut s = service(seed, |_| 1.0);
    let total = s.loses();
    let all: f64 = s.requests.iter().sum();
    let parts: Vec<f64> = s.requests.iter().map(|r| total * r / all * s.dice.between(0.3, 1.7)).collect();
    let pace = total / s.n as f64;
    s.leak(&sum(parts), Some(pace), 0.0)
}

/// The old configuration stays at each reload.
fn reloads(seed: u64) -> Sim {
    let mut s = service(seed, |_| 1.0);
    let (total, times) = (s.loses(), s.dice.0.usize(9..30));
    let lost: Vec<f64> = (0..s.n).map(|t| total / times as f64 * (t * times / s.n) as f64).collect();
    let pace = total / s.n as f64;
    s.leak(&lost, Some(pace), 0.0)
}

/// The database went away: what cannot be written waits.
fn retries(seed: u64) -> Sim {
    let mut s = service(seed, |_| 1.0);
    let (total, from) = (1.5 * s.loses(), s.dice.between(0.15, 0.6));
    let begin = (from * s.n as f64) as usize;
    let parts: Vec<f64> = (0..s.n)
        .map(|t| if t < begin { 0.0 } else { total / (s.n - begin) as f64 * s.dice.between(0.5, 1.5) })
        .collect();
    let pace = total / (s.n - begin) as f64;
    s.leak(&sum(parts), Some(pace), from)
}

/// Sessions of visitors that are never ended; visitors come by day.
fn sessions_by_day(seed: u64) -> Sim {
    let days = 2.0 + (seed % 6) as f64;
    let mut s = service(seed, move |t| 1.0 + 0.75 * (TAU * days * t).sin());
    let (total, all) = (1.3 * s.loses(), s.requests.iter().sum::<f64>());
    let lost = sum(s.requests.iter().map(|r| total * r / all));
    s.counted = true;
    let pace = total / s.n as f64;
    s.leak(&lost, Some(pace), 0.0)
}

/// A thread that waits for ever, now and then: its stack in the kernel and what it touched of its own.
fn threads(seed: u64) -> Sim {
    let mut s = service(seed, |_| 1.0);
    let (total, chance) = (s.loses(), s.dice.between(0.05, 0.5));
    let parts: Vec<f64> =
        (0..s.n).map(|_| if s.dice.0.f64() < chance { total / (s.n as f64 * chance) } else { 0.0 }).collect();
    let (lost, pace) = (sum(parts), total / s.n as f64);
    let stacks: Vec<f64> = lost.iter().map(|lost| 0.3 * lost).collect();
    let own: Vec<f64> = lost.iter().map(|lost| 0.7 * lost).collect();
    let mut sim = s.sim(Class::Leak, &own);
    sim.slab.iter_mut().zip(stacks).for_each(|(slab, stack)| *slab += stack);
    end(&mut sim, Some(pace), 0.0);
    sim
}

/// Messages in a queue in shared memory that its reader does not take.
fn queue(seed: u64) -> Sim {
    let mut s = service(seed, |_| 1.0);
    let total = s.loses();
    let all: f64 = s.requests.iter().sum();
    let lost = sum(s.requests.iter().map(|r| total * r / all));
    let (pace, n) = (total / s.n as f64, s.n);
    let mut sim = s.sim(Class::Leak, &vec![0.0; n]);
    sim.shmem.iter_mut().zip(lost).for_each(|(shmem, lost)| *shmem += lost);
    end(&mut sim, Some(pace), 0.0);
    sim
}

/// A heap that doubles between collections, as Go's: garbage as large as what lives.
fn heap(s: &mut Service, lives: &[f64]) -> Vec<f64> {
    let fill = s.dice.between(12.0, 90.0);
    let mut garbage = 0.0;
    lives
        .iter()
        .map(|lives| {
            garbage += lives / fill * s.dice.between(0.5, 1.5);
            if garbage > *lives {
                garbage = lives * s.dice.between(0.0, 0.03);
            }
            lives + garbage
        })
        .collect()
}

fn heap_that_leaks(seed: u64) -> Sim {
    let mut s = service(seed, |_| 1.0);
    let (total, base) = (1.5 * s.loses(), s.size * s.dice.between(0.1, 0.5));
    let lives: Vec<f64> = (0..s.n).map(|t| base + total * t as f64 / s.n as f64).collect();
    let held = heap(&mut s, &lives);
    s.leak(&held, None, 0.0)
}

fn heap_that_does_not(seed: u64) -> Sim {
    let mut s = service(seed, |_| 1.0);
    let lives = vec![s.size * s.dice.between(0.15, 0.8); s.n];
    let held = heap(&mut s, &lives);
    s.sim(Class::Sawtooth, &held)
}

/// Nothing but requests in weather.
fn weather(seed: u64) -> Sim {
    let s = service(seed, |_| 1.0);
    let held = vec![0.0; s.n];
    s.sim(Class::Steady, &held)
}

/// Sessions that end after a fixed time without a visit: as many as come in that time.
fn sessions_that_end(seed: u64) -> Sim {
    let mut s = service(seed, |_| 1.0);
    let stay = (s.n as f64 * s.dice.between(0.1, 0.45)) as usize;
    let total = s.size * s.dice.between(0.3, 2.5);
    let each = total / (stay as f64 * s.requests.iter().sum::<f64>() / s.n as f64);
    let mut live = VecDeque::new();
    let mut now = 0.0;
    let held: Vec<f64> = s
        .requests
        .iter()
        .map(|r| {
            live.push_back(*r);
            now += r;
            if live.len() > stay {
                now -= live.pop_front().unwrap_or(0.0);
            }
            now * each
        })
        .collect();
    let mut sim = s.sim(Class::BoundedCache, &held);
    sim.truth.also.push(Class::WarmUp);
    sim
}

/// Pages of a database in its own buffer, by a popularity that is far from even: the rest comes ever more seldom, until it is full.
fn buffer_of_pages(seed: u64) -> Sim {
    let mut s = service(seed, |_| 1.0);
    let tau = s.n as f64 * s.dice.between(0.03, 0.18);
    let (total, power) = (s.size * s.dice.between(0.3, 2.0), s.dice.between(0.7, 1.0));
    let held: Vec<f64> = (0..s.n).map(|t| total * (1.0 - (-(t as f64 / tau).powf(power)).exp())).collect();
    let mut sim = s.sim(Class::WarmUp, &held);
    sim.truth.also.push(Class::BoundedCache);
    sim
}

/// Connections of a pool: opened one by one in the morning, then kept.
fn pool(seed: u64) -> Sim {
    let mut s = service(seed, |_| 1.0);
    let (connections, full) = (s.dice.0.usize(20..120), s.n as f64 * s.dice.between(0.12, 0.5));
    let total = s.size * s.dice.between(0.3, 1.5);
    let mut times: Vec<f64> = (0..connections).map(|_| full * s.dice.0.f64()).collect();
    times.sort_by(f64::total_cmp);
    let held: Vec<f64> =
        (0..s.n).map(|t| total * times.partition_point(|at| *at <= t as f64) as f64 / connections as f64).collect();
    let mut sim = s.sim(Class::BoundedCache, &held);
    sim.truth.also.push(Class::WarmUp);
    sim
}

/// A backup reads and writes files.
fn backup(seed: u64) -> Sim {
    let mut s = service(seed, |_| 1.0);
    let (total, busy) = (2.0 * s.loses(), s.dice.between(0.2, 0.9));
    let parts: Vec<f64> =
        (0..s.n).map(|_| if s.dice.0.f64() < busy { total / (busy * s.n as f64) } else { 0.0 }).collect();
    let held = vec![0.0; s.n];
    let mut sim = s.sim(Class::Cache, &held);
    sim.file.iter_mut().zip(sum(parts)).for_each(|(file, more)| *file += more);
    sim
}

/// A window of a stream: gathered, written, thrown away.
fn windows(seed: u64) -> Sim {
    let mut s = service(seed, |_| 1.0);
    let long = s.dice.0.usize(25..140);
    let all: f64 = s.requests.iter().sum::<f64>() / s.n as f64 * long as f64;
    let size = s.size * s.dice.between(0.3, 1.6) / all;
    let mut now = 0.0;
    let held: Vec<f64> = (0..s.n)
        .map(|t| {
            now = if t % long == 0 { 0.0 } else { now + s.requests[t] * size };
            now
        })
        .collect();
    s.sim(Class::Sawtooth, &held)
}

/// Memory for each request, given back as a part of what is above at each step.
fn by_requests(mut s: Service, follows: f64) -> Sim {
    s.counted = true;
    let each = s.size * s.dice.between(0.2, 0.9) / (100.0 * s.step_s);
    let mut smooth = s.requests[0];
    let held: Vec<f64> = s
        .requests
        .iter()
        .map(|r| {
            smooth += follows * (r - smooth);
            smooth * each
        })
        .collect();
    s.sim(Class::Load, &held)
}

/// More and more requests.
fn launch(seed: u64) -> Sim {
    by_requests(service(seed, |t| 0.4 + 2.2 * t * t), 0.3)
}

/// Working days.
fn office_hours(seed: u64) -> Sim {
    let days = 3.0 + (seed % 4) as f64;
    by_requests(service(seed, move |t| if (t * days).fract() < 0.45 { 2.0 } else { 0.4 }), 0.08)
}

/// A model is loaded.
fn model(seed: u64) -> Sim {
    let mut s = service(seed, |_| 1.0);
    let (at, size) = ((s.n as f64 * s.dice.between(0.2, 0.8)) as usize, s.size * s.dice.between(0.25, 2.0));
    let held: Vec<f64> =
        (0..s.n).map(|t| if t < at { 0.0 } else { size * ((t - at + 1) as f64 / 2.0).min(1.0) }).collect();
    s.sim(Class::Step, &held)
}

/// A job at a random time that takes much, works and gives it back.
fn jobs(seed: u64) -> Sim {
    let mut s = service(seed, |_| 1.0);
    let (size, times) = (s.size * s.dice.between(0.2, 1.2), s.dice.0.usize(5..14));
    let long = s.n / times / 3;
    let starts: Vec<usize> = (0..times).map(|_| s.dice.0.usize(0..s.n - long)).collect();
    let held: Vec<f64> = (0..s.n)
        .map(|t| size * starts.iter().filter(|at| (**at..**at + long).contains(&t)).count().min(2) as f64)
        .collect();
    let mut sim = s.sim(Class::Sawtooth, &held);
    sim.truth.also.extend([Class::Steady, Class::Load]);
    sim
}

/// The mechanisms.
pub const TABLE: &[Mechanism] = &[
    Mechanism { name: "leak of listeners", make: listeners },
    Mechanism { name: "leak by reloads", make: reloads },
    Mechanism { name: "leak of retries", make: retries },
    Mechanism { name: "leak of sessions by day", make: sessions_by_day },
    Mechanism { name: "leak of threads", make: threads },
    Mechanism { name: "leak in a queue", make: queue },
    Mechanism { name: "leak in a doubling heap", make: heap_that_leaks },
    Mechanism { name: "doubling heap", make: heap_that_does_not },
    Mechanism { name: "weather", make: weather },
    Mechanism { name: "sessions that end", make: sessions_that_end },
    Mechanism { name: "buffer of pages", make: buffer_of_pages },
    Mechanism { name: "pool", make: pool },
    Mechanism { name: "backup", make: backup },
    Mechanism { name: "windows", make: windows },
    Mechanism { name: "launch", make: launch },
    Mechanism { name: "office hours", make: office_hours },
    Mechanism { name: "model", make: model },
    Mechanism { name: "jobs", make: jobs },
];
