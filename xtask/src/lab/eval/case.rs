//! A series with what is true of it, wherever it is from.

use sampler::analysis::leak::detectors::Class;
use sampler::analysis::leak::track::Track;
use sampler::analysis::leak::verdict::{Verdict, judge};
use sampler::model::fields::FieldId;
use sampler::model::recording::Series;

/// What is true of a series. Times are parts of its span.
#[derive(Clone, Debug)]
pub struct Truth {
    pub class: Class,
    /// What may be said of it as well.
    pub also: Vec<Class>,
    /// Kinds of memory that grow; empty when that is not judged.
    pub components: Vec<String>,
    /// Bytes a second at the end.
    pub rate: Option<f64>,
    /// When the growth begins.
    pub onset: f64,
    /// When it reaches its limit; above 1 after the end. Absent when that depends on chance.
    pub oom: Option<f64>,
    /// About when, by its mean pace, where it is not known better.
    pub about: Option<f64>,
    /// Infinity without one.
    pub limit: f64,
}

impl Truth {
    /// Whether a class may be said.
    pub fn allows(&self, class: Class) -> bool {
        class == self.class || self.also.contains(&class)
    }
}

#[derive(Clone, Debug)]
pub struct Case {
    pub name: String,
    pub mechanism: String,
    pub truth: Truth,
    /// Its rows in the order of time, from the begin on; what comes after the end is only seen by the last look.
    pub series: Vec<Series>,
    pub begin_us: i64,
    pub end_us: i64,
}

impl Case {
    pub fn span_s(&self) -> f64 {
        (self.end_us - self.begin_us) as f64 / 1e6
    }

    pub fn is_leak(&self) -> bool {
        self.truth.class == Class::Leak
    }

    /// What is said when this part was seen.
    pub fn verdict(&self, part: f64) -> Option<Verdict> {
        let until = self.begin_us + ((self.end_us - self.begin_us) as f64 * part) as i64;
        let mut track = Track::default();
        for series in &self.series {
            if part >= 1.0 {
                track.feed(series);
            } else if series.time_us.first().is_some_and(|first| *first < until) {
                let mut seen = series.clone();
                seen.clip(i64::MIN, until);
                track.feed(&seen);
            }
        }
        let limit = self.truth.limit.is_finite().then_some(("", self.truth.limit));
        judge(&mut track, limit)
    }

    /// memory.current, for rules that know nothing else; seconds a value.
    pub fn current(&self) -> (Vec<f64>, f64) {
        let mut values = Vec::new();
        for series in &self.series {
            let column = series.column(FieldId::Current.field());
            values.extend(column.into_iter().flat_map(|c| c.iter().map(|(_, value)| value as f64)));
        }
        let step_s = self.span_s() / values.len().max(1) as f64;
        (values, step_s)
    }
}
