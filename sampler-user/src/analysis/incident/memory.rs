//! What the memory was at the incident: by cgroup and part, by process, and of the machine.

use serde::{Deserialize, Serialize};

use crate::analysis::incident::context::IncidentContext;
use crate::model::evidence::MachineMemory;
use crate::model::fields::FieldId;
use crate::model::paths::is_below;

/// cgroups and processes that a page lists.
const MOST: usize = 12;

/// A cgroup's memory. Parts that were not read are absent.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct CgroupMemory {
    /// Its path; hostile.
    pub path: String,
    /// memory.current, or as the kernel's report has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current: Option<u64>,
    /// Its own limit; absent when it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
    /// Anonymous memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub anon: Option<u64>,
    /// Page cache, without shared memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<u64>,
    /// Shared memory and tmpfs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shmem: Option<u64>,
    /// All kernel memory, what follows included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernel: Option<u64>,
    /// Slab.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slab: Option<u64>,
    /// Sockets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sock: Option<u64>,
    /// Page tables.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pagetables: Option<u64>,
    /// Swap.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub swap: Option<u64>,
    /// Growth in the hour before (or since it is known) of what cannot be reclaimed; absent where only a kernel's log is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grew: Option<i64>,
    /// Whether the parts are from the kernel's report of the kill, and so exact.
    pub exact: bool,
    /// How old the parts are, microseconds before the incident; absent when exact.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub age_us: Option<i64>,
}

/// A process's memory.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ProcessMemory {
    /// Pid.
    pub pid: i32,
    /// Its name; hostile.
    pub comm: String,
    /// Resident memory.
    pub rss: u64,
    /// Swap.
    pub swap: u64,
    /// Its cgroup, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cgroup: Option<String>,
    /// Whether it was killed.
    pub killed: bool,
    /// `kernel log`, or `sampled`.
    pub source: String,
}

/// The machine's memory, right before.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct HostMemory {
    /// Memory there is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<u64>,
    /// What could be given out without swapping.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub available: Option<u64>,
    /// Swap there is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub swap_total: Option<u64>,
    /// Swap that is free.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub swap_free: Option<u64>,
    /// Sum of the limits of the cgroups that have one, each counted once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<u64>,
    /// The kernel's report of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reported: Option<Box<MachineMemory>>,
}

/// The cgroups that matter: owner of the limit, victim and members, largest first.
pub fn cgroups(context: &IncidentContext) -> Vec<CgroupMemory> {
    let limit = context.limit();
    let mut paths: Vec<&str> = context.members().iter().map(|(path, _)| *path).collect();
    paths.sort_by_key(|path| {
        let trace = &context.cgroups[*path];
        std::cmp::Reverse(trace.at(FieldId::Current, context.before_us()).unwrap_or(0))
    });
    paths.truncate(MOST);
    for extra in [limit.cgroup.as_deref(), context.victim_cgroup(), context.suspect.as_deref()].into_iter().flatten() {
        if !paths.contains(&extra) && context.cgroups.contains_key(extra) {
            paths.insert(0, extra);
        }
    }
    paths.into_iter().map(|path| one(context, path)).collect()
}

fn one(context: &IncidentContext, path: &str) -> CgroupMemory {
    let Some(trace) = context.cgroups.get(path) else {
        return CgroupMemory { path: path.to_owned(), ..CgroupMemory::default() };
    };
    let at = context.before_us();
    let get = |field| trace.at(field, at);
    let shmem = get(FieldId::Shmem);
    let mut memory = CgroupMemory {
        path: path.to_owned(),
        current: get(FieldId::Current),
        limit: trace.limit(FieldId::Max, at),
        anon: get(FieldId::Anon),
        file: get(FieldId::File).map(|file| file.saturating_sub(shmem.unwrap_or(0))),
        shmem,
        kernel: get(FieldId::Kernel),
        slab: get(FieldId::Slab).or_else(|| Some(get(FieldId::SlabReclaimable)? + get(FieldId::SlabUnreclaimable)?)),
        sock: get(FieldId::Sock),
        pagetables: get(FieldId::Pagetables),
        swap: get(FieldId::SwapCurrent),
        grew: context.logged.is_none().then(|| context.growth(path, trace, context.since_us())),
        exact: false,
        age_us: trace.last(FieldId::Anon, at).map(|(time, _)| at - time),
    };
    // The kernel prints the memory of the cgroup whose limit was hit.
    let report = context.kill().and_then(|kill| kill.report.as_ref());
    if let Some(report) = report.filter(|report| report.oom_memcg.as_deref() == Some(path) && !report.stats.is_empty())
    {
        let stat = |names: &[&str]| {
            let value = |name: &&str| report.stats.iter().find(|(key, _)| key == name).map(|(_, value)| *value);
            names.iter().find_map(value)
        };
        // v1 has other names, with those below it in `total_`.
        if let Some(anon) = stat(&["anon", "total_rss", "rss"]) {
            let shmem = stat(&["shmem", "total_shmem"]);
            memory.anon = Some(anon);
            memory.shmem = shmem.or(memory.shmem);
            memory.file = stat(&["file", "total_cache", "cache"])
                .map(|file| file.saturating_sub(shmem.unwrap_or(0)))
                .or(memory.file);
            memory.kernel = stat(&["kernel"]).or(report.kmem.map(|kmem| kmem.usage)).or(memory.kernel);
            memory.slab = stat(&["slab"]).or(memory.slab);
            memory.sock = stat(&["sock"]).or(memory.sock);
            memory.pagetables = stat(&["pagetables"]).or(memory.pagetables);
            (memory.exact, memory.age_us) = (true, None);
        }
        // v1 counts memory and swap together.
        let swap = report.swap.map(|swap| match report.kmem {
            Some(_) => swap.usage.saturating_sub(report.memory.map_or(0, |memory| memory.usage)),
            None => swap.usage,
        });
        memory.swap = memory.swap.or(swap.filter(|_| context.logged.is_some()));
        memory.current = report.memory.map(|usage| usage.usage).or(memory.current);
        memory.limit = report.memory.and_then(|usage| usage.limit).or(memory.limit);
    }
    memory
}

/// The processes below the limit: by the kernel's table of the kill, or else as they were sampled.
pub fn processes(context: &IncidentContext) -> Vec<ProcessMemory> {
    let victims: Vec<i32> = context.kills.iter().filter_map(|(_, kill)| Some(kill.victim.as_ref()?.pid)).collect();
    let sampled =
        |pid: i32| context.processes.iter().find(|(_, key, _)| key.pid == pid).map(|(path, _, _)| path.clone());
    let limit = context.limit();
    let mut all: Vec<ProcessMemory> = context
        .tasks()
        .iter()
        .map(|task| ProcessMemory {
            pid: task.pid,
            comm: task.comm.clone(),
            rss: task.rss,
            swap: task.swap,
            cgroup: sampled(task.pid),
            killed: victims.contains(&task.pid),
            source: "kernel log".into(),
        })
        .collect();
    if all.is_empty() {
        let inside = |path: &str| limit.cgroup.as_deref().is_none_or(|scope| is_below(path, scope));
        all.extend(context.processes.iter().filter(|(path, _, _)| inside(path)).filter_map(|(path, key, trace)| {
            let at = context.before_us();
            let get = |field| trace.at(field, at);
            let rss = get(FieldId::ProcessAnon)?
                + get(FieldId::ProcessFile).unwrap_or(0)
                + get(FieldId::ProcessShmem).unwrap_or(0);
            Some(ProcessMemory {
                pid: key.pid,
                comm: key.comm.clone(),
                rss,
                swap: get(FieldId::ProcessSwap).unwrap_or(0),
                cgroup: Some(path.clone()),
                killed: victims.contains(&key.pid),
                source: "sampled".into(),
            })
        }));
    }
    all.sort_by_key(|process| (std::cmp::Reverse(process.rss + process.swap), process.pid));
    all.truncate(MOST);
    all
}

/// The machine.
pub fn host(context: &IncidentContext) -> HostMemory {
    let get = |field| context.host.at(field, context.before_us());
    HostMemory {
        total: get(FieldId::MemTotal),
        available: get(FieldId::MemAvailable),
        swap_total: get(FieldId::SwapTotal),
        swap_free: get(FieldId::SwapFree),
        limits: limits(context, "/").map(|(sum, _)| sum),
        reported: context.kill().and_then(|kill| kill.report.as_ref()?.machine.clone()),
    }
}

/// Sum of the limits below a path, and of how many cgroups: of a cgroup with a limit those below it are not counted.
pub fn limits(context: &IncidentContext, scope: &str) -> Option<(u64, usize)> {
    let (mut sum, mut count) = (0u64, 0);
    let mut covered: Vec<&str> = Vec::new();
    for (path, trace) in context.cgroups.iter().filter(|(path, _)| is_below(path, scope) && *path != scope) {
        if covered.iter().any(|above| is_below(path, above)) || trace.to_us < context.at_us - 5_000_000 {
            continue;
        }
        if let Some(limit) = trace.limit(FieldId::Max, context.before_us()) {
            (sum, count) = (sum.saturating_add(limit), count + 1);
            covered.push(path);
        }
    }
    (count > 0).then_some((sum, count))
}
