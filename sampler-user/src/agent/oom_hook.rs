//! What happens as the OOM killer came: the page of each incident is written beside the recording, and a command of the user is
//! run. DeathFinder that are no OOM kill get a page and a line. All of it by child processes and bounded in time; the sampling waits for none of it.

use std::collections::VecDeque;
use std::fs::{self, DirBuilder, File};
use std::io::Write;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::process::Command;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::watch::Receiver;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::agent::child;
use crate::agent::user_command::{HookUser, user_command};
use crate::analysis::incident::Incident;
use crate::analysis::incident::death::{Death, DeathFinder};
use crate::analysis::incident::incident_ref::{APART_US, IncidentRef, take, take_more};
use crate::model::event::{Event, EventKind};
use crate::model::recording::TimedEvent;
use crate::model::time::{Anchor, format_us};
use crate::reading::incident_id::IncidentId;
use crate::ui::terminal::say;

/// Folder of the pages, beside the tables.
pub const PAGES: &str = "incidents";
/// Kills of one moment come within this time, and are in the journal by then.
const GATHER: Duration = Duration::from_millis(150);
/// An incident to which kills were added is over after this time, and its page is written once more.
const QUIET: Duration = Duration::from_micros(APART_US as u64 + 1_000_000);
/// What pages, and what the user's command may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// What the command may take once the recording has ended: who stops the agent waits for it.
const AT_END: Duration = Duration::from_secs(3);
/// Commands that run at once.
const COMMANDS: usize = 16;

/// A command of the user.
#[derive(Clone, Debug)]
pub struct Hook {
    /// For the shell.
    pub command: String,
    /// As whom it is run; as the agent's own user without.
    pub user: Option<HookUser>,
}

/// A kill that was recorded, as one of an incident, or a death.
pub struct DueIncident {
    /// The incident, by its first kill.
    incident: IncidentId,
    /// The event, of the first kill alone, in case no page can be made.
    json: Option<String>,
}

/// Finds the incident of each kill, and the deaths: the same rules as in the post-mortem, with no more kept than they need.
#[derive(Default)]
pub struct IncidentCollector {
    open: Vec<IncidentRef>,
    deaths: DeathFinder,
}

impl IncidentCollector {
    /// Takes an event, or the time alone; gives what is new.
    pub fn take(&mut self, event: Option<&Event>) -> Vec<DueIncident> {
        let anchor = Anchor::now();
        let now_us = anchor.wall_us(anchor.mono_ns);
        let mut news: Vec<DueIncident> = self.deaths.poll(now_us).into_iter().map(of_death).collect();
        if let Some(event) = event {
            let time_us = anchor.wall_us(event.mono_ns);
            if DeathFinder::wants(&event.what) {
                self.deaths.on_event(&TimedEvent { time_us, event: event.clone() });
            }
            news.extend(self.kill(time_us, event));
        }
        news
    }

    fn kill(&mut self, time_us: i64, event: &Event) -> Option<DueIncident> {
        self.open.retain(|incident| time_us - incident.last_us <= 2 * APART_US);
        let known = self.open.len();
        let at = match &event.what {
            EventKind::OomKill(kill) => {
                let mut light = (**kill).clone();
                (light.report, light.probe) = (None, None);
                take(&mut self.open, time_us, &light, 0)
            }
            EventKind::MoreOomKills(more) => take_more(&mut self.open, time_us, more),
            _ => return None,
        };
        let is_first = self.open.len() > known;
        let incident = self.open.get_mut(at)?;
        incident.kills.truncate(1);
        let cgroup = incident.kills.first()?.1.victim_cgroup.clone().unwrap_or_default();
        let incident = IncidentId { is_death: false, at_us: incident.at_us, cgroup };
        let json = is_first.then(|| serde_json::to_string(event).unwrap_or_default());
        Some(DueIncident { incident, json })
    }
}

fn of_death(death: Death) -> DueIncident {
    let cgroup = death.cgroup.clone().unwrap_or_default();
    let json = serde_json::to_string(&death).ok();
    DueIncident { incident: IncidentId { is_death: true, at_us: death.time_us, cgroup }, json }
}

/// An incident whose page is to be written, now or once it is over.
struct Due {
    incident: IncidentId,
    json: Option<String>,
    at: Instant,
}

/// Writes a page for each incident and runs the command for it, in their order, until no more kills come. `ends` is dropped as
/// the recording ends.
pub async fn report(out: PathBuf, command: Option<Hook>, mut news: UnboundedReceiver<DueIncident>, ends: Receiver<()>) {
    let mut due: VecDeque<Due> = VecDeque::new();
    let mut commands = JoinSet::new();
    loop {
        let next = due.iter().map(|due| due.at).min();
        tokio::select! {
            new = news.recv() => match new {
                Some(new) => schedule(&mut due, new),
                None => break,
            },
            () = tokio::time::sleep_until(next.unwrap_or_else(Instant::now)), if next.is_some() => {
                let now = Instant::now();
                let (ready, later) = due.into_iter().partition(|due| due.at <= now);
                due = later;
                write(&out, command.as_ref(), ready, &mut commands, &ends).await;
            }
            Some(_) = commands.join_next(), if !commands.is_empty() => {}
        }
    }
    write(&out, command.as_ref(), due, &mut commands, &ends).await;
    while commands.join_next().await.is_some() {}
}

fn schedule(due: &mut VecDeque<Due>, DueIncident { incident, json }: DueIncident) {
    let now = Instant::now();
    let same = |due: &&mut Due| due.incident == incident;
    match due.iter_mut().find(same) {
        // The first page is due at once, however many kills are added.
        Some(known) if known.json.is_some() => {}
        Some(known) => known.at = now + QUIET,
        None => {
            let wait = if json.is_some() { GATHER } else { QUIET };
            due.push_back(Due { incident, json, at: now + wait });
        }
    }
}

/// Writes the pages of some incidents, and runs the command for those that are new. What fails is reported, and costs nothing
/// else.
async fn write(
    out: &Path,
    command: Option<&Hook>,
    due: VecDeque<Due>,
    commands: &mut JoinSet<()>,
    ends: &Receiver<()>,
) {
    if due.is_empty() {
        return;
    }
    let mut left = due;
    let mut run_next = |page: Option<PathBuf>, left: &mut VecDeque<Due>| {
        let Some(due) = left.pop_front() else { return };
        if due.incident.is_death {
            // An alert reports a kill; of a death the page does.
            let verdict = page.and_then(|page| serde_json::from_slice::<Incident>(&fs::read(page).ok()?).ok());
            verdict.iter().for_each(|page| say(&format!("sampler: {}", page.verdict)));
            return;
        }
        if let (Some(command), Some(json)) = (command, due.json) {
            if commands.len() >= COMMANDS {
                say(&format!("sampler: {COMMANDS} commands of --on-oom still run; not run for {}", due.incident));
                return;
            }
            commands.spawn(run_one(command.clone(), page, json, ends.clone()));
        }
    };
    let first = left.front().map_or(0, |due| due.incident.at_us);
    let wanted: Vec<String> = left.iter().map(|due| due.incident.to_string()).collect();
    let mut written = |line: &str| run_next((line != "-").then(|| PathBuf::from(line)), &mut left);
    if let Err(error) = pages(out, &wanted, &mut written).await {
        say(&format!("sampler: write the page of the incident at {}: {error:#}", format_us(first)));
    }
    while !left.is_empty() {
        run_next(None, &mut left);
    }
}

/// Makes the pages in a child, because that holds columns; gives the path of each JSON file as it is written.
async fn pages(out: &Path, wanted: &[String], written: &mut impl FnMut(&str)) -> anyhow::Result<()> {
    let folder = out.join(PAGES);
    let made = DirBuilder::new().recursive(true).mode(0o750).create(&folder);
    made.with_context(|| format!("make the folder {}", folder.display()))?;
    let arguments = |child: &mut Command| {
        child.arg("pages").arg(out).arg("--into").arg(&folder).arg("--").args(wanted);
    };
    child::lines(arguments, PATIENCE, written).await
}

async fn run_one(command: Hook, page: Option<PathBuf>, json: String, ends: Receiver<()>) {
    match run(&command, page.as_deref(), &json, ends).await {
        Ok(status) if status.success() => {}
        Ok(status) => say(&format!("sampler: the command of --on-oom ended with {status}")),
        Err(error) => say(&format!("sampler: the command of --on-oom: {error:#}")),
    }
}

async fn run(hook: &Hook, page: Option<&Path>, json: &str, ends: Receiver<()>) -> anyhow::Result<ExitStatus> {
    let stdin = match page {
        Some(page) => Stdio::from(File::open(page).with_context(|| format!("open {}", page.display()))?),
        None => Stdio::piped(),
    };
    let mut child = user_command("sh", hook.user);
    // The agent may be the last that the OOM killer takes; what it starts is not.
    child
        .args(["-c", "echo 0 2>&- >/proc/$$/oom_score_adj; exec sh -c \"$1\"", "sh", &hook.command])
        .stdin(stdin)
        .stdout(Stdio::null())
        .kill_on_drop(true);
    // A group of its own: what it starts ends with it.
    child.process_group(0);
    let mut child = child.spawn().context("start sh")?;
    if let Some(stdin) = child.stdin.take() {
        // Less than a pipe holds, so that this never waits.
        let json: String = json.chars().take(60_000).collect();
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

/// Waits as long as a command may take, and gives the reason to wait no longer.
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
