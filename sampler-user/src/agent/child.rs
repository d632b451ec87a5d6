//! This program once more, as a child: for what holds columns, which the agent never does, and may be killed without it.

use std::process::{ExitStatus, Output, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{Child, Command};

/// Runs this program with `arguments` for at most `patience`; returns what it printed. Its error is the child's last words.
pub async fn run(arguments: impl FnOnce(&mut Command) -> &mut Command, patience: Duration) -> anyhow::Result<Vec<u8>> {
    let child = start(|command| {
        arguments(command);
    })?;
    let output = output(child, patience).await?;
    if !output.status.success() {
        bail!("{}", last_words(output.status, &output.stderr));
    }
    Ok(output.stdout)
}

/// What a child prints until it ends, for at most `patience`.
pub async fn output(child: Child, patience: Duration) -> anyhow::Result<Output> {
    let late = || format!("it took over {} s", patience.as_secs());
    Ok(tokio::time::timeout(patience, child.wait_with_output()).await.with_context(late)??)
}

/// Runs it as [`run`] does, and gives each line as soon as it is printed.
pub async fn lines(
    arguments: impl FnOnce(&mut Command),
    patience: Duration,
    mut each: impl FnMut(&str),
) -> anyhow::Result<()> {
    let mut child = start(arguments)?;
    let (printed, mut errors) = (child.stdout.take(), child.stderr.take());
    let read = async {
        let mut lines = printed.map(|printed| BufReader::new(printed).lines());
        while let Some(lines) = &mut lines
            && let Some(line) = lines.next_line().await?
        {
            each(&line);
        }
        let mut said = Vec::new();
        if let Some(errors) = &mut errors {
            errors.read_to_end(&mut said).await?;
        }
        anyhow::Ok((child.wait().await?, said))
    };
    let late = || format!("it took over {} s", patience.as_secs());
    let (status, said) = tokio::time::timeout(patience, read).await.with_context(late)??;
    if !status.success() {
        bail!("{}", last_words(status, &said));
    }
    Ok(())
}

/// Starts this program with `arguments`; it is killed when it is dropped.
pub fn start(arguments: impl FnOnce(&mut Command)) -> anyhow::Result<Child> {
    let program = std::env::current_exe().context("find the sampler program")?;
    let mut child = Command::new(program);
    arguments(&mut child);
    child.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    child.spawn().context("start it as a child")
}

/// What it said, or how it ended where it said nothing: a child that is killed does not.
pub fn last_words(status: ExitStatus, said: &[u8]) -> String {
    match String::from_utf8_lossy(said).trim().trim_start_matches("sampler: ") {
        "" => format!("the child ended with {status}"),
        words => words.to_owned(),
    }
}
