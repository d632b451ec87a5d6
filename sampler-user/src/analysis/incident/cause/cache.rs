//! Page cache that could not be reclaimed. Cache that can be never leads to a kill: it is taken back first.

use crate::analysis::incident::cause::{Cause, Class, Judgement};
use crate::analysis::incident::occurrence::Kind;
use crate::analysis::incident::scene::Scene;
use crate::model::fields::FieldId;
use crate::model::units::bytes;

pub const CAUSE: Cause = Cause { class: Class::Cache, of: Kind::OomKill, judge };

fn judge(scene: &Scene, says: &mut Judgement) {
    let Some(limit) = scene.limit().limit else { return };
    let at = scene.before_us();
    for (path, trace) in scene.members() {
        let get = |field| trace.at(field, at).unwrap_or(0);
        let stuck = get(FieldId::FileDirty) + get(FieldId::FileWriteback) + get(FieldId::Unevictable);
        let who = scene.called(path);
        if stuck as f64 > 0.3 * limit as f64 {
            says.pro(
                0.6,
                format!("{} of the files of {who} could not be reclaimed: dirty, under way or locked", bytes(stuck)),
            );
        }
        let peak = trace.peak(FieldId::File, at - 60_000_000, at).unwrap_or(0).saturating_sub(get(FieldId::Shmem));
        if peak as f64 > 0.15 * limit as f64 && stuck * 4 < peak {
            let now = scene.cache(trace);
            says.contra(
                0.1,
                format!(
                    "{who} had up to {} of page cache; the kernel takes it back before it kills, {} were left",
                    bytes(peak),
                    bytes(now)
                ),
            );
        }
    }
}
