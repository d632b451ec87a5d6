//! What a command made of a recording: its words, its exit code and its memory.

use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, bail};

/// What a command said and took.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Exit code; `None` where a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub said: String,
    /// The most that it held, bytes.
    pub memory: u64,
}

impl Outcome {
    /// Runs a command.
    pub fn of(program: &Path, arguments: &[&str]) -> anyhow::Result<Outcome> {
        let mut child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("start {}", program.display()))?;
        let (mut out, mut said) = (Vec::new(), Vec::new());
        let mut errors = child.stderr.take().context("no standard error")?;
        let reader = std::thread::spawn(move || errors.read_to_end(&mut said).map(|_| said));
        child.stdout.take().context("no standard output")?.read_to_end(&mut out)?;
        let said = reader.join().map_err(|_| anyhow::anyhow!("a thread panicked"))??;
        let (mut status, pid) = (0, child.id() as libc::pid_t);
        // SAFETY: rusage is plain data, for which zeros are valid.
        let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
        // SAFETY: the child is ours and not waited for yet; both pointers are to locals that outlive the call.
        if unsafe { libc::wait4(pid, &raw mut status, 0, &raw mut usage) } != pid {
            bail!("wait for {}: {}", program.display(), std::io::Error::last_os_error());
        }
        Ok(Outcome {
            code: libc::WIFEXITED(status).then(|| libc::WEXITSTATUS(status)),
            out: String::from_utf8_lossy(&out).into_owned(),
            said: String::from_utf8_lossy(&said).into_owned(),
            memory: u64::try_from(usage.ru_maxrss).unwrap_or(0) * 1024,
        })
    }

    /// Whether it fell over.
    pub fn panicked(&self) -> bool {
        !matches!(self.code, Some(0..=5)) || self.said.contains("panicked at")
    }
}
