//! Stalls for memory, as the probe counts them.

use sampler_ebpf::{BUCKETS, Stalls};

/// [`Stalls`] of one CPU, as the map holds them.
#[derive(Clone, Copy, Debug)]
#[repr(transparent)]
pub(super) struct PerCpuStalls(pub(super) Stalls);

// SAFETY: `Stalls` is `repr(C)` and holds only integers without padding (asserted where it is defined).
unsafe impl aya::Pod for PerCpuStalls {}

/// The stalls of two CPUs together.
pub(super) fn add(a: Stalls, b: Stalls) -> Stalls {
    let buckets = std::array::from_fn::<u64, BUCKETS, _>(|n| a.buckets[n] + b.buckets[n]);
    Stalls {
        count: a.count + b.count,
        time_ns: a.time_ns + b.time_ns,
        pages: a.pages + b.pages,
        longest_ns: a.longest_ns.max(b.longest_ns),
        buckets,
    }
}

/// The stalls since an earlier count.
pub(super) fn since(now: Stalls, before: Stalls) -> Stalls {
    let less = u64::saturating_sub;
    Stalls {
        count: less(now.count, before.count),
        time_ns: less(now.time_ns, before.time_ns),
        pages: less(now.pages, before.pages),
        longest_ns: now.longest_ns,
        buckets: std::array::from_fn(|n| less(now.buckets[n], before.buckets[n])),
    }
}
