//! Tasks of this repository: `cargo xtask TASK`.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a task runner talks to the terminal")]

mod bench;
mod browser_test;
mod dist;
mod docker;
mod docs;
mod ebpf;
mod field;
mod fmt;
mod fuzz;
mod gauntlet;
mod lab;
mod sh;
mod vm;

use clap::Parser;

#[derive(Debug, Parser)]
#[command(about = "Tasks of this repository")]
enum Task {
    /// Measure the agent against the bare floor, in the same run
    #[command(subcommand)]
    Bench(bench::Bench),
    /// Run and record the live corpus: programs whose memory does what is known (root)
    Corpus(lab::corpus::Args),
    /// Run all that CI checks
    Ci,
    /// Look at the HTML report in headless Chromium
    BrowserTest(browser_test::Args),
    /// Build the static program, man pages, completions and, where cargo-deb is, the Debian package
    Dist,
    /// Record real Docker containers from end to end
    Docker,
    /// Write the generated documents
    Docs,
    /// Build the kernel probe and write the object that is committed
    Ebpf(ebpf::Args),
    /// How good the analysis is, on series with a known truth
    Eval(lab::eval::Args),
    /// Many real containers with trouble at the same time, and whether each is reported as it is (root, cgroup v1)
    Field(field::Args),
    /// Format all Rust files, also those that `cargo fmt` does not find
    Fmt(fmt::Args),
    /// Fuzz every reader, bounded
    Fuzz(fuzz::Args),
    /// Try to break the recorder and its readers
    #[command(subcommand)]
    Gauntlet(gauntlet::Gauntlet),
    /// Write the recordings that no alert may come of
    HealthyRecordings,
    /// Run workloads again under the limits that `advise` gives them (root)
    Replay(lab::replay::Args),
    /// Install the Debian package in a VM with systemd and look at the service
    Service,
    /// Record the stories of data/recordings again: real incidents in a VM
    Stories(vm::stories::Args),
    /// Run the scenarios on real kernels in QEMU
    Vm(vm::Args),
}

fn main() -> anyhow::Result<()> {
    match Task::parse() {
        Task::Bench(bench) => bench::run(bench),
        Task::Corpus(args) => lab::corpus::run(&args),
        Task::Ci => sh::run(&mut std::process::Command::new(sh::root().join(".ci/run"))),
        Task::HealthyRecordings => lab::healthy_recordings::run(),
        Task::Dist => dist::run(),
        Task::Docker => docker::run(),
        Task::Docs => docs::run(),
        Task::Ebpf(args) => ebpf::run(&args),
        Task::Eval(args) => lab::eval::run(&args),
        Task::Field(args) => field::run(&args),
        Task::Fmt(args) => fmt::run(&args),
        Task::Fuzz(args) => fuzz::run(&args),
        Task::Gauntlet(gauntlet) => gauntlet::run(&gauntlet),
        Task::BrowserTest(args) => browser_test::run(&args),
        Task::Replay(args) => lab::replay::run(&args),
        Task::Service => vm::service::run(),
        Task::Stories(args) => vm::stories::run(&args),
        Task::Vm(args) => vm::run(&args),
    }
}
