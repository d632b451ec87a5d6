//! What Docker keeps and nobody uses: asked of its socket, removed only when somebody says yes.

use std::ffi::OsString;
use std::io::{BufRead, Write};
use std::path::Path;
use std::process::Command;

use anyhow::{Context, bail};
use sampler::advise::leftovers::Leftovers;
use sampler::agent::runtime;
use sampler::containers::names::docker_api::Api;

/// Asks Docker; `None` when it does not answer.
pub fn ask(socket: Option<&Path>) -> anyhow::Result<Option<Leftovers>> {
    let api = Api::new(socket);
    let usage = runtime()?.block_on(api.usage());
    Ok(usage.ok().map(|usage| Leftovers {
        stopped: usage.stopped,
        dangling: usage.dangling,
        build_cache: usage.build_cache,
    }))
}

/// Runs what cleans up, each after a yes, with the daemon that was asked.
pub fn apply(leftovers: Option<&Leftovers>, yes: bool, socket: Option<&Path>) -> anyhow::Result<()> {
    let Some(leftovers) = leftovers else { bail!("--apply: Docker does not answer at its socket (--docker-socket)") };
    for cleaning in leftovers.cleanings() {
        let line = format!("{} --force", cleaning.command.join(" "));
        if !yes && !agrees(&format!("{}. Run `{line}`? [y/N] ", cleaning.what))? {
            continue;
        }
        let (program, arguments) = cleaning.command.split_first().context("no command")?;
        let mut command = Command::new(program);
        if let Some(socket) = socket {
            let mut host = OsString::from("unix://");
            host.push(socket);
            command.arg("--host").arg(host);
        }
        let status = command.args(arguments).arg("--force").status().with_context(|| format!("run {line}"))?;
        if !status.success() {
            bail!("`{line}` ended with {status}");
        }
    }
    Ok(())
}

fn agrees(question: &str) -> anyhow::Result<bool> {
    let mut out = std::io::stderr().lock();
    out.write_all(question.as_bytes()).and_then(|()| out.flush()).context("ask")?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer).context("read the answer")?;
    Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}
