//! `sampler import`

use std::fs::{self, File};
use std::io::{IsTerminal, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, bail};
use clap::ValueEnum;
use sampler::model::event::{Event, EventKind};
use sampler::model::fields::Table;
use sampler::model::identity::Identity;
use sampler::model::recording::{Origin, Series, Subject, TimedEvent};
use sampler::model::time::{Anchor, format_us};
use sampler::model::units::{count, micros, printable};
use sampler::reading::import::points::{Points, Summary, Whose};
use sampler::reading::import::size::{Prefix, unit};
use sampler::reading::import::{Intake, Notes, Options, Place, Sink, Stop, Target, guess};
use sampler::store::seal::{write_events, write_groups};
use sampler::store::stem_of;
use sampler::ui::terminal::say;
use serde::Serialize;

use crate::cli::output::print;

/// Make a recording of data that was collected elsewhere.
///
/// Reads the JSON of a Prometheus query (cAdvisor, kubelet, cgroup exporters, process-exporter, node_exporter), logs of docker stats,
/// podman stats, kubectl top, ps, top -b, pidstat -r, smem, free, sar -r, psrecord, atop -P, dumps of below, CSV and JSON with a
/// time and a size, and Parquet. What a column means, its unit and its time are found out; what was guessed is printed.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  sampler import query_range.json --out /tmp/web && sampler analyze /tmp/web\n  sampler import stats.log --out /tmp/web          # docker stats in a loop with date\n  sampler import rss.csv --map resident=current --unit kB --timezone Europe/Berlin --out /tmp/web\n\nA cgroup is named by the column or label that names a container, a pod or a process, else by the file. The forms and what each\ncolumn is taken for: docs/import.md."
)]
pub struct Args {
    /// Files of one recording, `-` for standard input; their content says what they are.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Folder of the recording.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Read a column, metric or label as another: THEIRS=OURS, with ours a field, `working_set`, `cgroup`, `time`, `ts_s`, `ts_ms`,
    /// `ts_us` or `ts_ns`; may be given again. The name of a series without one is `value`.
    #[arg(long, value_name = "THEIRS=OURS", value_parser = mapping)]
    map: Vec<(String, String)>,
    /// Unit of sizes that name none: B, kB, KiB, MB, MiB, GB, GiB (all binary), of all columns or of one; may be given again.
    #[arg(long, value_name = "[COLUMN=]UNIT", value_parser = unit_of)]
    unit: Vec<(Option<String>, f64)>,
    /// Zone of times that name none, such as Europe/Berlin [default: UTC]
    #[arg(long, value_name = "ZONE", value_parser = zone)]
    timezone: Option<jiff::tz::TimeZone>,
    /// Whether 03/04/2026 is a day and a month, or a month and a day.
    #[arg(long, value_enum, value_name = "ORDER")]
    dates: Option<Dates>,
    /// Whether a decimal point or a decimal comma is used.
    #[arg(long, value_enum, value_name = "MARK")]
    decimal: Option<Decimal>,
    /// When the first sample was, for data that has no times, times of day only, or times since its start.
    #[arg(long, value_name = "TIME", value_parser = sampler::model::time::parse_time, allow_hyphen_values = true)]
    start: Option<i64>,
    /// Time between samples, for data that has no times.
    #[arg(long, value_name = "TIME", value_parser = sampler::model::units::parse_duration)]
    interval: Option<std::time::Duration>,
    /// Name of the host in the recording.
    #[arg(long, value_name = "NAME", default_value = "import")]
    host: String,
    /// Most cgroups; each takes about 200 bytes of memory.
    #[arg(long, value_name = "NUMBER", default_value_t = 100_000)]
    max_cgroups: usize,
    /// One JSON document (format `sampler.import.v1`) with what was read, guessed and left out.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Dates {
    DayFirst,
    MonthFirst,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Decimal {
    Point,
    Comma,
}

fn mapping(text: &str) -> Result<(String, String), String> {
    // A label or metric may have a `=` of its own; a field has none.
    let (theirs, ours) = text.rsplit_once('=').ok_or_else(|| format!("`{text}` is not THEIRS=OURS"))?;
    Ok((theirs.to_owned(), ours.to_owned()))
}

fn unit_of(text: &str) -> Result<(Option<String>, f64), String> {
    let (column, name) = match text.rsplit_once('=') {
        Some((column, name)) => (Some(column.to_owned()), name),
        None => (None, text),
    };
    let bytes = unit(name, Prefix::Binary).ok_or_else(|| format!("`{name}` is not a unit: try B, kB, MiB or GB"))?;
    Ok((column, bytes))
}

fn zone(text: &str) -> Result<jiff::tz::TimeZone, String> {
    jiff::tz::TimeZone::get(text)
        .map_err(|_| format!("`{text}` is not a time zone of this machine: try UTC or Europe/Berlin"))
}

#[derive(Debug, Serialize)]
struct Imported {
    format: &'static str,
    out: String,
    rows: u64,
    cgroups: u64,
    from: Option<String>,
    to: Option<String>,
    interval_us: i64,
    /// Values that came twice with the same number.
    doubled_values: u64,
    files: Vec<OneFile>,
}

#[derive(Debug, Serialize)]
struct OneFile {
    file: String,
    #[serde(flatten)]
    notes: Notes,
}

/// Runs the command.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let is_new = !args.out.exists();
    let result = import(args);
    // A failure leaves nothing that was not there before.
    if is_new && result.is_err() {
        let _ = fs::remove_dir_all(&args.out);
    }
    let imported = result?;
    if args.json {
        print(&(serde_json::to_string_pretty(&imported).context("write JSON")? + "\n"))?;
    }
    for one in &imported.files {
        show_file(one);
    }
    let [first, ..] = args.files.as_slice() else { bail!("no file") };
    if imported.doubled_values > 0 {
        let doubled = count(imported.doubled_values);
        say(&format!(
            "sampler: {doubled} values came twice for the same cgroup and time, with the same number: they are kept once"
        ));
    }
    let what = if args.files.len() == 1 { first.display().to_string() } else { format!("{} files", args.files.len()) };
    let cgroups = imported.cgroups;
    say(&format!(
        "sampler: {what}: {} rows of {cgroups} {}",
        imported.rows,
        if cgroups == 1 { "cgroup" } else { "cgroups" }
    ));
    if let (Some(from), Some(to)) = (&imported.from, &imported.to) {
        say(&format!("sampler: from {from} to {to}, a row every {}", micros(imported.interval_us as u64)));
    }
    say(&format!("imported; look at it with: sampler analyze {}", quoted(&args.out.display().to_string())));
    Ok(ExitCode::SUCCESS)
}

fn import(args: &Args) -> anyhow::Result<Imported> {
    fs::create_dir_all(&args.out).with_context(|| format!("make the folder {}", args.out.display()))?;
    let points = Points::new(&args.out, args.max_cgroups);
    let mut counted = Counted { points, names: Vec::new(), shown: std::io::stderr().is_terminal() };
    let mut files = Vec::new();
    for file in &args.files {
        let mut notes = Notes::default();
        let before = counted.points.taken;
        read(file, args, &mut notes, &mut counted).map_err(|stop| explain(stop, file, args))?;
        if counted.points.taken == before {
            files.push(OneFile { file: file.display().to_string(), notes });
            files.iter().for_each(show_file);
            bail!("import {}: no row has a time and a value that is known", file.display());
        }
        files.push(OneFile { file: file.display().to_string(), notes });
    }
    counted.end();
    let [first, ..] = args.files.as_slice() else { bail!("no file") };
    let (mut points, names) = (counted.points, counted.names);
    let summary = points.summary().map_err(|stop| explain(stop, first, args))?;
    let origin = origin(args, &summary);
    let mut rows = 0;
    for table in [Table::Samples, Table::Host] {
        rows += write(&mut points, &args.out, &origin, &stem_of(first), table)?;
    }
    if !names.is_empty() {
        let time_us = summary.span_us.map_or(0, |(first, _)| first);
        let event = |(cgroup, identity)| Event {
            mono_ns: origin.anchor.mono_ns,
            cgroup: Some(cgroup),
            what: EventKind::Named(Box::new(identity)),
        };
        let events = names.into_iter().map(|named| TimedEvent { time_us, event: event(named) }).collect();
        write_events(&args.out, &origin, &stem_of(first), events)?;
    }
    Ok(Imported {
        format: "sampler.import.v1",
        out: args.out.display().to_string(),
        rows,
        cgroups: summary.cgroups,
        from: summary.span_us.map(|(first, _)| format_us(first)),
        to: summary.span_us.map(|(_, last)| format_us(last)),
        interval_us: summary.interval_us,
        doubled_values: summary.doubled,
        files,
    })
}

/// Reads one file into the points.
fn read(file: &Path, args: &Args, notes: &mut Notes, sink: &mut dyn Sink) -> Result<(), Stop> {
    let is_input = file == Path::new("-");
    let mut options = Options::new(if is_input { "import".into() } else { stem_of(file) });
    options.maps = args.map.clone();
    options.units = args.unit.clone();
    options.zone = args.timezone.clone();
    options.day_first = args.dates.map(|order| order == Dates::DayFirst);
    options.decimal_comma = args.decimal.map(|mark| mark == Decimal::Comma);
    options.start_us = args.start;
    options.interval_us = args.interval.map(|interval| interval.as_micros() as i64);
    if is_input {
        options.modified_us = Some((sampler::model::time::wall_ns() / 1000) as i64);
        return sampler::reading::import::read(std::io::stdin().lock(), &mut Intake { options: &options, notes, sink });
    }
    let mut opened = File::open(file)?;
    let modified = opened.metadata()?.modified().ok().and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok());
    options.modified_us = modified.map(|age| age.as_micros() as i64);
    let mut head = Vec::new();
    (&mut opened).take(4).read_to_end(&mut head)?;
    let intake = &mut Intake { options: &options, notes, sink };
    if guess::is_parquet(&head) {
        return sampler::reading::import::parquet::read(File::open(file)?, intake);
    }
    sampler::reading::import::read(std::io::Cursor::new(head).chain(opened), intake)
}

/// The sentence of a stop, with the command that goes on where there is one.
fn explain(stop: Stop, file: &Path, args: &Args) -> anyhow::Error {
    let context = format!("import {}", file.display());
    match stop {
        Stop::Io(error) => anyhow::Error::new(error).context(format!("read {}", file.display())).context(context),
        Stop::Needs { what, args: more } if more.is_empty() => anyhow::Error::msg(what).context(context),
        Stop::Needs { what, args: more } => {
            let mut words: Vec<String> = vec!["sampler".into(), "import".into()];
            words.extend(args.files.iter().map(|file| file.display().to_string()));
            words.extend(args.map.iter().flat_map(|(theirs, ours)| ["--map".to_owned(), format!("{theirs}={ours}")]));
            words.extend(more);
            words.extend(["--out".to_owned(), args.out.display().to_string()]);
            let words: Vec<String> = words.iter().map(|word| quoted(word)).collect();
            anyhow::Error::msg(format!("{what}\n  {}", words.join(" "))).context(context)
        }
    }
}

/// A word as a shell takes it.
fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,+@%".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", printable(word).replace('\'', "'\\''"))
}

/// Prints what was understood of a file, guessed and left out.
fn show_file(one: &OneFile) {
    const MOST: usize = 20;
    let (file, notes) = (printable(&one.file), &one.notes);
    let line = |text: String| say(&format!("sampler: {file}: {text}"));
    if !notes.formats.is_empty() {
        line(format!("read as {}", notes.formats.iter().copied().collect::<Vec<_>>().join(", ")));
    }
    for (column, taken) in notes.columns.iter().take(MOST) {
        let how = if taken.guessed { ", a guess by its name and values" } else { "" };
        line(format!("`{}` is taken as {} in {}{how}", printable(column), taken.field, taken.unit));
    }
    for sentence in notes.times.iter().chain(&notes.remarks).take(MOST) {
        line(printable(sentence));
    }
    for (name, why) in notes.left_out.iter().take(MOST) {
        line(format!("`{}` is left out: {}", printable(name), printable(why)));
    }
    let more = notes.columns.len().saturating_sub(MOST) + notes.left_out.len().saturating_sub(MOST);
    if more > 0 {
        line(format!("and {more} more; --json has them all"));
    }
    if notes.refused_values > 0 {
        line(format!("{} values are left out: no numbers, negative or too large", count(notes.refused_values)));
    }
    if notes.unread_lines > 0 {
        line(format!("{} lines were not understood", count(notes.unread_lines)));
    }
}

/// Imported data knows the wall clock only: it stands for both.
fn origin(args: &Args, summary: &Summary) -> Origin {
    let first = summary.span_us.map_or(0, |(first, _)| first);
    let wall_ns = (first.max(0) as u64).saturating_mul(1000);
    Origin {
        format: 1,
        host: args.host.clone(),
        boot_id: "import".into(),
        kernel: "import".into(),
        wsl: None,
        hierarchy: "import".into(),
        agent: env!("CARGO_PKG_VERSION").into(),
        cpus: 0,
        page_size: 4096,
        interval_us: summary.interval_us.max(0) as u64,
        slow_interval_us: summary.interval_us.max(0) as u64,
        anchor: Anchor { mono_ns: wall_ns, wall_ns },
    }
}

/// Rows of a row group: fewer than a sealed segment has, because they are held beside the points.
const GROUP: usize = 64 << 10;

/// Writes the rows of a table, if it has any.
fn write(points: &mut Points, out: &Path, origin: &Origin, stem: &str, table: Table) -> anyhow::Result<u64> {
    write_groups(out, origin, stem, table, |each| -> anyhow::Result<()> {
        let mut group: Vec<Series> = Vec::new();
        let mut rows = 0;
        let mut failed = None;
        let is_of =
            |series: &Series, whose: &Whose<'_>| series.subject.cgroup == whose.name && series.subject.id == whose.life;
        let result = points.rows(table, |whose, time_us, row| {
            if rows >= GROUP {
                rows = 0;
                if let Err(error) = each(std::mem::take(&mut group)) {
                    failed = Some(error);
                    return Err(Stop::new("write the recording"));
                }
            }
            if !group.last().is_some_and(|series| is_of(series, whose)) {
                let subject = Subject { cgroup: whose.name.to_owned(), id: whose.life, process: None };
                group.push(Series::new(Arc::new(subject), table));
            }
            if let Some(series) = group.last_mut() {
                series.push(time_us, row);
                rows += 1;
            }
            Ok(())
        });
        match failed {
            Some(error) => Err(error),
            None => {
                result?;
                each(group)
            }
        }
    })
}

/// Counts values in one line of a terminal while they are read.
struct Counted {
    points: Points,
    names: Vec<(String, Identity)>,
    shown: bool,
}

impl Sink for Counted {
    fn point(&mut self, place: &Place<'_>, target: Target, value: u64) -> Result<(), Stop> {
        self.points.point(place, target, value)?;
        if self.shown && self.points.taken.is_multiple_of(1_000_000) {
            let _ = write!(std::io::stderr(), "\rsampler: {} million values", self.points.taken / 1_000_000);
        }
        Ok(())
    }

    fn rename(&mut self, from: &str, to: &str) {
        self.points.rename(from, to);
    }

    fn named(&mut self, who: &str, identity: Identity) {
        self.names.push((who.to_owned(), identity));
    }
}

impl Counted {
    fn end(&self) {
        if self.shown && self.points.taken >= 1_000_000 {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}
