//! All cgroups of one host: followed while their rows pass by, then judged together.
//!
//! The one way from rows to findings: `analyze`, `advise` and `report` ask it, so that they cannot disagree.

use std::collections::{BTreeMap, BTreeSet};

use crate::analysis::groups::{Group, groups};
use crate::analysis::judged_life::{JudgedLife, judged_lives};
use crate::analysis::leak::track::{self, Track};
use crate::analysis::leak::verdict::{Verdict, judge_among};
use crate::analysis::limits::{Bounds, Headroom, nearest};
use crate::analysis::pressure::neighbour::attribute;
use crate::analysis::pressure::{self, CgroupWatch, Episode, HostWatch};
use crate::analysis::restart_loops::{Loops, facts_of};
use crate::analysis::rises::Rises;
use crate::analysis::workloads::{Course, course};
use crate::model::fields::FieldId;
use crate::model::identity::Identity;
use crate::model::recording::{Series, TimedEvent};

/// Fields of the machine that [`Survey::push_host`] reads.
pub const HOST_FIELDS: [FieldId; 2] = pressure::HOST_FIELDS;

/// Fields of a cgroup that [`Survey::push`] reads.
pub fn fields() -> Vec<FieldId> {
    let mut all = [&track::FIELDS[..], &pressure::FIELDS].concat();
    all.sort_unstable();
    all.dedup();
    all
}

/// One cgroup.
#[derive(Default)]
struct Followed {
    track: Track,
    watch: CgroupWatch,
    rises: Rises,
}

/// What was seen of the cgroups of one host. Its memory is bounded by their number, not by that of the rows.
///
/// ```
/// use std::sync::Arc;
///
/// use sampler::analysis::leak::detectors::Class;
/// use sampler::analysis::survey::Survey;
/// use sampler::model::fields::{FieldId, Table};
/// use sampler::model::recording::{Series, Subject};
/// use sampler::model::sample::Row;
///
/// let web = Subject { cgroup: "/web".into(), id: 1, process: None };
/// let mut series = Series::new(Arc::new(web), Table::Samples);
/// for second in 0..3600 {
///     let mut row = Row::new(1);
///     let anon = (64 << 20) + second * 50_000;
///     for (id, bytes) in [(FieldId::Current, anon), (FieldId::Anon, anon), (FieldId::Max, 1 << 30)] {
///         row.put(id.field(), bytes);
///     }
///     series.push(second as i64 * 1_000_000, &row);
/// }
/// let mut survey = Survey::default();
/// survey.push(&series);
/// let findings = survey.finish(&[], &|_| true, &|_| None);
/// let verdict = &findings.verdicts["/web"];
/// assert_eq!(verdict.verdict, Class::Leak, "{:?}", verdict.evidence);
/// assert!((verdict.rate_bytes_per_s.unwrap() - 50_000.0).abs() < 500.0);
/// ```
#[derive(Default)]
pub struct Survey {
    cgroups: BTreeMap<String, Followed>,
    machine: HostWatch,
    each_life: bool,
}

/// What a survey found.
#[derive(Debug, Default)]
pub struct Findings {
    /// The verdict on each cgroup that was seen long enough for one, by path.
    pub verdicts: BTreeMap<String, Verdict>,
    /// Times of pressure of the machine (its path is empty) and of each cgroup, with who caused them.
    pub episodes: Vec<Episode>,
    /// Who rises together.
    pub groups: Vec<Group>,
    /// The course of each life of each cgroup, by path.
    pub courses: BTreeMap<String, Vec<Course>>,
    /// The restart loops.
    pub loops: Loops,
    /// All cgroups that were seen.
    pub paths: BTreeSet<String>,
    /// Each life by itself, by path and time, where that was [asked for](Survey::of_each_life).
    pub lives: Vec<JudgedLife>,
}

impl Survey {
    /// A survey that also judges each life by itself.
    pub fn of_each_life() -> Survey {
        Survey { each_life: true, ..Survey::default() }
    }

    /// Takes rows of a cgroup, which follow those taken before; with at least [`fields`].
    pub fn push(&mut self, series: &Series) {
        let followed = match self.cgroups.get_mut(&series.subject.cgroup) {
            Some(followed) => followed,
            None => self.cgroups.entry(series.subject.cgroup.clone()).or_default(),
        };
        followed.track.feed(series);
        followed.watch.feed(series);
        followed.rises.feed(series);
    }

    /// Takes rows of the machine, with at least [`HOST_FIELDS`].
    pub fn push_host(&mut self, series: &Series) {
        self.machine.feed(series);
    }

    /// Judges all cgroups. `events` are those of the surveyed time; kills among them report limits that no row has, of cgroups that
    /// `is_wanted`. `who` names a cgroup.
    pub fn finish(
        mut self,
        events: &[TimedEvent],
        is_wanted: &dyn Fn(&str) -> bool,
        who: &dyn Fn(&str) -> Option<Identity>,
    ) -> Findings {
        for (path, (time_us, limit, usage)) in facts_of(events).filter(|(path, _)| is_wanted(path)) {
            self.cgroups.entry(path.to_owned()).or_default().track.limit_hit(time_us, limit, usage);
        }
        for TimedEvent { time_us, event } in events {
            if let Some(one) = event.cgroup.as_ref().and_then(|path| self.cgroups.get_mut(path)) {
                one.track.event(*time_us, &event.what);
            }
        }
        let tracks = self.cgroups.iter().map(|(path, followed)| (path.as_str(), &followed.track));
        let loops = Loops::of(tracks, events, who);
        let available = self.machine.available();
        let episodes = self.episodes();
        let rises: Vec<(&str, &Rises)> = self.cgroups.iter().map(|(path, one)| (&**path, &one.rises)).collect();
        let groups = groups(&rises);
        let room = |(path, one): (&String, &Followed)| Some((path.clone(), one.track.room()?));
        let rooms: BTreeMap<String, Headroom> = self.cgroups.iter().filter_map(room).collect();
        let (mut verdicts, mut courses, mut lives) = (BTreeMap::new(), BTreeMap::new(), Vec::new());
        for (path, one) in &mut self.cgroups {
            courses.insert(path.clone(), one.track.lives.iter().filter_map(course).collect());
            let limits = Bounds { cgroup: nearest(path, &rooms), available };
            let restarts = loops.of_path(path);
            let verdict = judge_among(&mut one.track, limits, restarts);
            if self.each_life {
                lives.extend(judged_lives(path, &mut one.track, events, (limits, restarts), verdict.as_ref()));
            }
            verdicts.extend(verdict.map(|verdict| (path.clone(), verdict)));
        }
        Findings { verdicts, episodes, groups, courses, loops, lives, paths: self.cgroups.into_keys().collect() }
    }

    /// The times of pressure, and who grew meanwhile.
    fn episodes(&mut self) -> Vec<Episode> {
        let mut episodes = std::mem::take(&mut self.machine).end();
        for one in self.cgroups.values_mut() {
            episodes.extend(std::mem::take(&mut one.watch).end());
        }
        let tracks = self.cgroups.iter().map(|(path, one)| (path.as_str(), &one.track)).collect();
        attribute(&mut episodes, &tracks);
        episodes
    }
}
