//! The table of causes. Each looks at the same context and judges how likely it is, with what speaks for it and against it. The
//! most likely is the cause of the page; all are shown.

use crate::analysis::incident::advice::Advice;
use crate::analysis::incident::context::IncidentContext;
use crate::analysis::incident::incident_ref::IncidentKind;

mod judgement;
mod list;
mod phrase;
mod unknown;

pub use self::judgement::{Cause, CauseClass, HigherLimit, Judgement, Role};
use self::list::causes;

macro_rules! table {
    ($($module:ident $class:ident $about:literal;)+) => {
        $(mod $module;)+

        /// The causes; the order decides between equally likely ones.
        pub static TABLE: [Cause; [$(stringify!($module)),+].len()] = [$($module::CAUSE),+];
    };
}

causes!(table);

/// What stands for every class that is not in the table.
static UNKNOWN: Cause = unknown::CAUSE;

/// From this on a class is the cause.
pub const ENOUGH: f64 = 0.5;

/// The cause of a class.
pub fn of(class: CauseClass) -> &'static Cause {
    TABLE.iter().find(|cause| cause.class == class).unwrap_or(&UNKNOWN)
}

/// Judges each class that may explain the incident, most likely first.
pub fn judge(context: &IncidentContext) -> Vec<Judgement> {
    let mut all: Vec<Judgement> = TABLE
        .iter()
        .filter(|cause| cause.of == context.kind)
        .map(|cause| {
            let mut judgement = Judgement::new(cause.class);
            (cause.judge)(context, &mut judgement);
            judgement
        })
        .collect();
    all.sort_by(|a, b| b.score.total_cmp(&a.score));
    all
}

/// The cause of the page: the most likely one, if it has [`ENOUGH`] for it.
pub fn primary(judgements: &[Judgement]) -> CauseClass {
    let own = judgements.iter().find(|judgement| of(judgement.class).role != Role::Aggravation);
    own.filter(|judgement| judgement.score >= ENOUGH).map_or(CauseClass::Unknown, |judgement| judgement.class)
}

/// What contributed beside it, most likely first.
pub fn contributing(judgements: &[Judgement], primary: CauseClass) -> Vec<CauseClass> {
    let is_growth = |class: CauseClass| of(class).role == Role::Growth;
    let mut all: Vec<CauseClass> = Vec::new();
    for Judgement { class, .. } in judgements.iter().filter(|judgement| judgement.score >= ENOUGH) {
        let is_known_growth = is_growth(*class) && (is_growth(primary) || all.iter().any(|other| is_growth(*other)));
        if *class != primary && !is_known_growth {
            all.push(*class);
        }
    }
    all
}

/// What to change: the answer to the cause first, then those to what contributed.
pub fn advise(context: &IncidentContext, primary: CauseClass, contributing: &[CauseClass]) -> Vec<Advice> {
    match context.kind {
        // A process ends once: what else was likely is another reading of the same end.
        IncidentKind::Death => (of(primary).advise)(context).into_iter().collect(),
        IncidentKind::OomKill | IncidentKind::AbruptEnd if context.suspect_trace().is_none() => Vec::new(),
        IncidentKind::OomKill | IncidentKind::AbruptEnd => {
            let classes = std::iter::once(&primary).chain(contributing);
            classes.filter_map(|class| (of(*class).advise)(context)).collect()
        }
    }
}
