//! What outlives a machine that runs out of memory: a VM is killed hard while its memory ends, and its serial console must hold the
//! recorder's last words with the culprit and its figures.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, bail};

use super::{MEMORY, image};

/// The machine is killed at a random moment within this time from when little is left.
const SOONEST: Duration = Duration::from_millis(1500);
const WITHIN_MS: u64 = 3000;
/// What is left then, KiB: half of what the recorder speaks at.
const LITTLE_KIB: u64 = (MEMORY as u64) << 10 >> 6;

/// Kills `times` VMs.
pub fn run(
    home: &Path,
    vmlinuz: &Path,
    initrd: &Path,
    name: &str,
    times: u32,
    seed: Option<u64>,
) -> anyhow::Result<()> {
    let disk = image::disk(home, "last-words")?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
    let mut random = seed.unwrap_or(now.subsec_nanos().into()) | 1;
    println!("{name:<5} {times} machines out of memory, --seed {random}");
    let mut failed = 0;
    for life in 1..=times {
        // xorshift: the moments only have to differ.
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let moment = SOONEST + Duration::from_millis(random % WITHIN_MS);
        let log = home.join(format!("{name}-last-words-{life}.log"));
        let text = super::until_up(name, &log, || live(vmlinuz, initrd, &disk, &log, moment))?;
        let said = text.lines().find_map(|line| line.split_once("sampler: ").map(|(_, said)| said.trim()));
        match said.filter(|said| said.contains("/hog holds ") && said.contains(" available")) {
            Some(said) => println!("{name:<5} machine {life:<3} ok   {said}"),
            None => {
                failed += 1;
                println!(
                    "{name:<5} machine {life:<3} FAIL no last words with the culprit, console in {}",
                    log.display()
                );
            }
        }
    }
    let _ = fs::remove_file(&disk);
    println!("{name:<5} {} of {times} consoles hold the last words", times - failed);
    if failed > 0 {
        bail!("{failed} of {times} died without a word");
    }
    Ok(())
}

/// One life, until `moment` after little is left. Whether the kernel came up, and what the console holds.
fn live(vmlinuz: &Path, initrd: &Path, disk: &Path, log: &Path, moment: Duration) -> anyhow::Result<(bool, String)> {
    let mut vm = super::qemu(MEMORY, vmlinuz, initrd, disk, "")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(File::create(log.with_extension("err"))?)
        .spawn()
        .context("start qemu-system-x86_64")?;
    let lines = BufReader::new(vm.stdout.take().context("no console")?);
    let (give, lines_in) = std::sync::mpsc::channel();
    // A line that is cut by the kill is read too.
    let reader = std::thread::spawn(move || {
        lines
            .split(b'\n')
            .map_while(Result::ok)
            .try_for_each(|line| give.send(String::from_utf8_lossy(&line).into_owned()))
    });
    let (mut text, mut end, mut little) = (String::new(), Instant::now() + super::PATIENCE, false);
    while let Ok(line) = lines_in.recv_timeout(end.saturating_duration_since(Instant::now())) {
        text += &line;
        text.push('\n');
        let left = line.trim().strip_prefix("LEFT ").and_then(|left| left.parse::<u64>().ok());
        if !little && left.is_some_and(|left| left < LITTLE_KIB) {
            little = true;
            end = Instant::now() + moment;
        }
    }
    vm.kill().context("kill the VM")?;
    vm.wait()?;
    // What it wrote before is still in the pipe.
    for line in lines_in {
        text += &line;
        text.push('\n');
    }
    let _ = reader.join();
    fs::write(log, &text)?;
    Ok((text.contains("VM UP"), text))
}
