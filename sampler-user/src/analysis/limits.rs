//! Which limit is reached first: a cgroup's own, that of an ancestor whose other members hold a part of it, or the end of
//! the machine's memory.

use std::collections::BTreeMap;
use std::iter::successors;

use crate::model::paths::parent;

/// What a cgroup holds and may hold, bytes; infinity without a limit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Headroom {
    /// memory.current at the end.
    pub current: f64,
    /// memory.max at the end.
    pub limit: f64,
}

/// What owns the memory of the machine or of its VM, where an owner is a path. No cgroup has this path.
pub const MACHINE: &str = "";

/// What bounds a cgroup, bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Bounds<'a> {
    /// The first of the limits of cgroups, and whose it is.
    pub cgroup: Option<(&'a str, f64)>,
    /// What the kernel says anybody could still have at the end (MemAvailable). Swap is not in it: from there on the machine
    /// swaps, which is late for a warning, and what a cgroup has in swap counts as held under its own limit as well.
    pub available: Option<u64>,
}

impl<'a> Bounds<'a> {
    /// The limit, bytes, that is reached first by what cannot be reclaimed of a cgroup, of which it holds `unreclaimable` bytes; and whose it
    /// is. Page cache is no part of `unreclaimable`: the kernel counts it as available already.
    pub fn tightest(&self, unreclaimable: Option<f64>) -> Option<(&'a str, f64)> {
        let machine = unreclaimable
            .zip(self.available)
            .map(|(unreclaimable, available)| (MACHINE, unreclaimable + available as f64));
        self.cgroup.into_iter().chain(machine).min_by(|a, b| a.1.total_cmp(&b.1))
    }
}

impl<'a> From<Option<(&'a str, f64)>> for Bounds<'a> {
    fn from(cgroup: Option<(&'a str, f64)>) -> Bounds<'a> {
        Bounds { cgroup, available: None }
    }
}

/// The limit as the cgroup sees it, bytes, and whose it is: that of an ancestor less what others hold of it. `None` when nobody has
/// one, or where the cgroup itself is not in `rooms`.
///
/// ```
/// use sampler::analysis::limits::{Headroom, nearest};
///
/// let rooms = [
///     ("/pod".to_owned(), Headroom { current: 90.0, limit: 100.0 }),
///     ("/pod/a".to_owned(), Headroom { current: 30.0, limit: 64.0 }),
///     ("/pod/b".to_owned(), Headroom { current: 60.0, limit: f64::INFINITY }),
/// ];
/// // The pod has 100, of which others hold 60: 40 are left to /pod/a, less than its own 64.
/// assert_eq!(nearest("/pod/a", &rooms.into()), Some(("/pod", 40.0)));
/// ```
pub fn nearest<'a>(path: &'a str, rooms: &BTreeMap<String, Headroom>) -> Option<(&'a str, f64)> {
    let own = rooms.get(path)?.current;
    let mut best: Option<(&str, f64)> = None;
    for at in successors(Some(path), |at| parent(at)) {
        if let Some(room) = rooms.get(at).filter(|room| room.limit.is_finite()) {
            let sees = (room.limit - (room.current - own).max(0.0)).max(0.0);
            if best.is_none_or(|(_, known)| sees < known) {
                best = Some((at, sees));
            }
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_is_a_limit_where_it_ends_first() {
        let of = |cgroup, available| Bounds { cgroup, available };
        let own = Some(("/a", 1000.0));
        assert_eq!(of(own, Some(300)).tightest(Some(500.0)), Some((MACHINE, 800.0)));
        assert_eq!(of(own, Some(600)).tightest(Some(500.0)), own);
        assert_eq!(of(None, Some(600)).tightest(Some(500.0)), Some((MACHINE, 1100.0)));
        assert_eq!(of(own, None).tightest(Some(500.0)), own, "a host that was not read is no limit");
        assert_eq!(of(own, Some(0)).tightest(None), own);
        assert_eq!(of(None, Some(600)).tightest(None), None, "what is held is not known");
        assert_eq!(Bounds::from(own), of(own, None));
    }

    #[test]
    fn the_parent_counts_with_what_its_others_hold() {
        let room = |current: f64, limit: f64| Headroom { current, limit };
        let none = f64::INFINITY;
        let mut rooms = BTreeMap::from([
            ("/".to_owned(), room(900.0, none)),
            ("/p".to_owned(), room(700.0, 1000.0)),
            ("/p/a".to_owned(), room(100.0, none)),
            ("/q".to_owned(), room(50.0, none)),
        ]);
        assert_eq!(nearest("/p/a", &rooms), Some(("/p", 400.0)));
        assert_eq!(nearest("/q", &rooms), None);
        rooms.insert("/p/a".into(), room(100.0, 300.0));
        assert_eq!(nearest("/p/a", &rooms), Some(("/p/a", 300.0)));
        assert_eq!(nearest("/none", &rooms), None);
        assert_eq!(
            nearest("relative", &BTreeMap::from([("relative".into(), room(1.0, 2.0))])),
            Some(("relative", 2.0))
        );
    }
}
