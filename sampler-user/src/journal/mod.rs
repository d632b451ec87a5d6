//! The journal: an append-only file that survives the crash of the agent, of the kernel and of the machine.
//!
//! A segment is a run of frames. Each frame carries its length and a CRC, and can be read without any other frame but the
//! segment's head and the subjects it names, so a torn or corrupt part costs what it holds and nothing else. The format is
//! described in `docs/journal-format.md`; [`format`] is shared by [`writer`] and [`reader`].

mod damage;
pub mod decoder;
pub mod encoder;
mod error;
pub mod follow;
pub mod format;
pub mod index;
pub mod order;
pub mod reader;
mod source;
#[cfg(test)]
mod tests;
pub mod writer;

pub use self::error::Error;
