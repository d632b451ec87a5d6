//! What holds memory, by name: caches of kernel objects, mounts of tmpfs, files in the page cache. Dear to read, so not at every tick.

pub mod files;
pub mod mounts;
mod resident;
pub mod slab;
