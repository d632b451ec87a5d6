//! What is run, and what is true of it.

use sampler::analysis::detectors::Class;

/// The program and its language.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    C,
    Python,
    Node,
    Java,
    Redis,
    Postgres,
    Nginx,
}

/// The limit of the cgroup.
#[derive(Clone, Copy, Debug)]
pub enum Limit {
    None,
    /// MiB, whatever it does.
    Mib(u64),
    /// Reached when this part of the span has passed; the level at the begin is about this, MiB.
    After(f64, f64),
    /// MiB; the program is started again whenever it is killed.
    Restarts(u64),
}

/// One mechanism, run once for each pace.
#[derive(Debug)]
pub struct Plan {
    /// Its name; what decides between tune and test.
    pub mechanism: &'static str,
    pub program: Program,
    /// The mode of the program.
    pub mode: &'static str,
    /// KiB a second and limit, of each run.
    pub runs: &'static [(f64, Limit)],
    /// What its memory does.
    pub class: Class,
    /// What may be said of it as well.
    pub also: &'static [Class],
    /// Kinds of memory that grow, in the words of the analysis; the first is the main one.
    pub components: &'static [&'static str],
    /// Part of the span at which growth begins.
    pub onset: f64,
    /// Whether the pace is exact: what the program asks for is what it is charged.
    pub exact: bool,
}

const fn plan(mechanism: &'static str, program: Program, mode: &'static str, class: Class) -> Plan {
    Plan {
        mechanism,
        program,
        mode,
        runs: &[(0.0, Limit::None)],
        class,
        also: &[],
        components: &[],
        onset: 0.0,
        exact: false,
    }
}

use Class::{BoundedCache, Cache, Leak, Load, Sawtooth, Steady, Step, WarmUp};
use Limit::{After, Mib, None, Restarts};
use Program::{C, Java, Nginx, Node, Postgres, Python, Redis};

/// All that is run.
pub const TABLE: &[Plan] = &[
    // Leaks.
    Plan {
        runs: &[(24.0, After(0.85, 35.0)), (90.0, After(1.6, 35.0))],
        components: &["anon"],
        exact: true,
        ..plan("c-leak", C, "leak", Leak)
    },
    Plan { runs: &[(4.0, After(3.0, 40.0))], components: &["anon"], exact: true, ..plan("c-slow", C, "leak", Leak) },
    Plan {
        runs: &[(40.0, After(0.9, 36.0)), (25.0, After(2.0, 36.0))],
        components: &["anon"],
        onset: 0.35,
        exact: true,
        ..plan("c-late", C, "leak-late", Leak)
    },
    Plan {
        runs: &[(30.0, After(0.8, 36.0)), (60.0, None)],
        components: &["anon"],
        exact: true,
        ..plan("c-stairs", C, "stairs", Leak)
    },
    Plan {
        runs: &[(35.0, After(0.85, 21.0)), (12.0, Mib(512))],
        components: &["shmem"],
        exact: true,
        ..plan("c-memfd", C, "memfd", Leak)
    },
    Plan {
        runs: &[(30.0, After(1.5, 22.0))],
        components: &["kernel", "slab", "sock"],
        ..plan("c-sockets", C, "sockets", Leak)
    },
    Plan { runs: &[(30.0, After(0.85, 22.0))], components: &["kernel"], ..plan("c-pipes", C, "pipes", Leak) },
    Plan { runs: &[(45.0, None)], components: &["anon"], ..plan("c-leak-beside-cache", C, "leak-read", Leak) },
    Plan {
        runs: &[(20.0, After(0.85, 30.0)), (70.0, None)],
        components: &["anon"],
        exact: true,
        ..plan("python-leak", Python, "leak", Leak)
    },
    Plan {
        runs: &[(30.0, None)],
        components: &["anon"],
        onset: 0.35,
        exact: true,
        ..plan("python-late", Python, "leak-late", Leak)
    },
    Plan {
        runs: &[(30.0, After(0.85, 64.0)), (20.0, None)],
        components: &["anon"],
        ..plan("python-leak-under-gc", Python, "leak-gc", Leak)
    },
    Plan {
        runs: &[(30.0, None), (25.0, Mib(256))],
        components: &["anon"],
        ..plan("python-leak-with-load", Python, "leak-load", Leak)
    },
    Plan {
        runs: &[(0.0, None)],
        components: &["anon", "kernel", "kernel-stack"],
        ..plan("python-threads", Python, "threads", Leak)
    },
    Plan {
        runs: &[(0.0, None)],
        components: &["kernel", "kernel-stack", "slab"],
        ..plan("python-zombies", Python, "zombies", Leak)
    },
    Plan {
        runs: &[(35.0, After(0.85, 30.0)), (60.0, None)],
        components: &["shmem"],
        exact: true,
        ..plan("python-tmpfs", Python, "tmpfs", Leak)
    },
    Plan {
        runs: &[(20.0, None), (40.0, After(0.85, 50.0))],
        components: &["anon"],
        ..plan("node-leak", Node, "leak", Leak)
    },
    Plan {
        runs: &[(30.0, None)],
        components: &["anon"],
        onset: 0.3,
        ..plan("node-listeners", Node, "listeners", Leak)
    },
    Plan { runs: &[(25.0, None), (50.0, None)], components: &["anon"], ..plan("java-leak", Java, "leak", Leak) },
    Plan {
        runs: &[(30.0, After(0.85, 60.0))],
        components: &["anon"],
        onset: 0.25,
        ..plan("java-direct", Java, "direct", Leak)
    },
    Plan { components: &["anon", "kernel", "kernel-stack"], ..plan("java-threads", Java, "threads", Leak) },
    Plan {
        runs: &[(25.0, After(0.85, 10.0)), (60.0, None)],
        components: &["anon"],
        ..plan("redis-queue", Redis, "redis-queue", Leak)
    },
    Plan { runs: &[(48.0, None)], components: &["anon"], ..plan("postgres-prepared", Postgres, "pg-prepared", Leak) },
    Plan {
        runs: &[(120.0, Restarts(72)), (90.0, Restarts(60))],
        components: &["anon"],
        ..plan("c-restarts", C, "leak", Leak)
    },
    Plan { runs: &[(100.0, Restarts(64))], components: &["anon"], ..plan("python-restarts", Python, "leak", Leak) },
    // No leaks.
    Plan { runs: &[(0.0, None), (0.0, Mib(64))], ..plan("c-steady", C, "steady", Steady) },
    Plan { runs: &[(0.0, None)], ..plan("c-step", C, "step", Step) },
    Plan { runs: &[(0.0, None)], also: &[Steady], ..plan("c-step-down", C, "step-down", Step) },
    Plan { runs: &[(60.0, None), (150.0, Mib(96))], ..plan("c-read-files", C, "read-files", Cache) },
    Plan { runs: &[(40.0, None)], also: &[Steady], ..plan("c-dentries", C, "dentries", Cache) },
    Plan { runs: &[(0.0, None), (0.0, Mib(128))], ..plan("python-steady", Python, "steady", Steady) },
    Plan { runs: &[(0.0, None), (0.0, Mib(128))], ..plan("python-gc", Python, "gc", Sawtooth) },
    Plan {
        runs: &[(80.0, None), (120.0, Mib(256))],
        also: &[WarmUp],
        ..plan("python-lru", Python, "lru", BoundedCache)
    },
    Plan { runs: &[(0.0, None)], ..plan("python-memo", Python, "memo", WarmUp) },
    Plan { runs: &[(0.0, None), (0.0, Mib(160))], ..plan("python-batch", Python, "batch", Sawtooth) },
    Plan { runs: &[(0.0, None), (0.0, Mib(192))], also: &[Sawtooth], ..plan("python-load", Python, "load", Load) },
    Plan { runs: &[(0.0, None)], ..plan("python-load-ramp", Python, "load-ramp", Load) },
    Plan { runs: &[(0.0, None), (0.0, Mib(128))], ..plan("python-step", Python, "step", Step) },
    Plan {
        runs: &[(300.0, None)],
        also: &[Steady, WarmUp],
        ..plan("python-tmpfs-rotate", Python, "tmpfs-rotate", BoundedCache)
    },
    Plan { runs: &[(60.0, None), (150.0, Mib(128))], ..plan("python-log-files", Python, "log-files", Cache) },
    plan("python-forks", Python, "forks", Steady),
    Plan { runs: &[(0.0, None), (0.0, Mib(256))], also: &[WarmUp], ..plan("node-steady", Node, "steady", Steady) },
    Plan { runs: &[(0.0, None), (0.0, Mib(256))], also: &[Steady], ..plan("node-gc", Node, "gc", Sawtooth) },
    Plan { runs: &[(90.0, None)], also: &[WarmUp], ..plan("node-lru", Node, "lru", BoundedCache) },
    Plan { ..plan("node-memo", Node, "memo", WarmUp) },
    Plan { also: &[Sawtooth], ..plan("node-load", Node, "load", Load) },
    // A heap that was once touched stays with the process: what a collector does inside is seen by nobody outside.
    Plan { runs: &[(0.0, None), (0.0, Mib(256))], also: &[WarmUp, Sawtooth], ..plan("java-gc", Java, "gc", Steady) },
    Plan { runs: &[(90.0, None)], also: &[WarmUp], ..plan("java-lru", Java, "lru", BoundedCache) },
    Plan { also: &[WarmUp], ..plan("java-steady", Java, "steady", Steady) },
    Plan { runs: &[(8.0, None)], ..plan("redis-steady", Redis, "redis-steady", Steady) },
    Plan {
        runs: &[(30.0, None), (60.0, Mib(96))],
        also: &[WarmUp],
        ..plan("redis-maxmemory", Redis, "redis-lru", BoundedCache)
    },
    Plan { runs: &[(60.0, None)], also: &[WarmUp], ..plan("redis-ttl", Redis, "redis-ttl", BoundedCache) },
    Plan { also: &[WarmUp, Step], ..plan("postgres-steady", Postgres, "pg-steady", Steady) },
    Plan { also: &[BoundedCache], ..plan("postgres-buffers", Postgres, "pg-buffers", WarmUp) },
    plan("nginx-steady", Nginx, "nginx-steady", Steady),
    Plan { also: &[Steady], ..plan("nginx-files", Nginx, "nginx-files", Cache) },
];

/// Whether rules may be tuned on it: all runs of a mechanism belong to one part, so that the test part has mechanisms that were
/// never looked at. The rule is the top bit of FNV-1a over the name, mixed once more.
pub fn part(mechanism: &str) -> &'static str {
    let hash = mechanism
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    if hash.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 63 == 0 { "tune" } else { "test" }
}
