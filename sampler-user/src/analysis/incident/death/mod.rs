//! Deaths that are no OOM kill: the main process of a container, or a large one, that a signal or a failure ended.

pub mod describe;
pub mod finder;
pub mod level;
pub mod process_end;
pub mod sender;

pub use self::finder::{DeathFinder, find};
pub use self::process_end::{Account, Death};

#[cfg(test)]
mod tests;
