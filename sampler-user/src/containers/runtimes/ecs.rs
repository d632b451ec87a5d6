//! Tasks of ECS on Fargate: `/ecs/<task>/<task>-<number>`. On machines of one's own a task's containers are Docker's.

use crate::containers::runtimes::place::Place;
use crate::model::identity::Identity;

/// Name of the runtime.
pub const NAME: &str = "ecs";

/// A container of a task.
pub fn claim(place: Place<'_>) -> Option<Identity> {
    let is_hex = |text: &str| text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit());
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let (task, number) = place.leaf.split_once('-')?;
    let is_below = place.above.contains(&"ecs");
    (is_below && is_hex(task) && is_number(number)).then(|| Identity::container(NAME, place.leaf))
}
