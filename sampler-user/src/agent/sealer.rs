//! Seals segments, one after the other, in a child of low priority, and keeps the recording within its bounds, whether sealing
//! works or not.

use std::path::{Path, PathBuf};
use std::sync::mpsc::Sender;
use std::time::{Duration, SystemTime};

use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval, sleep_until};

use crate::agent::child;
use crate::agent::health::Health;
use crate::model::event::{Event, EventKind};
use crate::store::retention::{Retention, enforce, sweep};
use crate::store::stem_of;

/// Longest time of sealing one segment.
const SEALING: Duration = Duration::from_secs(600);
/// How often the bounds are looked at.
const LOOK: Duration = Duration::from_secs(5);
/// A segment that could not be sealed is tried again after this time, then twice as long, and so on.
const AGAIN: Duration = Duration::from_secs(5);
/// And not less often than this.
const SELDOM: Duration = Duration::from_secs(600);

/// What the sealer works with.
pub struct Sealer {
    /// Folder of the recording.
    pub out: PathBuf,
    /// What may stay.
    pub retention: Retention,
    /// Who is told.
    pub health: Health,
    /// Takes events for the recording.
    pub inject: Sender<Event>,
}

/// A segment that could not be sealed.
struct Failed {
    segment: PathBuf,
    times: u32,
    due: Instant,
}

impl Sealer {
    /// Seals what comes until no more does.
    pub async fn run(self, mut inbox: UnboundedReceiver<PathBuf>) {
        let mut failed: Vec<Failed> = Vec::new();
        let mut said = String::new();
        let mut look = interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let due = failed.iter().map(|failed| failed.due).min();
            let (segment, times) = tokio::select! {
                new = inbox.recv() => match new {
                    Some(segment) => (segment, 0),
                    None => break,
                },
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                    let at = failed.iter().position(|failed| Some(failed.due) == due).unwrap_or(0);
                    let Failed { segment, times, .. } = failed.swap_remove(at);
                    if !segment.exists() {
                        continue;
                    }
                    (segment, times)
                }
                _ = look.tick() => {
                    self.bound();
                    continue;
                }
            };
            if let Err(error) = self.seal(&segment, &mut look).await {
                // The rows stay in the journal, which every command reads: nothing is lost.
                sweep(&self.out, &stem_of(&segment));
                let due = Instant::now() + (AGAIN * 2u32.saturating_pow(times)).min(SELDOM);
                let line =
                    format!("seal {}: {error:#}; it is tried again, and read as it is until then", segment.display());
                // Once for each reason, not at each try.
                let reason = format!("{error:#}").replace(&stem_of(&segment), "");
                if reason != said {
                    self.health.say(line);
                    said = reason;
                }
                failed.push(Failed { segment, times: times.saturating_add(1).min(16), due });
            }
            self.bound();
        }
    }

    /// Seals a segment; meanwhile the bounds hold as well.
    async fn seal(&self, segment: &Path, look: &mut Interval) -> anyhow::Result<()> {
        let sealing = child::run(|child| child.arg("seal").arg(segment).arg("--out").arg(&self.out), SEALING);
        tokio::pin!(sealing);
        loop {
            tokio::select! {
                sealed = &mut sealing => return sealed.map(drop),
                _ = look.tick() => self.bound(),
            }
        }
    }

    /// Removes what is too old or too much. What was never sealed is a gap of the recording.
    fn bound(&self) {
        let removed = enforce(&self.out, &self.retention, SystemTime::now());
        for lost in removed.unsealed {
            self.health.lose(format!(
                "{} was removed before it could be sealed: the recording would be larger than --max-disk",
                lost.path.display()
            ));
            let what = EventKind::Gap {
                from_ns: lost.from_ns,
                to_ns: lost.to_ns,
                lost_passes: 0,
                reason: format!("{} was removed because of --max-disk before it could be sealed", name(&lost.path)),
            };
            let _ = self.inject.send(Event::now(what));
        }
    }
}

fn name(path: &Path) -> String {
    path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned())
}
