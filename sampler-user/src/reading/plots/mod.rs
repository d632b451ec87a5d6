//! The points of plots: rows of a recording, in as many as a screen has, the lowest and the highest of each part kept.

pub mod bins;
pub mod drawn;
pub mod grid;
pub mod overview;
pub mod packed;
pub mod set;
