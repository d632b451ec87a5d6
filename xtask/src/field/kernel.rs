//! What the kernel and the daemon say happened, seen by other eyes than the program's: the kernel's log, the counters of the
//! cgroups and of the machine, the events of Docker.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, ErrorKind, Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{sleep, spawn};
use std::time::{Duration, SystemTime};

use anyhow::Context;
use serde_json::Value;

use super::stack::{MEMORY, POD, PROJECT};
use crate::docker::Docker;

/// Seconds since 1970.
pub fn now() -> f64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

/// A line of the kernel's log that names a victim.
#[derive(Clone, Debug)]
pub struct Kill {
    /// When the kernel wrote it.
    pub at: f64,
    pub pid: i64,
    pub comm: String,
    /// Its cgroup, by the log or by who was seen in which cgroup.
    pub cgroup: Option<String>,
}

/// A container.
#[derive(Clone, Debug, Default)]
pub struct Container {
    pub id: String,
    pub service: String,
    /// When its main process ended, and with which exit code.
    pub ends: Vec<(f64, i64)>,
}

/// All that was seen.
#[derive(Debug, Default)]
pub struct Seen {
    pub kills: Vec<Kill>,
    pub containers: Vec<Container>,
    /// OOM kills by the counter of each cgroup, its last value.
    counters: BTreeMap<String, u64>,
    /// Most that each used, bytes.
    peaks: BTreeMap<String, u64>,
    homes: BTreeMap<i64, String>,
}

impl Seen {
    /// The service of a cgroup's path, or of a text with a container's id in it.
    pub fn service_of(&self, text: &str) -> Option<&str> {
        self.containers
            .iter()
            .find(|container| text.contains(&container.id))
            .map(|container| container.service.as_str())
    }

    /// Containers of a service.
    pub fn of<'a>(&'a self, service: &'a str) -> impl Iterator<Item = &'a Container> {
        self.containers.iter().filter(move |container| container.service == service)
    }

    /// The service that a kill was in. The log is silent about the cgroup when kills come fast, and a process may be too brief
    /// to be seen anywhere: then by its name, if one service alone has such victims.
    pub fn service_of_kill(&self, kill: &Kill, by_name: &BTreeMap<String, String>) -> Option<String> {
        let by_cgroup = kill.cgroup.as_deref().map(|cgroup| self.service_of(cgroup).map(str::to_owned));
        by_cgroup.unwrap_or_else(|| by_name.get(&kill.comm).cloned())
    }

    /// Most that a container of a service used, bytes.
    pub fn peak(&self, service: &str) -> u64 {
        let ours = |path: &str| self.of(service).any(|container| path.contains(&container.id));
        self.peaks.iter().filter(|(path, _)| ours(path)).map(|(_, peak)| *peak).max().unwrap_or(0)
    }

    /// Kills by the counters of a service whose containers have not ended yet.
    pub fn counted(&self, service: &str) -> Option<u64> {
        let mut sum = None;
        for container in self.of(service).filter(|container| container.ends.is_empty()) {
            let below = self.counters.iter().filter(|(path, _)| path.contains(&container.id));
            sum = Some(sum.unwrap_or(0) + below.map(|(_, kills)| kills).sum::<u64>());
        }
        sum
    }
}

/// The watch.
pub struct Kernel {
    seen: Arc<Mutex<Seen>>,
    events: Child,
    before: u64,
}

impl Kernel {
    /// Begins to watch. The threads end with the task.
    pub fn watch(docker: &Docker) -> anyhow::Result<Kernel> {
        let seen = Arc::new(Mutex::new(Seen::default()));
        let mut log =
            OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open("/dev/kmsg").context("open /dev/kmsg")?;
        log.seek(SeekFrom::End(0)).context("go to the end of /dev/kmsg")?;
        let mut events = docker.command(&["events", "--filter", "type=container", "--format", "{{json .}}"]);
        let mut events = events.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().context("start docker events")?;
        let lines = BufReader::new(events.stdout.take().context("no output of docker events")?);
        let (log_seen, cgroups_seen, events_seen) = (seen.clone(), seen.clone(), seen.clone());
        spawn(move || read_log(log, &log_seen));
        spawn(move || {
            loop {
                look_at_cgroups(&cgroups_seen);
                sleep(Duration::from_millis(50));
            }
        });
        spawn(move || {
            for line in lines.lines().map_while(Result::ok) {
                if let Ok(event) = serde_json::from_str(&line) {
                    take_event(&mut lock(&events_seen), &event);
                }
            }
        });
        Ok(Kernel { seen, events, before: host_kills()? })
    }

    /// What was seen so far, and goes on to be.
    pub fn seen(&self) -> Arc<Mutex<Seen>> {
        self.seen.clone()
    }

    /// OOM kills of the whole machine since the watch began.
    pub fn host_kills(&self) -> anyhow::Result<u64> {
        Ok(host_kills()?.saturating_sub(self.before))
    }
}

impl Drop for Kernel {
    fn drop(&mut self) {
        let _ = self.events.kill();
        let _ = self.events.wait();
    }
}

/// What a thread that died held is whole enough to be shown.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn host_kills() -> anyhow::Result<u64> {
    let text = fs::read_to_string("/proc/vmstat").context("read /proc/vmstat")?;
    let value = text.lines().find_map(|line| line.strip_prefix("oom_kill "));
    value.context("no oom_kill in /proc/vmstat")?.trim().parse().context("read oom_kill of /proc/vmstat")
}

fn read_log(mut log: File, seen: &Mutex<Seen>) {
    let mut bytes = vec![0; 16 << 10];
    let mut placed: BTreeMap<i64, String> = BTreeMap::new();
    loop {
        match log.read(&mut bytes) {
            Ok(read) => {
                let at = now();
                let text = String::from_utf8_lossy(&bytes[..read]).into_owned();
                take_record(&mut lock(seen), &mut placed, &text, at);
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => sleep(Duration::from_millis(5)),
            // Records were overwritten before they were read: the count of the machine shows it.
            Err(_) => {}
        }
    }
}

/// `oom-kill:constraint=…,task_memcg=/x,task=dd,pid=12,uid=0`, and `… Killed process 12 (dd) total-vm:…`.
fn take_record(seen: &mut Seen, placed: &mut BTreeMap<i64, String>, record: &str, at: f64) {
    let line = record.split_once(';').map_or(record, |(_, text)| text).lines().next().unwrap_or_default();
    if let Some(report) = line.strip_prefix("oom-kill:") {
        let of = |key: &str| report.split(',').find_map(|pair| pair.strip_prefix(key));
        if let (Some(cgroup), Some(pid)) = (of("task_memcg="), of("pid=").and_then(|pid| pid.parse().ok())) {
            placed.insert(pid, cgroup.to_owned());
        }
    } else if let Some((_, victim)) = line.split_once("Killed process ")
        && let Some((pid, rest)) = victim.split_once(" (")
        && let Ok(pid) = pid.parse()
    {
        let comm = rest.split_once(") total-vm").map_or(rest, |(comm, _)| comm).to_owned();
        let cgroup = placed.remove(&pid).or_else(|| seen.homes.get(&pid).cloned());
        seen.kills.push(Kill { at, pid, comm, cgroup });
    }
}

/// Who is in which cgroup, and how many were killed in each: of the containers, and of one level below them.
fn look_at_cgroups(seen: &Mutex<Seen>) {
    let folders = |path: &Path| -> Vec<std::path::PathBuf> {
        let entries = fs::read_dir(path).into_iter().flatten().flatten();
        entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).map(|entry| entry.path()).collect()
    };
    let root = Path::new(MEMORY);
    let mut found = Vec::new();
    for parent in ["docker", POD] {
        for container in folders(&root.join(parent)) {
            found.extend(folders(&container));
            found.push(container);
        }
    }
    for folder in found {
        let Ok(path) = folder.strip_prefix(root).map(|path| format!("/{}", path.display())) else { continue };
        let pids = fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
        let control = fs::read_to_string(folder.join("memory.oom_control")).unwrap_or_default();
        let kills = control.lines().find_map(|line| line.strip_prefix("oom_kill ")?.parse().ok());
        let peak = fs::read_to_string(folder.join("memory.max_usage_in_bytes")).unwrap_or_default().trim().parse();
        let mut seen = lock(seen);
        for pid in pids.lines().filter_map(|pid| pid.parse().ok()) {
            seen.homes.insert(pid, path.clone());
        }
        if let (Some(kills), Ok(peak)) = (kills, peak) {
            seen.peaks.insert(path.clone(), peak);
            seen.counters.insert(path, kills);
        }
    }
}

fn take_event(seen: &mut Seen, event: &Value) {
    let attributes = &event["Actor"]["Attributes"];
    let (Some(id), Some(service)) = (event["Actor"]["ID"].as_str(), attributes["com.docker.compose.service"].as_str())
    else {
        return;
    };
    if attributes["com.docker.compose.project"] != PROJECT {
        return;
    }
    let at = match seen.containers.iter().position(|container| container.id == id) {
        Some(at) => at,
        None => {
            seen.containers.push(Container { id: id.to_owned(), service: service.to_owned(), ends: Vec::new() });
            seen.containers.len() - 1
        }
    };
    if event["Action"] == "die" {
        let code = attributes["exitCode"].as_str().and_then(|code| code.parse().ok()).unwrap_or(-1);
        let time = event["timeNano"].as_f64().map_or_else(now, |nanos| nanos / 1e9);
        seen.containers[at].ends.push((time, code));
    }
}
