//! What is measured of one signal of one life; the detectors only read it.

use crate::analysis::leak::blocks::{Block, Blocks};
use crate::analysis::leak::floor::{Floor, calm, floor};
use crate::analysis::leak::linear::{deviation, differences, mad, mean, median, ols, quantile, sen};
use crate::analysis::leak::regimes::{last_pace, partition};
use crate::analysis::leak::shape::{Shape, shape};
use crate::analysis::leak::signal::{SIGNALS, Signal};
use crate::analysis::leak::trend::{LEAST, Trend, trend};

/// Value is known to this: the kernel charges 64 pages at once for each processor.
pub const QUANTUM: f64 = 64.0 * 4096.0;

/// Bytes that a page fault brings at least.
const PAGE: f64 = 4096.0;

/// A sudden change of level.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    /// Block of the change.
    pub at: usize,
    /// Rise, bytes.
    pub rise: f64,
}

/// What the work does not explain.
#[derive(Clone, Copy, Debug)]
pub struct Residual {
    /// Its trend.
    pub trend: Trend,
    /// Blocks in a point of the trend.
    pub stride: f64,
    /// Correlation of memory and work.
    pub r: f64,
    /// Its growth, bytes.
    pub growth: f64,
    /// The part of the growth in the last part of an even pace that the work explains.
    pub last: f64,
}

/// Work that explains less of the last growth than this began with it and does not drive it: who grows works for it.
const DRIVES: f64 = 0.25;

/// The measured facts. Times are in blocks, values in bytes.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// Seconds a block.
    pub block_s: f64,
    /// Blocks.
    pub n: usize,
    /// Means of the blocks.
    pub values: Vec<f64>,
    /// The floor.
    pub floor: Floor,
    /// Blocks cut off the begin.
    pub cut: usize,
    /// Level at the begin and at the end of the floor.
    pub level: (f64, f64),
    /// Standard deviation of the noise.
    pub noise: f64,
    /// Trend of the whole floor, per point.
    pub all: Trend,
    /// Of its second half.
    pub half: Trend,
    /// Of its last part of an even pace, and the share of the span that is.
    pub last: (Trend, f64),
    /// Pooled over the regimes: z, and the share of the span that rises.
    pub within: (f64, f64),
    /// What the work leaves unexplained, when memory follows it.
    pub residual: Option<Residual>,
    /// Slope of the last quarter over that of the third.
    pub late: f64,
    /// By how many deviations the last quarter rose less than the third, were its steps independent: a few large ones say little.
    pub slows: f64,
    /// Slope of the last quarter over that of the second.
    pub fades: f64,
    /// Slope of the second half over that of the first.
    pub halves: f64,
    /// Shape of the growth.
    pub shape: Shape,
    /// A sudden change that is most of all change.
    pub step: Option<Step>,
    /// Begin of the last part of an even pace, a point of the floor.
    pub last_from: usize,
    /// Deepest fall from a maximum, as a part of the range.
    pub drawdown: f64,
}

impl Facts {
    /// Growth of the floor, bytes.
    pub fn growth(&self) -> f64 {
        self.level.1 - self.level.0
    }

    /// Growth without what the work explains, bytes.
    pub fn growth_beside_work(&self) -> f64 {
        self.residual.map_or(self.growth(), |beside| beside.growth)
    }

    /// Whether the work explains the growth: less than a third of it is left over.
    pub fn work_explains(&self) -> bool {
        self.residual.is_some_and(|beside| beside.growth < 0.35 * self.growth())
    }

    /// Whether the work that memory followed explains none of what grows at last.
    pub fn leaves_work(&self) -> bool {
        self.residual.is_some_and(|beside| beside.last < DRIVES)
    }

    /// Growth that matters, without what the work explains: 1.5 % of the level, a MiB, four quanta.
    pub fn matters(&self) -> bool {
        self.growth_beside_work() > (0.015 * self.level.0.abs()).max(1024.0 * 1024.0).max(4.0 * QUANTUM)
    }

    /// Whether it flattens: a curve that does fits better than a line, and the pace falls from quarter to quarter, or, where
    /// quarters are too rough, by half from half to half without a sign of going on.
    pub fn bends(&self) -> bool {
        let by_quarters = self.late < 0.7 || self.fades < 0.6 && self.late < 0.9;
        let by_halves = self.shape.saturates > 10.0 && self.shape.goes_on < 6.0 && self.halves < 0.5 && self.late < 0.9;
        self.shape.saturates > 6.0 && by_quarters || by_halves
    }

    /// Seconds that were looked at.
    pub fn span_s(&self) -> f64 {
        self.n as f64 * self.block_s
    }
}

/// Fewest blocks that say anything.
pub const LEAST_BLOCKS: usize = 48;

/// Means of a signal's blocks; empty ones take their neighbour's.
pub fn filled(blocks: &[Block], of: impl Fn(&Block) -> f64) -> Vec<f64> {
    let mut last = blocks.iter().find(|b| b.n > 0).map_or(0.0, &of);
    blocks
        .iter()
        .map(|block| {
            if block.n > 0 {
                last = of(block);
            }
            last
        })
        .collect()
}

/// Measures a signal. `None` when there is too little of it.
pub fn facts(blocks: &Blocks<SIGNALS>, signal: Signal) -> Option<Facts> {
    let seen = blocks.signal(signal as usize);
    if seen.iter().filter(|b| b.n > 0).count() < LEAST_BLOCKS {
        return None;
    }
    let means = filled(seen, |b| b.sum / f64::from(b.n));
    let minima = filled(seen, |b| b.min);
    let (from, to) = trim(&means);
    let (means, minima) = (&means[from..to], &minima[from..to]);
    let n = means.len();
    let quantum = QUANTUM / 12f64.sqrt();
    let values = calm(means, quantum);
    let minima: Vec<f64> = minima.iter().zip(&values).map(|(min, value)| min.min(*value)).collect();
    let floor = floor(&values, &minima, quantum);
    let z = &floor.points;
    let m = z.len();
    if m < LEAST {
        return None;
    }
    let part = (m / 10).max(3);
    let level = (median(&z[..part]), median(&z[m - part..]));
    let around: Vec<f64> = (0..m).map(|i| z[i] - mean(&z[i.saturating_sub(8)..(i + 9).min(m)])).collect();
    let local = (mean(&around.iter().map(|v| v * v).collect::<Vec<_>>()))
        .min(mad(&differences(z)).powi(2))
        .max(quantum * quantum);
    let regimes = partition(z, (m / 16).max(8), 12.0 * local * (m as f64).ln());
    let mut begin = 0;
    let (mut weight, mut pooled, mut rising) = (0.0, 0.0, 0.0);
    for &end in &regimes {
        let part = &z[begin..end];
        let t = trend(part, quantum);
        if t.se > 0.0 {
            weight += t.se.powi(-2);
            pooled += t.slope * t.se.powi(-2);
        }
        if sen(part) > 0.0 {
            rising += (end - begin) as f64 / m as f64;
        }
        begin = end;
    }
    let within = if weight > 0.0 { pooled / weight.sqrt() } else { 0.0 };
    let last_from = last_pace(z, &regimes);
    let quarter = |i: usize| sen(&z[i * m / 4..(i + 1) * m / 4]);
    let pace = quarter(3);
    // What has ended is only noise over noise: a quarter counts with a fifth of the mean pace at least.
    let least = (0.2 * (level.1 - level.0) / m as f64).max(1e-9);
    let over = |before: f64| pace / before.max(least);
    let mut highest = f64::NEG_INFINITY;
    let mut fall = 0f64;
    for v in z {
        highest = highest.max(*v);
        fall = fall.max(highest - v);
    }
    let range = (quantile(z, 1.0) - quantile(z, 0.0)).max(1.0);
    let step = step(&values, quantum);
    let steps = differences(&z[m / 2..]);
    let (third, fourth) = steps.split_at(steps.len() / 2);
    let slows = (mean(third) - mean(fourth)) / (deviation(&steps).max(quantum) * (4.0 / steps.len() as f64).sqrt());
    Some(Facts {
        block_s: blocks.width_us as f64 / 1e6,
        n,
        cut: from,
        level,
        noise: local.sqrt(),
        all: trend(z, quantum),
        half: trend(&z[m / 2..], quantum),
        last: (trend(&z[last_from..], quantum), (m - last_from) as f64 / m as f64),
        within: (within, rising),
        residual: residual(blocks, &floor, from, &values, last_from),
        late: over(quarter(2)),
        slows,
        fades: over(quarter(1)),
        halves: sen(&z[m / 2..]) / sen(&z[..m / 2]).max(least),
        shape: shape(z),
        step,
        last_from,
        drawdown: fall / range,
        values,
        floor,
    })
}

/// Without a start that is still empty and an end that is already: at most a twentieth each.
fn trim(values: &[f64]) -> (usize, usize) {
    let n = values.len();
    let most = n / 20;
    let rough = 4.0 * mad(&differences(values));
    let low = |value: f64, beside: &[f64]| value < median(beside) - rough.max(0.02 * median(beside)).max(QUANTUM);
    let next = (n / 10).max(3);
    let from = (0..most).rev().find(|&t| low(values[t], &values[t + 1..(t + 1 + next).min(n)])).map_or(0, |t| t + 1);
    let to = (n - most..n).find(|&t| low(values[t], &values[t.saturating_sub(next)..t])).unwrap_or(n);
    (from, to)
}

/// The largest change of level, when most of it happens at once and most of all change is it.
fn step(values: &[f64], noise: f64) -> Option<Step> {
    let n = values.len();
    let side = (n / 8).clamp(4, 64);
    let jump = |t: usize| median(&values[t..(t + side).min(n)]) - median(&values[t.saturating_sub(side)..t]);
    let at = (side / 2..n - side / 2).max_by(|a, b| jump(*a).abs().total_cmp(&jump(*b).abs()))?;
    // The sharpest place near it.
    let near = at.saturating_sub(side / 2).max(2)..(at + side / 2).min(n - 2);
    let at =
        near.max_by(|a, b| (values[a + 1] - values[a - 2]).abs().total_cmp(&(values[b + 1] - values[b - 2]).abs()))?;
    let rise = median(&values[(at + 1).min(n - 1)..(at + 1 + side).min(n)])
        - median(&values[at.saturating_sub(side + 1)..at.max(1)]);
    let sharp = (values[(at + 2).min(n - 1)] - values[at.saturating_sub(2)]) / rise;
    let total = median(&values[n - side..]) - median(&values[..side]);
    let rough = mad(&differences(values)).max(noise);
    // Two levels explain nearly all that varies; many teeth do not.
    let rest = |part: &[f64]| part.iter().map(|v| (v - mean(part)).powi(2)).sum::<f64>();
    let left = (rest(&values[..at]) + rest(&values[at..])) / rest(values).max(1e-300);
    (rise.abs() > 6.0 * rough && sharp > 0.7 && rise / total > 0.6 && left < 0.35).then_some(Step { at, rise })
}

/// What the work leaves unexplained, when memory follows the work.
fn residual(
    blocks: &Blocks<SIGNALS>,
    floor: &Floor,
    from: usize,
    values: &[f64],
    last_from: usize,
) -> Option<Residual> {
    let n = values.len();
    let (one, time) = (vec![1.0; n], (0..n).map(|t| t as f64).collect::<Vec<_>>());
    let last_from = ((last_from as f64 * floor.stride) as usize).min(n - 1);
    let rise = |series: &[f64]| {
        let part = (series.len() / 10).max(1);
        mean(&series[series.len() - part..]) - mean(&series[..part])
    };
    let mut best: Option<(f64, Residual)> = None;
    for signal in [Signal::Cpu, Signal::Faults, Signal::Pids] {
        let seen = blocks.signal(signal as usize);
        if seen.iter().filter(|b| b.n > 0).count() < LEAST_BLOCKS {
            continue;
        }
        let per = |b: &Block| if signal == Signal::Pids { b.sum / f64::from(b.n) } else { b.sum };
        let mut work = filled(seen, per);
        work.resize(from + n, work.last().copied().unwrap_or(0.0));
        let work = &work[from..from + n];
        // Tasks that only become more are no work: they are what leaks.
        if signal == Signal::Pids && only_grows(work) {
            continue;
        }
        if quantile(work, 0.95) - quantile(work, 0.05) < 0.1 * median(work).abs().max(1e-9) {
            continue;
        }
        // Page faults that are no more than the growth itself needs are no work.
        let range = quantile(values, 1.0) - quantile(values, 0.0);
        if signal == Signal::Faults && work.iter().sum::<f64>() * PAGE < 2.0 * range {
            continue;
        }
        // A moment of much work is a start, or the very growth: who grows at once touches its new pages at once.
        let work = &calm(work, 1e-9);
        // Memory may follow with a delay: the work as it is, and two moving averages of it.
        for keep in [0.0, 0.02, 0.1] {
            let mut state = work[0];
            let pull = if keep == 0.0 { 1.0 } else { (4.0 / (keep * n as f64)).min(1.0) };
            let follow = |w: &f64| {
                state += (w - state) * pull;
                state
            };
            let smooth: Vec<f64> = work.iter().map(follow).collect();
            let ramps = signal == Signal::Faults && ramps(&smooth) && work.iter().sum::<f64>() * PAGE > 20.0 * range;
            let Some((c, r)) = link(values, &smooth, ramps) else { continue };
            // The one that leaves least beside a line.
            let Some(fit) = ols(&[&one, &time, &smooth], values) else { continue };
            if best.as_ref().is_none_or(|(least, _)| fit.rss < *least) {
                let rest: Vec<f64> = values.iter().zip(&smooth).map(|(z, x)| z - c * x).collect();
                let width = (floor.stride as usize).max(n / 256).max(1);
                let points: Vec<f64> = rest.chunks(width).map(mean).collect();
                let part = (points.len() / 10).max(1);
                let growth = median(&points[points.len() - part..]) - median(&points[..part]);
                let last = c * rise(&work[last_from..]) / rise(&values[last_from..]).max(1.0);
                let trend = trend(&points, QUANTUM / 12f64.sqrt());
                best = Some((fit.rss, Residual { trend, stride: width as f64, r, growth, last }));
            }
        }
    }
    best.map(|(_, beside)| beside)
}

/// Whether a number of tasks rises from quarter to quarter and never falls by much.
pub fn only_grows(tasks: &[f64]) -> bool {
    let quarters: Vec<f64> = (0..4).map(|i| mean(&tasks[i * tasks.len() / 4..(i + 1) * tasks.len() / 4])).collect();
    let rise = quarters[3] - quarters[0];
    let mut highest = f64::NEG_INFINITY;
    let fell = tasks.iter().fold(0f64, |fell, n| {
        highest = highest.max(*n);
        fell.max(highest - n)
    });
    rise >= 8.0 && quarters.windows(2).all(|pair| pair[1] - pair[0] > 0.1 * rise) && fell < 0.2 * rise
}

/// Whether work became half as much again from the first to the last quarter, and more in each.
fn ramps(work: &[f64]) -> bool {
    let quarters: Vec<f64> = (0..4).map(|i| mean(&work[i * work.len() / 4..(i + 1) * work.len() / 4])).collect();
    quarters[3] > 1.5 * quarters[0] && quarters.windows(2).all(|pair| pair[1] > pair[0])
}

/// How much memory a unit of work holds, and how sure that is: changes follow changes over some time, or the work explains
/// the level far better than time does. Where the work itself `ramps`, it explains a level that goes with it.
fn link(z: &[f64], x: &[f64], ramps: bool) -> Option<(f64, f64)> {
    let n = z.len();
    let mut best: Option<(f64, f64)> = None;
    for lag in [1, 4, 16, n / 8] {
        let change = |v: &[f64]| -> Vec<f64> { (lag..n).map(|t| v[t] - v[t - lag]).collect() };
        let (c, r) = follows(&change(z), &change(x));
        if c > 0.0 && r > 0.5 && best.is_none_or(|(_, known)| r > known) {
            best = Some((c, r));
        }
    }
    if let Some((c, r)) = &mut best {
        // Noise in the work makes the slope of the changes too small, by r squared at most; the levels decide within that.
        *c = follows(z, x).0.clamp(*c, (*c / (*r * *r)).max(*c));
    }
    if best.is_none() {
        let time: Vec<f64> = (0..n).map(|t| t as f64).collect();
        let ((c, with_work), (_, with_time)) = (follows(z, x), follows(z, &time));
        let left = |r: f64| 1.0 - r * r;
        let better = with_work > 0.9 && left(with_work) < 0.7 * left(with_time);
        if c > 0.0 && (better || ramps && with_work > 0.97) {
            best = Some((c, with_work));
        }
    }
    best
}

/// Slope and correlation of `y` on `x`.
fn follows(y: &[f64], x: &[f64]) -> (f64, f64) {
    let (my, mx) = (mean(y), mean(x));
    let product: f64 = y.iter().zip(x).map(|(y, x)| (y - my) * (x - mx)).sum();
    let size = |v: &[f64], m: f64| v.iter().map(|v| (v - m).powi(2)).sum::<f64>();
    let (sy, sx) = (size(y, my), size(x, mx));
    (product / sx.max(1e-300), product / (sy * sx).sqrt().max(1e-300))
}
