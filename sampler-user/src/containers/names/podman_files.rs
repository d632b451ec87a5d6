//! `containers.json` of the storage that Podman and CRI-O share.

use serde::Deserialize;

use crate::containers::names::source::{Roots, Source, read_json};
use crate::model::identity::{Identity, cut};

/// The storage's list of containers.
pub const SOURCE: Source = Source { name: "containers.json", runtimes: &["podman", "crio"], read };

#[derive(Deserialize)]
struct Stored {
    id: String,
    #[serde(default)]
    names: Vec<String>,
    #[serde(default)]
    metadata: String,
}

#[derive(Default, Deserialize)]
struct Metadata {
    #[serde(rename = "image-name")]
    image: Option<String>,
    #[serde(rename = "image-id")]
    image_id: Option<String>,
}

fn read(roots: &Roots, id: &str) -> Option<Identity> {
    let all: Vec<Stored> =
        read_json(&roots.root.join("var/lib/containers/storage/overlay-containers/containers.json"))?;
    let stored = all.into_iter().find(|stored| stored.id == id)?;
    let metadata: Metadata = serde_json::from_str(&stored.metadata).unwrap_or_default();
    let name = stored.names.first().map(|name| cut(name))?;
    Some(Identity {
        name: Some(name),
        image: metadata.image.as_deref().map(cut),
        image_id: metadata.image_id.as_deref().map(cut),
        ..Identity::container("podman", id)
    })
}
