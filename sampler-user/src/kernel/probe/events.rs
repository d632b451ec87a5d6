//! What the probe reports of its own accord, in the words of the agent.

use sampler_ebpf::{
    Exit, HAS_REQUEST, HAS_SIZES, IS_INIT, IS_LAST, Joined, KILL_UNKNOWN, Kind, Lifecycle, OomKill, Signal, WAS_KILLED,
    origin,
};

use crate::kernel::probe::offsets::page;
use crate::model::evidence::{Constraint, OomRequest, ProbeReport, SentSignal, SignalOrigin, Victim};
use crate::model::paths::from_bytes;

/// Something the probe saw. cgroups are kernfs ids: only the agent knows their paths.
#[derive(Clone, Debug, PartialEq)]
pub enum ProbeEvent {
    /// The OOM killer marked a victim.
    Kill {
        /// What is known, without paths.
        report: Box<ProbeReport>,
        /// Memory cgroup of the victim; 0 is unknown.
        victim_cgroup: u64,
        /// cgroup whose limit was hit; 0 is none.
        limit_cgroup: u64,
    },
    /// A cgroup was made.
    Made {
        /// When, monotonic nanoseconds.
        time_ns: u64,
        /// kernfs id.
        id: u64,
        /// Path below the root of its hierarchy.
        path: String,
    },
    /// A cgroup was removed.
    Removed {
        /// When, monotonic nanoseconds.
        time_ns: u64,
        /// kernfs id.
        id: u64,
        /// Path below the root of its hierarchy.
        path: String,
        /// Highest usage in bytes, and OOM kills.
        last: Option<(u64, u64)>,
    },
    /// A process was moved into a cgroup.
    Joined {
        /// When, monotonic nanoseconds.
        time_ns: u64,
        /// kernfs id of the cgroup.
        cgroup: u64,
        /// Pid in the initial pid namespace.
        pid: i32,
        /// Pid in its own pid namespace.
        own_pid: i32,
        /// Name; untrusted.
        comm: String,
    },
    /// A process of a sampled cgroup ended.
    Exit {
        /// When, monotonic nanoseconds.
        time_ns: u64,
        /// kernfs id of its memory cgroup.
        cgroup: u64,
        /// What is known of it.
        exit: ProcessExit,
    },
    /// A process of a sampled cgroup was sent a signal that may end it.
    Signal {
        /// kernfs id of its memory cgroup.
        cgroup: u64,
        /// Pid in the initial pid namespace.
        pid: i32,
        /// Pid in its own pid namespace.
        own_pid: i32,
        /// Name; untrusted.
        comm: String,
        /// Memory cgroup of the sender; 0 is unknown.
        sender_cgroup: u64,
        /// The signal, without the path of that.
        sent: SentSignal,
    },
}

/// A process that ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcessExit {
    /// Pid in the initial pid namespace.
    pub pid: i32,
    /// Pid in its own pid namespace.
    pub own_pid: i32,
    /// Name; untrusted.
    pub comm: String,
    /// Owner.
    pub uid: u32,
    /// How long it lived, microseconds.
    pub lived_us: u64,
    /// Highest resident memory, bytes.
    pub peak_rss: u64,
    /// Exit code, if it ended by itself.
    pub code: Option<u8>,
    /// Signal that killed it.
    pub signal: Option<u8>,
    /// Whether it was the first of a pid namespace.
    pub main: bool,
    /// Whether no other task was left in its cgroups.
    pub last: bool,
    /// Usage of its memory cgroup then, bytes.
    pub usage: Option<u64>,
    /// Limit of its memory cgroup, bytes; `None` without one.
    pub limit: Option<u64>,
    /// Its limit of address space, bytes; `None` without one.
    pub address_limit: Option<u64>,
}

/// Parses an event of the ring; `None` for one that this version does not know.
pub(super) fn parse_event(bytes: &[u8]) -> Option<ProbeEvent> {
    let kind = u64::from_ne_bytes(bytes.get(..8)?.try_into().ok()?);
    match Kind::from_number(kind)? {
        Kind::OomKill => kill(&take(bytes)?),
        kind @ (Kind::CgroupMade | Kind::CgroupRemoved) => {
            let event: Lifecycle = take(bytes)?;
            // A path that fills its room may go on: inotify finds the cgroup under its whole name.
            if event.path[event.path.len() - 2] != 0 {
                return None;
            }
            let (time_ns, id, path) = (event.time_ns, event.id, text(&event.path));
            let last = (event.has_last == 1).then(|| (event.peak.saturating_mul(page()), event.oom_kills));
            Some(match kind {
                Kind::CgroupMade => ProbeEvent::Made { time_ns, id, path },
                _ => ProbeEvent::Removed { time_ns, id, path, last },
            })
        }
        Kind::Joined => {
            let Joined { time_ns, cgroup, pid, own_pid, comm, .. } = take(bytes)?;
            Some(ProbeEvent::Joined { time_ns, cgroup, pid: pid as i32, own_pid: own_pid as i32, comm: text(&comm) })
        }
        Kind::Exit => {
            let event: Exit = take(bytes)?;
            let signal = (event.status & 0x7f) as u8;
            let exit = ProcessExit {
                pid: event.pid as i32,
                own_pid: event.own_pid as i32,
                comm: text(&event.comm),
                uid: event.uid,
                lived_us: event.time_ns.saturating_sub(event.start_ns) / 1000,
                peak_rss: event.peak.saturating_mul(page()),
                code: (signal == 0).then_some((event.status >> 8) as u8),
                signal: (signal != 0).then_some(signal),
                main: event.flags & IS_INIT != 0,
                last: event.flags & IS_LAST != 0,
                usage: (event.usage > 0).then(|| event.usage.saturating_mul(page())),
                limit: limit(event.limit).filter(|limit| *limit > 0),
                address_limit: (event.address_limit != u64::MAX).then_some(event.address_limit),
            };
            Some(ProbeEvent::Exit { time_ns: event.time_ns, cgroup: event.cgroup, exit })
        }
        Kind::Signal => {
            let event: Signal = take(bytes)?;
            let sent = SentSignal {
                time_ns: event.time_ns,
                signal: u8::try_from(event.signal).ok()?,
                code: event.code,
                origin: match event.origin {
                    origin::KERNEL => SignalOrigin::Kernel,
                    origin::CGROUP => SignalOrigin::CgroupKill,
                    origin::PARENT => SignalOrigin::ParentEnd,
                    _ => SignalOrigin::Process,
                },
                ignored: event.result == 1,
                sender_pid: event.sender_pid as i32,
                sender_uid: event.sender_uid,
                sender_comm: text(&event.sender_comm),
                sender_cgroup: None,
            };
            Some(ProbeEvent::Signal {
                cgroup: event.cgroup,
                pid: event.pid as i32,
                own_pid: event.own_pid as i32,
                comm: text(&event.comm),
                sender_cgroup: event.sender_cgroup,
                sent,
            })
        }
    }
}

/// A limit in pages as bytes: as large as the kernel writes no limit.
fn limit(pages: u64) -> Option<u64> {
    (pages < i64::MAX as u64 / page()).then(|| pages.saturating_mul(page()))
}

fn kill(event: &OomKill) -> Option<ProbeEvent> {
    let has = |flag| event.flags & flag != 0;
    let bytes = |pages: u64| pages.saturating_mul(page());
    let constraint = match event.constraint {
        0 => Constraint::None,
        1 => Constraint::Cpuset,
        2 => Constraint::MemoryPolicy,
        3 => Constraint::Memcg,
        _ => Constraint::Unknown,
    };
    let request = has(HAS_REQUEST).then(|| OomRequest {
        constraint,
        limit_cgroup: None,
        usage: bytes(event.usage),
        limit: limit(event.limit),
        gfp: event.gfp,
        order: event.order,
    });
    let report = ProbeReport {
        time_ns: event.time_ns,
        victim: Victim {
            pid: event.pid as i32,
            comm: text(&event.comm),
            uid: event.uid,
            total_vm: bytes(event.total_vm),
            anon_rss: bytes(event.anon),
            file_rss: bytes(event.file),
            shmem_rss: bytes(event.shmem),
            pgtables: event.pgtables,
            oom_score_adj: event.oom_score_adj.into(),
        },
        has_sizes: has(HAS_SIZES),
        swap: bytes(event.swap),
        own_pid: event.own_pid as i32,
        thread: event.thread as i32,
        victim_cgroup: None,
        trigger_pid: event.trigger_pid as i32,
        trigger_comm: text(&event.trigger_comm),
        request,
        killed: (!has(KILL_UNKNOWN)).then(|| has(WAS_KILLED)),
    };
    Some(ProbeEvent::Kill {
        report: Box::new(report),
        victim_cgroup: event.victim_cgroup,
        limit_cgroup: event.limit_cgroup,
    })
}

/// Types of which any bytes are a value.
///
/// # Safety
///
/// `repr(C)`, and only integers and arrays of integers in it.
unsafe trait Plain: Copy {}
// SAFETY: see the types; asserted there.
unsafe impl Plain for OomKill {}
// SAFETY: as above.
unsafe impl Plain for Lifecycle {}
// SAFETY: as above.
unsafe impl Plain for Joined {}
// SAFETY: as above.
unsafe impl Plain for Exit {}
// SAFETY: as above.
unsafe impl Plain for Signal {}

fn take<T: Plain>(bytes: &[u8]) -> Option<T> {
    // SAFETY: there are enough bytes, and any bytes are a value.
    (bytes.len() >= size_of::<T>()).then(|| unsafe { bytes.as_ptr().cast::<T>().read_unaligned() })
}

fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    from_bytes(&bytes[..end])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// No bytes of the ring make the agent panic.
        #[test]
        fn any_bytes_are_an_event_or_nothing(mut bytes in proptest::collection::vec(any::<u8>(), 0..400), kind in 0..8u64) {
            if let Some(head) = bytes.get_mut(..8) { head.copy_from_slice(&kind.to_ne_bytes()); }
            let event = parse_event(&bytes);
            prop_assert!(event.is_none() || bytes.len() >= size_of::<Joined>());
        }
    }

    #[test]
    fn a_cgroup_is_never_reported_by_a_path_that_was_cut() {
        let made = |path: &[u8]| {
            // SAFETY: any bytes are a value.
            let mut event: Lifecycle = unsafe { std::mem::zeroed() };
            event.kind = Kind::CgroupMade as u64;
            event.path[..path.len()].copy_from_slice(path);
            // SAFETY: integers without padding.
            parse_event(unsafe {
                std::slice::from_raw_parts(std::ptr::from_ref(&event).cast(), size_of::<Lifecycle>())
            })
        };
        let path = |event: Option<ProbeEvent>| match event {
            Some(ProbeEvent::Made { path, .. }) => Some(path),
            _ => None,
        };
        assert_eq!(path(made(b"/a\xff")), Some(from_bytes(b"/a\xff")));
        assert_eq!(path(made(&[b'a'; 254])), Some("a".repeat(254)));
        assert_eq!(path(made(&[b'a'; 255])), None, "255 bytes and their end: the name may be longer");
    }

    #[test]
    fn an_exit_has_a_code_or_a_signal() {
        let exit = |status| {
            // SAFETY: any bytes are a value.
            let mut event: Exit = unsafe { std::mem::zeroed() };
            (event.kind, event.status, event.peak) = (Kind::Exit as u64, status, 2);
            event.comm[..3].copy_from_slice(b"hog");
            // SAFETY: integers without padding.
            let bytes = unsafe { std::slice::from_raw_parts(std::ptr::from_ref(&event).cast(), size_of::<Exit>()) };
            match parse_event(bytes) {
                Some(ProbeEvent::Exit { exit, .. }) => (exit.code, exit.signal, exit.peak_rss / page(), exit.comm),
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(exit(9), (None, Some(9), 2, "hog".into()));
        assert_eq!(exit(3 << 8), (Some(3), None, 2, "hog".into()));
    }
}
