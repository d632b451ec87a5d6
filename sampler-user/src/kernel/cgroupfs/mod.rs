//! The kernel's cgroup files: which hierarchy holds memory, which cgroups there are, and their values.

pub mod handle;
pub mod layout;
pub mod limits;
pub mod number;
pub mod parse;
pub mod plan;
pub mod read;
mod shapes;
pub mod tree;
