//! Damaged recordings: a bit, a page or the end of one file is not as it was written. Whatever a command shows of it has to be
//! true, and what is missing has to be said, with exit code 5. "No incident" is only said of what was read whole.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use sampler::journal::reader::Segment;
use serde_json::Value;

use super::made::{Form, files, make};
use super::outcome::Outcome;
use super::rows::Rows;
use crate::sh;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// A tenth of it, for CI.
    #[arg(long)]
    short: bool,
    /// Seed of the damage, for a run that can be had again.
    #[arg(long, default_value_t = 18)]
    seed: u64,
}

/// Journals and Parquet files that are damaged.
const JOURNALS: usize = 500;
const PARQUET: usize = 1000;
/// No command may hold more, bytes.
const MEMORY: u64 = 256 << 20;
/// Nothing but this code is given where something could not be read.
const UNREAD: i32 = 5;

/// A command that reads a recording; in the order of [`Whole::outcomes`].
const COMMANDS: [&[&str]; 8] = [
    &["postmortem", "--json"],
    &["postmortem", "--list"],
    &["analyze", "--json"],
    &["advise", "--json"],
    &["info", "--json"],
    &["export", "--format", "jsonl"],
    &["export", "--format", "jsonl", "--table", "events"],
    &["top", "--once", "--json"],
];

/// A recording and what the commands make of it before it is damaged.
struct Whole {
    form: Form,
    has_kill: bool,
    dir: PathBuf,
    files: Vec<(PathBuf, Vec<u8>)>,
    outcomes: Vec<Outcome>,
    rows: Rows,
    events: Rows,
}

/// What was found.
#[derive(Debug, Default)]
struct Counts {
    damaged: usize,
    commands: usize,
    reported: usize,
    refused: usize,
    silently_wrong: usize,
    silently_missing: usize,
    false_all_clear: usize,
    panics: usize,
    large: usize,
    /// Rows and values that the worst flipped bit cost.
    most_lost: usize,
    most_memory: u64,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    let program = sh::sampler()?;
    let home = sh::target().join("gauntlet-damage");
    let part = if args.short { 10 } else { 1 };
    let mut failed = false;
    for (form, most) in [(Form::Journal, JOURNALS / part), (Form::Sealed, PARQUET / part)] {
        let mut counts = Counts::default();
        let mut whole = Vec::new();
        for has_kill in [true, false] {
            whole.push(Whole::of(&program, &home, form, has_kill)?);
        }
        let mut dice = fastrand::Rng::with_seed(args.seed);
        for n in 0..most {
            let whole = &whole[n % whole.len()];
            whole.damage(&program, &mut dice, &mut counts).with_context(|| format!("damage {n} of {form:?}"))?;
        }
        failed |= counts.verdict(form);
    }
    if failed {
        bail!("a command says what is not so");
    }
    fs::remove_dir_all(&home).with_context(|| format!("remove {}", home.display()))
}

impl Whole {
    fn of(program: &Path, home: &Path, form: Form, has_kill: bool) -> anyhow::Result<Whole> {
        let dir = home.join(format!("{form:?}-{has_kill}"));
        make(&dir, form, has_kill)?;
        let outcomes: Vec<Outcome> =
            COMMANDS.iter().map(|command| ask(program, command, &dir)).collect::<Result<_, _>>()?;
        for (command, outcome) in COMMANDS.iter().zip(&outcomes) {
            if outcome.code != Some(0) {
                bail!("{command:?} of a whole recording ended with {:?}: {}", outcome.code, outcome.said);
            }
        }
        let found = incidents(&outcomes[0].out);
        if found != usize::from(has_kill) {
            bail!("{found} incidents in a whole recording, which has {}", usize::from(has_kill));
        }
        let (rows, events) = (Rows::of(&outcomes[5].out), Rows::of(&outcomes[6].out));
        if rows.count < 10_000 || events.count < 14 {
            bail!("a whole recording has {} rows and {} events", rows.count, events.count);
        }
        Ok(Whole { form, has_kill, files: files(&dir)?, dir, outcomes, rows, events })
    }

    /// Damages one file, asks every command, and puts it back.
    fn damage(&self, program: &Path, dice: &mut fastrand::Rng, counts: &mut Counts) -> anyhow::Result<()> {
        let (path, bytes) = &self.files[dice.usize(0..self.files.len())];
        let (damaged, is_bit) = self.damaged(bytes, dice);
        fs::write(path, &damaged).with_context(|| format!("write {}", path.display()))?;
        counts.damaged += 1;
        let result = self.ask(program, is_bit, path, counts);
        fs::write(path, bytes).with_context(|| format!("write {}", path.display()))?;
        result
    }

    /// Other bytes, and whether a single bit is another.
    fn damaged(&self, bytes: &[u8], dice: &mut fastrand::Rng) -> (Vec<u8>, bool) {
        let mut damaged = bytes.to_vec();
        loop {
            let at = dice.usize(0..bytes.len());
            let kind = dice.u8(0..10);
            match kind {
                0 | 1 => damaged.truncate(at),
                2 => damaged[at..(at + 512).min(bytes.len())].fill(0),
                3 => damaged[at] = dice.u8(..),
                _ => damaged[at] ^= 1 << dice.u8(0..8),
            }
            // A journal that ends with a whole frame is what a crash at that moment leaves; and some bytes were zeros before.
            let like_a_crash = kind < 2
                && self.form == Form::Journal
                && Segment::parse(Path::new("x"), damaged.clone()).is_ok_and(|segment| segment.torn_bytes == 0);
            if !like_a_crash && damaged != bytes {
                return (damaged, kind > 3);
            }
            damaged = bytes.to_vec();
        }
    }

    fn ask(&self, program: &Path, is_bit: bool, path: &Path, counts: &mut Counts) -> anyhow::Result<()> {
        for (at, command) in COMMANDS.iter().enumerate() {
            let outcome = ask(program, command, &self.dir)?;
            let before = counts.failures();
            counts.commands += 1;
            counts.most_memory = counts.most_memory.max(outcome.memory);
            counts.large += usize::from(outcome.memory > MEMORY);
            counts.panics += usize::from(outcome.panicked());
            match outcome.code {
                Some(0) => self.compare(at, &outcome, counts),
                Some(UNREAD) => self.look(at, &outcome, is_bit, counts),
                _ => counts.refused += 1,
            }
            if at < 2 && self.has_kill && says_no_incident(at, &outcome) {
                counts.false_all_clear += 1;
            }
            if counts.failures() > before {
                let kept = self.dir.with_extension(format!("{}.bad", counts.failures()));
                fs::copy(path, &kept).with_context(|| format!("copy to {}", kept.display()))?;
                eprintln!(
                    "{command:?} of {}, kept as {}: {:?}\n{}",
                    path.display(),
                    kept.display(),
                    outcome.code,
                    outcome.said
                );
            }
        }
        Ok(())
    }

    /// Of a command that says that all is well: it says the same as of the whole recording.
    fn compare(&self, at: usize, outcome: &Outcome, counts: &mut Counts) {
        let whole = &self.outcomes[at];
        if at == 5 || at == 6 {
            let truth = if at == 5 { &self.rows } else { &self.events };
            let difference = truth.compare(&Rows::of(&outcome.out));
            counts.silently_wrong += usize::from(difference.wrong > 0);
            counts.silently_missing += usize::from(difference.wrong == 0 && difference.missing > 0);
        } else if comparable(&outcome.out) != comparable(&whole.out) {
            counts.silently_wrong += 1;
        }
    }

    /// Of a command that says that something is missing: it says where, and what it shows is true.
    fn look(&self, at: usize, outcome: &Outcome, is_bit: bool, counts: &mut Counts) {
        counts.reported += 1;
        let json: Option<Value> = serde_json::from_str(&outcome.out).ok();
        let problems = json.as_ref().and_then(|json| json.get("problems")?.as_array().map(Vec::len));
        if problems == Some(0) || (problems.is_none() && outcome.said.is_empty() && !outcome.out.contains("problem")) {
            counts.silently_missing += 1;
        }
        if at == 5 || at == 6 {
            let truth = if at == 5 { &self.rows } else { &self.events };
            let difference = truth.compare(&Rows::of(&outcome.out));
            counts.silently_wrong += usize::from(difference.wrong > 0);
            if is_bit && at == 5 {
                counts.most_lost = counts.most_lost.max(difference.missing);
            }
        }
    }
}

impl Counts {
    fn failures(&self) -> usize {
        self.silently_wrong + self.silently_missing + self.false_all_clear + self.panics + self.large
    }

    /// Prints the verdict; whether it is a bad one.
    fn verdict(&self, form: Form) -> bool {
        let what = match form {
            Form::Journal => "journals",
            Form::Sealed => "Parquet files",
        };
        println!(
            "gauntlet damage: {} damaged {what}, {} answers: silently wrong {}, silently missing {}, false \"no incident\" {}, panics {}, \
             above 256 MiB {}; reported {}, refused {}; a flipped bit costs {} rows and values at most, the most memory is {} MiB: {}",
            self.damaged,
            self.commands,
            self.silently_wrong,
            self.silently_missing,
            self.false_all_clear,
            self.panics,
            self.large,
            self.reported,
            self.refused,
            self.most_lost,
            self.most_memory >> 20,
            if self.failures() > 0 { "FAILED" } else { "held" }
        );
        self.failures() > 0
    }
}

fn ask(program: &Path, command: &[&str], dir: &Path) -> anyhow::Result<Outcome> {
    let dir = dir.to_str().context("a path that is no text")?;
    let (name, rest) = command.split_first().context("no command")?;
    Outcome::of(program, &[&[*name, dir], rest].concat())
}

fn incidents(json: &str) -> usize {
    let json: Option<Value> = serde_json::from_str(json).ok();
    json.and_then(|json| Some(json.get("incidents")?.as_array()?.len())).unwrap_or(0)
}

/// Whether a post-mortem says that nothing happened.
fn says_no_incident(at: usize, outcome: &Outcome) -> bool {
    let found_none = if at == 0 { incidents(&outcome.out) == 0 } else { outcome.out.starts_with("no incident\n") };
    outcome.code == Some(0) && found_none
}

/// A document without what may differ: how many bytes the files have.
fn comparable(text: &str) -> Value {
    let Ok(mut json) = serde_json::from_str::<Value>(text) else { return Value::String(text.to_owned()) };
    let tables = json.get_mut("tables").and_then(Value::as_object_mut);
    for table in tables.into_iter().flat_map(|tables| tables.values_mut()) {
        table["bytes"] = Value::Null;
    }
    if let Some(journal) = json.get_mut("journal") {
        *journal = Value::Null;
    }
    json
}
