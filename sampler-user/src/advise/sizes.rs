//! Sizes as people write them, in steps of a quarter of a power of two: 48, 56, 64, 80, 96, 112, 128 MiB … 1, 1.25, 1.5, 1.75, 2 GiB.
//!
//! A limit of 253 MiB claims a precision that no measurement of a week has; what rounding gives is part of the room. Coarser ones
//! (96, then 128) waste more than a quarter of most.

/// Steps from one power of two to the next, in quarters.
const STEPS: [u64; 4] = [4, 5, 6, 7];
/// No advised limit is lower, bytes: a shell and a health check beside the program take some, and Docker refuses less than 6 MiB.
pub const LEAST: u64 = 16 << 20;

/// The sizes, ascending.
fn all() -> impl Iterator<Item = u64> {
    (0..40).flat_map(|doubled| STEPS.map(|step| (LEAST / 4 * step) << doubled))
}

/// The smallest size that is at least this many bytes.
pub fn at_least(bytes: u64) -> u64 {
    all().find(|size| *size >= bytes).unwrap_or(bytes)
}

/// The largest size that is at most this many bytes; absent below the smallest.
pub fn at_most(bytes: u64) -> Option<u64> {
    all().take_while(|size| *size <= bytes).last()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_those_that_people_write() {
        let mib: Vec<u64> = all().take(19).map(|size| size >> 20).collect();
        let wanted = [16, 20, 24, 28, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384];
        assert_eq!(mib, wanted);
        assert_eq!((at_least(0), at_least(LEAST + 1), at_least(200 << 20)), (LEAST, 20 << 20, 224 << 20));
        assert_eq!((at_most(LEAST - 1), at_most(200 << 20)), (None, Some(192 << 20)));
        assert_eq!(at_least(u64::MAX), u64::MAX, "more than anything has");
    }
}
