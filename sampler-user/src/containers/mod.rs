//! Who a cgroup is: which runtime made it, by its path, and what people call it.

pub mod names;
pub mod runtimes;
