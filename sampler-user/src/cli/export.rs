//! `sampler export`

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::ValueEnum;
use sampler::model::fields;
use sampler::model::fields::{Field, FieldId, Kind, Table, UNLIMITED, find};
use sampler::model::recording::Series;
use sampler::model::time::format_us;
use sampler::model::units::cell;
use sampler::reading::names::Named;
use sampler::store::scan::{Query, Recording};
use sampler::store::schema::{KeyColumn, key_columns};
use sampler::store::seal::write_series;
use serde_json::{Map, Value, json};

use crate::cli::remote::LocalRecordings;

/// Write a recording, sealed or not, as CSV, JSON lines or Parquet.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  sampler export /var/lib/sampler --cgroup '/docker/**' --from -1h --format csv > docker.csv\n\nIn CSV a limit that is not set is `inf`, in JSON \"max\"; a value that was not read is empty or missing."
)]
pub struct Args {
    /// The recording: its folder, its address (s3://…), a .parquet or a .journal file [default: where `record` writes]
    dir: Option<PathBuf>,
    /// Format to write.
    #[arg(long, value_enum, default_value_t = Format::Csv)]
    format: Format,
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
enum Format {
    Csv,
    Jsonl,
    Parquet,
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
    let query = Query { cgroups: &|path| selection.wants(path), time: args.part.range(), fields: &chosen, lags: true };
    match (table, args.format) {
        (Some(table), Format::Parquet) => parquet(&mut recording, table, &query, args.out.as_ref())?,
        (None, Format::Parquet) => bail!("events are exported as csv or jsonl; sealed, they are Parquet already"),
        (Some(table), _) => {
            let named = Named::read(&mut recording);
            let mut out = Rows::new(args.format, table, &chosen, output(args.out.as_ref())?)?;
            let mut failed = None;
            recording.series(table, &query, |series| {
                if failed.is_none() {
                    failed = out.write(&series, &named).err();
                }
            });
            failed.map_or(Ok(()), Err)?;
            out.finish()?;
        }
        (None, _) => events(&mut recording, &query, args.format, output(args.out.as_ref())?)?,
    }
    for problem in &recording.problems {
        sampler::ui::terminal::say(&format!("sampler: {}: {}", problem.source, problem.what));
    }
    Ok(ExitCode::SUCCESS)
}

fn chosen(table: Option<Table>, names: &[String]) -> anyhow::Result<Vec<FieldId>> {
    let Some(table) = table else { return Ok(Vec::new()) };
    let id = |name: &String| match find(table, name) {
        Some(field) => Ok(field.id),
        None => bail!("there is no field `{name}` in this table; `sampler fields` lists them"),
    };
    names.iter().map(id).collect()
}

fn output(path: Option<&PathBuf>) -> anyhow::Result<Box<dyn Write>> {
    Ok(match path {
        Some(path) => {
            Box::new(BufWriter::new(File::create(path).with_context(|| format!("create {}", path.display()))?))
        }
        None => Box::new(BufWriter::new(io::stdout().lock())),
    })
}

fn parquet(recording: &mut Recording, table: Table, query: &Query<'_>, out: Option<&PathBuf>) -> anyhow::Result<()> {
    let Some(out) = out else { bail!("Parquet needs --out FOLDER: it is not written to standard output") };
    let origin = recording.origins().pop().context("the recording has no readable part")?;
    let mut all = Vec::new();
    recording.series(table, query, |series| all.push(series));
    let rows = write_series(out, &origin, "export", table, all)?;
    sampler::ui::terminal::say(&format!("wrote {rows} rows to {}", out.display()));
    Ok(())
}

/// Column of what a cgroup is called, in text; the tables of a recording have it in `cgroups`.
const NAME: &str = "name";

/// Rows as text.
enum Rows {
    Csv(Table, Vec<&'static Field>, Box<csv::Writer<Box<dyn Write>>>),
    Jsonl(Table, Vec<&'static Field>, Box<dyn Write>),
}

impl Rows {
    fn new(format: Format, table: Table, chosen: &[FieldId], out: Box<dyn Write>) -> anyhow::Result<Rows> {
        let wanted = |field: &&'static Field| chosen.is_empty() || chosen.contains(&field.id);
        let columns: Vec<&'static Field> = fields::of(table).filter(wanted).collect();
        if format == Format::Jsonl {
            return Ok(Rows::Jsonl(table, columns, out));
        }
        let mut out = csv::Writer::from_writer(out);
        let name_column = (table != Table::Host).then_some(NAME);
        let lead = key_columns(table).iter().map(|lead| name(*lead));
        // Last, so that no column moves.
        out.write_record(lead.chain(columns.iter().map(|field| field.column)).chain(name_column))?;
        Ok(Rows::Csv(table, columns, Box::new(out)))
    }

    fn write(&mut self, series: &Series, named: &Named) -> anyhow::Result<()> {
        let title = if series.table == Table::Host { None } else { named.title(&series.subject.cgroup) };
        for row in 0..series.len() {
            match self {
                Rows::Csv(table, columns, out) => {
                    for lead in key_columns(*table) {
                        match lead_value(*lead, series, row) {
                            Value::String(text) => out.write_field(cell(&text))?,
                            other => out.write_field(other.to_string())?,
                        }
                    }
                    for field in columns.iter() {
                        match series.column(field).and_then(|column| column.get(row)) {
                            Some(UNLIMITED) if field.kind == Kind::Limit => out.write_field("inf")?,
                            Some(value) => out.write_field(value.to_string())?,
                            None => out.write_field("")?,
                        }
                    }
                    if *table != Table::Host {
                        out.write_field(cell(title.as_deref().unwrap_or("")))?;
                    }
                    out.write_record(None::<&[u8]>)?;
                }
                Rows::Jsonl(table, columns, out) => {
                    let lead = key_columns(*table).iter().map(|l| (name(*l).to_owned(), lead_value(*l, series, row)));
                    let mut map: Map<String, Value> = lead.collect();
                    if let Some(title) = &title {
                        map.insert(NAME.to_owned(), json!(title));
                    }
                    for field in columns.iter() {
                        let value = match series.column(field).and_then(|column| column.get(row)) {
                            Some(UNLIMITED) if field.kind == Kind::Limit => json!("max"),
                            Some(value) => json!(value),
                            None => continue,
                        };
                        map.insert(field.column.to_owned(), value);
                    }
                    serde_json::to_writer(&mut *out, &map).map_err(io::Error::from)?;
                    out.write_all(b"\n")?;
                }
            }
        }
        Ok(())
    }

    fn finish(self) -> anyhow::Result<()> {
        match self {
            Rows::Csv(_, _, mut out) => out.flush()?,
            Rows::Jsonl(_, _, mut out) => out.flush()?,
        }
        Ok(())
    }
}

/// Text has the lag itself: rows of a pass may be far apart in it, or left out.
fn name(lead: KeyColumn) -> &'static str {
    if lead == KeyColumn::Gap { "lag_us" } else { lead.name() }
}

fn lead_value(lead: KeyColumn, series: &Series, row: usize) -> Value {
    let process = series.subject.process.as_ref();
    match lead {
        KeyColumn::Cgroup => json!(series.subject.cgroup),
        KeyColumn::Id => json!(series.subject.id),
        KeyColumn::Pid => json!(process.map(|p| p.pid)),
        KeyColumn::Start => json!(process.map(|p| p.start)),
        KeyColumn::Comm => json!(process.map(|p| &p.comm)),
        KeyColumn::Time => json!(precise(series.time_us[row])),
        KeyColumn::Gap => json!(series.lag_us[row]),
    }
}

/// RFC 3339 with all six digits: an export must not lose what was recorded.
fn precise(wall_us: i64) -> String {
    let coarse = format_us(wall_us.div_euclid(1000) * 1000);
    match coarse.strip_suffix('Z') {
        Some(head) => format!("{head}{:03}Z", wall_us.rem_euclid(1000)),
        None => coarse,
    }
}

fn events(recording: &mut Recording, query: &Query<'_>, format: Format, out: Box<dyn Write>) -> anyhow::Result<()> {
    let mut events = recording.events(query.time.clone());
    events.retain(|e| e.event.cgroup.as_deref().is_none_or(|cgroup| (query.cgroups)(cgroup)));
    if format == Format::Jsonl {
        let mut out = out;
        for event in &events {
            let mut value = serde_json::to_value(event).context("write JSON")?;
            value["time"] = json!(precise(event.time_us));
            serde_json::to_writer(&mut out, &value).map_err(io::Error::from)?;
            out.write_all(b"\n")?;
        }
        return Ok(out.flush()?);
    }
    let mut out = csv::Writer::from_writer(out);
    out.write_record(["time", "kind", "cgroup", "detail"])?;
    for event in &events {
        let detail = serde_json::to_string(&event.event).context("write JSON")?;
        let cgroup = event.event.cgroup.as_deref().unwrap_or("");
        out.write_record([&precise(event.time_us), event.event.what.kind(), &cell(cgroup), &cell(&detail)])?;
    }
    Ok(out.flush()?)
}
