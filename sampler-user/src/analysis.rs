//! From series to findings. Pure: no file is opened and no clock is read, so the same recording gives the same findings.
//!
//! `track` keeps what was seen of a cgroup in bounded blocks, `facts` measures one signal of it, the `detectors` say what the
//! facts mean, `verdict` asks them in their order and adds rate, onset and time to limit.

pub mod blocks;
pub mod detectors;
pub mod eta;
pub mod facts;
pub mod floor;
pub mod groups;
pub mod incident;
pub mod limits;
pub mod linear;
pub mod live;
pub mod lives;
pub mod neighbour;
pub mod pressure;
pub mod regimes;
pub mod shape;
pub mod track;
pub mod trend;
pub mod verdict;
pub mod workloads;
