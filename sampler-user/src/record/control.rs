//! The decisions of the control loop. Pure: it is given what was read and the time, and answers what to do.

use std::time::Duration;

use crate::kernel::probe::events::ProbeEvent;
use crate::model::event::{Event, EventKind};
use crate::model::time::Anchor;
use crate::record::budget::{Budget, CpuReading};
use crate::record::config::Config;
use crate::record::deaths::Deaths;
use crate::record::effect::Effect;
use crate::record::lifecycle::Lifecycle;
use crate::record::notices::{Notice, STALL_US, WINDOW_US};
use crate::record::oom_watch::OomWatch;
use crate::record::wake::{Attached, ProbeCounts, Second, Start, Wake};

/// The tree is compared with the kernel's this often, in case a notice was lost, in seconds.
const RESCAN_EVERY: u64 = 60;
/// The CPU budget is checked this often, in seconds.
const BUDGET_EVERY: u64 = 5;
/// After this many cgroups that went away, memory that was freed is given back, this often at most, in seconds.
const CHURN: u64 = 100;
const TRIM_EVERY: u64 = 10;
/// The wall clock was set when it moved by more than this against the monotonic clock within a second, nanoseconds.
const CLOCK_STEP_NS: i64 = 100_000_000;

/// The state that the control loop decides by.
#[derive(Debug)]
pub struct Control {
    interval: Duration,
    slow_interval: Duration,
    lifecycle: Lifecycle,
    oom: OomWatch,
    deaths: Deaths,
    budget: Option<Budget>,
    cpu: CpuReading,
    /// Both clocks a second ago; none before the start.
    clock: Option<Anchor>,
    seconds: u64,
    gone_since_trim: u64,
}

impl Control {
    /// The state before the recording begins.
    pub fn new(config: &Config) -> Control {
        Control {
            interval: config.interval,
            slow_interval: config.slow_interval,
            lifecycle: Lifecycle::new(config.selection.clone()),
            oom: OomWatch::default(),
            deaths: Deaths::default(),
            budget: config.max_cpu.map(Budget::new),
            cpu: CpuReading::default(),
            clock: None,
            seconds: 0,
            gone_since_trim: 0,
        }
    }

    /// When [`Wake::Due`] is due, monotonic nanoseconds.
    pub fn deadline(&self) -> Option<u64> {
        self.oom.deadline()
    }

    /// Whether a kill waits for [`Wake::HostKills`].
    pub fn wants_host_kills(&self) -> bool {
        self.oom.wants_host_kills()
    }

    /// Number of sampled cgroups.
    pub fn sampled(&self) -> u64 {
        self.lifecycle.sampled()
    }

    /// Decides what to do about what woke the loop.
    pub fn on(&mut self, now_ns: u64, wake: Wake) -> Vec<Effect> {
        let mut effects = Vec::new();
        let out = &mut effects;
        match wake {
            Wake::Start(start) => self.start(now_ns, start, out),
            Wake::Found { path, id } => self.lifecycle.appeared(now_ns, path, id, false, out),
            Wake::Created { path, id } => self.lifecycle.appeared(now_ns, path, id, true, out),
            Wake::Removed { path, id, last } => {
                self.notices(now_ns, last, out);
                if self.lifecycle.disappeared(now_ns, path.clone(), id, out) {
                    self.oom.forget(&path);
                    self.gone_since_trim += 1;
                }
            }
            Wake::Notices(notices) => self.notices(now_ns, notices, out),
            Wake::Log(reports) => reports.into_iter().for_each(|report| self.oom.log(now_ns, report, out)),
            Wake::Probe(events) => events.into_iter().for_each(|event| self.probe_event(now_ns, event, out)),
            Wake::ProbeLoaded { attached, lacks } => self.probe_loaded(now_ns, attached, lacks, out),
            Wake::HostKills(count) => self.oom.host_kills(now_ns, count, out),
            Wake::Due => self.oom.settle(now_ns, out),
            Wake::Second(second) => self.second(now_ns, second, out),
            Wake::Stop { probe, host_kills } => {
                self.probe_counts(now_ns, probe, out);
                self.oom.host_kills(now_ns, host_kills, out);
                self.oom.settle(u64::MAX, out);
                self.oom.record_skipped(now_ns, out);
            }
            Wake::Stopped { reason } => out.push(record(now_ns, EventKind::AgentStop { reason })),
        }
        effects
    }

    fn start(&mut self, now_ns: u64, start: Start, effects: &mut Vec<Effect>) {
        self.clock = Some(start.clock);
        self.cpu = CpuReading { time_ns: now_ns, cpu_ns: start.cpu_ns };
        self.oom.start(now_ns, start.host_kills, start.expected);
        effects.push(record(
            now_ns,
            EventKind::AgentStart {
                version: env!("CARGO_PKG_VERSION").into(),
                interval_us: self.interval.as_micros() as u64,
                slow_interval_us: self.slow_interval.as_micros() as u64,
            },
        ));
        effects.extend(start.degraded.into_iter().map(|what| record(now_ns, EventKind::Degraded { what })));
    }

    fn notices(&mut self, now_ns: u64, notices: Vec<Notice>, effects: &mut Vec<Effect>) {
        for notice in notices {
            match notice {
                Notice::Pressure { cgroup } => {
                    let what = EventKind::Pressure { of: "some".into(), stall_us: STALL_US, window_us: WINDOW_US };
                    let cgroup = cgroup.map(|cgroup| cgroup.to_string());
                    effects.push(Effect::Record(Event { mono_ns: now_ns, cgroup, what }));
                }
                Notice::Oom { cgroup, usage } => self.oom.notified(now_ns, &cgroup, usage),
                Notice::Events { cgroup, since_ns, rose } => {
                    self.oom.counters(now_ns, &cgroup, since_ns, &rose, effects);
                    let rose = rose.into_iter().map(|(name, by)| (name.to_owned(), by)).collect();
                    let cgroup = Some(cgroup.to_string());
                    effects.push(Effect::Record(Event {
                        mono_ns: now_ns,
                        cgroup,
                        what: EventKind::MemoryEvents { rose },
                    }));
                }
            }
        }
    }

    fn probe_loaded(&mut self, now_ns: u64, attached: Option<Attached>, lacks: Vec<String>, effects: &mut Vec<Effect>) {
        effects.extend(lacks.into_iter().map(|what| record(now_ns, EventKind::Degraded { what })));
        let Some(Attached { jobs, sees_victims }) = attached else { return };
        effects.push(record(now_ns, EventKind::ProbeAttached { jobs }));
        effects.extend(self.lifecycle.sampled_ids().map(Effect::ProbeCgroup));
        effects.push(Effect::WalkWithProbe);
        self.oom.expect_probe(sees_victims);
    }

    fn probe_event(&mut self, now_ns: u64, event: ProbeEvent, effects: &mut Vec<Effect>) {
        match event {
            ProbeEvent::Kill { mut report, victim_cgroup, limit_cgroup } => {
                report.victim_cgroup = self.lifecycle.path_of(victim_cgroup);
                if let Some(request) = &mut report.request {
                    request.limit_cgroup = self.lifecycle.path_of(limit_cgroup);
                }
                self.oom.probe(now_ns, report, effects);
            }
            ProbeEvent::Made { time_ns, id, path } => self.lifecycle.probe_made(time_ns, id, path, effects),
            ProbeEvent::Removed { time_ns, id, path, last } => {
                self.lifecycle.probe_removed(time_ns, id, path, last, effects);
            }
            ProbeEvent::Joined { time_ns, cgroup, pid, own_pid, comm } => {
                if let Some(path) = self.lifecycle.selected_path_of(cgroup) {
                    let what = EventKind::ProcessJoined { pid, own_pid, comm };
                    effects.push(Effect::Record(Event { mono_ns: time_ns, cgroup: Some(path), what }));
                }
            }
            ProbeEvent::Exit { time_ns, cgroup, exit } => {
                if let Some(what) = self.deaths.exit(time_ns, exit) {
                    let cgroup = self.lifecycle.path_of(cgroup);
                    effects.push(Effect::Record(Event { mono_ns: time_ns, cgroup, what }));
                }
            }
            ProbeEvent::Signal { pid, sender_cgroup, mut sent, .. } => {
                sent.sender_cgroup = self.lifecycle.path_of(sender_cgroup);
                self.deaths.signal(pid, sent);
            }
        }
    }

    fn second(&mut self, now_ns: u64, second: Second, effects: &mut Vec<Effect>) {
        self.seconds += 1;
        let step_ns = self.clock.replace(second.clock).map_or(0, |before| before.step_to(&second.clock));
        if step_ns.abs() > CLOCK_STEP_NS {
            effects.push(record(now_ns, EventKind::ClockStep { by_us: step_ns / 1000 }));
        }
        self.oom.host_kills(now_ns, second.host_kills, effects);
        self.probe_counts(now_ns, second.probe, effects);
        self.oom.record_skipped(now_ns, effects);
        self.oom.trim_after_storm(effects);
        if self.seconds.is_multiple_of(TRIM_EVERY) && self.gone_since_trim >= CHURN {
            self.gone_since_trim = 0;
            effects.push(Effect::TrimMemory);
        }
        if self.seconds.is_multiple_of(RESCAN_EVERY) {
            effects.push(Effect::Rescan);
        }
        if self.seconds.is_multiple_of(BUDGET_EVERY) {
            self.check_budget(CpuReading { time_ns: now_ns, cpu_ns: second.cpu_ns }, effects);
        }
    }

    fn probe_counts(&mut self, now_ns: u64, counts: ProbeCounts, effects: &mut Vec<Effect>) {
        if counts.walk_failed {
            let what = "the kernel refused a walk of the probe: cgroups are read from their files from now on".into();
            effects.push(record(now_ns, EventKind::Degraded { what }));
        }
        for (id, stall) in counts.stalls {
            let Some(path) = self.lifecycle.selected_path_of(id) else { continue };
            let used = stall.buckets.iter().rposition(|count| *count > 0).map_or(0, |last| last + 1);
            let what = EventKind::Stalls {
                count: stall.count,
                time_us: stall.time_ns / 1000,
                longest_us: stall.longest_ns / 1000,
                pages: stall.pages,
                histogram: stall.buckets[..used].to_vec(),
            };
            effects.push(Effect::Record(Event { mono_ns: now_ns, cgroup: Some(path), what }));
        }
        if let Some(count) = self.deaths.left_out() {
            effects.push(record(now_ns, EventKind::ExitsLeftOut { count }));
        }
        if counts.lost > 0 {
            let what = EventKind::Gap {
                from_ns: now_ns.saturating_sub(1_000_000_000),
                to_ns: now_ns,
                lost_passes: 0,
                reason: format!("the kernel probe lost {} events: they came faster than they were read", counts.lost),
            };
            effects.push(record(now_ns, what));
        }
    }

    /// Slows the rate down, or speeds it up, when the agent's use of CPU asks for it.
    fn check_budget(&mut self, now: CpuReading, effects: &mut Vec<Effect>) {
        let before = std::mem::replace(&mut self.cpu, now);
        let Some(budget) = &mut self.budget else { return };
        let used_ns = now.cpu_ns.saturating_sub(before.cpu_ns);
        if let Some(factor) = budget.observe(used_ns, now.time_ns.saturating_sub(before.time_ns)) {
            effects.push(Effect::SlowDown(factor));
            let interval_us = (self.interval * factor).as_micros() as u64;
            effects.push(record(now.time_ns, EventKind::RateChanged { interval_us, reason: "CPU budget".into() }));
        }
    }
}

/// Records an event about the host or the agent.
fn record(mono_ns: u64, what: EventKind) -> Effect {
    Effect::Record(Event { mono_ns, cgroup: None, what })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::cgroupfs::layout::{Layout, Version};
    use crate::kernel::cgroupfs::tree::Selection;
    use crate::kernel::oom::witness::Expected;
    use crate::model::evidence::{OomReport, ProbeReport, Victim};
    use crate::model::fields::FieldId;

    const SECOND: u64 = 1_000_000_000;

    fn clock(mono_ns: u64, ahead_ns: u64) -> Anchor {
        Anchor { mono_ns, wall_ns: mono_ns + ahead_ns }
    }

    /// A recording of `/a/**`, just begun.
    fn begun(max_cpu: Option<f64>) -> (Control, Vec<Effect>) {
        let layout =
            Layout { version: Version::V2, memory: "/nowhere".into(), unified: None, cpuacct: None, pids: None };
        let selection = Selection::new(&["/a/**".into()], &[]).unwrap();
        let mut control = Control::new(&Config { selection, max_cpu, ..Config::new(layout) });
        let effects = control.on(
            SECOND,
            Wake::Start(Start {
                clock: clock(SECOND, 0),
                cpu_ns: 0,
                host_kills: Some(7),
                expected: Expected { kmsg: true, probe: false },
                degraded: vec!["no PSI".into()],
            }),
        );
        (control, effects)
    }

    /// Each effect in a word, an event as its kind and its cgroup.
    fn brief(effects: &[Effect]) -> Vec<String> {
        let one = |effect: &Effect| match effect {
            Effect::Record(event) => match &event.cgroup {
                Some(cgroup) => format!("{} {cgroup}", event.what.kind()),
                None => event.what.kind().to_owned(),
            },
            Effect::Number { path, .. } => format!("number {path}"),
            Effect::Sample { path, .. } => format!("sample {path}"),
            Effect::Remove { path } => format!("remove {path}"),
            Effect::ProbeCgroup(id) => format!("probe {id}"),
            Effect::ProbeForget(id) => format!("forget {id}"),
            other => format!("{other:?}"),
        };
        effects.iter().map(one).collect()
    }

    fn second(at: u64, ahead_ns: u64, cpu_ns: u64) -> Wake {
        let probe = ProbeCounts::default();
        Wake::Second(Second { clock: clock(at, ahead_ns), cpu_ns, host_kills: Some(7), probe })
    }

    fn created(control: &mut Control, path: &str, id: u64) -> Vec<String> {
        brief(&control.on(2 * SECOND, Wake::Created { path: path.into(), id }))
    }

    fn removed(control: &mut Control, path: &str, id: u64, last: Vec<Notice>) -> Vec<String> {
        brief(&control.on(3 * SECOND, Wake::Removed { path: path.into(), id, last }))
    }

    fn killed(cgroup: &str, kills: u64) -> Notice {
        let rose = vec![(FieldId::LocalOomKill.field().column, kills)];
        Notice::Events { cgroup: cgroup.into(), since_ns: SECOND, rose }
    }

    fn report(pid: i32) -> OomReport {
        let victim = Victim { pid, ..Victim::default() };
        OomReport { victim, task_memcg: Some("/a/x".into()), ..OomReport::default() }
    }

    #[test]
    fn the_start_is_recorded_with_what_is_missing_and_finds_cgroups_without_news_of_them() {
        let (mut control, effects) = begun(None);
        assert_eq!(brief(&effects), ["agent_start", "degraded"]);
        let found = control.on(SECOND, Wake::Found { path: "/a/x".into(), id: 5 });
        assert_eq!(brief(&found), ["number /a/x", "sample /a/x", "probe 5"]);
        assert!(control.on(SECOND, Wake::Found { path: "/b".into(), id: 6 }).is_empty(), "not selected");
        assert_eq!(control.sampled(), 1);
    }

    #[test]
    fn a_cgroup_that_comes_and_goes_is_recorded_with_the_last_of_its_counters() {
        let (mut control, _) = begun(None);
        assert_eq!(created(&mut control, "/a/x", 5), ["number /a/x", "cgroup_created /a/x", "sample /a/x", "probe 5"]);
        assert_eq!(
            removed(&mut control, "/a/x", 5, vec![killed("/a/x", 1)]),
            ["oom_witness /a/x", "memory_events /a/x", "cgroup_removed /a/x", "remove /a/x", "forget 5"]
        );
        assert_eq!(removed(&mut control, "/b", 6, Vec::new()), ["forget 6"], "not selected");
        assert_eq!(control.sampled(), 0);
    }

    #[test]
    fn a_brief_cgroup_is_recorded_once_whoever_reports_it_first() {
        let made = || ProbeEvent::Made { time_ns: 10, id: 9, path: "/a/b".into() };
        let gone = || ProbeEvent::Removed { time_ns: 20, id: 9, path: "/a/b".into(), last: Some((4096, 1)) };
        let life = ["cgroup_created /a/b", "cgroup_last /a/b", "cgroup_removed /a/b", "forget 9"];
        let (mut control, _) = begun(None);
        let all = brief(&control.on(SECOND, Wake::Probe(vec![made(), gone()])));
        assert_eq!((&all[0][..], &all[1..]), ("probe 9", &life.map(String::from)[..]));
        assert!(created(&mut control, "/a/b", 0).is_empty(), "inotify reports it too");
        let (mut control, _) = begun(None);
        assert!(created(&mut control, "/a/b", 0).contains(&"cgroup_created /a/b".to_owned()));
        removed(&mut control, "/a/b", 0, Vec::new());
        let late = control.on(4 * SECOND, Wake::Probe(vec![made(), gone()]));
        assert_eq!(brief(&late), ["probe 9", "cgroup_last /a/b"], "the probe adds what inotify cannot know");
    }

    #[test]
    fn a_kill_is_recorded_as_each_witness_saw_it_and_then_merged() {
        let (mut control, _) = begun(None);
        created(&mut control, "/a/x", 5);
        assert_eq!(control.deadline(), None);
        assert_eq!(brief(&control.on(4 * SECOND, Wake::Log(vec![report(7)]))), ["oom_witness /a/x"]);
        let counted = control.on(4 * SECOND, Wake::Notices(vec![killed("/a/x", 1)]));
        assert_eq!(brief(&counted), ["oom_witness /a/x", "memory_events /a/x"]);
        assert!(control.deadline().is_some() && control.wants_host_kills());
        assert_eq!(brief(&control.on(4 * SECOND + 1, Wake::HostKills(Some(8)))), ["oom_witness"]);
        let merged = control.on(6 * SECOND, Wake::Due);
        let [Effect::Record(Event { what: EventKind::OomKill(kill), .. })] = &merged[..] else { panic!("{merged:?}") };
        assert_eq!((kill.victim.as_ref().map(|victim| victim.pid), kill.witnesses.len()), (Some(7), 3));
        assert!(control.on(9 * SECOND, Wake::HostKills(Some(8))).is_empty(), "the same count is no news");
    }

    #[test]
    fn a_storm_of_kills_is_bounded_counted_and_its_memory_returned() {
        let (mut control, _) = begun(None);
        let events = control.on(SECOND, Wake::Log((1..=300).map(report).collect()));
        assert_eq!(events.len(), 100);
        control.on(4 * SECOND, Wake::Due);
        control.on(9 * SECOND, Wake::Due);
        let effects = control.on(10 * SECOND, second(10 * SECOND, 0, 0));
        assert!(effects.contains(&Effect::TrimMemory), "{effects:?}");
        let skipped = effects.iter().find_map(|effect| match effect {
            Effect::Record(Event { what: EventKind::OomWitness { kills, .. }, .. }) => Some(*kills),
            _ => None,
        });
        assert_eq!(skipped, Some(200));
    }

    #[test]
    fn pressure_and_a_notified_oom_are_taken() {
        let (mut control, _) = begun(None);
        let notices = vec![
            Notice::Pressure { cgroup: None },
            Notice::Pressure { cgroup: Some("/a/x".into()) },
            Notice::Oom { cgroup: "/a/x".into(), usage: None },
        ];
        assert_eq!(brief(&control.on(SECOND, Wake::Notices(notices))), ["pressure", "pressure /a/x"]);
    }

    #[test]
    fn a_loaded_probe_gets_the_cgroups_and_resolves_their_ids() {
        let (mut control, _) = begun(None);
        created(&mut control, "/a/x", 5);
        created(&mut control, "/b", 6);
        let lacks = vec!["no walk".into()];
        let attached = Some(Attached { jobs: Vec::new(), sees_victims: true });
        let effects = control.on(SECOND, Wake::ProbeLoaded { attached, lacks: lacks.clone() });
        assert_eq!(brief(&effects), ["degraded", "probe_attached", "probe 5", "WalkWithProbe"]);
        assert_eq!(brief(&control.on(SECOND, Wake::ProbeLoaded { attached: None, lacks })), ["degraded"]);
        removed(&mut control, "/a/gone", 0, Vec::new());
        for (id, cgroup) in [(5, Some("/a/x")), (6, Some("/b")), (0, None)] {
            let kill =
                ProbeEvent::Kill { report: Box::new(ProbeReport::default()), victim_cgroup: id, limit_cgroup: 0 };
            let effects = control.on(SECOND, Wake::Probe(vec![kill]));
            let [Effect::Record(event)] = &effects[..] else { panic!("{effects:?}") };
            assert_eq!(event.cgroup.as_deref(), cgroup, "cgroup {id}");
        }
        let joined = |cgroup| ProbeEvent::Joined { time_ns: 1, cgroup, pid: 1, own_pid: 1, comm: "sh".into() };
        let effects = control.on(SECOND, Wake::Probe(vec![joined(5), joined(6)]));
        assert_eq!(brief(&effects), ["process_joined /a/x"], "/b is not selected");
    }

    #[test]
    fn what_the_probe_counts_is_recorded_once_a_second() {
        let (mut control, _) = begun(None);
        created(&mut control, "/a/x", 5);
        let mut stall =
            sampler_ebpf::Stalls { count: 1, time_ns: 5000, pages: 1, longest_ns: 5000, ..Default::default() };
        stall.buckets[2] = 1;
        let probe = ProbeCounts { walk_failed: true, stalls: vec![(5, stall), (99, stall)], lost: 3 };
        let wake = Wake::Second(Second { clock: clock(2 * SECOND, 0), cpu_ns: 0, host_kills: Some(7), probe });
        let effects = control.on(2 * SECOND, wake);
        assert_eq!(brief(&effects), ["degraded", "stalls /a/x", "gap"]);
        let Effect::Record(Event { what: EventKind::Stalls { histogram, time_us, .. }, .. }) = &effects[1] else {
            panic!()
        };
        assert_eq!((&histogram[..], *time_us), (&[0, 0, 1][..], 5));
    }

    #[test]
    fn a_step_of_the_wall_clock_is_recorded_and_a_drift_is_not() {
        let (mut control, _) = begun(None);
        assert!(control.on(2 * SECOND, second(2 * SECOND, 90_000_000, 0)).is_empty());
        let effects = control.on(3 * SECOND, second(3 * SECOND, 3_690_000_000, 0));
        let step = Effect::Record(Event {
            mono_ns: 3 * SECOND,
            cgroup: None,
            what: EventKind::ClockStep { by_us: 3_600_000 },
        });
        assert_eq!(effects, [step]);
        assert!(control.on(4 * SECOND, second(4 * SECOND, 3_690_000_000, 0)).is_empty(), "once");
    }

    #[test]
    fn the_budget_slows_down_and_speeds_up_and_the_tree_is_compared_each_minute() {
        let (mut control, _) = begun(Some(0.01));
        let (mut changes, mut rescans) = (Vec::new(), Vec::new());
        for n in 1..=60 {
            // 2 % of a CPU for five seconds, then nearly nothing.
            let cpu_ns = n.min(5) * SECOND / 50;
            for effect in control.on((n + 1) * SECOND, second((n + 1) * SECOND, 0, cpu_ns)) {
                match effect {
                    Effect::SlowDown(factor) => changes.push((n, factor)),
                    Effect::Rescan => rescans.push(n),
                    Effect::Record(Event { what: EventKind::RateChanged { interval_us, .. }, .. }) => {
                        assert_eq!(Some(interval_us), changes.last().map(|(_, factor)| u64::from(*factor) * 100_000));
                    }
                    other => panic!("{other:?}"),
                }
            }
        }
        assert_eq!((&changes[..], &rescans[..]), (&[(5, 2), (20, 1)][..], &[60][..]));
    }

    #[test]
    fn the_stop_settles_all_kills_and_the_last_event_says_why() {
        let (mut control, _) = begun(None);
        control.on(SECOND, Wake::Log(vec![report(7)]));
        let effects = control.on(SECOND, Wake::Stop { probe: ProbeCounts::default(), host_kills: Some(8) });
        assert_eq!(brief(&effects), ["oom_witness", "oom_kill /a/x"]);
        let what = EventKind::AgentStop { reason: "SIGTERM".into() };
        let last = Effect::Record(Event { mono_ns: 9, cgroup: None, what });
        assert_eq!(control.on(9, Wake::Stopped { reason: "SIGTERM".into() }), [last]);
    }
}
