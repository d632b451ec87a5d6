//! More was promised together than there is.

use crate::analysis::incident::advice::{Advice, config_size, limit_setting, with_margin};
use crate::analysis::incident::cause::judgement::{Cause, CauseClass, HigherLimit, Judgement, Role};
use crate::analysis::incident::context::IncidentContext;
use crate::analysis::incident::incident_ref::IncidentKind;
use crate::analysis::incident::limit::Owner;
use crate::analysis::incident::memory;
use crate::model::fields::FieldId;
use crate::model::units::bytes;

pub const CAUSE: Cause = Cause {
    class: CauseClass::LimitsExceed,
    of: IncidentKind::OomKill,
    role: Role::Circumstance,
    higher_limit: HigherLimit::ChangesNothing,
    judge,
    explain,
    advise,
};

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

fn explain(context: &IncidentContext) -> Option<String> {
    let limit = context.limit();
    let (sum, count) = memory::limits(context, limit.cgroup.as_deref().unwrap_or("/")).unwrap_or((0, 0));
    Some(format!(": {count} cgroups may use {} together, and each stayed below its own limit", bytes(sum)))
}

fn advise(context: &IncidentContext) -> Option<Advice> {
    let (suspect, _) = context.suspect_trace()?;
    let limit = context.limit();
    let (scope, total) = (limit.cgroup.as_deref(), limit.limit.unwrap_or(0));
    let (sum, count) = memory::limits(context, scope.unwrap_or("/"))?;
    let each = (total as f64 * 0.9 / count as f64) as u64;
    let setting = match limit.owner {
        Owner::Machine if context.origin.wsl.is_some() => {
            format!(".wslconfig: [wsl2] memory={}", config_size(with_margin(sum)))
        }
        Owner::Machine => format!("each of the {count}: {}", limit_setting(context, suspect, each)),
        _ => limit_setting(context, scope.unwrap_or(suspect), with_margin(sum)),
    };
    Some(Advice {
        what: "Make the limits add up to less than the memory they share, or give the machine more.".into(),
        setting: Some(setting),
        because: format!("{count} cgroups may use {} in total; only {} is available", bytes(sum), bytes(total)),
    })
}
