//! Names that show their runtime in whatever folder they are.

use crate::containers::runtimes::place::{Place, id_after};
use crate::containers::runtimes::{kata, nspawn, podman};

/// Whether a name shows its runtime by itself, whatever folder it is in.
pub fn names_its_runtime(leaf: &str) -> bool {
    const PREFIXES: [&str; 7] =
        ["docker", "nerdctl", "libpod", "libpod-payload", "crio", "cri-containerd", "containerd"];
    PREFIXES.iter().any(|prefix| id_after(leaf, prefix).is_some())
        || leaf.contains(':')
        || kata::claim(Place { above: &[], leaf }).is_some()
        || podman::pod(leaf).is_some()
        || nspawn::name(leaf).is_some()
        || ["lxc.payload.", "lxc.monitor."].iter().any(|prefix| leaf.starts_with(prefix))
}
