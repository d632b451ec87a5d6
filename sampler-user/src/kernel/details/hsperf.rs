//! The counters of a JVM (hsperfdata), which it keeps in a file for tools of its own: read without attaching to it.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

use rustix::fs::{Dir, Mode, OFlags, ResolveFlags, open, openat2};

use crate::model::own_memory::JavaHeap;

/// A file is 32 KiB; what is beyond this is no counter of interest.
const MOST_BYTES: u64 = 256 << 10;
/// Entries that are looked at, of the file and of the folder it is in.
const MOST_ENTRIES: usize = 4096;
const MAGIC: [u8; 4] = [0xca, 0xfe, 0xc0, 0xc0];
const LITTLE_ENDIAN: u8 = 1;

/// The counters of a process whose pid in its own namespace is `own_pid`, and the most that its heap may have, bytes; `None` where it
/// keeps none (`-XX:-UsePerfData`), or without the right to look into its root (CAP_SYS_PTRACE). Minimum kernel: 5.6.
pub fn read(pid: i32, own_pid: i32) -> Option<(JavaHeap, Option<u64>)> {
    // What the container made of its folders must not lead out of it.
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let root =
        open(format!("/proc/{pid}/root"), OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).ok()?;
    let tmp = openat2(&root, Path::new("tmp"), flags | OFlags::DIRECTORY, Mode::empty(), resolve).ok()?;
    for entry in Dir::read_from(&tmp).ok()?.flatten().take(MOST_ENTRIES) {
        let name = entry.file_name().to_string_lossy().into_owned();
        if !name.starts_with("hsperfdata_") {
            continue;
        }
        let path = format!("tmp/{name}/{own_pid}");
        let Ok(file) = openat2(&root, Path::new(&path), flags, Mode::empty(), resolve) else { continue };
        let file = File::from(file);
        if !file.metadata().is_ok_and(|meta| meta.is_file()) {
            continue;
        }
        let mut bytes = Vec::new();
        if file.take(MOST_BYTES).read_to_end(&mut bytes).is_ok()
            && let Some(heap) = parse(&bytes)
        {
            return Some(heap);
        }
    }
    None
}

/// The heap and its ceiling in the bytes of a file. Source: `PerfMemory.hpp` of OpenJDK, version 2 of the format.
pub fn parse(bytes: &[u8]) -> Option<(JavaHeap, Option<u64>)> {
    let counters = counters(bytes)?;
    let get = |name: &str| counters.get(name).copied();
    let spaces = |generation: u8| {
        (0..3)
            .filter_map(move |space| get(&format!("sun.gc.generation.{generation}.space.{space}.used")))
            .reduce(u64::saturating_add)
    };
    let old_used = spaces(1)?;
    let sum = |what: &str| {
        let of = |generation: u8| get(&format!("sun.gc.generation.{generation}.{what}"));
        Some((of(0)?, of(1)?))
    };
    let (young, old) = sum("capacity")?;
    let most = sum("maxCapacity").map(|(young, old)| {
        // Each generation of G1 may have all of the heap.
        if young == old { old } else { young.saturating_add(old) }
    });
    let collections = |collector: u8| get(&format!("sun.gc.collector.{collector}.invocations"));
    let heap = JavaHeap {
        committed: young.saturating_add(old),
        used: spaces(0).unwrap_or(0).saturating_add(old_used),
        old_used,
        young_collections: collections(0)?,
        old_collections: collections(1)?.saturating_add(collections(2).unwrap_or(0)),
        metaspace: get("sun.gc.metaspace.used"),
    };
    Some((heap, most))
}

/// The counters that are numbers, by name.
fn counters(bytes: &[u8]) -> Option<HashMap<&str, u64>> {
    if bytes.get(..4)? != MAGIC {
        return None;
    }
    let is_little = *bytes.get(4)? == LITTLE_ENDIAN;
    let int = |at: usize| {
        let four = bytes.get(at..at.checked_add(4)?)?.try_into().ok()?;
        let value = if is_little { i32::from_le_bytes(four) } else { i32::from_be_bytes(four) };
        usize::try_from(value).ok()
    };
    let long = |at: usize| {
        let eight = bytes.get(at..at.checked_add(8)?)?.try_into().ok()?;
        let value = if is_little { i64::from_le_bytes(eight) } else { i64::from_be_bytes(eight) };
        u64::try_from(value).ok()
    };
    let (mut at, count) = (int(24)?, int(28)?);
    let mut all = HashMap::new();
    for _ in 0..count.min(MOST_ENTRIES) {
        let (Some(length), Some(name), Some(data)) = (int(at), int(at + 4), int(at + 16)) else { break };
        // A scalar of the type long: its vector has no length.
        if int(at + 8) == Some(0) && bytes.get(at + 12) == Some(&b'J') {
            let name = bytes.get(at.saturating_add(name)..).and_then(|rest| rest.split(|b| *b == 0).next());
            if let (Some(name), Some(value)) =
                (name.and_then(|name| str::from_utf8(name).ok()), long(at.saturating_add(data)))
            {
                all.insert(name, value);
            }
        }
        at = at.checked_add(length).filter(|_| length > 0)?;
    }
    Some(all)
}

/// The pid of a process in its own namespace.
pub fn own_pid(pid: i32) -> Option<i32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("NSpid:"))?;
    line.split_whitespace().last()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A file of the format with these counters.
    fn file(counters: &[(&str, i64)]) -> Vec<u8> {
        let mut bytes = [&MAGIC[..], &[LITTLE_ENDIAN, 2, 0, 1]].concat();
        let put = |bytes: &mut Vec<u8>, value: i32| bytes.extend(value.to_le_bytes());
        for value in [0, 0, 0, 0, 32, counters.len() as i32] {
            put(&mut bytes, value);
        }
        for (name, value) in counters {
            let data = (20 + name.len() + 1).next_multiple_of(8);
            for value in [(data + 8) as i32, 20, 0] {
                put(&mut bytes, value);
            }
            bytes.extend(*b"J\0\0\0");
            put(&mut bytes, data as i32);
            let begin = bytes.len() - 20;
            bytes.extend(name.as_bytes());
            bytes.resize(begin + data, 0);
            bytes.extend(value.to_le_bytes());
        }
        bytes
    }

    const SERIAL: [(&str, i64); 12] = [
        ("sun.gc.generation.0.capacity", 30),
        ("sun.gc.generation.1.capacity", 70),
        ("sun.gc.generation.0.maxCapacity", 100),
        ("sun.gc.generation.1.maxCapacity", 200),
        ("sun.gc.generation.0.space.0.used", 5),
        ("sun.gc.generation.0.space.1.used", 2),
        ("sun.gc.generation.0.space.2.used", 0),
        ("sun.gc.generation.1.space.0.used", 40),
        ("sun.gc.collector.0.invocations", 9),
        ("sun.gc.collector.1.invocations", 3),
        ("sun.gc.metaspace.used", 11),
        ("sun.rt.safepoints", -1),
    ];

    #[test]
    fn the_heap_is_the_sum_of_its_generations_and_of_g1_not_its_ceiling() {
        let (heap, most) = parse(&file(&SERIAL)).unwrap();
        assert_eq!((heap.committed, heap.used, heap.old_used, most), (100, 47, 40, Some(300)));
        assert_eq!((heap.young_collections, heap.old_collections, heap.metaspace), (9, 3, Some(11)));
        let mut g1 = SERIAL.to_vec();
        (g1[2].1, g1[3].1) = (512, 512);
        g1.push(("sun.gc.collector.2.invocations", 4));
        let (heap, most) = parse(&file(&g1)).unwrap();
        assert_eq!((heap.old_collections, most), (7, Some(512)));
        // ZGC has one generation: nothing is made up.
        assert!(parse(&file(&SERIAL[..7])).is_none());
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(cut in 0usize..900, at in 0usize..900, value: u8, more: Vec<u8>) {
            let mut bytes = file(&SERIAL);
            let place = at % bytes.len();
            bytes[place] = value;
            bytes.truncate(cut);
            bytes.extend(more);
            parse(&bytes);
        }
    }

    #[test]
    fn a_jvm_that_runs_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let source = "class Idle { public static void main(String[] a) throws Exception { Thread.sleep(60000); } }";
        fs::write(dir.path().join("Idle.java"), source).unwrap();
        let java = std::process::Command::new("java")
            .args(["-Xmx96m", "-XX:+UseSerialGC", "Idle.java"])
            .current_dir(&dir)
            .stdin(std::process::Stdio::null())
            .spawn();
        let Ok(mut java) = java else {
            eprintln!("SKIPPED: no java here");
            return;
        };
        let pid = java.id() as i32;
        let end = std::time::Instant::now() + std::time::Duration::from_secs(30);
        let mut heap = None;
        while heap.is_none() && std::time::Instant::now() < end {
            std::thread::sleep(std::time::Duration::from_millis(200));
            heap = own_pid(pid).and_then(|own| read(pid, own));
        }
        java.kill().unwrap();
        java.wait().unwrap();
        let (heap, most) = heap.unwrap();
        assert!(heap.committed > 1 << 20 && heap.used <= heap.committed, "{heap:?}");
        assert!(most.is_some_and(|most| (80 << 20..=96 << 20).contains(&most)), "{most:?}");
    }
}
