//! The story of an OOM kill in one sentence: who was killed, when, and by whose limit.

use crate::analysis::incident::limit::{Limit, Owner};
use crate::model::evidence::Constraint;
use crate::model::units::{bytes, printable, time_of_day};

/// The facts of the sentence. Names are hostile but for [`KillFacts::cgroup`], which is shown as it is.
#[derive(Clone, Debug)]
pub struct KillFacts<'a> {
    /// When, microseconds since 1970.
    pub time_us: i64,
    /// When, as a kernel's log has it, with the space in front: ` at 02:11:47 (the log's clock)`; absent where `time_us` is known.
    pub when: Option<&'a str>,
    /// Whether somebody asked the kernel for the kill (SysRq f).
    pub is_manual: bool,
    /// Name of the first victim, where a witness named it.
    pub comm: Option<&'a str>,
    /// Its pid, where it is to be shown.
    pub pid: Option<i32>,
    /// Its cgroup as people call it.
    pub cgroup: Option<String>,
    /// How many were killed with it.
    pub others: u64,
    /// Whether they were killed as a group (memory.oom.group).
    pub is_group: bool,
    /// Why the OOM killer came.
    pub constraint: Constraint,
    /// The limit that was hit.
    pub limit: Limit,
    /// The cgroup of that as people call it, where it is not the victim's.
    pub limit_of: Option<String>,
    /// Swap of the machine, bytes; absent when it was not read.
    pub swap: Option<u64>,
}

impl KillFacts<'_> {
    /// Who was killed, when and by what; `more` follows in the same sentence.
    ///
    /// ```
    /// use sampler::analysis::incident::kill_facts::KillFacts;
    /// use sampler::analysis::incident::{Limit, Owner};
    /// use sampler::model::evidence::Constraint;
    ///
    /// let facts = KillFacts {
    ///     time_us: 0,
    ///     when: None,
    ///     is_manual: false,
    ///     comm: Some("java"),
    ///     pid: Some(7),
    ///     cgroup: Some("shop/orders".into()),
    ///     others: 0,
    ///     is_group: false,
    ///     constraint: Constraint::Memcg,
    ///     limit: Limit { owner: Owner::Own, cgroup: None, limit: Some(96 << 20), usage: None },
    ///     limit_of: None,
    ///     swap: None,
    /// };
    /// let sentence = "`java` (pid 7) in `shop/orders` was OOM-killed at 00:00:00 UTC by its own limit of 96 MiB.";
    /// assert_eq!(facts.sentence(""), sentence);
    /// ```
    pub fn sentence(&self, more: &str) -> String {
        format!("{} {}", self.victim(), self.was_killed(more))
    }

    /// The same without who: `was OOM-killed at 00:00:00 UTC by …`.
    pub fn was_killed(&self, more: &str) -> String {
        let when = match self.when {
            Some(words) => words.to_owned(),
            None => format!(" at {} UTC", time_of_day(self.time_us)),
        };
        format!("was OOM-killed{when} by {}{more}.", self.killed_by())
    }

    /// Who was killed.
    pub fn victim(&self) -> String {
        let pid = self.pid.map_or_else(String::new, |pid| format!(" (pid {pid})"));
        let mut who = match (self.comm.map(printable), &self.cgroup) {
            (Some(comm), Some(cgroup)) if comm != *cgroup => format!("`{comm}`{pid} in `{cgroup}`"),
            (Some(comm), _) => format!("`{comm}`{pid}"),
            (None, Some(cgroup)) => format!("A process of `{cgroup}`"),
            (None, None) => "A process".into(),
        };
        if self.others > 0 {
            let group = if self.is_group { " of its group (memory.oom.group)" } else { "" };
            who += &format!(" with {} more{group}", self.others);
        }
        who
    }

    /// By whose limit.
    fn killed_by(&self) -> String {
        if self.is_manual {
            return "the kernel because somebody asked for it (SysRq f), not because memory had run out".into();
        }
        let size = self.limit.limit.map_or_else(|| "unknown size".into(), bytes);
        match self.limit.owner {
            Owner::Own => format!("its own limit of {size}"),
            Owner::Ancestor => match &self.limit_of {
                Some(cgroup) => format!("the limit of {size} of `{cgroup}` above it"),
                None => format!("a limit of {size} above it"),
            },
            Owner::WslUser => format!("the limit of {size} that all WSL distributions share (/wsl-user)"),
            Owner::Machine if matches!(self.constraint, Constraint::Cpuset | Constraint::MemoryPolicy) => {
                "the machine, whose memory nodes that it may use ran out".into()
            }
            Owner::Machine if self.limit.limit.is_none() => "the machine, which ran out of memory".into(),
            Owner::Machine => match self.swap {
                Some(0) => format!("the machine, which has {size} and no swap"),
                Some(swap) => format!("the machine, which has {size} and {} of swap", bytes(swap)),
                None => format!("the machine, which has {size}"),
            },
            Owner::Unknown if self.constraint == Constraint::Memcg => {
                "the limit of a cgroup that no witness named".into()
            }
            Owner::Unknown => "the machine or by a limit, which no witness says".into(),
        }
    }
}
