//! Attaches one program by one method.

use std::os::fd::{AsFd, AsRawFd};

use aya::Ebpf;
use aya::programs::{BtfTracePoint, FEntry, Iter, KProbe, ProgramError, TracePoint};

use crate::kernel::cgroupfs::layout::Layout;
use crate::kernel::probe::btf::Btf;
use crate::kernel::probe::error::plain;
use crate::kernel::probe::feature::{AttachMethod, Attached, STATISTICS};
use crate::kernel::probe::object::OBJECT;
use crate::kernel::probe::walk::Walker;
use crate::kernel::probe::{kfunc, offsets};

/// Attaches a program that watches.
pub(super) fn attach(
    ebpf: &mut Ebpf,
    name: &str,
    method: AttachMethod,
    kernel: &aya::Btf,
    types: &Btf,
) -> Result<(), String> {
    let program = ebpf.program_mut(name).ok_or("the object does not have it")?;
    let kind = |error: ProgramError| plain(&error);
    match method {
        AttachMethod::Fentry(function) => {
            let program: &mut FEntry = program.try_into().map_err(kind)?;
            program.load(function, kernel).map_err(kind)?;
            program.attach().map_err(kind)?;
        }
        AttachMethod::Kprobe(function) => {
            let program: &mut KProbe = program.try_into().map_err(kind)?;
            program.load().map_err(kind)?;
            program.attach(function, 0).map_err(kind)?;
        }
        AttachMethod::BtfTracepoint(tracepoint, least) => {
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
        AttachMethod::Tracepoint(group, tracepoint) => {
            let program: &mut TracePoint = program.try_into().map_err(kind)?;
            program.load().map_err(kind)?;
            program.attach(group, tracepoint).map_err(kind)?;
        }
        AttachMethod::OpenWalk(_) | AttachMethod::CgroupIterator(_) => return Err("is attached with its root".into()),
    }
    Ok(())
}

/// Loads a walk without a lock.
pub(super) fn open_walk(
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

/// Attaches a walk by the kernel's iterator.
pub(super) fn attach_walk(
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
pub(super) fn statistics(walkers: &[(&str, Walker)], attached: &[Attached]) -> Attached {
    let mut feature =
        Attached { name: STATISTICS, gives: "memory.stat without its file", method: None, refused: Vec::new() };
    let walk = walkers.iter().find(|(_, walker)| walker.has_statistics()).map(|(name, _)| name);
    feature.method = walk.and_then(|name| attached.iter().find(|feature| feature.name == *name)?.method);
    if feature.method.is_none() {
        let maps = ["WALK_SLOW", "ROWS_SLOW"];
        feature.refused.push((
            AttachMethod::OpenWalk(maps),
            "cgroup v2 and bpf_mem_cgroup_page_state of kernel 7.0 are needed".into(),
        ));
    }
    feature
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
