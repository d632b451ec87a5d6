//! More was promised together than there is.

use crate::analysis::incident::cause::{Cause, CauseClass, Judgement};
use crate::analysis::incident::context::IncidentContext;
use crate::analysis::incident::incident_ref::IncidentKind;
use crate::analysis::incident::{Owner, memory};
use crate::model::fields::FieldId;
use crate::model::units::bytes;

pub const CAUSE: Cause = Cause { class: CauseClass::LimitsExceed, of: IncidentKind::OomKill, judge };

fn judge(context: &IncidentContext, judgement: &mut Judgement) {
    let limit = context.limit();
    if limit.owner == Owner::Own || limit.owner == Owner::Unknown {
        return;
    }
    let scope = limit.cgroup.as_deref().unwrap_or("/");
    let Some(total) = limit.limit else { return };
    let Some((sum, count)) = memory::limits(context, scope).filter(|(_, count)| *count > 1) else {
        judgement.contra(0.1, "no two cgroups below have limits of their own that could add up");
        return;
    };
    if sum <= total {
        judgement
            .contra(0.05, format!("the {count} limits below add up to {}, less than the {}", bytes(sum), bytes(total)));
        return;
    }
    let since = context.since_us();
    let grown: Vec<i64> =
        context.members().iter().map(|(path, trace)| context.growth(path, trace, since).max(0)).collect();
    let (most, all) = (grown.iter().max().copied().unwrap_or(0), grown.iter().sum::<i64>());
    let below = context.members().iter().all(|(_, trace)| {
        let at = context.before_us();
        trace.limit(FieldId::Max, at).is_none_or(|own| trace.at(FieldId::Current, at).unwrap_or(0) < own)
    });
    let words =
        format!("the limits of {count} cgroups add up to {}, more than the {} there is", bytes(sum), bytes(total));
    if below && (most * 10 <= all * 6 || all == 0) {
        judgement.pro(0.92, words);
        judgement.speaks_for.push("each stayed below its own limit, and no single one grew alone".into());
    } else {
        judgement.speaks_for.push(words);
        judgement.contra(0.45, format!("one cgroup did {} of the growth of {}", bytes(most as u64), bytes(all as u64)));
    }
}
