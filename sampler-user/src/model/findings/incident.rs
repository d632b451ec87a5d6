//! The table of incidents.

use crate::model::findings::cell::Moment;
use crate::model::findings::columns::findings;

findings! {
    /// One incident, as `postmortem` explains it.
    IncidentRow in "incidents", by host and time

    /// The machine.
    host: String, "";
    /// Release of its kernel.
    kernel: String, "";
    /// When it began.
    time: Moment, "";
    /// `oom-kill`, `death`, or `abrupt-end`.
    kind: String, "";
    /// Path of the cgroup of the first victim.
    cgroup: Option<String>, "";
    /// Its workload, as in `lives`.
    workload: Option<String>, "";
    /// What a person calls it.
    name: Option<String>, "";
    /// Image, as it was asked for.
    image: Option<String>, "";
    /// Version of the image, as in `lives`.
    version: Option<String>, "";
    /// Name of the first victim's process.
    process: Option<String>, "";
    /// Processes that were killed.
    kills: u64, "processes";
    /// The cause, the word of `postmortem`; `unknown` where none has enough for it.
    cause: String, "";
    /// How sure it is.
    confidence: f64, "0 to 1";
    /// What contributed, words with commas between them.
    contributing: String, "";
    /// Who owns the limit: `own`, `ancestor`, `machine`, or `unknown`.
    limit_owner: String, "";
    /// Path of the cgroup whose limit was hit; absent of the machine's.
    limit_cgroup: Option<String>, "";
    /// That limit.
    limit_bytes: Option<u64>, "bytes";
    /// The cgroup that made the memory short, where one did.
    suspect: Option<String>, "";
    /// OOM kills of the restart loop it belongs to.
    loop_kills: Option<u64>, "kills";
    /// What happened, in one sentence.
    verdict: String, "";
}
