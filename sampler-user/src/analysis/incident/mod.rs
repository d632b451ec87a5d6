//! The story of one incident: an OOM kill, a death that is none, or a recording that ends abruptly. From what was recorded around it
//! to one page.
//!
//! [`find`](incident_ref::find) lists the incidents among the events of a recording, an [`IncidentContext`](context::IncidentContext)
//! holds what was recorded around one, and [`explain`] makes its page, an [`Incident`]: the [table of causes](cause::TABLE) is judged,
//! and the most likely one gives the [verdict](verdict::sentence) and the [advice](advice::Advice).
//!
//! ```
//! use std::sync::Arc;
//!
//! use sampler::analysis::incident::cause::CauseClass;
//! use sampler::analysis::incident::context::IncidentContext;
//! use sampler::analysis::incident::incident_ref::find;
//! use sampler::analysis::incident::{Owner, explain};
//! use sampler::model::event::Event;
//! use sampler::model::fields::{FieldId, Table};
//! use sampler::model::recording::{Origin, Series, Subject, TimedEvent};
//! use sampler::model::sample::Row;
//!
//! let event: Event = serde_json::from_str(
//!     r#"{"mono_ns": 0, "cgroup": "/docker/web", "kind": "oom_kill", "time_ns": 0, "constraint": "memcg",
//!         "victim_cgroup": "/docker/web", "limit_cgroup": "/docker/web", "witnesses": ["memory.events"]}"#,
//! )?;
//! let incidents = find(&[TimedEvent { time_us: 60_000_000, event }], &[], &|_| None, true);
//!
//! let origin: Origin = serde_json::from_str(
//!     r#"{"format": 0, "host": "h", "boot_id": "b", "kernel": "6.1", "hierarchy": "v2", "agent": "0", "cpus": 2,
//!         "page_size": 4096, "interval_us": 1, "slow_interval_us": 1, "anchor": {"mono_ns": 0, "wall_ns": 0}}"#,
//! )?;
//! let mut context = IncidentContext::new(&incidents[0], origin);
//! let subject = Arc::new(Subject { cgroup: "/docker/web".into(), id: 1, process: None });
//! let mut series = Series::new(subject, Table::Samples);
//! for second in 0..60u64 {
//!     let mib = if second < 58 { 10 } else { 100 };
//!     let mut row = Row::new(1);
//!     row.put(FieldId::Current.field(), mib << 20);
//!     row.put(FieldId::Anon.field(), mib << 20);
//!     row.put(FieldId::Max.field(), 100 << 20);
//!     series.push(second as i64 * 1_000_000, &row);
//! }
//! context.cgroups.entry("/docker/web".into()).or_default().feed(&series);
//! context.find_suspect();
//!
//! let page = explain(&context);
//! assert_eq!((page.cause, page.limit.owner), (CauseClass::Burst, Owner::Own));
//! assert!(page.verdict.contains("by its own limit of 100 MiB after allocating 90 MiB within 5 s"), "{}", page.verdict);
//! # Ok::<(), serde_json::Error>(())
//! ```

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
pub mod report;
pub mod timeline;
pub mod trace;
pub mod unknown;
pub mod verdict;
pub mod victim;

pub use self::limit::{Limit, Owner};
pub use self::page::{FORMAT, Incident, Source, explain};
pub use self::victim::{Trigger, Victim};

#[cfg(test)]
mod tests;
