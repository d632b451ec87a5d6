//! After warm-up a tick allocates nothing. A binary of its own, because the allocator is counted for the whole process.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test panics and says why it skips")]

use std::alloc::{GlobalAlloc, Layout as Memory, System};
use std::cell::Cell;
use std::fs;
use std::sync::Arc;
use std::time::Duration;

use rtrb::RingBuffer;
use sampler::kernel::cgroupfs::handle::Handle;
use sampler::kernel::cgroupfs::layout::{Layout, Version};
use sampler::kernel::cgroupfs::plan::Plan;
use sampler::model::sample::PassKind;
use sampler::record::burst::BurstTrigger;
use sampler::record::fast::{Command, Fast, Outlet, ThreadState};
use sampler::record::sampler::{Sampler, SharedState, Target};
use sampler::record::slow::{Parts, Slow};

thread_local!(static COUNT: Cell<u64> = const { Cell::new(0) });

struct Counting;
// SAFETY: all calls go to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, memory: Memory) -> *mut u8 {
        COUNT.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promise.
        unsafe { System.alloc(memory) }
    }
    unsafe fn dealloc(&self, at: *mut u8, memory: Memory) {
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(at, memory) }
    }
}
#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// A folder that plays the cgroup: the reading is the same, and any machine can run the test.
fn cgroups(dir: &std::path::Path, n: usize) -> Layout {
    for i in 0..n {
        let folder = dir.join(format!("c{i}"));
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("memory.current"), format!("{}\n", i * 4096)).unwrap();
        fs::write(folder.join("memory.max"), "max\n").unwrap();
        fs::write(folder.join("memory.events"), "low 0\nhigh 0\nmax 7\noom 0\noom_kill 0\n").unwrap();
        fs::write(folder.join("memory.pressure"), "some avg10=0 total=5\nfull avg10=0 total=2\n").unwrap();
        fs::write(folder.join("memory.stat"), "anon 4096\nfile 8192\nunknown_key 3\npgfault 9\n").unwrap();
    }
    Layout { version: Version::V2, memory: dir.into(), unified: None, cpuacct: None, pids: None }
}

fn target(plan: &Plan, layout: &Layout, i: u32) -> Command {
    let cgroup = format!("/c{i}");
    Command::Add(Box::new(Target {
        subject: i + 1,
        id: u64::from(i) + 1,
        handle: Handle::cgroup(plan, layout, &cgroup),
        cgroup: cgroup.into(),
        state: Arc::new(SharedState::default()),
        trigger: BurstTrigger::default(),
        gone: false,
    }))
}

#[test]
fn ticks_allocate_nothing_after_warm_up() {
    let dir = tempfile::tempdir().unwrap();
    let layout = cgroups(dir.path(), 20);
    let shared = Arc::new(ThreadState::default());
    let (ring, mut rows) = RingBuffer::new(1 << 16);
    let (mut commands, inbox) = RingBuffer::new(64);
    let (graves, _graveyard) = RingBuffer::new(64);
    let plan = Plan::cgroups(PassKind::Fast, &layout, &[]);
    (0..20).for_each(|i| commands.push(target(&plan, &layout, i)).unwrap());
    let mut fast = Fast::new(
        Sampler::new(plan),
        Outlet { ring, shared: shared.clone() },
        inbox,
        graves,
        Duration::from_millis(1),
        Some(Duration::from_micros(100)),
    );

    let (slow_ring, mut slow_rows) = RingBuffer::new(1 << 16);
    let (mut slow_commands, slow_inbox) = RingBuffer::new(64);
    let (slow_graves, _slow_graveyard) = RingBuffer::new(64);
    let plan = Plan::cgroups(PassKind::Slow, &layout, &[]);
    (0..20).for_each(|i| slow_commands.push(target(&plan, &layout, i)).unwrap());
    let (messages, _inbox) = std::sync::mpsc::channel();
    let mut slow = Slow::new(
        Some(Sampler::new(plan)),
        Parts {
            outlet: Outlet { ring: slow_ring, shared },
            commands: slow_inbox,
            graveyard: slow_graves,
            messages,
            numbers: Arc::default(),
            layout,
            interval: Duration::from_millis(1),
            with_processes: true,
        },
    );

    let (mut ticks, mut allocated, mut words) = (0, 0, 0);
    for round in 0..400u64 {
        let before = COUNT.with(Cell::get);
        fast.turn(sampler::model::time::mono_ns());
        slow.turn(sampler::model::time::mono_ns());
        if round >= 20 {
            allocated += COUNT.with(Cell::get) - before;
            ticks += 1;
        }
        for ring in [&mut rows, &mut slow_rows] {
            let filled = ring.slots();
            words += filled;
            ring.read_chunk(filled).unwrap().commit_all();
        }
        std::thread::sleep(Duration::from_micros(300));
    }
    assert!(words > 20 * 100, "rows did come: {words} words");
    assert_eq!(allocated, 0, "in {ticks} ticks");
}
