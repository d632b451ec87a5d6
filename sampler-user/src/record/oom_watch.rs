//! OOM kills as the control loop sees them: each witness is recorded, within bounds, and the merged kill after it.

use std::collections::BTreeMap;

use crate::kernel::oom::bucket::TokenBucket;
use crate::kernel::oom::merge::Merge;
use crate::kernel::oom::witness::{Expected, Witness};
use crate::model::event::{Event, EventKind};
use crate::model::evidence::{OomReport, ProbeReport, Usage};
use crate::model::fields::FieldId;
use crate::record::effect::Effect;

/// This many kills are recorded as each witness saw them at once, and then this many a second. The merged kills are never left out.
const WITNESSES: (f64, f64) = (100.0, 20.0);
/// After this many kills the memory that they took is returned.
const STORM: u64 = 50;

/// Records what witnesses saw, and each kill once.
#[derive(Debug, Default)]
pub struct OomWatch {
    merge: Merge,
    expected: Expected,
    /// For each witness the bound on its events, and the kills beyond.
    witnesses: BTreeMap<&'static str, (TokenBucket, u64)>,
    kills_since_trim: u64,
    /// When the host's count was read, and what it was.
    host: (u64, Option<u64>),
}

impl OomWatch {
    /// Begins at the host's count of kills.
    pub fn start(&mut self, now_ns: u64, host_kills: Option<u64>, expected: Expected) {
        self.host = (now_ns, host_kills);
        self.expected = expected;
        self.merge.expect(expected);
    }

    /// From now on the probe sees victims, or does not.
    pub fn expect_probe(&mut self, probe: bool) {
        self.expected.probe = probe;
        self.merge.expect(self.expected);
    }

    /// When [`OomWatch::settle`] may have something to report, monotonic nanoseconds.
    pub fn deadline(&self) -> Option<u64> {
        self.merge.deadline()
    }

    /// Whether a kill waits for the host's count.
    pub fn wants_host_kills(&self) -> bool {
        self.merge.wants_vmstat()
    }

    /// A cgroup is gone.
    pub fn forget(&mut self, cgroup: &str) {
        self.merge.forget(cgroup);
    }

    /// The kernel's log has a report.
    pub fn log(&mut self, now_ns: u64, report: OomReport, effects: &mut Vec<Effect>) {
        let what = EventKind::OomWitness {
            witness: "kmsg".into(),
            kills: 1,
            report: Some(Box::new(report.clone())),
            probe: None,
        };
        let event = Event { mono_ns: now_ns, cgroup: report.task_memcg.clone(), what };
        self.record_witness(now_ns, "kmsg", event, effects);
        self.merge.witness(Witness::Kmsg { time_ns: now_ns, report: Box::new(report) });
    }

    /// The probe saw a victim.
    pub fn probe(&mut self, now_ns: u64, report: Box<ProbeReport>, effects: &mut Vec<Effect>) {
        let kills = u64::from(report.killed != Some(false));
        let probe = Some(report.clone());
        let what = EventKind::OomWitness { witness: "probe".into(), kills, report: None, probe };
        let event = Event { mono_ns: report.time_ns, cgroup: report.victim_cgroup.clone(), what };
        self.record_witness(now_ns, "probe", event, effects);
        self.merge.witness(Witness::Probe { report });
    }

    /// The kernel notified a cgroup of an OOM, on v1.
    pub fn notified(&mut self, now_ns: u64, cgroup: &str, usage: Option<Usage>) {
        self.merge.witness(Witness::Notified { time_ns: now_ns, cgroup: cgroup.to_owned(), usage });
    }

    /// Counters of a cgroup rose: column and by how much.
    pub fn counters(
        &mut self,
        now_ns: u64,
        cgroup: &str,
        since_ns: u64,
        rose: &[(&'static str, u64)],
        effects: &mut Vec<Effect>,
    ) {
        let by =
            |column: FieldId| rose.iter().find(|(name, _)| *name == column.field().column).map_or(0, |(_, by)| *by);
        let (kills, ooms) = (by(FieldId::LocalOomKill), by(FieldId::LocalOom));
        if kills > 0 {
            let what = EventKind::OomWitness { witness: "memory.events".into(), kills, report: None, probe: None };
            effects.push(Effect::Record(Event { mono_ns: now_ns, cgroup: Some(cgroup.to_owned()), what }));
        }
        if kills > 0 || ooms > 0 {
            self.merge.witness(Witness::Counter {
                time_ns: now_ns,
                since_ns,
                cgroup: cgroup.to_owned(),
                kills,
                ooms,
                group_kills: by(FieldId::LocalOomGroupKill),
            });
        }
    }

    /// The host's count of kills was read.
    pub fn host_kills(&mut self, now_ns: u64, count: Option<u64>, effects: &mut Vec<Effect>) {
        let (since_ns, before) = self.host;
        if let (Some(before), Some(kills)) = (before, count)
            && kills > before
        {
            let kills = kills - before;
            let what = EventKind::OomWitness { witness: "vmstat".into(), kills, report: None, probe: None };
            effects.push(Effect::Record(Event { mono_ns: now_ns, cgroup: None, what }));
            self.merge.witness(Witness::Vmstat { time_ns: now_ns, since_ns, kills });
        }
        self.host = (now_ns, count);
    }

    /// Records the kills that are complete by now; with `u64::MAX` all of them.
    pub fn settle(&mut self, now_ns: u64, effects: &mut Vec<Effect>) {
        let settled = self.merge.poll(now_ns);
        self.kills_since_trim += settled.kills.len() as u64 + settled.more.iter().map(|more| more.count).sum::<u64>();
        for kill in settled.kills {
            let (mono_ns, cgroup) = (kill.time_ns, kill.victim_cgroup.clone());
            effects.push(Effect::Record(Event { mono_ns, cgroup, what: EventKind::OomKill(Box::new(kill)) }));
        }
        for more in settled.more {
            let (mono_ns, cgroup) = (more.last_ns, more.victim_cgroup.clone());
            effects.push(Effect::Record(Event { mono_ns, cgroup, what: EventKind::MoreOomKills(Box::new(more)) }));
        }
    }

    /// Records what one witness saw of one kill. Of a storm the first are recorded, and the number of the rest.
    fn record_witness(&mut self, now_ns: u64, witness: &'static str, event: Event, effects: &mut Vec<Effect>) {
        let bounded = || (TokenBucket::new(WITNESSES.0, WITNESSES.1), 0);
        let (bucket, skipped) = self.witnesses.entry(witness).or_insert_with(bounded);
        if bucket.take(now_ns) {
            effects.push(Effect::Record(event));
        } else {
            *skipped += 1;
        }
    }

    /// Records how many kills each witness saw that are not recorded one by one.
    pub fn record_skipped(&mut self, now_ns: u64, effects: &mut Vec<Effect>) {
        for (witness, (_, skipped)) in &mut self.witnesses {
            let kills = std::mem::take(skipped);
            if kills > 0 {
                let what = EventKind::OomWitness { witness: (*witness).into(), kills, report: None, probe: None };
                effects.push(Effect::Record(Event { mono_ns: now_ns, cgroup: None, what }));
            }
        }
    }

    /// Returns what a storm of kills took, once it is over.
    pub fn trim_after_storm(&mut self, effects: &mut Vec<Effect>) {
        if self.kills_since_trim >= STORM && self.merge.deadline().is_none() {
            self.kills_since_trim = 0;
            effects.push(Effect::TrimMemory);
        }
    }
}
