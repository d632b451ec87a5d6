//! `sampler run`

mod cage;
mod ending;

use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, ExitStatus};
use std::time::Duration;
use std::{fs, io};

use anyhow::{Context, bail};
use sampler::agent::{Agent, Recorded, runtime};
use sampler::journal::writer::Rotation;
use sampler::kernel::cgroupfs::layout::Layout;
use sampler::model::paths::is_below;
use sampler::model::units::{parse_bytes, printable};
use sampler::reading::summary::{Summary, explain};
use sampler::store::retention::Retention;
use sampler::store::scan::{Query, Recording};
use sampler::ui::terminal::say;
use tokio::process::Command;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc::UnboundedReceiver;

use self::cage::{Cage, CageLimits};
use self::ending::{Before, Ending, Oom, Paper};
use crate::cli::exit;
use crate::cli::folders::fresh_folder;
use crate::cli::record::RecordOptions;
use crate::cli::whole_file::WholeFile;

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
    /// Write how the command ended to this file as JSON, within 100 ms of its end; `-` is standard error.
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
    #[command(flatten)]
    pub what: RecordOptions,
    /// The command and its arguments.
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true, value_name = "CMD")]
    pub command: Vec<String>,
}

/// Default interval: a command's life is short.
const INTERVAL: Duration = Duration::from_millis(10);

/// Runs the command.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let out = args.out.clone().unwrap_or_else(|| fresh_folder("run"));
    let ending = caged(args, &out)?;
    say(&report(&out, Some(&ending))?);
    Ok(ExitCode::from(code(ending.status)))
}

/// The command's own code, or 128 and the signal, as shells have it.
pub fn code(status: ExitStatus) -> u8 {
    let signal = status.signal().map(|signal| exit::SIGNAL.saturating_add(signal as u8));
    signal.or_else(|| status.code().map(|code| code as u8)).unwrap_or(exit::FAILED)
}

/// Runs a command in its cgroup under the recorder; returns how it ended.
pub fn caged(args: &Args, out: &Path) -> anyhow::Result<Ending> {
    let layout = Layout::detect()?;
    let paper = args.report.as_deref().map(Paper::open).transpose()?;
    let cage = match Cage::new(&layout, &CageLimits { max: args.memory_max, high: args.memory_high }) {
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
    let escaped = globset::escape(&cgroup);
    let mut what = args.what.clone();
    what.cgroup = vec![escaped.clone(), format!("{escaped}/**")];
    let agent = Agent {
        out: out.to_owned(),
        trust_out: args.what.trust_out,
        config: what.config(layout.clone(), false, INTERVAL)?,
        rotation: Rotation::default(),
        retention: Retention::default(),
        on_oom: None,
        live: sampler::agent::live_tasks::LiveOptions { no_alerts: true, ..Default::default() },
        verbose: false,
        last_words: None,
        guard: None,
    };
    let doors = cage.as_ref().map(|cage| cage.doors(&layout)).unwrap_or_default();
    let (command, recording) = (args.command.clone(), out.to_owned());
    let ending = runtime()?.block_on(async {
        let (ended_in, ending_out) = tokio::sync::oneshot::channel();
        // Polled first when the recorder listens: a kill in the first microsecond is seen.
        let stop = async move {
            let before = Before::now(layout, cgroup, cage.is_some());
            let ended = watched(&command, &doors, before).await.map(|mut ending| {
                ending.recording = recording.display().to_string();
                // The command has run: its exit code passes through all the same.
                let written = paper.map_or(Ok(None), |paper| paper.write(&ending)).unwrap_or_else(|error| {
                    say(&format!("sampler: {error:#}"));
                    None
                });
                (ending, written)
            });
            let reason = if ended.is_ok() { "the command ended" } else { "the command did not start" };
            let _ = ended_in.send(ended.map(|(ending, written)| (ending, written, cage)));
            reason.to_owned()
        };
        if agent.run(stop).await? == Recorded::Lost {
            say("sampler: the recording is not whole: part of it was removed or could not be written");
        }
        ending_out.await.context("wait for the command")?
    });
    // The recorder has read the last counters: now the cgroup may go.
    let (mut ending, written, _cage) = ending?;
    if let (Some(path), Oom::Known(true)) = (written, ending.oom) {
        let added = ending.take_cause(out).and_then(|()| Paper::File(WholeFile::create(&path)?, path).write(&ending));
        if let Err(error) = added {
            say(&format!("sampler: the report has no cause: {error:#}"));
        }
    }
    Ok(ending)
}

/// Runs the command to its end.
async fn watched(command: &[String], doors: &[PathBuf], before: Before) -> anyhow::Result<Ending> {
    let mut signals = signals().context("listen for signals")?;
    let (line, into) = (command.to_vec(), doors.to_vec());
    // Its exec may have to wait for memory, and the recorder must not wait with it.
    let child = tokio::task::spawn_blocking(move || spawn(&line, &into)).await.context("start the command")?;
    let mut child = child?;
    let pid = child.id().map_or(0, |pid| pid as i32);
    let status = pass_signals(&mut child, &mut signals).await.context("wait for the command")?;
    Ok(before.ended(command, pid, status).await)
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

/// The signals that are the command's, from now on.
fn signals() -> io::Result<UnboundedReceiver<SignalKind>> {
    let kinds = [
        SignalKind::interrupt(),
        SignalKind::terminate(),
        SignalKind::hangup(),
        SignalKind::quit(),
        SignalKind::user_defined1(),
        SignalKind::user_defined2(),
    ];
    let (sender, received) = tokio::sync::mpsc::unbounded_channel();
    for kind in kinds {
        let mut signals = signal(kind)?;
        let sender = sender.clone();
        tokio::spawn(async move {
            while signals.recv().await.is_some() {
                let _ = sender.send(kind);
            }
        });
    }
    Ok(received)
}

/// Waits for the command; signals that come meanwhile go to it.
async fn pass_signals(
    child: &mut tokio::process::Child,
    received: &mut UnboundedReceiver<SignalKind>,
) -> io::Result<ExitStatus> {
    loop {
        tokio::select! {
            status = child.wait() => return status,
            Some(kind) = received.recv() => {
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
    match layout.own_cgroup().as_deref() {
        None | Some("/") => {
            bail!("this process is in the root cgroup, which has no memory files to sample; run as root")
        }
        Some(path) => {
            let name = printable(sampler::model::paths::name(path));
            say(&format!("sampler: sampling the cgroup it is in instead: {name}"));
            Ok(path.to_owned())
        }
    }
}

/// What happened to the cgroup of a command, or else to the largest, in words.
pub fn report(out: &Path, ending: Option<&Ending>) -> anyhow::Result<String> {
    let mut recording = Recording::open(out)?;
    let summary = Summary::of(&mut recording, &Query::all());
    let own = summary.cgroups.iter().find(|c| ending.is_none_or(|ending| c.path == ending.cgroup));
    let mut text = String::from("\nsampler: ");
    match own {
        Some(own) => {
            text.push_str(&own.words());
            text.push_str(&format!("; {} rows\n", sampler::model::units::count(own.rows)));
        }
        None => text.push_str("the command ended before a sample was taken\n"),
    }
    // Others on the machine are killed meanwhile.
    let here = |cgroup: &Option<String>| {
        ending.is_none_or(|ending| cgroup.as_deref().is_some_and(|cgroup| is_below(cgroup, &ending.cgroup)))
    };
    let kills: Vec<_> = summary.oom_kills.iter().filter(|kill| here(&kill.cgroup)).collect();
    kills.iter().for_each(|kill| text.push_str(&explain(kill, None, false)));
    if kills.is_empty() {
        text.push_str(&ending.map_or_else(|| "no OOM kill".to_owned(), Ending::words));
        text.push('\n');
    }
    text.push_str(&format!("recording: {} (sampler info {})", out.display(), out.display()));
    Ok(text)
}
