//! From what was measured to what to set: limits between bounds, with their reasons. Pure: facts go in, advice comes out.
//!
//! `demand` follows what a cgroup needs, `limit` says what its limit should be, `budget` fits limits together; `compose`,
//! `docker`, `systemd` and `wslconfig` write them down, `checks` is the table of what else to change.

pub mod budget;
pub mod checks;
pub mod compose;
pub mod demand;
pub mod docker;
pub mod facts;
pub mod histogram;
pub mod image;
pub mod leftovers;
pub mod limit;
pub mod profile;
pub mod server;
pub mod sizes;
pub mod stagger;
pub mod systemd;
pub mod wslconfig;

use serde::Serialize;

use crate::model::identity::Identity;

/// A container, or another cgroup, with what is advised for it.
#[derive(Clone, Debug, Serialize)]
pub struct Container {
    /// Path of its cgroup.
    pub path: String,
    /// What it is called, safe to show.
    pub title: String,
    /// Who it is, if that is known.
    #[serde(skip)]
    pub who: Option<Identity>,
    /// The service of the user's Compose file.
    pub service: Option<String>,
    /// Whether another one of the list contains it, so that its limit is no part of the total.
    pub nested: bool,
    /// What is advised.
    #[serde(flatten)]
    pub advice: limit::Advice,
    /// The limit it gets, after the budget, bytes; absent where none is advised.
    pub after: Option<u64>,
    /// Most starts within an hour.
    pub starts_in_an_hour: usize,
    /// Processes that were OOM-killed.
    pub kills: u64,
    /// Names of processes and the most anonymous memory of each, bytes.
    #[serde(skip)]
    pub processes: Vec<(String, u64)>,
    /// Whether the machine has swap.
    #[serde(skip)]
    pub machine_swaps: bool,
}

/// The machine, as its rows show it. Bytes; what was not read is absent.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Machine {
    /// Memory.
    pub total: Option<u64>,
    /// Most that was used: total less available.
    pub used_most: Option<u64>,
    /// Least that was available.
    pub available_least: Option<u64>,
    /// Swap.
    pub swap_total: Option<u64>,
    /// Least swap that was free.
    pub swap_free_least: Option<u64>,
    /// Kernel release.
    pub kernel: String,
    /// WSL version, when it is one.
    pub wsl: Option<String>,
}

impl Container {
    /// Whether another limit than it has is advised: what files, commands and settings of servers are made of.
    pub fn is_advised(&self) -> bool {
        self.after.is_some_and(|after| Some(after) != self.advice.limit)
    }

    /// The limit it will have: the advised one, or the one it has. Bytes; absent where it has none.
    pub fn expected(&self) -> Option<u64> {
        self.after.or(self.advice.limit)
    }

    /// Memory and swap together for a limit: half as much again, so that a peak makes it slow before it is killed. None where
    /// there is no swap, and none for a leak, which swap only makes slow.
    pub fn with_swap(&self, limit: u64) -> u64 {
        let may = self.machine_swaps && self.advice.state != limit::State::Leak;
        if may { limit.saturating_add((limit / 2).next_multiple_of(limit::STEP)) } else { limit }
    }

    /// What is seen of it as a server.
    pub fn seen(&self, compose: Option<&compose::File>) -> server::Seen {
        let service = compose.zip(self.service.as_deref()).and_then(|(file, name)| file.service(name));
        let image = self.who.as_ref().and_then(|who| who.image.clone());
        server::Seen {
            image: image.or_else(|| service?.image.clone()),
            processes: self.processes.clone(),
            environment: service.map(|service| service.environment.clone()).unwrap_or_default(),
            command: service.map(|service| service.command.clone()).unwrap_or_default(),
            limit: self.after.unwrap_or(0),
        }
    }
}
