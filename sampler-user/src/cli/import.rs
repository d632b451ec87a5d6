//! `sampler import`

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, bail};
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::Field as Cell;
use sampler::model::fields::{Field, FieldId, Kind, Table, UNLIMITED, find};
use sampler::model::recording::{Origin, Series, Subject};
use sampler::model::sample::Row;
use sampler::model::time::Anchor;
use sampler::store::seal::write_series;
use sampler::store::stem_of;
use sampler::ui::terminal::say;
use serde_json::Value;

/// Make a recording of data that was collected elsewhere.
///
/// CSV or Parquet with named columns: `ts_ns` (Unix nanoseconds), `cgroup` (or the file's name names it), and columns by the
/// names of the field table. Or the JSON of a Prometheus range query over cAdvisor's container_* series.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  sampler import web.parquet --map rss=anon --map when=ts_ns --out /tmp/web && sampler info /tmp/web"
)]
pub struct Args {
    /// Files: .parquet, .csv or .json.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Folder of the recording.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Read a column as another: THEIRS=OURS, with ours a field, `ts_ns` or `cgroup`; may be given again.
    #[arg(long, value_name = "THEIRS=OURS", value_parser = mapping)]
    map: Vec<(String, String)>,
    /// Name of the host in the recording.
    #[arg(long, value_name = "NAME", default_value = "import")]
    host: String,
}

fn mapping(text: &str) -> Result<(String, String), String> {
    let (theirs, ours) = text.split_once('=').ok_or_else(|| format!("`{text}` is not THEIRS=OURS"))?;
    Ok((theirs.to_owned(), ours.to_owned()))
}

/// What a column of theirs is.
#[derive(Clone, Copy)]
enum Meaning {
    Time,
    Cgroup,
    Value(&'static Field),
}

/// Rows by cgroup and time; several cells of one row may come from several series.
#[derive(Default)]
struct Collected {
    rows: BTreeMap<String, BTreeMap<i64, Row>>,
    unknown: BTreeSet<String>,
    refused: u64,
}

impl Collected {
    fn put(&mut self, cgroup: &str, time_us: i64, field: &Field, value: f64) {
        let value = match value {
            v if v.is_nan() => return,
            v if v == f64::INFINITY && field.kind == Kind::Limit => UNLIMITED,
            v if !(0.0..9.2e18).contains(&v) => {
                self.refused += 1;
                return;
            }
            v => v as u64,
        };
        let rows = match self.rows.get_mut(cgroup) {
            Some(rows) => rows,
            None => self.rows.entry(cgroup.to_owned()).or_default(),
        };
        rows.entry(time_us).or_insert_with(|| Row::new(0)).put(field, value);
    }
}

/// Runs the command.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    for file in &args.files {
        let mut table = Collected::default();
        let ending = file.extension().map(|e| e.to_string_lossy().to_lowercase()).unwrap_or_default();
        let read = match ending.as_str() {
            "parquet" => parquet(file, args, &mut table),
            "csv" => csv(file, args, &mut table),
            "json" => prometheus(file, &mut table),
            _ => bail!("{}: not a .parquet, .csv or .json file", file.display()),
        };
        read.with_context(|| format!("import {}", file.display()))?;
        for column in &table.unknown {
            say(&format!(
                "sampler: {}: `{column}` is left out: no field has this name (--map {column}=FIELD)",
                file.display()
            ));
        }
        if table.refused > 0 {
            say(&format!("sampler: {}: {} negative or too large values are left out", file.display(), table.refused));
        }
        let rows = write(file, args, table)?;
        say(&format!("sampler: {}: {rows} rows", file.display()));
    }
    say(&format!("imported; look at it with: sampler info {}", args.out.display()));
    Ok(ExitCode::SUCCESS)
}

fn write(file: &Path, args: &Args, table: Collected) -> anyhow::Result<u64> {
    let times = || table.rows.values().flat_map(|rows| rows.keys());
    let Some(first) = times().min().copied() else {
        bail!("{}: no row has a time and a value", file.display());
    };
    let interval = table.rows.values().find_map(|rows| {
        let mut times = rows.keys();
        Some((times.next_back()? - rows.keys().next()?) / (rows.len() as i64 - 1).max(1))
    });
    // Imported data knows the wall clock only: it stands for both.
    let wall_ns = (first.max(0) as u64).saturating_mul(1000);
    let origin = Origin {
        format: 1,
        host: args.host.clone(),
        boot_id: "import".into(),
        kernel: "import".into(),
        wsl: None,
        hierarchy: "import".into(),
        agent: env!("CARGO_PKG_VERSION").into(),
        cpus: 0,
        page_size: 4096,
        interval_us: interval.unwrap_or(0).max(0) as u64,
        slow_interval_us: interval.unwrap_or(0).max(0) as u64,
        anchor: Anchor { mono_ns: wall_ns, wall_ns },
    };
    let series = table.rows.into_iter().map(|(cgroup, rows)| {
        let mut series = Series::new(Arc::new(Subject { cgroup, id: 0, process: None }), Table::Samples);
        rows.into_iter().for_each(|(time, row)| series.push(time, &row));
        series
    });
    fs::create_dir_all(&args.out).with_context(|| format!("make the folder {}", args.out.display()))?;
    Ok(write_series(&args.out, &origin, &stem_of(file), Table::Samples, series.collect())?)
}

/// What each named column means; the unknown ones are noted.
fn meanings<'a>(
    names: impl Iterator<Item = &'a str>,
    args: &Args,
    table: &mut Collected,
) -> anyhow::Result<Vec<Option<Meaning>>> {
    let mut found = Vec::new();
    for name in names {
        let ours = args.map.iter().find(|(theirs, _)| theirs == name).map_or(name, |(_, ours)| ours);
        let meaning = match ours {
            "ts_ns" => Some(Meaning::Time),
            "cgroup" => Some(Meaning::Cgroup),
            other => find(Table::Samples, other).map(Meaning::Value),
        };
        if meaning.is_none() {
            table.unknown.insert(name.to_owned());
        }
        found.push(meaning);
    }
    if !found.iter().flatten().any(|m| matches!(m, Meaning::Time)) {
        bail!("no column `ts_ns` (Unix nanoseconds); name yours with --map COLUMN=ts_ns");
    }
    Ok(found)
}

fn parquet(file: &Path, args: &Args, table: &mut Collected) -> anyhow::Result<()> {
    let reader = SerializedFileReader::new(File::open(file)?)?;
    let schema = reader.metadata().file_metadata().schema_descr_ptr();
    let meanings = meanings(schema.columns().iter().map(|c| c.name()), args, table)?;
    let stem = stem_of(file);
    for row in reader.get_row_iter(None)? {
        let row = row?;
        let cells: Vec<&Cell> = row.get_column_iter().map(|(_, cell)| cell).collect();
        let mut place = (None, None);
        for (cell, meaning) in cells.iter().zip(&meanings) {
            match (meaning, cell) {
                (Some(Meaning::Time), cell) => place.0 = whole(cell),
                (Some(Meaning::Cgroup), Cell::Str(text)) => place.1 = Some(text.as_str()),
                (Some(Meaning::Cgroup), Cell::Bytes(bytes)) => place.1 = std::str::from_utf8(bytes.data()).ok(),
                _ => {}
            }
        }
        let Some(ts_ns) = place.0 else { continue };
        for (cell, meaning) in cells.iter().zip(&meanings) {
            if let (Some(Meaning::Value(field)), Some(value)) = (meaning, number(cell)) {
                table.put(place.1.unwrap_or(&stem), ts_ns.div_euclid(1000), field, value);
            }
        }
    }
    Ok(())
}

fn whole(cell: &Cell) -> Option<i64> {
    match cell {
        Cell::Long(v) => Some(*v),
        Cell::ULong(v) => i64::try_from(*v).ok(),
        Cell::TimestampMicros(v) => v.checked_mul(1000),
        Cell::TimestampMillis(v) => v.checked_mul(1_000_000),
        other => number(other).map(|v| v as i64),
    }
}

fn number(cell: &Cell) -> Option<f64> {
    Some(match cell {
        Cell::Byte(v) => f64::from(*v),
        Cell::Short(v) => f64::from(*v),
        Cell::Int(v) => f64::from(*v),
        Cell::Long(v) => *v as f64,
        Cell::UByte(v) => f64::from(*v),
        Cell::UShort(v) => f64::from(*v),
        Cell::UInt(v) => f64::from(*v),
        Cell::ULong(v) => *v as f64,
        Cell::Float(v) => f64::from(*v),
        Cell::Double(v) => *v,
        Cell::Bool(v) => f64::from(u8::from(*v)),
        _ => return None,
    })
}

fn csv(file: &Path, args: &Args, table: &mut Collected) -> anyhow::Result<()> {
    let mut reader = csv::ReaderBuilder::new().flexible(true).trim(csv::Trim::All).from_path(file)?;
    let names: Vec<String> = reader.headers()?.iter().map(str::to_owned).collect();
    let meanings = meanings(names.iter().map(String::as_str), args, table)?;
    let stem = stem_of(file);
    let mut record = csv::StringRecord::new();
    while reader.read_record(&mut record)? {
        let find = |wanted: fn(&Meaning) -> bool| {
            meanings.iter().position(|m| m.as_ref().is_some_and(wanted)).and_then(|at| record.get(at))
        };
        let Some(ts_ns) = find(|m| matches!(m, Meaning::Time)).and_then(|text| text.parse::<i64>().ok()) else {
            table.refused += 1;
            continue;
        };
        let cgroup = find(|m| matches!(m, Meaning::Cgroup)).unwrap_or(&stem).to_owned();
        for (text, meaning) in record.iter().zip(&meanings) {
            let Some(Meaning::Value(field)) = meaning else { continue };
            let value = if text == "max" { Some(f64::INFINITY) } else { text.parse().ok() };
            if let Some(value) = value {
                table.put(&cgroup, ts_ns.div_euclid(1000), field, value);
            }
        }
    }
    Ok(())
}

/// cAdvisor's series and the fields they are, with the factor to our unit.
const CADVISOR: [(&str, FieldId, f64); 17] = [
    ("container_memory_usage_bytes", FieldId::Current, 1.0),
    ("container_memory_rss", FieldId::Anon, 1.0),
    ("container_memory_cache", FieldId::File, 1.0),
    ("container_memory_swap", FieldId::SwapCurrent, 1.0),
    ("container_memory_mapped_file", FieldId::FileMapped, 1.0),
    ("container_memory_kernel_usage", FieldId::Kernel, 1.0),
    ("container_memory_total_active_file_bytes", FieldId::ActiveFile, 1.0),
    ("container_memory_total_inactive_file_bytes", FieldId::InactiveFile, 1.0),
    ("container_memory_max_usage_bytes", FieldId::Peak, 1.0),
    ("container_memory_failcnt", FieldId::EventsMax, 1.0),
    ("container_spec_memory_limit_bytes", FieldId::Max, 1.0),
    ("container_oom_events_total", FieldId::EventsOomKill, 1.0),
    ("container_cpu_usage_seconds_total", FieldId::CpuUsage, 1e6),
    ("container_pressure_memory_waiting_seconds_total", FieldId::PressureSome, 1e6),
    ("container_pressure_memory_stalled_seconds_total", FieldId::PressureFull, 1e6),
    ("container_threads", FieldId::PidsCurrent, 1.0),
    ("container_memory_failures_total", FieldId::Pgfault, 1.0),
];

fn prometheus(file: &Path, table: &mut Collected) -> anyhow::Result<()> {
    let document: Value = serde_json::from_reader(std::io::BufReader::new(File::open(file)?))?;
    let series = document.pointer("/data/result").or(document.get("result")).and_then(Value::as_array);
    let series = series.context("not the JSON of a Prometheus range query: no /data/result")?;
    for one in series {
        let label = |name: &str| one.pointer(&format!("/metric/{name}")).and_then(Value::as_str);
        let name = label("__name__").unwrap_or("(a series without a name)");
        let Some((_, id, factor)) = CADVISOR.iter().find(|(theirs, _, _)| *theirs == name) else {
            table.unknown.insert(name.to_owned());
            continue;
        };
        let mut field = id.field();
        if name == "container_memory_failures_total" {
            match (label("failure_type"), label("scope")) {
                (Some("pgfault"), Some("hierarchy")) => {}
                (Some("pgmajfault"), Some("hierarchy")) => field = FieldId::Pgmajfault.field(),
                _ => continue,
            }
        }
        let pod = || Some(format!("/{}/{}/{}", label("namespace")?, label("pod")?, label("container").unwrap_or("")));
        let cgroup = label("id").map(str::to_owned).or_else(pod).or_else(|| label("name").map(str::to_owned));
        let cgroup = cgroup.unwrap_or_else(|| stem_of(file));
        for pair in one.get("values").and_then(Value::as_array).into_iter().flatten() {
            let (Some(time), Some(value)) = (pair[0].as_f64(), pair[1].as_str().and_then(|v| v.parse::<f64>().ok()))
            else {
                table.refused += 1;
                continue;
            };
            // cAdvisor prints a limit that is not set as 0.
            let value = if field.kind == Kind::Limit && value == 0.0 { f64::INFINITY } else { value * factor };
            table.put(&cgroup, (time * 1e6).round() as i64, field, value);
        }
    }
    Ok(())
}
