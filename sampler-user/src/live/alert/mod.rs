//! Alerts: rules over what the board shows, with hysteresis, so that they neither flap nor cry wolf. The clock is passed in.

mod announcement;
mod kills;
pub mod rules;

use std::collections::{BTreeMap, VecDeque};

use self::kills::Kills;
use self::rules::{Look, OOM_KILL, RESTART_LOOP, Rule, RuleKind, Rules, TABLE};
use crate::analysis::leak::detectors::Class;
use crate::analysis::leak::track::Track;
use crate::analysis::leak::verdict::{Verdict, judge};
use crate::analysis::lives::Loop;
use crate::live::board::{Board, Cgroup, Line};
use crate::model::fields::{FieldId, Table};
use crate::model::recording::{Series, Subject};
use crate::model::sample::Row;

pub use self::announcement::Alert;

/// What a rule has seen of one cgroup.
#[derive(Debug, Default)]
struct State {
    /// Since when it holds, or since when it does not any more while it is raised.
    since_us: Option<i64>,
    raised: bool,
    seen: bool,
    /// When it was announced last while it held, and how bad it was then.
    announced: Option<(i64, f64)>,
}

/// Looks at the growth of one cgroup.
#[derive(Debug, Default)]
struct Growth {
    looked_us: i64,
    looks: VecDeque<bool>,
}

/// The rules and what they have seen.
#[derive(Debug)]
pub struct Watch {
    rules: Rules,
    states: BTreeMap<(usize, String), State>,
    growth: BTreeMap<String, Growth>,
    kills: Kills,
}

/// What holds is announced again when it is so many times as bad as it was, and not before this time, microseconds.
const WORSE: f64 = 2.0;
const WORSE_US: i64 = 60 * 1_000_000;
/// The rule of growth without bound.
const GROWTH: &str = "growth";
/// Looks at growth are this far apart at least, microseconds.
const LOOK_US: i64 = 60 * 1_000_000;
/// A growth without bound has to be seen in this many looks in a row.
const LOOKS: usize = 3;
/// A growth is no alert before it was watched for this time, microseconds: a start and many a cache are full by then.
const WATCHED_US: i64 = 20 * 60 * 1_000_000;

impl Watch {
    /// Rules that have seen nothing yet.
    pub fn new(rules: Rules) -> Watch {
        Watch { rules, states: BTreeMap::new(), growth: BTreeMap::new(), kills: Kills::default() }
    }

    /// Looks at the board as it is now. What begins and what ends is announced once.
    pub fn look(&mut self, board: &Board, lines: &[Line]) -> Vec<Alert> {
        let now = board.now_us;
        let mut alerts = Vec::new();
        let machine = board.machine(now, lines);
        self.states.values_mut().for_each(|state| state.seen = false);
        for (number, rule) in self.rules.list.iter().enumerate() {
            let kind = &TABLE[rule.kind];
            if kind.name == OOM_KILL {
                alerts.extend(self.kills.look(board, lines, rule));
                continue;
            }
            if kind.name == RESTART_LOOP {
                alerts.extend(self.kills.look_at_loops(board, rule, kind.name, |_| true));
                continue;
            }
            if kind.name == GROWTH {
                // No life of a loop is long enough to be watched: all of them together show the leak.
                alerts.extend(self.kills.look_at_loops(board, rule, kind.name, Loop::leaks));
            }
            let mut step = |path: &str, name: &str, look: &Look<'_>| {
                let state = self.states.entry((number, path.to_owned())).or_default();
                state.seen = true;
                let Some(text) = state.step(rule, kind, look, now) else { return };
                let (cgroup, name) = (path.to_owned(), name.to_owned());
                alerts.push(Alert { kind: kind.name, raised: state.raised, time_us: now, cgroup, name, text });
            };
            if kind.of_machine {
                step("", &machine.host, &Look { line: None, machine: &machine, leaks: false });
                continue;
            }
            for line in lines.iter().filter(|line| !line.gone && rule.wants(&line.path)) {
                // The recorder knows every field, the board what was lately: both have to see it.
                let leaks = kind.name == GROWTH
                    && line.leaks.unwrap_or(true)
                    && board.cgroups.get(&line.path).is_some_and(|cgroup| {
                        self.growth.entry(line.path.clone()).or_default().leaks(cgroup, line, now)
                    });
                step(&line.path, &line.name, &Look { line: Some(line), machine: &machine, leaks });
            }
        }
        // A cgroup that went away has nothing left to clear; its growth is forgotten too.
        self.states.retain(|_, state| state.seen);
        self.growth.retain(|path, _| board.cgroups.contains_key(path));
        alerts
    }
}

impl State {
    /// Why, when the rule began to hold or ended now.
    fn step(&mut self, rule: &Rule, kind: &RuleKind, look: &Look<'_>, now: i64) -> Option<String> {
        let threshold = if self.raised { rule.clear } else { rule.threshold };
        let holds = (kind.holds)(look, threshold);
        // `holds` turned: from now on it counts until the other side has lasted long enough.
        let severity = (kind.severity)(look).unwrap_or(0.0);
        if holds.is_some() == self.raised {
            self.since_us = None;
            let worse = |(at, before): (i64, f64)| now - at >= WORSE_US && severity >= WORSE * before && before > 0.0;
            let announces = self.raised && self.announced.is_some_and(worse);
            if announces {
                self.announced = Some((now, severity));
            }
            return holds.filter(|_| announces).map(|words| format!("worse: {words}"));
        }
        let since = *self.since_us.get_or_insert(now);
        let wait = if self.raised { rule.clear_after_us } else { rule.after_us };
        if now - since < wait {
            return None;
        }
        self.raised = !self.raised;
        self.since_us = None;
        self.announced = self.raised.then_some((now, severity));
        Some(holds.unwrap_or_else(|| "over".into()))
    }
}

impl Growth {
    /// Whether the analysis called the cgroup a leak in its last looks.
    fn leaks(&mut self, cgroup: &Cgroup, line: &Line, now: i64) -> bool {
        if now - self.looked_us >= LOOK_US {
            self.looked_us = now;
            // Most do not grow: the analysis is asked about the others only.
            let grows = line.growth_per_min.is_some_and(|growth| growth > 0.0);
            self.looks.push_back(grows && cgroup.watched_us() >= WATCHED_US && is_leak(cgroup, line));
            if self.looks.len() > LOOKS {
                self.looks.pop_front();
            }
        }
        self.looks.len() == LOOKS && self.looks.iter().all(|leak| *leak)
    }
}

/// What the analysis says of the history on the board.
fn is_leak(cgroup: &Cgroup, line: &Line) -> bool {
    let subject = Subject { cgroup: line.path.clone(), id: cgroup.id, process: None };
    let mut series = Series::new(subject.into(), Table::Samples);
    for point in &cgroup.history {
        let mut row = Row::new(0);
        let values = [
            (FieldId::Current, point.current),
            (FieldId::Anon, point.anon),
            (FieldId::File, point.file),
            (FieldId::EventsOomKill, point.kills),
        ];
        for (id, value) in values {
            if let Some(value) = value {
                row.put(id.field(), value);
            }
        }
        series.push(point.time_us, &row);
    }
    let mut track = Track::default();
    track.own.clone_from(&cgroup.own);
    track.feed(&series);
    let limit = line.limit.map(|limit| (line.path.as_str(), limit as f64));
    // Without a limit the alarm waits, as the rule has done itself.
    let urgent = |verdict: &Verdict| verdict.alarm || limit.is_none() && verdict.doubled;
    judge(&mut track, limit).is_some_and(|verdict| verdict.verdict == Class::Leak && urgent(&verdict))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::live::board::Depth;
    use crate::model::time::Anchor;

    const S: i64 = 1_000_000;
    const MIB: u64 = 1 << 20;

    /// Runs the default rules, or others, over a life of one cgroup of 1 GiB; a look every five seconds.
    fn run(rules: &str, seconds: i64, size: impl Fn(i64) -> (u64, u64)) -> Vec<(&'static str, bool, i64)> {
        run_with(Depth { step_us: 10 * S, points: 180 }, rules, seconds, size)
    }

    fn run_with(
        depth: Depth,
        rules: &str,
        seconds: i64,
        size: impl Fn(i64) -> (u64, u64),
    ) -> Vec<(&'static str, bool, i64)> {
        let mut board = Board::new(depth, Anchor { mono_ns: 0, wall_ns: 0 }, ("h".into(), None));
        let mut watch = Watch::new(Rules::parse(rules).unwrap());
        let mut announced = Vec::new();
        for t in 0..seconds {
            let (anon, file) = size(t);
            let mut row = Row::new(1);
            for (id, value) in [
                (FieldId::Current, anon + file),
                (FieldId::Anon, anon),
                (FieldId::File, file),
                (FieldId::Shmem, 0),
                (FieldId::Max, 1024 * MIB),
            ] {
                row.put(id.field(), value);
            }
            board.feed(Some(("/docker/a", 1)), t * S, &row);
            if t % 5 == 0 {
                let lines = board.lines(board.now_us);
                announced.extend(watch.look(&board, &lines).into_iter().map(|alert| (alert.kind, alert.raised, t)));
            }
        }
        announced
    }

    #[test]
    fn a_leak_is_announced_in_time_and_once() {
        let announced = run("", 1500, |t| ((100 + t as u64 / 2) * MIB, 0));
        let at = |kind: &str| {
            announced.iter().filter(|(k, raised, _)| *k == kind && *raised).map(|(_, _, t)| *t).collect::<Vec<_>>()
        };
        let (growth, left) = (at("growth"), at("time_to_limit"));
        assert!(growth.len() == 1 && left.len() == 1, "{announced:?}");
        // The limit is reached after half an hour; two fifths of the room are left when it is announced first.
        assert!(growth[0] < 1400 && left[0] < 1300, "{announced:?}");
    }

    #[test]
    fn a_board_of_ten_minutes_shows_a_growth_as_well() {
        let screen = Depth { step_us: 900_000, points: 600 };
        let announced = run_with(screen, "", 1500, |t| ((100 + t as u64 / 2) * MIB, 0));
        assert_eq!(
            announced.iter().filter(|(kind, raised, _)| *kind == "growth" && *raised).count(),
            1,
            "{announced:?}"
        );
    }

    #[test]
    fn caches_warm_ups_and_noise_are_no_alerts() {
        assert_eq!(run("", 1800, |t| (200 * MIB, (t as u64 * 2).min(820) * MIB)), [], "a cache that fills");
        assert_eq!(run("", 1800, |t| ((t as u64 * 4).min(700) * MIB, 0)), [], "a warm-up");
        let saw = |t: i64| ((300 + (t % 120) as u64 * 3) * MIB, 0);
        assert_eq!(run("", 1800, saw), [], "a garbage collector");
    }

    #[test]
    fn what_swings_around_the_threshold_does_not_flap() {
        let announced = run("", 1800, |t| {
            (
                if t < 300 {
                    500
                } else if t % 40 < 36 {
                    930
                } else {
                    900
                } * MIB,
                0,
            )
        });
        assert_eq!(announced.iter().filter(|(kind, _, _)| *kind == "near_limit").count(), 1, "{announced:?}");
        let announced = run("", 1200, |t| (if (300..600).contains(&t) { 990 } else { 300 } * MIB, 0));
        let near: Vec<_> =
            announced.iter().filter(|(kind, _, _)| *kind == "near_limit").map(|(_, raised, _)| *raised).collect();
        assert_eq!(near, [true, false], "{announced:?}");
    }

    #[test]
    fn what_gets_worse_is_announced_again_and_what_stays_is_not() {
        let near =
            |announced: &[(&str, bool, i64)]| announced.iter().filter(|(kind, _, _)| *kind == "near_limit").count();
        assert_eq!(near(&run("", 1200, |_| (930 * MIB, 0))), 1);
        let announced = run("", 1200, |t| (if t < 600 { 930 } else { 990 } * MIB, 0));
        assert_eq!(near(&announced), 2, "from a sixth to a thirtieth of its room: {announced:?}");
    }

    #[test]
    fn a_file_changes_the_rules_and_mistakes_are_said() {
        let announced = run("[near_limit]\nabove = \"40%\"\nfor = \"10s\"\n", 100, |_| (500 * MIB, 0));
        assert_eq!(announced, [("near_limit", true, 10)]);
        assert_eq!(run("[near_limit]\non = false\n[time_to_limit]\non = false", 400, |_| (1000 * MIB, 0)), []);
        assert_eq!(run("[near_limit]\nabove = \"40%\"\ncgroup = \"/other/**\"", 400, |_| (500 * MIB, 0)), []);
        for (text, word) in [
            ("[no_rule]\non = true", "no_rule"),
            ("[near_limit]\nabov = 1", "abov"),
            ("[near_limit]\nabove = \"x\"", "x"),
        ] {
            let error = Rules::parse(text).unwrap_err().to_string();
            assert!(error.contains(word), "{error}");
        }
    }
}
