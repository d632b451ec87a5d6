//! `config.v2.json`, which the daemon writes before a container starts and keeps until it is removed.

use std::collections::HashMap;

use serde::Deserialize;

use crate::containers::names::source::{Roots, Source, read_json};
use crate::model::identity::{Identity, cut};

/// What Docker writes down.
pub const SOURCE: Source = Source { name: "config.v2.json", runtimes: &["docker"], read };

/// A container as its file and the API's `inspect` have it.
#[derive(Deserialize)]
pub struct Container {
    #[serde(rename = "Name")]
    name: String,
    #[serde(rename = "Image")]
    image_id: Option<String>,
    #[serde(rename = "Config")]
    config: Config,
}

#[derive(Deserialize)]
struct Config {
    #[serde(rename = "Image")]
    image: Option<String>,
    #[serde(rename = "Labels")]
    labels: Option<HashMap<String, String>>,
}

impl Container {
    /// Who it is.
    pub fn identity(self, id: &str) -> Identity {
        let mut identity = Identity::container("docker", id);
        identity.name = Some(cut(self.name.trim_start_matches('/'))).filter(|name| !name.is_empty());
        identity.image = self.config.image.as_deref().map(cut);
        identity.image_id = self.image_id.as_deref().map(cut).filter(|id| !id.is_empty());
        identity.label(self.config.labels.unwrap_or_default());
        identity
    }
}

fn read(roots: &Roots, id: &str) -> Option<Identity> {
    roots.docker.iter().find_map(|data| {
        let container: Container = read_json(&data.join("containers").join(id).join("config.v2.json"))?;
        Some(container.identity(id))
    })
}
