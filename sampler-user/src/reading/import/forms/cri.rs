//! `crictl stats -o json`.

use std::collections::BTreeMap;
use std::io::Read;

use serde::Deserialize;

use crate::model::fields::FieldId;
use crate::reading::import::docker_stats::life;
use crate::reading::import::forms::document::{documents, has};
use crate::reading::import::forms::sample::{Is, put};
use crate::reading::import::intake::{Intake, Stop};

#[derive(Deserialize)]
struct List {
    stats: Vec<Stats>,
}

#[derive(Deserialize)]
struct Stats {
    attributes: Attributes,
    memory: Option<Memory>,
}

#[derive(Deserialize)]
struct Attributes {
    #[serde(default)]
    id: String,
    #[serde(default)]
    labels: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Memory {
    timestamp: Number,
    working_set_bytes: Option<Boxed>,
    usage_bytes: Option<Boxed>,
    rss_bytes: Option<Boxed>,
}

#[derive(Deserialize)]
struct Boxed {
    value: Number,
}

/// Numbers of 64 bits are texts in the JSON of protocol buffers.
#[derive(Deserialize)]
#[serde(untagged)]
enum Number {
    Text(String),
    Number(f64),
}

impl Number {
    fn text(&self) -> String {
        match self {
            Number::Text(text) => text.clone(),
            Number::Number(number) => number.to_string(),
        }
    }
}

pub fn is(head: &str) -> bool {
    head.starts_with('{') && has(head, &["stats", "attributes", "workingSetBytes"])
}

pub fn read(bytes: &mut dyn Read, intake: &mut Intake<'_>) -> Result<(), Stop> {
    intake.notes.formats.insert("crictl stats");
    documents(bytes, intake, |list: List, intake| {
        for Stats { attributes, memory } in list.stats {
            let Some(memory) = memory else { continue };
            let label = |name: &str| attributes.labels.get(&format!("io.kubernetes.{name}")).map(String::as_str);
            let parts = [label("pod.namespace"), label("pod.name"), label("container.name")];
            let named: Vec<&str> = parts.into_iter().flatten().collect();
            let who = if named.is_empty() { attributes.id.clone() } else { format!("/{}", named.join("/")) };
            let number = |boxed: &Option<Boxed>| boxed.as_ref().and_then(|boxed| boxed.value.text().parse().ok());
            let values = [
                ("usageBytes", Is::Field(FieldId::Current), number(&memory.usage_bytes)),
                ("workingSetBytes", Is::WorkingSet, number(&memory.working_set_bytes)),
                ("rssBytes", Is::Field(FieldId::Anon), number(&memory.rss_bytes)),
            ];
            put(&who, life(&attributes.id), &memory.timestamp.text(), &values, intake)?;
        }
        Ok(())
    })
}
