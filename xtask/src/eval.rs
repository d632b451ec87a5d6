//! How good the analysis is, on simulated series whose truth is their parameters.

mod baselines;
mod sim;

use std::collections::BTreeMap;
use std::process::Command;

use sampler::analysis::detectors::Class;
use sampler::analysis::track::Track;
use sampler::analysis::verdict::{Verdict, judge};

use sim::{Sim, Truth};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Series of each mechanism.
    #[arg(long, default_value_t = 30)]
    each: usize,
    /// Seed.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// `tune`, or `test`: other mechanisms, written on their own, never tuned on.
    #[arg(long, default_value = "tune", value_parser = ["tune", "test"])]
    generator: String,
    /// Instead: the public series in this folder (see eval/public.py); needs Python.
    #[arg(long, value_name = "DIR")]
    public: Option<std::path::PathBuf>,
    /// Print every series that is judged wrong.
    #[arg(long)]
    wrong: bool,
}

/// Parts of a series at which a watcher looks.
const LOOKS: [f64; 11] = [0.1, 0.19, 0.28, 0.37, 0.46, 0.55, 0.64, 0.73, 0.82, 0.91, 1.0];

fn verdict(sim: &Sim, part: f64) -> Option<Verdict> {
    let mut track = Track::default();
    track.feed(&sim.series(part));
    judge(&mut track, Some(("/sim", sim.truth.limit)))
}

#[derive(Default)]
struct Count {
    right: usize,
    wrong: usize,
    open: usize,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    if let Some(folder) = &args.public {
        let script = crate::sh::root().join("xtask/src/eval/public.py");
        return crate::sh::run(Command::new("python3").arg(script).arg(crate::sh::sampler()?).arg(folder));
    }
    let mechanisms = if args.generator == "test" { sim::TEST } else { sim::TUNE };
    let mut by_mechanism: BTreeMap<&str, BTreeMap<String, usize>> = BTreeMap::new();
    let mut score = [0usize; 4];
    let mut classes: BTreeMap<Class, Count> = BTreeMap::new();
    let (mut open, mut all, mut ever, mut healthy) = (0, 0, 0, 0);
    let mut alarms: BTreeMap<&str, usize> = BTreeMap::new();
    let (mut rates, mut etas, mut ends, mut covered, mut announced, mut leaks) =
        (vec![], vec![], (vec![], vec![]), 0, 0, 0);
    let mut others: BTreeMap<&str, [usize; 4]> = BTreeMap::new();
    let (mut brier, mut graded) = (0.0, 0);
    for (m, mechanism) in mechanisms.iter().enumerate() {
        for i in 0..args.each {
            let sim = (mechanism.make)(args.seed * 1_000_003 + (m * 10_007 + i) as u64);
            let Some(verdict) = verdict(&sim, 1.0) else { continue };
            let says = verdict.verdict == Class::Leak;
            let is = sim.truth.class == Class::Leak;
            all += 1;
            *by_mechanism.entry(mechanism.name).or_default().entry(format!("{:?}", verdict.verdict)).or_default() += 1;
            score[usize::from(is) * 2 + usize::from(says)] += 1;
            brier += (verdict.probability - f64::from(u8::from(is))).powi(2);
            graded += 1;
            let count = classes.entry(sim.truth.class).or_default();
            match verdict.verdict {
                Class::Undetermined => (open, count.open) = (open + 1, count.open + 1),
                class if class == sim.truth.class => count.right += 1,
                _ => count.wrong += 1,
            }
            if args.wrong && verdict.verdict != sim.truth.class {
                println!("{} {i}: {:?}, {:?}", mechanism.name, verdict.verdict, verdict.evidence);
            }
            let current = sim.current();
            for (name, detect) in baselines::TABLE {
                let says = detect(&current, sim.step_s, sim.truth.limit);
                others.entry(name).or_default()[usize::from(is) * 2 + usize::from(says)] += 1;
            }
            if is && says {
                judge_numbers(&sim.truth, &verdict, &mut rates, &mut etas, &mut ends, &mut covered);
            }
            if is {
                leaks += 1;
                // Before half of the time from onset to the end: a leak that can be announced in time.
                // An agent looks often.
                let often = (2..=40).map(|look| f64::from(look) / 40.0);
                let in_time = alarm(&sim, (1.0 + sim.truth.onset) / 2.0, often);
                announced += usize::from(in_time);
                *alarms.entry(mechanism.name).or_default() += usize::from(in_time);
            } else {
                healthy += 1;
                let false_alarm = alarm(&sim, 1.0, LOOKS.into_iter());
                ever += usize::from(false_alarm);
                *alarms.entry(mechanism.name).or_default() += usize::from(false_alarm);
            }
        }
    }
    for (name, verdicts) in by_mechanism {
        let list: Vec<String> = verdicts.into_iter().map(|(class, n)| format!("{class} {n}")).collect();
        println!("{name:<22} {}; alarms {}", list.join(", "), alarms.get(name).copied().unwrap_or(0));
    }
    println!();
    print_score("sampler", &score);
    for (name, score) in &others {
        print_score(name, score);
    }
    println!("undetermined {open} of {all} ({:.1} %)", 100.0 * open as f64 / all as f64);
    println!("class right:");
    for (class, count) in &classes {
        let n = count.right + count.wrong + count.open;
        println!("  {class:?} {} of {n}, {} undetermined", count.right, count.open);
    }
    println!("false alarm ever in {} looks: {:.1} % of {healthy}", LOOKS.len(), 100.0 * ever as f64 / healthy as f64);
    println!("announced before half of the time: {:.1} % of {leaks}", 100.0 * announced as f64 / leaks as f64);
    println!("rate: median error {:.0} %", 100.0 * at(&mut rates, 0.5));
    println!(
        "time to limit: median error {:.0} %, 90 % intervals cover {:.0} % of {}",
        100.0 * at(&mut etas, 0.5),
        100.0 * covered as f64 / etas.len().max(1) as f64,
        etas.len()
    );
    println!(
        "  ln(true / low end) at 5 %: {:.2}; ln(true / high end) at 95 %: {:.2}",
        at(&mut ends.0, 0.05),
        at(&mut ends.1, 0.95)
    );
    println!("Brier {:.3}", brier / graded as f64);
    Ok(())
}

/// Whether three looks in a row say leak before `until`.
fn alarm(sim: &Sim, until: f64, looks: impl Iterator<Item = f64>) -> bool {
    let mut row = 0;
    looks.filter(|part| *part <= until).any(|part| {
        let says = verdict(sim, part).is_some_and(|v| v.verdict == Class::Leak);
        row = if says { row + 1 } else { 0 };
        row >= 3
    })
}

fn judge_numbers(
    truth: &Truth,
    verdict: &Verdict,
    rates: &mut Vec<f64>,
    etas: &mut Vec<f64>,
    ends: &mut (Vec<f64>, Vec<f64>),
    covered: &mut usize,
) {
    if let (Some(rate), Some(got)) = (truth.rate, verdict.rate_bytes_per_s) {
        rates.push((got - rate).abs() / rate);
    }
    if let (Some(eta), Some(got)) = (truth.eta_s, verdict.time_to_limit_s) {
        etas.push((got - eta).abs() / eta);
        if let Some([Some(low), high]) = verdict.time_to_limit_ci90 {
            ends.0.push((eta / low).ln());
            ends.1.extend(high.map(|high| (eta / high).ln()));
            let low = Some(low);
            *covered += usize::from(low.is_none_or(|low| low <= eta) && high.is_none_or(|high| high >= eta));
        }
    }
}

/// The value below which `part` of them lie.
fn at(values: &mut [f64], part: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get((values.len() as f64 * part) as usize).copied().unwrap_or(f64::NAN)
}

fn print_score(name: &str, [_, fp, miss, hit]: &[usize; 4]) {
    let part = |a: usize, b: usize| a as f64 / (a + b).max(1) as f64;
    let (precision, recall) = (part(*hit, *fp), part(*hit, *miss));
    let f1 = 2.0 * precision * recall / (precision + recall).max(1e-9);
    println!("{name:<16} precision {precision:.3} recall {recall:.3} F1 {f1:.3} ({fp} false alarms)");
}
