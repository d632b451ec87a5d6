//! The lives of one workload side by side: what each began with, how it rose, and what ended it.
//!
//! A life of seconds shows no leak. That each of them fills its limit at the same even pace does. The post-mortem, the analysis, the
//! advice and the alerts all ask [`loop_of`], or [`Lives`] while a workload is watched.
//!
//! ```
//! use sampler::analysis::lives::{Course, Ended, Life, loop_of};
//!
//! // Three lives of a minute, each from 8 MiB to its limit of 128 MiB, and a second between them.
//! let life = |from_s: i64| {
//!     let at = |s: i64| ((from_s + s) * 1_000_000, (8 + 2 * s) as f64 * 1048576.0);
//!     let points: Vec<(i64, f64)> = (0..=60).map(at).collect();
//!     Life::of(&points, points[0].0, points[60].0, Some(128 << 20), Ended::OomKill)
//! };
//! let lives = [life(0), life(61), life(122)];
//! assert_eq!(lives[0].course, Course::Rises);
//!
//! let kills_us: Vec<i64> = lives.iter().map(|life| life.to_us).collect();
//! let restarts = loop_of(&lives, &kills_us, kills_us[2]).expect("three kills");
//! assert!(restarts.leaks() && restarts.kills == 3);
//! assert_eq!(restarts.words(), "3rd OOM kill since 00:01, one every 61 s; each life leaks 120 MiB/min from its start");
//! // One life is not enough.
//! assert_eq!(loop_of(&lives[..1], &kills_us[..1], kills_us[0]), None);
//! ```

mod from_tracks;
mod life;
mod restart_loop;
mod watch;

pub use self::from_tracks::{Kill, of_tracks};
pub use self::life::{Course, Ended, Life};
pub use self::restart_loop::{GAP_US, Loop, MOMENT_US, START_US, loop_of, ordinal};
pub use self::watch::{Lives, MOST};

#[cfg(test)]
mod tests;
