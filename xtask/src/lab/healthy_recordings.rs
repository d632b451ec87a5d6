//! The recordings in `data/recordings/calm`: an hour each of what is no leak, once a second, through `sampler import`.

use std::fmt::Write;
use std::fs;
use std::process::Command;

use anyhow::Context;

use crate::sh;

const MIB: f64 = (1 << 20) as f64;

/// A story: name, limit in MiB, and anonymous memory and page cache in MiB at a second, with noise from 0 to 1.
type Story = (&'static str, f64, fn(f64, f64) -> (f64, f64));

const STORIES: [Story; 7] = [
    ("steady", 512.0, |_, noise| (300.0 + 4.0 * noise, 60.0)),
    ("warm-up", 1024.0, |t, noise| (700.0 * (1.0 - (-t / 240.0).exp()) + 3.0 * noise, 80.0)),
    ("warm-up-fast", 1024.0, |t, noise| ((t * 25.0).min(800.0) + 2.0 * noise, 40.0)),
    ("cache", 1024.0, |t, noise| (180.0 + 3.0 * noise, (t * 1.5).min(840.0))),
    ("sawtooth", 1024.0, |t, noise| (300.0 + (t % 180.0) * 2.5 + 5.0 * noise, 50.0)),
    ("load", 1024.0, |t, noise| (450.0 + 250.0 * (t / 900.0 * std::f64::consts::TAU).sin() + 20.0 * noise, 90.0)),
    ("step", 1024.0, |t, noise| (if t < 1500.0 { 200.0 } else { 600.0 } + 6.0 * noise, 70.0)),
];

pub fn run() -> anyhow::Result<()> {
    let sampler = sh::sampler()?;
    let home = sh::root().join("data/recordings/calm");
    let mut random = fastrand::Rng::with_seed(7);
    for (name, limit, story) in STORIES {
        let mut csv = String::from("ts_ns,cgroup,current,anon,file,shmem,max\n");
        for second in 0..3600u32 {
            let (anon, file) = story(f64::from(second), random.f64());
            let page = |mib: f64| (mib * MIB) as u64 / 4096 * 4096;
            let (anon, file) = (page(anon), page(file));
            let time = 1_790_000_000 + second;
            writeln!(csv, "{time}000000000,/calm/{name},{},{anon},{file},0,{}", anon + file, page(limit))?;
        }
        let draft = std::env::temp_dir().join(format!("{name}.csv"));
        fs::write(&draft, csv).with_context(|| format!("write {}", draft.display()))?;
        let out = home.join(name);
        if out.exists() {
            fs::remove_dir_all(&out)?;
        }
        sh::run(Command::new(&sampler).arg("import").arg(&draft).arg("--out").arg(&out))?;
        fs::remove_file(draft)?;
    }
    Ok(())
}
