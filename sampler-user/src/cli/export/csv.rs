//! CSV. A cell never becomes a formula of a spreadsheet, and a limit that is not set is `inf`.

use anyhow::Context;
use sampler::model::fields::{Kind, Table, UNLIMITED};
use sampler::model::recording::{Series, TimedEvent};
use sampler::model::units::cell;
use sampler::store::schema::key_columns;
use serde_json::Value;

use crate::cli::export::cells::{NAME, name, precise, value};
use crate::cli::export::writer::{Format, Output, TableWriter, Target};

pub const FORMAT: Format = Format { name: "csv", open };

struct Csv {
    target: Target,
    out: csv::Writer<Output>,
}

fn open(target: Target) -> anyhow::Result<Box<dyn TableWriter>> {
    let mut out = csv::Writer::from_writer(target.output()?);
    match target.table {
        Some(table) => {
            let keys = key_columns(table).iter().map(|key| name(*key));
            // The name is last, so that no column moves.
            let name = (table != Table::Host).then_some(NAME);
            out.write_record(keys.chain(target.columns.iter().map(|field| field.column)).chain(name))?;
        }
        None => out.write_record(["time", "kind", "cgroup", "detail"])?,
    }
    Ok(Box::new(Csv { target, out }))
}

impl TableWriter for Csv {
    fn series(&mut self, series: Series, title: Option<&str>) -> anyhow::Result<()> {
        for row in 0..series.len() {
            for key in key_columns(series.table) {
                match value(*key, &series, row) {
                    Value::String(text) => self.out.write_field(cell(&text))?,
                    other => self.out.write_field(other.to_string())?,
                }
            }
            for field in &self.target.columns {
                match series.column(field).and_then(|column| column.get(row)) {
                    Some(UNLIMITED) if field.kind == Kind::Limit => self.out.write_field("inf")?,
                    Some(value) => self.out.write_field(value.to_string())?,
                    None => self.out.write_field("")?,
                }
            }
            if series.table != Table::Host {
                self.out.write_field(cell(title.unwrap_or("")))?;
            }
            self.out.write_record(None::<&[u8]>)?;
        }
        Ok(())
    }

    fn event(&mut self, event: &TimedEvent) -> anyhow::Result<()> {
        let detail = serde_json::to_string(&event.event).context("write JSON")?;
        let cgroup = event.event.cgroup.as_deref().unwrap_or("");
        self.out.write_record([&precise(event.time_us), event.event.what.kind(), &cell(cgroup), &cell(&detail)])?;
        Ok(())
    }

    fn finish(self: Box<Self>) -> anyhow::Result<()> {
        self.out.into_inner().map_err(csv::IntoInnerError::into_error)?.finish()
    }
}
