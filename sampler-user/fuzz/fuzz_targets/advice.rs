//! The user's own files that `advise` reads, of any bytes: what is written of them must be readable again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sampler::advise::wslconfig;
use sampler::advise::compose::File;
use sampler::advise::compose::overriding::{Limits, text};

fuzz_target!(|bytes: &[u8]| {
    let config = wslconfig::read(bytes);
    let written = wslconfig::text(&config, &wslconfig::wanted(1 << 30, 1 << 28, "6.6"));
    assert_eq!(wslconfig::read(written.as_bytes()).problems, []);

    let Ok(file) = File::read(bytes) else { return };
    let limits = |service: &sampler::advise::compose::Service| Limits {
        service: service.name.clone(),
        limit: Some(128 << 20),
        reservation: Some(64 << 20),
        with_swap: None,
        interval: service.health.and_then(|health| health.interval),
        because: vec![service.name.clone()],
    };
    let limits: Vec<Limits> = file.services.iter().map(limits).collect();
    let again = File::read(text(&file, "docker-compose.yml", &limits).as_bytes()).expect("the override is YAML");
    assert_eq!(again.version, file.version);
    let names = |file: &File| {
        file.services
            .iter()
            .map(|service| service.name.clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(names(&again), names(&file));
});
