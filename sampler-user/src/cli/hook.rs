//! What happens as the OOM killer came: the page of the incident is written beside the recording, and a command of the user
//! is told. All of it by child processes and bounded in time; the sampling waits for none of it.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};
use sampler::event::{Event, What};
use sampler::time::{Anchor, format_us};
use tokio::process::Command;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::watch::Receiver;

use super::{child, say};

/// Folder of the pages, beside the tables.
pub const PAGES: &str = "incidents";
/// Kills that follow within this time are of the same incident.
const SETTLE: Duration = Duration::from_millis(1500);
/// But it is told no later than this after the first.
const LATEST: Duration = Duration::from_secs(10);
/// What a page, and what the user's command may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// What the command may take once the recording has ended: who stops the agent waits for it.
const AT_END: Duration = Duration::from_secs(3);

/// A kill that was recorded.
pub struct Kill {
    time_us: i64,
    /// The event, in case no page can be made.
    json: String,
}

impl Kill {
    /// An event, if it is a kill.
    pub fn of(event: &Event) -> Option<Kill> {
        let What::OomKill(_) = event.what else { return None };
        let time_us = Anchor::now().wall_us(event.mono_ns);
        Some(Kill { time_us, json: serde_json::to_string(event).unwrap_or_default() })
    }
}

/// Tells of kills until there are no more to come. `ends` is dropped as the recording ends.
pub async fn tell(out: PathBuf, command: Option<String>, mut kills: UnboundedReceiver<Kill>, ends: Receiver<()>) {
    while let Some(first) = kills.recv().await {
        let latest = tokio::time::Instant::now() + LATEST;
        loop {
            let wait = (tokio::time::Instant::now() + SETTLE).min(latest);
            match tokio::time::timeout_at(wait, kills.recv()).await {
                Ok(Some(_)) => {}
                Ok(None) | Err(_) => break,
            }
        }
        tell_one(&out, command.as_deref(), &first, ends.clone()).await;
    }
}

/// Writes the page of one, and runs the command. What fails is said, and costs nothing else.
async fn tell_one(out: &Path, command: Option<&str>, kill: &Kill, ends: Receiver<()>) {
    let page = match page(out, kill).await {
        Ok(page) => Some(page),
        Err(error) => {
            say(&format!("sampler: write the page of the OOM kill at {}: {error:#}", format_us(kill.time_us)));
            None
        }
    };
    let Some(command) = command else { return };
    match run(command, page.as_deref(), kill, ends).await {
        Ok(status) if status.success() => {}
        Ok(status) => say(&format!("sampler: the command of --on-oom ended with {status}")),
        Err(error) => say(&format!("sampler: the command of --on-oom: {error:#}")),
    }
}

/// Makes the page in a child, because that holds columns; returns its JSON file.
async fn page(out: &Path, kill: &Kill) -> anyhow::Result<PathBuf> {
    let folder = out.join(PAGES);
    fs::create_dir_all(&folder).with_context(|| format!("make the folder {}", folder.display()))?;
    let output = child::run(
        |child| child.arg("postmortem").arg(out).arg("--at").arg(format_us(kill.time_us)).arg("--save").arg(&folder),
        PATIENCE,
    )
    .await?;
    Ok(PathBuf::from(String::from_utf8_lossy(&output).trim_end()))
}

async fn run(command: &str, page: Option<&Path>, kill: &Kill, ends: Receiver<()>) -> anyhow::Result<ExitStatus> {
    let stdin = match page {
        Some(page) => Stdio::from(File::open(page).with_context(|| format!("open {}", page.display()))?),
        None => Stdio::piped(),
    };
    let mut child = Command::new("sh");
    // The agent may be the last that the OOM killer takes; what it starts is not.
    child
        .args(["-c", "echo 0 2>&- >/proc/$$/oom_score_adj; exec sh -c \"$1\"", "sh", command])
        .stdin(stdin)
        .stdout(Stdio::null())
        .kill_on_drop(true);
    // A group of its own: what it starts ends with it.
    child.process_group(0);
    let mut child = child.spawn().context("start sh")?;
    if let Some(stdin) = child.stdin.take() {
        // Less than a pipe holds, so that this never waits.
        let json: String = kill.json.chars().take(60_000).collect();
        let _ = stdin.into_owned_fd().map(File::from).and_then(|mut file| file.write_all(json.as_bytes()));
    }
    let late = tokio::select! {
        status = child.wait() => return status.context("wait for it"),
        late = over(ends) => late,
    };
    if let Some(pid) = child.id().and_then(|pid| rustix::process::Pid::from_raw(pid as i32)) {
        let _ = rustix::process::kill_process_group(pid, rustix::process::Signal::KILL);
    }
    let _ = child.wait().await;
    bail!("{late} and was killed")
}

/// Waits as long as a command may take, and says why no longer.
async fn over(mut ends: Receiver<()>) -> String {
    let ended = async {
        while ends.changed().await.is_ok() {}
        tokio::time::sleep(AT_END).await;
    };
    tokio::select! {
        () = tokio::time::sleep(PATIENCE) => format!("it took over {} s", PATIENCE.as_secs()),
        () = ended => format!("it still ran {} s after the recording ended", AT_END.as_secs()),
    }
}
