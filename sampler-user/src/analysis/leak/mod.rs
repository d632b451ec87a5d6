//! Leaks: what was seen of a cgroup, measured and judged.
//!
//! [`track`] keeps what was seen in bounded blocks, [`facts`] measures one signal of it, the [`detectors`] interpret the
//! facts, [`verdict`] asks them in their order and adds pace, onset and time to limit.

pub mod blocks;
mod columns;
pub mod detectors;
pub mod eta;
pub mod facts;
pub mod floor;
pub mod linear;
pub mod own_memory;
pub mod regimes;
pub mod shape;
pub mod signal;
pub mod track;
pub mod trend;
pub mod verdict;
