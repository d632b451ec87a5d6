//! Checks of what is around the recorder: controllers, swap, what the guard needs, Docker, Compose, systemd, the disk.

use crate::doctor::hierarchy;
use crate::doctor::host::State::{Good, Lacks, Note};
use crate::doctor::host::{Host, Look};
use crate::kernel::cgroupfs::layout::Version;
use crate::model::units::{bytes, printable};

pub fn swap(host: &Host) -> Look {
    let wsl = "in .wslconfig: leave out [wsl2] swap=0, then `wsl --shutdown`";
    match host.meminfo("SwapTotal:") {
        Some(0) => (
            Note,
            "none: memory that is not used cannot make room, and a burst ends in a kill at once".into(),
            Some(if host.is_wsl() { wsl } else { "a swap file or zram of a quarter of the memory" }),
        ),
        Some(size) => (Good, bytes(size), None),
        None => (Note, "/proc/meminfo does not tell".into(), None),
    }
}

pub fn oom(host: &Host) -> Look {
    if !host.has("proc/sys/vm/panic_on_oom") {
        return (Note, "not known: /proc/sys/vm/panic_on_oom cannot be read".into(), None);
    }
    let set = |name: &str| host.text(&format!("proc/sys/vm/{name}")).is_some_and(|value| value != "0");
    if set("panic_on_oom") {
        return (
            Lacks,
            "the machine panics instead of killing (vm.panic_on_oom): there is no kill to explain".into(),
            Some("sysctl vm.panic_on_oom=0"),
        );
    }
    match set("oom_kill_allocating_task") {
        true => (Note, "it kills who asks for memory, not the largest (vm.oom_kill_allocating_task)".into(), None),
        false => (Good, "it kills the largest".into(), None),
    }
}

pub fn guard(host: &Host) -> Look {
    let mounts = host.text("proc/self/mounts").unwrap_or_default();
    let Ok(layout) = &host.layout else { return (Note, "nothing without a memory hierarchy".into(), None) };
    let point = layout.memory.to_string_lossy();
    let fixed = mounts.lines().any(|line| {
        let mut words = line.split(' ').skip(1);
        words.next() == Some(&point) && words.nth(1).is_some_and(|options| options.split(',').any(|o| o == "ro"))
    });
    if fixed {
        return (
            Lacks,
            format!("nothing: {point} is mounted read-only, so no limit can be set"),
            Some("run on the host, or in a container with --privileged --cgroupns=host"),
        );
    }
    match (layout.version, host.has("sys/fs/cgroup/memory.reclaim")) {
        (Version::V2, true) => (Good, "raises memory.max and memory.high, reclaims cache early".into(), None),
        (Version::V2, false) => (
            Note,
            "raises memory.max and memory.high; no memory.reclaim, so no cache is reclaimed early".into(),
            Some("a kernel since 5.19"),
        ),
        (Version::V1, _) => (
            Note,
            "raises limits; v1 has no memory.high, and no way to reclaim a part of the cache".into(),
            (!hierarchy::stays_on_v1(host)).then_some("cgroup v2, see cgroups"),
        ),
    }
}

pub fn docker(host: &Host) -> Look {
    if ["run/docker.sock", "var/run/docker.sock"].iter().any(|path| host.has(path)) {
        return (Good, "its socket is there: names of containers, and limits that it knows of".into(), None);
    }
    let users = host.list("run/user");
    if let Some(user) = users.iter().find(|user| host.has(&format!("run/user/{user}/docker.sock"))) {
        let what = format!("runs without root: its socket is /run/user/{}/docker.sock", printable(user));
        return (Note, what, Some("give it with --docker-socket: names of containers, and limits that it knows of"));
    }
    let podman = ["run/podman/podman.sock".to_owned()].into_iter();
    let mut podman = podman.chain(users.iter().map(|user| format!("run/user/{user}/podman/podman.sock")));
    if let Some(socket) = podman.find(|socket| host.has(socket)) {
        let what =
            format!("no socket of Docker, but Podman's, /{}: names of Podman come from files", printable(&socket));
        return (Note, what, None);
    }
    let fix = match host.is_wsl() {
        true => "Docker Desktop: Settings, Resources, WSL integration, switch this distribution on; else start Docker",
        false => "start Docker, or name its socket with --docker-socket; nothing to do where there is none",
    };
    (Note, "no socket of Docker: names come from files, and the guard cannot tell it of limits".into(), Some(fix))
}

pub fn compose(host: &Host) -> Look {
    const PLACES: [&str; 6] = [
        "usr/libexec/docker/cli-plugins/docker-compose",
        "usr/lib/docker/cli-plugins/docker-compose",
        "usr/local/lib/docker/cli-plugins/docker-compose",
        "usr/local/libexec/docker/cli-plugins/docker-compose",
        "usr/bin/docker-compose",
        "usr/local/bin/docker-compose",
    ];
    match PLACES.iter().find(|place| host.has(place)) {
        Some(place) => (Good, format!("/{place}"), None),
        None => (
            Note,
            "no docker compose: an override file is written, but not checked".into(),
            Some("install docker-compose-v2 or docker-compose, where Compose is used"),
        ),
    }
}

pub fn systemd(host: &Host) -> Look {
    match (host.has("run/systemd/system"), host.is_wsl()) {
        (true, _) => (Good, "runs: `sampler install` makes a service".into(), None),
        (false, true) => (
            Note,
            "does not run: `sampler install` uses the boot command of /etc/wsl.conf".into(),
            Some("in /etc/wsl.conf: [boot] systemd=true, then `wsl --shutdown`, if you want it"),
        ),
        (false, false) => (Note, "does not run: start `sampler record` by your own means".into(), None),
    }
}

/// What `record` keeps by default, and room for a segment that is being sealed.
const ROOM: u64 = 5 << 29;

pub fn disk(host: &Host) -> Look {
    match &host.disk {
        None => (Note, "not looked at".into(), None),
        Some((folder, free)) => {
            let what = format!("{} are free for {}", bytes(*free), printable(&folder.to_string_lossy()));
            match *free < ROOM {
                true => (Lacks, what, Some("another folder with --out, or less with --max-disk and --keep")),
                false => (Good, what, None),
            }
        }
    }
}
