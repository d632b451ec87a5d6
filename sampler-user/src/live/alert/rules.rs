//! The kinds of rules, in one table, with defaults that suit most; a TOML file changes them.

use std::collections::BTreeMap;
use std::time::Duration;

use globset::{Glob, GlobMatcher};
use serde::Deserialize;

use crate::live::board::{Line, Machine};
use crate::model::units::{bytes, micros, parse_duration};

/// The rule of OOM kills, and its alerts.
pub const OOM_KILL: &str = "oom_kill";
/// The rule of restart loops.
pub const RESTART_LOOP: &str = "restart_loop";

/// What a rule looks at.
pub struct Look<'a> {
    /// The cgroup, for a rule of cgroups.
    pub line: Option<&'a Line>,
    /// The machine.
    pub machine: &'a Machine,
    /// Whether the analysis called it a leak three times in a row.
    pub leaks: bool,
}

/// What a threshold is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// A part, such as 90%.
    Part,
    /// A time, in seconds.
    Time,
    /// None.
    Fact,
}

/// A kind of rule.
pub struct RuleKind {
    /// Name in the file and in alerts.
    pub name: &'static str,
    /// What it says.
    pub about: &'static str,
    /// Whether it is about the machine.
    pub of_machine: bool,
    /// Whether it is on without a file.
    pub on: bool,
    /// What its threshold is.
    pub measure: Measure,
    /// Threshold that raises it, and the one that clears it.
    pub threshold: (f64, f64),
    /// Seconds it has to hold, and to be over.
    pub after_s: (u64, u64),
    /// Whether it holds, and then why in words.
    pub holds: fn(&Look<'_>, f64) -> Option<String>,
    /// How bad it is, in a measure that doubles when it is twice as bad. While it holds it is announced again as it gets worse.
    pub severity: fn(&Look<'_>) -> Option<f64>,
}

/// Announced from events as they come, not by a look at the board.
const FROM_EVENTS: RuleKind = RuleKind {
    name: "",
    about: "",
    of_machine: false,
    on: true,
    measure: Measure::Fact,
    threshold: (0.0, 0.0),
    after_s: (0, 300),
    holds: |_, _| None,
    severity: |_| None,
};

/// The kinds.
pub static TABLE: [RuleKind; 8] = [
    RuleKind {
        name: "near_limit",
        about: "what reclaim cannot take is above this part of the limit",
        of_machine: false,
        on: true,
        measure: Measure::Part,
        threshold: (0.9, 0.85),
        after_s: (30, 60),
        holds: |look, part| {
            let line = look.line?;
            let used = line.unreclaimable_used.filter(|used| *used >= part)?;
            Some(format!(
                "{} of {} ({:.0} %) cannot be reclaimed",
                bytes(line.unreclaimable?),
                bytes(line.limit?),
                used * 100.0
            ))
        },
        severity: |look| Some(1.0 / (1.0 - look.line?.unreclaimable_used?).max(0.001)),
    },
    RuleKind {
        name: "time_to_limit",
        about: "at its pace it reaches its limit within this time",
        of_machine: false,
        on: true,
        measure: Measure::Time,
        threshold: (900.0, 1800.0),
        after_s: (300, 120),
        holds: |look, seconds| {
            let line = look.line?;
            // From the lower half of its room everything looks close for a moment.
            let left = line.time_to_limit_s.filter(|left| *left <= seconds && line.unreclaimable_used > Some(0.5))?;
            let pace = line.growth_per_min?.max(0.0) as u64;
            let own = format!("its limit of {}", bytes(line.limit?));
            let what = if line.machine_first { "the end of the machine's memory" } else { &own };
            Some(format!("at {} a minute {what} is reached in {}", bytes(pace), span(left)))
        },
        severity: |look| Some(1.0 / look.line?.time_to_limit_s?.max(1.0)),
    },
    RuleKind {
        name: "growth",
        about: "it grows without bound: the analysis calls it a leak three times in a row",
        of_machine: false,
        on: true,
        measure: Measure::Fact,
        threshold: (0.0, 0.0),
        after_s: (0, 600),
        holds: |look, _| {
            let line = look.line?;
            let pace = line.growth_per_min.unwrap_or(0.0).max(0.0) as u64;
            look.leaks.then(|| format!("it grows by {} a minute and shows no bound", bytes(pace)))
        },
        severity: |look| Some(look.line?.unreclaimable? as f64),
    },
    RuleKind {
        name: "pressure",
        about: "tasks wait for memory for more than this part of the time",
        of_machine: false,
        on: true,
        measure: Measure::Part,
        threshold: (0.25, 0.1),
        after_s: (30, 60),
        holds: |look, part| {
            let pressure = look.line?.pressure.filter(|pressure| *pressure >= part)?;
            Some(format!("its tasks wait for memory {:.0} % of the time", pressure * 100.0))
        },
        severity: |look| look.line?.pressure,
    },
    RuleKind { name: OOM_KILL, about: "the OOM killer killed a process of it", ..FROM_EVENTS },
    RuleKind {
        name: RESTART_LOOP,
        about: "a workload was killed by the OOM killer in three lives: what they have in common",
        ..FROM_EVENTS
    },
    RuleKind {
        name: "limit_missing",
        about: "a container has no limit",
        of_machine: false,
        on: false,
        measure: Measure::Fact,
        threshold: (0.0, 0.0),
        after_s: (60, 60),
        holds: |look, _| {
            let line = look.line.filter(|line| line.container && line.own_limit == Some(false))?;
            Some(format!("it has no limit and may take all memory; it holds {}", bytes(line.current?)))
        },
        severity: |look| Some(look.line?.current? as f64),
    },
    RuleKind {
        name: "limits_above_machine",
        about: "the limits of all containers together are above this part of the memory of the machine or the WSL2 VM",
        of_machine: true,
        on: false,
        measure: Measure::Part,
        threshold: (1.0, 1.0),
        after_s: (60, 60),
        holds: |look, part| {
            let total = look.machine.total.filter(|total| *total > 0)?;
            let limits = look.machine.limits;
            let what = if look.machine.wsl.is_some() { "the WSL2 VM" } else { "the machine" };
            (limits as f64 > part * total as f64)
                .then(|| format!("the containers may take {}, {what} has {}", bytes(limits), bytes(total)))
        },
        severity: |look| Some(look.machine.limits as f64),
    },
];

fn span(seconds: f64) -> String {
    micros((seconds.max(0.0) * 1e6) as u64)
}

/// A rule that is on.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Its kind, as a line of [`TABLE`].
    pub kind: usize,
    /// Raises it.
    pub threshold: f64,
    /// Clears it.
    pub clear: f64,
    /// How long it has to hold, microseconds.
    pub after_us: i64,
    /// How long it has to be over, microseconds.
    pub clear_after_us: i64,
    cgroup: Option<GlobMatcher>,
}

impl Rule {
    /// Whether it is about a cgroup.
    pub fn wants(&self, path: &str) -> bool {
        self.cgroup.as_ref().is_none_or(|glob| glob.is_match(path))
    }
}

/// The rules that are on, and where their alerts go.
#[derive(Clone, Debug)]
pub struct Rules {
    /// The rules.
    pub list: Vec<Rule>,
    /// Command that is run for each alert, with its arguments.
    pub hook: Vec<String>,
    /// The hook is ended after this time.
    pub hook_timeout: Duration,
}

/// Why a file of rules cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not TOML, or an unknown name.
    #[error("{0}")]
    Toml(#[from] toml::de::Error),
    /// A value.
    #[error("rule {rule}: {why}")]
    Value {
        /// The rule.
        rule: String,
        /// What is wrong.
        why: String,
    },
}

#[derive(Deserialize)]
struct Document {
    #[serde(default)]
    hook: Vec<String>,
    hook_timeout: Option<String>,
    #[serde(flatten)]
    rules: BTreeMap<String, Changed>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Changed {
    on: Option<bool>,
    above: Option<String>,
    below: Option<String>,
    clear: Option<String>,
    #[serde(rename = "for")]
    after: Option<String>,
    clear_for: Option<String>,
    cgroup: Option<String>,
}

impl Default for Rules {
    fn default() -> Rules {
        let list = TABLE.iter().enumerate().filter(|(_, kind)| kind.on).map(|(at, kind)| rule(at, kind)).collect();
        Rules { list, hook: Vec::new(), hook_timeout: Duration::from_secs(10) }
    }
}

fn rule(at: usize, kind: &RuleKind) -> Rule {
    let us = |seconds: u64| seconds as i64 * 1_000_000;
    Rule {
        kind: at,
        threshold: kind.threshold.0,
        clear: kind.threshold.1,
        after_us: us(kind.after_s.0),
        clear_after_us: us(kind.after_s.1),
        cgroup: None,
    }
}

impl Rules {
    /// Reads a file of rules: what it does not name stays as it is.
    pub fn parse(text: &str) -> Result<Rules, Error> {
        let document: Document = toml::from_str(text)?;
        let mut rules = Rules { hook: document.hook, ..Rules::default() };
        let bad = |rule: &str| {
            let rule = rule.to_owned();
            move |why: String| Error::Value { rule, why }
        };
        if let Some(time) = &document.hook_timeout {
            rules.hook_timeout = parse_duration(time).map_err(bad("hook_timeout"))?;
        }
        for (name, changed) in document.rules {
            let Some((at, kind)) = TABLE.iter().enumerate().find(|(_, kind)| kind.name == name) else {
                let names: Vec<&str> = TABLE.iter().map(|kind| kind.name).collect();
                return Err(bad(&name)(format!("there is no such rule; there are {}", names.join(", "))));
            };
            rules.list.retain(|rule| rule.kind != at);
            if !changed.on.unwrap_or(true) {
                continue;
            }
            let mut rule = rule(at, kind);
            let measure = |text: &String| measure(kind.measure, text).map_err(bad(&name));
            if let Some(threshold) = changed.above.as_ref().or(changed.below.as_ref()) {
                rule.threshold = measure(threshold)?;
                // Unless it is said, it clears at the same distance as by default.
                rule.clear = rule.threshold * kind.threshold.1 / kind.threshold.0;
            }
            if let Some(clear) = &changed.clear {
                rule.clear = measure(clear)?;
            }
            let time = |text: &String| parse_duration(text).map(|time| time.as_micros() as i64).map_err(bad(&name));
            if let Some(after) = &changed.after {
                rule.after_us = time(after)?;
            }
            if let Some(after) = &changed.clear_for {
                rule.clear_after_us = time(after)?;
            }
            if let Some(glob) = &changed.cgroup {
                rule.cgroup = Some(Glob::new(glob).map_err(|error| bad(&name)(error.to_string()))?.compile_matcher());
            }
            rules.list.push(rule);
        }
        Ok(rules)
    }
}

fn measure(measure: Measure, text: &str) -> Result<f64, String> {
    match measure {
        Measure::Part => {
            let number: Result<f64, _> = text.trim().trim_end_matches('%').trim().parse();
            number.map(|number| number / 100.0).map_err(|_| format!("`{text}` is not a percentage such as 90%"))
        }
        Measure::Time => parse_duration(text).map(|time| time.as_secs_f64()),
        Measure::Fact => Err("this rule has no threshold".into()),
    }
}
