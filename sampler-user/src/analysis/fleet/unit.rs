//! A workload over all hosts, version by version.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::analysis::chance::{DISCOVERY, at_least, at_least_drawn, false_discovery};
use crate::analysis::fleet::life::FleetLife;
use crate::analysis::leak::detectors::Class;
use crate::analysis::leak::linear::{median, quantile};
use crate::model::time::format_us;

/// A healthy life is called a leak so often at most: the worst that the live corpus shows (`docs/evaluation.md`: 4 of 46 of the parts
/// that were looked at, 1 of 35 of those that were not).
pub const FALSE_LEAK: f64 = 0.10;

/// Fewest lives of a version that say something together.
const LEAST: usize = 2;
/// Part of the lives that have to leak, so that it is the version that leaks.
const MOST: f64 = 0.5;
/// Part of the lives that have to rise where each for itself is no leak.
const MOST_RISE: f64 = 0.8;

/// What lives have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// The name that they have on each host.
    Workload,
    /// The image alone: containers of other names on each host.
    Image,
}

/// A workload, or the workloads of one image together.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Unit {
    /// Which of both.
    pub kind: Kind,
    /// Its name.
    pub name: String,
    /// Its image without the version, where all of it has the same.
    pub image: Option<String>,
    /// `leak` where a version of it does.
    pub verdict: Class,
    /// Hosts it was seen on.
    pub hosts: usize,
    /// Its versions, the first seen first.
    pub versions: Vec<Version>,
    /// In plain words; empty of what does not leak.
    pub evidence: Vec<String>,
}

/// A version of a workload.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Version {
    /// Tag or digest of the image; empty where none is known.
    pub version: String,
    /// `leak`, `steady`, or `undetermined`: too few lives, or too short ones.
    pub verdict: Class,
    /// Hosts.
    pub hosts: usize,
    /// Hosts on which a life of it leaks.
    pub leaking_hosts: usize,
    /// Lives that are judged; a restart loop is one.
    pub lives: usize,
    /// Of these, how many are called a leak.
    pub leaking: usize,
    /// Of these, how many rise after their start.
    pub rising: usize,
    /// Lives that were too short or too rough to be judged.
    pub undetermined: usize,
    /// OOM kills.
    pub kills: u64,
    /// Median pace of those that leak, or else of those that rise.
    pub rate_bytes_per_s: Option<f64>,
    /// Between these are nine of ten of the paces.
    pub rate_p5_p95: Option<[f64; 2]>,
    /// The first row, RFC 3339.
    pub first_seen: String,
    /// When it first took the place of another version on a host, RFC 3339; absent where no such change was seen.
    pub rolled_out: Option<String>,
    /// Probability that so many leak or rise by chance.
    pub p: Option<f64>,
    /// The same among all versions that were asked: adjusted by Benjamini and Hochberg.
    pub q: Option<f64>,
    /// The version that it is compared with: the one on most hosts beside it.
    pub versus: Option<String>,
    /// Probability that the two differ by chance (Fisher).
    pub versus_p: Option<f64>,
}

/// The lives of one version, counted.
struct Counted<'a> {
    lives: Vec<&'a FleetLife>,
    judged: usize,
    leaking: usize,
    rising: usize,
    paces: Vec<f64>,
    p: Option<f64>,
    by_leaks: bool,
}

/// The workloads, and how many versions were asked.
pub fn units(lives: &[&FleetLife]) -> (Vec<Unit>, usize) {
    let mut by: BTreeMap<(Kind, &str), BTreeMap<&str, Vec<&FleetLife>>> = BTreeMap::new();
    let mut of_image: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for &life in lives {
        if let Some((image, workload)) = life.image.as_deref().zip(life.workload.as_deref()) {
            of_image.entry(image).or_default().insert(workload);
        }
    }
    // The image of one workload is that workload.
    of_image.retain(|_, workloads| workloads.len() > 1);
    for &life in lives {
        let workload = life.workload.as_deref().map(|name| (Kind::Workload, name));
        let image = life.image.as_deref().filter(|image| of_image.contains_key(image));
        for key in workload.into_iter().chain(image.map(|name| (Kind::Image, name))) {
            by.entry(key).or_default().entry(&life.version).or_default().push(life);
        }
    }
    let of_versions =
        |versions: BTreeMap<_, Vec<_>>| versions.into_iter().map(|(v, lives)| (v, count(lives))).collect();
    let counted: Vec<(_, Vec<(&str, Counted<'_>)>)> =
        by.into_iter().map(|(key, versions)| (key, of_versions(versions))).collect();
    let asked: Vec<f64> = counted.iter().flat_map(|(_, versions)| versions).filter_map(|(_, c)| c.p).collect();
    let mut q = false_discovery(&asked).into_iter();
    let mut units: Vec<Unit> = counted.iter().map(|(key, versions)| unit(*key, versions, &mut q)).collect();
    let leaks: BTreeSet<String> = units
        .iter()
        .filter(|unit| unit.kind == Kind::Workload && unit.verdict == Class::Leak)
        .map(|unit| unit.name.clone())
        .collect();
    // An image is worth a line of its own where it shows more than its workloads do.
    units.retain(|unit| {
        let shown = |workloads: &BTreeSet<&str>| workloads.iter().any(|name| leaks.contains(*name));
        unit.kind == Kind::Workload
            || unit.verdict == Class::Leak && !of_image.get(unit.name.as_str()).is_some_and(shown)
    });
    let hosts = |unit: &Unit| unit.versions.iter().map(|version| version.leaking_hosts).max().unwrap_or(0);
    units.sort_by_cached_key(|unit| {
        let leaks = unit.verdict == Class::Leak;
        (!leaks, Reverse(if leaks { hosts(unit) } else { 0 }), unit.kind, unit.name.clone())
    });
    (units, asked.len())
}

/// Counts the lives of a version, a restart loop on a host once.
fn count<'a>(lives: Vec<&'a FleetLife>) -> Counted<'a> {
    let (mut judged, mut leaking, mut paces, mut rises) = (0, 0, Vec::new(), Vec::new());
    let (mut courses, mut loops) = (0, BTreeSet::new());
    for life in &lives {
        if life.in_loop && !loops.insert(&*life.host) {
            continue;
        }
        let is_decided = life.class.is_some_and(|class| class != Class::Undetermined);
        judged += usize::from(is_decided);
        if life.class == Some(Class::Leak) {
            leaking += 1;
            paces.extend(life.rate.filter(|rate| rate.is_finite()));
        }
        if let Some(course) = life.course {
            courses += 1;
            // What load, a start or a cache explains is no rise.
            let is_open = matches!(life.class, Some(Class::Leak | Class::Steady | Class::Undetermined));
            if is_open && course.rises() {
                rises.push(course.pace());
            }
        }
    }
    let by_leaks = (judged >= LEAST).then(|| at_least(leaking, judged, FALSE_LEAK));
    let by_rises = (courses >= LEAST).then(|| at_least(rises.len(), courses, 0.5));
    let is_by_leaks = by_leaks.unwrap_or(1.0) <= by_rises.unwrap_or(1.0);
    let (share, most) = match is_by_leaks {
        true => (leaking as f64 / judged.max(1) as f64, MOST),
        false => (rises.len() as f64 / courses.max(1) as f64, MOST_RISE),
    };
    let p = by_leaks.into_iter().chain(by_rises).reduce(f64::min).map(|p| (2.0 * p).min(1.0));
    Counted {
        judged,
        leaking,
        rising: rises.len(),
        paces: if paces.is_empty() { rises } else { paces },
        // What some of its lives do is not what it does.
        p: p.map(|p| if share >= most { p } else { 1.0 }),
        by_leaks: is_by_leaks,
        lives,
    }
}

fn unit((kind, name): (Kind, &str), counted: &[(&str, Counted<'_>)], q: &mut impl Iterator<Item = f64>) -> Unit {
    let mut versions: Vec<(i64, Version)> = counted
        .iter()
        .map(|(version, counted)| {
            let q = counted.p.and_then(|_| q.next());
            let first = counted.lives.iter().map(|life| life.from_us).min().unwrap_or_default();
            (first, of_version(version, counted, q))
        })
        .collect();
    for at in 0..counted.len() {
        let others = (0..counted.len()).filter(|other| *other != at && counted[*other].1.judged >= LEAST);
        let most = others.max_by_key(|other| (versions[*other].1.hosts, Reverse(*other)));
        let Some((other, own)) = most.map(|other| (&counted[other], &counted[at].1)) else { continue };
        let (k, n) = (own.leaking, own.judged);
        versions[at].1.versus = Some(other.0.to_owned());
        versions[at].1.versus_p = Some(at_least_drawn(k, n, k + other.1.leaking, n + other.1.judged));
    }
    let rolled_out = roll_outs(counted);
    for (_, version) in &mut versions {
        version.rolled_out = rolled_out.get(version.version.as_str()).map(|us| format_us(*us));
    }
    versions.sort_by(|a, b| a.0.cmp(&b.0).then_with(|| a.1.version.cmp(&b.1.version)));
    let versions: Vec<Version> = versions.into_iter().map(|(_, version)| version).collect();
    let all = || counted.iter().flat_map(|(_, counted)| &counted.lives);
    let images: BTreeSet<&str> = all().filter_map(|life| life.image.as_deref()).collect();
    let hosts: BTreeSet<&str> = all().map(|life| &*life.host).collect();
    let has = |class: Class| versions.iter().any(|version| version.verdict == class);
    let verdict = [Class::Leak, Class::Steady].into_iter().find(|class| has(*class)).unwrap_or(Class::Undetermined);
    let mut unit = Unit {
        kind,
        name: name.to_owned(),
        image: images.first().filter(|_| images.len() == 1).map(|image| (*image).to_owned()),
        verdict,
        hosts: hosts.len(),
        versions,
        evidence: Vec::new(),
    };
    let by_leaks: BTreeMap<&str, bool> = counted.iter().map(|(version, c)| (*version, c.by_leaks)).collect();
    for version in unit.versions.iter().filter(|version| version.verdict == Class::Leak) {
        let sure = version.q.map_or_else(String::new, |q| format!("; {q:.1e} of such findings are chance"));
        unit.evidence.push(match by_leaks.get(version.version.as_str()) {
            Some(false) => format!(
                "{} of {} lives rise after their start, more slowly than one life shows{sure}",
                version.rising,
                version.lives + version.undetermined
            ),
            _ => format!("{} of {} lives are called a leak{sure}", version.leaking, version.lives),
        });
    }
    unit
}

fn of_version(name: &str, counted: &Counted<'_>, q: Option<f64>) -> Version {
    let hosts: BTreeSet<&str> = counted.lives.iter().map(|life| &*life.host).collect();
    let leaks = counted.lives.iter().filter(|life| life.class == Some(Class::Leak));
    let leaking_hosts: BTreeSet<&str> = leaks.map(|life| &*life.host).collect();
    let first = counted.lives.iter().map(|life| life.from_us).min().unwrap_or_default();
    let undetermined = |life: &&&FleetLife| life.class.is_none_or(|class| class == Class::Undetermined);
    let verdict = match q {
        Some(q) if q <= DISCOVERY => Class::Leak,
        _ if counted.judged >= LEAST => Class::Steady,
        _ => Class::Undetermined,
    };
    Version {
        version: name.to_owned(),
        verdict,
        hosts: hosts.len(),
        leaking_hosts: leaking_hosts.len(),
        lives: counted.judged,
        leaking: counted.leaking,
        rising: counted.rising,
        undetermined: counted.lives.iter().filter(undetermined).count(),
        kills: counted.lives.iter().map(|life| life.kills).sum(),
        rate_bytes_per_s: (!counted.paces.is_empty()).then(|| median(&counted.paces)),
        rate_p5_p95: (!counted.paces.is_empty())
            .then(|| [quantile(&counted.paces, 0.05), quantile(&counted.paces, 0.95)]),
        first_seen: format_us(first),
        rolled_out: None,
        p: counted.p,
        q,
        versus: None,
        versus_p: None,
    }
}

/// When each version first followed another one on a host.
fn roll_outs<'a>(counted: &[(&'a str, Counted<'_>)]) -> BTreeMap<&'a str, i64> {
    let mut by_host: BTreeMap<&str, Vec<(i64, &str)>> = BTreeMap::new();
    for (version, counted) in counted {
        for life in &counted.lives {
            by_host.entry(&life.host).or_default().push((life.from_us, version));
        }
    }
    let mut first: BTreeMap<&str, i64> = BTreeMap::new();
    for lives in by_host.values_mut() {
        lives.sort_unstable();
        let mut known = BTreeSet::new();
        for &(from_us, version) in &*lives {
            if known.insert(version) && known.len() > 1 {
                let earliest = first.entry(version).or_insert(from_us);
                *earliest = (*earliest).min(from_us);
            }
        }
    }
    first
}
