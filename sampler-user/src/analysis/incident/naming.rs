//! A cgroup as people call it.

use crate::model::identity::Names;
use crate::model::paths::name;
use crate::model::units::printable;

/// The name of a cgroup's container where it is known, else the last part of its path. Safe to show.
///
/// ```
/// use sampler::analysis::incident::naming::display_name;
///
/// assert_eq!(display_name("/system.slice/web.service", None), "web.service");
/// assert_eq!(display_name("/docker/0123", Some("shop/web")), "shop/web");
/// ```
pub fn display_name(path: &str, title: Option<&str>) -> String {
    printable(title.unwrap_or(name(path)))
}

/// The same, by the names of a recording.
pub fn name_among(names: &Names, path: &str) -> String {
    display_name(path, title_among(names, path).as_deref())
}

/// The name of a cgroup's container, where a recording has it. As it was recorded: hostile.
pub fn title_among(names: &Names, path: &str) -> Option<String> {
    names.of(path, |_| None)?.title()
}
