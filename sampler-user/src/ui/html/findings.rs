//! What a page shows of each cgroup, and of each time of pressure: the order, the fold and the words of `analyze`.

use serde::Serialize;

use crate::analysis::leak::detectors::Class;
use crate::analysis::relevance::{Place, Reason};
use crate::model::word::word;
use crate::reading::analysis::{Analysis, Cgroup};
use crate::ui::text;
use crate::ui::text::table::Row;

/// One cgroup. Sizes are bytes, times seconds.
#[derive(Debug, Serialize)]
pub struct Finding {
    /// The cgroup.
    pub path: String,
    /// Its class.
    pub class: String,
    /// In one line.
    pub words: String,
    /// Why.
    pub evidence: Vec<String>,
    /// As people call it.
    pub name: String,
    /// What it stands for in the list: killed, leak, its class.
    pub state: String,
    /// How grave that is.
    pub tone: Tone,
    /// Whether it matters, or is folded.
    pub shown: bool,
    /// What there is to report, what matters most first.
    pub remarks: Vec<String>,
    /// What it held at the end.
    pub size: Option<u64>,
    /// What it held at most.
    pub peak: u64,
    /// Its own limit.
    pub limit: Option<u64>,
    /// Pace of a leak, bytes a minute.
    pub pace: Option<f64>,
    /// Time until its limit is reached.
    pub left_s: Option<f64>,
    /// How long its tasks waited for memory.
    pub stalled_s: f64,
    /// Processes that were killed in it.
    pub kills: u64,
}

/// How grave something is: its colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tone {
    /// Something died, or will.
    Bad,
    /// Something suffered.
    Warn,
    /// Neither.
    #[default]
    Calm,
}

/// A time of pressure.
#[derive(Debug, Serialize)]
pub struct Pressed {
    /// When, microseconds since 1970.
    pub time_us: i64,
    /// Whose; empty for the machine.
    pub path: String,
    /// As people call it.
    pub name: String,
    /// How long, seconds.
    pub duration_s: f64,
    /// How long its tasks waited, seconds.
    pub stall_s: Option<f64>,
    /// How, in words.
    pub words: String,
}

/// Times of pressure that a page lists.
const PRESSED: usize = 100;

/// The findings in their order, those that matter first, and how many are folded.
pub fn findings(analysis: &Analysis) -> (Vec<Finding>, Option<String>) {
    let (rows, folded) = text::analysis::rows(analysis);
    let finding = |(place, row): (Place, Row), shown| finding(&analysis.cgroups[place.at], &place, row, shown);
    let mut all: Vec<Finding> = rows.into_iter().map(|row| finding(row, true)).collect();
    all.extend(text::analysis::folded_rows(analysis).into_iter().map(|row| finding(row, false)));
    (all, (folded.count() > 0).then(|| folded.to_string()))
}

fn finding(cgroup: &Cgroup, place: &Place, row: Row, shown: bool) -> Finding {
    let (verdict, standing) = (&cgroup.verdict, &cgroup.standing);
    let leaks = verdict.verdict == Class::Leak && place.leaks;
    Finding {
        path: cgroup.path.clone(),
        class: word(&verdict.verdict),
        words: text::analysis::in_a_line(cgroup),
        evidence: verdict.evidence.clone(),
        name: row.name,
        state: row.state.0,
        tone: match place.reason {
            Some(Reason::Killed | Reason::Leaking) => Tone::Bad,
            Some(Reason::Pressed | Reason::NearLimit) => Tone::Warn,
            None if leaks => Tone::Warn,
            None => Tone::Calm,
        },
        shown,
        remarks: row.remarks,
        size: verdict.last_bytes,
        peak: standing.peak,
        limit: standing.limit,
        pace: verdict.rate_bytes_per_s.filter(|_| leaks).map(|rate| rate * 60.0),
        left_s: verdict.time_to_limit_s.filter(|_| leaks),
        stalled_s: standing.stalled_s,
        kills: place.kills,
    }
}

/// The times of pressure, the worst first.
pub fn pressed(analysis: &Analysis) -> Vec<Pressed> {
    let all = text::analysis::pressures(analysis).into_iter().take(PRESSED);
    all.map(|(one, name, words)| Pressed {
        time_us: one.episode.time_us.0,
        path: one.episode.path.clone(),
        name,
        duration_s: one.episode.duration_s,
        stall_s: one.episode.stall_s,
        words,
    })
    .collect()
}
