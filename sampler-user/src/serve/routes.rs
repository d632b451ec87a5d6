//! What can be asked for: the page, its documents, the present as it comes, and files to take away. All of it is read-only.

use std::ffi::OsString;
use std::fmt::Display;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use hyper::body::{Body, Bytes, Incoming};
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_TYPE, HeaderName, LOCATION, SET_COOKIE};
use hyper::{Method, Request, Response, StatusCode};
use tokio::sync::Semaphore;
use tokio::sync::mpsc::channel;

use crate::live::metrics;
use crate::model::time::format_us;
use crate::serve::app::App;
use crate::serve::body::Answer;
use crate::serve::documents::NoDocument;
use crate::serve::downloads::{Folder, printed, written};
use crate::serve::gate::Refusal;
use crate::serve::opened::Opened;
use crate::serve::plots::{NoPlots, plots};
use crate::serve::query::Asked;
use crate::ui::html::served;

/// What can be asked for, as OpenAPI.
const OPENAPI: &str = include_str!("../../docs/openapi.json");

/// What can be asked for, and with which parameters; `docs/openapi.json` describes each below `/api`.
pub const ROUTES: &[(&str, &[&str])] = &[
    ("/", &["token", "recording", "cgroup", "from", "to"]),
    ("/page.css", &[]),
    ("/page.js", &[]),
    ("/uplot.js", &[]),
    ("/metrics", &["recording"]),
    ("/api/v1/openapi.json", &[]),
    ("/api/v1/recordings", &[]),
    ("/api/v1/now", &["recording"]),
    ("/api/v1/live", &["recording"]),
    ("/api/v1/plots", &["recording", "from", "to", "cgroup", "first"]),
    ("/api/v1/machine", &["recording", "at"]),
    ("/api/v1/analysis", &["recording", "from", "to"]),
    ("/api/v1/incidents", &["recording"]),
    ("/api/v1/incident", &["recording", "at"]),
    ("/api/v1/advice", &["recording", "from", "to"]),
    ("/api/v1/report", &["recording", "from", "to"]),
    ("/api/v1/export", &["recording", "format", "cgroup", "from", "to"]),
];

/// Browsers that watch the present at once.
const WATCHING: usize = 16;
static WATCHERS: AtomicUsize = AtomicUsize::new(0);
/// Plots are made one after the other: each takes some memory.
static PLOTS: Semaphore = Semaphore::const_new(1);
/// Requests that wait for plots; more are refused.
static ROOM: Semaphore = Semaphore::const_new(32);

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const JSON: &str = "application/json";
const EVENTS: &str = "text/event-stream";

/// Headers of each answer: nothing but this server may be asked by the page, and no other page may show or read it.
const SAFE: [(&str, &str); 6] = [
    (
        "content-security-policy",
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-resource-policy", "same-origin"),
    ("cross-origin-opener-policy", "same-origin"),
];

type Reply = Response<Answer>;

/// What is wrong with a request, or with its answer.
struct Failure(StatusCode, String);

impl Failure {
    fn wrong(what: impl Display) -> Failure {
        Failure(StatusCode::BAD_REQUEST, what.to_string())
    }
}

impl From<NoDocument> for Failure {
    fn from(why: NoDocument) -> Failure {
        match why {
            NoDocument::Busy => Failure(StatusCode::SERVICE_UNAVAILABLE, "too many wait; try again".into()),
            NoDocument::NoRecording(what) => Failure(StatusCode::NOT_FOUND, what),
            NoDocument::Failed(what) => Failure(StatusCode::INTERNAL_SERVER_ERROR, what),
        }
    }
}

impl From<NoPlots> for Failure {
    fn from(why: NoPlots) -> Failure {
        match why {
            NoPlots::Wrong(what) => Failure::wrong(what),
            NoPlots::Nothing(what) => Failure(StatusCode::NOT_FOUND, what),
            NoPlots::Failed(what) => Failure(StatusCode::INTERNAL_SERVER_ERROR, what),
        }
    }
}

/// Answers a request.
pub async fn answer(app: Arc<App>, request: Request<Incoming>) -> Reply {
    let is_head = request.method() == Method::HEAD;
    let has_body = !request.body().is_end_stream();
    let mut reply = route(app, &request.map(drop), has_body).await.unwrap_or_else(|Failure(status, what)| {
        let text = serde_json::json!({ "error": what }).to_string();
        let mut reply = whole(JSON, text);
        *reply.status_mut() = status;
        reply
    });
    if is_head {
        *reply.body_mut() = Answer::Whole(Bytes::new());
    }
    for (name, value) in SAFE {
        set(&mut reply, HeaderName::from_static(name), value);
    }
    if !reply.headers().contains_key(CACHE_CONTROL) {
        set(&mut reply, CACHE_CONTROL, "no-store");
    }
    reply
}

fn set(reply: &mut Reply, name: HeaderName, value: &str) {
    if let Ok(value) = value.parse() {
        reply.headers_mut().insert(name, value);
    }
}

fn whole(kind: &str, text: impl Into<Bytes>) -> Reply {
    let mut reply = Response::new(Answer::Whole(text.into()));
    set(&mut reply, CONTENT_TYPE, kind);
    reply
}

async fn route(app: Arc<App>, request: &Request<()>, has_body: bool) -> Result<Reply, Failure> {
    app.gate.check_host(request).map_err(refused)?;
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut reply = whole(JSON, r#"{"error":"nothing can be changed here: GET and HEAD only"}"#);
        *reply.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
        set(&mut reply, ALLOW, "GET, HEAD");
        return Ok(reply);
    }
    if has_body {
        return Err(Failure(StatusCode::PAYLOAD_TOO_LARGE, "a request has no body here".into()));
    }
    let path = request.uri().path();
    let known = ROUTES.iter().find(|(known, _)| *known == path);
    let asked = known.map(|(_, parameters)| Asked::read(request.uri().query(), parameters));
    // A token in the address becomes a cookie, and leaves the address.
    if let (Some(Ok(asked)), "/") = (&asked, path)
        && let Some(cookie) = asked.get("token").and_then(|token| app.gate.cookie(token))
    {
        let mut reply = whole(HTML, "");
        *reply.status_mut() = StatusCode::SEE_OTHER;
        set(&mut reply, LOCATION, "/");
        set(&mut reply, SET_COOKIE, &cookie);
        return Ok(reply);
    }
    app.gate.check_token(request).map_err(refused)?;
    let asked = asked.ok_or_else(|| {
        Failure(StatusCode::NOT_FOUND, "there is nothing here; /api/v1/openapi.json lists what there is".into())
    })?;
    let asked = asked.map_err(Failure::wrong)?;
    match path {
        "/" => return Ok(whole(HTML, served::PAGE)),
        "/page.css" => return Ok(whole(CSS, served::STYLE)),
        "/page.js" => return Ok(whole(SCRIPT, served::SCRIPT)),
        "/uplot.js" => return Ok(whole(SCRIPT, served::PLOTS)),
        "/api/v1/openapi.json" => return Ok(whole(JSON, OPENAPI)),
        "/api/v1/recordings" => {
            let list = tokio::task::spawn_blocking(move || serde_json::to_string(&app.recordings.list()));
            let list = list.await.map_err(internal)?.map_err(internal)?;
            return Ok(whole(JSON, list));
        }
        _ => {}
    }
    let id = asked.get("recording").map(str::to_owned);
    let dir = app.recordings.folder(id.as_deref()).ok_or_else(|| no_recording(id.as_deref()))?;
    let opened = || app.recordings.open(id.as_deref()).ok_or_else(|| no_recording(id.as_deref()));
    match path {
        "/metrics" => Ok(whole(metrics::CONTENT_TYPE, metrics::render(&opened()?.lock().board))),
        "/api/v1/now" => Ok(whole(JSON, opened()?.lock().document().map_err(internal)?)),
        "/api/v1/live" => live(opened()?),
        "/api/v1/plots" => {
            let Ok(_room) = ROOM.try_acquire() else { return Err(NoDocument::Busy.into()) };
            let _turn = PLOTS.acquire().await.map_err(internal)?;
            let opened = opened()?;
            let made = tokio::task::spawn_blocking(move || plots(&opened, &asked)).await.map_err(internal)??;
            Ok(whole(JSON, made))
        }
        "/api/v1/export" => export(app, &dir, &asked).await,
        _ => {
            let command = command(path, &app, &dir, &asked)?;
            Ok(whole(JSON, app.documents.get(&dir, command).await?))
        }
    }
}

fn refused(why: Refusal) -> Failure {
    match why {
        Refusal::Host => Failure(
            StatusCode::MISDIRECTED_REQUEST,
            "this server is not the host that was asked for; use its address, or localhost".into(),
        ),
        Refusal::Token => {
            Failure(StatusCode::UNAUTHORIZED, "open the link that `sampler serve` has printed, with its token".into())
        }
    }
}

fn internal(error: impl Display) -> Failure {
    Failure(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
}

fn no_recording(id: Option<&str>) -> Failure {
    let which = id.map_or_else(String::new, |id| format!(" `{id}`"));
    Failure(StatusCode::NOT_FOUND, format!("there is no recording{which}; /api/v1/recordings lists them"))
}

/// The command that prints a document.
fn command(path: &str, app: &App, dir: &Path, asked: &Asked) -> Result<Vec<OsString>, Failure> {
    let at = asked.time("at").map_err(Failure::wrong)?.map(format_us);
    let mut command: Vec<OsString> = match path {
        "/api/v1/machine" => vec!["machine".into(), "--all".into()],
        "/api/v1/analysis" => vec!["analyze".into()],
        "/api/v1/incidents" => vec!["postmortem".into(), "--list".into()],
        "/api/v1/incident" => vec!["postmortem".into()],
        "/api/v1/advice" => vec!["advise".into()],
        _ => vec!["report".into()],
    };
    command.push("--json".into());
    if path == "/api/v1/advice" {
        command.extend(app.documents.compose());
    }
    command.extend(at.map(|at| format!("--at={at}").into()));
    command.extend(times(asked)?);
    command.push(dir.into());
    Ok(command)
}

fn times(asked: &Asked) -> Result<Vec<OsString>, Failure> {
    let mut arguments = Vec::new();
    for name in ["from", "to"] {
        let time = asked.time(name).map_err(Failure::wrong)?;
        arguments.extend(time.map(|time| format!("--{name}={}", format_us(time)).into()));
    }
    Ok(arguments)
}

/// The present as it comes, once a second.
fn live(opened: Arc<Opened>) -> Result<Reply, Failure> {
    /// Counts one who watches.
    struct Watcher;
    impl Drop for Watcher {
        fn drop(&mut self) {
            WATCHERS.fetch_sub(1, Ordering::Relaxed);
        }
    }
    let before = WATCHERS.fetch_add(1, Ordering::Relaxed);
    let watcher = Watcher;
    if before >= WATCHING {
        return Err(Failure(StatusCode::SERVICE_UNAVAILABLE, format!("{WATCHING} watch already")));
    }
    let mut frames = opened.watch();
    // One that is slow gets the newest, not all.
    let (sender, receiver) = channel::<io::Result<Bytes>>(1);
    tokio::spawn(async move {
        let _watcher = watcher;
        let history = serde_json::to_string(&opened.lock().history()).unwrap_or_default();
        let mut next = Bytes::from(format!("retry: 1000\nevent: history\ndata: {history}\n\n"));
        while sender.send(Ok(next)).await.is_ok() {
            tokio::select! {
                changed = frames.changed() => if changed.is_err() { return },
                () = sender.closed() => return,
            }
            next = frames.borrow_and_update().clone();
        }
    });
    let mut reply = Response::new(Answer::Parts(receiver));
    set(&mut reply, CONTENT_TYPE, EVENTS);
    Ok(reply)
}

/// A file of what is seen.
async fn export(app: Arc<App>, dir: &Path, asked: &Asked) -> Result<Reply, Failure> {
    let (format, kind) = match asked.get("format").unwrap_or("csv") {
        "csv" => ("csv", "text/csv; charset=utf-8"),
        "jsonl" => ("jsonl", "application/x-ndjson"),
        "parquet" => ("parquet", "application/vnd.apache.parquet"),
        "html" => ("html", HTML),
        other => return Err(Failure::wrong(format!("`{other}` is not csv, jsonl, parquet or html"))),
    };
    let mut part = times(asked)?;
    part.extend(asked.all("cgroup").iter().map(|path| format!("--cgroup={}", globset::escape(path)).into()));
    let mut command: Vec<OsString> = vec![if format == "html" { "report" } else { "export" }.into(), dir.into()];
    command.extend(part);
    let parts = match format {
        "csv" | "jsonl" => {
            command.push(format!("--format={format}").into());
            printed(app, command).await?
        }
        _ => {
            let folder = Folder::new().map_err(internal)?;
            let (option, target) = if format == "html" { ("--html", "report.html") } else { ("--out", "export") };
            command.extend([option.into(), folder.path().join(target).into_os_string()]);
            command.extend((format == "parquet").then(|| "--format=parquet".into()));
            written(app, folder, command, format).await?
        }
    };
    let mut reply = Response::new(Answer::Parts(parts));
    set(&mut reply, CONTENT_TYPE, kind);
    set(&mut reply, CONTENT_DISPOSITION, &format!("attachment; filename=\"sampler.{format}\""));
    Ok(reply)
}
