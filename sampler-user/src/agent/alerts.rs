//! Looks at the board by the rules, reports alerts on the terminal and to the hook.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context;
use tokio::sync::mpsc::{Receiver, Sender, channel};

use crate::agent::live_board::LiveBoard;
use crate::agent::user_command::{HookUser, user_command};
use crate::live::alert::rules::Rules;
use crate::live::alert::{Alert, Watch};
use crate::model::time::format_us;
use crate::model::units::printable;
use crate::ui::terminal::say;

/// The rules of a file, or the defaults.
pub fn rules(file: Option<&PathBuf>) -> anyhow::Result<Rules> {
    let Some(file) = file else { return Ok(Rules::default()) };
    let text = std::fs::read_to_string(file).with_context(|| format!("read the rules {}", file.display()))?;
    Rules::parse(&text).with_context(|| format!("read the rules {}", file.display()))
}

/// The rules are looked at this often.
pub(super) const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Alerts that may wait for the hook.
pub(super) const WAITING: usize = 32;

pub(super) async fn alert(board: LiveBoard, rules: Rules, hook_user: Option<HookUser>) {
    let (hook, inbox) = channel(WAITING);
    if rules.hook.is_empty() {
        drop(inbox);
    } else {
        tokio::spawn(run_hooks(rules.hook.clone(), hook_user, rules.hook_timeout, inbox));
    }
    let mut watch = Watch::new(rules);
    let mut tick = tokio::time::interval(LOOK_EVERY);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            // A container may end with its kill: an alert comes from the event, not from a look at what is there later.
            () = board.killed.notified() => {}
        }
        let alerts = {
            let mut board = board.lock();
            board.tidy();
            let lines = board.lines(board.now_us);
            watch.look(&board, &lines)
        };
        for alert in alerts {
            say(&words(&alert));
            notify(&hook, alert);
        }
    }
}

pub(super) fn notify(hook: &Sender<Alert>, alert: Alert) {
    if let Err(tokio::sync::mpsc::error::TrySendError::Full(alert)) = hook.try_send(alert) {
        say(&format!("sampler: the hook is behind; not sent: {} of {}", alert.kind, printable(&alert.name)));
    }
}

/// One line for a terminal or a log.
pub fn words(alert: &Alert) -> String {
    let state = if alert.raised { "ALERT" } else { "over " };
    let path = if alert.cgroup.is_empty() || alert.cgroup == alert.name {
        String::new()
    } else {
        format!(" ({})", printable(&alert.cgroup))
    };
    format!("{} {state} {} {}{path}: {}", format_us(alert.time_us), alert.kind, printable(&alert.name), alert.text)
}

/// Runs the hook for one alert after the other; each is ended when it takes too long.
async fn run_hooks(command: Vec<String>, user: Option<HookUser>, timeout: Duration, mut inbox: Receiver<Alert>) {
    let Some((program, arguments)) = command.split_first() else { return };
    while let Some(alert) = inbox.recv().await {
        let mut child = user_command(program, user);
        child.args(arguments).arg(words(&alert)).stdin(Stdio::null()).stdout(Stdio::null()).kill_on_drop(true);
        let texts = [
            ("KIND", alert.kind),
            ("STATE", if alert.raised { "raised" } else { "over" }),
            ("CGROUP", &alert.cgroup),
            ("NAME", &alert.name),
            ("TEXT", &alert.text),
        ];
        for (key, text) in texts {
            // A NUL cannot be in an environment, and nothing else of a name can do harm there.
            child.env(format!("SAMPLER_ALERT_{key}"), text.replace('\0', ""));
        }
        match tokio::time::timeout(timeout, async { child.spawn()?.wait().await }).await {
            Ok(Ok(status)) if status.success() => {}
            Ok(Ok(status)) => say(&format!("sampler: the hook {} ended with {status}", printable(program))),
            Ok(Err(error)) => say(&format!("sampler: run the hook {}: {error}", printable(program))),
            Err(_) => say(&format!("sampler: the hook {} took over {timeout:?} and was ended", printable(program))),
        }
    }
}
