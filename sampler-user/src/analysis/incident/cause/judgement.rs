//! What a cause is: its class, which incidents it may explain, how it is judged, explained and answered.

use serde::{Deserialize, Serialize};

use crate::analysis::incident::advice::Advice;
use crate::analysis::incident::cause::list::causes;
use crate::analysis::incident::context::IncidentContext;
use crate::analysis::incident::incident_ref::IncidentKind;
use crate::model::word::word;

macro_rules! classes {
    ($($module:ident $class:ident $about:literal;)+) => {
        /// A class of causes.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(rename_all = "kebab-case")]
        pub enum CauseClass {
            $(
                #[doc = $about]
                $class,
            )+
            /// No class has enough for it.
            Unknown,
        }
    };
}

causes!(classes);

impl CauseClass {
    /// The word for it in JSON, such as `limit-too-low`.
    pub fn word(self) -> String {
        word(&self)
    }
}

/// The evidence for and against one class.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Judgement {
    /// The class.
    pub class: CauseClass,
    /// How likely it is the cause, 0 to 1.
    pub score: f64,
    /// What speaks for it.
    #[serde(rename = "for")]
    pub speaks_for: Vec<String>,
    /// What speaks against it.
    pub against: Vec<String>,
}

impl Judgement {
    /// No evidence yet.
    pub fn new(class: CauseClass) -> Judgement {
        Judgement { class, score: 0.0, speaks_for: Vec::new(), against: Vec::new() }
    }

    /// It is at least this likely, for this reason.
    pub fn pro(&mut self, score: f64, why: impl Into<String>) {
        self.score = self.score.max(score);
        self.speaks_for.push(why.into());
    }

    /// It is at most this likely, for this reason.
    pub fn contra(&mut self, at_most: f64, why: impl Into<String>) {
        self.score = self.score.min(at_most);
        self.against.push(why.into());
    }
}

/// The part that a cause plays in an incident.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// How one cgroup grew: of several such only the most likely counts, it is one growth.
    Growth,
    /// What else brings an incident about.
    Circumstance,
    /// What makes an incident worse, and never causes one alone.
    Aggravation,
}

/// Whether a higher limit is an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HigherLimit {
    /// The limit does not fit.
    Answers,
    /// It would only take longer to fill.
    Postpones,
    /// Another answer is needed.
    ChangesNothing,
}

/// A cause. A new one is a file with such a constant, and a line in `list.rs`.
#[derive(Debug)]
pub struct Cause {
    /// The class.
    pub class: CauseClass,
    /// Which incidents it may explain.
    pub of: IncidentKind,
    /// The part it plays.
    pub role: Role,
    /// Whether a higher limit is an answer.
    pub higher_limit: HigherLimit,
    /// Judges it by what was recorded around an incident.
    pub judge: fn(&IncidentContext, &mut Judgement),
    /// The last part of the verdict's sentence, punctuation in front of it included; `None` when the rest is enough.
    pub explain: fn(&IncidentContext) -> Option<String>,
    /// What to change.
    pub advise: fn(&IncidentContext) -> Option<Advice>,
}
