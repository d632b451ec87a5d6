//! Where all of a machine's memory is: parts of MemTotal that add up, and what holds them. Pure.

mod given_back;
mod holders;
mod machine;
mod parts;
mod wsl;

pub use self::given_back::{CacheDrop, GivenBack, MOST as MOST_DROPS, given_back};
pub use self::holders::{FIELDS as MEMBER_FIELDS, Holder, Holders, Member, holders};
pub use self::machine::{Look, Machine, Swap, Worst};
pub use self::parts::{Account, Kind, Part, through_time};
pub use self::wsl::{Windows, windows};
