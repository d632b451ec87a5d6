//! What is known of one kill of a log, by itself and by the report of its group.

use serde::Serialize;

use crate::kernel::oom::textlog::log::{TextLog, When};
use crate::model::evidence::{Constraint, OomReport, Trigger, Usage, Victim};

/// A kill. What the log does not say is `None`.
#[derive(Clone, Debug, Serialize)]
pub struct Facts<'a> {
    /// The victim's pid, in the initial pid namespace.
    pub pid: i32,
    /// Its name; untrusted.
    pub comm: &'a str,
    /// What ran out.
    pub constraint: Constraint,
    /// cgroup whose limit was hit; `None` also where the machine ran out.
    pub limit_cgroup: Option<&'a str>,
    /// cgroup of the victim; of a child that was killed for its parent, the parent's; of a group's member, the group's.
    pub victim_cgroup: Option<&'a str>,
    /// What the cgroup whose limit was hit held, bytes.
    pub usage: Option<u64>,
    /// Its limit, bytes.
    pub limit: Option<u64>,
    /// The victim, where its sizes are known.
    pub victim: Option<&'a Victim>,
    /// Who asked for the memory.
    pub trigger: Option<&'a Trigger>,
    /// Rows of the kernel's table of tasks.
    pub tasks_rows: Option<u64>,
    /// Pid and name of the process that was chosen, where its child was killed in its place; untrusted.
    pub chosen: Option<&'a (i32, String)>,
    /// Whether it was killed with its whole group (`memory.oom.group`).
    pub group: bool,
    /// Whether somebody asked for the kill (SysRq f).
    pub manual: bool,
    /// Since boot, seconds.
    pub uptime_s: Option<f64>,
    /// Line of the file.
    pub line: u64,
    /// How often the log has it.
    pub copies: u32,
    /// Whether only the kubelet reports it: it takes each kill for the node's of which it finds no limit.
    pub by_kubelet: bool,
    #[serde(skip)]
    /// When.
    pub when: When,
}

impl TextLog {
    /// The report of a kill: its own, or of a group that of its first victim.
    pub fn report_of(&self, at: usize) -> &OomReport {
        let kill = &self.kills[at];
        &self.kills[kill.head.unwrap_or(at)].report
    }

    /// What is known of a kill.
    pub fn facts(&self, at: usize) -> Facts<'_> {
        let kill = &self.kills[at];
        let (own, shared) = (&*kill.report, self.report_of(at));
        let is_memcg = own.constraint == Constraint::Memcg;
        let memory: Option<Usage> = own.memory.or(shared.memory).filter(|_| is_memcg);
        Facts {
            pid: own.victim.pid,
            comm: &own.victim.comm,
            constraint: own.constraint,
            limit_cgroup: own.oom_memcg.as_deref().or(shared.oom_memcg.as_deref()).filter(|_| is_memcg),
            victim_cgroup: own.task_memcg.as_deref(),
            usage: memory.map(|memory| memory.usage),
            limit: memory.and_then(|memory| memory.limit),
            victim: (own.victim.total_vm > 0).then_some(&own.victim),
            trigger: shared.trigger.as_ref().filter(|trigger| !trigger.comm.is_empty()),
            tasks_rows: shared.task_rows,
            chosen: own.chosen.as_ref(),
            group: own.group,
            manual: shared.manual,
            uptime_s: kill.when.uptime_us.map(|us| us as f64 / 1e6),
            line: own.seq,
            copies: kill.copies,
            by_kubelet: kill.by_kubelet,
            when: kill.when,
        }
    }
}
