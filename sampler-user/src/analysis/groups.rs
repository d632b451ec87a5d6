//! cgroups that rise together: storms of health checks or cron jobs, each period anew, and starts at the same time. Each alone
//! is harmless; the sum is what a limit above them meets.

use serde::Serialize;

use crate::analysis::beat::{Beat, FIT, LEAST_RISES};
use crate::analysis::leak::linear::median;
use crate::analysis::rises::{Rise, Rises};

/// What the members have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum GroupKind {
    /// They rise at the same moments, again and again.
    Periodic,
    /// They were started within seconds.
    Start,
}

/// cgroups that rise together.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Group {
    /// What they have in common.
    pub kind: GroupKind,
    /// Paths, sorted.
    pub members: Vec<String>,
    /// Seconds from a rise to the next; absent for a start.
    pub period_s: Option<f64>,
    /// When in each period they rise: Unix time modulo the period, seconds; absent for a start.
    pub phase_s: Option<f64>,
    /// How often they rose together.
    pub times: usize,
    /// What all of them together rise by, bytes.
    pub rise_bytes: u64,
    /// First and last time, microseconds since 1970.
    #[serde(skip)]
    pub time_us: (i64, i64),
}

/// What was there in this time after the begin was there before it.
const BEGIN_US: i64 = 10_000_000;
/// How far from each other two rises are one, as a part of the period and at least, seconds.
const NEAR_PART: f64 = 0.05;
const NEAR_S: f64 = 2.0;
/// Fewest members of a start, and the time between two that belong together, microseconds.
const LEAST_STARTED: usize = 3;
const STARTED_US: i64 = 5_000_000;

/// How many rises of `a` have one of `b` near.
fn together(a: &[Rise], b: &[Rise], near_s: f64) -> usize {
    let mut at = 0;
    let near_us = (near_s * 1e6) as i64;
    let has = |rise: &&Rise| {
        while at < b.len() && b[at].time_us < rise.time_us - near_us {
            at += 1;
        }
        at < b.len() && b[at].time_us <= rise.time_us + near_us
    };
    a.iter().filter(has).count()
}

fn is_above(path: &str, other: &str) -> bool {
    other.len() > path.len() && other.starts_with(path) && (path == "/" || other.as_bytes()[path.len()] == b'/')
}

/// The groups among the cgroups of one host. An ancestor rises with what is in it and is no member.
///
/// ```
/// use std::sync::Arc;
///
/// use sampler::analysis::groups::{GroupKind, groups};
/// use sampler::analysis::rises::Rises;
/// use sampler::model::fields::{FieldId, Table};
/// use sampler::model::recording::{Series, Subject};
/// use sampler::model::sample::Row;
///
/// // Health checks: 40 MiB for five seconds, each minute, at the same time.
/// let checked = |path: &str| {
///     let subject = Subject { cgroup: path.into(), id: 1, process: None };
///     let mut series = Series::new(Arc::new(subject), Table::Samples);
///     for second in 0..1800 {
///         let mut row = Row::new(1);
///         let checks = (7..12).contains(&(second % 60));
///         row.put(FieldId::Current.field(), if checks { 140 << 20 } else { 100 << 20 });
///         series.push(second * 1_000_000, &row);
///     }
///     let mut rises = Rises::default();
///     rises.feed(&series);
///     rises
/// };
/// let (a, b) = (checked("/a"), checked("/b"));
/// let found = groups(&[("/a", &a), ("/b", &b)]);
/// assert_eq!((found[0].kind, found[0].members.len()), (GroupKind::Periodic, 2));
/// assert_eq!(found[0].period_s.map(f64::round), Some(60.0));
/// ```
pub fn groups(cgroups: &[(&str, &Rises)]) -> Vec<Group> {
    let mut found = periodic(cgroups);
    found.extend(started(cgroups));
    found.sort_by(|a, b| b.rise_bytes.cmp(&a.rise_bytes).then_with(|| a.members.cmp(&b.members)));
    found
}

fn periodic(cgroups: &[(&str, &Rises)]) -> Vec<Group> {
    let mut beats: Vec<(&str, &Rises, Beat)> =
        cgroups.iter().filter_map(|(path, rises)| Some((*path, *rises, rises.beat()?))).collect();
    beats.sort_by(|a, b| a.2.period_s.total_cmp(&b.2.period_s).then_with(|| a.0.cmp(b.0)));
    let mut taken = vec![false; beats.len()];
    let mut found = Vec::new();
    for first in 0..beats.len() {
        if taken[first] {
            continue;
        }
        let (_, lead, beat) = beats[first];
        let near_s = (NEAR_PART * beat.period_s).max(NEAR_S);
        let same = |n: &usize| {
            let (_, rises, other) = beats[*n];
            let both = together(&lead.rises, &rises.rises, near_s);
            (other.period_s / beat.period_s - 1.0).abs() < 0.02
                && both >= LEAST_RISES - 1
                && both as f64 >= FIT * lead.rises.len().min(rises.rises.len()) as f64
        };
        let all: Vec<usize> = (first..beats.len()).filter(|n| !taken[*n]).filter(same).collect();
        let leaf = |n: &&usize| !all.iter().any(|other| is_above(beats[**n].0, beats[*other].0));
        let members: Vec<usize> = all.iter().filter(leaf).copied().collect();
        all.iter().for_each(|n| taken[*n] = true);
        if members.len() < 2 {
            continue;
        }
        let rises = || members.iter().map(|n| &beats[*n].1.rises);
        let periods: Vec<f64> = members.iter().map(|n| beats[*n].2.period_s).collect();
        let period_s = median(&periods);
        let mut paths: Vec<String> = members.iter().map(|n| beats[*n].0.to_owned()).collect();
        paths.sort();
        found.push(Group {
            kind: GroupKind::Periodic,
            members: paths,
            period_s: Some(period_s),
            phase_s: Some(beat.at_s.rem_euclid(period_s)),
            times: rises().map(Vec::len).min().unwrap_or(0),
            rise_bytes: members.iter().map(|n| beats[*n].2.bytes).sum::<f64>() as u64,
            time_us: (
                rises().filter_map(|r| r.first()).map(|r| r.time_us).min().unwrap_or(0),
                rises().filter_map(|r| r.last()).map(|r| r.time_us).max().unwrap_or(0),
            ),
        });
    }
    found
}

fn started(cgroups: &[(&str, &Rises)]) -> Vec<Group> {
    let mut begins: Vec<(i64, &str, f64)> =
        cgroups.iter().filter_map(|(path, rises)| Some((rises.begun_us?, *path, rises.first_bytes))).collect();
    begins.sort_by(|a, b| a.0.cmp(&b.0).then_with(|| a.1.cmp(b.1)));
    let Some(&(begin_us, ..)) = begins.first() else { return Vec::new() };
    begins.retain(|(time_us, ..)| *time_us - begin_us > BEGIN_US);
    let runs = begins.chunk_by(|a, b| b.0 - a.0 <= STARTED_US);
    let groups = runs.filter_map(|run| {
        let leaf = |(_, path, _): &&(i64, &str, f64)| !run.iter().any(|(_, other, _)| is_above(path, other));
        let members: Vec<&(i64, &str, f64)> = run.iter().filter(leaf).collect();
        let mut paths: Vec<String> = members.iter().map(|(_, path, _)| (*path).to_owned()).collect();
        paths.sort();
        (members.len() >= LEAST_STARTED).then(|| Group {
            kind: GroupKind::Start,
            members: paths,
            period_s: None,
            phase_s: None,
            times: 1,
            rise_bytes: members.iter().map(|(_, _, bytes)| *bytes).sum::<f64>() as u64,
            time_us: (members[0].0, members[members.len() - 1].0),
        })
    });
    groups.collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::analysis::rises::MOST;
    use crate::model::fields::{FieldId, Table};
    use crate::model::recording::{Series, Subject};
    use crate::model::sample::Row;

    const MIB: u64 = 1 << 20;

    /// Seen at 5 Hz from `from_s` on, with some noise.
    fn seen(from_s: u64, to_s: u64, seed: u64, at: impl Fn(f64) -> u64) -> Rises {
        let mut rises = Rises::default();
        let mut dice = seed;
        for begin in (from_s * 5..to_s * 5).step_by(500) {
            let mut series =
                Series::new(Arc::new(Subject { cgroup: "/x".into(), id: 1, process: None }), Table::Samples);
            for tick in begin..(begin + 500).min(to_s * 5) {
                dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let mut row = Row::new(1);
                row.put(FieldId::Current.field(), at(tick as f64 / 5.0) + (dice >> 44) % 300 * 1024);
                series.push(tick as i64 * 200_000, &row);
            }
            rises.feed(&series);
        }
        rises
    }

    fn storm(period: f64, phase: f64, length: f64, bytes: u64) -> impl Fn(f64) -> u64 {
        move |t| 100 * MIB + if (t - phase).rem_euclid(period) < length { bytes } else { 0 }
    }

    /// Rises at moments without a rule.
    fn random(seed: u64, mean: f64) -> impl Fn(f64) -> u64 {
        let mut dice = fastrand(seed);
        let mut times = vec![0.0];
        while times[times.len() - 1] < 4000.0 {
            times.push(times[times.len() - 1] + 6.0 - mean * (1.0 - dice()).ln());
        }
        move |t| 100 * MIB + if times.iter().any(|at| (0.0..4.0).contains(&(t - at))) { 30 * MIB } else { 0 }
    }

    fn fastrand(mut state: u64) -> impl FnMut() -> f64 {
        move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 11) as f64 / (1u64 << 53) as f64
        }
    }

    #[test]
    fn storms_are_found_with_period_phase_and_members_and_nothing_else_is() {
        let mut all: Vec<(String, Rises)> = Vec::new();
        for n in 0..4u64 {
            let late = n as f64 * 0.4;
            all.push((format!("/web/{n}"), seen(0, 3600, n, storm(60.0, 7.0 + late, 5.0, (10 + n) * MIB))));
        }
        for n in 0..3 {
            all.push((format!("/cron/{n}"), seen(0, 3600, 10 + n, storm(300.0, 100.0, 40.0, 50 * MIB))));
        }
        // The same period at another time is another group, and alone it is none.
        all.push(("/alone".into(), seen(0, 3600, 20, storm(60.0, 37.0, 5.0, 10 * MIB))));
        all.push(("/gc".into(), seen(0, 3600, 21, |t| 100 * MIB + (t.rem_euclid(61.3) * 1e6) as u64)));
        all.push(("/leak".into(), seen(0, 3600, 22, |t| 100 * MIB + (t * 2e6) as u64)));
        for n in 0..20 {
            all.push((format!("/random/{n}"), seen(0, 3600, 30 + n, random(n, 54.0))));
        }
        // What contains a member rises with it.
        all.push(("/cron".into(), seen(0, 3600, 60, storm(300.0, 100.0, 40.0, 150 * MIB))));
        let found = groups(&all.iter().map(|(path, rises)| (&**path, rises)).collect::<Vec<_>>());
        let of = |members: &[&str]| found.iter().find(|g| g.members == members).cloned();
        assert_eq!(found.len(), 2, "{found:#?}");
        let web = of(&["/web/0", "/web/1", "/web/2", "/web/3"]).unwrap();
        assert!((web.period_s.unwrap() - 60.0).abs() < 0.1 && (web.phase_s.unwrap() - 7.0).abs() < 2.0, "{web:?}");
        assert!((58..=60).contains(&web.times) && web.rise_bytes.abs_diff(46 * MIB) < 3 * MIB, "{web:?}");
        let cron = of(&["/cron/0", "/cron/1", "/cron/2"]).unwrap();
        assert!((cron.period_s.unwrap() - 300.0).abs() < 0.5 && (cron.phase_s.unwrap() - 100.0).abs() < 2.0);
        assert_eq!(cron.kind, GroupKind::Periodic);
    }

    #[test]
    fn a_missed_beat_and_a_rise_between_do_not_hide_a_period() {
        let mut times: Vec<f64> = (0..30).filter(|n| n % 7 != 3).map(|n| 1000.0 + 45.0 * f64::from(n)).collect();
        times.push(1000.0 + 45.0 * 12.4);
        times.sort_by(f64::total_cmp);
        let beat = Beat::of(&times).unwrap();
        assert!((beat.period_s - 45.0).abs() < 0.05, "{beat:?}");
        assert!(Beat::of(&times[..5]).is_none(), "five are too few");
        let mut dice = fastrand(3);
        let by_chance = (0..1000).filter(|_| {
            let mut at = 0.0;
            let times: Vec<f64> = (0..12)
                .map(|_| {
                    at += -60.0 * (1.0 - dice()).ln() + 5.0;
                    at
                })
                .collect();
            Beat::of(&times).is_some()
        });
        let by_chance = by_chance.count();
        assert!(by_chance < 30, "{by_chance} of 1000 random series have a period");
    }

    #[test]
    fn what_starts_together_is_a_group_and_what_was_there_is_not() {
        let steady = |_: f64| 40 * MIB;
        let all = [
            ("/old/a", seen(0, 300, 1, steady)),
            ("/old/b", seen(0, 300, 2, steady)),
            ("/old/c", seen(1, 300, 3, steady)),
            ("/up/a", seen(100, 300, 4, steady)),
            ("/up/b", seen(102, 300, 5, steady)),
            ("/up/c", seen(105, 300, 6, steady)),
            ("/up", seen(100, 300, 7, steady)),
            ("/later", seen(200, 300, 8, steady)),
        ];
        let found = groups(&all.iter().map(|(path, rises)| (*path, rises)).collect::<Vec<_>>());
        assert_eq!(found.len(), 1, "{found:#?}");
        assert_eq!(
            (found[0].kind, &*found[0].members),
            (GroupKind::Start, &["/up/a", "/up/b", "/up/c"].map(String::from)[..])
        );
        assert!(found[0].rise_bytes.abs_diff(120 * MIB) < 2 * MIB && found[0].period_s.is_none());
        assert_eq!(found[0].time_us, (100_000_000, 105_000_000));
    }

    #[test]
    fn a_gap_is_no_rise_and_the_memory_is_bounded() {
        let mut rises = seen(0, 100, 1, |_| 10 * MIB);
        let later = seen(500, 600, 1, |_| 90 * MIB);
        assert!(later.rises.is_empty());
        let mut series = Series::new(Arc::new(Subject { cgroup: "/x".into(), id: 1, process: None }), Table::Samples);
        for t in 500..40_000i64 {
            let mut row = Row::new(1);
            row.put(FieldId::Current.field(), if t % 20 < 3 && t > 600 { 90 * MIB } else { 60 * MIB });
            series.push(t * 1_000_000, &row);
        }
        rises.feed(&series);
        assert_eq!(rises.rises.len(), MOST);
        assert!(rises.rises[0].time_us > 600_000_000);
    }

    #[test]
    fn what_changed_in_gaps_or_grows_evenly_until_it_is_thrown_away_is_no_storm() {
        let of = |rises: [Rises; 2]| groups(&[("/a", &rises[0]), ("/b", &rises[1])]);
        // Seven times a gap of 100 s, after which there is more; alike in both.
        let gaps = [1, 2].map(|_| {
            let mut rises = Rises::default();
            for n in 0..8u64 {
                let mut series =
                    Series::new(Arc::new(Subject { cgroup: "/x".into(), id: 1, process: None }), Table::Samples);
                for tick in n * 2000..n * 2000 + 1500 {
                    let mut row = Row::new(1);
                    row.put(FieldId::Current.field(), (100 + 50 * n) * MIB);
                    series.push(tick as i64 * 200_000, &row);
                }
                rises.feed(&series);
            }
            rises
        });
        assert_eq!(gaps[0].rises, []);
        assert_eq!(of(gaps), []);
        assert_eq!(of([1, 2].map(|seed| seen(0, 1200, seed, |t| (100 + 2 * (t as u64 % 60)) * MIB))), []);
        assert_eq!(of([1, 2].map(|seed| seen(0, 1200, seed, storm(60.0, 5.0, 4.0, 90 * MIB)))).len(), 1);
    }

    #[test]
    fn two_that_start_together_may_be_chance() {
        let all = [
            ("/old", seen(0, 300, 1, |_| MIB)),
            ("/a", seen(100, 300, 2, |_| MIB)),
            ("/b", seen(101, 300, 3, |_| MIB)),
        ];
        assert_eq!(groups(&all.iter().map(|(path, rises)| (*path, rises)).collect::<Vec<_>>()), []);
    }

    #[test]
    fn nearly_the_same_period_is_not_the_same_moments() {
        // They rise together eight times, and then ever further apart.
        let all = [60.0, 60.4].map(|period| seen(0, 3600, 1, storm(period, 7.0, 5.0, 30 * MIB)));
        assert!(all.iter().all(|rises| rises.beat().is_some()));
        assert_eq!(groups(&[("/a", &all[0]), ("/b", &all[1])]), []);
    }
}
