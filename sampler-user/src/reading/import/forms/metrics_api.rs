//! Pods and nodes of `metrics.k8s.io`, as `kubectl get --raw` prints them: working sets.

use std::io::Read;

use serde::Deserialize;

use crate::reading::import::forms::document::documents;
use crate::reading::import::forms::sample::{Is, put};
use crate::reading::import::intake::{Intake, Stop};
use crate::reading::import::kubectl_top::quantity;

/// A list, or one object.
#[derive(Deserialize)]
#[serde(untagged)]
enum Document {
    List { items: Vec<Object> },
    One(Object),
}

#[derive(Deserialize)]
struct Object {
    metadata: Metadata,
    timestamp: String,
    #[serde(default)]
    containers: Vec<Container>,
    usage: Option<Usage>,
}

#[derive(Deserialize)]
struct Metadata {
    name: String,
    namespace: Option<String>,
}

#[derive(Deserialize)]
struct Container {
    name: String,
    usage: Usage,
}

#[derive(Deserialize)]
struct Usage {
    memory: Option<String>,
}

pub fn is(head: &str) -> bool {
    head.starts_with('{') && head.contains("\"metrics.k8s.io/")
}

pub fn read(bytes: &mut dyn Read, intake: &mut Intake<'_>) -> Result<(), Stop> {
    intake.notes.formats.insert("metrics.k8s.io");
    documents(bytes, intake, |document: Document, intake| {
        let items = match document {
            Document::List { items } => items,
            Document::One(object) => vec![object],
        };
        for Object { metadata, timestamp, containers, usage } in items {
            let mut one = |who: &str, usage: &Usage| {
                let bytes = usage.memory.as_deref().and_then(quantity);
                put(who, 0, &timestamp, &[("usage.memory", Is::WorkingSet, bytes)], intake)
            };
            let path = match &metadata.namespace {
                Some(namespace) => format!("/{namespace}/{}", metadata.name),
                None => metadata.name,
            };
            usage.iter().try_for_each(|usage| one(&path, usage))?;
            containers.iter().try_for_each(|of| one(&format!("{path}/{}", of.name), &of.usage))?;
        }
        Ok(())
    })
}
