//! The machine killed hard: a VM that records onto a disk of its own is killed at a random moment, started again, and asked
//! what it still has. The disk's image is what reached the disk: what the guest had not flushed is gone with the VM.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, bail};
use serde_json::Value;

use super::{MEMORY, image};

/// The guest prints its clock this often, so a moment is known to this much.
const BEAT_S: f64 = 0.1;
/// What may be lost.
const BAR_S: f64 = 1.0;

/// What one life of the VM printed on its console.
#[derive(Debug, Default)]
struct Life {
    /// Unix seconds of the guest at its last beat.
    last_beat: f64,
    /// `sampler info --json` of what the life before left.
    recovered: Option<Value>,
    failure: Option<String>,
}

/// Kills the VM `times` times, and looks at what is left after each.
pub fn run(
    home: &Path,
    vmlinuz: &Path,
    initrd: &Path,
    name: &str,
    times: u32,
    seed: Option<u64>,
) -> anyhow::Result<()> {
    let disk = image::disk(home, "crash")?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
    let mut random = seed.unwrap_or(now.subsec_nanos().into()) | 1;
    println!("{name:<5} {times} hard kills, --seed {random}");
    let (mut before, mut worst, mut rows, mut failed) = (None::<Life>, 0f64, 0u64, 0);
    for life in 0..=times {
        // xorshift: the moments only have to differ.
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let moment = Duration::from_millis(500 + random % 7000);
        let log = home.join(format!("{name}-crash-{life}.log"));
        let moment = if life < times { moment } else { Duration::ZERO };
        let now = super::until_up(name, &log, || live(vmlinuz, initrd, &disk, &log, moment))?;
        if let Some(before) = before {
            let verdict = now.failure.clone().map_or_else(|| judge(&before, &now, &mut rows), Err);
            match verdict {
                Ok(lost) => {
                    worst = worst.max(lost);
                    println!("{name:<5} kill {life:<3} ok   at most {lost:.2} s lost, {rows} rows in all");
                }
                Err(why) => {
                    failed += 1;
                    println!("{name:<5} kill {life:<3} FAIL {why}, console in {}", log.display());
                }
            }
        }
        before = Some(now);
    }
    let _ = fs::remove_file(&disk);
    println!("{name:<5} {times} hard kills, {failed} failed, at most {worst:.2} s lost (bar {BAR_S} s)");
    if failed > 0 {
        bail!("{failed} of {times} recoveries failed");
    }
    Ok(())
}

/// Seconds lost at most, or what is wrong.
fn judge(before: &Life, now: &Life, rows_before: &mut u64) -> Result<f64, String> {
    let info = now.recovered.as_ref().ok_or("the VM said nothing of the recording")?;
    // A write that was under way is a torn tail: cut, counted and reported. Anything else is damage.
    let torn = |problem: &Value| problem["what"].as_str().is_some_and(|what| what.starts_with("torn tail"));
    if !info["problems"].as_array().is_some_and(|problems| problems.iter().all(torn)) {
        return Err(format!("problems: {}", info["problems"]));
    }
    if info["journal"]["corrupt_bytes"] != 0 {
        return Err(format!("corrupt: {}", info["journal"]));
    }
    let rows = info["tables"]["samples"]["rows"].as_u64().unwrap_or(0);
    if rows <= *rows_before {
        return Err(format!("{rows} rows, after {rows_before} a kill earlier"));
    }
    *rows_before = rows;
    let last = info["cgroups"].as_array().into_iter().flatten().filter_map(|c| c["last_us"].as_i64()).max();
    let lost = before.last_beat + BEAT_S - last.unwrap_or(0) as f64 / 1e6;
    if lost > BAR_S { Err(format!("{lost:.2} s lost")) } else { Ok(lost.max(0.0)) }
}

/// One life: from power on until `moment` after the recording runs, or to its own end when it only looks back. Whether the
/// kernel came up, and what was printed.
fn live(vmlinuz: &Path, initrd: &Path, disk: &Path, log: &Path, moment: Duration) -> anyhow::Result<(bool, Life)> {
    let mut vm = super::qemu(MEMORY, vmlinuz, initrd, disk, "")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(File::create(log.with_extension("err"))?)
        .spawn()
        .context("start qemu-system-x86_64")?;
    let lines = BufReader::new(vm.stdout.take().context("no console")?);
    let (give, lines_in) = std::sync::mpsc::channel();
    let reader = std::thread::spawn(move || lines.lines().map_while(Result::ok).try_for_each(|line| give.send(line)));
    let (mut life, mut offset, mut text) = (Life::default(), 0.0, String::new());
    let mut end = Instant::now() + super::PATIENCE;
    let (mut up, mut running) = (false, false);
    while let Ok(line) = lines_in.recv_timeout(end.saturating_duration_since(Instant::now())) {
        text += &line;
        text.push('\n');
        let number = |word: Option<&str>| word.and_then(|w| w.parse::<f64>().ok()).unwrap_or(f64::NAN);
        let mut words = line.trim().splitn(2, ' ');
        match (words.next(), words.next()) {
            (Some("CLOCK"), Some(pair)) => {
                let (wall, uptime) = pair.split_once(' ').unwrap_or((pair, ""));
                offset = number(Some(wall)) - number(Some(uptime));
            }
            (Some("BEAT"), uptime) => {
                life.last_beat = offset + number(uptime);
                if !std::mem::replace(&mut running, true) {
                    if moment.is_zero() {
                        break;
                    }
                    end = Instant::now() + moment;
                }
            }
            (Some("VM"), Some("UP")) => up = true,
            (Some("RECOVERED"), Some(json)) => match serde_json::from_str(json) {
                Ok(value) => life.recovered = Some(value),
                Err(error) => life.failure = Some(format!("info printed no JSON: {error}")),
            },
            (Some("FAILED"), Some(why)) => life.failure = Some(why.to_owned()),
            _ => {}
        }
    }
    vm.kill().context("kill the VM")?;
    vm.wait()?;
    let _ = reader.join();
    fs::write(log, text)?;
    if !running && life.failure.is_none() {
        life.failure = Some("the VM never began to record".into());
    }
    Ok((up, life))
}
