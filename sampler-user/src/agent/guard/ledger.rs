//! What the guard owes: limits that it raised, written down before each raise, and struck out once the kernel and the runtime are seen
//! to have the old ones again. It outlives the guard and the machine.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::guard::Limits;
use crate::model::time::boot_id;

/// Name in the folder of the recording.
const NAME: &str = "guard.json";

/// The limits of one cgroup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Debt {
    /// The cgroup.
    pub path: String,
    /// Its inode number, of that boot.
    pub id: u64,
    /// The boot.
    pub boot: String,
    /// Its container, if Docker has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub docker: Option<String>,
    /// Limits before the first raise.
    pub original: Limits,
    /// On cgroup v1 the limit of memory and swap together before the first raise, bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub both: Option<u64>,
    /// All limits that it was to get, in their order.
    pub given: Vec<Limits>,
}

/// What stands of a debt in the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// The cgroup is gone, has its old limits again, or is another one.
    Settled,
    /// A limit stands that the guard has set.
    Raised,
    /// Somebody else has set a limit.
    Foreign,
}

impl Debt {
    /// What stands, by the cgroup's inode number, its limits, and on v1 that of memory and swap together.
    pub fn standing(&self, id: u64, limits: Limits, both: Option<u64>, boot: &str) -> Standing {
        let is_same = self.id == id && self.boot == boot;
        let is_ours = |of: fn(&Limits) -> u64| {
            of(&limits) == of(&self.original) || self.given.iter().any(|given| of(given) == of(&limits))
        };
        let is_raised = limits != self.original && is_ours(|limits| limits.max) && is_ours(|limits| limits.high);
        match is_same {
            // A container that was started again has what its runtime remembers.
            _ if is_raised && (is_same || self.docker.is_some()) => Standing::Raised,
            _ if limits == self.original && self.has_moved(both) => Standing::Raised,
            true if limits != self.original => Standing::Foreign,
            _ => Standing::Settled,
        }
    }

    /// Whether the limit of memory and swap together stands where a raise has moved it.
    fn has_moved(&self, both: Option<u64>) -> bool {
        let Some((before, now)) = self.both.zip(both) else { return false };
        self.given.iter().any(|given| {
            given.max > self.original.max && now == before.saturating_add(given.max - self.original.max).max(given.max)
        })
    }
}

/// All debts, and their file.
#[derive(Debug)]
pub struct Ledger {
    file: PathBuf,
    boot: String,
    debts: Vec<Debt>,
}

impl Ledger {
    /// Reads what an earlier guard has left in the folder of the recording.
    ///
    /// # Errors
    /// The file is there and cannot be read.
    pub fn open(folder: &Path) -> io::Result<Ledger> {
        let file = folder.join(NAME);
        let debts = match fs::read(&file) {
            Ok(text) => serde_json::from_slice(&text)?,
            Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error),
        };
        Ok(Ledger { file, boot: boot_id(), debts })
    }

    /// The file.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// The boot that runs.
    pub fn boot(&self) -> &str {
        &self.boot
    }

    /// All debts.
    pub fn debts(&self) -> &[Debt] {
        &self.debts
    }

    /// Writes a raise down, before it is made.
    pub fn owe(&mut self, raise: Debt) -> io::Result<()> {
        let before = self.debts.clone();
        match self.debts.iter_mut().find(|debt| debt.path == raise.path) {
            // One limit after the other: what it was first is what it gets back.
            Some(debt) if debt.original == raise.original || debt.given.contains(&raise.original) => {
                debt.given.extend(raise.given);
                (debt.id, debt.boot) = (raise.id, raise.boot);
            }
            Some(debt) => *debt = raise,
            None => self.debts.push(raise),
        }
        self.save().inspect_err(|_| self.debts = before)
    }

    /// Strikes a debt out. Where that cannot be written it is looked at again later, which does no harm.
    pub fn strike(&mut self, path: &str) {
        let count = self.debts.len();
        self.debts.retain(|debt| debt.path != path);
        if self.debts.len() < count {
            let _ = self.save();
        }
    }

    fn save(&self) -> io::Result<()> {
        if self.debts.is_empty() {
            return fs::remove_file(&self.file);
        }
        let draft = self.file.with_extension("draft");
        // Never through a link that somebody else has left.
        let _ = fs::remove_file(&draft);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o640).open(&draft)?;
        file.write_all(&serde_json::to_vec(&self.debts)?)?;
        fs::rename(&draft, &self.file)
    }
}

/// Has the disk keep the file: what Docker is given outlives the machine. Only then does the disk matter, and it may be slow.
pub fn sync(file: &Path) {
    for path in [Some(file), file.parent()].into_iter().flatten() {
        let _ = File::open(path).and_then(|opened| opened.sync_all());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::fields::UNLIMITED;

    fn max(max: u64) -> Limits {
        Limits { high: UNLIMITED, max }
    }

    fn debt(path: &str, from: u64, to: u64) -> Debt {
        let docker = path.strip_prefix("/docker/").map(str::to_owned);
        let (id, boot) = (7, "b".to_owned());
        Debt { path: path.into(), id, boot, docker, original: max(from), both: None, given: vec![max(to)] }
    }

    #[test]
    fn what_was_raised_is_there_after_the_guard_and_is_struck_out_once() {
        let dir = tempfile::tempdir().unwrap();
        let mut ledger = Ledger::open(dir.path()).unwrap();
        ledger.owe(debt("/a", 10, 20)).unwrap();
        ledger.owe(debt("/b\n\u{10ff80}", 10, 20)).unwrap();
        ledger.owe(debt("/a", 20, 30)).unwrap();
        // The raise to 30 was not made, or Docker has set the older limit again.
        ledger.owe(debt("/a", 20, 40)).unwrap();
        let mut ledger = Ledger::open(dir.path()).unwrap();
        assert_eq!(ledger.debts().len(), 2);
        assert_eq!((ledger.debts[0].original, &*ledger.debts[0].given), (max(10), &[max(20), max(30), max(40)][..]));
        ledger.strike("/a");
        ledger.owe(debt("/b\n\u{10ff80}", 50, 60)).unwrap();
        assert_eq!(Ledger::open(dir.path()).unwrap().debts, [debt("/b\n\u{10ff80}", 50, 60)], "somebody set 50");
        ledger.strike("/b\n\u{10ff80}");
        assert!(!dir.path().join(NAME).exists());
        fs::write(dir.path().join(NAME), "{").unwrap();
        assert!(Ledger::open(dir.path()).is_err());
    }

    #[test]
    fn what_cannot_be_written_down_is_not_owed() {
        let dir = tempfile::tempdir().unwrap();
        let mut ledger = Ledger::open(&dir.path().join("gone")).unwrap();
        assert!(ledger.owe(debt("/a", 10, 20)).is_err());
        assert!(ledger.debts().is_empty());
    }

    #[test]
    fn only_what_the_guard_has_set_is_set_back() {
        use Standing::{Foreign, Raised, Settled};
        let plain = Debt { both: Some(15), ..debt("/a", 10, 20) };
        let container = debt("/docker/ab", 10, 20);
        let half = Debt {
            original: Limits { high: 8, max: 10 },
            given: vec![Limits { high: 20, max: 20 }],
            ..debt("/a", 0, 0)
        };
        for (debt, id, limits, both, standing) in [
            (&plain, 7, max(20), Some(25), Raised),
            (&plain, 7, max(10), Some(25), Raised),
            (&plain, 7, max(10), Some(15), Settled),
            (&plain, 7, max(10), Some(99), Settled),
            (&plain, 7, max(17), Some(25), Foreign),
            (&plain, 8, max(20), Some(25), Settled),
            (&container, 7, max(20), None, Raised),
            (&container, 8, max(20), None, Raised),
            (&container, 8, max(UNLIMITED), None, Settled),
            (&half, 7, Limits { high: 8, max: 20 }, None, Raised),
            (&half, 7, Limits { high: 20, max: 10 }, None, Raised),
            (&half, 7, Limits { high: 9, max: 20 }, None, Foreign),
        ] {
            assert_eq!(debt.standing(id, limits, both, "b"), standing, "{debt:?} {id} {limits:?}");
        }
        assert_eq!(plain.standing(7, max(20), None, "another boot"), Settled);
        assert_eq!(container.standing(7, max(20), None, "another boot"), Raised);
    }
}
