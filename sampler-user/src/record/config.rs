//! What to record, and how.

use std::path::PathBuf;
use std::time::Duration;

use crate::kernel::cgroupfs::layout::Layout;
use crate::kernel::cgroupfs::tree::Selection;
use crate::model::fields::FieldId;

/// What to record, and how.
#[derive(Clone, Debug)]
pub struct Config {
    /// The hierarchies.
    pub layout: Layout,
    /// The cgroups.
    pub selection: Selection,
    /// Interval of the fast files.
    pub interval: Duration,
    /// Interval of the slow files; where it is not longer than the fast one, one pass reads all.
    pub slow_interval: Duration,
    /// Interval for cgroups near their limit, growing fast or under pressure.
    pub burst: Option<Duration>,
    /// Most CPU the agent may use, as a part of one CPU.
    pub max_cpu: Option<f64>,
    /// Fields to record; empty is all.
    pub fields: Vec<FieldId>,
    /// Whether the processes of growing cgroups are recorded.
    pub processes: bool,
    /// Whether and how what holds memory is looked for by name: caches of the kernel, mounts of tmpfs, files.
    pub details: Option<LookFor>,
    /// Whether the agent protects itself (see [`protect`](crate::record::protect)).
    pub protect: bool,
    /// Whether the kernel probe is used.
    pub probe: UseProbe,
    /// Where the names of containers are looked up.
    pub names: NameSources,
}

impl Config {
    /// The default interval of the fast files.
    pub const INTERVAL: Duration = Duration::from_millis(100);
    /// The default interval of the slow files.
    pub const SLOW_INTERVAL: Duration = Duration::from_secs(1);

    /// The defaults, for the hierarchies of this machine.
    pub fn new(layout: Layout) -> Config {
        Config {
            layout,
            selection: Selection::default(),
            interval: Config::INTERVAL,
            slow_interval: Config::SLOW_INTERVAL,
            burst: None,
            max_cpu: None,
            fields: Vec::new(),
            processes: true,
            details: Some(LookFor::default()),
            protect: true,
            probe: UseProbe::Auto,
            names: NameSources::default(),
        }
    }
}

/// How what holds memory is looked for by name.
#[derive(Clone, Debug)]
pub struct LookFor {
    /// Folders whose files are looked for in the page cache, beside those that processes have open.
    pub walk: Vec<PathBuf>,
    /// CPU time that the files may take in each look.
    pub budget: Duration,
    /// Files that are remembered at most.
    pub most: usize,
}

impl Default for LookFor {
    fn default() -> LookFor {
        LookFor { walk: Vec::new(), budget: Duration::from_millis(4), most: 20_000 }
    }
}

/// Whether the kernel probe is used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UseProbe {
    /// As far as the kernel allows it; the files stand in for the rest, and one line reports it.
    #[default]
    Auto,
    /// Not at all.
    Off,
    /// Without its walk and its view of OOM kills there is no recording.
    Require,
}

/// Where the names of containers are looked up.
#[derive(Clone, Debug)]
pub struct NameSources {
    /// Whether names are looked up at all.
    pub ask: bool,
    /// Docker's socket, if it is not the usual one.
    pub docker_socket: Option<PathBuf>,
}

impl Default for NameSources {
    fn default() -> NameSources {
        NameSources { ask: true, docker_socket: None }
    }
}
