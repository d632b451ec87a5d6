//! What holds memory, by name: caches of kernel objects, mounts of tmpfs, files in the page cache. Dear to read, so not at every tick.

pub mod files;
pub mod hsperf;
pub mod mounts;
pub mod own_memory;
mod resident;
pub mod slab;
