//! What Windows sees of a WSL2 VM, and what of it would return.

use serde::Serialize;

use crate::analysis::account::parts::{Account, Kind};
use crate::model::fields::FieldId;

/// What Windows shows as `vmmemWSL`, and what of it can return, bytes.
///
/// The guest gives free blocks of a certain size back to Windows (page reporting); Windows keeps everything else that the guest has
/// ever touched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Windows {
    /// About what Windows shows: MemTotal less free blocks that are reported back.
    pub vmmem: u64,
    /// Smallest block that is reported back.
    pub block: u64,
    /// Free, in smaller blocks: compaction would make larger ones of it, and they return by themselves.
    pub compaction: u64,
    /// Clean page cache and kernel caches: dropping them frees it.
    pub drop_cache: u64,
    /// Page cache that is to be written to the disk first.
    pub dirty: u64,
    /// What processes, tmpfs and the kernel hold: it returns when they give it up.
    pub held: u64,
}

/// The order of the blocks that are reported where the kernel does not say it.
const ORDER: u64 = 9;

/// What Windows sees of the machine of an account.
pub fn windows(account: &Account, get: impl Fn(FieldId) -> Option<u64>, page_size: u64) -> Windows {
    let order = get(FieldId::ReportingOrder).filter(|order| *order < 20).unwrap_or(ORDER);
    let free: u64 = account.parts.iter().filter(|part| part.kind.is_free()).map(|part| part.bytes).sum();
    let large = account.bytes(Kind::FreeLarge);
    // Between the two orders that WSL uses what is known is what it must be at least.
    let reported = match (order, get(FieldId::FreeOrder5)) {
        (..=5, Some(pages)) => pages.saturating_mul(page_size).clamp(large, free.max(large)),
        _ => large,
    };
    let dirty = [FieldId::Dirty, FieldId::WritebackHost].iter().filter_map(|field| get(*field)).sum::<u64>();
    let cache = account.bytes(Kind::PageCache);
    let caches = [Kind::SlabReclaimable, Kind::KernelReclaimable].map(|kind| account.bytes(kind)).iter().sum::<u64>();
    let dirty = dirty.min(cache);
    let vmmem = account.total.saturating_sub(reported);
    let compaction = (free - large).saturating_sub(reported - large);
    let drop_cache = (cache - dirty).saturating_add(caches);
    Windows {
        vmmem,
        block: page_size.saturating_mul(1 << order),
        compaction,
        drop_cache,
        dirty,
        held: vmmem.saturating_sub(compaction).saturating_sub(drop_cache).saturating_sub(dirty),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::fields::FieldId::*;

    fn seen(more: &[(FieldId, u64)]) -> Windows {
        let mut host = vec![
            (MemTotal, 1 << 30),
            (MemFree, 400 << 20),
            (AnonPages, 100 << 20),
            (Cached, 450 << 20),
            (ShmemHost, 50 << 20),
            (SReclaimable, 30 << 20),
            (SUnreclaim, 20 << 20),
            (Dirty, 40 << 20),
            (FreeOrder5, 350 << 8),
            (FreeOrder9, 300 << 8),
        ];
        host.extend(more);
        let get = |field| host.iter().find(|(id, _)| *id == field).map(|(_, value)| *value);
        windows(&Account::of(get, 4096).unwrap(), get, 4096)
    }

    #[test]
    fn what_windows_sees_is_all_but_what_is_reported_and_each_byte_of_it_has_a_way_back() {
        let now = seen(&[]);
        assert_eq!((now.vmmem, now.block), (724 << 20, 2 << 20));
        assert_eq!((now.compaction, now.drop_cache, now.dirty), (100 << 20, 390 << 20, 40 << 20));
        assert_eq!(now.compaction + now.drop_cache + now.dirty + now.held, now.vmmem);
        let small = seen(&[(ReportingOrder, 5)]);
        assert_eq!((small.vmmem, small.block, small.compaction), (674 << 20, 128 << 10, 50 << 20));
        assert_eq!(seen(&[(ReportingOrder, u64::from(u32::MAX))]), now, "the kernel's word for no order");
    }
}
