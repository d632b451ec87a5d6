//! What is run, and what is true of it.

use sampler::analysis::leak::detectors::Class;

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
    Go,
    Perl,
    Memcached,
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
    /// Name of its source, where it is one of ours.
    pub source: &'static str,
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
        source: "held",
        mode,
        runs: &[(0.0, Limit::None)],
        class,
        also: &[],
        components: &[],
        onset: 0.0,
        exact: false,
    }
}

/// One of the second table: services, which keep things by the means that real ones do.
const fn service(mechanism: &'static str, program: Program, mode: &'static str, class: Class) -> Plan {
    Plan { source: "service", ..plan(mechanism, program, mode, class) }
}

use Class::{BoundedCache, Cache, Leak, Load, Sawtooth, Steady, Step, WarmUp};
use Limit::{After, Mib, None, Restarts};
use Program::{C, Go, Java, Memcached, Nginx, Node, Perl, Postgres, Python, Redis};

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

/// The services, written after the rules had been tuned on the first table.
pub const SERVICES: &[Plan] = &[
    // Leaks.
    Plan {
        runs: &[(40.0, None), (20.0, After(0.85, 40.0))],
        components: &["anon"],
        ..service("py-sessions", Python, "sessions", Leak)
    },
    Plan { runs: &[(12.0, None)], components: &["anon"], ..service("py-tracebacks", Python, "tracebacks", Leak) },
    Plan {
        runs: &[(25.0, None), (40.0, After(0.9, 60.0))],
        components: &["anon"],
        ..service("py-job-leak", Python, "job-leak", Leak)
    },
    Plan { runs: &[(40.0, After(0.9, 45.0))], components: &["anon"], ..service("py-faster", Python, "faster", Leak) },
    Plan {
        runs: &[(10.0, None)],
        components: &["anon", "kernel", "pagetables"],
        ..service("py-children", Python, "children", Leak)
    },
    Plan {
        runs: &[(30.0, After(1.2, 40.0))],
        components: &["shmem"],
        exact: true,
        ..service("py-segments", Python, "segments", Leak)
    },
    Plan { runs: &[(20.0, None)], components: &["anon"], ..service("py-sqlite-memory", Python, "sqlite-memory", Leak) },
    Plan {
        runs: &[(30.0, None), (15.0, None)],
        components: &["anon"],
        ..service("py-day-leak", Python, "day-leak", Leak)
    },
    Plan {
        runs: &[(50.0, After(0.85, 40.0))],
        components: &["anon"],
        onset: 0.45,
        exact: true,
        ..service("py-backlog", Python, "backlog", Leak)
    },
    Plan { runs: &[(30.0, None)], components: &["anon"], ..service("py-handlers", Python, "handlers", Leak) },
    Plan { runs: &[(25.0, None)], components: &["anon"], ..service("py-tasks", Python, "tasks", Leak) },
    Plan {
        runs: &[(30.0, None), (15.0, After(1.4, 60.0))],
        components: &["anon"],
        ..service("js-promises", Node, "promises", Leak)
    },
    Plan { runs: &[(50.0, None)], components: &["anon"], ..service("js-sessions", Node, "sessions", Leak) },
    Plan { runs: &[(30.0, None), (60.0, None)], components: &["anon"], ..service("jvm-map", Java, "map-leak", Leak) },
    Plan { runs: &[(24.0, None)], components: &["anon"], ..service("jvm-classes", Java, "classes", Leak) },
    Plan { runs: &[(20.0, None)], components: &["anon"], ..service("jvm-locals", Java, "thread-locals", Leak) },
    Plan {
        runs: &[(30.0, After(0.85, 20.0)), (15.0, None)],
        components: &["anon"],
        ..service("go-leak", Go, "leak", Leak)
    },
    Plan { runs: &[(25.0, None)], components: &["anon"], ..service("go-goroutines", Go, "goroutines", Leak) },
    Plan {
        runs: &[(8.0, None), (300.0, After(0.12, 30.0))],
        components: &["anon"],
        exact: true,
        ..service("cc-leak", C, "leak", Leak)
    },
    Plan { runs: &[(60.0, None)], components: &["anon"], ..service("cc-beat-leak", C, "beat-leak", Leak) },
    Plan {
        runs: &[(20.0, None)],
        components: &["anon", "pagetables", "kernel"],
        ..service("cc-sparse", C, "sparse", Leak)
    },
    Plan { runs: &[(40.0, After(1.3, 40.0))], components: &["anon"], ..service("cc-huge", C, "huge", Leak) },
    Plan {
        runs: &[(20.0, None)],
        components: &["kernel", "slab"],
        ..service("cc-descriptors", C, "descriptors", Leak)
    },
    Plan { runs: &[(20.0, None)], components: &["anon"], ..service("pl-cycles", Perl, "cycles", Leak) },
    Plan { runs: &[(25.0, None)], components: &["anon"], ..service("rd-stream", Redis, "redis-stream", Leak) },
    Plan { runs: &[(35.0, After(0.9, 12.0))], components: &["anon"], ..service("rd-keys", Redis, "redis-keys", Leak) },
    Plan {
        components: &["anon", "kernel", "pagetables"],
        ..service("sql-connections", Postgres, "pg-connections", Leak)
    },
    // No leaks.
    Plan { runs: &[(120.0, None)], also: &[Steady, WarmUp], ..service("py-ttl", Python, "ttl", BoundedCache) },
    Plan { runs: &[(0.0, None), (0.0, Mib(256))], ..service("py-etl", Python, "etl", Sawtooth) },
    Plan { also: &[WarmUp], ..service("py-fragments", Python, "fragments", Steady) },
    Plan { runs: &[(150.0, None)], also: &[Steady], ..service("py-workers", Python, "workers", Sawtooth) },
    Plan { also: &[Step], ..service("py-modules", Python, "modules", WarmUp) },
    Plan { ..service("py-tide", Python, "tide", Load) },
    Plan { also: &[Sawtooth, Steady], ..service("py-flurry", Python, "flurry", Load) },
    Plan {
        runs: &[(0.0, None), (0.0, Mib(160))],
        also: &[Load, Sawtooth],
        ..service("py-wander", Python, "wander", Steady)
    },
    Plan { runs: &[(60.0, None)], also: &[Steady], ..service("py-database-file", Python, "database-file", Cache) },
    Plan {
        runs: &[(80.0, None), (160.0, Mib(96))],
        also: &[Steady],
        ..service("py-map-file", Python, "map-file", Cache)
    },
    Plan { also: &[Step, Steady, BoundedCache], ..service("py-pool", Python, "pool", WarmUp) },
    Plan { runs: &[(0.0, None), (0.0, None)], ..service("py-quiet", Python, "quiet", Steady) },
    Plan { runs: &[(0.0, None), (0.0, None)], also: &[WarmUp, Sawtooth], ..service("js-idle", Node, "idle", Steady) },
    Plan { also: &[Steady, WarmUp], ..service("js-busy", Node, "busy", Sawtooth) },
    Plan { runs: &[(120.0, None)], also: &[Steady, WarmUp], ..service("js-ttl", Node, "ttl", BoundedCache) },
    Plan { also: &[Steady, WarmUp, Step], ..service("js-burst", Node, "burst", Sawtooth) },
    Plan { runs: &[(0.0, None), (0.0, None)], also: &[WarmUp, Sawtooth], ..service("jvm-idle", Java, "idle", Steady) },
    // The heap fills evenly to where its first collection was enough.
    Plan { also: &[WarmUp, Sawtooth, BoundedCache], ..service("jvm-busy", Java, "busy", Steady) },
    Plan { also: &[Steady], ..service("go-gc", Go, "gc", Sawtooth) },
    Plan { runs: &[(90.0, None)], also: &[WarmUp, Steady], ..service("go-lru", Go, "lru", BoundedCache) },
    Plan { also: &[Sawtooth, Steady], ..service("go-load", Go, "load", Load) },
    Plan { also: &[Sawtooth], ..service("go-quiet", Go, "quiet", Steady) },
    Plan { runs: &[(60.0, None)], also: &[Steady], ..service("cc-touch", C, "touch", Cache) },
    Plan { runs: &[(120.0, None)], also: &[WarmUp], ..service("cc-ring", C, "ring", BoundedCache) },
    Plan { ..service("cc-quiet", C, "quiet", Steady) },
    Plan { ..service("pl-memo", Perl, "memo", WarmUp) },
    Plan { runs: &[(60.0, None)], also: &[BoundedCache, Steady], ..service("rd-hash", Redis, "redis-hash", WarmUp) },
    Plan { runs: &[(300.0, None)], also: &[Sawtooth, Steady], ..service("rd-day", Redis, "redis-day", Load) },
    Plan { also: &[Steady, WarmUp], ..service("sql-sort", Postgres, "pg-sort", Sawtooth) },
    Plan { also: &[Sawtooth, Steady], ..service("sql-day", Postgres, "pg-day", Load) },
    Plan { runs: &[(80.0, None)], also: &[WarmUp], ..service("mc-lru", Memcached, "memcached", BoundedCache) },
];

/// Whether rules may be tuned on it: all runs of a mechanism belong to one part, so that the test part has mechanisms that were
/// never looked at. The rule is the top bit of FNV-1a over the name, mixed once more.
pub fn part(mechanism: &str) -> &'static str {
    let hash = mechanism
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    if hash.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 63 == 0 { "tune" } else { "test" }
}
