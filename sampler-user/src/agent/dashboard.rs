//! The dashboard beside a recorder: `sampler serve`, as a child, so that nothing that a browser asks for touches the sampling.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context;
use tokio::process::{Child, Command};

use crate::ui::terminal::say;

/// One that ended is started again after this time, and ever later.
const PAUSE: Duration = Duration::from_secs(5);
const LONGEST: Duration = Duration::from_secs(600);

/// Keeps one running until it is aborted.
pub async fn keep(out: PathBuf, address: SocketAddr) {
    let mut pause = PAUSE;
    loop {
        let ended = match start(&out, address) {
            Ok(mut child) => child.wait().await.map_or_else(|error| error.to_string(), |status| status.to_string()),
            Err(error) => format!("{error:#}"),
        };
        say(&format!("sampler: the dashboard ended: {ended}; it is started again in {} s", pause.as_secs()));
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST);
    }
}

fn start(out: &Path, address: SocketAddr) -> anyhow::Result<Child> {
    let program = std::env::current_exe().context("find the sampler program")?;
    let mut command = Command::new(program);
    command.arg("serve").arg("--listen").arg(address.to_string());
    command.arg("--beside").arg(std::process::id().to_string()).arg(out);
    command.stdin(Stdio::null()).stdout(Stdio::null()).kill_on_drop(true).spawn().context("start it as a child")
}
