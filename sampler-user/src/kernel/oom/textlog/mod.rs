//! A kernel's log as people keep it: `dmesg`, `journalctl`, syslog, a serial console, events of Kubernetes, pasted anywhere. What
//! it says of kills, once each, whatever stands between and around the lines.
//!
//! Memory is bounded whatever the file is: a line is cut, tables keep their largest rows, and of very many kills the oldest lose
//! their details first.

mod clean;
mod collect;
mod entry;
mod envelope;
mod facts;
mod log;
mod reader;
mod same;
mod stamp;
mod stream;
mod table;
mod unfold;
mod userspace;

pub use collect::Collector;
pub use facts::Facts;
pub use log::{ByProgram, Coverage, Kill, Mention, NoVictim, TextLog, When};
pub use reader::read;
pub use stamp::Wall;
pub use userspace::Killing;
