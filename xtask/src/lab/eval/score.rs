//! Figures over cases.

use std::collections::BTreeMap;

use sampler::analysis::leak::detectors::Class;
use sampler::analysis::leak::verdict::Verdict;

use super::baselines;
use super::case::Case;

/// Parts of a series at which a watcher looks.
const LOOKS: [f64; 11] = [0.1, 0.19, 0.28, 0.37, 0.46, 0.55, 0.64, 0.73, 0.82, 0.91, 1.0];
/// Parts at which the delay is measured.
const CUTS: [f64; 4] = [0.1, 0.25, 0.5, 1.0];
/// An alarm is what this many looks in a row say.
const IN_A_ROW: usize = 3;

/// Leak or not: false alarms, misses, hits, and what is neither.
#[derive(Clone, Copy, Default)]
struct Score {
    right_no: usize,
    false_alarm: usize,
    miss: usize,
    hit: usize,
}

impl Score {
    fn add(&mut self, is: bool, says: bool) {
        *(match (is, says) {
            (false, false) => &mut self.right_no,
            (false, true) => &mut self.false_alarm,
            (true, false) => &mut self.miss,
            (true, true) => &mut self.hit,
        }) += 1;
    }

    fn print(&self, name: &str) {
        let part = |a: usize, b: usize| a as f64 / (a + b).max(1) as f64;
        let (precision, recall) = (part(self.hit, self.false_alarm), part(self.hit, self.miss));
        let f1 = 2.0 * precision * recall / (precision + recall).max(1e-9);
        println!(
            "{name:<14} precision {precision:.3} recall {recall:.3} F1 {f1:.3} ({} false alarms of {})",
            self.false_alarm,
            self.false_alarm + self.right_no
        );
    }
}

#[derive(Default)]
struct Errors {
    rates: Vec<f64>,
    onsets: Vec<f64>,
    etas: Vec<f64>,
    rate_covered: usize,
    eta_covered: usize,
    /// ln of the true time over the ends of the interval.
    ends: (Vec<f64>, Vec<f64>),
}

/// How good the verdicts are on `cases`, printed.
#[derive(Default)]
pub struct Figures {
    by_mechanism: BTreeMap<String, BTreeMap<String, usize>>,
    alarms: BTreeMap<String, usize>,
    ours: Score,
    others: BTreeMap<&'static str, Score>,
    cuts: [Score; CUTS.len()],
    /// Truth, verdict.
    classes: Vec<(Class, Class)>,
    grades: Vec<(f64, bool)>,
    components: (usize, usize),
    open: usize,
    healthy: usize,
    ever: usize,
    ever_named: usize,
    leaks: usize,
    in_time: usize,
    in_time_of: usize,
    errors: Errors,
    /// Verdicts that are wrong, with their evidence.
    pub wrong: Vec<String>,
}

impl Figures {
    pub fn add(&mut self, case: &Case) {
        let Some(verdict) = case.verdict(1.0) else { return };
        let (is, says) = (case.is_leak(), verdict.verdict == Class::Leak);
        let word = format!("{:?}", verdict.verdict);
        *self.by_mechanism.entry(case.mechanism.clone()).or_default().entry(word).or_default() += 1;
        self.ours.add(is, says);
        let counts_as = if case.truth.allows(verdict.verdict) { case.truth.class } else { verdict.verdict };
        self.classes.push((case.truth.class, counts_as));
        self.open += usize::from(verdict.verdict == Class::Undetermined);
        self.grades.push((verdict.probability, is));
        if counts_as != case.truth.class {
            self.wrong.push(format!("{}: {:?}, {:?}", case.name, verdict.verdict, verdict.evidence));
        }
        let (current, step_s) = case.current();
        for (name, rule) in baselines::TABLE {
            self.others.entry(name).or_default().add(is, rule(&current, step_s, case.truth.limit));
        }
        for (cut, score) in CUTS.into_iter().zip(&mut self.cuts) {
            let seen = if cut < 1.0 { case.verdict(cut).map(|v| v.verdict) } else { Some(verdict.verdict) };
            // A leak that has not begun is none.
            score.add(is && case.truth.onset < cut, seen == Some(Class::Leak));
        }
        if is && says {
            self.numbers(case, &verdict);
        }
        if is {
            self.leaks += 1;
            // An agent looks often. Where the end depends on chance, half of what was recorded must do.
            let often = || (2..=40).map(|look| f64::from(look) / 40.0);
            let deadline = (case.truth.onset + case.truth.oom.or(case.truth.about).unwrap_or(1.0)) / 2.0;
            let early = alarm(case, deadline.min(1.0), often());
            // What is not half-way when the recording ends, or never ends, has no time to be found in.
            if deadline <= 1.0 && case.truth.limit.is_finite() {
                self.in_time += usize::from(early);
                self.in_time_of += 1;
                if !early {
                    let looks: String = often().map(|part| letter(case.verdict(part).as_ref())).collect();
                    let line = format!(
                        "{}: not in time: from {:.3}, due {deadline:.3}, looks {looks}",
                        case.name, case.truth.onset
                    );
                    self.wrong.push(line);
                }
            }
            *self.alarms.entry(case.mechanism.clone()).or_default() += usize::from(early);
        } else {
            self.healthy += 1;
            let ever = alarm(case, 1.0, LOOKS.into_iter());
            self.ever += usize::from(ever);
            if ever {
                self.wrong.push(format!("{}: alarmed, and is {:?}", case.name, case.truth.class));
            }
            self.ever_named += usize::from(named(case, 1.0, LOOKS.into_iter()).next().is_some());
            *self.alarms.entry(case.mechanism.clone()).or_default() += usize::from(ever);
        }
    }

    fn numbers(&mut self, case: &Case, verdict: &Verdict) {
        let truth = &case.truth;
        if !truth.components.is_empty() {
            let said = verdict.component.and_then(|c| serde_json::to_value(c).ok());
            let said = said.as_ref().and_then(|v| v.as_str()).unwrap_or_default();
            self.components.0 += usize::from(truth.components.iter().any(|c| c == said));
            self.components.1 += 1;
        }
        if let (Some(rate), Some(got)) = (truth.rate, verdict.rate_bytes_per_s) {
            self.errors.rates.push((got - rate).abs() / rate);
            let covers = verdict.rate_ci90.is_some_and(|[low, high]| (low..=high).contains(&rate));
            self.errors.rate_covered += usize::from(covers);
        }
        if let Some(onset_us) = verdict.onset_us {
            let at = (onset_us - case.begin_us) as f64 / (case.end_us - case.begin_us) as f64;
            self.errors.onsets.push((at - truth.onset).abs());
        }
        let Some(oom) = truth.oom else { return };
        // One that has ended is asked when two thirds had passed.
        let (look, seen) = if oom > 1.05 { (1.0, Some(verdict.clone())) } else { (0.67, case.verdict(0.67)) };
        let eta = (oom - look) * case.span_s();
        let Some(got) = seen.filter(|v| v.verdict == Class::Leak) else { return };
        if let (Some(middle), Some([Some(low), high])) = (got.time_to_limit_s, got.time_to_limit_ci90) {
            self.errors.etas.push((middle - eta).abs() / eta);
            self.errors.ends.0.push((eta / low.max(1.0)).ln());
            self.errors.ends.1.extend(high.map(|high| (eta / high).ln()));
            let covers = low <= eta && high.is_none_or(|high| high >= eta);
            self.errors.eta_covered += usize::from(covers);
            if !covers {
                let high = high.map_or("never".to_owned(), |high| format!("{high:.0}"));
                self.wrong
                    .push(format!("{}: to the limit {eta:.0} s, said {middle:.0} ({low:.0} to {high})", case.name));
            }
        }
    }

    pub fn print(&mut self) {
        for (name, verdicts) in &self.by_mechanism {
            let list: Vec<String> = verdicts.iter().map(|(class, n)| format!("{class} {n}")).collect();
            println!("{name:<24} {}; alarms {}", list.join(", "), self.alarms.get(name).copied().unwrap_or(0));
        }
        println!();
        self.ours.print("sampler");
        for (name, score) in &self.others {
            score.print(name);
        }
        println!("of which seen so far:");
        for (cut, score) in CUTS.into_iter().zip(&self.cuts) {
            score.print(&format!("  {:.0} %", 100.0 * cut));
        }
        let all = self.classes.len();
        println!("undetermined {} of {all} ({:.1} %)", self.open, percent(self.open, all));
        print_classes(&self.classes);
        if self.components.1 > 0 {
            println!("kind of memory right: {} of {}", self.components.0, self.components.1);
        }
        println!(
            "healthy series that ever alarm in {} looks, {IN_A_ROW} in a row: {:.1} % of {}; that are ever called a leak so: {:.1} %",
            LOOKS.len(),
            percent(self.ever, self.healthy),
            self.healthy,
            percent(self.ever_named, self.healthy)
        );
        println!(
            "alarm before half of the time from onset to the limit: {:.1} % of {} leaks that come so far ({} in all)",
            percent(self.in_time, self.in_time_of),
            self.in_time_of,
            self.leaks
        );
        let errors = &mut self.errors;
        println!(
            "pace: median error {:.0} %, 90 % intervals cover {:.0} % of {}; onset: median error {:.1} % of the span, 90 % within {:.1} %",
            100.0 * at(&mut errors.rates, 0.5),
            percent(errors.rate_covered, errors.rates.len()),
            errors.rates.len(),
            100.0 * at(&mut errors.onsets, 0.5),
            100.0 * at(&mut errors.onsets, 0.9)
        );
        println!(
            "time to limit: median error {:.0} %, 90 % intervals cover {:.0} % of {}; ln(true / low end) at 5 % {:.2}, ln(true / high end) at 95 % {:.2}",
            100.0 * at(&mut errors.etas, 0.5),
            percent(errors.eta_covered, errors.etas.len()),
            errors.etas.len(),
            at(&mut errors.ends.0, 0.05),
            at(&mut errors.ends.1, 0.95)
        );
        print_calibration(&self.grades);
    }
}

/// A look in one letter: alarm, leak, not known yet, no leak.
fn letter(verdict: Option<&Verdict>) -> char {
    match verdict {
        Some(v) if v.alarm => 'A',
        Some(v) if v.verdict == Class::Leak => 'l',
        Some(v) if v.verdict != Class::Undetermined => '.',
        _ => '?',
    }
}

fn percent(part: usize, all: usize) -> f64 {
    100.0 * part as f64 / all.max(1) as f64
}

/// Whether it is called a leak before `until`, as often in a row as it takes, and the last of these looks alarms.
fn alarm(case: &Case, until: f64, looks: impl Iterator<Item = f64>) -> bool {
    named(case, until, looks).any(|verdict| verdict.alarm)
}

/// The looks at which it was called a leak as often in a row as it takes. What says nothing speaks neither for nor against,
/// as in the agent.
fn named(case: &Case, until: f64, looks: impl Iterator<Item = f64>) -> impl Iterator<Item = Verdict> {
    let mut row = 0;
    looks.take_while(move |part| *part <= until).filter_map(move |part| {
        let verdict = case.verdict(part).filter(|v| v.verdict != Class::Undetermined)?;
        row = if verdict.verdict == Class::Leak { row + 1 } else { 0 };
        (row >= IN_A_ROW).then_some(verdict)
    })
}

/// The value below which `part` of them lie.
fn at(values: &mut [f64], part: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get((values.len() as f64 * part) as usize).copied().unwrap_or(f64::NAN)
}

fn print_classes(classes: &[(Class, Class)]) {
    let mut all: Vec<Class> = classes.iter().map(|(truth, _)| *truth).collect();
    all.sort();
    all.dedup();
    let mut sum = 0.0;
    let right = classes.iter().filter(|(truth, said)| truth == said).count();
    for class in &all {
        let count = |f: &dyn Fn(&(Class, Class)) -> bool| classes.iter().filter(|c| f(c)).count() as f64;
        let hit = count(&|(truth, said)| truth == class && said == class);
        let (is, says) = (count(&|(truth, _)| truth == class), count(&|(_, said)| said == class));
        let f1 = 2.0 * hit / (is + says).max(1.0);
        sum += f1;
        println!("  {class:?}: {hit} of {is} right, F1 {f1:.2}");
    }
    println!("class right {:.1} %, macro-F1 {:.3}", percent(right, classes.len()), sum / all.len().max(1) as f64);
}

/// Brier's score, and how far the probabilities are from how often they are right, in ten bins.
fn print_calibration(grades: &[(f64, bool)]) {
    let n = grades.len().max(1) as f64;
    let brier = grades.iter().map(|(p, is)| (p - f64::from(u8::from(*is))).powi(2)).sum::<f64>() / n;
    let mut error = 0.0;
    let mut bins = Vec::new();
    for bin in 0..10 {
        let inside: Vec<_> = grades.iter().filter(|(p, _)| ((p * 10.0) as usize).min(9) == bin).collect();
        if !inside.is_empty() {
            let m = inside.len() as f64;
            let says = inside.iter().map(|(p, _)| p).sum::<f64>() / m;
            let is = inside.iter().filter(|(_, is)| *is).count() as f64 / m;
            error += (says - is).abs() * m / n;
            bins.push(format!("{says:.2}->{is:.2} ({m})"));
        }
    }
    println!("probability: Brier {brier:.3}, ECE {error:.3}: {}", bins.join(", "));
}
