//! How good the analysis is: on simulated series whose truth is their parameters, on the live corpus, on public series.

mod allocator;
mod baselines;
mod case;
mod corpus;
mod noise;
mod null;
mod queue;
mod score;
mod services;
mod sim;
mod tune;

use std::path::PathBuf;
use std::process::Command;

use clap::ValueEnum;
use score::Figures;
use sim::Mechanism;

/// A generator of series. Its second name is that of earlier figures.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Generator {
    /// Rules are written with it.
    Tune,
    /// Rules are written with it: more noise than `tune`.
    #[value(alias = "wide")]
    Noise,
    /// Only run: programs that hold a queue of requests.
    #[value(alias = "test")]
    Queue,
    /// Only run: objects of an allocator.
    #[value(alias = "third")]
    Allocator,
    /// Only run: services, each with its own way to hold memory.
    #[value(alias = "fourth")]
    Services,
}

impl Generator {
    fn mechanisms(self) -> &'static [Mechanism] {
        match self {
            Generator::Tune => tune::TABLE,
            Generator::Noise => noise::TABLE,
            Generator::Queue => queue::TABLE,
            Generator::Allocator => allocator::TABLE,
            Generator::Services => services::TABLE,
        }
    }
}

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Series of each mechanism.
    #[arg(long, default_value_t = 30)]
    each: usize,
    /// Seed.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Where the series come from; each generator was written on its own.
    #[arg(long, default_value = "tune")]
    generator: Generator,
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
        for (m, mechanism) in args.generator.mechanisms().iter().enumerate() {
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
