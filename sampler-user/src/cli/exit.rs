//! Exit codes, as `docs/exit-codes.md` has them.

use std::process::ExitCode;

use sampler::model::problem::Problem;

/// Something that was tried did not work; the error says what.
pub const FAILED: u8 = 1;
/// A wrong command line, or none; clap's own.
pub const USAGE: u8 = 2;
/// There is no recording where one was looked for.
pub const NO_RECORDING: u8 = 3;
/// A right or a kernel feature is missing.
pub const NOT_ALLOWED: u8 = 4;
/// Done, but part of the recording could not be read or written: what was shown is no all-clear.
pub const UNREAD: u8 = 5;
/// `run`: the command was not found.
pub const NOT_FOUND: u8 = 127;
/// `run`: added to the number of the signal that ended the command: 137 is a kill.
pub const SIGNAL: u8 = 128;

/// Of a command that has shown what it could read.
pub fn of(problems: &[Problem]) -> ExitCode {
    if problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(UNREAD) }
}
