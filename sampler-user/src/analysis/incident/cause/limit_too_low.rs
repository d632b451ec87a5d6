//! The working set needs more than the limit: it stood near it for long, without growing.

use crate::analysis::incident::Owner;
use crate::analysis::incident::cause::{Cause, Class, Judgement};
use crate::analysis::incident::occurrence::Kind;
use crate::analysis::incident::scene::Scene;
use crate::analysis::leak::linear::median;
use crate::analysis::lives::Course;
use crate::model::fields::FieldId;
use crate::model::units::bytes;

pub const CAUSE: Cause = Cause { class: Class::LimitTooLow, of: Kind::OomKill, judge };

/// Near is above this part of the limit.
const NEAR: f64 = 0.7;

fn judge(scene: &Scene, says: &mut Judgement) {
    let limit = scene.limit();
    if limit.owner == Owner::Machine {
        return;
    }
    let (Some(total), Some(scope)) = (limit.limit, limit.cgroup.as_deref()) else { return };
    let Some(trace) = scene.cgroups.get(scope) else { return };
    if let Some(said) = scene.suspect_loop().filter(|_| limit.owner == Owner::Own) {
        let does_not_fit = said.brief || matches!(said.course, Some(Course::Stands | Course::Flattens));
        if said.leaks() {
            says.contra(0.3, said.evidence());
            return;
        }
        if does_not_fit {
            says.pro(said.confidence, said.evidence());
            return;
        }
    }
    // The last seconds are the kill's own.
    let points = trace.footprints(scene.since_of(scope), scene.before_us() - 3_000_000);
    if points.len() < 8 {
        return;
    }
    let values: Vec<f64> = points.iter().map(|(_, v)| *v as f64).collect();
    let peaks: Vec<f64> =
        values.chunks(values.len().div_ceil(8)).map(|part| part.iter().copied().fold(0.0, f64::max)).collect();
    let near = peaks.iter().filter(|peak| **peak > NEAR * total as f64).count();
    let (early, late) = (median(&values[values.len() / 4..values.len() / 2]), median(&values[values.len() / 2..]));
    let rose = (late - early) / total as f64;
    let who = scene.called(scope);
    let hits = trace.rise(FieldId::EventsMax, scene.since_of(scope), scene.at_us - 3_000_000).unwrap_or(0);
    let words = format!(
        "{who} used up to {} of {} in {near} of 8 parts of the time before",
        bytes(peaks.iter().copied().fold(0.0, f64::max) as u64),
        bytes(total)
    );
    let (many, _) = crate::analysis::incident::cause::storm::step(scene, scene.before_us());
    if many >= crate::analysis::incident::cause::storm::MANY && limit.owner != Owner::Own {
        says.contra(0.4, format!("{words}, but these are peaks of many in step"));
    } else if near >= 5 && rose.abs() < 0.12 {
        says.pro(0.85, words);
        says.speaks_for.push(format!("its middle moved by no more than {:.0} % of the limit", 100.0 * rose.abs()));
        if hits > 0 {
            says.speaks_for.push(format!("it hit the limit {hits} times before"));
        }
    } else {
        says.contra(0.3, words);
        if rose.abs() >= 0.12 {
            says.against.push(format!("its middle moved by {:.0} % of the limit: it was not at rest", 100.0 * rose));
        }
    }
}
