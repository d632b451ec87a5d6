//! The folder of a recording: made for its owner and group alone, and refused as root where somebody else could lead the
//! recorder to other files.

use std::fs::{self, DirBuilder, File, Metadata, OpenOptions};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use anyhow::{Context, bail};
use rustix::fs::{FlockOperation, flock};

use crate::store::LOCK;

/// Who may write where others may.
const OTHERS: u32 = 0o002;
/// Only the owner of a file removes or renames it.
const STICKY: u32 = 0o1000;

/// Makes the folder, and refuses one that is not safe to write to as root. `is_trusted`: the user says that it is.
pub fn claim(out: &Path, is_trusted: bool) -> anyhow::Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o750)
        .create(out)
        .with_context(|| format!("make the folder {}; choose another with --out", out.display()))?;
    let own = rustix::process::geteuid();
    if is_trusted || !own.is_root() {
        return Ok(());
    }
    let real = fs::canonicalize(out).with_context(|| format!("find the folder {}", out.display()))?;
    let foreign = |meta: &Metadata| meta.uid() != own.as_raw();
    let way = "choose another with --out, or accept it with --trust-out";
    for (depth, folder) in real.ancestors().enumerate() {
        let meta = fs::symlink_metadata(folder).with_context(|| format!("look at {}", folder.display()))?;
        if foreign(&meta) {
            bail!(
                "{} belongs to another user (uid {}), who could lead what root writes elsewhere; {way}",
                folder.display(),
                meta.uid()
            );
        }
        if meta.mode() & OTHERS != 0 && (depth == 0 || meta.mode() & STICKY == 0) {
            bail!("anybody may write to {}, and so lead what root writes elsewhere; {way}", folder.display());
        }
    }
    for entry in fs::read_dir(&real).with_context(|| format!("list {}", real.display()))?.flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_symlink()) {
            bail!(
                "{} is a link, which is not followed as root: remove it, or accept it with --trust-out",
                entry.path().display()
            );
        }
    }
    Ok(())
}

/// One agent a folder: two would seal each other's segments.
pub fn lock(out: &Path) -> anyhow::Result<File> {
    let path = out.join(LOCK);
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o640).custom_flags(libc::O_NOFOLLOW);
    let file = options.open(&path).with_context(|| format!("create {}", path.display()))?;
    if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
        bail!("another sampler records into {}; stop it or choose another folder with --out", out.display());
    }
    Ok(file)
}

/// Whether the lock's name still leads to it.
pub fn has_lock(out: &Path, lock: &File) -> bool {
    let named = fs::symlink_metadata(out.join(LOCK));
    let is_same =
        |named: Metadata| lock.metadata().is_ok_and(|lock| (lock.dev(), lock.ino()) == (named.dev(), named.ino()));
    named.is_ok_and(is_same)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn root_writes_to_no_folder_that_others_may_change() {
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let refused = |name: &str| claim(&at(name), false).unwrap_err().to_string();
        claim(&at("new/below"), false).unwrap();
        assert_eq!(fs::metadata(at("new/below")).unwrap().mode() & 0o777, 0o750);
        fs::create_dir(at("open")).unwrap();
        fs::set_permissions(at("open"), fs::Permissions::from_mode(0o1777)).unwrap();
        assert!(
            refused("open").contains("anybody may write") && refused("open").contains("--out"),
            "{}",
            refused("open")
        );
        claim(&at("open/new"), false).unwrap();
        fs::set_permissions(at("open"), fs::Permissions::from_mode(0o777)).unwrap();
        assert!(refused("open/new").contains("anybody may write"), "its name may be given to another folder");
        fs::create_dir(at("foreign")).unwrap();
        std::os::unix::fs::chown(at("foreign"), Some(65_534), None).unwrap();
        assert!(refused("foreign").contains("another user (uid 65534)"));
        claim(&at("foreign"), true).unwrap();
        fs::create_dir(at("linked")).unwrap();
        symlink("/etc", at("linked/incidents")).unwrap();
        assert!(refused("linked").contains("is a link"));
    }

    #[test]
    fn a_lock_follows_no_link_and_truncates_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("target");
        fs::write(&target, "kept").unwrap();
        symlink(&target, dir.path().join(LOCK)).unwrap();
        assert!(lock(dir.path()).is_err());
        assert_eq!(fs::read(&target).unwrap(), b"kept");
        fs::remove_file(dir.path().join(LOCK)).unwrap();
        let held = lock(dir.path()).unwrap();
        assert!(has_lock(dir.path(), &held));
        fs::remove_file(dir.path().join(LOCK)).unwrap();
        assert!(!has_lock(dir.path(), &held));
        let other = lock(dir.path()).unwrap();
        assert!(has_lock(dir.path(), &other) && !has_lock(dir.path(), &held));
    }
}
