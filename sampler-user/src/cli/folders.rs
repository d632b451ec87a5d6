//! Where recordings go when nobody said where.

use std::path::PathBuf;

/// Where recordings go by default: `/var/lib/sampler` for root, else the user's data folder.
pub fn data_folder() -> PathBuf {
    if rustix::process::geteuid().is_root() {
        return "/var/lib/sampler".into();
    }
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".local/share"));
    std::env::var_os("XDG_DATA_HOME")
        .map(PathBuf::from)
        .or_else(home)
        .unwrap_or_else(std::env::temp_dir)
        .join("sampler")
}

/// A folder for a new recording of its own below the default one, named by the time.
pub fn fresh_folder(kind: &str) -> PathBuf {
    let now = sampler::model::time::format_us((sampler::model::time::wall_ns() / 1000) as i64);
    let stamp: String = now.chars().take(19).filter(|c| c.is_ascii_alphanumeric()).collect();
    data_folder().join(format!("{kind}-{stamp}-{}", std::process::id()))
}
