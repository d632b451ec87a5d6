//! A machine at one time: its account, and who holds what.

use serde::Serialize;

use crate::analysis::account::given_back::GivenBack;
use crate::analysis::account::holders::{Holders, Member, holders};
use crate::analysis::account::parts::Account;
use crate::analysis::account::wsl::{Windows, windows};
use crate::model::details::MemoryDetails;
use crate::model::fields::FieldId;
use crate::model::sample::Row;

/// What was read of a machine at one time.
#[derive(Clone, Debug)]
pub struct Look {
    /// When, wall-clock microseconds.
    pub time_us: i64,
    /// Name of the host. Untrusted.
    pub host: String,
    /// WSL, if it is one.
    pub wsl: Option<String>,
    /// Size of a page, bytes.
    pub page_size: u64,
    /// The newest values of the host.
    pub row: Row,
    /// All cgroups that were sampled.
    pub members: Vec<Member>,
    /// The newest look for names.
    pub details: Option<MemoryDetails>,
}

/// Swap of the machine, bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Swap {
    /// All of it.
    pub total: u64,
    /// What is in use.
    pub used: u64,
    /// What zswap holds of that, at its full size.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zswapped: Option<u64>,
}

/// When the account was worst in the time that was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Worst {
    /// When, wall-clock microseconds.
    pub time_us: i64,
    /// What was not explained or counted twice, 0 to 1 of the total.
    pub error: f64,
    /// Accounts that were looked at.
    pub accounts: u64,
}

impl Worst {
    /// The worse one of what there was and one more account.
    pub fn with(before: Option<Worst>, time_us: i64, account: &Account) -> Worst {
        let error = account.error();
        let accounts = before.map_or(0, |worst| worst.accounts) + 1;
        match before {
            Some(worst) if worst.error >= error => Worst { accounts, ..worst },
            _ => Worst { time_us, error, accounts },
        }
    }
}

/// A machine at one time.
#[derive(Clone, Debug, Serialize)]
pub struct Machine {
    /// When, wall-clock microseconds.
    pub time_us: i64,
    /// Name of the host. Untrusted.
    pub host: String,
    /// WSL, if it is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wsl: Option<String>,
    /// Where MemTotal is.
    #[serde(flatten)]
    pub account: Account,
    /// What could be given to processes without swapping, by the kernel's estimate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub available: Option<u64>,
    /// Page cache that is to be written first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dirty: Option<u64>,
    /// Swap, which is no part of the total.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub swap: Option<Swap>,
    /// Who holds it.
    pub holders: Holders,
    /// The largest of each kind by name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub details: Option<MemoryDetails>,
    /// What Windows sees, on WSL.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub windows: Option<Windows>,
    /// What was given back on purpose in the time that was looked at.
    #[serde(skip_serializing_if = "GivenBack::is_empty")]
    pub given_back: GivenBack,
    /// How good the account was in that time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub worst: Option<Worst>,
}

impl Machine {
    /// What a look shows; `None` where /proc/meminfo was not read.
    pub fn of(look: Look) -> Option<Machine> {
        let get = |field: FieldId| look.row.get(field.field());
        let account = Account::of(get, look.page_size)?;
        let seen = look.members.len() as u64 + 1;
        // Of v1 the kernel counts the cgroups; those that nobody sees were removed, if all of them are sampled.
        let on_v2 = look.members.iter().any(|member| member.row.get(FieldId::DyingDescendants.field()).is_some());
        let sampled = get(FieldId::AgentCgroups).is_none_or(|sampled| sampled + 1 == seen);
        let counted = || get(FieldId::MemoryCgroups).filter(|_| sampled).map(|all| all.saturating_sub(seen));
        let removed = if on_v2 { get(FieldId::DyingHost) } else { counted() };
        let swap = get(FieldId::SwapTotal).filter(|total| *total > 0).map(|total| Swap {
            total,
            used: total.saturating_sub(get(FieldId::SwapFree).unwrap_or(total)),
            zswapped: get(FieldId::ZswappedHost).filter(|bytes| *bytes > 0),
        });
        let dirty = [FieldId::Dirty, FieldId::WritebackHost].iter().filter_map(|field| get(*field));
        Some(Machine {
            time_us: look.time_us,
            available: get(FieldId::MemAvailable),
            dirty: get(FieldId::Dirty).map(|_| dirty.fold(0, u64::saturating_add)),
            swap,
            holders: holders(&look.members, removed),
            windows: look.wsl.as_ref().map(|_| windows(&account, get, look.page_size)),
            account,
            host: look.host,
            wsl: look.wsl,
            details: look.details,
            given_back: GivenBack::default(),
            worst: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::fields::FieldId::*;

    fn look(host: &[(FieldId, u64)], members: &[(&str, &[(FieldId, u64)])]) -> Look {
        let row = |values: &[(FieldId, u64)]| {
            let mut row = Row::new(0);
            values.iter().for_each(|(field, value)| row.put(field.field(), *value));
            row
        };
        let meminfo = [MemTotal, MemFree, AnonPages, Cached, SReclaimable, SUnreclaim].map(|field| (field, 1 << 20));
        let members = members.iter().map(|(path, values)| Member { path: (*path).into(), who: None, row: row(values) });
        Look {
            time_us: 0,
            host: "h".into(),
            wsl: None,
            page_size: 4096,
            row: row(&[&meminfo[..], host].concat()),
            members: members.collect(),
            details: None,
        }
    }

    #[test]
    fn removed_cgroups_are_those_that_the_kernel_counts_and_nobody_sees() {
        let removed = |host: &[(FieldId, u64)], members: &[(&str, &[(FieldId, u64)])]| {
            Machine::of(look(host, members)).unwrap().holders.removed
        };
        let v1: &[(&str, &[_])] = &[("/a", &[(Anon, 1)]), ("/b", &[(Anon, 1)])];
        assert_eq!(removed(&[(MemoryCgroups, 25), (AgentCgroups, 2)], v1), Some(22));
        assert_eq!(removed(&[(MemoryCgroups, 25), (AgentCgroups, 1)], v1), None, "not all were sampled");
        assert_eq!(removed(&[], v1), None);
        let v2: &[(&str, &[_])] = &[("/a", &[(Anon, 1), (DyingDescendants, 3)])];
        assert_eq!(removed(&[(MemoryCgroups, 25), (AgentCgroups, 1), (DyingHost, 3)], v2), Some(3));
    }

    #[test]
    fn swap_and_what_waits_for_the_disk_are_beside_the_total() {
        let machine =
            Machine::of(look(&[(SwapTotal, 100), (SwapFree, 30), (Dirty, 5), (WritebackHost, 2)], &[])).unwrap();
        assert_eq!(machine.swap, Some(Swap { total: 100, used: 70, zswapped: None }));
        assert_eq!((machine.dirty, machine.windows), (Some(7), None));
        let none = Machine::of(look(&[(SwapTotal, 0)], &[])).unwrap();
        assert_eq!((none.swap, none.dirty), (None, None));
    }

    #[test]
    fn the_worst_account_is_kept() {
        let account = |unexplained: u64| {
            let host = look(&[(MemTotal, 5 * (1 << 20) + unexplained)], &[]);
            Machine::of(host).unwrap().account
        };
        let first = Worst::with(None, 1, &account(10));
        let second = Worst::with(Some(first), 2, &account(1000));
        let third = Worst::with(Some(second), 3, &account(0));
        assert_eq!((third.time_us, third.accounts), (2, 3));
        assert!(third.error > first.error);
    }
}
