//! Alerts of OOM kills: the first of a workload at once, the next ones with their count, each more seldom than the one before.

use std::collections::BTreeMap;

use crate::analysis::lives::Loop;
use crate::analysis::workloads::workload;
use crate::live::alert::announcement::Alert;
use crate::live::alert::rules::{OOM_KILL, Rule};
use crate::live::board::{Board, Killed, Line};
use crate::model::units::{micros, printable, time_of_day};

/// A loop has so many kills at least: two may be chance.
const LEAST_KILLS: u64 = 3;
/// After the first, kills are announced no sooner than after these times, and then after the last of them again and again.
const GAPS_US: [i64; 5] = [10_000_000, 30_000_000, 60_000_000, 120_000_000, 290_000_000];
/// A counter that rose without an event is a kill after this time: the event may be on its way.
const COUNTED_US: i64 = 5_000_000;
/// What a kill is of where no witness knew the cgroup of its victim.
const UNPLACED: &str = "an unknown cgroup";
/// Kills are over after this many times the time between them, and after the rule's own time at least.
const QUIET_TIMES: i64 = 3;

/// The kills of one workload.
#[derive(Debug)]
struct Run {
    cgroup: String,
    name: String,
    comm: Option<String>,
    first_us: i64,
    last_us: i64,
    count: u64,
    /// When it was announced last, how many had been killed then, and how many announcements there were.
    announced: Option<(i64, u64, usize)>,
    /// Which alerts are raised of its lives together.
    raised: Vec<&'static str>,
}

impl Run {
    fn is_due(&self, now: i64) -> bool {
        match self.announced {
            None => true,
            Some((at, count, times)) => {
                self.count > count && now - at >= GAPS_US[times.saturating_sub(1).min(GAPS_US.len() - 1)]
            }
        }
    }

    /// Time from one kill to the next, microseconds.
    fn pace_us(&self) -> Option<i64> {
        (self.count > 1).then(|| (self.last_us - self.first_us) / (self.count as i64 - 1))
    }

    fn who(&self) -> String {
        self.comm.as_deref().map_or_else(|| "a process".into(), |comm| format!("`{}`", printable(comm)))
    }

    fn words(&self) -> String {
        let who = self.who();
        match self.pace_us() {
            None => format!("the OOM killer killed {who}"),
            Some(pace) => format!(
                "the OOM killer killed {who}: {} kills since {}, one every {}",
                self.count,
                time_of_day(self.first_us),
                micros(pace.max(0) as u64)
            ),
        }
    }
}

/// What was counted of one cgroup on the board, and since when it is more than events have shown.
#[derive(Debug, Default)]
struct Counted {
    by_events: u64,
    known: u64,
    above_since_us: Option<i64>,
}

/// The kills of all workloads.
#[derive(Debug, Default)]
pub struct Kills {
    runs: BTreeMap<String, Run>,
    counted: BTreeMap<String, Counted>,
    /// Number of the next kill of the board that was not looked at.
    next: u64,
}

impl Kills {
    /// Looks at the kills that are new on the board. With `rule` they become alerts.
    pub fn look(&mut self, board: &Board, lines: &[Line], rule: &Rule) -> Vec<Alert> {
        let now = board.now_us;
        let next = std::mem::replace(&mut self.next, board.next_kill());
        for killed in board.kills().filter(|killed| killed.number >= next) {
            self.counted.entry(killed.cgroup.clone()).or_default().by_events += killed.count;
            self.add(board, killed, rule);
        }
        self.look_at_counters(board, lines, rule);
        let mut alerts = Vec::new();
        for run in self.runs.values_mut().filter(|run| run.is_due(now)) {
            let times = run.announced.map_or(0, |(_, _, times)| times);
            run.announced = Some((now, run.count, times + 1));
            let seen = board.restart_loop(&run.name).filter(|seen| seen.kills == run.count && seen.kills > 1);
            let words = seen.map_or_else(|| run.words(), |seen| format!("{}: {}", run.who(), seen.words()));
            alerts.push(alert(OOM_KILL, run, true, now, words));
        }
        self.runs.retain(|_, run| {
            let quiet = rule.clear_after_us.max(QUIET_TIMES * run.pace_us().unwrap_or(0));
            let over = now - run.last_us >= quiet && !run.is_due(now);
            if over {
                alerts.extend(run.raised.iter().map(|kind| alert(kind, run, false, now, "over".into())));
                let all = if run.count == 1 { "the one kill".into() } else { format!("{} kills", run.count) };
                alerts.push(alert(
                    OOM_KILL,
                    run,
                    false,
                    now,
                    format!("over: {all}, none for {}", micros(quiet as u64)),
                ));
            }
            !over
        });
        alerts
    }

    /// What the lives of each workload that is killed again and again have in common: raised once, over with the kills.
    pub fn look_at_loops(
        &mut self,
        board: &Board,
        rule: &Rule,
        kind: &'static str,
        holds: impl Fn(&Loop) -> bool,
    ) -> Vec<Alert> {
        let mut alerts = Vec::new();
        for run in self.runs.values_mut().filter(|run| rule.wants(&run.cgroup) && !run.raised.contains(&kind)) {
            if let Some(seen) = board.restart_loop(&run.name).filter(|seen| seen.kills >= LEAST_KILLS && holds(seen)) {
                run.raised.push(kind);
                alerts.push(alert(kind, run, true, board.now_us, seen.words()));
            }
        }
        alerts
    }

    /// Without events, as on a board that is filled from the kernel's files alone, the counters show the kills.
    fn look_at_counters(&mut self, board: &Board, lines: &[Line], rule: &Rule) {
        let now = board.now_us;
        for line in lines.iter().filter(|line| line.oom_kills > 0) {
            let counted = self.counted.entry(line.path.clone()).or_default();
            let seen = counted.by_events.max(counted.known);
            if line.oom_kills <= seen {
                counted.above_since_us = None;
                continue;
            }
            if now - *counted.above_since_us.get_or_insert(now) >= COUNTED_US {
                let count = line.oom_kills - seen;
                (counted.known, counted.above_since_us) = (line.oom_kills, None);
                let killed = Killed { number: 0, time_us: now, cgroup: line.path.clone(), count, comm: None };
                self.add(board, &killed, rule);
            }
        }
        self.counted.retain(|path, _| path.is_empty() || board.cgroups.contains_key(path));
    }

    fn add(&mut self, board: &Board, killed: &Killed, rule: &Rule) {
        if !rule.wants(&killed.cgroup) {
            return;
        }
        let who = board.who(&killed.cgroup);
        let key = workload(&killed.cgroup, who.as_ref()).unwrap_or_else(|| killed.cgroup.clone());
        let run = self.runs.entry(key).or_insert_with(|| Run {
            cgroup: String::new(),
            name: String::new(),
            comm: None,
            first_us: killed.time_us,
            last_us: killed.time_us,
            count: 0,
            announced: None,
            raised: Vec::new(),
        });
        (run.cgroup, run.name) = (killed.cgroup.clone(), board.title(&killed.cgroup));
        if run.name.is_empty() {
            run.name = UNPLACED.into();
        }
        run.comm = killed.comm.clone().or(run.comm.take());
        run.first_us = run.first_us.min(killed.time_us);
        run.last_us = run.last_us.max(killed.time_us);
        run.count += killed.count;
    }
}

fn alert(kind: &'static str, run: &Run, raised: bool, time_us: i64, text: String) -> Alert {
    Alert { kind, raised, time_us, cgroup: run.cgroup.clone(), name: run.name.clone(), text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::live::alert::Watch;
    use crate::live::alert::rules::{RESTART_LOOP, Rules};
    use crate::live::board::Depth;
    use crate::model::event::{Event, EventKind};
    use crate::model::evidence::{Constraint, OomKill, Victim};
    use crate::model::fields::FieldId;
    use crate::model::sample::Row;
    use crate::model::time::Anchor;

    const S: i64 = 1_000_000;

    fn kill(cgroup: &str) -> Event {
        let kill = OomKill {
            time_ns: 0,
            constraint: Constraint::Memcg,
            victim_cgroup: Some(cgroup.into()),
            limit_cgroup: Some(cgroup.into()),
            victim: Some(Victim { pid: 7, comm: "python3".into(), ..Victim::default() }),
            witnesses: Vec::new(),
            report: None,
            probe: None,
            hit: None,
        };
        Event::of(cgroup, EventKind::OomKill(Box::new(kill)))
    }

    /// A look a second; `events` gives those of a second. The cgroups have no rows: they ended with their kills.
    fn run(seconds: i64, events: impl Fn(i64) -> Vec<Event>) -> Vec<(i64, bool, String, String)> {
        let mut board =
            Board::new(Depth { step_us: S, points: 60 }, Anchor { mono_ns: 0, wall_ns: 0 }, ("h".into(), None));
        let mut watch = Watch::new(Rules::default());
        let mut alerts = Vec::new();
        for t in 0..seconds {
            board.now_us = t * S;
            events(t).iter().for_each(|event| board.hear(t * S, event));
            let lines = board.lines(t * S);
            let new = watch.look(&board, &lines).into_iter().filter(|alert| alert.kind == OOM_KILL);
            alerts.extend(new.map(|alert| (t, alert.raised, alert.cgroup, alert.text)));
        }
        alerts
    }

    #[test]
    fn a_container_that_ends_with_its_kill_raises_an_alert_at_once() {
        let alerts = run(400, |t| match t {
            10 => vec![kill("/a")],
            12 => vec![kill("/b"), kill("/c")],
            _ => vec![],
        });
        let raised: Vec<_> = alerts.iter().filter(|alert| alert.1).map(|alert| (alert.0, &*alert.2)).collect();
        assert_eq!(raised, [(10, "/a"), (12, "/b"), (12, "/c")]);
        assert_eq!(alerts.iter().filter(|alert| !alert.1).count(), 3, "and each is over later: {alerts:?}");
    }

    #[test]
    fn a_restart_loop_is_announced_at_once_and_then_every_five_minutes_with_its_count() {
        let alerts = run(1900, |t| if t % 130 == 5 { vec![kill("/loop")] } else { vec![] });
        let times: Vec<i64> = alerts.iter().map(|alert| alert.0).collect();
        assert!(alerts.iter().all(|alert| alert.1), "it never pauses: {alerts:?}");
        assert_eq!(times[0], 5);
        assert!(times.windows(2).all(|pair| pair[1] - pair[0] <= 300 + 130), "{times:?}");
        let last = &alerts[alerts.len() - 1].3;
        assert!(last.contains("OOM kill since 00:00, one every 2.2 min"), "{last}");
    }

    #[test]
    fn a_leak_in_a_restart_loop_is_announced_although_no_life_is_long_enough_for_its_rule() {
        const MIB: u64 = 1 << 20;
        let mut board =
            Board::new(Depth { step_us: S, points: 60 }, Anchor { mono_ns: 0, wall_ns: 0 }, ("h".into(), None));
        let mut watch = Watch::new(Rules::default());
        let mut alerts = Vec::new();
        for t in 0..700i64 {
            let (life, age) = (t / 130, t % 130);
            let mut feed = |path: &str, id: i64, anon: u64| {
                let mut row = Row::new(1);
                for (field, value) in [
                    (FieldId::Current, anon),
                    (FieldId::Anon, anon),
                    (FieldId::File, 0),
                    (FieldId::Shmem, 0),
                    (FieldId::Max, 160 * MIB),
                ] {
                    row.put(field.field(), value);
                }
                board.feed(Some((path, id as u64)), t * S, &row);
            };
            feed("/leak", 10 + life, (10 + age as u64 * 150 / 130) * MIB);
            feed("/rest", 1, 150 * MIB);
            if age == 129 {
                board.hear(t * S + 1, &kill("/leak"));
                board.hear(t * S + 2, &Event::of("/leak", EventKind::CgroupRemoved));
            }
            let lines = board.lines(board.now_us);
            alerts.extend(watch.look(&board, &lines).into_iter().map(|alert| (alert.kind, alert.cgroup, alert.text)));
        }
        let of = |kind: &str| alerts.iter().filter(|alert| alert.0 == kind).collect::<Vec<_>>();
        let (loops, growth) = (of(RESTART_LOOP), of("growth"));
        assert_eq!((loops.len(), growth.len()), (1, 1), "{alerts:#?}");
        assert!(
            loops[0].2.starts_with("3rd OOM kill since 00:02, one every 2.2 min; each life leaks"),
            "{}",
            loops[0].2
        );
        assert_eq!(growth[0].1, "/leak");
    }

    #[test]
    fn kills_that_come_fast_are_counted_and_not_repeated() {
        let alerts = run(600, |t| if t < 500 { (0..3).map(|_| kill("/storm")).collect() } else { vec![] });
        let raised = alerts.iter().filter(|alert| alert.1).count();
        assert!((3..=8).contains(&raised), "{alerts:?}");
        let counts = alerts.iter().filter(|alert| alert.3.contains(" kills since ")).count();
        assert!(counts >= 2, "{alerts:?}");
    }
}
