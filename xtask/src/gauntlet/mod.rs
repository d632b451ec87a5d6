//! The gauntlet: what tries to break the recorder and its readers, each with one line for a verdict.

mod damage;
mod made;
mod outcome;
mod rows;

use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub enum Gauntlet {
    /// Flipped bits, damaged pages and cut ends in journals and Parquet files: whether any command says what is not so
    Damage(damage::Args),
}

pub fn run(gauntlet: &Gauntlet) -> anyhow::Result<()> {
    match gauntlet {
        Gauntlet::Damage(args) => damage::run(args),
    }
}
