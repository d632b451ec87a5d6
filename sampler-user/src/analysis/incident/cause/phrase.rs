//! Parts of sentences that several causes have in common.

use crate::analysis::incident::context::IncidentContext;
use crate::model::fields::FieldId;
use crate::model::units::bytes;

/// ` after leaking` of the victim itself, or else `` after `batch` had leaked``.
pub fn after(context: &IncidentContext, own: &str, other: &str) -> Option<String> {
    let (path, _) = context.suspect_trace()?;
    let is_victim = context.victim_cgroup() == Some(path);
    Some(if is_victim { format!(" after {own}") } else { format!(" after `{}` {other}", context.called(path)) })
}

/// How much of the machine's memory was available as a recording ended.
pub fn available(context: &IncidentContext) -> String {
    let get = |field| context.host.at(field, context.at_us);
    match (get(FieldId::MemAvailable), get(FieldId::MemTotal)) {
        (Some(available), Some(total)) => format!("{} of {} were available", bytes(available), bytes(total)),
        _ => "the machine's memory was not recorded".into(),
    }
}
