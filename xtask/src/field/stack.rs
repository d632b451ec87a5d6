//! The containers of the field: their image, their Compose file, and what is beside them.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{JoinHandle, sleep};
use std::time::Duration;

use anyhow::{Context, bail};

use crate::docker::Docker;
use crate::sh;

/// Project of the Compose file.
pub const PROJECT: &str = "field";
/// The memory hierarchy; its v2 sibling is `cargo xtask vm --scenario field`.
pub const MEMORY: &str = "/sys/fs/cgroup/memory";
/// The parent of two of the services, and its limit.
pub const POD: &str = "field-pod";
const POD_LIMIT: &str = "100663296";
/// Below it cgroups are made and removed.
const NOISE: &str = "field-noise";

/// Everything that runs. All of it goes away with it.
pub struct Stack {
    pub docker: Docker,
    home: PathBuf,
    files: PathBuf,
    noise: Option<(Arc<AtomicBool>, JoinHandle<()>)>,
}

/// Where the Compose file and the truths are.
pub fn data() -> PathBuf {
    sh::root().join("data/field")
}

impl Stack {
    /// Starts the daemon, and makes the image and the files that its containers need.
    pub fn begin(home: &Path) -> anyhow::Result<Stack> {
        if !Path::new(MEMORY).join("memory.limit_in_bytes").exists() {
            bail!("the field needs memory on cgroup v1; `cargo xtask vm --scenario field` is the one of v2");
        }
        sh::install(&[
            ("docker-compose", "docker-compose"),
            ("python3", "python3"),
            ("node", "nodejs"),
            ("javac", "openjdk-17-jdk-headless"),
        ])?;
        let docker = Docker::start()?;
        let stack = Stack { docker, home: home.to_owned(), files: home.join("files"), noise: None };
        stack.image()?;
        let pages = stack.files.join("pages");
        fs::create_dir_all(&pages).with_context(|| format!("make {}", pages.display()))?;
        // Written, then out of the cache again, which would be charged to who wrote them.
        let write = "for f in $(seq 30); do dd if=/dev/zero of=\"$0/$f\" bs=4M count=1 conv=fsync status=none \
            && dd of=\"$0/$f\" oflag=nocache conv=notrunc,fdatasync count=0 status=none || exit; done";
        sh::run(Command::new("sh").args(["-c", write]).arg(&pages))?;
        let heap = data().join("programs/Heap.java");
        sh::run(Command::new("javac").arg("-d").arg(stack.files.join("classes")).arg(heap))?;
        let pod = Path::new(MEMORY).join(POD);
        fs::create_dir_all(&pod).with_context(|| format!("make {}", pod.display()))?;
        fs::write(pod.join("memory.limit_in_bytes"), POD_LIMIT).context("limit the pod")?;
        Ok(stack)
    }

    /// An image of links: the programs are the machine's, mounted by the Compose file.
    fn image(&self) -> anyhow::Result<()> {
        let root = self.home.join("image");
        for folder in ["usr", "etc", "tmp", "proc", "sys", "dev", "files", "programs"] {
            fs::create_dir_all(root.join(folder)).with_context(|| format!("make {folder} of the image"))?;
        }
        for name in ["bin", "sbin", "lib", "lib64"] {
            symlink(format!("usr/{name}"), root.join(name)).with_context(|| format!("link {name} of the image"))?;
        }
        // Debian's Java is found by a link in /etc, and has its settings there.
        let copy = "for f in alternatives java-*; do [ ! -e \"$f\" ] || cp -a \"$f\" \"$0\"; done";
        sh::run(Command::new("sh").args(["-c", copy]).arg(root.join("etc")).current_dir("/etc"))?;
        let tar = self.home.join("image.tar");
        sh::run(Command::new("tar").arg("-C").arg(&root).arg("-cf").arg(&tar).arg("."))?;
        self.docker.read(&["import", &tar.display().to_string(), "field"]).map(drop)
    }

    /// `docker-compose ARGS`.
    pub fn compose(&self, args: &[&str]) -> Command {
        let mut command = Command::new("docker-compose");
        command.env("DOCKER_HOST", format!("unix://{}", self.docker.socket().display()));
        command.env("FIELD_FILES", &self.files);
        command.arg("-f").arg(data().join("docker-compose.yml")).args(["-p", PROJECT]).args(args);
        command.stdin(Stdio::null());
        command
    }

    /// Every service.
    pub fn services(&self) -> anyhow::Result<Vec<String>> {
        let args = ["--profile", "hand", "--profile", "long", "config", "--services"];
        Ok(sh::read(&mut self.compose(&args))?.split_whitespace().map(str::to_owned).collect())
    }

    /// Starts the containers.
    pub fn up(&self, long: bool) -> anyhow::Result<()> {
        let args: &[&str] = if long { &["--profile", "long", "up", "-d"] } else { &["up", "-d"] };
        sh::read(self.compose(args).stderr(Stdio::piped())).map(drop)
    }

    /// Starts a service that goes away with its end, and waits for it. It is killed: what it ends with is as it may be.
    pub fn once(&self, service: &str) -> anyhow::Result<()> {
        let mut command = self.compose(&["--profile", "hand", "run", "--rm", "-T", service]);
        command.output().map(drop).with_context(|| format!("run {service}"))
    }

    /// Begins to make and remove a cgroup twenty times a second.
    pub fn make_noise(&mut self) -> anyhow::Result<()> {
        let below = Path::new(MEMORY).join(NOISE);
        fs::create_dir_all(&below).with_context(|| format!("make {}", below.display()))?;
        let ends = Arc::new(AtomicBool::new(false));
        let seen = ends.clone();
        let thread = std::thread::spawn(move || {
            let mut number = 0_u64;
            while !seen.load(Ordering::Relaxed) {
                let path = below.join(format!("n{number}"));
                number += 1;
                let _ = fs::create_dir(&path);
                sleep(Duration::from_millis(25));
                let _ = fs::remove_dir(&path);
                sleep(Duration::from_millis(25));
            }
        });
        self.noise = Some((ends, thread));
        Ok(())
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        if let Some((ends, thread)) = self.noise.take() {
            ends.store(true, Ordering::Relaxed);
            let _ = thread.join();
        }
        if let Ok(ids) = self.docker.read(&["ps", "-aq"])
            && !ids.is_empty()
        {
            let ids: Vec<&str> = ids.split_whitespace().collect();
            let _ = self.docker.read(&[&["rm", "-f"], &ids[..]].concat());
        }
        let hierarchies = fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten();
        for hierarchy in hierarchies.map(|entry| entry.path()) {
            for name in [POD, NOISE] {
                let _ = fs::remove_dir(hierarchy.join(name));
            }
        }
    }
}
