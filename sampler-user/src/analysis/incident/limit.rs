//! The limit that an incident hit.

use serde::{Deserialize, Serialize};

use crate::model::evidence::{Constraint, OomKill, OomReport, Usage};

/// Whose limit an incident hit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Owner {
    /// The victim's own cgroup.
    Own,
    /// A cgroup above it.
    Ancestor,
    /// The cgroup of all WSL distros.
    WslUser,
    /// The machine itself.
    Machine,
    /// No witness saw it, or nobody's.
    Unknown,
}

/// The limit that was hit.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Limit {
    /// Whose it is.
    pub owner: Owner,
    /// Its cgroup; absent for the machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cgroup: Option<String>,
    /// The limit; for the machine its memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
    /// What was used of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<u64>,
}

impl Owner {
    /// Whose limit a kill hit, by what its witnesses saw of the limit and of the victim.
    pub fn of(constraint: Constraint, limit_cgroup: Option<&str>, victim_cgroup: Option<&str>) -> Owner {
        match (constraint, limit_cgroup) {
            (Constraint::None | Constraint::Cpuset | Constraint::MemoryPolicy, _) => Owner::Machine,
            (Constraint::Memcg, Some(path)) if Some(path) == victim_cgroup => Owner::Own,
            (Constraint::Memcg, Some("/wsl-user")) => Owner::WslUser,
            (Constraint::Memcg, Some(_)) => Owner::Ancestor,
            _ => Owner::Unknown,
        }
    }
}

impl Limit {
    /// Nothing is known of it.
    pub fn unknown() -> Limit {
        Limit { owner: Owner::Unknown, cgroup: None, limit: None, usage: None }
    }

    /// The limit that a kill hit, as far as its witnesses saw it; they do not see the size of the machine.
    ///
    /// ```
    /// use sampler::analysis::incident::{Limit, Owner};
    /// use sampler::model::evidence::OomKill;
    ///
    /// let kill: OomKill = serde_json::from_str(
    ///     r#"{"time_ns": 5, "constraint": "memcg", "victim_cgroup": "/pod/a", "limit_cgroup": "/pod", "witnesses": []}"#,
    /// )?;
    /// let limit = Limit::of(&kill);
    /// assert_eq!((limit.owner, limit.cgroup.as_deref(), limit.limit), (Owner::Ancestor, Some("/pod"), None));
    /// # Ok::<(), serde_json::Error>(())
    /// ```
    pub fn of(kill: &OomKill) -> Limit {
        Limit::seen(kill.constraint, kill.limit_cgroup.as_deref(), kill.victim_cgroup.as_deref(), kill.usage())
    }

    /// The same by one report of the kernel's log.
    pub fn of_report(report: &OomReport) -> Limit {
        Limit::seen(report.constraint, report.oom_memcg.as_deref(), report.task_memcg.as_deref(), report.memory)
    }

    fn seen(constraint: Constraint, cgroup: Option<&str>, victim_cgroup: Option<&str>, usage: Option<Usage>) -> Limit {
        let owner = Owner::of(constraint, cgroup, victim_cgroup);
        match owner {
            Owner::Own | Owner::Ancestor | Owner::WslUser => Limit {
                owner,
                cgroup: cgroup.map(str::to_owned),
                limit: usage.and_then(|usage| usage.limit),
                usage: usage.map(|usage| usage.usage),
            },
            Owner::Machine | Owner::Unknown => Limit { owner, ..Limit::unknown() },
        }
    }
}
