//! A file of the user that is replaced once the new one is whole: what fails leaves the last good one as it is.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

/// A file that is being written.
#[derive(Debug)]
pub enum WholeFile {
    /// A device or a pipe, which is written as it is.
    Open(File, PathBuf),
    /// A file beside the one that it replaces.
    Draft {
        /// What is written.
        file: File,
        /// Where it lies until it is whole.
        draft: PathBuf,
        /// What it is to be called.
        path: PathBuf,
    },
}

impl WholeFile {
    /// Begins to write the file that a path leads to.
    ///
    /// # Errors
    /// A link that somebody else has put there; a folder that takes no file.
    pub fn create(path: &Path) -> anyhow::Result<WholeFile> {
        let link = fs::symlink_metadata(path).ok().filter(|meta| meta.is_symlink());
        let own = rustix::process::geteuid().as_raw();
        if link.as_ref().is_some_and(|link| link.uid() != own && link.uid() != 0) {
            bail!("{} is a link of another user: name the file that it leads to, or another one", path.display());
        }
        if fs::metadata(path).is_ok_and(|meta| !meta.is_file() && !meta.is_dir()) {
            let open = OpenOptions::new().write(true).open(path);
            return Ok(WholeFile::Open(open.with_context(|| format!("open {}", path.display()))?, path.to_owned()));
        }
        let path =
            if link.is_some() { fs::canonicalize(path).unwrap_or_else(|_| path.to_owned()) } else { path.to_owned() };
        let name = path.file_name().with_context(|| format!("write {}: it is no name of a file", path.display()))?;
        let mut draft = OsString::from(".");
        draft.push(name);
        draft.push(format!(".{}.tmp", std::process::id()));
        let draft = path.with_file_name(draft);
        // What an earlier process of this number has left; never a link.
        let _ = fs::remove_file(&draft);
        let file = OpenOptions::new().write(true).create_new(true).open(&draft).map_err(|error| why(error, &path))?;
        // The new file is as readable as the old one.
        if let Ok(old) = fs::metadata(&path) {
            let _ = file.set_permissions(old.permissions());
        }
        Ok(WholeFile::Draft { file, draft, path })
    }

    /// Gives the file its name.
    pub fn finish(mut self) -> anyhow::Result<()> {
        if let WholeFile::Draft { file, draft, path } = &mut self {
            file.sync_all().and_then(|()| fs::rename(draft, &*path)).map_err(|error| why(error, path))?;
        }
        Ok(())
    }

    fn target(&mut self) -> (&mut File, &Path) {
        match self {
            WholeFile::Open(file, path) | WholeFile::Draft { file, path, .. } => (file, path),
        }
    }
}

/// Writes a file at once.
pub fn write_whole(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let mut file = WholeFile::create(path)?;
    file.write_all(bytes)?;
    file.finish()
}

/// An error with the operation, the path and, where the disk is full, the way out.
fn why(error: io::Error, path: &Path) -> io::Error {
    let way = match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => "; free some of the disk, or write to another one",
        ErrorKind::ReadOnlyFilesystem => "; write to another place",
        _ => "",
    };
    io::Error::new(error.kind(), format!("write {}: {error}{way}", path.display()))
}

impl Write for WholeFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let (file, path) = self.target();
        file.write(bytes).map_err(|error| if error.kind() == ErrorKind::BrokenPipe { error } else { why(error, path) })
    }

    fn flush(&mut self) -> io::Result<()> {
        let (file, path) = self.target();
        file.flush().map_err(|error| why(error, path))
    }
}

/// What was not finished goes.
impl Drop for WholeFile {
    fn drop(&mut self) {
        if let WholeFile::Draft { draft, .. } = self {
            let _ = fs::remove_file(draft);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_finished_leaves_the_last_good_file_and_no_draft() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("report.html");
        write_whole(&path, b"good").unwrap();
        let mut next = WholeFile::create(&path).unwrap();
        next.write_all(b"half").unwrap();
        drop(next);
        assert_eq!(fs::read(&path).unwrap(), b"good");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        write_whole(&path, b"better").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"better");
        // A device is written, and stays one; a link of our own leads to its file.
        write_whole(Path::new("/dev/null"), b"gone").unwrap();
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        write_whole(&link, b"through").unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read(&path).unwrap(), b"through");
    }

    #[test]
    fn an_error_names_the_file() {
        let error = write_whole(Path::new("/nowhere/at/all"), b"x").unwrap_err().to_string();
        assert!(error.starts_with("write /nowhere/at/all: "), "{error}");
    }
}
