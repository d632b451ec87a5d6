//! `sampler serve`

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use rustix::process::{Signal, getppid, set_parent_process_death_signal};
use sampler::agent::runtime;
use sampler::serve::{Options, serve};

use crate::cli::record::stopped;
use crate::cli::remote::{EVER, LocalRecordings};
use crate::cli::seal::give_way;

/// Show a recording in a browser: the present as it changes, any time of the past, incidents, leaks and advice.
///
/// The page comes from this program and asks nobody else for anything; nothing can be changed by it. Beyond this machine it takes a
/// token, which stands in the link that is printed. The documents below /api/v1 are those that the commands print with --json;
/// /api/v1/openapi.json describes them.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  sampler serve                          # what `record` writes, at http://127.0.0.1:9465/\n  sampler serve data/recordings          # each recording in a folder\n  curl -s http://127.0.0.1:9465/api/v1/now | jq '.cgroups[0]'"
)]
pub struct Args {
    /// A recording, a folder of recordings, or an address (s3://…) [default: where `record` writes]
    #[arg(value_name = "DIR|ADDRESS")]
    dir: Option<PathBuf>,
    /// Where to listen.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9465")]
    listen: SocketAddr,
    /// Give advice for this Compose file; may be given again.
    #[arg(long, value_name = "FILE")]
    compose: Vec<PathBuf>,
    /// End with the recorder of this number, and give way to it.
    #[arg(long, value_name = "PID", hide = true)]
    beside: Option<i32>,
}

/// Runs the command.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    if let Some(recorder) = args.beside {
        give_way();
        set_parent_process_death_signal(Some(Signal::TERM)).context("ask to end with the recorder")?;
        if getppid().is_none_or(|parent| parent.as_raw_nonzero().get() != recorder) {
            return Ok(ExitCode::SUCCESS);
        }
    }
    let here = LocalRecordings::of(args.dir.as_slice(), &EVER)?;
    let options = Options { dir: here.dir().to_owned(), listen: args.listen, compose: args.compose.clone() };
    let runtime = runtime()?;
    let ended = runtime.block_on(async {
        let stop = stopped(None)?;
        tokio::select! {
            ended = serve(options) => ended,
            _ = stop => Ok(()),
        }
    });
    // Whoever reads rows for an answer is not waited for.
    runtime.shutdown_background();
    ended?;
    Ok(ExitCode::SUCCESS)
}
