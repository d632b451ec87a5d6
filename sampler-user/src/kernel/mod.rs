//! What Linux reports: cgroup files, processes, the kernel's log, OOM kills, the probe, and whether this is WSL.

pub mod cgroupfs;
pub mod details;
pub mod oom;
pub mod probe;
pub mod processes;
pub mod wsl;
