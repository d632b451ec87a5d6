//! The running kernel's own account of its types (BTF): where a member stands, what an enumerator is, which arguments a
//! tracepoint has. Read here because aya keeps its reading to itself.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;

/// Where the kernel publishes its types.
pub const VMLINUX: &str = "/sys/kernel/btf/vmlinux";

const ARRAY: u32 = 3;
const STRUCT: u32 = 4;
const UNION: u32 = 5;
const ENUM: u32 = 6;
const FWD: u32 = 7;
const TYPEDEF: u32 = 8;
const FUNC: u32 = 12;
const FUNC_PROTO: u32 = 13;
const ENUM64: u32 = 19;

/// Types deeper than this are no types of the kernel.
const MOST_DEPTH: u32 = 32;

/// A member: byte offset from the structure that was asked for, and the type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// Bytes from the beginning.
    pub offset: u32,
    /// Its type, by number.
    pub of: u32,
}

/// The kernel's types.
#[derive(Debug)]
pub struct Btf {
    bytes: Vec<u8>,
    /// Where each type begins; type 0 is `void`.
    types: Vec<u32>,
    strings: usize,
    /// Structures, typedefs and functions, and enumerators: kind and name as one number, and where; in order of it.
    names: Vec<(u64, u32)>,
}

impl Btf {
    /// Reads the running kernel's types.
    pub fn of_kernel() -> std::io::Result<Btf> {
        let bytes = std::fs::read(Path::new(VMLINUX))?;
        Btf::parse(bytes).ok_or_else(|| std::io::Error::other("it is cut short or of an unknown form"))
    }

    /// Types from the bytes of a BTF file. Nothing when they are not whole; never panics.
    pub fn parse(bytes: Vec<u8>) -> Option<Btf> {
        let word = |at: usize| -> Option<u32> {
            Some(u32::from_le_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
        };
        if word(0)? & 0xffff != 0xeb9f {
            return None;
        }
        let head = word(4)? as usize;
        let mut at = head.checked_add(word(8)? as usize)?;
        let end = at.checked_add(word(12)? as usize)?;
        let strings = head.checked_add(word(16)? as usize)?;
        bytes.get(strings)?;
        let mut types = vec![0];
        while at < end {
            let info = word(at + 4)?;
            types.push(u32::try_from(at).ok()?);
            let entries = (info & 0xffff) as usize;
            at += 12
                + match info >> 24 & 0x1f {
                    1 | 14 | 17 => 4,
                    ARRAY => 12,
                    STRUCT | UNION | 15 | ENUM64 => entries * 12,
                    ENUM | FUNC_PROTO => entries * 8,
                    _ => 0,
                };
        }
        let mut btf = Btf { types, strings, bytes, names: Vec::new() };
        btf.index();
        Some(btf)
    }

    /// Names once, because a kernel has some 150,000 types and a hundred are asked for. One piece of memory, which goes back to the
    /// system whole.
    fn index(&mut self) {
        let mut names = Vec::with_capacity(2 * self.types.len());
        for of in 1..self.types.len() as u32 {
            match self.kind(of) {
                kind @ (STRUCT | TYPEDEF | FUNC) => names.push((key(kind, self.name(of)), of)),
                kind @ (ENUM | ENUM64) => {
                    for at in self.entries(of, if kind == ENUM { 8 } else { 12 }) {
                        names.push((key(ENUM, self.string(self.word(at))), at as u32));
                    }
                }
                _ => {}
            }
        }
        names.sort_unstable();
        self.names = names;
    }

    fn named(&self, kind: u32, name: &str) -> impl Iterator<Item = u32> {
        let key = key(kind, name.as_bytes());
        let first = self.names.partition_point(|(other, _)| *other < key);
        self.names[first..].iter().take_while(move |(other, _)| *other == key).map(|(_, of)| *of)
    }

    fn word(&self, at: usize) -> u32 {
        self.bytes.get(at..at + 4).and_then(|bytes| bytes.try_into().ok()).map_or(0, u32::from_le_bytes)
    }

    fn kind(&self, of: u32) -> u32 {
        if of == 0 { 0 } else { self.info(of) >> 24 & 0x1f }
    }

    fn info(&self, of: u32) -> u32 {
        self.word(self.at(of) + 4)
    }

    fn at(&self, of: u32) -> usize {
        self.types.get(of as usize).map_or(usize::MAX / 2, |at| *at as usize)
    }

    fn size_or_type(&self, of: u32) -> u32 {
        self.word(self.at(of) + 8)
    }

    fn entries(&self, of: u32, width: usize) -> impl Iterator<Item = usize> {
        let first = self.at(of).saturating_add(12);
        (0..(self.info(of) & 0xffff) as usize).map(move |n| first + n * width)
    }

    fn string(&self, offset: u32) -> &[u8] {
        let from = self.bytes.get(self.strings.saturating_add(offset as usize)..).unwrap_or_default();
        from.split(|byte| *byte == 0).next().unwrap_or_default()
    }

    fn name(&self, of: u32) -> &[u8] {
        self.string(self.word(self.at(of)))
    }

    fn find(&self, kind: u32, name: &str) -> Option<u32> {
        self.named(kind, name).find(|of| self.name(*of) == name.as_bytes())
    }

    /// The same types by the same numbers as a BTF of its own, with nothing but these typedefs and functions in it. The whole one costs
    /// a reader who takes it apart some 50 MiB in small pieces.
    pub fn thin(&self, wanted: impl Fn(&[u8]) -> bool) -> Vec<u8> {
        let mut types = Vec::with_capacity(12 * self.types.len());
        let mut strings = vec![0u8];
        for of in 1..self.types.len() as u32 {
            let kept = matches!(self.kind(of), TYPEDEF | FUNC) && wanted(self.name(of));
            let words = if kept {
                let name = strings.len() as u32;
                strings.extend(self.name(of));
                strings.push(0);
                [name, self.info(of), self.size_or_type(of)]
            } else {
                [0, FWD << 24, 0]
            };
            types.extend(words.iter().flat_map(|word| word.to_le_bytes()));
        }
        let length = types.len() as u32;
        let head = [0x0001_eb9f, 24, 0, length, length, strings.len() as u32];
        head.iter().flat_map(|word| word.to_le_bytes()).chain(types).chain(strings).collect()
    }

    /// The type behind names and qualifiers.
    fn bare(&self, mut of: u32) -> u32 {
        for _ in 0..MOST_DEPTH {
            match self.kind(of) {
                // typedef, volatile, const, restrict, type tag
                TYPEDEF | 9 | 10 | 11 | 18 => of = self.size_or_type(of),
                _ => break,
            }
        }
        of
    }

    /// A member by its path, such as `memory.usage` of `mem_cgroup`; members of nameless members count as members.
    pub fn member(&self, structure: &str, path: &str) -> Option<Member> {
        let mut found = Member { offset: 0, of: self.find(STRUCT, structure)? };
        for name in path.split('.') {
            let inner = self.direct(self.bare(found.of), name, 0)?;
            found = Member { offset: found.offset.checked_add(inner.offset)?, of: inner.of };
        }
        Some(found)
    }

    fn direct(&self, of: u32, name: &str, depth: u32) -> Option<Member> {
        if depth > MOST_DEPTH || !matches!(self.kind(of), STRUCT | UNION) {
            return None;
        }
        // With the kind flag the upper byte of a member's place is the width of a bit field.
        let bits = if self.info(of) >> 31 == 1 { 0x00ff_ffff } else { u32::MAX };
        for at in self.entries(of, 12) {
            let (own, of, place) = (self.word(at), self.word(at + 4), self.word(at + 8) & bits);
            let offset = place / 8;
            if own != 0 && self.string(own) == name.as_bytes() {
                return Some(Member { offset, of });
            }
            if (own == 0 || self.string(own).is_empty())
                && let Some(inner) = self.direct(self.bare(of), name, depth + 1)
            {
                return Some(Member { offset: offset.checked_add(inner.offset)?, of: inner.of });
            }
        }
        None
    }

    /// Element type of an array.
    pub fn element(&self, array: u32) -> Option<u32> {
        let array = self.bare(array);
        (self.kind(array) == ARRAY).then(|| self.word(self.at(array) + 12))
    }

    /// Size of a structure, bytes.
    pub fn size(&self, of: u32) -> Option<u32> {
        let of = self.bare(of);
        matches!(self.kind(of), 1 | STRUCT | UNION | ENUM | ENUM64).then(|| self.size_or_type(of))
    }

    /// A member of a type that was found as a member.
    pub fn inner(&self, of: u32, name: &str) -> Option<Member> {
        self.direct(self.bare(of), name, 0)
    }

    /// Value of an enumerator, of whatever enum.
    pub fn enumerator(&self, name: &str) -> Option<u64> {
        let mut all = self.named(ENUM, name).map(|at| at as usize);
        let at = all.find(|at| self.string(self.word(*at)) == name.as_bytes())?;
        Some(u64::from(self.word(at + 4)))
    }

    /// Number of the function of this name.
    pub fn function(&self, name: &str) -> Option<u32> {
        self.find(FUNC, name)
    }

    /// Names of the arguments of a tracepoint, without the first, which is the kernel's own. Nothing when there is no such
    /// tracepoint.
    pub fn tracepoint(&self, name: &str) -> Option<Vec<String>> {
        // btf_trace_NAME is a pointer to the prototype; the names are with the function that calls it.
        let prototype = self.find(FUNC, &format!("__bpf_trace_{name}")).map(|function| self.size_or_type(function));
        let typedef = || {
            let pointer = self.bare(self.find(TYPEDEF, &format!("btf_trace_{name}"))?);
            Some(self.size_or_type(pointer))
        };
        self.find(TYPEDEF, &format!("btf_trace_{name}"))?;
        let prototype = prototype.or_else(typedef)?;
        if self.kind(prototype) != FUNC_PROTO {
            return None;
        }
        let name = |at| String::from_utf8_lossy(self.string(self.word(at))).into_owned();
        Some(self.entries(prototype, 8).skip(1).map(name).collect())
    }
}

fn key(kind: u32, name: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    (kind, name).hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn section(types: &[&[u32]], strings: &[u8]) -> Vec<u8> {
        let types: Vec<u32> = types.iter().flat_map(|words| words.iter().copied()).collect();
        let head = [0x0001_eb9f, 24, 0, types.len() as u32 * 4, types.len() as u32 * 4, strings.len() as u32];
        let mut bytes: Vec<u8> = head.iter().chain(&types).flat_map(|word| word.to_le_bytes()).collect();
        bytes.extend(strings);
        bytes
    }

    /// `struct s { long a; union { long b; struct { long x; long c; }; }; }; enum { ONE = 1 };`
    fn example() -> Vec<u8> {
        section(
            &[
                &[1, 1 << 24, 8, 64],                            // 1: long
                &[6, STRUCT << 24 | 2, 24, 8, 1, 0, 0, 3, 64],   // 2: s
                &[0, UNION << 24 | 2, 16, 10, 1, 0, 0, 4, 0],    // 3
                &[0, STRUCT << 24 | 2, 16, 12, 1, 0, 14, 1, 64], // 4
                &[0, ENUM << 24 | 1, 4, 16, 1],                  // 5
                &[0, ARRAY << 24, 0, 4, 1, 3],                   // 6
            ],
            b"\0long\0s\0a\0b\0x\0c\0ONE\0",
        )
    }

    #[test]
    fn members_are_found_through_nameless_ones() {
        let btf = Btf::parse(example()).unwrap();
        assert_eq!(btf.member("s", "a").map(|m| m.offset), Some(0));
        assert_eq!(btf.member("s", "b").map(|m| m.offset), Some(8));
        assert_eq!(btf.member("s", "c").map(|m| m.offset), Some(16));
        assert_eq!((btf.member("s", "d"), btf.member("t", "a"), btf.member("s", "a.b")), (None, None, None));
        assert_eq!((btf.enumerator("ONE"), btf.enumerator("TWO")), (Some(1), None));
        assert_eq!((btf.element(6), btf.element(1), btf.size(2)), (Some(4), None, Some(24)));
    }

    #[test]
    fn a_thin_one_keeps_numbers_and_what_is_wanted() {
        let btf = Btf::parse(section(
            &[
                &[1, 1 << 24, 8, 64],       // 1: long
                &[6, TYPEDEF << 24, 1],     // 2: first
                &[12, TYPEDEF << 24, 1],    // 3: second
                &[19, FUNC_PROTO << 24, 0], // 4
                &[12, FUNC << 24, 4],       // 5: second
            ],
            b"\0long\0first\0second\0",
        ))
        .unwrap();
        let thin = Btf::parse(btf.thin(|name| name == b"second")).unwrap();
        assert_eq!((btf.find(TYPEDEF, "first"), thin.find(TYPEDEF, "first")), (Some(2), None));
        assert_eq!((thin.find(TYPEDEF, "second"), thin.find(FUNC, "second")), (Some(3), Some(5)));
        // And aya takes it.
        aya::Btf::parse(&btf.thin(|name| name == b"second"), aya::Endianness::default()).unwrap();
    }

    proptest! {
        /// No bytes make it panic.
        #[test]
        fn any_bytes_are_types_or_nothing(at in 0..300usize, value in any::<u8>(), cut in 0..300usize) {
            let mut bytes = example();
            if let Some(byte) = bytes.get_mut(at) { *byte = value; }
            bytes.truncate(cut);
            if let Some(btf) = Btf::parse(bytes) {
                let _ = (btf.member("s", "c"), btf.enumerator("ONE"), btf.tracepoint("x"), btf.element(6), btf.size(6));
            }
        }
    }
}
