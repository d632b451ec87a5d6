//! The files of a cgroup and of the host, of any bytes: the same file twice, because the second reading goes another way.
#![no_main]

use std::path::PathBuf;

use libfuzzer_sys::fuzz_target;
use sampler::kernel::cgroupfs::layout::{Layout, Version};
use sampler::kernel::cgroupfs::plan::Plan;
use sampler::model::sample::{PassKind, Row};

fuzz_target!(|bytes: &[u8]| {
    let layout = |version| Layout { version, memory: PathBuf::new(), unified: None, cpuacct: None, pids: None };
    let (first, second) = bytes.split_at(bytes.iter().position(|&b| b == 0).unwrap_or(bytes.len()));
    let plans = [Version::V1, Version::V2].map(|version| Plan::cgroups(PassKind::Full, &layout(version), &[]));
    for mut file in plans.into_iter().chain([Plan::host()]).flat_map(|plan| plan.files) {
        let mut again = file.parser.clone();
        let (mut row, mut fresh) = (Row::new(1), Row::new(1));
        file.parser.parse(first, &mut Row::new(1));
        file.parser.parse(second, &mut row);
        again.parse(second, &mut fresh);
        assert_eq!(format!("{row:?}"), format!("{fresh:?}"), "what was read before must not matter");
    }
    let text = String::from_utf8_lossy(bytes);
    let _ = Layout::from_mounts(&text, |_| true);
});
