//! A simulated series: one value a step, with its truth.

use std::f64::consts::TAU;
use std::sync::Arc;

use sampler::analysis::leak::detectors::Class;
use sampler::model::fields::{FieldId, Table};
use sampler::model::recording::{Series, Subject};
use sampler::model::sample::Row;

use super::case::{Case, Truth};

/// Bytes of a MiB.
pub const MIB: f64 = 1024.0 * 1024.0;

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

impl Sim {
    /// Its steps.
    pub fn n(&self) -> usize {
        self.anon.len()
    }
}

/// A leak with its rate, its onset and the time at which it reaches its limit.
pub fn with_rate(mut sim: Sim, rate: f64, onset: f64) -> Sim {
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
