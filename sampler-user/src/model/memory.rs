//! Which memory can be taken back, from the fields of one cgroup at one time. The kernel's `kernel` has stacks, page tables and slab
//! in it, and no sockets.

use crate::model::fields::FieldId;

/// What cannot be reclaimed, bytes, with what is swapped: anon, swap, shmem, kernel memory without reclaimable slab, and sockets.
/// `None` where memory.stat was not read.
pub fn footprint(get: impl Fn(FieldId) -> Option<u64>) -> Option<u64> {
    let or_none = |field| get(field).unwrap_or(0);
    let slab = || {
        let both = || or_none(FieldId::SlabReclaimable).saturating_add(or_none(FieldId::SlabUnreclaimable));
        get(FieldId::Slab).unwrap_or_else(both)
    };
    let parts = || slab().saturating_add(or_none(FieldId::KernelStack)).saturating_add(or_none(FieldId::Pagetables));
    let kernel = get(FieldId::Kernel).unwrap_or_else(parts).saturating_sub(or_none(FieldId::SlabReclaimable));
    let held = [FieldId::SwapCurrent, FieldId::Shmem, FieldId::Sock].map(or_none);
    Some(held.into_iter().fold(get(FieldId::Anon)?.saturating_add(kernel), u64::saturating_add))
}

/// What the kernel can take back, bytes: page cache without shared memory, and reclaimable slab.
pub fn reclaimable(get: impl Fn(FieldId) -> Option<u64>) -> u64 {
    let or_none = |field| get(field).unwrap_or(0);
    or_none(FieldId::File).saturating_sub(or_none(FieldId::Shmem)).saturating_add(or_none(FieldId::SlabReclaimable))
}

/// What is in memory and cannot be taken back, bytes: memory.current without what is reclaimable. `None` where it was not read.
pub fn working_set(get: impl Fn(FieldId) -> Option<u64>) -> Option<u64> {
    Some(get(FieldId::Current)?.saturating_sub(reclaimable(&get)))
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
            prop_assert_eq!(footprint(get).unwrap() - swap + reclaimable(get), current);
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
        assert_eq!((footprint(only), reclaimable(only), working_set(only)), (None, 0, Some(5)));
    }
}
