//! The gauntlet: what tries to break the recorder and its readers, each with one line for a verdict.

mod agent;
mod cage;
mod damage;
mod forest;
mod grow;
mod guard;
mod made;
mod outcome;
mod rows;
mod scale;

use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub enum Gauntlet {
    /// Flipped bits, damaged pages and cut ends in journals and Parquet files: whether any command says what is not so
    Damage(damage::Args),
    /// More cgroups than there are open files for: whether each has its rows (root)
    Scale(scale::Args),
    /// A guard that is killed at random moments, and leaks: whether limits stay raised, and how often a leak's is (root)
    Guard(guard::Args),
    /// Grows; what the others need
    #[command(hide = true)]
    Grow(grow::Args),
}

pub fn run(gauntlet: &Gauntlet) -> anyhow::Result<()> {
    match gauntlet {
        Gauntlet::Damage(args) => damage::run(args),
        Gauntlet::Scale(args) => scale::run(args),
        Gauntlet::Guard(args) => guard::run(args),
        Gauntlet::Grow(args) => {
            grow::run(args);
            Ok(())
        }
    }
}
