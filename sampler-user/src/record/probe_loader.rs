//! Loads the kernel probe beside the recording: loading takes a moment, and the recording does not wait for it.

use std::thread;

use tokio::sync::oneshot;

use crate::kernel::cgroupfs::layout::Layout;
use crate::kernel::probe::{self, Probe};
use crate::record::config::{Config, UseProbe};
use crate::record::error::{Error, kernel};
use crate::record::protect;

/// Without these features a required probe is refused.
const REQUIRED: [&str; 2] = ["walk", "oom_victim"];

/// The probe, if the kernel allows it, and what it lacks, in words.
#[derive(Debug, Default)]
pub struct Loaded {
    /// The probe.
    pub probe: Option<Probe>,
    /// What it lacks, in words.
    pub lacks: Vec<String>,
}

/// A probe that is being loaded.
#[derive(Debug)]
pub struct Loading(Option<oneshot::Receiver<Result<Loaded, Error>>>);

impl Loading {
    /// Begins to load the probe as far as it is wanted; one that is required is waited for.
    pub fn start(config: &Config) -> Result<Loading, Error> {
        let (loaded, loading) = oneshot::channel();
        let (wanted, layout, locks) = (config.probe, config.layout.clone(), config.protect);
        match wanted {
            UseProbe::Off => return Ok(Loading(None)),
            UseProbe::Require => drop(loaded.send(Ok(load(wanted, &layout, locks)?))),
            UseProbe::Auto => {
                // The verifier's and the kernel's types take more stack than the other threads have.
                let load = move || drop(loaded.send(load(wanted, &layout, locks)));
                thread::Builder::new().name("sampler-probe".into()).spawn(load).map_err(kernel("start a thread"))?;
            }
        }
        Ok(Loading(Some(loading)))
    }

    /// Resolves once, when the probe is loaded; never when none is wanted.
    pub async fn loaded(&mut self) -> Loaded {
        let Some(receiver) = &mut self.0 else { return std::future::pending().await };
        let loaded = receiver.await;
        self.0 = None;
        let without = |why: String| Loaded { probe: None, lacks: vec![why] };
        match loaded {
            Ok(Ok(loaded)) => loaded,
            Ok(Err(error)) => without(error.to_string()),
            // The loading thread panicked, and its panic message is out already.
            Err(_) => without("no kernel probe: loading it was interrupted".into()),
        }
    }
}

fn load(wanted: UseProbe, layout: &Layout, locks: bool) -> Result<Loaded, Error> {
    let probe = match protect::unlocked(locks, || Probe::load(layout)) {
        Ok(probe) => probe,
        Err(error) if wanted == UseProbe::Require => return Err(error.into()),
        Err(error) => {
            let why = format!("no kernel probe: {error}: cgroups and OOM kills are seen by files alone");
            return Ok(Loaded { probe: None, lacks: vec![why] });
        }
    };
    let refused: Vec<_> = probe.attached.iter().filter(|feature| feature.lacks()).collect();
    if refused.is_empty() {
        return Ok(Loaded { probe: Some(probe), lacks: Vec::new() });
    }
    let one = |feature: &&probe::Attached| {
        let why: Vec<String> = feature.refused.iter().map(|(method, why)| format!("{method}: {why}")).collect();
        format!("{} ({})", feature.gives, why.join("; "))
    };
    let all = refused.iter().map(one).collect::<Vec<_>>().join(", ");
    if wanted == UseProbe::Require && REQUIRED.iter().any(|feature| !probe.has(feature)) {
        return Err(probe::Error::Nothing { why: all }.into());
    }
    Ok(Loaded { probe: Some(probe), lacks: vec![format!("the kernel probe does without: {all}")] })
}
