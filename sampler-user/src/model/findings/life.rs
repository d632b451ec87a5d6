//! The table of lives.

use crate::model::findings::cell::Moment;
use crate::model::findings::columns::findings;

findings! {
    /// One life of a cgroup as far as one recording holds it: from its first row, or the kill before, to its end. A life that goes on
    /// over several recordings has a row in each; `host`, `boot_id`, `cgroup` and `cgroup_id` are the same in all of them.
    LifeRow in "lives", by host and first_seen

    /// The machine.
    host: String, "";
    /// Its boot.
    boot_id: String, "";
    /// Release of its kernel.
    kernel: String, "";
    /// Version of sampler that recorded it.
    agent: String, "";
    /// Path of the cgroup.
    cgroup: String, "";
    /// Its inode number: a path may be used again, this number is not.
    cgroup_id: u64, "";
    /// What is the same at each start and on each host: `namespace/pod template/container`, `project/service`, the name of a
    /// container, else the path with `*` for ids; absent where nothing but ids is left.
    workload: Option<String>, "";
    /// What a person calls this life of it.
    name: Option<String>, "";
    /// The runtime whose cgroup it is.
    runtime: Option<String>, "";
    /// Id of the container.
    container: Option<String>, "";
    /// Image, as it was asked for.
    image: Option<String>, "";
    /// The image without its version.
    image_name: Option<String>, "";
    /// Tag of the image; with `@` and twelve digits of its digest where there is no tag or it is `latest`.
    version: Option<String>, "";
    /// Digest of the image, or the id that the runtime has for it.
    image_digest: Option<String>, "";
    /// Compose project.
    project: Option<String>, "";
    /// Compose service.
    service: Option<String>, "";
    /// Kubernetes namespace.
    namespace: Option<String>, "";
    /// Name of the pod.
    pod: Option<String>, "";
    /// Path below the container's own cgroup, of a cgroup inside one.
    inner: Option<String>, "";
    /// Whether no other cgroup was seen below it.
    leaf: bool, "";

    /// First row.
    first_seen: Moment, "";
    /// Last row.
    last_seen: Moment, "";
    /// How it ended: `oom-kill`, `other`, or `runs` where its end was not seen.
    ended: String, "";
    /// Rows it was judged by.
    rows: u64, "rows";
    /// Parts of the recording that could not be read: with any, no verdict on this life is an all-clear.
    unread: u64, "parts";

    /// What its memory does, the word of `analyze`; absent where there was no row to judge.
    verdict: Option<String>, "";
    /// The detector that found it.
    detector: Option<String>, "";
    /// How likely it grows without bound.
    probability: f64, "0 to 1";
    /// Whether it leaks and is near its limit.
    alarm: bool, "";
    /// Pace of a growth.
    rate: Option<f64>, "bytes a second";
    /// Low end of its 90 % interval.
    rate_low: Option<f64>, "bytes a second";
    /// High end of its 90 % interval.
    rate_high: Option<f64>, "bytes a second";
    /// The kind of memory that grows.
    component: Option<String>, "";
    /// When the growth began.
    onset: Option<Moment>, "";
    /// The limit that it reaches first: its own, that of an ancestor less what others hold, or the machine's.
    limit_bytes: Option<u64>, "bytes";
    /// Whose limit that is: a path, or an empty text, which is the machine.
    limit_owner: Option<String>, "";
    /// Its own limit; absent without one.
    own_limit_bytes: Option<u64>, "bytes";
    /// Time from `last_seen` until the limit is reached.
    time_to_limit_s: Option<f64>, "seconds";
    /// Low end of its 90 % interval.
    time_to_limit_low_s: Option<f64>, "seconds";
    /// High end of it; absent where it may never come to it.
    time_to_limit_high_s: Option<f64>, "seconds";
    /// How much longer it has to be watched for a verdict.
    needs_s: Option<f64>, "seconds";
    /// Why, a sentence a line.
    evidence: Option<String>, "";

    /// OOM kills in it.
    kills: u64, "kills";
    /// OOM kills of the restart loop that it belongs to; the causes of kills are in `incidents`.
    loop_kills: Option<u64>, "kills";
    /// What each life of that loop does: `rises` is a leak.
    loop_course: Option<String>, "";
    /// Time in which its tasks waited for memory.
    stalled_s: f64, "seconds";
    /// Times of pressure.
    pressures: u64, "times";

    /// What cannot be reclaimed, in the second quarter of the life: the first is a start; absent of a life too short for quarters.
    level_bytes: Option<f64>, "bytes";
    /// From there to the last quarter.
    growth_bytes: Option<f64>, "bytes";
    /// Standard deviation around its own course.
    noise_bytes: Option<f64>, "bytes";
    /// Points of the trend.
    points: u64, "points";
    /// Slope of the trend over the whole life, whatever the reason.
    trend: Option<f64>, "bytes a second";
    /// Standard error of the slope.
    trend_se: Option<f64>, "bytes a second";
    /// Statistic of the trend test, a standard normal where there is no trend.
    trend_z: Option<f64>, "";
    /// Highest usage, page cache included: the mean of a block, of which a life has at most 1,024.
    peak_bytes: Option<u64>, "bytes";
    /// Usage at the end.
    last_bytes: Option<u64>, "bytes";

    /// What `advise` has to report of its limit, by this recording and without the pages of its kills; absent of a cgroup with others
    /// below it.
    advice: Option<String>, "";
    /// The limit that it advises.
    advised_bytes: Option<u64>, "bytes";
}
