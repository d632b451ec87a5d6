//! `sampler record`

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use sampler::agent::privileges::{Needs, reduce};
use sampler::agent::{Agent, Recorded, runtime, write_privately};
use sampler::journal::writer::Rotation;
use sampler::kernel::cgroupfs::layout::Layout;
use sampler::kernel::cgroupfs::tree::Selection;
use sampler::model::fields::{FieldId, Table, find};
use sampler::model::paths::from_bytes;
use sampler::model::units::{parse_bytes, parse_duration};
use sampler::record::{Config, LookFor, NameSources, UseProbe};
use sampler::store::retention::Retention;
use sampler::ui::terminal::say;
use tokio::signal::unix::{SignalKind, signal};

use crate::cli::exit;
use crate::cli::folders::data_folder;

/// Record all cgroups until stopped.
///
/// Finds the memory hierarchy by itself (cgroup v2, or v1 on hybrid hosts), samples every cgroup, notices those that come and
/// go, and writes a recording that survives a crash of the agent, the kernel or the machine.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  sampler record --interval 100ms --burst 1ms --cgroup '/docker/**' --keep 7d --max-disk 2G"
)]
pub struct Args {
    /// Folder of the recording [default: /var/lib/sampler, without root ~/.local/share/sampler]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    #[command(flatten)]
    pub what: RecordOptions,
    /// Remove sealed data older than this [default: 7d]
    #[arg(long, value_name = "AGE", value_parser = parse_duration)]
    keep: Option<Duration>,
    /// Remove the oldest sealed data above this size [default: 2G]
    #[arg(long, value_name = "SIZE", value_parser = parse_bytes)]
    max_disk: Option<u64>,
    /// Seal a journal segment after this time [default: 15m]
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    seal_every: Option<Duration>,
    /// Run this command of the shell after each OOM kill, with the page of the incident as JSON on its standard input; it may
    /// take 30 s. Of the environment it has a PATH alone.
    #[arg(long, value_name = "CMD")]
    on_oom: Option<String>,
    /// Write one line with the culprit and its figures to the kernel's log when memory is about to end, when the machine is out of
    /// memory, and when a signal ends the recorder: the log may outlive the machine.
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true, default_missing_value = "/dev/kmsg")]
    last_words: Option<PathBuf>,
    /// End after this time.
    #[arg(long = "for", value_name = "TIME", value_parser = parse_duration)]
    duration: Option<Duration>,
    #[command(flatten)]
    live: sampler::agent::live_tasks::LiveOptions,
    /// Leave priority, memory locking and the OOM score as they are.
    #[arg(long)]
    no_protect: bool,
    /// Print paths, and each thing that is missing on this machine.
    #[arg(long, short)]
    verbose: bool,
}

/// What to record: shared by `record` and `run`.
#[derive(Clone, Debug, clap::Args)]
pub struct RecordOptions {
    /// Interval of the fast files, 1 ms to 1 min; also as a rate (10Hz) [default: 100ms; of `run` 10ms]
    #[arg(long, value_name = "TIME", value_parser = interval)]
    pub interval: Option<Duration>,
    /// Interval of memory.stat, limits and work. Not longer than --interval: one pass reads all [default: 1s]
    #[arg(long, value_name = "TIME", value_parser = interval)]
    pub slow_interval: Option<Duration>,
    /// Sample a cgroup near its limit, growing fast or under pressure at this interval, and keep the seconds before. Page cache that
    /// can be reclaimed does not count; a burst ends by itself, and all together add at most 360,000 rows an hour.
    #[arg(long, value_name = "TIME", value_parser = interval)]
    pub burst: Option<Duration>,
    /// Only cgroups whose path matches (`*` within a name, `**` across); may be given again.
    #[arg(long, value_name = "GLOB")]
    pub cgroup: Vec<String>,
    /// Not the cgroups whose path matches; may be given again.
    #[arg(long, value_name = "GLOB")]
    pub exclude: Vec<String>,
    /// Only these fields, by column or name (see `sampler fields`), separated by commas.
    #[arg(long, value_name = "FIELDS", value_delimiter = ',')]
    pub fields: Vec<String>,
    /// Slow the rate so that the agent uses at most this part of one CPU, such as 1%.
    #[arg(long, value_name = "PERCENT", value_parser = percent)]
    pub max_cpu: Option<f64>,
    /// Whether to use the eBPF probe, which reads all cgroups at once and sees every OOM kill: auto, off or require.
    #[arg(long, value_name = "WHEN", default_value = "auto", value_parser = use_probe)]
    pub probe: UseProbe,
    /// Do not ask Docker and the state files of other runtimes what they call their containers.
    #[arg(long)]
    pub no_names: bool,
    /// Socket of Docker [default: DOCKER_HOST, else /run/docker.sock]
    #[arg(long, value_name = "PATH")]
    pub docker_socket: Option<PathBuf>,
    /// Do not look at the processes of cgroups that grow.
    #[arg(long)]
    pub no_processes: bool,
    /// Look for the files of this folder in the page cache too, beside those that processes have open; may be given again.
    #[arg(long, value_name = "DIR")]
    pub walk: Vec<PathBuf>,
    /// Write to --out as root even if another user owns it, anybody may write to it, or it holds links.
    #[arg(long)]
    pub trust_out: bool,
}

impl RecordOptions {
    /// The recorder's configuration on this machine, with the interval that is taken when none is given.
    pub fn config(&self, layout: Layout, protect: bool, interval: Duration) -> anyhow::Result<Config> {
        let selection = Selection::new(&self.cgroup, &self.exclude).context("read --cgroup and --exclude")?;
        Ok(Config {
            selection,
            interval: self.interval.unwrap_or(interval),
            slow_interval: self.slow_interval.unwrap_or(Config::SLOW_INTERVAL),
            burst: self.burst,
            max_cpu: self.max_cpu,
            fields: self.field_ids()?,
            processes: !self.no_processes,
            details: Some(LookFor { walk: self.walk.clone(), ..LookFor::default() }),
            protect,
            probe: self.probe,
            names: NameSources { ask: !self.no_names, docker_socket: self.docker_socket.clone() },
            ..Config::new(layout)
        })
    }

    fn field_ids(&self) -> anyhow::Result<Vec<FieldId>> {
        let id = |name: &String| match find(Table::Samples, name) {
            Some(field) => Ok(field.id),
            None => bail!("there is no field `{name}`; `sampler fields` lists them"),
        };
        self.fields.iter().map(id).collect()
    }
}

fn interval(text: &str) -> Result<Duration, String> {
    let interval = parse_duration(text)?;
    let allowed = Duration::from_millis(1)..=Duration::from_secs(60);
    if allowed.contains(&interval) { Ok(interval) } else { Err(format!("{text} is not between 1ms and 1min")) }
}

/// Reads `--probe`.
pub fn use_probe(text: &str) -> Result<UseProbe, String> {
    match text {
        "auto" => Ok(UseProbe::Auto),
        "off" => Ok(UseProbe::Off),
        "require" => Ok(UseProbe::Require),
        _ => Err(format!("`{text}` is not auto, off or require")),
    }
}

fn percent(text: &str) -> Result<f64, String> {
    let number: f64 = text.trim_end_matches('%').trim().parse().map_err(|_| format!("`{text}` is not a percentage"))?;
    if number > 0.0 && number <= 100.0 {
        Ok(number / 100.0)
    } else {
        Err(format!("{text} is not above 0% and up to 100%"))
    }
}

/// Runs the command.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let layout = Layout::detect()?;
    let out = args.out.clone().unwrap_or_else(data_folder);
    let config = args.what.config(layout, !args.no_protect, Config::INTERVAL)?;
    let cgroups = cgroups(&config.layout.memory, &config.selection);
    say(&format!("recording to {} every {:?}, {cgroups} cgroups; stop with Ctrl-C", out.display(), config.interval));
    if cgroups == 0 {
        say("sampler: no cgroup is chosen by --cgroup and --exclude; those that come later are recorded");
    }
    let rotation = Rotation::default();
    // What is not sealed yet counts, too.
    let size = args.max_disk.map_or(rotation.size, |max| (max / 4).clamp(LEAST_SEGMENT, rotation.size));
    write_privately();
    let is_low = |address: std::net::SocketAddr| address.port() < 1024;
    let low_port = args.live.metrics.is_some_and(is_low) || args.live.serve.is_some_and(is_low);
    reduce(Needs { another_user: args.live.hook_user.is_some(), low_port })?;
    let agent = Agent {
        out: out.clone(),
        trust_out: args.what.trust_out,
        config,
        rotation: Rotation { age: args.seal_every.unwrap_or(rotation.age), size },
        retention: Retention {
            keep: args.keep.or(Retention::AGENT.keep),
            max_disk: args.max_disk.or(Retention::AGENT.max_disk),
        },
        on_oom: args.on_oom.clone(),
        live: args.live.clone(),
        last_words: args.last_words.clone(),
        verbose: args.verbose,
        guard: None,
    };
    let stop = args.duration;
    let recorded = runtime()?.block_on(async move { agent.run(stopped(stop)?).await })?;
    Ok(ended(recorded, &format!("look at it with: sampler info {}", out.display())))
}

/// A segment takes as much, whatever `--max-disk` says, bytes.
const LEAST_SEGMENT: u64 = 64 << 10;

/// Says how a recording ended, and what to do with it.
pub fn ended(recorded: Recorded, next: &str) -> ExitCode {
    match recorded {
        Recorded::Whole => {
            say(&format!("recorded; {next}"));
            ExitCode::SUCCESS
        }
        Recorded::Lost => {
            say(&format!("sampler: recorded, but not whole: part of it was removed or could not be written; {next}"));
            ExitCode::from(exit::UNREAD)
        }
    }
}

/// How many cgroups there are to record.
fn cgroups(root: &Path, selection: &Selection) -> usize {
    let mut folders = vec![root.to_owned()];
    let mut count = 0;
    while let Some(folder) = folders.pop() {
        let below = folder.strip_prefix(root).unwrap_or(Path::new("")).as_os_str().as_bytes();
        count += usize::from(selection.wants(&from_bytes(&[b"/", below].concat())));
        let entries = std::fs::read_dir(&folder).into_iter().flatten().flatten();
        folders.extend(entries.filter(|e| e.file_type().is_ok_and(|kind| kind.is_dir())).map(|e| e.path()));
    }
    count
}

/// Why an agent stops: a signal, or its time is over.
pub fn stopped(duration: Option<Duration>) -> anyhow::Result<impl Future<Output = String>> {
    let mut terminate = signal(SignalKind::terminate()).context("listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("listen for SIGINT")?;
    let mut hangup = signal(SignalKind::hangup()).context("listen for SIGHUP")?;
    Ok(async move {
        let timer = async {
            match duration {
                Some(duration) => tokio::time::sleep(duration).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = terminate.recv() => "SIGTERM".to_owned(),
            _ = interrupt.recv() => "SIGINT".to_owned(),
            _ = hangup.recv() => "SIGHUP".to_owned(),
            () = timer => "the time of --for".to_owned(),
        }
    })
}
