//! Answers of InfluxQL: tables of a measurement and its tags.

use std::collections::BTreeMap;
use std::io::Read;

use serde::Deserialize;
use serde_json::Value;

use crate::reading::import::forms::document::{documents, has};
use crate::reading::import::intake::{Intake, Stop};
use crate::reading::import::json::Documents;
use crate::reading::import::prometheus::metric;

#[derive(Deserialize)]
struct Answer {
    results: Vec<Statement>,
}

#[derive(Deserialize)]
struct Statement {
    #[serde(default)]
    series: Vec<Series>,
    error: Option<String>,
}

#[derive(Deserialize)]
struct Series {
    #[serde(default)]
    name: String,
    #[serde(default)]
    tags: BTreeMap<String, String>,
    #[serde(default)]
    columns: Vec<String>,
    #[serde(default)]
    values: Vec<Vec<Value>>,
}

pub fn is(head: &str) -> bool {
    head.starts_with('{') && has(head, &["results", "series", "columns"])
}

pub fn read(bytes: &mut dyn Read, intake: &mut Intake<'_>) -> Result<(), Stop> {
    intake.notes.formats.insert("influxql");
    let mut rows = Documents::default();
    documents(bytes, intake, |answer: Answer, intake| {
        for statement in answer.results {
            if let Some(error) = statement.error {
                let error = crate::model::units::printable(&error);
                return Err(Stop::new(format!("InfluxDB answered with an error: {error}")));
            }
            statement.series.iter().try_for_each(|series| one(series, &mut rows, intake))?;
        }
        Ok(())
    })?;
    rows.finish()
}

fn one(series: &Series, rows: &mut Documents, intake: &mut Intake<'_>) -> Result<(), Stop> {
    let names: Vec<String> = series.columns.iter().map(|column| name(&series.name, column)).collect();
    for row in &series.values {
        let tags = series.tags.iter().map(|(tag, value)| (tag.clone(), value.clone()));
        let text = |value: &Value| match value {
            Value::Null => String::new(),
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let cells = names.iter().zip(row).map(|(name, value)| (name.clone(), text(value)));
        rows.record(&tags.chain(cells).collect::<Vec<_>>(), intake)?;
    }
    Ok(())
}

/// The name of a column: with the measurement in front where that is a metric.
pub fn name(measurement: &str, column: &str) -> String {
    let whole = format!("{measurement}_{column}");
    if metric(&whole).is_some() { whole } else { column.to_owned() }
}
