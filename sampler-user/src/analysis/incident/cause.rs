//! The table of causes. Each looks at the same scene and says how likely it is, with what speaks for it and against it. The
//! most likely is the cause of the page; all are shown.

use serde::{Deserialize, Serialize};

use super::occurrence::Kind;
use super::scene::Scene;

mod burst;
mod cache;
mod crash;
mod exhausted;
mod exit_code;
mod forks;
mod killed;
mod leak;
mod limit_too_low;
mod limits_exceed;
mod load_spike;
mod neighbour;
mod not_memory;
mod oom_daemon;
mod own_ceiling;
mod stop_timeout;
mod storm;
pub(super) mod swap;
mod tmpfs;

pub use burst::rise as burst_rise;
pub use forks::tasks as fork_tasks;
pub use own_ceiling::{comm as ended_comm, known as own_ceiling};
pub use storm::step as storm_step;

/// A class of causes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Class {
    /// Memory grew without bound.
    Leak,
    /// The working set needs more than the limit.
    LimitTooLow,
    /// Much was allocated within a moment.
    Burst,
    /// Memory rose with the work.
    LoadSpike,
    /// Files in a tmpfs, or shared memory.
    Tmpfs,
    /// Page cache that could not be reclaimed.
    Cache,
    /// Another cgroup under the same limit took the memory.
    Neighbour,
    /// More was promised together than there is.
    LimitsExceed,
    /// Many cgroups rose in step.
    Storm,
    /// There is no swap, or it was used up.
    Swap,
    /// Processes or threads multiplied.
    Forks,
    /// The machine had nothing left as the recording ended.
    Exhausted,
    /// The recording ended, and memory was not why.
    NotMemory,
    /// Somebody killed a process: a person, a script, a runtime.
    Killed,
    /// A process was asked to end, did not, and was killed.
    StopTimeout,
    /// A program that watches the memory killed a process.
    OomDaemon,
    /// A process ran into a ceiling of its own, far below its limit.
    OwnCeiling,
    /// A process crashed.
    Crash,
    /// A process ended with a code that only its own output explains.
    ExitCode,
    /// No class has enough for it.
    Unknown,
}

impl Class {
    /// The word that JSON has for it.
    pub fn word(self) -> String {
        serde_json::to_value(self).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
    }
}

/// What is said of one class.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Judgement {
    /// The class.
    pub class: Class,
    /// How likely it is the cause, 0 to 1.
    pub score: f64,
    /// What speaks for it.
    #[serde(rename = "for")]
    pub speaks_for: Vec<String>,
    /// What speaks against it.
    pub against: Vec<String>,
}

impl Judgement {
    pub(super) fn new(class: Class) -> Judgement {
        Judgement { class, score: 0.0, speaks_for: Vec::new(), against: Vec::new() }
    }

    /// It is this likely, because.
    pub(super) fn pro(&mut self, score: f64, why: impl Into<String>) {
        self.score = self.score.max(score);
        self.speaks_for.push(why.into());
    }

    /// It is at most this likely, because.
    fn contra(&mut self, at_most: f64, why: impl Into<String>) {
        self.score = self.score.min(at_most);
        self.against.push(why.into());
    }
}

/// A class and how it is judged.
#[derive(Debug)]
pub struct Cause {
    /// The class.
    pub class: Class,
    /// Which incidents it may explain.
    pub of: Kind,
    /// Judges a scene.
    pub judge: fn(&Scene, &mut Judgement),
}

/// The causes.
pub const TABLE: [Cause; 19] = [
    neighbour::CAUSE,
    limits_exceed::CAUSE,
    storm::CAUSE,
    forks::CAUSE,
    tmpfs::CAUSE,
    leak::CAUSE,
    burst::CAUSE,
    limit_too_low::CAUSE,
    load_spike::CAUSE,
    cache::CAUSE,
    swap::CAUSE,
    exhausted::CAUSE,
    not_memory::CAUSE,
    stop_timeout::CAUSE,
    oom_daemon::CAUSE,
    killed::CAUSE,
    own_ceiling::CAUSE,
    crash::CAUSE,
    exit_code::CAUSE,
];

/// From this on a class is said to be the cause.
pub const ENOUGH: f64 = 0.5;

/// Judges each class, most likely first.
pub fn judge(scene: &Scene) -> Vec<Judgement> {
    let mut all: Vec<Judgement> = TABLE
        .iter()
        .filter(|cause| cause.of == scene.kind)
        .map(|cause| {
            let mut judgement = Judgement::new(cause.class);
            (cause.judge)(scene, &mut judgement);
            judgement
        })
        .collect();
    // The order of the table decides between equals.
    all.sort_by(|a, b| b.score.total_cmp(&a.score));
    all
}

/// The cause of the page.
pub fn primary(judgements: &[Judgement]) -> Class {
    let own = judgements.iter().find(|judgement| judgement.class != Class::Swap);
    own.filter(|judgement| judgement.score >= ENOUGH).map_or(Class::Unknown, |judgement| judgement.class)
}

/// What contributed beside it. Of the classes that say how one cgroup grew only the most likely counts: it is one growth.
pub fn contributing(judgements: &[Judgement], primary: Class) -> Vec<Class> {
    let of_growth = |class: Class| {
        use Class::{Burst, Cache, Forks, Leak, LimitTooLow, LoadSpike, Tmpfs};
        matches!(class, Leak | LimitTooLow | Burst | LoadSpike | Tmpfs | Cache | Forks)
    };
    let mut all: Vec<Class> = Vec::new();
    for Judgement { class, .. } in judgements.iter().filter(|judgement| judgement.score >= ENOUGH) {
        let told = of_growth(*class) && (of_growth(primary) || all.iter().any(|other| of_growth(*other)));
        if *class != primary && !told {
            all.push(*class);
        }
    }
    all
}
