//! `.wslconfig` and `wsl.conf` of any bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sampler::model::wslconfig::{Config, Kind};

fuzz_target!(|bytes: &[u8]| {
    for kind in [Kind::Wslconfig, Kind::WslConf] {
        let config = Config::read(bytes, kind);
        for name in config.effective.keys() {
            let (section, key) = name.split_once('.').expect("a section and a key");
            assert!(config.get(section, key).is_some());
        }
    }
});
