//! The kernel probe: eBPF programs that see every OOM kill, and read all cgroups in one system call. Optional: each of its
//! programs is tried alone, by a ladder of ways, and what the kernel refuses costs its own function and nothing else.

pub mod btf;
pub mod events;
mod kfunc;
pub mod offsets;
mod sys;
pub mod walk;

use std::fs;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use aya::maps::{HashMap, MapData, PerCpuArray, PerCpuHashMap, RingBuf};
use aya::programs::{BtfTracePoint, FEntry, Iter, KProbe, ProgramError, TracePoint};
use aya::{Ebpf, EbpfLoader, Endianness, include_bytes_aligned};
use sampler_ebpf::{MISSING, count};

use self::btf::Btf;
use self::events::PerCpuStalls;
use self::walk::Walker;
use crate::kernel::cgroupfs::layout::{Layout, Version, own_cgroups};
use crate::kernel::cgroupfs::plan::Plan;
use crate::model::sample::PassKind;

/// Built from `sampler-ebpf` by `cargo xtask ebpf`.
static OBJECT: &[u8] = include_bytes_aligned!("../../../probe/sampler.bpf.o");

/// Why there is no probe at all.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The kernel does not tell its types.
    #[error(
        "read {path}: {source}; the probe needs a kernel with CONFIG_DEBUG_INFO_BTF (5.8 or newer, on WSL2 5.15.74 or newer)",
        path = btf::VMLINUX
    )]
    Types {
        /// Why.
        source: std::io::Error,
    },
    /// The kernel refuses the probe's maps.
    #[error("load the probe: {why}; it needs CAP_BPF and CAP_PERFMON, or root, and a kernel since 5.8")]
    Load {
        /// What it said.
        why: String,
    },
    /// Every program was refused.
    #[error("attach the probe: {why}; `sampler doctor` tells more")]
    Nothing {
        /// What the kernel said to the first.
        why: String,
    },
}

/// A way to attach a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rung {
    /// The beginning of a kernel function, by BTF.
    Fentry(&'static str),
    /// The beginning of a kernel function, by a breakpoint.
    Kprobe(&'static str),
    /// A tracepoint, by BTF; it must have at least so many arguments.
    BtfTracepoint(&'static str, usize),
    /// A tracepoint, by its record; only its format file tells where its values are.
    Tracepoint(&'static str, &'static str),
    /// A walk over cgroups without a lock, with its maps: what is asked and the rows.
    OpenWalk([&'static str; 2]),
    /// A walk over cgroups by the kernel's iterator, with its maps.
    CgroupIterator([&'static str; 2]),
}

impl Rung {
    /// Whether aya looks for this typedef or function in the kernel's types to attach it.
    fn looks_up(&self, name: &[u8]) -> bool {
        match self {
            Rung::Fentry(function) => name == function.as_bytes(),
            Rung::BtfTracepoint(tracepoint, _) => name.strip_prefix(b"btf_trace_") == Some(tracepoint.as_bytes()),
            Rung::CgroupIterator(_) => name == b"bpf_iter_cgroup",
            Rung::Kprobe(_) | Rung::Tracepoint(..) | Rung::OpenWalk(_) => false,
        }
    }
}

impl std::fmt::Display for Rung {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Rung::Fentry(name) => write!(f, "fentry {name}"),
            Rung::Kprobe(name) => write!(f, "kprobe {name}"),
            Rung::BtfTracepoint(name, _) => write!(f, "BTF tracepoint {name}"),
            Rung::Tracepoint(group, name) => write!(f, "tracepoint {group}:{name}"),
            Rung::OpenWalk(_) => write!(f, "walk without a lock"),
            Rung::CgroupIterator(_) => write!(f, "cgroup iterator"),
        }
    }
}

/// One thing the probe does, and the ways to attach it, best first.
#[derive(Debug)]
pub struct Job {
    /// Short name, as reports have it.
    pub name: &'static str,
    /// What is lost without it.
    pub gives: &'static str,
    /// Program and way.
    pub ladder: &'static [(&'static str, Rung)],
}

/// All jobs, in the order they are attached: what feeds another comes before it.
pub static JOBS: [Job; 12] = [
    Job {
        name: "oom_request",
        gives: "limit, flags and order of the request that led to an OOM kill",
        ladder: &[
            ("oom_request_fentry", Rung::Fentry("oom_kill_process")),
            ("oom_request_kprobe", Rung::Kprobe("oom_kill_process")),
        ],
    },
    Job {
        name: "oom_signal",
        gives: "whether a victim was killed or was dying already",
        ladder: &[("oom_signal", Rung::BtfTracepoint("signal_generate", 3))],
    },
    Job {
        name: "oom_victim",
        gives: "every victim of the OOM killer",
        ladder: &[
            // The old form has the pid alone, and the record of the tracepoint has that too.
            ("oom_victim", Rung::BtfTracepoint("mark_victim", 2)),
            ("oom_victim_record", Rung::Tracepoint("oom", "mark_victim")),
        ],
    },
    Job {
        name: "cgroup_made",
        gives: "cgroups too brief for inotify",
        ladder: &[("cgroup_made", Rung::BtfTracepoint("cgroup_mkdir", 2))],
    },
    Job {
        name: "cgroup_removed",
        gives: "the peak of a cgroup when it is removed",
        ladder: &[("cgroup_removed", Rung::BtfTracepoint("cgroup_rmdir", 2))],
    },
    Job {
        name: "cgroup_joined",
        gives: "who is moved into a cgroup",
        ladder: &[("cgroup_joined", Rung::BtfTracepoint("cgroup_attach_task", 3))],
    },
    Job {
        name: "stall_begin",
        gives: "stalls for memory where the kernel has no PSI",
        ladder: &[("stall_begin", Rung::BtfTracepoint("mm_vmscan_memcg_reclaim_begin", 1))],
    },
    Job {
        name: "stall_end",
        gives: "stalls for memory where the kernel has no PSI",
        ladder: &[("stall_end", Rung::BtfTracepoint("mm_vmscan_memcg_reclaim_end", 1))],
    },
    Job {
        name: "process_exit",
        gives: "peak, exit code and signal of processes that end",
        ladder: &[("process_exit", Rung::BtfTracepoint("sched_process_exit", 1))],
    },
    Job {
        name: "signal_sent",
        gives: "who sent a signal that ended a process",
        ladder: &[("signal_sent", Rung::BtfTracepoint("signal_generate", 5))],
    },
    Job {
        name: "walk",
        gives: "all cgroups in one system call",
        ladder: &[
            ("open_walk_fast", Rung::OpenWalk(["WALK_FAST", "ROWS_FAST"])),
            ("walk_fast", Rung::CgroupIterator(["WALK_FAST", "ROWS_FAST"])),
        ],
    },
    Job {
        name: "walk_slow",
        gives: "the limits and peaks of all cgroups in one system call",
        ladder: &[
            ("open_walk_slow", Rung::OpenWalk(["WALK_SLOW", "ROWS_SLOW"])),
            ("walk_slow", Rung::CgroupIterator(["WALK_SLOW", "ROWS_SLOW"])),
        ],
    },
];

/// Name of what the walks also give on the newest kernels.
const STATISTICS: &str = "statistics";

/// How far a job came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attached {
    /// Name of the job.
    pub job: &'static str,
    /// What it gives.
    pub gives: &'static str,
    /// The rung that held.
    pub rung: Option<Rung>,
    /// The rungs that were tried before, and what the kernel said.
    pub refused: Vec<(Rung, String)>,
}

impl Attached {
    /// Whether something is lost: the file of the statistics says the same.
    pub fn lacks(&self) -> bool {
        self.rung.is_none() && self.job != STATISTICS
    }
}

/// The loaded probe. Dropped, it is gone from the kernel.
pub struct Probe {
    /// Holds the programs and their links.
    ebpf: Ebpf,
    /// How far each job came.
    pub attached: Vec<Attached>,
    /// Members the running kernel does not have.
    pub missing: Vec<String>,
    walkers: Vec<(&'static str, Walker)>,
    events: RingBuf<MapData>,
    counters: PerCpuArray<MapData, u64>,
    sampled: HashMap<MapData, u64, u8>,
    stalls: PerCpuHashMap<MapData, u64, PerCpuStalls>,
    told_stalls: std::collections::HashMap<u64, sampler_ebpf::Stalls>,
    told_lost: u64,
}

impl Probe {
    /// Loads the probe and attaches what the kernel lets it. Takes some 100 ms and, for that time, some 50 MiB.
    pub fn load(layout: &Layout) -> Result<Probe, Error> {
        Probe::load_by(layout, |_| true)
    }

    /// The same, trying only some ways: an older kernel's are to be tried on a newer one too.
    pub fn load_by(layout: &Layout, tries: impl Fn(Rung) -> bool) -> Result<Probe, Error> {
        let mut loader = EbpfLoader::new();
        // It has taken the kernel's types apart already, in small pieces: away with them before anything that stays is put between.
        loader.btf(None);
        let types = Btf::of_kernel().map_err(|source| Error::Types { source })?;
        let mut found = offsets::find(&types, layout.version, hierarchy());
        if layout.version == Version::V2 && types.function("bpf_mem_cgroup_page_state").is_some() {
            let lines = fs::read_to_string(layout.memory.join("memory.stat")).unwrap_or_default();
            let (items, absent) = offsets::statistics(&types, &lines);
            found.items.extend(items);
            found.absent.extend(absent);
        }
        let format = Format::of("oom", "mark_victim");
        if let Ok(format) = &format {
            found.offsets.tp_victim_pid = format.offset("pid");
            found.offsets.tp_victim_comm = format.offset("comm");
        }
        let why = |error: &dyn std::error::Error| plain(error);
        let kernel = types.thin(|name| JOBS.iter().flat_map(|job| job.ladder).any(|(_, rung)| rung.looks_up(name)));
        let kernel =
            aya::Btf::parse(&kernel, Endianness::default()).map_err(|error| Error::Load { why: why(&error) })?;
        loader.override_global("OFFSETS", found.offsets.as_bytes(), true);
        let mut ebpf = loader.load(OBJECT).map_err(|error| Error::Load { why: why(&error) })?;
        let mut attached = Vec::new();
        let mut walkers = Vec::new();
        for job in &JOBS {
            let mut done = Attached { job: job.name, gives: job.gives, rung: None, refused: Vec::new() };
            for (program, rung) in job.ladder.iter().filter(|(_, rung)| tries(*rung)) {
                let tried = match rung {
                    Rung::OpenWalk(maps) => open_walk(&ebpf, program, *maps, &types, layout, &found)
                        .map(|walker| walkers.push((job.name, walker))),
                    Rung::CgroupIterator(maps) => attach_walk(&mut ebpf, program, *maps, &kernel, layout, &found)
                        .map(|walker| walkers.push((job.name, walker))),
                    Rung::Tracepoint(..) if found.offsets.tp_victim_pid == MISSING => {
                        Err(format.as_ref().err().cloned().unwrap_or_else(|| "its format has no pid".into()))
                    }
                    _ => attach(&mut ebpf, program, *rung, &kernel, &types),
                };
                match tried {
                    Ok(()) => {
                        done.rung = Some(*rung);
                        break;
                    }
                    Err(why) => done.refused.push((*rung, why)),
                }
            }
            attached.push(done);
        }
        attached.push(statistics(&walkers, &attached));
        if attached.iter().all(|job| job.rung.is_none()) {
            let why = attached.iter().flat_map(|job| &job.refused).map(|(rung, why)| format!("{rung}: {why}")).next();
            return Err(Error::Nothing { why: why.unwrap_or_default() });
        }
        let mut map = |name: &str| ebpf.take_map(name).ok_or_else(|| Error::Load { why: format!("it has no {name}") });
        let bad = |error: aya::maps::MapError| Error::Load { why: plain(&error) };
        Ok(Probe {
            events: RingBuf::try_from(map("EVENTS")?).map_err(bad)?,
            counters: PerCpuArray::try_from(map("COUNTERS")?).map_err(bad)?,
            sampled: HashMap::try_from(map("SAMPLED")?).map_err(bad)?,
            stalls: PerCpuHashMap::try_from(map("STALLS")?).map_err(bad)?,
            ebpf,
            attached,
            missing: found.missing,
            walkers,
            told_stalls: std::collections::HashMap::new(),
            told_lost: 0,
        })
    }

    /// The walk of a job, `walk` or `walk_slow`, for the one thread that samples with it.
    pub fn take_walker(&mut self, job: &str) -> Option<Walker> {
        let at = self.walkers.iter().position(|(name, _)| *name == job)?;
        Some(self.walkers.swap_remove(at).1)
    }

    /// Files of a cgroup that are read all the same, because no walk gives all they hold. Asked before the walks are taken.
    pub fn files_left(&self, layout: &Layout) -> Vec<&'static str> {
        let mut plan = Plan::cgroups(PassKind::Full, layout, &[]);
        plan.cover(self.walkers.first().map_or(0, |(_, walker)| walker.covers()));
        plan.files.iter().filter(|file| !file.covered).map(|file| file.name()).collect()
    }

    /// Whether a job is attached.
    pub fn has(&self, job: &str) -> bool {
        self.attached.iter().any(|attached| attached.job == job && attached.rung.is_some())
    }

    /// Tells the processes of this cgroup from now on.
    pub fn sample(&mut self, id: u64) {
        // A full map leaves the others told.
        let _ = self.sampled.insert(id, 1, 0);
    }

    /// The cgroup is gone.
    pub fn forget(&mut self, id: u64) {
        let _ = self.sampled.remove(&id);
        let _ = self.stalls.remove(&id);
        self.told_stalls.remove(&id);
    }

    /// Events that were lost since the last call, because the agent did not read the ring in time.
    pub fn lost(&mut self) -> u64 {
        let lost = self.count(count::LOST);
        let new = lost.saturating_sub(self.told_lost);
        self.told_lost = lost;
        new
    }

    /// Makes the kernel take the time of programs, until what is returned is dropped. Kernel 5.8.
    pub fn take_time() -> Result<OwnedFd, Error> {
        aya::sys::enable_stats(aya::sys::Stats::RunTime).map_err(|error| Error::Load { why: plain(&error) })
    }

    /// How often the programs that watch others ran, and for how long, while the kernel took their time.
    pub fn ran(&self) -> (u64, Duration) {
        let infos = self.ebpf.programs().filter_map(|(_, program)| program.info().ok());
        infos.fold((0, Duration::ZERO), |(runs, time), info| (runs + info.run_count(), time + info.run_time()))
    }

    /// One of the probe's own counters, over all CPUs.
    pub fn count(&self, counter: u32) -> u64 {
        self.counters.get(&counter, 0).map_or(0, |values| values.iter().sum())
    }
}

impl std::fmt::Debug for Probe {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Probe").field("attached", &self.attached).finish_non_exhaustive()
    }
}

fn attach(ebpf: &mut Ebpf, name: &str, rung: Rung, kernel: &aya::Btf, types: &Btf) -> Result<(), String> {
    let program = ebpf.program_mut(name).ok_or("the object does not have it")?;
    let kind = |error: ProgramError| plain(&error);
    match rung {
        Rung::Fentry(function) => {
            let program: &mut FEntry = program.try_into().map_err(kind)?;
            program.load(function, kernel).map_err(kind)?;
            program.attach().map_err(kind)?;
        }
        Rung::Kprobe(function) => {
            let program: &mut KProbe = program.try_into().map_err(kind)?;
            program.load().map_err(kind)?;
            program.attach(function, 0).map_err(kind)?;
        }
        Rung::BtfTracepoint(tracepoint, least) => {
            match types.tracepoint(tracepoint) {
                None => return Err("this kernel does not have it".into()),
                Some(arguments) if arguments.len() < least => {
                    return Err(format!("its old form, with {} only", arguments.join(", ")));
                }
                Some(_) => {}
            }
            let program: &mut BtfTracePoint = program.try_into().map_err(kind)?;
            program.load(tracepoint, kernel).map_err(kind)?;
            program.attach().map_err(kind)?;
        }
        Rung::Tracepoint(group, tracepoint) => {
            let program: &mut TracePoint = program.try_into().map_err(kind)?;
            program.load().map_err(kind)?;
            program.attach(group, tracepoint).map_err(kind)?;
        }
        Rung::OpenWalk(_) | Rung::CgroupIterator(_) => return Err("is attached with its root".into()),
    }
    Ok(())
}

fn open_walk(
    ebpf: &Ebpf,
    name: &str,
    maps: [&str; 2],
    types: &Btf,
    layout: &Layout,
    found: &offsets::Found,
) -> Result<Walker, String> {
    can_walk(found)?;
    let program = kfunc::load(OBJECT, name, types, |name| array(ebpf, name).ok().map(|fd| fd.as_fd().as_raw_fd()))?;
    let [walk, rows] = [array(ebpf, maps[0])?, array(ebpf, maps[1])?];
    Walker::open(program, [walk.as_fd(), rows.as_fd()], &layout.memory, found)
        .map_err(|error| format!("walk {}: {error}", layout.memory.display()))
}

fn attach_walk(
    ebpf: &mut Ebpf,
    name: &str,
    maps: [&str; 2],
    kernel: &aya::Btf,
    layout: &Layout,
    found: &offsets::Found,
) -> Result<Walker, String> {
    can_walk(found)?;
    let program: &mut Iter = ebpf
        .program_mut(name)
        .ok_or("the object does not have it")?
        .try_into()
        .map_err(|error: ProgramError| plain(&error))?;
    program.load("cgroup", kernel).map_err(|error| plain(&error))?;
    let program: &Iter =
        ebpf.program(name).ok_or("the object does not have it")?.try_into().map_err(|_| "not a walk")?;
    let program = program.fd().map_err(|error| plain(&error))?;
    let [walk, rows] = [array(ebpf, maps[0])?, array(ebpf, maps[1])?];
    Walker::attach(program.as_fd(), [walk.as_fd(), rows.as_fd()], &layout.memory, found)
        .map_err(|error| format!("walk {}: {error}", layout.memory.display()))
}

/// What the walks also give where the kernel has functions for it.
fn statistics(walkers: &[(&str, Walker)], attached: &[Attached]) -> Attached {
    let mut job = Attached { job: STATISTICS, gives: "memory.stat without its file", rung: None, refused: Vec::new() };
    let walk = walkers.iter().find(|(_, walker)| walker.has_statistics()).map(|(name, _)| name);
    job.rung = walk.and_then(|name| attached.iter().find(|job| job.job == *name)?.rung);
    if job.rung.is_none() {
        let maps = ["WALK_SLOW", "ROWS_SLOW"];
        job.refused
            .push((Rung::OpenWalk(maps), "cgroup v2 and bpf_mem_cgroup_page_state of kernel 7.0 are needed".into()));
    }
    job
}

fn can_walk(found: &offsets::Found) -> Result<(), String> {
    match found.items.is_empty() {
        true => Err("the kernel's types have no memory cgroup of a known form".into()),
        false => Ok(()),
    }
}

/// A map of the object that is an array, as those of the walks and the offsets are.
fn array<'a>(ebpf: &'a Ebpf, name: &str) -> Result<&'a aya::maps::MapFd, String> {
    match ebpf.map(name) {
        Some(aya::maps::Map::Array(data)) => Ok(data.fd()),
        _ => Err(format!("the object has no {name}")),
    }
}

/// An error and its causes in one line, without the verifier's pages.
fn plain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("processed "));
    let first = lines.next().unwrap_or_default().trim_end_matches("Verifier output:").trim_end_matches([' ', '.']);
    let first: String = first.chars().take(160).collect();
    match lines.next_back() {
        Some(last) => format!("{first} … {}", last.chars().take(120).collect::<String>()),
        None => first,
    }
}

/// Number of the memory controller's hierarchy; 0 is v2.
fn hierarchy() -> u32 {
    let own = own_cgroups();
    let number = |line: &str| {
        let mut parts = line.splitn(3, ':');
        let (number, controllers) = (parts.next()?, parts.next()?);
        controllers.split(',').any(|name| name == "memory").then(|| number.parse().ok())?
    };
    own.lines().find_map(number).unwrap_or(0)
}

/// Where tracefs is mounted.
pub fn tracefs() -> Option<PathBuf> {
    ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"]
        .iter()
        .map(PathBuf::from)
        .find(|path| path.join("events").is_dir())
}

/// A tracepoint's format file: where the values of its record are.
#[derive(Debug)]
struct Format(String);

impl Format {
    fn of(group: &str, name: &str) -> Result<Format, String> {
        let root = tracefs().ok_or("tracefs is not mounted: mount -t tracefs tracefs /sys/kernel/tracing")?;
        let path = root.join("events").join(group).join(name).join("format");
        Format::read(&path)
    }

    fn read(path: &Path) -> Result<Format, String> {
        fs::read_to_string(path).map(Format).map_err(|error| format!("read {}: {error}", path.display()))
    }

    /// `\tfield:int pid;\toffset:8;\tsize:4;\tsigned:1;`
    fn offset(&self, name: &str) -> u32 {
        let of = |line: &str| {
            let (declaration, rest) = line.trim().strip_prefix("field:")?.split_once(';')?;
            let word = declaration.rsplit(' ').next()?.split('[').next()?;
            (word == name).then(|| rest.trim().strip_prefix("offset:")?.split(';').next()?.parse().ok())?
        };
        self.0.lines().find_map(of).unwrap_or(MISSING)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_format_file_tells_where_values_are() {
        let text = "name: mark_victim\nformat:\n\tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;\n\n\
            \tfield:int pid;\toffset:8;\tsize:4;\tsigned:1;\n\tfield:__data_loc char[] comm;\toffset:12;\tsize:4;\tsigned:0;\n";
        let format = Format(text.into());
        assert_eq!((format.offset("pid"), format.offset("comm"), format.offset("uid")), (8, 12, MISSING));
    }

    #[test]
    fn every_job_is_named_once_and_has_a_way() {
        let names: std::collections::HashSet<_> = JOBS.iter().map(|job| job.name).collect();
        assert_eq!(names.len(), JOBS.len());
        assert!(JOBS.iter().all(|job| !job.ladder.is_empty() && !job.gives.is_empty()));
    }
}
