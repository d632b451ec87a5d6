//! Parquet: a new recording with one table.

use std::path::PathBuf;

use anyhow::{Context, bail};
use sampler::model::fields::Table;
use sampler::model::recording::{Origin, Series, TimedEvent};
use sampler::store::seal::write_series;

use crate::cli::export::writer::{Format, TableWriter, Target};
use crate::cli::output::say;

pub const FORMAT: Format = Format { name: "parquet", open };

struct Parquet {
    table: Table,
    out: PathBuf,
    origin: Origin,
    all: Vec<Series>,
}

fn open(target: Target) -> anyhow::Result<Box<dyn TableWriter>> {
    let Some(table) = target.table else {
        bail!("events are exported as csv or jsonl; sealed, they are Parquet already")
    };
    let Some(out) = target.out else { bail!("Parquet needs --out FOLDER: it is not written to standard output") };
    let origin = target.origin.context("the recording has no readable part")?;
    Ok(Box::new(Parquet { table, out, origin, all: Vec::new() }))
}

impl TableWriter for Parquet {
    fn series(&mut self, series: Series, _: Option<&str>) -> anyhow::Result<()> {
        self.all.push(series);
        Ok(())
    }

    fn event(&mut self, _: &TimedEvent) -> anyhow::Result<()> {
        Ok(())
    }

    fn finish(self: Box<Self>) -> anyhow::Result<()> {
        let rows = write_series(&self.out, &self.origin, "export", self.table, self.all)?;
        say(&format!("wrote {rows} rows to {}", self.out.display()));
        Ok(())
    }
}
