//! `.wslconfig` and `wsl.conf` of any bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sampler::model::wslconfig::File;

fuzz_target!(|bytes: &[u8]| {
    let file = File::parse(bytes);
    for (section, key, _) in &file.entries {
        assert!(file.get(section, key).is_some());
    }
});
