//! Stories of this machine itself, whichever hierarchy it has (memory on cgroup v1 is not to be had in the VMs): in containers
//! of a Docker daemon, and below a limit of our own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use sampler::kernel::cgroupfs::layout::{Layout, Version};

use crate::docker::Docker;
use crate::sh;

/// What records a story with this recorder, into this folder.
pub type Record = fn(&Path, &Path) -> anyhow::Result<()>;

/// A service leaks in its container until the limit that Docker set, beside one at rest.
pub fn docker_leak(sampler: &Path, out: &Path) -> anyhow::Result<()> {
    let docker = Docker::start()?;
    let limits = ["-m", "48m", "--memory-swap", "48m"];
    let of = |service: &'static str| ["--label", "com.docker.compose.project=shop", "--label", service];
    recorded(sampler, out, "/docker/**", Some(&docker.socket()), || {
        docker.container("shop-web-1", &[&limits[..], &of("com.docker.compose.service=web")].concat(), "sleep 1000")?;
        let leak =
            r#"i=0; while :; do i=$((i+1)); eval "v$i=\$(head -c 150000 /dev/zero | tr '\0' x)"; sleep 0.2; done"#;
        docker.container("shop-api-1", &[&limits[..], &of("com.docker.compose.service=api")].concat(), leak)?;
        docker.read(&["wait", "shop-api-1"]).map(drop)
    })
}

/// A container fills a tmpfs of its own, which counts against its limit.
pub fn docker_tmpfs(sampler: &Path, out: &Path) -> anyhow::Result<()> {
    let docker = Docker::start()?;
    let options = ["-m", "48m", "--memory-swap", "48m", "--tmpfs", "/cache:size=200m"];
    recorded(sampler, out, "/docker/**", Some(&docker.socket()), || {
        let fill =
            "i=0; while :; do i=$((i+1)); dd if=/dev/zero of=/cache/$i bs=64k count=8 2>/dev/null; sleep 0.5; done";
        docker.container("render", &options, fill)?;
        // The kernel takes dd and sh as they come: the container ends with the first process, at the latest.
        sleep(Duration::from_secs(75));
        Ok(())
    })
}

/// A batch job grows below a limit that it shares with a database, which is larger and stands still.
pub fn v1_sibling(sampler: &Path, out: &Path) -> anyhow::Result<()> {
    let pod = Cgroup::make("pod", Some(96 << 20))?;
    let (db, batch) = (Cgroup::make("pod/db", None)?, Cgroup::make("pod/batch", None)?);
    recorded(sampler, out, "/pod**", None, || {
        let mut database = db.start(sampler, "postgres", &["--base", "50", "--leak", "1", "--hold", "1000"])?;
        let mut job = batch.start(sampler, "batch", &["--base", "4", "--leak", "300", "--step", "6"])?;
        let begun = Instant::now();
        while database.try_wait()?.is_none() && job.try_wait()?.is_none() {
            if begun.elapsed() > Duration::from_secs(180) {
                bail!("nothing was killed below {}", pod.0.display());
            }
            sleep(Duration::from_millis(100));
        }
        sleep(Duration::from_secs(1));
        for mut child in [database, job] {
            let _ = child.kill();
            child.wait()?;
        }
        Ok(())
    })
}

/// Records while a story happens, and a little before and after.
fn recorded(
    sampler: &Path,
    out: &Path,
    cgroups: &str,
    docker: Option<&Path>,
    happens: impl FnOnce() -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut agent = Command::new(sampler);
    agent.args([
        "record",
        "--interval",
        "100ms",
        "--burst",
        "20ms",
        "--seal-every",
        "1h",
        "--cgroup",
        cgroups,
        "--out",
    ]);
    agent.arg(out).stderr(Stdio::null());
    match docker {
        Some(socket) => agent.arg("--docker-socket").arg(socket),
        None => agent.arg("--no-names"),
    };
    let agent = agent.spawn().context("start sampler")?;
    sleep(Duration::from_secs(3));
    let happened = happens();
    sleep(Duration::from_secs(5));
    sh::stop(agent)?;
    happened
}

/// A cgroup that goes away again.
struct Cgroup(PathBuf);

impl Cgroup {
    fn make(name: &str, limit: Option<u64>) -> anyhow::Result<Cgroup> {
        let layout = Layout::detect()?;
        let folder = layout.memory.join(name);
        fs::create_dir(&folder).with_context(|| format!("make {}", folder.display()))?;
        let cgroup = Cgroup(folder);
        let is_v2 = layout.version == Version::V2;
        if let Some(limit) = limit {
            let file = if is_v2 { "memory.max" } else { "memory.limit_in_bytes" };
            fs::write(cgroup.0.join(file), limit.to_string()).with_context(|| format!("set {file} of {name}"))?;
            if is_v2 {
                fs::write(cgroup.0.join("cgroup.subtree_control"), "+memory +pids")?;
            }
        }
        Ok(cgroup)
    }

    /// Starts the recorder's own load in it, under a name.
    fn start(&self, sampler: &Path, name: &str, load: &[&str]) -> anyhow::Result<Child> {
        let program = std::env::temp_dir().join(name);
        let _ = fs::remove_file(&program);
        std::os::unix::fs::symlink(sampler, &program).with_context(|| format!("name {}", program.display()))?;
        let mut command = Command::new("sh");
        command.args(["-c", "echo $$ > \"$0\" && exec \"$@\""]).arg(self.0.join("cgroup.procs"));
        let child = command.arg(&program).arg("demo").args(load).spawn().with_context(|| format!("start {name}"));
        // It keeps the name that it was started by.
        sleep(Duration::from_millis(300));
        let _ = fs::remove_file(&program);
        child
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        for _ in 0..20 {
            if fs::remove_dir(&self.0).is_ok() {
                break;
            }
            sleep(Duration::from_millis(250));
        }
    }
}
