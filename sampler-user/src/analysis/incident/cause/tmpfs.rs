//! Files in a tmpfs, or shared memory: not freed by the kill of a process.

use crate::analysis::incident::cause::{Cause, Class, Judgement};
use crate::analysis::incident::memory;
use crate::analysis::incident::occurrence::Kind;
use crate::analysis::incident::scene::Scene;
use crate::model::fields::FieldId;
use crate::model::units::bytes;

pub const CAUSE: Cause = Cause { class: Class::Tmpfs, of: Kind::OomKill, judge };

fn judge(scene: &Scene, says: &mut Judgement) {
    let Some((path, trace)) = scene.suspect_trace() else { return };
    let who = scene.called(path);
    let cgroup = memory::cgroups(scene).into_iter().find(|cgroup| cgroup.path == path);
    let Some(shmem) = cgroup.as_ref().and_then(|cgroup| cgroup.shmem) else { return };
    let current = cgroup.and_then(|cgroup| cgroup.current).unwrap_or(1).max(1);
    let first = trace.between(FieldId::Shmem, scene.since_of(path), scene.before_us()).first().map_or(0, |(_, v)| *v);
    let part = shmem as f64 / current as f64;
    let grew = shmem.saturating_sub(first);
    let words = format!(
        "{} of the {} of {who} is tmpfs or shared memory, {} of it new in the recorded time",
        bytes(shmem),
        bytes(current),
        bytes(grew)
    );
    if part > 0.4 && grew as f64 > 0.5 * scene.growth(path, trace, scene.since_us()).max(0) as f64 {
        says.pro(0.93, words);
        if trace.at(FieldId::Shmem, scene.at_us + 3_000_000).is_some_and(|after| after as f64 > 0.8 * shmem as f64) {
            says.pro(0.95, "the kill freed none of it");
        }
    } else {
        says.contra(0.2, words);
    }
}
