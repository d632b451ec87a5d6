//! What Docker keeps and nobody uses: disk, not memory.

use serde::Serialize;

/// What could be removed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Leftovers {
    /// Containers that ended, and what they wrote, bytes.
    pub stopped: (usize, u64),
    /// Images without a name that no container uses, bytes.
    pub dangling: (usize, u64),
    /// Layers of builds that are not in use, bytes.
    pub build_cache: (usize, u64),
}

/// A thing to remove.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cleaning {
    /// What it is, in words.
    pub what: String,
    /// The command without its confirmation, as words.
    pub command: &'static [&'static str],
}

impl Leftovers {
    /// What to run, one line for each kind that is there.
    pub fn cleanings(&self) -> Vec<Cleaning> {
        let kinds: [(&str, (usize, u64), &'static [&'static str]); 3] = [
            (
                "containers that ended (their logs and what they wrote go too)",
                self.stopped,
                &["docker", "container", "prune"],
            ),
            ("images without a name", self.dangling, &["docker", "image", "prune"]),
            ("unused layers of builds", self.build_cache, &["docker", "builder", "prune"]),
        ];
        let of = kinds.into_iter().filter(|(_, (count, _), _)| *count > 0);
        of.map(|(what, (count, size), command)| Cleaning {
            what: format!("{count} {what}, {}", crate::model::units::bytes(size)),
            command,
        })
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_there_is_cleaned() {
        assert!(Leftovers::default().cleanings().is_empty());
        let some = Leftovers { stopped: (2, 5 << 20), build_cache: (7, 1 << 30), ..Leftovers::default() };
        let shown: Vec<String> =
            some.cleanings().into_iter().map(|c| format!("{}: {}", c.command.join(" "), c.what)).collect();
        assert!(
            shown[0].starts_with("docker container prune: 2 containers") && shown[0].ends_with("5 MiB"),
            "{shown:?}"
        );
        assert!(shown.len() == 2 && shown[1].starts_with("docker builder prune: 7 unused"), "{shown:?}");
    }
}
