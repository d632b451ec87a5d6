//! Paths of cgroups: which is above which, and what people call them.

/// Whether a path is another, or below it.
pub fn is_below(path: &str, above: &str) -> bool {
    path == above || above == "/" || path.strip_prefix(above).is_some_and(|rest| rest.starts_with('/'))
}

/// The path above; `None` of the root.
pub fn parent(path: &str) -> Option<&str> {
    match path.rfind('/')? {
        0 => (path.len() > 1).then_some("/"),
        end => Some(&path[..end]),
    }
}

/// A cgroup as people call it: its last name; of an id of 64 hexadecimal digits the first twelve, as Docker shows it.
pub fn name(path: &str) -> &str {
    let last = path.rsplit('/').find(|part| !part.is_empty()).unwrap_or("/");
    let id = last.trim_end_matches(".scope").rsplit('-').next().unwrap_or(last);
    if id.len() == 64 && id.bytes().all(|b| b.is_ascii_hexdigit()) { &id[..12] } else { last }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_below_itself_and_its_ancestors_and_no_namesake() {
        for (path, above, is) in
            [("/a", "/a", true), ("/a/b", "/a", true), ("/ab", "/a", false), ("/a", "/", true), ("/a", "/a/b", false)]
        {
            assert_eq!(is_below(path, above), is, "{path} below {above}");
        }
    }

    #[test]
    fn the_way_up_ends_at_the_root() {
        fn up(path: &str) -> Vec<&str> {
            std::iter::successors(Some(path), |path| parent(path)).collect()
        }
        assert_eq!(up("/a/b/c"), ["/a/b/c", "/a/b", "/a", "/"]);
        assert_eq!((up("/"), up("")), (vec!["/"], vec![""]));
    }

    #[test]
    fn a_container_is_called_by_the_first_digits_of_its_id() {
        let id = "0123456789abcdef".repeat(4);
        assert_eq!(name(&format!("/system.slice/docker-{id}.scope")), "0123456789ab");
        assert_eq!((name("/docker/web"), name("/")), ("web", "/"));
    }
}
