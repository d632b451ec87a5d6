//! How much memory a process that ended had at its end, and before.

use crate::analysis::incident::context::{HOUR_US, IncidentContext, MINUTE_US};
use crate::model::fields::FieldId;
use crate::model::units::bytes;

/// The memory of a death's cgroup up to its end, without what could be reclaimed.
#[derive(Clone, Copy, Debug, Default)]
pub struct MemoryLevel {
    /// At the end.
    pub end: u64,
    /// The highest of its life, as far as it is known.
    pub top: u64,
    /// For how long it stood within a tenth of the end, microseconds.
    pub flat_us: i64,
    /// Whether it had been much less before.
    pub grew: bool,
    /// Limit of the cgroup, as it was read.
    pub limit: Option<u64>,
}

/// The memory of a death's cgroup up to its end.
pub fn level(context: &IncidentContext) -> MemoryLevel {
    let Some(death) = &context.death else { return MemoryLevel::default() };
    let alone = death.peak_rss.unwrap_or(0);
    let Some(trace) = death.cgroup.as_ref().and_then(|path| context.cgroups.get(path)) else {
        return MemoryLevel { end: alone, top: alone, ..MemoryLevel::default() };
    };
    let at = context.at_us;
    let cache = context.cache(trace);
    // Of this life only: a container that is started again has the cgroup of before.
    let born = death.lived_us.map_or(at - HOUR_US, |lived| at - lived.min(HOUR_US as u64) as i64);
    let mut points = trace.footprints(born, (at - MINUTE_US).max(born));
    let fresh = trace.between(FieldId::Current, born.max(at - MINUTE_US), at);
    points.extend(fresh.iter().map(|(time, value)| (*time, value.saturating_sub(cache))));
    // As it ends it gives its memory back, which a last reading may have seen.
    let end = points.iter().filter(|(time, _)| *time > at - 1_200_000).map(|(_, value)| *value).max();
    let end = end.or(points.last().map(|(_, value)| *value)).unwrap_or(alone);
    let top = points.iter().map(|(_, value)| *value).max().unwrap_or(end).max(end);
    let below = points.iter().rfind(|(time, value)| *time < at - 300_000 && *value * 10 < end * 9);
    let first = points.first().map_or(at, |(time, _)| *time);
    MemoryLevel {
        end,
        top,
        flat_us: at - below.map_or(first, |(time, _)| *time),
        grew: points.first().is_some_and(|(_, value)| *value * 3 < end * 2),
        limit: trace.limit(FieldId::Max, at),
    }
}

/// Memory then, of its limit.
pub fn held(context: &IncidentContext) -> Option<(u64, Option<u64>)> {
    let death = context.death.as_ref()?;
    let trace = death.cgroup.as_ref().and_then(|path| context.cgroups.get(path));
    let current = trace.and_then(|trace| trace.peak(FieldId::Current, context.at_us - 1_200_000, context.at_us));
    let usage = current.or(death.usage).or(death.peak_rss)?;
    Some((usage, death.limit.or_else(|| level(context).limit)))
}

/// What it used of its limit, as an advice gives for its reason.
pub fn used(context: &IncidentContext) -> String {
    match held(context) {
        Some((usage, Some(limit))) => format!("it used {} of {}", bytes(usage), bytes(limit)),
        Some((usage, None)) => format!("it used {}, and has no limit", bytes(usage)),
        None => "its memory was not recorded".into(),
    }
}
