//! The recorder: two sampling threads, a relay thread, and a control loop for everything that may wait.
//!
//! ```text
//!  fast thread ──ring──┐
//!  slow thread ──ring──┼─▶ relay thread ─▶ Sink (the journal)
//!  control loop ─queue─┘     (recorder: inotify, memory.events, pressure, kmsg, probe, clock, stop)
//! ```
//!
//! The recorder does the IO: it turns what wakes it into a `Wake`, asks `Control`, which is pure, and executes the `Effect`s
//! that it answers.

pub mod allowance;
pub mod budget;
pub mod burst;
mod config;
mod control;
pub mod deaths;
mod details;
mod effect;
mod error;
pub mod fast;
pub mod history;
mod lifecycle;
mod naming;
pub mod notices;
mod oom_watch;
pub mod pace;
mod probe_loader;
pub mod protect;
mod recorder;
pub mod relay;
pub mod sampler;
pub mod slow;
mod unkept;
mod wake;
mod worker;

pub use self::config::{Config, LookFor, NameSources, UseProbe};
pub use self::error::Error;
pub use self::recorder::record;
