//! A storm of kills in few events: the first of a cgroup are reported one by one, those beyond are counted.

use std::collections::{HashMap, VecDeque};

use crate::kernel::oom::bucket::TokenBucket;
use crate::model::evidence::{MoreOomKills, OomKill};

/// So many kills of one cgroup are reported one by one, and then so many a second: a restart loop is slower.
const SINGLES: (f64, f64) = (100.0, 4.0);
/// The same of all cgroups together.
const ALL: (f64, f64) = (300.0, 20.0);
/// Kills beyond are counted for this long, then an event has their number.
const COUNT_NS: u64 = 1_000_000_000;
/// Cgroups that are counted at once; beyond them all counts are reported early.
const MOST_COUNTS: usize = 256;
/// Names of victims that are remembered with their cgroups.
const NAMES: usize = 64;

/// What is ready to be reported.
#[derive(Debug, Default, PartialEq)]
pub struct Settled {
    /// Kills, each once, by time.
    pub kills: Vec<OomKill>,
    /// What a storm brings beyond the kills that are reported one by one.
    pub more: Vec<MoreOomKills>,
}

/// Kills by victim's cgroup and the cgroup whose limit was hit.
type Key = (Option<String>, Option<String>);

#[derive(Debug)]
struct Bucket {
    singles: TokenBucket,
    /// What is counted, and since when.
    more: Option<(u64, MoreOomKills)>,
}

/// Reports the first kills and counts the rest.
#[derive(Debug)]
pub(super) struct Folding {
    buckets: HashMap<Key, Bucket>,
    all: TokenBucket,
    kills: Vec<OomKill>,
    early: Vec<MoreOomKills>,
    names: VecDeque<(String, String)>,
}

impl Default for Folding {
    fn default() -> Folding {
        Folding {
            buckets: HashMap::new(),
            all: TokenBucket::new(ALL.0, ALL.1),
            kills: Vec::new(),
            early: Vec::new(),
            names: VecDeque::new(),
        }
    }
}

impl Folding {
    /// Takes a kill.
    pub(super) fn add(&mut self, kill: OomKill, now_ns: u64) {
        if let (Some(victim), Some(cgroup)) = (&kill.victim, &kill.victim_cgroup)
            && self.cgroup_of(&victim.comm, std::slice::from_ref(cgroup)).is_none()
        {
            self.names.push_back((victim.comm.clone(), cgroup.clone()));
            if self.names.len() > NAMES {
                self.names.pop_front();
            }
        }
        let key = (kill.victim_cgroup.clone(), kill.limit_cgroup.clone());
        let full = || Bucket { singles: TokenBucket::new(SINGLES.0, SINGLES.1), more: None };
        let bucket = self.buckets.entry(key).or_insert_with(full);
        if bucket.singles.has_one(now_ns) && self.all.take(now_ns) {
            bucket.singles.take(now_ns);
            self.kills.push(kill);
            return;
        }
        let (_, more) = bucket.more.get_or_insert_with(|| {
            let none = MoreOomKills {
                count: 0,
                first_ns: kill.time_ns,
                last_ns: kill.time_ns,
                constraint: kill.constraint,
                limit_cgroup: kill.limit_cgroup.clone(),
                victim_cgroup: kill.victim_cgroup.clone(),
            };
            (now_ns, none)
        });
        more.count += 1;
        more.first_ns = more.first_ns.min(kill.time_ns);
        more.last_ns = more.last_ns.max(kill.time_ns);
        if self.buckets.len() > MOST_COUNTS {
            self.early.extend(self.buckets.drain().filter_map(|(_, bucket)| Some(bucket.more?.1)));
        }
    }

    /// When a count is to be reported.
    pub(super) fn deadline(&self) -> Option<u64> {
        let counts = self.buckets.values().filter_map(|bucket| bucket.more.as_ref());
        counts.map(|(since_ns, _)| since_ns.saturating_add(COUNT_NS)).min()
    }

    /// What is to be reported by now.
    pub(super) fn take(&mut self, now_ns: u64) -> Settled {
        let mut more = std::mem::take(&mut self.early);
        for bucket in self.buckets.values_mut() {
            if bucket.more.as_ref().is_some_and(|(since_ns, _)| now_ns >= since_ns.saturating_add(COUNT_NS)) {
                more.extend(bucket.more.take().map(|(_, more)| more));
            }
        }
        self.buckets.retain(|_, bucket| bucket.more.is_some() || !bucket.singles.is_full(now_ns));
        if self.buckets.is_empty() {
            self.buckets.shrink_to_fit();
        }
        more.sort_by_key(|more| more.first_ns);
        Settled { kills: std::mem::take(&mut self.kills), more }
    }

    /// The only one of these cgroups in which a process of this name was killed lately.
    pub(super) fn cgroup_of<'a>(&self, comm: &str, cgroups: &'a [String]) -> Option<&'a str> {
        let killed = |cgroup: &&String| self.names.iter().any(|(name, of)| name == comm && of == *cgroup);
        let mut found = cgroups.iter().filter(killed);
        found.next().filter(|_| found.next().is_none()).map(String::as_str)
    }
}
