//! A program that grows as it is told.

use std::thread::sleep;
use std::time::{Duration, Instant};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// MiB that it takes at once
    #[arg(long, default_value_t = 1)]
    from: usize,
    /// MiB a second
    #[arg(long)]
    rate: f64,
    /// MiB at which it ends
    #[arg(long)]
    to: usize,
    /// Seconds that it stays there
    #[arg(long, default_value_t = 0.3)]
    hold: f64,
}

/// It takes memory this often.
const PIECE: Duration = Duration::from_millis(20);
const PAGE: usize = 4096;

pub fn run(args: &Args) {
    let mut held: Vec<Vec<u8>> = Vec::new();
    let mut size = 0;
    let begun = Instant::now();
    while size < args.to << 20 {
        let goal = (args.from << 20) + (begun.elapsed().as_secs_f64() * args.rate * f64::from(1 << 20)) as usize;
        if goal >= size + PAGE {
            held.push(vec![1; goal - size]);
            size = goal;
        }
        sleep(PIECE);
    }
    sleep(Duration::from_secs_f64(args.hold));
    drop(held);
}
