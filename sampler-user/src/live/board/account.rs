//! Where the machine's memory is now.

use crate::analysis::account::{Account, Look, Machine, Member};
use crate::live::board::{Board, Cgroup};

impl Board {
    /// Where all of the machine's memory is now; `None` until the host was read.
    pub fn account(&self) -> Option<Account> {
        Account::of(|field| self.host.get(field), self.page_size)
    }

    /// The machine now, with who holds its memory; `None` until the host was read.
    pub fn whole_machine(&self) -> Option<Machine> {
        let there = |cgroup: &Cgroup| !cgroup.gone && cgroup.latest.mask != 0;
        let members = self.cgroups.iter().filter(|(_, cgroup)| there(cgroup));
        Machine::of(Look {
            time_us: self.now_us,
            host: self.origin.0.clone(),
            wsl: self.origin.1.clone(),
            page_size: self.page_size,
            row: (*self.host.latest).clone(),
            members: members
                .map(|(path, cgroup)| Member { path: path.clone(), who: self.who(path), row: (*cgroup.latest).clone() })
                .collect(),
            details: self.details.clone(),
        })
    }
}
