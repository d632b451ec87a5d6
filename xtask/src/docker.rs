//! A Docker daemon of our own, without network, and the recording of its containers from end to end.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process};
use sampler::kernel::cgroupfs::layout::{Layout, Version};
use serde_json::Value;

use crate::sh;

/// The client that comes with the daemon.
pub const CLIENT: &str = "/usr/bin/docker";

/// The daemon, with its data in a folder that goes away with it.
pub struct Docker {
    home: PathBuf,
    daemon: Child,
    /// The cgroup of the daemon and its helpers, for their CPU time.
    pub cgroup: CpuCgroup,
}

impl Docker {
    /// Starts the daemon, which is installed where it is missing, and gives it an image `box` with busybox.
    pub fn start() -> anyhow::Result<Docker> {
        sh::install(&[("dockerd", "docker.io"), ("busybox", "busybox-static")])?;
        let home = std::env::temp_dir().join(format!("sampler-docker-{}", std::process::id()));
        fs::create_dir_all(&home).with_context(|| format!("make {}", home.display()))?;
        let cgroup = CpuCgroup::make(&format!("sampler-dockerd-{}", std::process::id()))?;
        let log = File::create(home.join("log"))?;
        let daemon = cgroup
            .command("/usr/sbin/dockerd")
            .args(["--iptables=false", "--ip6tables=false", "--bridge=none", "--data-root"])
            .arg(home.join("data"))
            .arg("--exec-root")
            .arg(home.join("exec"))
            .arg("--pidfile")
            .arg(home.join("pid"))
            .arg("-H")
            .arg(format!("unix://{}/socket", home.display()))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("start dockerd")?;
        let docker = Docker { home, daemon, cgroup };
        let begun = Instant::now();
        while docker.read(&["version"]).is_err() {
            if begun.elapsed() > Duration::from_secs(60) {
                let log = fs::read_to_string(docker.home.join("log")).unwrap_or_default();
                let tail: Vec<&str> = log.lines().rev().take(5).collect();
                bail!("dockerd does not answer: {tail:?}");
            }
            sleep(Duration::from_millis(200));
        }
        let root = docker.home.join("box");
        fs::create_dir_all(root.join("bin"))?;
        for name in ["busybox", "sh", "sleep", "head", "tail", "tr", "dd", "cat"] {
            fs::copy("/bin/busybox", root.join("bin").join(name))?;
        }
        let tar = docker.home.join("box.tar");
        sh::run(Command::new("tar").arg("-C").arg(&root).arg("-cf").arg(&tar).arg("."))?;
        docker.read(&["import", &tar.display().to_string(), "box"])?;
        Ok(docker)
    }

    /// Where it listens.
    pub fn socket(&self) -> PathBuf {
        self.home.join("socket")
    }

    /// `docker ARGS`.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(CLIENT);
        command.arg("-H").arg(format!("unix://{}", self.socket().display())).args(args);
        command
    }

    /// `docker ARGS`, and what it prints.
    pub fn read(&self, args: &[&str]) -> anyhow::Result<String> {
        Ok(sh::read(&mut self.command(args))?.trim().to_owned())
    }

    /// Runs a container in the background and gives its id.
    pub fn container(&self, name: &str, options: &[&str], shell: &str) -> anyhow::Result<String> {
        let head = ["run", "-d", "--network", "none", "--name", name];
        self.read(&[&head, options, &["box", "sh", "-c", shell]].concat())
    }
}

impl Drop for Docker {
    fn drop(&mut self) {
        if let Ok(ids) = self.read(&["ps", "-aq"]) {
            let ids: Vec<&str> = ids.split_whitespace().collect();
            if !ids.is_empty() {
                let _ = self.read(&[&["rm", "-f"], &ids[..]].concat());
            }
        }
        let _ = kill_process(Pid::from_child(&self.daemon), Signal::TERM);
        let _ = self.daemon.wait();
        // Its mounts end a moment after it.
        for _ in 0..20 {
            if fs::remove_dir_all(&self.home).is_ok() {
                break;
            }
            sleep(Duration::from_millis(250));
        }
    }
}

/// What `advise` says of the recording, and whether the daemon takes its line.
fn advised(docker: &Docker, sampler: &Path, out: &Path) -> anyhow::Result<[(&'static str, bool, String); 3]> {
    let mut command = Command::new(sampler);
    command.arg("advise").arg(out).args(["--json", "--docker-socket"]).arg(docker.socket());
    let advice: Value = serde_json::from_str(&sh::read(&mut command)?)?;
    let of = |title: &str| {
        advice["containers"].as_array().into_iter().flatten().find(|c| c["title"] == title).cloned().unwrap_or_default()
    };
    let (leak, busy) = (of("shop/web"), of("busy"));
    // It lived for seconds: a leak keeps its limit, what may be a burst gets half as much again and no more.
    let kept = match leak["state"].as_str() {
        Some("leak") => leak["after"] == 32 << 20,
        state => state == Some("too-low") && leak["after"] == 48 << 20,
    };
    let lines: Vec<&str> = advice["docker_update"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let line = lines.iter().find(|line| line.ends_with(" busy")).copied().unwrap_or_default();
    let words: Vec<&str> = line.split(' ').skip(1).collect();
    let taken = docker.read(&words).and_then(|_| docker.read(&["inspect", "-f", "{{.HostConfig.Memory}}", "busy"]));
    let taken = taken.unwrap_or_else(|error| format!("{error:#}"));
    let checks = advice["checks"].as_array().into_iter().flatten();
    let kept_by_docker: Vec<&Value> = checks.filter(|check| check["check"] == "leftovers").collect();
    let listed = kept_by_docker.iter().any(|check| check["change"][0] == "docker container prune");
    Ok([
        ("a kill is answered within a bound", kept, format!("{} {}", leak["state"], leak["after"])),
        (
            "the daemon takes the line of advise",
            busy["after"].as_u64().is_some_and(|after| taken.parse() == Ok(after)),
            format!("{line}: {taken}"),
        ),
        ("containers that ended are listed", listed, format!("{kept_by_docker:?}")),
    ])
}

/// A cgroup that counts the CPU time of what runs in it.
pub struct CpuCgroup {
    folder: PathBuf,
    usage: PathBuf,
}

impl CpuCgroup {
    /// Makes it below the root of the hierarchy that counts.
    pub fn make(name: &str) -> anyhow::Result<CpuCgroup> {
        let layout = Layout::detect()?;
        let (root, file) = match layout.version {
            Version::V1 => (layout.cpuacct.context("no cpuacct hierarchy")?, "cpuacct.usage"),
            Version::V2 => (layout.memory, "cpu.stat"),
        };
        let folder = root.join(name);
        fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
        Ok(CpuCgroup { usage: folder.join(file), folder })
    }

    /// A command that runs inside.
    pub fn command(&self, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", "echo $$ > \"$0\" && exec \"$@\""]);
        command.arg(self.folder.join("cgroup.procs")).arg(program.as_ref());
        command
    }

    /// CPU time so far, milliseconds.
    pub fn cpu_ms(&self) -> anyhow::Result<f64> {
        let text = fs::read_to_string(&self.usage).with_context(|| format!("read {}", self.usage.display()))?;
        let number = text.trim_start_matches("usage_usec ").split_whitespace().next().unwrap_or_default();
        let value: f64 = number.parse().with_context(|| format!("read a number in {}", self.usage.display()))?;
        Ok(if text.starts_with("usage_usec") { value / 1e3 } else { value / 1e6 })
    }
}

impl Drop for CpuCgroup {
    fn drop(&mut self) {
        for _ in 0..20 {
            if fs::remove_dir(&self.folder).is_ok() {
                break;
            }
            sleep(Duration::from_millis(250));
        }
    }
}

/// Limits of a container that is killed before it has lived 50 ms.
const DOOMED: &[&str] = &["-m", "16m", "--memory-swap", "16m"];
/// Eats 16 MiB at once.
const EATS: &str = "exec tail -c 100000000 /dev/zero";

/// Records real containers: one that rests, one that works, one that leaks into its limit, one that is gone in a moment.
pub fn run() -> anyhow::Result<()> {
    let sampler = sh::sampler()?;
    let docker = Docker::start()?;
    let idle = docker.container("idle", &[], "sleep 1000")?;
    let out = docker.home.join("recording");
    let mut agent = Command::new(&sampler);
    agent.args(["record", "--interval", "20ms", "--cgroup", "/docker/**", "--docker-socket"]);
    agent.arg(docker.socket()).arg("--out").arg(&out).stderr(Stdio::null());
    let agent = agent.spawn().context("start sampler")?;
    sleep(Duration::from_secs(2));
    let busy = "while :; do head -c 8000000 /dev/zero | tr '\\0' x > /dev/null; sleep 0.05; done";
    let busy = docker.container("busy", &["-m", "64m"], busy)?;
    // In small pieces, so that the last sample before the kill stands close to the limit.
    let leak = r#"i=0; while :; do i=$((i+1)); eval "v$i=\$(head -c 50000 /dev/zero | tr '\0' x)"; done"#;
    let labels = ["--label", "com.docker.compose.project=shop", "--label", "com.docker.compose.service=web"];
    let limits = ["-m", "32m", "--memory-swap", "32m"];
    let leak = docker.container("shop-web-1", &[&limits[..], &labels].concat(), leak)?;
    let brief = docker.container("brief", &[], "sleep 0.05")?;
    let doomed = docker.container("doomed", DOOMED, &format!("sleep 0.03; {EATS}"))?;
    let removed = docker.container("removed", &[DOOMED, &["--rm"]].concat(), &format!("sleep 0.03; {EATS}"))?;
    let code = docker.read(&["wait", "shop-web-1"])?;
    let killed = docker.read(&["inspect", "-f", "{{.State.OOMKilled}}", "shop-web-1"])?;
    sleep(Duration::from_secs(4));
    sh::stop(agent)?;
    let info: Value = serde_json::from_str(&sh::read(Command::new(&sampler).args(["info", "--json"]).arg(&out))?)?;

    let mut failed = 0;
    let mut check = |what: &str, holds: bool, detail: String| {
        failed += u32::from(!holds);
        println!("{} {what}: {detail}", if holds { "ok  " } else { "FAIL" });
    };
    let path = |id: &str| format!("/docker/{id}");
    let cgroup = |id: &str| info["cgroups"].as_array().into_iter().flatten().find(|c| c["path"] == path(id).as_str());
    check("the daemon saw the kill", code == "137" && killed == "true", format!("exit {code}, OOMKilled {killed}"));
    let kills = info["oom_kills"].as_array().cloned().unwrap_or_default();
    let of =
        |id: &str| kills.iter().find(|kill| kill["victim_cgroup"] == path(id).as_str()).cloned().unwrap_or_default();
    for (id, name) in [(&doomed, "doomed"), (&removed, "removed"), (&leak, "shop/web")] {
        let kill = of(id);
        check("a kill has the name of its container", kill["name"] == name, format!("{name}: {}", kill["name"]));
    }
    for (id, name) in [(&idle, "idle"), (&leak, "shop/web")] {
        let one = cgroup(id).unwrap_or(&Value::Null);
        let image = one["identity"]["image"] == "box";
        check(
            "a cgroup has the name of its container",
            one["name"] == name && image,
            format!("{name}: {}", one["name"]),
        );
    }
    let kill = of(&leak);
    let owner = kill["limit_cgroup"] == path(&leak).as_str() && kill["victim_cgroup"] == path(&leak).as_str();
    check(
        "three kills, the leak by its own limit",
        kills.len() == 3 && owner,
        format!("witnesses {}", kill["witnesses"]),
    );
    let peak = cgroup(&leak).and_then(|c| c["peak_bytes"].as_u64()).unwrap_or(0);
    check("the leak was followed to its limit", peak > 31 << 20 && peak <= 32 << 20, format!("peak {peak} bytes"));
    for (name, id, least) in [("idle", &idle, 100), ("busy", &busy, 100), ("brief", &brief, 1)] {
        let rows = cgroup(id).and_then(|c| c["rows"].as_u64()).unwrap_or(0);
        check(name, rows >= least, format!("{rows} rows"));
    }
    for (what, holds, detail) in advised(&docker, &sampler, &out)? {
        check(what, holds, detail);
    }
    check("nothing to complain of", info["problems"] == serde_json::json!([]), info["problems"].to_string());
    guard(&docker, &sampler, &mut check)?;
    if failed > 0 {
        bail!("{failed} checks failed");
    }
    Ok(())
}

/// A container that rises over its limit beside the guard: it lives, and Docker knows the limit that it has, then and after.
fn guard(docker: &Docker, sampler: &Path, check: &mut impl FnMut(&str, bool, String)) -> anyhow::Result<()> {
    let memory = || docker.read(&["inspect", "-f", "{{.HostConfig.Memory}} {{.HostConfig.MemorySwap}}", "rises"]);
    let out = docker.home.join("guarded");
    let mut agent = Command::new(sampler);
    agent.args(["guard", "--apply", "--budget", "256M", "--reserve", "16M", "--probe", "off", "--docker-socket"]);
    let agent = agent.arg(docker.socket()).arg("--out").arg(&out).stderr(Stdio::null()).spawn();
    let agent = agent.context("start sampler")?;
    sleep(Duration::from_secs(2));
    let rises = r#"i=0; while [ $i -lt 800 ]; do i=$((i+1)); eval "v$i=\$(head -c 50000 /dev/zero | tr '\0' x)"; done; sleep 1000"#;
    let id = docker.container("rises", &["-m", "32m", "--memory-swap", "48m"], rises)?;
    sleep(Duration::from_secs(20));
    let running = docker.read(&["inspect", "-f", "{{.State.Running}}", "rises"])?;
    let layout = Layout::detect()?;
    let file = if layout.version == Version::V2 { "memory.max" } else { "memory.limit_in_bytes" };
    let path = layout.memory.join("docker").join(&id).join(file);
    let limit = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    let limit: u64 = limit.trim().parse().with_context(|| format!("read a number in {}", path.display()))?;
    check("the guard has kept it alive", running == "true" && limit > 32 << 20, format!("{running}, limit {limit}"));
    let known = memory()?;
    check("Docker knows its limit", known == format!("{limit} {}", limit + (16 << 20)), known);
    sh::stop(agent)?;
    let mut export = Command::new(sampler);
    export.args(["export", "--table", "events", "--format", "jsonl"]).arg(&out);
    let events = sh::read(&mut export)?;
    let of = |action: &str| {
        let named =
            |line: &&str| line.contains("\"kind\":\"guard\"") && line.contains(&format!("\"action\":\"{action}\""));
        events.lines().filter(named).count()
    };
    let (raised, notified) = (of("raise"), of("tell_runtime"));
    check(
        "all of it is recorded",
        raised > 0 && notified > 0,
        format!("{raised} raises, Docker notified {notified} times"),
    );
    Ok(())
}
