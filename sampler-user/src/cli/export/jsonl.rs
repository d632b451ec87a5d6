//! JSON lines. A value that was not read is missing, and a limit that is not set is `"max"`.

use std::io::{self, Write};

use anyhow::Context;
use sampler::model::fields::{Kind, UNLIMITED};
use sampler::model::recording::{Series, TimedEvent};
use sampler::store::schema::key_columns;
use serde_json::{Map, Value, json};

use crate::cli::export::cells::{NAME, name, precise, value};
use crate::cli::export::writer::{Format, Output, TableWriter, Target};

pub const FORMAT: Format = Format { name: "jsonl", open };

struct Jsonl {
    target: Target,
    out: Output,
}

fn open(target: Target) -> anyhow::Result<Box<dyn TableWriter>> {
    let out = target.output()?;
    Ok(Box::new(Jsonl { target, out }))
}

impl Jsonl {
    fn line(&mut self, value: &impl serde::Serialize) -> anyhow::Result<()> {
        serde_json::to_writer(&mut self.out, value).map_err(io::Error::from)?;
        Ok(self.out.write_all(b"\n")?)
    }
}

impl TableWriter for Jsonl {
    fn series(&mut self, series: Series, title: Option<&str>) -> anyhow::Result<()> {
        for row in 0..series.len() {
            let keys = key_columns(series.table).iter();
            let mut map: Map<String, Value> =
                keys.map(|key| (name(*key).to_owned(), value(*key, &series, row))).collect();
            if let Some(title) = title {
                map.insert(NAME.to_owned(), json!(title));
            }
            for field in &self.target.columns {
                let value = match series.column(field).and_then(|column| column.get(row)) {
                    Some(UNLIMITED) if field.kind == Kind::Limit => json!("max"),
                    Some(value) => json!(value),
                    None => continue,
                };
                map.insert(field.column.to_owned(), value);
            }
            self.line(&map)?;
        }
        Ok(())
    }

    fn event(&mut self, event: &TimedEvent) -> anyhow::Result<()> {
        let mut value = serde_json::to_value(event).context("write JSON")?;
        value["time"] = json!(precise(event.time_us));
        self.line(&value)
    }

    fn finish(self: Box<Self>) -> anyhow::Result<()> {
        self.out.finish()
    }
}
