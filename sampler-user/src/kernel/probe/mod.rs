//! The kernel probe: eBPF programs that see every OOM kill, and read all cgroups in one system call. Optional: each of its
//! features is tried alone, by fallbacks, and what the kernel refuses costs its own function and nothing else.

mod attach;
pub mod btf;
mod error;
pub mod events;
mod feature;
mod kfunc;
mod loaded;
mod object;
pub mod offsets;
mod stalls;
mod sys;
mod tracepoint_format;
pub mod walk;

pub use self::error::Error;
pub use self::feature::{AttachMethod, Attached, FEATURES, ProbeFeature};
pub use self::loaded::Probe;
pub use self::tracepoint_format::tracefs;
