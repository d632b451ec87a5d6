//! Maps that a storm has filled give their room back: their memory is bounded by what lives now.

use std::collections::HashMap;
use std::hash::Hash;

/// Room that is not worth giving back, entries.
const LEAST: usize = 64;

/// Gives back room once three quarters of it are free. Called at each removal, so that what it costs is spread over many.
pub fn shrink<K: Eq + Hash, V>(map: &mut HashMap<K, V>) {
    if map.capacity() > LEAST.max(4 * map.len()) {
        map.shrink_to(2 * map.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_that_was_full_gives_its_room_back_and_keeps_what_is_in_it() {
        let mut map: HashMap<u32, u32> = (0..10_000).map(|n| (n, n)).collect();
        for n in 100..10_000 {
            map.remove(&n);
            shrink(&mut map);
        }
        assert!(map.capacity() < 1000, "{}", map.capacity());
        assert!(map.len() == 100 && map.iter().all(|(key, value)| key == value));
    }
}
