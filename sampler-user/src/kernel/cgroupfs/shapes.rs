//! The rarer shapes of the kernel's files. No allocation, no panic on any bytes; what is not there is absent.

use crate::kernel::cgroupfs::number::number;

fn lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes.split(|&b| b == b'\n')
}

fn words(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty())
}

/// The value after `key` in the line that begins with the word `row`: `TCP: inuse 1 mem 44`.
pub fn pair(bytes: &[u8], row: &[u8], key: &[u8]) -> Option<u64> {
    let mut words = lines(bytes).map(words).find_map(|mut words| (words.next()? == row).then_some(words))?;
    words.find(|word| *word == key)?;
    number(words.next()?)
}

/// The word at a place of the line that begins with the word `row`.
pub fn column(bytes: &[u8], row: &[u8], at: usize) -> Option<u64> {
    let line = lines(bytes).find(|line| words(line).next() == Some(row))?;
    number(words(line).nth(at)?)
}

/// The sum of the numbers behind `key` in all lines that begin with it.
pub fn sum(bytes: &[u8], key: &[u8]) -> Option<u64> {
    let mut all = None;
    for line in lines(bytes) {
        let mut words = words(line);
        if words.next() == Some(key) {
            let value = words.next().and_then(number)?;
            all = Some(all.unwrap_or(0u64).saturating_add(value));
        }
    }
    all
}

/// Free pages in blocks of an order and larger: `Node 0, zone Normal 5 3 1 …` has how many blocks there are of order 0, 1, 2, …
pub fn blocks(bytes: &[u8], from: usize) -> Option<u64> {
    let mut all = None;
    for line in lines(bytes) {
        let mut words = words(line);
        if words.next() != Some(b"Node") {
            continue;
        }
        let mut pages = 0u64;
        for (order, word) in words.skip(3).enumerate() {
            let count = number(word)?;
            if order >= from {
                pages = pages.saturating_add(count.saturating_mul(1u64.checked_shl(order as u32)?));
            }
        }
        all = Some(all.unwrap_or(0u64).saturating_add(pages));
    }
    all
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn each_shape_is_read_from_what_the_kernel_prints() {
        let sockets =
            b"sockets: used 11\nTCP: inuse 1 orphan 0 tw 0 alloc 1 mem 44\nUDP: inuse 0 mem 3\nUDPLITE: inuse 0\n";
        assert_eq!((pair(sockets, b"TCP:", b"mem"), pair(sockets, b"UDP:", b"mem")), (Some(44), Some(3)));
        assert_eq!((pair(sockets, b"UDPLITE:", b"mem"), pair(sockets, b"FRAG:", b"memory")), (None, None));
        let cgroups = b"#subsys_name\thierarchy\tnum_cgroups\tenabled\ncpu\t2\t3\t1\nmemory\t4\t25\t1\n";
        assert_eq!((column(cgroups, b"memory", 2), column(cgroups, b"pids", 2)), (Some(25), None));
        let zones = b"Node 0, zone DMA\n  pagesets\n    cpu: 0\n              count:    224\n              high:     1444\n              count:    5\n";
        assert_eq!((sum(zones, b"count:"), sum(b"", b"count:")), (Some(229), None));
        let free = b"Node 0, zone      DMA      1      0      1\nNode 1, zone   Normal  3   20005   2\n";
        assert_eq!(
            (blocks(free, 0), blocks(free, 1), blocks(free, 2), blocks(free, 3)),
            (Some(1 + 4 + 3 + 40010 + 8), Some(4 + 40010 + 8), Some(4 + 8), Some(0))
        );
        assert_eq!(blocks(b"", 0), None, "no line is not nothing free");
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), text in "(Node 0, zone x|TCP:|count:|memory)?( ?[0-9]{1,20}|\\n| mem ){0,70}") {
            for bytes in [&bytes[..], text.as_bytes()] {
                let _ = (pair(bytes, b"TCP:", b"mem"), column(bytes, b"memory", 2), sum(bytes, b"count:"), blocks(bytes, 9));
            }
        }
    }
}
