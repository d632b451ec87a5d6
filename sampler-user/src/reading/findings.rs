//! Findings as rows: what a recording of one host is to a fleet.

use std::collections::BTreeMap;

use crate::advise::demand::Demand;
use crate::advise::facts::{Facts, Leak, Pressed};
use crate::advise::limit::{State, advise};
use crate::advise::profile;
use crate::advise::server::Seen;
use crate::advise::server::floors::floor;
use crate::analysis::incident::Incident;
use crate::analysis::judged_life::JudgedLife;
use crate::analysis::leak::detectors::Class;
use crate::analysis::leak::verdict::Verdict;
use crate::analysis::pressure::Episode;
use crate::analysis::workloads::workload;
use crate::model::findings::cell::Moment;
use crate::model::findings::{IncidentRow, LifeRow, RecordingRow};
use crate::model::identity::Identity;
use crate::model::image::ImageRef;
use crate::model::paths::is_leaf;
use crate::model::problem::Problem;
use crate::model::recording::{Origin, Series};
use crate::model::word::word;
use crate::reading::survey::Surveyed;

/// The rows of recordings.
#[derive(Debug, Default)]
pub struct FindingRows {
    /// Of lives.
    pub lives: Vec<LifeRow>,
    /// Of recordings.
    pub recordings: Vec<RecordingRow>,
}

/// What is gathered of one host while its samples pass by, beside what the survey keeps.
#[derive(Default)]
pub struct Gathering {
    demands: BTreeMap<String, Demand>,
    rows: u64,
    time_us: Option<(i64, i64)>,
}

/// As `advise` has it without an option.
const MIN_WATCH_S: f64 = 3600.0;

impl Gathering {
    /// Takes rows of a cgroup, with at least [`demand::FIELDS`](crate::advise::demand::FIELDS).
    pub fn feed(&mut self, series: &Series) {
        let (Some(&from), Some(&to)) = (series.time_us.first(), series.time_us.last()) else { return };
        self.rows += series.len() as u64;
        self.time_us = Some(self.time_us.map_or((from, to), |(first, last)| (first.min(from), last.max(to))));
        match self.demands.get_mut(&series.subject.cgroup) {
            Some(demand) => demand.feed(series),
            None => self.demands.entry(series.subject.cgroup.clone()).or_default().feed(series),
        }
    }
}

impl FindingRows {
    /// Takes the findings of one host. `origins` are those of its recording, oldest first.
    pub fn add_host(
        &mut self,
        host: &str,
        surveyed: &Surveyed,
        mut gathering: Gathering,
        origins: &[Origin],
        problems: &[Problem],
    ) {
        let (first, last) = gathering.time_us.unwrap_or_default();
        let lines: Vec<String> = problems.iter().map(Problem::to_string).collect();
        self.recordings.push(RecordingRow {
            host: host.to_owned(),
            first_seen: Moment(first),
            last_seen: Moment(last),
            rows: gathering.rows,
            lives: surveyed.findings.lives.len() as u64,
            unread: problems.len() as u64,
            problems: (!lines.is_empty()).then(|| lines.join("\n")),
            analysed_by: env!("CARGO_PKG_VERSION").to_owned(),
        });
        let findings = &surveyed.findings;
        let mut episodes: BTreeMap<&str, Vec<Episode>> = BTreeMap::new();
        for episode in &findings.episodes {
            episodes.entry(&episode.path).or_default().push(episode.clone());
        }
        for (at, life) in findings.lives.iter().enumerate() {
            let is_last = findings.lives.get(at + 1).is_none_or(|next| next.path != life.path);
            let who = surveyed.named.who(&life.path);
            let felt = episodes.get(life.path.as_str()).map_or(&[][..], Vec::as_slice);
            let mut row = row(life, who.as_ref(), felt);
            row.host = host.to_owned();
            row.unread = problems.len() as u64;
            row.leaf = is_leaf(&findings.paths, &life.path);
            let begun = |origin: &&Origin| origin.anchor.wall_us(origin.anchor.mono_ns) <= life.time_us.0;
            if let Some(origin) = origins.iter().rev().find(begun).or(origins.first()) {
                row.boot_id.clone_from(&origin.boot_id);
                row.kernel.clone_from(&origin.kernel);
                row.agent.clone_from(&origin.agent);
            }
            if let Some(restarts) = findings.loops.of_path(&life.path) {
                row.loop_kills = Some(restarts.of);
                row.loop_course = restarts.course.map(|course| word(&course));
            }
            let is_container = who.as_ref().is_some_and(Identity::is_container);
            let has_limit = is_container || life.path != "/" && row.leaf;
            let killed = findings.verdicts.get(&life.path).is_some_and(|verdict| verdict.oom_kills > 0);
            // What was killed needs the pages of its kills: `advise` asks them.
            if is_last && has_limit && !killed && life.kills == 0 {
                let demand = gathering.demands.remove(&life.path).unwrap_or_default();
                advised(&mut row, demand, life.verdict.as_ref(), felt);
            }
            self.lives.push(row);
        }
    }
}

fn row(life: &JudgedLife, who: Option<&Identity>, felt: &[Episode]) -> LifeRow {
    let (from, to) = life.time_us;
    let own = felt.iter().filter(|episode| episode.time_us.0 <= to && episode.time_us.1 >= from);
    let waited: Vec<f64> = own.filter_map(Episode::waited_s).collect();
    let mut row = LifeRow {
        cgroup: life.path.clone(),
        cgroup_id: life.cgroup_id,
        workload: workload(&life.path, who),
        first_seen: Moment(from),
        last_seen: Moment(to),
        ended: word(&life.ended),
        rows: life.rows,
        own_limit_bytes: life.own_limit,
        kills: life.kills,
        stalled_s: waited.iter().sum(),
        pressures: waited.len() as u64,
        level_bytes: life.course.map(|course| course.level),
        growth_bytes: life.course.map(|course| course.growth),
        peak_bytes: life.peak,
        ..LifeRow::default()
    };
    if let Some(who) = who {
        named(&mut row, who);
    }
    if let Some(verdict) = &life.verdict {
        judged(&mut row, verdict);
    }
    row
}

fn named(row: &mut LifeRow, who: &Identity) {
    let image = who.image.as_deref().map(ImageRef::of);
    row.name = who.title();
    row.runtime = Some(who.runtime.clone()).filter(|runtime| !runtime.is_empty());
    row.container.clone_from(&who.container);
    row.image.clone_from(&who.image);
    row.image_name = image.map(|image| image.name.to_owned()).filter(|name| !name.is_empty());
    row.version = version(who);
    row.image_digest = who.image_id.clone().or_else(|| image?.digest.map(str::to_owned));
    row.project.clone_from(&who.project);
    row.service.clone_from(&who.service);
    row.namespace.clone_from(&who.namespace);
    row.pod.clone_from(&who.pod);
    row.inner.clone_from(&who.inner);
}

fn version(who: &Identity) -> Option<String> {
    ImageRef::of(who.image.as_deref()?).version(who.image_id.as_deref())
}

fn judged(row: &mut LifeRow, verdict: &Verdict) {
    row.verdict = Some(word(&verdict.verdict));
    row.detector = Some(verdict.detector.to_owned());
    row.probability = verdict.probability;
    row.alarm = verdict.alarm;
    row.rate = verdict.rate_bytes_per_s;
    [row.rate_low, row.rate_high] = verdict.rate_ci90.map_or([None, None], |ends| ends.map(Some));
    row.component = verdict.component.as_ref().map(word);
    row.onset = verdict.onset_us.map(Moment);
    row.limit_bytes = verdict.limit_bytes;
    row.limit_owner.clone_from(&verdict.limit_owner);
    row.time_to_limit_s = verdict.time_to_limit_s;
    [row.time_to_limit_low_s, row.time_to_limit_high_s] = verdict.time_to_limit_ci90.unwrap_or_default();
    row.needs_s = verdict.needs_s;
    row.evidence = (!verdict.evidence.is_empty()).then(|| verdict.evidence.join("\n"));
    row.last_bytes = verdict.last_bytes;
    if let Some(slope) = verdict.slope {
        row.points = slope.points as u64;
        row.trend = Some(slope.bytes_per_s);
        row.trend_se = Some(slope.se);
        row.trend_z = Some(slope.z);
        row.noise_bytes = Some(slope.noise);
    }
}

/// What the limit should be, by what was recorded alone.
fn advised(row: &mut LifeRow, mut demand: Demand, verdict: Option<&Verdict>, felt: &[Episode]) {
    demand.end();
    let leaks = verdict.filter(|verdict| verdict.verdict == Class::Leak);
    let facts = Facts {
        demand,
        leak: leaks.map(|verdict| Leak { bytes_per_s: verdict.rate_bytes_per_s, ..Leak::default() }),
        pressed: Pressed::of(felt),
        floor: floor(&Seen { image: row.image.clone(), ..Seen::default() }),
        min_watch_s: MIN_WATCH_S,
        ..Facts::default()
    };
    let advice = advise(&facts, &profile::TABLE[0]);
    row.advice = Some(word(&advice.state));
    row.advised_bytes = advice.target.filter(|_| !matches!(advice.state, State::Leak | State::Watch));
}

/// The row of an incident; `who` names a cgroup.
pub fn incident_row(page: &Incident, who: &dyn Fn(&str) -> Option<Identity>) -> IncidentRow {
    let first = page.victims.first();
    let of_death = page.death.as_ref().and_then(|death| death.cgroup.clone());
    let cgroup = first.and_then(|victim| victim.cgroup.clone()).or(of_death);
    let identity = cgroup.as_deref().and_then(who);
    IncidentRow {
        host: page.host.clone(),
        kernel: page.kernel.clone(),
        time: Moment(page.time_us.unwrap_or_default()),
        kind: word(&page.kind),
        workload: cgroup.as_deref().and_then(|path| workload(path, identity.as_ref())),
        name: identity.as_ref().and_then(Identity::title),
        image: identity.as_ref().and_then(|who| who.image.clone()),
        version: identity.as_ref().and_then(version),
        cgroup,
        process: first.and_then(|victim| victim.comm.clone()),
        kills: page.victims.len() as u64 + page.more_victims,
        cause: word(&page.cause),
        confidence: page.confidence,
        contributing: page.contributing.iter().map(word).collect::<Vec<_>>().join(","),
        limit_owner: word(&page.limit.owner),
        limit_cgroup: page.limit.cgroup.clone(),
        limit_bytes: page.limit.limit,
        suspect: page.suspect.clone(),
        loop_kills: page.restarts.as_ref().map(|restarts| restarts.of),
        verdict: page.verdict.clone(),
    }
}
