//! More was promised together than there is.

use crate::analysis::incident::cause::{Cause, Class, Judgement};
use crate::analysis::incident::occurrence::Kind;
use crate::analysis::incident::scene::Scene;
use crate::analysis::incident::{Owner, memory};
use crate::model::fields::FieldId;
use crate::model::units::bytes;

pub const CAUSE: Cause = Cause { class: Class::LimitsExceed, of: Kind::OomKill, judge };

fn judge(scene: &Scene, says: &mut Judgement) {
    let limit = scene.limit();
    if limit.owner == Owner::Own || limit.owner == Owner::Unknown {
        return;
    }
    let scope = limit.cgroup.as_deref().unwrap_or("/");
    let Some(total) = limit.limit else { return };
    let Some((sum, count)) = memory::limits(scene, scope).filter(|(_, count)| *count > 1) else {
        says.contra(0.1, "no two cgroups below have limits of their own that could add up");
        return;
    };
    if sum <= total {
        says.contra(0.05, format!("the {count} limits below add up to {}, less than the {}", bytes(sum), bytes(total)));
        return;
    }
    let since = scene.since_us();
    let grown: Vec<i64> = scene.members().iter().map(|(path, trace)| scene.growth(path, trace, since).max(0)).collect();
    let (most, all) = (grown.iter().max().copied().unwrap_or(0), grown.iter().sum::<i64>());
    let below = scene.members().iter().all(|(_, trace)| {
        let at = scene.before_us();
        trace.limit(FieldId::Max, at).is_none_or(|own| trace.at(FieldId::Current, at).unwrap_or(0) < own)
    });
    let words =
        format!("the limits of {count} cgroups add up to {}, more than the {} there is", bytes(sum), bytes(total));
    if below && (most * 10 <= all * 6 || all == 0) {
        says.pro(0.92, words);
        says.speaks_for.push("each stayed below its own limit, and no single one grew alone".into());
    } else {
        says.speaks_for.push(words);
        says.contra(0.45, format!("one cgroup did {} of the growth of {}", bytes(most as u64), bytes(all as u64)));
    }
}
