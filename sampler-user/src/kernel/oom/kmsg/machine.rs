//! The memory of the machine in a report: `Mem-Info`, by `show_mem` of `mm/show_mem.c`, and the caches of the slab.

use crate::model::evidence::{MachineMemory, Zone};

/// Zones, parts and caches that are kept.
const MOST: usize = 64;
/// Caches of the slab that are kept, the largest.
const SLABS: usize = 8;

/// What is read of it so far; pages are pages until the size of one is known.
#[derive(Clone, Debug, Default)]
pub struct Reading {
    memory: MachineMemory,
    parts: Vec<(String, u64)>,
    ram: Option<u64>,
    reserved: u64,
    in_slab: bool,
}

impl Reading {
    /// Takes a line, if it is one of these.
    pub fn take(&mut self, text: &str) -> bool {
        let text = text.trim();
        if text.starts_with("Unreclaimable slab info") || (text.starts_with("Name ") && text.ends_with("Total")) {
            self.in_slab = true;
            return true;
        }
        if let Some(rest) = text.strip_prefix("Node ") {
            return self.node(rest);
        }
        if let Some(value) = text.strip_prefix("Free swap") {
            self.memory.swap_free = assigned(value);
            return true;
        }
        if let Some(value) = text.strip_prefix("Total swap") {
            self.memory.swap_total = assigned(value);
            return true;
        }
        if let Some((number, what)) = text.split_once(" pages ")
            && let Ok(number) = number.parse::<u64>()
        {
            match what {
                "RAM" => self.ram = Some(number),
                "reserved" => self.reserved = self.reserved.saturating_add(number),
                _ => return false,
            }
            return true;
        }
        self.parts(text) || (self.in_slab && self.slab(text))
    }

    /// `active_anon:512 inactive_anon:1880012 isolated_anon:0`, in pages.
    fn parts(&mut self, text: &str) -> bool {
        let is_one = text.split_whitespace().all(|word| {
            word.split_once(':').is_some_and(|(key, value)| {
                !key.is_empty()
                    && key.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')
                    && !value.is_empty()
                    && value.bytes().all(|b| b.is_ascii_digit())
            })
        });
        if !is_one || text.is_empty() {
            return false;
        }
        for (key, value) in text.split_whitespace().filter_map(|word| word.split_once(':')) {
            if let Ok(value) = value.parse()
                && self.parts.len() < MOST
                && !self.parts.iter().any(|(known, _)| known == key)
            {
                self.parts.push((key.to_owned(), value));
            }
        }
        true
    }

    /// `0 DMA free:15036kB boost:0kB min:128kB … managed:15360kB …`, `0 hugepages_total=8 … hugepages_size=2048kB`
    fn node(&mut self, rest: &str) -> bool {
        let Some((node, rest)) = rest.split_once(' ') else { return false };
        let Ok(node) = node.parse() else { return false };
        if let Some(huge) = rest.strip_prefix("hugepages_total=") {
            let mut words = huge.split(' ');
            let total: Option<u64> = words.next().and_then(|word| word.parse().ok());
            let size = words.find_map(|word| kib(word.strip_prefix("hugepages_size=")?));
            if let (Some(total), Some(size)) = (total, size) {
                let sum = self.memory.huge_pages.unwrap_or(0).saturating_add(total.saturating_mul(size));
                self.memory.huge_pages = Some(sum);
            }
            return true;
        }
        let Some((name, values)) = rest.split_once(" free:") else { return false };
        if name.contains(' ') || self.memory.zones.len() >= MOST {
            return false;
        }
        let mut zone = Zone { node, name: name.to_owned(), ..Zone::default() };
        let Some(free) = values.split(' ').next().and_then(kib) else { return false };
        zone.free = free;
        for (key, value) in values.split(' ').filter_map(|word| word.split_once(':')) {
            match key {
                "min" => zone.min = kib(value).unwrap_or(0),
                "managed" => zone.managed = kib(value),
                _ => {}
            }
        }
        self.memory.zones.push(zone);
        true
    }

    /// `kmalloc-512             1024KB       2048KB`
    fn slab(&mut self, text: &str) -> bool {
        let mut words = text.split_whitespace();
        let size = |word: &str| word.strip_suffix("KB")?.parse::<u64>().ok()?.checked_mul(1024);
        let (Some(name), Some(_), Some(total), None) =
            (words.next(), words.next().and_then(size), words.next().and_then(size), words.next())
        else {
            return false;
        };
        let slabs = &mut self.memory.slabs;
        let at = slabs.partition_point(|(_, other)| *other >= total);
        if at < SLABS {
            slabs.insert(at, (name.to_owned(), total));
            slabs.truncate(SLABS);
        }
        true
    }

    /// All of it, with pages of so many bytes; `None` when nothing was read.
    pub fn finish(mut self, page_size: u64) -> Option<MachineMemory> {
        let pages = |count: u64| count.saturating_mul(page_size);
        self.memory.total = self.ram.map(|ram| pages(ram.saturating_sub(self.reserved)));
        self.memory.parts = self.parts.into_iter().map(|(key, value)| (key, pages(value))).collect();
        (self.memory != MachineMemory::default()).then_some(self.memory)
    }

    /// Whether anything was read that the kernel prints for the machine alone.
    pub fn is_empty(&self) -> bool {
        self.memory == MachineMemory::default() && self.parts.is_empty() && self.ram.is_none()
    }
}

fn kib(word: &str) -> Option<u64> {
    word.strip_suffix("kB")?.parse::<u64>().ok()?.checked_mul(1024)
}

/// `  = 2097152kB`
fn assigned(text: &str) -> Option<u64> {
    kib(text.trim_start().strip_prefix('=')?.trim())
}
