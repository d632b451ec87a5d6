//! Programs that hold memory along a curve, and say themselves what they held.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

/// How memory goes up and down.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Shape {
    /// One size.
    Steady,
    /// Rest, and now and then much for a tenth of a second.
    Burst,
    /// Up evenly and down at once, as a collector does it.
    Sawtooth,
    /// To a level of its own, ever slower.
    WarmUp,
    /// One size, and files that are read all the time.
    Reader,
}

pub const SHAPES: [Shape; 5] = [Shape::Steady, Shape::Burst, Shape::Sawtooth, Shape::WarmUp, Shape::Reader];

const MIB: usize = 1 << 20;
/// Time between two looks at the curve.
const STEP: Duration = Duration::from_millis(20);

impl Shape {
    pub fn name(self) -> &'static str {
        match self {
            Shape::Steady => "steady",
            Shape::Burst => "burst",
            Shape::Sawtooth => "sawtooth",
            Shape::WarmUp => "warm-up",
            Shape::Reader => "reader",
        }
    }

    /// MiB at a moment of `span` seconds, for a size in MiB; `noise` from 0 to 1 is new at each moment.
    fn at(self, t: f64, span: f64, size: f64, noise: f64) -> f64 {
        let wobble = 0.02 * size * noise;
        match self {
            Shape::Steady | Shape::Reader => size + wobble,
            // Five bursts in a run.
            Shape::Burst => {
                let is_burst = (t * 5.0 / span + 0.5).fract() * span / 5.0 < 0.1;
                size * if is_burst { 1.0 } else { 0.3 } + wobble
            }
            Shape::Sawtooth => size * (0.4 + 0.6 * (t * 4.0 / span).fract()) + wobble,
            Shape::WarmUp => size * (1.0 - 0.8 * (-t * 6.0 / span).exp()) + wobble,
        }
    }
}

/// Lives the life of a workload and writes down what it held at most: its own memory at the begin, and the blocks.
pub fn live(number: usize, seconds: f64, seed: u64, peak_file: &Path) -> anyhow::Result<()> {
    let shape = SHAPES[number % SHAPES.len()];
    let size = 60.0 + 35.0 * (number / SHAPES.len()) as f64 + 11.0 * (number % SHAPES.len()) as f64;
    let mut random = fastrand::Rng::with_seed(seed * 1000 + number as u64);
    let base = own_anon()?;
    let file = (shape == Shape::Reader).then(|| Book::write(peak_file, 3 * size as usize)).transpose()?;
    let mut blocks: Vec<Block> = Vec::new();
    let (begin, mut most) = (Instant::now(), 0);
    while begin.elapsed().as_secs_f64() < seconds {
        let wanted = shape.at(begin.elapsed().as_secs_f64(), seconds, size, random.f64()).max(0.0) as usize;
        while blocks.len() < wanted {
            blocks.push(Block::new(random.u8(1..))?);
        }
        blocks.truncate(wanted);
        most = most.max(blocks.len());
        match &file {
            Some(file) => file.read()?,
            None => sleep(STEP),
        }
    }
    fs::write(peak_file, (base + (most * MIB) as u64).to_string())
        .with_context(|| format!("write {}", peak_file.display()))
}

/// Anonymous memory of this process, bytes.
fn own_anon() -> anyhow::Result<u64> {
    let status = fs::read_to_string("/proc/self/status").context("read /proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).context("no RssAnon")?;
    let kib: u64 = line.split_whitespace().next().unwrap_or_default().parse().context("read RssAnon")?;
    Ok(kib * 1024)
}

/// A MiB that goes back to the kernel at once when it is dropped.
struct Block(*mut libc::c_void);

impl Block {
    fn new(fill: u8) -> anyhow::Result<Block> {
        let (access, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        // SAFETY: a new anonymous mapping; nothing else knows of it.
        let at = unsafe { libc::mmap(std::ptr::null_mut(), MIB, access, flags, -1, 0) };
        if at == libc::MAP_FAILED {
            bail!("mmap: {}", std::io::Error::last_os_error());
        }
        // SAFETY: the mapping is MIB bytes long and writable.
        unsafe { std::ptr::write_bytes(at.cast::<u8>(), fill, MIB) };
        Ok(Block(at))
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        // SAFETY: made by mmap with this length, and unmapped once.
        unsafe { libc::munmap(self.0, MIB) };
    }
}

/// A file that is read again and again, larger than the room for it.
struct Book(PathBuf);

impl Book {
    fn write(beside: &Path, mib: usize) -> anyhow::Result<Book> {
        let path = beside.with_extension("book");
        let mut file = File::create(&path).with_context(|| format!("make {}", path.display()))?;
        for n in 0..mib {
            file.write_all(&vec![n as u8; MIB])?;
        }
        file.sync_all()?;
        Ok(Book(path))
    }

    fn read(&self) -> anyhow::Result<()> {
        let mut page = vec![0; 256 << 10];
        let mut file = File::open(&self.0)?;
        while file.read(&mut page)? > 0 {
            sleep(Duration::from_millis(1));
        }
        Ok(())
    }
}

impl Drop for Book {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}
