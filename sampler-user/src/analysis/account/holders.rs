//! Who holds the memory: each container, each service, and what is around them, without overlap.
//!
//! The counters of a cgroup are those of all below it. A holder has its own, less those of the holders below it, so their sum is what the
//! cgroups have together.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::model::fields::FieldId;
use crate::model::identity::Identity;
use crate::model::memory::{Parts, reclaimable, unreclaimable};
use crate::model::sample::Row;

/// Fields of a cgroup that are needed.
pub const FIELDS: [FieldId; 16] = [
    FieldId::Current,
    FieldId::SwapCurrent,
    FieldId::Anon,
    FieldId::File,
    FieldId::Shmem,
    FieldId::Kernel,
    FieldId::KernelStack,
    FieldId::Pagetables,
    FieldId::Slab,
    FieldId::SlabReclaimable,
    FieldId::SlabUnreclaimable,
    FieldId::Sock,
    FieldId::InactiveFile,
    FieldId::ActiveFile,
    FieldId::DyingDescendants,
    FieldId::PgstealProactive,
];

/// A cgroup at one time.
#[derive(Clone, Debug)]
pub struct Member {
    /// Its path.
    pub path: String,
    /// Who it is.
    pub who: Option<Identity>,
    /// Its newest values.
    pub row: Row,
}

/// What one holder has, bytes; what was not read is absent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Holder {
    /// Path of its cgroup.
    pub path: String,
    /// What people call it, else its path. Untrusted.
    pub name: String,
    /// Whether it is a container.
    pub container: bool,
    /// What cannot be reclaimed and is in memory.
    pub held: u64,
    /// What the kernel can take back: page cache and kernel caches.
    pub reclaimable: u64,
    /// Of what is held: anonymous.
    pub anon: u64,
    /// Of what is held: tmpfs and shared memory.
    pub shmem: Option<u64>,
    /// Of what is held: memory of the kernel.
    pub kernel: Option<u64>,
    /// Page cache without shared memory.
    pub cache: Option<u64>,
    /// What of it is in swap.
    pub swap: Option<u64>,
}

/// All holders, the largest first, and what removed cgroups still hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Holders {
    /// The holders that have anything.
    pub list: Vec<Holder>,
    /// Removed cgroups that still hold memory; absent where that is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub removed: Option<u64>,
    /// What they hold at most, bytes: what their parents have beside the cgroups that are there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub removed_at_most: Option<u64>,
}

/// The holders among all cgroups of a machine. `removed` is how many removed cgroups still hold memory.
pub fn holders(members: &[Member], removed: Option<u64>) -> Holders {
    let by_path: BTreeMap<&str, &Member> = members.iter().map(|member| (member.path.as_str(), member)).collect();
    let owners = owners(&by_path);
    let mut rows: BTreeMap<&str, Row> = owners.iter().map(|path| (*path, by_path[path].row.clone())).collect();
    for path in &owners {
        if let Some(above) = above(path).find(|above| owners.contains(above))
            && let Some(row) = rows.get_mut(above)
        {
            subtract(row, &by_path[path].row);
        }
    }
    let mut list: Vec<Holder> = rows.iter().filter_map(|(path, row)| holder(by_path[path], row)).collect();
    list.sort_by(|a, b| {
        (b.held.saturating_add(b.reclaimable), &a.path).cmp(&(a.held.saturating_add(a.reclaimable), &b.path))
    });
    Holders { list, removed, removed_at_most: removed.filter(|n| *n > 0).map(|_| left_behind(&by_path, &owners)) }
}

/// The cgroups that are somebody: containers, units of systemd that are no slices, distributions of WSL; outside of those each cgroup
/// without children; and what has nobody above it.
fn owners<'a>(by_path: &BTreeMap<&'a str, &Member>) -> BTreeSet<&'a str> {
    let parents: BTreeSet<&str> = by_path.keys().filter_map(|path| above(path).next()).collect();
    let units: BTreeSet<&str> = by_path.iter().filter(|(_, member)| is_unit(member)).map(|(path, _)| *path).collect();
    let alone = |path: &str| !parents.contains(path) && !above(path).any(|above| units.contains(above));
    let is_owner = |path: &str| units.contains(path) || above(path).next().is_none() || alone(path);
    by_path.keys().copied().filter(|path| is_owner(path)).collect()
}

fn is_unit(member: &Member) -> bool {
    member.who.as_ref().filter(|who| who.inner.is_none()).is_some_and(|who| {
        let name = who.name.as_deref().unwrap_or_default();
        who.container.is_some() || !name.is_empty() && !name.ends_with(".slice")
    })
}

/// The paths above a cgroup, the nearest first, without the root.
fn above(path: &str) -> impl Iterator<Item = &str> {
    path.rmatch_indices('/').map(|(at, _)| &path[..at]).filter(|above| !above.is_empty())
}

/// Takes the values of a cgroup out of those of one above it.
fn subtract(from: &mut Row, row: &Row) {
    for field in FIELDS {
        let field = field.field();
        if let (Some(whole), Some(part)) = (from.get(field), row.get(field)) {
            from.put(field, whole.saturating_sub(part));
        }
    }
}

fn holder(member: &Member, row: &Row) -> Option<Holder> {
    let get = |field: FieldId| row.get(field.field());
    let parts = Parts::of(|field| if field == FieldId::SwapCurrent { None } else { get(field) })?;
    let held = unreclaimable(get)?;
    let kernel = [parts.kernel, parts.slab, parts.sock, parts.pagetables, parts.stack].into_iter().flatten();
    let kernel = kernel.fold(None, |sum: Option<u64>, part| Some(sum.unwrap_or(0).saturating_add(part)));
    let reclaimable = reclaimable(get).unwrap_or(0);
    let who = member.who.as_ref();
    (held > 0 || reclaimable > 0).then(|| Holder {
        path: member.path.clone(),
        name: who.and_then(Identity::title).unwrap_or_else(|| member.path.clone()),
        container: who.is_some_and(|who| who.container.is_some() && who.inner.is_none()),
        held,
        reclaimable,
        anon: parts.anon,
        shmem: parts.shmem,
        kernel,
        cache: get(FieldId::File).map(|file| file.saturating_sub(parts.shmem.unwrap_or(0))),
        swap: get(FieldId::SwapCurrent),
    })
}

/// What cgroups that are only parents have beside their children: removed children leave their pages to them. Where the kernel counts
/// removed descendants, only of parents that have some.
fn left_behind(by_path: &BTreeMap<&str, &Member>, owners: &BTreeSet<&str>) -> u64 {
    let mut rest: BTreeMap<&str, Row> = BTreeMap::new();
    for (path, member) in by_path {
        if !owners.contains(path) || above(path).next().is_none() {
            rest.insert(path, member.row.clone());
        }
    }
    let mut removed: BTreeMap<&str, u64> =
        rest.iter().map(|(path, row)| (*path, row.get(FieldId::DyingDescendants.field()).unwrap_or(1))).collect();
    let mut parents = BTreeSet::new();
    for (path, member) in by_path {
        if let Some(parent) = above(path).next() {
            parents.insert(parent);
            if let Some(row) = rest.get_mut(parent) {
                subtract(row, &member.row);
            }
            if let Some(count) = removed.get_mut(parent) {
                let below = member.row.get(FieldId::DyingDescendants.field()).unwrap_or(0);
                *count = count.saturating_sub(below);
            }
        }
    }
    // Without children there may be processes of its own, unless the kernel says that some were removed.
    let counts = |path: &str, row: &Row| {
        let told = row.get(FieldId::DyingDescendants.field()).is_some();
        removed.get(path).is_some_and(|count| *count > 0) && (told || parents.contains(path))
    };
    let of = |row: &Row| {
        let get = |field: FieldId| row.get(field.field());
        unreclaimable(get).unwrap_or(0).saturating_add(reclaimable(get).unwrap_or(0))
    };
    rest.iter().filter(|(path, row)| counts(path, row)).fold(0, |sum, (_, row)| sum.saturating_add(of(row)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn member(path: &str, who: Option<Identity>, anon: u64, file: u64) -> Member {
        let mut row = Row::new(0);
        for (field, value) in
            [(FieldId::Anon, anon), (FieldId::File, file), (FieldId::Shmem, 0), (FieldId::Current, anon + file)]
        {
            row.put(field.field(), value);
        }
        Member { path: path.into(), who, row }
    }

    fn container(name: &str) -> Option<Identity> {
        Some(Identity { name: Some(name.into()), ..Identity::container("docker", name) })
    }

    fn of<'a>(all: &'a Holders, name: &str) -> &'a Holder {
        all.list.iter().find(|holder| holder.name == name).unwrap()
    }

    #[test]
    fn each_has_its_own_and_what_is_around_them_the_rest() {
        let inner = Some(Identity { inner: Some("job".into()), ..container("web").unwrap() });
        let slice = Some(Identity::named("systemd", "system.slice"));
        let service = Some(Identity::named("systemd", "ssh.service"));
        let members = [
            member("/docker", None, 100, 50),
            member("/docker/web", container("web"), 60, 10),
            member("/docker/web/job", inner, 20, 5),
            member("/docker/db", container("db"), 30, 0),
            member("/system.slice", slice, 9, 7),
            member("/system.slice/ssh.service", service, 8, 1),
            member("/a/b/c", None, 1000, 0),
        ];
        let all = holders(&members, None);
        let own = |name: &str| (of(&all, name).held, of(&all, name).reclaimable);
        assert_eq!((own("web"), own("db"), own("/docker")), ((60, 10), (30, 0), (10, 40)));
        assert_eq!((own("ssh.service"), own("system.slice")), ((8, 1), (1, 6)));
        assert_eq!(own("/a/b/c"), (1000, 0), "a cgroup of nobody's, whatever is above it");
        assert_eq!((all.list.len(), all.list[0].name.as_str()), (6, "/a/b/c"), "the largest first: {all:?}");
        assert!(of(&all, "web").container && !of(&all, "ssh.service").container);
        assert_eq!((all.removed, all.removed_at_most), (None, None));
    }

    #[test]
    fn what_removed_cgroups_leave_is_with_their_parents() {
        let with = |path: &str, who, anon, file, dying: u64| {
            let mut member = member(path, who, anon, file);
            member.row.put(FieldId::DyingDescendants.field(), dying);
            member
        };
        let members = [
            with("/docker", None, 50, 500, 3),
            with("/docker/web", container("web"), 50, 100, 1),
            with("/gone", None, 0, 70, 2),
            with("/busy", None, 90, 30, 0),
        ];
        assert_eq!(
            holders(&members, Some(5)).removed_at_most,
            Some(400 + 70),
            "its own processes are nobody's remains"
        );
        assert_eq!(holders(&members, Some(0)).removed_at_most, None);
    }

    proptest! {
        /// Any forest: what the holders have together is what the topmost cgroups have.
        #[test]
        fn the_holders_together_have_what_all_cgroups_have(sizes in prop::collection::vec((0u64..1 << 30, 0u64..1 << 30, any::<bool>(), 0usize..8), 1..30)) {
            let mut paths: Vec<String> = Vec::new();
            let mut own = BTreeMap::new();
            for (n, (anon, file, is_container, parent)) in sizes.iter().enumerate() {
                let above = paths.get(*parent).cloned().unwrap_or_default();
                let path = format!("{above}/c{n}");
                own.insert(path.clone(), (*anon, *file, *is_container));
                paths.push(path);
            }
            let members: Vec<Member> = paths.iter().map(|path| {
                let below = own.iter().filter(|(other, _)| *other == path || other.starts_with(&format!("{path}/")));
                let (anon, file) = below.fold((0, 0), |sum, (_, own)| (sum.0 + own.0, sum.1 + own.1));
                member(path, own[path].2.then(|| container(path).unwrap()), anon, file)
            }).collect();
            let all = holders(&members, Some(1));
            let sum = |part: fn(&Holder) -> u64| all.list.iter().map(part).sum::<u64>();
            prop_assert_eq!(sum(|holder| holder.held), own.values().map(|own| own.0).sum::<u64>());
            prop_assert_eq!(sum(|holder| holder.reclaimable), own.values().map(|own| own.1).sum::<u64>());
        }

        #[test]
        fn absurd_counters_neither_overflow_nor_panic(values in prop::collection::vec(any::<u64>(), 16 * 3)) {
            let members: Vec<Member> = ["/a", "/a/b", "/a/b/c"].iter().zip(values.chunks(16)).map(|(path, values)| {
                let mut member = member(path, None, 0, 0);
                FIELDS.iter().zip(values).for_each(|(field, value)| member.row.put(field.field(), *value >> 1));
                member
            }).collect();
            let _ = holders(&members, Some(9));
        }
    }
}
