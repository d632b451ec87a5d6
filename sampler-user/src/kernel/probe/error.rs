//! Why there is no probe at all.

use crate::kernel::probe::btf;

/// Why there is no probe at all.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The kernel does not publish its types.
    #[error(
        "read {path}: {source}; the probe needs a kernel with CONFIG_DEBUG_INFO_BTF (5.8 or newer, on WSL2 5.15.74 or newer)",
        path = btf::VMLINUX
    )]
    Types {
        /// Why.
        source: std::io::Error,
    },
    /// The kernel refuses the probe's maps.
    #[error("load the probe: {why}; it needs CAP_BPF and CAP_PERFMON, or root, and a kernel since 5.8")]
    Load {
        /// Its answer.
        why: String,
    },
    /// Every program was refused.
    #[error("attach the probe: {why}; `sampler doctor` shows more")]
    Nothing {
        /// The kernel's answer to the first.
        why: String,
    },
}

/// An error and its causes in one line, without the verifier's pages.
pub(super) fn plain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("processed "));
    let first = lines.next().unwrap_or_default().trim_end_matches("Verifier output:").trim_end_matches([' ', '.']);
    let first: String = first.chars().take(160).collect();
    match lines.next_back() {
        Some(last) => format!("{first} … {}", last.chars().take(120).collect::<String>()),
        None => first,
    }
}
