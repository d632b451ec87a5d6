//! What the program reports, and when: the events of the recording as it grows, the list, the pages, the hook, the alerts.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{JoinHandle, sleep, spawn};
use std::time::Duration;

use anyhow::Context;
use rustix::process::{Pid, Signal, kill_process};
use sampler::journal::follow::Follow;
use sampler::model::event::{Event, EventKind};
use sampler::model::recording::Subject;
use sampler::model::sample::{PassHead, Row, SubjectRef};
use sampler::model::sink::Sink;
use serde_json::Value;

use super::kernel::{Seen, lock, now};
use super::stack::PROJECT;
use super::truth::Truth;
use crate::sh;

/// What was reported so far: of each victim, by pid, when first.
#[derive(Debug, Default)]
pub struct Reported {
    /// Every event of a kill.
    pub events: Vec<(i64, f64)>,
    pub pages: BTreeMap<i64, f64>,
    pub hooks: BTreeMap<i64, f64>,
    pub listed: BTreeMap<i64, f64>,
    /// Deaths by service, each as it was first in the list.
    pub deaths_listed: BTreeMap<String, Vec<f64>>,
    /// Lines of alerts.
    pub alerts: Vec<(f64, String)>,
    /// How long the lists took, seconds.
    pub lists: Vec<f64>,
    /// Whether the probe is in place.
    pub probe: bool,
}

/// The recorder, and who looks at what it reports.
pub struct Reports {
    agent: Child,
    reported: Arc<Mutex<Reported>>,
    ends: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Reports {
    /// Begins to record into a folder, and to look.
    pub fn begin(
        sampler: &Path,
        home: &Path,
        out: &Path,
        socket: &Path,
        seen: Arc<Mutex<Seen>>,
        truths: &[Truth],
    ) -> anyhow::Result<Reports> {
        let hooks = home.join("hooks");
        fs::create_dir_all(&hooks).with_context(|| format!("make {}", hooks.display()))?;
        let hook = format!("cat > {0}/.$$ && mv {0}/.$$ {0}/$$.json", hooks.display());
        let mut agent = Command::new(sampler);
        agent.args(["record", "--interval", "100ms", "--burst", "1ms", "--docker-socket"]).arg(socket);
        agent.args(["--on-oom", &hook, "--out"]).arg(out).stdin(Stdio::null()).stderr(Stdio::piped());
        let mut agent = agent.spawn().context("start sampler")?;
        let lines = BufReader::new(agent.stderr.take().context("no standard error of sampler")?);
        let mut log = File::create(home.join("record.err")).context("create record.err")?;
        let reported = Arc::new(Mutex::new(Reported::default()));
        let ends = Arc::new(AtomicBool::new(false));
        let mut reports = Reports { agent, reported, ends, threads: Vec::new() };
        let all = reports.reported.clone();
        reports.threads.push(spawn(move || {
            for line in lines.lines().map_while(Result::ok) {
                let _ = std::io::Write::write_all(&mut log, format!("{line}\n").as_bytes());
                let mut all = lock(&all);
                all.probe |= line.contains("probe is in place");
                if line.contains(" ALERT ") {
                    all.alerts.push((now(), line));
                }
            }
        }));
        let mut follow = Follow::new(out.join("journal"));
        reports.every(Duration::from_millis(100), move |all| {
            let mut kills = Kills::default();
            let _ = follow.read(&mut kills, |_, _| ());
            lock(all).events.extend(kills.0.iter().map(|pid| (*pid, now())));
        });
        let mut folder = Folder::new(out.join("incidents"));
        reports.every(Duration::from_millis(100), move |all| {
            let new = folder.victims();
            let mut all = lock(all);
            for (pid, at) in new {
                all.pages.entry(pid).or_insert(at);
            }
        });
        let mut folder = Folder::new(hooks);
        reports.every(Duration::from_millis(100), move |all| {
            let new = folder.victims();
            let mut all = lock(all);
            for (pid, at) in new {
                all.hooks.entry(pid).or_insert(at);
            }
        });
        let mut lists = Lists::new(sampler, out, seen, truths);
        reports.every(Duration::from_millis(100), move |all| lists.look(all));
        Ok(reports)
    }

    /// Runs something again and again, until the end.
    fn every(&mut self, pause: Duration, mut look: impl FnMut(&Mutex<Reported>) + Send + 'static) {
        let (ends, all) = (self.ends.clone(), self.reported.clone());
        self.threads.push(spawn(move || {
            while !ends.load(Ordering::Relaxed) {
                look(&all);
                sleep(pause);
            }
        }));
    }

    /// Resident memory of the recorder, bytes.
    pub fn resident(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.agent.id())).unwrap_or_default();
        let value = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        value.and_then(|value| value.trim().trim_end_matches(" kB").parse::<u64>().ok()).unwrap_or(0) << 10
    }

    /// What was reported so far.
    pub fn reported(&self) -> Arc<Mutex<Reported>> {
        self.reported.clone()
    }

    /// Ends the recorder and who looked, and gives what was reported while it ran.
    pub fn end(self) -> Reported {
        let reported = self.reported.clone();
        drop(self);
        std::mem::take(&mut *lock(&reported))
    }
}

impl Drop for Reports {
    fn drop(&mut self) {
        let _ = kill_process(Pid::from_child(&self.agent), Signal::TERM);
        let _ = self.agent.wait();
        self.ends.store(true, Ordering::Relaxed);
        self.threads.drain(..).for_each(|thread| drop(thread.join()));
    }
}

/// Pids of the kills in a journal.
#[derive(Default)]
struct Kills(Vec<i64>);

impl Sink for Kills {
    fn subject(&mut self, _: SubjectRef, _: &Subject) {}
    fn forget(&mut self, _: SubjectRef) {}
    fn pass(&mut self, _: PassHead) {}
    fn row(&mut self, _: PassHead, _: &Row) {}
    fn event(&mut self, event: &Event) {
        if let EventKind::OomKill(kill) = &event.what {
            self.0.push(kill.victim.as_ref().map_or(0, |victim| i64::from(victim.pid)));
        }
    }
    fn flush(&mut self, _: bool) {}
}

/// A folder that JSON documents are put into.
struct Folder {
    path: PathBuf,
    known: BTreeMap<PathBuf, f64>,
}

impl Folder {
    fn new(path: PathBuf) -> Folder {
        Folder { path, known: BTreeMap::new() }
    }

    /// Victims of the documents that are new or were written again, and when they were written.
    fn victims(&mut self) -> Vec<(i64, f64)> {
        let mut victims = Vec::new();
        for entry in fs::read_dir(&self.path).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.extension().is_none_or(|ext| ext != "json") {
                continue;
            }
            let time = entry.metadata().and_then(|file| file.modified()).ok();
            let time = time.and_then(|time| time.duration_since(std::time::SystemTime::UNIX_EPOCH).ok());
            let Some(at) = time.map(|time| time.as_secs_f64()) else { continue };
            if self.known.get(&path) == Some(&at) {
                continue;
            }
            if let Some(page) = fs::read(&path).ok().and_then(|text| serde_json::from_slice::<Value>(&text).ok()) {
                self.known.insert(path, at);
                victims.extend(pids(&page).into_iter().map(|pid| (pid, at)));
            }
        }
        victims
    }
}

/// Victims of a page, or of the bare event where no page could be made.
pub fn pids(page: &Value) -> Vec<i64> {
    let victims = page["victims"].as_array().into_iter().flatten();
    victims.chain([&page["victim"]]).filter_map(|victim| victim["pid"].as_i64()).collect()
}

/// Whether a text names a service.
pub fn names(text: &str, service: &str) -> bool {
    let title = format!("{PROJECT}/{service}");
    text.match_indices(&title).any(|(at, _)| {
        let next = text[at + title.len()..].chars().next();
        next.is_none_or(|next| !next.is_alphanumeric() && next != '-' && next != '_')
    })
}

/// `postmortem --list` after each kill, as a person would who was called.
struct Lists {
    sampler: PathBuf,
    out: PathBuf,
    seen: Arc<Mutex<Seen>>,
    services: Vec<(String, bool, usize)>,
    by_name: BTreeMap<String, String>,
    /// Kills that were reported, or waited for too long.
    done: BTreeSet<i64>,
    deaths: BTreeMap<String, usize>,
}

/// A list is asked for when a kill is this old, seconds.
const ASK_AFTER: f64 = 1.0;
/// And no more when it is this old.
const ASK_UNTIL: f64 = 8.0;

impl Lists {
    fn new(sampler: &Path, out: &Path, seen: Arc<Mutex<Seen>>, truths: &[Truth]) -> Lists {
        Lists {
            sampler: sampler.to_owned(),
            out: out.to_owned(),
            seen,
            services: truths.iter().map(|truth| (truth.service.clone(), truth.storm, truth.deaths)).collect(),
            by_name: super::check::by_name(truths),
            done: BTreeSet::new(),
            deaths: BTreeMap::new(),
        }
    }

    fn look(&mut self, all: &Mutex<Reported>) {
        let now_s = now();
        let due = |at: f64| (ASK_AFTER..ASK_UNTIL).contains(&(now_s - at));
        let mut wanted: Vec<(String, usize, i64)> = Vec::new();
        let mut deaths: Vec<(String, usize)> = Vec::new();
        {
            let seen = lock(&self.seen);
            for (service, storm, dies) in &self.services {
                let kills = seen
                    .kills
                    .iter()
                    .filter(|kill| seen.service_of_kill(kill, &self.by_name).as_deref() == Some(service))
                    .enumerate();
                for (number, kill) in kills.take(if *storm { 1 } else { usize::MAX }) {
                    if due(kill.at) && !self.done.contains(&kill.pid) {
                        wanted.push((service.clone(), number + 1, kill.pid));
                    }
                }
                let ends = seen.of(service).flat_map(|container| &container.ends);
                let ended = ends.filter(|(at, _)| due(*at)).count();
                if *dies > 0 && ended > self.deaths.get(service).copied().unwrap_or(0) {
                    deaths.push((service.clone(), ended));
                }
            }
        }
        if wanted.is_empty() && deaths.is_empty() {
            return;
        }
        let mut command = Command::new(&self.sampler);
        command.arg("postmortem").arg(&self.out).args(["--list", "--json"]).stderr(Stdio::null());
        let list: Option<Value> = sh::read(&mut command).ok().and_then(|text| serde_json::from_str(&text).ok());
        let list = list.unwrap_or_default();
        let at = now();
        let mut all = lock(all);
        all.lists.push(at - now_s);
        for (service, number, pid) in wanted {
            if count(&list, &service, "oom-kill") >= number {
                self.done.insert(pid);
                all.listed.entry(pid).or_insert(at);
            }
        }
        for (service, ended) in deaths {
            if count(&list, &service, "death") >= ended {
                self.deaths.insert(service.clone(), ended);
                all.deaths_listed.entry(service).or_default().push(at);
            }
        }
    }
}

/// Kills or deaths of a service in the list, folded or not.
pub fn count(list: &Value, service: &str, kind: &str) -> usize {
    let entries = list.as_array().into_iter().flatten().filter(|entry| entry["kind"] == kind);
    let ours = entries.filter(|entry| entry["what"].as_str().is_some_and(|what| names(what, service)));
    ours.map(|entry| if kind == "death" { 1 } else { entry["kills"].as_u64().unwrap_or(1) as usize }).sum()
}
