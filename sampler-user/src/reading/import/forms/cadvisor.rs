//! cAdvisor's own API (`/api/v1.3/docker`, `/api/v2.1/stats`): samples by the path of their cgroup.

use std::collections::BTreeMap;
use std::io::Read;

use serde::Deserialize;

use crate::model::fields::FieldId;
use crate::reading::import::forms::document::{documents, first_name, has};
use crate::reading::import::forms::sample::{Is, put};
use crate::reading::import::intake::{Intake, Stop};

#[derive(Deserialize)]
#[serde(untagged)]
enum Samples {
    Bare(Vec<Sample>),
    Info { stats: Vec<Sample>, spec: Option<Spec> },
}

#[derive(Deserialize)]
struct Spec {
    memory: Option<Limits>,
}

#[derive(Deserialize)]
struct Limits {
    limit: Option<f64>,
}

#[derive(Deserialize)]
struct Sample {
    timestamp: String,
    memory: Option<Memory>,
}

#[derive(Deserialize)]
struct Memory {
    usage: Option<f64>,
    working_set: Option<f64>,
    rss: Option<f64>,
    cache: Option<f64>,
    swap: Option<f64>,
    failcnt: Option<f64>,
}

pub fn is(head: &str) -> bool {
    first_name(head).starts_with('/') && has(head, &["timestamp", "memory", "usage"])
}

pub fn read(bytes: &mut dyn Read, intake: &mut Intake<'_>) -> Result<(), Stop> {
    intake.notes.formats.insert("cadvisor");
    documents(bytes, intake, |all: BTreeMap<String, Samples>, intake| {
        for (path, samples) in all {
            let (samples, limit) = match samples {
                Samples::Bare(samples) => (samples, None),
                Samples::Info { stats, spec } => (stats, spec.and_then(|spec| spec.memory?.limit)),
            };
            // None prints as 0, or as almost 2⁶³.
            let limit = limit.map(|limit| if limit == 0.0 { f64::INFINITY } else { limit });
            for Sample { timestamp, memory } in samples {
                let Some(memory) = memory else { continue };
                let values = [
                    ("memory.usage", Is::Field(FieldId::Current), memory.usage),
                    ("memory.working_set", Is::WorkingSet, memory.working_set),
                    ("memory.rss", Is::Field(FieldId::Anon), memory.rss),
                    ("memory.cache", Is::Field(FieldId::File), memory.cache),
                    ("memory.swap", Is::Field(FieldId::SwapCurrent), memory.swap),
                    ("memory.failcnt", Is::Field(FieldId::EventsMax), memory.failcnt),
                    ("spec.memory.limit", Is::Field(FieldId::Max), limit),
                ];
                put(&path, 0, &timestamp, &values, intake)?;
            }
        }
        Ok(())
    })
}
