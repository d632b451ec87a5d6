//! This program once more, as a child: for what holds columns, which the agent never does, and may be killed without it.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::process::Command;

/// Runs this program with `arguments` for at most `patience`; returns what it printed. Its error is the child's last words.
pub async fn run(arguments: impl FnOnce(&mut Command) -> &mut Command, patience: Duration) -> anyhow::Result<Vec<u8>> {
    let program = std::env::current_exe().context("find the sampler program")?;
    let mut child = Command::new(program);
    arguments(&mut child).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let child = child.spawn().context("start it as a child")?;
    let late = || format!("it took over {} s", patience.as_secs());
    let output = tokio::time::timeout(patience, child.wait_with_output()).await.with_context(late)??;
    if !output.status.success() {
        bail!("{}", String::from_utf8_lossy(&output.stderr).trim().trim_start_matches("sampler: "));
    }
    Ok(output.stdout)
}
