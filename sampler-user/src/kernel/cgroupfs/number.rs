//! A number as the kernel prints it.

use crate::model::fields::UNLIMITED;

/// v1 prints "no limit" as the largest page-aligned `i64`; anything this large is no limit.
const V1_UNLIMITED: u64 = i64::MAX as u64 - (1 << 16);

/// A number at the start of `bytes`, or the word `max`.
#[inline]
pub fn number(bytes: &[u8]) -> Option<u64> {
    let mut value = 0u64;
    let mut digits = 0;
    for &byte in bytes {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            break;
        }
        value = value.checked_mul(10)?.checked_add(u64::from(digit))?;
        digits += 1;
    }
    match digits {
        0 => bytes.starts_with(b"max").then_some(UNLIMITED),
        _ if value >= V1_UNLIMITED => Some(UNLIMITED),
        _ => Some(value),
    }
}
