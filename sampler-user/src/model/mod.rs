//! The words of the program: fields, rows, events, evidence, names. No input or output but the clock.

pub mod ceiling;
pub mod details;
pub mod event;
pub mod evidence;
pub mod fields;
pub mod findings;
pub mod identity;
pub mod image;
pub mod memory;
pub mod own_memory;
pub mod paths;
pub mod problem;
pub mod recording;
pub mod sample;
pub mod shrink;
pub mod sink;
pub mod table;
pub mod time;
pub mod units;
pub mod word;
pub mod wslconfig;
