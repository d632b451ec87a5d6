//! `sampler top`

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use crossterm::event::{self, Event, KeyEventKind};
use sampler::agent::alerts::{rules, words};
use sampler::agent::live_board::LiveBoard;
use sampler::agent::runtime;
use sampler::journal::follow::Follow;
use sampler::kernel::cgroupfs::layout::Layout;
use sampler::kernel::cgroupfs::tree::Selection;
use sampler::live::alert::Watch;
use sampler::live::board::{Board, Depth, Document, FORMAT};
use sampler::model::fields::{FieldId, Table};
use sampler::model::problem::Problem;
use sampler::model::sample::Row;
use sampler::model::time::format_us;
use sampler::model::units::{bytes, parse_duration, printable};
use sampler::record::{Config, NameSources, UseProbe, record};
use sampler::store::scan::{Query, Recording};
use sampler::store::{JOURNAL, is_recording};
use sampler::ui::text::style::Style;
use sampler::ui::tui::keys::{Outcome, press};
use sampler::ui::tui::state::{Order, State};
use sampler::ui::tui::view::{draw, text};

use crate::cli::exit;
use crate::cli::folders::data_folder;
use crate::cli::remote::{EVER, LocalRecordings};

/// Show all cgroups, what grows, and what reaches its limit when.
///
/// Looks at the recording of an agent that runs (its journal, which costs next to nothing), or reads the kernel itself when none
/// does. Given a recording that nobody writes, replays it: the arrow keys move in time.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  sampler top --sort growth --containers\n  sampler top --once --json | jq '.cgroups[] | select(.used > 0.8)'"
)]
pub struct Args {
    /// A recording, its folder or its address (s3://…) [default: the one an agent writes, else the kernel itself]
    dir: Option<PathBuf>,
    /// Read the kernel, even if an agent runs.
    #[arg(long, conflicts_with = "dir")]
    direct: bool,
    /// How often the screen is refreshed and, without an agent, the kernel is read.
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = parse_duration)]
    interval: Duration,
    /// Print one table and end.
    #[arg(long)]
    once: bool,
    /// Print lines for a log at this interval.
    #[arg(long, value_name = "TIME", value_parser = parse_duration, conflicts_with = "once")]
    watch: Option<Duration>,
    /// JSON (format `sampler.top.v1`): one document, or with --watch one a line.
    #[arg(long)]
    json: bool,
    /// Order: matters, memory, used, growth, time, pressure, kills or name.
    #[arg(long, value_name = "ORDER", default_value = "matters", value_parser = order)]
    sort: Order,
    /// Every cgroup, not only those that matter; --json and --watch always have all.
    #[arg(long)]
    all: bool,
    /// Only cgroups whose name or path holds this text.
    #[arg(long, value_name = "TEXT", default_value = "")]
    filter: String,
    /// As a tree.
    #[arg(long)]
    tree: bool,
    /// Containers only.
    #[arg(long)]
    containers: bool,
    /// Only cgroups whose path matches; may be given again.
    #[arg(long, value_name = "GLOB")]
    cgroup: Vec<String>,
    /// Rules of the alerts, a TOML file; without it the defaults.
    #[arg(long, value_name = "FILE")]
    rules: Option<PathBuf>,
    /// Socket of Docker [default: DOCKER_HOST, else /run/docker.sock]
    #[arg(long, value_name = "PATH")]
    docker_socket: Option<PathBuf>,
    /// End after this time.
    #[arg(long = "for", value_name = "TIME", value_parser = parse_duration)]
    duration: Option<Duration>,
}

fn order(text: &str) -> Result<Order, String> {
    Order::of(text)
        .ok_or_else(|| format!("`{text}` is not matters, memory, used, growth, time, pressure, kills or name"))
}

/// Where the board is filled from.
enum Source {
    /// The journal of an agent.
    Attached(Box<Follow>),
    /// A recorder of our own, which ends when its channel is dropped.
    Direct { stop: Option<tokio::sync::oneshot::Sender<()>>, thread: Option<JoinHandle<anyhow::Result<()>>> },
    /// A recording that does not change, and what of it could not be read.
    Replay(Vec<Problem>),
}

/// History on the screen: ten minutes at its usual interval.
const POINTS: usize = 600;
/// A recording is replayed in this many points.
const REPLAY_POINTS: usize = 1000;

/// Runs the command.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let selection = Selection::new(&args.cgroup, &[]).context("read --cgroup")?;
    let (mut source, board, name) = open(args, &selection)?;
    let result = (|| {
        let mut state = State::new(name);
        state.selection = selection;
        (state.order, state.tree, state.containers) = (args.sort, args.tree, args.containers);
        state.filter.clone_from(&args.filter);
        state.all = args.all || args.json || args.watch.is_some();
        if let (Source::Direct { .. }, true) = (&source, args.once) {
            // Rates need two readings.
            std::thread::sleep(args.interval.max(Duration::from_millis(1100)));
        }
        source.update(&board)?;
        match (args.once || (args.json && args.watch.is_none()), args.watch) {
            (true, _) => print_once(&mut state, &board, source.problems(), args.json),
            (false, Some(every)) => log(args, &mut source, &board, &mut state, every),
            (false, None) => screen(args, &mut source, &board, &mut state),
        }
    })();
    source.end()?;
    result.map(|()| exit::of(source.problems()))
}

fn open(args: &Args, selection: &Selection) -> anyhow::Result<(Source, LiveBoard, String)> {
    let step_us = args.interval.as_micros() as i64;
    let depth = Depth { step_us: step_us * 9 / 10, points: POINTS };
    let default = data_folder();
    let dir = args.dir.as_deref().unwrap_or(&default);
    if !args.direct && is_recording(dir) {
        let board = LiveBoard::new(depth, String::new(), None);
        let name = format!("agent in {}", dir.display());
        return Ok((Source::Attached(Box::new(Follow::new(dir.join(JOURNAL)))), board, name));
    }
    if let Some(dir) = &args.dir {
        let here = LocalRecordings::of(std::slice::from_ref(dir), &EVER)?;
        let (board, problems) = replay(here.dir(), selection)?;
        return Ok((Source::Replay(problems), board, format!("recording {}", dir.display())));
    }
    let name = rustix::system::uname();
    let board = LiveBoard::new(depth, name.nodename().to_string_lossy().into_owned(), sampler::kernel::wsl::name());
    let config = Config {
        selection: selection.clone(),
        interval: args.interval,
        slow_interval: args.interval,
        processes: false,
        details: None,
        protect: false,
        probe: UseProbe::Off,
        names: NameSources { ask: true, docker_socket: args.docker_socket.clone() },
        ..Config::new(Layout::detect()?)
    };
    let (stop, stopped) = tokio::sync::oneshot::channel();
    let sink = board.clone();
    let thread = std::thread::Builder::new().name("sampler-control".into()).spawn(move || {
        let stop = async move {
            let _ = stopped.await;
            "top ended".to_owned()
        };
        runtime()?.block_on(record(config, Box::new(sink), stop)).map(drop).map_err(anyhow::Error::from)
    });
    let thread = Some(thread.context("start a thread")?);
    Ok((Source::Direct { stop: Some(stop), thread }, board, "the kernel".into()))
}

/// A recording as a board, with as many points as can be told apart.
fn replay(dir: &Path, selection: &Selection) -> anyhow::Result<(LiveBoard, Vec<Problem>)> {
    let mut recording = Recording::open(dir)?;
    let wanted = |path: &str| selection.wants(path);
    let (mut from, mut to) = (i64::MAX, i64::MIN);
    let time = Query { cgroups: &wanted, time: i64::MIN..i64::MAX, fields: &[FieldId::Current], lags: false };
    recording.series(Table::Samples, &time, |series| {
        from = from.min(series.time_us.first().copied().unwrap_or(i64::MAX));
        to = to.max(series.time_us.last().copied().unwrap_or(i64::MIN));
    });
    if from > to {
        crate::cli::output::say_problems(&recording.problems);
        bail!("{} holds no samples of these cgroups", dir.display());
    }
    let origin = recording.origins().pop();
    let page_size = origin.as_ref().map(|origin| origin.page_size);
    let (host, wsl) = origin.map(|origin| (origin.host, origin.wsl)).unwrap_or_default();
    let depth = Depth { step_us: ((to - from) / REPLAY_POINTS as i64).max(1), points: REPLAY_POINTS + 2 };
    let board = LiveBoard::new(depth, host, wsl);
    let mut filled = board.lock();
    filled.page_size = page_size.unwrap_or(filled.page_size);
    let fields = Board::fields();
    for table in [Table::Samples, Table::Host] {
        let chosen = if table == Table::Host { &[][..] } else { &fields[..] };
        let query = Query { cgroups: &wanted, time: i64::MIN..i64::MAX, fields: chosen, lags: false };
        recording.series(table, &query, |series| {
            let mut row = Row::new(0);
            let columns = series.columns.iter().enumerate();
            let mut left: Vec<_> =
                columns.filter_map(|(slot, c)| Some((slot, c.as_ref()?.iter().peekable()))).collect();
            for at in 0..series.len() {
                row.mask = 0;
                for (slot, values) in &mut left {
                    if let Some((_, value)) = values.next_if(|(row, _)| *row == at) {
                        row.set(*slot, value);
                    }
                }
                let subject = (series.subject.cgroup.as_str(), series.subject.id);
                filled.feed((table == Table::Samples).then_some(subject), series.time_us[at], &row);
            }
        });
    }
    for event in recording.events(i64::MIN..i64::MAX) {
        if event.event.cgroup.as_deref().is_none_or(wanted) {
            filled.hear(event.time_us, &event.event);
        }
    }
    drop(filled);
    crate::cli::output::say_problems(&recording.problems);
    Ok((board, recording.problems))
}

impl Source {
    /// Brings the board up to date.
    fn update(&mut self, board: &LiveBoard) -> anyhow::Result<()> {
        match self {
            Source::Attached(follow) => {
                let mut board = board.lock();
                follow.read(&mut *board, Board::begin).context("read the journal of the agent")?;
                board.tidy();
            }
            Source::Direct { thread, .. } => {
                if thread.as_ref().is_some_and(JoinHandle::is_finished) {
                    self.end()?;
                    bail!("the recorder ended");
                }
                board.lock().tidy();
            }
            Source::Replay(_) => {}
        }
        Ok(())
    }

    /// What of it could not be read.
    fn problems(&self) -> &[Problem] {
        match self {
            Source::Replay(problems) => problems,
            Source::Attached(_) | Source::Direct { .. } => &[],
        }
    }

    fn end(&mut self) -> anyhow::Result<()> {
        if let Source::Direct { stop, thread } = self {
            drop(stop.take());
            if let Some(thread) = thread.take() {
                thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
            }
        }
        Ok(())
    }
}

fn print_once(state: &mut State, board: &LiveBoard, problems: &[Problem], json: bool) -> anyhow::Result<()> {
    state.refresh(&board.lock());
    // In a pipe no line is too long.
    let fits = std::io::stdout().is_terminal() || std::env::var_os("COLUMNS").is_some();
    let width = if fits { Style::of_terminal().width } else { usize::MAX };
    let text = if json { document(state, problems, true)? + "\n" } else { text(state, width) };
    crate::cli::output::print(&text)
}

fn document(state: &State, problems: &[Problem], pretty: bool) -> anyhow::Result<String> {
    let document = Document {
        format: FORMAT,
        time: format_us(state.at_us.unwrap_or(state.span_us.1)),
        machine: &state.machine,
        cgroups: state.shown.iter().map(|shown| &state.lines[shown.line]).collect(),
        problems,
    };
    let written = if pretty { serde_json::to_string_pretty(&document) } else { serde_json::to_string(&document) };
    written.context("write JSON")
}

fn log(args: &Args, source: &mut Source, board: &LiveBoard, state: &mut State, every: Duration) -> anyhow::Result<()> {
    let begun = Instant::now();
    let mut watch = Watch::new(rules(args.rules.as_ref())?);
    let mut next = begun + every;
    loop {
        std::thread::sleep(next.saturating_duration_since(Instant::now()));
        next += every;
        source.update(board)?;
        let alerts = {
            let board = board.lock();
            state.refresh(&board);
            watch.look(&board, &state.lines)
        };
        let mut out = String::new();
        if args.json {
            out = document(state, source.problems(), false)? + "\n";
        } else {
            let time = format_us(state.span_us.1);
            let size = |value: Option<u64>| value.map_or_else(|| "-".into(), bytes);
            for shown in &state.shown {
                let line = &state.lines[shown.line];
                out += &format!(
                    "{time} {} memory={} limit={}",
                    printable(&line.name),
                    size(line.current),
                    size(line.limit)
                );
                if let Some(used) = line.used {
                    out += &format!(" used={:.0}%", used * 100.0);
                }
                if let Some(growth) = line.growth_per_min.filter(|growth| *growth > 0.0) {
                    out += &format!(" growth={}/min", bytes(growth as u64));
                }
                out += &format!(" oom_kills={}\n", line.oom_kills);
            }
        }
        crate::cli::output::print(&out)?;
        alerts.iter().for_each(|alert| sampler::ui::terminal::say(&words(alert)));
        if args.duration.is_some_and(|duration| begun.elapsed() >= duration) {
            return Ok(());
        }
    }
}

fn screen(args: &Args, source: &mut Source, board: &LiveBoard, state: &mut State) -> anyhow::Result<()> {
    let begun = Instant::now();
    let mut watch = Watch::new(rules(args.rules.as_ref())?);
    let mut terminal = ratatui::try_init().context("set up the terminal; use --once or --watch without one")?;
    let result = (|| -> anyhow::Result<()> {
        let mut next = Instant::now();
        let mut drawn = false;
        loop {
            if Instant::now() >= next {
                source.update(board)?;
                let board = board.lock();
                if state.at_us.is_none() || matches!(source, Source::Replay(_)) {
                    state.refresh(&board);
                }
                state.span_us.1 = board.now_us;
                if state.at_us.is_none() && !matches!(source, Source::Replay(_)) {
                    state.alerts.extend(watch.look(&board, &state.lines).iter().map(words));
                    let most = state.alerts.len().saturating_sub(50);
                    state.alerts.drain(..most);
                }
                next = Instant::now() + args.interval;
                drawn = false;
            }
            if !drawn {
                let board = board.lock();
                terminal.draw(|frame| draw(frame, state, &board)).context("draw")?;
                drawn = true;
            }
            if args.duration.is_some_and(|duration| begun.elapsed() >= duration) {
                return Ok(());
            }
            if !event::poll(next.saturating_duration_since(Instant::now())).context("wait for a key")? {
                continue;
            }
            // All keys that wait are applied before one drawing.
            while event::poll(Duration::ZERO).context("wait for a key")? {
                match event::read().context("read a key")? {
                    Event::Key(key) if key.kind != KeyEventKind::Release => match press(state, key) {
                        Outcome::Quit => return Ok(()),
                        Outcome::Refresh => state.refresh(&board.lock()),
                        Outcome::Draw => {}
                    },
                    _ => {}
                }
                drawn = false;
            }
        }
    })();
    ratatui::restore();
    result
}
