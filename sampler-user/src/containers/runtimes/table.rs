//! The runtimes, and which of them claims a cgroup.

use crate::containers::runtimes::place::{Place, Runtime};
use crate::containers::runtimes::{
    buildkit, containerd, crio, docker, ecs, garden, kata, kubernetes, lxc, nomad, nspawn, podman, wsl,
};
use crate::model::identity::Identity;

/// All runtimes but systemd, which has what none of them claims.
pub static TABLE: [Runtime; 13] = [
    Runtime { name: buildkit::NAME, claim: buildkit::claim },
    Runtime { name: ecs::NAME, claim: ecs::claim },
    Runtime { name: garden::NAME, claim: garden::claim },
    Runtime { name: kata::NAME, claim: kata::claim },
    Runtime { name: nomad::NAME, claim: nomad::claim },
    Runtime { name: docker::NAME, claim: docker::claim },
    Runtime { name: containerd::NAME, claim: containerd::claim },
    Runtime { name: crio::NAME, claim: crio::claim },
    Runtime { name: podman::NAME, claim: podman::claim },
    Runtime { name: kubernetes::NAME, claim: kubernetes::claim },
    Runtime { name: lxc::NAME, claim: lxc::claim },
    Runtime { name: nspawn::NAME, claim: nspawn::claim },
    Runtime { name: wsl::NAME, claim: wsl::claim },
];

/// The runtimes that claim a cgroup: one at most, which a test holds.
pub fn claimants(place: Place<'_>) -> impl Iterator<Item = (&'static str, Identity)> {
    let own = TABLE.iter().filter_map(move |runtime| Some((runtime.name, (runtime.claim)(place)?)));
    let mut own = own.peekable();
    let bare = if own.peek().is_none() { docker::bare_id(place) } else { None };
    own.chain(bare.map(|identity| (docker::NAME, identity)))
}
