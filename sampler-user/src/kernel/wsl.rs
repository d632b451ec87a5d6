//! Whether this is WSL: the one place that decides it.

use std::fs;
use std::path::Path;

/// What kind of WSL it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wsl {
    /// Without a Linux kernel, and so without cgroups.
    One,
    /// A VM with a kernel of its own.
    Two,
}

/// Whether the machine whose files are below a root is WSL. The kernel's release says so; a kernel of the user's own may
/// not, but WSL has its folder.
pub fn detect(root: &Path) -> Option<Wsl> {
    let release = fs::read_to_string(root.join("proc/sys/kernel/osrelease")).unwrap_or_default();
    // WSL 1 calls itself 4.4.0-19041-Microsoft, WSL 2 for example 6.6.87.2-microsoft-standard-WSL2.
    if release.trim_end().ends_with("-Microsoft") {
        return Some(Wsl::One);
    }
    (release.to_lowercase().contains("microsoft") || root.join("run/WSL").exists()).then_some(Wsl::Two)
}

/// What recordings call it on this machine: its version where the environment has it.
pub fn name() -> Option<String> {
    detect(Path::new("/"))?;
    Some(std::env::var("WSL_VERSION").unwrap_or_else(|_| "WSL2".into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_the_release_or_by_its_folder() {
        let table = [
            ("6.6.87.2-microsoft-standard-WSL2\n", false, Some(Wsl::Two)),
            ("4.4.0-19041-Microsoft\n", true, Some(Wsl::One)),
            ("6.6.0-mine\n", true, Some(Wsl::Two)),
            ("6.1.0-13-amd64\n", false, None),
        ];
        for (release, folder, is) in table {
            let root = tempfile::tempdir().unwrap();
            fs::create_dir_all(root.path().join("proc/sys/kernel")).unwrap();
            fs::write(root.path().join("proc/sys/kernel/osrelease"), release).unwrap();
            if folder {
                fs::create_dir_all(root.path().join("run/WSL")).unwrap();
            }
            assert_eq!(detect(root.path()), is, "{release}");
        }
        assert_eq!(detect(Path::new("/nowhere")), None);
    }
}
