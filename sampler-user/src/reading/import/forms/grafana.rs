//! Data frames of Grafana: the answer of `/api/ds/query`, and what "Query inspector" downloads.

use std::collections::BTreeMap;
use std::io::Read;

use serde::Deserialize;
use serde_json::Value;

use crate::reading::import::forms::document::{documents, has};
use crate::reading::import::intake::{Intake, Stop};
use crate::reading::import::labels::{Labels, parse};
use crate::reading::import::prometheus::{Reader, metric};

#[derive(Deserialize)]
#[serde(untagged)]
enum Document {
    Answer { results: BTreeMap<String, Answer> },
    Frames { frames: Vec<Frame> },
    Bare(Vec<Frame>),
    One(Frame),
}

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    frames: Vec<Frame>,
    error: Option<String>,
}

#[derive(Deserialize)]
struct Frame {
    schema: Schema,
    data: Option<Data>,
}

#[derive(Deserialize)]
struct Schema {
    name: Option<String>,
    #[serde(default)]
    fields: Vec<Field>,
}

#[derive(Deserialize)]
struct Field {
    #[serde(default)]
    name: String,
    #[serde(default, rename = "type")]
    kind: String,
    #[serde(default)]
    labels: Option<Labels>,
    config: Option<Config>,
}

#[derive(Deserialize)]
struct Config {
    #[serde(rename = "displayNameFromDS")]
    display: Option<String>,
}

#[derive(Deserialize)]
struct Data {
    #[serde(default)]
    values: Vec<Vec<Value>>,
}

pub fn is(head: &str) -> bool {
    has(head, &["schema", "fields"]) && (has(head, &["frames"]) || has(head, &["data", "values"]))
}

pub fn read(bytes: &mut dyn Read, intake: &mut Intake<'_>) -> Result<(), Stop> {
    intake.notes.formats.insert("grafana");
    let mut reader = Reader::default();
    documents(bytes, intake, |document: Document, intake| {
        let frames = match document {
            Document::Answer { results } => {
                let mut frames = Vec::new();
                for (name, answer) in results {
                    if let Some(error) = answer.error.filter(|error| !error.is_empty()) {
                        let (name, error) =
                            (crate::model::units::printable(&name), crate::model::units::printable(&error));
                        intake.notes.remark(format!("query {name} ended with an error: {error}"));
                    }
                    frames.extend(answer.frames);
                }
                frames
            }
            Document::Frames { frames } | Document::Bare(frames) => frames,
            Document::One(frame) => vec![frame],
        };
        frames.into_iter().try_for_each(|frame| one(frame, &mut reader, intake))
    })
}

/// A frame: a column of times, and a column for each series.
fn one(frame: Frame, reader: &mut Reader, intake: &mut Intake<'_>) -> Result<(), Stop> {
    let Some(data) = frame.data else { return Ok(()) };
    let Some(at) = frame.schema.fields.iter().position(|field| field.kind == "time") else { return Ok(()) };
    // Milliseconds since 1970.
    let times: Vec<Option<i64>> =
        data.values.get(at).into_iter().flatten().map(|time| micros(time.as_f64()?)).collect();
    for (field, values) in frame.schema.fields.iter().zip(&data.values).filter(|(field, _)| field.kind == "number") {
        let labels = labels(field, frame.schema.name.as_deref());
        let points: Vec<(i64, f64)> =
            times.iter().zip(values).filter_map(|(time, value)| Some(((*time)?, value.as_f64()?))).collect();
        reader.series(&labels, &points, intake)?;
    }
    Ok(())
}

fn micros(ms: f64) -> Option<i64> {
    let us = (ms * 1e3).round();
    (us.abs() < 9e18).then_some(us as i64)
}

/// The labels of a series; the metric may be the name of the field, of the frame, or what is displayed.
fn labels(field: &Field, frame: Option<&str>) -> Labels {
    let mut labels = field.labels.clone().unwrap_or_default();
    if labels.contains_key("__name__") {
        return labels;
    }
    let display = field.config.as_ref().and_then(|config| config.display.as_deref());
    for text in [Some(field.name.as_str()), display, frame].into_iter().flatten() {
        if metric(text).is_some()
            && let Some((named, _)) = parse(text)
        {
            named.into_iter().for_each(|(name, value)| {
                labels.entry(name).or_insert(value);
            });
            return labels;
        }
    }
    labels
}
