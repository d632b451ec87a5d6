//! A recording that is made for a measurement.

#[derive(Debug, clap::Args)]
pub struct Made {
    /// Number of cgroups in the recording.
    #[arg(long, default_value_t = 100)]
    pub cgroups: usize,
    /// Rounds; the median counts.
    #[arg(long, default_value_t = 3)]
    pub rounds: usize,
    /// Only make the recording.
    #[arg(long = "make")]
    pub only: bool,
}
