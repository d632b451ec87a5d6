//! The largest caches of kernel objects, by `/proc/slabinfo` (root only).

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use crate::model::details::SlabCache;
use crate::model::identity::cut;

/// Caches that are kept of one reading.
const MOST: usize = 12;
/// A smaller one is not worth a line, bytes.
const LEAST: u64 = 1 << 20;

/// Reads the caches; remembers what a cache is.
#[derive(Debug, Default)]
pub struct SlabReader {
    reclaimable: HashMap<String, Option<bool>>,
}

impl SlabReader {
    /// The largest caches, the largest first; none without root.
    pub fn read(&mut self) -> Vec<SlabCache> {
        let text = fs::read_to_string("/proc/slabinfo").unwrap_or_default();
        let mut caches = parse(&text, rustix::param::page_size() as u64);
        for cache in &mut caches {
            let known = self.reclaimable.entry(cache.name.clone()).or_insert_with(|| is_reclaimable(&cache.name));
            cache.reclaimable = *known;
        }
        caches
    }
}

/// Whether the kernel says that it frees the objects of a cache (SLUB, `reclaim_account`).
fn is_reclaimable(name: &str) -> Option<bool> {
    if name.contains('/') || name.starts_with('.') {
        return None;
    }
    let told = fs::read_to_string(Path::new("/sys/kernel/slab").join(name).join("reclaim_account")).ok()?;
    Some(told.trim() == "1")
}

/// The largest caches of a slabinfo, version 2: `NAME ACTIVE OBJECTS SIZE PER_SLAB PAGES : tunables … : slabdata ACTIVE SLABS SHARED`.
fn parse(text: &str, page_size: u64) -> Vec<SlabCache> {
    let one = |line: &str| {
        let (head, rest) = line.split_once(" : tunables")?;
        let (_, slabs) = rest.split_once(": slabdata")?;
        let pages: u64 = head.split_whitespace().next_back()?.parse().ok()?;
        let slabs: u64 = slabs.split_whitespace().nth(1)?.parse().ok()?;
        let name = head.split_whitespace().next()?;
        Some(SlabCache {
            name: cut(name),
            bytes: slabs.saturating_mul(pages).saturating_mul(page_size),
            reclaimable: None,
        })
    };
    let mut all: Vec<SlabCache> = text.lines().filter_map(one).filter(|cache| cache.bytes >= LEAST).collect();
    all.sort_by(|a, b| (b.bytes, &a.name).cmp(&(a.bytes, &b.name)));
    all.truncate(MOST);
    all
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_cache_has_the_pages_of_its_slabs() {
        let text = "slabinfo - version: 2.1\n\
            # name            <active_objs> <num_objs> <objsize> <objperslab> <pagesperslab> : tunables <limit> <batchcount> <sharedfactor> : slabdata <active_slabs> <num_slabs> <sharedavail>\n\
            bio-312               12     12    320   12    1 : tunables    0    0    0 : slabdata      1      1      0\n\
            dentry             42000  84000    192   21    1 : tunables    0    0    0 : slabdata   2000   4000      0\n\
            ext4_inode_cache   27000  27000   1176   27    8 : tunables    0    0    0 : slabdata   1000   1000      0\n";
        let told: Vec<(String, u64)> = parse(text, 4096).into_iter().map(|cache| (cache.name, cache.bytes)).collect();
        assert_eq!(told, [("ext4_inode_cache".to_owned(), 32_768_000), ("dentry".to_owned(), 16_384_000)]);
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "([a-z/]{0,9}( ?[0-9]{0,20}| : tunables| : slabdata|\n){0,12}){0,4}") {
            prop_assert!(parse(&text, u64::MAX).len() <= MOST);
        }
    }
}
