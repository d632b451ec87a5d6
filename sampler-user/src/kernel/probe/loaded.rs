//! The probe while it is loaded.

use std::fs;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use aya::maps::{HashMap, MapData, PerCpuArray, PerCpuHashMap, RingBuf};
use aya::{Ebpf, EbpfLoader, Endianness};
use sampler_ebpf::{MISSING, Stalls, count};

use crate::kernel::cgroupfs::layout::{Layout, Version, own_cgroups};
use crate::kernel::cgroupfs::plan::Plan;
use crate::kernel::probe::attach::{attach, attach_walk, open_walk, statistics};
use crate::kernel::probe::btf::Btf;
use crate::kernel::probe::error::{Error, plain};
use crate::kernel::probe::events::{ProbeEvent, parse_event};
use crate::kernel::probe::feature::{AttachMethod, Attached, FEATURES};
use crate::kernel::probe::object::OBJECT;
use crate::kernel::probe::offsets;
use crate::kernel::probe::stalls::{PerCpuStalls, add, since};
use crate::kernel::probe::tracepoint_format::Format;
use crate::kernel::probe::walk::Walker;
use crate::model::sample::PassKind;

/// The loaded probe. Dropped, it is gone from the kernel.
pub struct Probe {
    /// Holds the programs and their links.
    ebpf: Ebpf,
    /// How far each feature came.
    pub attached: Vec<Attached>,
    /// Members the running kernel does not have.
    pub missing: Vec<String>,
    walkers: Vec<(&'static str, Walker)>,
    events: RingBuf<MapData>,
    counters: PerCpuArray<MapData, u64>,
    sampled: HashMap<MapData, u64, u8>,
    stalls: PerCpuHashMap<MapData, u64, PerCpuStalls>,
    reported_stalls: std::collections::HashMap<u64, sampler_ebpf::Stalls>,
    reported_lost: u64,
}

impl Probe {
    /// Loads the probe and attaches what the kernel lets it. Takes some 100 ms and, for that time, some 50 MiB.
    pub fn load(layout: &Layout) -> Result<Probe, Error> {
        Probe::load_by(layout, |_| true)
    }

    /// The same, trying only some methods: an older kernel's are to be tried on a newer one too.
    pub fn load_by(layout: &Layout, tries: impl Fn(AttachMethod) -> bool) -> Result<Probe, Error> {
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
        let kernel = types.thin(|name| {
            FEATURES.iter().flat_map(|feature| feature.fallbacks).any(|(_, method)| method.looks_up(name))
        });
        let kernel =
            aya::Btf::parse(&kernel, Endianness::default()).map_err(|error| Error::Load { why: why(&error) })?;
        loader.override_global("OFFSETS", found.offsets.as_bytes(), true);
        let mut ebpf = loader.load(OBJECT).map_err(|error| Error::Load { why: why(&error) })?;
        let mut attached = Vec::new();
        let mut walkers = Vec::new();
        for feature in &FEATURES {
            let mut done = Attached { name: feature.name, gives: feature.gives, method: None, refused: Vec::new() };
            for (program, method) in feature.fallbacks.iter().filter(|(_, method)| tries(*method)) {
                let tried = match method {
                    AttachMethod::OpenWalk(maps) => open_walk(&ebpf, program, *maps, &types, layout, &found)
                        .map(|walker| walkers.push((feature.name, walker))),
                    AttachMethod::CgroupIterator(maps) => {
                        attach_walk(&mut ebpf, program, *maps, &kernel, layout, &found)
                            .map(|walker| walkers.push((feature.name, walker)))
                    }
                    AttachMethod::Tracepoint(..) if found.offsets.tp_victim_pid == MISSING => {
                        Err(format.as_ref().err().cloned().unwrap_or_else(|| "its format has no pid".into()))
                    }
                    _ => attach(&mut ebpf, program, *method, &kernel, &types),
                };
                match tried {
                    Ok(()) => {
                        done.method = Some(*method);
                        break;
                    }
                    Err(why) => done.refused.push((*method, why)),
                }
            }
            attached.push(done);
        }
        attached.push(statistics(&walkers, &attached));
        if attached.iter().all(|feature| feature.method.is_none()) {
            let why = attached
                .iter()
                .flat_map(|feature| &feature.refused)
                .map(|(method, why)| format!("{method}: {why}"))
                .next();
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
            reported_stalls: std::collections::HashMap::new(),
            reported_lost: 0,
        })
    }

    /// The walk of a feature, `walk` or `walk_slow`, for the one thread that samples with it.
    pub fn take_walker(&mut self, feature: &str) -> Option<Walker> {
        let at = self.walkers.iter().position(|(name, _)| *name == feature)?;
        Some(self.walkers.swap_remove(at).1)
    }

    /// Files of a cgroup that are read all the same, because no walk gives all they hold. Asked before the walks are taken.
    pub fn files_left(&self, layout: &Layout) -> Vec<&'static str> {
        let mut plan = Plan::cgroups(PassKind::Full, layout, &[]);
        plan.cover(self.walkers.first().map_or(0, |(_, walker)| walker.covers()));
        plan.files.iter().filter(|file| !file.covered).map(|file| file.name()).collect()
    }

    /// Whether a feature is attached.
    pub fn has(&self, feature: &str) -> bool {
        self.attached.iter().any(|attached| attached.name == feature && attached.method.is_some())
    }

    /// Reports the processes of this cgroup from now on.
    pub fn sample(&mut self, id: u64) {
        // A full map keeps the others.
        let _ = self.sampled.insert(id, 1, 0);
    }

    /// The cgroup is gone.
    pub fn forget(&mut self, id: u64) {
        let _ = self.sampled.remove(&id);
        let _ = self.stalls.remove(&id);
        self.reported_stalls.remove(&id);
    }

    /// Events that were lost since the last call, because the agent did not read the ring in time.
    pub fn lost(&mut self) -> u64 {
        let lost = self.count(count::LOST);
        let new = lost.saturating_sub(self.reported_lost);
        self.reported_lost = lost;
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

    /// Takes all events that came; the descriptor of the probe can be read when there are some.
    pub fn read_events(&mut self, mut each: impl FnMut(ProbeEvent)) {
        while let Some(item) = self.events.next() {
            if let Some(event) = parse_event(&item) {
                each(event);
            }
        }
    }

    /// Stalls since the call before, by kernfs id of the cgroup.
    pub fn read_stalls(&mut self, mut each: impl FnMut(u64, Stalls)) {
        for id in self.stalls.keys().flatten().collect::<Vec<_>>() {
            let Ok(cpus) = self.stalls.get(&id, 0) else { continue };
            let now = cpus.iter().fold(Stalls::default(), |sum, cpu| add(sum, cpu.0));
            let before = self.reported_stalls.insert(id, now).unwrap_or_default();
            if now.count > before.count {
                each(id, since(now, before));
            }
        }
    }
}

impl AsFd for Probe {
    fn as_fd(&self) -> BorrowedFd<'_> {
        // SAFETY: the ring owns the descriptor and lives as long as the probe.
        unsafe { BorrowedFd::borrow_raw(self.events.as_raw_fd()) }
    }
}

impl std::fmt::Debug for Probe {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Probe").field("attached", &self.attached).finish_non_exhaustive()
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
