//! Notices from the kernel about cgroups: memory.events that changed, pressure triggers that fired, OOM on v1.

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::event::{EventfdFlags, epoll, eventfd};
use rustix::fs::{Mode, OFlags, open};

use crate::kernel::cgroupfs::handle::{BUFFER, Handle, Outcome};
use crate::kernel::cgroupfs::layout::{Layout, Version};
use crate::kernel::cgroupfs::plan::Plan;
use crate::kernel::cgroupfs::read::usage_v1;
use crate::model::evidence::Usage;
use crate::model::fields::{Field, FieldId};
use crate::model::sample::{PassKind, Row, SubjectRef};
use crate::model::time::mono_ns;

/// Stall within the window that fires, microseconds: a tenth of the time.
pub const STALL_US: u64 = 200_000;
/// Window, microseconds. A multiple of 2 s is the only one granted without CAP_SYS_RESOURCE, and needs no kernel thread.
pub const WINDOW_US: u64 = 2_000_000;
/// On v1 the notice comes before the counter moves: it is read again at the next multiples but one of these times, nanoseconds,
/// however many notices come.
const V1_AGAIN_NS: [u64; 3] = [20_000_000, 150_000_000, 500_000_000];
/// Counters that rise under pressure all the time are reported once in this time for each cgroup, nanoseconds.
const QUIET_NS: u64 = 1_000_000_000;

/// Something the kernel reported.
#[derive(Debug, PartialEq, Eq)]
pub enum Notice {
    /// memory.events counters rose.
    Events {
        /// Whose.
        cgroup: Arc<str>,
        /// When they were read before.
        since_ns: u64,
        /// Column and by how much it rose.
        rose: Vec<(&'static str, u64)>,
    },
    /// A limit was hit and nothing could be reclaimed, on v1. The kernel notifies the cgroup of the limit and all below it.
    Oom {
        /// Who was notified.
        cgroup: Arc<str>,
        /// What it held then, and its limit: one that lives for a moment may not be read otherwise.
        usage: Option<Usage>,
    },
    /// A pressure trigger fired; no cgroup means the host.
    Pressure {
        /// Whose.
        cgroup: Option<Arc<str>>,
    },
}

#[derive(Debug)]
struct Counters {
    cgroup: Arc<str>,
    handle: Handle,
    last: Row,
    read_ns: u64,
    reported_ns: u64,
}

#[derive(Debug)]
enum Source {
    Counters(Box<Counters>),
    Pressure { cgroup: Option<Arc<str>>, _fd: OwnedFd },
    V1Oom { counters: u64, eventfd: OwnedFd, folder: PathBuf },
}

/// All notices behind one descriptor.
#[derive(Debug)]
pub struct Notices {
    epoll: OwnedFd,
    sources: HashMap<u64, Source>,
    of_subject: HashMap<SubjectRef, Vec<u64>>,
    next_token: u64,
    plan: Plan,
    fields: Vec<&'static Field>,
    buffer: Box<[u8]>,
    again: BTreeSet<(u64, u64)>,
    version: Version,
}

impl Notices {
    /// No notices yet.
    pub fn new(layout: &Layout) -> io::Result<Notices> {
        let local = [
            FieldId::LocalHigh,
            FieldId::LocalMax,
            FieldId::LocalOom,
            FieldId::LocalOomKill,
            FieldId::LocalOomGroupKill,
        ];
        let fields: Vec<&'static Field> = local.iter().map(|id| id.field()).collect();
        Ok(Notices {
            epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?,
            sources: HashMap::new(),
            of_subject: HashMap::new(),
            next_token: 0,
            plan: Plan::cgroups(PassKind::Fast, layout, &local),
            fields,
            buffer: vec![0; BUFFER].into(),
            again: BTreeSet::new(),
            version: layout.version,
        })
    }

    /// Watches a cgroup. What the kernel refuses is not watched; the ticks see the counters anyway.
    pub fn add(&mut self, layout: &Layout, subject: SubjectRef, cgroup: &Arc<str>) {
        let mut handle = Handle::cgroup(&self.plan, layout, cgroup);
        let mut last = Row::new(subject);
        if handle.read(&mut self.plan, &mut self.buffer, &mut last) == Outcome::Gone {
            return;
        }
        let now = mono_ns();
        let token = self.token(subject);
        if self.version == Version::V2
            && let Some(fd) = handle.fds().next()
        {
            self.poll(fd, token, epoll::EventFlags::PRI);
        }
        let oom = match self.version {
            Version::V1 => v1_oom_eventfd(layout, cgroup, &handle),
            Version::V2 => None,
        };
        let counters = Counters { cgroup: cgroup.clone(), handle, last, read_ns: now, reported_ns: 0 };
        self.sources.insert(token, Source::Counters(Box::new(counters)));
        if let Some((eventfd, folder)) = oom {
            let oom_token = self.token(subject);
            self.poll(eventfd.as_fd(), oom_token, epoll::EventFlags::IN);
            self.sources.insert(oom_token, Source::V1Oom { counters: token, eventfd, folder });
        }
        let pressure = layout.folder(cgroup, "memory.pressure").map(|folder| folder.join("memory.pressure"));
        if let Some(fd) = pressure.and_then(|path| pressure_trigger(&path)) {
            let token = self.token(subject);
            self.poll(fd.as_fd(), token, epoll::EventFlags::PRI);
            self.sources.insert(token, Source::Pressure { cgroup: Some(cgroup.clone()), _fd: fd });
        }
    }

    /// Watches the pressure of the host; `false` when this kernel has none or refuses.
    pub fn add_host(&mut self) -> bool {
        let Some(fd) = pressure_trigger("/proc/pressure/memory".as_ref()) else { return false };
        let token = self.token(crate::model::sample::HOST);
        self.poll(fd.as_fd(), token, epoll::EventFlags::PRI);
        self.sources.insert(token, Source::Pressure { cgroup: None, _fd: fd });
        true
    }

    /// Watches a cgroup no more; gives a last notice if its counters rose and can still be read.
    pub fn remove(&mut self, subject: SubjectRef, notices: &mut Vec<Notice>) {
        for token in self.of_subject.remove(&subject).unwrap_or_default() {
            self.read_counters(token, notices, true);
            self.sources.remove(&token);
        }
    }

    /// Reads what is ready.
    pub fn read(&mut self, notices: &mut Vec<Notice>) {
        let mut events = Vec::with_capacity(64);
        let zero = rustix::time::Timespec { tv_sec: 0, tv_nsec: 0 };
        if epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut events), Some(&zero)).is_err() {
            return;
        }
        for event in events {
            let token = event.data.u64();
            match self.sources.get(&token) {
                Some(Source::Counters(_)) => self.read_counters(token, notices, false),
                Some(Source::Pressure { cgroup, .. }) => {
                    let gone = { event.flags }.contains(epoll::EventFlags::ERR);
                    if gone {
                        self.sources.remove(&token);
                    } else {
                        notices.push(Notice::Pressure { cgroup: cgroup.clone() });
                    }
                }
                Some(Source::V1Oom { counters, eventfd, folder }) => {
                    let _ = rustix::io::read(eventfd, &mut [0u8; 8][..]);
                    let (counters, now) = (*counters, mono_ns());
                    if let Some(Source::Counters(counters)) = self.sources.get(&counters) {
                        notices.push(Notice::Oom { cgroup: counters.cgroup.clone(), usage: usage_v1(folder) });
                    }
                    self.again
                        .extend(V1_AGAIN_NS.iter().map(|after| ((now + after).next_multiple_of(*after), counters)));
                }
                None => {}
            }
        }
    }

    /// When counters are to be read again without a notice.
    pub fn deadline(&self) -> Option<u64> {
        self.again.first().map(|(when, _)| *when)
    }

    /// Reads the counters whose time has come.
    pub fn read_due(&mut self, now: u64, notices: &mut Vec<Notice>) {
        let later = self.again.split_off(&(now + 1, 0));
        let due: BTreeSet<u64> =
            std::mem::replace(&mut self.again, later).into_iter().map(|(_, token)| token).collect();
        due.into_iter().for_each(|token| self.read_counters(token, notices, false));
    }

    /// Reads the counters of all cgroups, whether or not a notice came: once, before the end.
    pub fn read_all(&mut self, notices: &mut Vec<Notice>) {
        let tokens: Vec<u64> = self.sources.keys().copied().collect();
        tokens.into_iter().for_each(|token| self.read_counters(token, notices, true));
    }

    fn read_counters(&mut self, token: u64, notices: &mut Vec<Notice>, force: bool) {
        let Some(Source::Counters(counters)) = self.sources.get_mut(&token) else { return };
        let mut row = Row::new(counters.last.subject);
        // Reading also arms the next notice.
        if counters.handle.read(&mut self.plan, &mut self.buffer, &mut row) == Outcome::Gone {
            if let Some(Source::Counters(counters)) = self.sources.remove(&token)
                && let Some(fd) = counters.handle.fds().next()
            {
                let _ = epoll::delete(&self.epoll, fd);
            }
            return;
        }
        let now = mono_ns();
        let rose: Vec<(&'static str, u64)> = self
            .fields
            .iter()
            .filter_map(|field| Some((field.column, row.get(field)?.saturating_sub(counters.last.get(field)?))))
            .filter(|(_, by)| *by > 0)
            .collect();
        let kill = rose.iter().any(|(column, _)| column.contains("oom"));
        if rose.is_empty() || !(kill || force || now.saturating_sub(counters.reported_ns) >= QUIET_NS) {
            return;
        }
        notices.push(Notice::Events { cgroup: counters.cgroup.clone(), since_ns: counters.read_ns, rose });
        counters.last = row;
        counters.read_ns = now;
        counters.reported_ns = now;
    }

    fn token(&mut self, subject: SubjectRef) -> u64 {
        self.next_token += 1;
        self.of_subject.entry(subject).or_default().push(self.next_token);
        self.next_token
    }

    fn poll(&self, fd: BorrowedFd<'_>, token: u64, flags: epoll::EventFlags) {
        let _ = epoll::add(&self.epoll, fd, epoll::EventData::new_u64(token), flags);
    }
}

impl AsFd for Notices {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }
}

fn pressure_trigger(path: &Path) -> Option<OwnedFd> {
    let fd = open(path, OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty()).ok()?;
    // The kernel overwrites the last byte: it must be ours to lose.
    rustix::io::write(&fd, format!("some {STALL_US} {WINDOW_US}\0").as_bytes()).ok().map(|_| fd)
}

fn v1_oom_eventfd(layout: &Layout, cgroup: &str, handle: &Handle) -> Option<(OwnedFd, PathBuf)> {
    use std::os::fd::AsRawFd;
    let folder = layout.folder(cgroup, "memory.oom_control")?;
    let control = open(folder.join("cgroup.event_control"), OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty()).ok()?;
    let oom_control = handle.fds().next()?;
    let eventfd = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).ok()?;
    let line = format!("{} {}", eventfd.as_raw_fd(), oom_control.as_raw_fd());
    rustix::io::write(&control, line.as_bytes()).ok().map(|_| (eventfd, folder))
}
