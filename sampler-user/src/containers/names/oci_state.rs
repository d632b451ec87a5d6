//! The annotations in the `config.json` that containerd and CRI-O hand to their OCI runtime.

use std::collections::HashMap;

use serde::Deserialize;

use crate::containers::names::source::{Roots, Source, read_json};
use crate::model::identity::{Identity, cut};

/// The bundle of a running container.
pub const SOURCE: Source = Source { name: "config.json", runtimes: &["containerd", "crio", "kubernetes"], read };

const FOLDERS: [&str; 5] = [
    "run/containerd/io.containerd.runtime.v2.task/k8s.io/{id}",
    "run/containerd/io.containerd.runtime.v2.task/default/{id}",
    "run/containerd/io.containerd.runtime.v2.task/moby/{id}",
    "run/containers/storage/overlay-containers/{id}/userdata",
    "var/lib/containers/storage/overlay-containers/{id}/userdata",
];

#[derive(Deserialize)]
struct Bundle {
    #[serde(default)]
    annotations: HashMap<String, String>,
}

fn read(roots: &Roots, id: &str) -> Option<Identity> {
    FOLDERS.iter().find_map(|folder| {
        let bundle: Bundle = read_json(&roots.root.join(folder.replace("{id}", id)).join("config.json"))?;
        let first = |keys: &[&str]| keys.iter().find_map(|key| bundle.annotations.get(*key)).map(|text| cut(text));
        let identity = Identity {
            name: first(&["io.kubernetes.cri.container-name", "io.kubernetes.container.name", "nerdctl/name"]),
            pod: first(&["io.kubernetes.cri.sandbox-name", "io.kubernetes.pod.name"]),
            namespace: first(&["io.kubernetes.cri.sandbox-namespace", "io.kubernetes.pod.namespace"]),
            image: first(&["io.kubernetes.cri.image-name", "io.kubernetes.cri-o.ImageName"]),
            image_id: first(&["io.kubernetes.cri-o.ImageRef"]),
            ..Identity::container("", id)
        };
        identity.name.as_ref().or(identity.pod.as_ref()).is_some().then_some(identity)
    })
}
