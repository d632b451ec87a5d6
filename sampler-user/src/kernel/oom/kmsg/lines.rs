//! The lines of a report, each by its own form: `mm/oom_kill.c` and `mm/memcontrol.c` of 2.6.32 to 7.x. Names in them are untrusted and
//! may hold anything, the numbers behind them may not.

use crate::model::evidence::{Constraint, OomReport, Trigger, Usage, Victim};

/// What stands before `: Killed process`: `Memory cgroup out of memory`, or `Out of memory`. Kernels before 5.0 have it before
/// `Kill process` instead.
pub fn prefix(text: &str) -> Constraint {
    if text.contains("cgroup out of memory") {
        Constraint::Memcg
    } else if text.contains("ut of memory") {
        Constraint::None
    } else {
        Constraint::Unknown
    }
}

/// Whether a text is what the kernel writes before the name of a victim, and not a part of another line.
fn is_prefix(before: &str) -> bool {
    // The line that chose may be part of the same record.
    let before = before.rsplit('\n').next().unwrap_or(before);
    before.is_empty()
        || (before.ends_with(": ")
            && (before.starts_with("Memory cgroup out of memory") || before.starts_with("Out of memory")))
}

/// Bytes of a name of the kernel's (`TASK_COMM_LEN`, without its end).
const MOST_COMM: usize = 15;

/// `NAME invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=0`
pub fn trigger(text: &str) -> Option<Trigger> {
    // The name is in a further line, and may be anything.
    let (comm, rest) = text.rsplit_once(" invoked oom-killer:").filter(|_| !text.starts_with("CPU: "))?;
    let after = |key: &str| rest.rsplit_once(key).map(|(_, value)| value);
    let number = |key: &str| after(key)?.split([',', ' ', '\n']).next()?.parse().ok();
    // A longer one has something in front that is none of it: which part is the name is not known.
    let comm = if comm.chars().count() > MOST_COMM { "" } else { comm };
    Some(Trigger {
        comm: comm.to_owned(),
        gfp_mask: after("gfp_mask=").and_then(|v| v.split(", ").next()).unwrap_or_default().to_owned(),
        order: number("order=").unwrap_or(0),
        oom_score_adj: number("oom_score_adj=").unwrap_or(0),
    })
}

/// A pid and what follows it.
fn pid(text: &str) -> Option<(i32, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).filter(|end| *end > 0)?;
    Some((text[..end].parse().ok()?, &text[end..]))
}

/// `…: Killed process 103 (hog) total-vm:21544kB, anon-rss:20268kB, …`, `Killed process 103 (hog), UID 0, total-vm:…` of el7,
/// `Killed process 103, UID 0, (hog) total-vm:…` of el6. A line that was cut behind the name has no sizes.
pub fn killed(text: &str) -> Option<(Victim, Constraint)> {
    let (before, rest) = text.split_once("Killed process ").filter(|(before, _)| is_prefix(before))?;
    let (pid, rest) = pid(rest)?;
    let mut victim = Victim { pid, ..Victim::default() };
    let rest = match rest.strip_prefix(", UID ") {
        Some(uid) => {
            let (number, rest) = uid.split_once(", ")?;
            victim.uid = number.parse().ok()?;
            rest
        }
        None => rest.strip_prefix(' ')?,
    };
    let named = rest.strip_prefix('(')?;
    let (comm, tail) = [") total-vm:", "), UID ", ") vsz:"]
        .iter()
        .filter_map(|mark| named.rfind(mark).map(|at| (&named[..at], &named[at + 1..])))
        .max_by_key(|(comm, _)| comm.len())
        .or_else(|| named.rsplit_once(')'))
        .unwrap_or((named, ""));
    // Behind the name are the sizes, or the line was cut.
    let goes_on =
        [" total-vm:", ", UID ", " vsz:", "."].iter().any(|mark| tail.starts_with(mark) || mark.starts_with(tail));
    if !goes_on {
        return None;
    }
    victim.comm = comm.to_owned();
    sizes(tail, &mut victim);
    Some((victim, prefix(before)))
}

/// ` total-vm:21544kB, anon-rss:20268kB, file-rss:4kB, shmem-rss:648kB, UID:7 pgtables:76kB oom_score_adj:-5`
fn sizes(tail: &str, victim: &mut Victim) {
    // Older kernels write the owner in front of it.
    if let Some(uid) = tail.strip_prefix(", UID ").and_then(|rest| rest.split(',').next()?.parse().ok()) {
        victim.uid = uid;
    }
    let kib = |word: &str| word.strip_suffix("kB")?.parse::<u64>().ok()?.checked_mul(1024);
    let (mut total_vm, mut anon) = (None, None);
    for word in tail.split([' ', ',']).filter(|word| !word.is_empty()) {
        let Some((key, value)) = word.split_once(':') else { continue };
        let size = kib(value).unwrap_or(0);
        match key {
            "total-vm" | "vsz" => total_vm = kib(value),
            "anon-rss" => anon = kib(value),
            "file-rss" => victim.file_rss = size,
            "shmem-rss" => victim.shmem_rss = size,
            "pgtables" => victim.pgtables = size,
            "UID" => victim.uid = value.parse().unwrap_or(victim.uid),
            // The last of the line: a quote may stand behind it.
            "oom_score_adj" => {
                victim.oom_score_adj = value.trim_end_matches(['"', '\'', ']', ',']).parse().unwrap_or(0)
            }
            _ => {}
        }
    }
    // What was cut is not known, and half of it says nothing.
    if let (Some(total_vm), Some(anon)) = (total_vm, anon) {
        (victim.total_vm, victim.anon_rss) = (total_vm, anon);
    }
}

/// `…: Kill process 103 (hog) score 992 or sacrifice child`: whom the kernel chose; a child may die in its place.
pub fn chosen(text: &str) -> Option<(i32, String, Constraint)> {
    let (before, rest) = text.split_once("Kill process ").filter(|(before, _)| is_prefix(before))?;
    let (pid, rest) = pid(rest)?;
    let (comm, _) = rest.strip_prefix(" (")?.rsplit_once(") score ")?;
    Some((pid, comm.to_owned(), prefix(before)))
}

/// `Task in /a/b killed as a result of limit of /a`, of kernels before 5.0.
pub fn task_in(text: &str) -> Option<(&str, &str)> {
    text.strip_prefix("Task in ")?.split_once(" killed as a result of limit of ")
}

/// `Tasks in /a are going to be killed due to memory.oom.group set`
pub fn group(text: &str) -> Option<&str> {
    text.strip_prefix("Tasks in ")?.split_once(" are going to be killed due to memory.oom.group").map(|(path, _)| path)
}

/// What the line of a report that names the cgroups says of the victim.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Summary {
    /// Its pid.
    pub pid: Option<i32>,
    /// Its name.
    pub comm: Option<String>,
}

/// `constraint=…,nodemask=…,cpuset=…,mems_allowed=0[-1,3],oom_memcg=P|global_oom,task_memcg=P,task=NAME,pid=N,uid=N`. Paths and
/// names may hold commas, so the keys are looked for in their order, from the left for paths and from the right for numbers.
pub fn summary(text: &str, report: &mut OomReport) -> Summary {
    report.constraint = match text.strip_prefix("constraint=").and_then(|rest| rest.split(',').next()) {
        Some("CONSTRAINT_MEMCG") => Constraint::Memcg,
        Some("CONSTRAINT_NONE") => Constraint::None,
        Some("CONSTRAINT_CPUSET") => Constraint::Cpuset,
        Some("CONSTRAINT_MEMORY_POLICY") => Constraint::MemoryPolicy,
        _ => report.constraint,
    };
    let Some((before, rest)) = text.rsplit_once(",task_memcg=") else { return Summary::default() };
    report.oom_memcg = before.split_once(",oom_memcg=").map(|(_, path)| path.to_owned());
    // Where the line was cut, the path may be cut too.
    let Some((rest, pid)) = rest.rsplit_once(",pid=") else { return Summary::default() };
    let Some((path, comm)) = rest.rsplit_once(",task=") else { return Summary::default() };
    report.task_memcg = Some(path.to_owned());
    Summary { pid: self::pid(pid).map(|(pid, _)| pid), comm: Some(comm.to_owned()) }
}

/// Whether a summary is all there, to its last number.
pub fn is_whole(summary: &str) -> bool {
    summary.rsplit_once(",uid=").is_some_and(|(_, uid)| uid.starts_with(|c: char| c.is_ascii_digit()))
}

/// `memory: usage 20480kB, limit 20480kB, failcnt 29`, also of `swap`, `memory+swap` and `kmem`: whose it is, and the numbers.
pub fn usage(text: &str) -> Option<(&str, Usage)> {
    let (what, rest) = text.split_once(": usage ")?;
    if !matches!(what, "memory" | "swap" | "memory+swap" | "kmem") {
        return None;
    }
    let mut words = rest.split([' ', ',']).filter(|word| !word.is_empty());
    let kib = |word: &str| word.strip_suffix("kB")?.parse::<u64>().ok()?.checked_mul(1024);
    let usage = kib(words.next()?)?;
    let mut next = |key: &str| (words.next()? == key).then(|| words.next())?;
    let limit = kib(next("limit")?);
    let failcnt = next("failcnt").and_then(|count| count.parse().ok())?;
    // No limit prints as the largest number of pages.
    Some((what, Usage { usage, limit: limit.filter(|limit| *limit < 1 << 62), failcnt }))
}

/// The release of the kernel in `CPU: 2 PID: 2210 Comm: worker Not tainted 6.1.0-28-amd64 #1` or `Linux version 6.1.0-28-amd64 (…`.
pub fn kernel(text: &str) -> Option<&str> {
    if let Some(rest) = text.strip_prefix("Linux version ") {
        return rest.split(' ').next().filter(|release| release.starts_with(|c: char| c.is_ascii_digit()));
    }
    if !text.starts_with("CPU: ") && !text.starts_with("Pid: ") {
        return None;
    }
    let (_, rest) = text.rsplit_once("ainted")?;
    let mut words = rest.split(' ').filter(|word| !word.is_empty()).peekable();
    while let Some(word) = words.next() {
        let is_release = word.contains('.') && word.starts_with(|c: char| c.is_ascii_digit());
        if is_release && words.peek().is_none_or(|next| next.starts_with('#')) {
            return Some(word);
        }
    }
    None
}

/// How a report ends that kills nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// There was nobody to kill.
    NoneKillable,
    /// The one that was chosen was about to end.
    Exiting,
    /// The kernel stopped the machine, as it was set to (`vm.panic_on_oom`) or because it could not go on.
    Panic,
    /// The lines break off.
    Broken,
}

/// Whether a line says that the report ends without a victim.
pub fn end(text: &str) -> Option<End> {
    if text.contains("Kernel panic - not syncing") {
        let is_memory = ["ut of memory", "deadlocked on memory"].iter().any(|words| text.contains(words));
        return is_memory.then_some(End::Panic);
    }
    if text.contains("and no killable process") {
        return Some(End::NoneKillable);
    }
    (text.contains(": OOM victim ") && text.contains("already exiting")).then_some(End::Exiting)
}
