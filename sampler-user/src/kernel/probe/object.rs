//! The programs, as the kernel loads them.

use aya::include_bytes_aligned;

/// Built from `sampler-ebpf` by `cargo xtask ebpf`.
pub(super) static OBJECT: &[u8] = include_bytes_aligned!("../../../probe/sampler.bpf.o");
