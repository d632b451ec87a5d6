//! Which limit is reached first: a cgroup's own, or that of an ancestor whose other members hold a part of it.

use std::collections::BTreeMap;
use std::iter::successors;

use crate::paths::parent;

/// What a cgroup holds and may hold, bytes; infinity without a limit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Room {
    /// memory.current at the end.
    pub current: f64,
    /// memory.max at the end.
    pub limit: f64,
}

/// The limit as the cgroup sees it, and whose it is; `None` when nobody has one.
pub fn nearest<'a>(path: &'a str, rooms: &BTreeMap<String, Room>) -> Option<(&'a str, f64)> {
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
    fn the_parent_counts_with_what_its_others_hold() {
        let room = |current: f64, limit: f64| Room { current, limit };
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
