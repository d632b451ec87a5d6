//! Surveys a recording of one host in one pass over its samples.

use std::ops::Range;

use crate::analysis::survey::{self, Findings, Survey};
use crate::model::fields::{FieldId, Table};
use crate::model::recording::{Series, TimedEvent};
use crate::reading::names::Named;
use crate::store::scan::{Query, Recording};

/// What a recording shows.
pub struct Surveyed {
    /// Findings of the analysis.
    pub findings: Findings,
    /// The names in it, of all its time.
    pub named: Named,
    /// The events of the time that was asked for.
    pub events: Vec<TimedEvent>,
}

/// Surveys the cgroups that `is_wanted` in a time, wall-clock microseconds. `also` is given all samples as they pass by, with
/// `more` fields than the survey needs, and the names. `each_life`: each life is judged by itself too.
pub fn survey(
    recording: &mut Recording,
    is_wanted: &dyn Fn(&str) -> bool,
    time: &Range<i64>,
    (more, each_life): (&[FieldId], bool),
    mut also: impl FnMut(&Named, &Series),
) -> Surveyed {
    // A name is recorded when its cgroup appears, which may be before the time that is asked for.
    let events = recording.events(i64::MIN..i64::MAX);
    let mut named = Named::default();
    named.learn(&events);
    let events: Vec<_> = events.into_iter().filter(|event| time.contains(&event.time_us)).collect();
    let mut fields = survey::fields();
    fields.extend(more);
    fields.sort_unstable();
    fields.dedup();
    let mut survey = if each_life { Survey::of_each_life() } else { Survey::default() };
    let of_cgroups = Query { cgroups: is_wanted, time: time.clone(), fields: &fields, lags: false };
    recording.series(Table::Samples, &of_cgroups, |series| {
        survey.push(&series);
        also(&named, &series);
    });
    let of_host = Query { cgroups: &|_| true, time: time.clone(), fields: &survey::HOST_FIELDS, lags: false };
    recording.series(Table::Host, &of_host, |series| survey.push_host(&series));
    let findings = survey.finish(&events, is_wanted, &|path| named.who(path));
    Surveyed { findings, named, events }
}
