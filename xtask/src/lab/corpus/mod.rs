//! The live corpus: real programs, each in a cgroup of its own, recorded by our own recorder. What is true of each is known
//! because the programs are made to do it.

mod cell;
mod plan;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, bail};
use cell::{Cell, PARENT};
use plan::{Limit, Plan, Program};
use sampler::kernel::cgroupfs::layout::Layout;
use serde_json::{Value, json};

use crate::sh;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Where to: the recording, and corpus.json with what is true of it.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Length of each trace.
    #[arg(long, default_value_t = 32.0)]
    minutes: f64,
    /// Which programs: the first table, or the services that were written later.
    #[arg(long, value_enum, default_value = "programs")]
    set: Set,
    /// Only mechanisms whose name contains this.
    #[arg(long, default_value = "")]
    only: String,
    /// List what would be run, and the part it belongs to.
    #[arg(long)]
    list: bool,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Set {
    Programs,
    Services,
}

/// One trace.
struct Trace {
    plan: &'static Plan,
    name: String,
    rate: f64,
    limit: Limit,
    limit_bytes: Option<u64>,
    seed: usize,
    begin_us: i64,
    end_us: Option<i64>,
    restarts: usize,
}

fn now_us() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as i64)
}

fn traces(set: Set, only: &str, span_s: f64) -> Vec<Trace> {
    let mut list = Vec::new();
    let table = match set {
        Set::Programs => plan::TABLE,
        Set::Services => plan::SERVICES,
    };
    for plan in table.iter().filter(|plan| plan.mechanism.contains(only)) {
        for (i, &(rate, limit)) in plan.runs.iter().enumerate() {
            let limit_bytes = match limit {
                Limit::None => None,
                Limit::Mib(mib) | Limit::Restarts(mib) => Some(mib << 20),
                Limit::After(part, level) => {
                    let grows = rate * 1024.0 * span_s * (part - plan.onset);
                    Some(((level * 1048576.0 + grows) as u64).next_multiple_of(4096))
                }
            };
            let name = format!("{}-{}", plan.mechanism, i + 1);
            let seed = list.len() * 7 + 11;
            list.push(Trace { plan, name, rate, limit, limit_bytes, seed, begin_us: 0, end_us: None, restarts: 0 });
        }
    }
    list
}

/// Folders and what was built in them.
struct Workshop {
    home: PathBuf,
    shm: PathBuf,
    span_s: f64,
}

impl Workshop {
    fn open(span_s: f64) -> anyhow::Result<Workshop> {
        sh::install(&[
            ("redis-server", "redis-server"),
            ("nginx", "nginx-light"),
            ("node", "nodejs"),
            ("javac", "default-jdk-headless"),
            ("psql", "postgresql"),
            ("gcc", "gcc"),
            ("setpriv", "util-linux"),
            ("go", "golang-go"),
            ("memcached", "memcached"),
        ])?;
        let id = std::process::id();
        let home = std::env::temp_dir().join(format!("sampler-corpus-{id}"));
        let shm = PathBuf::from(format!("/dev/shm/sampler-corpus-{id}"));
        for folder in [&home, &shm] {
            fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
        }
        let sources = [
            ("held.c", include_str!("programs/held.c")),
            ("held.py", include_str!("programs/held.py")),
            ("held.js", include_str!("programs/held.js")),
            ("Held.java", include_str!("programs/Held.java")),
            ("service.c", include_str!("programs/service.c")),
            ("service.py", include_str!("programs/service.py")),
            ("service.js", include_str!("programs/service.js")),
            ("Service.java", include_str!("programs/Service.java")),
            ("service.go", include_str!("programs/service.go")),
            ("service.pl", include_str!("programs/service.pl")),
            ("clients.py", include_str!("programs/clients.py")),
            ("files.py", include_str!("programs/files.py")),
        ];
        for (name, text) in sources {
            fs::write(home.join(name), text)?;
        }
        let workshop = Workshop { home, shm, span_s };
        let built = |words: &str| {
            let mut words = words.split_whitespace();
            let mut command = Command::new(words.next().unwrap_or_default());
            sh::run(command.current_dir(&workshop.home).env("GOCACHE", workshop.home.join("go")).args(words))
        };
        built("gcc -O1 -o held held.c -lm")?;
        built("gcc -O1 -o service service.c -lm")?;
        built("javac Held.java Service.java")?;
        built("go build -o service-go service.go")?;
        Ok(workshop)
    }

    fn path(&self, name: &str) -> String {
        self.home.join(name).display().to_string()
    }

    /// The command of a trace, and how its clients reach it.
    fn command(&self, trace: &Trace, port: usize) -> anyhow::Result<(Vec<String>, Option<String>)> {
        let Trace { plan, name, .. } = trace;
        let own = self.home.join(name);
        fs::create_dir_all(&own)?;
        let own_text = own.display().to_string();
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let tail = format!("{} {} {} {}", plan.mode, trace.rate, self.span_s, trace.seed);
        Ok(match plan.program {
            Program::C => {
                if plan.mode.contains("read") {
                    self.big_file(&own_text, trace.rate * self.span_s * 1.1)?;
                }
                (words(&format!("{} {tail} {own_text}", self.path(plan.source))), None)
            }
            Program::Python => {
                let folder = if plan.mode.starts_with("tmpfs") { self.shm.join(name) } else { own };
                fs::create_dir_all(&folder)?;
                if plan.mode == "map-file" {
                    self.big_file(&own_text, trace.rate * self.span_s * 0.5)?;
                }
                let source = self.path(&format!("{}.py", plan.source));
                (words(&format!("python3 {source} {tail} {}", folder.display())), None)
            }
            Program::Node if plan.source == "service" => {
                (words(&format!("node --max-old-space-size=300 {} {tail}", self.path("service.js"))), None)
            }
            Program::Node => (words(&format!("node --expose-gc {} {tail}", self.path("held.js"))), None),
            Program::Go => (words(&format!("{} {tail}", self.path("service-go"))), None),
            Program::Perl => (words(&format!("perl {} {tail}", self.path("service.pl"))), None),
            Program::Java if plan.source == "service" => {
                let flags =
                    if trace.seed.is_multiple_of(2) { "-XX:+UseG1GC -Xmx300m" } else { "-XX:+UseSerialGC -Xmx300m" };
                (words(&format!("java {flags} -Xss256k -cp {} Service {tail}", self.home.display())), None)
            }
            Program::Memcached => {
                let socket = format!("{own_text}/socket");
                let most = trace.rate * self.span_s * 0.4 / 1024.0;
                (words(&format!("memcached -u root -s {socket} -m {most:.0} -t 1")), Some(socket))
            }
            Program::Java => {
                // Half of the collectors give memory back to the kernel, half do not.
                let collector = if plan.mode == "gc" && trace.name.ends_with("-2") {
                    "-XX:+UseG1GC -XX:G1PeriodicGCInterval=20000 -Xms8m -Xmx128m"
                } else {
                    "-XX:+UseSerialGC -Xms24m -Xmn12m -Xmx220m"
                };
                let flags = "-XX:TieredStopAtLevel=1 -Xss256k";
                (words(&format!("java {flags} {collector} -cp {} Held {tail}", self.home.display())), None)
            }
            Program::Redis => {
                let socket = format!("{own_text}/socket");
                let most = if plan.mode == "redis-lru" { trace.rate * self.span_s * 0.45 / 1024.0 } else { 0.0 };
                let line = format!(
                    "redis-server --port 0 --unixsocket {socket} --save --appendonly no --dir {own_text} --maxmemory {most:.0}mb --maxmemory-policy allkeys-lru"
                );
                let line = line.replace("--save ", "--save \u{1} ");
                let words = words(&line).into_iter().map(|w| if w == "\u{1}" { String::new() } else { w }).collect();
                (words, Some(socket))
            }
            Program::Postgres => {
                self.make_database(&own)?;
                let line = format!(
                    "setpriv --reuid postgres --regid postgres --clear-groups postgres -D {own_text}/db -k {own_text} -c listen_addresses= -c max_connections=200 -c shared_buffers=64MB -c huge_pages=off"
                );
                (words(&line), Some(own_text))
            }
            Program::Nginx => {
                fs::create_dir_all(own.join("files"))?;
                sh::run(Command::new("python3").arg(self.path("files.py")).args([
                    &format!("{own_text}/files"),
                    "1600",
                    "40",
                ]))?;
                fs::write(own.join("index.html"), "hello")?;
                let text = format!(
                    "user root; worker_processes 1; daemon off; pid {own_text}/pid; error_log {own_text}/error.log;\n\
                     events {{}}\nhttp {{ access_log off; server {{ listen 127.0.0.1:{port}; root {own_text}; }} }}\n"
                );
                fs::write(own.join("nginx.conf"), text)?;
                (words(&format!("nginx -c {own_text}/nginx.conf -p {own_text}")), Some(port.to_string()))
            }
        })
    }

    /// A file of this many KiB, which who reads it is charged for.
    fn big_file(&self, folder: &str, kib: f64) -> anyhow::Result<()> {
        sh::run(Command::new("python3").arg(self.path("files.py")).args([folder, "1", &format!("{kib:.0}")]))
    }

    /// A database with a table that is on disk and in nobody's memory.
    fn make_database(&self, own: &Path) -> anyhow::Result<()> {
        sh::run(Command::new("chown").arg("postgres").arg(own))?;
        let script = "set -e; bin=$(dirname \"$(readlink -f \"$(command -v initdb || ls /usr/lib/postgresql/*/bin/initdb | tail -1)\")\"); \
            PATH=$bin:$PATH; cd \"$0\"; initdb --no-sync -A trust -U postgres -D db; \
            pg_ctl -D db -w -o \"-k $0 -c listen_addresses=\" -l log start; \
            psql -h \"$0\" -U postgres -d postgres -c \"create table t (id int primary key, body text)\" \
            -c \"insert into t select i, repeat('x', 900) from generate_series(1, 60000) i\" -c \"vacuum analyze t\"; \
            pg_ctl -D db -w stop";
        let mut command = Command::new("setpriv");
        command.args(["--reuid", "postgres", "--regid", "postgres", "--clear-groups", "sh", "-c", script]).arg(own);
        sh::run(command.stdout(Stdio::null()).stderr(Stdio::null()))
    }
}

impl Drop for Workshop {
    fn drop(&mut self) {
        for folder in [&self.home, &self.shm] {
            let _ = fs::remove_dir_all(folder);
        }
    }
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    let span_s = args.minutes * 60.0;
    let mut traces = traces(args.set, &args.only, span_s);
    if args.list {
        for trace in &traces {
            let limit = trace.limit_bytes.map_or_else(|| "no limit".into(), |b| format!("limit {} MiB", b >> 20));
            println!("{} {:<28} {:?}, {limit}", plan::part(trace.plan.mechanism), trace.name, trace.plan.class);
        }
        return Ok(());
    }
    if traces.is_empty() {
        bail!("no mechanism has `{}` in its name; --list lists them", args.only);
    }
    let layout = Layout::detect()?;
    cell::check_alone(&layout)?;
    let sampler = sh::sampler()?;
    let workshop = Workshop::open(span_s)?;
    fs::create_dir_all(&args.out).with_context(|| format!("make {}", args.out.display()))?;
    let mut plans = Vec::new();
    let mut commands = BTreeMap::new();
    for (i, trace) in traces.iter().enumerate() {
        let (command, address) = workshop.command(trace, 18_080 + i)?;
        plans.extend(address.map(|address| format!("{}:{}:{}:{address}", trace.plan.mode, trace.rate, trace.seed)));
        commands.insert(trace.name.clone(), command);
    }
    let mut agent = Command::new(&sampler);
    agent.args(["record", "--interval", "1s", "--slow-interval", "1s", "--probe", "off", "--no-processes"]);
    agent.args(["--cgroup", &format!("/{PARENT}/*"), "--out"]).arg(&args.out);
    let agent = agent.stderr(fs::File::create(args.out.join("agent.log"))?).spawn().context("start sampler")?;
    sleep(Duration::from_secs(2));
    let mut cells: Vec<Cell> = Vec::new();
    let log = |name: &str| args.out.join(format!("{name}.log"));
    for trace in &mut traces {
        let mut cell = Cell::make(&layout, &trace.name, trace.limit_bytes)?;
        trace.begin_us = now_us();
        cell.start(&commands[&trace.name], &log(&trace.name))?;
        cells.push(cell);
        sleep(Duration::from_millis(300));
    }
    let clients = clients(&workshop, &plans, &log("clients"))?;
    println!("{} programs run for {} min", traces.len(), args.minutes);
    let begun = Instant::now();
    while begun.elapsed().as_secs_f64() < span_s {
        for (trace, cell) in traces.iter_mut().zip(&mut cells) {
            if trace.end_us.is_none() && cell.has_ended()? {
                if matches!(trace.limit, Limit::Restarts(_)) {
                    trace.restarts += 1;
                    cell.start(&commands[&trace.name], &log(&trace.name))?;
                } else {
                    trace.end_us = Some(now_us());
                    println!("{:.0} s: {} has ended", begun.elapsed().as_secs_f64(), trace.name);
                }
            }
        }
        sleep(Duration::from_millis(500));
    }
    let end_us = now_us();
    sh::stop(agent)?;
    if let Some(mut clients) = clients {
        clients.kill()?;
        clients.wait()?;
    }
    drop(cells);
    let _ = fs::remove_dir(layout.memory.join(PARENT));
    for root in [&layout.cpuacct, &layout.pids].into_iter().flatten() {
        let _ = fs::remove_dir(root.join(PARENT));
    }
    let list: Vec<Value> = traces.iter().map(|trace| truth(trace, span_s, end_us)).collect();
    let document = json!({ "format": "sampler.corpus.v1", "minutes": args.minutes, "traces": list });
    let path = args.out.join("corpus.json");
    fs::write(&path, serde_json::to_string_pretty(&document)? + "\n")
        .with_context(|| format!("write {}", path.display()))?;
    println!("{}: what is true of {} traces", path.display(), traces.len());
    Ok(())
}

fn clients(workshop: &Workshop, plans: &[String], log: &Path) -> anyhow::Result<Option<Child>> {
    if plans.is_empty() {
        return Ok(None);
    }
    let mut command = Command::new("nice");
    command.args(["-n", "10", "python3", &workshop.path("clients.py"), &workshop.span_s.to_string()]).args(plans);
    Ok(Some(command.stdin(Stdio::null()).stderr(fs::File::create(log)?).spawn().context("start the clients")?))
}

/// What is true of a trace: known from what was asked for, and from when it ended.
fn truth(trace: &Trace, span_s: f64, end_us: i64) -> Value {
    let Trace { plan, .. } = trace;
    let is_leak = plan.class == sampler::analysis::leak::detectors::Class::Leak;
    let onset_us = is_leak.then(|| trace.begin_us + (plan.onset * span_s * 1e6) as i64);
    json!({
        "name": trace.name,
        "cgroup": format!("/{PARENT}/{}", trace.name),
        "mechanism": plan.mechanism,
        "part": plan::part(plan.mechanism),
        "class": plan.class,
        "also": plan.also,
        "components": plan.components,
        "rate_bytes_per_s": (is_leak && plan.exact).then_some(trace.rate * 1024.0),
        "limit_bytes": trace.limit_bytes,
        "begin_us": trace.begin_us,
        "onset_us": onset_us,
        "end_us": trace.end_us.unwrap_or(end_us),
        "killed": trace.end_us.is_some() && is_leak,
        "restarts": trace.restarts,
    })
}
