//! What `record` does beside recording: alerts and metrics, both from a board that the rows pass by.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::sync::{Notify, Semaphore};

use crate::live::alert::rules::Rules;
use crate::live::alert::{Alert, Watch};
use crate::live::board::{Board, Depth};
use crate::live::metrics;
use crate::model::event::{Event, EventKind};
use crate::model::recording::{Origin, Subject};
use crate::model::sample::{PassHead, Row, SubjectRef};
use crate::model::sink::Sink;
use crate::model::time::{Anchor, format_us};
use crate::model::units::printable;
use crate::ui::terminal::say;

/// A board that one thread fills and others look at.
#[derive(Clone)]
pub struct Shared {
    board: Arc<Mutex<Board>>,
    /// Wakes who waits for a kill.
    killed: Arc<Notify>,
}

impl Shared {
    /// An empty one.
    pub fn new(depth: Depth, host: String, wsl: Option<String>) -> Shared {
        let board = Board::new(depth, Anchor::now(), (host, wsl));
        Shared { board: Arc::new(Mutex::new(board)), killed: Arc::default() }
    }

    /// The board. A thread that died while it held it has left it whole enough to be shown.
    pub fn lock(&self) -> MutexGuard<'_, Board> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sink for Shared {
    fn subject(&mut self, number: SubjectRef, subject: &Subject) {
        self.lock().subject(number, subject);
    }
    fn forget(&mut self, number: SubjectRef) {
        self.lock().forget(number);
    }
    fn pass(&mut self, head: PassHead) {
        self.lock().pass(head);
    }
    fn row(&mut self, head: PassHead, row: &Row) {
        self.lock().row(head, row);
    }
    fn event(&mut self, event: &Event) {
        self.lock().event(event);
        if matches!(event.what, EventKind::OomKill(_) | EventKind::MoreOomKills(_)) {
            self.killed.notify_one();
        }
    }
    fn flush(&mut self, _: bool) {}
}

/// Gives everything to the journal and to the board.
pub struct Tee<S> {
    /// The journal.
    pub journal: S,
    /// The board.
    pub board: Shared,
}

impl<S: Sink> Sink for Tee<S> {
    fn subject(&mut self, number: SubjectRef, subject: &Subject) {
        self.journal.subject(number, subject);
        self.board.subject(number, subject);
    }
    fn forget(&mut self, number: SubjectRef) {
        self.journal.forget(number);
        self.board.forget(number);
    }
    fn pass(&mut self, head: PassHead) {
        self.journal.pass(head);
        self.board.pass(head);
    }
    fn row(&mut self, head: PassHead, row: &Row) {
        self.journal.row(head, row);
        self.board.row(head, row);
    }
    fn event(&mut self, event: &Event) {
        self.journal.event(event);
        self.board.event(event);
    }
    fn flush(&mut self, sync: bool) {
        self.journal.flush(sync);
    }
}

/// Which rules, and where metrics are served.
#[derive(Debug, Default, clap::Args)]
pub struct Live {
    /// Rules of the alerts, a TOML file; without it the defaults.
    #[arg(long, value_name = "FILE")]
    pub rules: Option<PathBuf>,
    /// No alerts.
    #[arg(long)]
    pub no_alerts: bool,
    /// Serve OpenMetrics for Prometheus at this address, such as 127.0.0.1:9464.
    #[arg(long, value_name = "ADDRESS")]
    pub metrics: Option<SocketAddr>,
}

/// The rules of a file, or the defaults.
pub fn rules(file: Option<&PathBuf>) -> anyhow::Result<Rules> {
    let Some(file) = file else { return Ok(Rules::default()) };
    let text = std::fs::read_to_string(file).with_context(|| format!("read the rules {}", file.display()))?;
    Rules::parse(&text).with_context(|| format!("read the rules {}", file.display()))
}

/// What runs beside the recorder until it is dropped.
pub struct Beside {
    /// The board that the rows have to pass by.
    pub board: Shared,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl Drop for Beside {
    fn drop(&mut self) {
        self.tasks.iter().for_each(tokio::task::JoinHandle::abort);
    }
}

/// Half an hour of history: enough to judge growth, and 20 KiB of memory a cgroup.
const DEPTH: Depth = Depth { step_us: 10_000_000, points: 180 };
/// The rules are looked at this often.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Alerts that may wait for the hook.
const WAITING: usize = 32;
/// Connections that are served at once.
const CONNECTIONS: usize = 8;
/// A connection is ended after this time.
const PATIENCE: Duration = Duration::from_secs(30);

impl Live {
    /// Starts what is wanted; `None` when that is nothing and nobody else needs the board.
    pub async fn begin(&self, origin: &Origin, needed: bool) -> anyhow::Result<Option<Beside>> {
        if self.no_alerts && self.metrics.is_none() && !needed {
            return Ok(None);
        }
        let board = Shared::new(DEPTH, origin.host.clone(), origin.wsl.clone());
        let mut tasks = Vec::new();
        if !self.no_alerts {
            tasks.push(tokio::spawn(alert(board.clone(), rules(self.rules.as_ref())?)));
        }
        if let Some(address) = self.metrics {
            let listener = TcpListener::bind(address)
                .await
                .with_context(|| format!("listen on {address}; choose another --metrics"))?;
            say(&format!("metrics at http://{}/metrics", listener.local_addr().unwrap_or(address)));
            tasks.push(tokio::spawn(serve(board.clone(), listener)));
        }
        Ok(Some(Beside { board, tasks }))
    }
}

async fn alert(board: Shared, rules: Rules) {
    let (hook, inbox) = channel(WAITING);
    if rules.hook.is_empty() {
        drop(inbox);
    } else {
        tokio::spawn(run_hooks(rules.hook.clone(), rules.hook_timeout, inbox));
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
            tell(&hook, alert);
        }
    }
}

fn tell(hook: &Sender<Alert>, alert: Alert) {
    if let Err(tokio::sync::mpsc::error::TrySendError::Full(alert)) = hook.try_send(alert) {
        say(&format!("sampler: the hook is behind; not told: {} of {}", alert.kind, printable(&alert.name)));
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
async fn run_hooks(command: Vec<String>, timeout: Duration, mut inbox: Receiver<Alert>) {
    let Some((program, arguments)) = command.split_first() else { return };
    while let Some(alert) = inbox.recv().await {
        let mut child = tokio::process::Command::new(program);
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

async fn serve(board: Shared, listener: TcpListener) {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(permit) = room.clone().acquire_owned().await else { return };
        let Ok((stream, _)) = listener.accept().await else {
            // Out of descriptors: later there may be some.
            tokio::time::sleep(Duration::from_secs(1)).await;
            continue;
        };
        let board = board.clone();
        tokio::spawn(async move {
            let answer = service_fn(move |request: Request<Incoming>| std::future::ready(answer(&board, &request)));
            let connection = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), answer);
            let _ = tokio::time::timeout(PATIENCE, connection).await;
            drop(permit);
        });
    }
}

fn answer(board: &Shared, request: &Request<Incoming>) -> Result<Response<Full<Bytes>>, hyper::http::Error> {
    match request.uri().path() {
        "/metrics" => Response::builder()
            .header("Content-Type", metrics::CONTENT_TYPE)
            .body(Full::new(metrics::render(&board.lock()).into())),
        _ => Response::builder().status(StatusCode::NOT_FOUND).body(Full::new("see /metrics\n".into())),
    }
}
