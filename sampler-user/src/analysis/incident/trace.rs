//! One cgroup, or the machine, around an incident: each field as points in time.

use std::collections::HashMap;

use crate::model::fields::{FieldId, UNLIMITED};
use crate::model::recording::Series;
use crate::model::{fields, memory};

/// Points by field; times are wall-clock microseconds and rise.
#[derive(Clone, Debug, Default)]
pub struct Trace {
    points: HashMap<FieldId, Vec<(i64, u64)>>,
    /// First row.
    pub from_us: i64,
    /// Last row.
    pub to_us: i64,
}

impl Trace {
    /// Takes rows; those of a time that was seen already are left out, so that parts may overlap.
    pub fn feed(&mut self, series: &Series) {
        let (Some(&first), Some(&last)) = (series.time_us.first(), series.time_us.last()) else { return };
        if self.points.is_empty() {
            (self.from_us, self.to_us) = (first, last);
        }
        self.from_us = self.from_us.min(first);
        self.to_us = self.to_us.max(last);
        for field in fields::of(series.table) {
            let Some(column) = series.column(field) else { continue };
            let points = self.points.entry(field.id).or_default();
            let after = points.last().map_or(i64::MIN, |(time, _)| *time);
            points.extend(column.iter().map(|(row, value)| (series.time_us[row], value)).filter(|(t, _)| *t > after));
        }
    }

    /// Takes what was seen later.
    pub fn follow(&mut self, later: Trace) {
        if self.points.is_empty() {
            *self = later;
            return;
        }
        if later.points.is_empty() {
            return;
        }
        (self.from_us, self.to_us) = (self.from_us.min(later.from_us), self.to_us.max(later.to_us));
        for (field, points) in later.points {
            let known = self.points.entry(field).or_default();
            let after = known.last().map_or(i64::MIN, |(time, _)| *time);
            known.extend(points.into_iter().filter(|(time, _)| *time > after));
        }
    }

    /// Takes a value that was learned otherwise than by a row; one that was read at that very time stays.
    pub fn put(&mut self, field: FieldId, time_us: i64, value: u64) {
        if self.points.is_empty() {
            (self.from_us, self.to_us) = (time_us, time_us);
        }
        let points = self.points.entry(field).or_default();
        let at = points.partition_point(|(time, _)| *time < time_us);
        if points.get(at).is_none_or(|(time, _)| *time != time_us) {
            points.insert(at, (time_us, value));
        }
    }

    /// The points of a field.
    pub fn points(&self, field: FieldId) -> &[(i64, u64)] {
        self.points.get(&field).map_or(&[], Vec::as_slice)
    }

    /// The points from a time up to and with another.
    pub fn between(&self, field: FieldId, from_us: i64, to_us: i64) -> &[(i64, u64)] {
        let points = self.points(field);
        let (from, to) = (points.partition_point(|p| p.0 < from_us), points.partition_point(|p| p.0 <= to_us));
        points.get(from..to).unwrap_or(&[])
    }

    /// The value that was read last, up to and with a time, and when.
    pub fn last(&self, field: FieldId, at_us: i64) -> Option<(i64, u64)> {
        let points = self.points(field);
        points.partition_point(|p| p.0 <= at_us).checked_sub(1).map(|at| points[at])
    }

    /// The value at a time.
    pub fn at(&self, field: FieldId, at_us: i64) -> Option<u64> {
        self.last(field, at_us).map(|(_, value)| value)
    }

    /// The highest value between two times.
    pub fn peak(&self, field: FieldId, from_us: i64, to_us: i64) -> Option<u64> {
        self.between(field, from_us, to_us).iter().map(|(_, value)| *value).max()
    }

    /// How much a counter rose between two times, over its resets.
    pub fn rise(&self, field: FieldId, from_us: i64, to_us: i64) -> Option<u64> {
        let begin = self.last(field, from_us).map(|(time, _)| time).unwrap_or(from_us);
        let points = self.between(field, begin, to_us);
        (points.len() >= 2).then(|| points.windows(2).map(|pair| pair[1].1.saturating_sub(pair[0].1)).sum())
    }

    /// A limit at a time; `None` when there is none or it was not read.
    pub fn limit(&self, field: FieldId, at_us: i64) -> Option<u64> {
        self.at(field, at_us).filter(|limit| *limit != UNLIMITED)
    }

    /// What cannot be reclaimed at a time, by the parts that were read last; memory.current where none were.
    pub fn footprint(&self, at_us: i64) -> Option<u64> {
        memory::footprint(|field| self.at(field, at_us)).or_else(|| self.at(FieldId::Current, at_us))
    }

    /// The highest footprint between two times, bytes.
    pub fn footprint_peak(&self, from_us: i64, to_us: i64) -> Option<u64> {
        self.footprints(from_us, to_us).into_iter().map(|(_, value)| value).max()
    }

    /// Footprint at each time its parts were read, between two times.
    pub fn footprints(&self, from_us: i64, to_us: i64) -> Vec<(i64, u64)> {
        let field = if self.points(FieldId::Anon).is_empty() { FieldId::Current } else { FieldId::Anon };
        let times = self.between(field, from_us, to_us).iter().map(|(time, _)| *time);
        times.filter_map(|time| Some((time, self.footprint(time)?))).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::model::fields::Table;
    use crate::model::recording::Subject;
    use crate::model::sample::Row;

    #[test]
    fn sockets_are_held_where_the_kernel_sums_up_its_own_memory_too() {
        let mut row = Row::new(1);
        for (field, value) in [(FieldId::Anon, 100), (FieldId::Kernel, 40), (FieldId::Slab, 30), (FieldId::Sock, 1000)]
        {
            row.put(field.field(), value);
        }
        let subject = Arc::new(Subject { cgroup: "/a".into(), id: 1, process: None });
        let mut series = Series::new(subject, Table::Samples);
        series.push(10, &row);
        let (mut trace, mut track) = (Trace::default(), crate::analysis::leak::track::Track::default());
        trace.feed(&series);
        track.feed(&series);
        let analysis = track.lives[0].blocks.means(crate::analysis::leak::signal::Signal::Footprint as usize).next();
        assert_eq!(
            (trace.footprint(10), analysis),
            (Some(1140), Some(1140.0)),
            "the post-mortem and the analysis agree"
        );
    }

    #[test]
    fn points_are_found_by_time_and_absent_ones_are_not_made_up() {
        let subject = Arc::new(Subject { cgroup: "/a".into(), id: 1, process: None });
        let mut series = Series::new(subject, Table::Samples);
        for (time, values) in [
            (10, vec![(FieldId::Current, 5), (FieldId::EventsMax, 7)]),
            (20, vec![(FieldId::Current, 9), (FieldId::EventsMax, 9), (FieldId::Anon, 4), (FieldId::Kernel, 1)]),
            (30, vec![(FieldId::Current, 6), (FieldId::EventsMax, 2), (FieldId::Max, UNLIMITED)]),
        ] {
            let mut row = Row::new(1);
            values.into_iter().for_each(|(field, value)| row.put(field.field(), value));
            series.push(time, &row);
        }
        let mut trace = Trace::default();
        let mut first = series.clone();
        first.clip(0, 25);
        trace.feed(&first);
        let mut later = Trace::default();
        later.feed(&series);
        trace.follow(later);
        trace.follow(Trace::default());
        assert_eq!((trace.from_us, trace.to_us), (10, 30));
        trace.feed(&series);
        assert_eq!(trace.points(FieldId::Current).len(), 3, "what overlaps is taken once");
        assert_eq!((trace.at(FieldId::Current, 29), trace.at(FieldId::Current, 9)), (Some(9), None));
        assert_eq!(trace.rise(FieldId::EventsMax, 12, 30), Some(2), "a reset is no rise");
        assert_eq!(trace.rise(FieldId::EventsMax, 0, 10), None, "one point is no rise");
        assert_eq!(trace.limit(FieldId::Max, 30), None);
        assert_eq!((trace.footprint(15), trace.footprint(25)), (Some(5), Some(5)));
        assert_eq!(trace.peak(FieldId::Current, 0, 30), Some(9));
    }
}
