//! `sampler run`

use std::fs;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, ExitStatus};
use std::time::Duration;

use anyhow::{Context, bail};
use cgroups_rs::cgroup_builder::CgroupBuilder;
use sampler::cgroupfs::layout::{Layout, Version};
use sampler::fields::UNLIMITED;
use sampler::journal::writer::Rotation;
use sampler::store::retention::Retention;
use sampler::store::scan::{Query, Recording};
use sampler::units::parse_bytes;
use tokio::process::Command;
use tokio::signal::unix::{SignalKind, signal};

use super::agent::{Agent, runtime};
use super::record::What;
use super::summary::{Summary, explain};
use super::{exit, fresh_folder, say};

/// Run a command in a fresh cgroup and record it.
///
/// Signals and the exit code pass through (137 for a kill). At the end a summary says peak, growth, limit hits, and whether the
/// OOM killer came.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  sampler run --memory-max 256M -- python3 leak.py")]
pub struct Args {
    /// Hard limit of the cgroup, such as 256M.
    #[arg(long, value_name = "SIZE", value_parser = parse_bytes)]
    pub memory_max: Option<u64>,
    /// Throttling limit of the cgroup (on v1 the soft limit).
    #[arg(long, value_name = "SIZE", value_parser = parse_bytes)]
    pub memory_high: Option<u64>,
    /// Folder of the recording [default: a new one below the data folder]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    #[command(flatten)]
    pub what: What,
    /// The command and its arguments.
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true, value_name = "CMD")]
    pub command: Vec<String>,
}

/// Default interval: a command's life is short.
const INTERVAL: Duration = Duration::from_millis(10);

/// A cgroup made for one command, removed when dropped.
struct Cage {
    cgroup: Option<cgroups_rs::Cgroup>,
    /// Folder in the v2 tree of a hybrid host, for its pressure.
    unified: Option<PathBuf>,
    path: String,
}

impl Cage {
    fn new(layout: &Layout, args: &Args) -> anyhow::Result<Cage> {
        let name = format!("sampler-run-{}", std::process::id());
        let path = format!("/{name}");
        let controllers = match layout.version {
            Version::V1 => ["memory", "pids", "cpuacct"].as_slice(),
            Version::V2 => ["memory", "pids", "cpu"].as_slice(),
        };
        let offered = fs::read_to_string(layout.memory.join("cgroup.controllers")).unwrap_or_default();
        let has = |name: &&&str| layout.version == Version::V1 || offered.split_whitespace().any(|word| word == **name);
        let controllers = controllers.iter().filter(has).map(|name| (*name).to_owned()).collect();
        let hierarchy = cgroups_rs::hierarchies::auto();
        let mut builder = CgroupBuilder::new(&name).set_specified_controllers(controllers).memory();
        for (limit, set) in [(args.memory_max, true), (args.memory_high, false)] {
            let Some(bytes) = limit.filter(|bytes| *bytes != UNLIMITED) else { continue };
            let bytes = i64::try_from(bytes).context("the limit is too large")?;
            builder = if set { builder.memory_hard_limit(bytes) } else { builder.memory_soft_limit(bytes) };
        }
        let folder = layout.memory.join(&name);
        // The library makes folders without saying when it could not.
        fs::create_dir(&folder).with_context(|| {
            format!("make the cgroup {}; this needs root (or a delegated cgroup): sudo sampler run …", folder.display())
        })?;
        let cgroup = builder.done().build(hierarchy).with_context(|| format!("set up the cgroup {path}"))?;
        let mut cage = Cage { cgroup: Some(cgroup), unified: None, path: path.clone() };
        if layout.version == Version::V2 {
            if let Some(bytes) = args.memory_high.filter(|bytes| *bytes != UNLIMITED) {
                cage.limit(layout, "memory.high", bytes)?;
            }
            if let Some(bytes) = args.memory_max.filter(|bytes| *bytes != UNLIMITED) {
                cage.limit(layout, "memory.max", bytes)?;
            }
        } else if let Some(unified) = &layout.unified {
            let folder = unified.join(&name);
            cage.unified = fs::create_dir(&folder).ok().map(|()| folder);
        }
        Ok(cage)
    }

    /// The library writes the soft limit to memory.low and memory.high alike on v2; these are exact.
    fn limit(&self, layout: &Layout, file: &str, bytes: u64) -> anyhow::Result<()> {
        let path = layout.memory.join(self.path.trim_start_matches('/')).join(file);
        fs::write(&path, bytes.to_string()).with_context(|| format!("write {bytes} to {}", path.display()))
    }

    /// The files through which a process enters.
    fn doors(&self, layout: &Layout) -> Vec<PathBuf> {
        let name = self.path.trim_start_matches('/');
        let mut folders = vec![layout.memory.join(name)];
        for root in [&layout.cpuacct, &layout.pids].into_iter().flatten() {
            folders.push(root.join(name));
        }
        folders.extend(self.unified.clone());
        folders.into_iter().map(|folder| folder.join("cgroup.procs")).filter(|door| door.exists()).collect()
    }
}

impl Drop for Cage {
    fn drop(&mut self) {
        // A process that is still ending keeps the folder busy for a moment.
        for _ in 0..20 {
            if let Some(folder) = &self.unified
                && fs::remove_dir(folder).is_ok()
            {
                self.unified = None;
            }
            let Some(cgroup) = &self.cgroup else { break };
            if cgroup.delete().is_ok() && !cgroup.exists() {
                self.cgroup = None;
            }
            if self.cgroup.is_none() && self.unified.is_none() {
                break;
            }
            std::thread::sleep(Duration::from_millis(25));
        }
    }
}

/// Runs the command.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let out = args.out.clone().unwrap_or_else(|| fresh_folder("run"));
    let (status, cgroup) = caged(args, &out)?;
    say(&report(&out, Some(&cgroup))?);
    Ok(ExitCode::from(code(status)))
}

/// The command's own code, or 128 and the signal, as shells have it.
pub fn code(status: ExitStatus) -> u8 {
    let signal = status.signal().map(|signal| exit::SIGNAL.saturating_add(signal as u8));
    signal.or_else(|| status.code().map(|code| code as u8)).unwrap_or(exit::FAILED)
}

/// Runs a command in its cgroup under the recorder; returns how it ended and the cgroup's path.
pub fn caged(mut args: Args, out: &Path) -> anyhow::Result<(ExitStatus, String)> {
    let layout = Layout::detect()?;
    if args.what.interval == Duration::from_millis(100) {
        args.what.interval = INTERVAL;
    }
    let cage = match Cage::new(&layout, &args) {
        Ok(cage) => Some(cage),
        // Without root the command runs where it is, if that can be read; a limit cannot be had, so it is not ignored.
        Err(error) if args.memory_max.is_none() && args.memory_high.is_none() => {
            say(&format!("sampler: {error:#}"));
            None
        }
        Err(error) => return Err(error),
    };
    let cgroup = match &cage {
        Some(cage) => cage.path.clone(),
        None => own_cgroup(&layout)?,
    };
    args.what.cgroup = vec![cgroup.clone(), format!("{cgroup}/**")];
    let agent = Agent {
        out: out.to_owned(),
        config: args.what.config(layout.clone(), false)?,
        rotation: Rotation::default(),
        retention: Retention::default(),
        on_oom: None,
        beside: super::beside::Live { no_alerts: true, ..Default::default() },
        guard: None,
    };
    let doors = cage.as_ref().map(|cage| cage.doors(&layout)).unwrap_or_default();
    let status = runtime()?.block_on(async {
        let mut child = spawn(&args.command, &doors)?;
        let (tell, told) = tokio::sync::oneshot::channel();
        let wait = async move {
            let status = pass_signals(&mut child).await;
            let _ = tell.send(status);
            "the command ended".to_owned()
        };
        agent.run(wait).await?;
        told.await.context("wait for the command")?.context("wait for the command")
    })?;
    drop(cage);
    Ok((status, cgroup))
}

fn spawn(command: &[String], doors: &[PathBuf]) -> anyhow::Result<tokio::process::Child> {
    use std::os::fd::{AsFd, OwnedFd};
    let open = |path: &PathBuf| fs::OpenOptions::new().write(true).open(path).map(OwnedFd::from);
    let doors: Vec<OwnedFd> = doors.iter().map(open).collect::<io::Result<_>>().context("open cgroup.procs")?;
    let (program, arguments) = command.split_first().context("no command")?;
    let mut child = Command::new(program);
    child.args(arguments);
    // SAFETY: between fork and exec only write(2) on descriptors that were opened before; nothing allocates.
    unsafe {
        child.pre_exec(move || {
            doors.iter().try_for_each(|door| rustix::io::write(door.as_fd(), b"0").map(drop)).map_err(io::Error::from)
        });
    }
    child.spawn().map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => CommandNotFound(program.clone()).into(),
        _ => anyhow::Error::new(error).context(format!("start {program}")),
    })
}

/// The command to run does not exist: an exit code of its own, as shells have it.
#[derive(Debug, thiserror::Error)]
#[error("{0}: command not found")]
pub struct CommandNotFound(String);

/// Waits for the command; signals that come meanwhile go to it.
async fn pass_signals(child: &mut tokio::process::Child) -> io::Result<ExitStatus> {
    let kinds = [
        SignalKind::interrupt(),
        SignalKind::terminate(),
        SignalKind::hangup(),
        SignalKind::quit(),
        SignalKind::user_defined1(),
        SignalKind::user_defined2(),
    ];
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    for kind in kinds {
        let mut signals = signal(kind)?;
        let tell = tell.clone();
        tokio::spawn(async move {
            while signals.recv().await.is_some() {
                let _ = tell.send(kind);
            }
        });
    }
    loop {
        tokio::select! {
            status = child.wait() => return status,
            Some(kind) = told.recv() => {
                let pid = child.id().and_then(|pid| rustix::process::Pid::from_raw(pid as i32));
                let signal = rustix::process::Signal::from_named_raw(kind.as_raw_value());
                if let (Some(pid), Some(signal)) = (pid, signal) {
                    let _ = rustix::process::kill_process(pid, signal);
                }
            }
        }
    }
}

/// The cgroup this process is in already, for a caller without the right to make one.
fn own_cgroup(layout: &Layout) -> anyhow::Result<String> {
    let text = fs::read_to_string("/proc/self/cgroup").context("read /proc/self/cgroup")?;
    let path = text.lines().find_map(|line| {
        let mut words = line.splitn(3, ':');
        let (_, controllers, path) = (words.next()?, words.next()?, words.next()?);
        let memory = match layout.version {
            Version::V2 => controllers.is_empty(),
            Version::V1 => controllers.split(',').any(|c| c == "memory"),
        };
        memory.then(|| path.to_owned())
    });
    match path.as_deref() {
        None | Some("/") => {
            bail!("this process is in the root cgroup, which has no memory files to sample; run as root")
        }
        Some(path) => {
            say(&format!("sampler: sampling the cgroup it is in instead: {path}"));
            Ok(path.to_owned())
        }
    }
}

/// What happened to a cgroup, or else to the largest, in words.
pub fn report(out: &Path, cgroup: Option<&str>) -> anyhow::Result<String> {
    let mut recording = Recording::open(out)?;
    let summary = Summary::of(&mut recording, &Query::all());
    let own = summary.cgroups.iter().find(|c| cgroup.is_none_or(|cgroup| c.path == cgroup));
    let mut text = String::from("\nsampler: ");
    match own {
        Some(own) => {
            text.push_str(&own.words());
            text.push_str(&format!("; {} rows\n", sampler::units::count(own.rows)));
        }
        None => text.push_str("the command ended before a sample was taken\n"),
    }
    for kill in &summary.oom_kills {
        text.push_str(&explain(kill, None));
    }
    if summary.oom_kills.is_empty() {
        text.push_str("no OOM kill\n");
    }
    text.push_str(&format!("recording: {} (sampler info {})", out.display(), out.display()));
    Ok(text)
}
