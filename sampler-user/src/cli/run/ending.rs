//! How a command ended, as far as it is known at once: from the counters of its cgroup and the kernel's log, without the
//! recording.

use std::fs;
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use anyhow::Context;
use sampler::analysis::incident::incident_ref::IncidentRef;
use sampler::analysis::incident::{Limit, Owner};
use sampler::kernel::cgroupfs::layout::{Layout, Version, at};
use sampler::kernel::cgroupfs::tree::{Change, Tree};
use sampler::kernel::oom::log::{Log, count};
use sampler::model::evidence::{OomKill, OomReport, Victim};
use sampler::model::fields::UNLIMITED;
use sampler::model::paths::is_below;
use sampler::model::time::{format_us, wall_ns};
use sampler::reading::incidents::Incidents;
use sampler::ui::terminal::say;
use serde::Serialize;

use crate::cli::whole_file::WholeFile;

/// The kernel counts a kill before it kills, and names the victim in its log after that: the log may take this long.
const LAST_WORDS: Duration = Duration::from_millis(40);
/// The log is read again after this time.
const AGAIN: Duration = Duration::from_millis(2);
/// The host's counts.
const VMSTAT: &str = "/proc/vmstat";

/// Whether the OOM killer came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Oom {
    /// It is known whether it did.
    Known(bool),
    /// It is not.
    Unknown(Word),
}

/// `unknown`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Word {
    /// The only word.
    Unknown,
}

/// A process that the OOM killer took.
#[derive(Debug, Serialize)]
pub struct Killed {
    /// Its cgroup, where the log named it.
    pub cgroup: Option<String>,
    /// Who it was and what it held, bytes.
    #[serde(flatten)]
    pub victim: Victim,
}

/// How a command ended: the document of `--report`.
#[derive(Debug, Serialize)]
pub struct Ending {
    /// Name and version of the document.
    pub format: &'static str,
    /// The command and its arguments.
    pub command: Vec<String>,
    /// Its pid, in the namespace of this process.
    pub pid: i32,
    /// When it was started, RFC 3339.
    pub started: String,
    /// How long it ran, microseconds.
    pub duration_us: u64,
    /// Its exit code, if it ended by itself.
    pub exit_code: Option<i32>,
    /// The signal that killed it.
    pub signal: Option<i32>,
    /// The cgroup it ran in.
    pub cgroup: String,
    /// The most that the cgroup held, bytes, by the kernel's own mark.
    pub peak_bytes: Option<u64>,
    /// Whether the OOM killer took it, or another process of the cgroup or below it.
    pub oom: Oom,
    /// Why it is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oom_reason: Option<String>,
    /// How many it took; absent when it is not known.
    pub oom_kills: Option<u64>,
    /// The limit that was hit.
    pub limit: Option<Limit>,
    /// Those that the kernel's log named.
    pub victims: Vec<Killed>,
    /// The cause, in the word of the post-mortem.
    pub cause: Option<String>,
    /// Why there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause_reason: Option<String>,
    /// What happened, in the sentence of the post-mortem, once there is a cause.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verdict: Option<String>,
    /// Folder of the recording.
    pub recording: String,
    #[serde(skip)]
    pub status: ExitStatus,
}

impl Ending {
    /// Takes the cause from the post-mortem of the recording, which is whole now: that of the command's own kill, or else of the
    /// last one in its cgroup.
    pub fn take_cause(&mut self, dir: &Path) -> anyhow::Result<()> {
        let mut incidents = Incidents::of(dir)?;
        let here = |path: &Option<String>| path.as_deref().is_some_and(|path| is_below(path, &self.cgroup));
        let all = incidents.all.iter().rev();
        let of_command: Vec<&IncidentRef> = all
            .filter(|incident| {
                incident.kills.iter().any(|(_, kill)| here(&kill.victim_cgroup) || here(&kill.limit_cgroup))
            })
            .collect();
        let is_command = |kill: &OomKill| kill.victim.as_ref().is_some_and(|victim| victim.pid == self.pid);
        let own = of_command.iter().find(|incident| incident.kills.iter().any(|(_, kill)| is_command(kill)));
        let Some(incident) = own.or(of_command.first()).map(|incident| (*incident).clone()) else {
            self.cause_reason = Some("the recording has no such incident".into());
            return Ok(());
        };
        let page = incidents.explain(&incident)?;
        self.cause = serde_json::to_value(page.cause).ok().and_then(|word| word.as_str().map(str::to_owned));
        self.cause_reason = None;
        self.verdict = Some(page.verdict);
        Ok(())
    }

    /// Whether the OOM killer came, in words.
    pub fn words(&self) -> String {
        match (self.oom, &self.oom_reason) {
            (Oom::Known(true), _) => "the OOM killer came, by the counters of the cgroup and the kernel's log".into(),
            (Oom::Known(false), _) => "no OOM kill".into(),
            (Oom::Unknown(_), why) => {
                format!("whether it was an OOM kill is not known: {}", why.as_deref().unwrap_or_default())
            }
        }
    }
}

/// The state before the command began.
pub struct Before {
    layout: Layout,
    cgroup: String,
    /// Whether nobody else is in the cgroup.
    own: bool,
    /// The cgroups below it.
    below: Option<Tree>,
    host: Option<u64>,
    log: Option<Log>,
    began: Instant,
    wall_us: i64,
}

impl Before {
    /// Looks now: whatever is killed after this is noticed.
    pub fn now(layout: Layout, cgroup: String, own: bool) -> Before {
        let below = Tree::watch(&at(&layout.memory, &cgroup)).ok().map(|mut tree| {
            tree.rescan(&mut Vec::new());
            tree
        });
        Before {
            below: below.filter(|_| own),
            host: host(),
            log: Log::open().ok(),
            began: Instant::now(),
            wall_us: (wall_ns() / 1000) as i64,
            layout,
            cgroup,
            own,
        }
    }

    /// What is known now that the command is dead.
    pub async fn ended(mut self, command: &[String], pid: i32, status: ExitStatus) -> Ending {
        let duration = self.began.elapsed();
        let died = Instant::now();
        let mut reports = Vec::new();
        let (seen, counted) = loop {
            reports.extend(self.log.as_mut().map(Log::read).unwrap_or_default());
            let counted = self.own.then(|| self.counted()).flatten();
            let seen = Seen::of(&reports, &self.cgroup, pid, status);
            // A kill is expected that the log has not named yet.
            let expected = counted.unwrap_or_else(|| u64::from(status.signal() == Some(9)));
            if self.log.is_none() || seen.victims.len() as u64 >= expected || died.elapsed() >= LAST_WORDS {
                break (seen, counted);
            }
            tokio::time::sleep(AGAIN).await;
        };
        let (oom, why) = self.judge(&seen, counted);
        let named = seen.victims.len() as u64;
        let is_oom = oom == Oom::Known(true);
        let limit = is_oom.then(|| self.limit(seen.deciding));
        Ending {
            format: "sampler.run.v1",
            command: command.to_vec(),
            pid,
            started: format_us(self.wall_us),
            duration_us: duration.as_micros() as u64,
            exit_code: status.code(),
            signal: status.signal(),
            peak_bytes: self.own.then(|| self.number("memory.max_usage_in_bytes", "memory.peak")).flatten(),
            oom,
            oom_reason: why.map(str::to_owned),
            oom_kills: match oom {
                // A group's first victim is counted twice, so the log is right where it is whole.
                Oom::Known(_) if named > 0 && !seen.unplaced => Some(named),
                Oom::Known(_) => Some(counted.unwrap_or(0).max(named)),
                Oom::Unknown(_) => None,
            },
            limit,
            victims: seen.victims,
            cause: None,
            cause_reason: is_oom
                .then(|| "it takes the recording, which is not read yet: sampler postmortem --last".to_owned()),
            verdict: None,
            recording: String::new(),
            cgroup: self.cgroup,
            status,
        }
    }

    /// Whether the OOM killer came. That it did not is only said when nothing can have been missed.
    fn judge(&mut self, seen: &Seen<'_>, counted: Option<u64>) -> (Oom, Option<&'static str>) {
        if !seen.victims.is_empty() || counted.is_some_and(|kills| kills > 0) {
            return (Oom::Known(true), None);
        }
        let unknown = |why| (Oom::Unknown(Word::Unknown), Some(why));
        if !self.own {
            return unknown("the command had no cgroup of its own in which kills are counted (that needs root)");
        }
        if counted.is_none() {
            return unknown("the kernel's count of kills in the cgroup could not be read");
        }
        // v2 counts what is below as well. On v1 the count of a cgroup below that was removed is gone with it.
        let hierarchical = self.layout.version == Version::V2;
        let quiet = self.host.is_some() && self.host == host();
        let log_is_whole = self.log.as_ref().is_some_and(|log| !log.lost()) && !seen.unplaced;
        if hierarchical || quiet || log_is_whole || !self.removed_below() {
            return (Oom::Known(false), None);
        }
        unknown("a cgroup below it was removed with its count of kills, and the kernel's log does not place all kills")
    }

    /// Kills in the cgroup and below it, as far as these are still there.
    fn counted(&self) -> Option<u64> {
        fn sum(folder: &Path) -> Option<u64> {
            let below = fs::read_dir(folder).into_iter().flatten().flatten();
            let folders = below.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
            let own = count(&folder.join("memory.oom_control"), "oom_kill")?;
            Some(own + folders.filter_map(|entry| sum(&entry.path())).sum::<u64>())
        }
        let folder = at(&self.layout.memory, &self.cgroup);
        match self.layout.version {
            Version::V1 => sum(&folder),
            Version::V2 => count(&folder.join("memory.events"), "oom_kill"),
        }
    }

    fn removed_below(&mut self) -> bool {
        let Some(tree) = &mut self.below else { return true };
        let mut changes = Vec::new();
        let read = tree.read_notices(&mut changes);
        read.is_err() || changes.iter().any(|change| matches!(change, Change::Removed { .. }))
    }

    /// Whose limit was hit, in the words of the post-mortem.
    fn limit(&self, report: Option<&OomReport>) -> Limit {
        let hit = report.map_or_else(Limit::unknown, Limit::of_report);
        let local = at(&self.layout.memory, &self.cgroup).join("memory.events.local");
        if hit.owner != Owner::Unknown || !self.own || count(&local, "oom").is_none_or(|ooms| ooms == 0) {
            return hit;
        }
        let limit = self.number("memory.limit_in_bytes", "memory.max").filter(|limit| *limit != UNLIMITED);
        Limit { owner: Owner::Own, cgroup: Some(self.cgroup.clone()), limit, usage: None }
    }

    fn number(&self, v1: &str, v2: &str) -> Option<u64> {
        let file = if self.layout.version == Version::V1 { v1 } else { v2 };
        fs::read_to_string(at(&self.layout.memory, &self.cgroup).join(file)).ok()?.trim().parse().ok()
    }
}

fn host() -> Option<u64> {
    count(Path::new(VMSTAT), "oom_kill")
}

/// What the log says of the command's cgroup.
struct Seen<'a> {
    victims: Vec<Killed>,
    /// The report of the command itself, or else the last.
    deciding: Option<&'a OomReport>,
    /// Whether a victim was named without its cgroup, as after ten kills in five seconds.
    unplaced: bool,
}

impl<'a> Seen<'a> {
    fn of(reports: &'a [OomReport], cgroup: &str, pid: i32, status: ExitStatus) -> Seen<'a> {
        let mut seen = Seen { victims: Vec::new(), deciding: None, unplaced: false };
        for report in reports {
            let is_command = status.signal() == Some(9) && report.victim.pid == pid;
            match report.task_memcg.as_deref() {
                Some(path) if is_below(path, cgroup) => {}
                None if is_command => {}
                None => {
                    seen.unplaced = true;
                    continue;
                }
                Some(_) => continue,
            }
            if is_command || seen.deciding.is_none_or(|report| report.victim.pid != pid) {
                seen.deciding = Some(report);
            }
            // The first victim of a group is named twice.
            if !seen.victims.iter().any(|known| known.victim.pid == report.victim.pid) {
                seen.victims.push(Killed { cgroup: report.task_memcg.clone(), victim: report.victim.clone() });
            }
        }
        seen
    }
}

/// Where the document goes. It is there as a whole or not at all.
pub enum Paper {
    /// Standard error.
    Console,
    /// A file, a pipe or a terminal.
    File(WholeFile, PathBuf),
}

impl Paper {
    /// Before the command is started: a document that cannot be written is an error then, and that of an earlier command is
    /// not taken for that of this one.
    pub fn open(path: &Path) -> anyhow::Result<Paper> {
        if path == Path::new("-") {
            return Ok(Paper::Console);
        }
        let file = WholeFile::create(path)?;
        if fs::metadata(path).is_ok_and(|meta| meta.is_file()) {
            fs::remove_file(path).with_context(|| format!("remove {}", path.display()))?;
        }
        Ok(Paper::File(file, path.to_owned()))
    }

    /// Writes the document. Returns the file, if it is one that can be replaced when more is known.
    pub fn write(self, ending: &Ending) -> anyhow::Result<Option<PathBuf>> {
        let text = serde_json::to_string(ending).context("write JSON")?;
        match self {
            Paper::Console => {
                say(&text);
                Ok(None)
            }
            Paper::File(mut file, path) => {
                let replaceable = matches!(file, WholeFile::Draft { .. });
                writeln!(file, "{text}")?;
                file.finish()?;
                Ok(replaceable.then_some(path))
            }
        }
    }
}
