//! `sampler export`: a format is one file and one line of [`TABLE`].

mod cells;
mod writer;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::ValueEnum;
use clap::builder::PossibleValuesParser;
use sampler::model::fields::{self, Field, FieldId, Table, find};
use sampler::reading::names::Named;
use sampler::store::scan::{Query, Recording};

use self::writer::{Format, Target};
use crate::cli::output::say_problems;
use crate::cli::remote::LocalRecordings;

sampler::table! {
    /// The formats, a file each.
    const TABLE: [Format] = FORMAT of
        csv
        jsonl
        parquet
}

/// Write a recording, sealed or not, as CSV, JSON lines or Parquet.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  sampler export /var/lib/sampler --cgroup '/docker/**' --from -1h --format csv > docker.csv\n\nIn CSV a limit that is not set is `inf`, in JSON \"max\"; a value that was not read is empty or missing."
)]
pub struct Args {
    /// The recording: its folder, its address (s3://…), a .parquet or a .journal file [default: where `record` writes]
    dir: Option<PathBuf>,
    /// Format to write.
    #[arg(long, default_value = TABLE[0].name, value_parser = PossibleValuesParser::new(TABLE.map(|format| format.name)))]
    format: String,
    /// Table to write.
    #[arg(long, value_enum, default_value_t = Which::Samples)]
    table: Which,
    /// Only these fields, by column or name, separated by commas.
    #[arg(long, value_name = "FIELDS", value_delimiter = ',')]
    fields: Vec<String>,
    #[command(flatten)]
    part: crate::cli::excerpt::Excerpt,
    /// File to write [default: standard output]; for Parquet the folder of a new recording.
    #[arg(long, value_name = "PATH")]
    out: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Which {
    Samples,
    Host,
    Processes,
    Events,
}

/// Runs the command.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let here = LocalRecordings::of(args.dir.as_slice(), &args.part.range())?;
    let mut recording = Recording::open(here.dir())?;
    let selection = args.part.selection()?;
    let table = match args.table {
        Which::Samples => Some(Table::Samples),
        Which::Host => Some(Table::Host),
        Which::Processes => Some(Table::Processes),
        Which::Events => None,
    };
    let chosen = chosen(table, &args.fields)?;
    let wanted = |field: &&'static Field| chosen.is_empty() || chosen.contains(&field.id);
    let columns = table.map_or_else(Vec::new, |table| fields::of(table).filter(wanted).collect());
    let format = TABLE.iter().find(|format| format.name == args.format).context("choose a --format")?;
    let origin = recording.origins().pop();
    let mut out = (format.open)(Target { table, columns, out: args.out.clone(), origin })?;
    match table {
        Some(table) => {
            let named = Named::read(&mut recording);
            let (cgroups, time) = (|path: &str| selection.wants(path), args.part.range());
            let query = Query { cgroups: &cgroups, time, fields: &chosen, lags: true };
            let mut failed = None;
            recording.series(table, &query, |series| {
                let title = if table == Table::Host { None } else { named.title(&series.subject.cgroup) };
                if failed.is_none() {
                    failed = out.series(series, title.as_deref()).err();
                }
            });
            failed.map_or(Ok(()), Err)?;
        }
        None => {
            for event in recording.events(args.part.range()) {
                if event.event.cgroup.as_deref().is_none_or(|cgroup| selection.wants(cgroup)) {
                    out.event(&event)?;
                }
            }
        }
    }
    out.finish()?;
    say_problems(&recording.problems);
    Ok(crate::cli::exit::of(&recording.problems))
}

fn chosen(table: Option<Table>, names: &[String]) -> anyhow::Result<Vec<FieldId>> {
    let Some(table) = table else { return Ok(Vec::new()) };
    let id = |name: &String| match find(table, name) {
        Some(field) => Ok(field.id),
        None => bail!("there is no field `{name}` in this table; `sampler fields` lists them"),
    };
    names.iter().map(id).collect()
}
