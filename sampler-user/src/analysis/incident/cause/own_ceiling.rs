//! It ran into a ceiling of its own, far below the limit: a heap limit of V8 or of a JVM, RLIMIT_AS. The kernel has no part in it.

use crate::analysis::incident::advice::Advice;
use crate::analysis::incident::cause::judgement::{Cause, CauseClass, HigherLimit, Judgement, Role};
use crate::analysis::incident::context::IncidentContext;
use crate::analysis::incident::death::describe::end;
use crate::analysis::incident::death::level::{level, used};
use crate::analysis::incident::death::process_end::{Death, LARGE};
use crate::analysis::incident::incident_ref::IncidentKind;
use crate::analysis::incident::trace::Trace;
use crate::model::fields::FieldId;
use crate::model::units::{bytes, micros};

pub const CAUSE: Cause = Cause {
    class: CauseClass::OwnCeiling,
    of: IncidentKind::Death,
    role: Role::Circumstance,
    higher_limit: HigherLimit::ChangesNothing,
    judge,
    explain,
    advise,
};

/// A runtime with a heap limit: its processes, the signals and codes it ends with when that is reached, and how sure each is.
struct Runtime {
    comms: &'static [&'static str],
    what: &'static str,
    /// Signals, also as codes above 128.
    signals: &'static [u8],
    codes: &'static [(u8, f64)],
    /// What raises the limit, or shows what fills it.
    setting: &'static str,
}

/// Where a program has a limit that is not known.
const OTHER_SETTING: &str = "its own setting of memory";

const RUNTIMES: [Runtime; 3] = [
    Runtime {
        // The newest name their main thread.
        comms: &["node", "nodejs", "MainThread", "node-MainThread", "electron", "deno"],
        what: "V8's heap limit (--max-old-space-size)",
        // abort, or a crash on purpose.
        signals: &[4, 5, 6, 11],
        codes: &[],
        setting: "NODE_OPTIONS=--max-old-space-size=MIB; --heapsnapshot-near-heap-limit=1 shows what fills it",
    },
    Runtime {
        comms: &["java"],
        what: "the JVM's heap limit (-Xmx)",
        signals: &[6],
        // -XX:+ExitOnOutOfMemoryError has a code of its own; any uncaught exception ends with 1.
        codes: &[(3, 0.9), (1, 0.65)],
        setting: "java -Xmx… or -XX:MaxRAMPercentage=75; -XX:+HeapDumpOnOutOfMemoryError shows what fills it",
    },
    Runtime {
        comms: &["python", "python3"],
        what: "a limit of address space",
        signals: &[],
        codes: &[(1, 0.4)],
        setting: OTHER_SETTING,
    },
];

/// The runtime that the process which ended belongs to, by its name.
fn runtime(context: &IncidentContext) -> Option<&'static Runtime> {
    let comm = comm(context)?;
    let is = |name: &&&str| comm == **name || (**name == "python3" && comm.starts_with("python3."));
    RUNTIMES.iter().find(|runtime| runtime.comms.iter().any(|name| is(&name)))
}

/// How sure it is, by the way it ended, that a process of this runtime reached its ceiling.
fn sure(runtime: &Runtime, death: &Death) -> Option<f64> {
    let by_signal = death.fatal().filter(|signal| runtime.signals.contains(signal)).map(|_| 0.88);
    let by_code = || runtime.codes.iter().find(|(code, _)| Some(*code) == death.code).map(|(_, sure)| *sure);
    by_signal.or_else(by_code)
}

/// The ceiling that a process of this name has, and how sure it is by the way it ended.
pub fn known(context: &IncidentContext) -> Option<(&'static str, f64)> {
    let runtime = runtime(context)?;
    Some((runtime.what, sure(runtime, context.death.as_ref()?)?))
}

/// The ceiling it most likely reached, and the setting that raises it.
fn ceiling(context: &IncidentContext) -> (String, &'static str) {
    let known = known(context);
    let address_limit = context.death.as_ref().and_then(|death| death.address_limit);
    if let Some(limit) = address_limit.filter(|_| known.is_none_or(|(_, sure)| sure < 0.6)) {
        let name = format!("its limit of address space (RLIMIT_AS) of {}", bytes(limit));
        return (name, "ulimit -v unlimited   systemd: LimitAS=infinity");
    }
    let name = known.map_or("a ceiling of its own", |(what, _)| what);
    (name.to_owned(), runtime(context).map_or(OTHER_SETTING, |runtime| runtime.setting))
}

/// The name of the process that ended; where nobody saw it end, that of the largest of its cgroup as it was sampled.
fn comm(context: &IncidentContext) -> Option<&str> {
    let death = context.death.as_ref()?;
    let size = |trace: &Trace| trace.at(FieldId::ProcessAnon, context.at_us).unwrap_or(0);
    let of = context.processes.iter().filter(|(path, ..)| death.cgroup.as_ref() == Some(path));
    let largest = || Some(of.max_by_key(|(.., trace)| size(trace))?.1.comm.as_str());
    death.comm.as_deref().or_else(largest)
}

fn judge(context: &IncidentContext, judgement: &mut Judgement) {
    let Some(death) = &context.death else { return };
    let by_itself = death.crashed() || (death.fatal().is_none() && death.code.is_some());
    if !by_itself || death.sender.as_ref().is_some_and(|sender| !sender.itself) {
        return;
    }
    let level = level(context);
    if let Some(limit) = death.address_limit {
        let held = death.peak_rss.unwrap_or(0);
        let words = format!("it may have {} of address space (RLIMIT_AS) and held up to {}", bytes(limit), bytes(held));
        if held * 3 >= limit { judgement.pro(0.88, words) } else { judgement.contra(0.4, words) }
    }
    if let Some((what, sure)) = known(context) {
        judgement.pro(sure, format!("{} is how it ends at {what}", end(death)));
    } else if level.flat_us >= 5_000_000 && level.grew && death.peak_rss >= Some(LARGE) {
        judgement.pro(0.55, "memory grew, stood at a level below its limit, and then it ended by itself");
    }
    if judgement.score == 0.0 {
        return;
    }
    let (end, top) = (level.end, level.top);
    if end * 10 < top * 8 {
        judgement.contra(0.3, format!("memory was {} at the end, far below the {} it had had", bytes(end), bytes(top)));
    } else if level.flat_us >= 1_000_000 {
        let flat = micros(level.flat_us as u64);
        judgement.speaks_for.push(format!("memory stood at its highest, {}, for the last {flat}", bytes(end)));
    } else {
        judgement.speaks_for.push(format!("memory was at its highest, {}", bytes(end)));
    }
    if end < 24 << 20 {
        judgement.contra(0.3, format!("{} is less than such a program begins with", bytes(end)));
    }
    match death.limit.or(level.limit) {
        Some(limit) if end * 100 >= limit * 92 => {
            judgement.contra(0.4, format!("the limit of its cgroup, {}, was near as well", bytes(limit)));
        }
        Some(limit) => judgement.speaks_for.push(format!("the limit of its cgroup, {}, was not reached", bytes(limit))),
        None => judgement.speaks_for.push("its cgroup has no limit".into()),
    }
    if death.lived_us.is_some_and(|lived| lived < 1_500_000) && death.code == Some(1) {
        judgement.contra(0.45, "it lived so short that a start which fails looks the same");
    }
}

fn explain(context: &IncidentContext) -> Option<String> {
    let (ceiling, _) = ceiling(context);
    Some(format!("; it stood at its own ceiling, {ceiling}, with {}", bytes(level(context).end)))
}

fn advise(context: &IncidentContext) -> Option<Advice> {
    let (_, setting) = ceiling(context);
    Some(Advice {
        what: format!(
            "Find what fills the heap of {}, or raise its own ceiling; raising the limit of the container alone changes nothing.",
            context.called_death()
        ),
        setting: Some(setting.into()),
        because: used(context),
    })
}
