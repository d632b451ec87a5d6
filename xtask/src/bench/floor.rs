//! The floor: the same descriptors, read at the same pace, and nothing done with the bytes. No sampler can be cheaper that
//! reads these files.

use std::thread;
use std::time::{Duration, Instant};

use sampler::kernel::cgroupfs::handle::{BUFFER, Handle};
use sampler::kernel::cgroupfs::layout::Layout;
use sampler::kernel::cgroupfs::plan::Plan;
use sampler::model::sample::PassKind;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Paths of the cgroups.
    cgroups: Vec<String>,
    #[arg(long)]
    seconds: u64,
    /// Fast interval, ms.
    #[arg(long)]
    interval_ms: u64,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    sampler::record::protect::raise_descriptors();
    let layout = Layout::detect()?;
    let open = |kind| {
        let plan = Plan::cgroups(kind, &layout, &[]);
        args.cgroups.iter().map(|path| Handle::cgroup(&plan, &layout, path)).collect::<Vec<_>>()
    };
    let (fast, mut slow) = (open(PassKind::Fast), open(PassKind::Slow));
    slow.push(Handle::host(&Plan::host(), &layout));
    let seconds = Duration::from_secs(args.seconds);
    let interval = Duration::from_millis(args.interval_ms);
    thread::scope(|scope| {
        scope.spawn(|| pace(&fast, interval, seconds));
        scope.spawn(|| pace(&slow, Duration::from_secs(1), seconds));
    });
    Ok(())
}

fn pace(handles: &[Handle], interval: Duration, time: Duration) {
    let _ = rustix::thread::set_current_timer_slack(std::num::NonZeroU64::new(1));
    let begun = Instant::now();
    let mut buffer = vec![0; BUFFER];
    let mut next = begun;
    while begun.elapsed() < time {
        for handle in handles {
            handle.touch(&mut buffer);
        }
        next += interval;
        thread::park_timeout(next.saturating_duration_since(Instant::now()));
    }
}
