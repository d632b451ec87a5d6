//! BuildKit's own daemon: `/buildkit/<id>`, a build each. That of Docker is Docker's.

use crate::containers::runtimes::own_names::names_its_runtime;
use crate::containers::runtimes::place::Place;
use crate::model::identity::Identity;

/// Name of the runtime.
pub const NAME: &str = "buildkit";

/// A build.
pub fn claim(place: Place<'_>) -> Option<Identity> {
    let is_docker = place.above.len() > 1 && place.above[place.above.len() - 2] == "docker";
    (place.parent() == Some("buildkit") && !is_docker && !names_its_runtime(place.leaf))
        .then(|| Identity { name: Some("build".into()), ..Identity::container(NAME, place.leaf) })
}
