//! The story of one incident: an OOM kill, a death that is none, or a recording that ends abruptly. From what was recorded around it
//! to one page.
//!
//! [`find`](incident_ref::find) lists the incidents among the events of a recording, an [`IncidentContext`](context::IncidentContext)
//! holds what was recorded around one, and [`explain`] makes its page, an [`Incident`]: the [table of causes](cause::TABLE) is judged,
//! and the most likely one gives the [verdict](verdict::sentence) and the [advice](advice::Advice).

pub mod advice;
pub mod cause;
pub mod context;
pub mod death;
pub mod grown_part;
pub mod incident_ref;
pub mod kill_facts;
pub mod limit;
pub mod memory;
pub mod naming;
pub mod page;
pub mod timeline;
pub mod trace;
pub mod unknown;
pub mod verdict;
pub mod victim;

pub use self::limit::{Limit, Owner};
pub use self::page::{FORMAT, Incident, explain};
pub use self::victim::{Trigger, Victim};

#[cfg(test)]
mod tests;
