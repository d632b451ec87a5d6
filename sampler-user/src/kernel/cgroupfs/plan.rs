//! Which files to read for which fields: built once, from the field table and the layout.

use crate::kernel::cgroupfs::layout::{Layout, Version};
use crate::kernel::cgroupfs::parse::{Parser, Wanted};
use crate::model::fields;
use crate::model::fields::{FieldId, Source, Table, is_fast};
use crate::model::sample::{Mask, PassKind};

/// Marks the use of `memory.peak` through a descriptor that is reset after each reading.
pub const RESET: &str = "#reset";

/// One file of the plan.
#[derive(Clone, Debug)]
pub struct PlannedFile {
    /// Name in the field table.
    pub source: &'static str,
    /// How its bytes become values.
    pub parser: Parser,
    /// Whether the kernel probe gives all that it holds, so that it need not be read.
    pub covered: bool,
}

impl PlannedFile {
    /// Name in the cgroup's folder.
    pub fn name(&self) -> &'static str {
        self.source.trim_end_matches(RESET)
    }

    /// Whether it is reset after each reading.
    pub fn resets(&self) -> bool {
        self.source.ends_with(RESET)
    }
}

/// The files of one pass kind.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What a pass by this plan is.
    pub kind: PassKind,
    /// Files, in the order they are read.
    pub files: Vec<PlannedFile>,
}

impl Plan {
    /// Plans the files of a pass over cgroups. `only` keeps the named fields; empty keeps all.
    pub fn cgroups(kind: PassKind, layout: &Layout, only: &[FieldId]) -> Plan {
        let source = |field: &fields::Field| match layout.version {
            Version::V1 => field.v1,
            Version::V2 => field.v2,
        };
        let wanted = |file: &str| match kind {
            PassKind::Fast | PassKind::Burst => is_fast(file),
            PassKind::Slow => !is_fast(file),
            _ => true,
        };
        let rows = fields::of(Table::Samples)
            .filter(|field| only.is_empty() || only.contains(&field.id))
            .filter_map(|field| Some((source(field)?, field.slot)))
            .filter(|(source, _)| wanted(source.file));
        Plan { kind, files: group(rows) }
    }

    /// Marks the files whose every field is given in another way.
    pub fn cover(&mut self, given: Mask) {
        for file in &mut self.files {
            file.covered = !file.resets() && file.parser.slots().all(|slot| given >> slot & 1 == 1);
        }
    }

    /// Whether a field is among its files.
    pub fn has(&self, slot: usize) -> bool {
        self.files.iter().any(|file| file.parser.slots().any(|s| s == slot))
    }

    /// Most values a row by this plan can have.
    pub fn width(&self) -> usize {
        self.files.iter().map(|file| file.parser.width()).sum()
    }

    /// Plans the files of a pass over the host.
    pub fn host() -> Plan {
        let rows = fields::of(Table::Host).filter_map(|field| Some((field.v2?, field.slot)));
        Plan { kind: PassKind::Host, files: group(rows) }
    }
}

fn group(rows: impl Iterator<Item = (Source, usize)>) -> Vec<PlannedFile> {
    let mut files: Vec<(&'static str, Vec<Wanted>)> = Vec::new();
    for (Source { file, key, mul, div }, slot) in rows {
        let wanted = Wanted { key, slot, mul, div };
        match files.iter_mut().find(|(name, _)| *name == file) {
            Some((_, list)) => list.push(wanted),
            None => files.push((file, vec![wanted])),
        }
    }
    files
        .into_iter()
        .map(|(source, wanted)| PlannedFile { source, parser: Parser::new(wanted), covered: false })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn layout(version: Version) -> Layout {
        Layout { version, memory: PathBuf::from("/m"), unified: None, cpuacct: None, pids: None }
    }

    fn names(plan: &Plan) -> Vec<&str> {
        plan.files.iter().map(|file| file.source).collect()
    }

    #[test]
    fn each_file_once_and_each_pass_its_own() {
        let fast = Plan::cgroups(PassKind::Fast, &layout(Version::V2), &[]);
        assert_eq!(
            names(&fast),
            [
                "memory.current",
                "memory.swap.current",
                "memory.peak#reset",
                "memory.events",
                "memory.events.local",
                "memory.pressure"
            ]
        );
        let slow = Plan::cgroups(PassKind::Slow, &layout(Version::V2), &[]);
        assert!(names(&slow).contains(&"memory.stat") && !names(&slow).contains(&"memory.current"));
        let fast = Plan::cgroups(PassKind::Fast, &layout(Version::V1), &[]);
        assert_eq!(names(&fast), ["memory.usage_in_bytes", "memory.failcnt", "memory.oom_control", "memory.pressure"]);
        let full = Plan::cgroups(PassKind::Full, &layout(Version::V1), &[FieldId::Current, FieldId::Anon]);
        assert_eq!(names(&full), ["memory.usage_in_bytes", "memory.stat"]);
    }
}
