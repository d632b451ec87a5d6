//! The part of a recording that is asked for: `--cgroup`, `--from`, `--to`.

use anyhow::Context;
use sampler::kernel::cgroupfs::tree::Selection;

/// The part of a recording that is asked for.
#[derive(Debug, clap::Args)]
pub struct Excerpt {
    /// Only cgroups whose path matches; may be given again.
    #[arg(long, value_name = "GLOB")]
    cgroup: Vec<String>,
    /// Only from this time: RFC 3339, `14:03:22` (today), `-10m` (ago) or Unix seconds.
    #[arg(long, value_name = "TIME", value_parser = sampler::model::time::parse_time, allow_hyphen_values = true)]
    from: Option<i64>,
    /// Only up to this time.
    #[arg(long, value_name = "TIME", value_parser = sampler::model::time::parse_time, allow_hyphen_values = true)]
    to: Option<i64>,
}

impl Excerpt {
    /// All cgroups of a time.
    pub fn of(time: std::ops::Range<i64>) -> Excerpt {
        Excerpt { cgroup: Vec::new(), from: Some(time.start), to: Some(time.end) }
    }

    /// The cgroups.
    pub fn selection(&self) -> anyhow::Result<Selection> {
        Selection::new(&self.cgroup, &[]).context("read --cgroup")
    }

    /// The range in wall-clock microseconds.
    pub fn range(&self) -> std::ops::Range<i64> {
        self.from.unwrap_or(i64::MIN)..self.to.unwrap_or(i64::MAX)
    }
}
