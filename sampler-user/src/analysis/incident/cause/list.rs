//! The list of causes, from which their classes and their table are made.

/// The causes, a line each: file, class and what the class means. The order decides between equally likely ones.
macro_rules! causes {
    ($then:ident) => {
        $then! {
            neighbour Neighbour "Another cgroup under the same limit took the memory.";
            limits_exceed LimitsExceed "More was promised together than there is.";
            storm Storm "Many cgroups rose in step.";
            forks Forks "Processes or threads multiplied.";
            tmpfs Tmpfs "Files in a tmpfs, or shared memory.";
            ceiling_above_limit CeilingAboveLimit "A runtime may hold more by itself than its limit.";
            leak Leak "Memory grew without bound.";
            burst Burst "Much was allocated within a moment.";
            limit_too_low LimitTooLow "The working set needs more than the limit.";
            load_spike LoadSpike "Memory rose with the work.";
            cache Cache "Page cache that could not be reclaimed.";
            swap Swap "There is no swap, or it was used up.";
            exhausted Exhausted "The machine had nothing left as the recording ended.";
            not_memory NotMemory "The recording ended, and memory was not why.";
            stop_timeout StopTimeout "A process was asked to end, did not, and was killed.";
            oom_daemon OomDaemon "A program that watches the memory killed a process.";
            killed Killed "Somebody killed a process: a person, a script, a runtime.";
            own_ceiling OwnCeiling "A process ran into a ceiling of its own, far below its limit.";
            crash Crash "A process crashed.";
            exit_code ExitCode "A process ended with a code that only its own output explains.";
        }
    };
}

pub(super) use causes;
