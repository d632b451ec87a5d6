//! What a cgroup's memory is made of, and which of it the kernel can take back: the one place of these definitions.
//!
//! The fields are those of memory.stat (kernel: `Documentation/admin-guide/cgroup-v2.rst`). Its `kernel` has stacks, page tables and slab
//! in it, and no sockets; its `file` has shared memory in it, which only swap takes.

use crate::model::fields::FieldId;

/// The parts of a cgroup's memory at one time, bytes; absent where a field was not read.
///
/// ```
/// use sampler::model::fields::FieldId::{Anon, File, Shmem};
/// use sampler::model::memory::Parts;
/// let get = |field| [(Anon, 100), (File, 50), (Shmem, 20)].into_iter().find(|(id, _)| *id == field).map(|(_, bytes)| bytes);
/// let parts = Parts::of(get).unwrap();
/// assert_eq!((parts.footprint(), parts.reclaimable), (120, Some(30)));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parts {
    /// Anonymous memory, with what of it is in swap.
    pub anon: u64,
    /// Shared memory and files of a tmpfs.
    pub shmem: Option<u64>,
    /// Kernel memory beside slab, page tables and stacks.
    pub kernel: Option<u64>,
    /// Slab that cannot be reclaimed; all slab where the kernel does not separate them (before 4.18).
    pub slab: Option<u64>,
    /// Buffers of sockets.
    pub sock: Option<u64>,
    /// Page tables.
    pub pagetables: Option<u64>,
    /// Stacks of threads in the kernel.
    pub stack: Option<u64>,
    /// What can be reclaimed; see [`reclaimable`].
    pub reclaimable: Option<u64>,
}

impl Parts {
    /// The parts of one reading. `None` where memory.stat was not read.
    pub fn of(get: impl Fn(FieldId) -> Option<u64>) -> Option<Parts> {
        let anon = get(FieldId::Anon)?.saturating_add(get(FieldId::SwapCurrent).unwrap_or(0));
        let (pagetables, stack) = (get(FieldId::Pagetables), get(FieldId::KernelStack));
        let slab = get(FieldId::SlabUnreclaimable).or_else(|| get(FieldId::Slab));
        let whole = || Some(get(FieldId::SlabReclaimable)?.saturating_add(slab?));
        let all_slab = get(FieldId::Slab).or_else(whole);
        let known = [all_slab, pagetables, stack].into_iter().flatten().fold(0, u64::saturating_add);
        Some(Parts {
            anon,
            shmem: get(FieldId::Shmem),
            kernel: get(FieldId::Kernel).map(|all| all.saturating_sub(known)),
            slab,
            sock: get(FieldId::Sock),
            pagetables,
            stack,
            reclaimable: reclaimable(&get),
        })
    }

    /// What cannot be reclaimed, with what is swapped: all parts but [`Parts::reclaimable`].
    pub fn footprint(&self) -> u64 {
        self.held().into_iter().flatten().fold(0, u64::saturating_add)
    }

    /// The parts of the footprint: anon, shmem, kernel, slab, sock, pagetables, stack.
    pub fn held(&self) -> [Option<u64>; 7] {
        [Some(self.anon), self.shmem, self.kernel, self.slab, self.sock, self.pagetables, self.stack]
    }
}

/// What cannot be reclaimed, with what is swapped, bytes; see [`Parts::footprint`]. `None` where memory.stat was not read.
pub fn footprint(get: impl Fn(FieldId) -> Option<u64>) -> Option<u64> {
    Some(Parts::of(get)?.footprint())
}

/// What is in memory and cannot be reclaimed, bytes: the [`footprint`] without what is swapped.
pub fn unreclaimable(get: impl Fn(FieldId) -> Option<u64>) -> Option<u64> {
    footprint(|field| if field == FieldId::SwapCurrent { None } else { get(field) })
}

/// What the kernel can take back without swap, bytes: page cache without shared memory, and reclaimable slab. `None` where
/// memory.stat was not read.
pub fn reclaimable(get: impl Fn(FieldId) -> Option<u64>) -> Option<u64> {
    let cache = get(FieldId::File)?.saturating_sub(get(FieldId::Shmem).unwrap_or(0));
    Some(cache.saturating_add(get(FieldId::SlabReclaimable).unwrap_or(0)))
}

/// The page cache by the kernel's two lists, bytes: shared memory is on neither. Two fields are enough for it.
pub fn page_cache(get: impl Fn(FieldId) -> Option<u64>) -> Option<u64> {
    Some(get(FieldId::InactiveFile)?.saturating_add(get(FieldId::ActiveFile)?))
}

/// What can be reclaimed at once and without harm, bytes: of [`reclaimable`] neither what is dirty or being written nor `kept`, the
/// part of the active list that is read again and again. Without the lists half of the files count as active.
pub fn spare(get: impl Fn(FieldId) -> Option<u64>, kept: f64) -> u64 {
    let of = |field: FieldId| get(field).unwrap_or(0);
    let cache = match (get(FieldId::InactiveFile), get(FieldId::ActiveFile)) {
        (Some(inactive), Some(active)) => inactive.saturating_add((active as f64 * (1.0 - kept)) as u64),
        _ => (of(FieldId::File).saturating_sub(of(FieldId::Shmem)) as f64 * (1.0 - kept / 2.0)) as u64,
    };
    let busy = of(FieldId::FileDirty).saturating_add(of(FieldId::FileWriteback));
    cache.saturating_sub(busy).saturating_add(of(FieldId::SlabReclaimable))
}

/// Memory in use less what is [`reclaimable`], bytes: what presses on the limit. `None` where either was not read.
pub fn working_set(get: impl Fn(FieldId) -> Option<u64>) -> Option<u64> {
    Some(get(FieldId::Current)?.saturating_sub(reclaimable(&get)?))
}

/// The working set as the kubelet and cAdvisor define it, bytes: memory in use less inactive page cache.
pub fn kubernetes_working_set(get: impl Fn(FieldId) -> Option<u64>) -> Option<u64> {
    Some(get(FieldId::Current)?.saturating_sub(get(FieldId::InactiveFile)?))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_parts_add_up_and_nothing_is_more_than_the_whole(
            anon in 0u64..1 << 40, swap in 0u64..1 << 40, cache in 0u64..1 << 40, shmem in 0u64..1 << 40,
            slab in (0u64..1 << 40, 0u64..1 << 40), stack in 0u64..1 << 40, tables in 0u64..1 << 40, sock in 0u64..1 << 40,
        ) {
            use FieldId::*;
            let kernel = slab.0 + slab.1 + stack + tables;
            let mut fields = BTreeMap::from([
                (Anon, anon), (SwapCurrent, swap), (File, cache + shmem), (Shmem, shmem), (Kernel, kernel), (Sock, sock),
                (SlabReclaimable, slab.0), (SlabUnreclaimable, slab.1), (KernelStack, stack), (Pagetables, tables),
                (Current, anon + cache + shmem + kernel + sock),
            ]);
            let current = fields[&Current];
            let of = |fields: &BTreeMap<FieldId, u64>| footprint(|field| fields.get(&field).copied());
            let get = |field: FieldId| fields.get(&field).copied();
            prop_assert_eq!(footprint(get).unwrap() - swap + reclaimable(get).unwrap(), current);
            prop_assert_eq!(unreclaimable(get).unwrap(), footprint(get).unwrap() - swap);
            prop_assert!(spare(get, 0.25) <= reclaimable(get).unwrap());
            prop_assert_eq!(spare(get, 0.0), reclaimable(get).unwrap());
            prop_assert_eq!(working_set(get).unwrap(), footprint(get).unwrap() - swap);
            prop_assert!(working_set(get).unwrap() <= current);
            // A kernel that does not sum up its own memory has the same.
            let whole = of(&fields);
            fields.remove(&Kernel);
            prop_assert_eq!(of(&fields), whole);
            fields.remove(&Anon);
            prop_assert_eq!(of(&fields), None);
        }
    }

    #[test]
    fn absurd_values_neither_overflow_nor_fall_below_nothing() {
        let all = |_| Some(u64::MAX);
        assert_eq!((footprint(all), working_set(all)), (Some(u64::MAX), Some(0)));
        let only = |field| (field == FieldId::Current).then_some(5);
        assert_eq!((footprint(only), reclaimable(only), working_set(only)), (None, None, None), "absent is absent");
        assert_eq!(
            (spare(all, 0.5), kubernetes_working_set(all), page_cache(all)),
            (u64::MAX, Some(0), Some(u64::MAX))
        );
    }
}
