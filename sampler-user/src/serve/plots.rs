//! The plots of a time, as JSON: from the overview, or of a short time from the rows.

use std::time::{Duration, Instant};

use serde::Serialize;

use crate::model::units::printable;
use crate::reading::plots::drawn::{Wanted, parents, read};
use crate::reading::plots::grid::{BINS, Grid};
use crate::reading::plots::set::Set;
use crate::serve::opened::Opened;
use crate::serve::query::Asked;
use crate::serve::seen::Seen;
use crate::store::scan::Recording;

/// Version of the document.
const FORMAT: &str = "sampler.plots.v1";
/// A time of fewer buckets of the overview than these is read from the rows: of one cgroup, and of several.
const FINE: i64 = 300;
const FINE_OF_MANY: i64 = 60;
/// More cgroups are drawn from the overview alone: all columns of each take 200 KiB while they are read.
const MOST_FROM_ROWS: usize = 120;
/// cgroups that the chart begins with.
const CHARTED: usize = 8;
/// The first rows of a recording are waited for so long.
const FIRST: Duration = Duration::from_secs(2);
/// The shortest time that is plotted, microseconds.
const LEAST_US: i64 = 10_000;

#[derive(Serialize)]
struct Plots {
    format: &'static str,
    host: String,
    kernel: String,
    /// First and last time of the recording, microseconds since 1970.
    span_us: (i64, i64),
    /// `rows`, or `overview` where each point stands for a bucket.
    source: &'static str,
    /// How long a bucket is, microseconds; 0 for rows.
    width_us: i64,
    /// How much of the past was read, 0 to 1: before 1 something may be missing.
    read: f64,
    notes: Vec<String>,
    set: Set,
}

/// What was asked for cannot be shown.
pub enum NoPlots {
    /// It is no time or no cgroup.
    Wrong(String),
    /// Nothing was recorded then.
    Nothing(String),
    /// It could not be read.
    Failed(String),
}

/// The document.
pub fn plots(opened: &Opened, asked: &Asked) -> Result<String, NoPlots> {
    let (from, to) = (asked.time("from").map_err(NoPlots::Wrong)?, asked.time("to").map_err(NoPlots::Wrong)?);
    let (only, first) = (asked.all("cgroup"), asked.all("first"));
    let wanted = |path: &str| only.is_empty() || only.iter().any(|one| one == path);
    let mut progress = opened.progress();
    let begun = Instant::now();
    while progress.span_us.is_none() && progress.read < 1.0 && begun.elapsed() < FIRST {
        std::thread::sleep(FIRST / 100);
        progress = opened.progress();
    }
    let span_us = progress.span_us.ok_or_else(|| NoPlots::Nothing(nothing(progress.read)))?;
    let begin = from.unwrap_or(span_us.0).max(span_us.0);
    let end = to.unwrap_or(i64::MAX).min(span_us.1.saturating_add(1_000_000));
    if end - begin < LEAST_US {
        return Err(NoPlots::Nothing(
            "nothing was recorded in this time; `span_us` of /api/v1/plots is the whole".into(),
        ));
    }
    let seen = opened.lock();
    let width_us = seen.overview.width_us();
    let fine = if only.len() == 1 { FINE } else { FINE_OF_MANY };
    let is_fine =
        (end - begin) / width_us < fine && seen.overview.largest(&(begin..end), &wanted).len() <= MOST_FROM_ROWS;
    let grid = if is_fine { Grid { span: begin..end, count: BINS } } else { seen.overview.grid(begin..end) };
    let charted =
        if first.is_empty() && only.is_empty() { charted(&seen, &grid) } else { [only.clone(), first].concat() };
    let mut notes: Vec<String> = seen.problems.iter().map(|problem| format!("not read: {problem}")).collect();
    if seen.overview.is_cut {
        notes.push("of more than 20,000 cgroups the later ones are in short times only".into());
    }
    let drawing = if is_fine {
        drop(seen);
        let failed = |error: crate::store::Error| NoPlots::Failed(format!("{:#}", anyhow::Error::from(error)));
        let mut recording = Recording::open(opened.dir()).map_err(failed)?;
        let one = only.first().filter(|_| only.len() == 1).map(String::as_str);
        let (drawing, _) = read(&mut recording, &grid, &wanted, one);
        notes.extend(recording.problems.iter().map(|problem| format!("not read: {problem}")));
        notes.dedup();
        drawing
    } else {
        let drawing = seen.overview.drawing(&grid, &wanted, &charted);
        drop(seen);
        drawing
    };
    let seen = opened.lock();
    let set = drawing.into_set("all of it", &grid, &Wanted { cgroups: &wanted, charted: &charted, named: &seen.named });
    let plots = Plots {
        format: FORMAT,
        host: printable(&seen.board.origin.0),
        kernel: printable(&seen.kernel),
        span_us,
        source: if is_fine { "rows" } else { "overview" },
        width_us: if is_fine { 0 } else { width_us },
        read: progress.read,
        notes,
        set,
    };
    drop(seen);
    serde_json::to_string(&plots).map_err(|error| NoPlots::Failed(error.to_string()))
}

fn nothing(read: f64) -> String {
    if read < 1.0 { "the recording is being read; try again".into() } else { "the recording holds no samples".into() }
}

/// The containers, or where there are none the cgroups that have none below them: the largest.
fn charted(seen: &Seen, grid: &Grid) -> Vec<String> {
    let largest = seen.overview.largest(&grid.span, &|_| true);
    let above = parents(largest.iter().map(|(path, _)| *path));
    let is_container = |path: &str| seen.named.who(path).is_some_and(|who| who.is_container());
    let pick = |is_wanted: &dyn Fn(&str) -> bool| -> Vec<String> {
        let wanted = largest.iter().map(|(path, _)| *path).filter(|path| is_wanted(path));
        wanted.take(CHARTED).map(str::to_owned).collect()
    };
    let containers = pick(&|path| is_container(path) && !above.contains(path));
    if containers.is_empty() { pick(&|path| !above.contains(path)) } else { containers }
}
