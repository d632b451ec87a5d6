//! Takes rows, and counts them once all are there.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::analysis::chance::DISCOVERY;
use crate::analysis::fleet::life::{FleetLife, Pieces};
use crate::analysis::fleet::outlier::{Outlier, outliers};
use crate::analysis::fleet::savings::{Savings, savings};
use crate::analysis::fleet::unit::{Kind, Unit, units};
use crate::analysis::leak::detectors::Class;
use crate::model::findings::{IncidentRow, LifeRow, RecordingRow};
use crate::model::time::format_us;

/// The document `sampler.fleet.v1`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Fleet {
    /// `sampler.fleet.v1`.
    pub format: &'static str,
    /// The first row, RFC 3339.
    pub from: Option<String>,
    /// The last row, RFC 3339.
    pub to: Option<String>,
    /// Hosts.
    pub hosts: usize,
    /// Recordings that were analysed.
    pub recordings: usize,
    /// Lives, those that go on over several recordings once.
    pub lives: usize,
    /// Lives without a name that is the same elsewhere: they are in no workload.
    pub nameless: usize,
    /// Lives that are called a leak where their version as a whole is not believed to: by chance, or for a reason of their host's.
    pub leaking_alone: usize,
    /// Versions of workloads that were asked.
    pub tested: usize,
    /// The part of those that are believed that may be chance.
    pub false_discovery: f64,
    /// Workloads with a version that leaks, the most hosts first; then the others by name.
    pub workloads: Vec<Unit>,
    /// Hosts that differ from the others.
    pub outliers: Vec<Outlier>,
    /// What the limits that are advised would save.
    pub savings: Savings,
    /// Incidents by workload and cause, most first.
    pub incidents: Vec<Incidents>,
    /// Recordings of which a part could not be read: no all-clear of these.
    pub unread: Vec<Unread>,
}

/// Incidents of one workload and one cause.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Incidents {
    /// The workload; absent where it has no name.
    pub workload: Option<String>,
    /// The cause.
    pub cause: String,
    /// How many.
    pub incidents: u64,
    /// Processes that were killed.
    pub kills: u64,
    /// Hosts.
    pub hosts: usize,
}

/// A recording of which a part could not be read.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Unread {
    /// The host.
    pub host: String,
    /// When it begins, RFC 3339.
    pub from: String,
    /// Parts.
    pub parts: u64,
    /// Which, and why.
    pub problems: String,
}

/// Takes rows, in any order.
#[derive(Default)]
pub struct Merge {
    pieces: Pieces,
    incidents: BTreeSet<(String, i64, String, String, String, u64)>,
    recordings: BTreeMap<(String, i64), (i64, u64, String)>,
}

impl Merge {
    /// Takes a life.
    pub fn life(&mut self, row: &LifeRow) {
        self.pieces.take(row);
    }

    /// Takes an incident.
    pub fn incident(&mut self, row: IncidentRow) {
        let cgroup = row.cgroup.unwrap_or_default();
        let workload = row.workload.unwrap_or_default();
        self.incidents.insert((row.host, row.time.0, cgroup, workload, row.cause, row.kills));
    }

    /// Takes a recording.
    pub fn recording(&mut self, row: RecordingRow) {
        let known = self.recordings.entry((row.host, row.first_seen.0)).or_default();
        *known = known.clone().max((row.last_seen.0, row.unread, row.problems.unwrap_or_default()));
    }

    /// The merge.
    pub fn finish(self) -> Fleet {
        let lives = self.pieces.lives();
        let hosts: BTreeSet<&str> =
            lives.iter().map(|life| &*life.host).chain(self.recordings.keys().map(|(host, _)| host.as_str())).collect();
        let times = lives.iter().map(|life| (life.from_us, life.to_us));
        let span = times.reduce(|(from, to), (first, last)| (from.min(first), to.max(last)));
        let named: Vec<&FleetLife> = lives.iter().filter(|life| life.workload.is_some()).collect();
        let (workloads, tested) = units(&named);
        let leaking = named.iter().filter(|life| life.class == Some(Class::Leak)).count();
        let believed = workloads.iter().filter(|unit| unit.kind == Kind::Workload).flat_map(|unit| &unit.versions);
        let believed: usize =
            believed.filter(|version| version.verdict == Class::Leak).map(|version| version.leaking).sum();
        Fleet {
            format: "sampler.fleet.v1",
            from: span.map(|(from, _)| format_us(from)),
            to: span.map(|(_, to)| format_us(to)),
            hosts: hosts.len(),
            recordings: self.recordings.len(),
            lives: lives.len(),
            nameless: lives.len() - named.len(),
            leaking_alone: leaking.saturating_sub(believed),
            tested,
            false_discovery: DISCOVERY,
            workloads,
            outliers: outliers(&named),
            savings: savings(&lives),
            incidents: incidents(&self.incidents),
            unread: self.recordings.into_iter().filter_map(unread).collect(),
        }
    }
}

fn unread(((host, from), (_, parts, problems)): ((String, i64), (i64, u64, String))) -> Option<Unread> {
    (parts > 0).then(|| Unread { host, from: format_us(from), parts, problems })
}

fn incidents(all: &BTreeSet<(String, i64, String, String, String, u64)>) -> Vec<Incidents> {
    let mut by: BTreeMap<(&str, &str), (u64, u64, BTreeSet<&str>)> = BTreeMap::new();
    for (host, _, _, workload, cause, kills) in all {
        let sum = by.entry((workload, cause)).or_default();
        (sum.0, sum.1) = (sum.0 + 1, sum.1 + kills);
        sum.2.insert(host);
    }
    let one = |((workload, cause), (incidents, kills, hosts)): ((&str, &str), (u64, u64, BTreeSet<&str>))| Incidents {
        workload: Some(workload.to_owned()).filter(|name| !name.is_empty()),
        cause: cause.to_owned(),
        incidents,
        kills,
        hosts: hosts.len(),
    };
    let mut list: Vec<Incidents> = by.into_iter().map(one).collect();
    list.sort_by(|a, b| b.incidents.cmp(&a.incidents).then_with(|| a.cmp(b)));
    list
}
