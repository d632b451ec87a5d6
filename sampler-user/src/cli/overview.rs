//! What `sampler` alone shows.

/// The commands that most people need, each with an example.
pub const TEXT: &str = "\
sampler, a flight recorder for container memory

Record
  record      all cgroups, until stopped  sudo sampler record --burst 1ms
  top         the present, as it changes  sudo sampler top

Explain
  postmortem  an OOM kill: who, and why   sampler postmortem --last
  analyze     leaks, and the time left    sampler analyze --from -6h
  report      a recording as one page     sampler report --html day.html

Change
  advise      limits for compose.yaml     sampler advise --compose compose.yaml

sampler demo shows a leak to its kill. All commands: sampler --help";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_fits_eighty_columns_and_a_screen() {
        assert!(TEXT.lines().all(|line| line.chars().count() <= 80), "{TEXT}");
        assert!(TEXT.lines().count() < 20);
    }
}
