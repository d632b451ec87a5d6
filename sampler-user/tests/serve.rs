//! `sampler serve` as a browser, a script and an attacker have it.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test panics and says why it skips")]

#[path = "support/agent.rs"]
mod agent;
#[path = "support/field.rs"]
mod field;
#[path = "support/http.rs"]
mod http;

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use self::http::{Reply, Server};

fn recordings() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../data/recordings")
}

fn sampler(arguments: &[&str], dir: &Path) -> Value {
    let output = Command::new(env!("CARGO_BIN_EXE_sampler")).args(arguments).arg(dir).output().unwrap();
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{arguments:?}: {output:?}"))
}

#[test]
fn the_documents_are_those_of_the_commands() {
    let dir = recordings().join("sibling");
    let server = Server::start(&dir, &[]);
    let at = server.json("/api/v1/incidents")[0]["time"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    for (path, arguments) in [
        ("analysis".to_owned(), &["analyze", "--json"][..]),
        ("incidents".into(), &["postmortem", "--list", "--json"]),
        ("incident".into(), &["postmortem", "--json"]),
        (format!("incident?at={}", at.as_microsecond()), &["postmortem", "--json"]),
        ("advice".into(), &["advise", "--json"]),
        ("report".into(), &["report", "--json"]),
        ("machine".into(), &["machine", "--all", "--json"]),
    ] {
        let (served, printed) = (server.json(&format!("/api/v1/{path}")), sampler(arguments, &dir));
        assert_eq!(served, printed, "{path}");
    }
    let begun = Instant::now();
    server.json("/api/v1/report");
    assert!(begun.elapsed() < Duration::from_millis(300), "a document that was made is kept");
}

#[test]
fn plots_keep_each_spike_of_the_rows_from_the_whole_time_down_to_seconds() {
    let dir = tempfile::tempdir().unwrap();
    field::write(dir.path());
    let server = Server::start(dir.path(), &[]);
    let whole = server.plots("");
    assert_eq!((&whole["format"], &whole["source"]), (&"sampler.plots.v1".into(), &"overview".into()));
    let report = sampler(&["report", "--json"], dir.path());
    let peak = |set: &Value, path: &str| -> Option<u64> {
        let plot = set["cgroups"].as_array()?.iter().find(|plot| plot["path"] == path)?;
        unpacked(&plot["columns"]["current"]).into_iter().flatten().max()
    };
    let mut compared = 0;
    for plot in report["sets"][0]["cgroups"].as_array().unwrap() {
        let path = plot["path"].as_str().unwrap();
        let (by_rows, by_overview) = (peak(&report["sets"][0], path), peak(&whole["set"], path));
        let (Some(rows), Some(overview)) = (by_rows, by_overview) else {
            panic!("{path}: {by_rows:?} {by_overview:?}")
        };
        assert!(rows.abs_diff(overview) <= rows / 1000, "{path}: {rows} and {overview} KiB");
        compared += 1;
    }
    assert!(compared > 50, "{compared}");
    let (from, to) = (whole["span_us"][0].as_i64().unwrap(), whole["span_us"][1].as_i64().unwrap());
    let middle = i64::midpoint(from, to);
    let one = whole["set"]["cgroups"][0]["path"].as_str().unwrap();
    let fine = server.plots(&format!("from={middle}&to={}&cgroup={}", middle + 60_000_000, one.replace('/', "%2F")));
    assert_eq!((&fine["source"], fine["set"]["cgroups"].as_array().unwrap().len()), (&"rows".into(), 1));
    assert_eq!(fine["set"]["cgroups"][0]["path"], one);
    assert_eq!(fine["set"]["from_us"], middle);
    let before = server.get(&format!("/api/v1/plots?from=0&to={}", from - 1));
    assert_eq!(before.status, 404, "nothing was recorded then");
}

fn unpacked(packed: &Value) -> Vec<Option<u64>> {
    let unit = packed[0].as_u64().unwrap();
    let (mut out, mut value, mut last) = (Vec::new(), 0, None);
    for step in packed[1].as_array().unwrap() {
        match step {
            Value::Array(times) => out.extend((0..times[0].as_u64().unwrap()).map(|_| last)),
            Value::Null => {
                last = None;
                out.push(last);
            }
            rise => {
                value += rise.as_i64().unwrap();
                last = Some(value as u64 * unit);
                out.push(last);
            }
        }
    }
    out
}

#[test]
fn what_is_seen_can_be_taken_away() {
    let dir = recordings().join("sibling");
    let server = Server::start(&dir, &[]);
    let plots = server.plots("");
    let path = plots["set"]["cgroups"][0]["path"].as_str().unwrap();
    let csv = server.get(&format!("/api/v1/export?format=csv&cgroup={path}"));
    let text = String::from_utf8(csv.body).unwrap();
    let at = text.lines().next().unwrap().split(',').position(|column| column == "cgroup").unwrap();
    assert!(text.lines().count() > 10 && csv.head.contains("attachment; filename=\"sampler.csv\""), "{}", csv.head);
    assert!(text.lines().skip(1).all(|line| line.split(',').nth(at) == Some(path)), "only what is seen");
    let html = server.get("/api/v1/export?format=html");
    assert!(html.body.starts_with(b"<!doctype html>") && html.body.len() > 50_000, "{}", html.head);
    let parquet = server.get(&format!("/api/v1/export?format=parquet&cgroup={path}"));
    assert!(parquet.body.starts_with(b"PAR1") && parquet.body.ends_with(b"PAR1"), "{}", parquet.head);
    assert_eq!(server.get("/api/v1/export?format=exe").status, 400);
    let left = std::fs::read_dir(std::env::temp_dir()).unwrap().flatten();
    let ours = format!("sampler-serve-{}-", server.pid());
    assert_eq!(left.filter(|entry| entry.file_name().to_string_lossy().starts_with(&ours)).count(), 0);
}

#[test]
fn each_recording_of_a_folder_can_be_chosen_and_nothing_else() {
    let server = Server::start(&recordings(), &[]);
    let list = server.json("/api/v1/recordings");
    let ids: Vec<&str> = list.as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap()).collect();
    assert!(ids.contains(&"sibling") && ids.contains(&"demo") && ids.len() > 10, "{ids:?}");
    let of = |id: &str| server.json(&format!("/api/v1/incident?recording={id}"))["incidents"][0]["verdict"].clone();
    assert_ne!(of("sibling"), of("demo"));
    for id in
        ["..", "../sibling", "sibling/..", "%2e%2e%2f..", "sibling%00", "/etc", "%2Fetc", "nothing", "sibling/journal"]
    {
        for path in ["plots", "report", "now", "export"] {
            let reply = server.get(&format!("/api/v1/{path}?recording={id}"));
            assert_eq!(reply.status, 404, "{path} of {id}: {}", String::from_utf8_lossy(&reply.body));
        }
    }
}

#[test]
fn the_description_names_each_route_with_its_parameters() {
    let server = Server::start(&recordings().join("demo"), &[]);
    let described = server.json("/api/v1/openapi.json");
    let names = |of: &Value| -> BTreeSet<String> {
        of["get"]["parameters"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap().to_owned()).collect()
    };
    let described: Vec<(String, BTreeSet<String>)> =
        described["paths"].as_object().unwrap().iter().map(|(path, of)| (path.clone(), names(of))).collect();
    let mut routes: Vec<(String, BTreeSet<String>)> = sampler::serve::ROUTES
        .iter()
        .filter(|(path, _)| path.starts_with("/api/"))
        .map(|(path, parameters)| ((*path).to_owned(), parameters.iter().map(|one| (*one).to_owned()).collect()))
        .collect();
    routes.sort();
    assert_eq!(described, routes);
    for (path, _) in &routes {
        assert_eq!(server.get(&format!("{path}?nonsense=1")).status, 400, "{path}");
        for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"] {
            let request = format!("{method} {path} HTTP/1.1\r\nHost: {}\r\nContent-Length: 0\r\n\r\n", server.address);
            assert_eq!(server.ask(&request).status, 405, "{method} {path}");
        }
    }
}

#[test]
fn the_page_brings_all_it_needs_and_may_ask_nobody_else() {
    let server = Server::start(&recordings().join("demo"), &[]);
    for path in ["/", "/page.css", "/page.js", "/uplot.js", "/api/v1/now", "/nothing"] {
        let reply = server.get(path);
        let policy = reply.header("content-security-policy").unwrap_or_default();
        assert!(policy.starts_with("default-src 'none'; script-src 'self'") && !policy.contains("unsafe"), "{path}");
        assert_eq!(reply.header("x-content-type-options"), Some("nosniff"), "{path}");
        let text = String::from_utf8_lossy(&reply.body);
        assert!(!text.contains("http://") && !text.contains("https://") || path == "/uplot.js", "{path}");
        assert!(!text.contains("<style") && !text.contains("<script>") && !text.contains(" style=\""), "{path}");
    }
    let head = server.ask(&format!("HEAD / HTTP/1.1\r\nHost: {}\r\n\r\n", server.address));
    assert_eq!((head.status, head.body.len()), (200, 0));
}

#[test]
fn another_host_a_wrong_token_and_requests_of_any_size_are_refused() {
    let server = Server::listening(&recordings().join("demo"), "0.0.0.0:0", &[]);
    let token = server.link.rsplit_once("token=").unwrap().1;
    let ask = |path: &str, host: &str, more: &str| -> Reply {
        server.ask(&format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n{more}\r\n"))
    };
    let here = server.address.to_string();
    for path in ["/", "/page.js", "/metrics", "/api/v1/recordings", "/api/v1/now", "/api/v1/live", "/nothing"] {
        assert_eq!(ask(path, &here, "").status, 401, "{path} without a token");
        assert_eq!(ask(path, &here, "Authorization: Bearer 0123\r\n").status, 401, "{path} with a wrong one");
        assert_eq!(ask(path, "evil.example", &format!("Authorization: Bearer {token}\r\n")).status, 421, "{path}");
    }
    assert_eq!(ask("/api/v1/now", &here, &format!("Authorization: Bearer {token}\r\n")).status, 200);
    assert_eq!(ask(&format!("/?token={}", "0".repeat(token.len())), &here, "").status, 401);
    let entered = ask(&format!("/?token={token}"), &here, "");
    assert_eq!((entered.status, entered.header("location")), (303, Some("/")), "the token leaves the address");
    let cookie = entered.header("set-cookie").unwrap().split(';').next().unwrap();
    assert_eq!(ask("/api/v1/now", &here, &format!("Cookie: {cookie}\r\n")).status, 200);
    let absolute = format!("GET http://evil.example/api/v1/now HTTP/1.1\r\nHost: {here}\r\nCookie: {cookie}\r\n\r\n");
    assert_eq!(server.ask(&absolute).status, 421);
    let long = format!("GET /{} HTTP/1.1\r\nHost: {here}\r\n\r\n", "a".repeat(100_000));
    assert!(![200, 303].contains(&server.ask(&long).status));
    let body = format!("GET / HTTP/1.1\r\nHost: {here}\r\nCookie: {cookie}\r\nContent-Length: 9999999999\r\n\r\n");
    assert_eq!(server.ask(&body).status, 413);
    for rubbish in ["\0\0\0\0\r\n\r\n", "GET\r\n\r\n", "GET / HTTP/9.9\r\n\r\n", "\u{16}\u{3}\u{1}\u{2}\u{0}\r\n\r\n"] {
        assert!(server.ask(rubbish).status != 200, "{rubbish:?}");
    }
    assert_eq!(ask("/api/v1/now", &here, &format!("Cookie: {cookie}\r\n")).status, 200, "it goes on");
}

/// With the recorder beside it: whatever comes, it samples as before.
#[test]
fn a_thousand_connections_and_slow_readers_touch_neither_the_sampling_nor_who_asks_properly() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("SKIPPED a_thousand_connections: needs root");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_sampler"));
    command.args(["record", "--no-names", "--no-protect", "--probe", "off", "--no-alerts", "--out"]).arg(dir.path());
    let recorder = agent::Agent::start(&mut command);
    let begun = Instant::now();
    while !sampler::store::is_recording(dir.path()) || begun.elapsed() < Duration::from_secs(1) {
        assert!(begun.elapsed() < Duration::from_secs(20));
        std::thread::sleep(Duration::from_millis(50));
    }
    let server = Server::start(dir.path(), &[]);
    server.plots("");
    let before = server.most_resident();
    let mut held = Vec::new();
    for n in 0..1000 {
        let Ok(mut stream) = std::net::TcpStream::connect_timeout(&server.address, Duration::from_secs(2)) else {
            continue;
        };
        // Some send nothing, some half of a request, some ask for much and take none of it.
        let part = ["", "GET / HT", "GET /api/v1/live HTTP/1.1\r\nHost: localhost\r\n\r\n"][n % 3];
        let _ = stream.write_all(part.as_bytes());
        held.push(stream);
    }
    assert!(held.len() > 900, "{}", held.len());
    // One that has asked for the page has it, in the end: those that watch are few, and the others are let go.
    let begun = Instant::now();
    let page = loop {
        let reply = server.get("/page.css");
        if reply.status == 200 {
            break reply;
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "nobody gets in");
        std::thread::sleep(Duration::from_millis(100));
    };
    assert!(page.body.len() > 1000);
    let descriptors = std::fs::read_dir(format!("/proc/{}/fd", server.pid())).unwrap().count();
    assert!(descriptors < 120, "{descriptors} descriptors");
    let more = server.most_resident() - before;
    assert!(more < 48 << 10, "{more} KiB more than {before}");
    std::thread::sleep(Duration::from_secs(2));
    drop((held, server));
    recorder.stop();
    let host = Command::new(env!("CARGO_BIN_EXE_sampler"))
        .args(["export", "--table=host", "--fields=agent_missed_ticks"])
        .arg(dir.path())
        .output()
        .unwrap();
    let text = String::from_utf8(host.stdout).unwrap();
    let missed: Vec<u64> = text.lines().skip(1).filter_map(|line| line.rsplit(',').next()?.parse().ok()).collect();
    assert!(missed.len() >= 3 && missed.last().unwrap() - missed[0] <= 2, "{missed:?}");
}

#[test]
fn a_recorder_serves_the_present_and_one_that_is_started_again_goes_on() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("SKIPPED a_recorder_serves_the_present: needs root");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let record = |serve: bool| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sampler"));
        command.args(["record", "--no-names", "--no-protect", "--probe", "off", "--no-alerts", "--out"]);
        command.arg(dir.path()).args(serve.then(|| format!("--serve=127.0.0.1:{port}")));
        agent::Agent::start(&mut command)
    };
    let first = record(true);
    let address = std::net::SocketAddr::from(([127, 0, 0, 1], port));
    let begun = Instant::now();
    while std::net::TcpStream::connect(address).is_err() {
        assert!(begun.elapsed() < Duration::from_secs(20), "the recorder serves");
        std::thread::sleep(Duration::from_millis(50));
    }
    // It listens for signals when it samples; its server may be there before.
    while std::fs::read_dir(dir.path().join("journal")).map_or(0, Iterator::count) == 0 {
        assert!(begun.elapsed() < Duration::from_secs(20), "the recorder records");
        std::thread::sleep(Duration::from_millis(50));
    }
    std::thread::sleep(Duration::from_secs(1));
    first.stop();
    assert!(std::net::TcpStream::connect(address).is_err(), "its server ends with it");
    let server = Server::start(dir.path(), &[]);
    let mut stream = server.connect();
    stream.write_all(b"GET /api/v1/live HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let mut until = |wanted: &str| {
        let (mut seen, begun) = (String::new(), Instant::now());
        let mut part = [0; 65536];
        while !seen.contains(wanted) {
            assert!(begun.elapsed() < Duration::from_secs(30), "no {wanted} in {seen}");
            let read = stream.read(&mut part).unwrap();
            assert!(read > 0, "the stream ended: {seen}");
            seen += &String::from_utf8_lossy(&part[..read]);
        }
    };
    until("\"is_recording\":false");
    let second = record(false);
    until("\"is_recording\":true");
    until("\"format\":\"sampler.top.v1\"");
    let now = server.json("/api/v1/now");
    assert!(now["cgroups"].as_array().is_some_and(|list| !list.is_empty()), "{now}");
    assert!(now["machine"]["total"].as_u64() > Some(1 << 20));
    second.stop();
}
