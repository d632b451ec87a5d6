//! The kubelet's links to logs, `/var/log/containers/<pod>_<namespace>_<container>-<id>.log`: names without any right on the API.

use std::fs;

use crate::containers::names::source::{Roots, Source};
use crate::model::identity::{Identity, cut};

/// Names of log files.
pub const SOURCE: Source =
    Source { name: "/var/log/containers", runtimes: &["containerd", "crio", "docker", "kubernetes"], read };

fn read(roots: &Roots, id: &str) -> Option<Identity> {
    let ending = format!("-{id}.log");
    for entry in fs::read_dir(roots.root.join("var/log/containers")).ok()?.flatten() {
        let name = entry.file_name();
        let Some(rest) = name.to_str().and_then(|name| name.strip_suffix(&ending)) else { continue };
        let mut parts = rest.splitn(3, '_').map(cut);
        return Some(Identity {
            pod: parts.next(),
            namespace: parts.next(),
            name: parts.next(),
            ..Identity::container("", id)
        });
    }
    None
}
