//! Which cgroups there are: a walk, and notices of creation and removal.

use std::collections::HashMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::{fs, io};

use globset::{Glob, GlobSet, GlobSetBuilder};
use rustix::fs::inotify;

use crate::kernel::cgroupfs::layout::at;
use crate::model::paths::from_bytes;

/// Which cgroups to sample; all unless it says otherwise.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    include: Option<GlobSet>,
    exclude: GlobSet,
}

impl Selection {
    /// From glob patterns over paths like `/docker/0a1b…`; `*` crosses no slash, `**` does. No `include` means all.
    pub fn new(include: &[String], exclude: &[String]) -> Result<Selection, globset::Error> {
        let set = |patterns: &[String]| {
            let mut builder = GlobSetBuilder::new();
            for pattern in patterns {
                builder.add(Glob::new(pattern)?);
            }
            builder.build()
        };
        let all = include.is_empty();
        Ok(Selection { include: if all { None } else { Some(set(include)?) }, exclude: set(exclude)? })
    }

    /// Whether a cgroup is wanted.
    pub fn wants(&self, cgroup: &str) -> bool {
        self.include.as_ref().is_none_or(|set| set.is_match(cgroup)) && !self.exclude.is_match(cgroup)
    }
}

/// A change of the tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A cgroup appeared.
    Created {
        /// Path below the root.
        path: String,
        /// Inode number.
        id: u64,
    },
    /// A cgroup went away.
    Removed {
        /// Path below the root.
        path: String,
        /// Inode number it had.
        id: u64,
    },
}

/// The cgroups below a root, kept up to date by inotify.
#[derive(Debug)]
pub struct Tree {
    root: PathBuf,
    inotify: OwnedFd,
    watches: HashMap<i32, String>,
    known: HashMap<String, u64>,
}

impl Tree {
    /// Begins to watch a root; [`Tree::rescan`] then finds what is there.
    pub fn watch(root: &Path) -> io::Result<Tree> {
        let inotify = inotify::init(inotify::CreateFlags::NONBLOCK | inotify::CreateFlags::CLOEXEC)?;
        Ok(Tree { root: root.to_owned(), inotify, watches: HashMap::new(), known: HashMap::new() })
    }

    /// Path of a cgroup by its inode number.
    pub fn path_of(&self, id: u64) -> Option<&str> {
        self.known.iter().find(|(_, known)| **known == id).map(|(path, _)| path.as_str())
    }

    /// Compares the whole tree with what is known. Watches each folder before it is listed, so nothing falls between.
    pub fn rescan(&mut self, changes: &mut Vec<Change>) {
        let mut seen = HashMap::new();
        self.visit("/", &mut seen);
        let mut gone: Vec<_> = self.known.iter().filter(|(path, id)| seen.get(*path) != Some(id)).collect();
        gone.sort();
        changes.extend(gone.into_iter().map(|(path, &id)| Change::Removed { path: path.clone(), id }));
        let mut new: Vec<_> = seen.iter().filter(|(path, id)| self.known.get(*path) != Some(id)).collect();
        new.sort();
        changes.extend(new.into_iter().map(|(path, &id)| Change::Created { path: path.clone(), id }));
        self.known = seen;
    }

    /// Reads the notices that came. A full queue leads to a rescan.
    pub fn read_notices(&mut self, changes: &mut Vec<Change>) -> io::Result<()> {
        let mut buffer = [std::mem::MaybeUninit::uninit(); 4096];
        let mut created = Vec::new();
        let mut overflow = false;
        let mut reader = inotify::Reader::new(&self.inotify, &mut buffer);
        loop {
            let event = match reader.next() {
                Ok(event) => event,
                Err(rustix::io::Errno::AGAIN) => break,
                Err(error) => return Err(error.into()),
            };
            let flags = event.events();
            if flags.contains(inotify::ReadFlags::QUEUE_OVERFLOW) {
                overflow = true;
                continue;
            }
            if flags.contains(inotify::ReadFlags::IGNORED) {
                self.watches.remove(&event.wd());
                continue;
            }
            let (Some(parent), Some(name)) = (self.watches.get(&event.wd()), event.file_name()) else { continue };
            let path = join(parent, name.to_bytes());
            if flags.contains(inotify::ReadFlags::CREATE) {
                created.push(path);
            } else if let Some(id) = self.known.remove(&path) {
                created.retain(|p| *p != path);
                changes.push(Change::Removed { path, id });
            } else if let Some(at) = created.iter().position(|p| *p == path) {
                // Created and removed before it was looked at: it lived, even if it cannot be sampled any more.
                created.remove(at);
                changes.push(Change::Created { path: path.clone(), id: 0 });
                changes.push(Change::Removed { path, id: 0 });
            }
        }
        if overflow {
            self.rescan(changes);
            return Ok(());
        }
        for path in created {
            let mut seen = HashMap::new();
            self.visit(&path, &mut seen);
            let mut new: Vec<_> = seen.into_iter().collect();
            new.sort();
            for (path, id) in new {
                if let Some(old) = self.known.insert(path.clone(), id) {
                    if old == id {
                        continue;
                    }
                    changes.push(Change::Removed { path: path.clone(), id: old });
                }
                changes.push(Change::Created { path, id });
            }
        }
        Ok(())
    }

    fn visit(&mut self, path: &str, seen: &mut HashMap<String, u64>) {
        let folder = at(&self.root, path);
        let flags = inotify::WatchFlags::CREATE | inotify::WatchFlags::DELETE | inotify::WatchFlags::ONLYDIR;
        if let Ok(watch) = inotify::add_watch(&self.inotify, &folder, flags) {
            self.watches.insert(watch, path.to_owned());
        }
        let Ok(meta) = fs::metadata(&folder) else { return };
        if path != "/" {
            seen.insert(path.to_owned(), meta.ino());
        }
        let Ok(entries) = fs::read_dir(&folder) else { return };
        for entry in entries.flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                self.visit(&join(path, entry.file_name().as_bytes()), seen);
            }
        }
    }
}

impl AsFd for Tree {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inotify.as_fd()
    }
}

fn join(parent: &str, name: &[u8]) -> String {
    format!("{}/{}", parent.trim_end_matches('/'), from_bytes(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(changes: &[Change]) -> Vec<String> {
        changes
            .iter()
            .map(|change| match change {
                Change::Created { path, .. } => format!("+{path}"),
                Change::Removed { path, .. } => format!("-{path}"),
            })
            .collect()
    }

    #[test]
    fn what_comes_and_goes_is_reported_once() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("a/b")).unwrap();
        let mut tree = Tree::watch(dir.path()).unwrap();
        let mut changes = Vec::new();
        tree.rescan(&mut changes);
        assert_eq!(paths(&changes), ["+/a", "+/a/b"]);

        changes.clear();
        fs::create_dir_all(dir.path().join("c/d/e")).unwrap();
        fs::remove_dir(dir.path().join("a/b")).unwrap();
        tree.read_notices(&mut changes).unwrap();
        let mut got = paths(&changes);
        got.sort();
        assert_eq!(got, ["+/c", "+/c/d", "+/c/d/e", "-/a/b"]);

        changes.clear();
        fs::create_dir(dir.path().join("c/brief")).unwrap();
        fs::remove_dir(dir.path().join("c/brief")).unwrap();
        tree.read_notices(&mut changes).unwrap();
        assert_eq!(paths(&changes), ["+/c/brief", "-/c/brief"], "too brief to be sampled, but not unseen");

        changes.clear();
        tree.rescan(&mut changes);
        assert_eq!(paths(&changes), Vec::<String>::new());
    }

    #[test]
    fn a_name_that_is_not_utf_8_hides_nothing_below_it() {
        use std::ffi::OsStr;
        let dir = tempfile::tempdir().unwrap();
        let folder = |bytes: &[u8]| dir.path().join(OsStr::from_bytes(bytes));
        fs::create_dir_all(folder(b"there\xff\xfe/below")).unwrap();
        let mut tree = Tree::watch(dir.path()).unwrap();
        let mut changes = Vec::new();
        tree.rescan(&mut changes);
        let there = from_bytes(b"/there\xff\xfe");
        assert_eq!(paths(&changes), [format!("+{there}"), format!("+{there}/below")]);

        changes.clear();
        fs::create_dir_all(folder(b"new\xe9/below")).unwrap();
        fs::create_dir(folder(&[0xee; 255])).unwrap();
        fs::remove_dir(folder(b"there\xff\xfe/below")).unwrap();
        tree.read_notices(&mut changes).unwrap();
        let mut got = paths(&changes);
        got.sort();
        let new = from_bytes(b"+/new\xe9");
        let mut want = vec![
            new.clone(),
            format!("{new}/below"),
            format!("-{there}/below"),
            from_bytes(&[&b"+/"[..], &[0xee; 255]].concat()),
        ];
        want.sort();
        assert_eq!(got, want);
        let selection = Selection::new(&["/new*/**".into()], &[]).unwrap();
        assert!(selection.wants(&from_bytes(b"/new\xe9/below")) && !selection.wants(&there));
    }

    #[test]
    fn selections_are_globs_over_paths() {
        let selection = Selection::new(&["/docker/**".into()], &["/docker/buildkit/**".into()]).unwrap();
        assert!(
            selection.wants("/docker/abc") && !selection.wants("/docker/buildkit/x") && !selection.wants("/system")
        );
        assert!(Selection::new(&[], &[]).unwrap().wants("/any/thing"));
        assert!(Selection::new(&["[".into()], &[]).is_err());
    }
}
