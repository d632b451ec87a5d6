//! The user's own files that `advise` reads, of any bytes: what is written of them must be readable again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sampler::advise::compose::File;
use sampler::advise::compose::overriding::{ServiceLimits, text};
use sampler::advise::wslconfig;
use sampler::model::wslconfig::{Config, Kind};

fuzz_target!(|bytes: &[u8]| {
    let config = Config::read(bytes, Kind::Wslconfig);
    let written = wslconfig::text(&config, &wslconfig::wanted(1 << 30, 1 << 28, "6.6"));
    let again = Config::read(&config.encode(&written), Kind::Wslconfig);
    for (name, value) in &config.effective {
        let is_ours = ["wsl2.memory", "wsl2.swap", "experimental.autoMemoryReclaim"].contains(&name.as_str());
        assert!(is_ours || again.effective.get(name) == Some(value), "{name} is lost");
    }

    let Ok(file) = File::read(bytes) else { return };
    let limits = |service: &sampler::advise::compose::Service| ServiceLimits {
        service: service.name.clone(),
        limit: Some(128 << 20),
        reservation: Some(64 << 20),
        with_swap: None,
        interval: service.health.and_then(|health| health.interval),
        because: vec![service.name.clone()],
    };
    let limits: Vec<ServiceLimits> = file.services.iter().map(limits).collect();
    let again = File::read(text(&file, &["docker-compose.yml"], &limits).as_bytes()).expect("the override is YAML");
    assert_eq!(again.version, file.version);
    let names = |file: &File| file.services.iter().map(|service| service.name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&again), names(&file));
});
