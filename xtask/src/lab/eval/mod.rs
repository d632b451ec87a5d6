//! How good the analysis is: on simulated series whose truth is their parameters, on the live corpus, on public series.

mod baselines;
mod case;
mod corpus;
mod fourth;
mod held_out;
mod null;
mod score;
mod sim;
mod third;
mod tune;
mod wide;

use std::path::PathBuf;
use std::process::Command;

use score::Figures;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Series of each mechanism.
    #[arg(long, default_value_t = 30)]
    each: usize,
    /// Seed.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// `tune` and `wide`, which may be looked at, or `test`, `third` and `fourth`: other mechanisms, each written on its own.
    #[arg(long, default_value = "tune", value_parser = ["tune", "wide", "test", "third", "fourth"])]
    generator: String,
    /// Instead: the live corpus in this folder, which `cargo xtask corpus` makes.
    #[arg(long, value_name = "DIR")]
    corpus: Option<PathBuf>,
    /// Only this part of the live corpus.
    #[arg(long, value_parser = ["tune", "test"])]
    part: Option<String>,
    /// Instead: how often the trend test sees a rise where there is none.
    #[arg(long)]
    null: bool,
    /// Instead: the public series in this folder (see eval/public.py); needs Python.
    #[arg(long, value_name = "DIR")]
    public: Option<PathBuf>,
    /// Print every series that is judged wrong.
    #[arg(long)]
    wrong: bool,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    if let Some(folder) = &args.public {
        let script = crate::sh::root().join("xtask/src/lab/eval/public.py");
        return crate::sh::run(Command::new("python3").arg(script).arg(crate::sh::sampler()?).arg(folder));
    }
    if args.null {
        null::print(args.each.max(2000), args.seed);
        return Ok(());
    }
    let mut figures = Figures::default();
    if let Some(folder) = &args.corpus {
        for case in corpus::load(folder, args.part.as_deref())? {
            figures.add(&case);
        }
    } else {
        let mechanisms = match args.generator.as_str() {
            "test" => held_out::TEST,
            "third" => third::TABLE,
            "fourth" => fourth::TABLE,
            "wide" => wide::TABLE,
            _ => tune::TUNE,
        };
        for (m, mechanism) in mechanisms.iter().enumerate() {
            for i in 0..args.each {
                let sim = (mechanism.make)(args.seed * 1_000_003 + (m * 10_007 + i) as u64);
                figures.add(&sim.case(mechanism.name, i));
            }
        }
    }
    figures.print();
    if args.wrong {
        figures.wrong.iter().for_each(|line| println!("{line}"));
    }
    Ok(())
}
